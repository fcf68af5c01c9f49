//! The scheme `auth-capture` between real parts: money into escrow before the work, on or back after
//! it, and books that are the chain at each step.

use crate::town;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use futures_util::future::BoxFuture;
use ledger::Status;
use mandates::Key;
use mandates::books::{self, Line};
use payments::wire::{PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse};
use payments::{
    BuyError, BuyerLimits, EmbeddedFacilitator, EscrowTerms, Facilitator, FacilitatorError,
    GateLimits, PaymentFlow, auth_capture,
};
use settlement::SenderLimits;
use settlement::escrow::{Act, Fee, SignedEscrow};
use town::escrow::{self, in_escrow};
use town::faulty::{Fault, Faulty};
use town::shop::{Answer, Shop};
use town::{PRICE, Town, http, musd, person, seller};

const COSTS: i128 = PRICE as i128;
const WALLET: i128 = 1_000_000;

async fn scene() -> (Town, Shop, Key) {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(WALLET)).await;
    let shop = open(&town, escrow::terms(&town)).await;
    (town, shop, payer)
}

async fn open(town: &Town, terms: EscrowTerms) -> Shop {
    town.shop_of(town.facilitator(), GateLimits::default(), escrow::only(terms)).await
}

#[tokio::test]
async fn a_purchase_goes_through_escrow_and_both_books_are_the_chain() {
    let (town, shop, _) = scene().await;
    let buyer = town.buyer(0x31, musd(WALLET)).await;
    let bought = buyer.buy_by(&shop.purchase("hello"), Some("auth-capture")).await.unwrap();
    assert_eq!(bought.status, 200);
    let paid = bought.paid.unwrap();
    assert_eq!(paid.amount, musd(COSTS));
    assert_eq!(paid.left.lifetime, musd(1_000_000_000 - COSTS));
    let party = buyer.party();
    assert_eq!(town.owns(seller()).await, COSTS);
    assert_eq!(town.owns(party).await, WALLET - COSTS);
    assert_eq!(town.line(party, Line::Purchases), (COSTS, 0));
    assert_eq!(town.line(party, Line::Escrow), (0, 0));
    assert_eq!(town.line(seller(), Line::Sales), (COSTS, 0));
    assert_eq!(in_escrow(&town, escrow::terms(&town)).await, 0);
    town.is_whole(&[party, seller()]).await;
    // The automatic choice takes it too, where it is the only way.
    assert!(buyer.buy(&shop.purchase("again")).await.unwrap().paid.is_some());
    town.is_whole(&[party, seller()]).await;
}

#[tokio::test]
async fn a_quote_tells_what_stock_clients_need() {
    let (town, shop, _) = scene().await;
    let answer = Answer::of(http().post(&shop.url).send().await.unwrap()).await;
    let way = answer.quote.unwrap().accepts.remove(0);
    assert_eq!(way.scheme, "auth-capture");
    let now = town::START.as_secs();
    let us = town.chain.sender().to_string();
    let nobody = alloy_primitives::Address::ZERO.to_string();
    assert_eq!(
        serde_json::Value::Object(way.extra.unwrap()),
        serde_json::json!({
            "name": "Machina Dollar",
            "version": "1",
            "paymentFlow": "escrow",
            "captureAuthorizer": us,
            "feeRecipient": nobody,
            "minFeeBps": 0,
            "maxFeeBps": 0,
            "autoCapture": false,
            "captureMode": "sync",
            "captureDeadline": now + 3600,
            "refundDeadline": now + 7 * 24 * 3600,
        })
    );
    let supported = serde_json::to_value(town.facilitator().supported()).unwrap();
    assert!(supported["kinds"].as_array().unwrap().contains(&serde_json::json!({
        "x402Version": 2, "scheme": "auth-capture", "network": "eip155:402402",
        "extra": { "captureAuthorizer": us }
    })));
}

#[tokio::test]
async fn what_the_work_cost_is_captured_and_the_rest_comes_back() {
    let (town, shop, _) = scene().await;
    let buyer = town.buyer(0x31, musd(WALLET)).await;
    for (number, (used, captured)) in
        [(2_500, 2_500), (0, 0), (COSTS, COSTS), (COSTS + 1, COSTS)].into_iter().enumerate()
    {
        let before = town.owns(seller()).await;
        let left = town.mandates.left(buyer.party()).unwrap().lifetime.minor();
        let purchase = shop.purchase(&format!("used:{used}:{number}"));
        let bought = buyer.buy(&purchase).await.unwrap();
        assert_eq!(bought.status, 200);
        let paid = bought.paid.map_or(0, |p| p.amount.minor());
        assert_eq!(paid, captured, "{used}");
        assert_eq!(town.owns(seller()).await - before, captured, "{used}");
        let now = town.mandates.left(buyer.party()).unwrap().lifetime.minor();
        assert_eq!(left - now, captured, "room comes back with the money: {used}");
        assert_eq!(in_escrow(&town, escrow::terms(&town)).await, 0);
        town.is_whole(&[buyer.party(), seller()]).await;
    }
}

#[tokio::test]
async fn work_that_fails_gives_all_back_and_its_failure_is_the_stored_answer() {
    let (town, shop, payer) = scene().await;
    for (number, (body, status)) in
        [("fail", 500), ("no", 422), ("panic", 502)].into_iter().enumerate()
    {
        let payment = escrow::payment(&town, &payer, number as u64, escrow::terms(&town));
        let answer = shop.pay(&payment, body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        let receipt = answer.receipt.clone().unwrap();
        assert_eq!((receipt.success, receipt.amount.as_deref()), (true, Some("0")), "{body}");
        assert_eq!(receipt.extra.unwrap()["returnedAmount"], PRICE.to_string());
        assert_eq!(shop.pay(&payment, body).await, answer, "{body}");
        assert_eq!(shop.work.count(), number + 1, "{body}");
        assert_eq!(town.owns(payer.party()).await, WALLET, "{body}: it came back");
        assert_eq!(town.line(seller(), Line::Sales), (0, 0), "{body}");
    }
    let buyer = town.buyer(0x31, musd(WALLET)).await;
    match buyer.buy(&shop.purchase("no:1")).await {
        Err(BuyError::NotCaptured { status, rest, .. }) => {
            assert_eq!(status, 422);
            assert!(rest.contains("came back"), "{rest}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(town.mandates.left(buyer.party()).unwrap().lifetime, musd(1_000_000_000));
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_sent_twenty_times_at_once_works_once_and_is_captured_once() {
    let (town, shop, payer) = scene().await;
    let payment = escrow::payment(&town, &payer, 1, escrow::terms(&town));
    let sent: Vec<_> = (0..20)
        .map(|_| {
            let request = shop.request(&payment, "wait");
            tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await })
        })
        .collect();
    shop.work.begins().await;
    // While the work goes on the money is the escrow's, and another request gets nothing by it.
    assert_eq!(in_escrow(&town, escrow::terms(&town)).await, COSTS);
    assert_eq!((town.owns(seller()).await, town.owns(payer.party()).await), (0, WALLET - COSTS));
    let other = shop.pay(&payment, "hello").await;
    assert_eq!((other.status, other.code().as_str()), (409, "payment_already_used"));
    shop.work.may_end.add_permits(20);
    let mut answers = Vec::new();
    for answer in sent {
        answers.push(answer.await.unwrap());
    }
    assert_eq!(answers[0].status, 200, "{}", answers[0].text);
    assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
    assert_eq!(shop.work.count(), 1);
    assert_eq!(town.owns(seller()).await, COSTS);
    assert_eq!(shop.pay(&payment, "wait").await, answers[0]);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn whatever_the_facilitator_answers_the_chain_decides() {
    // The first settlement authorizes, the second captures.
    for (into, out) in [
        (Fault::LostAnswer, Fault::None),
        (Fault::Garbage, Fault::LostAnswer),
        (Fault::SaysNo, Fault::Garbage),
        (Fault::None, Fault::SaysNo),
        (Fault::None, Fault::FailsBefore),
        (Fault::None, Fault::SaysYes),
        (Fault::HangsAfter, Fault::HangsAfter),
        (Fault::None, Fault::HangsBefore),
    ] {
        let town = Town::begin().await;
        let payer = person(0x21);
        town.give(payer.party(), musd(WALLET)).await;
        let faulty = Faulty::new(town.facilitator(), &[into, out]);
        let limits = GateLimits { settle_wait: Duration::from_millis(300), ..Default::default() };
        let terms = escrow::terms(&town);
        let shop = town.shop_of(faulty, limits, escrow::only(terms)).await;
        let payment = escrow::payment(&town, &payer, 1, terms);
        let mut answer = shop.pay(&payment, "hello").await;
        if answer.status == 503 {
            answer = shop.pay(&payment, "hello").await;
        }
        assert_eq!(answer.status, 200, "{into:?} {out:?}: {}", answer.text);
        assert_eq!(shop.pay(&payment, "hello").await, answer, "{into:?} {out:?}");
        assert_eq!((shop.work.count(), town.owns(seller()).await), (1, COSTS));
        assert_eq!(town.line(seller(), Line::Sales), (COSTS, 0), "{into:?} {out:?}");
        town.is_whole(&[seller()]).await;
    }
}

#[tokio::test]
async fn an_authorization_that_only_the_facilitator_knows_of_starts_no_work() {
    for fault in [Fault::SaysYes, Fault::FailsBefore, Fault::HangsBefore] {
        let town = Town::begin().await;
        let payer = person(0x21);
        town.give(payer.party(), musd(WALLET)).await;
        let faulty = Faulty::new(town.facilitator(), &[fault]);
        let limits = GateLimits { settle_wait: Duration::from_millis(100), ..Default::default() };
        let terms = escrow::terms(&town);
        let shop = town.shop_of(faulty, limits, escrow::only(terms)).await;
        let payment = escrow::payment(&town, &payer, 1, terms);
        let answer = shop.pay(&payment, "hello").await;
        assert_eq!(answer.status, 503, "{fault:?}: {}", answer.text);
        assert_eq!(shop.work.count(), 0, "{fault:?}");
        assert_eq!(town.line(seller(), Line::Sales), (0, COSTS), "{fault:?}: the hold stays");
        // Until the payment has ended it may still come; then the hold goes.
        assert_eq!(shop.gate.recover(seller()).await, (0, 1), "{fault:?}");
        town.clock.advance(Duration::from_secs(200));
        assert_eq!(shop.gate.recover(seller()).await, (1, 0), "{fault:?}");
        assert_eq!(town.line(seller(), Line::Sales), (0, 0), "{fault:?}");
        assert_eq!(town.owns(payer.party()).await, WALLET);
        town.is_whole(&[seller()]).await;
    }
}

#[tokio::test]
async fn a_crash_at_any_point_ends_in_one_capture_and_the_answer_or_in_all_given_back() {
    // The body, the settlement (authorize, capture) that fails, and whether its answer is there.
    for (body, faults) in [
        ("wait", vec![]),
        ("hello", vec![Fault::HangsAfter]),
        ("hello", vec![Fault::None, Fault::HangsBefore]),
        ("hello", vec![Fault::None, Fault::HangsAfter]),
        ("used:2500", vec![Fault::None, Fault::HangsAfter]),
        ("used:2500", vec![Fault::None, Fault::None, Fault::HangsBefore]),
        ("no", vec![Fault::None, Fault::HangsBefore]),
        ("no", vec![Fault::None, Fault::HangsAfter]),
    ] {
        let town = Town::begin().await;
        let payer = person(0x21);
        town.give(payer.party(), musd(WALLET)).await;
        let terms = escrow::terms(&town);
        let faulty = Faulty::new(town.facilitator(), &faults);
        let shop = town.shop_of(faulty.clone(), GateLimits::default(), escrow::only(terms)).await;
        let payment = escrow::payment(&town, &payer, 1, terms);
        let request = shop.request(&payment, body);
        let hopeful = tokio::spawn(async move { request.send().await });
        if faults.is_empty() {
            shop.work.begins().await;
        }
        for _ in &faults {
            faulty.is_reached().await;
        }
        hopeful.abort();
        drop(shop);
        let town = town.crash().await;
        assert_eq!(town.line(seller(), Line::Sales), (0, COSTS), "held before work: {body}");
        let shop = open(&town, terms).await;
        assert_eq!(shop.gate.recover(seller()).await, (1, 0), "{body} {faults:?}");
        assert_eq!(shop.gate.recover(seller()).await, (0, 0), "{body} {faults:?}");
        let answer = shop.pay(&payment, body).await;
        assert_eq!(shop.work.count(), 0, "{body} {faults:?}: it does not begin again");
        let (status, paid) = match (body, faults.len()) {
            ("hello", 1) | ("wait", _) => (502, 0),
            ("hello", _) => (200, COSTS),
            ("no", _) => (422, 0),
            _ => (200, 2_500),
        };
        assert_eq!(
            (answer.status, town.owns(seller()).await),
            (status, paid),
            "{body} {faults:?}: {}",
            answer.text
        );
        assert_eq!(town.owns(payer.party()).await, WALLET - paid, "{body} {faults:?}");
        assert_eq!(town.line(seller(), Line::Sales), (paid, 0));
        assert_eq!(shop.pay(&payment, body).await, answer);
        town.is_whole(&[seller()]).await;
    }
}

#[tokio::test]
async fn what_nobody_captured_in_time_its_payer_takes_back() {
    let town = Town::begin().await;
    let terms = escrow::terms(&town);
    // The seller dies once the money is in escrow.
    let faulty = Faulty::new(town.facilitator(), &[Fault::HangsAfter]);
    let shop = town.shop_of(faulty, GateLimits::default(), escrow::only(terms)).await;
    let limits = BuyerLimits {
        attempts: 1,
        request_wait: Duration::from_millis(300),
        ..BuyerLimits::default()
    };
    let buyer = town.buyer_with(0x31, musd(WALLET), musd(WALLET), limits).await;
    let party = buyer.party();
    match buyer.buy(&shop.purchase("hello")).await {
        Err(BuyError::NotCaptured { rest, .. }) => assert!(rest.contains("lies in escrow")),
        other => panic!("{other:?}"),
    }
    drop(shop);
    assert_eq!(town.line(party, Line::Escrow), (COSTS, 0));
    assert_eq!(town.mandates.left(party).unwrap().lifetime, musd(WALLET - COSTS));
    town.is_whole(&[party]).await;
    // Not before its time; then once.
    assert_eq!(buyer.reclaim(SenderLimits::default()).await.unwrap().len(), 0);
    town.clock.advance(Duration::from_secs(escrow::HOUR + 60));
    assert_eq!(buyer.reclaim(SenderLimits::default()).await.unwrap().len(), 1);
    assert_eq!(buyer.reclaim(SenderLimits::default()).await.unwrap().len(), 0);
    assert_eq!(town.owns(party).await, WALLET);
    town.is_whole(&[party]).await;
    assert_eq!(town.line(party, Line::Escrow), (0, 0));
    assert_eq!(town.mandates.left(party).unwrap().lifetime, musd(WALLET));
    // The seller comes back and finds nothing to capture.
    let town = town.crash().await;
    let shop = open(&town, terms).await;
    assert_eq!(shop.gate.recover(seller()).await, (1, 0));
    assert_eq!(town.line(seller(), Line::Sales), (0, 0));
    town.is_whole(&[party, seller()]).await;
}

#[tokio::test]
async fn a_seller_who_comes_back_too_late_to_capture_gives_back() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(WALLET)).await;
    let terms = escrow::terms(&town);
    let faulty = Faulty::new(town.facilitator(), &[Fault::None, Fault::HangsBefore]);
    let shop = town.shop_of(faulty.clone(), GateLimits::default(), escrow::only(terms)).await;
    let payment = escrow::payment(&town, &payer, 1, terms);
    let request = shop.request(&payment, "hello");
    let hopeful = tokio::spawn(async move { request.send().await });
    faulty.is_reached().await;
    faulty.is_reached().await;
    hopeful.abort();
    drop(shop);
    let town = town.crash().await;
    town.clock.advance(Duration::from_secs(escrow::HOUR));
    let shop = open(&town, terms).await;
    assert_eq!(shop.gate.recover(seller()).await, (1, 0));
    let answer = shop.pay(&payment, "hello").await;
    assert_eq!(answer.status, 402, "{}", answer.text);
    assert_eq!((town.owns(seller()).await, town.owns(payer.party()).await), (0, WALLET));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_refund_comes_out_of_the_operators_pocket_into_the_buyers_books() {
    let (town, shop, _) = scene().await;
    let buyer = town.buyer(0x31, musd(WALLET)).await;
    let paid = buyer.buy(&shop.purchase("hello")).await.unwrap().paid.unwrap();
    let signed = signed_of(&town, paid.reference);
    let agent = town.facilitator().escrow_agent();
    // The operator owns nothing.
    let poor = agent.refund(&signed, musd(4_000)).await;
    assert!(poor.is_err(), "{poor:?}");
    town.give(town.chain.sender().into(), musd(COSTS)).await;
    let history = agent.refund(&signed, musd(4_000)).await.unwrap();
    assert_eq!(history.refunded(), U256::from(4_000));
    // Nothing more of the operator's can be moved by anybody.
    let collector = protocol::addresses::OPERATOR_REFUND_COLLECTOR;
    let left = town.chain.token_allowance(town.chain.sender(), collector).await.unwrap();
    assert_eq!(left, U256::ZERO);
    // The same refund again is the same.
    agent.refund(&signed, musd(4_000)).await.unwrap();
    assert!(agent.refund(&signed, musd(COSTS + 1)).await.is_err());
    assert_eq!(town.owns(buyer.party()).await, WALLET - COSTS + 4_000);
    town.is_whole(&[buyer.party(), seller()]).await;
    assert_eq!(town.line(buyer.party(), Line::Purchases), (COSTS, 0));
    let left = town.mandates.left(buyer.party()).unwrap();
    assert_eq!(left.lifetime, musd(1_000_000_000 - COSTS + 4_000));
}

fn signed_of(town: &Town, reference: ledger::Reference) -> settlement::escrow::SignedEscrow {
    let documents = town.ledger.evidence(reference).unwrap();
    let payment = documents.iter().find(|d| d.evidence.stage == "buyer/payment").unwrap();
    let payment: payments::wire::PaymentPayload =
        serde_json::from_slice(&payment.evidence.body).unwrap();
    auth_capture::read(&payment.payload, &payment.accepted).unwrap().signed
}

#[tokio::test]
async fn a_labour_market_pays_a_job_on_a_checks_word() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(WALLET)).await;
    let agent = town.facilitator().escrow_agent();
    let terms = escrow::terms(&town);
    let job = escrow::sign(&town, &payer, escrow::order(&town, payer.party(), 1, terms));
    // Funded once, however often it is asked for.
    for _ in 0..3 {
        let history = agent.authorize(&job).await.unwrap();
        assert_eq!(history.capturable(), job.most());
    }
    // Two milestones, each told twice and the second by two at once.
    for _ in 0..2 {
        agent.capture(&job, musd(3_000)).await.unwrap();
    }
    let (one, two) =
        tokio::join!(agent.capture(&job, musd(5_000)), agent.capture(&job, musd(5_000)));
    assert!(one.is_ok() || two.is_ok());
    assert_eq!(agent.history(&job).await.unwrap().captured().to::<i128>(), 5_000);
    assert!(agent.capture(&job, musd(COSTS + 1)).await.is_err());
    // The check says no to the rest.
    for _ in 0..2 {
        agent.void(&job).await.unwrap();
    }
    assert_eq!(town.owns(seller()).await, 5_000);
    assert_eq!(town.owns(payer.party()).await, WALLET - 5_000);
    assert!(agent.capture(&job, musd(6_000)).await.is_err());
}

#[tokio::test]
async fn through_permit2_and_with_fees_it_is_the_same() {
    let town = Town::begin().await;
    let recipient = person(0x55).party();
    let terms = EscrowTerms {
        by_permit: true,
        min_fee_bps: 250,
        max_fee_bps: 500,
        fee_recipient: recipient.into(),
        ..escrow::terms(&town)
    };
    let shop = open(&town, terms).await;
    let buyer = town.buyer(0x31, musd(WALLET)).await;
    // Without an approval of Permit2 it is no way to pay.
    assert!(matches!(buyer.buy(&shop.purchase("hello")).await, Err(BuyError::NoWayToPay { .. })));
    town::permits::approve(&town, &person(0x31), alloy_primitives::U256::MAX).await;
    let paid = buyer.buy(&shop.purchase("used:8000")).await.unwrap().paid.unwrap();
    assert_eq!(paid.amount, musd(8_000));
    assert_eq!(town.owns(recipient).await, 200, "2.5 % of 8,000");
    assert_eq!(town.owns(seller()).await, 7_800);
    assert_eq!(town.line(seller(), Line::Sales), (7_800, 0), "what came in, without the fee");
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn a_charge_moves_what_the_work_cost_without_lying_in_escrow() {
    for flow in [PaymentFlow::Authorization, PaymentFlow::Upfront] {
        let town = Town::begin().await;
        let shop = open(&town, EscrowTerms { flow, ..escrow::terms(&town) }).await;
        let buyer = town.buyer(0x31, musd(WALLET)).await;
        let costs = if flow == PaymentFlow::Upfront { COSTS } else { 2_500 };
        let paid = buyer.buy(&shop.purchase("used:2500")).await.unwrap().paid.unwrap();
        assert_eq!(paid.amount, musd(costs), "{flow:?}");
        assert_eq!(town.owns(seller()).await, costs, "{flow:?}");
        assert_eq!(town.line(buyer.party(), Line::Purchases), (costs, 0), "{flow:?}");
        assert_eq!(town.line(seller(), Line::Sales), (costs, 0), "{flow:?}");
        town.is_whole(&[buyer.party(), seller()]).await;
        // Work that fails: nothing moved, or it is said plainly that something did.
        match (flow, buyer.buy(&shop.purchase("no:1")).await) {
            (PaymentFlow::Upfront, Err(BuyError::PaidNotDelivered { amount, .. })) => {
                assert_eq!(amount, musd(COSTS));
            }
            (PaymentFlow::Authorization, Err(BuyError::NotDelivered { .. })) => {}
            (flow, other) => panic!("{flow:?}: {other:?}"),
        }
        town.clock.advance(Duration::from_secs(200));
        town.is_whole(&[buyer.party(), seller()]).await;
    }
}

#[tokio::test]
async fn exact_upfront_is_settled_before_the_work_and_a_failure_says_so() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(WALLET)).await;
    let upfront = |offer: &mut payments::Offer| offer.upfront = true;
    let shop = town.shop_of(town.facilitator(), GateLimits::default(), upfront).await;
    let pay = |number: u64| {
        let mut payment = town.payment(&payer, number);
        let extra = payment.accepted.extra.as_mut().unwrap();
        extra.insert("paymentFlow".into(), "upfront".into());
        payment
    };
    // A payment that does not say so is for another offer.
    assert_eq!(shop.pay(&town.payment(&payer, 9), "hello").await.status, 402);
    let request = shop.request(&pay(1), "wait");
    let answer = tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await });
    shop.work.begins().await;
    assert_eq!(town.owns(seller()).await, COSTS, "paid before the work ends");
    assert_eq!(town.line(seller(), Line::Sales), (COSTS, 0));
    shop.work.may_end.add_permits(1);
    let answer = answer.await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(shop.pay(&pay(1), "wait").await, answer);
    // The machine breaks down.
    let failed = shop.pay(&pay(2), "panic").await;
    assert_eq!(failed.status, 502);
    assert!(failed.text.contains("failed after it was paid"), "{}", failed.text);
    assert!(failed.receipt.as_ref().unwrap().success);
    assert_eq!(shop.pay(&pay(2), "panic").await, failed);
    assert_eq!((shop.work.count(), town.owns(seller()).await), (2, 2 * COSTS));
    town.is_whole(&[seller()]).await;
    shop.work.begins().await;

    // Interrupted: it is paid, its work does not begin again, and it is said.
    let payment = pay(3);
    let request = shop.request(&payment, "wait");
    let hopeful = tokio::spawn(async move { request.send().await });
    shop.work.begins().await;
    hopeful.abort();
    drop(shop);
    let town = town.crash().await;
    let shop = town.shop_of(town.facilitator(), GateLimits::default(), upfront).await;
    shop.gate.recover(seller()).await;
    let answer = shop.pay(&payment, "wait").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text.contains("after it was paid"), "{}", answer.text);
    assert_eq!((shop.work.count(), town.owns(seller()).await), (0, 3 * COSTS));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn exact_upfront_crashed_between_hold_and_settlement_is_resolved_by_the_chain() {
    for (fault, paid) in [(Fault::HangsBefore, 0), (Fault::HangsAfter, COSTS)] {
        let town = Town::begin().await;
        let payer = person(0x21);
        town.give(payer.party(), musd(WALLET)).await;
        let upfront = |offer: &mut payments::Offer| offer.upfront = true;
        let faulty = Faulty::new(town.facilitator(), &[fault]);
        let shop = town.shop_of(faulty.clone(), GateLimits::default(), upfront).await;
        let mut payment = town.payment(&payer, 1);
        let extra = payment.accepted.extra.as_mut().unwrap();
        extra.insert("paymentFlow".into(), "upfront".into());
        let request = shop.request(&payment, "hello");
        let hopeful = tokio::spawn(async move { request.send().await });
        faulty.is_reached().await;
        hopeful.abort();
        drop(shop);
        let town = town.crash().await;
        let shop = town.shop_of(town.facilitator(), GateLimits::default(), upfront).await;
        let first = shop.gate.recover(seller()).await;
        assert_eq!(first, if paid > 0 { (1, 0) } else { (0, 1) }, "{fault:?}");
        town.clock.advance(Duration::from_secs(200));
        shop.gate.recover(seller()).await;
        assert_eq!(town.line(seller(), Line::Sales), (paid, 0), "{fault:?}");
        assert_eq!(town.owns(seller()).await, paid);
        assert_eq!(shop.pay(&payment, "hello").await.status, 502);
        assert_eq!(shop.work.count(), 0);
        town.is_whole(&[seller()]).await;
    }
}

#[tokio::test]
async fn a_held_payment_is_posted_only_by_what_reached_the_seller() {
    let (town, shop, payer) = scene().await;
    let terms = escrow::terms(&town);
    let signed = escrow::sign(&town, &payer, escrow::order(&town, payer.party(), 1, terms));
    let payment = escrow::wrap(escrow::asked(&town, terms), signed.clone());
    let request = shop.request(&payment, "wait");
    let answer = tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await });
    shop.work.begins().await;
    // Somebody else with the operator's key voids it during the work.
    town.facilitator().escrow_agent().void(&signed).await.unwrap();
    shop.work.may_end.add_permits(1);
    let answer = answer.await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (402, "zero_authorization"));
    assert!(!answer.text.contains("turn"), "the work was withheld");
    let sale = books::sale_id(auth_capture::reference(&signed, town.token().chain_id));
    let status = town.ledger.read(|s| s.transfer(&sale).unwrap().status);
    assert!(matches!(status, Status::Voided { .. }));
    assert_eq!((town.owns(seller()).await, town.owns(payer.party()).await), (0, WALLET));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_part_that_somebody_else_captured_is_not_the_price() {
    for voided in [false, true] {
        let (town, shop, payer) = scene().await;
        let terms = escrow::terms(&town);
        let signed = escrow::sign(&town, &payer, escrow::order(&town, payer.party(), 1, terms));
        let payment = escrow::wrap(escrow::asked(&town, terms), signed.clone());
        let request = shop.request(&payment, "wait");
        let answer = tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await });
        shop.work.begins().await;
        let agent = town.facilitator().escrow_agent();
        agent.capture(&signed, musd(1)).await.unwrap();
        if voided {
            agent.void(&signed).await.unwrap();
        }
        shop.work.may_end.add_permits(1);
        let answer = answer.await.unwrap();
        let paid = match voided {
            false => {
                assert_eq!(answer.status, 200, "{}", answer.text);
                assert_eq!(answer.receipt.as_ref().unwrap().amount, Some(COSTS.to_string()));
                COSTS
            }
            true => {
                let told = (answer.status, answer.code());
                assert_eq!(told, (402, "insufficient_authorization".into()));
                assert!(!answer.text.contains("turn"), "the work was withheld");
                1
            }
        };
        assert_eq!(shop.pay(&payment, "wait").await, answer);
        assert_eq!(town.owns(seller()).await, paid);
        assert_eq!(town.owns(payer.party()).await, WALLET - paid);
        town.is_whole(&[seller()]).await;
    }
}

/// A facilitator to which somebody has just brought the same payment with other terms.
struct Overtaken {
    real: Arc<EmbeddedFacilitator>,
    order: SignedEscrow,
    act: Act,
}

impl Facilitator for Overtaken {
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
        Box::pin(async move {
            // The second time it is refused: a payment is collected once.
            let _ = self.real.escrow_agent().act(&self.order.payment, &self.act, None).await;
            self.real.settle(payment, requirements).await
        })
    }

    fn proves_success(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn less_than_the_price_starts_no_work_whoever_was_faster() {
    for (charged, amount, paid) in [(true, 1, 1), (false, 1, 0), (true, PRICE, COSTS)] {
        let town = Town::begin().await;
        let payer = person(0x21);
        town.give(payer.party(), musd(WALLET)).await;
        let terms = escrow::terms(&town);
        let signed = escrow::sign(&town, &payer, escrow::order(&town, payer.party(), 1, terms));
        let payment = escrow::wrap(escrow::asked(&town, terms), signed.clone());
        let (amount, by, signature) = (U256::from(amount), signed.by, signed.signature.clone());
        let act = match charged {
            true => Act::Charge { amount, by, signature, fee: Fee::default() },
            false => Act::Authorize { amount, by, signature },
        };
        let overtaken = Overtaken { real: town.facilitator(), order: signed, act };
        let limits = GateLimits::default();
        let shop = town.shop_of(Arc::new(overtaken), limits, escrow::only(terms)).await;
        let answer = shop.pay(&payment, "hello").await;
        if paid == COSTS {
            assert_eq!((answer.status, shop.work.count()), (200, 1), "{}", answer.text);
        } else {
            let told = (answer.status, answer.code());
            assert_eq!(told, (402, "insufficient_authorization".into()), "{}", answer.text);
            assert_eq!(shop.work.count(), 0);
        }
        assert_eq!(shop.pay(&payment, "hello").await, answer);
        assert_eq!(town.owns(seller()).await, paid);
        assert_eq!(town.owns(payer.party()).await, WALLET - paid, "the rest came back");
        town.is_whole(&[seller()]).await;
    }
}
