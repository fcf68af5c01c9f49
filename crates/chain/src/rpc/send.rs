//! Taking transactions in: `eth_sendRawTransaction`, `eth_sendRawTransactionSync` (EIP-7966).

use super::{
    answer::json_of,
    block,
    error::RpcError,
    params::{Number, Params},
};
use crate::{node::Shared, refusal::Refusal};
use alloy_primitives::{B256, Bytes, U64, keccak256};
use alloy_rpc_types_eth::TransactionReceipt;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;

/// The answer is the hash, given once the transaction is pooled.
pub(crate) fn raw(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let raw: Bytes = params.required()?;
    params.end()?;
    json_of(shared.submit(&raw)?)
}

/// The answer is the receipt, given once the transaction is sealed. A transaction that is known
/// already is waited for, so the call can be repeated.
pub(crate) async fn raw_sync(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let raw: Bytes = params.required()?;
    let most = shared.limits.sync_wait_ms;
    let wait = params.optional::<Number>()?.map_or(most, u64::from).min(most);
    params.end()?;
    let wait = Duration::from_millis(wait);
    // A transaction's hash is that of its encoding.
    let hash = keccak256(&raw);
    if let Some(receipt) = block::receipt_of(shared, hash) {
        return json_of(receipt);
    }
    // Subscribed before it is sent, so that the sealer's turn cannot be missed.
    let turns = shared.turns.subscribe();
    match shared.submit(&raw) {
        Ok(_) | Err(Refusal::Known) => {}
        Err(refusal) => return Err(refusal.into()),
    }
    match tokio::time::timeout(wait, sealed(shared, hash, turns)).await {
        Ok(receipt) => json_of(receipt?),
        Err(_) => Err(RpcError::sync_timeout(
            format!(
                "the transaction was added to the pool but was not sealed in {} ms; \
                 an earlier nonce may be missing",
                wait.as_millis()
            ),
            json!(hash),
        )),
    }
}

async fn sealed(
    shared: &Shared,
    hash: B256,
    mut turns: watch::Receiver<()>,
) -> Result<TransactionReceipt, RpcError> {
    loop {
        // The pool first: whatever left it in between is then found sealed.
        let pooled = shared.pool().get(hash).is_some();
        if let Some(receipt) = block::receipt_of(shared, hash) {
            return Ok(receipt);
        }
        if !pooled {
            return Err(RpcError::server(
                "the transaction was dropped: it was replaced, or other transactions made it \
                 invalid before its turn",
            ));
        }
        if turns.changed().await.is_err() {
            return Err(RpcError::internal("the node is shutting down"));
        }
    }
}

/// How many transactions are ready, and how many wait for an earlier nonce.
pub(crate) fn pool_status(shared: &Shared, params: Params) -> Result<Value, RpcError> {
    params.end()?;
    let (pending, queued) = shared.pool().counts();
    json_of(json!({ "pending": U64::from(pending), "queued": U64::from(queued) }))
}
