//! Power loss while machines trade: what was acknowledged stays, once, and the books equal the chain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde_json::Value;

use crate::reckoning::{check, check_channels};
use crate::support::{self, HTTP, Home, PATIENCE, Up, photograph, try_ask};

const ROUNDS: u64 = 5;
const CLIENTS: usize = 4;
/// Which test of chance this is, unless `CRASH_SEED` names another: when the power fails, and so
/// far as threads allow what it interrupts.
const SEED: u64 = 0x00c0_ffee;

/// SplitMix64 (Steele, Lea, Flood 2014): good enough to choose when the light goes out.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What clients buy, and where they say so.
struct Order {
    url: String,
    pay: String,
    scheme: &'static str,
}

/// Buys until nobody answers any more, and tells each payment that was acknowledged.
fn buy_on(order: &Order, token: &str, told: &Sender<Value>, over: &AtomicBool) {
    let pictures = ["chelsea.png", "china.jpg", "flower.jpg"]
        .map(|name| std::fs::read(photograph(name)).expect("a sample"));
    for picture in pictures.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let mut wanted = support::order(&order.url, picture);
        wanted["scheme"] = order.scheme.into();
        let asked = HTTP.post(&order.pay).bearer_auth(token).json(&wanted);
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
fn storm(home: &Home, up: Up, scheme: &'static str, after: u64, more: Duration) -> Vec<Value> {
    let token = &home.token();
    let order = &Order { url: up.counter(), pay: up.url("/api/v1/pay"), scheme };
    let over = AtomicBool::new(false);
    let (told, tell) = channel();
    let mut paid = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let (told, over) = (told.clone(), &over);
            scope.spawn(move || buy_on(order, token, &told, over));
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

#[test]
fn what_was_acknowledged_before_the_power_failed_is_there_once() {
    let seed = std::env::var("CRASH_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(SEED);
    println!("seed {seed}");
    let mut chance = Chance(seed);
    let home = Home::new();
    home.run(&["grant", "5"]).done();
    let mut paid = Vec::new();
    for round in 0..ROUNDS {
        let up = home.up();
        check(&home, &up, &paid);
        let (after, more) = (1 + chance.below(12), Duration::from_micros(chance.below(40_000)));
        let now = storm(&home, up, "exact", after, more);
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

#[test]
fn what_a_channel_paid_for_before_the_power_failed_is_there_once() {
    let seed = std::env::var("CRASH_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(SEED);
    println!("seed {seed}");
    let mut chance = Chance(seed ^ 0xc4a7);
    let home = Home::new();
    home.run(&["grant", "5"]).done();
    let mut paid = Vec::new();
    for round in 0..ROUNDS {
        let up = home.up();
        let (after, more) = (1 + chance.below(12), Duration::from_micros(chance.below(40_000)));
        let now = storm(&home, up, "batch-settlement", after, more);
        println!("round {round}: killed after {} charges", now.len());
        paid.extend(now);
    }
    let up = home.up();
    check_channels(&home, &up, &paid);
    up.stop();
}
