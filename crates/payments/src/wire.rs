//! x402 version 2 on the wire: what travels in headers and to a facilitator.
//!
//! Source: `specs/x402-specification-v2.md` and `specs/transports-v2/http.md` of the x402
//! Foundation. All protocol data of the HTTP transport is JSON in base64 in headers; bodies are
//! free. Unknown members are let through, since extensions add them; missing or mistyped ones are
//! errors. Texts are bounded by [`MAX_HEADER`] before they are decoded.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::HeaderValue;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// The protocol version that is spoken here.
pub const VERSION: u32 = 2;
/// Carries the quote, in a 402 answer.
pub const PAYMENT_REQUIRED: &str = "payment-required";
/// Carries the signed payment, in a request.
pub const PAYMENT_SIGNATURE: &str = "payment-signature";
/// Carries the settlement, in the answer to a paid request.
pub const PAYMENT_RESPONSE: &str = "payment-response";
/// The longest header that is read, in bytes of base64: room for a contract wallet's signature
/// and some extensions.
pub const MAX_HEADER: usize = 32 * 1024;

/// What a 402 answer asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequired {
    /// [`VERSION`].
    pub x402_version: u32,
    /// Why a payment that was sent is not enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is for sale.
    pub resource: Resource,
    /// The ways to pay; any one is enough.
    pub accepts: Vec<PaymentRequirements>,
    /// Extensions by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
}

/// What is for sale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Where it is.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the answer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Who offers it: at most 32 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// At most five.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// One way to pay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements {
    /// How: `exact`, `upto`, `batch-settlement` or `auth-capture`.
    pub scheme: String,
    /// Where: a CAIP-2 chain, `eip155:402402`.
    pub network: String,
    /// How much: minor units, as a decimal string.
    pub amount: String,
    /// In what: the token's address.
    pub asset: String,
    /// To whom.
    pub pay_to: String,
    /// How long the payment may take.
    pub max_timeout_seconds: u64,
    /// The scheme's own; for `exact` by EIP-3009 the token's EIP-712 `name` and `version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}

/// A signed payment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPayload {
    /// [`VERSION`].
    pub x402_version: u32,
    /// What is bought, echoed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// The way to pay that was chosen, echoed.
    pub accepted: PaymentRequirements,
    /// The scheme's own.
    pub payload: Value,
    /// Extensions, echoed and added to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
}

/// What `/verify` and `/settle` are asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FacilitatorRequest {
    /// [`VERSION`].
    pub x402_version: u32,
    /// What the buyer sent.
    pub payment_payload: PaymentPayload,
    /// What the seller asks.
    pub payment_requirements: PaymentRequirements,
}

/// What `/verify` answers; a payment that is no good is an answer, not an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyResponse {
    /// Whether the payment would settle now.
    pub is_valid: bool,
    /// If not, the code of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_reason: Option<String>,
    /// If not, the reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_message: Option<String>,
    /// Who pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The scheme's own; for `batch-settlement` the channel as the chain has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}

/// What `/settle` answers, and what the buyer gets in [`PAYMENT_RESPONSE`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleResponse {
    /// Whether the money moved.
    pub success: bool,
    /// If not, the code of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<String>,
    /// If not, the reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The transaction's hash; empty if there is none.
    pub transaction: String,
    /// The CAIP-2 chain.
    pub network: String,
    /// Minor units that moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<String>,
    /// The scheme's own; for `batch-settlement` what was charged and the channel's state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
    /// Extensions by name, for example a signed receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Value>>,
}

/// What `/supported` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Supported {
    /// Ways to pay.
    pub kinds: Vec<SupportedKind>,
    /// Extensions.
    pub extensions: Vec<String>,
    /// Who sends the transactions, by chain family.
    pub signers: Map<String, Value>,
}

/// A way to pay that a facilitator settles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SupportedKind {
    /// [`VERSION`].
    pub x402_version: u32,
    /// `exact`, `upto`, `batch-settlement` or `auth-capture`.
    pub scheme: String,
    /// The CAIP-2 chain.
    pub network: String,
    /// What a seller needs to know to quote it, for example `facilitatorAddress` for `upto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Map<String, Value>>,
}

/// Why a header could not be read. None can succeed by repeating.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// It came twice, so it is not clear which one is meant.
    #[error("the header `{0}` came more than once")]
    Repeated(&'static str),
    /// It is longer than [`MAX_HEADER`].
    #[error("the header `{name}` has {length} bytes; at most {MAX_HEADER} are read")]
    TooLong {
        /// Which header.
        name: &'static str,
        /// How long it is.
        length: usize,
    },
    /// It is not base64.
    #[error("the header `{0}` is not base64")]
    Base64(&'static str),
    /// It is not the JSON that it should be.
    #[error("the header `{name}` is not what x402 v2 says: {cause}")]
    Json {
        /// Which header.
        name: &'static str,
        /// Where and why.
        cause: String,
    },
    /// It is of another protocol version.
    #[error("x402 version {0} is not spoken here; use version {VERSION}")]
    Version(u32),
}

/// Writes a header's value.
pub fn encode<T: Serialize>(value: &T) -> HeaderValue {
    let mut json = Vec::with_capacity(1024);
    serde_json::to_writer(&mut json, value).expect("wire types are plain data");
    HeaderValue::try_from(STANDARD.encode(json)).expect("base64 is a valid header value")
}

/// Reads a header; `None` if it is not there.
///
/// # Errors
/// [`WireError`] naming the header and what is wrong with it.
pub fn decode<T: DeserializeOwned>(
    headers: &http::HeaderMap,
    name: &'static str,
) -> Result<Option<T>, WireError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(WireError::Repeated(name));
    }
    let length = value.len();
    if length > MAX_HEADER {
        return Err(WireError::TooLong { name, length });
    }
    // Clients differ in padding; either is unambiguous.
    let bytes = STANDARD
        .decode(value.as_bytes())
        .or_else(|_| STANDARD_NO_PAD.decode(value.as_bytes()))
        .map_err(|_| WireError::Base64(name))?;
    let json: Value = serde_json::from_slice(&bytes)
        .map_err(|e| WireError::Json { name, cause: e.to_string() })?;
    if let Some(version) = json.get("x402Version").and_then(Value::as_u64)
        && version != u64::from(VERSION)
    {
        return Err(WireError::Version(u32::try_from(version).unwrap_or(u32::MAX)));
    }
    serde_json::from_value(json)
        .map(Some)
        .map_err(|e| WireError::Json { name, cause: e.to_string() })
}

/// A chain's CAIP-2 name.
pub fn network(chain_id: u64) -> String {
    format!("eip155:{chain_id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;
    use proptest::prelude::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(PAYMENT_SIGNATURE, HeaderValue::from_str(value).unwrap());
        headers
    }

    fn read(value: &str) -> Result<Option<PaymentPayload>, WireError> {
        decode(&headers(value), PAYMENT_SIGNATURE)
    }

    #[test]
    fn a_missing_header_is_no_error() {
        assert_eq!(decode::<Value>(&HeaderMap::new(), PAYMENT_SIGNATURE), Ok(None));
    }

    #[test]
    fn broken_headers_are_told_apart() {
        assert_eq!(read("not base64!"), Err(WireError::Base64(PAYMENT_SIGNATURE)));
        assert!(matches!(read(&STANDARD.encode("{")), Err(WireError::Json { .. })));
        assert!(matches!(read(&STANDARD.encode("{}")), Err(WireError::Json { .. })));
        assert_eq!(read(&STANDARD.encode(r#"{"x402Version":1}"#)), Err(WireError::Version(1)));
        assert!(matches!(
            read(&"A".repeat(MAX_HEADER + 1)),
            Err(WireError::TooLong { length, .. }) if length == MAX_HEADER + 1
        ));
        let mut twice = headers("e30=");
        twice.append(PAYMENT_SIGNATURE, HeaderValue::from_static("e30="));
        assert_eq!(
            decode::<Value>(&twice, PAYMENT_SIGNATURE),
            Err(WireError::Repeated(PAYMENT_SIGNATURE))
        );
    }

    #[test]
    fn nesting_does_not_exhaust_the_stack() {
        let deep = STANDARD.encode("[".repeat(20_000));
        assert!(matches!(read(&deep), Err(WireError::Json { .. })));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[ -~]{0,400}") {
            let _ = read(&text);
            let _ = read(&STANDARD.encode(&text));
        }
    }
}
