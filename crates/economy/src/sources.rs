//! Which entries are under each figure, so that every sum can be opened.
//!
//! An entry is known by its place in the order of entries, counted from 0, which whoever keeps the
//! journal chooses. A place is listed under what its flow counted as, under imports if it is one, and
//! under both of its parties as far as they are residents: four bytes a listing.
//!
//! What a figure has is a list in order, so that any page of it is found at once. What a party has is
//! a chain from its latest entry back, for parties are many and an entry of each comes seldom: a page
//! of it is found by going back from the latest.

use money::Party;

use crate::reading::Counted;
use crate::registry::Sides;
use crate::{EconomyError, Flow, Reading, Registry};

/// A sum of flows that can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// All that counted as this.
    Counted(Counted),
    /// All that was bought abroad, for whatever use.
    Imports,
    /// What a resident paid or was paid.
    Party(Party),
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

    /// At most so many below `before`, the last first.
    fn below(&self, before: Option<u64>, limit: usize) -> Vec<u64> {
        let end = match before.map(u32::try_from) {
            Some(Ok(before)) => self.0.partition_point(|place| *place < before),
            Some(Err(_)) | None => self.0.len(),
        };
        self.0[..end].iter().rev().take(limit).map(|place| u64::from(*place)).collect()
    }
}

/// The lists.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    counted: [Places; Counted::ALL.len()],
    /// Sums in minor units, by [`Counted::index`].
    sums: [i128; Counted::ALL.len()],
    imports: Places,
    imported: i128,
    imported_for_final_use: i128,
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

    fn of(&self, party: usize) -> impl Iterator<Item = u32> {
        let some = |link: Link| (link != END).then_some(link);
        let chain =
            std::iter::successors(some(self.parties[party].0), move |link| some(self.next(*link)));
        chain.map(Link::place)
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
            counted: Default::default(),
            sums: [0; Counted::ALL.len()],
            imports: Places::default(),
            imported: 0,
            imported_for_final_use: 0,
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
        let index = reading.counted.index();
        list(&mut self.counted[index]);
        self.sums[index] += amount;
        if reading.import {
            list(&mut self.imports);
            self.imported += amount;
            if reading.counted.is_final_use() {
                self.imported_for_final_use += amount;
            }
        }
    }

    #[inline]
    pub(crate) fn of_parties(&mut self, place: u32, sides: Sides) {
        for (side, payee) in [(sides.payer, false), (sides.payee, true)] {
            if let Some(party) = side {
                self.parties.insert(party.index(), place, payee);
            }
        }
    }

    /// Whether an entry is where one that reads so is listed.
    pub(crate) fn lists(&self, place: u32, reading: Reading) -> bool {
        self.counted[reading.counted.index()].has(place)
    }

    /// What counted as this, in minor units.
    pub(crate) fn sum(&self, counted: Counted) -> i128 {
        self.sums[counted.index()]
    }

    /// What was bought abroad for final use, in minor units.
    pub(crate) fn imported_for_final_use(&self) -> i128 {
        self.imported_for_final_use
    }

    pub(crate) fn is_under(&self, registry: &Registry, figure: Figure, place: u32) -> bool {
        match figure {
            Figure::Counted(counted) => self.counted[counted.index()].has(place),
            Figure::Imports => self.imports.has(place),
            Figure::Party(party) => registry
                .place(party)
                .is_some_and(|unit| self.parties.of(unit.index()).any(|one| one == place)),
        }
    }

    pub(crate) fn under(
        &self,
        registry: &Registry,
        figure: Figure,
        before: Option<u64>,
        limit: usize,
    ) -> Under {
        let (places, sum) = match figure {
            Figure::Counted(counted) => {
                (&self.counted[counted.index()], Some(self.sums[counted.index()]))
            }
            Figure::Imports => (&self.imports, Some(self.imported)),
            Figure::Party(party) => return self.under_party(registry, party, before, limit),
        };
        Under { sum, count: places.0.len() as u64, places: places.below(before, limit) }
    }

    fn under_party(
        &self,
        registry: &Registry,
        party: Party,
        before: Option<u64>,
        limit: usize,
    ) -> Under {
        let Some(party) = registry.place(party) else {
            return Under { sum: None, count: 0, places: Vec::new() };
        };
        let chain = self.parties.of(party.index()).map(u64::from);
        let places = chain.filter(|place| before.is_none_or(|before| *place < before));
        let count = u64::from(self.parties.parties[party.index()].1);
        Under { sum: None, count, places: places.take(limit).collect() }
    }
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
