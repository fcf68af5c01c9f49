//! What can be opened, and who answers.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use maud::Markup;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::events::{self, LISTENERS, Seats};
use crate::forecasts::Forecasts;
use crate::pages::trouble::Trouble;
use crate::pages::{accounts, counted, machine, outlook, square, trades, trail};
use crate::shield::{PICTURE_POLICY, shield};
use crate::view::Economy;
use crate::{assets, pages};

#[derive(Clone)]
struct Shared {
    economy: Arc<dyn Economy>,
    seats: Seats,
    forecasts: Arc<Forecasts>,
}

/// The pages of this economy, ready to be served or merged into a larger router.
///
/// It brings the fallback for unknown paths, so nothing merged with it may have one of its own.
pub fn router(economy: Arc<dyn Economy>) -> Router {
    let seats = Arc::new(Semaphore::new(LISTENERS));
    let shared = Shared { economy, seats, forecasts: Arc::new(Forecasts::new()) };
    Router::new()
        .route("/", get(show_square))
        .route("/trades", get(show_trades))
        .route("/trades/{id}", get(show_trail))
        .route("/economy", get(show_accounts))
        .route("/economy/{figure}", get(show_counted))
        .route("/outlook", get(show_outlook))
        .route("/m/{name}", get(show_machine))
        .route("/pictures/{id}", get(show_picture))
        .route("/events", get(open_events))
        .route("/healthz", get(async || "ok\n"))
        .route("/assets/{name}", get(assets::asset))
        .fallback(async || Trouble::NoSuchPage)
        .method_not_allowed_fallback(async || Trouble::NotAllowed)
        .layer(from_fn(shield))
        .with_state(shared)
}

/// Asks the economy on a thread that may wait.
pub(crate) async fn ask<T: Send + 'static>(
    economy: &Arc<dyn Economy>,
    question: impl FnOnce(&dyn Economy) -> T + Send + 'static,
) -> Result<T, Trouble> {
    let economy = Arc::clone(economy);
    tokio::task::spawn_blocking(move || question(&*economy)).await.map_err(|failure| {
        tracing::error!(%failure, "the economy could not answer a page");
        Trouble::Broken
    })
}

async fn show_square(State(shared): State<Shared>) -> Result<Markup, Trouble> {
    let square = ask(&shared.economy, square::Square::of).await?;
    Ok(square::page(&square))
}

#[derive(Deserialize)]
struct Older {
    before: Option<u64>,
}

async fn show_trades(
    State(shared): State<Shared>,
    older: Result<Query<Older>, QueryRejection>,
) -> Result<Markup, Trouble> {
    let Query(Older { before }) = older.map_err(|_| Trouble::BadPlace)?;
    let page = ask(&shared.economy, move |economy| trades::Page::of(economy, before)).await?;
    Ok(trades::page(&page))
}

async fn show_trail(
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Markup, Trouble> {
    let id = reference(id).ok_or(Trouble::NoSuchTrade)?;
    let trail = ask(&shared.economy, move |economy| economy.trade(&id)).await?;
    trail.map(|trail| trail::page(&trail)).ok_or(Trouble::NoSuchTrade)
}

async fn show_accounts(State(shared): State<Shared>) -> Result<Markup, Trouble> {
    // The place in the stream first: what is settled meanwhile is then told by it.
    let page = ask(&shared.economy, accounts::Page::of).await?;
    Ok(accounts::page(&page))
}

async fn show_counted(
    State(shared): State<Shared>,
    figure: Result<Path<String>, PathRejection>,
    older: Result<Query<Older>, QueryRejection>,
) -> Result<Markup, Trouble> {
    let Path(figure) = figure.map_err(|_| Trouble::NoSuchPage)?;
    let Query(Older { before }) = older.map_err(|_| Trouble::BadPlace)?;
    let page =
        ask(&shared.economy, move |economy| counted::Page::of(economy, figure, before)).await?;
    page.map(|page| counted::page(&page)).ok_or(Trouble::NoSuchPage)
}

/// The answer to what the address asks. A form's fields are led to the address that says the same in
/// few words; what makes no sense is told, with 400, on the page without it.
async fn show_outlook(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let query = query.unwrap_or_default();
    if query.len() > outlook::LONGEST {
        return Err(Trouble::LongQuestion);
    }
    let uri = Uri::builder().path_and_query(format!("/outlook?{query}")).build();
    let uri = uri.map_err(|_| Trouble::BadPlace)?;
    let Query(pairs) =
        Query::<Vec<(String, String)>>::try_from_uri(&uri).map_err(|_| Trouble::BadPlace)?;
    let view = ask(&shared.economy, |economy| economy.outlook()).await?;
    let asked = outlook::Asked::read(&pairs, &view);
    if asked.from_form && asked.troubles.is_empty() {
        return Ok(Redirect::to(&asked.path()).into_response());
    }
    let report = shared.forecasts.answer(asked.question.clone()).await?;
    let status = if asked.troubles.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let page = outlook::Page { asked, view, report };
    let shown = ask(&shared.economy, move |_| outlook::page(&page)).await?;
    Ok((status, shown).into_response())
}

/// A page for people, the machine's own words for programs.
async fn show_machine(
    State(shared): State<Shared>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Trouble> {
    let Path(name) = name.map_err(|_| Trouble::NoSuchMachine)?;
    let reads_pages = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let answer = ask(&shared.economy, move |economy| {
        if reads_pages {
            let machine = economy.machines().into_iter().find(|m| m.name == name)?;
            Some(machine::page(&machine).into_response())
        } else {
            Some(Json(economy.sign(&name)?).into_response())
        }
    });
    answer.await?.ok_or(Trouble::NoSuchMachine)
}

async fn show_picture(
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Trouble> {
    let id = reference(id).ok_or(Trouble::NoSuchPicture)?;
    let picture = ask(&shared.economy, move |economy| economy.picture(&id)).await?;
    let picture = picture.ok_or(Trouble::NoSuchPicture)?;
    let media_type = ["image/jpeg", "image/png", "image/webp"]
        .into_iter()
        .find(|safe| *safe == picture.media_type)
        .ok_or(Trouble::NoSuchPicture)?;
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_SECURITY_POLICY, PICTURE_POLICY),
        // A trade's picture never changes, but it may be someone's: not for shared caches.
        (header::CACHE_CONTROL, "private, max-age=86400, immutable"),
    ];
    Ok((headers, picture.bytes).into_response())
}

#[derive(Deserialize)]
struct Since {
    since: Option<u64>,
}

async fn open_events(
    State(shared): State<Shared>,
    headers: HeaderMap,
    since: Result<Query<Since>, QueryRejection>,
) -> Result<impl IntoResponse, Trouble> {
    let Query(Since { since }) = since.map_err(|_| Trouble::BadPlace)?;
    let stopped_at = events::stopped_at(&headers, since);
    events::events(shared.economy, shared.seats, stopped_at).await
}

/// A trade's reference from a path, if it looks like one: `0x` and 1 to 64 hexadecimal digits.
/// The answer is in lower case, so that one trade has one reference.
fn reference(path: Result<Path<String>, PathRejection>) -> Option<String> {
    let Path(text) = path.ok()?;
    pages::is_reference(&text).then(|| text.to_ascii_lowercase())
}
