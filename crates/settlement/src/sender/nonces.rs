//! The nonces of one key: which are free, which travel, and what travelled lately. Pure: it asks
//! nobody; the sender keeps it under one lock.
//!
//! Invariant: a nonce is in flight from the moment when it is handed out until its fate is known
//! (mined for good, spent by another program, or given back); so none is handed out twice, and
//! none is forgotten while later ones wait for it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;

use super::voyage::Voyage;

/// How many transactions of open fate are kept; beyond that, nothing more is sent.
pub(super) const MAX_OPEN: usize = 256;

/// How many mined transactions are remembered, to be sent again if the chain forgets their block.
const MAX_MINED: usize = 64;

#[derive(Default)]
pub(super) struct Nonces {
    /// The next never-used nonce; unknown until the chain was asked.
    next: Option<u64>,
    /// Handed out, and not known to be mined for good.
    in_flight: BTreeSet<u64>,
    /// Handed out, never broadcast, and to be used before `next`.
    returned: BTreeSet<u64>,
    /// Sent, and not known to be mined for good when the wait ran out; all are in flight.
    open: BTreeMap<u64, Voyage>,
    /// The newest of those that are mined.
    mined: BTreeMap<u64, Voyage>,
}

impl Nonces {
    /// Whether the chain was asked already which nonce is the next.
    pub(super) fn know_the_next(&self) -> bool {
        self.next.is_some()
    }

    /// Learns where the chain is. Never goes back: what the chain does not count yet may travel.
    pub(super) fn learn(&mut self, count: u64) {
        self.next = Some(self.next.map_or(count, |next| next.max(count)));
        self.returned.retain(|nonce| *nonce >= count);
    }

    /// Hands out the lowest free nonce; `None` before the chain was asked.
    pub(super) fn take(&mut self) -> Option<u64> {
        let nonce = match self.returned.pop_first() {
            Some(returned) => returned,
            None => {
                let next = self.next?;
                self.next = Some(next + 1);
                next
            }
        };
        assert!(self.in_flight.insert(nonce), "nonce {nonce} was handed out twice");
        Some(nonce)
    }

    /// The nonce belongs to a transaction that is not ours.
    pub(super) fn lost(&mut self, nonce: u64) {
        self.in_flight.remove(&nonce);
        self.open.remove(&nonce);
    }

    /// The transaction is mined, or can never be: its nonce is spent.
    pub(super) fn done(&mut self, voyage: Voyage) {
        let nonce = voyage.nonce();
        self.lost(nonce);
        self.mined.insert(nonce, voyage);
        while self.mined.len() > MAX_MINED {
            self.mined.pop_first();
        }
    }

    /// The wait ran out: it stays in flight, and is kept.
    pub(super) fn keep_open(&mut self, voyage: Voyage) {
        self.open.insert(voyage.nonce(), voyage);
    }

    /// Takes back a nonce that no node has. `false` if later ones wait for it: then it must be
    /// filled, and is free only if that fails ([`Nonces::free`]).
    pub(super) fn give_back(&mut self, nonce: u64) -> bool {
        self.in_flight.remove(&nonce);
        let waited_for = self.in_flight.range(nonce..).next().is_some();
        if !waited_for {
            self.free(nonce);
        }
        !waited_for
    }

    /// A nonce that may be handed out again.
    pub(super) fn free(&mut self, nonce: u64) {
        self.returned.insert(nonce);
    }

    /// A nonce was filled past us: it is not free any more.
    pub(super) fn filled(&mut self, nonce: u64) {
        self.returned.remove(&nonce);
    }

    /// The lowest nonce in flight: the only one whose fee decides what is mined next.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.in_flight.first().copied()
    }

    /// The transactions of open fate, lowest nonce first.
    pub(super) fn open(&self) -> Vec<Voyage> {
        self.open.values().cloned().collect()
    }

    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The bytes that were mined under a nonce, if they are remembered.
    pub(super) fn mined_bytes(&self, nonce: u64) -> Option<&[u8]> {
        self.mined.get(&nonce).map(|voyage| voyage.newest().raw.as_slice())
    }

    /// All hashes that travelled under the same nonce as this one, while that is remembered.
    pub(super) fn siblings(&self, hash: B256) -> Vec<B256> {
        let travelled = self.open.values().chain(self.mined.values());
        let mut ours = travelled.filter(|voyage| voyage.hashes().any(|h| h == hash));
        ours.next().map(|voyage| voyage.hashes().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returned_nonces_come_before_new_ones_and_none_comes_twice() {
        let mut nonces = Nonces::default();
        assert!(!nonces.know_the_next() && nonces.take().is_none());
        nonces.learn(7);
        assert_eq!([nonces.take(), nonces.take(), nonces.take()], [Some(7), Some(8), Some(9)]);
        // 9 is the last: nobody waits for it. 7 is waited for by 8.
        assert!(nonces.give_back(9));
        assert!(!nonces.give_back(7));
        assert_eq!(nonces.take(), Some(9));
        nonces.free(7);
        assert_eq!([nonces.take(), nonces.take()], [Some(7), Some(10)]);
        assert_eq!(nonces.lowest(), Some(7));
    }

    #[test]
    fn what_the_chain_counts_later_never_goes_back() {
        let mut nonces = Nonces::default();
        nonces.learn(3);
        assert_eq!(nonces.take(), Some(3));
        nonces.learn(1);
        assert_eq!(nonces.take(), Some(4));
        nonces.lost(3);
        nonces.give_back(4);
        // Another program went on to 9: what was given back below that is spent.
        nonces.learn(9);
        assert_eq!(nonces.take(), Some(9));
    }
}
