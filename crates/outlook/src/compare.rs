//! The claims beside every model, and a pool of them weighted by what they were worth before.

use serde::Serialize;

use crate::Date;
use crate::backtest::{Backtest, nearest_horizon, weights};
use crate::facts::{Facts, Series};
use crate::model::Horizon;
use crate::predictive::Predictive;
use crate::projection::Projection;
use crate::rivals::RIVALS;

/// What the model of this crate is called among its rivals.
pub const STRUCTURAL: &str = "structural";

/// Whether a model is in the pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "standing", rename_all = "kebab-case")]
pub enum Standing {
    /// It is, with this weight.
    Used {
        /// Its weight; all sum to one.
        weight: f64,
    },
    /// It does not lower CRPS against the random walk with shrunk drift, at one horizon at least.
    NotUsed {
        /// At which, years.
        years: u8,
        /// By how much CRPS is higher there.
        difference: f64,
    },
    /// It says nothing, or speaks of something else.
    Silent {
        /// Why.
        why: String,
    },
}

/// What one model says of the crypto market.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// Which model.
    pub name: &'static str,
    /// Its equation and source.
    pub about: &'static str,
    /// Whether it is in the pool.
    pub standing: Standing,
    /// Mean CRPS of its forecasts of the nearest horizon, if it was scored.
    pub crps: Option<f64>,
    /// The probability of the target or more.
    pub probability: Option<f64>,
    /// 10, 50 and 90 % quantiles, USD.
    pub quantiles: Option<[f64; 3]>,
}

/// All models on one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// At the end of which year.
    pub year: i32,
    /// What the market is to be worth, USD.
    pub target: f64,
    /// The day of the figure from which the rivals start, and the figure, USD.
    pub start: (String, f64),
    /// The horizon of the back-test that weighs, years.
    pub scored_years: u8,
    /// Every model: this crate's first.
    pub views: Vec<View>,
    /// The pool.
    pub pool: View,
}

/// Holds a target for the crypto market beside every model. None if the table has no market.
#[must_use]
pub fn compare(
    facts: &Facts,
    backtest: &Backtest,
    projection: &Projection,
    horizon: Horizon,
    target: f64,
) -> Option<Comparison> {
    let latest = facts.latest(Series::CryptoCap)?;
    let past = facts.known_on(latest.date, Series::CryptoCap);
    let years = Date::year_end(horizon.year())?.years_since(latest.date);
    let scored_years = nearest_horizon(years);
    let mut parts: Vec<(usize, Option<f64>, Predictive)> = Vec::new();
    let mut effective = 0.0f64;
    let mut views = vec![view(
        STRUCTURAL,
        "this crate's six equations; nothing before 2022 to score them on",
        None,
    )];
    let drawn = Predictive::Drawn(projection.crypto_logs.clone());
    tell(&mut views[0], &drawn, target);
    parts.push((0, None, drawn));
    for rival in RIVALS {
        let row = backtest.row(rival.name(), scored_years);
        let scores = row.and_then(|row| row.result.as_ref().ok());
        let mut seen = view(rival.name(), rival.about(), scores.map(|s| s.crps));
        match rival.project(&past, years) {
            Err(silence) => seen.standing = Standing::Silent { why: silence.0 },
            Ok(predictive) => {
                tell(&mut seen, &predictive, target);
                match (scores, backtest.fails(rival.name()), row.map(|row| &row.result)) {
                    (Some(s), None, _) => {
                        effective = effective.max(s.effective);
                        parts.push((views.len(), Some(s.crps), predictive));
                    }
                    (Some(_), Some(fails), _) => {
                        let (years, difference) = (fails.years, fails.difference);
                        seen.standing = Standing::NotUsed { years, difference };
                    }
                    (None, _, Some(Err(why))) => {
                        seen.standing = Standing::Silent { why: why.clone() };
                    }
                    (None, _, _) => {
                        seen.standing = Standing::Silent { why: "it was not scored".to_string() };
                    }
                }
            }
        }
        views.push(seen);
    }
    let weights = weights(&parts.iter().map(|part| part.1).collect::<Vec<_>>(), effective);
    for (part, weight) in parts.iter().zip(&weights) {
        views[part.0].standing = Standing::Used { weight: *weight };
    }
    let pooled =
        Predictive::Pool(weights.into_iter().zip(parts).map(|(w, part)| (w, part.2)).collect());
    let crps = backtest
        .row(crate::backtest::POOL, scored_years)
        .and_then(|row| row.result.as_ref().ok())
        .map(|s| s.crps);
    let mut pool = view(
        "pool",
        "linear pool: equal weights, and by 1/CRPS² as far as there is evidence",
        crps,
    );
    pool.standing = Standing::Used { weight: 1.0 };
    tell(&mut pool, &pooled, target);
    let start = (latest.date.to_string(), latest.value);
    Some(Comparison { year: horizon.year(), target, start, scored_years, views, pool })
}

fn view(name: &'static str, about: &'static str, crps: Option<f64>) -> View {
    let standing = Standing::Silent { why: String::new() };
    View { name, about, standing, crps, probability: None, quantiles: None }
}

fn tell(view: &mut View, predictive: &Predictive, target: f64) {
    view.probability = Some(1.0 - predictive.cdf(target.ln()));
    view.quantiles = Some([0.1, 0.5, 0.9].map(|level| predictive.quantile(level).exp()));
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::{Standing, compare};
    use crate::driver::Drivers;
    use crate::facts::{Facts, Series};
    use crate::model::Horizon;
    use crate::projection::project;
    use crate::simulation::Plan;
    use crate::{backtest, rivals};

    #[test]
    fn the_pool_lies_among_its_parts_and_a_driver_that_does_not_help_is_left_out() {
        let facts = Facts::bundled();
        let test = backtest::run(&facts, Series::CryptoCap);
        let horizon = Horizon::new(2034).expect("a year");
        let plan = Plan::new(10_000, 1, NonZeroUsize::MIN).expect("a plan");
        let projection = project(&Drivers::prior(), horizon, plan);
        let all = compare(&facts, &test, &projection, horizon, 17e12).expect("a market");
        assert_eq!(all.views.len(), rivals::RIVALS.len() + 1);
        let (mut sum, mut pooled) = (0.0, 0.0);
        for view in &all.views {
            match &view.standing {
                Standing::Used { weight } => {
                    sum += weight;
                    pooled += weight * view.probability.expect("it speaks");
                    let rows = test.rows.iter().filter(|r| r.name == view.name && !r.benchmark);
                    for row in rows {
                        assert!(row.result.as_ref().is_ok_and(|s| s.lowers_crps()), "{row:?}");
                    }
                }
                Standing::NotUsed { difference, .. } => assert!(*difference >= 0.0),
                Standing::Silent { why } => assert!(!why.is_empty(), "{}", view.name),
            }
        }
        assert!((sum - 1.0).abs() < 1e-9);
        assert!((all.pool.probability.expect("it speaks") - pooled).abs() < 1e-9);
    }
}
