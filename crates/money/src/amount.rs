//! How much: an integer count of an asset's minor units.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::asset::Asset;

/// A sum of one asset, in its minor units (for [`Asset::MUSD`], millionths of a dollar).
///
/// Arithmetic is checked: it fails on overflow and on mixed assets instead of wrapping or
/// converting. There is no division and no float; who needs a share says how it rounds and who
/// keeps the remainder.
///
/// ```
/// use money::{Amount, Asset};
/// let price = Amount::parse(Asset::MUSD, "0.001")?;
/// assert_eq!(price.minor(), 1_000);
/// assert_eq!(price.checked_add(price)?.to_string(), "0.002 MUSD");
/// assert!(Amount::parse(Asset::MUSD, "0.0000001").is_err()); // finer than the asset: never rounded
/// # Ok::<(), money::AmountError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    asset: Asset,
    minor: i128,
}

/// Why an amount could not be read or computed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Nothing was written.
    #[error("an amount is missing: write a number, as in `1.25`")]
    Empty,
    /// A character that has no place in an amount.
    #[error(
        "`{text}` is no amount: `{found}` has no place in it; write digits with at most one point, as in `1.25`"
    )]
    Character {
        /// What was written, shortened.
        text: String,
        /// The first character that is wrong.
        found: char,
    },
    /// There are no digits before or after the point.
    #[error(
        "`{text}` is no amount: a digit is missing on one side of the point; write `0.5` or `5`"
    )]
    Digits {
        /// What was written, shortened.
        text: String,
    },
    /// More decimal places than the asset has; it is never rounded.
    #[error("`{text}` is finer than {asset} allows: it has {scale} decimal places")]
    TooFine {
        /// What was written, shortened.
        text: String,
        /// The asset that it was read as.
        asset: Asset,
        /// How many places the asset has.
        scale: u8,
    },
    /// The result lies beyond what can be counted.
    #[error("an amount of {asset} grew beyond what can be counted")]
    Overflow {
        /// The asset that was counted.
        asset: Asset,
    },
    /// Two assets met in one sum.
    #[error("{left} and {right} cannot be added or compared: they are different assets")]
    MixedAssets {
        /// The asset on the left.
        left: Asset,
        /// The asset on the right.
        right: Asset,
    },
}

impl Amount {
    /// This many minor units of `asset`.
    pub const fn from_minor(asset: Asset, minor: i128) -> Amount {
        Amount { asset, minor }
    }

    /// Nothing of `asset`.
    pub const fn zero(asset: Asset) -> Amount {
        Amount { asset, minor: 0 }
    }

    /// Reads whole units, as people write them: `12`, `0.25`, `-3.5`.
    ///
    /// No sign but `-`, no exponent, no separators, no currency signs, no surrounding space.
    ///
    /// # Errors
    /// Says which character is wrong, or that the text is finer than the asset; nothing is rounded.
    pub fn parse(asset: Asset, text: &str) -> Result<Amount, AmountError> {
        let shown = || text.chars().take(48).collect::<String>();
        if text.is_empty() {
            return Err(AmountError::Empty);
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let wrong = |part: &str| part.chars().find(|c| !c.is_ascii_digit());
        if let Some(found) = wrong(whole).or_else(|| fraction.and_then(wrong)) {
            return Err(AmountError::Character { text: shown(), found });
        }
        if whole.is_empty() || fraction.is_some_and(str::is_empty) {
            return Err(AmountError::Digits { text: shown() });
        }
        let fraction = fraction.unwrap_or("");
        // Zeros behind the last place carry nothing, so they are let through.
        let scale = usize::from(asset.scale());
        if fraction.len() > scale && fraction[scale..].bytes().any(|b| b != b'0') {
            return Err(AmountError::TooFine { text: shown(), asset, scale: asset.scale() });
        }
        let kept = &fraction[..fraction.len().min(scale)];
        let padding = std::iter::repeat_n(b'0', scale - kept.len());
        let mut minor: i128 = 0;
        for digit in whole.bytes().chain(kept.bytes()).chain(padding) {
            minor = minor
                .checked_mul(10)
                .and_then(|m| m.checked_add(i128::from(digit - b'0')))
                .ok_or(AmountError::Overflow { asset })?;
        }
        Ok(Amount { asset, minor: if negative { -minor } else { minor } })
    }

    /// The count of minor units.
    pub const fn minor(&self) -> i128 {
        self.minor
    }

    /// What is counted.
    pub const fn asset(&self) -> Asset {
        self.asset
    }

    /// Whether there is nothing.
    pub const fn is_zero(&self) -> bool {
        self.minor == 0
    }

    /// Whether it is less than nothing.
    pub const fn is_negative(&self) -> bool {
        self.minor < 0
    }

    /// Whether it is more than nothing.
    pub const fn is_positive(&self) -> bool {
        self.minor > 0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`AmountError::MixedAssets`], [`AmountError::Overflow`].
    pub fn checked_add(self, other: Amount) -> Result<Amount, AmountError> {
        self.combine(other, i128::checked_add)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`AmountError::MixedAssets`], [`AmountError::Overflow`].
    pub fn checked_sub(self, other: Amount) -> Result<Amount, AmountError> {
        self.combine(other, i128::checked_sub)
    }

    /// The same sum, owed instead of owned.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] for the one value that has no counterpart.
    pub fn checked_neg(self) -> Result<Amount, AmountError> {
        Amount::zero(self.asset).checked_sub(self)
    }

    /// Which is larger.
    ///
    /// # Errors
    /// [`AmountError::MixedAssets`].
    pub fn checked_cmp(self, other: Amount) -> Result<Ordering, AmountError> {
        self.same_asset(other)?;
        Ok(self.minor.cmp(&other.minor))
    }

    /// The number alone: two decimal places as money is usually written, more where they count:
    /// `5.00`, `0.25`, `0.001`. An asset with fewer places shows those that it has.
    pub fn number(&self) -> String {
        let scale = usize::from(self.asset.scale());
        let digits = format!("{:0>width$}", self.minor.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let counting = fraction.trim_end_matches('0').len();
        let fraction = &fraction[..counting.max(scale.min(2))];
        let sign = if self.minor < 0 { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }

    fn combine(
        self,
        other: Amount,
        operation: impl Fn(i128, i128) -> Option<i128>,
    ) -> Result<Amount, AmountError> {
        self.same_asset(other)?;
        let minor = operation(self.minor, other.minor)
            .ok_or(AmountError::Overflow { asset: self.asset })?;
        Ok(Amount { asset: self.asset, minor })
    }

    fn same_asset(self, other: Amount) -> Result<(), AmountError> {
        if self.asset == other.asset {
            Ok(())
        } else {
            Err(AmountError::MixedAssets { left: self.asset, right: other.asset })
        }
    }
}

impl fmt::Display for Amount {
    /// The number at the asset's scale and its code: `1.25 MUSD`. A width pads the whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.number(), self.asset))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// JSON: `{"asset":"MUSD/6","minor":"1250000"}`; minor units as a decimal string, since many
/// readers keep JSON numbers in floats.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    asset: Asset,
    minor: String,
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { asset: self.asset, minor: self.minor.to_string() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let minor = written.minor.parse().map_err(|_| {
            serde::de::Error::custom(format!(
                "`{}` is no count of minor units",
                written.minor.chars().take(48).collect::<String>()
            ))
        })?;
        Ok(Amount { asset: written.asset, minor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn musd(text: &str) -> Result<Amount, AmountError> {
        Amount::parse(Asset::MUSD, text)
    }

    #[test]
    fn people_s_numbers_are_read_exactly() {
        for (text, minor) in [
            ("0", 0),
            ("1", 1_000_000),
            ("1.25", 1_250_000),
            ("0.000001", 1),
            ("-3.5", -3_500_000),
            ("1.50000000", 1_500_000),
            ("007", 7_000_000),
        ] {
            assert_eq!(musd(text).map(|a| a.minor()), Ok(minor), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_the_reason() {
        assert_eq!(musd(""), Err(AmountError::Empty));
        for (text, found) in [
            ("1e6", 'e'),
            ("+1", '+'),
            (" 1", ' '),
            ("1,5", ','),
            ("€10,50", '€'),
            ("1.2.3", '.'),
            ("--1", '-'),
            ("0x10", 'x'),
            ("١", '١'),
        ] {
            assert_eq!(
                musd(text),
                Err(AmountError::Character { text: text.into(), found }),
                "{text}"
            );
        }
        for text in [".5", "5.", ".", "-", "-."] {
            assert_eq!(musd(text), Err(AmountError::Digits { text: text.into() }), "{text}");
        }
        assert!(matches!(musd("0.0000009"), Err(AmountError::TooFine { scale: 6, .. })));
        assert_eq!(musd(&"9".repeat(60)), Err(AmountError::Overflow { asset: Asset::MUSD }));
    }

    #[test]
    fn sums_neither_wrap_nor_mix() {
        let most = Amount::from_minor(Asset::MUSD, i128::MAX);
        let one = Amount::from_minor(Asset::MUSD, 1);
        assert_eq!(most.checked_add(one), Err(AmountError::Overflow { asset: Asset::MUSD }));
        assert_eq!(
            one.checked_add(Amount::zero(Asset::USDC)),
            Err(AmountError::MixedAssets { left: Asset::MUSD, right: Asset::USDC })
        );
        let least = Amount::from_minor(Asset::MUSD, i128::MIN);
        assert_eq!(least.checked_neg(), Err(AmountError::Overflow { asset: Asset::MUSD }));
        assert_eq!(least.number(), "-170141183460469231731687303715884.105728");
    }

    #[test]
    fn json_carries_minor_units_as_a_string() {
        let amount = musd("1.25").unwrap();
        let json = serde_json::to_string(&amount).unwrap();
        assert_eq!(json, r#"{"asset":"MUSD/6","minor":"1250000"}"#);
        assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
        for wrong in [r#"{"asset":"MUSD/6","minor":1}"#, r#"{"asset":"MUSD/6","minor":"1.5"}"#] {
            assert!(serde_json::from_str::<Amount>(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(minor in (i128::MIN + 1)..=i128::MAX, scale in 0u8..=36) {
            let asset = Asset::new("TEST", scale);
            let amount = Amount::from_minor(asset, minor);
            prop_assert_eq!(Amount::parse(asset, &amount.number()), Ok(amount));
        }

        #[test]
        fn reading_never_panics(text in ".{0,80}", scale in 0u8..=36) {
            let _ = Amount::parse(Asset::new("TEST", scale), &text);
        }

        #[test]
        fn adding_and_taking_away_is_nothing(a in any::<i64>(), b in any::<i64>()) {
            let of = |n: i64| Amount::from_minor(Asset::MUSD, i128::from(n));
            prop_assert_eq!(of(a).checked_add(of(b)).unwrap().checked_sub(of(b)).unwrap(), of(a));
        }
    }
}
