//! Debasement: crypto grows when dollars are made.

use super::regression::Line;
use super::{Changes, Rival, Silence, start};
use crate::facts::{Past, Series};
use crate::predictive::Predictive;

/// Money's growth is that of so many last quarters.
const WINDOW: usize = 20;

pub struct Debasement;

impl Rival for Debasement {
    fn name(&self) -> &'static str {
        "debasement"
    }

    fn about(&self) -> &'static str {
        "d ln C = β d ln M2 + e, through the origin; M2 goes on as in the last five years. From January 2024 to June 2026 gold doubled and crypto's share of it fell"
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let money = past.track(Series::Money).changes();
        let pairs: Vec<(f64, f64)> = past
            .target()
            .changes()
            .into_iter()
            .filter_map(|(quarter, change)| {
                let at = money.binary_search_by_key(&quarter, |m| m.0).ok()?;
                Some((money[at].1, change))
            })
            .collect();
        let line = Line::through_origin(&pairs)?;
        let recent: Vec<f64> = money.iter().rev().take(WINDOW).map(|m| m.1).collect();
        let m = Changes::of(&recent)?;
        let h = 4.0 * years;
        let quarterly = line.residual + line.slope.powi(2) * m.variance;
        let drift =
            line.slope_variance * m.mean.powi(2) + line.slope.powi(2) * m.variance / m.count;
        let mean = start(past)? + h * line.slope * m.mean;
        Ok(Predictive::normal(mean, h * quarterly + h * h * drift))
    }
}
