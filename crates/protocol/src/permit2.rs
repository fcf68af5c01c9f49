//! What a payer signs to pay through Permit2: x402's orders for `exact` and `upto` under Permit2's
//! EIP-712 domain, and the calls that carry them.
//!
//! A payer signs `order.eip712_signing_hash(&permit2_domain(chain_id))`
//! ([`alloy_sol_types::SolStruct`]). The order's `spender` is x402's proxy for the scheme, never a
//! facilitator, and its witness says whom the proxy pays; so whoever carries the order can change
//! nothing. The types, and with them the hashes, are those that the x402 SDK (`@x402/evm` 2.27)
//! signs: `permit2WitnessTypes` and `uptoPermit2WitnessTypes`.
//!
//! Permit2 can take only what the payer approved for it in the token: once for ever by a
//! transaction of its own, or for one payment by an EIP-2612 [`Permit`] that travels with the order.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{Eip712Domain, sol};

use crate::ProtocolError;
use crate::addresses::{PERMIT2, X402_EXACT_PERMIT2_PROXY, X402_UPTO_PERMIT2_PROXY};
use crate::artifact::Artifact;
use crate::bindings::permit2::{ExactPermit2Proxy, UptoPermit2Proxy, parts};
use crate::genesis::{GenesisAccount, contract};

/// The name of Permit2's EIP-712 domain, which has no version.
pub const PERMIT2_NAME: &str = "Permit2";

sol! {
    /// What may be taken, of one token.
    #[derive(Debug, Copy, PartialEq, Eq)]
    struct TokenPermissions {
        /// The token's contract.
        address token;
        /// Minor units: for `exact` the price, for `upto` the most that may be taken.
        uint256 amount;
    }

    /// The types of scheme `exact`; [`ExactOrder`] is what a payer signs.
    library Exact {
        /// Whom the proxy pays, and when.
        #[derive(Debug, Copy, PartialEq, Eq)]
        struct Witness {
            /// The payee.
            address to;
            /// Unix seconds; good from this second on.
            uint256 validAfter;
        }

        /// A payer's order to x402's proxy for `exact`.
        #[derive(Debug, Copy, PartialEq, Eq)]
        struct PermitWitnessTransferFrom {
            /// What is paid.
            TokenPermissions permitted;
            /// Always [`X402_EXACT_PERMIT2_PROXY`].
            address spender;
            /// Chosen by the payer at random; an order is good once.
            uint256 nonce;
            /// Unix seconds; good up to and including this second.
            uint256 deadline;
            /// Who gets it.
            Witness witness;
        }
    }

    /// The types of scheme `upto`; [`UptoOrder`] is what a payer signs.
    library Upto {
        /// Whom the proxy pays, when, and who says how much.
        #[derive(Debug, Copy, PartialEq, Eq)]
        struct Witness {
            /// The payee.
            address to;
            /// The only one who may send the settling call, and so name the amount.
            address facilitator;
            /// Unix seconds; good from this second on.
            uint256 validAfter;
        }

        /// A payer's order to x402's proxy for `upto`.
        #[derive(Debug, Copy, PartialEq, Eq)]
        struct PermitWitnessTransferFrom {
            /// The most that may be paid.
            TokenPermissions permitted;
            /// Always [`X402_UPTO_PERMIT2_PROXY`].
            address spender;
            /// Chosen by the payer at random; an order is good once, however little is taken.
            uint256 nonce;
            /// Unix seconds; good up to and including this second.
            uint256 deadline;
            /// Who gets it, and by whom.
            Witness witness;
        }
    }

    /// A holder's approval of a spender by signature, in the token's own domain (EIP-2612).
    #[derive(Debug, Copy, PartialEq, Eq)]
    struct Permit {
        /// The holder, who signs.
        address owner;
        /// Who may then take; for x402 always [`PERMIT2`].
        address spender;
        /// Minor units; with an order, exactly what the order permits, or the proxy refuses it.
        uint256 value;
        /// The holder's next, as the token's `nonces(owner)` tells it.
        uint256 nonce;
        /// Unix seconds; good up to and including this second.
        uint256 deadline;
    }
}

/// What a payer signs to pay by scheme `exact` through Permit2.
pub type ExactOrder = Exact::PermitWitnessTransferFrom;
/// Whom an [`ExactOrder`] pays.
pub type ExactWitness = Exact::Witness;
/// What a payer signs to pay by scheme `upto`.
pub type UptoOrder = Upto::PermitWitnessTransferFrom;
/// Whom an [`UptoOrder`] pays, and who settles it.
pub type UptoWitness = Upto::Witness;

/// An EIP-2612 [`Permit`] and its signature, as it travels with an order. What it does not say is
/// known: the owner is the payer, the spender is [`PERMIT2`], the nonce is the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedApproval {
    /// Minor units; exactly what the order permits.
    pub value: U256,
    /// Unix seconds; good up to and including this second.
    pub deadline: U256,
    /// The signature's last byte, 27 or 28.
    pub v: u8,
    /// The signature's first word.
    pub r: B256,
    /// The signature's second word.
    pub s: B256,
}

/// Permit2's EIP-712 domain on the chain with this id.
pub fn permit2_domain(chain_id: u64) -> Eip712Domain {
    Eip712Domain::new(
        Some(PERMIT2_NAME.into()),
        None,
        Some(U256::from(chain_id)),
        Some(PERMIT2),
        None,
    )
}

/// The call to [`X402_EXACT_PERMIT2_PROXY`] that pays by the `order` that `payer` signed.
pub fn settle_exact(
    order: &ExactOrder,
    payer: Address,
    signature: Bytes,
) -> ExactPermit2Proxy::settleCall {
    let (permit, witness) = exact_parts(order);
    ExactPermit2Proxy::settleCall { permit, owner: payer, witness, signature }
}

/// As [`settle_exact`], after the payer's approval of Permit2. A used or bad approval does not undo
/// the payment, if Permit2 was approved otherwise.
pub fn settle_exact_with_approval(
    approval: &SignedApproval,
    order: &ExactOrder,
    payer: Address,
    signature: Bytes,
) -> ExactPermit2Proxy::settleWithPermitCall {
    let SignedApproval { value, deadline, v, r, s } = *approval;
    let permit2612 = parts::exact_approval::EIP2612Permit { value, deadline, r, s, v };
    let (permit, witness) = exact_parts(order);
    ExactPermit2Proxy::settleWithPermitCall { permit2612, permit, owner: payer, witness, signature }
}

/// The call to [`X402_UPTO_PERMIT2_PROXY`] that pays `amount` minor units, at least one, by the
/// `order` that `payer` signed. Only the facilitator in its witness may send it.
pub fn settle_upto(
    order: &UptoOrder,
    amount: U256,
    payer: Address,
    signature: Bytes,
) -> UptoPermit2Proxy::settleCall {
    let (permit, witness) = upto_parts(order);
    UptoPermit2Proxy::settleCall { permit, amount, owner: payer, witness, signature }
}

/// As [`settle_upto`], after the payer's approval of Permit2, which must be for all that the order
/// permits, also when less is taken.
pub fn settle_upto_with_approval(
    approval: &SignedApproval,
    order: &UptoOrder,
    amount: U256,
    payer: Address,
    signature: Bytes,
) -> UptoPermit2Proxy::settleWithPermitCall {
    let SignedApproval { value, deadline, v, r, s } = *approval;
    let permit2612 = parts::upto_approval::EIP2612Permit { value, deadline, r, s, v };
    let (permit, witness) = upto_parts(order);
    UptoPermit2Proxy::settleWithPermitCall {
        permit2612,
        permit,
        amount,
        owner: payer,
        witness,
        signature,
    }
}

/// Where Permit2 keeps whether `nonce` is used: the word of `nonceBitmap(payer, word)`, and in it
/// the bit that is then set.
pub fn nonce_place(nonce: U256) -> (U256, U256) {
    (nonce >> 8, U256::ONE << (nonce & U256::from(0xff)))
}

/// Permit2 and the two proxies where clients expect them. Their constructors set nothing, so the
/// same code serves every chain.
pub(crate) fn accounts() -> Result<[GenesisAccount; 3], ProtocolError> {
    Ok([
        plain(PERMIT2, "Permit2", include_str!("../../../contracts/artifacts/Permit2.json"))?,
        plain(
            X402_EXACT_PERMIT2_PROXY,
            "x402ExactPermit2Proxy",
            include_str!("../../../contracts/artifacts/x402ExactPermit2Proxy.json"),
        )?,
        plain(
            X402_UPTO_PERMIT2_PROXY,
            "x402UptoPermit2Proxy",
            include_str!("../../../contracts/artifacts/x402UptoPermit2Proxy.json"),
        )?,
    ])
}

/// A contract without immutables and without storage.
fn plain(
    address: Address,
    name: &'static str,
    artifact: &str,
) -> Result<GenesisAccount, ProtocolError> {
    Ok(contract(address, Artifact::read(name, artifact)?.runtime_code(&[])?, Vec::new()))
}

fn exact_parts(
    order: &ExactOrder,
) -> (parts::exact_order::PermitTransferFrom, ExactPermit2Proxy::Witness) {
    let TokenPermissions { token, amount } = order.permitted;
    let ExactWitness { to, validAfter } = order.witness;
    let permitted = parts::exact_order::TokenPermissions { token, amount };
    let (nonce, deadline) = (order.nonce, order.deadline);
    (
        parts::exact_order::PermitTransferFrom { permitted, nonce, deadline },
        ExactPermit2Proxy::Witness { to, validAfter },
    )
}

fn upto_parts(
    order: &UptoOrder,
) -> (parts::upto_order::PermitTransferFrom, UptoPermit2Proxy::Witness) {
    let TokenPermissions { token, amount } = order.permitted;
    let UptoWitness { to, facilitator, validAfter } = order.witness;
    let permitted = parts::upto_order::TokenPermissions { token, amount };
    let (nonce, deadline) = (order.nonce, order.deadline);
    (
        parts::upto_order::PermitTransferFrom { permitted, nonce, deadline },
        UptoPermit2Proxy::Witness { to, facilitator, validAfter },
    )
}
