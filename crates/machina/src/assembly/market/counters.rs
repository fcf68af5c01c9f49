//! The counters of the market's machines: each also sells its work at its posted price, on the web and to
//! other agents, behind the gate. What is bought so is not checked and moves no reputation; who wants
//! that hires at the market.
//!
//! The same model as at the market answers here, and what cannot be done costs nothing.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post_service;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use payments::Offer;
use payments::extensions::{Binding, Declared, Identifier};
use serde_json::json;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, service_fn};

use super::super::a2a;
use super::Market;
use super::machines::Machine;
use super::models::Model;
use crate::home;

/// How many pieces of work are done at once at these counters, of all machines together: at the market
/// others wait for the same processors.
const LANES: usize = 2;

/// A counter that is open.
pub struct Counter {
    /// Whose.
    pub machine: String,
    /// Where others talk to it.
    pub agent: Arc<a2a::Agent>,
    /// Where it sells on the web.
    pub router: Router,
}

/// Where a machine sells, below the economy's address.
pub fn path(machine: &str) -> String {
    format!("/m/{machine}/work")
}

impl Market {
    /// Whether a machine of this name has a counter here. The vision machine has one of its own.
    pub(super) fn sells(&self, machine: &str) -> bool {
        self.counted().any(|(name, _)| name == machine)
    }

    fn counted(&self) -> impl Iterator<Item = (String, &Machine)> {
        let machines = self.workshop.get().into_iter().flat_map(|workshop| &workshop.machines);
        let vision = self.parts.cast.vision.party();
        machines
            .filter(move |machine| machine.offer.worker != vision)
            // Many items at once are for jobs: their prices are by the item.
            .filter(|machine| machine.service.of_one().is_none())
            .map(|machine| (self.parts.cast.name(machine.offer.worker), machine))
    }

    /// The counters of the machines that work here; none before they have begun.
    pub fn counters(&self) -> Vec<Counter> {
        let lanes = Arc::new(Semaphore::new(LANES));
        self.counted().map(|(name, machine)| self.counter(name, machine, &lanes)).collect()
    }

    fn counter(&self, name: String, machine: &Machine, lanes: &Arc<Semaphore>) -> Counter {
        let (base, gate) = (&self.parts.base, &self.parts.gate);
        let (model, service) = (Arc::clone(&machine.model), machine.service);
        let mut offer = Offer::new(
            &format!("{name}/work"),
            http::Method::POST,
            format!("{base}{}", path(&name)),
            machine.offer.price,
            machine.offer.worker,
            self.parts.chain.token().clone(),
        );
        offer.description = format!(
            "{} Send the bytes as the body. It is not checked: who wants that hires at {base}/market.",
            model.summary
        );
        offer.max_body = model.max_bytes;
        offer.declared = Declared {
            identifier: Some(Identifier { required: false }),
            binding: Some(Binding { required: false }),
            ..Declared::default()
        };
        let (working, lanes) = (Arc::clone(&model), Arc::clone(lanes));
        let work = service_fn(move |request: Request<Body>| {
            let (model, lanes) = (Arc::clone(&working), Arc::clone(&lanes));
            async move { Ok::<Response, Infallible>(work(model, lanes, request).await) }
        });
        let web = gate.layer(offer.clone()).layer(work.clone());
        // To other agents its quote names where they talk to it.
        let mut talk = offer.clone();
        talk.url = format!("{base}{}", a2a::path(&name));
        talk.description = model.summary.to_owned();
        let paid = BoxCloneSyncService::new(gate.layer(talk.clone()).layer(work));
        let skill = a2a::Skill {
            machine: name.clone(),
            id: service.name().into(),
            title: model.summary.trim_end_matches('.').to_owned(),
            tags: service.name().split('/').map(str::to_owned).collect(),
            takes: model.takes.iter().map(|&takes| takes.to_owned()).collect(),
            gives: vec!["application/json".to_owned()],
            page: format!("/m/{name}"),
            target: path(&name),
            reads: a2a::Reads::File { numbers: Vec::new() },
        };
        let clock = Arc::clone(&self.parts.clock);
        let sale = a2a::Sale { offer: talk, paid, is_here: None };
        let agent = a2a::Agent::seller(base.clone(), skill, sale, clock, home::entropy);
        // By GET nothing is sold; clients ask so for the quote.
        let router = Router::new().route(&path(&name), post_service(web.clone()).get_service(web));
        Counter { machine: name, agent, router }
    }
}

async fn work(model: Arc<Model>, lanes: Arc<Semaphore>, request: Request<Body>) -> Response {
    if request.method() != http::Method::POST {
        let said = "send the bytes by POST; nothing was charged";
        let refused = refuse(StatusCode::METHOD_NOT_ALLOWED, said);
        return ([(header::ALLOW, "POST")], refused).into_response();
    }
    // The gate has read and bounded the body; here it is in memory.
    let Ok(body) = request.into_body().collect().await else {
        return refuse(StatusCode::BAD_REQUEST, "the bytes did not arrive whole");
    };
    let body = body.to_bytes();
    // Work that is given up while it waits for a lane never begins.
    let Ok(lane) = lanes.acquire_owned().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the machine is closing");
    };
    let done = tokio::task::spawn_blocking(move || {
        let _lane = lane;
        model.worker()?.work(&body)
    });
    match done.await {
        Ok(Ok(work)) => ([(header::CONTENT_TYPE, work.media_type)], work.bytes).into_response(),
        Ok(Err(error)) if error.is_input_error() => {
            refuse(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string())
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "a machine is out of order");
            let said = "the machine is out of order; nothing was charged";
            refuse(StatusCode::INTERNAL_SERVER_ERROR, said)
        }
        Err(_) => {
            let said = "the machine broke down; nothing was charged";
            refuse(StatusCode::INTERNAL_SERVER_ERROR, said)
        }
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let body = json!({ "error": "input_refused", "message": message });
    (status, axum::Json(body)).into_response()
}
