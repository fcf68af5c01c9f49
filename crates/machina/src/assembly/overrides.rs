//! What a reader of the accounts types anew, as entries of the journal.
//!
//! A trade is typed where it is made. Who reads the accounts may know better, and say so with a
//! reason: the trade then counts as another kind, and the accounts show that it does, who said so and
//! why. The trade's own entries stay as they are. An override is an entry of its own, in the book of
//! whoever decides, and moves no money: it is a memo over the trade's amount from the account
//! `typed/KIND` of the kind in force to that of the new one. Like every entry it is in the journal's
//! chain of hashes and is never taken out. What takes it back is another one.
//!
//! | in the entry | is |
//! |---|---|
//! | reference | derived from the document: who, from what, to what, why. The same words are the same act |
//! | digest | the trade's reference |
//! | id | derived from the trade and the override's number, so that there is one of each number |

use ledger::{
    Account, Class, Evidence, Kind, Limit, Operation, Reference, State, Transfer, TransferId, Write,
};
use money::{Amount, Party, Timestamp};
use serde::{Deserialize, Serialize};

/// How the names of the memo accounts begin.
const TYPED: &str = "typed/";
/// Under which stage the document is kept.
pub const STAGE: &str = "override";
/// The longest reason, in characters.
pub const MAX_REASON: usize = 500;
/// How often one trade may be typed anew.
pub const MAX_OVERRIDES: u32 = 1_000;

/// One override, as the journal has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// Which trade.
    pub trade: Reference,
    /// The override's own act, under which its document is kept.
    pub reference: Reference,
    /// In whose book it stands: who decided.
    pub by: Party,
    /// When.
    pub at: Timestamp,
    /// As what the trade counted until then, and counts since.
    pub from: Kind,
    pub to: Kind,
    /// The trade's amount.
    pub amount: Amount,
}

/// What is said once and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// Which trade.
    pub trade: Reference,
    /// The how manieth override of that trade, from 1.
    pub number: u32,
    /// As what it counted.
    pub from: Kind,
    /// As what it shall count.
    pub to: Kind,
    /// Who says so.
    pub by: Party,
    /// Why.
    pub reason: String,
}

impl Document {
    /// The writes that enter it: the accounts, then the entry with its document. Each may have
    /// happened before.
    pub fn writes(&self, amount: Amount) -> Vec<Write> {
        let body = serde_json::to_vec(self).expect("plain words are written");
        let reference = Reference::derive("accounts/override", &[&body]);
        let account = |kind: Kind| {
            let name = format!("{TYPED}{kind}");
            Account::new(self.by, name, amount.asset(), Class::Memo, Limit::None)
        };
        let (from, to) = (account(self.from), account(self.to));
        let entry = Operation::Transfer(Transfer {
            id: id(self.trade, self.number),
            debit: from.id,
            credit: to.id,
            amount,
            kind: Kind::Memo,
            counterparty: None,
            reference,
            digest: *self.trade.as_bytes(),
            hold_until: None,
        });
        let (stage, media_type) = (STAGE.to_string(), "application/json".to_string());
        let document = Evidence { reference, stage, media_type, body };
        vec![
            Operation::Open(from).into(),
            Operation::Open(to).into(),
            Write::operation(entry).with(document),
        ]
    }
}

fn id(trade: Reference, number: u32) -> TransferId {
    TransferId::derive("accounts/override", &[trade.as_bytes(), &number.to_be_bytes()])
}

/// The trade that an act types anew, if it is an override.
pub fn trade_of(state: &State, act: Reference) -> Option<Reference> {
    let records = state.by_reference(act);
    let [record] = records.as_slice() else { return None };
    let trade = Reference::new(record.transfer.digest);
    of(state, trade).iter().any(|one| one.reference == act).then_some(trade)
}

/// All overrides of a trade, in order.
pub fn of(state: &State, trade: Reference) -> Vec<Override> {
    let records = (1..=MAX_OVERRIDES).map_while(|number| state.transfer(&id(trade, number)));
    records
        .filter_map(|record| {
            let transfer = &record.transfer;
            let account = state.account(&transfer.debit)?;
            let kind =
                |id| -> Option<Kind> { state.account(id)?.name.strip_prefix(TYPED)?.parse().ok() };
            Some(Override {
                trade,
                reference: transfer.reference,
                by: account.book,
                at: record.at,
                from: kind(&transfer.debit)?,
                to: kind(&transfer.credit)?,
                amount: transfer.amount,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ledger::{Ledger, Outcome};
    use money::{Asset, ManualClock};

    use super::*;

    fn document(number: u32, from: Kind, to: Kind, reason: &str) -> Document {
        let trade = Reference::new([9; 32]);
        Document { trade, number, from, to, by: Party::new([1; 20]), reason: reason.into() }
    }

    fn enter(ledger: &Ledger, document: &Document) -> Outcome {
        let amount = Amount::from_minor(Asset::MUSD, 10);
        let mut outcomes = ledger.submit_all_blocking(document.writes(amount)).unwrap();
        outcomes.pop().expect("one for each write")
    }

    #[test]
    fn overrides_are_found_in_order_and_each_number_is_taken_once() {
        let ledger = Ledger::in_memory(Arc::new(ManualClock::at(Timestamp::from_secs(7))));
        let trade = Reference::new([9; 32]);
        assert_eq!(ledger.read(|state| of(state, trade)), []);
        let first = document(1, Kind::FinalHousehold, Kind::Intermediate, "it was for the shop");
        let back = document(2, Kind::Intermediate, Kind::FinalHousehold, "it was not");
        assert_eq!(enter(&ledger, &first), Outcome::Applied);
        assert_eq!(enter(&ledger, &first), Outcome::Exists, "the same words twice");
        let rival = document(1, Kind::FinalHousehold, Kind::Transfer, "somebody was faster");
        assert!(matches!(enter(&ledger, &rival), Outcome::Refused(_)));
        assert_eq!(enter(&ledger, &back), Outcome::Applied);
        let found = ledger.read(|state| of(state, trade));
        let kinds: Vec<_> = found.iter().map(|one| (one.from, one.to)).collect();
        assert_eq!(
            kinds,
            [
                (Kind::FinalHousehold, Kind::Intermediate),
                (Kind::Intermediate, Kind::FinalHousehold)
            ]
        );
        for one in &found {
            assert_eq!(ledger.read(|state| trade_of(state, one.reference)), Some(trade));
            let kept = ledger.document(one.reference, STAGE).unwrap().expect("its document");
            let read: Document = serde_json::from_slice(&kept.evidence.body).unwrap();
            assert_eq!(
                (read.trade, read.from, read.to, read.by),
                (trade, one.from, one.to, one.by)
            );
        }
        assert_eq!(ledger.read(|state| trade_of(state, trade)), None, "a trade is no override");
        assert!(ledger.verify().is_ok());
    }
}
