//! Deploying to an address that is known beforehand, on any chain (EIP-1014).

use alloy_primitives::{Address, B256, Bytes, hex};

use crate::addresses::CREATE2_DEPLOYER;

/// The code that runs at [`CREATE2_DEPLOYER`]: 69 bytes.
///
/// Called with 32 bytes of salt and then init code, it deploys the init code by CREATE2, with the
/// value sent along, and returns the 20 bytes of the new address; if the init code fails, it
/// reverts. Source: github.com/Arachnid/deterministic-deployment-proxy, deployed at this address on
/// nearly every public chain by one keyless transaction.
pub const CREATE2_DEPLOYER_CODE: [u8; 69] = hex!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// Where [`CREATE2_DEPLOYER`] puts `init_code` under `salt`.
pub fn create2_address(salt: B256, init_code: &[u8]) -> Address {
    CREATE2_DEPLOYER.create2_from_code(salt, init_code)
}

/// The data of a call to [`CREATE2_DEPLOYER`] that deploys `init_code` under `salt`.
pub fn create2_call(salt: B256, init_code: &[u8]) -> Bytes {
    [salt.as_slice(), init_code].concat().into()
}
