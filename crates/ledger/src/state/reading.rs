//! Looking into the books. Nothing here changes them.

use money::{Party, Timestamp};
use sha2::{Digest, Sha256};

use super::{AccountSlot, State, Sums, Totals};
use crate::account::{Account, Balance};
use crate::encoding;
use crate::id::{AccountId, Reference, TransferId};
use crate::operation::TransferRecord;

impl State {
    /// The latest moment seen.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When the next hold expires.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The account, if it is open.
    pub fn account(&self, id: &AccountId) -> Option<&Account> {
        self.account_index.get(id).map(|index| &self.accounts[*index].account)
    }

    /// What has gone through the account.
    pub fn balance(&self, id: &AccountId) -> Option<Balance> {
        self.account_index.get(id).map(|index| self.accounts[*index].balance())
    }

    /// The transfer or hold, if it was applied.
    pub fn transfer(&self, id: &TransferId) -> Option<&TransferRecord> {
        self.entry_index.get(id).map(|entry| &self.entries[*entry].record)
    }

    /// All accounts, in the order they were opened.
    pub fn accounts(&self) -> impl DoubleEndedIterator<Item = &Account> + ExactSizeIterator {
        self.accounts.iter().map(|slot| &slot.account)
    }

    /// The accounts in somebody's books, in the order they were opened.
    pub fn accounts_of(&self, book: Party) -> impl DoubleEndedIterator<Item = &Account> {
        let indices = self.books.get(&book).map_or(&[][..], Vec::as_slice);
        indices.iter().map(|index| &self.accounts[*index].account)
    }

    /// Everyone who keeps books here, in the order of their addresses.
    pub fn books(&self) -> impl DoubleEndedIterator<Item = Party> {
        self.books.keys().copied()
    }

    /// All transfers and holds, in the order of application.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &TransferRecord> + ExactSizeIterator {
        self.entries.iter().map(|entry| &entry.record)
    }

    /// The transfers and holds from `sequence` on.
    pub fn entries_from(
        &self,
        sequence: u64,
    ) -> impl DoubleEndedIterator<Item = &TransferRecord> + ExactSizeIterator {
        let start = usize::try_from(sequence).unwrap_or(usize::MAX).min(self.entries.len());
        self.entries[start..].iter().map(|entry| &entry.record)
    }

    /// The transfers and holds of one account, in the order of application; none if there is no
    /// such account.
    pub fn entries_of(
        &self,
        account: AccountId,
    ) -> impl DoubleEndedIterator<Item = &TransferRecord> + ExactSizeIterator {
        let index = self.account_index.get(&account);
        let entries = index.map_or(&[][..], |index| self.accounts[*index].entries.as_slice());
        entries.iter().map(|entry| &self.entries[*entry].record)
    }

    /// The transfers and holds of one act, in the order of application; none for
    /// [`Reference::NONE`].
    pub fn by_reference(&self, reference: Reference) -> Vec<&TransferRecord> {
        let mut found = Vec::new();
        let mut next = self.latest_of.get(&reference).copied();
        while let Some(entry) = next {
            found.push(&self.entries[entry].record);
            next = self.entries[entry].previous;
        }
        found.reverse();
        found
    }

    /// All open holds, by deadline and then by id.
    pub fn holds(&self) -> impl DoubleEndedIterator<Item = &TransferRecord> {
        self.deadlines.iter().map(|(_, id)| &self.entries[self.entry_index[id]].record)
    }

    /// For each asset, what has gone through all accounts.
    pub fn totals(&self) -> &[Totals] {
        &self.assets
    }

    /// SHA-256 over all accounts with their balances, by id, and all transfers with their status,
    /// in order. Equal digests mean equal books. Time as such is not part of the books: only what
    /// it has done.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut bytes = Vec::with_capacity(512);
        let mut accounts: Vec<&AccountSlot> = self.accounts.iter().collect();
        accounts.sort_unstable_by_key(|slot| slot.account.id);
        hash.update((accounts.len() as u64).to_be_bytes());
        for slot in accounts {
            bytes.clear();
            encoding::put_account(&mut bytes, &slot.account);
            let Sums { debits_posted, debits_pending, credits_posted, credits_pending } = slot.sums;
            for sum in [debits_posted, debits_pending, credits_posted, credits_pending] {
                bytes.extend(sum.to_be_bytes());
            }
            hash.update(&bytes);
        }
        hash.update((self.entries.len() as u64).to_be_bytes());
        for entry in &self.entries {
            bytes.clear();
            encoding::put_record(&mut bytes, &entry.record);
            hash.update(&bytes);
        }
        hash.finalize().into()
    }
}
