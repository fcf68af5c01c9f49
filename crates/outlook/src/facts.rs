//! The table of facts: quarter-end figures with their sources, and what of them was known when.
//!
//! Two files carry the project's own table: `data/facts.csv` (`series,date,value,source`) and
//! `data/sources.tsv`, which says for each source what it is, on which terms it was restated, when it
//! was retrieved, and how many days pass before such a figure is known. [`Facts::bundled`] reads both.
//!
//! A [`Past`] is what somebody knew on one day: nothing dated later, and nothing dated earlier that was
//! not published yet. Models see a [`Past`] and nothing else, so none can look ahead. What cannot be
//! undone is revision: the table is of one vintage, and the figures of 2015 are those known in 2026.

use std::collections::BTreeMap;

use crate::{Date, OutlookError, Quarter};

/// The most rows of a table.
const MAX_ROWS: usize = 100_000;

/// A series of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Series {
    /// Market capitalisation of all crypto assets, USD.
    CryptoCap,
    /// Market capitalisation of bitcoin, USD.
    BitcoinCap,
    /// Bitcoins in existence.
    BitcoinSupply,
    /// Bitcoin addresses used in a day, mean of the quarter.
    BitcoinAddresses,
    /// Gold, USD per troy ounce.
    GoldPrice,
    /// Gold above ground, tonnes.
    GoldStock,
    /// United States M2, USD.
    Money,
    /// World GDP, current USD.
    WorldGdp,
    /// USD-pegged stablecoins in circulation, USD.
    Stablecoins,
}

impl Series {
    /// All of them, as the table names them.
    pub const ALL: [(Series, &'static str); 9] = [
        (Series::CryptoCap, "crypto_cap"),
        (Series::BitcoinCap, "bitcoin_cap"),
        (Series::BitcoinSupply, "bitcoin_supply"),
        (Series::BitcoinAddresses, "bitcoin_addresses"),
        (Series::GoldPrice, "gold_price"),
        (Series::GoldStock, "gold_stock"),
        (Series::Money, "us_m2"),
        (Series::WorldGdp, "world_gdp"),
        (Series::Stablecoins, "stablecoins"),
    ];

    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        Series::ALL.iter().find(|(series, _)| *series == self).expect("all are listed").1
    }

    fn named(name: &str) -> Option<Series> {
        Series::ALL.iter().find(|(_, known)| *known == name).map(|(series, _)| *series)
    }
}

/// One fact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fact {
    /// The day that it describes, or the last of the period.
    pub date: Date,
    /// The figure, in the series' unit; above zero and finite.
    pub value: f64,
    /// The first day on which it can have been known.
    pub known: Date,
}

/// Where figures are from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What the table calls it.
    pub id: String,
    /// What it is.
    pub title: String,
    /// On which terms its figures were restated.
    pub terms: String,
    /// When they were read.
    pub retrieved: Date,
    /// How many days pass before such a figure is known.
    pub lag_days: i64,
}

/// The whole table.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    series: BTreeMap<Series, Vec<Fact>>,
    sources: Vec<Source>,
}

/// What was known on one day. Figures are natural logarithms, since all series are ratios in kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    origin: Date,
    target: Series,
    series: BTreeMap<Series, Vec<Fact>>,
}

/// A series by quarter, in logarithms, ascending; quarters may lack.
#[derive(Debug, Clone, PartialEq)]
pub struct Track(Vec<(Quarter, f64)>);

impl Facts {
    /// The project's own table.
    ///
    /// # Panics
    /// Never: a test reads it.
    #[must_use]
    pub fn bundled() -> Facts {
        Facts::parse(include_str!("../data/facts.csv"), include_str!("../data/sources.tsv"))
            .expect("the bundled table is tested")
    }

    /// Reads a table and its sources.
    ///
    /// # Errors
    /// [`OutlookError::Facts`] with the line, where a value is not above zero and finite, a day does
    /// not come after the one before, or a series or source is unknown.
    pub fn parse(facts: &str, sources: &str) -> Result<Facts, OutlookError> {
        let sources = parse_sources(sources)?;
        let mut series: BTreeMap<Series, Vec<Fact>> = BTreeMap::new();
        for (index, row) in facts.lines().enumerate().skip(1) {
            let line = index + 1;
            let wrong = |why: String| OutlookError::Facts { line, why };
            if index > MAX_ROWS {
                return Err(wrong(format!("a table has at most {MAX_ROWS} rows")));
            }
            let cells: Vec<&str> = row.split(',').collect();
            let [name, date, value, source] = cells[..] else {
                return Err(wrong("a row is `series,date,value,source`".to_string()));
            };
            let id =
                Series::named(name).ok_or_else(|| wrong(format!("there is no series `{name}`")))?;
            let date = Date::parse(date).map_err(|e| wrong(e.to_string()))?;
            let value: f64 = value.parse().map_err(|_| wrong(format!("`{value}` is no number")))?;
            if !(value.is_finite() && value > 0.0) {
                return Err(wrong(format!(
                    "{value} is not above zero, so that it has no logarithm"
                )));
            }
            let source = sources
                .iter()
                .find(|known| known.id == source)
                .ok_or_else(|| wrong(format!("the source `{source}` is not listed")))?;
            let known = date.plus_days(source.lag_days);
            let rows = series.entry(id).or_default();
            if rows.last().is_some_and(|last| last.date >= date) {
                return Err(wrong(format!("{date} does not come after the row before it")));
            }
            rows.push(Fact { date, value, known });
        }
        Ok(Facts { series, sources })
    }

    /// Where the figures are from.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// A series, oldest first.
    #[must_use]
    pub fn series(&self, series: Series) -> &[Fact] {
        self.series.get(&series).map_or(&[], Vec::as_slice)
    }

    /// The newest figure of a series.
    #[must_use]
    pub fn latest(&self, series: Series) -> Option<Fact> {
        self.series(series).last().copied()
    }

    /// The figure of a quarter's end.
    #[must_use]
    pub fn at(&self, series: Series, quarter: Quarter) -> Option<f64> {
        let mut rows = self.series(series).iter().rev();
        rows.find(|fact| fact.date.quarter() == Some(quarter)).map(|fact| fact.value)
    }

    /// What was known on a day about a target and what may drive it. The target's own figure of that
    /// day counts as known: it is where the forecast starts.
    #[must_use]
    pub fn known_on(&self, origin: Date, target: Series) -> Past {
        let seen = |id: &Series, fact: &Fact| {
            fact.known <= origin || (*id == target && fact.date <= origin)
        };
        let series = self
            .series
            .iter()
            .map(|(id, rows)| (*id, rows.iter().filter(|f| seen(id, f)).copied().collect()))
            .collect();
        Past { origin, target, series }
    }
}

impl Past {
    /// The day of the forecast.
    #[must_use]
    pub const fn origin(&self) -> Date {
        self.origin
    }

    /// The newest figure of the target: its day and its logarithm.
    #[must_use]
    pub fn start(&self) -> Option<(Date, f64)> {
        let last = self.facts(self.target).last()?;
        Some((last.date, last.value.ln()))
    }

    /// The target by quarter.
    #[must_use]
    pub fn target(&self) -> Track {
        self.track(self.target)
    }

    /// A series by quarter.
    #[must_use]
    pub fn track(&self, series: Series) -> Track {
        let mut rows: Vec<(Quarter, f64)> = Vec::new();
        for fact in self.facts(series) {
            let Some(quarter) = fact.date.quarter() else { continue };
            match rows.last_mut() {
                Some(last) if last.0 == quarter => last.1 = fact.value.ln(),
                _ => rows.push((quarter, fact.value.ln())),
            }
        }
        Track(rows)
    }

    /// The facts of a series that were known, oldest first.
    #[must_use]
    pub fn facts(&self, series: Series) -> &[Fact] {
        self.series.get(&series).map_or(&[], Vec::as_slice)
    }
}

impl Track {
    /// Quarters and logarithms.
    #[must_use]
    pub fn points(&self) -> &[(Quarter, f64)] {
        &self.0
    }

    /// The logarithm of one quarter.
    #[must_use]
    pub fn at(&self, quarter: Quarter) -> Option<f64> {
        self.0.binary_search_by_key(&quarter, |point| point.0).ok().map(|i| self.0[i].1)
    }

    /// Changes from quarter to quarter, named by the later one. Where a quarter lacks there is none.
    #[must_use]
    pub fn changes(&self) -> Vec<(Quarter, f64)> {
        let next =
            |w: &[(Quarter, f64)]| (w[1].0.since(w[0].0) == 1).then_some((w[1].0, w[1].1 - w[0].1));
        self.0.windows(2).filter_map(next).collect()
    }
}

fn parse_sources(text: &str) -> Result<Vec<Source>, OutlookError> {
    let mut sources: Vec<Source> = Vec::new();
    for (index, row) in text.lines().enumerate().skip(1) {
        let wrong = |why: &str| OutlookError::Facts { line: index + 1, why: why.to_string() };
        let cells: Vec<&str> = row.split('\t').collect();
        let [id, title, terms, retrieved, lag_days] = cells[..] else {
            return Err(wrong("a source is `source, title, terms, retrieved, lag_days`"));
        };
        let lag_days = lag_days.parse::<u16>().map_err(|_| wrong("a lag is a count of days"))?;
        sources.push(Source {
            id: id.to_string(),
            title: title.to_string(),
            terms: terms.to_string(),
            retrieved: Date::parse(retrieved).map_err(|_| wrong("no date of retrieval"))?,
            lag_days: i64::from(lag_days),
        });
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::{Facts, Series};
    use crate::{Date, OutlookError};

    const SOURCES: &str = "head\na\tA\tfree\t2026-11-22\t30\n";

    fn parse(rows: &str) -> Result<Facts, OutlookError> {
        Facts::parse(&format!("series,date,value,source\n{rows}"), SOURCES)
    }

    fn day(text: &str) -> Date {
        Date::parse(text).expect("a date")
    }

    #[test]
    fn the_bundled_table_names_every_series_with_a_source() {
        let facts = Facts::bundled();
        for (series, name) in Series::ALL {
            assert!(facts.series(series).len() > 5, "{name}");
        }
        assert!(facts.sources().iter().all(|s| !s.title.is_empty() && !s.terms.is_empty()));
    }

    #[test]
    fn a_value_without_a_logarithm_a_day_out_of_order_and_a_stranger_are_refused_by_line() {
        for (rows, word) in [
            ("crypto_cap,2020-03-31,0,a", "logarithm"),
            ("crypto_cap,2020-03-31,-1,a", "logarithm"),
            ("crypto_cap,2020-03-31,NaN,a", "logarithm"),
            ("crypto_cap,2020-03-31,inf,a", "logarithm"),
            ("crypto_cap,2020-03-31,1,a\ncrypto_cap,2020-03-31,2,a", "after"),
            ("crypto_cap,2020-03-31,1,b", "source"),
            ("tulips,2020-03-31,1,a", "series"),
            ("crypto_cap,2020-03-32,1,a", "date"),
            ("crypto_cap,2020-03-31,1", "row"),
        ] {
            let error = parse(rows).expect_err(rows).to_string();
            assert!(error.contains(word) && error.starts_with("line "), "{rows}: {error}");
        }
    }

    #[test]
    fn what_was_published_later_or_lies_in_the_future_is_not_known() {
        let rows = "crypto_cap,2020-03-31,1,a\ncrypto_cap,2020-06-30,2,a\ncrypto_cap,2020-09-30,3,a\n\
                    us_m2,2020-05-31,5,a\nus_m2,2020-06-30,6,a";
        let past = parse(rows).expect("facts").known_on(day("2020-06-30"), Series::CryptoCap);
        assert_eq!(past.target().points().len(), 2, "the day's own figure is where it starts");
        assert_eq!(past.facts(Series::Money).len(), 1, "June's M2 comes in July");
        assert_eq!(past.start().map(|s| s.0), Some(day("2020-06-30")));
    }

    #[test]
    fn a_gap_gives_no_change_and_is_not_filled() {
        let rows =
            "crypto_cap,2020-03-31,1,a\ncrypto_cap,2020-06-30,2,a\ncrypto_cap,2020-12-31,8,a";
        let past = parse(rows).expect("facts").known_on(day("2021-01-01"), Series::CryptoCap);
        assert_eq!(past.target().changes().len(), 1);
    }
}
