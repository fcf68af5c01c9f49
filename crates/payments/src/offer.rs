//! What is for sale: a priced HTTP resource.

use std::time::Duration;

use alloy_primitives::Address;
use mandates::books::Line;
use money::{Amount, Party, Timestamp};
use serde_json::{Map, Value};
use settlement::Token;

use crate::auth_capture::{self, EscrowTerms};
use crate::channel::{self, Terms};
use crate::extensions::{self, Declared};
use crate::permit;
use crate::wire::{self, PaymentRequired, PaymentRequirements, Resource};

/// A way to pay for an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Scheme `exact` by EIP-3009: the token itself moves exactly the price.
    Authorization,
    /// Scheme `batch-settlement`: a voucher of a channel that was paid into before.
    Channel(Terms),
    /// Scheme `exact` through Permit2: x402's proxy moves exactly the price.
    Permit,
    /// Scheme `upto` through Permit2: the price is the most, and what the service says in its
    /// [`crate::Charge`] is moved.
    UpTo {
        /// Who alone settles it: an address of the facilitator that the gate asks, as its
        /// `/supported` tells.
        facilitator: Address,
    },
    /// Scheme `auth-capture`: an escrow takes the price, and what the service says in its
    /// [`crate::Charge`] is captured of it.
    Escrow(EscrowTerms),
}

/// When the money moves, against the work: `extra.paymentFlow` of x402's SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PaymentFlow {
    /// After the work. What is said of a payment before is a check and a hold.
    #[default]
    Authorization,
    /// Before the work. If the work then fails, the payer has paid for nothing.
    Upfront,
    /// Into escrow before the work, and on or back after it.
    Escrow,
}

impl PaymentFlow {
    /// The member of `extra` that says it.
    pub const MEMBER: &str = "paymentFlow";

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            PaymentFlow::Authorization => "authorization",
            PaymentFlow::Upfront => "upfront",
            PaymentFlow::Escrow => "escrow",
        }
    }

    /// The flow of some terms; `None` if it is none that their scheme has. Where nothing is said,
    /// an escrow is `escrow`, or by the specification's `autoCapture` `upfront`.
    pub fn of(terms: &PaymentRequirements) -> Option<PaymentFlow> {
        let said = terms.extra.as_ref().and_then(|e| e.get(PaymentFlow::MEMBER));
        let escrow = terms.scheme == auth_capture::SCHEME;
        match said {
            None | Some(Value::Null) if escrow => {
                let auto = terms.extra.as_ref().and_then(|e| e.get("autoCapture"));
                match auto.and_then(Value::as_bool) {
                    Some(true) => Some(PaymentFlow::Upfront),
                    _ => Some(PaymentFlow::Escrow),
                }
            }
            None | Some(Value::Null) => Some(PaymentFlow::Authorization),
            Some(Value::String(said)) => match said.as_str() {
                "authorization" => Some(PaymentFlow::Authorization),
                "upfront" if escrow || terms.scheme == crate::exact::SCHEME => {
                    Some(PaymentFlow::Upfront)
                }
                "escrow" if escrow => Some(PaymentFlow::Escrow),
                _ => None,
            },
            Some(_) => None,
        }
    }
}

impl Way {
    /// The scheme's name on the wire.
    pub const fn scheme(&self) -> &'static str {
        match self {
            Way::Authorization | Way::Permit => crate::exact::SCHEME,
            Way::UpTo { .. } => permit::UPTO,
            Way::Channel(_) => channel::SCHEME,
            Way::Escrow(_) => auth_capture::SCHEME,
        }
    }

    /// Whether it goes through Permit2, which the payer has to approve.
    const fn is_by_permit(&self) -> bool {
        match self {
            Way::Permit | Way::UpTo { .. } => true,
            Way::Escrow(terms) => terms.by_permit,
            Way::Channel(terms) => terms.by_permit,
            Way::Authorization => false,
        }
    }
}

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
    /// What one request costs; where a way charges by use, the most that it costs.
    pub price: Amount,
    /// Who is paid.
    pub payee: Party,
    /// What a payment is in its book: sales, or what it owes where it keeps the payer's money.
    pub income: Line,
    /// The money that it is paid in.
    pub token: Token,
    /// How long a payment is valid: work and settlement must fit.
    pub timeout: Duration,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// Whether answers may pass through as they come instead of being kept and settled first;
    /// see `gate/stream.rs` for who bears which risk.
    pub streams: bool,
    /// The ways to pay for it, in the order of preference; [`Offer::new`] gives one.
    pub ways: Vec<Way>,
    /// Whether what is paid by scheme `exact` is settled before the work: the seller risks nothing,
    /// and the buyer the price ([`PaymentFlow::Upfront`]). [`Offer::new`] says no.
    pub upfront: bool,
    /// What its quote says of extensions, by name; [`Offer::new`] says nothing.
    pub extensions: Map<String, Value>,
    /// What else it says, and does, by x402's extensions; [`Offer::new`] says nothing.
    pub declared: Declared,
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
            income: Line::Sales,
            token,
            timeout: Duration::from_secs(60),
            max_body: 8 * 1024 * 1024,
            streams: false,
            ways: vec![Way::Authorization],
            upfront: false,
            extensions: Map::new(),
            declared: Declared::default(),
        }
    }

    /// The ways to pay for it, in the seller's order of preference.
    pub fn requirements(&self) -> Vec<PaymentRequirements> {
        self.ways.iter().map(|way| self.requirement(way)).collect()
    }

    /// The terms of its channels, if it can be paid from one.
    pub fn channel_terms(&self) -> Option<Terms> {
        self.ways.iter().find_map(|way| match way {
            Way::Channel(terms) => Some(*terms),
            _ => None,
        })
    }

    fn requirement(&self, way: &Way) -> PaymentRequirements {
        let mut extra = Map::new();
        extra.insert("name".into(), Value::from(self.token.name.clone()));
        extra.insert("version".into(), Value::from(self.token.version.clone()));
        if way.is_by_permit() {
            extra.insert(permit::METHOD.into(), permit::METHOD_PERMIT2.into());
        }
        match way {
            Way::Authorization | Way::Permit => {
                if self.upfront {
                    let flow = PaymentFlow::Upfront.as_str();
                    extra.insert(PaymentFlow::MEMBER.into(), flow.into());
                }
            }
            Way::Escrow(terms) => {
                let flow = terms.flow.as_str();
                extra.insert(PaymentFlow::MEMBER.into(), flow.into());
                terms.write(&mut extra);
            }
            Way::UpTo { facilitator } => {
                extra.insert(permit::FACILITATOR.into(), facilitator.to_string().into());
            }
            Way::Channel(terms) => {
                let authorizer = terms.receiver_authorizer.to_string();
                extra.insert("receiverAuthorizer".into(), Value::from(authorizer));
                extra.insert("withdrawDelay".into(), Value::from(terms.withdraw_delay));
                let price = self.price.minor().unsigned_abs();
                let hint = price.saturating_mul(channel::REQUESTS_A_DEPOSIT);
                extra.insert("minDeposit".into(), Value::from(hint.to_string()));
                extra.insert("lanes".into(), Value::from(channel::LANES));
            }
        }
        PaymentRequirements {
            scheme: way.scheme().into(),
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
                service_name: self.declared.service_name(),
                tags: self.declared.tags(),
            },
            accepts: self.requirements(),
            extensions: extensions::with(self.declared.quote(self), Some(self.extensions.clone())),
        }
    }

    /// A quote of this offer with the times that count from now. Escrows have some; nothing else
    /// changes.
    pub(crate) fn stamp(&self, quote: &mut PaymentRequired, now: Timestamp) {
        for (way, terms) in self.ways.iter().zip(quote.accepts.iter_mut()) {
            if let Way::Escrow(escrow) = way {
                escrow.stamp(terms.extra.get_or_insert_default(), now);
            }
        }
    }

    /// The terms of its escrow that a buyer accepted, if it did.
    pub(crate) fn escrow_terms(&self, accepted: &PaymentRequirements) -> Option<EscrowTerms> {
        self.ways.iter().find_map(|way| match way {
            Way::Escrow(terms) if difference(&self.requirement(way), accepted).is_none() => {
                Some(*terms)
            }
            _ => None,
        })
    }

    /// The way that a buyer says to have accepted, as this seller asks it. The times of an escrow,
    /// which are told anew in each quote, are the buyer's: the gate looks whether they will do.
    ///
    /// # Errors
    /// What differs from the nearest way, in words.
    pub fn accepts(&self, accepted: &PaymentRequirements) -> Result<PaymentRequirements, String> {
        let mut why_not = String::from("this offer names no way to pay");
        let ways = self.requirements();
        // What differs from a way of the same scheme tells more than that the scheme does.
        for same_scheme in [false, true] {
            for way in ways.iter().filter(|w| same_scheme == (w.scheme == accepted.scheme)) {
                match difference(way, accepted) {
                    None => return Ok(with_times_of(way.clone(), accepted)),
                    Some(difference) => why_not = difference,
                }
            }
        }
        Err(why_not)
    }
}

/// A seller's terms with the times that a buyer accepted, where the scheme has such times.
pub(crate) fn with_times_of(
    mut ours: PaymentRequirements,
    accepted: &PaymentRequirements,
) -> PaymentRequirements {
    if ours.scheme == auth_capture::SCHEME {
        let extra = ours.extra.get_or_insert_default();
        for key in [auth_capture::CAPTURE_DEADLINE, auth_capture::REFUND_DEADLINE] {
            if let Some(time) = accepted.extra.as_ref().and_then(|e| e.get(key)) {
                extra.insert(key.into(), time.clone());
            }
        }
    }
    ours
}

/// What differs between what a seller asks and what a buyer says to have accepted, in words;
/// `None` if nothing does. Members that a way does not have are free.
pub(crate) fn difference(
    ours: &PaymentRequirements,
    accepted: &PaymentRequirements,
) -> Option<String> {
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
    if address(&accepted.asset) != address(&ours.asset) {
        return said("asset", &accepted.asset, &ours.asset);
    }
    if address(&accepted.pay_to) != address(&ours.pay_to) {
        return said("payTo", &accepted.pay_to, &ours.pay_to);
    }
    // What is not said is EIP-3009: else a payment through Permit2 would match a way that does not
    // speak of it.
    let method = |requirements: &PaymentRequirements| {
        let said = requirements.extra.as_ref().and_then(|e| e.get(permit::METHOD)?.as_str());
        said.unwrap_or("eip3009").to_string()
    };
    let may_differ = [crate::exact::SCHEME, auth_capture::SCHEME];
    if may_differ.contains(&ours.scheme.as_str()) && method(ours) != method(accepted) {
        return said("extra.assetTransferMethod", &method(accepted), &method(ours));
    }
    for (key, value) in ours.extra.iter().flatten() {
        let theirs = accepted.extra.as_ref().and_then(|e| e.get(key));
        let same = match (value, theirs) {
            // Addresses are written in more than one case.
            (Value::String(ours), Some(Value::String(theirs))) => {
                ours == theirs || (address(ours).is_some() && address(ours) == address(theirs))
            }
            (value, theirs) => theirs == Some(value),
        };
        if !same {
            let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_string);
            let theirs = theirs.map_or_else(|| "missing".into(), text);
            return said(&format!("extra.{key}"), &theirs, &text(value));
        }
    }
    None
}
