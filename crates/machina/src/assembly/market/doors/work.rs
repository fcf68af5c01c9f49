//! `GET /market/work`: which jobs wait for who asks, as it happens.
//!
//! `?after=N` is the number of the last answer; without it, or where that number says nothing any
//! longer, the answer is all that waits (`"whole": true`). `?wait=SECONDS` holds the answer back until
//! there is something to tell. `?briefs=true` hands over the briefs of what there is to do, small ones.

use std::collections::HashSet;
use std::time::Duration;

use ::market::desk::Desk;
use ::market::{JobId, Party};
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::noticeboard::{Asks, Heard, Listener, waits};
use super::{Doors, broken, say};

/// How long an answer is held back at most, and if nobody says how long.
const LONGEST: Duration = Duration::from_secs(30);
const USUAL_SECONDS: u64 = 20;
/// The most notices of one answer, and of briefs that come along: what is left comes with the next.
const MOST: usize = 128;
/// The most jobs of an answer that tells all that waits.
const MOST_IN_ALL: usize = 4_096;
/// The most bytes of a brief that comes along; larger ones are read by themselves.
const LARGEST_BRIEF: u64 = 16 << 10;

#[derive(Deserialize)]
pub(super) struct Asked {
    after: Option<u64>,
    #[serde(default = "usual")]
    wait: u64,
    #[serde(default)]
    briefs: bool,
}

fn usual() -> u64 {
    USUAL_SECONDS
}

/// One job of an answer.
struct Told {
    job: JobId,
    asks: Asks,
    value: Value,
}

pub(super) async fn work(
    State(doors): State<Doors>,
    Query(asked): Query<Asked>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let party = match doors.admit(&parts, b"", 1) {
        Ok(party) => party,
        Err(refusal) => return *refusal,
    };
    if let Some(refusal) = doors.unfunded(party) {
        return refusal;
    }
    let (desk, board) = (doors.market.desk(), doors.market.board());
    let skills = desk.read(|state| {
        let own = state.offers().filter(|offer| offer.worker == party);
        own.map(|offer| offer.skill).collect()
    });
    let listener = Listener { party, skills };
    let patience = Duration::from_secs(asked.wait).min(LONGEST);
    let end = tokio::time::Instant::now() + patience;
    let mut after = asked.after;
    let (whole, told, more) = loop {
        let last = match board.heard(&listener, after) {
            Heard::Anew(last) => {
                // What changes after this look has a greater number.
                let (told, more) = all(desk, &listener);
                after = Some(last);
                break (true, told, more);
            }
            Heard::Since(mut notices, last) => {
                let more = notices.len() > MOST;
                notices.truncate(MOST);
                let last = notices.last().filter(|_| more).map_or(last, |notice| notice.number);
                // What waits no longer is no news.
                let told = still(desk, &listener, notices.iter().map(|it| (it.job, it.asks)));
                after = Some(last);
                if !told.is_empty() || more {
                    break (false, told, more);
                }
                last
            }
        };
        if board.is_closed() || tokio::time::Instant::now() >= end {
            break (false, Vec::new(), false);
        }
        let Some(place) = board.wait(&listener, last) else {
            let why = "too many wait for work, or you with too many requests: ask with wait=0";
            return say(StatusCode::TOO_MANY_REQUESTS, "too_many", why);
        };
        // Woken or not, it looks once more.
        let _ = tokio::time::timeout_at(end, place.woken()).await;
    };
    let work = match asked.briefs {
        true => match with_briefs(&doors, party, told).await {
            Ok(work) => work,
            Err(error) => return broken(error),
        },
        false => told.into_iter().map(|told| told.value).collect(),
    };
    let answer = json!({ "after": after, "whole": whole, "more": more, "work": work });
    axum::Json(answer).into_response()
}

fn value(job: &::market::Job, asks: Asks) -> Value {
    json!({
        "job": job.terms.id,
        "asks": asks.name(),
        "skill": job.terms.skill,
        "stage": job.stage,
        "until": job.deadline,
    })
}

/// All that waits for a listener, the oldest first, and whether there is more.
fn all(desk: &Desk, listener: &Listener) -> (Vec<Told>, bool) {
    desk.read(|state| {
        let mut told = state.under_way().flat_map(|job| {
            let meant = waits(job).into_iter().filter(|(whom, _)| listener.is_meant(*whom));
            let value = |(_, asks)| Told { job: job.terms.id, asks, value: value(job, asks) };
            meant.map(value).collect::<Vec<_>>()
        });
        let first = told.by_ref().take(MOST_IN_ALL).collect();
        (first, told.next().is_some())
    })
}

/// Those of these that still wait for a listener, each once.
fn still(
    desk: &Desk,
    listener: &Listener,
    notices: impl Iterator<Item = (JobId, Asks)>,
) -> Vec<Told> {
    let mut seen = HashSet::new();
    desk.read(|state| {
        let mut told = Vec::new();
        for (id, asks) in notices {
            let Some(job) = state.job(id) else { continue };
            let waits = waits(job);
            let is_so = waits.iter().any(|it| it.1 == asks && listener.is_meant(it.0));
            if is_so && seen.insert((id, asks.name())) {
                told.push(Told { job: id, asks, value: value(job, asks) });
            }
        }
        told
    })
}

/// With what is to be done, where it is small and the party may read it; each counts as a request.
async fn with_briefs(doors: &Doors, party: Party, told: Vec<Told>) -> Result<Vec<Value>, String> {
    let needed = told.iter().filter(|told| told.asks.needs_brief()).count().min(MOST);
    let now = doors.market.parts.clock.now();
    if needed == 0 || !doors.market.bounds.admit(party, needed, now) {
        return Ok(told.into_iter().map(|told| told.value).collect());
    }
    let desk = doors.market.desk().clone();
    let reading = move || {
        let mut room = MOST;
        told.into_iter()
            .map(|Told { job, asks, mut value }| {
                if !asks.needs_brief() || room == 0 {
                    return Ok(value);
                }
                room -= 1;
                let digest = desk.read(|state| state.job(job).map(|job| job.terms.brief));
                let length = digest.map_or(Ok(None), |digest| desk.document_len(digest))?;
                let is_small = length.is_some_and(|length| length <= LARGEST_BRIEF);
                let brief = if is_small { desk.brief(job, party)? } else { None };
                if let Some(brief) = brief {
                    value["brief"] = json!({
                        "mediaType": brief.media_type,
                        "body": STANDARD.encode(brief.body),
                    });
                }
                Ok(value)
            })
            .collect::<Result<Vec<Value>, ::market::desk::DeskError>>()
    };
    let read = tokio::task::spawn_blocking(reading).await.map_err(|error| error.to_string())?;
    read.map_err(|error| error.to_string())
}
