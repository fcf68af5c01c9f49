//! How many threads compute: as many as help.
//!
//! The threads of a network wait for each other hundreds of times a token, spinning. Where each has a
//! core to itself, two are faster than one; where others want the cores too, one of them is put to
//! sleep while the rest spin, and a token takes a hundred times as long. So a step on one thread is
//! compared with the next on all of them, again and again; the answer's bytes do not depend on it.

use std::time::Duration;

/// Steps on one thread that are a sample of it.
const SAMPLE: u32 = 4;
/// Steps on all threads that are compared with it together: one that was late says little.
const WINDOW: u32 = 16;
/// Windows until one thread is tried again.
const WINDOWS: u32 = 16;
/// Steps on one thread until all are tried again, at first and at most.
const ALONE: (u32, u32) = (64, 1_024);

/// So many steps, of as many sequences each, and how long they took in all.
#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    batch: usize,
    count: u32,
    took: Duration,
}

impl Steps {
    /// Adds a step; one of another number of sequences begins anew.
    fn add(&mut self, batch: usize, took: Duration) {
        if self.batch != batch {
            *self = Steps { batch, ..Steps::default() };
        }
        self.count += 1;
        self.took += took;
    }
}

/// Chooses the number of threads for each step. Times are handed in.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    /// Whether all threads compute.
    all: bool,
    /// Steps on one thread before all threads are tried.
    alone: u32,
    /// How long one thread is left alone when all of them turn out to be no faster.
    next_alone: u32,
    /// The latest steps on one thread, [`SAMPLE`] of them before all threads are tried.
    single: Steps,
    /// The steps on all threads since the last comparison.
    window: Steps,
    windows: u32,
}

impl Pace {
    /// At most so many threads.
    pub(super) fn new(most: usize) -> Self {
        Pace {
            most,
            all: false,
            alone: 0,
            next_alone: ALONE.0,
            single: Steps::default(),
            window: Steps::default(),
            windows: 0,
        }
    }

    /// Threads for the next step, of `batch` sequences.
    pub(super) fn threads(&mut self, batch: usize) -> usize {
        let is_sampled = self.single.batch == batch && self.single.count >= SAMPLE;
        if !self.all && self.alone == 0 && is_sampled && self.most > 1 {
            self.all = true;
            (self.window, self.windows) = (Steps::default(), 0);
        }
        if self.all { self.most } else { 1 }
    }

    /// Takes in how long the step took.
    pub(super) fn took(&mut self, batch: usize, time: Duration) {
        if !self.all {
            if self.single.count >= SAMPLE {
                self.single = Steps::default();
            }
            self.single.add(batch, time);
            self.alone = self.alone.saturating_sub(1);
            return;
        }
        self.window.add(batch, time);
        let is_full = self.window.count >= WINDOW;
        // As long as the window would take one thread: what is already longer than that need not be full.
        let single = self.single.took * WINDOW / self.single.count.max(1);
        if self.window.batch == self.single.batch && self.window.took >= single {
            self.all = false;
            self.alone = self.next_alone;
            self.next_alone = (self.next_alone * 2).min(ALONE.1);
            self.single = Steps::default();
        } else if is_full {
            self.window = Steps::default();
            self.windows += 1;
            if self.windows >= WINDOWS {
                self.all = false;
                self.single = Steps::default();
                self.next_alone = ALONE.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `steps` steps were computed by all threads, if those take `all` and one takes `one`.
    fn parallel(one: u64, all: u64, steps: usize) -> usize {
        parallel_of(steps, |_, threads| if threads == 2 { all } else { one })
    }

    /// The same, if step number so much on so many threads takes what is said.
    fn parallel_of(steps: usize, takes: impl Fn(usize, usize) -> u64) -> usize {
        let mut pace = Pace::new(2);
        let mut parallel = 0;
        for step in 0..steps {
            let threads = pace.threads(1);
            parallel += usize::from(threads == 2);
            pace.took(1, Duration::from_micros(takes(step, threads)));
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
        assert!((1..=16).contains(&tried), "{tried}");
    }

    #[test]
    fn one_late_step_among_many_is_no_reason_to_give_up() {
        let late = |step: usize, threads| match (threads, step % 20) {
            (2, 0) => 400,
            (2, _) => 60,
            _ => 100,
        };
        let share = parallel_of(10_000, late);
        assert!(share > 9_500, "{share}");
    }

    #[test]
    fn threads_that_begin_to_hinder_are_left_and_taken_again_when_they_help() {
        let busy = |step: usize, threads| match (threads, (3_000..6_000).contains(&step)) {
            (2, true) => 50_000,
            (2, false) => 60,
            _ => 100,
        };
        let share = parallel_of(9_000, busy);
        assert!((4_500..6_000).contains(&share), "{share}");
    }

    #[test]
    fn only_steps_of_as_many_sequences_are_compared() {
        let mut pace = Pace::new(4);
        let step = |pace: &mut Pace, batch| {
            let threads = pace.threads(batch);
            pace.took(batch, Duration::from_micros(if batch == 8 { 50 } else { 10 }));
            threads
        };
        for batch in [1, 1, 1, 8, 8, 8, 8] {
            assert_eq!(step(&mut pace, batch), 1);
        }
        assert_eq!(pace.threads(1), 1, "one sequence was not sampled");
        assert_eq!(step(&mut pace, 8), 4);
        // All threads take as long as one on eight, and longer than one sequence: no comparison.
        for _ in 0..WINDOW {
            assert_eq!(pace.threads(1), 4);
            pace.took(1, Duration::from_micros(45));
        }
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
