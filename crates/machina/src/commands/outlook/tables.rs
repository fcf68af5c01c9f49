//! The outlook as a person reads it: years, claims, models, drivers, scenarios, and what must be true.

use std::fmt::Write as _;

use outlook::chart::{Fan, bar};
use outlook::{
    Facts, Frequency, LEVELS, MustBeTrue, Part, Quantiles, Quantity, Report, Standing, number,
};

use crate::report::Table;
use crate::say;

/// Columns and rows of the chart.
const CHART: (usize, usize) = (64, 16);
/// Parts below this share of variance are not shown.
const SMALLEST_PART: f64 = 0.01;
/// The widest bar.
const BAR: usize = 24;

pub fn text(report: &Report, facts: &Facts) -> String {
    let mut text = format!(
        "{}  {} draws, seed {}",
        say::strong(&format!("The outlook to the end of {}", report.projection.year)),
        report.projection.draws,
        report.projection.seed
    );
    if !report.given.is_empty() {
        let _ = write!(text, ", with {}", report.given.join(" "));
    }
    text.push_str("\n\n");
    text.push_str(&years(report));
    text.push('\n');
    text.push_str(&charts(report, facts));
    text.push('\n');
    text.push_str(&claims(report));
    text.push('\n');
    text.push_str(&models(report));
    text.push('\n');
    text.push_str(&tornado("What machine GDP is uncertain by", &report.machine_gdp_parts));
    text.push('\n');
    text.push_str(&tornado("What the crypto market is uncertain by", &report.crypto_cap_parts));
    text.push('\n');
    text.push_str(&scenarios(report));
    if let Some(target) = &report.must_be_true {
        text.push('\n');
        text.push_str(&must_be_true(target));
    }
    text.push('\n');
    text.push_str(&words(report));
    text
}

fn at(quantiles: &Quantiles, level: f64) -> f64 {
    LEVELS.iter().position(|l| *l == level).map_or(f64::NAN, |i| quantiles[i])
}

fn years(report: &Report) -> String {
    let mut table =
        Table::new(&[false, true, true, true, true, true, true, true, true, true, true]);
    table.row(["", "machine GDP", "", "", "", "", "crypto market", "", "", "", ""]);
    table.row([
        "year", "5 %", "25 %", "50 %", "75 %", "95 %", "5 %", "25 %", "50 %", "75 %", "95 %",
    ]);
    for year in &report.projection.fan {
        let mut row = vec![year.year.to_string()];
        for quantiles in [&year.machine_gdp, &year.crypto_cap] {
            row.extend([0.05, 0.25, 0.5, 0.75, 0.95].map(|l| number::dollars(at(quantiles, l))));
        }
        table.row(row);
    }
    format!(
        "Added to world GDP by machines in a year, and what all crypto is worth, USD\n{}",
        table.text()
    )
}

fn charts(report: &Report, facts: &Facts) -> String {
    const SIGNS: &str = "█ median, ▒ half of all draws, ░ nine in ten, ╌ the claim";
    let years = &report.projection.fan;
    let mut machines = Fan::of_machine_gdp(years);
    machines.title = format!("{}: {SIGNS}", machines.title);
    let mut crypto = Fan::of_crypto_cap(years, facts);
    crypto.title = format!("{}: • was, {SIGNS}", crypto.title);
    format!("{}\n{}", machines.text(CHART.0, CHART.1), crypto.text(CHART.0, CHART.1))
}

fn frequency(f: Frequency) -> String {
    match (f.share(), f.error()) {
        (Some(p), Some(error)) => format!("{} ± {:.3}", number::probability(p), error),
        _ => "no draw".to_string(),
    }
}

fn claims(report: &Report) -> String {
    let p = &report.projection;
    let mut table = Table::new(&[false, true]);
    table.row(["machines add 2 to 4 trillion", &frequency(p.machine_gdp_claim)]);
    table.row(["  at least 2 trillion", &frequency(p.machine_gdp_at_least)]);
    table.row(["crypto is worth 17 trillion or more", &frequency(p.crypto_cap_claim)]);
    table.row(["  if machines add 2 to 4 trillion", &frequency(p.crypto_given_machine_gdp)]);
    table.row(["  if they add more than 4", &frequency(p.crypto_given_more)]);
    table.row(["  if crypto has 30 % of gold's worth", &frequency(p.crypto_given_share)]);
    let mut text = format!(
        "{} by the structural model, ± sampling error; the source gave no date\n{}",
        say::strong("The two claims"),
        table.text()
    );
    text.push('\n');
    text.push_str(&machine_gdp(report));
    text
}

/// The claim about machine GDP beside what others published.
fn machine_gdp(report: &Report) -> String {
    let mut table = Table::new(&[false, true, true, true, true, false]);
    table.row(["model", "50 %", "P(2 to 4T)", "P(2T or more)", "weight", ""]);
    let all = &report.machine_gdp;
    for view in all.views.iter().chain([&all.pool]) {
        let chance = |p: Option<f64>| p.map_or("-".to_string(), number::probability);
        table.row([
            view.name.to_string(),
            view.median.map_or("-".to_string(), number::dollars),
            chance(view.claim),
            chance(view.at_least),
            view.weight.map_or("no GDP".to_string(), number::probability),
            view.about.to_string(),
        ]);
    }
    format!(
        "{} at the end of {}\n{}  Published ranges are read as their central 80 %, single figures with the \
         structural model's spread.\n  Nobody has measured the world's machine GDP yet: no forecast \
         of it was ever scored, so the pool's weights are equal.\n",
        say::strong("What machines add, by model"),
        all.year,
        table.text()
    )
}

fn models(report: &Report) -> String {
    let c = &report.comparison;
    let mut table = Table::new(&[false, true, true, true, true, true, true]);
    let score = format!("CRPS {} y", c.scored_years);
    table.row(["model", "10 %", "50 %", "90 %", "P(17T)", "weight", &score]);
    let mut silent = String::new();
    for view in c.views.iter().chain([&c.pool]) {
        let (Some(q), Some(p)) = (view.quantiles, view.probability) else {
            if let Standing::Silent { why } = &view.standing {
                let _ = writeln!(silent, "  {} says nothing: {why}", view.name);
            }
            continue;
        };
        let weight = match &view.standing {
            Standing::Used { weight } => number::probability(*weight),
            Standing::NotUsed { years, .. } => format!("fails at {years} y"),
            Standing::Silent { .. } => "no score".to_string(),
        };
        let mut row = vec![view.name.to_string()];
        row.extend(q.map(number::dollars));
        row.push(number::probability(p));
        row.push(weight);
        row.push(view.crps.map_or("-".to_string(), |s| format!("{s:.2}")));
        table.row(row);
    }
    format!(
        "{} at the end of {}, from {} on {}; none is the truth\n{}{silent}  Their disagreement is the \
         uncertainty. What fails, years ahead, to beat a random walk with shrunk drift is not used.\n",
        say::strong("What crypto is worth, by model"),
        c.year,
        number::dollars(c.start.1),
        c.start.0,
        table.text()
    )
}

fn tornado(title: &str, parts: &[Part]) -> String {
    let mut table = Table::new(&[false, true, true, false]);
    table.row(["driver", "alone", "in all", ""]);
    for part in parts.iter().filter(|part| part.total.value >= SMALLEST_PART) {
        let share =
            |e: outlook::Estimate| format!("{:.1} ± {:.1} %", e.value * 100.0, e.error * 100.0);
        table.row([
            part.driver.name().to_string(),
            share(part.first),
            share(part.total),
            bar(part.total.value, BAR),
        ]);
    }
    format!(
        "{}  Sobol shares of the variance of its logarithm\n{}",
        say::strong(title),
        table.text()
    )
}

fn scenarios(report: &Report) -> String {
    let mut table = Table::new(&[false, true, true, false]);
    table.row(["scenario", "median", "P(17T)", ""]);
    for line in &report.scenarios {
        table.row([
            line.name.to_string(),
            number::dollars(line.crypto_cap_median),
            number::probability(line.crypto_cap_claim),
            line.words.to_string(),
        ]);
    }
    format!(
        "{}  the source's three reasons for crypto to grow\n{}",
        say::strong("Scenarios"),
        table.text()
    )
}

fn must_be_true(target: &MustBeTrue) -> String {
    let answer = &target.answer;
    let mut text = format!(
        "{}  all drivers at their medians give {}\n",
        say::strong(&format!(
            "What must be true for {} = {} at the end of {}",
            target.quantity.name(),
            number::dollars(target.value),
            target.year
        )),
        number::dollars(answer.at_medians)
    );
    let mut table = Table::new(&[false, true, true, false]);
    table.row(["alone", "median", "needed", "how likely that or beyond"]);
    for alone in &answer.alone {
        let d = alone.driver.describe();
        let (needed, chance) = match (alone.needed, alone.probability) {
            (Some(value), Some(p)) => (d.show(value), number::probability(p)),
            (Some(value), None) => (d.show(value), "not ours to say: it is fixed".to_string()),
            (None, _) => {
                ("cannot".to_string(), format!("comes to {} at best", number::dollars(alone.best)))
            }
        };
        table.row([d.name.to_string(), d.show(alone.median), needed, chance]);
    }
    text.push_str(&table.text());
    let Some(together) = &answer.together else {
        text.push_str("  Together: not within six standard deviations.\n");
        return text;
    };
    let _ = writeln!(
        text,
        "  Together, the likeliest way: {:.2} standard deviations off, a probability of about {}",
        together.distance,
        number::probability(together.probability)
    );
    let mut table = Table::new(&[false, true, true, true]);
    table.row(["driver", "median", "goes to", "its quantile"]);
    for m in &together.moves {
        let d = m.driver.describe();
        table.row([d.name.to_string(), d.show(m.from), d.show(m.to), number::probability(m.level)]);
    }
    text.push_str(&table.text());
    text
}

/// What the figures say, in a few sentences.
fn words(report: &Report) -> String {
    let p = &report.projection;
    let first = |parts: &[Part], n: usize| {
        let names: Vec<&str> = parts.iter().take(n).map(|part| part.driver.name()).collect();
        names.join(" and ")
    };
    let mut text = format!("{}\n", say::strong("In words"));
    let _ = writeln!(
        text,
        "  Machine GDP hangs on {}: measure those first. The crypto market hangs on {}.",
        first(&report.machine_gdp_parts, 2),
        first(&report.crypto_cap_parts, 3)
    );
    if let (Some(plain), Some(given)) =
        (p.crypto_cap_claim.share(), p.crypto_given_machine_gdp.share())
    {
        let apart = if (plain - given).abs() < 0.03 {
            "The two claims hardly depend on each other"
        } else {
            "The two claims depend on each other"
        };
        let _ = writeln!(
            text,
            "  {apart}: 17 trillion has a chance of {} by itself, and of {} where machines add 2 to 4.",
            number::probability(plain),
            number::probability(given)
        );
    }
    let m = p.medians;
    let _ = writeln!(
        text,
        "  Half of all draws have a store of value above {}, stablecoins above {}, machine networks above {}.",
        number::dollars(m.store_of_value),
        number::dollars(m.stablecoins),
        number::dollars(m.networks)
    );
    let _ = writeln!(
        text,
        "  All distributions are opinions with sources (`machina outlook --drivers`); move them with --what-if, \
         or ask --solve {}=17e12@{}.",
        Quantity::CryptoCap.name(),
        p.year
    );
    text
}
