//! Work for people: how a person is asked, and how what they answer is judged.
//!
//! A job for a person (`human/answer`) has words and files for a brief, is open for quotes until its
//! deadline, and is judged by a juror drawn by lot: nobody can do a person's work again and compare bytes.
//! The juror need not look at everything. The client has the first eighth of the time for the check to say a
//! [`Word`]: if it accepts, or says nothing, the work is as asked; if it objects, the juror's owner, a person,
//! looks at both and says who is right. Where nobody looks in time the work is paid: who gets work and says
//! that it is wrong must have it shown.
//!
//! What client and juror's owner say are documents at the market's desk, so they are durable, and only who
//! handed the very bytes in has said them. Everything here is pure but [`said`] and [`Hiring::ask`].

use std::time::Duration;

use market::desk::{Desk, DeskError};
use market::{Amount, Check, Digest, Job, JobId, MILLION, Party, Pricing, Stage, Terms, Timestamp};

use crate::agent::WORTH;
use crate::hiring::{Attached, HireProblem, Hiring};
use crate::order::{Input, Order};
use crate::service::Service;

/// The least time that a person may be given, in milliseconds: ten seconds.
pub const LEAST_MS: u64 = 10_000;
/// The most: 30 days.
pub const MOST_MS: u64 = 30 * 86_400_000;
/// The longest that a client has for its word, in milliseconds: an hour.
const WORD_MS: u64 = 3_600_000;
/// How many times as long the check may take: the rest is the juror's owner's, and lets an economy be closed
/// overnight without anybody's silence.
const CHECK_WORDS: u64 = 8;
/// How many jurors judge such a job.
const JURORS: u8 = 1;

/// What somebody says of a person's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The client: it is what was asked for.
    Accepted,
    /// The client: it is not.
    Objected,
    /// A juror, as its owner finds: the work is as asked.
    Upheld,
    /// A juror, as its owner finds: it is not.
    Dismissed,
}

impl Word {
    /// As it stands in its document.
    pub fn name(self) -> &'static str {
        match self {
            Word::Accepted => "accepted",
            Word::Objected => "objected",
            Word::Upheld => "upheld",
            Word::Dismissed => "dismissed",
        }
    }

    /// The document by which it is said of a job: canonical JSON, so that its digest is known to whoever
    /// looks for it. An outside client says it by handing in these bytes.
    pub fn document(self, job: JobId) -> Vec<u8> {
        format!(r#"{{"job":"{job}","says":"{}"}}"#, self.name()).into_bytes()
    }
}

/// Whether this party has said so of the job.
///
/// # Errors
/// If the desk cannot be read.
pub fn said(desk: &Desk, job: JobId, word: Word, by: Party) -> Result<bool, DeskError> {
    desk.holds(Digest::of(&word.document(job)), by)
}

/// Whether a job is for a person.
pub fn is_for_a_person(job: &Job) -> bool {
    job.terms.skill == Service::Answer.skill()
}

/// The least time that a client must have for its word, in milliseconds, where this home's person works: a
/// juror hears it a few times before the time is over.
const LEAST_WORD_MS: u64 = 2_000;

/// Whether a person's work was delivered and is being judged: its client reads it, and says its [`Word`].
pub fn is_heard(job: &Job) -> bool {
    let is_judged = matches!(job.stage, Stage::Drawing | Stage::Checking | Stage::Reporting);
    is_for_a_person(job) && matches!(job.terms.check, Check::Juror { .. }) && is_judged
}

/// Whether work on these terms is judged as a person's work can be: by jurors, who have time to hear its client.
pub fn is_for_jurors(terms: &Terms) -> bool {
    matches!(terms.check, Check::Juror { .. }) && terms.check_ms / CHECK_WORDS >= LEAST_WORD_MS
}

/// Until when the client has its word, while a panel looks at the work; then it counts as accepted.
pub fn word_until(job: &Job) -> Option<Timestamp> {
    let deadline = job.deadline.filter(|_| job.stage == Stage::Checking)?;
    Some(back(deadline, job.terms.check_ms - job.terms.check_ms / CHECK_WORDS))
}

/// When the juror votes without having heard from its owner: a twentieth of its time before the end.
fn vote_at(job: &Job) -> Option<Timestamp> {
    let deadline = job.deadline.filter(|_| job.stage == Stage::Checking)?;
    Some(back(deadline, job.terms.check_ms / 20))
}

fn back(from: Timestamp, ms: u64) -> Timestamp {
    Timestamp::from_millis(from.as_millis().saturating_sub(ms))
}

/// What was said of a job, and whether there is an answer to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// The worker has handed in a text.
    pub answered: bool,
    /// The client accepted.
    pub accepted: bool,
    /// The client objected.
    pub objected: bool,
    /// What the juror's owner said, if anything.
    pub judged: Option<bool>,
}

/// How a juror votes now, if it does; the rule of this module's head. `None` waits.
pub fn vote(job: &Job, heard: Heard, now: Timestamp) -> Option<bool> {
    let (word_until, vote_at) = (word_until(job)?, vote_at(job)?);
    match heard {
        Heard { answered: false, .. } => Some(false),
        // Whoever has accepted has nothing to object to any more.
        Heard { accepted: true, .. } => Some(true),
        Heard { objected: false, .. } => (now >= word_until).then_some(true),
        Heard { judged: Some(judged), .. } => Some(judged),
        Heard { judged: None, .. } => (now >= vote_at).then_some(true),
    }
}

/// A job for a person, decided and not yet opened.
#[derive(Debug, Clone)]
pub struct Asked {
    /// What is asked.
    pub order: Order,
    /// The job's terms.
    pub terms: Terms,
    /// The least budget that would do.
    pub least: Amount,
}

impl Hiring {
    /// Decides a job for a person, who has so many milliseconds from now. The same under the same name is the
    /// same job only if it is asked at the same moment.
    ///
    /// # Errors
    /// What is wrong with the order, or that the budget is too small. Nothing was spent.
    pub fn ask(
        &self,
        words: &str,
        inputs: Vec<Input>,
        budget: Amount,
        within_ms: u64,
        name: &[u8],
    ) -> Result<Asked, HireProblem> {
        let order = Order::new(words, inputs, &[]);
        order.suits_a_person()?;
        let within_ms = within_ms.clamp(LEAST_MS, MOST_MS);
        let (check, fee) = (Check::Juror { jurors: JURORS }, self.checker_fee());
        let amount = |minor| Amount::from_minor(budget.asset(), minor);
        // As much again for the person as the check may take.
        let least = 2 * check.most_fees() * fee;
        if budget.minor() < least {
            return Err(self.too_little(budget, &[Service::Answer], least));
        }
        let terms = Terms {
            id: self.job_id(name),
            client: self.party,
            parent: None,
            skill: Service::Answer.skill(),
            brief: Digest::of(&order.to_json()),
            budget,
            worth: amount(budget.minor().saturating_mul(WORTH).min(market::MAX_MINOR)),
            quality: 0,
            pricing: Pricing::Quotes,
            check,
            audit: MILLION,
            checker_fee: amount(fee),
            appeals: 0,
            // Who has nothing yet works, too.
            stake: amount(0),
            deliver_by: self.clock.now().plus(Duration::from_millis(within_ms)),
            check_ms: CHECK_WORDS * within_ms.min(WORD_MS),
        };
        Ok(Asked { order, terms, least: amount(least) })
    }

    /// Opens and funds the job; the budget must be free at the desk.
    ///
    /// # Errors
    /// [`HireProblem::Refused`], [`HireProblem::Desk`].
    pub async fn open_asked(
        &self,
        asked: Asked,
        files: Vec<Attached>,
    ) -> Result<JobId, HireProblem> {
        self.open_job(asked.terms, vec![asked.order.to_json()], files).await
    }
}
