//! Whether a job's terms are within their bounds.

use money::Timestamp;
use std::time::Duration;

use super::State;
use crate::checks::peer::MAX_RATERS;
use crate::operation::{Refusal, TermsProblem};
use crate::rules::{MAX_APPEALS, MAX_DURATION_MS, MAX_SEATS, MILLION};
use crate::terms::{Check, Pricing, Terms};

impl State {
    /// The first problem with these terms, by themselves.
    pub(super) fn examine_terms(&self, terms: &Terms) -> Result<(), Refusal> {
        self.positive(terms.budget)?;
        self.positive(terms.worth)?;
        self.at_least_zero(terms.checker_fee)?;
        self.at_least_zero(terms.stake)?;
        if let Pricing::Auction { bond, .. } = &terms.pricing {
            self.at_least_zero(*bond)?;
        }
        self.problem(terms).map_or(Ok(()), |problem| Err(Refusal::TermsInvalid { problem }))
    }

    fn problem(&self, terms: &Terms) -> Option<TermsProblem> {
        let earliest = self.now.plus(Duration::from_millis(self.round_ms(terms)));
        let latest = self.now.plus(Duration::from_millis(MAX_DURATION_MS));
        if terms.deliver_by <= earliest || terms.deliver_by > latest {
            return Some(TermsProblem::DeliverBy);
        }
        let within = |span: u64| span > 0 && span <= MAX_DURATION_MS;
        let window = match terms.check {
            Check::Optimistic { window_ms, .. } => window_ms,
            _ => 1,
        };
        let is_hasty = terms.check_ms < self.rules.least_check_ms;
        if is_hasty || !within(terms.check_ms) || !within(window) {
            return Some(TermsProblem::CheckTime);
        }
        let mark = terms.check.pass_mark().unwrap_or(0);
        let audit = terms.audit;
        if terms.quality > MILLION || mark > MILLION || audit == 0 || audit > MILLION {
            return Some(TermsProblem::Share);
        }
        let seats = terms.check.seats();
        let is_odd = seats % 2 == 1;
        let fits = match terms.check {
            Check::Exact { .. } | Check::Optimistic { .. } | Check::Juror { .. } => is_odd,
            Check::Redundant { .. } => !is_odd,
            Check::Peer { raters, .. } => raters <= MAX_RATERS,
            Check::Gold { .. } => true,
        };
        if seats == 0 || seats > MAX_SEATS || !fits {
            return Some(TermsProblem::Seats);
        }
        if terms.appeals > MAX_APPEALS {
            return Some(TermsProblem::Appeals);
        }
        let fees = terms.check.most_fees() * terms.checker_fee.minor();
        match terms.check {
            // Half of what executors leave is the challenger's: nobody looks for nothing.
            Check::Optimistic { .. } if terms.stake.minor() < fees + 2 => {
                return Some(TermsProblem::Stake);
            }
            Check::Optimistic { .. } => {}
            _ if terms.budget.minor() <= fees => return Some(TermsProblem::Budget),
            _ => {}
        }
        match terms.check {
            Check::Gold { examiner, .. } if examiner == terms.client => {
                Some(TermsProblem::Examiner)
            }
            Check::Gold { .. } if terms.appeals == 0 => Some(TermsProblem::AppealMissing),
            _ => None,
        }
    }

    /// How long it may take until somebody is hired.
    pub(super) fn round_ms(&self, terms: &Terms) -> u64 {
        match terms.pricing {
            Pricing::Posted { .. } | Pricing::Quotes => 0,
            Pricing::Auction { committed, .. } => {
                let opening = if committed { self.rules.reveal_ms } else { 0 };
                self.rules.bid_ms + opening + self.rules.entropy_ms
            }
        }
    }

    /// When a job of these terms has ended, come what may: it is the sum of all that can follow
    /// its delivery.
    pub(super) fn ends_by(&self, terms: &Terms) -> Timestamp {
        let rules = &self.rules;
        let panel = rules.panel_ms(terms.check_ms);
        let check = match terms.check {
            Check::Gold { .. } => rules.report_ms,
            Check::Optimistic { window_ms, .. } => window_ms + panel,
            Check::Exact { .. }
            | Check::Redundant { .. }
            | Check::Peer { .. }
            | Check::Juror { .. } => panel,
        };
        let appeals = u64::from(terms.appeals) * (rules.appeal_ms + panel);
        terms.deliver_by.plus(Duration::from_millis(check + appeals))
    }
}
