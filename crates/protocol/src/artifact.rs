//! Reading a checked-in artifact: what a contract's constructor would have left on the chain.
//!
//! A compiled contract is not yet what runs. Its constructor writes immutables into the code and
//! variables into storage. Genesis has no constructor, so it writes both itself, by name; the
//! artifact tells where each name stands. A test deploys the same contract by its constructor and
//! compares every byte.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_sol_types::Eip712Domain;
use serde::Deserialize;

use crate::error::ProtocolError;

/// The longest text that Solidity keeps in one word, beside its length.
const SHORT_TEXT: usize = 31;

/// What genesis needs of one artifact. `contracts/tools/build.mjs` describes the fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Artifact {
    #[serde(skip)]
    contract: &'static str,
    deployed_bytecode: Bytes,
    immutables: BTreeMap<String, Vec<usize>>,
    storage: BTreeMap<String, u64>,
}

impl Artifact {
    /// Reads the artifact of the contract named `contract` from its checked-in text.
    pub(crate) fn read(contract: &'static str, json: &str) -> Result<Artifact, ProtocolError> {
        let artifact: Artifact = serde_json::from_str(json)
            .map_err(|fault| ProtocolError::Artifact { contract, fault: fault.to_string() })?;
        Ok(Artifact { contract, ..artifact })
    }

    /// The code that runs, with each immutable's `values` filled in. The names must be exactly the
    /// artifact's: a forgotten immutable would silently be zero.
    pub(crate) fn runtime_code(&self, values: &[(&str, B256)]) -> Result<Bytes, ProtocolError> {
        if let Some(unset) =
            self.immutables.keys().find(|name| !values.iter().any(|(given, _)| given == name))
        {
            return Err(self.fault(format!("immutable {unset} has no value")));
        }
        let mut code = self.deployed_bytecode.to_vec();
        for (name, value) in values {
            let places = self
                .immutables
                .get(*name)
                .ok_or_else(|| self.fault(format!("it has no immutable {name}")))?;
            for &start in places {
                let word = start.checked_add(32).and_then(|end| code.get_mut(start..end));
                word.filter(|word| word.iter().all(|&byte| byte == 0))
                    .ok_or_else(|| self.fault(format!("no blank word for {name} at {start}")))?
                    .copy_from_slice(value.as_slice());
            }
        }
        Ok(code.into())
    }

    /// The storage slot of the variable `name`.
    pub(crate) fn slot(&self, name: &str) -> Result<U256, ProtocolError> {
        let slot = self.storage.get(name);
        slot.map(|&slot| U256::from(slot))
            .ok_or_else(|| self.fault(format!("it has no variable {name}")))
    }

    fn fault(&self, fault: String) -> ProtocolError {
        ProtocolError::Artifact { contract: self.contract, fault }
    }
}

/// A text of at most 31 bytes as OpenZeppelin's `ShortString`: the text, and its length in bytes in
/// the last byte.
///
/// # Panics
/// If the text is longer, which a constant of this crate never is.
pub(crate) const fn short_string(text: &str) -> B256 {
    assert!(text.len() <= SHORT_TEXT, "a short string has at most 31 bytes");
    let mut word = [0; 32];
    let mut i = 0;
    while i < text.len() {
        word[i] = text.as_bytes()[i];
        i += 1;
    }
    word[SHORT_TEXT] = text.len() as u8;
    B256::new(word)
}

/// A text of at most 31 bytes as a Solidity `string` in storage: as [`short_string`], with twice
/// the length (Solidity documentation, "Layout of State Variables in Storage", bytes and string).
pub(crate) const fn stored_string(text: &str) -> B256 {
    let mut word = short_string(text).0;
    word[SHORT_TEXT] *= 2;
    B256::new(word)
}

/// The immutables of a contract that stands on OpenZeppelin's `EIP712`, as its constructor sets them
/// for this `domain`, which has a name, a version, a chain id and a contract. On a chain with another
/// id the contract computes its domain anew.
pub(crate) fn eip712_immutables(domain: &Eip712Domain) -> [(&'static str, B256); 7] {
    let name = domain.name.as_deref().unwrap_or_default();
    let version = domain.version.as_deref().unwrap_or_default();
    [
        ("_cachedChainId", domain.chain_id.unwrap_or_default().into()),
        ("_cachedDomainSeparator", domain.separator()),
        ("_cachedThis", domain.verifying_contract.unwrap_or_default().into_word()),
        ("_hashedName", keccak256(name)),
        ("_hashedVersion", keccak256(version)),
        ("_name", short_string(name)),
        ("_version", short_string(version)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact() -> Artifact {
        let code = format!("0x60{}61", "00".repeat(32));
        let json = format!(
            r#"{{"deployedBytecode":"{code}","immutables":{{"a":[1]}},"storage":{{"b":7}}}}"#
        );
        Artifact::read("Sample", &json).unwrap()
    }

    fn fault(fault: &str) -> ProtocolError {
        ProtocolError::Artifact { contract: "Sample", fault: fault.to_owned() }
    }

    #[test]
    fn an_immutable_is_written_where_the_artifact_says() {
        let value = B256::repeat_byte(0xab);
        let code = artifact().runtime_code(&[("a", value)]).unwrap();
        assert_eq!(code[0], 0x60);
        assert_eq!(&code[1..33], value.as_slice());
        assert_eq!(code[33], 0x61);
    }

    #[test]
    fn an_immutable_without_value_is_refused() {
        assert_eq!(artifact().runtime_code(&[]), Err(fault("immutable a has no value")));
    }

    #[test]
    fn a_value_without_immutable_is_refused() {
        let both = [("a", B256::ZERO), ("z", B256::ZERO)];
        assert_eq!(artifact().runtime_code(&both), Err(fault("it has no immutable z")));
    }

    #[test]
    fn an_immutable_over_other_code_is_refused() {
        let mut other = artifact();
        for start in [0, 2, 34, usize::MAX] {
            other.immutables.insert("a".into(), vec![start]);
            let refusal = fault(&format!("no blank word for a at {start}"));
            assert_eq!(other.runtime_code(&[("a", B256::ZERO)]), Err(refusal));
        }
    }

    #[test]
    fn a_variable_is_found_by_name_or_refused() {
        assert_eq!(artifact().slot("b"), Ok(U256::from(7)));
        assert_eq!(artifact().slot("c"), Err(fault("it has no variable c")));
    }

    #[test]
    fn an_artifact_that_is_not_one_is_refused() {
        let refusal = Artifact::read("Sample", "{}").unwrap_err();
        assert!(matches!(refusal, ProtocolError::Artifact { contract: "Sample", .. }));
    }
}
