//! What gas costs: nothing, unless someone offers a tip.
//!
//! The base fee is zero and so is the suggested tip, so that a stock tool that asks first then sends
//! with zero fees, and an account without ether can send. `eth_feeHistory` tells the tips that were
//! truly paid.

use super::{
    account::resolve,
    answer::json_of,
    error::RpcError,
    params::{Number, Params},
};
use crate::{block::Block, node::Shared};
use alloy_consensus::Transaction as _;
use alloy_eips::{BlockNumberOrTag, eip7840::BlobParams};
use alloy_primitives::U64;
use alloy_rpc_types_eth::FeeHistory;
use serde_json::Value;

/// Blocks that one `eth_feeHistory` tells of at most; geth's figure.
const MAX_BLOCKS: u64 = 1_024;

/// Percentiles that one `eth_feeHistory` may ask for; geth's figure.
const MAX_PERCENTILES: usize = 100;

pub(crate) fn gas_price(params: Params) -> Result<Value, RpcError> {
    params.end()?;
    json_of(U64::ZERO)
}

pub(crate) fn priority_fee(params: Params) -> Result<Value, RpcError> {
    params.end()?;
    json_of(U64::ZERO)
}

/// The price of blob gas if there were blobs, in wei.
pub(crate) fn blob_base_fee(params: Params) -> Result<Value, RpcError> {
    params.end()?;
    json_of(U64::from(BlobParams::osaka().calc_blob_fee(0)))
}

pub(crate) fn history(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let count = u64::from(params.required::<Number>()?);
    let newest: BlockNumberOrTag = params.required()?;
    let percentiles: Option<Vec<f64>> = params.optional()?;
    params.end()?;
    check_percentiles(percentiles.as_deref().unwrap_or_default())?;

    let blocks: Vec<_> = {
        let chain = shared.history.read();
        let newest = resolve(&chain, newest);
        if newest > chain.head().number() {
            return Err(RpcError::server(format!(
                "request beyond head block: requested {newest}, head {}",
                chain.head().number()
            )));
        }
        let count = count.min(MAX_BLOCKS).min(newest + 1);
        (newest + 1 - count..=newest).filter_map(|number| chain.block(number).cloned()).collect()
    };
    let Some(first) = blocks.first() else {
        return json_of(FeeHistory::default());
    };
    let blob_fee = BlobParams::osaka().calc_blob_fee(0);
    json_of(FeeHistory {
        oldest_block: first.number(),
        // One more than there are blocks: the next block's fee is known too.
        base_fee_per_gas: vec![0; blocks.len() + 1],
        gas_used_ratio: blocks
            .iter()
            .map(|block| block.header.gas_used as f64 / block.header.gas_limit as f64)
            .collect(),
        base_fee_per_blob_gas: vec![blob_fee; blocks.len() + 1],
        blob_gas_used_ratio: vec![0.0; blocks.len()],
        reward: percentiles
            .filter(|percentiles| !percentiles.is_empty())
            .map(|percentiles| blocks.iter().map(|block| tips(block, &percentiles)).collect()),
    })
}

fn check_percentiles(percentiles: &[f64]) -> Result<(), RpcError> {
    if percentiles.len() > MAX_PERCENTILES {
        let message = format!("too many percentiles: {}", percentiles.len());
        return Err(RpcError::params(message));
    }
    let ordered = percentiles.is_sorted();
    if !ordered || percentiles.iter().any(|percentile| !(0.0..=100.0).contains(percentile)) {
        return Err(RpcError::params("percentiles must rise, from 0 to 100"));
    }
    Ok(())
}

/// The tips paid in a block, at these percentiles of the gas used, in wei per gas.
fn tips(block: &Block, percentiles: &[f64]) -> Vec<u128> {
    let mut tips: Vec<(u128, u64)> = block
        .transactions
        .iter()
        .zip(&block.outcomes)
        .map(|(tx, outcome)| {
            (tx.envelope.effective_tip_per_gas(0).unwrap_or_default(), outcome.gas_used)
        })
        .collect();
    tips.sort_unstable();
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = (block.header.gas_used as f64 * percentile / 100.0) as u64;
            let mut gas = 0;
            tips.iter()
                .find(|(_, used)| {
                    gas += used;
                    gas >= threshold
                })
                .map_or(0, |(tip, _)| *tip)
        })
        .collect()
}
