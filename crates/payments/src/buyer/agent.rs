//! Buying from an agent: the purchase travels as messages of A2A 1.0, and what its task says comes
//! back as the answers that the rest of the buyer knows.
//!
//! A message asks for the work; the task that the agent makes of it asks for its price, which is a
//! quote like any other. A second message, to the same task, brings the one signed payment; the task's
//! artifact is the answer. The same payment for the same task is the same message, with the same number,
//! so it may be sent until there is an answer. An agent that has forgotten the task gets work and payment
//! in one message: the payment can be used once, whatever tasks are made of it.
//!
//! | what the agent says | what it means |
//! |---|---|
//! | input required, with a quote | 402 with the quote; after a payment that payment is refused |
//! | input required, `payment-submitted` | 503: the payment's fate is open, the same may be sent again |
//! | completed | 200 with the artifact, and the last receipt that says that money moved |
//! | failed, rejected, canceled; input required for anything else | it did not deliver |
//! | submitted, working | it is looked at again, until the wait is over |
//! | words, without a task | 200 with the words; in answer to a payment, that it did not deliver |
//!
//! Where its card says that it streams (`card.rs`), the same messages go out by `SendStreamingMessage`,
//! and what comes is told as it comes (`stream.rs`): a stream is another way for the same answer, so what
//! was paid, and when, does not depend on it. An agent that streams nothing after all is asked without.
//!
//! Sources: A2A 1.0 (a2a-protocol.org), and those of [`crate::a2a`]. An agent is paid by `exact` only.
//! How the agent's service reads a message is its own, so no payment is bound to that request
//! ([`binding`]): as with any stock client, the first who sends it to this seller has its use.
//!
//! Bounds: an answer by [`super::BuyerLimits::max_answer`] and [`MOST_VALUES`], a task's number by
//! [`LONGEST_ID`], all calls of one attempt together by [`super::BuyerLimits::request_wait`]. Nothing is
//! sent where a redirect leads, and nothing is fetched that an artifact names.

mod card;
mod stream;

use std::time::Duration;

use alloy_primitives::hex;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

pub use self::card::FoundAgent;
use self::stream::{ANEW, Listening};
pub use self::stream::{AgentNews, Watch};
use super::answer::blame;
use super::{Answer, BuyError, Buyer, Purchase, shown};
use crate::a2a::{ERROR, EXTENSIONS, PAYLOAD, RECEIPTS, REQUIRED, STATUS, values, whole_numbers};
use crate::documents;
use crate::exact;
use crate::extensions::binding;
use crate::wire::{self, PaymentPayload, PaymentRequired, SettleResponse};

/// The most values that an answer is made of: in memory each is many times what it is as a text.
const MOST_VALUES: usize = 262_144;
/// The longest number of a task that is taken, in bytes.
const LONGEST_ID: usize = 256;
/// The most of an agent's words that goes into an error, in characters.
const LONGEST_WORDS: usize = 300;
/// How soon a task that is worked on is looked at again: at first, and at last.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LAST_LOOK: Duration = Duration::from_secs(4);
/// JSON-RPC's code for what went wrong inside, and A2A's for a task that is not there.
const INTERNAL: i64 = -32603;
const TASK_NOT_FOUND: i64 = -32001;
/// JSON-RPC's code for a method that is not there, and A2A's for what an agent does not do.
const METHOD_NOT_FOUND: i64 = -32601;
const UNSUPPORTED: i64 = -32004;
/// The number of each call.
const NUMBER: u64 = 1;

/// What is asked of an agent, besides the body, which goes along as a file.
#[derive(Debug, Clone, Default)]
pub struct AgentRequest {
    /// What is said to it.
    pub words: Option<String>,
    /// The task that is bought; none for a new one.
    pub task: Option<String>,
    /// It is asked to tell what it does as it does it; see [`FoundAgent::streams`].
    pub streams: bool,
    /// Who hears that.
    pub watch: Option<Watch>,
}

/// What a call came to.
enum Called {
    /// Its result.
    Result(Value),
    /// The agent's own error.
    Error { code: i64, message: String },
    /// Nothing that A2A knows.
    Not(Answer),
}

/// What a task is read as.
enum Read {
    /// There is an answer.
    Rests(Box<Answer>),
    /// It is worked on, under this number.
    Works(String),
}

impl Purchase {
    /// What is done with the address, as people are told.
    pub(super) fn verb(&self) -> &str {
        if self.agent.is_some() { "A2A" } else { self.method.as_str() }
    }

    /// SHA-256 of all that is sent.
    pub(super) fn content_digest(&self) -> [u8; 32] {
        use sha2::{Digest as _, Sha256};
        match &self.agent {
            None => Sha256::digest(&self.body).into(),
            Some(agent) => documents::digest(&[
                b"a2a",
                agent.words.as_deref().unwrap_or_default().as_bytes(),
                &self.body,
            ]),
        }
    }

    /// The same purchase, of the task that an agent made of it.
    pub(super) fn of_task(&self, answer: &Answer) -> Purchase {
        let agent = self.agent.clone().map(|agent| AgentRequest {
            task: answer.task.clone().or_else(|| agent.task.clone()),
            ..agent
        });
        Purchase { agent, ..self.clone() }
    }
}

impl Buyer {
    /// By which scheme a purchase may be paid: an agent's by `exact`, and not where it takes only
    /// payments that are bound to a request.
    pub(super) fn scheme_for<'a>(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        scheme: Option<&'a str>,
    ) -> Result<Option<&'a str>, BuyError> {
        if purchase.agent.is_none() {
            return Ok(scheme);
        }
        let refuse = |cause: String| Err(BuyError::NoWayToPay { url: shown(&purchase.url), cause });
        if let Some(other) = scheme.filter(|name| *name != exact::SCHEME) {
            return refuse(format!("an agent is paid by `exact` here, and not by `{other}`"));
        }
        if binding::is_required(quote) {
            return refuse(
                "it takes only payments that are bound to a request, and a message to an agent is none; buy it by a request of HTTP".into(),
            );
        }
        if !quote.accepts.iter().any(|terms| terms.scheme == exact::SCHEME) {
            let ways = quote.accepts.iter().take(8).map(|terms| terms.scheme.as_str());
            let ways: String = ways.collect::<Vec<_>>().join(", ").chars().take(80).collect();
            return refuse(format!("an agent is paid by `exact` here, and it takes: {ways}"));
        }
        Ok(Some(exact::SCHEME))
    }

    /// Asks an agent for a task, or pays it. What an agent says that asks for no payment, before it
    /// got one, and that is not the work, is an error.
    pub(super) async fn ask_agent(
        &self,
        purchase: &Purchase,
        agent: &AgentRequest,
        payment: Option<&PaymentPayload>,
    ) -> Result<Answer, BuyError> {
        let wait = self.limits.request_wait;
        let url = || shown(&purchase.url);
        let answer = match tokio::time::timeout(wait, self.talk(purchase, agent, payment)).await {
            Ok(answer) => answer?,
            Err(_) => {
                let cause = format!("the task came to no end within {} seconds", wait.as_secs());
                return Err(BuyError::Unreachable { url: url(), cause });
            }
        };
        let is_answer = answer.status.is_success() || answer.status == StatusCode::PAYMENT_REQUIRED;
        if payment.is_none() && !is_answer {
            let (_, cause) = blame(&Ok(answer));
            return Err(BuyError::Agent { url: url(), cause });
        }
        Ok(answer)
    }

    async fn talk(
        &self,
        purchase: &Purchase,
        agent: &AgentRequest,
        payment: Option<&PaymentPayload>,
    ) -> Result<Answer, BuyError> {
        let is_paid = payment.is_some();
        let mut expected = agent.task.clone();
        let sent = json!({ "message": self.message(purchase, agent, payment) });
        let mut called = self.say(purchase, agent, sent, expected.as_deref(), is_paid).await?;
        if is_paid
            && expected.is_some()
            && matches!(called, Called::Error { code: TASK_NOT_FOUND, .. })
        {
            // It has forgotten the task: the work and the same payment again, in one message.
            let whole = AgentRequest { task: None, ..agent.clone() };
            let sent = json!({ "message": self.message(purchase, &whole, payment) });
            called = self.say(purchase, agent, sent, None, is_paid).await?;
            expected = None;
        }
        let mut pause = FIRST_LOOK;
        loop {
            let result = match called {
                Called::Result(result) => result,
                Called::Not(answer) => return Ok(answer),
                Called::Error { code, message } => {
                    let status = match code {
                        // Its place is taken, or it stumbled: the same may be sent again.
                        INTERNAL => StatusCode::SERVICE_UNAVAILABLE,
                        _ => StatusCode::BAD_REQUEST,
                    };
                    return Ok(said(status, format!("it says no ({code}): {message}")));
                }
            };
            let task = match read(&result, expected.as_deref(), is_paid) {
                Read::Rests(answer) => return Ok(*answer),
                Read::Works(task) => task,
            };
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
            if agent.streams
                && let Some(heard) = self.listen_anew(purchase, agent, &task, is_paid).await
            {
                called = Called::Result(heard);
                expected = Some(task);
                continue;
            }
            called = match self.call(purchase, "GetTask", json!({ "id": task })).await? {
                Called::Result(task) => Called::Result(json!({ "task": task })),
                Called::Error { code: TASK_NOT_FOUND, .. } if is_paid => {
                    let message = "it has forgotten the task that it worked on".into();
                    Called::Not(said(StatusCode::SERVICE_UNAVAILABLE, message))
                }
                other => other,
            };
            expected = Some(task);
        }
    }

    /// Says something to an agent, which streams its answer if it can.
    async fn say(
        &self,
        purchase: &Purchase,
        agent: &AgentRequest,
        sent: Value,
        expected: Option<&str>,
        is_paid: bool,
    ) -> Result<Called, BuyError> {
        if agent.streams {
            let params = sent.clone();
            let method = "SendStreamingMessage";
            let listening = Listening { method, params, expected, is_paid };
            match self.listen(purchase, agent, listening).await? {
                // The same message again is safe, whatever became of it.
                Called::Error { code: METHOD_NOT_FOUND | UNSUPPORTED, .. } => {}
                called => return Ok(called),
            }
        }
        self.call(purchase, "SendMessage", sent).await
    }

    /// Listens to a task again whose stream broke; none if that leads nowhere, and it has to be looked at.
    async fn listen_anew(
        &self,
        purchase: &Purchase,
        agent: &AgentRequest,
        task: &str,
        is_paid: bool,
    ) -> Option<Value> {
        let params = json!({ "id": task });
        let (method, expected) = (ANEW, Some(task));
        let listening = Listening { method, params, expected, is_paid };
        match self.listen(purchase, agent, listening).await {
            Ok(Called::Result(heard)) => Some(heard),
            _ => None,
        }
    }

    /// What is sent: the work, the payment of a task, or both where there is no task.
    fn message(
        &self,
        purchase: &Purchase,
        agent: &AgentRequest,
        payment: Option<&PaymentPayload>,
    ) -> Value {
        let task = agent.task.as_deref();
        let mut parts = Vec::new();
        if payment.is_some() && task.is_some() {
            parts.push(json!({ "text": "Here is the payment." }));
        } else {
            if agent.words.is_some() || purchase.body.is_empty() {
                parts.push(json!({ "text": agent.words.as_deref().unwrap_or_default() }));
            }
            if !purchase.body.is_empty() {
                let media_type = purchase.media_type.as_deref();
                parts.push(json!({
                    "raw": STANDARD.encode(&purchase.body),
                    "mediaType": media_type.unwrap_or("application/octet-stream"),
                }));
            }
        }
        // The same payment of the same task is the same message, however often it is sent.
        let number = match payment {
            None => (self.entropy)(),
            Some(payment) => documents::digest(&[
                b"a2a/message",
                task.unwrap_or_default().as_bytes(),
                json!(payment).to_string().as_bytes(),
            ]),
        };
        let mut message = json!({
            "messageId": hex::encode(&number[..16]),
            "role": "ROLE_USER",
            "parts": parts,
            "extensions": [EXTENSIONS[0]],
        });
        if let Some(task) = task {
            message["taskId"] = task.into();
        }
        if let Some(payment) = payment {
            message["metadata"] = json!({ STATUS: "payment-submitted", PAYLOAD: payment });
        }
        message
    }

    /// One call of JSON-RPC.
    async fn call(
        &self,
        purchase: &Purchase,
        method: &str,
        params: Value,
    ) -> Result<Called, BuyError> {
        let request = self.rpc(purchase, method, params);
        let request = request.header(header::ACCEPT, "application/json");
        let Answer { status, body, .. } = self.send(purchase, request).await?;
        Ok(understood(status, &body))
    }

    /// The request of a call.
    fn rpc(&self, purchase: &Purchase, method: &str, params: Value) -> reqwest::RequestBuilder {
        let body = json!({ "jsonrpc": "2.0", "id": NUMBER, "method": method, "params": params });
        let extensions = EXTENSIONS.join(", ");
        self.http
            .post(purchase.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("a2a-version", "1.0")
            .header("a2a-extensions", &extensions)
            .header("x-a2a-extensions", &extensions)
            .body(body.to_string())
    }
}

/// What an answer to a call means.
fn understood(status: StatusCode, body: &[u8]) -> Called {
    let not = |status: StatusCode, message: String| Called::Not(said(status, message));
    let nonsense = |message: &str| not(StatusCode::BAD_GATEWAY, message.into());
    if values(body) > MOST_VALUES {
        return nonsense("its answer is made of too many values to be read");
    }
    let mut told: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = told["error"].as_object().map(|error| {
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        (error.get("code").and_then(Value::as_i64).unwrap_or_default(), cut(message))
    });
    if !status.is_success() {
        let words = match error {
            Some((_, message)) => message,
            None => cut(&String::from_utf8_lossy(body)),
        };
        return not(status, format!("it answers with status {}: {words}", status.as_u16()));
    }
    if told["jsonrpc"] != "2.0" {
        return nonsense("it does not answer as JSON-RPC 2.0");
    }
    if let Some((code, message)) = error {
        return Called::Error { code, message };
    }
    if told["id"] != NUMBER {
        return nonsense("it answers something that was not asked");
    }
    Called::Result(told["result"].take())
}

/// What a message's answer, or a task, means; `expected` is the task that it must be.
fn read(result: &Value, expected: Option<&str>, is_paid: bool) -> Read {
    let rests = |answer: Answer| Read::Rests(Box::new(answer));
    let nonsense =
        |message: &str| Read::Rests(Box::new(said(StatusCode::BAD_GATEWAY, message.into())));
    if let Some(message) = result.get("message").filter(|said| said.is_object()) {
        let words = words(message);
        if is_paid {
            let words = cut(&words);
            return nonsense(&format!(
                "it answers a payment with words and not by its task: {words}"
            ));
        }
        return rests(Answer {
            status: StatusCode::OK,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, TEXT)]),
            body: words.into(),
            task: None,
        });
    }
    let Some(task) = result.get("task").filter(|said| said.is_object()) else {
        return nonsense("it answers with neither a task nor a message of A2A 1.0");
    };
    let id = task["id"].as_str().filter(|id| (1..=LONGEST_ID).contains(&id.len()));
    let Some(id) = id else {
        return nonsense("its task has no number, or too long a one");
    };
    if expected.is_some_and(|expected| expected != id) {
        return nonsense("it answers about another task than was asked for");
    }
    let message = &task["status"]["message"];
    let heard = cut(&words(message));
    let metadata = |name: &str| message["metadata"].get(name);
    let state = task["status"]["state"].as_str().unwrap_or_default();
    let mut answer = match state {
        "TASK_STATE_SUBMITTED" | "TASK_STATE_WORKING" => return Read::Works(id.into()),
        "TASK_STATE_COMPLETED" => match content(task) {
            Ok((media_type, body)) => {
                let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media_type)]);
                Answer { status: StatusCode::OK, headers, body, task: None }
            }
            Err(cause) => said(StatusCode::BAD_GATEWAY, cause),
        },
        "TASK_STATE_INPUT_REQUIRED" => match metadata(STATUS).and_then(Value::as_str) {
            Some("payment-required" | "payment-failed") => {
                let word = metadata(ERROR).and_then(Value::as_str).unwrap_or("payment-required");
                let mut asked =
                    said(StatusCode::PAYMENT_REQUIRED, format!("{}: {heard}", cut(word)));
                if let Some(quote) = metadata(REQUIRED) {
                    let quote = wire::encode(&whole_numbers(quote.clone()));
                    asked.headers.insert(wire::PAYMENT_REQUIRED, quote);
                }
                asked
            }
            Some("payment-submitted") if is_paid => said(StatusCode::SERVICE_UNAVAILABLE, heard),
            _ => said(StatusCode::UNPROCESSABLE_ENTITY, format!("it asks for more: {heard}")),
        },
        "TASK_STATE_AUTH_REQUIRED" => {
            said(StatusCode::UNAUTHORIZED, format!("it asks who this is: {heard}"))
        }
        "TASK_STATE_FAILED" | "TASK_STATE_REJECTED" | "TASK_STATE_CANCELED" => {
            let end = state.trim_start_matches("TASK_STATE_").to_ascii_lowercase();
            said(StatusCode::UNPROCESSABLE_ENTITY, format!("its task {end}: {heard}"))
        }
        _ => return nonsense("its task is in a state that A2A 1.0 does not know"),
    };
    // What did not move is told in the words.
    let receipts = metadata(RECEIPTS).and_then(Value::as_array);
    let receipts = receipts.into_iter().flatten().rev().take(64);
    let moved = receipts.map(|receipt| whole_numbers(receipt.clone())).find_map(|receipt| {
        serde_json::from_value::<SettleResponse>(receipt).ok().filter(|told| told.success)
    });
    if let Some(moved) = moved.filter(|_| is_paid) {
        answer.headers.insert(wire::PAYMENT_RESPONSE, wire::encode(&moved));
    }
    answer.task = Some(id.into());
    Read::Rests(Box::new(answer))
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The work that a task says is done: its one part as it is; of more parts that are texts the texts,
/// line by line; of any others all parts, as JSON. Without an artifact, what the task says.
fn content(task: &Value) -> Result<(HeaderValue, Bytes), String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let parts: Vec<Value> =
        list(&task["artifacts"]).iter().flat_map(|artifact| list(&artifact["parts"])).collect();
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    if let [part] = parts.as_slice() {
        let media_type = part["mediaType"].as_str().and_then(|said| said.parse().ok());
        let of = |usual: HeaderValue| media_type.clone().unwrap_or(usual);
        if let Some(text) = part["text"].as_str() {
            return Ok((of(TEXT), Bytes::copy_from_slice(text.as_bytes())));
        }
        if let Some(raw) = part["raw"].as_str() {
            let bytes = STANDARD.decode(raw).map_err(|_| "its artifact's bytes are not base64")?;
            return Ok((of(BYTES), bytes.into()));
        }
        if let Some(data) = part.get("data") {
            return Ok((of(JSON), data.to_string().into()));
        }
    }
    Ok(match parts.len() {
        0 => (TEXT, words(&task["status"]["message"]).into()),
        count if count == texts.len() => (TEXT, texts.join("\n").into()),
        _ => (JSON, Value::from(parts).to_string().into()),
    })
}

/// The texts of a message.
fn words(message: &Value) -> String {
    let parts = message["parts"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
}

fn cut(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(LONGEST_WORDS).collect()
}

/// An answer that is not the work.
fn said(status: StatusCode, message: String) -> Answer {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, JSON)]);
    let body = json!({ "message": message }).to_string().into();
    Answer { status, headers, body, task: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(state: &str, more: Value) -> Value {
        let mut task = json!({ "id": "t", "status": { "state": state } });
        for (name, value) in more.as_object().expect("members") {
            task[name] = value.clone();
        }
        json!({ "task": task })
    }

    fn rests(result: &Value, is_paid: bool) -> Answer {
        match read(result, Some("t"), is_paid) {
            Read::Rests(answer) => *answer,
            Read::Works(id) => panic!("{id} is worked on"),
        }
    }

    #[test]
    fn an_artifact_is_read_as_what_it_is() {
        for (parts, media_type, body) in [
            (json!([{ "text": "a" }]), "text/plain; charset=utf-8", "a"),
            (json!([{ "text": "a" }, { "text": "b" }]), "text/plain; charset=utf-8", "a\nb"),
            (json!([{ "raw": "YQ==", "mediaType": "image/png" }]), "image/png", "a"),
            (json!([{ "raw": "YQ==" }]), "application/octet-stream", "a"),
            (json!([{ "data": { "b": 1.0 } }]), "application/json", r#"{"b":1.0}"#),
            (json!([{ "url": "http://x" }]), "application/json", r#"[{"url":"http://x"}]"#),
            (json!([]), "text/plain; charset=utf-8", ""),
            (json!("none"), "text/plain; charset=utf-8", ""),
        ] {
            let done = task("TASK_STATE_COMPLETED", json!({ "artifacts": [{ "parts": parts }] }));
            let answer = rests(&done, true);
            assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, body.as_bytes()));
            assert_eq!(answer.headers[header::CONTENT_TYPE], media_type, "{parts}");
        }
        let broken = json!({ "artifacts": [{ "parts": [{ "raw": "?" }] }] });
        let answer = rests(&task("TASK_STATE_COMPLETED", broken), true);
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    }

    #[test]
    fn what_is_no_task_of_ours_is_never_taken_for_an_answer() {
        let long = "x".repeat(LONGEST_ID + 1);
        for told in [
            json!(null),
            json!([1]),
            json!({ "kind": "task", "id": "t" }),
            json!({ "task": null }),
            json!({ "task": { "id": "", "status": { "state": "TASK_STATE_COMPLETED" } } }),
            json!({ "task": { "id": long, "status": { "state": "TASK_STATE_COMPLETED" } } }),
            json!({ "task": { "id": "u", "status": { "state": "TASK_STATE_COMPLETED" } } }),
            json!({ "task": { "id": "t", "status": { "state": "completed" } } }),
            json!({ "message": { "parts": [{ "text": "thank you" }] } }),
        ] {
            assert_eq!(rests(&told, true).status, StatusCode::BAD_GATEWAY, "{told}");
        }
    }

    #[test]
    fn only_a_receipt_of_moved_money_is_one() {
        let receipt = |success: bool, hash: &str| {
            let network = "eip155:1";
            json!({ "success": success, "transaction": hash, "network": network })
        };
        let told = |receipts: Value| {
            let message = json!({ "metadata": { RECEIPTS: receipts } });
            let status = json!({ "state": "TASK_STATE_COMPLETED", "message": message });
            super::super::receipt(&rests(&task("", json!({ "status": status })), true).headers)
        };
        let two = told(json!([receipt(true, "0x01"), receipt(false, ""), 7, null]));
        assert_eq!(two.map(|told| told.transaction).as_deref(), Some("0x01"));
        assert!(told(json!([receipt(false, "")])).is_none());
        assert!(told(json!("paid")).is_none());
    }
}
