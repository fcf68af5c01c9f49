//! How many jobs a second the whole market does: each paid in by a voucher from a channel, worked at by
//! a trivial worker, and paid when an `exact` check has done it again.
//!
//! The market is the program itself (`machina up` in a home of its own), so its processor time can be
//! told from that of those who hire, work and check. These are strangers to the home: they come in by
//! HTTP/1.1 over loopback, sign each request, and have no other way. For each job:
//!
//! | who | asks |
//! |---|---|
//! | client | pays in by a voucher; waits until that is credited; hands in briefs, opens and funds (lists) |
//! | worker | hears of its work, with the briefs; hands in answers and delivers their commitments (lists) |
//! | market | draws a checker by the hash of a block that is made after the delivery |
//! | checker | hears that it was drawn, with the briefs; does the work again, seals and opens (lists) |
//! | worker | hears that its checker has sealed; opens what it has delivered (lists) |
//! | client | hears that its jobs have ended, and orders the next |
//!
//! To hear is `GET /market/work`, signed and held back until there is something; who has heard of
//! something does it, and asks again a fifth of a second later, for all that came meanwhile.
//!
//! Prints one JSON object a line, with `name`, `value` and `unit`. Run it with
//! `cargo run --release -p machina --example bench_jobs [JOBS] [PROGRAM]`; the program is looked for beside
//! the examples. At the end every job has ended as it should, and the books are the desk and the chain.

mod people;
mod wire;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

use people::{Checkers, Client, Worker};
use wire::{Connection, Market};

/// How many jobs there are if nobody says.
const JOBS: usize = 20_000;
/// How many clients there are, and workers, and checkers: a party may ask for so much in ten seconds
/// and no more, so there are many.
const CELLS: usize = 64;
/// How many jobs a client orders at a time.
const LIST: usize = 20;
/// How many of a client's lists are under way at once.
const LISTS_AT_ONCE: usize = 3;
/// Lists before the clock starts: connections, channels, records and caches are there then.
const WARMING: usize = 1;
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

fn tell(name: &str, value: f64, unit: &str) {
    let value = (value * 1e3).round() / 1e3;
    println!("{}", json!({ "name": name, "value": value, "unit": unit }));
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let jobs = arguments.next().map_or(JOBS, |text| text.parse().expect("a number of jobs"));
    let program = arguments.next().map_or_else(beside, PathBuf::from);
    // Those who ask are on the market's machine, and should get in its way as little as they can.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(&program, jobs));
}

/// The program, as cargo puts it beside its examples.
fn beside() -> PathBuf {
    let me = std::env::current_exe().expect("this program");
    let folder = me.parent().and_then(Path::parent).expect("examples are in a folder");
    folder.join(format!("machina{}", std::env::consts::EXE_SUFFIX))
}

/// An economy that runs. Dropped, it is ended.
struct Home {
    _folder: tempfile::TempDir,
    process: Child,
    address: String,
    token: String,
}

impl Home {
    async fn start(program: &Path) -> Home {
        let folder = tempfile::tempdir().expect("room for a home");
        let under = std::env::var("MARKET_UNDER").unwrap_or_default();
        let mut words = under.split_whitespace();
        let mut command = match words.next() {
            Some(profiler) => {
                let mut command = Command::new(profiler);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("--home").arg(folder.path());
        command.args(["--port", "0", "--rpc-port", "0", "--json", "up"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("the program starts");
        let mut out = BufReader::new(process.stdout.take().expect("piped"));
        let mut said = Vec::new();
        let info = loop {
            let read = out.read_until(b'\n', &mut said).await.expect("it speaks");
            assert!(read > 0, "it ended: {}", String::from_utf8_lossy(&said));
            if let Ok(info) = serde_json::from_slice::<Value>(&said) {
                break info;
            }
        };
        tokio::spawn(async move { out.read_to_end(&mut Vec::new()).await });
        let running = std::fs::read(folder.path().join("running.json")).expect("it runs");
        let running: Value = serde_json::from_slice(&running).expect("JSON");
        let url = info["url"].as_str().expect("a URL");
        let port = url.rsplit(':').next().expect("a port");
        let token = running["token"].as_str().expect("a token").to_owned();
        Home { _folder: folder, process, address: format!("127.0.0.1:{port}"), token }
    }

    /// Seconds of the processor, and bytes of memory, that the market has taken.
    fn taken(&self) -> (f64, f64) {
        usage(&self.process.id().expect("it runs").to_string())
    }

    async fn stop(mut self) {
        let process = self.process.id().expect("it runs").to_string();
        let ended = Command::new("kill").args(["-TERM", &process]).status().await;
        assert!(ended.is_ok_and(|status| status.success()), "it is told to end");
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await;
        assert!(ended.expect("it ends").expect("it was ours").success());
    }
}

/// What a process has taken of processor and memory, as Linux tells.
fn usage(process: &str) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux");
    let after_name = stat.rsplit(')').next().expect("a name in parentheses");
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number of ticks"))
        .sum();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kilobytes: f64 =
        resident.trim().trim_end_matches(" kB").trim().parse().expect("a number of kilobytes");
    // A tick is a hundredth of a second on every Linux that Rust runs on.
    (ticks as f64 / 100.0, kilobytes * 1024.0)
}

async fn run(program: &Path, jobs: usize) {
    let home = Home::start(program).await;
    let mut own = Connection::to(&home.address).await;
    let market = Market::find(&mut own, &home.address).await;

    let lists = jobs.div_ceil(CELLS * LIST);
    let cells: Vec<(Client, Worker)> =
        (0..CELLS).map(|cell| (Client::new(cell, &market), Worker::new(cell, &market))).collect();
    let checkers = Checkers::new(CELLS, &market);
    for (client, worker) in &cells {
        client.settle_in(&mut own, &home.token, (lists + WARMING) * LIST).await;
        worker.settle_in(&mut own, &home.token).await;
    }
    checkers.settle_in(&mut own, &home.token).await;
    let (over, at_work) = checkers.start().await;

    let mut lines = Vec::new();
    for (client, worker) in cells {
        lines.push((client.at_the_door().await, worker.at_work().await));
    }
    // What is not measured, and then what is.
    let lines = order(lines, 0..WARMING).await;
    let (before, _) = home.taken();
    let (own_before, _) = usage("self");
    let blocks = market.blocks(&mut own).await;
    let begun = Instant::now();
    let lines = order(lines, WARMING..WARMING + lists).await;
    let seconds = begun.elapsed().as_secs_f64();
    let done = (lists * LIST * CELLS) as f64;
    tell("jobs.per_s", done / seconds, "1/s");
    let (after, memory) = home.taken();
    tell("jobs.market_cpu", (after - before) * 1e6 / done, "us");
    tell("jobs.people_cpu", (usage("self").0 - own_before) * 1e6 / done, "us");
    // The old one may have been idle for too long.
    own = Connection::to(&home.address).await;
    tell("jobs.blocks", (market.blocks(&mut own).await - blocks) as f64, "blocks");
    tell("jobs.memory", memory / 1e6, "MB");
    drop(lines);
    over.send(true).expect("checkers are there");
    for task in at_work {
        task.await.expect("no checker panics");
    }

    // A benchmark that cheats is worth nothing.
    let all = (lists + WARMING) * LIST * CELLS;
    let ended = market.completed(&mut own, all).await;
    assert_eq!(ended, all, "every job was done, checked and paid");
    market.agrees(&mut own).await;
    tell("jobs.done", done, "jobs");
    home.stop().await;
}

/// Has all clients order their lists of these numbers, and waits until all is done.
async fn order(
    lines: Vec<(people::AtTheDoor, people::AtWork)>,
    lists: std::ops::Range<usize>,
) -> Vec<(people::AtTheDoor, people::AtWork)> {
    let tasks = lines.into_iter().map(|(mut client, mut worker)| {
        let lists = lists.clone();
        tokio::spawn(async move {
            let jobs = lists.len() * LIST;
            // A client orders on while its worker works.
            let ordering = async {
                for list in lists {
                    client.wait_for_ends((LISTS_AT_ONCE - 1) * LIST).await;
                    client.order(list, LIST).await;
                }
                client.wait_for_ends(0).await;
            };
            tokio::join!(ordering, worker.work(jobs));
            (client, worker)
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut lines = Vec::with_capacity(tasks.len());
    for task in tasks {
        let line = tokio::time::timeout(PATIENCE, task).await.expect("it ends in time");
        lines.push(line.expect("nobody panics"));
    }
    lines
}
