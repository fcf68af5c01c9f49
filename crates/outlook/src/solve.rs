//! What must be true: the inverse of the projection.
//!
//! **Alone**: all other drivers at their medians, which value of this one reaches the target? Found by
//! bisection within the driver's range; told with the probability that its distribution gives to that
//! value and beyond.
//!
//! **Together**: of all ways to reach the target, the likeliest. In standard normal coordinates z (each
//! driver's own quantiles) that is the point of the target's surface nearest to the origin, by the
//! iteration of Hasofer, Lind, Rackwitz and Fiessler (1974, 1978), known from the safety of structures. Its
//! distance β gives Φ(−β), the probability of the target if the surface were flat: an approximation, to
//! hold beside the drawn frequency.

use serde::Serialize;

use crate::distribution::normal_cdf;
use crate::driver::{DRIVERS, Driver, Drivers, Values};
use crate::model::{Target, outcome};

/// How far from the median, in standard deviations, an answer is looked for.
const FURTHEST: f64 = 6.0;
/// Steps of bisection: the range shrinks by 2⁶⁰.
const HALVINGS: u32 = 60;
/// Steps of the search for the nearest point.
const STEPS: u32 = 200;

/// What must be true.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The quantity with all drivers at their medians, USD.
    pub at_medians: f64,
    /// For each driver that matters: what it alone would have to be.
    pub alone: Vec<Alone>,
    /// The likeliest way together; none if nothing within six standard deviations reaches the target.
    pub together: Option<Together>,
}

/// What one driver alone would have to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Alone {
    /// Which driver.
    pub driver: Driver,
    /// Its median.
    pub median: f64,
    /// What it would have to be; none if no value in its range is enough.
    pub needed: Option<f64>,
    /// The probability of that value or one beyond it, by its distribution; none for a fixed driver,
    /// of which no distribution was stated.
    pub probability: Option<f64>,
    /// What the quantity comes to at the best value of its range, USD.
    pub best: f64,
}

/// The likeliest way to the target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Together {
    /// Each driver that moves, the one that moves most first.
    pub moves: Vec<Move>,
    /// Distance from the medians, in standard deviations.
    pub distance: f64,
    /// Probability of the target by that distance, Φ(∓β).
    pub probability: f64,
}

/// Where a driver goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Move {
    /// Which driver.
    pub driver: Driver,
    /// From its median.
    pub from: f64,
    /// To this.
    pub to: f64,
    /// At which of its distribution's probabilities that lies.
    pub level: f64,
}

/// What must be true for a target to be reached or passed.
#[must_use]
pub fn solve(drivers: &Drivers, target: &Target) -> Answer {
    let medians = drivers.medians();
    let quantity = |values: &Values| target.quantity.of(&outcome(values, target.horizon));
    let at_medians = quantity(&medians);
    let alone = Driver::ALL
        .into_iter()
        .filter_map(|driver| alone(drivers, &medians, driver, target.value, &quantity))
        .collect();
    Answer { at_medians, alone, together: together(drivers, target.value, &quantity) }
}

/// None for a driver on which the quantity does not depend.
fn alone(
    drivers: &Drivers,
    medians: &Values,
    driver: Driver,
    target: f64,
    quantity: &impl Fn(&Values) -> f64,
) -> Option<Alone> {
    let with = |value: f64| {
        let mut values = *medians;
        values[driver.index()] = value;
        quantity(&values)
    };
    let (least, most) = driver.describe().range;
    let median = medians[driver.index()];
    let (mut low, mut high) = (least, most);
    let (at_low, at_high) = (with(low), with(high));
    if at_low == at_high {
        return None;
    }
    // Every quantity is monotone in every driver, so that the best value is at one end of the range.
    let rising = at_high > at_low;
    let upwards = with(median) < target;
    let best = if rising == upwards { at_high } else { at_low };
    let reached = if upwards { best >= target } else { best <= target };
    let needed = reached.then(|| {
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if (with(middle) < target) == rising {
                low = middle;
            } else {
                high = middle;
            }
        }
        0.5 * (low + high)
    });
    let distribution = drivers.of(driver);
    let probability = needed.filter(|_| !distribution.is_fixed()).map(|value| {
        if rising == upwards { 1.0 - distribution.cdf(value) } else { distribution.cdf(value) }
    });
    Some(Alone { driver, median, needed, probability, best })
}

fn together(
    drivers: &Drivers,
    target: f64,
    quantity: &impl Fn(&Values) -> f64,
) -> Option<Together> {
    let at = |z: &[f64; DRIVERS]| drivers.at(&z.map(|z| normal_cdf(z).clamp(1e-12, 1.0 - 1e-12)));
    let gap = |z: &[f64; DRIVERS]| quantity(&at(z)).ln() - target.ln();
    let mut z = [0.0; DRIVERS];
    let start = gap(&z);
    let mut reached = false;
    for _ in 0..STEPS {
        let here = gap(&z);
        let mut slope = [0.0; DRIVERS];
        for i in 0..DRIVERS {
            const STEP: f64 = 1e-4;
            let (mut less, mut more) = (z, z);
            less[i] -= STEP;
            more[i] += STEP;
            slope[i] = (gap(&more) - gap(&less)) / (2.0 * STEP);
        }
        let steepness: f64 = slope.iter().map(|s| s * s).sum();
        if steepness <= 0.0 || !steepness.is_finite() {
            return None;
        }
        let along: f64 = slope.iter().zip(&z).map(|(s, z)| s * z).sum();
        let scale = (along - here) / steepness;
        // Half steps: slower, and it does not swing around a bend.
        let next: [f64; DRIVERS] =
            std::array::from_fn(|i| (0.5 * (z[i] + scale * slope[i])).clamp(-FURTHEST, FURTHEST));
        let moved: f64 = next.iter().zip(&z).map(|(a, b)| (a - b).powi(2)).sum();
        z = next;
        if moved < 1e-18 {
            reached = true;
            break;
        }
    }
    if !reached && gap(&z).abs() > 1e-3 {
        return None;
    }
    let distance = z.iter().map(|z| z * z).sum::<f64>().sqrt();
    let (from, to) = (drivers.medians(), at(&z));
    let mut moves: Vec<(f64, Move)> = Driver::ALL
        .into_iter()
        .filter(|driver| z[driver.index()].abs() > 0.005)
        .map(|driver| {
            let i = driver.index();
            (z[i].abs(), Move { driver, from: from[i], to: to[i], level: normal_cdf(z[i]) })
        })
        .collect();
    moves.sort_by(|a, b| b.0.total_cmp(&a.0));
    let probability = if start < 0.0 { normal_cdf(-distance) } else { normal_cdf(distance) };
    Some(Together { moves: moves.into_iter().map(|m| m.1).collect(), distance, probability })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::solve;
    use crate::driver::{Driver, Drivers};
    use crate::model::{Target, outcome};
    use crate::simulation::{Plan, simulate};

    #[test]
    fn the_value_that_one_driver_needs_gives_the_target() {
        let drivers = Drivers::prior();
        let target = Target::parse("crypto_cap=17T@2034").expect("a target");
        let answer = solve(&drivers, &target);
        let mut found = 0;
        for alone in &answer.alone {
            let Some(needed) = alone.needed else {
                assert!(alone.best < target.value, "{}", alone.driver);
                continue;
            };
            found += 1;
            let mut values = drivers.medians();
            values[alone.driver.index()] = needed;
            let reached = target.quantity.of(&outcome(&values, target.horizon));
            assert!((reached / target.value - 1.0).abs() < 1e-9, "{}", alone.driver);
        }
        assert!(found >= 4, "only {found} drivers reach it alone");
        // Seventeen trillion is a bet on the share of the store of value, about 3 in 10.
        let share = answer.alone.iter().find(|a| a.driver == Driver::Share).expect("it matters");
        assert!(share.probability.is_some_and(|p| p < 0.05), "{share:?}");
    }

    #[test]
    fn the_likeliest_way_reaches_the_target_and_its_distance_tells_the_frequency() {
        let drivers = Drivers::prior();
        for text in ["crypto_cap=17T@2034", "machine_gdp=8T@2034", "machine_gdp=1T@2030"] {
            let target = Target::parse(text).expect("a target");
            let together = solve(&drivers, &target).together.expect("there is a way");
            let mut values = drivers.medians();
            for m in &together.moves {
                values[m.driver.index()] = m.to;
            }
            let reached = target.quantity.of(&outcome(&values, target.horizon));
            assert!((reached / target.value - 1.0).abs() < 0.01, "{text}: {reached}");
            let plan = Plan::new(100_000, 1, NonZeroUsize::MIN).expect("a plan");
            let hits = simulate(&drivers, target.horizon, plan, |_, o| {
                u32::from(target.quantity.of(o) >= target.value)
            });
            let drawn = f64::from(hits.iter().sum::<u32>()) / 100_000.0;
            let off = (together.probability - drawn).abs();
            assert!(off < 0.03, "{text}: {} by distance, {drawn} drawn", together.probability);
        }
    }

    #[test]
    fn what_nothing_reaches_is_said_to_be_out_of_reach() {
        let target = Target::parse("machine_gdp=9e17@2034").expect("a target");
        let answer = solve(&Drivers::prior(), &target);
        assert!(answer.together.is_none());
        assert!(answer.alone.iter().all(|a| a.needed.is_none()));
        // Crypto's drivers do not appear: machine GDP does not depend on them.
        assert!(answer.alone.iter().all(|a| a.driver != Driver::Share));
    }
}
