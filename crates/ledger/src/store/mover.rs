//! Moves what the log holds into the books' file, beside the writer.
//!
//! SQLite writes to a log (WAL), and from time to time its pages are moved into the file: a checkpoint.
//! By itself it does that within a commit, and all who wait for that commit wait for the move, 20 ms on
//! an ordinary disk. Here a thread with a connection of its own moves them a little at a time, which
//! neither writers nor readers wait for (a passive checkpoint). While writes come without a pause it
//! never quite finishes, so the writer's own checkpoint stays, at more pages than SQLite's thousand:
//! it finds next to nothing left to move, and then the log begins anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How long commits are left in the log, to be moved together.
const TOGETHER: Duration = Duration::from_millis(100);

/// After how many pages in the log the writer moves what is left of them, and the log begins anew.
pub(super) const LOG_PAGES: u32 = 4_000;

/// What writer and mover tell each other.
#[derive(Default)]
struct Signals {
    /// There are pages that the mover has not looked at.
    pages: AtomicBool,
    /// The books close.
    end: AtomicBool,
}

/// Tells the mover that there are new pages. It ends when this is dropped.
pub(super) struct Moving {
    signals: Arc<Signals>,
    thread: Thread,
}

impl Moving {
    /// Starts the mover on a connection of its own to the same file.
    pub(super) fn start(connection: Connection) -> std::io::Result<(Moving, JoinHandle<()>)> {
        let signals = Arc::new(Signals::default());
        let told = Arc::clone(&signals);
        let handle = std::thread::Builder::new()
            .name("ledger-mover".to_owned())
            .spawn(move || run(&connection, &told))?;
        Ok((Moving { signals, thread: handle.thread().clone() }, handle))
    }

    pub(super) fn committed(&self) {
        // It is woken by the first of several commits.
        if !self.signals.pages.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.signals.end.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn run(connection: &Connection, told: &Signals) {
    let ends = || told.end.load(Ordering::Acquire);
    while !ends() {
        if !told.pages.load(Ordering::Acquire) {
            std::thread::park();
            continue;
        }
        let begun = Instant::now();
        while let Some(rest) = TOGETHER.checked_sub(begun.elapsed())
            && !ends()
        {
            std::thread::park_timeout(rest);
        }
        told.pages.store(false, Ordering::Release);
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            // Nothing is lost by it: the log has the pages, and the writer moves them.
            tracing::debug!(%error, "pages were not moved from the log");
        }
    }
}
