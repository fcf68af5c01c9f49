//! `/m/NAME/a2a`: a machine's paid work for other agents, over A2A 1.0 (JSON-RPC over HTTP, with
//! server-sent events).
//!
//! The types and errors are those of the protocol's own crate `a2a-lf`; its server is not used, since
//! it keeps tasks without bounds, and brings a client for push notifications, which would send what
//! strangers name to where they name it (decision 22). How a task is paid is [`payments::a2a`].
//!
//! A message with work to do makes a task, which asks for its price (`INPUT_REQUIRED`); a message with
//! its number and the payment has it worked on, and its artifact is the answer. Work and payment may
//! also come in one message. The same payment for the same task gives the same answer, again and again.
//! Words alone are answered with what is done here, and at what price, unless words are what the machine
//! works on ([`Reads::Request`]): no words of a message ever command anything. With the number of a task
//! they are talk in any case, for who says "here is the payment" wants no other work. An agent whose machine sells nothing at a counter of its own ([`Agent::guide`]) answers
//! everything so, and tells where it is hired.
//!
//! Bounds: a request by the offer's largest input and [`MOST_VALUES`], requests on their way by
//! [`ARRIVING`] and [`LONGEST_WAY`], calls at once by [`AT_ONCE`], each by [`LONGEST_CALL`], who waits by
//! [`MOST_WAITERS`], what is worked on by [`MOST_WORKS`], streams by [`MOST_STREAMS`]; tasks by [`tasks`].
//! Who finds no place is told so at once, and never queues. Who sends slowly or waits long takes no
//! place from who is answered at once.

mod card;
mod reading;
mod tasks;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::a2a::{
    A2AError, Artifact, CancelTaskRequest, GetTaskRequest, JsonRpcId, JsonRpcRequest,
    JsonRpcResponse, ListTasksRequest, ListTasksResponse, Message, Part, Role, SendMessageRequest,
    SendMessageResponse, StreamResponse, SubscribeToTaskRequest, Task, TaskState, methods,
};
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest as _, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use money::Clock;
use payments::Offer;
use payments::a2a::{Call, Intent, Outcome, values};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, broadcast};
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use tower_http::timeout::TimeoutLayer;

pub use reading::Reads;
use tasks::{Input, PaymentName, Said, Taken, Tasks, rests};

/// The largest answer, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;
/// What a request may have besides its input: the payment, and some words.
const ROOM: usize = 256 * 1024;
/// How many calls are worked on at once; each may hold its input in memory more than once.
const AT_ONCE: usize = 16;
/// How many requests may be on their way at once, and how long one may take.
const ARRIVING: usize = 64;
const LONGEST_WAY: Duration = Duration::from_secs(30);
/// The most values that a request is made of: in memory each is many times what it is as a text.
const MOST_VALUES: usize = 16_384;
/// How many calls may wait for a task's end; who comes then is told how the task is now.
const MOST_WAITERS: usize = 64;
/// How long a call may take: the gate's waits for work and settlement, and the way of its input.
const LONGEST_CALL: Duration = Duration::from_secs(120);
/// How many tasks are put through the gate at once, whether their clients wait or not.
const MOST_WORKS: usize = 2 * AT_ONCE;
/// The most of a fault's words that is told: they may repeat what was sent.
const LONGEST_FAULT: usize = 300;
/// How many streams are open at once.
const MOST_STREAMS: usize = 64;
/// How long a stream stays open on a task of which nothing is heard.
const LONGEST_SILENCE: Duration = Duration::from_secs(10 * 60);
/// How often a stream that has nothing to tell says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The longest number of a task, context or message that a client may choose, in bytes.
const LONGEST_ID: usize = 128;
/// How many parts a message may have.
const MOST_PARTS: usize = 16;
/// The most tasks on one page of a list, and how many if nothing is said (A2A 1.0, `ListTasks`).
const LARGEST_PAGE: i32 = 100;
const USUAL_PAGE: i32 = 50;
/// By which header a client says what version it speaks; one that says nothing speaks 0.3.
const VERSION_HEADER: &str = "a2a-version";
/// By which headers a client says which extensions it uses: A2A 1.0's name, and the older one.
const EXTENSION_HEADERS: [&str; 2] = ["a2a-extensions", "x-a2a-extensions"];

/// Tells whether something is here now.
pub type IsHere = Arc<dyn Fn() -> bool + Send + Sync>;

/// A service behind the gate.
pub type Paid = BoxCloneSyncService<Request<Body>, Response, Infallible>;

/// What an agent does, for whom it is made known.
#[derive(Debug, Clone)]
pub struct Skill {
    /// The machine's name.
    pub machine: String,
    /// What the skill is called by programs.
    pub id: String,
    /// What it is called by people.
    pub title: String,
    /// Words by which it is found.
    pub tags: Vec<String>,
    /// Media types that it takes.
    pub takes: Vec<String>,
    /// Media types that it gives.
    pub gives: Vec<String>,
    /// Where more is told of it, below the economy's address.
    pub page: String,
    /// The path that its service reads, from a slash on.
    pub target: String,
    /// What of a message is worked on.
    pub reads: Reads,
}

/// What an agent sells, and the service behind the gate that does it.
pub struct Sale {
    /// Its price and terms.
    pub offer: Offer,
    /// The service.
    pub paid: Paid,
    /// Whether what it takes to do it is on this machine; none where it always is. What is not here is not
    /// for sale: then there is no card either.
    pub is_here: Option<IsHere>,
}

/// An agent that is open.
pub struct Agent {
    base: String,
    skill: Skill,
    /// What it is and does, for people.
    about: String,
    /// None for one that only tells where its machine is hired.
    sale: Option<Sale>,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
    entropy: fn() -> [u8; 32],
    streams: Arc<Semaphore>,
    works: Arc<Semaphore>,
    arriving: Semaphore,
    calls: Semaphore,
    waiters: Semaphore,
}

/// Where a machine's card is, below the economy's address.
pub fn card_path(machine: &str) -> String {
    format!("/m/{machine}/.well-known/agent-card.json")
}

/// Where a machine answers.
pub fn path(machine: &str) -> String {
    format!("/m/{machine}/a2a")
}

impl Agent {
    /// The agent at the economy's address `base` that sells.
    pub fn seller(
        base: String,
        skill: Skill,
        sale: Sale,
        clock: Arc<dyn Clock>,
        entropy: fn() -> [u8; 32],
    ) -> Arc<Agent> {
        let about = sale.offer.description.clone();
        Agent::new(base, skill, about, Some(sale), clock, entropy)
    }

    /// An agent that sells nothing itself: to whatever is said it tells in words what its machine does and
    /// where it is hired. It has no tasks.
    pub fn guide(
        base: String,
        skill: Skill,
        about: String,
        clock: Arc<dyn Clock>,
        entropy: fn() -> [u8; 32],
    ) -> Arc<Agent> {
        Agent::new(base, skill, about, None, clock, entropy)
    }

    fn new(
        base: String,
        skill: Skill,
        about: String,
        sale: Option<Sale>,
        clock: Arc<dyn Clock>,
        entropy: fn() -> [u8; 32],
    ) -> Arc<Agent> {
        let streams = Arc::new(Semaphore::new(MOST_STREAMS));
        let works = Arc::new(Semaphore::new(MOST_WORKS));
        let tasks = Tasks::default();
        Arc::new(Agent {
            base,
            skill,
            about,
            sale,
            tasks,
            clock,
            entropy,
            streams,
            works,
            arriving: Semaphore::new(ARRIVING),
            calls: Semaphore::new(AT_ONCE),
            waiters: Semaphore::new(MOST_WAITERS),
        })
    }

    /// Its routes: its card, and where it answers.
    pub fn router(self: &Arc<Self>) -> Router {
        // In base64 an input is a third larger.
        let most = self.most() / 3 * 4 + ROOM;
        let calls = Router::new()
            .route(&path(&self.skill.machine), post(answer))
            .layer(DefaultBodyLimit::max(most))
            .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, LONGEST_CALL));
        Router::new()
            .route(&card_path(&self.skill.machine), get(card))
            .merge(calls)
            .layer(axum::middleware::from_fn_with_state(self.clone(), only_if_here))
            .with_state(self.clone())
    }

    /// What it tells of itself.
    pub fn card(&self) -> ::a2a::AgentCard {
        let price = self.sale.as_ref().map(|sale| sale.offer.price);
        card::of(&self.base, &self.skill, &self.about, price)
    }

    /// Whether it sells something itself.
    pub fn sells(&self) -> bool {
        self.sale.is_some()
    }

    /// Whether it is here to be spoken to.
    pub fn is_here(&self) -> bool {
        let asked = self.sale.as_ref().and_then(|sale| sale.is_here.as_ref());
        asked.is_none_or(|is_here| is_here())
    }

    /// The most bytes that it takes to work on.
    fn most(&self) -> usize {
        self.sale.as_ref().map_or(0, |sale| sale.offer.max_body)
    }

    /// Ends all streams and forgets all tasks.
    pub fn close(&self) {
        self.streams.close();
        self.tasks.close();
    }

    /// A number that nobody can guess.
    fn number(&self) -> String {
        hex::encode(&(self.entropy)()[..16])
    }

    // ---- messages ----------------------------------------------------------------------------

    /// Takes a message in: the task that it is about, which is worked on in a task of its own, or an
    /// answer to mere words.
    fn take(
        self: &Arc<Self>,
        request: SendMessageRequest,
    ) -> Result<SendMessageResponse, A2AError> {
        let mut message = request.message;
        // Some clients write what they leave out as an empty text.
        message.task_id = message.task_id.filter(|id| !id.is_empty());
        message.context_id = message.context_id.filter(|id| !id.is_empty());
        check(&message)?;
        if request.configuration.as_ref().is_some_and(|c| c.task_push_notification_config.is_some())
        {
            return Err(A2AError::push_notification_not_supported());
        }
        let metadata = message.metadata.as_ref();
        let payment = match Intent::read(|name| metadata.and_then(|said| said.get(name))) {
            Intent::None => None,
            Intent::Pays(payment) => Some(payment.clone()),
            Intent::Declines => return self.decline(&message),
            Intent::Unclear(said) => return Err(A2AError::invalid_params(said)),
        };
        if self.sale.is_none() {
            // A task is somewhere else: nothing is taken, whatever comes.
            return match &message.task_id {
                Some(id) => self.tasks.get(id).map(SendMessageResponse::Task),
                None => Ok(SendMessageResponse::Message(self.introduction(&message))),
            };
        }
        let input = self.input(&message)?;
        // Taken before anything changes: who finds no place finds its task as it was.
        let place = self.works.clone().try_acquire_owned().map_err(|_| {
            A2AError::internal("too much is being worked on; send the same again in a moment")
        })?;
        let id = match message.task_id.clone() {
            None => match input {
                None => return Ok(SendMessageResponse::Message(self.introduction(&message))),
                Some(input) => self.begin(message, input),
            },
            Some(id) => {
                let task = self.tasks.get(&id)?;
                if message.context_id.as_ref().is_some_and(|context| *context != task.context_id) {
                    return Err(A2AError::invalid_params("the task is of another context"));
                }
                if let Some(input) = input
                    && self.tasks.input(&id)?.as_ref() != Some(&input)
                {
                    self.tasks.replace(&id, input, self.clock.now())?;
                }
                id
            }
        };
        match payment {
            None => self.ask(&id, place)?,
            Some(payment) => {
                let name = Sha256::digest(payment.to_string()).into();
                match self.tasks.take(&id, name, self.clock.now())? {
                    Taken::Known => {}
                    Taken::Work(input) => {
                        self.work(id.clone(), input, Some((payment, name)), place);
                    }
                }
            }
        }
        self.tasks.get(&id).map(SendMessageResponse::Task)
    }

    fn begin(&self, message: Message, input: Input) -> String {
        let id = self.number();
        let context = message.context_id.clone().unwrap_or_else(|| self.number());
        self.tasks.begin(id.clone(), context, message, input, self.clock.now());
        id
    }

    /// Asks the gate for the price of a task that waits for it.
    fn ask(self: &Arc<Self>, id: &str, place: OwnedSemaphorePermit) -> Result<(), A2AError> {
        match (self.tasks.get(id)?.status.state, self.tasks.input(id)?) {
            (TaskState::Submitted | TaskState::InputRequired, Some(input)) => {
                self.work(id.to_string(), input, None, place);
                Ok(())
            }
            (TaskState::Working, _) => {
                Err(A2AError::unsupported_operation("the task is being worked on"))
            }
            _ => Err(A2AError::unsupported_operation(
                "the task is over; send a message without its number",
            )),
        }
    }

    /// Puts a task through the gate, whoever hangs up.
    fn work(
        self: &Arc<Self>,
        id: String,
        input: Input,
        paid: Option<(Value, PaymentName)>,
        place: OwnedSemaphorePermit,
    ) {
        let agent = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let (payment, name) = paid.unzip();
            let Some(sale) = &agent.sale else { return };
            let outcome = outcome(sale, input, payment.as_ref()).await;
            let network = payments::wire::network(sale.offer.token.chain_id);
            let receipt = payment.as_ref().and_then(|_| outcome.receipt(&network));
            let artifact = agent.artifact(&outcome);
            let said = |receipts: &[Value]| said(&outcome, receipts);
            let now = agent.clock.now();
            agent.tasks.tell(&id, name, receipt, artifact, said, now);
        });
    }

    fn artifact(&self, outcome: &Outcome) -> Option<Artifact> {
        let Outcome::Delivered { media_type, body, .. } = outcome else { return None };
        let part = match serde_json::from_slice::<Value>(body) {
            Ok(data) if media_type.starts_with("application/json") => Part::data(data),
            _ => match std::str::from_utf8(body) {
                Ok(text) if media_type.starts_with("text/") => Part::text(text),
                _ => Part::raw(body.to_vec()),
            },
        };
        Some(Artifact {
            artifact_id: self.number(),
            name: Some(self.skill.id.clone()),
            description: None,
            parts: vec![part.with_media_type(media_type.as_str())],
            metadata: None,
            extensions: None,
        })
    }

    /// A client will not pay: its task is over, and cost nothing.
    fn decline(&self, message: &Message) -> Result<SendMessageResponse, A2AError> {
        let id = message.task_id.as_deref().ok_or_else(|| {
            A2AError::invalid_params("a message that declines to pay names its task")
        })?;
        let said = Said {
            state: TaskState::Failed,
            text: "The price was declined; nothing was done and nothing was charged.".into(),
            metadata: payments::a2a::declined(),
        };
        self.tasks.cancel(id, said, self.clock.now()).map(SendMessageResponse::Task)
    }

    /// What is told to who only talks.
    fn introduction(&self, message: &Message) -> Message {
        let Skill { machine, .. } = &self.skill;
        let text = match &self.sale {
            Some(sale) => {
                let what = match &self.skill.reads {
                    Reads::File { .. } => "the file's bytes as a part with `raw`",
                    Reads::Request { .. } => "words, or a request as a part with `data`",
                };
                format!(
                    "I am {machine}. {} It costs {}: send {what}, and I will answer with the price to be \
                     paid by x402.",
                    self.about, sale.offer.price
                )
            }
            None => format!("I am {machine}. {}", self.about),
        };
        let mut answer = Message::new(Role::Agent, vec![Part::text(text)]);
        answer.context_id = Some(message.context_id.clone().unwrap_or_else(|| self.number()));
        answer
    }

    // ---- tasks -------------------------------------------------------------------------------

    fn list(&self, request: ListTasksRequest) -> Result<ListTasksResponse, A2AError> {
        let size = request.page_size.unwrap_or(USUAL_PAGE);
        if !(1..=LARGEST_PAGE).contains(&size) {
            let said = format!("`pageSize` is 1 to {LARGEST_PAGE}");
            return Err(A2AError::invalid_params(said));
        }
        check_history(request.history_length)?;
        let skip: usize = match request.page_token.as_deref().unwrap_or("") {
            "" => 0,
            token => token
                .parse()
                .map_err(|_| A2AError::invalid_params("`pageToken` is none that was given here"))?,
        };
        // Nobody shows who they are: whose tasks they are is shown by the number of their context.
        let context = request.context_id.unwrap_or_default();
        let state = request.status.filter(|state| *state != TaskState::Unspecified);
        let after = request.status_timestamp_after;
        let found = self.tasks.list(&context, |task| {
            state.as_ref().is_none_or(|state| task.status.state == *state)
                && after.is_none_or(|after| task.status.timestamp.is_some_and(|at| at >= after))
        });
        let page = usize::try_from(size).unwrap_or(1);
        let total = found.len();
        let mut tasks: Vec<Task> = found.into_iter().skip(skip).take(page).collect();
        for task in &mut tasks {
            shorten(task, request.history_length);
            if request.include_artifacts != Some(true) {
                task.artifacts = None;
            }
        }
        let next = skip.saturating_add(page);
        Ok(ListTasksResponse {
            tasks,
            next_page_token: if next < total { next.to_string() } else { String::new() },
            page_size: size,
            total_size: i32::try_from(total).unwrap_or(i32::MAX),
        })
    }

    fn cancel(&self, id: &str) -> Result<Task, A2AError> {
        let said = Said {
            state: TaskState::Canceled,
            text: "Called off; nothing was charged.".into(),
            metadata: Map::new(),
        };
        self.tasks.cancel(id, said, self.clock.now())
    }

    /// Waits until a task rests.
    async fn rested(&self, id: &str) -> Result<Task, A2AError> {
        let (task, mut events) = self.tasks.listen(id)?;
        let mut state = task.status.state;
        while !rests(&state) {
            state = match events.recv().await {
                Ok(StreamResponse::StatusUpdate(update)) => update.status.state,
                Ok(_) => continue,
                // Too far behind, or put away: what it is now tells.
                Err(_) => self.tasks.get(id)?.status.state,
            };
        }
        self.tasks.get(id)
    }

    /// A task as it is, then all that it says, until it rests. A task that waits to be paid is
    /// listened to until it moves on, if `through` says so.
    fn listen(&self, id: &str, through: bool) -> Result<Listening, A2AError> {
        let place = self.streams.clone().try_acquire_owned().map_err(|_| {
            A2AError::internal("too many streams are open; ask again in a moment, or poll the task")
        })?;
        let (task, events) = self.tasks.listen(id)?;
        let ends = |state: &TaskState| if through { state.is_terminal() } else { rests(state) };
        let over = ends(&task.status.state);
        let first = Some(StreamResponse::Task(task));
        Ok(Listening { first, events, over, through, _place: place })
    }
}

/// A stream of a task's events.
struct Listening {
    first: Option<StreamResponse>,
    events: broadcast::Receiver<StreamResponse>,
    over: bool,
    through: bool,
    _place: OwnedSemaphorePermit,
}

impl Listening {
    async fn next(&mut self) -> Option<StreamResponse> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.over {
            return None;
        }
        // Whoever falls behind asks for the task: the stream ends.
        let event = tokio::time::timeout(LONGEST_SILENCE, self.events.recv()).await.ok()?.ok()?;
        if let StreamResponse::StatusUpdate(update) = &event {
            let state = &update.status.state;
            self.over = if self.through { state.is_terminal() } else { rests(state) };
        }
        Some(event)
    }
}

// ---- JSON-RPC --------------------------------------------------------------------------------

/// What is not here has no card and takes no messages.
async fn only_if_here(
    State(agent): State<Arc<Agent>>,
    request: Request<Body>,
    next: axum::middleware::Next,
) -> Response {
    if agent.is_here() {
        return next.run(request).await;
    }
    let said = "the model of this machine is not here; its owner can fetch it with `machina models --fetch`\n";
    (StatusCode::NOT_FOUND, said).into_response()
}

async fn card(State(agent): State<Arc<Agent>>) -> Response {
    let cached = [(header::CACHE_CONTROL, "public, max-age=60")];
    (cached, Json(agent.card())).into_response()
}

async fn answer(State(agent): State<Arc<Agent>>, request: Request<Body>) -> Response {
    let headers = request.headers().clone();
    if !is_json(&headers) {
        let mut error = A2AError::content_type_not_supported();
        error.message = "a request is JSON: say so by `Content-Type: application/json`".into();
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return (status, refused(JsonRpcId::Null, &error)).into_response();
    }
    let body = {
        let Ok(_place) = agent.arriving.try_acquire() else { return busy() };
        match tokio::time::timeout(LONGEST_WAY, Bytes::from_request(request, &())).await {
            Ok(Ok(body)) => body,
            Ok(Err(refusal)) => return refusal.into_response(),
            Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    };
    let Ok(place) = agent.calls.try_acquire() else { return busy() };
    let request = match read_request(&headers, &body) {
        Ok(request) => request,
        Err((id, error)) => return refused(id, &error),
    };
    drop(body);
    let id = request.id.clone();
    let mut response = match dispatch(&agent, request, place).await {
        Ok(response) => response,
        Err(error) => refused(id, &error),
    };
    if let Some(used) = extensions_in_use(&headers) {
        for name in EXTENSION_HEADERS {
            response.headers_mut().insert(HeaderName::from_static(name), used.clone());
        }
    }
    response
}

/// Too many are here already: the same may be sent again.
fn busy() -> Response {
    let error = A2AError::internal("too many calls are open; send the same again in a moment");
    let later = [(header::RETRY_AFTER, "1")];
    (StatusCode::SERVICE_UNAVAILABLE, later, refused(JsonRpcId::Null, &error)).into_response()
}

/// Whether a request says that it is JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let said = said.and_then(|said| said.split(';').next()).unwrap_or("");
    said.trim().eq_ignore_ascii_case("application/json")
}

fn read_request(headers: &HeaderMap, body: &[u8]) -> Result<JsonRpcRequest, (JsonRpcId, A2AError)> {
    if values(body) > MOST_VALUES {
        let error =
            A2AError::invalid_request(format!("a request has at most {MOST_VALUES} values"));
        return Err((JsonRpcId::Null, error));
    }
    let request: JsonRpcRequest = serde_json::from_slice(body).map_err(|fault| {
        let error = match fault.is_data() {
            true => A2AError::invalid_request(format!("this is no request: {}", words(&fault))),
            false => A2AError::parse_error(format!("this is not JSON: {}", words(&fault))),
        };
        let id = serde_json::from_slice::<Value>(body).ok();
        let id = id.and_then(|said| serde_json::from_value(said.get("id")?.clone()).ok());
        (id.unwrap_or(JsonRpcId::Null), error)
    })?;
    if request.jsonrpc != "2.0" {
        let error = A2AError::invalid_request("`jsonrpc` is \"2.0\"");
        return Err((request.id, error));
    }
    // Who says no version speaks 0.3 (A2A 1.0, section 3.6.2).
    let said = headers.get(VERSION_HEADER).and_then(|value| value.to_str().ok()).unwrap_or("0.3");
    if said.trim().split('.').next() != Some("1") {
        let said: String = said.chars().take(20).collect();
        let mut error = A2AError::version_not_supported(&said);
        error.message += "; this agent speaks 1.0: say so by the header `A2A-Version`";
        return Err((request.id, error));
    }
    Ok(request)
}

async fn dispatch(
    agent: &Arc<Agent>,
    request: JsonRpcRequest,
    place: SemaphorePermit<'_>,
) -> Result<Response, A2AError> {
    let JsonRpcRequest { id, method, params, .. } = request;
    match method.as_str() {
        methods::SEND_MESSAGE => {
            let asked: SendMessageRequest = read(params)?;
            let wanted = asked.configuration.clone();
            let history = wanted.as_ref().and_then(|wanted| wanted.history_length);
            check_history(history)?;
            let at_once = wanted.and_then(|wanted| wanted.return_immediately) == Some(true);
            let told = match agent.take(asked)? {
                SendMessageResponse::Task(mut task) => {
                    if !at_once && let Ok(_waits) = agent.waiters.try_acquire() {
                        drop(place);
                        task = agent.rested(&task.id).await?;
                    }
                    shorten(&mut task, history);
                    SendMessageResponse::Task(task)
                }
                message => message,
            };
            result(id, &told)
        }
        methods::SEND_STREAMING_MESSAGE => match agent.take(read(params)?)? {
            SendMessageResponse::Message(message) => {
                let event = event(&id, &StreamResponse::Message(message));
                let only = stream::once(async move { Ok::<_, Infallible>(event) });
                Ok(Sse::new(only).into_response())
            }
            SendMessageResponse::Task(task) => Ok(streamed(id, agent.listen(&task.id, false)?)),
        },
        methods::GET_TASK => {
            let asked: GetTaskRequest = read(params)?;
            check_history(asked.history_length)?;
            let mut task = agent.tasks.get(&asked.id)?;
            shorten(&mut task, asked.history_length);
            result(id, &task)
        }
        methods::LIST_TASKS => result(id, &agent.list(read(params)?)?),
        methods::CANCEL_TASK => {
            let asked: CancelTaskRequest = read(params)?;
            result(id, &agent.cancel(&asked.id)?)
        }
        methods::SUBSCRIBE_TO_TASK => {
            let asked: SubscribeToTaskRequest = read(params)?;
            if agent.tasks.get(&asked.id)?.status.state.is_terminal() {
                return Err(A2AError::unsupported_operation("the task is over; get it instead"));
            }
            Ok(streamed(id, agent.listen(&asked.id, true)?))
        }
        methods::CREATE_PUSH_CONFIG
        | methods::GET_PUSH_CONFIG
        | methods::LIST_PUSH_CONFIGS
        | methods::DELETE_PUSH_CONFIG => Err(A2AError::push_notification_not_supported()),
        methods::GET_EXTENDED_AGENT_CARD => Err(A2AError::unsupported_operation(
            "there is one card for everyone, at .well-known/agent-card.json",
        )),
        other => Err(A2AError::method_not_found(&other.chars().take(80).collect::<String>())),
    }
}

fn read<T: DeserializeOwned>(params: Option<Value>) -> Result<T, A2AError> {
    serde_json::from_value(params.unwrap_or_else(|| Value::Object(Map::new()))).map_err(|fault| {
        A2AError::invalid_params(format!("`params` cannot be read: {}", words(&fault)))
    })
}

/// What is wrong, without all that was sent.
fn words(fault: &serde_json::Error) -> String {
    fault.to_string().chars().take(LONGEST_FAULT).collect()
}

fn result(id: JsonRpcId, told: &impl Serialize) -> Result<Response, A2AError> {
    let told = serde_json::to_value(told).map_err(|fault| A2AError::internal(fault.to_string()))?;
    Ok(Json(JsonRpcResponse::success(id, told)).into_response())
}

fn refused(id: JsonRpcId, error: &A2AError) -> Response {
    Json(JsonRpcResponse::error(id, error.to_jsonrpc_error())).into_response()
}

fn streamed(id: JsonRpcId, listening: Listening) -> Response {
    let events = stream::unfold((id, listening), |(id, mut listening)| async move {
        let told = listening.next().await?;
        let event = event(&id, &told);
        Some((Ok::<_, Infallible>(event), (id, listening)))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

fn event(id: &JsonRpcId, told: &StreamResponse) -> Event {
    let told = serde_json::to_value(told).unwrap_or_default();
    let response = JsonRpcResponse::success(id.clone(), told);
    Event::default().data(serde_json::to_string(&response).unwrap_or_default())
}

/// Those of our extensions that the client says it uses.
fn extensions_in_use(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = EXTENSION_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    let asked: Vec<&str> =
        asked.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
    let used: Vec<&str> = payments::a2a::EXTENSIONS
        .into_iter()
        .filter(|known| asked.iter().any(|said| said.trim() == *known))
        .collect();
    HeaderValue::from_str(&used.join(", ")).ok().filter(|_| !used.is_empty())
}

/// Refuses a message that is none, or beyond the bounds.
fn check(message: &Message) -> Result<(), A2AError> {
    let refuse = |said: String| Err(A2AError::invalid_params(said));
    if message.role != Role::User {
        return refuse("a client's message has the role ROLE_USER".into());
    }
    if message.message_id.is_empty() || message.parts.is_empty() {
        return refuse("a message has a `messageId` and at least one part".into());
    }
    let ids = [Some(&message.message_id), message.task_id.as_ref(), message.context_id.as_ref()];
    if ids.into_iter().flatten().any(|id| id.len() > LONGEST_ID) {
        return refuse(format!("no number may be longer than {LONGEST_ID} bytes"));
    }
    if message.parts.len() > MOST_PARTS {
        return refuse(format!("a message has at most {MOST_PARTS} parts"));
    }
    Ok(())
}

fn check_history(length: Option<i32>) -> Result<(), A2AError> {
    match length {
        Some(length) if length < 0 => {
            Err(A2AError::invalid_params("`historyLength` is not negative"))
        }
        _ => Ok(()),
    }
}

/// Leaves the last of a task's history: all if nothing is said, none if 0 is.
fn shorten(task: &mut Task, length: Option<i32>) {
    let (Some(length), Some(history)) = (length, task.history.as_mut()) else { return };
    let keep = usize::try_from(length).unwrap_or(usize::MAX);
    history.drain(..history.len().saturating_sub(keep));
    if history.is_empty() {
        task.history = None;
    }
}

/// What comes of putting an input through the gate.
async fn outcome(sale: &Sale, input: Input, payment: Option<&Value>) -> Outcome {
    let call =
        Call { target: &input.target, media_type: &input.media_type, body: input.body, payment };
    let request = match payments::a2a::request(&sale.offer, call) {
        Ok(request) => request,
        Err(outcome) => return outcome,
    };
    let response = sale.paid.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
    payments::a2a::outcome(&sale.offer, response, MAX_ANSWER).await
}

/// What a task says of its outcome.
fn said(outcome: &Outcome, receipts: &[Value]) -> Said {
    let (state, text) = match outcome {
        Outcome::Asked(_) => {
            (TaskState::InputRequired, "This has to be paid first, by x402.".to_string())
        }
        Outcome::Refused { code, .. } => (
            TaskState::InputRequired,
            format!("The payment is no good ({code}); nothing was done. It can be paid anew."),
        ),
        Outcome::Open { message } => (TaskState::InputRequired, message.clone()),
        Outcome::Delivered { .. } => (TaskState::Completed, "Done and paid.".to_string()),
        Outcome::Failed { message, .. } => (TaskState::Failed, message.clone()),
    };
    Said { state, text, metadata: outcome.metadata(receipts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_in_memory_is_counted_before_it_is_read() {
        let full = format!("[{}]", vec!["[]"; MOST_VALUES].join(","));
        let (id, error) = read_request(&HeaderMap::new(), full.as_bytes()).unwrap_err();
        assert_eq!((id, error.code), (JsonRpcId::Null, ::a2a::error_code::INVALID_REQUEST));
        assert!(error.message.contains("values"), "{}", error.message);
    }

    #[test]
    fn only_json_is_read() {
        let said = |value: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))])
        };
        assert!(
            is_json(&said("application/json")) && is_json(&said("Application/JSON; charset=x"))
        );
        assert!(!is_json(&said("text/plain")) && !is_json(&HeaderMap::new()));
    }
}
