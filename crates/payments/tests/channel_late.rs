//! Deposits of unknown fate under identical requests. A facilitator carries out deposits late, after
//! gate and buyer have stopped waiting; buyers are dropped and start anew, the power fails at both,
//! answers are lost, and the very same request is bought again and again. Each answer that a purchase
//! is told must be its own, and charged: the same voucher for the same request gets the answer of
//! before, so who signs it twice is told twice what was charged once.

use crate::town;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ledger::Reference;
use mandates::books::Line;
use money::{Asset, Party};
use payments::channel::wallet::ChannelPolicy;
use payments::channel::{Collect, SCHEME, TillLimits};
use payments::wire::{PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse};
use payments::{Buyer, BuyerLimits, Facilitator, FacilitatorError, GateLimits};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use town::dice::Dice;
use town::meddler::{Meddler, Meddling};
use town::shop::Shop;
use town::{PRICE, Town, musd, seller};

const COST: i128 = PRICE as i128;
const CHANNEL: Option<&str> = Some(SCHEME);

/// A facilitator that carries out what it was handed, sooner or later, also where nobody waits any
/// more.
struct Late {
    real: Arc<dyn Facilitator>,
    /// Of ten settlements so many are late; which ones the dice say.
    often: u64,
    dice: Mutex<Dice>,
    /// A permit for each settlement that was handed in.
    reached: Semaphore,
    /// A permit for each late settlement that may go on.
    may_go: Arc<Semaphore>,
}

impl Late {
    fn before(real: Arc<dyn Facilitator>, often: u64, seed: u64) -> Arc<Late> {
        let dice = Mutex::new(Dice::of(seed));
        let (reached, may_go) = (Semaphore::new(0), Arc::new(Semaphore::new(0)));
        Arc::new(Late { real, often, dice, reached, may_go })
    }

    /// All that is late goes on, and nothing is late any more.
    fn ends(&self) {
        self.may_go.add_permits(1_000);
    }
}

impl Facilitator for Late {
    fn verify<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>> {
        self.real.verify(payment, requirements)
    }

    fn settle<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        let is_late = self.dice.lock().unwrap().roll(10) < self.often;
        self.reached.add_permits(1);
        let (real, may_go) = (self.real.clone(), self.may_go.clone());
        let (payment, requirements) = (payment.clone(), requirements.clone());
        let carrying = tokio::spawn(async move {
            if is_late {
                may_go.acquire().await.unwrap().forget();
            }
            real.settle(&payment, &requirements).await
        });
        Box::pin(async move { carrying.await.unwrap() })
    }
}

fn limits(lanes: u16) -> BuyerLimits {
    BuyerLimits {
        attempts: 2,
        request_wait: Duration::from_millis(500),
        channels: ChannelPolicy { lanes, ..ChannelPolicy::default() },
        ..BuyerLimits::default()
    }
}

async fn open(town: &Town, late: &Arc<Late>) -> Shop {
    let limits = GateLimits { settle_wait: Duration::from_millis(300), ..GateLimits::default() };
    town.channel_shop_with(late.clone(), limits, TillLimits::default()).await
}

/// What a purchase was told: the answer, and under which name it was paid for.
type Told = (bytes::Bytes, Reference);

/// What is posted on a line, by name.
fn posted(town: &Town, party: Party, line: Line) -> BTreeMap<Reference, Vec<i128>> {
    let mut found = BTreeMap::<Reference, Vec<i128>>::new();
    town.ledger.read(|state| {
        for record in state.entries_of(line.of(party, Asset::MUSD)) {
            if let Some((_, amount)) = record.posted() {
                found.entry(record.transfer.reference).or_default().push(amount.minor());
            }
        }
    });
    found
}

/// The first deposit comes to the chain only when the buyer has started anew, made a second one for the
/// same request and sent it: its answer is that of the first. When the first is booked, so is what
/// was charged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_later_deposit_was_told_is_booked_with_the_one_that_paid_for_it() {
    let town = Town::begin().await;
    let late = Late::before(town.channel_facilitator(), 10, 0);
    let shop = town.channel_shop_with(late.clone(), GateLimits::default(), TillLimits::default());
    let shop = shop.await;
    let between = Meddler::before(&shop, Vec::new()).await;
    let patient = BuyerLimits { request_wait: Duration::from_secs(20), ..limits(1) };
    let begin = |buyer: Buyer| {
        let purchase = between.purchase(&shop, "job:same");
        tokio::spawn(async move { buyer.buy_by(&purchase, CHANNEL).await })
    };
    let sent = async |payments: usize| {
        while between.seen.lock().unwrap().len() < payments {
            tokio::task::yield_now().await;
        }
    };
    let buyer = town.buyer_with(0x41, musd(100 * COST), musd(1_000 * COST), patient).await;
    let party = buyer.party();
    let lost = begin(buyer);
    late.reached.acquire().await.unwrap().forget();
    lost.abort();
    assert!(lost.await.is_err());
    let second = begin(town.same_buyer(0x41, patient));
    sent(2).await;
    late.ends();
    let second = second.await.unwrap().unwrap();
    assert_eq!(between.totals(), [PRICE.into(), PRICE.into()], "the same voucher twice");
    assert_eq!(shop.work.count(), 1);
    // The first deposit is in the channel, and the second never was.
    assert_eq!(town::canal::in_channels(&town).await, 10 * COST, "as the quote hints");
    town.bookkeeper(&[party]).reconcile(true).await.unwrap();
    let buyer = town.same_buyer(0x41, patient);
    let third = buyer.buy_by(&between.purchase(&shop, "job:same"), CHANNEL).await.unwrap();
    assert_ne!(second.body, third.body, "what was charged once was told twice");
    assert_ne!(second.paid.unwrap().reference, third.paid.unwrap().reference);
    assert_eq!(shop.work.count(), 2);
    let channels = buyer.channels().unwrap();
    assert_eq!(channels.len(), 1);
    let book = channels[0].book;
    assert_eq!((book.charged.minor(), book.held.minor()), (2 * COST, 0));
    assert_eq!(
        posted(&town, party, Line::Purchases),
        posted(&town, seller(), Line::Sales),
        "both books have the same charges"
    );
    town.clock.advance(Duration::from_secs(16 * 60));
    town.is_whole(&[party, seller()]).await;
}

struct History {
    town: Town,
    late: Arc<Late>,
    shop: Shop,
    between: Meddler,
    lanes: u16,
    buyer: Arc<Buyer>,
    /// Purchases in hand.
    tasks: Vec<tokio::task::JoinHandle<()>>,
    tell: UnboundedSender<Told>,
}

impl History {
    fn buy(&mut self, body: &str) {
        let (buyer, tell) = (self.buyer.clone(), self.tell.clone());
        let purchase = self.between.purchase(&self.shop, body);
        self.tasks.push(tokio::spawn(async move {
            if let Ok(bought) = buyer.buy_by(&purchase, CHANNEL).await
                && bought.status == 200
            {
                let _ = tell.send((bought.body, bought.paid.expect("it costs").reference));
            }
        }));
    }

    async fn rests(&mut self) {
        for task in self.tasks.drain(..) {
            task.await.unwrap();
        }
    }

    async fn reconcile(&self) {
        let parties = [self.buyer.party(), seller()];
        self.town.bookkeeper(&parties).reconcile(true).await.unwrap();
    }

    /// The buyer's process ends, and another begins as the program does: it resolves before it buys.
    async fn buyer_dies(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
        self.buyer = Arc::new(self.town.same_buyer(0x41, limits(self.lanes)));
        self.reconcile().await;
    }

    /// The power fails at buyer and gate, and the facilitator goes on.
    async fn power_fails(mut self) -> History {
        for task in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
        let turns = self.shop.work.count();
        drop(self.shop);
        let town = self.town.crash().await;
        let shop = open(&town, &self.late).await;
        // Answers are told apart by their number.
        shop.work.begun.store(turns + 1_000, Ordering::SeqCst);
        self.between.leads_to(&shop);
        let buyer = Arc::new(town.same_buyer(0x41, limits(self.lanes)));
        let history = History { town, shop, buyer, ..self };
        history.reconcile().await;
        history
    }
}

/// Lives through one history, and tells how many purchases were told an answer, and how many deposits
/// were late.
async fn live(seed: u64) -> usize {
    let mut dice = Dice::of(seed);
    let town = Town::begin().await;
    let late = Late::before(town.channel_facilitator(), 1 + dice.roll(7), seed ^ 0x1a7e);
    let shop = open(&town, &late).await;
    let between = Meddler::before(&shop, Vec::new()).await;
    let lanes = dice.pick(&[1, 1, 4]);
    let buyer = town.buyer_with(0x41, musd(200 * COST), musd(1_000 * COST), limits(lanes)).await;
    let (tell, mut tells) = unbounded_channel();
    let buyer = Arc::new(buyer);
    let mut history = History { town, late, shop, between, lanes, buyer, tasks: vec![], tell };
    for _ in 0..14 + dice.roll(10) {
        match dice.roll(14) {
            0..=6 => {
                use Meddling::{LoseAnswer, LoseRequest, Pass};
                let faults = (0..2).map(|_| dice.pick(&[0, 0, 0, 1, 1, 2]));
                let faults = faults.map(|fault| [Pass, LoseAnswer, LoseRequest][fault].clone());
                history.between.then(faults.collect());
                for _ in 0..=dice.roll(2) {
                    history.buy(dice.pick(&["job:same", "job:same", "job:same", "job:other"]));
                }
            }
            7 | 8 => history.late.may_go.add_permits(1),
            9 => history.rests().await,
            10 => {
                history.rests().await;
                history.reconcile().await;
            }
            11 | 12 => history.buyer_dies().await,
            _ => history = history.power_fails().await,
        }
        // The moment at which the next thing happens is drawn as well.
        tokio::time::sleep(Duration::from_micros(dice.roll(60_000))).await;
    }
    // All that was late comes; deposits that never came end; then all that was lost is told.
    history.late.ends();
    history.between.then(Vec::new());
    history.rests().await;
    history = history.power_fails().await;
    history.town.clock.advance(Duration::from_secs(16 * 60));
    history.town.give(seller(), musd(1)).await;
    history.reconcile().await;
    for number in 0..2 {
        history.buy(&format!("job:last:{number}"));
        history.rests().await;
    }
    history.shop.gate.collect(Collect::All).await;
    history.reconcile().await;
    let mut told: Vec<Told> = Vec::new();
    while let Ok(one) = tells.try_recv() {
        told.push(one);
    }
    check(&history, &told, seed).await;
    told.len()
}

async fn check(history: &History, told: &[Told], seed: u64) {
    let (town, party) = (&history.town, history.buyer.party());
    let bought = posted(town, party, Line::Purchases);
    let sold = posted(town, seller(), Line::Sales);
    let answers: HashSet<_> = told.iter().map(|(body, _)| body).collect();
    // In lanes a total comes again where another failed, for another request, and is charged again.
    let mut names = BTreeMap::<Reference, usize>::new();
    for (_, reference) in told {
        *names.entry(*reference).or_default() += 1;
    }
    assert_eq!(answers.len(), told.len(), "seed {seed}: one answer, two purchases: {told:?}");
    for (reference, times) in names {
        assert!(
            history.lanes > 1 || times == 1,
            "seed {seed}: one charge, two purchases: {told:?}"
        );
        for book in [&sold, &bought] {
            let charges = book.get(&reference).map_or(&[][..], Vec::as_slice);
            assert!(charges.iter().all(|charge| *charge == COST), "seed {seed}: {charges:?}");
            assert!(times <= charges.len(), "seed {seed}: {times} told, {charges:?} booked");
        }
    }
    for channel in history.buyer.channels().unwrap() {
        assert_eq!(channel.stopped, None, "seed {seed}: nobody lied");
    }
    let sum = |book: &BTreeMap<Reference, Vec<i128>>| book.values().flatten().sum::<i128>();
    assert_eq!(sum(&bought), sum(&sold), "seed {seed}: {bought:?} and {sold:?}");
    if history.lanes == 1 {
        assert_eq!(bought, sold, "seed {seed}: each charge is in both books, under one name");
    }
    town.is_whole(&[party, seller()]).await;
    town.ledger.verify().unwrap();
}

/// `LATE_SEEDS=from..to` chooses other histories.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_late_a_deposit_came_each_purchase_is_told_its_own_answer() {
    let chosen = std::env::var("LATE_SEEDS").ok();
    let (from, to) = chosen
        .as_deref()
        .and_then(|chosen| chosen.split_once(".."))
        .map_or((0, 24), |(from, to)| (from.parse().unwrap(), to.parse().unwrap()));
    let mut seeds = from..to;
    let mut living = tokio::task::JoinSet::new();
    let mut told = 0;
    loop {
        while living.len() < 8
            && let Some(seed) = seeds.next()
        {
            living.spawn(async move {
                let told = live(seed).await;
                eprintln!("seed {seed}: {told} told");
                told
            });
        }
        match living.join_next().await {
            Some(one) => told += one.unwrap(),
            None => break,
        }
    }
    // The histories are worth their time only if much happens in them.
    assert!(told as u64 > (to - from) * 3, "{told} purchases were told an answer");
}
