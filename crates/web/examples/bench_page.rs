//! How fast the economy's page is written: one JSON object a line, `{"name", "value", "unit"}`.
//!
//! The accounts are as large as a page ever is: all the parties, pairs and overrides that a program
//! hands to it of an economy without end. How long the program takes to have them is measured by
//! `bench_economy`.

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use std::time::{Duration, Instant};

use fixture::ledgers::village;
use web::{AccountsView, HiringView, OverrideView, ProducerView, economy_document};

const ROWS: usize = 200;
const PAGES: u32 = 50;

fn main() {
    let base = village(1_000_000_000);
    let parties = (0..ROWS).map(|n| ProducerView {
        name: format!("party {n}"),
        about: "machine of somebody".into(),
        ..base.parties[0].clone()
    });
    let hirings = (0..ROWS).map(|n| HiringView {
        payer: format!("payer {n}"),
        payee: format!("payee {n}"),
        ..base.hirings[0].clone()
    });
    let overrides = (0..ROWS).map(|n| OverrideView {
        trade: format!("0x{n:064x}"),
        amount: base.gdp,
        from: "final household".into(),
        to: "intermediate".into(),
        reason: "A reason of the usual length, which is about a sentence.".into(),
        by: "ada".into(),
        at: fixture::MORNING,
    });
    let accounts = AccountsView {
        parties: parties.collect(),
        hirings: hirings.collect(),
        overrides: overrides.collect(),
        overridden: ROWS as u64,
        ..base.clone()
    };
    let (mut bytes, mut slowest) = (0, Duration::ZERO);
    for _ in 0..PAGES {
        let start = Instant::now();
        bytes = economy_document(&accounts).len();
        slowest = slowest.max(start.elapsed());
    }
    let print = |name: &str, value: u128, unit: &str| {
        println!(r#"{{"name":"{name}","value":{value},"unit":"{unit}"}}"#);
    };
    print("economy: page written", slowest.as_micros(), "us");
    print("economy: bytes of that page", bytes as u128, "bytes");
}
