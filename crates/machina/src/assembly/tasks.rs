//! What a trade bought, from the documents that the journal keeps of it: the class of tasks, how many
//! and how good, for real GDP.
//!
//! | trade | class | quantity | quality |
//! |---|---|---|---|
//! | a call of an offer | the offer, whoever sells it | 1 | 1: nobody checks it |
//! | a call that is charged by tokens, or at a stall tells them | the offer, at a stall with method and path, by token | the tokens that the answer tells | 1 |
//! | another call at a stall, of a fixed price | the stall's method and path | 1 | 1 |
//! | a job of the labour market | the skill, as a job | 1 | the share of the worker's checked jobs at that skill that passed, this one included |
//! | a check of a job | the skill, as a check | 1 | 1 |
//!
//! Where the documents do not tell how many units a call was (kB, a stream that ends without its
//! count), the trade has no quantity, and real GDP says how much of final use it covers. Tokens are as
//! the seller counts them, which moves the prices of its own class.

use ::market::JobId;
use economy::{REFERENCE_QUALITY, Task};
use ledger::{Ledger, Reference};
use money::Party;
use payments::channel::till;
use payments::gate;
use payments::proxy::{Meter, Per};
use serde_json::Value;

use super::measure::Trade;

/// The longest name of a class, in characters: paths are strangers' text.
const MAX_CLASS: usize = 96;
/// How the names of stalls' offers begin.
const STALL: &str = "sell/";

/// Offers of this home that are charged by tokens.
const BY_TOKEN: [&str; 2] = ["language/chat", "meaning/embed"];
/// Under which stage the market's books keep a job's story.
const JOB: &str = "market/job";
/// More tokens than this in one answer are not believed.
const MOST_TOKENS: u64 = 10_000_000;

/// What the journal's documents do not tell.
pub struct Known {
    /// Whom the market's fees are paid to: they buy no task.
    pub market: Party,
    /// How good the work of a job was, in millionths; none if no check ended it.
    pub quality: Box<dyn Fn(JobId) -> Option<u64> + Send>,
}

/// What was bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bought {
    class: String,
    quantity: u64,
    quality: u64,
}

impl Bought {
    fn one(class: String) -> Bought {
        Bought { class, quantity: 1, quality: REFERENCE_QUALITY }
    }

    /// The same for the accounts.
    pub fn task(&self) -> Task<'_> {
        Task { class: &self.class, quantity: self.quantity, quality: self.quality }
    }
}

/// What this trade bought, if the documents tell.
pub fn of(ledger: &Ledger, trade: &Trade, known: &Known) -> Option<Bought> {
    let reference = trade.flow.reference;
    if let Some(story) = document(ledger, reference, JOB) {
        return of_job(&story, trade.flow.payee, known);
    }
    if let Some(asked) = document(ledger, reference, gate::stage::REQUEST) {
        let whole = trade.held == Some(trade.flow.amount);
        let tokens = told_in(&asked, || bytes(ledger, reference, gate::stage::OUTPUT));
        return of_call(&asked, whole, tokens);
    }
    // Paid from a channel: the voucher's document has the request in it, and a short answer too.
    let voucher = document(ledger, reference, till::stage::VOUCHER)?;
    let asked = voucher.get("request")?;
    let tokens = told_in(asked, || match voucher.get("output").and_then(Value::as_str) {
        Some(text) => Some(text.as_bytes().to_vec()),
        None => bytes(ledger, reference, till::stage::OUTPUT),
    });
    of_call(asked, false, tokens)
}

/// What was paid to this party for a job.
fn of_job(story: &Value, payee: Party, known: &Known) -> Option<Bought> {
    let skill = story.get("terms")?.get("skill")?.as_str()?;
    let named = |what: &str| format!("{what} {skill}").chars().take(MAX_CLASS).collect::<String>();
    let worker: Option<Party> = serde_json::from_value(story.get("worker")?.clone()).ok();
    if payee == known.market {
        return None;
    }
    if worker != Some(payee) {
        return Some(Bought::one(named("check of")));
    }
    let job: JobId = serde_json::from_value(story.get("job")?.clone()).ok()?;
    let quality = (known.quality)(job).unwrap_or(REFERENCE_QUALITY);
    Some(Bought { quality, ..Bought::one(named("job")) })
}

/// What a call bought. `whole`: exactly what was set aside was charged.
fn of_call(asked: &Value, whole: bool, tokens: Option<u64>) -> Option<Bought> {
    let text = |key: &str| asked.get(key).and_then(Value::as_str);
    let offer = text("offer")?;
    let class = if offer.starts_with(STALL) {
        let path = text("target")?.split('?').next().unwrap_or_default();
        format!("{offer} {} {path}", text("method")?)
    } else {
        offer.to_string()
    };
    let is_stall = offer.starts_with(STALL);
    let cut = |class: String| class.chars().take(MAX_CLASS).collect::<String>();
    match tokens {
        Some(quantity) => {
            Some(Bought { quantity, ..Bought::one(cut(format!("{class}, by token"))) })
        }
        // What a stall charges for a voucher may have been counted, too.
        None if BY_TOKEN.contains(&offer) || is_stall && !whole => None,
        None => Some(Bought::one(cut(class))),
    }
}

/// The tokens that an answer tells, where it may tell any.
fn told_in(asked: &Value, answer: impl FnOnce() -> Option<Vec<u8>>) -> Option<u64> {
    let offer = asked.get("offer")?.as_str()?;
    if !offer.starts_with(STALL) && !BY_TOKEN.contains(&offer) {
        return None;
    }
    let mut meter = Meter::new(Per::Token);
    meter.pass(&answer()?);
    meter.units().filter(|tokens| (1..=MOST_TOKENS).contains(tokens))
}

fn bytes(ledger: &Ledger, reference: Reference, stage: &str) -> Option<Vec<u8>> {
    match ledger.document(reference, stage) {
        Ok(found) => found.map(|found| found.evidence.body.to_vec()),
        Err(error) => {
            tracing::warn!(%error, "what a trade bought could not be read");
            None
        }
    }
}

fn document(ledger: &Ledger, reference: Reference, stage: &str) -> Option<Value> {
    serde_json::from_slice(&bytes(ledger, reference, stage)?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(asked: &Value, whole: bool, tokens: Option<u64>) -> Option<(String, u64)> {
        of_call(asked, whole, tokens).map(|bought| (bought.class, bought.quantity))
    }

    #[test]
    fn a_class_is_an_offer_and_at_a_stall_a_path() {
        let asked = |offer: &str| json!({ "offer": offer, "method": "POST", "target": "/a/b?c=d" });
        let is = |class: &str, quantity| Some((class.to_string(), quantity));
        assert_eq!(class(&asked("vision/classify"), false, None), is("vision/classify", 1));
        assert_eq!(class(&asked("sell/stall"), true, None), is("sell/stall POST /a/b", 1));
        assert_eq!(class(&asked("sell/stall"), false, None), None, "counted by kB, perhaps");
        assert_eq!(
            class(&asked("sell/stall"), false, Some(70)),
            is("sell/stall POST /a/b, by token", 70)
        );
        assert_eq!(class(&asked("language/chat"), true, None), None, "it did not tell");
        assert_eq!(class(&asked("language/chat"), true, Some(5)), is("language/chat, by token", 5));
        assert_eq!(class(&json!({ "offer": 7 }), true, None), None);
        assert_eq!(class(&json!({}), true, None), None);
        let (long, _) = class(&asked(&"x".repeat(5_000)), false, None).expect("it is cut");
        assert_eq!(long.len(), MAX_CLASS);
    }

    #[test]
    fn tokens_are_those_that_the_answer_tells_within_reason() {
        let told = |offer: &str, answer: &str| {
            told_in(&json!({ "offer": offer }), || Some(answer.as_bytes().to_vec()))
        };
        let usage = |tokens: &str| format!(r#"{{"usage":{{"total_tokens":{tokens}}}}}"#);
        assert_eq!(told("language/chat", &usage("42")), Some(42));
        assert_eq!(told("sell/x", r#"{"prompt_eval_count":3,"eval_count":4}"#), Some(7));
        assert_eq!(told("vision/classify", &usage("42")), None, "it is sold by the call");
        assert_eq!(told("sell/x", &usage("0")), None);
        assert_eq!(told("sell/x", &usage("18446744073709551615")), None, "nobody writes so much");
        assert_eq!(told("sell/x", "words"), None);
    }

    #[test]
    fn a_job_is_as_good_as_its_worker_s_checked_work() {
        let (market, worker, checker) =
            (Party::new([9; 20]), Party::new([2; 20]), Party::new([3; 20]));
        let job = JobId::from_u128(7);
        let known = Known { market, quality: Box::new(move |one| (one == job).then_some(900_000)) };
        let story =
            json!({ "job": job, "worker": worker, "terms": { "skill": "vision/classify" } });
        let work = of_job(&story, worker, &known).expect("a job");
        assert_eq!((work.class.as_str(), work.quality), ("job vision/classify", 900_000));
        let check = of_job(&story, checker, &known).expect("a check");
        assert_eq!((check.class.as_str(), check.quality), ("check of vision/classify", 1_000_000));
        assert_eq!(of_job(&story, market, &known), None, "a fee buys no task");
        assert_eq!(of_job(&json!({}), worker, &known), None);
    }
}
