//! `machina outlook`: what it tells, what it refuses, and what it keeps.

use serde_json::Value;

use crate::support::{Home, program, run};

/// Few draws: enough for a table, and quick.
const FEW: [&str; 2] = ["--draws", "5000"];

fn outlook(arguments: &[&str]) -> crate::support::Said {
    let mut command = program();
    command.arg("outlook").args(arguments);
    // There is no home to fall back on, and none is needed.
    command.env_remove("HOME").env_remove("XDG_DATA_HOME");
    run(command)
}

#[test]
fn without_a_home_it_tells_both_claims_under_every_model_and_what_drives_them() {
    let text = outlook(&FEW).done().text();
    for part in [
        "The outlook to the end of 2034",
        "machines add 2 to 4 trillion",
        "crypto is worth 17 trillion or more",
        "random-walk",
        "power-law",
        "stock-to-flow",
        "pool",
        "adoption",
        "diversification",
        "debasement",
        "capital-flight",
        "hardly depend on each other",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
}

#[test]
fn one_seed_gives_the_same_bytes_and_json_says_what_the_table_says() {
    let ask = || outlook(&[&FEW[..], &["--json", "--seed", "7"]].concat()).done().text();
    let (one, again) = (ask(), ask());
    assert_eq!(one, again);
    let report: Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!(report["projection"]["seed"], 7);
    assert_eq!(report["projection"]["fan"].as_array().map(Vec::len), Some(8));
    assert!(report["comparison"]["pool"]["probability"].is_number());
}

#[test]
fn what_if_moves_a_driver_and_solve_says_what_must_be_true() {
    let claim = |arguments: &[&str]| {
        let all = [&FEW[..], &["--json"], arguments].concat();
        let report: Value = serde_json::from_str(&outlook(&all).done().text()).expect("JSON");
        report["projection"]["crypto_cap_claim"]["hits"].as_u64().expect("a count")
    };
    assert!(claim(&["--what-if", "share=40%"]) > claim(&[]));
    let text = outlook(&[&FEW[..], &["--solve", "crypto_cap=17e12@2034"]].concat()).done().text();
    assert!(text.contains("What must be true for crypto_cap = 17.0T"), "{text}");
    assert!(text.contains("Together, the likeliest way"), "{text}");
}

#[test]
fn questions_that_make_no_sense_are_misuse_and_say_what_would() {
    for (arguments, word) in [
        (&["--horizon", "1999"][..], "1999"),
        (&["--horizon", "-5"], "-5"),
        (&["--horizon", "9999"], "2050"),
        (&["--draws", "1"], "too few"),
        (&["--draws", "4000000000"], "too many"),
        (&["--what-if", "adoption=150%"], "between"),
        (&["--what-if", "hope=1"], "adoption"),
        (&["--what-if", "adoption"], "adoption=60%"),
        (&["--what-if", "adoption=nan"], "no number"),
        (&["--what-if", "share=0"], "between"),
        (&["--what-if", "adoption=.2", "--what-if", "adoption=.3"], "twice"),
        (&["--solve", "crypto_cap=0@2034"], "above zero"),
        (&["--solve", "crypto_cap=-1@2034"], "above zero"),
        (&["--solve", "crypto_cap=17e12@1999"], "1999"),
        (&["--solve", "tulips=1@2034"], "crypto_cap"),
        (&["--solve", "crypto_cap"], "crypto_cap=17e12@2034"),
        (&["--scenario", "hope"], "capital-flight"),
        (&["--model", "hope"], "power-law"),
        (&["--model", "power-law", "--what-if", "share=30%"], "--what-if"),
        (&["--what-if", "share=30%", "backtest"], "--what-if"),
    ] {
        let why = outlook(arguments).misused();
        assert!(why.contains(word), "{arguments:?}: {why}");
    }
}

#[test]
fn an_economy_without_trades_has_nothing_measured_to_feed_in() {
    let home = Home::new();
    for (asked, words) in [
        ("--measured", "payments to value added"),
        ("--measured=velocity", "a yearly velocity is not read off less than 30"),
        ("--measured=take", "gas is free"),
    ] {
        let why = home.run(&["outlook", asked, "--draws", "5000"]).refused();
        assert!(why.contains(words) && why.contains("machina demo"), "{why}");
    }
    let why = home.run(&["outlook", "--measured=hope", "--draws", "5000"]).misused();
    assert!(why.contains("velocity"), "{why}");
}

#[test]
fn one_rival_by_itself_is_told_year_by_year_or_says_why_not() {
    let text = outlook(&["--model", "power-law", "--horizon", "2030"]).done().text();
    assert!(text.contains("2027") && text.contains("2030") && text.contains("hindsight"), "{text}");
    let why = outlook(&["--model", "payments-only", "--horizon", "2030"]).refused();
    assert!(why.contains("was not measured"), "{why}");
}

#[test]
fn the_back_test_tells_scores_with_their_number_and_what_is_not_used() {
    for target in ["crypto_cap", "bitcoin_cap"] {
        let text = outlook(&["backtest", "--target", target]).done().text();
        for part in ["1 year ahead", "5 years ahead", "CRPS", "independent", "benchmark", "pool"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(text.contains("payments-only is not scored"), "{text}");
    }
}

#[test]
fn a_projection_is_kept_under_its_hash_and_a_changed_one_is_shown_as_changed() {
    let home = Home::new();
    let said = home.json(&["outlook", "--draws", "5000", "record", "--keep"]);
    let hash = said["entered"]["hash"].as_str().expect("a hash").to_string();
    let again = home.json(&["outlook", "--draws", "5000", "record", "--keep"]);
    assert_eq!(again["entered"]["hash"], hash.as_str(), "the same question on the same day");
    let entries = |said: &Value| said["entries"].as_array().map(Vec::len);
    assert_eq!(entries(&again), Some(5), "four claims and this one");
    assert!(again["entries"][0]["verdict"]["verdict"] == "open");
    let file = home.file("outlook").join(format!("{hash}.txt"));
    let text = std::fs::read_to_string(&file).expect("it is kept");
    std::fs::write(&file, text.replacen("seed 1", "seed 2", 1)).expect("a disk");
    let after = home.json(&["outlook", "record"]);
    let broken = after["entries"][4]["broken"].as_str().expect("it was changed");
    assert!(broken.contains("was changed"), "{broken}");
}

#[test]
fn a_commitment_puts_the_hash_of_the_kept_text_on_the_chain() {
    let home = Home::new();
    let up = home.up();
    let said = home.json(&["outlook", "--draws", "5000", "record", "--commit"]);
    let entered = &said["entered"];
    let found =
        up.rpc("eth_getTransactionByHash", serde_json::json!([entered["on_chain"]["transaction"]]));
    let hash = entered["hash"].as_str().expect("a hash");
    assert_eq!(found["input"], format!("0x{hash}"));
    assert_eq!(found["from"], found["to"], "nobody else is part of it");
    let block = entered["on_chain"]["block"].as_u64().expect("a block");
    assert_eq!(said["entries"][4]["noted"][0][1], block);
    // The source's claims are the first entries, and were put there with the first commitment.
    for claim in 0..4 {
        let line = &said["entries"][claim];
        let hash = line["hash"].as_str().expect("a hash");
        let found = up.rpc("eth_getTransactionByHash", serde_json::json!([line["noted"][0][0]]));
        assert_eq!(found["input"], format!("0x{hash}"));
        assert!(home.file("outlook").join(format!("{hash}.txt")).exists(), "its text is kept");
    }
    // The page asks the chain itself; a note that the chain does not confirm is nothing.
    let page = || up.get("/outlook").text();
    assert!(page().contains(&format!("since block {block}")), "{}", page());
    let other = home.json(&["outlook", "--draws", "5000", "--seed", "2", "record", "--keep"]);
    let other = other["entered"]["hash"].as_str().expect("a hash").to_string();
    let note = |hash: &str| home.file("outlook").join(format!("{hash}.chain"));
    std::fs::copy(note(hash), note(&other)).expect("a disk");
    assert_eq!(
        page().matches("since block").count(),
        5,
        "another text's transaction proves nothing"
    );
    assert_eq!(home.json(&["economy"])["books"]["state"], "equal");
    up.stop();
}

#[test]
fn the_page_takes_what_the_economy_measures_once_it_has_traded() {
    let home = Home::new();
    let up = home.up();
    let before = up.get("/outlook").text();
    assert!(before.contains("no ratio of payments to value added yet"), "{before}");
    home.run(&["demo"]).done();
    let after = up.get("/outlook?measured=turnover").text();
    let ratio = home.json(&["economy"])["headline"]["turnoverToValueAdded"].clone();
    let ratio: f64 = ratio.as_str().and_then(|text| text.parse().ok()).expect("a ratio");
    assert!(after.contains(&format!("<code>turnover={ratio}</code>")), "{after}");
    let told = home.json(&["outlook", "--measured", "--draws", "5000"]);
    assert_eq!(told["given"][0], format!("turnover={ratio}"));
    up.stop();
}
