//! Why a machine may not spend.

use ledger::LedgerError;
use money::{Amount, Party, Timestamp};
use thiserror::Error;

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
