//! Paid work between agents: messages' metadata as JSON, a real gate and a real chain behind them.

use crate::town;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, StatusCode};
use mandates::Key;
use mandates::books::Line;
use payments::a2a::{self, Call, ERROR, Intent, Outcome, PAYLOAD, RECEIPTS, REQUIRED, STATUS};
use payments::wire::{PaymentPayload, PaymentRequired};
use payments::{AgentNews, AgentRequest, BuyError, BuyerLimits, Gate, Offer, Purchase, Watch};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};
use town::shop::Shop;
use town::{PRICE, Town, musd, person, seller};

/// An agent that does what it is told, once it is paid.
struct Agent {
    gate: Arc<Gate>,
    offer: Offer,
    worked: AtomicUsize,
}

impl Agent {
    /// What becomes of a task whose message has this metadata.
    async fn outcome(self: &Arc<Self>, metadata: &Value, body: &str) -> Outcome {
        let payment = match Intent::read(|name| metadata.get(name)) {
            Intent::Pays(payment) => Some(payment),
            Intent::None => None,
            other => panic!("{other:?}"),
        };
        let agent = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let agent = agent.clone();
            async move {
                assert!(!request.headers().contains_key("payment-signature"));
                agent.worked.fetch_add(1, Ordering::SeqCst);
                let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                let said = String::from_utf8_lossy(&body).to_string();
                let response: Response = match said.as_str() {
                    "no" => (StatusCode::BAD_REQUEST, axum::Json(json!({ "message": "no" })))
                        .into_response(),
                    _ => axum::Json(json!({ "did": said })).into_response(),
                };
                Ok::<_, Infallible>(response)
            }
        });
        let paid = self.gate.layer(self.offer.clone()).layer(service);
        let body = body.to_string().into();
        let call = Call { target: "/work", media_type: "text/plain", body, payment };
        match a2a::request(&self.offer, call) {
            Ok(request) => {
                a2a::outcome(&self.offer, paid.oneshot(request).await.unwrap(), 1 << 20).await
            }
            Err(outcome) => outcome,
        }
    }

    async fn pay(self: &Arc<Self>, payment: &PaymentPayload, body: &str) -> Outcome {
        let metadata = json!({ STATUS: "payment-submitted", PAYLOAD: payment });
        self.outcome(&metadata, body).await
    }

    fn count(&self) -> usize {
        self.worked.load(Ordering::SeqCst)
    }
}

async fn scene() -> (Town, Shop, Arc<Agent>, Key) {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let shop = town.shop().await;
    let offer = town::shop::offer(town.token(), "http://localhost:4020/m/work/a2a");
    let agent = Arc::new(Agent { gate: shop.gate.clone(), offer, worked: AtomicUsize::new(0) });
    (town, shop, agent, payer)
}

/// So many tasks were worked for and paid, each once, and nothing is held.
async fn is_bought(town: &Town, agent: &Agent, buyer: money::Party, times: usize, name: &str) {
    let price = i128::from(PRICE) * i128::try_from(times).unwrap();
    assert_eq!((agent.count(), town.owns(seller()).await), (times, price), "{name}");
    assert_eq!(town.line(buyer, Line::Purchases), (price, 0), "{name}");
}

/// What the task's message says, with this outcome's receipt after `receipts`.
fn said(outcome: &Outcome, receipts: &mut Vec<Value>) -> Value {
    receipts.extend(outcome.receipt("eip155:402402"));
    Value::Object(outcome.metadata(receipts))
}

#[tokio::test]
async fn a_task_asks_for_its_price_and_is_done_once_it_is_paid() {
    let (town, _shop, agent, payer) = scene().await;
    let asked = agent.outcome(&json!({}), "hello").await;
    let told = said(&asked, &mut Vec::new());
    assert_eq!(told[STATUS], "payment-required");
    let quote: PaymentRequired = serde_json::from_value(told[REQUIRED].clone()).unwrap();
    assert_eq!(quote.resource.url, "http://localhost:4020/m/work/a2a");
    assert_eq!(quote.accepts[0].amount, PRICE.to_string());
    assert!(told.get(RECEIPTS).is_none());
    assert_eq!((agent.count(), town.owns(seller()).await), (0, 0));

    let payment = town.payment(&payer, 1);
    // The same payment again gives the same answer, and is paid once; also as an SDK writes it whose
    // metadata knows no whole numbers.
    let mut floats = json!(payment);
    floats["x402Version"] = json!(2.0);
    floats["accepted"]["maxTimeoutSeconds"] =
        json!(floats["accepted"]["maxTimeoutSeconds"].as_f64().unwrap());
    for sent in [json!(payment), floats] {
        let done = agent.outcome(&json!({ PAYLOAD: sent }), "hello").await;
        let Outcome::Delivered { media_type, body, settlement: Some(settled) } = &done else {
            panic!("{done:?}")
        };
        assert!(media_type.starts_with("application/json") && settled.success);
        assert_eq!(serde_json::from_slice::<Value>(body).unwrap(), json!({ "did": "hello" }));
        let told = said(&done, &mut Vec::new());
        assert_eq!(told[STATUS], "payment-completed");
        assert_eq!(told[RECEIPTS][0]["transaction"], settled.transaction);
        assert_eq!((agent.count(), town.owns(seller()).await), (1, i128::from(PRICE)));
    }
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_payment_that_is_no_good_leaves_the_task_open_with_the_reason() {
    let (town, _shop, agent, payer) = scene().await;
    let mut unsigned = town.payment(&payer, 1);
    unsigned.payload["signature"] = "0x00".into();
    let mut receipts = Vec::new();
    for (payment, word) in [
        (json!(unsigned), "INVALID_SIGNATURE"),
        (json!(town.payment(&person(0x22), 1)), "INSUFFICIENT_FUNDS"),
        (json!("text"), "SETTLEMENT_FAILED"),
        (json!({ "x402Version": 1 }), "SETTLEMENT_FAILED"),
    ] {
        let refused = agent.outcome(&json!({ PAYLOAD: payment }), "hello").await;
        let told = said(&refused, &mut receipts);
        assert!(matches!(refused, Outcome::Refused { .. }), "{refused:?}");
        assert_eq!((&told[STATUS], &told[ERROR]), (&json!("payment-failed"), &json!(word)));
        assert_eq!(told[REQUIRED]["accepts"][0]["amount"], PRICE.to_string());
        let receipt = told[RECEIPTS].as_array().unwrap().last().unwrap();
        assert_eq!((&receipt["success"], &receipt["transaction"]), (&json!(false), &json!("")));
    }
    assert_eq!((receipts.len(), agent.count(), town.owns(seller()).await), (4, 0, 0));
    // All that went before is told with what went well.
    let told = said(&agent.pay(&town.payment(&payer, 2), "hello").await, &mut receipts);
    assert_eq!(told[STATUS], "payment-completed");
    let went: Vec<_> =
        told[RECEIPTS].as_array().unwrap().iter().map(|r| r["success"].clone()).collect();
    assert_eq!(went, [false, false, false, false, true]);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_payment_for_one_task_buys_no_other_and_failed_work_costs_nothing() {
    let (town, _shop, agent, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    agent.pay(&payment, "hello").await;
    let other = agent.pay(&payment, "something else").await;
    assert!(
        matches!(&other, Outcome::Refused { code, .. } if code == "payment_already_used"),
        "{other:?}"
    );
    assert_eq!(agent.count(), 1);

    let failed = agent.pay(&town.payment(&payer, 2), "no").await;
    let Outcome::Failed { message, settlement: None, .. } = &failed else { panic!("{failed:?}") };
    assert_eq!(message, "no");
    assert_eq!(said(&failed, &mut Vec::new())[STATUS], "payment-failed");
    assert_eq!((agent.count(), town.owns(seller()).await), (2, i128::from(PRICE)));
    town.is_whole(&[seller()]).await;
}

// ---- buying ----------------------------------------------------------------------------------

/// What becomes of a message, or of its answer.
enum Do {
    /// It is answered as an agent does.
    Answer,
    /// It is done, and the answer is lost on the way.
    Lose,
    /// It is done, and the agent says that it is busy.
    Busy,
    /// It is done, and the agent says by JSON-RPC that it stumbled.
    Stumble,
    /// It is being worked on; whoever looks again finds it done.
    Work,
    /// The agent has forgotten all its tasks before it reads this.
    Forget,
    /// The agent says this, and does nothing.
    Say(Response),
    /// It is done, and the stream of it breaks after so many events.
    Cut(usize),
    /// It is answered at once, though a stream was asked for.
    Whole,
}

type Script = dyn Fn(usize, &Value) -> Do + Send + Sync;

/// The agent as others talk to it, by JSON-RPC.
struct Talk {
    agent: Arc<Agent>,
    script: Box<Script>,
    heard: Mutex<Vec<Value>>,
    /// Each task's work, and how it is.
    tasks: Mutex<HashMap<String, (String, Value)>>,
}

struct Open {
    talk: Arc<Talk>,
    url: String,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn result(result: Value) -> Response {
    axum::Json(json!({ "jsonrpc": "2.0", "id": 1, "result": result })).into_response()
}

fn error(code: i64, message: &str) -> Response {
    let error = json!({ "code": code, "message": message });
    axum::Json(json!({ "jsonrpc": "2.0", "id": 1, "error": error })).into_response()
}

fn task(id: &str, state: &str, metadata: Value) -> Value {
    let message = json!({ "parts": [{ "text": "so it is" }], "metadata": metadata });
    json!({ "id": id, "status": { "state": state, "message": message } })
}

impl Talk {
    async fn hear(&self, request: Value) -> Response {
        let turn = {
            let mut heard = self.heard.lock().unwrap();
            heard.push(request.clone());
            heard.len() - 1
        };
        let what = (self.script)(turn, &request);
        match what {
            Do::Say(response) => return response,
            Do::Forget => self.tasks.lock().unwrap().clear(),
            _ => {}
        }
        let answer = self.act(turn, &request).await;
        match what {
            Do::Lose => {
                let cut = [Err::<Bytes, _>(std::io::Error::other("cut off"))];
                Body::from_stream(futures_util::stream::iter(cut)).into_response()
            }
            Do::Busy => (StatusCode::SERVICE_UNAVAILABLE, error(-32603, "busy")).into_response(),
            Do::Stumble => error(-32603, "it stumbled"),
            Do::Work => {
                let id = request["params"]["message"]["taskId"].as_str().unwrap();
                result(json!({ "task": task(id, "TASK_STATE_WORKING", json!({})) }))
            }
            Do::Whole => answer,
            _ if request["method"].as_str().unwrap().contains("Stream")
                || request["method"] == "SubscribeToTask" =>
            {
                let cut = if let Do::Cut(after) = what { Some(after) } else { None };
                self.stream(turn, &request, cut).unwrap_or(answer)
            }
            _ => answer,
        }
    }

    /// A task's way to where it is by now, as events; none if there is no task.
    fn stream(&self, turn: usize, request: &Value, cut: Option<usize>) -> Option<Response> {
        let params = &request["params"];
        let named = params["message"]["taskId"].as_str().or(params["id"].as_str());
        let id = named.map_or_else(|| format!("task-{turn}"), str::to_string);
        let told = self.tasks.lock().unwrap().get(&id)?.1.clone();
        let status = |status: Value| json!({ "statusUpdate": { "taskId": id, "contextId": "c", "status": status } });
        let piece = |part: &Value, append: bool| {
            let artifact = json!({ "artifactId": "work", "parts": [part] });
            json!({ "artifactUpdate": { "taskId": id, "contextId": "c", "artifact": artifact, "append": append } })
        };
        let asked = json!({ STATUS: "payment-required", REQUIRED: self.agent.offer.quote(None) });
        // Begun anew it tells the task as it is.
        let is_anew = request["method"] == "SubscribeToTask";
        let mut events = match told["artifacts"].as_array().filter(|_| !is_anew) {
            None => vec![json!({ "task": told })],
            Some(artifacts) => vec![
                json!({ "task": task(&id, "TASK_STATE_INPUT_REQUIRED", asked) }),
                status(json!({ "state": "TASK_STATE_WORKING" })),
                piece(&json!({ "text": "to be replaced" }), false),
                piece(&artifacts[0]["parts"][0], false),
                status(told["status"].clone()),
            ],
        };
        events.truncate(cut.unwrap_or(usize::MAX));
        let mut text = ": hello\n\n".to_string();
        for event in &events {
            let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": event });
            text += &format!("event: message\r\ndata: {answer}\r\n\r\n");
        }
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            text.as_bytes().chunks(97).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        // What was written has left by then.
        let broken = futures_util::stream::once(async {
            for _ in 0..16 {
                tokio::task::yield_now().await;
            }
            Err(std::io::Error::other("cut off"))
        });
        let broken = broken.take(usize::from(cut.is_some()));
        let body = Body::from_stream(futures_util::stream::iter(pieces).chain(broken));
        Some(([("content-type", "text/event-stream")], body).into_response())
    }

    async fn act(&self, turn: usize, request: &Value) -> Response {
        let params = &request["params"];
        if matches!(request["method"].as_str(), Some("GetTask" | "SubscribeToTask")) {
            let tasks = self.tasks.lock().unwrap();
            return result(tasks[params["id"].as_str().unwrap()].1.clone());
        }
        let message = &params["message"];
        let (id, body) = match message["taskId"].as_str() {
            None => {
                let text = message["parts"][0]["text"].as_str().unwrap();
                (format!("task-{turn}"), text.to_string())
            }
            Some(id) => match self.tasks.lock().unwrap().get(id) {
                Some((body, _)) => (id.to_string(), body.clone()),
                None => return error(-32001, "Task not found"),
            },
        };
        let metadata = message.get("metadata").cloned().unwrap_or(json!({}));
        let outcome = self.agent.outcome(&metadata, &body).await;
        let state = match &outcome {
            Outcome::Delivered { .. } => "TASK_STATE_COMPLETED",
            Outcome::Failed { .. } => "TASK_STATE_FAILED",
            _ => "TASK_STATE_INPUT_REQUIRED",
        };
        let mut told = task(&id, state, said(&outcome, &mut Vec::new()));
        if let Outcome::Delivered { media_type, body, .. } = &outcome {
            let data: Value = serde_json::from_slice(body).unwrap();
            told["artifacts"] = json!([{ "parts": [{ "data": data, "mediaType": media_type }] }]);
        }
        self.tasks.lock().unwrap().insert(id, (body, told.clone()));
        result(json!({ "task": told }))
    }
}

impl Open {
    async fn of(
        agent: &Arc<Agent>,
        script: impl Fn(usize, &Value) -> Do + Send + Sync + 'static,
    ) -> Open {
        let talk = Arc::new(Talk {
            agent: agent.clone(),
            script: Box::new(script),
            heard: Mutex::default(),
            tasks: Mutex::default(),
        });
        let hears = talk.clone();
        let app = Router::new().fallback(move |request: Request<Body>| {
            let talk = hears.clone();
            async move {
                if request.uri().path() == "/m/work/.well-known/agent-card.json" {
                    let host = request.headers()["host"].to_str().unwrap();
                    return axum::Json(card(&format!("http://{host}/m/work/a2a"))).into_response();
                }
                if request.method() != Method::POST {
                    return "somewhere else".into_response();
                }
                assert_eq!(request.headers()["a2a-version"], "1.0");
                assert!(request.headers()["a2a-extensions"].to_str().unwrap().contains("a2a-x402"));
                let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
                talk.hear(serde_json::from_slice(&body).unwrap()).await
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/m/work/a2a", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Open { talk, url, server }
    }

    fn purchase(&self, words: &str) -> Purchase {
        Purchase {
            method: Method::POST,
            url: self.url.parse().unwrap(),
            media_type: None,
            body: Bytes::new(),
            max: None,
            agent: Some(AgentRequest { words: Some(words.into()), ..AgentRequest::default() }),
        }
    }

    /// As [`Open::purchase`], by a stream; what it tells is kept.
    fn streamed(&self, words: &str) -> (Purchase, Arc<Mutex<Vec<AgentNews>>>) {
        let news = Arc::<Mutex<Vec<AgentNews>>>::default();
        let keeps = news.clone();
        let watch = Watch::new(move |one| keeps.lock().unwrap().push(one));
        let words = Some(words.into());
        let agent = AgentRequest { words, task: None, streams: true, watch: Some(watch) };
        (Purchase { agent: Some(agent), ..self.purchase("") }, news)
    }

    fn methods(&self) -> Vec<String> {
        self.heard().iter().map(|request| request["method"].as_str().unwrap().into()).collect()
    }

    fn heard(&self) -> Vec<Value> {
        self.talk.heard.lock().unwrap().clone()
    }

    /// The payments that came, in their order.
    fn payments(&self) -> Vec<Value> {
        let heard = self.heard();
        let messages = heard.iter().map(|request| &request["params"]["message"]["metadata"]);
        messages.filter_map(|metadata| metadata.get(PAYLOAD).cloned()).collect()
    }
}

fn card(endpoint: &str) -> Value {
    json!({
        "name": "work",
        "capabilities": { "streaming": true },
        "supportedInterfaces": [
            { "url": endpoint, "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
        ],
    })
}

const WALLET: i128 = 1_000_000;

#[tokio::test]
async fn an_agents_task_is_bought_once_and_stands_in_both_books() {
    let (town, _shop, agent, _) = scene().await;
    let buyer = town.buyer(0x23, musd(WALLET)).await;
    let open = Open::of(&agent, |_, _| Do::Answer).await;
    let quote = buyer.quote(&open.purchase("hello")).await.unwrap().unwrap();
    assert_eq!(quote.accepts[0].amount, PRICE.to_string());
    assert_eq!((agent.count(), open.payments().len()), (0, 0));

    let bought = buyer.buy(&open.purchase("hello")).await.unwrap();
    assert_eq!((bought.status.as_u16(), &bought.body[..]), (200, &br#"{"did":"hello"}"#[..]));
    assert_eq!(bought.headers["content-type"], "application/json");
    let receipt = payments::buyer::receipt(&bought.headers).unwrap();
    let paid = bought.paid.unwrap();
    assert_eq!((paid.amount, paid.payee), (musd(PRICE.into()), seller()));
    assert_eq!(Some(receipt.transaction), paid.transaction.map(|hash| hash.to_string()));
    let price = i128::from(PRICE);
    assert_eq!(town.line(buyer.party(), Line::Purchases), (price, 0));
    assert_eq!(town.line(seller(), Line::Sales), (price, 0));
    assert_eq!((agent.count(), town.owns(buyer.party()).await), (1, WALLET - price));

    let heard = open.heard();
    let [_, first, second] = heard.as_slice() else { panic!("{heard:?}") };
    let (first, second) = (&first["params"]["message"], &second["params"]["message"]);
    assert_eq!((&first["parts"], first.get("taskId")), (&json!([{ "text": "hello" }]), None));
    assert_eq!(
        (&second["taskId"], &second["metadata"][STATUS]),
        (&json!("task-1"), &json!("payment-submitted"))
    );
    assert_ne!(first["messageId"], second["messageId"]);

    // Work that fails costs nothing, and so do words.
    let failed = buyer.buy(&open.purchase("no")).await.unwrap_err();
    let BuyError::NotDelivered { cause, .. } = &failed else { panic!("{failed}") };
    assert!(cause.contains("failed"), "{cause}");
    let talks = Open::of(&agent, |_, _| {
        Do::Say(result(json!({ "message": { "parts": [{ "text": "I sell work." }] } })))
    })
    .await;
    let free = buyer.buy(&talks.purchase("who are you?")).await.unwrap();
    assert_eq!((&free.body[..], free.paid.is_none()), (&b"I sell work."[..], true));
    assert_eq!(town.owns(buyer.party()).await, WALLET - price);
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn however_an_agents_answer_is_lost_the_same_payment_is_sent_again_and_worked_for_once() {
    let (town, _shop, agent, _) = scene().await;
    let buyer = town.buyer(0x23, musd(WALLET)).await;
    type Fault = fn(usize) -> Do;
    let faults: [(&str, Fault, usize); 6] = [
        ("lost", |turn| if turn < 3 { Do::Lose } else { Do::Answer }, 3),
        ("busy", |turn| if turn < 3 { Do::Busy } else { Do::Answer }, 3),
        ("stumbling", |turn| if turn < 3 { Do::Stumble } else { Do::Answer }, 3),
        ("working", |turn| if turn == 1 { Do::Work } else { Do::Answer }, 1),
        ("forgetful", |turn| if turn == 1 { Do::Forget } else { Do::Answer }, 2),
        (
            "lost, then forgetful",
            |turn| match turn {
                1 => Do::Lose,
                2 => Do::Forget,
                _ => Do::Answer,
            },
            3,
        ),
    ];
    for (number, (name, fault, sent)) in faults.into_iter().enumerate() {
        // The turns after the quote.
        let open =
            Open::of(&agent, move |turn, _| if turn == 0 { Do::Answer } else { fault(turn) }).await;
        let bought = buyer.buy(&open.purchase(name)).await.unwrap();
        let did: Value = serde_json::from_slice(&bought.body).unwrap();
        assert_eq!(did, json!({ "did": name }));
        let payments = open.payments();
        assert_eq!(payments.len(), sent, "{name}");
        assert!(payments.iter().all(|payment| *payment == payments[0]), "{name}");
        is_bought(&town, &agent, buyer.party(), number + 1, name).await;
    }
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn an_agent_is_found_by_its_card_or_by_its_own_address() {
    let (town, _shop, agent, _) = scene().await;
    let buyer = town.buyer(0x23, musd(WALLET)).await;
    let open = Open::of(&agent, |_, _| Do::Answer).await;
    let at = |path: &str| open.url.replace("/m/work/a2a", path).parse::<reqwest::Url>().unwrap();
    for (given, is_card) in [
        ("/m/work", true),
        ("/m/work/", true),
        ("/m/work/.well-known/agent-card.json", true),
        ("/m/work/a2a", false),
    ] {
        let found = buyer.find_agent(&at(given)).await.unwrap();
        assert_eq!(found.endpoint.as_str(), open.url, "{given}");
        assert_eq!((found.streams, found.name.is_some()), (is_card, is_card), "{given}");
    }
    // Where a card is named and there is none, that is said, and nothing else is asked.
    for none in ["/m/other/.well-known/agent-card.json", "/.well-known/agent.json"] {
        let failed = buyer.find_agent(&at(none)).await.unwrap_err();
        assert!(matches!(&failed, BuyError::Agent { .. }), "{failed}");
    }
    assert!(open.heard().is_empty());
    let gone = "http://127.0.0.1:1/".parse().unwrap();
    let failed = buyer.find_agent(&gone).await.unwrap_err();
    assert!(matches!(failed, BuyError::Unreachable { .. }), "{failed}");

    // A card that is too large, or leads elsewhere, is none.
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(300_000));
    let evil = Router::new()
        .route("/long/.well-known/agent-card.json", axum::routing::get(move || async { long }))
        .route(
            "/away/.well-known/agent-card.json",
            axum::routing::get(|| async { axum::response::Redirect::to("/there") }),
        )
        .route(
            "/else/.well-known/agent-card.json",
            axum::routing::get(|| async { axum::Json(card("http://169.254.169.254/latest")) }),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, evil).await.unwrap() });
    for (name, why) in [("long", "larger"), ("away", "leads elsewhere"), ("else", "another place")]
    {
        let url = format!("{base}/{name}/.well-known/agent-card.json").parse().unwrap();
        let failed = buyer.find_agent(&url).await.unwrap_err().to_string();
        assert!(failed.contains(why), "{name}: {failed}");
    }
    let failed = buyer.find_agent(&format!("{base}/else").parse().unwrap()).await.unwrap_err();
    assert!(matches!(failed, BuyError::Agent { .. }), "a card is not passed by: {failed}");
    server.abort();
}

#[tokio::test]
async fn an_agents_work_comes_by_a_stream_and_is_bought_once() {
    let (town, _shop, agent, _) = scene().await;
    let buyer = town.buyer(0x23, musd(WALLET)).await;
    let open = Open::of(&agent, |_, _| Do::Answer).await;
    let (purchase, news) = open.streamed("hello");
    let bought = buyer.buy(&purchase).await.unwrap();
    assert_eq!((bought.status.as_u16(), &bought.body[..]), (200, &br#"{"did":"hello"}"#[..]));
    assert!(payments::buyer::receipt(&bought.headers).is_some());
    assert_eq!(bought.paid.unwrap().amount, musd(PRICE.into()));
    assert_eq!(open.methods(), ["SendStreamingMessage", "SendStreamingMessage"]);
    let states: Vec<String> = news
        .lock()
        .unwrap()
        .iter()
        .map(|one| match one {
            AgentNews::State { state, .. } => state.clone(),
            AgentNews::Piece { parts, .. } => format!("{parts} part"),
        })
        .collect();
    let told = ["input_required", "input_required", "working", "1 part", "1 part", "completed"];
    assert_eq!(states, told);
    let price = i128::from(PRICE);
    assert_eq!(town.line(buyer.party(), Line::Purchases), (price, 0));
    assert_eq!((agent.count(), town.owns(seller()).await), (1, price));
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn however_a_stream_breaks_the_same_payment_is_sent_and_worked_for_once() {
    let (town, _shop, agent, _) = scene().await;
    let buyer = town.buyer(0x23, musd(WALLET)).await;
    let unknown = || Do::Say(error(-32601, "no such method"));
    let refuses = || Do::Say(error(-32004, "not that"));
    type Fault = Box<dyn Fn(usize) -> Do + Send + Sync>;
    let cut = |after: usize| -> Fault {
        Box::new(move |turn| if turn == 1 { Do::Cut(after) } else { Do::Answer })
    };
    let (send, stream, anew, get) =
        ("SendMessage", "SendStreamingMessage", "SubscribeToTask", "GetTask");
    let faults: [(&str, Fault, Vec<&str>); 9] = [
        ("before its first event", cut(0), vec![stream, stream, stream]),
        ("after the task as it was", cut(1), vec![stream, stream, anew]),
        ("while it works", cut(2), vec![stream, stream, anew]),
        ("after a piece", cut(4), vec![stream, stream, anew]),
        (
            "and is not heard again",
            Box::new(move |turn| match turn {
                1 => Do::Cut(3),
                2 => refuses(),
                _ => Do::Answer,
            }),
            vec![stream, stream, anew, get],
        ),
        (
            "and breaks again",
            Box::new(|turn| match turn {
                1 => Do::Cut(2),
                2 => Do::Cut(0),
                _ => Do::Answer,
            }),
            vec![stream, stream, anew, get],
        ),
        (
            "or there is none",
            Box::new(move |turn| if turn == 1 { unknown() } else { Do::Answer }),
            vec![stream, stream, send],
        ),
        (
            "or all comes at once",
            Box::new(|turn| if turn == 1 { Do::Whole } else { Do::Answer }),
            vec![stream, stream],
        ),
        (
            "and the task is forgotten",
            Box::new(|turn| match turn {
                1 => Do::Cut(0),
                2 => Do::Forget,
                _ => Do::Answer,
            }),
            vec![stream, stream, stream, stream],
        ),
    ];
    for (number, (name, fault, methods)) in faults.into_iter().enumerate() {
        let open =
            Open::of(&agent, move |turn, _| if turn == 0 { Do::Answer } else { fault(turn) }).await;
        let bought = buyer.buy(&open.streamed(name).0).await.unwrap();
        let did: Value = serde_json::from_slice(&bought.body).unwrap();
        assert_eq!(did, json!({ "did": name }));
        assert_eq!(open.methods(), methods, "{name}");
        let payments = open.payments();
        assert!(payments.iter().all(|payment| *payment == payments[0]), "{name}");
        is_bought(&town, &agent, buyer.party(), number + 1, name).await;
    }
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn a_stream_of_nonsense_is_told_and_ends() {
    let (town, _shop, agent, _) = scene().await;
    let buyer = town.buyer_with(0x23, musd(WALLET), musd(WALLET), hasty()).await;
    let before = town.digest();
    let events = |results: Vec<Value>| {
        let mut text = String::new();
        for result in results {
            text +=
                &format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "id": 1, "result": result }));
        }
        text
    };
    let works =
        |id: &str| json!({ "task": { "id": id, "status": { "state": "TASK_STATE_WORKING" } } });
    let many =
        || vec![json!({ "statusUpdate": { "taskId": "t", "status": [0, 0, 0, 0] } }); 40_000];
    for (name, text) in [
        ("nothing", String::new()),
        ("no JSON", "data: <html>\n\n".into()),
        ("unknown events", events(vec![json!({ "kind": "status-update" })])),
        ("a list", events(vec![json!([])])),
        ("two tasks", events(vec![works("t"), works("u")])),
        ("values", events(many())),
        ("a line without an end", format!("data: {}", "x".repeat(1_100_000))),
        ("an end without a quote", events(vec![task("t", "TASK_STATE_REJECTED", json!({}))])),
    ] {
        let say = move || ([("content-type", "text/event-stream")], text.clone()).into_response();
        let open = Open::of(&agent, move |_, _| Do::Say(say())).await;
        let failed = buyer.buy(&open.streamed("hello").0).await.unwrap_err().to_string();
        assert!(failed.contains("/m/work/a2a") && failed.len() < 700, "{name}: {failed}");
        assert_eq!((town.digest(), open.payments().len()), (before, 0), "{name}");
    }
}

/// What an agent that means no good might say instead of `id`'s answer.
fn nonsense(id: &str) -> Vec<(&'static str, Response)> {
    let text = |text: String| text.into_response();
    let quoteless = json!({ STATUS: "payment-required" });
    let broken =
        json!({ STATUS: "payment-required", REQUIRED: { "x402Version": 2, "accepts": 7 } });
    let old = json!({ STATUS: "payment-required", REQUIRED: { "x402Version": 1, "accepts": [] } });
    let huge = json!({ STATUS: "payment-required", REQUIRED: { "x402Version": 2, "x": "y".repeat(50_000) } });
    let asks =
        |metadata| result(json!({ "task": task(id, "TASK_STATE_INPUT_REQUIRED", metadata) }));
    let elsewhere = [("location", "/m/other/a2a")];
    vec![
        ("not JSON", text("<html>".into())),
        ("nothing", text(String::new())),
        ("deep", text("[".repeat(100_000))),
        ("values", text(format!("[{}0]", "0,".repeat(300_000)))),
        ("larger than is read", text("x".repeat(1_100_000))),
        (
            "no JSON-RPC",
            axum::Json(json!({ "task": task(id, "TASK_STATE_COMPLETED", json!({})) }))
                .into_response(),
        ),
        (
            "another number",
            axum::Json(json!({ "jsonrpc": "2.0", "id": 2, "result": {} })).into_response(),
        ),
        ("an error", error(-32602, "I do not like it")),
        (
            "version 0.3",
            result(json!({ "kind": "task", "id": id, "status": { "state": "completed" } })),
        ),
        ("no state", result(json!({ "task": { "id": id } }))),
        ("a number that is none", result(json!({ "task": { "id": 7, "status": {} } }))),
        ("rejected", result(json!({ "task": task(id, "TASK_STATE_REJECTED", json!({})) }))),
        ("who are you", result(json!({ "task": task(id, "TASK_STATE_AUTH_REQUIRED", json!({})) }))),
        ("asks for more", asks(json!({}))),
        ("asks for money without a quote", asks(quoteless)),
        ("asks by a quote that is none", asks(broken)),
        ("asks by version 1", asks(old)),
        ("asks by too long a quote", asks(huge)),
        ("leads elsewhere", (StatusCode::FOUND, elsewhere, "").into_response()),
        ("404", (StatusCode::NOT_FOUND, "no such agent").into_response()),
        ("402 of HTTP", (StatusCode::PAYMENT_REQUIRED, "pay").into_response()),
    ]
}

fn hasty() -> BuyerLimits {
    BuyerLimits {
        request_wait: std::time::Duration::from_secs(5),
        max_answer: 1_000_000,
        attempts: 2,
        ..BuyerLimits::default()
    }
}

#[tokio::test]
async fn an_agents_nonsense_is_told_and_nothing_is_signed_for_it() {
    let (town, _shop, agent, _) = scene().await;
    let buyer = town.buyer_with(0x23, musd(WALLET), musd(WALLET), hasty()).await;
    let before = town.digest();
    for (number, (name, _)) in nonsense("t").into_iter().enumerate() {
        let open = Open::of(&agent, move |_, _| Do::Say(nonsense("t").swap_remove(number).1)).await;
        let failed = buyer.buy(&open.purchase("hello")).await.unwrap_err().to_string();
        assert!(failed.contains("/m/work/a2a"), "{name}: {failed}");
        assert!(failed.len() < 700, "{name}: {failed}");
        assert_eq!((town.digest(), open.payments().len()), (before, 0), "{name}");
    }
    // What asks for a payment that is not made to agents is not paid.
    let open = Open::of(&agent, |_, _| Do::Answer).await;
    for scheme in ["upto", "batch-settlement", "auth-capture"] {
        let failed = buyer.buy_by(&open.purchase("hello"), Some(scheme)).await.unwrap_err();
        assert!(
            matches!(&failed, BuyError::NoWayToPay { cause, .. } if cause.contains(scheme)),
            "{failed}"
        );
    }
    let changes: [fn(&mut Value); 4] = [
        |quote| quote["accepts"][0]["scheme"] = "upto".into(),
        |quote| quote["accepts"] = json!([]),
        |quote| quote["accepts"][0]["payTo"] = "nobody".into(),
        |quote| {
            quote["extensions"] =
                json!({ "request-binding": { "info": { "version": "1", "required": true } } })
        },
    ];
    for change in changes {
        let mut quote = json!(agent.offer.quote(None));
        change(&mut quote);
        let metadata = json!({ STATUS: "payment-required", REQUIRED: quote });
        let asks = json!({ "task": task("t", "TASK_STATE_INPUT_REQUIRED", metadata) });
        let open = Open::of(&agent, move |_, _| Do::Say(result(asks.clone()))).await;
        let failed = buyer.buy(&open.purchase("hello")).await.unwrap_err();
        assert!(matches!(&failed, BuyError::NoWayToPay { .. }), "{failed}");
    }
    assert_eq!((town.digest(), agent.count(), town.owns(seller()).await), (before, 0, 0));
}

#[tokio::test]
async fn an_agents_nonsense_about_a_payment_moves_no_money_and_gets_no_other_payment() {
    let (town, _shop, agent, _) = scene().await;
    let buyer = town.buyer_with(0x23, musd(WALLET), musd(WALLET), hasty()).await;
    let mut all = nonsense("task-0");
    let dearer = || {
        let mut quote = json!(agent.offer.quote(Some("pay_me_more".into())));
        quote["accepts"][0]["amount"] = "20000".into();
        let metadata = json!({ STATUS: "payment-failed", REQUIRED: quote });
        result(json!({ "task": task("task-0", "TASK_STATE_INPUT_REQUIRED", metadata) }))
    };
    let receipt = json!({ "success": true, "transaction": "0x00", "network": "eip155:402402" });
    let lies = json!({ STATUS: "payment-completed", RECEIPTS: [receipt] });
    all.push(("dearer", dearer()));
    all.push((
        "another task",
        result(json!({ "task": task("task-1", "TASK_STATE_COMPLETED", json!({})) })),
    ));
    all.push(("words", result(json!({ "message": { "parts": [{ "text": "thank you" }] } }))));
    all.push(("a lie", result(json!({ "task": task("task-0", "TASK_STATE_COMPLETED", lies) }))));
    let count = all.len();
    for (name, response) in all {
        let once = Mutex::new(Some(response));
        let open = Open::of(&agent, move |turn, _| match turn {
            0 => Do::Answer,
            _ => Do::Say(once.lock().unwrap().take().expect("a refusal is not repeated")),
        })
        .await;
        let failed = buyer.buy(&open.purchase("hello")).await.unwrap_err();
        assert!(
            matches!(failed, BuyError::NotDelivered { .. } | BuyError::Open { .. }),
            "{name}: {failed}"
        );
        assert_eq!(open.payments().len(), 1, "{name}");
    }
    // Every signed payment stays held until it can move nothing any more.
    let held = i128::from(PRICE) * i128::try_from(count).unwrap();
    assert_eq!(town.line(buyer.party(), Line::Purchases), (0, held));
    assert_eq!((agent.count(), town.owns(seller()).await), (0, 0));
}
