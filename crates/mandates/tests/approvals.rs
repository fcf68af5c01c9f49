//! What is above what goes without asking waits for the owner's word, and for nothing less: once, for
//! exactly that purchase, in time. A naive model says what may be held and what must wait.

mod home;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::U256;
use home::{HOUR, PAYEE, cents, clock, furnish, machine, mandate, owner, reference, reopen, spend};
use ledger::{Evidence, Ledger, Reference};
use mandates::{
    Acceptance, Approval, ApprovalState, DECIDE_WITHIN, MOST_WAITING, Mandate, MandateError,
    Mandates, Rule, SignedMandate, Spend, USE_WITHIN, Unasked, approval_stage,
};
use money::{Clock as _, ManualClock, Party};
use proptest::prelude::*;

const CAP: i128 = 250;
const FREE: i128 = 100;
const FREE_A_DAY: i128 = 300;
const DAILY: i128 = 1_500;
const LIFETIME: i128 = 4_000;

fn asking() -> Mandate {
    Mandate {
        per_payment: cents(CAP),
        daily: cents(DAILY),
        lifetime: cents(LIFETIME),
        unasked: Some(Unasked { per_payment: cents(FREE), daily: cents(FREE_A_DAY) }),
        ..mandate()
    }
}

async fn asking_home(clock: &Arc<ManualClock>) -> (Ledger, Mandates) {
    let ledger = Ledger::in_memory(clock.clone());
    let mandates = furnish(&ledger, cents(1_000_000)).await;
    mandates.grant(home::signed(asking())).await.unwrap();
    (ledger, mandates)
}

fn explained(request: Reference) -> Vec<Evidence> {
    vec![Evidence {
        reference: request,
        stage: approval_stage::REQUEST.into(),
        media_type: "application/json".into(),
        body: b"{}".to_vec(),
    }]
}

async fn ask(mandates: &Mandates, spend: &Spend, clock: &ManualClock) -> Approval {
    mandates.ask(spend, DECIDE_WITHIN, clock.now(), explained).await.unwrap()
}

async fn accept(
    mandates: &Mandates,
    approval: &Approval,
    clock: &ManualClock,
) -> Result<Approval, MandateError> {
    let word = Acceptance::sign(approval, &owner()).unwrap();
    mandates.accept(machine().party(), word, clock.now()).await
}

async fn hold(
    mandates: &Mandates,
    spend: &Spend,
    clock: &ManualClock,
) -> Result<mandates::Held, MandateError> {
    mandates.hold(spend.clone(), clock.now(), Vec::new()).await
}

fn waits(result: Result<mandates::Held, MandateError>) -> bool {
    match result {
        Err(MandateError::NeedsApproval { .. }) => true,
        Ok(_) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn what_is_above_the_threshold_waits_and_an_acceptance_lets_exactly_it_go_once() {
    let clock = clock();
    let (_ledger, mandates) = asking_home(&clock).await;
    // Up to the threshold nobody is asked.
    hold(&mandates, &spend(1, cents(FREE), &clock), &clock).await.unwrap();
    let dear = spend(2, cents(FREE + 1), &clock);
    assert!(waits(hold(&mandates, &dear, &clock).await));
    let before = mandates.left(machine().party()).unwrap();

    let request = ask(&mandates, &dear, &clock).await;
    assert_eq!(request.state, ApprovalState::Waiting);
    assert_eq!((request.payee, request.amount), (PAYEE, cents(FREE + 1)));
    assert_eq!(request.decide_by, clock.now().plus(DECIDE_WITHIN));
    // To wait holds no money, takes no room, and asking again is the same request.
    assert_eq!(mandates.left(machine().party()).unwrap(), before);
    assert_eq!(ask(&mandates, &dear, &clock).await, request);
    assert!(waits(hold(&mandates, &dear, &clock).await), "a request is no leave");

    let accepted = accept(&mandates, &request, &clock).await.unwrap();
    assert!(matches!(accepted.state, ApprovalState::Accepted { .. }));
    // Another purchase, payee or price does not go by it.
    let others = [
        Spend { digest: [8; 32], ..dear.clone() },
        Spend { payee: Party::new([0x5f; 20]), ..dear.clone() },
        Spend { amount: cents(FREE + 2), ..dear.clone() },
    ];
    for other in &others {
        assert!(waits(hold(&mandates, other, &clock).await), "{other:?}");
    }
    let held = hold(&mandates, &dear, &clock).await.unwrap();
    let order = home::order(2, cents(FREE + 1), clock.now());
    machine().sign_payment(&held, &order, &home::domain()).unwrap();
    let used = mandates.approval(machine().party(), &request.id(), clock.now()).unwrap();
    assert_eq!(used.state, ApprovalState::Used { by: dear.reference });
    // Once: the same purchase again, as another payment, has to be asked for again.
    let again = Spend { reference: reference(3), ..dear.clone() };
    assert!(waits(hold(&mandates, &again, &clock).await));
    let second = ask(&mandates, &again, &clock).await;
    assert_ne!(second.reference, request.reference);
    assert_eq!(second.state, ApprovalState::Waiting);
    // And the first word does not count for the second request.
    let old = Acceptance::sign(&request, &owner()).unwrap();
    let forged = Acceptance { request: second.reference, signature: old.signature.clone() };
    let refused = mandates.accept(machine().party(), forged, clock.now()).await;
    assert!(matches!(refused, Err(MandateError::NotAccepted { .. })));
    let late = mandates.accept(machine().party(), old, clock.now()).await;
    assert!(matches!(late, Err(MandateError::NotWaiting(_))), "it was used");
}

#[tokio::test]
async fn a_lower_price_goes_by_the_word_and_uses_all_of_it() {
    let clock = clock();
    let (_ledger, mandates) = asking_home(&clock).await;
    let request = ask(&mandates, &spend(1, cents(200), &clock), &clock).await;
    accept(&mandates, &request, &clock).await.unwrap();
    let cheaper = Spend { reference: reference(2), ..spend(2, cents(120), &clock) };
    hold(&mandates, &cheaper, &clock).await.unwrap();
    assert!(waits(hold(&mandates, &spend(3, cents(FREE + 1), &clock), &clock).await), "no rest");
}

#[tokio::test]
async fn a_word_is_taken_once_however_many_try_at_once_and_comes_back_if_nothing_was_paid() {
    let clock = clock();
    let (_ledger, mandates) = asking_home(&clock).await;
    let dear = spend(1, cents(200), &clock);
    let request = ask(&mandates, &dear, &clock).await;
    accept(&mandates, &request, &clock).await.unwrap();
    let tries: Vec<_> = (1..=8u64)
        .map(|number| {
            let (mandates, clock) = (mandates.clone(), clock.clone());
            let spend = spend(number, cents(200), &clock);
            tokio::spawn(async move { mandates.hold(spend, clock.now(), Vec::new()).await })
        })
        .collect();
    let mut held = Vec::new();
    for attempt in tries {
        match attempt.await.unwrap() {
            Ok(one) => held.push(one),
            Err(MandateError::NeedsApproval { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(held.len(), 1);
    // Let go, it may be used again; settled, never.
    let first = held[0].spend().reference;
    mandates.release(first, Vec::new()).await.unwrap();
    let another = spend(20, cents(200), &clock);
    hold(&mandates, &another, &clock).await.unwrap();
    mandates.settle(another.reference, Vec::new()).await.unwrap();
    assert!(waits(hold(&mandates, &spend(21, cents(200), &clock), &clock).await));
    let left = mandates.left(machine().party()).unwrap();
    assert_eq!(left.lifetime, cents(LIFETIME - 200));
}

#[tokio::test]
async fn a_decision_is_made_once_by_the_owner_and_in_time() {
    let clock = clock();
    let (_ledger, mandates) = asking_home(&clock).await;
    let party = machine().party();
    let by =
        |number: u64| Spend { digest: [number as u8; 32], ..spend(number, cents(200), &clock) };

    // Nobody else's word counts, the machine's own neither.
    let request = ask(&mandates, &by(1), &clock).await;
    assert!(matches!(
        Acceptance::sign(&request, &machine()),
        Err(MandateError::NotAccepted { .. })
    ));
    let higher = Approval { amount: cents(250), ..request.clone() };
    let word = Acceptance::sign(&higher, &owner()).unwrap();
    let error = mandates.accept(party, word, clock.now()).await.unwrap_err();
    assert!(matches!(error, MandateError::NotAccepted { .. }), "for another price: {error}");

    // Twice yes is once; no after yes comes too late.
    accept(&mandates, &request, &clock).await.unwrap();
    let twice = accept(&mandates, &request, &clock).await.unwrap();
    assert!(matches!(twice.state, ApprovalState::Accepted { .. }));
    let error = mandates.refuse(party, request.reference, "no", clock.now()).await.unwrap_err();
    assert!(matches!(error, MandateError::NotWaiting(_)), "{error}");

    // No is no, until its end: yes comes too late, and nobody is asked again.
    let refused = ask(&mandates, &by(2), &clock).await;
    let said = mandates.refuse(party, refused.reference, "too dear", clock.now()).await.unwrap();
    assert!(matches!(said.state, ApprovalState::Refused { .. }));
    mandates.refuse(party, refused.reference, "too dear", clock.now()).await.unwrap();
    let error = accept(&mandates, &refused, &clock).await.unwrap_err();
    assert!(matches!(error, MandateError::NotWaiting(_)), "{error}");
    assert_eq!(ask(&mandates, &by(2), &clock).await.reference, refused.reference);
    assert!(waits(hold(&mandates, &by(2), &clock).await));
    // A lower price is another question, a higher one is not.
    let lower = Spend { amount: cents(150), ..by(2) };
    assert_eq!(ask(&mandates, &lower, &clock).await.state, ApprovalState::Waiting);
    let dearer = Spend { amount: cents(CAP), ..by(2) };
    assert_eq!(ask(&mandates, &dearer, &clock).await.reference, refused.reference);

    // Too late to decide, and too late to use.
    let slow = ask(&mandates, &by(3), &clock).await;
    clock.advance(DECIDE_WITHIN);
    let error = accept(&mandates, &slow, &clock).await.unwrap_err();
    assert!(matches!(error, MandateError::NotWaiting(_)), "{error}");
    assert!(waits(hold(&mandates, &by(3), &clock).await));
    clock.advance(USE_WITHIN - Duration::from_secs(1));
    hold(&mandates, &by(1), &clock).await.unwrap();
    mandates.release(by(1).reference, Vec::new()).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert!(waits(hold(&mandates, &Spend { reference: reference(40), ..by(1) }, &clock).await));
    let lapsed = mandates.approval(party, &request.id(), clock.now()).unwrap();
    assert_eq!(lapsed.state, ApprovalState::Expired);
    // Then each can be asked for anew.
    for number in [1, 2, 3] {
        let fresh = ask(&mandates, &by(number), &clock).await;
        assert_eq!(fresh.state, ApprovalState::Waiting, "{number}");
    }
}

#[tokio::test]
async fn the_day_without_asking_slides_and_what_was_accepted_does_not_count() {
    let clock = clock();
    let (_ledger, mandates) = asking_home(&clock).await;
    for number in 0..3 {
        hold(&mandates, &spend(number, cents(FREE), &clock), &clock).await.unwrap();
    }
    let one = spend(3, cents(1), &clock);
    assert!(waits(hold(&mandates, &one, &clock).await), "the day's share is spent");
    let request = ask(&mandates, &one, &clock).await;
    accept(&mandates, &request, &clock).await.unwrap();
    hold(&mandates, &one, &clock).await.unwrap();
    // What was let go does not count, what was spent comes back after a day.
    mandates.release(reference(0), Vec::new()).await.unwrap();
    hold(&mandates, &spend(4, cents(FREE), &clock), &clock).await.unwrap();
    assert!(waits(hold(&mandates, &spend(5, cents(1), &clock), &clock).await));
    clock.advance(HOUR * 24);
    hold(&mandates, &spend(6, cents(FREE), &clock), &clock).await.unwrap();
}

#[tokio::test]
async fn an_owner_is_not_asked_for_what_the_limits_forbid_and_not_buried() {
    let clock = clock();
    let (_ledger, mandates) = asking_home(&clock).await;
    let error = hold(&mandates, &spend(1, cents(CAP + 1), &clock), &clock).await.unwrap_err();
    assert!(matches!(error, MandateError::Refused { rule: Rule::PerPayment, .. }), "{error}");
    let by = |number: usize| Spend {
        digest: U256::from(number).to_be_bytes(),
        ..spend(number as u64, cents(200), &clock)
    };
    for number in 0..MOST_WAITING {
        ask(&mandates, &by(number), &clock).await;
    }
    let more = by(MOST_WAITING);
    let error = mandates.ask(&more, DECIDE_WITHIN, clock.now(), explained).await.unwrap_err();
    assert!(matches!(error, MandateError::TooManyWaiting { .. }), "{error}");
    assert_eq!(ask(&mandates, &by(0), &clock).await.state, ApprovalState::Waiting, "a known one");
    // Decided or not: after its time it waits no more.
    clock.advance(DECIDE_WITHIN);
    ask(&mandates, &more, &clock).await;
}

#[tokio::test]
async fn a_new_mandate_ends_what_waited_and_what_was_accepted_under_the_old_one() {
    let clock = clock();
    let (_ledger, mandates) = asking_home(&clock).await;
    let dear = spend(1, cents(200), &clock);
    let request = ask(&mandates, &dear, &clock).await;
    accept(&mandates, &request, &clock).await.unwrap();
    mandates.grant(home::signed(Mandate { serial: 2, ..asking() })).await.unwrap();
    assert!(waits(hold(&mandates, &dear, &clock).await));
    let error = accept(&mandates, &request, &clock).await.unwrap_err();
    assert!(matches!(error, MandateError::NoSuchRequest { .. }), "{error}");
    assert_eq!(mandates.approvals(machine().party(), clock.now()).unwrap(), []);
    // One that asks for nothing lets it go.
    let free = Mandate { serial: 3, unasked: None, ..asking() };
    mandates.grant(home::signed(free)).await.unwrap();
    hold(&mandates, &dear, &clock).await.unwrap();
}

#[test]
fn a_mandate_says_what_goes_unasked_under_its_signature_and_older_ones_keep_theirs() {
    let plain = SignedMandate::sign(mandate(), &owner()).unwrap();
    let text = String::from_utf8(plain.to_json()).unwrap();
    assert!(!text.contains("unasked"), "{text}");
    assert_eq!(SignedMandate::from_json(text.as_bytes()).unwrap(), plain);
    let signed = home::signed(asking());
    assert_eq!(SignedMandate::from_json(&signed.to_json()).unwrap(), signed);
    assert_ne!(
        signed.mandate().signing_hash(),
        Mandate { unasked: None, ..asking() }.signing_hash()
    );
    // Nobody but the owner makes it more, or drops it.
    let json = String::from_utf8(signed.to_json()).unwrap();
    let wider = json.replace("\"minor\":\"100\"", "\"minor\":\"101\"");
    assert_ne!(json, wider);
    assert!(matches!(
        SignedMandate::from_json(wider.as_bytes()),
        Err(MandateError::NotSignedByOwner { .. })
    ));
    for (wrong, why) in [
        (Unasked { per_payment: cents(CAP + 1), daily: cents(1) }, "more would go"),
        (Unasked { per_payment: cents(1), daily: cents(DAILY + 1) }, "more would go"),
        (Unasked { per_payment: cents(-1), daily: cents(1) }, "less than nothing"),
    ] {
        let error = Mandate { unasked: Some(wrong), ..asking() }.check().unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn with_nothing_unasked_each_purchase_is_asked_for() {
    let clock = clock();
    let ledger = Ledger::in_memory(clock.clone());
    let mandates = furnish(&ledger, cents(10_000)).await;
    let none = Unasked { per_payment: cents(0), daily: cents(0) };
    mandates.grant(home::signed(Mandate { unasked: Some(none), ..asking() })).await.unwrap();
    let one = spend(1, cents(1), &clock);
    assert!(mandates.asks_about(machine().party(), cents(1)));
    assert!(waits(hold(&mandates, &one, &clock).await));
    let request = ask(&mandates, &one, &clock).await;
    accept(&mandates, &request, &clock).await.unwrap();
    hold(&mandates, &one, &clock).await.unwrap();
}

// ---- any history ---------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Step {
    /// Buy thing so-and-so for so much.
    Buy(u8, i128),
    Accept(usize),
    Refuse(usize),
    Release(usize),
    Settle(usize),
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3u8, 1..CAP).prop_map(|(thing, amount)| Step::Buy(thing, amount)),
        4 => any::<usize>().prop_map(Step::Accept),
        1 => any::<usize>().prop_map(Step::Refuse),
        2 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Settle),
        2 => (1..900u64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// A payment that was held, and the acceptance that it took, by place.
struct Payment {
    at: money::Timestamp,
    amount: i128,
    thing: u8,
    by: Option<usize>,
    released: bool,
}

/// An acceptance that was given.
struct Word {
    thing: u8,
    most: i128,
    use_by: money::Timestamp,
    request: Reference,
}

async fn live(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books");
    let clock = clock();
    let mut ledger = Ledger::open(&path, clock.clone()).unwrap();
    let mut mandates = furnish(&ledger, cents(1_000_000)).await;
    mandates.grant(home::signed(asking())).await.unwrap();
    let party = machine().party();
    let mut payments: Vec<Payment> = Vec::new();
    let mut words: Vec<Word> = Vec::new();
    let mut requests: Vec<Approval> = Vec::new();
    for step in steps {
        match step {
            Step::Buy(thing, amount) => {
                let now = clock.now();
                let wanted = Spend {
                    digest: [thing; 32],
                    ..spend(payments.len() as u64, cents(amount), &clock)
                };
                let in_day: i128 = payments
                    .iter()
                    .filter(|p| !p.released && p.by.is_none() && p.at.plus(HOUR * 24) > now)
                    .map(|p| p.amount)
                    .sum();
                let free = amount <= FREE && in_day + amount <= FREE_A_DAY;
                let taken =
                    |place: usize| payments.iter().any(|p| !p.released && p.by == Some(place));
                let word = (0..words.len())
                    .filter(|place| {
                        let word = &words[*place];
                        word.thing == thing
                            && word.most >= amount
                            && word.use_by > now
                            && !taken(*place)
                    })
                    .min_by_key(|place| (words[*place].most, words[*place].use_by));
                match mandates.hold(wanted.clone(), now, Vec::new()).await {
                    Ok(held) => {
                        assert!(word.is_some() || free, "{amount} of {thing} went unasked");
                        let order = home::order(payments.len() as u64, cents(amount), now);
                        machine().sign_payment(&held, &order, &home::domain()).unwrap();
                        payments.push(Payment {
                            at: now,
                            amount,
                            thing,
                            by: word,
                            released: false,
                        });
                    }
                    Err(MandateError::NeedsApproval { .. }) => {
                        assert!(word.is_none() && !free, "{amount} of {thing} was not let go");
                        if let Ok(request) =
                            mandates.ask(&wanted, DECIDE_WITHIN, now, explained).await
                        {
                            requests.push(request);
                        }
                    }
                    Err(MandateError::Refused { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Accept(_) | Step::Refuse(_) if requests.is_empty() => {}
            Step::Accept(pick) => {
                let request = &requests[pick % requests.len()];
                let known = words.iter().any(|word| word.request == request.reference);
                if let Ok(accepted) = accept(&mandates, request, &clock).await
                    && !known
                {
                    assert!(clock.now() < request.decide_by, "accepted too late");
                    words.push(Word {
                        thing: request.digest[0],
                        most: accepted.amount.minor(),
                        use_by: accepted.use_by,
                        request: accepted.reference,
                    });
                }
            }
            Step::Refuse(pick) => {
                let request = &requests[pick % requests.len()];
                if mandates.refuse(party, request.reference, "", clock.now()).await.is_ok() {
                    assert!(words.iter().all(|word| word.request != request.reference));
                }
            }
            Step::Release(_) | Step::Settle(_) if payments.is_empty() => {}
            Step::Release(pick) => {
                let place = pick % payments.len();
                if mandates.release(reference(place as u64), Vec::new()).await.is_ok() {
                    payments[place].released = true;
                }
            }
            Step::Settle(pick) => {
                let place = pick % payments.len();
                let _ = mandates.settle(reference(place as u64), Vec::new()).await;
            }
            Step::Wait(minutes) => clock.advance(Duration::from_secs(60 * minutes)),
            Step::Restart => {
                drop(mandates);
                ledger.close().await.unwrap();
                (ledger, mandates) = reopen(&path, &clock);
            }
        }
        // Whatever was signed above the threshold has an acceptance of its own, for that thing.
        for (place, payment) in payments.iter().enumerate().filter(|(_, p)| !p.released) {
            let Some(by) = payment.by else {
                assert!(payment.amount <= FREE);
                continue;
            };
            let word = &words[by];
            assert!(word.thing == payment.thing && word.most >= payment.amount);
            let others = payments.iter().enumerate();
            assert!(
                !others.into_iter().any(|(p, o)| p != place && !o.released && o.by == Some(by))
            );
        }
    }
    ledger.verify().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_above_the_threshold_is_signed_without_an_acceptance(
        steps in prop::collection::vec(step(), 1..50)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(steps));
    }
}
