//! Which check a piece of work gets: what was asked for, or the cheapest that reaches the confidence.
//!
//! Confidence is an estimate for people, as [`market::checks::choose`] says; what the check costs is whole.
//! Four checks judge each piece of work by itself: whoever checks does it again with the model that stands behind
//! its worker's offer. Two, `gold` and `peer`, judge many labels in one job ([`crate::labelling`]).

use market::checks::choose::{self, Choice, Plan, Situation};
use market::checks::juror;
use market::{CheckKind, MILLION};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How sure a check is for whom nobody asked otherwise, in millionths.
pub const USUAL_PPM: u32 = 950_000;
/// How long optimistically accepted work may be challenged, in milliseconds.
pub const WINDOW_MS: u64 = 5_000;
/// At which share of optimistically accepted work each checker of a home looks, in millionths.
pub const LOOKING_PPM: u32 = 500_000;
/// Which part of the hidden tests must be right, in millionths: between who works and who does not.
pub const TESTS_MARK: u32 = 500_000;
/// The least agreement with raters beyond chance, in millionths.
pub const RATERS_MARK: u32 = 200_000;
/// The fewest files whose labels can be compared beyond chance.
pub const LEAST_RATED: u32 = 4;

/// Which part of the pool's stake is believed to be honest, where nobody knows better.
const HONEST: f64 = 0.95;
/// How often an honest checker that does the work again gets the same bytes: the models are pinned.
const ACCURACY: f64 = 1.0;
/// How often an honest juror is right, in millionths. A vote can be given without the work, which a digest cannot.
pub const JUDGEMENT_PPM: u32 = 900_000;
const JUDGEMENT: f64 = JUDGEMENT_PPM as f64 / MILLION as f64;
/// How often an honest worker's label is right where the answer is known, and how often one by chance.
const LABELLING: f64 = 0.95;
const CHANCE: f64 = 0.05;
/// The fewest and the most hidden tests in one job. One or two are soon guessed, whatever the formula says.
const LEAST_TESTS: u32 = 3;
const MOST_TESTS: u32 = 12;

/// What the person wants of checks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    /// This kind, and no other.
    pub kind: Option<CheckKind>,
    /// How sure its verdict must be, in millionths; 0 if nobody said: then [`USUAL_PPM`], or where the kind that was
    /// asked for is never so sure, as sure as it is.
    pub confidence_ppm: u32,
}

/// The work that is to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// How many jobs are checked one by one, a foreman's own included.
    pub jobs: u32,
    /// The same work as labels in one job, if it is such work.
    pub labels: Option<Labels>,
}

/// Work that is given labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels {
    /// How many items.
    pub items: u32,
    /// What one more item costs, in minor units.
    pub unit: i128,
}

impl Labels {
    /// How many items are mixed in under `peer`: agreement beyond chance cannot be seen where all items
    /// are alike, so at least a third of them differ.
    pub fn mixed_in(self) -> u32 {
        self.items.div_ceil(2).max(LEAST_RATED)
    }
}

/// A check, and what it promises.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// It: what it costs for all of the work when nothing goes wrong, and its confidence.
    pub plan: Plan,
    /// The cheapest of each other kind that would reach the same confidence.
    pub others: Vec<Plan>,
}

impl Chosen {
    /// Whether all is one job of many labels.
    pub fn is_of_many(&self) -> bool {
        matches!(self.plan.kind, CheckKind::Gold | CheckKind::Peer)
    }

    /// Its seats; 1 for the examiner of hidden tests.
    pub fn seats(&self) -> u8 {
        match self.plan.kind {
            CheckKind::Gold => 1,
            _ => u8::try_from(self.plan.size).unwrap_or(market::MAX_SEATS),
        }
    }
}

/// Why there is no such check.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CheckProblem {
    /// The work does not suit the kind.
    #[error("a `{}` check cannot judge this work: {why}", .kind.name())]
    Unsuited {
        /// The kind.
        kind: CheckKind,
        /// Why, and what would do.
        why: &'static str,
    },
    /// No check that can be had is so sure.
    #[error(
        "no check here is sure to {}: with {checkers} checkers in the pool the surest reaches {}", percent(*.wanted_ppm), percent(*.surest_ppm)
    )]
    OutOfReach {
        /// What was asked, in millionths.
        wanted_ppm: u32,
        /// What can be had, in millionths.
        surest_ppm: u32,
        /// How many checkers there are.
        checkers: u32,
    },
}

fn percent(ppm: u32) -> String {
    let whole = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    format!("{} %", whole.trim_end_matches('0').trim_end_matches('.'))
}

/// The check for work that gives the same bytes again, as all that foremen hire for does: `checkers` could
/// be drawn, and each is paid `fee` minor units for a piece of work.
///
/// # Errors
/// Why the check that was asked for cannot be had.
pub fn check(wish: Wish, checkers: u32, fee: i128, work: Checked) -> Result<Chosen, CheckProblem> {
    if let Some(kind) = wish.kind
        && let Some(why) = unsuited(kind, work)
    {
        return Err(CheckProblem::Unsuited { kind, why });
    }
    let mut plans = one_by_one(wish, checkers, fee, work.jobs);
    plans.extend(work.labels.iter().flat_map(|labels| of_many(wish, checkers, fee, *labels)));
    plans.retain(|plan| wish.kind.is_none_or(|kind| kind == plan.kind));
    let surest = plans.iter().map(|plan| plan.confidence).fold(0.0, f64::max);
    let wanted = match (wish.confidence_ppm, wish.kind) {
        (0, None) => share(USUAL_PPM),
        (0, Some(_)) => share(USUAL_PPM).min(surest),
        (ppm, _) => share(ppm),
    };
    match choose::cheapest(plans, wanted) {
        Choice::Taken { plan, others } => Ok(Chosen { plan, others }),
        Choice::OutOfReach { .. } => Err(CheckProblem::OutOfReach {
            wanted_ppm: (wanted * 1e6) as u32,
            surest_ppm: (surest * 1e6) as u32,
            checkers,
        }),
    }
}

fn share(ppm: u32) -> f64 {
    f64::from(ppm) / f64::from(MILLION)
}

/// Checks of single pieces of work. What they cost is for all jobs, so that they can be compared with one check
/// of many labels.
fn one_by_one(wish: Wish, checkers: u32, fee: i128, jobs: u32) -> Vec<Plan> {
    // Worker and client may be of the pool, and take no seats: as the market counts.
    let seats = checkers.saturating_sub(2);
    let all = fee * i128::from(jobs.max(1));
    let situation = Situation {
        work_fee: all,
        look_fee: all,
        is_deterministic: true,
        is_comparable: true,
        items: None,
        tests: 0,
        test_cost: 0,
        is_judgeable: true,
        honest: HONEST,
        accuracy: ACCURACY,
        judgement: JUDGEMENT,
        lazy: 0.0,
        // Nobody is paid for watching, so silence is believed only by whom asks for it.
        watchers: if wish.kind == Some(CheckKind::Optimistic) { checkers } else { 0 },
        looking: share(LOOKING_PPM),
    };
    let mut plans = choose::menu(&situation);
    plans.retain(|plan| plan.size <= seats);
    plans
}

/// Checks of many labels in one job.
fn of_many(wish: Wish, checkers: u32, fee: i128, labels: Labels) -> Vec<Plan> {
    let seats = checkers.saturating_sub(2);
    let rated = labels.items + labels.mixed_in();
    let situation = Situation {
        work_fee: fee * i128::from(rated),
        look_fee: fee,
        is_deterministic: false,
        is_comparable: false,
        items: (labels.items >= LEAST_RATED).then_some(rated),
        // What is hidden is made of samples that everybody can have, so nobody's work is trusted to it unasked.
        // Whoever loses may call jurors: they must be there, beside the examiner.
        tests: match wish.kind {
            Some(CheckKind::Gold) if u32::from(juror::next_panel(1)) < checkers => MOST_TESTS,
            _ => 0,
        },
        test_cost: labels.unit,
        is_judgeable: false,
        honest: HONEST,
        accuracy: LABELLING,
        judgement: JUDGEMENT,
        lazy: CHANCE,
        watchers: 0,
        looking: 0.0,
    };
    let mut plans = choose::menu(&situation);
    for plan in plans.iter_mut().filter(|plan| plan.kind == CheckKind::Peer) {
        plan.cost += labels.unit * i128::from(labels.mixed_in());
    }
    plans.retain(|plan| match plan.kind {
        CheckKind::Gold => plan.size >= LEAST_TESTS,
        _ => plan.size <= seats,
    });
    plans
}

fn unsuited(kind: CheckKind, work: Checked) -> Option<&'static str> {
    match (kind, work.labels) {
        (CheckKind::Gold, None) => Some(
            "hidden tests need items that are each given a label, all of one kind: pictures to be named, or files to be told apart; texts that are read or written, and several kinds in one order, have none. Take `exact`, which does the work again",
        ),
        (CheckKind::Peer, None) => Some(
            "agreement beyond chance needs items that are each given a label, all of one kind: pictures to be named, or files to be told apart. Take `exact`, which does the work again, or `redundant`",
        ),
        (CheckKind::Peer, Some(labels)) if labels.items < LEAST_RATED => Some(
            "agreement beyond chance is measured over many items: give at least 4 files, or take `gold`, which hides known ones among them",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Checked = Checked { jobs: 1, labels: Some(Labels { items: 1, unit: 3_000 }) };

    fn wish(kind: Option<CheckKind>, confidence_ppm: u32) -> Wish {
        Wish { kind, confidence_ppm }
    }

    fn taken(wish: Wish, checkers: u32, work: Checked) -> (CheckKind, u32, i128) {
        let plan = check(wish, checkers, 500, work).unwrap_or_else(|why| panic!("{why}")).plan;
        (plan.kind, plan.size, plan.cost)
    }

    #[test]
    fn more_confidence_costs_more_and_the_cheapest_that_reaches_it_is_taken() {
        assert_eq!(taken(wish(None, 0), 5, ONE), (CheckKind::Exact, 1, 500));
        assert_eq!(taken(wish(None, 990_000), 5, ONE), (CheckKind::Exact, 3, 1_500));
        let chosen = check(wish(None, 990_000), 8, 500, ONE).expect("it is reached");
        let others: Vec<CheckKind> = chosen.others.iter().map(|plan| plan.kind).collect();
        assert_eq!(others, [CheckKind::Redundant], "dearer, and as sure");
        // A few hidden tests are cheaper than all work done again, but samples are known: only by its name.
        let many = Checked { jobs: 21, labels: Some(Labels { items: 20, unit: 3_000 }) };
        assert_eq!(taken(wish(None, 990_000), 5, many).0, CheckKind::Exact);
        let gold = check(wish(Some(CheckKind::Gold), 990_000), 5, 500, many).expect("by name");
        let exact = check(wish(None, 990_000), 5, 500, many).expect("it is reached");
        assert!(gold.plan.cost < exact.plan.cost);
        let text = Checked { labels: None, ..ONE };
        assert!(matches!(
            check(wish(None, 999_000), 5, 500, text),
            Err(CheckProblem::OutOfReach { surest_ppm: 990_000..=999_000, checkers: 5, .. })
        ));
        let none = check(wish(None, 500_000), 2, 500, text).expect_err("nobody could be drawn");
        assert_eq!(
            none.to_string(),
            "no check here is sure to 50 %: with 2 checkers in the pool the surest reaches 0 %"
        );
    }

    #[test]
    fn a_check_is_taken_by_name_or_refused_with_its_reason() {
        let many = Checked { jobs: 7, labels: Some(Labels { items: 6, unit: 3_000 }) };
        for kind in CheckKind::ALL {
            assert_eq!(taken(wish(Some(kind), 0), 5, many).0, kind);
        }
        // As sure as it gets, unless somebody asks for more.
        assert!(
            check(wish(Some(CheckKind::Juror), 0), 5, 500, ONE)
                .is_ok_and(|it| it.plan.confidence < 0.95)
        );
        assert!(check(wish(Some(CheckKind::Juror), 950_000), 5, 500, ONE).is_err());
        let text = Checked { jobs: 1, labels: None };
        for (kind, work) in
            [(CheckKind::Gold, text), (CheckKind::Peer, text), (CheckKind::Peer, ONE)]
        {
            let refused = check(wish(Some(kind), 0), 50, 500, work).expect_err("it does not suit");
            assert!(refused.to_string().contains("ake `"), "says what to take: {refused}");
        }
    }
}
