//! What waits for the word of this home's person.

use money::{Amount, Party, Timestamp};

/// A purchase above what a machine's mandate lets go unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalView {
    /// What people call the request.
    pub id: String,
    /// Its whole name, which the form sends.
    pub reference: String,
    /// What became of it.
    pub state: ApprovalStateView,
    /// Who wants to buy.
    pub machine: String,
    /// Who is paid.
    pub payee: Party,
    /// What the payee is called here.
    pub payee_name: String,
    /// The most that it may cost.
    pub amount: Amount,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Until when it may be decided.
    pub decide_by: Timestamp,
    /// Until when an accepted one may be bought.
    pub use_by: Timestamp,
    /// The trade that it became.
    pub trade: Option<String>,
    /// The request's method.
    pub method: String,
    /// Where it goes.
    pub url: String,
    /// What is sent along.
    pub media_type: Option<String>,
    /// How much of it.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// How that begins, if it is text.
    pub begins: Option<String>,
    /// What the seller says of itself.
    pub described: Option<String>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalStateView {
    /// Nobody has decided.
    Waiting,
    /// Yes, and not bought yet.
    Accepted,
    /// Yes, and bought.
    Used,
    /// No.
    Refused,
    /// Nobody decided, or nobody bought, in time.
    Expired,
}
