//! A chain that fails, is mute, or cannot be read.

use town::wire::{BLIND, FAILED, MUTE, REFUSING, WELL, Wire};

use super::*;

/// A facilitator whose chain fails as it is told, by a key of its own.
async fn unlucky(scene: &Scene, wait: Duration) -> (Arc<Wire>, EmbeddedFacilitator) {
    let wire = Wire::to(&scene.town.node);
    let key = person(0x13).transaction_signer();
    let limits = SenderLimits { wait, ..SenderLimits::default() };
    let chain = town::connect_by(wire.clone(), key, limits).await;
    let facilitator = EmbeddedFacilitator::new(chain, scene.town.clock.clone())
        .with_receiver_authorizer(scene.authorizer.transaction_signer());
    (wire, facilitator)
}

/// A deposit, a claim, a payout and a refund that would each succeed in this order.
async fn four_acts(scene: &Scene) -> Vec<(Payload, ChannelInvalid)> {
    scene.settled(&scene.deposit(1, 100_000, 1, 10_000)).await;
    scene.settled(&claim(vec![scene.row(1, 10_000, 10_000)], None)).await;
    vec![
        (scene.deposit(2, 50_000, 2, 5_000), ChannelInvalid::DepositTransaction),
        (claim(vec![scene.row(1, 20_000, 20_000)], None), ChannelInvalid::ClaimTransaction),
        (scene.pay_out(), ChannelInvalid::SettleTransaction),
        (scene.refund(1, 1_000, vec![], true).await, ChannelInvalid::RefundTransaction),
    ]
}

#[tokio::test]
async fn a_transaction_that_failed_is_told_with_its_name() {
    let scene = Scene::begin().await;
    let acts = four_acts(&scene).await;
    let (wire, facilitator) = unlucky(&scene, Duration::from_secs(30)).await;
    wire.is(FAILED);
    for (payload, reason) in acts {
        let answer = settle_by(&facilitator, &payload, &scene.terms()).await;
        assert_eq!(answer.error_reason.as_deref(), Some(reason.code()), "{answer:?}");
        assert_eq!(answer.transaction.len(), 66);
    }
}

#[tokio::test]
async fn what_the_node_would_not_take_is_told_with_its_name() {
    use ChannelInvalid as No;
    let scene = Scene::begin().await;
    let acts = four_acts(&scene).await;
    let (wire, facilitator) = unlucky(&scene, Duration::from_secs(30)).await;
    wire.is(REFUSING);
    let reasons =
        [No::DepositSimulation, No::ClaimSimulation, No::SettleSimulation, No::RefundSimulation];
    for ((payload, _), reason) in acts.into_iter().zip(reasons) {
        let answer = settle_by(&facilitator, &payload, &scene.terms()).await;
        assert_eq!(answer.error_reason.as_deref(), Some(reason.code()), "{answer:?}");
        assert!(answer.transaction.is_empty());
    }
}

#[tokio::test]
async fn a_transaction_of_open_fate_is_asked_for_and_not_sent_again() {
    let scene = Scene::begin().await;
    let acts = four_acts(&scene).await;
    let (wire, facilitator) = unlucky(&scene, Duration::from_millis(400)).await;
    let sender = json!([person(0x13).address(), "latest"]);
    for (payload, _) in acts {
        wire.is(MUTE);
        let answer = settle_by(&facilitator, &payload, &scene.terms()).await;
        assert_eq!(answer.error_reason.as_deref(), Some("settlement_pending"), "{answer:?}");
        assert!(!answer.success);
        let open = answer.transaction;
        assert_eq!(open.len(), 66);
        wire.is(WELL);
        let sent = town::rpc(&scene.town, "eth_getTransactionCount", sender.clone()).await;
        let answer = settle_by(&facilitator, &payload, &scene.terms()).await;
        assert!(answer.success, "{answer:?}");
        assert_eq!(answer.transaction, open);
        assert_eq!(town::rpc(&scene.town, "eth_getTransactionCount", sender.clone()).await, sent);
    }
    assert_eq!(scene.money().await, (851_000, 129_000, 20_000));
}

#[tokio::test]
async fn a_chain_that_cannot_be_read_is_no_verdict_on_the_payment() {
    let scene = Scene::begin().await;
    let acts = four_acts(&scene).await;
    let (wire, facilitator) = unlucky(&scene, Duration::from_secs(30)).await;
    wire.is(BLIND);
    let code = Some(ChannelInvalid::ReadFailed.code());
    let terms = scene.terms();
    for (payload, _) in acts {
        let answer = settle_by(&facilitator, &payload, &terms).await;
        assert_eq!(answer.error_reason.as_deref(), code, "{answer:?}");
    }
    for payload in [scene.pay(1, 20_000), scene.deposit(2, 50_000, 2, 5_000)] {
        let verdict = facilitator.verify(&canal::wrap(&payload, &terms), &terms).await.unwrap();
        assert_eq!(verdict.invalid_reason.as_deref(), code, "{verdict:?}");
    }
}
