//! What is measured: machines that pay each other, each payment under a reference of its own.

use super::{
    Account, AccountId, Amount, Asset, Class, Kind, Limit, Operation, Party, Reference, Transfer,
    TransferId,
};

/// How many machines there are.
const MACHINES: u64 = 1_000;
/// What each begins with, in minor units.
const ENDOWMENT: i128 = 1_000_000_000_000;

fn party(n: u64) -> Party {
    let mut address = [0; 20];
    address[12..].copy_from_slice(&n.to_be_bytes());
    Party::new(address)
}

fn account(n: u64, name: &str, class: Class, limit: Limit) -> Account {
    Account::new(party(n), name, Asset::MUSD, class, limit)
}

fn wallet(n: u64) -> Account {
    account(n, "wallet", Class::Asset, Limit::CreditsMustNotExceedDebits)
}

fn payment(domain: &str, n: u64, debit: AccountId, credit: AccountId, minor: i128) -> Transfer {
    Transfer {
        id: TransferId::derive(domain, &[&n.to_be_bytes()]),
        debit,
        credit,
        amount: Amount::from_minor(Asset::MUSD, minor),
        kind: Kind::Intermediate,
        counterparty: None,
        reference: Reference::derive(domain, &[&n.to_be_bytes()]),
        digest: [0; 32],
        hold_until: None,
    }
}

/// Opens all accounts and endows them.
pub fn accounts() -> impl Iterator<Item = Operation> {
    (0..MACHINES).flat_map(|n| {
        let capital = account(n, "capital", Class::Equity, Limit::None);
        let endow = payment("bench/endow", n, wallet(n).id, capital.id, ENDOWMENT);
        [Operation::Open(capital), Operation::Open(wallet(n)), Operation::Transfer(endow)]
    })
}

/// `count` payments between them, all different and all covered.
pub fn transfers(count: u64) -> impl Iterator<Item = Operation> {
    let wallets: Vec<AccountId> = (0..MACHINES).map(|n| wallet(n).id).collect();
    (0..count).map(move |n| {
        // A fixed walk without a pattern that caches would like: multiplicative hashing.
        let payer = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let payee = payer + 1 + n % (MACHINES - 1);
        let of = |machine: u64| wallets[usize::try_from(machine % MACHINES).expect("small")];
        Operation::Transfer(payment(
            "bench/pay",
            n,
            of(payee),
            of(payer),
            1 + i128::from(n % 1_000),
        ))
    })
}
