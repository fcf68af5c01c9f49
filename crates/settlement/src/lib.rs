//! The one seam to a chain: the embedded one in process, any Ethereum node over HTTP.
//!
//! Everything above this floor speaks to a chain only through [`Settlement`]: read a balance,
//! move money by a signed authorization, learn what became of one. Below it is nothing but
//! Ethereum JSON-RPC, so the same program settles on the embedded chain, on a test node or on a
//! public network.
//!
//! What it must never do: guess. A transaction whose fate is not known is
//! [`SettlementError::Pending`], and [`Settlement::authorization`] asks the chain.
//!
//! Start at [`Settlement::connect`]; then [`Settlement::transfer_with_authorization`].

#![deny(clippy::float_arithmetic)]

mod approval;
pub mod channels;
mod endpoint;
mod error;
pub mod escrow;
pub mod jobs;
mod memo;
mod permit2;
mod pool;
pub mod registries;
mod search;
mod sender;
mod token;
mod wallet;
mod withdrawal;

pub use endpoint::{Endpoint, LocalNode};
pub use error::SettlementError;
pub use permit2::{PermitOrder, PermitState, SignedPermit};
pub use pool::SendingKeys;
pub use sender::{PUBLIC_CONFIRMATIONS, Receipt, Sender, SenderLimits};
pub use token::{
    AuthorizationState, OrderName, PAYMENT_GAS, Settlement, SignedAuthorization, Token,
    TokenMovement,
};
pub use wallet::{NewWallet, WALLET_GAS, WrappedSignature};
