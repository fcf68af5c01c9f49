//! x402's escrow for `auth-capture`, its stores and collectors.

// The types mirror the ABI, whose meaning the contract's own NatSpec tells.
#[allow(missing_docs)]
mod generated {
    // Each has a module of its own, because the collectors bring the escrow's structs with them.
    pub mod escrow {
        use alloy_sol_types::sol;

        sol!(
            #[derive(Debug, PartialEq, Eq)]
            AuthCaptureEscrow,
            "../../contracts/artifacts/AuthCaptureEscrow.json"
        );
        sol!(
            #[derive(Debug, PartialEq, Eq)]
            TokenStore,
            "../../contracts/artifacts/TokenStore.json"
        );
    }
    pub mod by_erc3009 {
        use alloy_sol_types::sol;

        sol!(
            #[derive(Debug, PartialEq, Eq)]
            ERC3009PaymentCollector,
            "../../contracts/artifacts/ERC3009PaymentCollector.json"
        );
    }
    pub mod by_permit2 {
        use alloy_sol_types::sol;

        sol!(
            #[derive(Debug, PartialEq, Eq)]
            Permit2PaymentCollector,
            "../../contracts/artifacts/Permit2PaymentCollector.json"
        );
    }
    pub mod by_operator {
        use alloy_sol_types::sol;

        sol!(
            #[derive(Debug, PartialEq, Eq)]
            OperatorRefundCollector,
            "../../contracts/artifacts/OperatorRefundCollector.json"
        );
    }
}

pub use generated::by_erc3009::ERC3009PaymentCollector;
pub use generated::by_operator::OperatorRefundCollector;
pub use generated::by_permit2::Permit2PaymentCollector;
pub use generated::escrow::{AuthCaptureEscrow, TokenStore};
