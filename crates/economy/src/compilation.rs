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

use ledger::Kind;
use money::{Amount, Asset, Timestamp};

use crate::network::Network;
use crate::reading::act_between;
use crate::series::Series;
use crate::sources::Sources;
use crate::volume::{RealGdp, Task, VolumeBuilder};
use crate::{
    Accounts, AccountsBuilder, Bucket, Counted, EconomyError, Effort, Employment,
    EmploymentBuilder, Figure, Flow, Grouping, InputOutput, InputOutputTable, MAX_BUCKETS,
    MAX_GROUPS, Reading, Registry, Span, Under,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

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

/// The folds that count by day, from the first entry's day on.
#[derive(Debug, Clone)]
struct Days<R> {
    network: Network<R>,
    series: Series<R>,
}

/// All figures.
#[derive(Debug, Clone)]
pub struct Compilation<R> {
    registry: R,
    accounts: AccountsBuilder<R>,
    table: InputOutput<R>,
    employment: EmploymentBuilder<R>,
    days: Option<Days<R>>,
    last: Timestamp,
    volumes: VolumeBuilder,
    sources: Sources,
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
            accounts: AccountsBuilder::new(registry.clone(), asset),
            table: InputOutput::new(registry.clone(), asset, grouping)?,
            employment: EmploymentBuilder::new(registry.clone(), asset),
            days: None,
            last: Timestamp::from_millis(0),
            volumes: VolumeBuilder::new(asset),
            sources: Sources::new(units),
            overridden: BTreeMap::new(),
            registry,
        })
    }

    /// The units by which entries are read.
    pub fn registry(&self) -> &Registry {
        self.registry.borrow()
    }

    /// Adds one entry to every figure, and says how it counted.
    ///
    /// # Errors
    /// In this order: [`EconomyError::TooManyEntries`], and those of [`AccountsBuilder::add`]. All
    /// figures are then as they were.
    pub fn add(&mut self, entry: Entry<'_>) -> Result<Reading, EconomyError> {
        let Entry { flow, .. } = entry;
        let place = Sources::check(flow, entry.place)?;
        let amount = self.accounts.admit(flow)?;
        let sides = self.registry.borrow().sides(flow);
        self.accounts.note_time(flow, sides);
        self.last = self.last.max(flow.at);
        self.sources.of_parties(place, sides);
        Ok(self.post(place, entry, flow.kind, amount))
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
        let amount = self.accounts.was_admitted(flow)?;
        let now = self.kind_in_force(entry);
        let reading = self.registry().read(&Flow { kind: now, ..*flow })?;
        if !self.sources.lists(place, reading) {
            return Err(EconomyError::NoSuchEntry { place: entry.place });
        }
        self.post(place, entry, now, -amount);
        if kind == flow.kind {
            self.overridden.remove(&place);
        } else {
            self.overridden.insert(place, kind);
        }
        Ok(self.post(place, entry, kind, amount))
    }

    /// As which kind an entry counts now.
    pub fn kind_in_force(&self, entry: Entry<'_>) -> Kind {
        let place = u32::try_from(entry.place).ok();
        place.and_then(|place| self.overridden.get(&place)).copied().unwrap_or(entry.flow.kind)
    }

    /// Posts an entry as this kind to every fold, or with the sign turned takes it back.
    fn post(&mut self, place: u32, entry: Entry<'_>, kind: Kind, amount: i128) -> Reading {
        let flow = Flow { kind, ..*entry.flow };
        let registry = self.registry.borrow();
        let sides = registry.sides(&flow);
        let act = act_between(registry, &flow, sides);
        let reading = self.accounts.post(kind, act, amount);
        self.table.post(act, amount);
        self.employment.post(sides, act, amount);
        let days = self.days.get_or_insert_with(|| {
            let span = days_from(flow.at);
            let (registry, asset) = (&self.registry, flow.amount.asset());
            let sound = "a span of MAX_BUCKETS days is sound";
            Days {
                network: Network::new(registry.clone(), asset, span).expect(sound),
                series: Series::new(registry.clone(), asset, span).expect(sound),
            }
        });
        days.network.post(&flow, sides, act, amount);
        days.series.post(kind, flow.at, act, amount);
        self.sources.post(place, reading, amount);
        if let Some(task) = entry.task.filter(|_| is_domestic_final_use(reading)) {
            if amount < 0 {
                self.volumes.take_back(flow.at, task, flow.amount);
            } else {
                self.volumes.add(flow.at, task, flow.amount);
            }
        }
        reading
    }

    /// The accounts as of now: one pass over units and owners.
    ///
    /// # Errors
    /// As [`AccountsBuilder::accounts`].
    pub fn accounts(&self, money_stock: Amount) -> Result<Accounts, EconomyError> {
        self.accounts.accounts(money_stock)
    }

    /// GDP by expenditure as of now, in constant time.
    pub fn gdp_so_far(&self) -> Amount {
        self.accounts.gdp_so_far()
    }

    /// Who uses whose product.
    pub fn table(&self) -> InputOutputTable {
        self.table.table()
    }

    /// Labour; see [`EmploymentBuilder::employment`].
    pub fn employment(&self, wages: Amount, effort: Effort) -> Employment {
        self.employment.employment(wages, effort)
    }

    /// Who hires whom, by day; none before the first entry.
    pub fn network(&self) -> Option<&Network<R>> {
        self.days.as_ref().map(|days| &days.network)
    }

    /// GDP, turnover and trades of each day up to the last entry's.
    pub fn days(&self) -> impl Iterator<Item = Bucket> {
        let last = self.last;
        let buckets = self.days.as_ref().map(|days| days.series.buckets());
        buckets.into_iter().flatten().take_while(move |bucket| bucket.from <= last)
    }

    /// The time of the latest entry.
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// Real GDP; none where no entry told what was bought for final use.
    ///
    /// # Errors
    /// As [`volumes`](crate::volumes).
    pub fn real_gdp(&self) -> Result<Option<RealGdp>, EconomyError> {
        let by_day = self.days().map(|day| (day.from, day.gdp));
        let finals = Counted::ALL.into_iter().filter(|counted| counted.is_final_use());
        let used: i128 = finals.map(|counted| self.sources.sum(counted)).sum();
        let at_home = used - self.sources.imported_for_final_use();
        self.volumes.real_gdp(by_day, Amount::from_minor(self.accounts.asset(), at_home))
    }

    /// The entries under a figure: those before this place, at most so many, the last first.
    pub fn under(&self, figure: Figure, before: Option<u64>, limit: usize) -> Under {
        self.sources.under(self.registry(), figure, before, limit)
    }

    /// How many entries count otherwise than declared because a reader typed them anew.
    pub fn overridden(&self) -> u64 {
        self.overridden.len() as u64
    }

    /// How many of the entries under a figure are there because of an override.
    pub fn overridden_in(&self, figure: Figure) -> u64 {
        self.overridden
            .keys()
            .filter(|place| self.sources.is_under(self.registry(), figure, **place))
            .count() as u64
    }
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
