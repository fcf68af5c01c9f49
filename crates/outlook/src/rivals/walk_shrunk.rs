//! A drift, but one that is believed only as far as the past can tell it from chance.

use super::{Changes, Rival, Silence, start};
use crate::facts::Past;
use crate::predictive::Predictive;

/// What is expected of the drift before looking: 1 % ± 2 % a quarter, the order of a share index.
const PRIOR: (f64, f64) = (0.01, 0.02);

pub struct WalkWithShrunkDrift;

impl Rival for WalkWithShrunkDrift {
    fn name(&self) -> &'static str {
        super::BENCHMARK
    }

    fn about(&self) -> &'static str {
        "ln C(t+h) = ln C(t) + h m + e, m shrunk towards 1 % ± 2 % a quarter (posterior of a normal mean)"
    }

    fn is_benchmark(&self) -> bool {
        true
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let c = Changes::of_target(past)?;
        let h = 4.0 * years;
        let (drift, uncertainty) = c.shrunk(PRIOR.0, PRIOR.1);
        let variance = h * c.variance + h * h * uncertainty;
        Ok(Predictive::normal(start(past)? + h * drift, variance))
    }
}
