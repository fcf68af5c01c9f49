//! The accounts that an embedded chain begins with.
//!
//! Contracts stand there as if their constructors had run: the same code, the same storage, byte
//! for byte, but at the addresses where stock clients look for them. The result is sorted by
//! address and depends on the arguments alone, so equal arguments give equal genesis blocks.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolConstructor;

use crate::addresses::{CREATE2_DEPLOYER, MACHINA_DOLLAR, MULTICALL3};
use crate::artifact::{Artifact, eip712_immutables, stored_string};
use crate::authorization::{DOLLAR_NAME, DOLLAR_SYMBOL, DOLLAR_VERSION, dollar_domain};
use crate::bindings::MachinaDollar;
use crate::create2::CREATE2_DEPLOYER_CODE;
use crate::{EMBEDDED_CHAIN_ID, ProtocolError};
use crate::{channels, escrow, identity, jobs, permit2};

const DOLLAR_ARTIFACT: &str = include_str!("../../../contracts/artifacts/MachinaDollar.json");
const MULTICALL3_ARTIFACT: &str = include_str!("../../../contracts/artifacts/Multicall3.json");

/// One account before the first block, as plain data for any chain to take in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisAccount {
    /// Where it is.
    pub address: Address,
    /// Its gas money, in wei.
    pub balance: U256,
    /// 0 for a plain account; 1 for a contract, as EIP-161 starts it.
    pub nonce: u64,
    /// The code that runs; empty for a plain account.
    pub code: Bytes,
    /// Slots and their values, none of them zero, in the order of slots.
    pub storage: Vec<(U256, U256)>,
}

/// The genesis of an embedded economy on chain [`EMBEDDED_CHAIN_ID`]: the Machina Dollar with its
/// `minter`, the CREATE2 deployer, Multicall3, Permit2 with x402's two proxies, x402's payment
/// channels and its escrow, the registries of agents, the escrow of jobs (`minter` administers it)
/// with its evaluators, and `holders` of gas money in wei. A holder named twice gets both
/// balances; one without any is left out. No dollar exists yet: `minter` mints.
///
/// # Errors
/// [`ProtocolError::MinterMissing`], [`ProtocolError::HolderIsContract`] and
/// [`ProtocolError::BalanceTooLarge`]; [`ProtocolError::Artifact`] only if `contracts/` changed
/// without this crate.
pub fn genesis(
    minter: Address,
    holders: &[(Address, U256)],
) -> Result<Vec<GenesisAccount>, ProtocolError> {
    genesis_on(EMBEDDED_CHAIN_ID, minter, holders)
}

/// As [`genesis`], on a chain with another id.
///
/// # Errors
/// As [`genesis`].
pub fn genesis_on(
    chain_id: u64,
    minter: Address,
    holders: &[(Address, U256)],
) -> Result<Vec<GenesisAccount>, ProtocolError> {
    let mut accounts = BTreeMap::new();
    for account in [
        machina_dollar(MACHINA_DOLLAR, chain_id, minter)?,
        contract(CREATE2_DEPLOYER, Bytes::from_static(&CREATE2_DEPLOYER_CODE), Vec::new()),
        contract(MULTICALL3, multicall3_code()?, Vec::new()),
    ] {
        accounts.insert(account.address, account);
    }
    for account in permit2::accounts()? {
        accounts.insert(account.address, account);
    }
    for account in channels::accounts(chain_id)? {
        accounts.insert(account.address, account);
    }
    for account in escrow::accounts()? {
        accounts.insert(account.address, account);
    }
    for account in identity::accounts(chain_id)? {
        accounts.insert(account.address, account);
    }
    for account in jobs::accounts(minter)? {
        accounts.insert(account.address, account);
    }
    for (holder, balance) in gas_balances(holders)? {
        if accounts.contains_key(&holder) {
            return Err(ProtocolError::HolderIsContract { holder });
        }
        let (code, storage) = (Bytes::new(), Vec::new());
        let account = GenesisAccount { address: holder, balance, nonce: 0, code, storage };
        accounts.insert(holder, account);
    }
    Ok(accounts.into_values().collect())
}

/// What to send, without a payee or through [`crate::create2`], to deploy a Machina Dollar of one's
/// own on any chain: it is play money there too.
///
/// # Errors
/// [`ProtocolError::MinterMissing`], because the constructor would refuse it.
pub fn dollar_init_code(minter: Address) -> Result<Bytes, ProtocolError> {
    if minter.is_zero() {
        return Err(ProtocolError::MinterMissing);
    }
    let arguments = MachinaDollar::constructorCall { firstMinter: minter }.abi_encode();
    Ok([&MachinaDollar::BYTECODE[..], &arguments].concat().into())
}

/// The dollar at `address`, as its constructor leaves it there on the chain with this id.
fn machina_dollar(
    address: Address,
    chain_id: u64,
    minter: Address,
) -> Result<GenesisAccount, ProtocolError> {
    if minter.is_zero() {
        return Err(ProtocolError::MinterMissing);
    }
    let artifact = Artifact::read("MachinaDollar", DOLLAR_ARTIFACT)?;
    let domain = dollar_domain(DOLLAR_NAME, DOLLAR_VERSION, chain_id, address);
    let code = artifact.runtime_code(&eip712_immutables(&domain))?;
    let slot = |name: &str, value: B256| Ok((artifact.slot(name)?, value.into()));
    let mut storage = vec![
        slot("_name", stored_string(DOLLAR_NAME))?,
        slot("_symbol", stored_string(DOLLAR_SYMBOL))?,
        slot("minter", minter.into_word())?,
    ];
    storage.sort();
    Ok(contract(address, code, storage))
}

fn multicall3_code() -> Result<Bytes, ProtocolError> {
    Artifact::read("Multicall3", MULTICALL3_ARTIFACT)?.runtime_code(&[])
}

pub(crate) fn contract(
    address: Address,
    code: Bytes,
    storage: Vec<(U256, U256)>,
) -> GenesisAccount {
    GenesisAccount { address, balance: U256::ZERO, nonce: 1, code, storage }
}

/// Each holder once, with all that it is given.
fn gas_balances(holders: &[(Address, U256)]) -> Result<BTreeMap<Address, U256>, ProtocolError> {
    let mut balances = BTreeMap::new();
    for &(holder, given) in holders.iter().filter(|(_, given)| !given.is_zero()) {
        let balance: &mut U256 = balances.entry(holder).or_default();
        *balance = balance.checked_add(given).ok_or(ProtocolError::BalanceTooLarge { holder })?;
    }
    Ok(balances)
}
