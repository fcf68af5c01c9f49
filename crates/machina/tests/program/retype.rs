//! `machina economy retype`: a reader of the accounts knows better, says why, and the journal keeps it;
//! and the other figures that the program itself feeds: prices, capital, busy time.

use serde_json::Value;

use crate::support::{Home, minor};

/// The references of what the shopper bought, newest first.
fn bought(home: &Home) -> Vec<String> {
    let books = home.json(&["books", "shopper"]);
    let entries = books[0]["entries"].as_array().expect("entries").iter();
    let purchases = entries.filter(|entry| entry["debit"] == "purchases");
    purchases.filter_map(|entry| Some(entry["reference"].as_str()?.to_string())).collect()
}

fn headline(home: &Home) -> Value {
    home.json(&["economy"])["headline"].clone()
}

#[track_caller]
fn gdp_is(home: &Home, expected: i128, overridden: u64) {
    let headline = headline(home);
    for way in ["production", "expenditure", "income"] {
        assert_eq!(minor(&headline[way]), expected, "{way}");
    }
    assert_eq!(headline["overridden"], overridden);
}

#[test]
fn what_a_reader_types_anew_is_an_entry_that_counts_from_then_on_and_can_be_taken_back() {
    let home = Home::new();
    home.run(&["demo"]).done();
    gdp_is(&home, 60_000, 0);
    let trade = &bought(&home)[0];
    let why = "bought <b>for the shop</b> & not for her";
    let retype =
        |kind: &str, why: &str| home.json(&["economy", "retype", trade, kind, "--reason", why]);

    let told = retype("intermediate", why);
    assert_eq!(told["countedBefore"], "household consumption");
    assert_eq!(told["countedNow"], "intermediate consumption");
    assert_eq!((minor(&told["gdpBefore"]), minor(&told["gdpNow"])), (60_000, 50_000));
    assert_eq!(told["override"]["byName"], "ada");
    gdp_is(&home, 50_000, 1);
    let report = home.run(&["economy", "report"]).done().json();
    assert_eq!(report["overridden"], 1);
    assert_eq!(report["overrides"][0]["trade"], trade.as_str());
    assert_eq!(report["overrides"][0]["reason"], why);
    assert_eq!(minor(&report["accounts"]["intermediate_consumption"]), 10_000);
    let csv = home.run(&["economy", "report", "--csv"]).done().text();
    assert!(csv.contains(",OVERRIDES,_T,_Z,"), "{csv}");

    // Another process replays the same journal: the same figures, and the pages say why.
    let up = home.up();
    assert_eq!(home.run(&["economy", "report", "--csv"]).done().text(), csv);
    let page = up.get("/economy").text();
    assert!(page.contains("1 trade counts otherwise than declared"), "{page}");
    assert!(page.contains("&lt;b&gt;for the shop&lt;/b&gt; &amp; not for her"), "{page}");
    assert!(page.contains("(1 override)"), "the figure says so: {page}");
    for (figure, trades) in [("intermediate-consumption", 1), ("household-consumption", 5)] {
        let listed = up.get(&format!("/economy/{figure}")).text();
        assert_eq!(listed.matches("class=\"trade\"").count(), trades, "{figure}");
        assert_eq!(listed.contains("a reader typed them anew"), trades == 1, "{figure}");
    }

    // Taken back while it runs.
    let told = retype("declared", "it was for herself after all");
    assert_eq!((minor(&told["gdpBefore"]), minor(&told["gdpNow"])), (50_000, 60_000));
    gdp_is(&home, 60_000, 0);
    up.stop();
    gdp_is(&home, 60_000, 0);
    let report = home.run(&["economy", "report"]).done().json();
    assert_eq!(report["overrides"].as_array().map(Vec::len), Some(2), "both stay in the journal");
    assert_eq!(report["overrides"][1]["reason"], why, "newest first");
    assert_eq!(home.json(&["economy"])["books"]["state"], "equal", "no money moved");
}

#[test]
fn an_override_that_cannot_be_is_refused_and_changes_nothing() {
    let home = Home::new();
    home.run(&["demo"]).done();
    let trade = bought(&home)[0].clone();
    let retype = |trade: &str, kind: &str, why: &str| {
        home.run(&["economy", "retype", trade, kind, "--reason", why])
    };
    let nobody = format!("0x{}", "ab".repeat(32));
    let long = "x".repeat(501);
    for (trade, kind, why, says) in [
        ("cheese", "transfer", "so", "names no trade"),
        (trade.as_str(), "cheese", "so", "it is one of: intermediate"),
        (&trade, "memo", "so", "no memo"),
        (&trade, "transfer", "  ", "needs a reason"),
        (&trade, "transfer", &long, "at most 500 characters"),
        (&trade, "transfer", "two\nlines", "in one line"),
    ] {
        let said = retype(trade, kind, why).misused();
        assert!(said.contains(says), "{kind} {why}: {said}");
    }
    for (trade, kind, says) in [
        (nobody.as_str(), "transfer", "there is no trade"),
        (&trade, "final_household", "counts as final household already"),
        (&trade, "declared", "already"),
        (&trade, "final-collective", "would still count as household consumption"),
    ] {
        let said = retype(trade, kind, "so").refused();
        assert!(said.contains(says), "{kind}: {said}");
    }
    home.run(&["economy", "retype", &trade, "transfer"]).misused();
    gdp_is(&home, 60_000, 0);
}

#[test]
fn prices_capital_and_busy_time_are_fed_by_the_program() {
    let home = Home::new();
    let up = home.up();
    home.run(&["demo"]).done();
    let report = home.run(&["economy", "report"]).done().json();
    let real = &report["realGdp"];
    assert_eq!(real["covered"]["text"], "1.00", "each trade's class is known: {real}");
    assert_eq!(real["classes"], 1);
    assert!((real["real"].as_f64().expect("a figure") - 60_000.0).abs() < 1e-6);
    assert!(report["employment"]["busy_ms"].as_u64().is_some_and(|ms| ms > 0), "{report}");
    assert_ne!(report["employment"]["utilisation"]["text"], "n/a");
    assert_eq!(report["employment"]["vacancies"], 0);
    assert_eq!(minor(&report["locked"]["net"]), 0);
    assert_eq!(
        report["accounts"]["velocity_income_per_year"]["text"], "n/a",
        "seconds are no year"
    );

    // A channel locks capital, once, though it stands in two books.
    let photograph = crate::support::at_photograph("chelsea.png");
    let paid = ["pay", &up.counter(), "--data", &photograph, "--scheme", "batch-settlement"];
    home.run(&paid).done();
    let report = home.run(&["economy", "report"]).done().json();
    let (gross, net) = (minor(&report["locked"]["gross"]), minor(&report["locked"]["net"]));
    // What was charged may have been claimed already.
    assert!(net > 0 && [2 * net - 10_000, 2 * net].contains(&gross), "{gross} {net}");
    assert_eq!(report["realGdp"]["covered"]["text"], "1.00", "a voucher's class is known, too");
    let page = up.get("/economy").text();
    for figure in ["Real GDP", "Deflator", "Locked, net", "Machine-hours", "Vacancies"] {
        assert!(page.contains(figure), "{figure}");
    }
    up.stop();
}
