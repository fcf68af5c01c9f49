//! What every transaction must satisfy before the pool looks at it: the checks that need no state,
//! and those that need only the sender's account. The order of checks is part of the contract.

use crate::{executor, refusal::Refusal, state::State, transaction::Transaction};
use alloy_consensus::Transaction as _;

use revm::{
    context_interface::{Cfg, result::InvalidTransaction},
    handler::validation::validate_initial_tx_gas,
    primitives::{eip3860::MAX_INITCODE_SIZE, eip7825::TX_GAS_LIMIT_CAP},
};

/// Checks what a transaction says of itself, in this order: chain, fees, gas limits, nonce, form,
/// intrinsic gas.
pub(crate) fn check_form(
    transaction: &Transaction,
    chain_id: u64,
    block_gas_limit: u64,
) -> Result<(), Refusal> {
    let tx = &transaction.envelope;
    match tx.chain_id() {
        None => return Err(Refusal::Unprotected),
        Some(have) if have != chain_id => return Err(Refusal::ChainId { have, want: chain_id }),
        Some(_) => {}
    }
    let cap = tx.max_fee_per_gas();
    if let Some(tip) = tx.max_priority_fee_per_gas().filter(|tip| *tip > cap) {
        return Err(Refusal::TipAboveCap { tip, cap });
    }
    let gas = tx.gas_limit();
    if gas > block_gas_limit {
        return Err(Refusal::BlockGasLimit { gas, limit: block_gas_limit });
    }
    if gas > TX_GAS_LIMIT_CAP {
        return Err(Refusal::GasCap { gas, cap: TX_GAS_LIMIT_CAP });
    }
    if tx.nonce() == u64::MAX {
        return Err(Refusal::NonceMax { sender: transaction.sender });
    }
    if tx.is_create() && tx.input().len() > MAX_INITCODE_SIZE {
        return Err(Refusal::InitcodeSize { size: tx.input().len(), limit: MAX_INITCODE_SIZE });
    }
    if tx.authorization_list().is_some_and(<[_]>::is_empty) {
        return Err(Refusal::EmptyAuthorizations);
    }
    let rules = executor::rules(chain_id);
    let needed = validate_initial_tx_gas(
        transaction.env(),
        executor::RULES,
        false,
        false,
        rules.tx_gas_limit_cap(),
        None,
    );
    match needed {
        Ok(_) => Ok(()),
        Err(InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit }) => {
            Err(Refusal::FloorGas { gas: gas_limit, needed: gas_floor })
        }
        Err(InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit }) => {
            Err(Refusal::IntrinsicGas { gas: gas_limit, needed: initial_gas })
        }
        Err(other) => Err(Refusal::Malformed(other.to_string())),
    }
}

/// EIP-3607: an account that runs code has no key that could sign. An EIP-7702 delegation is no
/// such code.
pub(crate) fn check_sender(transaction: &Transaction, state: &State) -> Result<(), Refusal> {
    let sender = transaction.sender;
    let Some(account) = state.account(sender) else { return Ok(()) };
    match state.code(account.code_hash) {
        Ok(code) if code.is_empty() || code.is_eip7702() => Ok(()),
        _ => Err(Refusal::SenderHasCode { sender }),
    }
}
