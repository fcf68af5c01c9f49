//! The buyer: signs once, under its mandate, and says by the chain what became of its money.

use crate::town;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode};
use ledger::Status;
use mandates::books::{self, Line};
use mandates::{MandateError, Rule};
use money::{Amount, Asset, Clock as _, Party};
use payments::wire::{self, PaymentPayload, PaymentRequired};
use payments::{BuyError, BuyerLimits, GateLimits, Purchase, buyer, exact};
use town::faulty::{Fault, Faulty};
use town::{PRICE, Town, musd, seller, shop};

/// A seller that answers by a script: the turn, counted from 0, and the payment, if there was one.
type Script = dyn Fn(usize, Option<PaymentPayload>) -> BoxFuture<'static, Response> + Send + Sync;

struct Seller {
    url: String,
    turns: Arc<AtomicUsize>,
    payments: Arc<Mutex<Vec<String>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Seller {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Seller {
    async fn open(script: Arc<Script>) -> Seller {
        let turns = Arc::new(AtomicUsize::new(0));
        let payments: Arc<Mutex<Vec<String>>> = Arc::default();
        let (count, seen) = (turns.clone(), payments.clone());
        let app = Router::new().fallback(move |request: Request| {
            let headers = request.headers().clone();
            let payment = wire::decode(&headers, wire::PAYMENT_SIGNATURE).unwrap();
            if let Some(text) = headers.get(wire::PAYMENT_SIGNATURE) {
                seen.lock().unwrap().push(text.to_str().unwrap().to_string());
            }
            script(count.fetch_add(1, Ordering::SeqCst), payment)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/thing?token=hidden", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Seller { url, turns, payments, server }
    }

    fn purchase(&self) -> Purchase {
        Purchase {
            method: Method::GET,
            url: self.url.parse().unwrap(),
            media_type: None,
            body: Bytes::new(),
            max: None,
            agent: None,
        }
    }

    fn turns(&self) -> usize {
        self.turns.load(Ordering::SeqCst)
    }
}

fn quote_of(town: &Town) -> PaymentRequired {
    shop::offer(town.token(), "http://localhost/thing").quote(None)
}

fn required(quote: &PaymentRequired) -> Response {
    let mut response = StatusCode::PAYMENT_REQUIRED.into_response();
    response.headers_mut().insert(wire::PAYMENT_REQUIRED, wire::encode(quote));
    response
}

fn hasty() -> BuyerLimits {
    BuyerLimits {
        request_wait: Duration::from_secs(5),
        max_answer: 200_000,
        ..BuyerLimits::default()
    }
}

const WALLET: i128 = 1_000_000;

#[tokio::test]
async fn a_purchase_is_paid_once_and_stands_in_both_books() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let shop = town.shop().await;
    let quote = buyer.quote(&shop.purchase("hello")).await.unwrap().unwrap();
    assert_eq!(quote.accepts[0].amount, PRICE.to_string());
    let bought = buyer.buy(&shop.purchase("hello")).await.unwrap();
    assert_eq!(bought.status, 200);
    assert_eq!(bought.body.as_ref(), br#"{"turn":1,"did":"hello"}"#);
    let paid = bought.paid.unwrap();
    assert_eq!((paid.amount, paid.payee), (musd(PRICE.into()), seller()));
    assert_eq!(paid.left.wallet, musd(WALLET - i128::from(PRICE)));
    let price = i128::from(PRICE);
    assert_eq!(town.line(buyer.party(), Line::Purchases), (price, 0));
    assert_eq!(town.line(seller(), Line::Sales), (price, 0));
    assert_eq!(town.owns(buyer.party()).await, WALLET - price);
    let stages: Vec<String> = town
        .ledger
        .evidence(paid.reference)
        .unwrap()
        .into_iter()
        .map(|d| d.evidence.stage)
        .filter(|s| s.starts_with("buyer/"))
        .collect();
    assert_eq!(
        stages,
        [buyer::stage::QUOTE, buyer::stage::DECISION, buyer::stage::PAYMENT, buyer::stage::ANSWER]
    );
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn what_is_free_is_not_paid_for() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    for (status, text) in [(200, "take it"), (404, "no such thing"), (500, "sorry")] {
        let seller = Seller::open(Arc::new(move |_, payment: Option<PaymentPayload>| {
            assert!(payment.is_none());
            Box::pin(async move { (StatusCode::from_u16(status).unwrap(), text).into_response() })
        }))
        .await;
        let before = town.digest();
        let bought = buyer.buy(&seller.purchase()).await.unwrap();
        assert_eq!((bought.status.as_u16(), &bought.body[..]), (status, text.as_bytes()));
        assert!(bought.paid.is_none());
        assert_eq!((town.digest(), seller.turns()), (before, 1));
    }
}

#[tokio::test]
async fn what_the_maximum_or_the_mandate_refuses_is_not_signed() {
    let town = Town::begin().await;
    let shop = town.shop().await;
    let price = i128::from(PRICE);
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let before = town.digest();
    for max in [musd(price - 1), musd(0), Amount::from_minor(Asset::USDC, price * 100)] {
        let purchase = Purchase { max: Some(max), ..shop.purchase("hello") };
        let error = buyer.buy(&purchase).await.unwrap_err();
        assert!(matches!(error, BuyError::Mandate(MandateError::AboveMaximum { .. })), "{error}");
    }
    assert_eq!(town.digest(), before);
    for (number, wallet, allowed, rule) in [
        (0x22, musd(WALLET), musd(price - 1), Rule::PerPayment),
        (0x23, musd(price - 1), musd(WALLET), Rule::Wallet),
    ] {
        let buyer = town.buyer_with(number, wallet, allowed, hasty()).await;
        let before = town.digest();
        let error = buyer.buy(&shop.purchase("hello")).await.unwrap_err();
        assert!(
            matches!(&error, BuyError::Mandate(MandateError::Refused { rule: r, .. }) if *r == rule),
            "{error}"
        );
        assert_eq!(town.digest(), before);
    }
    let nobody = town.buyer_with(0x24, musd(WALLET), musd(0), hasty()).await;
    let error = nobody.buy(&shop.purchase("hello")).await.unwrap_err();
    assert!(matches!(error, BuyError::Mandate(MandateError::NoMandate { .. })), "{error}");
    assert_eq!(shop.work.count(), 0);
    let exact = Purchase { max: Some(musd(price)), ..shop.purchase("hello") };
    assert!(buyer.buy(&exact).await.unwrap().paid.is_some());
}

#[tokio::test]
async fn terms_that_this_buyer_cannot_mean_are_refused_before_anything_is_held() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let own = buyer.party().to_string();
    let before = town.digest();
    type Change = Box<dyn Fn(&mut PaymentRequired)>;
    let cases: Vec<(&str, Change)> = vec![
        ("names no way to pay", Box::new(|q| q.accepts.clear())),
        ("scheme `upto`", Box::new(|q| q.accepts[0].scheme = "upto".into())),
        ("wants money on eip155:1", Box::new(|q| q.accepts[0].network = "eip155:1".into())),
        ("wants the token 0xdead", Box::new(|q| q.accepts[0].asset = "0xdead".into())),
        (
            "otherwise than the token",
            Box::new(|q| q.accepts[0].extra.as_mut().unwrap()["name"] = "USD Coin".into()),
        ),
        (
            "otherwise than the token",
            Box::new(|q| q.accepts[0].extra.as_mut().unwrap()["version"] = 1.into()),
        ),
        ("otherwise than the token", Box::new(|q| q.accepts[0].extra = None)),
        ("`0` is no amount", Box::new(|q| q.accepts[0].amount = "0".into())),
        ("`-5` is no amount", Box::new(|q| q.accepts[0].amount = "-5".into())),
        ("`1.5` is no amount", Box::new(|q| q.accepts[0].amount = "1.5".into())),
        ("is no amount", Box::new(|q| q.accepts[0].amount = "9".repeat(40))),
        ("payee is no address", Box::new(|q| q.accepts[0].pay_to = "bob".into())),
        ("zero address", Box::new(|q| q.accepts[0].pay_to = Party::new([0; 20]).to_string())),
        ("this machine itself", Box::new(move |q| q.accepts[0].pay_to.clone_from(&own))),
        ("too few to be settled", Box::new(|q| q.accepts[0].max_timeout_seconds = 0)),
    ];
    for (said, change) in cases {
        let mut quote = quote_of(&town);
        change(&mut quote);
        let seller = Seller::open(Arc::new(move |_, payment: Option<PaymentPayload>| {
            assert!(payment.is_none(), "a payment was signed");
            let answer = required(&quote);
            Box::pin(async move { answer })
        }))
        .await;
        let error = buyer.buy(&seller.purchase()).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, BuyError::NoWayToPay { .. }), "{said}: {text}");
        assert!(text.contains(said), "{said}: {text}");
        assert!(!text.contains("hidden"), "a query may hold a secret: {text}");
        assert_eq!((town.digest(), seller.turns()), (before, 1), "{said}");
    }
}

#[tokio::test]
async fn the_cheapest_way_that_can_be_paid_is_chosen() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let shop = town.shop().await;
    let mut quote = quote_of(&town);
    let good = quote.accepts[0].clone();
    let elsewhere = wire::PaymentRequirements {
        network: "eip155:1".into(),
        amount: "1".into(),
        ..good.clone()
    };
    let dearer = wire::PaymentRequirements { amount: "20000".into(), ..good.clone() };
    quote.accepts = vec![elsewhere, dearer, good];
    let seen: Arc<Mutex<Option<String>>> = Arc::default();
    let (note, purchase) = (seen.clone(), shop.purchase("hello"));
    let seller = Seller::open(Arc::new(move |_, payment: Option<PaymentPayload>| {
        if let Some(payment) = &payment {
            *note.lock().unwrap() = Some(payment.accepted.amount.clone());
        }
        let answer = required(&quote);
        Box::pin(async move { answer })
    }))
    .await;
    drop(purchase);
    buyer.buy(&seller.purchase()).await.unwrap_err();
    assert_eq!(seen.lock().unwrap().as_deref(), Some("10000"));
}

#[tokio::test]
async fn a_quote_or_an_answer_that_is_broken_or_endless_is_an_error() {
    let town = Town::begin().await;
    let buyer = town.buyer_with(0x21, musd(WALLET), musd(WALLET), hasty()).await;
    let with_header = |text: String| {
        move |_: usize, _: Option<PaymentPayload>| -> BoxFuture<'static, Response> {
            let mut response = StatusCode::PAYMENT_REQUIRED.into_response();
            response.headers_mut().insert(wire::PAYMENT_REQUIRED, text.parse().unwrap());
            Box::pin(async move { response })
        }
    };
    for (text, said) in [
        ("%%%".to_string(), "not base64"),
        ("A".repeat(wire::MAX_HEADER + 4), "at most 32768 are read"),
        (town::base64("{}"), "not what x402 v2 says"),
        (town::base64(r#"{"x402Version":1}"#), "version 1 is not spoken here"),
    ] {
        let seller = Seller::open(Arc::new(with_header(text))).await;
        let error = buyer.buy(&seller.purchase()).await.unwrap_err();
        assert!(matches!(error, BuyError::Quote { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    let seller = Seller::open(Arc::new(|_, _| {
        Box::pin(async { StatusCode::PAYMENT_REQUIRED.into_response() })
    }))
    .await;
    let error = buyer.buy(&seller.purchase()).await.unwrap_err();
    assert!(matches!(error, BuyError::NoWayToPay { .. }), "{error}");
    let seller =
        Seller::open(Arc::new(|_, _| Box::pin(async { vec![0u8; 300_000].into_response() }))).await;
    let error = buyer.buy(&seller.purchase()).await.unwrap_err();
    assert!(matches!(error, BuyError::AnswerTooLarge { max: 200_000, .. }), "{error}");
    let nobody = Purchase { url: "http://127.0.0.1:9/".parse().unwrap(), ..seller.purchase() };
    let error = buyer.buy(&nobody).await.unwrap_err();
    assert!(matches!(error, BuyError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_seller_that_asks_for_ever_gets_one_signature_and_no_money() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let quote = quote_of(&town);
    let seller = Seller::open(Arc::new(move |_, _| {
        let answer = required(&PaymentRequired { error: Some("more!".into()), ..quote.clone() });
        Box::pin(async move { answer })
    }))
    .await;
    let error = buyer.buy(&seller.purchase()).await.unwrap_err();
    let BuyError::NotDelivered { cause, until, .. } = &error else { panic!("{error}") };
    assert_eq!(cause, "more!");
    assert_eq!((seller.turns(), seller.payments.lock().unwrap().len()), (2, 1));
    // The seller could still use it, so the money stays aside until it cannot.
    assert_eq!(town.line(buyer.party(), Line::Purchases), (0, i128::from(PRICE)));
    let keeper = town.bookkeeper(&[buyer.party()]);
    assert_eq!(keeper.reconcile(true).await.unwrap().released, 0);
    town.clock.set(until.plus(Duration::from_secs(31)));
    assert_eq!(keeper.reconcile(false).await.unwrap().released, 1);
    assert_eq!(town.line(buyer.party(), Line::Purchases), (0, 0));
    assert_eq!(town.mandates.left(buyer.party()).unwrap().wallet, musd(WALLET));
    town.is_whole(&[buyer.party()]).await;
}

#[tokio::test]
async fn a_busy_seller_is_sent_the_same_signature_again() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let (quote, chain) = (quote_of(&town), town.chain.clone());
    let seller = Seller::open(Arc::new(move |turn, payment: Option<PaymentPayload>| {
        let (chain, answer) = (chain.clone(), required(&quote));
        Box::pin(async move {
            match (turn, payment) {
                (_, None) => answer,
                (1, _) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                (2, _) => StatusCode::TOO_MANY_REQUESTS.into_response(),
                (_, Some(payment)) => {
                    let order = exact::read(&payment.payload).unwrap();
                    chain.transfer_with_authorization(&order).await.unwrap();
                    "here you are".into_response()
                }
            }
        })
    }))
    .await;
    let bought = buyer.buy(&seller.purchase()).await.unwrap();
    assert_eq!(bought.body.as_ref(), b"here you are");
    assert_eq!(bought.paid.unwrap().amount, musd(PRICE.into()));
    let payments = seller.payments.lock().unwrap().clone();
    assert_eq!(payments.len(), 3);
    assert!(payments.iter().all(|p| *p == payments[0]), "another payment was signed");
    town.is_whole(&[buyer.party()]).await;
}

#[tokio::test]
async fn what_is_paid_and_not_answered_yet_is_asked_for_again() {
    let town = Town::begin().await;
    let limits = BuyerLimits { attempts: 2, ..hasty() };
    let buyer = town.buyer_with(0x21, musd(WALLET), musd(WALLET), limits).await;
    let (quote, chain) = (quote_of(&town), town.chain.clone());
    let seller = Seller::open(Arc::new(move |turn, payment: Option<PaymentPayload>| {
        let (chain, answer) = (chain.clone(), required(&quote));
        Box::pin(async move {
            let Some(payment) = payment else { return answer };
            if turn == 1 {
                let order = exact::read(&payment.payload).unwrap();
                chain.transfer_with_authorization(&order).await.unwrap();
            }
            match turn {
                0..4 => (StatusCode::SERVICE_UNAVAILABLE, "not settled yet").into_response(),
                _ => "at last".into_response(),
            }
        })
    }))
    .await;
    let bought = buyer.buy(&seller.purchase()).await.unwrap();
    assert_eq!(bought.body.as_ref(), b"at last");
    let payments = seller.payments.lock().unwrap().clone();
    assert!(payments.len() == 4 && payments.iter().all(|p| *p == payments[0]));
    town.is_whole(&[buyer.party()]).await;
}

#[tokio::test]
async fn a_seller_that_stays_busy_leaves_it_open_whether_money_moves() {
    let town = Town::begin().await;
    let limits = BuyerLimits { attempts: 2, ..hasty() };
    let buyer = town.buyer_with(0x21, musd(WALLET), musd(WALLET), limits).await;
    let quote = quote_of(&town);
    let seller = Seller::open(Arc::new(move |_, payment: Option<PaymentPayload>| {
        let answer = match payment {
            None => required(&quote),
            Some(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        };
        Box::pin(async move { answer })
    }))
    .await;
    let error = buyer.buy(&seller.purchase()).await.unwrap_err();
    assert!(matches!(error, BuyError::Open { .. }), "{error}");
    assert_eq!(seller.turns(), 3);
}

#[tokio::test]
async fn who_takes_the_money_and_does_not_deliver_is_named_with_the_proof() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let (quote, chain) = (quote_of(&town), town.chain.clone());
    let seller = Seller::open(Arc::new(move |_, payment: Option<PaymentPayload>| {
        let (chain, answer) = (chain.clone(), required(&quote));
        Box::pin(async move {
            let Some(payment) = payment else { return answer };
            let order = exact::read(&payment.payload).unwrap();
            chain.transfer_with_authorization(&order).await.unwrap();
            (StatusCode::INTERNAL_SERVER_ERROR, "ha\u{7}ha").into_response()
        })
    }))
    .await;
    let error = buyer.buy(&seller.purchase()).await.unwrap_err();
    let BuyError::PaidNotDelivered { status, cause, amount, reference, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((status.as_u16(), cause.as_str(), *amount), (500, "haha", musd(PRICE.into())));
    let entry = town.ledger.read(|s| s.transfer(&books::purchase_id(*reference)).unwrap().status);
    assert!(matches!(entry, Status::Posted { .. }), "the money is gone, and the books say so");
    town.is_whole(&[buyer.party()]).await;
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_settlement_ends_in_the_answer() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let shop = town.shop().await;
    // A wire that lets everything through and cuts the first paid answer.
    let address: std::net::SocketAddr =
        shop.url.strip_prefix("http://").unwrap().strip_suffix("/work").unwrap().parse().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/work", listener.local_addr().unwrap());
    let cut = Arc::new(AtomicUsize::new(0));
    let cuts = cut.clone();
    let proxy = tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let cuts = cuts.clone();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(address).await.unwrap();
                let (mut near_in, mut near_out) = near.split();
                let (mut far_in, mut far_out) = far.split();
                let forth = tokio::io::copy(&mut near_in, &mut far_out);
                let back = async {
                    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                    let mut chunk = vec![0; 64 * 1024];
                    loop {
                        let read = far_in.read(&mut chunk).await.unwrap();
                        let text = String::from_utf8_lossy(&chunk[..read]).to_lowercase();
                        let paid = text.contains("payment-response: ");
                        if read == 0 || (paid && cuts.fetch_add(1, Ordering::SeqCst) == 0) {
                            return;
                        }
                        near_out.write_all(&chunk[..read]).await.unwrap();
                    }
                };
                tokio::select! { _ = forth => {}, () = back => {} }
            });
        }
    });
    let purchase = Purchase { url: url.parse().unwrap(), ..shop.purchase("hello") };
    let bought = buyer.buy(&purchase).await.unwrap();
    assert_eq!(bought.body.as_ref(), br#"{"turn":1,"did":"hello"}"#);
    assert!(cut.load(Ordering::SeqCst) >= 2, "the first answer was cut");
    assert_eq!((shop.work.count(), town.owns(seller()).await), (1, i128::from(PRICE)));
    town.is_whole(&[buyer.party(), seller()]).await;
    proxy.abort();
}

#[tokio::test]
async fn an_answer_without_a_settlement_is_open_until_the_chain_decides() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let quote = quote_of(&town);
    let signed: Arc<Mutex<Option<PaymentPayload>>> = Arc::default();
    let note = signed.clone();
    let seller = Seller::open(Arc::new(move |_, payment: Option<PaymentPayload>| {
        let answer = required(&quote);
        let note = note.clone();
        Box::pin(async move {
            if payment.is_none() {
                return answer;
            }
            *note.lock().unwrap() = payment;
            "on the house, for now".into_response()
        })
    }))
    .await;
    let error = buyer.buy(&seller.purchase()).await.unwrap_err();
    let BuyError::Open { reference, .. } = &error else { panic!("{error}") };
    // Later the seller does use it, while the buyer is away.
    let order = exact::read(&signed.lock().unwrap().take().unwrap().payload).unwrap();
    town.chain.transfer_with_authorization(&order).await.unwrap();
    let keeper = town.bookkeeper(&[buyer.party()]);
    let reconciled = keeper.reconcile(true).await.unwrap();
    assert_eq!((reconciled.posted, reconciled.released), (1, 0));
    let status = town.ledger.read(|s| s.transfer(&books::purchase_id(*reference)).unwrap().status);
    assert!(matches!(status, Status::Posted { .. }));
    town.is_whole(&[buyer.party()]).await;
}

#[tokio::test]
async fn a_settlement_that_is_pending_is_waited_for_with_the_same_payment() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let faulty = Faulty::new(town.facilitator(), &[Fault::FailsBefore, Fault::SaysYes]);
    let limits = GateLimits { settle_wait: Duration::from_millis(50), ..GateLimits::default() };
    let shop = town.shop_with(faulty, limits).await;
    let bought = buyer.buy(&shop.purchase("hello")).await.unwrap();
    assert_eq!(bought.body.as_ref(), br#"{"turn":1,"did":"hello"}"#);
    assert_eq!((shop.work.count(), town.owns(seller()).await), (1, i128::from(PRICE)));
    town.is_whole(&[buyer.party(), seller()]).await;
}

#[tokio::test]
async fn failed_work_is_not_paid_and_the_money_comes_back() {
    let town = Town::begin().await;
    let buyer = town.buyer(0x21, musd(WALLET)).await;
    let shop = town.shop().await;
    let error = buyer.buy(&shop.purchase("no")).await.unwrap_err();
    let BuyError::NotDelivered { status, cause, .. } = &error else { panic!("{error}") };
    assert_eq!((status.as_u16(), cause.as_str()), (422, "not a picture"));
    town.clock.advance(Duration::from_secs(100));
    town.is_whole(&[buyer.party(), seller()]).await;
    assert_eq!(town.mandates.left(buyer.party()).unwrap().wallet, musd(WALLET));
    assert!(town.clock.now() > town::START);
    let headers = HeaderMap::new();
    assert!(buyer::receipt(&headers).is_none());
}
