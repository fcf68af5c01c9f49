//! National accounts of a machine economy, from its journal, to the last minor unit.
//!
//! The crate knows who belongs to the economy ([`Registry`]), what each payment was for
//! ([`Flow`], typed at its source) and how statisticians add such payments up ([`Accounts`]). It
//! must never know how a payment was made: no chain, no x402, no store. It has no clock, no I/O
//! and no randomness. Every amount is an integer count of minor units of one asset; only statistics
//! about amounts (inverse, indices, regressions) have fractions, in the three modules that say so.
//!
//! # Where to start
//!
//! [`Registry::read`] decides how one payment counts. Three folds then add the same readings up in
//! three different ways, and never look at each other:
//!
//! | fold | keeps | GDP is |
//! |---|---|---|
//! | `production` | output and purchases of each *unit* | Σ value added + taxes − subsidies |
//! | `expenditure` | each *use* of what was bought | C + G + I + X − M |
//! | `income` | wages, and the running profit of each *owner* | wages + surplus + taxes − subsidies |
//!
//! **Invariant 8 (accounts):** the three are equal, always; a payment within one beneficial owner
//! moves none of them. A break is refused as [`EconomyError::Discrepancy`], never plugged.
//!
//! Further folds read the same flows, each for questions of its own:
//!
//! | module | answers |
//! |---|---|
//! | `input_output`, `leontief` | who uses whose product, and what a unit more of final use sets in motion |
//! | `employment`, `inequality` | which machines work, how much, who gets the income, how evenly |
//! | `network`, `metcalfe` | who hires whom, who stays, whether value outgrows users |
//! | `volume` | real GDP: chained Fisher, quality-adjusted |
//! | `finance` | what circulates, what it is worth, what is locked, what of it is counted twice |
//!
//! [`Compilation`] is all of them at once, with the entries under each figure (`sources`): a program
//! that follows a journal wants that one.
//!
//! # Cost, order, bounds
//!
//! [`AccountsBuilder::add`] costs two hash look-ups whatever the size of the economy,
//! [`Compilation::add`] about a dozen, and [`AccountsBuilder::accounts`] one pass over its units. All folds are sums: the order of flows
//! does not matter. At most [`MAX_UNITS`] units, [`MAX_BUCKETS`] buckets of a [`Series`], and
//! [`MAX_GROSS`] minor units of payments in one set of accounts; past that a flow is refused and
//! nothing changes.
//!
//! Definitions, sources and what is not covered: `docs/accounts.md`.
//!
//! # Example
//!
//! ```
//! use economy::{Accounts, Flow, Kind, Reference, Registry, Sector, Unit};
//! use money::{Amount, Asset, Party, Timestamp};
//!
//! let party = |n: u8| Party::new([n; 20]);
//! let mut registry = Registry::new();
//! registry.insert(Unit::household(party(1), "Ada"))?;
//! registry.insert(Unit::household(party(2), "Grace"))?;
//! registry.insert(Unit::machine(party(3), "vision", party(2), Sector::Application))?;
//!
//! let flow = Flow {
//!     payer: party(1),
//!     payee: party(3),
//!     amount: Amount::parse(Asset::MUSD, "0.05")?,
//!     kind: Kind::FinalHousehold,
//!     at: Timestamp::from_secs(1),
//!     reference: Reference::derive("example", &[b"first"]),
//! };
//! let stock = Amount::parse(Asset::MUSD, "100")?;
//! let accounts = Accounts::compile(&registry, Asset::MUSD, stock, [&flow])?;
//! assert_eq!(accounts.gdp_production.to_string(), "0.05 MUSD");
//! assert_eq!(accounts.gdp_production, accounts.gdp_expenditure);
//! assert_eq!(accounts.gdp_production, accounts.gdp_income);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::float_arithmetic)]
#![forbid(unsafe_code)]

mod accounts;
mod compilation;
mod employment;
mod error;
mod expenditure;
mod finance;
mod flow;
mod income;
mod inequality;
mod input_output;
mod leontief;
mod metcalfe;
mod network;
mod production;
mod ratio;
mod reading;
mod registry;
mod series;
mod sources;
mod volume;

pub use accounts::{
    Accounts, AccountsBuilder, OwnerAccounts, Period, SHORT_PERIOD, SHORTEST_PERIOD,
    SectorAccounts, UnitAccounts, YEAR,
};
pub use compilation::{Compilation, Entry};
pub use employment::{Effort, Employment, EmploymentBuilder};
pub use error::EconomyError;
pub use finance::{
    Capitalisation, FinancialShare, Listing, Locked, Price, Supply, Token, Vault,
    capital_efficiency, financial_share, locked, market_capitalisation,
};
pub use flow::{Flow, MAX_GROSS};
pub use inequality::{Spread, spread};
pub use input_output::{Group, Grouping, InputOutput, InputOutputTable, MAX_GROUPS};
pub use ledger::{Kind, Reference};
pub use leontief::Leontief;
pub use metcalfe::{FEWEST_POINTS, Line, Metcalfe, metcalfe};
pub use network::{Activity, Hiring, MAX_PAIRS, Network};
pub use ratio::Ratio;
pub use reading::{Counted, Purpose, Reading};
pub use registry::{Institution, MAX_NAME, MAX_UNITS, Registry, Sector, Unit};
pub use series::{Bucket, MAX_BUCKETS, Series, Span};
pub use sources::{Figure, Under};
pub use volume::{
    MAX_CLASSES, Observation, REFERENCE_QUALITY, RealGdp, RealPeriod, Task, Volume, VolumeBuilder,
    volumes,
};
