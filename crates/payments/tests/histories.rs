//! Random histories: many buyers, a facilitator that fails in every way, buyers who hang up, power
//! that fails. However it went, invariants 1 to 4 hold at the end. Each seed gives one plan; what
//! the tasks do between two of its steps is up to the scheduler, so a seed may end differently,
//! and must end well each time.

use crate::town;

use std::collections::HashMap;
use std::time::Duration;

use ledger::Status;
use mandates::books::{self, Line};
use money::Party;
use payments::{BuyError, BuyerLimits, GateLimits};
use town::dice::{Dice, seeds};
use town::faulty::{Fault, Faulty};
use town::shop::Shop;
use town::{PRICE, Town, musd, person, seller};

const BUYERS: [u8; 4] = [0x21, 0x22, 0x23, 0x24];
const WALLET: i128 = 400_000;
const ALLOWED: i128 = 300_000;

fn limits() -> BuyerLimits {
    BuyerLimits { attempts: 2, request_wait: Duration::from_millis(800), ..BuyerLimits::default() }
}

async fn open_shop(town: &Town, dice: &mut Dice) -> Shop {
    let faults: Vec<Fault> = (0..60)
        .map(|_| {
            dice.pick(&[
                Fault::None,
                Fault::None,
                Fault::None,
                Fault::FailsBefore,
                Fault::LostAnswer,
                Fault::Garbage,
                Fault::SaysNo,
                Fault::SaysYes,
                Fault::HangsBefore,
                Fault::HangsAfter,
            ])
        })
        .collect();
    let limits = GateLimits { settle_wait: Duration::from_millis(40), ..GateLimits::default() };
    town.shop_with(Faulty::new(town.facilitator(), &faults), limits).await
}

/// What happened in a history, over all its shops.
#[derive(Default)]
struct Seen {
    jobs: HashMap<bytes::Bytes, usize>,
    delivered: usize,
}

impl Seen {
    fn close(&mut self, shop: Shop) {
        for (body, times) in shop.work.jobs.lock().unwrap().iter() {
            *self.jobs.entry(body.clone()).or_default() += times;
        }
    }
}

async fn live(seed: u64) -> Seen {
    let mut dice = Dice::of(seed);
    let mut town = Town::begin().await;
    for number in BUYERS {
        town.buyer_with(number, musd(WALLET), musd(ALLOWED), limits()).await;
    }
    let mut seen = Seen::default();
    let mut shop = open_shop(&town, &mut dice).await;
    for wave in 0..4u64 {
        let mut commits = town.ledger.subscribe();
        let mut tasks = Vec::new();
        for job in 0..12u64 {
            let buyer = town.same_buyer(dice.pick(&BUYERS), limits());
            let kind = dice.pick(&["job", "job", "job", "job", "no", "panic"]);
            let purchase = shop.purchase(&format!("{kind}:{wave}:{job}"));
            let patience = match dice.roll(4) {
                0 => Duration::from_micros(dice.roll(20_000)),
                _ => Duration::from_secs(5),
            };
            tasks.push(tokio::spawn(async move {
                tokio::time::timeout(patience, buyer.buy(&purchase)).await
            }));
        }
        if dice.roll(2) == 0 {
            // The power fails at some commit of this wave.
            for _ in 0..dice.roll(40) {
                let _ = tokio::time::timeout(Duration::from_millis(50), commits.recv()).await;
            }
            seen.close(shop);
            town = town.crash().await;
            for task in tasks {
                task.abort();
            }
            shop = open_shop(&town, &mut dice).await;
        } else {
            for task in tasks {
                match task.await.unwrap() {
                    Ok(Ok(bought)) => seen.delivered += usize::from(bought.paid.is_some()),
                    // Refused, failed, open, or out of patience: all may happen.
                    Ok(Err(BuyError::PaidNotDelivered { status, .. })) => {
                        // Only where the answer is still to be had, by the same payment.
                        assert!(status.is_server_error(), "paid, and answered {status}");
                    }
                    Ok(Err(_)) | Err(_) => {}
                }
            }
        }
        shop.gate.recover(seller()).await;
        town.clock.advance(Duration::from_secs(dice.roll(40)));
    }
    seen.close(shop);

    // A day later the last restart: everything that was open has ended and is resolved.
    town.clock.advance(Duration::from_secs(1_000));
    let town = town.crash().await;
    let shop = town.shop().await;
    let (_, open) = shop.gate.recover(seller()).await;
    assert_eq!(open, 0, "a sale stays open");
    let parties: Vec<Party> = BUYERS.iter().map(|n| person(*n).party()).chain([seller()]).collect();
    town.is_whole(&parties).await;
    check(&town, &seen).await;
    seen
}

async fn check(town: &Town, seen: &Seen) {
    // Once: no job was begun twice, though most were asked for again and again.
    for (body, times) in &seen.jobs {
        assert_eq!(*times, 1, "{} was begun {times} times", String::from_utf8_lossy(body));
    }
    // Hold first: each begun job has its hold, and no hold is left.
    let (holds, open) = town.ledger.read(|s| {
        let sales = Line::Sales.of(seller(), money::Asset::MUSD);
        (s.entries_of(sales).filter(|e| e.transfer.hold_until.is_some()).count(), {
            s.holds().filter(|h| h.transfer.kind != ledger::Kind::Memo).count()
        })
    });
    assert!(seen.jobs.len() <= holds, "{} jobs, {holds} holds", seen.jobs.len());
    assert_eq!(open, 0, "a hold outlived its payment");
    // Conservation: what the seller got is what the buyers gave, in books and on the chain.
    let price = i128::from(PRICE);
    let (earned, _) = town.line(seller(), Line::Sales);
    assert_eq!((earned, earned % price), (town.owns(seller()).await, 0));
    let mut spent = 0;
    for number in BUYERS {
        let party = person(number).party();
        let (purchases, _) = town.line(party, Line::Purchases);
        assert_eq!(town.owns(party).await, WALLET - purchases);
        // Mandate: what was spent is what its budget lacks.
        let left = town.mandates.left(party).unwrap();
        assert_eq!(left.lifetime, musd(ALLOWED - purchases));
        spent += purchases;
    }
    assert_eq!(spent, earned);
    // Nobody paid for what was not begun, nor got for nothing.
    assert!(earned <= price * seen.jobs.len() as i128);
    assert!(earned >= price * seen.delivered as i128);
    // Both books name the same acts.
    town.ledger.read(|s| {
        for sale in s.entries_of(Line::Sales.of(seller(), money::Asset::MUSD)) {
            let purchase = s.transfer(&books::purchase_id(sale.transfer.reference)).unwrap();
            let posted = |status: &Status| matches!(status, Status::Posted { .. });
            if sale.transfer.hold_until.is_some() && posted(&sale.status) {
                assert!(posted(&purchase.status), "sold, and not bought");
            }
        }
    });
    town.ledger.verify().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_it_went_nobody_is_charged_twice_and_the_books_are_the_chain() {
    let (mut delivered, mut jobs) = (0, 0);
    for seed in seeds(12) {
        eprintln!("seed {seed}");
        let seen = live(seed).await;
        delivered += seen.delivered;
        jobs += seen.jobs.len();
    }
    // The histories are worth their time only if much happens in them.
    assert!(delivered > 50 && jobs > 200, "{delivered} delivered, {jobs} jobs");
}
