//! The pages in a real browser: looks, quiet and liveness.
//!
//! Screenshots are kept in `target/screenshots`.

mod chromium;
mod fixture;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use chromium::Chromium;
use fixture::{Fixture, held, reference, settled};
use serde_json::json;
use tokio::runtime::Runtime;
use web::{AnswerView, JobStageView, SQUARE_TRADES, TradeState};

/// A served economy. One at a time: browsers are large.
struct Stage {
    fixture: Arc<Fixture>,
    address: String,
    _runtime: Runtime,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    fn of(fixture: Fixture) -> Stage {
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed in its turn did no harm to the next.
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let runtime = Runtime::new().expect("threads for the server");
        let fixture = Arc::new(fixture);
        let router = web::router(fixture.clone()).merge(fixture::mine::router());
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(("127.0.0.1", 0)))
            .expect("a free port on the loopback");
        let address = format!("http://{}", listener.local_addr().expect("it is bound"));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Stage { fixture, address, _runtime: runtime, _turn: turn }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }
}

fn shots() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/screenshots");
    std::fs::create_dir_all(&folder).expect("room for screenshots");
    folder
}

/// Text whose contrast with what is behind it is below WCAG 2.2 AA (1.4.3: 4.5, or 3 for large
/// text), by the relative luminance that it defines. Backgrounds here are plain colours.
const FAINT: &str = r#"(() => {
    const parse = (c) => (c.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
    const light = (c) => {
        const [r, g, b] = parse(c).slice(0, 3).map((v) => v / 255)
            .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (e) => {
        for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor, [, , , a = 1] = parse(c);
            if (a === 1) return c;
        }
        return "rgb(255, 255, 255)";
    };
    const faint = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const node = walk.currentNode, e = node.parentElement;
        if (!node.data.trim() || !e.getClientRects().length || e.closest(".unseen, .skip, svg")) continue;
        const style = getComputedStyle(e), size = parseFloat(style.fontSize);
        const [a, b] = [light(style.color), light(behind(e))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        if (contrast < (large ? 3 : 4.5)) faint.push(`${node.data.trim()}: ${contrast.toFixed(2)}`);
    }
    return faint;
})()"#;

/// Elements that reach over the page's edge, and so make it scroll sideways.
const WIDE: &str = r#"(() => {
    const edge = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= edge) return [];
    return [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > edge + 1)
        .map((e) => e.outerHTML.slice(0, 120));
})()"#;

/// What makes a page usable by ear and by keyboard, as far as a program can tell: one first
/// heading, no level skipped, names for links, pictures and buttons, unique ids, the landmarks.
const UNSOUND: &str = r#"(() => {
    const bad = [], all = (s) => [...document.querySelectorAll(s)];
    if (all("h1").length !== 1) bad.push("h1");
    all("h1, h2, h3, h4").reduce((above, h) => {
        const level = Number(h.tagName[1]);
        if (level > above + 1) bad.push(`heading ${h.textContent}`);
        return level;
    }, 0);
    for (const e of all("a, button")) if (!e.textContent.trim()) bad.push(e.outerHTML);
    for (const e of all("img")) if (!e.hasAttribute("alt")) bad.push(e.outerHTML);
    for (const e of all("img")) if (e.loading !== "lazy" && !e.naturalWidth) bad.push(`broken ${e.src}`);
    const ids = all("[id]").map((e) => e.id);
    ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => bad.push(`id ${id}`));
    for (const s of ["main", "header", "footer", "nav[aria-label]", "html[lang]"]) if (!all(s).length) bad.push(s);
    return bad;
})()"#;

/// A question with everything in it.
const ASKED: &str = "/outlook?horizon=2030&scenario=debasement&share=0.3&measured=turnover&solve=crypto_cap=1.7e13@2034";

#[test]
fn every_page_is_whole_quiet_and_readable_in_both_themes_and_at_both_widths() {
    let busy = Stage::of(Fixture::with_trades(64));
    busy.fixture.publish(held(65));
    busy.fixture.publish(fixture::refused(66));
    busy.fixture.publish(settled(67));
    let trail = |n| format!("/trades/{}", reference(n));
    let pages = [
        ("square", "/".to_owned()),
        ("trades", "/trades".to_owned()),
        ("trail", trail(67)),
        ("trail-held", trail(65)),
        ("trail-refused", trail(66)),
        ("economy", "/economy".to_owned()),
        ("figure", "/economy/household-consumption".to_owned()),
        ("outlook", "/outlook".to_owned()),
        ("outlook-asked", ASKED.to_owned()),
        ("market", "/market".to_owned()),
        ("market-search", "/market?q=foreman".to_owned()),
        ("jobs", "/jobs".to_owned()),
        ("job", format!("/jobs/{}", fixture::hall::name(1))),
        ("job-checking", format!("/jobs/{}", fixture::hall::name(2))),
        ("job-paid", format!("/jobs/{}", fixture::hall::name(3))),
        ("job-given-back", format!("/jobs/{}", fixture::hall::name(4))),
        ("machine", "/m/Iris".to_owned()),
        ("work", "/mine/work".to_owned()),
        ("work-open", format!("/mine/work/{}", fixture::hall::name(41))),
        ("work-answer", format!("/mine/work/{}", fixture::hall::name(42))),
        ("work-accept", format!("/mine/work/{}", fixture::hall::name(43))),
        ("work-decide", format!("/mine/work/{}", fixture::hall::name(44))),
        ("work-refused", "/mine/work/refused".to_owned()),
        ("not-found", "/nowhere".to_owned()),
    ];
    let mut browser = Chromium::start();
    for (name, path) in pages {
        look(&mut browser, &busy.at(&path), name);
    }
    let strange: Vec<_> =
        browser.asked.iter().filter(|url| !url.starts_with(&busy.address)).collect();
    assert!(strange.is_empty(), "asked elsewhere: {strange:?}");
}

#[test]
fn an_economy_before_its_first_trade_is_a_designed_page() {
    let quiet = Stage::of(Fixture::quiet());
    let mut browser = Chromium::start();
    look(&mut browser, &quiet.at("/"), "square-quiet");
    look(&mut browser, &quiet.at("/economy"), "economy-quiet");
    look(&mut browser, &quiet.at("/market"), "market-quiet");
}

#[test]
fn a_job_goes_its_way_on_an_open_page_and_on_the_market_s() {
    let stage = Stage::of(Fixture::with_trades(3));
    let mut browser = Chromium::start();
    browser.dress(390, "light");
    for (path, state) in [
        (
            format!("/jobs/{}", fixture::hall::name(1)),
            "document.querySelector('.sum .state').textContent",
        ),
        ("/market".to_owned(), "document.querySelector('#jobs .state').textContent"),
    ] {
        stage.fixture.work(JobStageView::Working, JobStageView::Checking);
        browser.open(&stage.at(&path));
        browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
        browser.wait(&format!("{state} === 'at work'"));
        stage.fixture.work(JobStageView::Checking, JobStageView::Completed);
        browser.wait(&format!("{state} === 'checking'"));
        stage.fixture.work(JobStageView::Completed, JobStageView::Completed);
        browser.wait(&format!("{state} === 'paid'"));
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_bid_arrives_a_record_grows_and_a_worker_s_page_says_what_it_can_on_a_phone() {
    let stage = Stage::of(Fixture::with_trades(3));
    let mut browser = Chromium::start();
    browser.dress(390, "light");
    stage.fixture.bid(0, true);
    browser.open(&stage.at("/market"));
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
    // Who reloads loses this mark.
    browser.wait("(window.mark = 'not reloaded') !== ''");
    let says = |place: &str, told: &str| {
        format!(
            "window.mark === 'not reloaded' && document.querySelector('{place}').textContent.includes('{told}')"
        )
    };
    browser.wait(&says("#jobs .round", "no bid yet"));
    browser.wait(&says("#jobs .round", "0.4 s left"));
    stage.fixture.bid(1, true);
    browser.wait(&says("#jobs .round", "1 sealed bid"));
    stage.fixture.bid(3, true);
    browser.wait(&says("#jobs .round", "3 sealed bids"));
    stage.fixture.bid(3, false);
    browser.wait(&says("#jobs .round", "3 open bids"));
    stage.fixture.work(JobStageView::Working, JobStageView::Working);
    browser.wait("window.mark === 'not reloaded' && !document.querySelector('#jobs .round')");
    // An offer's record grows on the same page.
    browser.wait(&says("#offers .record", "of 42 pieces of evidence"));
    stage.fixture.pass(42);
    browser.wait(&says("#offers .record", "of 43 pieces of evidence"));
    browser.wait("document.documentElement.scrollWidth <= 390");
    // And the worker's own page: skill, model, record with its interval, earnings, uptime.
    browser.open(&stage.at("/m/Iris"));
    for (place, told) in [
        (".skills .skill", "vision/classify"),
        (".skills .skill", "EfficientNet-Lite0"),
        (".skills .record", "Passes at least 87.7"),
        (".skills .record", "expected 95"),
        (".skills li", "41 jobs passed and paid"),
        (".skills li", "0.10168"),
        (".skills li", "half of them within 1.4 s"),
        ("#machine .uptime", "Up without a break since"),
    ] {
        browser.wait(&format!("document.querySelector('{place}').textContent.includes('{told}')"));
    }
    browser
        .wait("document.querySelector('.skills .interval rect.full').width.baseVal.value === 117");
    browser.wait("document.documentElement.scrollWidth <= 390");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_economy_s_figures_follow_a_trade_without_a_reload() {
    let stage = Stage::of(Fixture::with_trades(3));
    let mut browser = Chromium::start();
    browser.dress(1280, "light");
    browser.open(&stage.at("/economy"));
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
    let grand =
        |minor: u64| format!("document.querySelector('#ways .grand .money').value === '{minor}'");
    browser.wait(&grand(3_000));
    stage.fixture.publish(settled(4));
    browser.wait(&grand(4_000));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

fn look(browser: &mut Chromium, url: &str, name: &str) {
    for (theme, width) in [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)] {
        browser.dress(width, theme);
        browser.open(url);
        let live = browser.evaluate("document.body.dataset.since !== undefined");
        if live == true {
            browser.wait("document.getElementById('lamp').dataset.state === 'live'");
        }
        // Pictures below the fold load when they come near it.
        browser
            .evaluate("document.querySelectorAll('img').forEach((i) => { i.loading = 'eager' })");
        browser.wait("[...document.images].every((i) => i.complete)");
        browser.screenshot(&shots().join(format!("{name}-{width}-{theme}.png")));
        let here = format!("{name} at {width}, {theme}");
        for (what, audit) in [("faint", FAINT), ("too wide", WIDE), ("unsound", UNSOUND)] {
            assert_eq!(browser.evaluate(audit), json!([]), "{what}: {here}");
        }
        let mut complaints = browser.complaints();
        if name == "not-found" {
            // The browser reports the page's own status, and that alone.
            complaints.retain(|text| !text.contains("404"));
        }
        assert!(complaints.is_empty(), "{here}: {complaints:?}");
    }
}

#[test]
fn a_trade_arrives_in_an_open_page_and_settles_there() {
    let stage = Stage::of(Fixture::with_trades(SQUARE_TRADES as u64));
    let mut browser = Chromium::start();
    browser.dress(1280, "light");
    browser.open(&stage.at("/"));
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
    let rows = "document.querySelectorAll('#feed > li').length";
    assert_eq!(browser.evaluate(rows), SQUARE_TRADES);

    let next = SQUARE_TRADES as u64 + 1;
    let first =
        format!("document.querySelector('#feed > li:first-child').id === 't-{}'", reference(next));
    let state =
        |word: &str| format!("document.querySelector('#feed .state').textContent === '{word}'");
    stage.fixture.publish(held(next));
    browser.wait(&format!("{first} && {}", state("held")));
    browser.wait("document.getElementById('said').textContent.includes('set aside')");
    stage.fixture.publish(settled(next));
    browser.wait(&format!("{first} && {}", state("settled")));
    assert_eq!(browser.evaluate(rows), SQUARE_TRADES, "the oldest made room");
    // The figures follow: each trade adds 0.001.
    let gdp = format!("document.querySelector('.grand .money').value === '{}'", next * 1_000);
    browser.wait(&gdp);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_hostile_name_that_arrives_live_runs_nothing() {
    let stage = Stage::of(Fixture::with_trades(1));
    let mut browser = Chromium::start();
    browser.open(&stage.at("/"));
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
    let mut trail = settled(2);
    let hostile = "<img src=x onerror=\"window.pwned=1\"><script>window.pwned=1</script>";
    trail.trade.buyer = hostile.into();
    trail.trade.what = format!("\" onmouseover=window.pwned=1 x=\"{hostile}");
    trail.trade.answer = Some(AnswerView { label: hostile.into(), probability_ppm: 1 });
    stage.fixture.publish(trail);
    browser.wait("document.querySelectorAll('#feed > li').length === 2");
    let page =
        "[typeof window.pwned, document.querySelectorAll('#feed script, [onmouseover]').length]";
    assert_eq!(browser.evaluate(page), json!(["undefined", 0]));
    assert_eq!(browser.complaints(), Vec::<String>::new(), "not even the policy was needed");
}

#[test]
fn the_first_trade_ends_the_quiet() {
    let stage = Stage::of(Fixture::quiet());
    let mut browser = Chromium::start();
    browser.open(&stage.at("/"));
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
    assert_eq!(browser.evaluate("document.getElementById('quiet') !== null"), true);
    stage.fixture.publish(settled(1));
    browser.wait("document.getElementById('quiet') === null");
    assert_eq!(browser.evaluate("document.querySelectorAll('#feed > li').length"), 1);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_paused_stream_waits_and_tells_how_much() {
    let stage = Stage::of(Fixture::with_trades(1));
    let mut browser = Chromium::start();
    browser.open(&stage.at("/"));
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
    browser.evaluate("document.getElementById('pause').click()");
    stage.fixture.publish(settled(2));
    browser.wait("document.getElementById('pause').textContent === 'Resume (1 new)'");
    assert_eq!(browser.evaluate("document.querySelectorAll('#feed > li').length"), 1);
    browser.evaluate("document.getElementById('pause').click()");
    browser.wait("document.querySelectorAll('#feed > li').length === 2");
}

#[test]
fn a_page_whose_stream_broke_catches_up() {
    let stage = Stage::of(Fixture::with_trades(1));
    stage.fixture.record(held(2));
    let mut browser = Chromium::start();
    browser.open(&stage.at("/"));
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
    stage.fixture.close();
    browser.wait("document.getElementById('lamp').dataset.state === 'away'");
    stage.fixture.record(settled(2));
    stage.fixture.record(settled(3));
    stage.fixture.reopen();
    browser.wait("document.querySelectorAll('#feed .state.settled').length === 3");
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
}

#[test]
fn a_trail_that_is_under_way_completes_itself() {
    let stage = Stage::of(Fixture::with_trades(1));
    stage.fixture.publish(held(2));
    let mut browser = Chromium::start();
    browser.open(&stage.at(&format!("/trades/{}", reference(2))));
    assert_eq!(browser.evaluate("document.querySelectorAll('.not-yet').length"), 3);
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
    let done = settled(2);
    assert_eq!(done.trade.state, TradeState::Settled);
    stage.fixture.publish(done);
    browser.wait("document.querySelectorAll('.stage.done').length === 7");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_square_is_complete_without_javascript() {
    let stage = Stage::of(Fixture::with_trades(30));
    let mut browser = Chromium::start();
    browser.command("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.open(&stage.at("/"));
    let page =
        "[document.querySelectorAll('#feed > li').length, document.getElementById('lamp').hidden,
        document.getElementById('pause').hidden, document.querySelectorAll('.card').length]";
    assert_eq!(browser.evaluate(page), json!([SQUARE_TRADES, true, true, 3]));
}

#[test]
fn a_slider_changes_the_outlook_without_a_reload_and_its_address_says_the_same() {
    let stage = Stage::of(Fixture::with_trades(3));
    let mut browser = Chromium::start();
    browser.dress(1280, "light");
    browser.open(&stage.at("/outlook"));
    browser.evaluate("window.stayed = true");
    let now = "document.getElementById('now').textContent";
    let before = browser.evaluate(now);
    let slide = "(() => { const s = document.getElementById('at-share'); s.value = 0.4;
        s.dispatchEvent(new Event('input', { bubbles: true })); })()";
    browser.evaluate(slide);
    browser.wait("location.search === '?share=0.4'");
    assert_eq!(browser.evaluate("document.getElementById('says-share').textContent"), "40 %");
    assert_eq!(
        browser.evaluate("document.querySelector('[name=hold][value=share]').checked"),
        true
    );
    let after = browser.evaluate(now);
    assert_ne!(after, before);
    assert_eq!(browser.evaluate("window.stayed"), true);
    let said = browser.evaluate("document.getElementById('said').textContent");
    assert_eq!(said, after, "who listens hears it");
    // What a reader is sent gets the same page.
    browser.open(&stage.at("/outlook?share=0.4"));
    assert_eq!(browser.evaluate(now), after);
    assert_eq!(browser.evaluate("document.getElementById('at-share').value"), "0.4");
    // Untouched, it is uncertain again.
    browser.evaluate("document.querySelector('[name=hold][value=share]').click()");
    browser.wait("location.search === ''");
    assert_eq!(browser.evaluate(now), before);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_outlook_s_form_works_without_javascript() {
    let stage = Stage::of(Fixture::with_trades(3));
    let mut browser = Chromium::start();
    browser.command("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.open(&stage.at("/outlook"));
    browser.evaluate("document.querySelector('[name=measured][value=turnover]').checked = true");
    browser.evaluate("document.getElementById('value').value = '17T'");
    browser.submit("document.querySelector('#needs button')");
    assert_eq!(
        browser.evaluate("location.search"),
        "?measured=turnover&solve=crypto_cap=1.7e13@2034"
    );
    assert_eq!(browser.evaluate("location.hash"), "#needs");
    let needed = browser.evaluate("document.getElementById('needed').textContent");
    assert!(needed.as_str().is_some_and(|text| text.contains("the likeliest way")), "{needed}");
}

#[test]
fn each_chart_of_the_outlook_says_to_whoever_points_what_its_table_says() {
    let stage = Stage::of(Fixture::with_trades(3));
    let mut browser = Chromium::start();
    browser.open(&stage.at("/outlook"));
    let pairs = r#"[...document.querySelectorAll(".fan-chart")].map((chart) => {
        const rows = [...chart.querySelectorAll("table:first-of-type tbody tr")]
            .map((row) => [...row.children].map((cell) => cell.textContent));
        const told = [...chart.querySelectorAll(".told title")].map((title) => title.textContent);
        return [rows.map(([year, a, b, c, d, e]) =>
            `end of ${year}: 5 % ${a}, 25 % ${b}, half ${c}, 75 % ${d}, 95 % ${e}`), told];
    })"#;
    let pairs = browser.evaluate(pairs);
    let pairs = pairs.as_array().expect("charts");
    assert_eq!(pairs.len(), 2);
    for pair in pairs {
        assert_eq!(pair[0], pair[1]);
        assert_eq!(pair[0].as_array().map(Vec::len), Some(8), "a row for each year to 2034");
    }
}

#[test]
fn the_outlook_prints_its_charts_and_tables_and_no_controls() {
    let stage = Stage::of(Fixture::with_trades(3));
    let mut browser = Chromium::start();
    browser.dress(820, "light");
    browser.open(&stage.at("/outlook"));
    browser.command("Emulation.setEmulatedMedia", json!({ "media": "print" }));
    let shown = |selector: &str| {
        format!(
            "[...document.querySelectorAll('{selector}')].filter((e) => e.checkVisibility()).length"
        )
    };
    assert_eq!(browser.evaluate(&shown("input, button, select, nav")), 0);
    assert_eq!(browser.evaluate(&shown("svg.fan")), 2);
    assert_eq!(browser.evaluate(&shown(".fan-chart table")), 3, "the charts' twins, though closed");
    assert!(browser.evaluate(&shown("table.figures")).as_u64().is_some_and(|n| n >= 6));
    browser.screenshot(&shots().join("outlook-print.png"));
}
