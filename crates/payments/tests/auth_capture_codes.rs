//! What the facilitator says of escrowed payments, in the words of the specification: each code from
//! one table, and who may say what is done with a payment.

use crate::town;

use std::collections::BTreeSet;
use std::time::Duration;

use alloy_primitives::aliases::{U48, U120};
use alloy_primitives::{Address, U256};
use alloy_signer::SignerSync as _;
use mandates::Key;
use payments::auth_capture::lifecycle::Lifecycle;
use payments::auth_capture::{self, EscrowOrder, Invalid};
use payments::wire::{FacilitatorRequest, PaymentPayload, PaymentRequirements};
use payments::{EmbeddedFacilitator, EscrowTerms, Facilitator as _, GateLimits, facilitator};
use protocol::EMBEDDED_CHAIN_ID;
use protocol::escrow::bound_salt;
use serde_json::{Value, json};
use settlement::WrappedSignature;
use settlement::escrow::{Act, EscrowState, Fee, SignedEscrow};
use town::escrow;
use town::{PRICE, Town, musd, person, seller};

const NOW: u64 = town::START.as_secs();

/// A payment in the making: the terms are signed, and then more may be changed.
struct Draft {
    terms: EscrowTerms,
    signed: SignedEscrow,
    asked: PaymentRequirements,
}

/// What is changed before it is signed; the asked terms follow.
type Before = fn(&mut Draft);
/// What is changed after: payload, accepted and required terms.
type After = fn(&mut PaymentPayload, &mut PaymentRequirements);

fn nothing(_: &mut Draft) {}
fn no_more(_: &mut PaymentPayload, _: &mut PaymentRequirements) {}

fn set(terms: &mut PaymentRequirements, key: &str, value: Value) {
    terms.extra.as_mut().unwrap().insert(key.into(), value);
}

/// In what was accepted and in what is required alike.
fn both(
    p: &mut PaymentPayload,
    r: &mut PaymentRequirements,
    change: impl Fn(&mut PaymentRequirements),
) {
    change(&mut p.accepted);
    change(r);
}

fn draft(town: &Town, payer: &Key, number: u64, by_permit: bool, before: Before) -> Draft {
    let terms = EscrowTerms { by_permit, ..escrow::terms(town) };
    let signed = escrow::order(town, payer.party(), number, terms);
    let mut draft = Draft { terms, signed, asked: escrow::asked(town, terms) };
    before(&mut draft);
    // What is asked is what is signed.
    let p = &draft.signed.payment;
    let said = [
        ("captureAuthorizer", json!(p.operator.to_string())),
        ("feeRecipient", json!(p.feeReceiver.to_string())),
        ("minFeeBps", json!(p.minFeeBps)),
        ("maxFeeBps", json!(p.maxFeeBps)),
        ("captureDeadline", json!(p.authorizationExpiry.to::<u64>())),
        ("refundDeadline", json!(p.refundExpiry.to::<u64>())),
    ];
    for (key, value) in said {
        set(&mut draft.asked, key, value);
    }
    draft
}

#[tokio::test]
async fn each_refusal_has_the_code_of_the_specification() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let unapproved = person(0x22);
    town.give(unapproved.party(), musd(1_000_000)).await;
    let poor = person(0x23);
    town::permits::approve(&town, &payer, U256::MAX).await;
    let facilitator = town.facilitator();
    let mut shops = Vec::new();
    for by_permit in [false, true] {
        let terms = EscrowTerms { by_permit, ..escrow::terms(&town) };
        let offer = escrow::only(terms);
        shops.push(town.shop_of(facilitator.clone(), GateLimits::default(), offer).await);
    }
    let digest = town.digest();
    let mut seen = BTreeSet::new();

    let table: Vec<(&str, &Key, bool, Before, After)> = vec![
        ("invalid_payload_format", &payer, false, nothing, |p, _| p.payload = json!({})),
        ("invalid_payload_format", &payer, false, nothing, |p, _| {
            p.payload.as_object_mut().unwrap().remove("salt");
        }),
        ("invalid_payload_format", &payer, false, nothing, |p, _| {
            p.payload["authorization"]["value"] = json!("-1");
        }),
        ("invalid_payload_format", &payer, false, nothing, |p, _| {
            p.payload["permit2Authorization"] = p.payload["authorization"].clone();
        }),
        ("unsupported_scheme", &payer, false, nothing, |p, _| p.accepted.scheme = "exact".into()),
        ("network_mismatch", &payer, false, nothing, |p, _| {
            p.accepted.network = "eip155:1".into();
        }),
        ("invalid_network", &payer, false, nothing, |p, r| {
            both(p, r, |t| t.network = "eip155:1".into());
        }),
        ("invalid_network", &payer, false, nothing, |p, r| {
            both(p, r, |t| t.network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".into());
        }),
        ("invalid_auth_capture_extra", &payer, false, nothing, |_, r| {
            r.extra.as_mut().unwrap().remove("captureAuthorizer");
        }),
        ("invalid_auth_capture_extra", &payer, false, nothing, |_, r| {
            set(r, "minFeeBps", json!(65_536));
        }),
        ("invalid_auth_capture_extra", &payer, false, nothing, |_, r| {
            set(r, "captureDeadline", json!("soon"));
        }),
        ("invalid_auth_capture_extra", &payer, false, nothing, |_, r| {
            set(r, "paymentFlow", json!("later"));
        }),
        ("invalid_auth_capture_extra", &payer, false, nothing, |_, r| {
            // v1.0 of the contracts.
            set(r, "authCaptureEscrow", json!("0xBdEA0D1bcC5966192B070Fdf62aB4EF5b4420cff"));
        }),
        ("unsupported_asset_transfer_method", &payer, false, nothing, |_, r| {
            set(r, "assetTransferMethod", json!("erc7710"));
        }),
        ("payload_method_mismatch", &payer, false, nothing, |_, r| {
            set(r, "assetTransferMethod", json!("permit2"));
        }),
        (
            "capture_deadline_expired",
            &payer,
            false,
            |d| {
                d.signed.payment.authorizationExpiry = U48::from(NOW + 6);
                d.signed.payment.preApprovalExpiry = U48::from(NOW + 6);
            },
            no_more,
        ),
        (
            "invalid_deadline_ordering",
            &payer,
            false,
            |d| {
                d.signed.payment.refundExpiry = U48::from(NOW + 3_599);
            },
            no_more,
        ),
        (
            "invalid_deadline_ordering",
            &payer,
            false,
            |d| {
                d.signed.payment.preApprovalExpiry = U48::from(NOW + 3_601);
            },
            no_more,
        ),
        (
            "authorization_expired",
            &payer,
            false,
            |d| {
                d.signed.payment.preApprovalExpiry = U48::from(NOW + 6);
            },
            no_more,
        ),
        (
            "authorization_expired",
            &payer,
            true,
            |d| {
                d.signed.payment.preApprovalExpiry = U48::from(NOW);
            },
            no_more,
        ),
        ("authorization_not_yet_valid", &payer, false, nothing, |p, _| {
            p.payload["authorization"]["validAfter"] = json!((NOW + 1).to_string());
        }),
        ("token_collector_mismatch", &payer, false, nothing, |p, _| {
            p.payload["authorization"]["to"] = json!(Address::repeat_byte(7).to_string());
        }),
        ("token_collector_mismatch", &payer, true, nothing, |p, _| {
            p.payload["permit2Authorization"]["spender"] =
                json!(Address::repeat_byte(7).to_string());
        }),
        ("token_mismatch", &payer, true, nothing, |p, _| {
            p.payload["permit2Authorization"]["permitted"]["token"] =
                json!(Address::repeat_byte(7).to_string());
        }),
        ("eip6492_factory_not_allowed", &payer, false, nothing, |p, _| {
            let wrapped = WrappedSignature {
                factory: Address::repeat_byte(7),
                call: vec![1].into(),
                inner: vec![2; 65].into(),
            };
            p.payload["signature"] = json!(wrapped.write().to_string());
        }),
        ("invalid_auth_capture_signature", &payer, false, nothing, |p, _| {
            p.payload["signature"] = json!(format!("0x{}", "11".repeat(65)));
        }),
        ("invalid_auth_capture_signature", &payer, true, nothing, |p, _| {
            p.payload["signature"] = json!("0x11");
        }),
        ("invalid_auth_capture_signature", &payer, false, nothing, |p, _| {
            // It ends as one of a wallet that is to be made, and cannot be read.
            p.payload["signature"] = json!(format!("0x{}{}", "11".repeat(65), "6492".repeat(16)));
        }),
        ("invalid_auth_capture_signature", &payer, false, nothing, |p, _| {
            // The collector's orders have no beginning.
            p.payload["authorization"]["validAfter"] = json!("1");
        }),
        ("amount_mismatch", &payer, false, nothing, |p, r| {
            both(p, r, |t| t.amount = (PRICE - 1).to_string());
        }),
        (
            "amount_mismatch",
            &payer,
            false,
            |d| {
                d.signed.payment.maxAmount = U120::ZERO;
                d.asked.amount = "0".into();
            },
            no_more,
        ),
        ("amount_overflow", &payer, false, nothing, |p, _| {
            p.payload["authorization"]["value"] =
                json!((U256::from(1_u8) << 120_usize).to_string());
        }),
        ("nonce_mismatch", &payer, false, nothing, |p, _| {
            p.payload["salt"] = json!("0x0bad");
        }),
        ("nonce_mismatch", &payer, true, nothing, |_, r| {
            r.pay_to = Address::repeat_byte(7).to_string();
        }),
        ("nonce_mismatch", &payer, false, nothing, |_, r| {
            // Who signs for the seller is not in the salt.
            set(r, "receiverAuthorizer", json!(Address::repeat_byte(7).to_string()));
        }),
        (
            "invalid_capture_authorizer",
            &payer,
            false,
            |d| {
                d.signed.payment.operator = Address::repeat_byte(7);
            },
            no_more,
        ),
        ("insufficient_balance", &poor, false, nothing, no_more),
        ("permit2_allowance_required", &unapproved, true, nothing, no_more),
        ("invalid_fee_bps", &payer, false, |d| d.signed.payment.maxFeeBps = 10_001, no_more),
        (
            "invalid_fee_bps_range",
            &payer,
            false,
            |d| {
                d.signed.payment.minFeeBps = 2;
                d.signed.payment.maxFeeBps = 1;
            },
            no_more,
        ),
        (
            "zero_fee_receiver",
            &payer,
            false,
            |d| {
                d.signed.payment.minFeeBps = 100;
                d.signed.payment.maxFeeBps = 100;
                set(&mut d.asked, "paymentFlow", json!("authorization"));
            },
            no_more,
        ),
    ];
    for (number, (code, key, by_permit, before, after)) in table.into_iter().enumerate() {
        let draft = draft(&town, key, number as u64, by_permit, before);
        assert_eq!(draft.terms.by_permit, by_permit);
        let signed = escrow::sign(&town, key, draft.signed);
        let mut required = draft.asked.clone();
        let asked = required.clone();
        let mut payment = escrow::wrap(draft.asked, signed);
        after(&mut payment, &mut required);
        // What is wrong with the payment itself is refused at a gate, too, and leaves no trace.
        if required == asked {
            let shop = &shops[usize::from(by_permit)];
            let answer = shop.pay(&payment, "hello").await;
            assert!((400..500).contains(&answer.status), "case {number}: {}", answer.text);
            assert_eq!((town.digest(), shop.work.count()), (digest, 0), "case {number}");
        }
        let verdict = facilitator.verify(&payment, &required).await.unwrap();
        let said = verdict.invalid_reason.as_deref().unwrap_or("valid");
        assert_eq!(said, code, "case {number}: {:?}", verdict.invalid_message);
        // A settlement says the same, or that verification failed and why. The contract refuses
        // what a fee makes impossible.
        let settled = facilitator.settle(&payment, &required).await.unwrap();
        assert!(!settled.success && settled.transaction.is_empty(), "case {number}");
        let reason = settled.error_reason.unwrap();
        let words = settled.error_message.unwrap();
        assert!(
            reason == code
                || (reason == "verification_failed" && words.starts_with(code))
                || ["simulation_failed", "token_collection_failed"].contains(&reason.as_str()),
            "case {number}: {reason}: {words}"
        );
        seen.insert(said.to_string());
        seen.insert(reason);
    }
    assert_eq!(town.owns(payer.party()).await, 1_000_000, "nothing moved");

    // Taken back by its payer.
    let signed = escrow::sign(&town, &payer, draft(&town, &payer, 900, false, nothing).signed);
    town::cancel(&town, &payer, signed.nonce(EMBEDDED_CHAIN_ID)).await;
    seen.insert(verify(&town, &facilitator, &signed).await);
    // Collected before.
    let signed = escrow::sign(&town, &payer, draft(&town, &payer, 901, false, nothing).signed);
    let asked = escrow::asked(&town, escrow::terms(&town));
    let payment = escrow::wrap(asked.clone(), signed.clone());
    let settled = facilitator.settle(&payment, &asked).await.unwrap();
    assert!(settled.success, "{settled:?}");
    assert_eq!(settled.extra.unwrap()["state"], "authorized");
    let again = facilitator.settle(&payment, &asked).await.unwrap();
    assert_eq!(again.error_reason.as_deref(), Some("payment_already_collected"));
    let code = verify(&town, &facilitator, &signed).await;
    assert_eq!(code, "payment_already_collected");
    seen.insert(code);
    // What is said of one that is in escrow.
    let fee = |amount: u64, receiver| Fee { amount: U256::from(amount), receiver };
    let capture = |amount: u64, fee| Act::Capture { amount: U256::from(amount), fee };
    let us = Address::repeat_byte(9);
    let state = |capturable: u64, refundable: u64| EscrowState {
        collected: true,
        capturable: U256::from(capturable),
        refundable: U256::from(refundable),
    };
    let say = async |signed: &SignedEscrow, act: Act, state: EscrowState| {
        let word = Lifecycle::new(signed.payment.clone(), act, &state);
        let payment = PaymentPayload { payload: word.write(), ..payment.clone() };
        let told = facilitator.settle(&payment, &asked).await.unwrap();
        told.error_reason.unwrap_or_else(|| "success".into())
    };
    let whole = state(PRICE, 0);
    for (code, act, state) in [
        ("fee_bps_out_of_range", capture(PRICE, fee(1, us)), whole),
        ("insufficient_authorization", capture(PRICE + 1, Fee::default()), whole),
        // The seller did not look what became of it.
        ("insufficient_authorization", capture(1, Fee::default()), state(PRICE - 1, 1)),
        ("amount_mismatch", capture(0, Fee::default()), whole),
        ("refund_exceeds_capture", Act::Refund { amount: U256::from(1) }, whole),
        ("success", capture(1_000, Fee::default()), whole),
        // The same word again.
        ("insufficient_authorization", capture(1_000, Fee::default()), whole),
        ("success", Act::Void, state(PRICE - 1_000, 1_000)),
        ("zero_authorization", Act::Void, state(0, 1_000)),
    ] {
        let said = say(&signed, act, state).await;
        assert_eq!(said, code);
        seen.insert(said);
    }
    assert_eq!(town.owns(seller()).await, 1_000);
    // A fee for somebody else than was signed.
    let mut other = draft(&town, &payer, 902, false, nothing);
    other.signed.payment.maxFeeBps = 100;
    other.signed.payment.feeReceiver = us;
    let other = escrow::sign(&town, &payer, other.signed);
    facilitator.escrow_agent().authorize(&other).await.unwrap();
    let elsewhere = fee(1, Address::repeat_byte(8));
    let said = say(&other, capture(PRICE, elsewhere), whole).await;
    assert_eq!(said, "invalid_fee_receiver");
    seen.insert(said);
    // After their times.
    town.clock.advance(Duration::from_secs(3_601));
    town.give(person(0x77).party(), musd(1)).await; // The chain makes a block, and has the time.
    let said = say(&other, capture(PRICE, fee(0, us)), whole).await;
    assert_eq!(said, "capture_deadline_expired");
    town.clock.advance(Duration::from_secs(8 * 24 * 3_600));
    town.give(person(0x77).party(), musd(1)).await;
    let said = say(&signed, Act::Refund { amount: U256::from(1) }, state(0, 1_000)).await;
    assert_eq!(said, "refund_deadline_expired");
    seen.insert(said);
    // A stranger says it.
    let word = Lifecycle::new(other.payment.clone(), Act::Void, &whole);
    let stranger = PaymentPayload { payload: word.write(), ..payment.clone() };
    let verdict = facilitator.verify(&stranger, &asked).await.unwrap();
    assert_eq!(verdict.invalid_reason.as_deref(), Some("invalid_authorizer_signature"));
    seen.insert(verdict.invalid_reason.unwrap());

    // Nothing of the vocabulary is left out without a reason.
    let elsewhere = [
        // A token that takes a fee of its own; and a collector of another kind. Ours is no such:
        // these and the next three are in `vocabulary`.
        "token_collection_failed",
        "invalid_collector",
        // A chain that fails between simulation and block, is slow or gone.
        "transaction_reverted",
        "settlement_pending",
        "unexpected_settle_error",
    ];
    for reason in Invalid::ALL {
        let code = reason.code();
        assert!(
            seen.contains(code) || elsewhere.contains(&code),
            "`{code}` is produced by nothing here"
        );
    }
}

async fn verify(town: &Town, facilitator: &EmbeddedFacilitator, signed: &SignedEscrow) -> String {
    let asked = escrow::asked(town, escrow::terms(town));
    let payment = escrow::wrap(asked.clone(), signed.clone());
    let verdict = facilitator.verify(&payment, &asked).await.unwrap();
    verdict.invalid_reason.unwrap_or_else(|| "valid".into())
}

/// A seller elsewhere is paid through our facilitator, over HTTP and by its own signature.
#[tokio::test]
async fn only_whom_the_payer_named_says_what_is_done_with_a_payment() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let theirs = person(0x66);
    let router = facilitator::router(town.facilitator());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let settle = async |payment: &PaymentPayload, asked: &PaymentRequirements| -> Value {
        let request = FacilitatorRequest {
            x402_version: 2,
            payment_payload: payment.clone(),
            payment_requirements: asked.clone(),
        };
        let sent = town::http().post(format!("{url}/settle")).json(&request).send().await;
        sent.unwrap().json().await.unwrap()
    };
    // The payer's salt names them.
    let nonce = U256::from(77);
    let mut asked = escrow::asked(&town, escrow::terms(&town));
    set(&mut asked, "receiverAuthorizer", json!(theirs.address().to_string()));
    let mut order = escrow::order(&town, payer.party(), 1, escrow::terms(&town));
    order.payment.salt = bound_salt(theirs.address(), Address::ZERO, nonce);
    let signed = escrow::sign(&town, &payer, order);
    let mut payment = escrow::wrap(asked.clone(), signed.clone());
    // Without the number behind the salt it could be bound to anybody.
    let unbound = settle(&payment, &asked).await;
    assert_eq!(unbound["errorReason"], "verification_failed", "{unbound}");
    let order = EscrowOrder::new(signed.clone(), Some(nonce), EMBEDDED_CHAIN_ID);
    payment.payload = auth_capture::write(&order);
    let settled = settle(&payment, &asked).await;
    assert_eq!(settled["success"], true, "{settled}");

    let state = EscrowState { collected: true, capturable: signed.most(), refundable: U256::ZERO };
    let amount = U256::from(4_000);
    let act = Act::Capture { amount, fee: Fee::default() };
    let word = |signer: Option<&Key>, salt_nonce| {
        let word = Lifecycle::new(signed.payment.clone(), act.clone(), &state);
        let hash = word.signing_hash(EMBEDDED_CHAIN_ID);
        let sign = |key: &Key| {
            let signature = key.transaction_signer().sign_hash_sync(&hash).unwrap();
            signature.as_bytes().to_vec().into()
        };
        Lifecycle { salt_nonce, signature: signer.map(sign), ..word }
    };
    let mut named_thief = asked.clone();
    set(&mut named_thief, "receiverAuthorizer", json!(payer.address().to_string()));
    for (word, asked, good) in [
        (word(None, Some(nonce)), &asked, false),
        (word(Some(&payer), Some(nonce)), &asked, false),
        (word(Some(&payer), Some(nonce)), &named_thief, false),
        (word(Some(&theirs), None), &asked, false),
        (word(Some(&theirs), Some(nonce)), &asked, true),
        // Once is enough.
        (word(Some(&theirs), Some(nonce)), &asked, false),
    ] {
        let said = PaymentPayload { payload: word.write(), ..payment.clone() };
        let told = settle(&said, asked).await;
        assert_eq!(told["success"], good, "{told}");
    }
    assert_eq!(town.owns(seller()).await, 4_000);
    // What the operator would pay for is the operator's to say.
    town.give(town.chain.sender().into(), musd(4_000)).await;
    let after = EscrowState { capturable: signed.most() - amount, refundable: amount, ..state };
    let refund = Lifecycle::new(signed.payment.clone(), Act::Refund { amount }, &after);
    let told = settle(&said_by(&theirs, nonce, refund, &payment), &asked).await;
    assert!(is_refused(&told), "{told}");
    assert_eq!(town.owns(town.chain.sender().into()).await, 4_000);
    server.abort();
}

fn said_by(signer: &Key, nonce: U256, word: Lifecycle, payment: &PaymentPayload) -> PaymentPayload {
    let hash = word.signing_hash(EMBEDDED_CHAIN_ID);
    let signature = signer.transaction_signer().sign_hash_sync(&hash).unwrap();
    let signature = Some(signature.as_bytes().to_vec().into());
    let word = Lifecycle { salt_nonce: Some(nonce), signature, ..word };
    PaymentPayload { payload: word.write(), ..payment.clone() }
}

fn is_refused(told: &Value) -> bool {
    let words = told["errorMessage"].as_str().unwrap_or_default();
    told["errorReason"] == "verification_failed"
        && words.starts_with("invalid_authorizer_signature")
}

/// The salt proves whom the payer named, and it may have named itself.
#[tokio::test]
async fn in_payments_to_sellers_of_this_process_no_stranger_has_a_say() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let facilitator = EmbeddedFacilitator::new(town.chain.clone(), town.clock.clone())
        .with_payees(vec![seller().into()]);
    let facilitator = std::sync::Arc::new(facilitator);
    let router = facilitator::router(facilitator.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/settle", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let settle = async |payment: &PaymentPayload, asked: &PaymentRequirements| -> Value {
        let request = FacilitatorRequest {
            x402_version: 2,
            payment_payload: payment.clone(),
            payment_requirements: asked.clone(),
        };
        let sent = town::http().post(&url).json(&request).send().await;
        sent.unwrap().json().await.unwrap()
    };
    let nonce = U256::from(77);
    let mut asked = escrow::asked(&town, escrow::terms(&town));
    set(&mut asked, "receiverAuthorizer", json!(payer.address().to_string()));
    let mut order = escrow::order(&town, payer.party(), 1, escrow::terms(&town));
    order.payment.salt = bound_salt(payer.address(), Address::ZERO, nonce);
    let signed = escrow::sign(&town, &payer, order);
    let mut payment = escrow::wrap(asked.clone(), signed.clone());
    let order = EscrowOrder::new(signed.clone(), Some(nonce), EMBEDDED_CHAIN_ID);
    payment.payload = auth_capture::write(&order);
    // Flow and amount are in no signature.
    let mut cheap = asked.clone();
    set(&mut cheap, "paymentFlow", json!("upfront"));
    cheap.amount = "1".into();
    for asked in [&cheap, &asked] {
        let asking = PaymentPayload { accepted: asked.clone(), ..payment.clone() };
        let told = settle(&asking, asked).await;
        assert!(is_refused(&told), "{told}");
    }
    assert!(facilitator.settle(&payment, &asked).await.unwrap().success, "its own gate may");
    let state = EscrowState { collected: true, capturable: signed.most(), refundable: U256::ZERO };
    let one = Act::Capture { amount: U256::from(1), fee: Fee::default() };
    for act in [one, Act::Void] {
        let word = Lifecycle::new(signed.payment.clone(), act, &state);
        let told = settle(&said_by(&payer, nonce, word, &payment), &asked).await;
        assert!(is_refused(&told), "{told}");
    }
    let history = facilitator.escrow_agent().history(&signed).await.unwrap();
    assert_eq!((history.events.len(), history.capturable()), (1, signed.most()));
    server.abort();
}

/// A second number beside the salt would let a payment that is bound to a request read as not bound.
#[tokio::test]
async fn a_number_that_no_terms_ask_for_is_not_read() {
    let town = Town::begin().await;
    let payer = person(0x21);
    let asked = escrow::asked(&town, escrow::terms(&town));
    let mut payment = escrow::payment(&town, &payer, 1, escrow::terms(&town));
    payment.payload["saltNonce"] = json!("0x4d");
    assert_eq!(auth_capture::read(&payment.payload, &asked).unwrap().salt_nonce, None);
    // Where the terms bind the salt it is that number's, or nothing is read.
    let mut bound = asked.clone();
    set(&mut bound, "receiverAuthorizer", json!(payer.address().to_string()));
    assert_eq!(auth_capture::read(&payment.payload, &bound), Err(Invalid::Nonce));
}
