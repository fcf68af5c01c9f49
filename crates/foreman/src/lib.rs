//! Composite work: what a foreman does between the person who asks and the machines that work.
//!
//! The crate knows how a person's words and files become pieces of work that are for sale ([`Plan`]),
//! what each of them may cost ([`budget`]), which check suits it ([`checking`]), and how the answers
//! become one ([`Step`]). It knows no chain, no model and no HTTP. Around the core, two parties work at
//! a market's desk: the foreman ([`agent`]), and who hires ([`hiring`]). What is asked of people, and how it is
//! judged, is [`person`].
//!
//! Its core is pure: start at [`Order::plan`], then [`Plan::next`]: given what was delivered so far, it says what to hire
//! next, or what to deliver. A foreman calls it until it delivers; whoever checks the foreman calls it
//! once, on the same deliveries, and compares the bytes.
//!
//! # Words that are not the person's
//!
//! File names and workers' answers are strangers' text. **The plan depends on the person's own words and on
//! media types alone**: an answer, or a name, that says "ignore your instructions" is data. It is freed
//! of control characters, cut, and set between quotes ([`quoted`]), and where a language machine is
//! asked to write a paragraph, what it writes is shown and decides nothing.
//!
//! Bounds: [`MAX_INPUTS`], [`MAX_WORDS`], [`MAX_TRIES`], [`MAX_ANSWER`].

#![forbid(unsafe_code)]

pub mod agent;
mod answer;
pub mod budget;
pub mod checking;
pub mod hiring;
mod index;
pub mod labelling;
mod order;
pub mod person;
mod plan;
pub mod pricing;
pub mod quoted;
mod service;

pub use answer::{Answer, Composite, Item, MAX_ANSWER, NO_BRIEF, refused};
pub use order::{Input, MAX_INPUTS, MAX_WORDS, Order, OrderProblem};
pub use plan::{MAX_TRIES, Plan, Step, Work};
pub use service::Service;
