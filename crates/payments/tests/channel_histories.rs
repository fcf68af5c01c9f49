//! Random histories of channels: payers in step and in lanes, work that fails or is metered, vouchers
//! sent twice, late, out of order and for other requests, buyers who hang up, power that fails,
//! claims in between. However it went, invariants 1 to 3 and 6 hold at the end. Each seed gives one
//! plan; what the tasks do between two of its steps is up to the scheduler, so a seed may end
//! differently, and must end well each time.

use crate::town;

use std::collections::HashMap;
use std::time::Duration;

use mandates::books::Line;
use payments::channel::Collect;
use payments::wire::PaymentPayload;
use town::dice::{Dice, seeds};
use town::shop::{Answer, Shop};
use town::vouchers::{COSTS, Client, charged, corrected};
use town::{Town, canal, seller};

const CHANNELS: u8 = 3;
const FUNDS: u128 = 150 * COSTS;

/// What somebody sent.
#[derive(Clone)]
struct Sent {
    payment: PaymentPayload,
    body: String,
}

/// A payer who remembers what it signed and what it was told.
struct Payer {
    client: Client,
    /// The greatest total that it signed.
    signed: u128,
    /// What was charged, as it was told last.
    charged: u128,
    lanes: bool,
}

#[derive(Default)]
struct Seen {
    /// How often work began on each body.
    jobs: HashMap<bytes::Bytes, usize>,
    /// Answers that were paid for, by what was sent.
    paid: Vec<(Sent, Answer)>,
    crashes: usize,
}

impl Seen {
    fn close(&mut self, shop: &Shop) {
        for (body, times) in shop.work.jobs.lock().unwrap().drain() {
            *self.jobs.entry(body).or_default() += times;
        }
    }
}

impl Payer {
    fn next(&mut self, body: String) -> Sent {
        let payment = if self.lanes {
            self.signed += COSTS;
            self.client.ahead(self.signed)
        } else {
            self.signed = self.signed.max(self.charged + COSTS);
            self.client.voucher(self.charged + COSTS)
        };
        Sent { payment, body }
    }

    fn hear(&mut self, answer: &Answer) {
        let total = |value: serde_json::Value| value.as_str().and_then(|t| t.parse::<u128>().ok());
        let told = match answer.status {
            200 => total(town::vouchers::state(answer, "chargedCumulativeAmount")),
            402 if answer.quote.is_some() => {
                if let Some(signed) = total(corrected(answer, "voucherState", "signedMaxClaimable"))
                {
                    self.signed = self.signed.max(signed);
                }
                total(corrected(answer, "channelState", "chargedCumulativeAmount"))
            }
            _ => None,
        };
        self.charged = self.charged.max(told.unwrap_or_default());
    }
}

async fn live(seed: u64) -> (Town, Vec<Payer>, Seen) {
    let mut dice = Dice::of(seed);
    let mut town = Town::begin().await;
    let mut payers = Vec::new();
    for salt in 0..CHANNELS {
        let client = Client::funded(&town, 0x31 + salt, salt, FUNDS).await;
        payers.push(Payer { client, signed: 0, charged: 0, lanes: salt % 2 == 1 });
    }
    let mut seen = Seen::default();
    let mut shop = town.channel_shop().await;
    let mut all: Vec<Sent> = Vec::new();
    for wave in 0..5u64 {
        let mut commits = town.ledger.subscribe();
        let mut tasks = Vec::new();
        for job in 0..14u64 {
            let who = usize::try_from(dice.roll(u64::from(CHANNELS))).unwrap();
            let kind = dice.pick(&["job", "job", "job", "used:2500", "used:0", "no", "panic"]);
            let mut sent = payers[who].next(format!("{kind}:{wave}:{job}"));
            match dice.roll(6) {
                // Something of before, or its voucher for another request.
                0 if !all.is_empty() => {
                    let old = usize::try_from(dice.roll(all.len() as u64)).unwrap();
                    sent = all[old].clone();
                    if dice.roll(2) == 0 {
                        sent.body = format!("job:{wave}:{job}:stolen");
                    }
                }
                _ => all.push(sent.clone()),
            }
            let patience = match dice.roll(4) {
                0 => Duration::from_micros(dice.roll(20_000)),
                _ => Duration::from_secs(5),
            };
            let request = shop.request(&sent.payment, &sent.body);
            let task = tokio::spawn(async move {
                let sending = async { Answer::of(request.send().await.ok()?).await.into() };
                tokio::time::timeout(patience, sending).await.ok().flatten()
            });
            // In step, a payer waits for its answer.
            if payers[who].lanes {
                tasks.push((who, sent, task));
            } else if let Some(answer) = task.await.unwrap() {
                payers[who].hear(&answer);
                if answer.status == 200 {
                    seen.paid.push((sent, answer));
                }
            }
        }
        if dice.roll(2) == 0 {
            // The power fails at some commit of this wave.
            for _ in 0..dice.roll(20) {
                let _ = tokio::time::timeout(Duration::from_millis(20), commits.recv()).await;
            }
            for (_, _, task) in &tasks {
                task.abort();
            }
            seen.crashes += 1;
            town = town.crash().await;
            seen.close(&shop);
            shop = town.channel_shop().await;
        } else {
            for (who, sent, task) in tasks {
                let Some(answer) = task.await.unwrap() else { continue };
                payers[who].hear(&answer);
                if answer.status == 200 {
                    seen.paid.push((sent, answer));
                }
            }
            if dice.roll(2) == 0 {
                shop.gate.collect(Collect::All).await;
            }
        }
        shop.gate.recover(seller()).await;
    }
    seen.close(&shop);
    drop(shop);
    (town.crash().await, payers, seen)
}

async fn check(town: &Town, payers: &[Payer], seen: &Seen) {
    let shop = town.channel_shop().await;
    // Once: what was paid for is had again, to the byte, and no work begins for it.
    for (sent, answer) in seen.paid.iter().filter(|(_, answer)| charged(answer) != "0") {
        let again = shop.pay(&sent.payment, &sent.body).await;
        assert_eq!(again, *answer, "{}", sent.body);
    }
    assert_eq!(shop.work.count(), 0);
    for (body, times) in &seen.jobs {
        // Work begins again only if it failed, cost nothing, or fell to a crash.
        let text = String::from_utf8_lossy(body);
        if text.starts_with("job") || text.starts_with("used:2500") {
            assert!(*times <= 1 + seen.crashes, "{text} began {times} times");
        }
    }
    // Hold first: none is left.
    assert_eq!(town.ledger.read(|s| s.holds().count()), 0);
    // Conservation: what was sold is what channels lack, and what they can claim covers it.
    shop.gate.collect(Collect::All).await;
    let (sold, _) = town.line(seller(), Line::Sales);
    assert_eq!(town.owns(seller()).await, sold);
    let funds = i128::try_from(FUNDS).unwrap();
    let mut lacking = 0;
    for payer in payers {
        let used = funds - town.unearned(&payer.client.config).0;
        let on_chain = town.on_chain(&payer.client.config).await;
        assert_eq!(i128::try_from(on_chain.total_claimed), Ok(used));
        // Nobody pays more than it signed, nor than it was told.
        assert!(on_chain.total_claimed <= payer.signed);
        lacking += used;
    }
    assert_eq!(lacking, sold);
    assert_eq!(canal::in_channels(town).await, funds * i128::from(CHANNELS) - sold);
    let told: u128 = seen
        .paid
        .iter()
        .map(|(sent, answer)| ((sent.payment.payload.to_string(), &sent.body), charged(answer)))
        .collect::<HashMap<_, _>>()
        .values()
        .map(|charge| charge.as_str().unwrap().parse::<u128>().unwrap())
        .sum();
    assert!(i128::try_from(told).unwrap() <= sold, "{told} was acknowledged, {sold} is booked");
    town.ledger.verify().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_it_went_the_newest_voucher_claims_exactly_what_was_charged() {
    let (mut paid, mut crashes) = (0, 0);
    for seed in seeds(10) {
        eprintln!("seed {seed}");
        let (town, payers, seen) = live(seed).await;
        check(&town, &payers, &seen).await;
        paid += seen.paid.len();
        crashes += seen.crashes;
    }
    // The histories are worth their time only if much happens in them.
    assert!(paid > 100 && crashes > 5, "{paid} paid, {crashes} crashes");
}
