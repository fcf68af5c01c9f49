//! `machina economy report`, and the page of the economy: the figures, and the trades under them.

use crate::support::{Home, minor};

#[test]
fn the_accounts_are_written_in_every_form_from_one_journal() {
    let home = Home::new();
    home.run(&["demo"]).done();
    let json = home.run(&["economy", "report"]).done().json();
    assert_eq!(minor(&json["accounts"]["gdp_income"]), 60_000);
    assert_eq!(minor(&json["inputOutput"]["gdp"]), 60_000);
    assert_eq!(json["employment"]["at_work"], 1);

    let csv = home.run(&["economy", "report", "--csv"]).done().text();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("DATAFLOW,"), "{csv}");
    let gdp = |way: &str| {
        let found = lines.iter().find(|line| line.contains(&format!(",GDP_{way},")));
        found.unwrap_or_else(|| panic!("{way}: {csv}")).split(',').nth(6).map(str::to_string)
    };
    for way in ["PRODUCTION", "EXPENDITURE", "INCOME"] {
        assert_eq!(gdp(way).as_deref(), Some("0.06"), "{way}");
    }

    let html = home.run(&["economy", "report", "--html"]).done().text();
    assert!(html.contains("By expenditure") && html.contains("<style>"));
    for elsewhere in ["src=", "href=", "http://", "https://"] {
        assert!(!html.contains(elsewhere), "a file alone: {elsewhere}");
    }

    let file = home.file("report.pdf");
    let name = file.to_str().expect("a plain path");
    let said = home.run(&["economy", "report", "--pdf", "--output", name]).done();
    assert_eq!(said.text(), "", "it went to the file");
    assert!(std::fs::read(&file).expect("the report").starts_with(b"%PDF-"));
}

#[test]
fn a_report_of_a_running_economy_is_that_of_the_sleeping_one() {
    let home = Home::new();
    home.run(&["demo"]).done();
    let csv = |home: &Home| home.run(&["economy", "report", "--csv"]).done().text();
    let asleep = csv(&home);
    let up = home.up();
    assert_eq!(csv(&home), asleep);
    up.stop();
}

#[test]
fn a_report_that_cannot_be_written_says_where_and_has_one_form() {
    let home = Home::new();
    let nowhere = home.file("no/such/folder/report.csv");
    let name = nowhere.to_str().expect("a plain path");
    let why = home.run(&["economy", "report", "--csv", "--output", name]).refused();
    assert!(why.contains("no/such/folder"), "{why}");
    home.run(&["economy", "report", "--csv", "--pdf"]).misused();
    let told = home.run(&["--json", "economy", "report", "--csv"]);
    assert_eq!(told.status.code(), Some(2));
    assert_eq!(told.json()["error"]["misuse"], true);
}

#[test]
fn each_headline_figure_opens_into_the_trades_under_it() {
    let home = Home::new();
    home.run(&["demo"]).done();
    let up = home.up();
    let page = up.get("/economy").text();
    let figure = "/economy/household-consumption";
    assert!(page.contains(figure) && page.contains("Who pays whom"), "{page}");
    let trades = up.get(figure).text();
    assert_eq!(trades.matches("class=\"trade\"").count(), 6);
    assert!(trades.contains("6 trades"), "{trades}");
    let trail = trades
        .split("href=\"")
        .find_map(|part| part.starts_with("/trades/0x").then(|| part.split('"').next()).flatten());
    let trail = up.get(trail.expect("each trade has a trail")).text();
    assert!(trail.contains("0.01"), "down to the entries and the transaction");
    assert_eq!(up.get("/economy/of-vision").text().matches("class=\"trade\"").count(), 6);
    for nothing in ["/economy/exports", "/economy/of-seller"] {
        assert!(up.get(nothing).text().contains("No trade is in this figure"), "{nothing}");
    }
    up.stop();
}
