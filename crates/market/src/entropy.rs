//! Randomness, handed in.
//!
//! The market never draws a number by itself: who clears a round or draws a panel brings 32 bytes
//! that nobody could know when the bids and the work came in (a block's hash, a beacon, a
//! commit–reveal among strangers). They are stretched by ChaCha8, whose output is the same on each
//! machine, so that a replay draws the same panels.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::id::{Digest, JobId, hash};

/// A stream of numbers from 32 bytes.
#[derive(Debug, Clone)]
pub struct Draws(ChaCha8Rng);

impl Draws {
    /// The stream for one act of one job: the same entropy serves many jobs, each with a stream of
    /// its own.
    pub fn new(entropy: &Digest, act: &str, job: JobId) -> Draws {
        let seed = hash(act, &[entropy.as_bytes().as_slice(), &job.as_u128().to_be_bytes()]);
        Draws(ChaCha8Rng::from_seed(seed))
    }

    /// The stream with this number, for simulations.
    pub fn seeded(seed: u64) -> Draws {
        Draws(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Any 32-bit number, all alike.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Any 64-bit number, all alike.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, all alike: draws that would favour some are thrown away.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u128) -> u128 {
        assert!(bound > 0, "there is no number below 0");
        // The largest multiple of the bound: what lies beyond is drawn again. Less than every
        // second draw is, so this ends.
        let mask = u128::MAX >> (bound - 1).leading_zeros().min(127);
        loop {
            let wide = if mask <= u128::from(u64::MAX) {
                u128::from(self.next_u64())
            } else {
                u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
            };
            let drawn = wide & mask;
            if drawn < bound {
                return drawn;
            }
        }
    }

    /// Whether something of this chance, in millionths, happens.
    pub fn chance(&mut self, millionths: u32) -> bool {
        self.below(1_000_000) < u128::from(millionths)
    }

    /// A draw from Beta(`a`, `b`), in millionths, by whole numbers alone: the `a`-th smallest of
    /// `a + b − 1` uniform numbers is distributed so (order statistics; David and Nagaraja, *Order
    /// Statistics*, 3rd ed., §2.1). No float takes part, so each machine draws the same.
    ///
    /// # Panics
    /// If `a` or `b` is 0.
    pub fn beta(&mut self, a: u32, b: u32, scratch: &mut Vec<u32>) -> u32 {
        assert!(a > 0 && b > 0, "a Beta distribution has two positive counts");
        scratch.clear();
        scratch.extend((0..a + b - 1).map(|_| self.0.next_u32()));
        let (_, nth, _) = scratch.select_nth_unstable(a as usize - 1);
        u32::try_from((u64::from(*nth) * 1_000_000) >> 32).expect("less than a million")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_entropy_draws_the_same_for_one_job_and_other_numbers_for_another() {
        let entropy = Digest::of(b"block");
        let draw = |act, job| Draws::new(&entropy, act, JobId::from_u128(job)).next_u64();
        assert_eq!(draw("panel", 1), draw("panel", 1));
        assert_ne!(draw("panel", 1), draw("panel", 2));
        assert_ne!(draw("panel", 1), draw("clear", 1));
    }

    #[test]
    fn numbers_below_a_bound_are_below_it_and_reach_all() {
        let mut draws = Draws::seeded(7);
        for bound in [1u128, 2, 3, 7, 1 << 64, (1 << 64) + 1, u128::MAX] {
            assert!((0..200).all(|_| draws.below(bound) < bound));
        }
        let mut seen = [0; 5];
        for _ in 0..5_000 {
            seen[usize::try_from(draws.below(5)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|n| (850..1150).contains(n)), "{seen:?}");
    }

    #[test]
    fn a_beta_draw_has_the_mean_and_variance_of_its_distribution() {
        let (mut draws, mut scratch) = (Draws::seeded(1), Vec::new());
        for (a, b) in [(1u32, 1u32), (3, 1), (2, 5), (40, 10)] {
            let n = 20_000;
            let drawn: Vec<f64> =
                (0..n).map(|_| f64::from(draws.beta(a, b, &mut scratch)) / 1e6).collect();
            let mean = drawn.iter().sum::<f64>() / f64::from(n);
            let variance =
                drawn.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / f64::from(n);
            let (af, bf) = (f64::from(a), f64::from(b));
            let expected = af * bf / ((af + bf) * (af + bf) * (af + bf + 1.0));
            assert!((mean - af / (af + bf)).abs() < 0.01, "{a} {b}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.06, "{a} {b}: variance {variance}");
        }
    }
}
