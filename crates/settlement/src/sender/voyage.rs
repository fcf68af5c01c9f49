//! One nonce on its way to the chain: the call that it carries, and every version that was signed.
//!
//! A version differs from the one before in its fees alone, so at most one is ever mined, and it
//! does not matter which.

use alloy_consensus::{SignableTransaction as _, Transaction as _, TxEip1559, TxEnvelope};
use alloy_eips::Encodable2718 as _;
use alloy_eips::eip1559::Eip1559Estimation;
use alloy_primitives::B256;
use alloy_signer_local::PrivateKeySigner;

/// A transaction as it travels.
#[derive(Clone)]
pub(super) struct Signed {
    /// EIP-2718 bytes.
    pub(super) raw: Vec<u8>,
    pub(super) hash: B256,
}

/// Signs a transaction with a key of ours.
pub(super) fn sign(transaction: TxEip1559, signer: &PrivateKeySigner) -> Signed {
    let signature = protocol::sign_hash(signer, transaction.signature_hash());
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    Signed { raw: envelope.encoded_2718(), hash: *envelope.tx_hash() }
}

/// All that was signed for one nonce.
#[derive(Clone)]
pub(super) struct Voyage {
    /// What the newest version says.
    newest: TxEip1559,
    /// Oldest first; never empty.
    versions: Vec<Signed>,
    /// Whether a node may have one of them.
    pub(super) departed: bool,
    /// The version that was seen mined, if one was.
    pub(super) landed: Option<B256>,
}

impl Voyage {
    pub(super) fn begin(transaction: TxEip1559, signer: &PrivateKeySigner) -> Voyage {
        let versions = vec![sign(transaction.clone(), signer)];
        Voyage { newest: transaction, versions, departed: false, landed: None }
    }

    pub(super) fn nonce(&self) -> u64 {
        self.newest.nonce
    }

    pub(super) fn newest(&self) -> &Signed {
        self.versions.last().expect("a voyage begins with a version")
    }

    /// What the newest version says, for a filler at the same fees.
    pub(super) fn draft(&self) -> &TxEip1559 {
        &self.newest
    }

    /// Newest first: that is the likeliest to be mined.
    pub(super) fn versions(&self) -> impl Iterator<Item = &Signed> {
        self.versions.iter().rev()
    }

    /// Newest first.
    pub(super) fn hashes(&self) -> impl Iterator<Item = B256> {
        self.versions().map(|version| version.hash)
    }

    /// How often its fees were raised.
    pub(super) fn raises(&self) -> usize {
        self.versions.len() - 1
    }

    /// The hash to watch: of the version that was seen mined, else of the newest.
    pub(super) fn watched(&self) -> B256 {
        self.landed.unwrap_or(self.newest().hash)
    }

    /// Signs a version that nodes take instead of the last one; `false` if that is not possible:
    /// where gas is free the first of two stays, and beyond `most_fee` nothing is offered.
    pub(super) fn raise(
        &mut self,
        market: Option<Eip1559Estimation>,
        most_fee: u128,
        signer: &PrivateKeySigner,
    ) -> bool {
        let now = Eip1559Estimation {
            max_fee_per_gas: self.newest.max_fee_per_gas(),
            max_priority_fee_per_gas: self.newest.max_priority_fee_per_gas,
        };
        let Some(offer) = outbid(now, market, most_fee) else { return false };
        self.newest.max_fee_per_gas = offer.max_fee_per_gas;
        self.newest.max_priority_fee_per_gas = offer.max_priority_fee_per_gas;
        self.versions.push(sign(self.newest.clone(), signer));
        true
    }
}

/// Fees that take the place of `old`, all in wei per gas. Nodes demand a tenth more of both fee
/// fields (geth's `txpool.pricebump`); an eighth is offered, or what the market asks if that is
/// more. `None` if `most_fee` does not allow the tenth, or if nothing was offered before: then gas
/// is free, and the sender may own no ether.
fn outbid(
    old: Eip1559Estimation,
    market: Option<Eip1559Estimation>,
    most_fee: u128,
) -> Option<Eip1559Estimation> {
    if old.max_fee_per_gas == 0 {
        return None;
    }
    let tenth = |fee: u128| fee.saturating_add(fee.div_ceil(10).max(1));
    let eighth = |fee: u128| fee.saturating_add(fee.div_ceil(8).max(1));
    let asked =
        market.unwrap_or(Eip1559Estimation { max_fee_per_gas: 0, max_priority_fee_per_gas: 0 });
    let fee = eighth(old.max_fee_per_gas).max(asked.max_fee_per_gas).min(most_fee);
    let tip = eighth(old.max_priority_fee_per_gas).max(asked.max_priority_fee_per_gas).min(fee);
    let enough = fee > old.max_fee_per_gas
        && fee >= tenth(old.max_fee_per_gas)
        && tip >= tenth(old.max_priority_fee_per_gas);
    enough.then_some(Eip1559Estimation { max_fee_per_gas: fee, max_priority_fee_per_gas: tip })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fees(fee: u128, tip: u128) -> Eip1559Estimation {
        Eip1559Estimation { max_fee_per_gas: fee, max_priority_fee_per_gas: tip }
    }

    fn pair(offer: Option<Eip1559Estimation>) -> Option<(u128, u128)> {
        offer.map(|o| (o.max_fee_per_gas, o.max_priority_fee_per_gas))
    }

    #[test]
    fn a_raise_is_what_nodes_demand_and_never_above_the_limit() {
        const MOST: u128 = 1_000_000;
        let cases = [
            // (offered before, the market now, expected)
            ((800, 80), None, Some((900, 90))),
            ((800, 80), Some((5_000, 300)), Some((5_000, 300))),
            ((800, 80), Some((850, 300)), Some((900, 300))),
            // A tip of nothing must rise too, by one wei.
            ((800, 0), None, Some((900, 1))),
            ((1, 1), None, Some((2, 2))),
            // Gas is free: the first of two stays.
            ((0, 0), Some((700, 7)), None),
            // The limit cuts an eighth to a tenth, and no further.
            ((909_000, 10), None, Some((1_000_000, 12))),
            ((910_000, 10), None, None),
            ((MOST, 10), Some((2 * MOST, MOST)), None),
            ((100, 100), Some((2 * MOST, 2 * MOST)), Some((MOST, MOST))),
        ];
        for (old, market, expected) in cases {
            let offer = outbid(fees(old.0, old.1), market.map(|(fee, tip)| fees(fee, tip)), MOST);
            assert_eq!(pair(offer), expected, "{old:?} {market:?}");
            if let Some((fee, tip)) = pair(offer) {
                assert!(fee * 10 >= old.0 * 11 && tip * 10 >= old.1 * 11 && tip <= fee);
            }
        }
        assert!(outbid(fees(u128::MAX, 1), None, u128::MAX).is_none());
    }

    #[test]
    fn every_version_keeps_nonce_and_call_and_has_a_hash_of_its_own() {
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        let draft = TxEip1559 {
            chain_id: 1,
            nonce: 4,
            gas_limit: 90_000,
            max_fee_per_gas: 1_000,
            max_priority_fee_per_gas: 10,
            input: vec![1, 2, 3].into(),
            ..Default::default()
        };
        let mut voyage = Voyage::begin(draft.clone(), &signer);
        assert!(voyage.raise(None, 10_000, &signer) && voyage.raise(None, 10_000, &signer));
        assert_eq!((voyage.raises(), voyage.nonce()), (2, 4));
        let hashes: std::collections::BTreeSet<_> = voyage.hashes().collect();
        assert_eq!(hashes.len(), 3);
        assert_eq!(voyage.watched(), voyage.newest().hash);
        let newest = TxEip1559 {
            max_fee_per_gas: voyage.draft().max_fee_per_gas,
            max_priority_fee_per_gas: voyage.draft().max_priority_fee_per_gas,
            ..draft
        };
        assert_eq!(*voyage.draft(), newest);
    }
}
