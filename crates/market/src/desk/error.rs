//! What can go wrong around the market, as opposed to in it.

use std::path::PathBuf;

use money::Party;
use thiserror::Error;

use super::{KEPT_FOR_A_CENT, MAX_BATCH, MAX_DOCUMENT, MAX_KEPT, MAX_KEPT_IN_ALL};

/// Why the desk could not do its work. That an operation is refused is no error but an
/// [`Outcome`](crate::Outcome).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeskError {
    /// Another process, or another part of this one, has the same market open.
    #[error("the market at {} is in use by another process: stop it, or use another home", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the program wrote this file.
    #[error(
        "the market at {} is of version {found}, but this program reads up to {known}: use a newer program",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The latest version that is known here.
        known: i64,
    },
    /// The file is something else.
    #[error("{} holds no market: choose another file", path.display())]
    NotAMarket {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be opened or created.
    #[error("the market at {} cannot be opened: {cause}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The rules of a new market make no sense.
    #[error("no market can have these rules: {0}")]
    Rules(&'static str),
    /// The journal does not say what was written into it.
    #[error("the market's journal is damaged at row {row}: {problem}; restore it from a copy")]
    Corrupt {
        /// The first row that is wrong.
        row: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The journal and the market in memory are not the same: a bug, or someone else wrote.
    #[error("the journal gives another market than the one in memory: do not go on, and restart")]
    Diverged,
    /// There is no space left. Nothing of the batch was applied; free space and try again.
    #[error("the market cannot grow: the disk is full; free some space and try again")]
    Full,
    /// Reading or writing failed. Nothing of the batch was applied, though after a crash it may
    /// turn out to have been: try the same again, which is always safe.
    #[error("the market could not be read or written: {cause}; try again")]
    Io {
        /// What the store said.
        cause: String,
    },
    /// More was handed in at once than is taken.
    #[error("{operations} operations are too many at once: hand in at most {MAX_BATCH}")]
    BatchTooLarge {
        /// How many.
        operations: usize,
    },
    /// A document is beyond its bound.
    #[error("a document of {bytes} bytes is too large: {MAX_DOCUMENT} are the most")]
    DocumentTooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// A party, or all together, have as many documents here as they may.
    #[error(
        "no more documents of {party} are kept: a party may have {KEPT_FOR_A_CENT} bytes here for each 0.01 that it has or has spent here, {MAX_KEPT} at most, and all together {MAX_KEPT_IN_ALL}; pay more in"
    )]
    DocumentsFull {
        /// Whose document it was.
        party: Party,
    },
    /// A document's media type is none.
    #[error("a media type has 1 to 128 printable ASCII characters, as in `image/jpeg`")]
    MediaType,
    /// The market was closed, or its writer died.
    #[error("the market is closed")]
    Closed,
}

impl DeskError {
    /// Whether the same may succeed later without anyone changing the program or the file.
    pub fn can_retry(&self) -> bool {
        matches!(self, DeskError::InUse { .. } | DeskError::Full | DeskError::Io { .. })
    }
}

impl From<rusqlite::Error> for DeskError {
    fn from(error: rusqlite::Error) -> DeskError {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => DeskError::Full,
            _ => DeskError::Io { cause: error.to_string() },
        }
    }
}
