//! What strangers, careless wallets and slow facilitators try on channels at the gate.

mod town;

use payments::channel::ChannelInvalid;
use payments::channel::wire::Units;
use serde_json::{Value, json};
use town::vouchers::{COSTS, Client, corrected};
use town::{Town, musd, person};

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
