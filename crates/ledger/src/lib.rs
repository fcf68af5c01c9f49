//! The books: accounts, transfers and holds, the journal that remembers them, and its store.
//!
//! The crate knows what may be entered into books and what may not. It knows nothing of mandates,
//! payments or chains: a limit is an account that cannot be overdrawn, and a payment is a hold
//! that resolves exactly once. Neither does it read a clock or draw a number by itself.
//!
//! Start at [`State::apply`], the pure core: an operation in, an outcome out. Around it,
//! [`Ledger`] makes each applied [`Operation`] durable before anyone sees its effect, many at a
//! time, and keeps the [`Evidence`] that explains it.
//!
//! ```
//! use ledger::{Account, Class, Kind, Ledger, Limit, Operation, Reference, Transfer, TransferId, Write};
//! use money::{Amount, Asset, ManualClock, Party, Timestamp};
//! use std::sync::Arc;
//!
//! let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_000)));
//! let ledger = Ledger::in_memory(clock);
//! let ada = Party::new([1; 20]);
//! let capital = Account::new(ada, "capital", Asset::MUSD, Class::Equity, Limit::None);
//! let wallet =
//!     Account::new(ada, "wallet", Asset::MUSD, Class::Asset, Limit::CreditsMustNotExceedDebits);
//! let endow = Transfer {
//!     id: TransferId::derive("endowment", &[ada.as_bytes()]),
//!     debit: wallet.id,
//!     credit: capital.id,
//!     amount: Amount::parse(Asset::MUSD, "1.25")?,
//!     kind: Kind::Transfer,
//!     counterparty: None,
//!     reference: Reference::NONE,
//!     digest: [0; 32],
//!     hold_until: None,
//! };
//! let wallet_id = wallet.id;
//! let chain = vec![
//!     Operation::Open(capital),
//!     Operation::Open(wallet),
//!     Operation::Transfer(endow),
//! ];
//! let first = ledger.submit_blocking(Write::operation(Operation::Linked(chain.clone())))?;
//! let again = ledger.submit_blocking(Write::operation(Operation::Linked(chain)))?;
//! assert_eq!((first, again), (ledger::Outcome::Applied, ledger::Outcome::Exists));
//! let balance = ledger.read(|state| state.balance(&wallet_id)).expect("the wallet is open");
//! assert_eq!(balance.available().to_string(), "1.25 MUSD");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::float_arithmetic)]
#![forbid(unsafe_code)]

mod account;
mod encoding;
mod id;
mod operation;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub use account::{Account, Balance, Class, Limit, MAX_NAME, UnknownWord};
pub use id::{AccountId, IdError, Reference, TransferId};
pub use operation::{
    Kind, MAX_LINKED, Operation, Outcome, Reason, Refusal, Status, Transfer, TransferRecord,
};
pub use state::{State, Totals};
pub use store::{
    Committed, Evidence, Ledger, LedgerError, MAX_BATCH, MAX_EVIDENCE_BODY, MAX_EVIDENCE_PIECES,
    StoredEvidence, Verified, Write,
};
