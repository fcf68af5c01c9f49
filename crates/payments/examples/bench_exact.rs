//! How many exact payments a second one process does, and how long one takes.
//!
//! Everything is real and in this process: a chain that syncs each block to the disk, books that
//! sync each group, the facilitator, a gate before a trivial handler on loopback, and buyers under
//! mandates: first one after the other, with nothing else under way, and then 50 of them at once.
//! One payment is the full round trip: 402, hold, signature, verify, hold, work, settlement, both
//! entries, 200.
//!
//! Prints one JSON object a line, with `name`, `value` and `unit`. Run it with
//! `cargo run --release -p payments --example bench_exact [PAYMENTS]`.

#[path = "../tests/town/mod.rs"]
mod town;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mandates::books::Line;
use payments::BuyerLimits;
use town::shop::Shop;
use town::{PRICE, Town, musd, seller};

/// How many payments are in flight at once: one for each buyer.
const IN_FLIGHT: u8 = 50;
/// How many payments are made alone, after as many that warm up.
const ALONE: usize = 100;

fn tell(name: &str, value: f64, unit: &str) {
    println!("{}", serde_json::json!({ "name": name, "value": value, "unit": unit }));
}

#[tokio::main]
async fn main() {
    let payments: usize = std::env::args().nth(1).map_or(2_000, |n| n.parse().expect("a number"));
    let town = Town::durable().await;
    let price = i128::from(PRICE);
    let most = i128::try_from(payments + 2 * ALONE).expect("a small number");
    let each = musd(price * most);
    for number in 1..=IN_FLIGHT {
        town.buyer_with(0x80 + number, each, each, BuyerLimits::default()).await;
    }
    let shop = Arc::new(town.shop().await);
    alone(&town, &shop).await;
    let next = Arc::new(AtomicUsize::new(0));
    // Each reads the system's certificates when it is made.
    let buyers: Vec<_> = (1..=IN_FLIGHT)
        .map(|number| town.same_buyer(0x80 + number, BuyerLimits::default()))
        .collect();
    let begun = Instant::now();
    let buyers: Vec<_> = buyers
        .into_iter()
        .map(|buyer| {
            let (shop, next) = (shop.clone(), next.clone());
            tokio::spawn(async move {
                let mut took = Vec::new();
                loop {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    if job >= payments {
                        return took;
                    }
                    let purchase = shop.purchase(&format!("job:{job}"));
                    let begun = Instant::now();
                    let bought = buyer.buy(&purchase).await.expect("a good payment is good");
                    assert!(bought.paid.is_some());
                    took.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut took: Vec<Duration> = Vec::new();
    for buyer in buyers {
        took.extend(buyer.await.expect("no buyer panics"));
    }
    let elapsed = begun.elapsed();
    took.sort_unstable();

    // A benchmark that cheats is worth nothing: work, chain and books agree to the unit.
    let owed = price * most;
    assert_eq!(shop.work.count(), payments + 2 * ALONE);
    assert_eq!(town.owns(seller()).await, owed);
    assert_eq!(town.line(seller(), Line::Sales), (owed, 0));
    let in_ms = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let value = payments as f64 / elapsed.as_secs_f64();
    tell("exact_payments_per_s", value, "1/s");
    tell("exact_payment_p50", in_ms(50), "ms");
    tell("exact_payment_p99", in_ms(99), "ms");
    tell("verify_payments", payments as f64, "payments");
}

/// Payments one after the other.
async fn alone(town: &Town, shop: &Shop) {
    let buyer = town.same_buyer(0x81, BuyerLimits::default());
    let mut took = Vec::new();
    for number in 0..2 * ALONE {
        let purchase = shop.purchase(&format!("alone:{number}"));
        let begun = Instant::now();
        assert!(buyer.buy(&purchase).await.expect("a good payment is good").paid.is_some());
        took.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    let mut took = took.split_off(ALONE);
    took.sort_by(f64::total_cmp);
    tell("exact_payment_alone_p50", took[(ALONE - 1) / 2], "ms");
}
