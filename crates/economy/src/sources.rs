//! Which entries are under each figure, so that every sum can be opened.
//!
//! An entry is known by its place in the order of entries, counted from 0, which whoever keeps the
//! journal chooses. A place is listed under what its flow counted as, under imports if it is one, under
//! the sectors of its parties, and under both of them as far as they are residents: four bytes a listing.
//!
//! What a figure has is a list in order, so that any page of it is found at once; a figure of several
//! lists is read by going through them together. What a party has is
//! a chain from its latest entry back, for parties are many and an entry of each comes seldom: a page
//! of it is found by going back from the latest. What one party paid another is found by going back both
//! chains: at most as many steps as both have entries.

use money::Party;

use crate::flow::counted;
use crate::reading::{Counted, is_purchase};
use crate::registry::Sides;
use crate::{EconomyError, Flow, Reading, Registry, Sector};

/// A sum of flows that can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// All that counted as this.
    Counted(Counted),
    /// All that was bought abroad, for whatever use.
    Imports,
    /// GDP by expenditure: what was bought for final use, less what was bought abroad. Staff of
    /// households and governments is consumed too, and listed under wages.
    Gdp,
    /// What residents sold, at purchasers' prices.
    Output,
    /// What stays with owners: everything that was sold, used up, and paid for work, taxes and
    /// subsidies. Its entries have both signs, so they have no sum.
    Surplus,
    /// All purchases of goods and services, those within one owner included.
    Turnover,
    /// All payments that touch the economy.
    Payments,
    /// What parties of a sector, or of none, paid or were paid.
    Sector(Option<Sector>),
    /// What a resident paid or was paid.
    Party(Party),
    /// What one resident paid another for work.
    Hiring {
        /// Who paid.
        payer: Party,
        /// Who worked.
        payee: Party,
    },
    /// What one resident bought from another and used up: a cell of the input–output table.
    Used {
        /// Who paid.
        payer: Party,
        /// Who made it.
        payee: Party,
    },
}

/// How many lists of places there are: one for each reading, and one for what is within one owner and no purchase.
const LISTS: usize = Counted::ALL.len() + 1;
/// The latter.
const WITHIN_OWNER_BESIDES: usize = Counted::ALL.len();
/// Of each sector, and of none.
const SECTORS: usize = Sector::ALL.len() + 1;

/// Purchases for final use: what GDP by expenditure is made of.
const FINAL: [Counted; 4] =
    [Counted::FinalHousehold, Counted::FinalCollective, Counted::CapitalFormation, Counted::Export];
const FINAL_USES: [usize; 4] = places(&[&FINAL], &[]);
const SALES: [usize; 5] = places(&[&[Counted::Intermediate], &FINAL], &[]);
const WORK: [usize; 6] = places(&[&[Counted::Intermediate], &FINAL, &[Counted::Wage]], &[]);
const INCOMES: [usize; 8] = places(
    &[&[Counted::Intermediate], &FINAL, &[Counted::Wage, Counted::Tax, Counted::Subsidy]],
    &[],
);
const PURCHASES: [usize; 6] =
    places(&[&[Counted::Intermediate], &FINAL, &[Counted::WithinOwner]], &[]);
const WITHIN_OWNER: [usize; 2] = places(&[&[Counted::WithinOwner]], &[WITHIN_OWNER_BESIDES]);
const PAYMENTS: [usize; 11] = places(
    &[
        &[Counted::Intermediate],
        &FINAL,
        &[
            Counted::Wage,
            Counted::Tax,
            Counted::Subsidy,
            Counted::NotProduction,
            Counted::WithinOwner,
        ],
    ],
    &[WITHIN_OWNER_BESIDES],
);

/// The places of these kinds among the lists, and these besides; `N` is how many they are.
const fn places<const N: usize>(kinds: &[&[Counted]], besides: &[usize]) -> [usize; N] {
    let (mut found, mut so_far) = ([0; N], 0);
    let mut group = 0;
    while group < kinds.len() {
        let mut kind = 0;
        while kind < kinds[group].len() {
            found[so_far] = kinds[group][kind].index();
            so_far += 1;
            kind += 1;
        }
        group += 1;
    }
    let mut other = 0;
    while other < besides.len() {
        found[so_far] = besides[other];
        so_far += 1;
        other += 1;
    }
    assert!(so_far == N, "as many places as kinds");
    found
}

/// Of which lists a figure is made.
#[derive(Clone, Copy)]
struct Made {
    of: &'static [usize],
    /// What became of imports in it.
    imports: Imports,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Imports {
    /// They are in it like the rest.
    Kept,
    /// They are not in it.
    LeftOut,
    /// All of them are in it, those for production too, and are taken off its sum.
    TakenOff,
}

/// The lists of a figure that is made of them; none of one that is a party's or a sector's.
fn made(figure: Figure) -> Option<Made> {
    let kept = |of| Some(Made { of, imports: Imports::Kept });
    match figure {
        Figure::Counted(Counted::WithinOwner) => kept(&WITHIN_OWNER),
        Figure::Counted(counted) => kept(single(counted)),
        Figure::Gdp => Some(Made { of: &FINAL_USES, imports: Imports::TakenOff }),
        Figure::Output => Some(Made { of: &SALES, imports: Imports::LeftOut }),
        Figure::Surplus => kept(&INCOMES),
        Figure::Turnover => kept(&PURCHASES),
        Figure::Payments => kept(&PAYMENTS),
        Figure::Imports
        | Figure::Sector(_)
        | Figure::Party(_)
        | Figure::Hiring { .. }
        | Figure::Used { .. } => None,
    }
}

/// The one list of a reading.
fn single(counted: Counted) -> &'static [usize] {
    const EACH: [usize; Counted::ALL.len()] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    std::slice::from_ref(&EACH[counted.index()])
}

/// The list of what reads so.
fn list_of(reading: Reading) -> usize {
    match reading.counted {
        Counted::WithinOwner if !is_purchase(reading.declared) => WITHIN_OWNER_BESIDES,
        counted => counted.index(),
    }
}

/// Places in ascending order. Entries come nearly in order, so that a new one belongs near the end.
#[derive(Debug, Clone, Default)]
struct Places(Vec<u32>);

impl Places {
    fn insert(&mut self, place: u32) {
        match self.0.last() {
            Some(last) if *last >= place => {
                if let Err(at) = self.0.binary_search(&place) {
                    self.0.insert(at, place);
                }
            }
            _ => self.0.push(place),
        }
    }

    fn remove(&mut self, place: u32) {
        if let Ok(at) = self.0.binary_search(&place) {
            self.0.remove(at);
        }
    }

    fn has(&self, place: u32) -> bool {
        self.0.binary_search(&place).is_ok()
    }

    /// All below `before`.
    fn until(&self, before: Option<u64>) -> &[u32] {
        let end = match before.map(u32::try_from) {
            Some(Ok(before)) => self.0.partition_point(|place| *place < before),
            Some(Err(_)) | None => self.0.len(),
        };
        &self.0[..end]
    }

    /// At most so many below `before`, the last first.
    fn below(&self, before: Option<u64>, limit: usize) -> Vec<u64> {
        self.until(before).iter().rev().take(limit).map(|place| u64::from(*place)).collect()
    }
}

/// The lists.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    /// By [`list_of`].
    lists: [Places; LISTS],
    /// Their sums in minor units.
    sums: [i128; LISTS],
    imports: Places,
    imported: i128,
    imported_for_final_use: i128,
    /// How many of the imports those were.
    imports_for_final_use: u64,
    sectors: [Places; SECTORS],
    parties: Chains,
}

/// No entry: the end of a chain.
const END: Link = Link(u32::MAX);

/// Places from here on cannot be linked.
const MOST_ENTRIES: u32 = 1 << 31;

/// An entry in a party's chain, and on which of its two sides the party is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link(u32);

impl Link {
    /// Of a place below [`MOST_ENTRIES`]; the end is the payee's side of a place that is not.
    fn of(place: u32, payee: bool) -> Link {
        Link(place << 1 | u32::from(payee))
    }

    fn place(self) -> u32 {
        self.0 >> 1
    }

    fn side(self) -> usize {
        (self.0 & 1) as usize
    }
}

/// For each party its entries, from the latest back.
#[derive(Debug, Clone)]
struct Chains {
    /// The latest entry of each party, by place in the registry, and how many it has.
    parties: Vec<(Link, u32)>,
    /// By place of the entry: the one before it in its payer's chain, and in its payee's.
    before: Vec<[Link; 2]>,
}

impl Chains {
    fn insert(&mut self, party: usize, place: u32, payee: bool) {
        let at = place as usize;
        if at >= self.before.len() {
            self.before.resize(at + 1, [END; 2]);
        }
        let link = Link::of(place, payee);
        // Entries come nearly in order, so the way back to where this one belongs is short.
        let (mut later, mut earlier) = (END, self.parties[party].0);
        while earlier != END && earlier.place() > place {
            (later, earlier) = (earlier, self.next(earlier));
        }
        if earlier != END && earlier.place() == place {
            return; // it is on both sides
        }
        self.before[at][link.side()] = earlier;
        match later {
            END => self.parties[party].0 = link,
            later => self.before[later.place() as usize][later.side()] = link,
        }
        self.parties[party].1 += 1;
    }

    fn next(&self, link: Link) -> Link {
        self.before[link.place() as usize][link.side()]
    }

    /// A party's entries from the latest back, and whether it was paid.
    fn sides_of(&self, party: usize) -> impl Iterator<Item = (u32, bool)> {
        let some = |link: Link| (link != END).then_some(link);
        let chain =
            std::iter::successors(some(self.parties[party].0), move |link| some(self.next(*link)));
        chain.map(|link| (link.place(), link.side() == 1))
    }

    fn of(&self, party: usize) -> impl Iterator<Item = u32> {
        self.sides_of(party).map(|(place, _)| place)
    }

    /// What the first paid the second, from the latest back.
    fn between(&self, payer: usize, payee: usize) -> impl Iterator<Item = u32> {
        let paid = self.sides_of(payer).filter(|(_, was_paid)| !was_paid).map(|(place, _)| place);
        let mut earned = self
            .sides_of(payee)
            .filter(|(_, was_paid)| *was_paid)
            .map(|(place, _)| place)
            .peekable();
        paid.filter(move |place| {
            while earned.next_if(|one| one > place).is_some() {}
            earned.peek() == Some(place)
        })
    }
}

/// One page of the entries under a figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Under {
    /// The sum in minor units over all of them; none for a party, whose entries go both ways.
    pub sum: Option<i128>,
    /// How many there are in all.
    pub count: u64,
    /// The places of some of them, the last first.
    pub places: Vec<u64>,
}

impl Sources {
    pub(crate) fn new(units: usize) -> Sources {
        Sources {
            lists: Default::default(),
            sums: [0; LISTS],
            imports: Places::default(),
            imported: 0,
            imported_for_final_use: 0,
            imports_for_final_use: 0,
            sectors: Default::default(),
            parties: Chains { parties: vec![(END, 0); units], before: Vec::new() },
        }
    }

    /// The place as it is kept.
    pub(crate) fn check(flow: &Flow, place: u64) -> Result<u32, EconomyError> {
        let short = u32::try_from(place).ok().filter(|place| *place < MOST_ENTRIES - 1);
        short.ok_or(EconomyError::TooManyEntries { reference: flow.reference })
    }

    /// Lists an entry, or with the sign turned takes it from the figures' lists. Its parties stay
    /// what they are, so their lists are made by [`Sources::of_parties`] once.
    pub(crate) fn post(&mut self, place: u32, reading: Reading, amount: i128) {
        let list = |places: &mut Places| {
            if amount < 0 { places.remove(place) } else { places.insert(place) }
        };
        let index = list_of(reading);
        list(&mut self.lists[index]);
        self.sums[index] += amount;
        if reading.import {
            list(&mut self.imports);
            self.imported += amount;
            if reading.counted.is_final_use() {
                self.imported_for_final_use += amount;
                self.imports_for_final_use = counted(self.imports_for_final_use, amount);
            }
        }
    }

    #[inline]
    pub(crate) fn of_parties(&mut self, registry: &Registry, place: u32, sides: Sides) {
        for (side, payee) in [(sides.payer, false), (sides.payee, true)] {
            if let Some(party) = side {
                self.parties.insert(party.index(), place, payee);
                // An entry within a sector comes twice, and is listed once.
                self.sectors[sector_index(registry.sector(party))].insert(place);
            }
        }
    }

    /// Whether an entry is where one that reads so is listed.
    pub(crate) fn lists(&self, place: u32, reading: Reading) -> bool {
        self.lists[list_of(reading)].has(place)
    }

    /// What counted as this, in minor units.
    pub(crate) fn sum(&self, counted: Counted) -> i128 {
        made(Figure::Counted(counted)).map_or(0, |made| self.sum_of(made))
    }

    fn sum_of(&self, made: Made) -> i128 {
        let sum: i128 = made.of.iter().map(|list| self.sums[*list]).sum();
        match made.imports {
            Imports::Kept => sum,
            Imports::LeftOut | Imports::TakenOff => sum - self.imported,
        }
    }

    /// What was bought abroad for final use, in minor units.
    pub(crate) fn imported_for_final_use(&self) -> i128 {
        self.imported_for_final_use
    }

    pub(crate) fn is_under(&self, registry: &Registry, figure: Figure, place: u32) -> bool {
        if let Some(made) = made(figure) {
            return self.is_in(made, place);
        }
        let unit = |party| registry.place(party).map(|unit| unit.index());
        match figure {
            Figure::Imports => self.imports.has(place),
            Figure::Sector(sector) => self.sectors[sector_index(sector)].has(place),
            Figure::Party(party) => {
                unit(party).is_some_and(|unit| self.parties.of(unit).any(|one| one == place))
            }
            Figure::Hiring { payer, payee } | Figure::Used { payer, payee } => {
                let (Some(payer), Some(payee)) = (unit(payer), unit(payee)) else { return false };
                self.is_work(figure, place)
                    && self.parties.between(payer, payee).any(|one| one == place)
            }
            Figure::Counted(_)
            | Figure::Gdp
            | Figure::Output
            | Figure::Surplus
            | Figure::Turnover
            | Figure::Payments => unreachable!("made of lists"),
        }
    }

    fn is_in(&self, made: Made, place: u32) -> bool {
        let listed = || made.of.iter().any(|list| self.lists[*list].has(place));
        match made.imports {
            Imports::Kept => listed(),
            Imports::LeftOut => listed() && !self.imports.has(place),
            Imports::TakenOff => listed() || self.imports.has(place),
        }
    }

    /// Whether an entry between two parties is one of their figure's.
    fn is_work(&self, figure: Figure, place: u32) -> bool {
        let of: &[usize] = match figure {
            Figure::Used { .. } => single(Counted::Intermediate),
            _ => &WORK,
        };
        of.iter().any(|list| self.lists[*list].has(place))
    }

    /// One page of what is under a figure. What one party paid another has neither a sum nor a count
    /// here: `between` has them, where somebody knows.
    pub(crate) fn under(
        &self,
        registry: &Registry,
        figure: Figure,
        before: Option<u64>,
        limit: usize,
    ) -> Under {
        if let Some(made) = made(figure) {
            let sum = (figure != Figure::Surplus).then(|| self.sum_of(made));
            return Under {
                sum,
                count: self.count_of(made),
                places: self.merged(made, before, limit),
            };
        }
        let of_list = |places: &Places, sum| Under {
            sum,
            count: places.0.len() as u64,
            places: places.below(before, limit),
        };
        let unit = |party| registry.place(party).map(|unit| unit.index());
        let page = |chain: &mut dyn Iterator<Item = u32>| -> Vec<u64> {
            let places = chain.map(u64::from);
            places.filter(|place| before.is_none_or(|before| *place < before)).take(limit).collect()
        };
        let nothing = Under { sum: None, count: 0, places: Vec::new() };
        match figure {
            Figure::Imports => of_list(&self.imports, Some(self.imported)),
            Figure::Sector(sector) => of_list(&self.sectors[sector_index(sector)], None),
            Figure::Party(party) => match unit(party) {
                None => nothing,
                Some(unit) => Under {
                    sum: None,
                    count: u64::from(self.parties.parties[unit].1),
                    places: page(&mut self.parties.of(unit)),
                },
            },
            Figure::Hiring { payer, payee } | Figure::Used { payer, payee } => {
                match (unit(payer), unit(payee)) {
                    (Some(payer), Some(payee)) => {
                        let both = self.parties.between(payer, payee);
                        let mut work = both.filter(|place| self.is_work(figure, *place));
                        Under { places: page(&mut work), ..nothing }
                    }
                    _ => nothing,
                }
            }
            Figure::Counted(_)
            | Figure::Gdp
            | Figure::Output
            | Figure::Surplus
            | Figure::Turnover
            | Figure::Payments => unreachable!("made of lists"),
        }
    }

    fn count_of(&self, made: Made) -> u64 {
        let count: u64 = made.of.iter().map(|list| self.lists[*list].0.len() as u64).sum();
        let imports = self.imports.0.len() as u64;
        match made.imports {
            Imports::Kept => count,
            Imports::LeftOut => count - imports,
            Imports::TakenOff => count + imports - self.imports_for_final_use,
        }
    }

    /// A page of several lists as of one.
    fn merged(&self, made: Made, before: Option<u64>, limit: usize) -> Vec<u64> {
        let with_imports = (made.imports == Imports::TakenOff).then_some(&self.imports);
        let lists = made.of.iter().map(|list| &self.lists[*list]).chain(with_imports);
        let mut left: Vec<&[u32]> = lists.map(|places| places.until(before)).collect();
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(place) = left.iter().filter_map(|places| places.last()).max().copied() else {
                break;
            };
            for places in &mut left {
                if places.last() == Some(&place) {
                    *places = &places[..places.len() - 1];
                }
            }
            if made.imports != Imports::LeftOut || !self.imports.has(place) {
                found.push(u64::from(place));
            }
        }
        found
    }
}

fn sector_index(sector: Option<Sector>) -> usize {
    let place = |sector| Sector::ALL.iter().position(|one| *one == sector);
    sector.and_then(place).unwrap_or(Sector::ALL.len())
}

#[cfg(test)]
mod tests {
    use super::{Chains, END, Places};

    #[test]
    fn places_stay_in_order_however_they_come_and_a_page_is_the_last_of_them() {
        let mut places = Places::default();
        for place in [3, 7, 5, 7, 1, 9] {
            places.insert(place);
        }
        assert_eq!(places.0, [1, 3, 5, 7, 9]);
        places.remove(5);
        places.remove(5);
        assert_eq!(places.below(None, 2), [9, 7]);
        assert_eq!(places.below(Some(7), 9), [3, 1]);
        assert_eq!(places.below(Some(u64::MAX), 1), [9]);
        assert_eq!(places.below(Some(0), 1), [0; 0]);
    }

    #[test]
    fn a_partys_entries_are_a_chain_from_the_latest_back() {
        let mut chains = Chains { parties: vec![(END, 0); 2], before: Vec::new() };
        for (place, payer, payee) in [(0, 0, 1), (3, 1, 0), (2, 1, 1), (1, 0, 1)] {
            chains.insert(payer, place, false);
            chains.insert(payee, place, true);
        }
        assert_eq!(chains.of(0).collect::<Vec<_>>(), [3, 1, 0]);
        assert_eq!(chains.of(1).collect::<Vec<_>>(), [3, 2, 1, 0]);
        assert_eq!((chains.parties[0].1, chains.parties[1].1), (3, 4));
    }
}
