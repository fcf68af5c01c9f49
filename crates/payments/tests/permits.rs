//! Payments through Permit2: `exact` and `upto`, from the quote to both books.

use crate::town;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use alloy_sol_types::SolCall as _;
use mandates::Key;
use mandates::books::Line;
use payments::wire::PaymentPayload;
use payments::{BuyError, BuyerLimits, Facilitator as _, GateLimits, Way, exact};
use protocol::addresses::{PERMIT2, X402_EXACT_PERMIT2_PROXY};
use protocol::bindings::permit2::Permit2;
use settlement::PermitOrder;
use town::faulty::{Fault, Faulty};
use town::permits::{self, approval, approve, approve_call, approving_transaction, order, sign};
use town::shop::Shop;
use town::{PRICE, Town, musd, person, seller, transact};

const MUCH: U256 = U256::MAX;

/// A town, a shop that is paid in all three ways, and a payer with money who approved Permit2.
async fn scene() -> (Town, Shop, Key) {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    approve(&town, &payer, MUCH).await;
    let shop =
        town.shop_of(town.facilitator(), GateLimits::default(), permits::by_permit(&town)).await;
    (town, shop, payer)
}

fn price() -> i128 {
    i128::from(PRICE)
}

#[tokio::test]
async fn an_exact_payment_through_permit2_is_worked_for_once_and_booked_once() {
    let (town, shop, payer) = scene().await;
    let payment = permits::payment(&town, &payer, 7, false);
    let first = shop.pay(&payment, "hello").await;
    assert_eq!(first.status, 200, "{}", first.text);
    let receipt = first.receipt.clone().unwrap();
    assert!(receipt.success && receipt.transaction.len() == 66);
    assert_eq!(receipt.amount, Some(PRICE.to_string()));
    assert_eq!(shop.pay(&payment, "hello").await, first);
    let other = shop.pay(&payment, "another").await;
    assert_eq!((other.status, other.code().as_str()), (409, "payment_already_used"));
    assert_eq!((shop.work.count(), town.owns(seller()).await), (1, price()));
    assert_eq!(town.line(seller(), Line::Sales), (price(), 0));
    assert_eq!(town.bookkeeper(&[seller()]).reconcile(true).await.unwrap().booked, 0);
    town.is_whole(&[seller()]).await;
    assert_eq!(town.line(seller(), Line::Sales), (price(), 0));
}

#[tokio::test]
async fn what_the_work_came_to_is_charged_and_no_more_than_was_signed() {
    let (town, shop, payer) = scene().await;
    let mut earned = 0;
    for (number, body, charge) in [
        (1, "hello", PRICE),
        (2, "charge:250", 250),
        (3, "charge:0", 0),
        (4, "charge:10000", PRICE),
        (5, "charge:10001", PRICE),
        (6, "charge:-5", 0),
        (7, "charge:1", 1),
    ] {
        let payment = permits::payment(&town, &payer, number, true);
        let block = town.block().await;
        let first = shop.pay(&payment, body).await;
        assert_eq!(first.status, 200, "{body}: {}", first.text);
        let receipt = first.receipt.clone().unwrap();
        assert_eq!(receipt.amount, Some(charge.to_string()), "{body}");
        assert_eq!(receipt.transaction.is_empty(), charge == 0, "{body}");
        assert_eq!(town.block().await - block, u64::from(charge > 0), "{body}");
        earned += i128::from(charge);
        assert_eq!(town.owns(seller()).await, earned);
        assert_eq!(town.line(seller(), Line::Sales), (earned, 0), "{body}");
        assert_eq!(shop.pay(&payment, body).await, first, "{body}");
    }
    assert_eq!(shop.work.count(), 7);
    town.is_whole(&[seller()]).await;
    assert_eq!(town.line(seller(), Line::Sales), (earned, 0));
}

#[tokio::test]
async fn where_exactly_the_price_was_signed_a_lower_charge_is_not_made() {
    let (town, shop, payer) = scene().await;
    for (number, payment) in
        [(1, permits::payment(&town, &payer, 1, false)), (2, town.payment(&payer, 2))]
    {
        let answer = shop.pay(&payment, "charge:250").await;
        assert_eq!(answer.receipt.unwrap().amount, Some(PRICE.to_string()));
        assert_eq!(town.owns(seller()).await, price() * number);
    }
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn work_that_fails_costs_nothing() {
    let (town, shop, payer) = scene().await;
    let payment = permits::payment(&town, &payer, 1, true);
    let failed = shop.pay(&payment, "fail").await;
    assert_eq!(failed.status, 500);
    assert_eq!(shop.pay(&payment, "fail").await, failed);
    assert_eq!((town.owns(seller()).await, shop.work.count()), (0, 1));
    assert_eq!(town.line(seller(), Line::Sales), (0, 0));
}

#[tokio::test]
async fn a_charge_survives_a_crash_between_answer_and_settlement() {
    for (metered, body, charge) in [
        (true, "charge:250", 250),
        (true, "charge:0", 0),
        (true, "hello", PRICE),
        (false, "hello", PRICE),
    ] {
        for fault in [Fault::HangsBefore, Fault::HangsAfter] {
            let town = Town::begin().await;
            let payer = person(0x21);
            town.give(payer.party(), musd(1_000_000)).await;
            approve(&town, &payer, MUCH).await;
            let faulty = Faulty::new(town.facilitator(), &[fault]);
            let shop = town
                .shop_of(faulty.clone(), GateLimits::default(), permits::by_permit(&town))
                .await;
            let payment = permits::payment(&town, &payer, 1, metered);
            let request = shop.request(&payment, body);
            let lost = tokio::spawn(async move { request.send().await.map(drop) });
            match charge {
                // Nothing is settled, so it cannot be interrupted there.
                0 => drop(lost.await),
                _ => faulty.is_reached().await,
            }
            drop(shop);
            let town = town.crash().await;
            let shop = town
                .shop_of(town.facilitator(), GateLimits::default(), permits::by_permit(&town))
                .await;
            shop.gate.recover(seller()).await;
            let what = format!("{body} {fault:?}");
            assert_eq!(town.owns(seller()).await, i128::from(charge), "{what}");
            assert_eq!(town.line(seller(), Line::Sales), (i128::from(charge), 0), "{what}");
            let answer = shop.pay(&payment, body).await;
            assert_eq!((answer.status, shop.work.count()), (200, 0), "{what}: {}", answer.text);
            assert_eq!(answer.receipt.unwrap().amount, Some(charge.to_string()), "{what}");
            town.is_whole(&[seller()]).await;
            assert_eq!(town.line(seller(), Line::Sales), (i128::from(charge), 0), "{what}");
        }
    }
}

#[tokio::test]
async fn an_unclear_settlement_ends_as_the_chain_has_it() {
    for (fault, paid) in [
        (Fault::LostAnswer, true),
        (Fault::Garbage, true),
        (Fault::SaysNo, true),
        (Fault::SaysYes, false),
    ] {
        let town = Town::begin().await;
        let payer = person(0x21);
        town.give(payer.party(), musd(1_000_000)).await;
        approve(&town, &payer, MUCH).await;
        let limits =
            GateLimits { settle_wait: Duration::from_millis(300), ..GateLimits::default() };
        let faulty = Faulty::new(town.facilitator(), &[fault]);
        let shop = town.shop_of(faulty, limits, permits::by_permit(&town)).await;
        let payment = permits::payment(&town, &payer, 1, true);
        let answer = shop.pay(&payment, "charge:250").await;
        assert_eq!(answer.status, if paid { 200 } else { 503 }, "{fault:?} {}", answer.text);
        if paid {
            assert_eq!(answer.receipt.unwrap().amount, Some("250".into()));
        } else {
            // Nobody lied the second time.
            assert_eq!(shop.pay(&payment, "charge:250").await.status, 200);
        }
        assert_eq!((town.owns(seller()).await, shop.work.count()), (250, 1), "{fault:?}");
        town.is_whole(&[seller()]).await;
    }
}

#[tokio::test]
async fn one_number_pays_once_whatever_it_is_signed_for() {
    let (town, shop, payer) = scene().await;
    let exact = permits::payment(&town, &payer, 5, false);
    assert_eq!(shop.pay(&exact, "hello").await.status, 200);
    // The same number in another order is the same name in the books.
    let again = permits::payment(&town, &payer, 5, true);
    let answer = shop.pay(&again, "hello").await;
    assert_eq!((answer.status, answer.code().as_str()), (409, "payment_already_used"));
    // Elsewhere, where the first is not known, the chain says so.
    let verdict = town.facilitator().verify(&again, &permits::terms(&town, true)).await.unwrap();
    assert_eq!(verdict.invalid_reason.as_deref(), Some("permit2_simulation_failed"));
    let settled = town.facilitator().settle(&again, &permits::terms(&town, true)).await.unwrap();
    assert_eq!(settled.error_reason.as_deref(), Some("permit2_invalid_nonce"));
    assert_eq!((town.owns(seller()).await, shop.work.count()), (price(), 1));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_number_taken_back_after_the_work_withholds_the_answer() {
    for body in ["wait", "wait:later"] {
        let (town, shop, payer) = scene().await;
        let payment = permits::payment(&town, &payer, 300, true);
        let request = shop.request(&payment, body);
        let sent =
            tokio::spawn(
                async move { town::shop::Answer::of(request.send().await.unwrap()).await },
            );
        shop.work.begins().await;
        let call = Permit2::invalidateUnorderedNoncesCall {
            wordPos: U256::from(300 >> 8),
            mask: U256::from(1) << (300 & 0xff),
        };
        transact(&town, &payer, PERMIT2, call.abi_encode().into()).await;
        shop.work.may_end.add_permits(1);
        let answer = sent.await.unwrap();
        assert_eq!(answer.status, 402, "{}", answer.text);
        assert!(!answer.receipt.unwrap().success);
        assert_eq!((town.owns(seller()).await, town.line(seller(), Line::Sales)), (0, (0, 0)));
    }
}

#[tokio::test]
async fn without_an_allowance_412_says_what_is_missing_and_an_approval_that_comes_along_helps() {
    let (town, shop, _) = scene().await;
    let payer = person(0x22);
    town.give(payer.party(), musd(1_000_000)).await;
    let before = town.digest();
    for metered in [false, true] {
        let bare = permits::payment(&town, &payer, 1, metered);
        let answer = shop.pay(&bare, "hello").await;
        assert_eq!((answer.status, answer.code().as_str()), (412, "permit2_allowance_required"));
        assert_eq!(answer.quote.unwrap().error.as_deref(), Some("permit2_allowance_required"));
        assert_eq!((town.digest(), shop.work.count()), (before, 0));
    }
    // By signature: exactly the allowance that is used up, each time anew.
    for (number, metered) in [(1, false), (2, true)] {
        let signed = sign(&payer, order(&town, &payer, number, metered));
        let mut payment = permits::wrap(&town, &signed);
        payment.extensions = Some(approval(&town, &payer, &signed, number - 1));
        let answer = shop.pay(&payment, "hello").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(town.owns(seller()).await, 2 * price());
    // By a transaction, which is sent first.
    let payer = person(0x23);
    town.give(payer.party(), musd(1_000_000)).await;
    let raw = approving_transaction(&payer, town.token().address, approve_call(), 0);
    for (number, metered) in [(1, true), (2, false)] {
        let signed = sign(&payer, order(&town, &payer, number, metered));
        let mut payment = permits::wrap(&town, &signed);
        payment.extensions = Some(permits::with_transaction(&town, &payer, &raw));
        let answer = shop.pay(&payment, "hello").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(town.owns(seller()).await, 4 * price());
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_payment_says_which_way_it_takes_and_takes_no_other() {
    let (town, shop, payer) = scene().await;
    let before = (town.digest(), town.block().await);
    let exact = permits::payment(&town, &payer, 1, false);
    let upto = permits::payment(&town, &payer, 1, true);
    let plain = town.payment(&payer, 1);
    for (payload, accepted) in [
        (&exact, &upto),
        (&exact, &plain),
        (&upto, &exact),
        (&upto, &plain),
        (&plain, &exact),
        (&plain, &upto),
    ] {
        let mixed = PaymentPayload { accepted: accepted.accepted.clone(), ..payload.clone() };
        let answer = shop.pay(&mixed, "hello").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "unsupported_payload_type"));
    }
    // A shop that does not offer Permit2 is not paid by it.
    let strict = town.shop().await;
    for payment in [&exact, &upto] {
        let answer = strict.pay(payment, "hello").await;
        assert_eq!(answer.status, 402);
        assert!(answer.code().starts_with("No matching payment requirements"), "{}", answer.text);
    }
    assert_eq!((town.digest(), town.block().await), before);
}

#[tokio::test]
async fn a_buyer_pays_in_whichever_way_is_offered_and_prefers_the_tokens_own() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(1_000_000)).await;
    let us = town.chain.sender();
    let mut spent = 0;
    for (way, scheme, sum, body) in [
        (None, "exact", PRICE, "charge:250"),
        (Some(Way::Permit), "exact", PRICE, "charge:250"),
        (Some(Way::UpTo { facilitator: us }), "upto", 250, "charge:250"),
        (Some(Way::UpTo { facilitator: us }), "upto", PRICE, "hello"),
    ] {
        let (facilitator, limits) = (town.facilitator(), GateLimits::default());
        let by_token = way.is_none();
        let shop = match way {
            None => town.shop_of(facilitator, limits, permits::by_permit(&town)).await,
            Some(way) => town.shop_of(facilitator, limits, permits::only(way)).await,
        };
        let bought = buyer.buy(&shop.purchase(body)).await.unwrap();
        let paid = bought.paid.unwrap();
        assert_eq!(paid.amount, musd(sum.into()));
        spent += i128::from(sum);
        assert_eq!(town.line(buyer.party(), Line::Purchases), (spent, 0));
        let documents = town.ledger.evidence(paid.reference).unwrap();
        let signed = documents
            .iter()
            .find(|d| d.evidence.stage == payments::buyer::stage::PAYMENT)
            .map(|d| serde_json::from_slice::<PaymentPayload>(&d.evidence.body).unwrap())
            .unwrap();
        assert_eq!(signed.accepted.scheme, scheme);
        assert_eq!(exact::read(&signed.payload).is_ok(), by_token);
        let left = town.mandates.left(buyer.party()).unwrap();
        assert_eq!(
            (left.wallet, left.lifetime),
            (musd(1_000_000 - spent), musd(1_000_000_000 - spent))
        );
    }
    assert_eq!(town.owns(seller()).await, spent);
    town.is_whole(&[buyer.party(), seller()]).await;
    assert_eq!(town.line(buyer.party(), Line::Purchases), (spent, 0));
    assert_eq!(town.line(seller(), Line::Sales), (spent, 0));
}

#[tokio::test]
async fn a_buyer_gets_what_cost_nothing_and_its_hold_ends_with_the_payment() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(1_000_000)).await;
    let way = Way::UpTo { facilitator: town.chain.sender() };
    let shop = town.shop_of(town.facilitator(), GateLimits::default(), permits::only(way)).await;
    let bought = buyer.buy(&shop.purchase("charge:0")).await.unwrap();
    assert_eq!((bought.status.as_u16(), bought.paid.is_none()), (200, true));
    // Until it ends, the seller could still use it.
    assert_eq!(town.line(buyer.party(), Line::Purchases), (0, price()));
    let keeper = town.bookkeeper(&[buyer.party()]);
    assert_eq!(keeper.reconcile(true).await.unwrap().released, 0);
    town.clock.advance(Duration::from_secs(3600));
    assert_eq!(keeper.reconcile(true).await.unwrap().released, 1);
    assert_eq!(town.line(buyer.party(), Line::Purchases), (0, 0));
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn a_buyer_without_approval_is_refused_before_it_signs_where_none_is_carried() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(1_000_000)).await;
    let shop = town
        .shop_of(town.facilitator(), GateLimits::default(), |offer| {
            offer.ways = vec![Way::Permit];
        })
        .await;
    let before = town.digest();
    let error = buyer.buy(&shop.purchase("hello")).await.unwrap_err();
    assert!(matches!(&error, BuyError::NoWayToPay { cause, .. } if cause.contains("Permit2")));
    assert_eq!(town.digest(), before);
    // Approved once, it needs nothing more.
    approve(&town, &person(0x21), MUCH).await;
    for _ in 0..2 {
        let bought = buyer.buy(&shop.purchase("hello")).await.unwrap();
        assert_eq!(bought.paid.unwrap().amount, musd(price()));
    }
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purchases_that_need_an_approval_take_turns_and_all_succeed() {
    let town = Town::begin().await;
    let buyer = Arc::new(town.buyer(0x21, musd(1_000_000)).await);
    let way = Way::UpTo { facilitator: town.chain.sender() };
    let shop = town.shop_of(town.facilitator(), GateLimits::default(), permits::only(way)).await;
    let bought: Vec<_> = (0..6)
        .map(|number| {
            let (buyer, purchase) =
                (buyer.clone(), shop.purchase(&format!("charge:{}", 100 + number)));
            tokio::spawn(async move { buyer.buy(&purchase).await })
        })
        .collect();
    for bought in bought {
        assert!(bought.await.unwrap().unwrap().paid.is_some());
    }
    assert_eq!(town.owns(seller()).await, 615);
    town.is_whole(&[buyer.party(), seller()]).await;
    assert_eq!(town.line(buyer.party(), Line::Purchases), (615, 0));
}

#[tokio::test]
async fn a_purchase_that_was_lost_is_booked_at_what_moved() {
    let town = Town::begin().await;
    let buyer = town.buyer_with(0x21, musd(100_000), musd(30_000), BuyerLimits::default()).await;
    let party = buyer.party();
    let way = Way::UpTo { facilitator: town.chain.sender() };
    let shop = town.shop_of(town.facilitator(), GateLimits::default(), permits::only(way)).await;
    let purchase = shop.purchase("wait");
    let lost = tokio::spawn(async move { buyer.buy(&purchase).await.map(drop) });
    shop.work.begins().await;
    lost.abort();
    let held = town.ledger.read(|s| {
        s.holds()
            .filter(|h| h.transfer.debit == Line::Purchases.of(party, money::Asset::MUSD))
            .map(|h| h.transfer.reference)
            .next()
    });
    let signed = town
        .ledger
        .evidence(held.unwrap())
        .unwrap()
        .into_iter()
        .find(|d| d.evidence.stage == payments::buyer::stage::PAYMENT)
        .map(|d| serde_json::from_slice::<PaymentPayload>(&d.evidence.body).unwrap())
        .unwrap();
    drop(shop);
    // The seller, elsewhere, charges a part of it.
    let mut asked = signed.accepted.clone();
    asked.amount = "777".into();
    assert!(town.facilitator().settle(&signed, &asked).await.unwrap().success);
    let town = town.crash().await;
    let keeper = town.bookkeeper(&[party]);
    let found = keeper.reconcile(true).await.unwrap();
    assert_eq!((found.posted, found.booked, found.breaks.len()), (1, 0, 0));
    let found = keeper.reconcile(true).await.unwrap();
    assert_eq!((found.posted, found.booked, found.breaks.len()), (0, 0, 0));
    assert_eq!(town.line(party, Line::Purchases), (777, 0));
    assert_eq!(town.mandates.left(party).unwrap().lifetime, musd(30_000 - 777));
}

#[tokio::test]
async fn a_payment_that_its_payer_carries_itself_starts_no_work_and_is_booked_once() {
    let (town, shop, payer) = scene().await;
    let signed = sign(&payer, order(&town, &payer, 9, false));
    town.chain.settle_permit(&signed, signed.most(), None).await.unwrap();
    for booked in [1, 0] {
        // One that looks at the whole chain again.
        let found = town.bookkeeper(&[seller()]).reconcile(true).await.unwrap();
        assert_eq!((found.booked, found.breaks.len()), (booked, 0));
        assert_eq!(town.line(seller(), Line::Funding).0, price());
    }
    let answer = shop.pay(&permits::wrap(&town, &signed), "hello").await;
    assert_ne!(answer.status, 200);
    assert_eq!(shop.work.count(), 0);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_call_by_a_contract_in_between_proves_nothing() {
    use protocol::addresses::MULTICALL3;
    use protocol::bindings::Multicall3;

    let (town, _shop, payer) = scene().await;
    let signed = sign(&payer, order(&town, &payer, 9, false));
    let PermitOrder::Exact(exact) = &signed.order else { unreachable!() };
    let inner = protocol::permit2::settle_exact(exact, payer.address(), signed.signature.clone());
    let call = Multicall3::aggregateCall {
        calls: vec![Multicall3::Call {
            target: X402_EXACT_PERMIT2_PROXY,
            callData: inner.abi_encode().into(),
        }],
    };
    transact(&town, &payer, MULTICALL3, call.abi_encode().into()).await;
    assert_eq!(town.owns(seller()).await, price());
    let order = payments::Order::Permit(signed);
    // Its payer must not take it for unused, its payee must not take it for paid.
    assert!(order.state(&town.chain).await.is_err());
    assert_eq!(order.received(&town.chain).await.unwrap(), settlement::AuthorizationState::Unused);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_number_taken_back_after_it_was_used_takes_nothing_back() {
    let (town, _shop, payer) = scene().await;
    let signed = sign(&payer, order(&town, &payer, 700, false));
    let receipt = town.chain.settle_permit(&signed, signed.most(), None).await.unwrap();
    let take_back = |number: u64| Permit2::invalidateUnorderedNoncesCall {
        wordPos: U256::from(number >> 8),
        mask: U256::from(1) << (number & 0xff),
    };
    transact(&town, &payer, PERMIT2, take_back(700).abi_encode().into()).await;
    let order = payments::Order::Permit(signed.clone());
    for state in [order.state(&town.chain).await, order.received(&town.chain).await] {
        let settlement::AuthorizationState::Used { transaction, to, value, .. } = state.unwrap()
        else {
            panic!("it was used")
        };
        assert_eq!((transaction, to), (receipt.transaction, seller().into()));
        assert_eq!(value, signed.most());
    }
    // One that was only taken back, and one next to it.
    let other = |number| payments::Order::Permit(permits::order(&town, &payer, number, true));
    transact(&town, &payer, PERMIT2, take_back(701).abi_encode().into()).await;
    let cancelled = settlement::AuthorizationState::Cancelled;
    assert_eq!(other(701).state(&town.chain).await.unwrap(), cancelled);
    assert_eq!(other(701).received(&town.chain).await.unwrap(), cancelled);
    let unused = settlement::AuthorizationState::Unused;
    assert_eq!(other(702).state(&town.chain).await.unwrap(), unused);
}

#[tokio::test]
async fn one_transfer_does_not_pay_for_two_orders() {
    let (town, shop, payer) = scene().await;
    let first = permits::payment(&town, &payer, 1, true);
    assert_eq!(shop.pay(&first, "hello").await.status, 200);
    // The second number is taken back while its work goes on; the first payment's transfer is of
    // the same payer, payee and amount.
    let second = permits::payment(&town, &payer, 2, true);
    let request = shop.request(&second, "wait");
    let sent =
        tokio::spawn(async move { town::shop::Answer::of(request.send().await.unwrap()).await });
    shop.work.begins().await;
    shop.work.begins().await;
    let call =
        Permit2::invalidateUnorderedNoncesCall { wordPos: U256::ZERO, mask: U256::from(1) << 2 };
    transact(&town, &payer, PERMIT2, call.abi_encode().into()).await;
    shop.work.may_end.add_permits(1);
    assert_eq!(sent.await.unwrap().status, 402);
    assert_eq!(town.line(seller(), Line::Sales), (price(), 0));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_charge_that_comes_after_its_hold_was_let_go_is_booked_late_at_what_moved() {
    let town = Town::begin().await;
    let buyer = town.buyer_with(0x21, musd(100_000), musd(30_000), BuyerLimits::default()).await;
    let party = buyer.party();
    let way = Way::UpTo { facilitator: town.chain.sender() };
    let shop = town.shop_of(town.facilitator(), GateLimits::default(), permits::only(way)).await;
    // It costs nothing, so both sides let go; and then it is charged all the same.
    assert!(buyer.buy(&shop.purchase("charge:0")).await.unwrap().paid.is_none());
    let reference = town.ledger.read(|s| s.holds().map(|h| h.transfer.reference).next()).unwrap();
    let signed = town
        .ledger
        .evidence(reference)
        .unwrap()
        .into_iter()
        .find(|d| d.evidence.stage == payments::buyer::stage::PAYMENT)
        .map(|d| serde_json::from_slice::<PaymentPayload>(&d.evidence.body).unwrap())
        .unwrap();
    town.mandates.release(reference, Vec::new()).await.unwrap();
    let mut asked = signed.accepted.clone();
    asked.amount = "777".into();
    assert!(town.facilitator().settle(&signed, &asked).await.unwrap().success);
    for booked in [2, 0] {
        let found = town.bookkeeper(&[party, seller()]).reconcile(true).await.unwrap();
        assert_eq!((found.booked, found.breaks.len()), (booked, 0));
        assert_eq!(town.line(party, Line::Purchases), (777, 0));
        assert_eq!(town.line(seller(), Line::Sales), (777, 0));
        assert_eq!(town.mandates.left(party).unwrap().lifetime, musd(30_000 - 777));
    }
}

#[tokio::test]
async fn a_seller_elsewhere_settles_a_charge_through_our_facilitator() {
    let (town, _shop, payer) = scene().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/facilitator", listener.local_addr().unwrap());
    let router = payments::facilitator::router(town.facilitator());
    let app = axum::Router::new().nest("/facilitator", router);
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let remote = payments::RemoteFacilitator::new(url.parse().unwrap(), town::http());
    let shop =
        town.shop_of(Arc::new(remote), GateLimits::default(), permits::by_permit(&town)).await;
    for (number, charge) in [(1, 250), (2, 0), (3, PRICE)] {
        let payment = permits::payment(&town, &payer, number, true);
        let answer = shop.pay(&payment, &format!("charge:{charge}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.receipt.unwrap().amount, Some(charge.to_string()));
    }
    assert_eq!(town.owns(seller()).await, price() + 250);
    town.is_whole(&[seller()]).await;
    server.abort();
}
