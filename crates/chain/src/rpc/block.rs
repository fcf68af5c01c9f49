//! Blocks, transactions and receipts, as clients see them.

use super::{account::resolve, answer::json_of, error::RpcError, params::Params};
use crate::{block::Block, history::Chain, node::Shared, transaction::Transaction};
use alloy_consensus::{Transaction as _, transaction::Recovered};
use alloy_eips::{BlockId, BlockNumberOrTag, eip4895::Withdrawals};
use alloy_primitives::{B256, Sealed, U64, U256};
use alloy_rpc_types_eth as rpc;
use serde_json::Value;
use std::sync::Arc;

pub(crate) fn number(shared: &Shared, params: Params) -> Result<Value, RpcError> {
    params.end()?;
    json_of(U64::from(shared.history.read().head().number()))
}

pub(crate) fn by_number(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let block = numbered(shared, &mut params)?;
    present_block(block, params)
}

pub(crate) fn by_hash(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let block = hashed(shared, &mut params)?;
    present_block(block, params)
}

pub(crate) fn count_by_number(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let block = numbered(shared, &mut params)?;
    params.end()?;
    json_of(block.map(|block| U64::from(block.transactions.len())))
}

pub(crate) fn count_by_hash(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let block = hashed(shared, &mut params)?;
    params.end()?;
    json_of(block.map(|block| U64::from(block.transactions.len())))
}

pub(crate) fn uncles_by_number(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let block = numbered(shared, &mut params)?;
    params.end()?;
    json_of(block.map(|_| U64::ZERO))
}

pub(crate) fn uncles_by_hash(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let block = hashed(shared, &mut params)?;
    params.end()?;
    json_of(block.map(|_| U64::ZERO))
}

pub(crate) fn receipts(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let id: BlockId = params.required()?;
    params.end()?;
    let block = {
        let chain = shared.history.read();
        match id {
            BlockId::Hash(hash) => chain.number(hash.block_hash),
            BlockId::Number(block) => Some(resolve(&chain, block)),
        }
        .and_then(|number| chain.block(number))
        .cloned()
    };
    json_of(block.map(|block| {
        (0..block.transactions.len())
            .map(|index| present_receipt(&block, index))
            .collect::<Vec<_>>()
    }))
}

/// A sealed transaction, or one that is still pooled, with `null` for its block.
pub(crate) fn transaction(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required()?;
    params.end()?;
    // The pool first: a transaction sealed in between is then found in the chain.
    let pooled = shared.pool().get(hash);
    let sealed = place(&shared.history.read(), hash);
    json_of(match (sealed, pooled) {
        (Some((block, index)), _) => Some(present_sealed(&block, index)),
        (None, Some(transaction)) => Some(present_transaction(&transaction)),
        (None, None) => None,
    })
}

pub(crate) fn transaction_by_number(
    shared: &Shared,
    mut params: Params,
) -> Result<Value, RpcError> {
    let block = numbered(shared, &mut params)?;
    present_indexed(block, params)
}

pub(crate) fn transaction_by_hash(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let block = hashed(shared, &mut params)?;
    present_indexed(block, params)
}

pub(crate) fn raw_transaction(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required()?;
    params.end()?;
    let pooled = shared.pool().get(hash);
    let sealed = place(&shared.history.read(), hash);
    let transaction = sealed.map(|(block, index)| block.transactions[index].clone()).or(pooled);
    json_of(transaction.map(|transaction| transaction.raw()))
}

pub(crate) fn receipt(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let hash: B256 = params.required()?;
    params.end()?;
    json_of(receipt_of(shared, hash))
}

/// The receipt of a sealed transaction.
pub(crate) fn receipt_of(shared: &Shared, hash: B256) -> Option<rpc::TransactionReceipt> {
    let (block, index) = place(&shared.history.read(), hash)?;
    Some(present_receipt(&block, index))
}

fn place(chain: &Chain, hash: B256) -> Option<(Arc<Block>, usize)> {
    let (block, index) = chain.place(hash)?;
    Some((block.clone(), index))
}

fn numbered(shared: &Shared, params: &mut Params) -> Result<Option<Arc<Block>>, RpcError> {
    let block: BlockNumberOrTag = params.required()?;
    let chain = shared.history.read();
    Ok(chain.block(resolve(&chain, block)).cloned())
}

fn hashed(shared: &Shared, params: &mut Params) -> Result<Option<Arc<Block>>, RpcError> {
    let hash: B256 = params.required()?;
    let chain = shared.history.read();
    Ok(chain.number(hash).and_then(|number| chain.block(number)).cloned())
}

fn present_block(block: Option<Arc<Block>>, mut params: Params) -> Result<Value, RpcError> {
    let full = params.optional()?.unwrap_or(false);
    params.end()?;
    json_of(block.map(|block| {
        let transactions = if full {
            rpc::BlockTransactions::Full(
                (0..block.transactions.len()).map(|index| present_sealed(&block, index)).collect(),
            )
        } else {
            rpc::BlockTransactions::Hashes(block.transactions.iter().map(|tx| tx.hash()).collect())
        };
        let header = rpc::Header::from_consensus(
            Sealed::new_unchecked(block.header.clone(), block.hash),
            None,
            Some(U256::from(block.size())),
        );
        rpc::Block::new(header, transactions).with_withdrawals(Some(Withdrawals::default()))
    }))
}

fn present_indexed(block: Option<Arc<Block>>, mut params: Params) -> Result<Value, RpcError> {
    let index: U64 = params.required()?;
    params.end()?;
    let index = usize::try_from(index.to::<u64>()).unwrap_or(usize::MAX);
    json_of(
        block
            .filter(|block| index < block.transactions.len())
            .map(|block| present_sealed(&block, index)),
    )
}

/// A pooled transaction.
fn present_transaction(transaction: &Transaction) -> rpc::Transaction {
    let envelope = transaction.envelope.clone();
    rpc::Transaction {
        effective_gas_price: Some(envelope.max_fee_per_gas()),
        inner: Recovered::new_unchecked(envelope, transaction.sender),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        block_timestamp: None,
    }
}

fn present_sealed(block: &Block, index: usize) -> rpc::Transaction {
    let transaction = &block.transactions[index];
    let price = transaction.envelope.effective_gas_price(block.header.base_fee_per_gas);
    rpc::Transaction {
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        transaction_index: Some(index as u64),
        block_timestamp: Some(block.header.timestamp),
        effective_gas_price: Some(price),
        ..present_transaction(transaction)
    }
}

fn present_receipt(block: &Block, index: usize) -> rpc::TransactionReceipt {
    let (transaction, outcome) = (&block.transactions[index], &block.outcomes[index]);
    let mut logs = present_logs(block, index);
    rpc::TransactionReceipt {
        inner: outcome.envelope().map_logs(|_| logs.next().expect("one for each log")),
        transaction_hash: transaction.hash(),
        transaction_index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        gas_used: outcome.gas_used,
        effective_gas_price: transaction
            .envelope
            .effective_gas_price(block.header.base_fee_per_gas),
        blob_gas_used: None,
        blob_gas_price: None,
        from: transaction.sender,
        to: transaction.envelope.to(),
        contract_address: outcome.created,
    }
}

/// The logs of one transaction, with their places.
pub(crate) fn present_logs(block: &Block, index: usize) -> impl Iterator<Item = rpc::Log> {
    let outcome = &block.outcomes[index];
    let transaction_hash = block.transactions[index].hash();
    outcome.logs().iter().zip(outcome.first_log..).map(move |(log, log_index)| rpc::Log {
        inner: log.clone(),
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(transaction_hash),
        transaction_index: Some(index as u64),
        log_index: Some(log_index),
        removed: false,
    })
}
