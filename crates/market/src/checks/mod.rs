//! The six checks, as pure functions: what each needs, what it costs, what confidence it reaches,
//! and what it says of given evidence.
//!
//! | check | needs | costs its client, at most | what it believes |
//! |---|---|---|---|
//! | [`exact`] | work that gives the same bytes again | 2 × executors × fee | most executors |
//! | [`gold`] | many items, some with known answers | the hidden items, and one fee | the key |
//! | [`redundant`] | answers that can be equal | 2 × peers × fee | the weighted vote |
//! | [`peer`] | many items with few labels; no truth | 2 × raters × fee | agreement beyond chance |
//! | [`optimistic`] | somebody who would notice | nothing: who is wrong pays | silence, or executors |
//! | [`juror`] | people or machines who can judge | 2 × jurors × fee | most jurors |
//!
//! What decides about money is computed in whole numbers, so that each machine decides the same.
//! Floats serve only estimates for people and for [`choose`](choose::choose): confidence, skill.

pub mod choose;
pub mod exact;
pub mod gold;
pub mod juror;
pub mod optimistic;
pub mod peer;
pub mod redundant;

/// What a panel found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Whether the work passed; `None` if the panel is of no clear mind.
    pub verdict: Option<bool>,
    /// For each report, whether it was right if the work fails (first) and if it passes (second).
    /// The final verdict may be another than this panel's, after an appeal.
    pub agrees: Vec<[bool; 2]>,
}

/// The chance that most of `seats` (odd) are right, when each is with chance `right`, by itself:
/// the Condorcet jury theorem's sum, P(X > seats / 2) for X ~ Binomial(seats, right).
pub fn majority(seats: u8, right: f64) -> f64 {
    at_least(u64::from(seats), u64::from(seats / 2) + 1, right)
}

/// P(X ≥ least) for X ~ Binomial(trials, chance).
pub fn at_least(trials: u64, least: u64, chance: f64) -> f64 {
    use statrs::distribution::{Binomial, DiscreteCDF};
    if least == 0 {
        return 1.0;
    }
    match Binomial::new(chance.clamp(0.0, 1.0), trials) {
        Ok(binomial) => 1.0 - binomial.cdf(least - 1),
        Err(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_is_right_more_often_than_one_alone_and_wrong_too_if_most_are_wrong() {
        assert!((majority(1, 0.9) - 0.9).abs() < 1e-12);
        assert!((majority(3, 0.9) - 0.972).abs() < 1e-12);
        assert!((majority(5, 0.4) - 0.31744).abs() < 1e-9);
        assert_eq!((at_least(4, 0, 0.2), at_least(4, 4, 1.0)), (1.0, 1.0));
    }
}
