//! Executing without keeping: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.
//!
//! A call runs on a copy of a state, so it neither waits for the sealer nor holds it up. Its gas is
//! bounded, and with it its time and memory.

use super::{account::state_at, answer::json_of, error::RpcError, params::Params};
use crate::{
    executor::{self, Evm, View},
    history::History,
    node::Shared,
    state::MissingCode,
};
use alloy_eips::{BlockId, eip2930::AccessList, eip2930::AccessListItem};
use alloy_primitives::{Address, B256, TxKind, U64, U256, map::AddressHashMap};
use alloy_rpc_types_eth::{
    AccessListResult, BlockOverrides, TransactionRequest,
    state::{AccountOverride, StateOverride},
};
use revm::{
    DatabaseRef, ExecuteEvm,
    bytecode::Bytecode,
    context::{BlockEnv, CfgEnv, TxEnv, either::Either},
    context_interface::{
        block::BlobExcessGasAndPrice,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
    },
    database::CacheDB,
    handler::ExecuteCommitEvm as _,
    primitives::{eip7825::TX_GAS_LIMIT_CAP, hardfork::SpecId},
    state::EvmState,
};
use serde_json::Value;

type Database = CacheDB<View<History>>;

pub(crate) fn call(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let request: TransactionRequest = params.required()?;
    let block: Option<BlockId> = params.optional()?;
    let state_override: Option<StateOverride> = params.optional()?;
    let block_override: Option<BlockOverrides> = params.optional()?;
    params.end()?;
    let (database, block) = surroundings(shared, block, state_override, block_override)?;
    let transaction = transaction(request, shared)?;
    let mut evm = executor::evm(call_rules(shared), block, database);
    match evm.transact_one(transaction).map_err(failed)? {
        ExecutionResult::Success { output, .. } => json_of(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(RpcError::revert(output)),
        ExecutionResult::Halt { reason, .. } => Err(RpcError::halt(&reason)),
    }
}

/// The least gas limit with which the transaction succeeds, exact or up to 1.5 % more.
pub(crate) fn estimate_gas(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let request: TransactionRequest = params.required()?;
    let block: Option<BlockId> = params.optional()?;
    let state_override: Option<StateOverride> = params.optional()?;
    let block_override: Option<BlockOverrides> = params.optional()?;
    params.end()?;
    let (database, block) = surroundings(shared, block, state_override, block_override)?;
    let asked = request.gas;
    let mut transaction = transaction(request, shared)?;
    let cap = TX_GAS_LIMIT_CAP.min(shared.limits.call_gas).min(shared.gas_limit);
    let most = asked.unwrap_or(cap).min(cap);
    let most = most.min(affordable(&database, &transaction)?);
    let mut evm = executor::evm(call_rules(shared), block, database);

    transaction.gas_limit = most;
    let exceeds = || RpcError::server(format!("gas required exceeds allowance ({most})"));
    let result = match evm.transact(transaction.clone()) {
        Ok(executed) => executed.result,
        Err(EVMError::Transaction(
            InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
            | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
        )) => return Err(exceeds()),
        Err(error) => return Err(failed(error)),
    };
    let gas = *result.gas();
    match result {
        ExecutionResult::Success { .. } => {}
        ExecutionResult::Revert { output, .. } => return Err(RpcError::revert(output)),
        ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => return Err(exceeds()),
        ExecutionResult::Halt { reason, .. } => return Err(RpcError::halt(&reason)),
    }

    let mut succeeds = |limit: u64| -> Result<bool, RpcError> {
        let attempt = TxEnv { gas_limit: limit, ..transaction.clone() };
        match evm.transact(attempt) {
            Ok(executed) => Ok(executed.result.is_success()),
            Err(EVMError::Transaction(_)) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    };
    // Mostly the gas that was used is enough, to the unit; below it, it cannot succeed.
    let used = gas.tx_gas_used();
    if succeeds(used)? {
        return json_of(U64::from(used));
    }
    // If not: refunds come after, so add them back; calls hold back a 64th of their gas (EIP-150);
    // and a transfer of value lends 2,300. With all three made good, the guess is mostly right.
    let (mut fails, mut works) = (used, most);
    let guess = (gas.total_gas_spent().saturating_add(2_300)).saturating_mul(64) / 63;
    if guess < works {
        if succeeds(guess)? { works = guess } else { fails = fails.max(guess) }
    }
    while fails + 1 < works && (works - fails) * 1_000 / works >= 15 {
        // What a transaction needs is mostly near what it used: lean to the lower end.
        let middle = (fails + (works - fails) / 2).min(fails.saturating_mul(2).max(1));
        if succeeds(middle)? { works = middle } else { fails = middle }
    }
    json_of(U64::from(works))
}

/// The accounts and slots that a transaction touches, and its gas when it declares them.
pub(crate) fn create_access_list(shared: &Shared, mut params: Params) -> Result<Value, RpcError> {
    let request: TransactionRequest = params.required()?;
    let block: Option<BlockId> = params.optional()?;
    let state_override: Option<StateOverride> = params.optional()?;
    params.end()?;
    let (database, block) = surroundings(shared, block, state_override, None)?;
    let mut transaction = transaction(request, shared)?;
    transaction.gas_limit = transaction.gas_limit.min(shared.limits.call_gas);
    let beneficiary = block.beneficiary;
    let mut evm: Evm<Database> = executor::evm(call_rules(shared), block, database);
    let touched = evm.transact(transaction.clone()).map_err(failed)?.state;
    let access_list = access_list(touched, &transaction, beneficiary);
    transaction.access_list = access_list.clone();
    set_type(&mut transaction)?;
    let result = evm.transact_commit(transaction).map_err(failed)?;
    let error = match &result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { output, .. } => Some(RpcError::revert(output.clone()).message),
        ExecutionResult::Halt { reason, .. } => Some(RpcError::halt(reason).message),
    };
    json_of(AccessListResult { access_list, gas_used: U256::from(result.tx_gas_used()), error })
}

/// What EIP-2930 would have listed: all that was loaded, save what is warm anyway.
fn access_list(touched: EvmState, transaction: &TxEnv, beneficiary: Address) -> AccessList {
    let target = match transaction.kind {
        TxKind::Call(to) => to,
        TxKind::Create => transaction.caller.create(transaction.nonce),
    };
    let precompiles = revm::precompile::Precompiles::new(
        revm::precompile::PrecompileSpecId::from_spec_id(SpecId::OSAKA),
    );
    let mut items: Vec<AccessListItem> = touched
        .into_iter()
        .filter(|(address, _)| !precompiles.contains(address))
        .filter_map(|(address, account)| {
            let mut storage_keys: Vec<B256> =
                account.storage.keys().map(|slot| B256::from(*slot)).collect();
            storage_keys.sort_unstable();
            let warm = [transaction.caller, target, beneficiary].contains(&address);
            (!warm || !storage_keys.is_empty()).then_some(AccessListItem { address, storage_keys })
        })
        .collect();
    items.sort_unstable_by_key(|item| item.address);
    AccessList(items)
}

/// The state and block in which a call runs, with what the caller supposes of them.
fn surroundings(
    shared: &Shared,
    block: Option<BlockId>,
    state_override: Option<StateOverride>,
    block_override: Option<BlockOverrides>,
) -> Result<(Database, BlockEnv), RpcError> {
    let (block, state) = state_at(shared, block)?;
    let mut database = CacheDB::new(View { state, hashes: shared.history.clone() });
    override_state(&mut database, state_override.unwrap_or_default())?;
    let mut env = executor::block_env(&block.header);
    override_block(&mut env, block_override.unwrap_or_default())?;
    Ok((database, env))
}

fn override_state(
    database: &mut Database,
    overrides: AddressHashMap<AccountOverride>,
) -> Result<(), RpcError> {
    for (address, given) in overrides {
        if given.move_precompile_to.is_some() {
            return Err(RpcError::params("movePrecompileToAddress is not supported"));
        }
        let mut info = database.basic_ref(address)?.unwrap_or_default();
        if let Some(balance) = given.balance {
            info.balance = balance;
        }
        if let Some(nonce) = given.nonce {
            info.nonce = nonce;
        }
        if let Some(code) = given.code {
            let code = Bytecode::new_raw_checked(code).map_err(|error| {
                RpcError::params(format!("the code given for {address} is not valid: {error}"))
            })?;
            info.set_code(code);
        }
        database.insert_account_info(address, info);
        let slot = |(slot, value): (B256, B256)| (U256::from_be_bytes(slot.0), value.into());
        match (given.state, given.state_diff) {
            (Some(_), Some(_)) => {
                return Err(RpcError::params(format!(
                    "account {address} has both 'state' and 'stateDiff'"
                )));
            }
            (Some(storage), None) => {
                database
                    .replace_account_storage(address, storage.into_iter().map(slot).collect())?;
            }
            (None, Some(storage)) => {
                for (slot, value) in storage.into_iter().map(slot) {
                    database.insert_account_storage(address, slot, value)?;
                }
            }
            (None, None) => {}
        }
    }
    Ok(())
}

fn override_block(env: &mut BlockEnv, given: BlockOverrides) -> Result<(), RpcError> {
    if given.block_hash.is_some_and(|hashes| !hashes.is_empty()) {
        return Err(RpcError::params("the block override blockHash is not supported"));
    }
    let fee = |fee: U256| u64::try_from(fee).map_err(|_| RpcError::params("baseFee is too large"));
    env.number = given.number.unwrap_or(env.number);
    env.timestamp = given.time.map_or(env.timestamp, U256::from);
    env.gas_limit = given.gas_limit.unwrap_or(env.gas_limit);
    env.beneficiary = given.coinbase.unwrap_or(env.beneficiary);
    env.prevrandao = given.random.or(env.prevrandao);
    if let Some(base_fee) = given.base_fee {
        env.basefee = fee(base_fee)?;
    }
    if let Some(blob_base_fee) = given.blob_base_fee {
        env.blob_excess_gas_and_price = Some(BlobExcessGasAndPrice {
            excess_blob_gas: 0,
            blob_gasprice: fee(blob_base_fee)?.into(),
        });
    }
    Ok(())
}

/// A call may come from a contract, from any nonce, and need not fit into a block.
fn call_rules(shared: &Shared) -> CfgEnv {
    let mut rules = executor::rules(shared.chain_id);
    rules.disable_nonce_check = true;
    rules.disable_eip3607 = true;
    rules.disable_block_gas_limit = true;
    rules.disable_base_fee = true;
    rules.tx_gas_limit_cap = Some(u64::MAX);
    rules
}

/// The request as the EVM wants it. What it leaves open is zero, and gas the most allowed.
fn transaction(request: TransactionRequest, shared: &Shared) -> Result<TxEnv, RpcError> {
    if request.max_fee_per_blob_gas.is_some()
        || request.blob_versioned_hashes.is_some_and(|hashes| !hashes.is_empty())
    {
        return Err(RpcError::params("this chain carries no blobs"));
    }
    let fee_cap = match (request.gas_price, request.max_fee_per_gas) {
        (Some(_), Some(_)) => {
            return Err(RpcError::params(
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
            ));
        }
        (gas_price, max_fee) => gas_price.or(max_fee),
    };
    let tip = request.max_priority_fee_per_gas;
    let data = request
        .input
        .try_into_unique_input()
        .map_err(|error| RpcError::params(error.to_string()))?;
    let most = shared.limits.call_gas;
    let mut transaction = TxEnv {
        caller: request.from.unwrap_or_default(),
        gas_limit: request.gas.unwrap_or(most).min(most),
        gas_price: fee_cap.or(tip).unwrap_or_default(),
        gas_priority_fee: tip.or(request.max_fee_per_gas.map(|_| 0)),
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        data: data.unwrap_or_default(),
        nonce: request.nonce.unwrap_or_default(),
        chain_id: request.chain_id.or(Some(shared.chain_id)),
        access_list: request.access_list.unwrap_or_default(),
        authorization_list: request
            .authorization_list
            .unwrap_or_default()
            .into_iter()
            .map(Either::Left)
            .collect(),
        ..TxEnv::default()
    };
    set_type(&mut transaction)?;
    Ok(transaction)
}

fn set_type(transaction: &mut TxEnv) -> Result<(), RpcError> {
    transaction
        .derive_tx_type()
        .map_err(|error| RpcError::params(format!("the fields fit no transaction type: {error:?}")))
}

/// How much gas the caller's ether pays for; any amount if the price is zero.
fn affordable(database: &Database, transaction: &TxEnv) -> Result<u64, RpcError> {
    if transaction.gas_price == 0 {
        return Ok(u64::MAX);
    }
    let balance = database.basic_ref(transaction.caller)?.unwrap_or_default().balance;
    let left = balance.checked_sub(transaction.value).ok_or_else(|| {
        RpcError::server(format!(
            "insufficient funds for transfer: balance {balance}, value {}",
            transaction.value
        ))
    })?;
    let gas = left / U256::from(transaction.gas_price);
    Ok(u64::try_from(gas).unwrap_or(u64::MAX))
}

fn failed(error: EVMError<MissingCode>) -> RpcError {
    match error {
        EVMError::Transaction(invalid) => invalid.into(),
        EVMError::Database(missing) => missing.into(),
        other => RpcError::internal(other.to_string()),
    }
}
