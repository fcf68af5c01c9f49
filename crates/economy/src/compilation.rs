//! All figures of an economy at once, kept up to date entry by entry.
//!
//! The folds of this crate each answer one question and read the same flows. A [`Compilation`] is all
//! of them: it looks an entry's parties up once, reads it once, and posts it to each. What is a sum
//! or a count is then up to date; what is derived from them (ratios, the Leontief inverse, indices,
//! the fit of exponents) is computed when somebody reads it.
//!
//! *Cost.* An entry costs the same whatever the size of the economy, well below a microsecond; an
//! override costs as much, and a shift within the lists of the entries under its figures. Reading
//! costs one pass over units, days or pairs, never over entries.
//!
//! *Bounds.* As those of its folds. An economy's days are counted from its first entry on, at most
//! [`MAX_BUCKETS`]; later ones are in the accounts and in no day.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::mpsc::{channel, sync_channel};

use ledger::Kind;
use money::{Amount, Asset, Timestamp};

use crate::network::Network;
use crate::reading::{Act, act_between};
use crate::registry::Sides;
use crate::series::Series;
use crate::sources::Sources;
use crate::volume::{RealGdp, Task, VolumeBuilder};
use crate::{
    Accounts, AccountsBuilder, Bucket, Counted, EconomyError, Effort, Employment,
    EmploymentBuilder, Figure, Flow, Grouping, InputOutput, InputOutputTable, MAX_BUCKETS,
    MAX_GROUPS, Reading, Registry, Span, Under,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How many entries are posted together, and handed from one thread to the other: so few that they
/// stay in the processor's cache from one fold to the next.
const HANDFUL: usize = 512;
/// How many handfuls may wait for the other thread.
const WAITING: usize = 8;

/// An entry of the journal, as all folds take it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its place in the order of entries, by which [`Compilation::under`] names it: each once.
    pub place: u64,
    /// Who paid whom how much, of the kind that was declared.
    pub flow: &'a Flow,
    /// What was bought, if the journal tells.
    pub task: Option<Task<'a>>,
}

/// An entry as it was read.
#[derive(Debug, Clone, Copy)]
struct Read<'a> {
    place: u32,
    /// The kind in force.
    kind: Kind,
    /// Of the kind that was declared.
    flow: &'a Flow,
    task: Option<Task<'a>>,
    sides: Sides,
    act: Act,
    /// In minor units; with the sign turned it is taken back.
    amount: i128,
}

/// The folds that are sums.
#[derive(Debug, Clone)]
struct Sums<R> {
    accounts: AccountsBuilder<R>,
    table: InputOutput<R>,
    employment: EmploymentBuilder<R>,
    /// By day, from the first entry's on.
    days: Option<Series<R>>,
    /// The time of the latest entry.
    last: Timestamp,
}

impl<R: Borrow<Registry>> Sums<R> {
    /// Checks an entry and counts it against what one set of accounts takes.
    fn admit(&mut self, entry: &Entry<'_>) -> Result<(u32, i128), EconomyError> {
        let place = Sources::check(entry.flow, entry.place)?;
        Ok((place, self.accounts.admit(entry.flow)?))
    }

    /// Notes of a new entry what no override changes: when it was.
    fn note(&mut self, read: &Read<'_>) {
        self.accounts.note_time(read.flow.at, read.sides);
        self.last = self.last.max(read.flow.at);
    }

    fn post(&mut self, read: &Read<'_>) -> Reading {
        let Read { kind, flow, sides, act, amount, .. } = *read;
        self.table.post(act, amount);
        self.employment.post(sides, act, amount);
        if let Some(days) = &mut self.days {
            days.post(kind, flow.at, act, amount);
        }
        self.accounts.post(kind, act, amount)
    }

    /// Notes and posts new entries, all of them to one fold before any to the next.
    fn take(&mut self, reads: &[Read<'_>]) {
        for read in reads {
            self.note(read);
            self.table.post(read.act, read.amount);
            if let Some(days) = &mut self.days {
                days.post(read.kind, read.flow.at, read.act, read.amount);
            }
        }
        for Read { sides, act, amount, .. } in reads {
            self.employment.post(*sides, *act, *amount);
        }
        for Read { kind, act, amount, .. } in reads {
            let _reading = self.accounts.post(*kind, *act, *amount);
        }
    }
}

/// The folds that are lists: who traded with whom and when, and in which entries.
#[derive(Debug, Clone)]
struct Lists<R> {
    registry: R,
    /// By day, from the first entry's on.
    network: Option<Network<R>>,
    sources: Sources,
    volumes: VolumeBuilder,
}

impl<R: Borrow<Registry>> Lists<R> {
    /// Notes of a new entry what no override changes: between whom it was.
    fn note(&mut self, read: &Read<'_>) {
        self.sources.of_parties(self.registry.borrow(), read.place, read.sides);
    }

    fn post(&mut self, read: &Read<'_>) {
        let Read { flow, sides, act, amount, .. } = *read;
        if let Some(network) = &mut self.network {
            network.post(flow, sides, act, amount);
        }
        self.list(read);
    }

    /// Lists an entry under its figures, and with what it bought.
    fn list(&mut self, read: &Read<'_>) {
        let Read { place, kind, flow, task, act, amount, .. } = *read;
        let reading = Reading::of(kind, act);
        self.sources.post(place, reading, amount);
        if let Some(task) = task.filter(|_| is_domestic_final_use(reading)) {
            if amount < 0 {
                self.volumes.take_back(flow.at, task, flow.amount);
            } else {
                self.volumes.add(flow.at, task, flow.amount);
            }
        }
    }

    /// Notes and posts new entries, all of them to one fold before any to the next.
    fn take(&mut self, reads: &[Read<'_>]) {
        if let Some(network) = &mut self.network {
            network.post_all(
                reads
                    .iter()
                    .map(|Read { flow, sides, act, amount, .. }| (*flow, *sides, *act, *amount)),
            );
        }
        for read in reads {
            self.note(read);
        }
        for read in reads {
            self.list(read);
        }
    }
}

/// All figures.
#[derive(Debug, Clone)]
pub struct Compilation<R> {
    registry: R,
    sums: Sums<R>,
    lists: Lists<R>,
    /// The kinds in force of entries that a reader typed anew, by place.
    overridden: BTreeMap<u32, Kind>,
}

impl<R: Borrow<Registry> + Clone> Compilation<R> {
    /// An economy in which nothing has happened. Its input–output table has a row for each unit if
    /// there are at most `unit_rows` of them, and else for each sector.
    ///
    /// # Errors
    /// None: a table past [`MAX_GROUPS`] rows is one of sectors.
    pub fn new(
        registry: R,
        asset: Asset,
        unit_rows: usize,
    ) -> Result<Compilation<R>, EconomyError> {
        let units = registry.borrow().len();
        let by_unit = units <= unit_rows.min(MAX_GROUPS);
        let grouping = if by_unit { Grouping::Units } else { Grouping::Sectors };
        Ok(Compilation {
            sums: Sums {
                accounts: AccountsBuilder::new(registry.clone(), asset),
                table: InputOutput::new(registry.clone(), asset, grouping)?,
                employment: EmploymentBuilder::new(registry.clone(), asset),
                days: None,
                last: Timestamp::from_millis(0),
            },
            lists: Lists {
                registry: registry.clone(),
                network: None,
                sources: Sources::new(units),
                volumes: VolumeBuilder::new(asset),
            },
            overridden: BTreeMap::new(),
            registry,
        })
    }

    /// The units by which entries are read.
    pub fn registry(&self) -> &Registry {
        self.registry.borrow()
    }

    /// What all figures are counted in.
    pub fn asset(&self) -> Asset {
        self.sums.accounts.asset()
    }

    /// Adds one entry to every figure, and says how it counted.
    ///
    /// # Errors
    /// In this order: [`EconomyError::TooManyEntries`], and those of [`AccountsBuilder::add`]. All
    /// figures are then as they were.
    pub fn add(&mut self, entry: Entry<'_>) -> Result<Reading, EconomyError> {
        let (place, amount) = self.sums.admit(&entry)?;
        self.begin(entry.flow)?;
        let registry = self.registry.borrow();
        let sides = registry.sides(entry.flow);
        let read = read(registry, &entry, sides, place, entry.flow.kind, amount);
        self.sums.note(&read);
        self.lists.note(&read);
        self.lists.post(&read);
        Ok(self.sums.post(&read))
    }

    /// Adds many entries, in two threads: one reads them and posts them to the folds that are sums,
    /// and hands them on to the other, which posts them to those that are lists. The figures are
    /// those of [`Compilation::add`] for one after the other.
    ///
    /// # Errors
    /// As [`Compilation::add`], for the first entry that is refused; those before it are in all
    /// figures, and it and those after it in none.
    pub fn add_all(&mut self, entries: &[Entry<'_>]) -> Result<(), EconomyError>
    where
        R: Send + Sync,
    {
        let Some((first, rest)) = entries.split_first() else { return Ok(()) };
        self.add(*first)?;
        if rest.is_empty() {
            return Ok(());
        }
        let registry: &Registry = self.registry.borrow();
        let (sums, lists) = (&mut self.sums, &mut self.lists);
        let mut sides = Vec::with_capacity(HANDFUL);
        let (hand_on, handed) = sync_channel::<Vec<Read<'_>>>(WAITING);
        let (give_back, given_back) = channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for mut reads in handed {
                    lists.take(&reads);
                    reads.clear();
                    // Nobody wants it back after the last.
                    let _unwanted = give_back.send(reads);
                }
            });
            for handful in rest.chunks(HANDFUL) {
                let mut reads =
                    given_back.try_recv().unwrap_or_else(|_| Vec::with_capacity(HANDFUL));
                sides.clear();
                sides.extend(handful.iter().map(|entry| registry.sides(entry.flow)));
                let mut refused = Ok(());
                for (entry, sides) in handful.iter().zip(&sides) {
                    match sums.admit(entry) {
                        Ok((place, amount)) => {
                            let kind = entry.flow.kind;
                            reads.push(read(registry, entry, *sides, place, kind, amount));
                        }
                        Err(error) => {
                            refused = Err(error);
                            break;
                        }
                    }
                }
                sums.take(&reads);
                hand_on.send(reads).expect("posting does not panic");
                refused?;
            }
            drop(hand_on);
            Ok(())
        })
    }

    /// Begins to count by day with the first entry's.
    fn begin(&mut self, flow: &Flow) -> Result<(), EconomyError> {
        if self.sums.days.is_none() {
            let (span, asset) = (days_from(flow.at), flow.amount.asset());
            self.lists.network = Some(Network::new(self.registry.clone(), asset, span)?);
            self.sums.days = Some(Series::new(self.registry.clone(), asset, span)?);
        }
        Ok(())
    }

    /// Counts an entry that was added before as another kind, its declared one included: a reader's
    /// override, or the end of one. Who overrides, and why, is an entry of the journal itself. All
    /// figures are then what they would be, had the entry been of this kind from the start.
    ///
    /// # Errors
    /// [`EconomyError::NoSuchEntry`] if nothing of that place is under the figure where it ought to
    /// be, and those of [`AccountsBuilder::retype`]. All figures are then as they were.
    pub fn retype(&mut self, entry: Entry<'_>, kind: Kind) -> Result<Reading, EconomyError> {
        let Entry { flow, .. } = entry;
        let place = Sources::check(flow, entry.place)?;
        let amount = self.sums.accounts.was_admitted(flow)?;
        let registry: &Registry = self.registry.borrow();
        let sides = registry.sides(flow);
        let before = read(registry, &entry, sides, place, self.kind_in_force(entry), -amount);
        let after = read(registry, &entry, sides, place, kind, amount);
        if !self.lists.sources.lists(place, Reading::of(before.kind, before.act)) {
            return Err(EconomyError::NoSuchEntry { place: entry.place });
        }
        if kind == flow.kind {
            self.overridden.remove(&place);
        } else {
            self.overridden.insert(place, kind);
        }
        let mut reading = Reading::of(before.kind, before.act);
        for one in [before, after] {
            self.lists.post(&one);
            reading = self.sums.post(&one);
        }
        Ok(reading)
    }

    /// As which kind an entry counts now.
    pub fn kind_in_force(&self, entry: Entry<'_>) -> Kind {
        let place = u32::try_from(entry.place).ok();
        place.and_then(|place| self.overridden.get(&place)).copied().unwrap_or(entry.flow.kind)
    }

    /// The accounts as of now: one pass over units and owners.
    ///
    /// # Errors
    /// As [`AccountsBuilder::accounts`].
    pub fn accounts(&self, money_stock: Amount) -> Result<Accounts, EconomyError> {
        self.sums.accounts.accounts(money_stock)
    }

    /// GDP by expenditure as of now, in constant time.
    pub fn gdp_so_far(&self) -> Amount {
        self.sums.accounts.gdp_so_far()
    }

    /// Who uses whose product.
    pub fn table(&self) -> InputOutputTable {
        self.sums.table.table()
    }

    /// Labour; see [`EmploymentBuilder::employment`].
    pub fn employment(&self, wages: Amount, effort: Effort) -> Employment {
        self.sums.employment.employment(wages, effort)
    }

    /// Who hires whom, by day; none before the first entry.
    pub fn network(&self) -> Option<&Network<R>> {
        self.lists.network.as_ref()
    }

    /// GDP, turnover and trades of each day up to the last entry's.
    pub fn days(&self) -> impl Iterator<Item = Bucket> {
        let last = self.sums.last;
        let buckets = self.sums.days.as_ref().map(Series::buckets);
        buckets.into_iter().flatten().take_while(move |bucket| bucket.from <= last)
    }

    /// The time of the latest entry.
    pub fn last(&self) -> Timestamp {
        self.sums.last
    }

    /// Real GDP; none where no entry told what was bought for final use.
    ///
    /// # Errors
    /// As [`volumes`](crate::volumes).
    pub fn real_gdp(&self) -> Result<Option<RealGdp>, EconomyError> {
        let by_day = self.days().map(|day| (day.from, day.gdp));
        let finals = Counted::ALL.into_iter().filter(|counted| counted.is_final_use());
        let used: i128 = finals.map(|counted| self.lists.sources.sum(counted)).sum();
        let at_home = used - self.lists.sources.imported_for_final_use();
        self.lists.volumes.real_gdp(by_day, Amount::from_minor(self.sums.accounts.asset(), at_home))
    }

    /// The entries under a figure: those before this place, at most so many, the last first.
    pub fn under(&self, figure: Figure, before: Option<u64>, limit: usize) -> Under {
        let under = self.lists.sources.under(self.registry(), figure, before, limit);
        match figure {
            Figure::Hiring { payer, payee } => {
                let hiring = self.network().and_then(|network| network.hiring(payer, payee));
                let sum = hiring.map(|hiring| hiring.amount.minor());
                Under { sum, count: hiring.map_or(0, |hiring| hiring.payments), ..under }
            }
            Figure::Used { .. } => {
                // The table has one sum for both; the entries are few where a table has units.
                let all = self.lists.sources.under(self.registry(), figure, None, usize::MAX);
                Under { count: all.places.len() as u64, ..under }
            }
            _ => under,
        }
    }

    /// How many entries count otherwise than declared because a reader typed them anew.
    pub fn overridden(&self) -> u64 {
        self.overridden.len() as u64
    }

    /// How many of the entries under a figure are there because of an override.
    pub fn overridden_in(&self, figure: Figure) -> u64 {
        self.overridden
            .keys()
            .filter(|place| self.lists.sources.is_under(self.registry(), figure, **place))
            .count() as u64
    }
}

/// Reads an entry as this kind.
fn read<'a>(
    registry: &Registry,
    entry: &Entry<'a>,
    sides: Sides,
    place: u32,
    kind: Kind,
    amount: i128,
) -> Read<'a> {
    let Entry { flow, task, .. } = *entry;
    let act = act_between(registry, flow, kind, sides);
    Read { place, kind, flow, task, sides, act, amount }
}

const fn is_domestic_final_use(reading: Reading) -> bool {
    reading.counted.is_final_use() && !reading.import
}

/// As many days as there can be, from the day of this moment on.
fn days_from(at: Timestamp) -> Span {
    let day = at.as_millis() - at.as_millis() % DAY_MS;
    let length = DAY_MS.saturating_mul(MAX_BUCKETS);
    // The last days that can be told end where time does.
    let from = day.min(u64::MAX - length);
    let (from, to) = (Timestamp::from_millis(from), Timestamp::from_millis(from + length));
    Span { from, to, width_ms: DAY_MS }
}
