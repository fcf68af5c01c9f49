//! The drivers: what the projection depends on, each a distribution with its source.
//!
//! The parsimonious model has fourteen parameters. Gold's yearly noise is drawn apart from its drift here,
//! so that one can ask about debasement by itself; [`Driver::Speed`] only shapes the way to the anchor
//! year; and [`Driver::Growth`] and [`Driver::Flight`] are fixed until somebody moves them.
//!
//! Distributions are of the **anchor year** [`ANCHOR`] where a driver moves in time; [`crate::Model`]
//! says how it gets there. What a source leaves open was chosen here, and `why` says which published
//! figure pinned it. All are opinions: move them with [`Drivers::fix`] or [`Drivers::spread`].

use std::fmt;

use serde::Serialize;

use crate::distribution::Distribution;
use crate::{OutlookError, number};

/// The year for which the drivers' distributions are stated.
pub const ANCHOR: i32 = 2034;

/// How many drivers there are.
pub const DRIVERS: usize = 18;

/// What the projection depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// φ: share of world GDP made of tasks that machines could do.
    Exposure,
    /// A: share of those tasks done by machines in the anchor year.
    Adoption,
    /// c: share of the tasks' cost that is saved.
    Saving,
    /// μ: capital that follows.
    Deepening,
    /// k: steepness of adoption's logistic, per year.
    Speed,
    /// g: growth of world GDP, per year.
    Growth,
    /// χ: share of machine GDP settled on chains in the anchor year.
    Settled,
    /// κ: gross payments per unit of value added.
    Turnover,
    /// V: how often a stablecoin is paid on in a year.
    Velocity,
    /// K: stablecoins held for trading and saving in the anchor year, USD.
    Holdings,
    /// τ: networks' share of what is paid.
    Take,
    /// m: what a network is worth, in years of its revenue.
    Multiple,
    /// gM: drift of gold's value, per year.
    Debasement,
    /// f: what capital in flight adds to gold's drift and to crypto's share of it, per year.
    Flight,
    /// ε: gold's luck, in standard deviations.
    Gold,
    /// θ̄: where the store of value's share of gold's value tends to.
    Share,
    /// L: worth of all other coins, USD.
    Legacy,
    /// u: mood of the market, in standard deviations.
    Sentiment,
}

/// What a driver is, for people.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Describe {
    /// Which driver.
    pub driver: Driver,
    /// What one types.
    pub name: &'static str,
    /// What it is, in a few words.
    pub meaning: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// How it is distributed before anybody moves it.
    pub prior: Distribution,
    /// The least and the greatest value that make sense.
    pub range: (f64, f64),
    /// Where that is from.
    pub why: &'static str,
}

/// How a driver's value reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share or a rate: `35%`.
    Share,
    /// US dollars: `1.0T`.
    Dollars,
    /// A plain number.
    Number,
}

/// The drivers as somebody holds them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drivers([Distribution; DRIVERS]);

/// One value for each driver, in the order of [`Driver::ALL`].
pub type Values = [f64; DRIVERS];

const fn triangular(least: f64, mode: f64, most: f64) -> Distribution {
    Distribution::Triangular { least, mode, most }
}

/// All drivers, in the order in which they are drawn.
const ALL: [Describe; DRIVERS] = [
    Describe {
        driver: Driver::Exposure,
        name: "exposure",
        meaning: "share of GDP that machines could do",
        unit: Unit::Share,
        prior: triangular(0.10, 0.20, 0.40),
        range: (0.0, 1.0),
        why: "Acemoglu 2024 (NBER w32487) after Eloundou et al. 2023: 19.9 %; bounds ours",
    },
    Describe {
        driver: Driver::Adoption,
        name: "adoption",
        meaning: "share of it that they do in 2034",
        unit: Unit::Share,
        prior: triangular(0.10, 0.35, 0.80),
        range: (0.0, 1.0),
        why: "Acemoglu 2024: 23 % feasible in ten years; mode and upper bound ours",
    },
    Describe {
        driver: Driver::Saving,
        name: "saving",
        meaning: "share of the tasks' cost saved",
        unit: Unit::Share,
        prior: triangular(0.08, 0.144, 0.40),
        range: (0.0, 1.0),
        why: "Acemoglu 2024: 14.4 % of cost (27 % of labour cost); upper bound ours",
    },
    Describe {
        driver: Driver::Deepening,
        name: "deepening",
        meaning: "capital that follows productivity",
        unit: Unit::Number,
        prior: triangular(1.0, 1.25, 1.75),
        range: (0.5, 3.0),
        why: "ours; Acemoglu 2024 has GDP 1.4 to 1.8 times TFP with investment",
    },
    Describe {
        driver: Driver::Speed,
        name: "speed",
        meaning: "steepness of adoption, per year",
        unit: Unit::Number,
        prior: triangular(0.3, 0.5, 0.8),
        range: (0.01, 3.0),
        why: "ours; shapes the years around 2030 only, nothing in 2034",
    },
    Describe {
        driver: Driver::Growth,
        name: "growth",
        meaning: "growth of world GDP, per year",
        unit: Unit::Share,
        prior: Distribution::Fixed(0.03),
        range: (-0.10, 0.30),
        why: "3 % in prices of 2023, fixed, on 105.4 trillion (World Bank 2023)",
    },
    Describe {
        driver: Driver::Settled,
        name: "settled",
        meaning: "share of it settled on chains in 2034",
        unit: Unit::Share,
        prior: triangular(0.01, 0.05, 0.30),
        range: (0.0, 1.0),
        why: "ours, and the weakest: 0.001 to 0.02 % today, as it is measured (early 2026)",
    },
    Describe {
        driver: Driver::Turnover,
        name: "turnover",
        meaning: "payments per unit of value added",
        unit: Unit::Number,
        prior: triangular(1.5, 2.0, 3.0),
        range: (1.0, 100.0),
        why: "gross output per value added of national accounts; this economy measures its own",
    },
    Describe {
        driver: Driver::Velocity,
        name: "velocity",
        meaning: "payments per stablecoin and year",
        unit: Unit::Number,
        prior: triangular(6.0, 12.0, 30.0),
        range: (0.1, 100_000.0),
        why: "ours; this economy measures its own",
    },
    Describe {
        driver: Driver::Holdings,
        name: "holdings",
        meaning: "stablecoins held, not paid, in 2034",
        unit: Unit::Dollars,
        prior: Distribution::LogNormal { median: 1.0e12, deviation: 0.7, cap: f64::INFINITY },
        range: (1.0e9, 1.0e14),
        why: "median of Citi's 2030 scenarios (0.5, 1.9, 4.0) halved for what pays; spread pinned by its rank R² .05",
    },
    Describe {
        driver: Driver::Take,
        name: "take",
        meaning: "networks' share of payments",
        unit: Unit::Share,
        prior: triangular(0.002, 0.008, 0.02),
        range: (0.0, 0.5),
        why: "ours, between stablecoin transfers and card schemes; this economy measures its own",
    },
    Describe {
        driver: Driver::Multiple,
        name: "multiple",
        meaning: "network's worth in years of revenue",
        unit: Unit::Number,
        prior: triangular(15.0, 40.0, 100.0),
        range: (1.0, 1_000.0),
        why: "ours, from listed payment networks to young growth firms",
    },
    Describe {
        driver: Driver::Debasement,
        name: "debasement",
        meaning: "drift of gold's value, per year",
        unit: Unit::Share,
        prior: Distribution::Normal { mean: 0.05, deviation: 0.03 },
        range: (-0.20, 0.50),
        why: "growth of broad money, 5 % ± 3 % a year",
    },
    Describe {
        driver: Driver::Flight,
        name: "flight",
        meaning: "drift added by capital in flight",
        unit: Unit::Share,
        prior: Distribution::Fixed(0.0),
        range: (-0.20, 0.50),
        why: "none until somebody says so; offshore wealth is 12 trillion (EU Tax Observatory 2024)",
    },
    Describe {
        driver: Driver::Gold,
        name: "gold",
        meaning: "gold's luck, standard deviations",
        unit: Unit::Number,
        prior: Distribution::Normal { mean: 0.0, deviation: 1.0 },
        range: (-6.0, 6.0),
        why: "15 % a year, the order of gold's yearly volatility since 1975",
    },
    Describe {
        driver: Driver::Share,
        name: "share",
        meaning: "share of gold's value that it tends to",
        unit: Unit::Share,
        prior: Distribution::LogNormal { median: 0.12, deviation: 0.9, cap: 1.0 },
        range: (0.000_1, 1.0),
        why: "median 12 %, ln-sd .9; 6.0 % in January 2024, 4.1 % in June 2026; half of the way in 7.5 years pinned by a median worth of 3.5 trillion",
    },
    Describe {
        driver: Driver::Legacy,
        name: "legacy",
        meaning: "worth of all other coins",
        unit: Unit::Dollars,
        prior: Distribution::LogNormal { median: 0.9e12, deviation: 0.78, cap: f64::INFINITY },
        range: (1.0e9, 1.0e14),
        why: "median .9 trillion, what it was in 2026; spread pinned by its rank R² .04",
    },
    Describe {
        driver: Driver::Sentiment,
        name: "sentiment",
        meaning: "mood of the market, standard deviations",
        unit: Unit::Number,
        prior: Distribution::Normal { mean: 0.0, deviation: 1.0 },
        range: (-6.0, 6.0),
        why: "ln-sd .45, of mean one: pinned by the lower quantiles of the market's worth",
    },
];

impl Driver {
    /// All of them, in the order in which they are drawn.
    pub const ALL: [Driver; DRIVERS] = {
        let mut all = [Driver::Exposure; DRIVERS];
        let mut i = 0;
        while i < DRIVERS {
            all[i] = ALL[i].driver;
            i += 1;
        }
        all
    };

    /// What it is.
    #[must_use]
    pub fn describe(self) -> &'static Describe {
        &ALL[self.index()]
    }

    /// What one types.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.describe().name
    }

    /// Its place among [`Values`].
    #[must_use]
    pub fn index(self) -> usize {
        Driver::ALL.iter().position(|driver| *driver == self).expect("all are listed")
    }

    /// The driver of that name.
    ///
    /// # Errors
    /// [`OutlookError::UnknownDriver`] with all names.
    pub fn named(name: &str) -> Result<Driver, OutlookError> {
        ALL.iter().find(|d| d.name == name).map(|d| d.driver).ok_or_else(|| {
            let known: Vec<_> = ALL.iter().map(|d| d.name).collect();
            OutlookError::UnknownDriver {
                name: name.chars().take(40).collect(),
                known: known.join(", "),
            }
        })
    }

    /// Reads `adoption=0.6` or `adoption=60%`.
    ///
    /// # Errors
    /// [`OutlookError::Question`], [`OutlookError::UnknownDriver`], [`OutlookError::Number`].
    pub fn parse_setting(text: &str) -> Result<(Driver, f64), OutlookError> {
        let (name, value) = text.split_once('=').ok_or_else(|| OutlookError::Question {
            text: text.chars().take(80).collect(),
            form: "driver=value, as in adoption=60%",
        })?;
        Ok((Driver::named(name.trim())?, number::parse(value.trim())?))
    }
}

impl Describe {
    /// A value of this driver, as a person reads it.
    #[must_use]
    pub fn show(&self, value: f64) -> String {
        match self.unit {
            Unit::Share => number::share(value),
            Unit::Dollars => number::dollars(value),
            Unit::Number => number::plain(value),
        }
    }

    /// How it is distributed before anybody moves it, as a person reads it.
    #[must_use]
    pub fn shape(&self) -> String {
        match self.prior {
            Distribution::Fixed(value) => format!("fixed at {}", self.show(value)),
            Distribution::Triangular { least, mode, most } => {
                let [least, mode, most] = [least, mode, most].map(|value| self.show(value));
                format!("triangular {least}, {mode}, {most}")
            }
            Distribution::Normal { mean, deviation } => {
                format!("normal {} ± {}", self.show(mean), self.show(deviation))
            }
            Distribution::LogNormal { median, deviation, .. } => {
                format!("lognormal, median {}, ln-sd {deviation}", self.show(median))
            }
        }
    }
}

impl Drivers {
    /// As the sources and we see them.
    #[must_use]
    pub fn prior() -> Drivers {
        Drivers(ALL.map(|d| d.prior))
    }

    /// How one of them is distributed.
    #[must_use]
    pub fn of(&self, driver: Driver) -> Distribution {
        self.0[driver.index()]
    }

    /// The same, with one driver at one value.
    ///
    /// # Errors
    /// [`OutlookError::DriverRange`].
    pub fn fix(&self, driver: Driver, value: f64) -> Result<Drivers, OutlookError> {
        let known = driver.describe();
        let (least, most) = known.range;
        if !(value.is_finite() && (least..=most).contains(&value)) {
            return Err(OutlookError::DriverRange {
                driver: known.name,
                value: if value.is_finite() { known.show(value) } else { value.to_string() },
                least: known.show(least),
                most: known.show(most),
            });
        }
        Ok(self.spread(driver, Distribution::Fixed(value)))
    }

    /// The same, with one driver distributed otherwise.
    #[must_use]
    pub fn spread(&self, driver: Driver, distribution: Distribution) -> Drivers {
        let mut all = self.0;
        all[driver.index()] = distribution;
        Drivers(all)
    }

    /// Each driver's value at its own probability.
    #[must_use]
    pub fn at(&self, probabilities: &Values) -> Values {
        let mut values = [0.0; DRIVERS];
        for ((value, distribution), p) in values.iter_mut().zip(&self.0).zip(probabilities) {
            *value = distribution.quantile(*p);
        }
        values
    }

    /// Each driver's median.
    #[must_use]
    pub fn medians(&self) -> Values {
        self.at(&[0.5; DRIVERS])
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Figures that an economy measures itself, to put in the place of opinions. Each is optional: what is
/// not measured stays a distribution.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// κ: gross payments divided by value added.
    pub turnover: Option<f64>,
    /// V: payments in a year divided by the money that paid.
    pub velocity: Option<f64>,
    /// τ: what networks earned, divided by what was paid.
    pub take: Option<f64>,
}

impl Measured {
    /// The drivers with what was measured in place of opinions.
    ///
    /// # Errors
    /// [`OutlookError::DriverRange`] for a figure that makes no sense.
    pub fn apply(&self, drivers: &Drivers) -> Result<Drivers, OutlookError> {
        let figures = [
            (Driver::Turnover, self.turnover),
            (Driver::Velocity, self.velocity),
            (Driver::Take, self.take),
        ];
        figures.into_iter().try_fold(*drivers, |drivers, (driver, figure)| match figure {
            Some(value) => drivers.fix(driver, value),
            None => Ok(drivers),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, Driver, Drivers, Measured};

    #[test]
    fn every_driver_has_a_name_of_its_own_a_source_and_a_range_that_holds_its_median() {
        for (index, d) in ALL.iter().enumerate() {
            assert_eq!(d.driver.index(), index);
            assert_eq!(Driver::named(d.name), Ok(d.driver));
            assert!(d.why.len() > 10 && !d.meaning.is_empty());
            let (least, most) = d.range;
            assert!((least..=most).contains(&d.prior.median()), "{}", d.name);
        }
    }

    #[test]
    fn settings_are_read_as_people_write_them_and_refused_with_the_range() {
        assert_eq!(Driver::parse_setting("adoption=60%"), Ok((Driver::Adoption, 0.6)));
        assert_eq!(Driver::parse_setting("holdings = 2T"), Ok((Driver::Holdings, 2e12)));
        for wrong in ["adoption", "adoption=", "adoption=x", "hope=1", "=1", "adoption=nan"] {
            assert!(Driver::parse_setting(wrong).is_err(), "{wrong}");
        }
        let error = Drivers::prior().fix(Driver::Adoption, 1.5).expect_err("above one");
        assert_eq!(
            error.to_string(),
            "adoption = 150 % is out of range: it lies between 0 % and 100 %"
        );
        for value in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(Drivers::prior().fix(Driver::Adoption, value).is_err());
        }
    }

    #[test]
    fn what_was_measured_takes_the_place_of_opinion_and_nothing_else_moves() {
        let measured = Measured { turnover: Some(1.2), ..Measured::default() };
        let drivers = measured.apply(&Drivers::prior()).expect("in range");
        for driver in Driver::ALL {
            assert_eq!(drivers.of(driver).is_fixed(), {
                [Driver::Turnover, Driver::Growth, Driver::Flight].contains(&driver)
            });
        }
        let wrong = Measured { turnover: Some(0.5), ..Measured::default() };
        assert!(wrong.apply(&Drivers::prior()).is_err(), "payments below value added");
    }
}
