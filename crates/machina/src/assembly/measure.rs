//! From the journal to the national accounts: which entries are trades, and what they add up to.
//!
//! A trade stands in up to two books under one reference. It counts once, when the first of them
//! has it for good: `payer pays payee this much for this kind of use`. A reader may type it anew
//! ([`overrides`]); the journal has that too, so the same journal gives the same accounts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use economy::{Accounts, Compilation, Effort, Entry, Flow, Registry};
use ledger::{Kind, Ledger, Reference, State, Status, TransferRecord};
use mandates::books::Line;
use money::{Amount, Asset, Timestamp};

use super::overrides::{self, Override};
use super::tasks::{self, Known};
use crate::failure::Failure;

/// How many points of the chart are kept.
const MOST_POINTS: usize = 2_000;
/// Units up to which the input–output table has a row for each; above it has one for each sector.
const UNIT_ROWS: usize = 8;

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
    /// How much was set aside for it, if that was done in the books; more than the flow's amount
    /// where the work decided what was charged.
    pub held: Option<Amount>,
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
    all: Compilation<Arc<Registry>>,
    /// All trades in the order in which they began, and whether each was counted.
    order: Vec<Reference>,
    places: HashMap<Reference, usize>,
    counted: Vec<bool>,
    /// Places of trades that began and are not settled yet.
    begun: BTreeSet<usize>,
    /// The journal's entries before this one were looked at.
    next: u64,
    posted: u64,
    points: Vec<Point>,
    /// What readers typed anew, in the order of the journal.
    overrides: Vec<Override>,
    overrides_of: HashMap<Reference, usize>,
    /// What machines had added when this process began to measure how busy they are.
    added_before: Amount,
    /// What the journal does not tell of trades.
    known: Known,
}

/// What an act of the journal is to the accounts.
enum Glance {
    Trade(Trade),
    Override { trade: Reference },
}

impl Measure {
    /// The accounts of everything that the journal has.
    ///
    /// # Errors
    /// If an entry cannot be counted.
    pub fn of(
        ledger: &Ledger,
        registry: Arc<Registry>,
        asset: Asset,
        known: Known,
    ) -> Result<Measure, Failure> {
        let mut measure = Measure {
            all: Compilation::new(registry, asset, UNIT_ROWS)?,
            order: Vec::new(),
            places: HashMap::new(),
            counted: Vec::new(),
            begun: BTreeSet::new(),
            next: 0,
            posted: 0,
            points: Vec::new(),
            overrides: Vec::new(),
            overrides_of: HashMap::new(),
            added_before: Amount::zero(asset),
            known,
        };
        measure.catch_up(ledger)?;
        let labour = measure.all.employment(Amount::zero(asset), Effort::default());
        measure.added_before = labour.value_added_by_machines;
        Ok(measure)
    }

    /// Looks at all that came into the journal since, and at all that was not settled before.
    ///
    /// # Errors
    /// If an entry cannot be counted.
    pub fn catch_up(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        let (new, end) = ledger.read(|state| {
            let references = state.entries_from(self.next).map(|entry| entry.transfer.reference);
            (references.collect::<Vec<_>>(), state.entries().len() as u64)
        });
        let begun: Vec<Reference> = self.begun.iter().map(|place| self.order[*place]).collect();
        let mut last = Reference::NONE;
        for reference in begun.into_iter().chain(new) {
            // The entries of one act mostly follow each other.
            if reference != last {
                self.look(ledger, reference)?;
            }
            last = reference;
        }
        self.next = end;
        Ok(())
    }

    /// Looks at an act again: counts it if it has become a settled trade, or types a trade anew if
    /// it says so. Returns the trade's place in the order of trades (the first is 1), if there is one.
    ///
    /// # Errors
    /// If it cannot be counted.
    pub fn look(&mut self, ledger: &Ledger, act: Reference) -> Result<Option<u64>, Failure> {
        // A settled trade stays what it is.
        if let Some(place) = self.places.get(&act)
            && self.counted[*place]
        {
            return Ok(Some(*place as u64 + 1));
        }
        match ledger.read(|state| glance(state, act)) {
            None => Ok(None),
            Some(Glance::Trade(trade)) => {
                let place = self.take(ledger, &trade)?;
                // It may have been typed anew before this process heard of it.
                self.take_overrides(ledger, act)?;
                Ok(Some(place))
            }
            Some(Glance::Override { trade }) => {
                self.look(ledger, trade)?;
                self.take_overrides(ledger, trade)?;
                Ok(self.place(trade))
            }
        }
    }

    fn take(&mut self, ledger: &Ledger, trade: &Trade) -> Result<u64, Failure> {
        let reference = trade.flow.reference;
        let place = *self.places.entry(reference).or_insert_with(|| {
            self.order.push(reference);
            self.counted.push(false);
            self.order.len() - 1
        });
        match trade.progress {
            Progress::Held => {
                self.begun.insert(place);
            }
            Progress::Ended => {
                self.begun.remove(&place);
            }
            Progress::Posted => {
                let counts = self.all.registry().read(&trade.flow)?.counted;
                // What was bought matters for real GDP only.
                let task = counts.is_final_use();
                let task = task.then(|| tasks::of(ledger, trade, &self.known)).flatten();
                let task = task.as_ref().map(tasks::Bought::task);
                self.all.add(Entry { place: place as u64, flow: &trade.flow, task })?;
                self.begun.remove(&place);
                self.counted[place] = true;
                self.posted += 1;
                self.mark(trade.flow.at);
            }
        }
        Ok(place as u64 + 1)
    }

    fn mark(&mut self, at: Timestamp) {
        self.points.push(Point { at, gdp: self.all.gdp_so_far(), trades: self.posted });
        if self.points.len() > MOST_POINTS {
            // Every second point of the past is enough to draw it.
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// Takes what a settled trade was typed anew to.
    fn take_overrides(&mut self, ledger: &Ledger, of: Reference) -> Result<(), Failure> {
        let Some(place) = self.places.get(&of).copied().filter(|place| self.counted[*place]) else {
            return Ok(());
        };
        let all = ledger.read(|state| overrides::of(state, of));
        let known = self.overrides_of.get(&of).copied().unwrap_or(0);
        let Some(newest) = all.get(known..).and_then(<[Override]>::last) else { return Ok(()) };
        let Some(trade) = ledger.read(|state| trade_of(state, of)) else { return Ok(()) };
        let task = tasks::of(ledger, &trade, &self.known);
        let task = task.as_ref().map(tasks::Bought::task);
        self.all.retype(Entry { place: place as u64, flow: &trade.flow, task }, newest.to)?;
        self.overrides_of.insert(of, all.len());
        self.overrides.extend_from_slice(&all[known..]);
        Ok(())
    }

    /// All figures.
    pub fn all(&self) -> &Compilation<Arc<Registry>> {
        &self.all
    }

    /// The accounts as of now.
    ///
    /// # Errors
    /// If they do not balance, which would be a defect of this program.
    pub fn accounts(&self, money_stock: Amount) -> Result<Accounts, Failure> {
        Ok(self.all.accounts(money_stock)?)
    }

    /// What machines had added when this process began.
    pub fn added_before(&self) -> Amount {
        self.added_before
    }

    /// As which kind a settled trade counts; none if it is not settled.
    pub fn kind_in_force(&self, trade: &Trade) -> Option<Kind> {
        let place = *self.places.get(&trade.flow.reference)?;
        let entry = Entry { place: place as u64, flow: &trade.flow, task: None };
        self.counted[place].then(|| self.all.kind_in_force(entry))
    }

    /// What readers typed anew, in the order in which they did.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
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

fn glance(state: &State, act: Reference) -> Option<Glance> {
    if let Some(trade) = trade_of(state, act) {
        return Some(Glance::Trade(trade));
    }
    overrides::trade_of(state, act).map(|trade| Glance::Override { trade })
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
    let held = transfer.hold_until.map(|_| transfer.amount);
    Some(Trade { flow, progress, held })
}
