//! Machines that join the labour market by `machina sell --skill`: hired, checked and paid as the home's own, and
//! nobody's money is stuck when their endpoint dies or answers nonsense.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::market::{Client, all_agrees, ended, musd};
use crate::support::{Home, Up, minor, party, photograph, until};

/// How a server answers.
const WELL: u8 = 0;
const FAILS: u8 = 1;
const HUGE: u8 = 2;
const GARBAGE: u8 = 3;
/// Tells pictures apart by their first bytes.
const LOOKS: u8 = 4;

/// Somebody's own server.
struct Server {
    url: String,
    how: Arc<AtomicU8>,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<Vec<u8>>>,
    last: Arc<Mutex<String>>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (how, asked) = (Arc::new(AtomicU8::new(WELL)), Arc::new(AtomicUsize::new(0)));
        let (answer, last) = (Arc::new(Mutex::default()), Arc::new(Mutex::default()));
        let server = Server { url, how, asked, answer, last };
        let shared =
            (server.how.clone(), server.asked.clone(), server.answer.clone(), server.last.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (how, asked, answer, last) = shared.clone();
                std::thread::spawn(move || {
                    let body = answer.lock().expect("whole").clone();
                    serve(stream, how.load(Ordering::SeqCst), &asked, &body, &last)
                });
            }
        });
        server
    }

    fn answers(&self, how: u8) {
        self.how.store(how, Ordering::SeqCst);
    }
}

/// One request a connection; whoever breaks it off is let go.
fn serve(
    mut stream: TcpStream,
    how: u8,
    asked: &AtomicUsize,
    body: &[u8],
    last: &Mutex<String>,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut got = vec![0; length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut got).ok()?;
    let is_work = head.starts_with("post");
    if is_work {
        asked.fetch_add(1, Ordering::SeqCst);
        *last.lock().expect("whole") = format!("{head}{}", String::from_utf8_lossy(&got));
    }
    let kind = if got.starts_with(b"\x89PNG") { r#"{"kind":"png"}"# } else { r#"{"kind":"jpeg"}"# };
    let body = if how == LOOKS { kind.as_bytes() } else { body };
    let (status, length) = match how {
        FAILS if is_work => ("500 Broken", 0),
        HUGE if is_work => ("200 OK", 100 << 20),
        GARBAGE if is_work => ("200 OK", 7),
        _ => ("200 OK", body.len()),
    };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
        .ok()?;
    match how {
        FAILS if is_work => {}
        HUGE if is_work => {
            for _ in 0..100 {
                stream.write_all(&vec![b' '; 1 << 20]).ok()?;
            }
        }
        GARBAGE if is_work => stream.write_all(b"<html>!").ok()?,
        _ => stream.write_all(body).ok()?,
    }
    Some(())
}

/// Opens a stall whose service takes jobs, through the running economy.
fn sells(home: &Home, up: &Up, server: &Server, more: Value) -> crate::support::Answer {
    let mut order = json!({ "name": "mine", "to": server.url, "price": "0.0005", "per": "request", "most": null, "prices": null });
    order.as_object_mut().expect("members").extend(more.as_object().expect("members").clone());
    Client::of(home, up, "seller").post("/api/v1/stalls", &order)
}

/// The seller's offer of a skill that stands.
fn offer(up: &Up, skill: &str) -> Option<Value> {
    let offers = up.get(&format!("/market/offers?skill={skill}")).json();
    let seller = party(&up.info, "seller").to_lowercase();
    let mut offers = offers.as_array().expect("offers").clone();
    offers.retain(|it| {
        it["offer"]["worker"].as_str().is_some_and(|worker| worker.to_lowercase() == seller)
    });
    offers.first().map(|it| it["offer"].clone())
}

/// What a party may spend at the market.
fn free(up: &Up, name: &str) -> i128 {
    minor(&up.get(&format!("/market/parties/{}", party(&up.info, name))).json()["free"])
}

/// What the home's own machine answers for these bytes, bought at its counter.
fn bought(home: &Home, up: &Up, machine: &str, file: &str) -> Vec<u8> {
    let url = up.url(&format!("/m/{machine}/work"));
    let report = home.json(&["pay", &url, "-d", &format!("@{file}"), "--max", "0.02"]);
    STANDARD.decode(report["body"].as_str().expect("a body")).expect("base64")
}

#[test]
fn an_endpoint_joins_by_one_order_is_hired_checked_and_paid_and_leaves() {
    let home = Home::new();
    let up = home.up();
    let file = photograph("coffee.png").display().to_string();
    let shopper = Client::of(&home, &up, "shopper");
    assert_eq!(up.get("/market/offers").status, 200);
    until("the machines work", || {
        !up.get("/market/offers?skill=file/kind").json().as_array().expect("offers").is_empty()
    });
    let server = Server::start();
    *server.answer.lock().expect("whole") = bought(&home, &up, "filekind", &file);
    let joined = sells(&home, &up, &server, json!({ "skill": "file/kind", "checks": ["exact"] }));
    assert_eq!((joined.status, &joined.json()["skill"]), (200, &json!("file/kind")), "{joined}");
    let offered = offer(&up, "file/kind").expect("it is on the market");
    // One record tells of one worker: a second of the same skill is refused, and leaves no stall open.
    let second = json!({ "skill": "file/kind", "checks": ["exact"], "name": "other" });
    assert_ne!(sells(&home, &up, &server, second.clone()).status, 200);
    assert_eq!(up.get("/s/other/").status, 404);

    // It bids in a round, and is hired at its posted price; what it gives is done again by others.
    shopper.pay_in("0.10");
    let brief = shopper.keep(std::fs::read(&file).expect("a photograph"));
    let (round, hired) = ("000000000000000000000000000000a1", "000000000000000000000000000000a2");
    shopper.hire(round, &offered["skill"], &brief, json!({ "stake": musd(100) }));
    let done = ended(&up, round);
    assert_eq!(done["stage"], "completed", "{done}");
    let bids = done["bids"].as_array().expect("bids");
    assert!(bids.iter().any(|bid| bid["worker"] == offered["worker"]), "{done}");
    let posted = json!({ "pricing": { "posted": { "offer": offered["id"] } }, "stake": musd(100) });
    shopper.hire(hired, &offered["skill"], &brief, posted);
    let done = ended(&up, hired);
    assert_eq!(
        (&done["stage"], &done["worker"]),
        (&json!("completed"), &offered["worker"]),
        "{done}"
    );
    assert!(server.asked.load(Ordering::SeqCst) >= 1);
    let record = home.json(&["reputation", "seller"]);
    assert!(record.to_string().contains("file/kind"), "{record}");

    // Who leaves takes no more, and may come again.
    let url = up.url("/api/v1/stalls/mine");
    let closed = crate::support::HTTP.delete(url).bearer_auth(home.token());
    assert_eq!(crate::support::ask(closed).status, 200);
    assert_eq!(offer(&up, "file/kind"), None);
    assert_eq!(sells(&home, &up, &server, second).status, 200);
    all_agrees(&home);
    up.stop();
}

#[test]
fn an_endpoint_that_breaks_or_answers_nonsense_leaves_nobodys_money_stuck() {
    let home = Home::new();
    let up = home.up();
    let shopper = Client::of(&home, &up, "shopper");
    shopper.pay_in("0.10");
    let server = Server::start();
    let order = json!({ "skill": "language/chat", "checks": ["exact"], "model": "mine:1b" });
    let silent = json!({ "skill": "file/kind", "to": "http://127.0.0.1:1" });
    assert_ne!(sells(&home, &up, &server, silent).status, 200, "nothing answers there");
    let unchecked = json!({ "skill": "language/chat" });
    let why = sells(&home, &up, &server, unchecked);
    assert!(why.status != 200 && why.text().contains("no check"), "{why}");
    let brief = json!({ "messages": [{ "role": "user", "content": "Where is Paris?" }] });
    let brief = shopper.keep(brief.to_string().into_bytes());
    let (mut number, mut number_of_jobs) = (0xb0, 0);
    for how in [FAILS, HUGE, GARBAGE, WELL] {
        server.answers(how);
        // A completion as such servers give it, but not what this home's model says.
        let completion = json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "mine:1b",
            "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "In Texas." } }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6 },
        });
        *server.answer.lock().expect("whole") = completion.to_string().into_bytes();
        let joined = sells(&home, &up, &server, order.clone());
        assert_eq!(joined.status, 200, "{joined}");
        let offered = offer(&up, "language/chat").expect("it is on the market");
        number += 1;
        number_of_jobs += 1;
        let before = free(&up, "shopper");
        let id = format!("{number:032x}");
        let posted =
            json!({ "pricing": { "posted": { "offer": offered["id"] } }, "stake": musd(100) });
        shopper.hire(&id, &offered["skill"], &brief, posted);
        let done = ended(&up, &id);
        assert_ne!(done["stage"], "completed", "{how}: {done}");
        let url = up.url("/api/v1/stalls/mine");
        let closed = crate::support::HTTP.delete(url).bearer_auth(home.token());
        assert_eq!(crate::support::ask(closed).status, 200);
        // The client has its money back, but for what looking at the work cost.
        let left = free(&up, "shopper");
        assert!(left >= before - 3 * 200, "{how}: {before}, {left}");
        assert!(free(&up, "seller") >= 500_000 - number_of_jobs * 100, "a stake a job at the most");
    }
    let last = server.last.lock().expect("whole").clone();
    assert!(last.starts_with("post /v1/chat/completions"), "{last}");
    assert!(last.contains("mine:1b") && last.contains("Where is Paris?"), "{last}");
    // Three times when it failed, and once when it did not help to ask again.
    assert_eq!(server.asked.load(Ordering::SeqCst), 6);
    all_agrees(&home);
    up.stop();
}

#[test]
fn by_itself_a_guest_takes_jobs_whose_labels_are_compared() {
    let home = Home::new();
    let up = home.up();
    let shopper = Client::of(&home, &up, "shopper");
    shopper.pay_in("0.10");
    let server = Server::start();
    server.answers(LOOKS);
    let joined = sells(&home, &up, &server, json!({ "skill": "file/kind" }));
    assert_eq!(joined.status, 200, "{joined}");
    assert_eq!(offer(&up, "file/kind"), None, "bytes are not its own to promise");
    let offered = offer(&up, "file/label").expect("it labels many");
    assert_eq!(offered["checks"], json!(["peer"]), "{offered}");
    let files = ["chelsea.png", "china.jpg", "coffee.png", "rocket.jpg"];
    let items =
        files.map(|name| shopper.keep(std::fs::read(photograph(name)).expect("a photograph")));
    let brief = shopper.keep(json!({ "items": items, "note": null }).to_string().into_bytes());
    let id = "000000000000000000000000000000c1";
    shopper.hire(
        id,
        &offered["skill"],
        &brief,
        json!({
            "check": { "peer": { "raters": 2, "pass_mark": 200_000 } }, "stake": musd(0),
            "pricing": { "posted": { "offer": offered["id"] } }, "budget": musd(60_000), "worth": musd(200_000),
        }),
    );
    let done = ended(&up, id);
    assert_eq!(
        (&done["stage"], &done["worker"]),
        (&json!("completed"), &offered["worker"]),
        "{done}"
    );
    assert_eq!(server.asked.load(Ordering::SeqCst), 4, "once a file");
    all_agrees(&home);
    up.stop();
}
