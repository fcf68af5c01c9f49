//! Agents (ERC-8004): their registries as they stand at genesis, what a wallet signs, and the
//! registration file that an agent's URI leads to.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, eip712_domain, sol};
use serde::{Deserialize, Serialize};

use crate::addresses::{IDENTITY_REGISTRY, REPUTATION_REGISTRY, VALIDATION_REGISTRY};
use crate::artifact::{Artifact, eip712_immutables, stored_string};
use crate::genesis::{GenesisAccount, contract};
use crate::{ProtocolError, RegistrationFault};

sol! {
    /// What the new wallet of an agent signs, in [`identity_domain`].
    #[derive(Debug, PartialEq, Eq)]
    struct AgentWalletSet {
        /// The agent.
        uint256 agentId;
        /// The wallet that signs.
        address newWallet;
        /// Who owns the agent; a transfer makes the signature worthless.
        address owner;
        /// Unix seconds, at most five minutes from now.
        uint256 deadline;
    }
}

/// The registry's domain (EIP-712) on the chain with this id.
pub fn identity_domain(chain_id: u64) -> Eip712Domain {
    eip712_domain! {
        name: "ERC8004IdentityRegistry",
        version: "1",
        chain_id: chain_id,
        verifying_contract: IDENTITY_REGISTRY,
    }
}

/// The registries, as their constructors leave them on the chain with this id.
pub(crate) fn accounts(chain_id: u64) -> Result<[GenesisAccount; 3], ProtocolError> {
    let identity = Artifact::read(
        "IdentityRegistry",
        include_str!("../../../contracts/artifacts/IdentityRegistry.json"),
    )?;
    let code = identity.runtime_code(&eip712_immutables(&identity_domain(chain_id)))?;
    let mut names: Vec<(U256, U256)> = vec![
        (identity.slot("_name")?, stored_string("AgentIdentity").into()),
        (identity.slot("_symbol")?, stored_string("AGENT").into()),
    ];
    names.sort();
    let over = |address, name, json: &str| {
        let serves: [(&str, B256); 1] = [("IDENTITY", IDENTITY_REGISTRY.into_word())];
        let code = Artifact::read(name, json)?.runtime_code(&serves)?;
        Ok(contract(address, code, Vec::new()))
    };
    Ok([
        contract(IDENTITY_REGISTRY, code, names),
        over(
            REPUTATION_REGISTRY,
            "ReputationRegistry",
            include_str!("../../../contracts/artifacts/ReputationRegistry.json"),
        )?,
        over(
            VALIDATION_REGISTRY,
            "ValidationRegistry",
            include_str!("../../../contracts/artifacts/ValidationRegistry.json"),
        )?,
    ])
}

/// What the `type` of a registration file says (`ERCS/erc-8004.md`).
pub const REGISTRATION_TYPE: &str = "https://eips.ethereum.org/EIPS/eip-8004#registration-v1";

/// The most bytes of a registration file that is read here.
pub const LONGEST_REGISTRATION: usize = 65_536;

/// The most services, registrations and kinds of trust in one file, each.
pub const MOST_ENTRIES: usize = 64;

/// The longest text in a file, in bytes, but for the image, which may be a data URI.
pub const LONGEST_TEXT: usize = 4_096;

/// Where the file that proves an agent's domain is, on that domain.
pub const DOMAIN_PROOF_PATH: &str = "/.well-known/agent-registration.json";

/// The file that an agent's URI leads to: who it is, and how to reach it. Members that the standard
/// does not name are kept in no form: a file is read for what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// [`REGISTRATION_TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// What people call the agent.
    pub name: String,
    /// What it does, for people and for search.
    pub description: String,
    /// A picture's URI; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// How it is reached. Older files say `endpoints`.
    #[serde(default, alias = "endpoints")]
    pub services: Vec<Service>,
    /// Whether it is paid by x402.
    #[serde(default, alias = "x402support")]
    pub x402_support: bool,
    /// Whether it works now.
    #[serde(default)]
    pub active: bool,
    /// Where it is registered; the file and the registry must name each other.
    #[serde(default)]
    pub registrations: Vec<RegistrationEntry>,
    /// By what it can be trusted: `reputation`, `crypto-economic`, `tee-attestation`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_trust: Vec<String>,
}

/// One way to reach an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The protocol: `A2A`, `MCP`, `OASF`, `web`, `ENS`, `DID`, or any other.
    pub name: String,
    /// Where.
    pub endpoint: String,
    /// The protocol's version; empty if not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// One registry that knows an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationEntry {
    /// The agent's number there.
    pub agent_id: u64,
    /// The registry, as `eip155:CHAIN:ADDRESS`.
    pub agent_registry: String,
}

/// How a registration file names a registry: `eip155:CHAIN:ADDRESS`.
pub fn registry_name(chain_id: u64, registry: Address) -> String {
    format!("eip155:{chain_id}:{registry}")
}

impl Registration {
    /// A file of an agent that works, is paid by x402 and is trusted by its reputation.
    pub fn new(name: &str, description: &str, services: Vec<Service>) -> Registration {
        Registration {
            kind: REGISTRATION_TYPE.into(),
            name: name.into(),
            description: description.into(),
            image: String::new(),
            services,
            x402_support: true,
            active: true,
            registrations: Vec::new(),
            supported_trust: vec!["reputation".into(), "crypto-economic".into()],
        }
    }

    /// Reads a stranger's file.
    ///
    /// # Errors
    /// [`RegistrationFault`] for one that is too long, not JSON, of another type or version, without
    /// a name, or with more or longer entries than the bounds here.
    pub fn read(json: &[u8]) -> Result<Registration, RegistrationFault> {
        if json.len() > LONGEST_REGISTRATION {
            return Err(RegistrationFault::TooLong { bytes: json.len() });
        }
        let file: Registration = serde_json::from_slice(json)
            .map_err(|fault| RegistrationFault::NotOne { fault: fault.to_string() })?;
        file.check()?;
        Ok(file)
    }

    /// Whether this is a file that others can use.
    ///
    /// # Errors
    /// As [`Registration::read`].
    pub fn check(&self) -> Result<(), RegistrationFault> {
        if self.kind != REGISTRATION_TYPE {
            return Err(RegistrationFault::OtherType { found: shortened(&self.kind) });
        }
        if self.name.trim().is_empty() {
            return Err(RegistrationFault::Missing { member: "name" });
        }
        let entries = [
            ("services", self.services.len()),
            ("registrations", self.registrations.len()),
            ("supportedTrust", self.supported_trust.len()),
        ];
        if let Some(&(member, count)) = entries.iter().find(|(_, count)| *count > MOST_ENTRIES) {
            return Err(RegistrationFault::TooMany { member, count });
        }
        let of_services = self
            .services
            .iter()
            .flat_map(|service| [&service.name, &service.endpoint, &service.version]);
        let of_registrations = self.registrations.iter().map(|entry| &entry.agent_registry);
        let mut texts = [&self.name, &self.description]
            .into_iter()
            .chain(of_services)
            .chain(of_registrations)
            .chain(&self.supported_trust);
        if let Some(text) = texts.find(|text| text.len() > LONGEST_TEXT) {
            return Err(RegistrationFault::LongText { bytes: text.len() });
        }
        if self.services.iter().any(|service| service.endpoint.trim().is_empty()) {
            return Err(RegistrationFault::Missing { member: "services.endpoint" });
        }
        Ok(())
    }

    /// Whether the file says that it is this agent's of this registry. The registry's word that the
    /// agent's URI leads to the file is the other half.
    pub fn names(&self, chain_id: u64, registry: Address, agent_id: u64) -> bool {
        let registry = registry_name(chain_id, registry);
        self.registrations.iter().any(|entry| {
            entry.agent_id == agent_id && entry.agent_registry.eq_ignore_ascii_case(&registry)
        })
    }
}

/// The beginning of a stranger's text, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of `ERCS/erc-8004.md`, shortened.
    const FILE: &str = r#"{
        "type": "https://eips.ethereum.org/EIPS/eip-8004#registration-v1",
        "name": "vision", "description": "Names what photographs show", "image": "",
        "services": [{"name": "A2A", "endpoint": "http://a/.well-known/agent-card.json",
                      "version": "1.0", "a2aSkills": ["x"]}],
        "x402Support": true, "active": true,
        "registrations": [{"agentId": 22,
            "agentRegistry": "eip155:402402:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432"}],
        "supportedTrust": ["reputation"]
    }"#;

    #[test]
    fn a_file_is_read_for_what_is_known_of_it() {
        let file = Registration::read(FILE.as_bytes()).unwrap();
        assert_eq!((file.name.as_str(), file.x402_support, file.active), ("vision", true, true));
        assert_eq!(file.services[0].version, "1.0");
        assert!(file.names(402_402, IDENTITY_REGISTRY, 22));
        assert!(!file.names(1, IDENTITY_REGISTRY, 22));
        assert!(!file.names(402_402, IDENTITY_REGISTRY, 23));
        let older = FILE.replace("\"services\"", "\"endpoints\"");
        assert_eq!(Registration::read(older.as_bytes()).unwrap(), file);
    }

    #[test]
    fn a_file_of_our_own_reads_back() {
        let service =
            Service { name: "web".into(), endpoint: "http://a".into(), version: String::new() };
        let file = Registration::new("reader", "Reads pages", vec![service]);
        let json = serde_json::to_vec(&file).unwrap();
        assert_eq!(Registration::read(&json), Ok(file));
    }

    #[test]
    fn a_file_that_is_none_is_refused_with_the_reason() {
        let refused = |json: &str| Registration::read(json.as_bytes()).unwrap_err();
        assert!(matches!(refused("{}"), RegistrationFault::NotOne { .. }));
        let other = FILE.replace("registration-v1", "registration-v9");
        assert!(matches!(refused(&other), RegistrationFault::OtherType { .. }));
        let nameless = FILE.replace("\"vision\"", "\" \"");
        assert_eq!(refused(&nameless), RegistrationFault::Missing { member: "name" });
        let nowhere = FILE.replace("http://a/.well-known/agent-card.json", "");
        assert_eq!(refused(&nowhere), RegistrationFault::Missing { member: "services.endpoint" });
        let long = FILE.replace("Names what", &"x".repeat(LONGEST_TEXT));
        assert!(matches!(refused(&long), RegistrationFault::LongText { .. }));
        let many = FILE.replace("\"reputation\"", &vec!["\"r\""; MOST_ENTRIES + 1].join(","));
        assert_eq!(
            refused(&many),
            RegistrationFault::TooMany { member: "supportedTrust", count: MOST_ENTRIES + 1 }
        );
        let huge = " ".repeat(LONGEST_REGISTRATION + 1);
        assert!(matches!(refused(&huge), RegistrationFault::TooLong { .. }));
    }
}
