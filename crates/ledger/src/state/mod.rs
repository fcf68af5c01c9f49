//! The books: a pure state machine.
//!
//! *Purpose.* [`State::apply`] takes an operation and a moment and answers with an outcome. It
//! reads no clock, does no I/O and draws no numbers, so the same operations at the same moments
//! give the same state, byte for byte (invariant 5).
//!
//! *Cost.* A transfer costs a hash lookup for its id and for each account, and an append; a hold
//! costs an ordered insertion besides. About 0.5 µs and 400 bytes of memory a transfer.
//!
//! *Order.* Time never steps back: an operation at an earlier moment than the last is taken as if
//! it came at the last. Holds that are due expire first, by deadline and then by id; then the
//! operation is checked in the order of [`Reason`], and then it is done whole.
//!
//! *Bounds.* A chain has at most [`MAX_LINKED`] operations. The books themselves grow without
//! bound; they are all in memory.
//!
//! *Undoing.* Each change leaves an entry in a short log until its operation is over. A chain
//! that fails is undone from it, and the store uses the same log to find out what a batch would
//! do before it is durable ([`State::trial`]).

mod changing;
mod reading;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use foldhash::fast::RandomState;
use money::{Amount, Asset, Party, Timestamp};

use changing::Resolution;
pub(crate) use changing::Trial;

use crate::account::{Account, Balance, Limit, MAX_NAME};
use crate::id::{AccountId, Reference, TransferId};
use crate::operation::{
    MAX_LINKED, Operation, Outcome, Reason, Refusal, Status, Transfer, TransferRecord,
};

/// All accounts and transfers there are.
#[derive(Debug, Clone, Default)]
pub struct State {
    now: Timestamp,
    accounts: Vec<AccountSlot>,
    account_index: HashMap<AccountId, usize, RandomState>,
    books: BTreeMap<Party, Vec<usize>>,
    assets: Vec<Totals>,
    entries: Vec<Entry>,
    entry_index: HashMap<TransferId, usize, RandomState>,
    /// The last entry of each act; each entry knows the one before.
    latest_of: HashMap<Reference, usize, RandomState>,
    /// Every open hold, by deadline and then by id.
    deadlines: BTreeSet<(Timestamp, TransferId)>,
    undo: Vec<Undo>,
}

#[derive(Debug, Clone)]
struct AccountSlot {
    account: Account,
    asset: usize,
    sums: Sums,
    entries: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Entry {
    record: TransferRecord,
    debit: usize,
    credit: usize,
    previous: Option<usize>,
}

/// Minor units, none negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    debits_posted: i128,
    debits_pending: i128,
    credits_posted: i128,
    credits_pending: i128,
}

/// What has gone through all accounts in one asset, in minor units. Debits equal credits, always
/// (invariant 1); the state counts both and compares them with every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// The asset.
    pub asset: Asset,
    /// All debits that are final.
    pub debits_posted: i128,
    /// All debits that are held.
    pub debits_pending: i128,
    /// All credits that are final.
    pub credits_posted: i128,
    /// All credits that are held.
    pub credits_pending: i128,
}

/// How to take back the last change.
#[derive(Debug, Clone, Copy)]
enum Undo {
    Time(Timestamp),
    Opened { first_of_its_asset: bool },
    Entered,
    Resolved { entry: usize },
}

/// What a single operation comes to, if it is not refused.
enum Step {
    Done,
    Existed,
}

impl State {
    /// Books without accounts.
    pub fn new() -> State {
        State::default()
    }

    /// Decides `operation` at the moment `at` and does it, whole or not at all.
    ///
    /// Time is monotone: an `at` before the last one counts as the last one. A refused operation
    /// changes nothing, except that time has passed and due holds have expired.
    ///
    /// # Panics
    /// If the books no longer balance: a bug here, never in the caller's input.
    pub fn apply(&mut self, at: Timestamp, operation: &Operation) -> Outcome {
        self.advance(at);
        let outcome = self.perform(operation);
        self.undo.clear();
        outcome
    }

    /// Lets time pass: all holds due at `at` expire, by deadline and then by id. Returns how many
    /// did.
    pub fn expire(&mut self, at: Timestamp) -> usize {
        let expired = self.advance(at);
        self.undo.clear();
        expired
    }

    /// A look at what operations would do; all is taken back when the trial is dropped.
    pub(crate) fn trial(&mut self) -> Trial<'_> {
        assert!(self.undo.is_empty(), "a trial begins between operations");
        Trial { state: self }
    }

    /// Like [`expire`](Self::expire), but can still be undone.
    pub(crate) fn advance(&mut self, at: Timestamp) -> usize {
        if at > self.now {
            self.undo.push(Undo::Time(self.now));
            self.now = at;
        }
        let mut expired = 0;
        while let Some(&(deadline, id)) = self.deadlines.first() {
            if deadline > self.now {
                break;
            }
            let entry = self.entry_index[&id];
            self.resolve(entry, Resolution::Release(Status::Expired { at: deadline }));
            expired += 1;
        }
        expired
    }

    /// Decides and does `operation` at the present moment; can still be undone.
    pub(crate) fn perform(&mut self, operation: &Operation) -> Outcome {
        let mark = self.undo.len();
        match self.decide(operation) {
            Ok(Step::Done) => Outcome::Applied,
            Ok(Step::Existed) => Outcome::Exists,
            Err(refusal) => {
                self.undo_to(mark);
                Outcome::Refused(refusal)
            }
        }
    }

    /// Makes what was performed final and names the acts that it touched, each once.
    pub(crate) fn finish(&mut self) -> Vec<Reference> {
        let mut touched: Vec<Reference> = self
            .undo
            .iter()
            .rev()
            .scan(self.entries.len(), |end, undo| {
                Some(match undo {
                    Undo::Entered => {
                        *end -= 1;
                        Some(*end)
                    }
                    Undo::Resolved { entry } => Some(*entry),
                    Undo::Time(_) | Undo::Opened { .. } => None,
                })
            })
            .flatten()
            .map(|entry| self.entries[entry].record.transfer.reference)
            .filter(|reference| !reference.is_none())
            .collect();
        self.undo.clear();
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    fn decide(&mut self, operation: &Operation) -> Result<Step, Refusal> {
        let Operation::Linked(chain) = operation else {
            return self.decide_one(operation).map_err(|reason| Refusal { index: 0, reason });
        };
        if chain.is_empty() || chain.len() > MAX_LINKED {
            let reason = Reason::ChainLength { length: chain.len() };
            return Err(Refusal { index: 0, reason });
        }
        if let Some(index) = chain.iter().position(|o| matches!(o, Operation::Linked(_))) {
            return Err(Refusal { index, reason: Reason::ChainNested });
        }
        let (mut done, mut first_existing) = (false, None);
        for (index, operation) in chain.iter().enumerate() {
            let step = self.decide_one(operation).map_err(|reason| Refusal { index, reason })?;
            match step {
                Step::Done => done = true,
                Step::Existed => first_existing = first_existing.or(Some(index)),
            }
            if let (true, Some(index)) = (done, first_existing) {
                return Err(Refusal { index, reason: Reason::ChainPartlyExists });
            }
        }
        Ok(if done { Step::Done } else { Step::Existed })
    }

    fn decide_one(&mut self, operation: &Operation) -> Result<Step, Reason> {
        match operation {
            Operation::Open(account) => self.open(account),
            Operation::Transfer(transfer) => self.transfer_or_hold(transfer),
            Operation::Post { hold, amount } => self.post(*hold, *amount),
            Operation::Void { hold } => self.void(*hold),
            Operation::Linked(_) => Err(Reason::ChainNested),
        }
    }

    fn open(&mut self, account: &Account) -> Result<Step, Reason> {
        let derived = AccountId::derive(account.book, &account.name, account.asset);
        if account.id != derived {
            return Err(Reason::AccountIdMismatch { account: account.id, derived });
        }
        let length = account.name.chars().count();
        if length == 0 || length > MAX_NAME || account.name.chars().any(char::is_control) {
            return Err(Reason::AccountNameInvalid { length });
        }
        if let Some(&index) = self.account_index.get(&account.id) {
            let stored = &self.accounts[index].account;
            return match first_difference_of_accounts(stored, account) {
                None => Ok(Step::Existed),
                Some(field) => {
                    Err(Reason::ExistsWithDifferent { id: account.id.to_string(), field })
                }
            };
        }
        if let Some(closes_at) = account.closes_at.filter(|moment| *moment <= self.now) {
            return Err(Reason::AccountMustCloseInFuture { closes_at, at: self.now });
        }

        let index = self.accounts.len();
        let assets_before = self.assets.len();
        let asset = self.asset_index(account.asset);
        self.accounts.push(AccountSlot {
            account: account.clone(),
            asset,
            sums: Sums::default(),
            entries: Vec::new(),
        });
        self.account_index.insert(account.id, index);
        self.books.entry(account.book).or_default().push(index);
        self.undo.push(Undo::Opened { first_of_its_asset: self.assets.len() > assets_before });
        Ok(Step::Done)
    }

    fn transfer_or_hold(&mut self, transfer: &Transfer) -> Result<Step, Reason> {
        if let Some(&entry) = self.entry_index.get(&transfer.id) {
            let stored = &self.entries[entry].record.transfer;
            return match first_difference_of_transfers(stored, transfer) {
                None => Ok(Step::Existed),
                Some(field) => {
                    Err(Reason::ExistsWithDifferent { id: transfer.id.to_string(), field })
                }
            };
        }
        let amount = transfer.amount;
        if !amount.is_positive() {
            return Err(Reason::AmountMustBePositive { amount });
        }
        if transfer.debit == transfer.credit {
            return Err(Reason::AccountsMustBeDifferent { account: transfer.debit });
        }
        let find = |account: AccountId| {
            self.account_index.get(&account).copied().ok_or(Reason::AccountNotFound { account })
        };
        let (debit, credit) = (find(transfer.debit)?, find(transfer.credit)?);
        let (debited, credited) = (&self.accounts[debit], &self.accounts[credit]);
        let assets = (debited.account.asset, credited.account.asset);
        if assets != (amount.asset(), amount.asset()) {
            let (debit, credit) = assets;
            return Err(Reason::AssetsMustMatch { amount: amount.asset(), debit, credit });
        }
        if let Some(until) = transfer.hold_until.filter(|until| *until <= self.now) {
            return Err(Reason::HoldMustEndInFuture { until, at: self.now });
        }
        for slot in [debited, credited] {
            if let Some(closed_at) = slot.account.closes_at.filter(|at| *at <= self.now) {
                return Err(Reason::AccountClosed { account: slot.account.id, closed_at });
            }
        }
        // No account exceeds its asset's total, so this one check covers them all, and all that
        // a hold can become.
        let totals = &self.assets[debited.asset];
        if (totals.debits_posted + totals.debits_pending).checked_add(amount.minor()).is_none() {
            return Err(Reason::Overflow { asset: amount.asset() });
        }
        for (slot, limit) in [
            (debited, Limit::DebitsMustNotExceedCredits),
            (credited, Limit::CreditsMustNotExceedDebits),
        ] {
            if slot.account.limit == limit {
                let available = slot.balance().available();
                if amount.minor() > available.minor() {
                    let account = slot.account.id;
                    return Err(Reason::LimitExceeded { account, available, asked: amount });
                }
            }
        }

        let entry = self.entries.len();
        let status = match transfer.hold_until {
            Some(until) => {
                self.deadlines.insert((until, transfer.id));
                Status::Held
            }
            None => Status::Posted { at: self.now, amount },
        };
        let record = TransferRecord {
            transfer: transfer.clone(),
            at: self.now,
            sequence: entry as u64,
            status,
        };
        let previous = match transfer.reference {
            Reference::NONE => None,
            reference => self.latest_of.insert(reference, entry),
        };
        self.entry_index.insert(transfer.id, entry);
        self.accounts[debit].entries.push(entry);
        self.accounts[credit].entries.push(entry);
        self.entries.push(Entry { record, debit, credit, previous });
        match transfer.hold_until {
            Some(_) => self.move_sums(entry, 0, amount.minor()),
            None => self.move_sums(entry, amount.minor(), 0),
        }
        self.undo.push(Undo::Entered);
        Ok(Step::Done)
    }

    fn post(&mut self, hold: TransferId, amount: Option<Amount>) -> Result<Step, Reason> {
        let (entry, held, status) = self.find_hold(hold)?;
        let asked = amount.unwrap_or(held);
        match status {
            Status::Posted { amount: posted, .. } if posted == asked => return Ok(Step::Existed),
            Status::Posted { amount: posted, .. } => {
                return Err(Reason::HoldAlreadyPosted { hold, posted });
            }
            Status::Voided { at } => return Err(Reason::HoldAlreadyVoided { hold, at }),
            Status::Expired { at } => return Err(Reason::HoldExpired { hold, at }),
            Status::Held => {}
        }
        if !asked.is_positive() {
            return Err(Reason::AmountMustBePositive { amount: asked });
        }
        if asked.asset() != held.asset() {
            return Err(Reason::PostInOtherAsset { held, asked });
        }
        if asked.minor() > held.minor() {
            return Err(Reason::PostExceedsHold { held, asked });
        }
        self.resolve(entry, Resolution::Post(asked));
        Ok(Step::Done)
    }

    fn void(&mut self, hold: TransferId) -> Result<Step, Reason> {
        let (entry, _, status) = self.find_hold(hold)?;
        match status {
            Status::Voided { .. } => Ok(Step::Existed),
            Status::Posted { amount: posted, .. } => {
                Err(Reason::HoldAlreadyPosted { hold, posted })
            }
            Status::Expired { at } => Err(Reason::HoldExpired { hold, at }),
            Status::Held => {
                self.resolve(entry, Resolution::Release(Status::Voided { at: self.now }));
                Ok(Step::Done)
            }
        }
    }

    fn find_hold(&self, hold: TransferId) -> Result<(usize, Amount, Status), Reason> {
        let entry = *self.entry_index.get(&hold).ok_or(Reason::HoldNotFound { hold })?;
        let record = &self.entries[entry].record;
        if record.transfer.hold_until.is_none() {
            return Err(Reason::TransferIsNoHold { transfer: hold });
        }
        Ok((entry, record.transfer.amount, record.status))
    }
}

impl AccountSlot {
    fn balance(&self) -> Balance {
        Balance {
            asset: self.account.asset,
            class: self.account.class,
            limit: self.account.limit,
            debits_posted: self.sums.debits_posted,
            debits_pending: self.sums.debits_pending,
            credits_posted: self.sums.credits_posted,
            credits_pending: self.sums.credits_pending,
        }
    }
}

fn first_difference_of_accounts(stored: &Account, asked: &Account) -> Option<&'static str> {
    [
        ("book", stored.book == asked.book),
        ("name", stored.name == asked.name),
        ("asset", stored.asset == asked.asset),
        ("class", stored.class == asked.class),
        ("limit", stored.limit == asked.limit),
        ("closes_at", stored.closes_at == asked.closes_at),
    ]
    .into_iter()
    .find_map(|(field, same)| (!same).then_some(field))
}

fn first_difference_of_transfers(stored: &Transfer, asked: &Transfer) -> Option<&'static str> {
    [
        ("debit", stored.debit == asked.debit),
        ("credit", stored.credit == asked.credit),
        ("amount", stored.amount == asked.amount),
        ("kind", stored.kind == asked.kind),
        ("counterparty", stored.counterparty == asked.counterparty),
        ("reference", stored.reference == asked.reference),
        ("digest", stored.digest == asked.digest),
        ("hold_until", stored.hold_until == asked.hold_until),
    ]
    .into_iter()
    .find_map(|(field, same)| (!same).then_some(field))
}
