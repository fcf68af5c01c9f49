//! The growth of the last years goes on, and fades: assets grow up.

use super::{Changes, Rival, Silence, start};
use crate::facts::Past;
use crate::predictive::Predictive;

/// Growth and volatility are those of so many last quarters.
const WINDOW: usize = 20;
/// In so many quarters half of the growth is gone.
const HALF_LIFE: f64 = 8.0;

pub struct WalkWithFadingDrift;

impl Rival for WalkWithFadingDrift {
    fn name(&self) -> &'static str {
        "walk-fading"
    }

    fn about(&self) -> &'static str {
        "ln C(t+h) = ln C(t) + m Σ 2^(−k/8) + e, m and s from the last five years (after Gardner and McKenzie's damped trend, 1985)"
    }

    fn is_benchmark(&self) -> bool {
        true
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let changes: Vec<f64> = past.target().changes().into_iter().map(|c| c.1).collect();
        let c = Changes::of(&changes[changes.len().saturating_sub(WINDOW)..])?;
        let h = 4.0 * years;
        let fade = 0.5f64.powf(1.0 / HALF_LIFE);
        let sum = fade * (1.0 - fade.powf(h)) / (1.0 - fade);
        let variance = h * c.variance + sum * sum * c.variance / c.count;
        Ok(Predictive::normal(start(past)? + sum * c.mean, variance))
    }
}
