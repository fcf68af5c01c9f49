//! A payment that is bound to its request buys that and nothing else: not with another body, route,
//! query, type, gate or price, not with its binding cut off, not after a restart.

use crate::town;

use std::time::Duration;

use ::http::Method;
use payments::channel::{self, TillLimits};
use payments::extensions::{Binding, binding};
use payments::wire::{self, PaymentPayload};
use payments::{BuyerLimits, EscrowTerms, Gate, GateChannels, GateParts, Offer, Way};
use serde_json::{Value, json};
use town::meddler::{Meddler, Meddling};
use town::shop::{self, Answer, Shop};
use town::vouchers::{COSTS, Client, keeper, terms};
use town::{PRICE, Town, http, musd, person, seller};

const WALLET: i128 = 1_000_000;

fn ways(town: &Town) -> [Way; 5] {
    let upto = Way::UpTo { facilitator: town.chain.sender() };
    let escrow = Way::Escrow(EscrowTerms::new(town.chain.sender()));
    [Way::Authorization, Way::Permit, upto, escrow, Way::Channel(terms())]
}

async fn opened(town: &Town, way: &Way, change: impl Fn(&mut Offer)) -> Shop {
    let gate = Gate::new(GateParts {
        channels: Some(GateChannels { keys: vec![keeper()], limits: TillLimits::default() }),
        ..town.gate_parts(town.channel_facilitator())
    });
    gate.recover(seller()).await;
    town.open_shop(gate, |url| {
        let mut offer = shop::offer(town.token(), url);
        offer.ways = vec![way.clone()];
        offer.extensions = payments::sponsoring::declaration();
        offer.declared.binding = Some(Binding { required: false });
        change(&mut offer);
        offer
    })
    .await
}

fn limits() -> BuyerLimits {
    BuyerLimits { attempts: 1, request_wait: Duration::from_secs(20), ..BuyerLimits::default() }
}

/// A payment that our buyer signs for `body`, caught on its way.
async fn caught(buyer: &payments::Buyer, shop: &Shop, way: &Way, body: &str) -> PaymentPayload {
    let between = Meddler::before(shop, vec![Meddling::LoseRequest]).await;
    let purchase = between.purchase(shop, body);
    // The path is the shop's own, the host is the meddler's: it is the quote that names the shop.
    buyer.buy_by(&purchase, Some(way.scheme())).await.unwrap_err();
    between.seen.lock().unwrap().last().unwrap().clone()
}

async fn send(
    method: Method,
    url: &str,
    kind: &str,
    payment: &PaymentPayload,
    body: &str,
) -> Answer {
    let request = http()
        .request(method, url)
        .header("content-type", kind)
        .header(wire::PAYMENT_SIGNATURE, wire::encode(payment))
        .body(body.to_string());
    Answer::of(request.send().await.unwrap()).await
}

fn without(payment: &PaymentPayload, member: &str) -> PaymentPayload {
    let mut payment = payment.clone();
    let said = payment.extensions.as_mut().unwrap().get_mut(binding::NAME).unwrap();
    said["info"].as_object_mut().unwrap().remove(member).unwrap();
    payment
}

/// Sends the caught payment with everything that it was not signed for.
async fn is_good_for_nothing_else(town: &Town, shop: &Shop, other: &Shop, caught: &PaymentPayload) {
    let before = town.digest();
    let mismatch = (409, "request_binding_mismatch".to_string());
    let untold = (400, "invalid_request_binding".to_string());
    let member = if caught.accepted.scheme == channel::SCHEME { "signature" } else { "salt" };
    let mut nothing = caught.clone();
    nothing.extensions = None;
    if nothing.accepted.scheme == payments::auth_capture::SCHEME {
        // As if another number were the payer's own.
        nothing.payload["saltNonce"] = json!(format!("0x{}", "1b".repeat(32)));
    }
    let mut changed = caught.clone();
    let said = &mut changed.extensions.as_mut().unwrap()[binding::NAME]["info"][member];
    let length = said.as_str().unwrap().len();
    *said = json!(format!("0x{}", "1b".repeat(length / 2 - 1)));
    let (work, route) = (shop.url.clone(), shop.url.replace("/work", "/other"));
    let query = format!("{work}?more=1");
    let text = "text/plain";
    for (name, expected, method, url, kind, payment, body) in [
        ("another body", &mismatch, Method::POST, &work, text, caught, "job:other"),
        ("another route", &mismatch, Method::POST, &route, text, caught, "job:mine"),
        ("another query", &mismatch, Method::POST, &query, text, caught, "job:mine"),
        ("another type", &mismatch, Method::POST, &work, "text/html", caught, "job:mine"),
        ("another method", &mismatch, Method::PUT, &work, text, caught, "job:mine"),
        ("another gate", &mismatch, Method::POST, &other.url, text, caught, "job:mine"),
        ("without its binding", &untold, Method::POST, &work, text, &nothing, "job:other"),
        (
            "without its salt",
            &untold,
            Method::POST,
            &work,
            text,
            &without(caught, member),
            "job:mine",
        ),
        ("with another binding", &mismatch, Method::POST, &work, text, &changed, "job:mine"),
    ] {
        let answer = send(method, url, kind, payment, body).await;
        assert_eq!((answer.status, answer.code()), *expected, "{name}: {}", answer.text);
    }
    assert_eq!(town.digest(), before, "what is refused leaves no trace");
    assert_eq!(other.work.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_payment_buys_nothing_else_in_any_way_to_pay() {
    let town = Town::begin().await;
    for (number, way) in (0x41..).zip(ways(&town)) {
        let shop = opened(&town, &way, |_| {}).await;
        let other = opened(&town, &way, |_| {}).await;
        let buyer = town.buyer_with(number, musd(WALLET), musd(2 * WALLET), limits()).await;
        let is_channel = matches!(way, Way::Channel(_));
        if is_channel {
            // The deposit's own request is bound like every other.
            let deposit = caught(&buyer, &shop, &way, "job:mine").await;
            assert_eq!(deposit.payload["type"], "deposit");
            is_good_for_nothing_else(&town, &shop, &other, &deposit).await;
            buyer.buy_by(&shop.purchase("job:0"), Some(way.scheme())).await.unwrap();
        }
        let began = shop.work.count();
        let payment = caught(&buyer, &shop, &way, "job:mine").await;
        is_good_for_nothing_else(&town, &shop, &other, &payment).await;
        assert_eq!(shop.work.count(), began, "{way:?}");
        let paid = shop.pay(&payment, "job:mine").await;
        assert_eq!(paid.status, 200, "{way:?}: {}", paid.text);
        // What it was signed for is given again, and nothing else.
        assert_eq!(shop.pay(&payment, "job:mine").await, paid);
        is_good_for_nothing_else(&town, &shop, &other, &payment).await;
        assert_eq!(shop.work.count(), began + 1);
    }
}

#[tokio::test]
async fn nothing_of_a_binding_is_forgotten_by_a_restart() {
    let town = Town::begin().await;
    let [way, .., vouchers] = ways(&town);
    let mut sent = Vec::new();
    let shop = opened(&town, &way, |offer| offer.ways.push(vouchers.clone())).await;
    let url = shop.url.clone();
    let buyer = town.buyer_with(0x41, musd(WALLET), musd(2 * WALLET), limits()).await;
    buyer.buy_by(&shop.purchase("job:0"), Some(vouchers.scheme())).await.unwrap();
    for way in [&way, &vouchers] {
        sent.push(caught(&buyer, &shop, way, "job:mine").await);
    }
    drop((shop, buyer));
    let town = town.crash().await;
    // The same shop again: another port, and the address that buyers know.
    let shop = opened(&town, &way, |offer| {
        offer.ways.push(vouchers.clone());
        offer.url.clone_from(&url);
    })
    .await;
    let other = opened(&town, &way, |offer| offer.ways.push(vouchers.clone())).await;
    for payment in &sent {
        is_good_for_nothing_else(&town, &shop, &other, payment).await;
        let paid = shop.pay(payment, "job:mine").await;
        assert_eq!(paid.status, 200, "{}", paid.text);
    }
    assert_eq!(shop.work.count(), 2);
}

#[tokio::test]
async fn a_dearer_or_cheaper_offer_does_not_take_it() {
    let town = Town::begin().await;
    for (number, way) in (0x41..).zip(ways(&town)) {
        let shop = opened(&town, &way, |_| {}).await;
        let buyer = town.buyer_with(number, musd(WALLET), musd(2 * WALLET), limits()).await;
        if matches!(way, Way::Channel(_)) {
            buyer.buy_by(&shop.purchase("job:0"), Some(way.scheme())).await.unwrap();
        }
        let payment = caught(&buyer, &shop, &way, "job:mine").await;
        for price in [PRICE / 2, PRICE * 2] {
            let url = shop.url.clone();
            let other = opened(&town, &way, |offer| {
                offer.price = musd(i128::from(price));
                offer.url.clone_from(&url);
            })
            .await;
            // As it is, and as somebody would change what is not signed.
            let mut changed = payment.clone();
            changed.accepted.amount = price.to_string();
            if let Some(extra) = changed.accepted.extra.as_mut()
                && extra.contains_key("minDeposit")
            {
                extra.insert("minDeposit".into(), json!((price * 10).to_string()));
            }
            assert_eq!(other.pay(&payment, "job:mine").await.status, 402);
            let told = other.pay(&changed, "job:mine").await;
            assert_eq!((told.status, told.code().as_str()), (409, "request_binding_mismatch"));
            assert_eq!(other.work.count(), 0);
        }
    }
}

#[tokio::test]
async fn stock_clients_are_taken_unless_the_offer_requires_a_binding() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(WALLET)).await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    for required in [false, true] {
        let way = Way::Authorization;
        let shop = opened(&town, &way, |offer| {
            offer.ways.push(Way::Channel(terms()));
            offer.declared.binding = Some(Binding { required });
        })
        .await;
        // A stock client echoes what was declared, and knows nothing of it.
        let declared = quote(&shop).await.extensions.unwrap();
        let mut echo = serde_json::Map::new();
        echo.insert(binding::NAME.into(), declared[binding::NAME].clone());
        for mut payment in [town.payment(&payer, 1), client.voucher(COSTS)] {
            payment.extensions = Some(echo.clone());
            let answer = shop.pay(&payment, "job:1").await;
            match required {
                false => assert_eq!(answer.status, 200, "{}", answer.text),
                true => {
                    let told = (answer.status, answer.code());
                    assert_eq!(told, (402, "request_binding_required".into()));
                    assert!(answer.quote.is_some(), "the quote tells how");
                }
            }
        }
        // A number that does not follow from the salt that is told.
        let mut wrong = town.payment(&payer, 2);
        echo[binding::NAME]["info"]["salt"] = json!(format!("0x{}", "22".repeat(32)));
        wrong.extensions = Some(echo.clone());
        let told = shop.pay(&wrong, "job:2").await;
        assert_eq!((told.status, told.code().as_str()), (409, "request_binding_mismatch"));
        for none in [json!(7), json!("0x12"), json!("zz".repeat(33))] {
            echo[binding::NAME]["info"]["salt"] = none;
            wrong.extensions = Some(echo.clone());
            let told = shop.pay(&wrong, "job:2").await;
            assert_eq!((told.status, told.code().as_str()), (400, "invalid_request_binding"));
        }
        assert_eq!(shop.work.count(), if required { 0 } else { 2 });
    }
}

#[tokio::test]
async fn our_buyer_pays_where_a_binding_is_required_and_where_nobody_knows_of_it() {
    let town = Town::begin().await;
    for (number, way) in (0x41..).zip(ways(&town)) {
        let buyer = town.buyer_with(number, musd(WALLET), musd(2 * WALLET), limits()).await;
        for declared in [Some(Binding { required: true }), None] {
            let shop = opened(&town, &way, |offer| offer.declared.binding = declared).await;
            // With a query, and with a path whose letters are escaped.
            for url in [shop.url.clone(), format!("{}?a=%20b&c", shop.url)] {
                let purchase =
                    payments::Purchase { url: url.parse().unwrap(), ..shop.purchase("job:1") };
                let bought = buyer.buy_by(&purchase, Some(way.scheme())).await.unwrap();
                assert_eq!(bought.status, 200);
            }
            let payment = caught(&buyer, &shop, &way, "job:2").await;
            let nonce = nonce_of(&payment.payload);
            assert_eq!(binding::is_marked(nonce), declared.is_some(), "{way:?}");
            assert_eq!(
                payment.extensions.is_some_and(|e| e.contains_key(binding::NAME)),
                declared.is_some()
            );
        }
    }
}

async fn quote(shop: &Shop) -> wire::PaymentRequired {
    let asked = http().post(&shop.url).body("x").send().await.unwrap();
    Answer::of(asked).await.quote.unwrap()
}

/// What says whether a payload is bound.
fn nonce_of(payload: &Value) -> alloy_primitives::B256 {
    let text = |value: &Value| value.as_str().map(str::to_string);
    if let Some(salt) = text(&payload["salt"]) {
        return salt.parse().unwrap(); // Into escrow: what is signed is the hash of all terms.
    }
    if let Some(nonce) = text(&payload["authorization"]["nonce"]) {
        return nonce.parse().unwrap();
    }
    if let Some(number) = text(&payload["permit2Authorization"]["nonce"]) {
        return number.parse::<alloy_primitives::U256>().unwrap().into();
    }
    payload["channelConfig"]["salt"].as_str().unwrap().parse().unwrap()
}
