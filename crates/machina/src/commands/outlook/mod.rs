//! `machina outlook`: what may be, how likely the claims are, and what must be true.

mod backtest;
mod driver_list;
mod record;
mod rival;
mod tables;

use std::num::NonZeroUsize;
use std::time::{SystemTime, UNIX_EPOCH};

use outlook::{
    Comparison, Date, Driver, Drivers, Facts, Horizon, Measured, OutlookError, Part, Plan,
    Projection, Quantity, Scenario, Series, Target, compare, parts, project, solve,
};
use serde::Serialize;

use super::print;
use crate::access::Access;
use crate::cli::{Arguments, Outlook, OutlookPart, OutlookQuestion};
use crate::failure::Failure;

/// Scenarios are drawn so often; they are compared with each other draw by draw.
const SCENARIO_DRAWS: u32 = 100_000;

/// What `machina outlook` tells. Figures are USD, as floats: estimates, and nobody's money.
#[derive(Debug, Serialize)]
struct OutlookReport {
    /// What was moved, as `driver=value`.
    given: Vec<String>,
    /// The scenario.
    scenario: Scenario,
    /// The model, drawn.
    projection: Projection,
    /// The crypto market beside every model.
    comparison: Comparison,
    /// Where the variance of machine GDP comes from.
    machine_gdp_parts: Vec<Part>,
    /// Where the variance of the crypto market comes from.
    crypto_cap_parts: Vec<Part>,
    /// How likely the claim about crypto is in each scenario.
    scenarios: Vec<ScenarioLine>,
    /// What must be true, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    must_be_true: Option<MustBeTrue>,
}

/// A scenario and what it comes to.
#[derive(Debug, Serialize)]
struct ScenarioLine {
    name: &'static str,
    words: &'static str,
    /// Median of the market's worth, USD.
    crypto_cap_median: f64,
    /// Probability of the claim.
    crypto_cap_claim: f64,
}

/// A target and what must be true for it.
#[derive(Debug, Serialize)]
struct MustBeTrue {
    quantity: Quantity,
    value: f64,
    year: i32,
    #[serde(flatten)]
    answer: outlook::Answer,
}

/// A question that was read: drivers, horizon, plan.
struct Asked {
    drivers: Drivers,
    /// Before the scenario was applied.
    plain: Drivers,
    given: Vec<String>,
    scenario: Scenario,
    horizon: Horizon,
    plan: Plan,
}

pub async fn run(arguments: &Arguments, wanted: &Outlook) -> Result<(), Failure> {
    let question = &wanted.question;
    match &wanted.part {
        Some(OutlookPart::Backtest(past)) => {
            no_drivers(question, "the back-test")?;
            backtest::run(arguments, past)
        }
        Some(OutlookPart::Record(wanted)) => record::run(arguments, question, wanted).await,
        None if question.drivers => driver_list::run(arguments),
        None => {
            let asked = Asked::read(arguments, question).await?;
            match question.model.as_deref() {
                None | Some(outlook::STRUCTURAL) => whole(arguments, question, &asked),
                Some(name) => {
                    no_drivers(question, "a rival model")?;
                    rival::run(arguments, name, asked.horizon)
                }
            }
        }
    }
}

fn whole(arguments: &Arguments, question: &OutlookQuestion, asked: &Asked) -> Result<(), Failure> {
    let target = question.solve.as_deref().map(Target::parse).transpose()?;
    let facts = Facts::bundled();
    let projection = project(&asked.drivers, asked.horizon, asked.plan);
    let past = outlook::backtest::run(&facts, Series::CryptoCap);
    let claim = outlook::CLAIMS[1].low;
    let comparison = compare(&facts, &past, &projection, asked.horizon, claim)
        .ok_or_else(|| Failure::new("the table of facts has no crypto market"))?;
    let variance = |quantity| parts(&asked.drivers, asked.horizon, quantity, asked.plan.seed);
    let report = OutlookReport {
        given: asked.given.clone(),
        scenario: asked.scenario,
        machine_gdp_parts: variance(Quantity::MachineGdp),
        crypto_cap_parts: variance(Quantity::CryptoCap),
        scenarios: scenarios(asked),
        must_be_true: target.map(|target| MustBeTrue {
            quantity: target.quantity,
            value: target.value,
            year: target.horizon.year(),
            answer: solve(&asked.drivers, &target),
        }),
        projection,
        comparison,
    };
    print(arguments.json, &report, || tables::text(&report, &facts))
}

fn scenarios(asked: &Asked) -> Vec<ScenarioLine> {
    let plan = asked.plan.at_most(SCENARIO_DRAWS);
    let claim = outlook::CLAIMS[1];
    let line = |scenario: Scenario| {
        let drivers = scenario.apply(&asked.plain);
        let mut caps =
            outlook::simulate(&drivers, asked.horizon, plan, |_, outcome| outcome.crypto_cap);
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

impl Asked {
    /// Reads the question, and asks this home's economy if that is wanted.
    async fn read(arguments: &Arguments, question: &OutlookQuestion) -> Result<Asked, Failure> {
        let horizon = Horizon::new(question.horizon)?;
        let today = today();
        if horizon.year() < today.year() {
            return Err(OutlookError::Horizon {
                year: horizon.year(),
                first: today.year(),
                last: outlook::model::LAST,
            }
            .into());
        }
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let plan = Plan::new(question.draws, question.seed, threads)?;
        let scenario = Scenario::named(&question.scenario)?;
        let mut drivers = Drivers::prior();
        let mut given: Vec<(Driver, f64)> = Vec::new();
        for setting in &question.what_if {
            let (driver, value) = Driver::parse_setting(setting)?;
            if given.iter().any(|known| known.0 == driver) {
                return Err(OutlookError::DriverTwice { driver: driver.name() }.into());
            }
            drivers = drivers.fix(driver, value)?;
            given.push((driver, value));
        }
        if question.measured {
            let measured = measured(arguments).await?;
            drivers = measured.apply(&drivers)?;
            given.extend(measured.turnover.map(|value| (Driver::Turnover, value)));
        }
        given.sort_by_key(|setting| setting.0);
        let mut given: Vec<String> =
            given.into_iter().map(|(driver, value)| format!("{driver}={value}")).collect();
        if scenario != Scenario::Base {
            given.push(format!("scenario={}", scenario.name()));
        }
        let plain = drivers;
        Ok(Asked { drivers: scenario.apply(&plain), plain, given, scenario, horizon, plan })
    }
}

/// Nothing is ignored in silence: rivals and the back-test know none of the drivers.
fn no_drivers(question: &OutlookQuestion, what: &str) -> Result<(), Failure> {
    let given = [
        (!question.what_if.is_empty(), "--what-if"),
        (question.solve.is_some(), "--solve"),
        (question.measured, "--measured"),
        (question.scenario != Scenario::Base.name(), "--scenario"),
    ];
    match given.into_iter().find(|given| given.0) {
        None => Ok(()),
        Some((_, flag)) => {
            Err(Failure::misuse(format!("{what} has no drivers that {flag} could move"))
                .hint("leave it out, or ask the structural model"))
        }
    }
}

/// What the economy of this home measures, as far as it means the same: gross payments per unit of value
/// added. Its velocity and its networks' take are of play money on a free chain, and are not taken.
async fn measured(arguments: &Arguments) -> Result<Measured, Failure> {
    let access = Access::find(arguments).await?;
    let report = access.economy().await;
    access.close().await;
    let text = report?.headline.turnover_to_value_added;
    match text.parse::<f64>() {
        Ok(turnover) if turnover >= 1.0 => {
            Ok(Measured { turnover: Some(turnover), ..Measured::default() })
        }
        _ => Err(Failure::new(format!(
            "this economy has no ratio of payments to value added yet: it is {text}"
        ))
        .hint("let machines trade first, for example with `machina demo`")),
    }
}

/// The day, in UTC.
fn today() -> Date {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Date::of_unix(now.as_secs())
}
