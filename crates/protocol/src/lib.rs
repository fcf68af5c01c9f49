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
//! - [`channels`]: payment channels: what a payer and a seller sign, and how a channel is named.
//! - [`create2`]: deploying to an address known beforehand, on any chain.
//!
//! Pure functions over constants: no clock, no I/O, no keys. It knows no chain and no way to reach
//! one; `chain` takes the genesis from `machina`, and `settlement` sends the calls.
#![deny(clippy::float_arithmetic)]

pub mod addresses;
mod artifact;
pub mod authorization;
pub mod bindings;
pub mod channels;
pub mod create2;
mod error;
pub mod genesis;

pub use authorization::{
    CancelAuthorization, ReceiveWithAuthorization, TransferWithAuthorization, dollar_domain,
    embedded_dollar_domain,
};
pub use bindings::{MachinaDollar, Multicall3};
pub use error::ProtocolError;
pub use genesis::{GenesisAccount, genesis};

/// The chain id of an embedded economy: HTTP's 402, twice.
pub const EMBEDDED_CHAIN_ID: u64 = 402_402;
