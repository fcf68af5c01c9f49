//! The market's state, and the one way to change it.
//!
//! [`State::apply`] is the whole interface for writing. Beneath it, each operation first decides and
//! then does: whatever can be refused is refused before the first field changes, so a refused
//! operation leaves no trace. `funds` deposits and the pool; `hiring` offers, jobs and rounds;
//! `checking` deliveries, panels and verdicts; `settling` ends jobs and moves their money;
//! `reading` looks.
//!
//! Each operation takes time logarithmic in how many jobs, parties and deadlines there are, whatever
//! names callers choose. Clearing takes about a hundred draws a bid; hiring and drawing pass over those of the pool
//! who say that they check other work, each of whom has a stake there.

#![deny(clippy::float_arithmetic)]

mod checking;
mod funds;
mod hiring;
mod reading;
mod settling;
mod terms;

pub use reading::Holding;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use money::{Amount, Party, Timestamp};

use crate::id::{JobId, MoveId, OfferId, Skill};
use crate::job::Job;
use crate::operation::{Effect, Movement, Operation, Outcome, Pot, Refusal, Stage};
use crate::pool::Pool;
use crate::reputation::{Receipt, Record};
use crate::rules::{MAX_MINOR, Rules};
use crate::terms::Offer;

/// By name. Names are chosen by callers, so no hash table whose seed they know: they would choose names
/// that collide.
type Index<K, V = usize> = BTreeMap<K, V>;

/// A market: its parties' money, offers, jobs and records.
#[derive(Debug, Clone)]
pub struct State {
    rules: Rules,
    now: Timestamp,
    holders: Vec<Holder>,
    holder_index: Index<Party>,
    offers: Vec<OfferSlot>,
    offer_index: Index<OfferId>,
    jobs: Vec<Job>,
    job_index: Index<JobId>,
    /// Deposits and withdrawals (negative), by name.
    moves: Index<MoveId, (usize, i128)>,
    /// All that was deposited and not withdrawn.
    deposited: i128,
    pool: Pool,
    /// Which skills a checker says that it can check, by its place; who never said checks any.
    qualified: Index<usize, BTreeSet<Skill>>,
    records: Index<(usize, Skill), Record>,
    receipts: Vec<Receipt>,
    /// When stages end, with the job's place. What was overtaken stays in until its time.
    timers: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// Jobs with money that have not ended. Whoever must not miss one reads this: descriptions without
    /// money cost nothing, so a look at the newest jobs can be filled with them.
    under_way: BTreeSet<usize>,
    /// Those of them that wait for entropy.
    waiting: BTreeSet<usize>,
    /// Jobs that are described and have no money yet, by client.
    unfunded: BTreeSet<(Party, usize)>,
    /// What the operation at work has moved.
    effects: Vec<Effect>,
    /// Jobs that the last operation brought to another stage, perhaps more than once.
    changed: Vec<usize>,
    /// Those of them that it ended.
    ended: Vec<usize>,
    /// Room for draws.
    scratch: Vec<u32>,
}

/// What the market keeps for one party, in minor units.
#[derive(Debug, Clone)]
struct Holder {
    party: Party,
    /// What it may spend.
    free: i128,
    /// What it paid in and did not take out again; less than nothing if it took out what it earned.
    paid_in: i128,
    /// What it has at stake as a checker.
    stake: i128,
    /// What of that stands behind seats it has now.
    locked: i128,
    /// How many offers it has that are not retired.
    offers: u32,
}

#[derive(Debug, Clone)]
struct OfferSlot {
    offer: Offer,
    /// The worker's place among the holders.
    worker_at: usize,
    retired: bool,
    /// How many jobs are under way by it.
    busy: u32,
}

/// What an operation comes to, if it is not refused.
enum Step {
    Done,
    Existed,
}

type Decision = Result<Step, Refusal>;

impl State {
    /// A market without parties.
    ///
    /// # Errors
    /// What is wrong with the rules.
    pub fn new(rules: Rules) -> Result<State, &'static str> {
        rules.validate()?;
        let mut state = State {
            rules,
            now: Timestamp::default(),
            holders: Vec::new(),
            holder_index: Index::default(),
            offers: Vec::new(),
            offer_index: Index::default(),
            jobs: Vec::new(),
            job_index: Index::default(),
            moves: Index::default(),
            deposited: 0,
            pool: Pool::default(),
            qualified: Index::default(),
            records: Index::default(),
            receipts: Vec::new(),
            timers: BinaryHeap::new(),
            under_way: BTreeSet::new(),
            waiting: BTreeSet::new(),
            unfunded: BTreeSet::new(),
            effects: Vec::new(),
            changed: Vec::new(),
            ended: Vec::new(),
            scratch: Vec::new(),
        };
        state.place(state.rules.treasury);
        Ok(state)
    }

    /// Decides `operation` at the moment `at` and does it, whole or not at all. All money that
    /// moved, be it by the operation or because time passed, is appended to `effects`.
    ///
    /// Time is monotone: an `at` before the last one counts as the last one. A refused operation
    /// changes nothing, except that time has passed and what was due has ended.
    ///
    /// # Panics
    /// If money was made or lost: a bug here, never in the caller's input.
    pub fn apply(
        &mut self,
        at: Timestamp,
        operation: &Operation,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        std::mem::swap(&mut self.effects, effects);
        self.changed.clear();
        self.ended.clear();
        self.advance(at);
        let decision = self.decide(operation);
        std::mem::swap(&mut self.effects, effects);
        match decision {
            Ok(Step::Done) => Outcome::Applied,
            Ok(Step::Existed) => Outcome::Exists,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    fn decide(&mut self, operation: &Operation) -> Decision {
        match operation {
            Operation::Tick => Ok(Step::Done),
            Operation::Deposit { id, party, amount } => self.deposit(*id, *party, *amount),
            Operation::Withdraw { id, party, amount } => self.withdraw(*id, *party, *amount),
            Operation::Enlist { party, stake } => self.enlist(*party, *stake),
            Operation::Qualify { party, skills } => self.qualify(*party, skills.as_ref()),
            Operation::Leave { party } => self.leave(*party),
            Operation::Publish(offer) => self.publish(offer),
            Operation::Retire { offer, by } => self.retire(*offer, *by),
            Operation::Open(terms) => self.open(terms),
            Operation::Fund { job } => self.fund(*job),
            Operation::Cancel { job, by } => self.cancel(*job, *by),
            Operation::Bid { job, offer, price } => self.bid(*job, *offer, *price),
            Operation::Commit { job, offer, commitment } => self.commit(*job, *offer, *commitment),
            Operation::Reveal { job, offer, price, salt } => {
                self.reveal(*job, *offer, *price, salt)
            }
            Operation::Unbid { job, offer } => self.unbid(*job, *offer),
            Operation::Accept { job, offer, by } => self.accept(*job, *offer, *by),
            Operation::Clear { job, entropy } => self.clear(*job, *entropy),
            Operation::Submit { job, by, delivery } => self.submit(*job, *by, delivery),
            Operation::Abandon { job, by } => self.abandon(*job, *by),
            Operation::Draw { job, entropy } => self.draw(*job, *entropy),
            Operation::CommitReport { job, by, commitment } => {
                self.commit_report(*job, *by, *commitment)
            }
            Operation::RevealReport { job, by, report, salt } => {
                self.reveal_report(*job, *by, report, salt)
            }
            Operation::Examine { job, by, key } => self.examine(*job, *by, key),
            Operation::Challenge { job, by } => self.challenge(*job, *by),
            Operation::Appeal { job, by } => self.appeal(*job, *by),
        }
    }

    /// Lets time pass: each stage that is due ends as its silence says, by deadline and then by
    /// the order in which the jobs were opened.
    fn advance(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        while let Some(&Reverse((due, job))) = self.timers.peek() {
            if due > self.now {
                break;
            }
            self.timers.pop();
            if self.jobs[job].deadline == Some(due) {
                self.silence(job, due);
            }
        }
    }

    /// Ends a stage in which what should have come did not. `due` is its deadline: what follows
    /// counts from there, so that late time makes nothing later.
    fn silence(&mut self, job: usize, due: Timestamp) {
        match self.jobs[job].stage {
            Stage::Bidding => self.bids_are_in(job, due),
            Stage::Revealing => self.bids_are_open(job, due),
            Stage::Choosing => self.end_unhired(job),
            Stage::Working => self.end_absent(job),
            Stage::Drawing => self.panel_was_silent(job, due),
            Stage::Checking => self.reports_are_in(job, due),
            Stage::Reporting => self.reports_are_open(job, due),
            Stage::Challengeable => self.end_unchallenged(job),
            Stage::Appealable => self.end_judged(job),
            Stage::Open | Stage::Completed | Stage::Rejected | Stage::Expired => {
                unreachable!("only stages that end by themselves have deadlines")
            }
        }
    }

    /// Where a job goes on, and until when.
    fn enter(&mut self, job: usize, stage: Stage, deadline: Timestamp) {
        let slot = &mut self.jobs[job];
        slot.stage = stage;
        slot.deadline = Some(deadline);
        self.unfunded.remove(&(slot.terms.client, job));
        self.under_way.insert(job);
        match stage {
            Stage::Choosing | Stage::Drawing => self.waiting.insert(job),
            _ => self.waiting.remove(&job),
        };
        self.changed.push(job);
        self.timers.push(Reverse((deadline, job)));
    }

    /// The place of a party, which is given one if it is new.
    fn place(&mut self, party: Party) -> usize {
        if let Some(&place) = self.holder_index.get(&party) {
            return place;
        }
        let place = self.holders.len();
        self.holders.push(Holder { party, free: 0, paid_in: 0, stake: 0, locked: 0, offers: 0 });
        self.holder_index.insert(party, place);
        place
    }

    fn job_at(&self, job: JobId) -> Result<usize, Refusal> {
        self.job_index.get(&job).copied().ok_or(Refusal::JobNotFound { job })
    }

    fn offer_at(&self, offer: OfferId) -> Result<usize, Refusal> {
        self.offer_index.get(&offer).copied().ok_or(Refusal::OfferNotFound { offer })
    }

    fn free(&self, party: Party) -> i128 {
        self.holder_index.get(&party).map_or(0, |place| self.holders[*place].free)
    }

    fn amount(&self, minor: i128) -> Amount {
        Amount::from_minor(self.rules.asset, minor)
    }

    /// An amount that may be nothing, in minor units.
    fn at_least_zero(&self, amount: Amount) -> Result<i128, Refusal> {
        let minor = amount.minor();
        if minor < 0 {
            return Err(Refusal::AmountMustBePositive { amount });
        }
        if minor > MAX_MINOR {
            return Err(Refusal::AmountTooLarge { amount });
        }
        if amount.asset() != self.rules.asset {
            let (asset, market) = (amount.asset(), self.rules.asset);
            return Err(Refusal::AssetMustBeTheMarkets { asset, market });
        }
        Ok(minor)
    }

    /// An amount of more than nothing, in minor units.
    fn positive(&self, amount: Amount) -> Result<i128, Refusal> {
        if !amount.is_positive() {
            return Err(Refusal::AmountMustBePositive { amount });
        }
        self.at_least_zero(amount)
    }

    /// Whether the party could pay this now.
    fn afford(&self, party: Party, asked: i128) -> Result<(), Refusal> {
        let available = self.free(party);
        if available < asked {
            let (available, asked) = (self.amount(available), self.amount(asked));
            return Err(Refusal::Unfunded { party, available, asked });
        }
        Ok(())
    }

    /// Moves a party's free money into a pot, whose sum the caller keeps.
    fn hold(&mut self, job: Option<usize>, pot: Pot, party: Party, minor: i128) {
        let place = self.place(party);
        self.holders[place].free -= minor;
        assert!(self.holders[place].free >= 0, "nobody spends more than it has");
        self.tell(Movement::Hold, job, pot, party, party, minor);
    }

    /// Moves money out of a pot, whose sum the caller keeps, to a party.
    fn give(
        &mut self,
        movement: Movement,
        job: Option<usize>,
        pot: Pot,
        owner: Party,
        to: Party,
        minor: i128,
    ) {
        assert!(minor >= 0, "no pot gives less than nothing");
        let place = self.place(to);
        self.holders[place].free += minor;
        self.tell(movement, job, pot, owner, to, minor);
    }

    fn tell(
        &mut self,
        movement: Movement,
        job: Option<usize>,
        pot: Pot,
        owner: Party,
        to: Party,
        minor: i128,
    ) {
        if minor != 0 {
            let job = job.map(|place| self.jobs[place].terms.id);
            let amount = self.amount(minor);
            self.effects.push(Effect { movement, job, pot, owner, to, amount });
        }
    }
}
