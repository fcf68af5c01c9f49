//! How good the work of jobs was, from what the market's checks found: for prices of what was bought.
//!
//! The quality of a job is the share of its worker's jobs at that skill that passed their checks, up to
//! that job and with it. It depends on the receipts before it alone, and they are kept for good: the
//! same at each look, and after each start.

use std::collections::HashMap;
use std::sync::Mutex;

use ::market::desk::Desk;
use ::market::reputation::Receipt;
use ::market::{JobId, Skill};
use economy::REFERENCE_QUALITY;
use money::Party;

/// What was read of the market's receipts until now.
#[derive(Default)]
struct Read {
    receipts: usize,
    /// Passed, and checked.
    records: HashMap<(Party, Skill), (u64, u64)>,
    jobs: HashMap<JobId, u64>,
}

impl Read {
    fn take(&mut self, receipts: &[Receipt]) {
        for receipt in receipts.get(self.receipts..).unwrap_or_default() {
            let record = self.records.entry((receipt.worker, receipt.skill)).or_default();
            record.0 += u64::from(receipt.passed);
            record.1 += 1;
            self.jobs.insert(receipt.job, record.0 * REFERENCE_QUALITY / record.1);
        }
        self.receipts = receipts.len();
    }
}

/// The quality of each job that was checked, in millionths.
pub fn by_job(desk: Desk) -> Box<dyn Fn(JobId) -> Option<u64> + Send> {
    let read = Mutex::new(Read::default());
    Box::new(move |job| {
        let mut read = read.lock().expect("nothing panics under this lock");
        desk.read(|state| read.take(state.receipts()));
        // Work of which nothing ever passed has no price for a unit of its quality.
        read.jobs.get(&job).copied().filter(|quality| *quality > 0)
    })
}

#[cfg(test)]
mod tests {
    use money::{Amount, Asset, Timestamp};

    use super::*;

    fn receipt(job: u128, worker: u8, passed: bool) -> Receipt {
        let amount = Amount::from_minor(Asset::MUSD, 1_000);
        Receipt {
            job: JobId::from_u128(job),
            at: Timestamp::from_secs(1),
            skill: Skill::derive(&[b"vision/classify"]),
            client: Party::new([1; 20]),
            worker: Party::new([worker; 20]),
            price: amount,
            fee: amount,
            checker_fee: amount,
            passed,
            checkers: Vec::new(),
        }
    }

    #[test]
    fn a_job_is_as_good_as_what_was_known_of_its_worker_by_then() {
        let all =
            [receipt(1, 2, true), receipt(2, 2, false), receipt(3, 3, true), receipt(4, 2, true)];
        let mut at_once = Read::default();
        at_once.take(&all);
        let of = |read: &Read, job| read.jobs.get(&JobId::from_u128(job)).copied();
        assert_eq!(of(&at_once, 1), Some(1_000_000));
        assert_eq!(of(&at_once, 2), Some(500_000));
        assert_eq!(of(&at_once, 3), Some(1_000_000), "another worker");
        assert_eq!(of(&at_once, 4), Some(666_666));
        assert_eq!(of(&at_once, 5), None);
        let mut by_and_by = Read::default();
        for known in 0..=all.len() {
            by_and_by.take(&all[..known]);
        }
        assert_eq!(by_and_by.jobs, at_once.jobs, "however often it is read");
    }
}
