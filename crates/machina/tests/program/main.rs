//! The program as its users, its neighbours and its attackers meet it: the real binary, with homes
//! of its own and ports that the system chooses.
//!
//! One file, one subject. [`support`] starts and ends processes; nothing here knows the program's
//! types, only what it prints, serves and leaves on disk.

mod agents;
mod apart;
mod approvals;
mod checks;
mod commands;
mod crash;
mod demo;
mod elsewhere;
mod full;
mod guests;
mod hire;
mod http;
mod market;
mod mcp;
mod metrics;
mod openai;
mod outlook;
mod page;
mod pay;
mod people;
mod reckoning;
mod report;
mod reputation;
mod retype;
mod support;
mod trouble;
mod up;
