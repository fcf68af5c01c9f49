//! Words: what a market says of those who work in it, where others can read it (ERC-8004).
//!
//! A registry of agents averages words, whoever pays for them and however little was at stake. So a
//! word is said here for *money*, not for jobs: the receipts of one worker's skill, in their order, are
//! parted so that each word stands on one piece of evidence at least ([`Rules::evidence_unit`]
//! paid for checked work), and, of a record that is long already, on a 64th of it. Then
//!
//! - a thousand jobs for nothing make no word: who fakes words pays the fees on as much money as they
//!   stand on, even before a reader who does nothing but average them;
//! - n pieces of evidence make at most 64 + 64·ln(n / 64) words or so: their number stays small, and
//!   reading all of them cheap;
//! - what no word stands on yet is less than a 64th of the record, or than one piece.
//!
//! Where words end follows from the receipts alone. Nothing is remembered of what was said: who
//! counts the words on the chain knows which is the next, whatever was interrupted.

use std::collections::BTreeMap;

use money::Party;

use super::Receipt;
use crate::id::Skill;
use crate::rules::Rules;

/// In a long record one word stands on this part of what was paid before: one in 64.
const SHARE: i128 = 64;

/// The value of a word about work that always passed: a hundred per cent, in hundredths.
pub const ALL_PASSED: i128 = 10_000;

/// What was paid for work, and for which part of it the check said yes, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worth {
    /// For all of it.
    pub checked: i128,
    /// For what passed.
    pub passed: i128,
}

impl Worth {
    fn add(&mut self, receipt: &Receipt) {
        let minor = receipt.price.minor();
        self.checked = self.checked.saturating_add(minor);
        if receipt.passed {
            self.passed = self.passed.saturating_add(minor);
        }
    }

    /// The part that passed, by money: 0 to [`ALL_PASSED`], rounded down; 0 of nothing.
    pub fn value(&self) -> i128 {
        // Sums of prices stay below 2¹⁰⁷ (see `MAX_MINOR`), so times 10⁴ they fit.
        self.passed.saturating_mul(ALL_PASSED) / self.checked.max(1)
    }
}

/// One word, with what it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Which of this worker's in this skill, from 1.
    pub number: u64,
    /// What was paid.
    pub worth: Worth,
    /// The receipts, in their order.
    pub receipts: Vec<Receipt>,
}

/// One worker's receipts in one skill, parted into words.
#[derive(Debug, Clone, Default)]
struct Record {
    /// Where its receipts are in the market's list.
    places: Vec<usize>,
    /// Where each word ends among `places`, and what it stands on.
    ends: Vec<(usize, Worth)>,
    /// What was paid in all words.
    told: i128,
    /// What has come since the last word.
    open: Worth,
}

/// The words of a market, parted as receipts come in. It grows by some bytes a receipt.
#[derive(Debug, Clone, Default)]
pub struct Words {
    seen: usize,
    records: BTreeMap<(Party, Skill), Record>,
}

impl Words {
    /// Takes in the receipts that are new in this list, which only ever grows.
    pub fn read(&mut self, receipts: &[Receipt], rules: &Rules) {
        for (place, receipt) in receipts.iter().enumerate().skip(self.seen) {
            let record = self.records.entry((receipt.worker, receipt.skill)).or_default();
            record.places.push(place);
            record.open.add(receipt);
            if record.open.checked >= rules.evidence_unit.max(record.told / SHARE) {
                let worth = std::mem::take(&mut record.open);
                record.told = record.told.saturating_add(worth.checked);
                record.ends.push((record.places.len(), worth));
            }
        }
        self.seen = self.seen.max(receipts.len());
    }

    /// How many words there are of a worker's skill.
    pub fn count(&self, worker: Party, skill: Skill) -> u64 {
        self.records.get(&(worker, skill)).map_or(0, |record| record.ends.len() as u64)
    }

    /// Of whom there are words, of which skill, and how many.
    pub fn all(&self) -> impl Iterator<Item = (Party, Skill, u64)> {
        let told = self.records.iter().filter(|(_, record)| !record.ends.is_empty());
        told.map(|((worker, skill), record)| (*worker, *skill, record.ends.len() as u64))
    }

    /// On how many receipts of a worker's skill the first so many words stand, and how many there are.
    pub fn receipts(&self, worker: Party, skill: Skill, words: u64) -> (usize, usize) {
        let Some(record) = self.records.get(&(worker, skill)) else { return (0, 0) };
        let last = usize::try_from(words).unwrap_or(usize::MAX).min(record.ends.len());
        let told = last.checked_sub(1).map_or(0, |last| record.ends[last].0);
        (told, record.places.len())
    }

    /// A word by its number, from 1, of the receipts that were [read](Words::read); `None` if
    /// there is none.
    pub fn word(
        &self,
        receipts: &[Receipt],
        worker: Party,
        skill: Skill,
        number: u64,
    ) -> Option<Word> {
        let record = self.records.get(&(worker, skill))?;
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        let (end, worth) = *record.ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| record.ends[before].0);
        let places = record.places.get(start..end)?;
        let receipts = places.iter().map(|place| receipts.get(*place).cloned());
        Some(Word { number, worth, receipts: receipts.collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use money::{Amount, Asset, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::id::JobId;
    use crate::reputation::{price_of_faking, replay};

    fn rules() -> Rules {
        Rules::standard(Asset::MUSD, Party::new([9; 20]))
    }

    const SKILL: Skill = Skill::from_u128(1);

    fn worker(n: u8) -> Party {
        Party::new([n; 20])
    }

    fn receipt(job: usize, by: u8, minor: i128, passed: bool) -> Receipt {
        Receipt {
            job: JobId::from_u128(job as u128),
            at: Timestamp::from_secs(1_000_000 + job as u64),
            skill: SKILL,
            client: worker(200),
            worker: worker(by),
            price: Amount::from_minor(Asset::MUSD, minor),
            fee: Amount::from_minor(Asset::MUSD, rules().fee(minor)),
            checker_fee: Amount::zero(Asset::MUSD),
            passed,
            checkers: Vec::new(),
        }
    }

    fn words_of(words: &Words, receipts: &[Receipt], by: Party) -> Vec<Word> {
        let count = words.count(by, SKILL);
        let word = |number| words.word(receipts, by, SKILL, number).expect("it is counted");
        (1..=count).map(word).collect()
    }

    #[test]
    fn a_word_is_said_for_a_cent_of_checked_work() {
        let (mut words, mut receipts) = (Words::default(), Vec::new());
        for (job, (minor, passed)) in [
            (3_000, true),
            (3_000, false),
            (3_999, true),
            (1, true),
            (9_999, true),
            (25_000, false),
        ]
        .into_iter()
        .enumerate()
        {
            receipts.push(receipt(job, 1, minor, passed));
            words.read(&receipts, &rules());
        }
        let said = words_of(&words, &receipts, worker(1));
        let told: Vec<_> = said.iter().map(|w| (w.receipts.len(), w.worth.value())).collect();
        // 7,000 of 10,000 passed; then 9,999 of 34,999.
        assert_eq!(told, [(4, 7_000), (2, 2_856)]);
        assert_eq!(words.receipts(worker(1), SKILL, 1), (4, 6));
        assert_eq!(words.receipts(worker(1), SKILL, 9), (6, 6));
        assert_eq!(words.receipts(worker(2), SKILL, 1), (0, 0));
        assert_eq!(words.word(&receipts, worker(1), SKILL, 0), None);
        assert_eq!(words.word(&receipts, worker(1), SKILL, 3), None);
    }

    #[test]
    fn work_for_almost_nothing_makes_no_word_and_a_long_record_few() {
        let cheap: Vec<Receipt> = (0..9_999).map(|job| receipt(job, 1, 1, true)).collect();
        let mut words = Words::default();
        words.read(&cheap, &rules());
        assert_eq!(words.count(worker(1), SKILL), 0);
        let long: Vec<Receipt> = (0..100_000).map(|job| receipt(job, 1, 10_000, true)).collect();
        let mut words = Words::default();
        words.read(&long, &rules());
        let (count, (told, all)) =
            (words.count(worker(1), SKILL), words.receipts(worker(1), SKILL, u64::MAX));
        assert!((64..600).contains(&count), "{count} words of 100,000 pieces of evidence");
        assert!(all - told <= all / 64 + 1, "{told} of {all} are told");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

        /// However receipts come in, words stand on each of them once and in order, what is open is
        /// less than a word, and the records that follow from the words and what is open are those
        /// that the market keeps.
        #[test]
        fn words_tell_every_receipt_once_and_records_follow_from_them(
            jobs in prop::collection::vec((1u8..4, 0i128..30_000, any::<bool>()), 0..300),
            pieces in prop::collection::vec(0usize..40, 0..20),
        ) {
            let rules = rules();
            let all: Vec<Receipt> = jobs.iter().enumerate()
                .map(|(job, (by, minor, passed))| receipt(job, *by, *minor, *passed)).collect();
            let mut words = Words::default();
            let mut end = 0;
            for piece in pieces {
                end = (end + piece).min(all.len());
                words.read(&all[..end], &rules);
            }
            words.read(&all, &rules);
            let now = Timestamp::from_secs(2_000_000);
            let mut from_words = Vec::new();
            for by in (1..4).map(worker) {
                let own: Vec<&Receipt> = all.iter().filter(|r| r.worker == by).collect();
                let said = words_of(&words, &all, by);
                let told: Vec<&Receipt> = said.iter().flat_map(|word| &word.receipts).collect();
                prop_assert_eq!(&own[..told.len()], &told[..]);
                for word in &said {
                    prop_assert!(word.worth.checked >= rules.evidence_unit);
                    prop_assert!((0..=ALL_PASSED).contains(&word.worth.value()));
                }
                let open: i128 = own[told.len()..].iter().map(|r| r.price.minor()).sum();
                let before: i128 = said.iter().map(|word| word.worth.checked).sum();
                prop_assert!(open < rules.evidence_unit.max(before / SHARE));
                from_words.extend(own.into_iter().cloned());
            }
            prop_assert_eq!(replay(&from_words, &rules, now), replay(&all, &rules, now));
        }

        /// Who makes words about itself by paying itself loses the market's fee on what they stand on,
        /// however it parts the money; both sides of the price are its own, and count for nothing.
        #[test]
        fn faked_words_cost_the_fees_on_what_they_stand_on(
            prices in prop::collection::vec(1i128..40_000, 1..200),
        ) {
            let rules = rules();
            let all: Vec<Receipt> = prices.iter().enumerate()
                .map(|(job, minor)| receipt(job, 1, *minor, true)).collect();
            let mut words = Words::default();
            words.read(&all, &rules);
            let said = words.count(worker(1), SKILL);
            let cost: i128 = all.iter().map(|receipt| receipt.fee.minor()).sum();
            let least = price_of_faking(&rules, u32::try_from(said).unwrap(), rules.evidence_unit, 0, 0);
            prop_assert!(cost >= least, "{} words for {}, {} at the least", said, cost, least);
            prop_assert!(cost >= i128::from(said) * rules.fee(rules.evidence_unit));
        }
    }
}
