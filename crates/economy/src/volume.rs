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
//! [`Volume::unmatched`] says how much of the value that was. Periods ought to be long enough for
//! most classes to be sold in each (a month, rather than an hour): chains over short, uneven periods
//! drift.
#![allow(clippy::float_arithmetic)] // indices, shown to people; no amount is computed here

use std::collections::BTreeMap;

use money::Amount;
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
    /// Prices against the period before, by Laspeyres; none in the first.
    pub laspeyres: Option<f64>,
    /// Prices against the period before, by Paasche; none in the first.
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
/// the first, or if two adjoining periods have no class in common.
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
        let link = match &before {
            None => None,
            Some(before) => Some(link(before, &sold).ok_or(EconomyError::Observation {
                period,
                class: "any".to_owned(),
                problem: "was not sold in the period before: prices cannot be compared",
            })?),
        };
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
        before = Some(sold);
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

#[cfg(test)]
mod tests {
    use money::Asset;
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
    fn what_is_new_is_said_and_what_cannot_be_compared_is_refused() {
        let grown = volumes(&[vec![sold("a", 1, 5)], vec![sold("a", 1, 5), sold("b", 3, 5)]]);
        assert_eq!(grown.unwrap()[1].unmatched.to_string(), "0.75");
        let apart = volumes(&[vec![sold("a", 1, 5)], vec![sold("b", 1, 5)]]);
        assert!(apart.unwrap_err().to_string().contains("cannot be compared"));
        let empty = volumes(&[vec![sold("a", 0, 5)]]);
        assert!(matches!(empty, Err(EconomyError::Observation { period: 0, .. })));
        assert_eq!(volumes(&[]), Ok(Vec::new()));
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
