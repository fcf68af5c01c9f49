//! The pages and their stream over HTTP, without a browser.

mod fixture;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use fixture::{Fixture, held, reference, settled};
use http_body_util::BodyExt;
use tower::ServiceExt;
use web::*;

const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;'\u{202E}\r\n\r\nevent: trade\ndata: forged";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

async fn get_as(fixture: &Arc<Fixture>, method: &str, path: &str, accept: &str) -> Answer {
    let economy: Arc<dyn Economy> = fixture.clone();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("accept", accept)
        .body(Body::empty())
        .expect("the test's request is well formed");
    let response = router(economy).oneshot(request).await.expect("the router never fails");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("the body is whole").to_bytes();
    let body = String::from_utf8_lossy(&bytes).into_owned();
    Answer { status: parts.status, headers: parts.headers, body }
}

async fn get(fixture: &Arc<Fixture>, path: &str) -> Answer {
    get_as(fixture, "GET", path, "text/html").await
}

fn hostile(sequence: u64) -> TrailView {
    let mut trail = settled(sequence);
    trail.trade.buyer = HOSTILE.into();
    trail.trade.seller = HOSTILE.into();
    trail.trade.what = HOSTILE.into();
    trail.trade.transaction = Some(HOSTILE.into());
    trail.trade.answer = Some(AnswerView { label: HOSTILE.into(), probability_ppm: u32::MAX });
    if let Stage::Done { fact, .. } = &mut trail.quote {
        fact.resource = HOSTILE.into();
        fact.network = HOSTILE.into();
    }
    if let Stage::Done { fact, .. } = &mut trail.signature {
        fact.signature = HOSTILE.into();
    }
    if let Stage::Done { fact, .. } = &mut trail.entries {
        fact[0].book = HOSTILE.into();
        fact[0].debit = HOSTILE.into();
        fact[0].kind = HOSTILE.into();
    }
    trail.transaction = Stage::Missing { reason: HOSTILE.into() };
    trail
}

fn assert_is_only_text(page: &str) {
    for markup in ["<script>alert", "<img src=x", "\u{202E}"] {
        assert!(!page.contains(markup), "{markup:?} in {page}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)"), "the name is shown, as text: {page}");
}

#[tokio::test]
async fn hostile_names_are_text_on_every_page() {
    let mut machine = fixture::vision(3);
    machine.name = HOSTILE.into();
    machine.owner = HOSTILE.into();
    machine.offers[0].title = HOSTILE.into();
    machine.offers[0].url = format!("javascript:{HOSTILE}");
    let fixture = Arc::new(Fixture::with_machines(vec![machine]));
    fixture.publish(hostile(1));
    for path in ["/", "/trades", &format!("/trades/{}", reference(1))] {
        let answer = get(&fixture, path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_is_only_text(&answer.body);
        assert!(!answer.body.contains("href=\"javascript:"));
    }
}

#[tokio::test]
async fn a_name_without_end_is_cut() {
    let mut machine = fixture::vision(3);
    machine.name = "x".repeat(1_000_000);
    let fixture = Arc::new(Fixture::with_machines(vec![machine]));
    assert!(get(&fixture, "/").await.body.len() < 30_000);
}

#[tokio::test]
async fn a_machine_has_a_page_for_people_and_words_for_programs() {
    let fixture = Arc::new(Fixture::with_machines(vec![fixture::vision(3)]));
    let square = get(&fixture, "/").await.body;
    assert!(square.contains("href=\"/m/Iris\""), "{square}");
    let page = get(&fixture, "/m/Iris").await;
    assert_eq!(page.status, StatusCode::OK);
    for words in ["Iris", "owned by", "3 sales", "machina pay", "/m/vision/classify"] {
        assert!(page.body.contains(words), "{words} is missing from {}", page.body);
    }
    let words = get_as(&fixture, "GET", "/m/Iris", "application/json").await;
    assert_eq!(words.status, StatusCode::OK);
    assert_eq!(words.body, r#"{"name":"Iris","sold":3}"#);
}

#[tokio::test]
async fn a_machine_that_does_not_exist_has_no_page() {
    let fixture = Arc::new(Fixture::with_machines(vec![fixture::vision(3)]));
    for accept in ["text/html", "application/json"] {
        for path in ["/m/nobody", "/m/iris", "/m/%ff", "/m/%3Cscript%3E"] {
            let answer = get_as(&fixture, "GET", path, accept).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path} as {accept}");
        }
    }
}

#[tokio::test]
async fn a_hostile_machine_s_page_is_only_text() {
    let mut machine = fixture::vision(1);
    machine.name = "<script>alert(1)</script>".into();
    let fixture = Arc::new(Fixture::with_machines(vec![machine]));
    assert!(get(&fixture, "/").await.body.contains("/m/%3Cscript%3Ealert%281%29%3C%2Fscript%3E"));
    let page = get(&fixture, "/m/%3Cscript%3Ealert%281%29%3C%2Fscript%3E").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
}

#[tokio::test]
async fn a_crowd_of_machines_is_cut_and_said() {
    let crowd = (0..1_234).map(|_| fixture::vision(1)).collect();
    let page = get(&Arc::new(Fixture::with_machines(crowd)), "/").await.body;
    assert_eq!(page.matches("class=\"card\"").count(), SQUARE_MACHINES);
    assert!(page.contains("48 of 1,234"), "{page}");
}

#[tokio::test]
async fn an_unknown_or_malformed_reference_is_a_404_page() {
    let fixture = Arc::new(Fixture::with_trades(3));
    let long = format!("/trades/0x{}", "a".repeat(65));
    let longest = format!("/trades/{}", "a".repeat(20_000));
    let paths = [
        "/trades/0xdead",
        "/trades/0x",
        "/trades/1",
        "/trades/0xzz",
        "/trades/..%2f..%2fetc%2fpasswd",
        "/trades/%ff",
        "/trades/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        long.as_str(),
        longest.as_str(),
    ];
    for path in paths {
        let page = get(&fixture, path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.body.contains("There is no such trade"), "{path}: {}", page.body);
        assert!(page.body.contains("<main"), "a page, not a line");
        let line = get_as(&fixture, "GET", path, "*/*").await;
        assert_eq!(line.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!line.body.contains('<'), "a program gets plain text: {}", line.body);
    }
    assert!(get(&fixture, "/nowhere").await.body.contains("There is no such page"));
}

#[tokio::test]
async fn a_reference_may_be_written_in_capitals() {
    let fixture = Arc::new(Fixture::with_trades(3));
    let path = format!("/trades/0x{}", reference(2)[2..].to_uppercase());
    assert_eq!(get(&fixture, &path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_place_that_is_no_number_is_a_400_page() {
    let fixture = Arc::new(Fixture::with_trades(3));
    for place in ["-1", "x", "", "99999999999999999999999", "1&before=2"] {
        let answer = get(&fixture, &format!("/trades?before={place}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{place}");
        assert!(answer.body.contains("whole number"));
    }
    assert_eq!(get(&fixture, "/events?since=soon").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn pages_can_only_be_read() {
    let fixture = Arc::new(Fixture::with_trades(3));
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = get_as(&fixture, method, "/", "text/html").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers["allow"], "GET, HEAD");
        assert!(answer.body.contains("can only be read"));
    }
    assert_eq!(get_as(&fixture, "HEAD", "/", "text/html").await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_carries_the_policy() {
    let fixture = Arc::new(Fixture::with_trades(3));
    let style = asset_in(&get(&fixture, "/").await.body, ".css");
    let trail = format!("/trades/{}", reference(1));
    for path in
        ["/", "/trades", "/economy", &trail, "/nowhere", "/healthz", &style, "/trades?before=x"]
    {
        let headers = get(&fixture, path).await.headers;
        let policy = headers["content-security-policy"].to_str().expect("ASCII");
        assert!(policy.starts_with("default-src 'none'; "), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
    }
}

#[tokio::test]
async fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
    let fixture = Arc::new(Fixture::with_trades(30));
    for path in ["/", "/trades", "/economy", &format!("/trades/{}", reference(1)), "/nowhere"] {
        let page = get(&fixture, path).await.body;
        for inline in [" style=", "<style", "<script>", " onload=", " onclick=", "javascript:"] {
            assert!(!page.contains(inline), "{inline} on {path}");
        }
        for link in ["src=\"", "href=\""] {
            for target in page.split(link).skip(1) {
                assert!(target.starts_with(['/', '#']), "{path}: {}", &target[..40]);
                assert!(!target.starts_with("//"), "{path}");
            }
        }
    }
}

fn asset_in(page: &str, ending: &str) -> String {
    page.split('"')
        .find(|part| part.starts_with("/assets/") && part.ends_with(ending))
        .expect("the page names its assets")
        .to_owned()
}

#[tokio::test]
async fn assets_are_named_by_content_and_kept_for_a_year() {
    let fixture = Arc::new(Fixture::with_trades(3));
    let page = get(&fixture, "/").await.body;
    for (ending, media_type) in
        [(".css", "text/css"), (".js", "text/javascript"), (".svg", "image/svg+xml")]
    {
        let path = asset_in(&page, ending);
        let answer = get(&fixture, &path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(answer.headers["content-type"].to_str().expect("ASCII").starts_with(media_type));
        assert_eq!(answer.headers["cache-control"], "public, max-age=31536000, immutable");
        let other = path.replacen('.', ".0", 1);
        assert_eq!(get(&fixture, &other).await.status, StatusCode::NOT_FOUND, "{other}");
    }
    let asking = get(&fixture, "/outlook").await.body;
    for page in [page, asking] {
        let script = get(&fixture, &asset_in(&page, ".js")).await.body;
        assert!(script.len() <= 5_000, "the script has {} bytes", script.len());
    }
}

#[tokio::test]
async fn pictures_are_served_in_a_sandbox() {
    let fixture = Arc::new(Fixture::with_trades(3));
    let answer = get(&fixture, &format!("/pictures/{}", reference(1))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "image/png");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    let policy = answer.headers["content-security-policy"].to_str().expect("ASCII");
    assert_eq!(policy, "default-src 'none'; sandbox; frame-ancestors 'none'");
    assert!(answer.headers["cache-control"].to_str().expect("ASCII").starts_with("private"));
}

#[tokio::test]
async fn a_picture_that_could_carry_script_is_not_served() {
    let fixture = Arc::new(Fixture::with_trades(3));
    let answer = get(&fixture, &format!("/pictures/{}", reference(777))).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(!answer.body.contains("onload"));
}

#[tokio::test]
async fn an_economy_that_breaks_costs_one_page() {
    let fixture = Arc::new(Fixture::with_trades(3));
    let answer = get(&fixture, &format!("/trades/{}", reference(666))).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.body.contains("Nothing was changed"));
    assert!(!answer.body.contains("panicked"), "no insides on a page");
    assert_eq!(get(&fixture, "/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_quiet_square_tells_how_to_begin() {
    let page = get(&Arc::new(Fixture::quiet()), "/").await.body;
    for words in ["machina demo", "machina pay --data @photo.jpg", "/m/vision/classify", "is quiet"]
    {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("play money"));
}

#[tokio::test]
async fn paging_shows_every_trade_once() {
    let fixture = Arc::new(Fixture::with_trades(2 * PAGE_TRADES as u64 + 1));
    let mut path = "/trades".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = get(&fixture, &path).await.body;
        seen.extend(page.split("data-sequence=\"").skip(1).map(|rest| {
            rest.split('"').next().expect("an attribute ends").parse::<u64>().expect("a number")
        }));
        let Some(next) = page.split("rel=\"next\" href=\"").nth(1) else { break };
        path = next.split('"').next().expect("an attribute ends").to_owned();
    }
    assert_eq!(seen, (1..=101).rev().collect::<Vec<u64>>());
}

#[tokio::test]
async fn the_trail_tells_each_stage_and_what_did_not_happen() {
    let fixture = Arc::new(Fixture::with_trades(1));
    let page = get(&fixture, &format!("/trades/{}", reference(1))).await.body;
    for words in ["At most 1 MUSD ever", "EfficientNet-Lite0", "posted", "tabby cat", "83,412"] {
        assert!(page.contains(words), "{words}");
    }
    fixture.publish(held(2));
    let page = get(&fixture, &format!("/trades/{}", reference(2))).await.body;
    assert_eq!(page.matches("Not yet").count(), 3, "work, transaction, entries");
    fixture.publish(fixture::refused(3));
    let page = get(&fixture, &format!("/trades/{}", reference(3))).await.body;
    assert_eq!(page.matches("Did not happen").count(), 5);
    assert!(page.contains("the mandate refused the payment"));
}

#[tokio::test]
async fn health_is_one_word() {
    let answer = get(&Arc::new(Fixture::quiet()), "/healthz").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "ok\n"));
}

/// A reader of the stream.
struct Listener {
    body: Body,
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Heard {
    event: String,
    id: String,
    data: String,
}

impl Listener {
    async fn open(service: &axum::Router, path: &str, last: Option<&str>) -> Listener {
        let mut request = Request::get(path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).expect("the test's request is well formed");
        let response = service.clone().oneshot(request).await.expect("the router never fails");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut listener = Listener { body: response.into_body(), text: String::new() };
        let hello = listener.block().await.expect("the stream says hello");
        assert!(hello.contains("retry: 2000"), "{hello}");
        listener
    }

    /// The next block of lines; `None` at the stream's end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let frame = tokio::time::timeout(Duration::from_secs(30), self.body.frame());
            let frame = frame.await.expect("the stream is not stuck")?;
            let data = frame.expect("the stream is whole").into_data().expect("data");
            self.text.push_str(std::str::from_utf8(&data).expect("UTF-8"));
        }
    }

    async fn next(&mut self) -> Option<Heard> {
        let block = self.block().await?;
        let field = |name: &str| {
            let lines = block.lines().filter_map(|line| line.strip_prefix(name));
            lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
        };
        Some(Heard { event: field("event:"), id: field("id:"), data: field("data:") })
    }

    async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let heard = self.next().await.expect("the stream goes on");
            assert_eq!(heard.event, "trade");
            ids.push(heard.id);
        }
        ids
    }
}

fn serve(fixture: &Arc<Fixture>) -> axum::Router {
    router(fixture.clone())
}

#[tokio::test]
async fn a_reader_that_returns_gets_what_it_missed_then_what_is_new() {
    let fixture = Arc::new(Fixture::with_trades(5));
    let service = serve(&fixture);
    let mut listener = Listener::open(&service, "/events", Some("2")).await;
    fixture.publish(settled(6));
    assert_eq!(listener.ids(4).await, ["3", "4", "5", "6"]);
}

#[tokio::test]
async fn a_trade_that_is_missed_and_told_at_once_is_told_once() {
    let fixture = Arc::new(Fixture::with_trades(1));
    let service = serve(&fixture);
    let mut listener = Listener::open(&service, "/events?since=0", None).await;
    // The channel repeats what the books already told: same trade, same state.
    fixture.publish(settled(1));
    fixture.publish(settled(2));
    assert_eq!(listener.ids(2).await, ["1", "2"]);
}

#[tokio::test]
async fn the_header_wins_over_the_query() {
    let fixture = Arc::new(Fixture::with_trades(5));
    let service = serve(&fixture);
    let mut listener = Listener::open(&service, "/events?since=1", Some("4")).await;
    assert_eq!(listener.ids(1).await, ["5"]);
    let mut listener = Listener::open(&service, "/events?since=4", Some("rubbish")).await;
    assert_eq!(listener.ids(1).await, ["5"]);
}

#[tokio::test]
async fn a_reader_without_a_place_hears_only_what_is_new() {
    let fixture = Arc::new(Fixture::with_trades(5));
    let service = serve(&fixture);
    let mut listener = Listener::open(&service, "/events", None).await;
    fixture.publish(settled(6));
    assert_eq!(listener.ids(1).await, ["6"]);
}

#[tokio::test]
async fn a_change_of_an_older_trade_does_not_move_the_place_back() {
    let fixture = Arc::new(Fixture::with_trades(3));
    fixture.record(held(2));
    let service = serve(&fixture);
    let mut listener = Listener::open(&service, "/events?since=3", None).await;
    fixture.publish(settled(2));
    let heard = listener.next().await.expect("the stream goes on");
    assert_eq!(heard.id, "3");
    assert!(heard.data.contains(&reference(2)));
}

#[tokio::test]
async fn a_reader_that_missed_too_much_is_told_to_read_the_page_again() {
    let fixture = Arc::new(Fixture::with_trades(RESUME_TRADES as u64 + 1));
    let service = serve(&fixture);
    let mut listener = Listener::open(&service, "/events?since=0", None).await;
    let heard = listener.next().await.expect("the stream goes on");
    assert_eq!((heard.event.as_str(), heard.id.as_str()), ("stale", "201"));
    let mut listener = Listener::open(&service, "/events?since=1", None).await;
    assert_eq!(listener.ids(RESUME_TRADES).await.len(), RESUME_TRADES);
}

#[tokio::test]
async fn a_slow_reader_loses_no_trade_and_hears_that_it_was_slow() {
    let fixture = Arc::new(Fixture::with_trades(1));
    let service = serve(&fixture);
    let mut listener = Listener::open(&service, "/events?since=1", None).await;
    // The fixture's channel keeps 64.
    for sequence in 2..=150 {
        fixture.publish(settled(sequence));
    }
    let heard = listener.next().await.expect("the stream goes on");
    assert_eq!(heard.event, "stale");
    let expected: Vec<String> = (2..=150).map(|n: u64| n.to_string()).collect();
    assert_eq!(listener.ids(149).await, expected);
}

#[tokio::test]
async fn one_reader_too_many_is_turned_away_until_a_seat_is_free() {
    let fixture = Arc::new(Fixture::with_trades(1));
    let service = serve(&fixture);
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS {
        listeners.push(Listener::open(&service, "/events", None).await);
    }
    let request = Request::get("/events").body(Body::empty()).expect("well formed");
    let answer = service.clone().oneshot(request).await.expect("the router never fails");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "10");
    listeners.pop();
    Listener::open(&service, "/events", None).await;
}

#[tokio::test]
async fn closing_the_channel_ends_the_stream() {
    let fixture = Arc::new(Fixture::with_trades(1));
    let service = serve(&fixture);
    let mut listener = Listener::open(&service, "/events?since=0", None).await;
    fixture.close();
    assert_eq!(listener.ids(1).await, ["1"]);
    assert_eq!(listener.next().await, None);
}

#[tokio::test]
async fn a_name_cannot_forge_an_event() {
    let fixture = Arc::new(Fixture::with_trades(0));
    let service = serve(&fixture);
    let mut listener = Listener::open(&service, "/events", None).await;
    fixture.publish(hostile(1));
    fixture.publish(settled(2));
    let heard = listener.next().await.expect("the stream goes on");
    assert_eq!((heard.event.as_str(), heard.id.as_str()), ("trade", "1"));
    assert_is_only_text(&heard.data);
    assert_eq!(listener.ids(1).await, ["2"]);
}

#[tokio::test]
async fn the_economy_s_page_shows_sums_that_open_into_their_trades() {
    let fixture = Arc::new(Fixture::with_trades(120));
    let page = get(&fixture, "/economy").await;
    assert_eq!(page.status, StatusCode::OK);
    for words in
        ["By production", "By expenditure", "By income", "Household consumption", "multiplier"]
    {
        assert!(page.body.contains(words), "{words} is missing");
    }
    // The headline, the line, a measure, a pair, a row, its column and a cell of the table.
    assert!(page.body.contains("href=\"/economy/gdp\""));
    assert!(page.body.matches("href=\"/economy/household-consumption\"").count() >= 10);
    let figure = "/economy/household-consumption";
    assert!(page.body.contains(&format!("href=\"{figure}\"")));
    let trades = get(&fixture, figure).await;
    assert_eq!(trades.status, StatusCode::OK);
    assert_eq!(trades.body.matches("class=\"trade\"").count(), PAGE_TRADES);
    let older = format!("{figure}?before=71");
    assert!(trades.body.contains(&format!("href=\"{older}\"")), "{}", trades.body);
    let next = get(&fixture, &older).await;
    assert!(next.body.contains(&reference(70)) && !next.body.contains(&reference(71)));
}

#[tokio::test]
async fn a_figure_that_does_not_exist_has_no_page() {
    let fixture = Arc::new(Fixture::with_trades(3));
    for path in ["/economy/gold", "/economy/%ff", "/economy/of-%3Cscript%3E", "/economy/a/b"] {
        assert_eq!(get(&fixture, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let bad = get(&fixture, "/economy/household-consumption?before=x").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_economy_before_its_first_trade_has_a_page_too() {
    let page = get(&Arc::new(Fixture::quiet()), "/economy").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("Nobody has paid anybody"), "{}", page.body);
}

#[tokio::test]
async fn what_somebody_says_of_an_override_is_text_and_nothing_else() {
    let base = fixture::ledgers::village(1_000);
    let one = OverrideView {
        trade: format!("0x{}", "5f".repeat(32)),
        amount: base.gdp,
        from: "final household".into(),
        to: "intermediate".into(),
        reason: HOSTILE.into(),
        by: HOSTILE.into(),
        at: fixture::MORNING,
    };
    let odd = OverrideView { trade: "javascript:alert(1)".into(), ..one.clone() };
    let mut accounts = AccountsView { overridden: 2, overrides: vec![one, odd], ..base };
    accounts.expenditure[0].overrides = 1;
    let page = economy_document(&accounts);
    assert!(page.contains("2 trades count otherwise than declared"), "{page}");
    assert!(page.contains("(1 override)"), "{page}");
    assert!(page.contains("Counted otherwise than declared"));
    assert!(!page.contains("<script>alert") && !page.contains("<img src=x"), "{page}");
    assert!(!page.contains("href="), "a file alone leads nowhere");
}

#[tokio::test]
async fn the_outlook_tells_both_claims_every_model_the_past_and_the_record() {
    let fixture = Arc::new(Fixture::with_trades(3));
    let page = get(&fixture, "/outlook").await;
    assert_eq!(page.status, StatusCode::OK);
    let models = outlook::rivals::RIVALS.map(|rival| rival.name());
    for words in models.into_iter().chain([
        "Machines add 2 to 4 trillion dollars",
        "Crypto is worth 17 trillion dollars",
        "structural",
        "Acemoglu 2024",
        "Not used by default",
        "not as it was entered",
        "since block 1,204",
        "open until 2030-12-31",
        "missed",
        "as this economy measures it",
        "Not measured here: networks have sold nothing",
    ]) {
        assert!(page.body.contains(words), "{words} is missing");
    }
    for driver in outlook::Driver::ALL {
        let slider = format!("<input id=\"at-{driver}\" type=\"range\"");
        assert!(page.body.contains(&slider), "{driver} has no slider");
    }
    assert!(!page.body.contains("NaN") && page.body.len() < 200_000, "{}", page.body.len());
}

#[tokio::test]
async fn a_form_is_led_to_the_address_that_says_the_same_in_few_words() {
    let fixture = Arc::new(Fixture::with_trades(3));
    let form = "/outlook?form=1&horizon=2030&scenario=debasement&adoption=0.4&hold=share&share=0.3\
                &quantity=crypto_cap&value=&year=2034";
    let answer = get(&fixture, form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.headers["location"], "/outlook?horizon=2030&scenario=debasement&share=0.3");
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_told_and_runs_nothing() {
    let fixture = Arc::new(Fixture::with_trades(3));
    for (query, words) in [
        ("adoption=150%25", "between 0 % and 100 %"),
        ("adoption=1e999", "is no number"),
        ("horizon=-2034", "the horizon -2034 is not between"),
        ("horizon=999999999999", "is no number"),
        ("solve=crypto_cap=0@2034", "above zero"),
        ("%3Cscript%3Ealert(1)=1", "&lt;script&gt;alert(1)"),
        ("scenario=%3Cimg+src=x%3E", "&lt;img src=x&gt;"),
        ("adoption=%FF%00", "is no number"),
    ] {
        let answer = get(&fixture, &format!("/outlook?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.body.contains(words), "{query}: {words}");
        assert!(answer.body.contains("below is the answer without it"), "{query}");
        assert!(!answer.body.contains("<script>alert") && !answer.body.contains("<img src=x"));
    }
    let long = format!("/outlook?adoption={}", "1".repeat(5_000));
    assert_eq!(get(&fixture, &long).await.status, StatusCode::URI_TOO_LONG);
}

#[tokio::test]
async fn a_driver_held_where_nothing_is_left_still_gives_a_page() {
    let fixture = Arc::new(Fixture::with_trades(3));
    for query in [
        "exposure=0",
        "settled=0&take=0",
        "horizon=2027",
        "horizon=2050&scenario=all-three",
        "exposure=0&solve=machine_gdp=1T@2034",
        "settled=0&solve=networks=1T@2034",
        "velocity=100000&multiple=1000&holdings=1e14",
    ] {
        let answer = get(&fixture, &format!("/outlook?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}");
        assert!(!answer.body.contains("NaN") && !answer.body.contains(">inf"), "{query}");
    }
}

#[tokio::test]
async fn what_the_page_says_is_what_the_outlook_says() {
    use outlook::{Driver, Horizon, Plan, Question, answer, backtest};
    let mut question = Question::new(Horizon::new(2034).expect("a year"));
    question.hold(Driver::Share, 0.4).expect("in range");
    let facts = outlook::Facts::bundled();
    let past = backtest::run(&facts, outlook::Series::CryptoCap);
    let plan = Plan::new(20_000, 1, std::num::NonZeroUsize::MIN).expect("a plan");
    let report = answer(&question, plan, &facts, &past).expect("an answer");
    let p = report.projection.crypto_cap_claim.share().expect("it was drawn");
    let page = get(&Arc::new(Fixture::with_trades(3)), "/outlook?share=40%25").await.body;
    let says = format!("17T in crypto: <strong>{}</strong>", outlook::number::chance(p));
    assert!(page.contains(&says), "{says}");
    assert!(page.contains("<code>share=0.4</code>"));
    for (year, q) in outlook::chart::Fan::of_crypto_cap(&report.projection.fan, &facts).drawn() {
        let row = format!(
            "<tr><th scope=\"row\">{year}</th><td class=\"number\">{}</td>",
            outlook::number::dollars(q[0])
        );
        assert!(page.contains(&row), "{row}");
    }
}
