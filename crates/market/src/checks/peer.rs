//! Peer prediction: others label the same items, and agreement beyond chance passes. There need be no
//! truth that anybody knows.
//!
//! **Needs** many items with few labels, labelled by the worker and by raters who cannot talk.
//! **Costs** one fee a rater. **Confidence**: see [`confidence`].
//!
//! [`agreement`] is correlated agreement (V. Shnayder, A. Agarwal, R. Frongillo and D. Parkes,
//! "Informed Truthfulness in Multi-Task Peer Prediction", arXiv 1603.03151): two labels of the same
//! item earn S(x, y), two labels of different items cost it, where S(x, y) = 1 if the pair is seen
//! together more often than chance has it. Saying always the same, or anything at random, earns
//! nothing on average: what does not depend on the item cannot agree more on one item than across two.
//! A rater that permutes its labels earns as much as a truthful one there. Since the client wants
//! labels and not permutations, [`tally`] judges by [`same_label`], which pays for equal labels alone.
//!
//! [`determinant`] is the other score, by determinants (Y. Kong, "Dominantly Truthful
//! Multi-task Peer Prediction with a Constant Number of Tasks", arXiv 1911.00272): the product of
//! the determinants of the joint counts of two halves of the items. It needs only twice as many
//! items as there are labels, and no strategy pays better than the truth whatever the other does.

use std::collections::BTreeMap;

use super::Tally;
use crate::rules::{MAX_CHOICES, MAX_LABELS, MILLION};

/// The most raters of one panel: with the worker, sixteen reports of at most
/// [`MAX_LABELS`] labels, 2¹⁶ in all, whose 120 pairs are
/// compared in one operation.
pub const MAX_RATERS: u8 = 15;

const _: () = assert!((MAX_RATERS as usize + 1) * MAX_LABELS <= 1 << 16);

/// The score of two raters by correlated agreement, in millionths, from −1,000,000 to 1,000,000:
/// the mean of S(x_b, y_b) over items less its mean over pairs of different items. Items that one
/// of them did not label are left out; fewer than two give 0.
///
/// Whole numbers only. Takes time linear in the items and in pairs of labels seen.
pub fn agreement(left: &[u16], right: &[u16]) -> i64 {
    let items = i64::try_from(left.len().min(right.len())).expect("reports are bounded");
    if items < 2 {
        return 0;
    }
    let mut joint: BTreeMap<(u16, u16), i64> = BTreeMap::new();
    let (mut lefts, mut rights): (BTreeMap<u16, i64>, BTreeMap<u16, i64>) = Default::default();
    for (x, y) in left.iter().zip(right) {
        *joint.entry((*x, *y)).or_default() += 1;
        *lefts.entry(*x).or_default() += 1;
        *rights.entry(*y).or_default() += 1;
    }
    // S(x, y) = 1 where n(x,y)/n > n(x)·n(y)/n²; a pair never seen together has S = 0.
    let (mut same, mut across) = (0i64, 0i64);
    for (&(x, y), &count) in &joint {
        if count * items > lefts[&x] * rights[&y] {
            same += count;
            across += lefts[&x] * rights[&y];
        }
    }
    beyond_chance(items, same, across)
}

/// The same for labels that mean something: only equal labels can earn, S(x, y) = 1[x = y] where they are
/// seen together more often than chance has it. This is the rule of A. Dasgupta and A. Ghosh
/// ("Crowdsourced Judgement Elicitation with Endogenous Proficiency", WWW 2013). It is truthful where an
/// item makes its own label likelier for everyone and no other, and gives nothing to a ring that
/// permutes its labels, which correlated agreement pays like the truth.
///
/// Takes time linear in the items, and no memory but three counts a label.
pub fn same_label(left: &[u16], right: &[u16]) -> i64 {
    let items = i64::try_from(left.len().min(right.len())).expect("reports are bounded");
    const CHOICES: usize = MAX_CHOICES as usize;
    let (mut both, mut lefts, mut rights) = ([0i64; CHOICES], [0i64; CHOICES], [0i64; CHOICES]);
    // Reports have no others.
    let place = |label: u16| usize::from(label.min(MAX_CHOICES - 1));
    for (x, y) in left.iter().zip(right) {
        lefts[place(*x)] += 1;
        rights[place(*y)] += 1;
        both[place(*x)] += i64::from(x == y);
    }
    let (mut same, mut across) = (0, 0);
    for ((count, x), y) in both.into_iter().zip(lefts).zip(rights) {
        if count * items > x * y {
            same += count;
            across += x * y;
        }
    }
    beyond_chance(items, same, across)
}

/// The share of items that earn, less that of pairs of different items. `across` counts all pairs, one item
/// with itself included.
fn beyond_chance(items: i64, same: i64, across: i64) -> i64 {
    if items < 2 {
        return 0;
    }
    let across = across - same;
    same * i64::from(MILLION) / items - across * i64::from(MILLION) / (items * (items - 1))
}

/// The score of two raters by determinants: det(M₁) · det(M₂), where Mₕ counts the pairs of labels in
/// half h of the items. At most 6 labels, so that the product fits whatever the counts; labels
/// beyond are left out, and more than 6 choices give 0.
pub fn determinant(left: &[u16], right: &[u16], choices: u16) -> i128 {
    let items = left.len().min(right.len());
    if !(2..=6).contains(&choices) || items < 2 {
        return 0;
    }
    let half = |from: usize, to: usize| {
        let size = usize::from(choices);
        let mut counts = vec![vec![0i128; size]; size];
        for (x, y) in left[from..to].iter().zip(&right[from..to]) {
            if *x < choices && *y < choices {
                counts[usize::from(*x)][usize::from(*y)] += 1;
            }
        }
        bareiss(counts)
    };
    // By Hadamard, a determinant of 6 rows whose entries sum to 4,096 is below 2⁶⁰.
    half(0, items / 2).saturating_mul(half(items / 2, items))
}

/// A determinant without fractions (E. H. Bareiss, 1968): each division leaves nothing over.
fn bareiss(mut m: Vec<Vec<i128>>) -> i128 {
    let size = m.len();
    let (mut sign, mut before) = (1, 1);
    for k in 0..size - 1 {
        if m[k][k] == 0 {
            let Some(row) = (k + 1..size).find(|row| m[*row][k] != 0) else { return 0 };
            m.swap(k, row);
            sign = -sign;
        }
        for row in k + 1..size {
            for column in k + 1..size {
                m[row][column] = (m[row][column] * m[k][k] - m[row][k] * m[k][column]) / before;
            }
        }
        before = m[k][k];
    }
    sign * m[size - 1][size - 1]
}

/// Whether the worker's mean [`same_label`] agreement with the raters reaches the pass mark, in millionths. A
/// rater was right, whatever the verdict, if its own mean agreement with all others does.
pub fn tally(worker: &[u16], raters: &[&[u16]], pass_mark: u32) -> Tally {
    let all: Vec<&[u16]> = std::iter::once(worker).chain(raters.iter().copied()).collect();
    let mut sums = vec![0i64; all.len()];
    for i in 0..all.len() {
        for j in i + 1..all.len() {
            // Who left items out agrees on fewer of them, in proportion.
            let longest = all.iter().map(|labels| labels.len()).max().unwrap_or(0).max(1);
            let shared = i64::try_from(all[i].len().min(all[j].len())).expect("bounded");
            let longest = i64::try_from(longest).expect("bounded");
            let score = same_label(all[i], all[j]) * shared / longest;
            sums[i] += score;
            sums[j] += score;
        }
    }
    let others = i64::try_from(raters.len()).expect("a panel is bounded");
    let reaches = |sum: i64| sum >= i64::from(pass_mark) * others;
    let agrees = sums[1..].iter().map(|sum| [reaches(*sum); 2]).collect();
    Tally { verdict: (others > 0).then(|| reaches(sums[0])), agrees }
}

/// The least chance that the verdict is right, when an honest worker's expected score is `gap`
/// above the pass mark and a lazy one's as much below: by Hoeffding's inequality for means of
/// `items` values within −1 and 1, 1 − exp(−items · gap² / 2).
pub fn confidence(items: u32, gap: f64) -> f64 {
    1.0 - (-f64::from(items) * gap * gap / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Draws;

    fn labels(draws: &mut Draws, truth: &[u16], skill: u32) -> Vec<u16> {
        truth
            .iter()
            .map(
                |label| {
                    if draws.chance(skill) {
                        *label
                    } else {
                        u16::try_from(draws.below(4)).unwrap()
                    }
                },
            )
            .collect()
    }

    #[test]
    fn the_truth_scores_and_noise_and_constants_do_not() {
        let mut draws = Draws::seeded(11);
        let truth: Vec<u16> = (0..200).map(|_| u16::try_from(draws.below(4)).unwrap()).collect();
        let (a, b) = (labels(&mut draws, &truth, 900_000), labels(&mut draws, &truth, 900_000));
        let noise = labels(&mut draws, &truth, 0);
        assert!(agreement(&a, &b) > 500_000, "{}", agreement(&a, &b));
        assert!(agreement(&a, &noise) < 200_000, "{}", agreement(&a, &noise));
        assert_eq!(agreement(&a, &[3; 200]), 0);
        // Permuted labels tell as much as the truth, and are not it.
        let permuted: Vec<u16> = a.iter().map(|label| (label + 1) % 4).collect();
        assert_eq!(agreement(&permuted, &b), agreement(&a, &b));
        assert!(same_label(&permuted, &b) <= 0 && same_label(&a, &b) > 500_000);
        assert_eq!(
            (agreement(&[1], &[1]), same_label(&[1], &[1]), same_label(&[], &[])),
            (0, 0, 0)
        );
        // By hand: 0 earns in 2 of 4 items, 1 in 1; 2·2 + 1·1 of 16 pairs, less 3 items with themselves.
        assert_eq!(same_label(&[0, 0, 1, 2], &[0, 0, 1, 3]), 750_000 - 2 * 1_000_000 / 12);
        assert!(determinant(&a, &b, 4) > 1_000 * determinant(&a, &noise, 4).abs());
        assert_eq!(determinant(&a, &[3; 200], 4), 0);
        let tally = tally(&a, &[&b, &noise], 150_000);
        assert_eq!(tally.verdict, Some(true));
        assert_eq!(tally.agrees, [[true; 2], [false; 2]]);
    }

    #[test]
    fn a_determinant_is_what_the_textbook_says() {
        assert_eq!(bareiss(vec![vec![2, 0, 1], vec![1, 3, 2], vec![1, 1, 1]]), 0);
        assert_eq!(bareiss(vec![vec![0, 2], vec![3, 4]]), -6);
        assert_eq!(bareiss(vec![vec![4, 1, 0], vec![1, 5, 2], vec![0, 2, 6]]), 98);
    }

    #[test]
    fn agreement_stays_within_its_bounds() {
        let mut draws = Draws::seeded(12);
        for _ in 0..500 {
            let length = usize::try_from(draws.below(40)).unwrap();
            let mut any = || -> Vec<u16> {
                (0..length).map(|_| u16::try_from(draws.below(3)).unwrap()).collect()
            };
            let score = agreement(&any(), &any());
            assert!((-1_000_000..=1_000_000).contains(&score), "{score}");
        }
    }
}
