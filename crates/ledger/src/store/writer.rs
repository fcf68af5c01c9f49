//! The one writer: takes what waits, makes it durable, then lets it be seen.
//!
//! A group is everything that waits when the writer comes round, up to [`MAX_BATCH`] writes, and
//! costs one fsync. Its way:
//!
//! 1. look up the evidence that is already stored;
//! 2. *decide*: perform the operations on the books in memory, note the outcomes, take all back;
//! 3. *store*: add the rows of what would be applied, and commit;
//! 4. *apply*: perform them again, for everyone to see, and answer.
//!
//! Readers are kept out only while steps 2 and 4 run, never during the fsync, and never see what
//! is not durable. If step 3 fails, there is nothing to repair in memory.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use money::{Clock, Timestamp};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, broadcast, oneshot};

use super::error::LedgerError;
use super::evidence::{Evidence, MAX_EVIDENCE_PIECES};
use super::journal::{self, Found, Head};
use super::shelf::Shelf;
use super::{Committed, MAX_BATCH, Write};
use crate::id::Reference;
use crate::operation::{Operation, Outcome, Reason, Refusal};
use crate::state::State;

/// How long the writer sleeps at most while a hold waits for its deadline, and after a failure.
const NAP: Duration = Duration::from_secs(1);

/// How long the writer waits at a time for the rest of a group that begins smaller than the last one
/// was: those who were just answered are on their way with their next writes. Without it small and
/// large groups alternate under load, and half of the fsyncs carry next to nothing.
const STRAGGLERS: Duration = Duration::from_micros(200);
/// How often it waits so for one group. Who writes alone never waits.
const STRAGGLES: u32 = 3;

/// How many bytes of SQLite's log are moved into the file at a time. Few, so that nobody waits long
/// for it; SQLite itself would move four times as many, within a commit.
pub(super) const LOG: usize = 1 << 20;

/// Some writes, and where their outcomes go.
pub(super) struct Job {
    pub(super) writes: Vec<Write>,
    pub(super) reply: oneshot::Sender<Result<Vec<Outcome>, LedgerError>>,
    /// The room they take up in the queue, given back when they are done.
    pub(super) room: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    pub(super) jobs: Receiver<Job>,
    pub(super) connection: Arc<Mutex<Connection>>,
    pub(super) state: Arc<RwLock<State>>,
    pub(super) head: Arc<Mutex<Head>>,
    pub(super) shelf: Arc<RwLock<Shelf>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) committed: broadcast::Sender<Committed>,
    /// After a failure it is not known what the file holds; it is read before it is written.
    pub(super) in_doubt: bool,
    /// About how many bytes were added to SQLite's log since it was last moved into the file.
    pub(super) log: usize,
}

/// A group of writes with what is to become of them.
struct Plan<'a> {
    at: Timestamp,
    tick: bool,
    outcomes: Vec<Outcome>,
    operations: Vec<&'a Operation>,
    evidence: Vec<&'a Evidence>,
}

impl Plan<'_> {
    /// About how many bytes it adds to SQLite's log: its rows, and the last page of each table.
    fn bytes(&self) -> usize {
        const ROW: usize = 400;
        const ENDS: usize = 4 * 4096;
        let documents: usize = self.evidence.iter().map(|piece| ROW + piece.body.len()).sum();
        ENDS + ROW * self.operations.len() + documents
    }
}

impl Writer {
    /// Works until the last sender is gone and the queue is empty.
    pub(super) fn run(mut self) {
        let mut failed = false;
        let mut last = 0;
        loop {
            let first = match self.jobs.recv_timeout(self.patience(failed)) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let jobs = self.gather(first, last);
            last = jobs.len();
            let writes: Vec<&Write> = jobs.iter().flat_map(|job| &job.writes).collect();
            let result = self.commit(&writes);
            failed = result.is_err();
            if let Err(error) = &result {
                tracing::error!(%error, writes = writes.len(), "a group was not stored");
            }
            let mut outcomes = result.map(Vec::into_iter);
            for Job { writes, reply, room } in jobs {
                let answer = match &mut outcomes {
                    Ok(outcomes) => Ok(outcomes.by_ref().take(writes.len()).collect()),
                    Err(error) => Err(error.clone()),
                };
                drop(room);
                // Who asked may have gone; what was written stays written.
                let _ = reply.send(answer);
            }
            self.move_log();
        }
    }

    /// Moves SQLite's log into the file, if there is enough of it: after those who waited were
    /// answered, and not within a commit, where SQLite would do it.
    pub(super) fn move_log(&mut self) {
        if self.log < LOG {
            return;
        }
        self.log = 0;
        let connection = self.connection.lock().expect("the store is sound");
        // What somebody is reading stays in the log until the next time.
        let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = moved {
            tracing::warn!(%error, "the books' log could not be moved into their file; it grows");
        }
    }

    /// How long to wait for work before looking whether holds are due.
    fn patience(&self, failed: bool) -> Duration {
        let next = self.state.read().expect("the books are sound").next_deadline();
        match next {
            None => Duration::MAX,
            Some(_) if failed => NAP,
            Some(deadline) => deadline.since(self.clock.now()).clamp(Duration::from_millis(1), NAP),
        }
    }

    /// All that waits, up to a full group; the last one had so many jobs.
    fn gather(&self, first: Option<Job>, last: usize) -> Vec<Job> {
        let mut size = first.as_ref().map_or(0, |job| job.writes.len());
        let mut jobs: Vec<Job> = first.into_iter().collect();
        let mut waited = 0;
        while size > 0 && size < MAX_BATCH {
            match self.jobs.try_recv() {
                Ok(job) => {
                    size += job.writes.len();
                    jobs.push(job);
                }
                Err(_) if waited < STRAGGLES && jobs.len() < last => {
                    waited += 1;
                    std::thread::sleep(STRAGGLERS);
                }
                Err(_) => break,
            }
        }
        jobs
    }

    /// Takes one group from decision to effect.
    pub(super) fn commit(&mut self, writes: &[&Write]) -> Result<Vec<Outcome>, LedgerError> {
        let result = self.try_commit(writes);
        self.in_doubt = result.is_err();
        result
    }

    fn try_commit(&mut self, writes: &[&Write]) -> Result<Vec<Outcome>, LedgerError> {
        let connection = Arc::clone(&self.connection);
        let mut connection = connection.lock().expect("the store is sound");
        if self.in_doubt {
            self.catch_up(&connection)?;
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (stored, documents) = {
            let shelf = self.shelf.read().expect("the shelf is sound");
            (stored_evidence(&transaction, &shelf, writes)?, shelf.len())
        };
        let plan = self.decide(writes, &stored);
        if plan.tick || !plan.operations.is_empty() || !plan.evidence.is_empty() {
            let before = *self.head.lock().expect("the head is sound");
            let operations = plan.operations.iter().copied();
            let head = journal::append(&transaction, before, plan.at, plan.tick, operations)?;
            for (row, evidence) in (documents + 1..).zip(&plan.evidence) {
                journal::add_evidence(&transaction, row, plan.at, evidence)?;
            }
            transaction.commit()?;
            self.log += plan.bytes();
            self.apply(&plan, head);
        }
        Ok(plan.outcomes)
    }

    /// Applies what turned out to be in the file after all.
    fn catch_up(&self, connection: &Connection) -> Result<(), LedgerError> {
        let mut state = self.state.write().expect("the books are sound");
        let mut head = self.head.lock().expect("the head is sound");
        journal::replay(connection, &mut state, &mut head, journal::EVERYTHING)?;
        journal::fill(connection, &mut self.shelf.write().expect("the shelf is sound"))
    }

    fn decide<'a>(&self, writes: &[&'a Write], stored: &[Vec<Found>]) -> Plan<'a> {
        let mut state = self.state.write().expect("the books are sound");
        let at = self.clock.now().max(state.now());
        let mut trial = state.trial();
        let mut plan = Plan {
            at,
            tick: trial.advance(at) > 0,
            outcomes: Vec::with_capacity(writes.len()),
            operations: Vec::with_capacity(writes.len()),
            evidence: Vec::new(),
        };
        let mut in_group: HashMap<(Reference, &str), &Evidence> = HashMap::new();
        for (write, stored) in writes.iter().zip(stored) {
            let compare = |(piece, stored): (&Evidence, &Found)| match in_group
                .get(&(piece.reference, &*piece.stage))
            {
                Some(other) if **other == *piece => Found::Same,
                Some(_) => Found::Different,
                None => *stored,
            };
            let found: Vec<Found> = write.evidence.iter().zip(stored).map(compare).collect();
            let allow = |outcome: &Outcome| check_evidence(&write.evidence, &found, outcome);
            let outcome = match &write.operation {
                Some(operation) => trial.perform(operation, allow),
                None => match allow(&Outcome::Applied) {
                    Err(reason) => Outcome::Refused(Refusal { index: 0, reason }),
                    Ok(()) if found.iter().all(|found| *found == Found::Same) => Outcome::Exists,
                    Ok(()) => Outcome::Applied,
                },
            };
            if outcome.holds() {
                for (piece, found) in write.evidence.iter().zip(&found) {
                    if *found == Found::Nothing {
                        in_group.insert((piece.reference, &piece.stage), piece);
                        plan.evidence.push(piece);
                    }
                }
            }
            if outcome == Outcome::Applied {
                plan.operations.extend(&write.operation);
            }
            plan.outcomes.push(outcome);
        }
        plan
    }

    fn apply(&self, plan: &Plan<'_>, head: Head) {
        let mut state = self.state.write().expect("the books are sound");
        let first = state.entries().len() as u64;
        // The books are a function of the journal, their time too: without a row it stands still.
        if plan.tick || !plan.operations.is_empty() {
            state.advance(plan.at);
        }
        for operation in &plan.operations {
            let outcome = state.perform(operation);
            assert_eq!(outcome, Outcome::Applied, "what was decided is what happens");
        }
        let mut references = state.finish();
        *self.head.lock().expect("the head is sound") = head;
        if !plan.evidence.is_empty() {
            let mut shelf = self.shelf.write().expect("the shelf is sound");
            plan.evidence.iter().for_each(|piece| shelf.add(piece.reference, &piece.stage));
        }
        let entries = first..state.entries().len() as u64;
        drop(state);
        references.extend(plan.evidence.iter().map(|evidence| evidence.reference));
        references.sort_unstable();
        references.dedup();
        // Nobody may be listening.
        let _ = self.committed.send(Committed { entries, references: references.into() });
    }
}

/// What the file has for each write's evidence, in the same order.
fn stored_evidence(
    connection: &Connection,
    shelf: &Shelf,
    writes: &[&Write],
) -> Result<Vec<Vec<Found>>, LedgerError> {
    let find = |piece: &Evidence| journal::find_evidence(connection, shelf, piece);
    let of_write = |write: &&Write| write.evidence.iter().map(&find).collect();
    writes.iter().map(of_write).collect()
}

/// Whether a write may go on, given what its operation came to and what there is for each piece
/// of its evidence.
///
/// With an operation that happened before, what was stored then stands, and other evidence for
/// the same stage is left out: a repeated request gets the stored answer. In all other cases other
/// evidence refuses the write.
fn check_evidence(pieces: &[Evidence], found: &[Found], outcome: &Outcome) -> Result<(), Reason> {
    if !outcome.holds() {
        return Ok(());
    }
    if pieces.len() > MAX_EVIDENCE_PIECES {
        let problem = "a write takes at most 64 pieces; split it";
        return Err(Reason::EvidenceInvalid { stage: String::new(), problem });
    }
    pieces.iter().try_for_each(Evidence::check)?;
    for (index, (piece, found)) in pieces.iter().zip(found).enumerate() {
        let place = (piece.reference, &piece.stage);
        if pieces[..index].iter().any(|other| (other.reference, &other.stage) == place) {
            let problem = "the same write has two of this stage; keep one";
            return Err(Reason::EvidenceInvalid { stage: piece.stage.clone(), problem });
        }
        if *outcome == Outcome::Applied && *found == Found::Different {
            let (reference, stage) = (piece.reference, piece.stage.clone());
            return Err(Reason::EvidenceDiffers { reference, stage });
        }
    }
    Ok(())
}
