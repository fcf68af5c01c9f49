//! What the contracts are to Rust: bindings, well-known addresses, genesis and signed orders.
//!
//! The Solidity lives in `contracts/`; its compiled artifacts are checked in, and everything here
//! is read from them, so that building this crate needs no Node. CI compiles the contracts again
//! and compares the bytes.
//!
//! - [`bindings`]: the calls, events and errors of each contract, for encoding and decoding.
//! - [`addresses`]: where stock clients expect what.
//! - [`mod@genesis`]: the accounts that an embedded chain begins with.
//! - [`authorization`]: what a payer signs to move dollars (EIP-712, EIP-3009).
//! - [`permit2`]: what a payer signs to pay in any token, or up to an amount (EIP-712, Permit2).
//! - [`channels`]: payment channels: what a payer and a seller sign, and how a channel is named.
//! - [`escrow`]: escrowed payments: what a payer signs, and how a payment is named.
//! - [`identity`]: agents: their registries, and the registration file (ERC-8004).
//! - [`feedback`]: the file behind what is said of an agent (ERC-8004).
//! - [`jobs`]: jobs under escrow and who judges them (ERC-8183): rules, and how answers are sealed.
//! - [`sign_hash`]: how a key in memory signs any of it.
//! - [`create2`]: deploying to an address known beforehand, on any chain.
//!
//! Pure functions over constants: no clock, no I/O, and it keeps no keys. It knows no chain and no way to reach
//! one; `chain` takes the genesis from `machina`, and `settlement` sends the calls.
#![deny(clippy::float_arithmetic)]

pub mod addresses;
mod artifact;
pub mod authorization;
pub mod bindings;
pub mod channels;
pub mod create2;
mod error;
pub mod escrow;
pub mod feedback;
pub mod genesis;
pub mod identity;
pub mod jobs;
pub mod notarial;
pub mod permit2;
mod signing;

pub use authorization::{
    CancelAuthorization, ReceiveWithAuthorization, TransferWithAuthorization, dollar_domain,
    embedded_dollar_domain,
};
pub use bindings::{MachinaDollar, Multicall3};
pub use error::{ProtocolError, RegistrationFault};
pub use genesis::{GenesisAccount, genesis};
pub use signing::sign_hash;

/// The chain id of an embedded economy: HTTP's 402, twice.
pub const EMBEDDED_CHAIN_ID: u64 = 402_402;
