//! `machina pay`: under the mandate, at most the maximum, and nothing else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{HTTP, Home, Up, ask, at_photograph, line, minor, party, photograph, run};

/// What a purchase can change: books, figures, and the chain's state.
fn state(home: &Home, up: &Up) -> (Value, Value, [Value; 3]) {
    let economy = home.json(&["economy"]);
    (home.json(&["books", "--entries", "100"]), economy["accounts"].clone(), up.head())
}

fn labels(answer: &[u8]) -> Vec<String> {
    let answer: Value = serde_json::from_slice(answer).expect("an answer is JSON");
    let labels = answer["labels"].as_array().expect("labels").iter();
    labels.map(|l| l["label"].as_str().expect("a name").to_string()).collect()
}

#[test]
fn the_answer_goes_to_standard_output_and_the_bill_to_standard_error() {
    let home = Home::new();
    let up = home.up();
    let said = home.run(&["pay", &up.counter(), "-d", &at_photograph("coffee.png")]).done();
    assert_eq!(labels(&said.out)[0], "espresso");
    assert!(said.err.starts_with("paid 0.01 MUSD to 0x"), "{}", said.err);
    assert!(said.err.contains("the mandate leaves 0.99 MUSD"), "{}", said.err);

    let file = home.file("answer.json");
    let output = file.to_str().expect("a plain path");
    let call = ["pay", &up.counter(), "-d", &at_photograph("coffee.png"), "-o", output];
    let second = home.run(&call).done();
    assert!(second.out.is_empty(), "the answer is in the file");
    assert_eq!(std::fs::read(&file).expect("it was written"), said.out, "the same bytes");

    let report = home.json(&["pay", &up.counter(), "-d", &at_photograph("china.jpg")]);
    assert_eq!(report["status"], 200);
    assert_eq!(report["mediaType"], "application/json");
    assert_eq!(minor(&report["paid"]["amount"]), 10_000);
    assert_eq!(minor(&report["paid"]["mandateLeft"]), 970_000);
    assert_eq!(report["paid"]["payee"], party(&up.info, "vision"));
    let hash = report["paid"]["transaction"].as_str().expect("a hash").to_lowercase();
    let moved = up.transfers();
    let moved = moved.iter().find(|m| m.transaction == hash).expect("it is on the chain");
    assert_eq!(moved.minor, 10_000);
    assert_eq!(moved.from, party(&up.info, "shopper").to_lowercase());
    up.stop();
}

#[test]
fn a_picture_may_come_from_standard_input() {
    let home = Home::new();
    let up = home.up();
    let mut command = home.command(&["pay", &up.counter(), "--data", "@-", "--max", "0.01"]);
    command.stdin(std::fs::File::open(photograph("rocket.jpg")).expect("a sample"));
    assert_eq!(labels(&run(command).done().out)[0], "missile");
    let mut cat = Command::new("cat");
    let cat = cat.arg(photograph("flower.jpg")).stdout(Stdio::piped()).spawn();
    let mut cat = cat.expect("every Unix has cat");
    let mut command = home.command(&["pay", &up.counter(), "--data", "@-"]);
    command.stdin(cat.stdout.take().expect("asked for above"));
    let answer = run(command).done();
    cat.wait().expect("it is our child");
    assert_eq!(labels(&answer.out)[0], "daisy");
    up.stop();
}

#[test]
fn a_price_above_the_maximum_is_refused_and_changes_nothing() {
    let home = Home::new();
    let up = home.up();
    let before = state(&home, &up);
    let picture = at_photograph("coffee.png");
    let why = home.run(&["pay", &up.counter(), "-d", &picture, "--max", "0.009999"]).refused();
    assert!(why.contains("0.01 MUSD") && why.contains("0.009999 MUSD"), "{why}");
    for max in ["0", "-1", "much", "0.0000001"] {
        home.run(&["pay", &up.counter(), "-d", &picture, "--max", max]).misused();
    }
    assert_eq!(state(&home, &up), before);
    up.stop();
}

#[test]
fn what_is_free_is_free() {
    let home = Home::new();
    let up = home.up();
    let before = state(&home, &up);
    let said = home.run(&["pay", &up.url("/m/vision")]).done();
    assert!(said.err.contains("free"), "{}", said.err);
    let sign: Value = serde_json::from_slice(&said.out).expect("the machine's words for programs");
    assert_eq!(sign["name"], "vision");
    let report = home.json(&["pay", &up.url("/healthz")]);
    assert!(report["paid"].is_null());
    assert_eq!(state(&home, &up), before);
    // What is not there is a failure, and free too.
    let why = home.run(&["pay", &up.url("/nowhere")]).refused();
    assert!(why.contains("404"), "{why}");
    up.stop();
}

#[test]
fn a_call_that_makes_no_sense_is_misuse() {
    let home = Home::new();
    let up = home.up();
    let before = state(&home, &up);
    let counter = up.counter();
    let huge = home.file("huge");
    std::fs::File::create(&huge).and_then(|f| f.set_len(17 << 20)).expect("a sparse file");
    let huge = format!("@{}", huge.display());
    for wrong in [
        &["pay", &counter, "-d", "@/nowhere/cat.jpg"][..],
        &["pay", &counter, "-d", "@/"],
        &["pay", &counter, "-d", &huge],
        &["pay", "ftp://localhost/cat"],
        &["pay", "file:///etc/passwd"],
        &["pay", "localhost:4020/m/vision"],
        &["pay", "/m/vision"],
        &["pay", ""],
        &["pay", "http://"],
        &["pay", &counter, "-X", "GE T"],
    ] {
        home.run(wrong).misused();
    }
    assert_eq!(state(&home, &up), before);
    up.stop();
}

#[test]
fn what_is_no_picture_costs_nothing() {
    let home = Home::new();
    let up = home.up();
    let bomb = home.file("bomb.png");
    std::fs::write(&bomb, png_of(60_000, 60_000)).expect("room");
    let half = home.file("half.png");
    let whole = std::fs::read(photograph("coffee.png")).expect("a sample");
    std::fs::write(&half, &whole[..whole.len() / 2]).expect("room");
    let at = |path: &std::path::Path| format!("@{}", path.display());
    for data in ["not a picture".to_string(), at(&bomb), at(&half), "GIF89a".to_string()] {
        let why = home.run(&["pay", &up.counter(), "-d", &data]).refused();
        assert!(why.contains("422"), "{data}: {why}");
        assert!(why.contains("picture") || why.contains("read"), "{data}: {why}");
        assert!(why.contains("nothing was paid"), "{data}: {why}");
    }
    assert_eq!(up.on_chain(party(&up.info, "vision")), 0);
    let vision = home.json(&["books", "vision"]);
    assert_eq!((line(&vision[0], "cash"), line(&vision[0], "sales")), (0, 0));
    up.stop();
}

#[test]
fn through_an_escrow_work_is_paid_when_it_is_done_and_comes_back_when_it_is_not() {
    let home = Home::new();
    let up = home.up();
    let by = ["--scheme", "auth-capture"];
    let picture = at_photograph("coffee.png");
    let report = home.json(&["pay", &up.counter(), "-d", &picture, by[0], by[1]]);
    assert_eq!(report["status"], 200);
    assert_eq!(minor(&report["paid"]["amount"]), 10_000);
    assert_eq!(minor(&report["paid"]["mandateLeft"]), 990_000);
    let why = home.run(&["pay", &up.counter(), "-d", "not a picture", by[0], by[1]]).refused();
    assert!(why.contains("422") && why.contains("came back"), "{why}");
    assert_eq!(up.on_chain(party(&up.info, "vision")), 10_000);
    let shopper = home.json(&["books", "shopper"]);
    assert_eq!((line(&shopper[0], "purchases"), line(&shopper[0], "escrow")), (10_000, 0));
    let vision = home.json(&["books", "vision"]);
    assert_eq!((line(&vision[0], "cash"), line(&vision[0], "sales")), (10_000, 10_000));
    up.stop();
}

/// A PNG whose header announces this size; nothing of it follows.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut head = width.to_be_bytes().to_vec();
    head.extend(height.to_be_bytes());
    // Eight bits for each of three colours, no interlace.
    head.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(chunk(b"IHDR", &head));
    png
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let checked = [&kind[..], data].concat();
    let length = u32::try_from(data.len()).expect("a small picture");
    [&length.to_be_bytes()[..], &checked, &crc32(&checked).to_be_bytes()].concat()
}

/// A whole PNG of noise, which no compression makes smaller: its data is stored (RFC 1950, 1951).
fn noise(side: u32) -> Vec<u8> {
    let row = usize::try_from(side).expect("small") * 3;
    let mut seed = 1u32;
    let mut rows = Vec::new();
    for _ in 0..side {
        rows.push(0); // Filter: none.
        rows.extend((0..row).map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        }));
    }
    let mut data = vec![0x78, 0x01];
    let last = rows.len().div_ceil(65_535) - 1;
    for (index, block) in rows.chunks(65_535).enumerate() {
        let length = u16::try_from(block.len()).expect("at most that");
        data.push(u8::from(index == last));
        data.extend(length.to_le_bytes());
        data.extend((!length).to_le_bytes());
        data.extend(block);
    }
    let (a, b) = rows.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    data.extend(((b << 16) | a).to_be_bytes());
    [png_of(side, side), chunk(b"IDAT", &data), chunk(b"IEND", b"")].concat()
}

/// CRC-32 as PNG has it: reflected, polynomial 0xEDB88320 (W3C PNG, annex D).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[test]
fn a_photograph_of_the_largest_size_that_is_taken_is_bought_every_time() {
    let home = Home::new();
    let up = home.up();
    let file = home.file("noise.png");
    let picture = noise(1_600);
    assert!((7 << 20..8 << 20).contains(&picture.len()), "{} bytes", picture.len());
    std::fs::write(&file, picture).expect("room");
    let data = format!("@{}", file.display());
    for _ in 0..6 {
        let said = home.run(&["pay", &up.counter(), "-d", &data]).done();
        assert_eq!(labels(&said.out).len(), 5);
    }
    up.stop();
}

#[test]
fn nobody_there_is_told_as_such() {
    let home = Home::new();
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.local_addr().expect("bound").port()
    };
    let url = format!("http://user:secret@127.0.0.1:{port}/?key=secret");
    let why = home.run(&["pay", &url]).refused();
    assert!(why.contains("does not answer"), "{why}");
    assert!(!why.contains("secret"), "what a URL keeps secret is not repeated: {why}");
}

#[test]
fn an_exhausted_mandate_names_its_rule_and_what_is_left() {
    let home = Home::new();
    let up = home.up();
    let picture = at_photograph("coffee.png");
    let call = ["pay", &up.counter(), "-d", &picture];

    home.run(&["grant", "0.025"]).done();
    home.run(&call).done();
    home.run(&call).done();
    let why = home.run(&call).refused();
    for told in ["mandate refused 0.01 MUSD", "0.005 MUSD left of", "hint:"] {
        assert!(why.contains(told), "{told}: {why}");
    }
    home.run(&["grant", "5", "--per-payment", "0.009"]).done();
    let why = home.run(&call).refused();
    assert!(why.contains("0.009 MUSD allowed for one payment"), "{why}");

    home.run(&["grant", "5", "--daily", "0.01"]).done();
    // What was spent under earlier mandates today counts where the rule is the owner's day.
    let first = home.run(&call);
    let why = if first.status.success() { home.run(&call).refused() } else { first.refused() };
    assert!(why.contains("24 hours"), "{why}");

    // Nothing hangs: what was refused was never held.
    let books = home.json(&["books", "shopper"]);
    let held = books[0]["lines"].as_array().expect("lines").iter().map(|l| minor(&l["held"]));
    assert_eq!(held.sum::<i128>(), 0);
    let spent = line(&books[0], "purchases");
    assert_eq!(up.on_chain(party(&up.info, "vision")), spent);
    up.stop();
}

#[test]
fn an_empty_wallet_is_refused_before_anything_is_signed() {
    let home = Home::new();
    home.run(&["grant", "100", "--per-payment", "100"]).done();
    let up = home.up();
    // A seller who takes the machine's own quote and asks for more than the wallet has.
    let terms = quote(&up);
    let dear = Seller::asking(&json!({ "accepts": [{ "amount": "5000001" }] }), &terms);
    let why = home.run(&["pay", &dear.url()]).refused();
    assert!(why.contains("5.00 MUSD in the machine's wallet"), "{why}");
    assert!(why.contains("machina fund"), "{why}");
    assert_eq!(dear.payments(), 0, "no signature left the house");
    up.stop();
}

#[test]
fn a_seller_who_asks_for_the_wrong_thing_gets_no_signature() {
    let home = Home::new();
    let up = home.up();
    let before = state(&home, &up);
    let terms = quote(&up);
    let shopper = party(&up.info, "shopper");
    let first = |change: Value| json!({ "accepts": [change] });
    for (change, told) in [
        (first(json!({ "network": "eip155:1" })), "eip155:1"),
        (first(json!({ "asset": shopper })), "the token"),
        (first(json!({ "scheme": "upto" })), "`upto`"),
        (first(json!({ "payTo": shopper })), "itself"),
        (first(json!({ "payTo": "0x12" })), "no address"),
        (first(json!({ "amount": "0" })), "no amount"),
        (first(json!({ "amount": "-1" })), "no amount"),
        (first(json!({ "amount": "9".repeat(60) })), "no amount"),
        (first(json!({ "extra": { "name": "Other Dollar", "version": "1" } })), "otherwise"),
        (json!({ "x402Version": 1 }), "version"),
        (json!({ "accepts": [] }), "no way to pay"),
        (json!({ "accepts": "all" }), "cannot be read"),
    ] {
        let seller = Seller::asking(&change, &terms);
        let why = home.run(&["pay", &seller.url()]).refused();
        assert!(why.contains(told), "{change}: {why}");
        assert_eq!(seller.payments(), 0, "{change}");
    }
    for header in ["", "PAYMENT-REQUIRED: %%%\r\n", "PAYMENT-REQUIRED: e30=\r\n"] {
        let seller =
            Seller::saying(format!("HTTP/1.1 402 Pay\r\n{header}Content-Length: 0\r\n\r\n"));
        home.run(&["pay", &seller.url()]).refused();
        assert_eq!(seller.payments(), 0, "{header}");
    }
    assert_eq!(state(&home, &up), before);
    up.stop();
}

#[test]
fn a_seller_who_takes_the_signature_and_fails_leaves_the_money_set_aside_not_lost() {
    let home = Home::new();
    let up = home.up();
    let terms = quote(&up);
    let thief = Seller::asking(&json!({}), &terms);
    let why = home.run(&["pay", &thief.url()]).refused();
    assert!(why.contains("nothing was paid") && why.contains("stays set aside until"), "{why}");
    assert!(thief.payments() >= 1);
    let mut signed = thief.signed();
    signed.dedup();
    assert_eq!(signed.len(), 1, "the same signature each time, never a second");
    let books = home.json(&["books", "shopper"]);
    assert_eq!(line(&books[0], "cash"), 5_000_000);
    let cash = &books[0]["lines"].as_array().expect("lines")[0];
    assert_eq!((cash["name"].as_str(), minor(&cash["held"])), (Some("cash"), 10_000));
    assert_eq!(minor(&books[0]["mandate"]["lifetimeLeft"]), 990_000, "held is as good as spent");
    up.stop();
}

#[test]
fn a_signature_that_was_overheard_buys_one_piece_of_work_and_is_booked_once() {
    let home = Home::new();
    let up = home.up();
    let thief = Seller::asking(&json!({}), &quote(&up));
    let path = up.counter().split_once("/m/").map(|(_, path)| format!("/m/{path}"));
    let counter = thief.url().replace("/work", &path.expect("the counter is a machine's"));
    home.run(&["pay", &counter, "-d", &at_photograph("coffee.png")]).refused();
    let signed = thief.signed().pop().expect("a payment was sent");
    let buy = |picture: &str| {
        let picture = std::fs::read(photograph(picture)).expect("a sample");
        let request = HTTP.post(up.counter()).header("payment-signature", &signed);
        ask(request.header("content-type", "image/png").body(picture))
    };
    // It is the seller's own quote that was signed, and it says for which request: none of the thief's
    // own is paid by it, and nothing moves.
    for picture in ["chelsea.png", "astronaut.png"] {
        let answer = buy(picture);
        assert_eq!(answer.status, 409, "{answer}");
        assert!(answer.text().contains("request_binding_mismatch"), "{answer}");
    }
    assert_eq!(up.transfers().iter().filter(|m| m.minor == 10_000).count(), 0);
    assert_eq!(up.get("/m/vision").json()["sold"], 0);

    // The buyer's own request, handed on: one piece of work, once.
    let first = buy("coffee.png");
    assert_eq!(first.status, 200, "{first}");
    let receipt = first.headers["payment-response"].clone();
    for _ in 0..3 {
        let again = buy("coffee.png");
        assert_eq!((again.status, &again.body), (200, &first.body), "the stored answer");
        assert_eq!(again.headers["payment-response"], receipt);
    }
    assert_eq!(buy("astronaut.png").status, 409);
    assert_eq!(up.transfers().iter().filter(|m| m.minor == 10_000).count(), 1);
    assert_eq!(up.get("/m/vision").json()["sold"], 1);

    // The buyer, who was told that nothing was paid yet, learns of it from the chain.
    up.stop();
    let up = home.up();
    let economy = home.json(&["economy"]);
    assert_eq!(economy["books"]["state"], "equal");
    assert_eq!(minor(&economy["headline"]["production"]), 10_000);
    let shopper = home.json(&["books", "shopper"]);
    assert_eq!((line(&shopper[0], "cash"), line(&shopper[0], "purchases")), (4_990_000, 10_000));
    assert_eq!(minor(&shopper[0]["mandate"]["lifetimeLeft"]), 990_000, "spent once, not twice");
    up.stop();
}

/// A thief's own path is another request than the seller's, though the quote was the seller's.
#[test]
fn a_signature_for_another_path_buys_nothing() {
    let home = Home::new();
    let up = home.up();
    let thief = Seller::asking(&json!({}), &quote(&up));
    home.run(&["pay", &thief.url(), "-d", &at_photograph("coffee.png")]).refused();
    let signed = thief.signed().pop().expect("a payment was sent");
    let body = std::fs::read(photograph("coffee.png")).expect("a sample");
    let request = HTTP.post(up.counter()).header("payment-signature", &signed);
    let answer = ask(request.header("content-type", "image/png").body(body));
    assert_eq!(answer.status, 409, "{answer}");
    assert_eq!(up.transfers().iter().filter(|m| m.minor == 10_000).count(), 0);
    let shopper = home.json(&["books", "shopper"]);
    assert_eq!((line(&shopper[0], "cash"), line(&shopper[0], "purchases")), (5_000_000, 0));
    up.stop();
}

/// The vision machine's own quote.
fn quote(up: &Up) -> Value {
    let answer = ask(HTTP.post(up.counter()));
    assert_eq!(answer.status, 402);
    let text = answer.headers["payment-required"].to_str().expect("base64").to_string();
    serde_json::from_slice(&STANDARD.decode(text).expect("base64")).expect("JSON")
}

/// A seller who gives everybody the same answer, and keeps what buyers sign.
struct Seller {
    port: u16,
    signed: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Seller {
    /// Answers 402 with this quote, changed here and there.
    fn asking(change: &Value, quote: &Value) -> Seller {
        let mut quote = quote.clone();
        quote["accepts"].as_array_mut().expect("ways to pay").truncate(1);
        merge(&mut quote, change);
        let header = STANDARD.encode(quote.to_string());
        Seller::saying(format!(
            "HTTP/1.1 402 Payment Required\r\nPAYMENT-REQUIRED: {header}\r\nContent-Length: 0\r\n\r\n"
        ))
    }

    fn saying(answer: String) -> Seller {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let signed = Arc::new(Mutex::new(Vec::new()));
        let kept = signed.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut reader = BufReader::new(&stream);
                let mut line = String::new();
                let mut heads = 0;
                while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
                    heads += 1;
                    let (name, value) = line.split_once(':').unwrap_or_default();
                    if name.eq_ignore_ascii_case("payment-signature") {
                        kept.lock().expect("sound").push(value.trim().to_string());
                    }
                    line.clear();
                }
                if heads == 0 {
                    return; // Nobody asks anything: it is the end.
                }
                let close = answer.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                let _ = stream.write_all(close.as_bytes());
            }
        });
        Seller { port, signed, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/work", self.port)
    }

    fn signed(&self) -> Vec<String> {
        self.signed.lock().expect("sound").clone()
    }

    fn payments(&self) -> usize {
        self.signed().len()
    }
}

impl Drop for Seller {
    fn drop(&mut self) {
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Puts the members of one JSON value over another's, member by member, place by place.
fn merge(onto: &mut Value, change: &Value) {
    match (onto, change) {
        (Value::Object(onto), Value::Object(change)) => {
            for (key, value) in change {
                merge(onto.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(onto), Value::Array(change)) if onto.len() == change.len() => {
            onto.iter_mut().zip(change).for_each(|(onto, change)| merge(onto, change));
        }
        (onto, change) => *onto = change.clone(),
    }
}
