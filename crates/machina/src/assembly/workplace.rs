//! What the journal does not tell of work: how long the workers of this process have been busy, and how
//! many jobs nobody has taken.

use std::sync::Arc;
use std::time::Duration;

use economy::Effort;
use labour::Worker;
use money::{Amount, Clock, Timestamp};

/// Who counts the jobs that nobody has taken; none where there is no market for jobs.
pub type Vacancies = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// A worker, and how much it does at once.
pub struct Seat {
    pub worker: Arc<dyn Worker>,
    pub lanes: u32,
}

/// The workers of this process, since it began.
pub struct Workplace {
    seats: Vec<Seat>,
    vacancies: Vacancies,
    clock: Arc<dyn Clock>,
    since: Timestamp,
    /// What the workers had done before, by seat, in microseconds.
    before: Vec<u64>,
    /// What machines had added before.
    value_added_before: Amount,
}

impl Workplace {
    /// Begins to measure now.
    pub fn new(
        seats: Vec<Seat>,
        vacancies: Vacancies,
        clock: Arc<dyn Clock>,
        value_added_before: Amount,
    ) -> Workplace {
        let before = seats.iter().map(|seat| seat.worker.measured().busy_micros).collect();
        let since = clock.now();
        Workplace { seats, vacancies, clock, since, before, value_added_before }
    }

    /// What was measured until now; nothing where nobody works here.
    pub fn effort(&self) -> Effort {
        let vacancies = (self.vacancies)();
        if self.seats.is_empty() {
            return Effort { vacancies, ..Effort::default() };
        }
        let busy: u64 = self
            .seats
            .iter()
            .zip(&self.before)
            .map(|(seat, before)| seat.worker.measured().busy_micros.saturating_sub(*before))
            .sum();
        let lanes = self.seats.iter().map(|seat| seat.lanes).sum::<u32>();
        Effort {
            busy: Some(Duration::from_micros(busy)),
            capacity: Some(self.clock.now().since(self.since).saturating_mul(lanes)),
            value_added_before: Some(self.value_added_before),
            vacancies,
        }
    }
}

#[cfg(test)]
mod tests {
    use money::{Asset, ManualClock};

    use super::*;

    #[test]
    fn nobody_at_work_is_said_as_not_measured() {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(5)));
        let nothing = Amount::zero(Asset::MUSD);
        let empty = Workplace::new(Vec::new(), Arc::new(|| Some(3)), clock, nothing);
        assert_eq!(empty.effort(), Effort { vacancies: Some(3), ..Effort::default() });
    }
}
