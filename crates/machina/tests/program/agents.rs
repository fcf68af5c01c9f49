//! The machines as others find them: registered on the chain, listed with what answers, and spoken to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{
    HTTP, Home, Up, ask, at_photograph, minor, party, photograph, try_ask, until,
};

const REGISTRY: &str = "0x8004A169FB4a3325136EB29fA0ceB6D2e539a432";
const NAMES: [&str; 3] = ["vision", "seller", "shopper"];

/// Every agent that the chain knows, by its events: whose, and where its file was at first.
fn registered(up: &Up) -> Vec<String> {
    // Registered(uint256,string,address)
    let topic = "0xca52e62c367d81bb2e328eb795f7c7ba24afb478408a26c0e201d155c449bc4a";
    let filter = json!([{ "fromBlock": "0x0", "address": REGISTRY, "topics": [topic] }]);
    let logs = up.rpc("eth_getLogs", filter);
    let owner = |log: &Value| {
        let topic = log["topics"][2].as_str().expect("an owner").to_lowercase();
        format!("0x{}", &topic[26..])
    };
    logs.as_array().expect("a list").iter().map(owner).collect()
}

/// What `/agents` lists, once it lists so many.
fn listed(up: &Up, count: usize) -> Value {
    let mut list = Value::Null;
    until("the agents are listed", || {
        list = up.get("/agents").json();
        list["agents"].as_array().is_some_and(|agents| agents.len() >= count)
    });
    list
}

#[test]
fn each_machine_is_registered_once_whatever_happens_to_the_economy() {
    let home = Home::new();
    let up = home.up();
    let owners: Vec<String> =
        NAMES.iter().map(|name| party(&up.info, name).to_lowercase()).collect();
    assert_eq!(registered(&up), owners);
    let (port, head) = (up.port, up.head());
    up.kill();
    // Come back at its old address, it has nothing to register and nothing to move.
    let up = home.up_at(port);
    assert_eq!((registered(&up), up.head()), (owners.clone(), head));
    up.stop();
    // Elsewhere, the same agents lead there.
    let up = home.up();
    assert_eq!(registered(&up), owners);
    let list = listed(&up, NAMES.len());
    for agent in list["agents"].as_array().expect("a list") {
        let uri = agent["agentUri"].as_str().expect("where its file is");
        assert!(uri.starts_with(&format!("http://localhost:{}/m/", up.port)), "{uri}");
    }
    up.stop();
}

#[test]
fn the_list_shows_who_answers_and_the_files_name_the_registry() {
    let home = Home::new();
    let up = home.up();
    let list = listed(&up, NAMES.len());
    for (agent, name) in list["agents"].as_array().expect("a list").iter().zip(NAMES) {
        assert_eq!((&agent["name"], &agent["namesItsRegistry"]), (&json!(name), &json!(true)));
        assert_eq!(agent["silent"], 0, "{agent}");
        let file = up.get(&format!("/m/{name}/agent.json")).json();
        assert_eq!(file["type"], "https://eips.ethereum.org/EIPS/eip-8004#registration-v1");
        assert_eq!(file["registrations"][0]["agentId"], agent["agentId"]);
        let services = agent["services"].as_array().expect("a list");
        let names: Vec<_> = services.iter().filter_map(|s| s["name"].as_str()).collect();
        let wanted: &[&str] =
            if name == "vision" { &["web", "A2A", "MCP"] } else { &["web", "A2A"] };
        assert_eq!(names, wanted, "{name}");
    }
    assert_eq!(list["after"], Value::Null);
    let first = up.get("/agents?limit=1").json();
    assert_eq!((first["agents"].as_array().map(Vec::len), &first["after"]), (Some(1), &json!(1)));
    let next = up.get("/agents?limit=1&after=1").json();
    assert_eq!(next["agents"][0]["name"], "seller");
    assert_eq!(up.get("/m/nobody/agent.json").status, 404);
    let proof = up.get("/.well-known/agent-registration.json").json();
    assert_eq!(proof["registrations"].as_array().map(Vec::len), Some(NAMES.len()));
    up.stop();
}

#[test]
fn an_agent_is_asked_for_a_price_and_told_no_by_name() {
    let home = Home::new();
    let up = home.up();
    let card = up.get("/m/vision/.well-known/agent-card.json").json();
    assert_eq!(up.get("/.well-known/agent-card.json").json(), card);
    let url = card["supportedInterfaces"][0]["url"].as_str().expect("where it answers");
    assert_eq!(url, format!("http://localhost:{}/m/vision/a2a", up.port));
    let call = |method: &str, params: Value| {
        let request = json!({ "jsonrpc": "2.0", "id": "x", "method": method, "params": params });
        let post = HTTP.post(up.url("/m/vision/a2a")).header("a2a-version", "1.0").json(&request);
        let answer = ask(post).json();
        assert_eq!(answer["id"], "x", "{answer}");
        answer
    };
    let cat = std::fs::read(photograph("chelsea.png")).expect("a photograph");
    let raw = |bytes: &[u8]| json!({ "raw": STANDARD.encode(bytes), "mediaType": "image/png" });
    let send = |parts: Value| {
        let message = json!({ "messageId": "m", "role": "ROLE_USER", "parts": parts });
        call("SendMessage", json!({ "message": message }))
    };
    let asked = send(json!([raw(&cat)]));
    let task = &asked["result"]["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{asked}");
    let said = &task["status"]["message"]["metadata"];
    assert_eq!(said["x402.payment.status"], "payment-required");
    assert_eq!(said["x402.payment.required"]["accepts"][0]["amount"], "10000");
    // Nothing of what was sent comes back.
    assert!(asked.to_string().len() < 20_000, "{}", asked.to_string().len());
    let id = &task["id"];
    assert_eq!(call("GetTask", json!({ "id": id }))["result"]["id"], *id);
    assert_eq!(
        call("CancelTask", json!({ "id": id }))["result"]["status"]["state"],
        "TASK_STATE_CANCELED"
    );
    for (method, params, code) in [
        ("CancelTask", json!({ "id": id }), -32002),
        ("GetTask", json!({ "id": "none" }), -32001),
        ("SubscribeToTask", json!({ "id": id }), -32004),
        ("GetExtendedAgentCard", json!({}), -32004),
        ("CreateTaskPushNotificationConfig", json!({ "taskId": id, "url": "http://x" }), -32003),
        ("message/send", json!({}), -32601),
        ("SendMessage", json!({}), -32602),
        ("ListTasks", json!({ "pageSize": 1000 }), -32602),
    ] {
        assert_eq!(call(method, params)["error"]["code"], code, "{method}");
    }
    for (parts, code) in [
        (json!([]), -32602),
        (json!([raw(&cat), raw(&cat)]), -32602),
        (json!([{ "url": "http://localhost:1/x.png" }]), -32005),
        (json!([raw(&cat), { "data": { "top": -1 } }]), -32602),
        (json!(vec![json!({ "text": "x" }); 17]), -32602),
    ] {
        assert_eq!(send(parts.clone())["error"]["code"], code, "{parts}");
    }
    // What was sent is not thrown back, however wrong.
    let shout = call("GetTask", json!({ "id": { "x".repeat(100_000): 1 } }));
    assert!(shout.to_string().len() < 2_000 && shout["error"]["code"] == -32602);
    let post = || HTTP.post(up.url("/m/vision/a2a")).header("a2a-version", "1.0");
    let json = || post().header("content-type", "application/json");
    assert_eq!(ask(json().body("{\"jsonrpc\"")).json()["error"]["code"], -32700);
    // A photograph of 8 MiB in base64 and some room for words is the most, to the byte; who sends far more may be
    // cut off before it can read so.
    let most = (8 << 20) / 3 * 4 + (256 << 10);
    assert_eq!(ask(json().body(vec![b' '; most])).json()["error"]["code"], -32700);
    assert_eq!(ask(json().body(vec![b' '; most + 1])).status, 413);
    if let Ok(answer) = try_ask(json().body(vec![b' '; 12 << 20])) {
        assert_eq!(answer.status, 413);
    }
    assert_eq!(call("GetTask", json!({ "id": id }))["result"]["id"], *id);
    let unsaid = ask(post().body("{}"));
    assert_eq!((unsaid.status, &unsaid.json()["error"]["code"]), (415, &json!(-32005)));
    // Who sends slowly keeps nobody out: each of these says that a body comes, and sends none.
    let slow: Vec<_> = (0..20)
        .map(|_| {
            let mut slow = std::net::TcpStream::connect(("127.0.0.1", up.port)).expect("a way in");
            let head = "POST /m/vision/a2a HTTP/1.1\r\nHost: localhost\r\n\
                        Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
            std::io::Write::write_all(&mut slow, head.as_bytes()).expect("sent");
            slow
        })
        .collect();
    assert_eq!(call("GetTask", json!({ "id": id }))["result"]["id"], *id);
    drop(slow);
    up.stop();
}

#[test]
fn an_agents_work_is_bought_by_a_command() {
    let home = Home::new();
    let up = home.up();
    let agent = up.url("/m/vision/a2a");
    let picture = at_photograph("chelsea.png");
    // Who only talks is told what is sold, and pays nothing.
    let said = home.run(&["pay", "--a2a", &agent, "What do you do?"]).done();
    assert!(String::from_utf8_lossy(&said.out).contains("0.01 MUSD"), "{}", said.err);
    assert!(said.err.contains("free"), "{}", said.err);
    let why = home
        .run(&["pay", "--a2a", &agent, "What is this?", "-d", &picture, "--max", "0.009"])
        .refused();
    assert!(why.contains("0.01 MUSD") && why.contains("0.009 MUSD"), "{why}");
    for wrong in [
        &["pay", "--a2a", &agent][..],
        &["pay", &agent, "What is this?"],
        &["pay", "--a2a", &agent, "x", "-X", "GET"],
    ] {
        home.run(wrong).misused();
    }
    let why = home.run(&["pay", "--a2a", &up.counter(), "x"]).refused();
    assert!(why.contains("402"), "{why}");
    let trades = || up.transfers().into_iter().filter(|moved| moved.minor == 10_000);
    assert_eq!(trades().count(), 0);

    // The machine's own address, below which its card is: a card leads to its place and no other.
    let found = up.url("/m/vision");
    let report = home.json(&["pay", "--a2a", &found, "What is this?", "-d", &picture]);
    assert_eq!(
        (&report["status"], &report["mediaType"]),
        (&json!(200), &json!("application/json"))
    );
    assert_eq!(minor(&report["paid"]["amount"]), 10_000);
    assert_eq!(minor(&report["paid"]["mandateLeft"]), 990_000);
    let body = STANDARD.decode(report["body"].as_str().expect("a text")).expect("base64");
    assert!(String::from_utf8_lossy(&body).contains("cat"), "{report}");
    let payers: Vec<_> = trades().map(|moved| moved.from).collect();
    assert_eq!(payers, [party(&up.info, "shopper").to_lowercase()]);
    up.stop();
}
