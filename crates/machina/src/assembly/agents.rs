//! Agents (ERC-8004): every machine of the home is registered on the embedded chain, and the agents
//! that the registry knows are listed with those of their endpoints that answer.
//!
//! A machine's registration file is at `/m/NAME/agent.json`, made anew each time it is asked for. What
//! others registered is a stranger's words: addresses that lead to other computers are not asked at
//! all, so that nobody makes this program knock at doors for them. An endpoint that did not answer is
//! not shown, and one that did is shown with the time. On a chain that is not our own nobody is
//! registered and nothing is listed: that costs money, and its registry has strangers by the
//! hundred thousand.
//!
//! Bounds: [`MOST_LISTED`] agents, [`MOST_SERVICES`] endpoints of each, [`AT_ONCE`] agents asked at a
//! time, each for [`LONGEST_INQUIRY`], each question by [`PATIENCE`] and [`MOST_READ`].

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use futures_util::StreamExt as _;
use http::{StatusCode, header};
use money::{Clock, Party, Timestamp};
use protocol::addresses::IDENTITY_REGISTRY;
use protocol::identity::{
    DOMAIN_PROOF_PATH, LONGEST_REGISTRATION, Registration, RegistrationEntry, Service,
    registry_name,
};
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use serde_json::json;
use settlement::Settlement;
use settlement::registries::{AGENTS_AT_ONCE, Agent};
use tokio::sync::Notify;
use tower::ServiceExt as _;
use url::Host;

use super::{Assembly, a2a, market};
use crate::failure::Failure;
use crate::home;

/// How many agents are listed: the first that registered.
const MOST_LISTED: usize = 512;
/// How many endpoints of one agent are asked.
const MOST_SERVICES: usize = 8;
/// How many agents are asked at a time.
const AT_ONCE: usize = 8;
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an agent may take in all; what answered later did not answer.
const LONGEST_INQUIRY: Duration = Duration::from_secs(6);
/// How much of an answer is read, in bytes.
const MOST_READ: usize = LONGEST_REGISTRATION;
/// How often everything is asked anew.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// How soon registering is tried again if the chain did not take it.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// What the labour market is called among the services of a registration file: a protocol of our own.
const AT_MARKET: &str = "machina-market";
/// Where a client of A2A looks that knows a host and no machine.
const CARD_PATH: &str = "/.well-known/agent-card.json";
/// What is asked for: what programs read, and what people do.
const JSON: &str = "application/json, */*;q=0.5";
const PAGE: &str = "text/html, */*;q=0.5";
/// How many agents are on one page of the list, unless `limit` says otherwise, and at most.
const USUAL_PAGE: usize = 50;

/// A machine of this home that is made known.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// Its address, which owns its agent and is paid.
    pub address: Party,
    /// What it does, for people.
    pub description: String,
    /// Where people read of it, below the economy's address.
    pub page: String,
    /// It sells by x402.
    pub sells: bool,
    /// Tools of its own are sold at `/mcp`.
    pub tools: bool,
    /// Where the labour market tells what it offers there, below the economy's address.
    pub offers: Option<String>,
    /// What is told to other agents that talk to it, where it has no counter at which they could buy.
    pub guide: Option<String>,
}

/// The agents of this home and of the registry.
pub struct Agents {
    parts: Parts,
    http: Client,
    state: Mutex<Noted>,
    /// Others have come.
    news: Notify,
}

/// What they are made of.
pub struct Parts {
    /// The machines of this home, as they are by now: those of the labour market come when it begins.
    pub machines: Box<dyn Fn() -> Vec<Known> + Send + Sync>,
    /// The chain, with the machines' own keys; none where the chain is not our own.
    pub registrar: Option<Settlement>,
    /// The chain's id.
    pub chain_id: u64,
    /// Where this economy is.
    pub port: u16,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Noted {
    /// The machines of this home, as they were last looked at.
    machines: Vec<Known>,
    /// The agents of our machines, by name.
    registered: BTreeMap<String, u64>,
    /// The machines that take messages, in the order in which they came.
    hosted: Vec<Hosted>,
    listed: Vec<Listed>,
    asked_at: Option<Timestamp>,
}

/// A machine that takes messages.
struct Hosted {
    machine: String,
    agent: Arc<a2a::Agent>,
    /// Its own routes, where others talk to it and where it sells.
    router: Router,
}

/// An agent as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// Its number in the registry.
    pub agent_id: u64,
    /// Who speaks for it.
    pub owner: Party,
    /// Where it is paid.
    pub wallet: Party,
    /// Where its registration file is.
    pub agent_uri: String,
    /// What it is called: its own word.
    pub name: String,
    /// What it does: its own word.
    pub description: String,
    /// It says that it works.
    pub active: bool,
    /// It says that it is paid by x402.
    pub x402_support: bool,
    /// Its file names the registry that names the file.
    pub names_its_registry: bool,
    /// Its endpoints that answered.
    pub services: Vec<Answered>,
    /// How many others it names, which did not, or were not asked.
    pub silent: usize,
}

/// An endpoint that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// The protocol.
    pub name: String,
    /// Where.
    pub endpoint: String,
    /// The protocol's version, if it says one.
    pub version: String,
    /// When it last answered, in Unix milliseconds.
    pub answered_at: u64,
}

impl Assembly {
    /// Each machine gets its agent on the embedded chain, if it has none (ERC-8004).
    pub async fn register_machines(&self) {
        if let Err(error) = self.agents.register().await {
            tracing::warn!(%error, "not all machines are registered; it is tried again");
        }
    }
}

impl Agents {
    /// The agents of a home.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub fn new(parts: Parts) -> Result<Arc<Agents>, Failure> {
        let http = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(Failure::new)?;
        let machines = (parts.machines)();
        let state = Mutex::new(Noted { machines, ..Noted::default() });
        Ok(Arc::new(Agents { parts, http, state, news: Notify::new() }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.state.lock().expect("nothing panics under this lock")
    }

    fn base(&self) -> String {
        format!("http://localhost:{}", self.parts.port)
    }

    /// A machine takes messages from now on, and what `counter` has routes for below `/m/NAME/work`. One
    /// that does already keeps what it has, unless it only told where it is hired and sells now: guides
    /// come from the offers of an earlier run, and counters when the machines begin to work.
    pub fn host(&self, machine: &str, agent: Arc<a2a::Agent>, counter: Router) {
        let router = agent.router().merge(counter);
        let mut state = self.state();
        let Some(known) = state.hosted.iter_mut().find(|hosted| hosted.machine == machine) else {
            state.hosted.push(Hosted { machine: machine.to_string(), agent, router });
            return;
        };
        if agent.sells() && !known.agent.sells() {
            known.router = router;
            std::mem::replace(&mut known.agent, agent).close();
        }
    }

    /// Who sells nothing at a counter of its own tells at least where it is hired.
    fn host_guides(&self, machines: &[Known]) {
        for machine in machines {
            let Some(guide) = &machine.guide else { continue };
            let skill = a2a::Skill {
                machine: machine.name.clone(),
                id: "hiring".into(),
                title: "Tells where this machine is hired".into(),
                tags: vec!["hiring".into()],
                takes: vec!["text/plain".into()],
                gives: vec!["text/plain".into()],
                page: format!("/m/{}", machine.name),
                target: String::new(),
                reads: a2a::Reads::File { numbers: Vec::new() },
            };
            let clock = self.parts.clock.clone();
            let about = guide.clone();
            let agent = a2a::Agent::guide(self.base(), skill, about, clock, home::entropy);
            self.host(&machine.name, agent, Router::new());
        }
    }

    /// Ends what is open with those who talk to our machines.
    pub fn close(&self) {
        for hosted in std::mem::take(&mut self.state().hosted) {
            hosted.agent.close();
        }
    }

    /// Registers the machines and keeps asking who answers, until it is dropped.
    pub fn watch(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let keeper = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let Some(agents) = keeper.upgrade() else { return };
                let wait = match agents.look().await {
                    Ok(()) => ASK_EVERY,
                    Err(error) => {
                        tracing::warn!(%error, "the agents could not be looked after; trying again");
                        TRY_AGAIN
                    }
                };
                let news = agents.clone();
                drop(agents);
                let _ = tokio::time::timeout(wait, news.news.notified()).await;
            }
        })
    }

    /// Other machines have come: they are registered soon.
    pub fn announce(&self) {
        self.news.notify_one();
    }

    async fn look(&self) -> Result<(), settlement::SettlementError> {
        self.register().await?;
        let listed = self.ask_all().await?;
        let mut state = self.state();
        state.listed = listed;
        state.asked_at = Some(self.parts.clock.now());
        Ok(())
    }

    /// Sees to it that each machine has its agent, whose file is here. A machine that has one costs
    /// some questions to the chain and no transaction.
    ///
    /// # Errors
    /// If the chain does not take it; the same again goes on where it stopped.
    pub async fn register(&self) -> Result<(), settlement::SettlementError> {
        let machines = (self.parts.machines)();
        self.state().machines = machines.clone();
        self.host_guides(&machines);
        let Some(registrar) = &self.parts.registrar else { return Ok(()) };
        for machine in machines {
            if self.state().registered.contains_key(&machine.name) {
                continue;
            }
            let owner = machine.address.into();
            let uri = format!("{}{}", self.base(), file_path(&machine.name));
            let id = registrar.register_agent(owner, &uri).await?;
            // The port is another than at the last start.
            registrar.set_agent_uri(owner, id, &uri).await?;
            self.state().registered.insert(machine.name.clone(), id);
        }
        Ok(())
    }

    /// The registration file of a machine of this home.
    pub fn file(&self, name: &str) -> Option<Registration> {
        let base = self.base();
        let state = self.state();
        let machine = state.machines.iter().find(|machine| machine.name == name)?;
        let service = |name: &str, path: String, version: &str| Service {
            name: name.into(),
            endpoint: format!("{base}{path}"),
            version: version.into(),
        };
        let mut services = vec![service("web", machine.page.clone(), "")];
        if state.hosted.iter().any(|hosted| hosted.machine == name) {
            services.push(service("A2A", a2a::card_path(name), ::a2a::VERSION));
        }
        if machine.tools {
            services.push(service("MCP", "/mcp".into(), ""));
        }
        if let Some(offers) = &machine.offers {
            services.push(service(AT_MARKET, offers.clone(), ""));
        }
        let mut file = Registration::new(name, &machine.description, services);
        file.x402_support = machine.sells;
        file.registrations.extend(state.registered.get(name).map(|id| self.entry(*id)));
        Some(file)
    }

    fn entry(&self, agent_id: u64) -> RegistrationEntry {
        let agent_registry = registry_name(self.parts.chain_id, IDENTITY_REGISTRY);
        RegistrationEntry { agent_id, agent_registry }
    }

    // ---- who answers -------------------------------------------------------------------------

    async fn ask_all(&self) -> Result<Vec<Listed>, settlement::SettlementError> {
        let Some(chain) = &self.parts.registrar else { return Ok(Vec::new()) };
        let mut agents: Vec<Agent> = Vec::new();
        while agents.len() < MOST_LISTED {
            let page = chain.agents(agents.len() as u64 + 1).await?;
            let full = page.len() as u64 == AGENTS_AT_ONCE;
            agents.extend(page);
            if !full {
                break;
            }
        }
        agents.truncate(MOST_LISTED);
        let asked = agents.into_iter().map(|agent| self.ask(agent));
        Ok(futures_util::stream::iter(asked).buffered(AT_ONCE).collect().await)
    }

    async fn ask(&self, agent: Agent) -> Listed {
        let id = agent.id;
        let mut listed = Listed {
            agent_id: agent.id,
            owner: agent.owner.into(),
            wallet: agent.wallet.into(),
            agent_uri: agent.uri,
            name: String::new(),
            description: String::new(),
            active: false,
            x402_support: false,
            names_its_registry: false,
            services: Vec::new(),
            silent: 0,
        };
        let inquiry = self.inquire(id, &mut listed);
        let _ = tokio::time::timeout(LONGEST_INQUIRY, inquiry).await;
        listed
    }

    /// Asks for an agent's file, and at each endpoint that it names.
    async fn inquire(&self, id: u64, listed: &mut Listed) {
        let Some((_, body)) = self.get(&listed.agent_uri, JSON).await else { return };
        let Ok(file) = Registration::read(&body) else { return };
        listed.names_its_registry = file.names(self.parts.chain_id, IDENTITY_REGISTRY, id);
        (listed.active, listed.x402_support) = (file.active, file.x402_support);
        (listed.name, listed.description) = (file.name, file.description);
        listed.silent = file.services.len();
        for service in file.services.into_iter().take(MOST_SERVICES) {
            if self.answers(&service).await {
                listed.silent -= 1;
                listed.services.push(Answered {
                    name: service.name,
                    endpoint: service.endpoint,
                    version: service.version,
                    answered_at: self.parts.clock.now().as_millis(),
                });
            }
        }
    }

    /// Whether somebody is there who speaks what the service says: a card for A2A; for everything
    /// else an answer that is neither `not found` nor a failure.
    async fn answers(&self, service: &Service) -> bool {
        let is = |name: &str| service.name.eq_ignore_ascii_case(name);
        let wanted = if is("web") { PAGE } else { JSON };
        let Some((status, body)) = self.get(&service.endpoint, wanted).await else { return false };
        if is("A2A") {
            return status.is_success()
                && serde_json::from_slice::<::a2a::AgentCard>(&body).is_ok();
        }
        !status.is_server_error() && status != StatusCode::NOT_FOUND && status != StatusCode::GONE
    }

    /// What an address answers to a plain question, if it may be asked.
    async fn get(&self, address: &str, wanted: &'static str) -> Option<(StatusCode, Vec<u8>)> {
        let url = may_be_asked(address)?;
        let mut answer = self.http.get(url).header(header::ACCEPT, wanted).send().await.ok()?;
        let mut body = Vec::new();
        // The client's time bounds this too.
        while let Ok(Some(part)) = answer.chunk().await {
            body.extend_from_slice(&part);
            if body.len() > MOST_READ {
                body.clear();
                break;
            }
        }
        Some((answer.status(), body))
    }

    // ---- the list ----------------------------------------------------------------------------

    /// The routes: the list, the machines' files, and the proof that this address is theirs.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/agents", get(list))
            .route("/m/{name}/agent.json", get(file))
            .route(&a2a::card_path("{name}"), any(hosted))
            .route(&a2a::path("{name}"), any(hosted))
            .route(&market::counter_path("{name}"), any(hosted))
            .route(DOMAIN_PROOF_PATH, get(proof))
            .route(CARD_PATH, get(first_card))
            .with_state(self.clone())
    }
}

/// Where a machine's registration file is, below the economy's address.
fn file_path(name: &str) -> String {
    format!("/m/{name}/agent.json")
}

/// The address to ask, if it may be asked: on this computer, by number, so that no name leads
/// elsewhere.
fn may_be_asked(address: &str) -> Option<Url> {
    let mut url = Url::parse(address).ok()?;
    let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
    let here = match url.host()? {
        Host::Domain(name) => {
            let here = name.eq_ignore_ascii_case("localhost");
            if here {
                url.set_ip_host(IpAddr::V4(Ipv4Addr::LOCALHOST)).ok()?;
            }
            here
        }
        Host::Ipv4(number) => number == Ipv4Addr::LOCALHOST,
        Host::Ipv6(number) => number.is_loopback(),
    };
    (plain && here).then_some(url)
}

#[derive(Deserialize)]
struct Wanted {
    /// The agents after this number.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    /// Those too of whom no endpoint answered.
    #[serde(default)]
    all: bool,
}

async fn list(State(agents): State<Arc<Agents>>, Query(wanted): Query<Wanted>) -> Response {
    let limit = wanted.limit.unwrap_or(USUAL_PAGE).clamp(1, USUAL_PAGE);
    let state = agents.state();
    let mut found = state.listed.iter().filter(|listed| {
        listed.agent_id > wanted.after && (wanted.all || !listed.services.is_empty())
    });
    let page: Vec<&Listed> = found.by_ref().take(limit).collect();
    let next = found.next().and(page.last()).map(|last| last.agent_id);
    Json(json!({
        "registry": agents.entry(0).agent_registry,
        "askedAt": state.asked_at.map(Timestamp::as_millis),
        "agents": page,
        "after": next,
    }))
    .into_response()
}

async fn file(State(agents): State<Arc<Agents>>, Path(name): Path<String>) -> Response {
    match agents.file(&name) {
        Some(file) => Json(file).into_response(),
        None => (StatusCode::NOT_FOUND, "no machine of this name lives here\n").into_response(),
    }
}

/// The card of the first machine that sells to who talks to it, for who knows no more than this address.
async fn first_card(State(agents): State<Arc<Agents>>) -> Response {
    match agents.state().hosted.iter().find(|hosted| hosted.agent.sells() && hosted.agent.is_here())
    {
        Some(hosted) => Json(hosted.agent.card()).into_response(),
        None => (StatusCode::NOT_FOUND, "no machine here takes messages\n").into_response(),
    }
}

/// Whatever is asked of a machine that takes messages or sells at a counter.
async fn hosted(
    State(agents): State<Arc<Agents>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let router = {
        let state = agents.state();
        let hosted = state.hosted.iter().find(|hosted| hosted.machine == name);
        hosted.map(|hosted| hosted.router.clone())
    };
    match router {
        Some(router) => router.oneshot(request).await.unwrap_or_else(|never| match never {}),
        None => {
            let said = "no machine of this name takes messages by now; those of the labour market begin when somebody looks at /market/offers\n";
            (StatusCode::NOT_FOUND, said).into_response()
        }
    }
}

async fn proof(State(agents): State<Arc<Agents>>) -> Response {
    let registered: Vec<u64> = agents.state().registered.values().copied().collect();
    let registrations: Vec<_> = registered.into_iter().map(|id| agents.entry(id)).collect();
    Json(json!({ "registrations": registrations })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_computer_is_asked_and_by_number() {
        let asked = |address: &str| may_be_asked(address).map(|url| url.to_string());
        for (address, goes) in [
            ("http://localhost:4020/m/vision", "http://127.0.0.1:4020/m/vision"),
            ("http://LOCALHOST:1/", "http://127.0.0.1:1/"),
            ("http://127.0.0.1:9/x", "http://127.0.0.1:9/x"),
            ("http://[::1]:9/x", "http://[::1]:9/x"),
            // Other ways to write the same number.
            ("http://2130706433/", "http://127.0.0.1/"),
            ("http://0x7f.1/", "http://127.0.0.1/"),
        ] {
            assert_eq!(asked(address).as_deref(), Some(goes), "{address}");
        }
        for other in [
            "",
            "x",
            "https://localhost/",
            "ftp://localhost/",
            "file:///etc/passwd",
            "http://localhost.evil.example/",
            "http://127.0.0.1.nip.io/",
            "http://user:secret@localhost/",
            "http://10.0.0.1/",
            "http://192.168.1.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:127.0.0.1]/",
            "http://[fe80::1]/",
            "http://0.0.0.0/",
            "http://example.com/",
            "ipfs://bafy",
            "data:application/json,{}",
        ] {
            assert_eq!(asked(other), None, "{other}");
        }
    }
}
