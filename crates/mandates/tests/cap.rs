//! Invariant 4: spent plus held never exceeds a limit, by one unit, over restarts, replicas and
//! whatever comes in between. A naive model says what must be refused and what must not.

mod home;

use std::time::Duration;

use home::{HOUR, cents, clock, furnish, machine, mandate, reference, reopen, signed, spend};
use ledger::Ledger;
use mandates::{Mandate, MandateError, Rule};
use money::{Clock as _, Timestamp};
use proptest::prelude::*;

/// The test that other spend controls fail (walletcap's crash test, retold): ten replicas under a
/// cap of 150 dollars, each signing as much as it may, and again after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_replicas_and_a_restart_cannot_pass_150_dollars_by_one_unit() {
    const DOLLAR: i128 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books");
    let clock = clock();
    let cap = Mandate {
        per_payment: cents(30 * DOLLAR),
        daily: cents(150 * DOLLAR),
        lifetime: cents(150 * DOLLAR),
        ..mandate()
    };
    {
        let ledger = Ledger::open(&path, clock.clone()).unwrap();
        let mandates = furnish(&ledger, cents(10_000 * DOLLAR)).await;
        mandates.grant(signed(cap.clone())).await.unwrap();
        drop(mandates);
        ledger.close().await.unwrap();
    }
    let (mut signatures, mut spent) = (0, 0);
    for run in 0..3u64 {
        let (ledger, _) = reopen(&path, &clock);
        let mut replicas = Vec::new();
        for replica in 0..10u64 {
            let mandates = mandates::Mandates::open(ledger.clone(), &[]).unwrap();
            let clock = clock.clone();
            replicas.push(tokio::spawn(async move {
                let mut signed = Vec::new();
                for turn in 0..30u64 {
                    let number = run * 1_000 + replica * 100 + turn;
                    // Uneven amounts, so that the cap is met in the middle of a payment.
                    let amount = cents(7 * DOLLAR + i128::from(number));
                    let asked = spend(number, amount, &clock);
                    match mandates.hold(asked, clock.now(), Vec::new()).await {
                        Ok(held) => {
                            let order = home::order(number, amount, clock.now());
                            machine().sign_payment(&held, &order, &home::domain()).unwrap();
                            signed.push(amount.minor());
                            if turn % 2 == 0 {
                                mandates.settle(reference(number), Vec::new()).await.unwrap();
                            }
                        }
                        Err(MandateError::Refused { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                signed
            }));
        }
        for replica in replicas {
            let signed = replica.await.unwrap();
            signatures += signed.len();
            spent += signed.iter().sum::<i128>();
        }
        assert!(spent <= 150 * DOLLAR, "{spent} in {signatures} payments");
        ledger.close().await.unwrap();
    }
    // The rest, to the unit, and then not one more.
    let (_ledger, mandates) = reopen(&path, &clock);
    let rest = 150 * DOLLAR - spent;
    assert_eq!(mandates.left(machine().party()).unwrap().lifetime, cents(rest));
    if rest > 0 {
        mandates.hold(spend(90_000, cents(rest), &clock), clock.now(), Vec::new()).await.unwrap();
    }
    let one = mandates.hold(spend(90_001, cents(1), &clock), clock.now(), Vec::new()).await;
    assert!(matches!(one, Err(MandateError::Refused { .. })));
}

#[derive(Debug, Clone)]
enum Step {
    Spend(i128),
    /// Several at once, through handles of their own.
    Race(Vec<i128>),
    Settle(usize),
    Release(usize),
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..300i128).prop_map(Step::Spend),
        2 => prop::collection::vec(1..300i128, 2..6).prop_map(Step::Race),
        3 => any::<usize>().prop_map(Step::Settle),
        3 => any::<usize>().prop_map(Step::Release),
        3 => (1..1_500u64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

const PER_PAYMENT: i128 = 250;
const DAILY: i128 = 600;
const LIFETIME: i128 = 2_000;
const WALLET: i128 = 1_800;

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Held,
    Settled,
    Released,
}

/// What is known of each payment, and nothing else.
#[derive(Default)]
struct Model(Vec<(Timestamp, i128, Fate)>);

impl Model {
    fn sum(&self, counts: impl Fn(&(Timestamp, i128, Fate)) -> bool) -> i128 {
        self.0.iter().filter(|p| p.2 != Fate::Released && counts(p)).map(|p| p.1).sum()
    }

    fn in_day(&self, now: Timestamp) -> i128 {
        self.sum(|(at, ..)| at.plus(HOUR * 24) > now)
    }

    fn refusal(&self, now: Timestamp, amount: i128) -> Option<Rule> {
        if amount > PER_PAYMENT {
            Some(Rule::PerPayment)
        } else if self.in_day(now) + amount > DAILY {
            Some(Rule::Daily)
        } else if self.sum(|_| true) + amount > LIFETIME {
            Some(Rule::Lifetime)
        } else if self.sum(|_| true) + amount > WALLET {
            Some(Rule::Wallet)
        } else {
            None
        }
    }
}

async fn live(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books");
    let clock = clock();
    let mut ledger = Ledger::open(&path, clock.clone()).unwrap();
    let mut mandates = furnish(&ledger, cents(WALLET)).await;
    let limits = Mandate {
        per_payment: cents(PER_PAYMENT),
        daily: cents(DAILY),
        lifetime: cents(LIFETIME),
        ..mandate()
    };
    mandates.grant(signed(limits)).await.unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Spend(amount) => {
                let number = model.0.len() as u64;
                let asked = spend(number, cents(amount), &clock);
                let expected = model.refusal(clock.now(), amount);
                match (mandates.hold(asked, clock.now(), Vec::new()).await, expected) {
                    (Ok(_), None) => model.0.push((clock.now(), amount, Fate::Held)),
                    (Err(MandateError::Refused { rule, .. }), Some(expected)) => {
                        assert_eq!(rule, expected);
                    }
                    (got, expected) => panic!("{amount}: got {got:?}, expected {expected:?}"),
                }
            }
            Step::Race(amounts) => {
                let tries = amounts.iter().enumerate().map(|(place, amount)| {
                    let number = 1_000_000 + (model.0.len() * 10 + place) as u64;
                    let handle = mandates::Mandates::open(ledger.clone(), &[]).unwrap();
                    let asked = spend(number, cents(*amount), &clock);
                    let now = clock.now();
                    tokio::spawn(async move { handle.hold(asked, now, Vec::new()).await })
                });
                let tries: Vec<_> = tries.collect();
                for (attempt, amount) in tries.into_iter().zip(amounts) {
                    if let Ok(held) = attempt.await.unwrap() {
                        // Let go at once or kept for good: its number is no index of the model.
                        let reference = held.spend().reference;
                        if amount % 2 == 0 {
                            mandates.release(reference, Vec::new()).await.unwrap();
                        } else {
                            mandates.settle(reference, Vec::new()).await.unwrap();
                            model.0.push((clock.now(), amount, Fate::Settled));
                        }
                    }
                }
            }
            Step::Settle(_) | Step::Release(_) if model.0.is_empty() => {}
            Step::Settle(pick) => {
                let place = pick % model.0.len();
                if mandates.settle(reference(place as u64), Vec::new()).await.is_ok() {
                    assert!(model.0[place].2 != Fate::Released);
                    model.0[place].2 = Fate::Settled;
                }
            }
            Step::Release(pick) => {
                let place = pick % model.0.len();
                if mandates.release(reference(place as u64), Vec::new()).await.is_ok() {
                    assert!(model.0[place].2 != Fate::Settled);
                    model.0[place].2 = Fate::Released;
                }
            }
            Step::Wait(minutes) => clock.advance(Duration::from_secs(60 * minutes)),
            Step::Restart => {
                drop(mandates);
                ledger.close().await.unwrap();
                (ledger, mandates) = reopen(&path, &clock);
            }
        }
        let left = mandates.left(machine().party()).unwrap();
        assert_eq!(left.lifetime.minor(), LIFETIME - model.sum(|_| true));
        assert_eq!(left.wallet.minor(), WALLET - model.sum(|_| true));
        assert!(model.in_day(clock.now()) <= DAILY);
        assert!(model.sum(|_| true) <= LIFETIME.min(WALLET));
    }
    ledger.verify().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_history_passes_a_limit_and_none_is_refused_below_it(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(live(steps));
    }
}
