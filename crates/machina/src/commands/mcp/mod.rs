//! `machina mcp`: a wallet for an agent, as an MCP server on standard input and output.
//!
//! The agent gets tools to discover, ask for a price, pay, hire at the labour market ([`market`]), and see
//! what is left. It pays as the shopper, under the mandate; keys and the running economy's token stay on this side. Standard
//! output carries MCP and nothing else.
//!
//! Each call finds the economy anew: it may start, stop or start again while an agent sits here.
//! One that sleeps is opened for the call and closed after it, and such calls wait for each other,
//! since a home is open once.
//!
//! Bounds: a line by the transport (16 MiB), texts and bodies below, calls at once by [`AT_ONCE`];
//! what a facilitator answers by [`MOST_FOUND`] and [`SEARCH_WAIT`].

mod market;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

use super::pay::media_type;
use crate::access::Access;
use crate::cli::{Arguments, Place};
use crate::failure::Failure;
use crate::report::{AgentOrder, Books, PayOrder, PayReport};

/// How many calls are worked on at once; more wait.
const AT_ONCE: usize = 8;
/// The longest address, in bytes.
const MAX_URL: usize = 4096;
/// The longest of the other short texts, in bytes: method, media type, amount, search.
const MAX_TEXT: usize = 400;
/// The longest words that are said to an agent, in bytes.
const MAX_WORDS: usize = 64 * 1024;
/// The largest body that is sent, in bytes.
const MAX_BODY: usize = 8 * 1024 * 1024;
/// The longest answer of a facilitator to a search, in bytes.
const MOST_FOUND: usize = 1024 * 1024;
/// How long a facilitator may take to answer a search.
const SEARCH_WAIT: Duration = Duration::from_secs(10);

const INSTRUCTIONS: &str = "A wallet under a mandate that its owner signed. Find what is for sale \
    with `discover`, ask for a price with `quote`, and buy with `pay`, which never pays more than \
    `max` or than the mandate allows. Agents (A2A) are asked the same way: their address or card as `url`, and `words`. At the labour market `offers` finds who works for hire, `hire` opens a \
    job whose work is checked before it is paid, and `job` tells its answer. `balance` and `mandate` show \
    what is left. A purchase may need its owner's word: then `pay` is refused with `approval`, nothing was \
    paid, and the same call is repeated once `approvals` says `accepted`; only the owner can accept. Amounts are in \
    whole dollars (`0.05`); in results `minor` counts the token's smallest unit.";

pub async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let wallet = Arc::new(Wallet::new(arguments)?);
    let agent = Agent(wallet.clone());
    let serving = async {
        let service = agent.serve(rmcp::transport::io::stdio_pipes()).await;
        match service {
            Ok(service) => service.waiting().await.map(|_| ()).map_err(Failure::new),
            Err(error) => Err(Failure::new(format!("no MCP client spoke here: {error}"))
                .hint("an agent's program starts `machina mcp`, and speaks MCP on its input")),
        }
    };
    let ended = tokio::select! {
        ended = serving => ended,
        () = super::up::until_told_to_stop() => Ok(()),
    };
    // A payment that has begun is brought to its end.
    wallet.rest().await;
    ended
}

/// What the tools work with.
struct Wallet {
    home: Option<PathBuf>,
    place: Place,
    http: reqwest::Client,
    places: Arc<Semaphore>,
    /// Who opens the home here.
    turn: Arc<Mutex<()>>,
}

/// The economy for one call, and the right to have it open.
struct Visit {
    access: Access,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Wallet {
    fn new(arguments: &Arguments) -> Result<Wallet, Failure> {
        // A facilitator answers itself; where a redirect leads is another's affair.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(SEARCH_WAIT)
            .build()
            .map_err(Failure::new)?;
        Ok(Wallet {
            home: arguments.home.clone(),
            place: arguments.place.clone(),
            http,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            turn: Arc::default(),
        })
    }

    /// Waits until no call is in work any more, and lets none begin.
    async fn rest(&self) {
        let _ = self.places.acquire_many(AT_ONCE as u32).await;
        self.places.close();
    }

    async fn visit(&self) -> Result<Visit, Failure> {
        let turn = self.turn.clone().lock_owned().await;
        let access = Access::of(self.home.clone(), self.place.clone()).await?;
        let turn = matches!(access, Access::Here(_)).then_some(turn);
        Ok(Visit { access, _turn: turn })
    }

    async fn call(&self, name: &str, arguments: Value) -> Result<CallToolResult, Failure> {
        let Ok(_place) = self.places.acquire().await else {
            return Err(Failure::new("the wallet is closing; nothing was done"));
        };
        // Misuse is told before anything is opened.
        let call = Call::read(name, arguments)?;
        let visit = self.visit().await?;
        let done = self.act(&visit.access, call).await;
        visit.access.close().await;
        done
    }

    async fn act(&self, access: &Access, call: Call) -> Result<CallToolResult, Failure> {
        match call {
            Call::Discover(search) => self.discover(access, search).await.map(told),
            Call::Quote(order) => Ok(told(access.quote(order).await?)),
            Call::Pay(order) => Ok(paid(access.pay(order).await?)),
            Call::Market(call) => call.act(access).await,
            Call::Balance => Ok(told(json!({ "books": shopper(access).await? }))),
            Call::Approvals => Ok(told(json!({ "approvals": access.approvals().await? }))),
            Call::Mandate => match shopper(access).await?.mandate {
                Some(mandate) => Ok(told(mandate)),
                None => Err(Failure::new("no mandate is in force, so nothing can be paid")
                    .hint("its owner grants one with `machina grant AMOUNT`")),
            },
        }
    }

    async fn discover(&self, access: &Access, search: Discover) -> Result<Value, Failure> {
        let info = access.info().await?;
        let mut said = json!({ "offers": info.offers });
        let facilitator = match (search.facilitator, info.running) {
            (Some(named), _) => named,
            (None, true) => info.facilitator_url,
            (None, false) => {
                said["note"] =
                    "the economy of this home does not run; `machina up` starts it".into();
                return Ok(said);
            }
        };
        let found = self.search(&facilitator, search.query.as_deref().unwrap_or("")).await?;
        said["found"] = found;
        Ok(said)
    }

    /// Asks a facilitator's `/discovery/search`, or without words `/discovery/resources`.
    async fn search(&self, facilitator: &str, words: &str) -> Result<Value, Failure> {
        let silent = |cause: String| {
            Failure::new(format!("the facilitator {facilitator} cannot be searched: {cause}"))
                .hint("leave `facilitator` out to search the economy's own")
        };
        let base = facilitator.trim_end_matches('/');
        let mut url = if words.is_empty() {
            format!("{base}/discovery/resources")
        } else {
            format!("{base}/discovery/search")
        }
        .parse::<reqwest::Url>()
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| Failure::misuse(format!("`{facilitator}` is no web address")))?;
        if !words.is_empty() {
            url.query_pairs_mut().append_pair("query", words);
        }
        let ask = self.http.get(url).send().await;
        let mut answer = ask.map_err(|e| silent(e.without_url().to_string()))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(piece) =
            answer.chunk().await.map_err(|e| silent(e.without_url().to_string()))?
        {
            if body.len() + piece.len() > MOST_FOUND {
                return Err(silent(format!("its answer is longer than {MOST_FOUND} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        if !status.is_success() {
            return Err(silent(format!("it answers with status {status}")));
        }
        serde_json::from_slice(&body).map_err(|_| silent("it does not answer in JSON".into()))
    }
}

async fn shopper(access: &Access) -> Result<Books, Failure> {
    let books = access.books(Some("shopper"), 0).await?;
    books.into_iter().next().ok_or_else(|| Failure::new("the shopper keeps no books here"))
}

/// A call that makes sense.
enum Call {
    Discover(Discover),
    Quote(PayOrder),
    Pay(PayOrder),
    Balance,
    Mandate,
    Approvals,
    Market(market::Call),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Discover {
    query: Option<String>,
    facilitator: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    url: String,
    method: Option<String>,
    body: Option<String>,
    body_base64: Option<String>,
    media_type: Option<String>,
    max: Option<String>,
    a2a: Option<bool>,
    words: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Call {
    /// # Errors
    /// Which argument is wrong, and how it should be.
    fn read(name: &str, arguments: Value) -> Result<Call, Failure> {
        if let Some(call) = market::Call::read(name, &arguments) {
            return call.map(Call::Market);
        }
        match name {
            "discover" => {
                let search: Discover = read(name, arguments)?;
                bounded("query", search.query.as_deref(), MAX_TEXT)?;
                bounded("facilitator", search.facilitator.as_deref(), MAX_URL)?;
                Ok(Call::Discover(search))
            }
            "quote" => {
                let ask: Ask = read(name, arguments)?;
                if ask.max.is_some() {
                    return Err(Failure::misuse("a quote has no `max`: it pays nothing"));
                }
                Ok(Call::Quote(ask.order()?))
            }
            "pay" => {
                let ask: Ask = read(name, arguments)?;
                if ask.max.is_none() {
                    return Err(Failure::misuse("`max` is missing: the most that it may cost")
                        .hint("ask `quote` for the price; write dollars, as in \"0.05\""));
                }
                Ok(Call::Pay(ask.order()?))
            }
            "balance" => read::<Nothing>(name, arguments).map(|Nothing {}| Call::Balance),
            "mandate" => read::<Nothing>(name, arguments).map(|Nothing {}| Call::Mandate),
            "approvals" => read::<Nothing>(name, arguments).map(|Nothing {}| Call::Approvals),
            other => Err(Failure::misuse(format!(
                "there is no tool `{}`",
                other.chars().take(60).collect::<String>()
            ))
            .hint(format!(
                "there are discover, quote, pay, balance, mandate, approvals, {}",
                market::NAMES.join(", ")
            ))),
        }
    }
}

impl Ask {
    fn order(self) -> Result<PayOrder, Failure> {
        bounded("url", Some(&self.url), MAX_URL)?;
        bounded("method", self.method.as_deref(), MAX_TEXT)?;
        bounded("media_type", self.media_type.as_deref(), MAX_TEXT)?;
        bounded("max", self.max.as_deref(), MAX_TEXT)?;
        bounded("words", self.words.as_deref(), MAX_WORDS)?;
        let agent = self.agent()?;
        let given = self.body.is_some() || self.body_base64.is_some();
        let body = match (self.body, self.body_base64) {
            (Some(_), Some(_)) => {
                return Err(Failure::misuse("a request has one body")
                    .hint("give either `body` (text) or `body_base64` (bytes)"));
            }
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => STANDARD.decode(text.trim_ascii()).map_err(|_| {
                Failure::misuse("`body_base64` is not base64")
                    .hint("give text as `body`; base64 is with padding and without line breaks")
            })?,
            (None, None) => Vec::new(),
        };
        if body.len() > MAX_BODY {
            return Err(Failure::misuse(format!("the body is larger than {MAX_BODY} bytes")));
        }
        let usual = if given || agent.is_some() { "POST" } else { "GET" };
        Ok(PayOrder {
            url: self.url,
            method: self.method.as_deref().unwrap_or(usual).to_uppercase(),
            media_type: self
                .media_type
                .or_else(|| given.then(|| media_type(&body, None).to_string())),
            body: STANDARD.encode(&body),
            max: self.max,
            scheme: None,
            agent,
        })
    }

    /// That an agent is asked: it is said so, there are words for one, or the address is a card's.
    fn agent(&self) -> Result<Option<AgentOrder>, Failure> {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        let is_card = url.ends_with("/.well-known/agent-card.json");
        if !self.a2a.unwrap_or(self.words.is_some() || is_card) {
            return match &self.words {
                None => Ok(None),
                Some(_) => Err(Failure::misuse("`words` are said to an agent, and `a2a` is false")
                    .hint("leave `a2a` out, or give what is sent as `body`")),
            };
        }
        if self.method.is_some() {
            return Err(Failure::misuse("an agent is asked by messages, which have no `method`"));
        }
        if self.words.is_none() && self.body.is_none() && self.body_base64.is_none() {
            return Err(Failure::misuse("nothing is asked of the agent").hint(
                "give what it is to be told as `words`, or a file as `body` or `body_base64`",
            ));
        }
        Ok(Some(AgentOrder { words: self.words.clone() }))
    }
}

fn read<T: DeserializeOwned>(name: &str, arguments: Value) -> Result<T, Failure> {
    serde_json::from_value(arguments).map_err(|e| {
        Failure::misuse(format!("`{name}` does not take these arguments: {e}"))
            .hint("tools/list says what it takes")
    })
}

fn bounded(name: &str, text: Option<&str>, most: usize) -> Result<(), Failure> {
    match text {
        Some(text) if text.len() > most => {
            Err(Failure::misuse(format!("`{name}` is longer than {most} bytes")))
        }
        _ => Ok(()),
    }
}

/// A result for programs, and the same as text for models.
fn told(report: impl serde::Serialize) -> CallToolResult {
    match serde_json::to_value(report) {
        Ok(value) => result(value, false),
        Err(error) => refused(&Failure::new(error)),
    }
}

fn result(value: Value, is_error: bool) -> CallToolResult {
    let content = vec![ContentBlock::text(value.to_string())];
    let mut result = match is_error {
        false => CallToolResult::success(content),
        true => CallToolResult::error(content),
    };
    result.structured_content = Some(value);
    result
}

/// What came back, and the receipt. A seller's own refusal is an error too; what it cost is told.
fn paid(report: PayReport) -> CallToolResult {
    let mut said = json!({
        "status": report.status,
        "mediaType": report.media_type,
        "paid": report.paid,
    });
    match STANDARD.decode(&report.body).map(String::from_utf8) {
        Ok(Ok(text)) => said["body"] = text.into(),
        // Bytes stay as they travel.
        _ => said["bodyBase64"] = report.body.into(),
    }
    result(said, report.status >= 400)
}

fn refused(failure: &Failure) -> CallToolResult {
    let hint = failure.hint.as_deref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    let mut result =
        CallToolResult::error(vec![ContentBlock::text(format!("{}{hint}", failure.message))]);
    result.structured_content = Some(json!({ "error": failure }));
    result
}

/// The wallet as MCP sees it.
struct Agent(Arc<Wallet>);

impl ServerHandler for Agent {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("machina", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools().into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let wallet = self.0.clone();
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        // In a task of its own: an agent that cancels or leaves does not break off a payment.
        let call = tokio::spawn(async move { wallet.call(&request.name, arguments).await });
        let done = call.await.unwrap_or_else(|_| Err(Failure::new("the wallet broke down")));
        Ok(done.unwrap_or_else(|failure| refused(&failure)).into())
    }
}

/// All tools.
fn tools() -> Vec<Tool> {
    let seen = || ToolAnnotations::new().read_only(true);
    let text = |said: &str| json!({ "type": "string", "description": said });
    let request = json!({
        "url": text("What to ask for, written whole."),
        "method": text("The request's method, if not GET, or POST with a body."),
        "body": text("The request's body, as text."),
        "body_base64": text("The request's body, as bytes in base64."),
        "media_type": text("The body's media type, if it is not plain from the body."),
        "words": text("What is said to an agent by A2A, whose card or address `url` then is; a body goes along as a file."),
        "a2a": { "type": "boolean", "description": "Whether an agent is asked; true where there are `words`, or `url` is an agent's card." },
    });
    let mut priced = request.clone();
    priced["max"] = text("The most that it may cost, in dollars: \"0.05\".");
    let mut tools = vec![
        tool(
            "discover",
            "What is for sale: the offers of this economy, and what a facilitator lists, best first.",
            json!({
                "query": text("Words to search for; without them, all that is listed."),
                "facilitator": text("The x402 facilitator to search, if not the economy's own."),
            }),
            &[],
        )
        .with_annotations(seen().open_world(true)),
        tool(
            "quote",
            "What a request costs. Nothing is paid; what asks for no money is done by asking.",
            request,
            &["url"],
        )
        .with_annotations(ToolAnnotations::new().open_world(true)),
        tool(
            "pay",
            "Sends a request, pays what it costs, at most `max` and within the mandate, and gives the answer and the receipt.",
            priced,
            &["url", "max"],
        )
        .with_annotations(
            ToolAnnotations::new().read_only(false).idempotent(false).open_world(true),
        ),
        tool("balance", "What the wallet owns, spent and holds.", json!({}), &[])
            .with_annotations(seen()),
        tool(
            "mandate",
            "What the wallet may spend: in all, in a day and for one payment, what is left, and until when.",
            json!({}),
            &[],
        )
        .with_annotations(seen()),
        tool(
            "approvals",
            "The purchases that needed the owner's word: which wait, which were accepted or refused. Only the owner decides.",
            json!({}),
            &[],
        )
        .with_annotations(seen()),
    ];
    tools.extend(market::tools());
    tools
}

fn tool(name: &'static str, does: &'static str, takes: Value, needs: &[&str]) -> Tool {
    let mut schema = JsonObject::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), takes);
    schema.insert("required".into(), json!(needs));
    schema.insert("additionalProperties".into(), false.into());
    Tool::new(name, does, schema)
}
