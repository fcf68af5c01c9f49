//! MPP on the same 402: a credential is another spelling of the same payment, and buys the request
//! that it was made for and no other.

use crate::town;

use std::time::Duration;

use alloy_primitives::{Bytes, U256, keccak256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mandates::Key;
use mandates::books::Line;
use money::Clock as _;
use payments::extensions::{Binding, Declared};
use payments::{Mpp, exact, wire};
use reqwest::Response;
use serde_json::{Value, json};
use settlement::SignedAuthorization;
use sha2::{Digest as _, Sha256};
use town::boutique::{declared, entropy, extras, guest};
use town::shop::Shop;
use town::{PRICE, Town, http, seller};

/// The parts of the challenge in an answer.
fn challenge(response: &Response) -> Value {
    let header = response.headers()["www-authenticate"].to_str().unwrap();
    let parts = header.strip_prefix("Payment ").expect("the scheme");
    parts
        .split(", ")
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap();
            (name.to_string(), Value::from(value.trim_matches('"')))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn decoded(text: &Value) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()).unwrap()
}

async fn ask(shop: &Shop, body: &str) -> Response {
    http()
        .post(&shop.url)
        .header("content-type", "text/plain")
        .body(body.to_string())
        .send()
        .await
        .unwrap()
}

/// What mppx signs for a challenge: the order whose nonce is the hash of its id and realm.
fn order(town: &Town, payer: &Key, challenge: &Value) -> SignedAuthorization {
    let text = |name: &str| challenge[name].as_str().unwrap();
    let now = town.clock.now().as_secs();
    let order = SignedAuthorization {
        from: payer.address(),
        to: seller().into(),
        value: U256::from(PRICE),
        valid_after: U256::ZERO,
        valid_before: U256::from(now + 60),
        nonce: keccak256(format!("{}{}", text("id"), text("realm"))),
        signature: Bytes::new(),
    };
    town.sign(payer, order)
}

fn credential(challenge: &Value, order: &SignedAuthorization) -> Value {
    let written = exact::write(order);
    let mut payload = written["authorization"].clone();
    payload["type"] = "authorization".into();
    payload["signature"] = written["signature"].clone();
    let source = format!("did:pkh:eip155:402402:{}", order.from);
    json!({ "challenge": challenge, "payload": payload, "source": source })
}

fn written(credential: &Value) -> String {
    format!("Payment {}", URL_SAFE_NO_PAD.encode(credential.to_string()))
}

async fn present(url: &str, authorization: &str, body: &str) -> Response {
    http()
        .post(url)
        .header("content-type", "text/plain")
        .header("authorization", authorization)
        .body(body.to_string())
        .send()
        .await
        .unwrap()
}

/// The type of a problem, as its last word.
async fn problem(response: Response) -> String {
    assert_eq!(response.status(), 402);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    challenge(&response);
    assert!(response.headers().get("payment-receipt").is_none(), "no receipt for an error");
    let document: Value = response.json().await.unwrap();
    assert_eq!(document["status"], 402);
    assert!(!document["detail"].as_str().unwrap().is_empty());
    document["type"].as_str().unwrap().rsplit('/').next().unwrap().to_string()
}

#[tokio::test]
async fn a_challenge_tells_the_price_and_is_bound_to_the_request() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let response = ask(&shop, "sweep").await;
    assert_eq!(response.status(), 402);
    assert!(response.headers().contains_key("payment-required"), "both protocols on one 402");
    let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("WWW-AUTHENTICATE") && exposed.contains("PAYMENT-RECEIPT"));
    let given = challenge(&response);
    assert_eq!((&given["method"], &given["intent"]), (&json!("evm"), &json!("charge")));
    assert!(shop.url.contains(given["realm"].as_str().unwrap()));
    assert_eq!(
        decoded(&given["request"]),
        json!({
            "amount": "10000",
            "currency": town.token().address.to_string(),
            "methodDetails": {
                "chainId": 402402, "credentialTypes": ["authorization"], "decimals": 6,
            },
            "recipient": alloy_primitives::Address::from(seller()).to_string(),
        })
    );
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest("sweep"));
    assert_eq!(given["digest"], format!("sha-256=:{digest}:"));
    assert_eq!(given["expires"], town.clock.now().plus(Duration::from_secs(60)).to_string());
    let opaque = decoded(&given["opaque"]);
    assert_eq!((&opaque["method"], &opaque["target"]), (&json!("POST"), &json!("/work")));
    assert!(opaque.as_object().unwrap().values().all(Value::is_string));
    let other = challenge(&ask(&shop, "sweep").await);
    assert_ne!(given["id"], other["id"], "two purchases of the same at one moment are two");
    let empty = http().post(&shop.url).send().await.unwrap();
    assert!(challenge(&empty).get("digest").is_none(), "no body, no digest");
}

#[tokio::test]
async fn a_credential_buys_once_and_gets_its_answer_again_even_after_a_restart() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let payer = guest(&town, 0x21).await;
    let given = challenge(&ask(&shop, "sweep").await);
    let paid = written(&credential(&given, &order(&town, &payer, &given)));
    let response = present(&shop.url, &paid, "sweep").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store, private");
    let receipt = response.headers()["payment-receipt"].to_str().unwrap().to_string();
    let told = decoded(&Value::from(receipt.clone()));
    assert_eq!((&told["method"], &told["status"]), (&json!("evm"), &json!("success")));
    assert_eq!(told["challengeId"], given["id"]);
    let settled: wire::SettleResponse =
        wire::decode(response.headers(), wire::PAYMENT_RESPONSE).unwrap().unwrap();
    assert_eq!(told["reference"], settled.transaction);
    let answer = response.text().await.unwrap();
    assert_eq!(town.owns(seller()).await, i128::from(PRICE));

    // Again, later than the challenge is good, and by a gate that has another secret.
    town.clock.advance(Duration::from_secs(600));
    let mut strange = extras();
    strange.mpp = Some(Mpp::new([8; 32], entropy()));
    for shop in [shop, town.boutique_with(town.facilitator(), strange, declared()).await] {
        // The same address, as the same shop has after a restart.
        let before = shop.work.count();
        let again = present(&shop.url, &paid, "sweep").await;
        assert_eq!(again.status(), 200);
        assert_eq!(again.headers()["payment-receipt"].to_str().unwrap(), receipt);
        assert_eq!(again.text().await.unwrap(), answer);
        assert_eq!(shop.work.count(), before);
    }
    assert_eq!(town.owns(seller()).await, i128::from(PRICE));
    assert_eq!(town.line(seller(), Line::Sales).0, i128::from(PRICE));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_payment_known_to_x402_is_the_same_payment_in_mpp() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let payer = guest(&town, 0x21).await;
    let given = challenge(&ask(&shop, "sweep").await);
    let order = order(&town, &payer, &given);
    let first = shop.pay(&town.wrap(&order), "sweep").await;
    assert_eq!(first.status, 200, "{}", first.text);
    let second = present(&shop.url, &written(&credential(&given, &order)), "sweep").await;
    assert_eq!((second.status().as_u16(), second.text().await.unwrap()), (200, first.text));
    assert_eq!(shop.work.count(), 1);
    assert_eq!(town.owns(seller()).await, i128::from(PRICE));
}

#[tokio::test]
async fn each_refusal_is_a_problem_with_a_fresh_challenge_and_leaves_no_trace() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let payer = guest(&town, 0x21).await;
    let given = challenge(&ask(&shop, "sweep").await);
    let elsewhere = challenge(
        &http().post(shop.url.replace("/work", "/other")).body("sweep").send().await.unwrap(),
    );
    let bodiless = challenge(&http().post(&shop.url).send().await.unwrap());
    let good = credential(&given, &order(&town, &payer, &given));
    let before = (town.digest(), town.block().await);
    let with = |path: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        written(&changed)
    };
    let ordered = |change: fn(&mut SignedAuthorization)| {
        let mut unsigned = order(&town, &payer, &given);
        change(&mut unsigned);
        written(&credential(&given, &town.sign(&payer, unsigned)))
    };
    let with_header = {
        let mut changed = good.clone();
        changed["challenge"]["header"] = "Payment-Authorization".into();
        written(&changed)
    };
    let stranger = town::person(0x22);
    let poor = order(&town, &stranger, &given);
    let forged = SignedAuthorization { from: stranger.address(), ..order(&town, &payer, &given) };
    let cheap_request = {
        let mut request = decoded(&given["request"]);
        request["amount"] = "1".into();
        URL_SAFE_NO_PAD.encode(request.to_string())
    };
    let cases = [
        ("not base64", "Payment %%%".to_string(), "malformed-credential"),
        ("no JSON", "Payment e30x".into(), "malformed-credential"),
        ("empty", "Payment e30".into(), "malformed-credential"),
        ("two in one header", format!("{0}, {0}", written(&good)), "malformed-credential"),
        ("another method", with("/challenge/method", "tempo".into()), "invalid-challenge"),
        ("another intent", with("/challenge/intent", "session".into()), "invalid-challenge"),
        ("another type", with("/payload/type", "hash".into()), "malformed-credential"),
        ("a number that is none", with("/payload/value", "0x1".into()), "malformed-credential"),
        ("no address", with("/payload/from", "me".into()), "malformed-credential"),
        ("another id", with("/challenge/id", "AAAA".into()), "invalid-challenge"),
        ("a changed price", with("/challenge/request", cheap_request.into()), "invalid-challenge"),
        ("a changed realm", with("/challenge/realm", "a.example".into()), "invalid-challenge"),
        (
            "a changed end",
            with("/challenge/expires", "2999-01-01T00:00:00Z".into()),
            "invalid-challenge",
        ),
        (
            "a changed digest",
            with("/challenge/digest", "sha-256=:AA==:".into()),
            "invalid-challenge",
        ),
        (
            "a changed opaque",
            with("/challenge/opaque", elsewhere["opaque"].clone()),
            "invalid-challenge",
        ),
        ("another header", with_header, "invalid-challenge"),
        (
            "another resource",
            written(&credential(&elsewhere, &order(&town, &payer, &elsewhere))),
            "invalid-challenge",
        ),
        (
            "a challenge for no body",
            written(&credential(&bodiless, &order(&town, &payer, &bodiless))),
            "invalid-challenge",
        ),
        ("another nonce", ordered(|o| o.nonce.0[0] ^= 1), "verification-failed"),
        ("a longer order", ordered(|o| o.valid_before += U256::ONE), "verification-failed"),
        ("another source", with("/source", "did:pkh:eip155:1:0x00".into()), "verification-failed"),
        ("less money", ordered(|o| o.value -= U256::ONE), "verification-failed"),
        ("another payee", ordered(|o| o.to = o.from), "verification-failed"),
        ("forged", written(&credential(&given, &forged)), "verification-failed"),
        ("no money", written(&credential(&given, &poor)), "verification-failed"),
    ];
    for (case, authorization, expected) in &cases {
        assert_eq!(
            problem(present(&shop.url, authorization, "sweep").await).await,
            *expected,
            "{case}"
        );
    }
    // The good one, with another body; with a second payment; and too late.
    let paid = written(&good);
    assert_eq!(problem(present(&shop.url, &paid, "dig").await).await, "invalid-challenge");
    let two = http()
        .post(&shop.url)
        .header("authorization", &paid)
        .header(wire::PAYMENT_SIGNATURE, wire::encode(&town.payment(&payer, 7)))
        .body("sweep")
        .send()
        .await
        .unwrap();
    assert_eq!(problem(two).await, "verification-failed");
    town.clock.advance(Duration::from_secs(61));
    assert_eq!(problem(present(&shop.url, &paid, "sweep").await).await, "payment-expired");
    assert_eq!((town.digest(), town.block().await), before, "no trace");
    assert_eq!(shop.work.count(), 0);
}

#[tokio::test]
async fn another_scheme_in_authorization_is_left_to_the_service() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let answer = present(&shop.url, "Bearer abc", "sweep").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.status(), 402);
    challenge(&answer);
}

#[tokio::test]
async fn a_failed_piece_of_work_costs_nothing_and_says_so_in_its_own_words() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let payer = guest(&town, 0x21).await;
    let given = challenge(&ask(&shop, "no:").await);
    let paid = written(&credential(&given, &order(&town, &payer, &given)));
    let answer = present(&shop.url, &paid, "no:").await;
    assert_eq!(answer.status(), 422);
    assert!(answer.headers().get("payment-receipt").is_none());
    assert_eq!(answer.text().await.unwrap(), "not a picture");
    assert_eq!(town.owns(seller()).await, 0);
}

#[tokio::test]
async fn a_challenge_binds_as_well_where_offers_require_a_binding() {
    let town = Town::begin().await;
    let required = Declared { binding: Some(Binding { required: true }), ..declared() };
    let shop = town.boutique_with(town.facilitator(), extras(), required).await;
    let payer = guest(&town, 0x21).await;
    let challenge = challenge(&ask(&shop, "sweep").await);
    let paid = written(&credential(&challenge, &order(&town, &payer, &challenge)));
    assert_eq!(problem(present(&shop.url, &paid, "mop").await).await, "invalid-challenge");
    assert_eq!(present(&shop.url, &paid, "sweep").await.status(), 200);
}
