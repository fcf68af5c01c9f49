//! A worker whose work is done elsewhere: at an HTTP endpoint that somebody in this home runs.
//!
//! Work on files posts the file and takes the answer's body, which must be JSON; a chat is asked for as of
//! OpenAI's API (`POST /v1/chat/completions`), and its answer has the form of this home's own language machine.
//! What comes is not trusted: it is bounded in size and time, and what is no answer is no work. An endpoint that
//! fails takes nothing on for a while, so what it cannot do is not promised again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use foreman::Service;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use labour::language::{ChatAnswer, Finish, Usage};
use labour::{ChatRequest, LabourError, Measured, Pins, Work, Worker, WorkerInfo};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// The most bytes of an answer.
const MOST_ANSWER: usize = 256 << 10;
/// How often an endpoint is asked for one piece of work.
const TRIES: u32 = 3;
/// How long one attempt may take, answer and all: half of what hired machines usually have for the whole job.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// For how long an endpoint that failed takes nothing on.
const REST: Duration = Duration::from_secs(30);
/// How many requests an endpoint has at once.
const LANES: usize = 4;

/// An endpoint.
pub struct Endpoint {
    url: reqwest::Url,
    headers: HeaderMap,
    service: Service,
    /// What it calls its model, in a chat.
    model: Option<String>,
    http: reqwest::Client,
    runtime: Handle,
    lanes: Arc<Semaphore>,
    state: Mutex<State>,
    info: WorkerInfo,
    pins: Pins,
}

#[derive(Default)]
struct State {
    rests_until: Option<Instant>,
    leaves: bool,
}

/// What came of one attempt.
enum Failed {
    /// Asking again may help.
    Now(String),
    /// It does not.
    Always(String),
    /// The endpoint says that the input is at fault.
    Input(String),
}

impl Endpoint {
    /// An endpoint at this address, for work of this kind; each line of `headers` is `Name: value`. Must be made
    /// within a runtime.
    ///
    /// # Errors
    /// What is wrong with the address or a header, without the header's value.
    pub fn new(
        to: &str,
        headers: &[String],
        service: Service,
        model: Option<String>,
    ) -> Result<Endpoint, String> {
        let mut url = reqwest::Url::parse(to)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
            .ok_or("the endpoint's address is no web address")?;
        // Whoever reads offers must not read secrets.
        let mut shown = url.clone();
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        if service == Service::Write {
            let path = url.path().trim_end_matches('/');
            let path = path.trim_end_matches("/chat/completions").trim_end_matches("/v1");
            let path = format!("{path}/v1/chat/completions");
            url.set_path(&path);
        }
        let mut sent = HeaderMap::new();
        for line in headers {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let wrong = || "a header is not written as `Name: value`".to_owned();
            let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            sent.insert(name, value);
        }
        // Only the endpoint that its owner named is asked.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECTING)
            .build()
            .map_err(|error| error.to_string())?;
        let named = format!("{shown} {}", model.as_deref().unwrap_or_default());
        let info = WorkerInfo {
            name: service.name(),
            summary: "work at an endpoint that its owner runs".into(),
            model: model.clone().unwrap_or_else(|| "unpinned".into()),
            licence: "its owner's".into(),
            takes: vec!["application/octet-stream"],
            gives: "application/json",
            max_bytes: usize::try_from(service.max_bytes()).unwrap_or(usize::MAX),
        };
        let pins = Pins {
            // There are no weights to pin: what stands for them is where the work is done.
            weights: Sha256::digest(named).iter().map(|byte| format!("{byte:02x}")).collect(),
            engine: "elsewhere".into(),
            instructions: String::new(),
            threads: 0,
            batch: "unknown".into(),
        };
        Ok(Endpoint {
            url,
            headers: sent,
            service,
            model,
            http,
            runtime: Handle::current(),
            lanes: Arc::new(Semaphore::new(LANES)),
            state: Mutex::default(),
            info,
            pins,
        })
    }

    /// How many of its requests go at once.
    pub fn lanes(&self) -> &Arc<Semaphore> {
        &self.lanes
    }

    /// Whether it may be promised: it has not failed a moment ago, and does not leave.
    pub fn takes_work(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !state.leaves && state.rests_until.is_none_or(|until| Instant::now() >= until)
    }

    /// Has it promise nothing more.
    pub fn leave(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).leaves = true;
    }

    /// Whether it leaves.
    pub fn leaves(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).leaves
    }

    /// Whether anything answers there, whatever it says.
    ///
    /// # Errors
    /// Why nothing does.
    pub async fn answers(&self) -> Result<(), String> {
        let asked = self.http.get(self.url.clone()).headers(self.headers.clone());
        let asked = asked.timeout(CONNECTING).send().await;
        asked.map(drop).map_err(|error| error.without_url().to_string())
    }

    async fn ask(&self, input: &[u8]) -> Result<Vec<u8>, LabourError> {
        let (body, media_type) = match self.service {
            Service::Write => (self.chat(input)?, "application/json"),
            _ => (input.to_vec(), "application/octet-stream"),
        };
        let mut pause = Duration::from_millis(200);
        for attempt in 1..=TRIES {
            let asked = tokio::time::timeout(PATIENCE, self.attempt(body.clone(), media_type));
            let late = || Err(Failed::Always(format!("it takes longer than {PATIENCE:?}")));
            match asked.await.unwrap_or_else(|_| late()) {
                Ok(answer) => return Ok(answer),
                Err(Failed::Input(reason)) => return Err(LabourError::BadText { reason }),
                Err(Failed::Now(_)) if attempt < TRIES => {
                    tokio::time::sleep(pause).await;
                    pause *= 4;
                }
                Err(Failed::Now(reason) | Failed::Always(reason)) => {
                    let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                    state.rests_until = Some(Instant::now() + REST);
                    return Err(LabourError::Endpoint { reason });
                }
            }
        }
        Err(LabourError::Endpoint { reason: "it was not asked".into() })
    }

    async fn attempt(&self, body: Vec<u8>, media_type: &'static str) -> Result<Vec<u8>, Failed> {
        let gone = |error: reqwest::Error| Failed::Now(error.without_url().to_string());
        let asked = self.http.post(self.url.clone()).header(CONTENT_TYPE, media_type);
        let mut answer =
            asked.headers(self.headers.clone()).body(body).send().await.map_err(gone)?;
        let status = answer.status();
        match status {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY => {
                return Err(Failed::Input(format!("its worker refuses it with {status}")));
            }
            StatusCode::TOO_MANY_REQUESTS => return Err(Failed::Now(format!("it says {status}"))),
            status if status.is_server_error() => {
                return Err(Failed::Now(format!("it says {status}")));
            }
            status => return Err(Failed::Always(format!("it says {status}"))),
        }
        let mut found = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(gone)? {
            if found.len() + chunk.len() > MOST_ANSWER {
                return Err(Failed::Always(format!("its answer has over {MOST_ANSWER} bytes")));
            }
            found.extend_from_slice(&chunk);
        }
        match self.service {
            Service::Write => said(&found),
            _ => match serde_json::from_slice::<serde::de::IgnoredAny>(&found) {
                Ok(_) => Ok(found),
                Err(_) => Err(Failed::Always("its answer is no JSON".into())),
            },
        }
    }

    /// A brief as OpenAI's API takes it.
    fn chat(&self, brief: &[u8]) -> Result<Vec<u8>, LabourError> {
        let chat = ChatRequest::from_json(brief)?;
        let mut body = json!({
            "model": self.model.as_deref().unwrap_or("default"), "messages": chat.messages,
            "temperature": chat.temperature, "top_p": chat.top_p, "seed": chat.seed, "stream": false,
        });
        if let Some(most) = chat.max_tokens {
            body["max_tokens"] = most.into();
        }
        if !chat.stop.is_empty() {
            body["stop"] = chat.stop.into();
        }
        Ok(body.to_string().into_bytes())
    }
}

/// What of OpenAI's form is read; whatever else a server says is left out.
#[derive(Deserialize)]
struct Completion {
    model: String,
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: usize,
    completion_tokens: usize,
}

/// A completion in the form in which chats are delivered here.
fn said(answer: &[u8]) -> Result<Vec<u8>, Failed> {
    let no = || Failed::Always("its answer is no chat completion".into());
    let Completion { model, choices, usage } = serde_json::from_slice(answer).map_err(|_| no())?;
    let choice = choices.into_iter().next().ok_or_else(no)?;
    let text = choice.message.content.filter(|text| !text.is_empty()).ok_or_else(no)?;
    let finish = match choice.finish_reason.as_deref() {
        Some("length") => Finish::Length,
        _ => Finish::Stop,
    };
    let (prompt_tokens, completion_tokens) =
        usage.map_or((0, 0), |usage| (usage.prompt_tokens, usage.completion_tokens));
    let usage = Usage { prompt_tokens, completion_tokens };
    Ok(ChatAnswer { model, text, finish, usage }.to_json())
}

impl Worker for Endpoint {
    fn describe(&self) -> &WorkerInfo {
        &self.info
    }

    fn pins(&self) -> &Pins {
        &self.pins
    }

    fn measured(&self) -> Measured {
        // The effort is another computer's: nothing of it is seen here.
        Measured { unit: "request", units: 0, busy_micros: 0 }
    }

    fn work(&self, input: &[u8]) -> Result<Work, LabourError> {
        let bytes = self.runtime.block_on(self.ask(input))?;
        Ok(Work { media_type: self.info.gives, bytes })
    }
}
