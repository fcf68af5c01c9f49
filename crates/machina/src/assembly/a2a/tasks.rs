//! The tasks of an agent: what was asked for, how far it is, and who listens.
//!
//! They live in memory: what must not be lost is money and paid answers, and those are the gate's. A
//! client that finds its task gone sends the same message with the same payment, and gets the stored
//! answer. Who knows a task's number may read it; numbers cannot be guessed, and lists are of one
//! context, whose number cannot be guessed either unless a client chose it so.
//!
//! Bounds: [`MOST_TASKS`] and [`MOST_BYTES`], what is worked on besides; what was not paid is kept for [`UNPAID_FOR`], what is
//! over for [`KEPT_FOR`]. Where there is no more room, the oldest makes place that is not worked on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use ::a2a::{
    A2AError, Artifact, Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent,
    TaskState, TaskStatus, TaskStatusUpdateEvent,
};
use bytes::Bytes;
use chrono::DateTime;
use money::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::broadcast;

/// How many tasks are kept.
pub const MOST_TASKS: usize = 1_024;
/// How many bytes of work asked for and work done are kept.
pub const MOST_BYTES: usize = 128 << 20;
/// How long a task waits to be paid.
pub const UNPAID_FOR: Duration = Duration::from_secs(15 * 60);
/// How long a task that is over is kept.
pub const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// How many receipts a task keeps: of more payments that were no good the oldest are dropped.
const MOST_RECEIPTS: usize = 16;
/// The longest words of a client that a task remembers, in bytes.
const LONGEST_WORDS: usize = 4_096;
/// How many events a listener may fall behind; a task has four.
const EVENTS: usize = 16;

/// What tells a payment from any other: the SHA-256 of what a client sent.
pub type PaymentName = [u8; 32];

/// What is to be worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The path and query that the service reads.
    pub target: String,
    /// The body's media type.
    pub media_type: String,
    /// The body.
    pub body: Bytes,
}

impl Input {
    /// How many bytes it keeps: all that a client chose counts.
    fn size(&self) -> usize {
        self.target.len() + self.media_type.len() + self.body.len()
    }
}

/// All tasks of one agent.
#[derive(Default)]
pub struct Tasks {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By when they were made: the order in which they make place.
    tasks: BTreeMap<u64, Entry>,
    /// Where a task is, by its number.
    places: HashMap<String, u64>,
    next: u64,
    bytes: usize,
}

struct Entry {
    task: Task,
    input: Option<Input>,
    /// The payment that it is worked for, or was.
    payment: Option<PaymentName>,
    receipts: Vec<Value>,
    events: broadcast::Sender<StreamResponse>,
    changed: Timestamp,
    bytes: usize,
}

/// What a task says of itself from now on.
pub struct Said {
    /// How far it is.
    pub state: TaskState,
    /// For people.
    pub text: String,
    /// For programs.
    pub metadata: Map<String, Value>,
}

/// What is to be done about a payment that came for a task.
pub enum Taken {
    /// Work on this for it.
    Work(Input),
    /// It is worked on for this payment already, or was.
    Known,
}

impl Tasks {
    /// A new task, with the client's message as its history.
    pub fn begin(
        &self,
        id: String,
        context: String,
        message: Message,
        input: Input,
        now: Timestamp,
    ) -> Task {
        // What was sent is in the task's own keeping; of the message its words are remembered.
        let words = message.parts.iter().filter_map(Part::as_text);
        let first = words.filter(|text| text.len() <= LONGEST_WORDS).map(str::to_string).next();
        let about = || format!("{} of {} bytes", input.media_type, input.body.len());
        let mut kept = Message::new(Role::User, vec![Part::text(first.unwrap_or_else(about))]);
        kept.message_id = message.message_id;
        kept.task_id = Some(id.clone());
        kept.context_id = Some(context.clone());
        let task = Task {
            id: id.clone(),
            context_id: context,
            status: TaskStatus { state: TaskState::Submitted, message: None, timestamp: at(now) },
            artifacts: None,
            history: Some(vec![kept]),
            metadata: None,
        };
        let bytes = input.size();
        let mut kept = self.kept.lock().expect("nothing panics under this lock");
        kept.make_place(bytes, now);
        let place = kept.next;
        kept.next += 1;
        kept.bytes += bytes;
        kept.places.insert(id, place);
        let entry = Entry {
            task: task.clone(),
            bytes,
            input: Some(input),
            payment: None,
            receipts: Vec::new(),
            events: broadcast::channel(EVENTS).0,
            changed: now,
        };
        kept.tasks.insert(place, entry);
        task
    }

    /// A task as it is.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn get(&self, id: &str) -> Result<Task, A2AError> {
        self.with(id, |entry| entry.task.clone())
    }

    /// A task as it is, and all that it says from now on.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn listen(
        &self,
        id: &str,
    ) -> Result<(Task, broadcast::Receiver<StreamResponse>), A2AError> {
        self.with(id, |entry| (entry.task.clone(), entry.events.subscribe()))
    }

    /// What the task is to be worked on; none once it is over.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn input(&self, id: &str) -> Result<Option<Input>, A2AError> {
        self.with(id, |entry| entry.input.clone())
    }

    /// A payment came for a task: from now on it is worked on, once. The same payment for a task that
    /// is worked on or over is [`Taken::Known`].
    ///
    /// # Errors
    /// There is none of this number; it is over; another payment is being worked for.
    pub fn take(&self, id: &str, payment: PaymentName, now: Timestamp) -> Result<Taken, A2AError> {
        self.with(id, |entry| {
            let same = entry.payment == Some(payment);
            match entry.task.status.state {
                TaskState::Submitted | TaskState::InputRequired => {}
                _ if same => return Ok(Taken::Known),
                TaskState::Working => {
                    return Err(A2AError::unsupported_operation(
                        "the task is being worked on for another payment; wait for its end",
                    ));
                }
                _ => return Err(over(id)),
            }
            let input = entry.input.clone().ok_or_else(|| over(id))?;
            entry.payment = Some(payment);
            let text = "The payment is here; it is checked, and then the work begins.";
            let metadata = payments::a2a::submitted();
            entry.say(Said { state: TaskState::Working, text: text.into(), metadata }, now);
            Ok(Taken::Work(input))
        })?
    }

    /// Other work is asked for under the same number, while nothing is paid.
    ///
    /// # Errors
    /// There is none of this number; it is worked on or over; there is no room.
    pub fn replace(&self, id: &str, input: Input, now: Timestamp) -> Result<(), A2AError> {
        let mut kept = self.kept.lock().expect("nothing panics under this lock");
        let kept = &mut *kept;
        let bytes = kept.bytes;
        let entry = kept.entry(id)?;
        match entry.task.status.state {
            TaskState::Submitted | TaskState::InputRequired => {}
            TaskState::Working => {
                return Err(A2AError::unsupported_operation("the task is being worked on"));
            }
            _ => return Err(over(id)),
        }
        let (before, after) = (entry.bytes, input.size());
        if bytes - before + after > MOST_BYTES {
            return Err(A2AError::unsupported_operation(
                "there is no room to exchange what is asked for; send a message without the task",
            ));
        }
        (entry.bytes, entry.input, entry.changed) = (after, Some(input), now);
        kept.bytes = bytes - before + after;
        Ok(())
    }

    /// The task has an end, or waits: `artifact` is its work, `receipt` what became of `payment`. What
    /// was found out without a payment says nothing of a task that moved on since.
    pub fn tell(
        &self,
        id: &str,
        payment: Option<PaymentName>,
        receipt: Option<Value>,
        artifact: Option<Artifact>,
        said: impl FnOnce(&[Value]) -> Said,
        now: Timestamp,
    ) {
        let mut kept = self.kept.lock().expect("nothing panics under this lock");
        let kept = &mut *kept;
        // Who is worked on is not put away; only the end of all makes it gone.
        let Ok(entry) = kept.entry(id) else { return };
        let is_its = match entry.task.status.state {
            TaskState::Submitted | TaskState::InputRequired => payment.is_none(),
            TaskState::Working => payment.is_some() && entry.payment == payment,
            _ => false,
        };
        if !is_its {
            return;
        }
        entry.receipts.extend(receipt);
        let beyond = entry.receipts.len().saturating_sub(MOST_RECEIPTS);
        entry.receipts.drain(..beyond);
        let said = said(&entry.receipts);
        let before = entry.bytes;
        if let Some(artifact) = artifact {
            let size = artifact.parts.iter().map(size_of).sum::<usize>();
            entry.bytes += size;
            let event = StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
                task_id: entry.task.id.clone(),
                context_id: entry.task.context_id.clone(),
                artifact: artifact.clone(),
                append: None,
                last_chunk: Some(true),
                metadata: None,
            });
            entry.task.artifacts = Some(vec![artifact]);
            // Nobody may be listening.
            let _ = entry.events.send(event);
        }
        if said.state.is_terminal()
            && let Some(input) = entry.input.take()
        {
            entry.bytes -= input.size();
        }
        entry.say(said, now);
        let after = entry.bytes;
        kept.bytes = kept.bytes - before + after;
    }

    /// Ends a task that was not paid.
    ///
    /// # Errors
    /// There is none of this number; it is worked on, so its payment may move; or it is over.
    pub fn cancel(&self, id: &str, said: Said, now: Timestamp) -> Result<Task, A2AError> {
        match self.get(id)?.status.state {
            TaskState::Submitted | TaskState::InputRequired => {}
            TaskState::Working => {
                let mut error = A2AError::task_not_cancelable(id);
                error.message += ": it is being worked on, and its payment may be under way";
                return Err(error);
            }
            _ => return Err(A2AError::task_not_cancelable(id)),
        }
        let mut kept = self.kept.lock().expect("nothing panics under this lock");
        let kept = &mut *kept;
        let entry = kept.entry(id)?;
        // Asked again under the lock: a payment may have come in between.
        if !matches!(entry.task.status.state, TaskState::Submitted | TaskState::InputRequired) {
            return Err(A2AError::task_not_cancelable(id));
        }
        let freed = entry.input.take().map_or(0, |input| input.size());
        entry.bytes -= freed;
        entry.say(said, now);
        let task = entry.task.clone();
        kept.bytes -= freed;
        Ok(task)
    }

    /// The tasks of a context that `wanted` takes, the last changed first.
    pub fn list(&self, context: &str, wanted: impl Fn(&Task) -> bool) -> Vec<Task> {
        let kept = self.kept.lock().expect("nothing panics under this lock");
        let mut found: Vec<(Timestamp, u64, &Task)> = kept
            .tasks
            .iter()
            .map(|(place, entry)| (entry.changed, *place, &entry.task))
            .filter(|(_, _, task)| task.context_id == context && wanted(task))
            .collect();
        found.sort_by_key(|(changed, place, _)| std::cmp::Reverse((*changed, *place)));
        found.into_iter().map(|(_, _, task)| task.clone()).collect()
    }

    /// Forgets everything: who listens hears the end.
    pub fn close(&self) {
        *self.kept.lock().expect("nothing panics under this lock") = Kept::default();
    }

    fn with<T>(&self, id: &str, act: impl FnOnce(&mut Entry) -> T) -> Result<T, A2AError> {
        let mut kept = self.kept.lock().expect("nothing panics under this lock");
        kept.entry(id).map(act)
    }
}

impl Kept {
    fn entry(&mut self, id: &str) -> Result<&mut Entry, A2AError> {
        let place = self.places.get(id).ok_or_else(|| missing(id))?;
        self.tasks.get_mut(place).ok_or_else(|| missing(id))
    }

    /// Puts away what is old, and then the oldest until there is room.
    fn make_place(&mut self, bytes: usize, now: Timestamp) {
        let old = |entry: &Entry| {
            let age = now.as_millis().saturating_sub(entry.changed.as_millis());
            let most = match &entry.task.status.state {
                TaskState::Working => return false,
                state if state.is_terminal() => KEPT_FOR,
                _ => UNPAID_FOR,
            };
            u128::from(age) > most.as_millis()
        };
        let aged: Vec<u64> =
            self.tasks.iter().filter(|(_, entry)| old(entry)).map(|(place, _)| *place).collect();
        for place in aged {
            self.put_away(place);
        }
        while self.tasks.len() >= MOST_TASKS || self.bytes + bytes > MOST_BYTES {
            let idle = self
                .tasks
                .iter()
                .find(|(_, entry)| entry.task.status.state != TaskState::Working)
                .map(|(place, _)| *place);
            // What is worked on is bounded by how many calls are worked on at once.
            let Some(place) = idle else { return };
            self.put_away(place);
        }
    }

    fn put_away(&mut self, place: u64) {
        if let Some(entry) = self.tasks.remove(&place) {
            self.places.remove(&entry.task.id);
            self.bytes -= entry.bytes;
        }
    }
}

impl Entry {
    fn say(&mut self, said: Said, now: Timestamp) {
        let mut message = Message::new(Role::Agent, vec![Part::text(said.text)]);
        message.task_id = Some(self.task.id.clone());
        message.context_id = Some(self.task.context_id.clone());
        let metadata: HashMap<String, Value> = said.metadata.into_iter().collect();
        message.metadata = Some(metadata).filter(|metadata| !metadata.is_empty());
        let status = TaskStatus { state: said.state, message: Some(message), timestamp: at(now) };
        self.task.status = status.clone();
        self.changed = now;
        let event = StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
            task_id: self.task.id.clone(),
            context_id: self.task.context_id.clone(),
            status,
            metadata: None,
        });
        let _ = self.events.send(event);
    }
}

/// Whether nothing more comes of a task unless somebody says something.
pub fn rests(state: &TaskState) -> bool {
    state.is_terminal() || *state == TaskState::InputRequired
}

fn size_of(part: &Part) -> usize {
    match &part.content {
        ::a2a::PartContent::Text(text) | ::a2a::PartContent::Url(text) => text.len(),
        ::a2a::PartContent::Raw(bytes) => bytes.len(),
        ::a2a::PartContent::Data(data) => data.to_string().len(),
    }
}

fn at(now: Timestamp) -> Option<DateTime<chrono::Utc>> {
    DateTime::from_timestamp_millis(i64::try_from(now.as_millis()).ok()?)
}

fn missing(id: &str) -> A2AError {
    A2AError::task_not_found(&id.chars().take(80).collect::<String>())
}

fn over(id: &str) -> A2AError {
    let id: String = id.chars().take(80).collect();
    A2AError::unsupported_operation(format!("the task {id} is over; send a message without it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

    fn input(bytes: usize) -> Input {
        Input {
            target: "/classify".into(),
            media_type: "image/png".into(),
            body: vec![0; bytes].into(),
        }
    }

    fn begin(tasks: &Tasks, id: &str, bytes: usize, now: Timestamp) {
        let message = Message::new(Role::User, vec![Part::raw(vec![0; bytes])]);
        tasks.begin(id.into(), "context".into(), message, input(bytes), now);
    }

    fn said(state: TaskState) -> Said {
        Said { state, text: String::new(), metadata: Map::new() }
    }

    #[test]
    fn a_payment_is_taken_once_and_known_again() {
        let tasks = Tasks::default();
        begin(&tasks, "a", 3, NOW);
        let (payment, other) = ([1; 32], [2; 32]);
        assert!(matches!(tasks.take("a", payment, NOW), Ok(Taken::Work(_))));
        assert!(matches!(tasks.take("a", payment, NOW), Ok(Taken::Known)));
        assert!(tasks.take("a", other, NOW).is_err(), "one at a time");
        assert!(tasks.cancel("a", said(TaskState::Canceled), NOW).is_err(), "money may move");
        tasks.tell("a", None, None, None, |_| said(TaskState::InputRequired), NOW);
        assert_eq!(tasks.get("a").unwrap().status.state, TaskState::Working, "it moved on");
        let receipt = Some(Value::from("receipt"));
        tasks.tell("a", Some(payment), receipt, None, |_| said(TaskState::Completed), NOW);
        assert!(matches!(tasks.take("a", payment, NOW), Ok(Taken::Known)));
        assert!(tasks.take("a", other, NOW).is_err(), "it is over");
        assert_eq!(tasks.input("a").unwrap(), None, "what was worked on is not kept");
        assert!(tasks.take("b", payment, NOW).is_err());
    }

    #[test]
    fn who_is_not_paid_can_be_called_off_and_what_is_over_cannot() {
        let tasks = Tasks::default();
        begin(&tasks, "a", 3, NOW);
        let (_, mut events) = tasks.listen("a").unwrap();
        let task = tasks.cancel("a", said(TaskState::Canceled), NOW).unwrap();
        assert_eq!(task.status.state, TaskState::Canceled);
        assert!(matches!(events.try_recv(), Ok(StreamResponse::StatusUpdate(_))));
        let again = tasks.cancel("a", said(TaskState::Canceled), NOW).unwrap_err();
        assert_eq!(again.code, ::a2a::error_code::TASK_NOT_CANCELABLE);
        let none = tasks.cancel("b", said(TaskState::Canceled), NOW).unwrap_err();
        assert_eq!(none.code, ::a2a::error_code::TASK_NOT_FOUND);
    }

    #[test]
    fn there_is_room_for_so_many_and_what_is_worked_on_stays() {
        let tasks = Tasks::default();
        begin(&tasks, "worked", 3, NOW);
        tasks.take("worked", [1; 32], NOW).unwrap();
        for number in 0..MOST_TASKS + 10 {
            begin(&tasks, &format!("{number}"), 3, NOW);
        }
        assert!(tasks.get("worked").is_ok() && tasks.get("0").is_err());
        let kept = tasks.kept.lock().unwrap();
        assert_eq!((kept.tasks.len(), kept.places.len()), (MOST_TASKS, MOST_TASKS));
        assert_eq!(kept.bytes, input(3).size() * MOST_TASKS);
        assert_eq!(input(3).size(), 3 + "/classifyimage/png".len());
    }

    #[test]
    fn large_work_makes_place_and_every_byte_is_counted() {
        let tasks = Tasks::default();
        let part = MOST_BYTES / 4 - 32;
        for number in 0..6 {
            begin(&tasks, &format!("{number}"), part, NOW);
        }
        assert!(tasks.get("1").is_err() && tasks.get("2").is_ok());
        assert!(tasks.replace("5", input(2 * part), NOW).is_err(), "no room");
        tasks.replace("5", input(7), NOW).unwrap();
        for number in 2..6 {
            tasks.cancel(&number.to_string(), said(TaskState::Canceled), NOW).unwrap();
        }
        assert_eq!(tasks.kept.lock().unwrap().bytes, 0);
    }

    #[test]
    fn what_is_old_is_put_away() {
        let tasks = Tasks::default();
        begin(&tasks, "unpaid", 3, NOW);
        begin(&tasks, "done", 3, NOW);
        tasks.tell("done", None, None, None, |_| said(TaskState::Completed), NOW);
        begin(&tasks, "a", 3, NOW.plus(UNPAID_FOR + Duration::from_secs(1)));
        assert!(tasks.get("unpaid").is_err() && tasks.get("done").is_ok());
        begin(&tasks, "b", 3, NOW.plus(KEPT_FOR + Duration::from_secs(1)));
        assert!(tasks.get("done").is_err());
    }

    #[test]
    fn a_list_is_of_one_context() {
        let tasks = Tasks::default();
        begin(&tasks, "a", 3, NOW);
        begin(&tasks, "b", 3, NOW.plus(Duration::from_secs(1)));
        let ids = |tasks: Vec<Task>| tasks.into_iter().map(|task| task.id).collect::<Vec<_>>();
        assert_eq!(ids(tasks.list("context", |_| true)), ["b", "a"]);
        assert!(tasks.list("another", |_| true).is_empty());
    }
}
