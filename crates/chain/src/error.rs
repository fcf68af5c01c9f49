//! What can keep a node from opening.

use alloy_primitives::B256;
use std::{io, path::PathBuf};

/// Why a node did not open. Nothing on disk was changed, except where [`ChainError::Io`] says so.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Another process (or another node in this one) has the directory open. Retry when it closed.
    #[error(
        "the chain in {} is in use by another process; stop that one, or choose another directory",
        directory.display()
    )]
    InUse {
        /// The chain's directory.
        directory: PathBuf,
    },
    /// The operating system refused to read or write. Retrying can help once its cause is gone.
    #[error("cannot read or write {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is something else, or its head is damaged.
    #[error("{} is not a block log, or its head is damaged; restore it or move it away", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// The directory holds a chain that began differently.
    #[error(
        "{} holds chain {found_chain_id} with genesis {found}, but chain {expected_chain_id} with \
         genesis {expected} was asked for; use that chain's settings, or another directory",
        path.display()
    )]
    OtherGenesis {
        /// The log.
        path: PathBuf,
        /// The chain id in the log.
        found_chain_id: u64,
        /// The genesis hash in the log.
        found: B256,
        /// The chain id of the configuration.
        expected_chain_id: u64,
        /// The genesis hash of the configuration.
        expected: B256,
    },
    /// The log is damaged in the middle: intact blocks follow, so cutting would lose some.
    #[error(
        "{} is damaged at byte {offset}, and intact blocks follow from byte {next}; restore the \
         file from a backup",
        path.display()
    )]
    Corrupt {
        /// The log.
        path: PathBuf,
        /// Where the damaged frame begins.
        offset: u64,
        /// Where the next intact frame begins.
        next: u64,
    },
    /// A frame is intact but holds no block that this version can read.
    #[error("{} holds a block at byte {offset} that cannot be read: {reason}", path.display())]
    Unreadable {
        /// The log.
        path: PathBuf,
        /// Where the frame begins.
        offset: u64,
        /// What was wrong.
        reason: String,
    },
    /// A logged block does not give what its header says when it is executed again.
    #[error(
        "block {number} of {} does not replay: {what} is {found} in the log, {computed} when \
         executed; the log was made by another version, or it was altered",
        path.display()
    )]
    Diverged {
        /// The log.
        path: PathBuf,
        /// The block's number.
        number: u64,
        /// The header field that differs.
        what: &'static str,
        /// Its value in the log.
        found: String,
        /// Its value when executed again.
        computed: String,
    },
    /// The genesis cannot carry a chain.
    #[error("the genesis is not usable: {reason}")]
    Genesis {
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system gave no thread to seal blocks on.
    #[error("cannot start the thread that seals blocks: {0}")]
    Thread(io::Error),
}
