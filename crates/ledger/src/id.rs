//! Names of things: accounts, transfers, and the economic acts that tie them together.
//!
//! Identifiers are derived, not drawn: the same account or the same step of the same payment
//! always has the same name, in this process and in the next. That is what makes every operation
//! safe to repeat. Deriving hashes with SHA-256 over a length-prefixed encoding under a domain of
//! its own, so no two different inputs are written as the same bytes.

use std::fmt;
use std::str::FromStr;

use money::{Asset, Party};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Why a text is no identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// It does not have the right number of hexadecimal digits.
    #[error("`{text}` is no {what}: it needs {digits} hexadecimal digits{prefix}")]
    Form {
        /// What it was read as.
        what: &'static str,
        /// What was written, shortened.
        text: String,
        /// How many digits it needs.
        digits: usize,
        /// What has to stand before them, in words.
        prefix: &'static str,
    },
}

/// Hashes `parts`, each after its length, under `purpose` and `domain`.
fn derive(purpose: &str, domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [purpose.as_bytes(), domain.as_bytes()].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn first_half(digest: [u8; 32]) -> u128 {
    let (half, _) = digest.split_first_chunk::<16>().expect("32 bytes begin with 16");
    u128::from_be_bytes(*half)
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// Written as 32 hexadecimal digits, in text and in JSON.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The identifier with this number, for instance one read back from a store.
            pub const fn from_u128(number: u128) -> $name {
                $name(number)
            }

            /// Its number; big-endian, these are the hexadecimal digits it is shown with.
            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<$name, IdError> {
                let whole = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
                match u128::from_str_radix(text, 16) {
                    Ok(number) if whole => Ok($name(number)),
                    _ => Err(IdError::Form {
                        what: $what,
                        text: text.chars().take(70).collect(),
                        digits: 32,
                        prefix: "",
                    }),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

identifier! {
    /// Names an account.
    AccountId, "account"
}

identifier! {
    /// Names a transfer or a hold. Whoever submits it chooses it, once for each intended effect.
    TransferId, "transfer"
}

impl AccountId {
    /// The account called `name` in the books of `book`, counted in `asset`: the first 16 bytes
    /// of SHA-256 over the three.
    pub fn derive(book: Party, name: &str, asset: Asset) -> AccountId {
        let parts: [&[u8]; 4] =
            [book.as_bytes(), name.as_bytes(), asset.code().as_bytes(), &[asset.scale()]];
        AccountId(first_half(derive("machina/ledger/account/1", "", &parts)))
    }
}

impl TransferId {
    /// The transfer which is step `domain` of what `parts` identify, for instance
    /// `("payment/hold", [nonce])`: the first 16 bytes of SHA-256 over them, each length-prefixed.
    pub fn derive(domain: &str, parts: &[&[u8]]) -> TransferId {
        TransferId(first_half(derive("machina/ledger/transfer/1", domain, parts)))
    }
}

/// Names one economic act and ties its entries and its evidence together, across all books.
///
/// Written as `0x` and 64 hexadecimal digits, in text and in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference([u8; 32]);

impl Reference {
    /// No act in particular. Entries may carry it, evidence may not, and nothing is found by it.
    pub const NONE: Reference = Reference([0; 32]);

    /// The act with this name, for instance a payment's nonce.
    pub const fn new(bytes: [u8; 32]) -> Reference {
        Reference(bytes)
    }

    /// The act which `parts` identify within `domain`: SHA-256 over them, each length-prefixed.
    pub fn derive(domain: &str, parts: &[&[u8]]) -> Reference {
        Reference(derive("machina/ledger/reference/1", domain, parts))
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this is [`Reference::NONE`].
    pub fn is_none(&self) -> bool {
        *self == Reference::NONE
    }
}

impl From<[u8; 32]> for Reference {
    fn from(bytes: [u8; 32]) -> Reference {
        Reference(bytes)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Reference {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Reference, IdError> {
        let wrong = || IdError::Form {
            what: "reference",
            text: text.chars().take(70).collect(),
            digits: 64,
            prefix: " after `0x`",
        };
        let digits = text.strip_prefix("0x").ok_or_else(wrong)?;
        if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Reference(bytes))
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reference, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_reads_back_as_it_was_written() {
        let id = TransferId::derive("test", &[b"one"]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(AccountId::from_u128(7).to_string(), "00000000000000000000000000000007");
        let reference = Reference::derive("test", &[b"one"]);
        assert_eq!(reference.to_string().parse(), Ok(reference));
        let json = serde_json::to_string(&reference).unwrap();
        assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in ["", "7", "+0000000000000000000000000000007", &"g".repeat(32), &"0".repeat(33)]
        {
            assert!(text.parse::<TransferId>().is_err(), "{text}");
        }
        for text in ["0x", &"0".repeat(64), &format!("0x{}", "é".repeat(32))] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_two_encodings_meet() {
        let id = |domain, parts: &[&[u8]]| TransferId::derive(domain, parts);
        assert_ne!(id("a", &[b"bc"]), id("ab", &[b"c"]));
        assert_ne!(id("a", &[b"b", b"c"]), id("a", &[b"bc"]));
        assert_ne!(id("a", &[b"b", b""]), id("a", &[b"b"]));
        let book = Party::new([1; 20]);
        assert_ne!(
            AccountId::derive(book, "wallet", Asset::MUSD),
            AccountId::derive(book, "wallet", Asset::new("MUSD", 18))
        );
    }

    #[test]
    fn derived_names_never_change() {
        // Stored journals are full of them: a change here orphans every account there is.
        let book = Party::new([1; 20]);
        assert_eq!(
            [
                AccountId::derive(book, "wallet", Asset::MUSD).to_string(),
                TransferId::derive("payment", &[b"one"]).to_string(),
                Reference::derive("payment", &[b"one"]).to_string(),
            ],
            [
                "fcf4484d81d9bec48dc31e0cc011072a",
                "d107acef156eb201a8111e8375e11ff1",
                "0xcb3f53589a3852ce9f57ec8a2344dd5998dea5d5f2a2b567f794e6aee2a81dea",
            ]
        );
    }
}
