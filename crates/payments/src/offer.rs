//! What is for sale: a priced HTTP resource.

use std::time::Duration;

use alloy_primitives::Address;
use money::{Amount, Party};
use serde_json::{Map, Value};
use settlement::Token;

use crate::wire::{self, PaymentRequired, PaymentRequirements, Resource};

/// A priced HTTP resource. Build one with [`Offer::new`] and adjust its public parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// A short name within the economy, for example `vision/classify`.
    pub name: String,
    /// The request's method.
    pub method: http::Method,
    /// Where it is, as buyers reach it.
    pub url: String,
    /// What it does, for people.
    pub description: String,
    /// What the answer is.
    pub media_type: String,
    /// What one request costs.
    pub price: Amount,
    /// Who is paid.
    pub payee: Party,
    /// The money that it is paid in.
    pub token: Token,
    /// How long a payment is valid: work and settlement must fit.
    pub timeout: Duration,
    /// The largest request body, in bytes.
    pub max_body: usize,
}

impl Offer {
    /// An offer that answers JSON within 60 seconds, to bodies of at most 8 MiB.
    ///
    /// # Panics
    /// If the price is not positive or not in the token's asset: an offer is made by the program
    /// or from a checked setting.
    pub fn new(
        name: &str,
        method: http::Method,
        url: String,
        price: Amount,
        payee: Party,
        token: Token,
    ) -> Offer {
        assert!(price.is_positive(), "an offer has a price");
        assert_eq!(price.asset(), token.asset, "a price is in the asset that is paid");
        Offer {
            name: name.to_string(),
            method,
            url,
            description: String::new(),
            media_type: "application/json".into(),
            price,
            payee,
            token,
            timeout: Duration::from_secs(60),
            max_body: 8 * 1024 * 1024,
        }
    }

    /// The one way to pay for it.
    pub fn requirements(&self) -> PaymentRequirements {
        let mut extra = Map::new();
        extra.insert("name".into(), Value::from(self.token.name.clone()));
        extra.insert("version".into(), Value::from(self.token.version.clone()));
        PaymentRequirements {
            scheme: crate::exact::SCHEME.into(),
            network: wire::network(self.token.chain_id),
            amount: self.price.minor().to_string(),
            asset: self.token.address.to_string(),
            pay_to: Address::from(self.payee).to_string(),
            max_timeout_seconds: self.timeout.as_secs(),
            extra: Some(extra),
        }
    }

    /// The quote: what a 402 answer says.
    pub fn quote(&self, error: Option<String>) -> PaymentRequired {
        PaymentRequired {
            x402_version: wire::VERSION,
            error,
            resource: Resource {
                url: self.url.clone(),
                description: Some(self.description.clone()).filter(|d| !d.is_empty()),
                mime_type: Some(self.media_type.clone()),
                service_name: None,
                tags: None,
            },
            accepts: vec![self.requirements()],
            extensions: None,
        }
    }

    /// What differs between this offer and what a buyer says to have accepted, in words; `None`
    /// if nothing does.
    pub fn difference(&self, accepted: &PaymentRequirements) -> Option<String> {
        let ours = self.requirements();
        let address = |text: &str| text.parse::<Address>().ok();
        let said = |part: &str, theirs: &str, ours: &str| {
            let theirs: String = theirs.chars().take(80).collect();
            Some(format!("{part} is {theirs}, not {ours}"))
        };
        if accepted.scheme != ours.scheme {
            return said("scheme", &accepted.scheme, &ours.scheme);
        }
        if accepted.network != ours.network {
            return said("network", &accepted.network, &ours.network);
        }
        if accepted.amount != ours.amount {
            return said("amount", &accepted.amount, &ours.amount);
        }
        if address(&accepted.asset) != Some(self.token.address) {
            return said("asset", &accepted.asset, &ours.asset);
        }
        if address(&accepted.pay_to) != Some(self.payee.into()) {
            return said("payTo", &accepted.pay_to, &ours.pay_to);
        }
        let extra = |r: &PaymentRequirements, key: &str| {
            r.extra.as_ref().and_then(|e| e.get(key)).and_then(Value::as_str).map(str::to_string)
        };
        for key in ["name", "version"] {
            if extra(accepted, key) != extra(&ours, key) {
                let theirs = extra(accepted, key).unwrap_or_else(|| "missing".into());
                return said(
                    &format!("extra.{key}"),
                    &theirs,
                    &extra(&ours, key).unwrap_or_default(),
                );
            }
        }
        None
    }
}
