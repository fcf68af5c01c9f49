//! How fast the accounts are: `bench_economy [ENTRIES]` (one million if not said).
//!
//! Prints one JSON object a line, `{"name", "value", "unit"}`, and last the GDP it computed, so that
//! a benchmark that computes nothing is seen. The economy is made from a fixed seed: a thousand
//! persons, each with nine machines that buy from each other and, one time in ten, sell to a person;
//! a year of it, twenty classes of tasks. Times are told by the clock and, where other programs share
//! the processor, by processor time; memory is the most that was resident.

use std::time::{Duration, Instant};

use economy::{
    Compilation, Counted, Effort, Entry, Figure, Flow, Kind, REFERENCE_QUALITY, Reference,
    Registry, Sector, Task, Unit, metcalfe,
};
use money::{Amount, Asset, Party, Timestamp};

const PEOPLE: u64 = 1_000;
const MACHINES_EACH: u64 = 9;
const PARTIES: u64 = PEOPLE * (1 + MACHINES_EACH);
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1_000;
const BATCH: u64 = 50_000;
/// How many entries are typed anew.
const OVERRIDES: usize = 1_000;
/// How many entries are added one by one.
const SINGLE: usize = 100_000;
/// What a page shows of the pairs and of the entries under a figure.
const PAIRS: usize = 200;
const PAGE: usize = 50;

const CLASSES: [&str; 20] = [
    "look", "read", "write", "speak", "hear", "draw", "sort", "find", "plan", "check", "count",
    "shape", "trace", "blend", "match", "clean", "store", "route", "price", "teach",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u64 = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 1_000_000,
    };
    let registry = people_and_machines()?;
    let mut all = Compilation::new(&registry, Asset::MUSD, 8)?;
    let mut random = SplitMix(402_402);
    let (mut adding, mut adding_cpu) = (Duration::ZERO, Duration::ZERO);
    let mut slowest_batch = Duration::ZERO;
    let mut place = 0;
    while place < count {
        // Made apart from the clock, in batches, so that ten million of them need no memory.
        let batch: Vec<(Flow, &str)> =
            (place..count.min(place + BATCH)).map(|n| purchase(&mut random, n, count)).collect();
        let (start, start_cpu) = (Instant::now(), processor_time());
        let entries: Vec<Entry<'_>> =
            (place..).zip(&batch).map(|(place, (flow, class))| entry(place, flow, class)).collect();
        all.add_all(&entries)?;
        place += batch.len() as u64;
        let took = start.elapsed();
        adding += took;
        adding_cpu += processor_time().saturating_sub(start_cpu);
        if batch.len() as u64 == BATCH {
            slowest_batch = slowest_batch.max(took);
        }
    }
    let peak = peak_resident_mb();

    // The same economy goes on, one entry at a time.
    let more: Vec<(Flow, &str)> =
        (0..SINGLE).map(|_| purchase(&mut random, count, count)).collect();
    let (start, start_cpu) = (Instant::now(), processor_time());
    for (place, (flow, class)) in (count..).zip(&more) {
        all.add(entry(place, flow, class))?;
    }
    let (single, single_cpu) = (start.elapsed(), processor_time().saturating_sub(start_cpu));

    let (start, start_cpu) = (Instant::now(), processor_time());
    let gdp = read_everything(&all)?;
    let (reading, reading_cpu) = (start.elapsed(), processor_time().saturating_sub(start_cpu));

    let start = Instant::now();
    for (place, (flow, class)) in (count..).zip(&more).take(OVERRIDES) {
        all.retype(entry(place, flow, class), Kind::CapitalFormation)?;
    }
    let retyping = start.elapsed();

    let each = |whole: Duration, of: u64| whole.as_nanos() / u128::from(of.max(1));
    print("economy: entries", count.into(), "entries");
    print("economy: all figures from so many entries", adding.as_millis(), "ms");
    print("economy: processor time of that", adding_cpu.as_millis(), "ms");
    print("economy: peak resident memory", peak.into(), "MB");
    print("economy: the slowest 50,000, each", each(slowest_batch, BATCH), "ns");
    print("economy: one entry alone into all figures", each(single, SINGLE as u64), "ns");
    print("economy: processor time of that entry", each(single_cpu, SINGLE as u64), "ns");
    let per_second = u128::from(count) * 1_000_000_000 / adding.as_nanos().max(1);
    print("economy: flows added", per_second, "1/s");
    print("economy: an override", each(retyping, OVERRIDES as u64), "ns");
    print("economy: all figures read", reading.as_micros(), "us");
    print("economy: processor time of reading", reading_cpu.as_millis(), "ms");
    println!(r#"{{"name":"economy: GDP computed","value":"{}","unit":"MUSD"}}"#, gdp.number());
    Ok(())
}

fn entry<'a>(place: u64, flow: &'a Flow, class: &'a str) -> Entry<'a> {
    let task = Some(Task { class, quantity: 1, quality: REFERENCE_QUALITY });
    Entry { place, flow, task }
}

/// All that the economy's page asks for.
fn read_everything(all: &Compilation<&Registry>) -> Result<Amount, economy::EconomyError> {
    let accounts = all.accounts(Amount::from_minor(Asset::MUSD, 1_000_000_000_000))?;
    let table = all.table();
    let multipliers = table.leontief().map(|leontief| leontief.output_multipliers.len());
    let labour = all.employment(accounts.wages, Effort::default());
    let real = all.real_gdp()?;
    let network = all.network().expect("there are entries");
    let shown = network.largest(PAIRS);
    let days = network.activity_until(all.last());
    let fit = metcalfe(&days);
    let under: usize = Counted::ALL
        .into_iter()
        .map(|counted| all.under(Figure::Counted(counted), None, PAGE).places.len())
        .sum();
    // Nothing of it may be left out as unused.
    std::hint::black_box((multipliers.ok(), labour, real, shown, fit, under));
    Ok(accounts.gdp_income)
}

fn print(name: &str, value: u128, unit: &str) {
    println!(r#"{{"name":"{name}","value":{value},"unit":"{unit}"}}"#);
}

/// Processor time of all threads of this process until now, to ten milliseconds; zero where the
/// system does not tell it so.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in brackets: state is the first field, user and system time the 12th and 13th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory that was resident, in megabytes; zero where the system does not tell it so.
fn peak_resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024 / 1_000_000
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

/// The n-th of so many purchases in a year, and what was bought.
fn purchase(random: &mut SplitMix, n: u64, count: u64) -> (Flow, &'static str) {
    let seller = PEOPLE + random.below(PARTIES - PEOPLE);
    let (buyer, kind) = match random.below(10) {
        0 => (random.below(PEOPLE), Kind::FinalHousehold),
        _ => (PEOPLE + random.below(PARTIES - PEOPLE), Kind::Intermediate),
    };
    let at = u128::from(YEAR_MS) * u128::from(n) / u128::from(count.max(1));
    let flow = Flow {
        payer: party(buyer),
        payee: party(seller),
        amount: Amount::from_minor(Asset::MUSD, 1 + i128::from(random.below(1_000_000))),
        kind,
        at: Timestamp::from_millis(u64::try_from(at).unwrap_or(YEAR_MS)),
        reference: Reference::NONE,
    };
    (flow, CLASSES[random.below(CLASSES.len() as u64) as usize])
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
