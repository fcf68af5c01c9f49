//! Those who hire, work and check.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolStruct as _;
use market::{Amount, Asset, Pricing, Skill, Terms, Timestamp};
use market::{Check, CheckKind, Delivery, Digest, JobId, Offer, OfferId, Operation, Party, Report};
use payments::channel::voucher::{Domain, deposit_nonce};
use payments::channel::wire::{ChannelConfig, Deposit, DepositAuthorization, Payload};
use payments::channel::wire::{Units, Voucher};
use payments::wire::{PaymentPayload, PaymentRequirements};
use serde_json::Value;
use settlement::channels::AUTHORIZATION_COLLECTOR;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::wire::{Connection, Market, Person, request};

/// What a client pays in for each job, in dollars and minor units.
const BUDGET: (&str, u128) = ("0.5", 500_000);
/// What its worker takes, in minor units.
const PRICE: i128 = 200_000;
/// What each checker takes: a seat's deposit is five of it, more than the home's own checkers have.
const FEE: i128 = 100_000;
/// What a worker puts at stake in a job.
const STAKE: i128 = 100;
/// What a checker pays in, in dollars and minor units.
const POOL: (&str, u128) = ("1000", 1_000_000_000);
/// How long somebody waits before it looks again whether what it paid in is credited.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a worker or a checker lets work gather before it asks again: what came meanwhile is one answer.
const GATHER: Duration = Duration::from_millis(200);
/// The most jobs that are answered for in one request: 64 operations, of which a check takes two.
const MOST_AT_ONCE: usize = 32;

fn musd(minor: i128) -> Amount {
    Amount::from_minor(Asset::MUSD, minor)
}

fn skill() -> Skill {
    Skill::derive(&[b"bench/trivial"])
}

fn offer_of(worker: Party) -> OfferId {
    OfferId::derive(&[worker.as_bytes()])
}

/// The work: as little as can be done and checked.
fn answer(brief: &[u8]) -> String {
    hex::encode(Sha256::digest(brief))
}

fn plain(operation: &Operation) -> Value {
    serde_json::to_value(operation).expect("plain data")
}

/// A channel to the market.
struct Purse {
    person: Person,
    config: ChannelConfig,
    id: B256,
    domain: Domain,
    asked: PaymentRequirements,
    path: String,
    each: u128,
    paid: u128,
}

impl Purse {
    /// Opens a channel that holds `payments` payments, and makes the first.
    async fn open(
        person: &Person,
        market: &Market,
        connection: &mut Connection,
        token: &str,
        (amount, each): (&str, u128),
        payments: usize,
    ) -> Purse {
        let all = each * payments as u128;
        let dollars = u32::try_from(all.div_ceil(1_000_000)).expect("some thousands");
        market.fund(connection, token, person, dollars).await;
        let asked = market.asks(connection, amount).await;
        let extra = asked.extra.clone().unwrap_or_default();
        let config = ChannelConfig {
            payer: person.address,
            payer_authorizer: person.address,
            receiver: asked.pay_to.parse().expect("an address"),
            receiver_authorizer: extra["receiverAuthorizer"]
                .as_str()
                .and_then(|text| text.parse().ok())
                .expect("an address"),
            token: asked.asset.parse().expect("an address"),
            withdraw_delay: extra["withdrawDelay"].as_u64().expect("seconds"),
            salt: B256::ZERO,
        };
        let domain = Domain::new(market.chain);
        let path = format!("/market/deposits?amount={amount}");
        let id = domain.channel_id(&config);
        let person = person.clone();
        let mut purse = Purse { person, config, id, domain, asked, path, each, paid: 0 };
        let deposit = purse.deposit(market, all);
        let voucher = purse.voucher();
        let channel_config = purse.config;
        let first = Payload::Deposit { channel_config, voucher, deposit };
        let first = purse.wrap(&first);
        connection.ask(&first).await.good();
        purse
    }

    fn deposit(&self, market: &Market, all: u128) -> Deposit {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.expect("after 1970").as_secs();
        let (valid_after, valid_before) = (U256::from(now - 600), U256::from(now + 60));
        let order = protocol::ReceiveWithAuthorization {
            from: self.config.payer,
            to: AUTHORIZATION_COLLECTOR,
            value: U256::from(all),
            validAfter: valid_after,
            validBefore: valid_before,
            nonce: deposit_nonce(self.id, U256::ZERO),
        };
        let hash = order.eip712_signing_hash(&protocol::embedded_dollar_domain(market.chain));
        let signature = self.person.sign(hash).to_vec().into();
        let salt = U256::ZERO;
        let authorization =
            DepositAuthorization::Erc3009 { valid_after, valid_before, salt, signature };
        Deposit { amount: Units(all), authorization }
    }

    fn voucher(&mut self) -> Voucher {
        self.paid += self.each;
        let signature = self.person.sign(self.domain.voucher_hash(self.id, self.paid));
        Voucher {
            channel_id: self.id,
            max_claimable_amount: Units(self.paid),
            signature: signature.to_vec().into(),
        }
    }

    fn wrap(&self, payload: &Payload) -> Vec<u8> {
        let payment = PaymentPayload {
            x402_version: 2,
            resource: None,
            accepted: self.asked.clone(),
            payload: serde_json::to_value(payload).expect("plain data"),
            extensions: None,
        };
        let header = payments::wire::encode(&payment);
        let header = header.to_str().expect("base64");
        request("POST", &self.path, &[("payment-signature", header)], b"")
    }

    /// The request of the next payment.
    fn next(&mut self) -> Vec<u8> {
        let voucher = self.voucher();
        self.wrap(&Payload::Voucher { channel_config: self.config, voucher })
    }
}

/// Who orders.
pub struct Client {
    cell: usize,
    market: Market,
    person: Person,
    purse: tokio::sync::Mutex<Option<Purse>>,
}

/// A client with a connection.
pub struct AtTheDoor {
    cell: usize,
    market: Market,
    person: Person,
    purse: Purse,
    worker: Party,
    connection: Connection,
    heard: u64,
    under_way: HashSet<String>,
}

impl Client {
    pub fn new(cell: usize, market: &Market) -> Client {
        let person = Person::new("client", cell);
        Client { cell, market: market.clone(), person, purse: tokio::sync::Mutex::default() }
    }

    /// Opens its channel with a payment, and room for one for each job.
    pub async fn settle_in(&self, connection: &mut Connection, token: &str, jobs: usize) {
        let (market, person) = (&self.market, &self.person);
        let purse = Purse::open(person, market, connection, token, BUDGET, jobs + 1).await;
        wait_for_credit(connection, person, 1).await;
        *self.purse.lock().await = Some(purse);
    }

    pub async fn at_the_door(self) -> AtTheDoor {
        let mut connection = Connection::to(&self.market.address).await;
        let worker = Person::new("worker", self.cell).party;
        let purse = self.purse.into_inner().expect("it has settled in");
        let Client { cell, market, person, .. } = self;
        let (heard, _) = market.work(&mut connection, &person, None).await;
        let under_way = HashSet::new();
        AtTheDoor { cell, market, person, purse, worker, connection, heard, under_way }
    }
}

impl AtTheDoor {
    /// Orders a list of jobs, each paid in by a voucher.
    pub async fn order(&mut self, list: usize, count: usize) {
        let (connection, market) = (&mut self.connection, &self.market);
        let (mut operations, mut briefs) = (Vec::new(), Vec::new());
        for number in 0..count {
            connection.ask(&self.purse.next()).await.good();
            let brief = format!("job {} {list} {number}", self.cell);
            let digest = Digest::of(brief.as_bytes());
            let id = JobId::derive(&[brief.as_bytes()]);
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let now = u64::try_from(now.expect("after 1970").as_millis()).expect("not so late");
            let terms = Terms {
                id,
                client: self.person.party,
                parent: None,
                skill: skill(),
                brief: digest,
                budget: musd(i128::try_from(BUDGET.1).expect("small")),
                worth: musd(1_000_000),
                quality: 0,
                pricing: Pricing::Posted { offer: offer_of(self.worker) },
                check: Check::Exact { executors: 1 },
                audit: 1_000_000,
                checker_fee: musd(FEE),
                appeals: 0,
                stake: musd(STAKE),
                deliver_by: Timestamp::from_millis(now + 60_000),
                check_ms: 30_000,
            };
            operations.push(plain(&Operation::Open(Box::new(terms))));
            operations.push(plain(&Operation::Fund { job: id }));
            self.under_way.insert(id.to_string());
            briefs.push(brief);
        }
        // What was paid is credited a moment later.
        wait_for_credit(connection, &self.person, count as u128 * BUDGET.1).await;
        market.operate_on(connection, &self.person, &briefs, &operations).await;
    }

    /// Waits until it hears that all but so many of its jobs have ended.
    pub async fn wait_for_ends(&mut self, but: usize) {
        while self.under_way.len() > but {
            let (heard, work) =
                self.market.work(&mut self.connection, &self.person, Some(self.heard)).await;
            self.heard = heard;
            for told in work.iter().filter(|told| told["asks"] == "ended") {
                assert_eq!(told["stage"], "completed", "{told}");
                self.under_way.remove(told["job"].as_str().expect("a job"));
            }
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// Who works.
pub struct Worker {
    market: Market,
    person: Person,
}

/// A worker with a connection.
pub struct AtWork {
    market: Market,
    person: Person,
    connection: Connection,
    heard: u64,
    /// What it has sealed and not opened.
    found: HashMap<JobId, Report>,
}

impl Worker {
    pub fn new(cell: usize, market: &Market) -> Worker {
        Worker { market: market.clone(), person: Person::new("worker", cell) }
    }

    /// Pays in what it will have at stake, and offers its work.
    pub async fn settle_in(&self, connection: &mut Connection, token: &str) {
        let Worker { market, person } = self;
        Purse::open(person, market, connection, token, BUDGET, 1).await;
        wait_for_credit(connection, person, 1).await;
        let offer = Offer {
            capacity: 1_000_000,
            checks: [CheckKind::Exact].into(),
            ..Offer::standard(offer_of(person.party), person.party, skill(), musd(PRICE))
        };
        market.operate(connection, person, &[plain(&Operation::Publish(offer))]).await;
    }

    pub async fn at_work(self) -> AtWork {
        let mut connection = Connection::to(&self.market.address).await;
        let Worker { market, person } = self;
        let (heard, _) = market.work(&mut connection, &person, None).await;
        AtWork { market, person, connection, heard, found: HashMap::new() }
    }
}

impl AtWork {
    /// Works at so many jobs as it hears of them, and opens each when its checker has sealed.
    pub async fn work(&mut self, jobs: usize) {
        let mut opened = 0;
        while opened < jobs {
            let (market, connection) = (&self.market, &mut self.connection);
            let (heard, work) = market.work(connection, &self.person, Some(self.heard)).await;
            self.heard = heard;
            for told in work.chunks(MOST_AT_ONCE) {
                opened += self.answer(told).await;
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Does what is asked of it, in one request; how many jobs were opened.
    async fn answer(&mut self, work: &[Value]) -> usize {
        let by = self.person.party;
        let (mut answers, mut operations, mut opened) = (Vec::new(), Vec::new(), 0);
        for told in work {
            let job: JobId = told["job"].as_str().and_then(|id| id.parse().ok()).expect("a job");
            match told["asks"].as_str() {
                Some("work") => {
                    let answer = answer(&brief(told));
                    let report = Report::Digest(Digest::of(answer.as_bytes()));
                    let delivery = Delivery::Sealed(report.commitment(job, by, &salt(job, by)));
                    operations.push(plain(&Operation::Submit { job, by, delivery }));
                    self.found.insert(job, report);
                    answers.push(answer);
                }
                Some("open") => {
                    let report = self.found.remove(&job).expect("it has worked at it");
                    let salt = salt(job, by);
                    operations.push(plain(&Operation::RevealReport { job, by, report, salt }));
                    opened += 1;
                }
                // That it has ended.
                _ => {}
            }
        }
        if !operations.is_empty() {
            let (market, connection) = (&self.market, &mut self.connection);
            market.operate_on(connection, &self.person, &answers, &operations).await;
        }
        opened
    }
}

/// The brief that came along with what was heard.
fn brief(told: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let body = told["brief"]["body"].as_str().unwrap_or_else(|| panic!("no brief: {told}"));
    base64::engine::general_purpose::STANDARD.decode(body).expect("base64")
}

/// Nobody here cheats, so a salt need not be secret.
fn salt(job: JobId, by: Party) -> Digest {
    Digest::of(&[&job.as_u128().to_be_bytes(), by.as_bytes().as_slice()].concat())
}

/// Waits until somebody has so much at the market that is free, in minor units.
async fn wait_for_credit(connection: &mut Connection, person: &Person, least: u128) {
    let path = format!("/market/parties/{}", person.party);
    let begun = std::time::Instant::now();
    loop {
        let view = connection.get(&path).await;
        let free = view["free"]["minor"].as_str().and_then(|minor| minor.parse::<u128>().ok());
        if free.expect("an amount") >= least {
            return;
        }
        assert!(begun.elapsed() < super::PATIENCE, "it was paid and is not credited: {view}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Those who do the work again.
pub struct Checkers {
    market: Market,
    people: Vec<Person>,
}

impl Checkers {
    pub fn new(count: usize, market: &Market) -> Checkers {
        let people = (0..count).map(|number| Person::new("checker", number)).collect();
        Checkers { market: market.clone(), people }
    }

    /// Pays in, and joins the pool.
    pub async fn settle_in(&self, connection: &mut Connection, token: &str) {
        for person in &self.people {
            Purse::open(person, &self.market, connection, token, POOL, 1).await;
            wait_for_credit(connection, person, POOL.1).await;
            let stake = musd(i128::try_from(POOL.1).expect("small"));
            let enlist = Operation::Enlist { party: person.party, stake };
            self.market.operate(connection, person, &[plain(&enlist)]).await;
        }
    }

    /// Has them check what they hear of, until they are told that nothing more comes.
    pub async fn start(self) -> (watch::Sender<bool>, Vec<tokio::task::JoinHandle<()>>) {
        let (over, is_over) = watch::channel(false);
        let mut tasks = Vec::new();
        for person in self.people {
            let market = self.market.clone();
            let connection = Connection::to(&market.address).await;
            tasks.push(tokio::spawn(check(market, person, connection, is_over.clone())));
        }
        (over, tasks)
    }
}

async fn check(
    market: Market,
    person: Person,
    mut connection: Connection,
    mut is_over: watch::Receiver<bool>,
) {
    let by = person.party;
    let mut heard = None;
    loop {
        let (last, work) = tokio::select! {
            told = market.work(&mut connection, &person, heard) => told,
            _ = is_over.wait_for(|is_over| *is_over) => return,
        };
        heard = Some(last);
        let drawn: Vec<&Value> = work.iter().filter(|told| told["asks"] == "check").collect();
        for some in drawn.chunks(MOST_AT_ONCE) {
            let mut operations = Vec::with_capacity(2 * some.len());
            for told in some {
                let job = told["job"].as_str().and_then(|id| id.parse().ok());
                let (job, brief): (JobId, _) = (job.expect("a job"), brief(told));
                let report = Report::Digest(Digest::of(answer(&brief).as_bytes()));
                let salt = salt(job, by);
                let commitment = report.commitment(job, by, &salt);
                operations.push(plain(&Operation::CommitReport { job, by, commitment }));
                // It alone was drawn, so when it has sealed, all have.
                operations.push(plain(&Operation::RevealReport { job, by, report, salt }));
            }
            market.operate(&mut connection, &person, &operations).await;
        }
        tokio::time::sleep(GATHER).await;
    }
}
