//! How jobs end, and where their money goes. Each ending empties every pot of the job: what is
//! left anywhere is a bug, and stops the market before it is believed.
//!
//! | ending | worker | client | checkers |
//! |---|---|---|---|
//! | passed | price less fee and what it hired for; its stake | what is left of the budget | who was right: the fee |
//! | failed | loses its stake | the budget, less fees that the stake did not cover | who was right: the fee |
//! | not delivered | loses a part of its stake | the whole budget | nothing to do |
//! | no verdict | its stake | the budget, less fees of those who spoke | the silent lose their deposits to the treasury |
//! | nobody hired | – | the whole budget | – |
//!
//! What is slashed beyond damages goes to the treasury and not to the other side: nobody earns by
//! having somebody else found wrong, except challengers, who look for it.

use money::Party;

use super::State;
use crate::operation::{Movement, Pot, Stage};
use crate::reputation::{CheckerReceipt, Receipt};
use crate::terms::{Check, Delivery};

impl State {
    /// Nobody was hired, or the client took the job back.
    pub(super) fn end_unhired(&mut self, at: usize) {
        self.release_bids(at);
        self.dismiss(at);
        self.refund(at);
        self.finish(at, Stage::Expired);
    }

    /// The worker did not deliver, or gave up.
    pub(super) fn end_absent(&mut self, at: usize) {
        self.restore(at, self.jobs[at].spent);
        let treasury = self.rules.treasury;
        let left = self.jobs[at].stake;
        let lost = left * i128::from(self.rules.absence_bps) / 10_000;
        self.slash_worker(at, treasury, lost);
        self.release_stake(at);
        self.dismiss(at);
        self.refund(at);
        self.finish(at, Stage::Expired);
    }

    /// Nobody challenged: it is paid, and says nothing about quality, since nobody is known to have
    /// looked.
    pub(super) fn end_unchallenged(&mut self, at: usize) {
        self.pay_worker(at);
        self.release_stake(at);
        self.refund(at);
        self.finish(at, Stage::Completed);
    }

    /// The examiner kept the key: it had to show that the work is wrong, so the worker is paid.
    pub(super) fn end_unexamined(&mut self, at: usize) {
        self.slash_silent(at);
        self.end_unchallenged(at);
    }

    /// The verdict is final.
    pub(super) fn end_judged(&mut self, at: usize) {
        let verdict = self.jobs[at].verdict.expect("a judged job has a verdict");
        self.write_receipt(at, verdict);
        let paid = self.pay_panels(at, Some(verdict));
        if verdict {
            self.pay_worker(at);
            self.release_stake(at);
        } else {
            // First whoever called the panel that found it, then the client, is made whole.
            for bond in 0..self.jobs[at].bonds.len() {
                let (party, cost) = (self.jobs[at].bonds[bond].party, paid.challenges[bond]);
                let cost = cost.min(self.jobs[at].stake);
                self.slash_worker(at, party, cost);
            }
            self.restore(at, paid.escrow + self.jobs[at].spent);
            let challenger = self.jobs[at].bonds.iter().find(|bond| !bond.is_appeal);
            if let Some(challenger) = challenger.map(|bond| bond.party) {
                let reward = self.jobs[at].stake / 2;
                self.slash_worker(at, challenger, reward);
            }
            let (treasury, left) = (self.rules.treasury, self.jobs[at].stake);
            self.slash_worker(at, treasury, left);
        }
        self.refund(at);
        let stage = if verdict { Stage::Completed } else { Stage::Rejected };
        self.finish(at, stage);
    }

    /// Two panels came to nothing, or no entropy came.
    pub(super) fn end_undecided(&mut self, at: usize) {
        let _ = self.pay_panels(at, None);
        self.restore(at, self.jobs[at].spent);
        self.release_stake(at);
        self.refund(at);
        self.finish(at, Stage::Expired);
    }

    /// A challenge found no panel: its bond goes back, and the silence before it stands. Else whoever
    /// kept the pool empty had its money back for work that it got.
    pub(super) fn end_unheard(&mut self, at: usize) {
        let _ = self.pay_panels(at, None);
        self.end_unchallenged(at);
    }

    /// Pays the price out of the escrow: the market's fee, and what the worker did not spend.
    fn pay_worker(&mut self, at: usize) {
        let slot = &mut self.jobs[at];
        let price = slot.price;
        let fee = self.rules.fee(price);
        let earned = price - fee - slot.spent;
        slot.escrow -= fee + earned;
        let (client, worker) = (slot.terms.client, slot.worker.expect("somebody worked"));
        let treasury = self.rules.treasury;
        self.give(Movement::Pay, Some(at), Pot::Escrow, client, treasury, fee);
        self.give(Movement::Pay, Some(at), Pot::Escrow, client, worker, earned);
    }

    fn release_stake(&mut self, at: usize) {
        let slot = &mut self.jobs[at];
        let left = std::mem::take(&mut slot.stake);
        let worker = slot.worker.expect("somebody worked");
        self.give(Movement::Release, Some(at), Pot::Stake, worker, worker, left);
    }

    fn slash_worker(&mut self, at: usize, to: Party, minor: i128) {
        let slot = &mut self.jobs[at];
        slot.stake -= minor;
        let worker = slot.worker.expect("somebody worked");
        self.give(Movement::Slash, Some(at), Pot::Stake, worker, to, minor);
    }

    /// Damages: from the worker's stake into the job's escrow, as far as it goes.
    fn restore(&mut self, at: usize, damage: i128) {
        let slot = &mut self.jobs[at];
        let part = damage.min(slot.stake);
        slot.stake -= part;
        slot.escrow += part;
        let (worker, client) = (slot.worker.expect("somebody worked"), slot.terms.client);
        self.tell(Movement::Restore, Some(at), Pot::Stake, worker, client, part);
    }

    /// What is left in escrow goes back where it came from.
    fn refund(&mut self, at: usize) {
        let slot = &mut self.jobs[at];
        let left = std::mem::take(&mut slot.escrow);
        slot.refunded = left;
        let client = slot.terms.client;
        match slot.parent_at.filter(|_| slot.funded) {
            None => self.give(Movement::Refund, Some(at), Pot::Escrow, client, client, left),
            Some(parent) => {
                let budget = slot.terms.budget.minor();
                let above = &mut self.jobs[parent];
                assert!(!above.stage.is_final(), "children end before their parent");
                above.escrow += left;
                above.allotted -= budget;
                above.spent += budget - left;
                above.open_children -= 1;
                // What came back need not be answered for any longer.
                above.stake -= left;
                self.tell(Movement::Return, Some(at), Pot::Escrow, client, client, left);
                self.give(Movement::Release, Some(parent), Pot::Stake, client, client, left);
            }
        }
    }

    /// Unlocks the deposits of those who were seated and not needed.
    fn dismiss(&mut self, at: usize) {
        for panel in 0..self.jobs[at].panels.len() {
            for seat in 0..self.jobs[at].panels[panel].seats.len() {
                let slot = &mut self.jobs[at].panels[panel].seats[seat];
                let (deposit, place) = (std::mem::take(&mut slot.deposit), slot.checker_at);
                self.lock(place, -deposit);
            }
        }
    }

    /// Pays everyone who told a report that the verdict bears out, and takes from those whom it
    /// contradicts; without a verdict, all who spoke are paid. Bonds end here too.
    fn pay_panels(&mut self, at: usize, verdict: Option<bool>) -> Paid {
        let fee = self.jobs[at].terms.checker_fee.minor();
        let client = self.jobs[at].terms.client;
        let bonds = self.jobs[at].bonds.len();
        let mut costs = vec![0; bonds];
        let mut escrow = 0;
        let mut wrong = Vec::new();
        for panel in 0..self.jobs[at].panels.len() {
            let bond = self.jobs[at].panels[panel].bond;
            for seat in 0..self.jobs[at].panels[panel].seats.len() {
                let slot = &mut self.jobs[at].panels[panel].seats[seat];
                let (deposit, place) = (std::mem::take(&mut slot.deposit), slot.checker_at);
                let (checker, spoke) = (slot.checker, slot.report.is_some());
                let agrees = verdict.is_none_or(|verdict| slot.agrees[usize::from(verdict)]);
                self.lock(place, -deposit);
                match (spoke, agrees, bond) {
                    (false, ..) => {}
                    (true, false, _) => wrong.push((place, deposit)),
                    (true, true, None) => {
                        escrow += fee;
                        self.jobs[at].escrow -= fee;
                        self.give(Movement::Pay, Some(at), Pot::Escrow, client, checker, fee);
                    }
                    (true, true, Some(bond)) => {
                        costs[bond] += fee;
                        let owner = self.jobs[at].bonds[bond].party;
                        self.give(Movement::Pay, Some(at), Pot::Bond, owner, checker, fee);
                    }
                }
            }
        }
        let mut owed = vec![0; bonds];
        let mut challenges = vec![0; bonds];
        for bond in 0..bonds {
            let slot = &self.jobs[at].bonds[bond];
            let (party, left, against) = (slot.party, slot.amount - costs[bond], slot.against);
            let worker = !slot.is_appeal || party == client;
            if verdict.is_none_or(|verdict| verdict != against) {
                match (verdict, slot.is_appeal) {
                    (Some(_), true) => owed[bond] = costs[bond],
                    (Some(_), false) => challenges[bond] = costs[bond],
                    (None, _) => {}
                }
                self.give(Movement::Release, Some(at), Pot::Bond, party, party, left);
            } else {
                // Who was kept waiting for nothing gets what the panel did not cost.
                let waited = if worker { self.jobs[at].worker } else { None }.unwrap_or(client);
                self.give(Movement::Slash, Some(at), Pot::Bond, party, waited, left);
            }
        }
        self.take_from_wrong(at, fee, &wrong, owed);
        Paid { escrow, challenges }
    }

    /// Whoever was wrong loses a fee, or so much more, up to its deposit, as it takes to make those
    /// whole whose appeals showed it.
    fn take_from_wrong(
        &mut self,
        at: usize,
        fee: i128,
        wrong: &[(usize, i128)],
        mut owed: Vec<i128>,
    ) {
        let Some(count) = i128::try_from(wrong.len()).ok().filter(|count| *count > 0) else {
            return;
        };
        let treasury = self.rules.treasury;
        let share = (owed.iter().sum::<i128>() + count - 1) / count;
        for &(place, deposit) in wrong {
            let mut lost = share.max(fee).min(deposit);
            for (bond, owed) in owed.iter_mut().enumerate() {
                let part = lost.min(*owed);
                *owed -= part;
                lost -= part;
                let party = self.jobs[at].bonds[bond].party;
                self.slash_checker(at, place, party, part);
            }
            self.slash_checker(at, place, treasury, lost);
        }
    }

    /// What the check found, for all who want to know whom to trust.
    fn write_receipt(&mut self, at: usize, verdict: bool) {
        let slot = &self.jobs[at];
        // Only checkers who did the work themselves show how well they do it.
        let shows_skill = !matches!(slot.terms.check, Check::Gold { .. });
        let checkers: Vec<CheckerReceipt> = slot
            .panels
            .iter()
            .flat_map(|panel| panel.seats.iter().map(move |seat| (panel.is_jury, seat)))
            .filter(|(_, seat)| seat.report.is_some())
            .map(|(is_jury, seat)| CheckerReceipt {
                checker: seat.checker,
                agreed: seat.agrees[usize::from(verdict)],
                worked: !is_jury && shows_skill,
            })
            .collect();
        let receipt = Receipt {
            job: slot.terms.id,
            at: self.now,
            skill: slot.terms.skill,
            client: slot.terms.client,
            worker: slot.worker.expect("somebody worked"),
            price: self.amount(slot.price),
            fee: self.amount(self.rules.fee(slot.price)),
            checker_fee: slot.terms.checker_fee,
            passed: verdict,
            checkers,
        };
        receipt.weigh(|party, skill, minor, good| {
            let place = self.holder_index[&party];
            let record = self.records.entry((place, skill)).or_default();
            record.add(minor, good, self.now, &self.rules);
        });
        self.receipts.push(receipt);
    }

    fn finish(&mut self, at: usize, stage: Stage) {
        let slot = &mut self.jobs[at];
        assert!(
            slot.escrow == 0 && slot.stake == 0 && slot.open_children == 0,
            "job {} ended with money or children left",
            slot.terms.id
        );
        slot.stage = stage;
        slot.deadline = None;
        slot.ended_at = Some(self.now);
        // Labels are up to 256 KiB a job, and the journal has them.
        if let Some(Delivery::Open(report)) = &mut slot.delivery {
            *report = report.shortened();
        }
        let seats = slot.panels.iter_mut().flat_map(|panel| &mut panel.seats);
        let reports = seats.filter_map(|seat| seat.report.as_mut()).chain(slot.opened.as_mut());
        for report in reports {
            *report = report.shortened();
        }
        if slot.worker.is_some() && slot.delivery.is_none() {
            let offer_at = slot.offer_at;
            self.offers[offer_at].busy -= 1;
        }
        self.unfunded.remove(&(slot.terms.client, at));
        self.under_way.remove(&at);
        self.waiting.remove(&at);
        self.changed.push(at);
        self.ended.push(at);
    }
}

/// What panels cost.
struct Paid {
    /// The client.
    escrow: i128,
    /// Challengers who were right, by bond.
    challenges: Vec<i128>,
}
