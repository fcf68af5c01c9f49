//! Somebody between a buyer and a shop, who loses answers and changes what they say.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::http::{HeaderMap, StatusCode};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use payments::wire::{self, PaymentPayload, PaymentRequired, SettleResponse};
use payments::{Purchase, channel};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::http;
use super::shop::Shop;

/// What is done with a request that carries a payment.
#[derive(Clone)]
pub enum Meddling {
    /// Nothing.
    Pass,
    /// It never arrives.
    LoseRequest,
    /// It is answered, and the answer is lost.
    LoseAnswer,
    /// It never arrives, and nobody answers.
    HangBefore,
    /// It is answered, and the answer does not come.
    HangAfter,
    /// The receipt's `extra` is changed.
    Receipt(Arc<dyn Fn(&mut Value) + Send + Sync>),
    /// The corrective quote's `extra` is changed.
    Quote(Arc<dyn Fn(&mut Value) + Send + Sync>),
    /// Nobody is asked: this is the quote.
    Answer(Arc<dyn Fn() -> PaymentRequired + Send + Sync>),
}

pub struct Meddler {
    pub url: String,
    target: Arc<Mutex<String>>,
    plan: Arc<Mutex<Vec<Meddling>>>,
    /// The payments that came by, as they were signed.
    pub seen: Arc<Mutex<Vec<PaymentPayload>>>,
    /// A permit for each request that hangs.
    pub hangs: Arc<Semaphore>,
    pub turns: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Meddler {
    /// Stands before a shop, and does this with the payments that come, one after the other.
    pub async fn before(shop: &Shop, plan: Vec<Meddling>) -> Meddler {
        let plan = Arc::new(Mutex::new(plan.into_iter().rev().collect::<Vec<_>>()));
        let seen: Arc<Mutex<Vec<PaymentPayload>>> = Arc::default();
        let (hangs, turns) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let target = Arc::new(Mutex::new(shop.url.clone()));
        let place = target.clone();
        let (todo, log, waiting, count) =
            (plan.clone(), seen.clone(), hangs.clone(), turns.clone());
        let app = Router::new().fallback(move |request: Request| {
            let (todo, log, waiting, count, target) =
                (todo.clone(), log.clone(), waiting.clone(), count.clone(), place.clone());
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let payment: Option<PaymentPayload> =
                    wire::decode(&parts.headers, wire::PAYMENT_SIGNATURE).unwrap();
                let meddling = match payment {
                    None => Meddling::Pass,
                    Some(payment) => {
                        log.lock().unwrap().push(payment);
                        todo.lock().unwrap().pop().unwrap_or(Meddling::Pass)
                    }
                };
                let target = target.lock().unwrap().clone();
                meddle(meddling, &target, parts.method, &parts.headers, body, &waiting).await
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/work", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Meddler { url, target, plan, seen, hangs, turns, server }
    }

    /// From now on it stands before another shop: the same one, opened again.
    pub fn leads_to(&self, shop: &Shop) {
        *self.target.lock().unwrap() = shop.url.clone();
    }

    /// What is done with the next payments.
    pub fn then(&self, plan: Vec<Meddling>) {
        *self.plan.lock().unwrap() = plan.into_iter().rev().collect();
    }

    pub fn purchase(&self, shop: &Shop, body: &str) -> Purchase {
        Purchase { url: self.url.parse().unwrap(), ..shop.purchase(body) }
    }

    /// The totals that were signed, in the order in which they came by.
    pub fn totals(&self) -> Vec<u128> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|p| p.payload["voucher"]["maxClaimableAmount"].as_str().unwrap().parse().unwrap())
            .collect()
    }

    pub fn kinds(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|p| p.payload["type"].as_str().unwrap_or("exact").to_string()).collect()
    }
}

async fn meddle(
    meddling: Meddling,
    target: &str,
    method: ::http::Method,
    headers: &HeaderMap,
    body: Bytes,
    hangs: &Semaphore,
) -> Response {
    match &meddling {
        Meddling::LoseRequest => return lost(),
        Meddling::HangBefore => {
            hangs.add_permits(1);
            return std::future::pending().await;
        }
        Meddling::Answer(quote) => {
            let mut response = StatusCode::PAYMENT_REQUIRED.into_response();
            response.headers_mut().insert(wire::PAYMENT_REQUIRED, wire::encode(&quote()));
            return response;
        }
        _ => {}
    }
    let mut request = http().request(method, target).body(body);
    for name in ["content-type", wire::PAYMENT_SIGNATURE] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    // The shop may be shut, or shut in the middle of its answer.
    let Ok(answer) = request.send().await else { return lost() };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    let Ok(body) = answer.bytes().await else { return lost() };
    match meddling {
        Meddling::LoseAnswer => return lost(),
        Meddling::HangAfter => {
            hangs.add_permits(1);
            return std::future::pending().await;
        }
        Meddling::Receipt(change) => {
            let receipt: Option<SettleResponse> =
                wire::decode(&headers, wire::PAYMENT_RESPONSE).unwrap();
            let mut receipt = receipt.expect("there is a receipt to change");
            let mut extra = Value::Object(receipt.extra.take().unwrap());
            change(&mut extra);
            receipt.extra = extra.as_object().cloned();
            headers.insert(wire::PAYMENT_RESPONSE, wire::encode(&receipt));
        }
        Meddling::Quote(change) => {
            let quote: Option<PaymentRequired> =
                wire::decode(&headers, wire::PAYMENT_REQUIRED).unwrap();
            let mut quote = quote.expect("there is a quote to change");
            for way in quote.accepts.iter_mut().filter(|w| w.scheme == channel::SCHEME) {
                let mut extra = Value::Object(way.extra.take().unwrap());
                change(&mut extra);
                way.extra = extra.as_object().cloned();
            }
            headers.insert(wire::PAYMENT_REQUIRED, wire::encode(&quote));
        }
        _ => {}
    }
    let mut response = (status, body).into_response();
    for name in ["content-type", wire::PAYMENT_RESPONSE, wire::PAYMENT_REQUIRED] {
        if let Some(value) = headers.get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// An answer that breaks off before it says anything.
fn lost() -> Response {
    let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("cut"))]);
    Response::new(Body::from_stream(broken))
}
