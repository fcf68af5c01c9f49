//! A sealed block as the node keeps it: header, transactions, and what each of them did.

use crate::transaction::Transaction;
use alloy_consensus::{Header, Receipt, ReceiptEnvelope, TxReceipt, TxType};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B256, Bloom, Log};
use alloy_rlp::{Encodable, length_of_length};
use std::sync::Arc;

/// What executing one transaction came to.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) kind: TxType,
    /// Without its bloom filter, which is 256 bytes and follows from the logs.
    pub(crate) receipt: Receipt,
    /// Gas that this transaction alone used.
    pub(crate) gas_used: u64,
    /// The address of the contract that it created at top level.
    pub(crate) created: Option<Address>,
    /// How many logs the block's earlier transactions wrote.
    pub(crate) first_log: u64,
}

impl Outcome {
    pub(crate) fn logs(&self) -> &[Log] {
        &self.receipt.logs
    }

    /// The receipt as the block commits to it.
    pub(crate) fn envelope(&self) -> ReceiptEnvelope {
        ReceiptEnvelope::from_typed(self.kind, self.receipt.clone())
    }
}

/// A block that will not change any more.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) hash: B256,
    pub(crate) transactions: Vec<Arc<Transaction>>,
    /// One for each transaction, in the same order.
    pub(crate) outcomes: Vec<Outcome>,
}

impl Block {
    pub(crate) fn number(&self) -> u64 {
        self.header.number
    }

    /// Bytes of the block's RLP encoding: header, transactions, no uncles, no withdrawals.
    pub(crate) fn size(&self) -> usize {
        let transactions: usize =
            self.transactions.iter().map(|tx| tx.envelope.network_len()).sum();
        let empty_list = 1;
        let payload =
            self.header.length() + transactions + length_of_length(transactions) + 2 * empty_list;
        payload + length_of_length(payload)
    }
}

/// The root over a block's transactions.
pub(crate) fn transactions_root(transactions: &[Arc<Transaction>]) -> B256 {
    alloy_trie::root::ordered_trie_root_with_encoder(transactions, |tx, out| {
        tx.envelope.encode_2718(out);
    })
}

/// The root over a block's receipts, and the union of their blooms.
pub(crate) fn receipts_root(outcomes: &[Outcome]) -> (B256, Bloom) {
    let receipts: Vec<ReceiptEnvelope> = outcomes.iter().map(Outcome::envelope).collect();
    let root = alloy_trie::root::ordered_trie_root_with_encoder(&receipts, |receipt, out| {
        receipt.encode_2718(out);
    });
    (root, receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom()))
}
