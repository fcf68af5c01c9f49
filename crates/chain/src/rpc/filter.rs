//! Finding logs: `eth_getLogs`, and filters that tell what is new.
//!
//! Blooms are asked first, so a block without a match costs a few nanoseconds. Bounds: blocks and
//! results of one request, filters open at once, and time that a filter may go unused.

use super::{
    account::resolve, answer::json_of, block::present_logs, error::RpcError, params::Params,
};
use crate::{block::Block, node::Shared};
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::U64;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use serde_json::Value;
use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Arc, MutexGuard, PoisonError},
};

/// Blocks copied out of the chain under one lock.
const CHUNK: u64 = 1_024;

/// The open filters.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    open: HashMap<u64, Open>,
    /// Ids are given in order and not used twice.
    last_id: u64,
}

#[derive(Clone, Debug)]
struct Open {
    kind: Kind,
    /// The first block that was not told yet.
    next: u64,
    /// When it was last asked, in seconds since the Unix epoch.
    used: u64,
}

#[derive(Clone, Debug)]
enum Kind {
    Logs(Box<Filter>),
    Blocks,
}

pub(crate) fn logs(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let filter: Filter = params.required()?;
    params.end()?;
    json_of(find(shared, &filter)?)
}

pub(crate) fn new_log_filter(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let filter: Filter = params.required()?;
    params.end()?;
    if filter.get_block_hash().is_some() {
        return Err(RpcError::params("a filter for what is new cannot name a block hash"));
    }
    open(shared, Kind::Logs(Box::new(filter)))
}

pub(crate) fn new_block_filter(shared: &Shared, params: Params) -> Result<Value, RpcError> {
    params.end()?;
    open(shared, Kind::Blocks)
}

pub(crate) fn uninstall(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let id: U64 = params.required()?;
    params.end()?;
    json_of(filters(shared).open.remove(&id.to()).is_some())
}

/// What is new since the filter was last asked. If there is more than one answer may hold, the rest
/// comes with the next.
pub(crate) fn changes(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let id: U64 = params.required()?;
    params.end()?;
    let Open { kind, next, .. } = touch(shared, id)?;
    let newest = shared.history.read().head().number();
    let last = newest.min(next.saturating_add(shared.limits.log_blocks - 1));
    let (answer, told) = match kind {
        Kind::Blocks => {
            let mut hashes = Vec::new();
            each_block(shared, next..=last, |block| {
                hashes.push(block.hash);
                Ok(true)
            })?;
            (json_of(hashes)?, last)
        }
        Kind::Logs(filter) => {
            let last = match filter.block_option.get_to_block() {
                Some(BlockNumberOrTag::Number(to)) => last.min(*to),
                _ => last,
            };
            let (mut found, mut told) = (Vec::new(), last);
            each_block(shared, next..=last, |block| {
                collect(&filter, block, &mut found);
                told = block.number();
                Ok(found.len() < shared.limits.log_results)
            })?;
            (json_of(found)?, told)
        }
    };
    if let Some(open) = filters(shared).open.get_mut(&id.to()) {
        open.next = open.next.max(told + 1);
    }
    Ok(answer)
}

/// All that a log filter matches, new or not.
pub(crate) fn filter_logs(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let id: U64 = params.required()?;
    params.end()?;
    match touch(shared, id)?.kind {
        Kind::Logs(filter) => json_of(find(shared, &filter)?),
        Kind::Blocks => Err(not_found()),
    }
}

fn find(shared: &Shared, filter: &Filter) -> Result<Vec<Log>, RpcError> {
    let range = {
        let chain = shared.history.read();
        match &filter.block_option {
            FilterBlockOption::AtBlockHash(hash) => {
                let number =
                    chain.number(*hash).ok_or_else(|| RpcError::server("unknown block"))?;
                number..=number
            }
            FilterBlockOption::Range { from_block, to_block } => {
                let from = resolve(&chain, from_block.unwrap_or_default());
                let to = resolve(&chain, to_block.unwrap_or_default());
                if from > to {
                    return Err(RpcError::params("invalid block range params"));
                }
                from..=to.min(chain.head().number())
            }
        }
    };
    let limits = &shared.limits;
    let count = (range.end() + 1).saturating_sub(*range.start());
    // One block's logs are bounded by its gas, and whoever asks must be able to get them: a range
    // can be halved, a block cannot.
    let one_block = count <= 1;
    if count > limits.log_blocks {
        let limit = limits.log_blocks;
        return Err(RpcError::limit(format!("block range too wide: {count}, limit {limit}")));
    }
    let mut found = Vec::new();
    each_block(shared, range, |block| {
        collect(filter, block, &mut found);
        if !one_block && found.len() > limits.log_results {
            let limit = limits.log_results;
            return Err(RpcError::limit(format!(
                "query returned more than {limit} results; it had by block {}",
                block.number()
            )));
        }
        Ok(true)
    })?;
    Ok(found)
}

fn collect(filter: &Filter, block: &Block, found: &mut Vec<Log>) {
    if !filter.matches_bloom(block.header.logs_bloom) {
        return;
    }
    for index in 0..block.transactions.len() {
        found.extend(present_logs(block, index).filter(|log| filter.matches(&log.inner)));
    }
}

/// Shows the blocks of a range until `visit` has enough, without holding the chain's lock.
fn each_block(
    shared: &Shared,
    range: RangeInclusive<u64>,
    mut visit: impl FnMut(&Block) -> Result<bool, RpcError>,
) -> Result<(), RpcError> {
    let (mut next, last) = (*range.start(), *range.end());
    while next <= last {
        let chunk: Vec<Arc<Block>> = {
            let chain = shared.history.read();
            (next..=last.min(next + CHUNK - 1)).map_while(|n| chain.block(n).cloned()).collect()
        };
        if chunk.is_empty() {
            return Ok(());
        }
        next += chunk.len() as u64;
        for block in chunk {
            if !visit(&block)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn filters(shared: &Shared) -> MutexGuard<'_, Filters> {
    shared.filters.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(shared: &Shared, kind: Kind) -> Result<Value, RpcError> {
    let now = (shared.now)();
    let next = shared.history.read().head().number() + 1;
    let limits = &shared.limits;
    let mut filters = filters(shared);
    if filters.open.len() >= limits.filters {
        let oldest = now.saturating_sub(limits.filter_seconds);
        filters.open.retain(|_, open| open.used >= oldest);
    }
    if filters.open.len() >= limits.filters {
        let message = format!("too many open filters: limit {}; uninstall some", limits.filters);
        return Err(RpcError::limit(message));
    }
    filters.last_id += 1;
    let id = filters.last_id;
    filters.open.insert(id, Open { kind, next, used: now });
    json_of(U64::from(id))
}

fn touch(shared: &Shared, id: U64) -> Result<Open, RpcError> {
    let now = (shared.now)();
    let mut filters = filters(shared);
    let id = id.to();
    let oldest = now.saturating_sub(shared.limits.filter_seconds);
    match filters.open.get_mut(&id) {
        Some(open) if open.used >= oldest => {
            open.used = now;
            Ok(open.clone())
        }
        Some(_) => {
            filters.open.remove(&id);
            Err(not_found())
        }
        None => Err(not_found()),
    }
}

fn not_found() -> RpcError {
    RpcError::server("filter not found")
}
