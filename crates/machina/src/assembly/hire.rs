//! Hiring at the labour market, as the shopper, under its mandate.
//!
//! Everything is decided before anything is spent: the plan, the check, the least budget, the mandate.
//! Then money is paid in, the job is opened and funded, and machines do the rest; what comes back from the
//! job is paid out again, under the job's own name, so that it is paid out once whatever is interrupted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::market::{CheckKind, Digest, Job, JobId, MoveId, Operation, Terms};
use ::money::Amount;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use foreman::checking::Wish;
use foreman::hiring::{Attached, HireProblem, Hiring, Prepared};
use foreman::person::Asked;
use foreman::{Input, Service};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use web::{JobLineView, JobStageView, JobView, MoneyWay};

use super::market::{Market, PaidBack};
use super::{Assembly, positive};
use crate::failure::Failure;
use crate::report::{
    HireOrder, HirePlan, HireStarted, JobBid, JobBranch, JobCheck, JobItem, JobMoney, JobReport,
    OffersFound, PlannedWork,
};

/// The most jobs whose money is looked after at a start.
const LATEST: usize = 256;
/// How often what a job left is paid out again if it could not be before.
const TRIED_AGAIN: Duration = Duration::from_secs(30);
/// The longest that a request waits for news of a job.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The most jobs whose payments back are remembered for reports.
const REMEMBERED: usize = 4_096;

/// How much of an order's words goes with its deposit, in characters: the market takes 1,024 bytes.
const WORDS_TOLD: usize = 160;

/// What hires of this process share.
#[derive(Default)]
pub struct Hires {
    /// One at a time from the money to the job: else two would count on the same free money.
    turn: tokio::sync::Mutex<()>,
    /// By which transaction a job's money came back.
    returned: Mutex<HashMap<JobId, String>>,
}

/// What is read of an order.
struct Wanted {
    inputs: Vec<Input>,
    files: Vec<Attached>,
    budget: Amount,
    wish: Wish,
}

/// What a deposit is for, as its owner reads it and in a line: budget, files, check, the digest of all that
/// the order says but its name, and its words, cut. It is part of what the owner's word is for.
fn purpose(order: &HireOrder, wanted: &Wanted) -> String {
    let inputs = wanted.inputs.iter();
    let files: Vec<_> =
        inputs.map(|it| (&it.name, &it.media_type, it.digest.to_string())).collect();
    let HireOrder { words, check, confidence_ppm, person_within_ms, .. } = order;
    let budget = wanted.budget;
    let whole = (words, budget.to_string(), check, confidence_ppm, person_within_ms, &files);
    let digest = Digest::of(format!("{whole:?}").as_bytes());
    let check = check.as_deref().unwrap_or("the cheapest that is sure enough");
    let check: String = check.chars().take(40).collect();
    let (shown, more): (String, _) =
        (words.chars().take(WORDS_TOLD).collect(), words.chars().nth(WORDS_TOLD));
    let cut = if more.is_some() { "…" } else { "" };
    format!(
        "for a hire with a budget of {budget}, {} files, check: {check}, order {digest}: {shown}{cut}",
        files.len()
    )
}

impl Assembly {
    fn hiring(&self) -> Hiring {
        let desk = self.market().desk().clone();
        Hiring::new(desk, self.cast.shopper.party(), self.clock.clone(), self.market().known())
            .with_examiners(self.market().examiners())
    }

    /// What would be done for an order, and for how much. Nothing is spent.
    ///
    /// # Errors
    /// Why it cannot be done, and what to do.
    pub async fn plan_hire(&self, order: &HireOrder) -> Result<HirePlan, Failure> {
        self.market().wake().await?;
        let wanted = self.wanted(order)?;
        if let Some(within_ms) = order.person_within_ms {
            let asked = self.ask_person(order, &wanted, within_ms)?;
            return Ok(self.told_of_person(&asked, wanted.budget));
        }
        let prepared = self.prepare(order, &wanted).await?;
        Ok(self.told(&prepared, wanted.budget))
    }

    /// Hires: pays in what is missing of the budget, opens the job and funds it. The same order under the
    /// same name is the same job.
    ///
    /// # Errors
    /// Why nobody was hired. Money that was paid in meanwhile is free at the market, and used by the next
    /// hire.
    pub async fn hire(&self, order: HireOrder) -> Result<HireStarted, Failure> {
        self.market().wake().await?;
        let wanted = self.wanted(&order)?;
        let _turn = self.market().hires().turn.lock().await;
        if let Some(within_ms) = order.person_within_ms {
            return self.hire_person(&order, wanted, within_ms).await;
        }
        let mut prepared = self.prepare(&order, &wanted).await?;
        let plan = self.told(&prepared, wanted.budget);
        let purpose = purpose(&order, &wanted);
        let mut files = wanted.files;
        if let Some(labelling) = prepared.labelling {
            // The same order under the same name hides the same.
            let purpose = format!("hidden/{}", prepared.terms.id);
            let secret = Digest::new(self.cast.shopper.secret_for(&purpose));
            let formats = files.iter().filter_map(|it| labour::picture::format_of(&it.body).ok());
            let hidden = self.market().hidden(labelling, secret, formats.collect()).await?;
            prepared.mix_in(&hidden, secret);
            files.extend(hidden.into_iter().map(|hidden| hidden.file));
        }
        if self.is_hired(&prepared.terms)? {
            return Ok(self.started(prepared.terms.id, plan));
        }
        self.pay_in(wanted.budget, purpose).await?;
        let job = self.hiring().open(prepared, files).await?;
        Ok(self.started(job, plan))
    }

    fn started(&self, job: JobId, plan: HirePlan) -> HireStarted {
        let url = format!("http://localhost:{}/jobs/{job}", self.place.port);
        HireStarted { job: job.to_string(), plan, url }
    }

    /// Whether this very order was given before: one that is sent again hires nobody twice.
    fn is_hired(&self, terms: &Terms) -> Result<bool, Failure> {
        let Some(known) = self.market().desk().job(terms.id).filter(Job::was_funded) else {
            return Ok(false);
        };
        let was = (known.terms.brief, known.terms.skill, known.terms.budget);
        if was == (terms.brief, terms.skill, terms.budget) {
            return Ok(true);
        }
        Err(Failure::misuse("another order has this name").hint("give this one a name of its own"))
    }

    /// Pays in what is missing of a budget, within the mandate. If that asks the owner, it asks for this
    /// [`purpose`] and no other.
    async fn pay_in(&self, budget: Amount, purpose: String) -> Result<(), Failure> {
        let free = self.market().desk().holding(self.cast.shopper.party()).free;
        let missing = budget.checked_sub(free)?;
        // What lies at the market already is spent under the mandate too.
        self.may_spend(budget, missing)?;
        if missing.is_positive() {
            self.market().deposit_for(&self.buyer, missing, purpose).await?;
        }
        Ok(())
    }

    fn ask_person(
        &self,
        order: &HireOrder,
        wanted: &Wanted,
        within_ms: u64,
    ) -> Result<Asked, Failure> {
        if order.check.as_deref().is_some_and(|check| check != CheckKind::Juror.name()) {
            return Err(Failure::misuse("a person's work is judged by a juror")
                .hint("leave `--check` out: nobody can do it again and compare"));
        }
        let (words, inputs) = (&order.words, wanted.inputs.clone());
        let name = order.name.as_bytes();
        Ok(self.hiring().ask(words, inputs, wanted.budget, within_ms, name)?)
    }

    async fn hire_person(
        &self,
        order: &HireOrder,
        wanted: Wanted,
        within_ms: u64,
    ) -> Result<HireStarted, Failure> {
        let asked = self.ask_person(order, &wanted, within_ms)?;
        let (id, plan) = (asked.terms.id, self.told_of_person(&asked, wanted.budget));
        if !self.is_hired(&asked.terms)? {
            self.pay_in(wanted.budget, purpose(order, &wanted)).await?;
            self.hiring().open_asked(asked, wanted.files).await?;
        }
        Ok(self.started(id, plan))
    }

    fn told_of_person(&self, asked: &Asked, budget: Amount) -> HirePlan {
        let work = PlannedWork {
            service: Service::Answer.name().into(),
            title: Service::Answer.title().into(),
            count: 1,
            from: None,
        };
        let terms = &asked.terms;
        HirePlan {
            works: vec![work],
            foreman: false,
            check: "by you, and by a juror if you object".into(),
            confidence_ppm: 0,
            check_cost: terms.checker_fee,
            others: Vec::new(),
            hidden: 0,
            budget,
            least: asked.least,
            mandate_left: self.mandates.left(self.cast.shopper.party()).map(|left| left.lifetime),
        }
    }

    /// The client's word on a person's work.
    ///
    /// # Errors
    /// If there is no such job, or nothing to be said of it.
    pub async fn say_of_job(&self, id: &str, accepts: bool) -> Result<JobReport, Failure> {
        self.market().client_says(job_named(id)?, accepts).await?;
        self.job_report(id)
    }

    /// Takes a job of this home's back before anybody is hired.
    ///
    /// # Errors
    /// If there is none such, or somebody is hired already.
    pub async fn cancel_job(&self, id: &str) -> Result<JobReport, Failure> {
        let job = job_named(id)?;
        let client = self.market().desk().read(|state| state.job(job).map(|j| j.terms.client));
        let by = client.filter(|client| *client == self.cast.shopper.party());
        let by = by.ok_or_else(|| Failure::misuse("the shopper has opened no such job"))?;
        self.market().submit(Operation::Cancel { job, by }).await?;
        self.job_report(id)
    }

    /// Takes money of the shopper's out of the market: so much, or all that is free.
    ///
    /// # Errors
    /// If there is not so much, or the chain does not answer.
    pub async fn withdraw(&self, amount: Option<&str>) -> Result<PaidBack, Failure> {
        let asset = self.chain.token().asset;
        let amount = amount.map(|text| positive(asset, text)).transpose()?;
        let shopper = self.cast.shopper.party();
        if amount.is_none() && self.market().desk().holding(shopper).free.is_zero() {
            return Err(Failure::new("nothing of the shopper's is free at the market"));
        }
        self.market().withdraw_asked(Market::new_move(), shopper, amount).await
    }

    /// The market's offers that suit a text, or all.
    ///
    /// # Errors
    /// If the search broke down.
    pub async fn find_offers(&self, text: &str, skip: usize) -> Result<OffersFound, Failure> {
        if let Err(failure) = self.market().wake().await {
            tracing::warn!(error = failure.message, "the market's machines cannot work");
        }
        let (market, text) = (self.market().clone(), text.to_owned());
        let search = move || market.found(&text, skip, web::PAGE_OFFERS);
        tokio::task::spawn_blocking(search).await.map_err(Failure::new)
    }

    fn wanted(&self, order: &HireOrder) -> Result<Wanted, Failure> {
        let budget = positive(self.chain.token().asset, &order.budget)?;
        let kind = match order.check.as_deref() {
            None => None,
            Some(name) => Some(check_named(name)?),
        };
        let mut inputs = Vec::new();
        let mut files = Vec::new();
        for file in &order.files {
            let body = STANDARD
                .decode(&file.body)
                .map_err(|_| Failure::misuse("a file of the order is not base64"))?;
            inputs.push(Input {
                name: file.name.clone(),
                media_type: file.media_type.clone(),
                bytes: body.len() as u64,
                digest: Digest::of(&body),
            });
            files.push(Attached { media_type: file.media_type.clone(), body });
        }
        let wish = Wish { kind, confidence_ppm: order.confidence_ppm.min(1_000_000) };
        Ok(Wanted { inputs, files, budget, wish })
    }

    async fn prepare(&self, order: &HireOrder, wanted: &Wanted) -> Result<Prepared, Failure> {
        let Wanted { inputs, budget, wish, .. } = wanted;
        let prepared = self.hiring().prepare(
            &order.words,
            inputs.clone(),
            *budget,
            *wish,
            order.name.as_bytes(),
        )?;
        // What cannot be read is said before anybody is paid to say so.
        let pictures: Vec<(String, Vec<u8>)> = prepared
            .plan
            .services()
            .iter()
            .zip(inputs.iter().zip(&wanted.files))
            .filter(|(services, _)| {
                services.iter().any(|it| matches!(it, Service::Classify | Service::Read))
            })
            .map(|(_, (input, file))| (input.name.clone(), file.body.clone()))
            .collect();
        let looked = tokio::task::spawn_blocking(move || {
            pictures.iter().try_for_each(|(name, body)| {
                labour::picture::decode(body).map(drop).map_err(|error| {
                    let name = foreman::quoted::quoted(name, foreman::quoted::NAME);
                    Failure::misuse(format!("{name} cannot be read as a picture: {error}"))
                })
            })
        });
        looked.await.map_err(Failure::new)??;
        Ok(prepared)
    }

    /// Whether the shopper's mandate allows so large a budget, and to pay in what is missing of it, in words
    /// of what it leaves.
    fn may_spend(&self, budget: Amount, missing: Amount) -> Result<(), Failure> {
        let shopper = self.cast.shopper.party();
        let Some((mandate, left)) = self.mandates.of(shopper).zip(self.mandates.left(shopper))
        else {
            return Err(Failure::new("the shopper has no mandate, so it may spend nothing")
                .hint("its owner grants one: `machina grant 1.00`"));
        };
        let is_over = |limit: Amount| missing.is_positive() && limit.minor() < missing.minor();
        if mandate.per_payment.minor() < budget.minor()
            || is_over(left.daily)
            || is_over(left.lifetime)
        {
            return Err(Failure::new(format!(
                "the budget is {budget}, and the mandate allows {} for one payment and leaves {} in 24 hours and {} in all",
                mandate.per_payment, left.daily, left.lifetime
            ))
            .hint("take a smaller --budget, or let its owner grant more: `machina grant 5.00 --per-payment 1.00`"));
        }
        // What is paid in asks by itself, for this order. Money that lies at the market asks nobody, so it
        // must not make a hire of more than goes unasked look like less.
        let asks = |amount| self.mandates.asks_about(shopper, amount);
        if asks(budget) && !asks(missing) {
            let unasked = mandate.unasked.map_or(Amount::zero(budget.asset()), |it| it.per_payment);
            return Err(Failure::new(format!(
                "the budget is {budget}, the mandate lets {unasked} go without its owner's word, and only {missing} would be paid in, which does not ask for it: the rest lies at the market"
            ))
            .hint("take that back first (the tool `withdraw` of `machina mcp`), and the same order asks for all of it; or take a smaller --budget"));
        }
        Ok(())
    }

    fn told(&self, prepared: &Prepared, budget: Amount) -> HirePlan {
        let mut counted: BTreeMap<Service, u64> = BTreeMap::new();
        for service in prepared.plan.works() {
            *counted.entry(service).or_default() += 1;
        }
        let asset = budget.asset();
        let works = counted.into_iter().map(|(service, count)| PlannedWork {
            service: service.name().into(),
            title: service.title().into(),
            count,
            from: prepared.prices.get(&service).map(|price| Amount::from_minor(asset, *price)),
        });
        let plan = &prepared.check.plan;
        let cost = |minor| Amount::from_minor(asset, minor);
        let others = prepared.check.others.iter();
        let others = others.map(|it| format!("{} for {}", it.words(), cost(it.cost)));
        let shopper = self.cast.shopper.party();
        HirePlan {
            works: works.collect(),
            foreman: prepared.plan.alone().is_none() && prepared.labelling.is_none(),
            check: plan.words(),
            confidence_ppm: (plan.confidence * 1e6) as u32,
            check_cost: cost(plan.cost),
            others: others.collect(),
            hidden: prepared.labelling.map_or(0, |labelling| labelling.hidden),
            budget,
            least: prepared.least,
            mandate_left: self.mandates.left(shopper).map(|left| left.lifetime),
        }
    }

    /// A job and its tree.
    ///
    /// # Errors
    /// If there is no such job.
    pub fn job_report(&self, id: &str) -> Result<JobReport, Failure> {
        let hall = self.square.hall();
        let short: String = id.chars().take(40).collect();
        let found = id.parse::<JobId>().ok().and_then(|job| Some((job, hall.job(job)?)));
        let (job, view) = found.ok_or_else(|| {
            Failure::misuse(format!("there is no job `{short}`")).hint("`machina jobs` lists them")
        })?;
        let items = hall.items(job).unwrap_or_default();
        let mut report =
            report(view, items, |branch| branch.id.parse().ok().and_then(|id| hall.job(id)));
        report.url = format!("http://localhost:{}/jobs/{}", self.place.port, report.id);
        let returned = self.market().hires().returned.lock();
        report.returned = returned.expect("nothing panics under this lock").get(&job).cloned();
        let next = foreman::hiring::next_round(job);
        let next = next.filter(|next| self.hiring_goes_on(job, *next));
        report.next_round = next.map(|next| next.to_string());
        report.round = match self.market().desk().job(job) {
            Some(job) if self.hiring().is_own(&job) => foreman::hiring::round_of(job.terms.id),
            _ => 0,
        };
        Ok(report)
    }

    /// Whether `next` is the round after this job.
    fn hiring_goes_on(&self, job: JobId, next: JobId) -> bool {
        let (hiring, desk) = (self.hiring(), self.market().desk());
        let is_ours = |id| desk.job(id).is_some_and(|job| hiring.is_own(&job) && job.was_funded());
        is_ours(job) && is_ours(next)
    }

    /// The same, after something has changed in its tree or so much time has passed.
    ///
    /// # Errors
    /// As [`Assembly::job_report`].
    pub async fn job_news(&self, id: &str, wait: Duration) -> Result<JobReport, Failure> {
        let mut news = self.square.hall().subscribe();
        let before = self.job_report(id)?;
        if !before.over && !wait.is_zero() {
            let first = before.tree.first().map_or(before.id.clone(), |first| first.id.clone());
            let changed = async {
                loop {
                    match news.recv().await {
                        Ok(tree) if tree != first => {}
                        Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => return,
                    }
                }
            };
            let _ = tokio::time::timeout(wait.min(LONGEST_WAIT), changed).await;
        }
        self.job_report(id)
    }

    /// The latest jobs that no other job hired.
    ///
    /// # Errors
    /// As [`Assembly::job_report`].
    pub fn job_reports(&self, limit: usize) -> Result<Vec<JobReport>, Failure> {
        let jobs = self.square.hall().jobs(0, limit);
        jobs.iter().map(|line| self.job_report(&line.id)).collect()
    }

    /// Takes quotes for the shopper's jobs, and gets its money back from those that have ended.
    pub(super) fn watch_hiring(self: &Arc<Self>) -> [tokio::task::JoinHandle<()>; 2] {
        let mut changes = self.market().desk().subscribe();
        let assembly = Arc::downgrade(self);
        let settle = tokio::spawn(async move {
            let mut jobs = None;
            let mut refused: BTreeSet<JobId> = BTreeSet::new();
            let mut again = tokio::time::interval(TRIED_AGAIN);
            again.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let Some(here) = assembly.upgrade() else { return };
                refused.extend(here.take_back(jobs.take()).await);
                drop(here);
                while refused.len() > LATEST {
                    refused.pop_first();
                }
                jobs = tokio::select! {
                    change = changes.recv() => match change {
                        Ok(change) => Some(change.jobs.clone()),
                        Err(RecvError::Lagged(_)) => None,
                        Err(RecvError::Closed) => return,
                    },
                    _ = again.tick(), if !refused.is_empty() => {
                        Some(std::mem::take(&mut refused).into_iter().collect())
                    }
                };
            }
        });
        [tokio::spawn(self.hiring().run()), settle]
    }

    /// Whether the order of this job, which hired nobody, has another round: it is held now, or was before.
    async fn asked_again(&self, hiring: &Hiring, job: JobId) -> bool {
        let Some(ended) = self.market().desk().job(job) else { return false };
        // A hire that counts on what is free must not take this money in between.
        let _turn = self.market().hires().turn.lock().await;
        let paid_back = MoveId::derive(&[b"hire/back", &job.as_u128().to_be_bytes()]);
        let is_paid = self.market().desk().read(|state| state.withdrawal(paid_back).is_some());
        if is_paid {
            return false;
        }
        match hiring.ask_again(&ended).await {
            Ok(next) => next.is_some(),
            Err(problem) => {
                tracing::warn!(%job, %problem, "no other round could be held");
                false
            }
        }
    }

    /// Pays out what came back from these jobs of the shopper's, or from the latest; tells of which it
    /// could not.
    async fn take_back(&self, jobs: Option<Vec<JobId>>) -> Vec<JobId> {
        let hiring = self.hiring();
        let ended: Vec<(JobId, i128)> = self.market().desk().read(|state| {
            let jobs: Vec<_> = match jobs {
                Some(jobs) => jobs.iter().filter_map(|job| state.job(*job)).collect(),
                None => state.jobs().rev().take(LATEST).collect(),
            };
            jobs.into_iter()
                .filter(|job| hiring.is_own(job) && job.stage.is_final() && job.refunded > 0)
                .map(|job| (job.terms.id, job.refunded))
                .collect()
        });
        let asset = self.chain.token().asset;
        let mut refused = Vec::new();
        for (job, minor) in ended {
            if self.asked_again(&hiring, job).await {
                continue; // Its money is the next round's.
            }
            let id = MoveId::derive(&[b"hire/back", &job.as_u128().to_be_bytes()]);
            let party = self.cast.shopper.party();
            let amount = Amount::from_minor(asset, minor);
            // A hire that counts on what is free must find it there.
            let _turn = self.market().hires().turn.lock().await;
            match self.market().withdraw(id, party, amount).await {
                Ok(paid) => {
                    let returned = self.market().hires().returned.lock();
                    let mut returned = returned.expect("nothing panics under this lock");
                    if returned.len() < REMEMBERED {
                        returned.insert(job, paid.transaction);
                    }
                }
                // Another hire may have used it, or the chain is away: it is tried again, and told.
                Err(failure) => {
                    tracing::warn!(%job, error = failure.message, "what a job left is not paid out yet");
                    refused.push(job);
                }
            }
        }
        refused
    }
}

fn job_named(id: &str) -> Result<JobId, Failure> {
    let short: String = id.chars().take(40).collect();
    id.parse().map_err(|_| {
        Failure::misuse(format!("there is no job `{short}`")).hint("`machina jobs` lists them")
    })
}

/// A check by its name.
fn check_named(name: &str) -> Result<CheckKind, Failure> {
    CheckKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        let names: Vec<&str> = CheckKind::ALL.into_iter().map(CheckKind::name).collect();
        let short: String = name.chars().take(40).collect();
        Failure::misuse(format!("`{short}` is no check"))
            .hint(format!("one of {}", names.join(", ")))
    })
}

impl From<HireProblem> for Failure {
    fn from(problem: HireProblem) -> Failure {
        let hint = match &problem {
            HireProblem::TooLittle { least, .. } => format!("give --budget {}", least.number()),
            HireProblem::Check(_) => "take another --check or a lower --confidence".into(),
            HireProblem::NoExaminer => "take --check exact; `machina up` brings checkers".into(),
            HireProblem::Order(foreman::OrderProblem::NotForSale { .. })
            | HireProblem::NotForSale(_) => {
                "`machina models --fetch` fetches what machines here need".into()
            }
            HireProblem::Order(_) => return Failure::misuse(problem),
            HireProblem::Refused(_) | HireProblem::Desk(_) => {
                "nothing was spent; what was paid in is used by the next hire".into()
            }
        };
        Failure::new(problem).hint(hint)
    }
}

fn word(stage: JobStageView) -> &'static str {
    match stage {
        JobStageView::Open => "open",
        JobStageView::Bidding => "bidding",
        JobStageView::Working => "at work",
        JobStageView::Checking => "checking",
        JobStageView::Completed => "paid",
        JobStageView::Rejected => "failed its check",
        JobStageView::Expired => "given back",
    }
}

fn branch(line: &JobLineView, view: Option<&JobView>) -> JobBranch {
    let bids = view.map_or(&[][..], |view| &view.round.bids);
    JobBranch {
        id: line.id.clone(),
        depth: line.depth,
        title: line.title.clone(),
        worker: line.worker.clone(),
        price: line.price,
        stage: word(line.stage).into(),
        bids: bids
            .iter()
            .map(|bid| JobBid {
                machine: bid.machine.clone(),
                price: bid.price,
                record_low_ppm: bid.record.low_ppm,
                drawn_ppm: bid.drawn.map(|drawn| drawn.quality_ppm),
                score: bid.drawn.map(|drawn| drawn.score),
                hired: bid.hired,
            })
            .collect(),
        why: view.map(|view| view.round.why.clone()).unwrap_or_default(),
    }
}

fn report(
    view: JobView,
    (items, alone): (Vec<foreman::Item>, Option<foreman::Answer>),
    of: impl Fn(&JobLineView) -> Option<JobView>,
) -> JobReport {
    let line = &view.line;
    let over = matches!(
        line.stage,
        JobStageView::Completed | JobStageView::Rejected | JobStageView::Expired
    );
    let item = |name: String, answer: &foreman::Answer| JobItem {
        name,
        gist: answer.gist(),
        probability_ppm: match answer {
            foreman::Answer::Labels { labels } => labels.first().map(|l| l.probability_ppm),
            _ => None,
        },
    };
    let text = view.work.as_ref().and_then(|work| work.text.clone());
    let sentences: Vec<String> = items.iter().map(foreman::Item::sentence).collect();
    let prose = match &alone {
        Some(foreman::Answer::Lines { lines }) if lines.len() > 1 => Some(lines.join("\n")),
        Some(_) => None,
        None => text.clone().filter(|text| !items.is_empty() && *text != sentences.join(" ")),
    };
    let mut told: Vec<JobItem> = items.iter().map(|i| item(i.name.clone(), &i.answer)).collect();
    told.extend(alone.map(|answer| item(line.title.clone(), &answer)));
    let tree = view
        .tree
        .iter()
        .map(|of_tree| match of_tree.id == line.id {
            true => branch(of_tree, Some(&view)),
            false => branch(of_tree, of(of_tree).as_ref()),
        })
        .collect();
    let back = view.money.iter().find(|m| m.way == MoneyWay::Back).map(|m| m.amount);
    let zero = Amount::zero(line.budget.asset());
    let back = over.then(|| back.unwrap_or(zero));
    let spent = back.and_then(|back| line.budget.checked_sub(back).ok());
    JobReport {
        id: line.id.clone(),
        title: line.title.clone(),
        service: line.service.clone(),
        client: line.client.clone(),
        at: line.at,
        stage: word(line.stage).into(),
        over,
        budget: line.budget,
        price: line.price,
        worker: line.worker.clone(),
        check: JobCheck {
            name: view.check.name.clone(),
            about: view.check.about.clone(),
            cost: view.check.cost,
            passed: view.check.verdict,
        },
        text,
        prose,
        items: told,
        tree,
        money: view
            .money
            .iter()
            .map(|movement| JobMoney {
                what: movement.what.clone(),
                way: match movement.way {
                    MoneyWay::In => "in",
                    MoneyWay::Out => "out",
                    MoneyWay::Back => "back",
                    MoneyWay::Held => "held",
                }
                .into(),
                who: movement.who.clone(),
                amount: movement.amount,
            })
            .collect(),
        spent,
        back,
        returned: None,
        next_round: None,
        round: 0,
        mandate_left: view.mandate.map(|mandate| mandate.left),
        url: String::new(),
    }
}
