//! Turns ready transactions into sealed blocks, one after another, on a thread of its own.
//!
//! There is no block time. The sealer sleeps until something is ready, and then seals everything
//! that is, up to the gas limit; what arrives meanwhile is the next block. Under load, the disk's
//! sync thus groups transactions by itself; when idle, a transaction waits for nothing but its own
//! sync.
//!
//! Order within one block: execute, compute roots, write and sync the log, publish, tell the pool,
//! tell subscribers. Nobody sees a block that is not on the disk. If the disk refuses, the
//! transactions stay pooled, the error is logged once, and the sealer tries again every second.

use crate::{
    block::{self, Block},
    error::ChainError,
    executor::{self, Executed, View},
    genesis::header_shape,
    history::History,
    log::{BlockLog, Recorded},
    node::{BlockSealed, Shared},
    state::MissingCode,
    transaction::Transaction,
};
use alloy_consensus::Header;
use alloy_primitives::keccak256;
use std::{
    io,
    sync::{Arc, PoisonError},
    time::Duration,
};

/// Transactions tried for one block. At 21,000 gas each, 100 M gas hold 4,761.
const MAX_CANDIDATES: usize = 5_000;

/// How long to wait before asking a disk again that refused.
const RETRY: Duration = Duration::from_secs(1);

/// Why a block could not be sealed.
enum Setback {
    /// The log could not be written; it can be tried again.
    Disk(io::Error),
    /// The state is damaged; nothing can be sealed any more.
    State(MissingCode),
}

/// Seals until the node closes, and then once more whatever is ready.
pub(crate) fn run(shared: &Shared, mut log: Option<BlockLog>) {
    let mut refused = false;
    while let Some(candidates) = next_candidates(shared) {
        match seal(shared, log.as_mut(), candidates) {
            Ok(()) if refused => {
                tracing::info!("the block log can be written again");
                refused = false;
            }
            Ok(()) => {}
            Err(Setback::Disk(error)) => {
                if !refused {
                    let path = log.as_ref().map(|log| log.path().display().to_string());
                    tracing::error!(
                        %error, log = path,
                        "cannot write a block; its transactions stay pooled, trying every second"
                    );
                    refused = true;
                }
                let pool = shared.pool();
                if shared.is_closed() {
                    return;
                }
                drop(shared.wake.wait_timeout(pool, RETRY).unwrap_or_else(PoisonError::into_inner));
            }
            Err(Setback::State(error)) => {
                tracing::error!(%error, "the state is damaged; no more blocks will be sealed");
                return;
            }
        }
    }
}

/// Waits until something is ready. `None` once the node is closed and nothing is.
fn next_candidates(shared: &Shared) -> Option<Vec<Arc<Transaction>>> {
    let mut pool = shared.pool();
    loop {
        if pool.has_ready() {
            return Some(pool.select(MAX_CANDIDATES));
        }
        if shared.is_closed() {
            return None;
        }
        pool = shared.wake.wait(pool).unwrap_or_else(PoisonError::into_inner);
    }
}

fn seal(
    shared: &Shared,
    log: Option<&mut BlockLog>,
    candidates: Vec<Arc<Transaction>>,
) -> Result<(), Setback> {
    let (parent, state) = {
        let chain = shared.history.read();
        (chain.head().clone(), chain.state().clone())
    };
    let mut header = next_header(&parent, (shared.now)());
    let view = View { state, hashes: shared.history.clone() };
    let executed =
        executor::execute(shared.chain_id, &view, &header, candidates).map_err(Setback::State)?;
    let Executed { included, outcomes, invalid, gas_used, nonces, state } = executed;

    if !included.is_empty() {
        header.gas_used = gas_used;
        header.transactions_root = block::transactions_root(&included);
        (header.receipts_root, header.logs_bloom) = block::receipts_root(&outcomes);
        header.state_root = state.root();
        let hash = header.hash_slow();
        let block = Arc::new(Block { header, hash, transactions: included, outcomes });
        if let Some(log) = log {
            log.append(&block).map_err(Setback::Disk)?;
        }
        shared.history.publish(block.clone(), state);
        let mut pool = shared.pool();
        for (address, nonce) in nonces {
            pool.advance(address, nonce);
        }
        drop(pool);
        // Nobody may be listening.
        let _ = shared.sealed.send(BlockSealed {
            number: block.number(),
            hash: block.hash,
            transactions: block.transactions.iter().map(|tx| tx.hash()).collect(),
        });
    }

    let mut pool = shared.pool();
    for (transaction, reason) in invalid {
        tracing::debug!(hash = %transaction.hash(), %reason, "dropped an invalid transaction");
        pool.discard(transaction.hash());
    }
    drop(pool);
    shared.turns.send_replace(());
    Ok(())
}

/// The header that follows `parent`, without what execution fills in.
///
/// Several blocks may share a second, since sealing does not wait for the clock, but none is
/// earlier than its parent. `mixHash` (the EVM's PREVRANDAO) is the hash of parent and number:
/// different in every block and the same in every replay, but no randomness to bet on.
fn next_header(parent: &Block, now: u64) -> Header {
    let number = parent.number() + 1;
    let mut seed = parent.hash.to_vec();
    seed.extend_from_slice(&number.to_be_bytes());
    Header {
        parent_hash: parent.hash,
        number,
        gas_limit: parent.header.gas_limit,
        timestamp: now.max(parent.header.timestamp),
        mix_hash: keccak256(seed),
        ..header_shape()
    }
}

/// Executes the blocks of the log again, from genesis. Every header's parent, gas, transactions
/// and receipts are compared as it goes; the state root is computed once, at the end, since a
/// state that differs anywhere differs there too.
pub(crate) fn replay(
    chain_id: u64,
    history: &History,
    log: &mut BlockLog,
) -> Result<(), ChainError> {
    let path = log.path().to_path_buf();
    log.replay(|recorded| replay_block(chain_id, history, recorded, &path))?;
    let (head, state) = {
        let chain = history.read();
        (chain.head().clone(), chain.state().clone())
    };
    same(&path, head.number(), "the state root", head.header.state_root, state.root())
}

fn replay_block(
    chain_id: u64,
    history: &History,
    recorded: Recorded,
    path: &std::path::Path,
) -> Result<(), ChainError> {
    let Recorded { header, transactions } = recorded;
    let (parent, state) = {
        let chain = history.read();
        (chain.head().clone(), chain.state().clone())
    };
    let number = header.number;
    same(path, number, "the number", number, parent.number() + 1)?;
    same(path, number, "the parent", header.parent_hash, parent.hash)?;
    let count = transactions.len();
    let view = View { state, hashes: history.clone() };
    let executed = executor::execute(chain_id, &view, &header, transactions).map_err(|error| {
        ChainError::Diverged {
            path: path.to_path_buf(),
            number,
            what: "code",
            found: error.0.to_string(),
            computed: "missing".into(),
        }
    })?;
    let Executed { included, outcomes, gas_used, state, .. } = executed;
    same(path, number, "the number of valid transactions", count, included.len())?;
    same(path, number, "the gas used", header.gas_used, gas_used)?;
    let root = block::transactions_root(&included);
    same(path, number, "the transactions root", header.transactions_root, root)?;
    let (root, _) = block::receipts_root(&outcomes);
    same(path, number, "the receipts root", header.receipts_root, root)?;
    let hash = header.hash_slow();
    history.publish(Arc::new(Block { header, hash, transactions: included, outcomes }), state);
    Ok(())
}

fn same<T: PartialEq + ToString>(
    path: &std::path::Path,
    number: u64,
    what: &'static str,
    found: T,
    computed: T,
) -> Result<(), ChainError> {
    if found == computed {
        return Ok(());
    }
    Err(ChainError::Diverged {
        path: path.to_path_buf(),
        number,
        what,
        found: found.to_string(),
        computed: computed.to_string(),
    })
}
