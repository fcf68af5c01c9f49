//! From the journal to the national accounts: which entries are trades, and what they add up to.
//!
//! A trade stands in up to two books under one reference. It counts once, when the first of them
//! has it for good: `payer pays payee this much for this kind of use`. Sales of one voucher total, of
//! which the first did not charge all, have one reference: each counts. A reader may type a trade anew
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
    /// The places of a reference's further sales, which are few.
    further: HashMap<Reference, Vec<usize>>,
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
            further: HashMap::new(),
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
        // A settled trade stays what it is; another may have come under its name.
        if let Some(place) = self.places.get(&act).copied()
            && self.counted[place]
        {
            return self
                .take_further(ledger, act)
                .map(|further| further.or(Some(place as u64 + 1)));
        }
        match ledger.read(|state| glance(state, act)) {
            None => Ok(None),
            Some(Glance::Trade(trade)) => {
                // Of several that are settled, the first.
                let first = ledger.read(|state| settled(state, act).0).into_iter().next();
                let mut place = self.take(ledger, first.as_ref().unwrap_or(&trade))?;
                if trade.progress == Progress::Posted {
                    place = self.take_further(ledger, act)?.unwrap_or(place);
                }
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

    /// Counts the settled sales of a reference after those that are counted. Returns the newest's place.
    fn take_further(&mut self, ledger: &Ledger, of: Reference) -> Result<Option<u64>, Failure> {
        let known = 1 + self.further.get(&of).map_or(0, Vec::len);
        let (all, is_open) = ledger.read(|state| settled(state, of));
        if let Some(place) = self.places.get(&of) {
            match is_open {
                true => self.begun.insert(*place),
                false => self.begun.remove(place),
            };
        }
        let mut newest = None;
        for trade in all.iter().skip(known) {
            let place = self.order.len();
            self.count(ledger, trade, place)?;
            self.order.push(of);
            self.counted.push(true);
            self.further.entry(of).or_default().push(place);
            newest = Some(place as u64 + 1);
        }
        Ok(newest)
    }

    /// Counts a settled trade at this place.
    fn count(&mut self, ledger: &Ledger, trade: &Trade, place: usize) -> Result<(), Failure> {
        let counts = self.all.registry().read(&trade.flow)?.counted;
        // What was bought matters for real GDP only.
        let task = counts.is_final_use();
        let task = task.then(|| tasks::of(ledger, trade, &self.known)).flatten();
        let task = task.as_ref().map(tasks::Bought::task);
        self.all.add(Entry { place: place as u64, flow: &trade.flow, task })?;
        self.posted += 1;
        self.mark(trade.flow.at);
        Ok(())
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
                self.count(ledger, trade, place)?;
                self.begun.remove(&place);
                self.counted[place] = true;
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
        let places = std::iter::once(&place).chain(self.further.get(&of).into_iter().flatten());
        for (trade, place) in ledger.read(|state| settled(state, of).0).iter().zip(places) {
            let task = tasks::of(ledger, trade, &self.known);
            let task = task.as_ref().map(tasks::Bought::task);
            self.all.retype(Entry { place: *place as u64, flow: &trade.flow, task }, newest.to)?;
        }
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

/// The settled trades of a reference as one of the two books has them, in the order in which they
/// settled (mostly one), and whether either book waits for another.
fn settled(state: &State, reference: Reference) -> (Vec<Trade>, bool) {
    let (mut bought, mut sold, mut is_open) = (Vec::new(), Vec::new(), false);
    for entry in state.by_reference(reference) {
        let Some(trade) = side_of(state, entry) else { continue };
        let book = state.account(&entry.transfer.debit).map(|account| account.book);
        match trade.progress {
            Progress::Held => is_open = true,
            Progress::Ended => {}
            Progress::Posted if book == Some(trade.flow.payer) => bought.push(trade),
            Progress::Posted => sold.push(trade),
        }
    }
    // A book whose home lost an answer has fewer.
    let mut all = if bought.len() > sold.len() { bought } else { sold };
    all.sort_by_key(|trade| trade.flow.at);
    (all, is_open)
}

/// The trade of a reference, if it is one; of several the newest that came furthest.
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

#[cfg(test)]
mod tests {
    use ledger::{Operation, TransferId};
    use mandates::books::Entry as Booked;
    use money::{ManualClock, Party};

    use super::*;

    #[test]
    fn sales_of_one_voucher_total_count_each_in_whatever_order_they_are_heard_of() {
        let (seller, payer) = (Party::new([1; 20]), Party::new([2; 20]));
        let unearned = Line::Unearned([3; 32]);
        let ledger = Ledger::in_memory(Arc::new(ManualClock::at(Timestamp::from_secs(7))));
        let enter = |operation: Operation| {
            assert!(ledger.submit_blocking(operation.into()).unwrap().holds());
        };
        for line in [Line::Escrow, Line::Sales, unearned] {
            enter(line.open(seller, Asset::MUSD));
        }
        let booked = |name: &str, debit, credit, minor, kind| Booked {
            id: TransferId::derive(name, &[]),
            book: seller,
            debit,
            credit,
            amount: Amount::from_minor(Asset::MUSD, minor),
            kind,
            counterparty: payer,
            reference: Reference::derive("test/voucher", &[]),
            digest: [0; 32],
            hold_until: Some(Timestamp::from_secs(u64::from(u32::MAX))),
        };
        let into = booked("in", Line::Escrow, unearned, 100, Kind::Financial);
        let reference = Reference::derive("test/deposit", &[]);
        enter(Booked { reference, hold_until: None, ..into }.transfer());
        let measure = || {
            let known = Known { market: Party::new([9; 20]), quality: Box::new(|_| None) };
            Measure::of(&ledger, Arc::new(Registry::new()), Asset::MUSD, known).unwrap()
        };
        // One hears of each entry, one looks only now and then.
        let (mut live, mut idle) = (measure(), measure());
        // A part of what the first voucher promised is charged, and the second promises the same in all.
        for (sold, (name, minor, charged)) in (1..).zip([("one", 10, 4), ("two", 6, 6)]) {
            let sale = booked(name, unearned, Line::Sales, minor, Kind::FinalHousehold);
            enter(sale.transfer());
            live.look(&ledger, sale.reference).unwrap();
            idle.catch_up(&ledger).unwrap();
            let amount = Some(Amount::from_minor(Asset::MUSD, charged));
            enter(Operation::Post { hold: sale.id, amount });
            assert_eq!(live.look(&ledger, sale.reference).unwrap(), Some(sold));
            assert_eq!(live.look(&ledger, sale.reference).unwrap(), Some(1), "nothing new");
            idle.catch_up(&ledger).unwrap();
            for measured in [&live, &idle, &measure()] {
                assert_eq!((measured.posted(), measured.order.len() as u64), (sold, sold));
            }
        }
    }
}
