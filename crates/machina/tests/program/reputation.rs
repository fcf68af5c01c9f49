//! What the market says of its workers on the chain: told once, recomputed by whoever has the chain and
//! the files, and not to be had by paying oneself or by talking.

use alloy_primitives::{B256, hex, keccak256};
use serde_json::{Value, json};

use crate::market::{Client, ended};
use crate::support::{HTTP, Home, Up, ask, line, minor, party, until};

const REPUTATION: &str = "0x8004BAa17C55a88189AE136b182e5fdA19dE9b63";
const NEW_FEEDBACK: &str =
    "NewFeedback(uint256,address,uint64,int128,uint8,string,string,string,string,string,bytes32)";

/// A word as anybody reads it off the chain.
#[derive(Debug, PartialEq, Eq)]
struct Word {
    number: u64,
    value: u64,
    tag1: String,
    tag2: String,
    uri: String,
    hash: B256,
}

/// All words of the market of an agent, from the chain's own events.
fn words(up: &Up, agent: u64) -> Vec<Word> {
    let market = party(&up.info, "market").to_lowercase();
    let filter = json!([{
        "fromBlock": "0x0",
        "address": REPUTATION,
        "topics": [
            keccak256(NEW_FEEDBACK).to_string(),
            format!("{:#066x}", agent),
            format!("0x{:0>64}", &market[2..]),
        ],
    }]);
    let logs = up.rpc("eth_getLogs", filter);
    let read = |log: &Value| {
        let data = hex::decode(log["data"].as_str().expect("data")).expect("hex");
        let word = |at: usize| &data[at * 32..at * 32 + 32];
        let number = |at: usize| u64::from_be_bytes(word(at)[24..].try_into().unwrap());
        let text = |at: usize| {
            let start = usize::try_from(number(at)).unwrap();
            let length = u64::from_be_bytes(data[start + 24..start + 32].try_into().unwrap());
            let end = start + 32 + usize::try_from(length).unwrap();
            String::from_utf8(data[start + 32..end].to_vec()).unwrap()
        };
        Word {
            number: number(0),
            value: number(1),
            tag1: text(3),
            tag2: text(4),
            uri: text(6),
            hash: B256::from_slice(word(7)),
        }
    };
    logs.as_array().expect("a list").iter().map(read).collect()
}

fn standing(up: &Up, of: &str, skill: &str) -> Value {
    let told = up.get(&format!("/market/reputation/{of}")).json();
    let skills = told["skills"].as_array().expect("a list");
    skills.iter().find(|one| one["skill"] == skill).cloned().unwrap_or_default()
}

#[test]
fn a_record_is_on_the_chain_and_follows_from_chain_and_receipts_alone() {
    let home = Home::new();
    let up = home.up();
    let shopper = Client::of(&home, &up, "shopper");
    let skill = up.get("/market/offers?skill=file/kind").json()[0]["offer"]["skill"].clone();
    shopper.pay_in("0.1");
    let worker = party(&up.info, "filekind").to_owned();
    let hire = |n: u32, round: u32| {
        let brief = shopper.keep(format!("#!/bin/sh\necho {n}\n").into_bytes());
        shopper.hire(&format!("{:032x}", 16 * n + round), &skill, &brief, json!({}));
    };
    (0..3).for_each(|n| hire(n, 0));
    let price = |n: u32| {
        for round in 0..8 {
            let done = ended(&up, &format!("{:032x}", 16 * n + round));
            // Who has no record yet may lose the lot though it is alone; then the round is held again.
            if done["stage"] == "expired" && done["worker"].is_null() {
                assert_eq!(done["bids"].as_array().map(Vec::len), Some(1), "it bid: {done}");
                hire(n, round + 1);
                continue;
            }
            assert_eq!(done["stage"], "completed", "{done}");
            return minor(&done["price"]);
        }
        panic!("eight lots in a row are lost once in a million billions");
    };
    let paid: i128 = (0..3).map(price).sum();
    assert!(paid >= 10_000, "at least one piece of evidence: {paid}");
    until("the market has said what is due", || {
        let told = standing(&up, &worker, "file/kind");
        told["words"] == told["wordsDue"] && told["words"].as_u64() >= Some(1)
    });
    let shown = standing(&up, &worker, "file/kind");
    assert_eq!((&shown["differences"], &shown["jobs"]), (&json!([]), &json!(3)), "{shown}");

    // Anybody, with the chain and the files that its words lead to.
    let agent = shown["agent"].as_u64().expect("it is registered");
    let said = words(&up, agent);
    assert_eq!(Some(said.len() as u64), shown["words"].as_u64());
    let mut receipts: Vec<Value> = Vec::new();
    for (place, word) in said.iter().enumerate() {
        assert_eq!((word.number, word.value), (place as u64 + 1, 10_000));
        assert_eq!((word.tag1.as_str(), word.tag2.as_str()), ("successRate", "file/kind"));
        let here = format!("http://localhost:{}", up.port);
        let path = word.uri.strip_prefix(&here).expect("it is here");
        let file = up.get(path);
        assert_eq!(keccak256(&file.body), word.hash, "{file}");
        let file = file.json();
        assert_eq!((&file["agentId"], &file["value"]), (&json!(agent), &json!(10_000)));
        receipts.extend(file["evidence"]["receipts"].as_array().expect("a list").clone());
    }
    assert_eq!(Some(receipts.len() as u64), shown["jobsInWords"].as_u64());
    // What no word stands on yet is told, too.
    let told = up.get(&format!("/market/receipts?party={worker}")).json();
    let all: Vec<Value> = told.as_array().expect("a list").iter().rev().cloned().collect();
    assert_eq!(all[..receipts.len()], receipts);
    // Evidence this young has not faded: what was paid, by pieces of it.
    let unit = up.get("/market/rules").json()["evidence_unit"].as_i64().expect("a number");
    let passed: i128 = all.iter().map(|receipt| minor(&receipt["price"])).sum();
    assert!(all.iter().all(|receipt| receipt["passed"] == true));
    assert_eq!(passed, paid);
    let counts = json!([i64::try_from(passed).unwrap() / unit, 0]);
    assert_eq!(json!([shown["passed"], shown["failed"]]), counts, "{shown}");
    assert_eq!(json!([shown["computedPassed"], shown["computedFailed"]]), counts, "{shown}");

    let before = home.json(&["reputation", "filekind"]);
    assert_eq!(before[0]["skills"][0]["differences"], json!([]));
    assert!(before[0]["trustPpm"].as_u64() > Some(0), "its client is trusted: {before}");
    up.kill();
    // After a crash nothing is said twice, wherever it is then.
    let up = home.up();
    until("the registry was looked at again", || {
        standing(&up, &worker, "file/kind")["words"] == shown["words"]
    });
    assert_eq!(words(&up, agent), said);
    let file = said[0].uri.split("/market/").nth(1).expect("a path");
    assert_eq!(keccak256(&up.get(&format!("/market/{file}")).body), said[0].hash);
    for none in [
        "1/x/1?skill=file/kind",
        "1/0x/1",
        "9/0x1111111111111111111111111111111111111111/1?skill=file/kind",
    ] {
        let answer = up.get(&format!("/market/feedback/{none}"));
        assert!([400, 404].contains(&answer.status), "{none}: {answer}");
    }
    let text = home.run(&["reputation"]).done().text();
    assert!(text.contains("filekind") && text.contains("as on the chain"), "{text}");
    up.stop();
}

#[test]
fn the_market_s_machines_are_registered_when_it_begins_and_not_before() {
    let home = Home::new();
    let up = home.up();
    let names = |up: &Up| -> Vec<String> {
        let list = up.get("/agents").json();
        let agents = list["agents"].as_array().expect("a list");
        agents.iter().filter_map(|agent| agent["name"].as_str().map(String::from)).collect()
    };
    until("the first are listed", || names(&up).len() >= 3);
    assert_eq!(names(&up), ["vision", "seller", "shopper"]);
    assert_eq!(up.get("/m/lite1/agent.json").status, 404);
    assert_eq!(up.get("/market/offers").status, 200);
    let wanted = ["lite1", "lite2", "filekind", "foreman", "checker1", "checker5"];
    until("the market's machines are listed", || {
        let names = names(&up);
        wanted.iter().all(|wanted| names.iter().any(|name| name == wanted))
    });
    let list = up.get("/agents").json();
    for name in wanted {
        let agents = list["agents"].as_array().expect("a list");
        let agent = agents.iter().find(|agent| agent["name"] == name).expect("it is listed");
        assert_eq!(
            (&agent["silent"], &agent["namesItsRegistry"]),
            (&json!(0), &json!(true)),
            "{agent}"
        );
        assert_eq!(
            agent["owner"].as_str().map(str::to_lowercase),
            Some(party(&up.info, name).to_lowercase())
        );
        let file = up.get(&format!("/m/{name}/agent.json")).json();
        assert_eq!(file["registrations"][0]["agentId"], agent["agentId"]);
    }
    let head = up.head();
    let port = up.port;
    up.kill();
    let up = home.up_at(port);
    until("they are listed again", || names(&up).len() >= 3 + wanted.len());
    assert_eq!(up.head(), head, "nobody registers twice");
    up.stop();
}

#[test]
fn each_machine_takes_messages_and_who_works_sells_at_its_own_counter() {
    let home = Home::new();
    let up = home.up();
    let card = |name: &str| up.get(&format!("/m/{name}/.well-known/agent-card.json"));
    until("the shopper takes messages", || card("shopper").status == 200);
    for path in ["/m/filekind/a2a", "/m/filekind/work", "/m/nobody/work"] {
        assert_eq!(ask(HTTP.post(up.url(path)).json(&json!({}))).status, 404, "{path}");
    }
    assert_eq!(up.get("/market/offers").status, 200);
    until("its machines take messages", || card("filekind").status == 200);
    until("its checkers take messages", || card("checker1").status == 200);
    let kind = card("filekind").json();
    assert_eq!(
        kind["supportedInterfaces"][0]["url"],
        format!("http://localhost:{}/m/filekind/a2a", up.port)
    );
    assert!(kind["capabilities"]["extensions"].is_array());
    let guide = card("checker1").json();
    assert!(guide["capabilities"]["extensions"].is_null(), "nothing is paid there: {guide}");

    // What is sold at the counter is sold once, at its price, and shows nothing of quality.
    let url = format!("http://localhost:{}/m/filekind/work", up.port);
    assert_eq!(ask(HTTP.post(up.url("/m/filekind/work")).body("x")).status, 402);
    let paid = home.json(&["pay", &url, "--data", "#!/bin/sh\necho hello\n"]);
    assert!(paid.to_string().contains("1000"), "{paid}");
    until("it is in the books", || line(&home.json(&["books", "filekind"])[0], "sales") == 1_000);
    assert_eq!(up.get("/market/receipts").json(), json!([]));
    assert_eq!(home.json(&["reputation"]), json!([]));
    until("books and chain agree", || home.json(&["economy"])["books"]["state"] == "equal");

    // To who sells nothing there is nothing to pay, whatever is sent.
    let call = |name: &str, parts: Value| {
        let message = json!({ "messageId": "m", "role": "ROLE_USER", "parts": parts });
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": { "message": message } });
        let post = HTTP.post(up.url(&format!("/m/{name}/a2a"))).header("a2a-version", "1.0");
        ask(post.json(&request)).json()
    };
    for name in ["shopper", "seller", "foreman", "checker1"] {
        for parts in [json!([{ "text": "hello" }]), json!([{ "raw": "AAAA" }])] {
            let said = call(name, parts);
            let text = said["result"]["message"]["parts"][0]["text"].as_str().unwrap_or_default();
            assert!(text.starts_with(&format!("I am {name}. ")), "{said}");
        }
    }
    let asked = call("filekind", json!([{ "raw": "AAAA" }]));
    let status = &asked["result"]["task"]["status"];
    assert_eq!(status["state"], "TASK_STATE_INPUT_REQUIRED", "{asked}");
    assert_eq!(
        status["message"]["metadata"]["x402.payment.required"]["accepts"][0]["amount"],
        "1000"
    );
    up.kill();
    // Started anew, the offers of before are there before the machines are: the counter opens all the same.
    let up = home.up();
    let counter = || ask(HTTP.post(up.url("/m/filekind/work")).body("x")).status;
    until("the counter is open again", || counter() == 402);
    let sells = || up.get("/m/filekind/agent.json").json()["x402Support"] == true;
    until("its file says so", sells);
    up.stop();
}
