//! What money is counted in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// The largest number of decimal places that an [`Asset`] may have.
///
/// 10³⁶ still fits an `i128` (about 1.7 × 10³⁸) with room for a hundred whole units; ether and
/// most tokens use 18.
pub const MAX_SCALE: u8 = 36;

const MAX_CODE: usize = 12;

/// Something that can be counted and owned: a currency or a token.
///
/// `code` is what people call it (`MUSD`), `scale` how many decimal places its minor unit has
/// (6: one minor unit is 0.000001). Two assets are the same only if both agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset {
    // Zero-padded ASCII, so that an asset stays `Copy` and orders by name.
    code: [u8; MAX_CODE],
    scale: u8,
}

/// Why something is not an asset.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AssetError {
    /// The code is empty, longer than twelve characters, or not made of `A-Z`, `0-9`, `.`, `-`.
    #[error("`{0}` is no asset code: use 1 to 12 of A-Z, 0-9, `.` and `-`")]
    Code(String),
    /// The scale is larger than [`MAX_SCALE`], or is not a number.
    #[error("`{0}` is no asset scale: use a whole number from 0 to {MAX_SCALE}")]
    Scale(String),
    /// The text form `CODE/SCALE` lacks its slash.
    #[error("`{0}` is no asset: write its code and scale, as in `MUSD/6`")]
    Form(String),
}

impl Asset {
    /// Machina Dollar: play money of the embedded chain, six decimals.
    pub const MUSD: Asset = Asset::new("MUSD", 6);
    /// USD Coin, six decimals.
    pub const USDC: Asset = Asset::new("USDC", 6);

    /// An asset whose code and scale are known when the program is written.
    ///
    /// # Panics
    /// If the code or the scale is invalid; in a `const` this is a compile error. Use
    /// [`Asset::try_new`] for input.
    pub const fn new(code: &str, scale: u8) -> Asset {
        match Asset::checked(code, scale) {
            Some(asset) => asset,
            None => panic!("invalid asset code or scale"),
        }
    }

    /// An asset from input.
    ///
    /// # Errors
    /// [`AssetError::Code`] or [`AssetError::Scale`], naming the offender.
    pub fn try_new(code: &str, scale: u8) -> Result<Asset, AssetError> {
        if scale > MAX_SCALE {
            return Err(AssetError::Scale(scale.to_string()));
        }
        Asset::checked(code, scale).ok_or_else(|| AssetError::Code(shorten(code)))
    }

    const fn checked(code: &str, scale: u8) -> Option<Asset> {
        let bytes = code.as_bytes();
        if bytes.is_empty() || bytes.len() > MAX_CODE || scale > MAX_SCALE {
            return None;
        }
        let mut padded = [0u8; MAX_CODE];
        let mut i = 0;
        while i < bytes.len() {
            let b = bytes[i];
            if !(b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'.' || b == b'-') {
                return None;
            }
            padded[i] = b;
            i += 1;
        }
        Some(Asset { code: padded, scale })
    }

    /// What people call it: 1 to 12 ASCII characters.
    pub fn code(&self) -> &str {
        let end = self.code.iter().position(|b| *b == 0).unwrap_or(MAX_CODE);
        std::str::from_utf8(&self.code[..end]).expect("checked to be ASCII when it was built")
    }

    /// How many decimal places one minor unit has.
    pub const fn scale(&self) -> u8 {
        self.scale
    }

    /// How many minor units make one whole unit: 10^scale.
    pub const fn unit(&self) -> i128 {
        10i128.pow(self.scale as u32)
    }
}

/// Keeps hostile text from filling an error message.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(24).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.code(), self.scale)
    }
}

impl FromStr for Asset {
    type Err = AssetError;

    /// Reads `CODE/SCALE`, for example `MUSD/6`.
    fn from_str(text: &str) -> Result<Asset, AssetError> {
        let (code, scale) = text.split_once('/').ok_or_else(|| AssetError::Form(shorten(text)))?;
        let scale = scale.parse().map_err(|_| AssetError::Scale(shorten(scale)))?;
        Asset::try_new(code, scale)
    }
}

impl Serialize for Asset {
    /// As the string `CODE/SCALE`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl<'de> Deserialize<'de> for Asset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Asset, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_reads_back_as_it_was_written() {
        for asset in [Asset::MUSD, Asset::USDC, Asset::new("WEI", 18), Asset::new("X", 0)] {
            assert_eq!(format!("{asset:?}").parse::<Asset>(), Ok(asset));
        }
    }

    #[test]
    fn what_is_no_asset_is_refused_by_name() {
        assert_eq!(Asset::try_new("", 2), Err(AssetError::Code(String::new())));
        assert_eq!(Asset::try_new("usd", 2), Err(AssetError::Code("usd".into())));
        assert_eq!(
            Asset::try_new("THIRTEENCHARS", 2),
            Err(AssetError::Code("THIRTEENCHARS".into()))
        );
        assert_eq!(Asset::try_new("USD", 37), Err(AssetError::Scale("37".into())));
        assert_eq!("USD".parse::<Asset>(), Err(AssetError::Form("USD".into())));
        assert_eq!("USD/two".parse::<Asset>(), Err(AssetError::Scale("two".into())));
    }

    #[test]
    fn the_same_code_at_another_scale_is_another_asset() {
        assert_ne!(Asset::new("MUSD", 6), Asset::new("MUSD", 18));
    }
}
