//! `machina outlook backtest`: how well each model would have foreseen the past.

use std::fmt::Write as _;

use outlook::backtest::{Backtest, HORIZONS, Row, run as back_test};
use outlook::rivals::BENCHMARK;
use outlook::{Facts, Series, number};

use super::print;
use crate::cli::{self, Arguments};
use crate::failure::Failure;
use crate::report::Table;
use crate::say;

pub fn run(arguments: &Arguments, wanted: &cli::Backtest) -> Result<(), Failure> {
    let target = match wanted.target.as_str() {
        "bitcoin_cap" => Series::BitcoinCap,
        _ => Series::CryptoCap,
    };
    let test = back_test(&Facts::bundled(), target);
    print(arguments.json, &test, || text(&test))
}

fn text(test: &Backtest) -> String {
    let mut text = format!(
        "{}  {}, a forecast at each quarter's end from {} to {}; scores of ln USD\n",
        say::strong("The back-test"),
        test.target,
        test.origins.0,
        test.origins.1
    );
    if !test.gaps.is_empty() {
        let _ = writeln!(
            text,
            "  no figure for {}: nothing starts or ends there",
            test.gaps.join(", ")
        );
    }
    for years in HORIZONS {
        let rows: Vec<&Row> = test.rows.iter().filter(|row| row.years == years).collect();
        let scored = rows.iter().find_map(|row| row.result.as_ref().ok());
        let few = scored.map_or(String::new(), |s| {
            format!("  {} forecasts, worth about {:.1} independent ones", s.count, s.effective)
        });
        let unit = if years == 1 { "year" } else { "years" };
        let _ = writeln!(text, "\n{}{few}", say::strong(&format!("{years} {unit} ahead")));
        let mut table = Table::new(&[
            false, true, true, true, true, true, true, true, true, false, false, false,
        ]);
        table.row([
            "model",
            "CRPS",
            "skill",
            "pinball",
            "80 % score",
            "in 50 %",
            "in 80 %",
            "in 95 %",
            "bias",
            "DM p",
            "lowers CRPS",
            "PIT",
        ]);
        for row in &rows {
            let Ok(s) = &row.result else { continue };
            let inside = |i: usize| {
                let w = s.coverage[i];
                format!(
                    "{} ({}-{})",
                    number::probability(w.share()),
                    number::probability(w.low),
                    number::probability(w.high)
                )
            };
            let p = s.against_benchmark.map_or("-".to_string(), |t| number::probability(t.p_value));
            table.row([
                row.name.to_string(),
                format!("{:.2}", s.crps),
                format!("{:+.2}", s.skill),
                format!("{:.3}", s.pinball),
                format!("{:.2}", s.interval),
                inside(0),
                inside(1),
                inside(2),
                format!("{:+.2}", s.bias),
                p,
                lowers(row).to_string(),
                histogram(&s.pit),
            ]);
        }
        text.push_str(&table.text());
        for row in rows {
            if let Err(why) = &row.result {
                let _ = writeln!(text, "  {} is not scored: {why}", row.name);
            }
        }
    }
    let _ = writeln!(
        text,
        "\n  Skill is against the random walk; DM p and lowers CRPS are against {BENCHMARK}: a driver that does not \
         lower CRPS\n  at every horizon is not used. In brackets 95 % intervals (Wilson) for as many forecasts as \
         these are worth.\n  PIT: how often what came fell into each tenth of what was foreseen; level if the spread was right."
    );
    text
}

fn lowers(row: &Row) -> &'static str {
    match &row.result {
        Ok(_) if row.benchmark => "benchmark",
        Ok(_) if row.name == outlook::backtest::POOL => "",
        Ok(s) if s.lowers_crps() => "yes",
        _ => "no",
    }
}

/// Ten counts as ten bars of a character each.
fn histogram(counts: &[u32; 10]) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    // Whatever is there is seen: only nothing is blank.
    counts.iter().map(|count| BARS[(*count as usize * 8).div_ceil(most as usize)]).collect()
}
