//! What a collector reads at `/metrics`.

use crate::support::{self, HTTP, Home, Up, at_photograph, until};

/// The value of a line, by its name and labels; `None` if there is no such line.
fn value(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap_or_else(|_| panic!("{name} is {line}")))
}

fn read(up: &Up) -> String {
    let answer = up.get("/metrics");
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(
        answer.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    text
}

#[test]
fn a_collector_reads_payments_holds_vouchers_and_how_long_settling_took() {
    let home = Home::new();
    let up = home.up();
    let text = read(&up);
    assert_eq!(value(&text, "machina_vouchers_total"), Some(0));
    assert_eq!(value(&text, "machina_holds_open"), Some(0));
    assert_eq!(value(&text, "machina_payments_settled_total"), None, "nothing was settled");
    let (height, entries) = ("machina_chain_height", "machina_journal_entries");
    let before = [height, entries].map(|name| value(&text, name).expect("a number"));

    let picture = at_photograph("chelsea.png");
    for scheme in ["exact", "batch-settlement", "batch-settlement", "batch-settlement"] {
        home.run(&["pay", &up.counter(), "-d", &picture, "--scheme", scheme]).done();
    }
    // One that is refused: there is no such payment.
    let bad = HTTP.post(up.counter()).header("payment-signature", "bm9uc2Vuc2U=").body("x");
    assert_eq!(support::ask(bad).status, 400);

    until("the books are compared", || value(&read(&up), "machina_books_equal") == Some(1));
    let text = read(&up);
    for (name, expected) in [
        ("machina_payments_verified_total{scheme=\"exact\",outcome=\"valid\"}", 1),
        ("machina_payments_settled_total{scheme=\"exact\",outcome=\"settled\"}", 1),
        // The deposit; vouchers ask no facilitator.
        ("machina_payments_settled_total{scheme=\"batch-settlement\",outcome=\"settled\"}", 1),
        ("machina_settlement_seconds_count{scheme=\"exact\"}", 1),
        ("machina_settlement_seconds_bucket{le=\"+Inf\",scheme=\"exact\"}", 1),
        ("machina_vouchers_total", 3),
        ("machina_holds_open", 0),
    ] {
        assert_eq!(value(&text, name), Some(expected), "{name}\n{text}");
    }
    let after = [height, entries].map(|name| value(&text, name).expect("a number"));
    assert_eq!(after[0], before[0] + 2, "a payment and a deposit are a block each");
    assert!(after[1] > before[1]);
    // Nothing in it says who bought what.
    for party in up.info["parties"].as_array().expect("a list") {
        let address = party["address"].as_str().expect("an address").to_lowercase();
        assert!(!text.to_lowercase().contains(&address));
    }
    // Like all pages, it is for this machine.
    let elsewhere = HTTP.get(up.url("/metrics")).header("host", "example.org");
    assert_eq!(support::ask(elsewhere).status, 421);
    up.stop();

    // What the books know outlasts the process.
    let up = home.up();
    let text = read(&up);
    assert_eq!(value(&text, "machina_vouchers_total"), Some(3));
    assert_eq!(value(&text, "machina_payments_settled_total"), None);
    up.stop();
}
