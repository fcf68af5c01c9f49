//! Why a machine may not spend.

use ledger::LedgerError;
use money::{Amount, Party, Timestamp};
use thiserror::Error;

use crate::approval::Approval;
use crate::mandate::MandateId;

/// One limit of a mandate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The most that one payment may be.
    PerPayment,
    /// The most in any 24 hours.
    Daily,
    /// The most in all.
    Lifetime,
    /// What the machine's wallet holds.
    Wallet,
    /// What the machine has left in a payment channel.
    Prepaid,
}

impl Rule {
    /// The rule's stable name, for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::PerPayment => "per_payment",
            Rule::Daily => "daily",
            Rule::Lifetime => "lifetime",
            Rule::Wallet => "wallet",
            Rule::Prepaid => "prepaid",
        }
    }

    const fn spoken(self) -> &'static str {
        match self {
            Rule::PerPayment => "allowed for one payment",
            Rule::Daily => "left of the last 24 hours' budget",
            Rule::Lifetime => "left of the mandate's budget",
            Rule::Wallet => "in the machine's wallet",
            Rule::Prepaid => "left in the payment channel",
        }
    }

    /// What the owner can do about it.
    pub const fn hint(self) -> &'static str {
        match self {
            Rule::PerPayment => "ask the owner for a mandate with a higher limit per payment",
            Rule::Daily => "wait until earlier payments are a day old, or ask the owner for more",
            Rule::Lifetime => "ask the owner to grant a new mandate",
            Rule::Prepaid => {
                "put more into the channel, or pay each request by itself: `--scheme exact`"
            }
            Rule::Wallet => "put money into the machine's wallet: `machina fund ADDRESS AMOUNT`",
        }
    }
}

/// Why nothing was held, granted or signed.
#[derive(Debug, Error)]
pub enum MandateError {
    /// Nobody allowed this machine anything: what is not allowed is refused.
    #[error(
        "{machine} has no mandate, so it may spend nothing; its owner can grant one: `machina grant AMOUNT`"
    )]
    NoMandate {
        /// The machine that asked.
        machine: Party,
    },
    /// The mandate ended.
    #[error("the mandate of {machine} ended at {expired_at}; its owner can grant a new one")]
    Expired {
        /// The machine that asked.
        machine: Party,
        /// When it ended.
        expired_at: Timestamp,
    },
    /// A limit would be passed.
    #[error("mandate refused {asked} for {payee}: {left} {}; hint: {}", .rule.spoken(), .rule.hint())]
    Refused {
        /// The limit.
        rule: Rule,
        /// What was asked for.
        asked: Amount,
        /// What may still be spent under that limit.
        left: Amount,
        /// Who was to be paid.
        payee: Party,
    },
    /// The caller allowed less than the price.
    #[error(
        "the price {price} is above the {max} that was allowed for this purchase; raise `--max` to accept it"
    )]
    AboveMaximum {
        /// What it costs.
        price: Amount,
        /// What was allowed.
        max: Amount,
    },
    /// The mandate lets it go only with its owner's word, and the owner was not asked yet. Nothing
    /// was held.
    #[error(
        "{asked} for {payee} is more than the {unasked} that {machine} may still spend without asking its owner {owner}"
    )]
    NeedsApproval {
        /// The machine that asked.
        machine: Party,
        /// Who has to be asked.
        owner: Party,
        /// Who was to be paid.
        payee: Party,
        /// What was asked for.
        asked: Amount,
        /// What may still go without asking: for one payment, or today, whichever is less.
        unasked: Amount,
    },
    /// The owner was asked and has not answered yet. Nothing is held and nothing was signed; the
    /// same purchase may be tried again.
    #[error("{} for {} waits for approval {}: {} decides until {}; nothing was signed", .0.amount, .0.payee, .0.id(), .0.owner, .0.decide_by)]
    WaitsForApproval(Box<Approval>),
    /// The owner said no to this purchase. The same one is not asked again before the request's end.
    #[error("{} for {} was refused by {} (approval {}); it can be asked for again from {} on", .0.amount, .0.payee, .0.owner, .0.id(), .0.decide_by)]
    Declined(Box<Approval>),
    /// As many purchases wait for the owner as may.
    #[error(
        "{most} purchases of {machine} wait for its owner already; no more are asked for until some are decided"
    )]
    TooManyWaiting {
        /// The machine that asked.
        machine: Party,
        /// How many may wait.
        most: usize,
    },
    /// Nobody was asked for that, under the mandate in force.
    #[error("there is no request `{wanted}` of {machine} under the mandate in force")]
    NoSuchRequest {
        /// Whose.
        machine: Party,
        /// What was named, shortened.
        wanted: String,
    },
    /// The request was decided before, or its time is over.
    #[error("the request {} is not to be decided any more: it is {}", .0.id(), .0.state.as_str())]
    NotWaiting(Box<Approval>),
    /// The word is not the owner's, or for another request.
    #[error(
        "the acceptance of request {request} is not signed by the owner {owner} for exactly that purchase"
    )]
    NotAccepted {
        /// Which.
        request: String,
        /// Whose signature it needs.
        owner: Party,
    },
    /// The mandate's signature is not its owner's.
    #[error("the mandate of {machine} is not signed by its owner {owner}")]
    NotSignedByOwner {
        /// For which machine.
        machine: Party,
        /// Whose signature it needs.
        owner: Party,
    },
    /// A newer mandate is in force; an old document does not bring old limits back.
    #[error(
        "the mandate {mandate} of {machine} was replaced by {by}; the owner can sign a new one with another serial"
    )]
    Superseded {
        /// For which machine.
        machine: Party,
        /// What was granted again.
        mandate: MandateId,
        /// What is in force.
        by: MandateId,
    },
    /// Owner and machine are one party.
    #[error("{machine} cannot be its own owner: who spends must not set the limit")]
    OwnOwner {
        /// The party.
        machine: Party,
    },
    /// The mandate makes no sense.
    #[error("the mandate of {machine} is not valid: {cause}")]
    Invalid {
        /// For which machine.
        machine: Party,
        /// What is wrong with it.
        cause: String,
    },
    /// The signer was asked for something that its hold does not cover.
    #[error("the signer refused: {cause}")]
    NotHeld {
        /// What differs.
        cause: &'static str,
    },
    /// A key could not be read or written.
    #[error("the key file {path}: {cause}")]
    KeyFile {
        /// Which file.
        path: String,
        /// What is wrong, without its content.
        cause: String,
    },
    /// The ledger refused in a way that no rule explains.
    #[error("the ledger refused the hold: {0}")]
    Ledger(String),
    /// The ledger could not be written.
    #[error(transparent)]
    Store(#[from] LedgerError),
}
