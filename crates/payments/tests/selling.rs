//! Selling what runs elsewhere: a stall before a real service on loopback, both told to misbehave.

use crate::town;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy_primitives::U256;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::{Method, StatusCode, header};
use mandates::books::Line;
use money::Asset;
use payments::channel::{Collect, TillLimits};
use payments::proxy::{Prices, Stall, Upstream};
use payments::{Gate, GateChannels, GateLimits, GateParts, Purchase, Way, wire};
use settlement::{PermitOrder, SignedAuthorization};
use tokio::sync::Semaphore;
use town::shop::Answer;
use town::vouchers::{COSTS, Client, charged, keeper, terms};
use town::{PRICE, Town, http, musd, permits, person, seller};

/// A service that does what the path says, and counts.
struct Service {
    asked: AtomicUsize,
    /// A streamed answer gives its second half with a permit from here.
    may_go_on: Semaphore,
    /// The headers of the last request.
    seen: std::sync::Mutex<http::HeaderMap>,
}

async fn service(State(service): State<Arc<Service>>, request: Request) -> Response {
    service.asked.fetch_add(1, Ordering::SeqCst);
    *service.seen.lock().unwrap() = request.headers().clone();
    let events = |ends: &'static str| {
        let service = service.clone();
        let pieces = stream::unfold(0, move |turn| {
            let service = service.clone();
            async move {
                match turn {
                    0 => Some((Ok(Bytes::from("data: one\n\n")), 1)),
                    1 => {
                        service.may_go_on.acquire().await.unwrap().forget();
                        match ends {
                            "break" => Some((Err(std::io::Error::other("it burnt")), 2)),
                            _ => Some((Ok(Bytes::from("data: two\n\n")), 2)),
                        }
                    }
                    _ => None,
                }
            }
        });
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(pieces)).into_response()
    };
    let path = request.uri().path().to_string();
    match path.as_str() {
        "/events" => events("well"),
        "/breaks" => events("break"),
        // Both forms of OpenAI's: 15 tokens in one piece, 40 at the end of a stream.
        "/tells" => axum::Json(serde_json::json!({
            "choices": [], "usage": { "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15 },
        }))
        .into_response(),
        "/tells-events" => {
            let said = [
                "data: {\"choices\":[{\"delta\":{\"content\":\"yes\"}}]}\n\n",
                "data: {\"choices\":[],\"usage\":{\"total_tokens\":40}}\n\ndata: [DONE]\n\n",
            ];
            let pieces = stream::iter(said.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))));
            ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(pieces))
                .into_response()
        }
        "/fails" => (StatusCode::INTERNAL_SERVER_ERROR, "it burnt").into_response(),
        "/moves" => {
            (StatusCode::FOUND, [(header::LOCATION, "http://elsewhere.example/")]).into_response()
        }
        _ => {
            let query = request.uri().query().unwrap_or("").to_string();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
            format!("{path}?{query} {}", String::from_utf8_lossy(&body)).into_response()
        }
    }
}

struct Market {
    gate: Arc<Gate>,
    service: Arc<Service>,
    url: String,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Market {
    fn drop(&mut self) {
        self.servers.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn listen(router: Router) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (url, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

impl Market {
    async fn open(town: &Town, prices: &str) -> Market {
        let service_state = Arc::new(Service {
            asked: AtomicUsize::new(0),
            may_go_on: Semaphore::new(0),
            seen: std::sync::Mutex::default(),
        });
        let router = Router::new().fallback(service).with_state(service_state.clone());
        let (to, first) = listen(router).await;
        Market::before(town, prices, &to, service_state, vec![first]).await
    }

    async fn before(
        town: &Town,
        prices: &str,
        to: &str,
        service: Arc<Service>,
        mut servers: Vec<tokio::task::JoinHandle<()>>,
    ) -> Market {
        let gate = Gate::new(GateParts {
            channels: Some(GateChannels { keys: vec![keeper()], limits: TillLimits::default() }),
            limits: GateLimits { settle_wait: Duration::from_secs(5), ..GateLimits::default() },
            ..town.gate_parts(town.channel_facilitator())
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // As the program does: a redirect is not the seller's to follow.
        let redirect = reqwest::redirect::Policy::none();
        drop(http()); // It chooses the cryptography for all tests.
        let client = reqwest::Client::builder().no_proxy().redirect(redirect).build().unwrap();
        let stall = Arc::new(Stall {
            name: "test".into(),
            description: "a service".into(),
            url: url.clone(),
            prices: Prices::parse(Asset::MUSD, prices).unwrap(),
            upstream: Upstream::new(to, client, Duration::from_secs(5))
                .unwrap()
                .with_header("Authorization: Bearer of-the-seller")
                .unwrap(),
            payee: seller(),
            token: town.token().clone(),
            fixed: vec![Way::Authorization, Way::Channel(terms())],
            metered: vec![Way::UpTo { facilitator: town.chain.sender() }, Way::Channel(terms())],
        });
        let door = gate.clone();
        let serve = tower::service_fn(move |request: Request| {
            let (stall, gate) = (stall.clone(), door.clone());
            async move { Ok::<_, Infallible>(stall.serve(&gate, request).await) }
        });
        let router = Router::new().fallback_service(serve);
        servers.push(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
        Market { gate, service, url, servers }
    }

    fn purchase(&self, method: Method, path: &str, body: &str) -> Purchase {
        Purchase {
            method,
            url: format!("{}{path}", self.url).parse().unwrap(),
            media_type: Some("text/plain".into()),
            body: Bytes::copy_from_slice(body.as_bytes()),
            max: None,
            agent: None,
        }
    }

    fn request(&self, payment: &wire::PaymentPayload, path: &str) -> reqwest::RequestBuilder {
        http()
            .get(format!("{}{path}", self.url))
            .header(wire::PAYMENT_SIGNATURE, wire::encode(payment))
    }

    fn by_get(&self, path: &str, payment: http::HeaderValue) -> reqwest::RequestBuilder {
        http().get(format!("{}{path}", self.url)).header(wire::PAYMENT_SIGNATURE, payment)
    }

    fn asked(&self) -> usize {
        self.service.asked.load(Ordering::SeqCst)
    }
}

const PRICES: &str = r#"
    price = "0.01"
    [[route]]
    path = "/free/*"
    price = "0"
"#;

/// Signed for as long as a stall asks.
fn payment(town: &Town, number: u64) -> wire::PaymentPayload {
    let order = town.order(&person(2), number);
    let valid_before = order.valid_before + U256::from(240);
    town.wrap(&town.sign(&person(2), SignedAuthorization { valid_before, ..order }))
}

/// The same, for up to the price.
fn metered(town: &Town, number: u64) -> wire::PaymentPayload {
    let mut order = permits::order(town, &person(2), number, true);
    if let PermitOrder::Upto(order) = &mut order.order {
        order.deadline += U256::from(240);
    }
    permits::wrap(town, &permits::sign(&person(2), order))
}

fn price() -> i128 {
    i128::from(PRICE)
}

#[tokio::test]
async fn what_is_priced_is_paid_what_is_free_passes_and_the_rest_does_not() {
    let town = Town::begin().await;
    let market = Market::open(
        &town,
        "[[route]]\npath = \"/a\"\nprice = \"0.01\"\n[[route]]\npath = \"/free/*\"\nprice = \"0\"",
    )
    .await;
    let buyer = town.buyer(1, musd(5 * price())).await;
    let paid = buyer.buy(&market.purchase(Method::POST, "/a?b=c", "hello")).await.unwrap();
    assert_eq!(paid.body, "/a?b=c hello");
    assert_eq!(paid.paid.unwrap().amount, musd(price()));
    let free = buyer.buy(&market.purchase(Method::GET, "/free/x", "")).await.unwrap();
    assert_eq!((&free.body[..], free.paid.is_none()), (&b"/free/x? "[..], true));
    let closed = http().get(format!("{}/b", market.url)).send().await.unwrap();
    assert_eq!(closed.status(), StatusCode::NOT_FOUND);
    assert_eq!(market.asked(), 2, "what is not sold does not reach the service");
    assert_eq!(town.line(seller(), Line::Sales), (price(), 0));
    town.is_whole(&[seller(), person(1).party()]).await;
}

#[tokio::test]
async fn the_service_gets_the_sellers_key_and_never_the_payment() {
    let town = Town::begin().await;
    let market = Market::open(&town, PRICES).await;
    let payment = payment(&town, 1);
    town.give(person(2).party(), musd(price())).await;
    let answer = market
        .request(&payment, "/a")
        .header("authorization", "Bearer of-the-buyer")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let seen = market.service.seen.lock().unwrap().clone();
    assert_eq!(seen["authorization"], "Bearer of-the-seller");
    assert!(!seen.contains_key(wire::PAYMENT_SIGNATURE));
}

#[tokio::test]
async fn a_service_that_fails_or_is_gone_costs_nothing() {
    let town = Town::begin().await;
    let market = Market::open(&town, PRICES).await;
    town.give(person(2).party(), musd(10 * price())).await;
    let failed = payment(&town, 1);
    let answer = Answer::of(market.request(&failed, "/fails").send().await.unwrap()).await;
    assert_eq!(answer.status, 500);
    let nobody =
        Market::before(&town, PRICES, "http://127.0.0.1:1", market.service.clone(), vec![]);
    let gone = payment(&town, 2);
    let answer = Answer::of(nobody.await.request(&gone, "/a").send().await.unwrap()).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "upstream_unreachable"));
    assert!(!answer.text.contains("127.0.0.1"), "where the service is stays the seller's");
    assert_eq!(town.owns(person(2).party()).await, 10 * price());
    assert_eq!(town.line(seller(), Line::Sales), (0, 0));
}

#[tokio::test]
async fn what_is_sold_by_another_method_quotes_by_get_and_gives_a_channels_money_back() {
    let town = Town::begin().await;
    let prices = "[[route]]\nmethod = \"POST\"\npath = \"/a\"\nprice = \"0.01\"";
    let market = Market::open(&town, prices).await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let url = format!("{}/a", market.url);
    // As the SDK's `refund(url)` does: it asks by GET, and reads the way to pay from the quote.
    let asked = Answer::of(http().get(&url).send().await.unwrap()).await;
    let quote = asked.quote.unwrap();
    assert_eq!(asked.status, 402);
    let way = quote.accepts.iter().find(|way| way.scheme == "batch-settlement").unwrap();
    let terms = wire::PaymentRequirements { amount: PRICE.to_string(), ..way.clone() };
    let send = |payment: &wire::PaymentPayload| {
        let payment = wire::PaymentPayload { accepted: terms.clone(), ..payment.clone() };
        let header = wire::encode(&payment);
        async { Answer::of(market.by_get("/a", header).send().await.unwrap()).await }
    };
    // Nothing is sold by GET, and nothing is charged for trying.
    let told = send(&client.voucher(COSTS)).await;
    assert_eq!((told.status, told.code().as_str()), (405, "not_for_sale"), "{}", told.text);
    assert_eq!((market.asked(), town.line(seller(), Line::Sales)), (0, (0, 0)));
    let back = send(&client.refund(0, None)).await;
    assert_eq!(back.status, 200, "{}", back.text);
    assert_eq!(town.on_chain(&client.config).await.balance, 0);
    assert_eq!(town.owns(client.key.party()).await, 10 * price());
    // What is not sold by any method is not there.
    assert_eq!(http().get(format!("{}/b", market.url)).send().await.unwrap().status(), 404);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_redirect_is_the_buyers_to_follow() {
    let town = Town::begin().await;
    let market = Market::open(&town, PRICES).await;
    town.give(person(2).party(), musd(price())).await;
    let payment = payment(&town, 1);
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let request = market.request(&payment, "/moves").build().unwrap();
    let answer = client.execute(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
}

#[tokio::test]
async fn events_pass_as_they_come_and_the_same_payment_gets_them_again() {
    let town = Town::begin().await;
    let market = Market::open(&town, PRICES).await;
    town.give(person(2).party(), musd(price())).await;
    let payment = payment(&town, 1);
    let answer = market.request(&payment, "/events").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let receipt: Option<wire::SettleResponse> =
        wire::decode(answer.headers(), wire::PAYMENT_RESPONSE).unwrap();
    assert!(receipt.unwrap().success, "it is paid before its first byte");
    let mut pieces = answer.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "data: one\n\n");
    // The service still works, and who asks again meanwhile is told so.
    let meanwhile = Answer::of(market.request(&payment, "/events").send().await.unwrap()).await;
    assert_eq!((meanwhile.status, meanwhile.code().as_str()), (503, "settlement_pending"));
    market.service.may_go_on.add_permits(1);
    assert_eq!(pieces.next().await.unwrap().unwrap(), "data: two\n\n");
    assert!(pieces.next().await.is_none());

    let again = loop {
        let again = Answer::of(market.request(&payment, "/events").send().await.unwrap()).await;
        if again.status != 503 {
            break again; // The copy was being written when the last piece arrived.
        }
    };
    assert_eq!((again.status, again.text.as_str()), (200, "data: one\n\ndata: two\n\n"));
    assert_eq!(market.asked(), 1);
    assert_eq!(town.line(seller(), Line::Sales), (price(), 0));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_whole() {
    let town = Town::begin().await;
    let market = Market::open(&town, PRICES).await;
    town.give(person(2).party(), musd(price())).await;
    let payment = payment(&town, 1);
    let answer = market.request(&payment, "/breaks").send().await.unwrap();
    let mut pieces = answer.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "data: one\n\n");
    market.service.may_go_on.add_permits(1);
    assert!(pieces.next().await.unwrap().is_err());
    let again = loop {
        let again = Answer::of(market.request(&payment, "/breaks").send().await.unwrap()).await;
        if again.status != 503 {
            break again;
        }
    };
    assert_eq!((again.status, again.code().as_str()), (410, "answer_not_kept"));
    assert!(again.receipt.unwrap().success);
    assert_eq!(market.asked(), 1, "one payment starts one piece of work");
}

#[tokio::test]
async fn a_buyer_who_leaves_a_paid_stream_finds_it_kept() {
    let town = Town::begin().await;
    let market = Market::open(&town, PRICES).await;
    town.give(person(2).party(), musd(price())).await;
    let payment = payment(&town, 1);
    let answer = market.request(&payment, "/events").send().await.unwrap();
    drop(answer);
    market.service.may_go_on.add_permits(1);
    let again = loop {
        let again = Answer::of(market.request(&payment, "/events").send().await.unwrap()).await;
        if again.status != 503 {
            break again;
        }
    };
    assert_eq!((again.status, again.text.as_str()), (200, "data: one\n\ndata: two\n\n"));
    assert_eq!(market.gate.recover(seller()).await, (0, 0));
}

#[tokio::test]
async fn who_hangs_up_on_a_metered_answer_pays_for_all_of_it() {
    let town = Town::begin().await;
    let prices = "price = \"0.0001\"\nper = \"kB\"\nmost = \"0.01\"";
    let market = Market::open(&town, prices).await;
    let payer = person(2);
    town.give(payer.party(), musd(price())).await;
    permits::approve(&town, &payer, U256::MAX).await;
    let signed = metered(&town, 1);
    let answer = market.request(&signed, "/events").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().get(wire::PAYMENT_RESPONSE).is_none(), "nothing is settled yet");
    drop(answer);
    market.service.may_go_on.add_permits(1);
    let again = loop {
        let again = Answer::of(market.request(&signed, "/events").send().await.unwrap()).await;
        if again.status != 503 {
            break again;
        }
    };
    assert_eq!((again.status, again.text.as_str()), (200, "data: one\n\ndata: two\n\n"));
    assert_eq!(again.receipt.unwrap().amount.as_deref(), Some("100"), "a begun kilobyte");
    assert_eq!(market.asked(), 1);
    assert_eq!(town.line(seller(), Line::Sales), (100, 0));
    assert_eq!(town.owns(payer.party()).await, price() - 100);
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_metered_answer_charges_nothing_and_begins_nothing_again() {
    let town = Town::begin().await;
    let prices = "price = \"0.0001\"\nper = \"kB\"\nmost = \"0.01\"";
    let market = Market::open(&town, prices).await;
    let payer = person(2);
    town.give(payer.party(), musd(price())).await;
    permits::approve(&town, &payer, U256::MAX).await;
    let signed = metered(&town, 1);
    let answer = market.request(&signed, "/events").send().await.unwrap();
    let mut pieces = answer.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "data: one\n\n");
    assert_eq!(town.line(seller(), Line::Sales), (0, price()), "the most is held");
    // The power fails while the answer passes, and what passes it never ends.
    drop(market);
    let town = town.crash().await;
    let again = Market::open(&town, prices).await;
    again.gate.recover(seller()).await;
    let told = Answer::of(again.request(&signed, "/events").send().await.unwrap()).await;
    assert_ne!(told.status, 200, "{}", told.text);
    assert_eq!(again.asked(), 0, "one payment starts one piece of work");
    // Nobody knows what passed, so nothing is charged; when the payment has ended its hold goes.
    town.clock.advance(Duration::from_secs(1_000));
    again.gate.recover(seller()).await;
    assert_eq!(town.line(seller(), Line::Sales), (0, 0));
    assert_eq!(town.owns(payer.party()).await, price());
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_paid_stream_leaves_it_paid_once_and_told() {
    let town = Town::begin().await;
    let market = Market::open(&town, PRICES).await;
    town.give(person(2).party(), musd(10 * price())).await;
    let payment = payment(&town, 1);
    let answer = market.request(&payment, "/events").send().await.unwrap();
    let mut pieces = answer.bytes_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "data: one\n\n");
    let service = market.service.clone();
    drop(market);
    let town = town.crash().await;
    let again = Market::open(&town, PRICES).await;
    again.gate.recover(seller()).await;
    service.may_go_on.add_permits(1);
    let told = Answer::of(again.request(&payment, "/events").send().await.unwrap()).await;
    assert_eq!((told.status, told.code().as_str()), (410, "answer_not_kept"), "{}", told.text);
    assert!(told.receipt.unwrap().success);
    assert_eq!((again.asked(), town.line(seller(), Line::Sales)), (0, (price(), 0)));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn one_balance_is_promised_to_one_streamed_answer() {
    let town = Town::begin().await;
    let prices = "price = \"0.0001\"\nper = \"kB\"\nmost = \"0.01\"";
    let market = Market::open(&town, prices).await;
    let payer = person(2);
    town.give(payer.party(), musd(price())).await;
    permits::approve(&town, &payer, U256::MAX).await;
    let first = market.request(&metered(&town, 1), "/events").send().await.unwrap();
    assert_eq!(first.status(), 200);
    let second =
        Answer::of(market.request(&metered(&town, 2), "/events").send().await.unwrap()).await;
    assert_eq!(second.status, 502, "{}", second.text);
    assert_eq!(market.asked(), 1);
    market.service.may_go_on.add_permits(1);
    drop(first);
}

#[tokio::test]
async fn a_service_that_does_not_tell_its_tokens_costs_the_most() {
    let town = Town::begin().await;
    let prices = "price = \"0.0001\"\nper = \"token\"\nmost = \"0.01\"";
    let market = Market::open(&town, prices).await;
    let payer = person(2);
    town.give(payer.party(), musd(price())).await;
    permits::approve(&town, &payer, U256::MAX).await;
    let signed = metered(&town, 1);
    let request = market.request(&signed, "/a").header("accept-encoding", "gzip");
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(town.line(seller(), Line::Sales), (price(), 0));
    assert!(!market.service.seen.lock().unwrap().contains_key("accept-encoding"));
}

#[tokio::test]
async fn a_service_that_tells_its_tokens_is_paid_for_exactly_these() {
    let town = Town::begin().await;
    let prices = "price = \"0.0001\"\nper = \"token\"\nmost = \"0.01\"";
    let market = Market::open(&town, prices).await;
    let payer = person(2);
    town.give(payer.party(), musd(10 * price())).await;
    permits::approve(&town, &payer, U256::MAX).await;
    // By `upto`: one answer in a piece, and one that streams.
    let mut earned = 0;
    for (number, (path, tokens)) in (1..).zip([("/tells", 15), ("/tells-events", 40)]) {
        let signed = metered(&town, number);
        let answer = Answer::of(market.request(&signed, path).send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert!(answer.text.contains("usage"), "{path}: the answer passes as it is");
        earned += tokens * 100;
        // One that streams is settled at its end, and who asks meanwhile is told to come again.
        let again = loop {
            let again = Answer::of(market.request(&signed, path).send().await.unwrap()).await;
            if again.status != 503 {
                break again;
            }
        };
        let told = again.receipt.unwrap().amount;
        assert_eq!((again.text, told), (answer.text, Some((tokens * 100).to_string())), "{path}");
        assert_eq!(town.line(seller(), Line::Sales), (earned, 0), "{path}");
    }
    assert_eq!(market.asked(), 2);
    assert_eq!(town.owns(payer.party()).await, 10 * price() - earned);
    // From a channel: the voucher is for the most, and the charge for what was told.
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let mut charged_so_far = 0;
    for (path, tokens) in [("/tells", 15), ("/tells-events", 40)] {
        let voucher = client.voucher(charged_so_far + COSTS);
        let answer = Answer::of(market.request(&voucher, path).send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        charged_so_far += tokens * 100;
        assert_eq!(charged(&answer), (tokens * 100).to_string(), "{path}");
    }
    assert_eq!(market.gate.collect(Collect::All).await.claimed, charged_so_far);
    assert_eq!(town.owns(seller()).await, earned + i128::try_from(charged_so_far).unwrap());
    town.is_whole(&[seller()]).await;
}

/// As the price list says, method by method.
#[tokio::test]
async fn a_route_costs_what_its_method_costs() {
    let town = Town::begin().await;
    let prices = "[[route]]\nmethod = \"POST\"\npath = \"/a\"\nprice = \"0.01\"\n\
                  [[route]]\nmethod = \"GET\"\npath = \"/a\"\nprice = \"0.002\"";
    let market = Market::open(&town, prices).await;
    let buyer = town.buyer(1, musd(5 * price())).await;
    for (method, costs) in [(Method::POST, 10_000), (Method::GET, 2_000)] {
        let bought = buyer.buy(&market.purchase(method.clone(), "/a", "")).await.unwrap();
        assert_eq!(bought.paid.unwrap().amount, musd(costs), "{method}");
    }
    let refused = http().put(format!("{}/a", market.url)).send().await.unwrap();
    assert_ne!(refused.status(), 200);
    assert_eq!((market.asked(), town.line(seller(), Line::Sales)), (2, (12_000, 0)));
    town.is_whole(&[seller(), person(1).party()]).await;
}

#[tokio::test]
async fn what_a_stall_refuses_leaves_no_trace() {
    let town = Town::begin().await;
    let market = Market::open(&town, PRICES).await;
    let digest = town.digest();
    let poor = payment(&town, 1); // Its payer has nothing.
    let mut unsigned = payment(&town, 2);
    unsigned.payload["signature"] = "0x00".into();
    let mut cheap = payment(&town, 3);
    cheap.accepted.amount = "1".into();
    let client = Client::new(&town, 0x31, 1);
    for bad in [poor, unsigned, cheap, client.voucher(COSTS)] {
        let answer = Answer::of(market.request(&bad, "/a").send().await.unwrap()).await;
        assert!((400..500).contains(&answer.status), "{}", answer.text);
        assert_eq!((town.digest(), market.asked()), (digest, 0), "{}", answer.text);
    }
}
