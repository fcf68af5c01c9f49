//! Payments from channels at the gate: a real chain with the real contract, real books, real HTTP.

use crate::town;

use std::sync::Arc;
use std::time::Duration;

use mandates::books::Line;
use payments::GateLimits;
use payments::channel::wire::Units;
use payments::channel::{ChannelInvalid, Collect, Collected, TillLimits};
use payments::wire::PaymentPayload;
use serde_json::json;
use town::faulty::{Fault, Faulty};
use town::shop::Answer;
use town::vouchers::{COSTS, Client, charged, corrected, keeper, state};
use town::{PRICE, Town, canal, musd, person, seller};

const PRICED: i128 = PRICE as i128;

#[tokio::test]
async fn one_deposit_pays_for_many_requests_and_one_claim_earns_them() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::new(&town, 0x31, 1);
    town.give(client.key.party(), musd(PRICED * 10)).await;

    let first = shop.pay(&client.deposit(&town, 10 * COSTS, COSTS, 7), "job:1").await;
    assert_eq!(first.status, 200, "{}", first.text);
    let receipt = first.receipt.clone().unwrap();
    assert_eq!(receipt.amount, Some((10 * COSTS).to_string()));
    assert!(receipt.transaction.starts_with("0x"));
    for number in 2..=5_u128 {
        let answer = shop.pay(&client.voucher(number * COSTS), &format!("job:{number}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let receipt = answer.receipt.clone().unwrap();
        assert_eq!((receipt.transaction.as_str(), receipt.amount.as_deref()), ("", Some("")));
        assert_eq!(charged(&answer), json!(COSTS.to_string()));
        let total = (number * COSTS).to_string();
        assert_eq!(state(&answer, "chargedCumulativeAmount"), json!(total));
        assert_eq!(state(&answer, "balance"), json!((10 * COSTS).to_string()));
    }
    assert_eq!(town.unearned(&client.config), (5 * PRICED, 0));
    assert_eq!(town.line(seller(), Line::Escrow), (10 * PRICED, 0));
    assert_eq!(town.line(seller(), Line::Sales), (5 * PRICED, 0));

    // Nothing is due yet; on demand, one claim and one payout.
    assert_eq!(shop.gate.collect(Collect::Due).await, Collected::default());
    let collected = shop.gate.collect(Collect::All).await;
    let expected = Collected { channels: 1, claimed: 5 * COSTS, transactions: 2, failed: 0 };
    assert_eq!(collected, expected);
    assert_eq!(town.owns(seller()).await, 5 * PRICED);
    assert_eq!(town.on_chain(&client.config).await.total_claimed, 5 * COSTS);
    assert_eq!(shop.gate.collect(Collect::All).await, Collected::default());

    let next = shop.pay(&client.voucher(6 * COSTS), "job:6").await;
    assert_eq!(next.status, 200, "{}", next.text);
    assert_eq!(state(&next, "totalClaimed"), json!((5 * COSTS).to_string()));
    assert_eq!(shop.work.count(), 6);
}

#[tokio::test]
async fn the_same_voucher_again_gets_the_stored_answer_and_no_second_work() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let payment = client.voucher(COSTS);
    let first = shop.pay(&payment, "job:1").await;
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(shop.pay(&payment, "job:1").await, first);
    // With another request its total no longer follows; the proof comes along.
    let other = shop.pay(&payment, "job:other").await;
    assert_eq!(
        (other.status, other.code().as_str()),
        (402, ChannelInvalid::CumulativeMismatch.code())
    );
    assert_eq!(
        corrected(&other, "channelState", "chargedCumulativeAmount"),
        json!(COSTS.to_string())
    );
    assert_eq!(corrected(&other, "voucherState", "signedMaxClaimable"), json!(COSTS.to_string()));
    assert_eq!(
        corrected(&other, "voucherState", "signature"),
        payment.payload["voucher"]["signature"]
    );
    // Over a restart, too, and a long answer as well as a short one.
    let long = format!("long:{}", "x".repeat(20_000));
    let kept = shop.pay(&client.voucher(2 * COSTS), &long).await;
    assert_eq!(shop.work.count(), 2);
    drop(shop);
    let town = town.crash().await;
    let shop = town.channel_shop().await;
    assert_eq!(shop.pay(&payment, "job:1").await, first);
    assert_eq!(shop.pay(&client.voucher(2 * COSTS), &long).await, kept);
    // Another who knows total and request, and has not the voucher, gets nothing.
    let mut forged = payment.clone();
    forged.payload["voucher"]["signature"] = json!(format!("0x{}", "11".repeat(65)));
    let told = shop.pay(&forged, "job:1").await;
    assert_eq!((told.status, told.code().as_str()), (402, ChannelInvalid::VoucherSignature.code()));
    assert_eq!(shop.work.count(), 0);
    let next = shop.pay(&client.voucher(3 * COSTS), "job:3").await;
    assert_eq!(next.status, 200, "{}", next.text);
    assert_eq!(town.line(seller(), Line::Sales), (3 * PRICED, 0));
}

#[tokio::test]
async fn a_proof_is_told_as_its_buyer_checks_it_whatever_v_its_voucher_came_with() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    assert_eq!(shop.pay(&client.voucher(COSTS), "job:1").await.status, 200);
    // The key is known by now, and v is not compared with the signature any more.
    let good = client.voucher(2 * COSTS);
    let mut other = good.clone();
    let mut signature: alloy_primitives::Bytes =
        serde_json::from_value(good.payload["voucher"]["signature"].clone()).unwrap();
    let mut flipped = signature.to_vec();
    flipped[64] = 55 - flipped[64];
    signature = flipped.into();
    other.payload["voucher"]["signature"] = json!(signature);
    assert_eq!(shop.pay(&other, "job:2").await.status, 200);
    let told = shop.pay(&client.voucher(COSTS), "job:3").await;
    assert_eq!(
        (told.status, told.code().as_str()),
        (402, ChannelInvalid::CumulativeMismatch.code())
    );
    assert_eq!(corrected(&told, "voucherState", "signature"), good.payload["voucher"]["signature"]);
    // And it claims.
    assert_eq!(shop.gate.collect(Collect::All).await.claimed, 2 * COSTS);
}

#[tokio::test]
async fn two_requests_with_one_voucher_at_once_start_one_work() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let payment = client.voucher(COSTS);
    let (one, two, other) =
        tokio::join!(shop.pay(&payment, "wait:1"), shop.pay(&payment, "wait:1"), async {
            shop.work.begins().await;
            // In step, one at a time: whoever comes in between is told so.
            let other = shop.pay(&payment, "job:2").await;
            shop.work.may_end.add_permits(1);
            other
        },);
    assert_eq!(one.status, 200, "{}", one.text);
    assert_eq!(one, two);
    assert_eq!((other.status, other.code().as_str()), (402, ChannelInvalid::Busy.code()));
    assert_eq!(shop.work.count(), 1);
    assert_eq!(town.unearned(&client.config), (9 * PRICED, 0));
}

#[tokio::test]
async fn work_that_fails_costs_nothing_and_leaves_its_voucher() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let payment = client.voucher(COSTS);
    for (body, status) in [("fail:1", 500), ("fail:1", 500), ("no:1", 422), ("panic:1", 502)] {
        let answer = shop.pay(&payment, body).await;
        assert_eq!((answer.status, answer.receipt), (status, None), "{body}");
    }
    assert_eq!(town.unearned(&client.config), (10 * PRICED, 0));
    let good = shop.pay(&payment, "job:1").await;
    assert_eq!(good.status, 200, "{}", good.text);
    assert_eq!(shop.pay(&payment, "job:1").await, good);
    assert_eq!(shop.work.count(), 5);
    drop(shop);
    let town = town.crash().await;
    let shop = town.channel_shop().await;
    assert_eq!(shop.pay(&payment, "job:1").await, good);
    assert_eq!(shop.pay(&client.voucher(2 * COSTS), "job:2").await.status, 200);
    assert_eq!(town.unearned(&client.config), (8 * PRICED, 0));
}

#[tokio::test]
async fn what_was_used_is_charged_and_a_total_may_come_up_twice() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    let mut total = 0;
    for (turn, used) in [COSTS / 4, 0, COSTS, COSTS / 2, 0].into_iter().enumerate() {
        let body = format!("used:{used}:{turn}");
        let answer = shop.pay(&client.voucher(total + COSTS), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        total += used;
        assert_eq!(charged(&answer), json!(used.to_string()));
        assert_eq!(state(&answer, "chargedCumulativeAmount"), json!(total.to_string()));
    }
    let sold = i128::try_from(total).unwrap();
    assert_eq!(town.unearned(&client.config), (10 * PRICED - sold, 0));
    assert_eq!(town.line(seller(), Line::Sales), (sold, 0));
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!((collected.claimed, town.owns(seller()).await), (total, sold));
}

#[tokio::test]
async fn lanes_take_vouchers_in_any_order_at_once() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 20 * COSTS).await;
    let order = [5_u128, 2, 8, 1, 7, 3, 6, 4];
    let bodies: Vec<String> = order.iter().map(|n| format!("wait:{n}")).collect();
    let payments: Vec<PaymentPayload> = order.iter().map(|n| client.ahead(n * COSTS)).collect();
    let paying = payments.iter().zip(&bodies).map(|(payment, body)| shop.pay(payment, body));
    let all_at_once = async {
        for _ in order {
            shop.work.begins().await;
        }
        // All eight are in work. A ninth over a place that is taken is refused; so is one in step.
        let taken = shop.pay(&client.ahead(3 * COSTS + 1), "job:taken").await;
        assert_eq!(taken.code(), ChannelInvalid::CumulativeMismatch.code());
        assert_eq!(
            shop.pay(&client.voucher(COSTS), "job:step").await.code(),
            ChannelInvalid::Busy.code()
        );
        shop.work.may_end.add_permits(order.len());
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(paying), all_at_once);
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(shop.work.count(), order.len());
    assert_eq!(town.unearned(&client.config), (12 * PRICED, 0));
    // Each has its own stored answer, and none is sold twice, over a restart, too.
    drop(shop);
    let town = town.crash().await;
    let shop = town.channel_shop().await;
    for ((payment, body), answer) in payments.iter().zip(&bodies).zip(&answers) {
        assert_eq!(shop.pay(payment, body).await, *answer);
        let other = shop.pay(payment, "job:other").await;
        assert_eq!(other.code(), ChannelInvalid::CumulativeMismatch.code());
    }
    assert_eq!(shop.work.count(), 0);
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!((collected.claimed, collected.transactions), (8 * COSTS, 2));
    // In step goes on where the lanes ended.
    assert_eq!(shop.pay(&client.voucher(9 * COSTS), "job:9").await.status, 200);
}

#[tokio::test]
async fn each_refusal_says_why_starts_no_work_and_leaves_no_trace() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 3 * COSTS).await;
    let stranger = Client::new(&town, 0x32, 1);
    assert_eq!(shop.pay(&client.voucher(COSTS), "job:1").await.status, 200);
    shop.gate.collect(Collect::All).await;
    let before = town.digest();

    let with = |change: &dyn Fn(&mut Client)| {
        let mut other = Client::new(&town, 0x31, 1);
        change(&mut other);
        other.voucher(2 * COSTS)
    };
    let good = client.voucher(2 * COSTS);
    let mut wrong_id = good.clone();
    wrong_id.payload["voucher"]["channelId"] = json!(format!("0x{}", "ab".repeat(32)));
    let mut wrong_salt = good.clone();
    wrong_salt.payload["channelConfig"]["salt"] = json!(format!("0x{}", "cd".repeat(32)));
    let mut forged = good.clone();
    forged.payload["voucher"]["signature"] =
        client.voucher(3 * COSTS).payload["voucher"]["signature"].clone();
    let mut claim = good.clone();
    claim.payload = json!({ "type": "claim", "claims": [] });
    let mut nonsense = good.clone();
    nonsense.payload["voucher"]["maxClaimableAmount"] = json!("-1");
    let poor = Client::funded(&town, 0x33, 1, COSTS - 1).await;
    let cases: Vec<(&str, PaymentPayload, ChannelInvalid)> = vec![
        ("id", wrong_id, ChannelInvalid::ChannelIdMismatch),
        ("salt", wrong_salt, ChannelInvalid::ChannelIdMismatch),
        ("receiver", with(&|c| c.config.receiver = person(9).address()), ChannelInvalid::Receiver),
        (
            "authorizer",
            with(&|c| c.config.receiver_authorizer = person(9).address()),
            ChannelInvalid::ReceiverAuthorizer,
        ),
        ("token", with(&|c| c.config.token = person(9).address()), ChannelInvalid::Token),
        ("delay", with(&|c| c.config.withdraw_delay = 901), ChannelInvalid::WithdrawDelay),
        ("signature", forged, ChannelInvalid::VoucherSignature),
        ("behind", client.voucher(COSTS), ChannelInvalid::CumulativeMismatch),
        ("too far", client.voucher(3 * COSTS), ChannelInvalid::CumulativeMismatch),
        ("nobody's", stranger.voucher(COSTS), ChannelInvalid::ChannelNotFound),
        ("poor", poor.voucher(COSTS), ChannelInvalid::ExceedsBalance),
        ("ahead, taken", client.ahead(COSTS), ChannelInvalid::CumulativeMismatch),
        ("ahead, too much", client.ahead(4 * COSTS), ChannelInvalid::ExceedsBalance),
        ("claim", claim, ChannelInvalid::PayloadType),
        ("nonsense", nonsense, ChannelInvalid::PayloadType),
        ("refund, total", client.refund(2 * COSTS, None), ChannelInvalid::CumulativeMismatch),
        ("refund of nothing", client.refund(COSTS, Some(0)), ChannelInvalid::RefundAmount),
        ("refund, nobody's", stranger.refund(0, None), ChannelInvalid::ChannelNotFound),
    ];
    for (name, payment, reason) in cases {
        let answer = shop.pay(&payment, "job:2").await;
        assert_eq!((answer.status, answer.code().as_str()), (402, reason.code()), "{name}");
        assert!(answer.receipt.is_none(), "{name}");
    }
    assert_eq!(shop.work.count(), 1);
    // No money was moved by any of it.
    assert_eq!(town.line(seller(), Line::Sales), (PRICED, 0));
    assert_ne!(before, [0; 32]);
    assert_eq!(shop.pay(&good, "job:2").await.status, 200);
}

#[tokio::test]
async fn a_withdrawal_is_noticed_claimed_and_not_sold_against() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    assert_eq!(shop.pay(&client.voucher(COSTS), "job:1").await.status, 200);
    canal_withdraw(&town, &client, 8 * COSTS).await;
    // What the chain said before is fresh for a third of the delay, and then asked again.
    town.clock.advance(Duration::from_secs(canal::DELAY / 3 + 1));
    let next = shop.pay(&client.voucher(2 * COSTS), "job:2").await;
    assert_eq!(next.status, 200, "{}", next.text);
    assert_ne!(state(&next, "withdrawRequestedAt"), json!(0));
    let uncovered = shop.pay(&client.voucher(3 * COSTS), "job:3").await;
    assert_eq!(uncovered.code(), ChannelInvalid::ExceedsBalance.code());
    let collected = shop.gate.collect(Collect::Due).await;
    assert_eq!((collected.channels, collected.claimed), (1, 2 * COSTS));
}

#[tokio::test]
async fn a_refund_gives_back_what_was_not_charged_and_starts_no_work() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    assert_eq!(shop.pay(&client.voucher(COSTS), "job:1").await.status, 200);
    let part = shop.pay(&client.refund(COSTS, Some(4 * COSTS)), "ignored").await;
    assert_eq!(part.status, 200, "{}", part.text);
    assert_eq!(part.receipt.clone().unwrap().amount, Some((4 * COSTS).to_string()));
    assert_eq!(charged(&part), json!(null));
    assert_eq!(state(&part, "balance"), json!((6 * COSTS).to_string()));
    assert_eq!(state(&part, "refundNonce"), json!("1"));
    assert_eq!(town.owns(client.key.party()).await, 4 * PRICED);
    assert_eq!(town.unearned(&client.config), (5 * PRICED, 0));
    assert_eq!(town.line(seller(), Line::Escrow), (6 * PRICED, 0));
    assert_eq!(shop.pay(&client.voucher(2 * COSTS), "job:2").await.status, 200);
    let rest = shop.pay(&client.refund(2 * COSTS, None), "ignored").await;
    assert_eq!(rest.status, 200, "{}", rest.text);
    assert_eq!(town.owns(client.key.party()).await, 8 * PRICED);
    assert_eq!(town.unearned(&client.config), (0, 0));
    let empty = shop.pay(&client.refund(2 * COSTS, None), "ignored").await;
    assert_eq!(empty.code(), ChannelInvalid::RefundNoBalance.code());
    let broke = shop.pay(&client.voucher(3 * COSTS), "job:3").await;
    assert_eq!(broke.code(), ChannelInvalid::ExceedsBalance.code());
    assert_eq!(shop.work.count(), 2);
    // What was claimed with the refund waits to be paid out.
    let collected = shop.gate.collect(Collect::All).await;
    assert_eq!(collected, Collected { transactions: 1, ..Collected::default() });
    assert_eq!(town.owns(seller()).await, 2 * PRICED);
}

#[tokio::test]
async fn a_deposit_whose_answer_was_lost_is_made_once() {
    let town = Town::begin().await;
    let shop = town.channel_shop().await;
    let client = Client::new(&town, 0x31, 1);
    town.give(client.key.party(), musd(PRICED * 20)).await;
    let payment = client.deposit(&town, 10 * COSTS, COSTS, 7);
    // It was carried out, and the process ended before the books knew.
    let settled = town.channel_facilitator().settle(&payment, &client.asked).await.unwrap();
    assert!(settled.success, "{settled:?}");
    let answer = shop.pay(&payment, "job:1").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.receipt.clone().unwrap().transaction, settled.transaction);
    assert_eq!(shop.pay(&payment, "job:1").await, answer);
    assert_eq!(town.unearned(&client.config), (9 * PRICED, 0));
    assert_eq!(town.owns(client.key.party()).await, 10 * PRICED);
    // Work that fails after a deposit leaves the deposit, and the payer is told.
    let failed = shop.pay(&client.deposit(&town, 5 * COSTS, 2 * COSTS, 8), "fail:2").await;
    assert_eq!(failed.status, 500);
    assert_eq!(charged(&failed), json!("0"));
    assert_eq!(state(&failed, "balance"), json!((15 * COSTS).to_string()));
    assert_eq!(town.unearned(&client.config), (14 * PRICED, 0));
    assert_eq!(shop.pay(&client.voucher(2 * COSTS), "job:2").await.status, 200);
}

#[tokio::test]
async fn what_a_facilitator_loses_or_leaves_undone_moves_money_once() {
    let town = Town::begin().await;
    let client = Client::new(&town, 0x31, 1);
    town.give(client.key.party(), musd(PRICED * 10)).await;
    let faults = [Fault::FailsBefore, Fault::LostAnswer, Fault::FailsBefore, Fault::LostAnswer];
    let real = Arc::new(canal::facilitator(&town, &person(0x77)));
    let faulty = Faulty::new(real, &faults);
    let limits = TillLimits::default();
    let shop = town.channel_shop_with(faulty, GateLimits::default(), limits).await;
    let deposit = client.deposit(&town, 10 * COSTS, COSTS, 7);
    let undone = shop.pay(&deposit, "job:1").await;
    assert_eq!((undone.status, shop.work.count()), (503, 0), "{}", undone.text);
    let done = shop.pay(&deposit, "job:1").await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(town.unearned(&client.config), (9 * PRICED, 0));

    let refund = client.refund(COSTS, Some(2 * COSTS));
    assert_eq!(shop.pay(&refund, "").await.status, 503);
    assert_eq!(town.unearned(&client.config), (9 * PRICED, 2 * PRICED));
    let all = client.refund(COSTS, None);
    let done = shop.pay(&all, "").await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(done.receipt.unwrap().amount, Some((9 * COSTS).to_string()));
    assert_eq!(town.unearned(&client.config), (0, 0));
    assert_eq!(town.owns(client.key.party()).await, 9 * PRICED);
}

#[tokio::test]
async fn many_channels_are_claimed_in_few_transactions() {
    let town = Town::begin().await;
    let limits = TillLimits { claim_rows: 8, claim_amount: 30 * COSTS, ..TillLimits::default() };
    let facilitator = town.channel_facilitator();
    let shop = town.channel_shop_with(facilitator, GateLimits::default(), limits).await;
    let mut clients = Vec::new();
    for salt in 0..20 {
        clients.push(Client::funded(&town, 0x31, salt, 3 * COSTS).await);
    }
    for total in 1..=2 {
        for client in &clients {
            let answer = shop.pay(&client.voucher(total * COSTS), "job").await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        let due = shop.gate.collect(Collect::Due).await;
        let expected = match total {
            1 => Collected::default(),
            _ => Collected { channels: 20, claimed: 40 * COSTS, transactions: 4, failed: 0 },
        };
        assert_eq!(due, expected);
    }
    assert_eq!(town.owns(seller()).await, 40 * PRICED);
    assert_eq!(canal::in_channels(&town).await, 20 * PRICED);
}

#[tokio::test]
async fn a_full_till_makes_room_and_forgets_nothing() {
    let town = Town::begin().await;
    let limits = TillLimits { channels: 4, ..TillLimits::default() };
    let facilitator = town.channel_facilitator();
    let shop = town.channel_shop_with(facilitator, GateLimits::default(), limits).await;
    let mut clients = Vec::new();
    for salt in 0..6 {
        clients.push(Client::funded(&town, 0x31, salt, 3 * COSTS).await);
    }
    for client in &clients[..4] {
        assert_eq!(shop.pay(&client.voucher(COSTS), "job").await.status, 200);
    }
    // All four have something to claim, so none can go.
    assert_eq!(shop.pay(&clients[4].voucher(COSTS), "job").await.status, 503);
    shop.gate.collect(Collect::All).await;
    for client in &clients[4..] {
        assert_eq!(shop.pay(&client.voucher(COSTS), "job").await.status, 200);
    }
    shop.gate.collect(Collect::All).await;
    for client in &clients {
        let answer: Answer = shop.pay(&client.voucher(2 * COSTS), "job").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        shop.gate.collect(Collect::All).await;
    }
    assert_eq!(town.owns(seller()).await, 12 * PRICED);
    assert_eq!(Units(0), Units::default());
    assert_ne!(keeper().address(), person(1).address());
}

/// The payer asks for money back, by the contract itself.
async fn canal_withdraw(town: &Town, client: &Client, amount: u128) {
    use alloy_sol_types::SolCall as _;
    let c = &client.config;
    let call = protocol::bindings::x402BatchSettlement::initiateWithdrawCall {
        config: protocol::bindings::x402BatchSettlement::ChannelConfig {
            payer: c.payer,
            payerAuthorizer: c.payer_authorizer,
            receiver: c.receiver,
            receiverAuthorizer: c.receiver_authorizer,
            token: c.token,
            withdrawDelay: c.withdraw_delay.to_string().parse().unwrap(),
            salt: c.salt,
        },
        amount,
    };
    let data = call.abi_encode().into();
    town::transact(town, &client.key, settlement::channels::CONTRACT, data).await;
}
