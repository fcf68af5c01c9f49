//! A signed transaction, decoded, with its sender.
//!
//! Recovering the sender is nine tenths of the cost of a payment (about 50 µs with C libsecp256k1),
//! so it happens here, on the caller's thread, before anything is ordered.

use crate::refusal::Refusal;
use alloy_consensus::{
    Transaction as _, TxEnvelope, Typed2718, crypto::SECP256K1N_HALF,
    transaction::SignerRecoverable,
};
use alloy_eips::{Decodable2718, Encodable2718, eip2718::EIP4844_TX_TYPE_ID};
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::context::{TxEnv, either::Either};

/// The largest transaction that is taken, in bytes of its EIP-2718 encoding; geth's figure.
pub(crate) const MAX_BYTES: usize = 128 * 1024;

/// A transaction whose signature was checked.
#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) envelope: TxEnvelope,
    pub(crate) sender: Address,
}

impl Transaction {
    /// Reads a signed transaction in its EIP-2718 encoding and recovers who signed it.
    pub(crate) fn recover(raw: &[u8]) -> Result<Self, Refusal> {
        let envelope = decode(raw)?;
        if envelope.signature().s() > SECP256K1N_HALF {
            return Err(Refusal::Signature);
        }
        let sender = envelope.recover_signer().map_err(|_| Refusal::Signature)?;
        Ok(Self { envelope, sender })
    }

    /// Reads a transaction whose sender is known, because our own log says so.
    pub(crate) fn trusted(raw: &[u8], sender: Address) -> Result<Self, Refusal> {
        Ok(Self { envelope: decode(raw)?, sender })
    }

    pub(crate) fn hash(&self) -> B256 {
        *self.envelope.tx_hash()
    }

    pub(crate) fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }

    /// The EIP-2718 encoding.
    pub(crate) fn raw(&self) -> Bytes {
        self.envelope.encoded_2718().into()
    }

    /// The most that this transaction can cost its sender, in wei: gas limit × fee cap + value.
    /// `None` when that is beyond 2²⁵⁶, which nobody has.
    pub(crate) fn max_cost(&self) -> Option<U256> {
        U256::from(self.envelope.gas_limit())
            .checked_mul(U256::from(self.envelope.max_fee_per_gas()))?
            .checked_add(self.envelope.value())
    }

    /// The tip per gas, in wei, that the block's beneficiary gets at a base fee of zero.
    pub(crate) fn tip(&self) -> u128 {
        self.envelope.effective_tip_per_gas(0).unwrap_or_default()
    }

    /// The transaction as the EVM wants it.
    pub(crate) fn env(&self) -> TxEnv {
        let tx = &self.envelope;
        TxEnv {
            tx_type: tx.ty(),
            caller: self.sender,
            gas_limit: tx.gas_limit(),
            gas_price: tx.max_fee_per_gas(),
            kind: tx.kind(),
            value: tx.value(),
            data: tx.input().clone(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            gas_priority_fee: tx.max_priority_fee_per_gas(),
            blob_hashes: Vec::new(),
            max_fee_per_blob_gas: 0,
            authorization_list: tx
                .authorization_list()
                .unwrap_or_default()
                .iter()
                .cloned()
                .map(Either::Left)
                .collect(),
        }
    }
}

fn decode(raw: &[u8]) -> Result<TxEnvelope, Refusal> {
    if raw.len() > MAX_BYTES {
        return Err(Refusal::Oversized { size: raw.len(), limit: MAX_BYTES });
    }
    match raw.first() {
        Some(&EIP4844_TX_TYPE_ID) => return Err(Refusal::Blobs),
        Some(&kind @ (0 | 5..=0x7f)) => return Err(Refusal::Type { kind }),
        _ => {}
    }
    TxEnvelope::decode_2718_exact(raw).map_err(|error| Refusal::Malformed(error.to_string()))
}
