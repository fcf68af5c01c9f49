//! The record: projections and claims as text that can be held to account.
//!
//! An [`Entry`] is canonical text: the same entry gives the same bytes, and [`Entry::parse`] accepts what
//! [`Entry::text`] writes and nothing else. Its name is the SHA-256 of that text ([`Entry::hash`]); the hash
//! is what is committed somewhere that cannot be rewritten, before the outcome, and the text is kept. When
//! its date has come and the figure is in the table, [`judge`] scores it.
//!
//! Figures are written with five significant digits. The first entries are the source's two claims, with
//! the horizons that this project assumes for them.

use std::fmt::Write as _;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::claim::{ASSUMED_HORIZONS, CLAIMS};
use crate::facts::{Facts, Series};
use crate::model::Quantity;
use crate::projection::{LEVELS, Projection, Quantiles};
use crate::score::pinball;
use crate::{Date, OutlookError};

/// The first line of every entry.
const HEAD: &str = "machina outlook record 1";
/// What the model of this crate is called in entries; changes when an equation or a constant does.
pub const MODEL: &str = "parsimonious-1";
/// The longest text that is read, bytes.
pub const LONGEST: usize = 16_384;

/// One entry of the record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The day on which it was entered.
    pub made: Date,
    /// At the end of which year it comes due.
    pub year: i32,
    /// What is foreseen.
    pub foreseen: Foreseen,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Foreseen {
    /// A distribution, by this program.
    Projection {
        /// The model.
        model: String,
        /// SHA-256 of the table of facts.
        facts: String,
        /// What the random numbers grew from.
        seed: u64,
        /// How many draws.
        draws: u32,
        /// What somebody set, as `driver=value`, in the order of the drivers.
        given: Vec<String>,
        /// Quantiles at [`LEVELS`], USD.
        quantiles: Vec<(Quantity, Quantiles)>,
    },
    /// A claim, by somebody.
    Claim {
        /// Its name.
        name: String,
        /// About what.
        quantity: Quantity,
        /// The least, USD.
        low: f64,
        /// The most, USD; none if it says *at least*.
        high: Option<f64>,
        /// In words, who and when; one line.
        words: String,
    },
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Its date has not come.
    Open {
        /// When it comes due.
        due: String,
    },
    /// Its date has come, and the table has no figure to hold it against.
    Unmeasured {
        /// What lacks.
        why: String,
    },
    /// It was scored.
    Scored {
        /// The figure that came, USD.
        observed: f64,
        /// Of a projection: weighted interval score of the logarithm (Bracher et al. 2021); it approaches
        /// CRPS. Of a claim: how far off it was, as a logarithm; zero if it held.
        score: f64,
        /// Of a projection: whether the central 90 % held the figure. Of a claim: whether it held.
        held: bool,
    },
}

impl Entry {
    /// The source's claims, with the assumed horizons: entered on 23 November 2026, when the record began.
    ///
    /// # Panics
    /// Never: that is a date.
    #[must_use]
    pub fn first() -> Vec<Entry> {
        let made = Date::new(2026, 11, 23).expect("a date");
        let entries = ASSUMED_HORIZONS.into_iter().flat_map(|year| {
            CLAIMS.into_iter().map(move |claim| Entry {
                made,
                year,
                foreseen: Foreseen::Claim {
                    name: claim.name.to_string(),
                    quantity: claim.quantity,
                    low: claim.low,
                    high: claim.high,
                    words: format!("{}; {}; {year} is assumed here", claim.words, claim.source),
                },
            })
        });
        entries.collect()
    }

    /// A projection, entered on a day. `given` are the settings that made it.
    #[must_use]
    pub fn of(made: Date, projection: &Projection, given: Vec<String>) -> Entry {
        let last = projection.fan.last();
        let quantiles = last.map_or_else(Vec::new, |fan| {
            vec![
                (Quantity::MachineGdp, fan.machine_gdp.map(rounded)),
                (Quantity::CryptoCap, fan.crypto_cap.map(rounded)),
            ]
        });
        Entry {
            made,
            year: projection.year,
            foreseen: Foreseen::Projection {
                model: MODEL.to_string(),
                facts: hex::encode(Sha256::digest(include_str!("../data/facts.csv"))),
                seed: projection.seed,
                draws: projection.draws,
                given,
                quantiles,
            },
        }
    }

    /// The canonical text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{HEAD}\nmade {}\nyear {}\n", self.made, self.year);
        match &self.foreseen {
            Foreseen::Projection { model, facts, seed, draws, given, quantiles } => {
                let _ =
                    write!(text, "projection {model}\nfacts {facts}\nseed {seed}\ndraws {draws}\n");
                for setting in given {
                    let _ = writeln!(text, "given {setting}");
                }
                for (quantity, values) in quantiles {
                    for (level, value) in LEVELS.iter().zip(values) {
                        let _ = writeln!(text, "quantile {} {level} {value:.4e}", quantity.name());
                    }
                }
            }
            Foreseen::Claim { name, quantity, low, high, words } => {
                let _ = write!(
                    text,
                    "claim {name}\nwords {words}\nleast {} {low:.4e}\n",
                    quantity.name()
                );
                if let Some(high) = high {
                    let _ = writeln!(text, "most {} {high:.4e}", quantity.name());
                }
            }
        }
        text
    }

    /// The name of the entry: SHA-256 of its text, in hex.
    #[must_use]
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.text()))
    }

    /// Reads canonical text back.
    ///
    /// # Errors
    /// [`OutlookError::Record`] with the line, for anything that this program does not write.
    pub fn parse(text: &str) -> Result<Entry, OutlookError> {
        if text.len() > LONGEST {
            return Err(wrong(1, "it is longer than any record"));
        }
        let mut lines = Lines { lines: text.lines().enumerate().collect(), at: 0 };
        if lines.next_line() != Some(HEAD) {
            return Err(wrong(1, "it does not begin as a record does"));
        }
        let made = Date::parse(lines.value("made")?).map_err(|_| lines.wrong("no date"))?;
        let year = lines.value("year")?.parse().map_err(|_| lines.wrong("no year"))?;
        let foreseen =
            if lines.is("projection") { projection(&mut lines)? } else { claim(&mut lines)? };
        let entry = Entry { made, year, foreseen };
        if Date::year_end(year).is_none() {
            return Err(wrong(3, "no year"));
        }
        // Whatever was read loosely (a sign, a zero, an end of line) shows here.
        if entry.text() != text {
            return Err(wrong(lines.at, "it is not written as this program writes it"));
        }
        Ok(entry)
    }

    /// Reads text that is kept under its hash.
    ///
    /// # Errors
    /// [`OutlookError::RecordHash`] if it was changed since, or as [`Entry::parse`].
    pub fn read(name: &str, text: &str) -> Result<Entry, OutlookError> {
        let found = hex::encode(Sha256::digest(text));
        if found != name {
            return Err(OutlookError::RecordHash { expected: name.to_string(), found });
        }
        Entry::parse(text)
    }
}

/// What became of an entry by a day, as the table has it.
#[must_use]
pub fn judge(entry: &Entry, facts: &Facts, today: Date) -> Verdict {
    let Some(due) = Date::year_end(entry.year) else {
        return Verdict::Unmeasured { why: format!("there is no year {}", entry.year) };
    };
    if today < due {
        return Verdict::Open { due: due.to_string() };
    }
    let observed = |quantity: Quantity| match quantity {
        Quantity::CryptoCap => facts.at(Series::CryptoCap, due.quarter()?),
        Quantity::Stablecoins => facts.at(Series::Stablecoins, due.quarter()?),
        Quantity::MachineGdp | Quantity::StoreOfValue | Quantity::Networks => None,
    };
    let lacking = |quantity: Quantity| Verdict::Unmeasured {
        why: format!("the table has no figure of {} for {due}", quantity.name()),
    };
    match &entry.foreseen {
        Foreseen::Projection { quantiles, .. } => {
            // What can be measured; today that is what the market is worth.
            let measured = quantiles.iter().find_map(|(q, v)| Some((v, observed(*q)?)));
            let Some((quantiles, observed)) = measured else { return lacking(Quantity::CryptoCap) };
            let score = weighted_interval_score(quantiles, observed);
            let held = (quantiles[1]..=quantiles[LEVELS.len() - 2]).contains(&observed);
            Verdict::Scored { observed, score, held }
        }
        Foreseen::Claim { quantity, low, high, .. } => {
            let Some(observed) = observed(*quantity) else { return lacking(*quantity) };
            let off = if observed < *low {
                (low / observed).ln()
            } else {
                high.filter(|high| observed > *high).map_or(0.0, |high| (observed / high).ln())
            };
            Verdict::Scored { observed, score: off, held: off == 0.0 }
        }
    }
}

/// Twice the mean pinball loss of the quantiles' logarithms: Bracher et al. 2021, eq. 3.
fn weighted_interval_score(quantiles: &Quantiles, observed: f64) -> f64 {
    let losses =
        LEVELS.iter().zip(quantiles).map(|(level, q)| pinball(*level, q.ln(), observed.ln()));
    2.0 * losses.sum::<f64>() / LEVELS.len() as f64
}

/// To five significant digits, as the text has it.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

fn wrong(line: usize, why: &str) -> OutlookError {
    OutlookError::Record { line, why: why.to_string() }
}

/// Lines that are taken one by one.
struct Lines<'a> {
    lines: Vec<(usize, &'a str)>,
    at: usize,
}

impl<'a> Lines<'a> {
    fn next_line(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.at)?.1;
        self.at += 1;
        Some(line)
    }

    fn wrong(&self, why: &str) -> OutlookError {
        wrong(self.at, why)
    }

    /// Whether the next line has this key.
    fn is(&self, key: &str) -> bool {
        self.lines.get(self.at).and_then(|l| l.1.split_once(' ')).is_some_and(|l| l.0 == key)
    }

    /// The rest of the next line, which must have this key.
    fn value(&mut self, key: &str) -> Result<&'a str, OutlookError> {
        let line = self.next_line().unwrap_or_default();
        line.strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or_else(|| self.wrong(&format!("`{key}` is expected")))
    }

    /// A quantity and a figure of it, after this key.
    fn figure(&mut self, key: &str) -> Result<(Quantity, f64), OutlookError> {
        let (name, value) =
            self.value(key)?.split_once(' ').ok_or_else(|| self.wrong("no figure"))?;
        let quantity = Quantity::named(name).map_err(|_| self.wrong("no such quantity"))?;
        let value: f64 = value.parse().map_err(|_| self.wrong("no number"))?;
        if !(value.is_finite() && value > 0.0) {
            return Err(self.wrong("a figure is above zero, for it is scored as a logarithm"));
        }
        Ok((quantity, value))
    }
}

fn projection(lines: &mut Lines<'_>) -> Result<Foreseen, OutlookError> {
    let model = lines.value("projection")?.to_string();
    let facts = lines.value("facts")?.to_string();
    let seed = lines.value("seed")?.parse().map_err(|_| lines.wrong("no seed"))?;
    let draws = lines.value("draws")?.parse().map_err(|_| lines.wrong("no count of draws"))?;
    let mut given = Vec::new();
    while lines.is("given") {
        given.push(lines.value("given")?.to_string());
    }
    let mut quantiles: Vec<(Quantity, Quantiles)> = Vec::new();
    while lines.is("quantile") {
        let mut values = [0.0; LEVELS.len()];
        let mut quantity = None;
        for (value, level) in values.iter_mut().zip(LEVELS) {
            let rest = lines.value("quantile")?;
            let cells: Vec<&str> = rest.split(' ').collect();
            let [name, at, figure] = cells[..] else { return Err(lines.wrong("no quantile")) };
            let named = Quantity::named(name).map_err(|_| lines.wrong("no such quantity"))?;
            if quantity.is_some_and(|known| known != named) || at != level.to_string() {
                return Err(lines.wrong("a quantile lacks before it"));
            }
            quantity = Some(named);
            *value = figure.parse::<f64>().map_err(|_| lines.wrong("no number"))?;
            if !((*value).is_finite() && *value > 0.0) {
                return Err(lines.wrong("a figure is above zero, for it is scored as a logarithm"));
            }
        }
        if values.windows(2).any(|w| w[0] > w[1]) {
            return Err(lines.wrong("quantiles ascend"));
        }
        let quantity = quantity.ok_or_else(|| lines.wrong("no quantile"))?;
        if quantiles.iter().any(|q| q.0 == quantity) {
            return Err(lines.wrong("the same quantity twice"));
        }
        quantiles.push((quantity, values));
    }
    Ok(Foreseen::Projection { model, facts, seed, draws, given, quantiles })
}

fn claim(lines: &mut Lines<'_>) -> Result<Foreseen, OutlookError> {
    let name = lines.value("claim")?.to_string();
    let words = lines.value("words")?.to_string();
    let (quantity, low) = lines.figure("least")?;
    let high = if lines.is("most") { Some(lines.figure("most")?.1) } else { None };
    Ok(Foreseen::Claim { name, quantity, low, high, words })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use proptest::prelude::*;

    use super::{Entry, Foreseen, Verdict, judge};
    use crate::driver::Drivers;
    use crate::facts::{Facts, Series};
    use crate::model::{Horizon, Quantity};
    use crate::projection::project;
    use crate::simulation::Plan;
    use crate::{Date, OutlookError};

    fn day(text: &str) -> Date {
        Date::parse(text).expect("a date")
    }

    fn entry() -> Entry {
        let plan = Plan::new(5_000, 1, NonZeroUsize::MIN).expect("a plan");
        let projection = project(&Drivers::prior(), Horizon::new(2028).expect("a year"), plan);
        Entry::of(day("2026-11-23"), &projection, vec!["adoption=0.6".to_string()])
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_and_a_changed_one_is_not() {
        for entry in Entry::first().into_iter().chain([entry()]) {
            let text = entry.text();
            assert_eq!(Entry::read(&entry.hash(), &text), Ok(entry.clone()));
            let changed = text.replacen("year 20", "year 21", 1);
            let error = Entry::read(&entry.hash(), &changed).expect_err("it was changed");
            assert!(matches!(error, OutlookError::RecordHash { .. }), "{error}");
        }
    }

    #[test]
    fn what_this_program_does_not_write_is_refused() {
        let text = entry().text();
        for changed in [
            text.replace('\n', "\r\n"),
            text.trim_end().to_string(),
            format!("{text}\n"),
            format!("{text}given hope=1\n"),
            text.replace("seed 1", "seed +1"),
            text.replace("made 2026-11-23", "made 2026-02-30"),
            text.replace("year 2028", "year 99999"),
            text.replace("record 1", "record 2"),
            text.replace("quantile machine_gdp 0.5 ", "quantile machine_gdp 0.51 "),
            String::new(),
            "x".repeat(20_000),
        ] {
            assert!(Entry::parse(&changed).is_err(), "{changed:.80}");
        }
    }

    #[test]
    fn an_entry_is_open_until_its_date_and_unmeasured_without_a_figure() {
        let facts = Facts::bundled();
        let first = Entry::first();
        for entry in &first {
            assert!(matches!(judge(entry, &facts, day("2029-12-31")), Verdict::Open { .. }));
            let later = judge(entry, &facts, day("2035-01-01"));
            assert!(matches!(later, Verdict::Unmeasured { .. }), "{later:?}");
        }
    }

    #[test]
    fn a_miss_is_scored_by_how_far_it_missed() {
        let facts = Facts::bundled();
        let observed = facts
            .at(Series::CryptoCap, day("2025-12-31").quarter().expect("a quarter"))
            .expect("it is in the table");
        let claim = |low: f64, high: Option<f64>| Entry {
            made: day("2024-05-31"),
            year: 2025,
            foreseen: Foreseen::Claim {
                name: "test".to_string(),
                quantity: Quantity::CryptoCap,
                low,
                high,
                words: "a test".to_string(),
            },
        };
        let score = |entry: &Entry| match judge(entry, &facts, day("2026-01-01")) {
            Verdict::Scored { score, held, .. } => (score, held),
            other => panic!("{other:?}"),
        };
        assert_eq!(score(&claim(observed * 0.9, None)), (0.0, true));
        let (off, held) = score(&claim(observed * 2.0, None));
        assert!(!held && (off - 2f64.ln()).abs() < 1e-9);
        let (off, held) = score(&claim(observed * 0.1, Some(observed / 3.0)));
        assert!(!held && (off - 3f64.ln()).abs() < 1e-9);
        // A projection that was sure of what came scores better than one that was not.
        let of = |spread: f64| {
            let quantiles: [f64; 9] =
                std::array::from_fn(|i| observed * (spread * (i as f64 - 4.0)).exp());
            Entry {
                made: day("2024-05-31"),
                year: 2025,
                foreseen: Foreseen::Projection {
                    model: "test".to_string(),
                    facts: String::new(),
                    seed: 0,
                    draws: 0,
                    given: Vec::new(),
                    quantiles: vec![(Quantity::CryptoCap, quantiles)],
                },
            }
        };
        let ((sure, held), (unsure, _)) = (score(&of(0.1)), score(&of(0.5)));
        assert!(held && sure < unsure);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\PC{0,200}", cut in 0usize..400) {
            let _ = Entry::parse(&text);
            let whole = Entry::first()[0].text();
            let end = whole.char_indices().map(|c| c.0).nth(cut).unwrap_or(whole.len());
            let _ = Entry::parse(&whole[..end]);
            let _ = Entry::parse(&format!("{}{text}", &whole[..end]));
        }
    }
}
