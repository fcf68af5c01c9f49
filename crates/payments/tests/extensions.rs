//! x402's extensions at the gate: names for purchases, signed offers and receipts, signing in.

use crate::town;

use std::time::Duration;

use alloy_primitives::{Address, eip191_hash_message};
use alloy_signer::SignerSync as _;
use mandates::Key;
use money::Clock as _;
use payments::extensions::{Declared, Extras, Identifier, identifier, receipt, sign_in};
use payments::wire::{self, PaymentPayload, PaymentRequired};
use payments::{BuyerLimits, buyer};
use serde_json::{Value, json};
use town::boutique::{declared, extras, guest};
use town::shop::{Answer, Shop};
use town::{
    AGREEABLE_WALLET, DAY, PRICE, REFUSING_WALLET, Town, base64, http, musd, person, seller,
};

/// The `number`th payment of a payer, with a name for the purchase.
fn named(town: &Town, payer: &Key, number: u64, id: Value) -> PaymentPayload {
    let info = json!({ "required": false, "id": id });
    let said = json!({ identifier::NAME: { "info": info, "schema": {} } });
    let mut payment = town.payment(payer, number);
    payment.extensions = said.as_object().cloned();
    payment
}

const NAME: &str = "pay_7d5d747be160e280504c099d984bcfe0";

#[tokio::test]
async fn the_quote_asks_for_names() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let answer = Answer::of(http().post(&shop.url).send().await.unwrap()).await;
    let said = answer.quote.unwrap().extensions.unwrap();
    assert_eq!(said[identifier::NAME]["info"], json!({ "required": false }));
    assert_eq!(said[identifier::NAME]["schema"]["properties"]["id"]["maxLength"], 128);
}

#[tokio::test]
async fn two_payments_of_one_name_for_one_purchase_are_charged_once() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let payer = guest(&town, 0x21).await;
    let first = shop.pay(&named(&town, &payer, 1, json!(NAME)), "sweep").await;
    assert_eq!(first.status, 200, "{}", first.text);
    // Signed anew, as by a client that lost its answer.
    let second = shop.pay(&named(&town, &payer, 2, json!(NAME)), "sweep").await;
    assert_eq!(second, first, "the stored answer, with its own receipt");
    assert_eq!((shop.work.count(), town.owns(seller()).await), (1, i128::from(PRICE)));
    // After the power failed, too.
    drop(shop);
    let town = town.crash().await;
    let shop = town.boutique().await;
    let third = shop.pay(&named(&town, &payer, 3, json!(NAME)), "sweep").await;
    assert_eq!(third, first);
    assert_eq!((shop.work.count(), town.owns(seller()).await), (0, i128::from(PRICE)));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn two_payments_of_one_name_at_once_start_one_work() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let payer = guest(&town, 0x21).await;
    let all = (1..=8).map(|number| {
        let payment = named(&town, &payer, number, json!(NAME));
        let shop = &shop;
        async move {
            loop {
                let answer = shop.pay(&payment, "sweep").await;
                if answer.status != 503 {
                    return answer;
                }
            }
        }
    });
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|a| *a == answers[0] && a.status == 200), "{answers:?}");
    assert_eq!((shop.work.count(), town.owns(seller()).await), (1, i128::from(PRICE)));
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_name_for_another_purchase_is_refused_and_is_nobody_elses() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let (payer, other) = (guest(&town, 0x21).await, guest(&town, 0x22).await);
    assert_eq!(shop.pay(&named(&town, &payer, 1, json!(NAME)), "sweep").await.status, 200);
    let before = town.digest();
    let conflict = shop.pay(&named(&town, &payer, 2, json!(NAME)), "dig").await;
    assert_eq!((conflict.status, &*conflict.code()), (409, "payment_identifier_conflict"));
    // Forged in the payer's name, it reads nothing.
    let mut forged = named(&town, &other, 3, json!(NAME));
    forged.payload["authorization"]["from"] = json!(payer.address());
    let refused = shop.pay(&forged, "sweep").await;
    assert_eq!((refused.status, &*refused.code()), (402, "invalid_exact_evm_signature"));
    assert_eq!((shop.work.count(), town.digest()), (1, before), "no trace");
    // The same name of another payer is another name.
    assert_eq!(shop.pay(&named(&town, &other, 4, json!(NAME)), "dig").await.status, 200);
    assert_eq!(shop.work.count(), 2);
}

#[tokio::test]
async fn a_name_that_is_none_or_missing_is_refused() {
    let town = Town::begin().await;
    let required = Declared { identifier: Some(Identifier { required: true }), ..declared() };
    let shop = town.boutique_with(town.facilitator(), extras(), required).await;
    let payer = guest(&town, 0x21).await;
    let before = town.digest();
    let bad = [
        json!("short"),
        json!("x".repeat(129)),
        json!("not a name, but long"),
        json!(12),
        json!({}),
        Value::Null,
    ];
    for id in bad {
        let answer = shop.pay(&named(&town, &payer, 1, id.clone()), "sweep").await;
        assert_eq!((answer.status, &*answer.code()), (400, "invalid_payment_identifier"), "{id}");
    }
    assert_eq!(shop.pay(&town.payment(&payer, 1), "sweep").await.status, 400);
    assert_eq!((shop.work.count(), town.digest()), (0, before), "no trace");
    assert_eq!(shop.pay(&named(&town, &payer, 1, json!(NAME)), "sweep").await.status, 200);
}

#[tokio::test]
async fn the_buyer_names_its_purchases_and_keeps_the_sellers_receipt() {
    let town = Town::begin().await;
    let required = Declared { identifier: Some(Identifier { required: true }), ..declared() };
    let shop = town.boutique_with(town.facilitator(), extras(), required).await;
    let buyer = town.buyer_with(0x21, musd(50_000), musd(50_000), BuyerLimits::default()).await;
    let bought = buyer.buy(&shop.purchase("sweep")).await.unwrap();
    let paid = bought.paid.unwrap();
    let documents = town.ledger.evidence(paid.reference).unwrap();
    let find = |stage: &str| {
        let found = documents.iter().find(|d| d.evidence.stage == stage);
        serde_json::from_slice::<Value>(&found.expect(stage).evidence.body).unwrap()
    };
    let id = &find(buyer::stage::PAYMENT)["extensions"][identifier::NAME]["info"]["id"];
    assert_eq!(*id, format!("pay_{}", paid.reference));
    let kept: wire::SettleResponse = serde_json::from_value(find(buyer::stage::RECEIPT)).unwrap();
    let payee = Address::from(seller());
    let read = receipt::verified(&kept, &shop.url, person(0x21).address(), payee).unwrap();
    assert_eq!(read.transaction, paid.transaction.unwrap().to_string());
    assert_eq!(read.issued_at, town.clock.now().as_secs());
}

#[tokio::test]
async fn offers_and_receipts_are_signed_by_who_is_paid_and_by_nobody_else() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let payer = guest(&town, 0x21).await;
    let quote = quote(&shop).await;
    assert!(receipt::offer_is_signed(&quote, 0, town.clock.now()));
    let mut dearer = quote.clone();
    dearer.accepts[0].amount = "1".into();
    assert!(!receipt::offer_is_signed(&dearer, 0, town.clock.now()));
    let late = town.clock.now().plus(Duration::from_secs(61));
    assert!(!receipt::offer_is_signed(&quote, 0, late), "it was good for a minute");

    let payment = town.payment(&payer, 1);
    let answer = shop.pay(&payment, "sweep").await;
    let settled = answer.receipt.clone().unwrap();
    let (payer, payee) = (payer.address(), Address::from(seller()));
    assert!(receipt::verified(&settled, &shop.url, payer, payee).is_some());
    assert!(receipt::verified(&settled, "http://else/", payer, payee).is_none());
    assert!(receipt::verified(&settled, &shop.url, payee, payee).is_none());
    assert!(receipt::verified(&settled, &shop.url, payer, payer).is_none());
    let mut changed = settled.clone();
    let signed = changed.extensions.as_mut().unwrap().get_mut(receipt::NAME).unwrap();
    signed["info"]["receipt"]["payload"]["issuedAt"] = json!(1);
    assert!(receipt::verified(&changed, &shop.url, payer, payee).is_none());
    // Once signed, it is given again as it is.
    town.clock.advance(Duration::from_secs(5));
    assert_eq!(shop.pay(&payment, "sweep").await.receipt.unwrap(), settled);

    // A notary of another party signs nothing here.
    let stranger = Extras { notaries: vec![std::sync::Arc::new(person(0x77))], ..extras() };
    let shop = town.boutique_with(town.facilitator(), stranger, declared()).await;
    let quote = Answer::of(http().post(&shop.url).send().await.unwrap()).await.quote.unwrap();
    assert!(!quote.extensions.unwrap().contains_key(receipt::NAME));
}

async fn quote(shop: &Shop) -> PaymentRequired {
    Answer::of(http().post(&shop.url).send().await.unwrap()).await.quote.unwrap()
}

/// The message of EIP-4361 for a challenge, as any wallet writes it.
fn message(info: &Value, address: Address, chain: u64) -> String {
    let text = |name: &str| info[name].as_str().unwrap();
    format!(
        "{} wants you to sign in with your Ethereum account:\n{address}\n\n{}\n\nURI: {}\nVersion: {}\nChain ID: {chain}\nNonce: {}\nIssued At: {}\nExpiration Time: {}\nResources:\n- {}",
        text("domain"),
        text("statement"),
        text("uri"),
        text("version"),
        text("nonce"),
        text("issuedAt"),
        text("expirationTime"),
        info["resources"][0].as_str().unwrap()
    )
}

/// A proof for a quote's challenge.
fn proof(quote: &PaymentRequired, signer: &Key, address: Address) -> Value {
    let said = &quote.extensions.as_ref().unwrap()[sign_in::NAME];
    let hash = eip191_hash_message(message(&said["info"], address, 402_402));
    let signature = signer.transaction_signer().sign_hash_sync(&hash).unwrap();
    let mut proof = said["info"].clone();
    proof["address"] = json!(address.to_string());
    proof["chainId"] = said["supportedChains"][0]["chainId"].clone();
    proof["type"] = said["supportedChains"][0]["type"].clone();
    proof["signature"] = json!(alloy_primitives::hex::encode_prefixed(signature.as_bytes()));
    proof
}

async fn come_back(shop: &Shop, proof: &Value, body: &str) -> Answer {
    let request = http()
        .post(&shop.url)
        .header("content-type", "text/plain")
        .header(sign_in::HEADER, base64(proof.to_string()))
        .body(body.to_string());
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn who_has_bought_gets_it_again_by_signing_in_and_nothing_else() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let (payer, other) = (guest(&town, 0x21).await, guest(&town, 0x22).await);
    let first = shop.pay(&town.payment(&payer, 1), "sweep").await;
    assert_eq!(first.status, 200);
    let before = (town.digest(), town.block().await);

    let mine = proof(&quote(&shop).await, &payer, payer.address());
    assert_eq!(come_back(&shop, &mine, "sweep").await, first);
    let again = come_back(&shop, &mine, "sweep").await;
    assert_eq!(
        (again.status, &*again.code()),
        (402, "invalid_siwx_nonce"),
        "a number is good once"
    );
    let fresh = || async { proof(&quote(&shop).await, &payer, payer.address()) };
    let elsewhat = come_back(&shop, &fresh().await, "dig").await;
    assert_eq!((elsewhat.status, &*elsewhat.code()), (402, "siwx_not_bought_before"));
    let theirs = proof(&quote(&shop).await, &other, other.address());
    assert_eq!(come_back(&shop, &theirs, "sweep").await.code(), "siwx_not_bought_before");
    // As long as the offer allows it.
    town.clock.advance(DAY);
    assert_eq!(come_back(&shop, &fresh().await, "sweep").await.status, 200);
    town.clock.advance(Duration::from_millis(1));
    assert_eq!(come_back(&shop, &fresh().await, "sweep").await.code(), "siwx_not_bought_before");
    assert_eq!((town.digest(), town.block().await), before, "nothing is written");
    assert_eq!(shop.work.count(), 1, "no work begins");
}

#[tokio::test]
async fn each_bad_proof_is_refused_with_its_code_and_a_quote() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let payer = guest(&town, 0x21).await;
    assert_eq!(shop.pay(&town.payment(&payer, 1), "sweep").await.status, 200);
    let cases: [(&str, Value, &str); 13] = [
        ("domain", json!("a.example"), "invalid_siwx_domain_mismatch"),
        ("uri", json!("http://a.example/work"), "invalid_siwx_uri_mismatch"),
        ("chainId", json!("eip155:1"), "invalid_siwx_chain_id"),
        ("type", json!("ed25519"), "invalid_siwx_chain_id"),
        ("nonce", json!("0".repeat(32)), "invalid_siwx_nonce"),
        ("nonce", json!("é"), "invalid_siwx_nonce"),
        ("issuedAt", json!("2026-01-01T00:00:00Z"), "invalid_siwx_issued_at"),
        ("statement", json!("Give me all"), "invalid_siwx_message"),
        ("expirationTime", json!("2999-01-01T00:00:00Z"), "invalid_siwx_message"),
        ("resources", json!([]), "invalid_siwx_message"),
        ("notBefore", json!("2026-01-01T00:00:00Z"), "invalid_siwx_message"),
        ("address", json!("me"), "invalid_siwx_address"),
        ("signature", json!("0xzz"), "invalid_siwx_signature"),
    ];
    for (member, value, code) in cases {
        let mut bad = proof(&quote(&shop).await, &payer, payer.address());
        bad[member] = value;
        let answer = come_back(&shop, &bad, "sweep").await;
        assert_eq!((answer.status, answer.code().as_str()), (402, code), "{member}");
        assert!(answer.quote.is_some(), "one may still pay");
    }
    let stolen = proof(&quote(&shop).await, &person(0x22), payer.address());
    assert_eq!(come_back(&shop, &stolen, "sweep").await.code(), "invalid_siwx_signature");
    let late = proof(&quote(&shop).await, &payer, payer.address());
    town.clock.advance(Duration::from_secs(300));
    assert_eq!(come_back(&shop, &late, "sweep").await.code(), "invalid_siwx_expired");
    let early = proof(&quote(&shop).await, &payer, payer.address());
    town.clock.set(town.clock.now().plus(Duration::ZERO));
    let back = money::Timestamp::from_millis(town.clock.now().as_millis() - 10_000);
    town.clock.set(back);
    assert_eq!(come_back(&shop, &early, "sweep").await.code(), "invalid_siwx_issued_at_in_future");
    let broken = http().post(&shop.url).header(sign_in::HEADER, "%").body("sweep").send().await;
    assert_eq!(Answer::of(broken.unwrap()).await.code(), "invalid_siwx_header");
    // A gate that was started since does not know the number.
    let old = proof(&quote(&shop).await, &payer, payer.address());
    let mut doorman = extras();
    let other = std::sync::Arc::new(|| [9; 32]);
    doorman.doorman = Some(std::sync::Arc::new(payments::extensions::Doorman::new(other)));
    let restarted = town.boutique_with(town.facilitator(), doorman, declared()).await;
    let mut moved = old.clone();
    moved["domain"] = json!(restarted.url.split('/').nth(2).unwrap());
    moved["uri"] = json!(restarted.url);
    assert_eq!(come_back(&restarted, &moved, "sweep").await.code(), "invalid_siwx_nonce");
}

#[tokio::test]
async fn contract_wallets_sign_in_by_eip_1271_and_an_offer_that_declares_nothing_lets_nobody_in() {
    let town = Town::begin().await;
    let shop = town.boutique().await;
    let quote_for = || quote(&shop);
    // It signs, and has bought nothing; the other refuses to sign.
    let agreed = proof(&quote_for().await, &person(0x22), AGREEABLE_WALLET);
    assert_eq!(come_back(&shop, &agreed, "sweep").await.code(), "siwx_not_bought_before");
    let refused = proof(&quote_for().await, &person(0x22), REFUSING_WALLET);
    assert_eq!(come_back(&shop, &refused, "sweep").await.code(), "invalid_siwx_signature");

    let payer = guest(&town, 0x21).await;
    let mine = proof(&quote_for().await, &payer, payer.address());
    let closed = Declared { sign_in: None, ..declared() };
    let closed = town.boutique_with(town.facilitator(), extras(), closed).await;
    let said = quote(&closed).await.extensions.unwrap();
    assert!(!said.contains_key(sign_in::NAME));
    let answer = come_back(&closed, &mine, "sweep").await;
    assert_eq!((answer.status, answer.code().as_str()), (402, "Payment required"));
}
