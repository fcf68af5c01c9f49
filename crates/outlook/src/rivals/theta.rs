//! The Theta method, which won the M3 competition: smoothing with half of the trend.

use super::regression::Line;
use super::{Changes, Rival, Silence};
use crate::facts::Past;
use crate::predictive::Predictive;

pub struct Theta;

impl Rival for Theta {
    fn name(&self) -> &'static str {
        "theta"
    }

    fn about(&self) -> &'static str {
        "simple exponential smoothing of ln C plus half the slope of its trend line (Assimakopoulos and Nikolopoulos 2000; Hyndman and Billah 2003)"
    }

    fn is_benchmark(&self) -> bool {
        true
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        Changes::of_target(past)?;
        let track = past.target();
        let first = track.points()[0].0;
        let points: Vec<(f64, f64)> =
            track.points().iter().map(|(q, ln)| (f64::from(q.since(first)), *ln)).collect();
        let drift = Line::fit(&points)?.slope / 2.0;
        // The weight of the newest that would have foreseen best, one quarter ahead, out of twenty.
        let (alpha, level, variance) = (1..=20)
            .map(|i| smooth(&points, f64::from(i) / 20.0, drift))
            .min_by(|a, b| a.2.total_cmp(&b.2))
            .expect("twenty of them");
        let h = 4.0 * years;
        let spread = variance * (1.0 + (h - 1.0).max(0.0) * alpha * alpha);
        Ok(Predictive::normal(level + drift * h, spread))
    }
}

/// Weight, last level, and mean square of the errors one quarter ahead.
fn smooth(points: &[(f64, f64)], alpha: f64, drift: f64) -> (f64, f64, f64) {
    let mut level = points[0].1;
    let mut squares = 0.0;
    for pair in points.windows(2) {
        // Where quarters lack, the drift goes on.
        let ahead = level + drift * (pair[1].0 - pair[0].0);
        let error = pair[1].1 - ahead;
        squares += error * error;
        level = ahead + alpha * error;
    }
    (alpha, level, squares / (points.len() - 1) as f64)
}
