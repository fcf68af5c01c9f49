//! Changing the books, and taking a change back.
//!
//! Every change goes through here and leaves one entry in the log; undoing reads the log
//! backwards. Debits and credits are compared with each change, undone ones too.

use money::{Amount, Asset, Timestamp};

use super::{Entry, State, Totals, Undo};
use crate::id::Reference;
use crate::operation::{Operation, Outcome, Reason, Refusal, Status};

/// What ends a hold.
pub(super) enum Resolution {
    /// This much becomes final, the rest is released.
    Post(Amount),
    /// All is released.
    Release(Status),
}

impl State {
    /// Ends an open hold; the only place where a status changes.
    pub(super) fn resolve(&mut self, entry: usize, resolution: Resolution) {
        let record = &mut self.entries[entry].record;
        assert_eq!(record.status, Status::Held, "a hold resolves once (invariant 2)");
        let held = record.transfer.amount.minor();
        let (status, posted) = match resolution {
            Resolution::Post(amount) => (Status::Posted { at: self.now, amount }, amount.minor()),
            Resolution::Release(status) => (status, 0),
        };
        record.status = status;
        let deadline = record.transfer.hold_until.expect("a held transfer has a deadline");
        let open = self.deadlines.remove(&(deadline, record.transfer.id));
        assert!(open, "every open hold has its deadline noted");
        self.move_sums(entry, posted, -held);
        self.undo.push(Undo::Resolved { entry });
    }

    /// Adds to both accounts of an entry and to the asset's totals, and compares the sides.
    pub(super) fn move_sums(&mut self, entry: usize, posted: i128, pending: i128) {
        let Entry { debit, credit, .. } = self.entries[entry];
        let debited = &mut self.accounts[debit];
        debited.sums.debits_posted += posted;
        debited.sums.debits_pending += pending;
        assert!(debited.sums.debits_pending >= 0 && debited.sums.debits_posted >= 0);
        let totals = &mut self.assets[debited.asset];
        totals.debits_posted += posted;
        totals.debits_pending += pending;
        let credited = &mut self.accounts[credit];
        credited.sums.credits_posted += posted;
        credited.sums.credits_pending += pending;
        assert!(credited.sums.credits_pending >= 0 && credited.sums.credits_posted >= 0);
        let totals = &mut self.assets[credited.asset];
        totals.credits_posted += posted;
        totals.credits_pending += pending;
        assert!(
            totals.debits_posted == totals.credits_posted
                && totals.debits_pending == totals.credits_pending,
            "debits equal credits (invariant 1): {totals:?}"
        );
    }

    pub(super) fn asset_index(&mut self, asset: Asset) -> usize {
        self.assets.iter().position(|totals| totals.asset == asset).unwrap_or_else(|| {
            self.assets.push(Totals {
                asset,
                debits_posted: 0,
                debits_pending: 0,
                credits_posted: 0,
                credits_pending: 0,
            });
            self.assets.len() - 1
        })
    }

    pub(super) fn undo_to(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop().expect("longer than the mark") {
                Undo::Time(before) => self.now = before,
                Undo::Opened { first_of_its_asset } => self.undo_opened(first_of_its_asset),
                Undo::Entered => self.undo_entered(),
                Undo::Resolved { entry } => self.undo_resolved(entry),
            }
        }
    }

    fn undo_opened(&mut self, first_of_its_asset: bool) {
        let slot = self.accounts.pop().expect("an account was opened");
        assert!(slot.entries.is_empty(), "its transfers were taken back before");
        self.account_index.remove(&slot.account.id);
        let book = self.books.get_mut(&slot.account.book).expect("its book was noted");
        book.pop();
        if book.is_empty() {
            self.books.remove(&slot.account.book);
        }
        if first_of_its_asset {
            self.assets.pop();
        }
    }

    fn undo_entered(&mut self) {
        let entry = self.entries.len() - 1;
        let record = &self.entries[entry].record;
        let amount = record.transfer.amount.minor();
        match record.transfer.hold_until {
            Some(until) => {
                self.deadlines.remove(&(until, record.transfer.id));
                self.move_sums(entry, 0, -amount);
            }
            None => self.move_sums(entry, -amount, 0),
        }
        let Entry { record, debit, credit, previous } = self.entries.pop().expect("it is there");
        self.accounts[debit].entries.pop();
        self.accounts[credit].entries.pop();
        self.entry_index.remove(&record.transfer.id);
        match (record.transfer.reference, previous) {
            (Reference::NONE, _) => {}
            (reference, Some(previous)) => {
                self.latest_of.insert(reference, previous);
            }
            (reference, None) => {
                self.latest_of.remove(&reference);
            }
        }
    }

    fn undo_resolved(&mut self, entry: usize) {
        let record = &mut self.entries[entry].record;
        let posted = record.posted().map_or(0, |(_, amount)| amount.minor());
        record.status = Status::Held;
        let held = record.transfer.amount.minor();
        let deadline = record.transfer.hold_until.expect("it was a hold");
        self.deadlines.insert((deadline, record.transfer.id));
        self.move_sums(entry, -posted, held);
    }
}

/// Performs operations to see what they come to, and takes them back when dropped.
pub(crate) struct Trial<'a> {
    pub(super) state: &'a mut State,
}

impl Trial<'_> {
    pub(crate) fn advance(&mut self, at: Timestamp) -> usize {
        self.state.advance(at)
    }

    /// Performs `operation`; if `allow` then finds a reason against it, takes it back again.
    pub(crate) fn perform(
        &mut self,
        operation: &Operation,
        allow: impl FnOnce(&Outcome) -> Result<(), Reason>,
    ) -> Outcome {
        let mark = self.state.undo.len();
        let outcome = self.state.perform(operation);
        match allow(&outcome) {
            Ok(()) => outcome,
            Err(reason) => {
                self.state.undo_to(mark);
                Outcome::Refused(Refusal { index: 0, reason })
            }
        }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.state.undo_to(0);
        }
    }
}
