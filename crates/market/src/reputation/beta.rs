//! What people see of a record: Beta posteriors with their bounds.
//!
//! With a uniform prior, after `passed` and `failed` pieces of evidence the chance that the next work
//! passes is distributed as Beta(1 + passed, 1 + failed) (A. Jøsang and R. Ismail, "The Beta
//! Reputation System", 2002). Lists are ranked by the lower bound, since a mean makes the newest
//! look as good as the best. Floats serve display and ranking only; nothing here decides about money.

use statrs::distribution::{Beta, ContinuousCDF};

use super::Counts;

/// A quality with what it is at least and at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// At least, with the asked-for confidence on both sides together.
    pub low: f64,
    /// Expected.
    pub mean: f64,
    /// At most.
    pub high: f64,
}

/// The credible interval of this confidence, for instance 0.95, from the posterior's quantiles.
pub fn interval(counts: Counts, confidence: f64) -> Interval {
    let (a, b) = (f64::from(counts.passed) + 1.0, f64::from(counts.failed) + 1.0);
    let tail = (1.0 - confidence.clamp(0.0, 1.0)) / 2.0;
    let mean = a / (a + b);
    match Beta::new(a, b) {
        Ok(beta) => {
            Interval { low: beta.inverse_cdf(tail), mean, high: beta.inverse_cdf(1.0 - tail) }
        }
        Err(_) => Interval { low: 0.0, mean, high: 1.0 },
    }
}

/// Wilson's interval for a share of `hits` among `trials` at `z` standard deviations (1.96 for 95 %;
/// E. B. Wilson, 1927): it stays within 0 and 1 and is right for small counts too. Of no trials,
/// 0 to 1.
pub fn wilson(hits: u64, trials: u64, z: f64) -> Interval {
    if trials == 0 {
        return Interval { low: 0.0, mean: 0.0, high: 1.0 };
    }
    let n = trials as f64;
    let share = hits as f64 / n;
    let scale = 1.0 + z * z / n;
    let middle = (share + z * z / (2.0 * n)) / scale;
    let half = z / scale * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    Interval { low: (middle - half).max(0.0), mean: share, high: (middle + half).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proven_worker_ranks_before_a_lucky_newcomer() {
        let newcomer = interval(Counts { passed: 1, failed: 0 }, 0.95);
        let proven = interval(Counts { passed: 45, failed: 5 }, 0.95);
        assert!(newcomer.low < 0.2 && proven.low > 0.78);
        let nothing = interval(Counts::default(), 0.9);
        assert!((nothing.low - 0.05).abs() < 1e-6 && (nothing.high - 0.95).abs() < 1e-6);
    }

    #[test]
    fn wilsons_interval_is_the_published_one() {
        let of = wilson(8, 10, 1.96);
        assert!((of.low - 0.4902).abs() < 1e-4 && (of.high - 0.9433).abs() < 1e-4, "{of:?}");
        let none = wilson(0, 10, 1.96);
        assert!(none.low.abs() < 1e-12 && none.high > 0.27);
    }
}
