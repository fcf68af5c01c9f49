//! The clerk: clears rounds and draws panels, by the hash of a block that is made after the bids and
//! the work came in.
//!
//! On the embedded chain, where blocks are made when somebody needs one, the clerk has one made: it
//! inscribes which jobs wait. Elsewhere it waits for the next.

use std::sync::Arc;

use ::market::{Digest, JobId, Operation, Pricing, Stage};
use alloy_primitives::{B256, keccak256};
use tokio::sync::broadcast::error::RecvError;

use super::{LOOK_EVERY, Market};
use crate::failure::Failure;

/// How many jobs are decided at a time.
const AT_A_TIME: usize = 1_024;

/// Starts the clerk.
pub fn start(market: &Arc<Market>) -> tokio::task::JoinHandle<()> {
    let mut changes = market.desk().subscribe();
    let market = Arc::downgrade(market);
    tokio::spawn(async move {
        loop {
            let Some(market) = market.upgrade() else { return };
            if let Err(failure) = decide(&market).await {
                tracing::warn!(error = failure.message, "rounds and panels wait for entropy");
            }
            drop(market);
            let change = tokio::time::timeout(LOOK_EVERY, changes.recv()).await;
            if matches!(change, Ok(Err(RecvError::Closed))) {
                return;
            }
        }
    })
}

/// The jobs that wait for entropy: all of them, however many were opened since. One that is not
/// seen here would end as if its panel had been silent.
fn waiting(market: &Market) -> Vec<(JobId, Stage)> {
    market.desk().read(|state| {
        let jobs = state.waiting().filter(|job| match job.stage {
            Stage::Choosing => matches!(job.terms.pricing, Pricing::Auction { .. }),
            _ => true,
        });
        jobs.map(|job| (job.terms.id, job.stage)).collect()
    })
}

async fn decide(market: &Market) -> Result<(), Failure> {
    let jobs = waiting(market);
    if jobs.is_empty() {
        return Ok(());
    }
    let entropy = Digest::new(later_block(market, &jobs).await?.0);
    for jobs in jobs.chunks(AT_A_TIME) {
        let operations = jobs.iter().map(|&(job, stage)| match stage {
            Stage::Choosing => Operation::Clear { job, entropy },
            _ => Operation::Draw { job, entropy },
        });
        let outcomes =
            market.desk().submit_all(operations.collect()).await.map_err(Failure::new)?;
        for (outcome, (job, _)) in outcomes.iter().zip(jobs) {
            if !outcome.holds() {
                tracing::info!(%job, ?outcome, "a round or a panel is not decided yet");
            }
        }
    }
    Ok(())
}

/// The hash of a block that did not exist when these jobs began to wait.
async fn later_block(market: &Market, jobs: &[(JobId, Stage)]) -> Result<B256, Failure> {
    let chain = &market.parts.chain;
    let block = if market.parts.mint.is_some() {
        let names: Vec<u8> = jobs.iter().flat_map(|(job, _)| job.as_u128().to_be_bytes()).collect();
        chain.inscribe(keccak256(names)).await?.block
    } else {
        let present = chain.block_number().await?;
        loop {
            let newest = chain.block_number().await?;
            if newest > present {
                break newest;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    Ok(chain.block_hash(block).await?)
}
