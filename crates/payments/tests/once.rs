//! Invariants 2 and 3: one payment, one piece of work, one charge, and the same answer each time.

use crate::town;

use std::sync::Arc;
use std::time::Duration;

use ledger::Status;
use mandates::books::{self, Line};
use payments::{GateLimits, exact, gate, wire};
use town::faulty::{Fault, Faulty};
use town::shop::{Answer, Shop};
use town::{PRICE, Town, http, musd, person, seller};

async fn scene() -> (Town, Shop, mandates::Key) {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let shop = town.shop().await;
    (town, shop, payer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_sent_twenty_times_at_once_works_once_and_pays_once() {
    let (town, shop, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    let sent: Vec<_> = (0..20)
        .map(|_| {
            let request = shop.request(&payment, "wait");
            tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await })
        })
        .collect();
    shop.work.begins().await;
    shop.work.may_end.add_permits(20);
    let mut answers = Vec::new();
    for answer in sent {
        answers.push(answer.await.unwrap());
    }
    assert_eq!(answers[0].status, 200, "{}", answers[0].text);
    assert!(answers[0].receipt.as_ref().unwrap().success);
    assert!(answers.iter().all(|a| *a == answers[0]), "{answers:?}");
    assert_eq!(shop.work.count(), 1);
    assert_eq!(town.owns(seller()).await, i128::from(PRICE));
    assert_eq!(town.line(seller(), Line::Sales), (i128::from(PRICE), 0));
    // Later, too.
    assert_eq!(shop.pay(&payment, "wait").await, answers[0]);
    assert_eq!(shop.work.count(), 1);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_payment_is_good_for_its_own_request_only() {
    let (town, shop, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    let first = shop.pay(&payment, "hello").await;
    assert_eq!(first.status, 200);
    let header = wire::encode(&payment);
    let other_path = http().post(shop.url.replace("/work", "/other"));
    let other_query = http().post(format!("{}?x=1", shop.url));
    let other_type = http().post(&shop.url).header("content-type", "text/html");
    for (name, request) in [
        ("another body", shop.request(&payment, "hullo")),
        (
            "another path",
            other_path
                .header("content-type", "text/plain")
                .header("payment-signature", &header)
                .body("hello"),
        ),
        (
            "another query",
            other_query
                .header("content-type", "text/plain")
                .header("payment-signature", &header)
                .body("hello"),
        ),
        ("another type", other_type.header("payment-signature", &header).body("hello")),
    ] {
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (409, "payment_already_used"),
            "{name}"
        );
        assert!(!answer.text.contains("turn"), "{name} got the work");
    }
    assert_eq!(shop.pay(&payment, "hello").await, first);
    assert_eq!((shop.work.count(), town.owns(seller()).await), (1, i128::from(PRICE)));
}

#[tokio::test]
async fn two_requests_with_one_payment_at_once_start_one_work() {
    let (town, shop, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    let first = shop.request(&payment, "wait");
    let first = tokio::spawn(async move { Answer::of(first.send().await.unwrap()).await });
    shop.work.begins().await;
    let second = shop.pay(&payment, "hello").await;
    assert_eq!((second.status, second.code().as_str()), (409, "payment_already_used"));
    shop.work.may_end.add_permits(1);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(shop.work.count(), 1);
}

#[tokio::test]
async fn who_knows_a_payments_number_gets_neither_the_answer_nor_in_its_way() {
    let (town, shop, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    let forged = {
        let mut order = town.sign(&payer, town.order(&payer, 1));
        order.signature = vec![0x11; 65].into();
        town.wrap(&order)
    };
    // While the work goes on, and after it.
    let running = shop.request(&payment, "wait");
    let running = tokio::spawn(async move { Answer::of(running.send().await.unwrap()).await });
    shop.work.begins().await;
    assert_eq!(shop.pay(&forged, "wait").await.status, 409);
    shop.work.may_end.add_permits(1);
    let answer = running.await.unwrap();
    assert_eq!(answer.status, 200);
    let thief = shop.pay(&forged, "wait").await;
    assert_eq!(thief.status, 409);
    assert!(!thief.text.contains("turn"));
    assert_eq!(shop.pay(&payment, "wait").await, answer);
}

#[tokio::test]
async fn work_that_fails_costs_nothing_and_its_failure_is_the_stored_answer() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let limits = GateLimits {
        work_wait: Duration::from_millis(300),
        max_answer: 100_000,
        ..GateLimits::default()
    };
    let shop = town.shop_with(town.facilitator(), limits).await;
    for (number, (body, status, text)) in [
        ("fail", 500, "it burnt"),
        ("no", 422, "not a picture"),
        ("panic", 502, "the machine broke down"),
        ("hang", 502, "it took longer than 300ms"),
        ("huge", 502, "its answer is larger than 100000 bytes"),
    ]
    .into_iter()
    .enumerate()
    {
        let payment = town.payment(&payer, number as u64);
        let answer = shop.pay(&payment, body).await;
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.text.contains(text), "{body}: {}", answer.text);
        assert!(answer.receipt.is_none(), "{body}");
        assert_eq!(shop.pay(&payment, body).await, answer, "{body}");
        assert_eq!(shop.work.count(), number + 1, "{body}");
    }
    assert_eq!(town.owns(seller()).await, 0);
    assert_eq!(town.line(seller(), Line::Sales), (0, 0));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_buyer_who_hangs_up_stops_nothing_and_may_ask_again() {
    let (town, shop, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    let request = shop.request(&payment, "wait");
    let gone = tokio::spawn(async move { request.send().await });
    shop.work.begins().await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let mut commits = town.ledger.subscribe();
    shop.work.may_end.add_permits(1);
    // Nobody asks; the work is done, kept and settled all the same.
    let sale = books::sale_id(reference(&town, &payment));
    while !matches!(town.ledger.read(|s| s.transfer(&sale).unwrap().status), Status::Posted { .. })
    {
        commits.recv().await.unwrap();
    }
    assert_eq!(town.owns(seller()).await, i128::from(PRICE));
    let answer = shop.pay(&payment, "wait").await;
    assert_eq!((answer.status, shop.work.count()), (200, 1));
    assert!(answer.receipt.unwrap().success);
}

fn reference(town: &Town, payment: &wire::PaymentPayload) -> ledger::Reference {
    exact::reference(&exact::read(&payment.payload).unwrap(), town.token())
}

#[tokio::test]
async fn a_buyer_who_hangs_up_at_any_moment_leaves_nothing_half_done() {
    let (town, shop, payer) = scene().await;
    for number in 0..40 {
        let payment = town.payment(&payer, number);
        let hurry = Duration::from_micros(150 * number);
        let _ = tokio::time::timeout(hurry, shop.request(&payment, "hello").send()).await;
        let answer = shop.pay(&payment, "hello").await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.text);
    }
    assert_eq!(shop.work.count(), 40);
    assert_eq!(town.owns(seller()).await, i128::from(PRICE) * 40);
    assert_eq!(town.line(seller(), Line::Sales), (i128::from(PRICE) * 40, 0));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_payer_who_moves_the_money_during_the_work_gets_no_answer() {
    let (town, shop, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    let request = shop.request(&payment, "wait");
    let answer = tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await });
    shop.work.begins().await;
    town::transfer(&town, &payer, person(0x44).party(), 1_000_000).await;
    shop.work.may_end.add_permits(1);
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (402, "invalid_exact_evm_insufficient_balance")
    );
    assert!(!answer.receipt.as_ref().unwrap().success);
    assert!(!answer.text.contains("turn"), "the work was withheld");
    assert_eq!(shop.pay(&payment, "wait").await, answer);
    assert_eq!(town.line(seller(), Line::Sales), (0, 0));
    // Cancelled during the work is the same.
    town.give(payer.party(), musd(1_000_000)).await;
    let payment = town.payment(&payer, 2);
    let request = shop.request(&payment, "wait");
    let answer = tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await });
    shop.work.begins().await;
    let nonce = exact::read(&payment.payload).unwrap().nonce;
    town::cancel(&town, &payer, nonce).await;
    shop.work.may_end.add_permits(1);
    let answer = answer.await.unwrap();
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (402, "invalid_exact_evm_nonce_already_used")
    );
    assert_eq!(town.owns(seller()).await, 0);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn whoever_pays_late_after_all_gets_the_withheld_answer() {
    let (town, shop, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    let request = shop.request(&payment, "wait");
    let answer = tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await });
    shop.work.begins().await;
    let friend = person(0x44);
    town::transfer(&town, &payer, friend.party(), 1_000_000).await;
    shop.work.may_end.add_permits(1);
    assert_eq!(answer.await.unwrap().status, 402);
    town::transfer(&town, &friend, payer.party(), 1_000_000).await;
    // Anyone may carry a signed order to the chain.
    let order = exact::read(&payment.payload).unwrap();
    let receipt = town.chain.transfer_with_authorization(&order).await.unwrap();
    let answer = shop.pay(&payment, "wait").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.receipt.as_ref().unwrap().transaction, receipt.transaction.to_string());
    assert_eq!(shop.pay(&payment, "wait").await, answer);
    // The books learn of it from the chain, as a sale, once.
    let keeper = town.bookkeeper(&[seller()]);
    assert_eq!(keeper.reconcile(true).await.unwrap().booked, 1);
    assert_eq!(town.line(seller(), Line::Sales), (i128::from(PRICE), 0));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_facilitator_that_fails_lies_or_loses_its_answer_changes_no_outcome() {
    for fault in [Fault::LostAnswer, Fault::Garbage, Fault::SaysNo] {
        let town = Town::begin().await;
        let payer = person(0x21);
        town.give(payer.party(), musd(1_000_000)).await;
        let faulty = Faulty::new(town.facilitator(), &[fault]);
        let shop = town.shop_with(faulty, GateLimits::default()).await;
        let payment = town.payment(&payer, 1);
        let answer = shop.pay(&payment, "hello").await;
        assert_eq!(answer.status, 200, "{fault:?}: {}", answer.text);
        let receipt = answer.receipt.as_ref().unwrap();
        assert!(receipt.success && receipt.transaction.len() == 66, "{fault:?}");
        assert_eq!(shop.pay(&payment, "hello").await, answer, "{fault:?}");
        assert_eq!(town.owns(seller()).await, i128::from(PRICE), "{fault:?}: charged once");
        assert_eq!(town.line(seller(), Line::Sales), (i128::from(PRICE), 0), "{fault:?}");
        town.is_whole(&[seller()]).await;
    }
}

#[tokio::test]
async fn a_settlement_that_only_the_facilitator_knows_of_is_not_believed() {
    for fault in [Fault::SaysYes, Fault::FailsBefore] {
        let town = Town::begin().await;
        let payer = person(0x21);
        town.give(payer.party(), musd(1_000_000)).await;
        let limits =
            GateLimits { settle_wait: Duration::from_millis(100), ..GateLimits::default() };
        let faulty = Faulty::new(town.facilitator(), &[fault]);
        let shop = town.shop_with(faulty, limits).await;
        let payment = town.payment(&payer, 1);
        let answer = shop.pay(&payment, "hello").await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "settlement_pending"),
            "{fault:?}"
        );
        assert!(!answer.text.contains("turn"), "{fault:?}: the work was withheld");
        assert_eq!(town.line(seller(), Line::Sales), (0, i128::from(PRICE)), "the hold stays");
        // The same payment again is settled then, without working again.
        let answer = shop.pay(&payment, "hello").await;
        assert_eq!(answer.status, 200, "{fault:?}: {}", answer.text);
        assert_eq!((shop.work.count(), town.owns(seller()).await), (1, i128::from(PRICE)));
        town.is_whole(&[seller()]).await;
    }
}

#[tokio::test]
async fn a_facilitator_that_never_answers_keeps_no_place() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let limits = GateLimits {
        settle_wait: Duration::from_millis(50),
        in_flight: 1,
        ..GateLimits::default()
    };
    let faulty = Faulty::new(town.facilitator(), &[Fault::HangsBefore, Fault::HangsAfter]);
    let shop = town.shop_with(faulty, limits).await;
    // One that did nothing: open. One that settled: the chain knows. And then a good one.
    for (number, status) in [(1, 503), (2, 200), (3, 200)] {
        let answer = shop.pay(&town.payment(&payer, number), "hello").await;
        assert_eq!(answer.status, status, "{number}: {}", answer.text);
    }
    assert_eq!(shop.pay(&town.payment(&payer, 1), "hello").await.status, 200);
    assert_eq!((shop.work.count(), town.owns(seller()).await), (3, i128::from(PRICE) * 3));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_payment_whose_fate_stays_open_is_let_go_when_it_has_ended() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let limits = GateLimits { settle_wait: Duration::from_millis(50), ..GateLimits::default() };
    let faulty = Faulty::new(town.facilitator(), &[Fault::FailsBefore; 8]);
    let shop = town.shop_with(faulty, limits).await;
    let payment = town.payment(&payer, 1);
    assert_eq!(shop.pay(&payment, "hello").await.status, 503);
    assert_eq!(shop.gate.recover(seller()).await, (0, 1), "it may still be used");
    town.clock.advance(Duration::from_secs(200));
    assert_eq!(shop.gate.recover(seller()).await, (1, 0));
    let answer = shop.pay(&payment, "hello").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (402, "invalid_exact_evm_payload_authorization_valid_before")
    );
    assert_eq!(town.line(seller(), Line::Sales), (0, 0));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn recovery_leaves_work_in_hand_alone() {
    let (town, shop, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    let request = shop.request(&payment, "wait");
    let answer = tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await });
    shop.work.begins().await;
    assert_eq!(shop.gate.recover(seller()).await, (0, 1));
    shop.work.may_end.add_permits(1);
    assert_eq!(answer.await.unwrap().status, 200);
    assert_eq!(shop.gate.recover(seller()).await, (0, 0));
}

/// The power fails at each point of a payment's way; afterwards the chain and the journal decide.
#[tokio::test]
async fn a_crash_at_any_point_ends_in_one_charge_and_the_answer_or_in_neither() {
    for (body, fault, recovers) in [
        ("wait", Fault::None, true),
        ("hello", Fault::HangsBefore, true),
        ("hello", Fault::HangsAfter, true),
        ("hello", Fault::HangsBefore, false),
        ("hello", Fault::HangsAfter, false),
    ] {
        let town = Town::begin().await;
        let payer = person(0x21);
        town.give(payer.party(), musd(1_000_000)).await;
        let faulty = Faulty::new(town.facilitator(), &[fault]);
        let shop = town.shop_with(faulty.clone(), GateLimits::default()).await;
        let payment = town.payment(&payer, 1);
        let request = shop.request(&payment, body);
        let hopeful = tokio::spawn(async move { request.send().await });
        shop.work.begins().await;
        if fault != Fault::None {
            faulty.is_reached().await;
        }
        hopeful.abort();
        drop(shop);
        let town = town.crash().await;
        assert_eq!(town.line(seller(), Line::Sales), (0, i128::from(PRICE)), "held before work");

        let shop = town.shop().await;
        if recovers {
            assert_eq!(shop.gate.recover(seller()).await, (1, 0), "{body} {fault:?}");
            assert_eq!(shop.gate.recover(seller()).await, (0, 0), "{body} {fault:?}");
        }
        let answer = shop.pay(&payment, body).await;
        assert_eq!(shop.work.count(), 0, "{body} {fault:?}: the work was done before");
        let paid = town.owns(seller()).await;
        if body == "wait" {
            assert_eq!((answer.status, paid), (502, 0), "{}", answer.text);
            assert!(answer.text.contains("interrupted"), "{}", answer.text);
        } else {
            assert_eq!(
                (answer.status, paid),
                (200, i128::from(PRICE)),
                "{fault:?}: {}",
                answer.text
            );
            assert!(answer.receipt.as_ref().unwrap().success);
        }
        assert_eq!(town.line(seller(), Line::Sales), (paid, 0));
        assert_eq!(shop.pay(&payment, body).await, answer);
        town.is_whole(&[seller()]).await;
    }
}

#[tokio::test]
async fn a_stored_answer_survives_a_restart_byte_for_byte() {
    let (town, shop, payer) = scene().await;
    let (good, bad) = (town.payment(&payer, 1), town.payment(&payer, 2));
    let answers = (shop.pay(&good, "hello").await, shop.pay(&bad, "no").await);
    assert_eq!((answers.0.status, answers.1.status), (200, 422));
    drop(shop);
    let town = town.crash().await;
    let shop = town.shop().await;
    // The new shop has another port, which is no part of the request.
    assert_eq!((shop.pay(&good, "hello").await, shop.pay(&bad, "no").await), answers);
    assert_eq!(shop.pay(&good, "other").await.status, 409);
    assert_eq!(shop.work.count(), 0);
}

#[tokio::test]
async fn the_journal_keeps_all_that_explains_a_sale() {
    let (town, shop, payer) = scene().await;
    let payment = town.payment(&payer, 1);
    shop.pay(&payment, "hello").await;
    let documents = town.ledger.evidence(reference(&town, &payment)).unwrap();
    let stages: Vec<_> = documents.iter().map(|d| d.evidence.stage.as_str()).collect();
    assert_eq!(
        stages,
        [
            gate::stage::QUOTE,
            gate::stage::PAYMENT,
            gate::stage::REQUEST,
            gate::stage::INPUT,
            gate::stage::ANSWER,
            gate::stage::OUTPUT,
            gate::stage::SETTLEMENT
        ]
    );
    assert_eq!(documents[3].evidence.body, b"hello");
    assert_eq!(documents[3].evidence.media_type, "text/plain");
}

#[tokio::test]
async fn two_gates_over_the_same_books_are_one_gate() {
    let (town, shop, payer) = scene().await;
    let other = Arc::new(town.shop().await);
    let payment = town.payment(&payer, 1);
    let first = shop.request(&payment, "wait");
    let first = tokio::spawn(async move { Answer::of(first.send().await.unwrap()).await });
    shop.work.begins().await;
    let second = other.pay(&payment, "wait").await;
    assert_eq!(second.status, 503, "it is in work elsewhere: {}", second.text);
    shop.work.may_end.add_permits(1);
    let answer = first.await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(other.pay(&payment, "wait").await, answer);
    assert_eq!((shop.work.count(), other.work.count()), (1, 0));
    assert_eq!(town.owns(seller()).await, i128::from(PRICE));
}
