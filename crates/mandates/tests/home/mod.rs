//! A home for the tests: an owner, a machine with a filled wallet, books, and a clock.
#![allow(dead_code)] // each test file uses its part

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct as _};
use ledger::{Kind, Ledger, Outcome, Reference, TransferId, Write};
use mandates::books::{Entry, Line};
use mandates::{Key, Mandate, Mandates, Purpose, SignedMandate, Spend};
use money::{Amount, Asset, Clock as _, ManualClock, Party, Timestamp};
use protocol::TransferWithAuthorization;

pub const HOUR: Duration = Duration::from_secs(3600);
pub const PAYEE: Party = Party::new([0x5e; 20]);

/// One in the afternoon, so that a calendar day would end long before a sliding one.
pub const START: Timestamp = Timestamp::from_secs(1_795_000_000);

pub fn cents(minor: i128) -> Amount {
    Amount::from_minor(Asset::MUSD, minor)
}

pub fn owner() -> Key {
    Key::from_secret(&[0x0e; 32]).unwrap()
}

pub fn machine() -> Key {
    Key::from_secret(&[0x3a; 32]).unwrap()
}

pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(START))
}

/// One dollar in all, sixty cents a day, twenty-five cents a payment.
pub fn mandate() -> Mandate {
    Mandate {
        machine: machine().party(),
        owner: owner().party(),
        per_payment: cents(250_000),
        daily: cents(600_000),
        lifetime: cents(1_000_000),
        expires_at: START.plus(HOUR * 24 * 365),
        purpose: Purpose::Production,
        serial: 1,
        unasked: None,
    }
}

pub fn signed(mandate: Mandate) -> SignedMandate {
    SignedMandate::sign(mandate, &owner()).unwrap()
}

/// Books in memory with a machine that has `wallet` and the usual mandate.
pub async fn home(clock: &Arc<ManualClock>, wallet: Amount) -> (Ledger, Mandates) {
    let ledger = Ledger::in_memory(clock.clone());
    let mandates = furnish(&ledger, wallet).await;
    mandates.grant(signed(mandate())).await.unwrap();
    (ledger, mandates)
}

/// Opens a book for the machine and fills its wallet; a second time it changes nothing.
pub async fn furnish(ledger: &Ledger, wallet: Amount) -> Mandates {
    let mandates = Mandates::open(ledger.clone(), &[machine().party()]).unwrap();
    mandates.open_book(machine().party(), Asset::MUSD).await.unwrap();
    if wallet.is_positive() {
        let funding = Entry {
            id: TransferId::derive("test/funding", &[]),
            book: machine().party(),
            debit: Line::Cash,
            credit: Line::Funding,
            amount: wallet,
            kind: Kind::Financial,
            counterparty: owner().party(),
            reference: Reference::NONE,
            digest: [0; 32],
            hold_until: None,
        };
        let outcome = ledger.submit(Write::operation(funding.transfer())).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied | Outcome::Exists), "{outcome:?}");
    }
    mandates
}

pub fn reopen(path: &Path, clock: &Arc<ManualClock>) -> (Ledger, Mandates) {
    let ledger = Ledger::open(path, clock.clone()).unwrap();
    let mandates = Mandates::open(ledger.clone(), &[machine().party()]).unwrap();
    (ledger, mandates)
}

pub fn domain() -> Eip712Domain {
    protocol::embedded_dollar_domain(402_402)
}

/// The `number`th order of the machine, valid for a minute.
pub fn order(number: u64, amount: Amount, now: Timestamp) -> TransferWithAuthorization {
    TransferWithAuthorization {
        from: machine().address(),
        to: Address::from(PAYEE),
        value: U256::try_from(amount.minor()).unwrap_or_default(),
        validAfter: U256::ZERO,
        validBefore: U256::from(now.as_secs() + 60),
        nonce: B256::from(U256::from(number)),
    }
}

pub fn reference(number: u64) -> Reference {
    Reference::derive("test/payment", &[&number.to_be_bytes()])
}

/// The `number`th payment of the machine, held for two years at most.
pub fn spend(number: u64, amount: Amount, clock: &ManualClock) -> Spend {
    Spend {
        machine: machine().party(),
        payee: PAYEE,
        amount,
        reference: reference(number),
        digest: [7; 32],
        order: order(number, amount, clock.now()).eip712_signing_hash(&domain()),
        until: clock.now().plus(HOUR * 24 * 730),
    }
}
