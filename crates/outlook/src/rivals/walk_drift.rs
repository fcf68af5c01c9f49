//! The past's mean growth goes on for ever: the road to ruin for a young asset.

use super::{Changes, Rival, Silence, start};
use crate::facts::Past;
use crate::predictive::Predictive;

pub struct WalkWithDrift;

impl Rival for WalkWithDrift {
    fn name(&self) -> &'static str {
        "walk-drift"
    }

    fn about(&self) -> &'static str {
        "ln C(t+h) = ln C(t) + h m + e, m the mean of all past changes; extrapolates youth"
    }

    fn is_benchmark(&self) -> bool {
        true
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let c = Changes::of_target(past)?;
        let h = 4.0 * years;
        let variance = h * c.variance + h * h * c.variance / c.count;
        Ok(Predictive::normal(start(past)? + h * c.mean, variance))
    }
}
