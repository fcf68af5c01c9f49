//! The pages that people see, and their live stream.
//!
//! This crate knows how an economy looks, and must never know how it works: it states a trait,
//! [`Economy`], and whoever runs one hands it in. It reads, and cannot write; nothing that a
//! visitor sends changes a book.
//!
//! Where to start: [`Economy`] and the `…View` types are what there is to show, [`router`] is what
//! can be opened.
//!
//! | path | page |
//! |---|---|
//! | `/` | the square: figures, machines, the stream of trades |
//! | `/trades?before=N` | older trades, fifty a page |
//! | `/trades/{id}` | the why-trail of one trade |
//! | `/economy` | the national accounts: GDP three ways, sectors, who uses whose product, who pays whom |
//! | `/economy/{figure}` | the trades that one figure is made of |
//! | `/outlook` | what may be, the two claims under every model, the drivers to move, back-test and record |
//! | `/market?q=…` | the labour market: offers, search, jobs under way |
//! | `/jobs?skip=N` | jobs that people and machines outside opened, newest first |
//! | `/jobs/{id}` | a job: its tree, bids, work, check and money |
//! | `/jobs/{id}/picture` | the picture that a job is about |
//! | `/m/{name}` | a machine: what it sells and how often it has worked; JSON for programs |
//! | `/mine` and below | what only this home's person decides; served by whoever lets that person in |
//! | `/pictures/{id}` | the photograph that a trade was about |
//! | `/events?since=N` | trades as they happen, and which jobs changed (server-sent events) |
//! | `/healthz` | `ok` |
//! | `/assets/{name}` | style, script and mark, named by their content |
//!
//! Every page is complete without JavaScript; two scripts (under 5 KB each) add liveness only. No page
//! asks any other host for anything, and the content security policy would not let it.
//!
//! Bounds: [`SQUARE_TRADES`], [`PAGE_TRADES`], [`SQUARE_MACHINES`], [`LISTENERS`],
//! [`RESUME_TRADES`]; the outlook computes at most two answers at a time and keeps the newest 64. Text from strangers is freed of control characters, cut, and escaped.

mod assets;
mod chart;
mod digits;
mod engraving;
mod events;
mod forecasts;
mod pages;
mod routes;
mod sankey;
mod shield;
mod view;

pub use events::{LISTENERS, RESUME_TRADES};
pub use pages::accounts::document as economy_document;
pub use pages::jobs::PAGE_JOBS;
pub use pages::market::PAGE_OFFERS;
pub use pages::mine;
pub use pages::square::{SQUARE_MACHINES, SQUARE_TRADES};
pub use pages::trades::PAGE_TRADES;
pub use pages::trouble::{broken, no_such_job};
pub use routes::router;
pub use shield::{PICTURE_POLICY, shield};
pub use view::*;
