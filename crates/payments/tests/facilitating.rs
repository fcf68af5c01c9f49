//! The facilitator over HTTP: what stock sellers ask of it, and what hostile ones send.

use crate::town;

use std::sync::Arc;

use axum::Router;
use payments::wire::{FacilitatorRequest, SettleResponse, VerifyResponse};
use payments::{Facilitator as _, RemoteFacilitator, facilitator};
use serde_json::{Value, json};
use town::{PRICE, Town, http, musd, person, seller};

struct Served {
    url: String,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(router: Router) -> Served {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/facilitator", listener.local_addr().unwrap());
    let app = Router::new().nest("/facilitator", router);
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Served { url, server }
}

async fn scene() -> (Town, Served, mandates::Key) {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let served = serve(facilitator::router(town.facilitator())).await;
    (town, served, payer)
}

fn request(town: &Town, payer: &mandates::Key, number: u64) -> FacilitatorRequest {
    FacilitatorRequest {
        x402_version: 2,
        payment_payload: town.payment(payer, number),
        payment_requirements: town.terms(),
    }
}

async fn ask(served: &Served, path: &str, body: &impl serde::Serialize) -> Value {
    let response = http().post(format!("{}/{path}", served.url)).json(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.json().await.unwrap()
}

#[tokio::test]
async fn it_says_what_it_supports_and_that_it_is_well() {
    let (town, served, _) = scene().await;
    let supported: Value =
        http().get(format!("{}/supported", served.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        supported,
        json!({
            "kinds": [
                { "x402Version": 2, "scheme": "exact", "network": "eip155:402402" },
                {
                    "x402Version": 2,
                    "scheme": "upto",
                    "network": "eip155:402402",
                    "extra": { "facilitatorAddress": town.chain.sender().to_string() }
                },
                {
                    "x402Version": 2,
                    "scheme": "auth-capture",
                    "network": "eip155:402402",
                    "extra": { "captureAuthorizer": town.chain.sender().to_string() }
                }
            ],
            "extensions": ["eip2612GasSponsoring", "erc20ApprovalGasSponsoring"],
            "signers": { "eip155:*": [town.chain.sender().to_string()] }
        })
    );
    let health: Value =
        http().get(format!("{}/health", served.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(health, json!({ "status": "ok", "block": town.block().await }));
}

#[tokio::test]
async fn a_good_payment_is_valid_settles_once_and_is_then_used() {
    let (town, served, payer) = scene().await;
    let good = request(&town, &payer, 1);
    let verdict: VerifyResponse =
        serde_json::from_value(ask(&served, "verify", &good).await).unwrap();
    assert_eq!(verdict.payer, Some(payer.address().to_string()));
    assert!(verdict.is_valid);
    let settled: SettleResponse =
        serde_json::from_value(ask(&served, "settle", &good).await).unwrap();
    assert!(settled.success && settled.transaction.len() == 66);
    assert_eq!(settled.amount, Some(PRICE.to_string()));
    for (path, flag, reason) in
        [("verify", "isValid", "invalidReason"), ("settle", "success", "errorReason")]
    {
        let answer = ask(&served, path, &good).await;
        assert_eq!(answer[flag], false);
        assert_eq!(answer[reason], "invalid_exact_evm_nonce_already_used");
    }
    assert_eq!(town.owns(seller()).await, i128::from(PRICE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_settled_many_times_at_once_succeeds_exactly_once() {
    let (town, served, payer) = scene().await;
    let good = Arc::new(request(&town, &payer, 1));
    let url = Arc::new(format!("{}/settle", served.url));
    let settlements: Vec<_> = (0..20)
        .map(|_| {
            let (good, url) = (good.clone(), url.clone());
            tokio::spawn(async move {
                let response = http().post(url.as_str()).json(&*good).send().await.unwrap();
                response.json::<SettleResponse>().await.unwrap()
            })
        })
        .collect();
    let mut successes = 0;
    for settlement in settlements {
        let answer = settlement.await.unwrap();
        successes += usize::from(answer.success);
        if !answer.success {
            assert_eq!(
                answer.error_reason.as_deref(),
                Some("invalid_exact_evm_nonce_already_used")
            );
        }
    }
    assert_eq!(successes, 1);
    assert_eq!(town.owns(seller()).await, i128::from(PRICE));
}

#[tokio::test]
async fn terms_are_checked_in_the_order_of_the_reference() {
    let (town, served, payer) = scene().await;
    let good = request(&town, &payer, 1);
    type Change = fn(&mut FacilitatorRequest);
    let cases: [(&str, Change); 14] = [
        ("invalid_exact_evm_scheme", |r| r.payment_requirements.scheme = "other".into()),
        ("unsupported_payload_type", |r| r.payment_requirements.scheme = "upto".into()),
        ("invalid_exact_evm_scheme", |r| r.payment_payload.accepted.scheme = "upto".into()),
        ("invalid_exact_evm_missing_eip712_domain", |r| r.payment_requirements.extra = None),
        ("invalid_exact_evm_network_mismatch", |r| {
            r.payment_requirements.network = "eip155:1".into();
        }),
        ("invalid_exact_evm_network_mismatch", |r| {
            r.payment_requirements.network = "eip155:1".into();
            r.payment_payload.accepted.network = "eip155:1".into();
        }),
        ("asset_not_deployed_contract", |r| {
            r.payment_requirements.asset = r.payment_requirements.pay_to.clone();
        }),
        ("invalid_exact_evm_eip3009_not_supported", |r| {
            r.payment_requirements.asset = town::AGREEABLE_WALLET.to_string();
        }),
        ("invalid_exact_evm_token_name_mismatch", |r| {
            r.payment_requirements.extra.as_mut().unwrap()["name"] = "Other".into();
        }),
        ("invalid_exact_evm_token_version_mismatch", |r| {
            r.payment_requirements.extra.as_mut().unwrap()["version"] = "2".into();
        }),
        ("invalid_payload", |r| r.payment_payload.payload = json!({ "signature": "0x" })),
        ("invalid_exact_evm_recipient_mismatch", |r| {
            r.payment_requirements.pay_to = r.payment_requirements.asset.clone();
        }),
        ("invalid_exact_evm_payload_authorization_value_mismatch", |r| {
            r.payment_requirements.amount = "9999".into();
        }),
        ("invalid_exact_evm_payload_authorization_value_mismatch", |r| {
            r.payment_requirements.amount = "a lot".into();
        }),
    ];
    for (code, change) in cases {
        let mut wrong = good.clone();
        change(&mut wrong);
        let verdict = ask(&served, "verify", &wrong).await;
        assert_eq!((&verdict["isValid"], &verdict["invalidReason"]), (&json!(false), &json!(code)));
        let settled = ask(&served, "settle", &wrong).await;
        assert_eq!((&settled["success"], &settled["errorReason"]), (&json!(false), &json!(code)));
        assert_eq!(settled["transaction"], "");
    }
    assert_eq!(town.owns(seller()).await, 0);
}

#[tokio::test]
async fn a_wallet_with_code_is_asked_whether_a_signature_is_its_own() {
    let (town, served, _) = scene().await;
    for (wallet, good) in [
        (town::AGREEABLE_WALLET, true),
        (town::REFUSING_WALLET, false),
        // What it wants is more than a payment may cost whoever carries it.
        (town::GREEDY_WALLET, false),
    ] {
        town.give(wallet.into(), musd(100_000)).await;
        let mut order = town.order(&person(0x21), 1);
        order.from = wallet;
        order.signature = vec![1, 2, 3].into();
        let asked = FacilitatorRequest {
            x402_version: 2,
            payment_payload: town.wrap(&order),
            payment_requirements: town.terms(),
        };
        let verdict = ask(&served, "verify", &asked).await;
        assert_eq!(verdict["isValid"], good);
        let settled = ask(&served, "settle", &asked).await;
        assert_eq!(settled["success"], good);
        let reason = if good { Value::Null } else { json!("invalid_exact_evm_signature") };
        assert_eq!(settled["errorReason"], reason);
    }
    assert_eq!(town.owns(seller()).await, i128::from(PRICE));
}

#[tokio::test]
async fn what_cannot_be_read_gets_a_json_error_with_a_4xx_status() {
    let (town, served, payer) = scene().await;
    let good = serde_json::to_string(&request(&town, &payer, 1)).unwrap();
    let version = |at: &str| {
        let mut value: Value = serde_json::from_str(&good).unwrap();
        *value.pointer_mut(at).unwrap() = json!(1);
        value.to_string()
    };
    let json_type = "application/json";
    for (media_type, body, status, code) in [
        (json_type, "{".to_string(), 400, "invalid_request"),
        (json_type, "{}".to_string(), 422, "invalid_request"),
        (json_type, "[".repeat(5_000), 422, "invalid_request"),
        (json_type, format!("\"{}\"", "x".repeat(1_200_010)), 413, "invalid_request"),
        ("text/plain", good.clone(), 415, "invalid_request"),
        (json_type, version("/x402Version"), 400, "invalid_x402_version"),
        (json_type, version("/paymentPayload/x402Version"), 400, "invalid_x402_version"),
    ] {
        for path in ["verify", "settle"] {
            let response = http()
                .post(format!("{}/{path}", served.url))
                .header("content-type", media_type)
                .body(body.clone())
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), status, "{path} {code}");
            let answer: Value = response.json().await.unwrap();
            assert_eq!(answer["error"], code);
            assert!(!answer["message"].as_str().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn a_seller_elsewhere_settles_through_it_as_if_it_were_here() {
    let (town, served, payer) = scene().await;
    let remote = RemoteFacilitator::new(served.url.parse().unwrap(), http());
    assert!(!remote.proves_success(), "another's word is checked");
    let good = request(&town, &payer, 1);
    let (payment, terms) = (&good.payment_payload, &good.payment_requirements);
    assert!(remote.verify(payment, terms).await.unwrap().is_valid);
    let shop = town.shop_with(Arc::new(remote), payments::GateLimits::default()).await;
    let answer = shop.pay(&town.payment(&payer, 2), "hello").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(town.owns(seller()).await, i128::from(PRICE));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_facilitator_that_is_gone_or_talks_nonsense_is_an_error_not_a_verdict() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let nonsense = Router::new().fallback(|| async { "I like trains" });
    let endless = Router::new().fallback(|| async { vec![b'['; 400_000] });
    let before = town.digest();
    let served = [serve(nonsense).await, serve(endless).await];
    let mut urls: Vec<String> = served.iter().map(|s| s.url.clone()).collect();
    urls.push("http://user:secret@127.0.0.1:9/".into());
    for url in urls {
        let remote = RemoteFacilitator::new(url.parse().unwrap(), http());
        let good = request(&town, &payer, 1);
        let error =
            remote.settle(&good.payment_payload, &good.payment_requirements).await.unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        let shop = town.shop_with(Arc::new(remote), payments::GateLimits::default()).await;
        let answer = shop.pay(&town.payment(&payer, 2), "hello").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
        assert_eq!((town.digest(), shop.work.count()), (before, 0));
    }
}
