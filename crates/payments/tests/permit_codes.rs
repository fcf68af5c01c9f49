//! What the facilitator says of payments through Permit2, in the words of the reference, and of
//! wallets that do not exist yet.

use crate::town;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, bytes};
use alloy_sol_types::SolCall as _;
use mandates::Key;
use money::Clock as _;
use payments::wire::{FacilitatorRequest, PaymentPayload, PaymentRequirements};
use payments::{EmbeddedFacilitator, Facilitator as _, GateLimits, permit, sponsoring};
use protocol::addresses::PERMIT2;
use protocol::bindings::permit2::Permit2;
use serde_json::{Value, json};
use settlement::{PermitOrder, SenderLimits, SignedPermit, WrappedSignature};
use town::permits::{self, approval, approve, approve_call, approving_transaction, order, sign};
use town::shop::Shop;
use town::{PRICE, Town, musd, person, seller};

const MUCH: U256 = U256::MAX;

/// A town, a shop that is paid in all three ways, and a payer with money who approved Permit2.
async fn scene() -> (Town, Shop, Key) {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    approve(&town, &payer, MUCH).await;
    let shop =
        town.shop_of(town.facilitator(), GateLimits::default(), permits::by_permit(&town)).await;
    (town, shop, payer)
}

fn price() -> i128 {
    i128::from(PRICE)
}

#[tokio::test]
async fn the_quote_tells_what_stock_clients_need() {
    let (town, shop, _) = scene().await;
    let answer = town::shop::Answer::of(town::http().post(&shop.url).send().await.unwrap()).await;
    let quote = answer.quote.unwrap();
    let extra: Vec<Value> =
        quote.accepts.iter().map(|way| json!([way.scheme, way.extra, way.amount])).collect();
    let domain = json!({ "name": "Machina Dollar", "version": "1" });
    let with = |more: Value| {
        let mut all = domain.as_object().unwrap().clone();
        all.extend(more.as_object().unwrap().clone());
        all
    };
    let us = town.chain.sender().to_string();
    assert_eq!(
        extra,
        [
            json!(["exact", domain, "10000"]),
            json!(["exact", with(json!({ "assetTransferMethod": "permit2" })), "10000"]),
            json!([
                "upto",
                with(json!({ "assetTransferMethod": "permit2", "facilitatorAddress": us })),
                "10000"
            ]),
        ]
    );
    let extensions = quote.extensions.unwrap();
    for name in [sponsoring::BY_SIGNATURE, sponsoring::BY_TRANSACTION] {
        assert_eq!(extensions[name]["info"]["version"], "1");
        assert!(extensions[name]["schema"]["required"].as_array().unwrap().len() >= 6);
    }
    let supported = serde_json::to_value(town.facilitator().supported()).unwrap();
    assert!(supported["kinds"].as_array().unwrap().contains(&json!({
        "x402Version": 2, "scheme": "upto", "network": "eip155:402402",
        "extra": { "facilitatorAddress": us }
    })));
}

/// What each check of the facilitator says, in both schemes.
#[tokio::test]
async fn each_refusal_has_the_code_of_the_reference() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    approve(&town, &payer, MUCH).await;
    let poor = person(0x24);
    approve(&town, &poor, MUCH).await;
    let facilitator = town.facilitator();
    let elsewhere = Address::repeat_byte(0x77);

    type Change = fn(&mut SignedPermit);
    fn permitted(p: &mut SignedPermit) -> &mut protocol::permit2::TokenPermissions {
        match &mut p.order {
            PermitOrder::Exact(o) => &mut o.permitted,
            PermitOrder::Upto(o) => &mut o.permitted,
        }
    }
    fn set(p: &mut SignedPermit, spender: Option<Address>, deadline: Option<u64>) {
        let (s, d) = match &mut p.order {
            PermitOrder::Exact(o) => (&mut o.spender, &mut o.deadline),
            PermitOrder::Upto(o) => (&mut o.spender, &mut o.deadline),
        };
        *s = spender.unwrap_or(*s);
        *d = deadline.map_or(*d, U256::from);
    }
    // Signed like that.
    let signed: Vec<(&str, bool, Change)> = vec![
        ("invalid_permit2_spender", false, |p| set(p, Some(PERMIT2), None)),
        ("invalid_permit2_spender", true, |p| set(p, Some(PERMIT2), None)),
        ("invalid_permit2_recipient_mismatch", false, |p| match &mut p.order {
            PermitOrder::Exact(o) => o.witness.to = PERMIT2,
            PermitOrder::Upto(_) => unreachable!(),
        }),
        ("invalid_permit2_recipient_mismatch", true, |p| match &mut p.order {
            PermitOrder::Upto(o) => o.witness.to = PERMIT2,
            PermitOrder::Exact(_) => unreachable!(),
        }),
        ("upto_facilitator_mismatch", true, |p| match &mut p.order {
            PermitOrder::Upto(o) => o.witness.facilitator = PERMIT2,
            PermitOrder::Exact(_) => unreachable!(),
        }),
        ("permit2_deadline_expired", false, |p| set(p, None, Some(town::START.as_secs() + 5))),
        ("permit2_deadline_expired", true, |p| set(p, None, Some(5))),
        ("permit2_not_yet_valid", false, |p| match &mut p.order {
            PermitOrder::Exact(o) => o.witness.validAfter = U256::from(town::START.as_secs() + 1),
            PermitOrder::Upto(_) => unreachable!(),
        }),
        ("permit2_amount_mismatch", false, |p| permitted(p).amount += U256::from(1)),
        ("permit2_amount_mismatch", false, |p| permitted(p).amount -= U256::from(1)),
        ("permit2_token_mismatch", false, |p| permitted(p).token = PERMIT2),
        ("permit2_token_mismatch", true, |p| permitted(p).token = PERMIT2),
    ];
    let mut cases: Vec<(&str, PaymentPayload, PaymentRequirements, bool)> = Vec::new();
    for (code, metered, change) in signed {
        let mut wrong = order(&town, &payer, 1, metered);
        change(&mut wrong);
        let mut payment = permits::wrap(&town, &sign(&payer, wrong));
        payment.accepted = permits::terms(&town, metered);
        let settles_alike = !(metered && code == "permit2_amount_mismatch");
        cases.push((code, payment, permits::terms(&town, metered), settles_alike));
    }
    // Sent or asked like that.
    for metered in [false, true] {
        let good = permits::payment(&town, &payer, 1, metered);
        let terms = permits::terms(&town, metered);
        let mut add = |code, change: &dyn Fn(&mut PaymentPayload, &mut PaymentRequirements)| {
            let (mut payment, mut asked) = (good.clone(), terms.clone());
            change(&mut payment, &mut asked);
            cases.push((code, payment, asked, true));
        };
        add("unsupported_payload_type", &|p, _| {
            p.payload["permit2Authorization"] = json!({ "from": "me" });
        });
        add(
            if metered { "invalid_upto_evm_scheme" } else { "unsupported_payload_type" },
            &|p, _| p.accepted.scheme = "other".into(),
        );
        let network = if metered {
            "invalid_upto_evm_network_mismatch"
        } else {
            "invalid_exact_evm_network_mismatch"
        };
        add(network, &|p, _| p.accepted.network = "eip155:1".into());
        add(network, &|p, r| {
            p.accepted.network = "eip155:1".into();
            r.network = "eip155:1".into();
        });
        add("invalid_permit2_recipient_mismatch", &|_, r| r.pay_to = elsewhere.to_string());
        add("invalid_permit2_signature", &|p, _| {
            p.payload["permit2Authorization"]["nonce"] = json!("2");
        });
        add("invalid_permit2_signature", &|p, _| p.payload["signature"] = json!("0x1234"));
    }
    // A payload of another kind.
    cases.push((
        "unsupported_payload_type",
        PaymentPayload { accepted: permits::terms(&town, true), ..town.payment(&payer, 1) },
        permits::terms(&town, true),
        true,
    ));
    // A token that is none, and one that is not settled here.
    for (asset, code) in [
        (elsewhere, "asset_not_deployed_contract"),
        (town::AGREEABLE_WALLET, "permit2_token_mismatch"),
    ] {
        let mut other = order(&town, &payer, 1, false);
        permitted(&mut other).token = asset;
        let mut asked = permits::terms(&town, false);
        asked.asset = asset.to_string();
        cases.push((code, permits::wrap(&town, &sign(&payer, other)), asked, true));
    }
    // What the chain would refuse.
    for metered in [false, true] {
        let terms = permits::terms(&town, metered);
        let broke = permits::payment(&town, &poor, 1, metered);
        cases.push(("permit2_insufficient_balance", broke, terms.clone(), true));
        let fresh = person(0x25);
        town.give(fresh.party(), musd(1_000_000)).await;
        let bare = permits::payment(&town, &fresh, 1, metered);
        cases.push(("permit2_allowance_required", bare, terms, true));
    }
    let shop =
        town.shop_of(town.facilitator(), GateLimits::default(), permits::by_permit(&town)).await;
    let digest = town.digest();
    for (code, payment, asked, settles_alike) in &cases {
        // What the shop asks is refused at its gate, too, and leaves no trace.
        if *asked == permits::terms(&town, asked.scheme == permit::UPTO) {
            let answer = shop.pay(payment, "hello").await;
            assert!((400..500).contains(&answer.status), "{code}: {}", answer.text);
            assert_eq!((town.digest(), shop.work.count()), (digest, 0), "{code}");
        }
        let verdict = facilitator.verify(payment, asked).await.unwrap();
        let metered = &asked.scheme;
        assert!(!verdict.is_valid, "{code} {metered}");
        assert_eq!(verdict.invalid_reason.as_deref(), Some(*code), "{metered}");
        assert!(!verdict.invalid_message.unwrap_or_default().is_empty());
        if *settles_alike {
            let settled = facilitator.settle(payment, asked).await.unwrap();
            assert!(!settled.success && settled.transaction.is_empty());
            assert_eq!(settled.error_reason.as_deref(), Some(*code), "settling {metered}");
        }
    }
    // More than was signed.
    let payment = permits::payment(&town, &payer, 1, true);
    let mut asked = permits::terms(&town, true);
    asked.amount = (PRICE + 1).to_string();
    let settled = facilitator.settle(&payment, &asked).await.unwrap();
    let code = "invalid_upto_evm_payload_settlement_exceeds_amount";
    assert_eq!(settled.error_reason.as_deref(), Some(code));
    let verdict = facilitator.verify(&payment, &asked).await.unwrap();
    assert_eq!(verdict.invalid_reason.as_deref(), Some("permit2_amount_mismatch"));
    // Nothing at all.
    asked.amount = "0".into();
    let settled = facilitator.settle(&payment, &asked).await.unwrap();
    assert_eq!((settled.success, settled.transaction.as_str()), (true, ""));
    assert_eq!(town.owns(seller()).await, 0);
}

/// What each check of an approval that came along says.
#[tokio::test]
async fn each_bad_approval_has_the_code_of_the_reference() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let facilitator = town.facilitator();
    let terms = permits::terms(&town, false);
    let signed = sign(&payer, order(&town, &payer, 1, false));
    let stranger = person(0x26).address().to_string();
    let by_signature = |key: &str, value: Value| {
        let mut extensions = approval(&town, &payer, &signed, 0);
        extensions[sponsoring::BY_SIGNATURE]["info"][key] = value;
        extensions
    };
    let token = town.token().address;
    let raw = approving_transaction(&payer, token, approve_call(), 0);
    let by_transaction = |key: &str, value: Value| {
        let mut extensions = permits::with_transaction(&town, &payer, &raw);
        extensions[sponsoring::BY_TRANSACTION]["info"][key] = value;
        extensions
    };
    let carrying = |raw: Bytes| by_transaction("signedTransaction", json!(raw));
    let short_call = Bytes::copy_from_slice(&approve_call()[..40]);
    let to_other =
        protocol::MachinaDollar::approveCall { spender: token, value: MUCH }.abi_encode();
    let mut unsigned = raw.to_vec();
    let length = unsigned.len();
    unsigned[length - 32..].fill(0xff);
    let soon = (town.clock.now().as_secs() + 5).to_string();
    let cases = vec![
        ("invalid_eip2612_extension_format", by_signature("from", json!("me"))),
        ("invalid_eip2612_extension_format", by_signature("amount", json!("0x10"))),
        ("invalid_eip2612_extension_format", by_signature("deadline", json!("soon"))),
        ("invalid_eip2612_extension_format", by_signature("signature", json!("0x12"))),
        ("invalid_eip2612_extension_format", by_signature("version", json!("one"))),
        ("eip2612_from_mismatch", by_signature("from", json!(stranger))),
        ("eip2612_asset_mismatch", by_signature("asset", json!(stranger))),
        ("eip2612_spender_not_permit2", by_signature("spender", json!(stranger))),
        ("eip2612_deadline_expired", by_signature("deadline", json!(soon))),
        ("permit2_allowance_required", by_signature("amount", json!("9999"))),
        // What is not whole is no approval: clients echo what the quote declares.
        ("permit2_allowance_required", by_signature("signature", Value::Null)),
        ("permit2_allowance_required", sponsoring::declaration()),
        ("invalid_erc20_approval_extension_format", by_transaction("from", json!("me"))),
        (
            "invalid_erc20_approval_extension_format",
            by_transaction("signedTransaction", json!(format!("0x{}", "00".repeat(3_000)))),
        ),
        ("erc20_approval_from_mismatch", by_transaction("from", json!(stranger))),
        ("erc20_approval_asset_mismatch", by_transaction("asset", json!(stranger))),
        ("erc20_approval_spender_not_permit2", by_transaction("spender", json!(stranger))),
        ("erc20_approval_tx_parse_failed", carrying(bytes!("02c0ffee"))),
        (
            "erc20_approval_tx_wrong_target",
            carrying(approving_transaction(&payer, PERMIT2, approve_call(), 0)),
        ),
        (
            "erc20_approval_tx_wrong_selector",
            carrying(approving_transaction(&payer, token, bytes!("a9059cbb"), 0)),
        ),
        (
            "erc20_approval_tx_invalid_calldata",
            carrying(approving_transaction(&payer, token, short_call, 0)),
        ),
        (
            "erc20_approval_tx_wrong_spender",
            carrying(approving_transaction(&payer, token, to_other.into(), 0)),
        ),
        (
            "erc20_approval_tx_signer_mismatch",
            carrying(approving_transaction(&person(0x26), token, approve_call(), 0)),
        ),
        ("erc20_approval_tx_invalid_signature", carrying(unsigned.into())),
        // Its number is not the next.
        (
            "permit2_allowance_required",
            carrying(approving_transaction(&payer, token, approve_call(), 4)),
        ),
    ];
    for (code, extensions) in cases {
        let mut payment = permits::wrap(&town, &signed);
        payment.extensions = Some(extensions);
        let verdict = facilitator.verify(&payment, &terms).await.unwrap();
        assert_eq!(verdict.invalid_reason.as_deref(), Some(code));
    }
    // At the settlement the proxy and the chain speak for themselves.
    for (code, extensions) in [
        ("permit2_2612_amount_mismatch", by_signature("amount", json!("9999"))),
        (
            "erc20_approval_broadcast_failed",
            carrying(approving_transaction(
                &payer,
                token,
                protocol::MachinaDollar::approveCall { spender: PERMIT2, value: U256::ZERO }
                    .abi_encode()
                    .into(),
                u64::MAX - 1,
            )),
        ),
    ] {
        let mut payment = permits::wrap(&town, &signed);
        payment.extensions = Some(extensions);
        let settled = facilitator.settle(&payment, &terms).await.unwrap();
        assert_eq!(settled.error_reason.as_deref(), Some(code));
    }
    assert_eq!(town.owns(seller()).await, 0);
}

#[test]
fn each_revert_that_the_reference_names_is_told() {
    use alloy_sol_types::SolError as _;
    use protocol::bindings::permit2::{ExactPermit2Proxy, UptoPermit2Proxy};

    for (data, code) in [
        (ExactPermit2Proxy::InvalidAmount {}.abi_encode(), "permit2_invalid_amount"),
        (UptoPermit2Proxy::InvalidAmount {}.abi_encode(), "permit2_invalid_amount"),
        (ExactPermit2Proxy::InvalidDestination {}.abi_encode(), "permit2_invalid_destination"),
        (ExactPermit2Proxy::InvalidOwner {}.abi_encode(), "permit2_invalid_owner"),
        (ExactPermit2Proxy::PaymentTooEarly {}.abi_encode(), "permit2_payment_too_early"),
        (
            ExactPermit2Proxy::Permit2612AmountMismatch {}.abi_encode(),
            "permit2_2612_amount_mismatch",
        ),
        (Permit2::InvalidNonce {}.abi_encode(), "permit2_invalid_nonce"),
        (Permit2::InvalidSigner {}.abi_encode(), "invalid_permit2_signature"),
        (
            Permit2::SignatureExpired { signatureDeadline: U256::ZERO }.abi_encode(),
            "invalid_permit2_signature",
        ),
        (UptoPermit2Proxy::AmountExceedsPermitted {}.abi_encode(), "upto_amount_exceeds_permitted"),
        (
            UptoPermit2Proxy::UnauthorizedFacilitator {}.abi_encode(),
            "upto_unauthorized_facilitator",
        ),
    ] {
        assert_eq!(permit::Invalid::of_revert(&data).map(|r| r.code(true)), Some(code));
    }
    assert_eq!(permit::Invalid::of_revert(&[1, 2, 3, 4, 5]), None);
    assert_eq!(permit::Invalid::of_revert(&[]), None);
    let pending = (permit::Invalid::Pending, "settlement_pending");
    let silent = (permit::Invalid::ChainUnreachable, "unexpected_settle_error");
    let gone = (permit::Invalid::ProxyMissing, "permit2_proxy_not_deployed");
    for (reason, code) in [pending, silent, gone] {
        assert_eq!((reason.code(false), reason.code(true)), (code, code));
    }
    let failed = permit::Invalid::Transaction;
    assert_eq!(failed.code(false), "invalid_exact_evm_transaction_failed");
    assert_eq!(failed.code(true), "invalid_upto_evm_transaction_failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_settled_many_times_at_once_succeeds_exactly_once() {
    let (town, _shop, payer) = scene().await;
    for metered in [false, true] {
        let request = Arc::new(FacilitatorRequest {
            x402_version: 2,
            payment_payload: permits::payment(&town, &payer, u64::from(metered), metered),
            payment_requirements: permits::terms(&town, metered),
        });
        let facilitator = town.facilitator();
        let settlements: Vec<_> = (0..20)
            .map(|_| {
                let (facilitator, request) = (facilitator.clone(), request.clone());
                tokio::spawn(async move {
                    let (payment, asked) =
                        (&request.payment_payload, &request.payment_requirements);
                    facilitator.settle(payment, asked).await.unwrap()
                })
            })
            .collect();
        let mut successes = 0;
        for settlement in settlements {
            let answer = settlement.await.unwrap();
            successes += usize::from(answer.success);
            if !answer.success {
                assert_eq!(answer.error_reason.as_deref(), Some("permit2_invalid_nonce"));
            }
        }
        assert_eq!(successes, 1);
    }
    assert_eq!(town.owns(seller()).await, 2 * price());
}

#[tokio::test]
async fn a_wallet_with_code_pays_through_permit2_by_its_own_word() {
    let (town, shop, _) = scene().await;
    for (wallet, good) in [(town::AGREEABLE_WALLET, true), (town::REFUSING_WALLET, false)] {
        town.give(wallet.into(), musd(100_000)).await;
        let mut unsigned = order(&town, &person(0x21), 1, true);
        unsigned.payer = wallet;
        unsigned.signature = vec![1, 2, 3].into();
        let answer = shop.pay(&permits::wrap(&town, &unsigned), "hello").await;
        // It never approved Permit2, which is asked after the signature.
        let code = if good { "permit2_allowance_required" } else { "invalid_permit2_signature" };
        assert_eq!(answer.code(), code);
    }
}

#[tokio::test]
async fn a_wallet_is_made_when_it_pays_if_its_maker_is_known() {
    let town = Town::begin().await;
    // PUSH16 runtime, MSTORE at 0, RETURN the last 16 bytes of that word.
    let init: Bytes = [
        &[0x6f][..],
        &bytes!("631626ba7e60e01b60005260206000f3")[..],
        &bytes!("60005260106010f3")[..],
    ]
    .concat()
    .into();
    let factory = protocol::addresses::CREATE2_DEPLOYER;
    let salt = B256::repeat_byte(3);
    let wallet = factory.create2_from_code(salt, &init);
    let call: Bytes = [salt.as_slice(), &init].concat().into();
    town.give(wallet.into(), musd(100_000)).await;
    let wrapped = WrappedSignature { factory, call, inner: vec![9; 70].into() };
    let payment = |number: u64, wrapped: &WrappedSignature| {
        let mut order = town.order(&person(0x21), number);
        order.from = wallet;
        order.signature = wrapped.write();
        town.wrap(&order)
    };
    let first = payment(1, &wrapped);
    let asked = town.terms();
    // By default nobody makes anything.
    let closed = town.facilitator();
    let reason = closed.verify(&first, &asked).await.unwrap().invalid_reason;
    assert_eq!(reason.as_deref(), Some("eip6492_factory_not_allowed"));
    let settled = closed.settle(&first, &asked).await.unwrap();
    assert_eq!(settled.error_reason.as_deref(), Some("eip6492_factory_not_allowed"));

    let open = Arc::new(
        EmbeddedFacilitator::new(town.chain.clone(), town.clock.clone())
            .with_factories(vec![factory]),
    );
    // A maker that makes something else, or nothing.
    for bad in [
        WrappedSignature { call: [&[7; 32][..], &init].concat().into(), ..wrapped.clone() },
        WrappedSignature { call: vec![1].into(), ..wrapped.clone() },
    ] {
        let block = town.block().await;
        let wrong = payment(1, &bad);
        for reason in [
            open.verify(&wrong, &asked).await.unwrap().invalid_reason,
            open.settle(&wrong, &asked).await.unwrap().error_reason,
        ] {
            let code = "invalid_exact_evm_transaction_simulation_failed";
            assert_eq!(reason.as_deref(), Some(code));
        }
        assert_eq!(town.block().await, block, "nothing is sent for it");
    }
    // A maker that would do, and whose transaction the node does not take.
    let wire = town::wire::Wire::to(&town.node);
    let chain = town::connect_by(wire.clone(), town::sender(), SenderLimits::default()).await;
    let unlucky = EmbeddedFacilitator::new(chain, town.clock.clone()).with_factories(vec![factory]);
    wire.is(town::wire::REFUSING);
    let told = unlucky.settle(&first, &asked).await.unwrap();
    assert_eq!(told.error_reason.as_deref(), Some("smart_wallet_deployment_failed"));
    assert!(open.verify(&first, &asked).await.unwrap().is_valid);
    assert!(!town.chain.is_contract(wallet).await.unwrap(), "trying makes nothing");
    let shop = town.shop_with(open.clone(), GateLimits::default()).await;
    let answer = shop.pay(&first, "hello").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(town.chain.is_contract(wallet).await.unwrap());
    // It exists now; a wrapped signature is still good, and needs no known maker.
    let second = payment(2, &wrapped);
    assert!(closed.verify(&second, &asked).await.unwrap().is_valid);
    assert_eq!(shop.pay(&second, "hello").await.status, 200);
    assert_eq!(town.owns(seller()).await, 2 * price());
    town.is_whole(&[seller()]).await;
}
