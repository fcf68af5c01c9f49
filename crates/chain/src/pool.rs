//! The transactions that wait for a block. Pure: no clock, no I/O, no lock of its own.
//!
//! Each sender has one queue by nonce. Its *ready* part starts at the account's nonce and has no
//! gap; what comes after a gap waits for the gap to be filled. Ready transactions are handed out
//! by tip, then by arrival, and always in nonce order within a sender. A transaction that is ready
//! is handed out every time until it is sealed or dropped: nothing is ever stranded.
//!
//! Bounds: ready and gapped transactions have separate ceilings, so that a flood of transactions
//! that cannot be sealed never keeps out one that can; each sender has a ceiling of its own. Since
//! gas may be free, these ceilings are what bounds spam. Gapped transactions expire.
//!
//! Cost: admission O(log n) in the sender's queue; selection O(k log s) for k transactions of s
//! senders.

use crate::{refusal::Refusal, transaction::Transaction};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, U256};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::Arc,
};

/// What the pool may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Transactions that could be sealed now.
    pub ready: usize,
    /// Transactions that wait for an earlier nonce.
    pub gapped: usize,
    /// Transactions of one sender, ready and gapped; also how far ahead a nonce may be.
    pub per_sender: usize,
    /// How long a transaction may wait for an earlier nonce, in seconds; geth's is three hours.
    pub gapped_seconds: u64,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { ready: 50_000, gapped: 10_000, per_sender: 10_000, gapped_seconds: 3 * 3600 }
    }
}

/// What the pool must know of a sender, at the head of the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// The next nonce that can be sealed.
    pub(crate) nonce: u64,
    /// In wei.
    pub(crate) balance: U256,
}

#[derive(Debug)]
struct Entry {
    transaction: Arc<Transaction>,
    /// Position in the order of all arrivals.
    arrival: u64,
    /// Seconds since the Unix epoch.
    since: u64,
}

/// One sender's queue.
#[derive(Debug, Default)]
struct Queue {
    /// The account's nonce at the head of the chain.
    next: u64,
    /// One past the last ready nonce; `next` if none is ready.
    ready_end: u64,
    entries: BTreeMap<u64, Entry>,
    /// Sum of the maximal costs of all entries, in wei.
    cost: U256,
}

impl Queue {
    fn ready(&self) -> usize {
        // The ready part has no gap, so the difference of nonces is a count of entries held.
        (self.ready_end - self.next) as usize
    }

    fn gapped(&self) -> usize {
        self.entries.len() - self.ready()
    }

    fn extend_ready(&mut self) {
        while self.entries.contains_key(&self.ready_end) {
            self.ready_end += 1;
        }
    }

    /// What the entries with lower nonces can cost together, in wei.
    fn cost_below(&self, nonce: u64) -> U256 {
        self.entries
            .range(..nonce)
            .filter_map(|(_, entry)| entry.transaction.max_cost())
            .fold(U256::ZERO, U256::saturating_add)
    }

    fn take(&mut self, nonce: u64) -> Option<Entry> {
        let entry = self.entries.remove(&nonce)?;
        let cost = entry.transaction.max_cost().unwrap_or_default();
        self.cost = self.cost.saturating_sub(cost);
        Some(entry)
    }
}

/// The transactions that wait for a block.
#[derive(Debug)]
pub(crate) struct Pool {
    limits: PoolLimits,
    queues: HashMap<Address, Queue>,
    by_hash: HashMap<B256, Arc<Transaction>>,
    arrivals: u64,
    ready: usize,
    gapped: usize,
}

impl Pool {
    pub(crate) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            queues: HashMap::new(),
            by_hash: HashMap::new(),
            arrivals: 0,
            ready: 0,
            gapped: 0,
        }
    }

    /// Takes a transaction in, or says why not. `now` is in seconds since the Unix epoch.
    /// Checks in this order: known, nonce, funds, replacement, room.
    pub(crate) fn admit(
        &mut self,
        transaction: Arc<Transaction>,
        standing: Standing,
        now: u64,
    ) -> Result<(), Refusal> {
        let hash = transaction.hash();
        if self.by_hash.contains_key(&hash) {
            return Err(Refusal::Known);
        }
        let (sender, nonce) = (transaction.sender, transaction.nonce());
        // The block that moved the nonce may not have been told to the pool yet.
        self.advance(sender, standing.nonce);
        if nonce < standing.nonce {
            return Err(Refusal::NonceTooLow { next: standing.nonce, nonce });
        }
        // Nonces are distinct, so this bounds the number of the sender's entries too.
        let (gap, limit) = (nonce - standing.nonce, self.limits.per_sender as u64);
        if gap >= limit {
            return Err(Refusal::Gap { nonce, gap, limit });
        }
        let queue = self.queues.get(&sender);
        let held = queue.and_then(|queue| queue.entries.get(&nonce));
        let cost = transaction.max_cost().unwrap_or(U256::MAX);
        let affordable =
            |queued: U256| queued.checked_add(cost).is_some_and(|total| total <= standing.balance);
        // Mostly the sender can pay for all that it has queued; if not, what counts is whether it
        // can pay for all up to this one. Those behind are dropped when their turn comes.
        if !affordable(queue.map_or(U256::ZERO, |queue| queue.cost)) {
            let queued = queue.map_or(U256::ZERO, |queue| queue.cost_below(nonce));
            if !affordable(queued) {
                return Err(Refusal::Funds { balance: standing.balance, queued, cost });
            }
        }
        match held {
            Some(held) if !outbids(&transaction, &held.transaction) => {
                return Err(Refusal::Underpriced);
            }
            Some(_) => {}
            None => {
                let ready_end = queue.map_or(standing.nonce, |queue| queue.ready_end);
                if nonce == ready_end {
                    // Filling a gap makes later ones ready at once; the ceiling may be passed
                    // by that one sender's gapped entries, never by more.
                    if self.ready >= self.limits.ready {
                        return Err(Refusal::Full { limit: self.limits.ready });
                    }
                } else {
                    if self.gapped >= self.limits.gapped {
                        self.expire(now);
                    }
                    if self.gapped >= self.limits.gapped {
                        return Err(Refusal::Full { limit: self.limits.gapped });
                    }
                }
            }
        }
        self.insert(transaction, standing.nonce, cost, now);
        Ok(())
    }

    fn insert(&mut self, transaction: Arc<Transaction>, next: u64, cost: U256, now: u64) {
        let (hash, nonce) = (transaction.hash(), transaction.nonce());
        let fresh = || Queue { next, ready_end: next, ..Queue::default() };
        let queue = self.queues.entry(transaction.sender).or_insert_with(fresh);
        self.ready -= queue.ready();
        self.gapped -= queue.gapped();
        if let Some(replaced) = queue.take(nonce) {
            self.by_hash.remove(&replaced.transaction.hash());
        }
        self.by_hash.insert(hash, transaction.clone());
        queue.entries.insert(nonce, Entry { transaction, arrival: self.arrivals, since: now });
        queue.cost = queue.cost.saturating_add(cost);
        queue.extend_ready();
        self.arrivals += 1;
        self.ready += queue.ready();
        self.gapped += queue.gapped();
    }

    /// Up to `most` ready transactions in the order in which a block should try them.
    pub(crate) fn select(&self, most: usize) -> Vec<Arc<Transaction>> {
        let mut heads = BinaryHeap::new();
        let offer = |sender: &Address, nonce: u64, queue: &Queue| {
            let entry = queue.entries.get(&nonce).filter(|_| nonce < queue.ready_end)?;
            Some((entry.transaction.tip(), Reverse(entry.arrival), *sender, nonce))
        };
        for (sender, queue) in &self.queues {
            heads.extend(offer(sender, queue.next, queue));
        }
        let mut selected = Vec::new();
        while selected.len() < most {
            let Some((_, _, sender, nonce)) = heads.pop() else { break };
            let queue = &self.queues[&sender];
            selected.push(queue.entries[&nonce].transaction.clone());
            heads.extend(offer(&sender, nonce + 1, queue));
        }
        selected
    }

    /// Whether anything could be sealed now.
    pub(crate) fn has_ready(&self) -> bool {
        self.ready > 0
    }

    /// The chain has moved: `sender`'s next nonce is `nonce`, and what is below it is done.
    pub(crate) fn advance(&mut self, sender: Address, nonce: u64) {
        let Some(queue) = self.queues.get_mut(&sender) else { return };
        if nonce <= queue.next {
            return;
        }
        self.ready -= queue.ready();
        self.gapped -= queue.gapped();
        while let Some((&lowest, _)) = queue.entries.first_key_value() {
            if lowest >= nonce {
                break;
            }
            if let Some(done) = queue.take(lowest) {
                self.by_hash.remove(&done.transaction.hash());
            }
        }
        queue.next = nonce;
        queue.ready_end = queue.ready_end.max(nonce);
        queue.extend_ready();
        self.ready += queue.ready();
        self.gapped += queue.gapped();
        if queue.entries.is_empty() {
            self.queues.remove(&sender);
        }
    }

    /// Takes out a transaction that turned out not to be executable. Those of the same sender
    /// behind it wait for its nonce.
    pub(crate) fn discard(&mut self, hash: B256) {
        let Some(transaction) = self.by_hash.remove(&hash) else { return };
        let Some(queue) = self.queues.get_mut(&transaction.sender) else { return };
        self.ready -= queue.ready();
        self.gapped -= queue.gapped();
        let nonce = transaction.nonce();
        queue.take(nonce);
        queue.ready_end = queue.ready_end.min(nonce).max(queue.next);
        self.ready += queue.ready();
        self.gapped += queue.gapped();
        if queue.entries.is_empty() {
            self.queues.remove(&transaction.sender);
        }
    }

    /// The nonce that `sender` should use next, counting its ready transactions.
    pub(crate) fn next_nonce(&self, sender: Address) -> Option<u64> {
        self.queues.get(&sender).map(|queue| queue.ready_end)
    }

    pub(crate) fn get(&self, hash: B256) -> Option<Arc<Transaction>> {
        self.by_hash.get(&hash).cloned()
    }

    /// How many transactions are ready, and how many wait for an earlier nonce.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.ready, self.gapped)
    }

    /// Drops what has waited too long for an earlier nonce. O(n), so only when room is short.
    fn expire(&mut self, now: u64) {
        let oldest = now.saturating_sub(self.limits.gapped_seconds);
        let expired: Vec<B256> = self
            .queues
            .values()
            .flat_map(|queue| queue.entries.range(queue.ready_end..))
            .filter(|(_, entry)| entry.since < oldest)
            .map(|(_, entry)| entry.transaction.hash())
            .collect();
        for hash in expired {
            self.discard(hash);
        }
    }
}

/// Whether `new` may take the place of `old`: both fee fields must rise by a tenth at least, and
/// by one wei at least, so that at a fee of zero the first of two is kept.
fn outbids(new: &Transaction, old: &Transaction) -> bool {
    let beats = |new: u128, old: u128| {
        let least = old.saturating_add(old.div_ceil(10).max(1));
        new >= least
    };
    beats(new.envelope.max_fee_per_gas(), old.envelope.max_fee_per_gas())
        && beats(new.tip_cap(), old.tip_cap())
}

impl Transaction {
    /// The tip that the sender allows, in wei per gas; before EIP-1559, the gas price.
    fn tip_cap(&self) -> u128 {
        self.envelope.max_priority_fee_per_gas().unwrap_or(self.envelope.max_fee_per_gas())
    }
}
