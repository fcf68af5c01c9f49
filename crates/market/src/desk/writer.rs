//! The one writer: takes what waits, makes it durable, then lets it be seen.
//!
//! A group is everything that waits when the writer comes round, up to [`MAX_BATCH`] operations,
//! and costs one fsync. Its way:
//!
//! 1. *decide*: apply the operations to the writer's own market, which is ahead of the disk;
//! 2. *store*: add the rows of what was applied, and commit;
//! 3. *show*: apply the same to the market that everybody reads, and answer.
//!
//! Readers are kept out only while step 3 runs. If step 2 fails, the writer's market is thrown away
//! and made anew from the one that everybody reads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use money::{Clock, Party, Timestamp};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, broadcast, oneshot};

use super::error::DeskError;
use super::journal::{self, Head};
use super::{
    Change, Document, KEPT_BY_WORKER, KEPT_FOR_A_CENT, KEPT_FOR_WORK, MAX_BATCH, MAX_DOCUMENT,
    MAX_KEPT, MAX_KEPT_IN_ALL, Moved, deliverable,
};
use crate::id::{Digest, JobId};
use crate::operation::{Operation, Outcome, Refusal};
use crate::state::State;

/// How long the writer sleeps at most while a stage waits for its end, and after a failure.
const NAP: Duration = Duration::from_secs(1);

/// What the writer is asked.
pub(super) enum Task {
    Apply {
        operations: Vec<Operation>,
        reply: oneshot::Sender<Result<Vec<Outcome>, DeskError>>,
        room: OwnedSemaphorePermit,
    },
    Keep {
        digest: Digest,
        document: Document,
        reply: oneshot::Sender<Result<(), DeskError>>,
        room: OwnedSemaphorePermit,
    },
    Booked {
        row: u64,
        reply: oneshot::Sender<Result<(), DeskError>>,
        room: OwnedSemaphorePermit,
    },
}

impl Task {
    fn size(&self) -> usize {
        match self {
            Task::Apply { operations, .. } => operations.len(),
            Task::Keep { .. } | Task::Booked { .. } => 1,
        }
    }
}

pub(super) struct Writer {
    pub(super) tasks: Receiver<Task>,
    pub(super) connection: Arc<Mutex<Connection>>,
    /// The market as it will be when what is decided is on disk.
    pub(super) ahead: State,
    /// The market as the disk has it.
    pub(super) state: Arc<RwLock<State>>,
    pub(super) head: Arc<Mutex<Head>>,
    /// Where what has moved is kept for books elsewhere.
    pub(super) unbooked: Option<Arc<Mutex<VecDeque<Moved>>>>,
    /// How many bytes of documents each party has here.
    pub(super) kept: BTreeMap<Party, u64>,
    /// How many bytes all documents have.
    pub(super) stored: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) changes: broadcast::Sender<Arc<Change>>,
    /// After a failure it is not known what the file holds; it is read before it is written.
    pub(super) in_doubt: bool,
}

impl Writer {
    /// Works until the last sender is gone and the queue is empty.
    pub(super) fn run(mut self) {
        let mut failed = false;
        loop {
            let first = match self.tasks.recv_timeout(self.patience(failed)) {
                Ok(task) => Some(task),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let tasks = self.admit(self.gather(first));
            let result = self.commit(&tasks);
            failed = result.is_err();
            if let Err(error) = &result {
                tracing::error!(%error, tasks = tasks.len(), "a group was not stored");
            }
            self.answer(tasks, result);
        }
    }

    fn answer(&self, tasks: Vec<Task>, result: Result<Vec<Outcome>, DeskError>) {
        let mut outcomes = result.map(Vec::into_iter);
        let plain = outcomes.as_ref().err().cloned().map_or(Ok(()), Err);
        for task in tasks {
            // Who asked may have gone; what was written stays written.
            match task {
                Task::Apply { operations, reply, room } => {
                    let answer = match &mut outcomes {
                        Ok(outcomes) => Ok(outcomes.by_ref().take(operations.len()).collect()),
                        Err(error) => Err(error.clone()),
                    };
                    drop(room);
                    let _ = reply.send(answer);
                }
                Task::Keep { reply, room, .. } => {
                    drop(room);
                    let _ = reply.send(plain.clone());
                }
                Task::Booked { row, reply, room } => {
                    if let (Some(unbooked), Ok(())) = (&self.unbooked, &plain) {
                        let mut unbooked = unbooked.lock().expect("nothing panics under this lock");
                        while unbooked.front().is_some_and(|moved| moved.row <= row) {
                            unbooked.pop_front();
                        }
                    }
                    drop(room);
                    let _ = reply.send(plain.clone());
                }
            }
        }
    }

    /// How long to wait for work before looking whether a stage has ended by itself.
    fn patience(&self, failed: bool) -> Duration {
        match self.ahead.next_deadline() {
            None => Duration::MAX,
            Some(_) if failed => NAP,
            Some(deadline) => deadline.since(self.clock.now()).clamp(Duration::from_millis(1), NAP),
        }
    }

    /// All that waits, up to a full group.
    fn gather(&self, first: Option<Task>) -> Vec<Task> {
        let mut size = first.as_ref().map_or(0, Task::size);
        let mut tasks: Vec<Task> = first.into_iter().collect();
        while size > 0 && size < MAX_BATCH {
            let Ok(task) = self.tasks.try_recv() else { break };
            size += task.size();
            tasks.push(task);
        }
        tasks
    }

    /// Refuses documents for which there is no room; in one group a few too many may pass.
    fn admit(&self, tasks: Vec<Task>) -> Vec<Task> {
        let mut admitted = Vec::with_capacity(tasks.len());
        for task in tasks {
            match task {
                Task::Keep { digest, document, reply, .. } if !self.has_room(digest, &document) => {
                    let _ = reply.send(Err(DeskError::DocumentsFull { party: document.author }));
                }
                task => admitted.push(task),
            }
        }
        admitted
    }

    fn has_room(&self, digest: Digest, document: &Document) -> bool {
        let bytes = document.body.len() as u64;
        let own = self.kept.get(&document.author).copied().unwrap_or_default();
        let fits =
            |allowed: u64, in_all: u64| own + bytes <= allowed && self.stored + bytes <= in_all;
        // Looked for in this order: what most have, what is here already and takes no more room, and
        // last what asks for all jobs under way.
        let is_here = || {
            let connection = self.connection.lock().expect("the store is sound");
            journal::holds(&connection, digest, document.author).unwrap_or(false)
        };
        let bought = self.room_bought(document.author);
        fits(bought, MAX_KEPT_IN_ALL - KEPT_FOR_WORK)
            || is_here()
            || (fits(bought.max(KEPT_BY_WORKER), MAX_KEPT_IN_ALL)
                && self.ahead.works(document.author))
    }

    /// How many bytes of documents a party may have here by its money.
    fn room_bought(&self, party: Party) -> u64 {
        let committed = self.ahead.committed(party);
        let Some(minor) = u128::try_from(committed.minor()).ok().filter(|minor| *minor > 0) else {
            return 0;
        };
        let cent = 10u128.pow(u32::from(committed.asset().scale().saturating_sub(2)));
        let bytes = minor.saturating_mul(u128::from(KEPT_FOR_A_CENT)) / cent;
        u64::try_from(bytes).unwrap_or(u64::MAX).clamp(MAX_DOCUMENT as u64, MAX_KEPT)
    }

    /// Takes one group from decision to effect.
    fn commit(&mut self, tasks: &[Task]) -> Result<Vec<Outcome>, DeskError> {
        let result = self.try_commit(tasks);
        if result.is_err() {
            self.in_doubt = true;
        }
        result
    }

    fn try_commit(&mut self, tasks: &[Task]) -> Result<Vec<Outcome>, DeskError> {
        let connection = Arc::clone(&self.connection);
        let mut connection = connection.lock().expect("the store is sound");
        if self.in_doubt {
            self.catch_up(&connection)?;
            self.in_doubt = false;
        }
        let at = self.clock.now().max(self.ahead.now());
        let tick = self.ahead.next_deadline().is_some_and(|due| due <= at);
        let ticking = tick.then_some(&Operation::Tick);
        let asked = tasks.iter().flat_map(|task| match task {
            Task::Apply { operations, .. } => operations.as_slice(),
            Task::Keep { .. } | Task::Booked { .. } => &[],
        });
        let (mut outcomes, mut applied, mut effects) = (Vec::new(), Vec::new(), Vec::new());
        for operation in ticking.into_iter().chain(asked) {
            let outcome = match self.lacks(&connection, operation)? {
                Some(refusal) => Outcome::Refused(refusal),
                None => self.ahead.apply(at, operation, &mut effects),
            };
            effects.clear();
            if outcome == Outcome::Applied {
                applied.push(operation);
            }
            outcomes.push(outcome);
        }
        // The tick was nobody's.
        let outcomes = outcomes.split_off(usize::from(tick));
        // A tick that somebody asks for and that ends nothing is no news.
        applied.retain(|operation| **operation != Operation::Tick);
        let rows: Vec<&Operation> = ticking.into_iter().chain(applied).collect();
        if rows.is_empty() && tasks.iter().all(|task| matches!(task, Task::Apply { .. })) {
            return Ok(outcomes);
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = *self.head.lock().expect("the head is sound");
        let (head, sizes) = journal::append(&transaction, before, at, rows.iter().copied())?;
        let mut new = Vec::new();
        for task in tasks {
            match task {
                Task::Apply { .. } => {}
                Task::Keep { digest, document, .. } => {
                    let is_new = journal::keep(&transaction, at, *digest, document)?;
                    new.push((document.author, document.body.len() as u64, is_new));
                }
                Task::Booked { row, .. } => journal::note_booked(&transaction, *row)?,
            }
        }
        transaction.commit()?;
        for (author, bytes, (is_new, is_new_to_author)) in new {
            if is_new {
                self.stored += bytes;
            }
            if is_new_to_author {
                *self.kept.entry(author).or_default() += bytes;
            }
        }
        self.show(at, before.row, &rows, &sizes, head);
        Ok(outcomes)
    }

    /// The refusal of a delivery whose bytes its worker has not handed in. Here and not at a door, so that
    /// no way in gets around it; the journal has only what passed, so it is replayed without asking again.
    fn lacks(
        &self,
        connection: &Connection,
        operation: &Operation,
    ) -> Result<Option<Refusal>, DeskError> {
        match deliverable(&self.ahead, operation) {
            Some((document, by)) if !journal::holds(connection, document, by)? => {
                Ok(Some(Refusal::NotHandedIn { by, document }))
            }
            _ => Ok(None),
        }
    }

    /// Applies what turned out to be in the file after all, and goes on from there.
    fn catch_up(&mut self, connection: &Connection) -> Result<(), DeskError> {
        let mut state = self.state.write().expect("the market is sound");
        let mut head = self.head.lock().expect("the head is sound");
        let unbooked = self.unbooked.clone();
        let keep = |moved: Moved| {
            if let Some(unbooked) = &unbooked {
                unbooked.lock().expect("nothing panics under this lock").push_back(moved);
            }
        };
        journal::replay(connection, &mut state, &mut head, journal::EVERYTHING, keep)?;
        self.ahead = state.clone();
        Ok(())
    }

    /// Lets everybody see what is on disk now.
    fn show(
        &self,
        at: Timestamp,
        before: u64,
        operations: &[&Operation],
        sizes: &[usize],
        head: Head,
    ) {
        if operations.is_empty() {
            return;
        }
        let (mut jobs, mut all_effects) = (BTreeSet::new(), Vec::new());
        let mut kept = Vec::new();
        {
            let mut state = self.state.write().expect("the market is sound");
            let mut rest = operations;
            for (row, size) in (before + 1..).zip(sizes) {
                let (group, later) = rest.split_at(*size);
                rest = later;
                let mut moved = Moved { row, at, ..Moved::default() };
                for operation in group {
                    let outcome = state.apply(at, operation, &mut moved.effects);
                    assert_eq!(outcome, Outcome::Applied, "what was decided is what happens");
                    jobs.extend(job_of(operation));
                    jobs.extend(state.changed().map(|job| job.terms.id));
                    moved.note(&state, operation);
                }
                all_effects.extend_from_slice(&moved.effects);
                if !moved.is_empty() {
                    kept.push(moved);
                }
            }
            *self.head.lock().expect("the head is sound") = head;
        }
        if let Some(unbooked) = &self.unbooked {
            unbooked.lock().expect("nothing panics under this lock").extend(kept);
        }
        if self.changes.receiver_count() > 0 {
            let operations = operations.iter().map(|operation| (*operation).clone()).collect();
            let jobs = jobs.into_iter().collect();
            let change = Change { at, operations, jobs, effects: all_effects };
            // Nobody may be listening any more.
            let _ = self.changes.send(Arc::new(change));
        }
    }
}

/// The job that an operation is about.
fn job_of(operation: &Operation) -> Option<JobId> {
    match operation {
        Operation::Open(terms) => Some(terms.id),
        Operation::Fund { job }
        | Operation::Cancel { job, .. }
        | Operation::Bid { job, .. }
        | Operation::Commit { job, .. }
        | Operation::Reveal { job, .. }
        | Operation::Unbid { job, .. }
        | Operation::Accept { job, .. }
        | Operation::Clear { job, .. }
        | Operation::Submit { job, .. }
        | Operation::Abandon { job, .. }
        | Operation::Draw { job, .. }
        | Operation::CommitReport { job, .. }
        | Operation::RevealReport { job, .. }
        | Operation::Examine { job, .. }
        | Operation::Challenge { job, .. }
        | Operation::Appeal { job, .. } => Some(*job),
        Operation::Tick
        | Operation::Deposit { .. }
        | Operation::Withdraw { .. }
        | Operation::Publish(_)
        | Operation::Retire { .. }
        | Operation::Enlist { .. }
        | Operation::Qualify { .. }
        | Operation::Leave { .. } => None,
    }
}
