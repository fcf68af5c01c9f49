//! People at the market of a home: they take jobs that ask for a person, say what they think of others'
//! work, and are paid as machines are.
//!
//! Grace works, by an offer of her own; Ada speaks for the shopper, which hires; Barbara decides where the
//! two disagree and one of her checkers was drawn as juror. The rules by which the juror votes are
//! [`foreman::person`]'s; here is who asks, who writes, and what is paid out. What was earned is paid to
//! Grace's own address as soon as its job is over: she keeps no working capital at the market.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ::market::desk::{DeskError, Document};
use ::market::{
    CheckKind, Delivery, Digest, Job, JobId, MoveId, Offer, OfferId, Operation, Party, Pricing,
    Report, Stage,
};
use ::money::{Amount, Timestamp};
use foreman::labelling::Batch;
use foreman::person::{self, Heard, Word, is_for_a_person};
use foreman::{Input, Order, Service};
use mandates::Key;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;

use super::machines::{salt, submit};
use super::{LOOK_EVERY, Market};
use crate::failure::Failure;

/// What a person asks of whoever orders without asking her, in whole dollars.
const PRICE: &str = "0.02";
/// The least time that such an order gives her, in milliseconds: an hour.
const LEAST_MS: u64 = 3_600_000;
/// How many jobs a person has in hand at a time.
const CAPACITY: u32 = 8;
/// The longest answer, in bytes: as a form it is three times as long at the most.
pub const MAX_ANSWER: usize = 16 << 10;
/// The most jobs whose pay is looked after at a start.
const LATEST: usize = 256;
/// How often people's jobs are looked at, whatever else happens at the market: silence is no event, and who
/// has others' changes come all the time must not make a juror miss its moment.
const JUDGED_EVERY: Duration = Duration::from_millis(250);

impl Market {
    /// The person of this home who takes jobs.
    pub fn person(&self) -> &Key {
        &self.parts.cast.grace
    }

    /// Whether a party may say something as the client of this home: it lives here.
    pub fn lives_here(&self, party: Party) -> bool {
        self.parts.cast.booked().contains(&party)
    }

    /// The market's time.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    fn person_offer(&self) -> Result<Offer, Failure> {
        let worker = self.person().party();
        let asset = self.parts.chain.token().asset;
        let price = Amount::parse(asset, PRICE)?;
        let id = OfferId::derive(&[b"person/1", worker.as_bytes(), &price.minor().to_be_bytes()]);
        Ok(Offer {
            capacity: CAPACITY,
            most_stake: Amount::zero(asset),
            least_ms: LEAST_MS,
            checks: [CheckKind::Juror].into(),
            ..Offer::standard(id, worker, Service::Answer.skill(), price)
        })
    }

    /// The person's offer stands from the first time that she comes to work. The same again changes nothing.
    ///
    /// # Errors
    /// If the market cannot be written.
    pub async fn person_comes(&self) -> Result<OfferId, Failure> {
        let offer = self.person_offer()?;
        let id = offer.id;
        self.submit(Operation::Publish(offer)).await?;
        Ok(id)
    }

    /// The person offers to do a job for so much, or for all that its budget leaves; its client takes the
    /// best quote.
    ///
    /// # Errors
    /// If the job is no longer open, or the price is too high.
    pub async fn offer_to_answer(&self, id: JobId, price: Option<Amount>) -> Result<(), Failure> {
        let job = self.job_for_a_person(id)?;
        let is_open = job.stage == Stage::Bidding && job.terms.pricing == Pricing::Quotes;
        if !is_open {
            return Err(Failure::new("this job is taken, or its time is over")
                .hint("the list shows those that are still open"));
        }
        if !person::is_for_jurors(&job.terms) {
            return Err(Failure::new("nobody could judge this work as a person's is judged")
                .hint("it names no jurors, or gives them no time: it is not for you"));
        }
        let most = Amount::from_minor(job.terms.budget.asset(), job.most_price());
        let price = price.unwrap_or(most);
        let mut changes = self.desk.subscribe();
        let offer = self.person_comes().await?;
        self.submit(Operation::Bid { job: id, offer, price }).await?;
        // A client of this home answers at once: who asked sees what came of it.
        let hired = async {
            while self.desk.job(id).is_some_and(|job| job.stage == Stage::Bidding) {
                if matches!(changes.recv().await, Err(RecvError::Closed)) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(2 * LOOK_EVERY, hired).await;
        Ok(())
    }

    /// The person answers a job.
    ///
    /// # Errors
    /// If the answer is empty or too long, or the job is not in the person's hands.
    pub async fn answer_job(&self, id: JobId, text: &str) -> Result<(), Failure> {
        let by = self.in_hand(id)?;
        // Forms send line ends of two bytes; one is enough.
        let text = text.trim().replace("\r\n", "\n");
        if text.is_empty() {
            return Err(Failure::misuse("the answer is empty: write what you found"));
        }
        if text.len() > MAX_ANSWER {
            return Err(Failure::misuse(format!("the answer is longer than {MAX_ANSWER} bytes")));
        }
        let media_type = "text/plain; charset=utf-8".into();
        let document = Document { author: by, media_type, body: text.into_bytes() };
        let digest = self.desk.keep(document).await.map_err(Failure::new)?;
        let delivery = Delivery::Open(Report::Digest(digest));
        self.submit(Operation::Submit { job: id, by, delivery }).await
    }

    /// The person gives a job back undone; its client has its money back.
    ///
    /// # Errors
    /// If the job is not in the person's hands.
    pub async fn give_job_back(&self, id: JobId) -> Result<(), Failure> {
        let by = self.in_hand(id)?;
        self.submit(Operation::Abandon { job: id, by }).await
    }

    /// The client of a job says what it thinks of a person's work.
    ///
    /// # Errors
    /// If it is not this home's, or there is nothing to be said of it now.
    pub async fn client_says(&self, id: JobId, accepts: bool) -> Result<(), Failure> {
        let job = self.job_for_a_person(id)?;
        let client = job.terms.client;
        if !self.lives_here(client) {
            return Err(Failure::new("only who asked for this work can say that it is as asked"));
        }
        let is_judged = matches!(job.stage, Stage::Drawing | Stage::Checking);
        let late = person::word_until(&job).is_some_and(|until| self.now() >= until);
        if !is_judged || (late && !accepts) {
            return Err(Failure::new("there is nothing to say of this job now").hint(
                "while the work is being judged it can be accepted, and for a while objected to",
            ));
        }
        self.keep_word(id, if accepts { Word::Accepted } else { Word::Objected }, client).await
    }

    /// The owner of a juror says who is right.
    ///
    /// # Errors
    /// If none of this home's jurors is asked about the job, or nobody objected.
    pub async fn juror_says(&self, id: JobId, upholds: bool) -> Result<(), Failure> {
        let job = self.job_for_a_person(id)?;
        let juror = self.juror_of(&job).map(Key::party);
        let is_disputed = self.is_disputed(&job).map_err(Failure::new)?;
        let Some(by) = juror.filter(|_| is_disputed) else {
            return Err(Failure::new("nobody asks for a verdict on this job here now"));
        };
        self.keep_word(id, if upholds { Word::Upheld } else { Word::Dismissed }, by).await
    }

    async fn keep_word(&self, id: JobId, word: Word, by: Party) -> Result<(), Failure> {
        let (media_type, body) = ("application/json".into(), word.document(id));
        let document = Document { author: by, media_type, body };
        self.desk.keep(document).await.map_err(Failure::new)?;
        // What was said changes no job: the jurors are told here.
        self.judge(id).await;
        Ok(())
    }

    fn job_for_a_person(&self, id: JobId) -> Result<Job, Failure> {
        self.desk
            .job(id)
            .filter(is_for_a_person)
            .ok_or_else(|| Failure::misuse("there is no such job for a person"))
    }

    /// The person, if the job is hers and under way.
    fn in_hand(&self, id: JobId) -> Result<Party, Failure> {
        let (job, person) = (self.job_for_a_person(id)?, self.person().party());
        if job.worker == Some(person) && job.stage == Stage::Working {
            return Ok(person);
        }
        Err(Failure::new(
            "this job is not in your hands: it was delivered, given back, or is another's",
        ))
    }

    /// A juror of this home's that has still to vote on this job.
    pub fn juror_of(&self, job: &Job) -> Option<&Key> {
        let panel = job.panel().filter(|panel| panel.is_jury && job.stage == Stage::Checking)?;
        let waits = |checker: &&Key| {
            let me = checker.party();
            panel.seats.iter().any(|seat| seat.checker == me && seat.commitment.is_none())
        };
        self.parts.cast.checkers.iter().find(waits)
    }

    /// The jurors of this home that sit on the job's panel.
    fn jurors_of(&self, job: &Job) -> Vec<Party> {
        let panel = job.panel().filter(|panel| panel.is_jury);
        let seats = panel.into_iter().flat_map(|panel| &panel.seats);
        seats.map(|seat| seat.checker).filter(|checker| self.checker(*checker).is_some()).collect()
    }

    /// Whether the client has objected and not accepted since.
    ///
    /// # Errors
    /// If the desk cannot be read.
    pub fn is_disputed(&self, job: &Job) -> Result<bool, DeskError> {
        let heard = self.heard(job)?;
        Ok(heard.objected && !heard.accepted && heard.judged.is_none())
    }

    /// What was said of a job.
    ///
    /// # Errors
    /// If the desk cannot be read.
    pub fn heard(&self, job: &Job) -> Result<Heard, DeskError> {
        let (id, client) = (job.terms.id, job.terms.client);
        let said = |word, by| person::said(&self.desk, id, word, by);
        // It is said in the juror's name: who owns nothing at the market writes nothing there.
        let mut judged = None;
        for juror in self.jurors_of(job) {
            if said(Word::Upheld, juror)? {
                judged = Some(true);
            } else if said(Word::Dismissed, juror)? {
                judged = Some(false);
            }
        }
        let accepted = said(Word::Accepted, client)?;
        let objected = said(Word::Objected, client)?;
        Ok(Heard { answered: self.read_answer(id)?.is_some(), accepted, objected, judged })
    }

    /// What a person has answered, whoever asks: for this home's own pages.
    ///
    /// # Errors
    /// If the desk cannot be read.
    pub fn read_answer(&self, id: JobId) -> Result<Option<String>, DeskError> {
        let delivered = self.desk.delivered(id)?;
        let text = delivered.and_then(|document| String::from_utf8(document.body).ok());
        Ok(text.filter(|text| !text.trim().is_empty() && text.len() <= MAX_ANSWER))
    }

    /// What is asked of a person: an order, or a text of an outside client's.
    ///
    /// # Errors
    /// If the desk cannot be read.
    pub fn question(&self, id: JobId) -> Result<Option<Order>, DeskError> {
        let Some(brief) = self.desk.asked(id)? else { return Ok(None) };
        let order = Order::from_json(&brief.body).ok().filter(|o| o.suits_a_person().is_ok());
        let text = || {
            let words = String::from_utf8(brief.body.clone()).ok()?;
            let order = Order::new(&words, Vec::new(), &[]);
            order.suits_a_person().is_ok().then_some(order)
        };
        Ok(order.or_else(text))
    }

    /// A file that a job's order names, if its client has handed it in.
    ///
    /// # Errors
    /// If the desk cannot be read.
    pub fn named_file(
        &self,
        id: JobId,
        place: usize,
    ) -> Result<Option<(Input, Document)>, DeskError> {
        let Some(mut order) = self.question(id)? else { return Ok(None) };
        if place >= order.inputs.len() {
            return Ok(None);
        }
        let input = order.inputs.swap_remove(place);
        let file = self.client_file(id, input.digest)?;
        Ok(file.map(|file| (input, file)))
    }

    /// A document that a job's client has handed in.
    fn client_file(&self, id: JobId, digest: Digest) -> Result<Option<Document>, DeskError> {
        let client = self.desk.read(|state| state.job(id).map(|job| job.terms.client));
        match client {
            Some(client) if self.desk.holds(digest, client)? => self.desk.document(digest),
            _ => Ok(None),
        }
    }

    /// A file that a job's brief names, for who may read the brief ([`Desk::brief`](::market::desk::Desk::brief)).
    ///
    /// # Errors
    /// If the desk cannot be read.
    pub fn brief_file(
        &self,
        id: JobId,
        digest: Digest,
        reader: Party,
    ) -> Result<Option<Document>, DeskError> {
        let Some(brief) = self.desk.brief(id, reader)? else { return Ok(None) };
        let is_named = Order::from_json(&brief.body)
            .is_ok_and(|order| order.inputs.iter().any(|input| input.digest == digest));
        let is_item = Batch::from_json(&brief.body).is_some_and(|it| it.items.contains(&digest));
        let file = if is_named || is_item { self.client_file(id, digest)? } else { None };
        // All items of a batch alike: what the client's own are called would tell the hidden tests.
        let alike = |file| match is_item {
            true => Document { media_type: "application/octet-stream".into(), ..file },
            false => file,
        };
        Ok(file.map(alike))
    }

    /// Has this home's jurors vote on people's work in time, until the market closes.
    pub(super) fn judge_people(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let mut changes = self.desk.subscribe();
        let market = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut looks = tokio::time::interval(JUDGED_EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let heard = tokio::select! {
                    biased;
                    _ = looks.tick() => None,
                    heard = changes.recv() => Some(heard),
                };
                let Some(market) = market.upgrade() else { return };
                let jobs = match heard {
                    Some(Ok(change)) => change.jobs.clone(),
                    // All are looked at soon.
                    Some(Err(RecvError::Lagged(_))) => continue,
                    Some(Err(RecvError::Closed)) => return,
                    None => market.jobs_of_people(),
                };
                for id in jobs {
                    market.judge(id).await;
                }
            }
        })
    }

    /// Has what the person earned paid out, until the market closes. A task of its own: a payment may wait for
    /// the chain, and a juror does not.
    pub(super) fn pay_people(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let mut changes = self.desk.subscribe();
        let market = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut looks = tokio::time::interval(LOOK_EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // By which jobs she is still to be paid; not known while something may have been missed.
            let mut owed: Option<BTreeSet<JobId>> = None;
            loop {
                let heard = tokio::select! {
                    biased;
                    _ = looks.tick() => None,
                    heard = changes.recv() => Some(heard),
                };
                let Some(market) = market.upgrade() else { return };
                match heard {
                    Some(Ok(change)) => {
                        let unpaid = market.pay_person(change.jobs.iter().copied()).await;
                        owed.iter_mut().for_each(|owed| owed.extend(&unpaid));
                    }
                    Some(Err(RecvError::Lagged(_))) => owed = None,
                    Some(Err(RecvError::Closed)) => return,
                    None => {
                        let due = owed.take().unwrap_or_else(|| market.latest_of_person());
                        owed = Some(market.pay_person(due).await);
                    }
                }
            }
        })
    }

    fn jobs_of_people(&self) -> Vec<JobId> {
        self.desk.read(|state| {
            state.under_way().filter(|job| is_for_a_person(job)).map(|job| job.terms.id).collect()
        })
    }

    /// Has the jurors of this home do what is due on a person's work.
    async fn judge(&self, id: JobId) {
        let Some(job) = self.desk.job(id).filter(is_for_a_person) else { return };
        let due = match job.stage {
            Stage::Checking => self.votes_due(&job),
            Stage::Reporting => Ok(self.votes_to_open(&job)),
            _ => return,
        };
        match due {
            Ok(due) => submit(self, due).await,
            Err(error) => tracing::warn!(%error, job = %id, "a person's work cannot be judged now"),
        }
    }

    fn votes_due(&self, job: &Job) -> Result<Vec<Operation>, DeskError> {
        if self.juror_of(job).is_none() {
            return Ok(Vec::new());
        }
        let Some(vote) = person::vote(job, self.heard(job)?, self.now()) else {
            return Ok(Vec::new());
        };
        let id = job.terms.id;
        let seal = |checker: &Key| {
            let by = checker.party();
            let commitment = Report::Vote(vote).commitment(id, by, &salt(checker, id));
            Operation::CommitReport { job: id, by, commitment }
        };
        let panel = job.panel().into_iter().flat_map(|panel| &panel.seats);
        let open = panel.filter(|seat| seat.commitment.is_none());
        Ok(open.filter_map(|seat| self.checker(seat.checker)).map(seal).collect())
    }

    /// What was sealed is opened: which of two votes it is, its commitment tells who has the salt.
    fn votes_to_open(&self, job: &Job) -> Vec<Operation> {
        let id = job.terms.id;
        let seats = job.panel().filter(|panel| panel.is_jury).into_iter().flat_map(|p| &p.seats);
        let open = seats.filter(|seat| seat.report.is_none()).filter_map(|seat| {
            let key = self.checker(seat.checker)?;
            let (by, salt) = (key.party(), salt(key, id));
            let is_it = |vote: &Report| seat.commitment == Some(vote.commitment(id, by, &salt));
            let report = [Report::Vote(true), Report::Vote(false)].into_iter().find(is_it)?;
            Some(Operation::RevealReport { job: id, by, report, salt })
        });
        open.collect()
    }

    fn checker(&self, party: Party) -> Option<&Key> {
        self.parts.cast.checkers.iter().find(|key| key.party() == party)
    }

    /// Looks through all jobs there ever were: at a start, and when changes were missed.
    fn latest_of_person(&self) -> BTreeSet<JobId> {
        let person = self.person().party();
        self.desk.read(|state| {
            let hers = state.jobs().rev().filter(|job| job.worker == Some(person));
            hers.take(LATEST).map(|job| job.terms.id).collect()
        })
    }

    /// Pays out what the person earned by these jobs, and tells by which it could not yet. Each is paid once,
    /// by the withdrawal's name.
    async fn pay_person(&self, jobs: impl IntoIterator<Item = JobId>) -> BTreeSet<JobId> {
        let person = self.person().party();
        let due: Vec<(JobId, Amount)> = self.desk.read(|state| {
            let asset = state.rules().asset;
            let earned = |job: &Job| job.price - state.rules().fee(job.price) - job.spent;
            jobs.into_iter()
                .filter_map(|id| state.job(id))
                .filter(|job| job.worker == Some(person) && job.stage == Stage::Completed)
                .map(|job| (job.terms.id, Amount::from_minor(asset, earned(job))))
                .filter(|(id, earned)| {
                    earned.is_positive() && state.withdrawal(paid_as(*id)).is_none()
                })
                .collect()
        });
        let mut owed = BTreeSet::new();
        for (id, earned) in due {
            if let Err(failure) = self.withdraw(paid_as(id), person, earned).await {
                tracing::warn!(error = failure.message, "what a person earned is not paid out yet");
                owed.insert(id);
            }
        }
        owed
    }
}

/// The name of the withdrawal by which a person is paid for a job.
fn paid_as(job: JobId) -> MoveId {
    MoveId::derive(&[b"person/paid", &job.as_u128().to_be_bytes()])
}
