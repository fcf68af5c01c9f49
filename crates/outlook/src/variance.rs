//! Which driver the uncertainty comes from: Sobol's indices of the logarithm of a quantity.
//!
//! For independent drivers the **first-order** index is the share of variance that would vanish, on average,
//! if the driver became known; the **total** index is what would stay if all others became known. Where
//! their sums are near one the drivers act one by one; what total has above first-order acts together.
//!
//! Estimators by pick-freeze: first-order by Saltelli et al. (2010), total by Jansen (1999), both on the
//! centred logarithm. Each is computed in [`BATCHES`] independent batches; the figure is their mean, and
//! its sampling error the standard deviation of the batches over √[`BATCHES`].

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::driver::{Driver, Drivers, Values};
use crate::model::{Horizon, Quantity, Year};
use crate::simulation::uniforms;

/// Batches, from which the sampling error is taken.
pub const BATCHES: u32 = 24;
/// Pairs of draws in a batch; each is evaluated once more for every driver.
pub const PAIRS: u32 = 1_024;
/// The same where an answer is wanted at once: the error is then larger by a factor of √2.
pub const FEW_PAIRS: u32 = 512;
/// Streams of random numbers that no simulation uses.
const FIRST_STREAM: u64 = 1 << 40;

/// An estimate and its sampling error, one standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// How far it may be off.
    pub error: f64,
}

/// A driver's part in the variance of a quantity's logarithm; shares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Part {
    /// Which driver.
    pub driver: Driver,
    /// Alone.
    pub first: Estimate,
    /// With all that it does together with others.
    pub total: Estimate,
}

/// The parts of all drivers that are not fixed, the greatest total first.
#[must_use]
pub fn parts(drivers: &Drivers, horizon: Horizon, quantity: Quantity, seed: u64) -> Vec<Part> {
    let [parts] = parts_of(drivers, horizon, [quantity], seed, PAIRS);
    parts
}

/// The same for several quantities from the same draws, with so many pairs in a batch.
#[must_use]
pub fn parts_of<const N: usize>(
    drivers: &Drivers,
    horizon: Horizon,
    quantities: [Quantity; N],
    seed: u64,
    pairs: u32,
) -> [Vec<Part>; N] {
    let free: Vec<Driver> =
        Driver::ALL.into_iter().filter(|driver| !drivers.of(*driver).is_fixed()).collect();
    let year = Year::new(horizon);
    let mut batches: Vec<Vec<[(f64, f64); N]>> = vec![Vec::new(); free.len()];
    for batch in 0..u64::from(BATCHES) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(FIRST_STREAM + batch);
        let drawn: Vec<Pair> = (0..pairs.max(2))
            .map(|_| (drivers.at(&uniforms(&mut random)), drivers.at(&uniforms(&mut random))))
            .collect();
        for (kept, indices) in
            batches.iter_mut().zip(batch_indices(&drawn, &year, quantities, &free))
        {
            kept.push(indices);
        }
    }
    std::array::from_fn(|n| {
        let mut parts: Vec<Part> = free
            .iter()
            .zip(&batches)
            .map(|(driver, batches)| Part {
                driver: *driver,
                first: estimate(batches.iter().map(|b| b[n].0)),
                total: estimate(batches.iter().map(|b| b[n].1)),
            })
            .collect();
        parts.sort_by(|a, b| b.total.value.total_cmp(&a.total.value));
        parts
    })
}

/// Two draws, of which one lends the other its drivers, one by one.
type Pair = (Values, Values);

/// First-order and total index of each free driver for each quantity, from one batch.
fn batch_indices<const N: usize>(
    drawn: &[Pair],
    year: &Year,
    quantities: [Quantity; N],
    free: &[Driver],
) -> Vec<[(f64, f64); N]> {
    let logs = |values: &_| {
        let outcome = year.outcome(values);
        quantities.map(|quantity| quantity.of(&outcome).ln())
    };
    let pairs: Vec<_> = drawn.iter().map(|(a, b)| (logs(a), logs(b), a, b)).collect();
    let n = pairs.len() as f64;
    let moments: [(f64, f64); N] = std::array::from_fn(|q| {
        let mean = pairs.iter().map(|p| p.0[q] + p.1[q]).sum::<f64>() / (2.0 * n);
        let squares = pairs.iter().map(|p| (p.0[q] - mean).powi(2) + (p.1[q] - mean).powi(2));
        (mean, squares.sum::<f64>() / (2.0 * n))
    });
    free.iter()
        .map(|driver| {
            let mut sums = [(0.0, 0.0); N];
            for (a, b, values, others) in &pairs {
                let mut mixed = **values;
                mixed[driver.index()] = others[driver.index()];
                let mixed = logs(&mixed);
                for (q, (first, total)) in sums.iter_mut().enumerate() {
                    *first += (b[q] - moments[q].0) * (mixed[q] - a[q]);
                    *total += (a[q] - mixed[q]).powi(2);
                }
            }
            std::array::from_fn(|q| {
                let ((first, total), (_, variance)) = (sums[q], moments[q]);
                if variance > 0.0 {
                    (first / n / variance, total / (2.0 * n) / variance)
                } else {
                    (0.0, 0.0)
                }
            })
        })
        .collect()
}

fn estimate(values: impl Iterator<Item = f64> + Clone) -> Estimate {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Estimate { value: mean, error: (variance / n).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::parts;
    use crate::driver::{Driver, Drivers};
    use crate::model::{Horizon, Quantity};

    fn year() -> Horizon {
        Horizon::new(2034).expect("a year")
    }

    #[test]
    fn where_logarithms_add_the_parts_are_their_variances_and_sum_to_one() {
        // ln dY is a sum of independent terms: each part is known exactly.
        let drivers = Drivers::prior();
        let parts = parts(&drivers, year(), Quantity::MachineGdp, 1);
        let four = [Driver::Adoption, Driver::Saving, Driver::Exposure, Driver::Deepening];
        let variance = |driver| drivers.of(driver).log_moments().1;
        let all: f64 = four.into_iter().map(variance).sum();
        for driver in four {
            let part = parts.iter().find(|p| p.driver == driver).expect("it is free");
            let exact = variance(driver) / all;
            for estimate in [part.first, part.total] {
                let off = (estimate.value - exact).abs();
                assert!(off < 4.0 * estimate.error + 0.002, "{driver}: {estimate:?}, not {exact}");
                assert!(estimate.error < 0.03);
            }
        }
        // Speed shapes other years, and crypto's drivers do nothing here.
        let rest = parts.iter().filter(|p| !four.contains(&p.driver));
        assert!(rest.clone().count() > 5);
        for part in rest {
            assert!(part.total.value < 1e-12, "{}", part.driver);
        }
        let published = [
            (Driver::Adoption, 0.41),
            (Driver::Saving, 0.33),
            (Driver::Exposure, 0.22),
            (Driver::Deepening, 0.04),
        ];
        for (driver, share) in published {
            assert!((variance(driver) / all - share).abs() < 0.006, "{driver}");
        }
    }

    #[test]
    fn a_driver_that_is_known_has_no_part() {
        let drivers = Drivers::prior().fix(Driver::Share, 0.12).expect("in range");
        let parts = parts(&drivers, year(), Quantity::CryptoCap, 1);
        assert!(parts.iter().all(|p| p.driver != Driver::Share));
        assert!(parts.windows(2).all(|w| w[0].total.value >= w[1].total.value));
    }
}
