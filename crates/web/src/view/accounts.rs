//! What the economy's page shows: the national accounts as tables that open into their trades.

use money::{Amount, Timestamp};

/// The national accounts of one asset. Every list is in the order to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountsView {
    /// GDP, the same three ways.
    pub gdp: Amount,
    /// The earliest and the latest payment; none before the first.
    pub period: Option<(Timestamp, Timestamp)>,
    /// How GDP comes about by production: its lines add up to it.
    pub production: Vec<LineView>,
    /// By expenditure.
    pub expenditure: Vec<LineView>,
    /// By income.
    pub income: Vec<LineView>,
    /// What each sector added.
    pub sectors: Vec<ProducerView>,
    /// What each party added, largest first.
    pub parties: Vec<ProducerView>,
    /// Who uses whose product.
    pub table: TableView,
    /// Who paid whom for work, largest first.
    pub hirings: Vec<HiringView>,
    /// What all pairs that are not in `hirings` paid, if there are any.
    pub other_hirings: Amount,
    /// Labour: machines at work, shares of income.
    pub labour: Vec<MeasureView>,
    /// Money: supply, velocity, what is set aside or locked.
    pub money: Vec<MeasureView>,
    /// Capital: what contracts hold, gross and net.
    pub capital: Vec<MeasureView>,
    /// Prices: real GDP and its deflator.
    pub prices: Vec<MeasureView>,
    /// Network: who comes and who stays.
    pub network: Vec<MeasureView>,
    /// What readers typed anew, newest first; only the newest of many.
    pub overrides: Vec<OverrideView>,
    /// How many trades count otherwise than declared now.
    pub overridden: u64,
}

/// A trade that a reader of the accounts typed anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideView {
    /// The trade, as in its address.
    pub trade: String,
    /// Its amount.
    pub amount: Amount,
    /// As what it counted.
    pub from: String,
    /// As what it counts since.
    pub to: String,
    /// Why: somebody's own words.
    pub reason: String,
    /// Who decided.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A line of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineView {
    /// Its name: `Household consumption`.
    pub name: &'static str,
    /// Its letter in the formula, where it has one: `C`.
    pub symbol: &'static str,
    /// How it enters GDP; taken off if negative.
    pub amount: Amount,
    /// Under which name [`Economy::counted`](super::Economy::counted) lists the trades of which it is the sum; none
    /// for what is no plain sum of trades.
    pub trades: Option<&'static str>,
    /// How many of its trades are in it because a reader typed them anew.
    pub overrides: u64,
    /// What it is, in a sentence.
    pub means: &'static str,
}

/// What a sector or a party produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerView {
    /// Its name.
    pub name: String,
    /// Beside the name: how many units a sector has, what a party is and who owns it.
    pub about: String,
    /// What it sold, at basic prices.
    pub output: Amount,
    /// What it bought and used up.
    pub intermediate: Amount,
    /// The difference.
    pub value_added: Amount,
    /// Under which name [`Economy::counted`](super::Economy::counted) lists its trades.
    pub trades: Option<String>,
}

/// An input–output table: rows sell, columns buy. At most a dozen rows, since people read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableView {
    /// Rows and columns.
    pub groups: Vec<String>,
    /// Under which name [`Economy::counted`](super::Economy::counted) lists the trades of each.
    pub trades: Vec<Option<String>>,
    /// `intermediate[row][column]`.
    pub intermediate: Vec<Vec<Amount>>,
    /// Under which name the trades of each cell of it are listed; may be empty.
    pub used: Vec<Vec<Option<String>>>,
    /// What each row sold for final use.
    pub final_use: Vec<Amount>,
    /// What each row made.
    pub output: Vec<Amount>,
    /// What each column bought abroad and used up.
    pub imports: Vec<Amount>,
    /// What each column added.
    pub value_added: Vec<Amount>,
    /// Output of all for one unit of final use of each (`1.52`); empty if there is no inverse.
    pub multipliers: Vec<String>,
}

/// What one party paid another for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiringView {
    /// Who paid.
    pub payer: String,
    /// Who worked.
    pub payee: String,
    /// How much.
    pub amount: Amount,
    /// In how many payments.
    pub payments: u64,
    /// Under which name [`Economy::counted`](super::Economy::counted) lists them.
    pub trades: Option<String>,
}

/// A figure with its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasureView {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: ValueView,
    /// Under which name [`Economy::counted`](super::Economy::counted) lists the trades that it is computed from.
    pub trades: Option<&'static str>,
    /// What it is and how it is computed, in a sentence.
    pub means: &'static str,
}

/// A figure's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueView {
    /// An amount.
    Amount(Amount),
    /// A number, a ratio or a share, as it is to be read; `n/a` where there is nothing to divide by.
    Text(String),
}

/// Trades that are one figure's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedView {
    /// The figure's name.
    pub title: String,
    /// What it is, in a sentence.
    pub means: String,
    /// Their sum over all pages; none if both directions are listed.
    pub sum: Option<Amount>,
    /// How many there are in all.
    pub count: u64,
    /// How many of them are there because a reader typed them anew.
    pub overrides: u64,
    /// One page of them, newest first.
    pub trades: Vec<super::TradeView>,
}
