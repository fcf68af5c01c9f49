//! Who hires whom, who stays, and whether value grows faster than the number of those who trade.
//!
//! A fold over purchases and wages between different owners: nothing that a party does with itself
//! makes a network larger. A flow costs a hash look-up or four, however many pairs and days there
//! are, and every count is kept as it changes; only the list of the largest pairs is made on
//! reading, in one pass over the pairs.

use std::borrow::Borrow;
use std::collections::{BinaryHeap, HashMap};

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
    fn reciprocal(&self) -> i128 {
        2 * self.up.minor.min(self.down.minor)
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
    beyond: Way,
    /// From the span's start on, as far as anything happened.
    stretches: Vec<Stretch>,
    /// The first stretch in which each party was active.
    first: HashMap<Number, usize, RandomState>,
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
            beyond: Way::default(),
            stretches: Vec::new(),
            first: HashMap::default(),
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
        let act = act_between(registry, flow, sides);
        self.post(flow, sides, act, amount);
        Ok(())
    }

    /// Posts an amount; with the sign turned, takes it back.
    pub(crate) fn post(&mut self, flow: &Flow, sides: Sides, act: Act, amount: i128) {
        match act {
            Act::Sale { .. } | Act::Labour { .. } => {}
            Act::Tax { .. } | Act::Subsidy { .. } | Act::Neutral(_) => return,
        }
        let number = |known: Option<Place>| known.map(|place| place.number());
        let payer = number(sides.payer).unwrap_or_else(|| self.stranger(flow.payer));
        let payee = number(sides.payee).unwrap_or_else(|| self.stranger(flow.payee));
        self.pair(payer, payee, amount);
        if flow.at >= self.span.from && flow.at < self.span.to {
            let offset = (flow.at.as_millis() - self.span.from.as_millis()) / self.span.width_ms;
            let bucket = usize::try_from(offset).expect("within the span, so below MAX_BUCKETS");
            if bucket >= self.stretches.len() {
                self.stretches.resize_with(bucket + 1, Stretch::default);
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

    fn pair(&mut self, payer: Number, payee: Number, amount: i128) {
        let (low, high) = (payer.min(payee), payer.max(payee));
        let place = match self.places.get(&(low, high)) {
            Some(place) => *place as usize,
            None if self.pairs.len() < MAX_PAIRS => {
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
        let way = if payer == low { &mut pair.up } else { &mut pair.down };
        let before = way.payments;
        way.minor += amount;
        way.payments = counted(before, amount);
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

    /// The largest of [`Network::hirings`], at most so many: one pass over all pairs.
    pub fn largest(&self, most: usize) -> Vec<Hiring> {
        let ways = self.pairs.iter().enumerate().flat_map(|(index, pair)| {
            [(pair.up, index, false), (pair.down, index, true)]
                .into_iter()
                .filter(|(way, ..)| way.payments > 0)
        });
        // The smallest of the chosen ones is on top, to be thrown out first.
        let mut chosen: BinaryHeap<std::cmp::Reverse<(i128, usize, bool)>> = BinaryHeap::new();
        for (way, index, down) in ways {
            let place = std::cmp::Reverse((way.minor, index, down));
            if chosen.len() < most {
                chosen.push(place);
            } else if chosen.peek().is_some_and(|smallest| place.0.0 > smallest.0.0) {
                chosen.pop();
                chosen.push(place);
            }
        }
        let mut hirings: Vec<Hiring> = chosen
            .into_iter()
            .map(|std::cmp::Reverse((_, index, down))| {
                let pair = self.pairs[index];
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
            (std::cmp::Reverse(hiring.amount.minor()), hiring.payer, hiring.payee)
        });
        hirings
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
