//! A chain that fails, is mute, or cannot be read.

use super::*;

/// A way to the chain that fails as it is told.
struct Wire {
    node: chain::Node,
    mode: AtomicU8,
}

const WELL: u8 = 0;
/// A transaction is mined, and nobody is told.
const MUTE: u8 = 1;
/// A transaction is mined and failed, as far as anybody is told.
const FAILED: u8 = 2;
/// Nothing can be read.
const BLIND: u8 = 3;

impl LocalNode for Wire {
    fn request(&self, request: Value) -> Pin<Box<dyn Future<Output = Value> + Send>> {
        let method = request["method"].as_str().unwrap_or_default().to_string();
        let (node, mode) = (self.node.clone(), self.mode.load(Ordering::SeqCst));
        Box::pin(async move {
            if mode == BLIND {
                return json!({ "nonsense": true });
            }
            let mut answer = node.request(request).await;
            if method == "eth_getTransactionReceipt" && mode == MUTE {
                answer["result"] = Value::Null;
            }
            if method.starts_with("eth_sendRawTransaction") {
                match mode {
                    MUTE => std::future::pending().await,
                    FAILED => answer["result"]["status"] = json!("0x0"),
                    _ => {}
                }
            }
            answer
        })
    }
}

/// A facilitator whose chain fails as it is told, by a key of its own.
async fn unlucky(scene: &Scene, wait: Duration) -> (Arc<Wire>, EmbeddedFacilitator) {
    let node = scene.town.node.clone();
    let wire = Arc::new(Wire { node, mode: AtomicU8::new(WELL) });
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
    wire.mode.store(FAILED, Ordering::SeqCst);
    for (payload, reason) in acts {
        let answer = settle_by(&facilitator, &payload, &scene.terms()).await;
        assert_eq!(answer.error_reason.as_deref(), Some(reason.code()), "{answer:?}");
        assert_eq!(answer.transaction.len(), 66);
    }
}

#[tokio::test]
async fn a_transaction_of_open_fate_is_asked_for_and_not_sent_again() {
    let scene = Scene::begin().await;
    let acts = four_acts(&scene).await;
    let (wire, facilitator) = unlucky(&scene, Duration::from_millis(400)).await;
    let sender = json!([person(0x13).address(), "latest"]);
    for (payload, _) in acts {
        wire.mode.store(MUTE, Ordering::SeqCst);
        let answer = settle_by(&facilitator, &payload, &scene.terms()).await;
        assert_eq!(answer.error_reason.as_deref(), Some("settlement_pending"), "{answer:?}");
        assert!(!answer.success);
        let open = answer.transaction;
        assert_eq!(open.len(), 66);
        wire.mode.store(WELL, Ordering::SeqCst);
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
    wire.mode.store(BLIND, Ordering::SeqCst);
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
