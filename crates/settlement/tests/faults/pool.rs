//! Several sending keys as one sender: who sends, and what happens to the others when one sticks.

use std::collections::{BTreeMap, BTreeSet};

use crate::town::{Fault, Town, authorize, key, minter, musd, party, rich_keys};
use alloy_primitives::{Address, U256};
use settlement::{Receipt, SenderLimits, SendingKeys, Settlement, SettlementError};

const PAYEE: Address = Address::repeat_byte(9);

/// A payment of one unit that any key may carry.
async fn pay(settlement: Settlement, nonce: u64) -> Result<Receipt, SettlementError> {
    settlement.transfer_with_authorization(&authorize(&key(0x33), PAYEE, 1, nonce)).await
}

async fn counts(town: &Town) -> Vec<u64> {
    let mut counts = Vec::new();
    for sender in town.settlement.senders() {
        counts.push(town.nonce(sender).await);
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_sends_at_once_over_four_keys_are_all_mined_once() {
    let town = Town::of(rich_keys(4), SenderLimits::default()).await;
    town.settlement.mint(party(&key(0x33)), musd(200)).await.unwrap();
    assert_eq!(town.settlement.senders().len(), 4);
    let sends: Vec<_> =
        (0..200).map(|number| tokio::spawn(pay(town.settlement.clone(), number))).collect();
    let mut transactions = BTreeSet::new();
    for send in sends {
        transactions.insert(send.await.unwrap().unwrap().transaction);
    }
    assert_eq!(transactions.len(), 200);
    assert_eq!(town.settlement.balance(PAYEE.into()).await.unwrap(), musd(200));
    // The mint was the first key's; else they took as many each, give or take who was done first.
    let counts = counts(&town).await;
    assert_eq!(counts.iter().sum::<u64>(), 201);
    assert!(counts.iter().all(|count| (30..=70).contains(count)), "{counts:?}");
    town.assert_no_gap().await;
}

#[tokio::test]
async fn idle_keys_send_in_turn_and_a_call_that_knows_its_caller_comes_from_the_first() {
    // A key that is named twice is one key.
    let keys = SendingKeys::pool(minter(), [key(0x12), minter(), key(0x13), key(0x12)]);
    let town = Town::of(keys, SenderLimits::default()).await;
    let addresses = [minter(), key(0x12), key(0x13)].map(|key| key.address());
    assert_eq!(town.settlement.senders(), addresses);
    assert_eq!(town.settlement.sender(), addresses[0]);
    for _ in 0..3 {
        town.settlement.mint(party(&key(0x33)), musd(10)).await.unwrap();
    }
    assert_eq!(counts(&town).await, [3, 0, 0]);
    for number in 0..6 {
        pay(town.settlement.clone(), number).await.unwrap();
    }
    assert_eq!(counts(&town).await, [5, 2, 2]);
}

#[tokio::test]
async fn a_key_that_sticks_is_left_alone_until_it_is_free() {
    let town = Town::of(rich_keys(3), Town::hasty()).await;
    town.settlement.mint(party(&key(0x33)), musd(100)).await.unwrap();
    town.wire.break_next("eth_sendRawTransaction", Fault::Swallow);
    // The first of three sticks, and its key has the other two before it.
    let error = pay(town.settlement.clone(), 0).await.unwrap_err();
    assert!(matches!(error, SettlementError::Pending { .. }), "{error}");
    // Nothing that the chain says of it reaches us, so the key stays stuck.
    town.wire.follow(Some(Box::new(|method| {
        (method == "eth_getTransactionReceipt").then_some(Fault::Refuse(-32000, "busy"))
    })));
    for number in 1..7 {
        pay(town.settlement.clone(), number).await.unwrap();
    }
    let mut sent = counts(&town).await;
    sent.sort_unstable();
    assert_eq!(sent.iter().sum::<u64>(), 7);
    assert!(sent[1] >= 3, "two keys did all the work: {sent:?}");
    // Once it hears again, what was lost is sent again by the next look, and all keys work.
    town.wire.follow(None);
    town.settlement.tend().await;
    for number in 7..13 {
        pay(town.settlement.clone(), number).await.unwrap();
    }
    assert_eq!(town.settlement.balance(PAYEE.into()).await.unwrap(), musd(13));
    assert!(counts(&town).await.iter().all(|count| *count >= 2));
    town.assert_no_gap().await;
}

#[tokio::test]
async fn a_key_without_ether_is_passed_over_where_gas_costs() {
    let poor = key(0x44);
    let town = Town::of(SendingKeys::pool(minter(), [poor.clone()]), SenderLimits::default()).await;
    town.settlement.mint(party(&key(0x33)), musd(100)).await.unwrap();
    town.wire.charge(1_000_000_000, 1_000_000);
    for number in 0..8 {
        pay(town.settlement.clone(), number).await.unwrap();
    }
    assert_eq!(counts(&town).await, [9, 0]);
    // Alone, it says what is missing, and keeps its nonce.
    let alone = Town::of(poor.clone(), SenderLimits::default()).await;
    alone.wire.charge(1_000_000_000, 1_000_000);
    let error = alone.settlement.transfer_with_authorization(&authorize(&poor, PAYEE, 0, 0)).await;
    let error = error.unwrap_err();
    assert!(
        matches!(&error, SettlementError::Refused { message, .. } if message.contains("insufficient funds")),
        "{error}"
    );
    assert_eq!(alone.nonce(poor.address()).await, 0);
}

#[tokio::test]
async fn gas_above_the_limit_is_not_bought() {
    let limits = SenderLimits { most_fee_per_gas: 3_000_000_000, ..SenderLimits::default() };
    let town = Town::of(rich_keys(2), limits).await;
    let payee = party(&key(0x33));
    town.wire.charge(3_000_000_000, 1);
    let error = town.settlement.mint(payee, musd(1)).await.unwrap_err();
    assert_eq!(
        error,
        SettlementError::GasTooDear { asked: 3_000_000_001, most: 3_000_000_000 },
        "{error}"
    );
    assert!(error.may_succeed_later());
    assert_eq!(town.node.block_number(), 0);
    // Twice the base fee would be above it, the base fee itself is not.
    town.wire.charge(2_900_000_000, 1_000_000);
    let receipt = town.settlement.mint(payee, musd(1)).await.unwrap();
    let sent = town.rpc("eth_getTransactionByHash", serde_json::json!([receipt.transaction])).await;
    let offered: U256 = serde_json::from_value(sent["maxFeePerGas"].clone()).unwrap();
    assert_eq!(offered, U256::from(3_000_000_000_u64));
}

#[tokio::test]
async fn every_key_of_a_pool_has_nonces_of_its_own() {
    let town = Town::of(rich_keys(2), SenderLimits::default()).await;
    town.settlement.mint(party(&key(0x33)), musd(100)).await.unwrap();
    // One key's transaction is refused; the other's are none of its business.
    for number in 0..4 {
        if number == 1 {
            town.wire.break_next("eth_sendRawTransaction", Fault::Refuse(-32000, "txpool is full"));
            let error = pay(town.settlement.clone(), number).await.unwrap_err();
            assert!(matches!(error, SettlementError::Refused { .. }), "{error}");
        }
        pay(town.settlement.clone(), number).await.unwrap();
    }
    let by_key: BTreeMap<_, _> =
        town.settlement.senders().into_iter().zip(counts(&town).await).collect();
    assert_eq!(by_key.values().sum::<u64>(), 5);
    town.assert_no_gap().await;
}

#[tokio::test]
async fn one_order_over_two_keys_moves_money_once_and_the_later_one_is_said_to_have_failed() {
    let town = Town::of(rich_keys(2), SenderLimits::default()).await;
    town.settlement.mint(party(&key(0x33)), musd(100)).await.unwrap();
    // Both are tried, and would succeed, before either is sent.
    town.wire.break_next("eth_sendRawTransaction", Fault::Late(200));
    town.wire.break_next("eth_sendRawTransaction", Fault::Late(200));
    let (one, other) =
        tokio::join!(pay(town.settlement.clone(), 1), pay(town.settlement.clone(), 1));
    let (paid, failed) = if one.is_ok() { (one, other) } else { (other, one) };
    let transaction = paid.unwrap().transaction;
    let Err(SettlementError::Reverted { transaction: Some(reverted), .. }) = failed else {
        panic!("{failed:?}")
    };
    assert_ne!(transaction, reverted);
    assert_eq!(town.settlement.balance(PAYEE.into()).await.unwrap(), musd(1));
    town.assert_no_gap().await;
}
