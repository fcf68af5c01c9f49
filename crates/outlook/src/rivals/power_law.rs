//! A power of time since bitcoin's first block, and a wandering about it.

use super::regression::Line;
use super::{Rival, Silence, start};
use crate::Date;
use crate::facts::Past;
use crate::predictive::Predictive;

pub struct PowerLaw;

impl Rival for PowerLaw {
    fn name(&self) -> &'static str {
        "power-law"
    }

    fn about(&self) -> &'static str {
        "ln C = a + b ln(days since 2009-01-03) + e, e an AR(1) (Santostasi; Burger 2019). Chosen in hindsight; a power of time has no cause"
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let genesis = Date::new(2009, 1, 3).expect("a date");
        let age = |date: Date| date.years_since(genesis);
        let track = past.target();
        let points: Vec<(f64, f64)> =
            track.points().iter().map(|(q, ln)| (age(q.end()).ln(), *ln)).collect();
        let line = Line::fit(&points)?;
        let errors: Vec<f64> = points.iter().map(|p| p.1 - line.at(p.0)).collect();
        let (mut with_next, mut with_self) = (0.0, 0.0);
        for (pair, quarters) in errors.windows(2).zip(track.points().windows(2)) {
            if quarters[1].0.since(quarters[0].0) == 1 {
                with_next += pair[0] * pair[1];
                with_self += pair[0] * pair[0];
            }
        }
        let memory = (with_next / with_self.max(1e-12)).clamp(0.0, 0.99);
        let h = 4.0 * years;
        let (from, _) = past.start().ok_or_else(|| Silence("the target has no past".into()))?;
        let here = start(past)? - line.at(age(from).ln());
        let then = (age(from) + years).ln();
        let mean = line.at(then) + memory.powf(h) * here;
        // Residuals that remember are worth fewer independent ones.
        let worth = (1.0 + memory) / (1.0 - memory);
        let variance =
            line.residual * (1.0 - memory.powf(2.0 * h)) + line.variance_at(then) * worth;
        Ok(Predictive::normal(mean, variance))
    }
}
