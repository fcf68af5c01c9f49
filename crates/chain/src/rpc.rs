//! JSON-RPC 2.0: from a request, single or batch, to its answer.
//!
//! One file a subject: `account` and `block` read, `call` executes without keeping, `fee` suggests,
//! `filter` finds logs, `send` takes transactions, `http` serves. Answers are built from alloy's
//! types, so that fields have the shapes that clients expect. Requests of one batch are answered in
//! order, one after another.

mod account;
mod answer;
mod block;
mod call;
mod error;
mod fee;
mod filter;
mod http;
mod params;
mod send;

pub(crate) use answer::answer;
pub(crate) use filter::Filters;
pub(crate) use http::router;
