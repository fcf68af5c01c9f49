//! Channels under a mandate: a deposit takes its room, a voucher needs its leave, and what comes
//! back gives back what was taken and no more.

mod home;

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolStruct as _;
use home::{HOUR, PAYEE, START, cents, clock, domain, home, machine, mandate, reference, signed};
use ledger::{Ledger, Reference};
use mandates::books::{ChannelId, Line};
use mandates::{
    DepositSpend, Fate, HeldDeposit, Key, Mandate, MandateError, Mandates, Returned, Rule, Spend,
    VoucherSpend,
};
use money::{Amount, Asset, Clock as _, ManualClock, Party};
use protocol::ReceiveWithAuthorization;
use protocol::addresses::{
    ERC3009_DEPOSIT_COLLECTOR, MACHINA_DOLLAR, PERMIT2, PERMIT2_DEPOSIT_COLLECTOR,
};
use protocol::channels::{
    DepositPermit, DepositWitness, TokenPermissions, Voucher, channel_domain, deposit_nonce,
};
use protocol::permit2::{Permit, permit2_domain};

const CHANNEL: ChannelId = [0xc4; 32];
const SALT: u64 = 5;
const PRICE: i128 = 10_000;

/// The voucher for what was charged and `amount`.
fn voucher(mandates: &Mandates, amount: i128, clock: &ManualClock) -> VoucherSpend {
    let book = mandates.channel(machine().party(), Asset::MUSD, CHANNEL).unwrap();
    let cumulative = cents(book.charged.minor() + amount);
    let reference = Reference::derive("test/voucher", &[&cumulative.minor().to_be_bytes()]);
    VoucherSpend {
        machine: machine().party(),
        payee: PAYEE,
        chain_id: 402_402,
        channel: CHANNEL,
        amount: cents(amount),
        cumulative,
        reference,
        attempt: mandates.next_attempt(reference),
        digest: [8; 32],
        until: clock.now().plus(HOUR),
    }
}

fn order(amount: i128, clock: &ManualClock) -> ReceiveWithAuthorization {
    ReceiveWithAuthorization {
        from: machine().address(),
        to: ERC3009_DEPOSIT_COLLECTOR,
        value: U256::try_from(amount).unwrap(),
        validAfter: U256::ZERO,
        validBefore: U256::from(clock.now().as_secs() + 60),
        nonce: deposit_nonce(CHANNEL.into(), U256::from(SALT)),
    }
}

async fn hold(
    mandates: &Mandates,
    number: u64,
    amount: i128,
    clock: &ManualClock,
) -> Result<HeldDeposit, MandateError> {
    let party = machine().party();
    mandates.open_channel(party, Asset::MUSD, CHANNEL, Vec::new()).await.unwrap();
    let spend = Spend {
        machine: party,
        payee: PAYEE,
        amount: cents(amount),
        reference: reference(number),
        digest: [8; 32],
        order: order(amount, clock).eip712_signing_hash(&domain()),
        until: clock.now().plus(HOUR),
    };
    let voucher = voucher(mandates, PRICE, clock);
    mandates.hold_deposit(DepositSpend { spend, voucher }, clock.now(), Vec::new()).await
}

async fn deposit(mandates: &Mandates, number: u64, amount: i128, clock: &ManualClock) {
    let held = hold(mandates, number, amount, clock).await.unwrap();
    let voucher = held.voucher().spend();
    mandates.settle_deposit(reference(number), Some(voucher), Vec::new()).await.unwrap();
    let fate = Fate { hold: voucher.hold_id(), charged: cents(PRICE) };
    mandates.settle_vouchers(&[fate], Vec::new()).await.unwrap();
}

async fn back(mandates: &Mandates, amount: i128, transaction: u8) -> bool {
    let back = Returned {
        book: machine().party(),
        channel: CHANNEL,
        amount: cents(amount),
        reference: Reference::derive("test/back", &[&[transaction]]),
        contract: Party::new([0x40; 20]),
        transaction: [transaction; 32],
    };
    mandates.take_back(back).await.unwrap()
}

fn figures(mandates: &Mandates) -> (i128, i128, i128) {
    let book = mandates.channel(machine().party(), Asset::MUSD, CHANNEL).unwrap();
    (book.balance.minor(), book.charged.minor(), book.held.minor())
}

fn lifetime(mandates: &Mandates) -> i128 {
    mandates.left(machine().party()).unwrap().lifetime.minor()
}

fn cash(ledger: &Ledger) -> i128 {
    let cash = Line::Cash.of(machine().party(), Asset::MUSD);
    ledger.read(|state| state.balance(&cash).unwrap().settled().minor())
}

fn rule(error: MandateError) -> Rule {
    match error {
        MandateError::Refused { rule, .. } => rule,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_deposit_is_held_against_every_limit_and_its_voucher_against_the_cap() {
    let clock = clock();
    let (_, mandates) = home(&clock, cents(550_000)).await;
    // Above the cap for one payment, which is the voucher's.
    deposit(&mandates, 1, 300_000, &clock).await;
    assert_eq!(figures(&mandates), (300_000, PRICE, 0));
    let left = mandates.left(machine().party()).unwrap();
    assert_eq!(
        [left.daily, left.lifetime, left.wallet].map(|a| a.minor()),
        [300_000, 700_000, 250_000]
    );
    assert_eq!(rule(hold(&mandates, 2, 300_001, &clock).await.unwrap_err()), Rule::Daily);
    assert_eq!(rule(hold(&mandates, 2, 250_001, &clock).await.unwrap_err()), Rule::Wallet);
    assert_eq!(figures(&mandates), (300_000, PRICE, 0));

    let small = Mandate { per_payment: cents(PRICE - 1), serial: 2, ..mandate() };
    mandates.grant(signed(small)).await.unwrap();
    assert_eq!(rule(hold(&mandates, 2, 100_000, &clock).await.unwrap_err()), Rule::PerPayment);
    let refused = mandates.hold_voucher(voucher(&mandates, PRICE, &clock), Vec::new()).await;
    assert_eq!(rule(refused.unwrap_err()), Rule::PerPayment);
}

#[tokio::test]
async fn a_voucher_draws_on_what_is_prepaid_and_needs_no_second_room() {
    let clock = clock();
    let (_, mandates) = home(&clock, cents(600_000)).await;
    deposit(&mandates, 1, 50_000, &clock).await;
    let before = lifetime(&mandates);
    for _ in 0..4 {
        let held = mandates.hold_voucher(voucher(&mandates, PRICE, &clock), Vec::new()).await;
        let fate = Fate { hold: held.unwrap().spend().hold_id(), charged: cents(PRICE / 2) };
        mandates.settle_vouchers(&[fate], Vec::new()).await.unwrap();
        // Once more changes nothing.
        mandates.settle_vouchers(&[fate], Vec::new()).await.unwrap();
    }
    assert_eq!(figures(&mandates), (50_000, 30_000, 0));
    assert_eq!(lifetime(&mandates), before);
    let refused = mandates.hold_voucher(voucher(&mandates, 20_001, &clock), Vec::new()).await;
    assert_eq!(rule(refused.unwrap_err()), Rule::Prepaid);
    // Neither without a mandate in force.
    clock.set(START.plus(HOUR * 24 * 366));
    let refused = mandates.hold_voucher(voucher(&mandates, PRICE, &clock), Vec::new()).await;
    assert!(matches!(refused.unwrap_err(), MandateError::Expired { .. }));
}

#[tokio::test]
async fn a_voucher_is_for_what_was_charged_and_its_price_and_for_no_other_sum() {
    let clock = clock();
    let (_, mandates) = home(&clock, cents(600_000)).await;
    deposit(&mandates, 1, 50_000, &clock).await;
    let good = voucher(&mandates, PRICE, &clock);
    for wrong in [
        VoucherSpend { cumulative: cents(2 * PRICE + 1), ..good.clone() },
        VoucherSpend { cumulative: cents(PRICE), ..good.clone() },
        VoucherSpend { amount: cents(0), cumulative: cents(PRICE), ..good.clone() },
        VoucherSpend { amount: cents(-1), cumulative: cents(PRICE - 1), ..good.clone() },
        VoucherSpend { channel: [1; 32], ..good.clone() },
    ] {
        let error = mandates.hold_voucher(wrong, Vec::new()).await.unwrap_err();
        assert!(matches!(error, MandateError::NotHeld { .. }), "{error}");
    }
    let held = mandates.hold_voucher(good.clone(), Vec::new()).await.unwrap();
    let signature = machine().sign_voucher(&held).unwrap();
    let typed = Voucher { channelId: CHANNEL.into(), maxClaimableAmount: 2 * PRICE as u128 };
    let hash = typed.eip712_signing_hash(&channel_domain(402_402));
    assert_eq!(signature.recover_address_from_prehash(&hash).unwrap(), machine().address());
    let other = Key::from_secret(&[9; 32]).unwrap();
    assert!(matches!(other.sign_voucher(&held), Err(MandateError::NotHeld { .. })));
    // For a refund: what was charged, and nothing new.
    let refund = VoucherSpend { amount: cents(0), cumulative: cents(PRICE), ..good.clone() };
    assert!(mandates.charged_voucher(refund.clone()).is_ok());
    assert!(mandates.charged_voucher(good).is_err());
    let more = VoucherSpend { cumulative: cents(PRICE + 1), ..refund };
    assert!(mandates.charged_voucher(more).is_err());
}

#[tokio::test]
async fn a_key_signs_the_held_deposit_and_no_other() {
    let clock = clock();
    let (_, mandates) = home(&clock, cents(600_000)).await;
    let held = hold(&mandates, 1, 50_000, &clock).await.unwrap();
    let (key, salt) = (machine(), U256::from(SALT));
    let good = order(50_000, &clock);
    assert!(key.sign_deposit(&held, &good, salt, &domain()).is_ok());
    let other_channel = deposit_nonce([1; 32].into(), salt);
    for wrong in [
        ReceiveWithAuthorization { to: Address::from(PAYEE), ..good.clone() },
        ReceiveWithAuthorization { value: U256::from(50_001), ..good.clone() },
        ReceiveWithAuthorization { from: Address::from(PAYEE), ..good.clone() },
        ReceiveWithAuthorization { nonce: other_channel, ..good.clone() },
        ReceiveWithAuthorization { validAfter: U256::from(1), ..good.clone() },
        ReceiveWithAuthorization { validBefore: U256::MAX, ..good.clone() },
    ] {
        assert!(key.sign_deposit(&held, &wrong, salt, &domain()).is_err(), "{wrong:?}");
    }
    assert!(key.sign_deposit(&held, &good, U256::from(6), &domain()).is_err());
    let elsewhere = protocol::embedded_dollar_domain(1);
    assert!(key.sign_deposit(&held, &good, salt, &elsewhere).is_err());
    let stranger = Key::from_secret(&[9; 32]).unwrap();
    assert!(stranger.sign_deposit(&held, &good, salt, &domain()).is_err());
}

#[tokio::test]
async fn a_key_signs_the_held_deposit_through_permit2_and_no_other() {
    let clock = clock();
    let (_, mandates) = home(&clock, cents(600_000)).await;
    let good = DepositPermit {
        permitted: TokenPermissions { token: MACHINA_DOLLAR, amount: U256::from(50_000) },
        spender: PERMIT2_DEPOSIT_COLLECTOR,
        nonce: U256::from(SALT),
        deadline: U256::from(clock.now().as_secs() + 60),
        witness: DepositWitness { channelId: CHANNEL.into() },
    };
    let party = machine().party();
    mandates.open_channel(party, Asset::MUSD, CHANNEL, Vec::new()).await.unwrap();
    let voucher = voucher(&mandates, PRICE, &clock);
    let spend = Spend {
        machine: party,
        payee: PAYEE,
        amount: cents(50_000),
        reference: reference(1),
        digest: [8; 32],
        order: good.eip712_signing_hash(&permit2_domain(402_402)),
        until: clock.now().plus(HOUR),
    };
    let deposit = DepositSpend { spend, voucher };
    let held = mandates.hold_deposit(deposit, clock.now(), Vec::new()).await.unwrap();
    let key = machine();
    assert!(key.sign_deposit_permit(&held, &good, 402_402).is_ok());
    let more = TokenPermissions { amount: U256::from(50_001), ..good.permitted.clone() };
    let other = TokenPermissions { token: PAYEE.into(), ..good.permitted.clone() };
    for wrong in [
        DepositPermit { spender: PAYEE.into(), ..good.clone() },
        DepositPermit { permitted: more, ..good.clone() },
        DepositPermit { permitted: other, ..good.clone() },
        DepositPermit { nonce: U256::ZERO, ..good.clone() },
        DepositPermit { deadline: U256::MAX, ..good.clone() },
        DepositPermit { witness: DepositWitness { channelId: [1; 32].into() }, ..good.clone() },
    ] {
        assert!(key.sign_deposit_permit(&held, &wrong, 402_402).is_err(), "{wrong:?}");
    }
    assert!(key.sign_deposit_permit(&held, &good, 1).is_err());
    let stranger = Key::from_secret(&[9; 32]).unwrap();
    assert!(stranger.sign_deposit_permit(&held, &good, 402_402).is_err());
    // The approval that goes along is for Permit2, the same amount, and no longer than the hold.
    let approval = Permit {
        owner: key.address(),
        spender: PERMIT2,
        value: U256::from(50_000),
        nonce: U256::ZERO,
        deadline: good.deadline,
    };
    assert!(key.sign_deposit_approval(&held, &approval, &domain()).is_ok());
    for wrong in [
        Permit { spender: PERMIT2_DEPOSIT_COLLECTOR, ..approval },
        Permit { value: U256::MAX, ..approval },
        Permit { owner: PAYEE.into(), ..approval },
        Permit { deadline: U256::MAX, ..approval },
    ] {
        assert!(key.sign_deposit_approval(&held, &wrong, &domain()).is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn what_comes_back_gives_back_the_room_that_was_taken_and_no_more() {
    let clock = clock();
    let (ledger, mandates) = home(&clock, cents(600_000)).await;
    deposit(&mandates, 1, 100_000, &clock).await;
    deposit(&mandates, 2, 50_000, &clock).await;
    assert_eq!((lifetime(&mandates), cash(&ledger)), (850_000, 450_000));
    assert!(back(&mandates, 60_000, 1).await);
    assert_eq!((lifetime(&mandates), cash(&ledger)), (910_000, 510_000));
    // The same transaction once more is the same return.
    assert!(!back(&mandates, 60_000, 1).await);
    assert_eq!(figures(&mandates), (90_000, 2 * PRICE, 0));
    // More than was ever uncharged: a gift, which is no room.
    assert!(back(&mandates, 90_000, 2).await);
    assert_eq!((lifetime(&mandates), cash(&ledger)), (980_000, 600_000));
    let funding = Line::Funding.of(machine().party(), Asset::MUSD);
    let funded = ledger.read(|s| s.balance(&funding).unwrap().settled().minor());
    assert_eq!(funded, 600_000 + 20_000);
}

#[tokio::test]
async fn what_comes_back_was_not_taken_by_an_open_voucher() {
    let clock = clock();
    let (ledger, mandates) = home(&clock, cents(600_000)).await;
    deposit(&mandates, 1, 50_000, &clock).await;
    let open = voucher(&mandates, PRICE, &clock);
    mandates.hold_voucher(open, Vec::new()).await.unwrap();
    assert_eq!(figures(&mandates), (50_000, PRICE, PRICE));
    // All but a part of it: that part was charged.
    assert!(back(&mandates, 37_000, 1).await);
    assert_eq!(figures(&mandates), (13_000, 13_000, 0));
    assert_eq!(cash(&ledger), 600_000 - 13_000);
}

#[tokio::test]
async fn a_channel_that_the_journal_lost_is_taken_over_as_the_chain_has_it() {
    let clock = clock();
    let (ledger, mandates) = home(&clock, cents(600_000)).await;
    let party = machine().party();
    mandates.open_channel(party, Asset::MUSD, CHANNEL, Vec::new()).await.unwrap();
    let contract = Party::new([0x40; 20]);
    let adopt = |balance, charged| {
        mandates.adopt_channel(party, CHANNEL, cents(balance), cents(charged), contract)
    };
    adopt(100_000, 20_000).await.unwrap();
    adopt(100_000, 20_000).await.unwrap();
    assert_eq!(figures(&mandates), (100_000, 20_000, 0));
    adopt(100_000, 35_000).await.unwrap();
    assert_eq!(figures(&mandates), (100_000, 35_000, 0));
    // It took no room, so it gives none back; the wallet has the money.
    assert!(back(&mandates, 65_000, 1).await);
    assert_eq!((lifetime(&mandates), cash(&ledger)), (1_000_000, 665_000));
    let total: Amount = cents(35_000);
    assert_eq!(mandates.channel(party, Asset::MUSD, CHANNEL).unwrap().charged, total);
}
