//! Everything that is ready is sealed, and what is sealed is what Ethereum says it should be.

use crate::harness::*;
use alloy_consensus::{TxEip7702, TxEnvelope, proofs};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bloom, Bytes, U256, hex};
use alloy_rpc_types_eth::{Block, TransactionReceipt};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use chain::Node;
use serde_json::json;
use std::{collections::HashSet, sync::atomic::Ordering};

#[tokio::test]
async fn a_transaction_is_sealed_without_a_block_time() {
    let node = open();
    let mut blocks = node.subscribe_blocks();
    let hash = send(&node, &sign(&key(0), call(0))).await;
    let block = blocks.recv().await.expect("a block");
    assert_eq!(block.number, 1);
    assert_eq!(json!(block.transactions), json!([hash]));
    assert_eq!(json!(block.hash), head(&node).await["hash"]);
    let receipt = rpc(&node, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!(receipt["status"], "0x1");
}

#[tokio::test]
async fn a_filled_nonce_gap_seals_everything_behind_it() {
    let node = open();
    let mut hashes = Vec::new();
    for nonce in [4, 2, 3, 1] {
        hashes.push(send(&node, &sign(&key(0), call(nonce))).await);
    }
    let status = rpc(&node, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x4" }));
    let pending = json!([key(0).address(), "pending"]);
    assert_eq!(rpc(&node, "eth_getTransactionCount", pending.clone()).await, "0x0");
    assert_eq!(node.block_number(), 0);

    let pooled = rpc(&node, "eth_getTransactionByHash", json!([hashes[0]])).await;
    assert_eq!((&pooled["blockHash"], &pooled["nonce"]), (&json!(null), &json!("0x4")));

    seal(&node, &sign(&key(0), call(0))).await;
    seal(&node, &sign(&key(0), call(5))).await;
    for hash in hashes {
        let receipt = rpc(&node, "eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1");
    }
    assert_eq!(rpc(&node, "eth_getTransactionCount", pending).await, "0x6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_thousand_transactions_of_ten_senders_are_all_sealed() {
    let node = open();
    let mut senders = tokio::task::JoinSet::new();
    for n in 0..10 {
        let node = node.clone();
        senders.spawn(async move {
            // Each sender's nonces arrive in a scrambled order, in blocks of ten.
            let mut last = None;
            for nonce in 0..200 {
                let nonce = nonce / 10 * 10 + nonce * 7 % 10;
                last = Some(send(&node, &sign(&key(n), call(nonce))).await);
            }
            last
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent.expect("sends");
    }
    // Closing seals what is ready; nothing may be left behind.
    node.clone().close().await;
    let status = rpc(&node, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x0" }));
    let count = rpc(&node, "eth_getStorageAt", json!([CONTRACT, "0x0"])).await;
    assert_eq!(count, json!(B256::from(U256::from(2_000))));
    let mut sealed = HashSet::new();
    for number in 1..=node.block_number() {
        let block =
            rpc(&node, "eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await;
        for hash in block["transactions"].as_array().expect("hashes") {
            assert!(sealed.insert(hash.to_string()), "sealed once");
        }
    }
    assert_eq!(sealed.len(), 2_000);
}

#[tokio::test]
async fn hashes_roots_and_blooms_equal_those_computed_from_what_clients_see() {
    let node = open();
    seal(&node, &sign(&key(0), call(0))).await;
    seal(&node, &sign(&key(0), deploy(1, init_code(&counter())))).await;
    for n in 1..9 {
        for nonce in 0..4 {
            send(&node, &sign(&key(n), call(nonce))).await;
        }
    }
    node.clone().close().await;
    let mut parent: Option<Block> = None;
    for number in 0..=node.block_number() {
        let number = format!("{number:#x}");
        let block = rpc(&node, "eth_getBlockByNumber", json!([number, true])).await;
        let receipts = rpc(&node, "eth_getBlockReceipts", json!([number])).await;
        let block: Block = serde_json::from_value(block).expect("a block");
        let receipts: Vec<TransactionReceipt> = serde_json::from_value(receipts).expect("receipts");
        let header = &block.header;
        assert_eq!(header.inner.hash_slow(), header.hash);

        let envelopes: Vec<TxEnvelope> =
            block.transactions.txns().map(|tx| tx.inner.inner().clone()).collect();
        assert_eq!(proofs::calculate_transaction_root(&envelopes), header.transactions_root);
        let consensus: Vec<_> =
            receipts.iter().map(|r| r.inner.clone().into_primitives_receipt()).collect();
        assert_eq!(proofs::calculate_receipt_root(&consensus), header.receipts_root);
        let bloom = consensus.iter().fold(Bloom::ZERO, |bloom, r| bloom | *r.logs_bloom());
        assert_eq!(bloom, header.logs_bloom);
        assert_eq!(receipts.iter().map(|r| r.gas_used).sum::<u64>(), header.gas_used);
        let logs: Vec<_> =
            receipts.iter().flat_map(|r| r.logs()).map(|log| log.log_index).collect();
        assert_eq!(logs, (0..logs.len() as u64).map(Some).collect::<Vec<_>>());

        let size =
            alloy_rlp::encode(block.clone().into_consensus().convert_transactions::<TxEnvelope>());
        assert_eq!(header.size, Some(U256::from(size.len())), "block {number}");
        if let Some(parent) = &parent {
            assert_eq!(header.parent_hash, parent.header.hash);
            assert_eq!(header.number, parent.header.number + 1);
            assert!(header.timestamp >= parent.header.timestamp);
            assert_ne!(header.mix_hash, parent.header.mix_hash);
        }
        parent = Some(block);
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_never_takes_a_block_with_it() {
    let (time, now) = clock();
    let node = Node::open(chain::Config { now, ..config() }).expect("opens");
    for (nonce, (clock, expected)) in
        [(50, 50), (20, 50), (50, 50), (51, 51)].into_iter().enumerate()
    {
        time.store(GENESIS_TIME + clock, Ordering::SeqCst);
        seal(&node, &sign(&key(0), call(nonce as u64))).await;
        assert_eq!(number(&head(&node).await["timestamp"]), GENESIS_TIME + expected);
    }
}

#[tokio::test]
async fn a_block_is_filled_to_its_gas_limit_and_the_rest_is_sealed_next() {
    let mut config = config();
    config.genesis.gas_limit = 150_000;
    let node = Node::open(config).expect("opens");
    // Two calls of 100,000 gas limit each cannot share a block unless the first uses little.
    for n in 0..6 {
        for nonce in [1, 0] {
            send(&node, &sign(&key(n), call(nonce))).await;
        }
    }
    node.clone().close().await;
    let count = rpc(&node, "eth_getStorageAt", json!([CONTRACT, "0x0"])).await;
    assert_eq!(count, json!(B256::from(U256::from(12))));
    for number in 1..=node.block_number() {
        let block =
            rpc(&node, "eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await;
        assert!(crate::harness::number(&block["gasUsed"]) <= 150_000);
    }
}

#[tokio::test]
async fn an_account_without_ether_can_send() {
    let node = open();
    let receipt = seal(&node, &sign(&key(100), call(0))).await;
    assert_eq!((&receipt["status"], &receipt["effectiveGasPrice"]), (&json!("0x1"), &json!("0x0")));
}

#[tokio::test]
async fn a_tip_is_paid_and_told() {
    let node = open();
    let mut tipped = call(0);
    (tipped.max_fee_per_gas, tipped.max_priority_fee_per_gas) = (10, 3);
    let receipt = seal(&node, &sign(&key(0), tipped)).await;
    assert_eq!(receipt["effectiveGasPrice"], "0x3");
    let paid = 3 * u128::from(number(&receipt["gasUsed"]));
    let balance = rpc(&node, "eth_getBalance", json!([key(0).address()])).await;
    assert_eq!(balance, json!(U256::from(1_000 * ETHER - paid)));
    let history = rpc(&node, "eth_feeHistory", json!(["0x2", "latest", [50.0]])).await;
    assert_eq!(history["reward"], json!([["0x0"], ["0x3"]]));
    assert_eq!(history["baseFeePerGas"], json!(["0x0", "0x0", "0x0"]));
}

/// An EIP-7702 transaction of `sponsor` by which `authority` takes on the code at `code`.
fn delegation(
    sponsor: &PrivateKeySigner,
    nonce: u64,
    authority: &PrivateKeySigner,
    code: Address,
) -> Bytes {
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: code, nonce: 0 };
    let signature = authority.sign_hash_sync(&authorization.signature_hash()).expect("signs");
    let transaction = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 200_000,
        to: Address::repeat_byte(5),
        authorization_list: vec![authorization.into_signed(signature)],
        ..TxEip7702::default()
    };
    sign(sponsor, transaction)
}

#[tokio::test]
async fn an_authorization_that_moves_a_pooled_nonce_strands_nothing() {
    let node = open();
    let authority = key(1);
    // The authority's transactions wait for nonce 0, which its authorization will use.
    let mut waiting = Vec::new();
    for nonce in [1, 2] {
        waiting.push(send(&node, &sign(&authority, call(nonce))).await);
    }
    let receipt = seal(&node, &delegation(&key(0), 0, &authority, CONTRACT)).await;
    assert_eq!((&receipt["status"], &receipt["type"]), (&json!("0x1"), &json!("0x4")));
    let code = rpc(&node, "eth_getCode", json!([authority.address()])).await;
    assert_eq!(code, json!(format!("0xef0100{}", hex::encode(CONTRACT))));
    // They are ready now, though nobody sent anything more.
    node.clone().close().await;
    for hash in waiting {
        let receipt = rpc(&node, "eth_getTransactionReceipt", json!([hash])).await;
        assert_eq!(receipt["status"], "0x1", "a delegated account may still send");
    }
}

#[tokio::test]
async fn a_transaction_that_became_unpayable_is_dropped_and_said_to_be() {
    let sweeper = Address::repeat_byte(0xdd);
    let mut config = config();
    config.genesis.alloc.push(chain::GenesisAccount {
        address: sweeper,
        // Sends all that the account has to 0xdead.
        code: hex!("6000600060006000 47 61dead 5a f1 00").into(),
        ..chain::GenesisAccount::default()
    });
    let node = Node::open(config).expect("opens");
    let authority = key(1);
    seal(&node, &delegation(&key(0), 0, &authority, sweeper)).await;
    // Nonce 0 went to the authorization; 1 is missing.
    let spend = sign(&authority, transfer(2, CONTRACT, 600 * ETHER));
    send(&node, &spend).await;
    let mut sweep = call(1);
    sweep.to = authority.address().into();
    seal(&node, &sign(&key(0), sweep)).await;
    let balance = rpc(&node, "eth_getBalance", json!([authority.address()])).await;
    assert_eq!(balance, "0x0");

    let waiting = tokio::spawn({
        let (node, spend) = (node.clone(), spend.clone());
        async move { refused(&node, "eth_sendRawTransactionSync", json!([spend])).await }
    });
    seal(&node, &sign(&authority, call(1))).await;
    let failure = waiting.await.expect("answers");
    assert!(
        failure.message.contains("dropped") || failure.message.contains("insufficient funds"),
        "{failure:?}"
    );
    let receipt = seal(&node, &sign(&authority, call(2))).await;
    assert_eq!(receipt["status"], "0x1", "the sender can go on");
}

#[tokio::test]
async fn failed_creations_and_calls_are_sealed_with_status_zero() {
    let node = open();
    let mut reverting = call(0);
    reverting.input = vec![1].into();
    let receipt = seal(&node, &sign(&key(0), reverting)).await;
    assert_eq!((&receipt["status"], &receipt["logs"]), (&json!("0x0"), &json!([])));
    let mut burning = call(1);
    burning.input = vec![2].into();
    let receipt = seal(&node, &sign(&key(0), burning)).await;
    assert_eq!((&receipt["status"], number(&receipt["gasUsed"])), (&json!("0x0"), 100_000));
    let receipt = seal(&node, &sign(&key(0), deploy(2, vec![0xfe].into()))).await;
    assert_eq!(receipt["status"], "0x0");
    assert_eq!(receipt["contractAddress"], json!(key(0).address().create(2)));
    let receipt = seal(&node, &sign(&key(0), deploy(3, init_code(&counter())))).await;
    assert_eq!(receipt["contractAddress"], json!(key(0).address().create(3)));
    let code = rpc(&node, "eth_getCode", json!([key(0).address().create(3)])).await;
    assert_eq!(code, json!(counter()));
}
