//! The world state: accounts, their storage and code.
//!
//! A [`State`] is a value, like the tries it is made of: a clone is three pointers, and readers of
//! a clone neither wait for the sealer nor hold it up. The trie that answers reads is the trie that
//! gives the root, so the two cannot disagree. A read costs one Keccak and a walk of a few nodes.

use crate::{
    genesis::Genesis,
    trie::{Leaf, Trie},
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::TrieAccount;
use revm::{
    bytecode::Bytecode, database::BundleState, database_interface::DBErrorMarker,
    state::AccountInfo,
};

/// One account as the trie holds it.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) nonce: u64,
    pub(crate) balance: U256,
    pub(crate) code_hash: B256,
    storage: Trie<U256>,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY, storage: Trie::default() }
    }
}

impl Account {
    /// Whether the account runs code of its own. An EIP-7702 delegation does not count as such:
    /// its owner may still sign.
    fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }

    fn set_slot(&mut self, slot: U256, value: U256) {
        let key = keccak256(slot.to_be_bytes::<32>());
        if value.is_zero() { self.storage.remove(key) } else { self.storage.insert(key, value) }
    }
}

impl Leaf for Account {
    fn encode(&self, out: &mut Vec<u8>) {
        TrieAccount::new(self.nonce, self.balance, self.storage.root(), self.code_hash).encode(out);
    }
}

impl Leaf for U256 {
    fn encode(&self, out: &mut Vec<u8>) {
        Encodable::encode(self, out);
    }
}

/// Contract code under its hash. Never part of a root, so never encoded for one.
#[derive(Clone, Debug)]
struct Code(Bytecode);

impl Leaf for Code {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.original_bytes());
    }
}

/// An account names code that the state does not hold. It cannot happen unless memory is corrupt;
/// execution stops rather than run nothing in its place.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the state holds no code with hash {0}")]
pub(crate) struct MissingCode(pub(crate) B256);

impl DBErrorMarker for MissingCode {}

/// All accounts at one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    accounts: Trie<Account>,
    codes: Trie<Code>,
}

impl State {
    /// The state before the first block.
    pub(crate) fn from_genesis(genesis: &Genesis) -> Self {
        let mut state = Self::default();
        for given in &genesis.alloc {
            let mut account = Account {
                nonce: given.nonce,
                balance: given.balance,
                code_hash: keccak256(&given.code),
                storage: Trie::default(),
            };
            for (slot, value) in &given.storage {
                account.set_slot(*slot, *value);
            }
            if account.has_code() {
                let code = Bytecode::new_raw(given.code.clone());
                state.codes.insert(account.code_hash, Code(code));
            }
            state.accounts.insert(keccak256(given.address), account);
        }
        state
    }

    /// The state root: hashes only what changed since it was last asked.
    pub(crate) fn root(&self) -> B256 {
        self.accounts.root()
    }

    /// The account at `address`, if there is one.
    pub(crate) fn account(&self, address: Address) -> Option<&Account> {
        self.accounts.get(keccak256(address))
    }

    /// The value of a storage slot; zero where nothing was written.
    pub(crate) fn slot(&self, address: Address, slot: U256) -> U256 {
        self.account(address)
            .and_then(|account| account.storage.get(keccak256(slot.to_be_bytes::<32>())))
            .copied()
            .unwrap_or_default()
    }

    /// The code with this hash.
    pub(crate) fn code(&self, hash: B256) -> Result<Bytecode, MissingCode> {
        if hash == KECCAK256_EMPTY || hash.is_zero() {
            return Ok(Bytecode::default());
        }
        self.codes.get(hash).map(|code| code.0.clone()).ok_or(MissingCode(hash))
    }

    /// The bytes of the code at `address`; empty for an account without code.
    pub(crate) fn code_at(&self, address: Address) -> Result<Bytes, MissingCode> {
        match self.account(address) {
            Some(account) => Ok(self.code(account.code_hash)?.original_bytes()),
            None => Ok(Bytes::new()),
        }
    }

    /// The account as the EVM wants it. Code is looked up only when it runs.
    pub(crate) fn info(&self, address: Address) -> Option<AccountInfo> {
        let account = self.account(address)?;
        let mut info = AccountInfo::default()
            .with_balance(account.balance)
            .with_nonce(account.nonce)
            .with_code_hash(account.code_hash);
        info.code = (!account.has_code()).then(Bytecode::default);
        Some(info)
    }

    /// Applies the changes of one executed block.
    pub(crate) fn apply(&mut self, changes: BundleState) {
        for (hash, code) in changes.contracts {
            self.codes.insert(hash, Code(code));
        }
        for (address, change) in changes.state {
            if change.status.is_not_modified() {
                continue;
            }
            let key = keccak256(address);
            // EIP-161: an account that is touched and empty does not exist.
            let Some(info) = change.info.as_ref().filter(|info| !info.is_empty()) else {
                self.accounts.remove(key);
                continue;
            };
            let wiped = change.was_destroyed();
            let mut account = match self.accounts.get(key) {
                Some(account) if !wiped => account.clone(),
                _ => Account::default(),
            };
            account.nonce = info.nonce;
            account.balance = info.balance;
            account.code_hash = info.code_hash;
            for (slot, value) in &change.storage {
                if wiped || value.is_changed() {
                    account.set_slot(*slot, value.present_value);
                }
            }
            self.accounts.insert(key, account);
        }
    }
}

#[cfg(test)]
impl State {
    /// The state root, rebuilt from nothing by `alloy-trie`: the independent check of [`root`].
    ///
    /// [`root`]: State::root
    pub(crate) fn rebuilt_root(&self) -> B256 {
        use std::collections::BTreeMap;
        let mut accounts = BTreeMap::new();
        self.accounts.for_each(&mut |key, account| {
            let mut slots = BTreeMap::new();
            account.storage.for_each(&mut |slot, value| {
                slots.insert(slot, *value);
            });
            let storage_root = alloy_trie::root::storage_root(slots);
            let leaf =
                TrieAccount::new(account.nonce, account.balance, storage_root, account.code_hash);
            accounts.insert(key, leaf);
        });
        alloy_trie::root::state_root(accounts)
    }
}
