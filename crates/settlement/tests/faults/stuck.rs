//! Transactions that are dropped, underpriced, doubled, or meet another one of their nonce.

use crate::town::mempool::tip;
use crate::town::{Fault, Town, key, minter, musd, party, rich_keys, signed};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, Bytes};
use settlement::{SenderLimits, SettlementError};

const GWEI: u64 = 1_000_000_000;

#[tokio::test]
async fn what_the_node_drops_is_sent_again_until_it_is_mined() {
    for fault in [Fault::Swallow, Fault::Mute, Fault::Garble, Fault::Late(100)] {
        let town = Town::with(Town::eager()).await;
        let payee = party(&key(0x22));
        for _ in 0..3 {
            town.wire.break_next("eth_sendRawTransaction", fault);
        }
        let receipt = town.settlement.mint(payee, musd(1)).await.unwrap();
        assert_eq!(receipt.block, 1, "{fault:?}");
        assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(1), "{fault:?}");
        assert_eq!(town.nonce(minter().address()).await, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_by_one_that_offers_more() {
    let town = Town::of(rich_keys(1), Town::eager()).await;
    let payee = party(&key(0x22));
    town.wire.charge(GWEI, 1_000);
    // The tip that was usual is not enough; two raises by an eighth are.
    town.wire.with_mempool(1_200, |_| {});
    let receipt = town.settlement.mint(payee, musd(1)).await.unwrap();
    let seen = town.wire.with_mempool(0, |pool| pool.seen.clone());
    let mut offers: Vec<_> = seen.iter().map(|t| (tip(t), t.max_fee_per_gas())).collect();
    offers.dedup();
    // On a machine that is busy it may be raised once more while it is being mined.
    assert!(offers.len() >= 3, "{offers:?}");
    for pair in offers.windows(2) {
        assert!(pair[1].0 * 10 >= pair[0].0 * 11 && pair[1].1 * 10 >= pair[0].1 * 11, "{offers:?}");
    }
    assert!(seen.iter().all(|t| t.nonce() == 0 && t.input() == seen[0].input()));
    let mined = seen.iter().find(|t| *t.tx_hash() == receipt.transaction).unwrap();
    assert!(tip(mined) >= 1_200);
    // Whichever version one asks for, the answer is the one that was mined.
    for version in &seen {
        let found = town.settlement.receipt(*version.tx_hash()).await.unwrap();
        assert_eq!(found, Some(receipt));
    }
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(1));
    assert_eq!(town.nonce(minter().address()).await, 1);
}

#[tokio::test]
async fn the_first_version_counts_if_it_is_the_one_that_is_mined() {
    let town = Town::of(rich_keys(1), Town::eager()).await;
    let payee = party(&key(0x22));
    town.wire.charge(GWEI, 1_000);
    town.wire.with_mempool(u128::MAX, |_| {});
    let sending = {
        let settlement = town.settlement.clone();
        tokio::spawn(async move { settlement.mint(payee, musd(1)).await })
    };
    let first = loop {
        let seen = town.wire.with_mempool(0, |pool| pool.seen.clone());
        if seen.len() >= 2 {
            break seen[0].clone();
        }
        tokio::task::yield_now().await;
    };
    // A miner who never saw the second one takes the first.
    let raw = Bytes::from(alloy_eips::Encodable2718::encoded_2718(&first));
    town.rpc("eth_sendRawTransaction", serde_json::json!([raw])).await;
    let receipt = sending.await.unwrap().unwrap();
    assert_eq!(receipt.transaction, *first.tx_hash());
    town.wire.with_mempool(0, |pool| pool.ask(0));
    town.settlement.mint(payee, musd(1)).await.unwrap();
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(2));
    town.assert_no_gap().await;
}

#[tokio::test]
async fn raises_are_counted_and_end_below_the_limit() {
    let cases = [
        (SenderLimits { raises: 2, ..Town::eager() }, 3),
        (SenderLimits { raises: 0, ..Town::eager() }, 1),
        // 2.001 gwei, an eighth more, then nothing: 2.4 gwei is the most.
        (SenderLimits { most_fee_per_gas: 2_400_000_000, ..Town::eager() }, 2),
    ];
    for (limits, versions) in cases {
        let limits = SenderLimits { wait: std::time::Duration::from_millis(800), ..limits };
        let town = Town::of(rich_keys(1), limits).await;
        town.wire.charge(GWEI, 1_000_000);
        town.wire.with_mempool(u128::MAX, |_| {});
        let error = town.settlement.mint(party(&key(0x22)), musd(1)).await.unwrap_err();
        let SettlementError::Pending { transaction } = error else { panic!("{error}") };
        let seen = town.wire.with_mempool(0, |pool| pool.seen.clone());
        let hashes: std::collections::BTreeSet<_> = seen.iter().map(|t| *t.tx_hash()).collect();
        assert_eq!(hashes.len(), versions, "{limits:?}");
        assert!(seen.len() > versions, "it is sent again when it is raised no more");
        assert!(seen.iter().all(|t| t.max_fee_per_gas() <= limits.most_fee_per_gas));
        assert_eq!(transaction, *seen.last().unwrap().tx_hash());
        // It is kept: once the pool has room for it, a look is enough.
        town.wire.with_mempool(0, |pool| pool.ask(0));
        town.settlement.tend().await;
        while town.settlement.receipt(transaction).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn where_gas_is_free_the_same_bytes_are_sent_again() {
    let town = Town::with(Town::eager()).await;
    town.wire.with_mempool(1, |_| {});
    let sending = {
        let settlement = town.settlement.clone();
        tokio::spawn(async move { settlement.mint(party(&key(0x22)), musd(1)).await })
    };
    while town.wire.with_mempool(0, |pool| pool.seen.len()) < 3 {
        tokio::task::yield_now().await;
    }
    let seen = town.wire.with_mempool(0, |pool| pool.seen.clone());
    assert!(seen.iter().all(|t| t.tx_hash() == seen[0].tx_hash() && t.max_fee_per_gas() == 0));
    // The pool threw it away: a first time again, and now it is enough.
    town.wire.with_mempool(0, |pool| *pool = crate::town::mempool::Mempool::asking(0));
    let receipt = sending.await.unwrap().unwrap();
    assert_eq!(receipt.transaction, *seen[0].tx_hash());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_dropped_transaction_holds_up_the_others_no_longer_than_its_turn() {
    let town = Town::with(Town::eager()).await;
    let payee = party(&key(0x22));
    for _ in 0..5 {
        town.wire.break_next("eth_sendRawTransaction", Fault::Swallow);
    }
    let sends: Vec<_> = (0..20)
        .map(|_| {
            let settlement = town.settlement.clone();
            tokio::spawn(async move { settlement.mint(payee, musd(1)).await })
        })
        .collect();
    for send in sends {
        send.await.unwrap().unwrap();
    }
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(20));
    assert_eq!(town.nonce(minter().address()).await, 20);
    town.assert_no_gap().await;
}

#[tokio::test]
async fn a_broadcast_that_travels_twice_is_one_transaction() {
    for synchronous in [true, false] {
        let town = Town::with(SenderLimits::default()).await;
        let payee = party(&key(0x22));
        if !synchronous {
            town.wire.break_next("eth_sendRawTransactionSync", Fault::Refuse(-32601, "no"));
        }
        // The second answer says `already known`, or `nonce too low` if it was mined in between.
        for count in 1..=5 {
            town.wire.break_next(
                if synchronous { "eth_sendRawTransactionSync" } else { "eth_sendRawTransaction" },
                Fault::Twice,
            );
            town.settlement.mint(payee, musd(1)).await.unwrap();
            assert_eq!(town.nonce(minter().address()).await, count);
        }
        assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(5));
    }
}

#[tokio::test]
async fn what_a_node_says_of_a_transaction_that_it_has_is_no_refusal() {
    for words in ["already known", "already imported", "nonce too low: next nonce 1, tx nonce 0"] {
        let town = Town::with(Town::eager()).await;
        let payee = party(&key(0x22));
        town.wire.break_next("eth_sendRawTransactionSync", Fault::Refuse(-32601, "no"));
        // The node does it, its answer is lost, and to the second call it answers so.
        town.wire.break_next("eth_sendRawTransaction", Fault::Mute);
        town.wire.break_next("eth_getTransactionReceipt", Fault::Refuse(-32000, "busy"));
        town.wire.break_next("eth_sendRawTransaction", Fault::Refuse(-32000, words));
        town.settlement.mint(payee, musd(1)).await.unwrap();
        assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(1), "{words}");
        assert_eq!(town.nonce(minter().address()).await, 1, "{words}");
    }
}

#[tokio::test]
async fn a_nonce_that_waits_in_the_pool_since_an_earlier_life_is_passed_over() {
    let town = Town::with(Town::eager()).await;
    let payee = party(&key(0x22));
    // Before a crash, nonces 1 and 2 were sent, and nonce 0 never arrived.
    for nonce in [1, 2] {
        let earlier = signed(&minter(), nonce, Address::repeat_byte(1), Bytes::new());
        town.rpc("eth_sendRawTransaction", serde_json::json!([earlier])).await;
    }
    let sends: Vec<_> = (0..4)
        .map(|_| {
            let settlement = town.settlement.clone();
            tokio::spawn(async move { settlement.mint(payee, musd(1)).await })
        })
        .collect();
    for send in sends {
        send.await.unwrap().unwrap();
    }
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(4));
    assert_eq!(town.nonce(minter().address()).await, 6);
    town.assert_no_gap().await;
}

#[tokio::test]
async fn a_foreign_transaction_that_is_dropped_leaves_no_gap() {
    let town = Town::with(Town::eager()).await;
    let payee = party(&key(0x22));
    // The node names a nonce too high: what another program had pooled before it is gone since.
    town.settlement.mint(payee, musd(1)).await.unwrap();
    let words = "replacement transaction underpriced";
    town.wire.break_next("eth_sendRawTransaction", Fault::Refuse(-32000, words));
    // Nonce 1 is passed over, nonce 2 waits for it, and an empty transaction fills it.
    town.settlement.mint(payee, musd(1)).await.unwrap();
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(2));
    assert_eq!(town.nonce(minter().address()).await, 3);
    town.assert_no_gap().await;
}

#[tokio::test]
async fn a_raise_that_the_sender_cannot_pay_does_not_replace_what_it_can() {
    // An ether pays for 500,000 gas at 2,000 gwei, and not for an eighth more.
    let limits = SenderLimits { most_fee_per_gas: u128::MAX, ..Town::eager() };
    let town = Town::of(rich_keys(1), limits).await;
    let payee = party(&key(0x22));
    town.settlement.mint(payee, musd(1)).await.unwrap();
    // A mint takes some 60,000 gas with headroom: 8,000 gwei twice over nearly takes it all.
    town.wire.charge(8_000 * GWEI, 1_000);
    for _ in 0..3 {
        town.wire.break_next("eth_sendRawTransaction", Fault::Swallow);
    }
    town.settlement.mint(payee, musd(1)).await.unwrap();
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(2));
    town.assert_no_gap().await;
}
