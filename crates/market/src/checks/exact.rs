//! Re-execution: executors do the pinned work again, and equal bytes pass.
//!
//! **Needs** a worker whose bytes are determined: weights, engine build, threads, batch of one and
//! instruction set are pinned in the brief, or the answer is canonical (labels in order,
//! probabilities rounded away from edges). The worker delivers sealed and executors commit before
//! anything is opened, so that none can copy what it should compute.
//!
//! **Costs** one fee an executor. **Confidence**: the chance that most of the executors are honest,
//! [`majority`](super::majority) of the honest part of the pool's stake, since the pool is drawn by
//! stake. An executor that does not work cannot guess a digest, so it differs from those who do.

use super::Tally;
use crate::terms::Report;

/// Whether the answer on which more than half of the executors agree is the worker's.
///
/// Executors who disagree all with each other decide nothing.
pub fn tally(worker: &Report, executors: &[&Report]) -> Tally {
    let count = |report: &Report| executors.iter().filter(|other| **other == report).count();
    let found = executors.iter().copied().find(|report| count(report) * 2 > executors.len());
    let agrees = executors
        .iter()
        .map(|report| {
            let same = *report == worker;
            // If the work fails, right is who found what most found; where this panel did not say
            // that it fails, whoever differed from the worker.
            let wrong = match found {
                Some(found) if found != worker => *report == found,
                _ => !same,
            };
            [wrong, same]
        })
        .collect();
    Tally { verdict: found.map(|found| found == worker), agrees }
}

/// The chance that the verdict is right, when `honest` of the pool's stake is.
pub fn confidence(executors: u8, honest: f64) -> f64 {
    super::majority(executors, honest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Digest;

    #[test]
    fn most_executors_decide_and_scattered_ones_do_not() {
        let of = |n: u8| Report::Digest(Digest::new([n; 32]));
        let (a, b, c, d) = (of(1), of(2), of(3), of(4));
        let passed = tally(&a, &[&a, &b, &a]);
        assert_eq!(passed.verdict, Some(true));
        assert_eq!(passed.agrees, [[false, true], [true, false], [false, true]]);
        let failed = tally(&a, &[&b, &b, &c]);
        assert_eq!(failed.verdict, Some(false));
        assert_eq!(failed.agrees, [[true, false], [true, false], [false, false]]);
        assert_eq!(tally(&a, &[&b, &c, &d]).verdict, None);
        assert_eq!(tally(&a, &[]).verdict, None);
    }
}
