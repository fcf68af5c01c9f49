//! A paid tool over MCP: calls and results as JSON, a real gate and a real chain behind them.

use crate::town;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{Request, StatusCode, header};
use mandates::Key;
use money::Party;
use payments::mcp::{self, Call, PAYMENT, PAYMENT_RESPONSE};
use payments::wire::{PaymentPayload, SettleResponse};
use payments::{Gate, Offer};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tower::{Layer as _, ServiceExt as _, service_fn};
use town::shop::Shop;
use town::{PRICE, Town, cancel, musd, person, seller};

/// A tool that does what its body says.
struct Tool {
    gate: Arc<Gate>,
    offer: Offer,
    worked: AtomicUsize,
    began: Semaphore,
    may_end: Semaphore,
}

impl Tool {
    async fn work(&self, request: Request<Body>) -> Response {
        assert!(!request.headers().contains_key("payment-signature"), "the tool sees no payment");
        self.worked.fetch_add(1, Ordering::SeqCst);
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        match &body[..] {
            b"wait" => {
                self.began.add_permits(1);
                self.may_end.acquire().await.unwrap().forget();
                "late".into_response()
            }
            b"no" => (
                StatusCode::BAD_REQUEST,
                axum::Json(json!({ "error": "input_refused", "message": "not a picture" })),
            )
                .into_response(),
            b"picture" => ([(header::CONTENT_TYPE, "image/png")], vec![1, 2, 3]).into_response(),
            b"bytes" => {
                ([(header::CONTENT_TYPE, "application/zip")], vec![0xff, 2]).into_response()
            }
            _ => axum::Json(json!({ "did": String::from_utf8_lossy(&body) })).into_response(),
        }
    }

    /// One call, as an MCP server makes it.
    async fn call(self: &Arc<Self>, meta: Option<Value>, body: &str) -> Value {
        let meta = meta.map(|meta| meta.as_object().unwrap().clone());
        let tool = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let tool = tool.clone();
            async move { Ok::<_, Infallible>(tool.work(request).await) }
        });
        let paid = self.gate.layer(self.offer.clone()).layer(service);
        let call = Call {
            target: "/work",
            media_type: "text/plain",
            body: body.to_string().into(),
            meta: meta.as_ref(),
        };
        let request = match mcp::request(&self.offer, call) {
            Ok(request) => request,
            Err(result) => return result,
        };
        mcp::result(&self.offer, paid.oneshot(request).await.unwrap(), 1 << 20).await
    }

    async fn pay(self: &Arc<Self>, payment: &PaymentPayload, body: &str) -> Value {
        self.call(Some(json!({ PAYMENT: payment })), body).await
    }

    fn count(&self) -> usize {
        self.worked.load(Ordering::SeqCst)
    }
}

async fn scene() -> (Town, Shop, Arc<Tool>, Key) {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let shop = town.shop().await;
    let offer = town::shop::offer(town.token(), &mcp::url("work"));
    let tool = Arc::new(Tool {
        gate: shop.gate.clone(),
        offer,
        worked: AtomicUsize::new(0),
        began: Semaphore::new(0),
        may_end: Semaphore::new(0),
    });
    (town, shop, tool, payer)
}

/// The quote of a result, which says the same in both forms.
#[track_caller]
fn quote(result: &Value) -> &Value {
    assert_eq!(result["isError"], true, "{result}");
    let quote = &result["structuredContent"];
    let text = result["content"][0]["text"].as_str().unwrap();
    assert_eq!(&serde_json::from_str::<Value>(text).unwrap(), quote);
    assert_eq!(quote["x402Version"], 2);
    assert_eq!(quote["resource"]["url"], "mcp://tool/work");
    assert_eq!(quote["accepts"][0]["amount"], PRICE.to_string());
    quote
}

fn receipt(result: &Value) -> Option<SettleResponse> {
    serde_json::from_value(result["_meta"].get(PAYMENT_RESPONSE)?.clone()).ok()
}

async fn earned(town: &Town) -> i128 {
    town.owns(seller()).await
}

#[tokio::test]
async fn a_call_without_a_payment_gets_the_quote_and_with_it_the_answer() {
    let (town, _shop, tool, payer) = scene().await;
    let asked = tool.call(None, "hello").await;
    assert_eq!(quote(&asked)["accepts"][0]["scheme"], "exact");
    // What others keep in `_meta` is none of our business.
    quote(&tool.call(Some(json!({ "progressToken": 7 })), "hello").await);
    assert_eq!((tool.count(), earned(&town).await), (0, 0));

    let payment = town.payment(&payer, 1);
    let told = tool.pay(&payment, "hello").await;
    assert!(told.get("isError").is_none(), "{told}");
    assert_eq!(told["structuredContent"], json!({ "did": "hello" }));
    assert_eq!(told["content"][0]["text"], r#"{"did":"hello"}"#);
    let settled = receipt(&told).expect("a receipt");
    assert!(settled.success && settled.transaction.starts_with("0x"));
    assert_eq!(settled.payer.unwrap().parse::<Party>().unwrap(), payer.party());
    assert_eq!(earned(&town).await, i128::from(PRICE));

    // The same call again: the stored answer, once paid.
    assert_eq!(tool.pay(&payment, "hello").await, told);
    assert_eq!((tool.count(), earned(&town).await), (1, i128::from(PRICE)));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_payment_that_is_no_good_gets_the_quote_with_the_reason_and_no_work() {
    let (town, _shop, tool, payer) = scene().await;
    let digest = town.digest();
    let mut long = Map::new();
    long.insert("x".into(), "y".repeat(40_000).into());
    for unreadable in
        [json!("text"), json!(null), json!({}), json!({ "x402Version": 1 }), json!(long)]
    {
        let told = tool.call(Some(json!({ PAYMENT: unreadable })), "hello").await;
        assert_eq!(quote(&told)["error"], "invalid_payload");
    }
    let mut other = town.payment(&payer, 1);
    other.accepted.amount = "1".into();
    let told = tool.pay(&other, "hello").await;
    let reason = quote(&told)["error"].as_str().unwrap().to_string();
    assert!(reason.starts_with("No matching payment requirements"), "{reason}");

    let mut unsigned = town.payment(&payer, 1);
    unsigned.payload["signature"] = "0x00".into();
    let told = tool.pay(&unsigned, "hello").await;
    assert!(quote(&told)["error"].as_str().unwrap().contains("signature"), "{told}");

    let poor = town.payment(&person(0x22), 1);
    let told = tool.pay(&poor, "hello").await;
    assert!(quote(&told)["error"].as_str().unwrap().contains("insufficient"), "{told}");
    assert_eq!((tool.count(), earned(&town).await), (0, 0));
    assert_eq!(town.digest(), digest, "what is refused leaves no trace");
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_payment_for_one_call_buys_no_other() {
    let (town, _shop, tool, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    assert!(receipt(&tool.pay(&payment, "hello").await).is_some());
    let digest = town.digest();
    let told = tool.pay(&payment, "something else").await;
    assert_eq!(quote(&told)["error"], "payment_already_used");
    assert_eq!((tool.count(), earned(&town).await), (1, i128::from(PRICE)));
    assert_eq!(town.digest(), digest, "what is refused leaves no trace");
}

#[tokio::test]
async fn work_that_fails_is_an_error_and_costs_nothing() {
    let (town, _shop, tool, payer) = scene().await;
    let told = tool.pay(&town.payment(&payer, 1), "no").await;
    assert_eq!(told["isError"], true);
    assert_eq!(told["content"][0]["text"], "not a picture");
    assert_eq!(told["structuredContent"]["error"], "input_refused");
    assert!(receipt(&told).is_none());
    assert_eq!((tool.count(), earned(&town).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settlement_that_fails_withholds_the_answer() {
    let (town, _shop, tool, payer) = scene().await;
    let order = town.order(&payer, 1);
    let nonce = order.nonce;
    let payment = town.wrap(&town.sign(&payer, order));
    let call = {
        let (tool, payment) = (tool.clone(), payment.clone());
        tokio::spawn(async move { tool.pay(&payment, "wait").await })
    };
    tool.began.acquire().await.unwrap().forget();
    cancel(&town, &payer, nonce).await;
    tool.may_end.add_permits(1);
    let told = call.await.unwrap();
    quote(&told);
    assert!(!told.to_string().contains("late"), "the work is withheld: {told}");
    assert!(!receipt(&told).expect("what became of the money").success);
    assert_eq!(earned(&town).await, 0);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn what_is_no_text_comes_as_what_it_is() {
    let (town, _shop, tool, payer) = scene().await;
    let picture = tool.pay(&town.payment(&payer, 1), "picture").await;
    assert_eq!(
        picture["content"],
        json!([{ "type": "image", "data": "AQID", "mimeType": "image/png" }])
    );
    let bytes = tool.pay(&town.payment(&payer, 2), "bytes").await;
    assert_eq!(bytes["content"][0]["type"], "resource");
    assert_eq!(bytes["content"][0]["resource"]["blob"], "/wI=");
    assert_eq!(bytes["content"][0]["resource"]["mimeType"], "application/zip");
}
