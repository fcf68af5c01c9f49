//! How many transactions a second the node takes, seals and replays:
//! `throughput [TRANSACTIONS] [SENDERS] [DIRECTORY]`, by default 20,000 of 10 senders in a
//! temporary directory.
//!
//! The workload is a contract that adds one to the caller's own storage slot, signed beforehand,
//! sent in process. It prints what it measured and the state root, so that it cannot cheat.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, B256, TxKind, U256, hex};
use alloy_signer_local::PrivateKeySigner;
use chain::{Config, Genesis, GenesisAccount, Node};
use serde_json::json;
use std::{
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

const CONTRACT: Address = Address::repeat_byte(0xcc);

fn config(directory: &std::path::Path) -> Config {
    let contract = GenesisAccount {
        address: CONTRACT,
        // slot[caller] += 1
        code: hex!("3354600101335500").into(),
        ..GenesisAccount::default()
    };
    let genesis = Genesis {
        chain_id: 402_402,
        timestamp: 1_700_000_000,
        gas_limit: 100_000_000,
        alloc: vec![contract],
    };
    Config::in_memory(genesis, Arc::new(|| 1_700_000_001)).in_directory(directory)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().map_or(Ok(20_000), |count| count.parse())?;
    let senders: u64 = arguments.next().map_or(Ok(10), |senders| senders.parse())?;
    let temporary = tempfile::tempdir()?;
    let directory = arguments.next().map_or(temporary.path().to_owned(), PathBuf::from);

    let each = count / senders;
    let mut queues = Vec::new();
    for n in 1..=senders {
        let signer = PrivateKeySigner::from_bytes(&B256::from(U256::from(n)))?;
        let mut queue = Vec::new();
        for nonce in 0..each {
            queue.push(raw(&signer, nonce)?);
        }
        queues.push(queue);
    }

    let node = Node::open(config(&directory))?;
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for queue in queues {
        let node = node.clone();
        tasks.spawn(async move {
            for raw in queue {
                let request = json!({
                    "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw],
                });
                let answer = node.request(request).await;
                assert!(answer.get("error").is_none(), "{answer}");
            }
        });
    }
    while let Some(sent) = tasks.join_next().await {
        sent?;
    }
    let taken = start.elapsed();
    node.clone().close().await;
    let sealed = start.elapsed();
    let blocks = node.block_number();
    drop(node);

    let start = Instant::now();
    let node = Node::open(config(&directory))?;
    let replayed = start.elapsed();
    let request = json!({
        "jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", false],
    });
    let head = node.request(request).await;
    let alone = one_at_a_time(&node).await?;
    let rate = |time: Duration| (each * senders) as f64 / time.as_secs_f64();
    println!("taken    {:>9.0} transactions/s", rate(taken));
    println!("sealed   {:>9.0} transactions/s, durable, in {blocks} blocks", rate(sealed));
    println!("replayed {:>9.0} transactions/s", rate(replayed));
    println!("alone    {:>9.2} ms from sending to receipt, median", alone.as_secs_f64() * 1e3);
    println!("root     {}", head["result"]["stateRoot"]);
    node.close().await;
    Ok(())
}

/// The median time from sending a transaction to its receipt, with nothing else going on.
async fn one_at_a_time(node: &Node) -> Result<Duration, Box<dyn Error>> {
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x77))?;
    let mut times = Vec::new();
    for nonce in 0..201 {
        let raw = raw(&signer, nonce)?;
        let start = Instant::now();
        let request = json!({
            "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync", "params": [raw],
        });
        let answer = node.request(request).await;
        assert_eq!(answer["result"]["status"], "0x1", "{answer}");
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// A signed call of the contract.
fn raw(signer: &PrivateKeySigner, nonce: u64) -> Result<String, Box<dyn Error>> {
    let mut transaction = TxEip1559 {
        chain_id: 402_402,
        nonce,
        gas_limit: 60_000,
        to: TxKind::Call(CONTRACT),
        ..TxEip1559::default()
    };
    let signature = signer.sign_transaction_sync(&mut transaction)?;
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    Ok(hex::encode_prefixed(envelope.encoded_2718()))
}
