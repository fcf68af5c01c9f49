//! Payments through Permit2: `exact` in any token, and `upto`, where the work decides what is
//! charged.
//!
//! Source: `specs/schemes/exact/scheme_exact_evm.md` and `specs/schemes/upto/scheme_upto_evm.md`.
//! The codes, and the order of the checks, are those of the reference SDK (`@x402/evm` 2.27,
//! `permit2.ts` of both schemes). Two differ on purpose: a spent number is told as
//! `permit2_invalid_nonce` by a settlement of `upto` too, and a settlement of `upto` needs the
//! payer to own the charge, not the whole of what was signed.

use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use ledger::Reference;
use money::Timestamp;
use protocol::addresses::{PERMIT2, X402_EXACT_PERMIT2_PROXY};
use protocol::permit2::{ExactOrder, ExactWitness, TokenPermissions, UptoOrder, UptoWitness};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use settlement::{PermitOrder, SignedPermit};
use thiserror::Error;

use crate::exact::{self, EXPIRY_MARGIN_SECONDS, MAX_SIGNATURE};

/// The name of the scheme that charges up to what was signed.
pub const UPTO: &str = "upto";

/// The member of `extra` that says how `exact` moves the token, and its value for Permit2.
pub const METHOD: &str = "assetTransferMethod";
/// See [`METHOD`].
pub const METHOD_PERMIT2: &str = "permit2";
/// The member of `extra` that says who settles an `upto` payment.
pub const FACILITATOR: &str = "facilitatorAddress";

/// What a server answers with 412 instead of 402: the payer has to approve Permit2 first.
pub const ALLOWANCE_REQUIRED: &str = "permit2_allowance_required";

/// Why a payment through Permit2 is no good. [`Invalid::code`] is what travels; `Display` is for
/// people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Invalid {
    /// Not a payload of this scheme.
    #[error("the payload is not a signed Permit2 order of this scheme")]
    PayloadType,
    /// Accepted and required scheme differ.
    #[error("the payment is not of the scheme that is asked")]
    Scheme,
    /// Not this chain.
    #[error("the payment is for another network")]
    Network,
    /// Made out to a contract other than x402's proxy.
    #[error("the order is made out to another spender than x402's proxy")]
    Spender,
    /// Pays somebody else.
    #[error("the payment goes to another payee")]
    Recipient,
    /// Names another facilitator.
    #[error("the payment may be settled by another facilitator only")]
    Facilitator,
    /// Too late.
    #[error("the payment has expired, or is about to")]
    Deadline,
    /// Too early.
    #[error("the payment is not valid yet")]
    NotYet,
    /// Not the price.
    #[error("the payment is not signed for exactly what is asked")]
    Amount,
    /// Another token, or one that is not settled here.
    #[error("the payment is in another token, or in one that is not settled here")]
    Token,
    /// There is no contract at the token's address.
    #[error("there is no token at that address on this chain")]
    AssetMissing,
    /// The signature is not the payer's.
    #[error("the signature is not the payer's")]
    Signature,
    /// The wallet does not exist, and its maker is not one that is asked here.
    #[error("the payer's wallet does not exist yet, and its maker (EIP-6492) is not allowed here")]
    FactoryNotAllowed,
    /// The wallet was not there after its maker had been called.
    #[error("the payer's wallet could not be made")]
    WalletNotMade,
    /// The approval by signature cannot be read.
    #[error("the approval of Permit2 (EIP-2612) that came along cannot be read")]
    ApprovalFormat,
    /// The approval is somebody else's.
    #[error("the approval of Permit2 that came along is another payer's")]
    ApprovalFrom,
    /// The approval is for another token.
    #[error("the approval of Permit2 that came along is for another token")]
    ApprovalAsset,
    /// The approval is for somebody else than Permit2.
    #[error("the approval that came along is for another spender than Permit2")]
    ApprovalSpender,
    /// The approval has ended.
    #[error("the approval of Permit2 that came along has expired, or is about to")]
    ApprovalDeadline,
    /// The approving transaction's description cannot be read.
    #[error("the approving transaction that came along is not described as it should be")]
    TransactionFormat,
    /// The approving transaction is said to be somebody else's.
    #[error("the approving transaction that came along is another payer's")]
    TransactionFrom,
    /// The approving transaction is said to be for another token.
    #[error("the approving transaction that came along is for another token")]
    TransactionAsset,
    /// The approving transaction is said to be for somebody else than Permit2.
    #[error("the approving transaction that came along is for another spender than Permit2")]
    TransactionSpender,
    /// The approving transaction cannot be read.
    #[error("the approving transaction that came along cannot be read")]
    TransactionUnreadable,
    /// The approving transaction calls another contract.
    #[error("the approving transaction calls another contract than the token")]
    TransactionTarget,
    /// The approving transaction does something else.
    #[error("the approving transaction does something else than to approve")]
    TransactionSelector,
    /// The approving transaction approves somebody else.
    #[error("the approving transaction approves another spender than Permit2")]
    TransactionCallSpender,
    /// The approving transaction's call cannot be read.
    #[error("the call of the approving transaction cannot be read")]
    TransactionCall,
    /// The approving transaction is signed by somebody else.
    #[error("the approving transaction is signed by somebody else than the payer")]
    TransactionSigner,
    /// The approving transaction's signature is none.
    #[error("the approving transaction's signature is none")]
    TransactionSignature,
    /// The approving transaction could not be carried.
    #[error("the approving transaction was not taken by the chain, or failed there")]
    TransactionFailed,
    /// The chain has no proxy.
    #[error("x402's proxy for Permit2 is not on this chain")]
    ProxyMissing,
    /// The payer has less.
    #[error("the payer's balance is smaller than the payment")]
    Balance,
    /// Permit2 may not take it.
    #[error(
        "the payer has not approved Permit2 for this token; approve it once, or send an approval along"
    )]
    Allowance,
    /// The chain would refuse it for another reason.
    #[error("the chain would refuse the payment")]
    Simulation,
    /// More is to be charged than was signed.
    #[error("the charge is more than the payer signed")]
    ExceedsAmount,
    /// The proxy: nothing is to be paid.
    #[error("nothing is to be paid")]
    NoAmount,
    /// The proxy: the payee is nobody.
    #[error("the payee is the zero address")]
    NoDestination,
    /// The proxy: the payer is nobody.
    #[error("the payer is the zero address")]
    NoOwner,
    /// The proxy: too early, by the chain's clock.
    #[error("the payment is not valid yet by the chain's clock")]
    TooEarly,
    /// Permit2: the number is spent.
    #[error("this payment was used or taken back before")]
    NonceUsed,
    /// The proxy: the approval is for another amount.
    #[error("the approval of Permit2 is not for exactly what was signed")]
    ApprovalAmount,
    /// The proxy: more than was signed.
    #[error("the proxy refused: the charge is more than the payer signed")]
    ProxyExceeds,
    /// The proxy: we are not the facilitator.
    #[error("the proxy refused: the payer signed for another facilitator")]
    ProxyFacilitator,
    /// The chain did refuse it.
    #[error("the chain refused the payment")]
    Transaction,
    /// It was sent and is not mined yet.
    #[error("the payment was sent and is not mined yet")]
    Pending,
    /// The chain could not be asked.
    #[error("the chain could not be asked; try again")]
    ChainUnreachable,
}

impl Invalid {
    /// All reasons, in the order in which they are checked.
    pub const ALL: [Invalid; 47] = [
        Invalid::PayloadType,
        Invalid::Scheme,
        Invalid::Network,
        Invalid::Spender,
        Invalid::Recipient,
        Invalid::Facilitator,
        Invalid::Deadline,
        Invalid::NotYet,
        Invalid::Amount,
        Invalid::Token,
        Invalid::AssetMissing,
        Invalid::Signature,
        Invalid::FactoryNotAllowed,
        Invalid::ExceedsAmount,
        Invalid::ApprovalFormat,
        Invalid::ApprovalFrom,
        Invalid::ApprovalAsset,
        Invalid::ApprovalSpender,
        Invalid::ApprovalDeadline,
        Invalid::TransactionFormat,
        Invalid::TransactionFrom,
        Invalid::TransactionAsset,
        Invalid::TransactionSpender,
        Invalid::TransactionUnreadable,
        Invalid::TransactionTarget,
        Invalid::TransactionSelector,
        Invalid::TransactionCallSpender,
        Invalid::TransactionCall,
        Invalid::TransactionSigner,
        Invalid::TransactionSignature,
        Invalid::ProxyMissing,
        Invalid::Balance,
        Invalid::Allowance,
        Invalid::Simulation,
        Invalid::WalletNotMade,
        Invalid::TransactionFailed,
        Invalid::NoAmount,
        Invalid::NoDestination,
        Invalid::NoOwner,
        Invalid::TooEarly,
        Invalid::NonceUsed,
        Invalid::ApprovalAmount,
        Invalid::ProxyExceeds,
        Invalid::ProxyFacilitator,
        Invalid::Transaction,
        Invalid::Pending,
        Invalid::ChainUnreachable,
    ];

    /// The reference SDK's string, where the payment is of the scheme `upto` (`metered`) or
    /// `exact`.
    pub const fn code(self, metered: bool) -> &'static str {
        match self {
            Invalid::PayloadType => "unsupported_payload_type",
            Invalid::Scheme if metered => "invalid_upto_evm_scheme",
            Invalid::Scheme => "unsupported_payload_type",
            Invalid::Network if metered => "invalid_upto_evm_network_mismatch",
            Invalid::Network => "invalid_exact_evm_network_mismatch",
            Invalid::Spender => "invalid_permit2_spender",
            Invalid::Recipient => "invalid_permit2_recipient_mismatch",
            Invalid::Facilitator => "upto_facilitator_mismatch",
            Invalid::Deadline => "permit2_deadline_expired",
            Invalid::NotYet => "permit2_not_yet_valid",
            Invalid::Amount => "permit2_amount_mismatch",
            Invalid::Token => "permit2_token_mismatch",
            Invalid::AssetMissing => "asset_not_deployed_contract",
            Invalid::Signature => "invalid_permit2_signature",
            Invalid::FactoryNotAllowed => "eip6492_factory_not_allowed",
            Invalid::WalletNotMade => "smart_wallet_deployment_failed",
            Invalid::ApprovalFormat => "invalid_eip2612_extension_format",
            Invalid::ApprovalFrom => "eip2612_from_mismatch",
            Invalid::ApprovalAsset => "eip2612_asset_mismatch",
            Invalid::ApprovalSpender => "eip2612_spender_not_permit2",
            Invalid::ApprovalDeadline => "eip2612_deadline_expired",
            Invalid::TransactionFormat => "invalid_erc20_approval_extension_format",
            Invalid::TransactionFrom => "erc20_approval_from_mismatch",
            Invalid::TransactionAsset => "erc20_approval_asset_mismatch",
            Invalid::TransactionSpender => "erc20_approval_spender_not_permit2",
            Invalid::TransactionUnreadable => "erc20_approval_tx_parse_failed",
            Invalid::TransactionTarget => "erc20_approval_tx_wrong_target",
            Invalid::TransactionSelector => "erc20_approval_tx_wrong_selector",
            Invalid::TransactionCallSpender => "erc20_approval_tx_wrong_spender",
            Invalid::TransactionCall => "erc20_approval_tx_invalid_calldata",
            Invalid::TransactionSigner => "erc20_approval_tx_signer_mismatch",
            Invalid::TransactionSignature => "erc20_approval_tx_invalid_signature",
            Invalid::TransactionFailed => "erc20_approval_broadcast_failed",
            Invalid::ProxyMissing => "permit2_proxy_not_deployed",
            Invalid::Balance => "permit2_insufficient_balance",
            Invalid::Allowance => ALLOWANCE_REQUIRED,
            Invalid::Simulation => "permit2_simulation_failed",
            Invalid::ExceedsAmount => "invalid_upto_evm_payload_settlement_exceeds_amount",
            Invalid::NoAmount => "permit2_invalid_amount",
            Invalid::NoDestination => "permit2_invalid_destination",
            Invalid::NoOwner => "permit2_invalid_owner",
            Invalid::TooEarly => "permit2_payment_too_early",
            Invalid::NonceUsed => "permit2_invalid_nonce",
            Invalid::ApprovalAmount => "permit2_2612_amount_mismatch",
            Invalid::ProxyExceeds => "upto_amount_exceeds_permitted",
            Invalid::ProxyFacilitator => "upto_unauthorized_facilitator",
            Invalid::Transaction if metered => "invalid_upto_evm_transaction_failed",
            Invalid::Transaction => "invalid_exact_evm_transaction_failed",
            Invalid::Pending => "settlement_pending",
            Invalid::ChainUnreachable => "unexpected_settle_error",
        }
    }

    /// Whether the chain may have moved the money all the same, so that it must be asked until it
    /// is clear.
    pub const fn is_open(self) -> bool {
        matches!(self, Invalid::Pending | Invalid::ChainUnreachable | Invalid::NonceUsed)
    }

    /// What a revert of the proxy, of Permit2 or of the token says, if it says something that the
    /// vocabulary knows.
    pub fn of_revert(data: &[u8]) -> Option<Invalid> {
        use alloy_sol_types::SolError as _;
        use protocol::bindings::permit2::{ExactPermit2Proxy, Permit2, UptoPermit2Proxy};

        let selector: [u8; 4] = data.get(..4)?.try_into().ok()?;
        Some(match selector {
            ExactPermit2Proxy::Permit2612AmountMismatch::SELECTOR => Invalid::ApprovalAmount,
            ExactPermit2Proxy::InvalidAmount::SELECTOR | Permit2::InvalidAmount::SELECTOR => {
                Invalid::NoAmount
            }
            ExactPermit2Proxy::InvalidDestination::SELECTOR => Invalid::NoDestination,
            ExactPermit2Proxy::InvalidOwner::SELECTOR => Invalid::NoOwner,
            ExactPermit2Proxy::PaymentTooEarly::SELECTOR => Invalid::TooEarly,
            Permit2::InvalidNonce::SELECTOR => Invalid::NonceUsed,
            Permit2::SignatureExpired::SELECTOR
            | Permit2::InvalidSignature::SELECTOR
            | Permit2::InvalidSigner::SELECTOR
            | Permit2::InvalidSignatureLength::SELECTOR
            | Permit2::InvalidContractSignature::SELECTOR => Invalid::Signature,
            UptoPermit2Proxy::AmountExceedsPermitted::SELECTOR => Invalid::ProxyExceeds,
            UptoPermit2Proxy::UnauthorizedFacilitator::SELECTOR => Invalid::ProxyFacilitator,
            _ => return None,
        })
    }
}

/// The payload's form on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    signature: String,
    permit2_authorization: WrittenOrder,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct WrittenOrder {
    permitted: WrittenPermissions,
    from: String,
    spender: String,
    nonce: String,
    deadline: String,
    witness: WrittenWitness,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct WrittenPermissions {
    token: String,
    amount: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenWitness {
    to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    facilitator: Option<String>,
    valid_after: String,
}

/// Whether a payload is an order through Permit2, as far as its form tells.
pub fn is_permit(payload: &Value) -> bool {
    payload.get("permit2Authorization").is_some()
}

/// Reads the payload of a payment. It is read, not believed: nothing is verified here.
///
/// # Errors
/// [`exact::Invalid::Payload`].
pub fn read(payload: &Value) -> Result<SignedPermit, exact::Invalid> {
    let wrong = exact::Invalid::Payload;
    let written: Written = serde_json::from_value(payload.clone()).map_err(|_| wrong)?;
    let order = written.permit2_authorization;
    if written.signature.len() > 2 + 2 * MAX_SIGNATURE {
        return Err(wrong);
    }
    let permitted = TokenPermissions {
        token: exact::address(&order.permitted.token)?,
        amount: number(&order.permitted.amount)?,
    };
    let spender = exact::address(&order.spender)?;
    let (nonce, deadline) = (number(&order.nonce)?, number(&order.deadline)?);
    let (to, valid_after) =
        (exact::address(&order.witness.to)?, number(&order.witness.valid_after)?);
    // What the proxy for `exact` was made spender of is signed without a facilitator, whatever
    // else the payload says.
    let facilitator = order.witness.facilitator.filter(|_| spender != X402_EXACT_PERMIT2_PROXY);
    let order_read = match facilitator {
        None => {
            let witness = ExactWitness { to, validAfter: valid_after };
            PermitOrder::Exact(ExactOrder { permitted, spender, nonce, deadline, witness })
        }
        Some(facilitator) => {
            let facilitator = exact::address(&facilitator)?;
            let witness = UptoWitness { to, facilitator, validAfter: valid_after };
            PermitOrder::Upto(UptoOrder { permitted, spender, nonce, deadline, witness })
        }
    };
    Ok(SignedPermit {
        payer: exact::address(&order.from)?,
        order: order_read,
        signature: written.signature.parse::<Bytes>().map_err(|_| wrong)?,
    })
}

/// Writes the payload of a payment.
pub fn write(permit: &SignedPermit) -> Value {
    let written = Written {
        signature: permit.signature.to_string(),
        permit2_authorization: WrittenOrder {
            permitted: WrittenPermissions {
                token: permit.token().to_string(),
                amount: permit.most().to_string(),
            },
            from: permit.payer.to_string(),
            spender: permit.spender().to_string(),
            nonce: permit.nonce().to_string(),
            deadline: permit.deadline().to_string(),
            witness: WrittenWitness {
                to: permit.payee().to_string(),
                facilitator: permit.facilitator().map(|f| f.to_string()),
                valid_after: permit.valid_after().to_string(),
            },
        },
    };
    serde_json::to_value(written).expect("plain data")
}

/// A decimal number, or a hexadecimal one after `0x`: clients write Permit2's numbers either way.
fn number(text: &str) -> Result<U256, exact::Invalid> {
    match text.strip_prefix("0x") {
        None => exact::number(text),
        Some(digits)
            if (1..=64).contains(&digits.len())
                && digits.bytes().all(|b| b.is_ascii_hexdigit()) =>
        {
            U256::from_str_radix(digits, 16).map_err(|_| exact::Invalid::Payload)
        }
        Some(_) => Err(exact::Invalid::Payload),
    }
}

/// Whether the signature is the payer's own key's, as Permit2 judges: 65 bytes with v 27 or 28, or
/// 64 bytes (EIP-2098).
pub fn signed_by_payer(permit: &SignedPermit, chain_id: u64) -> bool {
    let bytes: &[u8] = &permit.signature;
    let signature = match bytes.len() {
        65 if matches!(bytes[64], 27 | 28) => Signature::from_raw(bytes).ok(),
        64 => Some(Signature::from_erc2098(bytes)),
        _ => None,
    };
    let Some(signature) = signature else { return false };
    // Permit2 itself takes a malleated signature (high s); clients make none, and one order must
    // not have two texts.
    if permit.payer.is_zero() || signature.normalize_s().is_some() {
        return false;
    }
    alloy_consensus::crypto::secp256k1::recover_signer(&signature, permit.signing_hash(chain_id))
        .is_ok_and(|signer| signer == permit.payer)
}

/// Checks the time window against the present.
///
/// # Errors
/// [`Invalid::Deadline`], [`Invalid::NotYet`].
pub fn check_window(permit: &SignedPermit, now: Timestamp) -> Result<(), Invalid> {
    if permit.deadline() < U256::from(now.as_secs() + EXPIRY_MARGIN_SECONDS) {
        return Err(Invalid::Deadline);
    }
    if permit.valid_after() > U256::from(now.as_secs()) {
        return Err(Invalid::NotYet);
    }
    Ok(())
}

/// The payment's name in both books: whose number it is, in Permit2 on which chain. Permit2
/// guarantees that a number is used once, whatever for.
pub fn reference(permit: &SignedPermit, chain_id: u64) -> Reference {
    reference_of(permit.payer, permit.nonce(), chain_id)
}

/// As [`reference()`], from what the chain tells.
pub fn reference_of(payer: Address, nonce: U256, chain_id: u64) -> Reference {
    Reference::derive(
        "x402/permit2",
        &[
            &chain_id.to_be_bytes(),
            PERMIT2.as_slice(),
            payer.as_slice(),
            B256::from(nonce).as_slice(),
        ],
    )
}

/// The last moment at which the order can be used.
pub fn ends_at(permit: &SignedPermit) -> Timestamp {
    Timestamp::from_secs(u64::try_from(permit.deadline()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn all_lists_each_reason_once() {
        let once: BTreeSet<String> = Invalid::ALL.iter().map(|r| format!("{r:?}")).collect();
        assert_eq!(once.len(), Invalid::ALL.len());
    }

    #[test]
    fn a_number_is_decimal_or_hexadecimal_and_nothing_else() {
        assert_eq!(number("255"), Ok(U256::from(255)));
        assert_eq!(number("0xff"), Ok(U256::from(255)));
        for wrong in ["", "0x", "-1", "+1", "1e3", "0xg", " 1", &"9".repeat(79), &"f".repeat(65)] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
        assert!(number(&format!("0x{}", "f".repeat(65))).is_err());
        assert!(number(&"9".repeat(78)).is_err(), "above 2^256");
    }

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let permitted = TokenPermissions { token: Address::repeat_byte(1), amount: U256::from(2) };
        let (nonce, deadline) = (U256::MAX, U256::from(4));
        let exact = PermitOrder::Exact(ExactOrder {
            permitted,
            spender: X402_EXACT_PERMIT2_PROXY,
            nonce,
            deadline,
            witness: ExactWitness { to: Address::repeat_byte(5), validAfter: U256::ZERO },
        });
        let upto = PermitOrder::Upto(UptoOrder {
            permitted,
            spender: Address::repeat_byte(6),
            nonce,
            deadline,
            witness: UptoWitness {
                to: Address::repeat_byte(5),
                facilitator: Address::repeat_byte(7),
                validAfter: U256::from(8),
            },
        });
        for order in [exact, upto] {
            let permit = SignedPermit {
                payer: Address::repeat_byte(9),
                order,
                signature: vec![1, 2, 3].into(),
            };
            assert_eq!(read(&write(&permit)), Ok(permit));
        }
    }
}
