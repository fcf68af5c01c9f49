//! Paid work between agents: messages' metadata as JSON, a real gate and a real chain behind them.

use crate::town;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{Request, StatusCode};
use mandates::Key;
use payments::a2a::{self, Call, ERROR, Intent, Outcome, PAYLOAD, RECEIPTS, REQUIRED, STATUS};
use payments::wire::{PaymentPayload, PaymentRequired};
use payments::{Gate, Offer};
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
