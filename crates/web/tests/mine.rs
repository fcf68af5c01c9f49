//! The pages for this home's person alone: what strangers say on them is text, each form says what it
//! does and carries its word, and what is decided has no form.

use money::{Amount, Asset, Party, Timestamp};
use web::mine::{self, Errand};
use web::{ApprovalStateView, ApprovalView};

const WORD: &str = "the-word-of-the-form";

fn request(state: ApprovalStateView) -> ApprovalView {
    ApprovalView {
        id: "9f3a61c2d4e5f607".into(),
        reference: format!("0x{}", "9f".repeat(32)),
        state,
        machine: "shopper".into(),
        payee: Party::new([7; 20]),
        payee_name: "vision".into(),
        amount: Amount::from_minor(Asset::MUSD, 10_000),
        asked_at: Timestamp::from_secs(1_795_000_000),
        decide_by: Timestamp::from_secs(1_795_086_400),
        use_by: Timestamp::from_secs(1_795_090_000),
        trade: Some(format!("0x{}", "ab".repeat(32))),
        method: "POST".into(),
        url: "http://localhost:4020/m/vision/classify".into(),
        media_type: Some("image/png".into()),
        bytes: 240_512,
        sha256: "5e".repeat(32),
        begins: None,
        described: Some("What a photograph shows".into()),
    }
}

fn page(all: &[ApprovalView]) -> String {
    mine::approvals(all, WORD, None).into_string()
}

#[test]
fn a_request_that_waits_says_whom_how_much_for_what_and_until_when() {
    let shown = page(&[request(ApprovalStateView::Waiting)]);
    for said in [
        "shopper",
        "vision",
        "0.01",
        "POST",
        "/m/vision/classify",
        "240,512",
        "once",
        &*"5e".repeat(32),
    ] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    assert_eq!(shown.matches("<form").count(), 1);
    assert!(shown.contains(&format!("name=\"form\" value=\"{WORD}\"")));
    assert!(shown.contains("value=\"accept\"") && shown.contains("value=\"refuse\""));
    assert!(shown.contains("nobody has checked it"), "the seller's words are the seller's");
}

#[test]
fn what_is_decided_cannot_be_decided_again_on_the_page() {
    for state in [
        ApprovalStateView::Accepted,
        ApprovalStateView::Used,
        ApprovalStateView::Refused,
        ApprovalStateView::Expired,
    ] {
        let shown = page(&[request(state)]);
        assert!(!shown.contains("<form") && !shown.contains(WORD), "{state:?}");
    }
    assert!(page(&[]).contains("Nothing waits"));
}

#[test]
fn hostile_words_are_text_and_are_cut() {
    let script = "<script>alert(1)</script>\u{202e}\u{7}";
    let mut one = request(ApprovalStateView::Waiting);
    one.machine = script.into();
    one.payee_name = script.into();
    one.method = script.into();
    one.url = format!("javascript:{script}{}", "x".repeat(100_000));
    one.media_type = Some(script.into());
    one.begins = Some(script.repeat(10_000));
    one.described = Some(script.repeat(10_000));
    one.trade = Some(script.into());
    let mut used = one.clone();
    used.state = ApprovalStateView::Used;
    let trouble = mine::approvals(&[one, used], WORD, Some(script)).into_string();
    assert!(!trouble.contains("<script>alert") && !trouble.contains('\u{202e}'), "{trouble}");
    assert!(!trouble.contains("href=\"javascript"));
    assert!(trouble.len() < 20_000, "{} bytes", trouble.len());
}

#[test]
fn who_is_not_known_is_shown_the_door_and_how_to_open_it() {
    let door = mine::enter(false).into_string();
    assert!(door.contains("machina approvals") && door.contains("type=\"password\""));
    assert!(mine::enter(true).into_string().contains("role=\"alert\""));
    let errand = |waiting| Errand {
        title: "Purchases",
        about: "What asks.",
        path: "/mine/approvals",
        waiting,
    };
    let shown = mine::index(&[errand(0)]).into_string();
    assert!(shown.contains("Nothing waits"));
    assert!(mine::index(&[errand(2)]).into_string().contains("2 wait for you"));
}
