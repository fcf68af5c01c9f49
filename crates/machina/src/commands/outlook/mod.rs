//! `machina outlook`: what may be, how likely the claims are, and what must be true.

mod backtest;
mod driver_list;
mod record;
mod rival;
mod tables;

use std::num::NonZeroUsize;
use std::time::{SystemTime, UNIX_EPOCH};

use outlook::{Date, Driver, Facts, Horizon, Plan, Question, Scenario, Series, Target, answer};

use super::print;
use crate::access::Access;
use crate::cli::{Arguments, Outlook, OutlookPart, OutlookQuestion};
use crate::failure::Failure;

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
            let asked = read(arguments, question).await?;
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

fn whole(
    arguments: &Arguments,
    question: &OutlookQuestion,
    asked: &Question,
) -> Result<(), Failure> {
    let facts = Facts::bundled();
    let past = outlook::backtest::run(&facts, Series::CryptoCap);
    let report = answer(asked, plan(question)?, &facts, &past)?;
    print(arguments.json, &report, || tables::text(&report, &facts))
}

/// How often the model is drawn, on all processors.
fn plan(question: &OutlookQuestion) -> Result<Plan, Failure> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Ok(Plan::new(question.draws, question.seed, threads)?)
}

/// Reads the question, and asks this home's economy if that is wanted.
async fn read(arguments: &Arguments, question: &OutlookQuestion) -> Result<Question, Failure> {
    let today = today();
    let mut asked = Question::new(Horizon::asked_on(question.horizon, today)?);
    plan(question)?;
    asked.scenario = Scenario::named(&question.scenario)?;
    asked.target =
        question.solve.as_deref().map(|text| Target::asked_on(text, today)).transpose()?;
    for setting in &question.what_if {
        let (driver, value) = Driver::parse_setting(setting)?;
        asked.hold(driver, value)?;
    }
    if !question.measured.is_empty() {
        let access = Access::find(arguments).await?;
        let measured = access.measured().await;
        access.close().await;
        let measured = measured?;
        for name in &question.measured {
            let driver = Driver::named(name)?;
            let value = measured.value(driver)?;
            asked.hold(driver, value)?;
        }
    }
    Ok(asked)
}

/// Nothing is ignored in silence: rivals and the back-test know none of the drivers.
fn no_drivers(question: &OutlookQuestion, what: &str) -> Result<(), Failure> {
    let given = [
        (!question.what_if.is_empty(), "--what-if"),
        (question.solve.is_some(), "--solve"),
        (!question.measured.is_empty(), "--measured"),
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

/// The day, in UTC.
fn today() -> Date {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Date::of_unix(now.as_secs())
}
