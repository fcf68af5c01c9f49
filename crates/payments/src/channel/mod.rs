//! The scheme `batch-settlement` on Ethereum chains: one deposit, many vouchers, few transactions.
//!
//! A buyer puts money into a channel once; each request then carries a voucher, the signed promise
//! of all that the channel has to pay so far. The seller claims the newest voucher of many channels
//! in one transaction when it likes.
//!
//! Source: `specs/schemes/batch-settlement/scheme_batch_settlement_evm.md` of the x402 Foundation,
//! and what `@x402/evm` 2.27 does where that differs.

pub(crate) mod bookkeeping;
mod invalid;
pub mod tab;
pub mod till;
pub(crate) mod till_claims;
pub mod voucher;
pub mod wallet;
pub mod wire;

use alloy_primitives::{Address, B256};
use ledger::Reference;

pub use invalid::ChannelInvalid;
pub use till::TillLimits;
pub use till_claims::{Collect, Collected};
pub use voucher::Domain;

/// The scheme's name on the wire.
pub const SCHEME: &str = "batch-settlement";

/// How many vouchers of one channel may be under way at once, for buyers who say `"ahead": true` in
/// their payload; quotes say it in `extra.lanes`. See [`tab`].
pub const LANES: u16 = 32;

/// How many requests a first deposit should last for, as a quote says it in `extra.minDeposit`; the
/// reference server hints the same.
pub const REQUESTS_A_DEPOSIT: u128 = 10;

/// What a seller asks of a channel beside its price and its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Whose signature claims and refunds: the seller's own key, or its facilitator's.
    pub receiver_authorizer: Address,
    /// How long a withdrawal waits for the seller's claims, in seconds; see
    /// [`wire::WITHDRAW_DELAY`] for what the contract takes.
    pub withdraw_delay: u64,
    /// Whether deposits come through Permit2 alone, and not by the token itself (EIP-3009).
    pub by_permit: bool,
}

/// The name in both books of what a voucher of this total pays for.
///
/// It is not always met once: work that fails leaves the same total to the next request, and where
/// charges are lower than prices, a total can come up again. See `Sale` in the till for how the
/// seller's entries are told apart.
pub fn reference(chain_id: u64, channel: B256, amount: u128) -> Reference {
    named("x402/batch-settlement", chain_id, channel, &amount.to_be_bytes())
}

/// The name in both books of what a transaction put into a channel.
pub fn deposit_reference(chain_id: u64, channel: B256, transaction: B256) -> Reference {
    named("x402/batch-settlement/deposit", chain_id, channel, transaction.as_slice())
}

/// The name in both books of what a transaction gave back from a channel.
pub fn return_reference(chain_id: u64, channel: B256, transaction: B256) -> Reference {
    named("x402/batch-settlement/return", chain_id, channel, transaction.as_slice())
}

fn named(act: &str, chain_id: u64, channel: B256, what: &[u8]) -> Reference {
    let contract = settlement::channels::CONTRACT;
    let chain_id = chain_id.to_be_bytes();
    Reference::derive(act, &[&chain_id, contract.as_slice(), channel.as_slice(), what])
}
