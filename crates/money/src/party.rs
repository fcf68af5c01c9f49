//! Who can own money.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Anyone with an address: a person, a machine, a firm, a contract.
///
/// It is shown with the EIP-55 checksum. All-lowercase or all-uppercase text is read as it is;
/// mixed case must carry the right checksum, so a mistyped address is caught.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Party([u8; 20]);

/// Why a text names no party.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PartyError {
    /// It is not `0x` and 40 hexadecimal digits.
    #[error("`{0}` is no address: it needs `0x` and 40 hexadecimal digits")]
    Form(String),
    /// Its mixed case is not the EIP-55 checksum of its digits.
    #[error("`{0}` has a wrong checksum: a digit may be mistyped")]
    Checksum(String),
}

impl Party {
    /// The party at this 20-byte address.
    pub const fn new(address: [u8; 20]) -> Party {
        Party(address)
    }

    /// Its address, as bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The first and last digits, for tables: `0x1234…cdef`.
    pub fn short(&self) -> String {
        let full = self.to_string();
        format!("{}…{}", &full[..6], &full[full.len() - 4..])
    }
}

impl From<Address> for Party {
    fn from(address: Address) -> Party {
        Party(address.into_array())
    }
}

impl From<Party> for Address {
    fn from(party: Party) -> Address {
        Address::new(party.0)
    }
}

/// How many texts are remembered, in places by the address's last bytes: 64 KiB.
const REMEMBERED: usize = 1_024;

/// An address and its text.
type Spelt = ([u8; 20], [u8; 42]);

/// The checksum is a hash over the text, and who is at work is written and read again and again. A place
/// holds whom it was asked for last, so nobody can make it large; who shares one pays for the hash.
static SPELT: [Mutex<Option<Spelt>>; REMEMBERED] = [const { Mutex::new(None) }; REMEMBERED];

/// The text of an address: `0x` and 40 digits, in the mixed case of EIP-55.
fn spelt(address: [u8; 20]) -> [u8; 42] {
    let place = usize::from(u16::from_be_bytes([address[18], address[19]])) % REMEMBERED;
    let lock = || SPELT[place].lock().expect("nothing panics under this lock");
    if let Some((_, text)) = lock().filter(|(known, _)| *known == address) {
        return text;
    }
    let mut text = [0; 42];
    let _ = Address::new(address).to_checksum_raw(&mut text, None);
    *lock() = Some((address, text));
    text
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(str::from_utf8(&spelt(self.0)).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Party {
    type Err = PartyError;

    fn from_str(text: &str) -> Result<Party, PartyError> {
        let named = || text.chars().take(44).collect::<String>();
        let digits = text.strip_prefix("0x").ok_or_else(|| PartyError::Form(named()))?;
        if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(PartyError::Form(named()));
        }
        let mixed = digits.bytes().any(|b| b.is_ascii_lowercase())
            && digits.bytes().any(|b| b.is_ascii_uppercase());
        let address = text.parse::<Address>().map_err(|_| PartyError::Form(named()))?;
        if mixed && spelt(address.into_array()) != text.as_bytes() {
            return Err(PartyError::Checksum(named()));
        }
        Ok(address.into())
    }
}

impl Serialize for Party {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Party {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Party, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Example from EIP-55.
    const CHECKSUMMED: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    #[test]
    fn a_party_is_shown_with_its_checksum() {
        let party: Party = CHECKSUMMED.to_lowercase().parse().unwrap();
        assert_eq!(party.to_string(), CHECKSUMMED);
        assert_eq!(party.short(), "0x5aAe…eAed");
    }

    #[test]
    fn a_mistyped_checksum_is_caught() {
        let wrong = CHECKSUMMED.replace("aAeb", "AAeb");
        assert_eq!(wrong.parse::<Party>(), Err(PartyError::Checksum(wrong.clone())));
    }

    #[test]
    fn who_shares_a_place_among_the_remembered_is_spelt_like_anybody() {
        // They differ in the first byte only, so each drives out the other.
        for byte in (0..=255).chain(0..=255) {
            let mut address = [0xab; 20];
            address[0] = byte;
            let text = Party::new(address).to_string();
            assert_eq!(text, Address::new(address).to_checksum(None));
            assert_eq!(text.parse(), Ok(Party::new(address)));
            let wrong = text.replace('B', "b");
            assert_eq!(wrong.parse::<Party>(), Err(PartyError::Checksum(wrong.clone())));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "0x", "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", "0x12", "0xzz"] {
            assert!(matches!(text.parse::<Party>(), Err(PartyError::Form(_))), "{text}");
        }
    }
}
