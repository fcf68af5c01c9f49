//! MV = PQ: the money that machines need to pay each other, and nothing else.

use super::{Rival, Silence};
use crate::driver::{ANCHOR, Drivers};
use crate::facts::Past;
use crate::model::payments_money;
use crate::predictive::Predictive;
use crate::{Date, number};

/// The equation of exchange, applied to machine payments.
pub struct PaymentsOnly;

/// What it comes to in the anchor year: money that pays, USD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MoneyEquation {
    /// Median of M = P Q / V.
    pub median: f64,
}

impl MoneyEquation {
    /// By the drivers as somebody holds them.
    #[must_use]
    pub fn of(drivers: &Drivers) -> MoneyEquation {
        MoneyEquation { median: payments_money(drivers).0.exp() }
    }
}

impl Rival for PaymentsOnly {
    fn name(&self) -> &'static str {
        "payments-only"
    }

    fn about(&self) -> &'static str {
        "M = P Q / V (Fisher 1911; Burniske 2017; Buterin 2017): what machine payments alone need. Money that moves fast need not be much; no claim on the rest"
    }

    /// From the drivers' distributions, for the anchor year alone: no P Q was measured in the past.
    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let anchor = Date::year_end(ANCHOR).expect("a year");
        let off = past.origin().years_since(anchor) + years;
        if off.abs() > 0.05 {
            let drivers = Drivers::prior();
            let median = number::dollars(MoneyEquation::of(&drivers).median);
            return Err(Silence(format!(
                "what machines paid each other was not measured; for {ANCHOR} it comes to {median}"
            )));
        }
        let (mean, variance) = payments_money(&Drivers::prior());
        Ok(Predictive::normal(mean, variance))
    }
}
