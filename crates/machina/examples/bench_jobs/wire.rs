//! HTTP as these strangers speak it, and what they know of the market.

use alloy_primitives::{Address, B256, eip191_hash_message};
use market::Party;
use payments::wire::{PaymentRequired, PaymentRequirements};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept alive.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body, if all is well.
    pub fn good(self) -> Vec<u8> {
        assert_eq!(self.status, 200, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
        self.body
    }

    pub fn json(self) -> Value {
        serde_json::from_slice(&self.good()).expect("JSON")
    }
}

impl Connection {
    pub async fn to(address: &str) -> Connection {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        Connection { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    pub async fn ask(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.expect("it reads");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("it answers");
            assert!(read > 0, "the connection was closed");
            let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            let length = header(&head, "content-length").expect("a length");
            let whole = end + 4 + length.parse::<usize>().expect("a number");
            while self.buffer.len() < whole {
                let read = self.stream.read_buf(&mut self.buffer).await.expect("it answers");
                assert!(read > 0, "the connection was closed");
            }
            let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
            let body = self.buffer[end + 4..whole].to_vec();
            return Answer { status: status.expect("a status"), head, body };
        }
    }

    /// An answer to a GET that nobody signs.
    pub async fn get(&mut self, path: &str) -> Value {
        self.ask(&request("GET", path, &[], b"")).await.json()
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// One request as it goes over the wire.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// Somebody with a key.
#[derive(Clone)]
pub struct Person {
    secret: secp256k1::SecretKey,
    pub address: Address,
    pub party: Party,
}

impl Person {
    /// The `number`th of a kind.
    pub fn new(kind: &str, number: usize) -> Person {
        let secret: [u8; 32] = Sha256::digest(format!("{kind} {number}")).into();
        let secret = secp256k1::SecretKey::from_byte_array(secret).expect("a key");
        let key = secret.public_key(secp256k1::SECP256K1);
        let address = Address::from_raw_public_key(&key.serialize_uncompressed()[1..]);
        Person { secret, address, party: address.into() }
    }

    /// A signature, by the C library: these people sign much.
    pub fn sign(&self, hash: B256) -> [u8; 65] {
        let message = secp256k1::Message::from_digest(hash.0);
        let signature = secp256k1::SECP256K1.sign_ecdsa_recoverable(message, &self.secret);
        let (v, compact) = signature.serialize_compact();
        let mut bytes = [27; 65];
        bytes[..64].copy_from_slice(&compact);
        bytes[64] += u8::try_from(i32::from(v)).expect("0 or 1");
        bytes
    }
}

/// The market, as whoever takes part has to know it.
#[derive(Clone)]
pub struct Market {
    pub address: String,
    pub chain: u64,
    pub party: String,
}

impl Market {
    pub async fn find(connection: &mut Connection, address: &str) -> Market {
        let rules = connection.get("/market/rules").await;
        Market {
            address: address.to_owned(),
            chain: rules["chain"].as_u64().expect("a chain's number"),
            party: rules["market"].as_str().expect("an address").to_owned(),
        }
    }

    /// A request that a person signs: EIP-191 over six lines, as `docs/market.md` says.
    pub fn signed(&self, by: &Person, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let at = now.expect("after 1970").as_millis().to_string();
        let text = format!(
            "Machina market\n{method} {path}\nchain {}\nmarket {}\nat {at}\n{}",
            self.chain,
            self.party,
            hex::encode(Sha256::digest(body))
        );
        let signature = hex::encode_prefixed(by.sign(eip191_hash_message(text)));
        let party = by.party.to_string();
        let headers = [
            ("machina-party", party.as_str()),
            ("machina-at", &at),
            ("machina-signature", &signature),
            ("content-type", "application/octet-stream"),
        ];
        request(method, path, &headers, body)
    }

    /// What a deposit of so many dollars asks of a channel.
    pub async fn asks(&self, connection: &mut Connection, amount: &str) -> PaymentRequirements {
        use base64::Engine as _;
        let path = format!("/market/deposits?amount={amount}");
        let answer = connection.ask(&request("POST", &path, &[], b"")).await;
        let quote = header(&answer.head, "payment-required").expect("a quote");
        let quote = base64::engine::general_purpose::STANDARD.decode(quote).expect("base64");
        let quote: PaymentRequired = serde_json::from_slice(&quote).expect("a quote");
        let mut ways = quote.accepts.into_iter();
        ways.find(|terms| terms.scheme == "batch-settlement").expect("it takes vouchers")
    }

    /// Hands in a list of operations, all of which must be done.
    pub async fn operate(&self, connection: &mut Connection, by: &Person, operations: &[Value]) {
        self.operate_on(connection, by, &[], operations).await;
    }

    /// Hands in texts, and with them a list of operations that are about them.
    pub async fn operate_on(
        &self,
        connection: &mut Connection,
        by: &Person,
        texts: &[String],
        operations: &[Value],
    ) {
        use base64::Engine as _;
        let encode = |text: &String| base64::engine::general_purpose::STANDARD.encode(text);
        let document = |text| json!({ "mediaType": "text/plain", "body": encode(text) });
        let documents: Vec<Value> = texts.iter().map(document).collect();
        let whole = json!({ "documents": documents, "operations": operations });
        let body = serde_json::to_vec(&whole).expect("plain data");
        let request = self.signed(by, "POST", "/market/operations", &body);
        let outcomes = connection.ask(&request).await.json();
        for outcome in outcomes.as_array().expect("a list") {
            assert_eq!(outcome["outcome"], "applied", "{outcome}");
        }
    }

    /// What waits for somebody, with its briefs, as soon as anything does; and the number up to which that
    /// is all. The first time, without a number, all that waits now.
    pub async fn work(
        &self,
        connection: &mut Connection,
        by: &Person,
        heard: Option<u64>,
    ) -> (u64, Vec<Value>) {
        let path = match heard {
            Some(heard) => format!("/market/work?after={heard}&briefs=true"),
            None => "/market/work?wait=0&briefs=true".to_owned(),
        };
        let request = self.signed(by, "GET", &path, b"");
        let mut told = connection.ask(&request).await.json();
        assert!(heard.is_none() || told["whole"] == false, "something was missed");
        let Value::Array(work) = told["work"].take() else { panic!("no list: {told}") };
        (told["after"].as_u64().expect("a number"), work)
    }

    /// How many of so many newest jobs have ended well.
    pub async fn completed(&self, connection: &mut Connection, all: usize) -> usize {
        let mut found = 0;
        for skip in (0..all).step_by(200) {
            let page = connection.get(&format!("/market/jobs?skip={skip}&limit=200")).await;
            let stages = page.as_array().expect("a list").iter().map(|job| &job["stage"]);
            found += stages.filter(|stage| *stage == "completed").count();
        }
        found
    }

    /// How many blocks the chain has.
    pub async fn blocks(&self, connection: &mut Connection) -> u64 {
        let economy = connection.get("/api/v1/economy").await;
        economy["books"]["block"].as_u64().unwrap_or_default()
    }

    /// Waits until the books have been compared with desk and chain and are equal to both.
    pub async fn agrees(&self, connection: &mut Connection) {
        let begun = std::time::Instant::now();
        loop {
            let books = connection.get("/api/v1/economy").await["books"].clone();
            if books["state"] == "equal" {
                return;
            }
            assert!(begun.elapsed() < super::PATIENCE, "books and chain: {books}");
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }

    /// Gives somebody play money.
    pub async fn fund(&self, connection: &mut Connection, token: &str, to: &Person, dollars: u32) {
        let order = json!({ "to": to.address.to_string(), "amount": dollars.to_string() });
        let body = serde_json::to_vec(&order).expect("plain data");
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let asked = request("POST", "/api/v1/fund", &headers, &body);
        connection.ask(&asked).await.good();
    }
}
