//! What the pool refuses, in geth's words, and that a refusal changes nothing.

use crate::harness::*;
use alloy_consensus::{SignableTransaction, TxEip2930, TxEnvelope, TxLegacy};
use alloy_eips::Encodable2718;
use alloy_network::TxSignerSync;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, uint};
use serde_json::json;

/// The order of secp256k1's group (SEC 2, 2.4.1).
const GROUP_ORDER: U256 =
    uint!(0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141_U256);

/// A valid signature's twin: the same signer, with `s` in the upper half.
fn high_s() -> Bytes {
    let mut transaction = call(0);
    let signature = key(0).sign_transaction_sync(&mut transaction).expect("signs");
    let twin = Signature::new(signature.r(), GROUP_ORDER - signature.s(), !signature.v());
    TxEnvelope::from(transaction.into_signed(twin)).encoded_2718().into()
}

#[tokio::test]
async fn every_refusal_has_its_words_and_changes_nothing() {
    let node = open();
    seal(&node, &sign(&key(1), call(0))).await;
    send(&node, &sign(&key(2), call(5))).await;
    let blob = {
        let mut raw = sign(&key(0), call(0)).to_vec();
        raw[0] = 3;
        Bytes::from(raw)
    };
    let table: Vec<(&str, Bytes)> = vec![
        ("failed to decode signed transaction", Bytes::new()),
        ("failed to decode signed transaction", vec![0xc0].into()),
        ("failed to decode signed transaction", sign(&key(0), call(0)).slice(..80)),
        (
            "failed to decode signed transaction",
            [sign(&key(0), call(0)).to_vec(), vec![0]].concat().into(),
        ),
        ("transaction type not supported: type 0x7", vec![7, 0xc0].into()),
        ("transaction type not supported: this chain carries no blobs", blob),
        (
            "oversized data: transaction size",
            sign(&key(0), alloy_consensus::TxEip1559 { input: vec![0; 131_000].into(), ..call(0) }),
        ),
        (
            "only replay-protected (EIP-155) transactions allowed over RPC",
            sign(
                &key(0),
                TxLegacy { gas_limit: 21_000, to: TxKind::Call(CONTRACT), ..TxLegacy::default() },
            ),
        ),
        (
            "invalid sender: invalid chain id for signer: have 1 want 402402",
            sign(&key(0), alloy_consensus::TxEip1559 { chain_id: 1, ..call(0) }),
        ),
        ("invalid sender: invalid transaction v, r, s values", high_s()),
        (
            "max priority fee per gas higher than max fee per gas",
            sign(&key(0), alloy_consensus::TxEip1559 { max_priority_fee_per_gas: 1, ..call(0) }),
        ),
        (
            "exceeds block gas limit",
            sign(&key(0), alloy_consensus::TxEip1559 { gas_limit: GAS_LIMIT + 1, ..call(0) }),
        ),
        (
            "transaction gas limit too high (cap: 16777216, tx: 16777217)",
            sign(&key(0), alloy_consensus::TxEip1559 { gas_limit: 16_777_217, ..call(0) }),
        ),
        ("nonce has max value", sign(&key(0), call(u64::MAX))),
        (
            "max initcode size exceeded: code size 49153, limit 49152",
            sign(
                &key(0),
                alloy_consensus::TxEip1559 {
                    gas_limit: 16_000_000,
                    ..deploy(0, vec![0; 49_153].into())
                },
            ),
        ),
        (
            "intrinsic gas too low: gas 20999, minimum needed 21000",
            sign(&key(0), alloy_consensus::TxEip1559 { gas_limit: 20_999, ..call(0) }),
        ),
        (
            "insufficient gas for floor data gas cost: gas 38000, minimum needed 61000",
            sign(
                &key(0),
                alloy_consensus::TxEip1559 {
                    gas_limit: 38_000,
                    input: vec![1; 1_000].into(),
                    ..call(0)
                },
            ),
        ),
        ("nonce too low: next nonce 1, tx nonce 0", sign(&key(1), transfer(0, CONTRACT, 1))),
        ("nonce too high", sign(&key(0), call(10_000))),
        ("insufficient funds for gas * price + value", sign(&key(90), transfer(0, CONTRACT, 1))),
        (
            "insufficient funds for gas * price + value",
            sign(&key(90), alloy_consensus::TxEip1559 { max_fee_per_gas: 1, ..call(0) }),
        ),
        (
            "insufficient funds for gas * price + value",
            sign(
                &key(0),
                alloy_consensus::TxEip1559 {
                    max_fee_per_gas: u128::MAX,
                    value: U256::MAX,
                    ..call(0)
                },
            ),
        ),
        ("already known", sign(&key(2), call(5))),
        ("replacement transaction underpriced", sign(&key(2), transfer(5, CONTRACT, 0))),
    ];
    let before = (head(&node).await, rpc(&node, "txpool_status", json!([])).await);
    for (words, raw) in table {
        let failure = refused(&node, "eth_sendRawTransaction", json!([raw])).await;
        assert!(failure.message.starts_with(words), "{words}: {failure:?}");
        assert_eq!(failure.code, -32000, "{words}");
    }
    assert_eq!((head(&node).await, rpc(&node, "txpool_status", json!([])).await), before);
}

#[tokio::test]
async fn legacy_and_access_list_transactions_are_taken() {
    let node = open();
    let legacy = TxLegacy {
        chain_id: Some(CHAIN_ID),
        gas_limit: 100_000,
        to: TxKind::Call(CONTRACT),
        ..TxLegacy::default()
    };
    let receipt = seal(&node, &sign(&key(0), legacy)).await;
    assert_eq!((&receipt["type"], &receipt["status"]), (&json!("0x0"), &json!("0x1")));
    let listed = TxEip2930 {
        chain_id: CHAIN_ID,
        nonce: 1,
        gas_limit: 100_000,
        to: TxKind::Call(CONTRACT),
        ..TxEip2930::default()
    };
    let receipt = seal(&node, &sign(&key(0), listed)).await;
    assert_eq!((&receipt["type"], &receipt["status"]), (&json!("0x1"), &json!("0x1")));
}

#[tokio::test]
async fn a_replacement_needs_a_tenth_more_of_both_fees() {
    let node = open();
    let at = |cap: u128, tip: u128| {
        let mut transaction = call(3);
        (transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas) = (cap, tip);
        sign(&key(0), transaction)
    };
    let first = send(&node, &at(1_000, 100)).await;
    for (cap, tip) in [(1_099, 110), (1_100, 109), (1_000, 110), (1_100, 100), (999, 99)] {
        let failure = refused(&node, "eth_sendRawTransaction", json!([at(cap, tip)])).await;
        assert_eq!(failure.message, "replacement transaction underpriced", "{cap} {tip}");
    }
    let second = send(&node, &at(1_100, 110)).await;
    assert_eq!(rpc(&node, "eth_getTransactionByHash", json!([first])).await, json!(null));
    let status = rpc(&node, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x1" }));
    for nonce in 0..3 {
        send(&node, &sign(&key(0), call(nonce))).await;
    }
    node.clone().close().await;
    let receipt = rpc(&node, "eth_getTransactionReceipt", json!([second])).await;
    assert_eq!(receipt["status"], "0x1");
}

#[tokio::test]
async fn money_already_promised_to_pooled_transactions_is_not_promised_twice() {
    let node = open();
    send(&node, &sign(&key(0), transfer(1, CONTRACT, 600 * ETHER))).await;
    let raw = sign(&key(0), transfer(2, CONTRACT, 600 * ETHER));
    let failure = refused(&node, "eth_sendRawTransaction", json!([raw])).await;
    assert!(failure.message.contains("queued cost 600000000000000000000"), "{failure:?}");
    send(&node, &sign(&key(0), transfer(2, CONTRACT, 400 * ETHER))).await;
}

#[tokio::test]
async fn a_flood_of_gapped_transactions_never_keeps_out_a_ready_one() {
    let (time, now) = clock();
    let mut config = config();
    config.now = now;
    config.limits.pool.gapped = 5;
    config.limits.pool.gapped_seconds = 60;
    let node = chain::Node::open(config).expect("opens");
    for n in 0..5 {
        send(&node, &sign(&key(n), call(1))).await;
    }
    let late = sign(&key(6), call(1));
    let failure = refused(&node, "eth_sendRawTransaction", json!([late])).await;
    assert!(failure.message.starts_with("txpool is full"), "{failure:?}");
    seal(&node, &sign(&key(7), call(0))).await;
    // Those that waited too long make room.
    time.fetch_add(61, std::sync::atomic::Ordering::SeqCst);
    send(&node, &late).await;
    let status = rpc(&node, "txpool_status", json!([])).await;
    assert_eq!(status, json!({ "pending": "0x0", "queued": "0x1" }));
}

#[tokio::test]
async fn contracts_have_no_key_to_sign_with() {
    let mut config = config();
    config.genesis.alloc.push(chain::GenesisAccount {
        address: key(50).address(),
        code: counter(),
        ..chain::GenesisAccount::default()
    });
    let node = chain::Node::open(config).expect("opens");
    let raw = sign(&key(50), call(0));
    let failure = refused(&node, "eth_sendRawTransaction", json!([raw])).await;
    assert!(failure.message.starts_with("sender not an eoa"), "{failure:?}");
    assert_ne!(key(50).address(), Address::ZERO);
}
