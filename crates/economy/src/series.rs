//! The accounts over time: GDP, turnover and trades by bucket, for a chart.
//!
//! GDP is a sum over flows, so that of a span is the sum of its buckets'. Each bucket has the
//! expenditure fold only, ten words whatever the size of the economy.

use std::borrow::Borrow;

use ledger::Kind;
use money::{Amount, Asset, Timestamp};
use serde::Serialize;

use crate::expenditure::Expenditure;
use crate::flow::{Gate, counted};
use crate::reading::{Act, act, is_purchase};
use crate::{Counted, EconomyError, Flow, Registry};

/// The most buckets of one series: more than a screen has pixels across; they take about 1 MB.
pub const MAX_BUCKETS: u64 = 10_000;

/// Which stretch of time a series covers, and how finely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Start, inclusive.
    pub from: Timestamp,
    /// End, exclusive; the last bucket ends here even if that makes it narrower.
    pub to: Timestamp,
    /// Width of a bucket, milliseconds.
    pub width_ms: u64,
}

impl Span {
    /// How many buckets it has.
    ///
    /// # Errors
    /// [`EconomyError::EmptySpan`], [`EconomyError::TooManyBuckets`].
    pub fn buckets(&self) -> Result<u64, EconomyError> {
        let Span { from, to, width_ms } = *self;
        if to <= from || width_ms == 0 {
            return Err(EconomyError::EmptySpan { from, to, width_ms });
        }
        let count = (to.as_millis() - from.as_millis()).div_ceil(width_ms);
        if count > MAX_BUCKETS {
            return Err(EconomyError::TooManyBuckets { count });
        }
        Ok(count)
    }
}

/// What happened in one stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Start, inclusive.
    pub from: Timestamp,
    /// End, exclusive.
    pub to: Timestamp,
    /// GDP of the flows in it. A stretch may be negative, where imports came before their use.
    pub gdp: Amount,
    /// Gross payments for goods and services, as in [`Accounts::turnover`](crate::Accounts).
    pub turnover: Amount,
    /// Purchases between different owners.
    pub trades: u64,
}

/// GDP over time, kept up to date flow by flow.
#[derive(Debug, Clone)]
pub struct Series<R> {
    registry: R,
    gate: Gate,
    span: Span,
    sums: Vec<Sum>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    expenditure: Expenditure,
    turnover: i128,
    trades: u64,
}

impl Series<&Registry> {
    /// The buckets of these flows; those outside the span belong to none.
    ///
    /// # Errors
    /// As [`Series::new`] and [`Series::add`].
    pub fn compile<'a>(
        registry: &Registry,
        asset: Asset,
        span: Span,
        flows: impl IntoIterator<Item = &'a Flow>,
    ) -> Result<Vec<Bucket>, EconomyError> {
        let mut series = Series::new(registry, asset, span)?;
        for flow in flows {
            series.add(flow)?;
        }
        Ok(series.buckets().collect())
    }
}

impl<R: Borrow<Registry>> Series<R> {
    /// A series of empty buckets.
    ///
    /// # Errors
    /// [`EconomyError::EmptySpan`], [`EconomyError::TooManyBuckets`].
    pub fn new(registry: R, asset: Asset, span: Span) -> Result<Series<R>, EconomyError> {
        let count = span.buckets()?;
        let sums = vec![Sum::default(); usize::try_from(count).expect("at most MAX_BUCKETS")];
        Ok(Series { registry, gate: Gate::new(asset), span, sums })
    }

    /// Adds one flow, in constant time. Flows may come in any order; one outside the span belongs
    /// to no bucket, and `false` says so.
    ///
    /// # Errors
    /// As [`AccountsBuilder::add`](crate::AccountsBuilder::add). The series is then as it was.
    pub fn add(&mut self, flow: &Flow) -> Result<bool, EconomyError> {
        if flow.at < self.span.from || flow.at >= self.span.to {
            return Ok(false);
        }
        let amount = self.gate.admit(flow)?;
        let act = act(self.registry.borrow(), flow);
        Ok(self.post(flow.kind, flow.at, act, amount))
    }

    /// Posts an amount to its moment's bucket, or with the sign turned takes it back; `false` if
    /// the moment is outside the span.
    pub(crate) fn post(&mut self, kind: Kind, at: Timestamp, act: Act, amount: i128) -> bool {
        if at < self.span.from || at >= self.span.to {
            return false;
        }
        let offset = (at.as_millis() - self.span.from.as_millis()) / self.span.width_ms;
        let index = usize::try_from(offset).expect("within the span, so below MAX_BUCKETS");
        let sum = &mut self.sums[index];
        sum.expenditure.post(act, amount);
        match act {
            Act::Sale { .. } => {
                sum.turnover += amount;
                sum.trades = counted(sum.trades, amount);
            }
            Act::Neutral(Counted::WithinOwner) if is_purchase(kind) => sum.turnover += amount,
            Act::Neutral(_) | Act::Labour { .. } | Act::Tax { .. } | Act::Subsidy { .. } => {}
        }
        true
    }

    /// The buckets in order of time, without gaps.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = Bucket> {
        let Span { from, to, width_ms } = self.span;
        let amount = |minor| Amount::from_minor(self.gate.asset(), minor);
        self.sums.iter().enumerate().map(move |(index, sum)| {
            // Within `from..to`, but for the last end, which is clamped to it.
            let start = from.as_millis() + index as u64 * width_ms;
            Bucket {
                from: Timestamp::from_millis(start),
                to: Timestamp::from_millis(start.saturating_add(width_ms)).min(to),
                gdp: amount(sum.expenditure.gdp()),
                turnover: amount(sum.turnover),
                trades: sum.trades,
            }
        })
    }
}
