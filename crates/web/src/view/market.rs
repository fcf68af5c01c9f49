//! The labour market as its pages show it: offers, rounds, jobs from their order to their money.

use money::{Amount, Party, Timestamp};

use super::{AnswerView, MandateView};

/// What a visitor looks for on the market.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MarketQuestion {
    /// Words, as typed; empty for everything.
    pub words: String,
    /// How many offers are left out: the page before.
    pub skip: usize,
}

/// The market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketView {
    /// The offers that were looked for, best first, one page of them.
    pub offers: Vec<MarketOfferView>,
    /// How many there are in all.
    pub found: u64,
    /// Whether they were found by what the words mean; else by the words themselves.
    pub by_meaning: bool,
    /// Jobs under way and the latest that ended, newest first.
    pub jobs: Vec<JobLineView>,
    /// The market in figures.
    pub figures: MarketFiguresView,
}

/// The market in figures. All amounts are of one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketFiguresView {
    /// Jobs that have not ended.
    pub under_way: u64,
    /// Jobs whose work passed its check and was paid.
    pub completed: u64,
    /// Jobs whose work failed its check; their clients have their money back.
    pub rejected: u64,
    /// Jobs that ended without a verdict; their clients have their money back.
    pub expired: u64,
    /// What was paid for work that passed, jobs that hired others included.
    pub paid: Amount,
    /// What lies in escrow now.
    pub escrow: Amount,
    /// Machines and people from whom checkers are drawn.
    pub checkers: u64,
    /// What they have at stake.
    pub staked: Amount,
}

/// An offer on the market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarketOfferView {
    /// The kind of work, by its name: `vision/classify`.
    pub service: String,
    /// What that is, in words.
    pub title: String,
    /// Who works.
    pub machine: String,
    /// Its address.
    pub address: Party,
    /// What the machine works with: a model and the head of its weights' digest. Empty if not told.
    pub model: String,
    /// What it asks where no round decides.
    pub price: Amount,
    /// How many jobs it has in hand.
    pub busy: u32,
    /// How many it takes at a time.
    pub capacity: u32,
    /// What checks have found of its work of this kind.
    pub record: RecordView,
    /// Why it stands where it stands, in a few words each.
    pub reasons: Vec<String>,
}

/// What checks have found of somebody's work of one kind, weighted by money and faded by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView {
    /// Pieces of evidence for.
    pub passed: u32,
    /// Pieces of evidence against.
    pub failed: u32,
    /// The chance that the next work passes is at least this, parts per million: the lower bound of
    /// the 95 % credible interval.
    pub low_ppm: u32,
    /// Its expected value.
    pub mean_ppm: u32,
    /// The upper bound.
    pub high_ppm: u32,
}

/// What a machine sells on the market, and its record there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkillView {
    /// The kind of work: `vision/classify`.
    pub service: String,
    /// What it works with.
    pub model: String,
    /// What it asks.
    pub price: Amount,
    /// Its record.
    pub record: RecordView,
    /// Jobs of this kind that it did and was paid for.
    pub completed: u64,
    /// What it earned by them.
    pub earned: Amount,
    /// The median time of such a job from its order to its end, in words; empty before the first.
    pub takes: String,
}

/// How far a job has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStageView {
    /// Described, without money.
    Open,
    /// Bids come in, or are being decided on.
    Bidding,
    /// Somebody works.
    Working,
    /// What was delivered is being checked, or may be challenged.
    Checking,
    /// The work passed and is paid.
    Completed,
    /// The work failed its check, and the client has its money back.
    Rejected,
    /// It ended without a verdict, and the client has its money back.
    Expired,
}

/// A job in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLineView {
    /// Its name: 32 hexadecimal digits.
    pub id: String,
    /// When it was opened.
    pub at: Timestamp,
    /// What was asked, in the client's words or by the kind of work.
    pub title: String,
    /// The kind of work.
    pub service: String,
    /// Who pays.
    pub client: String,
    /// Who works, once somebody does.
    pub worker: Option<String>,
    /// What the work costs if it passes, once that is agreed.
    pub price: Option<Amount>,
    /// The most that it may cost, its check included.
    pub budget: Amount,
    /// How far it has come.
    pub stage: JobStageView,
    /// How many jobs stand above it.
    pub depth: u8,
    /// How many it has hired.
    pub children: u32,
    /// What it is about, if that is a picture that may be shown: its job's id.
    pub pictured: bool,
    /// Its round, while one is open.
    pub round: Option<OpenRoundView>,
}

/// A round in which bids come in or are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRoundView {
    /// How many bids stand.
    pub bids: u32,
    /// How many of them are still sealed.
    pub sealed: u32,
    /// When this part of the round ends by itself.
    pub closes: Timestamp,
    /// How long that is from now, in words: `0.4 s`; empty when it is over.
    pub left: String,
}

/// A job, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// The job in a line.
    pub line: JobLineView,
    /// The tree that it belongs to: the job that a person or an outside client opened first, then what
    /// it hired, in order and by depth.
    pub tree: Vec<JobLineView>,
    /// Files that it is about, as their client named them.
    pub inputs: Vec<InputView>,
    /// The digest of its brief, `0x…`.
    pub brief: String,
    /// When its present stage ends by itself, and in what words.
    pub deadline: Option<Timestamp>,
    /// When it has ended, come what may.
    pub ends_by: Timestamp,
    /// How its worker was found.
    pub round: RoundView,
    /// What was done.
    pub work: Option<LabourView>,
    /// How it is judged.
    pub check: CheckView,
    /// Where its money went or lies, in order.
    pub money: Vec<MoneyView>,
    /// The mandate under which it was paid for, if its client is a machine of this home.
    pub mandate: Option<MandateView>,
}

/// A file that a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputView {
    /// What its client calls it.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// How long it is, in bytes.
    pub bytes: u64,
}

/// How a job's worker was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundView {
    /// How: `sealed round, second score`.
    pub pricing: String,
    /// Every bid, in the order in which they came.
    pub bids: Vec<BidView>,
    /// Why this one was hired; empty while nobody is.
    pub why: String,
    /// The entropy that decided among equals and drew qualities, `0x…`.
    pub entropy: Option<String>,
}

/// One bid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BidView {
    /// Who.
    pub machine: String,
    /// For how much; `None` while it is sealed.
    pub price: Option<Amount>,
    /// What is known of its work of this kind.
    pub record: RecordView,
    /// The quality that was drawn for it in this round, and its score in minor units, if the round was
    /// decided by score.
    pub drawn: Option<DrawnView>,
    /// Whether it was hired.
    pub hired: bool,
}

/// What a round made of a bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawnView {
    /// The quality drawn from its record, parts per million.
    pub quality_ppm: u32,
    /// What the work would be worth at that quality, less the price: may be below zero.
    pub score: Amount,
}

/// What was done in a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabourView {
    /// Who worked.
    pub worker: String,
    /// With what.
    pub model: String,
    /// What the worker put at stake.
    pub stake: Amount,
    /// The digest of what was delivered, `0x…`, once that may be known.
    pub answer_digest: Option<String>,
    /// The answer, if the job has ended and the answer is for everyone: labels.
    pub answers: Vec<AnswerView>,
    /// The answer as text, likewise.
    pub text: Option<String>,
}

/// How a job is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckView {
    /// The check by name: `exact`.
    pub name: String,
    /// What it does, in a sentence.
    pub about: String,
    /// What it cost, or may cost at most while it is not over.
    pub cost: Amount,
    /// The panels, in order.
    pub panels: Vec<PanelView>,
    /// The verdict as it stands: whether the work passed.
    pub verdict: Option<bool>,
}

/// Those who judge a job once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelView {
    /// Whether they are jurors.
    pub is_jury: bool,
    /// Whether an appeal called them.
    pub entropy: Option<String>,
    /// Who sits.
    pub seats: Vec<SeatView>,
}

/// One checker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatView {
    /// Who.
    pub checker: String,
    /// What it said: the digest of what it found, or its vote; `None` while that is sealed.
    pub said: Option<String>,
    /// Whether the verdict bears it out, once there is one.
    pub agreed: Option<bool>,
}

/// A movement of a job's money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneyView {
    /// What for: `price`, `market's fee`.
    pub what: String,
    /// Who has it now.
    pub who: String,
    /// How much.
    pub amount: Amount,
    /// Which way.
    pub way: MoneyWay,
}

/// Which way money went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoneyWay {
    /// Set aside for the job.
    In,
    /// To somebody who earned it.
    Out,
    /// Back to the client.
    Back,
    /// Still in escrow.
    Held,
}
