//! Appeals of this home's machines: who lost does its work again, and if that gives what it delivered, it calls
//! jurors, where that pays.
//!
//! A model errs on none of its own answers, so what it finds again says only that the work was done, and not damaged
//! on its way. Jurors of this home judge by the same: a key to hidden tests that is false, or a juror who votes
//! blindly, does not take honest work's pay.
//!
//! Bounds: a machine looks once at a job that it lost, and appeals once, whatever the terms allow: who has heard two
//! panels has heard enough. It puts down a bond only where the appeal is worth more than it can cost
//! ([`juror::appeal_pays`]).

use std::sync::Arc;

use ::market::checks::juror;
use ::market::{Job, Operation, Party};
use foreman::checking::JUDGEMENT_PPM;

use super::Market;
use super::checkers::is_as_found;
use super::machines::{Machine, Workshop};
use crate::failure::Failure;

/// Whether `by` has lost this job, has not appealed in it before, and would gain by it if it was right.
///
/// What it would gain is its price less the market's fee of `fee` minor units. That its stake and its record come
/// back, too, is left out: so the appeal is worth more than is counted here.
fn is_worth_it(job: &Job, by: Party, fee: i128) -> bool {
    let has_lost = job.worker == Some(by) && job.verdict == Some(false);
    let is_new = !job.bonds.iter().any(|bond| bond.is_appeal && bond.party == by);
    let seats = juror::next_panel(job.panel().map_or(1, |panel| panel.size));
    let bond = juror::bond(seats, job.terms.checker_fee.minor());
    has_lost && is_new && juror::appeal_pays(seats, JUDGEMENT_PPM, job.price - fee, bond)
}

impl Workshop {
    /// Looks again at work of this machine's that was found wrong, and appeals if it was not; in a task.
    pub(super) fn appeal_next(
        self: &Arc<Self>,
        market: &Arc<Market>,
        machine: &Machine,
        job: &Job,
    ) {
        let (id, me) = (job.terms.id, machine.key.party());
        let fee = market.desk().read(|state| state.rules().fee(job.price));
        if !is_worth_it(job, me, fee) || self.has_watched(id, me) || !self.take_up(id, me) {
            return;
        }
        let (workshop, market) = (Arc::clone(self), Arc::clone(market));
        let (model, job) = (Arc::clone(&machine.model), job.clone());
        tokio::spawn(async move {
            // Done anew: what it remembers is what it delivered.
            let again = workshop.answer(&market, model, &job).await;
            workshop.note_watched(id, me);
            let done = match again {
                Ok(again) => is_as_found(&job, &again.report).then(|| {
                    tracing::info!(job = %id, "a machine appeals: done again, its work is the same");
                    Operation::Appeal { job: id, by: me }
                }),
                Err(Failure { message: error, .. }) => {
                    tracing::warn!(error, job = %id, "lost work could not be looked at again");
                    None
                }
            };
            workshop.hand_in(&market, id, me, done).await;
        });
    }
}
