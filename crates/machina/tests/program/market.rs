//! The labour market through the real program: money in, a round, work, checks, money out, and books
//! that are equal to the chain.

use alloy_signer::SignerSync as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::support::{Answer, HTTP, Home, Up, ask, line, minor, order, party, photograph, until};

pub fn musd(minor: i128) -> Value {
    json!({ "asset": "MUSD/6", "minor": minor.to_string() })
}

/// A party of a home, as its own commands speak for it.
pub struct Client<'a> {
    up: &'a Up,
    token: String,
    pub party: String,
}

impl Client<'_> {
    pub fn of<'a>(home: &Home, up: &'a Up, name: &str) -> Client<'a> {
        Client { up, token: home.token(), party: party(&up.info, name).to_owned() }
    }

    fn request(&self, request: reqwest::RequestBuilder) -> Answer {
        ask(request.bearer_auth(&self.token).header("machina-party", &self.party))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request(HTTP.get(self.up.url(path)))
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.request(HTTP.post(self.up.url(path)).json(body))
    }

    /// Pays in and waits for the credit, as commands do.
    pub fn pay_in(&self, amount: &str) {
        let paid = self.post("/api/v1/market/deposit", &json!({ "amount": amount }));
        assert_eq!(paid.status, 200, "{paid}");
    }

    /// Pays in, as the shopper pays for anything.
    fn deposit(&self, amount: &str) {
        let url =
            format!("{}/market/deposits?amount={amount}", self.up.info["url"].as_str().unwrap());
        let paid = self.post("/api/v1/pay", &order(&url, b""));
        assert_eq!(paid.status, 200, "{paid}");
    }

    fn free(&self) -> i128 {
        minor(&self.up.get(&format!("/market/parties/{}", self.party)).json()["free"])
    }

    pub fn keep(&self, body: Vec<u8>) -> Value {
        let url = self.up.url("/market/documents");
        let kept = self.request(HTTP.post(url).header("content-type", "image/png").body(body));
        assert_eq!(kept.status, 200, "{kept}");
        kept.json()["digest"].clone()
    }

    /// The usual terms; those that are given go over them.
    pub fn terms(&self, id: &str, skill: &Value, brief: &Value, more: Value) -> Value {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let deliver_by = u64::try_from(now.as_millis()).unwrap() + 60_000;
        let mut terms = json!({
            "id": id, "client": self.party, "parent": null, "skill": skill, "brief": brief,
            "budget": musd(20_000), "worth": musd(50_000), "quality": 0,
            "pricing": { "auction": { "committed": true, "bond": musd(10) } },
            "check": { "exact": { "executors": 3 } },
            "audit": 1_000_000, "checker_fee": musd(200), "appeals": 0, "stake": musd(1_000),
            "deliver_by": deliver_by, "check_ms": 20_000,
        });
        let more = more.as_object().unwrap().clone();
        terms.as_object_mut().unwrap().extend(more);
        terms
    }

    /// Opens and funds a job.
    pub fn hire(&self, id: &str, skill: &Value, brief: &Value, more: Value) {
        let terms = self.terms(id, skill, brief, more);
        let said =
            self.post("/market/operations", &json!([{ "open": terms }, { "fund": { "job": id } }]));
        assert_eq!(said.status, 200, "{said}");
        for outcome in said.json().as_array().unwrap() {
            assert_eq!(outcome["outcome"], "applied", "{said}");
        }
    }
}

fn job(up: &Up, id: &str) -> Value {
    up.get(&format!("/market/jobs/{id}")).json()
}

pub fn ended(up: &Up, id: &str) -> Value {
    until("the job has ended", || {
        let stage = job(up, id)["stage"].as_str().unwrap_or_default().to_owned();
        ["completed", "rejected", "expired"].contains(&stage.as_str())
    });
    job(up, id)
}

pub fn all_agrees(home: &Home) -> Value {
    let mut economy = Value::Null;
    until("books and chain agree", || {
        economy = home.json(&["economy"]);
        economy["books"]["state"] == "equal"
    });
    let headline = &economy["headline"];
    assert_eq!(minor(&headline["production"]), minor(&headline["expenditure"]));
    assert_eq!(minor(&headline["income"]), minor(&headline["expenditure"]));
    economy
}

#[test]
fn machines_bid_work_are_checked_and_paid_and_the_books_are_the_chain() {
    let photo = std::fs::read(photograph("chelsea.png")).expect("a sample");
    let home = Home::new();
    let up = home.up();
    let shopper = Client::of(&home, &up, "shopper");
    let offers = up.get("/market/offers?skill=vision/classify").json();
    assert_eq!(offers.as_array().map(Vec::len), Some(3), "three rivals see: {offers}");
    let skill = &offers[0]["offer"]["skill"];

    shopper.deposit("0.05");
    until("the deposit is credited", || shopper.free() == 50_000);
    let brief = shopper.keep(photo);
    let id = "0000000000000000000000000000000a";
    shopper.hire(id, skill, &brief, json!({}));
    let done = ended(&up, id);
    assert_eq!(done["stage"], "completed", "{done}");
    assert_eq!(done["bids"].as_array().map(Vec::len), Some(3), "all three bid: {done}");
    assert_eq!(done["verdict"], true);
    let price = minor(&done["price"]);
    let answer = shopper.get(&format!("/market/jobs/{id}/answer"));
    assert_eq!(answer.status, 200, "{answer}");
    assert!(answer.text().contains("cat"), "{answer}");
    // The worker's name, not the client's: nobody else reads it.
    let stranger = Client::of(&home, &up, "ada").get(&format!("/market/jobs/{id}/answer"));
    assert_eq!(stranger.status, 404, "{stranger}");

    // Three checkers were right, and each has its fee.
    let cost = price + 3 * 200;
    assert_eq!(shopper.free(), 50_000 - cost);
    let back = shopper.post("/market/withdrawals", &json!({}));
    assert_eq!(back.status, 200, "{back}");
    assert_eq!(minor(&back.json()["amount"]), 50_000 - cost);
    assert_eq!(shopper.free(), 0);

    let economy = all_agrees(&home);
    let books = |name: &str| home.json(&["books", name])[0].clone();
    let of_shopper = books("shopper");
    assert_eq!(line(&of_shopper, "purchases"), cost);
    assert_eq!(line(&of_shopper, "market"), 0);
    assert_eq!(line(&of_shopper, "cash"), 5_000_000 - cost);
    assert_eq!(
        minor(&of_shopper["mandate"]["lifetimeLeft"]),
        1_000_000 - cost,
        "what came back is left"
    );
    let fee = (price * 100 + 9_999) / 10_000;
    let of_market = books("market");
    assert_eq!(line(&of_market, "sales"), fee);
    assert_eq!(line(&of_market, "cash"), up.on_chain(party(&up.info, "market")));
    let earned: i128 =
        ["vision", "lite1", "lite2"].map(|name| line(&books(name), "sales")).iter().sum();
    assert_eq!(earned, price - fee);
    assert_eq!(minor(&economy["headline"]["turnover"]), cost);

    // A restart finds the same market.
    let before = (job(&up, id), up.get("/market/offers").json());
    up.stop();
    let up = home.up();
    until("the machines are back", || up.get("/market/offers").json() == before.1);
    assert_eq!(job(&up, id), before.0);
    all_agrees(&home);
}

#[test]
fn what_the_market_is_asked_wrongly_is_refused_with_the_reason() {
    let home = Home::new();
    let up = home.up();
    let shopper = Client::of(&home, &up, "shopper");
    let ask_for = |body: &Value| shopper.post("/market/operations", body);
    // Nobody, and a stranger with this home's token.
    let nobody = ask(HTTP.post(up.url("/market/operations")).json(&json!(["tick"])));
    assert_eq!(nobody.status, 401, "{nobody}");
    let stranger =
        Client { party: format!("0x{}", "7".repeat(40)), ..Client::of(&home, &up, "ada") };
    assert_eq!(stranger.post("/market/operations", &json!(["tick"])).status, 401);
    // What only the market does, what is another's, and what is no operation.
    for (body, status) in [
        (json!(["tick"]), 403),
        (
            json!([{ "deposit": { "id": "0".repeat(32), "party": shopper.party, "amount": musd(1) } }]),
            403,
        ),
        (json!([{ "leave": { "party": party(&up.info, "ada") } }]), 403),
        (json!([{ "fund": { "job": "0".repeat(32) } }]), 403),
        (json!([{ "leave": { "party": 1 } }]), 400),
        (json!([]), 400),
        (json!({}), 400),
    ] {
        let said = ask_for(&body);
        assert_eq!(said.status, status, "{body}: {said}");
        assert!(said.json()["message"].as_str().is_some_and(|why| !why.is_empty()), "{said}");
    }
    // Who has nothing here writes nothing; with money it is told what is wrong.
    let enlist = json!([{ "enlist": { "party": shopper.party, "stake": musd(20_000) } }]);
    let unfunded = ask_for(&enlist);
    assert_eq!(unfunded.status, 402, "{unfunded}");
    // Money that is none, and documents of who has nothing here.
    for path in ["/market/deposits", "/market/deposits?amount=0", "/market/deposits?amount=1e9"] {
        assert_eq!(ask(HTTP.post(up.url(path))).status, 400, "{path}");
    }
    let quoted = ask(HTTP.post(up.url("/market/deposits?amount=0.25")));
    assert_eq!(quoted.status, 402, "{quoted}");
    // From a channel, which costs its payer nothing else, a deposit has a least amount.
    for (amount, by_channel) in [("0.001", true), ("0.000999", false)] {
        let quoted = ask(HTTP.post(up.url(&format!("/market/deposits?amount={amount}"))));
        let quote = quoted.headers["payment-required"].as_bytes();
        let quote: Value = serde_json::from_slice(&STANDARD.decode(quote).unwrap()).unwrap();
        let mut ways = quote["accepts"].as_array().expect("ways").iter();
        assert_eq!(ways.any(|way| way["scheme"] == "batch-settlement"), by_channel, "{quote}");
    }
    let kept = shopper.request(HTTP.post(up.url("/market/documents")).body("x"));
    assert_eq!(kept.status, 402, "{kept}");
    assert_eq!(up.get("/market/jobs/none").status, 404);
    assert_eq!(shopper.post("/market/withdrawals", &json!({ "amount": musd(1) })).status, 422);
    shopper.pay_in("0.01");
    let refused = ask_for(&enlist);
    assert_eq!(refused.status, 200, "{refused}");
    assert_eq!(refused.json()[0]["outcome"], "refused");
    assert!(refused.json()[0]["message"].as_str().unwrap().contains("0.01 MUSD free"), "{refused}");
    up.stop();
}

#[test]
fn work_that_nobody_could_check_is_refused_before_any_money_moves() {
    let home = Home::new();
    let up = home.up();
    let shopper = Client::of(&home, &up, "shopper");
    let offers = up.get("/market/offers?skill=file/kind").json();
    let known = offers[0]["offer"]["skill"].clone();
    shopper.pay_in("0.05");
    let brief = shopper.keep(b"#!/bin/sh\necho hello\n".to_vec());
    let unknown = json!("77".repeat(16));
    for (n, check) in
        [(1, json!({ "exact": { "executors": 1 } })), (2, json!({ "juror": { "jurors": 1 } }))]
    {
        let id = format!("{n:032x}");
        let terms = shopper.terms(&id, &unknown, &brief, json!({ "check": check }));
        let operations = json!([{ "open": terms }, { "fund": { "job": id } }]);
        let said = shopper.post("/market/operations", &operations).json();
        assert_eq!(said[1]["outcome"], "refused", "{said}");
        let why = said[1]["message"].as_str().unwrap_or_default();
        assert!(why.contains("nobody could make this check"), "{said}");
        assert_eq!(shopper.free(), 50_000, "nothing was set aside");
    }
    // What machines here do, their checkers check.
    let id = format!("{:032x}", 3);
    shopper.hire(&id, &known, &brief, json!({}));
    assert_eq!(ended(&up, &id)["stage"], "completed");
    up.stop();
}

#[test]
fn a_power_failure_in_the_middle_of_jobs_leaves_nobodys_money_stuck() {
    let home = Home::new();
    let up = home.up();
    let shopper = Client::of(&home, &up, "shopper");
    let offers = up.get("/market/offers?skill=file/kind").json();
    let skill = offers[0]["offer"]["skill"].clone();
    shopper.pay_in("0.08");
    assert_eq!(shopper.free(), 80_000, "a deposit that is answered is credited");
    // What nobody can work on hires nobody: at a posted price no machine is asked first.
    let unknown = json!(format!("0x{}", "ab".repeat(32)));
    let terms = shopper.terms(&"0".repeat(32), &skill, &unknown, json!({}));
    let said = shopper.post("/market/operations", &json!([{ "open": terms }]));
    assert_eq!(said.status, 409, "{said}");
    let brief = shopper.keep(b"#!/bin/sh\necho hello\n".to_vec());
    let id = |n: u8| format!("{n:032x}");
    for n in 1..=3 {
        shopper.hire(&id(n), &skill, &brief, json!({}));
    }
    // One is at work, or bid for, or done: whatever it is at, the power fails.
    up.kill();
    let up = home.up();
    let shopper = Client::of(&home, &up, "shopper");
    let mut cost = 0;
    for n in 1..=3 {
        let done = ended(&up, &id(n));
        if done["stage"] == "completed" {
            cost += minor(&done["price"]) + 3 * 200;
        }
    }
    assert_eq!(shopper.free(), 80_000 - cost);
    let back = shopper.post("/market/withdrawals", &json!({}));
    assert_eq!(back.status, 200, "{back}");
    up.kill();
    let up = home.up();
    all_agrees(&home);
    let of_shopper = home.json(&["books", "shopper"])[0].clone();
    assert_eq!(line(&of_shopper, "cash"), 5_000_000 - cost);
    assert_eq!(up.on_chain(party(&up.info, "shopper")), 5_000_000 - cost);
    up.stop();
}

#[test]
fn a_worker_from_outside_signs_and_must_have_money_here() {
    let home = Home::new();
    let up = home.up();
    let key = alloy_signer_local::PrivateKeySigner::from_bytes(&[7; 32].into()).unwrap();
    let worker = key.address().to_string();
    let offer = json!([{ "publish": {
        "id": "0".repeat(31) + "7", "worker": worker, "skill": "0".repeat(31) + "1",
        "price": musd(100), "capacity": 1, "most_stake": musd(100), "least_ms": 1_000,
        "checks": ["exact"], "most_mark": 800_000,
    } }]);
    let rules = up.get("/market/rules").json();
    assert_eq!(rules["market"], party(&up.info, "market"));
    let publish = |market: &Value, signed: &Value, sent: &Value| {
        let market = market.as_str().unwrap();
        let body = sent.to_string();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let at = now.as_millis().to_string();
        let digest = hex::encode(sha2::Sha256::digest(signed.to_string()));
        let text = format!(
            "Machina market\nPOST /market/operations\nchain 402402\nmarket {market}\nat {at}\n{digest}"
        );
        let signature = key.sign_message_sync(text.as_bytes()).unwrap();
        let request = HTTP.post(up.url("/market/operations")).body(body);
        ask(request
            .header("machina-party", &worker)
            .header("machina-at", at)
            .header("machina-signature", signature.to_string()))
    };
    let changed = json!([{ "leave": { "party": worker } }]);
    let here = &rules["market"];
    assert_eq!(publish(here, &offer, &changed).status, 401, "it was signed for another request");
    assert_eq!(publish(&json!(worker), &offer, &offer).status, 401, "and for another market");
    // Its signature is good; what it offers is written when it has paid something in.
    let said = publish(here, &offer, &offer);
    assert_eq!(said.status, 402, "{said}");
    let listed = up.get("/market/offers?limit=200").json();
    let found = listed.as_array().unwrap().iter().any(|o| o["offer"]["worker"] == worker.as_str());
    assert!(!found, "{listed}");
    up.stop();
}

#[test]
fn a_withdrawal_that_is_sent_again_is_the_same_and_dust_is_not_paid_out() {
    let home = Home::new();
    let up = home.up();
    let shopper = Client::of(&home, &up, "shopper");
    shopper.pay_in("0.02");
    let withdraw = |body: &Value| shopper.post("/market/withdrawals", body);
    let dust = withdraw(&json!({ "amount": musd(999) }));
    assert_eq!(dust.status, 422, "{dust}");
    assert!(dust.text().contains("at the least"), "{dust}");
    // Without a name, what was signed at one moment is one withdrawal.
    let signed = |at: &str| {
        let url = up.url("/market/withdrawals");
        let body = json!({ "amount": musd(5_000) });
        let told = shopper.request(HTTP.post(url).json(&body).header("machina-at", at));
        assert_eq!(told.status, 200, "{told}");
        told.json()["transaction"].clone()
    };
    let first = signed("1795000000000");
    assert_eq!(signed("1795000000000"), first);
    assert_eq!(shopper.free(), 15_000);
    assert_ne!(signed("1795000000001"), first);
    assert_eq!(shopper.free(), 10_000);
    // With a name and no amount it stays what it was.
    let all = json!({ "id": "0".repeat(31) + "7" });
    let (one, again) = (withdraw(&all), withdraw(&all));
    assert_eq!((one.status, again.status), (200, 200), "{one} {again}");
    assert_eq!(one.json(), again.json());
    assert_eq!(minor(&one.json()["amount"]), 10_000);
    // The market takes nothing out of what it keeps.
    let market = Client::of(&home, &up, "market");
    assert_eq!(market.post("/market/withdrawals", &json!({})).status, 403);
    all_agrees(&home);
    up.stop();
}

#[test]
fn who_waits_for_work_is_told_as_it_comes_and_misses_nothing() {
    let home = Home::new();
    let up = home.up();
    // The home takes quotes for its shopper by itself, so another is the client, and the shopper works.
    let worker = Client::of(&home, &up, "shopper");
    worker.pay_in("0.1");
    let client = Client::of(&home, &up, "vision");
    until("the machines of the home, vision among them, have paid in", || {
        up.get("/market/offers");
        client.free() >= 100_000
    });
    // A skill that the home's checkers check, and that no machine of it offers by itself.
    let skill = serde_json::to_value(foreman::Service::Answer.skill()).unwrap();
    let offer = "0".repeat(31) + "7";
    let published = worker.post(
        "/market/operations",
        &json!([{ "publish": {
            "id": offer, "worker": worker.party, "skill": skill,
            "price": musd(100), "capacity": 9, "most_stake": musd(10_000), "least_ms": 1_000,
            "checks": ["exact"], "most_mark": 800_000,
        } }]),
    );
    assert_eq!(published.json()[0]["outcome"], "applied", "{published}");
    let told = |who: &Client, query: &str| {
        let answer = who.get(&format!("/market/work?{query}"));
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()
    };
    assert_eq!(up.get("/market/work?wait=0").status, 401, "who asks, says who it is");
    let first = told(&worker, "wait=0");
    assert_eq!((&first["whole"], &first["work"]), (&json!(true), &json!([])));
    let after = first["after"].as_u64().unwrap();

    // A brief and its job in one request, while the worker waits.
    let brief = b"as much as a brief may be";
    let digest = ::market::Digest::of(brief);
    let id = "0".repeat(31) + "9";
    let terms = client.terms(
        &id,
        &skill,
        &json!(digest),
        json!({ "pricing": "quotes", "check": { "exact": { "executors": 1 } } }),
    );
    let document = |body: &str| json!({ "mediaType": "text/plain", "body": body });
    let whole = |body: &str| {
        json!({
            "documents": [document(body)],
            "operations": [{ "open": terms }, { "fund": { "job": id } }],
        })
    };
    let broken = client.post("/market/operations", &whole("no base64!"));
    assert_eq!(broken.status, 400, "{broken}");
    let ordering = std::thread::scope(|threads| {
        let waiting =
            threads.spawn(|| told(&worker, &format!("after={after}&wait=30&briefs=true")));
        let opened = client.post("/market/operations", &whole(&STANDARD.encode(brief)));
        assert_eq!(opened.status, 200, "{opened}");
        for outcome in opened.json().as_array().unwrap() {
            assert_eq!(outcome["outcome"], "applied", "{opened}");
        }
        waiting.join().unwrap()
    });
    assert_eq!(ordering["whole"], false, "{ordering}");
    let asked = &ordering["work"][0];
    assert_eq!((&asked["job"], &asked["asks"]), (&json!(id), &json!("bid")), "{ordering}");
    assert_eq!(asked["brief"]["body"], STANDARD.encode(brief), "{ordering}");

    // It quotes, the client takes the quote, and the worker hears that it was chosen.
    let bid = json!([{ "bid": { "job": id, "offer": offer, "price": musd(90) } }]);
    let bid = worker.post("/market/operations", &bid);
    assert_eq!(bid.json()[0]["outcome"], "applied", "{bid}");
    let quoted = told(&client, &format!("after={after}&wait=30"));
    let asked: Vec<_> =
        quoted["work"].as_array().unwrap().iter().map(|it| (&it["job"], &it["asks"])).collect();
    assert_eq!(asked, [(&json!(id), &json!("accept"))], "the client hears of the quote");
    let accept = json!([{ "accept": { "job": id, "offer": offer, "by": client.party } }]);
    let accepted = client.post("/market/operations", &accept);
    assert_eq!(accepted.json()[0]["outcome"], "applied", "{accepted}");
    let heard = ordering["after"].as_u64().unwrap();
    let hired = told(&worker, &format!("after={heard}&wait=30"));
    assert_eq!(hired["work"][0]["asks"], "work", "{hired}");
    assert_eq!(hired["work"].as_array().unwrap().len(), 1, "{hired}");

    // Who comes back hears only what still waits; who has been told of another run looks at all.
    let again = told(&worker, &format!("after={after}&wait=0"));
    assert_eq!((&again["work"], &again["after"]), (&hired["work"], &hired["after"]));
    up.stop();
    let up = home.up();
    let worker = Client::of(&home, &up, "shopper");
    let heard = hired["after"].as_u64().unwrap();
    let begun = worker.get(&format!("/market/work?after={heard}&wait=30")).json();
    assert_eq!(begun["whole"], true, "{begun}");
    assert_eq!(begun["work"], hired["work"]);
    up.stop();
}

#[test]
fn the_foreman_refills_its_capital_from_what_it_has_and_its_owner_can_allow_it_more() {
    let home = Home::new();
    let up = home.up();
    let foreman = Client::of(&home, &up, "foreman");
    until("the foreman has its first capital", || {
        up.get("/market/offers");
        foreman.free() == 500_000
    });
    // Nothing of it is left here; on the chain it has all of its first money.
    let out = foreman.post("/market/withdrawals", &json!({}));
    assert_eq!(out.status, 200, "{out}");
    until("it has paid in what was missing", || foreman.free() == 500_000);
    all_agrees(&home);
    let books = home.json(&["books", "foreman"])[0].clone();
    assert_eq!((line(&books, "market"), line(&books, "cash")), (500_000, 500_000), "{books}");
    assert_eq!(line(&books, "purchases"), 0, "its own money is no purchase: {books}");
    assert_eq!(minor(&books["mandate"]["lifetimeLeft"]), 500_000, "{books}");

    let granted =
        home.json(&["grant", "2", "--per-payment", "0.5", "--days", "9", "--machine", "foreman"]);
    assert_eq!(minor(&granted["lifetime"]), 2_000_000, "{granted}");
    let books = home.json(&["books", "foreman"])[0].clone();
    assert_eq!(minor(&books["mandate"]["lifetimeLeft"]), 2_000_000, "{books}");
    let why = home.run(&["grant", "2", "--machine", "grace"]).misused();
    assert!(why.contains("grace spends under no mandate"), "{why}");
    up.stop();
}
