//! A paid request that travels in another envelope than HTTP, and what the gate answered to it.
//!
//! The gate speaks HTTP alone. A transport that carries payments otherwise makes a request of what it
//! was sent ([`request`]), puts it through any service behind a [`crate::GateLayer`], and reads the
//! response ([`Answer::read`]). So a payment means the same in every envelope.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

use crate::gate::Refused;
use crate::offer::Offer;
use crate::wire::{self, PaymentPayload, PaymentRequired, SettleResponse};

/// What a call asks of the service behind the gate. A payment is bound to all of it.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    /// The path and query that the service reads, from a slash on.
    pub(crate) target: &'a str,
    /// The body's media type.
    pub(crate) media_type: &'a str,
    /// The body.
    pub(crate) body: Bytes,
    /// The payment, if one travels along.
    pub(crate) payment: Option<&'a Value>,
}

/// Why no request could be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// What is asked for cannot be named.
    Request,
    /// The payment is none.
    Payment,
}

/// The request that a call makes of a gate.
pub(crate) fn request(asked: Asked<'_>) -> Result<Request<Body>, Unreadable> {
    let mut request = Request::new(Body::from(asked.body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = asked.target.parse().map_err(|_| Unreadable::Request)?;
    let media_type = HeaderValue::from_str(asked.media_type).map_err(|_| Unreadable::Request)?;
    request.headers_mut().insert(header::CONTENT_TYPE, media_type);
    let Some(payment) = asked.payment else { return Ok(request) };
    let mut sent = HeaderMap::new();
    let header = wire::encode(payment);
    sent.insert(wire::PAYMENT_SIGNATURE, header.clone());
    // Read here already, so that each client gets the quote that it can read with the reason.
    if let Err(error) = wire::decode::<PaymentPayload>(&sent, wire::PAYMENT_SIGNATURE) {
        tracing::debug!(%error, "a payment in an envelope cannot be read");
        return Err(Unreadable::Payment);
    }
    request.headers_mut().insert(wire::PAYMENT_SIGNATURE, header);
    Ok(request)
}

/// What the gate answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// What is told.
    pub(crate) told: Told,
    /// What became of the money, if that is known.
    pub(crate) settlement: Option<SettleResponse>,
}

/// What an answer tells.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// What has to be paid, with the reason if a payment is not enough.
    Quote(Box<PaymentRequired>),
    /// The payment is no good: the gate's code, and the quote again.
    Refused { code: String, quote: Box<PaymentRequired> },
    /// The work.
    Delivered { media_type: String, body: Bytes },
    /// Nothing was delivered, and no payment helps. `pending`: the same payment may be sent again.
    Failed { code: String, message: String, pending: bool },
}

impl Answer {
    /// Reads a response of the gate before `offer`, with content of at most `most` bytes.
    pub(crate) async fn read(offer: &Offer, response: Response, most: usize) -> Answer {
        let (parts, body) = response.into_parts();
        let settlement =
            wire::decode::<SettleResponse>(&parts.headers, wire::PAYMENT_RESPONSE).ok().flatten();
        let told = match Limited::new(body, most).collect().await {
            Ok(body) => told(offer, &parts, body.to_bytes()),
            Err(_) => Told::Failed {
                code: "answer_incomplete".into(),
                message: format!("the answer is larger than {most} bytes or broke off"),
                pending: false,
            },
        };
        Answer { told, settlement }
    }
}

fn told(offer: &Offer, parts: &http::response::Parts, body: Bytes) -> Told {
    let quoted =
        wire::decode::<PaymentRequired>(&parts.headers, wire::PAYMENT_REQUIRED).ok().flatten();
    if let Some(quote) = quoted {
        return Told::Quote(Box::new(quote));
    }
    if parts.status.as_u16() < 400 {
        let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        return Told::Delivered { media_type: media_type.unwrap_or("").into(), body };
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let error = said.get("error");
    // OpenAI's form says more of an error inside of it.
    let inner = |name: &str| error.and_then(|error| error.get(name)).and_then(Value::as_str);
    let code = error.and_then(Value::as_str).or_else(|| inner("code")).unwrap_or("failed");
    // A payment that is no good, or that did not settle: the quote again, with the reason.
    let by_the_gate = parts.extensions.get::<Refused>().is_some();
    let is_about_payment = matches!(
        parts.status,
        StatusCode::BAD_REQUEST | StatusCode::PAYMENT_REQUIRED | StatusCode::CONFLICT
    );
    if by_the_gate && is_about_payment {
        return Told::Refused { code: code.into(), quote: Box::new(timeless(offer, code)) };
    }
    let message = match said.get("message").and_then(Value::as_str).or_else(|| inner("message")) {
        Some(message) => message.to_string(),
        None => String::from_utf8_lossy(&body).chars().take(1000).collect(),
    };
    let pending = by_the_gate && parts.status == StatusCode::SERVICE_UNAVAILABLE;
    Told::Failed { code: code.into(), message, pending }
}

/// The quote with the reason why a payment is no good, without the ways whose times only the gate
/// tells.
pub(crate) fn timeless(offer: &Offer, code: &str) -> PaymentRequired {
    let mut quote = offer.quote(Some(code.into()));
    quote.accepts.retain(|way| way.scheme != crate::auth_capture::SCHEME);
    quote
}
