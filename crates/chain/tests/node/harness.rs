//! A node with funded keys, a contract to call, and words to speak to it.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer_local::PrivateKeySigner;
use chain::{ChainError, Config, Genesis, GenesisAccount, Node};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

pub const CHAIN_ID: u64 = 402_402;
pub const GAS_LIMIT: u64 = 100_000_000;
pub const GENESIS_TIME: u64 = 1_700_000_000;
pub const ETHER: u128 = 1_000_000_000_000_000_000;
/// Where genesis puts the contract.
pub const CONTRACT: Address = Address::repeat_byte(0xcc);
/// The topic of the contract's log.
pub const TOPIC: u8 = 42;

/// The `n`-th key; those below 20 are funded by genesis.
pub fn key(n: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(n + 1)).expect("a valid key")
}

/// The runtime code of a contract that counts:
/// no input: adds one to slot 0 and logs it under [`TOPIC`]; input 01…: reverts with `nope`;
/// input 02…: burns all gas; any other: returns slot 0.
pub fn counter() -> Bytes {
    let increment = [
        &[0x60, 0x00, 0x54, 0x60, 0x01, 0x01, 0x80, 0x60, 0x00, 0x55][..], // slot[0] += 1
        &[0x60, 0x00, 0x52, 0x60, TOPIC, 0x60, 0x20, 0x60, 0x00, 0xa1, 0x00], // log it, stop
    ]
    .concat();
    let answer = [0x60, 0x00, 0x54, 0x60, 0x00, 0x52, 0x60, 0x20, 0x60, 0x00, 0xf3];
    let has_input = 4 + increment.len();
    let decide = 1 + 6 + 6 + 7; // JUMPDEST, first byte, two comparisons
    let fail = has_input + decide + answer.len();
    let burn = fail + 13;
    let reason = burn + 2;
    let mut code = vec![0x36, 0x60, has_input as u8, 0x57];
    code.extend(increment);
    code.extend([0x5b, 0x60, 0x00, 0x35, 0x60, 0xf8, 0x1c]);
    code.extend([0x80, 0x60, 0x01, 0x14, 0x60, fail as u8, 0x57]);
    code.extend([0x60, 0x02, 0x14, 0x60, burn as u8, 0x57]);
    code.extend(answer);
    code.extend([0x5b, 0x60, 100, 0x60, reason as u8, 0x60, 0x00, 0x39]);
    code.extend([0x60, 100, 0x60, 0x00, 0xfd]);
    code.extend([0x5b, 0xfe]);
    assert_eq!(code.len(), reason);
    code.extend(revert_data("nope"));
    code.into()
}

/// `Error(string)`, ABI-encoded, for a reason of up to 32 bytes.
pub fn revert_data(reason: &str) -> Vec<u8> {
    let mut data = vec![0x08, 0xc3, 0x79, 0xa0];
    data.extend(U256::from(32).to_be_bytes::<32>());
    data.extend(U256::from(reason.len()).to_be_bytes::<32>());
    data.extend(reason.as_bytes());
    data.resize(100, 0);
    data
}

/// Init code that deploys `runtime`.
pub fn init_code(runtime: &[u8]) -> Bytes {
    let length = u8::try_from(runtime.len()).expect("short code");
    let mut code = vec![0x60, length, 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    code.extend(runtime);
    code.into()
}

pub fn genesis() -> Genesis {
    let funded = (0..20).map(|n| GenesisAccount {
        address: key(n).address(),
        balance: U256::from(1_000 * ETHER),
        ..GenesisAccount::default()
    });
    let contract = GenesisAccount {
        address: CONTRACT,
        nonce: 1,
        code: counter(),
        storage: vec![(U256::from(7), U256::from(77))],
        ..GenesisAccount::default()
    };
    Genesis {
        chain_id: CHAIN_ID,
        timestamp: GENESIS_TIME,
        gas_limit: GAS_LIMIT,
        alloc: funded.chain([contract]).collect(),
    }
}

pub fn config() -> Config {
    Config::in_memory(genesis(), Arc::new(|| GENESIS_TIME + 10))
}

pub fn open() -> Node {
    Node::open(config()).expect("opens in memory")
}

pub fn open_in(directory: &Path) -> Result<Node, ChainError> {
    Node::open(config().in_directory(directory))
}

/// A clock that a test moves.
pub fn clock() -> (Arc<AtomicU64>, chain::Seconds) {
    let time = Arc::new(AtomicU64::new(GENESIS_TIME));
    let read = time.clone();
    (time, Arc::new(move || read.load(Ordering::SeqCst)))
}

/// A free call of the contract without input, to be changed by the test.
pub fn call(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 0,
        max_priority_fee_per_gas: 0,
        to: TxKind::Call(CONTRACT),
        ..TxEip1559::default()
    }
}

pub fn transfer(nonce: u64, to: Address, value: u128) -> TxEip1559 {
    TxEip1559 { to: TxKind::Call(to), value: U256::from(value), gas_limit: 21_000, ..call(nonce) }
}

pub fn deploy(nonce: u64, code: Bytes) -> TxEip1559 {
    TxEip1559 { to: TxKind::Create, input: code, gas_limit: 1_000_000, ..call(nonce) }
}

/// Signs and encodes.
pub fn sign<T>(signer: &PrivateKeySigner, mut transaction: T) -> Bytes
where
    T: SignableTransaction<alloy_primitives::Signature>,
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = signer.sign_transaction_sync(&mut transaction).expect("signs");
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

/// An error answer.
#[derive(Debug, PartialEq)]
pub struct Failure {
    pub code: i64,
    pub message: String,
    pub data: Value,
}

/// Calls a method; the whole answer must be well-formed.
pub async fn try_rpc(node: &Node, method: &str, params: Value) -> Result<Value, Failure> {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut answer = node.request(request).await;
    assert_eq!(answer["jsonrpc"], "2.0");
    assert_eq!(answer["id"], 1);
    if answer.get("error").is_none() {
        return Ok(answer["result"].take());
    }
    assert!(answer.get("result").is_none(), "either a result or an error: {answer}");
    Err(Failure {
        code: answer["error"]["code"].as_i64().expect("a code"),
        message: answer["error"]["message"].as_str().expect("a message").to_owned(),
        data: answer["error"]["data"].take(),
    })
}

pub async fn rpc(node: &Node, method: &str, params: Value) -> Value {
    try_rpc(node, method, params).await.unwrap_or_else(|error| panic!("{method}: {error:?}"))
}

pub async fn refused(node: &Node, method: &str, params: Value) -> Failure {
    match try_rpc(node, method, params).await {
        Err(failure) => failure,
        Ok(result) => panic!("{method} should be refused, but gave {result}"),
    }
}

/// Pools a transaction; the answer is its hash.
pub async fn send(node: &Node, raw: &Bytes) -> Value {
    rpc(node, "eth_sendRawTransaction", json!([raw])).await
}

/// Sends a transaction and waits for its receipt.
pub async fn seal(node: &Node, raw: &Bytes) -> Value {
    rpc(node, "eth_sendRawTransactionSync", json!([raw])).await
}

/// A quantity as a number.
pub fn number(value: &Value) -> u64 {
    let digits = value.as_str().expect("a quantity").strip_prefix("0x").expect("a quantity");
    assert!(digits == "0" || !digits.starts_with('0'), "quantities have no leading zeros");
    u64::from_str_radix(digits, 16).expect("a quantity")
}

/// The head block, with full transactions.
pub async fn head(node: &Node) -> Value {
    rpc(node, "eth_getBlockByNumber", json!(["latest", true])).await
}
