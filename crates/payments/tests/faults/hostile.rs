//! Ten thousand hostile retries: payments of every kind are sent again with other bodies, routes,
//! queries, types and methods, forged, garbled, stripped of their binding, many at once, and over
//! connections that are cut; the power fails half-way. What is hostile is drawn from the seed.
//!
//! However it went: each payment started at most one piece of work, a bound one never another's;
//! each piece of work is paid for once; equal requests got equal answers; books equal the chain.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_primitives::B256;
use mandates::books::Line;
use payments::channel::{Collect, TillLimits};
use payments::extensions::{Binding, binding};
use payments::wire::{self, PaymentPayload};
use payments::{Gate, GateChannels, GateLimits, GateParts, Way};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::town::dice::{self, Dice};
use crate::town::shop::{self, Answer, Shop};
use crate::town::vouchers::{COSTS, Client, keeper, terms};
use crate::town::{PRICE, Town, http, musd, person, seller};

const SEED: u64 = 20_261_123;
const RETRIES: usize = 10_000;
/// How many requests are under way at once.
const AT_ONCE: usize = 48;
/// After so many retries somebody honest buys, if nobody was quicker.
const WAVE: usize = 125;
const CHANNELS: u8 = 6;
const FUNDS: u128 = 200 * COSTS;

/// A payment that was signed, for its own request.
struct Signed {
    payment: PaymentPayload,
    name: String,
    bound: bool,
}

/// What is tried with a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Trick {
    Again,
    ManyAtOnce,
    OtherBody,
    OtherRoute,
    OtherQuery,
    OtherType,
    OtherMethod,
    OtherPrice,
    Stripped,
    Forged,
    Garbled,
    Twice,
    Huge,
    CutEarly,
    CutLate,
}

const TRICKS: [Trick; 15] = [
    Trick::Again,
    Trick::ManyAtOnce,
    Trick::OtherBody,
    Trick::OtherRoute,
    Trick::OtherQuery,
    Trick::OtherType,
    Trick::OtherMethod,
    Trick::OtherPrice,
    Trick::Stripped,
    Trick::Forged,
    Trick::Garbled,
    Trick::Twice,
    Trick::Huge,
    Trick::CutEarly,
    Trick::CutLate,
];

/// Opens the one shop, at the address that all payments were signed for.
async fn opened(town: &Town, known_as: Option<&str>) -> Shop {
    let limits = GateLimits { in_flight: 1_000, reading: 1_000, ..GateLimits::default() };
    let gate = Gate::new(GateParts {
        limits,
        channels: Some(GateChannels { keys: vec![keeper()], limits: TillLimits::default() }),
        ..town.gate_parts(town.channel_facilitator())
    });
    gate.recover(seller()).await;
    town.open_shop(gate, |url| {
        let mut offer = shop::offer(town.token(), url);
        offer.ways.push(Way::Channel(terms()));
        offer.declared.binding = Some(Binding { required: false });
        offer.url = known_as.unwrap_or(url).to_string();
        offer
    })
    .await
}

struct Scene {
    client: reqwest::Client,
    url: String,
    resource: String,
    /// What came of what was sent, by trick and status.
    told: HashMap<(Trick, u16), usize>,
    /// The answers that were sold, by payment and request.
    answers: HashMap<String, String>,
    /// How often work began on each body, in shops that are closed.
    jobs: HashMap<bytes::Bytes, usize>,
    sent: usize,
}

impl Scene {
    fn bound(&self, town: &Town, number: u64, body: &str) -> Signed {
        let payer = person(0x26);
        let asked = town.terms();
        let path = "/work";
        let request = binding::Bound {
            terms: &asked,
            resource: &self.resource,
            method: "POST",
            path,
            query: "",
            media_type: b"text/plain",
            body: Sha256::digest(body).into(),
        };
        let salt = B256::with_last_byte(u8::try_from(number % 251).unwrap());
        let mut order = town.order(&payer, number);
        order.nonce = binding::nonce(salt, request.digest());
        order.valid_before += alloy_primitives::U256::from(3_600);
        let mut payment = town.wrap(&town.sign(&payer, order));
        let told = serde_json::json!({ "info": { "version": "1", "salt": salt } });
        payment.extensions.get_or_insert_default().insert(binding::NAME.into(), told);
        Signed { payment, name: body["job:".len()..].into(), bound: true }
    }

    fn stock(&self, town: &Town, number: u64, name: String) -> Signed {
        let payer = person(0x21 + u8::try_from(number % 4).unwrap());
        let mut order = town.order(&payer, number);
        order.valid_before += alloy_primitives::U256::from(3_600);
        Signed { payment: town.wrap(&town.sign(&payer, order)), name, bound: false }
    }

    /// One request of a trick, ready to be sent; `None` for those that are cut.
    fn request(&self, signed: &Signed, trick: Trick) -> reqwest::RequestBuilder {
        let mut payment = signed.payment.clone();
        let (mut method, mut url) = (reqwest::Method::POST, self.url.clone());
        let (mut kind, mut body) = ("text/plain", format!("job:{}", signed.name));
        match trick {
            Trick::OtherBody => body = format!("evil:{}", signed.name),
            Trick::OtherRoute => {
                url = url.replace("/work", "/other");
                body = format!("evil:{}", signed.name);
            }
            Trick::OtherQuery => {
                url.push_str("?more=1");
                body = format!("evil:{}", signed.name);
            }
            Trick::OtherType => {
                kind = "text/html";
                body = format!("evil:{}", signed.name);
            }
            Trick::OtherMethod => method = reqwest::Method::PUT,
            Trick::OtherPrice => payment.accepted.amount = "1".into(),
            Trick::Stripped => {
                payment.extensions = None;
                body = format!("evil:{}", signed.name);
            }
            Trick::Forged => forge(&mut payment),
            Trick::Huge => body = "x".repeat(80 * 1024),
            _ => {}
        }
        let header = wire::encode(&payment);
        let mut request = self.client.request(method, url).header("content-type", kind);
        request = match trick {
            Trick::Garbled => {
                let text = header.to_str().unwrap();
                request.header(wire::PAYMENT_SIGNATURE, &text[..text.len() / 2 + 1])
            }
            Trick::Twice => request
                .header(wire::PAYMENT_SIGNATURE, &header)
                .header(wire::PAYMENT_SIGNATURE, &header),
            _ => request.header(wire::PAYMENT_SIGNATURE, header),
        };
        request.body(body)
    }

    /// The bytes of the honest request, for who cuts the connection.
    fn bytes(&self, signed: &Signed) -> (String, Vec<u8>) {
        let at = self.url.strip_prefix("http://").unwrap();
        let (host, _) = at.split_once('/').unwrap();
        let body = format!("job:{}", signed.name);
        let payment = wire::encode(&signed.payment);
        let text = format!(
            "POST /work HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain\r\n\
             payment-signature: {}\r\ncontent-length: {}\r\n\r\n{body}",
            payment.to_str().unwrap(),
            body.len(),
        );
        (host.to_string(), text.into_bytes())
    }

    /// Sends a wave of tricks, drawn from the dice, and notes what came of them.
    async fn wave(&mut self, dice: &mut Dice, signed: &[Signed]) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks: JoinSet<Option<(Trick, String, Answer)>> = JoinSet::new();
        let mut drawn = 0;
        while drawn < WAVE {
            // The newest are what is worth stealing; the old must stay what they were.
            let newest = dice.roll(3) > 0;
            let from = if newest { signed.len().saturating_sub(8) } else { 0 };
            let span = u64::try_from(signed.len() - from).unwrap();
            let target = &signed[from + usize::try_from(dice.roll(span)).unwrap()];
            let trick = TRICKS[usize::try_from(dice.roll(TRICKS.len() as u64)).unwrap()];
            let copies = if trick == Trick::ManyAtOnce { 6 } else { 1 };
            drawn += copies;
            for _ in 0..copies {
                let places = places.clone();
                if matches!(trick, Trick::CutEarly | Trick::CutLate) {
                    let (host, bytes) = self.bytes(target);
                    let keep = match trick {
                        Trick::CutEarly => usize::try_from(dice.roll(bytes.len() as u64)).unwrap(),
                        _ => bytes.len(),
                    };
                    tasks.spawn(async move {
                        let _place = places.acquire().await.unwrap();
                        let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
                        let _ = stream.write_all(&bytes[..keep]).await;
                        None
                    });
                    continue;
                }
                let request = self.request(target, trick);
                let own = matches!(trick, Trick::Again | Trick::ManyAtOnce);
                let key = if own { target.name.clone() } else { String::new() };
                tasks.spawn(async move {
                    let _place = places.acquire().await.unwrap();
                    // Who is refused before its body has passed may lose the answer with it.
                    let response = request.send().await.ok()?;
                    Some((trick, key, Answer::of(response).await))
                });
            }
        }
        self.sent += drawn;
        while let Some(done) = tasks.join_next().await {
            let Some((trick, name, answer)) = done.unwrap() else { continue };
            *self.told.entry((trick, answer.status)).or_default() += 1;
            assert_ne!(answer.status, 500, "{trick:?}: {}", answer.text);
            if answer.status == 200 && !name.is_empty() {
                let first = self.answers.entry(name.clone()).or_insert(answer.text.clone());
                assert_eq!(*first, answer.text, "{name} was answered in two ways");
            }
        }
    }

    fn close(&mut self, shop: Shop) {
        for (body, times) in shop.work.jobs.lock().unwrap().iter() {
            *self.jobs.entry(body.clone()).or_default() += times;
        }
    }
}

/// Changes a nibble in the middle of a payload's last signature.
fn forge(payment: &mut PaymentPayload) {
    let place = match payment.payload.get("voucher") {
        Some(_) => &mut payment.payload["voucher"]["signature"],
        None => &mut payment.payload["signature"],
    };
    let mut text = place.as_str().unwrap().to_string().into_bytes();
    text[40] = if text[40] == b'7' { b'8' } else { b'7' };
    *place = String::from_utf8(text).unwrap().into();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hostile_retries_buy_nothing_twice_and_nothing_of_anothers() {
    let seed = dice::seed("HOSTILE_SEED", SEED);
    println!("seed {seed}");
    let mut dice = Dice::of(seed);
    let mut town = Town::begin().await;
    for number in 0x21..0x27 {
        town.give(person(number).party(), musd(10_000_000)).await;
    }
    let mut clients = Vec::new();
    for number in 0..CHANNELS {
        clients.push(Client::funded(&town, 0x31 + number, 1, FUNDS).await);
    }
    let mut shop = opened(&town, None).await;
    let mut scene = Scene {
        client: http(),
        url: shop.url.clone(),
        resource: shop.url.clone(),
        told: HashMap::new(),
        answers: HashMap::new(),
        jobs: HashMap::new(),
        sent: 0,
    };
    let mut signed: Vec<Signed> = Vec::new();
    let mut wave = 0_u64;
    while scene.sent < RETRIES {
        wave += 1;
        signed.push(scene.stock(&town, wave, format!("stock-{wave}")));
        signed.push(scene.bound(&town, 100_000 + wave, &format!("job:bound-{wave}")));
        for (number, client) in clients.iter().enumerate() {
            // The next total, by what was charged; every other payer sends its vouchers ahead.
            let charged = u128::try_from(town.unearned(&client.config).0).unwrap();
            let ahead = number % 2 == 1;
            let payment = match ahead {
                true => client.ahead(charged + COSTS),
                false => client.voucher(charged + COSTS),
            };
            signed.push(Signed { payment, name: format!("voucher-{number}-{wave}"), bound: false });
        }
        scene.wave(&mut dice, &signed).await;
        if wave == 30 {
            // The power fails between two waves; what was sold stays sold, and no more.
            scene.close(shop);
            town = town.crash().await;
            shop = opened(&town, Some(&scene.resource)).await;
            scene.url = shop.url.clone();
        }
    }
    scene.close(shop);
    let shop = opened(&town, Some(&scene.resource)).await;
    shop.gate.recover(seller()).await;

    // Once: each payment started one piece of work at most, and a bound one its own.
    let mut begun = 0;
    for one in &signed {
        let times = |kind: &str| {
            let body = bytes::Bytes::from(format!("{kind}:{}", one.name));
            scene.jobs.get(&body).copied().unwrap_or_default()
        };
        let (own, stolen) = (times("job"), times("evil"));
        assert!(own + stolen <= 1, "{} began {own} and {stolen} times", one.name);
        assert!(!one.bound || stolen == 0, "{} bought something else", one.name);
        begun += own + stolen;
    }
    assert_eq!(begun, scene.jobs.values().sum::<usize>(), "work began on what nobody signed for");
    // Conservation: each piece of work was paid for once, and no payment is left open.
    let price = i128::from(PRICE);
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!(collected.failed, 0, "{collected:?}");
    let begun = i128::try_from(begun).unwrap();
    assert_eq!(town.line(seller(), Line::Sales), (begun * price, 0));
    assert_eq!(town.owns(seller()).await, begun * price);
    let open = town.ledger.read(|s| s.holds().count());
    assert_eq!(open, 0, "a hold outlived its payment");
    town.is_whole(&[seller()]).await;
    town.ledger.verify().unwrap();
    // What was sold is given again, to the byte, to who asks for it as it was bought.
    for one in &signed {
        let Some(first) = scene.answers.get(&one.name) else { continue };
        let again = shop.pay(&one.payment, &format!("job:{}", one.name)).await;
        assert_eq!((again.status, &again.text), (200, first), "{}", one.name);
    }
    assert_eq!(shop.work.count(), 0);

    let mut told: Vec<_> = scene.told.into_iter().collect();
    told.sort_unstable();
    println!("{} sent, {begun} sold, of {} payments", scene.sent, signed.len());
    println!("{told:?}");
    // It is worth its time only if much was sold, stolen where that can be, and refused.
    let stolen = scene.jobs.keys().filter(|body| body.starts_with(b"evil:")).count();
    assert!(begun > 100 && stolen > 10, "{begun} sold, {stolen} of them to thieves");
}
