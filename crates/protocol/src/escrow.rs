//! Escrowed payments of x402's scheme `auth-capture`: how a payment is named, what the payer signs,
//! and what its contracts begin with.
//!
//! The terms of a payment are a [`PaymentInfo`]. The payer signs an order over `maxAmount` whose
//! nonce is [`payment_nonce`]: an EIP-3009 [`crate::ReceiveWithAuthorization`] to
//! [`ERC3009_PAYMENT_COLLECTOR`] in the token's domain, from time 0 until `preApprovalExpiry`; or a
//! [`PaymentPermit`] for [`PERMIT2_PAYMENT_COLLECTOR`] in [`crate::permit2::permit2_domain`]. The
//! signature alone, 65 bytes or wrapped by ERC-6492, is what either collector asks for.
//!
//! Types and addresses are those of the scheme's specification
//! (`specs/schemes/auth-capture/scheme_auth_capture_evm.md` of github.com/x402-foundation/x402) and
//! of its SDK, `@x402/evm`, whose default is v1.1 of the contracts. v1.0, which the specification
//! of June 2026 names, takes fees as rates instead of amounts; it is not here.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolStruct, SolValue, sol};

use crate::addresses::{
    AUTH_CAPTURE_ESCROW, ERC3009_PAYMENT_COLLECTOR, MULTICALL3, OPERATOR_REFUND_COLLECTOR, PERMIT2,
    PERMIT2_PAYMENT_COLLECTOR,
};
use crate::artifact::Artifact;
use crate::genesis::{GenesisAccount, contract};
use crate::{ProtocolError, ReceiveWithAuthorization};

/// The terms of a payment: operator (x402's `captureAuthorizer`), payer, receiver, token, maxAmount
/// in minor units, preApprovalExpiry, authorizationExpiry (`captureDeadline`) and refundExpiry
/// (`refundDeadline`) in Unix seconds, minFeeBps and maxFeeBps in hundredths of a percent,
/// feeReceiver (`feeRecipient`; zero for anyone), salt. It is the contract's own struct and also
/// EIP-712's type.
pub use crate::bindings::escrow::AuthCaptureEscrow::PaymentInfo;

sol! {
    /// What a Permit2 signature may move at most.
    #[derive(Debug, PartialEq, Eq)]
    struct TokenPermissions {
        /// The ERC-20.
        address token;
        /// The payment's `maxAmount`, in minor units.
        uint256 amount;
    }

    /// The payer's word to Permit2: the spender may move this. It has no witness; the payment is in
    /// the nonce.
    #[derive(Debug, PartialEq, Eq)]
    struct PermitTransferFrom {
        /// The token, and the most.
        TokenPermissions permitted;
        /// The collector, [`PERMIT2_PAYMENT_COLLECTOR`].
        address spender;
        /// [`payment_nonce`] as a number.
        uint256 nonce;
        /// The payment's `preApprovalExpiry`: the last second in which it is good for Permit2. The
        /// escrow refuses already in that second.
        uint256 deadline;
    }

    /// What a payment's salt is the hash of, where the seller asks for it.
    #[derive(Debug, PartialEq, Eq)]
    struct x402AuthCaptureSaltBinding {
        /// Who must sign for the seller's side; zero for nobody.
        address receiverAuthorizer;
        /// The contract that the operator must ask; zero for none.
        address policy;
        /// Chosen by the payer at random.
        uint256 saltNonce;
    }
}

/// A payment by Permit2, as the payer signs it.
pub type PaymentPermit = PermitTransferFrom;

/// The code behind every operator's store, where the escrow's constructor puts it: its first
/// contract (EIP-161 starts a contract's nonce at 1).
pub fn token_store_implementation() -> Address {
    AUTH_CAPTURE_ESCROW.create(1)
}

/// The name of a payment on the chain with this id, as `getHash` answers it.
pub fn payment_hash(payment: &PaymentInfo, chain_id: u64) -> B256 {
    let terms = payment.eip712_hash_struct();
    keccak256((U256::from(chain_id), AUTH_CAPTURE_ESCROW, terms).abi_encode())
}

/// The nonce of what the payer signs: the name of the payment before its payer was known. It binds
/// the signature to all other terms.
pub fn payment_nonce(payment: &PaymentInfo, chain_id: u64) -> B256 {
    payment_hash(&PaymentInfo { payer: Address::ZERO, ..payment.clone() }, chain_id)
}

/// What the payer signs in the token's own domain, for [`ERC3009_PAYMENT_COLLECTOR`]. The collector
/// knows no beginning of its time but the beginning of all.
pub fn authorization_order(payment: &PaymentInfo, chain_id: u64) -> ReceiveWithAuthorization {
    ReceiveWithAuthorization {
        from: payment.payer,
        to: ERC3009_PAYMENT_COLLECTOR,
        value: U256::from(payment.maxAmount),
        validAfter: U256::ZERO,
        validBefore: U256::from(payment.preApprovalExpiry),
        nonce: payment_nonce(payment, chain_id),
    }
}

/// What the payer signs in Permit2's domain, for [`PERMIT2_PAYMENT_COLLECTOR`].
pub fn permit_order(payment: &PaymentInfo, chain_id: u64) -> PaymentPermit {
    PaymentPermit {
        permitted: TokenPermissions { token: payment.token, amount: U256::from(payment.maxAmount) },
        spender: PERMIT2_PAYMENT_COLLECTOR,
        nonce: payment_nonce(payment, chain_id).into(),
        deadline: U256::from(payment.preApprovalExpiry),
    }
}

/// The salt of a payment whose seller named a `receiverAuthorizer` or a `policy`: it binds both into
/// the payer's signature. Either is zero if not named.
pub fn bound_salt(receiver_authorizer: Address, policy: Address, salt_nonce: U256) -> U256 {
    let binding = x402AuthCaptureSaltBinding {
        receiverAuthorizer: receiver_authorizer,
        policy,
        saltNonce: salt_nonce,
    };
    binding.eip712_hash_struct().into()
}

/// The escrow, the code of its stores, and its collectors, as their constructors leave them. They
/// are the same on every chain.
pub(crate) fn accounts() -> Result<[GenesisAccount; 5], ProtocolError> {
    let store = token_store_implementation().into_word();
    let escrow = AUTH_CAPTURE_ESCROW.into_word();
    let multicall = ("multicall3", MULTICALL3.into_word());
    let serves = ("authCaptureEscrow", escrow);
    let permit2 = ("permit2", PERMIT2.into_word());
    let account = |address: Address, name, json, immutables: &[(&str, B256)]| {
        let code: Bytes = Artifact::read(name, json)?.runtime_code(immutables)?;
        Ok(contract(address, code, Vec::new()))
    };
    let escrow = account(
        AUTH_CAPTURE_ESCROW,
        "AuthCaptureEscrow",
        include_str!("../../../contracts/artifacts/AuthCaptureEscrow.json"),
        &[("tokenStoreImplementation", store)],
    )?;
    Ok([
        // Its constructor made one contract.
        GenesisAccount { nonce: 2, ..escrow },
        account(
            token_store_implementation(),
            "TokenStore",
            include_str!("../../../contracts/artifacts/TokenStore.json"),
            &[serves],
        )?,
        account(
            ERC3009_PAYMENT_COLLECTOR,
            "ERC3009PaymentCollector",
            include_str!("../../../contracts/artifacts/ERC3009PaymentCollector.json"),
            &[serves, multicall],
        )?,
        account(
            PERMIT2_PAYMENT_COLLECTOR,
            "Permit2PaymentCollector",
            include_str!("../../../contracts/artifacts/Permit2PaymentCollector.json"),
            &[serves, multicall, permit2],
        )?,
        account(
            OPERATOR_REFUND_COLLECTOR,
            "OperatorRefundCollector",
            include_str!("../../../contracts/artifacts/OperatorRefundCollector.json"),
            &[serves],
        )?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EMBEDDED_CHAIN_ID;
    use crate::addresses::MACHINA_DOLLAR;
    use crate::bindings::escrow::AuthCaptureEscrow;
    use alloy_primitives::aliases::{U48, U120};
    use alloy_primitives::{b256, uint};
    use alloy_sol_types::{SolCall, SolError, SolEvent};

    /// The payment that the client of `@x402/evm` 2.27.0 was asked for, at time 1,800,000,000 and
    /// with every random byte 0x77.
    fn payment() -> PaymentInfo {
        PaymentInfo {
            operator: Address::repeat_byte(0x44),
            payer: Address::repeat_byte(0x11),
            receiver: Address::repeat_byte(0x33),
            token: MACHINA_DOLLAR,
            maxAmount: U120::from(1_000_000),
            preApprovalExpiry: U48::from(1_800_000_060),
            authorizationExpiry: U48::from(1_800_086_400),
            refundExpiry: U48::from(1_800_864_000),
            minFeeBps: 10,
            maxFeeBps: 250,
            feeReceiver: Address::repeat_byte(0x55),
            salt: U256::from_be_bytes([0x77; 32]),
        }
    }

    #[test]
    fn a_payments_nonce_is_the_stock_clients() {
        let payment = payment();
        assert_eq!(
            payment.eip712_type_hash(),
            b256!("0xae68ac7ce30c86ece8196b61a7c486d8f0061f575037fbd34e7fe4e2820c6591")
        );
        assert_eq!(
            payment_nonce(&payment, EMBEDDED_CHAIN_ID),
            b256!("0x65693d83f3b33b881e5555d60ddcce1e5b3781b5fd008317798cca62fdbb90c7")
        );
        assert_ne!(payment_hash(&payment, EMBEDDED_CHAIN_ID), payment_hash(&payment, 1));
    }

    #[test]
    fn a_bound_salt_is_the_stock_clients() {
        let salt = bound_salt(Address::repeat_byte(0x66), Address::ZERO, payment().salt);
        assert_eq!(
            B256::from(salt),
            b256!("0x4728bc015a104f0031a5d9238a83b7ee8fcd940153df6e7065602aa0058d4691")
        );
        // The same client's nonce for the payment with that salt, as its Permit2 order has it.
        let nonce = payment_nonce(&PaymentInfo { salt, ..payment() }, EMBEDDED_CHAIN_ID);
        assert_eq!(
            U256::from_be_bytes(nonce.0),
            uint!(
                30375836161363264932197436421888406808707018202347396739422120097459312279191_U256
            )
        );
    }

    #[test]
    fn events_and_errors_are_those_of_the_public_contract() {
        // As published with v1.1 (docs/Fees.md of github.com/base/commerce-payments), and as its
        // users decode its reverts.
        assert_eq!(
            AuthCaptureEscrow::PaymentCharged::SIGNATURE_HASH,
            b256!("0x137b0e73e4453f43c2e1ad2552980a0e0c7e988764619974ca26d37a7159940c")
        );
        assert_eq!(
            AuthCaptureEscrow::PaymentCaptured::SIGNATURE_HASH,
            b256!("0xac1e0db1957daedbc6944bcb4c8dc947ff8101d710671ac2ec26309f7f38d58e")
        );
        assert_eq!(AuthCaptureEscrow::FeeAmountOutOfRange::SELECTOR, [0x7c, 0x2d, 0xcc, 0x22]);
        assert_eq!(AuthCaptureEscrow::InvalidSender::SELECTOR, [0xe1, 0x13, 0x0d, 0xba]);
        assert_eq!(AuthCaptureEscrow::TokenCollectionFailed::SELECTOR, [0x3c, 0x73, 0xc4, 0xa0]);
        assert_eq!(AuthCaptureEscrow::captureCall::SELECTOR, [0x3e, 0xfa, 0x46, 0xe1]);
        assert_eq!(AuthCaptureEscrow::chargeCall::SELECTOR, [0xc4, 0x49, 0xd1, 0x7c]);
    }
}
