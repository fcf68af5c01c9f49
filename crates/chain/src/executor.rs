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
use alloy_consensus::{Header, Receipt, Transaction as _};
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
use std::{
    cell::Cell,
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

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
///
/// A transaction that makes the EVM panic is invalid: the block is executed again without it, so
/// that one hostile transaction cannot stop the chain.
pub(crate) fn execute<H: BlockHashes + Clone>(
    chain_id: u64,
    parent: &View<H>,
    header: &Header,
    mut candidates: Vec<Arc<Transaction>>,
) -> Result<Executed, MissingCode> {
    let mut panicked = Vec::new();
    loop {
        let running = Cell::new(None);
        // Nothing that the attempt touched is used after a panic.
        let attempt =
            AssertUnwindSafe(|| attempt(chain_id, parent.clone(), header, &candidates, &running));
        match catch_unwind(attempt) {
            Ok(executed) => {
                let mut executed = executed?;
                executed.invalid.append(&mut panicked);
                return Ok(executed);
            }
            Err(panic) => {
                let Some(index) = running.get() else { resume_unwind(panic) };
                let transaction = candidates.remove(index);
                tracing::error!(hash = %transaction.hash(), "the EVM panicked on a transaction");
                panicked.push((transaction, InvalidTransaction::Str("the EVM panicked".into())));
            }
        }
    }
}

/// One execution of a block. `running` tells which candidate is being executed.
fn attempt<H: BlockHashes>(
    chain_id: u64,
    parent: View<H>,
    header: &Header,
    candidates: &[Arc<Transaction>],
    running: &Cell<Option<usize>>,
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
    for (index, transaction) in candidates.iter().enumerate() {
        running.set(Some(index));
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
                let outcome = outcome(transaction, result, executed.gas_used, logs);
                logs += outcome.logs().len() as u64;
                executed.outcomes.push(outcome);
                executed.included.push(transaction.clone());
            }
            Err(EVMError::Transaction(reason)) => {
                held_back.insert(transaction.sender);
                executed.invalid.push((transaction.clone(), reason));
            }
            Err(EVMError::Database(error)) => return Err(missing_code(error)),
            // A precompile gave up. Nobody else's business.
            Err(error) => {
                held_back.insert(transaction.sender);
                let reason = InvalidTransaction::Str(error.to_string().into());
                executed.invalid.push((transaction.clone(), reason));
            }
        }
    }
    running.set(None);
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

fn missing_code(error: EvmDatabaseError<MissingCode>) -> MissingCode {
    match error {
        EvmDatabaseError::Database(missing) => missing,
        EvmDatabaseError::Bal(error) => unreachable!("blocks have no access lists: {error}"),
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
        match evm.system_call_commit(contract, Bytes::from(word.0)) {
            // A system contract that fails changes nothing, and the block goes on.
            Ok(_) => {}
            Err(EVMError::Database(error)) => return Err(missing_code(error)),
            Err(error) => tracing::warn!(%contract, %error, "a system contract failed"),
        }
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
    let mut logs: Vec<Log> = if success { result.into_logs() } else { Vec::new() };
    // They are kept for good.
    logs.shrink_to_fit();
    let receipt = Receipt { status: success.into(), cumulative_gas_used, logs };
    Outcome { kind: transaction.envelope.tx_type(), receipt, gas_used, created, first_log }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        genesis::{Genesis, GenesisAccount},
        state::State,
    };
    use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
    use alloy_primitives::{TxKind, hex};

    /// Hashes that make the EVM panic when a contract asks for one.
    #[derive(Clone)]
    struct Panicking;

    impl BlockHashes for Panicking {
        fn block_hash(&self, _: u64) -> B256 {
            panic!("on purpose")
        }
    }

    /// Not signed by anyone: the executor takes the sender's word.
    fn transaction(sender: u8, nonce: u64, to: Address) -> Arc<Transaction> {
        let transaction = TxEip1559 {
            chain_id: 1,
            nonce,
            gas_limit: 50_000,
            to: TxKind::Call(to),
            ..TxEip1559::default()
        };
        let signature = alloy_primitives::Signature::test_signature();
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        Arc::new(Transaction { envelope, sender: Address::repeat_byte(sender) })
    }

    #[test]
    fn a_transaction_that_makes_the_evm_panic_is_dropped_and_the_others_are_executed() {
        let asker = Address::repeat_byte(0xaa);
        let genesis = Genesis {
            chain_id: 1,
            timestamp: 0,
            gas_limit: 1_000_000,
            alloc: vec![GenesisAccount {
                address: asker,
                code: hex!("600040 00").into(), // BLOCKHASH of block 0
                ..GenesisAccount::default()
            }],
        };
        let state = State::from_genesis(&genesis);
        let header = Header { number: 1, ..genesis.header(&state) };
        let idle = Address::repeat_byte(0xbb);
        let candidates = vec![
            transaction(1, 0, idle),
            transaction(2, 0, asker),
            transaction(2, 1, idle),
            transaction(3, 0, idle),
            transaction(4, 0, asker),
        ];
        let parent = View { state, hashes: Panicking };
        let executed = execute(1, &parent, &header, candidates).expect("executes");
        let senders = |of: Vec<&Arc<Transaction>>| -> Vec<u8> {
            of.iter().map(|transaction| transaction.sender[0]).collect()
        };
        assert_eq!(senders(executed.included.iter().collect()), [1, 3]);
        assert_eq!(executed.gas_used, 42_000);
        // Sender 2's second transaction has lost its first: its nonce is too high.
        let mut invalid = senders(executed.invalid.iter().map(|(tx, _)| tx).collect());
        invalid.sort_unstable();
        assert_eq!(invalid, [2, 2, 4]);
    }
}
