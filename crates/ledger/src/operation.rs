//! What can be asked of the ledger, and what it answers.
//!
//! Everything here is a value: an operation says what should happen, an outcome what did. Deciding
//! between the two is [`State::apply`](crate::State::apply)'s work.

use std::fmt;
use std::str::FromStr;

use money::{Amount, Asset, Party, Timestamp};
use thiserror::Error;

use crate::account::{Account, MAX_NAME, words};
use crate::id::{AccountId, Reference, TransferId};

/// The most operations that may be linked into one.
pub const MAX_LINKED: usize = 64;

/// What a transfer is in the national accounts. It is decided where the transfer is made, by
/// those who know, and never guessed afterwards (System of National Accounts 2008, chapters 6-11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Goods and services used up to produce others: a machine buys another machine's work.
    Intermediate,
    /// Goods and services for a household's own use.
    FinalHousehold,
    /// Goods and services for the use of all, paid by government or a collective.
    FinalCollective,
    /// Things made to last and to produce: hardware, software, models.
    CapitalFormation,
    /// Compensation of employees: people's labour.
    Wage,
    /// Taxes and fees levied by government or protocol without a service in return.
    Tax,
    /// The reverse of a tax.
    Subsidy,
    /// Income from lending.
    Interest,
    /// Given without anything in return.
    Transfer,
    /// One financial asset against another, and loans: no income, no production.
    Financial,
    /// Outside the accounts: budgets, limits and counters.
    Memo,
}

words!(Kind, "kind of transfer", {
    Intermediate = "intermediate",
    FinalHousehold = "final_household",
    FinalCollective = "final_collective",
    CapitalFormation = "capital_formation",
    Wage = "wage",
    Tax = "tax",
    Subsidy = "subsidy",
    Interest = "interest",
    Transfer = "transfer",
    Financial = "financial",
    Memo = "memo",
});

/// A movement from one account to another, for good or as a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Chosen by the submitter; the same id is never applied twice.
    pub id: TransferId,
    /// The account that is debited.
    pub debit: AccountId,
    /// The account that is credited; another one, in the same asset.
    pub credit: AccountId,
    /// How much; more than zero, in the accounts' asset.
    pub amount: Amount,
    /// What it is in the national accounts.
    pub kind: Kind,
    /// With whom the act is done, when the accounts do not tell.
    pub counterparty: Option<Party>,
    /// The act it belongs to.
    pub reference: Reference,
    /// What the transfer is bound to, for instance a request's digest; zero if nothing.
    pub digest: [u8; 32],
    /// If present this is a hold: money set aside until it is posted or voided, or until this
    /// moment, when it expires by itself.
    pub hold_until: Option<Timestamp>,
}

/// Something to be done, whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Opens an account.
    Open(Account),
    /// Moves money, or sets it aside.
    Transfer(Transfer),
    /// Makes a hold final.
    Post {
        /// Which hold.
        hold: TransferId,
        /// How much of it; the rest is released. `None` means all.
        amount: Option<Amount>,
    },
    /// Releases a hold.
    Void {
        /// Which hold.
        hold: TransferId,
    },
    /// 1 to [`MAX_LINKED`] operations that happen together or not at all, in this order, each
    /// seeing the effects of those before. They cannot contain another chain.
    Linked(Vec<Operation>),
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a refused operation has moved nothing"]
pub enum Outcome {
    /// It happened now.
    Applied,
    /// It had happened before, exactly so; nothing changed.
    Exists,
    /// It did not happen, and left no trace: a later try may succeed.
    Refused(Refusal),
}

impl Outcome {
    /// Whether what was asked is now so, be it since now or since before.
    pub fn holds(&self) -> bool {
        match self {
            Outcome::Applied | Outcome::Exists => true,
            Outcome::Refused(_) => false,
        }
    }

    /// The refusal as an error, for `?`.
    ///
    /// # Errors
    /// The refusal, if it was one.
    pub fn into_result(self) -> Result<(), Refusal> {
        match self {
            Outcome::Applied | Outcome::Exists => Ok(()),
            Outcome::Refused(refusal) => Err(refusal),
        }
    }
}

/// Which operation was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Refusal {
    /// Its place in the chain; 0 if it stood alone.
    pub index: usize,
    /// The first reason that was found, in the order of [`Reason`].
    pub reason: Reason,
}

/// Why an operation is refused.
///
/// If several reasons hold, the one that comes first in this list is given. That order is part of
/// the contract, and a table test walks it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Reason {
    /// A chain is empty or longer than [`MAX_LINKED`].
    #[error("{length} operations cannot be linked: a chain has 1 to {MAX_LINKED}")]
    ChainLength {
        /// How many there were.
        length: usize,
    },
    /// A chain contains a chain.
    #[error("a chain of operations cannot contain another chain")]
    ChainNested,
    /// Some operations of a chain had happened before and others had not, so the chain is not
    /// the one that happened. The index names the first that had.
    #[error("a linked operation had happened before, but not the whole chain")]
    ChainPartlyExists,

    /// An account's id is not derived from its book, name and asset.
    #[error("account {account} is not the id of its book, name and asset: {derived} is")]
    AccountIdMismatch {
        /// The id it came with.
        account: AccountId,
        /// The id it should have.
        derived: AccountId,
    },
    /// An account's name is empty, too long, or contains a control character.
    #[error("an account's name has 1 to {MAX_NAME} printable characters; this has {length}")]
    AccountNameInvalid {
        /// Its length, in characters.
        length: usize,
    },

    /// The id is taken by something that is not the same.
    #[error("{id} exists with a different {field}")]
    ExistsWithDifferent {
        /// The id, as shown.
        id: String,
        /// The first field that differs, in the order of declaration.
        field: &'static str,
    },
    /// An account would be closed from the start.
    #[error("an account cannot be opened at {at} and closed since {closes_at}")]
    AccountMustCloseInFuture {
        /// When it would close.
        closes_at: Timestamp,
        /// The present moment.
        at: Timestamp,
    },

    /// The amount is zero or negative.
    #[error("{amount} cannot be transferred: it must be more than nothing")]
    AmountMustBePositive {
        /// What was asked.
        amount: Amount,
    },
    /// Debit and credit are the same account.
    #[error("account {account} cannot pay itself")]
    AccountsMustBeDifferent {
        /// The account.
        account: AccountId,
    },
    /// There is no such account; the debit side is looked up first.
    #[error("there is no account {account}")]
    AccountNotFound {
        /// The id that was looked up.
        account: AccountId,
    },
    /// The accounts and the amount are not all of one asset.
    #[error("{amount:?} cannot move from an account in {debit:?} to one in {credit:?}")]
    AssetsMustMatch {
        /// Of the amount.
        amount: Asset,
        /// Of the debited account.
        debit: Asset,
        /// Of the credited account.
        credit: Asset,
    },
    /// A hold would expire at once.
    #[error("a hold made at {at} cannot end at {until}")]
    HoldMustEndInFuture {
        /// When it would end.
        until: Timestamp,
        /// The present moment.
        at: Timestamp,
    },
    /// The account takes no new transfers; the debit side is looked at first.
    #[error("account {account} is closed since {closed_at}")]
    AccountClosed {
        /// Which.
        account: AccountId,
        /// Since when.
        closed_at: Timestamp,
    },
    /// The total of the asset would no longer fit into 127 bits.
    #[error("the total of {asset} would grow beyond what can be counted")]
    Overflow {
        /// The asset.
        asset: Asset,
    },
    /// An account would be drawn beyond its limit; the debit side is looked at first.
    #[error("{asked} was asked of account {account}, which has {available} available")]
    LimitExceeded {
        /// Which.
        account: AccountId,
        /// What it had left, after all holds.
        available: Amount,
        /// What was asked.
        asked: Amount,
    },

    /// There is no such hold.
    #[error("there is no hold {hold}")]
    HoldNotFound {
        /// The id that was looked up.
        hold: TransferId,
    },
    /// The transfer was never a hold.
    #[error("transfer {transfer} was final from the start: it cannot be posted or voided")]
    TransferIsNoHold {
        /// Which.
        transfer: TransferId,
    },
    /// The hold was posted before: for another amount, or it should now be voided.
    #[error("hold {hold} was posted with {posted}")]
    HoldAlreadyPosted {
        /// Which.
        hold: TransferId,
        /// How much was posted.
        posted: Amount,
    },
    /// The hold was voided before.
    #[error("hold {hold} was voided at {at}")]
    HoldAlreadyVoided {
        /// Which.
        hold: TransferId,
        /// When.
        at: Timestamp,
    },
    /// The hold's time is over.
    #[error("hold {hold} expired at {at}")]
    HoldExpired {
        /// Which.
        hold: TransferId,
        /// When.
        at: Timestamp,
    },
    /// The posted amount is of another asset than the hold.
    #[error("a hold of {held} cannot be posted with {asked}")]
    PostInOtherAsset {
        /// What is held.
        held: Amount,
        /// What was asked.
        asked: Amount,
    },
    /// More would be posted than is held.
    #[error("{asked} cannot be posted: only {held} is held")]
    PostExceedsHold {
        /// What is held.
        held: Amount,
        /// What was asked.
        asked: Amount,
    },

    /// A piece of evidence cannot be stored as it is.
    #[error("evidence `{stage}` cannot be stored: {problem}")]
    EvidenceInvalid {
        /// Its stage, shortened.
        stage: String,
        /// What is wrong, and what would be right.
        problem: &'static str,
    },
    /// Other evidence is stored for this act and stage, and evidence is never replaced.
    #[error("evidence `{stage}` of {reference} exists and is different")]
    EvidenceDiffers {
        /// The act.
        reference: Reference,
        /// The stage.
        stage: String,
    },
}

/// What stands in the books for a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRecord {
    /// As it was submitted.
    pub transfer: Transfer,
    /// When it was applied.
    pub at: Timestamp,
    /// Its place in the order of application, counted from 0 without gaps.
    pub sequence: u64,
    /// What became of it.
    pub status: Status,
}

impl TransferRecord {
    /// What has moved for good: nothing as long as it is held, and if it was released.
    pub fn posted(&self) -> Option<(Timestamp, Amount)> {
        match self.status {
            Status::Posted { at, amount } => Some((at, amount)),
            Status::Held | Status::Voided { .. } | Status::Expired { .. } => None,
        }
    }
}

/// What became of a transfer. Only a hold changes its status, and only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Moved for good.
    Posted {
        /// When: for what was never a hold, when it was applied.
        at: Timestamp,
        /// How much: for what was a hold, perhaps less than was held.
        amount: Amount,
    },
    /// Set aside.
    Held,
    /// Released on request.
    Voided {
        /// When.
        at: Timestamp,
    },
    /// Released by time.
    Expired {
        /// When: the hold's own deadline, even if that was noticed later.
        at: Timestamp,
    },
}
