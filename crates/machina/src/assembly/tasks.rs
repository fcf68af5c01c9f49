//! What a trade bought, from the documents that the journal keeps of it: the class of tasks and how
//! many, for real GDP.
//!
//! A class is an offer: whoever sells it, a call of it is a call. What is sold through a stall may be
//! many things, so there each path is a class of its own. One trade is one call. Where the work
//! decided what was charged (by tokens, by kB), the journal does not tell how many units that were;
//! such trades have no quantity, and real GDP says how much of final use it covers.

use economy::{REFERENCE_QUALITY, Task};
use ledger::{Ledger, Reference};
use payments::channel::till;
use payments::gate;
use serde_json::Value;

use super::measure::Trade;

/// The longest name of a class, in characters: paths are strangers' text.
const MAX_CLASS: usize = 96;
/// How the names of stalls' offers begin.
const STALL: &str = "sell/";

/// What was bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bought {
    class: String,
}

impl Bought {
    /// The same for the accounts. Nobody has measured the quality of single answers yet, so a call
    /// is as good as any other.
    pub fn task(&self) -> Task<'_> {
        Task { class: &self.class, quantity: 1, quality: REFERENCE_QUALITY }
    }
}

/// What this trade bought, if the documents tell.
pub fn of(ledger: &Ledger, trade: &Trade) -> Option<Bought> {
    let reference = trade.flow.reference;
    let (asked, whole) = match document(ledger, reference, gate::stage::REQUEST) {
        Some(asked) => (asked, trade.held == Some(trade.flow.amount)),
        // Paid from a channel: the voucher's document has the request in it.
        None => {
            let voucher = document(ledger, reference, till::stage::VOUCHER)?;
            (voucher.get("request")?.clone(), false)
        }
    };
    class(&asked, whole).map(|class| Bought { class })
}

/// The class of what was asked for. `whole`: exactly what was set aside was charged.
fn class(asked: &Value, whole: bool) -> Option<String> {
    let text = |key: &str| asked.get(key).and_then(Value::as_str);
    let offer = text("offer")?;
    if !offer.starts_with(STALL) {
        return Some(offer.chars().take(MAX_CLASS).collect());
    }
    // What a stall charges for a voucher may have been counted in tokens.
    if !whole {
        return None;
    }
    let path = text("target")?.split('?').next().unwrap_or_default();
    let named = format!("{offer} {} {path}", text("method")?);
    Some(named.chars().take(MAX_CLASS).collect())
}

fn document(ledger: &Ledger, reference: Reference, stage: &str) -> Option<Value> {
    match ledger.document(reference, stage) {
        Ok(found) => serde_json::from_slice(&found?.evidence.body).ok(),
        Err(error) => {
            tracing::warn!(%error, "what a trade bought could not be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_is_an_offer_and_at_a_stall_a_path_whose_price_was_fixed() {
        let asked = |offer: &str| json!({ "offer": offer, "method": "POST", "target": "/a/b?c=d" });
        assert_eq!(class(&asked("vision/classify"), false), Some("vision/classify".into()));
        assert_eq!(class(&asked("sell/stall"), true), Some("sell/stall POST /a/b".into()));
        assert_eq!(class(&asked("sell/stall"), false), None, "counted by tokens, perhaps");
        assert_eq!(class(&json!({ "offer": 7 }), true), None);
        assert_eq!(class(&json!({}), true), None);
        let long = class(&asked(&"x".repeat(5_000)), false).expect("it is cut");
        assert_eq!(long.len(), MAX_CLASS);
    }
}
