//! What pages and commands show of the labour market, read from its desk.
//!
//! Titles come from briefs: a composite job is called by its client's words, what it hired by the file
//! that it is about. Whatever strangers wrote decides nothing, and pages, which ask nobody who they are,
//! show words, files and answers of this home's own jobs alone; of others' they show digests.

use std::sync::Arc;

use ::market::desk::{Desk, Document};
use ::market::reputation::{Counts, beta};
use ::market::{
    Bid, BidState, Check, Job, JobId, Offer, OfferId, Party, Pricing, Report, Skill, Stage, State,
};
use ::money::{Amount, Timestamp};
use bytes::Bytes;
use foreman::labelling::{self, Batch, Note};
use foreman::{Answer, Composite, Item, Order, Service};
use tokio::sync::broadcast;
use web::{
    AnswerView, BidView, CheckView, DrawnView, InputView, JobLineView, JobStageView, JobView,
    LabourView, MandateView, MarketFiguresView, MarketOfferView, MarketQuestion, MarketView,
    MoneyView, MoneyWay, OpenRoundView, PAGE_OFFERS, PanelView, Picture, RecordView, RoundView,
    SeatView, SkillView,
};

use super::cast::Cast;
use super::market::{By, Found, Market, span};

/// Jobs shown on the market's page.
const LATEST: usize = 12;
/// The most jobs of one tree that are shown.
const TREE: usize = 256;
/// How many changes of jobs a reader of the stream may be behind.
const STREAM: usize = 1_024;

/// The labour market as its visitors see it.
pub struct Hall {
    market: Arc<Market>,
    cast: Arc<Cast>,
    mandates: mandates::Mandates,
    opened_at: Timestamp,
    stream: std::sync::Mutex<Option<broadcast::Sender<String>>>,
}

impl Hall {
    /// A hall over this market, which is open since then.
    pub fn new(
        market: Arc<Market>,
        cast: Arc<Cast>,
        mandates: mandates::Mandates,
        opened_at: Timestamp,
    ) -> Arc<Hall> {
        let (stream, _) = broadcast::channel(STREAM);
        let stream = std::sync::Mutex::new(Some(stream));
        Arc::new(Hall { market, cast, mandates, opened_at, stream })
    }

    fn desk(&self) -> &Desk {
        self.market.desk()
    }

    fn name(&self, party: Party) -> String {
        if party == self.market.party() { "the market".into() } else { self.cast.name(party) }
    }

    /// Tells in which trees of jobs something changes, until the market closes.
    pub fn follow(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let mut changes = self.desk().subscribe();
        let hall = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let jobs = match changes.recv().await {
                    Ok(change) => change.jobs.clone(),
                    Err(broadcast::error::RecvError::Lagged(_)) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                let Some(hall) = hall.upgrade() else { return };
                let mut firsts: Vec<JobId> = jobs.iter().map(|job| hall.first(*job)).collect();
                firsts.sort_unstable();
                firsts.dedup();
                let stream = hall.stream.lock().expect("nothing panics under this lock").clone();
                for first in firsts {
                    let _ = stream.as_ref().map(|stream| stream.send(first.to_string()));
                }
            }
        })
    }

    /// Ends the stream.
    pub fn close(&self) {
        self.stream.lock().expect("nothing panics under this lock").take();
    }

    /// Names of trees in which something changes.
    pub fn subscribe(&self) -> broadcast::Receiver<String> {
        match self.stream.lock().expect("nothing panics under this lock").as_ref() {
            Some(stream) => stream.subscribe(),
            // The economy is closing: a stream that ends at once.
            None => broadcast::channel(1).1,
        }
    }

    /// The job that a tree begins with.
    pub fn first(&self, job: JobId) -> JobId {
        self.desk().read(|state| state.provenance(job).last().map_or(job, |first| first.terms.id))
    }

    /// A job and all that it hired, in order, depth first.
    fn tree(&self, first: JobId) -> Vec<Job> {
        let mut tree = Vec::new();
        let mut open = vec![first];
        while let Some(id) = open.pop() {
            let Some(job) = self.desk().job(id) else { continue };
            if tree.len() >= TREE {
                break;
            }
            let children = if job.children > 0 { self.desk().children(id) } else { Vec::new() };
            tree.push(job);
            open.extend(children.iter().rev().map(|child| child.terms.id));
        }
        tree
    }

    /// Whether somebody of this home has ordered a job, or what it was hired for.
    fn is_ours(&self, job: JobId) -> bool {
        let client =
            self.desk().read(|state| state.provenance(job).last().map(|first| first.terms.client));
        client.is_some_and(|client| self.cast.booked().contains(&client))
    }

    /// What is to be done in a job of this home's.
    fn brief(&self, job: JobId) -> Option<Document> {
        if self.is_ours(job) { self.desk().asked(job).ok()? } else { None }
    }

    /// What was delivered in a job of this home's.
    fn answer(&self, job: JobId) -> Option<Vec<u8>> {
        let found = if self.is_ours(job) { self.desk().delivered(job).ok()? } else { None };
        found.map(|document| document.body)
    }

    fn order(&self, job: JobId) -> Option<Order> {
        Order::from_json(&self.brief(job)?.body).ok()
    }

    /// The items of a labelling job of this home's, and what its client knows of them.
    fn batch(&self, job: JobId) -> Option<(Batch, Note)> {
        let batch = Batch::from_json(&self.brief(job)?.body)?;
        let client = self.desk().job(job)?.terms.client;
        let note = batch.note.filter(|note| self.desk().holds(*note, client).is_ok_and(|it| it))?;
        let note = Note::from_json(&self.desk().document(note).ok()??.body)?;
        (note.names.len() == batch.items.len()).then_some((batch, note))
    }

    /// What the client's own items of a labelling job were given, in the order in which they were looked at.
    fn labelled(&self, job: JobId, service: Service, answer: &[u8]) -> Option<Vec<Item>> {
        let (batch, note) = self.batch(job)?;
        let labels = labelling::labels(answer)?;
        let one = service.of_one()?;
        let named = |label: u16| match self.market.labels().of(one, label) {
            Some(label) => Answer::Named { label },
            None if label == labelling::UNKNOWN => Answer::Unreadable,
            None => Answer::Named { label: format!("label {label}") },
        };
        let items = batch.items.iter().zip(note.names).zip(labels);
        let mut items: Vec<Item> = items
            .filter_map(|((digest, name), label)| {
                let (name, digest, answer) = (name?, *digest, named(label));
                Some(Item { name, digest, service: one, answer })
            })
            .collect();
        items.sort_by(|a, b| a.name.cmp(&b.name));
        Some(items)
    }

    /// What a job is called.
    fn title(&self, job: &Job) -> String {
        let service = Service::of(job.terms.skill);
        if matches!(service, Some(Service::Compose | Service::Answer))
            && let Some(order) = self.order(job.terms.id)
        {
            return order.words;
        }
        if service.is_some_and(|service| service.of_one().is_some())
            && let Some((_, note)) = self.batch(job.terms.id)
        {
            return note.words;
        }
        let order = job.terms.parent.and_then(|parent| self.order(parent));
        let input =
            order.and_then(|order| order.inputs.into_iter().find(|i| i.digest == job.terms.brief));
        match (input, service) {
            (Some(input), _) => input.name,
            (None, Some(service)) => service.title().into(),
            (None, None) => "work of another kind".into(),
        }
    }

    fn line(&self, job: &Job) -> JobLineView {
        let asset = job.terms.budget.asset();
        JobLineView {
            id: job.terms.id.to_string(),
            at: job.opened_at,
            title: self.title(job),
            service: service_name(job.terms.skill),
            client: self.name(job.terms.client),
            worker: job.worker.map(|worker| self.name(worker)),
            price: job.worker.map(|_| Amount::from_minor(asset, job.price)),
            budget: job.terms.budget,
            stage: stage(job.stage),
            depth: job.depth,
            children: job.children,
            pictured: matches!(
                Service::of(job.terms.skill),
                Some(Service::Classify | Service::Read)
            ) && self.is_ours(job.terms.id),
            round: self.open_round(job),
        }
    }

    /// A job's round while it is open: how many bids stand, not what they say.
    fn open_round(&self, job: &Job) -> Option<OpenRoundView> {
        if !matches!(job.stage, Stage::Bidding | Stage::Revealing) {
            return None;
        }
        let closes = job.deadline?;
        let standing = |bid: &&Bid| matches!(bid.state, BidState::Told(_) | BidState::Sealed(_));
        let is_sealed = |bid: &&Bid| matches!(bid.state, BidState::Sealed(_));
        let count = |bids: usize| u32::try_from(bids).unwrap_or(u32::MAX);
        let left = closes.since(self.market.now()).as_millis();
        Some(OpenRoundView {
            bids: count(job.bids.iter().filter(standing).count()),
            sealed: count(job.bids.iter().filter(is_sealed).count()),
            closes,
            left: match u64::try_from(left) {
                Ok(left @ 1..) => span(left),
                _ => String::new(),
            },
        })
    }

    /// Jobs that no other hired, newest first.
    pub fn jobs(&self, skip: usize, limit: usize) -> Vec<JobLineView> {
        let jobs: Vec<Job> = self.desk().read(|state| {
            let firsts = state.jobs().rev().filter(|job| job.terms.parent.is_none());
            firsts.skip(skip).take(limit.min(::market::desk::MAX_PAGE)).cloned().collect()
        });
        jobs.iter().map(|job| self.line(job)).collect()
    }

    /// The market's page.
    pub fn market(&self, question: &MarketQuestion) -> MarketView {
        let named = |party| self.name(party);
        let found = self.market.search(&question.words, question.skip, PAGE_OFFERS, named);
        MarketView {
            by_meaning: found.by == By::Meaning,
            found: found.count as u64,
            offers: found.page.into_iter().map(|found| self.offer(found)).collect(),
            jobs: self.jobs(0, LATEST),
            figures: self.figures(),
        }
    }

    fn offer(&self, found: Found) -> MarketOfferView {
        let Found { offer, counts, busy, reasons, .. } = found;
        let service = Service::of(offer.skill);
        MarketOfferView {
            service: service_name(offer.skill),
            title: service.map_or("work of another kind", Service::title).into(),
            machine: self.name(offer.worker),
            address: offer.worker,
            model: self.model(Some(offer.id)),
            price: offer.price,
            busy,
            capacity: offer.capacity,
            record: record(counts),
            reasons,
        }
    }

    fn model(&self, offer: Option<OfferId>) -> String {
        offer.and_then(|offer| self.market.model(offer)).unwrap_or_default()
    }

    fn figures(&self) -> MarketFiguresView {
        self.desk().read(|state| {
            let asset = state.rules().asset;
            let amount = |minor| Amount::from_minor(asset, minor);
            let (mut under_way, mut completed, mut rejected, mut expired) = (0, 0, 0, 0);
            let (mut paid, mut escrow) = (0, 0);
            for job in state.jobs() {
                escrow += job.escrow;
                if job.terms.parent.is_some() {
                    continue;
                }
                match job.stage {
                    Stage::Completed => {
                        completed += 1;
                        paid += job.price;
                    }
                    Stage::Rejected => rejected += 1,
                    Stage::Expired => expired += 1,
                    _ => under_way += 1,
                }
            }
            MarketFiguresView {
                under_way,
                completed,
                rejected,
                expired,
                paid: amount(paid),
                escrow: amount(escrow),
                checkers: state.checkers().into(),
                staked: self
                    .cast
                    .everyone()
                    .iter()
                    .map(|party| state.holding(party.address).stake)
                    .fold(amount(0), |sum, stake| sum.checked_add(stake).unwrap_or(sum)),
            }
        })
    }

    /// What a machine does here, and since when it has been up.
    pub fn skills(&self, party: Party) -> (Vec<SkillView>, Option<Timestamp>) {
        let found: Vec<(Offer, Counts, u64, i128)> = self.desk().read(|state| {
            let offers = state.offers().filter(|offer| offer.worker == party);
            offers
                .map(|offer| {
                    let counts = state.record(party, offer.skill);
                    let receipts = state.receipts().iter().filter(|receipt| {
                        receipt.worker == party && receipt.skill == offer.skill && receipt.passed
                    });
                    let (count, earned) = receipts.fold((0, 0), |(count, sum), receipt| {
                        (count + 1, sum + receipt.price.minor() - receipt.fee.minor())
                    });
                    (offer.clone(), counts, count, earned)
                })
                .collect()
        });
        let up = (!found.is_empty()).then_some(self.opened_at);
        let skills = found.into_iter().map(|(offer, counts, completed, earned)| SkillView {
            service: service_name(offer.skill),
            model: self.model(Some(offer.id)),
            price: offer.price,
            record: record(counts),
            completed,
            earned: Amount::from_minor(offer.price.asset(), earned),
            takes: self.market.takes_ms(party, offer.skill).map_or_else(String::new, span),
        });
        (skills.collect(), up)
    }

    /// The picture that a job of this home's is about.
    pub fn picture(&self, job: JobId) -> Option<Picture> {
        let Document { media_type, body, .. } = self.brief(job)?;
        Some(Picture { media_type, bytes: Bytes::from(body) })
    }

    /// A job, whole.
    pub fn job(&self, id: JobId) -> Option<JobView> {
        let job = self.desk().job(id)?;
        let tree = self.tree(self.first(id));
        let line = self.line(&job);
        let mandate =
            self.mandates.of(job.terms.client).zip(self.mandates.left(job.terms.client)).map(
                |(mandate, left)| MandateView { left: left.lifetime, limit: mandate.lifetime },
            );
        Some(JobView {
            tree: tree.iter().map(|job| self.line(job)).collect(),
            inputs: self.inputs(&job, &line),
            brief: job.terms.brief.to_string(),
            deadline: job.deadline,
            ends_by: job.ends_by,
            round: self.round(&job),
            work: self.work(&job),
            check: self.check(&job),
            money: self.money(&job),
            mandate,
            line,
        })
    }

    fn inputs(&self, job: &Job, line: &JobLineView) -> Vec<InputView> {
        if matches!(Service::of(job.terms.skill), Some(Service::Compose | Service::Answer)) {
            let inputs = self.order(job.terms.id).map(|order| order.inputs).unwrap_or_default();
            let view = inputs.into_iter().map(|input| InputView {
                name: input.name,
                media_type: input.media_type,
                bytes: input.bytes,
            });
            return view.collect();
        }
        if Service::of(job.terms.skill).is_some_and(|service| service.of_one().is_some()) {
            // Whoever works looks here, too: which items are the client's own would tell the hidden tests.
            let Some((batch, note)) = self.batch(job.terms.id).filter(|_| job.stage.is_final())
            else {
                return Vec::new();
            };
            let what = match Service::of(job.terms.skill) {
                Some(Service::LabelPictures) => "a picture",
                _ => "a file",
            };
            let own = batch.items.iter().zip(note.names).filter_map(|(digest, name)| {
                let bytes = self.desk().document_len(*digest).ok()??;
                Some(InputView { name: name?, media_type: what.into(), bytes })
            });
            return own.collect();
        }
        let view = self.brief(job.terms.id).map(|brief| InputView {
            name: line.title.clone(),
            media_type: brief.media_type,
            bytes: brief.body.len() as u64,
        });
        view.into_iter().collect()
    }

    fn round(&self, job: &Job) -> RoundView {
        let asset = job.terms.budget.asset();
        let is_sealed = matches!(job.terms.pricing, Pricing::Auction { .. });
        let bids: Vec<BidView> = self.desk().read(|state| {
            let bid = |bid: &::market::Bid| {
                let told = match bid.state {
                    BidState::Told(price) => Some(price),
                    BidState::Sealed(_) | BidState::TakenBack | BidState::Unopened => None,
                };
                let worth = |quality: u32| {
                    ::market::price::second_score::value(job.terms.worth.minor(), quality)
                };
                BidView {
                    machine: self.name(bid.worker),
                    // A round keeps what it was told until it is decided.
                    price: told
                        .filter(|_| !is_sealed || job.cleared_with.is_some())
                        .map(|price| Amount::from_minor(asset, price)),
                    record: record(state.record(bid.worker, job.terms.skill)),
                    drawn: bid.drawn.zip(told).map(|(quality, price)| DrawnView {
                        quality_ppm: quality,
                        score: Amount::from_minor(asset, worth(quality) - price),
                    }),
                    hired: job.offer == Some(bid.offer),
                }
            };
            job.bids.iter().map(bid).collect()
        });
        RoundView {
            pricing: match job.terms.pricing {
                Pricing::Posted { .. } => "at the price that stands in the offer".into(),
                Pricing::Quotes => "quotes: the client takes the best by price and record".into(),
                Pricing::Auction { .. } => {
                    "a sealed round by second score: what the work is worth at the quality drawn from \
                     each record, less the price asked; the best is paid so much that the second best would do as well"
                        .into()
                }
            },
            why: why(job, &bids),
            bids,
            entropy: job.cleared_with.map(|entropy| entropy.to_string()),
        }
    }

    fn work(&self, job: &Job) -> Option<LabourView> {
        let worker = job.worker?;
        // What a person wrote is shown to whoever is to say a word about it.
        let is_heard = foreman::person::is_heard(job);
        let digest = match job.answer() {
            Some(Report::Digest(digest)) if job.stage.is_final() || is_heard => Some(*digest),
            _ => None,
        };
        let body = digest.and_then(|_| self.answer(job.terms.id));
        let (text, answers) = match (Service::of(job.terms.skill), body) {
            (Some(Service::Compose), Some(body)) => {
                (Composite::from_json(&body).map(|composite| composite.text), Vec::new())
            }
            (Some(service), Some(body)) if service.of_one().is_some() => {
                let items = self.labelled(job.terms.id, service, &body).unwrap_or_default();
                let told: Vec<String> = items.iter().map(Item::sentence).collect();
                ((!told.is_empty()).then(|| told.join(" ")), Vec::new())
            }
            (Some(service), Some(body)) => match Answer::read(service, &body) {
                Answer::Labels { labels } => {
                    let labels = labels.into_iter().map(|label| AnswerView {
                        label: label.label,
                        probability_ppm: label.probability_ppm,
                    });
                    (None, labels.collect())
                }
                other => (Some(other.gist()), Vec::new()),
            },
            (_, _) => (None, Vec::new()),
        };
        Some(LabourView {
            worker: self.name(worker),
            model: self.model(job.offer),
            stake: job.terms.stake,
            answer_digest: digest.map(|digest| digest.to_string()),
            answers,
            text,
        })
    }

    /// The answer of a composite job, file by file, or of a single piece of work.
    pub fn items(&self, id: JobId) -> Option<(Vec<foreman::Item>, Option<Answer>)> {
        let job = self.desk().job(id).filter(|job| job.stage == Stage::Completed)?;
        let body = self.answer(id)?;
        match Service::of(job.terms.skill)? {
            Service::Compose => Some((Composite::from_json(&body)?.items, None)),
            service if service.of_one().is_some() => {
                Some((self.labelled(id, service, &body)?, None))
            }
            service => Some((Vec::new(), Some(Answer::read(service, &body)))),
        }
    }

    fn check(&self, job: &Job) -> CheckView {
        let asset = job.terms.budget.asset();
        let over = job.stage.is_final();
        let panel = |panel: &::market::Panel| PanelView {
            is_jury: panel.is_jury,
            entropy: panel.drawn_with.map(|entropy| entropy.to_string()),
            seats: panel
                .seats
                .iter()
                .map(|seat| SeatView {
                    checker: self.name(seat.checker),
                    said: seat.report.as_ref().map(|report| match report {
                        Report::Digest(digest) => digest.to_string(),
                        Report::Labels(_) => "labels".into(),
                        Report::Vote(vote) => {
                            if *vote { "it is right" } else { "it is wrong" }.into()
                        }
                    }),
                    agreed: job
                        .verdict
                        .filter(|_| over && seat.report.is_some())
                        .map(|passed| seat.agrees[usize::from(passed)]),
                })
                .collect(),
        };
        let cost =
            if over { self.check_cost(job) } else { job.terms.budget.minor() - job.most_price() };
        CheckView {
            name: job.terms.check.name().into(),
            about: about(&job.terms.check),
            cost: Amount::from_minor(asset, cost),
            panels: job.panels.iter().map(panel).collect(),
            verdict: job.verdict,
        }
    }

    /// What checkers got of a job that is over, by its receipt.
    fn check_cost(&self, job: &Job) -> i128 {
        self.desk().read(|state| {
            let receipt = state.receipts().iter().rev().find(|r| r.job == job.terms.id);
            receipt.map_or(0, |receipt| {
                let right = receipt.checkers.iter().filter(|checker| checker.agreed).count();
                right as i128 * receipt.checker_fee.minor()
            })
        })
    }

    fn money(&self, job: &Job) -> Vec<MoneyView> {
        if !job.was_funded() {
            return Vec::new();
        }
        let asset = job.terms.budget.asset();
        let mut money = Vec::new();
        let mut add = |what: &str, who: String, minor: i128, way| {
            if minor > 0 {
                let amount = Amount::from_minor(asset, minor);
                money.push(MoneyView { what: what.into(), who, amount, way });
            }
        };
        let client = self.name(job.terms.client);
        add("budget", client.clone(), job.terms.budget.minor(), MoneyWay::In);
        if !job.stage.is_final() {
            add("in escrow", "the market".into(), job.escrow, MoneyWay::Held);
            add("for what it hired", "the market".into(), job.allotted, MoneyWay::Held);
            return money;
        }
        let fee = self.desk().read(|state: &State| state.rules().fee(job.price));
        if job.stage == Stage::Completed {
            let worker = job.worker.map(|worker| self.name(worker)).unwrap_or_default();
            add("what it hired", "the machines below it".into(), job.spent, MoneyWay::Out);
            add("work", worker, job.price - fee - job.spent, MoneyWay::Out);
            add("market's fee", "the market".into(), fee, MoneyWay::Out);
        }
        add("check", "its checkers".into(), self.check_cost(job), MoneyWay::Out);
        add("not needed", client, job.refunded, MoneyWay::Back);
        money
    }
}

/// Why somebody was hired, in a sentence.
fn why(job: &Job, bids: &[BidView]) -> String {
    let (Some(hired), Some(_)) = (bids.iter().find(|bid| bid.hired), job.worker) else {
        return match (job.stage, bids.is_empty()) {
            (Stage::Expired, true) => "Nobody bid.".into(),
            (Stage::Expired, false) if job.worker.is_none() => {
                "No bid was worth its price by the quality that was drawn for it.".into()
            }
            _ => String::new(),
        };
    };
    let paid = Amount::from_minor(job.terms.budget.asset(), job.price);
    let name = &hired.machine;
    let second = bids
        .iter()
        .filter(|bid| !bid.hired)
        .filter_map(|bid| Some((bid.drawn?.score.minor(), &bid.machine)))
        .max();
    match (&job.terms.pricing, second) {
        (Pricing::Posted { .. }, _) => format!("{name} was ordered at its price of {paid}."),
        (Pricing::Quotes, _) if bids.len() == 1 => format!("{name} alone made a quote: {paid}."),
        (Pricing::Quotes, _) => {
            format!("{name} had the best of {} quotes by price and record: {paid}.", bids.len())
        }
        (Pricing::Auction { .. }, _) if job.price == job.most_price() => {
            format!(
                "{name} had the best score, and is paid {paid}, the most that the budget leaves after its check."
            )
        }
        (Pricing::Auction { .. }, Some((_, second))) => {
            format!(
                "{name} had the best score, and is paid {paid}, at which {second} would have done as well."
            )
        }
        (Pricing::Auction { .. }, None) => {
            format!(
                "{name} bid alone, and is paid {paid}, all that its work is worth by its record."
            )
        }
    }
}

fn about(check: &Check) -> String {
    let seats = |one: &str, many: &str| match check.seats() {
        1 => format!("1 {one}"),
        n => format!("{n} {many}"),
    };
    match check {
        Check::Exact { .. } => format!(
            "done again with the same model by {} drawn by lot; equal bytes pass",
            seats("executor", "executors")
        ),
        Check::Gold { .. } => {
            "items with known answers were mixed in; so many of them must be right, and jurors have the last word"
                .into()
        }
        Check::Redundant { .. } => {
            format!("done by {} too; a vote weighted by records decides", seats("other", "others"))
        }
        Check::Peer { .. } => {
            format!("labelled by {} too; agreement beyond chance passes", seats("other", "others"))
        }
        Check::Optimistic { .. } => {
            "silence passes; a challenge with a bond calls executors drawn by lot".into()
        }
        Check::Juror { .. } => {
            format!("judged by {} drawn by lot, who vote", seats("juror", "jurors"))
        }
    }
}

fn record(counts: Counts) -> RecordView {
    let interval = beta::interval(counts, 0.95);
    let ppm = |share: f64| (share.clamp(0.0, 1.0) * 1e6) as u32;
    RecordView {
        passed: counts.passed,
        failed: counts.failed,
        low_ppm: ppm(interval.low),
        mean_ppm: ppm(interval.mean),
        high_ppm: ppm(interval.high),
    }
}

fn service_name(skill: Skill) -> String {
    Service::of(skill).map_or_else(|| skill.to_string(), |service| service.name().into())
}

/// How far a job has come, in the words of the pages.
pub fn stage(stage: Stage) -> JobStageView {
    match stage {
        Stage::Open => JobStageView::Open,
        Stage::Bidding | Stage::Revealing | Stage::Choosing => JobStageView::Bidding,
        Stage::Working => JobStageView::Working,
        Stage::Drawing
        | Stage::Checking
        | Stage::Reporting
        | Stage::Challengeable
        | Stage::Appealable => JobStageView::Checking,
        Stage::Completed => JobStageView::Completed,
        Stage::Rejected => JobStageView::Rejected,
        Stage::Expired => JobStageView::Expired,
    }
}
