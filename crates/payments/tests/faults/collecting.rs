//! Claims and refunds that the facilitator refuses, and channels older than the books.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use mandates::books::Line;
use payments::channel::{Collect, TillLimits};
use payments::wire::{PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse};
use payments::{Facilitator, FacilitatorError, GateLimits};

use crate::town::shop::Shop;
use crate::town::vouchers::{COSTS, Client};
use crate::town::{PRICE, Town, canal, musd, person, seller};

const PRICED: i128 = PRICE as i128;

/// A facilitator that refuses what has a certain mark in it, and counts what it is asked.
struct Picky {
    real: Arc<dyn Facilitator>,
    /// What is refused: texts in a payload, in lower case, with the reason.
    marks: Mutex<HashSet<String>>,
    reason: &'static str,
    asked: AtomicUsize,
}

impl Picky {
    fn before(real: Arc<dyn Facilitator>, reason: &'static str) -> Arc<Picky> {
        Arc::new(Picky { real, marks: Mutex::default(), reason, asked: AtomicUsize::new(0) })
    }

    fn minds(&self, marks: &[String]) {
        *self.marks.lock().unwrap() = marks.iter().cloned().collect();
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::SeqCst)
    }
}

impl Facilitator for Picky {
    fn verify<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>> {
        self.real.verify(payment, requirements)
    }

    fn settle<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let text = payment.payload.to_string().to_lowercase();
        if self.marks.lock().unwrap().iter().any(|mark| text.contains(mark)) {
            let refused = SettleResponse {
                error_reason: Some(self.reason.into()),
                network: requirements.network.clone(),
                ..SettleResponse::default()
            };
            return Box::pin(async move { Ok(refused) });
        }
        self.real.settle(payment, requirements)
    }
}

/// A reason that says for sure that nothing was done.
const REFUSED: &str = "invalid_batch_settlement_evm_claim_simulation_failed";
/// One that leaves it open.
const OPEN: &str = "settlement_pending";

async fn charged(town: &Town, shop: &Shop, count: u8) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 0..count {
        let client = Client::funded(town, 0x31 + number, 1, 10 * COSTS).await;
        let paid = shop.pay(&client.voucher(COSTS), &format!("job:{number}")).await;
        assert_eq!(paid.status, 200, "{}", paid.text);
        clients.push(client);
    }
    clients
}

/// What tells a client's row in a claim.
fn mark(client: &Client) -> String {
    format!("\"payer\":\"{}\"", client.config.payer).to_lowercase()
}

#[tokio::test]
async fn a_claim_that_is_refused_is_halved_until_the_bad_row_stands_alone() {
    let town = Town::begin().await;
    let picky = Picky::before(town.channel_facilitator(), REFUSED);
    let (limits, till) = (GateLimits::default(), TillLimits::default());
    let shop = town.channel_shop_with(picky.clone(), limits, till).await;
    let clients = charged(&town, &shop, 8).await;
    picky.minds(&[mark(&clients[5])]);
    picky.asked();
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!((collected.channels, collected.failed), (7, 1), "{collected:?}");
    assert_eq!(collected.claimed, 7 * COSTS);
    // Eight, eight again as the chain has them now, then 4 + 4, 2 + 2, 1 + 1 and one payout.
    assert_eq!((collected.transactions, picky.asked()), (4, 9));
    assert_eq!(town.owns(seller()).await, 7 * PRICED);
    assert_eq!(town.on_chain(&clients[5].config).await.total_claimed, 0);
    town.is_whole(&[seller()]).await;

    // Two bad rows do not keep the others from being claimed, and nothing is lost by waiting.
    for (number, client) in clients.iter().enumerate() {
        let paid = shop.pay(&client.voucher(2 * COSTS), &format!("job:2:{number}")).await;
        assert_eq!(paid.status, 200, "{}", paid.text);
    }
    picky.minds(&[mark(&clients[5]), mark(&clients[0])]);
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!((collected.channels, collected.failed), (6, 2), "{collected:?}");
    picky.minds(&[]);
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!((collected.channels, collected.failed), (2, 0), "{collected:?}");
    assert_eq!(collected.claimed, 3 * COSTS);
    assert_eq!(town.owns(seller()).await, 16 * PRICED);
    assert_eq!(town.line(seller(), Line::Sales), (16 * PRICED, 0));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_claim_of_open_fate_says_nothing_against_its_rows() {
    let town = Town::begin().await;
    let picky = Picky::before(town.channel_facilitator(), OPEN);
    let (limits, till) = (GateLimits::default(), TillLimits::default());
    let shop = town.channel_shop_with(picky.clone(), limits, till).await;
    let clients = charged(&town, &shop, 4).await;
    picky.minds(&[mark(&clients[1])]);
    picky.asked();
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!((collected.channels, collected.failed, picky.asked()), (0, 4, 1), "{collected:?}");
    picky.minds(&[]);
    // Who needs its money now claims its own, and nobody else's.
    let another_s = Collect::Of(person(9).party());
    assert_eq!(shop.gate.collect(another_s).await.channels, 0);
    assert_eq!(shop.gate.collect(Collect::Of(seller())).await.channels, 4);
    assert_eq!(town.owns(seller()).await, 4 * PRICED);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_refund_that_is_refused_lets_go_what_was_held_unless_an_earlier_try_may_come() {
    // What the first try is told, and what is held for a refund after it and after a plain refusal.
    for (first, held) in [(REFUSED, 0), (OPEN, 9 * PRICED)] {
        let town = Town::begin().await;
        let real = town.channel_facilitator();
        let (early, late) = (Picky::before(real.clone(), first), Picky::before(real, REFUSED));
        let (limits, till) = (GateLimits::default(), TillLimits::default());
        let shop = town.channel_shop_with(early.clone(), limits, till).await;
        let client = charged(&town, &shop, 1).await.remove(0);
        let asks_back = client.refund(COSTS, None);
        early.minds(&["refundnonce".into()]);
        let told = shop.pay(&asks_back, "").await;
        assert_eq!(told.status, if held == 0 { 402 } else { 503 }, "{}", told.text);
        assert_eq!(town.unearned(&client.config).1, held);
        // Another try, of which the facilitator says for sure that it did nothing. The earlier one
        // was signed, and is good until its number is used: its money stays held.
        drop(shop);
        let shop = town.channel_shop_with(late.clone(), limits, till).await;
        late.minds(&["refundnonce".into()]);
        let told = shop.pay(&asks_back, "").await;
        assert_eq!((told.status, told.code().as_str()), (402, REFUSED), "{}", told.text);
        assert_eq!(town.unearned(&client.config).1, held);
        // Nothing is sold on what may go back.
        let next = shop.pay(&client.voucher(2 * COSTS), "job:2").await;
        assert_eq!(next.status, if held == 0 { 200 } else { 402 }, "{}", next.text);
        let total = if held == 0 { 2 } else { 1 };
        late.minds(&[]);
        let told = shop.pay(&client.refund(total * COSTS, None), "").await;
        assert_eq!(told.status, 200, "{}", told.text);
        let state = town.on_chain(&client.config).await;
        assert_eq!((state.balance, state.total_claimed), (total * COSTS, total * COSTS));
        assert_eq!(town.unearned(&client.config).1, 0);
        town.is_whole(&[seller()]).await;
    }
}

#[tokio::test]
async fn a_channel_older_than_the_books_is_refused_and_leaves_no_trace() {
    let town = Town::begin().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    // The home is first opened on a chain that was there before it, as with `--rpc`.
    let opened = payments::opening_block(&town.ledger, &town.chain, &[seller()]).await.unwrap();
    assert!(opened > 0);
    let books = || {
        payments::Bookkeeper::new(
            town.ledger.clone(),
            town.mandates.clone(),
            town.chain.clone(),
            town.clock.clone(),
            vec![seller()],
            opened,
        )
    };
    let whole = async || {
        let found = books().reconcile(true).await.unwrap();
        assert_eq!(found.breaks, [], "books and chain differ");
    };
    let shop = town.channel_shop().await;
    whole().await;
    // Its money came before the books, which therefore do not have it: nothing is sold on it.
    let told = shop.pay(&client.voucher(COSTS), "job:1").await;
    assert_eq!(told.status, 402, "{}", told.text);
    assert_eq!((shop.work.count(), town.line(seller(), Line::Sales)), (0, (0, 0)));
    whole().await;
    // Nor is more put into it: what was claimed and charged of it before is not known here.
    town.give(client.key.party(), musd(10 * PRICED)).await;
    let told = shop.pay(&client.deposit(&town, 5 * COSTS, COSTS, 77), "job:1").await;
    assert_ne!(told.status, 200, "{}", told.text);
    assert_eq!(canal::in_channels(&town).await, 10 * PRICED);
    assert_eq!(town.owns(client.key.party()).await, 10 * PRICED);
    whole().await;
    // Another channel of the same payer is as good as any.
    let client = Client::new(&town, 0x31, 2);
    let told = shop.pay(&client.deposit(&town, 5 * COSTS, COSTS, 78), "job:1").await;
    assert_eq!(told.status, 200, "{}", told.text);
    for number in 2..=5 {
        let told = shop.pay(&client.voucher(number * COSTS), &format!("job:{number}")).await;
        assert_eq!(told.status, 200, "{}", told.text);
    }
    assert_eq!(shop.pay(&client.voucher(6 * COSTS), "job:6").await.status, 402);
    assert_eq!(shop.gate.collect(Collect::All).await.claimed, 5 * COSTS);
    assert_eq!(town.owns(seller()).await, 5 * PRICED);
    whole().await;
}
