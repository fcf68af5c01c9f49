//! Selling what runs elsewhere: any HTTP service, put behind the gate.
//!
//! A [`Stall`] takes a request, looks its price up by method and path ([`Prices`]), and sends it on
//! to the service ([`Upstream`]) once it is paid for. Bodies stream through; what is priced by use
//! is counted as it passes ([`Meter`]) and charged at its end. A service that fails, or cannot be
//! reached, costs its caller nothing.

mod meter;
mod prices;
mod upstream;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use money::Party;
use settlement::Token;
use tower::{Layer as _, ServiceExt as _, service_fn};

pub use meter::Meter;
pub use prices::{MAX_ROUTES, MAX_TEXT, Per, PriceError, Priced, Prices, Tariff};
pub use upstream::{Upstream, UpstreamError};

use crate::extensions::Binding;
use crate::gate::{Charge, Gate};
use crate::offer::{Offer, Way};

/// A service for sale.
pub struct Stall {
    /// What it is called here: letters, digits and hyphens.
    pub name: String,
    /// For people.
    pub description: String,
    /// Where buyers reach it, without a slash at the end.
    pub url: String,
    /// What it costs.
    pub prices: Prices,
    /// The service.
    pub upstream: Upstream,
    /// Who is paid.
    pub payee: Party,
    /// In what.
    pub token: Token,
    /// How to pay a fixed price, in the order of preference.
    pub fixed: Vec<Way>,
    /// How to pay by use, in the order of preference.
    pub metered: Vec<Way>,
}

impl Stall {
    /// Answers a request whose path has been cut to what follows [`Stall::url`].
    pub async fn serve(self: Arc<Self>, gate: &Arc<Gate>, request: Request<Body>) -> Response {
        let path = request.uri().path().to_string();
        match self.prices.of(request.method(), &path) {
            // Clients ask by GET for a channel's money back, whatever is sold there by which method.
            Priced::NotSold
                if request.method() == http::Method::GET
                    && let Some((method, tariff)) = self.prices.sold_by(&path) =>
            {
                let offer = self.offer(&method, &path, tariff);
                let refused = move |_: Request<Body>| {
                    let said = format!("this is sold by {method}; nothing was charged");
                    let status = StatusCode::METHOD_NOT_ALLOWED;
                    async move { Ok::<_, Infallible>(upstream::say(status, "not_for_sale", &said)) }
                };
                let asked = gate.layer(offer).layer(service_fn(refused));
                asked.oneshot(request).await.unwrap_or_else(|never| match never {})
            }
            Priced::NotSold => {
                let said = format!("`{} {path}` is not for sale at {}", request.method(), self.url);
                upstream::say(StatusCode::NOT_FOUND, "not_for_sale", &said)
            }
            Priced::Free => self.upstream.forward(request).await,
            Priced::At(tariff) => {
                let offer = self.offer(request.method(), &path, tariff);
                let stall = self.clone();
                let work = service_fn(move |request: Request<Body>| {
                    let stall = stall.clone();
                    async move { Ok::<_, Infallible>(stall.work(tariff, request).await) }
                });
                let paid = gate.layer(offer).layer(work);
                paid.oneshot(request).await.unwrap_or_else(|never| match never {})
            }
        }
    }

    /// What one of its routes is, to a buyer.
    pub fn offer(&self, method: &http::Method, path: &str, tariff: Tariff) -> Offer {
        let mut offer = Offer::new(
            &format!("sell/{}", self.name),
            method.clone(),
            format!("{}{path}", self.url),
            tariff.most,
            self.payee,
            self.token.clone(),
        );
        let metered = tariff.per != Per::Request;
        offer.description = match metered {
            false => self.description.clone(),
            true => format!(
                "{} ({} per {}, at most {})",
                self.description,
                tariff.price,
                tariff.per.as_str(),
                tariff.most
            )
            .trim_start()
            .to_string(),
        };
        offer.media_type = "*/*".into();
        offer.streams = true;
        offer.extensions = crate::sponsoring::declaration();
        offer.declared.binding = Some(Binding { required: false });
        offer.timeout = Duration::from_secs(300);
        offer.ways = if metered { self.metered.clone() } else { self.fixed.clone() };
        offer
    }

    /// The paid request: sent on, and counted.
    async fn work(&self, tariff: Tariff, request: Request<Body>) -> Response {
        let response = self.upstream.forward(request).await;
        if tariff.per == Per::Request || response.status().as_u16() >= 400 {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        let (body, count) = meter::counted(body, tariff.per);
        let name = self.name.clone();
        parts.extensions.insert(Charge::at_end(move || match count.units() {
            Some(units) => tariff.charge(units),
            // Whoever asks decides how the service answers, and when to hang up: what is not told
            // must not be free.
            None => {
                tracing::error!(
                    stall = name,
                    "the service does not tell how many tokens it took; the most is charged"
                );
                tariff.most
            }
        }));
        Response::from_parts(parts, body)
    }
}
