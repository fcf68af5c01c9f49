//! The stalls of an economy: services that run elsewhere and are sold here, under `/s/NAME/`.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::StatusCode;
use money::Party;
use payments::proxy::{Per, Priced, Prices, Stall, Upstream};
use payments::{Gate, Way};
use serde_json::json;
use settlement::Token;

use crate::failure::Failure;
use crate::report::{StallOrder, StallPrice, StallReport};

/// How many stalls an economy has at most.
const MOST_STALLS: usize = 64;
/// How long a service may take until it begins to answer.
const PATIENCE: Duration = Duration::from_secs(45);

/// All stalls, behind one gate.
pub struct Stalls {
    gate: Arc<Gate>,
    payee: Party,
    token: Token,
    /// Where the economy is, without a slash at the end.
    base: String,
    http: reqwest::Client,
    fixed: Vec<Way>,
    metered: Vec<Way>,
    open: RwLock<BTreeMap<String, Arc<Stall>>>,
}

impl Stalls {
    /// No stalls yet. What they earn goes to `payee`.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub fn new(
        gate: Arc<Gate>,
        payee: Party,
        token: Token,
        base: String,
        fixed: Vec<Way>,
        metered: Vec<Way>,
    ) -> Result<Stalls, Failure> {
        // A redirect is the buyer's to follow, or not: the service may only be asked what it sells.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(Failure::new)?;
        let open = RwLock::default();
        Ok(Stalls { gate, payee, token, base, http, fixed, metered, open })
    }

    /// Opens a stall.
    ///
    /// # Errors
    /// If the order makes no sense, or the name is taken.
    pub fn open(&self, order: &StallOrder) -> Result<StallReport, Failure> {
        let name = &order.name;
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(good) {
            return Err(Failure::misuse(format!(
                "`{}` is no name for a stall",
                name.chars().take(60).collect::<String>()
            ))
            .hint("use up to 32 lower-case letters, digits and hyphens"));
        }
        let asset = self.token.asset;
        let prices = match (&order.prices, &order.price) {
            (Some(_), Some(_)) => {
                return Err(Failure::misuse("a price list has its own prices")
                    .hint("give either `--price` or `--prices`"));
            }
            (Some(text), None) => Prices::parse(asset, text).map_err(Failure::misuse)?,
            (None, Some(price)) => {
                let per = Per::from_str(&order.per).map_err(Failure::misuse)?;
                Prices::one(asset, price, per, order.most.as_deref()).map_err(|e| {
                    let failure = Failure::misuse(e);
                    if per == Per::Request { failure } else { failure.hint("add `--most AMOUNT`") }
                })?
            }
            (None, None) => {
                return Err(Failure::misuse("nothing says what it costs")
                    .hint("add `--price AMOUNT`, or a price list with `--prices FILE`"));
            }
        };
        let mut upstream =
            Upstream::new(&order.to, self.http.clone(), PATIENCE).map_err(Failure::misuse)?;
        for header in &order.headers {
            upstream = upstream.with_header(header).map_err(Failure::misuse)?;
        }
        let stall = Arc::new(Stall {
            name: name.clone(),
            description: order.description.chars().filter(|c| !c.is_control()).take(200).collect(),
            url: format!("{}/s/{name}", self.base),
            prices,
            upstream,
            payee: self.payee,
            token: self.token.clone(),
            fixed: self.fixed.clone(),
            metered: self.metered.clone(),
        });
        let mut open = self.open.write().expect("nothing panics under this lock");
        if open.contains_key(name) {
            return Err(Failure::new(format!("a stall named {name} is open already"))
                .hint("choose another with `--name`"));
        }
        if open.len() >= MOST_STALLS {
            return Err(Failure::new(format!("{MOST_STALLS} stalls are open; no more fit")));
        }
        open.insert(name.clone(), stall.clone());
        Ok(report(&stall))
    }

    /// Closes a stall; what is being paid for is brought to its end.
    ///
    /// # Errors
    /// If none of that name is open.
    pub fn close(&self, name: &str) -> Result<StallReport, Failure> {
        let stall = self.open.write().expect("nothing panics under this lock").remove(name);
        stall.map(|stall| report(&stall)).ok_or_else(|| {
            let name: String = name.chars().take(60).collect();
            Failure::new(format!("no stall named {name} is open"))
        })
    }

    /// The stalls that are open, by name.
    pub fn list(&self) -> Vec<StallReport> {
        let open = self.open.read().expect("nothing panics under this lock");
        open.values().map(|stall| report(stall)).collect()
    }

    /// The doors of all stalls.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/s/{name}", any(serve))
            .route("/s/{name}/", any(serve))
            .route("/s/{name}/{*path}", any(serve))
            .with_state(self.clone())
    }
}

fn report(stall: &Stall) -> StallReport {
    let line = |(what, priced): (String, Priced)| match priced {
        Priced::At(tariff) => StallPrice {
            what,
            price: Some(tariff.price),
            per: tariff.per.as_str().into(),
            most: Some(tariff.most),
        },
        Priced::Free | Priced::NotSold => {
            StallPrice { what, price: None, per: "request".into(), most: None }
        }
    };
    StallReport {
        name: stall.name.clone(),
        url: stall.url.clone(),
        to: stall.upstream.shown(),
        prices: stall.prices.lines().into_iter().map(line).collect(),
        payee: stall.payee,
        skill: None,
    }
}

async fn serve(
    State(stalls): State<Arc<Stalls>>,
    Path(named): Path<std::collections::HashMap<String, String>>,
    mut request: Request,
) -> Response {
    let name = named.get("name").map_or("", String::as_str);
    let stall = stalls.open.read().expect("nothing panics under this lock").get(name).cloned();
    let Some(stall) = stall else {
        let said = json!({ "error": "no_such_stall", "message": "no stall of that name is open" });
        return (StatusCode::NOT_FOUND, axum::Json(said)).into_response();
    };
    // What follows `/s/NAME`, as it came: nothing is decoded on the way.
    let target = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let rest = target.get("/s/".len() + name.len()..).unwrap_or("/");
    let rest = if rest.starts_with('/') { rest.to_string() } else { format!("/{rest}") };
    match rest.parse() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return StatusCode::BAD_REQUEST.into_response(),
    }
    stall.serve(&stalls.gate, request).await
}
