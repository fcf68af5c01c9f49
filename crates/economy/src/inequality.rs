//! How evenly something is spread: Gini's coefficient, and Herfindahl's and Hirschman's index.
//!
//! Both are exact ratios of integers. They are defined for shares of a whole, so parts below zero
//! (losses) count as nothing; [`Spread::below_zero`] says how many there were.

use serde::Serialize;

use crate::Ratio;

/// How evenly a sum is spread over its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// How many parts there are, those of nothing included.
    pub parts: u64,
    /// How many were below zero, and counted as nothing.
    pub below_zero: u64,
    /// Gini's coefficient: 0 if all have the same, towards 1 if one has all.
    ///
    /// *G = Σ_i (2i − n − 1) y_i / (n Σ y)* over *y* in ascending order, *i* from 1 (Dixon et al.
    /// 1987, *Ecology* 68, equation 2, without the small-sample correction).
    pub gini: Ratio,
    /// The Herfindahl–Hirschman index *Σ s_i²* of shares *s*: 1/n if all have the same, 1 if one has
    /// all. Antitrust authorities write it times 10,000.
    pub herfindahl: Ratio,
    /// The share of the largest part.
    pub largest: Ratio,
}

/// How these parts spread over their sum. Order does not matter.
pub fn spread(parts: impl IntoIterator<Item = i128>) -> Spread {
    let mut parts: Vec<i128> = parts.into_iter().collect();
    let below_zero = parts.iter().filter(|part| **part < 0).count() as u64;
    for part in &mut parts {
        *part = (*part).max(0);
    }
    parts.sort_unstable();
    let count = parts.len() as u64;
    let scaled = scaled(&parts);
    let sum: i128 = scaled.iter().sum();
    let n = i128::from(count);
    let ranked: i128 = (1i128..).zip(&scaled).map(|(rank, part)| (2 * rank - n - 1) * part).sum();
    let squares: i128 = scaled.iter().map(|part| part * part).sum();
    Spread {
        parts: count,
        below_zero,
        gini: Ratio { numerator: ranked, denominator: n * sum },
        herfindahl: Ratio { numerator: squares, denominator: sum * sum },
        largest: Ratio { numerator: scaled.last().copied().unwrap_or(0), denominator: sum },
    }
}

/// The parts with low bits dropped until their sum has at most 2⁶² units: then its square, and its
/// product with any count of parts that fits in memory, fit in `i128`. Nothing is dropped below
/// four million million dollars of six decimals; above, far less than two decimals show.
fn scaled(parts: &[i128]) -> Vec<i128> {
    let largest = parts.last().copied().unwrap_or(0);
    let bits = |value: u128| 128 - value.leading_zeros();
    let needed = bits(largest.unsigned_abs()) + bits(parts.len() as u128);
    let shift = needed.saturating_sub(62);
    parts.iter().map(|part| part >> shift).collect()
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn a_worked_example() {
        // Shares 1..5 of 15: G = 2·55/(5·15) − 6/5 = 4/15; HHI = 55/225.
        let five = spread([3, 1, 5, 2, 4]);
        assert_eq!((five.gini.numerator * 15, five.gini.denominator * 4), (20 * 15, 75 * 4));
        assert_eq!((five.herfindahl.numerator, five.herfindahl.denominator), (55, 225));
        assert_eq!((five.largest.numerator, five.largest.denominator), (5, 15));
    }

    #[test]
    fn the_ends_of_the_scale() {
        assert_eq!(spread([7; 10]).gini.to_string(), "0.00");
        assert_eq!(spread([7; 10]).herfindahl.to_string(), "0.10");
        let one_has_all: Vec<i128> = (0..1_000).map(|i| i128::from(i == 0) * 9).collect();
        assert_eq!(spread(one_has_all.clone()).gini.to_string(), "1.00");
        assert_eq!(spread(one_has_all).herfindahl.to_string(), "1.00");
    }

    #[test]
    fn nothing_to_share_has_no_spread() {
        assert_eq!(spread([]).gini.to_string(), "n/a");
        assert_eq!(spread([0, 0]).herfindahl.to_string(), "n/a");
    }

    #[test]
    fn losses_count_as_nothing_and_are_said() {
        let with_loss = spread([-5, 1, 1]);
        assert_eq!(with_loss.below_zero, 1);
        assert_eq!(with_loss.herfindahl.to_string(), "0.50");
    }

    #[test]
    fn the_largest_parts_do_not_overflow() {
        let huge = spread([i128::MAX; 1_000]);
        assert_eq!(huge.gini.to_string(), "0.00");
        assert_eq!(huge.herfindahl.hundredths(), Some(0), "one in a thousand");
        assert_eq!(huge.largest.hundredths(), Some(0));
    }
}
