//! The language machine: a chat in, an answer out, token by token.
//!
//! SmolLM2-135M-Instruct, or any other decoder in a GGUF file, on llama.cpp. [`LanguageWorker::load`]
//! fetches what is missing, checks it and starts one thread that computes all chats together
//! ([`engine`](self)); memory is fixed at the start: the weights (98 MB, mapped) and
//! [`Settings::seats`] × [`Settings::context`] cells (23 kB each for this model).
//!
//! Greedy answers (temperature 0, as is usual) and seeded ones are the same bytes each time: with the
//! same weights, the same release of llama.cpp and the same kind of processor, whoever else is being
//! served and on however many threads. [`LanguageWorker::pins`] names what must be the same.

mod chat;
mod engine;
mod pace;
mod sampling;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde::Serialize;

use chat::Template;
pub use chat::{
    ChatRequest, MAX_BYTES, MAX_MESSAGES, MAX_STOP_BYTES, MAX_STOPS, Message, Role, USUAL_TOKENS,
};
use engine::{Engine, Job, PIECE};

use crate::LabourError;
use crate::cache::{Cache, digest};
use crate::fetch::{FetchProgress, fetch, unwatched};
use crate::llama::{Context, Library, Model, Step, Token};
use crate::manifest::manifest;
use crate::meter::{Measured, Meter};
use crate::worker::{Pins, Work, Worker, WorkerInfo};

/// What SmolLM2 is told where a chat does not begin with a system message. The sentence in its own
/// template, which names the model, makes it answer a question about France in bad French.
const SYSTEM: &str = "You are a helpful assistant.";

/// How much the machine does at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Chats that are served at once.
    pub seats: usize,
    /// Tokens of a chat, with its answer; no more than the network was trained for.
    pub context: usize,
    /// Chats that may wait for a seat.
    pub waiting: usize,
    /// The most threads that compute; fewer do where that is faster.
    pub threads: usize,
}

impl Default for Settings {
    /// Eight chats of 2048 tokens, 64 that wait, and a thread a core, at most four.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Settings { seats: 8, context: 2048, waiting: 64, threads: cores.min(4) }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The network said so, or a stop was met.
    Stop,
    /// It had as many tokens as were asked for, or as fit.
    Length,
}

/// What a chat took, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the chat so far, with the marks of its turns.
    pub prompt_tokens: usize,
    /// Tokens of the answer, without its end mark.
    pub completion_tokens: usize,
}

/// What happens to a chat. [`Event::Done`] or [`Event::Failed`] comes once, and last.
#[derive(Debug)]
pub enum Event {
    /// The next words.
    Text(String),
    /// The answer is whole.
    Done(Finish, Usage),
    /// The machine broke down.
    Failed(LabourError),
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChatAnswer {
    /// The model, with the head of its weights' sha256.
    pub model: String,
    /// What was said.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// What it took.
    pub usage: Usage,
}

impl ChatAnswer {
    /// Canonical JSON: fixed key order, no space.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers in derived structs: serialising them cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// An answer on its way; dropping it gives it up.
pub struct ChatStream {
    events: Receiver<Event>,
    ended: bool,
}

impl Iterator for ChatStream {
    type Item = Event;

    /// Waits for the next event.
    fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.events.recv().unwrap_or_else(|_| {
            Event::Failed(LabourError::Language {
                doing: "finish",
                message: "its thread has ended".into(),
            })
        });
        self.ended = !matches!(event, Event::Text(_));
        Some(event)
    }
}

/// A machine that speaks. Share it behind an `Arc`.
pub struct LanguageWorker {
    info: WorkerInfo,
    pins: Pins,
    model: Arc<Model>,
    template: Template,
    engine: Engine,
    meter: Arc<Meter>,
    context: usize,
    /// How chats begin that have no system message; none: as the network's template has it.
    system: Option<&'static str>,
}

impl LanguageWorker {
    /// Loads the machine as it is usual, fetching in silence what is not in the cache. Blocks.
    ///
    /// # Errors
    /// As [`LanguageWorker::load_with`].
    pub fn load(cache: &Cache) -> Result<Self, LabourError> {
        Self::load_with(cache, Settings::default(), &unwatched)
    }

    /// Loads the machine with SmolLM2, and tells how fetching goes. Blocks.
    ///
    /// # Errors
    /// Whatever [`fetch`] meets; [`LabourError::Language`] if what was fetched cannot be used.
    pub fn load_with(
        cache: &Cache,
        settings: Settings,
        progress: &dyn Fn(FetchProgress<'_>),
    ) -> Result<Self, LabourError> {
        let weights = fetch(cache, manifest("smollm2-135m")?, progress)?;
        let library = library(cache, progress)?;
        let pinned = weights.manifest();
        let model = format!("{}@{}", pinned.name, &weights.files()[0].1.sha256[..8]);
        let info = info(&pinned.summary, &model, &pinned.licence);
        let pins = pins(&library, &weights.files()[0].1.sha256, settings);
        Self::start(&library, weights.path(), info, pins, settings, Some(SYSTEM))
    }

    /// Loads the machine with a GGUF file of its owner's. Blocks; reads the file once to name it.
    ///
    /// # Errors
    /// As [`LanguageWorker::load_with`]; [`LabourError::Io`] if the file cannot be read.
    pub fn load_file(
        cache: &Cache,
        weights: &Path,
        settings: Settings,
        progress: &dyn Fn(FetchProgress<'_>),
    ) -> Result<Self, LabourError> {
        let sha256 = digest(weights)?;
        let library = library(cache, progress)?;
        let name =
            weights.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy());
        let model = format!("{name}@{}", &sha256[..8]);
        let info = info("Answers a chat, token by token.", &model, "as its owner says");
        let pins = pins(&library, &sha256, settings);
        Self::start(&library, weights, info, pins, settings, None)
    }

    fn start(
        library: &Library,
        weights: &Path,
        info: WorkerInfo,
        pins: Pins,
        settings: Settings,
        system: Option<&'static str>,
    ) -> Result<Self, LabourError> {
        let Settings { seats, context, threads, .. } = settings;
        let fits = (1..=256).contains(&seats) && context >= PIECE && (1..=512).contains(&threads);
        if !fits {
            return Err(LabourError::Language {
                doing: "be set up",
                message: format!(
                    "{settings:?}: 1 to 256 seats, at least {PIECE} tokens, 1 to 512 threads"
                ),
            });
        }
        let model = Arc::new(Model::load(library, weights)?);
        let context = context.min(model.trained_context().max(1) as usize);
        let template = Template::of(&model)?;
        let memory = Context::new(&model, seats, context, PIECE.max(seats), threads)?;
        let context = memory.length();
        let meter = Arc::new(Meter::new("token"));
        let engine = Engine::start(model.clone(), memory, &settings, meter.clone())?;
        Ok(LanguageWorker { info, pins, model, template, engine, meter, context, system })
    }

    /// Begins an answer and hands each event to `sink`, on the machine's own thread: it must not
    /// block. A sink that returns false gives the answer up.
    ///
    /// # Errors
    /// [`LabourError::BadChat`] and [`LabourError::ChatTooLong`] for a bad request,
    /// [`LabourError::Busy`] if too many wait already.
    pub fn start_chat(
        &self,
        request: ChatRequest,
        sink: impl FnMut(Event) -> bool + Send + 'static,
    ) -> Result<(), LabourError> {
        let prompt = self.prompt(request.clone())?;
        if prompt.is_empty() || prompt.len() >= self.context {
            return Err(LabourError::ChatTooLong { tokens: prompt.len(), limit: self.context - 1 });
        }
        let room = self.context - prompt.len();
        let most = request.max_tokens.unwrap_or(USUAL_TOKENS).min(room);
        self.engine.submit(Job { prompt, request, most, sink: Box::new(sink) })
    }

    /// The tokens of a chat, with what the machine is told where it begins without a system message.
    fn prompt(&self, mut request: ChatRequest) -> Result<Vec<Token>, LabourError> {
        request.check()?;
        if let Some(system) = self.system
            && request.messages[0].role != Role::System
        {
            let message = Message { role: Role::System, content: system.to_owned() };
            request.messages.insert(0, message);
        }
        self.template.tokens(&self.model, &request.messages)
    }

    /// Begins an answer, to be read as it comes.
    ///
    /// # Errors
    /// As [`LanguageWorker::start_chat`].
    pub fn stream(&self, request: ChatRequest) -> Result<ChatStream, LabourError> {
        // Not bounded, and yet: no chat has more events than tokens fit into a seat.
        let (sender, events) = channel();
        self.start_chat(request, move |event| sender.send(event).is_ok())?;
        Ok(ChatStream { events, ended: false })
    }

    /// A whole answer. Blocks.
    ///
    /// # Errors
    /// As [`LanguageWorker::start_chat`]; [`LabourError::Language`] if the machine broke down.
    pub fn chat(&self, request: ChatRequest) -> Result<ChatAnswer, LabourError> {
        let mut text = String::new();
        for event in self.stream(request)? {
            match event {
                Event::Text(more) => text.push_str(&more),
                Event::Done(finish, usage) => {
                    return Ok(ChatAnswer { model: self.info.model.clone(), text, finish, usage });
                }
                Event::Failed(error) => return Err(error),
            }
        }
        Err(LabourError::Language { doing: "finish", message: "the answer broke off".into() })
    }

    /// What llama.cpp alone does with the same weights, without seats, fairness or a stream: computes
    /// `chats` copies of a chat side by side on so many threads, `tokens` each, greedily. Returns how
    /// long it took, the prompt's reading included. For measurements.
    ///
    /// # Errors
    /// As [`LanguageWorker::chat`].
    pub fn bare(
        &self,
        request: &ChatRequest,
        chats: usize,
        tokens: usize,
        threads: usize,
    ) -> Result<Duration, LabourError> {
        let prompt = self.prompt(request.clone())?;
        let length = (prompt.len() + tokens).next_multiple_of(PIECE);
        let most = PIECE.max(chats);
        let mut memory = Context::new(&self.model, chats.max(1), length, most, threads.max(1))?;
        memory.set_threads(threads.max(1));
        let started = Instant::now();
        let mut next = vec![0; chats];
        let last = prompt.len() - 1;
        for (seat, next) in next.iter_mut().enumerate() {
            for (number, piece) in prompt.chunks(PIECE).enumerate() {
                let step = |(index, &token): (usize, &Token)| {
                    let at = number * PIECE + index;
                    Step { token, at, seat, wanted: at == last }
                };
                let steps: Vec<Step> = piece.iter().enumerate().map(step).collect();
                memory.compute(&steps)?;
                if steps.iter().any(|step| step.wanted) {
                    *next = sampling::greedy(memory.logits(steps.len() - 1)?).unwrap_or(0);
                }
            }
        }
        for spoken in 1..tokens {
            let at = last + spoken;
            let step = |(seat, &token): (usize, &Token)| Step { token, at, seat, wanted: true };
            let steps: Vec<Step> = next.iter().enumerate().map(step).collect();
            memory.compute(&steps)?;
            for (index, next) in next.iter_mut().enumerate() {
                *next = sampling::greedy(memory.logits(index)?).unwrap_or(0);
            }
        }
        Ok(started.elapsed())
    }

    /// How many tokens a text has, without marks.
    ///
    /// # Errors
    /// [`LabourError::BadChat`] for a text of more than [`MAX_BYTES`].
    pub fn count(&self, text: &str) -> Result<usize, LabourError> {
        if text.len() > MAX_BYTES {
            let reason = format!("the text has {} bytes; send at most {MAX_BYTES}", text.len());
            return Err(LabourError::BadChat { reason });
        }
        Ok(self.model.tokens(text, false, false)?.len())
    }

    /// Tokens that a chat may have, with its answer.
    pub fn context(&self) -> usize {
        self.context
    }
}

impl Worker for LanguageWorker {
    fn describe(&self) -> &WorkerInfo {
        &self.info
    }

    fn pins(&self) -> &Pins {
        &self.pins
    }

    fn measured(&self) -> Measured {
        self.meter.measured()
    }

    fn work(&self, input: &[u8]) -> Result<Work, LabourError> {
        let bytes = self.chat(ChatRequest::from_json(input)?)?.to_json();
        Ok(Work { media_type: self.info.gives, bytes })
    }
}

fn info(summary: &str, model: &str, licence: &str) -> WorkerInfo {
    WorkerInfo {
        name: "language/chat",
        summary: summary.to_owned(),
        model: model.to_owned(),
        licence: licence.to_owned(),
        takes: vec!["application/json"],
        gives: "application/json",
        max_bytes: 6 * MAX_BYTES,
    }
}

fn pins(library: &Library, weights: &str, settings: Settings) -> Pins {
    Pins {
        weights: weights.to_owned(),
        engine: Library::release(),
        instructions: library.variant().to_owned(),
        threads: settings.threads,
        batch: "any: each chat is computed as if alone".into(),
    }
}

fn library(cache: &Cache, progress: &dyn Fn(FetchProgress<'_>)) -> Result<Library, LabourError> {
    let fetched = fetch(cache, manifest("llama.cpp")?, progress)?;
    let files: Vec<PathBuf> = fetched.files().iter().map(|(path, _)| path.clone()).collect();
    Library::load(&files)
}
