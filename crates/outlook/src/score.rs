//! Scores of forecasts, and what can be concluded from few of them.
//!
//! All are of natural logarithms, so that being wrong by a factor costs the same everywhere. Tests hold
//! them against closed forms and against PyPI `scoringrules` and `properscoring`.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

use crate::distribution::{normal_cdf, normal_density, normal_quantile};
use crate::predictive::Normal;

/// CRPS of a normal distribution (Gneiting and Raftery 2007, eq. 21):
/// `σ [z (2Φ(z) − 1) + 2φ(z) − 1/√π]`, `z = (y − μ)/σ`.
#[must_use]
pub fn crps_normal(n: Normal, observed: f64) -> f64 {
    let z = (observed - n.mean) / n.deviation;
    let root = std::f64::consts::FRAC_2_SQRT_PI / 2.0;
    n.deviation * (z * (2.0 * normal_cdf(z) - 1.0) + 2.0 * normal_density(z) - root)
}

/// CRPS of a mixture of normals (Grimit et al. 2006):
/// `Σ wᵢ A(y−μᵢ, σᵢ²) − ½ ΣΣ wᵢ wⱼ A(μᵢ−μⱼ, σᵢ²+σⱼ²)`, `A(m, s²) = m (2Φ(m/s) − 1) + 2 s φ(m/s)`.
#[must_use]
pub fn crps_normal_mixture(parts: &[(f64, Normal)], observed: f64) -> f64 {
    let a = |m: f64, variance: f64| {
        let s = variance.sqrt();
        m * (2.0 * normal_cdf(m / s) - 1.0) + 2.0 * s * normal_density(m / s)
    };
    let mut score = 0.0;
    for (w, p) in parts {
        score += w * a(observed - p.mean, p.deviation.powi(2));
        for (v, q) in parts {
            let spread = p.deviation.powi(2) + q.deviation.powi(2);
            score -= 0.5 * w * v * a(p.mean - q.mean, spread);
        }
    }
    score
}

/// CRPS of draws in ascending order: `E|X − y| − ½ E|X − X′|`, the second term by order statistics.
#[must_use]
pub fn crps_sorted(sorted: &[f64], observed: f64) -> f64 {
    let n = sorted.len() as f64;
    let distance = sorted.iter().map(|x| (x - observed).abs()).sum::<f64>() / n;
    // Σᵢⱼ |xᵢ − xⱼ| = 2 Σ (2i − n + 1) xᵢ for i from zero.
    let spread: f64 =
        sorted.iter().enumerate().map(|(i, x)| (2.0 * i as f64 - n + 1.0) * x).sum::<f64>();
    distance - spread / (n * n)
}

/// CRPS by quantiles: twice the mean pinball loss over 999 levels. Good to about a part in a thousand.
#[must_use]
pub fn crps_by_quantiles(quantile: impl Fn(f64) -> f64, observed: f64) -> f64 {
    const LEVELS: u32 = 999;
    let n = f64::from(LEVELS + 1);
    let sum: f64 = (1..=LEVELS)
        .map(|i| {
            let level = f64::from(i) / n;
            pinball(level, quantile(level), observed)
        })
        .sum();
    2.0 * sum / f64::from(LEVELS)
}

/// Pinball loss of one quantile: `max(τ e, (τ − 1) e)`, `e = y − q`.
#[must_use]
pub fn pinball(level: f64, quantile: f64, observed: f64) -> f64 {
    let e = observed - quantile;
    (level * e).max((level - 1.0) * e)
}

/// Interval score of the central interval that should hold the outcome with probability `coverage`
/// (Gneiting and Raftery 2007, eq. 43; the M4 competition's MIS before scaling).
#[must_use]
pub fn interval_score(low: f64, high: f64, coverage: f64, observed: f64) -> f64 {
    let alpha = 1.0 - coverage;
    (high - low)
        + 2.0 / alpha * (low - observed).max(0.0)
        + 2.0 / alpha * (observed - high).max(0.0)
}

/// A share of successes with Wilson's interval (1927) at 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Wilson {
    /// Successes.
    pub hits: u32,
    /// Trials.
    pub of: u32,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Wilson {
    /// The interval of so many successes; from zero to one if nothing was tried.
    ///
    /// `effective` is how many of the trials are worth an independent one: overlapping forecasts are worth
    /// fewer. The share stays, the interval widens.
    #[must_use]
    pub fn new(hits: u32, of: u32, effective: f64) -> Wilson {
        if of == 0 || effective <= 0.0 {
            return Wilson { hits, of, low: 0.0, high: 1.0 };
        }
        let z2 = normal_quantile(0.975).powi(2);
        let p = f64::from(hits) / f64::from(of);
        let n = effective.min(f64::from(of));
        let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = (z2 * (p * (1.0 - p) / n + z2 / (4.0 * n * n))).sqrt() / (1.0 + z2 / n);
        Wilson { hits, of, low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
    }

    /// The share.
    #[must_use]
    pub fn share(&self) -> f64 {
        f64::from(self.hits) / f64::from(self.of.max(1))
    }
}

/// Counts of probability integral transforms in ten equal bins: flat if the forecasts are calibrated.
#[must_use]
pub fn pit_histogram(pits: &[f64]) -> [u32; 10] {
    let mut bins = [0; 10];
    for pit in pits {
        bins[((pit * 10.0) as usize).min(9)] += 1;
    }
    bins
}

/// The test of Diebold and Mariano (1995) that two forecasts score alike.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DieboldMariano {
    /// Mean of the differences of scores: below zero if the first is better.
    pub difference: f64,
    /// The statistic, with the small-sample factor of Harvey, Leybourne and Newbold (1997).
    pub statistic: f64,
    /// Probability of one as far from zero, either way, if both are alike.
    pub p_value: f64,
    /// Autocovariances that were counted.
    pub lag: usize,
}

/// The fewest differences that are tested, beyond the lag.
const FEWEST_DIFFERENCES: usize = 8;

impl DieboldMariano {
    /// Tests differences of scores in order of time, made `steps` ahead, with the long-run variance of Newey
    /// and West (1987) at lag `steps`: forecasts `steps` ahead overlap, so that their errors are alike.
    ///
    /// None if there are too few (fewer than eight, or than twice the lag), or none differs.
    #[must_use]
    pub fn test(differences: &[f64], steps: usize) -> Option<DieboldMariano> {
        let count = differences.len();
        if count < FEWEST_DIFFERENCES || count < 2 * steps {
            return None;
        }
        let n = count as f64;
        let mean = differences.iter().sum::<f64>() / n;
        let covariance = |lag: usize| {
            let pairs = differences.iter().zip(&differences[lag..]);
            pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n
        };
        let lag = steps;
        let long_run: f64 = covariance(0)
            + (1..=lag)
                .map(|k| 2.0 * (1.0 - k as f64 / (lag + 1) as f64) * covariance(k))
                .sum::<f64>();
        if long_run <= 0.0 || !long_run.is_finite() {
            return None;
        }
        let h = steps as f64;
        let correction = ((n + 1.0 - 2.0 * h + h * (h - 1.0) / n) / n).max(0.0).sqrt();
        let statistic = correction * mean / (long_run / n).sqrt();
        let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
        let p_value = 2.0 * student.cdf(-statistic.abs());
        Some(DieboldMariano { difference: mean, statistic, p_value, lag })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        DieboldMariano, Wilson, crps_by_quantiles, crps_normal, crps_normal_mixture, crps_sorted,
        interval_score, pinball, pit_histogram,
    };
    use crate::distribution::normal_quantile;
    use crate::predictive::Normal;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    // Computed once with PyPI scoringrules 0.10.0 (`crps_normal`, `crps_mixnorm`, `crps_ensemble` with the
    // estimator `nrg`, `interval_score`, `quantile_score`); `crps_normal` and `crps_ensemble` also with
    // properscoring 0.1 (`crps_gaussian`, `crps_ensemble`), which agrees to the last digits.
    #[test]
    fn scores_are_those_of_scoringrules_and_properscoring() {
        for (y, mean, deviation, crps) in [
            (0.3, 0.0, 1.0, 0.269_332_900_686_663_4),
            (2.5, 1.0, 0.5, 1.218_287_362_543_169_8),
            (-1.2, 0.4, 2.0, 0.952_449_768_483_549_1),
        ] {
            close(crps_normal(Normal { mean, deviation }, y), crps);
        }
        let parts = [
            (0.3, Normal { mean: 0.0, deviation: 1.0 }),
            (0.7, Normal { mean: 2.0, deviation: 0.5 }),
        ];
        close(crps_normal_mixture(&parts, 0.7), 0.590_855_018_403_045_2);
        let draws = [0.1, 0.4, 0.45, 0.9, 1.7, 2.2];
        for (y, crps) in [
            (0.5, 0.229_166_666_666_666_7),
            (-1.0, 1.545_833_333_333_333_2),
            (3.0, 1.629_166_666_666_666_4),
        ] {
            close(crps_sorted(&draws, y), crps);
        }
        close(interval_score(1.0, 2.5, 0.8, 3.0), 6.5);
        close(interval_score(1.0, 2.5, 0.8, 1.5), 1.5);
        close(pinball(0.3, 1.5, 1.0), 0.35);
        close(pinball(0.9, 1.5, 2.0), 0.45);
    }

    #[test]
    fn crps_of_a_point_is_its_distance_and_of_the_standard_normal_at_its_middle_the_closed_form() {
        close(crps_sorted(&[2.0], 3.5), 1.5);
        // (√2 − 1)/√π.
        let standard = Normal { mean: 0.0, deviation: 1.0 };
        close(crps_normal(standard, 0.0), (2f64.sqrt() - 1.0) / std::f64::consts::PI.sqrt());
        let by_quantiles = crps_by_quantiles(normal_quantile, 0.4);
        let exact = crps_normal(standard, 0.4);
        assert!((by_quantiles / exact - 1.0).abs() < 5e-3, "{by_quantiles} and {exact}");
    }

    #[test]
    fn crps_is_proper_who_says_what_they_believe_scores_best() {
        // Mean score of N(m, s) where N(0, 1) is true, over its quantiles.
        let mean = |mean: f64, deviation: f64| {
            let n = 2_000;
            let score = |i| {
                let y = normal_quantile((f64::from(i) + 0.5) / f64::from(n));
                crps_normal(Normal { mean, deviation }, y)
            };
            (0..n).map(score).sum::<f64>() / f64::from(n)
        };
        let honest = mean(0.0, 1.0);
        for (m, s) in [(0.1, 1.0), (-0.1, 1.0), (0.0, 0.8), (0.0, 1.25), (1.0, 2.0)] {
            assert!(mean(m, s) > honest, "{m} {s}");
        }
    }

    #[test]
    fn wilson_s_interval_is_the_published_one_and_widens_where_forecasts_overlap() {
        // Newcombe 1998, table I: 81 of 263 is .2553 to .3662; 0 of 20 is 0 to .1611.
        let w = Wilson::new(81, 263, 263.0);
        assert!((w.low - 0.2553).abs() < 5e-5 && (w.high - 0.3662).abs() < 5e-5, "{w:?}");
        let w = Wilson::new(0, 20, 20.0);
        assert!(w.low == 0.0 && (w.high - 0.1611).abs() < 5e-5, "{w:?}");
        let few = Wilson::new(81, 263, 10.0);
        assert!(few.low < 0.2553 - 0.1 && few.high > 0.3662 + 0.1);
        assert_eq!((Wilson::new(0, 0, 0.0).low, Wilson::new(0, 0, 0.0).high), (0.0, 1.0));
    }

    const DIFFERENCES: [f64; 12] =
        [0.1, -0.2, 0.05, 0.3, 0.12, -0.04, 0.22, 0.18, -0.11, 0.07, 0.15, 0.02];

    // The mean and its HAC error by PyPI statsmodels (`OLS(d, 1).fit(cov_type="HAC", maxlags=h,
    // use_correction=False)`), the factor and Student's t by scipy.
    #[test]
    fn diebold_and_mariano_s_test_is_that_of_statsmodels() {
        for (steps, statistic, p_value) in [
            (1, 1.877_175_044_701_123_3, 0.087_251_773_636_761),
            (3, 2.391_679_168_524_345, 0.035_755_045_597_718_87),
        ] {
            let test = DieboldMariano::test(&DIFFERENCES, steps).expect("enough");
            close(test.difference, DIFFERENCES.iter().sum::<f64>() / 12.0);
            close(test.statistic, statistic);
            close(test.p_value, p_value);
        }
    }

    #[test]
    fn too_few_differences_and_none_that_differ_are_not_tested() {
        assert_eq!(DieboldMariano::test(&DIFFERENCES[..7], 1), None);
        assert_eq!(DieboldMariano::test(&DIFFERENCES, 7), None);
        assert_eq!(DieboldMariano::test(&[0.0; 40], 4), None);
    }

    #[test]
    fn every_transform_falls_in_a_bin() {
        assert_eq!(pit_histogram(&[0.0, 0.05, 0.1, 0.999, 1.0]), [2, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
    }
}
