//! A mandate that asks: a purchase above it waits, its owner decides by command or on the page, and it
//! is made once. The agent that wanted it has no way to say yes.

use std::sync::LazyLock;

use serde_json::Value;

use crate::support::{HTTP, Home, PATIENCE, Up, ask, at_photograph, minor, photograph};

/// A browser that shows where it is led to, instead of going there.
static BROWSER: LazyLock<reqwest::Client> = LazyLock::new(|| {
    LazyLock::force(&HTTP);
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE);
    client.redirect(reqwest::redirect::Policy::none()).build().expect("a client")
});

/// A form as a browser sends it.
fn posted(url: &str, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let kind = "application/x-www-form-urlencoded";
    BROWSER.post(url).header("content-type", kind).body(body.join("&"))
}

fn moved(up: &Up) -> usize {
    up.transfers().iter().filter(|m| m.minor == 10_000).count()
}

/// What a refused purchase says of the request that waits.
fn waits(home: &Home, up: &Up, picture: &str) -> Value {
    let said = home.run(&["--json", "pay", &up.counter(), "-d", &at_photograph(picture)]);
    assert_eq!(said.status.code(), Some(1), "{}", said.text());
    said.json()["error"].clone()
}

#[test]
fn a_purchase_waits_for_its_owner_and_is_made_once() {
    let home = Home::new();
    let up = home.up();
    let granted = home.json(&["grant", "1", "--ask-above", "0.005"]);
    assert_eq!(minor(&granted["unasked"]["per_payment"]), 5_000);
    assert_eq!(home.json(&["approvals"]).as_array().map(Vec::len), Some(0));

    let error = waits(&home, &up, "coffee.png");
    let id = error["approval"]["id"].as_str().expect("a name").to_string();
    assert_eq!(error["approval"]["state"], "waiting", "{error}");
    assert!(error["hint"].as_str().expect("a hint").contains(&id), "{error}");
    assert_eq!(waits(&home, &up, "coffee.png")["approval"]["id"], *id, "the same request");
    let other =
        waits(&home, &up, "rocket.jpg")["approval"]["id"].as_str().expect("one").to_string();
    assert_ne!(other, id);
    assert_eq!(moved(&up), 0);
    let listed = home.json(&["approvals"]);
    let one = listed.as_array().expect("a list").iter().find(|one| one["id"] == *id);
    let one = one.expect("it is listed");
    assert_eq!(one["wanted"]["url"], up.counter());
    assert_eq!(one["wanted"]["method"], "POST");
    assert_eq!(minor(&one["amount"]), 10_000);
    let said = home.run(&["approvals"]).done().text();
    assert!(said.contains(&id) && said.contains("/mine/enter?key="), "{said}");

    // Accepted, for that picture alone, and once.
    home.run(&["approvals", "--accept", &id]).done();
    assert_eq!(waits(&home, &up, "rocket.jpg")["approval"]["id"], *other);
    home.run(&["pay", &up.counter(), "-d", &at_photograph("coffee.png")]).done();
    assert_eq!(moved(&up), 1);
    let why = home.run(&["approvals", "--accept", &id]).refused();
    assert!(why.contains("used"), "{why}");
    assert_ne!(waits(&home, &up, "coffee.png")["approval"]["id"], *id, "asked for anew");

    // Refused; and what is decided survives a restart.
    home.run(&["approvals", "--refuse", &other, "--why", "no rockets"]).done();
    let error = waits(&home, &up, "rocket.jpg");
    assert_eq!(error["approval"]["state"], "refused", "{error}");
    // At the same address: at another it would be another purchase.
    let port = up.ports().0;
    up.kill();
    let up = home.up_at(port);
    let error = waits(&home, &up, "rocket.jpg");
    assert_eq!(error["approval"]["state"], "refused", "{error}");
    let why = home.run(&["approvals", "--accept", &other]).refused();
    assert!(why.contains("refused"), "{why}");
    home.run(&["approvals", "--accept", "zz"]).refused();
    // A channel is for many purchases, so none is opened for what has to be asked for.
    let order = ["pay", &up.counter(), "-d", &at_photograph("chelsea.png")];
    let by_channel = [order.as_slice(), &["--scheme", "batch-settlement"]].concat();
    let why = home.run(&by_channel).refused();
    assert!(why.contains("owner's word"), "{why}");
    assert_eq!(moved(&up), 1);
    up.stop();
}

#[test]
fn a_word_for_one_hire_is_for_that_hire() {
    let home = Home::new();
    let up = home.up();
    home.run(&["grant", "1", "--ask-above", "0.005"]).done();
    let hire = |words: &str, picture: &str| {
        let picture = photograph(picture).display().to_string();
        let said = home.run(&["--json", "hire", words, &picture, "--budget", "0.05"]);
        assert_eq!(said.status.code(), Some(1), "{}", said.text());
        said.json()["error"]["approval"]["id"].as_str().expect("it waits").to_string()
    };
    let words = "what is in this picture?";
    let one = hire(words, "coffee.png");
    assert_eq!(hire(words, "coffee.png"), one, "the same order");
    assert_ne!(hire(words, "rocket.jpg"), one, "for another picture");
    assert_ne!(hire("name what this picture shows", "coffee.png"), one, "in other words");
    let listed = home.json(&["approvals"]);
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed.len(), 3);
    let begins = listed.iter().find(|it| it["id"] == *one).map(|it| &it["wanted"]["begins"]);
    let begins = begins.and_then(Value::as_str).expect("what it is for");
    assert!(begins.contains(words) && begins.contains("a budget of 0.05"), "{begins}");
    up.stop();
}

#[test]
fn the_page_is_for_the_person_alone_and_decides_by_its_own_form_only() {
    let home = Home::new();
    let up = home.up();
    home.run(&["grant", "1", "--ask-above", "0"]).done();
    let id = waits(&home, &up, "coffee.png")["approval"]["id"].as_str().expect("one").to_string();
    let page = up.url("/mine/approvals");

    // Strangers see the door, and nothing of what waits; nor does the commands' own word open it.
    for answer in [
        ask(HTTP.get(&page)),
        ask(HTTP.get(&page).header("cookie", "machina-1=1; session=2")),
        ask(HTTP.get(&page).bearer_auth(home.token())),
        ask(HTTP.get(up.url("/mine"))),
        ask(HTTP.get(up.url("/mine/enter?key=wrong"))),
        ask(posted(&page, &[("form", "x"), ("id", &id), ("decision", "accept")])),
    ] {
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert!(!answer.text().contains(&id) && !answer.text().contains("/m/vision"));
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let info = ask(HTTP.get(up.url("/api/v1/info"))).text();
    assert!(!info.contains("key="), "everybody reads this");
    assert_eq!(ask(HTTP.get(up.url("/api/v1/approvals"))).status, 401);

    // The link lets the person in.
    let said = home.run(&["approvals"]).done().text();
    let link = said.split_whitespace().find(|word| word.contains("/mine/enter?key=")).expect("it");
    let entered = ask(BROWSER.get(link));
    assert_eq!(entered.status, 303);
    let cookie = entered.headers["set-cookie"].to_str().expect("ASCII").to_string();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_string();
    let see = || ask(HTTP.get(&page).header("cookie", &cookie)).text();
    let shown = see();
    assert!(shown.contains("/m/vision/classify") && shown.contains("Refuse"), "{shown}");
    let field = |name: &str| {
        let from = shown.split(&format!("name=\"{name}\" value=\"")).nth(1).expect("a field");
        from.split('"').next().expect("it ends").to_string()
    };
    let (form, reference) = (field("form"), field("id"));

    // A form without its word, or sent by another site's page, decides nothing.
    let send = |form: &str, site: Option<&str>| {
        let fields = [("form", form), ("id", reference.as_str()), ("decision", "accept")];
        let post = posted(&page, &fields).header("cookie", &cookie);
        let post = match site {
            Some(site) => post.header("sec-fetch-site", site),
            None => post,
        };
        ask(post).status
    };
    assert_eq!(send("", Some("same-origin")), 422);
    assert_eq!(send(&form, Some("same-site")), 422, "another port of this computer");
    assert_eq!(send(&form, Some("cross-site")), 422);
    assert_eq!(waits(&home, &up, "coffee.png")["approval"]["state"], "waiting");
    assert_eq!(send(&form, Some("same-origin")), 303);
    assert!(see().contains("accepted, not bought yet"));
    home.run(&["pay", &up.counter(), "-d", &at_photograph("coffee.png")]).done();
    assert_eq!(moved(&up), 1);
    assert!(see().contains("accepted and bought"));
    // After a restart the key is another one.
    let port = up.ports().0;
    up.kill();
    let up = home.up_at(port);
    let answer = ask(HTTP.get(up.url("/mine/approvals")).header("cookie", &cookie));
    assert_eq!(answer.status, 401);
    up.stop();
}
