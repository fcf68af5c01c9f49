//! What an agent tells as it comes: server-sent events of A2A 1.0 (`SendStreamingMessage`,
//! `SubscribeToTask`), each of them an answer of JSON-RPC, gathered into the one task that they are of.
//!
//! A stream that ends or breaks while its task is worked on leaves what was heard of it: the task is then
//! listened to anew, or looked at ([`super`]). One that breaks before its first event leaves nothing, and
//! the same message is sent again. Whatever comes twice replaces what was there, but for the pieces that
//! say that they continue an artifact; listening anew begins with the whole task.
//!
//! A piece that continues a text continues its last part.
//!
//! Bounds: all events of a stream together by [`super::super::BuyerLimits::max_answer`] and
//! [`MOST_VALUES`], artifacts by [`MOST_ARTIFACTS`], the time by that of one attempt.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::super::{Answer, BuyError, Buyer, Purchase, shown};
use super::{AgentRequest, Called, LONGEST_ID, MOST_VALUES, cut, said, understood, words};
use crate::a2a::{STATUS, values};

/// The most artifacts of a task that is listened to.
const MOST_ARTIFACTS: usize = 1_024;
/// The method by which a task is listened to again.
pub(super) const ANEW: &str = "SubscribeToTask";
/// How long after a task as it was before its payment something newer is waited for.
const NEWER_WITHIN: Duration = Duration::from_secs(2);

/// What an agent tells before its work is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentNews {
    /// How far the task is.
    State {
        /// A2A's word for it, in small letters: `working`.
        state: String,
        /// What the agent says of it, shortened.
        words: String,
    },
    /// A piece of the work came.
    Piece {
        /// It continues what came before.
        continues: bool,
        /// Its texts.
        text: String,
        /// How many parts it has, texts and others.
        parts: usize,
    },
}

/// Who is told, as it comes.
#[derive(Clone)]
pub struct Watch(Arc<dyn Fn(AgentNews) + Send + Sync>);

impl Watch {
    /// Tells this function, which must not wait.
    pub fn new(tell: impl Fn(AgentNews) + Send + Sync + 'static) -> Watch {
        Watch(Arc::new(tell))
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// What one call that streams is about.
pub(super) struct Listening<'a> {
    pub(super) method: &'a str,
    pub(super) params: Value,
    /// The task that it must be.
    pub(super) expected: Option<&'a str>,
    pub(super) is_paid: bool,
}

impl Buyer {
    /// One call of JSON-RPC whose answer may come as a stream: what it has told of its task when that
    /// rests, or when the stream is over.
    pub(super) async fn listen(
        &self,
        purchase: &Purchase,
        agent: &AgentRequest,
        listening: Listening<'_>,
    ) -> Result<Called, BuyError> {
        let Listening { method, params, expected, is_paid } = listening;
        let request = self.rpc(purchase, method, params);
        let request = request.header(header::ACCEPT, "text/event-stream, application/json");
        let response = self.open(purchase, request).await?;
        let media_type = response.headers().get(header::CONTENT_TYPE);
        let is_stream = response.status().is_success()
            && media_type
                .and_then(|said| said.to_str().ok())
                .is_some_and(|said| said.trim_start().starts_with("text/event-stream"));
        if !is_stream {
            let Answer { status, body, .. } = self.drain(purchase, response).await?;
            return Ok(understood(status, &body));
        }
        let most = self.limits.max_answer;
        let (mut events, mut heard) = (Events::default(), Heard::new(expected, is_paid));
        let (mut bytes, mut parsed) = (0, 0);
        let mut stream = response.bytes_stream();
        let nonsense = |cause: &str| Ok(Called::Not(said(StatusCode::BAD_GATEWAY, cause.into())));
        'stream: loop {
            let next = match heard.is_old {
                false => stream.next().await,
                true => match tokio::time::timeout(NEWER_WITHIN, stream.next()).await {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            let Some(Ok(chunk)) = next else { break };
            bytes += chunk.len();
            if bytes > most {
                return Err(BuyError::AnswerTooLarge { url: shown(&purchase.url), max: most });
            }
            events.push(&chunk);
            while let Some(data) = events.next() {
                parsed += values(&data);
                if parsed > MOST_VALUES {
                    return nonsense("its stream is made of too many values to be read");
                }
                let event = match understood(StatusCode::OK, &data) {
                    Called::Result(event) => event,
                    // What it knows of the task is asked for again.
                    Called::Error { .. } if heard.task.is_some() => break 'stream,
                    other => return Ok(other),
                };
                match heard.take(event) {
                    Err(cause) => return nonsense(cause),
                    Ok(news) => {
                        if let (Some(Watch(tell)), Some(news)) = (&agent.watch, news) {
                            tell(news);
                        }
                    }
                }
                if heard.rests {
                    break 'stream;
                }
            }
        }
        if heard.is_old && method == ANEW {
            let cause = "its task waits as before its payment".into();
            return Ok(Called::Not(said(StatusCode::BAD_GATEWAY, cause)));
        }
        heard.whole().map(Called::Result).ok_or_else(|| BuyError::Unreachable {
            url: shown(&purchase.url),
            cause: "its stream ended before anything was said".into(),
        })
    }
}

/// The data of server-sent events, as bytes come. Source: WHATWG HTML, "Server-sent events"; lines end
/// with a line feed, alone or after a carriage return.
#[derive(Default)]
struct Events {
    /// What is not read yet, from `read` on.
    bytes: Vec<u8>,
    read: usize,
    /// Up to where no end of a line is.
    looked: usize,
    data: Option<Vec<u8>>,
}

impl Events {
    fn push(&mut self, chunk: &[u8]) {
        self.bytes.drain(..self.read);
        self.looked -= self.read;
        self.read = 0;
        self.bytes.extend_from_slice(chunk);
    }

    /// The next event that is whole.
    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let Some(ends) = self.bytes[self.looked..].iter().position(|byte| *byte == b'\n')
            else {
                self.looked = self.bytes.len();
                return None;
            };
            let ends = self.looked + ends;
            let line = &self.bytes[self.read..ends];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (self.read, self.looked) = (ends + 1, ends + 1);
            if line.is_empty() {
                match self.data.take() {
                    Some(data) => return Some(data),
                    None => continue,
                }
            }
            let Some(value) = line.strip_prefix(b"data:") else { continue };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut self.data {
                None => self.data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            }
        }
    }
}

/// What a stream has told so far.
struct Heard<'a> {
    expected: Option<&'a str>,
    is_paid: bool,
    message: Option<Value>,
    task: Option<Value>,
    /// Nothing more comes of it.
    rests: bool,
    /// The task is as it may have been before its payment came.
    is_old: bool,
}

impl<'a> Heard<'a> {
    fn new(expected: Option<&'a str>, is_paid: bool) -> Heard<'a> {
        Heard { expected, is_paid, message: None, task: None, rests: false, is_old: false }
    }

    /// What `SendMessage` would have answered.
    fn whole(mut self) -> Option<Value> {
        if let Some(task) = self.task.as_mut().filter(|_| self.is_old) {
            // What it is by now has to be asked.
            task["status"] = json!({ "state": "TASK_STATE_WORKING" });
        }
        match (self.message, self.task) {
            (Some(message), _) => Some(json!({ "message": message })),
            (None, Some(task)) => Some(json!({ "task": task })),
            (None, None) => None,
        }
    }

    fn take(&mut self, mut event: Value) -> Result<Option<AgentNews>, &'static str> {
        self.is_old = false;
        if !event.is_object() {
            return Err("it streams something that A2A 1.0 does not know");
        }
        if event["message"].is_object() {
            (self.message, self.rests) = (Some(event["message"].take()), true);
            return Ok(None);
        }
        if event["task"].is_object() {
            let task = event["task"].take();
            self.is_its(task["id"].as_str())?;
            if task["artifacts"].as_array().is_some_and(|all| all.len() > MOST_ARTIFACTS) {
                return Err("its task has too many artifacts");
            }
            self.task = Some(task);
            return Ok(Some(self.state(true)));
        }
        let (what, is_status) = match event["statusUpdate"].is_object() {
            true => (event["statusUpdate"].take(), true),
            false => (event["artifactUpdate"].take(), false),
        };
        if !what.is_object() {
            return Err("it streams something that A2A 1.0 does not know");
        }
        let id = what["taskId"].as_str();
        self.is_its(id)?;
        let task = self.task.get_or_insert_with(
            || json!({ "id": id, "status": { "state": "TASK_STATE_WORKING" } }),
        );
        if is_status {
            task["status"] = what["status"].clone();
            return Ok(Some(self.state(false)));
        }
        piece(task, what).map(Some)
    }

    /// Each event must be of the one task.
    fn is_its(&self, id: Option<&str>) -> Result<(), &'static str> {
        let id = id.filter(|id| (1..=LONGEST_ID).contains(&id.len()));
        let id = id.ok_or("its task has no number, or too long a one")?;
        let known = self.task.as_ref().and_then(|task| task["id"].as_str()).or(self.expected);
        match known.is_none_or(|known| known == id) {
            true => Ok(()),
            false => Err("it streams what is of another task"),
        }
    }

    /// How far the task is by now; `is_snapshot`: the task itself was told.
    fn state(&mut self, is_snapshot: bool) -> AgentNews {
        let status = self.task.as_ref().map_or(&Value::Null, |task| &task["status"]);
        let state = status["state"].as_str().unwrap_or_default();
        let waits = matches!(state, "TASK_STATE_INPUT_REQUIRED" | "TASK_STATE_AUTH_REQUIRED");
        let works = matches!(state, "TASK_STATE_SUBMITTED" | "TASK_STATE_WORKING");
        // A task that waited for its payment may be told once more as it was.
        let asks = status["message"]["metadata"][STATUS] == "payment-required";
        self.is_old = waits && asks && is_snapshot && self.is_paid;
        self.rests = !works && !self.is_old;
        AgentNews::State {
            state: cut(&state.trim_start_matches("TASK_STATE_").to_ascii_lowercase()),
            words: cut(&words(&status["message"])),
        }
    }
}

/// Puts a piece of work where it belongs.
fn piece(task: &mut Value, mut update: Value) -> Result<AgentNews, &'static str> {
    let mut artifact = update["artifact"].take();
    if !artifact.is_object() {
        return Err("it streams a piece of work that is none");
    }
    let parts = artifact["parts"].as_array();
    let news = AgentNews::Piece {
        continues: update["append"] == true,
        text: words(&artifact),
        parts: parts.map_or(0, Vec::len),
    };
    if !task["artifacts"].is_array() {
        task["artifacts"] = json!([]);
    }
    let Some(all) = task["artifacts"].as_array_mut() else { return Ok(news) };
    let is_full = all.len() >= MOST_ARTIFACTS;
    let known = all.iter_mut().find(|known| {
        known.is_object()
            && known["artifactId"].is_string()
            && known["artifactId"] == artifact["artifactId"]
    });
    match known {
        Some(known) if update["append"] == true => {
            let more = artifact["parts"].as_array_mut().map(std::mem::take).unwrap_or_default();
            if !known["parts"].is_array() {
                known["parts"] = json!([]);
            }
            let Some(parts) = known["parts"].as_array_mut() else { return Ok(news) };
            let mut more = more.into_iter().peekable();
            if let (Some(last), Some(first)) = (parts.last_mut(), more.peek())
                && continues(last, first)
                && let (Some(Value::String(text)), Some(end)) =
                    (last.get_mut("text"), first["text"].as_str())
            {
                text.push_str(end);
                more.next();
            }
            parts.extend(more);
        }
        Some(known) => *known = artifact,
        None if is_full => return Err("its task has too many artifacts"),
        None => all.push(artifact),
    }
    Ok(news)
}

/// Whether a part is more of the text before it.
fn continues(last: &Value, part: &Value) -> bool {
    let said = |part: &Value| part["mediaType"].as_str().unwrap_or_default().to_owned();
    last["text"].is_string()
        && part["text"].is_string()
        && (said(part).is_empty() || said(part) == said(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(events: &mut Events) -> Vec<String> {
        std::iter::from_fn(|| events.next()).map(|data| String::from_utf8(data).unwrap()).collect()
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = ": hello\r\n\r\nevent: x\ndata: {\"a\":\ndata:1}\nid: 7\n\ndata:  b\r\n\r\n\n\ndata: cut";
        for size in 1..text.len() {
            let mut events = Events::default();
            let mut read = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                events.push(chunk);
                read.extend(all(&mut events));
            }
            assert_eq!(read, ["{\"a\":\n1}", " b"], "in pieces of {size}");
        }
    }

    fn status(state: &str) -> Value {
        json!({ "statusUpdate": { "taskId": "t", "status": { "state": state } } })
    }

    fn artifact(text: &str, append: bool) -> Value {
        let artifact = json!({ "artifactId": "a", "parts": [{ "text": text }] });
        json!({ "artifactUpdate": { "taskId": "t", "artifact": artifact, "append": append } })
    }

    #[test]
    fn pieces_become_the_work_that_the_task_would_have() {
        let mut heard = Heard::new(Some("t"), true);
        for event in [
            json!({ "task": { "id": "t", "status": { "state": "TASK_STATE_SUBMITTED" } } }),
            status("TASK_STATE_WORKING"),
            artifact("gone", false),
            artifact("Hel", false),
            artifact("lo", true),
        ] {
            heard.take(event).unwrap();
            assert!(!heard.rests);
        }
        heard.take(status("TASK_STATE_COMPLETED")).unwrap();
        assert!(heard.rests);
        let task = &heard.whole().unwrap()["task"];
        assert_eq!(
            task["artifacts"],
            json!([{ "artifactId": "a", "parts": [{ "text": "Hello" }] }])
        );
        assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED");
    }

    #[test]
    fn a_task_that_waits_as_before_its_payment_is_not_taken_for_its_answer() {
        let says = |said: &str| {
            let message = json!({ "metadata": { STATUS: said } });
            let status = json!({ "state": "TASK_STATE_INPUT_REQUIRED", "message": message });
            json!({ "task": { "id": "t", "status": status } })
        };
        let waits = || says("payment-required");
        let mut unpaid = Heard::new(None, false);
        unpaid.take(waits()).unwrap();
        assert!(unpaid.rests && !unpaid.is_old);
        let mut paid = Heard::new(Some("t"), true);
        paid.take(waits()).unwrap();
        assert!(!paid.rests && paid.is_old);
        paid.take(status("TASK_STATE_WORKING")).unwrap();
        assert!(!paid.rests && !paid.is_old);
        paid.take(status("TASK_STATE_INPUT_REQUIRED")).unwrap();
        assert!(paid.rests, "what is said anew is the answer");
        let mut refused = Heard::new(Some("t"), true);
        refused.take(says("payment-failed")).unwrap();
        assert!(refused.rests && !refused.is_old);
        let mut broken = Heard::new(Some("t"), true);
        broken.take(waits()).unwrap();
        assert_eq!(broken.whole().unwrap()["task"]["status"]["state"], "TASK_STATE_WORKING");
    }

    #[test]
    fn what_is_of_another_task_or_none_is_nonsense() {
        let of = |id: Value| json!({ "statusUpdate": { "taskId": id, "status": {} } });
        for event in [
            of(json!("u")),
            of(json!("")),
            of(json!(7)),
            json!({ "task": { "id": "u" } }),
            json!({ "artifactUpdate": { "taskId": "t", "artifact": 7 } }),
            json!({ "kind": "status-update" }),
            json!(null),
            json!([1]),
        ] {
            let mut heard = Heard::new(Some("t"), true);
            assert!(heard.take(event.clone()).is_err(), "{event}");
        }
        let mut heard = Heard::new(None, false);
        for number in 0..MOST_ARTIFACTS {
            let artifact = json!({ "artifactId": number.to_string(), "parts": [] });
            heard
                .take(json!({ "artifactUpdate": { "taskId": "t", "artifact": artifact } }))
                .unwrap();
        }
        assert!(heard.take(artifact("one more", false)).is_err());
    }
}
