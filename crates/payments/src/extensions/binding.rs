//! `request-binding`: a payment that says, in what is signed, which request it is for.
//!
//! x402's clients choose a payment's number at will, so a signed payment buys whatever it is sent
//! with first: who gets hold of it on the way can send it with a request of their own. Here the
//! buyer makes the number from the request and a fresh salt, so the signature is over both, and
//! tells the salt in this extension. A gate makes the number again and refuses everything else.
//!
//! | way to pay | where the request is | what the payment carries |
//! |---|---|---|
//! | `exact` by EIP-3009, by Permit2; `upto` | in the nonce ([`nonce`]) | `info.salt` |
//! | `auth-capture` | in the payer's part of the salt, likewise | `info.salt` |
//! | `batch-settlement` | beside the voucher, signed by the same key ([`voucher_hash`]) | `info.signature` |
//!
//! What is signed is **marked**: such a nonce, and the salt of a channel whose vouchers all come
//! bound, begin with [`MARK`]. So a binding cannot be cut off on the way: a marked payment without
//! one is refused, everywhere. What is not marked is taken as ever, unless the offer requires a
//! binding. A number of another client's own begins with the mark once in 2⁶⁴ times.
//!
//! Sellers who do not know the extension take the nonce for what it is to them: 32 bytes. Nothing
//! is remembered for the check, so it holds over restarts and at each gate.
//!
//! The request's digest ([`Bound::digest`]) is SHA-256 over these parts, each after its length in
//! eight bytes, the greatest first: [`NAME`]; the scheme, network, asset, payee and amount that are
//! accepted; the resource's address as the quote has it; method, path and query (empty if none) as
//! the buyer asks; the body's media type (empty if none); SHA-256 of the body. Addresses are in
//! lower case.

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolStruct as _;
use protocol::channels::{RequestBinding, binding_domain};
use serde_json::{Map, Value, json};

use super::{DIALECT, declaration};
use crate::documents;
use crate::wire::{PaymentRequired, PaymentRequirements};

/// The extension's name.
pub const NAME: &str = "request-binding";

/// The first bytes of what is marked: `x402bind`.
pub const MARK: [u8; 8] = *b"x402bind";

/// That a gate checks what payments are bound to. It does so for each that is marked, also where
/// an offer says nothing; what it says lets buyers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Binding {
    /// Whether only bound payments are taken. Stock clients do not make them.
    pub required: bool,
}

impl Binding {
    pub(super) fn declaration(&self) -> Value {
        let hex = |bytes: usize| format!("^0x[0-9a-fA-F]{{{}}}$", 2 * bytes);
        let schema = json!({
            "$schema": DIALECT,
            "type": "object",
            "properties": {
                "required": { "type": "boolean" },
                "version": { "const": "1" },
                "salt": { "type": "string", "pattern": hex(32) },
                "signature": { "type": "string", "pattern": hex(65) },
            },
            "required": ["required", "version"],
        });
        declaration(json!({ "required": self.required, "version": "1" }), schema)
    }
}

/// All that a payment is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Bound<'a> {
    /// The way to pay, with the price and the payee.
    pub terms: &'a PaymentRequirements,
    /// The resource's address, as the quote has it.
    pub resource: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// Its path, as it is sent.
    pub path: &'a str,
    /// Its query, without the question mark.
    pub query: &'a str,
    /// Its body's media type.
    pub media_type: &'a [u8],
    /// SHA-256 of its body.
    pub body: [u8; 32],
}

impl Bound<'_> {
    /// The digest that is signed for; the module's head tells of what.
    pub fn digest(&self) -> B256 {
        let terms = self.terms;
        documents::digest(&[
            NAME.as_bytes(),
            terms.scheme.as_bytes(),
            terms.network.as_bytes(),
            terms.asset.to_ascii_lowercase().as_bytes(),
            terms.pay_to.to_ascii_lowercase().as_bytes(),
            terms.amount.as_bytes(),
            self.resource.as_bytes(),
            self.method.as_bytes(),
            self.path.as_bytes(),
            self.query.as_bytes(),
            self.media_type,
            &self.body,
        ])
        .into()
    }
}

/// The number of a payment for this request: the mark, and the first 24 bytes of SHA-256 over salt
/// and request. Those are as hard to meet with another request as 192 bits are.
pub fn nonce(salt: B256, request: B256) -> B256 {
    let digest =
        documents::digest(&[b"request-binding/nonce", salt.as_slice(), request.as_slice()]);
    let mut nonce = [0; 32];
    nonce[..8].copy_from_slice(&MARK);
    nonce[8..].copy_from_slice(&digest[..24]);
    nonce.into()
}

/// The number of a payment to a seller who does not know the extension: from salt and request too,
/// so that the journal can prove what was meant, and without the mark, which only says who asks.
pub(crate) fn unmarked_nonce(salt: B256, request: B256) -> B256 {
    documents::digest(&[b"request-binding/unmarked", salt.as_slice(), request.as_slice()]).into()
}

/// The salt of the `number`th channel of equal terms whose vouchers are all bound.
pub fn channel_salt(number: u64) -> B256 {
    let mut salt: [u8; 32] = U256::from(number).to_be_bytes();
    salt[..8].copy_from_slice(&MARK);
    salt.into()
}

/// Whether a nonce, or a channel's salt, says that its payment is bound.
pub fn is_marked(word: B256) -> bool {
    word[..8] == MARK
}

/// What the key that signs a channel's vouchers signs to bind one of them.
pub fn voucher_hash(chain_id: u64, channel: B256, total: u128, request: B256) -> B256 {
    RequestBinding { channelId: channel, maxClaimableAmount: total, request }
        .eip712_signing_hash(&binding_domain(chain_id))
}

/// Whether a quote says that its seller checks bindings.
pub(crate) fn is_declared(quote: &PaymentRequired) -> bool {
    let said = quote.extensions.as_ref().and_then(|e| e.get(NAME)?.get("info")?.get("version"));
    said.is_some_and(|version| version == "1")
}

/// Whether a quote says that its seller takes bound payments only.
pub(crate) fn is_required(quote: &PaymentRequired) -> bool {
    let said = quote.extensions.as_ref().and_then(|e| e.get(NAME)?.get("info")?.get("required"));
    said.is_some_and(|required| required == true)
}

/// The extension of a payment by one order: what was declared, with the salt.
pub(crate) fn with_salt(quote: &PaymentRequired, salt: B256) -> Map<String, Value> {
    said(quote, "salt", salt.to_string())
}

/// The extension of a voucher: what was declared, with the signature.
pub(crate) fn with_signature(quote: &PaymentRequired, signature: &Bytes) -> Map<String, Value> {
    said(quote, "signature", signature.to_string())
}

fn said(quote: &PaymentRequired, member: &str, value: String) -> Map<String, Value> {
    let declared =
        quote.extensions.as_ref().and_then(|e| e.get(NAME)?.get("info")?.get("required"));
    let required = declared.and_then(Value::as_bool).unwrap_or_default();
    let mut info = json!({ "required": required, "version": "1" });
    info[member] = Value::from(value);
    let mut extensions = Map::new();
    extensions.insert(NAME.into(), json!({ "info": info }));
    extensions
}

/// The salt that a payment tells; `None` if it tells none.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn salt(extensions: Option<&Map<String, Value>>) -> Result<Option<B256>, &'static str> {
    const BAD: &str = "the salt of a bound payment is 32 bytes, as 0x and 64 hexadecimal digits";
    match member(extensions, "salt") {
        None => Ok(None),
        Some(text) => text
            .as_str()
            .filter(|text| text.len() == 66 && text.starts_with("0x"))
            .and_then(|text| text.parse().ok())
            .map(Some)
            .ok_or(BAD),
    }
}

/// The signature that binds a voucher; `None` if there is none that can be read.
pub(crate) fn signature(extensions: Option<&Map<String, Value>>) -> Option<Bytes> {
    let text = member(extensions, "signature")?.as_str()?;
    if text.len() != 2 + 2 * 65 { None } else { text.parse().ok() }
}

fn member<'a>(extensions: Option<&'a Map<String, Value>>, name: &str) -> Option<&'a Value> {
    extensions?.get(NAME)?.get("info")?.get(name).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> PaymentRequirements {
        PaymentRequirements {
            scheme: "exact".into(),
            network: "eip155:402402".into(),
            amount: "10000".into(),
            asset: "0xAAAAaaaaAAAAaaaaAAAAaaaaAAAAaaaaAAAAaaaa".into(),
            pay_to: "0xBBBBbbbbBBBBbbbbBBBBbbbbBBBBbbbbBBBBbbbb".into(),
            max_timeout_seconds: 60,
            extra: None,
        }
    }

    #[test]
    fn each_part_of_a_request_changes_what_is_signed() {
        let terms = terms();
        let bound = Bound {
            terms: &terms,
            resource: "http://localhost/work",
            method: "POST",
            path: "/work",
            query: "",
            media_type: b"text/plain",
            body: [1; 32],
        };
        let other = |change: &dyn Fn(&mut PaymentRequirements)| {
            let mut terms = terms.clone();
            change(&mut terms);
            Bound { terms: &terms, ..bound }.digest()
        };
        let mut all = vec![
            bound.digest(),
            Bound { resource: "http://localhost/wor", ..bound }.digest(),
            Bound { method: "GET", ..bound }.digest(),
            Bound { path: "/other", ..bound }.digest(),
            Bound { query: "a=1", ..bound }.digest(),
            Bound { media_type: b"text/html", ..bound }.digest(),
            Bound { body: [2; 32], ..bound }.digest(),
            // What leaves one part and joins the next is another request.
            Bound { path: "/wor", query: "k", ..bound }.digest(),
            other(&|t| t.amount = "10001".into()),
            other(&|t| t.scheme = "upto".into()),
            other(&|t| t.network = "eip155:1".into()),
            other(&|t| t.pay_to = t.asset.clone()),
            other(&|t| t.asset = t.pay_to.clone()),
        ];
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        // Addresses are written in more than one case.
        assert_eq!(other(&|t| t.pay_to = t.pay_to.to_lowercase()), bound.digest());
    }

    #[test]
    fn a_nonce_is_marked_and_follows_from_salt_and_request() {
        let (salt, request) = (B256::repeat_byte(1), B256::repeat_byte(2));
        assert!(is_marked(nonce(salt, request)) && is_marked(channel_salt(3)));
        assert!(!is_marked(unmarked_nonce(salt, request)) && !is_marked(B256::ZERO));
        assert_ne!(nonce(salt, request), nonce(request, salt));
        assert_ne!(channel_salt(3), channel_salt(4));
    }
}
