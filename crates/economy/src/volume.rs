//! Real GDP: what was produced, at prices that do not change.
//!
//! Chained Fisher indices over classes of tasks, with quality-adjusted prices (SNA 2008, chapter 15;
//! *Consumer Price Index Manual* 2020, chapter 8). For a class *c* in period *t*, *q* is the quantity
//! times its quality, and *p = value / q*. Between adjoining periods, over the classes that both have:
//!
//! - Laspeyres: *L = Σ p_t q_{t−1} / Σ p_{t−1} q_{t−1}*; Paasche: *P = Σ p_t q_t / Σ p_{t−1} q_t*;
//! - Fisher: *F = √(L·P)*; the price index is the product of all links, 1 in the first period;
//! - real GDP is nominal GDP divided by it: in prices of the first period.
//!
//! A class that is in one period only has no price to compare; it is deflated like the rest, and
//! [`Volume::unmatched`] says how much of the value that was. A period that has no class in common
//! with the last one in which anything was sold carries that one's deflator on, all of it unmatched.
//! Periods ought to be long enough for
//! most classes to be sold in each (a month, rather than an hour): chains over short, uneven periods
//! drift.
#![allow(clippy::float_arithmetic)] // indices, shown to people; no amount is computed here

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use money::{Amount, Asset, Timestamp};
use serde::Serialize;

use crate::{EconomyError, Ratio};

/// [`Observation::quality`] of a task as good as the reference.
pub const REFERENCE_QUALITY: u64 = 1_000_000;

/// What was sold of one class of tasks in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// The class: tasks that a buyer would take for each other, but for their quality.
    pub class: String,
    /// How many units were sold: pictures, tokens, pages.
    pub quantity: u64,
    /// How good a unit was, in millionths of the reference: measured accuracy, or what a hedonic
    /// regression says a buyer pays for it. [`REFERENCE_QUALITY`] if nobody measured it.
    pub quality: u64,
    /// What was paid for them.
    pub value: Amount,
}

/// One period at its own prices and at those of the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Volume {
    /// At prices of the period.
    pub nominal: Amount,
    /// Prices against the last period with sales, by Laspeyres; none where nothing can be compared.
    pub laspeyres: Option<f64>,
    /// Prices against the last period with sales, by Paasche; none where nothing can be compared.
    pub paasche: Option<f64>,
    /// Prices against the first period: the deflator, chained by Fisher. 1 in the first.
    pub deflator: f64,
    /// Nominal / deflator, in whole and fractional minor units of the asset.
    pub real: f64,
    /// The share of the period's value in classes that the period before did not have.
    pub unmatched: Ratio,
}

/// A class's totals in one period.
#[derive(Debug, Clone, Copy, Default)]
struct Sold {
    /// Quantity times quality, in units of reference quality.
    quantity: f64,
    /// In minor units.
    value: f64,
}

impl Sold {
    fn price(&self) -> f64 {
        self.value / self.quantity
    }
}

/// These periods, in order, at prices of the first.
///
/// # Errors
/// [`EconomyError::Observation`] if a class has no quantity, quality or value, or another asset than
/// the first.
pub fn volumes(periods: &[Vec<Observation>]) -> Result<Vec<Volume>, EconomyError> {
    let Some(asset) = periods.iter().flatten().map(|one| one.value.asset()).next() else {
        return Ok(Vec::new());
    };
    let mut volumes: Vec<Volume> = Vec::with_capacity(periods.len());
    let mut before: Option<BTreeMap<&str, Sold>> = None;
    for (period, observations) in periods.iter().enumerate() {
        let mut sold: BTreeMap<&str, Sold> = BTreeMap::new();
        let (mut nominal, mut unmatched) = (0i128, 0i128);
        for one in observations {
            let refused =
                |problem| EconomyError::Observation { period, class: one.class.clone(), problem };
            if one.value.asset() != asset {
                return Err(refused("is in another asset than the first: convert it first"));
            }
            if one.quantity == 0 || one.quality == 0 {
                return Err(refused("has no quantity or no quality, so it has no price"));
            }
            if !one.value.is_positive() {
                return Err(refused("was sold for nothing, so it has no price"));
            }
            let minor = one.value.minor();
            nominal = nominal.checked_add(minor).ok_or_else(|| refused("is too large to add"))?;
            let is_new = before.as_ref().is_some_and(|b| !b.contains_key(one.class.as_str()));
            unmatched += if is_new { minor } else { 0 };
            let sum = sold.entry(&one.class).or_default();
            sum.quantity += one.quantity as f64 * (one.quality as f64 / REFERENCE_QUALITY as f64);
            sum.value += minor as f64;
        }
        let link = before.as_ref().and_then(|before| link(before, &sold));
        let chained = volumes.last().map_or(1.0, |last| last.deflator);
        let deflator =
            link.map_or(chained, |(laspeyres, paasche)| chained * (laspeyres * paasche).sqrt());
        volumes.push(Volume {
            nominal: Amount::from_minor(asset, nominal),
            laspeyres: link.map(|(laspeyres, _)| laspeyres),
            paasche: link.map(|(_, paasche)| paasche),
            deflator,
            real: nominal as f64 / deflator,
            unmatched: Ratio { numerator: unmatched, denominator: nominal },
        });
        // Prices are compared over a gap.
        if !sold.is_empty() {
            before = Some(sold);
        }
    }
    Ok(volumes)
}

/// Laspeyres' and Paasche's price index over the classes that both periods have; none if there is
/// no such class.
fn link(before: &BTreeMap<&str, Sold>, now: &BTreeMap<&str, Sold>) -> Option<(f64, f64)> {
    let (mut old_at_new, mut old_at_old, mut new_at_new, mut new_at_old) = (0.0, 0.0, 0.0, 0.0);
    for (class, earlier) in before {
        let Some(later) = now.get(class) else { continue };
        old_at_new += later.price() * earlier.quantity;
        old_at_old += earlier.value;
        new_at_new += later.value;
        new_at_old += earlier.price() * later.quantity;
    }
    (old_at_old > 0.0).then(|| (old_at_new / old_at_old, new_at_new / new_at_old))
}

/// The most classes of tasks that are told apart; what comes later has no class.
pub const MAX_CLASSES: usize = 1_000;

/// Up to so many days prices are compared day by day, and above by stretches of [`LONG_STEP`] days.
const DAILY: u64 = 92;
/// Four weeks: each has every day of the week equally often.
const LONG_STEP: u64 = 28;
/// The most periods that are compared; past it (76 years) they become longer.
const MOST_PERIODS: u64 = 1_000;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What one flow bought, beside what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task<'a> {
    /// The class: tasks that a buyer would take for each other, but for their quality.
    pub class: &'a str,
    /// How many units were bought: calls, tokens, pages. Above zero.
    pub quantity: u64,
    /// How good a unit was, in millionths of the reference; [`REFERENCE_QUALITY`] if nobody knows.
    pub quality: u64,
}

/// A class's totals in one day, exact.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    quantity: u128,
    /// Σ quantity × quality.
    quality: u128,
    value: i128,
    flows: u64,
}

/// Quantities, qualities and values of what was sold for final use, by class and day, as they grow by
/// a flow at a time.
#[derive(Debug, Clone)]
pub struct VolumeBuilder {
    asset: Asset,
    names: Vec<String>,
    classes: HashMap<String, u32, RandomState>,
    sums: BTreeMap<(u64, u32), Sum>,
}

/// Real GDP over the life of an economy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RealGdp {
    /// The periods compared, without gaps.
    pub periods: Vec<RealPeriod>,
    /// Days in each period.
    pub days: u64,
    /// Classes of tasks that prices were compared over.
    pub classes: u64,
    /// Σ of the periods' real GDP, in minor units at prices of the first.
    pub real: f64,
    /// Nominal GDP of the same flows / `real`: how prices stand to those of the first period.
    pub deflator: f64,
    /// Value of final use whose class, quantity or quality is known / that of all of it at home.
    pub covered: Ratio,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RealPeriod {
    /// Start, inclusive.
    pub from: Timestamp,
    /// GDP at prices of the period.
    pub nominal: Amount,
    /// GDP at prices of the first period.
    pub real: f64,
    /// The indices it was deflated with.
    pub prices: Volume,
}

impl VolumeBuilder {
    /// Nothing has been sold yet.
    pub fn new(asset: Asset) -> VolumeBuilder {
        let (names, classes) = (Vec::new(), HashMap::default());
        VolumeBuilder { asset, names, classes, sums: BTreeMap::new() }
    }

    /// Notes what a flow bought for final use; `false` if it was not noted because it is of another
    /// asset, has no quantity or quality, or is of one class too many.
    pub fn add(&mut self, at: Timestamp, task: Task<'_>, value: Amount) -> bool {
        let fits = value.asset() == self.asset && value.is_positive();
        if !fits || task.quantity == 0 || task.quality == 0 {
            return false;
        }
        let Some(class) = self.class(task.class) else { return false };
        let sum = self.sums.entry((at.as_millis() / DAY_MS, class)).or_default();
        sum.quantity += u128::from(task.quantity);
        sum.quality =
            sum.quality.saturating_add(u128::from(task.quantity) * u128::from(task.quality));
        sum.value = sum.value.saturating_add(value.minor());
        sum.flows += 1;
        true
    }

    /// Takes back what [`VolumeBuilder::add`] was asked to note before.
    pub fn take_back(&mut self, at: Timestamp, task: Task<'_>, value: Amount) {
        if task.quantity == 0 || task.quality == 0 {
            return;
        }
        let Some(class) = self.classes.get(task.class) else { return };
        let day = (at.as_millis() / DAY_MS, *class);
        let Some(sum) = self.sums.get_mut(&day) else { return };
        sum.quantity = sum.quantity.saturating_sub(u128::from(task.quantity));
        sum.quality =
            sum.quality.saturating_sub(u128::from(task.quantity) * u128::from(task.quality));
        sum.value = sum.value.saturating_sub(value.minor());
        sum.flows -= 1;
        if sum.flows == 0 {
            self.sums.remove(&day);
        }
    }

    fn class(&mut self, name: &str) -> Option<u32> {
        if let Some(known) = self.classes.get(name) {
            return Some(*known);
        }
        if self.names.len() >= MAX_CLASSES {
            return None;
        }
        let number = u32::try_from(self.names.len()).expect("at most MAX_CLASSES");
        self.names.push(name.to_owned());
        self.classes.insert(name.to_owned(), number);
        Some(number)
    }

    /// Real GDP from GDP by day, which need not have every day, and what all final use at home cost.
    /// None where no flow was noted.
    ///
    /// # Errors
    /// As [`volumes`].
    pub fn real_gdp(
        &self,
        gdp_by_day: impl IntoIterator<Item = (Timestamp, Amount)>,
        final_use: Amount,
    ) -> Result<Option<RealGdp>, EconomyError> {
        let mut gdp: BTreeMap<u64, i128> = BTreeMap::new();
        for (at, amount) in gdp_by_day {
            *gdp.entry(at.as_millis() / DAY_MS).or_default() += amount.minor();
        }
        let sold = self.sums.keys().map(|(day, _)| *day);
        let Some(first) = sold.clone().next() else { return Ok(None) };
        let last = sold.chain(gdp.keys().copied()).max().unwrap_or(first);
        // What was produced before anything was noted is at the first prices too.
        let length = last - first;
        let days = if length < DAILY { 1 } else { LONG_STEP.max(length / MOST_PERIODS + 1) };
        let period = |day: u64| usize::try_from(day.saturating_sub(first) / days).unwrap_or(0);
        let mut sums: Vec<BTreeMap<u32, Sum>> = vec![BTreeMap::new(); period(last) + 1];
        for ((day, class), sum) in &self.sums {
            let all = sums[period(*day)].entry(*class).or_default();
            all.quantity += sum.quantity;
            all.quality = all.quality.saturating_add(sum.quality);
            all.value = all.value.saturating_add(sum.value);
        }
        let mut nominal = vec![0i128; sums.len()];
        for (day, minor) in &gdp {
            nominal[period(*day)] += minor;
        }
        let observations: Vec<Vec<Observation>> = sums
            .iter()
            .map(|of_period| {
                of_period.iter().map(|(class, sum)| self.observation(*class, sum)).collect()
            })
            .collect();
        let prices = volumes(&observations)?;
        let noted: i128 = self.sums.values().map(|sum| sum.value).sum();
        let periods: Vec<RealPeriod> = prices
            .into_iter()
            .zip(nominal)
            .enumerate()
            .map(|(index, (prices, minor))| RealPeriod {
                from: Timestamp::from_millis((first + index as u64 * days) * DAY_MS),
                nominal: Amount::from_minor(self.asset, minor),
                real: minor as f64 / prices.deflator,
                prices,
            })
            .collect();
        let real = periods.iter().map(|period| period.real).sum::<f64>();
        let all = gdp.values().sum::<i128>() as f64;
        Ok(Some(RealGdp {
            periods,
            days,
            classes: self.names.len() as u64,
            real,
            deflator: if real == 0.0 { 1.0 } else { all / real },
            covered: Ratio { numerator: noted, denominator: final_use.minor() },
        }))
    }

    /// A class's sums as one observation, at its mean quality.
    fn observation(&self, class: u32, sum: &Sum) -> Observation {
        let bounded = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        Observation {
            class: self.names[class as usize].clone(),
            quantity: bounded(sum.quantity),
            quality: bounded(sum.quality / sum.quantity.max(1)).max(1),
            value: Amount::from_minor(self.asset, sum.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sold(class: &str, quantity: u64, price: i128) -> Observation {
        Observation {
            class: class.to_owned(),
            quantity,
            quality: REFERENCE_QUALITY,
            value: Amount::from_minor(Asset::MUSD, price * i128::from(quantity)),
        }
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{found} {expected}");
    }

    #[test]
    fn a_worked_example() {
        // Two goods; prices 10→12 and 20→15, quantities 5→4 and 3→6.
        let periods =
            [vec![sold("a", 5, 10), sold("b", 3, 20)], vec![sold("a", 4, 12), sold("b", 6, 15)]];
        let volumes = volumes(&periods).unwrap();
        near(volumes[1].laspeyres.unwrap(), 105.0 / 110.0);
        near(volumes[1].paasche.unwrap(), 138.0 / 160.0);
        near(volumes[1].deflator, (105.0f64 / 110.0 * 138.0 / 160.0).sqrt());
        near(volumes[1].real * volumes[1].deflator, 138.0);
    }

    #[test]
    fn twice_the_quality_at_one_price_is_twice_the_product() {
        let good = Observation { quality: 2 * REFERENCE_QUALITY, ..sold("a", 10, 7) };
        let volumes = volumes(&[vec![sold("a", 10, 7)], vec![good]]).unwrap();
        near(volumes[1].deflator, 0.5);
        near(volumes[1].real, 140.0);
    }

    #[test]
    fn what_is_new_is_said_and_what_has_no_price_is_refused() {
        let grown = volumes(&[vec![sold("a", 1, 5)], vec![sold("a", 1, 5), sold("b", 3, 5)]]);
        assert_eq!(grown.unwrap()[1].unmatched.to_string(), "0.75");
        let apart = volumes(&[vec![sold("a", 1, 5)], vec![sold("b", 1, 50)]]).unwrap();
        assert_eq!((apart[1].laspeyres, apart[1].unmatched.to_string()), (None, "1.00".into()));
        near(apart[1].deflator, 1.0);
        let empty = volumes(&[vec![sold("a", 0, 5)]]);
        assert!(matches!(empty, Err(EconomyError::Observation { period: 0, .. })));
        assert_eq!(volumes(&[]), Ok(Vec::new()));
    }

    #[test]
    fn prices_are_compared_over_a_gap_in_which_nothing_was_sold() {
        let gap = volumes(&[vec![sold("a", 1, 10)], vec![], vec![sold("a", 1, 5)]]).unwrap();
        near(gap[1].deflator, 1.0);
        near(gap[1].real, 0.0);
        near(gap[2].deflator, 0.5);
        near(gap[2].real, 10.0);
    }

    const DAY: u64 = DAY_MS;

    fn day(n: u64) -> Timestamp {
        Timestamp::from_millis(n * DAY + 5)
    }

    fn musd(minor: i128) -> Amount {
        Amount::from_minor(Asset::MUSD, minor)
    }

    fn task(class: &str, quantity: u64) -> Task<'_> {
        Task { class, quantity, quality: REFERENCE_QUALITY }
    }

    #[test]
    fn gdp_is_deflated_day_by_day_with_the_prices_of_what_was_sold() {
        let mut builder = VolumeBuilder::new(Asset::MUSD);
        for _ in 0..10 {
            assert!(builder.add(day(3), task("look", 1), musd(10)));
            assert!(builder.add(day(5), task("look", 2), musd(10)));
        }
        // Half of the second day's GDP was sold without a class: it is deflated like the rest.
        let gdp = [(day(3), musd(100)), (day(5), musd(200))];
        let real = builder.real_gdp(gdp, musd(400)).unwrap().unwrap();
        assert_eq!((real.periods.len(), real.days, real.classes), (3, 1, 1));
        assert_eq!(real.covered.to_string(), "0.50");
        near(real.periods[2].prices.deflator, 0.5);
        near(real.real, 100.0 + 400.0);
        near(real.deflator, 300.0 / 500.0);
        assert_eq!(VolumeBuilder::new(Asset::MUSD).real_gdp(gdp, musd(1)), Ok(None));
    }

    #[test]
    fn over_a_long_time_four_weeks_are_compared_with_four_weeks() {
        let mut builder = VolumeBuilder::new(Asset::MUSD);
        for n in 0..200 {
            builder.add(day(n), task("look", 1), musd(if n < 28 { 10 } else { 20 }));
        }
        let gdp = (0..200).map(|n| (day(n), musd(20)));
        let real = builder.real_gdp(gdp, musd(4_000)).unwrap().unwrap();
        assert_eq!((real.periods.len(), real.days), (8, 28));
        near(real.periods[7].prices.deflator, 2.0);
    }

    #[test]
    fn what_is_taken_back_was_never_there_and_what_has_no_quantity_is_not_noted() {
        let mut builder = VolumeBuilder::new(Asset::MUSD);
        assert!(builder.add(day(1), task("look", 1), musd(10)));
        assert!(builder.add(day(1), task("read", 7), musd(10)));
        builder.take_back(day(1), task("read", 7), musd(10));
        builder.take_back(day(1), task("never seen", 7), musd(10));
        assert!(!builder.add(day(1), task("look", 0), musd(10)));
        assert!(!builder.add(day(1), task("look", 1), musd(0)));
        assert!(!builder.add(day(1), task("look", 1), Amount::from_minor(Asset::USDC, 1)));
        let real = builder.real_gdp([(day(1), musd(10))], musd(10)).unwrap().unwrap();
        near(real.real, 10.0);
        assert_eq!(real.covered.to_string(), "1.00");
        for n in 0..2 * MAX_CLASSES {
            let name = n.to_string();
            let noted = builder.add(day(1), task(&name, 1), musd(1));
            assert_eq!(noted, n + 2 < MAX_CLASSES, "{n}");
        }
    }

    fn baskets() -> impl Strategy<Value = [Vec<Observation>; 2]> {
        let good = (1..1_000u64, 1..1_000i128, 1..1_000u64, 1..1_000i128);
        prop::collection::vec(good, 1..6).prop_map(|goods| {
            let basket = |later: bool| {
                let one = |(i, (q0, p0, q1, p1)): (usize, &(u64, i128, u64, i128))| {
                    let (q, p) = if later { (*q1, *p1) } else { (*q0, *p0) };
                    sold(&i.to_string(), q, p)
                };
                goods.iter().enumerate().map(one).collect()
            };
            [basket(false), basket(true)]
        })
    }

    proptest! {
        /// Fisher's own tests of his index (1922): there and back is 1; prices times quantities is value.
        #[test]
        fn there_and_back_is_one_and_prices_times_quantities_is_value([a, b] in baskets()) {
            let there = volumes(&[a.clone(), b.clone()]).unwrap();
            let back = volumes(&[b.clone(), a.clone()]).unwrap();
            prop_assert!((there[1].deflator * back[1].deflator - 1.0).abs() < 1e-9);
            let value = there[1].nominal.minor() as f64 / there[0].nominal.minor() as f64;
            let volume = there[1].real / there[0].real;
            prop_assert!((volume * there[1].deflator / value - 1.0).abs() < 1e-9);
        }
    }
}
