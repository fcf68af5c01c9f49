//! Money at a labour market: what is paid in stays the payer's own, and comes back once.

use crate::town;

use ledger::{Kind, Operation, Reference, TransferId};
use mandates::books::{Entry, Line};
use mandates::{Key, Payout};
use money::{Clock as _, Party};
use payments::channel::{ChannelInvalid, Collect, TillLimits};
use payments::payout::Cashier;
use payments::{Buyer, BuyerLimits, GateLimits, Offer, exact};
use settlement::SignedAuthorization;
use town::vouchers::{COSTS, Client};
use town::{PRICE, Town, musd, person, seller};

const DEPOSIT: i128 = PRICE as i128;

fn market() -> Key {
    person(0x5e)
}

fn cashier(town: &Town) -> Cashier {
    let (chain, clock) = (town.chain.clone(), town.clock.clone());
    Cashier::new(market(), town.mandates.clone(), chain, clock)
}

/// A town in which a buyer has paid in at a market.
async fn paid_in() -> (Town, Buyer) {
    let town = Town::begin().await;
    let keeps = |offer: &mut Offer| offer.income = Line::Owed;
    let shop = town.shop_of(town.facilitator(), GateLimits::default(), keeps).await;
    let limits = BuyerLimits::default();
    let buyer = town.buyer_with(0x21, musd(100_000), musd(50_000), limits).await;
    let buyer = buyer.with_market(seller());
    let bought = buyer.buy(&shop.purchase("a deposit")).await.unwrap();
    assert_eq!(bought.paid.map(|paid| paid.amount), Some(musd(DEPOSIT)));
    (town, buyer)
}

fn left(town: &Town, machine: Party) -> i128 {
    town.mandates.left(machine).unwrap().lifetime.minor()
}

fn lines(town: &Town, party: Party, lines: [Line; 3]) -> [i128; 3] {
    lines.map(|line| town.line(party, line).0)
}

const OF_BUYER: [Line; 3] = [Line::Cash, Line::Market, Line::Purchases];
const OF_MARKET: [Line; 3] = [Line::Cash, Line::Owed, Line::Sales];

/// A job that cost so much, as the market's books say it.
async fn spend(town: &Town, buyer: Party, minor: i128) {
    let reference = Reference::derive("test/job", &[]);
    let entry = |id: &str, book, other, debit, credit| {
        Entry {
            id: TransferId::derive(id, &[]),
            book,
            debit,
            credit,
            amount: musd(minor),
            kind: Kind::Intermediate,
            counterparty: other,
            reference,
            digest: [0; 32],
            hold_until: None,
        }
        .transfer()
    };
    let both = Operation::Linked(vec![
        entry("test/bought", buyer, seller(), Line::Purchases, Line::Market),
        entry("test/sold", seller(), buyer, Line::Owed, Line::Sales),
    ]);
    assert!(town.ledger.submit(both.into()).await.unwrap().holds());
}

#[tokio::test]
async fn a_deposit_is_no_purchase_and_what_is_not_spent_comes_back_once() {
    let (town, buyer) = paid_in().await;
    let me = buyer.party();
    assert_eq!(lines(&town, me, OF_BUYER), [100_000 - DEPOSIT, DEPOSIT, 0]);
    assert_eq!(lines(&town, seller(), OF_MARKET), [DEPOSIT, DEPOSIT, 0]);
    assert_eq!(left(&town, me), 50_000 - DEPOSIT, "what is at a market is spent until it is back");

    spend(&town, me, 1_000).await;
    let cashier = cashier(&town);
    let payout = cashier.payout(b"one", me, musd(DEPOSIT - 1_000), true);
    let paid = cashier.pay(payout.clone()).await.unwrap();
    let digest = town.digest();
    assert_eq!(cashier.pay(payout).await.unwrap(), paid, "the same is the same payment");
    assert_eq!(town.digest(), digest);
    assert_eq!(lines(&town, me, OF_BUYER), [99_000, 0, 1_000]);
    assert_eq!(lines(&town, seller(), OF_MARKET), [1_000, 0, 1_000]);
    assert_eq!((town.owns(me).await, town.owns(seller()).await), (99_000, 1_000));
    assert_eq!(left(&town, me), 49_000, "and what was spent stays spent");
    town.is_whole(&[me, seller()]).await;
}

/// A shop that keeps its payers' money, paid from channels.
async fn channel_keeper(town: &Town) -> town::shop::Shop {
    let keeps = |offer: &mut Offer| offer.income = Line::Owed;
    let (limits, till) = (GateLimits::default(), TillLimits::default());
    town.channel_shop_of(town.channel_facilitator(), limits, till, keeps).await
}

#[tokio::test]
async fn what_vouchers_pay_in_is_owed_and_no_sale_and_a_claim_makes_it_cash() {
    let town = Town::begin().await;
    let shop = channel_keeper(&town).await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    for number in 1..=4_u128 {
        let payment = client.voucher(number * COSTS);
        let paid = shop.pay(&payment, &format!("deposit {number}")).await;
        assert_eq!(paid.status, 200, "{}", paid.text);
        let again = shop.pay(&payment, &format!("deposit {number}")).await;
        assert_eq!(again, paid, "the same voucher pays in once");
    }
    assert_eq!(shop.work.count(), 4);
    assert_eq!(lines(&town, seller(), OF_MARKET), [0, 4 * DEPOSIT, 0]);
    let reference = |record: &ledger::TransferRecord| {
        let transfer = &record.transfer;
        (transfer.counterparty, transfer.kind, record.posted().unwrap().1.minor())
    };
    let owed = Line::Owed.of(seller(), town.token().asset);
    let entries = town.ledger.read(|s| s.entries_of(owed).map(reference).collect::<Vec<_>>());
    assert_eq!(entries, vec![(Some(client.key.party()), Kind::Financial, DEPOSIT); 4]);

    // A restart knows them.
    drop(shop);
    let town = town.crash().await;
    let shop = channel_keeper(&town).await;
    let told = shop.pay(&client.voucher(4 * COSTS), "deposit 4").await;
    assert_eq!((told.status, shop.work.count()), (200, 0), "{}", told.text);
    let other = shop.pay(&client.voucher(4 * COSTS), "another").await;
    assert_eq!(other.code(), ChannelInvalid::CumulativeMismatch.code());

    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!((collected.claimed, collected.transactions), (4 * COSTS, 2));
    let keeper = town.bookkeeper(&[seller()]);
    assert_eq!(keeper.reconcile(true).await.unwrap().breaks, []);
    assert_eq!(lines(&town, seller(), OF_MARKET), [4 * DEPOSIT, 4 * DEPOSIT, 0]);
    let cashier = cashier(&town);
    let payer = client.key.party();
    cashier.pay(cashier.payout(b"one", payer, musd(4 * DEPOSIT), false)).await.unwrap();
    assert_eq!((town.owns(payer).await, town.owns(seller()).await), (4 * DEPOSIT, 0));
    assert_eq!(keeper.reconcile(true).await.unwrap().breaks, []);
}

#[tokio::test]
async fn what_another_key_signs_for_a_payer_pays_nothing_in() {
    let town = Town::begin().await;
    let shop = channel_keeper(&town).await;
    let mut client = Client::new(&town, 0x31, 1);
    client.config.payer_authorizer = person(0x32).address();
    client.key = person(0x32);
    let told = shop.pay(&client.voucher(COSTS), "a deposit").await;
    assert_eq!((told.status, told.code()), (403, "payer_has_no_key".into()), "{}", told.text);
    assert_eq!(shop.work.count(), 0);
}

#[tokio::test]
async fn our_buyer_pays_in_at_its_market_at_once_and_never_from_a_channel() {
    let town = Town::begin().await;
    let shop = channel_keeper(&town).await;
    let mut limits = BuyerLimits::default();
    limits.channels.open_after = 1;
    let buyer = town.buyer_with(0x21, musd(100_000), musd(50_000), limits).await;
    let buyer = buyer.with_market(seller());
    for number in 0..3 {
        let bought = buyer.buy(&shop.purchase(&format!("deposit {number}"))).await.unwrap();
        assert_eq!(bought.paid.map(|paid| paid.amount), Some(musd(DEPOSIT)));
    }
    assert_eq!(lines(&town, buyer.party(), OF_BUYER), [100_000 - 3 * DEPOSIT, 3 * DEPOSIT, 0]);
    let refused = buyer.buy_by(&shop.purchase("from a channel"), Some("batch-settlement")).await;
    assert!(refused.unwrap_err().to_string().contains("paid in at once"));
}

#[tokio::test]
async fn a_wallet_that_could_never_ask_for_its_money_back_pays_nothing_in() {
    let town = Town::begin().await;
    let keeps = |offer: &mut Offer| offer.income = Line::Owed;
    let shop = town.shop_of(town.facilitator(), GateLimits::default(), keeps).await;
    let wallet = town::AGREEABLE_WALLET;
    town.give(wallet.into(), musd(100_000)).await;
    let mut order = town.order(&person(0x21), 1);
    order.from = wallet;
    order.signature = vec![1, 2, 3].into();
    let told = shop.pay(&town.wrap(&order), "a deposit").await;
    assert_eq!((told.status, told.code()), (403, "payer_has_no_key".into()), "{}", told.text);
    assert_eq!((town.owns(seller()).await, shop.work.count()), (0, 0));
    // What is sold for good it buys.
    let shop = town.shop().await;
    assert_eq!(shop.pay(&town.wrap(&order), "a purchase").await.status, 200);
}

#[tokio::test]
async fn earnings_make_no_budget_larger() {
    let (town, buyer) = paid_in().await;
    let me = buyer.party();
    spend(&town, me, 4_000).await;
    // As much is earned there by other work.
    let earned = Entry {
        id: TransferId::derive("test/earned", &[]),
        book: me,
        debit: Line::Market,
        credit: Line::Sales,
        amount: musd(4_000),
        kind: Kind::Intermediate,
        counterparty: seller(),
        reference: Reference::derive("test/earned", &[]),
        digest: [0; 32],
        hold_until: None,
    };
    assert!(town.ledger.submit(earned.transfer().into()).await.unwrap().holds());
    // The market's own money pays it here; what counts is the budget.
    let owed = Entry {
        id: TransferId::derive("test/owed", &[]),
        book: seller(),
        debit: Line::Sales,
        credit: Line::Owed,
        ..earned
    };
    assert!(town.ledger.submit(owed.transfer().into()).await.unwrap().holds());
    let cashier = cashier(&town);
    cashier.pay(cashier.payout(b"all", me, musd(DEPOSIT), true)).await.unwrap();
    assert_eq!(left(&town, me), 46_000, "4,000 were spent, whatever was earned beside");
}

#[tokio::test]
async fn a_payout_that_is_interrupted_anywhere_is_made_once() {
    let (town, buyer) = paid_in().await;
    let me = buyer.party();
    let payout = cashier(&town).payout(b"one", me, musd(DEPOSIT), true);
    // Held, and then the power fails.
    town.mandates.hold_payout(payout.clone()).await.unwrap();
    let town = town.crash().await;
    let keeper = town.bookkeeper(&[me, seller()]);
    assert_eq!(keeper.reconcile(true).await.unwrap().breaks, [], "what is held is in flight");
    // Sent, and then the power fails: the chain has it, and the books do not know.
    let held = town.mandates.hold_payout(payout.clone()).await.unwrap();
    let order = signed(&town, &held, &payout);
    town.chain.transfer_with_authorization(&order).await.unwrap();
    let town = town.crash().await;
    let keeper = town.bookkeeper(&[me, seller()]);
    assert_eq!(keeper.reconcile(true).await.unwrap().breaks, []);
    assert_eq!(town.line(me, Line::Funding).0, 100_000, "it is nobody's gift");
    // The next start pays it, and finds that it was paid.
    cashier(&town).pay(payout.clone()).await.unwrap();
    cashier(&town).pay(payout).await.unwrap();
    assert_eq!(lines(&town, me, OF_BUYER), [100_000, 0, 0]);
    assert_eq!((town.owns(me).await, town.owns(seller()).await), (100_000, 0));
    town.is_whole(&[me, seller()]).await;
}

fn signed(town: &Town, held: &mandates::HeldPayout, payout: &Payout) -> SignedAuthorization {
    let now = town.clock.now().as_secs();
    let mut order = SignedAuthorization {
        from: market().address(),
        to: payout.to.into(),
        value: payout.amount.minor().unsigned_abs().try_into().unwrap(),
        valid_after: (now - 60).try_into().unwrap(),
        valid_before: (now + 60).try_into().unwrap(),
        nonce: payout.number,
        signature: Default::default(),
    };
    let token = town.token();
    let (name, version) = (&token.name, &token.version);
    let domain = protocol::dollar_domain(name, version, token.chain_id, token.address);
    let unsigned = exact::order(&order);
    order.signature =
        market().sign_payout(held, &unsigned, &domain).unwrap().as_bytes().to_vec().into();
    // Nothing else is signed for this hold.
    type Change = fn(&mut protocol::TransferWithAuthorization);
    let changes: [Change; 4] = [
        |order| order.to = market().address(),
        |order| order.value += alloy_primitives::U256::ONE,
        |order| order.nonce = Default::default(),
        |order| order.validBefore = alloy_primitives::U256::MAX,
    ];
    for change in changes {
        let mut other = exact::order(&order);
        change(&mut other);
        assert!(market().sign_payout(held, &other, &domain).is_err(), "{other:?}");
        assert!(person(0x21).sign_payout(held, &unsigned, &domain).is_err());
    }
    order
}

#[tokio::test]
async fn a_market_pays_out_no_more_than_it_has() {
    let (town, buyer) = paid_in().await;
    let cashier = cashier(&town);
    let too_much = cashier.payout(b"much", buyer.party(), musd(DEPOSIT + 1), true);
    assert!(cashier.pay(too_much).await.is_err());
    assert_eq!(town.owns(seller()).await, DEPOSIT);
    // The same name for another sum is refused as well.
    cashier.pay(cashier.payout(b"one", buyer.party(), musd(1), true)).await.unwrap();
    assert!(cashier.pay(cashier.payout(b"one", buyer.party(), musd(2), true)).await.is_err());
    town.is_whole(&[buyer.party(), seller()]).await;
}
