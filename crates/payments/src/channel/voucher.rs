//! What payers and sellers sign for channels (EIP-712), and whose signature it is.
//!
//! A gate judges a voucher for each request, so nothing here allocates but [`Domain::claims_hash`]:
//! a struct's words are laid into an array and hashed.

use alloy_primitives::{Address, B256, Bytes, Keccak256, U256, b256, keccak256};
use alloy_sol_types::SolStruct;
pub use protocol::channels::deposit_nonce;
use protocol::channels::{self, ClaimBatch, ClaimEntry, Refund, Voucher};
use secp256k1::ecdsa::{self, RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SECP256K1};

use super::wire::{ChannelConfig, Claim};

/// What binds a signature to the channels of one chain. Make one and keep it: the hashes in it are
/// those that no request changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain {
    chain_id: u64,
    separator: B256,
    channel_type: B256,
    voucher_type: B256,
    refund_type: B256,
    row_type: B256,
    batch_type: B256,
}

impl Domain {
    /// The channels of the chain with this id.
    pub fn new(chain_id: u64) -> Domain {
        fn type_hash<T: SolStruct>() -> B256 {
            keccak256(T::eip712_encode_type().as_bytes())
        }
        Domain {
            chain_id,
            separator: channels::channel_domain(chain_id).separator(),
            channel_type: type_hash::<channels::ChannelConfig>(),
            voucher_type: type_hash::<Voucher>(),
            refund_type: type_hash::<Refund>(),
            row_type: type_hash::<ClaimEntry>(),
            batch_type: type_hash::<ClaimBatch>(),
        }
    }

    /// The chain's id.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// A channel's name: the hash of what it is. Its chain and its contract are in it.
    pub fn channel_id(&self, config: &ChannelConfig) -> B256 {
        self.hash(&[
            self.channel_type,
            config.payer.into_word(),
            config.payer_authorizer.into_word(),
            config.receiver.into_word(),
            config.receiver_authorizer.into_word(),
            config.token.into_word(),
            word(config.withdraw_delay.into()),
            config.salt,
        ])
    }

    /// What the payer's authorizer signs: up to `amount` minor units may be claimed from the
    /// channel, all in all.
    pub fn voucher_hash(&self, channel: B256, amount: u128) -> B256 {
        self.hash(&[self.voucher_type, channel, word(amount)])
    }

    /// What the receiver's authorizer signs to give up to `amount` minor units back. The nonce is
    /// the channel's refund number on the chain.
    pub fn refund_hash(&self, channel: B256, nonce: U256, amount: u128) -> B256 {
        self.hash(&[self.refund_type, channel, nonce.into(), word(amount)])
    }

    /// What the receiver's authorizer signs to claim these rows, in this order.
    pub fn claims_hash(&self, claims: &[Claim]) -> B256 {
        let mut rows = Keccak256::new();
        for claim in claims {
            rows.update(hash_words(&[
                self.row_type,
                self.channel_id(&claim.voucher.channel),
                word(claim.voucher.max_claimable_amount.0),
                word(claim.total_claimed.0),
            ]));
        }
        self.hash(&[self.batch_type, rows.finalize()])
    }

    /// A struct's hash, bound to the domain.
    fn hash(&self, words: &[B256]) -> B256 {
        let mut bound = [0; 2 + 32 + 32];
        bound[..2].copy_from_slice(b"\x19\x01");
        bound[2..34].copy_from_slice(self.separator.as_slice());
        bound[34..].copy_from_slice(hash_words(words).as_slice());
        keccak256(bound)
    }
}

fn hash_words(words: &[B256]) -> B256 {
    let mut hasher = Keccak256::new();
    for word in words {
        hasher.update(word);
    }
    hasher.finalize()
}

fn word(value: u128) -> B256 {
    U256::from(value).into()
}

/// Whether a signature is this key's own, as the contract judges: 65 bytes, low s, v 27 or 28.
///
/// The reference SDK takes v 0 and 1 as well, and s of both halves; the contract takes neither, so
/// work done for such a voucher could not be claimed.
pub fn signed_by(hash: B256, signature: &[u8], signer: Address) -> bool {
    KnownKey::of(hash, signature, signer).is_some()
}

/// A key whose signature was seen. An address is a hash of its key, so the first signature is
/// judged by recovering the key from it; the next ones against the key, for a fifth less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownKey(PublicKey);

impl KnownKey {
    /// The key of `signer`, if it has signed this as [`signed_by`] asks.
    pub fn of(hash: B256, signature: &[u8], signer: Address) -> Option<KnownKey> {
        let parts = Parts::read(signature)?;
        let recovery = RecoveryId::try_from(i32::from(parts.v) - 27).ok()?;
        let signature = RecoverableSignature::from_compact(parts.compact, recovery).ok()?;
        // C libsecp256k1: six times faster than the pure-Rust recovery behind `Signature`.
        let key = SECP256K1.recover_ecdsa(Message::from_digest(hash.0), &signature).ok()?;
        let address = Address::from_raw_public_key(&key.serialize_uncompressed()[1..]);
        (address == signer).then_some(KnownKey(key))
    }

    /// Whether this key has signed, as [`signed_by`] judges but for one thing: whether v is 27 or
    /// 28 is not compared with the signature, since only recovering the key would tell. One of the
    /// two is right, and [`mended`] finds it when the voucher is claimed.
    pub fn has_signed(&self, hash: B256, signature: &[u8]) -> bool {
        let Some(parts) = Parts::read(signature) else { return false };
        let Ok(signature) = ecdsa::Signature::from_compact(parts.compact) else { return false };
        SECP256K1.verify_ecdsa(Message::from_digest(hash.0), &signature, &self.0).is_ok()
    }
}

/// A signature that [`KnownKey::has_signed`] took, with the v that the contract asks for.
pub fn mended(hash: B256, signature: &Bytes, signer: Address) -> Bytes {
    if signed_by(hash, signature, signer) {
        return signature.clone();
    }
    let mut other = signature.to_vec();
    if let Some(v @ (27 | 28)) = other.last_mut() {
        *v = 55 - *v;
    }
    match signed_by(hash, &other, signer) {
        true => other.into(),
        false => signature.clone(),
    }
}

/// A signature of the only form that the contract takes.
struct Parts<'a> {
    /// r and s.
    compact: &'a [u8],
    v: u8,
}

impl Parts<'_> {
    fn read(signature: &[u8]) -> Option<Parts<'_>> {
        let (&v, compact) = signature.split_last()?;
        let low = compact.len() == 64 && compact[32..] <= HALF_ORDER[..];
        (low && matches!(v, 27 | 28)).then_some(Parts { compact, v })
    }
}

/// Half the order of the curve's group: the greatest s that the contract takes (EIP-2).
const HALF_ORDER: B256 =
    b256!("0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");

#[cfg(test)]
mod tests {
    use alloy_primitives::{Signature, address, bytes};
    use alloy_signer::SignerSync as _;
    use alloy_signer_local::PrivateKeySigner;

    use super::*;
    use crate::channel::wire::{ClaimedVoucher, Units};

    /// The order of the curve's group.
    const N: U256 = U256::from_be_slice(
        b256!("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").as_slice(),
    );

    // All expected values were computed by viem 2's `hashTypedData` and `signTypedData`.
    const CHANNEL: B256 =
        b256!("0xf2b5d87b4c31bdf932545d62e2e852eae3de6c5639960779ab676efb6aed4cf1");
    const OTHER: B256 = b256!("0xd294b2af98a50ccd093b3c5982ff45eaf63ee4da7821e2978e0703d7da8f8210");
    const VOUCHER: B256 =
        b256!("0x7706ec1298b9f301488ed125c26100d1c8b726089bce15b00bb3aaa2ebf3a9b6");

    fn domain() -> Domain {
        Domain::new(402_402)
    }

    fn payer() -> PrivateKeySigner {
        PrivateKeySigner::from_bytes(&B256::repeat_byte(0x21)).unwrap()
    }

    fn config(salt: u8) -> ChannelConfig {
        ChannelConfig {
            payer: payer().address(),
            payer_authorizer: payer().address(),
            receiver: Address::repeat_byte(0x22),
            receiver_authorizer: Address::repeat_byte(0x33),
            token: address!("0x4d55534400000000000000000000000000000001"),
            withdraw_delay: 900,
            salt: B256::repeat_byte(salt),
        }
    }

    fn claim(salt: u8, most: u128, claimed: u128) -> Claim {
        let voucher = ClaimedVoucher { channel: config(salt), max_claimable_amount: Units(most) };
        Claim { voucher, signature: Bytes::new(), total_claimed: Units(claimed) }
    }

    #[test]
    fn a_channel_is_named_as_stock_clients_name_it() {
        assert_eq!(domain().channel_id(&config(7)), CHANNEL);
        assert_eq!(domain().channel_id(&config(8)), OTHER);
        assert_ne!(Domain::new(1).channel_id(&config(7)), CHANNEL);
    }

    #[test]
    fn what_is_signed_hashes_as_stock_clients_hash_it() {
        assert_eq!(domain().voucher_hash(CHANNEL, 5_000), VOUCHER);
        assert_eq!(
            domain().voucher_hash(CHANNEL, u128::MAX),
            b256!("0xb8e724573cc27b03b45aaf0319c0035e87cfc726e62a24cf2e4bb90b0bc162f8")
        );
        assert_eq!(
            domain().refund_hash(CHANNEL, U256::from(3), 1_500),
            b256!("0x95b20707df4af910a556cb97bdf093aab41cddc53db9a78e2434e60452cd3c23")
        );
        assert_eq!(
            domain().claims_hash(&[claim(7, 5_000, 4_000), claim(8, 7, 7)]),
            b256!("0x214464e9d58b25b710e29d9c71ab13e4a61711845c8f5a44d6f45561ed90851d")
        );
        assert_eq!(
            domain().claims_hash(&[]),
            b256!("0x430dc962d6fb9c6334ea01dd59e11a3eb9572ba9c8def618cd7f41ce4ec80c78")
        );
        assert_eq!(
            deposit_nonce(CHANNEL, U256::from(0x1234)),
            b256!("0x22aa530d8cf11697932bd009a475b12ca7826c30cec9097652cac5abe40b98a0")
        );
    }

    #[test]
    fn a_stock_clients_voucher_is_its_own_and_nobody_elses() {
        let signature = bytes!(
            "0x40d504e396cc3024b26aa1fc1810a07d4095e51067a0c14d33d2868b95ddc51b"
            "7b6b31020ce3920aa550af54949ec5a6a31675ca37a82aa37d7830558530a73a1b"
        );
        assert!(signed_by(VOUCHER, &signature, payer().address()));
        assert!(!signed_by(VOUCHER, &signature, Address::repeat_byte(0x22)));
        assert!(!signed_by(domain().voucher_hash(CHANNEL, 5_001), &signature, payer().address()));
        assert!(!signed_by(domain().voucher_hash(OTHER, 5_000), &signature, payer().address()));
        assert_eq!(payer().sign_hash_sync(&VOUCHER).unwrap().as_bytes()[..], signature[..]);
    }

    #[test]
    fn a_signature_that_the_contract_would_not_take_is_none() {
        let good = payer().sign_hash_sync(&VOUCHER).unwrap();
        let signer = payer().address();
        let bytes = good.as_bytes();
        assert!(signed_by(VOUCHER, &bytes, signer));
        for v in (0..=u8::MAX).filter(|v| *v != bytes[64]) {
            let mut other = bytes;
            other[64] = v;
            assert!(!signed_by(VOUCHER, &other, signer), "v {v}");
        }
        // The twin with the other half of s, which recovers to the same key.
        let twin = Signature::new(good.r(), N - good.s(), !good.v());
        assert_eq!(twin.recover_address_from_prehash(&VOUCHER).unwrap(), signer);
        assert!(!signed_by(VOUCHER, &twin.as_bytes(), signer));
        for length in [0, 1, 64, 66] {
            assert!(!signed_by(VOUCHER, &vec![27; length], signer));
        }
        assert!(!signed_by(VOUCHER, &[&[0; 64][..], &[27]].concat(), Address::ZERO));
    }

    #[test]
    fn a_known_key_judges_as_its_address_does_but_for_v_which_is_mended() {
        let signer = payer().address();
        let hash_of = |n: u128| domain().voucher_hash(CHANNEL, n);
        let sign = |n| payer().sign_hash_sync(&hash_of(n)).unwrap();
        let key = KnownKey::of(VOUCHER, &sign(5_000).as_bytes(), signer).unwrap();
        let stranger = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x22)).unwrap();
        assert_eq!(KnownKey::of(VOUCHER, &sign(5_000).as_bytes(), stranger.address()), None);
        let mut signatures: Vec<Vec<u8>> = Vec::new();
        for n in 4_990..5_010 {
            let good = sign(n);
            signatures.push(good.as_bytes().to_vec());
            signatures.push(stranger.sign_hash_sync(&hash_of(n)).unwrap().as_bytes().to_vec());
            signatures.push(Signature::new(good.r(), N - good.s(), !good.v()).as_bytes().to_vec());
            signatures.push(
                Signature::new(good.r(), good.s() ^ U256::from(1), good.v()).as_bytes().to_vec(),
            );
            signatures.push(Signature::new(U256::ZERO, good.s(), good.v()).as_bytes().to_vec());
            signatures.push(Signature::new(good.r(), U256::ZERO, good.v()).as_bytes().to_vec());
            signatures.push(good.as_bytes()[..64].to_vec());
            signatures.push([&good.as_bytes()[..], &[27]].concat());
            for v in [0, 1, 26, 29, 255] {
                signatures.push([&good.as_bytes()[..64], &[v]].concat());
            }
        }
        let mut taken = 0;
        for n in [4_999, 5_000, 5_001] {
            for signature in &signatures {
                let signed = signed_by(hash_of(n), signature, signer);
                assert_eq!(key.has_signed(hash_of(n), signature), signed, "{n} {signature:?}");
                taken += u32::from(signed);
            }
            let good: Bytes = sign(n).as_bytes().to_vec().into();
            let mut wrong = good.to_vec();
            wrong[64] = 55 - wrong[64];
            let wrong: Bytes = wrong.into();
            assert!(key.has_signed(hash_of(n), &wrong) && !signed_by(hash_of(n), &wrong, signer));
            assert_eq!(mended(hash_of(n), &wrong, signer), good);
            assert_eq!(mended(hash_of(n), &good, signer), good);
        }
        assert_eq!(taken, 3);
        assert!(U256::from_be_bytes(HALF_ORDER.0) == N / U256::from(2));
    }
}
