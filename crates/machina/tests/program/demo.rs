//! `machina demo`: the story that a newcomer watches.

use serde_json::Value;

use crate::support::{Home, Said, line, minor, party};

const PHOTOGRAPHS: [(&str, &str); 6] = [
    ("chelsea.png", "tiger cat"),
    ("coffee.png", "espresso"),
    ("astronaut.png", "football helmet"),
    ("rocket.jpg", "missile"),
    ("china.jpg", "palace"),
    ("flower.jpg", "daisy"),
];

/// Every number in a JSON text that stands where money is meant.
fn amounts(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            if let Some(minor) = members.get("minor") {
                found.push(minor.clone());
            }
            members.values().for_each(|v| amounts(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| amounts(v, found)),
        _ => {}
    }
}

#[track_caller]
fn three_ways(economy: &Value) -> i128 {
    let headline = &economy["headline"];
    let gdp = minor(&headline["production"]);
    assert_eq!(minor(&headline["expenditure"]), gdp);
    assert_eq!(minor(&headline["income"]), gdp);
    gdp
}

fn hashes(said: &Said) -> Vec<String> {
    let text = said.text();
    let words = text.split_whitespace().filter(|w| w.starts_with("0x") && w.len() == 66);
    words.map(str::to_string).collect()
}

#[test]
fn the_demo_tells_each_photograph_its_price_its_transaction_and_what_it_did_to_everyone() {
    let home = Home::new();
    let said = home.run(&["demo"]).done();
    let text = said.text();
    for (photograph, answer) in PHOTOGRAPHS {
        let told = text.split(photograph).nth(1).unwrap_or_else(|| panic!("{photograph}: {text}"));
        let first = told.lines().nth(1).unwrap_or_default();
        assert!(first.contains(answer) && first.contains('%'), "{photograph}: {first}");
    }
    assert_eq!(text.matches("paid 0.01 MUSD").count(), 6, "{text}");
    let mut transactions = hashes(&said);
    transactions.sort();
    transactions.dedup();
    assert_eq!(transactions.len(), 6, "one transaction a photograph: {text}");
    for told in [
        "Left of the mandate: 0.94 MUSD of 1.00 MUSD",
        "shopper  machine 0x",
        "vision  machine 0x",
        "books equal chain",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let figures: Vec<_> = text.lines().filter(|l| l.trim().starts_with("GDP by")).collect();
    assert_eq!(figures.len(), 3, "{text}");
    assert!(figures.iter().all(|l| l.contains("0.06 MUSD")), "{text}");
    assert!(!text.contains('\u{1b}') && !said.err.contains('\u{1b}'), "no colours in a pipe");
    assert_eq!(said.err, "", "nothing to complain of");
    assert!(!home.file("running.json").exists());
}

#[test]
fn a_second_demo_goes_on_where_the_first_ended() {
    let home = Home::new();
    let first = home.json(&["demo"]);
    let second = home.json(&["demo"]);
    for (round, demo) in [(1, &first), (2, &second)] {
        let trades = demo["trades"].as_array().expect("trades");
        let told: Vec<_> = trades
            .iter()
            .map(|t| {
                (t["photograph"].as_str().unwrap(), t["answers"][0]["label"].as_str().unwrap())
            })
            .collect();
        assert_eq!(told, PHOTOGRAPHS);
        let spent = round * 6 * 10_000;
        let [shopper, vision] = [&demo["books"][0], &demo["books"][1]];
        assert_eq!(line(shopper, "cash"), 5_000_000 - spent);
        assert_eq!(line(shopper, "purchases"), spent);
        assert_eq!(line(vision, "cash"), spent);
        assert_eq!(line(vision, "sales"), spent);
        assert_eq!(minor(&shopper["mandate"]["lifetimeLeft"]), 1_000_000 - spent);
        assert_eq!(minor(&shopper["mandate"]["dailyLeft"]), 1_000_000 - spent);
        assert_eq!(three_ways(&demo["economy"]), spent);
        assert_eq!(demo["economy"]["books"]["state"], "equal");

        let mut found = Vec::new();
        amounts(demo, &mut found);
        assert!(found.len() > 50, "only {} amounts", found.len());
        assert!(found.iter().all(Value::is_string), "an amount is no JSON number: {found:?}");
    }
    let transactions = |demo: &Value| -> Vec<String> {
        let trades = demo["trades"].as_array().expect("trades").iter();
        trades.map(|t| t["paid"]["transaction"].as_str().expect("a hash").to_string()).collect()
    };
    assert!(transactions(&first).iter().all(|t| !transactions(&second).contains(t)));
    // The same keys live there.
    for name in ["ada", "shopper", "grace", "vision"] {
        assert_eq!(party(&first["info"], name), party(&second["info"], name));
    }
}

#[test]
fn the_same_photograph_gets_the_same_answers_at_every_home() {
    let answers = |demo: Value| -> Vec<Value> {
        let trades = demo["trades"].as_array().expect("trades").iter();
        trades.map(|trade| trade["answers"].clone()).collect()
    };
    assert_eq!(answers(Home::new().json(&["demo"])), answers(Home::new().json(&["demo"])));
}

#[test]
fn a_demo_beside_a_running_economy_trades_there() {
    let home = Home::new();
    let up = home.up();
    let demo = home.json(&["demo"]);
    assert_eq!(demo["info"]["url"], up.info["url"]);
    assert_eq!(demo["trades"].as_array().map(Vec::len), Some(6));
    // The running economy's own chain has the money.
    assert_eq!(up.on_chain(party(&up.info, "vision")), 60_000);
    for trade in demo["trades"].as_array().expect("trades") {
        let reference = trade["paid"]["reference"].as_str().expect("a reference");
        assert_eq!(up.get(&format!("/trades/{reference}")).status, 200);
    }
    up.stop();
}
