//! Commands beside paying: what they tell, what they refuse, and how they say it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{HTTP, Home, ask, line, minor, party, program, run};

const STRANGER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

#[test]
fn info_tells_a_stock_client_all_that_it_needs() {
    let home = Home::new();
    let up = home.up();
    let info = home.json(&["info"]);
    assert_eq!(info, up.info, "beside it or inside it, the same");
    assert_eq!(info["running"], true);
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(info["chainId"], 402402);
    assert_eq!(info["network"], "eip155:402402");
    assert_eq!(info["embeddedChain"], true);
    assert_eq!(info["token"]["name"], "Machina Dollar");
    assert_eq!(info["token"]["version"], "1");
    assert_eq!(info["token"]["symbol"], "MUSD");
    assert_eq!(info["token"]["decimals"], 6);
    // Each address answers.
    assert_eq!(up.rpc("eth_chainId", json!([])), "0x623e2");
    let code = up.rpc("eth_getCode", json!([info["token"]["address"], "latest"]));
    assert!(code.as_str().is_some_and(|code| code.len() > 1_000), "{code}");
    let facilitator = info["facilitatorUrl"].as_str().expect("a URL");
    let supported = ask(HTTP.get(format!("{facilitator}/supported"))).json();
    assert_eq!(supported["kinds"][0]["scheme"], "exact");
    assert_eq!(supported["kinds"][0]["network"], info["network"]);
    let offers = info["offers"].as_array().expect("offers");
    // Language and meaning are for sale where their models are cached.
    let vision: Vec<_> = offers.iter().filter(|o| o["name"] == "vision/classify").collect();
    assert_eq!(vision.len(), 1);
    let offer = &offers[0];
    assert_eq!(offer, vision[0]);
    assert_eq!(offer["method"], "POST");
    assert_eq!(minor(&offer["price"]), 10_000);
    assert_eq!(offer["price"]["asset"], "MUSD/6");
    assert_eq!(offer["payee"], party(&info, "vision"));
    assert!(offer["url"].as_str().is_some_and(|u| u.ends_with("/m/vision/classify")), "{offer}");
    assert_eq!(offer["takes"], json!(["image/jpeg", "image/png", "image/webp"]));
    for name in ["ada", "shopper", "grace", "vision", "seller", "facilitator", "mint"] {
        assert_eq!(party(&info, name).len(), 42);
    }
    up.stop();
}

#[test]
fn a_sleeping_home_tells_the_ports_that_it_would_have() {
    let home = Home::new();
    let mut command = program();
    command.arg("--home").arg(home.path()).args(["info", "--json"]);
    let info = run(command).done().json();
    assert_eq!(info["url"], "http://localhost:4020");
    assert_eq!(info["rpcUrl"], "http://localhost:8545");
    assert_eq!(info["running"], false);
    let mut command = program();
    command.env("MACHINA_HOME", home.path()).env("MACHINA_PORT", "5020").arg("info");
    let text = run(command).done().text();
    assert!(text.contains("http://localhost:5020") && text.contains("not running"), "{text}");
}

#[test]
fn fund_gives_play_money_and_the_books_know_it() {
    let home = Home::new();
    let up = home.up();
    let gift = home.json(&["fund", STRANGER, "25"]);
    assert_eq!(gift["to"], STRANGER);
    assert_eq!(minor(&gift["amount"]), 25_000_000);
    assert_eq!(minor(&gift["balance"]), 25_000_000);
    assert_eq!(up.on_chain(STRANGER), 25_000_000);
    let receipt = up.rpc("eth_getTransactionReceipt", json!([gift["transaction"]]));
    assert_eq!(receipt["status"], "0x1");
    let text = home.run(&["fund", "grace", "0.000001"]).done().text();
    assert!(text.contains("0.000001 MUSD of play money"), "{text}");
    let books = home.json(&["books", "grace"]);
    assert_eq!((line(&books[0], "cash"), line(&books[0], "funding")), (1, 1));
    assert_eq!(home.json(&["economy"])["books"]["state"], "equal");
    // Money that is made is no product.
    assert_eq!(minor(&home.json(&["economy"])["headline"]["production"]), 0);
    up.stop();
}

#[test]
fn a_gift_that_makes_no_sense_is_misuse_and_gives_nothing() {
    let home = Home::new();
    let up = home.up();
    let before = (up.head(), up.rpc("eth_blockNumber", json!([])));
    let amounts = [
        "0",
        "0.0",
        "-1",
        "-0.000001",
        "",
        " ",
        "1,5",
        "1e3",
        "0x10",
        "NaN",
        "inf",
        "1.0000001",
        "+-1",
        "1 000",
        "١",
        "1000000001",
        "99999999999999999999999999999999999999999",
        "1.2.3",
    ];
    for amount in amounts {
        let why = home.run(&["fund", STRANGER, amount]).misused();
        assert!(!why.contains("Failure {"), "{amount}: {why}");
    }
    for address in [
        "",
        "nobody",
        "0x",
        "0x1234",
        "70997970C51812dc3A010C7d01b50e0d17dc79C",
        // One letter's case is wrong: EIP-55 catches the slip.
        "0x70997970c51812dc3A010C7d01b50e0d17dc79C8",
        "0xZ0997970C51812dc3A010C7d01b50e0d17dc79C8",
        "../../etc/passwd",
    ] {
        let why = home.run(&["fund", address, "1"]).misused();
        assert!(why.contains("hint:"), "{address}: {why}");
    }
    assert_eq!(up.on_chain(STRANGER), 0);
    assert_eq!((up.head(), up.rpc("eth_blockNumber", json!([]))), before, "nothing happened");
    up.stop();
}

#[test]
fn books_know_parties_by_name_and_by_address_and_nobody_else() {
    let home = Home::new();
    let up = home.up();
    let by_name = home.json(&["books", "shopper"]);
    assert_eq!(by_name, home.json(&["books", "SHOPPER"]));
    assert_eq!(by_name, home.json(&["books", party(&up.info, "shopper")]));
    assert_eq!(home.json(&["books"]).as_array().map(Vec::len), Some(5));
    let why = home.run(&["books", STRANGER]).refused();
    assert!(why.contains("has no books in this home") && why.contains("machina info"), "{why}");
    for name in [
        "nobody",
        "../fund",
        "shopper/../fund",
        "",
        " ",
        "..",
        "ä",
        "%2e%2e",
        "shopper?entries=0",
        "?",
    ] {
        let why = home.run(&["books", name]).misused();
        assert!(why.contains("hint:"), "{name}: {why}");
    }
    up.stop();
    // Asleep, it answers the same.
    let asleep = home.json(&["books", "shopper"]);
    assert_eq!(asleep, by_name);
    home.run(&["books", "nobody"]).misused();
}

#[test]
fn grant_replaces_the_mandate_and_senseless_limits_leave_it_alone() {
    let home = Home::new();
    let granted =
        home.json(&["grant", "2.5", "--per-payment", "0.25", "--daily", "1", "--days", "2"]);
    assert_eq!(granted["owner"], "ada");
    for (key, expected) in [("lifetime", 2_500_000), ("daily", 1_000_000), ("perPayment", 250_000)]
    {
        assert_eq!(minor(&granted[key]), expected, "{key}");
    }
    assert_eq!(minor(&granted["lifetimeLeft"]), 2_500_000);
    for wrong in [
        ["grant", "0", "--days", "1"],
        ["grant", "-1", "--days", "1"],
        ["grant", "1", "--days", "0"],
        ["grant", "1", "--days", "4000"],
        ["grant", "one", "--days", "1"],
        ["grant", "1", "--per-payment", "0"],
        ["grant", "1", "--daily", "-0.1"],
    ] {
        home.run(&wrong).misused();
    }
    let now = home.json(&["books", "shopper"]);
    assert_eq!(now[0]["mandate"]["id"], granted["id"]);
}

#[test]
fn a_wrong_call_is_misuse() {
    let home = Home::new();
    for wrong in [
        &["--prot", "1", "info"][..],
        &["--port", "65536", "info"],
        &["--port", "-1", "info"],
        &["dance"],
        &["pay"],
        &["fund", STRANGER],
        &["books", "a", "b"],
        &["--chain-id", "one", "info"],
    ] {
        home.run(wrong).misused();
    }
    assert!(
        std::fs::read_dir(home.path()).expect("it is there").next().is_none(),
        "nothing was made"
    );
}

#[test]
fn a_failure_is_json_where_json_was_asked_for() {
    let home = Home::new();
    for (arguments, code) in
        [(&["fund", STRANGER, "0", "--json"][..], 2), (&["books", STRANGER, "--json"], 1)]
    {
        let said = home.run(arguments);
        assert_eq!(said.status.code(), Some(code));
        let error = &said.json()["error"];
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "{error}");
        assert_eq!(error["misuse"], code == 2);
        assert_eq!(said.err, "", "told once");
    }
}

#[test]
fn the_help_is_what_was_reviewed() {
    let mut all = String::new();
    for command in [
        "",
        "up",
        "demo",
        "pay",
        "channels",
        "sell",
        "mcp",
        "books",
        "economy",
        "models",
        "info",
        "fund",
        "grant",
        "approvals",
    ] {
        let mut help = program();
        help.env("COLUMNS", "100");
        let said = run({
            help.args(Some(command).filter(|c| !c.is_empty())).arg("--help");
            help
        })
        .done();
        assert_eq!(said.err, "");
        all +=
            &format!("$ machina {}\n{}\n", format!("{command} --help").trim_start(), said.text());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/help.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("room");
        std::fs::write(&file, &all).expect("room");
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        all == reviewed,
        "the help changed; look at it, and run the test once with UPDATE_SNAPSHOTS=1:\n{all}"
    );
}

#[test]
fn every_command_that_reports_does_so_in_json_too() {
    let home = Home::new();
    for command in [&["info"][..], &["books"], &["economy"], &["models"]] {
        let json = home.json(command);
        assert!(json.is_object() || json.is_array());
        let text = home.run(command).done().text();
        assert!(
            serde_json::from_str::<Value>(&text).is_err() && !text.contains('\u{1b}'),
            "{text}"
        );
    }
}

#[test]
fn no_colour_is_taken_at_its_word() {
    // A terminal for both streams, as `script` makes one; where there is none, a pipe says enough.
    let home = Home::new();
    let coloured = |no_color: &str| {
        let mut command = std::process::Command::new("script");
        let call =
            format!("{} --home {} info", env!("CARGO_BIN_EXE_machina"), home.path().display());
        command.args(["-qec", &call, "/dev/null"]).env("NO_COLOR", no_color).env("TERM", "xterm");
        command.stdin(std::process::Stdio::null());
        run(command).done().text().contains('\u{1b}')
    };
    let has_script = std::process::Command::new("script").arg("--version").output().is_ok();
    if has_script {
        assert!(coloured(""), "a terminal gets colours");
        assert!(!coloured("1"), "NO_COLOR turns them off");
    }
    assert!(!home.run(&["info"]).done().text().contains('\u{1b}'));
}
