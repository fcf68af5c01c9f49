//! Metcalfe in changes: does growth of users tell growth of worth?

use super::metcalfe::users;
use super::regression::Line;
use super::{Rival, Silence, start};
use crate::facts::Past;
use crate::predictive::Predictive;

/// Growth apart from users, before looking: none ± 2 % a quarter.
const PRIOR_SPREAD: f64 = 0.02;

pub struct MetcalfeInChanges;

impl Rival for MetcalfeInChanges {
    fn name(&self) -> &'static str {
        "metcalfe-changes"
    }

    fn about(&self) -> &'static str {
        "d ln C = a + b d ln N + e: Metcalfe's law where trends cannot fit each other (b about .7 and R² .31 on bitcoin to 2019)"
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let users = users(past)?;
        let growth = users.track.changes();
        let pairs: Vec<(f64, f64)> = past
            .target()
            .changes()
            .into_iter()
            .filter_map(|(quarter, change)| {
                let at = growth.binary_search_by_key(&quarter, |g| g.0).ok()?;
                Some((growth[at].1, change))
            })
            .collect();
        let line = Line::fit(&pairs)?;
        let h = 4.0 * years;
        // The intercept, shrunk towards nothing.
        let n = pairs.len() as f64;
        let precision = n / line.residual.max(1e-12) + 1.0 / PRIOR_SPREAD.powi(2);
        let intercept = line.intercept * (n / line.residual.max(1e-12)) / precision;
        let mean = start(past)? + h * (intercept + line.slope * users.drift);
        let quarterly = line.residual + line.slope.powi(2) * users.variance;
        let drift = 1.0 / precision + line.slope.powi(2) * users.drift_variance;
        Ok(Predictive::normal(mean, h * quarterly + h * h * drift))
    }
}
