//! What commands tell: plain data with stable JSON, and the tables that people read.
//!
//! The same types travel between a command and a running economy, so both print the same.

mod approvals;
mod hiring;
mod reputation;

use std::fmt::Write as _;

pub use approvals::*;
pub use hiring::*;
use ledger::{Kind, Reference};
use mandates::{Left, Unasked};
use money::{Amount, Party, Timestamp};
pub use reputation::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::say;

/// A service to sell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StallOrder {
    /// What it is called, in its address.
    pub name: String,
    /// Where it is.
    pub to: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What each unit costs, in whole dollars; or there is a price list.
    pub price: Option<String>,
    /// The unit.
    pub per: String,
    /// The most that one request may cost.
    pub most: Option<String>,
    /// A price list in TOML.
    pub prices: Option<String>,
    /// Headers for the service.
    #[serde(default)]
    pub headers: Vec<String>,
    /// The skill at which it takes jobs at the labour market, if it does.
    #[serde(default)]
    pub skill: Option<String>,
    /// The checks under which it does; none are the usual ones.
    #[serde(default)]
    pub checks: Vec<String>,
    /// What the service calls its model, for requests to a chat.
    #[serde(default)]
    pub model: Option<String>,
}

/// A stall that is open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StallReport {
    /// What it is called.
    pub name: String,
    /// Where buyers reach it.
    pub url: String,
    /// Where the service is.
    pub to: String,
    /// What it costs.
    pub prices: Vec<StallPrice>,
    /// Who is paid.
    pub payee: Party,
    /// The skill at which it takes jobs at the labour market, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
}

/// One price of a stall.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StallPrice {
    /// Which requests.
    pub what: String,
    /// What a unit costs; none if it is free.
    pub price: Option<Amount>,
    /// The unit.
    pub per: String,
    /// The most that one request may cost.
    pub most: Option<Amount>,
}

impl StallReport {
    /// The stall as a person reads it.
    pub fn text(&self) -> String {
        let mut table = Table::new(&[false, true, false]);
        for line in &self.prices {
            let (price, unit) = match (line.price, line.most) {
                (None, _) => ("free".to_string(), String::new()),
                (Some(price), Some(most)) if line.per != "request" => {
                    (price.to_string(), format!("per {}, at most {most}", line.per))
                }
                (Some(price), _) => (price.to_string(), format!("per {}", line.per)),
            };
            table.row([line.what.clone(), price, unit]);
        }
        let at_market = self.skill.as_ref();
        let at_market = at_market.map(|skill| format!("it takes jobs at the market: {skill}\n"));
        let at_market = at_market.unwrap_or_default();
        format!("{} sells {}\n{}{at_market}", say::strong(&self.url), self.to, table.text())
    }
}

/// All that a client needs to trade here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Info {
    /// The program's version.
    pub version: String,
    /// Whether an economy runs, so that the addresses answer.
    pub running: bool,
    /// The page.
    pub url: String,
    /// Ethereum JSON-RPC.
    pub rpc_url: String,
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// The chain, as x402 names it (CAIP-2).
    pub network: String,
    /// Whether the chain lives in this program, so that its dollars are play money.
    pub embedded_chain: bool,
    /// The dollar.
    pub token: TokenInfo,
    /// The x402 facilitator.
    pub facilitator_url: String,
    /// What is for sale.
    pub offers: Vec<OfferInfo>,
    /// Who lives here.
    pub parties: Vec<PartyInfo>,
}

/// A dollar.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Its contract.
    pub address: Party,
    /// EIP-712 domain name.
    pub name: String,
    /// EIP-712 domain version.
    pub version: String,
    /// What people call it.
    pub symbol: String,
    /// How many decimal places it has.
    pub decimals: u8,
}

/// Something for sale.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferInfo {
    /// Its name here.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The request's method.
    pub method: String,
    /// Where.
    pub url: String,
    /// What one request costs.
    pub price: Amount,
    /// Who is paid.
    pub payee: Party,
    /// Media types that it takes.
    pub takes: Vec<String>,
}

/// Someone of this home.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartyInfo {
    /// What they are called.
    pub name: String,
    /// Their address.
    pub address: Party,
    /// What they are: `person`, `machine`, `service`.
    pub role: String,
    /// Who owns them, if someone does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A party's books.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Books {
    /// Whose.
    pub party: PartyInfo,
    /// The accounts.
    pub lines: Vec<BookLine>,
    /// What the mandate leaves, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<MandateReport>,
    /// The latest entries, newest first.
    pub entries: Vec<EntryLine>,
}

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookLine {
    /// Its name.
    pub name: String,
    /// What it is: `asset`, `income`, `expense`, `equity`.
    pub class: String,
    /// What stands there for good.
    pub settled: Amount,
    /// What is held on it.
    pub held: Amount,
}

/// A mandate in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MandateReport {
    /// Its name.
    pub id: String,
    /// Who granted it.
    pub owner: String,
    /// What was allowed in all.
    pub lifetime: Amount,
    /// What was allowed in 24 hours.
    pub daily: Amount,
    /// What was allowed for one payment.
    pub per_payment: Amount,
    /// What is left in all.
    pub lifetime_left: Amount,
    /// What is left of the last 24 hours.
    pub daily_left: Amount,
    /// Until when.
    pub expires_at: Timestamp,
    /// How much of it goes without asking the owner; all of it if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<Unasked>,
    /// What still goes without asking in the last 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked_left: Option<Amount>,
}

impl MandateReport {
    /// A mandate and what it leaves.
    pub fn of(mandate: &mandates::Mandate, left: &Left, owner: String) -> MandateReport {
        MandateReport {
            id: mandate.id().to_string(),
            owner,
            lifetime: mandate.lifetime,
            daily: mandate.daily,
            per_payment: mandate.per_payment,
            lifetime_left: left.lifetime,
            daily_left: left.daily,
            expires_at: mandate.expires_at,
            unasked: mandate.unasked,
            unasked_left: left.unasked.map(|unasked| unasked.daily),
        }
    }
}

/// An entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EntryLine {
    /// When.
    pub at: Timestamp,
    /// The account that is debited.
    pub debit: String,
    /// The account that is credited.
    pub credit: String,
    /// How much.
    pub amount: Amount,
    /// What it is to the national accounts.
    pub kind: String,
    /// The other side.
    pub counterparty: String,
    /// What became of it: `posted`, `held`, `voided`, `expired`.
    pub status: String,
    /// The act that it belongs to; its page is `/trades/REFERENCE`.
    pub reference: String,
}

/// The economy's accounts, and whether books and chain agree.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EconomyReport {
    /// As [`economy::Accounts`] writes itself.
    pub accounts: Value,
    /// What was paid: the few figures that a person wants first.
    pub headline: Headline,
    /// Whether books and chain agree.
    pub books: BooksAndChain,
}

/// The figures that a person wants first.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Headline {
    /// GDP by production.
    pub production: Amount,
    /// GDP by expenditure.
    pub expenditure: Amount,
    /// GDP by income.
    pub income: Amount,
    /// Gross payments for goods and services.
    pub turnover: Amount,
    /// Output less what was used up.
    pub value_added: Amount,
    /// Sold to the rest of the world.
    pub exports: Amount,
    /// Bought from the rest of the world.
    pub imports: Amount,
    /// The money there is.
    pub money_stock: Amount,
    /// Transactions velocity over the period, `n/a` without money.
    pub velocity_transactions: String,
    /// Income velocity over the period.
    pub velocity_income: String,
    /// Turnover per unit of value added.
    pub turnover_to_value_added: String,
    /// Purchases between different owners.
    pub trades: u64,
    /// Trades that count otherwise than declared, because a reader typed them anew.
    #[serde(default)]
    pub overridden: u64,
}

/// A trade that a reader of the accounts typed anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideReport {
    /// Which trade.
    pub trade: Reference,
    /// The override's own act in the journal.
    pub reference: Reference,
    /// The trade's amount.
    pub amount: Amount,
    /// As what it counted.
    pub from: Kind,
    /// As what it counts since.
    pub to: Kind,
    /// Why.
    pub reason: String,
    /// Who decided.
    pub by: Party,
    /// The same by name.
    pub by_name: String,
    /// When.
    pub at: Timestamp,
}

/// What an override has changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetypeReport {
    /// The override.
    #[serde(rename = "override")]
    pub entry: OverrideReport,
    /// What the trade counted as, by the rules of the accounts.
    pub counted_before: String,
    /// What it counts as now.
    pub counted_now: String,
    /// GDP before and after.
    pub gdp_before: Amount,
    pub gdp_now: Amount,
}

impl RetypeReport {
    /// The same as a person reads it.
    pub fn text(&self) -> String {
        let RetypeReport { entry, counted_before, counted_now, gdp_before, gdp_now } = self;
        let mut table = Table::new(&[false, false]);
        let trade = entry.trade.to_string();
        let reference = entry.reference.to_string();
        for (name, value) in [
            ("trade", format!("{trade}  {}", entry.amount)),
            ("was", counted_before.clone()),
            ("is", counted_now.clone()),
            ("why", entry.reason.clone()),
            ("by", format!("{}, {}", entry.by_name, entry.at)),
            ("entry", reference),
            ("GDP", format!("{gdp_before} before, {gdp_now} now")),
        ] {
            table.row([name.to_string(), value]);
        }
        format!("{}\n{}", say::strong("Typed anew"), table.text())
    }
}

/// Whether books and chain agree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BooksAndChain {
    /// `equal`, `differ` or `unknown`.
    pub state: String,
    /// The block after which they were compared.
    pub block: u64,
    /// What differs, or why it is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<String>,
}

/// What was paid for, as it travels between a command and a running economy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayOrder {
    /// What to ask for.
    pub url: String,
    /// How.
    pub method: String,
    /// The body's media type.
    pub media_type: Option<String>,
    /// The body, in base64.
    pub body: String,
    /// The most that it may cost, in whole dollars.
    pub max: Option<String>,
    /// The scheme to pay by; without it the buyer chooses.
    #[serde(default)]
    pub scheme: Option<String>,
    /// That an agent is asked there, by A2A 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentOrder>,
}

/// What is asked of an agent besides the body, which goes along as a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentOrder {
    /// What is said to it.
    pub words: Option<String>,
}

/// One of the shopper's payment channels.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelReport {
    /// Its name on the chain.
    pub id: String,
    /// Who is paid from it.
    pub payee: Party,
    /// The payee's name here.
    pub name: String,
    /// Paid in, less what came back.
    pub paid_in: Amount,
    /// Charged so far.
    pub charged: Amount,
    /// What new vouchers may draw on.
    pub left: Amount,
    /// Why it is not used any more, if so.
    pub stopped: Option<String>,
}

impl ChannelReport {
    /// Channels as a person reads them.
    pub fn text(channels: &[ChannelReport]) -> String {
        if channels.is_empty() {
            return "no channels: `machina pay URL --scheme batch-settlement` opens one\n".into();
        }
        let mut table = Table::new(&[false, false, true, true, true, false]);
        let head = ["channel", "seller", "paid in", "charged", "left", ""];
        table.row(head.map(str::to_string));
        for channel in channels {
            table.row([
                channel.id.clone(),
                channel.name.clone(),
                channel.paid_in.to_string(),
                channel.charged.to_string(),
                channel.left.to_string(),
                channel.stopped.clone().unwrap_or_default(),
            ]);
        }
        table.text()
    }
}

/// What came back from a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClosedReport {
    /// How much came back, or will.
    pub amount: Amount,
    /// From when on it can be had by closing the channel again; none if it is here.
    pub until: Option<Timestamp>,
    /// Why the seller did not give it back at once.
    pub cause: Option<String>,
}

impl ClosedReport {
    /// The same as a person reads it.
    pub fn text(&self) -> String {
        match (&self.until, &self.cause) {
            (Some(until), cause) => {
                let why = cause.as_deref().map(|c| format!(" ({c})")).unwrap_or_default();
                format!(
                    "the seller did not give it back{why}; {} can be had from {until} on: close the channel again then\n",
                    self.amount
                )
            }
            (None, _) if self.amount.is_zero() => "there was nothing in it\n".into(),
            (None, _) => format!("{} came back\n", self.amount),
        }
    }
}

/// What a request would cost.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuoteReport {
    /// Whether money is asked for it. If not, it was answered, be it with a refusal of its own.
    pub priced: bool,
    /// What it does, as its seller says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The ways to pay; any one is enough.
    pub ways: Vec<WayReport>,
}

/// One way to pay.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WayReport {
    /// How, as x402 names it: `exact`, for example. By `upto` the amount is the most.
    pub scheme: String,
    /// Where: a CAIP-2 chain.
    pub network: String,
    /// In what: the token's address.
    pub asset: String,
    /// How much: minor units.
    pub amount: String,
    /// The same in this economy's dollar; `None` if it is another token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// To whom.
    pub pay_to: String,
}

/// What came back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PayReport {
    /// The answer's status.
    pub status: u16,
    /// The answer's media type.
    pub media_type: Option<String>,
    /// The answer's body, in base64.
    pub body: String,
    /// What was paid; `None` if it was free.
    pub paid: Option<PaidReport>,
}

/// A payment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaidReport {
    /// How much.
    pub amount: Amount,
    /// To whom.
    pub payee: Party,
    /// By which transaction; none if it was paid by a voucher.
    pub transaction: Option<String>,
    /// Its name in the journal; its page is `/trades/REFERENCE`.
    pub reference: String,
    /// What the mandate leaves.
    pub mandate_left: Amount,
}

/// What `fund` did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FundReport {
    /// Who got it.
    pub to: Party,
    /// How much.
    pub amount: Amount,
    /// By which transaction.
    pub transaction: String,
    /// What they have now.
    pub balance: Amount,
}

/// A digest that is on the chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InscribedReport {
    /// 32 bytes in hex.
    pub digest: String,
    /// By which transaction.
    pub transaction: String,
    /// In which block.
    pub block: u64,
}

/// What an economy measures of the outlook's drivers: ratios, and no amounts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MeasuredReport {
    /// A figure for each driver that its accounts speak of.
    pub figures: Vec<MeasuredFigure>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MeasuredFigure {
    /// Which driver of the outlook.
    pub driver: String,
    /// How it is computed, in a few words.
    pub means: String,
    /// Its value; none if it cannot be measured yet.
    pub value: Option<f64>,
    /// Why there is none.
    pub lacks: Option<String>,
}

impl MeasuredReport {
    /// The figure of one driver.
    ///
    /// # Errors
    /// Why there is none.
    pub fn value(&self, driver: outlook::Driver) -> Result<f64, Failure> {
        let figure = self.figures.iter().find(|figure| figure.driver == driver.name());
        figure.and_then(|figure| figure.value).ok_or_else(|| {
            let lacks = figure.and_then(|figure| figure.lacks.clone());
            Failure::new(lacks.unwrap_or_else(|| format!("this economy does not measure {driver}")))
                .hint("let machines trade first, for example with `machina demo`")
        })
    }
}

/// A table with right-aligned columns where asked; widths follow the content.
pub struct Table {
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table of these columns: `true` aligns right.
    pub fn new(right: &[bool]) -> Table {
        Table { right: right.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.right.len(), String::new());
        self.rows.push(cells);
    }

    /// The table as text, each line indented by two.
    pub fn text(&self) -> String {
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::from("  ");
            for (column, cell) in row.iter().enumerate() {
                let pad = widths[column] - cell.chars().count();
                if self.right[column] {
                    let _ = write!(line, "{}{cell}", " ".repeat(pad));
                } else {
                    let _ = write!(line, "{cell}{}", " ".repeat(pad));
                }
                line.push_str("  ");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

impl Books {
    /// The books as a person reads them; `entries` of them or none.
    pub fn text(&self) -> String {
        let owner =
            self.party.owner.as_deref().map(|o| format!(", owned by {o}")).unwrap_or_default();
        let mut text = format!(
            "{}  {} {}{owner}\n",
            say::strong(&self.party.name),
            say::dim(&self.party.role),
            self.party.address
        );
        let mut table = Table::new(&[false, true, true]);
        for line in &self.lines {
            let held =
                if line.held.is_zero() { String::new() } else { format!("{} held", line.held) };
            table.row([line.name.clone(), line.settled.to_string(), held]);
        }
        if let Some(mandate) = &self.mandate {
            table.row([
                "mandate left".to_string(),
                mandate.lifetime_left.to_string(),
                format!("of {} until {}", mandate.lifetime, mandate.expires_at),
            ]);
        }
        text.push_str(&table.text());
        text
    }

    /// The latest entries as a person reads them.
    pub fn entries_text(&self) -> String {
        let mut table = Table::new(&[false, true, false, false, false, false]);
        for entry in &self.entries {
            table.row([
                entry.at.to_string(),
                entry.amount.to_string(),
                format!("{} ← {}", entry.debit, entry.credit),
                entry.counterparty.clone(),
                entry.kind.replace('_', " "),
                entry.status.clone(),
            ]);
        }
        table.text()
    }
}

impl EconomyReport {
    /// The accounts as a person reads them.
    pub fn text(&self) -> String {
        let h = &self.headline;
        let mut table = Table::new(&[false, true, false]);
        let mut line = |name: &str, value: String, note: &str| {
            table.row([name.to_string(), value, note.to_string()]);
        };
        line("GDP by production", h.production.to_string(), "output less what was used up");
        line(
            "GDP by expenditure",
            h.expenditure.to_string(),
            "what was bought for final use, and net exports",
        );
        line("GDP by income", h.income.to_string(), "what was earned by it");
        line("turnover", h.turnover.to_string(), "all that was paid for work");
        line(
            "value added",
            h.value_added.to_string(),
            &format!("turnover is {} times that", h.turnover_to_value_added),
        );
        line("exports", h.exports.to_string(), "bought from outside this home");
        line("imports", h.imports.to_string(), "");
        line(
            "money",
            h.money_stock.to_string(),
            &format!("turned over {} times", h.velocity_transactions),
        );
        line("trades", h.trades.to_string(), "");
        if h.overridden > 0 {
            let note = "count otherwise than declared: `machina economy report` says why";
            line("overrides", h.overridden.to_string(), note);
        }
        let agree = match self.books.state.as_str() {
            "equal" => say::good(&format!("books equal chain after block {}", self.books.block)),
            "differ" => {
                say::bad(&format!("BOOKS AND CHAIN DIFFER: {}", self.books.detail.join("; ")))
            }
            _ => {
                say::dim(&format!("books and chain not compared: {}", self.books.detail.join("; ")))
            }
        };
        format!("{}\n{}  {agree}\n", say::strong("The economy"), table.text())
    }
}

impl Info {
    /// The same as a person reads it.
    pub fn text(&self) -> String {
        let state = if self.running {
            say::good("running")
        } else {
            say::dim("not running; start it with `machina up`")
        };
        let mut table = Table::new(&[false, false]);
        table.row(["page", &self.url]);
        table.row(["JSON-RPC", &self.rpc_url]);
        table.row(["chain", &format!("{} ({})", self.chain_id, self.network)]);
        let play = if self.embedded_chain { ", play money" } else { "" };
        table.row([
            "dollar",
            &format!(
                "{} ({}, version {}, {} decimals{play})",
                self.token.address, self.token.name, self.token.version, self.token.decimals
            ),
        ]);
        table.row(["facilitator", &self.facilitator_url]);
        for party in &self.parties {
            let owner =
                party.owner.as_deref().map(|o| format!(", owned by {o}")).unwrap_or_default();
            table.row([party.name.as_str(), &format!("{} ({}{owner})", party.address, party.role)]);
        }
        let mut text = format!("Machina {}  {state}\n{}", self.version, table.text());
        for offer in &self.offers {
            let _ = writeln!(
                text,
                "{}\n  {} {}\n  {} to {}",
                say::strong(&offer.name),
                offer.method,
                offer.url,
                offer.price,
                offer.payee
            );
        }
        text
    }
}
