//! What a seller's answer says: whether it may be asked for again, what it blames, its receipt.

use alloy_primitives::hex;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Answer, BuyError};
use crate::order::Order;
use crate::wire::{self, PaymentRequired, SettleResponse};

/// Whether the same payment may still be answered: the seller is busy, or does not know yet, or
/// cannot be reached. To repeat it is safe.
pub(crate) fn may_be_repeated(answer: &Result<Answer, BuyError>) -> bool {
    match answer {
        Ok(answer) => matches!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
        ),
        Err(error) => matches!(error, BuyError::Unreachable { .. }),
    }
}

/// Whether a seller delivered and says that it charged nothing, where that can be.
pub(super) fn is_free(order: &Order, answer: &Result<Answer, BuyError>) -> bool {
    let Ok(answer) = answer else { return false };
    order.is_metered()
        && answer.status.is_success()
        && receipt(&answer.headers).is_some_and(|r| r.success && r.amount.as_deref() == Some("0"))
}

/// The receipt that a seller sent, if it sent one that can be read.
pub fn receipt(headers: &HeaderMap) -> Option<SettleResponse> {
    wire::decode(headers, wire::PAYMENT_RESPONSE).ok().flatten()
}

pub(crate) fn summary(answer: &Answer) -> Value {
    json!({
        "status": answer.status.as_u16(),
        "bytes": answer.body.len(),
        "sha256": hex::encode(Sha256::digest(&answer.body)),
        "receipt": receipt(&answer.headers),
    })
}

/// What a seller said when it did not deliver, shortened.
pub(crate) fn blame(answer: &Result<Answer, BuyError>) -> (StatusCode, String) {
    match answer {
        Err(error) => (StatusCode::GATEWAY_TIMEOUT, error.to_string()),
        Ok(answer) => {
            let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
            let quote = wire::decode::<PaymentRequired>(&answer.headers, wire::PAYMENT_REQUIRED);
            let cause = receipt(&answer.headers)
                .and_then(|r| r.error_message.or(r.error_reason))
                .or_else(|| quote.ok().flatten().and_then(|q| q.error))
                .or_else(|| Some(json.as_ref()?.get("message")?.as_str()?.to_string()))
                .or_else(|| Some(json.as_ref()?.get("error")?.as_str()?.to_string()))
                .unwrap_or_else(|| String::from_utf8_lossy(&answer.body).into_owned());
            (answer.status, cause.chars().filter(|c| !c.is_control()).take(300).collect())
        }
    }
}

/// A URL for messages and the journal: without user, password and query, which may hold secrets.
pub(crate) fn shown(url: &reqwest::Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.to_string()
}

pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
