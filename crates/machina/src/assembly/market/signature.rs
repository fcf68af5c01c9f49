//! Who asks: a party's signature over its request, or the token of this home's own commands.
//!
//! A request is signed by EIP-191 (`personal_sign`) over six lines:
//!
//! ```text
//! Machina market
//! METHOD /path?query
//! chain CHAIN_ID
//! market ADDRESS
//! at MILLISECONDS
//! SHA-256 of the body, 64 hexadecimal digits
//! ```
//!
//! with the headers `machina-party`, `machina-at` and `machina-signature`. The address is the
//! market's own, where deposits are paid, with its checksum (EIP-55): many homes share a chain id,
//! and what was signed for one market is worth nothing at another. It is good for [`WINDOW`]. A request that is sent twice asks for the same twice, and every operation at the
//! market happens once: so no number has to be remembered.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::sync::Mutex;
use std::time::Duration;

use ::money::{Party, Timestamp};
use alloy_primitives::{B256, Signature, eip191_hash_message};
use http::request::Parts;
use payments::channel::voucher::KnownKey;
use sha2::{Digest as _, Sha256};

/// How far the time of a request may be from ours.
pub const WINDOW: Duration = Duration::from_secs(60);

const PARTY: &str = "machina-party";
/// When it was signed, in milliseconds.
pub const AT: &str = "machina-at";
const SIGNATURE: &str = "machina-signature";

/// For which market a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The chain that its money is on.
    pub chain_id: u64,
    /// Its own address.
    pub market: Party,
}

/// How many keys are remembered; then they are learned anew.
const MOST_KEYS: usize = 10_000;

/// The keys of those who have signed here before: a request is judged against its party's key, which is
/// faster than finding the key from the signature. As with vouchers (decision 13) it is then not seen
/// whether `v` is 27 or 28; nothing here depends on it.
#[derive(Default)]
pub struct Keys(Mutex<HashMap<Party, KnownKey>>);

impl Keys {
    /// Whether this is the party's signature.
    fn have_signed(&self, hash: B256, signature: &[u8], party: Party) -> bool {
        let keys = || self.0.lock().expect("nothing panics under this lock");
        let known = keys().get(&party).copied();
        if let Some(key) = known {
            return key.has_signed(hash, signature);
        }
        let Some(key) = KnownKey::of(hash, signature, party.into()) else { return false };
        let mut keys = keys();
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        keys.insert(party, key);
        true
    }
}

/// Who asks, by their signature. `keys` are remembered from one request to the next.
///
/// # Errors
/// What is missing or wrong, in words.
pub fn signer(
    parts: &Parts,
    body: &[u8],
    place: Place,
    now: Timestamp,
    keys: &Keys,
) -> Result<Party, String> {
    let header = |name: &str| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.ok_or_else(|| format!("the header `{name}` is missing: sign the request"))
    };
    let party = named(parts)?;
    let at = header(AT)?;
    let moment = Some(at)
        .filter(|at| at.len() <= 16 && at.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|at| at.parse().ok())
        .map(Timestamp::from_millis)
        .ok_or_else(|| format!("`{AT}` is no moment: write milliseconds since 1970"))?;
    if now.since(moment) > WINDOW || moment.since(now) > WINDOW {
        return Err(format!("it was signed at {moment}, and it is {now}: sign it again"));
    }
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let text = format!(
        "Machina market\n{} {target}\nchain {}\nmarket {}\nat {at}\n{}",
        parts.method,
        place.chain_id,
        place.market,
        hex::encode(Sha256::digest(body))
    );
    let signature = Signature::from_str(header(SIGNATURE)?)
        .map_err(|_| format!("`{SIGNATURE}` is no signature of 65 bytes"))?;
    // As all wallets write it: v 27 or 28, the lower s.
    let signature = signature.normalized_s().as_bytes();
    match keys.have_signed(eip191_hash_message(text), &signature, party) {
        true => Ok(party),
        false => Err(format!("the signature is not {party}'s over this request")),
    }
}

/// Whom a request names.
///
/// # Errors
/// That it names nobody.
pub fn named(parts: &Parts) -> Result<Party, String> {
    let text = parts.headers.get(PARTY).and_then(|value| value.to_str().ok());
    let text = text.ok_or_else(|| format!("the header `{PARTY}` is missing: say who asks"))?;
    Party::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use alloy_signer::SignerSync as _;
    use alloy_signer_local::PrivateKeySigner;
    use http::Request;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    const HERE: Place = Place { chain_id: 5, market: Party::new([8; 20]) };

    fn signed(body: &[u8], at: u64, target: &str) -> Parts {
        let key = PrivateKeySigner::from_bytes(&[7; 32].into()).unwrap();
        let digest = hex::encode(Sha256::digest(body));
        let market = "0x0808080808080808080808080808080808080808";
        let text =
            format!("Machina market\nPOST {target}\nchain 5\nmarket {market}\nat {at}\n{digest}");
        let signature = key.sign_message_sync(text.as_bytes()).unwrap();
        let request = Request::post("http://localhost/market/operations?x=1")
            .header(PARTY, key.address().to_string())
            .header(AT, at.to_string())
            .header(SIGNATURE, signature.to_string());
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn who_signed_this_very_request_now_is_known_and_nobody_else() {
        let target = "/market/operations?x=1";
        let good = signed(b"body", 1_000_000, target);
        let party = named(&good).unwrap();
        // The first is judged without its key, and all later ones by it.
        let keys = Keys::default();
        let signer =
            |parts: &Parts, body: &[u8], place, now| signer(parts, body, place, now, &keys);
        assert!(signer(&good, b"other", HERE, NOW).is_err(), "another body, the key unknown");
        assert_eq!(signer(&good, b"body", HERE, NOW), Ok(party));
        assert!(signer(&good, b"other", HERE, NOW).is_err(), "another body");
        let elsewhere = Place { chain_id: 6, ..HERE };
        assert!(signer(&good, b"body", elsewhere, NOW).is_err(), "another chain");
        let other = Place { market: Party::new([9; 20]), ..HERE };
        assert!(signer(&good, b"body", other, NOW).is_err(), "another market");
        assert!(signer(&signed(b"body", 1_000_000, "/market/x"), b"body", HERE, NOW).is_err());
        for late in [Timestamp::from_secs(939), Timestamp::from_secs(1_061)] {
            let refused = signer(&good, b"body", HERE, late).unwrap_err();
            assert!(refused.contains("sign it again"), "{refused}");
        }
        let mut other = signed(b"body", 1_000_000, target);
        let stranger = Party::new([9; 20]).to_string();
        other.headers.insert(PARTY, stranger.parse().unwrap());
        assert!(signer(&other, b"body", HERE, NOW).is_err());
        other.headers.remove(PARTY);
        assert!(signer(&other, b"body", HERE, NOW).unwrap_err().contains("machina-party"));
    }
}
