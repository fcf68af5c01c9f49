//! What the state says of one account: `eth_getBalance`, `eth_getCode`, `eth_getStorageAt`,
//! `eth_getTransactionCount`. And how a block parameter finds its state.

use super::{answer::json_of, error::RpcError, params::Params};
use crate::{
    block::Block,
    history::{Chain, KEPT_STATES},
    node::Shared,
    state::State,
};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, U64, U256};
use serde_json::Value;
use std::sync::Arc;

/// The number that a block parameter means. Everything sealed is final, so all tags but
/// `earliest` mean the newest block.
pub(crate) fn resolve(chain: &Chain, block: BlockNumberOrTag) -> u64 {
    match block {
        BlockNumberOrTag::Number(number) => number,
        BlockNumberOrTag::Earliest => 0,
        BlockNumberOrTag::Latest
        | BlockNumberOrTag::Safe
        | BlockNumberOrTag::Finalized
        | BlockNumberOrTag::Pending => chain.head().number(),
    }
}

/// The block that a parameter names and the state after it; the newest if none is named.
pub(crate) fn state_at(
    shared: &Shared,
    block: Option<BlockId>,
) -> Result<(Arc<Block>, State), RpcError> {
    let chain = shared.history.read();
    let number = match block.unwrap_or_default() {
        BlockId::Hash(hash) => chain.number(hash.block_hash),
        BlockId::Number(block) => Some(resolve(&chain, block)),
    };
    let Some(block) = number.and_then(|number| chain.block(number)) else {
        return Err(RpcError::server("header not found"));
    };
    let Some(state) = chain.state_at(block.number()) else {
        return Err(RpcError::server(format!(
            "historical state unavailable: block {} is older than the last {KEPT_STATES}; \
             the oldest state kept is that of block {}",
            block.number(),
            chain.oldest_state(),
        )));
    };
    Ok((block.clone(), state.clone()))
}

pub(crate) fn balance(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let address: Address = params.required()?;
    let (_, state) = state_at(shared, params.optional()?)?;
    params.end()?;
    json_of(state.account(address).map_or(U256::ZERO, |account| account.balance))
}

pub(crate) fn code(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let address: Address = params.required()?;
    let (_, state) = state_at(shared, params.optional()?)?;
    params.end()?;
    json_of(state.code_at(address)?)
}

pub(crate) fn storage_at(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let address: Address = params.required()?;
    let slot: U256 = params.required()?;
    let (_, state) = state_at(shared, params.optional()?)?;
    params.end()?;
    json_of(B256::from(state.slot(address, slot)))
}

/// With the tag `pending`, counts what the pool holds ready.
pub(crate) fn transaction_count(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let address: Address = params.required()?;
    let block: Option<BlockId> = params.optional()?;
    params.end()?;
    if block.is_some_and(|block| block.is_pending()) {
        // Asked first: a block sealed in between can then only raise the sealed count.
        let pooled = shared.pool().next_nonce(address).unwrap_or_default();
        return json_of(U64::from(pooled.max(shared.standing(address).nonce)));
    }
    let (_, state) = state_at(shared, block)?;
    json_of(U64::from(state.account(address).map_or(0, |account| account.nonce)))
}
