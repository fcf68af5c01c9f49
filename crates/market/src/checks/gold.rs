//! Hidden tests: among the items are some whose answers are known, and enough must be right.
//!
//! **Needs** work of many items, tests that look like the rest, and an examiner from the pool, bound to
//! its key before the work begins ([`GoldKey::commitment`]). **Costs** the work on the tests, and
//! one fee. **Confidence**: see [`confidence`].
//!
//! What deters a worker from saving the work: with the share q of its items tested, pay w, stake S
//! and saved cost c, cheating on one item gains c and loses q·(S + w). So S ≥ c/q − w suffices
//! ([`stake`]); after k cheated items the chance to be unseen is (1 − q)^k ([`escapes`]).

use crate::rules::MILLION;
use crate::terms::GoldKey;

/// How many of the hidden tests are right. Tests beyond the delivered labels are wrong.
pub fn score(labels: &[u16], key: &GoldKey) -> (u32, u32) {
    let right = key
        .answers
        .iter()
        .filter(|(item, label)| {
            usize::try_from(*item).ok().and_then(|item| labels.get(item)) == Some(label)
        })
        .count();
    let count = |n: usize| u32::try_from(n).expect("a key is bounded");
    (count(right), count(key.answers.len()))
}

/// Whether so many right ones reach the pass mark, in millionths.
pub fn passes((right, of): (u32, u32), pass_mark: u32) -> bool {
    u64::from(right) * u64::from(MILLION) >= u64::from(of) * u64::from(pass_mark)
}

/// The least stake, in minor units, at which cheating does not pay: ⌈c/q⌉ − w, at least 0. `saved`
/// is the cost c that a cheat saves and `pay` the pay w, in minor units; `audited` the share q
/// of tested items, in millionths. `None` if nothing is tested: then no stake suffices.
pub fn stake(saved: i128, pay: i128, audited: u32) -> Option<i128> {
    let audited = (audited > 0).then_some(i128::from(audited))?;
    let needed = (saved.checked_mul(i128::from(MILLION))? + audited - 1) / audited;
    Some((needed - pay).max(0))
}

/// The chance that nobody sees `cheated` wrong items, when a share `audited` is tested.
pub fn escapes(cheated: u32, audited: f64) -> f64 {
    (1.0 - audited).powi(i32::try_from(cheated).unwrap_or(i32::MAX))
}

/// The chance that the verdict is right, for the less favourable of two workers: one that is right
/// with chance `honest` an item and should pass, and one that is right with chance `lazy` and
/// should fail.
pub fn confidence(tests: u32, pass_mark: u32, honest: f64, lazy: f64) -> f64 {
    let needed = (u64::from(tests) * u64::from(pass_mark)).div_ceil(u64::from(MILLION));
    let passes = |chance| super::at_least(u64::from(tests), needed, chance);
    passes(honest).min(1.0 - passes(lazy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Digest;

    #[test]
    fn right_answers_are_counted_and_missing_ones_are_wrong() {
        let key = GoldKey { answers: vec![(0, 1), (2, 5), (9, 0)], salt: Digest::of(b"salt") };
        assert_eq!(score(&[1, 0, 5], &key), (2, 3));
        assert!(passes((2, 3), 666_666));
        assert!(!passes((2, 3), 666_667));
    }

    #[test]
    fn with_one_item_in_twenty_tested_the_stake_is_nineteen_times_the_pay() {
        assert_eq!(stake(100, 100, 50_000), Some(1_900));
        assert_eq!(stake(100, 100, 1_000_000), Some(0));
        assert_eq!(stake(1, 0, 300_000), Some(4));
        assert_eq!(stake(100, 100, 0), None);
        // At that stake a cheat gains nothing: q · (S + w) = c.
        assert_eq!(50_000 * (1_900 + 100), 100 * 1_000_000);
    }

    #[test]
    fn more_tests_separate_better() {
        let confidence = |tests| confidence(tests, 700_000, 0.9, 0.4);
        assert!(confidence(10) > 0.9 && confidence(20) > confidence(10));
        assert!((escapes(10, 0.05) - 0.598_736_939_238_378_9).abs() < 1e-12);
    }
}
