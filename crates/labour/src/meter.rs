//! What work has taken so far: units and time, for whoever sets prices.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// A worker's measured cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Measured {
    /// What is counted, e.g. `photograph` or `token`.
    pub unit: &'static str,
    /// Units done since the worker was loaded.
    pub units: u64,
    /// Time spent on them, microseconds; where several lanes work at once, of all lanes together.
    pub busy_micros: u64,
}

impl Measured {
    /// Microseconds a unit, rounded down; none before the first unit.
    pub fn micros_a_unit(&self) -> Option<u64> {
        self.busy_micros.checked_div(self.units)
    }
}

/// Counts units and time.
#[derive(Debug)]
pub(crate) struct Meter {
    unit: &'static str,
    units: AtomicU64,
    micros: AtomicU64,
}

impl Meter {
    pub(crate) fn new(unit: &'static str) -> Self {
        Meter { unit, units: AtomicU64::new(0), micros: AtomicU64::new(0) }
    }

    pub(crate) fn add(&self, units: usize, busy: Duration) {
        self.units.fetch_add(units as u64, Ordering::Relaxed);
        let micros = u64::try_from(busy.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn measured(&self) -> Measured {
        Measured {
            unit: self.unit,
            units: self.units.load(Ordering::Relaxed),
            busy_micros: self.micros.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_costs_the_mean_and_nothing_is_known_before_the_first() {
        let meter = Meter::new("page");
        assert_eq!(meter.measured().micros_a_unit(), None);
        meter.add(2, Duration::from_micros(300));
        meter.add(1, Duration::from_micros(300));
        assert_eq!(meter.measured().micros_a_unit(), Some(200));
    }
}
