//! The calls, events and errors of each contract, generated from its artifact.
//!
//! Solidity overloads become numbered Rust types. The aliases below name them, so that nobody has
//! to remember which number is which; a test holds them to their selectors.

// The types mirror the ABI, whose meaning the contract's own NatSpec tells.
#[allow(missing_docs)]
mod generated {
    use alloy_sol_types::sol;

    sol!(
        #[derive(Debug, PartialEq, Eq)]
        MachinaDollar,
        "../../contracts/artifacts/MachinaDollar.json"
    );
    sol!(
        #[derive(Debug, PartialEq, Eq)]
        Multicall3,
        "../../contracts/artifacts/Multicall3.json"
    );
    sol!(
        #[derive(Debug, PartialEq, Eq)]
        x402BatchSettlement,
        "../../contracts/artifacts/x402BatchSettlement.json"
    );
    sol!(
        #[derive(Debug, PartialEq, Eq)]
        ERC3009DepositCollector,
        "../../contracts/artifacts/ERC3009DepositCollector.json"
    );
    sol!(
        #[derive(Debug, PartialEq, Eq)]
        Permit2DepositCollector,
        "../../contracts/artifacts/Permit2DepositCollector.json"
    );
}

pub mod escrow;
pub mod labour;
pub mod permit2;

pub use generated::{
    ERC3009DepositCollector, MachinaDollar, Multicall3, Permit2DepositCollector,
    x402BatchSettlement,
};

/// EIP-3009 transfer with the payer's signature as (v, r, s): a key's own signature, always.
pub type TransferByKey = MachinaDollar::transferWithAuthorization_1Call;
/// EIP-3009 transfer with the payer's signature as bytes: a key's, or a smart wallet's (ERC-1271).
pub type TransferBySignature = MachinaDollar::transferWithAuthorization_0Call;
/// EIP-3009 receive with (v, r, s); only the payee itself may send it.
pub type ReceiveByKey = MachinaDollar::receiveWithAuthorization_1Call;
/// EIP-3009 receive with bytes; only the payee itself may send it.
pub type ReceiveBySignature = MachinaDollar::receiveWithAuthorization_0Call;
/// EIP-3009 cancellation with (v, r, s).
pub type CancelByKey = MachinaDollar::cancelAuthorization_0Call;
/// EIP-3009 cancellation with bytes.
pub type CancelBySignature = MachinaDollar::cancelAuthorization_1Call;

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_sol_types::SolCall;

    #[test]
    fn each_alias_is_the_overload_that_its_name_says() {
        // The selectors of EIP-3009, and of USDC's (FiatToken 2.2) bytes overloads.
        assert_eq!(TransferByKey::SELECTOR, [0xe3, 0xee, 0x16, 0x0e]);
        assert_eq!(ReceiveByKey::SELECTOR, [0xef, 0x55, 0xbe, 0xc6]);
        assert_eq!(CancelByKey::SELECTOR, [0x5a, 0x04, 0x9a, 0x70]);
        assert_eq!(TransferBySignature::SELECTOR, [0xcf, 0x09, 0x29, 0x95]);
        assert_eq!(ReceiveBySignature::SELECTOR, [0x88, 0xb7, 0xab, 0x63]);
        assert_eq!(CancelBySignature::SELECTOR, [0xb7, 0xb7, 0x28, 0x99]);
    }

    #[test]
    fn multicall_has_the_selectors_of_the_public_one() {
        // As published with the contract at its canonical address.
        assert_eq!(Multicall3::aggregateCall::SELECTOR, [0x25, 0x2d, 0xba, 0x42]);
        assert_eq!(Multicall3::tryAggregateCall::SELECTOR, [0xbc, 0xe3, 0x8b, 0xd7]);
        assert_eq!(Multicall3::aggregate3Call::SELECTOR, [0x82, 0xad, 0x56, 0xcb]);
        assert_eq!(Multicall3::aggregate3ValueCall::SELECTOR, [0x17, 0x4d, 0xea, 0x71]);
        assert_eq!(Multicall3::tryBlockAndAggregateCall::SELECTOR, [0x39, 0x95, 0x42, 0xe9]);
        assert_eq!(Multicall3::blockAndAggregateCall::SELECTOR, [0xc3, 0x07, 0x7f, 0xa9]);
        assert_eq!(Multicall3::getEthBalanceCall::SELECTOR, [0x4d, 0x23, 0x01, 0xcc]);
        assert_eq!(Multicall3::getBasefeeCall::SELECTOR, [0x3e, 0x64, 0xa6, 0x96]);
        assert_eq!(Multicall3::getChainIdCall::SELECTOR, [0x34, 0x08, 0xe4, 0x70]);
        assert_eq!(Multicall3::getBlockHashCall::SELECTOR, [0xee, 0x82, 0xac, 0x5e]);
        assert_eq!(Multicall3::getBlockNumberCall::SELECTOR, [0x42, 0xcb, 0xb1, 0x5c]);
        assert_eq!(Multicall3::getLastBlockHashCall::SELECTOR, [0x27, 0xe8, 0x6d, 0x6e]);
        assert_eq!(Multicall3::getCurrentBlockCoinbaseCall::SELECTOR, [0xa8, 0xb0, 0x57, 0x4e]);
        assert_eq!(Multicall3::getCurrentBlockDifficultyCall::SELECTOR, [0x72, 0x42, 0x5d, 0x9d]);
        assert_eq!(Multicall3::getCurrentBlockGasLimitCall::SELECTOR, [0x86, 0xd5, 0x16, 0xe8]);
        assert_eq!(Multicall3::getCurrentBlockTimestampCall::SELECTOR, [0x0f, 0x28, 0xc9, 0x7d]);
    }
}
