//! What can go wrong around the books, as opposed to in them.

use std::path::PathBuf;

use thiserror::Error;

/// Why the store could not do its work. That an operation is refused is no error but an
/// [`Outcome`](crate::Outcome).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// Another process, or another part of this one, has the same books open.
    #[error("the books at {} are in use by another process: stop it, or use another home", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the program wrote this file.
    #[error(
        "the books at {} are of version {found}, but this program reads up to {known}: use a newer program",
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
    #[error("{} holds no ledger: choose another file", path.display())]
    NotALedger {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be opened or created.
    #[error("the books at {} cannot be opened: {cause}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The journal does not say what was written into it.
    #[error("the journal is damaged at row {row}: {problem}; restore it from a copy")]
    Corrupt {
        /// The first row that is wrong.
        row: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The journal and the books in memory are not the same: a bug, or someone else wrote.
    #[error("the journal gives other books than those in memory: do not go on, and restart")]
    Diverged,
    /// There is no space left. Nothing of the batch was applied; free space and try again.
    #[error("the books cannot grow: the disk is full; free some space and try again")]
    Full,
    /// Reading or writing failed. Nothing of the batch was applied, though after a crash it may
    /// turn out to have been: try the same again, which is always safe.
    #[error("the books could not be read or written: {cause}; try again")]
    Io {
        /// What the store said.
        cause: String,
    },
    /// More was handed in at once than is taken.
    #[error("a batch of {writes} writes and {bytes} bytes of evidence is too large: split it")]
    BatchTooLarge {
        /// How many writes.
        writes: usize,
        /// How many bytes of evidence.
        bytes: usize,
    },
    /// The ledger was closed, or its writer died.
    #[error("the books are closed")]
    Closed,
}

impl LedgerError {
    /// Whether the same may succeed later without anyone changing the program or the file.
    pub fn can_retry(&self) -> bool {
        match self {
            LedgerError::InUse { .. } | LedgerError::Full | LedgerError::Io { .. } => true,
            LedgerError::Newer { .. }
            | LedgerError::NotALedger { .. }
            | LedgerError::Open { .. }
            | LedgerError::Corrupt { .. }
            | LedgerError::Diverged
            | LedgerError::BatchTooLarge { .. }
            | LedgerError::Closed => false,
        }
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> LedgerError {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => LedgerError::Full,
            _ => LedgerError::Io { cause: error.to_string() },
        }
    }
}
