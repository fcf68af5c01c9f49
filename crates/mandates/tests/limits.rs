//! Every limit refuses what passes it, says which it was and what is left, and lets nothing through.

mod home;

use std::sync::Arc;

use home::{HOUR, START, cents, clock, home, machine, mandate, owner, reference, signed, spend};
use ledger::{Ledger, Status};
use mandates::{Key, MandateError, Mandates, Rule, SignedMandate, Spend, books};
use money::{Amount, Asset, ManualClock};

fn refusal(result: Result<mandates::Held, MandateError>) -> (Rule, i128, String) {
    match result {
        Err(error @ MandateError::Refused { .. }) => {
            let text = error.to_string();
            let MandateError::Refused { rule, left, .. } = error else { unreachable!() };
            (rule, left.minor(), text)
        }
        other => panic!("not refused by a rule: {other:?}"),
    }
}

#[tokio::test]
async fn each_limit_refuses_by_name_with_what_is_left_and_what_to_do() {
    const PAYEE: &str = "0x5e5E5e5e5E5e5E5E5e5E5E5e5e5E5E5E5e5E5E5e";
    struct Case {
        name: &'static str,
        wallet: i128,
        earlier: &'static [i128],
        asked: i128,
        rule: Rule,
        left: i128,
        text: &'static str,
    }
    for case in [
        Case {
            name: "one unit above the cap for one payment",
            wallet: 5_000_000,
            earlier: &[],
            asked: 250_001,
            rule: Rule::PerPayment,
            left: 250_000,
            text: "0.25 MUSD allowed for one payment; hint: ask the owner for a mandate with a higher limit per payment",
        },
        Case {
            name: "one unit above what the day leaves",
            wallet: 5_000_000,
            earlier: &[250_000, 250_000],
            asked: 100_001,
            rule: Rule::Daily,
            left: 100_000,
            text: "0.10 MUSD left of the last 24 hours' budget; hint: wait until earlier payments are a day old, or ask the owner for more",
        },
        Case {
            name: "one unit above the wallet",
            wallet: 100_000,
            earlier: &[60_000],
            asked: 40_001,
            rule: Rule::Wallet,
            left: 40_000,
            text: "0.04 MUSD in the machine's wallet; hint: put money into the machine's wallet: `machina fund ADDRESS AMOUNT`",
        },
        Case {
            name: "an empty wallet",
            wallet: 0,
            earlier: &[],
            asked: 1,
            rule: Rule::Wallet,
            left: 0,
            text: "0.00 MUSD in the machine's wallet; hint: put money into the machine's wallet: `machina fund ADDRESS AMOUNT`",
        },
    ] {
        let clock = clock();
        let (ledger, mandates) = home(&clock, cents(case.wallet)).await;
        for (number, amount) in case.earlier.iter().enumerate() {
            let spend = spend(number as u64, cents(*amount), &clock);
            mandates.hold(spend, clock_now(&clock), Vec::new()).await.unwrap();
        }
        let before = ledger.read(|s| s.digest());
        let asked = spend(99, cents(case.asked), &clock);
        let (rule, left, text) = refusal(mandates.hold(asked, clock_now(&clock), Vec::new()).await);
        assert_eq!((rule, left), (case.rule, case.left), "{}", case.name);
        let shown = cents(case.asked);
        assert_eq!(text, format!("mandate refused {shown} for {PAYEE}: {}", case.text));
        assert_eq!(ledger.read(|s| s.digest()), before, "{}: a refusal left a trace", case.name);
        // What the refusal said was left is left, to the unit.
        if case.left > 0 {
            let exact = spend(100, cents(case.left), &clock);
            mandates.hold(exact, clock_now(&clock), Vec::new()).await.unwrap();
        }
    }
}

fn clock_now(clock: &Arc<ManualClock>) -> money::Timestamp {
    use money::Clock as _;
    clock.now()
}

#[tokio::test]
async fn the_lifetime_budget_refuses_when_the_day_no_longer_does() {
    let clock = clock();
    let (_ledger, mandates) = home(&clock, cents(5_000_000)).await;
    for number in 0..4 {
        let spend = spend(number, cents(250_000), &clock);
        mandates.hold(spend, clock_now(&clock), Vec::new()).await.unwrap();
        clock.advance(HOUR * 25);
    }
    let one = spend(4, cents(1), &clock);
    let (rule, left, text) = refusal(mandates.hold(one, clock_now(&clock), Vec::new()).await);
    assert_eq!((rule, left), (Rule::Lifetime, 0));
    assert!(
        text.ends_with(
            "0.00 MUSD left of the mandate's budget; hint: ask the owner to grant a new mandate"
        ),
        "{text}"
    );
}

#[tokio::test]
async fn what_no_mandate_allows_is_refused() {
    let clock = clock();
    let ledger = Ledger::in_memory(clock.clone());
    let mandates = home::furnish(&ledger, cents(5_000_000)).await;
    let error =
        mandates.hold(spend(1, cents(1), &clock), clock_now(&clock), Vec::new()).await.unwrap_err();
    assert!(matches!(error, MandateError::NoMandate { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "{} has no mandate, so it may spend nothing; its owner can grant one: `machina grant AMOUNT`",
            machine().party()
        )
    );
    assert!(mandates.left(machine().party()).is_none());
    // A mandate in one asset allows nothing in another.
    mandates.grant(signed(mandate())).await.unwrap();
    let other = Spend { amount: Amount::from_minor(Asset::USDC, 1), ..spend(1, cents(1), &clock) };
    let error = mandates.hold(other, clock_now(&clock), Vec::new()).await.unwrap_err();
    assert!(matches!(error, MandateError::NoMandate { .. }), "{error}");
}

#[tokio::test]
async fn a_mandate_ends_when_it_says_and_what_is_held_can_still_be_settled() {
    let clock = clock();
    let (_ledger, mandates) = home(&clock, cents(5_000_000)).await;
    let end = mandate().expires_at;
    mandates.hold(spend(1, cents(10), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    mandates.hold(spend(2, cents(10), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    clock.set(end);
    let error =
        mandates.hold(spend(3, cents(1), &clock), clock_now(&clock), Vec::new()).await.unwrap_err();
    assert!(matches!(error, MandateError::Expired { expired_at, .. } if expired_at == end));
    assert_eq!(
        error.to_string(),
        format!(
            "the mandate of {} ended at {end}; its owner can grant a new one",
            machine().party()
        )
    );
    mandates.settle(reference(1), Vec::new()).await.unwrap();
    mandates.release(reference(2), Vec::new()).await.unwrap();
    // An ended mandate cannot be granted anew either.
    let again = home::signed(mandates::Mandate { serial: 2, ..mandate() });
    assert!(matches!(mandates.grant(again).await, Err(MandateError::Expired { .. })));
}

#[tokio::test]
async fn the_day_slides_and_comes_back_after_24_hours_not_at_midnight() {
    let clock = clock();
    let (_ledger, mandates) = home(&clock, cents(5_000_000)).await;
    let try_one = async |number| {
        let spend = spend(number, cents(200_000), &clock);
        mandates.hold(spend, clock_now(&clock), Vec::new()).await.map(drop)
    };
    try_one(0).await.unwrap();
    clock.advance(HOUR);
    try_one(1).await.unwrap();
    try_one(2).await.unwrap();
    assert!(matches!(try_one(3).await, Err(MandateError::Refused { rule: Rule::Daily, .. })));
    // Past midnight, and up to the last millisecond of the first payment's day.
    clock.set(money::Timestamp::from_millis(START.plus(HOUR * 24).as_millis() - 1));
    assert!(matches!(try_one(3).await, Err(MandateError::Refused { rule: Rule::Daily, .. })));
    clock.set(START.plus(HOUR * 24));
    try_one(3).await.unwrap();
    assert!(matches!(try_one(4).await, Err(MandateError::Refused { rule: Rule::Daily, .. })));
}

#[tokio::test]
async fn a_clock_that_steps_back_does_not_shorten_the_day() {
    let clock = clock();
    let (ledger, mandates) = home(&clock, cents(5_000_000)).await;
    let true_now = clock_now(&clock);
    clock.set(money::Timestamp::from_millis(true_now.as_millis() - HOUR.as_millis() as u64 * 3));
    mandates.hold(spend(1, cents(200_000), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    let ends = ledger.read(|s| s.holds().map(|h| h.transfer.hold_until.unwrap()).min().unwrap());
    assert_eq!(ends, true_now.plus(HOUR * 24));
}

#[tokio::test]
async fn released_money_and_room_come_back_and_settled_do_not() {
    let clock = clock();
    let (ledger, mandates) = home(&clock, cents(1_000_000)).await;
    let full = mandates.left(machine().party()).unwrap();
    mandates.hold(spend(1, cents(100), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    mandates.release(reference(1), Vec::new()).await.unwrap();
    mandates.release(reference(1), Vec::new()).await.unwrap();
    assert_eq!(mandates.left(machine().party()).unwrap(), full);
    assert!(matches!(
        mandates.settle(reference(1), Vec::new()).await,
        Err(MandateError::Ledger(_))
    ));
    let held =
        mandates.hold(spend(2, cents(100), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    mandates.settle(reference(2), Vec::new()).await.unwrap();
    mandates.settle(reference(2), Vec::new()).await.unwrap();
    assert!(mandates.release(reference(2), Vec::new()).await.is_err());
    let left = mandates.left(machine().party()).unwrap();
    assert_eq!(&left, held.left());
    assert_eq!(
        (left.daily, left.lifetime, left.wallet),
        (cents(599_900), cents(999_900), cents(999_900))
    );
    let spent = books::Line::Purchases.of(machine().party(), Asset::MUSD);
    assert_eq!(ledger.read(|s| s.balance(&spent).unwrap().settled()), cents(100));
}

#[tokio::test]
async fn what_was_not_charged_comes_back_to_wallet_and_budget_and_to_the_day_when_it_is_over() {
    let clock = clock();
    let (ledger, mandates) = home(&clock, cents(1_000_000)).await;
    mandates.hold(spend(1, cents(100), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    for wrong in [cents(101), cents(0), cents(-1)] {
        let refused = mandates.settle_part(reference(1), wrong, Vec::new()).await;
        assert!(matches!(refused, Err(MandateError::Ledger(_))), "{wrong}");
    }
    mandates.settle_part(reference(1), cents(30), Vec::new()).await.unwrap();
    mandates.settle_part(reference(1), cents(30), Vec::new()).await.unwrap();
    for wrong in [cents(29), cents(31), cents(100)] {
        assert!(mandates.settle_part(reference(1), wrong, Vec::new()).await.is_err(), "{wrong}");
    }
    let left = mandates.left(machine().party()).unwrap();
    assert_eq!(
        (left.daily, left.lifetime, left.wallet),
        (cents(599_900), cents(999_970), cents(999_970))
    );
    let spent = books::Line::Purchases.of(machine().party(), Asset::MUSD);
    assert_eq!(ledger.read(|s| s.balance(&spent).unwrap().settled()), cents(30));
    // A part that comes late takes that much room and no more.
    mandates.hold(spend(2, cents(100), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    mandates.release(reference(2), Vec::new()).await.unwrap();
    mandates.charge_late(reference(2), cents(10)).await.unwrap();
    mandates.charge_late(reference(2), cents(10)).await.unwrap();
    assert_eq!(mandates.left(machine().party()).unwrap().lifetime, cents(999_960));
}

#[tokio::test]
async fn a_hold_is_released_whole_after_its_day_is_over() {
    let clock = clock();
    let (_ledger, mandates) = home(&clock, cents(1_000_000)).await;
    mandates.hold(spend(1, cents(100), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    clock.advance(HOUR * 25);
    mandates.release(reference(1), Vec::new()).await.unwrap();
    mandates.release(reference(1), Vec::new()).await.unwrap();
    let left = mandates.left(machine().party()).unwrap();
    assert_eq!((left.lifetime, left.wallet), (cents(1_000_000), cents(1_000_000)));
    assert!(mandates.release(reference(2), Vec::new()).await.is_err(), "it was never held");
}

#[tokio::test]
async fn a_payment_that_the_chain_shows_late_takes_its_room_after_all() {
    let clock = clock();
    let (ledger, mandates) = home(&clock, cents(5_000_000)).await;
    for (number, lifetime) in [(1, 800_000), (2, 600_000), (3, 400_000)] {
        mandates
            .hold(spend(number, cents(200_000), &clock), clock_now(&clock), Vec::new())
            .await
            .unwrap();
        mandates.release(reference(number), Vec::new()).await.unwrap();
        mandates.charge_late(reference(number), cents(200_000)).await.unwrap();
        mandates.charge_late(reference(number), cents(200_000)).await.unwrap();
        assert_eq!(mandates.left(machine().party()).unwrap().lifetime, cents(lifetime));
    }
    // More than is left: all that is left is taken, and nothing more can be spent.
    clock.advance(HOUR * 25);
    mandates.hold(spend(4, cents(250_000), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    mandates.release(reference(4), Vec::new()).await.unwrap();
    mandates.hold(spend(5, cents(250_000), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    mandates.charge_late(reference(4), cents(250_000)).await.unwrap();
    assert_eq!(mandates.left(machine().party()).unwrap().lifetime, cents(0));
    mandates.settle(reference(5), Vec::new()).await.unwrap();
    mandates.charge_late(reference(5), cents(250_000)).await.unwrap();
    let totals = ledger.read(|s| s.totals().to_vec());
    assert!(totals.iter().all(|t| t.debits_posted == t.credits_posted));
}

#[tokio::test]
async fn granting_twice_does_not_add_up() {
    let clock = clock();
    let (ledger, mandates) = home(&clock, cents(5_000_000)).await;
    let before = ledger.read(|s| s.digest());
    let id = mandates.grant(signed(mandate())).await.unwrap();
    assert_eq!(id, mandate().id());
    assert_eq!(ledger.read(|s| s.digest()), before);
    assert_eq!(mandates.left(machine().party()).unwrap().lifetime, cents(1_000_000));
}

#[tokio::test]
async fn a_replaced_mandate_cannot_be_brought_back() {
    let clock = clock();
    let (ledger, mandates) = home(&clock, cents(5_000_000)).await;
    let other_handle = Mandates::open(ledger.clone(), &[]).unwrap();
    let smaller = mandates::Mandate { lifetime: cents(5), serial: 2, ..mandate() };
    mandates.grant(signed(smaller.clone())).await.unwrap();
    // The machine still has the old document, under a good signature.
    let error = mandates.grant(signed(mandate())).await.unwrap_err();
    assert!(matches!(error, MandateError::Superseded { .. }), "{error}");
    for handle in [&mandates, &other_handle, &Mandates::open(ledger, &[machine().party()]).unwrap()]
    {
        assert_eq!(handle.of(machine().party()), Some(smaller.clone()));
        let asked = spend(1, cents(6), &clock);
        assert_eq!(
            refusal(handle.hold(asked, clock_now(&clock), Vec::new()).await).0,
            Rule::Lifetime
        );
    }
}

#[tokio::test]
async fn a_machine_cannot_make_itself_another_owner() {
    let clock = clock();
    let (_ledger, mandates) = home(&clock, cents(5_000_000)).await;
    let accomplice = Key::from_secret(&[0x66; 32]).unwrap();
    let wider = mandates::Mandate {
        owner: accomplice.party(),
        lifetime: cents(9_000_000),
        serial: 7,
        ..mandate()
    };
    let signed = SignedMandate::sign(wider, &accomplice).unwrap();
    let error = mandates.grant(signed).await.unwrap_err();
    assert!(
        matches!(error, MandateError::NotSignedByOwner { owner: whose, .. } if whose == owner().party()),
        "{error}"
    );
    assert_eq!(mandates.of(machine().party()), Some(mandate()));
}

#[tokio::test]
async fn one_payment_is_held_once() {
    let clock = clock();
    let (ledger, mandates) = home(&clock, cents(5_000_000)).await;
    mandates.hold(spend(1, cents(100), &clock), clock_now(&clock), Vec::new()).await.unwrap();
    let before = ledger.read(|s| s.digest());
    for amount in [100, 101] {
        let again = spend(1, cents(amount), &clock);
        assert!(mandates.hold(again, clock_now(&clock), Vec::new()).await.is_err());
    }
    assert_eq!(ledger.read(|s| s.digest()), before);
    let hold = ledger.read(|s| s.transfer(&books::purchase_id(reference(1))).unwrap().status);
    assert_eq!(hold, Status::Held);
}
