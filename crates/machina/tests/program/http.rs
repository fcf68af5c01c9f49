//! What the open ports answer: to programs, to people, and to those who mean no good.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{
    Answer, HTTP, Home, PATIENCE, ask, at_photograph, minor, order, party, photograph, try_ask,
};

#[test]
fn the_machines_sign_is_for_programs_and_for_people() {
    let home = Home::new();
    let up = home.up();
    let sign = up.get("/m/vision").json();
    assert_eq!(sign["name"], "vision");
    assert_eq!(sign["address"], party(&up.info, "vision"));
    assert_eq!((&sign["sold"], minor(&sign["earned"])), (&json!(0), 0));
    assert_eq!(sign["offers"][0]["url"], up.counter());
    assert_eq!(sign["offers"][0]["accepts"][0]["amount"], "10000");
    home.run(&["demo"]).done();
    let sign = up.get("/m/vision").json();
    assert_eq!((&sign["sold"], minor(&sign["earned"])), (&json!(6), 60_000));

    let page = ask(HTTP.get(up.url("/m/vision")).header("accept", "text/html,*/*;q=0.8"));
    assert_eq!(page.status, 200);
    let kind = page.headers["content-type"].to_str().expect("text").to_string();
    assert!(kind.starts_with("text/html"), "{kind}");
    assert!(page.text().contains("0.06") && page.text().contains("machina pay"), "{page}");
    assert_eq!(up.get("/m/nobody").status, 404);
    up.stop();
}

#[test]
fn the_counter_asks_for_money_in_words_that_any_x402_client_reads() {
    let home = Home::new();
    let up = home.up();
    let answer = ask(HTTP.post(up.counter()).body("a picture, perhaps"));
    assert_eq!(answer.status, 402);
    let header = answer.headers["payment-required"].to_str().expect("base64");
    let quote = STANDARD.decode(header).expect("base64");
    let quote: Value = serde_json::from_slice(&quote).expect("JSON");
    assert_eq!(quote["x402Version"], 2);
    assert_eq!(quote["resource"]["url"], up.counter());
    let terms = &quote["accepts"][0];
    assert_eq!(terms["scheme"], "exact");
    assert_eq!(terms["network"], "eip155:402402");
    assert_eq!(terms["amount"], "10000");
    assert_eq!(terms["asset"], up.info["token"]["address"]);
    assert_eq!(terms["payTo"], party(&up.info, "vision"));
    assert_eq!(terms["extra"], json!({ "name": "Machina Dollar", "version": "1" }));
    assert!(terms["maxTimeoutSeconds"].as_u64().is_some_and(|s| s > 0), "{terms}");
    assert_eq!(answer.json()["quote"], quote, "a person reads the same in the body");
    // By GET there is the quote, by which clients ask for a channel's money back, and no work.
    assert_eq!(ask(HTTP.get(up.counter())).status, 402);
    assert_eq!(ask(HTTP.put(up.counter())).status, 405);
    up.stop();
}

#[test]
fn a_payment_that_is_broken_or_forged_buys_nothing() {
    let home = Home::new();
    let up = home.up();
    let offer = ask(HTTP.post(up.counter()));
    let quote: Value = serde_json::from_slice(
        &STANDARD.decode(offer.headers["payment-required"].as_bytes()).expect("base64"),
    )
    .expect("JSON");
    let shopper = party(&up.info, "shopper");
    let forged = |signature: String| {
        json!({
            "x402Version": 2,
            "accepted": quote["accepts"][0],
            "payload": {
                "signature": signature,
                "authorization": {
                    "from": shopper, "to": quote["accepts"][0]["payTo"], "value": "10000",
                    "validAfter": "0", "validBefore": "99999999999",
                    "nonce": format!("0x{}", "11".repeat(32)),
                },
            },
        })
    };
    let picture = std::fs::read(photograph("coffee.png")).expect("a sample");
    let pay = |header: String| -> Answer {
        ask(HTTP.post(up.counter()).header("PAYMENT-SIGNATURE", header).body(picture.clone()))
    };
    for garbage in [
        "%%%".to_string(),
        STANDARD.encode("not JSON"),
        STANDARD.encode("{}"),
        STANDARD.encode("[[[[[[[[[["),
        STANDARD.encode("[".repeat(20_000)),
        "A".repeat(40_000),
        STANDARD.encode(forged("0x".into()).to_string()),
        STANDARD.encode(forged("0xzz".into()).to_string()),
    ] {
        let answer = pay(garbage);
        assert!([400, 402].contains(&answer.status), "{answer}");
        assert!(answer.json()["error"].is_string(), "{answer}");
    }
    for signature in ["1b", "1c", "00"] {
        let answer =
            pay(STANDARD.encode(forged(format!("0x{}{signature}", "77".repeat(64))).to_string()));
        assert_eq!(answer.status, 402, "{answer}");
        assert!(!answer.headers.contains_key("payment-response"), "{answer}");
    }
    assert_eq!(up.on_chain(party(&up.info, "vision")), 0);
    let books = home.json(&["books", "vision"]);
    assert_eq!(books[0]["entries"], json!([]), "nothing was held");
    up.stop();
}

#[test]
fn the_facilitator_serves_other_sellers() {
    let home = Home::new();
    let up = home.up();
    let supported = up.get("/facilitator/supported").json();
    assert_eq!(supported["kinds"][0]["x402Version"], 2);
    assert_eq!(supported["signers"]["eip155:*"], json!([party(&up.info, "facilitator")]));
    assert_eq!(up.get("/facilitator/health").json()["status"], "ok");
    for path in ["/facilitator/verify", "/facilitator/settle"] {
        for body in ["", "{}", "null", "[1]", "{\"x402Version\":2}"] {
            let request = HTTP.post(up.url(path)).header("content-type", "application/json");
            let answer = ask(request.body(body));
            assert!((400..500).contains(&answer.status), "{path} {body}: {answer}");
        }
        let request = HTTP.post(up.url(path)).header("content-type", "application/json");
        let answer = ask(request.body(format!("{{\"x\":\"{}\"}}", "a".repeat(1_200_010))));
        assert_eq!(answer.status, 413, "{answer}");
    }
    up.stop();
}

#[test]
fn what_is_private_is_for_who_knows_the_token() {
    let home = Home::new();
    let up = home.up();
    let token = home.token();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(home.file("running.json")).expect("it runs").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "only its user reads the token");
    let picture = order(&up.counter(), b"x");
    let fund = json!({ "to": "ada", "amount": "1" });
    let grant = json!({ "lifetime": "9", "per_payment": "9", "daily": null, "days": 1 });
    let near = format!("{}{}", &token[..63], if token.ends_with('0') { '1' } else { '0' });
    for shown in [None, Some(""), Some("x"), Some(near.as_str()), Some(&token[..32])] {
        for (path, body) in [
            ("books", None),
            ("books/shopper", None),
            ("pay", Some(&picture)),
            ("fund", Some(&fund)),
            ("grant", Some(&grant)),
        ] {
            let url = up.url(&format!("/api/v1/{path}"));
            let mut request =
                body.map_or_else(|| HTTP.get(&url), |body| HTTP.post(&url).json(body));
            if let Some(shown) = shown {
                request = request.bearer_auth(shown);
            }
            let answer = ask(request);
            assert_eq!(answer.status, 401, "{path} with {shown:?}: {answer}");
        }
    }
    assert_eq!(ask(HTTP.get(up.url("/api/v1/books")).bearer_auth(&token)).status, 200);
    // What everybody may know needs no token, and tells no secret.
    let open = [up.get("/api/v1/info"), up.get("/api/v1/economy"), up.get("/"), up.get("/trades")];
    for answer in open {
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains(&token));
    }
    let ada = home.json(&["books", "ada"]);
    assert_eq!(ada[0]["entries"], json!([]), "nobody was funded");
    up.stop();
}

#[test]
fn a_page_that_was_pointed_at_this_machine_reads_nothing() {
    let home = Home::new();
    let up = home.up();
    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "0.0.0.0"]
    {
        for path in ["/", "/api/v1/info", "/m/vision", "/events", "/trades"] {
            let answer = ask(HTTP.get(up.url(path)).header("host", host));
            assert_eq!(answer.status, 421, "{host} {path}: {answer}");
        }
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:4020"] {
        assert_eq!(ask(HTTP.get(up.url("/")).header("host", host)).status, 200, "{host}");
    }
    up.stop();
}

#[test]
fn the_chain_answers_batches_and_refuses_nonsense_in_its_protocol() {
    let home = Home::new();
    let up = home.up();
    let url = format!("http://127.0.0.1:{}", up.rpc_port);
    let send =
        |body: String| ask(HTTP.post(&url).header("content-type", "application/json").body(body));
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "eth_chainId" },
        { "jsonrpc": "2.0", "id": "two", "method": "eth_blockNumber", "params": [] },
        { "jsonrpc": "2.0", "method": "eth_chainId" },
        { "jsonrpc": "2.0", "id": 4, "method": "eth_makeMoney" },
        7,
    ]);
    let answers = send(batch.to_string()).json();
    let answers = answers.as_array().expect("a batch is answered as one");
    assert_eq!(answers.len(), 4, "a notification gets no answer: {answers:?}");
    let of = |id: Value| answers.iter().find(|a| a["id"] == id).expect("each call is answered");
    assert_eq!(of(json!(1))["result"], "0x623e2");
    assert!(of(json!("two"))["result"].is_string());
    assert_eq!(of(json!(4))["error"]["code"], -32601);
    assert_eq!(of(Value::Null)["error"]["code"], -32600);
    for (body, code) in [("", -32700), ("{", -32700), ("[]", -32600), ("{}", -32600), ("7", -32600)]
    {
        let answer = send(body.into()).json();
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
    }
    refused_or_cut(HTTP.post(&url).body(format!("[\"{}\"]", "a".repeat(40 << 20))));
    // A page in somebody's browser may read the chain, as other nodes allow.
    assert_eq!(
        up.rpc("eth_blockNumber", json!([])).as_str().map(|n| n.starts_with("0x")),
        Some(true)
    );
    up.stop();
}

#[test]
fn heads_and_bodies_that_are_too_large_are_refused_and_others_are_served() {
    let home = Home::new();
    let up = home.up();
    for (name, bytes) in [("payment-signature", 100_000), ("x-anything", 300_000)] {
        refused_or_cut(HTTP.post(up.counter()).header(name, "a".repeat(bytes)).body("x"));
        assert_eq!(up.get("/healthz").status, 200);
    }
    let long = up.get(&format!("/trades/{}", "a".repeat(60_000)));
    assert!((400..500).contains(&long.status), "{long}");
    for path in ["pay", "fund"] {
        let request = HTTP.post(up.url(&format!("/api/v1/{path}"))).bearer_auth(home.token());
        let request = request.header("content-type", "application/json");
        refused_or_cut(request.body("x".repeat(33 << 20)));
    }
    let picture = home.file("large.png");
    let mut bytes = std::fs::read(photograph("coffee.png")).expect("a sample");
    bytes.resize(15 << 20, 0);
    std::fs::write(&picture, bytes).expect("room");
    let data = format!("@{}", picture.display());
    let why = home.run(&["pay", &up.counter(), "-d", &data]).refused();
    assert!(why.contains("larger than") || why.contains("does not answer"), "{why}");
    assert_eq!(up.on_chain(party(&up.info, "vision")), 0);
    up.stop();
}

/// Sends what is too large. It is refused in words, or cut off while it is still being sent.
#[track_caller]
fn refused_or_cut(request: reqwest::RequestBuilder) {
    if let Ok(answer) = try_ask(request) {
        assert!([400, 413, 431].contains(&answer.status), "{answer}");
    }
}

/// A connection that has said this and then says nothing more.
fn mumble(port: u16, said: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the port is open");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
    stream.write_all(said.as_bytes()).expect("it listens");
    stream
}

#[test]
fn who_speaks_slowly_keeps_nobody_waiting_and_is_cut_off() {
    let home = Home::new();
    let up = home.up();
    let half = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    let body = "POST /facilitator/verify HTTP/1.1\r\nHost: localhost\r\n\
        Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";
    let mut slow: Vec<_> = [up.port, up.rpc_port]
        .into_iter()
        .flat_map(|port| (0..60).map(move |_| mumble(port, half)))
        .chain([mumble(up.port, body)])
        .collect();
    // Silence from the first word on is no better.
    slow.push(mumble(up.port, ""));
    let sale = home.run(&["pay", &up.counter(), "-d", &at_photograph("coffee.png")]);
    sale.done();
    assert_eq!(up.get("/").status, 200);
    assert_eq!(up.rpc("eth_chainId", json!([])), "0x623e2");
    for mut stream in slow {
        let mut rest = Vec::new();
        // The end of the stream, by a farewell or by a reset; not our patience.
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&rest));
    }
    up.stop();
}

#[test]
fn half_a_request_does_not_keep_an_economy_from_ending() {
    let home = Home::new();
    let up = home.up();
    let half = mumble(up.port, "POST /m/vision/classify HTTP/1.1\r\nHost: loc");
    let idle = mumble(up.rpc_port, "");
    up.end("TERM").done();
    assert!(!home.file("running.json").exists());
    drop((half, idle));
}

#[test]
fn a_client_that_hangs_up_stops_no_payment() {
    let home = Home::new();
    let up = home.up();
    let picture = std::fs::read(photograph("astronaut.png")).expect("a sample");
    let body = order(&up.counter(), &picture).to_string();
    let head = format!(
        "POST /api/v1/pay HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        home.token(),
        body.len()
    );
    for _ in 0..3 {
        let stream = mumble(up.port, &(head.clone() + &body));
        // Not even a look at the answer.
        stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a time that is not zero");
        drop(stream);
    }
    // Each was brought to its end, or never began: nothing stays half done.
    crate::support::until("nothing is held any more", || {
        let books = home.json(&["books"]);
        let lines = books.as_array().expect("books").iter().flat_map(|b| b["lines"].as_array());
        lines.flatten().all(|l| minor(&l["held"]) == 0)
    });
    up.stop();
    let up = home.up();
    let economy = home.json(&["economy"]);
    assert_eq!(economy["books"]["state"], "equal");
    assert_eq!(up.on_chain(party(&up.info, "vision")), minor(&economy["headline"]["production"]));
    up.stop();
}
