//! The scheme `exact` on Ethereum chains, by EIP-3009: a signed order to move exactly the price.
//!
//! Source: `specs/schemes/exact/scheme_exact_evm.md`. The codes are those that the reference SDK
//! emits (`@x402/evm` 2.27), which has drifted from the text of the specification.

use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use alloy_sol_types::SolStruct as _;
use ledger::Reference;
use money::Timestamp;
use protocol::TransferWithAuthorization;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use settlement::{SignedAuthorization, Token};
use thiserror::Error;

/// The scheme's name on the wire.
pub const SCHEME: &str = "exact";

/// How much earlier than its end a payment counts as expired, in seconds: it still has to be
/// mined. The reference uses the same.
pub const EXPIRY_MARGIN_SECONDS: u64 = 6;

/// The longest signature that is read, in bytes: a contract wallet's may be long, not endless.
pub const MAX_SIGNATURE: usize = 8 * 1024;

/// Why a payment is no good. `code` is what travels; `Display` is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Invalid {
    /// Not the scheme `exact`.
    #[error("the payment is not of the scheme `exact`")]
    Scheme,
    /// `extra.name` or `extra.version` is missing.
    #[error("the quote does not tell the token's EIP-712 name and version")]
    MissingDomain,
    /// Not this chain.
    #[error("the payment is for another network")]
    Network,
    /// Not a token that is settled here.
    #[error("this token is not settled here, or has no EIP-3009")]
    Asset,
    /// There is no contract at the token's address.
    #[error("there is no token at that address on this chain")]
    AssetMissing,
    /// The token calls itself by another name.
    #[error("the token's name is not the one that was signed for")]
    TokenName,
    /// The token is of another version.
    #[error("the token's version is not the one that was signed for")]
    TokenVersion,
    /// The payload is not an EIP-3009 order.
    #[error("the payload is not a signed EIP-3009 order")]
    Payload,
    /// The signature is not the payer's, or is malleated (high s).
    #[error("the signature is not the payer's")]
    Signature,
    /// The wallet would be made by a contract that may not make one here.
    #[error(
        "the payer's wallet does not exist yet, and this facilitator does not let that contract make it; make the wallet first"
    )]
    FactoryNotAllowed,
    /// The wallet was not there after it should have been made.
    #[error("the payer's wallet could not be made")]
    WalletNotMade,
    /// Pays somebody else.
    #[error("the payment goes to another payee")]
    Recipient,
    /// Too late.
    #[error("the payment has expired, or is about to")]
    ValidBefore,
    /// Too early.
    #[error("the payment is not valid yet")]
    ValidAfter,
    /// Not the price.
    #[error("the payment is not exactly the price")]
    Value,
    /// The payer has less.
    #[error("the payer's balance is smaller than the payment")]
    InsufficientBalance,
    /// It was used or cancelled.
    #[error("this payment was used or cancelled before")]
    NonceUsed,
    /// The chain would refuse it for another reason.
    #[error("the chain would refuse the payment")]
    Simulation,
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
    pub const ALL: [Invalid; 21] = [
        Invalid::Scheme,
        Invalid::MissingDomain,
        Invalid::Network,
        Invalid::Asset,
        Invalid::AssetMissing,
        Invalid::TokenName,
        Invalid::TokenVersion,
        Invalid::Payload,
        Invalid::FactoryNotAllowed,
        Invalid::Signature,
        Invalid::Recipient,
        Invalid::ValidBefore,
        Invalid::ValidAfter,
        Invalid::Value,
        Invalid::NonceUsed,
        Invalid::InsufficientBalance,
        Invalid::Simulation,
        Invalid::WalletNotMade,
        Invalid::Transaction,
        Invalid::Pending,
        Invalid::ChainUnreachable,
    ];

    /// The reference SDK's string.
    pub const fn code(self) -> &'static str {
        match self {
            Invalid::Scheme => "invalid_exact_evm_scheme",
            Invalid::MissingDomain => "invalid_exact_evm_missing_eip712_domain",
            Invalid::Network => "invalid_exact_evm_network_mismatch",
            Invalid::Asset => "invalid_exact_evm_eip3009_not_supported",
            Invalid::AssetMissing => "asset_not_deployed_contract",
            Invalid::TokenName => "invalid_exact_evm_token_name_mismatch",
            Invalid::TokenVersion => "invalid_exact_evm_token_version_mismatch",
            Invalid::Payload => "invalid_payload",
            Invalid::Signature => "invalid_exact_evm_signature",
            Invalid::Recipient => "invalid_exact_evm_recipient_mismatch",
            Invalid::ValidBefore => "invalid_exact_evm_payload_authorization_valid_before",
            Invalid::ValidAfter => "invalid_exact_evm_payload_authorization_valid_after",
            Invalid::Value => "invalid_exact_evm_payload_authorization_value_mismatch",
            Invalid::InsufficientBalance => "invalid_exact_evm_insufficient_balance",
            Invalid::NonceUsed => "invalid_exact_evm_nonce_already_used",
            Invalid::Simulation => "invalid_exact_evm_transaction_simulation_failed",
            Invalid::FactoryNotAllowed => "eip6492_factory_not_allowed",
            Invalid::WalletNotMade => "smart_wallet_deployment_failed",
            Invalid::Transaction => "invalid_exact_evm_transaction_failed",
            Invalid::Pending => "settlement_pending",
            Invalid::ChainUnreachable => "unexpected_settle_error",
        }
    }

    /// Whether the chain may have moved the money all the same, so that it must be asked until it
    /// is clear. A transaction that was mined and failed is clear: sending it again would have us
    /// pay for the same failure.
    pub const fn is_open(self) -> bool {
        matches!(self, Invalid::Pending | Invalid::ChainUnreachable | Invalid::NonceUsed)
    }
}

/// The payload's form on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Written {
    signature: String,
    authorization: WrittenAuthorization,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenAuthorization {
    from: String,
    to: String,
    value: String,
    valid_after: String,
    valid_before: String,
    nonce: String,
}

/// Reads the payload of a payment. It is read, not believed: nothing is verified here.
///
/// # Errors
/// [`Invalid::Payload`].
pub fn read(payload: &Value) -> Result<SignedAuthorization, Invalid> {
    let written: Written = serde_json::from_value(payload.clone()).map_err(|_| Invalid::Payload)?;
    let order = &written.authorization;
    if written.signature.len() > 2 + 2 * MAX_SIGNATURE {
        return Err(Invalid::Payload);
    }
    Ok(SignedAuthorization {
        from: address(&order.from)?,
        to: address(&order.to)?,
        value: number(&order.value)?,
        valid_after: number(&order.valid_after)?,
        valid_before: number(&order.valid_before)?,
        nonce: order.nonce.parse::<B256>().map_err(|_| Invalid::Payload)?,
        signature: written.signature.parse::<Bytes>().map_err(|_| Invalid::Payload)?,
    })
}

/// Writes the payload of a payment.
pub fn write(order: &SignedAuthorization) -> Value {
    let written = Written {
        signature: order.signature.to_string(),
        authorization: WrittenAuthorization {
            from: order.from.to_string(),
            to: order.to.to_string(),
            value: order.value.to_string(),
            valid_after: order.valid_after.to_string(),
            valid_before: order.valid_before.to_string(),
            nonce: order.nonce.to_string(),
        },
    };
    serde_json::to_value(written).expect("plain data")
}

pub(crate) fn address(text: &str) -> Result<Address, Invalid> {
    if !text.starts_with("0x") {
        return Err(Invalid::Payload);
    }
    text.parse().map_err(|_| Invalid::Payload)
}

/// A decimal number and nothing else: no sign, no `0x`, no exponent.
pub(crate) fn number(text: &str) -> Result<U256, Invalid> {
    if text.is_empty() || text.len() > 78 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Invalid::Payload);
    }
    U256::from_str_radix(text, 10).map_err(|_| Invalid::Payload)
}

/// The typed order that a payer signs.
pub fn order(authorization: &SignedAuthorization) -> TransferWithAuthorization {
    TransferWithAuthorization {
        from: authorization.from,
        to: authorization.to,
        value: authorization.value,
        validAfter: authorization.valid_after,
        validBefore: authorization.valid_before,
        nonce: authorization.nonce,
    }
}

/// What the payer's signature is over (EIP-712).
pub fn signing_hash(authorization: &SignedAuthorization, token: &Token) -> B256 {
    let domain =
        protocol::dollar_domain(&token.name, &token.version, token.chain_id, token.address);
    order(authorization).eip712_signing_hash(&domain)
}

/// Whether 65 bytes are the payer's own signature, as the token itself judges: low s, v 27 or 28.
pub fn signed_by_payer(authorization: &SignedAuthorization, token: &Token) -> bool {
    let bytes: &[u8] = &authorization.signature;
    if bytes.len() != 65 || !matches!(bytes[64], 27 | 28) {
        return false;
    }
    let Ok(signature) = Signature::from_raw(bytes) else { return false };
    if signature.normalize_s().is_some() {
        return false;
    }
    // C libsecp256k1: six times faster than the pure-Rust recovery behind `Signature`.
    alloy_consensus::crypto::secp256k1::recover_signer(
        &signature,
        signing_hash(authorization, token),
    )
    .is_ok_and(|signer| signer == authorization.from)
}

/// Checks the time window against the present.
///
/// # Errors
/// [`Invalid::ValidBefore`], [`Invalid::ValidAfter`].
pub fn check_window(authorization: &SignedAuthorization, now: Timestamp) -> Result<(), Invalid> {
    if authorization.valid_before < U256::from(now.as_secs() + EXPIRY_MARGIN_SECONDS) {
        return Err(Invalid::ValidBefore);
    }
    if authorization.valid_after > U256::from(now.as_secs()) {
        return Err(Invalid::ValidAfter);
    }
    Ok(())
}

/// The payment's name in both books: who pays, with which nonce, in which token on which chain.
/// The token guarantees that it is used once.
pub fn reference(authorization: &SignedAuthorization, token: &Token) -> Reference {
    reference_of(authorization.from, authorization.nonce, token)
}

/// As [`reference()`], from what the chain's events tell.
pub fn reference_of(payer: Address, nonce: B256, token: &Token) -> Reference {
    Reference::derive(
        "x402/exact",
        &[
            &token.chain_id.to_be_bytes(),
            token.address.as_slice(),
            payer.as_slice(),
            nonce.as_slice(),
        ],
    )
}

/// The last moment at which the order can be used.
pub fn ends_at(authorization: &SignedAuthorization) -> Timestamp {
    Timestamp::from_secs(u64::try_from(authorization.valid_before).unwrap_or(u64::MAX))
}
