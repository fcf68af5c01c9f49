//! Bad payments get a clear error, start no work and leave no trace in any book.

use crate::town;

use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use money::Clock as _;
use payments::wire::{self, PaymentPayload};
use payments::{GateLimits, exact};
use serde_json::{Value, json};
use settlement::SignedAuthorization;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use town::shop::{Answer, Shop};
use town::{PRICE, Town, base64, http, musd, person, seller, sign_for};

/// A town, a shop and a payer with money; and what it looked like before.
async fn scene() -> (Town, Shop, mandates::Key) {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let shop = town.shop().await;
    (town, shop, payer)
}

#[tokio::test]
async fn without_a_payment_the_quote_is_told() {
    let (town, shop, _) = scene().await;
    let response = http().post(&shop.url).body("hello").send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(
        response.headers()["access-control-expose-headers"],
        "PAYMENT-REQUIRED, PAYMENT-RESPONSE, PAYMENT-RECEIPT, WWW-AUTHENTICATE"
    );
    let answer = Answer::of(response).await;
    assert_eq!((answer.status, answer.code().as_str()), (402, "Payment required"));
    let quote = answer.quote.unwrap();
    assert_eq!((quote.x402_version, quote.accepts.len()), (2, 1));
    assert_eq!(quote.resource.url, shop.url);
    assert_eq!(
        serde_json::to_value(&quote.accepts[0]).unwrap(),
        json!({
            "scheme": "exact",
            "network": "eip155:402402",
            "amount": "10000",
            "asset": "0x4d55534400000000000000000000000000000001",
            "payTo": Address::from(seller()).to_string(),
            "maxTimeoutSeconds": 60,
            "extra": { "name": "Machina Dollar", "version": "1" }
        })
    );
    assert_eq!(shop.work.count(), 0);
    assert_eq!(town.ledger.read(|s| s.entries().len()), 0);
}

#[tokio::test]
async fn each_refusal_says_why_starts_no_work_and_leaves_no_trace() {
    let (town, shop, payer) = scene().await;
    let good = town.payment(&payer, 1);
    let before = (town.digest(), town.block().await);
    let order = |change: fn(&mut SignedAuthorization)| {
        let mut order = town.order(&payer, 1);
        change(&mut order);
        town.wrap(&town.sign(&payer, order))
    };
    let tampered = |change: fn(&mut SignedAuthorization)| {
        let mut order = town.sign(&payer, town.order(&payer, 1));
        change(&mut order);
        town.wrap(&order)
    };
    let claims = |change: fn(&mut PaymentPayload)| {
        let mut payment = good.clone();
        change(&mut payment);
        payment
    };
    fn with_json(payment: &PaymentPayload, change: impl Fn(&mut Value)) -> String {
        let mut value = serde_json::to_value(payment).unwrap();
        change(&mut value);
        base64(value.to_string())
    }
    let written = |payment: &PaymentPayload| wire::encode(payment).to_str().unwrap().to_string();
    let foreign = settlement::Token { name: "USD Coin".into(), ..town.token().clone() };
    let elsewhere = settlement::Token { chain_id: 1, ..town.token().clone() };

    let high_s = {
        let order = town.sign(&payer, town.order(&payer, 1));
        let group = U256::from_str_radix(
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
            16,
        )
        .unwrap();
        let mut raw = order.signature.to_vec();
        let mirrored = group - U256::from_be_slice(&raw[32..64]);
        raw[32..64].copy_from_slice(&mirrored.to_be_bytes::<32>());
        raw[64] = 55 - raw[64]; // 27 ↔ 28
        town.wrap(&SignedAuthorization { signature: raw.into(), ..order })
    };

    let cases: Vec<(&str, String, u16, &str)> = vec![
        ("no base64", "%%%".into(), 400, "invalid_payload"),
        ("no JSON", base64("{"), 400, "invalid_payload"),
        ("an empty text", String::new(), 400, "invalid_payload"),
        ("another JSON", base64("[1,2]"), 400, "invalid_payload"),
        ("deep JSON", base64("[".repeat(10_000)), 400, "invalid_payload"),
        ("version 1", with_json(&good, |v| v["x402Version"] = json!(1)), 400, "invalid_payload"),
        (
            "no version",
            with_json(&good, |v| drop(v.as_object_mut().unwrap().remove("x402Version"))),
            400,
            "invalid_payload",
        ),
        (
            "a version as text",
            with_json(&good, |v| v["x402Version"] = json!("2")),
            400,
            "invalid_payload",
        ),
        ("too long", "A".repeat(wire::MAX_HEADER + 4), 400, "invalid_payload"),
        ("no payload", with_json(&good, |v| v["payload"] = json!({})), 400, "invalid_payload"),
        (
            "a number as amount",
            with_json(&good, |v| v["payload"]["authorization"]["value"] = json!(10_000)),
            400,
            "invalid_payload",
        ),
        (
            "a signed amount",
            with_json(&good, |v| v["payload"]["authorization"]["value"] = json!("+10000")),
            400,
            "invalid_payload",
        ),
        (
            "a hexadecimal amount",
            with_json(&good, |v| v["payload"]["authorization"]["value"] = json!("0x2710")),
            400,
            "invalid_payload",
        ),
        (
            "an endless amount",
            with_json(&good, |v| v["payload"]["authorization"]["value"] = json!("9".repeat(79))),
            400,
            "invalid_payload",
        ),
        (
            "an endless signature",
            with_json(&good, |v| {
                v["payload"]["signature"] = json!(format!("0x{}", "11".repeat(8_200)))
            }),
            400,
            "invalid_payload",
        ),
        (
            "a short nonce",
            with_json(&good, |v| v["payload"]["authorization"]["nonce"] = json!("0x01")),
            400,
            "invalid_payload",
        ),
        (
            "another scheme",
            written(&claims(|p| p.accepted.scheme = "upto".into())),
            402,
            "No matching payment requirements: scheme is upto, not exact",
        ),
        (
            "another network",
            written(&claims(|p| p.accepted.network = "eip155:1".into())),
            402,
            "No matching payment requirements: network is eip155:1, not eip155:402402",
        ),
        (
            "another amount",
            written(&claims(|p| p.accepted.amount = "1".into())),
            402,
            "No matching payment requirements: amount is 1, not 10000",
        ),
        (
            "another asset",
            written(&claims(|p| p.accepted.asset = Address::ZERO.to_string())),
            402,
            "No matching payment requirements: asset is 0x0000000000000000000000000000000000000000, not 0x4d55534400000000000000000000000000000001",
        ),
        (
            "another payee",
            written(&claims(|p| p.accepted.pay_to = "me".into())),
            402,
            "No matching payment requirements: payTo is me, not",
        ),
        (
            "no domain",
            written(&claims(|p| p.accepted.extra = None)),
            402,
            "No matching payment requirements: extra.name is missing, not Machina Dollar",
        ),
        (
            "another domain",
            written(&claims(|p| p.accepted.extra.as_mut().unwrap()["version"] = json!("2"))),
            402,
            "No matching payment requirements: extra.version is 2, not 1",
        ),
        (
            "signed for a penny less",
            written(&order(|o| o.value -= U256::from(1))),
            402,
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (
            "signed for a penny more",
            written(&order(|o| o.value += U256::from(1))),
            402,
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (
            "signed for nothing",
            written(&order(|o| o.value = U256::ZERO)),
            402,
            "invalid_exact_evm_payload_authorization_value_mismatch",
        ),
        (
            "signed for another payee",
            written(&order(|o| o.to = Address::repeat_byte(9))),
            402,
            "invalid_exact_evm_recipient_mismatch",
        ),
        (
            "expired",
            written(&order(|o| o.valid_before -= U256::from(61))),
            402,
            "invalid_exact_evm_payload_authorization_valid_before",
        ),
        (
            "about to expire",
            written(&order(|o| o.valid_before -= U256::from(55))),
            402,
            "invalid_exact_evm_payload_authorization_valid_before",
        ),
        (
            "too short for the work",
            written(&order(|o| o.valid_before -= U256::from(31))),
            402,
            "invalid_exact_evm_payload_authorization_valid_before",
        ),
        (
            "a payment that goes on for days",
            written(&order(|o| o.valid_before += U256::from(2 * 24 * 60 * 60))),
            402,
            "invalid_exact_evm_payload_authorization_valid_before",
        ),
        (
            "not valid yet",
            written(&order(|o| o.valid_after += U256::from(601))),
            402,
            "invalid_exact_evm_payload_authorization_valid_after",
        ),
        (
            "tampered payee",
            written(&tampered(|o| o.to = Address::repeat_byte(9))),
            402,
            "invalid_exact_evm_signature",
        ),
        (
            "tampered value",
            written(&tampered(|o| o.value += U256::from(1))),
            402,
            "invalid_exact_evm_signature",
        ),
        (
            "tampered time",
            written(&tampered(|o| o.valid_before += U256::from(1))),
            402,
            "invalid_exact_evm_signature",
        ),
        (
            "tampered nonce",
            written(&tampered(|o| o.nonce = Default::default())),
            402,
            "invalid_exact_evm_signature",
        ),
        (
            "no signature",
            written(&tampered(|o| o.signature = Bytes::new())),
            402,
            "invalid_exact_evm_signature",
        ),
        (
            "a zero signature",
            written(&tampered(|o| o.signature = vec![0; 65].into())),
            402,
            "invalid_exact_evm_signature",
        ),
        (
            "a signature with something behind",
            written(&tampered(|o| o.signature = [&o.signature[..], &[0]].concat().into())),
            402,
            "invalid_exact_evm_signature",
        ),
        ("high s", written(&high_s), 402, "invalid_exact_evm_signature"),
        (
            "signed by another",
            written(&town.wrap(&town.sign(&person(0x77), town.order(&payer, 1)))),
            402,
            "invalid_exact_evm_signature",
        ),
        (
            "signed for another token's name",
            written(&town.wrap(&sign_for(&payer, town.order(&payer, 1), &foreign))),
            402,
            "invalid_exact_evm_signature",
        ),
        (
            "signed for another chain",
            written(&town.wrap(&sign_for(&payer, town.order(&payer, 1), &elsewhere))),
            402,
            "invalid_exact_evm_signature",
        ),
        (
            "an empty wallet",
            written(&town.payment(&person(0x78), 1)),
            402,
            "invalid_exact_evm_insufficient_balance",
        ),
    ];
    for (name, header, status, code) in cases {
        let answer = Answer::of(shop.raw(&header, "hello").send().await.unwrap()).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        assert!(answer.code().starts_with(code), "{name}: {} is not {code}", answer.code());
        assert_eq!(answer.quote.is_some(), status == 402, "{name}");
        assert!(answer.receipt.is_none(), "{name}");
        assert_eq!(shop.work.count(), 0, "{name} started work");
        assert_eq!((town.digest(), town.block().await), before, "{name} left a trace");
    }

    // Twice is not once.
    let twice = shop.request(&good, "hello").header(wire::PAYMENT_SIGNATURE, written(&good));
    let answer = Answer::of(twice.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_payload"));
    assert!(answer.text.contains("more than once"), "{}", answer.text);
    // A body beyond the bound.
    let answer = shop.pay(&good, &"x".repeat(64 * 1024 + 1)).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"));
    assert_eq!((town.digest(), shop.work.count()), (before.0, 0));

    // And the good one, of which all of these were variations, is good.
    let answer = shop.pay(&good, "hello").await;
    assert_eq!((answer.status, shop.work.count()), (200, 1), "{}", answer.text);
}

#[tokio::test]
async fn a_payment_used_on_the_chain_before_is_refused() {
    let (town, shop, payer) = scene().await;
    let order = town.sign(&payer, town.order(&payer, 1));
    town.chain.transfer_with_authorization(&order).await.unwrap();
    let before = town.digest();
    let answer = shop.pay(&town.wrap(&order), "hello").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (402, "invalid_exact_evm_nonce_already_used")
    );
    town::cancel(&town, &payer, U256::from(2).into()).await;
    let answer = shop.pay(&town.payment(&payer, 2), "hello").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (402, "invalid_exact_evm_nonce_already_used")
    );
    assert_eq!((town.digest(), shop.work.count()), (before, 0));
}

#[tokio::test]
async fn the_largest_body_is_taken_and_a_strange_media_type_is_no_error() {
    let (town, shop, payer) = scene().await;
    let answer = shop.pay(&town.payment(&payer, 1), &"x".repeat(64 * 1024)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for (number, media_type) in
        [(2, "x".repeat(500)), (3, String::new()), (4, "a/b; \u{e9}".into())]
    {
        let payment = town.payment(&payer, number);
        let request = http()
            .post(&shop.url)
            .header("content-type", media_type.as_bytes())
            .header(wire::PAYMENT_SIGNATURE, wire::encode(&payment))
            .body("hello");
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.text);
    }
    // Nor is one that the handler makes up: it is paid, and kept.
    let answer = shop.pay(&town.payment(&payer, 5), "strange").await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "strange"));
    assert_eq!(shop.pay(&town.payment(&payer, 5), "strange").await, answer);
    assert_eq!(town.owns(seller()).await, i128::from(PRICE) * 5);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_without_end() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let limits = GateLimits { body_wait: Duration::from_millis(100), ..GateLimits::default() };
    let shop = town.shop_with(town.facilitator(), limits).await;
    let before = town.digest();
    let address = shop.url.strip_prefix("http://").unwrap().strip_suffix("/work").unwrap();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /work HTTP/1.1\r\nhost: x\r\npayment-signature: {}\r\ncontent-length: 10\r\n\r\nhalf",
        wire::encode(&town.payment(&payer, 1)).to_str().unwrap()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = socket.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request_timeout"), "{answer}");
    // One that breaks off is the same as none.
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    drop(socket);
    let whole = shop.pay(&town.payment(&payer, 1), "hello").await;
    assert_eq!((whole.status, shop.work.count()), (200, 1));
    assert_ne!(town.digest(), before);
}

#[tokio::test]
async fn more_than_fits_is_refused_before_it_is_held_and_places_do_not_leak() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let limits = GateLimits { in_flight: 2, reading: 3, ..GateLimits::default() };
    let shop = town.shop_with(town.facilitator(), limits).await;
    for round in 0..3u64 {
        let waiting: Vec<_> = (0..2)
            .map(|n| {
                let request = shop.request(&town.payment(&payer, 10 * round + n), "wait");
                tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await })
            })
            .collect();
        shop.work.begins().await;
        shop.work.begins().await;
        let before = town.digest();
        let third = town.payment(&payer, 10 * round + 2);
        let answer = shop.pay(&third, "hello").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
        assert_eq!(town.digest(), before, "what was not taken in is not in the books");
        shop.work.may_end.add_permits(2);
        for answer in waiting {
            assert_eq!(answer.await.unwrap().status, 200);
        }
        // The same payment, a moment later.
        assert_eq!(shop.pay(&third, "hello").await.status, 200);
        shop.work.begins().await;
    }
    assert_eq!(shop.work.count(), 9);
}

#[test]
fn the_time_window_is_open_to_the_second() {
    let now = town::START;
    let order = |after: u64, before: u64| SignedAuthorization {
        from: Address::ZERO,
        to: Address::ZERO,
        value: U256::ZERO,
        valid_after: U256::from(after),
        valid_before: U256::from(before),
        nonce: Default::default(),
        signature: Bytes::new(),
    };
    let s = money::ManualClock::at(now).now().as_secs();
    for (after, before, result) in [
        (s, s + 6, Ok(())),
        (s, s + 5, Err(exact::Invalid::ValidBefore)),
        (s + 1, s + 6, Err(exact::Invalid::ValidAfter)),
        (0, u64::MAX, Ok(())),
    ] {
        assert_eq!(exact::check_window(&order(after, before), now), result, "{after} {before}");
    }
}
