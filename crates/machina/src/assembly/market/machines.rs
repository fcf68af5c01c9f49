//! The machines of this home at the market: they offer their work, bid, work and deliver.
//!
//! Each machine is a key, a price and a model. Rivals in one skill differ in both, so a round has
//! somebody to choose from. What a machine seals (a bid, a delivery, a report) it seals with a salt
//! that follows from its key and the job, so after a restart it opens what it sealed before.
//!
//! Work that its input makes impossible is delivered all the same, as the canonical words of why:
//! whoever does it again finds the same, and nobody loses a stake by somebody else's broken file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex};

use ::market::desk::Document;
use ::market::{
    BidState, Check, CheckKind, Delivery, Digest, Job, JobId, MoveId, Offer, OfferId, Operation,
    Outcome, Party, Pricing, Report, Skill, Stage, bid_commitment,
};
use ::money::Amount;
use foreman::Service;
use foreman::labelling::{Batch, MOST_ITEMS};
use mandates::Key;
use payments::Purchase;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

use super::capital::capital;
use super::guests::Guests;
use super::models::{Model, Post, posts};
use super::{LOOK_EVERY, Market, labelling};
use crate::failure::Failure;

/// What a checker puts in the pool.
const POOL_STAKE: &str = "0.4";
/// How many jobs a machine takes at a time.
const CAPACITY: u32 = 16;
/// How many pieces of work are done at once, of all machines together.
pub const LANES: usize = 4;
/// How many jobs are looked at before what is to be done in them is submitted.
const AT_A_TIME: usize = 256;
/// How many digests that were found are remembered.
const MOST_FOUND: usize = 4_096;

/// A machine that works, by one of its offers.
pub struct Machine {
    pub key: Key,
    pub offer: Offer,
    pub service: Service,
    pub model: Arc<Model>,
    /// The checks under which it bids.
    pub(super) checks: BTreeSet<CheckKind>,
}

/// All machines of this home that work or check.
pub struct Workshop {
    pub machines: Vec<Machine>,
    pub checkers: Vec<Key>,
    /// Machines whose work is done at an endpoint elsewhere.
    pub guests: Guests,
    /// Which model stands behind which offer: whoever checks does the same work with it.
    by_offer: HashMap<OfferId, Arc<Model>>,
    /// The models of a skill; by the first, offers of others are checked.
    by_skill: HashMap<Skill, Vec<Arc<Model>>>,
    /// What is in somebody's hands now.
    busy: Mutex<HashSet<(JobId, Party)>>,
    /// What somebody found and sealed, until it is opened; after a restart it is found again.
    found: Mutex<HashMap<(JobId, Party), Report>>,
    /// What somebody has looked at again and need not look at another time: work that is paid by silence and was let
    /// pass, and lost work of its own.
    watched: Mutex<HashSet<(JobId, Party)>>,
    lanes: Arc<Semaphore>,
}

/// Brings the money and the offers of the machines whose models are here to the market.
pub async fn open(market: &Arc<Market>) -> Result<Arc<Workshop>, Failure> {
    let vision = market.parts.vision.clone();
    let posts = tokio::task::spawn_blocking(move || posts(vision)).await;
    let posts = posts.map_err(Failure::new)?.map_err(Failure::new)?;
    let cast = &market.parts.cast;
    let asset = market.parts.chain.token().asset;
    let mut machines = Vec::new();
    for Post { machine, service, price, model } in posts {
        let Some(key) = cast.machine(machine) else { continue };
        let price = Amount::parse(asset, price)?;
        machines.push(machine_of(key, service, price, &model));
        if let Some(many) = service.of_many() {
            // For as many items as there may be.
            let price = Amount::from_minor(asset, price.minor() * MOST_ITEMS as i128);
            machines.push(machine_of(key, many, price, &model));
        }
    }
    let mut by_skill: HashMap<Skill, Vec<Arc<Model>>> = HashMap::new();
    for machine in &machines {
        by_skill.entry(machine.offer.skill).or_default().push(Arc::clone(&machine.model));
    }
    let by_offer = machines.iter().map(|m| (m.offer.id, Arc::clone(&m.model))).collect();
    let workshop = Arc::new(Workshop {
        machines,
        checkers: cast.checkers.clone(),
        guests: Guests::default(),
        by_offer,
        by_skill,
        busy: Mutex::default(),
        found: Mutex::default(),
        watched: Mutex::default(),
        lanes: Arc::new(Semaphore::new(LANES)),
    });
    workshop.settle_in(market).await?;
    Ok(workshop)
}

pub(super) fn machine_of(
    key: &Key,
    service: Service,
    price: Amount,
    model: &Arc<Model>,
) -> Machine {
    let party = key.party();
    // Another price or model is another offer.
    let terms = format!("{} {} {}", service.name(), model.weights, price.minor());
    let id = OfferId::derive(&[party.as_bytes(), terms.as_bytes()]);
    let standard =
        Offer { capacity: CAPACITY, ..Offer::standard(id, party, service.skill(), price) };
    let (offer, checks) = match service.of_one() {
        None => {
            let again = [CheckKind::Exact, CheckKind::Redundant, CheckKind::Optimistic];
            let offer = Offer { checks: again.into(), ..standard };
            (offer, again.into_iter().chain([CheckKind::Juror]).collect())
        }
        // Labels are compared with others', which may err: who orders at the posted price asks nobody whether
        // there is anything to be labelled, so nothing is at stake there.
        Some(_) => {
            let most_stake = Amount::from_minor(price.asset(), 0);
            let offer = Offer { checks: [CheckKind::Peer].into(), most_stake, ..standard };
            (offer, [CheckKind::Peer, CheckKind::Gold].into())
        }
    };
    Machine { key: key.clone(), offer, service, model: Arc::clone(model), checks }
}

impl Workshop {
    /// Money first, then checkers in the pool, then offers.
    async fn settle_in(&self, market: &Arc<Market>) -> Result<(), Failure> {
        let cast = &market.parts.cast;
        let foreman = cast.machine("foreman");
        let keys = self.machines.iter().map(|m| &m.key).chain(&self.checkers).chain(foreman);
        for key in keys {
            if let Err(failure) = capital(market, key).await {
                let name = cast.name(key.party());
                tracing::warn!(error = failure.message, name, "a machine has no working capital");
            }
        }
        let asset = market.parts.chain.token().asset;
        let stake = Amount::parse(asset, POOL_STAKE)?;
        for checker in &self.checkers {
            let party = checker.party();
            let holding = market.desk().holding(party);
            if holding.stake.is_zero() && holding.free.minor() >= stake.minor() {
                market.submit(Operation::Enlist { party, stake }).await?;
            }
        }
        // Whoever is drawn for work that nobody here can do would lose a deposit, or fail honest work.
        let skills: BTreeSet<Skill> = self.checkable().collect();
        for checker in &self.checkers {
            let party = checker.party();
            if market.desk().holding(party).stake.is_positive() {
                let skills = Some(skills.clone());
                market.submit(Operation::Qualify { party, skills }).await?;
            }
        }
        for machine in &self.machines {
            market.submit(Operation::Publish(machine.offer.clone())).await?;
        }
        // Of guests of an earlier run that ended without a word, whoever is hired now would wait.
        super::guests::retire_all(market).await
    }

    /// What this home's checkers can check: work whose model is here, a foreman's, and with its person's word a
    /// person's.
    fn checkable(&self) -> impl Iterator<Item = Skill> {
        let others = [Service::Compose, Service::Answer].map(Service::skill);
        self.by_skill.keys().copied().chain(others)
    }

    /// Has all machines look at what happens at the market.
    pub fn start(self: &Arc<Self>, market: &Arc<Market>) -> tokio::task::JoinHandle<()> {
        let mut changes = market.desk().subscribe();
        let (workshop, market) = (Arc::clone(self), Arc::downgrade(market));
        tokio::spawn(async move {
            let mut jobs = None;
            loop {
                let Some(market) = market.upgrade() else { return };
                workshop.look(&market, jobs.take()).await;
                drop(market);
                jobs = match tokio::time::timeout(LOOK_EVERY, changes.recv()).await {
                    Ok(Ok(change)) => Some(change.jobs.clone()),
                    // Too far behind, or nothing happened for a while: all are looked at.
                    Ok(Err(RecvError::Lagged(_))) | Err(_) => None,
                    Ok(Err(RecvError::Closed)) => return,
                };
            }
        })
    }

    /// Does what there is to do in these jobs, or in all that are under way.
    async fn look(self: &Arc<Self>, market: &Arc<Market>, jobs: Option<Vec<JobId>>) {
        let all =
            || market.desk().read(|state| state.under_way().map(|job| job.terms.id).collect());
        let names: Vec<JobId> = jobs.unwrap_or_else(all);
        let guests = self.guests.at_work();
        for names in names.chunks(AT_A_TIME) {
            let jobs: Vec<Job> = market
                .desk()
                .read(|state| names.iter().filter_map(|job| state.job(*job).cloned()).collect());
            let mut operations = Vec::new();
            for job in &jobs {
                for machine in &self.machines {
                    operations.extend(self.next_of(market, machine, job));
                }
                for guest in &guests {
                    operations.extend(self.next_of(market, guest, job));
                }
                for checker in &self.checkers {
                    operations.extend(self.check_next(market, checker, job));
                }
            }
            submit(market, operations).await;
        }
    }

    /// What a machine does next in a job, if anything; work itself begins in a task.
    fn next_of(
        self: &Arc<Self>,
        market: &Arc<Market>,
        machine: &Machine,
        job: &Job,
    ) -> Option<Operation> {
        let (me, offer, id) = (machine.key.party(), machine.offer.id, job.terms.id);
        let bid = job.bids.iter().find(|bid| bid.offer == offer);
        match job.stage {
            Stage::Bidding if bid.is_none() => {
                let price = self.asks(market, machine, job)?;
                Some(match job.terms.pricing {
                    Pricing::Auction { committed: true, .. } => {
                        let commitment = bid_commitment(id, me, price, &salt(&machine.key, id));
                        Operation::Commit { job: id, offer, commitment }
                    }
                    _ => Operation::Bid { job: id, offer, price },
                })
            }
            Stage::Revealing => match bid?.state {
                BidState::Sealed(_) => {
                    let (price, salt) = (self.price(market, machine, job)?, salt(&machine.key, id));
                    Some(Operation::Reveal { job: id, offer, price, salt })
                }
                BidState::Told(_) | BidState::TakenBack | BidState::Unopened => None,
            },
            Stage::Working if job.offer == Some(offer) => {
                if self.take_up(id, me) {
                    let (workshop, market) = (Arc::clone(self), Arc::clone(market));
                    let (key, model) = (machine.key.clone(), Arc::clone(&machine.model));
                    let job = job.clone();
                    tokio::spawn(async move {
                        let done = workshop.work(&market, &key, model, &job).await;
                        workshop.hand_in(&market, job.terms.id, key.party(), done).await;
                    });
                }
                None
            }
            Stage::Reporting if job.offer == Some(offer) && job.opened.is_none() => {
                let Some(Delivery::Sealed(_)) = job.delivery else { return None };
                if self.take_up(id, me) {
                    let (workshop, market) = (Arc::clone(self), Arc::clone(market));
                    let (key, model) = (machine.key.clone(), Arc::clone(&machine.model));
                    let job = job.clone();
                    tokio::spawn(async move {
                        let done = workshop.open_delivery(&market, &key, model, &job).await;
                        workshop.hand_in(&market, job.terms.id, key.party(), done).await;
                    });
                }
                None
            }
            Stage::Appealable if job.offer == Some(offer) => {
                self.appeal_next(market, machine, job);
                None
            }
            _ => None,
        }
    }

    /// What a machine bids for a job, if it is its kind of work, on terms that it can bear, with an input
    /// that it can read.
    fn asks(&self, market: &Market, machine: &Machine, job: &Job) -> Option<Amount> {
        let (terms, offer) = (&job.terms, &machine.offer);
        let is_open = matches!(terms.pricing, Pricing::Auction { .. } | Pricing::Quotes);
        let is_examined = match terms.check {
            // The client writes the key to what is right, and names who opens it. A stranger's key may be false:
            // then its labels were free, and the machine's stake and record gone.
            Check::Gold { examiner, .. } => {
                market.lives_here(terms.client)
                    && self.checkers.iter().any(|key| key.party() == examiner)
            }
            _ => true,
        };
        // Who cannot work now, or is about to leave, takes nothing on.
        let may = machine.model.endpoint.as_ref().is_none_or(|endpoint| endpoint.takes_work());
        let suits = may
            && is_open
            && is_examined
            && terms.skill == offer.skill
            && terms.client != offer.worker
            && !job.bids.iter().any(|bid| bid.worker == offer.worker)
            && terms.check.pass_mark().is_none_or(|mark| mark <= offer.most_mark)
            && machine.checks.contains(&terms.check.kind());
        if !suits {
            return None;
        }
        let price = self.price(market, machine, job)?;
        let bears = price.minor() <= job.most_price() && terms.stake.minor() <= 2 * price.minor();
        bears.then_some(price)
    }

    /// A machine's price for a job, by what there is to do; none if it cannot read what that is.
    fn price(&self, market: &Market, machine: &Machine, job: &Job) -> Option<Amount> {
        let (desk, terms) = (market.desk(), &job.terms);
        let price = machine.offer.price;
        let read = || {
            if !desk.may_use(terms.id, terms.brief)? {
                return Ok(None);
            }
            let length = desk.document_len(terms.brief)?;
            if length.is_none_or(|bytes| bytes > machine.service.max_bytes()) {
                return Ok(None);
            }
            if machine.service.of_one().is_none() {
                return Ok(Some(price));
            }
            let brief = desk.asked(terms.id)?;
            let batch = brief.and_then(|brief| Batch::from_json(&brief.body));
            Ok::<_, ::market::desk::DeskError>(batch.map(|batch| {
                let unit = price.minor() / MOST_ITEMS as i128;
                Amount::from_minor(price.asset(), unit * batch.items.len() as i128)
            }))
        };
        read().unwrap_or_else(|error| {
            tracing::warn!(%error, job = %terms.id, "a brief cannot be read");
            None
        })
    }

    async fn work(
        &self,
        market: &Arc<Market>,
        key: &Key,
        model: Arc<Model>,
        job: &Job,
    ) -> Option<Operation> {
        let (id, by) = (job.terms.id, key.party());
        let operation = match self.answer(market, model, job).await {
            Ok(Answered { report, media_type, body }) => {
                let document = Document { author: by, media_type, body };
                match market.desk().keep(document).await {
                    Ok(_) => {
                        self.remember(id, by, &report);
                        let delivery = match job.terms.check.is_sealed() {
                            true => Delivery::Sealed(report.commitment(id, by, &salt(key, id))),
                            false => Delivery::Open(report),
                        };
                        Operation::Submit { job: id, by, delivery }
                    }
                    Err(error) => {
                        tracing::error!(%error, job = %id, "a deliverable could not be kept");
                        return None; // It is done again when the market can be written.
                    }
                }
            }
            Err(failure) => {
                tracing::error!(error = failure.message, job = %id, "a job is given up");
                Operation::Abandon { job: id, by }
            }
        };
        Some(operation)
    }

    async fn open_delivery(
        &self,
        market: &Arc<Market>,
        key: &Key,
        model: Arc<Model>,
        job: &Job,
    ) -> Option<Operation> {
        let (id, by) = (job.terms.id, key.party());
        match self.found(market, model, job, by).await {
            Ok(report) => {
                Some(Operation::RevealReport { job: id, by, report, salt: salt(key, id) })
            }
            Err(failure) => {
                tracing::error!(error = failure.message, job = %id, "a delivery stays sealed");
                None
            }
        }
    }

    /// The answer to a job's brief by this model. The same model finds the same bytes, or labels.
    pub async fn answer(
        &self,
        market: &Arc<Market>,
        model: Arc<Model>,
        job: &Job,
    ) -> Result<Answered, Failure> {
        // The lane first: who waits for one holds no brief in memory.
        // An endpoint that is slow keeps nobody else waiting: it has lanes of its own.
        let lanes = model.endpoint.as_ref().map_or(&self.lanes, |endpoint| endpoint.lanes());
        let lane = Arc::clone(lanes).acquire_owned().await.map_err(Failure::new)?;
        let (market, job) = (Arc::clone(market), job.clone());
        let refused =
            |why: &dyn Display| Answered::of_bytes("application/json", foreman::refused(why));
        let work = tokio::task::spawn_blocking(move || {
            let _lane = lane;
            let worker = model.worker().map_err(Failure::new)?;
            if let Some(one) = Service::of(job.terms.skill).and_then(Service::of_one) {
                let names = market.labels();
                let labels = labelling::labels(names, market.desk(), &job, one, worker.as_ref())?;
                return Ok(Answered::of_labels(labels));
            }
            // The doors open no job without its brief, and what is there stays there.
            let Some(brief) = market.desk().asked(job.terms.id).map_err(Failure::new)? else {
                return Ok(refused(&foreman::NO_BRIEF));
            };
            match worker.work(&brief.body) {
                Ok(work) => Ok(Answered::of_bytes(work.media_type, work.bytes)),
                Err(error) if error.is_input_error() => Ok(refused(&error)),
                Err(error) => Err(Failure::new(error)),
            }
        });
        work.await.map_err(Failure::new)?
    }

    /// What `by` found in a job before, or finds now.
    pub async fn found(
        &self,
        market: &Arc<Market>,
        model: Arc<Model>,
        job: &Job,
        by: Party,
    ) -> Result<Report, Failure> {
        let place = (job.terms.id, by);
        let known = self.found.lock().expect("nothing panics under this lock").get(&place).cloned();
        if let Some(report) = known {
            return Ok(report);
        }
        let Answered { report, .. } = self.answer(market, model, job).await?;
        self.remember(job.terms.id, by, &report);
        Ok(report)
    }

    fn remember(&self, job: JobId, by: Party, report: &Report) {
        let mut found = self.found.lock().expect("nothing panics under this lock");
        if found.len() >= MOST_FOUND {
            // Whoever needs what is forgotten finds it again.
            found.clear();
        }
        found.insert((job, by), report.clone());
    }

    /// Whether a party has looked at this job's work again, and needs no other look.
    pub fn has_watched(&self, job: JobId, party: Party) -> bool {
        self.watched.lock().expect("nothing panics under this lock").contains(&(job, party))
    }

    /// Notes that it has.
    pub fn note_watched(&self, job: JobId, party: Party) {
        let mut watched = self.watched.lock().expect("nothing panics under this lock");
        if watched.len() >= MOST_FOUND {
            // What is forgotten is looked at again.
            watched.clear();
        }
        watched.insert((job, party));
    }

    /// The model by which the work of this job is done again: the one behind its offer, or, for
    /// offers of others, the skill's usual one.
    pub fn model_of(&self, job: &Job) -> Option<Arc<Model>> {
        let by_offer = job.offer.and_then(|offer| self.by_offer.get(&offer));
        by_offer.or_else(|| self.by_skill.get(&job.terms.skill)?.first()).map(Arc::clone)
    }

    /// All models of a service here.
    pub fn models(&self, service: Service) -> &[Arc<Model>] {
        self.by_skill.get(&service.skill()).map_or(&[], Vec::as_slice)
    }

    /// Whether a party begins with a job now; `false` while it has it in hand.
    pub fn take_up(&self, job: JobId, party: Party) -> bool {
        self.busy.lock().expect("nothing panics under this lock").insert((job, party))
    }

    /// Puts a job out of hand, and then submits what was done in it: what follows from that may be
    /// the same party's to do.
    pub async fn hand_in(&self, market: &Market, job: JobId, by: Party, done: Option<Operation>) {
        self.busy.lock().expect("nothing panics under this lock").remove(&(job, by));
        submit(market, done.into_iter().collect()).await;
    }
}

/// An answer: what is reported of it, and the document that it is.
pub struct Answered {
    pub report: Report,
    pub media_type: String,
    pub body: Vec<u8>,
}

impl Answered {
    fn of_bytes(media_type: &str, body: Vec<u8>) -> Answered {
        let report = Report::Digest(Digest::of(&body));
        Answered { report, media_type: media_type.into(), body }
    }

    fn of_labels(labels: Vec<u16>) -> Answered {
        let report = Report::Labels(labels);
        let body = report.document().unwrap_or_default();
        Answered { report, media_type: "application/json".into(), body }
    }
}

/// What a key seals with in a job: nobody else can know it, and it is the same after a restart.
pub fn salt(key: &Key, job: JobId) -> Digest {
    Digest::new(key.secret_for(&format!("market/{job}")))
}

/// Submits, and notes what was refused: a rival was faster, or time has passed.
pub async fn submit(market: &Market, operations: Vec<Operation>) {
    if operations.is_empty() {
        return;
    }
    match market.desk().submit_all(operations.clone()).await {
        Ok(outcomes) => {
            for (outcome, operation) in outcomes.iter().zip(&operations) {
                if let Outcome::Refused(refusal) = outcome {
                    tracing::info!(%refusal, ?operation, "a machine was refused");
                }
            }
        }
        Err(error) => tracing::warn!(%error, "the market cannot be written"),
    }
}

impl Market {
    /// Pays money in, as the machine of this buyer, under its mandate.
    ///
    /// # Errors
    /// If it is refused; the message says what became of the money.
    pub async fn deposit(
        &self,
        buyer: &payments::Buyer,
        amount: Amount,
    ) -> Result<super::Deposited, Failure> {
        self.deposit_for(buyer, amount, String::new()).await
    }

    /// The same for a purpose, which the owner reads if the mandate asks, and whose word is for it alone.
    /// The market does not look at it, and takes 1,024 bytes.
    ///
    /// # Errors
    /// As [`Market::deposit`].
    pub async fn deposit_for(
        &self,
        buyer: &payments::Buyer,
        amount: Amount,
        purpose: String,
    ) -> Result<super::Deposited, Failure> {
        // What was minted a moment ago must be in the books before it can be held.
        self.parts.bookkeeper.reconcile(false).await?;
        let url = format!("{}/market/deposits?amount={}", self.parts.base, amount.number());
        let purchase = Purchase {
            method: http::Method::POST,
            url: reqwest::Url::parse(&url).map_err(Failure::new)?,
            media_type: (!purpose.is_empty()).then(|| "text/plain; charset=utf-8".into()),
            body: purpose.into(),
            max: Some(amount),
            agent: None,
        };
        let bought = buyer.buy(&purchase).await?;
        let paid = bought.paid.ok_or_else(|| Failure::new("the market took no deposit"))?;
        self.credit(&[paid.reference]).await?;
        let reference = paid.reference.to_string();
        Ok(super::Deposited { party: buyer.party(), amount: paid.amount, reference })
    }

    /// The name of a new withdrawal.
    pub fn new_move() -> MoveId {
        MoveId::derive(&[&crate::home::entropy()])
    }
}
