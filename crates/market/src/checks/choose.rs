//! Which check to take: the cheapest that reaches the asked-for confidence, and why.
//!
//! Confidence is the chance that the verdict is right, computed by each check's own formula from
//! what is known of the pool and the work. It is an estimate for people, and in floats; the cost is
//! money, and whole.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rules::MAX_SEATS;

/// What is known of the work and of those who could check it. Chances are within 0 and 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Situation {
    /// What doing the work once costs a checker, in minor units: the fee of executors, peers and
    /// raters.
    pub work_fee: i128,
    /// What looking at the work costs a juror or an examiner, in minor units.
    pub look_fee: i128,
    /// Whether the same work gives the same bytes.
    pub is_deterministic: bool,
    /// Whether two right answers are equal, be it after rounding or sorting.
    pub is_comparable: bool,
    /// How many items with few labels the work has, if it is such work.
    pub items: Option<u32>,
    /// How many of them could be hidden tests.
    pub tests: u32,
    /// What one more hidden test costs, in minor units.
    pub test_cost: i128,
    /// Whether somebody can see by looking whether the work is right.
    pub is_judgeable: bool,
    /// Which part of the pool's stake is believed to be honest.
    pub honest: f64,
    /// How often an honest checker that does the work is right.
    pub accuracy: f64,
    /// How often an honest juror is right.
    pub judgement: f64,
    /// How often who does not work is right, for instance by chance.
    pub lazy: f64,
    /// How many challengers watch.
    pub watchers: u32,
    /// At which share of all work each of them looks.
    pub looking: f64,
}

/// A check by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`exact`](super::exact).
    Exact,
    /// [`gold`](super::gold).
    Gold,
    /// [`redundant`](super::redundant).
    Redundant,
    /// [`peer`](super::peer).
    Peer,
    /// [`optimistic`](super::optimistic).
    Optimistic,
    /// [`juror`](super::juror).
    Juror,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::Exact, Kind::Gold, Kind::Redundant, Kind::Peer, Kind::Optimistic, Kind::Juror];

    /// Its name, as people write it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Exact => "exact",
            Kind::Gold => "gold",
            Kind::Redundant => "redundant",
            Kind::Peer => "peer",
            Kind::Optimistic => "optimistic",
            Kind::Juror => "juror",
        }
    }
}

/// A check that could be taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Which.
    pub kind: Kind,
    /// With how many executors, hidden tests, peers, raters or jurors.
    pub size: u32,
    /// What it costs the client when nothing goes wrong, in minor units.
    pub cost: i128,
    /// How sure its verdict is.
    pub confidence: f64,
}

impl Plan {
    /// It in words, without what it costs: `redundant with 4 peers`.
    pub fn words(&self) -> String {
        let (one, many) = match self.kind {
            Kind::Exact | Kind::Optimistic => ("executor", "executors"),
            Kind::Gold => ("hidden test", "hidden tests"),
            Kind::Redundant => ("peer", "peers"),
            Kind::Peer => ("rater", "raters"),
            Kind::Juror => ("juror", "jurors"),
        };
        let noun = if self.size == 1 { one } else { many };
        format!("{} with {} {noun}", self.kind.name(), self.size)
    }
}

impl fmt::Display for Plan {
    /// For instance `redundant with 4 peers: costs 40, sure to 97.2 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.confidence * 100.0;
        write!(f, "{}: costs {}, sure to {percent:.1} %", self.words(), self.cost)
    }
}

/// All plans that this work admits, in the order of [`Kind`] and then of size.
pub fn menu(situation: &Situation) -> Vec<Plan> {
    let s = situation;
    let mut plans = Vec::new();
    let sizes = |first: u32, step: usize| (first..=u32::from(MAX_SEATS)).step_by(step);
    let seats = |size: u32| u8::try_from(size).unwrap_or(MAX_SEATS);
    let mut add = |kind, size, cost, confidence: f64| {
        plans.push(Plan { kind, size, cost, confidence: confidence.clamp(0.0, 1.0) });
    };
    if s.is_deterministic {
        for size in sizes(1, 2) {
            let confidence = super::exact::confidence(seats(size), s.honest);
            add(Kind::Exact, size, i128::from(size) * s.work_fee, confidence);
        }
    }
    for size in 1..=s.tests.min(200) {
        // The mark that separates honest from lazy best lies between the two.
        let mark = (f64::midpoint(s.accuracy, s.lazy).clamp(0.0, 1.0) * 1e6).round() as u32;
        let confidence = super::gold::confidence(size, mark, s.accuracy, s.lazy);
        add(Kind::Gold, size, i128::from(size) * s.test_cost + s.look_fee, confidence);
    }
    if s.is_comparable {
        // A dishonest peer is right no more often than a lazy one.
        let right = s.honest * s.accuracy + (1.0 - s.honest) * s.lazy;
        for size in sizes(2, 2) {
            // The worker votes, too, and for itself: against wrong work so many peers must be right that they
            // are most of all. Honest work needs fewer.
            let most = u64::from(size / 2) + 1;
            let confidence = super::at_least(u64::from(size), most, right);
            add(Kind::Redundant, size, i128::from(size) * s.work_fee, confidence);
        }
    }
    if let Some(items) = s.items {
        // The expected score of two that are right with chances a and b and else guess is about
        // a·b less chance; honest pairs and lazy pairs lie equally far from a mark between.
        let gap = s.accuracy * (s.honest * s.accuracy) / 2.0;
        for size in 1..=9 {
            let confidence =
                super::peer::confidence(items * size, gap) * s.honest.powf(1.0 / f64::from(size));
            add(Kind::Peer, size, i128::from(size) * s.work_fee, confidence);
        }
    }
    if s.is_deterministic && s.watchers > 0 {
        for size in sizes(1, 2).take(8) {
            let confidence =
                super::optimistic::confidence(s.watchers, s.looking, seats(size), s.honest);
            add(Kind::Optimistic, size, 0, confidence);
        }
    }
    if s.is_judgeable {
        let right = s.honest * s.judgement + (1.0 - s.honest) * (1.0 - s.judgement);
        for size in sizes(1, 2) {
            add(
                Kind::Juror,
                size,
                i128::from(size) * s.look_fee,
                super::majority(seats(size), right),
            );
        }
    }
    plans
}

/// What was chosen, and why.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// The cheapest of those that reach the confidence; of equally cheap ones, the surest.
    Taken {
        /// It.
        plan: Plan,
        /// The cheapest plan of each other kind that would reach it too, dearer.
        others: Vec<Plan>,
    },
    /// None reaches it. The surest there is, if there is any.
    OutOfReach {
        /// It.
        surest: Option<Plan>,
    },
}

/// Chooses a check for this confidence, from 0 to 1.
pub fn choose(situation: &Situation, confidence: f64) -> Choice {
    cheapest(menu(situation), confidence)
}

/// Chooses among these plans, which may be of several ways to divide the same work.
pub fn cheapest(plans: Vec<Plan>, confidence: f64) -> Choice {
    let cheaper =
        |a: &Plan, b: &Plan| a.cost.cmp(&b.cost).then(b.confidence.total_cmp(&a.confidence));
    let mut reaching: Vec<Plan> = Kind::ALL
        .iter()
        .filter_map(|kind| {
            plans
                .iter()
                .filter(|plan| plan.kind == *kind && plan.confidence >= confidence)
                .copied()
                .min_by(cheaper)
        })
        .collect();
    reaching.sort_by(cheaper);
    if reaching.is_empty() {
        let surest = plans.into_iter().max_by(|a, b| a.confidence.total_cmp(&b.confidence));
        return Choice::OutOfReach { surest };
    }
    let plan = reaching.remove(0);
    Choice::Taken { plan, others: reaching }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classification() -> Situation {
        Situation {
            work_fee: 10,
            look_fee: 25,
            is_deterministic: true,
            is_comparable: true,
            items: None,
            tests: 0,
            test_cost: 0,
            is_judgeable: true,
            honest: 0.9,
            accuracy: 0.95,
            judgement: 0.9,
            lazy: 0.1,
            watchers: 0,
            looking: 0.0,
        }
    }

    #[test]
    fn more_confidence_costs_more_and_the_cheapest_that_reaches_it_is_taken() {
        let cost = |confidence| match choose(&classification(), confidence) {
            Choice::Taken { plan, others } => {
                assert!(plan.confidence >= confidence);
                assert!(others.iter().all(|other| other.cost >= plan.cost));
                plan
            }
            Choice::OutOfReach { .. } => panic!("{confidence} can be reached"),
        };
        assert_eq!((cost(0.89).kind, cost(0.89).cost), (Kind::Exact, 10));
        assert_eq!(cost(0.97).size, 3);
        assert!(cost(0.999).cost > cost(0.99).cost);
        assert_eq!(cost(0.97).to_string(), "exact with 3 executors: costs 30, sure to 97.2 %");
    }

    #[test]
    fn what_cannot_be_executed_again_is_voted_on_or_judged() {
        let writing =
            Situation { is_deterministic: false, is_comparable: false, ..classification() };
        let Choice::Taken { plan, .. } = choose(&writing, 0.9) else { panic!("jurors reach it") };
        assert_eq!(plan.kind, Kind::Juror);
        let nothing = Situation { is_judgeable: false, ..writing };
        assert_eq!(choose(&nothing, 0.5), Choice::OutOfReach { surest: None });
    }

    #[test]
    fn watched_work_is_cheapest_and_never_surer_than_its_watchers() {
        let watched = Situation { watchers: 20, looking: 0.2, ..classification() };
        let Choice::Taken { plan, .. } = choose(&watched, 0.95) else { panic!("it is reached") };
        assert_eq!((plan.kind, plan.cost), (Kind::Optimistic, 0));
        let mostly_cheats = Situation { honest: 0.4, watchers: 0, ..classification() };
        assert!(matches!(choose(&mostly_cheats, 0.9), Choice::OutOfReach { .. }));
    }

    #[test]
    fn many_items_make_hidden_tests_and_raters_possible() {
        let labelling = Situation {
            is_deterministic: false,
            is_comparable: false,
            is_judgeable: false,
            items: Some(200),
            tests: 40,
            test_cost: 1,
            ..classification()
        };
        let plans = menu(&labelling);
        assert!(plans.iter().any(|plan| plan.kind == Kind::Gold));
        assert!(plans.iter().any(|plan| plan.kind == Kind::Peer));
        let Choice::Taken { plan, .. } = choose(&labelling, 0.95) else { panic!("it is reached") };
        assert!(matches!(plan.kind, Kind::Gold | Kind::Peer));
    }
}
