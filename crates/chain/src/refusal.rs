//! Why a transaction is not taken. The wording is geth's, because clients match on it.

use alloy_primitives::{Address, U256};

/// Why the pool refused a transaction. Nothing was changed by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The bytes are not a transaction.
    #[error("failed to decode signed transaction: {0}")]
    Malformed(String),
    /// An EIP-2718 type that does not exist here.
    #[error("transaction type not supported: type {kind:#x}")]
    Type { kind: u8 },
    /// EIP-4844: there is no consensus layer that could carry blobs.
    #[error("transaction type not supported: this chain carries no blobs (type 0x3)")]
    Blobs,
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized { size: usize, limit: usize },
    /// Without a chain id, the same signature is valid on every chain.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    #[error("invalid sender: invalid chain id for signer: have {have} want {want}")]
    ChainId { have: u64, want: u64 },
    /// The signature recovers to nobody, or its `s` is in the upper half (EIP-2).
    #[error("invalid sender: invalid transaction v, r, s values")]
    Signature,
    #[error(
        "max priority fee per gas higher than max fee per gas: \
         maxPriorityFeePerGas: {tip}, maxFeePerGas: {cap}"
    )]
    TipAboveCap { tip: u128, cap: u128 },
    #[error("exceeds block gas limit: gas {gas}, block gas limit {limit}")]
    BlockGasLimit { gas: u64, limit: u64 },
    /// EIP-7825.
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasCap { gas: u64, cap: u64 },
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas { gas: u64, needed: u64 },
    /// EIP-7623.
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorGas { gas: u64, needed: u64 },
    /// EIP-3860.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitcodeSize { size: usize, limit: usize },
    /// EIP-7702.
    #[error("set code transaction must not have an empty auth list")]
    EmptyAuthorizations,
    /// EIP-2681.
    #[error("nonce has max value: address {sender}, nonce {}", u64::MAX)]
    NonceMax { sender: Address },
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow { next: u64, nonce: u64 },
    /// EIP-3607.
    #[error("sender not an eoa: address {sender}")]
    SenderHasCode { sender: Address },
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, \
         queued cost {queued}, tx cost {cost}"
    )]
    Funds { balance: U256, queued: U256, cost: U256 },
    #[error("already known")]
    Known,
    /// A replacement must raise both fee fields by a tenth at least.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// So many of one sender may be pooled at once.
    #[error("nonce too high: tx nonce {nonce} is {gap} ahead of the account's, limit {limit}")]
    Gap { nonce: u64, gap: u64, limit: u64 },
    #[error("txpool is full: {limit} transactions pooled; try again after the next block")]
    Full { limit: usize },
    /// The node is closing, or its sealer has stopped.
    #[error("the node is shutting down and takes no more transactions")]
    Closed,
}
