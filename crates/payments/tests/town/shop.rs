//! A shop: a gate before a handler that counts, on loopback.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use http::{Method, StatusCode};
use payments::wire::PaymentPayload;
use payments::{Facilitator, Gate, GateLimits, GateParts, Offer, Purchase, wire};
use settlement::Token;
use tokio::sync::Semaphore;

use super::{Town, http, musd, seller};

/// What one piece of work costs, in minor units.
pub const PRICE: u64 = 10_000;

/// What the handler has done and is told.
pub struct Work {
    /// How often it began.
    pub begun: AtomicUsize,
    /// How often it began on each body.
    pub jobs: Mutex<HashMap<Bytes, usize>>,
    /// A permit for each time it began.
    pub began: Semaphore,
    /// Work on the body `wait` ends only with a permit from here.
    pub may_end: Semaphore,
}

impl Work {
    pub fn count(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// Waits until the handler has begun once more.
    pub async fn begins(&self) {
        self.began.acquire().await.unwrap().forget();
    }
}

pub struct Shop {
    pub gate: Arc<Gate>,
    pub work: Arc<Work>,
    pub url: String,
    pub(super) server: tokio::task::JoinHandle<()>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What the shop sells; `/other` costs and gives the same.
pub fn offer(token: &Token, url: &str) -> Offer {
    let price = musd(i128::from(PRICE));
    let mut offer = Offer::new("work", Method::POST, url.into(), price, seller(), token.clone());
    offer.description = "does what it is told".into();
    offer.max_body = 64 * 1024;
    offer
}

/// Does what the body says, up to a colon.
pub(super) async fn handler(State(work): State<Arc<Work>>, body: Bytes) -> Response {
    let turn = work.begun.fetch_add(1, Ordering::SeqCst) + 1;
    *work.jobs.lock().unwrap().entry(body.clone()).or_default() += 1;
    work.began.add_permits(1);
    match body.split(|b| *b == b':').next().unwrap_or_default() {
        b"wait" => work.may_end.acquire().await.unwrap().forget(),
        b"fail" => return (StatusCode::INTERNAL_SERVER_ERROR, "it burnt").into_response(),
        b"no" => return (StatusCode::UNPROCESSABLE_ENTITY, "not a picture").into_response(),
        b"panic" => panic!("the handler was told to panic"),
        b"hang" => std::future::pending().await,
        b"huge" => return vec![b'x'; 1 << 20].into_response(),
        // `charge:250` costs 250 minor units.
        b"charge" => {
            let said = String::from_utf8_lossy(&body[7..]).parse::<i128>().unwrap();
            let mut answer = format!("turn {turn}").into_response();
            answer.extensions_mut().insert(payments::Charge::of(musd(said)));
            return answer;
        }
        // What it used, of the price.
        b"used" => {
            let used = body.split(|b| *b == b':').nth(1).unwrap_or_default();
            let used: i128 = std::str::from_utf8(used).unwrap().parse().unwrap();
            let mut response = axum::Json(serde_json::json!({ "turn": turn })).into_response();
            response.extensions_mut().insert(payments::Charge::of(musd(used)));
            return response;
        }
        b"strange" => {
            let strange = "x".repeat(500);
            return ([("content-type", strange)], "strange").into_response();
        }
        _ => {}
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    axum::Json(serde_json::json!({ "turn": turn, "did": text })).into_response()
}

impl Town {
    pub async fn shop(&self) -> Shop {
        self.shop_with(self.facilitator(), GateLimits::default()).await
    }

    pub async fn shop_with(&self, facilitator: Arc<dyn Facilitator>, limits: GateLimits) -> Shop {
        self.shop_of(facilitator, limits, |_| {}).await
    }

    /// A shop with a changed offer.
    pub async fn shop_of(
        &self,
        facilitator: Arc<dyn Facilitator>,
        limits: GateLimits,
        change: impl Fn(&mut Offer),
    ) -> Shop {
        let gate = Gate::new(GateParts { limits, ..self.gate_parts(facilitator) });
        self.open_shop(gate, |url| {
            let mut offer = offer(self.token(), url);
            change(&mut offer);
            offer
        })
        .await
    }

    /// Opens a shop behind any gate, with what `sells` makes of its address.
    pub async fn open_shop(&self, gate: Arc<Gate>, sells: impl FnOnce(&str) -> Offer) -> Shop {
        let work = Arc::new(Work {
            begun: AtomicUsize::new(0),
            jobs: Mutex::default(),
            began: Semaphore::new(0),
            may_end: Semaphore::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/work", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/work", post(handler))
            .route("/other", post(handler))
            .layer(gate.layer(sells(&url)))
            .with_state(work.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Shop { gate, work, url, server }
    }
}

/// An answer, whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    pub receipt: Option<wire::SettleResponse>,
    pub quote: Option<wire::PaymentRequired>,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Answer {
        let status = response.status().as_u16();
        let read = response.headers().clone();
        Answer {
            status,
            text: response.text().await.unwrap(),
            receipt: wire::decode(&read, wire::PAYMENT_RESPONSE).unwrap(),
            quote: wire::decode(&read, wire::PAYMENT_REQUIRED).unwrap(),
        }
    }

    /// The error's code: of the quote's, or of the body's.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.text).unwrap_or_default();
        body["error"].as_str().unwrap_or_default().to_string()
    }
}

impl Shop {
    pub fn purchase(&self, body: &str) -> Purchase {
        Purchase {
            method: Method::POST,
            url: self.url.parse().unwrap(),
            media_type: Some("text/plain".into()),
            body: Bytes::copy_from_slice(body.as_bytes()),
            max: None,
            agent: None,
        }
    }

    pub fn request(&self, payment: &PaymentPayload, body: &str) -> reqwest::RequestBuilder {
        self.raw(wire::encode(payment).to_str().unwrap(), body)
    }

    /// A request with any text as the payment.
    pub fn raw(&self, header: &str, body: &str) -> reqwest::RequestBuilder {
        http()
            .post(&self.url)
            .header("content-type", "text/plain")
            .header(wire::PAYMENT_SIGNATURE, header)
            .body(body.to_string())
    }

    /// Sends one signed payment by hand.
    pub async fn pay(&self, payment: &PaymentPayload, body: &str) -> Answer {
        Answer::of(self.request(payment, body).send().await.unwrap()).await
    }
}
