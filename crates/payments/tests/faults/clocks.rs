//! Clocks that run apart: a buyer's before or behind the seller's and the chain's.

use std::sync::Arc;
use std::time::Duration;

use money::{Clock as _, ManualClock, Timestamp};
use payments::buyer::Parts;
use payments::{Bookkeeper, BuyError, Buyer, BuyerLimits, channel};

use mandates::books::Line;

use crate::town::meddler::{Meddler, Meddling};
use crate::town::shop::Shop;
use crate::town::{PRICE, START, Town, http, musd, person, seller};

const WALLET: i128 = 1_000_000;
const PRICED: i128 = PRICE as i128;

/// A buyer with a clock of its own, so many seconds off.
async fn buyer(town: &Town, number: u8, off: i64) -> (Buyer, Arc<ManualClock>) {
    drop(town.buyer(number, musd(WALLET)).await);
    let clock = Arc::new(ManualClock::at(shifted(START, off)));
    let entropy = {
        let count = std::sync::atomic::AtomicU8::new(1);
        Arc::new(move || [count.fetch_add(1, std::sync::atomic::Ordering::SeqCst); 32])
    };
    let buyer = Buyer::new(Parts {
        key: person(number),
        mandates: town.mandates.clone(),
        ledger: town.ledger.clone(),
        chain: town.chain.clone(),
        clock: clock.clone(),
        entropy,
        http: http(),
        limits: BuyerLimits { attempts: 2, ..BuyerLimits::default() },
    });
    (buyer, clock)
}

fn shifted(time: Timestamp, off: i64) -> Timestamp {
    match u64::try_from(off) {
        Ok(ahead) => time.plus(Duration::from_secs(ahead)),
        Err(_) => Timestamp::from_secs(time.as_secs() - off.unsigned_abs()),
    }
}

/// The books of a party whose clock runs apart.
async fn resolved(town: &Town, number: u8, clock: &Arc<ManualClock>) {
    let parties = vec![person(number).party(), seller()];
    let (ledger, mandates) = (town.ledger.clone(), town.mandates.clone());
    let keeper = Bookkeeper::new(ledger, mandates, town.chain.clone(), clock.clone(), parties, 0);
    assert_eq!(keeper.reconcile(true).await.unwrap().breaks, []);
}

async fn sold(town: &Town, shop: &Shop) -> (usize, i128) {
    (shop.work.count(), town.owns(seller()).await)
}

#[tokio::test]
async fn a_buyer_whose_clock_is_a_little_off_is_served() {
    let town = Town::begin().await;
    let shop = town.shop().await;
    // Behind by less than half of what the quote allows; before by less than is granted to a chain
    // that lags.
    for (number, off) in (0x41..).zip([-29, -10, 10, 30, 300, 599]) {
        let (buyer, _) = buyer(&town, number, off).await;
        let bought = buyer.buy(&shop.purchase(&format!("job:{off}"))).await.unwrap();
        assert_eq!(bought.paid.unwrap().amount, musd(PRICED), "{off} seconds");
    }
    assert_eq!(sold(&town, &shop).await, (6, 6 * PRICED));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_buyer_whose_clock_is_far_off_is_told_and_pays_nothing() {
    let town = Town::begin().await;
    let shop = town.shop().await;
    for (number, off, said) in [
        (0x41, -3_600, "valid_before"),
        (0x42, -31, "valid_before"),
        (0x43, 700, "valid_after"),
        (0x44, 2 * 86_400, "valid_before"),
    ] {
        let (buyer, clock) = buyer(&town, number, off).await;
        let before = town.owns(buyer.party()).await;
        let error = buyer.buy(&shop.purchase("job:1")).await.unwrap_err();
        assert!(matches!(error, BuyError::NotDelivered { .. }), "{off} seconds: {error}");
        assert!(error.to_string().contains(said), "{off} seconds: {error}");
        assert_eq!(town.owns(buyer.party()).await, before);
        // By its own clock it knows when nobody can use what it signed any more.
        assert_eq!(town.line(buyer.party(), Line::Purchases), (0, PRICED));
        clock.advance(Duration::from_secs(120));
        resolved(&town, number, &clock).await;
        assert_eq!(town.line(buyer.party(), Line::Purchases), (0, 0), "{off} seconds");
    }
    assert_eq!(sold(&town, &shop).await, (0, 0));
}

#[tokio::test]
async fn a_payment_that_a_fast_clock_let_go_is_booked_when_it_comes_all_the_same() {
    let town = Town::begin().await;
    let shop = town.shop().await;
    let (buyer, clock) = buyer(&town, 0x41, 500).await;
    let before = town.mandates.left(buyer.party()).unwrap().lifetime.minor();
    let between = Meddler::before(&shop, vec![Meddling::LoseRequest; 2]).await;
    let error = buyer.buy(&between.purchase(&shop, "job:1")).await.unwrap_err();
    assert!(matches!(error, BuyError::Open { .. }), "{error}");
    let caught = between.seen.lock().unwrap()[0].clone();
    // To the buyer the payment has ended long ago; to chain and seller it is good still.
    clock.advance(Duration::from_secs(120));
    resolved(&town, 0x41, &clock).await;
    assert_eq!(town.line(buyer.party(), Line::Purchases), (0, 0));
    let answer = shop.pay(&caught, "job:1").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    resolved(&town, 0x41, &clock).await;
    assert_eq!(town.line(buyer.party(), Line::Purchases), (PRICED, 0));
    let after = town.mandates.left(buyer.party()).unwrap().lifetime.minor();
    assert_eq!(before - after, PRICED, "the budget knows");
    assert_eq!(sold(&town, &shop).await, (1, PRICED));
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn vouchers_know_no_time_and_deposits_little() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    for (number, off, good) in [(0x41, -10, true), (0x42, 3_600, true), (0x43, -3_600, false)] {
        let (buyer, clock) = buyer(&town, number, off).await;
        let first = buyer.buy_by(&shop.purchase("job:1"), Some(channel::SCHEME)).await;
        assert_eq!(first.is_ok(), good, "{off} seconds: {first:?}");
        if good {
            // From here on its clock may stand still, or run away.
            clock.advance(Duration::from_secs(86_400));
            let next = buyer.buy_by(&shop.purchase("job:2"), Some(channel::SCHEME)).await.unwrap();
            assert_eq!(next.paid.unwrap().amount, musd(PRICED));
            assert_eq!(town.line(buyer.party(), Line::Purchases), (2 * PRICED, 0));
        } else {
            assert_eq!(town.owns(buyer.party()).await, WALLET);
            clock.advance(Duration::from_secs(120));
        }
        resolved(&town, number, &clock).await;
    }
    shop.gate.collect(channel::Collect::All).await;
    assert_eq!(sold(&town, &shop).await, (4, 4 * PRICED));
    town.clock.advance(Duration::from_secs(0));
    assert_eq!(town.clock.now(), START);
    town.is_whole(&[person(0x41).party(), person(0x42).party(), seller()]).await;
}
