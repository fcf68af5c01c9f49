//! The parsimonious model: machine GDP, and what the crypto market is worth, in six equations.
//!
//! With `t` years since [`START`] and `T` = [`ANCHOR`] − [`START`]:
//!
//! 1. `dY_t = Y₀ (1+g)^(year−2023) · φ · A_t · c · μ`, `A_t = Ā / (1 + exp(−k (year − 2030)))`. This is
//!    Hulten's theorem, as Acemoglu 2024 (NBER w32487) applies it: the gain in productivity is the
//!    share of GDP of the affected tasks times their saving in cost.
//! 2. `Q = χ_t · κ · dY`: what of it is paid on chains, gross.
//! 3. `S = Q / V + K_t`: stablecoins, by the equation of exchange (Fisher 1911), and those that lie still.
//! 4. `N = τ · Q · m`: what networks are worth that take a share of it.
//! 5. `B = θ_t · G_t`, `d ln G = g_M + f + 15 % ε`, `θ_t = θ₀ + (θ̄ e^(f t) − θ₀)(1 − 2^(−t/7.5))`: the store
//!    of value, as a share of gold's worth.
//! 6. `C = (B + N + L_t) · exp(u_t) + S`, with `exp(u)` of mean one.
//!
//! Distributions are stated for [`ANCHOR`]. Between today and then `χ` and `K` move geometrically, the
//! spread of `L` grows with the square root of time, and that of `u` towards its .45 within about a year.
//! After the anchor year `K` grows with world GDP, and `χ` and `A` stay below one.
//!
//! Money is counted in US dollars, floats throughout: nothing here is anybody's money.

use serde::Serialize;

use crate::driver::{ANCHOR, Driver, Values};
use crate::{OutlookError, distribution, number};

/// The year of the facts from which the model starts.
pub const START: i32 = 2026;
/// The last year that can be asked for: a prior for 2034 says little of the years far behind it.
pub const LAST: i32 = 2050;

/// World GDP of 2023, USD (World Bank NY.GDP.MKTP.CD, WLD).
const WORLD_GDP_2023: f64 = 105.435e12;
/// The middle of adoption's logistic.
const ADOPTION_MIDDLE: f64 = 2030.0;
/// χ in [`START`]: between the measured 1e-5 and 2e-4 of 3 trillion (early 2026).
const SETTLED_NOW: f64 = 1.0e-4;
/// K in [`START`]: DefiLlama's 307 billion of 2026-08-20.
const HOLDINGS_NOW: f64 = 0.307e12;
/// Gold above ground in [`START`], USD: 219,890 t (end of 2025) at 4,000 USD an ounce.
const GOLD_NOW: f64 = 28.3e12;
/// Gold's standard deviation of a year.
const GOLD_DEVIATION: f64 = 0.15;
/// θ in [`START`]: bitcoin's worth as a share of gold's in June 2026.
const SHARE_NOW: f64 = 0.041;
/// In so many years θ goes half of its way. Pinned, like the spreads of K and L, by the published quantiles of
/// C in 2034 and a median store of value of 3.5 trillion.
const SHARE_HALF_LIFE: f64 = 7.5;
/// Standard deviation of u once the present mood is forgotten.
const SENTIMENT_DEVIATION: f64 = 0.45;

/// What one draw of the drivers gives in one year, USD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// dY: what machines add to world GDP.
    pub machine_gdp: f64,
    /// C: what all crypto assets are worth.
    pub crypto_cap: f64,
    /// B: of it the store of value, before the market's mood.
    pub store_of_value: f64,
    /// S: of it stablecoins.
    pub stablecoins: f64,
    /// N: of it networks on which machines pay, before the mood.
    pub networks: f64,
    /// L: of it all other coins, before the mood.
    pub legacy: f64,
    /// θ: the store of value's share of gold's worth; a share.
    pub share: f64,
}

/// What can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// dY.
    MachineGdp,
    /// C.
    CryptoCap,
    /// B.
    StoreOfValue,
    /// S.
    Stablecoins,
    /// N.
    Networks,
}

impl Quantity {
    /// All of them.
    pub const ALL: [Quantity; 5] = [
        Quantity::MachineGdp,
        Quantity::CryptoCap,
        Quantity::StoreOfValue,
        Quantity::Stablecoins,
        Quantity::Networks,
    ];

    /// What one types.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Quantity::MachineGdp => "machine_gdp",
            Quantity::CryptoCap => "crypto_cap",
            Quantity::StoreOfValue => "store_of_value",
            Quantity::Stablecoins => "stablecoins",
            Quantity::Networks => "networks",
        }
    }

    /// The quantity of that name.
    ///
    /// # Errors
    /// [`OutlookError::UnknownQuantity`] with all names.
    pub fn named(name: &str) -> Result<Quantity, OutlookError> {
        Quantity::ALL.into_iter().find(|q| q.name() == name).ok_or_else(|| {
            OutlookError::UnknownQuantity {
                name: name.chars().take(40).collect(),
                known: Quantity::ALL.map(Quantity::name).join(", "),
            }
        })
    }

    /// This quantity of an outcome, USD.
    #[must_use]
    pub const fn of(self, outcome: &Outcome) -> f64 {
        match self {
            Quantity::MachineGdp => outcome.machine_gdp,
            Quantity::CryptoCap => outcome.crypto_cap,
            Quantity::StoreOfValue => outcome.store_of_value,
            Quantity::Stablecoins => outcome.stablecoins,
            Quantity::Networks => outcome.networks,
        }
    }
}

/// A year that the model speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Horizon(i32);

impl Horizon {
    /// The end of that year.
    ///
    /// # Errors
    /// [`OutlookError::Horizon`] for a year that is not after [`START`], or is after [`LAST`].
    pub fn new(year: i32) -> Result<Horizon, OutlookError> {
        if (START + 1..=LAST).contains(&year) {
            Ok(Horizon(year))
        } else {
            Err(OutlookError::Horizon { year, first: START + 1, last: LAST })
        }
    }

    /// The year.
    #[must_use]
    pub const fn year(self) -> i32 {
        self.0
    }

    /// The years from the first that can be projected to this one.
    pub fn way(self) -> impl Iterator<Item = Horizon> {
        (START + 1..=self.0).map(Horizon)
    }
}

/// A target: this quantity is to reach this much by the end of this year.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// What.
    pub quantity: Quantity,
    /// How much, USD; above zero and finite.
    pub value: f64,
    /// When.
    pub horizon: Horizon,
}

impl Target {
    /// Reads `crypto_cap=17e12@2034`.
    ///
    /// # Errors
    /// [`OutlookError::Question`], or what is wrong with one of its parts.
    pub fn parse(text: &str) -> Result<Target, OutlookError> {
        let form = || OutlookError::Question {
            text: text.chars().take(80).collect(),
            form: "quantity=value@year, as in crypto_cap=17e12@2034",
        };
        let (name, rest) = text.split_once('=').ok_or_else(form)?;
        let (value, year) = rest.split_once('@').ok_or_else(form)?;
        let quantity = Quantity::named(name.trim())?;
        let value = number::parse(value.trim())?;
        let horizon = Horizon::new(year.trim().parse().map_err(|_| form())?)?;
        if value <= 0.0 {
            return Err(OutlookError::Target { quantity: quantity.name(), value });
        }
        Ok(Target { quantity, value, horizon })
    }
}

/// The equations at the end of one year, for one draw of the drivers.
#[must_use]
pub fn outcome(values: &Values, horizon: Horizon) -> Outcome {
    Year::new(horizon).outcome(values)
}

/// What of the equations depends on the year alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Year {
    year: f64,
    /// Years since the start.
    t: f64,
    /// t / T, and not above one.
    way: f64,
    /// Years after the anchor.
    beyond: f64,
    /// 1 − 2^(−t/7.5).
    converged: f64,
    sentiment: f64,
}

impl Year {
    pub(crate) fn new(horizon: Horizon) -> Year {
        let year = f64::from(horizon.year());
        let t = year - f64::from(START);
        let span = f64::from(ANCHOR - START);
        Year {
            year,
            t,
            way: (t / span).min(1.0),
            beyond: (t - span).max(0.0),
            converged: 1.0 - (-t / SHARE_HALF_LIFE).exp2(),
            // A stationary process that forgets within about a year.
            sentiment: SENTIMENT_DEVIATION * (1.0 - (-2.0 * t).exp()).sqrt(),
        }
    }

    pub(crate) fn outcome(&self, values: &Values) -> Outcome {
        let of = |driver: Driver| values[driver as usize];
        let growth = 1.0 + of(Driver::Growth);
        let logistic =
            |year: f64| 1.0 / (1.0 + (-of(Driver::Speed) * (year - ADOPTION_MIDDLE)).exp());
        // Ā follows from the adoption of the anchor year.
        let adoption =
            (of(Driver::Adoption) * logistic(self.year) / logistic(f64::from(ANCHOR))).min(1.0);
        let machine_gdp = WORLD_GDP_2023
            * growth.powf(self.year - 2023.0)
            * of(Driver::Exposure)
            * adoption
            * of(Driver::Saving)
            * of(Driver::Deepening);

        let settled = between(SETTLED_NOW, of(Driver::Settled), self.way);
        let paid = settled * of(Driver::Turnover) * machine_gdp;
        let holdings =
            between(HOLDINGS_NOW, of(Driver::Holdings), self.way) * growth.powf(self.beyond);
        let stablecoins = paid / of(Driver::Velocity) + holdings;
        let networks = of(Driver::Take) * paid * of(Driver::Multiple);

        let drift = of(Driver::Debasement) + of(Driver::Flight);
        let gold =
            GOLD_NOW * (drift * self.t + GOLD_DEVIATION * self.t.sqrt() * of(Driver::Gold)).exp();
        let tends_to = (of(Driver::Share) * (of(Driver::Flight) * self.t).exp()).min(1.0);
        let share = SHARE_NOW + (tends_to - SHARE_NOW) * self.converged;
        let store_of_value = share * gold;

        let median = LEGACY_MEDIAN;
        let legacy = median * (of(Driver::Legacy) / median).powf(self.way.sqrt());
        let mood = self.sentiment * of(Driver::Sentiment) - 0.5 * self.sentiment.powi(2);
        let crypto_cap = (store_of_value + networks + legacy) * mood.exp() + stablecoins;
        Outcome { machine_gdp, crypto_cap, store_of_value, stablecoins, networks, legacy, share }
    }
}

/// What all other coins were worth in [`START`]: what is left of 2.48 trillion (2026-08-20).
const LEGACY_MEDIAN: f64 = 0.9e12;

/// On the geometric way from one value to another; zero stays zero.
fn between(now: f64, then: f64, way: f64) -> f64 {
    if then <= 0.0 { now * (1.0 - way) } else { now * (then / now).powf(way) }
}

/// ln of what is paid on chains divided by velocity, as mean and variance: the money that machine payments
/// alone need in the anchor year. Exact in its first two moments, since the logarithms add.
#[must_use]
pub(crate) fn payments_money(drivers: &crate::Drivers) -> (f64, f64) {
    let plus = [
        Driver::Exposure,
        Driver::Adoption,
        Driver::Saving,
        Driver::Deepening,
        Driver::Settled,
        Driver::Turnover,
    ];
    let growth = 1.0 + drivers.of(Driver::Growth).median();
    let gdp = WORLD_GDP_2023 * growth.powi(ANCHOR - 2023);
    let (velocity, spread) = drivers.of(Driver::Velocity).log_moments();
    plus.iter().fold((gdp.ln() - velocity, spread), |(mean, variance), driver| {
        let (m, v) = distribution::Distribution::log_moments(&drivers.of(*driver));
        (mean + m, variance + v)
    })
}

#[cfg(test)]
mod tests {
    use super::{Horizon, LAST, START, Target, outcome};
    use crate::driver::{Driver, Drivers};

    #[test]
    fn acemoglu_s_arithmetic_gives_his_two_thirds_of_a_percent() {
        // NBER w32487: 19.9 % exposed × 23 % feasible × 14.4 % saved = 0.66 % of TFP in ten years.
        let tfp = 0.199 * 0.23 * 0.144;
        assert!((tfp - 0.0066f64).abs() < 0.00005, "{tfp}");
        let mut values = Drivers::prior().medians();
        for (driver, value) in [
            (Driver::Exposure, 0.199),
            (Driver::Adoption, 0.23),
            (Driver::Saving, 0.144),
            (Driver::Deepening, 1.0),
        ] {
            values[driver.index()] = value;
        }
        let gdp = outcome(&values, Horizon::new(2034).expect("a year")).machine_gdp;
        assert!((gdp - 0.96e12).abs() < 0.01e12, "0.96 trillion of 2034's GDP, and not {gdp}");
        // With the investment that follows, his GDP of 0.93 to 1.16 % is 1.4 to 1.7 trillion.
        values[Driver::Deepening.index()] = 1.75;
        let gdp = outcome(&values, Horizon::new(2034).expect("a year")).machine_gdp;
        assert!((1.4e12..1.75e12).contains(&gdp), "{gdp}");
    }

    #[test]
    fn the_order_of_the_drivers_is_that_of_their_enum() {
        for driver in Driver::ALL {
            assert_eq!(driver as usize, driver.index());
        }
    }

    #[test]
    fn the_market_adds_up_and_no_part_is_negative() {
        let values = Drivers::prior().medians();
        for year in START + 1..=LAST {
            let o = outcome(&values, Horizon::new(year).expect("a year"));
            let parts = [o.machine_gdp, o.store_of_value, o.stablecoins, o.networks, o.legacy];
            assert!(parts.iter().all(|part| part.is_finite() && *part > 0.0), "{year}: {o:?}");
            assert!(o.crypto_cap > o.stablecoins && o.share <= 1.0);
        }
    }

    #[test]
    fn a_share_of_nothing_settled_needs_no_money_to_pay_with() {
        let mut values = Drivers::prior().medians();
        values[Driver::Settled.index()] = 0.0;
        let o = outcome(&values, Horizon::new(2034).expect("a year"));
        assert_eq!(o.networks, 0.0);
        assert!(o.crypto_cap.is_finite());
    }

    #[test]
    fn horizons_in_the_past_and_far_away_are_refused() {
        for year in [i32::MIN, 0, 1999, START, LAST + 1, i32::MAX] {
            assert!(Horizon::new(year).is_err(), "{year}");
        }
        assert_eq!(Horizon::new(2034).expect("a year").way().count(), 8);
    }

    #[test]
    fn targets_are_read_strictly() {
        let target = Target::parse("crypto_cap=17e12@2034").expect("a target");
        assert_eq!((target.value, target.horizon.year()), (17e12, 2034));
        for wrong in [
            "",
            "crypto_cap",
            "crypto_cap=17e12",
            "crypto_cap=17e12@",
            "crypto_cap=0@2034",
            "crypto_cap=-1@2034",
            "crypto_cap=1@1999",
            "tulips=1@2034",
            "crypto_cap=x@2034",
        ] {
            assert!(Target::parse(wrong).is_err(), "{wrong}");
        }
    }
}
