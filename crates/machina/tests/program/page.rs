//! The square of the running program, in a real Chromium: a trade arrives while somebody looks.

// The browser's driver is the one of the pages' own tests.
#[path = "../../../web/tests/chromium/mod.rs"]
mod chromium;

use std::path::{Path, PathBuf};

use chromium::Chromium;

use crate::support::{Home, at_photograph};

fn shots() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/screenshots");
    std::fs::create_dir_all(&folder).expect("room for screenshots");
    folder
}

#[test]
fn a_trade_arrives_on_the_open_square_and_its_trail_tells_why() {
    let home = Home::new();
    let up = home.up();
    let mut browser = Chromium::start();
    browser.dress(1280, "light");
    browser.open(&up.url("/"));
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
    assert_eq!(browser.evaluate("document.querySelectorAll('#feed > li').length"), 0);
    browser.evaluate("window.stayed = true");

    let report = home.json(&["pay", &up.counter(), "-d", &at_photograph("coffee.png")]);
    let reference = report["paid"]["reference"].as_str().expect("a name");
    browser.wait(&format!(
        "document.querySelector('#feed > li:first-child')?.id === 't-{reference}' \
         && document.querySelector('#feed .state')?.textContent === 'settled'"
    ));
    let row = browser.evaluate("document.querySelector('#feed > li').textContent");
    let row = row.as_str().expect("text");
    for told in ["shopper", "vision", "0.01", "espresso"] {
        assert!(row.contains(told), "{told}: {row}");
    }
    // The figures follow, and the page is the same one.
    browser.wait("document.querySelector('.grand .money').value === '10000'");
    browser
        .wait("document.getElementById('figures').textContent.includes('Books equal the chain')");
    assert_eq!(browser.evaluate("window.stayed"), true, "nothing was loaded anew");

    home.run(&["demo"]).done();
    browser.wait("document.querySelectorAll('#feed .state.settled').length === 7");
    assert_eq!(browser.complaints(), Vec::<String>::new());

    let trail = up.url(&format!("/trades/{reference}"));
    browser.open(&trail);
    assert_eq!(browser.evaluate("document.querySelectorAll('.stage.done').length"), 7, "{trail}");
    assert_eq!(browser.evaluate("document.querySelector('.exhibit img').naturalWidth"), 600);
    let told = browser.evaluate("document.getElementById('trail').textContent");
    let told = told.as_str().expect("text");
    let transaction = report["paid"]["transaction"].as_str().expect("a hash");
    for fact in [transaction, "espresso", "Both books remember", "eip155:402402"] {
        assert!(told.contains(fact), "{fact}: {told}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());

    for (name, url) in [
        ("square", up.url("/")),
        ("trail", trail),
        ("vision", up.url("/m/vision")),
        ("outlook", up.url("/outlook")),
    ] {
        for width in [390, 1280] {
            for theme in ["light", "dark"] {
                browser.dress(width, theme);
                browser.open(&url);
                let wide =
                    "document.documentElement.scrollWidth > document.documentElement.clientWidth";
                assert_eq!(browser.evaluate(wide), false, "{name} scrolls sideways at {width}");
                browser.screenshot(&shots().join(format!("program-{name}-{width}-{theme}.png")));
                assert_eq!(browser.complaints(), Vec::<String>::new(), "{name} {width} {theme}");
            }
        }
    }
    // The economy ends while the page is open: it says so, and is quiet about it.
    browser.open(&up.url("/"));
    browser.wait("document.getElementById('lamp-says').textContent === 'Live'");
    up.stop();
    browser.wait("document.getElementById('lamp').dataset.state === 'away'");
}
