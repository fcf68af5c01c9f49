//! People at the labour market: asked from a terminal, at work on the web, paid as machines are.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{Answer, HTTP, Home, Up, ask, line, minor, party, photograph, until};

/// A person's browser: it has the cookie, and the word of the forms.
struct Browser<'a> {
    up: &'a Up,
    client: reqwest::Client,
    cookie: String,
    form: String,
}

impl Browser<'_> {
    fn of<'a>(home: &Home, up: &'a Up) -> Browser<'a> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none());
        let client = client.build().expect("a client");
        let of = |purpose: &str| {
            let text = format!("machina/person/{purpose}/{}", home.token());
            Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let entered = ask(client.get(up.url(&format!("/mine/enter?key={}", of("key")))));
        assert_eq!(entered.status, 303, "{entered}");
        let set = entered.headers["set-cookie"].to_str().expect("text");
        let cookie = set.split(';').next().expect("a pair").to_owned();
        Browser { up, client, cookie, form: of("form") }
    }

    fn get(&self, path: &str) -> Answer {
        let request = self.client.get(self.up.url(path)).header("accept", "text/html");
        ask(request.header("cookie", &self.cookie))
    }

    fn send(&self, job: &str, act: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("form", self.form.as_str())];
        all.extend(fields);
        let text: Vec<String> = all
            .iter()
            .map(|(name, value)| {
                let value: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
                format!("{name}={value}")
            })
            .collect();
        let request = self.client.post(self.up.url(&format!("/mine/work/{job}/{act}")));
        let request =
            request.header("cookie", &self.cookie).header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        ask(request.header("accept", "text/html").body(text.join("&")))
    }

    /// It is done, and the page that shows it is told.
    #[track_caller]
    fn done(&self, job: &str, act: &str, fields: &[(&str, &str)]) {
        let said = self.send(job, act, fields);
        assert_eq!(said.status, 303, "{act}: {said}");
        assert_eq!(said.headers["location"], format!("/mine/work/{job}"));
    }

    /// It is refused, and the page says why.
    #[track_caller]
    fn refused(&self, job: &str, act: &str, fields: &[(&str, &str)], why: &str) {
        let said = self.send(job, act, fields);
        assert_eq!(said.status, 422, "{act}: {said}");
        assert!(said.text().contains(why), "{act} {why}: {said}");
    }
}

/// Asks a person, and tells the job's name.
fn asked(home: &Home, words: &str, more: &[&str]) -> String {
    let mut all = vec!["hire", words];
    all.extend(more);
    all.extend(["--human", "--budget", "0.03"]);
    home.json(&all)["job"].as_str().expect("a name").to_owned()
}

fn job(home: &Home, id: &str) -> Value {
    home.json(&["jobs", id])
}

fn over(home: &Home, id: &str) -> Value {
    until("the job is over", || job(home, id)["over"] == true);
    job(home, id)
}

fn judging(home: &Home, id: &str) {
    until("the answer is judged", || job(home, id)["stage"] == "checking");
    until("a juror is drawn", || {
        let page = job(home, id);
        page["stage"] == "checking"
    });
}

#[test]
fn a_person_takes_a_job_on_the_web_answers_it_and_is_paid_as_machines_are() {
    let home = Home::new();
    let up = home.up();
    let picture = photograph("chelsea.png").display().to_string();
    let id = asked(&home, "Is this <cat> asleep?", &[&picture]);
    assert_eq!(job(&home, &id)["stage"], "bidding");

    // Who is not signed in sees no form, and does nothing.
    let stranger = ask(HTTP.get(up.url("/mine/work")).header("accept", "text/html"));
    assert_eq!(stranger.status, 401, "{stranger}");
    let person = Browser::of(&home, &up);
    let list = person.get("/mine/work").text();
    assert!(list.contains("Is this &lt;cat&gt; asleep?") && list.contains("grace"), "{list}");
    let page = person.get(&format!("/mine/work/{id}"));
    for told in ["Take it", "chelsea.png", "shopper"] {
        assert!(page.text().contains(told), "{told}: {page}");
    }
    let shown = person.get(&format!("/mine/work/{id}/files/0"));
    assert_eq!(shown.body, std::fs::read(photograph("chelsea.png")).expect("a sample"));
    assert_eq!(shown.headers["content-type"], "image/png");
    assert_eq!(person.get(&format!("/mine/work/{id}/files/1")).status, 404);

    // What is not so is told on the page, with what was typed; nothing has happened.
    person.refused(&id, "answer", &[("answer", "too early")], "not in your hands");
    person.refused(&id, "take", &[("price", "0.5")], "more than");
    person.refused(&id, "take", &[("price", "-1")], "more than nothing");
    person.refused(&id, "say", &[("says", "accepted")], "nothing to say");
    person.refused(&id, "decide", &[("says", "upheld")], "nobody asks for a verdict");
    let forged = Browser { form: "0".repeat(64), ..Browser::of(&home, &up) };
    forged.refused(&id, "take", &[("price", "0.01")], "send it again");

    person.done(&id, "take", &[("price", "0.01")]);
    until("she is hired", || job(&home, &id)["worker"] == "grace");
    person.refused(&id, "take", &[("price", "0.01")], "taken");
    person.refused(&id, "answer", &[("answer", "  \r\n ")], "empty");
    person.done(&id, "answer", &[("answer", "No: its eyes\r\nare open. <b>Wide.</b>")]);
    person.refused(&id, "answer", &[("answer", "again")], "not in your hands");
    judging(&home, &id);
    let asked = job(&home, &id);
    assert!(asked["text"].as_str().is_some_and(|it| it.contains("eyes are open")), "{asked}");
    let page = person.get(&format!("/mine/work/{id}")).text();
    assert!(page.contains("are open. &lt;b&gt;Wide.&lt;/b&gt;"), "{page}");
    assert!(page.contains("Yes: pay it"), "{page}");
    person.done(&id, "say", &[("says", "accepted")]);

    let done = over(&home, &id);
    assert_eq!(done["stage"], "paid", "{done}");
    assert!(done["text"].as_str().is_some_and(|text| text.contains("eyes are open")), "{done}");
    // Her price less the market's fee is on her own address, and in her book.
    let grace = party(&up.info, "grace");
    until("she is paid", || up.on_chain(grace) == 9_900);
    let books = |name: &str| home.json(&["books", name])[0].clone();
    until("it is booked", || line(&books("grace"), "cash") == 9_900);
    assert_eq!(line(&books("grace"), "sales"), 9_900);
    assert_eq!(line(&books("shopper"), "purchases"), 10_000 + 500, "the juror's fee, too");
    // Her income is a person's, for work.
    let mut economy = Value::Null;
    until("books and chain agree", || {
        economy = home.json(&["economy"]);
        economy["books"]["state"] == "equal"
    });
    let employment = employment(&home);
    assert_eq!(minor(&employment["to_people_for_work"]), 9_900, "{employment}");
    assert_eq!(employment["people_at_work"], 1);
    let like = up.get("/market/offers?like=a%20human%20being%20for%20an%20opinion").json();
    assert_eq!(like["offers"][0]["skill"], "human/answer", "{like}");
    assert_eq!(like["offers"][0]["worker"], "grace");
    let reasons = like["offers"][0]["reasons"].to_string();
    assert!(reasons.contains("passes at least") && reasons.contains("takes "), "{reasons}");
    let next = up.get("/market/offers?like=a%20human%20being%20for%20an%20opinion&skip=1").json();
    assert_eq!(next["found"], like["found"]);
    assert_ne!(next["offers"][0]["skill"], "human/answer");
    let market = ask(HTTP.get(up.url("/market?q=grace")).header("accept", "text/html"));
    assert!(market.text().contains("an answer by a person"), "{market}");
    up.stop();
}

/// The economy's labour, as its report tells it.
fn employment(home: &Home) -> Value {
    let report = home.json(&["economy", "report"]);
    report["employment"].clone()
}

/// Somebody because of whom something changes at the market all the time: nobody's moment waits for silence.
struct Busy {
    ends: std::sync::mpsc::Sender<()>,
    noise: std::thread::JoinHandle<usize>,
}

impl Busy {
    fn market(home: &Home, up: &Up) -> Busy {
        // Its machines have come, and have money there.
        assert_eq!(up.get("/market/offers").status, 200);
        let (ends, ended) = std::sync::mpsc::channel();
        let (url, token) = (up.url("/market/operations"), home.token());
        let worker = party(&up.info, "lite1").to_owned();
        let musd = |minor: i128| json!({ "asset": "MUSD/6", "minor": minor.to_string() });
        let noise = std::thread::spawn(move || {
            let mut count = 0;
            // An offer of work that nobody asks for, again and again, until it is told to end.
            while ended.recv_timeout(std::time::Duration::from_millis(300)).is_err() {
                count += 1;
                let offer = json!({ "publish": {
                    "id": format!("{count:032x}"), "worker": worker, "skill": "9".repeat(32), "price": musd(9),
                    "capacity": 1, "most_stake": musd(0), "least_ms": 1_000, "checks": ["juror"], "most_mark": 0,
                } });
                let request = HTTP.post(&url).bearer_auth(&token).header("machina-party", &worker);
                let said = ask(request.json(&json!([offer])));
                assert_eq!(said.json()[0]["outcome"], "applied", "{said}");
            }
            count
        });
        Busy { ends, noise }
    }

    /// It ends; there was noise.
    fn ends(self) {
        self.ends.send(()).expect("it goes on");
        assert!(self.noise.join().expect("it was never refused") > 50);
    }
}

#[test]
fn who_disagrees_is_heard_by_a_juror_and_silence_pays() {
    let home = Home::new();
    let up = home.up();
    let person = Browser::of(&home, &up);
    let noise = Busy::market(&home, &up);
    let hired = |words: &str, more: &[&str]| {
        let id = asked(&home, words, more);
        person.done(&id, "take", &[("price", "0.01")]);
        until("she is hired", || job(&home, &id)["worker"] == "grace");
        person.done(&id, "answer", &[("answer", "Blue.")]);
        judging(&home, &id);
        id
    };
    // One who says nothing for as long as the person had has accepted.
    let silent = hired("Which colour?", &["--within", "30s"]);
    let bad = hired("Which colour is it?", &[]);
    let good = hired("And which is this?", &[]);
    for id in [&bad, &good] {
        until("a juror may be asked", || home.run(&["jobs", id, "--object"]).status.success());
        let page = || person.get(&format!("/mine/work/{id}")).text();
        until("its owner is asked", || page().contains("You are the juror"));
        assert!(!page().contains("No: object"), "it was said: {}", page());
    }
    assert!(person.get("/mine/work").text().contains("who is right?"));
    person.done(&bad, "decide", &[("says", "dismissed")]);
    person.done(&good, "decide", &[("says", "upheld")]);
    let (bad, good, silent) = (over(&home, &bad), over(&home, &good), over(&home, &silent));
    assert_eq!(bad["stage"], "failed its check", "{bad}");
    assert_eq!(minor(&bad["spent"]), 500, "the juror's fee: {bad}");
    assert_eq!(good["stage"], "paid", "{good}");
    assert_eq!(silent["stage"], "paid", "{silent}");
    noise.ends();
    // What is given back undone costs nobody anything.
    let id = asked(&home, "And now?", &[]);
    person.done(&id, "take", &[("price", "0.01")]);
    until("she is hired", || job(&home, &id)["worker"] == "grace");
    person.done(&id, "leave", &[]);
    assert_eq!(minor(&over(&home, &id)["spent"]), 0);
    let grace = party(&up.info, "grace").to_owned();
    until("she is paid for two", || up.on_chain(&grace) == 2 * 9_900);
    // A restart changes nothing, and pays nothing twice.
    up.stop();
    let up = home.up();
    until("books and chain agree", || home.json(&["economy"])["books"]["state"] == "equal");
    assert_eq!(up.on_chain(&grace), 2 * 9_900);
    up.stop();
}

#[test]
fn whoever_works_by_the_doors_reads_what_a_person_is_asked_and_nothing_else() {
    let home = Home::new();
    let up = home.up();
    let picture = photograph("coffee.png").display().to_string();
    let id = asked(&home, "What is in the cup?", &[&picture]);
    let worker = party(&up.info, "vision").to_owned();
    let as_worker = |request: reqwest::RequestBuilder| {
        ask(request.bearer_auth(home.token()).header("machina-party", &worker))
    };
    let terms = up.get(&format!("/market/jobs/{id}")).json();
    let path = format!("/market/jobs/{id}/brief");
    assert_eq!(as_worker(HTTP.get(up.url(&path))).status, 404, "it offers no such work");
    let musd = |minor: i128| json!({ "asset": "MUSD/6", "minor": minor.to_string() });
    let offer = json!({
        "id": "1".repeat(32), "worker": worker, "skill": terms["skill"], "price": musd(5_000),
        "capacity": 1, "most_stake": musd(0), "least_ms": 1_000, "checks": ["juror"], "most_mark": 800_000,
    });
    let operations = json!([{ "publish": offer }]);
    let said = as_worker(HTTP.post(up.url("/market/operations")).json(&operations));
    assert_eq!(said.json()[0]["outcome"], "applied", "{said}");
    let brief = as_worker(HTTP.get(up.url(&path))).json();
    assert_eq!(brief["words"], "What is in the cup?");
    let digest = brief["inputs"][0]["digest"].as_str().expect("a digest");
    let file = as_worker(HTTP.get(up.url(&format!("{path}/{digest}"))));
    assert_eq!(file.body, std::fs::read(photograph("coffee.png")).expect("a sample"));
    let other = format!("{path}/0x{}", "0".repeat(64));
    assert_eq!(as_worker(HTTP.get(up.url(&other))).status, 404);
    assert_eq!(as_worker(HTTP.get(up.url(&format!("{path}/x")))).status, 400);
    assert_eq!(ask(HTTP.get(up.url(&format!("{path}/{digest}")))).status, 401);
    // Its quote is taken, and by the client's word it is paid.
    let bid = json!([{ "bid": { "job": id, "offer": "1".repeat(32), "price": musd(5_000) } }]);
    assert_eq!(as_worker(HTTP.post(up.url("/market/operations")).json(&bid)).status, 200);
    until("it is hired", || job(&home, &id)["worker"] == "vision");
    let kept = as_worker(HTTP.post(up.url("/market/documents")).body("Coffee."));
    let report = json!({ "digest": kept.json()["digest"] });
    let submit = json!([{ "submit": { "job": id, "by": worker, "delivery": { "open": report } } }]);
    let said = as_worker(HTTP.post(up.url("/market/operations")).json(&submit));
    assert_eq!(said.json()[0]["outcome"], "applied", "{said}");
    let accepted = home.json(&["jobs", &id, "--accept"]);
    assert_eq!(accepted["worker"], "vision");
    let done = over(&home, &id);
    assert_eq!((done["stage"].as_str(), done["text"].as_str()), (Some("paid"), Some("Coffee.")));
    up.stop();
}
