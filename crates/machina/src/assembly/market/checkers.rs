//! The checkers of this home: drawn by lot, they do the work again with the model that is pinned for
//! it, seal what they found, and open it when all have sealed. As jurors they vote by the same.

use std::sync::Arc;

use ::market::{Digest, Job, Operation, Party, Report, Stage};
use mandates::Key;

use super::Market;
use super::machines::{Workshop, is_done_again, salt};
use crate::failure::Failure;

impl Workshop {
    /// What a checker does next in a job, if anything; the work itself is done in a task.
    pub(super) fn check_next(
        self: &Arc<Self>,
        market: &Arc<Market>,
        checker: &Key,
        job: &Job,
    ) -> Option<Operation> {
        if foreman::person::is_for_a_person(job) {
            return None; // People judge that: super::people.
        }
        let me = checker.party();
        let panel = job.panel()?;
        let seat = panel.seats.iter().find(|seat| seat.checker == me)?;
        let is_due = match job.stage {
            Stage::Checking => seat.commitment.is_none(),
            Stage::Reporting => seat.commitment.is_some() && seat.report.is_none(),
            _ => false,
        };
        let does = panel.is_jury || is_done_again(&job.terms.check);
        if is_due && does && self.take_up(job.terms.id, me) {
            let (workshop, market) = (Arc::clone(self), Arc::clone(market));
            let (key, job) = (checker.clone(), job.clone());
            tokio::spawn(async move {
                let done = workshop.report(&market, &key, &job).await;
                workshop.hand_in(&market, job.terms.id, key.party(), done).await;
            });
        }
        None
    }

    /// Does the work again, and seals or opens what comes of it.
    async fn report(&self, market: &Market, key: &Key, job: &Job) -> Option<Operation> {
        let (id, by) = (job.terms.id, key.party());
        let found = match self.found_again(market, job, by).await {
            Ok(Some(digest)) => Report::Digest(digest),
            Ok(None) => {
                tracing::warn!(job = %id, "nobody here can do this work again");
                return None;
            }
            Err(failure) => {
                tracing::error!(error = failure.message, job = %id, "work could not be done again");
                return None;
            }
        };
        let is_jury = job.panel().is_some_and(|panel| panel.is_jury);
        let report = match is_jury {
            true => Report::Vote(job.answer() == Some(&found)),
            false => found,
        };
        let salt = salt(key, id);
        Some(match job.stage {
            Stage::Checking => {
                let commitment = report.commitment(id, by, &salt);
                Operation::CommitReport { job: id, by, commitment }
            }
            _ => Operation::RevealReport { job: id, by, report, salt },
        })
    }

    /// What the work of this job gives when it is done again. A foreman's work is putting together: what
    /// its hires delivered is put together again.
    async fn found_again(
        &self,
        market: &Market,
        job: &Job,
        by: Party,
    ) -> Result<Option<Digest>, Failure> {
        if job.terms.skill == foreman::Service::Compose.skill() {
            let body = foreman::agent::again(market.desk(), job.terms.id).map_err(Failure::new)?;
            return Ok(body.map(|body| Digest::of(&body)));
        }
        match self.model_of(job) {
            Some(model) => self.digest(market, model, job, by).await.map(Some),
            None => Ok(None),
        }
    }
}
