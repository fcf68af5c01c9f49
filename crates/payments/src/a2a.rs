//! Paid work between agents over A2A: a message becomes a request through the gate, and its answer
//! what a task says.
//!
//! Sources: `specs/transports-v2/a2a.md` of the x402 Foundation, and the extension of A2A that it
//! names, `a2a-x402` in the versions 0.1 and 0.2 (github.com/google-agentic-commerce/a2a-x402). The
//! payment travels in a message's metadata under [`PAYLOAD`], with [`STATUS`] `payment-submitted`;
//! what is asked, and what became of the money, is in the metadata of the message in the task's
//! status. The extension's embedded flow (AP2's mandates) is not spoken.
//!
//! Where the two differ: a payment that is no good ends the task by the transport's table, and by the
//! extension leaves it open to be paid again. Here it stays open, with the quote and the reason, since
//! nothing has happened; a task whose work failed, or whose payment did not settle, is over.
//!
//! The gate is the same as for HTTP, so a task is paid once, and its answer is withheld until the
//! payment is settled. Everything here is JSON: how A2A is spoken is somebody else's affair.
//!
//! The other side, a purchase that travels so, is in [`crate::buyer`].
//!
//! Bounds: a payment by [`crate::wire::MAX_HEADER`], an answer by what [`outcome`] is told.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};

use crate::envelope::{self, Answer, Asked, Told, Unreadable, timeless};
use crate::offer::Offer;
use crate::wire::{PaymentRequired, SettleResponse};

/// By which names an agent's card declares that it is paid so, the newest first.
pub const EXTENSIONS: [&str; 2] = [
    "https://github.com/google-agentic-commerce/a2a-x402/blob/main/spec/v0.2",
    "https://github.com/google-a2a/a2a-x402/v0.1",
];
/// How far the payment of a task is.
pub const STATUS: &str = "x402.payment.status";
/// What has to be paid.
pub const REQUIRED: &str = "x402.payment.required";
/// The payment.
pub const PAYLOAD: &str = "x402.payment.payload";
/// What became of each payment of the task, the oldest first.
pub const RECEIPTS: &str = "x402.payment.receipts";
/// Why a payment failed, in a word.
pub const ERROR: &str = "x402.payment.error";

/// What a message says of paying.
#[derive(Debug, Clone, PartialEq)]
pub enum Intent<'a> {
    /// Nothing.
    None,
    /// Here is the payment; it is read by the gate.
    Pays(&'a Value),
    /// It will not pay.
    Declines,
    /// Something that the extension does not know, or a payment without its payload.
    Unclear(String),
}

impl<'a> Intent<'a> {
    /// Reads a message's metadata, whose members `get` finds.
    pub fn read(get: impl Fn(&str) -> Option<&'a Value>) -> Intent<'a> {
        let status = get(STATUS).and_then(Value::as_str);
        match (status, get(PAYLOAD)) {
            (Some("payment-rejected"), _) => Intent::Declines,
            (Some("payment-submitted") | None, Some(payment)) => Intent::Pays(payment),
            (None, None) => Intent::None,
            (Some("payment-submitted"), None) => Intent::Unclear(format!(
                "`{STATUS}` says that a payment was submitted, and `{PAYLOAD}` is not there"
            )),
            (Some(other), _) => Intent::Unclear(format!(
                "`{STATUS}` of a client is `payment-submitted` or `payment-rejected`, not `{}`",
                other.chars().take(40).collect::<String>()
            )),
        }
    }
}

/// What a message asks of the service behind the gate. A payment is bound to all of it.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The path and query that the service reads, from a slash on.
    pub target: &'a str,
    /// The body's media type.
    pub media_type: &'a str,
    /// The body.
    pub body: Bytes,
    /// The payment, if the message brought one.
    pub payment: Option<&'a Value>,
}

/// What becomes of a task.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It has to be paid.
    Asked(Box<PaymentRequired>),
    /// The payment is no good; another one may be.
    Refused {
        /// The gate's code.
        code: String,
        /// The quote again, with the code.
        quote: Box<PaymentRequired>,
    },
    /// The payment's fate is open: the same one may be sent again, and no other.
    Open {
        /// Why, for people.
        message: String,
    },
    /// It is done and paid.
    Delivered {
        /// What the work is.
        media_type: String,
        /// The work.
        body: Bytes,
        /// What became of the money; none where the work is free.
        settlement: Option<Box<SettleResponse>>,
    },
    /// It came to nothing.
    Failed {
        /// The service's or the gate's code.
        code: String,
        /// The reason for people.
        message: String,
        /// What became of the money, if any moved.
        settlement: Option<Box<SettleResponse>>,
    },
}

/// The request that a message makes of a gate before `offer`.
///
/// # Errors
/// What becomes of the task at once, if the payment cannot be read, or nothing is asked for.
pub fn request(offer: &Offer, call: Call<'_>) -> Result<Request<Body>, Outcome> {
    let Call { target, media_type, body, payment } = call;
    let payment = payment.cloned().map(whole_numbers);
    let payment = payment.as_ref();
    envelope::request(Asked { target, media_type, body, payment }).map_err(|why| match why {
        Unreadable::Request => Outcome::Failed {
            code: "invalid_request".into(),
            message: "the message asks for nothing that can be named".into(),
            settlement: None,
        },
        Unreadable::Payment => {
            let code = "invalid_payload";
            Outcome::Refused { code: code.into(), quote: Box::new(timeless(offer, code)) }
        }
    })
}

/// What becomes of a task, from what the gate answered: work of at most `most` bytes.
pub async fn outcome(offer: &Offer, response: Response, most: usize) -> Outcome {
    let Answer { told, settlement } = Answer::read(offer, response, most).await;
    let settlement = settlement.map(Box::new);
    match told {
        Told::Quote(quote) => match quote.error.clone() {
            Some(code) => Outcome::Refused { code, quote },
            None => Outcome::Asked(quote),
        },
        Told::Refused { code, quote } => Outcome::Refused { code, quote },
        Told::Delivered { media_type, body } => Outcome::Delivered { media_type, body, settlement },
        Told::Failed { message, pending: true, .. } => Outcome::Open { message },
        Told::Failed { code, message, .. } => Outcome::Failed { code, message, settlement },
    }
}

impl Outcome {
    /// The receipt that a task keeps of this, on the network with this CAIP-2 name; none if no
    /// payment came to an end.
    pub fn receipt(&self, network: &str) -> Option<Value> {
        match self {
            Outcome::Asked(_) | Outcome::Open { .. } => None,
            Outcome::Delivered { settlement, .. } => settlement.as_ref().map(|told| json!(told)),
            Outcome::Failed { settlement: Some(told), .. } => Some(json!(told)),
            Outcome::Refused { code, .. } | Outcome::Failed { code, .. } => Some(json!({
                "success": false, "errorReason": code, "network": network, "transaction": "",
            })),
        }
    }

    /// What the message in the task's status says of the payment. `receipts` are those of all
    /// payments of the task, this one's too.
    pub fn metadata(&self, receipts: &[Value]) -> Map<String, Value> {
        let mut said = Map::new();
        let mut say = |name: &str, value: Value| said.insert(name.into(), value);
        match self {
            Outcome::Asked(quote) => {
                say(STATUS, "payment-required".into());
                say(REQUIRED, json!(quote));
            }
            Outcome::Refused { code, quote } => {
                say(STATUS, "payment-failed".into());
                say(ERROR, word(code).into());
                say(REQUIRED, json!(quote));
            }
            Outcome::Open { .. } => {
                say(STATUS, "payment-submitted".into());
            }
            // What is free has no payment.
            Outcome::Delivered { settlement: None, .. } => {}
            Outcome::Delivered { .. } => {
                say(STATUS, "payment-completed".into());
            }
            Outcome::Failed { code, .. } => {
                say(STATUS, "payment-failed".into());
                say(ERROR, word(code).into());
            }
        }
        if !receipts.is_empty() {
            say(RECEIPTS, receipts.into());
        }
        said
    }
}

/// The same JSON with whole numbers for what clients wrote as `2.0`: metadata of A2A is a protobuf
/// `Struct`, all of whose numbers are floats, and some SDKs write them out so. No amount is among
/// them: those are texts.
pub fn whole_numbers(value: Value) -> Value {
    /// Above it a float does not tell each whole number from the next.
    const MOST: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            match float.trunc() == float && float.abs() <= MOST {
                true => Value::from(float as i64),
                false => Value::Number(number),
            }
        }
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, whole_numbers(value))).collect()
        }
        other => other,
    }
}

/// How many values a text of JSON has, at most: one more than its commas and brackets outside of texts.
pub fn values(body: &[u8]) -> usize {
    let (mut found, mut in_text, mut escaped) = (1, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => found += 1,
            _ => {}
        }
    }
    found
}

/// What a task says while its payment is checked and its work is done.
pub fn submitted() -> Map<String, Value> {
    Map::from_iter([(STATUS.to_string(), Value::from("payment-submitted"))])
}

/// What a declined quote is told as.
pub fn declined() -> Map<String, Value> {
    Map::from_iter([(STATUS.to_string(), Value::from("payment-rejected"))])
}

/// The extension's own word (its section 9.1) for one of x402's codes; the code itself is in the
/// receipt.
fn word(code: &str) -> &'static str {
    const WORDS: [(&str, &str); 9] = [
        ("insufficient", "INSUFFICIENT_FUNDS"),
        ("signature", "INVALID_SIGNATURE"),
        ("valid_before", "EXPIRED_PAYMENT"),
        ("expired", "EXPIRED_PAYMENT"),
        ("already_used", "DUPLICATE_NONCE"),
        ("nonce", "DUPLICATE_NONCE"),
        ("network", "NETWORK_MISMATCH"),
        ("value", "INVALID_AMOUNT"),
        ("amount", "INVALID_AMOUNT"),
    ];
    let found = WORDS.iter().find(|(part, _)| code.contains(part));
    found.map_or("SETTLEMENT_FAILED", |(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(metadata: &Value) -> Intent<'_> {
        Intent::read(|name| metadata.get(name))
    }

    #[test]
    fn a_message_pays_declines_or_says_nothing_of_it() {
        assert_eq!(read(&json!({})), Intent::None);
        assert_eq!(read(&json!({ "other": 1 })), Intent::None);
        let payment = json!({ PAYLOAD: { "x402Version": 2 }, STATUS: "payment-submitted" });
        assert_eq!(read(&payment), Intent::Pays(&payment[PAYLOAD]));
        assert_eq!(read(&json!({ STATUS: "payment-rejected" })), Intent::Declines);
        for unclear in
            [json!({ STATUS: "payment-submitted" }), json!({ STATUS: "payment-completed" })]
        {
            assert!(matches!(read(&unclear), Intent::Unclear(_)), "{unclear}");
        }
    }

    #[test]
    fn what_an_sdk_wrote_as_a_float_is_read_as_it_was_meant() {
        let sent =
            json!({ "x402Version": 2.0, "a": [60.0, 0.5, 1e300, "1.0", null], "b": { "c": -3.0 } });
        let meant =
            json!({ "x402Version": 2, "a": [60, 0.5, 1e300, "1.0", null], "b": { "c": -3 } });
        assert_eq!(whole_numbers(sent), meant);
        assert_eq!(whole_numbers(json!(18_446_744_073_709_551_615u64)), json!(u64::MAX));
    }

    #[test]
    fn values_are_counted_where_they_stand() {
        for (text, most) in [("1", 1), ("{}", 2), (r#"{"a":[1,2],"b":{}}"#, 6)] {
            assert_eq!(values(text.as_bytes()), most, "{text}");
        }
        assert_eq!(values(br#""[,{\",[\\""#), 1, "what stands in a text is none");
    }

    #[test]
    fn each_code_has_the_word_of_the_extension() {
        for (code, said) in [
            ("invalid_exact_evm_insufficient_balance", "INSUFFICIENT_FUNDS"),
            ("invalid_exact_evm_signature", "INVALID_SIGNATURE"),
            ("invalid_exact_evm_payload_authorization_valid_before", "EXPIRED_PAYMENT"),
            ("invalid_exact_evm_nonce_already_used", "DUPLICATE_NONCE"),
            ("payment_already_used", "DUPLICATE_NONCE"),
            ("invalid_exact_evm_network_mismatch", "NETWORK_MISMATCH"),
            ("invalid_exact_evm_payload_authorization_value_mismatch", "INVALID_AMOUNT"),
            ("invalid_exact_evm_transaction_failed", "SETTLEMENT_FAILED"),
        ] {
            assert_eq!(word(code), said, "{code}");
        }
    }
}
