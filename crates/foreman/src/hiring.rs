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
    Amount, BidState, Check, CheckKind, Digest, Draws, GoldKey, Job, JobId, MILLION, Operation,
    Outcome, Party, Pricing, Refusal, Stage, Terms,
};
use money::Clock;
use thiserror::Error;

use crate::agent::{CHECK_MS, Heard, WORK_MS, WORTH, compose_ms, deliver_ms, heard, stake, tariff};
use crate::budget::{NoQuote, Prices};
use crate::checking::{
    CheckProblem, Checked, Chosen, Labels, RATERS_MARK, TESTS_MARK, WINDOW_MS, Wish, check,
};
use crate::labelling::{Batch, MOST_ITEMS, Note};
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

/// The most rounds that are held for one order. A lone newcomer goes unhired in one of a few hundred, since its
/// quality is drawn by lot: in as many one after another practically never, unless its record says why.
pub const MAX_ROUNDS: u8 = 4;
/// The lowest bits of a name tell the round.
const ROUND: u128 = 0xff;

/// The name of the first round's job.
fn first_named(derived: u128) -> JobId {
    JobId::from_u128((MARK << 96 | derived >> 32) & !ROUND)
}

/// Which round for its order this job is, counted from 0.
pub fn round_of(job: JobId) -> u8 {
    (job.as_u128() & ROUND) as u8
}

/// The name of the next round's job, if there may be one.
pub fn next_round(job: JobId) -> Option<JobId> {
    (round_of(job) + 1 < MAX_ROUNDS).then(|| JobId::from_u128(job.as_u128() + 1))
}

/// A party that hires.
#[derive(Clone)]
pub struct Hiring {
    pub(crate) desk: Desk,
    pub(crate) party: Party,
    pub(crate) clock: Arc<dyn Clock>,
    known: Known,
    examiners: Vec<Party>,
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
    /// Where all files are labelled in one job, how: then [`Prepared::mix_in`] comes before
    /// [`Hiring::open`].
    pub labelling: Option<Labelling>,
    /// The brief, where it is no file of the order, and the client's note to it.
    written: Vec<Vec<u8>>,
}

/// All files in one job, a label each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labelling {
    /// What is done with each item.
    pub service: Service,
    /// How many items of known labels are mixed in.
    pub hidden: u32,
}

/// An item that its client mixes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// It.
    pub file: Attached,
    /// What is right.
    pub label: u16,
}

impl Prepared {
    /// Mixes items of known labels among the files, in an order that follows from `secret` and nothing else,
    /// and writes the brief. Under `gold` they are the hidden tests, and their key is the client's note.
    pub fn mix_in(&mut self, hidden: &[Hidden], secret: Digest) {
        let files =
            self.order.inputs.iter().map(|input| (input.digest, Some(input.name.clone()), None));
        let tests = hidden.iter().map(|it| (Digest::of(&it.file.body), None, Some(it.label)));
        let mut items: Vec<(Digest, Option<String>, Option<u16>)> = files.chain(tests).collect();
        let mut draws = Draws::new(&secret, "machina/foreman/mixed/1", self.terms.id);
        for at in (1..items.len()).rev() {
            let other = usize::try_from(draws.below(at as u128 + 1)).unwrap_or(at);
            items.swap(at, other);
        }
        let answers = items.iter().zip(0..).filter_map(|((_, _, label), at)| Some((at, (*label)?)));
        let salt = Digest::of(&[secret.as_bytes(), &b"key"[..]].concat());
        let key = GoldKey { answers: answers.collect(), salt };
        let is_gold = match &mut self.terms.check {
            Check::Gold { key: sealed, .. } => {
                *sealed = key.commitment();
                true
            }
            _ => false,
        };
        let note = Note {
            words: self.order.words.clone(),
            names: items.iter().map(|(_, name, _)| name.clone()).collect(),
            key: is_gold.then_some(key),
        }
        .to_json();
        let items = items.into_iter().map(|(digest, ..)| digest).collect();
        let brief = Batch { items, note: Some(Digest::of(&note)) }.to_json();
        self.terms.brief = Digest::of(&brief);
        self.written = vec![note, brief];
    }
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
    /// Nobody examines hidden tests.
    #[error("nobody here with a stake in the pool of checkers examines hidden tests")]
    NoExaminer,
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
        Hiring { desk, party, clock, known, examiners: Vec::new() }
    }

    /// The same, with those of the pool whom it trusts to examine hidden tests.
    pub fn with_examiners(self, examiners: Vec<Party>) -> Hiring {
        Hiring { examiners, ..self }
    }

    /// The name of the job that this party opens under a name of its own. It begins with a mark, so that
    /// what was opened here is known from what the party opened elsewhere.
    pub(crate) fn job_id(&self, name: &[u8]) -> JobId {
        first_named(JobId::derive(&[b"hire", self.party.as_bytes(), name]).as_u128())
    }

    /// Whether this party opened the job here.
    pub fn is_own(&self, job: &Job) -> bool {
        job.terms.client == self.party && job.terms.id.as_u128() >> 96 == MARK
    }

    /// Holds another round for an order whose last one came to nobody although there were bids: the lot was against
    /// them. Its terms are the same but for its name: the same brief, check and budget, and to be delivered by the
    /// same moment. Its budget is what the last round gave back, so that nothing is paid for twice. `None` if this
    /// job gives no reason for another round, or if all rounds were held; the round that was held before if this is
    /// asked again.
    ///
    /// # Errors
    /// [`HireProblem::Refused`] if that money is no longer free or no time is left, [`HireProblem::Desk`].
    pub async fn ask_again(&self, job: &Job) -> Result<Option<JobId>, HireProblem> {
        let was_drawn = job.cleared_with.is_some() && job.worker.is_none();
        let is_lost = job.stage == Stage::Expired && was_drawn && job.was_funded();
        if !is_lost || !self.is_own(job) {
            return Ok(None);
        }
        let Some(id) = next_round(job.terms.id) else { return Ok(None) };
        if self.desk.job(id).is_some_and(|next| next.was_funded()) {
            return Ok(Some(id));
        }
        let terms = Terms { id, ..(*job.terms).clone() };
        self.open_job(terms, Vec::new(), Vec::new()).await.map(Some)
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
        let works = plan.works();
        let alone = plan.alone();
        let labels = self.labels(&plan, &sold);
        // Each piece of work is checked by those alone who say that they can.
        let composed = alone.is_none().then_some(Service::Compose);
        let checked: BTreeSet<Service> =
            works.iter().copied().chain(labels.map(|(many, _)| many)).chain(composed).collect();
        let checkers = self.desk.read(|state| {
            let able = checked.iter().map(|service| state.checkers_of(service.skill()));
            able.min().unwrap_or_default()
        });
        let jobs = works.len() + usize::from(alone.is_none());
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        let work = Checked { jobs, labels: labels.map(|(_, labels)| labels) };
        let chosen = check(wish, checkers, fee, work)?;
        let rules = self.desk.read(|state| state.rules().clone());
        let asset = budget.asset();
        let amount = |minor| Amount::from_minor(asset, minor);
        let round = Pricing::Auction { committed: false, bond: amount(0) };
        let many = labels.filter(|_| chosen.is_of_many());
        let (service, brief, written, pricing, time) = match (many, &alone) {
            // The brief is written when it is known what is mixed in.
            (Some((service, _)), _) => {
                (service, Digest::default(), Vec::new(), round, deliver_ms(&rules))
            }
            (None, Some(work)) => (work.service, work.brief, Vec::new(), round, deliver_ms(&rules)),
            (None, None) => {
                let written = order.to_json();
                let brief = Digest::of(&written);
                let time = compose_ms(&rules) + WORK_MS;
                (Service::Compose, brief, vec![written], Pricing::Quotes, time)
            }
        };
        let posted = *sold.get(&service).ok_or(HireProblem::NotForSale(service))?;
        let labelling = many.and_then(|(service, labels)| {
            let hidden = match chosen.plan.kind {
                CheckKind::Gold => chosen.plan.size,
                _ => labels.mixed_in(),
            };
            Some(Labelling { service: service.of_one()?, hidden })
        });
        let items =
            many.zip(labelling).map_or(0, |((_, labels), mixed)| labels.items + mixed.hidden);
        let price = match many {
            Some((_, labels)) => labels.unit * i128::from(items),
            None => posted,
        };
        // A rater labels them all.
        let fee = if chosen.plan.kind == CheckKind::Peer { fee * i128::from(items) } else { fee };
        let check = self.check_of(&chosen, self.job_id(name))?;
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
            check,
            audit: MILLION,
            checker_fee: amount(fee),
            // Hidden tests are their client's, so jurors drawn by lot have the last word.
            appeals: u8::from(matches!(check, Check::Gold { .. })),
            stake: amount(0),
            deliver_by: self.clock.now().plus(Duration::from_millis(time)),
            check_ms: CHECK_MS.max(rules.least_check_ms),
        };
        let tariff = self.desk.read(|state| tariff(state, &terms, USUAL_MARGIN_BPS));
        let least = match many {
            Some(_) => tariff.least_share(price),
            None => {
                tariff.least_budget(&works, &sold, tariff.reserve).map_err(|none| match none {
                    NoQuote::NotForSale(service) => HireProblem::NotForSale(service),
                    NoQuote::TooLittle { least } => self.too_little(budget, &works, least),
                })?
            }
        };
        if budget.minor() < least {
            return Err(self.too_little(budget, &works, least));
        }
        // A foreman dares no more than its price, however much there is to spend.
        let dares = match (alone, many) {
            (Some(_), _) | (_, Some(_)) => price,
            (None, None) => least.min(budget.minor() / 10),
        };
        terms.stake = amount(stake(&terms.check, fee, dares));
        let (check, least, prices) = (chosen, amount(least), sold);
        Ok(Prepared { order, plan, terms, check, least, prices, labelling, written })
    }

    /// The plan's work as one job of labels, if somebody sells that.
    fn labels(&self, plan: &Plan, sold: &Prices) -> Option<(Service, Labels)> {
        let service = plan.same_for_all()?.of_many()?;
        // What stands in such an offer is for as many items as there may be.
        let unit = (sold.get(&service)? + MOST_ITEMS as i128 - 1) / MOST_ITEMS as i128;
        let items = u32::try_from(plan.order().inputs.len()).ok()?;
        Some((service, Labels { items, unit }))
    }

    /// The terms of a check. The key to hidden tests comes with [`Prepared::mix_in`].
    fn check_of(&self, chosen: &Chosen, job: JobId) -> Result<Check, HireProblem> {
        let seats = chosen.seats();
        Ok(match chosen.plan.kind {
            CheckKind::Exact => Check::Exact { executors: seats },
            CheckKind::Redundant => Check::Redundant { peers: seats },
            CheckKind::Juror => Check::Juror { jurors: seats },
            CheckKind::Optimistic => Check::Optimistic { window_ms: WINDOW_MS, executors: seats },
            CheckKind::Peer => Check::Peer { raters: seats, pass_mark: RATERS_MARK },
            CheckKind::Gold => {
                let key = Digest::default();
                let examiner = self.examiner(job).ok_or(HireProblem::NoExaminer)?;
                Check::Gold { examiner, key, pass_mark: TESTS_MARK }
            }
        })
    }

    /// One of those whom this party trusts and who has a stake in the pool: by the job's name, so that none of
    /// them has all the work.
    fn examiner(&self, job: JobId) -> Option<Party> {
        let able: Vec<Party> = self.desk.read(|state| {
            let has_stake = |party: &&Party| state.holding(**party).stake.is_positive();
            self.examiners.iter().filter(has_stake).copied().collect()
        });
        let at = usize::try_from(job.as_u128() % able.len().max(1) as u128).ok()?;
        able.get(at).copied()
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
        self.open_job(prepared.terms, prepared.written, files).await
    }

    pub(crate) async fn open_job(
        &self,
        terms: Terms,
        written: Vec<Vec<u8>>,
        files: Vec<Attached>,
    ) -> Result<JobId, HireProblem> {
        for file in files {
            let Attached { media_type, body } = file;
            self.desk.keep(Document { author: self.party, media_type, body }).await?;
        }
        for body in written {
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
