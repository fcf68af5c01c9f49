//! Distributions of drivers, by their quantile functions.
//!
//! Every driver is drawn by inversion: one uniform number, one quantile. So a driver held fixed leaves
//! all others as they were, which is what makes answers to *what if* comparable draw by draw.

use statrs::function::erf::{erfc, erfc_inv};

/// How a driver is distributed. Parameters are in the driver's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Fixed(f64),
    /// Triangular between `least` and `most`, with its peak at `mode`.
    Triangular {
        /// The least value.
        least: f64,
        /// The most likely value.
        mode: f64,
        /// The greatest value.
        most: f64,
    },
    /// Normal.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation, above zero.
        deviation: f64,
    },
    /// Lognormal; values above `cap` count as `cap`.
    LogNormal {
        /// Median, above zero.
        median: f64,
        /// Standard deviation of the logarithm, above zero.
        deviation: f64,
        /// The greatest value; infinite for none.
        cap: f64,
    },
}

/// The standard normal distribution function.
#[must_use]
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z / std::f64::consts::SQRT_2)
}

/// The standard normal density.
#[must_use]
pub fn normal_density(z: f64) -> f64 {
    (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// The standard normal quantile of a probability strictly between zero and one.
#[must_use]
pub fn normal_quantile(probability: f64) -> f64 {
    -std::f64::consts::SQRT_2 * erfc_inv(2.0 * probability)
}

impl Distribution {
    /// The value below which the driver lies with this probability, strictly between zero and one.
    #[must_use]
    pub fn quantile(&self, probability: f64) -> f64 {
        match *self {
            Distribution::Fixed(value) => value,
            Distribution::Triangular { least, mode, most } => {
                let width = most - least;
                let rising = (mode - least) / width;
                if probability < rising {
                    least + (probability * width * (mode - least)).sqrt()
                } else {
                    most - ((1.0 - probability) * width * (most - mode)).sqrt()
                }
            }
            Distribution::Normal { mean, deviation } => {
                mean + deviation * normal_quantile(probability)
            }
            Distribution::LogNormal { median, deviation, cap } => {
                (median * (deviation * normal_quantile(probability)).exp()).min(cap)
            }
        }
    }

    /// The probability of a value at or below this one.
    #[must_use]
    pub fn cdf(&self, value: f64) -> f64 {
        match *self {
            Distribution::Fixed(at) => f64::from(u8::from(value >= at)),
            Distribution::Triangular { least, mode, most } => {
                let width = most - least;
                if value <= least {
                    0.0
                } else if value >= most {
                    1.0
                } else if value < mode {
                    (value - least).powi(2) / (width * (mode - least))
                } else {
                    1.0 - (most - value).powi(2) / (width * (most - mode))
                }
            }
            Distribution::Normal { mean, deviation } => normal_cdf((value - mean) / deviation),
            Distribution::LogNormal { median, deviation, cap } => {
                if value <= 0.0 {
                    0.0
                } else if value >= cap {
                    1.0
                } else {
                    normal_cdf((value / median).ln() / deviation)
                }
            }
        }
    }

    /// Half of all values are below it.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Whether there is nothing to draw.
    #[must_use]
    pub const fn is_fixed(&self) -> bool {
        matches!(self, Distribution::Fixed(_))
    }

    /// Mean and variance of the driver's logarithm, by 4,000 midpoints; for drivers above zero.
    #[must_use]
    pub fn log_moments(&self) -> (f64, f64) {
        const POINTS: u32 = 4_000;
        let n = f64::from(POINTS);
        let (mut sum, mut squares) = (0.0, 0.0);
        for i in 0..POINTS {
            let x = self.quantile((f64::from(i) + 0.5) / n).ln();
            sum += x;
            squares += x * x;
        }
        let mean = sum / n;
        (mean, (squares / n - mean * mean).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Distribution, normal_cdf, normal_quantile};

    #[test]
    fn quantile_and_cdf_undo_each_other() {
        let all = [
            Distribution::Triangular { least: 0.1, mode: 0.2, most: 0.4 },
            Distribution::Normal { mean: 0.05, deviation: 0.03 },
            Distribution::LogNormal { median: 0.12, deviation: 0.9, cap: f64::INFINITY },
        ];
        for distribution in all {
            for i in 1..1000 {
                let p = f64::from(i) / 1000.0;
                let again = distribution.cdf(distribution.quantile(p));
                assert!((again - p).abs() < 1e-9, "{distribution:?} {p} {again}");
            }
        }
    }

    #[test]
    fn the_normal_quantile_is_that_of_the_tables() {
        // Abramowitz and Stegun, table 26.5 and 26.6.
        for (p, z) in
            [(0.5, 0.0), (0.975, 1.959_963_985), (0.995, 2.575_829_304), (0.05, -1.644_853_627)]
        {
            assert!((normal_quantile(p) - z).abs() < 1e-8, "{p}");
            assert!((normal_cdf(z) - p).abs() < 1e-9, "{p}");
        }
        for p in [1e-12, 1.0 - 1e-12] {
            assert!(normal_quantile(p).is_finite());
        }
    }

    #[test]
    fn a_cap_is_where_the_greatest_values_lie() {
        let share = Distribution::LogNormal { median: 0.12, deviation: 0.9, cap: 1.0 };
        assert_eq!(share.quantile(1.0 - 1e-9), 1.0);
        assert_eq!(share.cdf(1.0), 1.0);
        assert!(share.cdf(0.999) < 1.0);
    }

    #[test]
    fn log_moments_of_a_lognormal_are_its_parameters() {
        let d = Distribution::LogNormal { median: 2.0, deviation: 0.5, cap: f64::INFINITY };
        let (mean, variance) = d.log_moments();
        assert!((mean - 2f64.ln()).abs() < 1e-6 && (variance - 0.25).abs() < 1e-3);
    }
}
