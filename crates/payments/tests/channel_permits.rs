//! Deposits through Permit2 at the buyer: chosen where the token's own way is not offered, with an
//! approval that travels along, and followed through every loss like any other deposit.

use crate::town;

use std::time::Duration;

use alloy_primitives::U256;
use alloy_sol_types::SolCall as _;
use mandates::books::Line;
use money::Amount;
use payments::channel::wire::DepositAuthorization;
use payments::channel::{self, Collect, TillLimits, wallet::Closed};
use payments::{BuyError, Buyer, BuyerLimits, GateLimits, Offer, Way, sponsoring};
use protocol::MachinaDollar;
use protocol::addresses::PERMIT2;
use serde_json::Value;
use town::meddler::{Meddler, Meddling};
use town::shop::Shop;
use town::vouchers::terms;
use town::{PRICE, Town, canal, musd, permits, person, seller};

const WALLET: i128 = 1_000_000;
const COST: i128 = PRICE as i128;
const CHANNEL: Option<&str> = Some(channel::SCHEME);

fn limits() -> BuyerLimits {
    BuyerLimits { attempts: 2, request_wait: Duration::from_secs(20), ..BuyerLimits::default() }
}

async fn buyer(town: &Town, number: u8) -> Buyer {
    town.buyer_with(number, musd(WALLET), musd(2 * WALLET), limits()).await
}

/// A shop that takes deposits through Permit2 alone; its facilitator carries approvals.
async fn shop(town: &Town) -> Shop {
    shop_of(town, |offer| {
        offer.ways = vec![Way::Channel(channel::Terms { by_permit: true, ..terms() })];
        offer.extensions = sponsoring::declaration();
    })
    .await
}

async fn shop_of(town: &Town, change: impl Fn(&mut Offer)) -> Shop {
    let (facilitator, till) = (town.channel_facilitator(), TillLimits::default());
    town.channel_shop_of(facilitator, GateLimits::default(), till, change).await
}

async fn pays(buyer: &Buyer, shop: &Shop, body: &str) -> Amount {
    let bought = buyer.buy_by(&shop.purchase(body), CHANNEL).await.unwrap();
    assert_eq!(bought.status, 200);
    bought.paid.unwrap().amount
}

fn figures(buyer: &Buyer) -> (i128, i128, i128) {
    let mut channels = buyer.channels().unwrap();
    assert_eq!(channels.len(), 1, "{channels:?}");
    let book = channels.remove(0).book;
    (book.balance.minor(), book.charged.minor(), book.held.minor())
}

/// How many approvals by signature the token has seen of a buyer.
async fn approvals(town: &Town, buyer: &Buyer) -> U256 {
    town.chain.approval_nonce(buyer.party().into()).await.unwrap()
}

/// Whether a payment's deposit is by Permit2, and whether an approval came along; `None` if it
/// makes no deposit.
fn deposit_of(payment: &payments::wire::PaymentPayload) -> Option<(bool, bool)> {
    let deposit = payment.payload.get("deposit")?;
    let by: DepositAuthorization =
        serde_json::from_value(deposit["authorization"].clone()).unwrap();
    let by_permit = matches!(by, DepositAuthorization::Permit2 { .. });
    let along = payment.extensions.as_ref().and_then(|e| {
        e.get(sponsoring::BY_SIGNATURE)?.get("info")?.get("signature").and_then(Value::as_str)
    });
    Some((by_permit, along.is_some()))
}

#[tokio::test]
async fn deposits_and_top_ups_bring_their_own_approval_and_all_comes_back_to_the_unit() {
    let town = Town::begin().await;
    let shop = shop(&town).await;
    let buyer = buyer(&town, 0x41).await;
    let parties = [buyer.party(), seller()];
    let between = Meddler::before(&shop, vec![]).await;
    for number in 1..=12 {
        let purchase = between.purchase(&shop, &format!("job:{number}"));
        let bought = buyer.buy_by(&purchase, CHANNEL).await.unwrap();
        assert_eq!(bought.paid.unwrap().amount, musd(COST));
    }
    let deposits: Vec<_> = between.seen.lock().unwrap().iter().filter_map(deposit_of).collect();
    assert_eq!(deposits, [(true, true); 2], "one opens the channel and one tops it up");
    assert_eq!((approvals(&town, &buyer).await, shop.work.count()), (U256::from(2), 12));
    // Each approval was for its deposit and nothing else: nothing of it is left.
    let left = town.chain.token_allowance(buyer.party().into(), PERMIT2).await.unwrap();
    assert_eq!((left, figures(&buyer)), (U256::ZERO, (20 * COST, 12 * COST, 0)));
    assert_eq!(town.line(seller(), Line::Sales), (12 * COST, 0));
    town.is_whole(&parties).await;
    assert_eq!(shop.gate.collect(Collect::All).await.claimed, 12 * COST.unsigned_abs());
    let id = buyer.channels().unwrap()[0].id;
    let closed = buyer.close_channel(id, Some(&shop.url.parse().unwrap())).await.unwrap();
    assert_eq!(closed, Closed::Refunded { amount: musd(8 * COST) });
    town.is_whole(&parties).await;
    assert_eq!(canal::in_channels(&town).await, 0);
    assert_eq!(town.line(buyer.party(), Line::Cash), (WALLET - 12 * COST, 0));
}

#[tokio::test]
async fn the_tokens_own_way_comes_first_and_an_approval_that_is_there_is_enough() {
    let town = Town::begin().await;
    let by_permit = Way::Channel(channel::Terms { by_permit: true, ..terms() });
    let both = shop_of(&town, |offer| {
        offer.ways = vec![by_permit.clone(), Way::Channel(terms())];
        offer.extensions = sponsoring::declaration();
    })
    .await;
    let first = buyer(&town, 0x41).await;
    let between = Meddler::before(&both, vec![]).await;
    first.buy_by(&between.purchase(&both, "job:1"), CHANNEL).await.unwrap();
    assert_eq!(deposit_of(&between.seen.lock().unwrap()[0]), Some((false, false)));

    let second = buyer(&town, 0x42).await;
    let call = MachinaDollar::approveCall { spender: PERMIT2, value: U256::from(30 * PRICE) };
    let token = town.token().address;
    town::transact(&town, &person(0x42), token, call.abi_encode().into()).await;
    // No approval is carried here, and none is needed.
    let bare = shop_of(&town, |offer| offer.ways = vec![by_permit.clone()]).await;
    let between = Meddler::before(&bare, vec![]).await;
    second.buy_by(&between.purchase(&bare, "job:2"), CHANNEL).await.unwrap();
    assert_eq!(deposit_of(&between.seen.lock().unwrap()[0]), Some((true, false)));
    assert_eq!(approvals(&town, &second).await, U256::ZERO);
    town.is_whole(&[first.party(), second.party(), seller()]).await;
}

#[tokio::test]
async fn where_permit2_is_not_approved_and_no_approval_is_carried_nothing_is_signed() {
    let town = Town::begin().await;
    let by_permit = Way::Channel(channel::Terms { by_permit: true, ..terms() });
    let shop =
        shop_of(&town, |offer| offer.ways = vec![Way::Authorization, by_permit.clone()]).await;
    let buyer = buyer(&town, 0x41).await;
    let refused = buyer.buy_by(&shop.purchase("job:1"), CHANNEL).await;
    let Err(BuyError::NoWayToPay { cause, .. }) = &refused else { panic!("{refused:?}") };
    assert!(cause.contains("Permit2"), "{cause}");
    assert_eq!((figures(&buyer), town.line(buyer.party(), Line::Cash)), ((0, 0, 0), (WALLET, 0)));
    // Asked for nothing in particular it pays at once each time, also where a channel is worth it.
    for number in 1..=3 {
        let bought = buyer.buy(&shop.purchase(&format!("job:{number}"))).await.unwrap();
        assert!(bought.paid.unwrap().transaction.is_some());
    }
    assert_eq!(shop.work.count(), 3);
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn a_deposit_whose_answer_is_lost_is_sent_again_and_made_once() {
    let town = Town::begin().await;
    let shop = shop(&town).await;
    let buyer = buyer(&town, 0x41).await;
    let between = Meddler::before(&shop, vec![Meddling::LoseAnswer]).await;
    let bought = buyer.buy_by(&between.purchase(&shop, "job:1"), CHANNEL).await.unwrap();
    assert_eq!(bought.paid.unwrap().amount, musd(COST));
    assert_eq!((between.kinds(), shop.work.count()), (vec!["deposit".into(); 2], 1));
    assert_eq!(figures(&buyer), (10 * COST, COST, 0));
    assert_eq!(canal::in_channels(&town).await, 10 * COST);
    // The work fails, its answer is lost, and the same deposit comes again: it is found on the chain.
    let other = self::buyer(&town, 0x42).await;
    between.then(vec![Meddling::LoseAnswer]);
    let failed = other.buy_by(&between.purchase(&shop, "no:1"), CHANNEL).await;
    assert!(matches!(failed, Err(BuyError::NotCharged { .. })), "{failed:?}");
    assert_eq!(figures(&other), (10 * COST, 0, 0));
    assert_eq!(canal::in_channels(&town).await, 20 * COST);
    town.is_whole(&[buyer.party(), other.party(), seller()]).await;
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_deposit_through_permit2_leaves_books_that_equal_the_chain() {
    for (fault, deposited) in [(Meddling::HangBefore, false), (Meddling::HangAfter, true)] {
        let town = Town::begin().await;
        let before = shop(&town).await;
        let buying = buyer(&town, 0x41).await;
        let party = buying.party();
        let between = Meddler::before(&before, vec![fault]).await;
        let purchase = between.purchase(&before, "job:1");
        let doing =
            tokio::spawn(async move { buying.buy_by(&purchase, CHANNEL).await.map(|_| ()) });
        between.hangs.acquire().await.unwrap().forget();
        doing.abort();
        drop(before);
        let town = town.crash().await;
        assert_eq!(town.line(party, Line::Cash).1, 10 * COST);
        let found = town.bookkeeper(&[party, seller()]).reconcile(true).await.unwrap();
        assert_eq!((found.posted, found.breaks.len()), (usize::from(deposited), 0), "{found:?}");
        let buyer = town.same_buyer(0x41, limits());
        if !deposited {
            // The seller could still use it, until it ends.
            assert_eq!(town.line(party, Line::Cash).1, 10 * COST);
            town.clock.advance(Duration::from_secs(16 * 60));
            let found = town.bookkeeper(&[party]).reconcile(true).await.unwrap();
            assert_eq!((found.released, found.breaks.len()), (1, 0));
        }
        let shop = shop(&town).await;
        pays(&buyer, &shop, "job:2").await;
        let sold = COST * if deposited { 2 } else { 1 };
        assert_eq!(figures(&buyer), (10 * COST, sold, 0));
        town.is_whole(&[party, seller()]).await;
    }
}

#[tokio::test]
async fn payments_that_bring_an_approval_take_turns_whatever_they_pay_for() {
    let town = Town::begin().await;
    let channels = shop(&town).await;
    let at_once = shop_of(&town, permits::only(Way::Permit)).await;
    let buyer = std::sync::Arc::new(buyer(&town, 0x41).await);
    let mut all = tokio::task::JoinSet::new();
    for number in 0..6 {
        let buyer = buyer.clone();
        let (shop, scheme) = match number % 2 {
            0 => (&at_once, "exact"),
            _ => (&channels, channel::SCHEME),
        };
        let purchase = shop.purchase(&format!("job:{number}"));
        all.spawn(async move { buyer.buy_by(&purchase, Some(scheme)).await.unwrap().status });
    }
    assert_eq!(all.join_all().await, [200; 6]);
    // Three at once and one deposit; the vouchers after it needed none.
    assert_eq!(approvals(&town, &buyer).await, U256::from(4));
    assert_eq!((at_once.work.count(), channels.work.count()), (3, 3));
    town.is_whole(&[buyer.party(), seller()]).await;
}
