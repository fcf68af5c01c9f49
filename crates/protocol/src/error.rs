//! What can go wrong here.

use alloy_primitives::Address;
use thiserror::Error;

/// Why a genesis or a deployment cannot be made. Repeating the same request never helps.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// The dollar must have a minter from its first block.
    #[error("the zero address cannot be the minter of the Machina Dollar: name another")]
    MinterMissing,
    /// The balances given to one address exceed what an account can hold.
    #[error("the gas balances given to {holder} add up to more than 2^256 - 1 wei: give less")]
    BalanceTooLarge {
        /// Whose balance it is.
        holder: Address,
    },
    /// Genesis puts a contract at this address, so it cannot also be a plain holder of gas.
    #[error("genesis puts a contract at {holder}: give the gas balance to another address")]
    HolderIsContract {
        /// The address asked for.
        holder: Address,
    },
    /// An artifact and this crate disagree: a contract changed and this crate did not.
    #[error("artifact {contract}: {fault}; run `npm run build` in contracts/ and mend `protocol`")]
    Artifact {
        /// The contract whose artifact it is.
        contract: &'static str,
        /// What does not fit.
        fault: String,
    },
}
