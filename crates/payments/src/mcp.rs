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
//! Bounds: a payment by [`wire::MAX_HEADER`], an answer by what [`result`] is told.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Map, Value, json};

use crate::gate::Refused;
use crate::offer::Offer;
use crate::wire::{self, PaymentPayload, PaymentRequired, SettleResponse};

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
    let mut request = Request::new(Body::from(call.body));
    *request.method_mut() = Method::POST;
    match (call.target.parse(), HeaderValue::from_str(call.media_type)) {
        (Ok(target), Ok(media_type)) => {
            *request.uri_mut() = target;
            request.headers_mut().insert(header::CONTENT_TYPE, media_type);
        }
        _ => return Err(failed("invalid_request", "the call asks for nothing that can be named")),
    }
    let Some(payment) = call.meta.and_then(|meta| meta.get(PAYMENT)) else { return Ok(request) };
    let mut sent = HeaderMap::new();
    let header = wire::encode(payment);
    sent.insert(wire::PAYMENT_SIGNATURE, header.clone());
    // Read here already, so that each client gets the quote that it can read with the reason.
    if let Err(error) = wire::decode::<PaymentPayload>(&sent, wire::PAYMENT_SIGNATURE) {
        tracing::debug!(%error, "a payment over MCP cannot be read");
        return Err(asked(&timeless(offer, "invalid_payload")));
    }
    request.headers_mut().insert(wire::PAYMENT_SIGNATURE, header);
    Ok(request)
}

/// The result of a call, from what the gate answered: content of at most `most` bytes.
pub async fn result(offer: &Offer, response: Response, most: usize) -> Value {
    let (parts, body) = response.into_parts();
    let settlement =
        wire::decode::<SettleResponse>(&parts.headers, wire::PAYMENT_RESPONSE).ok().flatten();
    let body = match Limited::new(body, most).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            let said = format!("the answer is larger than {most} bytes or broke off");
            return with_settlement(failed("answer_incomplete", &said), settlement.as_ref());
        }
    };
    let quoted =
        wire::decode::<PaymentRequired>(&parts.headers, wire::PAYMENT_REQUIRED).ok().flatten();
    if let Some(quote) = quoted {
        return with_settlement(asked(&quote), settlement.as_ref());
    }
    if parts.status.as_u16() < 400 {
        let content = content(offer, &parts.headers, body);
        return with_settlement(content, settlement.as_ref());
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = said.get("error").and_then(Value::as_str).unwrap_or("failed");
    // A payment that is no good, or that did not settle: the quote again, with the reason.
    let by_the_gate = parts.extensions.get::<Refused>().is_some();
    let is_about_payment = matches!(
        parts.status,
        StatusCode::BAD_REQUEST | StatusCode::PAYMENT_REQUIRED | StatusCode::CONFLICT
    );
    if by_the_gate && is_about_payment {
        return with_settlement(asked(&timeless(offer, code)), settlement.as_ref());
    }
    let words = match said.get("message").and_then(Value::as_str) {
        Some(message) => message.to_string(),
        None => String::from_utf8_lossy(&body).chars().take(1000).collect(),
    };
    with_settlement(failed(code, &words), settlement.as_ref())
}

/// The quote with the reason why a payment is no good, without the ways whose times only the gate
/// tells.
fn timeless(offer: &Offer, code: &str) -> PaymentRequired {
    let mut quote = offer.quote(Some(code.into()));
    quote.accepts.retain(|way| way.scheme != crate::auth_capture::SCHEME);
    quote
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
fn content(offer: &Offer, headers: &HeaderMap, body: Bytes) -> Value {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
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
