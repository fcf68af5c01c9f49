//! The chart of accounts: what every party's book is made of.
//!
//! One party, one book. Nothing but the chain crosses books: a trade is one entry in the buyer's
//! book and one in the seller's, tied by their reference. Within a book, debits equal credits, and
//! `cash` is what the chain says the party owns.

use ledger::{Account, AccountId, Class, Kind, Limit, Operation, Reference, Transfer, TransferId};
use money::{Amount, Asset, Party, Timestamp};

/// An account that every book has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line {
    /// What the party owns on the chain; it cannot be overdrawn.
    Cash,
    /// What it earned by its work.
    Sales,
    /// What it spent on the work of others.
    Purchases,
    /// What came in or went out without a trade: funding, gifts, withdrawals.
    Funding,
}

impl Line {
    /// All lines, in the order in which a statement shows them.
    pub const ALL: [Line; 4] = [Line::Cash, Line::Sales, Line::Purchases, Line::Funding];

    /// The account's name in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Line::Cash => "cash",
            Line::Sales => "sales",
            Line::Purchases => "purchases",
            Line::Funding => "funding",
        }
    }

    const fn class(self) -> Class {
        match self {
            Line::Cash => Class::Asset,
            Line::Sales => Class::Income,
            Line::Purchases => Class::Expense,
            Line::Funding => Class::Equity,
        }
    }

    /// The account of this line in a party's book.
    pub fn of(self, book: Party, asset: Asset) -> AccountId {
        AccountId::derive(book, self.name(), asset)
    }
}

/// Opens a party's book. Repeating it changes nothing.
pub fn open(book: Party, asset: Asset) -> Vec<Operation> {
    Line::ALL
        .into_iter()
        .map(|line| {
            let limit = match line {
                Line::Cash => Limit::CreditsMustNotExceedDebits,
                Line::Sales | Line::Purchases | Line::Funding => Limit::None,
            };
            Operation::Open(Account::new(book, line.name(), asset, line.class(), limit))
        })
        .collect()
}

/// An entry between two lines of one book.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name of the entry: the same id twice is the same entry.
    pub id: TransferId,
    /// Whose book.
    pub book: Party,
    /// The line that is debited.
    pub debit: Line,
    /// The line that is credited.
    pub credit: Line,
    /// How much; more than nothing.
    pub amount: Amount,
    /// What it is to the national accounts.
    pub kind: Kind,
    /// The other side of the act.
    pub counterparty: Party,
    /// The economic act that it belongs to.
    pub reference: Reference,
    /// What it is bound to, for example a request's digest; zero if nothing.
    pub digest: [u8; 32],
    /// If set, the entry is a hold until then.
    pub hold_until: Option<Timestamp>,
}

impl Entry {
    /// The transfer that the ledger takes.
    pub fn transfer(self) -> Operation {
        let asset = self.amount.asset();
        Operation::Transfer(Transfer {
            id: self.id,
            debit: self.debit.of(self.book, asset),
            credit: self.credit.of(self.book, asset),
            amount: self.amount,
            kind: self.kind,
            counterparty: Some(self.counterparty),
            reference: self.reference,
            digest: self.digest,
            hold_until: self.hold_until,
        })
    }
}

/// The entry by which a sale stands in the seller's book.
pub fn sale_id(reference: Reference) -> TransferId {
    TransferId::derive("sale", &[reference.as_bytes()])
}

/// The entry by which a purchase stands in the buyer's book.
pub fn purchase_id(reference: Reference) -> TransferId {
    TransferId::derive("purchase", &[reference.as_bytes()])
}
