//! Projections of the machine economy, with explicit drivers, honest uncertainty, and a record of being
//! right or wrong.
//!
//! The source of this project says that machines will add 2 to 4 trillion dollars to world GDP and that
//! crypto will be worth 17 trillion. This crate knows what such figures depend on ([`Drivers`]), what follows
//! from them ([`model`]), what others would say ([`rivals`]), how well each has foreseen the past
//! ([`mod@backtest`]), and how to keep a projection so that it can be held to account ([`record`]).
//!
//! It has no clock, no I/O and no randomness of its own: dates, seeds and texts are handed in. It never
//! touches anybody's money, and so, unlike the crates where money lives, it computes in floats: a
//! projection is not exact to the last unit, and pretending otherwise would be a lie. For one seed a run
//! gives the same bits on any number of threads.
//!
//! # Where to start
//!
//! [`project`] draws the model; [`parts`] says which driver the uncertainty comes from; [`solve()`] asks what
//! must be true for a target; [`compare()`] holds the claims beside all models; [`answer`] does all of it for one
//! [`Question`]. Equations, sources and the
//! back-test: `docs/outlook.md`.
//!
//! # Example
//!
//! ```
//! use std::num::NonZeroUsize;
//! use outlook::{Drivers, Horizon, Plan, project};
//!
//! let plan = Plan::new(20_000, 1, NonZeroUsize::MIN)?;
//! let projection = project(&Drivers::prior(), Horizon::new(2034)?, plan);
//! let p = projection.crypto_cap_claim.share().expect("it was drawn");
//! assert!((0.05..0.12).contains(&p), "17 trillion by 2034 has a chance of about one in twelve");
//! # Ok::<(), outlook::OutlookError>(())
//! ```

#![forbid(unsafe_code)]

pub mod backtest;
pub mod chart;
mod claim;
mod compare;
mod date;
mod distribution;
mod driver;
mod error;
mod facts;
pub mod model;
pub mod number;
mod predictive;
mod projection;
mod published;
mod question;
pub mod record;
pub mod rivals;
mod scenario;
pub mod score;
mod simulation;
mod solve;
mod variance;

pub use claim::{ANCHORS, ASSUMED_HORIZONS, Anchor, CLAIMS, Claim};
pub use compare::{Comparison, STRUCTURAL, Standing, View, compare};
pub use date::{Date, Quarter};
pub use distribution::Distribution;
pub use driver::{ANCHOR, DRIVERS, Describe, Driver, Drivers, Measured, Unit, Values};
pub use error::OutlookError;
pub use facts::{Fact, Facts, Past, Series, Source, Track};
pub use model::{Horizon, Outcome, Quantity, Target};
pub use predictive::{Normal, Predictive};
pub use projection::{
    FAN_DRAWS, FanYear, Frequency, LEVELS, Medians, Projection, Quantiles, project, rank_r2,
};
pub use published::{MachineGdp, Published, machine_gdp};
pub use question::{
    HASTY_DRAWS, MustBeTrue, Question, Report, SCENARIO_DRAWS, ScenarioLine, answer,
};
pub use scenario::Scenario;
pub use simulation::{FEWEST_DRAWS, MOST_DRAWS, Plan, simulate};
pub use solve::{Alone, Answer, Move, Together, solve};
pub use variance::{BATCHES, Estimate, FEW_PAIRS, PAIRS, Part, parts, parts_of};
