//! Machine GDP by others: published figures as alternatives to this crate's model, and a pool of all.
//!
//! What was published are points and ranges of one year. To hold them beside a distribution, three things
//! are assumed here, and said wherever they are shown:
//!
//! - a range is the central 80 % of a lognormal distribution; a single figure is its median, with the
//!   spread of this crate's model, since its author gave none;
//! - from its year to another the figure moves as this crate's model does at its medians (adoption and
//!   world GDP);
//! - what is another quantity than value added (gross benefit) says nothing about it.
//!
//! **The pool** is linear, with the weights of [`weights`]: they go by past scores as far as there are
//! any. Nobody has measured the machine GDP of the world in any year, so no forecast of it has come
//! due, no score exists, and the weights are equal. The record ([`crate::record`]) keeps what is entered, and
//! weights follow scores once a figure is there to score with.

use serde::Serialize;

use crate::STRUCTURAL;
use crate::backtest::weights;
use crate::claim::{ANCHORS, Anchor, CLAIMS};
use crate::distribution::normal_quantile;
use crate::driver::Drivers;
use crate::model::{Horizon, outcome};
use crate::predictive::Predictive;
use crate::projection::{LEVELS, Projection};

/// What one model says of machine GDP at the end of a year.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Published {
    /// Who.
    pub name: &'static str,
    /// What it rests on.
    pub about: &'static str,
    /// Its weight in the pool; none if it says nothing of value added.
    pub weight: Option<f64>,
    /// The probability of the claim's 2 to 4 trillion.
    pub claim: Option<f64>,
    /// The probability of 2 trillion or more.
    pub at_least: Option<f64>,
    /// The median, USD.
    pub median: Option<f64>,
}

/// All of them, this crate's model first, and the pool of those that speak.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MachineGdp {
    /// At the end of which year.
    pub year: i32,
    /// Every model.
    pub views: Vec<Published>,
    /// The pool.
    pub pool: Published,
    /// On how many independent forecasts the weights rest: none came due yet.
    pub scored: u32,
}

/// Holds the claim about machine GDP beside every published figure.
#[must_use]
pub fn machine_gdp(projection: &Projection, drivers: &Drivers, horizon: Horizon) -> MachineGdp {
    let share = |frequency: crate::Frequency| frequency.share();
    let last = projection.fan.last().map(|year| year.machine_gdp);
    let quantile =
        |level: f64| Some(last?[LEVELS.iter().position(|one| *one == level)?]).filter(|q| *q > 0.0);
    let spread = quantile(0.95)
        .zip(quantile(0.05))
        .map(|(high, low)| (high / low).ln() / (2.0 * normal_quantile(0.95)));
    let mut views = vec![Published {
        name: STRUCTURAL,
        about: "exposure × adoption × saving × deepening, drawn",
        weight: None,
        claim: share(projection.machine_gdp_claim),
        at_least: share(projection.machine_gdp_at_least),
        median: quantile(0.5),
    }];
    views.extend(ANCHORS.iter().map(|anchor| {
        let seen = spread.and_then(|spread| foreseen(anchor, drivers, horizon, spread));
        let [claim, at_least, median] = match seen {
            Some(seen) => {
                let over = |value: f64| 1.0 - seen.cdf(value.ln());
                let (low, high) = (CLAIMS[0].low, CLAIMS[0].high.unwrap_or(f64::INFINITY));
                let median = seen.quantile(0.5).exp();
                [over(low) - over(high), over(low), median].map(Some)
            }
            None => [None; 3],
        };
        Published { name: anchor.who, about: anchor.kind, weight: None, claim, at_least, median }
    }));
    let speaking: Vec<usize> = (0..views.len()).filter(|at| views[*at].claim.is_some()).collect();
    let no_scores = vec![None; speaking.len()];
    let mut pool = Published {
        name: "pool",
        about: "linear pool; equal weights, since no forecast of machine GDP has come due",
        weight: Some(1.0),
        claim: Some(0.0),
        at_least: Some(0.0),
        median: None,
    };
    for (at, weight) in speaking.into_iter().zip(weights(&no_scores, 0.0)) {
        let view = &mut views[at];
        view.weight = Some(weight);
        pool.claim = pool.claim.zip(view.claim).map(|(sum, p)| sum + weight * p);
        pool.at_least = pool.at_least.zip(view.at_least).map(|(sum, p)| sum + weight * p);
    }
    MachineGdp { year: horizon.year(), views, pool, scored: 0 }
}

/// A published figure as a distribution of the logarithm at the end of a year; none if it is of another
/// quantity.
fn foreseen(
    anchor: &Anchor,
    drivers: &Drivers,
    horizon: Horizon,
    spread: f64,
) -> Option<Predictive> {
    let at_medians = |horizon| outcome(&drivers.medians(), horizon).machine_gdp;
    let then = at_medians(Horizon::new(anchor.year?).ok()?);
    let moved = at_medians(horizon) / then;
    if !(moved.is_finite() && moved > 0.0) {
        return None;
    }
    let (low, high) = ((anchor.low * moved).ln(), (anchor.high * moved).ln());
    let deviation = if high > low { (high - low) / (2.0 * normal_quantile(0.9)) } else { spread };
    Some(Predictive::normal(0.5 * (low + high), deviation * deviation))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::machine_gdp;
    use crate::driver::Drivers;
    use crate::model::Horizon;
    use crate::projection::project;
    use crate::simulation::Plan;

    fn at(year: i32) -> super::MachineGdp {
        let horizon = Horizon::new(year).expect("a year");
        let plan = Plan::new(20_000, 1, NonZeroUsize::MIN).expect("a plan");
        let drivers = Drivers::prior();
        machine_gdp(&project(&drivers, horizon, plan), &drivers, horizon)
    }

    #[test]
    fn the_claim_stands_beside_every_published_figure_and_an_equal_pool() {
        let all = at(2034);
        let of = |name: &str| {
            all.views.iter().find(|view| view.name.starts_with(name)).expect("it is listed")
        };
        // 0.96 to 1.7 trillion hardly reach 2; 7.4 is far beyond 4; 15.7 by 2030 farther.
        assert!(of("Acemoglu").claim.expect("it speaks") < 0.06);
        let acemoglu = of("Acemoglu").median.expect("it speaks");
        assert!((acemoglu / (0.96e12f64 * 1.7e12).sqrt() - 1.0).abs() < 1e-9);
        assert!(of("Goldman").at_least.expect("it speaks") > 0.9);
        assert!(of("PwC").median.expect("it speaks") > 15.7e12, "2034 is after its 2030");
        assert_eq!(of("McKinsey").claim, None, "gross benefit is no value added");
        let speaking: Vec<_> = all.views.iter().filter(|view| view.weight.is_some()).collect();
        assert_eq!(speaking.len(), 4);
        let mean = speaking.iter().filter_map(|view| view.claim).sum::<f64>() / 4.0;
        assert!((all.pool.claim.expect("it speaks") - mean).abs() < 1e-12);
        assert!(speaking.iter().all(|view| view.weight == Some(0.25)), "nothing was scored");
    }

    #[test]
    fn a_published_figure_moves_to_the_year_that_is_asked_for() {
        let median = |year| {
            at(year)
                .views
                .into_iter()
                .find(|v| v.name.starts_with("Goldman"))
                .and_then(|v| v.median)
        };
        let (early, late) = (median(2029).expect("it speaks"), median(2034).expect("it speaks"));
        assert!(early < late && (late / 7.4e12 - 1.0).abs() < 1e-9, "{early} {late}");
    }
}
