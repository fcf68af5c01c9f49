//! What a machine may spend, and the only place where keys are.
//!
//! An owner signs a [`Mandate`]: per payment, per sliding day, in all, and until when. It becomes
//! accounts in the ledger that cannot be overdrawn, so a limit holds over restarts, processes and
//! concurrent payments, and there is nothing else to keep. What no mandate allows is refused.
//!
//! The order is law and the types say so: [`Mandates::hold`] gives a [`Held`]; only a [`Held`]
//! makes a [`Key`] sign ([`Key::sign_payment`]); then the hold resolves exactly once
//! ([`Mandates::settle`], [`Mandates::release`]). A machine's key cannot grant: a mandate is valid
//! only under the signature of its owner, who is another party (invariant 4).
//!
//! A mandate may say how much goes without asking ([`Unasked`]). What is more waits for the owner's
//! word: a request for exactly that purchase ([`Approval`]), and a signed [`Acceptance`] of it.
//!
//! [`books`] is the chart of accounts that every party's book follows.

#![deny(clippy::float_arithmetic)]

mod approval;
pub mod books;
mod channels;
mod error;
mod escrow;
mod key;
mod limits;
mod mandate;
mod market;

pub use approval::{
    Acceptance, Approval, ApprovalState, DECIDE_WITHIN, MOST_WAITING, USE_WITHIN, approval_stage,
};
pub use channels::{
    ChannelBook, DepositSpend, Fate, HeldDeposit, HeldVoucher, Returned, VoucherSpend,
};
pub use error::{MandateError, Rule};
pub use escrow::{EscrowBook, EscrowStep, Stepped};
pub use key::Key;
pub use limits::{Held, Left, Mandates, Spend};
pub use mandate::{Mandate, MandateId, Purpose, SignedMandate, Unasked};
pub use market::{HeldPayout, Payout};
