//! The vision machine's shop: what it sells, and the counter behind the gate.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post_service;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use labour::{LabourError, VisionWorker};
use money::{Amount, Party};
use payments::Offer;
use payments::extensions::{Binding, Declared, Identifier, Listing, SignIn};
use serde_json::{Map, json};
use settlement::Token;
use tokio::sync::Semaphore;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, service_fn};

use super::agents::Known;
use super::cast::Cast;
use super::{Assembly, a2a, mcp};
use crate::home;

/// The machine's name.
const NAME: &str = "vision";
/// Where the counter is.
const PATH: &str = "/m/vision/classify";
/// How many answers are given unless `?top=` says otherwise, and at most.
const USUAL_ANSWERS: usize = 5;

/// How long who has bought may come back for the same answer.
const COME_BACK: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What the machine sells.
pub fn offer(base: String, price: Amount, payee: Party, token: Token) -> Offer {
    let mut offer = Offer::new(
        "vision/classify",
        http::Method::POST,
        format!("{base}{PATH}"),
        price,
        payee,
        token,
    );
    offer.description = "What a photograph shows: the likeliest of 1,000 ImageNet classes with their probabilities. Send a JPEG, PNG or WebP file as the body.".into();
    offer.max_body = labour::picture::MAX_BYTES;
    offer.declared = Declared {
        identifier: Some(Identifier { required: false }),
        binding: Some(Binding { required: false }),
        sign_in: Some(SignIn { within: COME_BACK }),
        listing: Some(Listing {
            service_name: Some("Machina".into()),
            tags: ["vision", "images", "classification"].map(String::from).to_vec(),
            // The body is the file itself; the extension has no type for that.
            body: Some(("text", "the bytes of a JPEG, PNG or WebP file".into())),
            query: Map::new(),
            output: Some(json!({
                "labels": [{ "label": "tiger cat", "probability_ppm": 387_000 }],
                "picture": { "width": 451, "height": 300 },
            })),
        }),
    };
    offer
}

/// The same as a tool over MCP: its quote names the tool instead of an address.
pub fn tool_offer(offer: &Offer, tool: &str) -> Offer {
    let mut offer = offer.clone();
    offer.url = payments::mcp::url(tool);
    offer.description =
        "What a photograph shows: the likeliest of 1,000 ImageNet classes with their probabilities."
            .into();
    // What it declares of a web address and of its visitors is not so of a tool.
    offer.declared = Declared { sign_in: None, listing: None, binding: None, ..offer.declared };
    offer
}

/// The same for other agents: its quote names where they talk to it.
fn agent_offer(offer: &Offer, base: &str) -> Offer {
    let mut offer = tool_offer(offer, mcp::CLASSIFY);
    offer.url = format!("{base}{}", a2a::path(NAME));
    offer
}

/// The machines of a home, as they are made known to others; the vision machine may not be working.
pub fn known(cast: &Cast, offer: &Offer, working: bool) -> Vec<Known> {
    let machine = |key: &mandates::Key, name: &str, description: &str, sells: bool| Known {
        name: name.into(),
        address: key.party(),
        description: description.into(),
        page: format!("/m/{name}"),
        sells,
        tools: false,
        offers: None,
        guide: None,
    };
    let sees = Known { tools: working, ..machine(&cast.vision, NAME, &offer.description, working) };
    let resells = "Sells services that run elsewhere, for whoever opened a stall here.";
    let buys = "Buys work for its owner, under a mandate.";
    // Its stalls are in the square; it has no page of its own.
    let sold_there =
        "What is sold here, with its prices: GET /facilitator/discovery/resources, GET /v1/models.";
    let seller = Known {
        page: "/".into(),
        guide: Some(format!("{resells} {sold_there}")),
        ..machine(&cast.seller, "seller", resells, true)
    };
    let nothing = "I sell nothing: offer what you have to sell by x402, and owners have it bought.";
    let shopper = Known {
        guide: Some(format!("{buys} {nothing}")),
        ..machine(&cast.shopper, "shopper", buys, false)
    };
    vec![sees, seller, shopper]
}

/// The machine's counter, behind the gate: on the web, as a tool, and as an agent that others talk to.
pub fn counter(assembly: &Assembly, worker: Arc<VisionWorker>) -> Router {
    let lanes = Arc::new(Semaphore::new(labour::vision::LANES));
    let service = service_fn(move |request: Request<Body>| {
        let (worker, lanes) = (worker.clone(), lanes.clone());
        async move { Ok::<Response, Infallible>(classify(worker, lanes, request).await) }
    });
    let gate = &assembly.gate;
    let tool = tool_offer(&assembly.offer, mcp::CLASSIFY);
    let paid_tool = gate.layer(tool.clone()).layer(service.clone());
    let counter = gate.layer(assembly.offer.clone()).layer(service.clone());

    let base = format!("http://localhost:{}", assembly.place.port);
    let talk = agent_offer(&assembly.offer, &base);
    let paid_talk = BoxCloneSyncService::new(gate.layer(talk.clone()).layer(service));
    let clock = assembly.clock.clone();
    let sale = a2a::Sale { offer: talk, paid: paid_talk, is_here: None };
    let agent = a2a::Agent::seller(base, skill(), sale, clock, home::entropy);
    assembly.agents.host(NAME, agent, Router::new());
    Router::new()
        // By GET nothing is sold; clients ask so for the quote, and for a channel's money back.
        .route(PATH, post_service(counter.clone()).get_service(counter))
        .merge(mcp::router(tool, BoxCloneSyncService::new(paid_tool)))
}

/// What the machine does, as other agents read it.
fn skill() -> a2a::Skill {
    a2a::Skill {
        machine: NAME.into(),
        id: mcp::CLASSIFY.into(),
        title: "Names what a photograph shows".into(),
        tags: ["vision", "images", "classification"].map(String::from).to_vec(),
        takes: ["image/jpeg", "image/png", "image/webp"].map(String::from).to_vec(),
        gives: vec!["application/json".into()],
        page: format!("/m/{NAME}"),
        target: format!("/{}", mcp::CLASSIFY),
        reads: a2a::Reads::File { numbers: vec!["top".into()] },
    }
}

async fn classify(
    worker: Arc<VisionWorker>,
    lanes: Arc<Semaphore>,
    request: Request<Body>,
) -> Response {
    if request.method() != http::Method::POST {
        let said = "send the picture by POST; nothing was charged";
        let refused = refuse(StatusCode::METHOD_NOT_ALLOWED, said);
        return ([(header::ALLOW, "POST")], refused).into_response();
    }
    let asked = request.uri().query().and_then(|query| {
        query.split('&').find_map(|pair| pair.strip_prefix("top=")).map(str::to_string)
    });
    let top = match asked.as_deref().map(str::parse::<usize>) {
        None => USUAL_ANSWERS,
        Some(Ok(top)) => top,
        Some(Err(_)) => return refuse(StatusCode::BAD_REQUEST, "`top` is not a whole number"),
    };
    // The gate has read and bounded the body; here it is in memory.
    let picture = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return refuse(StatusCode::BAD_REQUEST, "the picture did not arrive whole"),
    };
    // Work that is given up while it waits for a lane never begins, and no more threads are used
    // than there are lanes.
    let Ok(lane) = lanes.acquire_owned().await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the vision machine is closing");
    };
    let work = tokio::task::spawn_blocking(move || {
        let _lane = lane;
        worker.classify(&picture, top)
    })
    .await;
    match work {
        Ok(Ok(classification)) => {
            ([(header::CONTENT_TYPE, "application/json")], classification.to_json()).into_response()
        }
        Ok(Err(error)) if error.is_input_error() => refuse(status_of(&error), &error.to_string()),
        Ok(Err(error)) => {
            tracing::error!(%error, "the vision machine is out of order");
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the vision machine is out of order; nothing was charged",
            )
        }
        Err(_) => refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the vision machine broke down; nothing was charged",
        ),
    }
}

fn status_of(error: &LabourError) -> StatusCode {
    match error {
        LabourError::AnswersOutOfRange { .. } => StatusCode::BAD_REQUEST,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let body = json!({ "error": "input_refused", "message": message });
    (status, axum::Json(body)).into_response()
}
