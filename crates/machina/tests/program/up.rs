//! `machina up`: an economy that stays, ends when asked, and is the same when it comes back.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{
    HTTP, Home, PATIENCE, Running, Up, ask, at_photograph, line, minor, party, until,
};

/// A reader of the live stream that has been welcomed.
fn listener(up: &Up) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", up.port)).expect("the page is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    write!(stream, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it listens");
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("welcome") {
        line.clear();
        assert_ne!(reader.read_line(&mut line).expect("it answers"), 0, "the stream ended");
    }
    reader
}

/// What must be the same when an economy comes back: its books, its figures, its chain.
fn standing(home: &Home, up: &Up) -> Value {
    let books = home.json(&["books", "--entries", "1000"]);
    let economy = home.json(&["economy"]);
    let trades = up.get("/trades").text();
    let references: Vec<&str> =
        trades.split("href=\"/trades/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    json!({
        "books": books,
        "figures": economy["accounts"],
        "agree": economy["books"]["state"],
        "trades": references,
        "head": up.head(),
        "parties": up.info["parties"],
        "token": up.info["token"],
    })
}

#[test]
fn each_polite_signal_ends_it_cleanly_with_a_reader_on_the_line() {
    for signal in ["INT", "TERM"] {
        let home = Home::new();
        let up = home.up();
        assert!(home.file("running.json").exists());
        let mut reader = listener(&up);
        let said = up.end(signal).done();
        assert!(said.err.contains("closing"), "{}", said.err);
        assert!(!said.err.contains("cut off"), "the stream held the doors open: {}", said.err);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).expect("the stream ends as streams should");
        assert!(!home.file("running.json").exists(), "left behind after {signal}");
        // Nobody has the home: a command opens it by itself.
        let info = home.json(&["info"]);
        assert_eq!(info["running"], false);
    }
}

#[test]
fn a_person_is_told_where_to_look_and_how_to_stop() {
    let home = Home::new();
    let process = Running::start(home.command(&["up"]));
    let mut told = String::new();
    until("the page is announced", || {
        told = process.stdout();
        told.contains("Ctrl-C")
    });
    let url = told.split("open ").nth(1).and_then(|t| t.split(' ').next()).expect("an address");
    assert_eq!(ask(HTTP.get(url)).status, 200, "{told}");
    assert!(told.contains("play money"), "{told}");
    process.signal("INT");
    process.finish().done();
}

#[test]
fn an_economy_that_comes_back_is_the_one_that_went() {
    let home = Home::new();
    home.run(&["demo"]).done();
    let up = home.up();
    home.run(&["fund", "ada", "12.345678"]).done();
    let picture = at_photograph("coffee.png");
    home.run(&["pay", &up.counter(), "--data", &picture]).done();
    let before = standing(&home, &up);
    assert_eq!(before["agree"], "equal");
    assert_eq!(before["trades"].as_array().map(Vec::len), Some(7), "{}", before["trades"]);
    // At another port its machines would move their registration files.
    let port = up.port;
    up.stop();

    let up = home.up_at(port);
    let after = standing(&home, &up);
    assert_eq!(before, after);
    for name in ["ada", "shopper", "grace", "vision"] {
        let books = home.json(&["books", name]);
        assert_eq!(up.on_chain(party(&up.info, name)), line(&books[0], "cash"), "{name}");
    }
    // And it lives: the next trade stands on all that.
    home.run(&["pay", &up.counter(), "--data", &picture]).done();
    let shopper = home.json(&["books", "shopper"]);
    assert_eq!(minor(&shopper[0]["mandate"]["lifetimeLeft"]), 1_000_000 - 80_000);
    up.stop();
}

#[test]
fn what_a_command_did_alone_is_there_when_the_economy_runs() {
    let home = Home::new();
    home.run(&["fund", "shopper", "2"]).done();
    home.run(&["grant", "3", "--per-payment", "0.5", "--daily", "2", "--days", "7"]).done();
    let up = home.up();
    let books = home.json(&["books", "shopper"]);
    assert_eq!(line(&books[0], "cash"), 7_000_000);
    assert_eq!(up.on_chain(party(&up.info, "shopper")), 7_000_000);
    assert_eq!(minor(&books[0]["mandate"]["lifetime"]), 3_000_000);
    assert_eq!(minor(&books[0]["mandate"]["daily"]), 2_000_000);
    assert_eq!(minor(&books[0]["mandate"]["perPayment"]), 500_000);
    up.stop();
}

#[test]
fn an_economy_that_was_killed_tells_nobody_a_dead_address() {
    let home = Home::new();
    let up = home.up();
    let port = up.port;
    up.kill();
    assert!(home.file("running.json").exists(), "nobody was there to remove it");
    let info = home.json(&["info"]);
    assert_eq!(info["running"], false);
    assert_ne!(info["url"], format!("http://localhost:{port}"));
    assert!(!home.file("running.json").exists(), "who comes next clears it away");
}

#[test]
fn a_facilitator_sends_from_as_many_keys_as_it_is_given() {
    let home = Home::new();
    let maker = "0x7a0d94f55792c434d74a40883c6ed8545e406d12";
    let up = Up::start(home.command(&[
        "--json",
        "--sending-keys",
        "3",
        "--wallet-maker",
        maker,
        "--wallet-maker",
        "0x000000000000000000000000000000000000beef",
        "up",
    ]));
    let keys = ["facilitator", "facilitator-2", "facilitator-3"].map(|n| party(&up.info, n));
    let supported = up.get("/facilitator/supported").json();
    let senders = supported["signers"].as_object().expect("by family").values().next();
    let senders: Vec<String> = senders
        .and_then(Value::as_array)
        .expect("a list")
        .iter()
        .map(|key| key.as_str().expect("an address").to_lowercase())
        .collect();
    assert_eq!(senders, keys.map(str::to_lowercase));
    home.run(&["demo"]).done();
    assert_eq!(home.json(&["economy"])["books"]["state"], "equal");
    up.stop();
    // With fewer keys the same home goes on.
    let up = home.up();
    home.run(&["demo"]).done();
    up.stop();
    for wrong in [["--sending-keys", "0"], ["--sending-keys", "17"], ["--wallet-maker", "nobody"]] {
        home.run(&[wrong[0], wrong[1], "info"]).misused();
    }
}
