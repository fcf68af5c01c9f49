//! All sealed blocks, indexed, and the states after the last of them. Shared between the sealer,
//! which appends, and any number of readers.
//!
//! One lock guards both, so block, receipts, head and state become visible together. Readers hold
//! it only to copy pointers; a copied state is then read without any lock.
//!
//! Bounds: states of the last [`KEPT_STATES`] blocks. Blocks and receipts are all kept in memory,
//! about 1 kB a transaction; moving the old ones to disk is the next step of this crate.

use crate::{block::Block, executor::BlockHashes, state::State};
use alloy_primitives::B256;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

/// How many blocks back a state can be asked for; as many as geth keeps.
pub(crate) const KEPT_STATES: u64 = 128;

/// The sealed blocks.
#[derive(Debug)]
pub(crate) struct Chain {
    blocks: Vec<Arc<Block>>,
    numbers: HashMap<B256, u64>,
    /// Transaction hash to block number and index.
    places: HashMap<B256, (u64, usize)>,
    /// The states after the last blocks, the head's last.
    states: VecDeque<State>,
}

impl Chain {
    fn begin(genesis: Block, state: State) -> Self {
        Self {
            numbers: HashMap::from([(genesis.hash, 0)]),
            blocks: vec![Arc::new(genesis)],
            places: HashMap::new(),
            states: VecDeque::from([state]),
        }
    }

    /// The newest block.
    pub(crate) fn head(&self) -> &Arc<Block> {
        self.blocks.last().expect("a chain has a genesis")
    }

    /// The state after the newest block.
    pub(crate) fn state(&self) -> &State {
        self.states.back().expect("the head's state is kept")
    }

    /// The state after block `number`, if that block is among the last [`KEPT_STATES`].
    pub(crate) fn state_at(&self, number: u64) -> Option<&State> {
        let back = self.head().number().checked_sub(number)?;
        let index = self.states.len().checked_sub(1 + usize::try_from(back).ok()?)?;
        self.states.get(index)
    }

    /// The oldest block whose state is kept.
    pub(crate) fn oldest_state(&self) -> u64 {
        self.head().number() + 1 - self.states.len() as u64
    }

    pub(crate) fn block(&self, number: u64) -> Option<&Arc<Block>> {
        self.blocks.get(usize::try_from(number).ok()?)
    }

    pub(crate) fn number(&self, hash: B256) -> Option<u64> {
        self.numbers.get(&hash).copied()
    }

    /// The block that holds a transaction, and the transaction's index in it.
    pub(crate) fn place(&self, transaction: B256) -> Option<(&Arc<Block>, usize)> {
        let (number, index) = self.places.get(&transaction)?;
        Some((self.block(*number)?, *index))
    }

    fn push(&mut self, block: Arc<Block>, state: State) {
        assert_eq!(block.number(), self.head().number() + 1, "blocks follow each other");
        assert_eq!(block.header.parent_hash, self.head().hash, "blocks follow each other");
        let number = block.number();
        self.numbers.insert(block.hash, number);
        for (index, transaction) in block.transactions.iter().enumerate() {
            self.places.insert(transaction.hash(), (number, index));
        }
        self.blocks.push(block);
        self.states.push_back(state);
        if self.states.len() as u64 > KEPT_STATES {
            self.states.pop_front();
        }
    }
}

/// The shared handle to the sealed blocks.
#[derive(Clone, Debug)]
pub(crate) struct History(Arc<RwLock<Chain>>);

impl History {
    pub(crate) fn begin(genesis: Block, state: State) -> Self {
        Self(Arc::new(RwLock::new(Chain::begin(genesis, state))))
    }

    /// Looks at the chain. Keep it short: the sealer waits for you to publish.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Chain> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a block visible.
    pub(crate) fn publish(&self, block: Arc<Block>, state: State) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(block, state);
    }
}

impl BlockHashes for History {
    fn block_hash(&self, number: u64) -> B256 {
        self.read().block(number).map_or(B256::ZERO, |block| block.hash)
    }
}
