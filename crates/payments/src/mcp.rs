//! Paid tools over MCP: a tool call becomes a request through the gate, and its answer a result.
//!
//! Source: `specs/transports-v2/mcp.md` of the x402 Foundation. The payment travels as JSON in the
//! call's `_meta` under [`PAYMENT`]; what is asked comes back as a result with `isError`, once as
//! `structuredContent` and once as the text of its first content; what became of the money is in
//! the result's `_meta` under [`PAYMENT_RESPONSE`].
//!
//! The gate itself is the same as for HTTP: [`request`] puts the payment into its header, any
//! service behind a [`crate::GateLayer`] answers, and [`result`] reads its response. So a call is
//! paid once, and its answer is withheld until the payment is settled, as everywhere. Everything
//! here is JSON: how MCP is spoken is somebody else's affair.
//!
//! Bounds: a payment by [`crate::wire::MAX_HEADER`], an answer by what [`result`] is told.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};

use crate::envelope::{self, Answer, Asked, Told, Unreadable, timeless};
use crate::offer::Offer;
use crate::wire::{PaymentRequired, SettleResponse};

/// Where a call's `_meta` has the payment.
pub const PAYMENT: &str = "x402/payment";
/// Where a result's `_meta` has what became of the money.
pub const PAYMENT_RESPONSE: &str = "x402/payment-response";

/// A tool's address, as quotes have it.
pub fn url(tool: &str) -> String {
    format!("mcp://tool/{tool}")
}

/// What a call asks of the service behind the gate. A payment is bound to all of it.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The path and query that the service reads, from a slash on.
    pub target: &'a str,
    /// The body's media type.
    pub media_type: &'a str,
    /// The body.
    pub body: Bytes,
    /// The call's `_meta`.
    pub meta: Option<&'a Map<String, Value>>,
}

/// The request that a call makes of a gate before `offer`.
///
/// # Errors
/// The result to give at once, with the quote, if the payment cannot be read.
pub fn request(offer: &Offer, call: Call<'_>) -> Result<Request<Body>, Value> {
    let Call { target, media_type, body, meta } = call;
    let payment = meta.and_then(|meta| meta.get(PAYMENT));
    envelope::request(Asked { target, media_type, body, payment }).map_err(|why| match why {
        Unreadable::Request => {
            failed("invalid_request", "the call asks for nothing that can be named")
        }
        Unreadable::Payment => asked(&timeless(offer, "invalid_payload")),
    })
}

/// The result of a call, from what the gate answered: content of at most `most` bytes.
pub async fn result(offer: &Offer, response: Response, most: usize) -> Value {
    let answer = Answer::read(offer, response, most).await;
    let result = match answer.told {
        Told::Quote(quote) | Told::Refused { quote, .. } => asked(&quote),
        Told::Delivered { media_type, body } => content(offer, &media_type, body),
        Told::Failed { code, message, .. } => failed(&code, &message),
    };
    with_settlement(result, answer.settlement.as_ref())
}

/// What has to be paid, in both forms.
fn asked(quote: &PaymentRequired) -> Value {
    let quote = json!(quote);
    json!({
        "isError": true,
        "content": [{ "type": "text", "text": quote.to_string() }],
        "structuredContent": quote,
    })
}

/// Nothing was delivered, and no payment helps.
fn failed(code: &str, message: &str) -> Value {
    json!({
        "isError": true,
        "content": [{ "type": "text", "text": message }],
        "structuredContent": { "error": code, "message": message },
    })
}

/// What was delivered, by what it says to be.
fn content(offer: &Offer, media_type: &str, body: Bytes) -> Value {
    let kind = media_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let bytes = |kind: &str| json!({ "type": kind, "data": STANDARD.encode(&body), "mimeType": media_type });
    if kind.starts_with("image/") {
        return json!({ "content": [bytes("image")] });
    }
    if kind.starts_with("audio/") {
        return json!({ "content": [bytes("audio")] });
    }
    let Ok(text) = std::str::from_utf8(&body) else {
        let mime_type = if media_type.is_empty() { "application/octet-stream" } else { media_type };
        let blob =
            json!({ "uri": offer.url, "mimeType": mime_type, "blob": STANDARD.encode(&body) });
        return json!({ "content": [{ "type": "resource", "resource": blob }] });
    };
    let mut result = json!({ "content": [{ "type": "text", "text": text }] });
    if kind == "application/json"
        && let Ok(object) = serde_json::from_str::<Map<String, Value>>(text)
    {
        result["structuredContent"] = Value::Object(object);
    }
    result
}

fn with_settlement(mut result: Value, settlement: Option<&SettleResponse>) -> Value {
    if let Some(settlement) = settlement {
        result["_meta"] = json!({ PAYMENT_RESPONSE: settlement });
    }
    result
}
