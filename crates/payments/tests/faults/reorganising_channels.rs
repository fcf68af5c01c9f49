//! Channels on a chain that takes back blocks: deposits, claims and refunds whose block vanishes
//! before it counts. Two confirmations are asked for; the fork is `reorganising`'s.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy_primitives::B256;
use alloy_signer_local::PrivateKeySigner;
use mandates::books::Line;
use payments::channel::{Collect, SCHEME, TillLimits};
use payments::{BuyerLimits, EmbeddedFacilitator, Facilitator, GateLimits};
use serde_json::{Value, json};
use settlement::SenderLimits;

use super::reorganising::{Fork, forked, passes, reorganise};
use crate::town::shop::Shop;
use crate::town::vouchers::{COSTS, Client};
use crate::town::{self, PRICE, Town, canal, musd, seller};

const PRICED: i128 = PRICE as i128;

/// A facilitator elsewhere, which calls done what stands in the newest block, and follows nothing.
async fn hasty(town: &Town, fork: &Arc<Fork>) -> Arc<dyn Facilitator> {
    let limits = SenderLimits { confirmations: Some(0), ..SenderLimits::default() };
    let key = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x79)).unwrap();
    let chain = town::connect_by(fork.clone(), key, limits).await;
    Arc::new(EmbeddedFacilitator::new(chain, town.clock.clone()))
}

/// Seals a block every few milliseconds until something is done.
async fn as_blocks_pass<T>(town: &Town, doing: impl Future<Output = T>) -> T {
    tokio::pin!(doing);
    loop {
        tokio::select! {
            biased;
            done = &mut doing => return done,
            () = tokio::time::sleep(Duration::from_millis(5)) => passes(town, 1).await,
        }
    }
}

/// Waits until the chain's newest block has it so.
async fn until<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    while !is_so().await {
        tokio::task::yield_now().await;
    }
}

/// Somebody with money and without a channel.
async fn with_money(town: &Town, number: u8) -> Client {
    let client = Client::new(town, number, 1);
    town.give(client.key.party(), musd(10 * PRICED)).await;
    client
}

/// A shop and a client that has bought one piece of work from a channel of ten prices, all of it in
/// blocks that count; and how many transactions that took.
async fn after_a_sale(
    town: &Town,
    fork: &Fork,
    facilitator: Arc<dyn Facilitator>,
) -> (Shop, Client, usize) {
    let shop =
        town.channel_shop_with(facilitator, GateLimits::default(), TillLimits::default()).await;
    let client = with_money(town, 0x31).await;
    let deposit = client.deposit(town, 10 * COSTS, COSTS, 1);
    let answer = as_blocks_pass(town, shop.pay(&deposit, "job:1")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let kept = fork.sent.lock().unwrap().len();
    (shop, client, kept)
}

/// A transaction that a facilitator has forgotten comes to the chain after all.
async fn comes_after_all(town: &Town, raw: &Value) {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync", "params": [raw] });
    let answer = town.node.request(request).await;
    assert!(answer.get("error").is_none(), "{answer}");
}

async fn is_whole(town: &Town) {
    passes(town, 3).await;
    town.is_whole(&[seller()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voucher_buys_nothing_before_its_deposit_counts() {
    let (town, fork) = forked(2).await;
    let (shop, elsewhere) = (town.channel_shop().await, hasty(&town, &fork).await);
    let client = with_money(&town, 0x31).await;
    passes(&town, 3).await;
    let kept = fork.sent.lock().unwrap().len();
    let deposit = client.deposit(&town, 10 * COSTS, COSTS, 1);
    assert!(elsewhere.settle(&deposit, &client.asked).await.unwrap().success);
    let before = town.digest();
    for _ in 0..2 {
        let answer = shop.pay(&client.voucher(COSTS), "job:1").await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.text.contains("does not count yet"), "{answer:?}");
        passes(&town, 1).await;
    }
    let raw = fork.sent.lock().unwrap()[kept].clone();
    let town = reorganise(town, &fork, kept).await;
    let answer = shop.pay(&client.voucher(COSTS), "job:1").await;
    assert_eq!(answer.status, 402, "its block is gone: {answer:?}");
    assert_eq!((shop.work.count(), town.digest()), (0, before), "nothing was sold or written");
    fork.goes_on();
    comes_after_all(&town, &raw).await;
    assert_eq!(shop.pay(&client.voucher(COSTS), "job:1").await.status, 503);
    passes(&town, 2).await;
    assert_eq!(shop.pay(&client.voucher(COSTS), "job:1").await.status, 200);
    assert_eq!((shop.work.count(), town.unearned(&client.config)), (1, (9 * PRICED, 0)));
    is_whole(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_counts_is_spent_while_more_is_on_its_way() {
    let (town, fork) = forked(2).await;
    let elsewhere = hasty(&town, &fork).await;
    let (shop, client, _) = after_a_sale(&town, &fork, town.channel_facilitator()).await;
    town.give(client.key.party(), musd(5 * PRICED)).await;
    let more = client.deposit(&town, 5 * COSTS, 2 * COSTS, 2);
    assert!(elsewhere.settle(&more, &client.asked).await.unwrap().success);
    // The shop looks at the chain anew, and leaves out what may vanish.
    town.clock.advance(TillLimits::default().fresh_for * 2);
    for number in 2..=10 {
        let answer = shop.pay(&client.voucher(number * COSTS), &format!("job:{number}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let eleventh = client.voucher(11 * COSTS);
    assert_eq!(shop.pay(&eleventh, "job:11").await.status, 503);
    passes(&town, 3).await;
    assert_eq!(shop.pay(&eleventh, "job:11").await.status, 200);
    assert_eq!(shop.work.count(), 11);
    is_whole(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposit_that_somebody_elsewhere_calls_done_is_waited_for_until_it_counts() {
    let (town, fork) = forked(2).await;
    let facilitator = hasty(&town, &fork).await;
    let shop =
        town.channel_shop_with(facilitator, GateLimits::default(), TillLimits::default()).await;
    let client = with_money(&town, 0x31).await;
    passes(&town, 3).await;
    let kept = fork.sent.lock().unwrap().len();
    let asked = fork.receipts.load(Ordering::SeqCst);
    let paying = {
        let request = shop.request(&client.deposit(&town, 10 * COSTS, COSTS, 1), "job:1");
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    };
    // The gate has seen it in its block, and waits.
    until(async || fork.receipts.load(Ordering::SeqCst) > asked + 1).await;
    let raw = fork.sent.lock().unwrap()[kept].clone();
    let town = reorganise(town, &fork, kept).await;
    fork.goes_on();
    passes(&town, 5).await;
    assert!(!paying.is_finished());
    assert_eq!((shop.work.count(), town.unearned(&client.config)), (0, (0, 0)));
    assert_eq!(canal::in_channels(&town).await, 0, "the block is gone");
    comes_after_all(&town, &raw).await;
    assert_eq!(as_blocks_pass(&town, paying).await.unwrap(), 200);
    assert_eq!((shop.work.count(), town.unearned(&client.config)), (1, (9 * PRICED, 0)));
    is_whole(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposit_whose_block_vanishes_is_made_once_by_our_own_facilitator() {
    let (town, fork) = forked(2).await;
    let shop = town.channel_shop().await;
    let client = with_money(&town, 0x31).await;
    passes(&town, 3).await;
    let kept = fork.sent.lock().unwrap().len();
    let paying = {
        let request = shop.request(&client.deposit(&town, 10 * COSTS, COSTS, 1), "job:1");
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    };
    until(async || canal::in_channels(&town).await == 10 * PRICED).await;
    let town = reorganise(town, &fork, kept).await;
    assert_eq!(canal::in_channels(&town).await, 0, "the block is gone");
    assert!(!paying.is_finished());
    fork.goes_on();
    assert_eq!(as_blocks_pass(&town, paying).await.unwrap(), 200);
    assert_eq!((shop.work.count(), town.unearned(&client.config)), (1, (9 * PRICED, 0)));
    assert_eq!(canal::in_channels(&town).await, 10 * PRICED);
    is_whole(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_block_vanishes_is_made_again_and_paid_out_once() {
    let (town, fork) = forked(2).await;
    let (shop, client, kept) = after_a_sale(&town, &fork, town.channel_facilitator()).await;
    let collecting = {
        let gate = shop.gate.clone();
        tokio::spawn(async move { gate.collect(Collect::All).await })
    };
    until(async || town.on_chain(&client.config).await.total_claimed == COSTS).await;
    let town = reorganise(town, &fork, kept).await;
    assert_eq!(town.on_chain(&client.config).await.total_claimed, 0, "the block is gone");
    fork.goes_on();
    let collected = as_blocks_pass(&town, collecting).await.unwrap();
    assert_eq!((collected.claimed, collected.failed), (COSTS, 0));
    assert_eq!(town.owns(seller()).await, PRICED);
    is_whole(&town).await;
    assert_eq!(town.line(seller(), Line::Cash), (PRICED, 0));
    assert_eq!(shop.gate.collect(Collect::All).await.transactions, 0, "nothing is left to claim");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_whose_block_vanishes_is_made_again_and_booked_once() {
    let (town, fork) = forked(2).await;
    let (shop, client, kept) = after_a_sale(&town, &fork, town.channel_facilitator()).await;
    let refunding = {
        let request = shop.request(&client.refund(COSTS, None), "");
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    };
    until(async || town.owns(client.key.party()).await == 9 * PRICED).await;
    // Set aside for it, and not gone from the books.
    assert_eq!(town.unearned(&client.config), (9 * PRICED, 9 * PRICED));
    let town = reorganise(town, &fork, kept).await;
    assert_eq!(town.owns(client.key.party()).await, 0, "the block is gone");
    assert_eq!(town.unearned(&client.config), (9 * PRICED, 9 * PRICED));
    fork.goes_on();
    assert_eq!(as_blocks_pass(&town, refunding).await.unwrap(), 200);
    assert_eq!(town.owns(client.key.party()).await, 9 * PRICED);
    assert_eq!(town.unearned(&client.config), (0, 0));
    is_whole(&town).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_that_somebody_elsewhere_calls_done_stays_set_aside_until_it_counts() {
    let (town, fork) = forked(2).await;
    let facilitator = hasty(&town, &fork).await;
    let (shop, client, kept) = after_a_sale(&town, &fork, facilitator).await;
    passes(&town, 3).await;
    assert_eq!(shop.pay(&client.refund(COSTS, None), "").await.status, 200);
    assert_eq!(town.owns(client.key.party()).await, 9 * PRICED);
    assert_eq!(town.unearned(&client.config), (9 * PRICED, 9 * PRICED));
    shop.gate.recover(seller()).await;
    let raw = fork.sent.lock().unwrap()[kept].clone();
    let town = reorganise(town, &fork, kept).await;
    fork.goes_on();
    passes(&town, 5).await;
    shop.gate.recover(seller()).await;
    assert_eq!(town.unearned(&client.config), (9 * PRICED, 9 * PRICED), "it may come again");
    // Meanwhile nothing is sold on what is to go back.
    assert_ne!(shop.pay(&client.voucher(2 * COSTS), "job:2").await.status, 200);
    comes_after_all(&town, &raw).await;
    shop.gate.recover(seller()).await;
    passes(&town, 3).await;
    shop.gate.recover(seller()).await;
    assert_eq!(town.unearned(&client.config), (0, 0));
    is_whole(&town).await;
}

/// Its seller delivers on a deposit that the buyer does not count yet. When it counts, so does what
/// was delivered: the same request buys new work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_delivered_before_its_deposit_counted_is_not_bought_again() {
    let (mut town, fork) = forked(0).await;
    let shop = town.channel_shop().await;
    let everything = musd(100 * PRICED);
    drop(town.buyer_with(0x41, everything, everything, BuyerLimits::default()).await);
    passes(&town, 4).await;
    let limits = SenderLimits { confirmations: Some(3), ..SenderLimits::default() };
    town.chain = town::connect_by(fork.clone(), town::sender(), limits).await;
    let buyer = town.same_buyer(0x41, BuyerLimits::default());
    let buy = async || buyer.buy_by(&shop.purchase("job:same"), Some(SCHEME)).await;
    let first = buy().await.unwrap();
    let book = || buyer.channels().unwrap()[0].book;
    assert_eq!(book().balance.minor(), 0, "its block may vanish");
    passes(&town, 4).await;
    let found = town.bookkeeper(&[buyer.party()]).reconcile(true).await.unwrap();
    assert_eq!((found.posted, book().held.minor()), (1, PRICED), "{found:?}");
    let second = buy().await.unwrap();
    assert_ne!(first.body, second.body, "the same answer was paid for twice");
    let names = [first, second].map(|bought| bought.paid.unwrap().reference);
    assert_ne!(names[0], names[1]);
    assert_eq!(shop.work.count(), 2);
    assert_eq!((book().charged.minor(), book().held.minor()), (2 * PRICED, 0));
}
