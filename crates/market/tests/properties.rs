//! Laws over random histories: whatever is asked, in whatever order.

mod town;

use market::*;
use proptest::prelude::*;
use town::*;

/// A town in which a seed's worth of things happened.
fn history(seed: u64, steps: usize, mut each: impl FnMut(&mut Town, &Operation)) -> Town {
    let mut town = Town::new();
    let mut draws = Draws::seeded(seed);
    for _ in 0..steps {
        // The clock stands, ticks on, or jumps; now and then somebody's clock is behind.
        town.now += match draws.below(10) {
            0..=6 => 0,
            7 | 8 => draws.below(20) as u64,
            _ if draws.below(4) > 0 => draws.below(60) as u64,
            _ => draws.below(500) as u64,
        };
        let operation = town.idea(&mut draws);
        each(&mut town, &operation);
    }
    town
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_unit_is_made_or_lost_and_effects_tell_every_movement(seed in any::<u64>()) {
        history(seed, 400, |town, operation| {
            let _ = town.act(operation);
            town.check();
        });
    }

    #[test]
    fn a_foreman_that_hires_itself_and_cheats_loses_its_whole_stake(
        stake in 302i128..5_000, budgets in prop::collection::vec(21i128..600, 0..6),
    ) {
        // The foreman is the worker, and its other self the rival.
        let mut town = Town::new();
        let (id, watcher) = (MoveId::from_u128(5_000), party(50));
        town.done(Operation::Deposit { id, party: watcher, amount: musd(1_000) });
        let before = town.clone();
        let check = Check::Optimistic { window_ms: 1_000, executors: 3 };
        town.hire(Terms { check, stake: musd(stake), ..terms(1) });
        for (n, budget) in (2..).zip(budgets) {
            let child = Terms {
                client: party(WORKER),
                parent: Some(job(1)),
                budget: musd(budget),
                checker_fee: musd(0),
                check: Check::Optimistic { window_ms: 1, executors: 1 },
                stake: musd(2),
                pricing: Pricing::Quotes,
                deliver_by: at(5_000),
                ..terms(n)
            };
            town.done(Operation::Open(Box::new(child)));
            if !town.act(&Operation::Fund { job: job(n) }).holds() {
                break;
            }
            let offer = offer(u128::from(RIVAL));
            town.done(Operation::Bid { job: job(n), offer, price: musd(budget) });
            town.done(Operation::Accept { job: job(n), offer, by: party(WORKER) });
            town.deliver(n, RIVAL, answer(1));
            town.pass(1);
            prop_assert_eq!(town.stage(n), Stage::Completed);
        }
        town.deliver(1, WORKER, answer(1));
        town.done(Operation::Challenge { job: job(1), by: watcher });
        town.judge(1, None, &[const { Some(Report::Digest(Digest::new([7; 32]))) }; 3]);
        town.check();
        prop_assert_eq!(town.stage(1), Stage::Rejected);
        let gained = |n| {
            let all = |town: &Town| town.free(n) + town.pooled(n);
            all(&town) - all(&before)
        };
        prop_assert_eq!(gained(CLIENT), 0);
        prop_assert!(gained(50) > 0, "the challenger has {}", gained(50));
        // Of what it pays itself, nothing comes back but what it put in.
        prop_assert!(gained(WORKER) + gained(RIVAL) <= -stake);
    }

    #[test]
    fn every_funded_job_ends_by_its_time_and_leaves_nothing_behind(seed in any::<u64>()) {
        let mut town = history(seed, 300, |town, operation| {
            let _ = town.act(operation);
        });
        town.now += 100_000_000;
        let _ = town.act(&Operation::Tick);
        town.check();
        for job in town.market.jobs() {
            prop_assert!(job.stage.is_final() || job.stage == Stage::Open, "{:?}", job.stage);
        }
        let bound: i128 = town.pots.iter().filter(|(pot, _)| pot.0.is_some()).map(|(_, n)| *n).sum();
        prop_assert_eq!(bound, 0);
        for n in CHECKERS {
            prop_assert_eq!(town.market.holding(party(n)).locked, musd(0));
        }
        // Whoever is left can take all of it home.
        let holders: Vec<Party> = town.wallets.keys().copied().collect();
        for (n, party) in holders.into_iter().enumerate() {
            if !town.market.holding(party).stake.is_zero() {
                town.done(Operation::Leave { party });
            }
            let amount = town.market.holding(party).free;
            if amount.is_positive() {
                let id = MoveId::from_u128(9_000 + n as u128);
                town.done(Operation::Withdraw { id, party, amount });
            }
        }
        prop_assert_eq!(town.market.deposited(), musd(0));
    }

    #[test]
    fn what_was_applied_gives_the_same_market_again(seed in any::<u64>()) {
        let town = history(seed, 300, |town, operation| {
            let _ = town.act(operation);
        });
        // Through JSON, as a journal would keep it.
        let kept = serde_json::to_string(&town.journal).unwrap();
        let journal: Vec<(Timestamp, Operation)> = serde_json::from_str(&kept).unwrap();
        let mut replayed = State::new(rules()).unwrap();
        let mut effects = Vec::new();
        for (at, operation) in &journal {
            prop_assert_eq!(replayed.apply(*at, operation, &mut effects), Outcome::Applied);
        }
        prop_assert_eq!(replayed.digest(), town.market.digest());
        prop_assert_eq!(effects, town.effects);
    }

    #[test]
    fn what_is_refused_leaves_no_trace_and_twice_is_once(seed in any::<u64>()) {
        // The digest reads the whole market, so only a part of the steps is looked at.
        let mut step = seed % 7;
        history(seed, 250, |town, operation| {
            step += 1;
            if !step.is_multiple_of(7) {
                let _ = town.act(operation);
                return;
            }
            let _ = town.act(&Operation::Tick);
            let before = town.market.digest();
            let outcome = town.act(operation);
            let after = town.market.digest();
            if !matches!(outcome, Outcome::Applied) {
                assert_eq!(before, after, "{outcome:?} {operation:?}");
            }
            let again = town.act(operation);
            assert_eq!(town.market.digest(), after, "{operation:?} did something twice");
            match outcome {
                Outcome::Refused(_) => assert_eq!(again, outcome),
                // An act that ended its job at once may find it over.
                Outcome::Applied | Outcome::Exists => {
                    let over = matches!(again, Outcome::Refused(Refusal::WrongStage { .. }));
                    let left = matches!(again, Outcome::Refused(Refusal::NotEnlisted { .. }));
                    assert!(
                        again == Outcome::Exists || over || left || *operation == Operation::Tick,
                        "{operation:?}: {again:?}"
                    );
                }
            }
        });
    }

    #[test]
    fn records_are_what_the_receipts_say(seed in any::<u64>()) {
        let town = history(seed, 400, |town, operation| {
            let _ = town.act(operation);
        });
        let now = town.market.now();
        let replayed = reputation::replay(town.market.receipts(), &rules(), now);
        for ((party, skill), counts) in &replayed {
            prop_assert_eq!(town.market.record(*party, *skill), *counts);
        }
        for n in 0..=255 {
            let counts = town.market.record(party(n), SKILL);
            let known = replayed.get(&(party(n), SKILL)).copied().unwrap_or_default();
            prop_assert_eq!(counts, known);
        }
    }
}

#[test]
fn random_histories_reach_every_stage_and_every_ending() {
    // A test of the tests: without it the laws above might hold for want of anything happening.
    let mut seen = std::collections::BTreeMap::new();
    let mut checked = std::collections::BTreeMap::new();
    for seed in 0..200 {
        let town = history(seed, 400, |town, operation| {
            let _ = town.act(operation);
            for job in town.market.jobs() {
                *seen.entry(format!("{:?}", job.stage)).or_insert(0) += 1;
            }
        });
        for job in town.market.jobs() {
            if let Some(verdict) = job.verdict.filter(|_| job.stage.is_final()) {
                *checked.entry((job.terms.check.name(), verdict)).or_insert(0) += 1;
            }
            *seen.entry(format!("depth {}", job.depth)).or_insert(0) += 1;
            *seen.entry(format!("appeals {}", job.appeals)).or_insert(0) += 1;
        }
    }
    for stage in [
        "Open",
        "Bidding",
        "Revealing",
        "Choosing",
        "Working",
        "Drawing",
        "Checking",
        "Reporting",
        "Challengeable",
        "Appealable",
        "Completed",
        "Rejected",
        "Expired",
        "depth 1",
        "appeals 1",
        "appeals 2",
    ] {
        assert!(seen.contains_key(stage), "no history came to {stage}: {seen:?}");
    }
    for check in ["exact", "gold", "redundant", "peer", "optimistic", "juror"] {
        for verdict in [false, true] {
            assert!(checked.contains_key(&(check, verdict)), "{check} {verdict}: {checked:?}");
        }
    }
}
