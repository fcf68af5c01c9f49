//! What was taken out of the market and is still to be paid on the chain. One that cannot be paid
//! waits alone: it is tried again ever more seldom, and the others go on.

use std::collections::VecDeque;
use std::time::Duration;

use ::market::desk::Withdrawn;
use ::money::{Party, Timestamp};

/// How long after its first failure a payout is tried again; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest that it then waits.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

/// A payout that is not made yet.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    row: u64,
    withdrawn: Withdrawn,
    failures: u32,
    /// Not tried before.
    next: Timestamp,
}

/// The payouts that are not made yet, in the order in which they were asked for.
#[derive(Debug, Default)]
pub struct Payouts(VecDeque<Waiting>);

impl Payouts {
    /// A row of the desk's journal took this out.
    pub fn add(&mut self, row: u64, withdrawn: Withdrawn) {
        self.0.push_back(Waiting { row, withdrawn, failures: 0, next: Timestamp::default() });
    }

    /// What should be tried now.
    pub fn due(&self, now: Timestamp) -> Vec<Withdrawn> {
        self.0.iter().filter(|waiting| waiting.next <= now).map(|w| w.withdrawn).collect()
    }

    /// It is paid.
    pub fn paid(&mut self, withdrawn: &Withdrawn) {
        self.0.retain(|waiting| waiting.withdrawn != *withdrawn);
    }

    /// It could not be paid now.
    pub fn failed(&mut self, withdrawn: &Withdrawn, now: Timestamp) {
        for waiting in self.0.iter_mut().filter(|waiting| waiting.withdrawn == *withdrawn) {
            let wait = FIRST_WAIT * 2_u32.saturating_pow(waiting.failures.min(16));
            waiting.failures = waiting.failures.saturating_add(1);
            waiting.next = now.plus(wait.min(LONGEST_WAIT));
        }
    }

    /// The row of the first; what is older is done.
    pub fn first_row(&self) -> Option<u64> {
        self.0.front().map(|waiting| waiting.row)
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What this party waits for.
    pub fn of(&self, party: Party) -> Option<Withdrawn> {
        self.0.iter().map(|waiting| waiting.withdrawn).find(|w| w.party == party)
    }
}

#[cfg(test)]
mod tests {
    use ::market::MoveId;
    use ::money::{Amount, Asset};

    use super::*;

    fn one(n: u8) -> Withdrawn {
        Withdrawn {
            id: MoveId::from_u128(n.into()),
            party: Party::new([n; 20]),
            amount: Amount::from_minor(Asset::MUSD, 1_000),
        }
    }

    #[test]
    fn a_payout_that_cannot_be_made_waits_alone_and_ever_longer() {
        let mut payouts = Payouts::default();
        let at = Timestamp::from_secs;
        payouts.add(3, one(1));
        payouts.add(4, one(2));
        assert_eq!(payouts.due(at(100)), [one(1), one(2)]);
        payouts.failed(&one(1), at(100));
        assert_eq!(payouts.due(at(100)), [one(2)], "the other goes on");
        payouts.paid(&one(2));
        assert_eq!((payouts.first_row(), payouts.of(one(1).party)), (Some(3), Some(one(1))));
        assert_eq!(payouts.due(at(104)), []);
        assert_eq!(payouts.due(at(105)), [one(1)]);
        payouts.failed(&one(1), at(105));
        assert_eq!(payouts.due(at(114)), []);
        assert_eq!(payouts.due(at(115)), [one(1)]);
        for _ in 0..100 {
            payouts.failed(&one(1), at(200));
        }
        assert_eq!(payouts.due(at(799)), []);
        assert_eq!(payouts.due(at(800)), [one(1)], "it is never given up");
        payouts.paid(&one(1));
        assert!(payouts.is_empty() && payouts.first_row().is_none());
    }
}
