//! Executes transactions on revm under the Osaka rules. The only place that drives the EVM.
//!
//! Deterministic: the same state, header and transactions give the same outcomes, so a block is
//! replayed from the log by the code that sealed it. Cost: about 5 µs for a token transfer.
//!
//! Two decisions that differ from Ethereum's main network, both because nothing but this node
//! orders its blocks and machines hold no ether:
//! - The base fee is zero in every block, so gas may be free. Tips and fee caps mean what EIP-1559
//!   says: whoever offers a tip pays it. Ceilings in the pool bound spam, not prices.
//! - There is no consensus layer: no withdrawals, no blobs, no EIP-7685 requests, and a parent
//!   beacon root of zero. The system contracts of EIP-2935 and EIP-4788 run if genesis has them.

use crate::{
    block::Outcome,
    state::{MissingCode, State},
    transaction::Transaction,
};
use alloy_consensus::{Header, Receipt, ReceiptEnvelope, Transaction as _};
use alloy_eips::{
    eip2935::HISTORY_STORAGE_ADDRESS, eip4788::BEACON_ROOTS_ADDRESS, eip7840::BlobParams,
};
use alloy_primitives::{Address, B256, Bytes, Log, U256};
use revm::{
    Context, Database, DatabaseRef, ExecuteCommitEvm, MainBuilder, MainContext, MainnetEvm,
    SystemCallCommitEvm,
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, Journal, TxEnv},
    context_interface::{
        block::BlobExcessGasAndPrice,
        result::{EVMError, ExecutionResult, InvalidTransaction, Output},
    },
    database::{State as Overlay, states::bundle_state::BundleRetention},
    database_interface::bal::EvmDatabaseError,
    primitives::hardfork::SpecId,
    state::AccountInfo,
};
use std::{collections::HashSet, sync::Arc};

/// The rules in force: Ethereum's Osaka fork.
pub(crate) const RULES: SpecId = SpecId::OSAKA;

/// An EVM over `DB` with Ethereum's own instructions and precompiles.
pub(crate) type Evm<DB> = MainnetEvm<Context<BlockEnv, TxEnv, CfgEnv, DB, Journal<DB>, ()>>;

/// Where the EVM learns the hashes of earlier blocks.
pub(crate) trait BlockHashes {
    /// The hash of block `number`, or zero if there is none.
    fn block_hash(&self, number: u64) -> B256;
}

/// A state together with the hashes of earlier blocks: all that execution can read.
#[derive(Clone)]
pub(crate) struct View<H> {
    pub(crate) state: State,
    pub(crate) hashes: H,
}

impl<H: BlockHashes> DatabaseRef for View<H> {
    type Error = MissingCode;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, MissingCode> {
        Ok(self.state.info(address))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, MissingCode> {
        self.state.code(hash)
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, MissingCode> {
        Ok(self.state.slot(address, slot))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, MissingCode> {
        Ok(self.hashes.block_hash(number))
    }
}

/// The EVM's settings for a block's own transactions.
pub(crate) fn rules(chain_id: u64) -> CfgEnv {
    let mut rules = CfgEnv::new_with_spec(RULES).with_chain_id(chain_id);
    rules.tx_chain_id_check = true;
    rules
}

/// What the EVM shows of the block that `header` describes.
pub(crate) fn block_env(header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: U256::ZERO,
        prevrandao: Some(header.mix_hash),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
            excess_blob_gas: 0,
            blob_gasprice: BlobParams::osaka().calc_blob_fee(0),
        }),
        slot_num: 0,
    }
}

/// An EVM with these settings, in this block, over this database.
pub(crate) fn evm<DB: Database>(rules: CfgEnv, block: BlockEnv, database: DB) -> Evm<DB> {
    Context::mainnet().with_db(database).with_cfg(rules).with_block(block).build_mainnet()
}

/// What executing a block's transactions came to.
pub(crate) struct Executed {
    /// Those that are in the block, in order.
    pub(crate) included: Vec<Arc<Transaction>>,
    /// One for each included transaction.
    pub(crate) outcomes: Vec<Outcome>,
    /// Those that can never be in a block on this state, and why.
    pub(crate) invalid: Vec<(Arc<Transaction>, InvalidTransaction)>,
    pub(crate) gas_used: u64,
    /// The accounts that changed and exist, with their nonces after the block: senders, but also
    /// those that an EIP-7702 authorization of another's transaction moved.
    pub(crate) nonces: Vec<(Address, u64)>,
    /// The state after the block.
    pub(crate) state: State,
}

/// Executes as many of `candidates` as fit into the block that `header` begins, in order. Of a
/// sender whose transaction did not fit or was invalid, the later ones are left for another block.
pub(crate) fn execute<H: BlockHashes>(
    chain_id: u64,
    parent: View<H>,
    header: &Header,
    candidates: Vec<Arc<Transaction>>,
) -> Result<Executed, MissingCode> {
    let mut state = parent.state.clone();
    let overlay = Overlay::builder().with_database_ref(parent).with_bundle_update().build();
    let mut evm = evm(rules(chain_id), block_env(header), overlay);
    system_calls(&mut evm, header)?;

    let mut executed = Executed {
        included: Vec::with_capacity(candidates.len()),
        outcomes: Vec::with_capacity(candidates.len()),
        invalid: Vec::new(),
        gas_used: 0,
        nonces: Vec::new(),
        state: State::default(),
    };
    let mut held_back = HashSet::new();
    let mut logs = 0;
    for transaction in candidates {
        if held_back.contains(&transaction.sender) {
            continue;
        }
        if transaction.envelope.gas_limit() > header.gas_limit - executed.gas_used {
            held_back.insert(transaction.sender);
            continue;
        }
        match evm.transact_commit(transaction.env()) {
            Ok(result) => {
                executed.gas_used += result.tx_gas_used();
                let outcome = outcome(&transaction, result, executed.gas_used, logs);
                logs += outcome.logs().len() as u64;
                executed.outcomes.push(outcome);
                executed.included.push(transaction);
            }
            Err(EVMError::Transaction(reason)) => {
                held_back.insert(transaction.sender);
                executed.invalid.push((transaction, reason));
            }
            Err(error) => return Err(fault(error)),
        }
    }
    let overlay = &mut evm.ctx.journaled_state.database;
    overlay.merge_transitions(BundleRetention::PlainState);
    let changes = overlay.take_bundle();
    executed.nonces = changes
        .state
        .iter()
        .filter_map(|(address, change)| Some((*address, change.info.as_ref()?.nonce)))
        .collect();
    state.apply(changes);
    executed.state = state;
    Ok(executed)
}

/// A failure that is not the transaction's: only the database can fail, since headers are ours.
fn fault(error: EVMError<EvmDatabaseError<MissingCode>>) -> MissingCode {
    match error {
        EVMError::Database(EvmDatabaseError::Database(missing)) => missing,
        other => unreachable!("headers are complete and precompiles do not fail: {other}"),
    }
}

/// EIP-4788 and EIP-2935: tells the system contracts of the parent, if genesis has them.
fn system_calls<DB>(evm: &mut Evm<DB>, header: &Header) -> Result<(), MissingCode>
where
    DB: Database<Error = EvmDatabaseError<MissingCode>> + revm::DatabaseCommit,
{
    let beacon_root = header.parent_beacon_block_root.unwrap_or_default();
    for (contract, word) in
        [(BEACON_ROOTS_ADDRESS, beacon_root), (HISTORY_STORAGE_ADDRESS, header.parent_hash)]
    {
        evm.system_call_commit(contract, Bytes::from(word.0)).map_err(fault)?;
    }
    Ok(())
}

fn outcome(
    transaction: &Transaction,
    result: ExecutionResult,
    cumulative_gas_used: u64,
    first_log: u64,
) -> Outcome {
    let gas_used = result.tx_gas_used();
    let success = result.is_success();
    let created = match &result {
        ExecutionResult::Success { output: Output::Create(_, address), .. } => *address,
        // Even a failed creation has an address, and receipts name it (as geth's do).
        _ if transaction.envelope.is_create() => {
            Some(transaction.sender.create(transaction.nonce()))
        }
        _ => None,
    };
    // Logs of a reverted transaction are undone with it.
    let logs: Vec<Log> = if success { result.into_logs() } else { Vec::new() };
    let receipt = Receipt { status: success.into(), cumulative_gas_used, logs };
    let receipt = ReceiptEnvelope::from_typed(transaction.envelope.tx_type(), receipt);
    Outcome { receipt, gas_used, created, first_log }
}
