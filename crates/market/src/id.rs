//! Names of things. Like the ledger's, they are derived and not drawn: the same job has the same
//! name in each process, which is what makes an operation safe to repeat.

use std::fmt;
use std::str::FromStr;

use alloy_primitives::Keccak256;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Why a text is no identifier or digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no {what}: it needs {digits} hexadecimal digits{prefix}")]
pub struct IdError {
    /// What it was read as.
    pub what: &'static str,
    /// What was written, shortened.
    pub text: String,
    /// How many digits it needs.
    pub digits: usize,
    /// What has to stand before them, in words.
    pub prefix: &'static str,
}

/// Keccak-256 over `parts`, each after its length, so that no two lists are written alike. Keccak,
/// since contracts can recompute it.
pub(crate) fn hash(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Keccak256::new();
    for part in std::iter::once(&domain.as_bytes()).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().0
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

            /// Its number.
            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// The name of what `parts` identify: the first 16 bytes of Keccak-256 over them,
            /// each length-prefixed.
            pub fn derive(parts: &[&[u8]]) -> $name {
                let digest = hash(concat!("machina/market/", $what, "/1"), parts);
                let (half, _) = digest.split_first_chunk::<16>().expect("32 bytes begin with 16");
                $name(u128::from_be_bytes(*half))
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
                    _ => Err(IdError {
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
    /// Names a job. Who opens it chooses it, once for each intended job.
    JobId, "job"
}

identifier! {
    /// Names an offer.
    OfferId, "offer"
}

identifier! {
    /// Names a deposit or a withdrawal, so that the same one is never counted twice.
    MoveId, "move"
}

identifier! {
    /// Names a kind of work, for instance `Skill::derive(&[b"vision/classify"])`. Quality is
    /// measured for each skill by itself: who sees well need not write well.
    Skill, "skill"
}

/// What something hashes to: a brief, a deliverable, a commitment. Written as `0x` and 64
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest with these bytes.
    pub const fn new(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// Keccak-256 of some content.
    pub fn of(content: &[u8]) -> Digest {
        Digest(hash("machina/market/content/1", &[content]))
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Digest, IdError> {
        let wrong = || IdError {
            what: "digest",
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
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_reads_back_as_it_was_written() {
        let job = JobId::derive(&[b"one"]);
        assert_eq!(job.to_string().parse(), Ok(job));
        let digest = Digest::of(b"one");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let json = serde_json::to_string(&(job, digest)).unwrap();
        assert_eq!(serde_json::from_str::<(JobId, Digest)>(&json).unwrap(), (job, digest));
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in ["", "7", "+0000000000000000000000000000007", &"g".repeat(32), &"0".repeat(33)]
        {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
        for text in ["0x", &"0".repeat(64), &format!("0x{}", "é".repeat(32))] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_two_lists_are_hashed_alike() {
        assert_ne!(hash("a", &[b"bc"]), hash("ab", &[b"c"]));
        assert_ne!(hash("a", &[b"b", b"c"]), hash("a", &[b"bc"]));
        assert_ne!(JobId::derive(&[b"x"]).as_u128(), OfferId::derive(&[b"x"]).as_u128());
    }
}
