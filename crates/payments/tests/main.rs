//! The tests of the payments, one file a subject, in one program: they share the town, and what a town
//! needs is compiled once instead of once a file.

mod a2a;
mod auth_capture;
mod auth_capture_codes;
mod auth_capture_faults;
mod auth_capture_histories;
mod binding;
mod buying;
mod channel_ahead;
mod channel_attacks;
mod channel_buyer;
mod channel_doubt;
mod channel_facilitator;
mod channel_histories;
mod channel_late;
mod channel_permits;
mod channels;
mod discovery;
mod extensions;
mod facilitating;
mod faults;
mod histories;
mod markets;
mod mcp;
mod mpp;
mod once;
mod permit_codes;
mod permits;
mod reconciling;
mod refusals;
mod selling;
mod town;
mod vocabulary;
mod wallets;
