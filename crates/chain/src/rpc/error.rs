//! JSON-RPC errors, with the codes and words of geth, on which clients rely.

use crate::{refusal::Refusal, state::MissingCode};
use alloy_primitives::Bytes;
use alloy_sol_types::{Panic, Revert, SolError};
use revm::context_interface::result::{HaltReason, InvalidTransaction};
use serde::Serialize;
use serde_json::Value;

/// The error member of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Value>,
}

impl RpcError {
    fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The body is not JSON.
    pub(crate) fn parse(message: impl Into<String>) -> Self {
        Self::new(-32700, message)
    }

    /// The JSON is not a request.
    pub(crate) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(-32600, message)
    }

    /// There is no such method.
    pub(crate) fn method_not_found(method: &str) -> Self {
        // Answer with a bounded part of what was asked.
        let method: String = method.chars().take(64).collect();
        Self::new(-32601, format!("the method {method} does not exist/is not available"))
    }

    /// The parameters do not fit the method.
    pub(crate) fn params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// A fault of this node.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(-32603, message)
    }

    /// The request is well-formed, and cannot be done.
    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(-32000, message)
    }

    /// More was asked for than this node gives at once (EIP-1474).
    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(-32005, message)
    }

    /// EIP-7966: pooled, but not sealed in time.
    pub(crate) fn sync_timeout(message: impl Into<String>, hash: Value) -> Self {
        Self { data: Some(hash), ..Self::new(4, message) }
    }

    /// The contract reverted: code 3 with what it returned, and its reason in words if it gave one.
    pub(crate) fn revert(output: Bytes) -> Self {
        let message = match reason(&output) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self { data: Some(Value::String(output.to_string())), ..Self::new(3, message) }
    }

    /// Execution stopped without a result.
    pub(crate) fn halt(reason: &HaltReason) -> Self {
        Self::server(match reason {
            HaltReason::OutOfGas(_) => "out of gas".to_owned(),
            HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => "invalid opcode".to_owned(),
            HaltReason::InvalidJump => "invalid jump destination".to_owned(),
            HaltReason::StackUnderflow => "stack underflow".to_owned(),
            HaltReason::StackOverflow => "stack limit reached 1024".to_owned(),
            HaltReason::OutOfOffset => "return data out of bounds".to_owned(),
            HaltReason::CreateCollision => "contract address collision".to_owned(),
            HaltReason::NonceOverflow => "nonce uint64 overflow".to_owned(),
            HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
            HaltReason::CreateContractStartingWithEF => {
                "invalid code: must not begin with 0xef".to_owned()
            }
            HaltReason::CallTooDeep => "max call depth exceeded".to_owned(),
            other => format!("execution halted: {other:?}"),
        })
    }
}

/// The reason in words of `Error(string)` or `Panic(uint256)` return data.
fn reason(output: &[u8]) -> Option<String> {
    if let Ok(revert) = Revert::abi_decode(output) {
        return Some(revert.reason);
    }
    let panic = Panic::abi_decode(output).ok()?;
    Some(panic.kind().map_or_else(
        || format!("unknown panic code: {:#x}", panic.code),
        |kind| kind.as_str().to_owned(),
    ))
}

impl From<Refusal> for RpcError {
    fn from(refusal: Refusal) -> Self {
        Self::server(refusal.to_string())
    }
}

impl From<MissingCode> for RpcError {
    fn from(error: MissingCode) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<InvalidTransaction> for RpcError {
    fn from(invalid: InvalidTransaction) -> Self {
        Self::server(match invalid {
            InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
                format!("insufficient funds for gas * price + value: have {balance} want {fee}")
            }
            InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
                format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
            }
            InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => format!(
                "insufficient gas for floor data gas cost: have {gas_limit}, want {gas_floor}"
            ),
            InvalidTransaction::PriorityFeeGreaterThanMaxFee => {
                "max priority fee per gas higher than max fee per gas".to_owned()
            }
            InvalidTransaction::GasPriceLessThanBasefee => {
                "max fee per gas less than block base fee".to_owned()
            }
            InvalidTransaction::CreateInitCodeSizeLimit => "max initcode size exceeded".to_owned(),
            other => other.to_string(),
        })
    }
}
