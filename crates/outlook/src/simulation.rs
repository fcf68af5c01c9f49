//! Drawing the model many times, on any number of threads, always with the same result.
//!
//! Draws come in chunks of [`CHUNK`]; each chunk has a stream of its own of the seed's ChaCha8 generator, and
//! its results have a place of their own. So neither the number of threads nor their luck can change a
//! byte, and the first half of a run is the whole of a run of half the draws.

use std::num::NonZeroUsize;

use rand::RngCore as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::OutlookError;
use crate::driver::{DRIVERS, Drivers, Values};
use crate::model::{Horizon, Outcome, Year};

/// How many draws are made with one stream of random numbers.
pub const CHUNK: usize = 4096;
/// The fewest draws of which quantiles are told.
pub const FEWEST_DRAWS: u32 = 1_000;
/// The most; at seven figures each they fill half a gigabyte.
pub const MOST_DRAWS: u32 = 10_000_000;
/// More threads than this gain nothing here.
const MOST_THREADS: usize = 64;

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How often.
    draws: u32,
    /// What the random numbers grow from.
    pub seed: u64,
    /// On how many threads; changes nothing but the time it takes.
    pub threads: NonZeroUsize,
}

impl Plan {
    /// A plan.
    ///
    /// # Errors
    /// [`OutlookError::Draws`] outside [`FEWEST_DRAWS`] to [`MOST_DRAWS`].
    pub fn new(draws: u32, seed: u64, threads: NonZeroUsize) -> Result<Plan, OutlookError> {
        if !(FEWEST_DRAWS..=MOST_DRAWS).contains(&draws) {
            return Err(OutlookError::Draws { draws, least: FEWEST_DRAWS, most: MOST_DRAWS });
        }
        Ok(Plan { draws, seed, threads })
    }

    /// How often the model is drawn.
    #[must_use]
    pub const fn draws(&self) -> u32 {
        self.draws
    }

    /// The same, with at most so many draws: the first of them.
    #[must_use]
    pub fn at_most(self, draws: u32) -> Plan {
        Plan { draws: self.draws.min(draws.max(FEWEST_DRAWS)), ..self }
    }
}

/// Draws the model at the end of one year and keeps of each draw what `keep` makes of its drivers and
/// its outcome.
pub fn simulate<T: Send + Clone + Default>(
    drivers: &Drivers,
    horizon: Horizon,
    plan: Plan,
    keep: impl Fn(&Values, &Outcome) -> T + Sync,
) -> Vec<T> {
    let year = Year::new(horizon);
    draw(drivers, plan, |values| keep(values, &year.outcome(values)))
}

/// Draws the drivers and keeps of each draw what `keep` makes of it: for whoever computes several years
/// of one draw, since drawing costs more than computing.
pub(crate) fn draw<T: Send + Clone + Default>(
    drivers: &Drivers,
    plan: Plan,
    keep: impl Fn(&Values) -> T + Sync,
) -> Vec<T> {
    let draws = usize::try_from(plan.draws).expect("at most ten million");
    let mut kept = vec![T::default(); draws];
    let threads = plan.threads.get().min(MOST_THREADS);
    // Each thread takes every n-th chunk.
    let mut shares: Vec<Vec<(u64, &mut [T])>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, chunk) in kept.chunks_mut(CHUNK).enumerate() {
        shares[index % threads].push((index as u64, chunk));
    }
    let keep = &keep;
    std::thread::scope(|scope| {
        for share in shares {
            scope.spawn(move || {
                for (stream, chunk) in share {
                    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
                    random.set_stream(stream);
                    for place in chunk {
                        let values = drivers.at(&uniforms(&mut random));
                        *place = keep(&values);
                    }
                }
            });
        }
    });
    kept
}

/// One uniform number for each driver, strictly between zero and one.
pub(crate) fn uniforms(random: &mut ChaCha8Rng) -> Values {
    let mut all = [0.0; DRIVERS];
    for p in &mut all {
        *p = uniform(random);
    }
    all
}

/// The middle of one of 2⁵² equal parts of the unit interval.
fn uniform(random: &mut ChaCha8Rng) -> f64 {
    const PARTS: f64 = (1u64 << 52) as f64;
    ((random.next_u64() >> 12) as f64 + 0.5) / PARTS
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::{CHUNK, MOST_DRAWS, Plan, simulate};
    use crate::driver::{Driver, Drivers};
    use crate::model::Horizon;

    fn plan(draws: u32, threads: usize) -> Plan {
        Plan::new(draws, 7, NonZeroUsize::new(threads).expect("threads")).expect("a plan")
    }

    fn caps(drivers: &Drivers, plan: Plan) -> Vec<u64> {
        let horizon = Horizon::new(2034).expect("a year");
        simulate(drivers, horizon, plan, |_, o| o.crypto_cap.to_bits())
    }

    #[test]
    fn one_seed_gives_the_same_bits_on_any_number_of_threads() {
        let drivers = Drivers::prior();
        let draws = u32::try_from(3 * CHUNK + 17).expect("few");
        let one = caps(&drivers, plan(draws, 1));
        for threads in [2, 3, 8, 100] {
            assert_eq!(caps(&drivers, plan(draws, threads)), one, "{threads} threads");
        }
        let other = Plan { seed: 8, ..plan(draws, 1) };
        assert_ne!(caps(&drivers, other), one);
    }

    #[test]
    fn fewer_draws_are_the_first_of_more() {
        let drivers = Drivers::prior();
        let more = caps(&drivers, plan(10_000, 2));
        assert_eq!(caps(&drivers, plan(5_000, 2)), more[..5_000]);
    }

    #[test]
    fn a_driver_held_fixed_leaves_the_others_as_they_were() {
        let horizon = Horizon::new(2034).expect("a year");
        let drivers = Drivers::prior();
        let fixed = drivers.fix(Driver::Adoption, 0.5).expect("in range");
        let keep = |drivers| simulate(drivers, horizon, plan(2_000, 2), |v, _| *v);
        for (a, b) in keep(&drivers).iter().zip(keep(&fixed)) {
            for driver in Driver::ALL {
                let same = a[driver.index()].to_bits() == b[driver.index()].to_bits();
                assert!(same || driver == Driver::Adoption);
            }
        }
    }

    #[test]
    fn too_few_and_too_many_draws_are_refused() {
        let threads = NonZeroUsize::MIN;
        for draws in [0, 1, 999, MOST_DRAWS + 1, u32::MAX] {
            assert!(Plan::new(draws, 0, threads).is_err(), "{draws}");
        }
    }
}
