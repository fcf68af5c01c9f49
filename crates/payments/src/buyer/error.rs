//! Why nothing was bought, and what became of the money.

use alloy_primitives::B256;
use http::StatusCode;
use ledger::{LedgerError, Reference};
use mandates::MandateError;
use money::Amount;
use settlement::SettlementError;
use thiserror::Error;

use crate::wire::WireError;

/// Why nothing was bought.
#[derive(Debug, Error)]
pub enum BuyError {
    /// Nobody answers there.
    #[error("{url} does not answer: {cause}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the connection said.
        cause: String,
    },
    /// The answer is larger than is read.
    #[error("the answer of {url} is larger than {max} bytes; it was not read")]
    AnswerTooLarge {
        /// Where.
        url: String,
        /// The bound.
        max: usize,
    },
    /// The quote cannot be read.
    #[error("the quote of {url} cannot be read: {cause}")]
    Quote {
        /// Where.
        url: String,
        /// What is wrong.
        cause: WireError,
    },
    /// Nothing that is asked can be paid here.
    #[error("{url} asks for a payment that cannot be made here: {cause}")]
    NoWayToPay {
        /// Where.
        url: String,
        /// What differs.
        cause: String,
    },
    /// An agent said something else than its price or its work. Nothing was signed, or what was is told
    /// by the chain.
    #[error("{url} does not deal as an agent of A2A 1.0 does: {cause}")]
    Agent {
        /// Where.
        url: String,
        /// What it said, or what is wrong with that.
        cause: String,
    },
    /// The mandate, or the caller's maximum, said no. Nothing was signed.
    #[error(transparent)]
    Mandate(#[from] MandateError),
    /// The seller did not deliver, and no money has moved.
    #[error(
        "{url} did not deliver (status {status}): {cause}; nothing was paid, and {amount} stays set aside until the signed payment ends at {until}"
    )]
    NotDelivered {
        /// Where.
        url: String,
        /// The answer's status.
        status: StatusCode,
        /// What the seller said.
        cause: String,
        /// How much is set aside.
        amount: Amount,
        /// Until when the seller could still use the payment.
        until: money::Timestamp,
    },
    /// The seller took the money and did not deliver.
    #[error(
        "{url} took {amount} in transaction {transaction} and answered with status {status}: {cause}; the journal keeps the proof under {reference}"
    )]
    PaidNotDelivered {
        /// Where.
        url: String,
        /// The answer's status, if there was an answer.
        status: StatusCode,
        /// What the seller said.
        cause: String,
        /// How much.
        amount: Amount,
        /// The transaction that moved it.
        transaction: B256,
        /// The payment's name in the journal.
        reference: Reference,
    },
    /// Whether money moved is not known yet; it will be.
    #[error(
        "it is not known yet whether {amount} was paid to {url}; it stays set aside, and the chain decides by {until} (payment {reference})"
    )]
    Open {
        /// Where.
        url: String,
        /// How much.
        amount: Amount,
        /// When it will be known at the latest.
        until: money::Timestamp,
        /// The payment's name in the journal.
        reference: Reference,
    },
    /// The seller did not deliver, and charged nothing of the channel.
    #[error(
        "{url} did not deliver (status {status}): {cause}; nothing was charged, and {left} stays in the payment channel {channel}"
    )]
    NotCharged {
        /// Where.
        url: String,
        /// The answer's status.
        status: StatusCode,
        /// What the seller said.
        cause: String,
        /// The channel.
        channel: B256,
        /// What it has left for further purchases.
        left: Amount,
    },
    /// The seller charged the channel and did not deliver.
    #[error(
        "{url} charged {amount} in the payment channel {channel} and did not deliver (status {status}): {cause}; the journal keeps the proof under {reference}"
    )]
    ChargedNotDelivered {
        /// Where.
        url: String,
        /// The last answer's status.
        status: StatusCode,
        /// What the seller said.
        cause: String,
        /// How much.
        amount: Amount,
        /// The channel.
        channel: B256,
        /// The purchase's name in the journal.
        reference: Reference,
    },
    /// Whether the seller charged the channel is not known yet.
    #[error(
        "it is not known yet whether {url} charged up to {amount} in the payment channel {channel}; it stays set aside until the next purchase there or the channel's end tells (payment {reference})"
    )]
    Unanswered {
        /// Where.
        url: String,
        /// The most that it could charge.
        amount: Amount,
        /// The channel.
        channel: B256,
        /// The purchase's name in the journal.
        reference: Reference,
    },
    /// The seller did not deliver what was to be paid out of an escrow, and nothing was captured.
    #[error("{url} did not deliver (status {status}): {cause}; nothing was paid, and {rest}")]
    NotCaptured {
        /// Where.
        url: String,
        /// The last answer's status.
        status: StatusCode,
        /// What the seller said.
        cause: String,
        /// What became of the money, or when it comes back.
        rest: String,
        /// The payment's name in the journal.
        reference: Reference,
    },
    /// A payment channel cannot be used.
    #[error("the payment channel {channel} cannot be used: {cause}")]
    Channel {
        /// Which.
        channel: B256,
        /// Why, and what to do.
        cause: String,
    },
    /// The chain did not answer. Nothing was signed.
    #[error(transparent)]
    Chain(#[from] SettlementError),
    /// The books could not be written.
    #[error(transparent)]
    Store(#[from] LedgerError),
}
