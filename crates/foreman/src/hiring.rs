//! The client's side: an order becomes a job with a check and a budget, and the best quote is taken.
//!
//! [`Hiring::prepare`] decides everything before anything is spent: the plan, the check and its cost, and
//! whether the budget will do. [`Hiring::open`] describes and funds the job; [`Hiring::run`] answers quotes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use market::desk::{Desk, DeskError, Document};
use market::price::second_score;
use market::{
    Amount, BidState, Job, JobId, MILLION, Operation, Outcome, Party, Pricing, Refusal, Stage,
    Terms,
};
use money::Clock;
use thiserror::Error;

use crate::agent::{CHECK_MS, Heard, WORK_MS, WORTH, compose_ms, deliver_ms, heard, stake, tariff};
use crate::budget::{NoQuote, Prices};
use crate::checking::{CheckProblem, Chosen, Wish, check};
use crate::order::{Input, Order, OrderProblem};
use crate::plan::Plan;
use crate::pricing::{Known, prices};
use crate::service::Service;

/// How long quotes may come in after the first, in milliseconds, if not everybody has quoted before.
const QUOTES_MS: u64 = 2_000;
/// How long the first quote may take, in milliseconds; then the job is taken back.
const SILENCE_MS: u64 = 10_000;
/// The margin that foremen here take, in basis points: what the least budget is computed with.
pub const USUAL_MARGIN_BPS: u16 = 1_000;

/// What the names of jobs begin with that are opened here: `hire`.
const MARK: u128 = 0x6869_7265;

/// A party that hires.
#[derive(Clone)]
pub struct Hiring {
    pub(crate) desk: Desk,
    pub(crate) party: Party,
    pub(crate) clock: Arc<dyn Clock>,
    known: Known,
}

/// A job, decided and not yet opened.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What was asked.
    pub order: Order,
    /// What is done for it.
    pub plan: Plan,
    /// The job's terms.
    pub terms: Terms,
    /// Its check, and that of everything that is hired for it.
    pub check: Chosen,
    /// The least budget that would do.
    pub least: Amount,
    /// What each service costs now at the cheapest offer that counts.
    pub prices: Prices,
    /// The brief, where it is no file of the order.
    brief: Option<Vec<u8>>,
}

/// Why nobody is hired. Nothing was spent.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum HireProblem {
    /// The order cannot be planned.
    #[error(transparent)]
    Order(#[from] OrderProblem),
    /// The check that was asked for cannot be had.
    #[error(transparent)]
    Check(#[from] CheckProblem),
    /// The budget is too small.
    #[error(
        "{budget} is too little for {works} with their checks: the least that would do is {least}"
    )]
    TooLittle {
        /// What was given.
        budget: Amount,
        /// What it is for, in words: `6 pieces of work`.
        works: String,
        /// The least that would do.
        least: Amount,
    },
    /// Nobody sells what the plan needs.
    #[error("nobody here sells `{}` now", .0.name())]
    NotForSale(Service),
    /// The market refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The market could not be written.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// A file with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Hiring {
    /// Who hires at this desk, and whose offers it believes without having seen their work.
    pub fn new(desk: Desk, party: Party, clock: Arc<dyn Clock>, known: Known) -> Hiring {
        Hiring { desk, party, clock, known }
    }

    /// The name of the job that this party opens under a name of its own. It begins with a mark, so that
    /// what was opened here is known from what the party opened elsewhere.
    pub(crate) fn job_id(&self, name: &[u8]) -> JobId {
        let derived = JobId::derive(&[b"hire", self.party.as_bytes(), name]).as_u128();
        JobId::from_u128(MARK << 96 | derived >> 32)
    }

    /// Whether this party opened the job here.
    pub fn is_own(&self, job: &Job) -> bool {
        job.terms.client == self.party && job.terms.id.as_u128() >> 96 == MARK
    }

    /// What a checker gets here: half a thousandth of the asset's unit, which is less than the cheapest
    /// work costs and more than nothing.
    pub fn checker_fee(&self) -> i128 {
        let asset = self.desk.read(|state| state.rules().asset);
        (asset.unit() / 2_000).max(1)
    }

    /// Plans, chooses the check and looks whether the budget will do. `name` is what the job is derived
    /// from: the same order under the same name is the same job.
    ///
    /// # Errors
    /// [`HireProblem`], each saying what to do.
    pub fn prepare(
        &self,
        words: &str,
        inputs: Vec<Input>,
        budget: Amount,
        wish: Wish,
        name: &[u8],
    ) -> Result<Prepared, HireProblem> {
        let sold = prices(&self.desk, &Service::ALL, &self.known, self.party);
        let services: Vec<Service> = sold.keys().copied().collect();
        let order = Order::new(words, inputs, &services);
        let plan = order.plan()?;
        let fee = self.checker_fee();
        let checkers = self.desk.read(market::State::checkers);
        let chosen = check(wish, checkers, fee)?;
        let works = plan.works();
        let rules = self.desk.read(|state| state.rules().clone());
        let asset = budget.asset();
        let amount = |minor| Amount::from_minor(asset, minor);
        let alone = plan.alone();
        let (service, brief, written, pricing, time) = match &alone {
            Some(work) => {
                let pricing = Pricing::Auction { committed: false, bond: amount(0) };
                (work.service, work.brief, None, pricing, deliver_ms(&rules))
            }
            None => {
                let written = order.to_json();
                let brief = market::Digest::of(&written);
                (
                    Service::Compose,
                    brief,
                    Some(written),
                    Pricing::Quotes,
                    compose_ms(&rules) + WORK_MS,
                )
            }
        };
        let price = *sold.get(&service).ok_or(HireProblem::NotForSale(service))?;
        let mut terms = Terms {
            id: self.job_id(name),
            client: self.party,
            parent: None,
            skill: service.skill(),
            brief,
            budget,
            worth: amount(budget.minor().saturating_mul(WORTH).min(market::MAX_MINOR)),
            quality: 0,
            pricing,
            check: chosen.check,
            audit: MILLION,
            checker_fee: amount(fee),
            appeals: 0,
            stake: amount(0),
            deliver_by: self.clock.now().plus(Duration::from_millis(time)),
            check_ms: CHECK_MS.max(rules.least_check_ms),
        };
        let tariff = self.desk.read(|state| tariff(state, &terms, USUAL_MARGIN_BPS));
        let least =
            tariff.least_budget(&works, &sold, tariff.reserve).map_err(|none| match none {
                NoQuote::NotForSale(service) => HireProblem::NotForSale(service),
                NoQuote::TooLittle { least } => self.too_little(budget, &works, least),
            })?;
        if budget.minor() < least {
            return Err(self.too_little(budget, &works, least));
        }
        // A foreman dares no more than its price, however much there is to spend.
        let dares = match alone {
            Some(_) => price,
            None => least.min(budget.minor() / 10),
        };
        terms.stake = amount(stake(&chosen.check, fee, dares));
        let (check, least) = (chosen, amount(least));
        Ok(Prepared { order, plan, terms, check, least, prices: sold, brief: written })
    }

    pub(crate) fn too_little(&self, budget: Amount, works: &[Service], least: i128) -> HireProblem {
        let works = match works {
            [one] => one.title().to_owned(),
            many => format!("{} pieces of work", many.len()),
        };
        HireProblem::TooLittle { budget, works, least: Amount::from_minor(budget.asset(), least) }
    }

    /// Describes the job and sets its budget aside, which must be free at the desk. The same again changes
    /// nothing.
    ///
    /// # Errors
    /// [`HireProblem::Refused`], [`HireProblem::Desk`].
    pub async fn open(
        &self,
        prepared: Prepared,
        files: Vec<Attached>,
    ) -> Result<JobId, HireProblem> {
        self.open_job(prepared.terms, prepared.brief, files).await
    }

    pub(crate) async fn open_job(
        &self,
        terms: Terms,
        brief: Option<Vec<u8>>,
        files: Vec<Attached>,
    ) -> Result<JobId, HireProblem> {
        for file in files {
            let Attached { media_type, body } = file;
            self.desk.keep(Document { author: self.party, media_type, body }).await?;
        }
        if let Some(body) = brief {
            let media_type = "application/json".into();
            self.desk.keep(Document { author: self.party, media_type, body }).await?;
        }
        let job = terms.id;
        let operations = vec![Operation::Open(Box::new(terms)), Operation::Fund { job }];
        for outcome in self.desk.submit_all(operations).await? {
            if let Outcome::Refused(refusal) = outcome {
                // What is described and has no money is taken back: it holds nothing.
                let _ = self.desk.submit(Operation::Cancel { job, by: self.party }).await?;
                return Err(refusal.into());
            }
        }
        Ok(job)
    }

    /// Takes the best quote for each of the party's jobs that ask for quotes, until the desk closes.
    pub async fn run(self) {
        let mut changes = self.desk.subscribe();
        let mut open = self.asking();
        loop {
            for id in open.clone() {
                match self.answer(id).await {
                    Ok(true) => {}
                    Ok(false) => {
                        open.remove(&id);
                    }
                    Err(DeskError::Closed) => return,
                    Err(error) => tracing::warn!(%error, job = %id, "no quote could be taken"),
                }
            }
            let next = heard(&mut changes);
            let next = if open.is_empty() {
                next.await
            } else {
                // Quotes that do not come are no event: their time is looked at.
                match tokio::time::timeout(Duration::from_millis(250), next).await {
                    Ok(next) => next,
                    Err(_) => continue,
                }
            };
            match next {
                Heard::Jobs(jobs) => open.extend(jobs.into_iter().filter(|id| self.asks(*id))),
                Heard::Missed => open = self.asking(),
                Heard::Closed => return,
            }
        }
    }

    fn asking(&self) -> BTreeSet<JobId> {
        self.desk.read(|state| {
            state.under_way().filter(|job| self.is_asking(job)).map(|job| job.terms.id).collect()
        })
    }

    fn asks(&self, id: JobId) -> bool {
        self.desk.read(|state| state.job(id).is_some_and(|job| self.is_asking(job)))
    }

    fn is_asking(&self, job: &Job) -> bool {
        job.stage == Stage::Bidding
            && job.terms.client == self.party
            && job.terms.pricing == Pricing::Quotes
    }

    /// Accepts, takes back or goes on waiting (`true`).
    async fn answer(&self, id: JobId) -> Result<bool, DeskError> {
        let Some(job) = self.desk.job(id).filter(|job| self.is_asking(job)) else {
            return Ok(false);
        };
        let waited = self.clock.now().since(job.opened_at);
        let mut quotes = self.quotes(&job);
        if quotes.is_empty() {
            // People come when they come: until the job's own deadline. Their quote is heard.
            if job.terms.skill == Service::Answer.skill() {
                return Ok(false);
            }
            if waited < Duration::from_millis(SILENCE_MS) {
                return Ok(true);
            }
            let _ = self.desk.submit(Operation::Cancel { job: id, by: self.party }).await?;
            return Ok(false);
        }
        let everybody = self.desk.offers(Some(job.terms.skill), 0, market::desk::MAX_PAGE);
        let all_quoted = everybody
            .iter()
            .filter(|offer| offer.worker != self.party)
            .all(|offer| job.bids.iter().any(|bid| bid.worker == offer.worker));
        if !all_quoted && waited < Duration::from_millis(QUOTES_MS) {
            return Ok(true);
        }
        // Best score first; of equals the cheaper, then the earlier.
        quotes.sort_by_key(|(score, price, _)| (std::cmp::Reverse(*score), *price));
        for (_, _, offer) in quotes {
            match self.desk.submit(Operation::Accept { job: id, offer, by: self.party }).await? {
                Outcome::Applied | Outcome::Exists => return Ok(false),
                Outcome::Refused(refusal) => {
                    tracing::warn!(job = %id, %refusal, "a quote could not be taken");
                }
            }
        }
        Ok(true)
    }

    /// Quotes with their scores: what the work is worth at the expected quality, less the price.
    fn quotes(&self, job: &Job) -> Vec<(i128, i128, market::OfferId)> {
        self.desk.read(|state| {
            job.bids
                .iter()
                .filter_map(|bid| {
                    let BidState::Told(price) = bid.state else { return None };
                    let quality = state.record(bid.worker, job.terms.skill).mean();
                    let worth = second_score::value(job.terms.worth.minor(), quality);
                    (quality >= job.terms.quality).then_some((worth - price, price, bid.offer))
                })
                .collect()
        })
    }
}
