//! A scripted pool of transactions before the real node: what offers too little waits here, under
//! the rules and in the words of geth, until it is let through or thrown away.

use std::collections::BTreeMap;

use alloy_consensus::transaction::SignerRecoverable as _;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::Decodable2718 as _;
use alloy_primitives::{Address, B256, Bytes};

/// What the pool makes of a transaction.
pub enum Admission {
    /// It offers enough: the node may have it.
    Pass,
    /// It waits.
    Held(B256),
    /// geth's words.
    Refused(&'static str),
}

/// Holds what tips less than `least_tip` wei per gas.
pub struct Mempool {
    least_tip: u128,
    held: BTreeMap<(Address, u64), TxEnvelope>,
    /// Every transaction that was ever offered, in order.
    pub seen: Vec<TxEnvelope>,
}

impl Mempool {
    pub fn asking(least_tip: u128) -> Mempool {
        Mempool { least_tip, held: BTreeMap::new(), seen: Vec::new() }
    }

    /// From now on this tip is enough.
    pub fn ask(&mut self, least_tip: u128) {
        self.least_tip = least_tip;
    }

    pub fn admit(&mut self, raw: &Bytes) -> Admission {
        let transaction = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
        let place = (transaction.recover_signer().unwrap(), transaction.nonce());
        self.seen.push(transaction.clone());
        if let Some(held) = self.held.get(&place) {
            if held.tx_hash() == transaction.tx_hash() && tip(held) < self.least_tip {
                return Admission::Refused("already known");
            }
            let beats = |new: u128, old: u128| new > old && new * 10 >= old * 11;
            let (old_tip, new_tip) = (tip(held), tip(&transaction));
            let outbid = beats(new_tip, old_tip)
                && beats(transaction.max_fee_per_gas(), held.max_fee_per_gas());
            if !outbid && held.tx_hash() != transaction.tx_hash() {
                return Admission::Refused("replacement transaction underpriced");
            }
        }
        if tip(&transaction) >= self.least_tip {
            self.held.remove(&place);
            return Admission::Pass;
        }
        let hash = *transaction.tx_hash();
        self.held.insert(place, transaction);
        Admission::Held(hash)
    }
}

/// In wei per gas.
pub fn tip(transaction: &TxEnvelope) -> u128 {
    transaction.max_priority_fee_per_gas().unwrap_or_default()
}
