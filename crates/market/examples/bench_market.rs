//! How many operations the market does a second: in memory, on one core, and durable, by its desk.
//!
//! Prints one JSON object a line: {"name", "value", "unit"}. Commitments are made before the clock
//! starts: they are the parties' work. What they cost to verify is part of the figure.
//!
//! In memory it is one core's time that counts: that of the thread, where the system tells it, so that
//! neighbours on the machine change little. What is durable is counted by the clock.

use std::time::{Duration, Instant};

use money::ManualClock;

use market::desk::{Desk, Document, Settings};
use market::{
    Amount, Asset, Check, Delivery, Digest, JobId, MoveId, Offer, OfferId, Operation, Outcome,
    Party, Pricing, Report, Rules, Skill, State, Terms, Timestamp,
};

const MACHINES: u64 = 1_000;
const BIDDERS: u64 = 8;

fn party(n: u64) -> Party {
    let mut bytes = [7; 20];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Party::new(bytes)
}

fn musd(minor: i128) -> Amount {
    Amount::from_minor(Asset::MUSD, minor)
}

fn digest(n: u64) -> Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Digest::new(bytes)
}

fn terms(n: u64, pricing: Pricing, check: Check) -> Terms {
    Terms {
        id: JobId::from_u128(u128::from(n)),
        client: party(0),
        parent: None,
        skill: Skill::from_u128(1),
        brief: digest(n),
        budget: musd(2_000),
        worth: musd(5_000),
        quality: 0,
        pricing,
        check,
        audit: 1_000_000,
        checker_fee: musd(10),
        appeals: 0,
        stake: musd(100),
        deliver_by: Timestamp::from_millis(2_000_000 + n * 1_000),
        check_ms: 1_000,
    }
}

/// A market in which everybody has money, and machines offer and may check.
fn town() -> State {
    let rules = Rules::standard(Asset::MUSD, party(u64::MAX));
    let mut market = State::new(rules).expect("the rules are within bounds");
    let mut effects = Vec::new();
    for n in 0..=MACHINES {
        let party = party(n);
        let (id, amount) = (MoveId::from_u128(u128::from(n)), musd(1 << 60));
        let mut run = |operation| {
            assert!(market.apply(Timestamp::from_millis(1_000), &operation, &mut effects).holds());
        };
        run(Operation::Deposit { id, party, amount });
        if n > 0 {
            run(Operation::Enlist { party, stake: musd(1_000_000) });
            let offer = Offer {
                capacity: 1_000_000,
                ..Offer::standard(
                    OfferId::from_u128(u128::from(n)),
                    party,
                    Skill::from_u128(1),
                    musd(1_000),
                )
            };
            run(Operation::Publish(offer));
        }
    }
    market
}

/// How long this thread has been on a core, as Linux tells; elsewhere, how late it is.
struct Core(Instant);

impl Core {
    fn taken(&self) -> Duration {
        // The first number is in nanoseconds.
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let first = told.as_deref().and_then(|text| text.split(' ').next()?.parse().ok());
        first.map_or_else(|| self.0.elapsed(), Duration::from_nanos)
    }
}

/// Runs it and says how many operations a second. Those that depend on what came before (who was
/// hired, who was drawn) are made while the clock stands.
fn measure(name: &str, jobs: u64, script: impl Fn(&State, u64, u64) -> Vec<Operation>) {
    let mut market = town();
    let mut effects = Vec::with_capacity(1 << 16);
    let (mut operations, mut took) = (0u64, Duration::ZERO);
    let core = Core(Instant::now());
    // Jobs run side by side, a thousand at a time, as they would.
    for block in 0..jobs / 1_000 {
        for step in 0.. {
            let acts: Vec<Vec<Operation>> =
                (0..1_000).map(|n| script(&market, block * 1_000 + n, step)).collect();
            if acts.iter().all(Vec::is_empty) {
                break;
            }
            let at = Timestamp::from_millis(1_000_000 + block * 2_000 + step * 150);
            let begun = core.taken();
            for operation in acts.iter().flatten() {
                let outcome = market.apply(at, operation, &mut effects);
                assert!(outcome.holds(), "{outcome:?}: {operation:?}");
                operations += 1;
            }
            took += core.taken() - begun;
            effects.clear();
        }
    }
    assert_eq!(market.deposited(), market.counted(), "money was made or lost");
    let finished = market.jobs().filter(|job| job.stage.is_final()).count();
    assert_eq!(finished as u64, jobs, "all jobs have ended");
    let rate = (operations as f64 / took.as_secs_f64()).round();
    println!("{{\"name\": \"market.{name}\", \"value\": {rate}, \"unit\": \"1/s\"}}");
}

fn main() {
    let jobs: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(50_000);
    let job = |n: u64| JobId::from_u128(u128::from(n));
    let salt = digest(1);
    // Posted prices, optimistic check, silence: what most jobs are.
    measure("posted", jobs, |_, n, step| {
        let offer = OfferId::from_u128(u128::from(n % MACHINES + 1));
        let check = Check::Optimistic { window_ms: 100, executors: 1 };
        match step {
            0 => vec![
                Operation::Open(Box::new(terms(n, Pricing::Posted { offer }, check))),
                Operation::Fund { job: job(n) },
                Operation::Submit {
                    job: job(n),
                    by: party(n % MACHINES + 1),
                    delivery: Delivery::Open(Report::Digest(digest(n))),
                },
            ],
            1 => vec![Operation::Tick],
            _ => Vec::new(),
        }
    });
    // Quotes coming in and being taken back: the order book alone.
    measure("bids", jobs, |_, n, step| {
        let pricing = Pricing::Auction { committed: false, bond: musd(0) };
        match step {
            0 => {
                let check = Check::Optimistic { window_ms: 100, executors: 1 };
                let mut acts = vec![
                    Operation::Open(Box::new(terms(n, pricing, check))),
                    Operation::Fund { job: job(n) },
                ];
                let bidder = |k: u64| (n * 31 + k * 127) % MACHINES + 1;
                let offer = |k: u64| OfferId::from_u128(u128::from(bidder(k)));
                for k in 0..BIDDERS {
                    let price = musd(500 + i128::from(bidder(k) % 400));
                    acts.push(Operation::Bid { job: job(n), offer: offer(k), price });
                }
                for k in 0..BIDDERS {
                    acts.push(Operation::Unbid { job: job(n), offer: offer(k) });
                }
                acts.push(Operation::Cancel { job: job(n), by: party(0) });
                acts
            }
            _ => Vec::new(),
        }
    });
    // A round of eight, an exact check by one executor, everything sealed and opened.
    measure("auction_exact", jobs, |market, n, step| {
        let pricing = Pricing::Auction { committed: false, bond: musd(0) };
        let check = Check::Exact { executors: 1 };
        let slot = market.job(job(n));
        let by = slot.and_then(|slot| slot.worker).unwrap_or(party(1));
        let report = Report::Digest(digest(n));
        match step {
            0 => {
                let mut acts = vec![
                    Operation::Open(Box::new(terms(n, pricing, check))),
                    Operation::Fund { job: job(n) },
                ];
                for k in 0..BIDDERS {
                    let bidder = (n * 31 + k * 127) % MACHINES + 1;
                    let offer = OfferId::from_u128(u128::from(bidder));
                    let price = musd(500 + i128::from(bidder % 400));
                    acts.push(Operation::Bid { job: job(n), offer, price });
                }
                acts
            }
            1 => vec![Operation::Clear { job: job(n), entropy: digest(n) }],
            2 => {
                let delivery = Delivery::Sealed(report.commitment(job(n), by, &salt));
                vec![
                    Operation::Submit { job: job(n), by, delivery },
                    Operation::Draw { job: job(n), entropy: digest(n + 1) },
                ]
            }
            3 => {
                let seat = slot.and_then(|slot| slot.panel()).map(|panel| panel.seats[0].checker);
                let seat = seat.expect("the panel was drawn");
                let commitment = report.commitment(job(n), seat, &salt);
                vec![
                    Operation::CommitReport { job: job(n), by: seat, commitment },
                    Operation::RevealReport { job: job(n), by: seat, report: report.clone(), salt },
                    Operation::RevealReport { job: job(n), by, report, salt },
                ]
            }
            _ => Vec::new(),
        }
    });
    durable(jobs, &job);
}

/// Jobs at posted prices through a desk whose file is on disk, handed in by sixteen tasks, in lists of
/// sixteen jobs: every answer means that its operations survive a power failure.
fn durable(jobs: u64, job: &impl Fn(u64) -> JobId) {
    const TASKS: u64 = 16;
    const LIST: u64 = 16;
    let folder = tempfile::tempdir().expect("room for a market");
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let rules = Rules::standard(Asset::MUSD, party(u64::MAX));
    let settings = Settings { rules, books: false };
    let path = folder.path().join("market.sqlite");
    let desk = Desk::open(&path, settings, clock).expect("a market can be made");
    let mut people = Vec::new();
    for n in 0..=MACHINES {
        let (id, party) = (MoveId::from_u128(u128::from(n)), party(n));
        people.push(Operation::Deposit { id, party, amount: musd(1 << 60) });
        people.push(Operation::Enlist { party, stake: musd(1_000_000) });
        let (id, skill) = (OfferId::from_u128(u128::from(n)), Skill::from_u128(1));
        let offer = Offer::standard(id, party, skill, musd(1_000));
        people.push(Operation::Publish(Offer { capacity: 1_000_000, ..offer }));
    }
    let done = desk.submit_all_blocking(people).expect("the disk takes it");
    assert!(done.iter().all(Outcome::holds));
    // A worker delivers only what it has handed in: one document each, for all its jobs. Handing in is not
    // measured here.
    let handed_in = |author: u64| {
        let media_type = "text/plain".to_owned();
        Document { author: party(author), media_type, body: author.to_be_bytes().to_vec() }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let kept: Vec<Digest> = runtime.block_on(async {
        let mut kept = Vec::new();
        for n in 0..=MACHINES {
            kept.push(desk.keep(handed_in(n)).await.expect("there is room"));
        }
        kept
    });
    let script = |n: u64| {
        let offer = OfferId::from_u128(u128::from(n % MACHINES + 1));
        let check = Check::Optimistic { window_ms: 100, executors: 1 };
        let answer = kept[usize::try_from(n % MACHINES + 1).expect("few machines")];
        let delivery = Delivery::Open(Report::Digest(answer));
        [
            Operation::Open(Box::new(terms(n, Pricing::Posted { offer }, check))),
            Operation::Fund { job: job(n) },
            Operation::Submit { job: job(n), by: party(n % MACHINES + 1), delivery },
        ]
    };
    let lists: Vec<Vec<Operation>> =
        (0..jobs / LIST).map(|n| (0..LIST).flat_map(|k| script(n * LIST + k)).collect()).collect();
    let operations: usize = lists.iter().map(Vec::len).sum();
    let shares: Vec<_> = (0..TASKS)
        .map(|task| lists.iter().skip(task as usize).step_by(TASKS as usize).cloned().collect())
        .collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for share in shares {
            let desk = &desk;
            let share: Vec<Vec<Operation>> = share;
            scope.spawn(move || {
                for list in share {
                    let done = desk.submit_all_blocking(list).expect("the disk takes it");
                    assert!(done.iter().all(Outcome::holds));
                }
            });
        }
    });
    let took = begun.elapsed();
    desk.verify().expect("the journal gives the same market again");
    let rate = (operations as f64 / took.as_secs_f64()).round();
    println!("{{\"name\": \"market.durable\", \"value\": {rate}, \"unit\": \"1/s\"}}");
}
