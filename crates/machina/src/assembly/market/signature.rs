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

use std::str::FromStr as _;
use std::time::Duration;

use ::money::{Party, Timestamp};
use alloy_primitives::{Signature, eip191_hash_message};
use http::request::Parts;
use payments::channel::voucher::signed_by;
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

/// Who asks, by their signature.
///
/// # Errors
/// What is missing or wrong, in words.
pub fn signer(parts: &Parts, body: &[u8], place: Place, now: Timestamp) -> Result<Party, String> {
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
    match signed_by(eip191_hash_message(text), &signature, party.into()) {
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
