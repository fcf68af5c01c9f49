//! Rivals: published ways to project what crypto is worth. One file, one rival; none is the truth.
//!
//! Each sees a [`Past`] and nothing else, fits what it has to fit on it, and answers with a distribution
//! of the target's logarithm so many years later. Fits are to quarters; a quarter that lacks is not filled.
//!
//! A rival that cannot speak (too little past, a driver without data) says why. It is then not scored.

mod capital_flight;
mod debasement;
mod exchange;
mod gold_parity;
mod metcalfe;
mod metcalfe_changes;
mod power_law;
mod random_walk;
mod regression;
mod stock_to_flow;
mod theta;
mod walk_drift;
mod walk_fading;
mod walk_shrunk;

use serde::Serialize;

use crate::facts::Past;
use crate::predictive::Predictive;

pub use exchange::MoneyEquation;

/// The fewest quarterly changes from which a variance is estimated.
pub const FEWEST_CHANGES: usize = 8;

/// A way to project.
pub trait Rival: Sync {
    /// What one types.
    fn name(&self) -> &'static str;

    /// Its equation, its source, and what is said against it.
    fn about(&self) -> &'static str;

    /// Whether it is one of the naive benchmarks, that all others are held beside.
    fn is_benchmark(&self) -> bool {
        false
    }

    /// Fits on the past and projects so many years, above zero.
    ///
    /// # Errors
    /// Why it cannot speak.
    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence>;
}

/// Why a rival says nothing. Not a failure: it is told in the place of a score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence(pub String);

/// The benchmark that a driver must beat to be used: everything but a driver.
pub const BENCHMARK: &str = "walk-shrunk";

/// All rivals that fit on a past, the naive first.
pub const RIVALS: [&dyn Rival; 13] = [
    &random_walk::RandomWalk,
    &walk_drift::WalkWithDrift,
    &walk_shrunk::WalkWithShrunkDrift,
    &walk_fading::WalkWithFadingDrift,
    &theta::Theta,
    &power_law::PowerLaw,
    &metcalfe::Metcalfe,
    &metcalfe_changes::MetcalfeInChanges,
    &stock_to_flow::StockToFlow,
    &gold_parity::GoldParity,
    &debasement::Debasement,
    &capital_flight::CapitalFlight,
    &exchange::PaymentsOnly,
];

/// Quarterly changes of a target: how many, their mean, and their variance about it.
#[derive(Debug, Clone, Copy)]
struct Changes {
    count: f64,
    mean: f64,
    variance: f64,
    /// Mean square: the variance about no drift.
    square: f64,
}

impl Changes {
    /// Of these changes.
    fn of(changes: &[f64]) -> Result<Changes, Silence> {
        if changes.len() < FEWEST_CHANGES {
            return Err(Silence(format!(
                "{} quarterly changes are too few: at least {FEWEST_CHANGES}",
                changes.len()
            )));
        }
        let count = changes.len() as f64;
        let mean = changes.iter().sum::<f64>() / count;
        let variance = changes.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let square = changes.iter().map(|d| d * d).sum::<f64>() / count;
        Ok(Changes { count, mean, variance, square })
    }

    /// Of a past's target.
    fn of_target(past: &Past) -> Result<Changes, Silence> {
        let changes: Vec<f64> = past.target().changes().into_iter().map(|c| c.1).collect();
        Changes::of(&changes)
    }

    /// Drift as one believes it who expects `prior` ± `spread` a quarter and has seen these changes: mean
    /// and variance of the posterior of a normal mean.
    fn shrunk(&self, prior: f64, spread: f64) -> (f64, f64) {
        let precision = 1.0 / spread.powi(2) + self.count / self.variance.max(1e-12);
        let mean = (prior / spread.powi(2) + self.mean * self.count / self.variance.max(1e-12))
            / precision;
        (mean, 1.0 / precision)
    }
}

/// The logarithm from which a forecast starts.
fn start(past: &Past) -> Result<f64, Silence> {
    past.start().map(|s| s.1).ok_or_else(|| Silence("the target has no past".to_string()))
}

#[cfg(test)]
mod tests {
    use super::RIVALS;
    use crate::facts::{Facts, Series};
    use crate::{Date, OutlookError};

    fn day(text: &str) -> Date {
        Date::parse(text).expect("a date")
    }

    #[test]
    fn every_rival_has_a_name_of_its_own_and_a_source() {
        let mut names: Vec<_> = RIVALS.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RIVALS.len());
        assert!(RIVALS.iter().all(|r| r.about().len() > 40));
    }

    #[test]
    fn what_comes_after_the_origin_changes_no_forecast() -> Result<(), OutlookError> {
        // The same table, with everything after the origin made a hundred times larger.
        let csv = include_str!("../../data/facts.csv");
        let sources = include_str!("../../data/sources.tsv");
        let origin = day("2020-06-30");
        let tamper = |row: &str| {
            let cells: Vec<&str> = row.split(',').collect();
            match (Date::parse(cells[1]), cells[2].parse::<f64>()) {
                (Ok(date), Ok(value)) if date > origin => {
                    format!("{},{},{:e},{}\n", cells[0], cells[1], value * 100.0, cells[3])
                }
                _ => format!("{row}\n"),
            }
        };
        let tampered: String = csv.lines().map(tamper).collect();
        let (facts, other) = (Facts::parse(csv, sources)?, Facts::parse(&tampered, sources)?);
        assert_ne!(facts, other);
        for target in [Series::BitcoinCap, Series::CryptoCap] {
            let (past, same) = (facts.known_on(origin, target), other.known_on(origin, target));
            for rival in RIVALS {
                let (before, after) = (rival.project(&past, 3.0), rival.project(&same, 3.0));
                assert_eq!(before, after, "{}", rival.name());
            }
        }
        Ok(())
    }

    #[test]
    fn too_short_a_past_is_said_and_not_projected() {
        let past = Facts::bundled().known_on(day("2011-06-30"), Series::BitcoinCap);
        for rival in RIVALS {
            if rival.name() != "payments-only" {
                let silence = rival.project(&past, 1.0).expect_err(rival.name());
                assert!(silence.0.len() > 10, "{}: {}", rival.name(), silence.0);
            }
        }
    }

    #[test]
    fn further_is_less_certain() {
        let past = Facts::bundled().known_on(day("2022-06-30"), Series::BitcoinCap);
        // What speaks of the anchor year alone has no nearer and no further.
        for rival in RIVALS.iter().filter(|rival| rival.name() != "payments-only") {
            let width = |years| {
                let p = rival.project(&past, years).expect(rival.name());
                p.quantile(0.9) - p.quantile(0.1)
            };
            assert!(width(5.0) >= width(1.0), "{}", rival.name());
            assert!(width(1.0) > 0.0);
        }
    }
}
