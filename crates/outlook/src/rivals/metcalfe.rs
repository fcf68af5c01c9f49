//! Metcalfe in levels: worth as a power of users. Most of its famous fit is that both grew.

use super::regression::Line;
use super::{Changes, Rival, Silence};
use crate::facts::{Past, Series, Track};
use crate::predictive::Predictive;

/// Addresses older than this say nothing about the origin.
const STALE_YEARS: f64 = 3.0;
/// Growth of addresses before looking: 1 % ± 2 % a quarter.
const PRIOR: (f64, f64) = (0.01, 0.02);

pub struct Metcalfe;

/// Addresses: when and how many last, by which drift and how uncertainly they go on.
pub(super) struct Users {
    pub track: Track,
    pub last: f64,
    pub drift: f64,
    pub drift_variance: f64,
    pub variance: f64,
    /// Years from the last figure to the origin.
    pub age: f64,
}

pub(super) fn users(past: &Past) -> Result<Users, Silence> {
    let track = past.track(Series::BitcoinAddresses);
    let (quarter, last) = *track
        .points()
        .last()
        .ok_or_else(|| Silence("no active addresses were known".to_string()))?;
    let age = past.origin().years_since(quarter.end()).max(0.0);
    if age > STALE_YEARS {
        return Err(Silence(format!("active addresses end in {quarter}, {age:.1} years before")));
    }
    let changes: Vec<f64> = track.changes().into_iter().map(|c| c.1).collect();
    let c = Changes::of(&changes)?;
    let (drift, drift_variance) = c.shrunk(PRIOR.0, PRIOR.1);
    Ok(Users { track, last, drift, drift_variance, variance: c.variance, age })
}

impl Rival for Metcalfe {
    fn name(&self) -> &'static str {
        "metcalfe"
    }

    fn about(&self) -> &'static str {
        "ln C = a + b ln N + e, N active addresses (Alabi 2017; Peterson 2018; Wheatley, Sornette et al. 2019). Two trends fit each other: in changes little is left"
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let users = users(past)?;
        let pairs: Vec<(f64, f64)> = past
            .target()
            .points()
            .iter()
            .filter_map(|(quarter, ln)| Some((users.track.at(*quarter)?, *ln)))
            .collect();
        let line = Line::fit(&pairs)?;
        let h = 4.0 * (years + users.age);
        let then = users.last + h * users.drift;
        let spread = h * users.variance + h * h * users.drift_variance;
        let variance = line.residual + line.slope.powi(2) * spread + line.variance_at(then);
        Ok(Predictive::normal(line.at(then), variance))
    }
}
