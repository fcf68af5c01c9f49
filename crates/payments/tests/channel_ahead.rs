//! Many purchases from one channel at once: no answer is waited for, none corrects, and whatever is
//! lost or fails, the books are the seller's and the chain's.

use crate::town;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mandates::books::Line;
use payments::channel::wallet::ChannelPolicy;
use payments::channel::{self, Collect};
use payments::{Bought, BuyError, Buyer, BuyerLimits};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use town::meddler::{Meddler, Meddling};
use town::shop::Shop;
use town::{PRICE, Town, canal, musd, seller};

const COST: i128 = PRICE as i128;
const WALLET: i128 = 400 * COST;
const CHANNEL: Option<&str> = Some(channel::SCHEME);

fn limits(lanes: u16) -> BuyerLimits {
    let channels = ChannelPolicy { lanes, deposit_prices: 100, ..ChannelPolicy::default() };
    let request_wait = Duration::from_secs(60);
    BuyerLimits { attempts: 2, request_wait, channels, ..BuyerLimits::default() }
}

/// A buyer that runs ahead, in a channel that its first purchase has opened.
async fn scene(lanes: u16) -> (Town, Shop, Arc<Buyer>) {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let buyer = town.buyer_with(0x41, musd(WALLET), musd(2 * WALLET), limits(lanes)).await;
    let buyer = Arc::new(buyer);
    buyer.buy_by(&shop.purchase("job:first"), CHANNEL).await.unwrap();
    shop.work.begins().await;
    (town, shop, buyer)
}

fn figures(buyer: &Buyer) -> (i128, i128, i128) {
    let mut channels = buyer.channels().unwrap();
    assert_eq!(channels.len(), 1, "{channels:?}");
    let channel = channels.remove(0);
    assert_eq!(channel.stopped, None);
    (channel.book.balance.minor(), channel.book.charged.minor(), channel.book.held.minor())
}

fn all_at_once(
    buyer: &Arc<Buyer>,
    purchases: impl Iterator<Item = payments::Purchase>,
) -> JoinSet<Result<Bought, BuyError>> {
    let mut tasks = JoinSet::new();
    for purchase in purchases {
        let buyer = buyer.clone();
        tasks.spawn(async move { buyer.buy_by(&purchase, CHANNEL).await });
    }
    tasks
}

/// The seller's sales, claimed, and both books equal to the chain.
async fn is_equal(town: &Town, shop: &Shop, buyer: &Buyer) -> i128 {
    let (_, charged, held) = figures(buyer);
    assert_eq!(held, 0);
    assert_eq!(town.line(seller(), Line::Sales), (charged, 0));
    assert_eq!(town.line(buyer.party(), Line::Purchases), (charged, 0));
    town.is_whole(&[buyer.party(), seller()]).await;
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!(collected.failed, 0, "{collected:?}");
    assert_eq!(town.owns(seller()).await, charged);
    town.is_whole(&[buyer.party(), seller()]).await;
    charged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_purchases_at_once_share_a_channel_and_nothing_is_sent_twice() {
    let (town, shop, buyer) = scene(64).await;
    let between = Meddler::before(&shop, Vec::new()).await;
    let purchases = (0..50).map(|n| between.purchase(&shop, &format!("wait:{n}")));
    let mut tasks = all_at_once(&buyer, purchases);
    // As many as the seller offers are in work at the same time; the others wait here.
    for _ in 0..channel::LANES {
        shop.work.begins().await;
    }
    assert_eq!(shop.work.count(), 1 + usize::from(channel::LANES));
    assert_eq!(figures(&buyer).2, i128::from(channel::LANES) * COST);
    shop.work.may_end.add_permits(50);
    while let Some(done) = tasks.join_next().await {
        assert_eq!(done.unwrap().unwrap().paid.unwrap().amount, musd(COST));
    }
    assert_eq!(shop.work.count(), 51);
    // One request each, no total twice, none of them above what is charged in the end.
    let totals = between.totals();
    assert_eq!(totals.len(), 50, "something was sent twice, or corrected");
    assert_eq!(totals.iter().collect::<HashSet<_>>().len(), 50);
    let expected = 51 * COST;
    assert_eq!(totals.iter().max(), Some(&expected.unsigned_abs()));
    assert!(between.seen.lock().unwrap().iter().all(|p| p.payload["ahead"] == true));
    assert_eq!(figures(&buyer), (100 * COST, expected, 0));
    assert_eq!(is_equal(&town, &shop, &buyer).await, expected);
    assert_eq!(canal::in_channels(&town).await, 49 * COST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_that_does_not_opt_in_goes_in_order() {
    let (town, shop, buyer) = scene(1).await;
    let between = Meddler::before(&shop, Vec::new()).await;
    let purchases = (0..6).map(|n| between.purchase(&shop, &format!("job:{n}")));
    let mut tasks = all_at_once(&buyer, purchases);
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert!(between.seen.lock().unwrap().iter().all(|p| p.payload.get("ahead").is_none()));
    assert_eq!(is_equal(&town, &shop, &buyer).await, 7 * COST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_fails_or_costs_less_leaves_equal_books() {
    let (town, shop, buyer) = scene(16).await;
    for round in 0..3 {
        let purchases = (0..30).map(|n| {
            let body = match n % 5 {
                0 => format!("fail:{round}:{n}"),
                1 => format!("used:{}:{round}:{n}", COST / 4),
                2 => format!("used:0:{round}:{n}"),
                3 => format!("no:{round}:{n}"),
                _ => format!("job:{round}:{n}"),
            };
            shop.purchase(&body)
        });
        let mut tasks = all_at_once(&buyer, purchases);
        let mut served = 0;
        while let Some(done) = tasks.join_next().await {
            match done.unwrap() {
                Ok(_) => served += 1,
                Err(BuyError::NotCharged { .. } | BuyError::Unanswered { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(served, 18);
    }
    // A failure of the seller's own (5xx) leaves it open what was charged, until one in order tells.
    buyer.buy_by(&shop.purchase("job:last"), CHANNEL).await.unwrap();
    let paid_in_full = 1 + 3 * 6 + 1;
    assert_eq!(is_equal(&town, &shop, &buyer).await, paid_in_full * COST + 3 * 6 * (COST / 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_the_middle_is_told_by_the_next_purchase_to_the_unit() {
    // Which of the twelve under way the seller has served when the power fails.
    for served in [0_usize, 5, 12] {
        let (town, shop, buyer) = scene(32).await;
        let mut plan = vec![Meddling::HangAfter; served];
        plan.extend(vec![Meddling::HangBefore; 12 - served]);
        let between = Meddler::before(&shop, plan).await;
        let purchases = (0..12).map(|n| between.purchase(&shop, &format!("job:{n}")));
        let mut tasks = all_at_once(&buyer, purchases);
        for _ in 0..12 {
            between.hangs.acquire().await.unwrap().forget();
        }
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        assert_eq!(figures(&buyer), (100 * COST, COST, 12 * COST), "{served} served");
        drop((shop, buyer));
        // The journal is opened again: what was under way is held still.
        let town = town.crash().await;
        let shop = town.channel_shop().await;
        let buyer = Arc::new(town.same_buyer(0x41, limits(32)));
        town.bookkeeper(&[buyer.party()]).reconcile(true).await.unwrap();
        assert_eq!(figures(&buyer).2, 12 * COST);
        buyer.buy_by(&shop.purchase("job:after"), CHANNEL).await.unwrap();
        let charged = i128::try_from(served).unwrap() + 2;
        assert_eq!(figures(&buyer), (100 * COST, charged * COST, 0), "{served} served");
        // And it runs ahead again.
        let purchases = (20..40).map(|n| shop.purchase(&format!("job:{n}")));
        let mut tasks = all_at_once(&buyer, purchases);
        while let Some(done) = tasks.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!(is_equal(&town, &shop, &buyer).await, (charged + 20) * COST);
    }
}

/// Lost answers are asked for again by the same request, in order: each tells the total of when it
/// was given, and neither makes a liar of its seller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_again_is_told_what_its_lost_twins_were_charged() {
    // One after the other, and as it happens.
    for at_once in [1_usize, 6] {
        let (town, shop, buyer) = scene(16).await;
        let between = Meddler::before(&shop, vec![Meddling::HangAfter; 6]).await;
        let mut lost = JoinSet::new();
        for _ in 0..6 / at_once {
            let purchases = (0..at_once).map(|_| between.purchase(&shop, "job:same"));
            let mut tasks = all_at_once(&buyer, purchases);
            lost.spawn(async move { while tasks.join_next().await.is_some() {} });
            for _ in 0..at_once {
                between.hangs.acquire().await.unwrap().forget();
            }
        }
        lost.shutdown().await;
        assert_eq!(figures(&buyer), (100 * COST, COST, 6 * COST));
        // Nobody knows what became of this one, so that the next go in order.
        let failed = buyer.buy_by(&between.purchase(&shop, "fail"), CHANNEL).await;
        assert!(matches!(failed, Err(BuyError::Unanswered { .. })), "{failed:?}");
        // The seller served six; who asks again gets what it paid for, once each.
        let work = shop.work.count();
        for told in 1..=6 {
            buyer.buy_by(&between.purchase(&shop, "job:same"), CHANNEL).await.unwrap();
            assert_eq!(figures(&buyer), (100 * COST, (1 + told) * COST, (7 - told) * COST));
        }
        assert_eq!(shop.work.count(), work, "nothing was worked on twice");
        buyer.buy_by(&shop.purchase("job:after"), CHANNEL).await.unwrap();
        assert_eq!(is_equal(&town, &shop, &buyer).await, 8 * COST);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_on_the_chain_tells_what_many_lost_answers_did_not() {
    let (town, shop, buyer) = scene(32).await;
    let between = Meddler::before(&shop, vec![Meddling::HangAfter; 7]).await;
    let purchases = (0..7).map(|n| between.purchase(&shop, &format!("job:{n}")));
    let mut tasks = all_at_once(&buyer, purchases);
    for _ in 0..7 {
        between.hangs.acquire().await.unwrap().forget();
    }
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
    assert_eq!(shop.gate.collect(Collect::All).await.claimed, 8 * PRICE as u128);
    let found = town.bookkeeper(&[buyer.party(), seller()]).reconcile(true).await.unwrap();
    assert_eq!((found.posted, found.breaks.len()), (7, 0));
    assert_eq!(figures(&buyer), (100 * COST, 8 * COST, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_total_that_was_charged_for_the_same_request_is_not_signed_for_it_again() {
    let (town, shop, buyer) = scene(16).await;
    let between = Meddler::before(&shop, Vec::new()).await;
    let buy = async |body: &str| buyer.buy_by(&between.purchase(&shop, body), CHANNEL).await;
    // Totals of 2, 3 and 4 prices come to nothing, and the same request is charged at 5.
    for n in 0..3 {
        assert!(matches!(buy(&format!("no:{n}")).await, Err(BuyError::NotCharged { .. })));
    }
    let first = buy("job:same").await.unwrap();
    // Nobody knows what became of 6: the next goes in order, and others run ahead from there.
    assert!(matches!(buy("fail").await, Err(BuyError::Unanswered { .. })));
    buy("job:in order").await.unwrap();
    buy("job:ahead").await.unwrap();
    let work = shop.work.count();
    // The next total is 5 again: with it the seller would answer what it had sold before.
    let again = buy("job:same").await.unwrap();
    assert_ne!(first.body, again.body, "the work of before was paid for once more");
    assert_eq!(shop.work.count(), work + 1);
    let price = u128::from(PRICE);
    assert!(
        between.totals().ends_with(&[3 * price, 4 * price, 6 * price]),
        "{:?}",
        between.totals()
    );
    assert_eq!(is_equal(&town, &shop, &buyer).await, 5 * COST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_lie_to_one_that_ran_ahead_those_who_wait_sign_nothing_more() {
    let (_town, shop, buyer) = scene(2).await;
    let channel = buyer.channels().unwrap()[0].id;
    let lie = |extra: &mut Value| extra["chargedAmount"] = json!((2 * COST).to_string());
    let plan = vec![Meddling::Pass, Meddling::Receipt(Arc::new(lie))];
    let between = Meddler::before(&shop, plan).await;
    let refused = async |body: &str| {
        let bought = buyer.buy_by(&between.purchase(&shop, body), CHANNEL).await;
        assert!(matches!(bought, Err(BuyError::NotCharged { .. })), "{bought:?}");
        shop.work.begins().await;
    };
    refused("no:1").await;
    let mut lied_to = all_at_once(&buyer, [between.purchase(&shop, "wait:a")].into_iter());
    shop.work.begins().await;
    // So much is signed and not charged now that the next go in order: they wait for the one above.
    refused("no:2").await;
    let quotes = between.turns.load(Ordering::SeqCst) + 3;
    let purchases = (0..3).map(|n| between.purchase(&shop, &format!("job:{n}")));
    let mut waiting = all_at_once(&buyer, purchases);
    while between.turns.load(Ordering::SeqCst) < quotes {
        tokio::task::yield_now().await;
    }
    // A purchase past the channel takes longer than they need to come to it.
    buyer.buy_by(&shop.purchase("job:at once"), Some("exact")).await.unwrap();
    assert_eq!(between.totals().len(), 3, "they wait");
    shop.work.may_end.add_permits(1);
    // What is delivered is handed out; the seller is believed no more.
    lied_to.join_next().await.unwrap().unwrap().unwrap();
    while let Some(done) = waiting.join_next().await {
        done.unwrap().unwrap();
    }
    let seen = between.seen.lock().unwrap();
    let of_it = seen.iter().filter(|p| p.payload["voucher"]["channelId"] == channel.to_string());
    assert_eq!((of_it.count(), seen.len()), (3, 6), "something more was signed for the channel");
    drop(seen);
    let channels = buyer.channels().unwrap();
    assert_eq!((channels.len(), channels[0].id), (2, channel));
    assert!(channels[0].stopped.as_ref().unwrap().contains("charged"), "{:?}", channels[0]);
    assert_eq!(channels[1].stopped, None);
}
