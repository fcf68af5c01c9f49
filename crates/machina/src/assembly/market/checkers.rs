//! The checkers of this home: drawn by lot, they do the work again with the model that is pinned for
//! it, seal what they found, and open it when all have sealed. As jurors they vote by the same.
//!
//! Raters of labels (`peer`) look with another network than each other where there are several. Whom a job names
//! as examiner opens the key to its hidden tests, which stands in its client's note. Work that is paid by silence
//! they watch: each looks at a share of it, which only its own key knows, and challenges what it finds otherwise.

use std::sync::Arc;

use ::market::desk::DeskError;
use ::market::{Check, Digest, Job, MILLION, Operation, Party, Report, Stage};
use foreman::Service;
use foreman::checking::LOOKING_PPM;
use foreman::labelling::{Batch, Note};
use mandates::Key;

use super::Market;
use super::machines::{Workshop, salt};
use super::models::Model;
use crate::failure::Failure;

impl Workshop {
    /// What a checker does next in a job, if anything; the work itself is done in a task.
    pub(super) fn check_next(
        self: &Arc<Self>,
        market: &Arc<Market>,
        checker: &Key,
        job: &Job,
    ) -> Option<Operation> {
        let is_jury = job.panel().is_some_and(|panel| panel.is_jury);
        if foreman::person::is_for_a_person(job) && is_jury {
            return None; // People judge that: super::people.
        }
        let me = checker.party();
        let duty = duty(checker, job)?;
        let is_new = !matches!(duty, Duty::Watch) || !self.has_watched(job.terms.id, me);
        if is_new && self.take_up(job.terms.id, me) {
            let (workshop, market) = (Arc::clone(self), Arc::clone(market));
            let (key, job) = (checker.clone(), job.clone());
            tokio::spawn(async move {
                let done = match duty {
                    Duty::Report => workshop.report(&market, &key, &job).await,
                    Duty::Examine => examine(&market, &key, &job).await,
                    Duty::Watch => workshop.watch(&market, &key, &job).await,
                };
                let done = done.unwrap_or_else(|failure| {
                    let (error, job) = (failure.message, job.terms.id);
                    tracing::error!(error, %job, "work could not be checked");
                    None
                });
                workshop.hand_in(&market, job.terms.id, key.party(), done).await;
            });
        }
        None
    }

    /// Does the work again, and seals or opens what comes of it.
    async fn report(
        &self,
        market: &Arc<Market>,
        key: &Key,
        job: &Job,
    ) -> Result<Option<Operation>, Failure> {
        let (id, by) = (job.terms.id, key.party());
        let found = self.found_again(market, job, by).await?;
        let Some(found) = found.or_else(|| nothing_found(key, job)) else {
            tracing::warn!(job = %id, "nobody here can do this work again");
            return Ok(None);
        };
        let is_jury = job.panel().is_some_and(|panel| panel.is_jury);
        let report = match is_jury {
            true => Report::Vote(is_as_found(job, &found)),
            false => found,
        };
        let salt = salt(key, id);
        Ok(Some(match job.stage {
            Stage::Checking => {
                let commitment = report.commitment(id, by, &salt);
                Operation::CommitReport { job: id, by, commitment }
            }
            _ => Operation::RevealReport { job: id, by, report, salt },
        }))
    }

    /// Does work again that is paid unless somebody challenges it, and does so if it is otherwise.
    async fn watch(
        &self,
        market: &Arc<Market>,
        key: &Key,
        job: &Job,
    ) -> Result<Option<Operation>, Failure> {
        let (id, by) = (job.terms.id, key.party());
        let found = self.found_again(market, job, by).await?;
        let is_otherwise = found.is_some_and(|found| !is_as_found(job, &found));
        match is_otherwise {
            true => tracing::info!(job = %id, "work that is paid by silence is challenged"),
            false => self.note_watched(id, by),
        }
        Ok(is_otherwise.then_some(Operation::Challenge { job: id, by }))
    }

    /// What the work of this job gives when it is done again. A foreman's work is putting together: what
    /// its hires delivered is put together again.
    async fn found_again(
        &self,
        market: &Arc<Market>,
        job: &Job,
        by: Party,
    ) -> Result<Option<Report>, Failure> {
        if job.terms.skill == Service::Compose.skill() {
            let (desk, id) = (market.desk().clone(), job.terms.id);
            let again = tokio::task::spawn_blocking(move || foreman::agent::again(&desk, id));
            let body = again.await.map_err(Failure::new)?.map_err(Failure::new)?;
            return Ok(body.map(|body| Report::Digest(Digest::of(&body))));
        }
        match self.eyes(job, by) {
            Some(model) => self.found(market, model, job, by).await.map(Some),
            None => Ok(None),
        }
    }

    /// The model with which a checker does a job's work again: the worker's, so that the bytes are the same.
    /// Raters look each with their own: that they agree says the more.
    fn eyes(&self, job: &Job, by: Party) -> Option<Arc<Model>> {
        let is_rated = matches!(job.terms.check, Check::Peer { .. });
        let models = Service::of(job.terms.skill).map_or(&[][..], |service| self.models(service));
        let place = self.checkers.iter().position(|key| key.party() == by)?;
        match is_rated && !models.is_empty() {
            true => models.get(place % models.len()).cloned(),
            false => self.model_of(job),
        }
    }
}

/// What a checker reports of work that nobody here can do again: a digest of its own that nobody else can know or
/// find. Whoever was drawn and says nothing loses a deposit, and anybody could order what nobody here does. Where
/// several sit, none agrees with another, so nothing is decided and all have theirs back; one alone lets nothing
/// pass that it has not seen. Jurors and raters have no such word.
fn nothing_found(key: &Key, job: &Job) -> Option<Report> {
    let panel = job.panel().filter(|panel| !panel.is_jury)?;
    let has_word = match job.terms.check {
        Check::Exact { .. } | Check::Redundant { .. } => true,
        // A challenger gains by a lone executor's no.
        Check::Optimistic { .. } => panel.size > 1,
        Check::Gold { .. } | Check::Peer { .. } | Check::Juror { .. } => false,
    };
    let own = [salt(key, job.terms.id).as_bytes().as_slice(), b"nothing found"].concat();
    has_word.then(|| Report::Digest(Digest::of(&own)))
}

/// What a checker has to do in a job.
enum Duty {
    Report,
    Examine,
    Watch,
}

fn duty(checker: &Key, job: &Job) -> Option<Duty> {
    let me = checker.party();
    let terms = &job.terms;
    let is_party = terms.client == me || job.worker == Some(me);
    match (job.stage, terms.check) {
        (Stage::Challengeable, Check::Optimistic { .. }) => {
            let is_new = job.bonds.iter().all(|bond| bond.party != me);
            (!is_party && is_new && looks(checker, job)).then_some(Duty::Watch)
        }
        (Stage::Reporting, Check::Gold { examiner, .. })
            if job.panel().is_some_and(|panel| !panel.is_jury) =>
        {
            (examiner == me && job.examined.is_none()).then_some(Duty::Examine)
        }
        (stage, _) => {
            let seat = job.panel()?.seats.iter().find(|seat| seat.checker == me)?;
            let is_due = match stage {
                Stage::Checking => seat.commitment.is_none(),
                Stage::Reporting => seat.commitment.is_some() && seat.report.is_none(),
                _ => false,
            };
            is_due.then_some(Duty::Report)
        }
    }
}

/// Whether a checker looks at a job that is paid by silence: by a lot that follows from its key, so that nobody
/// else can know it.
fn looks(checker: &Key, job: &Job) -> bool {
    let lot = salt(checker, job.terms.id);
    let [.., a, b, c, d] = *lot.as_bytes();
    u32::from_be_bytes([a, b, c, d]) % MILLION < LOOKING_PPM
}

/// Whether what was delivered is what was found: of labels so many as the job asks for.
pub(super) fn is_as_found(job: &Job, found: &Report) -> bool {
    match (job.answer(), found) {
        (Some(Report::Labels(told)), Report::Labels(found)) => {
            let same = told.iter().zip(found).filter(|(told, found)| told == found).count() as u64;
            let mark = u64::from(job.terms.check.pass_mark().unwrap_or(MILLION));
            told.len() == found.len() && same * u64::from(MILLION) >= found.len() as u64 * mark
        }
        (told, found) => told == Some(found),
    }
}

/// Opens the key to a job's hidden tests.
async fn examine(market: &Market, key: &Key, job: &Job) -> Result<Option<Operation>, Failure> {
    let (id, by, client) = (job.terms.id, key.party(), job.terms.client);
    let desk = market.desk().clone();
    let read = tokio::task::spawn_blocking(move || {
        let brief = desk.asked(id)?;
        let note = brief.and_then(|brief| Batch::from_json(&brief.body)?.note);
        let Some(note) = note else {
            tracing::warn!(job = %id, "its client left no key to its hidden tests");
            return Ok(None);
        };
        // Only what the client itself handed in.
        let document = if desk.holds(note, client)? { desk.document(note)? } else { None };
        Ok::<_, DeskError>(document.and_then(|document| Note::from_json(&document.body)?.key))
    });
    let key = read.await.map_err(Failure::new)?.map_err(Failure::new)?;
    Ok(key.map(|key| Operation::Examine { job: id, by, key }))
}
