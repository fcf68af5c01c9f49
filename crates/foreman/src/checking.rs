//! Which check a piece of work gets: what was asked for, or the cheapest that reaches the confidence.
//!
//! Confidence is an estimate for people, as [`market::checks::choose`] says; what the check costs is whole.

use market::checks::choose::{self, Situation};
use market::{Check, CheckKind};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which part of the pool's stake is believed to be honest, where nobody knows better.
const HONEST: f64 = 0.95;
/// How often an honest checker that does the work again gets the same bytes: the models are pinned.
const ACCURACY: f64 = 1.0;
/// How long optimistically accepted work may be challenged, in milliseconds.
const WINDOW_MS: u64 = 5_000;

/// What the person wants of checks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    /// This kind, and no other.
    pub kind: Option<CheckKind>,
    /// How sure its verdict must be, in millionths.
    pub confidence_ppm: u32,
}

/// A check, and what it promises.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// It.
    pub check: Check,
    /// Which plan it is: its cost when nothing goes wrong, and its confidence.
    pub plan: choose::Plan,
}

/// Why there is no such check.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CheckProblem {
    /// The work does not suit the kind.
    #[error("a `{}` check cannot judge this work: {why}", .kind.name())]
    Unsuited {
        /// The kind.
        kind: CheckKind,
        /// Why.
        why: &'static str,
    },
    /// No check that can be had is so sure.
    #[error(
        "no check here is sure to {wanted_ppm} millionths: with {checkers} checkers in the pool the surest reaches {surest_ppm}"
    )]
    OutOfReach {
        /// What was asked.
        wanted_ppm: u32,
        /// What can be had.
        surest_ppm: u32,
        /// How many checkers there are.
        checkers: u32,
    },
}

/// The check for work that gives the same bytes again, as all that foremen hire for does: `checkers` could
/// be drawn, and each is paid `fee` minor units.
///
/// # Errors
/// Why the check that was asked for cannot be had.
pub fn check(wish: Wish, checkers: u32, fee: i128) -> Result<Chosen, CheckProblem> {
    if let Some(kind) = wish.kind
        && let Some(why) = unsuited(kind)
    {
        return Err(CheckProblem::Unsuited { kind, why });
    }
    // Worker and client may be of the pool, and take no seats: as the market counts.
    let seats = checkers.saturating_sub(2);
    let optimistic = wish.kind == Some(CheckKind::Optimistic);
    let situation = Situation {
        work_fee: fee,
        look_fee: fee,
        is_deterministic: true,
        is_comparable: false,
        items: None,
        tests: 0,
        test_cost: 0,
        is_judgeable: false,
        honest: HONEST,
        accuracy: ACCURACY,
        judgement: 0.5,
        lazy: 0.0,
        // Silence is believed only where it was asked for: who watches is not known.
        watchers: if optimistic { seats } else { 0 },
        looking: 0.5,
    };
    let plans: Vec<choose::Plan> = choose::menu(&situation)
        .into_iter()
        .filter(|plan| plan.size <= seats && wish.kind.is_none_or(|kind| kind == plan.kind))
        .collect();
    let confidence = f64::from(wish.confidence_ppm) / 1e6;
    let surest = plans.iter().map(|plan| plan.confidence).fold(0.0, f64::max);
    if confidence > surest || plans.is_empty() {
        return Err(CheckProblem::OutOfReach {
            wanted_ppm: wish.confidence_ppm,
            surest_ppm: (surest * 1e6) as u32,
            checkers,
        });
    }
    let plan = plans
        .into_iter()
        .filter(|plan| plan.confidence >= confidence)
        .min_by(|a, b| a.cost.cmp(&b.cost).then(a.size.cmp(&b.size)))
        .expect("the surest of them reaches it");
    Ok(chosen(plan))
}

fn chosen(plan: choose::Plan) -> Chosen {
    let seats = u8::try_from(plan.size).unwrap_or(market::MAX_SEATS);
    let check = match plan.kind {
        CheckKind::Optimistic => Check::Optimistic { window_ms: WINDOW_MS, executors: seats },
        _ => Check::Exact { executors: seats },
    };
    Chosen { check, plan }
}

fn unsuited(kind: CheckKind) -> Option<&'static str> {
    match kind {
        CheckKind::Exact | CheckKind::Optimistic => None,
        CheckKind::Gold => Some(
            "hidden tests need one job with many items of few labels, and each file here is a job by itself; `exact` does the work again",
        ),
        CheckKind::Redundant => Some(
            "rivals with other models give other bytes, so their answers cannot be voted on; `exact` does the work again with the same model",
        ),
        CheckKind::Peer => Some(
            "agreement beyond chance needs many items with few labels, and each file here is a job by itself; take `exact`",
        ),
        CheckKind::Juror => {
            Some("no juror here can say by looking whether a label is right; take `exact`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(kind: Option<CheckKind>, confidence_ppm: u32) -> Wish {
        Wish { kind, confidence_ppm }
    }

    #[test]
    fn more_confidence_takes_more_executors_and_costs_more() {
        let one = check(wish(None, 950_000), 5, 500).expect("one executor is enough");
        assert_eq!((one.check, one.plan.cost), (Check::Exact { executors: 1 }, 500));
        let three = check(wish(None, 990_000), 5, 500).expect("three are enough");
        assert_eq!((three.check, three.plan.cost), (Check::Exact { executors: 3 }, 1_500));
        assert!(matches!(
            check(wish(None, 999_000), 5, 500),
            Err(CheckProblem::OutOfReach { surest_ppm: 990_000..=999_000, checkers: 5, .. })
        ));
        assert!(matches!(check(wish(None, 500_000), 2, 500), Err(CheckProblem::OutOfReach { .. })));
    }

    #[test]
    fn a_check_is_taken_by_name_or_refused_with_its_reason() {
        let watched = check(wish(Some(CheckKind::Optimistic), 900_000), 7, 500);
        assert!(matches!(
            watched.map(|chosen| chosen.check),
            Ok(Check::Optimistic { executors: 1, .. })
        ));
        let exact = check(wish(Some(CheckKind::Exact), 990_000), 7, 500);
        assert!(matches!(exact.map(|c| c.check), Ok(Check::Exact { executors: 3 })));
        for kind in [CheckKind::Gold, CheckKind::Redundant, CheckKind::Peer, CheckKind::Juror] {
            let refused = check(wish(Some(kind), 900_000), 50, 500).expect_err("it does not suit");
            assert!(refused.to_string().contains("exact"), "{refused}");
        }
    }
}
