//! What must be true whenever an economy rests, however it got there: no payment lost, none twice,
//! books equal to the chain, and the accounts equal to the trades.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{Home, Up, line, minor, party};

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

/// Checks all that must be true of a home at rest whose shopper had five dollars and a mandate of five,
/// and whose acknowledged payments are these.
#[track_caller]
pub fn check(home: &Home, up: &Up, paid: &[Value]) {
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
    println!(
        "{} acknowledged, {} on the chain, {} still set aside",
        paid.len(),
        moved.len(),
        set_aside.len()
    );
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

/// Checks all that must be true of a home at rest whose shopper had five dollars, a mandate of five,
/// and paid the vision machine from a channel alone; then gets back what is left in it.
#[track_caller]
pub fn check_channels(home: &Home, up: &Up, paid: &[Value]) {
    let economy = home.json(&["economy"]);
    assert_eq!(economy["books"]["state"], "equal", "{}", economy["books"]);
    let books = || {
        ["shopper", "vision"]
            .map(|name| home.json(&["books", name, "--entries", "1000"])[0].clone())
    };
    let [shopper, vision] = books();
    // Each acknowledged charge stands in both books once; a total is charged once, whatever came
    // of the tries before.
    let posted = |book: &Value, account: &str, side: &str| -> Vec<String> {
        let entries = book["entries"].as_array().expect("entries").iter();
        let of = entries.filter(|e| e[side] == account && e["status"] == "posted");
        of.map(|e| e["reference"].as_str().expect("a name").to_string()).collect()
    };
    let bought = posted(&shopper, "purchases", "debit");
    let sold = posted(&vision, "sales", "credit");
    for list in [&bought, &sold] {
        assert_eq!(list.iter().collect::<BTreeSet<_>>().len(), list.len(), "booked twice");
    }
    let mut references = BTreeSet::new();
    for report in paid {
        let reference = report["reference"].as_str().expect("a name").to_string();
        assert!(bought.contains(&reference), "{reference} is not in the buyer's book");
        assert!(sold.contains(&reference), "{reference} is not in the seller's book");
        assert!(references.insert(reference.clone()), "{reference} paid for two");
    }
    assert!(bought.iter().all(|reference| sold.contains(reference)), "bought, and not sold");
    // What the seller charged and the buyer was not told of stays set aside, until it is told.
    let channels = home.json(&["channels"]);
    let channels = channels.as_array().expect("a list");
    assert_eq!(channels.len(), 1, "{channels:?}");
    assert!(channels[0]["stopped"].is_null(), "{channels:?}");

    // One more purchase tells; then all that is left comes back, and everything is equal to the unit.
    let picture = crate::support::at_photograph("coffee.png");
    home.run(&["pay", &up.counter(), "-d", &picture, "--scheme", "batch-settlement"]).done();
    let id = channels[0]["id"].as_str().expect("a name");
    home.run(&["channels", "--close", id]).done();
    let [shopper, vision] = books();
    let sold = i128::try_from(posted(&vision, "sales", "credit").len()).expect("not that many");
    assert!(sold > i128::try_from(paid.len()).expect("not that many"));
    println!("{} acknowledged, {sold} sold", paid.len());
    let (from, to) = (party(&up.info, "shopper"), party(&up.info, "vision"));
    assert_eq!(line(&vision, "sales"), sold * 10_000);
    assert_eq!(line(&shopper, "purchases"), sold * 10_000);
    assert_eq!(line(&shopper, "cash"), 5_000_000 - sold * 10_000);
    assert_eq!(line(&shopper, "cash"), up.on_chain(from));
    assert_eq!(line(&vision, "cash"), up.on_chain(to));
    assert_eq!(minor(&shopper["mandate"]["lifetimeLeft"]), 5_000_000 - sold * 10_000);
    assert_eq!(home.json(&["economy"])["books"]["state"], "equal");
}
