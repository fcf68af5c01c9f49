//! `sign-in-with-x`: who has bought comes back for it, by signing in and without paying.
//!
//! Source: `specs/extensions/sign-in-with-x.md`, CAIP-122 and EIP-4361; keys (`eip191`) and contract
//! wallets (`eip1271`). Codes are those of the reference SDK (`@x402/extensions` 2.27).
//!
//! What an offer allows by [`SignIn`] is narrow on purpose: for a time after it was paid, **the same
//! request of the same payer gets its stored answer**. No work begins, so nothing needs a hold, and
//! nothing is given away that was not sold.
//!
//! A challenge is kept by nobody: its number is a code of the [`Doorman`]'s over the moment, the
//! domain and the resource. A number that was used is remembered until its time is over; the secret
//! is drawn at each start, so numbers of an earlier run are worth nothing, used or not.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, Signature, eip191_hash_message};
use http::HeaderMap;
use money::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{DIALECT, Seal};
use crate::offer::Offer;
use crate::wire::{self, WireError};

/// The extension's name.
pub const NAME: &str = "sign-in-with-x";
/// Carries the proof, in a request.
pub const HEADER: &str = "sign-in-with-x";

/// How long a challenge is good.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// How many used numbers are remembered; more sign-ins within one window are refused.
const MOST_USED: usize = 65_536;
/// The longest signature that is read, in hexadecimal digits.
const MAX_SIGNATURE: usize = 2 + 2 * crate::exact::MAX_SIGNATURE;

/// That buyers may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignIn {
    /// For how long after the payment.
    pub within: Duration,
}

/// Gives challenges, and takes each once.
pub struct Doorman {
    seal: Seal,
    entropy: Arc<dyn Fn() -> [u8; 32] + Send + Sync>,
    used: Mutex<HashMap<[u8; NUMBER], Timestamp>>,
}

impl fmt::Debug for Doorman {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorman").finish_non_exhaustive()
    }
}

/// A challenge's number: 4 bytes of seconds, 4 at random, 8 of the code.
const NUMBER: usize = 16;

/// A proof as it came: read, not believed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Proof {
    domain: String,
    address: String,
    uri: String,
    version: String,
    chain_id: String,
    r#type: String,
    nonce: String,
    issued_at: String,
    #[serde(default)]
    expiration_time: Option<String>,
    #[serde(default)]
    statement: Option<String>,
    #[serde(default)]
    not_before: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    resources: Option<Vec<String>>,
    signature: String,
}

/// Why somebody is not let in: the code for programs, and the reason in words.
pub(crate) type Refusal = (&'static str, &'static str);

/// A proof whose message is right; whose signature it has, is still to be seen.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Who says to have signed.
    pub(crate) address: Address,
    /// What was signed (EIP-191).
    pub(crate) hash: B256,
    /// The signature, of a key or a contract wallet.
    pub(crate) signature: Bytes,
    number: [u8; NUMBER],
    until: Timestamp,
}

/// What a challenge says beside its number and its times.
struct Place {
    domain: String,
    uri: String,
    chain_id: u64,
}

impl Doorman {
    /// One that gives challenges from now on. `entropy` gives 32 random bytes at each call.
    pub fn new(entropy: Arc<dyn Fn() -> [u8; 32] + Send + Sync>) -> Doorman {
        Doorman { seal: Seal::new(entropy()), entropy, used: Mutex::default() }
    }

    /// The extension of a quote; `None` if the offer's address is none.
    pub(crate) fn challenge(&self, offer: &Offer, now: Timestamp) -> Option<Value> {
        let place = Place::of(offer)?;
        let mut number = [0; NUMBER];
        number[..4].copy_from_slice(&u32::try_from(now.as_secs()).ok()?.to_be_bytes());
        number[4..8].copy_from_slice(&(self.entropy)()[..4]);
        let code = self.code(&number, &place);
        number[8..].copy_from_slice(&code[..8]);
        let text = json!({ "type": "string" });
        let schema = json!({
            "$schema": DIALECT,
            "type": "object",
            "properties": {
                "domain": text, "address": text, "statement": text, "uri": text, "version": text,
                "chainId": text, "type": text, "nonce": text, "issuedAt": text,
                "expirationTime": text, "notBefore": text, "requestId": text,
                "resources": { "type": "array", "items": text }, "signature": text,
            },
            "required": [
                "domain", "address", "uri", "version", "chainId", "type", "nonce", "issuedAt",
                "signature",
            ],
        });
        Some(json!({
            "info": {
                "domain": place.domain,
                "uri": place.uri,
                "version": "1",
                "nonce": alloy_primitives::hex::encode(number),
                "issuedAt": now.to_string(),
                "expirationTime": ends(now).to_string(),
                "statement": STATEMENT,
                "resources": [place.uri],
            },
            "supportedChains": [{ "chainId": wire::network(place.chain_id), "type": "eip191" }],
            "schema": schema,
        }))
    }

    fn code(&self, number: &[u8; NUMBER], place: &Place) -> [u8; 32] {
        self.seal.code(&[&number[..8], place.domain.as_bytes(), b"\n", place.uri.as_bytes()])
    }

    /// Checks that the message is one that was given here for this offer, and is in its time.
    pub(crate) fn check(
        &self,
        proof: Proof,
        offer: &Offer,
        now: Timestamp,
    ) -> Result<Claim, Refusal> {
        let place = Place::of(offer).ok_or(("invalid_siwx", "nobody can sign in here"))?;
        if proof.domain != place.domain {
            return Err(("invalid_siwx_domain_mismatch", "it was signed for another domain"));
        }
        if proof.uri != place.uri {
            return Err(("invalid_siwx_uri_mismatch", "it was signed for another resource"));
        }
        let network = wire::network(place.chain_id);
        if proof.chain_id != network || proof.r#type != "eip191" {
            return Err(("invalid_siwx_chain_id", "it was signed for another chain"));
        }
        let mut number = [0; NUMBER];
        let good = proof.nonce.len() == 2 * NUMBER
            && alloy_primitives::hex::decode_to_slice(&proof.nonce, &mut number).is_ok()
            && self.code(&number, &place)[..8] == number[8..];
        if !good {
            let why = "its number was not given here since the last start; ask for a new challenge";
            return Err(("invalid_siwx_nonce", why));
        }
        let seconds = u32::from_be_bytes([number[0], number[1], number[2], number[3]]);
        let issued = Timestamp::from_secs(seconds.into());
        if proof.issued_at != issued.to_string() {
            return Err(("invalid_siwx_issued_at", "it does not say when it was given"));
        }
        let as_given = proof.version == "1"
            && proof.statement.as_deref() == Some(STATEMENT)
            && proof.expiration_time.as_ref() == Some(&ends(issued).to_string())
            && proof.resources.as_deref() == Some(std::slice::from_ref(&place.uri))
            && proof.not_before.is_none()
            && proof.request_id.is_none();
        if !as_given {
            return Err(("invalid_siwx_message", "it is not the message that was given here"));
        }
        if issued > now.plus(Duration::from_secs(1)) {
            return Err(("invalid_siwx_issued_at_in_future", "it was given in the future"));
        }
        if now >= ends(issued) {
            return Err(("invalid_siwx_expired", "its time is over; ask for a new challenge"));
        }
        let address = proof.address.parse::<Address>().ok().filter(|_| proof.address.len() == 42);
        let address = address.ok_or(("invalid_siwx_address", "its address is none"))?;
        let signature = Some(&proof.signature)
            .filter(|s| s.len() <= MAX_SIGNATURE)
            .and_then(|s| s.parse::<Bytes>().ok())
            .ok_or(("invalid_siwx_signature", "its signature is none"))?;
        let message = format!(
            "{} wants you to sign in with your Ethereum account:\n{}\n\n{STATEMENT}\n\nURI: {}\nVersion: 1\nChain ID: {}\nNonce: {}\nIssued At: {}\nExpiration Time: {}\nResources:\n- {}",
            place.domain,
            proof.address,
            place.uri,
            place.chain_id,
            proof.nonce,
            issued,
            ends(issued),
            place.uri
        );
        let hash = eip191_hash_message(message);
        Ok(Claim { address, hash, signature, number, until: ends(issued) })
    }

    /// Takes a claim's number; each is good once.
    pub(crate) fn admit(&self, claim: &Claim, now: Timestamp) -> Result<(), Refusal> {
        let mut used = self.used.lock().expect("nothing panics under this lock");
        if used.len() >= MOST_USED {
            used.retain(|_, until| *until > now);
        }
        if used.len() >= MOST_USED {
            return Err(("unavailable", "too many sign in; try again in some minutes"));
        }
        match used.insert(claim.number, claim.until) {
            None => Ok(()),
            Some(_) => Err(("invalid_siwx_nonce", "it was used before; ask for a new challenge")),
        }
    }
}

const STATEMENT: &str = "Sign in to get again what you have bought. It costs nothing.";

fn ends(issued: Timestamp) -> Timestamp {
    Timestamp::from_secs(issued.as_secs()).plus(WINDOW)
}

impl Place {
    fn of(offer: &Offer) -> Option<Place> {
        let url = offer.url.parse::<reqwest::Url>().ok()?;
        let host = url.host_str()?;
        let domain = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        Some(Place { domain, uri: url.to_string(), chain_id: offer.token.chain_id })
    }
}

impl Claim {
    /// Whether it is the signature of the address's own key.
    pub(crate) fn is_keys_own(&self) -> bool {
        Signature::from_raw(&self.signature)
            .ok()
            .filter(|_| self.signature.len() == 65)
            .and_then(|s| alloy_consensus::crypto::secp256k1::recover_signer(&s, self.hash).ok())
            .is_some_and(|signer| signer == self.address)
    }
}

/// Reads the proof of a request; `None` if it has none.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Proof>, WireError> {
    wire::decode(headers, HEADER)
}
