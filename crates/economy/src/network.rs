//! Who hires whom, who stays, and whether value grows faster than the number of those who trade.
//!
//! A fold over purchases and wages between different owners: nothing that a party does with itself
//! makes a network larger. A flow costs a hash look-up or four, however many pairs and days there
//! are, and every count is kept as it changes; only the list of the largest pairs is made on
//! reading, in one pass over the pairs.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use foldhash::fast::RandomState;
use money::{Amount, Asset, Party, Timestamp};
use serde::Serialize;

use crate::flow::{Gate, counted};
use crate::reading::{Act, act_between};
use crate::registry::{Place, Sides};
use crate::{EconomyError, Flow, MAX_BUCKETS, Ratio, Registry, Span};

/// The most pairs of parties that are kept apart, both directions of one being one; what comes
/// later is summed as [`Network::beyond`].
pub const MAX_PAIRS: usize = 1_000_000;

/// What one party paid another for work, all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hiring {
    /// Who paid.
    pub payer: Party,
    /// Who worked.
    pub payee: Party,
    /// How much.
    pub amount: Amount,
    /// In how many payments.
    pub payments: u64,
}

/// Who was there in one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Start, inclusive.
    pub from: Timestamp,
    /// Parties that bought or sold, from home or abroad.
    pub active: u64,
    /// Those of them that had not before.
    pub new: u64,
    /// Those of them that had in the stretch before.
    pub stayed: u64,
    /// Those who stayed / those who were active in the stretch before.
    pub retention: Ratio,
    /// What they paid each other for work.
    pub turnover: Amount,
}

/// A party's number here: residents by their place in the registry, then strangers as they come.
type Number = u32;

/// What went one way between two parties.
#[derive(Debug, Clone, Copy, Default)]
struct Way {
    minor: i128,
    payments: u64,
}

/// Two parties, the lower number first.
#[derive(Debug, Clone, Copy)]
struct Pair {
    low: Number,
    high: Number,
    /// From the lower to the higher, and back.
    up: Way,
    down: Way,
}

impl Pair {
    /// The smaller of both directions, twice.
    #[inline]
    fn reciprocal(&self) -> i128 {
        2 * self.up.minor.min(self.down.minor)
    }
}

/// A payment for work, looked up.
#[derive(Debug, Clone, Copy)]
struct Meeting {
    at: Timestamp,
    payer: Number,
    payee: Number,
    /// The pair's place among all pairs, if it was there when this was looked up.
    place: Option<u32>,
    amount: i128,
}

/// How many of the largest directions are kept in order.
const LEADERS: usize = 256;

/// A direction of a pair by what was paid in it: the sum, the pair's place, and whether it goes down.
type Direction = (i128, usize, bool);

/// The largest directions, so that a page need not look through all pairs.
#[derive(Debug, Clone, Default)]
struct Leaders {
    /// At most [`LEADERS`].
    largest: BTreeSet<Direction>,
    /// The least sum of a full set, below which none comes in; else nothing is too small.
    floor: Option<i128>,
    /// Whether a sum has shrunk, so that one that is not here may be larger than one that is.
    stale: bool,
}

impl Leaders {
    fn changes(&mut self, before: Direction, after: Direction) {
        if after.0 < before.0 {
            self.stale = true;
        }
        if self.stale || self.floor.is_some_and(|floor| after.0 < floor) {
            return;
        }
        self.largest.remove(&before);
        self.largest.insert(after);
        if self.largest.len() > LEADERS {
            self.largest.pop_first();
        }
        if self.largest.len() >= LEADERS {
            self.floor = self.largest.first().map(|smallest| smallest.0);
        }
    }

    /// The largest, at most so many; none if that is not known here.
    fn at_most(&self, most: usize, all: u64) -> Option<impl Iterator<Item = Direction>> {
        let enough = self.largest.len() >= most || self.largest.len() as u64 == all;
        (enough && !self.stale).then(|| self.largest.iter().rev().take(most).copied())
    }
}

/// One stretch of time.
#[derive(Debug, Clone, Default)]
struct Stretch {
    /// How many payments each party was in.
    parties: HashMap<Number, u64, RandomState>,
    new: u64,
    stayed: u64,
    turnover: i128,
}

/// Who hires whom, and when, as it grows by a flow at a time.
#[derive(Debug, Clone)]
pub struct Network<R> {
    registry: R,
    gate: Gate,
    span: Span,
    strangers: HashMap<Party, Number, RandomState>,
    /// Strangers in the order of their numbers.
    stranger_list: Vec<Party>,
    places: HashMap<(Number, Number), u32, RandomState>,
    pairs: Vec<Pair>,
    /// Directions of pairs that anything was paid in, and what.
    directions: u64,
    paid: i128,
    reciprocal: i128,
    leaders: Leaders,
    beyond: Way,
    /// From the span's start on, as far as anything happened.
    stretches: Vec<Stretch>,
    /// The first stretch in which each party was active.
    first: HashMap<Number, usize, RandomState>,
    /// Empty between calls: room for [`Network::post_all`].
    meetings: Vec<Meeting>,
}

impl<R: Borrow<Registry>> Network<R> {
    /// A network in which nobody has hired anybody. Activity is told for the buckets of `span`;
    /// pairs count whenever they traded.
    ///
    /// # Errors
    /// [`EconomyError::EmptySpan`], [`EconomyError::TooManyBuckets`].
    pub fn new(registry: R, asset: Asset, span: Span) -> Result<Network<R>, EconomyError> {
        let count = span.buckets()?;
        debug_assert!(count <= MAX_BUCKETS);
        Ok(Network {
            registry,
            gate: Gate::new(asset),
            span,
            strangers: HashMap::default(),
            stranger_list: Vec::new(),
            places: HashMap::default(),
            pairs: Vec::new(),
            directions: 0,
            paid: 0,
            reciprocal: 0,
            leaders: Leaders::default(),
            beyond: Way::default(),
            stretches: Vec::new(),
            first: HashMap::default(),
            meetings: Vec::new(),
        })
    }

    /// Adds one flow, in constant time.
    ///
    /// # Errors
    /// As [`AccountsBuilder::add`](crate::AccountsBuilder::add). Nothing has changed then.
    pub fn add(&mut self, flow: &Flow) -> Result<(), EconomyError> {
        let amount = self.gate.admit(flow)?;
        let registry = self.registry.borrow();
        let sides = registry.sides(flow);
        let act = act_between(registry, flow, flow.kind, sides);
        self.post(flow, sides, act, amount);
        Ok(())
    }

    /// Posts an amount; with the sign turned, takes it back.
    pub(crate) fn post(&mut self, flow: &Flow, sides: Sides, act: Act, amount: i128) {
        self.post_all(std::iter::once((flow, sides, act, amount)));
    }

    /// Posts many, a step of all before the next step of any: what each step looks up far apart in
    /// memory is then fetched for several at once.
    pub(crate) fn post_all<'a>(
        &mut self,
        posts: impl Iterator<Item = (&'a Flow, Sides, Act, i128)>,
    ) {
        let mut meetings = std::mem::take(&mut self.meetings);
        for (flow, sides, act, amount) in posts {
            match act {
                Act::Sale { .. } | Act::Labour { .. } => {}
                Act::Tax { .. } | Act::Subsidy { .. } | Act::Neutral(_) => continue,
            }
            let number = |known: Option<Place>| known.map(|place| place.number());
            let payer = number(sides.payer).unwrap_or_else(|| self.stranger(flow.payer));
            let payee = number(sides.payee).unwrap_or_else(|| self.stranger(flow.payee));
            let key = (payer.min(payee), payer.max(payee));
            let place = self.places.get(&key).copied();
            meetings.push(Meeting { at: flow.at, payer, payee, place, amount });
        }
        for meeting in &meetings {
            self.pair(meeting);
        }
        for meeting in &meetings {
            self.meet(meeting);
        }
        meetings.clear();
        self.meetings = meetings;
    }

    /// Both parties are active when they meet.
    fn meet(&mut self, meeting: &Meeting) {
        let Meeting { at, payer, payee, amount, .. } = *meeting;
        if at < self.span.from || at >= self.span.to {
            return;
        }
        let offset = (at.as_millis() - self.span.from.as_millis()) / self.span.width_ms;
        let bucket = usize::try_from(offset).expect("within the span, so below MAX_BUCKETS");
        if bucket >= self.stretches.len() {
            // As many are likely to come as came the last time.
            let expected = self.stretches.last().map_or(0, |stretch| stretch.parties.len());
            self.stretches.resize_with(bucket + 1, Stretch::default);
            self.stretches[bucket].parties.reserve(expected);
        }
        self.stretches[bucket].turnover += amount;
        for party in [payer, payee] {
            if amount < 0 {
                self.was_not_here(bucket, party);
            } else {
                self.is_here(bucket, party);
            }
        }
    }

    fn stranger(&mut self, party: Party) -> Number {
        let residents = self.registry.borrow().len();
        let list = &mut self.stranger_list;
        *self.strangers.entry(party).or_insert_with(|| {
            list.push(party);
            // A party takes at least 20 bytes, so memory ends long before the numbers do.
            Number::try_from(residents + list.len() - 1).expect("parties are fewer than numbers")
        })
    }

    fn party(&self, number: Number) -> Party {
        let index = number as usize;
        let registry = self.registry.borrow();
        match index.checked_sub(registry.len()) {
            Some(stranger) => self.stranger_list[stranger],
            None => registry.party_at(index),
        }
    }

    fn pair(&mut self, meeting: &Meeting) {
        let Meeting { payer, payee, amount, .. } = *meeting;
        let (low, high) = (payer.min(payee), payer.max(payee));
        let has_room = self.pairs.len() < MAX_PAIRS;
        // One that was not there a moment ago may have come in meanwhile, as long as there is room.
        let known = || if has_room { self.places.get(&(low, high)).copied() } else { None };
        let place = match meeting.place.or_else(known) {
            Some(place) => place as usize,
            None if has_room => {
                let place = self.pairs.len();
                let index = u32::try_from(place).expect("at most MAX_PAIRS");
                self.places.insert((low, high), index);
                self.pairs.push(Pair { low, high, up: Way::default(), down: Way::default() });
                place
            }
            // A pair that found no room finds none later: pairs are never taken out.
            None => {
                self.beyond.minor += amount;
                self.beyond.payments = counted(self.beyond.payments, amount);
                return;
            }
        };
        let pair = &mut self.pairs[place];
        self.reciprocal -= pair.reciprocal();
        let down = payer != low;
        let way = if down { &mut pair.down } else { &mut pair.up };
        let (before, sum) = (way.payments, way.minor);
        way.minor += amount;
        way.payments = counted(before, amount);
        self.leaders.changes((sum, place, down), (way.minor, place, down));
        match (before, way.payments) {
            (0, 1) => self.directions += 1,
            (1, 0) => self.directions -= 1,
            _ => {}
        }
        self.paid += amount;
        self.reciprocal += pair.reciprocal();
    }

    /// One payment more of this party in a stretch of time.
    fn is_here(&mut self, bucket: usize, party: Number) {
        let times = self.stretches[bucket].parties.entry(party).or_default();
        *times += 1;
        if *times > 1 {
            return;
        }
        self.stays(bucket, party, true);
        let first = *self.first.entry(party).or_insert(bucket);
        if first == bucket {
            self.stretches[bucket].new += 1;
        } else if bucket < first {
            self.stretches[first].new -= 1;
            self.stretches[bucket].new += 1;
            self.first.insert(party, bucket);
        }
    }

    /// One payment less.
    fn was_not_here(&mut self, bucket: usize, party: Number) {
        let parties = &mut self.stretches[bucket].parties;
        match parties.get_mut(&party) {
            Some(times) if *times > 1 => *times -= 1,
            Some(_) => {
                parties.remove(&party);
                self.stays(bucket, party, false);
                if self.first.get(&party) == Some(&bucket) {
                    self.stretches[bucket].new -= 1;
                    // Rare: only what is retyped is taken back.
                    let is_there = |stretch: &Stretch| stretch.parties.contains_key(&party);
                    match self.stretches.iter().position(is_there) {
                        Some(later) => {
                            self.stretches[later].new += 1;
                            self.first.insert(party, later);
                        }
                        None => {
                            self.first.remove(&party);
                        }
                    }
                }
            }
            None => {}
        }
    }

    /// The party has come into a stretch, or is gone from it: whoever is in two adjoining ones
    /// stayed in the later.
    fn stays(&mut self, bucket: usize, party: Number, came: bool) {
        let has = |network: &Self, at: usize| {
            network.stretches.get(at).is_some_and(|stretch| stretch.parties.contains_key(&party))
        };
        let before = bucket.checked_sub(1).is_some_and(|earlier| has(self, earlier));
        let after = has(self, bucket + 1);
        for (is_so, later) in [(before, bucket), (after, bucket + 1)] {
            if is_so {
                let stayed = &mut self.stretches[later].stayed;
                *stayed = if came { *stayed + 1 } else { *stayed - 1 };
            }
        }
    }

    /// How many parties paid how many others for work: [`Network::hirings`] without the list.
    pub fn directions(&self) -> u64 {
        self.directions
    }

    /// All that was paid for work between the pairs that are kept apart.
    pub fn paid(&self) -> Amount {
        self.amount(self.paid)
    }

    /// Who hired whom, the largest sums first; equal ones by address.
    pub fn hirings(&self) -> Vec<Hiring> {
        self.largest(usize::MAX)
    }

    /// What one party paid another for work; none if it never did, or past [`MAX_PAIRS`].
    pub fn hiring(&self, payer: Party, payee: Party) -> Option<Hiring> {
        let (from, to) = (self.number(payer)?, self.number(payee)?);
        let place = *self.places.get(&(from.min(to), from.max(to)))?;
        let pair = self.pairs[place as usize];
        let way = if from == pair.low { pair.up } else { pair.down };
        (way.payments > 0).then(|| Hiring {
            payer,
            payee,
            amount: self.amount(way.minor),
            payments: way.payments,
        })
    }

    fn number(&self, party: Party) -> Option<Number> {
        let resident = self.registry.borrow().place(party).map(|place| place.number());
        resident.or_else(|| self.strangers.get(&party).copied())
    }

    /// The largest of [`Network::hirings`], at most so many. Up to 256 are at hand; more, or after
    /// something was taken back, take one pass over all pairs.
    pub fn largest(&self, most: usize) -> Vec<Hiring> {
        let chosen: Vec<Direction> = match self.leaders.at_most(most, self.directions) {
            Some(leaders) => leaders.collect(),
            None => self.search(most),
        };
        let mut hirings: Vec<Hiring> = chosen
            .into_iter()
            .map(|(_, place, down)| {
                let pair = self.pairs[place];
                let (payer, payee, way) = if down {
                    (pair.high, pair.low, pair.down)
                } else {
                    (pair.low, pair.high, pair.up)
                };
                Hiring {
                    payer: self.party(payer),
                    payee: self.party(payee),
                    amount: self.amount(way.minor),
                    payments: way.payments,
                }
            })
            .collect();
        hirings.sort_unstable_by_key(|hiring| {
            (Reverse(hiring.amount.minor()), hiring.payer, hiring.payee)
        });
        hirings
    }

    /// The largest directions among all pairs.
    fn search(&self, most: usize) -> Vec<Direction> {
        let ways = self.pairs.iter().enumerate().flat_map(|(place, pair)| {
            [(pair.up, place, false), (pair.down, place, true)]
                .into_iter()
                .filter(|(way, ..)| way.payments > 0)
        });
        // The smallest of the chosen ones is on top, to be thrown out first.
        let mut chosen: BinaryHeap<Reverse<Direction>> = BinaryHeap::new();
        for (way, place, down) in ways {
            let one = Reverse((way.minor, place, down));
            if chosen.len() < most {
                chosen.push(one);
            } else if chosen.peek().is_some_and(|smallest| one.0 > smallest.0) {
                chosen.pop();
                chosen.push(one);
            }
        }
        chosen.into_iter().map(|Reverse(one)| one).collect()
    }

    /// What pairs past [`MAX_PAIRS`] paid, and in how many payments: summed, not told apart.
    pub fn beyond(&self) -> (Amount, u64) {
        (self.amount(self.beyond.minor), self.beyond.payments)
    }

    /// Payments that two parties made to each other for work, the smaller of both directions of
    /// each pair, doubled. Trade that goes to and fro may be honest; it is also what wash trading
    /// between two owners looks like, so it is shown beside GDP and not taken from it.
    pub fn reciprocal(&self) -> Amount {
        self.amount(self.reciprocal)
    }

    /// Growth and retention by stretch of time, without gaps, to the end of the span.
    pub fn activity(&self) -> Vec<Activity> {
        self.activity_until(self.span.to)
    }

    /// The same, of the stretches that begin before this moment.
    pub fn activity_until(&self, end: Timestamp) -> Vec<Activity> {
        let none = Stretch::default();
        let mut before = 0;
        let count = self.span.buckets().expect("checked when it was made");
        (0..count)
            .map(|index| {
                let from = self.span.from.as_millis() + index * self.span.width_ms;
                (index, Timestamp::from_millis(from))
            })
            .take_while(|(_, from)| *from < end)
            .map(|(index, from)| {
                let known = usize::try_from(index).ok().and_then(|at| self.stretches.get(at));
                let stretch = known.unwrap_or(&none);
                let active = stretch.parties.len() as u64;
                let earlier = std::mem::replace(&mut before, active);
                Activity {
                    from,
                    active,
                    new: stretch.new,
                    stayed: stretch.stayed,
                    retention: Ratio {
                        numerator: i128::from(stretch.stayed),
                        denominator: i128::from(earlier),
                    },
                    turnover: self.amount(stretch.turnover),
                }
            })
            .collect()
    }

    fn amount(&self, minor: i128) -> Amount {
        Amount::from_minor(self.gate.asset(), minor)
    }
}
