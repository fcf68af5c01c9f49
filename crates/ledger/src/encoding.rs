//! The journal's bytes.
//!
//! One entry is a version byte, a tag, and the fields in order of declaration. Integers are
//! big-endian and of fixed width; text and lists come after their length; an option is 0 or 1 and
//! then the value. Reading is strict: an unknown version, tag or word, a value out of bounds and
//! bytes left over are errors, so each entry has exactly one encoding and no future one is misread.

use money::{Amount, Asset, Party, Timestamp};

use crate::account::{Account, Class, Limit, MAX_NAME};
use crate::id::{AccountId, Reference, TransferId};
use crate::operation::{Kind, MAX_LINKED, Operation, Status, Transfer, TransferRecord};

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// What one row of the journal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Time passed and holds expired.
    Tick,
    /// An operation was applied.
    Operation(Operation),
}

const TICK: u8 = 0;
const OPEN: u8 = 1;
const TRANSFER: u8 = 2;
const POST: u8 = 3;
const VOID: u8 = 4;
const LINKED: u8 = 5;

/// A tick's encoding.
pub(crate) fn encode_tick() -> Vec<u8> {
    vec![VERSION, TICK]
}

/// An operation's encoding.
pub(crate) fn encode(operation: &Operation) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    out.push(VERSION);
    put_operation(&mut out, operation);
    out
}

fn put_operation(out: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Open(account) => {
            out.push(OPEN);
            put_account(out, account);
        }
        Operation::Transfer(transfer) => {
            out.push(TRANSFER);
            put_transfer(out, transfer);
        }
        Operation::Post { hold, amount } => {
            out.push(POST);
            out.extend(hold.as_u128().to_be_bytes());
            put_option(out, *amount, put_amount);
        }
        Operation::Void { hold } => {
            out.push(VOID);
            out.extend(hold.as_u128().to_be_bytes());
        }
        Operation::Linked(chain) => {
            out.push(LINKED);
            out.push(u8::try_from(chain.len()).expect("a chain that was applied is short"));
            chain.iter().for_each(|operation| put_operation(out, operation));
        }
    }
}

pub(crate) fn put_account(out: &mut Vec<u8>, account: &Account) {
    out.extend(account.book.as_bytes());
    let name = account.name.as_bytes();
    out.extend(u16::try_from(name.len()).expect("a name that was applied is short").to_be_bytes());
    out.extend(name);
    put_asset(out, account.asset);
    out.push(match account.class {
        Class::Asset => 0,
        Class::Liability => 1,
        Class::Equity => 2,
        Class::Income => 3,
        Class::Expense => 4,
        Class::Memo => 5,
    });
    out.push(match account.limit {
        Limit::None => 0,
        Limit::DebitsMustNotExceedCredits => 1,
        Limit::CreditsMustNotExceedDebits => 2,
    });
    put_option(out, account.closes_at, put_timestamp);
}

fn put_transfer(out: &mut Vec<u8>, transfer: &Transfer) {
    out.extend(transfer.id.as_u128().to_be_bytes());
    out.extend(transfer.debit.as_u128().to_be_bytes());
    out.extend(transfer.credit.as_u128().to_be_bytes());
    put_amount(out, transfer.amount);
    out.push(kind_code(transfer.kind));
    put_option(out, transfer.counterparty, |out, party| out.extend(party.as_bytes()));
    out.extend(transfer.reference.as_bytes());
    out.extend(transfer.digest);
    put_option(out, transfer.hold_until, put_timestamp);
}

/// For the state's digest only; never read back.
pub(crate) fn put_record(out: &mut Vec<u8>, record: &TransferRecord) {
    put_transfer(out, &record.transfer);
    put_timestamp(out, record.at);
    match record.status {
        Status::Posted { at, amount } => {
            out.push(0);
            put_timestamp(out, at);
            put_amount(out, amount);
        }
        Status::Held => out.push(1),
        Status::Voided { at } => {
            out.push(2);
            put_timestamp(out, at);
        }
        Status::Expired { at } => {
            out.push(3);
            put_timestamp(out, at);
        }
    }
}

/// Stored for good: numbers are never given to another kind.
fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::Intermediate => 0,
        Kind::FinalHousehold => 1,
        Kind::FinalCollective => 2,
        Kind::CapitalFormation => 3,
        Kind::Wage => 4,
        Kind::Tax => 5,
        Kind::Subsidy => 6,
        Kind::Interest => 7,
        Kind::Transfer => 8,
        Kind::Financial => 9,
        Kind::Memo => 10,
    }
}

fn put_amount(out: &mut Vec<u8>, amount: Amount) {
    put_asset(out, amount.asset());
    out.extend(amount.minor().to_be_bytes());
}

fn put_asset(out: &mut Vec<u8>, asset: Asset) {
    let code = asset.code().as_bytes();
    out.push(u8::try_from(code.len()).expect("an asset's code is short"));
    out.extend(code);
    out.push(asset.scale());
}

fn put_timestamp(out: &mut Vec<u8>, moment: Timestamp) {
    out.extend(moment.as_millis().to_be_bytes());
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            put(out, value);
        }
    }
}

/// Reads one entry, all of `bytes`; if it cannot, says what was expected.
pub(crate) fn decode(bytes: &[u8]) -> Result<Entry, &'static str> {
    let mut reader = Reader(bytes);
    if reader.byte()? != VERSION {
        return Err("entry of version 1 expected");
    }
    let entry = match reader.0.first() {
        Some(&TICK) => {
            reader.byte()?;
            Entry::Tick
        }
        _ => Entry::Operation(reader.operation(true)?),
    };
    match reader.0 {
        [] => Ok(entry),
        _ => Err("end of entry expected"),
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], &'static str> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("more bytes expected")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or("more bytes expected")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn operation(&mut self, may_be_linked: bool) -> Result<Operation, &'static str> {
        match self.byte()? {
            OPEN => self.account().map(Operation::Open),
            TRANSFER => self.transfer().map(Operation::Transfer),
            POST => Ok(Operation::Post {
                hold: self.transfer_id()?,
                amount: self.option(Reader::amount)?,
            }),
            VOID => Ok(Operation::Void { hold: self.transfer_id()? }),
            LINKED if may_be_linked => {
                let length = usize::from(self.byte()?);
                if length == 0 || length > MAX_LINKED {
                    return Err("chain of 1 to 64 operations expected");
                }
                let chain: Result<_, _> = (0..length).map(|_| self.operation(false)).collect();
                chain.map(Operation::Linked)
            }
            _ => Err("known operation expected"),
        }
    }

    fn account(&mut self) -> Result<Account, &'static str> {
        let book = Party::new(self.array()?);
        let length = usize::from(u16::from_be_bytes(self.array()?));
        if length > 4 * MAX_NAME {
            return Err("name of at most 64 characters expected");
        }
        let name = std::str::from_utf8(self.take(length)?).map_err(|_| "name in UTF-8 expected")?;
        let name = name.to_owned();
        let asset = self.asset()?;
        let class = match self.byte()? {
            0 => Class::Asset,
            1 => Class::Liability,
            2 => Class::Equity,
            3 => Class::Income,
            4 => Class::Expense,
            5 => Class::Memo,
            _ => return Err("known class expected"),
        };
        let limit = match self.byte()? {
            0 => Limit::None,
            1 => Limit::DebitsMustNotExceedCredits,
            2 => Limit::CreditsMustNotExceedDebits,
            _ => return Err("known limit expected"),
        };
        let closes_at = self.option(Reader::timestamp)?;
        Ok(Account { closes_at, ..Account::new(book, name, asset, class, limit) })
    }

    fn transfer(&mut self) -> Result<Transfer, &'static str> {
        Ok(Transfer {
            id: self.transfer_id()?,
            debit: AccountId::from_u128(u128::from_be_bytes(self.array()?)),
            credit: AccountId::from_u128(u128::from_be_bytes(self.array()?)),
            amount: self.amount()?,
            kind: self.kind()?,
            counterparty: self.option(|reader| reader.array().map(Party::new))?,
            reference: Reference::new(self.array()?),
            digest: self.array()?,
            hold_until: self.option(Reader::timestamp)?,
        })
    }

    fn kind(&mut self) -> Result<Kind, &'static str> {
        let code = self.byte()?;
        let mut kinds = Kind::ALL.iter().copied();
        kinds.find(|kind| kind_code(*kind) == code).ok_or("known kind expected")
    }

    fn transfer_id(&mut self) -> Result<TransferId, &'static str> {
        Ok(TransferId::from_u128(u128::from_be_bytes(self.array()?)))
    }

    fn amount(&mut self) -> Result<Amount, &'static str> {
        let asset = self.asset()?;
        Ok(Amount::from_minor(asset, i128::from_be_bytes(self.array()?)))
    }

    fn asset(&mut self) -> Result<Asset, &'static str> {
        let length = usize::from(self.byte()?);
        let code = std::str::from_utf8(self.take(length)?)
            .map_err(|_| "asset code in ASCII expected")?
            .to_owned();
        Asset::try_new(&code, self.byte()?).map_err(|_| "valid asset expected")
    }

    fn timestamp(&mut self) -> Result<Timestamp, &'static str> {
        Ok(Timestamp::from_millis(u64::from_be_bytes(self.array()?)))
    }

    fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, &'static str>,
    ) -> Result<Option<T>, &'static str> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err("0 or 1 expected"),
        }
    }
}
