//! How events are searched for on a chain: backwards, since most who ask have just seen them happen.

/// How many blocks are searched first.
const FEW: u64 = 16;

/// How many blocks are searched at once after those; public nodes allow that much.
const AT_ONCE: u64 = 1_000;

/// How many pieces are searched at most: a million blocks, weeks on the fastest chain that is used.
/// Who asks may be a stranger, and what is older is not found.
const MOST_PIECES: usize = 1_000;

/// The blocks `from..=newest` in pieces, newest first, each as its first and its last block; of more
/// than [`MOST_PIECES`] the newest.
pub(crate) fn backwards(from: u64, newest: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut next = Some(newest.max(from));
    let mut blocks = FEW;
    std::iter::from_fn(move || {
        let last = next?;
        let first = last.saturating_sub(blocks - 1).max(from);
        next = (first > from).then(|| first - 1);
        blocks = AT_ONCE;
        Some((first, last))
    })
    .take(MOST_PIECES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_searched_once_from_the_newest_down() {
        for (from, newest) in [(0, 0), (0, 15), (0, 16), (7, 7), (9, 3), (5, 3_000), (0, 1_016)] {
            let pieces: Vec<_> = backwards(from, newest).collect();
            assert_eq!(pieces[0].1, newest.max(from));
            assert_eq!(pieces.last().unwrap().0, from);
            assert!(pieces.windows(2).all(|two| two[1].1 + 1 == two[0].0));
            assert!(pieces.iter().all(|(first, last)| first <= last && last - first < AT_ONCE));
            assert!(pieces[0].1 - pieces[0].0 < FEW);
        }
    }

    #[test]
    fn a_search_ends_on_the_longest_chain() {
        let pieces: Vec<_> = backwards(0, u64::MAX).collect();
        assert_eq!((pieces.len(), pieces[0].1), (MOST_PIECES, u64::MAX));
    }
}
