//! `--rpc`: the same program on an Ethereum node that is not its own. The node is real: another
//! home's embedded chain, reached over HTTP like any other.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{HTTP, Home, Running, Said, Up, ask, line, minor, party, run, until};

/// A home whose chain is another one's.
struct Guest {
    home: Home,
    rpc: String,
    token: String,
}

impl Guest {
    fn of(host: &Up) -> Guest {
        Guest {
            home: Home::new(),
            rpc: format!("http://127.0.0.1:{}", host.rpc_port),
            token: host.info["token"]["address"].as_str().expect("an address").to_string(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(&["--rpc", &self.rpc, "--token", &self.token]);
        command.args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        run(self.command(arguments))
    }
}

#[test]
fn a_home_on_another_node_trades_there_once_it_has_money() {
    let host_home = Home::new();
    let host = host_home.up();
    let guest = Guest::of(&host);

    let info = guest.run(&["--json", "info"]).done().json();
    assert_eq!(info["embeddedChain"], false);
    assert_eq!(info["chainId"], host.info["chainId"]);
    assert_eq!(info["token"], host.info["token"]);
    assert_eq!(info["rpcUrl"], guest.rpc);
    assert_ne!(party(&info, "shopper"), party(&host.info, "shopper"), "keys of its own");

    // No money is made there, and nobody has allowed any to be spent: real money is its owner's.
    let why = guest.run(&["fund", "shopper", "1"]).refused();
    assert!(why.contains("is not the embedded one"), "{why}");
    let why = guest.run(&["demo"]).refused();
    assert!(why.contains("has no mandate"), "{why}");
    // Allowed is not yet had: the demo says whose wallet is empty.
    guest.run(&["grant", "1"]).done();
    let why = guest.run(&["demo"]).refused();
    assert!(why.contains("0.00 MUSD in the machine's wallet"), "{why}");

    // The host's people send some; from then on everything works as at home.
    let shopper = party(&info, "shopper");
    host_home.run(&["fund", shopper, "0.5"]).done();
    let demo = guest.run(&["--json", "demo"]).done().json();
    assert_eq!(demo["trades"].as_array().map(Vec::len), Some(6));
    assert_eq!(demo["economy"]["books"]["state"], "equal", "{}", demo["economy"]["books"]);
    assert_eq!(minor(&demo["economy"]["headline"]["production"]), 60_000);
    let [bought, sold] = [&demo["books"][0], &demo["books"][1]];
    assert_eq!((line(bought, "cash"), line(bought, "funding")), (440_000, 500_000));
    assert_eq!(line(sold, "cash"), 60_000);
    assert_eq!(host.on_chain(shopper), 440_000);
    assert_eq!(host.on_chain(party(&info, "vision")), 60_000);

    // And it stays so when it comes back as a running economy.
    let up = Up::start(guest.command(&["--json", "up"]));
    let said = guest.home.run(&["demo"]).done().text();
    assert!(said.contains("Left of the mandate: 0.88 MUSD"), "{said}");
    assert_eq!(host.on_chain(shopper), 380_000);
    up.stop();
    host.stop();
}

/// What a request without a payment is answered.
fn quoted(request: reqwest::RequestBuilder) -> serde_json::Value {
    let answer = ask(request);
    assert_eq!(answer.status, 402, "{answer}");
    let header = answer.headers["payment-required"].to_str().expect("base64");
    serde_json::from_slice(&STANDARD.decode(header).expect("base64")).expect("JSON")
}

#[test]
fn what_another_facilitator_lists_is_sold_through_it_in_every_way() {
    let host_home = Home::new();
    let host = host_home.up();
    let guest = Guest::of(&host);
    let facilitator = host.url("/facilitator");
    let seller = Up::start(guest.command(&["--facilitator", &facilitator, "--json", "up"]));
    let listed = host.get("/facilitator/supported").json();
    let told = |scheme: &str, member: &str| {
        let kinds = listed["kinds"].as_array().expect("kinds").iter();
        let mut kinds = kinds.filter(|kind| kind["scheme"] == scheme);
        kinds.next().expect("it is listed")["extra"][member]
            .as_str()
            .expect("an address")
            .to_owned()
    };
    let picture = crate::support::at_photograph("coffee.png");
    let quote = quoted(HTTP.post(seller.counter()).body("x"));
    let ways = quote["accepts"].as_array().expect("ways").iter();
    let escrow = ways.clone().find(|way| way["scheme"] == "auth-capture").expect("an escrow");
    assert_eq!(escrow["extra"]["captureAuthorizer"], told("auth-capture", "captureAuthorizer"));
    assert_eq!(escrow["extra"]["receiverAuthorizer"], party(&seller.info, "vision"));

    // The operator elsewhere captures at the seller's signed word.
    let order = ["pay", &seller.counter(), "-d", &picture, "--scheme", "auth-capture"];
    let paid = host_home.json(&order);
    assert_eq!((&paid["status"], minor(&paid["paid"]["amount"])), (&200.into(), 10_000), "{paid}");
    // Work that fails costs nothing: the word is then to give all back.
    let nothing = ["pay", &seller.counter(), "-d", "no picture", "--scheme", "auth-capture"];
    let why = host_home.run(&nothing).refused();
    assert!(why.contains("nothing was paid"), "{why}");

    // Up to a most, settled for what passed.
    let stall = serde_json::json!({
        "name": "bytes", "to": host.url(""), "per": "kB", "price": "0.01", "most": "0.05",
    });
    let opened = HTTP.post(seller.url("/api/v1/stalls")).bearer_auth(guest.home.token());
    let opened = ask(opened.json(&stall));
    assert_eq!(opened.status, 200, "{opened}");
    let url = seller.url("/s/bytes/healthz");
    let quote = quoted(HTTP.get(&url));
    let mut ways = quote["accepts"].as_array().expect("ways").iter();
    let upto = ways.find(|way| way["scheme"] == "upto").expect("up to a most");
    assert_eq!(upto["extra"]["facilitatorAddress"], told("upto", "facilitatorAddress"));
    let paid = host_home.json(&["pay", &url, "--scheme", "upto"]);
    assert_eq!(paid["status"], 200, "{paid}");
    let charged = minor(&paid["paid"]["amount"]);
    assert!(charged > 0 && charged < 50_000, "{paid}");

    until("both homes' books are equal to the chain", || {
        [&host_home, &guest.home]
            .iter()
            .all(|home| home.json(&["economy"])["books"]["state"] == "equal")
    });
    let sold = |name: &str| line(&guest.home.json(&["books", name])[0], "cash");
    assert_eq!((sold("vision"), sold("seller")), (10_000, charged));
    seller.stop();

    // One that is away is told, and what needs no word of it is still offered.
    let silent = "http://127.0.0.1:1/facilitator";
    let seller = Up::start(guest.command(&["--facilitator", silent, "--json", "up"]));
    let quote = quoted(HTTP.post(seller.counter()).body("x"));
    let ways = quote["accepts"].as_array().expect("ways").iter();
    let schemes: Vec<_> = ways.map(|way| way["scheme"].as_str().expect("a scheme")).collect();
    assert_eq!(schemes, ["exact", "exact", "batch-settlement"]);
    seller.stop();
    host.stop();
}

#[test]
fn money_that_leaves_or_comes_from_outside_is_booked_as_such() {
    let host_home = Home::new();
    let host = host_home.up();
    let guest = Guest::of(&host);
    guest.run(&["grant", "1"]).done();
    let info = guest.run(&["--json", "info"]).done().json();
    host_home.run(&["fund", party(&info, "shopper"), "1"]).done();
    // The guest's shopper buys from the host's vision machine: an import there, an export here.
    guest.run(&["pay", &host.counter(), "-d", &crate::support::at_photograph("coffee.png")]).done();
    let theirs = guest.run(&["--json", "economy"]).done().json();
    let ours = host_home.json(&["economy"]);
    assert_eq!(minor(&theirs["headline"]["imports"]), 10_000);
    assert_eq!(minor(&theirs["headline"]["production"]), 0);
    assert_eq!(minor(&ours["headline"]["exports"]), 10_000);
    assert_eq!(minor(&ours["headline"]["production"]), 10_000);
    for economy in [&theirs, &ours] {
        assert_eq!(economy["headline"]["production"], economy["headline"]["expenditure"]);
        assert_eq!(economy["headline"]["production"], economy["headline"]["income"]);
        assert_eq!(economy["books"]["state"], "equal", "{}", economy["books"]);
    }
    let seller = host_home.json(&["books", "vision"]);
    assert_eq!(line(&seller[0], "sales"), 10_000);
    host.stop();
}

#[test]
fn a_node_that_goes_away_is_told_and_loses_nothing() {
    let host_home = Home::new();
    let host = host_home.up();
    let guest = Guest::of(&host);
    guest.run(&["grant", "1"]).done();
    let info = guest.run(&["--json", "info"]).done().json();
    host_home.run(&["fund", party(&info, "shopper"), "1"]).done();
    let up = Up::start(guest.command(&["--json", "up"]));
    guest.home.run(&["demo"]).done();
    host.kill();
    let why = guest.home.run(&["demo"]).refused();
    assert!(
        why.contains("paid") || why.contains("answer"),
        "it says what became of the money: {why}"
    );
    let why = guest.home.run(&["economy"]).refused();
    assert!(why.contains("does not answer"), "{why}");
    up.stop();
    // Without its node it does not start, and says which.
    let why = Running::start(guest.command(&["up"])).finish().refused();
    assert!(why.contains(&guest.rpc) && why.contains("does not answer"), "{why}");
}

#[test]
fn a_node_that_is_not_what_was_asked_for_is_refused() {
    let host = Home::new();
    let up = host.up();
    let guest = Guest::of(&up);
    let rpc = guest.rpc.as_str();
    let home = &guest.home;

    let why = guest.run(&["--chain-id", "8453", "info"]).refused();
    assert!(why.contains("chain 402402, not 8453"), "{why}");
    guest.run(&["--chain-id", "402402", "info"]).done();

    let why = home.run(&["--rpc", rpc, "info"]).misused();
    assert!(why.contains("--token ADDRESS"), "{why}");
    let why = home.run(&["--token", &guest.token, "info"]).misused();
    assert!(why.contains("goes with `--rpc`"), "{why}");

    // A person has no code; the CREATE2 deployer has some, and is no token.
    for nobody in [party(&up.info, "ada"), "0x4e59b44847b379578588920cA78FbF26c0B4956C"] {
        let why = home.run(&["--rpc", rpc, "--token", nobody, "info"]).refused();
        assert!(why.contains("there is no token at"), "{why}");
    }
    home.run(&["--rpc", rpc, "--token", "0x12", "info"]).misused();
    for url in ["nonsense", "ftp://localhost", "http://", ""] {
        home.run(&["--rpc", url, "--token", &guest.token, "info"]).misused();
    }
    // Nor does a facilitator elsewhere settle on a chain that is only ours, or one without an address.
    let why = home.run(&["--facilitator", &up.url("/facilitator"), "info"]).misused();
    assert!(why.contains("goes with `--rpc`"), "{why}");
    for url in ["nonsense", "ftp://localhost/facilitator", "http://", ""] {
        guest.run(&["--facilitator", url, "info"]).misused();
    }
    // A web server is no node.
    let page = up.url("/");
    let why = home.run(&["--rpc", &page, "--token", &guest.token, "info"]).refused();
    assert!(!why.contains("panicked") && why.contains("chain"), "{why}");
    up.stop();
}

#[test]
fn payments_count_when_as_many_blocks_stand_on_them_as_was_asked() {
    let host_home = Home::new();
    let host = host_home.up();
    let guest = Guest::of(&host);
    // What goes wrong is said before anything is opened.
    let why = guest.home.run(&["--confirmations", "2", "info"]).misused();
    assert!(why.contains("goes with `--rpc`"), "{why}");
    guest.run(&["--confirmations", "1001", "info"]).misused();
    // The host's blocks are final as they are sealed, so none needs another on it.
    let info = guest.run(&["--confirmations", "2", "--json", "info"]).done().json();
    host_home.run(&["fund", party(&info, "shopper"), "0.5"]).done();
    guest.run(&["--confirmations", "2", "grant", "1"]).done();
    let demo = guest.run(&["--confirmations", "2", "--json", "demo"]).done().json();
    assert_eq!(demo["economy"]["books"]["state"], "equal", "{}", demo["economy"]["books"]);
    host.stop();
}

#[test]
fn a_node_that_takes_the_call_and_says_nothing_is_not_waited_for_for_ever() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = silent.local_addr().expect("bound").port();
    let url = format!("http://127.0.0.1:{port}");
    let token = "0x4d55534400000000000000000000000000000001";
    // The system takes the connection; nobody ever reads it.
    let why = Home::new().run(&["--rpc", &url, "--token", token, "info"]).refused();
    assert!(why.contains(&url) && why.contains("does not answer"), "{why}");
}

#[test]
fn the_key_in_a_nodes_address_is_not_repeated() {
    let home = Home::new();
    let token = "0x4d55534400000000000000000000000000000001";
    let url = "http://127.0.0.1:1/v3/secret-project-key?key=secret";
    let why = home.run(&["--rpc", url, "--token", token, "info"]).refused();
    assert!(why.contains("http://127.0.0.1:1"), "{why}");
    assert!(!why.contains("secret"), "{why}");
}
