//! The programs' door, `/api/v1`: what commands ask of a running economy.
//!
//! `info` and `economy` are for everyone: what the pages show too. Books, paying, making money and
//! a fresh look at the chain are for who can read the token in the home: commands of the same user.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::Assembly;
use super::publication::{Form, Publication};
use crate::failure::Failure;
use crate::report::{
    ApprovalReport, ChannelReport, ClosedReport, DecisionOrder, HireOrder, HirePlan, HireStarted,
    InscribedReport, JobReport, OffersFound, PayOrder, StallOrder, StallReport,
};

/// The largest request: a picture in base64, and some room.
const MAX_REQUEST: usize = 32 * 1024 * 1024;

/// What to make for whom.
#[derive(Debug, Serialize, Deserialize)]
pub struct FundOrder {
    /// A name or an address.
    pub to: String,
    /// Whole dollars.
    pub amount: String,
}

/// What to put on the chain.
#[derive(Debug, Serialize, Deserialize)]
pub struct InscribeOrder {
    /// 32 bytes in hex.
    pub digest: String,
    /// By which transactions it may be there already: one that the chain has is not done again.
    #[serde(default)]
    pub unless: Vec<String>,
}

/// What to allow a machine.
#[derive(Debug, Serialize, Deserialize)]
pub struct GrantOrder {
    /// Which, by its name or address; the shopper if not said.
    #[serde(default)]
    pub machine: Option<String>,
    /// In all.
    pub lifetime: String,
    /// For one payment.
    pub per_payment: String,
    /// In 24 hours.
    pub daily: Option<String>,
    /// For how many days.
    pub days: u16,
    /// Above what one payment needs the owner's word.
    #[serde(default)]
    pub ask_above: Option<String>,
    /// Above what a day's payments need it.
    #[serde(default)]
    pub ask_above_daily: Option<String>,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    entries: usize,
}

/// The routes; `token` lets in.
pub fn router(assembly: Arc<Assembly>, token: String) -> Router {
    let token: Arc<str> = token.into();
    let private =
        Router::new()
            .route("/economy/now", get(economy_now))
            .route("/economy/report/{form}", get(economy_report))
            .route("/economy/retype", post(economy_retype))
            .route("/books", get(all_books))
            .route("/books/{party}", get(books))
            .route("/pay", post(pay))
            .route("/quote", post(quote))
            .route("/fund", post(fund))
            .route("/grant", post(grant))
            .route("/approvals", get(approvals).post(decide))
            .route("/outlook/inscribe", post(inscribe))
            .route("/outlook/measured", get(measured))
            .route("/hire", post(hire))
            .route("/hire/plan", post(plan_hire))
            .route("/jobs", get(jobs))
            .route("/jobs/{id}", get(job))
            .route("/jobs/{id}/say", post(say_of_job))
            .route("/jobs/{id}/cancel", post(cancel_job))
            .route("/market/offers", get(find_offers))
            .route("/market/withdraw", post(withdraw))
            .route("/reputation", get(reputation))
            .route("/market/deposit", post(deposit))
            .route("/channels", get(channels))
            .route("/channels/close", post(close_channel))
            .route("/stalls", post(open_stall))
            .route("/stalls/{name}", delete(close_stall))
            .layer(axum::middleware::from_fn(move |request: Request, next: Next| {
                let token = token.clone();
                async move {
                    if lets_in(&request, &token) { next.run(request).await } else { stranger() }
                }
            }));
    Router::new()
        .route("/info", get(info))
        .route("/economy", get(economy))
        .merge(private)
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(assembly)
}

fn lets_in(request: &Request, token: &str) -> bool {
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or("");
    is_token(shown, token)
}

/// Whether what is shown is the token, compared without an early end, so that time tells nothing of
/// it.
pub fn is_token(shown: &str, token: &str) -> bool {
    shown.len() == token.len()
        && shown.bytes().zip(token.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

fn stranger() -> Response {
    let failure = Failure::new("this is for commands of the economy's own user")
        .hint("use the `machina` command with the same home");
    (StatusCode::UNAUTHORIZED, Json(failure)).into_response()
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            if self.misuse { StatusCode::BAD_REQUEST } else { StatusCode::UNPROCESSABLE_ENTITY };
        (status, Json(self)).into_response()
    }
}

type Answer<T> = Result<Json<T>, Failure>;

async fn info(State(assembly): State<Arc<Assembly>>) -> Json<crate::report::Info> {
    Json(assembly.info(true))
}

async fn economy(State(assembly): State<Arc<Assembly>>) -> Answer<crate::report::EconomyReport> {
    assembly.economy().map(Json)
}

async fn economy_now(
    State(assembly): State<Arc<Assembly>>,
) -> Answer<crate::report::EconomyReport> {
    assembly.economy_now().await.map(Json)
}

async fn economy_report(
    State(assembly): State<Arc<Assembly>>,
    Path(form): Path<Form>,
) -> Answer<Publication> {
    assembly.publish(form).await.map(Json)
}

/// What a trade shall count as.
#[derive(Deserialize)]
struct RetypeOrder {
    trade: String,
    kind: String,
    reason: String,
}

async fn economy_retype(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<RetypeOrder>,
) -> Answer<crate::report::RetypeReport> {
    let RetypeOrder { trade, kind, reason } = order;
    assembly.retype(&crate::cli::Retype { trade, kind, reason }).await.map(Json)
}

async fn all_books(
    State(assembly): State<Arc<Assembly>>,
    Query(wanted): Query<Wanted>,
) -> Answer<Vec<crate::report::Books>> {
    assembly
        .booked()
        .iter()
        .map(|party| assembly.books(&party.name, wanted.entries))
        .collect::<Result<_, _>>()
        .map(Json)
}

async fn books(
    State(assembly): State<Arc<Assembly>>,
    Path(party): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer<crate::report::Books> {
    assembly.books(&party, wanted.entries).map(Json)
}

async fn pay(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<PayOrder>,
) -> Answer<crate::report::PayReport> {
    // A payment that has begun is brought to its end, whoever hangs up.
    tokio::spawn(async move { assembly.pay(order).await }).await.map_err(Failure::new)?.map(Json)
}

async fn quote(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<PayOrder>,
) -> Answer<crate::report::QuoteReport> {
    assembly.quote(order).await.map(Json)
}

async fn inscribe(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<InscribeOrder>,
) -> Result<Json<InscribedReport>, Failure> {
    assembly.inscribe(&order.digest, &order.unless).await.map(Json)
}

async fn measured(State(assembly): State<Arc<Assembly>>) -> Answer<crate::report::MeasuredReport> {
    assembly.measured().await.map(Json)
}

async fn fund(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<FundOrder>,
) -> Answer<crate::report::FundReport> {
    assembly.fund(&order.to, &order.amount).await.map(Json)
}

async fn plan_hire(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<HireOrder>,
) -> Answer<HirePlan> {
    assembly.plan_hire(&order).await.map(Json)
}

async fn hire(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<HireOrder>,
) -> Answer<HireStarted> {
    // Money that is on its way goes on, whoever hangs up.
    tokio::spawn(async move { assembly.hire(order).await }).await.map_err(Failure::new)?.map(Json)
}

#[derive(Deserialize)]
struct Limit {
    #[serde(default)]
    limit: usize,
}

async fn jobs(
    State(assembly): State<Arc<Assembly>>,
    Query(wanted): Query<Limit>,
) -> Answer<Vec<JobReport>> {
    let list = move || assembly.job_reports(wanted.limit);
    tokio::task::spawn_blocking(list).await.map_err(Failure::new)?.map(Json)
}

#[derive(Deserialize)]
struct Wait {
    /// How long to wait for news, in milliseconds.
    #[serde(default)]
    wait: u64,
}

async fn job(
    State(assembly): State<Arc<Assembly>>,
    Path(id): Path<String>,
    Query(Wait { wait }): Query<Wait>,
) -> Answer<JobReport> {
    assembly.job_news(&id, std::time::Duration::from_millis(wait)).await.map(Json)
}

/// What a client says of a person's work.
#[derive(Deserialize)]
struct SayOrder {
    accepts: bool,
}

async fn say_of_job(
    State(assembly): State<Arc<Assembly>>,
    Path(id): Path<String>,
    Json(SayOrder { accepts }): Json<SayOrder>,
) -> Answer<JobReport> {
    let saying = tokio::spawn(async move { assembly.say_of_job(&id, accepts).await });
    saying.await.map_err(Failure::new)?.map(Json)
}

async fn cancel_job(
    State(assembly): State<Arc<Assembly>>,
    Path(id): Path<String>,
) -> Answer<JobReport> {
    assembly.cancel_job(&id).await.map(Json)
}

/// What is looked for at the market.
#[derive(Deserialize)]
struct Like {
    #[serde(default)]
    like: String,
    #[serde(default)]
    skip: usize,
}

async fn find_offers(
    State(assembly): State<Arc<Assembly>>,
    Query(Like { like, skip }): Query<Like>,
) -> Answer<OffersFound> {
    assembly.find_offers(&like, skip).await.map(Json)
}

/// What the shopper takes out; all that is free if it does not say.
#[derive(Deserialize)]
struct WithdrawOrder {
    amount: Option<String>,
}

async fn withdraw(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<WithdrawOrder>,
) -> Answer<super::market::PaidBack> {
    let taking = tokio::spawn(async move { assembly.withdraw(order.amount.as_deref()).await });
    taking.await.map_err(Failure::new)?.map(Json)
}

#[derive(Deserialize)]
struct Whose {
    /// A name or an address; everyone without it.
    party: Option<String>,
}

async fn reputation(
    State(assembly): State<Arc<Assembly>>,
    Query(whose): Query<Whose>,
) -> Answer<Vec<crate::report::ReputationReport>> {
    assembly.reputation(whose.party.as_deref()).await.map(Json)
}

/// What the shopper pays in at the labour market.
#[derive(Deserialize)]
struct DepositOrder {
    /// Whole dollars.
    amount: String,
}

async fn deposit(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<DepositOrder>,
) -> Answer<super::market::Deposited> {
    let paying = tokio::spawn(async move { assembly.deposit(&order.amount).await });
    paying.await.map_err(Failure::new)?.map(Json)
}

async fn channels(State(assembly): State<Arc<Assembly>>) -> Answer<Vec<ChannelReport>> {
    assembly.channels().map(Json)
}

/// Which channel to close.
#[derive(Deserialize)]
struct CloseOrder {
    channel: String,
}

async fn close_channel(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<CloseOrder>,
) -> Answer<ClosedReport> {
    let closing = tokio::spawn(async move { assembly.close_channel(&order.channel).await });
    closing.await.map_err(Failure::new)?.map(Json)
}

async fn open_stall(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<StallOrder>,
) -> Answer<StallReport> {
    assembly.open_stall(&order).await.map(Json)
}

async fn close_stall(
    State(assembly): State<Arc<Assembly>>,
    Path(name): Path<String>,
) -> Answer<StallReport> {
    assembly.close_stall(&name).await.map(Json)
}

async fn approvals(State(assembly): State<Arc<Assembly>>) -> Answer<Vec<ApprovalReport>> {
    assembly.approvals_read().await.map(Json)
}

async fn decide(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<DecisionOrder>,
) -> Answer<ApprovalReport> {
    assembly.decide(order).await.map(Json)
}

async fn grant(
    State(assembly): State<Arc<Assembly>>,
    Json(order): Json<GrantOrder>,
) -> Answer<crate::report::MandateReport> {
    let GrantOrder { machine, lifetime, per_payment, daily, days, ask_above, ask_above_daily } =
        order;
    let grant = crate::cli::Grant {
        machine,
        lifetime,
        per_payment,
        daily,
        days,
        ask_above,
        ask_above_daily,
    };
    assembly.grant_text(&grant).await.map(Json)
}
