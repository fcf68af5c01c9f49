//! Laws over random histories.

use money::Timestamp;
use proptest::prelude::*;

use super::model::{Draw, Model, account};
use crate::{Limit, Operation, Outcome, State, Status};

/// A moment and an operation.
type Step = (Timestamp, Operation);

/// A short history in which all accounts are open.
fn history() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any::<[u8; 24]>(), 1..120).prop_map(|rows| {
        let mut time = 0u64;
        let open = (0..8).map(|n| (Timestamp::default(), Operation::Open(account(n))));
        let steps = rows.into_iter().map(|row| {
            let mut bytes = row.into_iter();
            let mut draw = Draw(&mut bytes);
            // Now and then the clock steps back.
            let step = u64::from(draw.byte() % 4);
            let at = if draw.byte() % 16 == 0 { time / 2 } else { time + step };
            time = time.max(at);
            (Timestamp::from_millis(at), draw.operation())
        });
        open.chain(steps).collect()
    })
}

fn play(history: &[Step]) -> State {
    let mut state = State::new();
    for (at, operation) in history {
        let _ = state.apply(*at, operation);
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_answer_is_the_one_that_the_slow_books_predict(history in history()) {
        let (mut state, mut model) = (State::new(), Model::default());
        for (at, operation) in &history {
            prop_assert_eq!(state.apply(*at, operation), model.apply(*at, operation));
            if let Err(difference) = model.matches(&state) {
                prop_assert!(false, "after {:?}: {}", operation, difference);
            }
        }
    }

    #[test]
    fn debits_equal_credits_and_nothing_is_overdrawn(history in history()) {
        let mut state = State::new();
        for (at, operation) in &history {
            let _ = state.apply(*at, operation);
            for totals in state.totals() {
                prop_assert_eq!(totals.debits_posted, totals.credits_posted);
                prop_assert_eq!(totals.debits_pending, totals.credits_pending);
            }
            for account in state.accounts() {
                let balance = state.balance(&account.id).unwrap();
                prop_assert!(account.limit == Limit::None || !balance.available().is_negative());
            }
        }
    }

    #[test]
    fn a_hold_resolves_at_most_once_and_never_outlives_its_deadline(history in history()) {
        let mut state = State::new();
        let mut resolved = std::collections::HashMap::new();
        for (at, operation) in &history {
            let _ = state.apply(*at, operation);
            for record in state.entries() {
                if record.status != Status::Held {
                    let first = *resolved.entry(record.transfer.id).or_insert(record.status);
                    prop_assert_eq!(first, record.status);
                } else {
                    prop_assert!(record.transfer.hold_until.unwrap() > state.now());
                }
            }
        }
    }

    #[test]
    fn what_was_applied_gives_the_same_books_again(history in history()) {
        let mut state = State::new();
        let mut journal = Vec::new();
        for (at, operation) in &history {
            let expired = state.expire(*at);
            if expired > 0 {
                journal.push((state.now(), None));
            }
            if state.apply(*at, operation) == Outcome::Applied {
                journal.push((state.now(), Some(operation)));
            }
        }
        let mut replayed = State::new();
        for (at, operation) in journal {
            match operation {
                None => prop_assert!(replayed.expire(at) > 0),
                Some(operation) => prop_assert_eq!(replayed.apply(at, operation), Outcome::Applied),
            }
        }
        prop_assert_eq!(replayed.digest(), state.digest());
    }

    #[test]
    fn what_is_refused_leaves_no_trace(history in history()) {
        let mut state = State::new();
        for (at, operation) in &history {
            state.expire(*at);
            let before = state.digest();
            if state.apply(*at, operation) != Outcome::Applied {
                prop_assert_eq!(before, state.digest());
            }
        }
    }

    #[test]
    fn a_trial_is_taken_back_whole(history in history(), split in 0usize..128) {
        let (past, future) = history.split_at(split.min(history.len()));
        let (mut state, untouched) = (play(past), play(past));
        let mut trial = state.trial();
        for (at, operation) in future {
            trial.advance(*at);
            let _ = trial.perform(operation, |_| Ok(()));
        }
        drop(trial);
        prop_assert_eq!(state.digest(), untouched.digest());
        prop_assert_eq!(state.now(), untouched.now());
        // The indices too: the same future must happen.
        for (at, operation) in future {
            let _ = state.apply(*at, operation);
        }
        prop_assert_eq!(state.digest(), play(&history).digest());
    }

    #[test]
    fn doing_everything_twice_is_doing_it_once(history in history()) {
        let (mut once, mut twice) = (State::new(), State::new());
        for (at, operation) in &history {
            let first = once.apply(*at, operation);
            prop_assert_eq!(&twice.apply(*at, operation), &first);
            let again = twice.apply(*at, operation);
            match first {
                Outcome::Refused(_) => prop_assert_eq!(again, first),
                Outcome::Applied | Outcome::Exists => prop_assert_eq!(again, Outcome::Exists),
            }
            prop_assert_eq!(once.digest(), twice.digest());
        }
    }
}
