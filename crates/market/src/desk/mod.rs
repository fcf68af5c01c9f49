//! The market as a service: a [`State`] in memory, made durable in one SQLite file, with the
//! documents that its digests stand for.
//!
//! *Purpose.* Many tasks submit; one thread writes. A submission is answered when the group it went
//! with is on disk; what was answered survives `kill -9` and power loss (invariant 6), and the same
//! file gives the same [`State::digest`] (invariant 5).
//!
//! *Cost.* One fsync a group, however many operations are in it. The market is in memory twice: the
//! writer decides on a copy of its own that may be ahead of the disk, and everybody else reads the
//! one that is not, so nobody sees what a crash could take back, and nothing is ever undone.
//!
//! *Time.* The writer reads the clock once a group, and hands in a tick when a stage is due to end
//! by itself ([`State::next_deadline`]): no job waits for somebody to come by.
//!
//! *Order.* Submissions take effect in the order in which they enter the queue; the operations of
//! one batch stay together. All of a group carry the same moment.
//!
//! *Bounds.* [`MAX_BATCH`] operations and 256 MiB of documents wait at most; submitters wait for
//! room. A document has at most [`MAX_DOCUMENT`] bytes, a party's documents together [`KEPT_FOR_A_CENT`]
//! for each hundredth that it has or has spent here, and [`MAX_KEPT`] at most; all together have
//! [`MAX_KEPT_IN_ALL`], of which [`KEPT_FOR_WORK`] is for the deliverables of jobs under way.
//!
//! *Who may.* The desk believes that an operation comes from the party that it names: whoever calls
//! has made sure. Who may read a brief or a deliverable it decides itself ([`Desk::brief`],
//! [`Desk::answer`]). Digests are public, so to name one gives no right to its bytes: a client has work
//! done only on what it has handed in ([`Desk::may_use`]), and a worker delivers only that: what it delivers in the
//! open, or opens, is refused until it has handed in the bytes ([`Refusal::NotHandedIn`]).
//!
//! [`Refusal::NotHandedIn`]: crate::Refusal::NotHandedIn

mod error;
mod journal;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, RwLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};

use money::{Amount, Clock, Party, Timestamp};
use rusqlite::Connection;
use tokio::sync::{Semaphore, broadcast, oneshot};

pub use error::DeskError;

use crate::id::{Digest, JobId, MoveId, Skill};
use crate::job::Job;
use crate::operation::{Effect, Operation, Outcome, Stage};
use crate::rules::Rules;
use crate::state::{Holding, State};
use crate::terms::{Check, Delivery, Offer};
use journal::Head;
use writer::{Task, Writer};

/// The most operations that are taken in one batch, that wait, and that share one fsync.
pub const MAX_BATCH: usize = 8192;
/// The most bytes of a document: 8 MiB.
pub const MAX_DOCUMENT: usize = 8 << 20;
/// The most bytes of documents that one party may have here: 512 MiB.
pub const MAX_KEPT: u64 = 512 << 20;
/// The bytes of documents that a party may have here for each hundredth of the market's unit, as a cent of
/// a dollar, that it has here or has spent here: 64 MiB; who has less than that may have one document.
pub const KEPT_FOR_A_CENT: u64 = 64 << 20;
/// The bytes that are left to those who work in a job under way: 1 GiB. Else who fills the rest would stop
/// work that is paid for.
pub const KEPT_FOR_WORK: u64 = 1 << 30;
/// The bytes of documents that somebody who works in a job under way may have here, whatever its money:
/// 64 MiB.
pub const KEPT_BY_WORKER: u64 = 64 << 20;
/// The most bytes of all documents: 8 GiB.
pub const MAX_KEPT_IN_ALL: u64 = 8 << 30;
/// The most entries of one page of a list.
pub const MAX_PAGE: usize = 200;
/// Room in the queue is counted in units of 32 KiB; each operation takes at least one.
const ROOM_UNIT: usize = 32 << 10;
/// How many changes a slow listener may fall behind before it misses some.
const CHANGES_KEPT: usize = 4096;

/// A brief, a deliverable, a report: what a [`Digest`] stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Who handed it in first.
    pub author: Party,
    /// What the body is, for instance `image/jpeg`.
    pub media_type: String,
    /// The document itself; its digest is [`Digest::of`] these bytes.
    pub body: Vec<u8>,
}

/// What a market is opened with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The rules of a new market. One that exists keeps its own.
    pub rules: Rules,
    /// Whether what moves is kept for books elsewhere until [`Desk::note_booked`]; without
    /// somebody who books, it would only grow.
    pub books: bool,
}

/// Tells listeners what has changed.
#[derive(Debug, Clone)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// What was applied, ticks too.
    pub operations: Vec<Operation>,
    /// Jobs that an operation named or that have come to another stage, each once.
    pub jobs: Vec<JobId>,
    /// The money that moved.
    pub effects: Vec<Effect>,
}

/// A job that has ended, as books need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub job: JobId,
    /// How.
    pub stage: Stage,
    /// Who paid for it; for a job that another job hired, that job's worker.
    pub client: Party,
    /// Who worked, if somebody was hired.
    pub worker: Option<Party>,
    /// What the work costs if it passes, fee included.
    pub price: Amount,
    /// The market's part of that.
    pub fee: Amount,
    /// What the jobs that it hired took for good.
    pub spent: Amount,
}

/// What one row of the journal has moved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Moved {
    /// The row.
    pub row: u64,
    /// When.
    pub at: Timestamp,
    /// Money that moved, in order.
    pub effects: Vec<Effect>,
    /// Jobs that ended, in order.
    pub ended: Vec<Ended>,
    /// Money that its owners took back, in order: it is to be paid out.
    pub withdrawn: Vec<Withdrawn>,
}

impl Moved {
    fn is_empty(&self) -> bool {
        self.effects.is_empty() && self.ended.is_empty() && self.withdrawn.is_empty()
    }

    /// What an operation that was applied has ended and taken out.
    fn note(&mut self, state: &State, operation: &Operation) {
        self.ended.extend(ended(state));
        if let Operation::Withdraw { id, party, amount } = *operation {
            self.withdrawn.push(Withdrawn { id, party, amount });
        }
    }
}

/// Money that its owner took back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withdrawn {
    /// The withdrawal's name.
    pub id: MoveId,
    /// Whose it is.
    pub party: Party,
    /// How much.
    pub amount: Amount,
}

/// What [`Desk::verify`] found to be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many rows the journal has.
    pub rows: u64,
    /// The SHA-256 chain over all of them.
    pub chain: [u8; 32],
    /// The digest of the market, from the journal and in memory alike.
    pub digest: [u8; 32],
}

/// The market, shared by all who work with it. Cheap to clone; the last clone to go, or
/// [`close`](Desk::close), finishes what waits and closes the file.
#[derive(Clone)]
pub struct Desk {
    shared: Arc<Shared>,
}

struct Shared {
    tasks: Mutex<Option<mpsc::Sender<Task>>>,
    room: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
    state: Arc<RwLock<State>>,
    head: Arc<Mutex<Head>>,
    unbooked: Arc<Mutex<VecDeque<Moved>>>,
    /// A connection of its own for a file; in memory there is only the one.
    reader: Arc<Mutex<Connection>>,
    changes: broadcast::Sender<Arc<Change>>,
}

impl Desk {
    /// Opens the market in the file at `path`, makes one if there is none, and replays its journal.
    /// A file `PATH-lock` beside it keeps other processes out.
    ///
    /// # Errors
    /// [`DeskError`], each saying what is wrong with the file.
    pub fn open(path: &Path, settings: Settings, clock: Arc<dyn Clock>) -> Result<Desk, DeskError> {
        let lock = lock(path)?;
        let connection = journal::open(path)?;
        let reader = journal::open_reader(path)?;
        Desk::start(connection, Some(reader), settings, clock, Some(lock))
    }

    /// Opens a market that ends with the process. All else is as with a file.
    ///
    /// # Errors
    /// [`DeskError::Rules`].
    pub fn in_memory(settings: Settings, clock: Arc<dyn Clock>) -> Result<Desk, DeskError> {
        Desk::start(journal::open_in_memory(), None, settings, clock, None)
    }

    fn start(
        connection: Connection,
        reader: Option<Connection>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        lock: Option<File>,
    ) -> Result<Desk, DeskError> {
        let rules = journal::rules(&connection, settings.rules)?;
        let booked = journal::booked(&connection)?;
        let (mut state, mut head) = (State::new(rules).map_err(DeskError::Rules)?, Head::default());
        let mut unbooked = VecDeque::new();
        let keep = |moved: Moved| {
            if settings.books && moved.row > booked && !moved.is_empty() {
                unbooked.push_back(moved);
            }
        };
        journal::replay(&connection, &mut state, &mut head, journal::EVERYTHING, keep)?;
        let (kept, stored) = (journal::kept(&connection)?, journal::stored(&connection)?);
        let connection = Arc::new(Mutex::new(connection));
        let reader = reader.map_or_else(|| Arc::clone(&connection), |c| Arc::new(Mutex::new(c)));
        let (sender, tasks) = mpsc::channel();
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let ahead = state.clone();
        let (state, head) = (Arc::new(RwLock::new(state)), Arc::new(Mutex::new(head)));
        let unbooked = Arc::new(Mutex::new(unbooked));
        let writer = Writer {
            tasks,
            connection,
            ahead,
            state: Arc::clone(&state),
            head: Arc::clone(&head),
            unbooked: settings.books.then(|| Arc::clone(&unbooked)),
            kept,
            stored,
            clock,
            changes: changes.clone(),
            in_doubt: false,
        };
        let thread = std::thread::Builder::new()
            .name("market".to_owned())
            .spawn(move || {
                writer.run();
                // Only after the writer's connection is closed may another process come in.
                drop(lock);
            })
            .map_err(|error| DeskError::Io { cause: error.to_string() })?;
        Ok(Desk {
            shared: Arc::new(Shared {
                tasks: Mutex::new(Some(sender)),
                room: Arc::new(Semaphore::new(MAX_BATCH)),
                writer: Mutex::new(Some(thread)),
                state,
                head,
                unbooked,
                reader,
                changes,
            }),
        })
    }

    /// Submits, and waits until it is durable. If the future is dropped meanwhile, the operation
    /// may or may not happen; submitting it again tells.
    ///
    /// # Errors
    /// [`DeskError::Full`], [`DeskError::Io`], [`DeskError::Closed`]. A refused operation is no
    /// error but an [`Outcome`].
    pub async fn submit(&self, operation: Operation) -> Result<Outcome, DeskError> {
        let outcomes = self.submit_all(vec![operation]).await?;
        Ok(outcomes.into_iter().next().expect("one outcome for one operation"))
    }

    /// Submits a batch of up to [`MAX_BATCH`], in order and with one fsync. Each operation succeeds
    /// or is refused by itself; outcomes come in the same order.
    ///
    /// # Errors
    /// As [`submit`](Desk::submit), for the whole batch; [`DeskError::BatchTooLarge`].
    pub async fn submit_all(&self, operations: Vec<Operation>) -> Result<Vec<Outcome>, DeskError> {
        let count = operations.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        if count > MAX_BATCH {
            return Err(DeskError::BatchTooLarge { operations: count });
        }
        let (reply, answer) = oneshot::channel();
        self.hand_in(count, |room| Task::Apply { operations, reply, room }).await?;
        answer.await.map_err(|_| DeskError::Closed)?
    }

    /// [`submit_all`](Desk::submit_all) from a thread that may wait.
    ///
    /// # Errors
    /// As [`submit_all`](Desk::submit_all).
    pub fn submit_all_blocking(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<Outcome>, DeskError> {
        // Unconstrained: this thread has no scheduler to yield to.
        wait(tokio::task::unconstrained(self.submit_all(operations)))
    }

    /// Keeps a document until the end of the market, and tells its digest. The same bytes again
    /// change nothing but that this author has them too: the first author and media type stand.
    ///
    /// # Errors
    /// [`DeskError::DocumentTooLarge`], [`DeskError::MediaType`], [`DeskError::DocumentsFull`]; as
    /// [`submit`](Desk::submit).
    pub async fn keep(&self, document: Document) -> Result<Digest, DeskError> {
        if document.body.len() > MAX_DOCUMENT {
            return Err(DeskError::DocumentTooLarge { bytes: document.body.len() });
        }
        let name = &document.media_type;
        let is_printable = name.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        if name.is_empty() || name.len() > 128 || !is_printable {
            return Err(DeskError::MediaType);
        }
        let digest = Digest::of(&document.body);
        let room = document.body.len().div_ceil(ROOM_UNIT).max(1);
        let (reply, answer) = oneshot::channel();
        self.hand_in(room, |room| Task::Keep { digest, document, reply, room }).await?;
        answer.await.map_err(|_| DeskError::Closed)??;
        Ok(digest)
    }

    /// Notes that everything up to this row has been entered into books elsewhere: it is not told
    /// by [`unbooked`](Desk::unbooked) any longer, after a restart neither.
    ///
    /// # Errors
    /// As [`submit`](Desk::submit).
    pub async fn note_booked(&self, row: u64) -> Result<(), DeskError> {
        let (reply, answer) = oneshot::channel();
        self.hand_in(1, |room| Task::Booked { row, reply, room }).await?;
        answer.await.map_err(|_| DeskError::Closed)?
    }

    async fn hand_in(
        &self,
        units: usize,
        task: impl FnOnce(tokio::sync::OwnedSemaphorePermit) -> Task,
    ) -> Result<(), DeskError> {
        let units = u32::try_from(units).expect("at most MAX_BATCH");
        let room = Arc::clone(&self.shared.room).acquire_many_owned(units).await;
        let room = room.map_err(|_| DeskError::Closed)?;
        let tasks = self.shared.tasks.lock().expect("the queue is sound");
        let tasks = tasks.as_ref().ok_or(DeskError::Closed)?;
        tasks.send(task(room)).map_err(|_| DeskError::Closed)
    }

    /// Looks into the market. It holds still meanwhile, so do not stay long, and do not submit from
    /// within. Only what is durable is seen.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.shared.state.read().expect("the market is sound"))
    }

    /// The job, if it was opened.
    pub fn job(&self, job: JobId) -> Option<Job> {
        self.read(|state| state.job(job).cloned())
    }

    /// Jobs, newest first: after so many that are left out, at most [`MAX_PAGE`].
    pub fn jobs(&self, skip: usize, limit: usize) -> Vec<Job> {
        let limit = limit.min(MAX_PAGE);
        self.read(|state| state.jobs().rev().skip(skip).take(limit).cloned().collect())
    }

    /// The jobs that a job has hired, in the order in which they were opened.
    pub fn children(&self, job: JobId) -> Vec<Job> {
        self.read(|state| {
            let Some(parent) = state.job(job) else { return Vec::new() };
            let count = usize::try_from(parent.children).unwrap_or(usize::MAX);
            // Children are opened after their parent, and none after its end.
            let hired = state.jobs().rev().filter(|child| child.terms.parent == Some(job));
            let mut children: Vec<Job> = hired.take(count).cloned().collect();
            children.reverse();
            children
        })
    }

    /// Offers that stand, of one skill or of all, newest first: after so many that are left out, at
    /// most [`MAX_PAGE`].
    pub fn offers(&self, skill: Option<Skill>, skip: usize, limit: usize) -> Vec<Offer> {
        let limit = limit.min(MAX_PAGE);
        let suits = |offer: &&Offer| skill.is_none_or(|skill| offer.skill == skill);
        self.read(|state| {
            state.offers().rev().filter(suits).skip(skip).take(limit).cloned().collect()
        })
    }

    /// What the market keeps of a party's money.
    pub fn holding(&self, party: Party) -> Holding {
        self.read(|state| state.holding(party))
    }

    /// Hears of each change from now on. A listener that falls thousands behind misses some, is
    /// told so, and should read the market again.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        self.shared.changes.subscribe()
    }

    /// What has moved after this row of the journal and is not noted to be in books elsewhere, in
    /// order; at most so many rows.
    pub fn unbooked(&self, after: u64, limit: usize) -> Vec<Moved> {
        let unbooked = self.shared.unbooked.lock().expect("nothing panics under this lock");
        let first = unbooked.partition_point(|moved| moved.row <= after);
        unbooked.iter().skip(first).take(limit).cloned().collect()
    }

    /// A document by its digest, whoever asks: for those who run the market. Reads the disk.
    ///
    /// # Errors
    /// [`DeskError::Io`].
    pub fn document(&self, digest: Digest) -> Result<Option<Document>, DeskError> {
        let reader = self.shared.reader.lock().expect("the store is sound");
        journal::find(&reader, digest)
    }

    /// Whether a job may be about the document with this digest: its client has handed in the bytes, or
    /// it was hired by a job that may be about them and whose brief names them, digit for digit.
    ///
    /// # Errors
    /// [`DeskError::Io`].
    pub fn may_use(&self, job: JobId, digest: Digest) -> Result<bool, DeskError> {
        let above: Vec<(Party, Digest)> = self.read(|state| {
            let jobs = state.provenance(job).into_iter();
            jobs.map(|job| (job.terms.client, job.terms.brief)).collect()
        });
        let name = digest.to_string();
        let reader = self.shared.reader.lock().expect("the store is sound");
        for (place, (client, _)) in above.iter().enumerate() {
            if journal::holds(&reader, digest, *client)? {
                return Ok(true);
            }
            // A foreman may pass on what it was told of, and nothing else of its client's.
            let Some((_, order)) = above.get(place + 1) else { break };
            let Some(order) = journal::find(&reader, *order)? else { break };
            if !order.body.windows(name.len()).any(|text| text == name.as_bytes()) {
                break;
            }
        }
        Ok(false)
    }

    /// What is to be done in a job, whoever asks: for those who run the market. `None` also if its client
    /// [may not use](Desk::may_use) it.
    ///
    /// # Errors
    /// [`DeskError::Io`].
    pub fn asked(&self, job: JobId) -> Result<Option<Document>, DeskError> {
        match self.read(|state| state.job(job).map(|job| job.terms.brief)) {
            Some(brief) if self.may_use(job, brief)? => self.document(brief),
            _ => Ok(None),
        }
    }

    /// What was delivered in a job, whoever asks: for those who run the market. `None` also if its worker
    /// has not handed in the bytes.
    ///
    /// # Errors
    /// [`DeskError::Io`].
    pub fn delivered(&self, job: JobId) -> Result<Option<Document>, DeskError> {
        let told = self.read(|state| {
            let job = state.job(job)?;
            Some((job.answer()?.digest()?, job.worker?))
        });
        let Some((digest, worker)) = told else { return Ok(None) };
        let reader = self.shared.reader.lock().expect("the store is sound");
        match journal::holds(&reader, digest, worker)? {
            true => journal::find(&reader, digest),
            false => Ok(None),
        }
    }

    /// Whether this party has handed in the bytes with this digest: knowing the digest gives no right to them.
    ///
    /// # Errors
    /// [`DeskError::Io`].
    pub fn holds(&self, digest: Digest, party: Party) -> Result<bool, DeskError> {
        let reader = self.shared.reader.lock().expect("the store is sound");
        journal::holds(&reader, digest, party)
    }

    /// The documents that these operations deliver, and whose hands they must be in for that: so a door can
    /// say beforehand what would be refused ([`Refusal::NotHandedIn`]).
    ///
    /// [`Refusal::NotHandedIn`]: crate::Refusal::NotHandedIn
    pub fn deliverables(&self, operations: &[Operation]) -> Vec<(Digest, Party)> {
        self.read(|state| operations.iter().filter_map(|it| deliverable(state, it)).collect())
    }

    /// How many bytes a document has; `None` if nobody handed it in. Reads little of the disk.
    ///
    /// # Errors
    /// [`DeskError::Io`].
    pub fn document_len(&self, digest: Digest) -> Result<Option<u64>, DeskError> {
        let reader = self.shared.reader.lock().expect("the store is sound");
        journal::length(&reader, digest)
    }

    /// What is to be done in a job, if `reader` may know: its client; while bids come in, whoever
    /// offers such work; its bidders and its worker; and those who check it. `None` also if its client
    /// [may not use](Desk::may_use) the document.
    ///
    /// # Errors
    /// [`DeskError::Io`].
    pub fn brief(&self, job: JobId, reader: Party) -> Result<Option<Document>, DeskError> {
        let may = self.read(|state| {
            let Some(job) = state.job(job) else { return false };
            let offers_such = || {
                let mut offers = state.offers();
                offers.any(|offer| offer.worker == reader && offer.skill == job.terms.skill)
            };
            reader == job.terms.client
                || Some(reader) == job.worker
                || job.bids.iter().any(|bid| bid.worker == reader)
                || is_seated(job, reader)
                || (job.stage == Stage::Bidding && offers_such())
        });
        if may { self.asked(job) } else { Ok(None) }
    }

    /// What was delivered in a job, if `reader` may know: its worker; its client, once there is a
    /// verdict, while the work can be challenged, and while jurors judge it, who may ask the client;
    /// jurors, who look at it. Others who check never
    /// see it: they would find what they saw. `None` also if its worker did not hand the document in.
    ///
    /// # Errors
    /// [`DeskError::Io`].
    pub fn answer(&self, job: JobId, reader: Party) -> Result<Option<Document>, DeskError> {
        let may = self.read(|state| {
            let Some(job) = state.job(job) else { return false };
            let is_told = job.stage.is_final()
                || is_before_jurors(job)
                || matches!(job.stage, Stage::Appealable | Stage::Challengeable)
                || job.verdict.is_some();
            let sits_as_juror = job.panels.iter().any(|panel| {
                panel.is_jury && panel.seats.iter().any(|seat| seat.checker == reader)
            });
            Some(reader) == job.worker || (reader == job.terms.client && is_told) || sits_as_juror
        });
        if may { self.delivered(job) } else { Ok(None) }
    }

    /// Replays the journal from disk and compares with the market in memory (invariant 5). Takes as
    /// long as opening, and memory for another market.
    ///
    /// # Errors
    /// [`DeskError::Corrupt`], [`DeskError::Diverged`], [`DeskError::Io`].
    pub fn verify(&self) -> Result<Verified, DeskError> {
        let (head, digest, rules) = {
            let state = self.shared.state.read().expect("the market is sound");
            let head = *self.shared.head.lock().expect("the head is sound");
            (head, state.digest(), state.rules().clone())
        };
        let mut replayed = State::new(rules).map_err(DeskError::Rules)?;
        let mut found = Head::default();
        let reader = self.shared.reader.lock().expect("the store is sound");
        journal::replay(&reader, &mut replayed, &mut found, head.row, |_| {})?;
        if found != head || replayed.digest() != digest {
            return Err(DeskError::Diverged);
        }
        Ok(Verified { rows: head.row, chain: head.chain, digest })
    }

    /// Finishes what waits, closes the file and lets others open it. Later submissions, through any
    /// clone, fail with [`DeskError::Closed`].
    ///
    /// # Errors
    /// [`DeskError::Closed`] if the writer had died.
    pub async fn close(self) -> Result<(), DeskError> {
        let shared = Arc::clone(&self.shared);
        let closing = tokio::task::spawn_blocking(move || shared.stop());
        closing.await.map_err(|_| DeskError::Closed)?
    }
}

impl Shared {
    fn stop(&self) -> Result<(), DeskError> {
        let sender = self.tasks.lock().expect("the queue is sound").take();
        drop(sender);
        let thread = self.writer.lock().expect("the writer's handle is sound").take();
        match thread.map(JoinHandle::join) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(DeskError::Closed),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.stop().is_err() {
            tracing::error!("the market's writer had died");
        }
    }
}

/// The document that an operation of a job's worker delivers in the open, or opens, and that worker. Who pays
/// for an answer must get it, and a digest alone can be named by whoever has seen it at an earlier job. What is
/// sealed shows no digest yet: it is asked for when it is opened.
fn deliverable(state: &State, operation: &Operation) -> Option<(Digest, Party)> {
    let (job, by, report) = match operation {
        Operation::Submit { job, by, delivery: Delivery::Open(report) } => (job, by, report),
        Operation::RevealReport { job, by, report, .. } => (job, by, report),
        _ => return None,
    };
    // Checkers open digests of what they found, which nobody pays to read; what is no answer at all is
    // the market's to refuse.
    let is_workers = state.job(*job).is_some_and(|job| job.worker == Some(*by));
    if is_workers && report.is_bounded() { Some((report.digest()?, *by)) } else { None }
}

/// Whether jurors judge the work, or are drawn for it: nobody does it again, so nobody could copy it.
fn is_before_jurors(job: &Job) -> bool {
    let is_judged = matches!(job.stage, Stage::Drawing | Stage::Checking | Stage::Reporting);
    is_judged && matches!(job.terms.check, Check::Juror { .. })
}

fn is_seated(job: &Job, party: Party) -> bool {
    job.panels.iter().flat_map(|panel| &panel.seats).any(|seat| seat.checker == party)
}

/// The jobs that the last operation ended.
fn ended(state: &State) -> impl Iterator<Item = Ended> {
    let asset = state.rules().asset;
    let amount = move |minor| Amount::from_minor(asset, minor);
    state.ended().map(move |job| Ended {
        job: job.terms.id,
        stage: job.stage,
        client: job.terms.client,
        worker: job.worker,
        price: amount(job.price),
        fee: amount(state.rules().fee(job.price)),
        spent: amount(job.spent),
    })
}

/// Keeps others out of the market at `path` for as long as the file returned is open.
fn lock(path: &Path) -> Result<File, DeskError> {
    let failed =
        |error: std::io::Error| DeskError::Open { path: path.to_owned(), cause: error.to_string() };
    // A file of its own: closing a second handle to the database would drop SQLite's own locks.
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let file = File::options().create(true).append(true).open(name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DeskError::InUse { path: path.to_owned() }),
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
