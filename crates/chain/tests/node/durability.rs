//! What was seen survives; what is damaged is noticed.

use crate::harness::*;
use alloy_primitives::{B256, keccak256};
use chain::{ChainError, Node};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

const FILE_HEAD: usize = 64;

/// Where each frame of the log begins, and where the last ends.
fn frames(log: &[u8]) -> Vec<usize> {
    let mut offsets = vec![FILE_HEAD];
    while *offsets.last().expect("one") < log.len() {
        let at = *offsets.last().expect("one");
        let length = u32::from_le_bytes(log[at + 4..at + 8].try_into().expect("four bytes"));
        offsets.push(at + 12 + length as usize + 8);
    }
    assert_eq!(offsets.last(), Some(&log.len()));
    offsets
}

/// A log of three blocks, one transaction each, and the blocks as the node tells them.
async fn three_blocks(directory: &Path) -> Vec<Value> {
    let node = open_in(directory).expect("opens");
    for nonce in 0..3 {
        seal(&node, &sign(&key(0), call(nonce))).await;
    }
    let mut blocks = Vec::new();
    for number in 0..4 {
        let params = json!([format!("{number:#x}"), true]);
        blocks.push(rpc(&node, "eth_getBlockByNumber", params).await);
    }
    node.close().await;
    blocks
}

/// All that a client can ask about a chain, for comparison.
async fn everything(node: &Node) -> Vec<Value> {
    let mut all = vec![
        rpc(node, "eth_getStorageAt", json!([CONTRACT, "0x0", "latest"])).await,
        rpc(node, "eth_getLogs", json!([{ "fromBlock": "0x0" }])).await,
        rpc(node, "eth_getBalance", json!([key(0).address()])).await,
    ];
    for number in 0..=node.block_number() {
        let number = format!("{number:#x}");
        all.push(rpc(node, "eth_getBlockByNumber", json!([number, true])).await);
        all.push(rpc(node, "eth_getBlockReceipts", json!([number])).await);
    }
    all
}

#[tokio::test]
async fn a_restart_gives_the_same_blocks_receipts_logs_and_state() {
    let directory = tempfile::tempdir().expect("a directory");
    let node = open_in(directory.path()).expect("opens");
    seal(&node, &sign(&key(0), call(0))).await;
    seal(&node, &sign(&key(0), deploy(1, init_code(&counter())))).await;
    seal(&node, &sign(&key(1), transfer(0, key(30).address(), 5))).await;
    let mut many = tokio::task::JoinSet::new();
    for n in 2..10 {
        let node = node.clone();
        many.spawn(async move {
            for nonce in 0..5 {
                send(&node, &sign(&key(n), call(nonce))).await;
            }
            // Closing seals what is ready.
        });
    }
    while many.join_next().await.is_some() {}
    node.clone().close().await;
    let before = everything(&node).await;
    assert_eq!(before[0], json!(B256::with_last_byte(41)), "every call was sealed");

    let node = open_in(directory.path()).expect("opens again");
    assert_eq!(everything(&node).await, before);
    // And it goes on.
    let receipt = seal(&node, &sign(&key(0), call(2))).await;
    assert_eq!(receipt["status"], "0x1");
    node.close().await;
}

#[tokio::test]
async fn an_append_cut_at_any_byte_leaves_the_chain_before_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let blocks = three_blocks(directory.path()).await;
    let path = directory.path().join("blocks.log");
    let whole = fs::read(&path).expect("a log");
    let last = frames(&whole)[2];
    for cut in last..whole.len() {
        fs::write(&path, &whole[..cut]).expect("writes");
        let node = open_in(directory.path()).expect("opens");
        assert_eq!(head(&node).await, blocks[2], "cut at byte {cut}");
        node.close().await;
        assert_eq!(fs::read(&path).expect("a log"), whole[..last], "the tail is gone");
        if cut > last {
            let aside = path.with_extension(format!("torn-{last}"));
            assert_eq!(fs::read(aside).expect("set aside"), whole[last..cut]);
        }
    }
    // The same transaction can be sealed again after the loss.
    let node = open_in(directory.path()).expect("opens");
    seal(&node, &sign(&key(0), call(2))).await;
    node.close().await;
    assert_eq!(open_in(directory.path()).expect("opens").block_number(), 3);
}

#[tokio::test]
async fn an_append_that_left_zeros_is_a_torn_tail() {
    let directory = tempfile::tempdir().expect("a directory");
    let blocks = three_blocks(directory.path()).await;
    let path = directory.path().join("blocks.log");
    let mut log = fs::read(&path).expect("a log");
    log.extend([0; 5_000]);
    fs::write(&path, &log).expect("writes");
    assert_eq!(head(&open_in(directory.path()).expect("opens")).await, blocks[3]);
}

#[tokio::test]
async fn a_bit_flipped_anywhere_in_the_middle_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    three_blocks(directory.path()).await;
    let path = directory.path().join("blocks.log");
    let whole = fs::read(&path).expect("a log");
    let offsets = frames(&whole);
    for at in offsets[1]..offsets[2] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, &damaged).expect("writes");
        match open_in(directory.path()) {
            Err(ChainError::Corrupt { offset, next, .. }) => {
                assert_eq!((offset, next), (offsets[1] as u64, offsets[2] as u64));
            }
            other => panic!("byte {at}: {other:?}"),
        }
        assert_eq!(fs::read(&path).expect("a log"), damaged, "nothing was changed");
    }
    fs::write(&path, &whole).expect("writes");
    assert_eq!(open_in(directory.path()).expect("opens").block_number(), 3);
}

#[tokio::test]
async fn a_header_that_execution_contradicts_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let blocks = three_blocks(directory.path()).await;
    let path = directory.path().join("blocks.log");
    let whole = fs::read(&path).expect("a log");
    let offsets = frames(&whole);
    for (field, what) in [
        ("stateRoot", "the state root"),
        ("receiptsRoot", "the receipts root"),
        ("transactionsRoot", "the transactions root"),
        ("parentHash", "the parent"),
    ] {
        let root: B256 = serde_json::from_value(blocks[3][field].clone()).expect("a root");
        let mut altered = whole.clone();
        let frame = &mut altered[offsets[2]..offsets[3]];
        let at = frame.windows(32).position(|bytes| bytes == root.as_slice()).expect("is there");
        frame[at] ^= 1;
        // Whoever alters a log can also make its checks right.
        let end = frame.len() - 8;
        let check = keccak256(&frame[12..end]);
        frame[end..].copy_from_slice(&check[..8]);
        fs::write(&path, &altered).expect("writes");
        match open_in(directory.path()) {
            Err(ChainError::Diverged { number: 3, what: found, .. }) => assert_eq!(found, what),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn another_genesis_or_chain_id_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    three_blocks(directory.path()).await;
    let mut other = config().in_directory(directory.path());
    other.genesis.alloc[0].nonce = 9;
    assert!(matches!(Node::open(other), Err(ChainError::OtherGenesis { .. })));
    let mut other = config().in_directory(directory.path());
    other.genesis.chain_id = 1;
    match Node::open(other) {
        Err(ChainError::OtherGenesis {
            found_chain_id: CHAIN_ID, expected_chain_id: 1, ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_has_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = open_in(directory.path()).expect("opens");
    assert!(matches!(open_in(directory.path()), Err(ChainError::InUse { .. })));
    let reader = first.clone();
    first.close().await;
    let second = open_in(directory.path()).expect("opens once the first has closed");
    // A handle to the closed node still reads, and says that it takes nothing more.
    assert_eq!(reader.block_number(), 0);
    let raw = sign(&key(0), call(0));
    let failure = refused(&reader, "eth_sendRawTransaction", json!([raw])).await;
    assert!(failure.message.contains("shutting down"), "{failure:?}");
    drop(second);
    open_in(directory.path()).expect("dropping closes too");
}

#[tokio::test]
async fn a_file_that_is_no_log_is_refused_and_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("blocks.log");
    let letter = vec![b'x'; 4_000];
    fs::write(&path, &letter).expect("writes");
    assert!(matches!(open_in(directory.path()), Err(ChainError::NotALog { .. })));
    assert_eq!(fs::read(&path).expect("still there"), letter);
}

#[tokio::test]
async fn power_lost_while_the_log_began_begins_it_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("blocks.log");
    for length in [0, 1, FILE_HEAD - 1] {
        fs::write(&path, vec![0; length]).expect("writes");
        open_in(directory.path()).expect("opens").close().await;
        assert_eq!(fs::read(&path).expect("a log").len(), FILE_HEAD);
    }
}

/// Set in the child process of [`a_process_killed_at_work_loses_nothing_that_was_seen`].
const CHILD: &str = "CHAIN_TEST_CHILD_DIRECTORY";

/// Seals one block after another and says so, until it is killed.
async fn work_until_killed(directory: &str) {
    let node = open_in(Path::new(directory)).expect("opens");
    let account = json!([key(0).address()]);
    let first = number(&rpc(&node, "eth_getTransactionCount", account).await);
    for nonce in first..first + 100_000 {
        let receipt = seal(&node, &sign(&key(0), call(nonce))).await;
        println!("\nsealed {} {}", receipt["blockNumber"], receipt["blockHash"]);
    }
}

#[tokio::test]
async fn a_process_killed_at_work_loses_nothing_that_was_seen() {
    if let Ok(directory) = std::env::var(CHILD) {
        return work_until_killed(&directory).await;
    }
    let directory = tempfile::tempdir().expect("a directory");
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--nocapture", "--exact"])
            .arg("durability::a_process_killed_at_work_loses_nothing_that_was_seen")
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut seen = Vec::new();
        for line in output.lines() {
            // The last line may be cut off; what was not said whole was not seen.
            let Ok(line) = line else { break };
            if let ["sealed", number, hash] = line.split(' ').collect::<Vec<_>>()[..] {
                let read = |text| serde_json::from_str::<Value>(text);
                let (Ok(number), Ok(hash)) = (read(number), read(hash)) else { break };
                seen.push((number, hash));
            }
            if seen.len() == 20 * round {
                child.kill().expect("kills");
            }
        }
        child.wait().expect("ends");
        assert!(seen.len() >= 20 * round);
        let node = open_in(directory.path()).expect("opens after the kill");
        for (number, hash) in seen {
            let block = rpc(&node, "eth_getBlockByNumber", json!([number, false])).await;
            assert_eq!(block["hash"], hash, "round {round}");
        }
        node.close().await;
    }
}
