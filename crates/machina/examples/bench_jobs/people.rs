//! Those who hire, work and check.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolStruct as _;
use market::{Amount, Asset, Pricing, Skill, Terms, Timestamp};
use market::{Check, CheckKind, Delivery, Digest, JobId, Offer, OfferId, Operation, Party, Report};
use payments::channel::voucher::{Domain, deposit_nonce};
use payments::channel::wire::{ChannelConfig, Deposit, DepositAuthorization, Payload};
use payments::channel::wire::{Units, Voucher};
use payments::wire::{PaymentPayload, PaymentRequirements};
use serde_json::{Value, json};
use settlement::channels::AUTHORIZATION_COLLECTOR;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::wire::{Connection, Market, Person, request};

/// What a client pays in for each job, in dollars and minor units.
const BUDGET: (&str, u128) = ("0.5", 500_000);
/// What its worker takes, in minor units.
const PRICE: i128 = 200_000;
/// What each checker takes: a seat's deposit is five of it, more than the home's own checkers have.
const FEE: i128 = 100_000;
/// What a worker puts at stake in a job.
const STAKE: i128 = 100;
/// How many deposits a client has at the market before its first job: one that is answered may not be
/// credited yet.
const AHEAD: usize = 20;
/// What a checker pays in, in dollars and minor units.
const POOL: (&str, u128) = ("1000", 1_000_000_000);
/// How long a worker waits before it looks again whether a checker was drawn.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The most jobs that a checker looks at before it hands in what it found.
const MOST_AT_ONCE: usize = 30;

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
}

impl Client {
    pub fn new(cell: usize, market: &Market) -> Client {
        let person = Person::new("client", cell);
        Client { cell, market: market.clone(), person, purse: tokio::sync::Mutex::default() }
    }

    /// Opens its channel, and pays in for the first jobs.
    pub async fn settle_in(&self, connection: &mut Connection, token: &str, jobs: usize) {
        let (market, person) = (&self.market, &self.person);
        let payments = jobs + AHEAD;
        let mut purse = Purse::open(person, market, connection, token, BUDGET, payments).await;
        for _ in 1..AHEAD {
            connection.ask(&purse.next()).await.good();
        }
        *self.purse.lock().await = Some(purse);
    }

    pub async fn at_the_door(self) -> AtTheDoor {
        let connection = Connection::to(&self.market.address).await;
        let worker = Person::new("worker", self.cell).party;
        let purse = self.purse.into_inner().expect("it has settled in");
        let Client { cell, market, person, .. } = self;
        AtTheDoor { cell, market, person, purse, worker, connection }
    }
}

impl AtTheDoor {
    /// Orders a list of jobs, each paid in by a voucher.
    pub async fn order(&mut self, list: usize, count: usize) -> Vec<JobId> {
        let (connection, market) = (&mut self.connection, &self.market);
        let (mut jobs, mut operations) = (Vec::new(), Vec::new());
        for number in 0..count {
            connection.ask(&self.purse.next()).await.good();
            let brief = format!("job {} {list} {number}", self.cell);
            let digest = market.keep(connection, &self.person, brief.as_bytes()).await;
            let id = JobId::derive(&[brief.as_bytes()]);
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let now = u64::try_from(now.expect("after 1970").as_millis()).expect("not so late");
            let terms = Terms {
                id,
                client: self.person.party,
                parent: None,
                skill: skill(),
                brief: digest.parse().expect("a digest"),
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
            jobs.push(id);
        }
        market.operate(connection, &self.person, &operations).await;
        jobs
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
    checkers: Inboxes,
}

/// Where each checker hears that it was drawn.
pub type Inboxes = Arc<HashMap<String, mpsc::UnboundedSender<(JobId, oneshot::Sender<()>)>>>;

impl Worker {
    pub fn new(cell: usize, market: &Market) -> Worker {
        Worker { market: market.clone(), person: Person::new("worker", cell) }
    }

    /// Pays in what it will have at stake, and offers its work.
    pub async fn settle_in(&self, connection: &mut Connection, token: &str) {
        let Worker { market, person } = self;
        Purse::open(person, market, connection, token, BUDGET, 1).await;
        wait_for_credit(connection, person).await;
        let offer = Offer {
            capacity: 1_000_000,
            checks: [CheckKind::Exact].into(),
            ..Offer::standard(offer_of(person.party), person.party, skill(), musd(PRICE))
        };
        market.operate(connection, person, &[plain(&Operation::Publish(offer))]).await;
    }

    pub async fn at_work(self, checkers: Inboxes) -> AtWork {
        let connection = Connection::to(&self.market.address).await;
        let Worker { market, person } = self;
        AtWork { market, person, connection, checkers }
    }
}

impl AtWork {
    /// Works at all that comes in, until nothing more does.
    pub async fn work(&mut self, mut inbox: mpsc::Receiver<Vec<JobId>>) {
        while let Some(jobs) = inbox.recv().await {
            self.work_at(&jobs).await;
        }
    }

    async fn work_at(&mut self, jobs: &[JobId]) {
        let (market, connection, person) = (&self.market, &mut self.connection, &self.person);
        let by = person.party;
        let mut found = Vec::with_capacity(jobs.len());
        let mut deliveries = Vec::with_capacity(jobs.len());
        for &job in jobs {
            let brief = market.brief(connection, person, &job.to_string()).await;
            let kept = market.keep(connection, person, answer(&brief).as_bytes()).await;
            let report = Report::Digest(kept.parse().expect("a digest"));
            let salt = salt(job, by);
            let delivery = Delivery::Sealed(report.commitment(job, by, &salt));
            deliveries.push(plain(&Operation::Submit { job, by, delivery }));
            found.push((job, report, salt));
        }
        market.operate(connection, person, &deliveries).await;
        let mut sealed = Vec::with_capacity(jobs.len());
        for &job in jobs {
            let checker = loop {
                let view = connection.get(&format!("/market/jobs/{job}")).await;
                let seat = &view["panels"][0]["seats"][0]["checker"];
                match seat.as_str() {
                    Some(checker) => break checker.to_owned(),
                    None => tokio::time::sleep(LOOK_AGAIN).await,
                }
            };
            let (told, done) = oneshot::channel();
            let inbox = self.checkers.get(&checker).expect("a checker of ours was drawn");
            inbox.send((job, told)).expect("it checks");
            sealed.push(done);
        }
        for done in sealed {
            done.await.expect("it has checked");
        }
        let open = |(job, report, salt)| plain(&Operation::RevealReport { job, by, report, salt });
        let opened: Vec<Value> = found.into_iter().map(open).collect();
        market.operate(connection, person, &opened).await;
    }
}

/// Nobody here cheats, so a salt need not be secret.
fn salt(job: JobId, by: Party) -> Digest {
    Digest::of(&[&job.as_u128().to_be_bytes(), by.as_bytes().as_slice()].concat())
}

async fn wait_for_credit(connection: &mut Connection, person: &Person) {
    loop {
        let view = connection.get(&format!("/market/parties/{}", person.party)).await;
        if view["free"]["minor"] != json!("0") {
            return;
        }
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
            wait_for_credit(connection, person).await;
            let stake = musd(i128::try_from(POOL.1).expect("small"));
            let enlist = Operation::Enlist { party: person.party, stake };
            self.market.operate(connection, person, &[plain(&enlist)]).await;
        }
    }

    /// Has them check what they hear of, until nobody is left who could tell them.
    pub async fn start(self) -> (Inboxes, Vec<tokio::task::JoinHandle<()>>) {
        let (mut inboxes, mut tasks) = (HashMap::new(), Vec::new());
        for person in self.people {
            let (sender, inbox) = mpsc::unbounded_channel();
            inboxes.insert(person.party.to_string(), sender);
            let market = self.market.clone();
            let connection = Connection::to(&market.address).await;
            tasks.push(tokio::spawn(check(market, person, connection, inbox)));
        }
        (Arc::new(inboxes), tasks)
    }
}

async fn check(
    market: Market,
    person: Person,
    mut connection: Connection,
    mut inbox: mpsc::UnboundedReceiver<(JobId, oneshot::Sender<()>)>,
) {
    let by = person.party;
    let mut drawn = Vec::new();
    while inbox.recv_many(&mut drawn, MOST_AT_ONCE).await > 0 {
        let mut operations = Vec::with_capacity(2 * drawn.len());
        for (job, _) in &drawn {
            let brief = market.brief(&mut connection, &person, &job.to_string()).await;
            let report = Report::Digest(Digest::of(answer(&brief).as_bytes()));
            let (job, salt) = (*job, salt(*job, by));
            let commitment = report.commitment(job, by, &salt);
            operations.push(plain(&Operation::CommitReport { job, by, commitment }));
            // It alone was drawn, so when it has sealed, all have.
            operations.push(plain(&Operation::RevealReport { job, by, report, salt }));
        }
        market.operate(&mut connection, &person, &operations).await;
        for (_, told) in drawn.drain(..) {
            told.send(()).expect("the worker waits");
        }
    }
}
