//! Permit2 and x402's two proxies for it.

// The types mirror the ABI, whose meaning the contract's own NatSpec tells.
#[allow(missing_docs)]
mod generated {
    // Each has a module of its own, because each brings the shared `ISignatureTransfer` with it.
    pub mod permit2 {
        use alloy_sol_types::sol;

        sol!(
            #[derive(Debug, PartialEq, Eq)]
            Permit2,
            "../../contracts/artifacts/Permit2.json"
        );
    }
    pub mod exact {
        use alloy_sol_types::sol;

        sol!(
            #[derive(Debug, PartialEq, Eq)]
            x402ExactPermit2Proxy,
            "../../contracts/artifacts/x402ExactPermit2Proxy.json"
        );
    }
    pub mod upto {
        use alloy_sol_types::sol;

        sol!(
            #[derive(Debug, PartialEq, Eq)]
            x402UptoPermit2Proxy,
            "../../contracts/artifacts/x402UptoPermit2Proxy.json"
        );
    }
}

pub use generated::exact::x402ExactPermit2Proxy as ExactPermit2Proxy;
pub use generated::permit2::Permit2;
pub use generated::upto::x402UptoPermit2Proxy as UptoPermit2Proxy;

/// The structs of the calls that two contracts share, as each of them has them.
pub mod parts {
    pub use super::generated::exact::ISignatureTransfer as exact_order;
    pub use super::generated::exact::x402Permit2Proxy as exact_approval;
    pub use super::generated::permit2::{IAllowanceTransfer, ISignatureTransfer};
    pub use super::generated::upto::ISignatureTransfer as upto_order;
    pub use super::generated::upto::x402Permit2Proxy as upto_approval;
}

/// Permit2: take what one signature permits, of one token.
pub type PermitTransfer = Permit2::permitTransferFrom_0Call;
/// Permit2: take what one signature permits, of several tokens.
pub type PermitBatchTransfer = Permit2::permitTransferFrom_1Call;
/// Permit2: as [`PermitTransfer`], where the payer also signed a struct of the spender's own.
pub type PermitWitnessTransfer = Permit2::permitWitnessTransferFrom_0Call;
/// Permit2: as [`PermitBatchTransfer`], where the payer also signed a struct of the spender's own.
pub type PermitBatchWitnessTransfer = Permit2::permitWitnessTransferFrom_1Call;
/// Permit2: set one allowance by signature.
pub type AllowBySignature = Permit2::permit_1Call;
/// Permit2: set several allowances by one signature.
pub type AllowManyBySignature = Permit2::permit_0Call;
/// Permit2: take from one allowance.
pub type TakeAllowed = Permit2::transferFrom_1Call;
/// Permit2: take from several allowances.
pub type TakeManyAllowed = Permit2::transferFrom_0Call;

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_sol_types::{SolCall, SolError};

    #[test]
    fn permit2_has_the_selectors_of_the_public_one() {
        // As published with the contract at its canonical address.
        assert_eq!(PermitTransfer::SELECTOR, [0x30, 0xf2, 0x8b, 0x7a]);
        assert_eq!(PermitBatchTransfer::SELECTOR, [0xed, 0xd9, 0x44, 0x4b]);
        assert_eq!(PermitWitnessTransfer::SELECTOR, [0x13, 0x7c, 0x29, 0xfe]);
        assert_eq!(PermitBatchWitnessTransfer::SELECTOR, [0xfe, 0x8e, 0xc1, 0xa7]);
        assert_eq!(AllowBySignature::SELECTOR, [0x2b, 0x67, 0xb5, 0x70]);
        assert_eq!(AllowManyBySignature::SELECTOR, [0x2a, 0x2d, 0x80, 0xd1]);
        assert_eq!(TakeAllowed::SELECTOR, [0x36, 0xc7, 0x85, 0x16]);
        assert_eq!(TakeManyAllowed::SELECTOR, [0x0d, 0x58, 0xb1, 0xdb]);
        assert_eq!(Permit2::approveCall::SELECTOR, [0x87, 0x51, 0x7c, 0x45]);
        assert_eq!(Permit2::allowanceCall::SELECTOR, [0x92, 0x7d, 0xa1, 0x05]);
        assert_eq!(Permit2::lockdownCall::SELECTOR, [0xcc, 0x53, 0x28, 0x7f]);
        assert_eq!(Permit2::invalidateNoncesCall::SELECTOR, [0x65, 0xd9, 0x72, 0x3c]);
        assert_eq!(Permit2::invalidateUnorderedNoncesCall::SELECTOR, [0x3f, 0xf9, 0xdc, 0xb1]);
        assert_eq!(Permit2::nonceBitmapCall::SELECTOR, [0x4f, 0xe0, 0x2b, 0x44]);
        assert_eq!(Permit2::DOMAIN_SEPARATORCall::SELECTOR, [0x36, 0x44, 0xe5, 0x15]);
        assert_eq!(Permit2::InvalidNonce::SELECTOR, [0x75, 0x66, 0x88, 0xfe]);
        assert_eq!(Permit2::InvalidSigner::SELECTOR, [0x81, 0x5e, 0x1d, 0x64]);
        assert_eq!(Permit2::SignatureExpired::SELECTOR, [0xcd, 0x21, 0xdb, 0x4f]);
    }

    #[test]
    fn the_proxies_have_the_selectors_of_the_x402_sdk() {
        // Computed with viem from the ABIs in @x402/evm 2.27.
        assert_eq!(ExactPermit2Proxy::settleCall::SELECTOR, [0x13, 0xcd, 0x3b, 0x53]);
        assert_eq!(ExactPermit2Proxy::settleWithPermitCall::SELECTOR, [0xfa, 0x34, 0x03, 0x78]);
        assert_eq!(UptoPermit2Proxy::settleCall::SELECTOR, [0xff, 0x11, 0xe7, 0xb4]);
        assert_eq!(UptoPermit2Proxy::settleWithPermitCall::SELECTOR, [0x01, 0x6c, 0x17, 0x48]);
    }
}
