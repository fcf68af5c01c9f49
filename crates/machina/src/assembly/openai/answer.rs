//! Answers in OpenAI's form: whole, or as events of a stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::{StatusCode, header};
use labour::language::{Event, Finish, Usage};
use labour::{Embedding, LanguageWorker, WorkerInfo};
use money::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::models::Lazy;
use super::refusal::Refusal;

/// How an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// At its end, in one piece.
    Whole,
    /// As it comes.
    Stream {
        /// Whether the last event before the end tells the tokens.
        with_usage: bool,
    },
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As JSON numbers.
    Float,
    /// As the bytes of `f32`, the least first, in base64.
    Base64,
}

/// What every part of an answer repeats.
#[derive(Clone, Debug)]
pub struct Head {
    id: String,
    created: u64,
    model: String,
    fingerprint: String,
}

impl Head {
    /// The head of one answer.
    pub fn new(
        model: &Lazy<LanguageWorker>,
        info: &WorkerInfo,
        entropy: &[u8; 32],
        now: Timestamp,
    ) -> Head {
        Head {
            id: format!("chatcmpl-{}", hex::encode(&entropy[..12])),
            created: now.as_secs(),
            model: model.id().to_string(),
            fingerprint: info.model.clone(),
        }
    }

    fn around(&self, object: &str, choices: Value) -> Value {
        let Head { id, created, model, fingerprint } = self;
        json!({
            "id": id,
            "object": object,
            "created": created,
            "model": model,
            "system_fingerprint": fingerprint,
            "choices": choices,
        })
    }

    fn chunk(&self, choices: Value) -> Value {
        self.around("chat.completion.chunk", choices)
    }

    fn delta(&self, delta: Value, finish: Option<Finish>) -> Value {
        let finish = finish.map(reason);
        self.chunk(
            json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]),
        )
    }
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

/// All tokens of a chat.
pub fn tokens(usage: &Usage) -> u64 {
    (usage.prompt_tokens as u64).saturating_add(usage.completion_tokens as u64)
}

fn usage_json(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": tokens(usage),
    })
}

/// A chat that is being answered.
pub struct Chat {
    /// What is said around the answer.
    pub head: Head,
    /// The answer.
    pub events: UnboundedReceiver<Event>,
}

impl Chat {
    /// Waits for all of it.
    pub async fn whole(mut self) -> Result<(Usage, Response), Refusal> {
        let mut text = String::new();
        while let Some(event) = self.events.recv().await {
            match event {
                Event::Text(more) => text.push_str(&more),
                Event::Failed(error) => return Err(error.into()),
                Event::Done(finish, usage) => {
                    let message = json!({ "role": "assistant", "content": text, "refusal": null });
                    let choices = json!([{
                        "index": 0,
                        "message": message,
                        "logprobs": null,
                        "finish_reason": reason(finish),
                    }]);
                    let mut said = self.head.around("chat.completion", choices);
                    said["usage"] = usage_json(&usage);
                    return Ok((usage, super::json_of(StatusCode::OK, &said)));
                }
            }
        }
        Err(Refusal::broken("the answer broke off"))
    }

    /// Tells it as it comes; the count knows the tokens when it has ended.
    pub fn stream(self, with_usage: bool) -> (Count, Response) {
        let count = Count::default();
        let mut ready = VecDeque::new();
        let begin = json!({ "role": "assistant", "content": "", "refusal": null });
        ready.push_back(Ok(event(&self.head.delta(begin, None))));
        let telling = Stream {
            head: self.head,
            events: self.events,
            ready,
            with_usage,
            count: count.clone(),
            ended: false,
        };
        let body = stream::unfold(telling, |mut telling| async move {
            let piece = telling.next().await?;
            Some((piece, telling))
        });
        let headers = [
            (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        (count, (StatusCode::OK, headers, Body::from_stream(body)).into_response())
    }
}

/// One server-sent event. JSON has no raw ends of lines.
fn event(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

struct Stream {
    head: Head,
    events: UnboundedReceiver<Event>,
    ready: VecDeque<Result<Bytes, std::io::Error>>,
    with_usage: bool,
    count: Count,
    ended: bool,
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        if let Some(piece) = self.ready.pop_front() {
            return Some(piece);
        }
        if self.ended {
            return None;
        }
        match self.events.recv().await {
            Some(Event::Text(text)) => {
                self.ready.push_back(Ok(event(&self.head.delta(json!({ "content": text }), None))));
            }
            Some(Event::Done(finish, usage)) => {
                self.count.told(tokens(&usage));
                self.ready.push_back(Ok(event(&self.head.delta(json!({}), Some(finish)))));
                if self.with_usage {
                    let mut last = self.head.chunk(json!([]));
                    last["usage"] = usage_json(&usage);
                    self.ready.push_back(Ok(event(&last)));
                }
                self.ready.push_back(Ok(Bytes::from_static(b"data: [DONE]\n\n")));
                self.ended = true;
            }
            Some(Event::Failed(error)) => self.broke(Refusal::from(error)),
            None => self.broke(Refusal::broken("the answer broke off")),
        }
        self.ready.pop_front()
    }

    /// Says so, and lets the body break: nobody may take a part for the whole.
    fn broke(&mut self, why: Refusal) {
        self.count.broken();
        self.ready.push_back(Ok(event(&why.json())));
        self.ready.push_back(Err(std::io::Error::other("the answer broke off")));
        self.ended = true;
    }
}

/// How many tokens a stream took, to be asked when it has ended.
#[derive(Clone, Debug)]
pub struct Count(Arc<AtomicU64>);

/// Why a stream did not tell its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// It was cut off from outside.
    Cut,
    /// The machine broke down.
    Broken,
}

const CUT: u64 = u64::MAX;
const BROKEN: u64 = u64::MAX - 1;

impl Default for Count {
    fn default() -> Self {
        Count(Arc::new(AtomicU64::new(CUT)))
    }
}

impl Count {
    fn told(&self, tokens: u64) {
        self.0.store(tokens.min(BROKEN - 1), Ordering::Release);
    }

    fn broken(&self) {
        self.0.store(BROKEN, Ordering::Release);
    }

    /// The tokens.
    pub fn tokens(&self) -> Result<u64, Untold> {
        match self.0.load(Ordering::Acquire) {
            CUT => Err(Untold::Cut),
            BROKEN => Err(Untold::Broken),
            tokens => Ok(tokens),
        }
    }
}

/// Vectors, and their tokens together.
pub fn embeddings(model: &str, meanings: &[Embedding], encoding: Encoding) -> (u64, Response) {
    let tokens: u64 = meanings.iter().map(|meaning| meaning.tokens as u64).sum();
    let data: Vec<Value> = (0..)
        .zip(meanings)
        .map(|(index, meaning): (usize, _)| {
            let vector = match encoding {
                // As short as a decimal can be: the millionths themselves.
                Encoding::Float => json!(meaning.decimals()),
                Encoding::Base64 => {
                    let floats = meaning.floats();
                    let bytes: Vec<u8> = floats.iter().flat_map(|v| v.to_le_bytes()).collect();
                    json!(STANDARD.encode(bytes))
                }
            };
            json!({ "object": "embedding", "index": index, "embedding": vector })
        })
        .collect();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    let said = json!({ "object": "list", "data": data, "model": model, "usage": usage });
    (tokens, super::json_of(StatusCode::OK, &said))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn chat(events: Vec<Event>) -> Chat {
        let (sender, receiver) = unbounded_channel();
        for event in events {
            sender.send(event).unwrap();
        }
        let head =
            Head { id: "i".into(), created: 1, model: "m".into(), fingerprint: "m@1".into() };
        Chat { head, events: receiver }
    }

    const USAGE: Usage = Usage { prompt_tokens: 3, completion_tokens: 2 };

    #[tokio::test]
    async fn a_stream_tells_role_words_end_and_tokens_and_counts_them() {
        let events = vec![
            Event::Text("a\n".into()),
            Event::Text("b".into()),
            Event::Done(Finish::Stop, USAGE),
        ];
        let (count, response) = chat(events).stream(true);
        assert_eq!(count.tokens(), Err(Untold::Cut));
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let lines: Vec<&str> = std::str::from_utf8(&body).unwrap().split("\n\n").collect();
        assert_eq!(lines.len(), 7, "{lines:?}");
        let read = |line: &str| -> Value { serde_json::from_str(&line["data: ".len()..]).unwrap() };
        assert_eq!(read(lines[0])["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(read(lines[1])["choices"][0]["delta"]["content"], "a\n");
        assert_eq!(read(lines[3])["choices"][0]["finish_reason"], "stop");
        assert_eq!(read(lines[4])["usage"]["total_tokens"], 5);
        assert_eq!((lines[5], lines[6]), ("data: [DONE]", ""));
        assert_eq!(count.tokens(), Ok(5));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_says_so_and_has_no_end() {
        for last in [Some(Event::Failed(labour::LabourError::NoPicture)), None] {
            let events = [Some(Event::Text("a".into())), last].into_iter().flatten().collect();
            let (count, response) = chat(events).stream(false);
            let body = response.into_body().collect().await;
            assert!(body.is_err(), "a part is not the whole");
            assert_eq!(count.tokens(), Err(Untold::Broken));
        }
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_refused() {
        assert!(chat(vec![Event::Text("a".into())]).whole().await.is_err());
        let (usage, response) =
            chat(vec![Event::Text("a".into()), Event::Done(Finish::Length, USAGE)])
                .whole()
                .await
                .unwrap();
        assert_eq!((tokens(&usage), response.status()), (5, StatusCode::OK));
    }
}
