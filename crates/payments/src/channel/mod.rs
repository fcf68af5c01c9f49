//! The scheme `batch-settlement` on Ethereum chains: one deposit, many vouchers, few transactions.
//!
//! A buyer puts money into a channel once; each request then carries a voucher, the signed promise
//! of all that the channel has to pay so far. The seller claims the newest voucher of many channels
//! in one transaction when it likes.
//!
//! Source: `specs/schemes/batch-settlement/scheme_batch_settlement_evm.md` of the x402 Foundation,
//! and what `@x402/evm` 2.27 does where that differs.

pub mod wire;

/// The scheme's name on the wire.
pub const SCHEME: &str = "batch-settlement";
