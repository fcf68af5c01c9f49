//! From the desk's journal to the books: who bought what of whom, and who lost or won what.
//!
//! A party's line `market` follows what is its own at the market, wherever it lies there: free, at
//! stake, or set aside. So holds and releases are no entries; payments for work and for checking are
//! trades, fees are the market's sales, and what is slashed or restored is a transfer.
//!
//! A job that hired others is booked as if its worker had paid them out of its own pocket, which is
//! what it answers with: whoever hired it pays the whole price, or, if the work failed, what the
//! others took, and has it back as damages.

use std::sync::Arc;

use ::market::desk::Moved;
use ::market::{Delivery, JobId, Movement, Pot, Stage};
use ::money::{Amount, Party};
use ledger::{Evidence, Kind, Operation, Outcome, Reference, TransferId, Write};
use mandates::Purpose;
use mandates::books::{self, Entry, Line};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;

use super::payouts::Payouts;
use super::{LOOK_EVERY, Market};
use crate::failure::Failure;

/// How many rows of the desk's journal are booked at once.
const ROWS: usize = 256;

/// How far the books have come.
#[derive(Default)]
pub struct Turn {
    /// The last row that is booked.
    done: u64,
    /// The last row that the desk was told of.
    noted: u64,
    /// What is still to be paid out.
    pub(super) pending: Payouts,
}

impl Turn {
    /// The last row that is booked.
    pub fn done(&self) -> u64 {
        self.done
    }
}

/// Money that changed its owner at the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Booking {
    name: Reference,
    from: Party,
    to: Party,
    amount: Amount,
    is_trade: bool,
    /// The job whose story explains it.
    job: Option<JobId>,
}

/// What changed its owner in one row. `worker` tells who works on a job.
fn bookings(moved: &Moved, worker: impl Fn(JobId) -> Option<Party>) -> Vec<Booking> {
    let mut found = Vec::new();
    let mut add = |name, from, to, amount: Amount, is_trade, job| {
        if amount.is_positive() && from != to {
            found.push(Booking { name, from, to, amount, is_trade, job });
        }
    };
    let of_job = |what: &str, job: JobId, whom: Party| {
        Reference::derive(what, &[&job.as_u128().to_be_bytes(), whom.as_bytes()])
    };
    for ended in &moved.ended {
        let Some(worker) = ended.worker else { continue };
        let (job, client) = (ended.job, ended.client);
        if ended.stage == Stage::Completed {
            let minor = ended.price.minor() - ended.fee.minor();
            let earned = Amount::from_minor(ended.price.asset(), minor);
            add(of_job("market/work", job, worker), client, worker, earned, true, Some(job));
        } else {
            let name = of_job("market/advance", job, worker);
            add(name, client, worker, ended.spent, false, Some(job));
        }
    }
    for (place, effect) in moved.effects.iter().enumerate() {
        let (from, to, amount) = (effect.owner, effect.to, effect.amount);
        match (effect.movement, effect.job) {
            (Movement::Pay, Some(job)) => {
                // The price of the work is booked whole, by its end.
                if effect.pot != Pot::Escrow || worker(job) != Some(to) {
                    add(of_job("market/paid", job, to), from, to, amount, true, Some(job));
                }
            }
            (Movement::Pay | Movement::Slash | Movement::Restore, job) => {
                let place = [moved.row.to_be_bytes(), (place as u64).to_be_bytes()].concat();
                let name = Reference::derive("market/lost", &[&place]);
                add(name, from, to, amount, false, job);
            }
            (
                Movement::Hold
                | Movement::Release
                | Movement::Refund
                | Movement::Allot
                | Movement::Return,
                _,
            ) => {}
        }
    }
    found
}

impl Market {
    /// Brings the books to where the desk is, and pays out what was taken back. Whatever is
    /// interrupted is done again by the next call, and stands once. What cannot be paid out now
    /// stays pending and holds up nobody else.
    ///
    /// # Errors
    /// If the books do not take it; what was booked before stays so.
    pub async fn keep_books(&self) -> Result<(), Failure> {
        let mut turn = self.turn.lock().await;
        loop {
            let rows = self.desk.unbooked(turn.done, ROWS);
            if rows.is_empty() {
                break;
            }
            for moved in rows {
                self.book(&moved).await?;
                moved.withdrawn.iter().for_each(|w| turn.pending.add(moved.row, *w));
                turn.done = moved.row;
            }
        }
        for withdrawn in turn.pending.due(self.parts.clock.now()) {
            match self.pay_out(&withdrawn).await {
                Ok(_) => turn.pending.paid(&withdrawn),
                Err(failure) => {
                    tracing::warn!(error = failure.message, "a payout waits");
                    turn.pending.failed(&withdrawn, self.parts.clock.now());
                }
            }
        }
        let noted = turn.pending.first_row().map_or(turn.done, |row| row - 1);
        if noted > turn.noted {
            self.desk.note_booked(noted).await.map_err(Failure::new)?;
            turn.noted = noted;
        }
        Ok(())
    }

    /// Whether the books have come to where the desk is. Looked at, not waited for.
    pub(super) fn all_is_booked(&self) -> bool {
        let Ok(turn) = self.turn.try_lock() else { return false };
        turn.pending.is_empty() && self.desk.unbooked(turn.done, 1).is_empty()
    }

    async fn book(&self, moved: &Moved) -> Result<(), Failure> {
        let worker = |job| self.desk.read(|state| state.job(job).and_then(|job| job.worker));
        let writes: Vec<Write> = bookings(moved, worker)
            .into_iter()
            .filter_map(|booking| self.write(&booking))
            .collect();
        for batch in writes.chunks(ledger::MAX_BATCH / 2) {
            let outcomes = self.parts.ledger.submit_all(batch.to_vec()).await?;
            for outcome in outcomes {
                if let Outcome::Refused(refusal) = outcome {
                    return Err(Failure::new(format!(
                        "the books do not take row {} of the market: {}",
                        moved.row, refusal.reason
                    )));
                }
            }
        }
        Ok(())
    }

    /// The entries of a booking, in the books of those who have one here.
    fn write(&self, booking: &Booking) -> Option<Write> {
        let Booking { name, from, to, amount, is_trade, job } = *booking;
        let booked = self.parts.cast.booked();
        let kind = match is_trade {
            true => self.kind_of(from, to),
            false => Kind::Transfer,
        };
        let entry = |id, book, other, debit, credit| {
            Entry {
                id,
                book,
                debit,
                credit,
                amount,
                kind,
                counterparty: other,
                reference: name,
                digest: [0; 32],
                hold_until: None,
            }
            .transfer()
        };
        let (spent, earned) = match is_trade {
            true => (Line::Purchases, Line::Sales),
            false => (Line::Funding, Line::Funding),
        };
        let mut entries = Vec::new();
        if booked.contains(&from) && from != self.party() {
            let id = match is_trade {
                true => books::purchase_id(name),
                false => TransferId::derive("market/out", &[name.as_bytes()]),
            };
            entries.push(entry(id, from, to, spent, Line::Market));
        }
        let id = match is_trade {
            true => books::sale_id(name),
            false => TransferId::derive("market/in", &[name.as_bytes()]),
        };
        if to == self.party() {
            entries.push(entry(id, to, from, Line::Owed, earned));
        } else if booked.contains(&to) {
            entries.push(entry(id, to, from, Line::Market, earned));
        }
        if entries.is_empty() {
            return None;
        }
        let write = Write::operation(Operation::Linked(entries));
        Some(match job.filter(|_| is_trade).and_then(|job| self.story(name, job)) {
            Some(evidence) => write.with(evidence),
            None => write,
        })
    }

    fn kind_of(&self, payer: Party, payee: Party) -> Kind {
        let purpose = match self.parts.mandates.purpose(payer) {
            Some(Purpose::Household) => economy::Purpose::Household,
            Some(Purpose::Production) | None => economy::Purpose::Production,
        };
        self.parts.registry.kind_of_purchase(payer, payee, purpose)
    }

    /// How a job came to its end, for the why-trail.
    fn story(&self, reference: Reference, job: JobId) -> Option<Evidence> {
        let story = self.desk.read(|state| {
            let job = state.job(job)?;
            let bids: Vec<_> = job
                .bids
                .iter()
                .map(|bid| match bid.state {
                    ::market::BidState::Told(minor) => {
                        json!({ "worker": bid.worker, "minor": minor.to_string() })
                    }
                    _ => json!({ "worker": bid.worker }),
                })
                .collect();
            let delivered = match &job.delivery {
                Some(Delivery::Open(report)) => Some(report),
                _ => job.opened.as_ref(),
            };
            Some(json!({
                "job": job.terms.id,
                "parent": job.terms.parent,
                "brief": job.terms.brief,
                "terms": &*job.terms,
                "bids": bids,
                "worker": job.worker,
                "price": job.price.to_string(),
                "delivered": delivered,
                "verdict": job.verdict,
            }))
        })?;
        let body = serde_json::to_vec(&story).ok()?;
        let (stage, media_type) = ("market/job".into(), "application/json".into());
        Some(Evidence { reference, stage, media_type, body })
    }

    /// Keeps the books with the desk, and tries again what could not be paid out.
    pub(super) fn follow_desk(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let mut changes = self.desk.subscribe();
        let market = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(market) = market.upgrade() else { return };
                let kept = market.keep_books().await;
                let waits = kept.is_err() || !market.turn.lock().await.pending.is_empty();
                drop(market);
                if let Err(failure) = kept {
                    tracing::warn!(error = failure.message, "the market's books wait");
                }
                let next = changes.recv();
                let change = match waits {
                    true => tokio::time::timeout(5 * LOOK_EVERY, next).await,
                    false => Ok(next.await),
                };
                if matches!(change, Ok(Err(RecvError::Closed))) {
                    return;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use ::market::desk::{Ended, Withdrawn};
    use ::market::{Effect, MoveId};
    use ::money::Asset;

    use super::*;

    fn musd(minor: i128) -> Amount {
        Amount::from_minor(Asset::MUSD, minor)
    }

    fn party(n: u8) -> Party {
        Party::new([n; 20])
    }

    const CLIENT: u8 = 1;
    const WORKER: u8 = 2;
    const CHECKER: u8 = 3;
    const MARKET: u8 = 9;

    fn effect(movement: Movement, pot: Pot, owner: u8, to: u8, minor: i128) -> Effect {
        let job = Some(JobId::from_u128(1));
        Effect { movement, job, pot, owner: party(owner), to: party(to), amount: musd(minor) }
    }

    fn ended(stage: Stage, spent: i128) -> Ended {
        Ended {
            job: JobId::from_u128(1),
            stage,
            client: party(CLIENT),
            worker: Some(party(WORKER)),
            price: musd(1_000),
            fee: musd(10),
            spent: musd(spent),
        }
    }

    fn told(moved: &Moved) -> Vec<(Party, Party, i128, bool)> {
        let found = bookings(moved, |_| Some(party(WORKER)));
        found.iter().map(|b| (b.from, b.to, b.amount.minor(), b.is_trade)).collect()
    }

    #[test]
    fn a_job_that_passed_is_three_trades() {
        let moved = Moved {
            row: 7,
            effects: vec![
                effect(Movement::Hold, Pot::Escrow, CLIENT, CLIENT, 2_000),
                effect(Movement::Pay, Pot::Escrow, CLIENT, CHECKER, 50),
                effect(Movement::Pay, Pot::Escrow, CLIENT, MARKET, 10),
                effect(Movement::Pay, Pot::Escrow, CLIENT, WORKER, 990),
                effect(Movement::Release, Pot::Stake, WORKER, WORKER, 500),
                effect(Movement::Refund, Pot::Escrow, CLIENT, CLIENT, 950),
            ],
            ended: vec![ended(Stage::Completed, 0)],
            ..Moved::default()
        };
        let [client, worker, checker, market] = [CLIENT, WORKER, CHECKER, MARKET].map(party);
        assert_eq!(
            told(&moved),
            [(client, worker, 990, true), (client, checker, 50, true), (client, market, 10, true)]
        );
    }

    #[test]
    fn a_worker_that_failed_loses_and_the_client_has_its_damages() {
        let moved = Moved {
            effects: vec![
                effect(Movement::Pay, Pot::Escrow, CLIENT, CHECKER, 50),
                effect(Movement::Restore, Pot::Stake, WORKER, CLIENT, 350),
                effect(Movement::Slash, Pot::Stake, WORKER, MARKET, 150),
            ],
            ended: vec![ended(Stage::Rejected, 300)],
            withdrawn: vec![Withdrawn {
                id: MoveId::from_u128(1),
                party: party(CLIENT),
                amount: musd(1),
            }],
            ..Moved::default()
        };
        let [client, worker, checker, market] = [CLIENT, WORKER, CHECKER, MARKET].map(party);
        // What the others took, 300, was the worker's to answer for: given and given back.
        assert_eq!(
            told(&moved),
            [
                (client, worker, 300, false),
                (client, checker, 50, true),
                (worker, client, 350, false),
                (worker, market, 150, false),
            ]
        );
    }

    /// A market in which a foreman hires a worker for a part of its own job, and everybody's money as
    /// the bookings tell it.
    struct Tree {
        state: ::market::State,
        wallets: std::collections::BTreeMap<Party, i128>,
        row: u64,
    }

    const FOREMAN: u8 = 4;

    impl Tree {
        fn new() -> Tree {
            let rules = ::market::Rules::standard(Asset::MUSD, party(MARKET));
            let state = ::market::State::new(rules).unwrap();
            let mut tree = Tree { state, wallets: Default::default(), row: 0 };
            for n in [CLIENT, WORKER, FOREMAN, 10, 11, 12] {
                let (id, amount) = (MoveId::from_u128(n.into()), musd(100_000));
                tree.apply(1_000, ::market::Operation::Deposit { id, party: party(n), amount });
                tree.wallets.insert(party(n), 100_000);
            }
            for n in 10..13 {
                let stake = musd(50_000);
                tree.apply(1_000, ::market::Operation::Enlist { party: party(n), stake });
            }
            for n in [WORKER, FOREMAN] {
                let (id, skill) = (::market::OfferId::from_u128(n.into()), SKILL);
                let offer = ::market::Offer::standard(id, party(n), skill, musd(1_000));
                let most_stake = musd(10_000);
                let offer = ::market::Offer { price: musd(price(n)), most_stake, ..offer };
                tree.apply(1_000, ::market::Operation::Publish(offer));
            }
            tree
        }

        fn apply(&mut self, at: u64, operation: ::market::Operation) {
            self.row += 1;
            let at = ::money::Timestamp::from_secs(at);
            let mut moved = Moved { row: self.row, at, ..Moved::default() };
            let outcome = self.state.apply(at, &operation, &mut moved.effects);
            assert!(outcome.holds(), "{outcome:?}: {operation:?}");
            let rules = self.state.rules().clone();
            moved.ended.extend(self.state.ended().map(|job| Ended {
                job: job.terms.id,
                stage: job.stage,
                client: job.terms.client,
                worker: job.worker,
                price: musd(job.price),
                fee: musd(rules.fee(job.price)),
                spent: musd(job.spent),
            }));
            let worker = |job| self.state.job(job).and_then(|job| job.worker);
            for booking in bookings(&moved, worker) {
                *self.wallets.entry(booking.from).or_default() -= booking.amount.minor();
                *self.wallets.entry(booking.to).or_default() += booking.amount.minor();
            }
        }

        fn hire(&mut self, n: u128, client: u8, worker: u8, parent: Option<u128>, by: u64) {
            let job = JobId::from_u128(n);
            let terms = ::market::Terms {
                id: job,
                client: party(client),
                parent: parent.map(JobId::from_u128),
                skill: SKILL,
                brief: Default::default(),
                budget: musd(price(worker) + 200),
                worth: musd(90_000),
                quality: 0,
                pricing: ::market::Pricing::Posted {
                    offer: ::market::OfferId::from_u128(worker.into()),
                },
                check: ::market::Check::Exact { executors: 1 },
                audit: 1_000_000,
                checker_fee: musd(50),
                appeals: 0,
                stake: musd(500),
                deliver_by: ::money::Timestamp::from_secs(by),
                check_ms: 5_000,
            };
            self.apply(1_001, ::market::Operation::Open(Box::new(terms)));
            self.apply(1_001, ::market::Operation::Fund { job });
        }

        /// The worker delivers, and one checker finds the same or something else.
        fn judge(&mut self, n: u128, by: u8, passes: bool, at: u64) {
            use ::market::{Digest, Operation, Report};
            let (job, salt) = (JobId::from_u128(n), Digest::of(b"salt"));
            let told = Report::Digest(Digest::of(b"told"));
            let delivery = Delivery::Sealed(told.commitment(job, party(by), &salt));
            self.apply(at, Operation::Submit { job, by: party(by), delivery });
            self.apply(at, Operation::Draw { job, entropy: Digest::of(&n.to_be_bytes()) });
            let checker = self.state.job(job).unwrap().panel().unwrap().seats[0].checker;
            let other = Report::Digest(Digest::of(b"other"));
            let found = if passes { told.clone() } else { other };
            let commitment = found.commitment(job, checker, &salt);
            self.apply(at, Operation::CommitReport { job, by: checker, commitment });
            let reveal = |by, report| Operation::RevealReport { job, by, report, salt };
            self.apply(at, reveal(party(by), told));
            self.apply(at, reveal(checker, found));
        }

        /// With no job open, what the bookings tell is what the market says, to the unit.
        fn agrees(&self) {
            for (party, minor) in &self.wallets {
                let holding = self.state.holding(*party);
                let here = holding.free.minor() + holding.stake.minor();
                assert_eq!(here, *minor, "{party}");
            }
            assert_eq!(self.wallets.values().sum::<i128>(), self.state.deposited().minor());
        }
    }

    const SKILL: ::market::Skill = ::market::Skill::from_u128(1);

    fn price(worker: u8) -> i128 {
        if worker == FOREMAN { 5_000 } else { 1_000 }
    }

    #[test]
    fn whatever_becomes_of_a_tree_of_jobs_the_bookings_are_what_the_market_says() {
        for (child, parent) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut tree = Tree::new();
            tree.hire(1, CLIENT, FOREMAN, None, 9_000);
            tree.hire(2, FOREMAN, WORKER, Some(1), 2_000);
            tree.judge(2, WORKER, child, 1_002);
            tree.judge(1, FOREMAN, parent, 1_003);
            assert!(tree.state.jobs().all(|job| job.stage.is_final()));
            tree.agrees();
        }
        // The foreman dies after it has hired.
        let mut tree = Tree::new();
        tree.hire(1, CLIENT, FOREMAN, None, 9_000);
        tree.hire(2, FOREMAN, WORKER, Some(1), 2_000);
        tree.judge(2, WORKER, true, 1_002);
        tree.apply(9_001, ::market::Operation::Tick);
        assert!(tree.state.jobs().all(|job| job.stage.is_final()));
        tree.agrees();
    }
}
