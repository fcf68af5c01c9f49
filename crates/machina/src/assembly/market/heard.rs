//! Who is there: an offer is listed while its worker is.
//!
//! Offers are never forgotten by the market, so those of workers that have gone would be listed for ever.
//! A machine of this home is there while the home runs. Of a worker from outside a request that it signed
//! is heard: a bid, a delivery, a brief that it reads, or the same `publish` again, which changes nothing.
//! Whose worker was not heard of for [`THERE_FOR`] is left out of lists and searches; it stands all the
//! same, and its next request brings it back. Nobody is asked anything: an offer names no address, so
//! there is no door to knock at.
//!
//! What was heard is not kept over a restart: everybody counts as heard of when the economy opened.
//!
//! Bounds: [`MOST_HEARD`] parties are remembered, of those who have money here; whoever was silent for
//! longest is forgotten first.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use ::money::{Party, Timestamp};

/// How long a worker from outside counts as there after it was heard of.
pub const THERE_FOR: Duration = Duration::from_secs(10 * 60);
/// How many parties are remembered.
const MOST_HEARD: usize = 10_000;

/// When each party was last heard of.
pub struct Heard {
    /// Who is there while this process runs.
    at_home: HashSet<Party>,
    /// When it began to listen.
    since: Timestamp,
    last: Mutex<HashMap<Party, Timestamp>>,
}

impl Heard {
    /// Begins to listen; those who live here are always there.
    pub fn new(at_home: impl IntoIterator<Item = Party>, since: Timestamp) -> Heard {
        Heard { at_home: at_home.into_iter().collect(), since, last: Mutex::default() }
    }

    /// A party has signed something just now.
    pub fn note(&self, party: Party, now: Timestamp) {
        let mut last = self.last.lock().expect("nothing panics under this lock");
        if last.len() >= MOST_HEARD && !last.contains_key(&party) {
            let longest = last.iter().min_by_key(|(party, at)| (**at, **party)).map(|(it, _)| *it);
            longest.map(|party| last.remove(&party));
        }
        last.insert(party, now);
    }

    /// When a party was last heard of, if it is not there now.
    pub fn silent_since(&self, party: Party, now: Timestamp) -> Option<Timestamp> {
        if self.at_home.contains(&party) {
            return None;
        }
        let last = self.last.lock().expect("nothing panics under this lock");
        let at = last.get(&party).copied().unwrap_or(self.since);
        (now.since(at) > THERE_FOR).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(n: u32) -> Party {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        Party::new(bytes)
    }

    #[test]
    fn a_worker_from_outside_is_there_for_ten_minutes_after_each_word_and_the_home_s_always() {
        let at = Timestamp::from_secs;
        let heard = Heard::new([party(1)], at(1_000));
        let is_there = |n, now| heard.silent_since(party(n), at(now)).is_none();
        // Nobody is hidden for what happened before a restart.
        assert!(is_there(2, 1_600) && !is_there(2, 1_601));
        assert!(is_there(1, 1_000_000));
        heard.note(party(2), at(5_000));
        assert!(is_there(2, 5_600) && !is_there(2, 5_601));
        assert_eq!(
            heard.silent_since(party(2), at(9_000)),
            Some(at(5_000)),
            "it is told since when"
        );
        heard.note(party(2), at(9_000));
        assert!(is_there(2, 9_001), "one word brings it back");
    }

    #[test]
    fn whoever_was_silent_for_longest_is_forgotten_first() {
        let heard = Heard::new([], Timestamp::from_secs(0));
        for n in 0..=MOST_HEARD as u32 {
            heard.note(party(n), Timestamp::from_secs(1_000 + u64::from(n)));
        }
        let now = Timestamp::from_secs(1_001);
        assert_eq!(heard.last.lock().unwrap().len(), MOST_HEARD);
        assert!(heard.silent_since(party(0), now).is_some(), "as if never heard of");
        assert!(heard.silent_since(party(1), now).is_none());
    }
}
