//! The chart of accounts: what every party's book is made of.
//!
//! One party, one book. Nothing but the chain crosses books: a trade is one entry in the buyer's
//! book and one in the seller's, tied by their reference. Within a book, debits equal credits, and
//! `cash` is what the chain says the party owns.
//!
//! A payment channel has an account of its own in each of the two books, which cannot be
//! overdrawn: what the buyer has prepaid, and what the seller has received and not yet earned.
//!
//! | what happens | in the buyer's book | in the seller's book |
//! |---|---|---|
//! | deposit | prepaid ← cash | escrow ← unearned |
//! | a voucher is charged | purchases ← prepaid | unearned ← sales |
//! | the receiver is paid out | – | cash ← escrow |
//! | refund, withdrawal | cash ← prepaid | unearned ← escrow |
//!
//! (Debit on the left of each arrow.) So `escrow` is what the channels' contract holds for the
//! seller's channels, and `cash` is still what the token says. A payer's escrowed payments lie on
//! its own `escrow` (the table is at the head of `escrow.rs`).
//!
//! A labour market keeps money for those who hire and work there. What a party has there stands on
//! its line `market`, and all of it together on the market's own line `owed`:
//!
//! | what happens | in the party's book | in the market's book |
//! |---|---|---|
//! | deposit | market ← cash | cash ← owed |
//! | deposit by a voucher, from elsewhere | – | unearned ← owed |
//! | a job is paid | purchases ← market; of who worked: market ← sales | of its fee: owed ← sales |
//! | a stake is lost, damages | funding ← market; of who gets it: market ← funding | if it gets it: owed ← funding |
//! | payout | cash ← market | owed ← cash |
//!
//! How much a party may spend there is the market's to say; its line follows.

use std::borrow::Cow;

use ledger::{Account, AccountId, Class, Kind, Limit, Operation, Reference, Transfer, TransferId};
use money::{Amount, Asset, Party, Timestamp};

/// A payment channel, by its name on the chain.
pub type ChannelId = [u8; 32];

/// An account of a book.
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
    /// What contracts hold: for this seller's channels, earned or not; and of this payer's money in
    /// escrowed payments.
    Escrow,
    /// What it has at the labour market: free, at stake, or set aside for jobs.
    Market,
    /// What a labour market owes to those whose money it keeps.
    Owed,
    /// What this buyer has left in a channel; it cannot be overdrawn.
    Prepaid(ChannelId),
    /// What a channel has left to earn for this seller; it cannot be overdrawn.
    Unearned(ChannelId),
}

impl Line {
    /// The lines that every book has, in the order in which a statement shows them.
    pub const ALL: [Line; 7] = [
        Line::Cash,
        Line::Escrow,
        Line::Market,
        Line::Owed,
        Line::Sales,
        Line::Purchases,
        Line::Funding,
    ];

    /// The account's name in the ledger. A channel's has the first 20 bytes of its id: as hard to
    /// meet by chance or force as an address.
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Line::Cash => "cash".into(),
            Line::Sales => "sales".into(),
            Line::Purchases => "purchases".into(),
            Line::Funding => "funding".into(),
            Line::Escrow => "escrow".into(),
            Line::Market => "market".into(),
            Line::Owed => "owed".into(),
            Line::Prepaid(channel) => format!("prepaid/{}", short(&channel)).into(),
            Line::Unearned(channel) => format!("unearned/{}", short(&channel)).into(),
        }
    }

    const fn class(self) -> Class {
        match self {
            Line::Cash | Line::Escrow | Line::Market | Line::Prepaid(_) => Class::Asset,
            Line::Sales => Class::Income,
            Line::Purchases => Class::Expense,
            Line::Funding => Class::Equity,
            Line::Owed | Line::Unearned(_) => Class::Liability,
        }
    }

    const fn limit(self) -> Limit {
        match self {
            Line::Cash | Line::Prepaid(_) => Limit::CreditsMustNotExceedDebits,
            Line::Unearned(_) => Limit::DebitsMustNotExceedCredits,
            Line::Sales
            | Line::Purchases
            | Line::Funding
            | Line::Escrow
            | Line::Market
            | Line::Owed => Limit::None,
        }
    }

    /// The account of this line in a party's book.
    pub fn of(self, book: Party, asset: Asset) -> AccountId {
        AccountId::derive(book, &self.name(), asset)
    }

    /// Opens this line in a party's book. Repeating it changes nothing.
    pub fn open(self, book: Party, asset: Asset) -> Operation {
        Operation::Open(Account::new(book, self.name(), asset, self.class(), self.limit()))
    }
}

fn short(channel: &ChannelId) -> String {
    channel[..20].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Opens a party's book. Repeating it changes nothing.
pub fn open(book: Party, asset: Asset) -> Vec<Operation> {
    Line::ALL.into_iter().map(|line| line.open(book, asset)).collect()
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

/// The entry by which a deposit stands in the seller's book (escrow ← unearned): all that one
/// transaction put into the channel. Whoever sees it first books it, the gate or the bookkeeper.
pub fn deposited_id(channel: &ChannelId, transaction: &[u8; 32]) -> TransferId {
    TransferId::derive("channel/deposited", &[channel, transaction])
}

/// The entry by which a refund or a withdrawal stands in the seller's book (unearned ← escrow): all
/// that one transaction gave back to the payer. Whoever sees it first books it.
pub fn returned_id(channel: &ChannelId, transaction: &[u8; 32]) -> TransferId {
    TransferId::derive("channel/returned", &[channel, transaction])
}
