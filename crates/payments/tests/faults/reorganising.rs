//! A chain that takes back blocks, under gate, buyer and bookkeeper: two real nodes with one past,
//! and a way to them that changes over.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes};
use alloy_signer_local::PrivateKeySigner;
use chain::Node;
use ledger::{Kind, Reference, TransferId, Write};
use mandates::books::{Entry, Line};
use payments::channel::{self, Collect};
use payments::{Bookkeeper, BuyerLimits};
use serde_json::{Value, json};
use settlement::{LocalNode, SenderLimits, Settlement};

use crate::town::vouchers::{COSTS, Client};
use crate::town::{self, PRICE, Town, musd, person, seller};

const PRICED: i128 = PRICE as i128;
const WALLET: i128 = 100 * PRICED;

/// A way to a node that keeps what is sent, so that another node can be given a part of it.
pub(super) struct Fork {
    pub(super) node: Mutex<Node>,
    /// The transactions that were sent, in order.
    pub(super) sent: Mutex<Vec<Value>>,
    /// The newest block that is called final; the node itself calls all so.
    final_block: Mutex<u64>,
    /// Whether it takes transactions: not between a reorganisation and the look at what it left.
    takes: tokio::sync::watch::Sender<bool>,
    this: Weak<Fork>,
    /// How often somebody asked for a receipt and was told.
    pub(super) receipts: std::sync::atomic::AtomicUsize,
}

impl Fork {
    /// Senders may send again what vanished.
    pub(super) fn goes_on(&self) {
        self.takes.send_replace(true);
    }
}

impl LocalNode for Fork {
    fn request(&self, mut request: Value) -> Pin<Box<dyn Future<Output = Value> + Send>> {
        let method = request["method"].as_str().unwrap_or_default().to_string();
        if method == "eth_getBlockByNumber" && request["params"][0] == "finalized" {
            request["params"][0] = json!(format!("{:#x}", *self.final_block.lock().unwrap()));
        }
        // What is asked is asked of the node of now; what is sent waits for its turn.
        let node = self.node.lock().unwrap().clone();
        if !method.starts_with("eth_sendRawTransaction") {
            let this = self.this.clone();
            return Box::pin(async move {
                let answer = node.request(request).await;
                if let (Some(fork), "eth_getTransactionReceipt") = (this.upgrade(), &*method) {
                    fork.receipts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
                answer
            });
        }
        let mut takes = self.takes.subscribe();
        let this = self.this.clone();
        Box::pin(async move {
            let _ = takes.wait_for(|takes| *takes).await;
            let Some(fork) = this.upgrade() else { return json!({ "nonsense": true }) };
            fork.sent.lock().unwrap().push(request["params"][0].clone());
            let node = fork.node.lock().unwrap().clone();
            node.request(request).await
        })
    }
}

/// A town whose money moves by way of a fork. What was given before is final.
pub(super) async fn forked(confirmations: u64) -> (Town, Arc<Fork>) {
    let mut town = Town::begin().await;
    let fork = Arc::new_cyclic(|this| Fork {
        node: Mutex::new(town.node.clone()),
        sent: Mutex::default(),
        final_block: Mutex::new(0),
        takes: tokio::sync::watch::channel(true).0,
        this: this.clone(),
        receipts: std::sync::atomic::AtomicUsize::new(0),
    });
    let limits = SenderLimits {
        confirmations: Some(confirmations),
        resend_after: Duration::from_millis(50),
        ..SenderLimits::default()
    };
    town.chain = town::connect_by(fork.clone(), town::sender(), limits).await;
    // The mint is a person's like others here: what it gives goes through the same wire.
    town.mint = town::connect_by(
        fork.clone(),
        town::minter(),
        SenderLimits { confirmations: Some(0), ..limits },
    )
    .await;
    (town, fork)
}

/// The chain takes back all but the first so many transactions, and takes no other until the fork
/// [goes on](Fork::goes_on).
pub(super) async fn reorganise(town: Town, fork: &Fork, kept: usize) -> Town {
    let town = take_back(town, fork, kept).await;
    change_over(&town, fork);
    town
}

/// The town's node has another past from here on; all who use the wire see the old one still.
async fn take_back(mut town: Town, fork: &Fork, kept: usize) -> Town {
    fork.takes.send_replace(false);
    let node = town::another_node(&town.clock);
    let sent: Vec<Value> = fork.sent.lock().unwrap().drain(..).collect();
    for raw in &sent[..kept] {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransactionSync", "params": [raw] });
        let answer = node.request(request).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }
    fork.sent.lock().unwrap().extend(sent.into_iter().take(kept));
    town.node = node;
    town
}

fn change_over(town: &Town, fork: &Fork) {
    *fork.node.lock().unwrap() = town.node.clone();
}

/// Seals so many more blocks, past all wires.
pub(super) async fn passes(town: &Town, blocks: usize) {
    for _ in 0..blocks {
        town::transact(town, &person(0x7b), Address::repeat_byte(1), Bytes::new()).await;
    }
}

async fn mined(town: &Town, party: money::Party, minor: i128) {
    while town.owns(party).await != minor {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purchase_whose_block_vanishes_is_made_once_and_told_when_it_is_safe() {
    let (town, fork) = forked(2).await;
    let buyer = Arc::new(town.buyer(0x41, musd(WALLET)).await);
    let shop = town.shop().await;
    passes(&town, 3).await;
    town.bookkeeper(&[buyer.party(), seller()]).reconcile(true).await.unwrap();
    let before = fork.sent.lock().unwrap().len();
    let buying = {
        let (buyer, purchase) = (buyer.clone(), shop.purchase("job:1"));
        tokio::spawn(async move { buyer.buy(&purchase).await })
    };
    // Its transaction stands in a block, on which too few others stand to count.
    mined(&town, seller(), PRICED).await;
    assert!(!buying.is_finished());
    // Neither book has it as done, and the money is set aside in both.
    assert_eq!(town.line(seller(), Line::Sales), (0, PRICED));
    assert_eq!(town.line(buyer.party(), Line::Purchases), (0, PRICED));
    // Looked at before the wire changes over: right after it the transaction may be there again.
    let town = take_back(town, &fork, before).await;
    let count = json!([town.chain.sender(), "latest"]);
    assert_eq!(town::rpc(&town, "eth_getTransactionCount", count).await, "0x0", "it is gone");
    change_over(&town, &fork);
    assert!(!buying.is_finished());
    fork.goes_on();
    // It is sent again, and counts once enough stands on it.
    mined(&town, seller(), PRICED).await;
    let mut buying = buying;
    let bought = loop {
        tokio::select! {
            bought = &mut buying => break bought.unwrap().unwrap(),
            () = passes(&town, 1) => {}
        }
    };
    assert_eq!(bought.paid.unwrap().amount, musd(PRICED));
    assert_eq!((shop.work.count(), town.owns(seller()).await), (1, PRICED));
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_came_in_a_block_that_vanishes_was_never_booked() {
    let (town, fork) = forked(2).await;
    let buyer = town.buyer(0x41, musd(WALLET)).await;
    passes(&town, 3).await;
    let keeper = town.bookkeeper(&[buyer.party(), seller()]);
    keeper.reconcile(true).await.unwrap();
    assert_eq!(town.line(buyer.party(), Line::Funding).0, WALLET);
    let kept = fork.sent.lock().unwrap().len();
    town.give(buyer.party(), musd(7)).await;
    assert_eq!(town.owns(buyer.party()).await, WALLET + 7);
    let found = keeper.reconcile(true).await.unwrap();
    assert_eq!((found.booked, found.breaks), (0, vec![]), "nothing that may vanish is booked");
    let town = reorganise(town, &fork, kept).await;
    fork.goes_on();
    passes(&town, 5).await;
    let found = keeper.reconcile(true).await.unwrap();
    assert_eq!(found.breaks, []);
    assert_eq!(town.line(buyer.party(), Line::Cash), (WALLET, 0));
    assert_eq!(town.owns(buyer.party()).await, WALLET);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reorganisation_deeper_than_was_waited_for_is_told_and_mended_by_the_next_payment() {
    let (town, fork) = forked(0).await;
    let buyer = town.buyer(0x41, musd(WALLET)).await;
    let shop = town.shop().await;
    let parties = [buyer.party(), seller()];
    town.is_whole(&parties).await;
    let kept = fork.sent.lock().unwrap().len();
    buyer.buy(&shop.purchase("job:1")).await.unwrap();
    town.is_whole(&parties).await;
    // What was told as paid is gone: the books say so, and nothing is plugged.
    let town = reorganise(town, &fork, kept).await;
    let found = town.bookkeeper(&parties).reconcile(true).await.unwrap();
    let differs: Vec<_> =
        found.breaks.iter().map(|b| (b.party, b.books.minor() - b.chain.minor())).collect();
    assert_eq!(differs.len(), 2, "{:?}", found.breaks);
    assert_eq!(town.line(seller(), Line::Sales), (PRICED, 0));
    fork.goes_on();
    // The payment is signed still, and comes back before the next one of the same sender.
    buyer.buy(&shop.purchase("job:2")).await.unwrap();
    assert_eq!((shop.work.count(), town.owns(seller()).await), (2, 2 * PRICED));
    town.is_whole(&parties).await;
}

/// A way to the same chain by which a block counts only once so many stand on it.
async fn patient(fork: &Arc<Fork>, confirmations: u64) -> Settlement {
    let limits = SenderLimits { confirmations: Some(confirmations), ..SenderLimits::default() };
    let nobody = PrivateKeySigner::from_bytes(&B256::repeat_byte(0x7a)).unwrap();
    town::connect_by(fork.clone(), nobody, limits).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_are_compared_where_blocks_need_confirmations_but_for_what_moves() {
    let (town, fork) = forked(0).await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let keeper = Bookkeeper::new(
        town.ledger.clone(),
        town.mandates.clone(),
        patient(&fork, 2).await,
        town.clock.clone(),
        vec![seller()],
        0,
    );
    // The gate has booked a deposit that does not count for the bookkeeper yet.
    assert_eq!(shop.pay(&client.voucher(COSTS), "job:1").await.status, 200);
    let found = keeper.reconcile(true).await.unwrap();
    assert_eq!((found.breaks, found.not_compared), (vec![], 1));
    passes(&town, 2).await;
    let found = keeper.reconcile(true).await.unwrap();
    assert_eq!((found.breaks, found.not_compared), (vec![], 0));
    // A claim and a payout that do not count yet.
    assert_eq!(shop.gate.collect(Collect::All).await.claimed, COSTS);
    let found = keeper.reconcile(true).await.unwrap();
    assert_eq!((found.breaks, found.not_compared), (vec![], 1));
    passes(&town, 2).await;
    let found = keeper.reconcile(true).await.unwrap();
    assert_eq!((found.breaks, found.not_compared), (vec![], 0));
    let wrong = Entry {
        id: TransferId::derive("test/wrong", &[]),
        book: seller(),
        debit: Line::Escrow,
        credit: Line::Funding,
        amount: musd(7),
        kind: Kind::Financial,
        counterparty: seller(),
        reference: Reference::NONE,
        digest: [0; 32],
        hold_until: None,
    };
    assert!(town.ledger.submit(Write::operation(wrong.transfer())).await.unwrap().holds());
    let found = keeper.reconcile(true).await.unwrap();
    assert_eq!(found.breaks.len(), 1, "{found:?}");
    let b = &found.breaks[0];
    let left = 9 * PRICED;
    assert_eq!((b.account.as_str(), b.books, b.chain), ("escrow", musd(left + 7), musd(left)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposit_that_does_not_count_yet_makes_nobody_a_liar() {
    const CHANNEL: Option<&str> = Some(channel::SCHEME);
    let (mut town, fork) = forked(0).await;
    let shop = town.channel_shop().await;
    let limits = BuyerLimits { attempts: 2, ..BuyerLimits::default() };
    let before = town.buyer_with(0x41, musd(WALLET), musd(2 * WALLET), limits).await;
    drop(before);
    // The seller takes a block at once, the buyer once two stand on it.
    town.chain = patient(&fork, 2).await;
    let buyer = town.same_buyer(0x41, limits);
    for number in 1..=2 {
        let bought = buyer.buy_by(&shop.purchase(&format!("job:{number}")), CHANNEL).await.unwrap();
        assert_eq!(bought.paid.unwrap().amount, musd(PRICED));
    }
    let stopped = |channel: channel::wallet::Channel| channel.stopped;
    assert!(buyer.channels().unwrap().into_iter().map(stopped).all(|why| why.is_none()));
    passes(&town, 3).await;
    town.is_whole(&[buyer.party(), seller()]).await;
    // Both deposits count: the first channel goes on where its seller left it.
    let put_in = town::canal::in_channels(&town).await;
    buyer.buy_by(&shop.purchase("job:3"), CHANNEL).await.unwrap();
    assert_eq!(town::canal::in_channels(&town).await, put_in, "nothing is put in again");
    assert!(buyer.channels().unwrap().into_iter().map(stopped).all(|why| why.is_none()));
    assert_eq!(shop.work.count(), 3);
    passes(&town, 3).await;
    town.is_whole(&[buyer.party(), seller()]).await;
}
