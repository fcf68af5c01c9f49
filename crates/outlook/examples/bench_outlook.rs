//! How fast the outlook is: `bench_outlook [DRAWS]` (one million if not said).
//!
//! Prints one JSON object a line, `{"name", "value", "unit"}`, and last the median it computed, so that a
//! benchmark that computes nothing is seen.

use std::num::NonZeroUsize;
use std::time::Instant;

use outlook::{
    Drivers, Facts, Horizon, Plan, Quantity, Question, Series, Target, answer, backtest, parts,
    project,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let draws: u32 = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 1_000_000,
    };
    let drivers = Drivers::prior();
    let horizon = Horizon::new(2034)?;
    let plan = Plan::new(draws, 1, NonZeroUsize::new(2).expect("two"))?;

    let start = Instant::now();
    let projection = project(&drivers, horizon, plan);
    print("outlook.projection", start.elapsed().as_millis(), "ms");

    let start = Instant::now();
    let shares = parts(&drivers, horizon, Quantity::CryptoCap, 1);
    print("outlook.variance_by_driver", start.elapsed().as_millis(), "ms");

    let start = Instant::now();
    let test = backtest::run(&Facts::bundled(), Series::BitcoinCap);
    print("outlook.back_test", start.elapsed().as_millis(), "ms");

    // What a page asks, with everything in it.
    let facts = Facts::bundled();
    let past = backtest::run(&facts, Series::CryptoCap);
    let mut question = Question::new(horizon);
    question.target = Some(Target::parse("crypto_cap=17T@2034")?);
    let page = Plan::new(20_000, 1, NonZeroUsize::new(2).expect("two"))?;
    let start = Instant::now();
    let report = answer(&question, page, &facts, &past)?;
    print("outlook.page", start.elapsed().as_millis(), "ms");

    let median = projection.fan.last().map_or(0.0, |year| year.crypto_cap[4]);
    println!(r#"{{"name":"outlook.median","value":{median:.4e},"unit":"USD"}}"#);
    println!(
        r#"{{"name":"outlook.rows","value":{},"unit":"rows"}}"#,
        shares.len() + test.rows.len() + report.scenarios.len()
    );
    Ok(())
}

fn print(name: &str, value: u128, unit: &str) {
    println!(r#"{{"name":"{name}","value":{value},"unit":"{unit}"}}"#);
}
