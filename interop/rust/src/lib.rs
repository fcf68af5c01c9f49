//! What the suites in Rust share: how a claim is told (as `harness/claims.mjs` does, one line of JSON
//! each), and the running economy as `harness/run.mjs` hands it over.
//!
//! A claim fails by panicking, with `assert!`, `expect` and the like.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex};

use alloy_primitives::{Address, Bytes, address};
use alloy_provider::{Provider, ProviderBuilder};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_signer_local::PrivateKeySigner;
use axum::http::{Extensions, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use url::Url;

/// What an answer of an HTTP client came to: the status, and the body whole.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads an answer whole.
    pub async fn of(response: reqwest::Response) -> Answer {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("the answer's body").to_vec();
        Answer { status, headers, body }
    }

    /// This answer, which must be good.
    pub fn good(self) -> Answer {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// The settlement that it tells.
    pub fn settlement(&self) -> Value {
        decode(
            self.headers
                .get("payment-response")
                .expect("a PAYMENT-RESPONSE")
                .to_str()
                .expect("ASCII"),
        )
    }

    /// The quote that it tells.
    pub fn quote(&self) -> Value {
        decode(
            self.headers
                .get("payment-required")
                .expect("a PAYMENT-REQUIRED")
                .to_str()
                .expect("ASCII"),
        )
    }
}

/// Reads base64(JSON).
pub fn decode(header: &str) -> Value {
    serde_json::from_slice(&STANDARD.decode(header).expect("base64")).expect("JSON")
}

/// Where a panic was and what it said: the hook keeps it for the claim that caught it.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Tries a claim: it holds if `check` does not panic. Gives what `check` gave, if it held.
pub async fn claim<T>(text: &str, check: impl Future<Output = T>) -> Option<T> {
    let result = AssertUnwindSafe(check).catch_unwind().await;
    match result {
        Ok(value) => {
            tell(json!({ "claim": text, "ok": true }));
            Some(value)
        }
        Err(_) => {
            let why = PANIC.lock().map(|said| said.clone()).unwrap_or_default();
            tell(json!({ "claim": text, "ok": false, "why": why }));
            None
        }
    }
}

/// Says that the suite came to its end.
pub fn done() {
    tell(json!({ "done": true }));
}

fn tell(line: Value) {
    println!("{line}");
}

/// The economy that a suite was given.
pub struct Economy {
    given: Value,
    http: reqwest::Client,
}

/// What `harness/run.mjs` gave to this process. It also makes panics readable.
pub static ECONOMY: LazyLock<Economy> = LazyLock::new(|| {
    std::panic::set_hook(Box::new(|panic| {
        if let Ok(mut said) = PANIC.lock() {
            *said = panic.to_string();
        }
    }));
    let given = std::env::var("MACHINA_INTEROP").expect("start suites by interop/run");
    Economy { given: serde_json::from_str(&given).expect("JSON of interop/run"), http: plain() }
});

/// An HTTP client that pays for nothing and uses no proxy.
pub fn plain() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("an HTTP client")
}

impl Economy {
    /// What `machina --json info` tells.
    pub fn info(&self) -> &Value {
        &self.given["info"]
    }

    /// A string of `info`, by its path.
    pub fn told(&self, pointer: &str) -> &str {
        self.info()
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {pointer} in `info`"))
    }

    /// What the vision machine sells.
    pub fn offer(&self) -> &Value {
        let offers = self.info()["offers"].as_array().expect("offers");
        offers.iter().find(|offer| offer["name"] == "vision/classify").expect("vision/classify")
    }

    /// Where it sells.
    pub fn counter(&self) -> &str {
        self.offer()["url"].as_str().expect("a URL")
    }

    /// What it is paid for one piece of work, in minor units.
    pub fn price(&self) -> u64 {
        minor(&self.offer()["price"])
    }

    /// Who is paid for it.
    pub fn payee(&self) -> Address {
        address_in(&self.offer()["payee"])
    }

    /// The chain's number.
    pub fn chain_id(&self) -> u64 {
        self.info()["chainId"].as_u64().expect("a chain id")
    }

    /// The chain's JSON-RPC.
    pub fn rpc(&self) -> Url {
        self.told("/rpcUrl").parse().expect("a URL")
    }

    /// A party's address.
    pub fn party(&self, name: &str) -> Address {
        let parties = self.info()["parties"].as_array().expect("parties");
        address_in(
            &parties.iter().find(|party| party["name"] == name).expect("the party")["address"],
        )
    }

    /// A sample photograph's bytes.
    pub fn photograph(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.given["photographs"][name].as_str().expect("a photograph"))
            .expect("its file")
    }

    fn command(&self, words: &[&str]) -> Command {
        let text = |name: &str| self.given[name].as_str().expect("a path").to_string();
        let mut command = Command::new(text("program"));
        command.args(["--json", "--home", &text("home")]).args(words).kill_on_drop(true);
        command
    }

    /// Runs a command of the program in the economy's home: its JSON.
    pub async fn machina(&self, words: &[&str]) -> Value {
        let said = self.command(words).output().await.expect("the program");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            said.status.success(),
            "machina {words:?}: {}{}",
            text(&said.stdout),
            text(&said.stderr)
        );
        serde_json::from_slice(&said.stdout).expect("JSON of the program")
    }

    /// A fresh key with one dollar, and no ether.
    pub async fn funded(&self) -> PrivateKeySigner {
        let key = PrivateKeySigner::random();
        self.machina(&["fund", &key.address().to_string(), "1"]).await;
        key
    }

    /// What an address has, in minor units, by the chain.
    pub async fn balance(&self, of: Address) -> i128 {
        let data = format!("0x70a08231{:0>64}", format!("{of:x}")); // balanceOf(address)
        let result = self
            .ask("eth_call", json!([{ "to": self.told("/token/address"), "data": data }, "latest"]))
            .await;
        let digits = result.as_str().expect("a number").trim_start_matches("0x").to_string();
        i128::from_str_radix(&digits, 16).expect("a balance")
    }

    /// Whether a transaction was mined and succeeded.
    pub async fn succeeded(&self, transaction: &Value) -> bool {
        self.ask("eth_getTransactionReceipt", json!([transaction])).await["status"] == "0x1"
    }

    /// Lets Permit2 move an account's dollars, by a transaction of the account's own.
    pub async fn approve_permit2(&self, key: &PrivateKeySigner) {
        let provider = ProviderBuilder::new().wallet(key.clone()).connect_http(self.rpc());
        let mut input = vec![0x09, 0x5e, 0xa7, 0xb3]; // approve(address,uint256)
        input.extend([0; 12]);
        input.extend(address!("000000000022D473030F116dDEE9F6B43aC78BA3"));
        input.extend([0xff; 32]);
        let token: Address = self.told("/token/address").parse().expect("an address");
        let mut order = TransactionRequest::default().to(token).input(Bytes::from(input).into());
        order.gas_price = Some(0);
        let sent = provider.send_transaction(order).await.expect("it is sent");
        assert!(sent.get_receipt().await.expect("it is mined").status(), "approved");
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let reply = self.http.post(self.rpc()).json(&question).send().await.expect("the chain");
        let mut reply: Value = reply.json().await.expect("JSON of the chain");
        assert!(reply["error"].is_null(), "{method}: {}", reply["error"]);
        reply["result"].take()
    }

    async fn standing(&self, payer: Address, payee: Address) -> (i128, i128) {
        (self.balance(payer).await, self.balance(payee).await)
    }

    /// Does something, and demands that `payer` paid `sum` to `payee`, on the chain.
    pub async fn moves<T>(
        &self,
        sum: u64,
        payer: Address,
        payee: Address,
        act: impl Future<Output = T>,
    ) -> T {
        let before = self.standing(payer, payee).await;
        let result = act.await;
        let after = self.standing(payer, payee).await;
        let sum = i128::from(sum);
        assert_eq!((before.0 - after.0, after.1 - before.1), (sum, sum), "paid and earned");
        result
    }

    async fn sold(&self) -> u64 {
        let sign = self
            .http
            .get(format!("{}/m/vision", self.told("/url")))
            .send()
            .await
            .expect("the sign");
        sign.json::<Value>().await.expect("JSON")["sold"].as_u64().expect("a count")
    }

    /// Does something, and demands that it brought so many sales to the vision machine, each paid by
    /// `payer` at its price.
    pub async fn changes<T>(&self, sales: u64, payer: Address, act: impl Future<Output = T>) -> T {
        let before = self.sold().await;
        let result = self.moves(sales * self.price(), payer, self.payee(), act).await;
        assert_eq!(self.sold().await - before, sales, "pieces of work");
        result
    }

    /// Opens a stall in front of `service`, by the words that say its price.
    pub async fn stall(&self, service: &str, words: &[&str]) -> Stall {
        let mut child = self
            .command(&[&["sell", "--to", service], words].concat())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut text = String::new();
        let told = loop {
            text +=
                &lines.next_line().await.expect("its output").expect("it tells where the stall is");
            if let Ok(told) = serde_json::from_str::<Value>(&text) {
                break told;
            }
        };
        Stall {
            url: told["url"].as_str().expect("a URL").to_string(),
            payee: address_in(&told["payee"]),
            _child: child,
        }
    }
}

/// A stall that is open until it is dropped.
pub struct Stall {
    pub url: String,
    pub payee: Address,
    _child: Child,
}

fn address_in(value: &Value) -> Address {
    value.as_str().expect("an address").parse().expect("an address")
}

/// Minor units of an amount as the program tells it.
pub fn minor(amount: &Value) -> u64 {
    amount["minor"].as_str().expect("minor units").parse().expect("a number")
}

/// Keeps the payments that a client sent. It stands after the middleware that pays.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Vec<String>>>);

impl Wire {
    /// The last payment's header.
    pub fn last(&self) -> String {
        self.0.lock().expect("the wire").last().expect("a payment was sent").clone()
    }

    /// How many payments were sent.
    pub fn count(&self) -> usize {
        self.0.lock().expect("the wire").len()
    }
}

#[async_trait::async_trait]
impl reqwest_middleware::Middleware for Wire {
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut Extensions,
        next: reqwest_middleware::Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        if let Some(header) = request.headers().get("payment-signature") {
            self.0.lock().expect("the wire").push(header.to_str().expect("ASCII").to_string());
        }
        next.run(request, extensions).await
    }
}

/// Serves `app` on a port of its own, for as long as the suite runs: its address.
pub async fn serve(app: impl FnOnce(Url) -> axum::Router) -> Url {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let origin: Url =
        format!("http://{}", listener.local_addr().expect("its address")).parse().expect("a URL");
    let app = app(origin.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    origin
}

/// A service that answers `?bytes=N` with N bytes.
pub fn filler() -> axum::Router {
    axum::Router::new().fallback(|uri: axum::http::Uri| async move {
        let bytes = uri
            .query()
            .and_then(|q| q.strip_prefix("bytes="))
            .and_then(|n| n.parse().ok())
            .unwrap_or(0);
        "x".repeat(bytes)
    })
}
