//! A quotient that stays exact: two integers, divided only to be read.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// `numerator / denominator`, both in the same unit.
///
/// In JSON both are decimal strings beside the text a person reads, which has two decimals,
/// rounded half away from zero, and is `n/a` where the denominator is not above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    /// What is divided.
    pub numerator: i128,
    /// By what; the ratio means nothing unless this is above zero.
    pub denominator: i128,
}

impl Ratio {
    /// This ratio times `by / over`. Where the product does not fit, low bits of both parts are
    /// dropped, far below what two decimals show.
    pub(crate) fn scaled(self, by: u64, over: u64) -> Ratio {
        let (by, over) = (i128::from(by), i128::from(over));
        // A factor has at most 64 bits, so 64 bits less always make room.
        (0..=64u32)
            .find_map(|drop| {
                let numerator = (self.numerator >> drop).checked_mul(by)?;
                let denominator = (self.denominator >> drop).checked_mul(over)?;
                Some(Ratio { numerator, denominator })
            })
            .unwrap_or(Ratio { numerator: 0, denominator: 0 })
    }

    /// The ratio in hundredths, rounded half away from zero. None if the denominator is not above
    /// zero, or if the result does not fit.
    pub fn hundredths(&self) -> Option<i128> {
        if self.denominator <= 0 {
            return None;
        }
        let whole = self.numerator / self.denominator;
        let rest = (self.numerator % self.denominator).unsigned_abs();
        let denominator = self.denominator.unsigned_abs();
        // `rest < denominator < 2^127`, and a hundredfold needs seven bits more: where those lack, drop
        // low bits of both, far below what two decimals show.
        let shift = 8u32.saturating_sub(denominator.leading_zeros());
        let (rest, denominator) = (rest >> shift, denominator >> shift);
        let fraction = i128::try_from((rest * 100 + denominator / 2) / denominator).ok()?;
        let sign = if self.numerator < 0 { -1 } else { 1 };
        whole.checked_mul(100)?.checked_add(sign * fraction)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hundredths() {
            None => f.pad("n/a"),
            Some(hundredths) => {
                let sign = if hundredths < 0 { "-" } else { "" };
                let value = hundredths.unsigned_abs();
                f.pad(&format!("{sign}{}.{:02}", value / 100, value % 100))
            }
        }
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Ratio", 3)?;
        fields.serialize_field("numerator", &self.numerator.to_string())?;
        fields.serialize_field("denominator", &self.denominator.to_string())?;
        fields.serialize_field("text", &self.to_string())?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::Ratio;

    fn text(numerator: i128, denominator: i128) -> String {
        Ratio { numerator, denominator }.to_string()
    }

    #[test]
    fn ratios_read_with_two_decimals_rounded_half_away_from_zero() {
        assert_eq!(text(3, 2), "1.50");
        assert_eq!(text(2, 3), "0.67");
        assert_eq!(text(1, 200), "0.01");
        assert_eq!(text(-1, 200), "-0.01");
        assert_eq!(text(1, 201), "0.00");
        assert_eq!(text(1999, 1000), "2.00");
        assert_eq!(text(-7, 2), "-3.50");
        assert_eq!(text(0, 5), "0.00");
    }

    #[test]
    fn a_scaled_ratio_is_the_product_however_large_its_parts() {
        let text = |numerator, denominator, by, over| {
            Ratio { numerator, denominator }.scaled(by, over).to_string()
        };
        assert_eq!(text(3, 2, 365, 73), "7.50");
        assert_eq!(text(i128::MAX / 2, i128::MAX, u64::MAX, u64::MAX / 4), "2.00");
        assert_eq!(text(-(1 << 123), 1 << 123, 12, 1), "-12.00");
        assert_eq!(text(5, 0, 12, 1), "n/a");
    }

    #[test]
    fn a_ratio_to_nothing_is_said_to_be_none() {
        assert_eq!(text(1, 0), "n/a");
        assert_eq!(text(1, -1), "n/a");
    }

    #[test]
    fn the_largest_figures_still_divide() {
        assert_eq!(text(i128::MAX, i128::MAX), "1.00");
        assert_eq!(text(i128::MAX / 2, i128::MAX), "0.50");
        assert_eq!(text(i128::MIN, i128::MAX), "-1.00");
        assert_eq!(text(i128::MAX / 3 * 2, i128::MAX), "0.67");
        assert_eq!(text(i128::MAX, 1), "n/a", "a result past i128 is not shown");
    }
}
