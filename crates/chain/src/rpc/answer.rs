//! The JSON-RPC 2.0 envelope, and the table of methods.

use super::{account, block, call, error::RpcError, fee, filter, params::Params, send};
use crate::node::Shared;
use alloy_primitives::U64;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers a request or a batch. `None` where JSON-RPC asks for no answer.
pub(crate) async fn answer(shared: &Arc<Shared>, request: Value) -> Option<Value> {
    let requests = match request {
        Value::Array(requests) => requests,
        single => return answer_one(shared, single).await,
    };
    if requests.is_empty() {
        return Some(failure(Value::Null, RpcError::invalid_request("empty batch")));
    }
    if requests.len() > shared.limits.batch {
        let (count, limit) = (requests.len(), shared.limits.batch);
        let message = format!("batch too large: {count} requests, limit {limit}");
        return Some(failure(Value::Null, RpcError::invalid_request(message)));
    }
    let mut answers = Vec::with_capacity(requests.len());
    let mut bytes = 0;
    for mut request in requests {
        let answer = if bytes > shared.limits.batch_answer_bytes {
            // As for a notification, there is nobody to tell without an id.
            let id = request.as_object_mut().and_then(|request| request.remove("id"));
            id.map(|id| failure(id, RpcError::limit("the batch's answers are too large together")))
        } else {
            answer_one(shared, request).await
        };
        bytes += answer.as_ref().map_or(0, size);
        answers.extend(answer);
    }
    (!answers.is_empty()).then_some(Value::Array(answers))
}

/// About how many bytes a value takes, without writing it.
fn size(value: &Value) -> usize {
    const NODE: usize = 32;
    NODE + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(size).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + size(value)).sum(),
    }
}

async fn answer_one(shared: &Arc<Shared>, request: Value) -> Option<Value> {
    let invalid = |message: &str| {
        Some(failure(Value::Null, RpcError::invalid_request(format!("invalid request: {message}"))))
    };
    let Value::Object(mut request) = request else {
        return invalid("not an object");
    };
    let id = request.remove("id");
    if !matches!(id, None | Some(Value::Null | Value::String(_) | Value::Number(_))) {
        return invalid("the id must be a string, a number or null");
    }
    if request.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return invalid("jsonrpc must be \"2.0\"");
    }
    let Some(Value::String(method)) = request.remove("method") else {
        return invalid("the method must be a string");
    };
    let result = match Params::new(request.remove("params")) {
        Ok(params) => call_method(shared, &method, params).await,
        Err(error) => Err(error),
    };
    // Without an id it was a notification: done, but not answered.
    let id = id?;
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(id, error),
    })
}

/// An answer that says what went wrong.
pub(crate) fn failure(id: Value, error: RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

/// A result, as JSON.
pub(crate) fn json_of<T: Serialize>(result: T) -> Result<Value, RpcError> {
    serde_json::to_value(result).map_err(|error| RpcError::internal(error.to_string()))
}

/// Every method there is.
async fn call_method(
    shared: &Arc<Shared>,
    method: &str,
    params: Params,
) -> Result<Value, RpcError> {
    match method {
        "web3_clientVersion" => {
            params.end()?;
            json_of(concat!("Machina/", env!("CARGO_PKG_VERSION")))
        }
        "net_version" => {
            params.end()?;
            json_of(shared.chain_id.to_string())
        }
        "net_listening" => {
            params.end()?;
            json_of(true)
        }
        "eth_chainId" => {
            params.end()?;
            json_of(U64::from(shared.chain_id))
        }
        "eth_syncing" => {
            params.end()?;
            json_of(false)
        }
        "eth_accounts" => {
            params.end()?;
            json_of([(); 0])
        }

        "eth_getBalance" => account::balance(shared, params),
        "eth_getCode" => account::code(shared, params),
        "eth_getStorageAt" => account::storage_at(shared, params),
        "eth_getTransactionCount" => account::transaction_count(shared, params),

        "eth_blockNumber" => block::number(shared, params),
        "eth_getBlockByNumber" => block::by_number(shared, params),
        "eth_getBlockByHash" => block::by_hash(shared, params),
        "eth_getBlockTransactionCountByNumber" => block::count_by_number(shared, params),
        "eth_getBlockTransactionCountByHash" => block::count_by_hash(shared, params),
        "eth_getUncleCountByBlockNumber" => block::uncles_by_number(shared, params),
        "eth_getUncleCountByBlockHash" => block::uncles_by_hash(shared, params),
        "eth_getBlockReceipts" => block::receipts(shared, params),
        "eth_getTransactionByHash" => block::transaction(shared, params),
        "eth_getTransactionByBlockNumberAndIndex" => block::transaction_by_number(shared, params),
        "eth_getTransactionByBlockHashAndIndex" => block::transaction_by_hash(shared, params),
        "eth_getRawTransactionByHash" => block::raw_transaction(shared, params),
        "eth_getTransactionReceipt" => block::receipt(shared, params),

        "eth_gasPrice" => fee::gas_price(params),
        "eth_maxPriorityFeePerGas" => fee::priority_fee(params),
        "eth_blobBaseFee" => fee::blob_base_fee(params),
        "eth_feeHistory" => fee::history(shared, params),

        "eth_call" => offload(shared, params, call::call).await,
        "eth_estimateGas" => offload(shared, params, call::estimate_gas).await,
        "eth_createAccessList" => offload(shared, params, call::create_access_list).await,

        "eth_getLogs" => offload(shared, params, filter::logs).await,
        "eth_newFilter" => filter::new_log_filter(shared, params),
        "eth_newBlockFilter" => filter::new_block_filter(shared, params),
        "eth_getFilterChanges" => offload(shared, params, filter::changes).await,
        "eth_getFilterLogs" => offload(shared, params, filter::filter_logs).await,
        "eth_uninstallFilter" => filter::uninstall(shared, params),

        "eth_sendRawTransaction" => send::raw(shared, params),
        "eth_sendRawTransactionSync" => send::raw_sync(shared, params).await,
        "txpool_status" => send::pool_status(shared, params),

        unknown => Err(RpcError::method_not_found(unknown)),
    }
}

/// Runs a method that may compute for long away from the runtime's threads; at most twice as many
/// at once as there are cores, the others wait in line.
async fn offload(
    shared: &Arc<Shared>,
    params: Params,
    method: fn(&Shared, Params) -> Result<Value, RpcError>,
) -> Result<Value, RpcError> {
    let _permit = shared
        .calls
        .acquire()
        .await
        .map_err(|_| RpcError::internal("the node is shutting down"))?;
    let shared = shared.clone();
    tokio::task::spawn_blocking(move || method(&shared, params))
        .await
        .map_err(|_| RpcError::internal("execution failed unexpectedly; see the log"))?
}
