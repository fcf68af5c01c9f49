//! What the contract's events tell.

use super::*;

#[tokio::test]
async fn what_happened_is_told_by_events_once_and_in_order() {
    let scene = Scene::begin().await;
    let id = canal::domain().channel_id(&scene.config(1));
    let first = scene.town.block().await;
    scene.settled(&scene.deposit(1, 100_000, 1, 10_000)).await;
    scene.settled(&scene.deposit(2, 7, 2, 7)).await;
    scene.settled(&claim(vec![scene.row(1, 10_000, 9_000)], None)).await;
    scene.settled(&scene.pay_out()).await;
    scene.settled(&scene.refund(1, 90_000, vec![], false).await).await;
    let receiver: Address = seller().into();
    let last = scene.town.block().await;
    let channels = [id, id];
    let events =
        scene.town.chain.channel_events(&channels, &[receiver], first, last).await.unwrap();
    let happened: Vec<_> = events.iter().map(|event| event.what).collect();
    assert_eq!(
        happened,
        [
            Happened::Deposited { channel: id, amount: 100_000 },
            Happened::Claimed { channel: id, amount: 9_000 },
            Happened::PaidOut { receiver, amount: 9_000 },
            Happened::Refunded { channel: id, amount: 90_000 },
        ]
    );
    let none = scene.town.chain.channel_events(&[], &[], first, last).await.unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn a_payers_withdrawal_is_seen_from_its_beginning_to_its_end() {
    use protocol::bindings::x402BatchSettlement as contract;
    let scene = Scene::begin().await;
    let config = scene.config(1);
    let id = canal::domain().channel_id(&config);
    scene.settled(&scene.deposit(1, 100_000, 1, 10_000)).await;
    let config = protocol::channels::ChannelConfig {
        payer: config.payer,
        payerAuthorizer: config.payer_authorizer,
        receiver: config.receiver,
        receiverAuthorizer: config.receiver_authorizer,
        token: config.token,
        withdrawDelay: "900".parse().unwrap(),
        salt: config.salt,
    };
    let first = scene.town.block().await;
    let begin = contract::initiateWithdrawCall { config: config.clone(), amount: 100_000 };
    let here = settlement::channels::CONTRACT;
    town::transact(&scene.town, &scene.payer, here, begin.abi_encode().into()).await;
    let waiting = scene.town.chain.channel(id).await.unwrap().withdrawal.unwrap();
    assert_eq!((waiting.amount, waiting.begun_at), (100_000, town::START.as_secs()));
    // A seller that asks sees it, and claims in time.
    let verdict = scene.verify(&scene.pay(1, 10_000)).await;
    assert_eq!(verdict.extra.unwrap()["withdrawRequestedAt"], town::START.as_secs());
    scene.settled(&claim(vec![scene.row(1, 10_000, 10_000)], None)).await;
    scene.town.clock.advance(Duration::from_secs(canal::DELAY));
    let end = contract::finalizeWithdrawCall { config };
    town::transact(&scene.town, &scene.payer, here, end.abi_encode().into()).await;
    let last = scene.town.block().await;
    let events = scene.town.chain.channel_events(&[id], &[], first + 1, last).await.unwrap();
    let ends_at = town::START.as_secs() + canal::DELAY;
    assert_eq!(
        events.iter().map(|event| event.what).collect::<Vec<_>>(),
        [
            Happened::WithdrawalBegun { channel: id, amount: 100_000, ends_at },
            Happened::Claimed { channel: id, amount: 10_000 },
            Happened::Withdrawn { channel: id, amount: 90_000 },
        ]
    );
    assert_eq!(scene.town.chain.channel(id).await.unwrap().withdrawal, None);
    assert_eq!(scene.money().await, (990_000, 10_000, 0));
}
