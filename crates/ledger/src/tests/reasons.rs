//! The reasons, in their order: a table that walks from the first to the last.

use money::{Amount, Asset, Party, Timestamp};

use crate::{
    Account, AccountId, Class, Kind, Limit, Operation, Outcome, Reason, Reference, Refusal, State,
    Status, Transfer, TransferId,
};

const NOW: Timestamp = Timestamp::from_millis(1_000);
const LATER: Timestamp = Timestamp::from_millis(2_000);
const BOOK: Party = Party::new([7; 20]);

fn musd(minor: i128) -> Amount {
    Amount::from_minor(Asset::MUSD, minor)
}

fn id(n: u128) -> TransferId {
    TransferId::from_u128(n)
}

fn account(name: &str, limit: Limit) -> Account {
    Account::new(BOOK, name, Asset::MUSD, Class::Asset, limit)
}

fn capital() -> Account {
    account("capital", Limit::None)
}

fn wallet() -> Account {
    account("wallet", Limit::CreditsMustNotExceedDebits)
}

fn budget() -> Account {
    account("budget", Limit::DebitsMustNotExceedCredits)
}

fn closing() -> Account {
    account("closing", Limit::None).closing_at(Timestamp::from_millis(500))
}

fn coins() -> Account {
    Account::new(BOOK, "coins", Asset::USDC, Class::Asset, Limit::None)
}

fn transfer(n: u128, debit: &Account, credit: &Account, minor: i128) -> Transfer {
    Transfer {
        id: id(n),
        debit: debit.id,
        credit: credit.id,
        amount: musd(minor),
        kind: Kind::Transfer,
        counterparty: None,
        reference: Reference::NONE,
        digest: [0; 32],
        hold_until: None,
    }
}

fn hold(n: u128, debit: &Account, credit: &Account, minor: i128) -> Transfer {
    Transfer { hold_until: Some(LATER), ..transfer(n, debit, credit, minor) }
}

fn post(n: u128, amount: Option<Amount>) -> Operation {
    Operation::Post { hold: id(n), amount }
}

fn void(n: u128) -> Operation {
    Operation::Void { hold: id(n) }
}

/// Books with a funded wallet (100), an empty budget, a closed account, and:
/// 1 the funding, 2 an open hold of 10, 3 one posted with 4 of 10, 4 one voided, 5 one expired.
fn books() -> State {
    let mut state = State::new();
    let early = Timestamp::from_millis(100);
    let expiring = Transfer { hold_until: Some(NOW), ..transfer(5, &capital(), &wallet(), 10) };
    let steps = [
        Operation::Open(capital()),
        Operation::Open(wallet()),
        Operation::Open(budget()),
        Operation::Open(closing()),
        Operation::Open(coins()),
        Operation::Transfer(transfer(1, &wallet(), &capital(), 100)),
        Operation::Transfer(hold(2, &capital(), &wallet(), 10)),
        Operation::Transfer(hold(3, &capital(), &wallet(), 10)),
        Operation::Transfer(hold(4, &capital(), &wallet(), 10)),
        Operation::Transfer(expiring),
        post(3, Some(musd(4))),
        void(4),
    ];
    for step in &steps {
        assert_eq!(state.apply(early, step), Outcome::Applied, "{step:?}");
    }
    state
}

#[track_caller]
fn refused(operation: &Operation, reason: Reason) {
    refused_at(operation, 0, reason);
}

#[track_caller]
fn refused_at(operation: &Operation, index: usize, reason: Reason) {
    let mut state = books();
    state.expire(NOW);
    let before = state.digest();
    let outcome = state.apply(NOW, operation);
    assert_eq!(outcome, Outcome::Refused(Refusal { index, reason }));
    assert_eq!(state.digest(), before, "a refused operation leaves no trace");
}

#[test]
fn a_chain_is_refused_for_its_shape_before_its_content() {
    let nested = || Operation::Linked(vec![void(99)]);
    refused(&Operation::Linked(vec![]), Reason::ChainLength { length: 0 });
    refused(&Operation::Linked(vec![nested(); 65]), Reason::ChainLength { length: 65 });
    refused_at(&Operation::Linked(vec![void(99), nested()]), 1, Reason::ChainNested);
}

#[test]
fn a_chain_that_happened_in_part_is_refused_and_names_the_part() {
    let new = || Operation::Transfer(transfer(50, &wallet(), &capital(), 1));
    let old = || Operation::Transfer(transfer(1, &wallet(), &capital(), 100));
    refused_at(&Operation::Linked(vec![new(), old()]), 1, Reason::ChainPartlyExists);
    refused_at(&Operation::Linked(vec![old(), new()]), 0, Reason::ChainPartlyExists);
    // The same new thing twice is a chain that repeats itself.
    refused_at(&Operation::Linked(vec![new(), new()]), 1, Reason::ChainPartlyExists);
    let missing = Reason::HoldNotFound { hold: id(99) };
    refused_at(&Operation::Linked(vec![old(), void(99), new()]), 1, missing);
}

#[test]
fn opening_is_checked_in_this_order() {
    let mut account = Account { id: AccountId::from_u128(1), ..wallet() };
    account.name = String::new();
    account.closes_at = Some(NOW);
    account.class = Class::Income;
    let derived = AccountId::derive(BOOK, "", Asset::MUSD);
    refused(
        &Operation::Open(account.clone()),
        Reason::AccountIdMismatch { account: account.id, derived },
    );
    account.id = derived;
    refused(&Operation::Open(account.clone()), Reason::AccountNameInvalid { length: 0 });
    for (name, length) in [("x".repeat(65), 65), ("a\nb".to_owned(), 3)] {
        let account = Account::new(BOOK, name, Asset::MUSD, Class::Asset, Limit::None);
        refused(&Operation::Open(account), Reason::AccountNameInvalid { length });
    }
    let different = |field| Reason::ExistsWithDifferent { id: wallet().id.to_string(), field };
    account = Account { id: wallet().id, name: wallet().name, ..account };
    refused(&Operation::Open(account.clone()), different("class"));
    account.class = Class::Asset;
    account.limit = Limit::None;
    refused(&Operation::Open(account.clone()), different("limit"));
    account.limit = wallet().limit;
    refused(&Operation::Open(account), different("closes_at"));
    let late = Account::new(BOOK, "late", Asset::MUSD, Class::Asset, Limit::None).closing_at(NOW);
    refused(&Operation::Open(late), Reason::AccountMustCloseInFuture { closes_at: NOW, at: NOW });
}

#[test]
fn a_name_may_have_64_characters_of_any_script() {
    let name = "财".repeat(64);
    let account = Account::new(BOOK, name, Asset::MUSD, Class::Asset, Limit::None);
    assert_eq!(books().apply(NOW, &Operation::Open(account)), Outcome::Applied);
}

#[test]
fn a_transfer_is_checked_in_this_order() {
    let nowhere = account("nowhere", Limit::None);
    // Everything is wrong with it; one thing after the other is put right.
    let mut wrong = Transfer {
        id: id(1),
        amount: Amount::from_minor(Asset::new("GOLD", 2), 0),
        hold_until: Some(NOW),
        kind: Kind::Wage,
        counterparty: Some(BOOK),
        reference: Reference::new([1; 32]),
        digest: [1; 32],
        ..transfer(1, &nowhere, &nowhere, 0)
    };
    let original = transfer(1, &wallet(), &capital(), 100);
    let different = |field| Reason::ExistsWithDifferent { id: id(1).to_string(), field };
    let check = |wrong: &Transfer, reason| refused(&Operation::Transfer(wrong.clone()), reason);

    let mut repeated = wrong.clone();
    check(&repeated, different("debit"));
    repeated.debit = original.debit;
    check(&repeated, different("credit"));
    repeated.credit = original.credit;
    check(&repeated, different("amount"));
    repeated.amount = original.amount;
    check(&repeated, different("kind"));
    repeated.kind = original.kind;
    check(&repeated, different("counterparty"));
    repeated.counterparty = original.counterparty;
    check(&repeated, different("reference"));
    repeated.reference = original.reference;
    check(&repeated, different("digest"));
    repeated.digest = original.digest;
    check(&repeated, different("hold_until"));
    repeated.hold_until = original.hold_until;
    assert_eq!(books().apply(NOW, &Operation::Transfer(repeated)), Outcome::Exists);

    wrong.id = id(60);
    check(&wrong, Reason::AmountMustBePositive { amount: wrong.amount });
    wrong.amount = Amount::from_minor(wrong.amount.asset(), -1);
    check(&wrong, Reason::AmountMustBePositive { amount: wrong.amount });
    wrong.amount = Amount::from_minor(wrong.amount.asset(), 1_000);
    check(&wrong, Reason::AccountsMustBeDifferent { account: nowhere.id });
    wrong.debit = account("elsewhere", Limit::None).id;
    check(&wrong, Reason::AccountNotFound { account: wrong.debit });
    wrong.debit = closing().id;
    check(&wrong, Reason::AccountNotFound { account: nowhere.id });
    wrong.credit = coins().id;
    let gold = wrong.amount.asset();
    let assets = |amount, debit, credit| Reason::AssetsMustMatch { amount, debit, credit };
    check(&wrong, assets(gold, Asset::MUSD, Asset::USDC));
    wrong.amount = musd(1_000);
    check(&wrong, assets(Asset::MUSD, Asset::MUSD, Asset::USDC));
    wrong.amount = Amount::from_minor(Asset::USDC, 1_000);
    check(&wrong, assets(Asset::USDC, Asset::MUSD, Asset::USDC));
    wrong.amount = musd(i128::MAX);
    wrong.credit = wallet().id;
    check(&wrong, Reason::HoldMustEndInFuture { until: NOW, at: NOW });
    wrong.hold_until = Some(LATER);
    let closed = Timestamp::from_millis(500);
    check(&wrong, Reason::AccountClosed { account: closing().id, closed_at: closed });
    (wrong.debit, wrong.credit) = (wallet().id, closing().id);
    check(&wrong, Reason::AccountClosed { account: closing().id, closed_at: closed });
    (wrong.debit, wrong.credit) = (budget().id, wallet().id);
    check(&wrong, Reason::Overflow { asset: Asset::MUSD });
    wrong.amount = musd(1_000);
    let limit = |account: &Account, available, asked| Reason::LimitExceeded {
        account: account.id,
        available: musd(available),
        asked: musd(asked),
    };
    check(&wrong, limit(&budget(), 0, 1_000));
    wrong.debit = capital().id;
    // 100 came in, 4 went out, 10 are held; what was voided or expired is back.
    check(&wrong, limit(&wallet(), 86, 1_000));
    wrong.amount = musd(87);
    check(&wrong, limit(&wallet(), 86, 87));
    wrong.amount = musd(86);
    assert_eq!(books().apply(NOW, &Operation::Transfer(wrong)), Outcome::Applied);
}

#[test]
fn a_post_is_checked_in_this_order() {
    let gold = |minor| Amount::from_minor(Asset::USDC, minor);
    refused(&post(99, Some(musd(0))), Reason::HoldNotFound { hold: id(99) });
    refused(&post(1, Some(musd(0))), Reason::TransferIsNoHold { transfer: id(1) });
    let posted = Reason::HoldAlreadyPosted { hold: id(3), posted: musd(4) };
    refused(&post(3, Some(musd(0))), posted.clone());
    refused(&post(3, None), posted);
    let voided = Timestamp::from_millis(100);
    refused(&post(4, Some(musd(0))), Reason::HoldAlreadyVoided { hold: id(4), at: voided });
    refused(&post(5, Some(musd(0))), Reason::HoldExpired { hold: id(5), at: NOW });
    refused(&post(2, Some(gold(0))), Reason::AmountMustBePositive { amount: gold(0) });
    refused(&post(2, Some(gold(11))), Reason::PostInOtherAsset { held: musd(10), asked: gold(11) });
    refused(&post(2, Some(musd(11))), Reason::PostExceedsHold { held: musd(10), asked: musd(11) });
    for amount in [None, Some(musd(10)), Some(musd(1))] {
        assert_eq!(books().apply(NOW, &post(2, amount)), Outcome::Applied);
    }
    assert_eq!(books().apply(NOW, &post(3, Some(musd(4)))), Outcome::Exists);
}

#[test]
fn a_void_is_checked_in_this_order() {
    refused(&void(99), Reason::HoldNotFound { hold: id(99) });
    refused(&void(1), Reason::TransferIsNoHold { transfer: id(1) });
    refused(&void(3), Reason::HoldAlreadyPosted { hold: id(3), posted: musd(4) });
    refused(&void(5), Reason::HoldExpired { hold: id(5), at: NOW });
    assert_eq!(books().apply(NOW, &void(2)), Outcome::Applied);
    assert_eq!(books().apply(NOW, &void(4)), Outcome::Exists);
}

#[test]
fn a_hold_on_an_account_that_has_closed_may_still_be_posted() {
    let mut state = books();
    let early = Timestamp::from_millis(100);
    let held = Operation::Transfer(hold(70, &closing(), &wallet(), 5));
    assert_eq!(state.apply(early, &held), Outcome::Applied);
    assert_eq!(state.apply(NOW, &post(70, None)), Outcome::Applied);
    assert_eq!(state.balance(&closing().id).unwrap().debits_posted, 5);
}

#[test]
fn a_hold_expires_at_its_deadline_not_before_and_says_when() {
    let mut state = books();
    let before = Timestamp::from_millis(LATER.as_millis() - 1);
    assert_eq!(state.expire(before), 1, "the one that was due at {NOW}");
    assert_eq!(state.transfer(&id(2)).unwrap().status, Status::Held);
    assert_eq!(state.expire(Timestamp::from_millis(9_000)), 1);
    let record = state.transfer(&id(2)).unwrap();
    assert_eq!(record.status, Status::Expired { at: LATER });
    assert_eq!(record.posted(), None);
    assert_eq!(state.balance(&wallet().id).unwrap().available(), musd(96));
}

#[test]
fn time_does_not_step_back() {
    let mut state = books();
    state.expire(NOW);
    let late = Operation::Transfer(transfer(80, &closing(), &capital(), 1));
    // At 400 the account was still open, but it is past that now.
    let outcome = state.apply(Timestamp::from_millis(400), &late);
    let closed_at = Timestamp::from_millis(500);
    let reason = Reason::AccountClosed { account: closing().id, closed_at };
    assert_eq!(outcome, Outcome::Refused(Refusal { index: 0, reason }));
    assert_eq!(state.now(), NOW);
}

#[test]
fn a_cap_for_each_payment_is_a_hold_and_a_void_within_the_chain() {
    let cap = account("cap", Limit::DebitsMustNotExceedCredits);
    let mut state = books();
    let grant = transfer(90, &capital(), &cap, 5);
    for step in [Operation::Open(cap.clone()), Operation::Transfer(grant)] {
        assert_eq!(state.apply(NOW, &step), Outcome::Applied);
    }
    let pay = |n: u128, minor| {
        Operation::Linked(vec![
            Operation::Transfer(hold(n, &cap, &capital(), minor)),
            void(n),
            Operation::Transfer(transfer(n + 1, &capital(), &wallet(), minor)),
        ])
    };
    // The cap is never used up, only asked.
    for n in [100, 110, 120] {
        assert_eq!(state.apply(NOW, &pay(n, 5)), Outcome::Applied);
        assert_eq!(state.apply(NOW, &pay(n, 5)), Outcome::Exists);
    }
    let reason = Reason::LimitExceeded { account: cap.id, available: musd(5), asked: musd(6) };
    let outcome = state.apply(NOW, &pay(130, 6));
    assert_eq!(outcome, Outcome::Refused(Refusal { index: 0, reason }));
    assert_eq!(state.transfer(&id(130)), None);
}

#[test]
fn the_last_unit_that_can_be_counted_can_be_moved_and_no_more() {
    let mut state = State::new();
    let other = account("other", Limit::None);
    let all = transfer(1, &capital(), &other, i128::MAX);
    let more = transfer(2, &other, &capital(), 1);
    for step in [Operation::Open(capital()), Operation::Open(other), Operation::Transfer(all)] {
        assert_eq!(state.apply(NOW, &step), Outcome::Applied);
    }
    let reason = Reason::Overflow { asset: Asset::MUSD };
    let outcome = state.apply(NOW, &Operation::Transfer(more));
    assert_eq!(outcome, Outcome::Refused(Refusal { index: 0, reason }));
}

#[test]
fn a_refusal_tells_a_person_what_happened_to_what() {
    let outcome = books().apply(NOW, &Operation::Transfer(transfer(9, &capital(), &wallet(), 999)));
    let refusal = outcome.into_result().unwrap_err().to_string();
    let account = wallet().id;
    assert_eq!(
        refusal,
        format!("0.000999 MUSD was asked of account {account}, which has 0.000086 MUSD available")
    );
}
