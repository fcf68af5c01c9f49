//! The journal's bytes read back as they were written, and nothing else is read.

use money::{Amount, Asset, Party, Timestamp};
use proptest::prelude::*;

use super::model::Draw;
use crate::encoding::{Entry, decode, encode, encode_tick};
use crate::{
    Account, AccountId, Class, Kind, Limit, MAX_LINKED, Operation, Reference, Transfer, TransferId,
};

/// An operation that could have been applied, since only such are written.
fn operation() -> impl Strategy<Value = Operation> {
    prop::collection::vec(any::<u8>(), 64)
        .prop_map(|bytes| Draw(&mut bytes.into_iter()).operation())
        .prop_filter("applied", |operation| match operation {
            Operation::Linked(chain) => {
                (1..=MAX_LINKED).contains(&chain.len())
                    && !chain.iter().any(|o| matches!(o, Operation::Linked(_)))
            }
            _ => true,
        })
        .prop_map(|operation| match operation {
            Operation::Linked(chain) => Operation::Linked(chain.into_iter().map(derived).collect()),
            other => derived(other),
        })
}

/// Accounts are only opened under the id that is derived, so it is not written.
fn derived(operation: Operation) -> Operation {
    match operation {
        Operation::Open(a) => Operation::Open(Account {
            closes_at: a.closes_at,
            ..Account::new(a.book, a.name, a.asset, a.class, a.limit)
        }),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn an_entry_reads_back_as_it_was_written(operation in operation()) {
        prop_assert_eq!(decode(&encode(&operation)), Ok(Entry::Operation(operation)));
    }

    #[test]
    fn a_shortened_or_lengthened_entry_is_refused(operation in operation(), cut in any::<prop::sample::Index>()) {
        let mut bytes = encode(&operation);
        let cut = cut.index(bytes.len());
        prop_assert!(decode(&bytes[..cut]).is_err());
        bytes.push(0);
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn whatever_is_read_is_written_the_same_way(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // Arbitrary bytes seldom read; with the version and a tag in front some do.
        for tag in 0..7 {
            let bytes = [&[1, tag], &bytes[..]].concat();
            if let Ok(Entry::Operation(operation)) = decode(&bytes) {
                prop_assert_eq!(encode(&operation), bytes);
            }
        }
    }
}

#[test]
fn a_tick_reads_back_and_a_later_version_does_not() {
    assert_eq!(decode(&encode_tick()), Ok(Entry::Tick));
    assert_eq!(decode(&[2, 0]), Err("entry of version 1 expected"));
    assert_eq!(decode(&[]), Err("more bytes expected"));
}

#[test]
fn the_bytes_of_a_journal_never_change() {
    // Written out by hand from the format in `encoding`'s head; stored journals depend on it.
    let book = Party::new([0xaa; 20]);
    let account = Account::new(book, "w", Asset::MUSD, Class::Asset, Limit::None);
    let (debit, credit) = (AccountId::from_u128(2), AccountId::from_u128(3));
    let transfer = Transfer {
        id: TransferId::from_u128(1),
        debit,
        credit,
        amount: Amount::from_minor(Asset::MUSD, 258),
        kind: Kind::Wage,
        counterparty: Some(book),
        reference: Reference::new([0xbb; 32]),
        digest: [0xcc; 32],
        hold_until: Some(Timestamp::from_millis(0x0102)),
    };
    let chain = Operation::Linked(vec![
        Operation::Open(account.closing_at(Timestamp::from_millis(5))),
        Operation::Transfer(transfer),
        Operation::Post { hold: TransferId::from_u128(1), amount: None },
        Operation::Void { hold: TransferId::from_u128(1) },
    ]);
    let number = |n: u128| format!("{n:032x}");
    let musd = format!("04{}06", "4d555344");
    let written = [
        "01".to_owned(),                                                           // version
        "0504".to_owned(),                                                         // linked: four
        format!("01{}000177{musd}00000100000000000000 05", "aa".repeat(20)),       // open
        format!("02{}{}{}{musd}{}", number(1), number(2), number(3), number(258)), // transfer
        format!("0401{}{}{}010000000000000102", "aa".repeat(20), "bb".repeat(32), "cc".repeat(32)),
        format!("03{}00", number(1)), // post
        format!("04{}", number(1)),   // void
    ];
    let shown: String = encode(&chain).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(shown, written.concat().replace(' ', ""));
}
