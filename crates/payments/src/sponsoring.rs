//! Payers without gas: how an approval of Permit2 travels with a payment.
//!
//! Permit2 can take only what the payer approved for it in the token. Two extensions save the
//! payer a transaction of its own: `eip2612GasSponsoring`, an approval by signature for exactly
//! what is signed, and `erc20ApprovalGasSponsoring`, a signed approving transaction that the
//! facilitator hands to the chain before it settles.
//!
//! Source: `specs/extensions/eip2612_gas_sponsoring.md`, `erc20_gas_sponsoring.md`; the checks and
//! codes of the reference SDK (`@x402/evm` 2.27, `shared/permit2.ts`, `shared/erc20approval.ts`).

use alloy_consensus::transaction::SignerRecoverable as _;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::Decodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use money::Timestamp;
use protocol::MachinaDollar;
use protocol::addresses::PERMIT2;
use protocol::permit2::{Permit, SignedApproval};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use settlement::SignedPermit;

use crate::exact::{self, EXPIRY_MARGIN_SECONDS};
use crate::permit::Invalid;
use crate::wire::PaymentPayload;

/// An approval of Permit2 by signature (EIP-2612).
pub const BY_SIGNATURE: &str = "eip2612GasSponsoring";
/// An approval of Permit2 by a signed transaction.
pub const BY_TRANSACTION: &str = "erc20ApprovalGasSponsoring";

/// The version of both extensions that is spoken here.
const VERSION: &str = "1";

/// The longest approving transaction that is read, in bytes; one takes about 180.
const MAX_TRANSACTION: usize = 2 * 1024;

/// An approval of Permit2 that came with a payment, checked as far as that goes without a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sponsoring {
    /// By signature; the proxy hands it to the token itself.
    Signature(SignedApproval),
    /// By a transaction, to be handed to the chain first.
    Transaction {
        /// Its hash.
        hash: B256,
        /// Its bytes.
        raw: Bytes,
        /// The payer's number for it.
        nonce: u64,
        /// The chain that it is for.
        chain_id: Option<u64>,
    },
}

/// The form of both on the wire; members that only one of them has may be missing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    from: String,
    asset: String,
    spender: String,
    amount: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed_transaction: Option<String>,
    version: String,
}

/// What a quote says of the extensions that its facilitator carries.
pub fn declaration() -> Map<String, Value> {
    let address = |what: &str| json!({ "type": "string", "pattern": "^0x[a-fA-F0-9]{40}$", "description": what });
    let number =
        |what: &str| json!({ "type": "string", "pattern": "^[0-9]+$", "description": what });
    let bytes = |what: &str| json!({ "type": "string", "pattern": "^0x[a-fA-F0-9]+$", "description": what });
    let version = json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)*$", "description": "The extension's version." });
    let schema = |properties: Value, required: &[&str]| {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": required,
        })
    };
    let by_signature = schema(
        json!({
            "from": address("Who pays, and signs."),
            "asset": address("The token."),
            "spender": address("Permit2."),
            "amount": number("Exactly what the payment is signed for, in minor units."),
            "nonce": number("The payer's next number, as the token tells it."),
            "deadline": number("Until when the approval is good, in Unix seconds."),
            "signature": bytes("65 bytes: r, s, v."),
            "version": version,
        }),
        &["from", "asset", "spender", "amount", "nonce", "deadline", "signature", "version"],
    );
    let by_transaction = schema(
        json!({
            "from": address("Who pays, and signs."),
            "asset": address("The token."),
            "spender": address("Permit2."),
            "amount": number("What is approved, in minor units."),
            "signedTransaction": bytes("The signed transaction, as it travels."),
            "version": version,
        }),
        &["from", "asset", "spender", "amount", "signedTransaction", "version"],
    );
    let declared = |what: &str, schema: Value| json!({ "info": { "description": what, "version": VERSION }, "schema": schema });
    let mut extensions = Map::new();
    extensions.insert(
        BY_SIGNATURE.into(),
        declared(
            "An approval of Permit2 by signature (EIP-2612) may travel with the payment.",
            by_signature,
        ),
    );
    extensions.insert(
        BY_TRANSACTION.into(),
        declared("A signed transaction that approves Permit2 may travel with the payment; it is sent first.", by_transaction),
    );
    extensions
}

/// What a payer sends along: an approval of Permit2 for a token, by signature.
pub fn write(approval: &Permit, token: Address, signature: &Bytes) -> Map<String, Value> {
    let written = Written {
        from: approval.owner.to_string(),
        asset: token.to_string(),
        spender: approval.spender.to_string(),
        amount: approval.value.to_string(),
        nonce: Some(approval.nonce.to_string()),
        deadline: Some(approval.deadline.to_string()),
        signature: Some(signature.to_string()),
        signed_transaction: None,
        version: VERSION.into(),
    };
    let mut extensions = Map::new();
    extensions.insert(BY_SIGNATURE.into(), json!({ "info": written }));
    extensions
}

/// The approval that came with a payment, if one did: by signature rather than by transaction. An
/// extension whose members are missing is no approval, as the reference has it: clients echo what
/// the quote declared.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(
    payment: &PaymentPayload,
    permit: &SignedPermit,
    now: Timestamp,
) -> Result<Option<Sponsoring>, Invalid> {
    let info = |name: &str| payment.extensions.as_ref()?.get(name)?.get("info");
    let whole = |info: &Value, members: &[&str]| {
        members.iter().all(|m| info.get(m).is_some_and(|v| !v.is_null() && v != ""))
    };
    const COMMON: [&str; 5] = ["from", "asset", "spender", "amount", "version"];
    if let Some(info) = info(BY_SIGNATURE)
        .filter(|i| whole(i, &COMMON) && whole(i, &["nonce", "deadline", "signature"]))
    {
        return read_signature(info, permit, now).map(Some);
    }
    if let Some(info) =
        info(BY_TRANSACTION).filter(|i| whole(i, &COMMON) && whole(i, &["signedTransaction"]))
    {
        return read_transaction(info, permit).map(Some);
    }
    Ok(None)
}

fn read_signature(
    info: &Value,
    permit: &SignedPermit,
    now: Timestamp,
) -> Result<Sponsoring, Invalid> {
    let wrong = Invalid::ApprovalFormat;
    let written: Written = serde_json::from_value(info.clone()).map_err(|_| wrong)?;
    let [from, asset, spender] = addresses(&written).ok_or(wrong)?;
    let value = exact::number(&written.amount).map_err(|_| wrong)?;
    let number =
        |text: &Option<String>| text.as_ref().and_then(|t| exact::number(t).ok()).ok_or(wrong);
    number(&written.nonce)?;
    let deadline = number(&written.deadline)?;
    let signature: Bytes = written
        .signature
        .filter(|s| s.len() == 2 + 2 * 65)
        .and_then(|s| s.parse().ok())
        .ok_or(wrong)?;
    if from != permit.payer {
        return Err(Invalid::ApprovalFrom);
    }
    if asset != permit.token() {
        return Err(Invalid::ApprovalAsset);
    }
    if spender != PERMIT2 {
        return Err(Invalid::ApprovalSpender);
    }
    if deadline < U256::from(now.as_secs() + EXPIRY_MARGIN_SECONDS) {
        return Err(Invalid::ApprovalDeadline);
    }
    Ok(Sponsoring::Signature(SignedApproval {
        value,
        deadline,
        v: signature[64],
        r: B256::from_slice(&signature[..32]),
        s: B256::from_slice(&signature[32..64]),
    }))
}

fn read_transaction(info: &Value, permit: &SignedPermit) -> Result<Sponsoring, Invalid> {
    let wrong = Invalid::TransactionFormat;
    let written: Written = serde_json::from_value(info.clone()).map_err(|_| wrong)?;
    let [from, asset, spender] = addresses(&written).ok_or(wrong)?;
    exact::number(&written.amount).map_err(|_| wrong)?;
    let raw: Bytes = written
        .signed_transaction
        .filter(|t| t.starts_with("0x") && t.len() <= 2 + 2 * MAX_TRANSACTION)
        .and_then(|t| t.parse().ok())
        .ok_or(wrong)?;
    if from != permit.payer {
        return Err(Invalid::TransactionFrom);
    }
    if asset != permit.token() {
        return Err(Invalid::TransactionAsset);
    }
    if spender != PERMIT2 {
        return Err(Invalid::TransactionSpender);
    }
    let transaction =
        TxEnvelope::decode_2718_exact(&raw).map_err(|_| Invalid::TransactionUnreadable)?;
    if transaction.to() != Some(permit.token()) {
        return Err(Invalid::TransactionTarget);
    }
    let input = transaction.input();
    if !input.starts_with(&MachinaDollar::approveCall::SELECTOR) {
        return Err(Invalid::TransactionSelector);
    }
    let call = MachinaDollar::approveCall::abi_decode_validate(input)
        .map_err(|_| Invalid::TransactionCall)?;
    if call.spender != PERMIT2 {
        return Err(Invalid::TransactionCallSpender);
    }
    let signer = transaction.recover_signer().map_err(|_| Invalid::TransactionSignature)?;
    if signer != permit.payer {
        return Err(Invalid::TransactionSigner);
    }
    Ok(Sponsoring::Transaction {
        hash: *transaction.tx_hash(),
        nonce: transaction.nonce(),
        chain_id: transaction.chain_id(),
        raw,
    })
}

/// Payer, token and spender; `None` if one is no address or the version is no version.
fn addresses(written: &Written) -> Option<[Address; 3]> {
    let version = &written.version;
    let is_version = version.len() <= 16
        && version.split('.').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let read = |text: &str| exact::address(text).ok();
    let all = [read(&written.from)?, read(&written.asset)?, read(&written.spender)?];
    is_version.then_some(all)
}
