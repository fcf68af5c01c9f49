//! What a model says about the future: a distribution of the logarithm of a quantity.

use serde::Serialize;

use crate::distribution::{normal_cdf, normal_quantile};
use crate::projection::quantile_of_sorted;
use crate::score;

/// A predictive distribution of a natural logarithm.
#[derive(Debug, Clone, PartialEq)]
pub enum Predictive {
    /// Normal: the quantity itself is lognormal.
    Normal(Normal),
    /// As it was drawn: logarithms, ascending, not empty.
    Drawn(Vec<f64>),
    /// Several, each with its weight; weights are above zero and sum to one.
    Pool(Vec<(f64, Predictive)>),
}

/// A normal distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Normal {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, above zero.
    pub deviation: f64,
}

impl Predictive {
    /// A normal distribution, with at least a little uncertainty.
    #[must_use]
    pub fn normal(mean: f64, variance: f64) -> Predictive {
        Predictive::Normal(Normal { mean, deviation: variance.max(1e-12).sqrt() })
    }

    /// The probability of a logarithm at or below this one.
    #[must_use]
    pub fn cdf(&self, x: f64) -> f64 {
        match self {
            Predictive::Normal(n) => normal_cdf((x - n.mean) / n.deviation),
            Predictive::Drawn(sorted) => {
                sorted.partition_point(|draw| *draw <= x) as f64 / sorted.len() as f64
            }
            Predictive::Pool(parts) => parts.iter().map(|(w, p)| w * p.cdf(x)).sum(),
        }
    }

    /// The logarithm below which the outcome lies with this probability, strictly between zero and one.
    #[must_use]
    pub fn quantile(&self, level: f64) -> f64 {
        match self {
            Predictive::Normal(n) => n.mean + n.deviation * normal_quantile(level),
            Predictive::Drawn(sorted) => quantile_of_sorted(sorted, level),
            Predictive::Pool(parts) => {
                // The pool's quantile lies between the least and the greatest of its parts'.
                let each = || parts.iter().map(|(_, part)| part.quantile(level));
                let mut low = each().fold(f64::INFINITY, f64::min);
                let mut high = each().fold(f64::NEG_INFINITY, f64::max);
                for _ in 0..60 {
                    let middle = 0.5 * (low + high);
                    if self.cdf(middle) < level {
                        low = middle;
                    } else {
                        high = middle;
                    }
                }
                0.5 * (low + high)
            }
        }
    }

    /// The continuous ranked probability score of what came, in the logarithm's unit; lower is better.
    #[must_use]
    pub fn crps(&self, observed: f64) -> f64 {
        match self {
            Predictive::Normal(n) => score::crps_normal(*n, observed),
            Predictive::Drawn(sorted) => score::crps_sorted(sorted, observed),
            Predictive::Pool(parts) => {
                let normals: Option<Vec<(f64, Normal)>> = parts
                    .iter()
                    .map(|(w, part)| match part {
                        Predictive::Normal(n) => Some((*w, *n)),
                        Predictive::Drawn(_) | Predictive::Pool(_) => None,
                    })
                    .collect();
                match normals {
                    Some(normals) => score::crps_normal_mixture(&normals, observed),
                    None => score::crps_by_quantiles(|level| self.quantile(level), observed),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Predictive;

    #[test]
    fn a_pool_s_quantile_and_probability_undo_each_other() {
        let pool = Predictive::Pool(vec![
            (0.3, Predictive::normal(0.0, 1.0)),
            (0.7, Predictive::normal(3.0, 0.25)),
        ]);
        for level in [0.01, 0.2, 0.5, 0.9, 0.99] {
            assert!((pool.cdf(pool.quantile(level)) - level).abs() < 1e-9);
        }
    }

    #[test]
    fn the_same_distribution_drawn_pooled_or_in_form_has_the_same_score() {
        let normal = Predictive::normal(1.0, 4.0);
        let draws = (0..20_000).map(|i| normal.quantile((f64::from(i) + 0.5) / 20_000.0)).collect();
        let drawn = Predictive::Drawn(draws);
        let pool = Predictive::Pool(vec![(0.5, normal.clone()), (0.5, normal.clone())]);
        let mixed = Predictive::Pool(vec![(0.5, normal.clone()), (0.5, drawn.clone())]);
        for observed in [-4.0, 0.0, 1.0, 2.5] {
            let exact = normal.crps(observed);
            assert!((drawn.crps(observed) - exact).abs() < 1e-3);
            assert!((pool.crps(observed) - exact).abs() < 1e-9);
            assert!((mixed.crps(observed) - exact).abs() < 5e-3);
        }
    }
}
