//! What the pages show, as plain data.
//!
//! These types are the whole of what this crate knows about an economy. Whoever has the real
//! thing — journal, chain, machines — fills them in behind [`Economy`]; nothing here can move
//! money or change a book.
//!
//! Text in them (names, titles, labels, reasons) may come from strangers: the pages escape all of
//! it and cut what is too long. Amounts are [`Amount`]s, exact integers with their asset, and are
//! made into text only on the page.

mod accounts;
mod approvals;
mod market;
mod outlook;

pub use self::accounts::*;
pub use self::approvals::*;
pub use self::market::*;
pub use self::outlook::*;

use bytes::Bytes;
use money::{Amount, Party, Timestamp};
use tokio::sync::broadcast;

/// An economy, as far as its pages need to know it.
///
/// The methods read; they may block (a database, a file), since each is called on a thread that
/// may wait. One that panics costs its caller an error page and nobody else anything.
pub trait Economy: Send + Sync + 'static {
    /// Every machine, in the order to show them.
    fn machines(&self) -> Vec<MachineView>;

    /// Trades, newest first: at most `limit`, and only those whose [`TradeView::sequence`] is
    /// below `before`, if that is given.
    fn trades(&self, before: Option<u64>, limit: usize) -> Vec<TradeView>;

    /// Why and how the trade of this reference happened; `None` if there is no such trade.
    fn trade(&self, id: &str) -> Option<TrailView>;

    /// The photograph that the trade of this reference was about, if it had one that may be shown.
    fn picture(&self, id: &str) -> Option<Picture>;

    /// What a program is told at a machine's address, `/m/{name}`; `None` if there is no such
    /// machine, or nothing to tell but the page.
    fn sign(&self, _name: &str) -> Option<serde_json::Value> {
        None
    }

    /// The economy in figures.
    fn figures(&self) -> FiguresView;

    /// The national accounts, as tables.
    ///
    /// # Errors
    /// Why they cannot be shown, for a person: accounts that do not add up are not.
    fn accounts(&self) -> Result<AccountsView, String>;

    /// The settled trades that one figure of the accounts is made of: at most `limit`, newest first,
    /// and only those whose [`TradeView::sequence`] is below `before`, if that is given. `None` if
    /// there is no figure of that name.
    fn counted(&self, figure: &str, before: Option<u64>, limit: usize) -> Option<CountedView>;

    /// What the page of the outlook asks of this economy: the day, what it measures, its record.
    fn outlook(&self) -> OutlookView;
    /// The labour market; `None` where there is none.
    fn market(&self, _question: &MarketQuestion) -> Option<MarketView> {
        None
    }

    /// Jobs that no other job hired, newest first: at most `limit`, after so many that are left out.
    fn jobs(&self, _skip: usize, _limit: usize) -> Vec<JobLineView> {
        Vec::new()
    }

    /// The job of this name: 32 hexadecimal digits.
    fn job(&self, _id: &str) -> Option<JobView> {
        None
    }

    /// The picture that a job is about, if it may be shown.
    fn job_picture(&self, _id: &str) -> Option<Picture> {
        None
    }

    /// The name of the first job of a tree, whenever a job of that tree changes; `None` where there is
    /// no market. Closing it ends every reader's stream, as with [`subscribe`](Economy::subscribe).
    fn subscribe_jobs(&self) -> Option<broadcast::Receiver<String>> {
        None
    }

    /// Each trade when it first appears, and again whenever its state changes.
    ///
    /// Closing the channel (dropping its sender) ends every reader's stream: do that before a
    /// graceful shutdown of the server, which waits for open responses.
    fn subscribe(&self) -> broadcast::Receiver<TradeView>;
}

/// A machine on the square.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineView {
    /// What its owner calls it.
    pub name: String,
    /// Its address, from which its seal is drawn.
    pub address: Party,
    /// What its owner is called.
    pub owner: String,
    /// What it sells; empty for a machine that only buys.
    pub offers: Vec<OfferView>,
    /// How many trades it has sold.
    pub sold: u64,
    /// How many trades it has bought.
    pub bought: u64,
    /// What it has now.
    pub balance: Amount,
    /// What it was ever paid for its work.
    pub earned: Amount,
    /// What it ever paid for others' work.
    pub spent: Amount,
    /// What its owner still lets it spend; `None` for a machine without a mandate, which may spend
    /// nothing.
    pub mandate: Option<MandateView>,
    /// What it is doing.
    pub status: MachineStatus,
    /// What it does on the labour market, and how well.
    pub skills: Vec<SkillView>,
    /// Since when it has been up without a break; `None` if it is not.
    pub up_since: Option<Timestamp>,
}

/// What a machine sells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferView {
    /// The offer in a few words: `Picture classification`.
    pub title: String,
    /// The HTTP method to call it with.
    pub method: String,
    /// What it does, in a sentence or two.
    pub about: String,
    /// Where to call it.
    pub url: String,
    /// What one call costs.
    pub price: Amount,
}

/// A machine's lifetime budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MandateView {
    /// What may still be spent; holds already taken off.
    pub left: Amount,
    /// What the owner allowed in all.
    pub limit: Amount,
}

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineStatus {
    /// Has work in hand at this moment.
    Working,
    /// Ready, with nothing in hand.
    Ready,
    /// Stopped by its owner, or out of order.
    Stopped,
}

/// One trade, in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeView {
    /// Its reference: `0x` and at most 64 hexadecimal digits.
    pub id: String,
    /// Its place in the order of trades; the first is 1. Also the id of its event in the stream.
    pub sequence: u64,
    /// When it began.
    pub at: Timestamp,
    /// Who bought.
    pub buyer: String,
    /// Who sold.
    pub seller: String,
    /// What was bought, in a few words.
    pub what: String,
    /// What it cost.
    pub price: Amount,
    /// How far it has come.
    pub state: TradeState,
    /// The most likely answer, once there is one.
    pub answer: Option<AnswerView>,
    /// The transaction that paid for it, `0x…`, once there is one.
    pub transaction: Option<String>,
    /// Whether [`Economy::picture`] has something to show for it.
    pub pictured: bool,
}

/// How far a trade has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TradeState {
    /// Money is set aside, and the work or its settlement is under way.
    Held,
    /// Paid: the entry is in both books.
    Settled,
    /// Ended without payment; the hold was given back.
    Failed,
}

/// One answer of a worker, with how sure it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerView {
    /// The answer.
    pub label: String,
    /// Its probability in parts per million.
    pub probability_ppm: u32,
}

/// A stage of a trade's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage<T> {
    /// It happened, at this time.
    Done {
        /// When.
        at: Timestamp,
        /// What.
        fact: T,
    },
    /// Not yet; it still can.
    NotYet,
    /// It did not happen and will not.
    Missing {
        /// Why not, for a person.
        reason: String,
    },
}

/// Why and how a trade happened: its stages in the order in which money moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailView {
    /// The trade.
    pub trade: TradeView,
    /// The seller's price, as its 402 answer told it.
    pub quote: Stage<QuoteView>,
    /// What the buyer's mandate said.
    pub decision: Stage<DecisionView>,
    /// The money set aside before work began.
    pub hold: Stage<HoldView>,
    /// The buyer's signature over the payment.
    pub signature: Stage<SignatureView>,
    /// The work itself.
    pub work: Stage<WorkView>,
    /// The transaction that moved the money.
    pub transaction: Stage<TransactionView>,
    /// The entries that it left in the books; the time is that of the last.
    pub entries: Stage<Vec<EntryView>>,
}

/// A seller's quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteView {
    /// The payment scheme: `exact`.
    pub scheme: String,
    /// The network on which to pay: `eip155:402402`.
    pub network: String,
    /// What is asked.
    pub price: Amount,
    /// To whom.
    pub pay_to: Party,
    /// What for: the resource's URL.
    pub resource: String,
}

/// A mandate's decision, rule by rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionView {
    /// Whether the payment was allowed.
    pub allowed: bool,
    /// Each rule that was asked, in the order asked.
    pub rules: Vec<RuleView>,
}

/// What one rule of a mandate said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleView {
    /// The rule: `at most 0.01 MUSD a payment`.
    pub rule: String,
    /// Whether the payment kept it.
    pub kept: bool,
    /// What it leaves after this payment, for rules that leave something.
    pub left: Option<Amount>,
}

/// Money set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldView {
    /// How much.
    pub amount: Amount,
    /// From which account.
    pub account: String,
    /// When it gives itself back, if nothing else happens.
    pub expires: Timestamp,
}

/// A signed authorization. The signature itself is shown shortened; it is no secret, but nobody
/// reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureView {
    /// Who signed, and pays.
    pub payer: Party,
    /// The authorization's nonce, `0x…`.
    pub nonce: String,
    /// Valid after this moment.
    pub valid_after: Timestamp,
    /// Valid before this moment.
    pub valid_before: Timestamp,
    /// The signature, `0x…`; the page shows its ends.
    pub signature: String,
}

/// Work that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkView {
    /// Who worked: the model's name.
    pub worker: String,
    /// SHA-256 of what was sent in, `0x…`.
    pub input_digest: String,
    /// SHA-256 of the answer, `0x…`.
    pub output_digest: String,
    /// The answers, most likely first.
    pub answers: Vec<AnswerView>,
}

/// A transaction on a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionView {
    /// Its hash, `0x…`.
    pub hash: String,
    /// The number of the block that holds it.
    pub block: u64,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Gas used.
    pub gas: u64,
}

/// One line in a book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryView {
    /// When.
    pub at: Timestamp,
    /// Whose book.
    pub book: String,
    /// The account debited.
    pub debit: String,
    /// The account credited.
    pub credit: String,
    /// How much.
    pub amount: Amount,
    /// What it counts as in the national accounts: `intermediate`, `final`, …
    pub kind: String,
    /// What became of it.
    pub status: EntryStatus,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryStatus {
    /// Set aside, not yet resolved.
    Pending,
    /// In the books for good.
    Posted,
    /// Given back.
    Voided,
    /// Given back because its time was over.
    Expired,
}

/// A photograph that may be shown. Only JPEG, PNG and WebP are ever served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// `image/jpeg`, `image/png` or `image/webp`.
    pub media_type: String,
    /// The file.
    pub bytes: Bytes,
}

/// The economy in figures. All amounts are of one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiguresView {
    /// GDP by production: output less intermediate use.
    pub production: Amount,
    /// GDP by expenditure: what was bought for final use.
    pub expenditure: Amount,
    /// GDP by income: what was earned by it.
    pub income: Amount,
    /// Gross turnover: everything that was paid for work, intermediate or final.
    pub turnover: Amount,
    /// Value added by machines.
    pub value_added: Amount,
    /// Money in existence.
    pub supply: Amount,
    /// Turnover over money supply, as text (`0.42`); `None` while there is no money.
    pub velocity: Option<String>,
    /// Trades ever settled.
    pub trades: u64,
    /// Machines with work in hand.
    pub machines_at_work: u64,
    /// Holds not yet resolved.
    pub holds_open: u64,
    /// The money in them.
    pub held: Amount,
    /// Whether the books equal the chain.
    pub books: BooksView,
    /// GDP over time, oldest first. The chart draws the last 240 points.
    pub series: Vec<PointView>,
}

/// Whether the books equal the chain: invariant 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BooksView {
    /// They were compared after this block, and are equal.
    Equal {
        /// The block's number.
        block: u64,
    },
    /// They differ: an alarm.
    Differ {
        /// The block after which they were compared.
        block: u64,
        /// By how much, books less chain.
        by: Amount,
    },
    /// Not compared yet, or not able to.
    Unknown {
        /// Why, for a person.
        reason: String,
    },
}

/// The economy at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointView {
    /// The moment.
    pub at: Timestamp,
    /// GDP from the beginning until then.
    pub gdp: Amount,
    /// Trades settled from the beginning until then.
    pub trades: u64,
}
