//! Escrowed payments where callers give up, nodes refuse to look far, and strangers put money of their
//! own into our transactions.

use crate::town;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::U256;
use alloy_sol_types::SolCall as _;
use chain::Node;
use mandates::books::Line;
use payments::escrow::EscrowError;
use payments::{GateLimits, auth_capture};
use protocol::bindings::TransferBySignature;
use serde_json::{Value, json};
use settlement::escrow::{CONTRACT, SignedEscrow};
use settlement::{LocalNode, SenderLimits, SignedAuthorization, WrappedSignature};
use tokio::sync::Semaphore;
use town::escrow;
use town::faulty::{Fault, Faulty};
use town::{PRICE, Town, musd, person, seller};

const COSTS: i128 = PRICE as i128;
const WALLET: i128 = 1_000_000;

/// Which questions for the escrow's events a node refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refuses {
    Nothing,
    /// Those for more blocks than this.
    MoreThan(u64),
    /// Those for what became of one payment, however few blocks.
    Histories,
}

/// A way to the town's node that can hold back what is sent and refuse to look.
struct Wire {
    node: Node,
    holds: AtomicBool,
    /// A permit for each transaction that was held back.
    held: Semaphore,
    /// What is held back goes on with a permit from here.
    goes: Arc<Semaphore>,
    refuses: Mutex<Refuses>,
    /// For how many blocks the escrow's events were asked, each time.
    asked: Mutex<Vec<u64>>,
    /// A permit for each time the escrow's events were told.
    told: Semaphore,
}

impl Wire {
    fn refuse(&self, what: Refuses) {
        *self.refuses.lock().unwrap() = what;
        self.asked.lock().unwrap().clear();
    }

    /// Whether this question is refused; notes the escrow's.
    fn is_refused(&self, request: &Value) -> bool {
        let filter = &request["params"][0];
        let address = filter["address"].as_str().unwrap_or_default();
        if request["method"] != "eth_getLogs"
            || !address.eq_ignore_ascii_case(&CONTRACT.to_string())
        {
            return false;
        }
        let block = |end: &str| {
            let number = filter[end].as_str().and_then(|text| text.strip_prefix("0x"));
            u64::from_str_radix(number.unwrap(), 16).unwrap()
        };
        let blocks = block("toBlock") - block("fromBlock") + 1;
        self.asked.lock().unwrap().push(blocks);
        match *self.refuses.lock().unwrap() {
            Refuses::Nothing => {
                self.told.add_permits(1);
                false
            }
            Refuses::MoreThan(most) => blocks > most,
            Refuses::Histories => !filter["topics"][1].is_null(),
        }
    }
}

impl LocalNode for Wire {
    fn request(&self, request: Value) -> Pin<Box<dyn Future<Output = Value> + Send>> {
        if self.is_refused(&request) {
            let error = json!({ "code": -32005, "message": "too many blocks or events" });
            let answer = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
            return Box::pin(std::future::ready(answer));
        }
        let node = self.node.clone();
        let method = request["method"].as_str().unwrap_or_default();
        if !method.starts_with("eth_sendRawTransaction") || !self.holds.load(Ordering::SeqCst) {
            return Box::pin(async move { node.request(request).await });
        }
        let goes = self.goes.clone();
        // It is on its way, whoever waits for its answer.
        let sent = tokio::spawn(async move {
            goes.acquire().await.unwrap().forget();
            node.request(request).await
        });
        self.held.add_permits(1);
        Box::pin(async move { sent.await.unwrap() })
    }
}

/// A town that reaches its chain by such a wire.
async fn wired() -> (Town, Arc<Wire>) {
    let mut town = Town::begin().await;
    let wire = Arc::new(Wire {
        node: town.node.clone(),
        holds: AtomicBool::new(false),
        held: Semaphore::new(0),
        goes: Arc::new(Semaphore::new(0)),
        refuses: Mutex::new(Refuses::Nothing),
        asked: Mutex::default(),
        told: Semaphore::new(0),
    });
    town.chain = town::connect_by(wire.clone(), town::sender(), SenderLimits::default()).await;
    (town, wire)
}

/// A job of a stranger's, unpaid yet.
async fn job(town: &Town) -> SignedEscrow {
    let payer = person(0x21);
    town.give(payer.party(), musd(WALLET)).await;
    let order = escrow::order(town, payer.party(), 1, escrow::terms(town));
    escrow::sign(town, &payer, order)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_capture_of_part_whose_caller_gives_up_is_made_once() {
    let (town, wire) = wired().await;
    let job = job(&town).await;
    let agent = town.facilitator().escrow_agent();
    agent.authorize(&job).await.unwrap();
    let capture = |total: i128| {
        let (agent, job) = (agent.clone(), job.clone());
        tokio::spawn(async move { agent.capture(&job, musd(total)).await })
    };
    wire.holds.store(true, Ordering::SeqCst);
    let impatient = capture(3_000);
    wire.held.acquire().await.unwrap().forget();
    impatient.abort();
    assert!(impatient.await.unwrap_err().is_cancelled());
    // Whoever asks again still sees nothing captured, and waits for what was begun.
    wire.told.forget_permits(usize::MAX >> 3);
    let again = capture(3_000);
    wire.told.acquire().await.unwrap().forget();
    let sent = tokio::time::timeout(Duration::from_millis(200), wire.held.acquire()).await;
    assert!(sent.is_err(), "a second capture was sent beside the first");
    wire.goes.add_permits(10);
    let again = again.await.unwrap();
    assert!(matches!(again, Err(EscrowError::Moved { .. })), "{again:?}");
    let history = agent.capture(&job, musd(3_000)).await.unwrap();
    assert_eq!((history.captured(), town.owns(seller()).await), (U256::from(3_000), 3_000));
    let history = agent.capture(&job, musd(5_000)).await.unwrap();
    assert_eq!((history.captured(), town.owns(seller()).await), (U256::from(5_000), 5_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_waits_no_longer_has_its_capture_of_part_made_once() {
    let (town, wire) = wired().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(WALLET)).await;
    let terms = escrow::terms(&town);
    let limits = GateLimits { settle_wait: Duration::from_millis(500), ..Default::default() };
    let shop = town.shop_of(town.facilitator(), limits, escrow::only(terms)).await;
    let payment = escrow::payment(&town, &payer, 1, terms);
    // The authorization goes through, the capture does not.
    wire.holds.store(true, Ordering::SeqCst);
    wire.goes.add_permits(1);
    for _ in 0..20 {
        let answer = shop.pay(&payment, "used:2500").await;
        assert_eq!(answer.status, 503, "{}", answer.text);
        if wire.held.available_permits() > 1 {
            break;
        }
    }
    // Each of these asks for the capture again until the gate has waited enough.
    for _ in 0..2 {
        assert_eq!(shop.pay(&payment, "used:2500").await.status, 503);
        assert_eq!(wire.held.available_permits(), 2, "a second capture was sent");
    }
    wire.goes.add_permits(10);
    let mut answer = shop.pay(&payment, "used:2500").await;
    for _ in 0..20 {
        if answer.status == 200 {
            break;
        }
        answer = shop.pay(&payment, "used:2500").await;
    }
    assert_eq!((answer.status, shop.work.count()), (200, 1), "{}", answer.text);
    assert_eq!(town.owns(seller()).await, 2_500);
    assert_eq!(town.owns(payer.party()).await, WALLET - 2_500);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn events_that_a_node_finds_too_many_at_once_are_read_in_pieces() {
    let (town, wire) = wired().await;
    let job = job(&town).await;
    let agent = town.facilitator().escrow_agent();
    let first = town.block().await;
    agent.authorize(&job).await.unwrap();
    for total in [3_000, 5_000] {
        for _ in 0..3 {
            town.give(seller(), musd(1)).await;
        }
        agent.capture(&job, musd(total)).await.unwrap();
    }
    let whole = agent.history(&job).await.unwrap();
    assert_eq!((whole.events.len(), whole.captured()), (3, U256::from(5_000)));
    let last = town.block().await;
    let all = town.chain.escrow_events(first, last).await.unwrap();
    for most in [4, 3, 1] {
        wire.refuse(Refuses::MoreThan(most));
        assert_eq!(agent.history(&job).await.unwrap().events, whole.events, "{most} at once");
        assert_eq!(town.chain.escrow_events(first, last).await.unwrap(), all, "{most} at once");
        let asked = wire.asked.lock().unwrap().clone();
        assert!(asked.iter().any(|blocks| *blocks > most), "{asked:?}");
        assert!(asked.iter().any(|blocks| *blocks <= most), "{asked:?}");
    }
    // A node that refuses one block, too, is not asked for ever.
    wire.refuse(Refuses::MoreThan(0));
    assert!(town.chain.escrow_events(first, last).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_a_node_refuses_stops_nobody_elses_books() {
    let (town, wire) = wired().await;
    let terms = escrow::terms(&town);
    let faulty = Faulty::new(town.facilitator(), &[Fault::HangsAfter]);
    let shop = town.shop_of(faulty.clone(), GateLimits::default(), escrow::only(terms)).await;
    let buyer = Arc::new(town.buyer(0x31, musd(WALLET)).await);
    let party = buyer.party();
    let purchase = shop.purchase("hello");
    let hopeful = tokio::spawn(async move { buyer.buy(&purchase).await.map(drop) });
    // Its money is in escrow, and its buyer dies before it has booked that.
    faulty.is_reached().await;
    hopeful.abort();
    assert!(hopeful.await.unwrap_err().is_cancelled());
    drop(shop);
    assert_eq!(town.line(party, Line::Escrow), (0, COSTS));
    let other = person(0x32).party();
    town.mandates.open_book(other, money::Asset::MUSD).await.unwrap();
    town.give(other, musd(500)).await;
    wire.refuse(Refuses::Histories);
    let keeper = town.bookkeeper(&[party, other]);
    for _ in 0..2 {
        let found = keeper.reconcile(true).await.unwrap();
        assert_eq!((found.posted, found.released), (0, 0), "nobody knows what became of it");
        assert_eq!(town.line(other, Line::Cash), (500, 0));
        assert_eq!(town.line(party, Line::Escrow), (0, COSTS), "the hold stays");
    }
    wire.refuse(Refuses::Nothing);
    assert_eq!(keeper.reconcile(true).await.unwrap().posted, 1);
    assert_eq!(town.line(party, Line::Escrow), (COSTS, 0));
    town.is_whole(&[party, other]).await;
}

/// The escrowed payment that a buyer of ours has signed and nobody has carried to the chain.
fn signed_by_a_buyer(town: &Town) -> SignedEscrow {
    let held: Vec<_> =
        town.ledger.read(|s| s.holds().map(|hold| hold.transfer.reference).collect());
    held.into_iter()
        .flat_map(|reference| town.ledger.evidence(reference).unwrap())
        .find(|d| d.evidence.stage == payments::buyer::stage::PAYMENT)
        .map(|d| {
            let payment: payments::wire::PaymentPayload =
                serde_json::from_slice(&d.evidence.body).unwrap();
            auth_capture::read(&payment.payload, &payment.accepted).unwrap().signed
        })
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gift_in_the_transaction_of_a_payment_is_booked_beside_it() {
    // As large as the payment, too: then only the direction tells one from the other.
    for gift in [7, COSTS] {
        let town = Town::begin().await;
        let terms = escrow::terms(&town);
        let faulty = Faulty::new(town.facilitator(), &[Fault::HangsBefore]);
        let shop = town.shop_of(faulty.clone(), GateLimits::default(), escrow::only(terms)).await;
        let buyer = Arc::new(town.buyer(0x31, musd(WALLET)).await);
        let party = buyer.party();
        let purchase = shop.purchase("hello");
        let hopeful = tokio::spawn(async move { buyer.buy(&purchase).await.map(drop) });
        faulty.is_reached().await;
        hopeful.abort();
        assert!(hopeful.await.unwrap_err().is_cancelled());
        drop(shop);
        // Whoever wraps the payer's signature (EIP-6492) has the collector call what it likes first.
        let giver = person(0x44);
        town.give(giver.party(), musd(gift)).await;
        let order = SignedAuthorization {
            to: party.into(),
            value: U256::try_from(gift).unwrap(),
            ..town.order(&giver, 1)
        };
        let order = town.sign(&giver, order);
        let call = TransferBySignature {
            from: order.from,
            to: order.to,
            value: order.value,
            validAfter: order.valid_after,
            validBefore: order.valid_before,
            nonce: order.nonce,
            signature: order.signature,
        };
        let signed = signed_by_a_buyer(&town);
        let wrapped = WrappedSignature {
            factory: town.token().address,
            call: call.abi_encode().into(),
            inner: signed.signature.clone(),
        };
        let wrapped = SignedEscrow { signature: wrapped.write(), ..signed };
        town.facilitator().escrow_agent().authorize(&wrapped).await.unwrap();
        assert_eq!(town.owns(party).await, WALLET - COSTS + gift);
        let keeper = town.bookkeeper(&[party]);
        let found = keeper.reconcile(true).await.unwrap();
        assert_eq!((found.posted, found.breaks), (1, vec![]), "a gift of {gift}");
        assert_eq!(town.line(party, Line::Cash), (WALLET - COSTS + gift, 0));
        assert_eq!(town.line(party, Line::Funding), (WALLET + gift, 0));
        assert_eq!(town.line(party, Line::Escrow), (COSTS, 0));
        // Once, also by a bookkeeper that starts from the beginning.
        town.is_whole(&[party]).await;
        assert_eq!(town.line(party, Line::Funding), (WALLET + gift, 0));
    }
}
