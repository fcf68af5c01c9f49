//! Signing with a key in memory, by the C library libsecp256k1.
//!
//! The same signatures as alloy's own signer makes in pure Rust (the nonce follows from key and hash
//! by RFC 6979, and s is the lower one), for a quarter of the processor's time. Who pays and who
//! settles sign for each payment, so it counts.

use alloy_primitives::{B256, Signature, U256};
use alloy_signer_local::PrivateKeySigner;
use secp256k1::{Message, SECP256K1, SecretKey};

/// The signer's signature of a hash. The key stays with its signer: nothing of it is kept here.
pub fn sign_hash(signer: &PrivateKeySigner, hash: B256) -> Signature {
    let mut secret = SecretKey::from_byte_array(signer.to_bytes().0)
        .expect("what is a key to one library is a key to the other");
    let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(hash.0), &secret);
    secret.non_secure_erase();
    let (parity, words) = signature.serialize_compact();
    let (r, s) = words.split_at(32);
    let (r, s) = (U256::from_be_slice(r), U256::from_be_slice(s));
    Signature::new(r, s, i32::from(parity) % 2 == 1)
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;
    use alloy_signer::SignerSync as _;

    use super::*;

    #[test]
    fn it_signs_to_the_byte_as_the_pure_rust_signer_does() {
        for number in 1..=64_u8 {
            let signer = PrivateKeySigner::from_bytes(&keccak256([number])).unwrap();
            let hash = keccak256([number, 1]);
            let signature = sign_hash(&signer, hash);
            assert_eq!(signature, signer.sign_hash_sync(&hash).unwrap());
            let recovered = signature.recover_address_from_prehash(&hash).unwrap();
            assert_eq!(recovered, signer.address());
        }
    }
}
