//! Redundancy: others do the work too, and a vote decides.
//!
//! **Needs** answers that can be equal. All are sealed before the first is opened, so copying is
//! not possible; a commitment contains its maker, so copying that is useless. **Costs** one fee a
//! peer, which is the price of the work. **Confidence**: for n voters of accuracy p > ½ at least
//! 1 − exp(−2n(p − ½)²) (Hoeffding, 1963), and exactly the binomial sum of
//! [`majority`](super::majority). The worker is one of them and votes for itself, so against wrong work
//! more than half of all must be right among the peers alone: of two, both.
//!
//! A voter whose answer is right with chance p has the weight log(p / (1 − p)), which is optimal
//! for independent voters (S. Nitzan and J. Paroush, "Optimal Decision Rules in Uncertain
//! Dichotomous Choice Situations", 1982). Its p comes from its record; a newcomer's weighs little. The
//! weights are fixed-point numbers from whole-number arithmetic ([`weight`]): no float decides.
//! Where records are no use, [`dawid_skene`] learns who is right from the answers alone.

use super::Tally;
use crate::rules::MILLION;
use crate::terms::Report;

/// The least and the most accuracy that a vote is weighted by, in millionths. Nobody's vote
/// counts for nothing or against itself, and nobody's record is so good that three others of 90 %
/// (3 · 3.17 bits) cannot outvote it (6.63 bits).
const BOUNDS: (u32, u32) = (525_000, 990_000);

/// One bit of weight.
const BIT: u64 = 1 << 16;

/// log₂(x) · 2¹⁶ for x ≥ 1, by repeated squaring: each squaring doubles the logarithm, and gives
/// its next binary digit (the method of Briggs in base two). Whole numbers only, rounded down.
fn log2(x: u64) -> u64 {
    let whole = u64::from(63 - x.leading_zeros());
    // The mantissa in [1, 2), with 31 binary places.
    let mut mantissa = if whole >= 31 { x >> (whole - 31) } else { x << (31 - whole) };
    let mut log = whole * BIT;
    let mut digit = BIT / 2;
    while digit > 0 {
        mantissa = (mantissa * mantissa) >> 31;
        if mantissa >= 2 << 31 {
            mantissa >>= 1;
            log += digit;
        }
        digit /= 2;
    }
    log
}

/// The weight of a voter that is right with this chance, in millionths: log₂(p/(1−p)) in units of
/// 2⁻¹⁶ bit, within bounds.
pub fn weight(accuracy: u32) -> u64 {
    let p = accuracy.clamp(BOUNDS.0, BOUNDS.1);
    log2(u64::from(p)) - log2(u64::from(MILLION - p))
}

/// Whether the answer with the most weight is the worker's. Each report comes with its voter's
/// weight; the worker votes too. Two answers of equal weight decide nothing.
pub fn tally(worker: (&Report, u64), peers: &[(&Report, u64)]) -> Tally {
    let mut answers: Vec<(&Report, u64)> = Vec::with_capacity(peers.len() + 1);
    for (report, weight) in std::iter::once(&worker).chain(peers) {
        match answers.iter_mut().find(|(known, _)| known == report) {
            Some((_, sum)) => *sum += weight,
            None => answers.push((report, *weight)),
        }
    }
    let most = answers.iter().map(|(_, sum)| *sum).max().unwrap_or(0);
    let mut leading = answers.iter().filter(|(_, sum)| *sum == most).map(|(report, _)| *report);
    let consensus = leading.next().filter(|_| leading.next().is_none());
    let agrees = peers
        .iter()
        .map(|(report, _)| {
            let same = *report == worker.0;
            let wrong = match consensus {
                Some(consensus) if consensus != worker.0 => *report == consensus,
                _ => !same,
            };
            [wrong, same]
        })
        .collect();
    // One voice is no agreement: the worker's own weight, however great, passes nothing alone.
    let seconded = peers.iter().any(|(report, _)| consensus == Some(*report));
    let verdict = consensus.filter(|_| seconded).map(|consensus| consensus == worker.0);
    Tally { verdict, agrees }
}

/// The least chance that the vote is right: 1 − exp(−2n(p − ½)²), for `voters` of `accuracy` > ½.
pub fn hoeffding(voters: u8, accuracy: f64) -> f64 {
    let margin = (accuracy - 0.5).max(0.0);
    1.0 - (-2.0 * f64::from(voters) * margin * margin).exp()
}

/// What [`dawid_skene`] learned.
#[derive(Debug, Clone)]
pub struct Learned {
    /// For each item, the chance of each label.
    pub labels: Vec<Vec<f64>>,
    /// For each voter, the chance that it is right.
    pub accuracy: Vec<f64>,
    /// How many rounds it took.
    pub rounds: u32,
}

/// Learns labels and voters' accuracies together, by expectation maximisation (A. P. Dawid and
/// A. M. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm",
/// Applied Statistics 28, 1979), in its one-coin form: a voter errs towards all other labels alike.
///
/// `votes` are (item, voter, label). Accuracies have a Beta(4, 1) prior, so that voters start as
/// better than chance: with the labels turned around the votes would be as likely. It ends when
/// no accuracy changes by a millionth, or after 100 rounds. Each takes time linear in the votes, and
/// in items times labels.
pub fn dawid_skene(votes: &[(usize, usize, u8)], choices: u8) -> Learned {
    let items = votes.iter().map(|(item, ..)| item + 1).max().unwrap_or(0);
    let voters = votes.iter().map(|(_, voter, _)| voter + 1).max().unwrap_or(0);
    let choices = usize::from(choices.max(2));
    let mut accuracy = vec![0.8_f64; voters];
    let mut prior = vec![1.0 / choices as f64; choices];
    let mut labels = vec![vec![0.0; choices]; items];
    let mut rounds = 0;
    while rounds < 100 {
        rounds += 1;
        // Expectation: each item's labels, given who said what.
        for item in &mut labels {
            item.iter_mut().zip(&prior).for_each(|(label, prior)| *label = prior.max(1e-12).ln());
        }
        for &(item, voter, said) in votes {
            let right = accuracy[voter].clamp(1e-6, 1.0 - 1e-6_f64);
            let wrong = (1.0 - right) / (choices - 1) as f64;
            for (label, chance) in labels[item].iter_mut().enumerate() {
                *chance += if label == usize::from(said) { right.ln() } else { wrong.ln() };
            }
        }
        for item in &mut labels {
            let most = item.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            item.iter_mut().for_each(|chance| *chance = (*chance - most).exp());
            let sum: f64 = item.iter().sum();
            item.iter_mut().for_each(|chance| *chance /= sum);
        }
        // Maximisation: how often each voter said what its items are.
        let mut right = vec![3.0; voters];
        let mut said = vec![3.0; voters];
        for &(item, voter, label) in votes {
            right[voter] += labels[item].get(usize::from(label)).copied().unwrap_or(0.0);
            said[voter] += 1.0;
        }
        let mut change: f64 = 0.0;
        for (voter, accuracy) in accuracy.iter_mut().enumerate() {
            let learned = right[voter] / said[voter];
            change = change.max((learned - *accuracy).abs());
            *accuracy = learned;
        }
        for (label, prior) in prior.iter_mut().enumerate() {
            let seen: f64 = labels.iter().map(|item| item[label]).sum();
            *prior = (seen + 1.0) / (items as f64 + choices as f64);
        }
        if change < 1e-6 {
            break;
        }
    }
    Learned { labels, accuracy, rounds }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Draws;
    use crate::id::Digest;

    #[test]
    fn weights_are_log_odds_to_the_fifth_place() {
        for p in [525_000u32, 600_000, 750_000, 900_000, 975_000, 990_000] {
            let exact = (f64::from(p) / f64::from(MILLION - p)).log2();
            let ours = weight(p) as f64 / BIT as f64;
            assert!((exact - ours).abs() < 5e-5, "{p}: {exact} {ours}");
        }
        assert_eq!(weight(0), weight(525_000));
        assert_eq!(weight(MILLION), weight(990_000));
    }

    #[test]
    fn two_good_voters_outvote_three_newcomers_and_equals_decide_nothing() {
        let of = |n: u8| Report::Digest(Digest::new([n; 32]));
        let (a, b) = (of(1), of(2));
        let (good, new) = (weight(950_000), weight(500_000));
        let failed = tally((&b, new), &[(&a, good), (&a, good), (&b, new), (&b, new)]);
        assert_eq!(failed.verdict, Some(false));
        assert_eq!(failed.agrees[0], [true, false]);
        assert_eq!(failed.agrees[2], [false, true]);
        assert_eq!(tally((&a, new), &[(&b, new)]).verdict, None);
        // A great record alone is not believed.
        assert_eq!(tally((&a, good), &[(&b, new), (&of(3), new)]).verdict, None);
    }

    #[test]
    fn the_hoeffding_bound_is_below_the_exact_chance() {
        for voters in [3u8, 5, 9, 15] {
            for accuracy in [0.6, 0.75, 0.9] {
                assert!(hoeffding(voters, accuracy) <= super::super::majority(voters, accuracy));
            }
        }
    }

    #[test]
    fn who_is_right_is_learned_from_the_answers_alone() {
        let mut draws = Draws::seeded(5);
        let skill = [950_000, 900_000, 850_000, 400_000, 350_000, 330_000];
        let mut votes = Vec::new();
        let mut truth = Vec::new();
        for item in 0..400 {
            let label = u8::try_from(draws.below(3)).unwrap();
            truth.push(label);
            for (voter, skill) in skill.iter().enumerate() {
                let said = if draws.chance(*skill) {
                    label
                } else {
                    (label + 1 + u8::try_from(draws.below(2)).unwrap()) % 3
                };
                votes.push((item, voter, said));
            }
        }
        let learned = dawid_skene(&votes, 3);
        for (voter, skill) in skill.iter().enumerate() {
            let error = (learned.accuracy[voter] - f64::from(*skill) / 1e6).abs();
            assert!(error < 0.06, "voter {voter}: {}", learned.accuracy[voter]);
        }
        let right = truth
            .iter()
            .zip(&learned.labels)
            .filter(|(truth, chances)| chances.iter().all(|c| *c <= chances[usize::from(**truth)]))
            .count();
        assert!(right > 380, "{right} of 400");
    }
}
