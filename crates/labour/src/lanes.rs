//! Copies of a network that work side by side: as many answers are computed at once as there are
//! lanes, each by one thread; callers beyond that wait their turn.
//!
//! So memory is bounded, and an answer's bytes do not depend on who else is there: a lane computes one
//! input alone, as it would without company.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::LabourError;
use crate::runtime::Network;

/// The lanes of one machine.
pub(crate) struct Lanes<N = Network> {
    networks: Vec<Mutex<N>>,
    idle: Mutex<Vec<usize>>,
    freed: Condvar,
}

impl<N> Lanes<N> {
    /// Makes so many lanes.
    pub(crate) fn new(
        count: usize,
        mut network: impl FnMut() -> Result<N, LabourError>,
    ) -> Result<Self, LabourError> {
        let networks: Result<Vec<Mutex<N>>, LabourError> =
            (0..count).map(|_| network().map(Mutex::new)).collect();
        let idle = Mutex::new((0..count).collect());
        Ok(Lanes { networks: networks?, idle, freed: Condvar::new() })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.networks.len()
    }

    /// Does something on a free lane; waits for one. The lane is free again also after a panic.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut N) -> T) -> T {
        let lane = self.take();
        // Nobody else has this lane, so the lock is free; a network is only read by its runs.
        let network = self.networks[lane.number].lock();
        work(&mut network.unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self) -> Lane<'_, N> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(number) = idle.pop() {
                return Lane { lanes: self, number };
            }
            idle = self.freed.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A lane on loan.
struct Lane<'l, N> {
    lanes: &'l Lanes<N>,
    number: usize,
}

impl<N> Drop for Lane<'_, N> {
    fn drop(&mut self) {
        let mut idle = self.lanes.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(self.number);
        drop(idle);
        self.lanes.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_work_at_once_than_there_are_lanes_and_all_is_done() {
        let lanes = Lanes::new(2, || Ok(())).unwrap();
        let (now, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    lanes.with(|()| {
                        let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(at_once, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                    });
                });
            }
        });
        assert_eq!(done.into_inner(), 16);
        assert!(most.into_inner() <= 2);
    }

    #[test]
    fn a_lane_whose_user_panicked_is_free_again() {
        let lanes = Lanes::new(1, || Ok(7)).unwrap();
        let broken = catch_unwind(AssertUnwindSafe(|| lanes.with(|_| panic!("a bad picture"))));
        assert!(broken.is_err());
        assert_eq!(lanes.with(|seven| *seven), 7);
    }
}
