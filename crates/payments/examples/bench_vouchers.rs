//! How many vouchers a second a gate takes, and what one costs of the processor.
//!
//! The seller is a process of its own (this program again, with the argument `serve`), so that its
//! processor time can be told from the buyers'. In it everything is real: books that sync each
//! group to the disk, the gate, HTTP/1.1 over loopback with connections kept alive, channels of the
//! real contract. The buyers sign all vouchers beforehand. Besides, the seller tells what one bare
//! signature recovery costs it, and what the same handler costs without a gate.
//!
//! Prints one JSON object a line, with `name`, `value` and `unit`. Run it with
//! `cargo run --release -p payments --example bench_vouchers [CHANNELS] [VOUCHERS]`: so many channels
//! (1,000), and so many vouchers of each in either phase (10). With 0 vouchers it tells only what open
//! channels take of memory. `SELLER_UNDER='valgrind --tool=callgrind'` runs the seller under a
//! profiler; its times are then the profiler's.

#[path = "../tests/town/mod.rs"]
mod town;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use axum::Router;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use mandates::books::Line;
use payments::channel::voucher::signed_by;
use payments::channel::wire::{ChannelConfig, Payload, Units, Voucher};
use payments::channel::{Collect, TillLimits};
use payments::wire::PaymentRequirements;
use payments::{Facilitator as _, Gate, GateChannels, GateParts, Offer, Way};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use town::vouchers::{COSTS, keeper, terms};
use town::{PRICE, Town, canal, musd, person, seller};

/// How many connections the buyers keep; each has channels of its own.
const CONNECTIONS: usize = 240;
/// In how many rounds vouchers are sent as fast as they are taken.
const ROUNDS: usize = 5;
/// How many signatures each thread recovers after each round to learn what one costs.
const RECOVERIES: u32 = 4_000;
/// How many requests are sent to the handler without a gate.
const FREE: usize = 40_000;
/// How many requests are sent one at a time, each way.
const ALONE: usize = 300;

fn tell(name: &str, value: f64, unit: &str) {
    println!("{}", json!({ "name": name, "value": value, "unit": unit }));
}

fn numbered(args: &[String], at: usize, otherwise: usize) -> usize {
    args.get(at).map_or(otherwise, |n| n.parse().expect("a number"))
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|arg| arg == "serve") {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(serve(numbered(&args, 2, 0), numbered(&args, 3, 0)));
    } else {
        // The buyers are on the seller's machine, and should get in its way as little as they can.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        if args.get(1).is_some_and(|arg| arg == "million") {
            runtime.block_on(count(numbered(&args, 2, 10_000), numbered(&args, 3, 1_000_000)));
        } else {
            runtime.block_on(buy(numbered(&args, 1, 1_000), numbered(&args, 2, 10)));
        }
    }
}

/// The `number`th channel of the one payer.
fn config(number: usize) -> ChannelConfig {
    let payer = person(0x31).address();
    ChannelConfig {
        payer,
        payer_authorizer: payer,
        receiver: seller().into(),
        receiver_authorizer: keeper().address(),
        token: protocol::addresses::MACHINA_DOLLAR,
        withdraw_delay: canal::DELAY,
        salt: U256::from(number).into(),
    }
}

// ---- the seller ------------------------------------------------------------------------------

async fn work(body: String) -> String {
    format!("did {body}")
}

/// Seconds of the processor, and bytes of memory, that this process has taken.
fn taken() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().expect("a name in parentheses");
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number of ticks"))
        .sum();
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    let kilobytes: f64 =
        resident.trim().trim_end_matches(" kB").trim().parse().expect("a number of kilobytes");
    // A tick is a hundredth of a second on every Linux that Rust runs on.
    (ticks as f64 / 100.0, kilobytes * 1024.0)
}

async fn serve(channels: usize, vouchers: usize) {
    let town = Town::begin().await;
    let facilitator = Arc::new(canal::facilitator(&town, &person(0x77)));
    let gate = Gate::new(GateParts {
        channels: Some(GateChannels { keys: vec![keeper()], limits: TillLimits::default() }),
        ..town.gate_parts(facilitator.clone())
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let price = musd(i128::from(PRICE));
    let url = format!("http://{address}/work");
    let mut offer =
        Offer::new("work", http::Method::POST, url, price, seller(), town.token().clone());
    offer.ways.push(Way::Channel(terms()));
    let asked = offer.requirements().pop().expect("a way");
    let router = Router::new()
        .route("/work", post(work))
        .layer(gate.layer(offer))
        .route("/free", post(work));
    // Without it an answer waits for the other side's delayed acknowledgement, 40 ms of nothing.
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("a socket"));
    tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });

    let (_, empty) = taken();
    // One more, for those that are sent one at a time.
    let each = COSTS * (vouchers as u128 + 1);
    let all = i128::try_from(each).expect("small") * i128::try_from(channels).expect("small");
    town.give(person(0x31).party(), musd(all)).await;
    for some in (0..channels).collect::<Vec<_>>().chunks(64) {
        let deposits = some.iter().map(|&number| {
            let (config, key) = (config(number), person(0x31));
            let voucher = canal::voucher(&key, &config, 1);
            let deposit = canal::deposit(&town, &key, &config, each, number as u64);
            let payload = Payload::Deposit { channel_config: config, voucher, deposit };
            let (payment, asked) = (canal::wrap(&payload, &asked), asked.clone());
            let facilitator = facilitator.clone();
            async move { facilitator.settle(&payment, &asked).await.expect("an answer") }
        });
        for settled in futures_util::future::join_all(deposits).await {
            assert!(settled.success, "{settled:?}");
        }
    }
    let (_, funded) = taken();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let address = address.to_string();
    let hello = json!({ "address": address, "asked": asked, "empty": empty, "funded": funded });
    println!("{hello}");

    loop {
        let next = tokio::task::spawn_blocking(|| std::io::stdin().lines().next());
        let Ok(Some(Ok(order))) = next.await else { return };
        let answer = match order.as_str() {
            "taken" => {
                let (seconds, bytes) = taken();
                json!({ "seconds": seconds, "bytes": bytes })
            }
            "recover" => json!({ "micros": recover(1), "together": recover(threads) }),
            "collect" => {
                let begun = Instant::now();
                let collected = gate.collect(Collect::All).await;
                json!({
                    "transactions": collected.transactions,
                    "channels": collected.channels,
                    "failed": collected.failed,
                    "seconds": begun.elapsed().as_secs_f64(),
                    "owned": town.owns(seller()).await.to_string(),
                    "sold": town.line(seller(), Line::Sales).0.to_string(),
                })
            }
            _ => return,
        };
        println!("{answer}");
    }
}

/// What one bare recovery costs this process, in microseconds of the processor, where so many
/// threads recover at once. Vouchers are served on all the machine's threads, and where two share a
/// core they slow each other down; one alone does not tell that.
fn recover(threads: usize) -> f64 {
    let (key, channel) = (person(0x31), B256::repeat_byte(7));
    let domain = canal::domain();
    let signed: Vec<_> = (0..256_u128)
        .map(|amount| {
            let hash = domain.voucher_hash(channel, amount);
            (hash, sign(hash))
        })
        .collect();
    let (before, _) = taken();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for number in 0..RECOVERIES {
                    let (hash, signature) = &signed[number as usize % signed.len()];
                    assert!(signed_by(*hash, signature, key.address()));
                }
            });
        }
    });
    (taken().0 - before) * 1e6 / (f64::from(RECOVERIES) * threads as f64)
}

// ---- the buyers ------------------------------------------------------------------------------

struct Seller {
    orders: tokio::process::ChildStdin,
    answers: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Seller {
    async fn told(&mut self) -> Value {
        let line = self.answers.next_line().await.expect("it speaks").expect("it lives");
        serde_json::from_str(&line).expect("it says JSON")
    }

    async fn ask(&mut self, order: &str) -> Value {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("it listens");
        self.told().await
    }

    async fn end(&mut self) {
        self.orders.write_all(b"end\n").await.expect("it listens");
    }

    async fn seconds(&mut self) -> f64 {
        self.ask("taken").await["seconds"].as_f64().expect("a number")
    }
}

/// One request as it goes over the wire.
fn request(path: &str, payment: Option<&str>, body: &str) -> Vec<u8> {
    let payment = payment.map(|p| format!("payment-signature: {p}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
         content-length: {length}\r\n{payment}\r\n{body}"
    )
    .into_bytes()
}

/// The payer's signature, by the C library: a benchmark signs many.
fn sign(hash: B256) -> alloy_primitives::Bytes {
    let secret = secp256k1::SecretKey::from_byte_array([0x31; 32]).expect("a key");
    let message = secp256k1::Message::from_digest(hash.0);
    let signature = secp256k1::SECP256K1.sign_ecdsa_recoverable(message, &secret);
    let (v, compact) = signature.serialize_compact();
    let v = 27 + u8::try_from(i32::from(v)).expect("0 or 1");
    [&compact[..], &[v]].concat().into()
}

fn signed(asked: &PaymentRequirements, number: usize, turn: usize) -> Vec<u8> {
    let config = config(number);
    let total = COSTS * (turn as u128 + 1);
    let channel_id = canal::domain().channel_id(&config);
    let signature = sign(canal::domain().voucher_hash(channel_id, total));
    let voucher = Voucher { channel_id, max_claimable_amount: Units(total), signature };
    let payload = Payload::Voucher { channel_config: config, voucher };
    let header = payments::wire::encode(&canal::wrap(&payload, asked));
    request("/work", Some(header.to_str().expect("base64")), &format!("job {number} {turn}"))
}

/// A connection that is kept alive.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn to(address: &str) -> Connection {
        let stream = TcpStream::connect(address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        Connection { stream, buffer: Vec::with_capacity(16 * 1024) }
    }

    async fn exchange(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.expect("it reads");
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("it answers");
            assert!(read > 0, "the connection was closed");
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                assert!(head.starts_with("http/1.1 200"), "{head}");
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .expect("a length");
                let whole = end + 4 + length.parse::<usize>().expect("a number");
                if self.buffer.len() >= whole {
                    return;
                }
            }
        }
    }
}

/// Sends all requests, each connection its own in order: as fast as they are answered, or at an
/// even pace of so many a second. Tells how long it took and each answer's time in milliseconds,
/// counted from when its request was due.
async fn send(address: &str, requests: Vec<Vec<Vec<u8>>>, pace: Option<f64>) -> (f64, Vec<f64>) {
    let connections = requests.len();
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::to(address).await);
    }
    let begun = Instant::now();
    let lines = requests.into_iter().zip(open).enumerate().map(|(line, (requests, connection))| {
        tokio::spawn(async move {
            let mut connection = connection;
            let mut took = Vec::with_capacity(requests.len());
            for (number, request) in requests.iter().enumerate() {
                let mut due = Instant::now();
                if let Some(pace) = pace {
                    let at = (number * connections + line) as f64 / pace;
                    due = begun + Duration::from_secs_f64(at);
                    tokio::time::sleep_until(due.into()).await;
                }
                connection.exchange(request).await;
                took.push(due.elapsed().as_secs_f64() * 1e3);
            }
            took
        })
    });
    let mut took = Vec::new();
    for line in lines.collect::<Vec<_>>() {
        took.extend(line.await.expect("no buyer panics"));
    }
    let elapsed = begun.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    (elapsed, took)
}

/// The requests of some turns of all channels, by connection.
fn turns(
    asked: &PaymentRequirements,
    channels: usize,
    turns: std::ops::Range<usize>,
) -> Vec<Vec<Vec<u8>>> {
    let of_line = |line: usize| {
        let mine = (line..channels).step_by(CONNECTIONS);
        let order = turns.clone().flat_map(|turn| mine.clone().map(move |number| (number, turn)));
        order.map(|(number, turn)| signed(asked, number, turn)).collect()
    };
    (0..CONNECTIONS).map(of_line).collect()
}

/// A seller in a process of its own with so many channels, each of which has money for so many
/// vouchers, and what it tells of itself.
async fn open_shop(channels: usize, vouchers: usize) -> (tokio::process::Child, Seller, Value) {
    let program = std::env::current_exe().expect("this program");
    let under = std::env::var("SELLER_UNDER").unwrap_or_default();
    let mut words = under.split_whitespace().map(std::ffi::OsString::from);
    let mut command = match words.next() {
        Some(profiler) => {
            let mut command = tokio::process::Command::new(profiler);
            command.args(words).arg(program);
            command
        }
        None => tokio::process::Command::new(program),
    };
    let mut child = command
        .args(["serve", &channels.to_string(), &vouchers.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let orders = child.stdin.take().expect("piped");
    let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut seller = Seller { orders, answers };
    let hello = seller.told().await;
    (child, seller, hello)
}

async fn buy(channels: usize, vouchers: usize) {
    let total = 1 + 2 * vouchers;
    let (mut child, mut seller, hello) = open_shop(channels, total).await;
    let address = hello["address"].as_str().expect("an address").to_string();
    let asked: PaymentRequirements = serde_json::from_value(hello["asked"].clone()).expect("terms");

    // The first voucher of each channel, of which the seller asks the chain.
    send(&address, turns(&asked, channels, 0..1), None).await;

    let now = seller.ask("taken").await["bytes"].as_f64().expect("a number");
    let empty = hello["empty"].as_f64().expect("a number");
    tell("open_channels", channels as f64, "channels");
    let funded = hello["funded"].as_f64().expect("a number");
    tell("memory_of_open_channels", (now - empty) / 1e6, "MB");
    tell("memory_of_deposits", (funded - empty) / 1e6, "MB");
    let mut sold = channels;
    if vouchers > 0 {
        measure(&mut seller, &address, &asked, channels, vouchers).await;
        sold = channels * total + one_at_a_time(&address, &asked, channels, total).await;
    }

    settle(&mut seller, sold).await;
    seller.end().await;
    child.wait().await.expect("it ends");
}

/// Has all that was sold claimed and paid out.
async fn settle(seller: &mut Seller, sold: usize) {
    // A benchmark that cheats is worth nothing: work, books and chain agree to the unit.
    let collected = seller.ask("collect").await;
    let owed = (COSTS * sold as u128).to_string();
    assert_eq!(collected["owned"].as_str(), Some(owed.as_str()), "{collected}");
    assert_eq!(collected["sold"].as_str(), Some(owed.as_str()), "{collected}");
    assert_eq!(collected["failed"], 0, "{collected}");
    let transactions = collected["transactions"].as_f64().expect("a number");
    tell("transactions_to_claim_and_pay_out", transactions, "transactions");
    tell("claim_and_pay_out", collected["seconds"].as_f64().expect("a number"), "s");
    // A claim takes a channel's newest voucher, however many there were.
    tell("vouchers_settled", sold as f64, "vouchers");
}

/// Sends so many vouchers, a round of all channels after the other, and settles them.
async fn count(channels: usize, vouchers: usize) {
    let rounds = vouchers.div_ceil(channels);
    let (mut child, mut seller, hello) = open_shop(channels, rounds).await;
    let address = hello["address"].as_str().expect("an address").to_string();
    let asked: PaymentRequirements = serde_json::from_value(hello["asked"].clone()).expect("terms");
    let (mut elapsed, mut cpu) = (0.0, 0.0);
    for round in 0..rounds {
        // Signed beforehand, a round at a time: a million requests would fill the memory.
        let requests = turns(&asked, channels, round..round + 1);
        let before = seller.seconds().await;
        elapsed += send(&address, requests, None).await.0;
        cpu += seller.seconds().await - before;
    }
    let memory = seller.ask("taken").await["bytes"].as_f64().expect("a number");
    let sold = channels * rounds;
    tell("million_vouchers_time", elapsed, "s");
    tell("million_vouchers_server_cpu", cpu * 1e6 / sold as f64, "us");
    tell("million_vouchers_memory", memory / 1e6, "MB");
    settle(&mut seller, sold).await;
    seller.end().await;
    child.wait().await.expect("it ends");
}

async fn measure(
    seller: &mut Seller,
    address: &str,
    asked: &PaymentRequirements,
    channels: usize,
    vouchers: usize,
) {
    // A shared machine's speed drifts within seconds, so the two that are compared take turns.
    let (mut voucher_seconds, mut elapsed, mut rounds) = (0.0, 0.0, 0.0);
    let (mut recovery, mut recovery_together) = (0.0, 0.0);
    let mut turn = 1;
    while turn < 1 + vouchers {
        let next = (turn + vouchers.div_ceil(ROUNDS)).min(1 + vouchers);
        let requests = turns(asked, channels, turn..next);
        let before = seller.seconds().await;
        elapsed += send(address, requests, None).await.0;
        voucher_seconds += seller.seconds().await - before;
        let recovered = seller.ask("recover").await;
        recovery += recovered["micros"].as_f64().expect("a number");
        recovery_together += recovered["together"].as_f64().expect("a number");
        (turn, rounds) = (next, rounds + 1.0);
    }
    let count = (channels * vouchers) as f64;
    let voucher_cpu = voucher_seconds * 1e6 / count;
    let (recovery, recovery_together) = (recovery / rounds, recovery_together / rounds);
    let rate = count / elapsed;
    tell("vouchers_per_s", rate, "1/s");
    tell("voucher_server_cpu", voucher_cpu, "us");

    let free = request("/free", None, "job 1 1");
    let requests = vec![vec![free; FREE / CONNECTIONS]; CONNECTIONS];
    let before = seller.seconds().await;
    send(address, requests, None).await;
    let count = (FREE / CONNECTIONS * CONNECTIONS) as f64;
    let free_cpu = (seller.seconds().await - before) * 1e6 / count;
    tell("same_handler_without_gate_server_cpu", free_cpu, "us");
    tell("gate_overhead_server_cpu", voucher_cpu - free_cpu, "us");

    tell("bare_recovery_cpu", recovery, "us");
    tell("gate_overhead_to_recovery", (voucher_cpu - free_cpu) / recovery, "ratio");
    tell("voucher_to_recovery", voucher_cpu / recovery, "ratio");
    tell("bare_recovery_cpu_on_all_threads", recovery_together, "us");

    let requests = turns(asked, channels, 1 + vouchers..1 + 2 * vouchers);
    let (_, took) = send(address, requests, Some(rate / 2.0)).await;
    let percent = |percent: usize| took[(took.len() - 1) * percent / 100];
    tell("voucher_p50_at_half_load", percent(50), "ms");
    tell("voucher_p99_at_half_load", percent(99), "ms");
}

/// What the gate adds to a request's time where nothing else is under way. Returns how many
/// vouchers it took, one more of as many channels.
async fn one_at_a_time(
    address: &str,
    asked: &PaymentRequirements,
    channels: usize,
    turn: usize,
) -> usize {
    let paid: Vec<Vec<u8>> =
        (0..channels.min(ALONE)).map(|number| signed(asked, number, turn)).collect();
    let count = paid.len();
    let free = vec![request("/free", None, "job 1 1"); count];
    let median = |took: Vec<f64>| took[(took.len() - 1) / 2] * 1e3;
    let without = median(send(address, vec![free], None).await.1);
    let with = median(send(address, vec![paid], None).await.1);
    tell("same_handler_alone_p50", without, "us");
    tell("gate_adds_alone_p50", with - without, "us");
    count
}
