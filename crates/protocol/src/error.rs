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

/// Why a registration file (ERC-8004) cannot be used. Its owner can mend it; asking again before
/// that never helps.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistrationFault {
    /// More bytes than are read here.
    #[error("the registration file has {bytes} bytes, more than 65536: shorten it")]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// Not JSON, or not of this shape.
    #[error("this is not a registration file: {fault}")]
    NotOne {
        /// What the reader stumbled over.
        fault: String,
    },
    /// A file of another type, or of another version.
    #[error(
        "the file's type is `{found}`, not `https://eips.ethereum.org/EIPS/eip-8004#registration-v1`"
    )]
    OtherType {
        /// The beginning of what it says.
        found: String,
    },
    /// A member that must say something is empty.
    #[error("the registration file's `{member}` is empty: fill it in")]
    Missing {
        /// Which.
        member: &'static str,
    },
    /// More entries than are read here.
    #[error("the registration file has {count} `{member}`, more than 64: leave some out")]
    TooMany {
        /// Entries of what.
        member: &'static str,
        /// How many there are.
        count: usize,
    },
    /// One text is longer than any should be.
    #[error("a text of the registration file has {bytes} bytes, more than 4096: shorten it")]
    LongText {
        /// How many it has.
        bytes: usize,
    },
}
