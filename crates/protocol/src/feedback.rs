//! The file behind a word in the reputation registry (ERC-8004, "Off-chain feedback file structure"):
//! the registry keeps its address and its Keccak-256, so whoever reads it knows that nobody changed it.

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::addresses::IDENTITY_REGISTRY;
use crate::identity::registry_name;

/// The tag of a word that says which part of an agent's work succeeded, in per cent: one of the
/// standard's own examples.
pub const SUCCESS_RATE: &str = "successRate";

/// A feedback file. The members up to `value_decimals` are those that the standard asks for; what the
/// word stands on is an addition, which the standard allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackFile<Evidence> {
    /// Where the agent is registered, as `eip155:CHAIN:ADDRESS`.
    pub agent_registry: String,
    /// Which agent.
    pub agent_id: u64,
    /// Who says it, as `eip155:CHAIN:ADDRESS`.
    pub client_address: String,
    /// When, as ISO 8601 in UTC.
    pub created_at: String,
    /// The mark, in units of 10^-`value_decimals`.
    pub value: i64,
    /// The unit.
    pub value_decimals: u8,
    /// For what.
    pub tag1: String,
    /// For what more exactly.
    pub tag2: String,
    /// What the word stands on.
    pub evidence: Evidence,
}

/// How a feedback file names an account of a chain: `eip155:CHAIN:ADDRESS`.
pub fn account_name(chain_id: u64, account: Address) -> String {
    format!("eip155:{chain_id}:{account}")
}

/// How a feedback file names the registry of agents of a chain.
pub fn agents_of(chain_id: u64) -> String {
    registry_name(chain_id, IDENTITY_REGISTRY)
}

/// The hash that the registry keeps of a file of these bytes.
pub fn file_hash(bytes: &[u8]) -> B256 {
    keccak256(bytes)
}
