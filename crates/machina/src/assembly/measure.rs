//! From the journal to the national accounts: which entries are trades, and what they add up to.
//!
//! A trade stands in up to two books under one reference. It counts once, when the first of them
//! has it for good: `payer pays payee this much for this kind of use`.

use std::collections::HashMap;
use std::sync::Arc;

use economy::{Accounts, AccountsBuilder, Flow, Registry};
use ledger::{Ledger, Reference, State, Status, TransferRecord};
use mandates::books::Line;
use money::{Amount, Asset, Timestamp};

use super::accounts::Structure;
use crate::failure::Failure;

/// How many points of the chart are kept.
const MOST_POINTS: usize = 2_000;

/// The economy at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// The moment.
    pub at: Timestamp,
    /// GDP until then.
    pub gdp: Amount,
    /// Trades settled until then.
    pub trades: u64,
}

/// A trade as the journal has it.
#[derive(Debug, Clone)]
pub struct Trade {
    /// Who pays whom how much for what.
    pub flow: Flow,
    /// How far it has come.
    pub progress: Progress,
}

/// How far a trade has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Money is set aside.
    Held,
    /// In the books for good.
    Posted,
    /// The money was given back.
    Ended,
}

/// The accounts, kept up to date entry by entry.
pub struct Measure {
    asset: Asset,
    builder: AccountsBuilder<Arc<Registry>>,
    /// All trades in the order in which they began, and whether each was counted.
    order: Vec<Reference>,
    places: HashMap<Reference, usize>,
    counted: Vec<bool>,
    posted: u64,
    points: Vec<Point>,
    structure: Structure,
}

impl Measure {
    /// The accounts of everything that the journal has.
    ///
    /// # Errors
    /// If an entry cannot be counted.
    pub fn of(ledger: &Ledger, registry: Arc<Registry>, asset: Asset) -> Result<Measure, Failure> {
        let mut measure = Measure {
            asset,
            structure: Structure::new(Arc::clone(&registry), asset)?,
            builder: AccountsBuilder::new(registry, asset),
            order: Vec::new(),
            places: HashMap::new(),
            counted: Vec::new(),
            posted: 0,
            points: Vec::new(),
        };
        ledger.read(|state| {
            let mut seen = std::collections::HashSet::new();
            for entry in state.entries() {
                let reference = entry.transfer.reference;
                if seen.insert(reference) {
                    measure.look(state, reference)?;
                }
            }
            Ok::<(), Failure>(())
        })?;
        Ok(measure)
    }

    /// Looks at an act again: counts it if it has become a settled trade. Returns its place in the
    /// order of trades (the first is 1), if it is one.
    ///
    /// # Errors
    /// If it cannot be counted.
    pub fn look(&mut self, state: &State, reference: Reference) -> Result<Option<u64>, Failure> {
        let Some(trade) = trade_of(state, reference) else { return Ok(None) };
        let place = *self.places.entry(reference).or_insert_with(|| {
            self.order.push(reference);
            self.counted.push(false);
            self.order.len() - 1
        });
        if trade.progress == Progress::Posted && !self.counted[place] {
            let reading = self.builder.add(&trade.flow)?;
            self.structure.add(place as u64 + 1, &trade.flow, reading)?;
            self.counted[place] = true;
            self.posted += 1;
            let accounts = self.builder.accounts(Amount::zero(self.asset))?;
            self.points.push(Point {
                at: trade.flow.at,
                gdp: accounts.gdp_expenditure,
                trades: self.posted,
            });
            if self.points.len() > MOST_POINTS {
                // Every second point of the past is enough to draw it.
                let mut keep = false;
                self.points.retain(|_| {
                    keep = !keep;
                    keep
                });
            }
        }
        Ok(Some(place as u64 + 1))
    }

    /// The accounts as of now.
    ///
    /// # Errors
    /// If they do not balance, which would be a defect of this program.
    pub fn accounts(&self, money_stock: Amount) -> Result<Accounts, Failure> {
        Ok(self.builder.accounts(money_stock)?)
    }

    /// Trades, newest first: those before this place, at most so many, with their places.
    pub fn before(&self, place: Option<u64>, limit: usize) -> Vec<(u64, Reference)> {
        let end = place.map_or(self.order.len(), |p| {
            usize::try_from(p.saturating_sub(1)).unwrap_or(usize::MAX).min(self.order.len())
        });
        (0..end).rev().take(limit).map(|i| (i as u64 + 1, self.order[i])).collect()
    }

    /// The place of a trade in their order.
    pub fn place(&self, reference: Reference) -> Option<u64> {
        self.places.get(&reference).map(|p| *p as u64 + 1)
    }

    /// Who uses whose product, who works, who hires whom; and the trades under each figure.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// The trade at this place in their order.
    pub fn at(&self, place: u64) -> Option<Reference> {
        self.order.get(usize::try_from(place.checked_sub(1)?).ok()?).copied()
    }

    /// How many trades were settled.
    pub fn posted(&self) -> u64 {
        self.posted
    }

    /// The economy over time.
    pub fn points(&self) -> &[Point] {
        &self.points
    }
}

/// The trade of a reference, if it is one.
pub fn trade_of(state: &State, reference: Reference) -> Option<Trade> {
    let entries = state.by_reference(reference);
    let sides = entries.iter().filter_map(|entry| side_of(state, entry));
    // The side that has come furthest tells what became of the trade.
    sides.max_by_key(|trade| match trade.progress {
        Progress::Ended => 0,
        Progress::Held => 1,
        Progress::Posted => 2,
    })
}

fn side_of(state: &State, entry: &TransferRecord) -> Option<Trade> {
    let transfer = &entry.transfer;
    let counterparty = transfer.counterparty?;
    let (debit, credit) = (state.account(&transfer.debit)?, state.account(&transfer.credit)?);
    let is = |account: &ledger::Account, line: Line| account.name == line.name();
    // Paid at once, out of what lies at the market, or from a channel.
    let pays = |account: &ledger::Account, channel: &str| {
        is(account, Line::Cash) || is(account, Line::Market) || account.name.starts_with(channel)
    };
    // A market's fee is paid out of what it owes.
    let earns = |account: &ledger::Account| pays(account, "unearned/") || is(account, Line::Owed);
    let (payer, payee) = if is(credit, Line::Sales) && earns(debit) {
        (counterparty, credit.book)
    } else if is(debit, Line::Purchases) && pays(credit, "prepaid/") {
        (debit.book, counterparty)
    } else {
        return None;
    };
    let (progress, at, amount) = match &entry.status {
        Status::Held => (Progress::Held, entry.at, transfer.amount),
        Status::Posted { at, amount } => (Progress::Posted, *at, *amount),
        Status::Voided { at } | Status::Expired { at } => (Progress::Ended, *at, transfer.amount),
    };
    let flow =
        Flow { payer, payee, amount, kind: transfer.kind, at, reference: transfer.reference };
    Some(Trade { flow, progress })
}
