//! Everything that can be wrong with a registry, a flow or a question about them.

use ledger::Reference;
use money::{Amount, Asset, Party, Timestamp};
use thiserror::Error;

use crate::{MAX_BUCKETS, MAX_GROSS, MAX_GROUPS, MAX_NAME, MAX_UNITS};

/// Why the economy's accounts refuse something. Nothing has changed when one is returned, and
/// the same input is refused again: retrying does not help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EconomyError {
    /// The party is in the registry already.
    #[error("{party} is registered already, as `{name}`")]
    AlreadyRegistered {
        /// Who was to be registered again.
        party: Party,
        /// The name under which it stands.
        name: String,
    },
    /// The party would own itself, directly or through others.
    #[error("{party} cannot be owned by {owner}, which {party} owns in the end")]
    OwnershipCycle {
        /// Who was to be registered.
        party: Party,
        /// The owner that it named.
        owner: Party,
    },
    /// A unit with an owner came after a unit that it owns, so that what was known about the
    /// latter's beneficial owner would change in hindsight.
    #[error("{party} owns registered units and has an owner itself: register it before them")]
    OwnerAfterOwned {
        /// Who was to be registered.
        party: Party,
    },
    /// The name is empty, longer than [`MAX_NAME`] characters, or has control characters.
    #[error("the name of {party} must have 1 to {MAX_NAME} printable characters")]
    Name {
        /// Whose name it is.
        party: Party,
    },
    /// The registry is full.
    #[error("{party} cannot be registered: the registry holds its {MAX_UNITS} units")]
    RegistryFull {
        /// Who was to be registered.
        party: Party,
    },
    /// A flow must move something: its amount is zero or negative.
    #[error("payment {reference}: {amount} is no payment, for it is not above zero")]
    NotPositive {
        /// Which flow.
        reference: Reference,
        /// What it said.
        amount: Amount,
    },
    /// The flow is in another asset than the accounts; each asset has its own accounts.
    #[error("payment {reference} is in {found}, and these are the accounts in {expected}")]
    WrongAsset {
        /// Which flow.
        reference: Reference,
        /// The flow's asset.
        found: Asset,
        /// The accounts' asset.
        expected: Asset,
    },
    /// With this flow the gross sum of payments would pass [`MAX_GROSS`].
    #[error("payment {reference}: with {amount} more, payments pass {MAX_GROSS} minor units")]
    TooLarge {
        /// Which flow.
        reference: Reference,
        /// Its amount.
        amount: Amount,
    },
    /// The money stock is negative or in another asset than the accounts.
    #[error("{stock} is no money stock for accounts in {expected}")]
    MoneyStock {
        /// What was given.
        stock: Amount,
        /// The accounts' asset.
        expected: Asset,
    },
    /// Two money stocks were given for one asset.
    #[error("the money stock of {asset} was given twice")]
    MoneyStockTwice {
        /// Of which asset.
        asset: Asset,
    },
    /// No money stock was given for the flow's asset.
    #[error("payment {reference} is in {asset}, whose money stock was not given")]
    MoneyStockUnknown {
        /// Which flow.
        reference: Reference,
        /// Its asset.
        asset: Asset,
    },
    /// The three measures of GDP differ: a defect of this crate, to be shown and never plugged.
    #[error(
        "GDP does not add up: {production} by production, {expenditure} by expenditure, \
         {income} by income; do not publish these figures, report a defect"
    )]
    Discrepancy {
        /// Σ value added + taxes − subsidies.
        production: Amount,
        /// C + G + I + X − M.
        expenditure: Amount,
        /// Wages + operating surplus + taxes − subsidies.
        income: Amount,
    },
    /// A series' span is empty or its buckets have no width.
    #[error("a series from {from} to {to} in steps of {width_ms} ms has no buckets")]
    EmptySpan {
        /// Start, inclusive.
        from: Timestamp,
        /// End, exclusive.
        to: Timestamp,
        /// Width of a bucket, milliseconds.
        width_ms: u64,
    },
    /// A table would have more than [`MAX_GROUPS`] rows.
    #[error(
        "an input-output table of {count} rows is too large: at most {MAX_GROUPS}; group by sector"
    )]
    TooManyGroups {
        /// How many it would have.
        count: usize,
    },
    /// The groups of a table use up all that they make, so nothing is left for final use.
    #[error("the groups use up all that they make: no output could serve one unit of final use")]
    Unproductive,
    /// A flow was to be taken back or retyped that these accounts never counted, as far as can be
    /// told: more would be taken back than was paid in all.
    #[error("payment {reference}: {amount} cannot be taken back, for less than that was counted")]
    NotCounted {
        /// Which flow.
        reference: Reference,
        /// Its amount.
        amount: Amount,
    },
    /// The entry's place is past what a list of entries can name.
    #[error("payment {reference} is past the 2^31 entries that one set of accounts can list")]
    TooManyEntries {
        /// Which flow.
        reference: Reference,
    },
    /// An entry was to be typed anew that these accounts never counted.
    #[error("no entry stands at place {place}: there is nothing to retype")]
    NoSuchEntry {
        /// The place that was named.
        place: u64,
    },
    /// Two figures about one period do not go together.
    #[error("period {period}: class `{class}` {problem}")]
    Observation {
        /// Index of the period, the first is 0.
        period: usize,
        /// Which class of tasks.
        class: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A holding refers to something unknown, or a sum is past what can be counted.
    #[error("{what}: {problem}")]
    Holding {
        /// Which vault or asset.
        what: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A series would have more than [`MAX_BUCKETS`] buckets.
    #[error("a series of {count} buckets is too long: at most {MAX_BUCKETS}, use wider ones")]
    TooManyBuckets {
        /// How many were asked for.
        count: u64,
    },
}
