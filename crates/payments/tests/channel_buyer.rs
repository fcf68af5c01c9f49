//! Payments from channels at the buyer: opened when worth it, followed through every loss, and
//! brought back to the unit. The shop, its gate and the contract are real; only faults are made up.

use crate::town;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::B256;
use ledger::Ledger;
use mandates::books::Line;
use mandates::{Mandate, MandateError, Mandates, Purpose, Rule, SignedMandate};
use money::{Amount, Asset, Clock as _, Party, Timestamp};
use payments::buyer::Parts;
use payments::channel::wallet::Closed;
use payments::channel::{self, Collect};
use payments::{Bookkeeper, BuyError, Buyer, BuyerLimits};
use serde_json::json;
use town::meddler::{Meddler, Meddling};
use town::shop::Shop;
use town::{DAY, PRICE, START, Town, canal, musd, owner, person, seller};

const WALLET: i128 = 1_000_000;
const COST: i128 = PRICE as i128;
const CHANNEL: Option<&str> = Some(channel::SCHEME);

fn limits() -> BuyerLimits {
    BuyerLimits { attempts: 2, request_wait: Duration::from_secs(20), ..BuyerLimits::default() }
}

/// A buyer whose mandate has room for its wallet twice.
async fn buyer(town: &Town, number: u8) -> Buyer {
    town.buyer_with(number, musd(WALLET), musd(2 * WALLET), limits()).await
}

async fn pays(buyer: &Buyer, shop: &Shop, body: &str) -> Amount {
    let bought = buyer.buy_by(&shop.purchase(body), CHANNEL).await.unwrap();
    assert_eq!(bought.status, 200);
    bought.paid.unwrap().amount
}

fn only(buyer: &Buyer) -> channel::wallet::Channel {
    let mut channels = buyer.channels().unwrap();
    assert_eq!(channels.len(), 1, "{channels:?}");
    channels.remove(0)
}

fn figures(buyer: &Buyer) -> (i128, i128, i128) {
    let book = only(buyer).book;
    (book.balance.minor(), book.charged.minor(), book.held.minor())
}

fn room(town: &Town, buyer: &Buyer) -> i128 {
    town.mandates.left(buyer.party()).unwrap().lifetime.minor()
}

/// Time passes, on the chain as well: calls are tried at its newest block's time.
async fn passes(town: &Town, until: Timestamp) {
    town.clock.set(until);
    town.give(person(0x70).party(), musd(1)).await;
}

#[tokio::test]
async fn the_second_purchase_opens_a_channel_and_all_of_it_comes_back_to_the_unit() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let buyer = buyer(&town, 0x41).await;
    let parties = [buyer.party(), seller()];
    for number in 1..=6 {
        let bought = buyer.buy(&shop.purchase(&format!("job:{number}"))).await.unwrap();
        let paid = bought.paid.unwrap();
        assert_eq!((bought.status.as_u16(), paid.amount), (200, musd(COST)));
        assert_eq!(paid.transaction.is_some(), number == 1, "only the first is paid at once");
    }
    assert_eq!(figures(&buyer), (10 * COST, 5 * COST, 0));
    assert_eq!(town.line(buyer.party(), Line::Purchases), (6 * COST, 0));
    assert_eq!(town.line(seller(), Line::Sales), (6 * COST, 0));
    assert_eq!(room(&town, &buyer), 2 * WALLET - 11 * COST);
    town.is_whole(&parties).await;

    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!((collected.channels, collected.failed), (1, 0));
    town.is_whole(&parties).await;
    assert_eq!(town.line(seller(), Line::Cash), (6 * COST, 0));
    assert_eq!(town.line(seller(), Line::Escrow), (5 * COST, 0));

    let id = only(&buyer).id;
    let closed = buyer.close_channel(id, Some(&shop.url.parse().unwrap())).await.unwrap();
    assert_eq!(closed, Closed::Refunded { amount: musd(5 * COST) });
    town.is_whole(&parties).await;
    assert_eq!(town.line(buyer.party(), Line::Cash), (WALLET - 6 * COST, 0));
    assert_eq!(town.line(seller(), Line::Escrow), (0, 0));
    assert_eq!(canal::in_channels(&town).await, 0);
    assert_eq!(room(&town, &buyer), 2 * WALLET - 6 * COST);
    assert_eq!(buyer.close_channel(id, None).await.unwrap(), Closed::Empty);

    // The same channel serves again.
    assert_eq!(pays(&buyer, &shop, "job:7").await, musd(COST));
    assert_eq!(figures(&buyer), (15 * COST, 6 * COST, 0));
    town.is_whole(&parties).await;
}

#[tokio::test]
async fn a_metered_charge_is_what_is_booked_and_a_channel_is_topped_up() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let buyer = buyer(&town, 0x41).await;
    let mut charged = 0;
    for turn in 0..14 {
        let used = [COST / 4, 0, COST, COST / 2][turn % 4];
        let paid = pays(&buyer, &shop, &format!("used:{used}:{turn}")).await;
        assert_eq!(paid, musd(used));
        charged += used;
        assert_eq!(figures(&buyer).1, charged);
    }
    for number in 0..8 {
        pays(&buyer, &shop, &format!("job:{number}")).await;
    }
    assert_eq!(figures(&buyer), (20 * COST, charged + 8 * COST, 0));
    assert_eq!(town.line(seller(), Line::Sales), (charged + 8 * COST, 0));
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_with_the_same_voucher() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let buyer = buyer(&town, 0x41).await;
    let between = Meddler::before(&shop, vec![Meddling::LoseAnswer]).await;
    for number in 1..=3 {
        let purchase = between.purchase(&shop, &format!("job:{number}"));
        let bought = buyer.buy_by(&purchase, CHANNEL).await.unwrap();
        assert_eq!(bought.paid.unwrap().amount, musd(COST));
        between.then(vec![Meddling::LoseRequest]);
    }
    let cost = COST.unsigned_abs();
    assert_eq!(between.totals(), [cost, cost, 2 * cost, 2 * cost, 3 * cost, 3 * cost]);
    assert_eq!((shop.work.count(), figures(&buyer)), (3, (10 * COST, 3 * COST, 0)));
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn what_is_not_known_stays_held_until_the_seller_proves_it() {
    use Meddling::{LoseAnswer, LoseRequest};
    for (faults, charged) in
        [(vec![LoseAnswer, LoseAnswer], true), (vec![LoseRequest, LoseRequest], false)]
    {
        let town = Town::begin().await;
        let shop = town.channel_shop().await;
        let buyer = buyer(&town, 0x41).await;
        pays(&buyer, &shop, "job:1").await;
        let between = Meddler::before(&shop, faults).await;
        let lost = between.purchase(&shop, "job:lost");
        let error = buyer.buy_by(&lost, CHANNEL).await.unwrap_err();
        assert!(matches!(error, BuyError::Unanswered { .. }), "{error}");
        assert_eq!(figures(&buyer), (10 * COST, COST, COST));
        // Over a restart, too.
        drop(shop);
        let town = town.crash().await;
        let shop = town.channel_shop().await;
        let buyer = town.same_buyer(0x41, limits());
        town.bookkeeper(&[buyer.party()]).reconcile(true).await.unwrap();
        assert_eq!(figures(&buyer), (10 * COST, COST, COST));
        pays(&buyer, &shop, "job:3").await;
        let sold = COST * if charged { 3 } else { 2 };
        assert_eq!(figures(&buyer), (10 * COST, sold, 0), "charged: {charged}");
        assert_eq!(town.line(seller(), Line::Sales), (sold, 0));
        town.is_whole(&[buyer.party(), seller()]).await;
    }
}

#[tokio::test]
async fn a_claim_on_the_chain_tells_what_a_lost_answer_did_not() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let buyer = buyer(&town, 0x41).await;
    pays(&buyer, &shop, "job:1").await;
    let between = Meddler::before(&shop, vec![Meddling::LoseAnswer; 2]).await;
    buyer.buy_by(&between.purchase(&shop, "job:lost"), CHANNEL).await.unwrap_err();
    shop.gate.collect(Collect::All).await;
    let found = town.bookkeeper(&[buyer.party(), seller()]).reconcile(true).await.unwrap();
    assert_eq!((found.posted, found.breaks.len()), (1, 0));
    assert_eq!(figures(&buyer), (10 * COST, 2 * COST, 0));
}

#[tokio::test]
async fn a_crash_at_any_point_of_a_deposit_leaves_books_that_equal_the_chain() {
    for (fault, deposited) in [(Meddling::HangBefore, false), (Meddling::HangAfter, true)] {
        let town = Town::begin().await;
        let shop = town.channel_shop().await;
        let buying = buyer(&town, 0x41).await;
        let party = buying.party();
        let between = Meddler::before(&shop, vec![fault]).await;
        let purchase = between.purchase(&shop, "job:1");
        let doing =
            tokio::spawn(async move { buying.buy_by(&purchase, CHANNEL).await.map(|_| ()) });
        between.hangs.acquire().await.unwrap().forget();
        doing.abort();
        drop(shop);
        let town = town.crash().await;
        let held = town.line(party, Line::Cash).1;
        assert_eq!(held, 10 * COST);
        let shop = town.channel_shop().await;
        let found = town.bookkeeper(&[party, seller()]).reconcile(true).await.unwrap();
        assert_eq!((found.posted, found.breaks.len()), (usize::from(deposited), 0), "{found:?}");
        let buyer = town.same_buyer(0x41, limits());
        if !deposited {
            // The seller could still use it, until it ends.
            assert_eq!(town.line(party, Line::Cash).1, 10 * COST);
            town.clock.advance(Duration::from_secs(16 * 60));
            let found = town.bookkeeper(&[party]).reconcile(true).await.unwrap();
            assert_eq!((found.released, found.breaks.len()), (1, 0));
        } else {
            assert_eq!(figures(&buyer), (10 * COST, 0, COST));
        }
        pays(&buyer, &shop, "job:2").await;
        let sold = COST * if deposited { 2 } else { 1 };
        assert_eq!(figures(&buyer), (10 * COST, sold, 0));
        town.is_whole(&[party, seller()]).await;
        assert_eq!(room(&town, &buyer), 2 * WALLET - 10 * COST);
    }
}

#[tokio::test]
async fn a_seller_whose_numbers_do_not_add_up_gets_no_further_voucher() {
    type Change = fn(&mut serde_json::Value);
    let lies: [(&str, Change); 4] = [
        ("too much", |extra| extra["chargedAmount"] = json!((COST + 1).to_string())),
        ("another total", |extra| {
            extra["channelState"]["chargedCumulativeAmount"] = json!((3 * COST).to_string());
        }),
        ("another channel", |extra| {
            extra["channelState"]["channelId"] = json!(B256::repeat_byte(7));
        }),
        ("less than it holds", |extra| extra["channelState"]["balance"] = json!("1")),
    ];
    for (name, lie) in lies {
        let town = Town::begin().await;
        let shop = town.channel_shop().await;
        let buyer = buyer(&town, 0x41).await;
        pays(&buyer, &shop, "job:1").await;
        let between = Meddler::before(&shop, vec![Meddling::Receipt(Arc::new(lie))]).await;
        let bought = buyer.buy_by(&between.purchase(&shop, "job:2"), CHANNEL).await.unwrap();
        assert_eq!(bought.status, 200, "what was delivered is handed on");
        assert!(only(&buyer).stopped.is_some(), "{name}");
        assert_eq!(figures(&buyer), (10 * COST, COST, COST), "{name}");
        // Nothing more is signed for it, over a restart, too: another channel is opened.
        let town = {
            drop(shop);
            town.crash().await
        };
        let shop = town.channel_shop().await;
        let buyer = town.same_buyer(0x41, limits());
        pays(&buyer, &shop, "job:3").await;
        let channels = buyer.channels().unwrap();
        assert_eq!(channels.len(), 2, "{name}");
        assert_eq!(channels[0].book.charged, musd(COST));
        // Its money comes back without the seller's help; what it may claim it can claim.
        let id = channels[0].id;
        let Closed::Waiting { amount, until, cause } = buyer.close_channel(id, None).await.unwrap()
        else {
            panic!("{name}: a seller that lied is not asked");
        };
        assert_eq!((amount, cause.is_some()), (musd(9 * COST), true));
        shop.gate.collect(Collect::All).await;
        passes(&town, until).await;
        let closed = buyer.close_channel(id, None).await.unwrap();
        assert_eq!(closed, Closed::Withdrawn { amount: musd(8 * COST) }, "{name}");
        town.is_whole(&[buyer.party(), seller()]).await;
        assert_eq!(buyer.channels().unwrap()[0].book.charged, musd(2 * COST));
        assert_eq!(room(&town, &buyer), 2 * WALLET - 12 * COST);
    }
}

#[tokio::test]
async fn a_correction_is_believed_only_with_our_own_signature_and_a_known_reason() {
    // What it says was charged, under a voucher of which total, signed by whom.
    for (name, charged, signed, number) in [
        ("stale", COST, COST, 0x41),
        ("forged", 5 * COST, 5 * COST, 0x66),
        ("above its voucher", 4 * COST, 3 * COST, 0x41),
        ("of a request that it refused", 3 * COST, 3 * COST, 0x41),
    ] {
        let town = Town::begin().await;
        let shop = town.channel_shop().await;
        let buyer = buyer(&town, 0x41).await;
        pays(&buyer, &shop, "job:1").await;
        pays(&buyer, &shop, "job:2").await;
        let refused = buyer.buy_by(&shop.purchase("no:3"), CHANNEL).await.unwrap_err();
        assert!(matches!(refused, BuyError::NotCharged { .. }), "{refused}");
        assert_eq!(figures(&buyer), (10 * COST, 2 * COST, 0));
        let quote = correction(&town, &buyer, &shop, charged, signed, number).await;
        let answer = Meddling::Answer(Arc::new(move || quote.clone()));
        let between = Meddler::before(&shop, vec![answer.clone(), answer]).await;
        let error = buyer.buy_by(&between.purchase(&shop, "job:x"), CHANNEL).await.unwrap_err();
        assert!(matches!(error, BuyError::NotCharged { .. }), "{name}: {error}");
        assert_eq!(between.seen.lock().unwrap().len(), 1, "{name}: nothing else is signed");
        assert_eq!(figures(&buyer).1, 2 * COST, "{name}");
        assert!(only(&buyer).stopped.is_some(), "{name}");
    }
}

#[tokio::test]
async fn who_corrects_with_the_voucher_in_hand_has_charged_it_and_gets_no_second_one() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let buyer = buyer(&town, 0x41).await;
    pays(&buyer, &shop, "job:1").await;
    pays(&buyer, &shop, "job:2").await;
    // The total that the next voucher is signed for, and the very signature that it will have.
    let quote = correction(&town, &buyer, &shop, 3 * COST, 3 * COST, 0x41).await;
    let answer = Meddling::Answer(Arc::new(move || quote.clone()));
    let between = Meddler::before(&shop, vec![answer.clone(), answer]).await;
    let error = buyer.buy_by(&between.purchase(&shop, "job:x"), CHANNEL).await.unwrap_err();
    assert!(matches!(error, BuyError::ChargedNotDelivered { .. }), "{error}");
    assert_eq!(between.seen.lock().unwrap().len(), 1, "one purchase, one voucher");
    assert_eq!(figures(&buyer), (10 * COST, 3 * COST, 0), "the books say what it can claim");
}

/// What a seller would say to correct a total.
async fn correction(
    town: &Town,
    buyer: &Buyer,
    shop: &Shop,
    charged: i128,
    signed: i128,
    by: u8,
) -> payments::wire::PaymentRequired {
    let mut quote = buyer.quote(&shop.purchase("job:x")).await.unwrap().unwrap();
    let voucher = canal::voucher(&person(by), &first_channel(town), signed.unsigned_abs());
    quote.error = Some(channel::ChannelInvalid::CumulativeMismatch.code().into());
    for way in quote.accepts.iter_mut().filter(|w| w.scheme == channel::SCHEME) {
        let extra = way.extra.as_mut().unwrap();
        let state = json!({
            "channelId": only(buyer).id, "balance": (10 * COST).to_string(), "totalClaimed": "0",
            "withdrawRequestedAt": 0, "refundNonce": "0",
            "chargedCumulativeAmount": charged.to_string(),
        });
        let proof = json!({
            "signedMaxClaimable": signed.to_string(), "signature": voucher.signature,
        });
        extra.insert("channelState".into(), state);
        extra.insert("voucherState".into(), proof);
    }
    quote
}

/// What the buyer's first channel with the shop is.
fn first_channel(town: &Town) -> channel::wire::ChannelConfig {
    let keeper = town::vouchers::keeper().address();
    let config = canal::config(town, person(0x41).address(), keeper, 0);
    channel::wire::ChannelConfig { salt: B256::ZERO, ..config }
}

fn mandate(per_payment: i128, lifetime: i128, serial: u64) -> Mandate {
    Mandate {
        machine: person(0x41).party(),
        owner: owner().party(),
        per_payment: musd(per_payment),
        daily: musd(lifetime),
        lifetime: musd(lifetime),
        expires_at: START.plus(DAY * 3650),
        purpose: Purpose::Production,
        serial,
        unasked: None,
    }
}

async fn grant(town: &Town, mandate: Mandate) {
    let signed = SignedMandate::sign(mandate, &owner()).unwrap();
    town.mandates.grant(signed).await.unwrap();
}

#[tokio::test]
async fn each_voucher_needs_the_mandate_in_force() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let buyer = buyer(&town, 0x41).await;
    pays(&buyer, &shop, "job:1").await;
    let refused = |error: &BuyError, rule: Rule| matches!(error, BuyError::Mandate(MandateError::Refused { rule: r, .. }) if *r == rule);
    // Replaced by one whose cap is below the price.
    grant(&town, mandate(COST - 1, WALLET, 1)).await;
    let error = buyer.buy_by(&shop.purchase("job:2"), CHANNEL).await.unwrap_err();
    assert!(refused(&error, Rule::PerPayment), "{error}");
    // By one that allows it and has no room for deposits: what is prepaid is still there.
    grant(&town, mandate(COST, COST, 2)).await;
    for number in 2..=10 {
        pays(&buyer, &shop, &format!("job:{number}")).await;
    }
    assert_eq!(figures(&buyer), (10 * COST, 10 * COST, 0));
    // A deposit takes what room there is, and no more.
    pays(&buyer, &shop, "job:11").await;
    assert_eq!(figures(&buyer), (11 * COST, 11 * COST, 0));
    let error = buyer.buy_by(&shop.purchase("job:12"), CHANNEL).await.unwrap_err();
    assert!(refused(&error, Rule::Daily) || refused(&error, Rule::Lifetime), "{error}");
    // Expired.
    grant(&town, mandate(COST, WALLET, 3)).await;
    pays(&buyer, &shop, "job:12").await;
    town.clock.set(START.plus(DAY * 3650));
    let error = buyer.buy_by(&shop.purchase("job:13"), CHANNEL).await.unwrap_err();
    assert!(matches!(&error, BuyError::Mandate(MandateError::Expired { .. })), "{error}");
    assert_eq!(shop.work.count(), 12);
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn buyers_in_parallel_are_charged_once_for_each_answer() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let limits = BuyerLimits { attempts: 40, ..limits() };
    let one = buyer(&town, 0x41).await;
    let other = town.buyer_with(0x42, musd(WALLET), musd(2 * WALLET), limits).await;
    pays(&one, &shop, "job:0").await;
    drop(one);
    // Two of the same machine know nothing of each other but by the books.
    let twins = [town.same_buyer(0x41, limits), town.same_buyer(0x41, limits)];
    let buying = |buyer: &'static str, who: Buyer, shop: &Shop| {
        let purchases: Vec<_> = (0..8).map(|n| shop.purchase(&format!("{buyer}:{n}"))).collect();
        tokio::spawn(async move {
            let mut bought = 0;
            for purchase in purchases {
                match who.buy_by(&purchase, CHANNEL).await {
                    Ok(_) => bought += 1,
                    Err(BuyError::NotCharged { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            bought
        })
    };
    let [first, second] = twins;
    let tasks = [
        buying("first", first, &shop),
        buying("second", second, &shop),
        buying("other", other, &shop),
    ];
    let mut bought = Vec::new();
    for task in tasks {
        bought.push(task.await.unwrap());
    }
    assert_eq!(bought[2], 8);
    assert!(bought[0] + bought[1] > 0, "{bought:?}");
    town.is_whole(&[person(0x41).party(), person(0x42).party(), seller()]).await;
    let sold = town.line(seller(), Line::Sales);
    let spent = |number: u8| town.line(person(number).party(), Line::Purchases);
    assert_eq!(sold.0, spent(0x41).0 + spent(0x42).0);
    assert_eq!((spent(0x41).1, spent(0x42).1), (0, 0));
}

#[tokio::test]
async fn after_the_journal_is_lost_the_chain_and_the_sellers_proof_tell_the_rest() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let before = buyer(&town, 0x41).await;
    for number in 1..=4 {
        pays(&before, &shop, &format!("job:{number}")).await;
    }
    drop(before);
    // A new home with the old key.
    let ledger = Ledger::in_memory(town.clock.clone());
    let mandates = Mandates::open(ledger.clone(), &[]).unwrap();
    let key = person(0x41);
    mandates.open_book(key.party(), Asset::MUSD).await.unwrap();
    let parties: Vec<Party> = vec![key.party()];
    let from = payments::opening_block(&ledger, &town.chain, &parties).await.unwrap();
    let signed = SignedMandate::sign(mandate(WALLET, WALLET, 9), &owner()).unwrap();
    mandates.grant(signed).await.unwrap();
    let keeper = Bookkeeper::new(
        ledger.clone(),
        mandates.clone(),
        town.chain.clone(),
        town.clock.clone(),
        parties,
        from,
    );
    let buyer = Buyer::new(Parts {
        key,
        mandates: mandates.clone(),
        ledger: ledger.clone(),
        chain: town.chain.clone(),
        clock: town.clock.clone(),
        entropy: Arc::new(|| [9; 32]),
        http: town::http(),
        limits: limits(),
    });
    let between = Meddler::before(&shop, Vec::new()).await;
    let bought = buyer.buy_by(&between.purchase(&shop, "job:5"), CHANNEL).await.unwrap();
    assert_eq!(bought.paid.unwrap().amount, musd(COST));
    assert_eq!(between.kinds(), ["voucher", "voucher"], "no second deposit");
    assert_eq!(figures(&buyer), (10 * COST, 5 * COST, 0));
    assert_eq!(mandates.left(buyer.party()).unwrap().lifetime, musd(WALLET));
    assert_eq!(keeper.reconcile(true).await.unwrap().breaks, []);
    let url = shop.url.parse().unwrap();
    let closed = buyer.close_channel(only(&buyer).id, Some(&url)).await.unwrap();
    assert_eq!(closed, Closed::Refunded { amount: musd(5 * COST) });
    assert_eq!(keeper.reconcile(true).await.unwrap().breaks, []);
    // Room that was never taken is not given back.
    assert_eq!(mandates.left(buyer.party()).unwrap().lifetime, musd(WALLET));
}

#[tokio::test]
async fn a_seller_that_is_gone_keeps_nothing() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let buyer = buyer(&town, 0x41).await;
    pays(&buyer, &shop, "job:1").await;
    shop.gate.collect(Collect::All).await;
    drop(shop);
    let id = only(&buyer).id;
    let Closed::Waiting { amount, until, cause } = buyer.close_channel(id, None).await.unwrap()
    else {
        panic!("nobody is there to give it back");
    };
    assert_eq!((amount, cause.is_some()), (musd(9 * COST), true));
    let again = buyer.close_channel(id, None).await.unwrap();
    assert_eq!(again, Closed::Waiting { amount, until, cause: None });
    assert!(until >= town.clock.now());
    passes(&town, until).await;
    let closed = buyer.close_channel(id, None).await.unwrap();
    assert_eq!(closed, Closed::Withdrawn { amount: musd(9 * COST) });
    town.is_whole(&[buyer.party(), seller()]).await;
    assert_eq!(town.line(buyer.party(), Line::Cash), (WALLET - COST, 0));
    assert_eq!(room(&town, &buyer), 2 * WALLET - COST);
    let nobodys = buyer.close_channel(B256::repeat_byte(1), None).await.unwrap_err();
    assert!(matches!(nobodys, BuyError::Channel { .. }), "{nobodys}");
}

#[tokio::test]
async fn terms_that_would_hold_money_for_too_long_are_not_taken() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let buyer = buyer(&town, 0x41).await;
    for delay in [json!(899), json!(30 * 24 * 60 * 60 + 1), json!(2 * 24 * 60 * 60), json!("900")] {
        let changed = shop.purchase("job:1");
        let mut quote = buyer.quote(&changed).await.unwrap().unwrap();
        for way in quote.accepts.iter_mut().filter(|w| w.scheme == channel::SCHEME) {
            way.extra.as_mut().unwrap().insert("withdrawDelay".into(), delay.clone());
        }
        let seller = Quotes::open(quote).await;
        let purchase = payments::Purchase { url: seller.0.parse().unwrap(), ..changed };
        let error = buyer.buy_by(&purchase, CHANNEL).await.unwrap_err();
        assert!(matches!(error, BuyError::NoWayToPay { .. }), "{delay}: {error}");
    }
    assert!(buyer.channels().unwrap().is_empty());
}

/// Somebody who only quotes.
struct Quotes(String, tokio::task::JoinHandle<()>);

impl Drop for Quotes {
    fn drop(&mut self) {
        self.1.abort();
    }
}

impl Quotes {
    async fn open(quote: payments::wire::PaymentRequired) -> Quotes {
        use axum::response::IntoResponse as _;
        let app = axum::Router::new().fallback(move || {
            let mut response = http::StatusCode::PAYMENT_REQUIRED.into_response();
            let header = payments::wire::PAYMENT_REQUIRED;
            response.headers_mut().insert(header, payments::wire::encode(&quote));
            async move { response }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/work", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Quotes(url, server)
    }
}
