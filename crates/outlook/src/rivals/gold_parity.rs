//! Gold parity: crypto as a share of gold's worth, and the share as it is.

use super::{Changes, Rival, Silence, start};
use crate::facts::{Past, Series};
use crate::predictive::Predictive;

/// Gold's drift before looking: 1.25 % ± 1 % a quarter, 5 % a year.
const PRIOR: (f64, f64) = (0.0125, 0.01);

pub struct GoldParity;

impl Rival for GoldParity {
    fn name(&self) -> &'static str {
        "gold-parity"
    }

    fn about(&self) -> &'static str {
        "C = θ G: the share θ of gold's worth stays as it is, but for chance, and G drifts as it did (ARK, Big Ideas 2025: a sum of markets times shares)"
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let gold: Vec<f64> =
            past.track(Series::GoldPrice).changes().into_iter().map(|c| c.1).collect();
        let (drift, uncertainty) = Changes::of(&gold)?.shrunk(PRIOR.0, PRIOR.1);
        // C's own changes hold both the share's and gold's.
        let both = Changes::of_target(past)?;
        let h = 4.0 * years;
        let variance = h * both.square + h * h * uncertainty;
        Ok(Predictive::normal(start(past)? + h * drift, variance))
    }
}
