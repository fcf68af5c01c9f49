//! What can be asked of the market, what it answers, and what money moves by it.
//!
//! Everything here is a value. Deciding is [`State::apply`](crate::State::apply)'s work.

use std::collections::BTreeSet;

use money::{Amount, Asset, Party, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::checks::choose::Kind;
use crate::checks::peer::MAX_RATERS;
use crate::id::{Digest, JobId, MoveId, OfferId, Skill};
use crate::rules::{
    MAX_APPEALS, MAX_BIDS, MAX_BIDS_EVER, MAX_CHECKED_SKILLS, MAX_CHILDREN, MAX_DEPTH, MAX_LABELS,
    MAX_OFFERS, MAX_SEATS,
};
use crate::terms::{Delivery, GoldKey, Offer, Report, Terms};

/// Something to be done, whole or not at all. Whoever hands it in has made sure that it comes from
/// the party that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Time passes; nothing else.
    Tick,
    /// A party's money is now at the market's disposal: in escrow, or held in the ledger.
    Deposit {
        /// Its name.
        id: MoveId,
        /// Whose.
        party: Party,
        /// How much.
        amount: Amount,
    },
    /// A party takes back what is free.
    Withdraw {
        /// Its name.
        id: MoveId,
        /// Whose.
        party: Party,
        /// How much.
        amount: Amount,
    },
    /// A worker offers work.
    Publish(Offer),
    /// A worker takes an offer back. Jobs under way go on.
    Retire {
        /// Which.
        offer: OfferId,
        /// Whose it must be.
        by: Party,
    },
    /// A party joins the pool from which checkers are drawn, or adds to its stake there.
    Enlist {
        /// Who.
        party: Party,
        /// What its stake is from now on, in all.
        stake: Amount,
    },
    /// A checker says which work it can check, and is drawn for no other from now on. Seats that it has
    /// stay. Who leaves the pool and comes again says it again.
    Qualify {
        /// Who.
        party: Party,
        /// For which skills; `None` for any, as who never said.
        skills: Option<BTreeSet<Skill>>,
    },
    /// A party leaves the pool with its stake.
    Leave {
        /// Who.
        party: Party,
    },
    /// A client describes a job. No money moves.
    Open(Box<Terms>),
    /// The job's budget is set aside, and its round begins, or its work.
    Fund {
        /// Which.
        job: JobId,
    },
    /// A client takes a job back before anyone was hired.
    Cancel {
        /// Which.
        job: JobId,
        /// Its client.
        by: Party,
    },
    /// A bid that the market sees: a quote, or a bid in a round without commitments.
    Bid {
        /// For which job.
        job: JobId,
        /// By which offer.
        offer: OfferId,
        /// For how much.
        price: Amount,
    },
    /// A sealed bid.
    Commit {
        /// For which job.
        job: JobId,
        /// By which offer.
        offer: OfferId,
        /// [`bid_commitment`](crate::bid_commitment).
        commitment: Digest,
    },
    /// A sealed bid is opened.
    Reveal {
        /// For which job.
        job: JobId,
        /// By which offer.
        offer: OfferId,
        /// For how much.
        price: Amount,
        /// What it was sealed with.
        salt: Digest,
    },
    /// A bid is taken back while bids still come in.
    Unbid {
        /// For which job.
        job: JobId,
        /// By which offer.
        offer: OfferId,
    },
    /// The client takes a quote.
    Accept {
        /// For which job.
        job: JobId,
        /// Whose quote.
        offer: OfferId,
        /// The job's client.
        by: Party,
    },
    /// A round is decided.
    Clear {
        /// Which job's.
        job: JobId,
        /// What nobody could know while bids came in.
        entropy: Digest,
    },
    /// The worker delivers.
    Submit {
        /// Which job.
        job: JobId,
        /// Its worker.
        by: Party,
        /// What.
        delivery: Delivery,
    },
    /// The worker gives up; what it would lose by silence it loses now.
    Abandon {
        /// Which job.
        job: JobId,
        /// Its worker.
        by: Party,
    },
    /// A panel is drawn.
    Draw {
        /// For which job.
        job: JobId,
        /// What nobody could know before the work came in.
        entropy: Digest,
    },
    /// A checker seals its report.
    CommitReport {
        /// On which job.
        job: JobId,
        /// Who.
        by: Party,
        /// [`Report::commitment`].
        commitment: Digest,
    },
    /// A checker, or a worker that delivered sealed, opens its report.
    RevealReport {
        /// On which job.
        job: JobId,
        /// Who.
        by: Party,
        /// What.
        report: Report,
        /// What it was sealed with.
        salt: Digest,
    },
    /// The examiner opens the key to the hidden tests.
    Examine {
        /// Of which job.
        job: JobId,
        /// The examiner.
        by: Party,
        /// The key.
        key: GoldKey,
    },
    /// Somebody says that optimistically accepted work is wrong, and puts a bond on it.
    Challenge {
        /// Which job's.
        job: JobId,
        /// Who.
        by: Party,
    },
    /// Client or worker wants a larger panel, and puts a bond on it.
    Appeal {
        /// Which job's verdict.
        job: JobId,
        /// Who lost by it.
        by: Party,
    },
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[must_use = "a refused operation has done nothing"]
pub enum Outcome {
    /// It happened now.
    Applied,
    /// It had happened before, exactly so; nothing changed.
    Exists,
    /// It did not happen, and left no trace.
    Refused(Refusal),
}

impl Outcome {
    /// Whether what was asked is now so, be it since now or since before.
    pub fn holds(&self) -> bool {
        match self {
            Outcome::Applied | Outcome::Exists => true,
            Outcome::Refused(_) => false,
        }
    }
}

/// Where a job stands, in the words of ERC-8183, each with its sub-steps. All but the first and
/// the last three end by themselves at [`Job::deadline`](crate::Job::deadline).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Open: described, without money.
    Open,
    /// Funded: bids come in.
    Bidding,
    /// Funded: sealed bids are opened.
    Revealing,
    /// Funded: the round waits for entropy, or the client chooses among quotes.
    Choosing,
    /// Funded: the worker works.
    Working,
    /// Submitted: the panel waits for entropy.
    Drawing,
    /// Submitted: checkers work, and seal their reports.
    Checking,
    /// Submitted: reports are opened, or the examiner's key.
    Reporting,
    /// Submitted: it may be challenged.
    Challengeable,
    /// Submitted: there is a verdict, and it may be appealed against.
    Appealable,
    /// Ended: the work passed and is paid.
    Completed,
    /// Ended: the work failed; the client has its money back.
    Rejected,
    /// Ended without a verdict; the client has its money back.
    Expired,
}

impl Stage {
    /// Whether the job has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Stage::Completed | Stage::Rejected | Stage::Expired)
    }
}

/// Where money lies while it is nobody's to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pot {
    /// A job's budget.
    Escrow,
    /// The stake of a job's worker, and what it answers with for the jobs that this one hired.
    Stake,
    /// A bidder's bond.
    Bid,
    /// A challenger's or an appellant's bond.
    Bond,
    /// A checker's stake; of no job.
    Pool,
}

/// How money moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Movement {
    /// From the owner's free money into the pot.
    Hold,
    /// From the pot back to its owner.
    Release,
    /// From a job's escrow back to its client.
    Refund,
    /// From the pot to somebody who earned it.
    Pay,
    /// From a stake or bond to somebody else, since its owner was found wrong or silent.
    Slash,
    /// From the parent's escrow into this job's.
    Allot,
    /// From the worker's stake into the job's own escrow: damages.
    Restore,
    /// From this job's escrow back into the parent's.
    Return,
}

/// One movement of money that the edge must make where the money really lies, in the same write as
/// the operation that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// How.
    pub movement: Movement,
    /// For which job; for [`Pot::Pool`] the job that caused it, and `None` if none did.
    pub job: Option<JobId>,
    /// Out of which pot, or into it.
    pub pot: Pot,
    /// Whose pot: for [`Pot::Escrow`] the client.
    pub owner: Party,
    /// Who gets it; for [`Movement::Hold`] and [`Movement::Release`] the owner itself.
    pub to: Party,
    /// How much: more than nothing.
    pub amount: Amount,
}

/// Why an operation is refused.
///
/// Each operation looks for reasons in a fixed order, in the main that of this list, and the first one
/// is given; `tests/refusals.rs` holds the orders that callers may rely on.
/// [`can_retry`](Self::can_retry) says whether the same operation may succeed later.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The amount is zero or less.
    #[error("{amount} cannot be asked, bid or moved: it must be more than nothing")]
    AmountMustBePositive {
        /// What was asked.
        amount: Amount,
    },
    /// The amount is beyond [`MAX_MINOR`](crate::MAX_MINOR).
    #[error("{amount} is more than the market counts")]
    AmountTooLarge {
        /// What was asked.
        amount: Amount,
    },
    /// The market is in another asset.
    #[error("this market pays in {market}, not in {asset}")]
    AssetMustBeTheMarkets {
        /// Of the amount.
        asset: Asset,
        /// Of the market.
        market: Asset,
    },
    /// The name is taken by something that is not the same.
    #[error("{id} exists with other content: choose another name for another {what}")]
    ExistsWithDifferent {
        /// What kind of thing.
        what: String,
        /// The name.
        id: String,
    },
    /// There is no such offer.
    #[error("there is no offer {offer}")]
    OfferNotFound {
        /// The name that was looked up.
        offer: OfferId,
    },
    /// There is no such job.
    #[error("there is no job {job}")]
    JobNotFound {
        /// The name that was looked up.
        job: JobId,
    },
    /// Somebody else's offer or job.
    #[error("{by} cannot do this: only {owner} can")]
    NotYours {
        /// Who asked.
        by: Party,
        /// Who could.
        owner: Party,
    },

    /// An offer takes no jobs.
    #[error("an offer takes at least one job at a time")]
    CapacityMissing,
    /// The party has enough offers.
    #[error("{party} has {MAX_OFFERS} offers, the most there may be: retire one first")]
    TooManyOffers {
        /// Whose.
        party: Party,
    },
    /// The offer was taken back.
    #[error("offer {offer} was retired")]
    OfferRetired {
        /// Which.
        offer: OfferId,
    },
    /// The offer is for other work.
    #[error("offer {offer} is for other work than the job asks")]
    OfferOfOtherSkill {
        /// Which.
        offer: OfferId,
    },
    /// The worker posted a price, and did not agree to such terms.
    #[error("offer {offer} does not agree to these terms at its posted price: {limit}")]
    OfferDoesNotAgree {
        /// Which.
        offer: OfferId,
        /// To which of them, and to what it would.
        limit: OfferLimit,
    },

    /// Something about a job's terms is outside its bounds.
    #[error("the job cannot be: {problem}")]
    TermsInvalid {
        /// What is wrong, and what would be right.
        problem: TermsProblem,
    },
    /// There is no such parent job.
    #[error("there is no job {parent} that could hire")]
    ParentNotFound {
        /// The name that was looked up.
        parent: JobId,
    },
    /// The parent job's worker is not working on it.
    #[error("job {parent} hires nobody now: its worker is not at work on it")]
    ParentNotWorking {
        /// Which.
        parent: JobId,
    },
    /// Only the worker of a job hires for it.
    #[error("{client} cannot hire for job {parent}: only its worker, {foreman}, can")]
    NotTheForeman {
        /// Who asked.
        client: Party,
        /// Which job.
        parent: JobId,
        /// Its worker.
        foreman: Party,
    },
    /// Jobs hire jobs hire jobs.
    #[error("no job hires at depth {MAX_DEPTH}")]
    TooDeep,
    /// The parent has hired often enough.
    #[error("job {parent} has hired {MAX_CHILDREN} times, the most there may be")]
    TooManyChildren {
        /// Which.
        parent: JobId,
    },
    /// The job might end after its parent must deliver.
    #[error("the job may take until {ends_by}, and its parent must deliver by {deliver_by}")]
    OutlivesParent {
        /// When this job has ended, come what may.
        ends_by: Timestamp,
        /// When the parent must deliver.
        deliver_by: Timestamp,
    },
    /// The job has come another way, or further, than the operation needs.
    #[error("job {job} is at {stage:?}, where this cannot be done")]
    WrongStage {
        /// Which.
        job: JobId,
        /// Where it stands.
        stage: Stage,
    },
    /// The parent's price does not cover it.
    #[error("{asked} was asked of the parent's price, of which {left} is left")]
    ParentBudgetExceeded {
        /// What was asked.
        asked: Amount,
        /// What is left.
        left: Amount,
    },
    /// The foreman's free money does not cover what it hires for.
    #[error(
        "the foreman answers for what it hires with its own money: {available} is free, and it needs {needs}"
    )]
    LiabilityNotCovered {
        /// What it has free.
        available: Amount,
        /// What it hires for now.
        needs: Amount,
    },
    /// Too few checkers could be drawn.
    #[error(
        "the check needs {needs} checkers with a free stake of its deposit, and the pool has {has}"
    )]
    PoolTooSmall {
        /// How many there are, without those who have a part in the job.
        has: u32,
        /// How many are needed.
        needs: u32,
    },
    /// There are checkers enough, but too few of them say that they can check such work.
    #[error(
        "nobody could make this check: it needs {needs} checkers who say that they can check this kind of work, and {has} of the pool do. Ask for work of another kind, or bring checkers for it (`enlist`, `qualify`)"
    )]
    NobodyChecks {
        /// How many say so, without those who have a part in the job.
        has: u32,
        /// How many are needed.
        needs: u32,
    },
    /// A checker says that it checks too many kinds of work.
    #[error("a checker names at most {MAX_CHECKED_SKILLS} skills: leave them out to check any")]
    TooManySkills,
    /// The worker has as many jobs as it takes.
    #[error("offer {offer} is busy: it takes {capacity} jobs at a time")]
    OfferBusy {
        /// Which.
        offer: OfferId,
        /// How many it takes.
        capacity: u32,
    },
    /// Somebody would hire, check or appeal itself.
    #[error("{party} cannot be on both sides of a job")]
    SelfDealing {
        /// Who.
        party: Party,
    },
    /// The price leaves too little for the check.
    #[error("{price} is more than the {most} that the budget leaves after the check")]
    PriceAboveReserve {
        /// What was asked.
        price: Amount,
        /// The most it may be.
        most: Amount,
    },
    /// There was a bid already, by this offer or another one of the same worker.
    #[error(
        "the worker of offer {offer} has bid in this round: there is one bid for each worker, even if it was taken back"
    )]
    BidExists {
        /// Whose.
        offer: OfferId,
    },
    /// There is no bid.
    #[error("offer {offer} has no bid in this round")]
    BidNotFound {
        /// Whose.
        offer: OfferId,
    },
    /// A bid was taken back or opened before; another cannot be made by the same offer.
    #[error("the bid of offer {offer} was taken back or opened: it cannot be changed")]
    BidIsOver {
        /// Whose.
        offer: OfferId,
    },
    /// The round is full.
    #[error(
        "the round has as many bids as it may: {MAX_BIDS} that stand, or {MAX_BIDS_EVER} in all"
    )]
    RoundFull,
    /// What is opened is not what was sealed.
    #[error("what {party} opened is not what it sealed: check content and salt")]
    CommitmentBroken {
        /// Who.
        party: Party,
    },
    /// Children are still at work.
    #[error("job {job} cannot be delivered while {open} that it hired have not ended")]
    ChildrenOpen {
        /// Which.
        job: JobId,
        /// How many.
        open: u32,
    },
    /// A delivery or report has the wrong form.
    #[error("the check compares another form of report, of at most {MAX_LABELS} labels")]
    ReportOfWrongForm,
    /// What is delivered is not at the desk, or somebody else handed it in.
    #[error(
        "{by} has not handed in what it delivers, {document}: hand in the bytes first, then deliver or open them"
    )]
    NotHandedIn {
        /// The worker.
        by: Party,
        /// What it names.
        document: Digest,
    },
    /// The party has no seat on the panel.
    #[error("{party} has no seat on this panel")]
    NotSeated {
        /// Who.
        party: Party,
    },
    /// The seat has another sealed report.
    #[error("{party} has sealed another report")]
    AlreadyCommitted {
        /// Who.
        party: Party,
    },
    /// The verdict is in the party's favour, or the party is neither client nor worker.
    #[error("{party} did not lose by this verdict")]
    NothingToAppeal {
        /// Who.
        party: Party,
    },
    /// It is too little to be in the pool with.
    #[error("a checker puts at least {least} in the pool")]
    PoolStakeTooSmall {
        /// The least.
        least: Amount,
    },
    /// A part of a checker's stake is in use.
    #[error("{party} sits on panels: {locked} of its stake is locked until they end")]
    StakeLocked {
        /// Who.
        party: Party,
        /// How much.
        locked: Amount,
    },
    /// The party is not in the pool.
    #[error("{party} is not in the pool of checkers")]
    NotEnlisted {
        /// Who.
        party: Party,
    },
    /// The party has too little free money.
    #[error("{party} has {available} free, and needs {asked}")]
    Unfunded {
        /// Who.
        party: Party,
        /// What it has.
        available: Amount,
        /// What it needs.
        asked: Amount,
    },
}

impl Refusal {
    /// Whether the same operation may succeed later, when money, capacity or time have changed.
    pub fn can_retry(&self) -> bool {
        matches!(
            self,
            Refusal::Unfunded { .. }
                | Refusal::OfferBusy { .. }
                | Refusal::PoolTooSmall { .. }
                | Refusal::NobodyChecks { .. }
                | Refusal::RoundFull
                | Refusal::ChildrenOpen { .. }
                | Refusal::NotHandedIn { .. }
                | Refusal::StakeLocked { .. }
                | Refusal::TooManyOffers { .. }
                | Refusal::WrongStage { .. }
                | Refusal::ParentBudgetExceeded { .. }
                | Refusal::LiabilityNotCovered { .. }
        )
    }
}

/// Which of a job's terms go beyond what an [`Offer`] agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferLimit {
    /// More is to be put at stake.
    #[error("it puts at most {most} at stake")]
    Stake {
        /// The most.
        most: Amount,
    },
    /// There is less time to deliver.
    #[error("it needs {least_ms} milliseconds to deliver")]
    Time {
        /// The least.
        least_ms: u64,
    },
    /// Another check would judge.
    #[error("it does not let `{}` checks judge its work", .check.name())]
    Check {
        /// Which.
        check: Kind,
    },
    /// The pass mark is higher.
    #[error("it works for pass marks of at most {most} millionths")]
    Mark {
        /// The highest.
        most: u32,
    },
}

/// What is wrong with a job's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TermsProblem {
    /// Delivery is not after now, or more than 90 days away.
    #[error("it must be delivered after now and its round, and within 90 days")]
    DeliverBy,
    /// Checkers have no time, or too much.
    #[error(
        "checkers need the market's least time (`least_check_ms`) to 90 days, and a challenge 1 millisecond to 90 days"
    )]
    CheckTime,
    /// A quality, pass mark or audited share is beyond one, or nothing is audited.
    #[error(
        "qualities, pass marks and audited shares are at most 1,000,000 millionths, the last at least 1"
    )]
    Share,
    /// A panel has the wrong size.
    #[error(
        "a panel has 1 to {MAX_SEATS} seats; executors and jurors are odd, peers even, raters at most {MAX_RATERS}"
    )]
    Seats,
    /// There are too many appeals.
    #[error("there are at most {MAX_APPEALS} appeals")]
    Appeals,
    /// The budget does not even pay for the check.
    #[error("the budget does not pay for the check and leave something for the work")]
    Budget,
    /// The stake does not pay for the panel that a challenge calls, and a reward.
    #[error(
        "under an optimistic check the stake must pay for the executors, and 2 units more, of which half rewards who challenged"
    )]
    Stake,
    /// The client names the judge, and nothing may be said against it.
    #[error(
        "under hidden tests at least 1 appeal must be open, since the client names the examiner"
    )]
    AppealMissing,
    /// The examiner is a party to the job.
    #[error("the examiner must be neither the client nor the worker")]
    Examiner,
}
