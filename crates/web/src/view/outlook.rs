//! What the page of the outlook asks of an economy: the day, what it measures, and its record.
//!
//! The rest of that page is the same everywhere, and is computed here from the crate `outlook`.

use outlook::{Date, Driver};

/// What an economy knows for its outlook.
#[derive(Debug, Clone, PartialEq)]
pub struct OutlookView {
    /// The day: what is over cannot be foreseen, and what has come due is scored.
    pub today: Date,
    /// What the economy measures in place of opinions.
    pub measured: Vec<MeasuredView>,
    /// Every text of the record, the first entries first; or why it cannot be read.
    pub record: Result<Vec<RecordedView>, String>,
}

/// A driver that the economy's accounts speak of.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredView {
    /// Which.
    pub driver: Driver,
    /// How it is computed, in a few words.
    pub means: String,
    /// Its value, in the driver's unit; or why there is none.
    pub value: Result<f64, String>,
}

/// A text of the record. It may have been changed since: the page checks it against its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedView {
    /// Under which hash it is kept: SHA-256, in hexadecimal digits.
    pub hash: String,
    /// The text.
    pub text: String,
    /// Where that hash is on the chain, if the chain says so.
    pub inscribed: Option<InscribedView>,
}

/// Where a hash is on the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InscribedView {
    /// The transaction that put it there, `0x…`.
    pub transaction: String,
    /// The number of its block.
    pub block: u64,
}
