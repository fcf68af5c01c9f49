//! The foreman as a machine: it quotes for composite jobs, hires for them under their escrow, and
//! delivers what came of it.
//!
//! *Nothing is remembered here.* What to do next is read from the market each time: which jobs wait for a
//! quote, which of its own are at work, what their children came to. So a foreman that was killed goes
//! on where it was, and the same step taken twice is the same operation, which the market knows.
//!
//! *Money.* It answers for what it hires with its own free money, as the market demands; a job that it
//! cannot finish it gives up, and the client has all of its money back.
//!
//! *Bounds.* At most [`Settings::capacity`] jobs at a time, each with at most [`MAX_TRIES`] workers for one piece of
//! work, and [`MAX_ROUNDS`] rounds for it in which nobody was hired.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use market::desk::{Change, Desk, DeskError, Document};
use market::{
    Amount, Check, CheckKind, Delivery, Digest, Job, JobId, MAX_MINOR, MILLION, Offer, OfferId,
    Operation, Outcome, Party, Pricing, Refusal, Report, Rules, Skill, Stage, State, Terms,
};
use money::Clock;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::answer::{NO_BRIEF, refused};
use crate::budget::Tariff;
use crate::hiring::MAX_ROUNDS;
use crate::order::Order;
use crate::plan::{MAX_TRIES, Plan, Step, Work};
use crate::pricing::{Known, prices};
use crate::service::Service;

/// How long a hired machine has for one piece of work, in milliseconds.
pub const WORK_MS: u64 = 60_000;
/// How long checkers have for one piece of work, in milliseconds.
pub const CHECK_MS: u64 = 10_000;
/// How many times its budget a piece of work is worth to who hires for it. A newcomer's quality is drawn from
/// nothing to one and it is hired only for less than its worth, so one that bids alone at its price goes unhired
/// with a chance of at most one in this many.
pub const WORTH: i128 = 8;
/// The most that the foreman puts at stake in a job, in quotes of its own for it.
const MOST_STAKES: i128 = 2;
/// From when a piece of work is hired for until it must be delivered, in milliseconds: its round first.
pub fn deliver_ms(rules: &Rules) -> u64 {
    rules.bid_ms + rules.reveal_ms + rules.entropy_ms + WORK_MS
}

/// The least time that a foreman needs for a job, in milliseconds: all tries of the first step and of the
/// last, each with its round, its work and two panels. Most jobs take seconds.
pub fn compose_ms(rules: &Rules) -> u64 {
    let panels = 2 * (rules.entropy_ms + CHECK_MS.max(rules.least_check_ms) + rules.report_ms);
    2 * u64::from(MAX_TRIES) * (deliver_ms(rules) + panels)
}

/// How a foreman works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it keeps of what it hires for, in basis points.
    pub margin_bps: u16,
    /// How many jobs it takes at a time.
    pub capacity: u32,
    /// What stands in its offer, where it is hired at a posted price.
    pub posted: Amount,
    /// Bytes that nobody else knows: what it delivers is sealed with salts made of them.
    pub secret: [u8; 32],
    /// Whose offers it believes without having seen their work.
    pub known: Known,
}

/// A foreman at a market.
pub struct Agent {
    desk: Desk,
    party: Party,
    clock: Arc<dyn Clock>,
    settings: Settings,
}

impl Agent {
    /// The foreman `party`, who has free money at this desk.
    pub fn new(desk: Desk, party: Party, clock: Arc<dyn Clock>, settings: Settings) -> Agent {
        Agent { desk, party, clock, settings }
    }

    /// Its offer: there is one of it, whoever asks and however often it starts.
    pub fn offer(&self) -> Offer {
        let skill = Service::Compose.skill();
        let price = self.settings.posted;
        let id = OfferId::derive(&[
            b"foreman/2",
            self.party.as_bytes(),
            &price.minor().to_be_bytes(),
            &self.settings.capacity.to_be_bytes(),
        ]);
        Offer {
            capacity: self.settings.capacity,
            least_ms: self.desk.read(|state| compose_ms(state.rules())),
            checks: [CheckKind::Exact, CheckKind::Optimistic].into(),
            // At the posted price nobody asks it first whether the files are there and the money will do: what
            // cannot be done it gives up, and loses nothing.
            most_stake: Amount::from_minor(price.asset(), 0),
            ..Offer::standard(id, self.party, skill, price)
        }
    }

    /// Offers its work. The same again changes nothing.
    ///
    /// # Errors
    /// If the market cannot be written. A refusal is noted: it is a bug, or the foreman has too many offers.
    pub async fn publish(&self) -> Result<(), DeskError> {
        let outcome = self.desk.submit(Operation::Publish(self.offer())).await?;
        if !outcome.holds() {
            tracing::error!(?outcome, "the foreman's offer was refused");
        }
        Ok(())
    }

    /// Works until the desk closes.
    pub async fn run(self) {
        let mut changes = self.desk.subscribe();
        let mut looking = self.all();
        let mut waiting: BTreeSet<JobId> = BTreeSet::new();
        loop {
            for job in std::mem::take(&mut looking) {
                match self.consider(job).await {
                    Ok(Next::Wait) => {
                        waiting.insert(job);
                    }
                    Ok(Next::Hear) => {
                        waiting.remove(&job);
                    }
                    Err(DeskError::Closed) => return,
                    Err(error) => {
                        tracing::warn!(%error, %job, "the foreman could not go on with a job");
                        waiting.insert(job);
                    }
                }
            }
            looking = match heard(&mut changes).await {
                Heard::Jobs(jobs) => self.mine(&jobs),
                Heard::Missed => self.all(),
                Heard::Closed => return,
            };
            looking.extend(&waiting);
        }
    }

    /// Every composite job that is under way.
    fn all(&self) -> BTreeSet<JobId> {
        let compose = Service::Compose.skill();
        self.desk.read(|state| {
            let open = state.under_way().filter(|job| job.terms.skill == compose);
            open.map(|job| job.terms.id).collect()
        })
    }

    /// The composite jobs that these changes are about: themselves, or what they hired.
    fn mine(&self, jobs: &BTreeSet<JobId>) -> BTreeSet<JobId> {
        let compose = Service::Compose.skill();
        self.desk.read(|state| {
            let composite = |id: &JobId| state.job(*id).filter(|job| job.terms.skill == compose);
            let above = jobs.iter().filter_map(|id| state.job(*id)?.terms.parent);
            jobs.iter()
                .copied()
                .chain(above)
                .filter(|id| composite(id).is_some_and(|job| !job.stage.is_final()))
                .collect()
        })
    }

    /// Takes the next step with one job.
    async fn consider(&self, id: JobId) -> Result<Next, DeskError> {
        let Some(job) = self.desk.job(id) else { return Ok(Next::Hear) };
        match job.stage {
            Stage::Bidding if job.bids.iter().all(|bid| bid.worker != self.party) => {
                self.quote(&job).await
            }
            Stage::Working if job.worker == Some(self.party) => self.go_on(&job).await,
            Stage::Reporting if job.worker == Some(self.party) && job.opened.is_none() => {
                self.open_delivery(&job).await
            }
            _ => Ok(Next::Hear),
        }
    }

    async fn quote(&self, job: &Job) -> Result<Next, DeskError> {
        if job.terms.client == self.party || matches!(job.terms.pricing, Pricing::Posted { .. }) {
            return Ok(Next::Hear);
        }
        let Ok(plan) = planned(&self.desk, job.terms.id)? else { return Ok(Next::Hear) };
        if !self.can_be_worked_on(job.terms.id, &plan)? {
            return Ok(Next::Hear);
        }
        let tariff = self.desk.read(|state| tariff(state, &job.terms, self.settings.margin_bps));
        let works = plan.works();
        let prices = prices(&self.desk, &works, &self.settings.known, self.party);
        // Who cannot be hired for what the budget leaves makes no bid.
        let Ok(quote) = tariff.quote(&works, &prices, job.most_price()) else {
            return Ok(Next::Hear);
        };
        // A tenth of the stake is lost with a job that somebody else can make fail.
        let most =
            stake(&job.terms.check, job.terms.checker_fee.minor(), MOST_STAKES * quote.price);
        if job.terms.stake.minor() > most {
            return Ok(Next::Hear);
        }
        let asset = job.terms.budget.asset();
        let price = Amount::from_minor(asset, quote.price);
        let offer = self.offer().id;
        let outcome = self.desk.submit(Operation::Bid { job: job.terms.id, offer, price }).await?;
        Ok(told(job.terms.id, "bid", &outcome))
    }

    /// Whether the job's client has handed in all files of its plan. What is there stays there.
    fn can_be_worked_on(&self, job: JobId, plan: &Plan) -> Result<bool, DeskError> {
        for input in &plan.order().inputs {
            if !self.desk.may_use(job, input.digest)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hires what the next step needs, or delivers: also that there is nothing to be done, if the brief is
    /// no order that can be planned. Who hires at the posted price asks nobody first.
    async fn go_on(&self, job: &Job) -> Result<Next, DeskError> {
        let plan = match planned(&self.desk, job.terms.id)? {
            Ok(plan) => plan,
            Err(why) => return self.deliver(job, refused(why)).await,
        };
        let children = self.desk.children(job.terms.id);
        // Before anything is spent.
        if children.is_empty() && !self.can_be_worked_on(job.terms.id, &plan)? {
            return self.give_up(job).await;
        }
        let deliveries = deliveries(&self.desk, job.terms.id, &plan, &children)?;
        match plan.next(|skill, brief| deliveries.get(&(skill, brief)).map(Vec::as_slice)) {
            Step::Deliver(composite) => {
                if job.open_children > 0 {
                    return Ok(Next::Hear);
                }
                self.deliver(job, composite.to_json()).await
            }
            Step::Hire(works) => self.hire(job, &plan, &children, works).await,
        }
    }

    async fn hire(
        &self,
        job: &Job,
        plan: &Plan,
        children: &[Job],
        works: Vec<Work>,
    ) -> Result<Next, DeskError> {
        let tariff = self.desk.read(|state| tariff(state, &job.terms, self.settings.margin_bps));
        let all = plan.works();
        let prices = prices(&self.desk, &all, &self.settings.known, self.party);
        let shares = tariff.quote(&all, &prices, job.price).map(|quote| quote.shares);
        let fee = self.desk.read(|state| state.rules().fee(job.price));
        let mut left = job.price - fee - job.spent - job.allotted;
        let mut open = works.len() as i128;
        let mut next = Next::Hear;
        for work in works {
            let skill = work.service.skill();
            let of = |child: &&Job| child.terms.skill == skill && child.terms.brief == work.brief;
            let tries: Vec<&Job> = children.iter().filter(of).collect();
            if tries.iter().any(|child| !child.stage.is_final() && child.stage != Stage::Open) {
                open -= 1;
                continue;
            }
            // Described and without money: what kept its money back may be over, or its time is.
            if let Some(child) = tries.iter().find(|child| child.stage == Stage::Open) {
                match self.fund_or_cancel(child).await? {
                    Some(now) => next = now,
                    None => return Ok(Next::Wait),
                }
                open -= 1;
                continue;
            }
            let held = tries.iter().filter(|child| child.was_funded());
            let (lost, unhired): (Vec<&&Job>, Vec<&&Job>) =
                held.partition(|child| child.worker.is_some());
            let (lost, unhired) = (lost.len(), unhired.len());
            // Who sells it is busy.
            let Some(price) = prices.get(&work.service).copied() else { return Ok(Next::Wait) };
            // Who lost by lot did no bad work: its rounds are counted apart.
            if lost >= MAX_TRIES as usize || unhired >= usize::from(MAX_ROUNDS) {
                tracing::warn!(job = %job.terms.id, service = work.service.name(), "given up after so many tries");
                return self.give_up(job).await;
            }
            // Its share of the quote, or an even part of what is left if prices have risen since.
            let place = all.iter().position(|service| *service == work.service);
            let share = match (&shares, place) {
                (Ok(shares), Some(place)) => shares[place],
                _ => left / open.max(1),
            };
            open -= 1;
            // For which nobody worked it was too little.
            let Some(share) = tariff.again(share << unhired, left, price) else {
                return self.give_up(job).await;
            };
            left -= share;
            if let Some(written) = work.written.clone() {
                let document = Document {
                    author: self.party,
                    media_type: "application/json".into(),
                    body: written,
                };
                self.desk.keep(document).await?;
            }
            let terms = self.child(job, &work, tries.len(), share, price);
            let id = terms.id;
            let outcomes = self
                .desk
                .submit_all(vec![Operation::Open(Box::new(terms)), Operation::Fund { job: id }])
                .await?;
            match outcomes.as_slice() {
                [.., Outcome::Applied | Outcome::Exists] => {}
                // Its money is bound elsewhere, or checkers are busy: later.
                [.., Outcome::Refused(refusal)] if refusal.can_retry() => next = Next::Wait,
                // No time is left, or no room for another hire.
                [.., Outcome::Refused(refusal)] => {
                    tracing::warn!(job = %job.terms.id, %refusal, "the foreman cannot hire");
                    return self.give_up(job).await;
                }
                [] => {}
            }
        }
        Ok(next)
    }

    /// Funds a job that could not be funded before; `None` if it was taken back, and another can be opened.
    async fn fund_or_cancel(&self, child: &Job) -> Result<Option<Next>, DeskError> {
        let job = child.terms.id;
        match self.desk.submit(Operation::Fund { job }).await? {
            Outcome::Applied | Outcome::Exists => Ok(Some(Next::Hear)),
            Outcome::Refused(refusal) if refusal.can_retry() => Ok(Some(Next::Wait)),
            Outcome::Refused(_) => {
                let cancel = Operation::Cancel { job, by: self.party };
                let _ = self.desk.submit(cancel).await?;
                Ok(None)
            }
        }
    }

    /// The terms of one hire. The same try has the same name and the same terms, but for its time.
    fn child(&self, job: &Job, work: &Work, tries: usize, share: i128, price: i128) -> Terms {
        let asset = job.terms.budget.asset();
        let amount = |minor| Amount::from_minor(asset, minor);
        let above = &job.terms;
        let (time, check_ms) = self.desk.read(|state| {
            let rules = state.rules();
            (deliver_ms(rules), CHECK_MS.max(rules.least_check_ms))
        });
        Terms {
            id: JobId::derive(&[
                b"foreman",
                &above.id.as_u128().to_be_bytes(),
                work.service.name().as_bytes(),
                work.brief.as_bytes(),
                &(tries as u64).to_be_bytes(),
            ]),
            client: self.party,
            parent: Some(above.id),
            skill: work.service.skill(),
            brief: work.brief,
            budget: amount(share),
            worth: amount(share.saturating_mul(WORTH).min(MAX_MINOR)),
            quality: above.quality,
            pricing: Pricing::Auction { committed: false, bond: amount(0) },
            check: above.check,
            audit: MILLION,
            checker_fee: above.checker_fee,
            appeals: 0,
            stake: amount(stake(&above.check, above.checker_fee.minor(), price)),
            deliver_by: self.clock.now().plus(Duration::from_millis(time)),
            check_ms,
        }
    }

    async fn deliver(&self, job: &Job, body: Vec<u8>) -> Result<Next, DeskError> {
        let id = job.terms.id;
        let document = Document { author: self.party, media_type: "application/json".into(), body };
        let report = Report::Digest(self.desk.keep(document).await?);
        let delivery = match job.terms.check.is_sealed() {
            true => Delivery::Sealed(report.commitment(id, self.party, &self.salt(id))),
            false => Delivery::Open(report),
        };
        let outcome =
            self.desk.submit(Operation::Submit { job: id, by: self.party, delivery }).await?;
        Ok(told(id, "deliver", &outcome))
    }

    /// Opens what was delivered sealed: it is what can be put together again.
    async fn open_delivery(&self, job: &Job) -> Result<Next, DeskError> {
        let id = job.terms.id;
        let Some(body) = again(&self.desk, id)? else { return Ok(Next::Hear) };
        let report = Report::Digest(Digest::of(&body));
        let (by, salt) = (self.party, self.salt(id));
        let outcome =
            self.desk.submit(Operation::RevealReport { job: id, by, report, salt }).await?;
        Ok(told(id, "open what it delivered", &outcome))
    }

    /// The client has its money back, and what was spent is this foreman's loss.
    async fn give_up(&self, job: &Job) -> Result<Next, DeskError> {
        let id = job.terms.id;
        let open = self.desk.children(id).into_iter().filter(|child| !child.stage.is_final());
        for child in open {
            // Whoever was hired already finishes; what hired nobody yet is taken back.
            let cancel = Operation::Cancel { job: child.terms.id, by: self.party };
            let _ = self.desk.submit(cancel).await?;
        }
        let outcome = self.desk.submit(Operation::Abandon { job: id, by: self.party }).await?;
        Ok(told(id, "give up", &outcome))
    }

    fn salt(&self, job: JobId) -> Digest {
        Digest::of(&[&self.settings.secret[..], &job.as_u128().to_be_bytes()].concat())
    }
}

/// What a job waits for.
enum Next {
    /// A change of its own.
    Hear,
    /// Any change: money or checkers are bound elsewhere.
    Wait,
}

fn told(job: JobId, what: &str, outcome: &Outcome) -> Next {
    match outcome {
        Outcome::Applied | Outcome::Exists => Next::Hear,
        // The stage has ended meanwhile: whatever follows is told.
        Outcome::Refused(Refusal::WrongStage { .. } | Refusal::BidExists { .. }) => Next::Hear,
        Outcome::Refused(refusal) if refusal.can_retry() => Next::Wait,
        Outcome::Refused(refusal) => {
            tracing::warn!(%job, %refusal, "the foreman could not {what}");
            Next::Hear
        }
    }
}

pub(crate) enum Heard {
    Jobs(BTreeSet<JobId>),
    Missed,
    Closed,
}

/// Which jobs changed: waits for one change, and takes all that are there.
pub(crate) async fn heard(changes: &mut tokio::sync::broadcast::Receiver<Arc<Change>>) -> Heard {
    let mut jobs = match changes.recv().await {
        Ok(change) => BTreeSet::from_iter(change.jobs.iter().copied()),
        Err(RecvError::Lagged(_)) => return Heard::Missed,
        Err(RecvError::Closed) => return Heard::Closed,
    };
    loop {
        match changes.try_recv() {
            Ok(change) => jobs.extend(change.jobs.iter().copied()),
            Err(TryRecvError::Lagged(_)) => return Heard::Missed,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return Heard::Jobs(jobs),
        }
    }
}

/// What a worker puts at stake in a job like this: its price; under an optimistic check at least what the
/// panel of a challenge costs, and its reward.
pub(crate) fn stake(check: &Check, checker_fee: i128, price: i128) -> i128 {
    match check {
        Check::Optimistic { .. } => price.max(check.most_fees() * checker_fee + 2),
        _ => price,
    }
}

/// What holds for the money of a job with these terms.
pub(crate) fn tariff(state: &State, terms: &Terms, margin_bps: u16) -> Tariff {
    let reserve = match terms.check {
        Check::Optimistic { .. } => 0,
        check => check.most_fees() * terms.checker_fee.minor(),
    };
    Tariff { fee_bps: state.rules().fee_bps, reserve, margin_bps }
}

/// What is to be done in a composite job, or why nothing can be. Whoever reads the same brief finds the same.
fn planned(desk: &Desk, job: JobId) -> Result<Result<Plan, String>, DeskError> {
    let Some(brief) = desk.asked(job)? else { return Ok(Err(NO_BRIEF.into())) };
    let plan = Order::from_json(&brief.body).and_then(|order| order.plan());
    Ok(plan.map_err(|problem| problem.to_string()))
}

/// What these jobs delivered that passed its check: of equal work the first that was hired for; and the texts
/// that the foreman of `job` reads itself. This is for the foreman, who paid for all of them, and for those who
/// run the market.
fn deliveries(
    desk: &Desk,
    job: JobId,
    plan: &Plan,
    children: &[Job],
) -> Result<BTreeMap<(Skill, Digest), Vec<u8>>, DeskError> {
    let mut found = BTreeMap::new();
    for text in plan.texts() {
        if desk.may_use(job, text)?
            && let Some(document) = desk.document(text)?
        {
            found.insert((Service::Compose.skill(), text), document.body);
        }
    }
    for child in children.iter().filter(|child| child.stage == Stage::Completed) {
        let key = (child.terms.skill, child.terms.brief);
        if found.contains_key(&key) {
            continue;
        }
        if let Some(document) = desk.delivered(child.terms.id)? {
            found.insert(key, document.body);
        }
    }
    Ok(found)
}

/// What the composite job must have delivered: its order planned again, and put together again from what
/// the jobs that it hired delivered and were paid for; of a brief that is no order, the words of why. This is the
/// `exact` check of a foreman's work. `None` if it is no composite job, or not all of it was done.
///
/// # Errors
/// [`DeskError::Io`].
pub fn again(desk: &Desk, job: JobId) -> Result<Option<Vec<u8>>, DeskError> {
    let Some(terms) = desk.job(job).map(|job| job.terms) else { return Ok(None) };
    if terms.skill != Service::Compose.skill() {
        return Ok(None);
    }
    let plan = match planned(desk, job)? {
        Ok(plan) => plan,
        Err(why) => return Ok(Some(refused(why))),
    };
    let deliveries = deliveries(desk, job, &plan, &desk.children(job))?;
    let lookup = |skill, brief| deliveries.get(&(skill, brief)).map(Vec::as_slice);
    Ok(match plan.next(lookup) {
        Step::Deliver(composite) => Some(composite.to_json()),
        Step::Hire(_) => None,
    })
}
