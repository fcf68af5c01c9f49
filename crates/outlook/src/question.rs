//! A question to the model, and all that is told in answer: by the command and by the page alike.
//!
//! A [`Question`] is what somebody moved, by when, and what is to be reached; it can be made only of
//! values that make sense. [`answer`] is pure: the same question, plan, facts and back-test give the same
//! [`Report`], bit by bit, on any number of threads.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::backtest::Backtest;
use crate::claim::CLAIMS;
use crate::compare::{Comparison, compare};
use crate::driver::{Driver, Drivers};
use crate::facts::Facts;
use crate::model::{Horizon, Quantity, Target};
use crate::projection::{Projection, project};
use crate::published::{MachineGdp, machine_gdp};
use crate::scenario::Scenario;
use crate::simulation::{Plan, simulate};
use crate::solve::{Answer, solve};
use crate::variance::{FEW_PAIRS, PAIRS, Part, parts_of};
use crate::{Date, OutlookError};

/// Scenarios are drawn at most so often; they are compared with each other draw by draw.
pub const SCENARIO_DRAWS: u32 = 100_000;

/// Whoever draws less than this wants an answer at once, and gets the variance by fewer pairs, too.
pub const HASTY_DRAWS: u32 = 50_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    held: BTreeMap<Driver, f64>,
    /// Which distributions are moved.
    pub scenario: Scenario,
    /// By the end of which year.
    pub horizon: Horizon,
    /// What is to be reached, if somebody asks what must be true for it.
    pub target: Option<Target>,
}

/// All that is told. Figures are USD, as floats: estimates, and nobody's money.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was moved, as `driver=value`.
    pub given: Vec<String>,
    /// The scenario.
    pub scenario: Scenario,
    /// The model, drawn.
    pub projection: Projection,
    /// The crypto market beside every model.
    pub comparison: Comparison,
    /// The claim about machine GDP beside what others published.
    pub machine_gdp: MachineGdp,
    /// Where the variance of machine GDP comes from.
    pub machine_gdp_parts: Vec<Part>,
    /// Where the variance of the crypto market comes from.
    pub crypto_cap_parts: Vec<Part>,
    /// How likely the claim about crypto is in each scenario.
    pub scenarios: Vec<ScenarioLine>,
    /// What must be true, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub must_be_true: Option<MustBeTrue>,
}

/// A scenario and what it comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScenarioLine {
    /// What one types.
    pub name: &'static str,
    /// What it moves.
    pub words: &'static str,
    /// Median of the market's worth, USD.
    pub crypto_cap_median: f64,
    /// Probability of the claim.
    pub crypto_cap_claim: f64,
}

/// A target and what must be true for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MustBeTrue {
    /// What is to be reached.
    pub quantity: Quantity,
    /// How much, USD.
    pub value: f64,
    /// At the end of which year.
    pub year: i32,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
}

impl Question {
    /// Nothing moved, in no scenario, for no target.
    #[must_use]
    pub fn new(horizon: Horizon) -> Question {
        Question { held: BTreeMap::new(), scenario: Scenario::Base, horizon, target: None }
    }

    /// Holds a driver at a value.
    ///
    /// # Errors
    /// [`OutlookError::DriverRange`]; [`OutlookError::DriverTwice`] if it is held already, since of two values
    /// one would be ignored. Nothing is changed then.
    pub fn hold(&mut self, driver: Driver, value: f64) -> Result<(), OutlookError> {
        Drivers::prior().fix(driver, value)?;
        if self.held.contains_key(&driver) {
            return Err(OutlookError::DriverTwice { driver: driver.name() });
        }
        self.held.insert(driver, value);
        Ok(())
    }

    /// The value at which a driver is held; none if it is a distribution.
    #[must_use]
    pub fn held(&self, driver: Driver) -> Option<f64> {
        self.held.get(&driver).copied()
    }

    /// What is held, in the order of the drivers.
    pub fn all_held(&self) -> impl Iterator<Item = (Driver, f64)> + '_ {
        self.held.iter().map(|(driver, value)| (*driver, *value))
    }

    /// The drivers before the scenario.
    #[must_use]
    pub fn plain_drivers(&self) -> Drivers {
        // Each value was tried when it was held.
        self.all_held().fold(Drivers::prior(), |drivers, (driver, value)| {
            drivers.fix(driver, value).unwrap_or(drivers)
        })
    }

    /// The drivers in the scenario.
    #[must_use]
    pub fn drivers(&self) -> Drivers {
        self.scenario.apply(&self.plain_drivers())
    }

    /// What was moved, as the record keeps it: `driver=value` in the order of the drivers, then the
    /// scenario.
    #[must_use]
    pub fn given(&self) -> Vec<String> {
        let held = self.all_held().map(|(driver, value)| format!("{driver}={value}"));
        let scenario =
            (self.scenario != Scenario::Base).then(|| format!("scenario={}", self.scenario.name()));
        held.chain(scenario).collect()
    }
}

impl Horizon {
    /// The end of a year, asked for on a day: what is over cannot be foreseen.
    ///
    /// # Errors
    /// [`OutlookError::Horizon`] for a year that is over, or beyond what the model speaks of.
    pub fn asked_on(year: i32, today: Date) -> Result<Horizon, OutlookError> {
        let horizon = Horizon::new(year)?;
        if year < today.year() {
            let (first, last) = (today.year(), crate::model::LAST);
            return Err(OutlookError::Horizon { year, first, last });
        }
        Ok(horizon)
    }
}

impl Target {
    /// Reads `crypto_cap=17e12@2034`, asked on a day.
    ///
    /// # Errors
    /// As [`Target::parse`], and as [`Horizon::asked_on`].
    pub fn asked_on(text: &str, today: Date) -> Result<Target, OutlookError> {
        let target = Target::parse(text)?;
        Horizon::asked_on(target.horizon.year(), today)?;
        Ok(target)
    }
}

/// Answers a question: by the model, beside the rivals, weighted by how well each foresaw the past.
///
/// # Errors
/// [`OutlookError::NoMarket`] if the table has no crypto market to start from.
pub fn answer(
    question: &Question,
    plan: Plan,
    facts: &Facts,
    past: &Backtest,
) -> Result<Report, OutlookError> {
    let (drivers, horizon) = (question.drivers(), question.horizon);
    let quantities = [Quantity::MachineGdp, Quantity::CryptoCap];
    let pairs = if plan.draws() < HASTY_DRAWS { FEW_PAIRS } else { PAIRS };
    // What needs no draws of the other is done beside it.
    let (projection, scenarios, [machine_gdp_parts, crypto_cap_parts]) =
        std::thread::scope(|scope| {
            let parts = scope.spawn(|| parts_of(&drivers, horizon, quantities, plan.seed, pairs));
            let projection = project(&drivers, horizon, plan);
            let scenarios = scenarios(question, plan);
            (projection, scenarios, parts.join().expect("nothing panics there"))
        });
    let comparison =
        compare(facts, past, &projection, horizon, CLAIMS[1].low).ok_or(OutlookError::NoMarket)?;
    Ok(Report {
        machine_gdp: machine_gdp(&projection, &drivers, horizon),
        given: question.given(),
        scenario: question.scenario,
        machine_gdp_parts,
        crypto_cap_parts,
        scenarios,
        must_be_true: question.target.map(|target| MustBeTrue {
            quantity: target.quantity,
            value: target.value,
            year: target.horizon.year(),
            answer: solve(&drivers, &target),
        }),
        projection,
        comparison,
    })
}

fn scenarios(question: &Question, plan: Plan) -> Vec<ScenarioLine> {
    let plan = plan.at_most(SCENARIO_DRAWS);
    let claim = CLAIMS[1];
    let plain = question.plain_drivers();
    let line = |scenario: Scenario| {
        let drivers = scenario.apply(&plain);
        let mut caps = simulate(&drivers, question.horizon, plan, |_, outcome| outcome.crypto_cap);
        let hits = caps.iter().filter(|cap| claim.contains(**cap)).count();
        let middle = caps.len() / 2;
        let median = *caps.select_nth_unstable_by(middle, f64::total_cmp).1;
        ScenarioLine {
            name: scenario.name(),
            words: scenario.words(),
            crypto_cap_median: median,
            crypto_cap_claim: hits as f64 / caps.len() as f64,
        }
    };
    Scenario::ALL.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::{Question, answer};
    use crate::driver::Driver;
    use crate::facts::{Facts, Series};
    use crate::model::{Horizon, Target};
    use crate::scenario::Scenario;
    use crate::simulation::Plan;
    use crate::{Date, OutlookError, backtest};

    fn horizon() -> Horizon {
        Horizon::new(2034).expect("a year")
    }

    #[test]
    fn a_question_holds_what_makes_sense_once() {
        let mut question = Question::new(horizon());
        question.hold(Driver::Share, 0.3).expect("in range");
        question.hold(Driver::Adoption, 0.6).expect("in range");
        let before = question.clone();
        assert!(matches!(
            question.hold(Driver::Share, 0.2),
            Err(OutlookError::DriverTwice { driver: "share" })
        ));
        assert!(matches!(
            question.hold(Driver::Saving, 1.5),
            Err(OutlookError::DriverRange { .. })
        ));
        assert_eq!(question, before);
        question.scenario = Scenario::Debasement;
        assert_eq!(question.given(), ["adoption=0.6", "share=0.3", "scenario=debasement"]);
        assert!(question.plain_drivers().of(Driver::Share).is_fixed());
    }

    #[test]
    fn years_that_are_over_are_refused_on_the_day() {
        let day = Date::parse("2030-01-01").expect("a date");
        for year in [1999, 2029, 2051] {
            assert!(Horizon::asked_on(year, day).is_err(), "{year}");
        }
        assert!(Horizon::asked_on(2030, day).is_ok());
        assert!(Target::asked_on("crypto_cap=17T@2029", day).is_err());
        assert!(Target::asked_on("crypto_cap=17T@2034", day).is_ok());
    }

    #[test]
    fn the_same_question_has_the_same_answer_on_any_number_of_threads() {
        let facts = Facts::bundled();
        let past = backtest::run(&facts, Series::CryptoCap);
        let mut question = Question::new(horizon());
        question.target = Some(Target::parse("crypto_cap=17T@2034").expect("a target"));
        let of = |threads: usize| {
            let threads = NonZeroUsize::new(threads).expect("some");
            let plan = Plan::new(5_000, 1, threads).expect("a plan");
            answer(&question, plan, &facts, &past).expect("an answer")
        };
        let one = of(1);
        assert_eq!(of(3), one);
        assert_eq!(one.scenarios.len(), Scenario::ALL.len());
        assert!(one.must_be_true.is_some());
    }
}
