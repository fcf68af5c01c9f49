//! What a reader asks, read from the address: strict about each part, and lenient about the rest.
//!
//! The canonical address says what is held and nothing else:
//! `/outlook?horizon=2030&adoption=0.6&measured=turnover&solve=crypto_cap=1.7e13@2034`. A browser without
//! script sends every field of the form; then only the drivers that are ticked count, and the reader is sent
//! on to the canonical address.

use std::collections::BTreeSet;

use outlook::{Driver, Horizon, OutlookError, Question, Scenario, Target, number};

use crate::digits::plain;
use crate::view::OutlookView;

/// The horizon if none is asked.
pub const HORIZON: i32 = 2034;
/// The longest query that is read, bytes.
pub const LONGEST: usize = 4_096;
/// Most troubles told.
const TROUBLES: usize = 8;
/// The longest trouble told, characters.
const TROUBLE: usize = 400;

/// A question as it was asked.
pub struct Asked {
    /// What of it makes sense.
    pub question: Question,
    /// What does not, in sentences.
    pub troubles: Vec<String>,
    /// Which drivers are held at what the economy measures.
    pub measured: Vec<Driver>,
    /// Whether a form sent it.
    pub from_form: bool,
}

/// What the parts of a query say, before the drivers are held.
#[derive(Default)]
struct Said {
    settings: Vec<(Driver, f64)>,
    ticked: BTreeSet<Driver>,
    measured: Vec<Driver>,
    target: Target3,
    from_form: bool,
    troubles: Vec<String>,
    seen: BTreeSet<String>,
}

/// A target in three fields.
#[derive(Default)]
struct Target3 {
    quantity: String,
    value: String,
    year: String,
}

impl Asked {
    /// Reads a query, and what the economy measures if that is asked for.
    pub fn read(pairs: &[(String, String)], view: &OutlookView) -> Asked {
        // A year that is over in a clock that runs late is told like any other.
        let start = Horizon::new(HORIZON).expect("the model speaks of that year");
        let mut question = Question::new(start);
        let mut said = Said::default();
        for (name, value) in pairs {
            let value = value.trim();
            if let Err(error) = said.take(&mut question, name, value, view) {
                let shown = plain(name, 40);
                said.trouble(match error {
                    OutlookError::Number { .. } => format!("{shown}: {error}"),
                    _ => error.to_string(),
                });
            }
        }
        said.target_of_form(&mut question, view);
        let (settings, measured) = (said.settings.clone(), said.measured.clone());
        for (driver, value) in settings {
            if said.from_form && !said.ticked.contains(&driver) {
                continue;
            }
            if let Err(error) = question.hold(driver, value) {
                said.trouble(error.to_string());
            }
        }
        let mut held = Vec::new();
        for driver in measured {
            let found = view.measured.iter().find(|figure| figure.driver == driver);
            let value = found.map(|figure| figure.value.clone());
            match value {
                Some(Ok(value)) => match question.hold(driver, value) {
                    Ok(()) => held.push(driver),
                    Err(error) => said.trouble(error.to_string()),
                },
                Some(Err(why)) => said.trouble(format!("{driver} is not measured: {why}")),
                None => said.trouble(format!("{driver} is not measured by any economy")),
            }
        }
        Asked { question, troubles: said.troubles, measured: held, from_form: said.from_form }
    }

    /// The canonical address of this question, with other parts in the place of some.
    pub fn path(&self) -> String {
        self.path_in(self.question.scenario)
    }

    /// The same in another scenario.
    pub fn path_in(&self, scenario: Scenario) -> String {
        let mut parts = Vec::new();
        if self.question.horizon.year() != HORIZON {
            parts.push(format!("horizon={}", self.question.horizon.year()));
        }
        if scenario != Scenario::Base {
            parts.push(format!("scenario={}", scenario.name()));
        }
        for (driver, value) in self.question.all_held() {
            parts.push(if self.measured.contains(&driver) {
                format!("measured={driver}")
            } else {
                format!("{driver}={}", written(value))
            });
        }
        if let Some(target) = &self.question.target {
            let (quantity, year) = (target.quantity.name(), target.horizon.year());
            parts.push(format!("solve={quantity}={}@{year}", written(target.value)));
        }
        if parts.is_empty() { "/outlook".into() } else { format!("/outlook?{}", parts.join("&")) }
    }
}

/// A number as an address has it, read back as the same bits.
pub fn written(value: f64) -> String {
    if value.abs() >= 1e9 { format!("{value:e}") } else { value.to_string() }
}

impl Said {
    /// Takes one part of the query.
    fn take(
        &mut self,
        question: &mut Question,
        name: &str,
        value: &str,
        view: &OutlookView,
    ) -> Result<(), OutlookError> {
        if value.is_empty() {
            return Ok(());
        }
        let many = ["hold", "measured"].contains(&name);
        if !many && !self.seen.insert(name.to_string()) {
            self.trouble(format!("{} was given twice", plain(name, 40)));
            return Ok(());
        }
        match name {
            "form" => self.from_form = true,
            "hold" => {
                self.ticked.insert(Driver::named(value)?);
            }
            "horizon" => {
                let year = value.parse().map_err(|_| OutlookError::Number { text: cut(value) })?;
                question.horizon = Horizon::asked_on(year, view.today)?;
            }
            "scenario" => question.scenario = Scenario::named(value)?,
            "measured" => {
                let driver = Driver::named(value)?;
                if !self.measured.contains(&driver) {
                    self.measured.push(driver);
                }
            }
            "solve" => question.target = Some(Target::asked_on(value, view.today)?),
            "quantity" => self.target.quantity = cut(value),
            "value" => self.target.value = cut(value),
            "year" => self.target.year = cut(value),
            _ => self.settings.push((Driver::named(name)?, number::parse(value)?)),
        }
        Ok(())
    }

    /// A target whose three parts came from a form; its value decides whether anything was asked.
    fn target_of_form(&mut self, question: &mut Question, view: &OutlookView) {
        if self.target.value.is_empty() {
            return;
        }
        let Target3 { quantity, value, year } = &self.target;
        match Target::asked_on(&format!("{quantity}={value}@{year}"), view.today) {
            Ok(target) => question.target = Some(target),
            Err(error) => self.trouble(error.to_string()),
        }
    }

    fn trouble(&mut self, told: String) {
        if self.troubles.len() < TROUBLES {
            self.troubles.push(plain(&told, TROUBLE));
        }
    }
}

fn cut(text: &str) -> String {
    plain(text, 40)
}

#[cfg(test)]
mod tests {
    use outlook::{Date, Driver};

    use super::Asked;
    use crate::view::{MeasuredView, OutlookView};

    fn read(query: &str) -> Asked {
        let view = OutlookView {
            today: Date::parse("2026-11-23").expect("a date"),
            measured: vec![
                MeasuredView {
                    driver: Driver::Turnover,
                    means: "payments over value added".into(),
                    value: Ok(1.52),
                },
                MeasuredView {
                    driver: Driver::Velocity,
                    means: "payments over money".into(),
                    value: Err("too short".into()),
                },
            ],
            record: Ok(Vec::new()),
        };
        let pairs: Vec<(String, String)> = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Asked::read(&pairs, &view)
    }

    #[test]
    fn a_canonical_address_is_read_back_as_itself() {
        for path in [
            "/outlook",
            "/outlook?horizon=2030",
            "/outlook?scenario=debasement&adoption=0.6&share=0.3",
            "/outlook?measured=turnover&holdings=1.5e12",
            "/outlook?debasement=-0.05&solve=crypto_cap=1.7e13@2034",
        ] {
            let asked = read(path.split_once('?').map_or("", |parts| parts.1));
            assert_eq!(asked.troubles, Vec::<String>::new(), "{path}");
            assert_eq!(asked.path(), path);
        }
    }

    #[test]
    fn of_a_form_only_ticked_drivers_count() {
        let form = "form=1&horizon=2034&scenario=base&hold=share&adoption=0.4&share=0.3\
                    &quantity=crypto_cap&value=17T&year=2034";
        let asked = read(form);
        assert!(asked.from_form && asked.troubles.is_empty(), "{:?}", asked.troubles);
        assert_eq!(asked.path(), "/outlook?share=0.3&solve=crypto_cap=1.7e13@2034");
        assert!(read("form=1&quantity=crypto_cap&value=&year=2034").question.target.is_none());
    }

    #[test]
    fn what_makes_no_sense_is_told_and_the_rest_counts() {
        for (query, word) in [
            ("adoption=150%", "between 0 % and 100 %"),
            ("adoption=nan", "adoption: `nan` is no number"),
            ("adoption=.2&adoption=.3", "adoption was given twice"),
            ("hope=1", "there is no driver `hope`"),
            ("horizon=1999", "the horizon 1999 is not between"),
            ("horizon=x", "horizon: `x` is no number"),
            ("scenario=hope", "there is no scenario"),
            ("solve=crypto_cap", "crypto_cap=17e12@2034"),
            ("solve=crypto_cap=1@1999", "1999"),
            ("form=1&quantity=tulips&value=1&year=2034", "there is no quantity `tulips`"),
            ("form=1&value=-1T&year=2034&quantity=crypto_cap", "above zero"),
            ("measured=velocity", "too short"),
            ("measured=share", "not measured by any economy"),
            ("turnover=2&measured=turnover", "turnover was given twice"),
            ("hold=hope", "there is no driver"),
        ] {
            let asked = read(&format!("share=0.3&{query}"));
            let [told] = &asked.troubles[..] else { panic!("{query}: {:?}", asked.troubles) };
            assert!(told.contains(word), "{query}: {told}");
            let counts = asked.from_form || asked.question.held(Driver::Share) == Some(0.3);
            assert!(counts, "{query}");
        }
        let many: String = (0..100).map(|n| format!("d{n}=1&")).collect();
        assert_eq!(read(&many).troubles.len(), 8);
    }
}
