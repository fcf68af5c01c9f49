//! MCP both ways round: an agent with a wallet (`machina mcp`), and a paid tool (`/mcp`).

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use alloy_primitives::{B256, Bytes, U256};
use alloy_signer::SignerSync as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mandates::Key;
use payments::exact;
use payments::wire::PaymentRequired;
use serde_json::{Value, json};
use settlement::{SignedAuthorization, Token};

use crate::support::{HTTP, Home, PATIENCE, Up, ask, line, minor, party, photograph, until};

/// An agent's side of `machina mcp`: lines of JSON-RPC. Dropped, the server is ended.
struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    reader: Option<JoinHandle<()>>,
    calls: u64,
}

impl Agent {
    fn of(home: &Home) -> Agent {
        let mut command = home.command(&["mcp"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program was built");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("asked for above"));
        let (tell, lines) = channel();
        let reader = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let mut agent = Agent { child, input, lines, reader: Some(reader), calls: 0 };
        let hello = agent.ask(
            "initialize",
            json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": { "name": "test", "version": "0" },
            }),
        );
        assert_eq!(hello["serverInfo"]["name"], "machina", "{hello}");
        assert!(hello["capabilities"]["tools"].is_object(), "{hello}");
        agent.write(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        agent
    }

    fn write(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("it is open");
        writeln!(input, "{message}").expect("the server reads");
    }

    /// One request and its result; every line on standard output must be JSON-RPC.
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        self.write(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": parameters }));
        let line = self.lines.recv_timeout(PATIENCE).expect("an answer in time");
        let answer: Value = serde_json::from_str(&line).expect("nothing but MCP on stdout");
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(id)), "{answer}");
        assert!(answer["error"].is_null(), "{answer}");
        answer["result"].clone()
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.ask("tools/call", json!({ "name": tool, "arguments": arguments }));
        assert!(result["content"][0]["text"].is_string(), "{result}");
        result
    }

    /// What a call that worked tells.
    #[track_caller]
    fn told(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], false, "{result}");
        result["structuredContent"].clone()
    }

    /// Why a call was refused.
    #[track_caller]
    fn refused(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments);
        assert_eq!(result["isError"], true, "{result}");
        result["content"][0]["text"].as_str().expect("text").to_string()
    }

    /// The agent leaves, and the server ends by itself.
    fn leave(mut self) {
        drop(self.input.take());
        self.reader.take().expect("it was there").join().expect("reading does not panic");
        assert!(self.child.wait().expect("it is our child").success());
        assert_eq!(self.lines.try_iter().count(), 0, "nothing was said unasked");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_agent_discovers_quotes_and_pays_and_never_sees_a_key() {
    let home = Home::new();
    let up = home.up();
    let mut agent = Agent::of(&home);
    let listed = agent.ask("tools/list", json!({}));
    let names: Vec<_> = listed["tools"].as_array().expect("tools").iter().collect();
    let names: Vec<_> = names.iter().map(|t| t["name"].as_str().expect("a name")).collect();
    let wallet = ["discover", "quote", "pay", "balance", "mandate", "approvals"];
    let market = ["offers", "hire", "job", "judge", "cancel", "withdraw"];
    assert_eq!(names, [&wallet[..], &market[..]].concat());

    let found = agent.told("discover", json!({}));
    assert_eq!(found["offers"][0]["url"], up.counter());
    assert_eq!(found["found"]["items"].as_array().map(Vec::len), Some(0), "{found}");

    let picture = STANDARD.encode(std::fs::read(photograph("coffee.png")).expect("a sample"));
    let request = json!({ "url": up.counter(), "body_base64": picture });
    let quote = agent.told("quote", request.clone());
    assert_eq!(quote["priced"], true);
    assert_eq!(quote["ways"][0]["scheme"], "exact");
    assert_eq!(minor(&quote["ways"][0]["price"]), 10_000);
    assert_eq!(minor(&agent.told("mandate", json!({}))["lifetimeLeft"]), 1_000_000);

    let mut order = request.clone();
    order["max"] = "0.001".into();
    let said = agent.refused("pay", order.clone());
    assert!(said.contains("0.01 MUSD") && said.contains("0.001 MUSD"), "{said}");
    assert_eq!(up.transfers().iter().filter(|m| m.minor == 10_000).count(), 0);

    order["max"] = "0.05".into();
    let paid = agent.told("pay", order);
    assert_eq!(paid["status"], 200);
    assert!(paid["body"].as_str().expect("text").contains("espresso"), "{paid}");
    assert_eq!(minor(&paid["paid"]["amount"]), 10_000);
    assert_eq!(minor(&agent.told("mandate", json!({}))["lifetimeLeft"]), 990_000);
    let books = agent.told("balance", json!({}))["books"].clone();
    assert_eq!(books["party"]["name"], "shopper");
    assert_eq!(line(&books, "purchases"), 10_000);

    for (tool, arguments, said) in [
        ("pay", request, "`max` is missing"),
        ("pay", json!({ "url": "ftp://x", "max": "1" }), "no web address"),
        ("pay", json!({ "url": up.counter(), "max": "1", "key": "x" }), "does not take"),
        ("pay", json!({ "url": up.counter(), "max": "-1" }), "-1"),
        ("quote", json!({ "url": up.counter(), "body": "a", "body_base64": "YQ==" }), "one body"),
        ("discover", json!({ "query": "x".repeat(401) }), "longer than"),
        ("keys", json!({}), "no tool"),
    ] {
        let why = agent.refused(tool, arguments);
        assert!(why.contains(said), "{tool}: {why}");
    }
    agent.leave();
    up.stop();
}

#[test]
fn a_wallet_whose_economy_sleeps_opens_it_for_a_call_only() {
    let home = Home::new();
    let mut agent = Agent::of(&home);
    assert_eq!(minor(&agent.told("mandate", json!({}))["lifetimeLeft"]), 1_000_000);
    // In between the home is free: an economy may start, and the agent finds it.
    let up = home.up();
    assert_eq!(agent.told("discover", json!({}))["offers"][0]["url"], up.counter());
    up.stop();
    agent.leave();
}

#[test]
fn an_agent_finds_hires_waits_takes_back_and_takes_out_within_the_mandate() {
    let home = Home::new();
    let mut agent = Agent::of(&home);
    let asleep = agent.refused("hire", json!({ "words": "what is it?", "budget": "0.02" }));
    assert!(asleep.contains("does not run"), "{asleep}");
    let up = home.up();
    // By meaning where that model is cached, by words elsewhere: both find who sees.
    let found = agent.told("offers", json!({ "query": "what does this photograph show?" }));
    let sees = &found["offers"][0];
    assert_eq!(sees["skill"], "vision/classify", "{found}");
    assert!(sees["reasons"].as_array().is_some_and(|reasons| reasons.len() >= 2), "{found}");
    assert!(["meaning", "words"].contains(&found["by"].as_str().unwrap()), "{found}");

    let picture = STANDARD.encode(std::fs::read(photograph("coffee.png")).expect("a sample"));
    let files = json!([{ "name": "coffee.png", "body_base64": picture }]);
    let order = json!({ "words": "what is it?", "files": files, "budget": "0.02", "name": "one" });
    let job = agent.told("hire", order.clone())["job"].clone();
    let done = agent.told("job", json!({ "job": job, "wait_seconds": 50 }));
    assert_eq!(done["stage"], "paid", "{done}");
    assert_eq!(done["items"][0]["gist"], "espresso");

    // A person is asked, and the question taken back before anybody comes.
    let asked = json!({ "words": "Which cup is nicer?", "budget": "0.03", "human": true });
    let question = agent.told("hire", asked)["job"].clone();
    assert_eq!(agent.told("job", json!({ "job": question }))["stage"], "bidding");
    assert_eq!(agent.told("cancel", json!({ "job": question }))["stage"], "given back");
    let left = || minor(&home.json(&["books", "shopper"])[0]["mandate"]["lifetimeLeft"]);
    until("all that was not needed is back", || left() == 1_000_000 - minor(&done["spent"]));
    let none = agent.refused("withdraw", json!({}));
    assert!(none.contains("nothing of the shopper's is free"), "{none}");
    let pay_in = HTTP.post(up.url("/api/v1/market/deposit")).bearer_auth(home.token());
    assert_eq!(ask(pay_in.json(&json!({ "amount": "0.05" }))).status, 200);
    assert_eq!(minor(&agent.told("withdraw", json!({ "amount": "0.02" }))["amount"]), 20_000);
    assert_eq!(minor(&agent.told("withdraw", json!({}))["amount"]), 30_000);

    let mut large = order.clone();
    (large["budget"], large["name"]) = ("0.5".into(), "two".into());
    for (tool, arguments, said) in [
        ("hire", large, "the mandate allows"),
        ("hire", json!({ "words": "x", "budget": "0.02", "within": "1d" }), "for people"),
        ("hire", json!({ "words": "x", "budget": "0.02", "key": "x" }), "does not take"),
        ("hire", json!({ "words": "x", "budget": "0.02" }), "no file was given"),
        ("hire", json!({ "words": " ", "budget": "0.02", "human": true }), "nothing is asked"),
        ("hire", json!({ "words": "x", "budget": "0.001", "human": true }), "least that would do"),
        ("hire", json!({ "words": "x", "budget": "1", "human": true, "within": "1s" }), "no time"),
        ("job", json!({ "job": "../books" }), "no job's name"),
        ("cancel", json!({ "job": job }), "cannot be done"),
        ("judge", json!({ "job": job, "accepts": true }), "no such job for a person"),
        ("offers", json!({ "query": "x".repeat(401) }), "longer than"),
    ] {
        let why = agent.refused(tool, arguments);
        assert!(why.contains(said), "{tool}: {why}");
    }
    agent.leave();
    up.stop();
}

#[test]
fn an_agent_buys_from_another_agent() {
    let home = Home::new();
    let up = home.up();
    let mut agent = Agent::of(&home);
    let picture = STANDARD.encode(std::fs::read(photograph("coffee.png")).expect("a sample"));
    let (address, endpoint) = (up.url("/m/vision"), up.url("/m/vision/a2a"));
    let card = up.url("/m/vision/.well-known/agent-card.json");
    let file = |url: &str| json!({ "url": url, "words": "What is this?", "body_base64": picture });
    // By its address, by its card, and where it answers; a card needs no word more.
    for url in [&address, &card, &endpoint] {
        let quote = agent.told("quote", file(url));
        assert_eq!((&quote["priced"], minor(&quote["ways"][0]["price"])), (&json!(true), 10_000));
    }
    let quote = agent.told("quote", json!({ "url": card, "body_base64": picture }));
    assert_eq!(quote["priced"], true);
    for wrong in [
        json!({ "url": card }),
        json!({ "url": address, "a2a": true }),
        json!({ "url": address, "words": "x", "a2a": false }),
        json!({ "url": address, "words": "x", "method": "GET" }),
        json!({ "url": address, "words": "x".repeat(70_000) }),
    ] {
        agent.refused("quote", wrong);
    }
    let mut order = file(&address);
    order["max"] = "0.009".into();
    let why = agent.refused("pay", order.clone());
    assert!(why.contains("0.009 MUSD"), "{why}");
    assert_eq!(minor(&agent.told("mandate", json!({}))["lifetimeLeft"]), 1_000_000);

    order["max"] = "0.02".into();
    let paid = agent.told("pay", order);
    assert_eq!((&paid["status"], minor(&paid["paid"]["amount"])), (&json!(200), 10_000));
    assert!(paid["body"].as_str().is_some_and(|body| body.contains("labels")), "{paid}");
    assert_eq!(minor(&agent.told("mandate", json!({}))["lifetimeLeft"]), 990_000);
    let trades = up.transfers().into_iter().filter(|moved| moved.minor == 10_000);
    assert_eq!(trades.count(), 1);
    agent.leave();
    up.stop();
}

/// One call of `/mcp`, as a client without a session makes it.
fn tool_call(up: &Up, method: &str, parameters: Value) -> Value {
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
    let request = HTTP.post(up.url("/mcp")).json(&call);
    let answer = ask(request.header("accept", "application/json, text/event-stream"));
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()["result"].clone()
}

#[test]
fn the_vision_machine_is_a_tool_with_a_price() {
    let home = Home::new();
    let up = home.up();
    let listed = tool_call(&up, "tools/list", json!({}));
    assert_eq!(listed["tools"][0]["name"], "classify", "{listed}");
    let picture = STANDARD.encode(std::fs::read(photograph("coffee.png")).expect("a sample"));
    let call = json!({ "name": "classify", "arguments": { "picture": picture } });
    let asked = tool_call(&up, "tools/call", call);
    assert_eq!(asked["isError"], true, "{asked}");
    let quote = &asked["structuredContent"];
    assert_eq!(quote["resource"]["url"], "mcp://tool/classify");
    assert_eq!(quote["accepts"][0]["amount"], "10000");
    let text = asked["content"][0]["text"].as_str().expect("text");
    assert_eq!(&serde_json::from_str::<Value>(text).expect("JSON"), quote);
    let call = json!({
        "name": "classify",
        "arguments": { "picture": picture },
        "_meta": { "x402/payment": { "x402Version": 2 } },
    });
    let refused = tool_call(&up, "tools/call", call);
    assert_eq!(refused["structuredContent"]["error"], "invalid_payload", "{refused}");
    let call = json!({ "name": "classify", "arguments": { "picture": "?" } });
    assert_eq!(tool_call(&up, "tools/call", call)["isError"], true);
    up.stop();
}

/// What a stranger signs for a quote: exactly the price, to the token (EIP-3009).
fn signed(key: &Key, quote: &Value, nonce: u8) -> Value {
    let quote: PaymentRequired = serde_json::from_value(quote.clone()).expect("a quote");
    let terms = quote.accepts.into_iter().find(|t| t.scheme == exact::SCHEME).expect("exact");
    let extra = terms.extra.clone().expect("the token's domain");
    let text = |name: &str| extra[name].as_str().expect("text").to_string();
    let chain_id = terms.network.strip_prefix("eip155:").expect("a chain").parse();
    let token = Token {
        address: terms.asset.parse().expect("an address"),
        asset: money::Asset::MUSD,
        name: text("name"),
        version: text("version"),
        chain_id: chain_id.expect("a number"),
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut order = SignedAuthorization {
        from: key.address(),
        to: terms.pay_to.parse().expect("an address"),
        value: terms.amount.parse().expect("a number"),
        valid_after: U256::ZERO,
        valid_before: U256::from(now.expect("after 1970").as_secs() + 60),
        nonce: B256::repeat_byte(nonce),
        signature: Bytes::new(),
    };
    let hash = exact::signing_hash(&order, &token);
    let signature = key.transaction_signer().sign_hash_sync(&hash).expect("a key signs");
    order.signature = signature.as_bytes().to_vec().into();
    json!({
        "x402Version": 2,
        "resource": quote.resource,
        "accepted": terms,
        "payload": exact::write(&order),
    })
}

#[test]
fn a_paid_call_of_the_tool_is_worked_for_once_and_answered_again() {
    let home = Home::new();
    let up = home.up();
    let key = Key::from_secret(&[0x21; 32]).expect("a key");
    home.run(&["fund", &key.address().to_string(), "1"]).done();
    let picture = STANDARD.encode(std::fs::read(photograph("coffee.png")).expect("a sample"));
    let arguments = json!({ "picture": picture });
    let call = |payment: Option<&Value>, arguments: &Value| {
        let mut call = json!({ "name": "classify", "arguments": arguments });
        if let Some(payment) = payment {
            call["_meta"] = json!({ "x402/payment": payment });
        }
        tool_call(&up, "tools/call", call)
    };
    let quote = call(None, &arguments)["structuredContent"].clone();
    let payment = signed(&key, &quote, 1);
    let paid = call(Some(&payment), &arguments);
    assert_ne!(paid["isError"], true, "{paid}");
    assert!(paid["content"][0]["text"].as_str().expect("text").contains("espresso"), "{paid}");
    let receipt = &paid["_meta"]["x402/payment-response"];
    assert_eq!((&receipt["success"], &receipt["amount"]), (&json!(true), &json!("10000")));
    let vision = party(&up.info, "vision");
    assert_eq!(up.on_chain(vision), 10_000);
    // The same call again is answered from the store; with another picture it buys nothing.
    assert_eq!(call(Some(&payment), &arguments)["content"], paid["content"]);
    let other = STANDARD.encode(std::fs::read(photograph("chelsea.png")).expect("a sample"));
    let refused = call(Some(&payment), &json!({ "picture": other }));
    assert_eq!(refused["structuredContent"]["error"], "payment_already_used", "{refused}");
    // Nor does it on the web: there it was not signed for, and is used.
    let body = STANDARD.decode(&picture).expect("as it was");
    let header = STANDARD.encode(payment.to_string());
    let elsewhere = HTTP.post(up.counter()).header("payment-signature", header).body(body);
    assert_eq!(ask(elsewhere).status, 409);
    // What is no picture costs nothing.
    let bad = signed(&key, &quote, 2);
    let failed = call(Some(&bad), &json!({ "picture": STANDARD.encode("no picture") }));
    assert_eq!(failed["isError"], true, "{failed}");
    let books = home.json(&["books", "vision"]);
    assert_eq!((line(&books[0], "sales"), up.on_chain(vision)), (10_000, 10_000));
    up.stop();
}
