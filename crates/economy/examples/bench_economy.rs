//! How fast the accounts are: `bench_economy [FLOWS]` (one million if not said).
//!
//! Prints one JSON object a line, `{"name", "value", "unit"}`, and last the GDP it computed, so that
//! a benchmark that computes nothing is seen. The economy is made from a fixed seed: a thousand
//! persons, each with nine machines that buy from each other and, one time in ten, sell to a person.

use std::time::Instant;

use economy::{AccountsBuilder, Flow, Kind, Reference, Registry, Sector, Unit};
use money::{Amount, Asset, Party, Timestamp};

const PEOPLE: u64 = 1_000;
const MACHINES_EACH: u64 = 9;
const PARTIES: u64 = PEOPLE * (1 + MACHINES_EACH);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u64 = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 1_000_000,
    };
    let registry = people_and_machines()?;

    let mut builder = AccountsBuilder::new(&registry, Asset::MUSD);
    let mut random = SplitMix(402_402);
    let mut adding = std::time::Duration::ZERO;
    let mut left = count;
    while left > 0 {
        // Made apart from the clock, in batches, so that ten million of them need no memory.
        let batch: Vec<Flow> = (0..left.min(10_000)).map(|_| purchase(&mut random)).collect();
        left -= batch.len() as u64;
        let start = Instant::now();
        for flow in &batch {
            builder.add(flow)?;
        }
        adding += start.elapsed();
    }
    let start = Instant::now();
    let accounts = builder.accounts(Amount::from_minor(Asset::MUSD, 1_000_000_000_000))?;
    let snapshot = start.elapsed();

    let per_flow = adding.as_nanos() / u128::from(count.max(1));
    let per_second = u128::from(count) * 1_000_000_000 / adding.as_nanos().max(1);
    print("economy: add one flow", per_flow, "ns");
    print("economy: flows added", per_second, "1/s");
    print("economy: accounts of 10,000 units", snapshot.as_micros(), "us");
    println!(
        r#"{{"name":"economy: GDP computed","value":"{}","unit":"MUSD"}}"#,
        accounts.gdp_income.number()
    );
    Ok(())
}

fn print(name: &str, value: u128, unit: &str) {
    println!(r#"{{"name":"{name}","value":{value},"unit":"{unit}"}}"#);
}

fn party(n: u64) -> Party {
    let mut address = [0; 20];
    address[12..].copy_from_slice(&n.to_be_bytes());
    Party::new(address)
}

fn people_and_machines() -> Result<Registry, economy::EconomyError> {
    let mut registry = Registry::new();
    for n in 0..PARTIES {
        let name = n.to_string();
        registry.insert(if n < PEOPLE {
            Unit::household(party(n), name)
        } else {
            let sector = Sector::ALL[(n % 5) as usize];
            Unit::machine(party(n), name, party(n % PEOPLE), sector)
        })?;
    }
    Ok(registry)
}

fn purchase(random: &mut SplitMix) -> Flow {
    let seller = PEOPLE + random.below(PARTIES - PEOPLE);
    let (buyer, kind) = match random.below(10) {
        0 => (random.below(PEOPLE), Kind::FinalHousehold),
        _ => (PEOPLE + random.below(PARTIES - PEOPLE), Kind::Intermediate),
    };
    Flow {
        payer: party(buyer),
        payee: party(seller),
        amount: Amount::from_minor(Asset::MUSD, 1 + i128::from(random.below(1_000_000))),
        kind,
        at: Timestamp::from_millis(random.below(1_000_000)),
        reference: Reference::NONE,
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
