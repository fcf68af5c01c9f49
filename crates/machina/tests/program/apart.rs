//! Chain, facilitator, gate and buyer as processes of their own, killed at random moments of payments.
//!
//! The first home has the chain, and nobody uses its facilitator; the second is a facilitator on that
//! chain; the third sells, and has its sales settled by the second; the fourth buys. None of them knows
//! the others but by address. Which one is killed after how many answers follows from the seed; what it
//! interrupts, so far as threads allow.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use crate::crash::Chance;
use crate::support::{self, HTTP, Home, PATIENCE, Up, line, minor, party, photograph, until};

/// Which test of chance this is, unless `CRASH_SEED` names another.
const SEED: u64 = 0x5eed_0402;
/// Each of the four is killed so often.
const TURNS: usize = 2;
/// What the buyer has and may spend, in minor units: three dollars.
const ALLOWED: i128 = 3_000_000;
/// What one piece of work costs.
const COST: i128 = 10_000;

/// A process that can be killed, and started again where it was.
struct Place {
    home: Home,
    /// What comes before the command.
    flags: Vec<String>,
    ports: (u16, u16),
    up: Option<Up>,
}

impl Place {
    fn open(flags: Vec<String>) -> Place {
        let home = Home::new();
        let mut place = Place { home, flags, ports: (0, 0), up: None };
        place.start();
        place.ports = place.up().ports();
        place
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command_at(self.ports, &[]);
        command.args(&self.flags).args(arguments);
        command
    }

    fn start(&mut self) {
        self.up = Some(Up::start(self.command(&["--json", "up"])));
    }

    fn kill(&mut self) {
        self.up.take().expect("it runs").kill();
    }

    fn up(&self) -> &Up {
        self.up.as_ref().expect("it runs")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.home.json(arguments)
    }
}

/// Buys until told to stop, by either scheme in turn, and tells each purchase that was acknowledged.
/// What is refused or lost meanwhile is the books' to tell.
fn buy_on(pay: &str, counter: &str, home: &Home, told: &Sender<Value>, over: &AtomicBool) {
    let picture = std::fs::read(photograph("chelsea.png")).expect("a sample");
    for scheme in ["exact", "batch-settlement"].iter().cycle() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let mut wanted = support::order(counter, &picture);
        wanted["scheme"] = (*scheme).into();
        // The word by which commands are let in is another after each start.
        let Ok(running) = std::fs::read(home.file("running.json")) else { continue };
        let running: Value = serde_json::from_slice(&running).unwrap_or_default();
        let token = running["token"].as_str().unwrap_or_default();
        let asked = HTTP.post(pay).bearer_auth(token).json(&wanted);
        match support::try_ask(asked) {
            Ok(answer) if answer.status == 200 => {
                let report = answer.json();
                if report["status"] == 200 {
                    let _ = told.send(report["paid"].clone());
                }
            }
            // Somebody is away: not faster than it can come back.
            Ok(_) | Err(_) => std::thread::park_timeout(Duration::from_millis(50)),
        }
    }
}

/// The next purchase that is acknowledged.
fn next(tell: &Receiver<Value>) -> Value {
    tell.recv_timeout(PATIENCE).expect("purchases go on, whoever was away")
}

/// The entries of a book between two lines, by reference; a line is named as far as it is known.
fn entries(book: &Value, debit: &str, credit: &str, status: &str) -> BTreeMap<String, Vec<i128>> {
    let mut found = BTreeMap::<String, Vec<i128>>::new();
    for entry in book["entries"].as_array().expect("entries") {
        let is = |side: &str, name: &str| entry[side].as_str().expect("a line").starts_with(name);
        if is("debit", debit) && is("credit", credit) && entry["status"] == status {
            let reference = entry["reference"].as_str().expect("a name").to_string();
            found.entry(reference).or_default().push(minor(&entry["amount"]));
        }
    }
    found
}

fn book(place: &Place, name: &str) -> Value {
    place.json(&["books", name, "--entries", "5000"])[0].clone()
}

fn is_equal(place: &Place) -> bool {
    let said = place.home.run(&["--json", "economy"]);
    said.status.success() && said.json()["books"]["state"] == "equal"
}

#[test]
fn buyer_gate_facilitator_and_chain_die_in_turn_and_every_payment_is_made_once() {
    let seed = std::env::var("CRASH_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(SEED);
    println!("seed {seed}");
    let mut chance = Chance(seed);

    let host = Place::open(Vec::new());
    let rpc = format!("http://127.0.0.1:{}", host.up().rpc_port);
    let token = host.up().info["token"]["address"].as_str().expect("an address").to_string();
    let guest = |more: &[String]| {
        let mut flags = vec!["--rpc".into(), rpc.clone(), "--token".into(), token.clone()];
        flags.extend_from_slice(more);
        Place::open(flags)
    };
    let facilitator = guest(&[]);
    let seller = guest(&["--facilitator".into(), facilitator.up().url("/facilitator")]);
    let buyer = guest(&["--lanes".into(), "4".into()]);
    host.home.run(&["fund", party(&buyer.up().info, "shopper"), "3"]).done();
    buyer.home.run(&["grant", "3"]).done();

    let counter = seller.up().counter();
    let pay = buyer.up().url("/api/v1/pay");
    let buyers_home = Home::at(buyer.home.path().to_path_buf());
    let mut all = [host, facilitator, seller, buyer];
    let names = ["chain", "facilitator", "gate", "buyer"];
    let (gate, shopper) = (2, 3);
    let mut victims: Vec<usize> = (0..all.len()).cycle().take(all.len() * TURNS).collect();
    for left in (1..victims.len()).rev() {
        victims.swap(left, usize::try_from(chance.below(left as u64 + 1)).expect("small"));
    }
    let over = AtomicBool::new(false);
    let (told, tell) = channel();
    let mut paid = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let (told, over, pay, counter, home) =
                (told.clone(), &over, &pay, &counter, &buyers_home);
            scope.spawn(move || buy_on(pay, counter, home, &told, over));
        }
        drop(told);
        for victim in victims {
            for _ in 0..=chance.below(4) {
                paid.push(next(&tell));
            }
            // Other purchases are at every stage now.
            std::thread::sleep(Duration::from_micros(chance.below(30_000)));
            all[victim].kill();
            println!("{} died after {} purchases", names[victim], paid.len());
            all[victim].start();
        }
        paid.push(next(&tell));
        over.store(true, Ordering::Relaxed);
        paid.extend(tell.iter());
    });
    // A sale that was interrupted is resolved by its seller. Its buyer asks the chain what became of a
    // payment that it lost sight of when that has ended, and when it starts: once more, with a seller
    // at rest.
    until("no sale is left open", || {
        entries(&book(&all[gate], "vision"), "", "sales", "held").is_empty()
    });
    all[shopper].kill();
    all[shopper].start();

    // One more purchase from the channel tells what answers were lost; then all that is left in it
    // comes back, and each home's books are equal to the chain.
    let picture = support::at_photograph("coffee.png");
    let last = ["--json", "pay", &counter, "-d", &picture, "--scheme", "batch-settlement"];
    paid.push(all[shopper].home.run(&last).done().json()["paid"].clone());
    for start in 1.. {
        let [host, .., buyer] = &all;
        for channel in buyer.json(&["channels"]).as_array().expect("a list") {
            assert!(channel["stopped"].is_null(), "nobody lied: {channel}");
            let id = channel["id"].as_str().expect("a name");
            let said = buyer.home.run(&["--json", "channels", "--close", id]).done().json();
            println!("{channel} is closed: {said}");
        }
        for place in &all {
            until("its books are equal to the chain", || is_equal(place));
        }
        // A deposit that its facilitator had in hand when it died may come to the chain only now. Until
        // its time is over it is its buyer's to resolve, and who starts again does so at once.
        let owner = party(&buyer.up().info, "shopper").to_lowercase();
        if host.up().on_chain(&owner) == line(&book(buyer, "shopper"), "cash") {
            break;
        }
        assert!(start <= 2, "what the chain has taken is not in the books");
        all[shopper].kill();
        all[shopper].start();
    }
    let [host, facilitator, seller, buyer] = &all;

    let (bought, sold) = (book(buyer, "shopper"), book(seller, "vision"));
    let purchases = entries(&bought, "purchases", "", "posted");
    let sales = entries(&sold, "", "sales", "posted");
    // Each payment once, in both books or in neither.
    assert!(purchases.values().chain(sales.values()).all(|one| *one == [COST]), "booked twice");
    assert_eq!(purchases, sales);
    let mut acknowledged = BTreeMap::new();
    for report in &paid {
        let reference = report["reference"].as_str().expect("a name").to_string();
        assert!(purchases.contains_key(&reference), "{reference} was acknowledged and is lost");
        let twin = acknowledged.insert(reference, report);
        assert!(twin.is_none(), "one payment, two purchases: {report} and {twin:?}");
    }
    // What moved at once moved once.
    let (from, to) = (party(&buyer.up().info, "shopper"), party(&seller.up().info, "vision"));
    let (from, to) = (from.to_lowercase(), to.to_lowercase());
    let moved: Vec<_> = host
        .up()
        .transfers()
        .into_iter()
        .filter(|m| (m.from.as_str(), m.to.as_str()) == (from.as_str(), to.as_str()))
        .collect();
    let at_once = entries(&bought, "purchases", "cash", "posted");
    assert_eq!(moved.len(), at_once.len());
    for report in paid.iter().filter(|report| !report["transaction"].is_null()) {
        let hash = report["transaction"].as_str().expect("a hash").to_lowercase();
        assert_eq!(moved.iter().filter(|m| m.transaction == hash).count(), 1, "{hash}");
    }
    // All of it was carried by the second home, whose keys are its own; none by the chain's own facilitator.
    let carriers = |place: &Place| -> Vec<String> {
        let parties = place.up().info["parties"].as_array().expect("parties").iter();
        let named =
            parties.filter(|it| it["name"].as_str().expect("one").starts_with("facilitator"));
        named.map(|it| it["address"].as_str().expect("an address").to_lowercase()).collect()
    };
    let (theirs, hosts) = (carriers(facilitator), carriers(host));
    assert!(!theirs.is_empty() && theirs.iter().all(|it| !hosts.contains(it)));
    for sent in &moved {
        let found =
            host.up().rpc("eth_getTransactionByHash", serde_json::json!([sent.transaction]));
        let by = found["from"].as_str().expect("who sent it").to_lowercase();
        assert!(theirs.contains(&by), "{} was sent by {by}", sent.transaction);
    }
    // Money, mandate and chain agree: what is still set aside was signed and never used.
    let spent = COST * i128::try_from(purchases.len()).expect("not that many");
    let open = entries(&bought, "purchases", "cash", "held");
    let held: i128 = open.values().flatten().sum();
    println!("{} acknowledged, {} sold, {} still set aside", paid.len(), sales.len(), open.len());
    assert!(open.keys().all(|reference| !sales.contains_key(reference)));
    assert_eq!(line(&bought, "cash"), ALLOWED - spent);
    assert_eq!(host.up().on_chain(&from), ALLOWED - spent);
    // What was claimed with the channel's refund is paid out with the next claim.
    assert_eq!(line(&sold, "sales"), spent);
    assert_eq!(line(&sold, "cash") + line(&sold, "escrow"), spent);
    assert_eq!(line(&sold, "cash"), host.up().on_chain(&to));
    assert_eq!(minor(&bought["mandate"]["lifetimeLeft"]), ALLOWED - spent - held);
    for place in all {
        place.up.expect("it runs").stop();
    }
}
