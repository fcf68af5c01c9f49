//! How many threads compute: as many as help.
//!
//! The threads of a network wait for each other hundreds of times a token, spinning. Where each has a
//! core to itself, two are faster than one; where others want the cores too, one of them is put to
//! sleep while the rest spin, and a token takes a hundred times as long. So a step on one thread is
//! compared with the next on all of them, again and again; the answer's bytes do not depend on it.

use std::time::Duration;

/// Steps between two comparisons, at first and at most.
const STEPS: (u32, u32) = (64, 4096);

/// Chooses the number of threads for each step. Times are handed in.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    /// The latest step on one thread, of as many sequences.
    single: Option<(usize, Duration)>,
    /// Whether all threads compute.
    all: bool,
    /// Steps until the next comparison.
    left: u32,
    between: u32,
}

impl Pace {
    /// At most so many threads.
    pub(super) fn new(most: usize) -> Self {
        Pace { most, single: None, all: false, left: 0, between: STEPS.0 }
    }

    /// Threads for the next step, of `batch` sequences.
    pub(super) fn threads(&mut self, batch: usize) -> usize {
        if self.left == 0 && self.most > 1 {
            // First one thread, then all of them on as many sequences: now they can be compared.
            self.all = self.single.is_some_and(|(of, _)| of == batch);
            if !self.all {
                self.single = None;
            }
        }
        if self.all { self.most } else { 1 }
    }

    /// Takes in how long the step took.
    pub(super) fn took(&mut self, batch: usize, time: Duration) {
        if !self.all {
            self.single = Some((batch, time));
            self.left = self.left.saturating_sub(1);
            return;
        }
        match self.single {
            Some((of, single)) if of == batch && time >= single => {
                self.all = false;
                self.left = self.between;
                self.between = (self.between * 2).min(STEPS.1);
            }
            _ if self.left == 0 => {
                self.left = STEPS.0;
                self.between = STEPS.0;
            }
            _ => {
                self.left -= 1;
                if self.left == 0 {
                    self.single = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `steps` steps were computed by all threads, if those take `all` and one takes `one`.
    fn parallel(one: u64, all: u64, steps: usize) -> usize {
        let mut pace = Pace::new(2);
        let mut parallel = 0;
        for _ in 0..steps {
            let threads = pace.threads(1);
            parallel += usize::from(threads == 2);
            pace.took(1, Duration::from_micros(if threads == 2 { all } else { one }));
        }
        parallel
    }

    #[test]
    fn threads_that_help_compute_nearly_always() {
        let share = parallel(100, 60, 10_000);
        assert!(share > 9_500, "{share}");
    }

    #[test]
    fn threads_that_hinder_are_tried_ever_less() {
        let tried = parallel(100, 50_000, 10_000);
        assert!((1..=8).contains(&tried), "{tried}");
    }

    #[test]
    fn only_steps_of_as_many_sequences_are_compared() {
        let mut pace = Pace::new(4);
        assert_eq!(pace.threads(1), 1);
        pace.took(1, Duration::from_micros(10));
        assert_eq!(pace.threads(8), 1);
        pace.took(8, Duration::from_micros(50));
        assert_eq!(pace.threads(8), 4);
    }

    #[test]
    fn one_thread_stays_one() {
        let mut pace = Pace::new(1);
        for _ in 0..200 {
            assert_eq!(pace.threads(3), 1);
            pace.took(3, Duration::from_micros(5));
        }
    }
}
