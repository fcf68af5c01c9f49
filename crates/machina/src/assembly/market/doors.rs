//! The market's doors, `/market/…`: any worker, client or checker takes part by these.
//!
//! Looking is for everybody. Operations, documents and money are for who signs
//! ([`super::signature`]); commands of this home's own user name a party of the home and show their
//! token. Deposits are an ordinary x402 payment.

mod work;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use ::market::desk::{Desk, Document, MAX_DOCUMENT, MAX_PAGE};
use ::market::{Digest, JobId, MoveId, Operation, Outcome, Party, Skill};
use ::money::{Amount, Timestamp};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{StatusCode, header};
use mandates::books::Line;
use payments::{Offer, Way};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::{Layer as _, ServiceExt as _, service_fn};

use super::super::carrier::channel_terms;
use super::signature::Place;
use super::{Market, signature, views};
use crate::failure::Failure;

/// The most operations of one request.
const MOST_OPERATIONS: usize = 64;
/// The most bytes of a list of operations: labels of several reports fit.
const MAX_OPERATIONS: usize = 1 << 20;
/// How many operations and documents a party may hand in within ten seconds.
const MOST_IN_A_WHILE: u32 = 1_000;
const WHILE_MS: u64 = 10_000;
/// How many jobs a party may have described that have no money yet: they cost nothing, and stay.
const MOST_UNFUNDED: usize = 64;
/// How many parties' counts are kept.
const MOST_COUNTED: usize = 10_000;
/// The most that is paid in at once, in whole dollars.
const LARGEST_DEPOSIT: &str = "1000000000";
/// The least that is paid in at once from a channel, in whole dollars: it costs its payer nothing else.
const LEAST_BY_CHANNEL: &str = "0.001";

/// What each party has asked for lately.
#[derive(Default)]
pub struct Bounds(Mutex<HashMap<Party, (Timestamp, u32)>>);

impl Bounds {
    /// Counts so much for a party; `false` if it is too much.
    fn admit(&self, party: Party, count: usize, now: Timestamp) -> bool {
        let mut counts = self.0.lock().expect("nothing panics under this lock");
        let is_over = |since: Timestamp| now.since(since).as_millis() >= u128::from(WHILE_MS);
        if counts.len() >= MOST_COUNTED {
            counts.retain(|_, (since, _)| !is_over(*since));
        }
        if counts.len() >= MOST_COUNTED && !counts.contains_key(&party) {
            return false;
        }
        let entry = counts.entry(party).or_insert((now, 0));
        if is_over(entry.0) {
            *entry = (now, 0);
        }
        entry.1 = entry.1.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        entry.1 <= MOST_IN_A_WHILE
    }
}

#[derive(Clone)]
struct Doors {
    market: Arc<Market>,
    token: Arc<str>,
}

/// The routes; `token` lets this home's own commands in.
pub fn router(market: &Arc<Market>, token: &str) -> Router {
    let doors = Doors { market: Arc::clone(market), token: token.into() };
    Router::new()
        .route("/market/rules", get(rules))
        .route("/market/offers", get(offers))
        .route("/market/jobs", get(jobs))
        .route("/market/jobs/{job}", get(job))
        .route("/market/jobs/{job}/brief", get(brief))
        .route("/market/jobs/{job}/brief/{digest}", get(brief_file))
        .route("/market/jobs/{job}/answer", get(answer))
        .route("/market/work", get(work::work))
        .route("/market/parties/{party}", get(party))
        .route("/market/receipts", get(receipts))
        .route("/market/reputation/{party}", get(reputation))
        .route("/market/feedback/{agent}/{worker}/{number}", get(feedback))
        .route("/market/operations", post(operations))
        .route("/market/withdrawals", post(withdraw))
        .route("/market/deposits", any(deposit))
        .layer(DefaultBodyLimit::max(MAX_OPERATIONS))
        .route("/market/documents", post(keep).layer(DefaultBodyLimit::max(MAX_DOCUMENT)))
        .with_state(doors)
}

fn say(status: StatusCode, code: &str, message: impl ToString) -> Response {
    (status, axum::Json(json!({ "error": code, "message": message.to_string() }))).into_response()
}

fn failed(failure: &Failure) -> Response {
    let status = match failure.misuse {
        true => StatusCode::BAD_REQUEST,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    say(status, "refused", &failure.message)
}

fn broken(error: impl ToString) -> Response {
    say(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error)
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    skip: usize,
    #[serde(default = "usual")]
    limit: usize,
    /// A skill's name, as in `vision/classify`.
    skill: Option<String>,
    /// What is looked for, in words.
    like: Option<String>,
    /// Also the offers of those who are not there, with why they are left out.
    #[serde(default)]
    all: bool,
}

fn usual() -> usize {
    MAX_PAGE / 4
}

async fn rules(State(doors): State<Doors>) -> Response {
    let mut rules = doors.market.desk().read(|state| json!(state.rules()));
    // What a request's signature is over besides the request.
    rules["market"] = json!(doors.market.party());
    rules["chain"] = json!(doors.market.parts.chain.token().chain_id);
    axum::Json(rules).into_response()
}

async fn offers(State(doors): State<Doors>, Query(page): Query<Page>) -> Response {
    if let Err(failure) = doors.market.wake().await {
        tracing::warn!(error = failure.message, "the market's machines cannot work");
    }
    let skill = page.skill.as_deref().map(|name| Skill::derive(&[name.as_bytes()]));
    if let Some(text) = page.like {
        let market = Arc::clone(&doors.market);
        let search = move || market.found(&text, page.skip, page.limit.min(MAX_PAGE));
        return match tokio::task::spawn_blocking(search).await {
            Ok(found) => axum::Json(found).into_response(),
            Err(error) => broken(error),
        };
    }
    let market = &doors.market;
    let list: Vec<Value> = market.desk().read(|state| {
        let offers = state.offers().rev().filter(|o| skill.is_none_or(|skill| o.skill == skill));
        let there = offers.filter_map(|offer| {
            let silent = market.silent_since(offer.worker);
            (page.all || silent.is_none()).then_some((offer, silent))
        });
        let shown = there.skip(page.skip).take(page.limit.min(MAX_PAGE));
        shown.map(|(offer, silent)| views::offer(state, offer, silent)).collect()
    });
    axum::Json(list).into_response()
}

async fn jobs(State(doors): State<Doors>, Query(page): Query<Page>) -> Response {
    let list: Vec<Value> = doors.market.desk().read(|state| {
        let jobs = state.jobs().rev().skip(page.skip).take(page.limit.min(MAX_PAGE));
        jobs.map(|job| views::summary(state, job)).collect()
    });
    axum::Json(list).into_response()
}

fn no_job() -> Response {
    say(StatusCode::NOT_FOUND, "no_such_job", "there is no such job: GET /market/jobs lists them")
}

async fn job(State(doors): State<Doors>, Path(job): Path<String>) -> Response {
    let Ok(job) = job.parse::<JobId>() else { return no_job() };
    let view = doors.market.desk().read(|state| state.job(job).map(|job| views::job(state, job)));
    view.map_or_else(no_job, |view| axum::Json(view).into_response())
}

async fn party(State(doors): State<Doors>, Path(party): Path<String>) -> Response {
    match party.parse::<Party>() {
        Ok(party) => {
            let view = doors.market.desk().read(|state| views::holding(state, party));
            axum::Json(view).into_response()
        }
        Err(error) => say(StatusCode::BAD_REQUEST, "no_party", error),
    }
}

#[derive(Deserialize)]
struct OfParty {
    party: Option<Party>,
    #[serde(default)]
    skip: usize,
    #[serde(default = "usual")]
    limit: usize,
}

async fn receipts(State(doors): State<Doors>, Query(page): Query<OfParty>) -> Response {
    let limit = page.limit.min(MAX_PAGE);
    match doors.market.receipts(page.party, page.skip, limit).await {
        Ok(receipts) => axum::Json(receipts).into_response(),
        Err(failure) => broken(failure.message),
    }
}

async fn reputation(State(doors): State<Doors>, Path(party): Path<String>) -> Response {
    let party = match party.parse::<Party>() {
        Ok(party) => party,
        Err(error) => return say(StatusCode::BAD_REQUEST, "no_party", error),
    };
    match doors.market.reputation(party).await {
        Ok(skills) => axum::Json(json!({ "party": party, "skills": skills })).into_response(),
        Err(failure) => broken(failure.message),
    }
}

#[derive(Deserialize)]
struct OfSkill {
    /// The skill, as the word on the chain calls it.
    skill: String,
}

/// The file behind a word of the market's on the chain, in the very bytes that were hashed.
async fn feedback(
    State(doors): State<Doors>,
    Path((agent, worker, number)): Path<(u64, Party, u64)>,
    Query(OfSkill { skill }): Query<OfSkill>,
) -> Response {
    match doors.market.feedback_file(agent, worker, &skill, number).await {
        Ok(Some(file)) => ([(header::CONTENT_TYPE, "application/json")], file).into_response(),
        Ok(None) => say(StatusCode::NOT_FOUND, "no_such_word", "the market has said no such word"),
        Err(failure) => broken(failure.message),
    }
}

impl Doors {
    /// Who asks: by signature, or by this home's token for one of its own parties.
    fn who(&self, parts: &Parts, body: &[u8]) -> Result<Party, Box<Response>> {
        let stranger =
            |why: String| Box::new(say(StatusCode::UNAUTHORIZED, "not_authenticated", why));
        let bearer = parts.headers.get(header::AUTHORIZATION);
        if let Some(shown) = bearer.and_then(|value| value.to_str().ok()) {
            let shown = shown.strip_prefix("Bearer ").unwrap_or_default();
            if !super::super::api::is_token(shown, &self.token) {
                return Err(stranger("the token is not this economy's".into()));
            }
            let party = signature::named(parts).map_err(stranger)?;
            if !self.market.parts.cast.booked().contains(&party) {
                return Err(stranger(format!("{party} does not live here: let it sign")));
            }
            return Ok(party);
        }
        let (chain, clock) = (&self.market.parts.chain, &self.market.parts.clock);
        let place = Place { chain_id: chain.token().chain_id, market: self.market.party() };
        signature::signer(parts, body, place, clock.now(), &self.market.keys).map_err(stranger)
    }

    /// Who asks, if it may ask for so much.
    fn admit(&self, parts: &Parts, body: &[u8], count: usize) -> Result<Party, Box<Response>> {
        let party = self.who(parts, body)?;
        if !self.market.bounds.admit(party, count, self.market.parts.clock.now()) {
            let why = format!("at most {MOST_IN_A_WHILE} operations in ten seconds: wait a little");
            return Err(Box::new(say(StatusCode::TOO_MANY_REQUESTS, "too_many", why)));
        }
        // Keys cost nothing: of those who have nothing here nothing is remembered.
        if self.market.desk().read(|state| state.takes_part(party)) {
            self.market.heard.note(party, self.market.parts.clock.now());
        }
        Ok(party)
    }

    /// The refusal for who has nothing in the market: what is written stays, and keys cost nothing, so
    /// whoever has nothing here could fill journal and disk for nothing.
    fn unfunded(&self, party: Party) -> Option<Response> {
        let takes_part = self.market.desk().read(|state| state.takes_part(party));
        let why = "only who has money here takes part: POST /market/deposits first, any amount";
        (!takes_part).then(|| say(StatusCode::PAYMENT_REQUIRED, "unfunded", why))
    }
}

async fn operations(State(doors): State<Doors>, request: Request) -> Response {
    let (parts, body) = match split(request, MAX_OPERATIONS).await {
        Ok(split) => split,
        Err(refusal) => return *refusal,
    };
    let HandedIn { documents, operations: asked } = match HandedIn::read(&body) {
        Ok(handed_in) => handed_in,
        Err(why) => return say(StatusCode::BAD_REQUEST, "malformed", why),
    };
    let by = match doors.admit(&parts, &body, asked.len() + documents.len()) {
        Ok(by) => by,
        Err(refusal) => return *refusal,
    };
    let desk = doors.market.desk();
    for operation in &asked {
        // What names a job that the same request opens is asked again when it is there.
        let opened = |job: JobId| {
            desk.job(job).is_none() && asked.iter().any(|other| matches!(other, Operation::Open(terms) if terms.id == job && terms.client == by))
        };
        let actor = match operation {
            Operation::Withdraw { .. } => {
                let why = "money is taken out by POST /market/withdrawals";
                return say(StatusCode::BAD_REQUEST, "not_here", why);
            }
            Operation::Fund { job } if opened(*job) => Some(by),
            operation => desk.read(|state| state.actor(operation)),
        };
        if actor != Some(by) {
            let why = match actor {
                Some(actor) => format!("only {actor} can ask for this, and {by} asks"),
                None => "there is no such job or offer, or only the market itself does this".into(),
            };
            return say(StatusCode::FORBIDDEN, "not_yours", why);
        }
    }
    if let Some(refusal) = doors.unfunded(by) {
        return refusal;
    }
    // All at once, so that they are written together.
    let kept = documents.into_iter().map(|it| desk.keep(Document { author: by, ..it }));
    if let Err(error) = futures_util::future::try_join_all(kept).await {
        return match error.can_retry() {
            true => broken(error),
            false => say(StatusCode::BAD_REQUEST, "refused", error),
        };
    }
    let described = asked.iter().filter(|o| matches!(o, Operation::Open(_))).count();
    if described > 0 && desk.read(|state| state.unfunded(by)) + described > MOST_UNFUNDED {
        let why = format!(
            "at most {MOST_UNFUNDED} jobs may be described and without money: fund or cancel some"
        );
        return say(StatusCode::TOO_MANY_REQUESTS, "too_many", why);
    }
    let reading = desk.clone();
    let briefs = briefs(desk, &asked).into_iter().map(|brief| ("brief", brief));
    // The desk refuses these itself; here it is said with its own code, before anything is done.
    let deliverables = desk.deliverables(&asked).into_iter().map(|(it, _)| ("deliverable", it));
    let needed: BTreeSet<(&str, Digest)> = briefs.chain(deliverables).collect();
    let missing = move || {
        needed.into_iter().find_map(|(what, document)| match reading.holds(document, by) {
            Ok(true) => None,
            found => Some(found.map(|_| (what, document))),
        })
    };
    match tokio::task::spawn_blocking(missing).await {
        Ok(None) => {}
        Ok(Some(Ok((what, document)))) => {
            let why = format!(
                "you have not handed in the {what} {document}: POST its bytes to /market/documents first, then send this again"
            );
            return say(StatusCode::CONFLICT, &format!("no_{what}"), why);
        }
        Ok(Some(Err(error))) => return broken(error),
        Err(error) => return broken(error),
    }
    let wakes = asked.iter().any(|o| matches!(o, Operation::Open(_) | Operation::Fund { .. }));
    if wakes && let Err(failure) = doors.market.wake().await {
        tracing::warn!(error = failure.message, "the market's machines cannot work");
    }
    // What has begun is brought to its end, whoever hangs up.
    let desk = desk.clone();
    let submitted = tokio::spawn(async move { desk.submit_all(asked).await }).await;
    match submitted {
        Ok(Ok(outcomes)) => {
            axum::Json(outcomes.iter().map(told).collect::<Vec<_>>()).into_response()
        }
        Ok(Err(error)) => broken(error),
        Err(error) => broken(error),
    }
}

/// The briefs of the jobs that are opened or funded here. They must be at the desk before anybody can be
/// hired: a machine at a posted price is not asked, and a brief that comes after its work would make
/// whoever checks find another answer.
fn briefs(desk: &Desk, asked: &[Operation]) -> BTreeSet<Digest> {
    let brief = |operation: &Operation| match operation {
        Operation::Open(terms) => Some(terms.brief),
        Operation::Fund { job } => desk.read(|state| state.job(*job).map(|job| job.terms.brief)),
        _ => None,
    };
    asked.iter().filter_map(brief).collect()
}

/// What one request hands in: operations, and documents that they are about.
struct HandedIn {
    documents: Vec<Document>,
    operations: Vec<Operation>,
}

impl HandedIn {
    /// A list of operations; or an object that has one, and documents in base64.
    fn read(body: &[u8]) -> Result<HandedIn, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            #[serde(default)]
            documents: Vec<Encoded>,
            operations: Vec<Operation>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Encoded {
            media_type: String,
            body: String,
        }
        let is_whole = body.trim_ascii_start().starts_with(b"{");
        let read: Result<Whole, _> = match is_whole {
            true => serde_json::from_slice(body),
            false => serde_json::from_slice(body)
                .map(|operations| Whole { documents: Vec::new(), operations }),
        };
        let Whole { documents, operations } = read.map_err(|error| {
            format!("the body is no JSON list of operations, and no object with one: {error}")
        })?;
        let is_within = |count: usize| count <= MOST_OPERATIONS;
        if operations.is_empty() || !is_within(operations.len()) || !is_within(documents.len()) {
            return Err(format!(
                "1 to {MOST_OPERATIONS} operations at a time, and no more documents"
            ));
        }
        let decode = |Encoded { media_type, body }| match STANDARD.decode(body) {
            // Whose it is is told by the signature.
            Ok(body) => Ok(Document { author: Party::new([0; 20]), media_type, body }),
            Err(error) => Err(format!("the body of a document is no base64: {error}")),
        };
        let documents = documents.into_iter().map(decode).collect::<Result<_, String>>()?;
        Ok(HandedIn { documents, operations })
    }
}

fn told(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Applied => json!({ "outcome": "applied" }),
        Outcome::Exists => json!({ "outcome": "exists" }),
        Outcome::Refused(refusal) => json!({
            "outcome": "refused",
            "reason": refusal,
            "message": refusal.to_string(),
            "mayRetry": refusal.can_retry(),
        }),
    }
}

async fn keep(State(doors): State<Doors>, request: Request) -> Response {
    let (parts, body) = match split(request, MAX_DOCUMENT).await {
        Ok(split) => split,
        Err(refusal) => return *refusal,
    };
    let author = match doors.admit(&parts, &body, 1) {
        Ok(author) => author,
        Err(refusal) => return *refusal,
    };
    if let Some(refusal) = doors.unfunded(author) {
        return refusal;
    }
    let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let media_type = media_type.unwrap_or("application/octet-stream").to_owned();
    match doors.market.desk().keep(Document { author, media_type, body: body.into() }).await {
        Ok(digest) => axum::Json(json!({ "digest": digest })).into_response(),
        Err(error) if error.can_retry() => broken(error),
        Err(error) => say(StatusCode::BAD_REQUEST, "refused", error),
    }
}

/// A file that the brief names: for whoever may read the brief.
async fn brief_file(
    State(doors): State<Doors>,
    Path((job, digest)): Path<(String, String)>,
    request: Request,
) -> Response {
    let Ok(digest) = digest.parse::<Digest>() else {
        return say(
            StatusCode::BAD_REQUEST,
            "no_digest",
            "a digest is 0x and 64 hexadecimal digits",
        );
    };
    read(&doors, &job, request, move |market, job, reader| market.brief_file(job, digest, reader))
        .await
}

async fn brief(State(doors): State<Doors>, Path(job): Path<String>, request: Request) -> Response {
    read(&doors, &job, request, |market, job, reader| market.desk().brief(job, reader)).await
}

async fn answer(State(doors): State<Doors>, Path(job): Path<String>, request: Request) -> Response {
    read(&doors, &job, request, |market, job, reader| market.desk().answer(job, reader)).await
}

async fn read(
    doors: &Doors,
    job: &str,
    request: Request,
    find: impl FnOnce(&Market, JobId, Party) -> Result<Option<Document>, ::market::desk::DeskError>
    + Send
    + 'static,
) -> Response {
    let Ok(job) = job.parse::<JobId>() else { return no_job() };
    let (parts, _) = request.into_parts();
    let reader = match doors.admit(&parts, b"", 1) {
        Ok(reader) => reader,
        Err(refusal) => return *refusal,
    };
    let market = Arc::clone(&doors.market);
    let found = match tokio::task::spawn_blocking(move || find(&market, job, reader)).await {
        Ok(found) => found,
        Err(error) => return broken(error),
    };
    match found {
        Ok(Some(document)) => {
            // A stranger's bytes: they are handed over, and never shown as a page of ours.
            let headers = [
                (header::CONTENT_TYPE, document.media_type),
                (header::CONTENT_DISPOSITION, "attachment".into()),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff".into()),
            ];
            (headers, document.body).into_response()
        }
        Ok(None) => say(StatusCode::NOT_FOUND, "not_for_you", "there is nothing here for you yet"),
        Err(error) => broken(error),
    }
}

#[derive(Deserialize)]
struct WithdrawOrder {
    /// The withdrawal's name; the same one again is the same withdrawal. Without it the signed
    /// request is its own name.
    id: Option<MoveId>,
    /// How much; all that is free if it is not said, and if it was asked for before, what it was.
    amount: Option<Amount>,
}

async fn withdraw(State(doors): State<Doors>, request: Request) -> Response {
    let (parts, body) = match split(request, MAX_OPERATIONS).await {
        Ok(split) => split,
        Err(refusal) => return *refusal,
    };
    let order: WithdrawOrder = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => {
            let why = format!("the body is no withdrawal: {error}");
            return say(StatusCode::BAD_REQUEST, "malformed", why);
        }
    };
    let by = match doors.admit(&parts, &body, 1) {
        Ok(by) => by,
        Err(refusal) => return *refusal,
    };
    let market = Arc::clone(&doors.market);
    if by == market.party() {
        let why = "what is the market's own stays with it: it answers for what it keeps";
        return say(StatusCode::FORBIDDEN, "not_yours", why);
    }
    // A name is its party's own: nobody takes another's. Without one it is the request's: who sends
    // on what another has signed asks for the same again.
    let id = match (order.id, parts.headers.get(signature::AT)) {
        (Some(id), _) => MoveId::derive(&[by.as_bytes(), &id.as_u128().to_be_bytes()]),
        (None, Some(at)) => {
            let body = Sha256::digest(&body);
            MoveId::derive(&[b"request", by.as_bytes(), at.as_bytes(), &body])
        }
        (None, None) => Market::new_move(),
    };
    let amount = order.amount;
    let paid = tokio::spawn(async move { market.withdraw_asked(id, by, amount).await }).await;
    match paid {
        Ok(Ok(paid)) => axum::Json(paid).into_response(),
        Ok(Err(failure)) => failed(&failure),
        Err(error) => broken(error),
    }
}

#[derive(Deserialize)]
struct DepositOrder {
    amount: Option<String>,
}

async fn deposit(
    State(doors): State<Doors>,
    Query(order): Query<DepositOrder>,
    request: Request,
) -> Response {
    let parts = &doors.market.parts;
    let token = parts.chain.token();
    let read = |text: &str| Amount::parse(token.asset, text).map_err(|e| e.to_string());
    let most = read(LARGEST_DEPOSIT).map_or(i128::MAX, |most| most.minor());
    let amount = order.amount.as_deref().ok_or_else(|| "say how much: `?amount=0.5`".to_owned());
    let amount = amount.and_then(read).and_then(|amount| {
        let fits = amount.is_positive() && amount.minor() <= most;
        fits.then_some(amount).ok_or_else(|| format!("{amount} cannot be paid in"))
    });
    let amount = match amount {
        Ok(amount) => amount,
        Err(why) => return say(StatusCode::BAD_REQUEST, "no_amount", why),
    };
    let mut offer = Offer::new(
        "market/deposits",
        http::Method::POST,
        format!("{}/market/deposits?amount={}", parts.base, amount.number()),
        amount,
        doors.market.party(),
        token.clone(),
    );
    offer.description = "Money that stays yours at the labour market: for hiring, and for stakes. What you do not spend you take back.".into();
    offer.income = Line::Owed;
    // Who pays for each job when it comes pays from a channel: no transaction, and no waiting for one.
    // But each is a row at the desk for ever, so not by the hundred for next to nothing.
    if read(LEAST_BY_CHANNEL).is_ok_and(|least| amount.minor() >= least.minor()) {
        offer.ways.push(Way::Channel(channel_terms(&parts.cast.market)));
    }
    offer.max_body = 1_024;
    let work = service_fn(move |_: http::Request<Body>| async move {
        let said = json!({ "amount": amount, "message": "it is yours at the market as soon as its payment is settled" });
        Ok::<Response, Infallible>(axum::Json(said).into_response())
    });
    let paid = parts.gate.layer(offer).layer(work);
    paid.oneshot(request).await.unwrap_or_else(|never| match never {})
}

/// A request's head and body, within its bound.
async fn split(request: Request, most: usize) -> Result<(Parts, Bytes), Box<Response>> {
    let (parts, body) = request.into_parts();
    match axum::body::to_bytes(body, most).await {
        Ok(body) => Ok((parts, body)),
        Err(_) => {
            let why = format!("the body did not arrive whole within {most} bytes");
            Err(Box::new(say(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_much_waits_and_others_do_not() {
        let bounds = Bounds::default();
        let (one, other) = (Party::new([1; 20]), Party::new([2; 20]));
        let at = Timestamp::from_millis;
        assert!(bounds.admit(one, 1_000, at(0)));
        assert!(!bounds.admit(one, 1, at(9_999)));
        assert!(bounds.admit(other, 1_000, at(9_999)));
        assert!(bounds.admit(one, 1_000, at(10_000)));
    }
}
