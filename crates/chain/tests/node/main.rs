//! The node from outside: through its public face only, on real logs in real directories.

mod durability;
mod harness;
mod http;
mod refusals;
mod rpc;
mod sealing;
