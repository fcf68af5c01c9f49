//! Assets, amounts, parties and time: the words that every other floor speaks.
//!
//! The crate knows what an amount of money is and who can own one. It knows nothing of accounts,
//! chains or prices, does no I/O, and reads the clock only in [`SystemClock`].
//!
//! Start at [`Amount`]: an integer count of an [`Asset`]'s minor units with checked arithmetic.
//! There is no way to make one from a float, and no unchecked way to make one from text.

#![deny(clippy::float_arithmetic)]

mod amount;
mod asset;
mod party;
mod time;

pub use amount::{Amount, AmountError};
pub use asset::{Asset, AssetError, MAX_SCALE};
pub use party::{Party, PartyError};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
