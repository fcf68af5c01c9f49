//! Jurors look at the work and vote; people or machines.
//!
//! **Needs** judges, and nothing of the work. **Costs** one fee a juror. **Confidence**: the chance
//! that most are right, [`majority`](super::majority).
//!
//! Jurors are drawn by stake, vote sealed, and lose a fee or more if the final verdict contradicts
//! them (the coherence rule of Schelling points; C. Lesaege, F. Ast and W. George, Kleros short paper,
//! 2019). Whoever lost may appeal: each appeal has a panel of twice the seats and one, of
//! other jurors, paid by the appellant's bond; if it turns the verdict, the jurors who were wrong
//! pay the bond back. A job has at most [`MAX_APPEALS`](crate::MAX_APPEALS), so it ends.

use super::Tally;
use crate::rules::{MAX_SEATS, MILLION};

/// Whether more jurors were for the work than against it; equal votes decide nothing.
pub fn tally(votes: &[bool]) -> Tally {
    let passed = votes.iter().filter(|vote| **vote).count();
    let failed = votes.len() - passed;
    Tally {
        verdict: (passed != failed).then_some(passed > failed),
        agrees: votes.iter().map(|vote| [!vote, *vote]).collect(),
    }
}

/// How many seats the next panel has: 2n + 1, at least 3, at most [`MAX_SEATS`].
pub fn next_panel(seats: u8) -> u8 {
    seats.saturating_mul(2).saturating_add(1).clamp(3, MAX_SEATS)
}

/// What a panel of so many seats can cost, in minor units, which whoever calls it puts down: twice each one's fee,
/// since a silent panel is drawn once more. `fee` is what one of it gets.
pub fn bond(seats: u8, fee: i128) -> i128 {
    2 * i128::from(seats) * fee
}

/// A chance of one, in [`chance_of_most`].
const SURE: i128 = 1_000_000_000_000;

/// The chance that more than half of `seats` are right, in parts of [`SURE`] and rounded down, when each is with a
/// chance of `right` millionths, by itself: [`majority`](super::majority), in whole numbers.
fn chance_of_most(seats: u8, right: u32) -> i128 {
    let (million, right) = (i128::from(MILLION), i128::from(right.min(MILLION)));
    // The chances of 0, 1, 2, … right ones among those who were counted.
    let mut chances = vec![SURE];
    for _ in 0..seats {
        let one_less = std::iter::once(&0).chain(&chances);
        let as_many = chances.iter().chain(std::iter::once(&0));
        let next = one_less
            .zip(as_many)
            .map(|(less, same)| (less * right + same * (million - right)) / million);
        chances = next.collect();
    }
    chances.iter().skip(usize::from(seats / 2) + 1).sum()
}

/// Whether an appeal pays for who lost although it was right: p · `gain` > (1 − p) · `bond`, for the chance p that most
/// of the next panel's `seats` are right, each with a chance of `right` millionths (Condorcet). `gain` is what a turned
/// verdict brings, and `bond` what one that stands costs ([`bond`]), in minor units.
pub fn appeal_pays(seats: u8, right: u32, gain: i128, bond: i128) -> bool {
    let wins = chance_of_most(seats, right);
    let (won, lost) = (wins.checked_mul(gain), (SURE - wins).checked_mul(bond));
    matches!((won, lost), (Some(won), Some(lost)) if won > lost)
}

/// The chance that the verdict stands right after `appeals` of them are used, when a juror is
/// right with chance `right`: the last panel decides.
pub fn confidence(jurors: u8, appeals: u8, right: f64) -> f64 {
    let last = (0..appeals).fold(jurors, |seats, _| next_panel(seats));
    super::majority(last, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_votes_decide() {
        assert_eq!(tally(&[true, false, true]).verdict, Some(true));
        assert_eq!(tally(&[true, false]).verdict, None);
        assert_eq!(tally(&[false]).agrees, [[true, false]]);
    }

    #[test]
    fn an_appeal_pays_where_its_chance_outweighs_its_bond() {
        // Three jurors of 90 %: 0.9³ + 3 · 0.9² · 0.1 = 0.972.
        assert_eq!(chance_of_most(3, 900_000), 972_000_000_000);
        for (seats, right) in [(1u8, 600_000u32), (3, 900_000), (7, 750_000), (63, 900_000)] {
            let exact = super::super::majority(seats, f64::from(right) / 1e6);
            let ours = chance_of_most(seats, right) as f64 / SURE as f64;
            assert!((exact - ours).abs() < 1e-9, "{seats} of {right}: {exact} {ours}");
        }
        assert_eq!(bond(3, 500), 3_000);
        // 0.972 · 87 is more than 0.028 · 3,000, and 0.972 · 86 is less.
        assert!(appeal_pays(3, 900_000, 87, 3_000) && !appeal_pays(3, 900_000, 86, 3_000));
        // Where jurors are as good as coins, only what brings more than it costs.
        assert!(!appeal_pays(3, 500_000, 3_000, 3_000) && appeal_pays(3, 500_000, 3_001, 3_000));
        assert!(!appeal_pays(3, 900_000, 0, 0), "nothing to be had");
        assert!(!appeal_pays(3, 900_000, i128::MAX, 1), "what cannot be computed is not risked");
    }

    #[test]
    fn panels_grow_to_a_bound() {
        let sizes: Vec<u8> =
            std::iter::successors(Some(1), |n| Some(next_panel(*n))).take(7).collect();
        assert_eq!(sizes, [1, 3, 7, 15, 31, 63, 63]);
        assert!(confidence(3, 1, 0.8) > confidence(3, 0, 0.8));
    }
}
