//! `offer-receipt`: a seller signs what it offers, and that it was paid and delivered.
//!
//! Source: `specs/extensions/extension-offer-and-receipt.md`, in the form `eip712`; the typed
//! structs are [`protocol::notarial`]. The seller signs with the key that is paid, so that whoever
//! verifies needs no registry: the signer is `payTo`. A receipt tells the transaction, since the
//! one who gets it knows it anyway, and it makes the receipt worth something to others.
//!
//! A receipt is signed once, kept with the settlement, and given again byte for byte.

use alloy_primitives::{Address, B256, Signature, U256};
use alloy_sol_types::SolStruct as _;
use mandates::Key;
use money::Timestamp;
use protocol::notarial;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{DIALECT, declaration};
use crate::wire::{PaymentRequired, SettleResponse};

/// The extension's name.
pub const NAME: &str = "offer-receipt";

/// The version of both payloads.
const VERSION: u64 = 1;

/// Who signs for a seller. A [`Key`] does.
pub trait Notary: Send + Sync + 'static {
    /// Whose signature it is.
    fn address(&self) -> Address;
    /// Signs an offer; `None` if it would pay somebody else.
    fn sign_offer(&self, offer: &notarial::Offer) -> Option<Signature>;
    /// Signs a receipt.
    fn sign_receipt(&self, receipt: &notarial::Receipt) -> Signature;
}

impl Notary for Key {
    fn address(&self) -> Address {
        Key::address(self)
    }

    fn sign_offer(&self, offer: &notarial::Offer) -> Option<Signature> {
        Key::sign_offer(self, offer).ok()
    }

    fn sign_receipt(&self, receipt: &notarial::Receipt) -> Signature {
        Key::sign_receipt(self, receipt)
    }
}

/// A receipt, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The version of this payload, 1.
    pub version: u64,
    /// A CAIP-2 chain.
    pub network: String,
    /// What was bought.
    pub resource_url: String,
    /// Who paid.
    pub payer: String,
    /// Unix seconds.
    pub issued_at: u64,
    /// The transaction that paid; empty if it is not told.
    #[serde(default)]
    pub transaction: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfferPayload {
    version: u64,
    resource_url: String,
    scheme: String,
    network: String,
    asset: String,
    pay_to: String,
    amount: String,
    #[serde(default)]
    valid_until: u64,
}

impl OfferPayload {
    fn typed(&self) -> notarial::Offer {
        notarial::Offer {
            version: U256::from(self.version),
            resourceUrl: self.resource_url.clone(),
            scheme: self.scheme.clone(),
            network: self.network.clone(),
            asset: self.asset.clone(),
            payTo: self.pay_to.clone(),
            amount: self.amount.clone(),
            validUntil: U256::from(self.valid_until),
        }
    }
}

impl Receipt {
    fn typed(&self) -> notarial::Receipt {
        notarial::Receipt {
            version: U256::from(self.version),
            network: self.network.clone(),
            resourceUrl: self.resource_url.clone(),
            payer: self.payer.clone(),
            issuedAt: U256::from(self.issued_at),
            transaction: self.transaction.clone(),
        }
    }

    /// What its signature is over (EIP-712).
    pub fn signing_hash(&self) -> B256 {
        self.typed().eip712_signing_hash(&notarial::receipt_domain())
    }
}

/// The extension of a quote: each way to pay, signed, good until `until`. `None` if no way pays
/// whom the notary signs for.
pub(crate) fn offers(
    notary: &dyn Notary,
    quote: &PaymentRequired,
    until: Timestamp,
) -> Option<Value> {
    let signed: Vec<Value> = quote
        .accepts
        .iter()
        .enumerate()
        .filter_map(|(index, way)| {
            let payload = OfferPayload {
                version: VERSION,
                resource_url: quote.resource.url.clone(),
                scheme: way.scheme.clone(),
                network: way.network.clone(),
                asset: way.asset.clone(),
                pay_to: way.pay_to.clone(),
                amount: way.amount.clone(),
                valid_until: until.as_secs(),
            };
            let signature = notary.sign_offer(&payload.typed())?;
            let mut artifact = artifact(json!(payload), &signature);
            artifact.insert("acceptIndex".into(), Value::from(index));
            Some(Value::Object(artifact))
        })
        .collect();
    let schema = json!({
        "$schema": DIALECT,
        "type": "object",
        "properties": { "offers": { "type": "array", "items": artifact_schema() } },
        "required": ["offers"],
    });
    (!signed.is_empty()).then(|| declaration(json!({ "offers": signed }), schema))
}

/// Puts a signed receipt into the answer to a settlement that succeeded.
pub(crate) fn attest(
    notary: &dyn Notary,
    response: &mut SettleResponse,
    resource: &str,
    now: Timestamp,
) {
    let Some(payer) = response.payer.clone().filter(|_| response.success) else { return };
    let receipt = Receipt {
        version: VERSION,
        network: response.network.clone(),
        resource_url: resource.into(),
        payer,
        issued_at: now.as_secs(),
        transaction: response.transaction.clone(),
    };
    let signature = notary.sign_receipt(&receipt.typed());
    let schema = json!({
        "$schema": DIALECT,
        "type": "object",
        "properties": { "receipt": artifact_schema() },
        "required": ["receipt"],
    });
    let signed = Value::Object(artifact(json!(receipt), &signature));
    let said = response.extensions.get_or_insert_default();
    said.insert(NAME.into(), declaration(json!({ "receipt": signed }), schema));
}

fn artifact(payload: Value, signature: &Signature) -> Map<String, Value> {
    let signature = alloy_primitives::hex::encode_prefixed(signature.as_bytes());
    let signed = json!({ "format": "eip712", "payload": payload, "signature": signature });
    let Value::Object(signed) = signed else { unreachable!("it is written as an object") };
    signed
}

fn artifact_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "format": { "type": "string", "const": "eip712" },
            "payload": { "type": "object" },
            "signature": { "type": "string" },
        },
        "required": ["format", "payload", "signature"],
    })
}

/// The receipt in the answer to a settlement, if there is one that was signed by `payee`, for this
/// payer's purchase of this resource. Receipts in the form `jws` are not read.
pub fn verified(
    response: &SettleResponse,
    resource: &str,
    payer: Address,
    payee: Address,
) -> Option<Receipt> {
    let signed = response.extensions.as_ref()?.get(NAME)?.get("info")?.get("receipt")?;
    if signed.get("format")?.as_str()? != "eip712" {
        return None;
    }
    let receipt: Receipt = serde_json::from_value(signed.get("payload")?.clone()).ok()?;
    let good = receipt.version == VERSION
        && receipt.network == response.network
        && receipt.resource_url == resource
        && receipt.payer.parse::<Address>().ok() == Some(payer)
        && (receipt.transaction.is_empty() || receipt.transaction == response.transaction)
        && signed_by(signed, receipt.signing_hash()) == Some(payee);
    good.then_some(receipt)
}

/// Whether a quote's first signed offer for this way to pay is its payee's, and still good.
pub fn offer_is_signed(quote: &PaymentRequired, way: usize, now: Timestamp) -> bool {
    let check = || {
        let offers =
            quote.extensions.as_ref()?.get(NAME)?.get("info")?.get("offers")?.as_array()?;
        let terms = quote.accepts.get(way)?;
        let same = |p: &OfferPayload| {
            p.version == VERSION
                && p.resource_url == quote.resource.url
                && p.scheme == terms.scheme
                && p.network == terms.network
                && p.asset == terms.asset
                && p.pay_to == terms.pay_to
                && p.amount == terms.amount
                && (p.valid_until == 0 || p.valid_until >= now.as_secs())
        };
        const MOST: usize = 64;
        offers.iter().take(MOST).find_map(|signed| {
            let payload: OfferPayload =
                serde_json::from_value(signed.get("payload")?.clone()).ok()?;
            let hash = payload.typed().eip712_signing_hash(&notarial::offer_domain());
            (same(&payload) && signed_by(signed, hash) == terms.pay_to.parse().ok()).then_some(())
        })
    };
    check().is_some()
}

fn signed_by(signed: &Value, hash: B256) -> Option<Address> {
    let bytes = alloy_primitives::hex::decode(signed.get("signature")?.as_str()?).ok()?;
    let signature = Signature::from_raw(&bytes).ok()?;
    alloy_consensus::crypto::secp256k1::recover_signer(&signature, hash).ok()
}
