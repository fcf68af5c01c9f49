//! A facilitator served to others over HTTP.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Asker, EmbeddedFacilitator, Facilitator as _, discovery};
use crate::auth_capture::SCHEME as ESCROW;
use crate::channel::SCHEME as CHANNELS;
use crate::exact::Invalid;
use crate::extensions::listing::{self, Entry};
use crate::wire::{self, FacilitatorRequest, SettleResponse, Supported, VerifyResponse};

/// The largest request that a facilitator reads, in bytes. A payment is far smaller; but who sends
/// a megabyte of nonsense loses the answer if the connection ends while it still writes.
const MAX_REQUEST: usize = 1_200_000;

/// How many requests a served facilitator works on at once.
const MAX_AT_ONCE: usize = 256;

/// Tells the seller what became of the extensions in a payment (`specs/extensions/bazaar.md`).
const EXTENSION_RESPONSES: &str = "extension-responses";

impl EmbeddedFacilitator {
    /// What is said of a payment's extensions, if it is settled.
    fn extension_responses(&self, request: &FacilitatorRequest) -> Option<HeaderValue> {
        self.catalogue.as_ref()?;
        if [CHANNELS, ESCROW].contains(&request.payment_requirements.scheme.as_str()) {
            return None;
        }
        let read = Entry::read(&request.payment_payload, &request.payment_requirements)?;
        let said = match read {
            Ok(_) => json!({ "status": "success" }),
            Err(reason) => json!({ "status": "rejected", "rejectedReason": reason }),
        };
        Some(wire::encode(&json!({ listing::NAME: said })))
    }
}

/// What the routes share.
#[derive(Clone)]
struct Served {
    facilitator: Arc<EmbeddedFacilitator>,
    places: Arc<Semaphore>,
}

/// Serves a facilitator to others. At most 256 requests are checked or settled at once; more are
/// refused with 503. Requests that cannot be read get a JSON error with a 4xx status.
pub fn router(facilitator: Arc<EmbeddedFacilitator>) -> Router {
    let listed = facilitator.catalogue.clone().map(discovery::router).unwrap_or_default();
    Router::new()
        .route("/verify", post(verify))
        .route("/settle", post(settle))
        .route("/supported", get(supported))
        .route("/health", get(health))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(Served { facilitator, places: Arc::new(Semaphore::new(MAX_AT_ONCE)) })
        .merge(listed)
}

/// A request that is not answered in the protocol's terms.
type Unreadable = (StatusCode, Json<Value>);

fn unreadable(status: StatusCode, code: &str, message: &str) -> Unreadable {
    (status, Json(json!({ "error": code, "message": message })))
}

impl Served {
    /// The request and a place to work on it.
    fn admit(
        self,
        request: Result<Json<FacilitatorRequest>, JsonRejection>,
    ) -> Result<(Arc<EmbeddedFacilitator>, FacilitatorRequest, OwnedSemaphorePermit), Unreadable>
    {
        let Json(request) =
            request.map_err(|r| unreadable(r.status(), "invalid_request", &r.body_text()))?;
        for version in [request.x402_version, request.payment_payload.x402_version] {
            if version != wire::VERSION {
                let message = wire::WireError::Version(version).to_string();
                return Err(unreadable(StatusCode::BAD_REQUEST, "invalid_x402_version", &message));
            }
        }
        let place = self.places.try_acquire_owned().map_err(|_| {
            let message = "too many payments at once; try again in a moment";
            unreadable(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        })?;
        Ok((self.facilitator, request, place))
    }
}

async fn verify(
    State(served): State<Served>,
    request: Result<Json<FacilitatorRequest>, JsonRejection>,
) -> Result<Json<VerifyResponse>, Unreadable> {
    let (facilitator, request, _place) = served.admit(request)?;
    let answer = facilitator.verify(&request.payment_payload, &request.payment_requirements).await;
    Ok(Json(answer.expect("the embedded facilitator always answers")))
}

async fn settle(
    State(served): State<Served>,
    request: Result<Json<FacilitatorRequest>, JsonRejection>,
) -> Result<(HeaderMap, Json<SettleResponse>), Unreadable> {
    let (facilitator, request, place) = served.admit(request)?;
    let mut headers = HeaderMap::new();
    if let Some(said) = facilitator.extension_responses(&request) {
        headers.insert(EXTENSION_RESPONSES, said);
    }
    // The seller may hang up; the settlement goes on, and the chain tells its end.
    let task = tokio::spawn(async move {
        let _place = place;
        let (payment, terms) = (&request.payment_payload, &request.payment_requirements);
        facilitator.settle_for(Asker::Stranger, payment, terms).await
    });
    let answer = task.await.map_err(|_| {
        let message = "the settlement broke off; ask the chain what became of it";
        unreadable(StatusCode::INTERNAL_SERVER_ERROR, Invalid::ChainUnreachable.code(), message)
    })?;
    if !answer.success {
        // Only what is paid for is listed.
        headers.clear();
    }
    Ok((headers, Json(answer)))
}

async fn supported(State(served): State<Served>) -> Json<Supported> {
    Json(served.facilitator.supported())
}

async fn health(State(served): State<Served>) -> (StatusCode, Json<Value>) {
    match served.facilitator.chain.block_number().await {
        Ok(block) => (StatusCode::OK, Json(json!({ "status": "ok", "block": block }))),
        Err(error) => {
            let body = json!({ "status": "unavailable", "error": error.to_string() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body))
        }
    }
}
