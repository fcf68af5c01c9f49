//! What a gate answers: values that can be given to everyone who waits, and again later.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use money::{Amount, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::stream::Once;
use crate::channel::wire::{ChannelState, VoucherState};
use crate::exact::Invalid;
use crate::offer::{Offer, Way};
use crate::permit;
use crate::wire::{self, PaymentRequired, SettleResponse};

/// The headers that a page on another origin may read.
const EXPOSED: &str = "PAYMENT-REQUIRED, PAYMENT-RESPONSE, PAYMENT-RECEIPT, WWW-AUTHENTICATE";

/// A whole answer. The same payment gets the same one, however often it asks.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// The quote that it tells, if it does.
    quote: Option<Box<PaymentRequired>>,
    /// Passes through as it comes, to the first who takes it; the others ask again later.
    stream: Option<Once>,
    /// Whether the gate itself says no, and not the service behind it.
    refused: bool,
}

/// Among a response's extensions where the gate itself says no: its body then has the gate's code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused;

impl From<Reply> for Response {
    fn from(reply: Reply) -> Response {
        let body = match &reply.stream {
            None => Body::from(reply.body),
            Some(stream) => match stream.take() {
                Some(body) => body,
                None => return Reply::pending().into(),
            },
        };
        let mut response = Response::new(body);
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        if reply.refused {
            response.extensions_mut().insert(Refused);
        }
        response
    }
}

impl Reply {
    /// What is paid here is owed to its payer, who could not ask for it.
    pub(super) fn payer_has_no_key() -> Reply {
        Reply::refuse(
            StatusCode::FORBIDDEN,
            "payer_has_no_key",
            "what is paid here stays its payer's, who asks for it by the signature of its own key, \
             and a contract wallet has none: pay from an account with a key, and from a channel whose \
             vouchers that key signs; nothing was charged",
        )
    }

    fn new(status: StatusCode, body: Bytes) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Lets a page on another origin read the protocol's headers.
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
        Reply { status, headers, body, quote: None, stream: None, refused: false }
    }

    fn json(status: StatusCode, body: &serde_json::Value) -> Reply {
        let reply = Reply::new(status, Bytes::from(body.to_string()));
        reply.with(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    pub(super) fn with(mut self, name: impl header::IntoHeaderName, value: HeaderValue) -> Reply {
        self.headers.insert(name, value);
        self
    }

    /// The same head with a body that passes through.
    pub(super) fn streaming(mut self, body: Body) -> Reply {
        self.stream = Some(Once::new(body));
        self
    }

    /// 402 with the quote, in the header for programs and in the body for people; 412 if the payer
    /// has to approve Permit2 before it can pay so, as the reference has it.
    pub(super) fn quote(offer: &Offer, error: Option<String>) -> Reply {
        Reply::of_quote(offer, offer.quote(error))
    }

    fn of_quote(offer: &Offer, quote: PaymentRequired) -> Reply {
        let body = json!({
            "error": quote.error.clone().unwrap_or_else(|| "Payment required".into()),
            "message": format!("`{}` costs {}; pay by x402 (see the header PAYMENT-REQUIRED)", offer.name, offer.price),
            "quote": quote,
        });
        let status = match quote.error.as_deref() {
            Some(permit::ALLOWANCE_REQUIRED) => StatusCode::PRECONDITION_FAILED,
            _ => StatusCode::PAYMENT_REQUIRED,
        };
        Reply::json(status, &body).with(wire::PAYMENT_REQUIRED, wire::encode(&quote)).telling(quote)
    }

    fn telling(self, quote: PaymentRequired) -> Reply {
        Reply { quote: Some(Box::new(quote)), ..self }
    }

    /// The same quote with the times that count from now; and the same answer if it tells none.
    pub(super) fn at(self, offer: &Offer, now: Timestamp) -> Reply {
        let Some(quote) = &self.quote else { return self };
        if !offer.ways.iter().any(|way| matches!(way, Way::Escrow(_))) {
            return self;
        }
        let mut quote = (**quote).clone();
        offer.stamp(&mut quote, now);
        Reply::of_quote(offer, quote)
    }

    /// The same quote with more extensions, which differ from answer to answer; and the same answer
    /// if it tells none.
    pub(super) fn with_extensions(
        self,
        offer: &Offer,
        more: impl FnOnce(&PaymentRequired) -> Map<String, Value>,
    ) -> Reply {
        let Some(quote) = &self.quote else { return self };
        let more = more(quote);
        if more.is_empty() {
            return self;
        }
        let mut quote = (**quote).clone();
        quote.extensions.get_or_insert_default().extend(more);
        Reply::of_quote(offer, quote)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What became of the money, if it is told.
    pub(super) fn settlement(&self) -> Option<SettleResponse> {
        wire::decode(&self.headers, wire::PAYMENT_RESPONSE).ok().flatten()
    }

    /// The code and the reason of a refusal, as its body has them.
    pub(super) fn refusal(&self) -> (String, String) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |name| body.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        (text("error"), text("message"))
    }

    /// The same answer with another body, which tells no quote.
    pub(super) fn with_document(self, media_type: &'static str, body: &Value) -> Reply {
        Reply { body: Bytes::from(body.to_string()), quote: None, ..self }
            .with(header::CONTENT_TYPE, HeaderValue::from_static(media_type))
    }

    pub(super) fn with_status(self, status: StatusCode) -> Reply {
        Reply { status, ..self }
    }

    /// 402 with the quote and, in its way to pay from channels, what a channel's state is and the
    /// voucher that proves it: `specs/schemes/batch-settlement`, "Corrective 402".
    pub(super) fn corrective(
        offer: &Offer,
        code: &str,
        state: &ChannelState,
        proof: Option<&VoucherState>,
    ) -> Reply {
        let mut quote = offer.quote(Some(code.into()));
        for way in quote.accepts.iter_mut().filter(|w| w.scheme == crate::channel::SCHEME) {
            let extra = way.extra.get_or_insert_default();
            extra.insert("channelState".into(), json!(state));
            if let Some(proof) = proof {
                extra.insert("voucherState".into(), json!(proof));
            }
        }
        Reply::of_quote(offer, quote)
    }

    /// Something was done that is no work.
    pub(super) fn told(body: &serde_json::Value) -> Reply {
        Reply::json(StatusCode::OK, body)
    }

    /// A refusal with its code for programs and its reason for people.
    pub(super) fn refuse(status: StatusCode, code: &str, message: &str) -> Reply {
        let reply = Reply::json(status, &json!({ "error": code, "message": message }));
        Reply { refused: true, ..reply }
    }

    /// The payment is bound to another request, or it is not the one that is known.
    pub(super) fn conflict() -> Reply {
        Reply::refuse(
            StatusCode::CONFLICT,
            "payment_already_used",
            "this payment was made for another request; sign a new one for this request",
        )
    }

    /// Nothing was done; the same request may succeed in a moment.
    pub(super) fn busy(message: &str) -> Reply {
        Reply::refuse(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// The money's fate is open: the answer is withheld, the same payment may be asked again.
    pub(super) fn pending() -> Reply {
        Reply::refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            Invalid::Pending.code(),
            "the payment is not settled yet; send the same payment again, do not sign a new one",
        )
        .with(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }
}

/// The head of a stored answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AnswerHead {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    /// What is charged for it; the price, if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) charge: Option<Amount>,
    /// How far it came, if it passed through as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) streamed: Option<Streamed>,
}

/// How far a streamed answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Streamed {
    /// It is paid before its first byte; whether it was paid, the chain says.
    Begun,
    /// It passed, whole or cut, and is charged.
    Ended,
}

impl AnswerHead {
    pub(super) fn of(status: StatusCode, headers: &HeaderMap) -> AnswerHead {
        // What describes the content is kept; what describes the connection is made anew.
        const KEPT: [header::HeaderName; 5] = [
            header::CONTENT_TYPE,
            header::CONTENT_LANGUAGE,
            header::CONTENT_DISPOSITION,
            header::CONTENT_ENCODING,
            header::LINK,
        ];
        let headers = KEPT
            .iter()
            .filter_map(|name| {
                Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_string()))
            })
            .collect();
        AnswerHead { status: status.as_u16(), headers, charge: None, streamed: None }
    }

    pub(super) fn media_type(&self) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| &**value)
    }
}

/// An answer that can be given again.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) head: AnswerHead,
    pub(super) body: Bytes,
    /// What became of the money; none for a failed piece of work, which costs nothing.
    pub(super) settlement: Option<SettleResponse>,
}

impl Stored {
    /// The answer of work that came to nothing. Nothing is charged for it.
    pub(super) fn failure(cause: &str) -> Stored {
        let body = json!({
            "error": "work_failed",
            "message": format!("the work failed and nothing was charged: {cause}"),
        });
        let head = AnswerHead {
            status: StatusCode::BAD_GATEWAY.as_u16(),
            headers: vec![("content-type".into(), "application/json".into())],
            charge: None,
            streamed: None,
        };
        Stored { head, body: Bytes::from(body.to_string()), settlement: None }
    }

    /// The same, where the money has moved before the work: a failure of ours says so.
    pub(super) fn after_payment(self) -> Stored {
        const BEFORE: &str = "the work failed and nothing was charged";
        const AFTER: &str = "the work failed after it was paid; what was paid upfront is not given back by this way of paying";
        let mut body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        if self.is_delivery() || body["error"] != "work_failed" {
            return self;
        }
        let said = body["message"].as_str().unwrap_or_default().replacen(BEFORE, AFTER, 1);
        body["message"] = said.into();
        Stored { body: Bytes::from(body.to_string()), ..self }
    }

    /// Whether it is worth its price.
    pub(super) fn is_delivery(&self) -> bool {
        self.head.status < 400
    }

    /// The answer, the first time and every time. A settlement that failed withholds the work.
    pub(super) fn reply(&self) -> Reply {
        if let Some(settlement) = self.settlement.as_ref().filter(|s| !s.success) {
            let reason = settlement.error_reason.as_deref().unwrap_or_default();
            let message = settlement.error_message.as_deref().unwrap_or(reason);
            return Reply::refuse(
                StatusCode::PAYMENT_REQUIRED,
                reason,
                &format!("the payment could not be settled: {message}"),
            )
            .with(wire::PAYMENT_RESPONSE, wire::encode(settlement));
        }
        if self.head.streamed.is_some() && self.body.is_empty() && self.settlement.is_some() {
            let said = "the answer was passed on as it came and was not kept whole; it is paid";
            let reply = Reply::refuse(StatusCode::GONE, "answer_not_kept", said);
            return match &self.settlement {
                Some(settlement) => reply.with(wire::PAYMENT_RESPONSE, wire::encode(settlement)),
                None => reply,
            };
        }
        let status = StatusCode::from_u16(self.head.status).unwrap_or(StatusCode::OK);
        let mut reply = Reply::new(status, self.body.clone());
        for (name, value) in &self.head.headers {
            if let (Ok(name), Ok(value)) =
                (header::HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
            {
                reply.headers.insert(name, value);
            }
        }
        if let Some(settlement) = &self.settlement {
            reply.headers.insert(wire::PAYMENT_RESPONSE, wire::encode(settlement));
        }
        reply
    }
}
