//! What strangers, careless wallets and slow facilitators try on channels at the gate.

use crate::town;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::Address;
use money::Clock as _;
use payments::channel::wire::Units;
use payments::channel::{ChannelInvalid, Collect, Collected, TillLimits};
use payments::{Gate, GateChannels, GateLimits, GateParts, Way};
use serde_json::{Value, json};
use town::faulty::{Fault, Faulty};
use town::shop;
use town::vouchers::{COSTS, Client, corrected, keeper, terms};
use town::{PRICE, Town, canal, musd, person, seller};

/// A channel's configuration is on the chain for all to see, and its newest voucher is worth the
/// whole channel to who asks for a refund with it.
#[tokio::test]
async fn a_stranger_is_told_nothing_of_a_channel() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let paid = shop.pay(&client.voucher(COSTS), "job:1").await;
    assert_eq!(paid.status, 200, "{}", paid.text);

    let mut thief = Client::new(&town, 0x31, 1);
    thief.key = person(0x66);
    town.give(thief.key.party(), musd(10)).await;
    let before = town.digest();
    for total in [0, 1, COSTS, 2 * COSTS, 3 * COSTS, 40 * COSTS] {
        let tries = [
            thief.voucher(total),
            thief.ahead(total),
            thief.refund(total, None),
            thief.deposit(&town, 1, total, 9),
        ];
        for payment in tries {
            for body in ["job:1", "job:2"] {
                let told = shop.pay(&payment, body).await;
                let reason = ChannelInvalid::VoucherSignature.code();
                assert_eq!((told.status, told.code().as_str()), (402, reason), "{payment:?}");
                for part in ["channelState", "voucherState"] {
                    assert_eq!(corrected(&told, part, "signature"), Value::Null);
                }
                assert!(!told.text.contains("signedMaxClaimable"), "{}", told.text);
            }
        }
    }
    assert_eq!((town.digest(), shop.work.count()), (before, 1));
    assert_eq!(town.on_chain(&client.config).await.balance, 10 * COSTS);

    // A payer that lost its state signs a guess and is told all.
    let lost = shop.pay(&client.voucher(7 * COSTS), "job:2").await;
    assert_eq!(corrected(&lost, "voucherState", "signedMaxClaimable"), json!(Units(COSTS)));
    assert_eq!(shop.pay(&client.voucher(2 * COSTS), "job:2").await.status, 200);
}

/// Later vouchers are judged against a known key, which does not tell whether `v` is right; the
/// contract takes the right one alone.
#[tokio::test]
async fn a_voucher_whose_v_is_wrong_is_claimed_all_the_same() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let turned = |total: u128| {
        let mut payment = client.voucher(total);
        let signature = payment.payload["voucher"]["signature"].as_str().unwrap().to_string();
        let (rest, v) = signature.split_at(signature.len() - 2);
        let other = if v == "1b" { "1c" } else { "1b" };
        payment.payload["voucher"]["signature"] = json!(format!("{rest}{other}"));
        payment
    };
    // The first of a channel, from which the key is learned, must be right.
    let first = shop.pay(&turned(COSTS), "job:1").await;
    assert_eq!(first.code(), ChannelInvalid::VoucherSignature.code());
    assert_eq!(shop.pay(&client.voucher(COSTS), "job:1").await.status, 200);
    for total in 2..=3 {
        let answer = shop.pay(&turned(total * COSTS), "job").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    // Over a restart, too, the claim is made with what the contract takes.
    drop(shop);
    let town = town.crash().await;
    let shop = town.channel_shop().await;
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!((collected.claimed, collected.failed), (3 * COSTS, 0));
    assert_eq!(town.on_chain(&client.config).await.total_claimed, 3 * COSTS);
}

/// A wallet that is a contract could say yes to a voucher at the sale, and no at the claim.
#[tokio::test]
async fn a_channel_without_a_key_buys_nothing() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let mut client = Client::new(&town, 0x31, 1);
    client.config.payer_authorizer = Address::ZERO;
    town.give(client.key.party(), musd(PRICE as i128)).await;
    let before = town.digest();
    let tries = [
        client.voucher(COSTS),
        client.ahead(COSTS),
        client.deposit(&town, COSTS, COSTS, 7),
        client.refund(0, None),
    ];
    for payment in tries {
        let told = shop.pay(&payment, "job:1").await;
        assert_eq!(told.status, 402, "{}", told.text);
        assert_eq!(told.code(), ChannelInvalid::VoucherSignature.code());
        assert!(told.text.contains("payerAuthorizer"), "{}", told.text);
    }
    assert_eq!((town.digest(), shop.work.count()), (before, 0));
}

/// Where a deposit is searched for is what its sender says of its end, for which nobody has signed.
#[tokio::test]
async fn a_deposit_of_long_ago_is_not_searched_for() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let ended = |seconds_ago: u64| {
        let mut payment = client.deposit(&town, 10 * COSTS, COSTS, 1);
        let end = town.clock.now().as_secs() - seconds_ago;
        let by = &mut payment.payload["deposit"]["authorization"]["erc3009Authorization"];
        by["validBefore"] = json!(end.to_string());
        payment
    };
    let before = town.digest();
    let told = shop.pay(&ended(24 * 60 * 60 + 60), "job:1").await;
    assert_eq!((told.status, told.code().as_str()), (402, ChannelInvalid::ValidBefore.code()));
    // By a way that is not offered it is not even looked for.
    let mut other = ended(0);
    other.payload["deposit"]["authorization"] = json!({ "permit2Authorization": {
        "from": client.config.payer,
        "permitted": { "token": client.config.token, "amount": "1" },
        "spender": client.config.payer,
        "nonce": "0",
        "deadline": town.clock.now().as_secs().to_string(),
        "witness": { "channelId": canal::domain().channel_id(&client.config) },
        "signature": "0x",
    } });
    let told = shop.pay(&other, "job:1").await;
    assert_eq!((told.status, told.code().as_str()), (402, ChannelInvalid::Erc3009Required.code()));
    assert_eq!((town.digest(), shop.work.count()), (before, 0));
    // Of an hour ago its answer may have been lost: it is found, and sold on.
    let told = shop.pay(&ended(60 * 60), "job:1").await;
    assert_eq!(told.status, 200, "{}", told.text);
}

/// A panic in the middle of a charge, here of who sorts sales for the accounts, blocks no channel.
#[tokio::test]
async fn a_panic_while_a_voucher_is_charged_leaves_its_channel_open() {
    let town = Town::begin().await;
    let calm = town.gate_parts(town.channel_facilitator());
    let (classify, panics) = (calm.classify.clone(), Arc::new(AtomicBool::new(true)));
    let gate = Gate::new(GateParts {
        classify: Arc::new(move |buyer| match panics.swap(false, Ordering::Relaxed) {
            true => panic!("for the test"),
            false => classify(buyer),
        }),
        channels: Some(GateChannels { keys: vec![keeper()], limits: TillLimits::default() }),
        ..calm
    });
    gate.recover(seller()).await;
    let shop = town
        .open_shop(gate, |url| {
            let mut offer = shop::offer(town.token(), url);
            offer.ways.push(Way::Channel(terms()));
            offer
        })
        .await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let told = shop.pay(&client.voucher(COSTS), "job:1").await;
    assert_eq!(told.status, 503, "{}", told.text);
    for (total, body) in [(COSTS, "job:1"), (2 * COSTS, "job:2")] {
        let paid = shop.pay(&client.voucher(total), body).await;
        assert_eq!(paid.status, 200, "{}", paid.text);
    }
    assert_eq!(town.unearned(&client.config).0, i128::try_from(8 * COSTS).unwrap());
}

/// One claim whose fate is open says nothing against any of its rows.
#[tokio::test]
async fn a_slow_claim_does_not_become_many() {
    let town = Town::begin().await;
    let real = Arc::new(canal::facilitator(&town, &person(0x77)));
    let faulty = Faulty::new(real, &[Fault::FailsBefore; 40]);
    let limits = (GateLimits::default(), TillLimits::default());
    let shop = town.channel_shop_with(faulty.clone(), limits.0, limits.1).await;
    for salt in 0..8 {
        let client = Client::funded(&town, 0x31, salt, COSTS).await;
        assert_eq!(shop.pay(&client.voucher(COSTS), "job").await.status, 200);
    }
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!(collected, Collected { failed: 8, ..Collected::default() });
    assert_eq!(faulty.reached.available_permits(), 1);
}

/// A refund that may still come to the chain is not un-held by asking for a smaller one.
#[tokio::test]
async fn a_refund_under_way_stays_held() {
    let town = Town::begin().await;
    let real = Arc::new(canal::facilitator(&town, &person(0x77)));
    let faulty = Faulty::new(real, &[Fault::FailsBefore; 3]);
    let limits = (GateLimits::default(), TillLimits::default());
    let shop = town.channel_shop_with(faulty, limits.0, limits.1).await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    assert_eq!(shop.pay(&client.voucher(COSTS), "job:1").await.status, 200);
    let price = PRICE as i128;
    for (asked, held) in [(2, 2), (8, 8), (1, 8)] {
        let open = shop.pay(&client.refund(COSTS, Some(asked * COSTS)), "").await;
        assert_eq!(open.status, 503, "{}", open.text);
        assert_eq!(town.unearned(&client.config), (9 * price, held * price), "{asked}");
    }
    assert_eq!(shop.pay(&client.voucher(2 * COSTS), "job:2").await.status, 200);
    let more = shop.pay(&client.voucher(3 * COSTS), "job:3").await;
    assert_eq!(more.code(), ChannelInvalid::ExceedsBalance.code());
    let done = shop.pay(&client.refund(2 * COSTS, Some(COSTS)), "").await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(done.receipt.unwrap().amount, Some((8 * COSTS).to_string()));
    assert_eq!(town.unearned(&client.config), (0, 0));
    assert_eq!(shop.work.count(), 2);
}

/// Anybody can make a channel of one unit. It is in the books with its money, or not at all.
#[tokio::test]
async fn a_poor_channel_of_a_stranger_leaves_the_books_alone() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let poor = Client::funded(&town, 0x31, 1, 1).await;
    let before = town.digest();
    for payment in [poor.voucher(COSTS), poor.ahead(COSTS)] {
        let told = shop.pay(&payment, "job:1").await;
        assert_eq!(told.code(), ChannelInvalid::ExceedsBalance.code());
    }
    assert_eq!((town.digest(), shop.work.count()), (before, 0));
    let rich = Client::funded(&town, 0x32, 1, 3 * COSTS).await;
    assert_eq!(shop.pay(&rich.voucher(COSTS), "no:1").await.status, 422);
    assert_eq!(town.unearned(&rich.config), (3 * PRICE as i128, 0));
}
