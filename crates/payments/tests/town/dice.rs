//! Dice for seeded histories: the same seed, the same rolls, everywhere. A variable of the environment
//! names another seed than a test's own, so that one that was seen to fail is tried again as it was.

use std::ops::Range;

/// The seed of a test, unless this variable names another.
pub fn seed(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) => otherwise,
    }
}

/// The seeds of so many histories, one after the other: from 0, or from what `HISTORY_SEED` names.
pub fn seeds(histories: u64) -> Range<u64> {
    let first = seed("HISTORY_SEED", 0);
    first..first.checked_add(histories).expect("HISTORY_SEED is too large")
}

/// Steele, Lea and Flood's SplitMix64 ("Fast splittable pseudorandom number generators", OOPSLA 2014).
pub struct Dice(u64);

impl Dice {
    pub fn of(seed: u64) -> Dice {
        Dice(seed)
    }

    /// From 0 up to, and without, this many sides.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.roll(from.len() as u64)).unwrap()]
    }
}
