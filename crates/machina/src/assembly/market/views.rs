//! What programs are told of offers, jobs and parties.

use ::market::{Bid, BidState, Job, Offer, Panel, Party, Skill, State};
use ::money::{Amount, Timestamp};
use serde_json::{Value, json};

/// An offer, with what checks have shown of its worker; if that is not there now, since when.
pub fn offer(state: &State, offer: &Offer, silent: Option<Timestamp>) -> Value {
    let mut view = json!({
        "offer": offer,
        "busy": state.busy(offer.id),
        "record": record(state, offer.worker, offer.skill),
    });
    if let Some(since) = silent {
        let why =
            "its worker has signed nothing here for ten minutes: it is in no list until it does";
        view["hidden"] = json!({ "lastHeardOf": since, "why": why });
    }
    view
}

/// What checks have shown of a party's work of one kind.
pub fn record(state: &State, party: Party, skill: Skill) -> Value {
    let counts = state.record(party, skill);
    json!({ "passed": counts.passed, "failed": counts.failed, "meanMillionths": counts.mean() })
}

/// A party's money here.
pub fn holding(state: &State, party: Party) -> Value {
    let holding = state.holding(party);
    json!({
        "party": party,
        "free": holding.free,
        "stake": holding.stake,
        "locked": holding.locked,
    })
}

/// A job in short.
pub fn summary(state: &State, job: &Job) -> Value {
    let amount = |minor| Amount::from_minor(state.rules().asset, minor);
    json!({
        "id": job.terms.id,
        "client": job.terms.client,
        "parent": job.terms.parent,
        "skill": job.terms.skill,
        "stage": job.stage,
        "deadline": job.deadline,
        "endsBy": job.ends_by,
        "budget": job.terms.budget,
        "worker": job.worker,
        "price": job.worker.map(|_| amount(job.price)),
        "verdict": job.verdict,
    })
}

/// A job, whole: bids that are sealed stay so, and what was delivered is told as its check tells it.
pub fn job(state: &State, job: &Job) -> Value {
    let amount = |minor| Amount::from_minor(state.rules().asset, minor);
    let bid = |bid: &Bid| {
        let (told, price) = match bid.state {
            // An open bid in a sealed round is the market's to know until the round is decided.
            BidState::Told(minor) if job.worker.is_some() => ("told", Some(amount(minor))),
            BidState::Told(_) => ("told", None),
            BidState::Sealed(_) => ("sealed", None),
            BidState::TakenBack => ("taken_back", None),
            BidState::Unopened => ("unopened", None),
        };
        json!({ "offer": bid.offer, "worker": bid.worker, "state": told, "price": price })
    };
    let panel = |panel: &Panel| {
        let seats: Vec<Value> = panel
            .seats
            .iter()
            .map(|seat| {
                json!({
                    "checker": seat.checker,
                    "sealed": seat.commitment,
                    "report": seat.report,
                })
            })
            .collect();
        json!({ "jury": panel.is_jury, "size": panel.size, "seats": seats,
            "drawnWith": panel.drawn_with, "verdict": panel.verdict })
    };
    let mut view = summary(state, job);
    let more = json!({
        "terms": &*job.terms,
        "bids": job.bids.iter().map(bid).collect::<Vec<_>>(),
        "clearedWith": job.cleared_with,
        "offer": job.offer,
        "delivery": job.delivery,
        "opened": job.opened,
        "panels": job.panels.iter().map(panel).collect::<Vec<_>>(),
        "escrow": amount(job.escrow),
        "stake": amount(job.stake),
        "spent": amount(job.spent),
        "children": job.children,
        "openChildren": job.open_children,
    });
    if let (Value::Object(view), Value::Object(more)) = (&mut view, more) {
        view.extend(more);
    }
    view
}
