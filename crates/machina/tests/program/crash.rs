//! Power loss while machines trade: what was acknowledged stays, once, and the books equal the chain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde_json::Value;

use crate::support::{HTTP, Home, PATIENCE, Up, line, minor, order, party, photograph, try_ask};

const ROUNDS: u64 = 5;
const CLIENTS: usize = 4;
/// Which test of chance this is; the same seed asks the same photographs and kills at the same
/// counts.
const SEED: u64 = 0x00c0_ffee;

/// SplitMix64 (Steele, Lea, Flood 2014): good enough to choose when the light goes out.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Buys until nobody answers any more, and tells each payment that was acknowledged.
fn buy_on(url: &str, pay: &str, token: &str, told: &Sender<Value>, over: &AtomicBool) {
    let pictures = ["chelsea.png", "china.jpg", "flower.jpg"]
        .map(|name| std::fs::read(photograph(name)).expect("a sample"));
    for picture in pictures.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let asked = HTTP.post(pay).bearer_auth(token).json(&order(url, picture));
        match try_ask(asked) {
            Ok(answer) if answer.status == 200 => {
                let report = answer.json();
                assert_eq!(report["status"], 200, "{report}");
                let _ = told.send(report["paid"].clone());
            }
            Ok(answer) => panic!("a payment was refused while the lights were on: {answer}"),
            Err(_) => return,
        }
    }
}

/// Lets clients buy, and takes the power away after so many payments and a little more.
fn storm(home: &Home, up: Up, after: u64, more: Duration) -> Vec<Value> {
    let running = std::fs::read(home.file("running.json")).expect("it runs");
    let running: Value = serde_json::from_slice(&running).expect("JSON");
    let token = running["token"].as_str().expect("a token");
    let (url, pay) = (up.counter(), up.url("/api/v1/pay"));
    let over = AtomicBool::new(false);
    let (told, tell) = channel();
    let mut paid = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (url, pay, told, over) = (&url, &pay, told.clone(), &over);
            scope.spawn(move || buy_on(url, pay, token, &told, over));
        }
        drop(told);
        for _ in 0..after {
            paid.push(tell.recv_timeout(PATIENCE).expect("payments go on"));
        }
        // Other payments are at every stage now; the light goes out in the middle of them.
        let dark = std::time::Instant::now() + more;
        while let Ok(report) =
            tell.recv_timeout(dark.saturating_duration_since(std::time::Instant::now()))
        {
            paid.push(report);
        }
        up.kill();
        over.store(true, Ordering::Relaxed);
        paid.extend(tell.iter());
    });
    paid
}

/// The entries of a party that stand so, by reference, with how often each stands there.
fn entries(books: &Value, debit: &str, credit: &str, status: &str) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for entry in books["entries"].as_array().expect("entries") {
        if entry["debit"] == debit && entry["credit"] == credit && entry["status"] == status {
            assert_eq!(minor(&entry["amount"]), 10_000, "{entry}");
            *found.entry(entry["reference"].as_str().expect("a name").to_string()).or_default() +=
                1;
        }
    }
    found
}

fn check(home: &Home, up: &Up, paid: &[Value]) {
    let economy = home.json(&["economy"]);
    assert_eq!(economy["books"]["state"], "equal", "{}", economy["books"]);
    let [shopper, vision] = ["shopper", "vision"]
        .map(|name| home.json(&["books", name, "--entries", "1000"])[0].clone());
    let bought = entries(&shopper, "purchases", "cash", "posted");
    let sold = entries(&vision, "cash", "sales", "posted");
    let set_aside = entries(&shopper, "purchases", "cash", "held");
    assert!(
        bought.values().chain(sold.values()).all(|times| *times == 1),
        "something is booked twice"
    );
    assert_eq!(entries(&vision, "cash", "sales", "held"), BTreeMap::new(), "a sale was left open");

    // Each acknowledged payment is in both books, and on the chain once.
    let (from, to) = (party(&up.info, "shopper"), party(&up.info, "vision"));
    let moved: Vec<_> = up
        .transfers()
        .into_iter()
        .filter(|m| (m.from.as_str(), m.to.as_str()) == (&from.to_lowercase(), &to.to_lowercase()))
        .collect();
    let mut transactions = BTreeSet::new();
    for report in paid {
        let reference = report["reference"].as_str().expect("a name");
        assert!(bought.contains_key(reference), "{reference} is not in the buyer's book");
        assert!(sold.contains_key(reference), "{reference} is not in the seller's book");
        let hash = report["transaction"].as_str().expect("a hash").to_lowercase();
        assert_eq!(moved.iter().filter(|m| m.transaction == hash).count(), 1, "{hash}");
        assert!(transactions.insert(hash.clone()), "{hash} paid for two");
    }

    // Books and chain have the same payments, acknowledged or not.
    assert_eq!(bought, sold);
    assert_eq!(moved.len(), sold.len());
    assert!(moved.iter().all(|m| m.minor == 10_000));
    // What is still set aside was signed and never used: until it ends, its seller could.
    assert!(set_aside.keys().all(|reference| !sold.contains_key(reference)));

    // Everyone's cash is what the chain says, and the accounts follow from the trades.
    let trades = i128::try_from(sold.len()).expect("not that many");
    assert_eq!(line(&shopper, "cash"), up.on_chain(from));
    assert_eq!(line(&vision, "cash"), up.on_chain(to));
    assert_eq!(up.on_chain(to), trades * 10_000);
    assert_eq!(up.on_chain(from), 5_000_000 - trades * 10_000);
    let left = minor(&shopper["mandate"]["lifetimeLeft"]);
    let held = i128::try_from(set_aside.len()).expect("not that many") * 10_000;
    assert_eq!(left, 5_000_000 - trades * 10_000 - held, "spent and held are the limit's");
    let headline = &economy["headline"];
    for way in ["production", "expenditure", "income"] {
        assert_eq!(minor(&headline[way]), trades * 10_000, "{way}");
    }
    assert_eq!(headline["trades"], trades as u64);
}

#[test]
fn what_was_acknowledged_before_the_power_failed_is_there_once() {
    println!("seed {SEED:#x}");
    let mut chance = Chance(SEED);
    let home = Home::new();
    home.run(&["grant", "5"]).done();
    let mut paid = Vec::new();
    for round in 0..ROUNDS {
        let up = home.up();
        check(&home, &up, &paid);
        let (after, more) = (1 + chance.below(12), Duration::from_micros(chance.below(40_000)));
        let now = storm(&home, up, after, more);
        println!("round {round}: killed after {} payments", now.len());
        paid.extend(now);
    }
    let up = home.up();
    check(&home, &up, &paid);
    assert!(paid.len() as u64 >= ROUNDS);
    // It trades on.
    home.run(&["demo"]).done();
    up.stop();
}
