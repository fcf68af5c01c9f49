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
use crate::rules::MAX_SEATS;

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
    fn panels_grow_to_a_bound() {
        let sizes: Vec<u8> =
            std::iter::successors(Some(1), |n| Some(next_panel(*n))).take(7).collect();
        assert_eq!(sizes, [1, 3, 7, 15, 31, 63, 63]);
        assert!(confidence(3, 1, 0.8) > confidence(3, 0, 0.8));
    }
}
