//! The source's three drivers as scenarios: its words for why crypto would grow, in the model's terms.
//!
//! A scenario moves distributions; it does not choose outcomes. How far each moves is ours, and said.

use serde::Serialize;

use crate::OutlookError;
use crate::distribution::Distribution;
use crate::driver::{Driver, Drivers};

/// One of the source's three drivers, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Nothing is moved.
    Base,
    /// The world's portfolios hold more of it: θ̄ doubles.
    Diversification,
    /// Broad money grows by three points more a year.
    Debasement,
    /// Wealth leaves where it is not safe: two points a year, into gold and into crypto's share of it.
    CapitalFlight,
    /// All three.
    All,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 5] = [
        Scenario::Base,
        Scenario::Diversification,
        Scenario::Debasement,
        Scenario::CapitalFlight,
        Scenario::All,
    ];

    /// What one types.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scenario::Base => "base",
            Scenario::Diversification => "diversification",
            Scenario::Debasement => "debasement",
            Scenario::CapitalFlight => "capital-flight",
            Scenario::All => "all-three",
        }
    }

    /// What it moves.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Scenario::Base => "nothing is moved",
            Scenario::Diversification => "the share of gold's worth tends to 24 %, not 12 %",
            Scenario::Debasement => "gold drifts by 8 % a year, not 5 %",
            Scenario::CapitalFlight => "2 % a year more for gold, and for the share of it",
            Scenario::All => "the three together",
        }
    }

    /// The scenario of that name.
    ///
    /// # Errors
    /// [`OutlookError::UnknownScenario`] with all names.
    pub fn named(name: &str) -> Result<Scenario, OutlookError> {
        Scenario::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| {
            OutlookError::UnknownScenario {
                name: name.chars().take(40).collect(),
                known: Scenario::ALL.map(Scenario::name).join(", "),
            }
        })
    }

    /// The drivers as the scenario has them. What somebody fixed stays fixed.
    #[must_use]
    pub fn apply(self, drivers: &Drivers) -> Drivers {
        let share = |drivers: &Drivers| match drivers.of(Driver::Share) {
            Distribution::LogNormal { median, deviation, cap } => {
                let more = Distribution::LogNormal { median: 2.0 * median, deviation, cap };
                drivers.spread(Driver::Share, more)
            }
            _ => *drivers,
        };
        let money = |drivers: &Drivers| match drivers.of(Driver::Debasement) {
            Distribution::Normal { mean, deviation } => {
                let more = Distribution::Normal { mean: mean + 0.03, deviation };
                drivers.spread(Driver::Debasement, more)
            }
            _ => *drivers,
        };
        let flight = |drivers: &Drivers| match drivers.of(Driver::Flight) {
            Distribution::Fixed(0.0) => drivers.spread(Driver::Flight, Distribution::Fixed(0.02)),
            _ => *drivers,
        };
        match self {
            Scenario::Base => *drivers,
            Scenario::Diversification => share(drivers),
            Scenario::Debasement => money(drivers),
            Scenario::CapitalFlight => flight(drivers),
            Scenario::All => flight(&money(&share(drivers))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::Scenario;
    use crate::driver::{Driver, Drivers};
    use crate::model::Horizon;
    use crate::projection::project;
    use crate::simulation::Plan;

    #[test]
    fn each_scenario_makes_the_market_larger_and_leaves_machine_gdp_alone() {
        let plan = Plan::new(20_000, 3, NonZeroUsize::MIN).expect("a plan");
        let horizon = Horizon::new(2034).expect("a year");
        let of = |scenario: Scenario| project(&scenario.apply(&Drivers::prior()), horizon, plan);
        let base = of(Scenario::Base);
        for scenario in Scenario::ALL.into_iter().skip(1) {
            let moved = of(scenario);
            assert!(moved.crypto_cap_claim.hits > base.crypto_cap_claim.hits, "{scenario:?}");
            assert_eq!(moved.machine_gdp_claim, base.machine_gdp_claim, "{scenario:?}");
            assert_eq!(Scenario::named(scenario.name()), Ok(scenario));
        }
        assert!(Scenario::named("hope").is_err());
    }

    #[test]
    fn what_somebody_fixed_stays_fixed() {
        let fixed = Drivers::prior().fix(Driver::Debasement, 0.01).expect("in range");
        assert_eq!(Scenario::Debasement.apply(&fixed), fixed);
    }
}
