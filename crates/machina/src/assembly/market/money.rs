//! Money in and out: deposits are credited when their payment is in the market's book, and what is
//! taken back is paid by the market's key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ::market::desk::Withdrawn;
use ::market::{MoveId, Operation};
use ::money::{Amount, Party};
use ledger::{Reference, State, Status, TransferId, TransferRecord};
use mandates::Payout;
use mandates::books::{self, Line};
use payments::channel::Collect;
use payments::payout::PaidOut;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use super::Market;
use crate::failure::Failure;

/// The least that a stranger takes out at once, in whole dollars, unless it is all that is free:
/// each payout is a transaction.
const LEAST_WITHDRAWAL: &str = "0.001";

/// How long after it has claimed channels for a payout the market does so again: each claim is a
/// transaction or two.
const CLAIM_AGAIN: Duration = Duration::from_secs(60);
/// How many of the newest deposits are looked through for those that the desk does not have yet.
const NEWEST: usize = 10_000;
/// How many acts are looked up while the books wait.
const READ_AT_ONCE: usize = 1_000;

/// Money that came under the market's disposal.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deposited {
    /// Whose.
    pub party: Party,
    /// How much.
    pub amount: Amount,
    /// The payment's reference.
    pub reference: String,
}

/// Money that its owner has back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaidBack {
    /// Whose.
    pub party: Party,
    /// How much.
    pub amount: Amount,
    /// The transaction.
    pub transaction: String,
}

impl Market {
    /// Credits every deposit whose payment is booked: after a start, and whenever some may have been
    /// missed. One payment is credited once.
    ///
    /// # Errors
    /// If the market cannot be written.
    pub async fn credit_all(&self) -> Result<(), Failure> {
        let asset = self.parts.chain.token().asset;
        let owed = Line::Owed.of(self.party(), asset);
        let references: BTreeSet<Reference> = self
            .parts
            .ledger
            .read(|state| state.entries_of(owed).map(|record| record.transfer.reference).collect());
        let references: Vec<Reference> = references.into_iter().collect();
        self.credit(&references).await
    }

    /// Credits the deposits among these acts that are not credited yet.
    ///
    /// # Errors
    /// If the market cannot be written.
    pub async fn credit(&self, references: &[Reference]) -> Result<(), Failure> {
        let market = self.party();
        let mut found: Vec<Deposit> = Vec::new();
        for some in references.chunks(READ_AT_ONCE) {
            self.parts.ledger.read(|state| {
                found.extend(some.iter().flat_map(|r| deposits(state, market, *r)));
            });
        }
        self.desk.read(|state| {
            found.retain(|it| state.deposit_of(it.id) != Some((it.party, it.amount)));
        });
        for batch in found.chunks(::market::desk::MAX_BATCH) {
            let operations = batch.iter().map(|it| Operation::Deposit {
                id: it.id,
                party: it.party,
                amount: it.amount,
            });
            let outcomes =
                self.desk.submit_all(operations.collect()).await.map_err(Failure::new)?;
            for (outcome, it) in outcomes.iter().zip(batch) {
                if !outcome.holds() {
                    let record = it.record;
                    tracing::error!(%record, ?outcome, "a deposit cannot be credited");
                }
            }
        }
        Ok(())
    }

    /// Credits deposits as they are booked.
    pub(super) fn follow_deposits(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let mut committed = self.parts.ledger.subscribe();
        let market = Arc::downgrade(self);
        tokio::spawn(async move {
            // What an earlier run left, first.
            let mut missed = true;
            let mut references: Arc<[Reference]> = Arc::new([]);
            loop {
                let Some(market) = market.upgrade() else { return };
                let credited = match missed {
                    true => market.credit_all().await,
                    false => market.credit(&references).await,
                };
                drop(market);
                missed = credited.is_err();
                if let Err(failure) = credited {
                    tracing::error!(error = failure.message, "deposits could not be credited");
                }
                match committed.recv().await {
                    Ok(batch) => references = batch.references,
                    Err(RecvError::Lagged(_)) => missed = true,
                    Err(RecvError::Closed) => return,
                }
            }
        })
    }

    /// Gives a party's free money back to it: taken out of the market, then paid on the chain. The
    /// same name again is the same withdrawal, and tells of the same payment.
    ///
    /// # Errors
    /// If it has not so much, or the chain does not answer: then it is paid as soon as that does.
    pub async fn withdraw(
        &self,
        id: MoveId,
        party: Party,
        amount: Amount,
    ) -> Result<PaidBack, Failure> {
        // What was earned must be in the books before it leaves them.
        self.keep_books().await?;
        self.submit(Operation::Withdraw { id, party, amount }).await?;
        self.paid_back(id, party, amount).await
    }

    /// The same for whoever asks at the doors, within bounds that a stranger cannot make many
    /// payments of: so much at the least, one payout at a time. Without an amount it is what was
    /// asked for under this name before, or all that is free.
    ///
    /// # Errors
    /// As [`Market::withdraw`], and if it is out of these bounds.
    pub async fn withdraw_asked(
        &self,
        id: MoveId,
        party: Party,
        amount: Option<Amount>,
    ) -> Result<PaidBack, Failure> {
        self.keep_books().await?;
        let amount = {
            // Held until it is taken out: two at once are one after the other.
            let turn = self.turn.lock().await;
            let (known, free) =
                self.desk.read(|state| (state.withdrawal(id), state.holding(party).free));
            let amount = amount.or(known.map(|(_, amount)| amount)).unwrap_or(free);
            if known.is_none() {
                let asset = self.parts.chain.token().asset;
                let least = Amount::parse(asset, LEAST_WITHDRAWAL)?;
                if amount.minor() < least.minor() && amount != free {
                    return Err(Failure::new(format!(
                        "{amount} is less than the {least} that is paid out at the least, and not all of the {free} that is free"
                    )));
                }
                let rows = self.desk.unbooked(turn.done(), usize::MAX);
                let mut new = rows.iter().flat_map(|moved| moved.withdrawn.iter().copied());
                let before = turn.pending.of(party).or_else(|| new.find(|w| w.party == party));
                if let Some(before) = before {
                    return Err(Failure::new(format!(
                        "{} is on its way to {party}: one payout at a time",
                        before.amount
                    )));
                }
            }
            self.submit(Operation::Withdraw { id, party, amount }).await?;
            amount
        };
        self.paid_back(id, party, amount).await
    }

    /// Pays what was taken out under this name.
    async fn paid_back(
        &self,
        id: MoveId,
        party: Party,
        amount: Amount,
    ) -> Result<PaidBack, Failure> {
        self.keep_books().await?;
        let paid = self.pay_out(&Withdrawn { id, party, amount }).await?;
        Ok(PaidBack { party, amount, transaction: paid.transaction.to_string() })
    }

    /// Pays what was taken out, or finds that it was paid.
    pub(super) async fn pay_out(&self, withdrawn: &Withdrawn) -> Result<PaidOut, Failure> {
        let Withdrawn { id, party, amount } = *withdrawn;
        let booked = self.parts.cast.booked().contains(&party);
        let name = id.as_u128().to_be_bytes();
        let payout = || self.cashier.payout(&name, party, amount, booked);
        let mut paid = self.cashier.pay(payout()).await;
        if paid.is_err() && self.claim_for(&payout()).await {
            paid = self.cashier.pay(payout()).await;
        }
        paid.map_err(|error| {
            Failure::new(format!("{amount} is on its way to {party} and not there yet: {error}"))
                .hint("it is tried again every few seconds")
        })
    }

    /// Claims what was paid in to the market from channels, if it has less at hand than it is to pay, what
    /// it has set aside for this payout not taken off. Whether it has claimed.
    async fn claim_for(&self, payout: &Payout) -> bool {
        let cash = Line::Cash.of(self.party(), payout.amount.asset());
        let has = |state: &State| {
            let own = state.transfer(&books::purchase_id(payout.reference));
            let own = own.filter(|record| record.status == Status::Held);
            let own = own.map_or(0, |record| record.transfer.amount.minor());
            let at_hand = state.balance(&cash).map(|b| b.available().minor() + own);
            at_hand.is_some_and(|minor| minor >= payout.amount.minor())
        };
        if self.parts.ledger.read(has) {
            return false;
        }
        let now = self.parts.clock.now();
        {
            let mut last = self.claimed_at.lock().expect("nothing panics under this lock");
            if now.since(*last) < CLAIM_AGAIN {
                return false;
            }
            *last = now;
        }
        let collected = self.parts.gate.collect(Collect::Of(self.party())).await;
        // The books follow the chain.
        if let Err(error) = self.parts.bookkeeper.reconcile(false).await {
            tracing::warn!(%error, "what channels were claimed for is not booked yet");
        }
        collected.transactions > 0
    }

    /// Whether money of a party's has ever moved, by its book.
    pub fn has_moved(&self, party: Party) -> bool {
        let asset = self.parts.chain.token().asset;
        let lines = [Line::Cash, Line::Market].map(|line| line.of(party, asset));
        self.parts
            .ledger
            .read(|state| lines.iter().any(|line| state.entries_of(*line).next().is_some()))
    }

    /// How the books and the desk differ about what the market owes, in words.
    pub fn difference(&self) -> Option<String> {
        let (books, market) = self.owed().filter(|(books, market)| books != market)?;
        Some(format!("market: the books say that it owes {books}, and it owes {market}"))
    }

    /// What the books say that the market owes, and what it does owe; `None` while money is on its
    /// way between the two.
    pub fn owed(&self) -> Option<(Amount, Amount)> {
        let asset = self.parts.chain.token().asset;
        let owed = Line::Owed.of(self.party(), asset);
        let cash = Line::Cash.of(self.party(), asset);
        let books = || {
            self.parts.ledger.read(|state| {
                let (owed, cash) = (state.balance(&owed)?, state.balance(&cash)?);
                let held = owed.debits_pending + owed.credits_pending;
                (held + cash.debits_pending + cash.credits_pending == 0).then_some(owed.settled())
            })
        };
        let before = books()?;
        // What is in the books and not at the desk yet; what is paid from channels comes by the hundred.
        let newest: BTreeMap<MoveId, i128> = self.parts.ledger.read(|state| {
            let entries = state.entries_of(owed).rev().take(NEWEST);
            let deposits = entries
                .flat_map(|record| deposits(state, self.party(), record.transfer.reference))
                .map(|it| (it.id, it.amount.minor()));
            deposits.collect()
        });
        let (market, rows) = self.desk.read(|state| {
            let own = state.holding(self.party());
            let own = own.free.minor() + own.stake.minor();
            let coming = newest.iter().filter(|(id, _)| state.deposit_of(**id).is_none());
            let coming: i128 = coming.map(|(_, minor)| minor).sum();
            let all = state.deposited().minor() - own + coming;
            (Amount::from_minor(asset, all), self.all_is_booked())
        });
        (rows && books() == Some(before)).then_some((before, market))
    }
}

/// A deposit that is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deposit {
    /// Its name at the desk.
    id: MoveId,
    /// The record in the market's book.
    record: TransferId,
    party: Party,
    amount: Amount,
}

/// The deposits of this act that are paid. Usually it is one at most: under the act's own name, or, where
/// its hold was let go before the money moved, as booked late. But a voucher's act is its channel and its
/// total, and one total can be charged for twice, a part of it at a time: each is a deposit. What was
/// charged again has its name from its record, everything else from the act.
fn deposits(state: &State, market: Party, reference: Reference) -> Vec<Deposit> {
    let deposit = |record: &TransferRecord| {
        let (_, amount) = record.posted()?;
        let it = &record.transfer;
        // Paid at once, or from a channel.
        let debit = state.account(&it.debit)?;
        let at_once = debit.name == Line::Cash.name();
        let paid = at_once || debit.name.starts_with("unearned/");
        let is_one =
            paid && debit.book == market && it.credit == Line::Owed.of(market, amount.asset());
        let id = match at_once || it.id == books::sale_id(reference) {
            true => MoveId::derive(&[b"deposit", reference.as_bytes()]),
            false => MoveId::derive(&[b"deposit/again", &it.id.as_u128().to_be_bytes()]),
        };
        Some(Deposit { id, record: it.id, party: it.counterparty.filter(|_| is_one)?, amount })
    };
    state.by_reference(reference).into_iter().filter_map(deposit).collect()
}

#[cfg(test)]
mod tests {
    use ::money::{Asset, SystemClock, Timestamp};
    use ledger::{Kind, Ledger, Operation as Entered};
    use mandates::books::Entry;

    use super::*;

    #[tokio::test]
    async fn a_deposit_that_is_booked_late_is_credited_like_any_other() {
        let (market, payer) = (Party::new([1; 20]), Party::new([2; 20]));
        let reference = Reference::derive("test/deposit", &[]);
        let ledger = Ledger::in_memory(Arc::new(SystemClock));
        for line in [Line::Cash, Line::Owed, Line::Funding] {
            assert!(ledger.submit(line.open(market, Asset::MUSD).into()).await.unwrap().holds());
        }
        let held = Entry {
            id: books::sale_id(reference),
            book: market,
            debit: Line::Cash,
            credit: Line::Owed,
            amount: Amount::from_minor(Asset::MUSD, 500),
            kind: Kind::Financial,
            counterparty: payer,
            reference,
            digest: [0; 32],
            hold_until: Some(Timestamp::from_secs(u64::from(u32::MAX))),
        };
        let late = Entry {
            id: TransferId::derive("chain/in", &[b"transaction"]),
            hold_until: None,
            ..held
        };
        let found = || ledger.read(|state| deposits(state, market, reference));
        for operation in [held.transfer(), Entered::Void { hold: held.id }] {
            assert!(ledger.submit(operation.into()).await.unwrap().holds());
            assert_eq!(found(), [], "nothing is paid");
        }
        assert!(ledger.submit(late.transfer().into()).await.unwrap().holds());
        let id = MoveId::derive(&[b"deposit", reference.as_bytes()]);
        let paid = Deposit { id, record: late.id, party: payer, amount: late.amount };
        assert_eq!(found(), [paid]);
        // What is a gift by the books is nobody's deposit.
        let gift = Reference::derive("test/gift", &[]);
        let entry =
            Entry { id: books::sale_id(gift), credit: Line::Funding, reference: gift, ..late };
        assert!(ledger.submit(entry.transfer().into()).await.unwrap().holds());
        assert_eq!(ledger.read(|state| deposits(state, market, gift)), []);
    }

    #[tokio::test]
    async fn a_voucher_that_was_charged_is_a_deposit_and_money_put_into_a_channel_is_none() {
        let (market, payer) = (Party::new([1; 20]), Party::new([2; 20]));
        let ledger = Ledger::in_memory(Arc::new(SystemClock));
        let unearned = Line::Unearned([3; 32]);
        for line in [Line::Escrow, Line::Owed, Line::Sales, unearned] {
            assert!(ledger.submit(line.open(market, Asset::MUSD).into()).await.unwrap().holds());
        }
        let enter = |name: &str, debit, credit, minor| {
            let reference = Reference::derive(name, &[]);
            let entry = Entry {
                id: books::sale_id(reference),
                book: market,
                debit,
                credit,
                amount: Amount::from_minor(Asset::MUSD, minor),
                kind: Kind::Financial,
                counterparty: payer,
                reference,
                digest: [0; 32],
                hold_until: None,
            };
            let ledger = &ledger;
            async move {
                assert!(ledger.submit(entry.transfer().into()).await.unwrap().holds());
                ledger.read(|state| deposits(state, market, reference))
            }
        };
        assert_eq!(enter("test/into the channel", Line::Escrow, unearned, 900).await, []);
        let paid = enter("test/voucher", unearned, Line::Owed, 500).await;
        assert_eq!(
            paid.iter().map(|it| (it.party, it.amount.minor())).collect::<Vec<_>>(),
            [(payer, 500)]
        );
        assert_eq!(enter("test/what is sold for good", unearned, Line::Sales, 100).await, []);
        // One total that is charged for twice, ahead and then in step, is two deposits; the first keeps
        // the name that it has had.
        let reference = Reference::derive("test/voucher", &[]);
        let again = Entry {
            id: TransferId::derive("sale/again", &[reference.as_bytes(), &1u32.to_be_bytes()]),
            book: market,
            debit: unearned,
            credit: Line::Owed,
            amount: Amount::from_minor(Asset::MUSD, 200),
            kind: Kind::Financial,
            counterparty: payer,
            reference,
            digest: [0; 32],
            hold_until: None,
        };
        assert!(ledger.submit(again.transfer().into()).await.unwrap().holds());
        let both = ledger.read(|state| deposits(state, market, reference));
        assert_eq!((both.len(), both[0], both[1].amount.minor()), (2, paid[0], 200));
        assert_ne!(both[0].id, both[1].id);
    }
}
