//! Thompson sampling: a bidder's quality in a round is drawn from what is known of it.
//!
//! Of a newcomer nothing is known, so its draws go from 0 to 1: now and then it looks better than
//! the best, gets work, and becomes known. Of an old hand much is known, and its draws stay near its
//! record. Each is chosen with the chance that it is the best (W. R. Thompson, "On the likelihood
//! that one unknown probability exceeds another", Biometrika 25, 1933), so exploring costs no more
//! than it is worth, and nobody starves.

use crate::entropy::Draws;
use crate::reputation::Counts;

/// A draw of quality, in millionths, from Beta(1 + passed, 1 + failed).
pub fn draw(counts: Counts, draws: &mut Draws, scratch: &mut Vec<u32>) -> u32 {
    draws.beta(1 + counts.passed, 1 + counts.failed, scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_beats_a_proven_worker_sometimes_and_a_proven_cheat_nearly_always() {
        let (mut draws, mut scratch) = (Draws::seeded(3), Vec::new());
        let new = Counts { passed: 0, failed: 0 };
        let mut beats = |other: Counts| {
            (0..10_000)
                .filter(|_| {
                    draw(new, &mut draws, &mut scratch) > draw(other, &mut draws, &mut scratch)
                })
                .count()
        };
        // P(Beta(1,1) > Beta(46,6)) = 1 − 46/52 = 0.115; against Beta(2,50), 1 − 2/52 = 0.962.
        let proven = beats(Counts { passed: 45, failed: 5 });
        assert!((1_000..1_320).contains(&proven), "{proven}");
        let cheat = beats(Counts { passed: 1, failed: 49 });
        assert!((9_500..9_720).contains(&cheat), "{cheat}");
    }
}
