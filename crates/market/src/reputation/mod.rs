//! Reputation: what settled, checked and paid work has shown, and nothing else.
//!
//! Nobody votes, stars or vouches. Each final verdict of a check leaves a [`Receipt`], and a record
//! is a fold over receipts ([`replay`]): anyone who has them computes the same. Evidence
//! counts by the money that was paid for the work it comes from, so that faking it costs the market's fee and the
//! checkers' on as much money as is to be believed; and it fades by an eighth each
//! [`Rules::decay_ms`](crate::Rules::decay_ms), so that nobody lives on old fame.
//!
//! - [`Counts`] are what decides: whole numbers, for [`thompson`](crate::price::thompson) and votes;
//! - [`beta`] says what people see: the mean and what it is at least;
//! - [`trust`] says whom to believe across strangers: EigenTrust from checkers that one trusts;
//! - [`words`] parts receipts into what a market says of its workers where others read it.

pub mod beta;
pub mod trust;
pub mod words;

use std::collections::BTreeMap;

use money::{Amount, Party, Timestamp};
use serde::{Deserialize, Serialize};

use crate::id::{JobId, Skill};
use crate::rules::{MILLION, Rules};

/// The most pieces of evidence that count. Beyond, their proportion stays and their number does not
/// grow: a good record is never so heavy that going bad would not show.
pub const MOST_EVIDENCE: u32 = 62;

/// What the check of one job found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Which job.
    pub job: JobId,
    /// When its verdict was final.
    pub at: Timestamp,
    /// What kind of work it was.
    pub skill: Skill,
    /// Who paid.
    pub client: Party,
    /// Who worked.
    pub worker: Party,
    /// For how much: paid if it passed.
    pub price: Amount,
    /// What the market took of it.
    pub fee: Amount,
    /// What each checker got who was right.
    pub checker_fee: Amount,
    /// Whether the work passed.
    pub passed: bool,
    /// Who checked.
    pub checkers: Vec<CheckerReceipt>,
}

/// One checker's part in a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckerReceipt {
    /// Who.
    pub checker: Party,
    /// Whether the final verdict bears its report out.
    pub agreed: bool,
    /// Whether it did the work itself, so that this shows its skill too.
    pub worked: bool,
}

impl Receipt {
    /// The evidence in it: whose, of which skill, worth how many minor units, and whether it is
    /// good.
    pub(crate) fn weigh(&self, mut add: impl FnMut(Party, Skill, i128, bool)) {
        add(self.worker, self.skill, self.price.minor(), self.passed);
        for checker in self.checkers.iter().filter(|checker| checker.worked) {
            add(checker.checker, self.skill, self.checker_fee.minor(), checker.agreed);
        }
    }
}

/// Evidence for and against one party's skill, in minor units of the work it comes from, faded to
/// the moment of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    passed: i128,
    failed: i128,
    faded_at: Timestamp,
}

/// Pieces of evidence for and against, as they count now: at most [`MOST_EVIDENCE`] in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// For.
    pub passed: u32,
    /// Against.
    pub failed: u32,
}

impl Counts {
    /// The expected chance that the next work passes, in millionths: the mean of Beta(1 + passed,
    /// 1 + failed), which is (passed + 1) / (passed + failed + 2), rounded down.
    pub fn mean(&self) -> u32 {
        let share = u64::from(self.passed + 1) * u64::from(MILLION)
            / u64::from(self.passed + self.failed + 2);
        u32::try_from(share).expect("at most a million")
    }
}

impl Record {
    /// Adds evidence that is worth so many minor units.
    pub fn add(&mut self, minor: i128, good: bool, at: Timestamp, rules: &Rules) {
        self.fade(at, rules);
        let side = if good { &mut self.passed } else { &mut self.failed };
        *side = side.saturating_add(minor);
    }

    /// What counts at this moment.
    pub fn counts(&self, at: Timestamp, rules: &Rules) -> Counts {
        let mut faded = *self;
        faded.fade(at, rules);
        let unit = rules.evidence_unit;
        let (mut passed, mut failed) = (faded.passed / unit, faded.failed / unit);
        let (all, most) = (passed + failed, i128::from(MOST_EVIDENCE));
        if all > most {
            // What is rounded counts against. At most 2¹⁰⁷ of evidence were paid, so times 62 it fits.
            passed = passed.min(1 << 107) * most / all.min(1 << 108);
            failed = most - passed;
        }
        let count = |n: i128| u32::try_from(n).expect("at most the most");
        Counts { passed: count(passed), failed: count(failed) }
    }

    /// Takes an eighth for each whole step of time since the last.
    fn fade(&mut self, at: Timestamp, rules: &Rules) {
        let since = at.as_millis().saturating_sub(self.faded_at.as_millis());
        let steps = since / rules.decay_ms;
        if self.passed != 0 || self.failed != 0 {
            // After 700 steps nothing is left of 2⁹⁶.
            for _ in 0..steps.min(700) {
                self.passed -= (self.passed + 7) / 8;
                self.failed -= (self.failed + 7) / 8;
            }
        }
        let faded = self.faded_at.as_millis() + steps * rules.decay_ms;
        self.faded_at = Timestamp::from_millis(faded);
    }
}

/// Every record, computed from receipts alone, as it counts at `at`. It is what the market itself
/// keeps, and what anyone can check.
pub fn replay(
    receipts: &[Receipt],
    rules: &Rules,
    at: Timestamp,
) -> BTreeMap<(Party, Skill), Counts> {
    let mut records: BTreeMap<(Party, Skill), Record> = BTreeMap::new();
    for receipt in receipts {
        receipt.weigh(|party, skill, minor, good| {
            records.entry((party, skill)).or_default().add(minor, good, receipt.at, rules);
        });
    }
    records.into_iter().map(|(key, record)| (key, record.counts(at, rules))).collect()
}

/// What it costs, at the least, to make others believe in `pieces` of evidence by paying oneself:
/// the market's fee and the checkers' fees on as much money, in minor units. `price` is that of
/// one faked job and `checkers` how many must be paid for each; both sides of the price are the
/// faker's, so it is not lost.
pub fn price_of_faking(
    rules: &Rules,
    pieces: u32,
    price: i128,
    checkers: u8,
    checker_fee: i128,
) -> i128 {
    let jobs = (i128::from(pieces) * rules.evidence_unit + price - 1) / price.max(1);
    jobs * (rules.fee(price) + i128::from(checkers) * checker_fee)
}

#[cfg(test)]
mod tests {
    use super::*;
    use money::Asset;
    use proptest::prelude::*;

    fn rules() -> Rules {
        Rules::standard(Asset::MUSD, Party::new([9; 20]))
    }

    const AT: Timestamp = Timestamp::from_secs(1_000_000);

    #[test]
    fn evidence_counts_by_money_and_fades_by_an_eighth() {
        let (rules, mut record) = (rules(), Record::default());
        record.add(50_000, true, AT, &rules);
        record.add(9_999, false, AT, &rules);
        assert_eq!(record.counts(AT, &rules), Counts { passed: 5, failed: 0 });
        record.add(1, false, AT, &rules);
        assert_eq!(record.counts(AT, &rules), Counts { passed: 5, failed: 1 });
        let weeks = |n: u64| Timestamp::from_millis(AT.as_millis() + n * rules.decay_ms);
        assert_eq!(record.counts(weeks(2), &rules), Counts { passed: 3, failed: 0 });
        assert_eq!(record.counts(weeks(5_000), &rules), Counts::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

        #[test]
        fn counts_are_bounded_and_keep_their_proportion(
            passed in 0i128..(1 << 100), failed in 0i128..(1 << 100),
        ) {
            let rules = rules();
            let mut record = Record::default();
            record.add(passed, true, AT, &rules);
            record.add(failed, false, AT, &rules);
            let counts = record.counts(AT, &rules);
            let all = counts.passed + counts.failed;
            prop_assert!(all <= MOST_EVIDENCE);
            let units = (passed + failed) / rules.evidence_unit;
            if units > 2 * i128::from(MOST_EVIDENCE) {
                prop_assert_eq!(all, MOST_EVIDENCE);
                let share = passed as f64 / (passed + failed) as f64;
                let counted = f64::from(counts.passed) / f64::from(all);
                prop_assert!((share - counted).abs() < 0.04, "{} {}", share, counted);
            }
        }
    }

    #[test]
    fn the_mean_is_laplaces() {
        assert_eq!(Counts::default().mean(), 500_000);
        assert_eq!(Counts { passed: 8, failed: 0 }.mean(), 900_000);
        assert_eq!(Counts { passed: 0, failed: 8 }.mean(), 100_000);
    }
}
