//! The state and header that a chain begins with.

use crate::state::State;
use alloy_consensus::{EMPTY_ROOT_HASH, Header};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B256, Bytes, U256};

/// How a chain begins. Two chains with the same genesis have the same first block hash.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The chain id (EIP-155) that every transaction must name.
    pub chain_id: u64,
    /// The timestamp of block 0, in seconds since the Unix epoch.
    pub timestamp: u64,
    /// The gas that one block may use.
    pub gas_limit: u64,
    /// The accounts that exist from the beginning; of two with one address, the later counts.
    pub alloc: Vec<GenesisAccount>,
}

/// One account that exists from the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// Where it is.
    pub address: Address,
    /// Its ether, in wei.
    pub balance: U256,
    /// Its nonce. Give contracts 1, as EIP-161 does to those that are created.
    pub nonce: u64,
    /// Its runtime code; empty for an account that a key controls.
    pub code: Bytes,
    /// Its storage, slot to value; zero values are the same as none.
    pub storage: Vec<(U256, U256)>,
}

impl Genesis {
    /// The first header. It follows the Osaka rules, with a base fee of zero.
    pub(crate) fn header(&self, state: &State) -> Header {
        Header {
            state_root: state.root(),
            gas_limit: self.gas_limit,
            timestamp: self.timestamp,
            ..header_shape()
        }
    }
}

/// The header fields that are the same in every block of this chain.
pub(crate) fn header_shape() -> Header {
    Header {
        base_fee_per_gas: Some(0),
        withdrawals_root: Some(EMPTY_ROOT_HASH),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}
