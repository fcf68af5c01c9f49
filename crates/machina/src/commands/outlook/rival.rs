//! `machina outlook --model NAME`: one rival by itself, year by year.

use outlook::rivals::RIVALS;
use outlook::{Date, Facts, Horizon, OutlookError, STRUCTURAL, Series, number};
use serde::Serialize;

use super::print;
use crate::cli::Arguments;
use crate::failure::Failure;
use crate::report::Table;
use crate::say;

/// A rival's projection of the crypto market.
#[derive(Debug, Serialize)]
struct RivalReport {
    model: &'static str,
    about: &'static str,
    /// The day of the figure from which it starts.
    from: String,
    years: Vec<RivalYear>,
}

/// One year of it, USD.
#[derive(Debug, Serialize)]
struct RivalYear {
    year: i32,
    /// 5, 25, 50, 75 and 95 %.
    quantiles: [f64; 5],
    /// Probability of 17 trillion or more.
    claim: f64,
}

pub fn run(arguments: &Arguments, name: &str, horizon: Horizon) -> Result<(), Failure> {
    let rival = RIVALS.iter().find(|rival| rival.name() == name).ok_or_else(|| {
        let known = std::iter::once(STRUCTURAL).chain(RIVALS.iter().map(|r| r.name()));
        OutlookError::UnknownModel {
            name: name.chars().take(40).collect(),
            known: known.collect::<Vec<_>>().join(", "),
        }
    })?;
    let facts = Facts::bundled();
    let latest = facts
        .latest(Series::CryptoCap)
        .ok_or_else(|| Failure::new("the table of facts has no crypto market"))?;
    let past = facts.known_on(latest.date, Series::CryptoCap);
    let mut years = Vec::new();
    for year in horizon.way().map(Horizon::year) {
        let Some(end) = Date::year_end(year) else { continue };
        let spoken = rival.project(&past, end.years_since(latest.date));
        // Some speak of one year only: what they say of the horizon decides.
        let predictive = match spoken {
            Ok(predictive) => predictive,
            Err(silence) if year == horizon.year() => {
                return Err(Failure::new(format!("{name} says nothing: {}", silence.0)));
            }
            Err(_) => continue,
        };
        years.push(RivalYear {
            year,
            quantiles: [0.05, 0.25, 0.5, 0.75, 0.95].map(|l| predictive.quantile(l).exp()),
            claim: 1.0 - predictive.cdf(outlook::CLAIMS[1].low.ln()),
        });
    }
    let report = RivalReport {
        model: rival.name(),
        about: rival.about(),
        from: latest.date.to_string(),
        years,
    };
    print(arguments.json, &report, || {
        let mut table = Table::new(&[false, true, true, true, true, true, true]);
        table.row(["year", "5 %", "25 %", "50 %", "75 %", "95 %", "P(17T)"]);
        for line in &report.years {
            let mut row = vec![line.year.to_string()];
            row.extend(line.quantiles.map(number::dollars));
            row.push(number::probability(line.claim));
            table.row(row);
        }
        format!(
            "{}  what crypto is worth, from {} on\n{}\n  {}\n",
            say::strong(report.model),
            report.from,
            table.text(),
            report.about
        )
    })
}
