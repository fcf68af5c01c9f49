//! A secret by which a seller knows its own challenges again, without keeping any of them.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// 32 secret bytes for HMAC-SHA256. Its `Debug` shows none of them.
#[derive(Clone)]
pub struct Seal([u8; 32]);

impl Seal {
    /// A seal of these secret bytes.
    pub const fn new(secret: [u8; 32]) -> Seal {
        Seal(secret)
    }

    fn over(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length is good");
        for part in parts {
            mac.update(part);
        }
        mac
    }

    /// The code over these parts, one after the other; whoever cuts must be able to tell the parts
    /// apart.
    pub(crate) fn code(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.over(parts).finalize().into_bytes().into()
    }

    /// Whether `code` is the beginning of the code over these parts. Takes as long either way.
    pub(crate) fn made(&self, code: &[u8], parts: &[&[u8]]) -> bool {
        !code.is_empty() && self.over(parts).verify_truncated_left(code).is_ok()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_again_and_another_is_not() {
        let seal = Seal::new([7; 32]);
        let code = seal.code(&[b"one", b"two"]);
        assert!(seal.made(&code, &[b"onetwo"]));
        assert!(seal.made(&code[..8], &[b"one", b"two"]));
        assert!(!seal.made(&code, &[b"onetwo."]));
        assert!(!seal.made(&[], &[b"onetwo"]), "nothing is no code");
        assert!(!Seal::new([8; 32]).made(&code, &[b"onetwo"]));
        assert_eq!(format!("{seal:?}"), "Seal(secret)");
    }
}
