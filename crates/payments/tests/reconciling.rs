//! Invariant 1: after each look the books equal the chain, or the difference is reported.

use crate::town;

use std::time::Duration;

use ledger::{Kind, Reference, TransferId, Write};
use mandates::Spend;
use mandates::books::{Entry, Line};
use money::{Clock as _, Party};
use payments::{Bookkeeper, BuyerLimits, exact};
use town::{PRICE, Town, musd, person, seller};

#[tokio::test]
async fn money_from_and_to_elsewhere_is_booked_once() {
    let town = Town::begin().await;
    let ada = person(0x21);
    town.mandates.open_book(ada.party(), money::Asset::MUSD).await.unwrap();
    town.give(ada.party(), musd(500)).await;
    town::transfer(&town, &ada, person(0x33).party(), 120).await;
    let keeper = town.bookkeeper(&[ada.party()]);
    let first = keeper.reconcile(false).await.unwrap();
    assert_eq!((first.booked, first.breaks.len()), (2, 0));
    assert_eq!(town.line(ada.party(), Line::Cash).0, 380);
    assert_eq!(town.line(ada.party(), Line::Funding).0, 380);
    // Again, by the same one and by one that starts from the beginning.
    let before = town.digest();
    assert_eq!(keeper.reconcile(false).await.unwrap().booked, 0);
    assert_eq!(town.bookkeeper(&[ada.party()]).reconcile(true).await.unwrap().booked, 0);
    assert_eq!(town.digest(), before);
}

#[tokio::test]
async fn a_movement_between_two_of_ours_is_in_both_books() {
    let town = Town::begin().await;
    let (ada, bob) = (person(0x21), person(0x22));
    for party in [ada.party(), bob.party()] {
        town.mandates.open_book(party, money::Asset::MUSD).await.unwrap();
    }
    town.give(ada.party(), musd(500)).await;
    town::transfer(&town, &ada, bob.party(), 200).await;
    let keeper = town.bookkeeper(&[ada.party(), bob.party()]);
    assert_eq!(keeper.reconcile(true).await.unwrap().booked, 3);
    assert_eq!(town.line(ada.party(), Line::Cash).0, 300);
    assert_eq!(town.line(bob.party(), Line::Cash).0, 200);
}

#[tokio::test]
async fn a_payment_that_its_payer_carried_to_the_chain_is_booked_once_and_starts_no_work() {
    let town = Town::begin().await;
    let shop = town.shop().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(100_000)).await;
    let payment = town.payment(&payer, 1);
    let order = exact::read(&payment.payload).unwrap();
    town.chain.transfer_with_authorization(&order).await.unwrap();
    let keeper = town.bookkeeper(&[seller()]);
    assert_eq!(keeper.reconcile(false).await.unwrap().booked, 1);
    let answer = shop.pay(&payment, "now the goods").await;
    assert_eq!((answer.status, shop.work.count()), (409, 0));
    assert_eq!(keeper.reconcile(true).await.unwrap().breaks, []);
    assert_eq!(town.line(seller(), Line::Cash).0, i128::from(PRICE));
    assert_eq!(town.line(seller(), Line::Funding).0, i128::from(PRICE));
    assert_eq!(town.line(seller(), Line::Sales).0, 0);
}

#[tokio::test]
async fn books_on_a_chain_with_a_past_begin_with_what_is_owned_now() {
    let town = Town::durable().await;
    let (ada, poor) = (person(0x21), person(0x22));
    for party in [ada.party(), poor.party()] {
        town.mandates.open_book(party, money::Asset::MUSD).await.unwrap();
    }
    town.give(ada.party(), musd(500)).await;
    let parties = [ada.party(), poor.party()];
    let start = payments::opening_block(&town.ledger, &town.chain, &parties).await.unwrap();
    assert_eq!(start, town.block().await + 1);
    assert_eq!(town.line(ada.party(), Line::Cash).0, 500);
    town.give(ada.party(), musd(70)).await;
    // Opened again, after a crash: the same beginning, and nothing is booked twice.
    let town = town.crash().await;
    let again = payments::opening_block(&town.ledger, &town.chain, &parties).await.unwrap();
    assert_eq!(again, start);
    let keeper = Bookkeeper::new(
        town.ledger.clone(),
        town.mandates.clone(),
        town.chain.clone(),
        town.clock.clone(),
        parties.to_vec(),
        again,
    );
    let reconciled = keeper.reconcile(true).await.unwrap();
    assert_eq!((reconciled.booked, reconciled.breaks.len()), (1, 0));
    assert_eq!(town.line(ada.party(), Line::Cash).0, 570);
}

#[tokio::test]
async fn events_of_nothing_do_not_stand_in_the_way_of_money() {
    let town = Town::begin().await;
    let ada = person(0x21);
    town.mandates.open_book(ada.party(), money::Asset::MUSD).await.unwrap();
    town.give(ada.party(), musd(500)).await;
    for _ in 0..3 {
        town::transfer(&town, &person(0x44), ada.party(), 0).await;
    }
    let reconciled = town.bookkeeper(&[ada.party()]).reconcile(true).await.unwrap();
    assert_eq!((reconciled.booked, reconciled.breaks.len()), (1, 0));
}

#[tokio::test]
async fn a_difference_is_reported_and_never_plugged() {
    let town = Town::begin().await;
    let ada = person(0x21);
    town.mandates.open_book(ada.party(), money::Asset::MUSD).await.unwrap();
    town.give(ada.party(), musd(500)).await;
    let keeper = town.bookkeeper(&[ada.party()]);
    keeper.reconcile(true).await.unwrap();
    let wrong = Entry {
        id: TransferId::derive("test/wrong", &[]),
        book: ada.party(),
        debit: Line::Cash,
        credit: Line::Funding,
        amount: musd(7),
        kind: Kind::Financial,
        counterparty: seller(),
        reference: Reference::NONE,
        digest: [0; 32],
        hold_until: None,
    };
    assert!(town.ledger.submit(Write::operation(wrong.transfer())).await.unwrap().holds());
    let before = town.digest();
    for _ in 0..2 {
        let found = keeper.reconcile(true).await.unwrap();
        assert_eq!(found.breaks.len(), 1);
        let b = &found.breaks[0];
        assert_eq!((b.party, b.books, b.chain), (ada.party(), musd(507), musd(500)));
    }
    assert_eq!(town.digest(), before);
}

#[tokio::test]
async fn what_is_in_flight_is_no_difference_and_is_not_let_go() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(1_000_000)).await;
    let shop = town.shop().await;
    let party = buyer.party();
    let purchase = shop.purchase("wait");
    let purchase = tokio::spawn(async move { buyer.buy(&purchase).await.map(|b| b.status) });
    shop.work.begins().await;
    let found = town.bookkeeper(&[party, seller()]).reconcile(false).await.unwrap();
    assert_eq!((found.posted, found.released, found.breaks.len()), (0, 0, 0));
    assert_eq!(town.line(party, Line::Purchases), (0, i128::from(PRICE)));
    shop.work.may_end.add_permits(1);
    assert_eq!(purchase.await.unwrap().unwrap(), 200);
    town.is_whole(&[party, seller()]).await;
}

/// Sets money aside as a buyer does, and stops there.
async fn hold_only(town: &Town, payer: &mandates::Key, number: u64) -> Reference {
    let order = town.order(payer, number);
    let reference = exact::reference(&order, town.token());
    let spend = Spend {
        machine: payer.party(),
        payee: seller(),
        amount: musd(PRICE.into()),
        reference,
        digest: [0; 32],
        order: exact::signing_hash(&order, town.token()),
        until: exact::ends_at(&order).plus(town::DAY),
    };
    town.mandates.hold(spend, town.clock.now(), Vec::new()).await.unwrap();
    reference
}

#[tokio::test]
async fn a_hold_that_was_never_signed_is_let_go_at_rest_or_when_it_is_old() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(1_000_000)).await;
    let keeper = town.bookkeeper(&[buyer.party()]);
    hold_only(&town, &person(0x21), 1).await;
    assert_eq!(keeper.reconcile(false).await.unwrap().released, 0);
    assert_eq!(keeper.reconcile(true).await.unwrap().released, 1);
    hold_only(&town, &person(0x21), 2).await;
    town.clock.advance(Duration::from_secs(14 * 60));
    assert_eq!(keeper.reconcile(false).await.unwrap().released, 0);
    town.clock.advance(Duration::from_secs(2 * 60));
    assert_eq!(keeper.reconcile(false).await.unwrap().released, 1);
    assert_eq!(town.line(buyer.party(), Line::Purchases), (0, 0));
}

#[tokio::test]
async fn money_that_moves_after_its_hold_was_let_go_is_booked_late_and_charged() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(1_000_000)).await;
    let payer = person(0x21);
    let keeper = town.bookkeeper(&[buyer.party()]);
    let reference = hold_only(&town, &payer, 1).await;
    let full = town.mandates.left(buyer.party()).unwrap().lifetime.minor() + i128::from(PRICE);
    town.mandates.release(reference, Vec::new()).await.unwrap();
    let order = town.sign(&payer, town.order(&payer, 1));
    town.chain.transfer_with_authorization(&order).await.unwrap();
    for booked in [1, 0] {
        let found = keeper.reconcile(true).await.unwrap();
        assert_eq!((found.booked, found.breaks.len()), (booked, 0));
        assert_eq!(town.line(buyer.party(), Line::Purchases), (i128::from(PRICE), 0));
        let left = town.mandates.left(buyer.party()).unwrap().lifetime;
        assert_eq!(left, musd(full - i128::from(PRICE)), "the budget knows");
    }
}

#[tokio::test]
async fn a_movement_whose_hold_was_open_is_looked_at_again() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(1_000_000)).await;
    let payer = person(0x21);
    let keeper = town.bookkeeper(&[buyer.party()]);
    let reference = hold_only(&town, &payer, 1).await;
    let order = town.sign(&payer, town.order(&payer, 1));
    town.chain.transfer_with_authorization(&order).await.unwrap();
    assert_eq!(keeper.reconcile(false).await.unwrap().booked, 0);
    // Somebody lets it go although it was paid; the next look finds that.
    town.mandates.release(reference, Vec::new()).await.unwrap();
    assert_eq!(keeper.reconcile(false).await.unwrap().booked, 1);
    town.is_whole(&[buyer.party()]).await;
}

#[tokio::test]
async fn a_withdrawal_that_cannot_be_booked_yet_stops_nobody_else() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(100_000)).await;
    let (payer, bob) = (person(0x21), person(0x22));
    town.mandates.open_book(bob.party(), money::Asset::MUSD).await.unwrap();
    hold_only(&town, &payer, 1).await;
    // All of the money leaves by hand, though some is set aside.
    town::transfer(&town, &payer, bob.party(), 100_000).await;
    let parties = [buyer.party(), bob.party()];
    let keeper = town.bookkeeper(&parties);
    keeper.reconcile(false).await.unwrap();
    assert_eq!(town.line(bob.party(), Line::Cash).0, 100_000);
    assert_eq!(town.line(buyer.party(), Line::Cash).0, 100_000);
    town.clock.advance(Duration::from_secs(3600));
    keeper.reconcile(false).await.unwrap();
    assert_eq!(town.line(buyer.party(), Line::Cash).0, 0);
    town.is_whole(&parties).await;
}

#[tokio::test]
async fn a_home_that_was_shut_for_a_month_still_knows_what_it_spent() {
    let town = Town::begin().await;
    let buyer = town.buyer_with(0x21, musd(100_000), musd(30_000), BuyerLimits::default()).await;
    let payer: Party = buyer.party();
    let shop = town.shop().await;
    // The power fails while the work goes on; the seller, elsewhere, finishes and settles.
    let purchase = shop.purchase("wait");
    let lost = tokio::spawn(async move { buyer.buy(&purchase).await.map(drop) });
    shop.work.begins().await;
    lost.abort();
    let signed = town
        .ledger
        .read(|s| s.holds().map(|h| h.transfer.reference).next_back())
        .and_then(|r| {
            let documents = town.ledger.evidence(r).unwrap();
            documents.into_iter().find(|d| d.evidence.stage == payments::buyer::stage::PAYMENT)
        })
        .unwrap();
    let signed: payments::wire::PaymentPayload =
        serde_json::from_slice(&signed.evidence.body).unwrap();
    drop(shop);
    let order = exact::read(&signed.payload).unwrap();
    town.chain.transfer_with_authorization(&order).await.unwrap();
    town.clock.advance(town::DAY * 30);
    let town = town.crash().await;
    // Even before anybody has asked the chain, the room is not given away.
    assert_eq!(town.mandates.left(payer).unwrap().lifetime, musd(30_000 - i128::from(PRICE)));
    let found = town.bookkeeper(&[payer]).reconcile(true).await.unwrap();
    assert_eq!((found.posted, found.breaks.len()), (1, 0));
    assert_eq!(town.mandates.left(payer).unwrap().lifetime, musd(30_000 - i128::from(PRICE)));
    assert_eq!(town.line(payer, Line::Purchases), (i128::from(PRICE), 0));
}
