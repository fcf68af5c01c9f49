//! The market's pages over HTTP, without a browser.

mod fixture;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use fixture::{Fixture, hall};
use http_body_util::BodyExt;
use tower::ServiceExt;
use web::*;

async fn get_of(economy: Arc<dyn Economy>, path: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .uri(path)
        .header("accept", "text/html")
        .body(Body::empty())
        .expect("the test's request is well formed");
    let response = router(economy).oneshot(request).await.expect("the router never fails");
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("the body is whole").to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

async fn get(path: &str) -> (StatusCode, String) {
    get_of(Arc::new(Fixture::with_trades(3)), path).await
}

#[tokio::test]
async fn the_market_shows_offers_with_their_records_and_finds_them_by_words() {
    let (status, page) = get("/market").await;
    assert_eq!(status, StatusCode::OK);
    for words in
        ["Iris", "Argus", "Novice", "No record yet", "Passes at least", "4 offers", "cheapest of 3"]
    {
        assert!(page.contains(words), "{words} is missing");
    }
    let (_, found) = get("/market?q=Foreman").await;
    assert!(found.contains("1 offer") && !found.contains("Argus"), "{found}");
    let (_, none) = get("/market?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert!(none.contains("No offer was found") && !none.contains("<script>alert"), "{none}");
    let (status, _) = get("/market?skip=x").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let long = format!("/market?q={}", "a".repeat(5_000));
    assert!(get(&long).await.1.len() < 30_000);
}

#[tokio::test]
async fn a_job_s_page_shows_bids_choice_check_and_where_its_money_went() {
    let (status, page) = get(&format!("/jobs/{}", hall::name(3))).await;
    assert_eq!(status, StatusCode::OK);
    for words in [
        "hired",
        "had the best score",
        "The work passed",
        "agrees with the verdict",
        "market&#39;s fee",
        "back to",
        "does the work again with the same model",
        "the job that hired it",
    ] {
        let words = words.replace("&#39;", "'");
        assert!(page.contains(&words), "{words} is missing: {page}");
    }
    let (_, root) = get(&format!("/jobs/{}", hall::name(1))).await;
    assert_eq!(root.matches("class=\"depth-1\"").count(), 3);
    assert!(root.contains("The mandate leaves"));
}

#[tokio::test]
async fn what_is_no_job_has_no_page_and_no_picture() {
    let long = format!("/jobs/{}", "a".repeat(20_000));
    let unknown = format!("/jobs/{}", "0".repeat(32));
    for path in [unknown.as_str(), "/jobs/1", "/jobs/%ff", "/jobs/..%2f..", &long] {
        let (status, page) = get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.contains("There is no such job"), "{path}");
    }
    let (status, _) = get(&format!("{unknown}/picture")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = get(&format!("/jobs/{}/picture", hall::name(2))).await;
    assert_eq!(status, StatusCode::OK);
}

/// An economy whose one job is a stranger's in every word.
struct Hostile;

const HOSTILE: &str = "\"><script>alert(1)</script>\u{202E}\r\n\r\nevent: job\ndata: forged";

impl Economy for Hostile {
    fn machines(&self) -> Vec<MachineView> {
        let mut machine = fixture::vision(1);
        machine.name = "Mallory".into();
        machine.skills[0].service = HOSTILE.into();
        machine.skills[0].model = HOSTILE.into();
        vec![machine]
    }
    fn trades(&self, _: Option<u64>, _: usize) -> Vec<TradeView> {
        Vec::new()
    }
    fn trade(&self, _: &str) -> Option<TrailView> {
        None
    }
    fn picture(&self, _: &str) -> Option<Picture> {
        None
    }
    fn figures(&self) -> FiguresView {
        Fixture::with_trades(0).figures()
    }
    fn accounts(&self) -> Result<AccountsView, String> {
        Err(HOSTILE.into())
    }
    fn counted(&self, _: &str, _: Option<u64>, _: usize) -> Option<CountedView> {
        None
    }
    fn subscribe(&self) -> tokio::sync::broadcast::Receiver<TradeView> {
        tokio::sync::broadcast::channel(1).1
    }
    fn outlook(&self) -> web::OutlookView {
        Fixture::with_trades(0).outlook()
    }
    fn market(&self, question: &MarketQuestion) -> Option<MarketView> {
        let mut market = hall::market(question, self.jobs(0, 10), false);
        for offer in &mut market.offers {
            offer.machine = HOSTILE.into();
            offer.title = HOSTILE.into();
            offer.model = HOSTILE.into();
            offer.reasons = vec![HOSTILE.into()];
        }
        Some(market)
    }
    fn jobs(&self, _: usize, _: usize) -> Vec<JobLineView> {
        self.job("").map(|job| job.line).into_iter().collect()
    }
    fn job(&self, _: &str) -> Option<JobView> {
        let mut job = hall::job(3, JobStageView::Completed, JobStageView::Completed)?;
        job.line.title = HOSTILE.into();
        job.line.client = HOSTILE.into();
        job.line.worker = Some(HOSTILE.into());
        job.inputs[0].name = HOSTILE.into();
        job.round.bids[0].machine = HOSTILE.into();
        job.round.why = HOSTILE.into();
        job.check.about = HOSTILE.into();
        job.check.panels[0].seats[0].said = Some(HOSTILE.into());
        job.money[0].who = HOSTILE.into();
        if let Some(work) = &mut job.work {
            work.text = Some(HOSTILE.into());
            work.answers[0].label = HOSTILE.into();
        }
        Some(job)
    }
}

#[tokio::test]
async fn strangers_words_are_text_on_the_market_a_job_and_a_machine() {
    let job = format!("/jobs/{}", hall::name(3));
    for path in ["/market", "/jobs", &job, "/m/Mallory"] {
        let (status, page) = get_of(Arc::new(Hostile), path).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(!page.contains("<script>alert") && !page.contains('\u{202E}'), "{path}");
        assert!(page.contains("&lt;script&gt;alert(1)"), "{path} shows it as text");
    }
}

#[tokio::test]
async fn strangers_words_are_text_where_people_work() {
    let act = [mine::Act::Answer];
    let mut ask = fixture::mine::ask(1, JobStageView::Working, &act);
    ask.words = HOSTILE.into();
    ask.client = HOSTILE.into();
    ask.answer = Some(HOSTILE.into());
    ask.files[0].name = HOSTILE.into();
    ask.files[0].media_type = HOSTILE.into();
    let retry = mine::Retry { why: HOSTILE.into(), typed: HOSTILE.into() };
    let one = mine::asked(&ask, "word", Some(&retry)).into_string();
    let list =
        mine::work(&mine::WorkView { open: vec![ask], ..fixture::mine::work() }).into_string();
    for page in [&one, &list] {
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)"), "it is shown as text");
    }
    // What was typed stays as typed, direction marks and all; nowhere else are they let through.
    assert_eq!(one.matches('\u{202E}').count(), 1);
    assert_eq!(list.matches('\u{202E}').count(), 0);
    // A job whose name is none leads nowhere but to a page that says so.
    let mut ask = fixture::mine::ask(1, JobStageView::Bidding, &[]);
    ask.id = "../../x".into();
    assert!(!mine::asked(&ask, "word", None).into_string().contains("<img"));
}

#[tokio::test]
async fn an_economy_without_a_market_has_no_page_of_one() {
    struct Without(Hostile);
    impl Economy for Without {
        fn machines(&self) -> Vec<MachineView> {
            Vec::new()
        }
        fn trades(&self, _: Option<u64>, _: usize) -> Vec<TradeView> {
            Vec::new()
        }
        fn trade(&self, _: &str) -> Option<TrailView> {
            None
        }
        fn picture(&self, _: &str) -> Option<Picture> {
            None
        }
        fn figures(&self) -> FiguresView {
            self.0.figures()
        }
        fn accounts(&self) -> Result<AccountsView, String> {
            self.0.accounts()
        }
        fn counted(&self, _: &str, _: Option<u64>, _: usize) -> Option<CountedView> {
            None
        }
        fn subscribe(&self) -> tokio::sync::broadcast::Receiver<TradeView> {
            self.0.subscribe()
        }
        fn outlook(&self) -> web::OutlookView {
            self.0.outlook()
        }
    }
    let (status, page) = get_of(Arc::new(Without(Hostile)), "/market").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(page.contains("There is no such page"));
}
