//! MPP on the same 402: the HTTP authentication scheme `Payment`, method `evm`, intent `charge`.
//!
//! Sources: IETF draft-httpauth-payment-01 (challenge, credential, receipt, problem types), and for
//! the method what npm `mppx` 0.11 speaks: a credential of type `authorization` is the payer's
//! EIP-3009 order, whose nonce is the Keccak-256 of the challenge's id and realm. (The draft of the
//! method, draft-evm-charge-00, does not list that type yet; `mppx` knows no other.)
//!
//! | header | carries |
//! |---|---|
//! | `WWW-Authenticate: Payment …`, beside `PAYMENT-REQUIRED` | a challenge |
//! | `Authorization: Payment …`, instead of `PAYMENT-SIGNATURE` | the challenge and the order |
//! | `Payment-Receipt`, beside `PAYMENT-RESPONSE` | what was settled |
//!
//! It is another spelling of the same payment: a credential becomes an x402 payload of scheme
//! `exact`, and takes the same way through the gate. Nothing is kept for a challenge: its id is an
//! HMAC over its parts, among them the offer, the request's method and target and the digest of its
//! body. Since the id is in the order's nonce, **what is signed buys this request and no other**.

use std::fmt;
use std::sync::Arc;

use alloy_primitives::{Address, keccak256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use money::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use settlement::SignedAuthorization;

use crate::exact;
use crate::extensions::{Seal, identifier};
use crate::offer::{Offer, Way};
use crate::wire::{self, PaymentPayload};

/// The authentication scheme.
const SCHEME: &str = "Payment";
/// The payment method's name.
const METHOD: &str = "evm";
/// The payment intent's name.
const INTENT: &str = "charge";
/// The only type of credential: an EIP-3009 order.
const CREDENTIAL: &str = "authorization";
/// Carries the receipt, in a successful answer to a credential.
pub const PAYMENT_RECEIPT: &str = "payment-receipt";

/// What makes and knows challenges.
#[derive(Clone)]
pub struct Mpp {
    seal: Seal,
    entropy: Arc<dyn Fn() -> [u8; 32] + Send + Sync>,
}

impl fmt::Debug for Mpp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mpp").field("seal", &self.seal).finish_non_exhaustive()
    }
}

/// Among a request's extensions where its payment came as a credential, whose challenge binds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByCredential;

/// What a challenge is for.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The request's method.
    pub(crate) method: String,
    /// The request's path and query.
    pub(crate) path: String,
}

/// A credential as it came: read, not believed.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    challenge: Challenge,
    order: SignedAuthorization,
    source: Option<String>,
}

/// The parts of a challenge, as they travel in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Challenge {
    id: String,
    realm: String,
    method: String,
    intent: String,
    /// Base64url of canonical JSON (RFC 8785).
    request: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opaque: Option<String>,
    /// Another field for the credential; never asked for here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
}

/// What is to be paid. Members are in the order of their names: canonical JSON.
#[derive(Serialize)]
struct ChargeRequest {
    amount: String,
    currency: String,
    #[serde(rename = "methodDetails")]
    method_details: MethodDetails,
    recipient: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MethodDetails {
    chain_id: u64,
    credential_types: [&'static str; 1],
    decimals: u8,
}

/// What a challenge is bound to beside the money. Members are in the order of their names.
#[derive(Serialize)]
struct Opaque<'a> {
    method: &'a str,
    /// So that two purchases of the same at the same moment are two.
    number: String,
    offer: &'a str,
    target: &'a str,
}

#[derive(Deserialize)]
struct OpaqueRead {
    method: String,
    offer: String,
    target: String,
}

#[derive(Deserialize)]
struct WrittenCredential {
    challenge: Challenge,
    payload: Value,
    #[serde(default)]
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenOrder {
    r#type: String,
    from: String,
    to: String,
    value: String,
    valid_after: String,
    valid_before: String,
    nonce: String,
    signature: String,
}

/// Why a credential is not taken, as RFC 9457 and the draft's registry of problem types have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    kind: &'static str,
    title: &'static str,
    detail: String,
}

impl Problem {
    fn malformed(detail: &str) -> Problem {
        Problem::new("malformed-credential", "Malformed Credential", detail)
    }

    fn challenge(detail: &str) -> Problem {
        Problem::new("invalid-challenge", "Invalid Challenge", detail)
    }

    pub(crate) fn verification(detail: &str) -> Problem {
        Problem::new("verification-failed", "Verification Failed", detail)
    }

    fn expired(detail: &str) -> Problem {
        Problem::new("payment-expired", "Payment Expired", detail)
    }

    /// The request's body is not the one that the challenge was given for.
    pub(crate) fn of_body() -> Problem {
        Problem::challenge("this challenge was given for another body; nothing was charged")
    }

    fn new(kind: &'static str, title: &'static str, detail: &str) -> Problem {
        Problem { kind, title, detail: detail.chars().take(300).collect() }
    }

    /// What a refusal by the gate is called here; `None` if it says nothing of the payment.
    pub(crate) fn of_refusal(status: StatusCode, code: &str, detail: &str) -> Option<Problem> {
        match status {
            StatusCode::CONFLICT => Some(Problem::challenge(detail)),
            StatusCode::PAYMENT_REQUIRED if code == exact::Invalid::ValidBefore.code() => {
                Some(Problem::expired(detail))
            }
            StatusCode::PAYMENT_REQUIRED => Some(Problem::verification(detail)),
            _ => None,
        }
    }

    /// The problem's document (`application/problem+json`).
    pub(crate) fn document(&self) -> Value {
        json!({
            "type": format!("https://paymentauth.org/problems/{}", self.kind),
            "title": self.title,
            "status": StatusCode::PAYMENT_REQUIRED.as_u16(),
            "detail": self.detail,
        })
    }
}

impl Mpp {
    /// Challenges under this secret. Whoever knows it can make challenges in the seller's name; it
    /// should outlast the process, so that a challenge given before a restart is good after it.
    /// `entropy` gives 32 random bytes at each call.
    pub fn new(secret: [u8; 32], entropy: Arc<dyn Fn() -> [u8; 32] + Send + Sync>) -> Mpp {
        Mpp { seal: Seal::new(secret), entropy }
    }

    /// A fresh challenge; `None` for an offer that cannot be paid by EIP-3009, or whose address
    /// names no host. `body` is the SHA-256 of the request's body, if it has one and it was read.
    pub(crate) fn challenge(
        &self,
        offer: &Offer,
        target: &Target,
        body: Option<[u8; 32]>,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        if !offer.ways.contains(&Way::Authorization) {
            return None;
        }
        let number = (self.entropy)();
        let opaque = Opaque {
            method: &target.method,
            number: alloy_primitives::hex::encode(&number[..16]),
            offer: &offer.name,
            target: &target.path,
        };
        let mut challenge = Challenge {
            id: String::new(),
            realm: realm(offer)?,
            method: METHOD.into(),
            intent: INTENT.into(),
            request: request(offer),
            expires: Some(now.plus(offer.timeout).to_string()),
            digest: body.map(|digest| format!("sha-256=:{}:", STANDARD.encode(digest))),
            opaque: Some(encode(&opaque)),
            header: None,
        };
        challenge.id = URL_SAFE_NO_PAD.encode(self.seal.code(&[bound(&challenge).as_bytes()]));
        let parts = [
            ("id", Some(&challenge.id)),
            ("realm", Some(&challenge.realm)),
            ("method", Some(&challenge.method)),
            ("intent", Some(&challenge.intent)),
            ("request", Some(&challenge.request)),
            ("expires", challenge.expires.as_ref()),
            ("digest", challenge.digest.as_ref()),
            ("opaque", challenge.opaque.as_ref()),
        ];
        let parts: Vec<String> = parts
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}=\"{}\"", value?)))
            .collect();
        // None of the values has a quote or a backslash: base64, a host, numbers, fixed words.
        HeaderValue::from_str(&format!("{SCHEME} {}", parts.join(", "))).ok()
    }

    /// Checks that this seller made the challenge for this request, and that the order is the one
    /// that it asks for. The body is checked by [`Credential::is_for_body`], once it is here. The
    /// signature is not checked here: the payment takes the same way as every other.
    pub(crate) fn check(
        &self,
        credential: &Credential,
        offer: &Offer,
        target: &Target,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let Credential { challenge, order, source } = credential;
        let known = URL_SAFE_NO_PAD
            .decode(&challenge.id)
            .is_ok_and(|id| id.len() == 32 && self.seal.made(&id, &[bound(challenge).as_bytes()]));
        if !known || challenge.header.is_some() {
            return Err(Problem::challenge("this challenge was not given here, or was changed"));
        }
        if challenge.request != request(offer) || Some(&challenge.realm) != realm(offer).as_ref() {
            return Err(Problem::challenge("the offer has changed since; ask for a new challenge"));
        }
        let meant: Option<OpaqueRead> = challenge.opaque.as_deref().and_then(decode);
        if !meant.is_some_and(|m| {
            m.offer == offer.name && m.method == target.method && m.target == target.path
        }) {
            return Err(Problem::challenge("this challenge was given for another request"));
        }
        if order.nonce != keccak256(format!("{}{}", challenge.id, challenge.realm)) {
            return Err(Problem::verification("the order's nonce is not this challenge's"));
        }
        let ends = exact::ends_at(order);
        if challenge.expires.as_ref() != Some(&Timestamp::from_secs(ends.as_secs()).to_string()) {
            return Err(Problem::verification("the order does not end with the challenge"));
        }
        let payer = format!("did:pkh:eip155:{}:{}", offer.token.chain_id, order.from);
        if source.as_ref().is_some_and(|s| !s.eq_ignore_ascii_case(&payer)) {
            return Err(Problem::verification("the source is not who signed the order"));
        }
        if ends <= now {
            return Err(Problem::expired("the challenge has expired; ask for a new one"));
        }
        Ok(())
    }
}

impl Credential {
    /// Reads `Authorization: Payment …`; `None` if there is no such header. Other schemes are left
    /// to whoever is behind the gate.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Credential>, Problem> {
        let mut found = None;
        for value in headers.get_all(header::AUTHORIZATION) {
            let Some(text) = token(value)? else { continue };
            if found.replace(text).is_some() {
                return Err(Problem::malformed("there is more than one credential"));
            }
        }
        let Some(text) = found else { return Ok(None) };
        if text.len() > wire::MAX_HEADER {
            return Err(Problem::malformed("the credential is too long"));
        }
        let written: WrittenCredential = decode(text.trim_end_matches('=')).ok_or_else(|| {
            Problem::malformed("it is not base64url of the JSON that the scheme asks for")
        })?;
        let WrittenCredential { challenge, payload, source } = written;
        if challenge.method != METHOD || challenge.intent != INTENT {
            return Err(Problem::challenge(
                "only the method `evm` and the intent `charge` are taken",
            ));
        }
        let order: WrittenOrder = serde_json::from_value(payload).map_err(|_| {
            Problem::malformed("its payload is not an EIP-3009 order of type `authorization`")
        })?;
        if order.r#type != CREDENTIAL {
            return Err(Problem::malformed("only the credential type `authorization` is taken"));
        }
        let wrong = |_| Problem::malformed("its payload has a number or an address that is none");
        let order = exact::read(&json!({
            "signature": order.signature,
            "authorization": {
                "from": order.from,
                "to": order.to,
                "value": order.value,
                "validAfter": order.valid_after,
                "validBefore": order.valid_before,
                "nonce": order.nonce,
            },
        }))
        .map_err(wrong)?;
        Ok(Some(Credential { challenge, order, source }))
    }

    /// Whether the challenge was given for a request with this body.
    pub(crate) fn is_for_body(&self, body: &[u8; 32], empty: bool) -> bool {
        match &self.challenge.digest {
            None => empty,
            Some(digest) => *digest == format!("sha-256=:{}:", STANDARD.encode(body)),
        }
    }

    /// The order that pays.
    pub(crate) fn order(&self) -> &SignedAuthorization {
        &self.order
    }

    /// The same payment in x402's terms.
    pub(crate) fn payment(&self, offer: &Offer) -> Option<PaymentPayload> {
        let quote = offer.quote(None);
        let place = offer.ways.iter().position(|way| *way == Way::Authorization)?;
        let mut extensions = quote.extensions;
        // The challenge's id is the purchase's name: each names one purchase, and fits.
        if let Some(said) = extensions.as_mut().and_then(|e| e.get_mut(identifier::NAME))
            && let Some(named) = identifier::named(said, &self.challenge.id)
        {
            *said = named;
        }
        Some(PaymentPayload {
            x402_version: wire::VERSION,
            resource: Some(quote.resource),
            accepted: quote.accepts.into_iter().nth(place)?,
            payload: exact::write(&self.order),
            extensions,
        })
    }

    /// The receipt for this credential.
    pub(crate) fn receipt(&self, transaction: &str, at: Timestamp) -> HeaderValue {
        let receipt = json!({
            "method": METHOD,
            "challengeId": self.challenge.id,
            "reference": transaction,
            "status": "success",
            "timestamp": at.to_string(),
        });
        HeaderValue::from_str(&encode(&receipt)).expect("base64url is a valid header value")
    }
}

/// The credential in a header's value, if it is of this scheme. Schemes in one value are parted by
/// commas.
fn token(value: &HeaderValue) -> Result<Option<&str>, Problem> {
    let Ok(text) = value.to_str() else { return Ok(None) };
    let mut found = None;
    for part in text.split(',').map(str::trim) {
        let Some((scheme, rest)) = part.split_once(char::is_whitespace) else { continue };
        if scheme.eq_ignore_ascii_case(SCHEME) && found.replace(rest.trim()).is_some() {
            return Err(Problem::malformed("there is more than one credential"));
        }
    }
    Ok(found)
}

/// Whether a header's value has a credential of this scheme, good or not.
pub(crate) fn is_credential(value: &HeaderValue) -> bool {
    !matches!(token(value), Ok(None))
}

/// The protection space: the host and port of the offer's address.
fn realm(offer: &Offer) -> Option<String> {
    let url = offer.url.parse::<reqwest::Url>().ok()?;
    let host = url.host_str()?;
    let realm = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
    realm.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\').then_some(realm)
}

/// What is to be paid for an offer, as it stands in a challenge.
fn request(offer: &Offer) -> String {
    encode(&ChargeRequest {
        amount: offer.price.minor().to_string(),
        currency: offer.token.address.to_string(),
        method_details: MethodDetails {
            chain_id: offer.token.chain_id,
            credential_types: [CREDENTIAL],
            decimals: offer.token.asset.scale(),
        },
        recipient: Address::from(offer.payee).to_string(),
    })
}

/// What a challenge's id is an HMAC of: the slots of the draft, parted by `|`, which no slot but
/// the realm can have, and no host has.
fn bound(challenge: &Challenge) -> String {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    [
        challenge.realm.clone(),
        challenge.method.clone(),
        challenge.intent.clone(),
        challenge.request.clone(),
        text(&challenge.expires),
        text(&challenge.digest),
        text(&challenge.opaque),
    ]
    .join("|")
}

fn encode<T: Serialize>(value: &T) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("plain data"))
}

fn decode<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}
