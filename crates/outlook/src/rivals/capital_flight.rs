//! Capital flight: crypto holds a share of the wealth that is held abroad.

use super::{Changes, Rival, Silence, start};
use crate::facts::{Past, Series};
use crate::predictive::Predictive;

/// Growth of world GDP is that of so many last years.
const WINDOW: usize = 10;

pub struct CapitalFlight;

impl Rival for CapitalFlight {
    fn name(&self) -> &'static str {
        "capital-flight"
    }

    fn about(&self) -> &'static str {
        "C = κ W, W wealth held abroad, 12 % of world GDP year after year (Zucman; EU Tax Observatory 2024), κ as it is but for chance. No series of W is public, so growth of GDP stands for it"
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let gdp = past.facts(Series::WorldGdp);
        if gdp.len() < WINDOW + 1 {
            return Err(Silence("world GDP was not known for eleven years".to_string()));
        }
        let yearly: Vec<f64> = gdp[gdp.len() - WINDOW - 1..]
            .windows(2)
            .map(|w| (w[1].value / w[0].value).ln())
            .collect();
        let growth = Changes::of(&yearly)?;
        let both = Changes::of_target(past)?;
        let mean = start(past)? + years * growth.mean;
        let variance = 4.0 * years * both.square + years * years * growth.variance / growth.count;
        Ok(Predictive::normal(mean, variance))
    }
}
