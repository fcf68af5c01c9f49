//! Many transactions from one key at once, and what becomes of their nonces when things fail.

mod town;

use std::time::Duration;

use alloy_primitives::{Address, B256};
use settlement::{AuthorizationState, SenderLimits, SettlementError};
use town::{Fault, Town, authorize, key, minter, musd, party};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_concurrent_sends_are_all_mined_without_a_gap() {
    let town = Town::begin().await;
    let payee = party(&key(0x22));
    let sends = (0..100).map(|_| {
        let settlement = town.settlement.clone();
        tokio::spawn(async move { settlement.mint(payee, musd(7)).await })
    });
    let sends: Vec<_> = sends.collect();
    let mut transactions = std::collections::BTreeSet::new();
    for send in sends {
        let receipt = send.await.unwrap().unwrap();
        assert!(receipt.block > 0 && receipt.gas_used > 21_000);
        transactions.insert(receipt.transaction);
    }
    assert_eq!(transactions.len(), 100);
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(700));
    assert_eq!(town.nonce(minter().address()).await, 100);
}

#[tokio::test]
async fn a_refused_transaction_gives_its_nonce_back() {
    let town = Town::begin().await;
    let payee = party(&key(0x22));
    town.settlement.mint(payee, musd(1)).await.unwrap();
    town.wire.break_next("eth_sendRawTransaction", Fault::Refuse(-32000, "txpool is full"));
    let error = town.settlement.mint(payee, musd(1)).await.unwrap_err();
    assert!(
        matches!(&error, SettlementError::Refused { code: -32000, message, .. } if message == "txpool is full"),
        "{error}"
    );
    assert!(!error.may_succeed_later());
    // The next one takes the nonce that came back; were it lost, this would never be mined.
    town.settlement.mint(payee, musd(1)).await.unwrap();
    assert_eq!(town.nonce(minter().address()).await, 2);
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refusals_amid_concurrent_sends_leave_no_gap() {
    let town = Town::begin().await;
    let payee = party(&key(0x22));
    for _ in 0..5 {
        town.wire.break_next("eth_sendRawTransaction", Fault::Refuse(-32000, "txpool is full"));
    }
    let sends: Vec<_> = (0..40)
        .map(|_| {
            let settlement = town.settlement.clone();
            tokio::spawn(async move { settlement.mint(payee, musd(1)).await })
        })
        .collect();
    let mut mined = 0;
    for send in sends {
        match send.await.unwrap() {
            Ok(_) => mined += 1,
            Err(SettlementError::Refused { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(mined >= 35);
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(mined));
    town.settlement.mint(payee, musd(1)).await.unwrap();
}

#[tokio::test]
async fn what_would_revert_is_never_sent() {
    let town = Town::begin().await;
    let payer = key(0x33);
    let broke = authorize(&payer, Address::repeat_byte(9), 5, 1);
    for result in [
        town.settlement.simulate(&broke).await,
        town.settlement.transfer_with_authorization(&broke).await.map(drop),
    ] {
        let error = result.unwrap_err();
        assert!(
            matches!(&error, SettlementError::Reverted { transaction: None, data, .. } if !data.is_empty()),
            "{error}"
        );
    }
    assert_eq!(town.nonce(minter().address()).await, 0);
    assert_eq!(town.node.block_number(), 0);
}

#[tokio::test]
async fn a_caller_who_gives_up_leaves_no_gap_behind() {
    let town = Town::begin().await;
    let payee = party(&key(0x22));
    // The answer to the broadcast is lost on a caller who has gone before it came.
    for _ in 0..20 {
        let send = town.settlement.mint(payee, musd(1));
        let _ = tokio::time::timeout(Duration::from_micros(300), send).await;
    }
    town.settlement.mint(payee, musd(1)).await.unwrap();
    let nonce = town.nonce(minter().address()).await;
    let minted = town.settlement.balance(payee).await.unwrap().minor();
    assert_eq!(i128::from(nonce), minted);
}

#[tokio::test]
async fn a_transaction_of_open_fate_is_pending_and_sent_again_before_the_next() {
    for (fault, lost) in [(Fault::Swallow, true), (Fault::Mute, false)] {
        let town = Town::with(Town::hasty()).await;
        let payee = party(&key(0x22));
        town.wire.break_next("eth_sendRawTransaction", fault);
        // The last look, when the wait is over, tells nothing either.
        town.wire.break_next("eth_getTransactionReceipt", Fault::Swallow);
        let error = town.settlement.mint(payee, musd(1)).await.unwrap_err();
        let SettlementError::Pending { transaction } = error else { panic!("{error}") };
        assert!(error.may_succeed_later() && transaction != B256::ZERO);
        let balance = town.settlement.balance(payee).await.unwrap();
        assert_eq!(balance, musd(if lost { 0 } else { 1 }));
        // Without the first one's bytes the second could never be mined.
        town.settlement.mint(payee, musd(10)).await.unwrap();
        assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(11));
        assert_eq!(town.nonce(minter().address()).await, 2);
    }
}

#[tokio::test]
async fn an_answer_that_broke_off_is_looked_for_on_the_chain() {
    let town = Town::begin().await;
    let payee = party(&key(0x22));
    town.wire.break_next("eth_sendRawTransaction", Fault::Garble);
    let receipt = town.settlement.mint(payee, musd(1)).await.unwrap();
    assert_eq!(receipt.block, 1);
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(1));
}

#[tokio::test]
async fn nonces_that_another_program_spent_are_skipped() {
    let town = Town::begin().await;
    let payee = party(&key(0x22));
    town.settlement.mint(payee, musd(1)).await.unwrap();
    for _ in 0..3 {
        town.transact(&minter(), Address::repeat_byte(1), Default::default()).await;
    }
    town.settlement.mint(payee, musd(1)).await.unwrap();
    assert_eq!(town.nonce(minter().address()).await, 5);
}

#[tokio::test]
async fn a_node_without_synchronous_sending_is_asked_for_the_receipt() {
    let town = Town::begin().await;
    let payee = party(&key(0x22));
    town.wire.break_next("eth_sendRawTransactionSync", Fault::Refuse(-32601, "no such method"));
    town.settlement.mint(payee, musd(1)).await.unwrap();
    town.settlement.mint(payee, musd(1)).await.unwrap();
    assert_eq!(town.settlement.balance(payee).await.unwrap(), musd(2));
}

#[tokio::test]
async fn a_node_that_hangs_is_not_waited_for_without_end() {
    let limits = SenderLimits { wait: Duration::from_millis(50), ..SenderLimits::default() };
    let town = Town::with(limits).await;
    town.wire.break_next("eth_estimateGas", Fault::Swallow);
    let error = town.settlement.mint(party(&key(2)), musd(1)).await.unwrap_err();
    assert!(
        matches!(&error, SettlementError::Unreachable { cause, .. } if cause.contains("in time"))
    );
    town.settlement.mint(party(&key(2)), musd(1)).await.unwrap();
}

#[tokio::test]
async fn an_authorization_moves_money_once() {
    let town = Town::begin().await;
    let (payer, payee) = (key(0x33), Address::repeat_byte(9));
    town.settlement.mint(party(&payer), musd(100)).await.unwrap();
    let order = authorize(&payer, payee, 40, 1);
    let state = town.settlement.authorization(order.from, order.nonce, 0).await.unwrap();
    assert_eq!(state, AuthorizationState::Unused);
    let receipt = town.settlement.transfer_with_authorization(&order).await.unwrap();
    assert_eq!(
        town.settlement.authorization(order.from, order.nonce, 0).await.unwrap(),
        AuthorizationState::Used {
            transaction: receipt.transaction,
            block: receipt.block,
            to: payee,
            value: order.value
        }
    );
    assert!(matches!(
        town.settlement.transfer_with_authorization(&order).await,
        Err(SettlementError::Reverted { transaction: None, .. })
    ));
    assert_eq!(town.settlement.balance(payee.into()).await.unwrap(), musd(40));
}
