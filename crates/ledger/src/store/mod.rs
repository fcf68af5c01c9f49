//! The ledger as a service: books in memory, made durable in one SQLite file.
//!
//! *Purpose.* Many tasks submit; one thread writes. A submission is answered when the group it
//! went with is on disk; what was answered survives `kill -9` and power loss (invariant 6).
//!
//! *Cost.* One fsync a group, however many writes are in it; all accounts and transfers stay in
//! memory, and where each document stands in the file; opening replays the whole journal.
//!
//! *Order.* Submissions take effect in the order they enter the queue; the writes of one batch
//! stay together and in order. All writes of a group carry the same moment, read from the clock by
//! the writer. Holds expire by themselves when the writer sees that they are due.
//!
//! *Bounds.* [`MAX_BATCH`] writes and 256 MiB of evidence wait at most; submitters wait for room.

mod error;
mod evidence;
mod journal;
mod shelf;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{File, TryLockError};
use std::future::Future;
use std::ops::Range;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, RwLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};

use money::Clock;
use rusqlite::Connection;
use tokio::sync::{Semaphore, broadcast, oneshot};

pub use error::LedgerError;
pub use evidence::{Evidence, MAX_EVIDENCE_BODY, MAX_EVIDENCE_PIECES, StoredEvidence};

use crate::id::Reference;
use crate::operation::{Operation, Outcome};
use crate::state::State;
use journal::Head;
use shelf::Shelf;
use writer::{Job, Writer};

/// The most writes that are taken in one batch, that wait, and that share one fsync.
pub const MAX_BATCH: usize = 8192;
/// Room in the queue is counted in units of 32 KiB; each write takes at least one.
const ROOM_UNIT: usize = 32 << 10;
/// How many commits a slow listener may fall behind before it misses some.
const COMMITS_KEPT: usize = 1024;

/// What is written together: an operation, and what explains it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Write {
    /// What is to happen, if anything.
    pub operation: Option<Operation>,
    /// Documents to keep, at most [`MAX_EVIDENCE_PIECES`]. They are stored if the operation is
    /// not refused, in the same instant.
    ///
    /// For each act and stage the first document stands. The same document again changes nothing.
    /// Another one is left out if the operation had happened before, and else refuses the write.
    pub evidence: Vec<Evidence>,
}

impl Write {
    /// An operation without evidence.
    pub fn operation(operation: Operation) -> Write {
        Write { operation: Some(operation), evidence: Vec::new() }
    }

    /// Evidence without an operation. The outcome is `Exists` if all of it was stored before.
    pub fn evidence(evidence: Vec<Evidence>) -> Write {
        Write { operation: None, evidence }
    }

    /// The same write with one more document.
    pub fn with(mut self, evidence: Evidence) -> Write {
        self.evidence.push(evidence);
        self
    }

    fn bytes(&self) -> usize {
        self.evidence.iter().map(|piece| piece.body.len()).sum()
    }

    fn room(&self) -> usize {
        self.bytes().div_ceil(ROOM_UNIT).max(1)
    }
}

impl From<Operation> for Write {
    fn from(operation: Operation) -> Write {
        Write::operation(operation)
    }
}

/// Tells listeners that the books have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The new entries, by their sequence; see [`State::entries_from`]. Empty if only holds were
    /// resolved, accounts opened or evidence stored.
    pub entries: Range<u64>,
    /// The acts that gained entries or evidence or whose holds were resolved, each once.
    pub references: Arc<[Reference]>,
}

/// What [`Ledger::verify`] found to be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many rows the journal has.
    pub rows: u64,
    /// The SHA-256 chain over all of them.
    pub chain: [u8; 32],
    /// The digest of the books, from the journal and in memory alike.
    pub digest: [u8; 32],
}

/// The books, shared by all who work with them. Cheap to clone; the last clone to go, or
/// [`close`](Ledger::close), finishes what waits and closes the file.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    room: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
    state: Arc<RwLock<State>>,
    head: Arc<Mutex<Head>>,
    shelf: Arc<RwLock<Shelf>>,
    /// A connection of its own for a file, so that reading does not wait for the writer; for
    /// books in memory there is only the one.
    reader: Arc<Mutex<Connection>>,
    committed: broadcast::Sender<Committed>,
}

/// What is read from a file when it is opened.
#[derive(Default)]
struct Books {
    state: State,
    head: Head,
    shelf: Shelf,
}

impl Ledger {
    /// Opens the books in the file at `path`, creates them if there are none, and replays the
    /// journal. A file `PATH-lock` beside it keeps other processes out.
    ///
    /// # Errors
    /// [`LedgerError::InUse`], [`NotALedger`](LedgerError::NotALedger),
    /// [`Newer`](LedgerError::Newer), [`Corrupt`](LedgerError::Corrupt),
    /// [`Open`](LedgerError::Open), [`Full`](LedgerError::Full), [`Io`](LedgerError::Io).
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Ledger, LedgerError> {
        let lock = lock(path)?;
        let connection = journal::open(path)?;
        let (mut state, mut head) = (State::new(), Head::default());
        journal::replay(&connection, &mut state, &mut head, journal::EVERYTHING)?;
        let mut shelf = Shelf::default();
        journal::fill(&connection, &mut shelf)?;
        let reader = journal::open_reader(path)?;
        let books = Books { state, head, shelf };
        Ledger::start(connection, Some(reader), books, clock, Some(lock))
    }

    /// Opens empty books that end with the process. All else is as with a file.
    pub fn in_memory(clock: Arc<dyn Clock>) -> Ledger {
        let connection = journal::open_in_memory();
        Ledger::start(connection, None, Books::default(), clock, None)
            .expect("a thread can be started")
    }

    fn start(
        connection: Connection,
        reader: Option<Connection>,
        books: Books,
        clock: Arc<dyn Clock>,
        lock: Option<File>,
    ) -> Result<Ledger, LedgerError> {
        let connection = Arc::new(Mutex::new(connection));
        let reader = reader.map_or_else(|| Arc::clone(&connection), |c| Arc::new(Mutex::new(c)));
        let (sender, jobs) = mpsc::channel();
        let (committed, _) = broadcast::channel(COMMITS_KEPT);
        let Books { state, head, shelf } = books;
        let (state, head) = (Arc::new(RwLock::new(state)), Arc::new(Mutex::new(head)));
        let shelf = Arc::new(RwLock::new(shelf));
        let writer = Writer {
            jobs,
            connection,
            state: Arc::clone(&state),
            head: Arc::clone(&head),
            shelf: Arc::clone(&shelf),
            clock,
            committed: committed.clone(),
            in_doubt: false,
            log: 0,
        };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                writer.run();
                // Only after the writer's connection is closed may another process come in.
                drop(lock);
            })
            .map_err(|error| LedgerError::Io { cause: error.to_string() })?;
        Ok(Ledger {
            shared: Arc::new(Shared {
                jobs: Mutex::new(Some(sender)),
                room: Arc::new(Semaphore::new(MAX_BATCH)),
                writer: Mutex::new(Some(thread)),
                state,
                head,
                shelf,
                reader,
                committed,
            }),
        })
    }

    /// Writes, and waits until it is durable. If the future is dropped meanwhile, the write may
    /// or may not happen; submitting it again tells.
    ///
    /// # Errors
    /// [`LedgerError::Full`], [`LedgerError::Io`], [`LedgerError::Closed`],
    /// [`LedgerError::BatchTooLarge`] for evidence beyond 256 MiB. A refused operation is no
    /// error but an [`Outcome`].
    pub async fn submit(&self, write: Write) -> Result<Outcome, LedgerError> {
        let outcomes = self.submit_all(vec![write]).await?;
        Ok(outcomes.into_iter().next().expect("one outcome for one write"))
    }

    /// Writes from a thread that may wait, within an async runtime or without.
    ///
    /// # Errors
    /// As [`submit`](Ledger::submit).
    pub fn submit_blocking(&self, write: Write) -> Result<Outcome, LedgerError> {
        // Unconstrained: this thread has no scheduler to yield to.
        wait(tokio::task::unconstrained(self.submit(write)))
    }

    /// Writes a batch of up to [`MAX_BATCH`], in order and with one fsync. Each write succeeds or
    /// is refused by itself; outcomes come in the same order.
    ///
    /// # Errors
    /// As [`submit`](Ledger::submit), for the whole batch.
    pub async fn submit_all(&self, writes: Vec<Write>) -> Result<Vec<Outcome>, LedgerError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let room: usize = writes.iter().map(Write::room).sum();
        if room > MAX_BATCH {
            return Err(LedgerError::BatchTooLarge {
                writes: writes.len(),
                bytes: writes.iter().map(Write::bytes).sum(),
            });
        }
        let units = u32::try_from(room).expect("at most MAX_BATCH");
        let room = Arc::clone(&self.shared.room).acquire_many_owned(units).await;
        let room = room.map_err(|_| LedgerError::Closed)?;
        let (reply, answer) = oneshot::channel();
        {
            let jobs = self.shared.jobs.lock().expect("the queue is sound");
            let jobs = jobs.as_ref().ok_or(LedgerError::Closed)?;
            jobs.send(Job { writes, reply, room }).map_err(|_| LedgerError::Closed)?;
        }
        answer.await.map_err(|_| LedgerError::Closed)?
    }

    /// [`submit_all`](Ledger::submit_all) from a thread that may wait.
    ///
    /// # Errors
    /// As [`submit_all`](Ledger::submit_all).
    pub fn submit_all_blocking(&self, writes: Vec<Write>) -> Result<Vec<Outcome>, LedgerError> {
        wait(tokio::task::unconstrained(self.submit_all(writes)))
    }

    /// Looks into the books. They hold still meanwhile, so do not stay long, and do not submit
    /// from within. Only what is durable is seen.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.shared.state.read().expect("the books are sound"))
    }

    /// The evidence of an act, in the order it was stored. Reads the disk.
    ///
    /// # Errors
    /// [`LedgerError::Io`].
    pub fn evidence(&self, reference: Reference) -> Result<Vec<StoredEvidence>, LedgerError> {
        let rows = self.shared.shelf.read().expect("the shelf is sound").rows_of(reference);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let reader = self.shared.reader.lock().expect("the store is sound");
        journal::evidence_in(&reader, reference, &rows)
    }

    /// The document of an act for one stage, if there is one. Reads the disk for it alone, however
    /// large the act's other documents are.
    ///
    /// # Errors
    /// [`LedgerError::Io`].
    pub fn document(
        &self,
        reference: Reference,
        stage: &str,
    ) -> Result<Option<StoredEvidence>, LedgerError> {
        let row = self.shared.shelf.read().expect("the shelf is sound").row_of(reference, stage);
        let Some(row) = row else { return Ok(None) };
        let reader = self.shared.reader.lock().expect("the store is sound");
        Ok(journal::evidence_in(&reader, reference, &[row])?.pop())
    }

    /// Hears of each commit from now on. A listener that falls more than a thousand behind misses
    /// some, is told so, and should read the books again.
    pub fn subscribe(&self) -> broadcast::Receiver<Committed> {
        self.shared.committed.subscribe()
    }

    /// Replays the journal from disk and compares with the books in memory (invariant 5). Takes
    /// as long as opening, and memory for second books; meanwhile reading evidence waits.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`], [`LedgerError::Diverged`], [`LedgerError::Io`].
    pub fn verify(&self) -> Result<Verified, LedgerError> {
        let (head, digest) = {
            let state = self.shared.state.read().expect("the books are sound");
            (*self.shared.head.lock().expect("the head is sound"), state.digest())
        };
        let (mut replayed, mut found) = (State::new(), Head::default());
        let reader = self.shared.reader.lock().expect("the store is sound");
        journal::replay(&reader, &mut replayed, &mut found, head.row)?;
        if found != head || replayed.digest() != digest {
            return Err(LedgerError::Diverged);
        }
        Ok(Verified { rows: head.row, chain: head.chain, digest })
    }

    /// Finishes what waits, closes the file and lets others open it. Later submissions, through
    /// any clone, fail with [`LedgerError::Closed`].
    ///
    /// # Errors
    /// [`LedgerError::Closed`] if the writer had died.
    pub async fn close(self) -> Result<(), LedgerError> {
        let shared = Arc::clone(&self.shared);
        let closing = tokio::task::spawn_blocking(move || shared.stop());
        closing.await.map_err(|_| LedgerError::Closed)?
    }
}

impl Shared {
    fn stop(&self) -> Result<(), LedgerError> {
        let sender = self.jobs.lock().expect("the queue is sound").take();
        drop(sender);
        let thread = self.writer.lock().expect("the writer's handle is sound").take();
        match thread.map(JoinHandle::join) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(LedgerError::Closed),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.stop().is_err() {
            tracing::error!("the ledger's writer had died");
        }
    }
}

/// Keeps others out of the books at `path` for as long as the file returned is open.
fn lock(path: &Path) -> Result<File, LedgerError> {
    let failed = |error: std::io::Error| LedgerError::Open {
        path: path.to_owned(),
        cause: error.to_string(),
    };
    // A file of its own: closing a second handle to the database would drop SQLite's own locks.
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let file = File::options().create(true).append(true).open(name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Runs a future on this thread, which sleeps while it waits.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
