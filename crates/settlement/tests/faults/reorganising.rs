//! A chain that forgets blocks: two real nodes, and a wire that moves from the one to the other.

use std::time::Duration;

use crate::town::{Fault, Town, authorize, key, minter, musd, node, party};
use alloy_primitives::Address;
use settlement::{AuthorizationState, Receipt, SenderLimits, SettlementError};
use tokio::task::JoinHandle;

/// Two blocks confirm a transaction.
fn careful() -> SenderLimits {
    SenderLimits { confirmations: Some(2), ..Town::eager() }
}

fn mint(town: &Town, minor: i128) -> JoinHandle<Result<Receipt, SettlementError>> {
    let settlement = town.settlement.clone();
    tokio::spawn(async move { settlement.mint(party(&key(0x22)), musd(minor)).await })
}

/// Waits until the node has so many transactions of the minter in blocks.
async fn mined(town: &Town, count: u64) {
    while town.nonce(minter().address()).await < count {
        tokio::task::yield_now().await;
    }
}

/// The chain forgets all blocks: another node goes on from the genesis, one idle block ahead.
async fn reorganise(town: Town) -> Town {
    let town = Town { node: node(town.clock.clone()), ..town };
    town.pass_blocks(1).await;
    town.wire.reorganise(town.node.clone());
    town
}

#[tokio::test]
async fn a_receipt_counts_when_enough_blocks_stand_on_it() {
    let town = Town::with(careful()).await;
    town.wire.call_final(0);
    let sending = mint(&town, 1);
    mined(&town, 1).await;
    assert_eq!(town.settlement.safe_head().await.unwrap(), 0);
    // Nothing but its own block: it is looked at many times, and does not count.
    let before = town.wire.requests.load(std::sync::atomic::Ordering::SeqCst);
    while town.wire.requests.load(std::sync::atomic::Ordering::SeqCst) < before + 40 {
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished());
    town.pass_blocks(2).await;
    assert_eq!(sending.await.unwrap().unwrap().block, 1);
    assert_eq!(town.settlement.safe_head().await.unwrap(), 1);
    assert_eq!(town.nonce(minter().address()).await, 1, "it was not sent twice");
}

#[tokio::test]
async fn a_block_that_the_node_calls_final_needs_no_other_on_it() {
    let town = Town::with(careful()).await;
    // The node is its own: what it seals is final, and no other block ever comes.
    assert_eq!(town.settlement.mint(party(&key(0x22)), musd(1)).await.unwrap().block, 1);
    assert_eq!(town.settlement.safe_head().await.unwrap(), 1);
}

#[tokio::test]
async fn a_transaction_whose_block_vanishes_is_sent_again() {
    let town = Town::with(careful()).await;
    town.wire.call_final(0);
    let sending = mint(&town, 1);
    mined(&town, 1).await;
    let town = reorganise(town).await;
    // The same bytes land on the other branch, above its idle block.
    mined(&town, 1).await;
    assert!(!sending.is_finished());
    town.pass_blocks(2).await;
    let receipt = sending.await.unwrap().unwrap();
    assert_eq!(receipt.block, 2);
    assert_eq!(town.settlement.balance(party(&key(0x22))).await.unwrap(), musd(1));
    town.assert_no_gap().await;
}

#[tokio::test]
async fn a_transaction_that_is_mined_and_not_deep_enough_stays_pending_and_is_kept() {
    let limits = SenderLimits { wait: Duration::from_millis(500), ..careful() };
    let town = Town::with(limits).await;
    town.wire.call_final(0);
    let error = mint(&town, 1).await.unwrap().unwrap_err();
    let SettlementError::Pending { transaction } = error else { panic!("{error}") };
    assert!(matches!(town.settlement.receipt(transaction).await, Ok(Some(_))));
    // Its block goes while nobody waits; a look brings it back.
    let town = reorganise(town).await;
    assert_eq!(town.settlement.receipt(transaction).await.unwrap(), None);
    town.settlement.tend().await;
    mined(&town, 1).await;
    assert!(matches!(town.settlement.receipt(transaction).await, Ok(Some(_))));
    assert_eq!(town.settlement.balance(party(&key(0x22))).await.unwrap(), musd(1));
}

#[tokio::test]
async fn a_deeper_reorganisation_leaves_no_gap_and_the_next_one_brings_back_what_was_lost() {
    let limits = SenderLimits { confirmations: Some(0), ..Town::eager() };
    let town = Town::with(limits).await;
    let payee = party(&key(0x22));
    for _ in 0..5 {
        mint(&town, 1).await.unwrap().unwrap();
    }
    let town = reorganise(town).await;
    assert!(town.settlement.balance(payee).await.unwrap().is_zero());
    // Nonce 5 can be mined only after nonces 0 to 4, which were reported as mined.
    mint(&town, 10).await.unwrap().unwrap();
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(15));
    assert_eq!(town.nonce(minter().address()).await, 6);
    town.assert_no_gap().await;
}

#[tokio::test]
async fn an_authorization_is_neither_used_nor_unused_until_its_block_is_safe() {
    let town = Town::with(careful()).await;
    let payer = key(0x33);
    town.settlement.mint(party(&payer), musd(100)).await.unwrap();
    town.wire.call_final(1);
    let order = authorize(&payer, Address::repeat_byte(9), 40, 1);
    let sending = {
        let (settlement, order) = (town.settlement.clone(), order.clone());
        tokio::spawn(async move { settlement.transfer_with_authorization(&order).await })
    };
    mined(&town, 2).await;
    let state = town.settlement.authorization(order.from, order.nonce, 0).await;
    assert!(matches!(state, Err(SettlementError::Pending { .. })), "{state:?}");
    let (payer_party, settlement) = (party(&payer), &town.settlement);
    assert_eq!(settlement.balance(payer_party).await.unwrap(), musd(60));
    assert_eq!(settlement.settled_balance(payer_party).await.unwrap(), musd(100));
    town.pass_blocks(2).await;
    assert_eq!(settlement.settled_balance(payer_party).await.unwrap(), musd(60));
    let receipt = sending.await.unwrap().unwrap();
    let state = town.settlement.authorization(order.from, order.nonce, 0).await.unwrap();
    assert!(
        matches!(state, AuthorizationState::Used { transaction, .. } if transaction == receipt.transaction)
    );
}

#[tokio::test]
async fn a_node_that_falls_silent_is_not_taken_for_one_that_forgot() {
    let town = Town::with(careful()).await;
    town.wire.call_final(0);
    let sending = mint(&town, 1);
    mined(&town, 1).await;
    let sent = || town.wire.with_mempool(0, |pool| pool.seen.len());
    assert_eq!(sent(), 0, "from here on broadcasts are counted");
    town.wire.follow(Some(Box::new(|method| {
        method.starts_with("eth_getTransactionReceipt").then_some(Fault::Refuse(-32000, "busy"))
    })));
    town.pass_blocks(1).await;
    let before = town.wire.requests.load(std::sync::atomic::Ordering::SeqCst);
    while town.wire.requests.load(std::sync::atomic::Ordering::SeqCst) < before + 20 {
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished());
    town.wire.follow(None);
    town.pass_blocks(1).await;
    sending.await.unwrap().unwrap();
    assert_eq!(town.nonce(minter().address()).await, 1);
}
