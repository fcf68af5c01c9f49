//! No change: tomorrow as today, and less certain the further off.

use super::{Changes, Rival, Silence, start};
use crate::facts::Past;
use crate::predictive::Predictive;

pub struct RandomWalk;

impl Rival for RandomWalk {
    fn name(&self) -> &'static str {
        "random-walk"
    }

    fn about(&self) -> &'static str {
        "ln C(t+h) = ln C(t) + e, e of variance h s²; the benchmark of all benchmarks (Meese and Rogoff 1983)"
    }

    fn is_benchmark(&self) -> bool {
        true
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let changes = Changes::of_target(past)?;
        Ok(Predictive::normal(start(past)?, 4.0 * years * changes.square))
    }
}
