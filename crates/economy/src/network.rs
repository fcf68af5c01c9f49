//! Who hires whom, who stays, and whether value grows faster than the number of those who trade.
//!
//! A fold over purchases and wages between different owners: nothing that a party does with itself
//! makes a network larger.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use money::{Amount, Asset, Party, Timestamp};
use serde::Serialize;

use crate::flow::Gate;
use crate::reading::{Act, act};
use crate::{EconomyError, Flow, MAX_BUCKETS, Ratio, Registry, Span};

/// The most pairs of parties that are kept apart; what comes later is summed as [`Network::beyond`].
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

/// Who hires whom, and when, as it grows by a flow at a time.
#[derive(Debug, Clone)]
pub struct Network<R> {
    registry: R,
    gate: Gate,
    span: Span,
    pairs: BTreeMap<(Party, Party), (i128, u64)>,
    beyond: (i128, u64),
    buckets: BTreeMap<u64, (BTreeSet<Party>, i128)>,
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
            pairs: BTreeMap::new(),
            beyond: (0, 0),
            buckets: BTreeMap::new(),
        })
    }

    /// Adds one flow, in time logarithmic in the number of pairs.
    ///
    /// # Errors
    /// As [`AccountsBuilder::add`](crate::AccountsBuilder::add). Nothing has changed then.
    pub fn add(&mut self, flow: &Flow) -> Result<(), EconomyError> {
        let amount = self.gate.admit(flow)?;
        match act(self.registry.borrow(), flow) {
            Act::Sale { .. } | Act::Labour { .. } => {}
            Act::Tax { .. } | Act::Subsidy { .. } | Act::Neutral(_) => return Ok(()),
        }
        let pair = (flow.payer, flow.payee);
        let known = self.pairs.len() < MAX_PAIRS || self.pairs.contains_key(&pair);
        let sum = if known { self.pairs.entry(pair).or_default() } else { &mut self.beyond };
        sum.0 += amount;
        sum.1 += 1;
        if flow.at >= self.span.from && flow.at < self.span.to {
            let bucket = (flow.at.as_millis() - self.span.from.as_millis()) / self.span.width_ms;
            let (parties, turnover) = self.buckets.entry(bucket).or_default();
            parties.extend([flow.payer, flow.payee]);
            *turnover += amount;
        }
        Ok(())
    }

    /// Who hired whom, the largest sums first; equal ones by address.
    pub fn hirings(&self) -> Vec<Hiring> {
        let mut hirings: Vec<Hiring> = self
            .pairs
            .iter()
            .map(|((payer, payee), (minor, payments))| Hiring {
                payer: *payer,
                payee: *payee,
                amount: Amount::from_minor(self.gate.asset(), *minor),
                payments: *payments,
            })
            .collect();
        // Stable, so that equal sums stay in the order of addresses.
        hirings.sort_by_key(|hiring| std::cmp::Reverse(hiring.amount.minor()));
        hirings
    }

    /// What pairs past [`MAX_PAIRS`] paid, and in how many payments: summed, not told apart.
    pub fn beyond(&self) -> (Amount, u64) {
        (Amount::from_minor(self.gate.asset(), self.beyond.0), self.beyond.1)
    }

    /// Payments that two parties made to each other for work, the smaller of both directions of
    /// each pair, doubled. Trade that goes to and fro may be honest; it is also what wash trading
    /// between two owners looks like, so it is shown beside GDP and not taken from it.
    pub fn reciprocal(&self) -> Amount {
        let smaller = self.pairs.iter().filter(|((payer, payee), _)| payer < payee).map(
            |((payer, payee), (there, _))| {
                let back = self.pairs.get(&(*payee, *payer)).map_or(0, |(back, _)| *back);
                2 * back.min(*there)
            },
        );
        Amount::from_minor(self.gate.asset(), smaller.sum())
    }

    /// Growth and retention by stretch of time, without gaps.
    pub fn activity(&self) -> Vec<Activity> {
        let none = BTreeSet::new();
        let (mut seen, mut before) = (BTreeSet::new(), &none);
        let count = self.span.buckets().expect("checked when it was made");
        (0..count)
            .map(|index| {
                let (active, turnover) =
                    self.buckets.get(&index).map_or((&none, 0), |(set, sum)| (set, *sum));
                let stayed = active.intersection(before).count() as u64;
                let new = active.iter().filter(|party| seen.insert(**party)).count() as u64;
                let earlier = before.len();
                before = active;
                let from = self.span.from.as_millis() + index * self.span.width_ms;
                Activity {
                    from: Timestamp::from_millis(from),
                    active: active.len() as u64,
                    new,
                    stayed,
                    retention: Ratio {
                        numerator: i128::from(stayed),
                        denominator: earlier as i128,
                    },
                    turnover: Amount::from_minor(self.gate.asset(), turnover),
                }
            })
            .collect()
    }
}
