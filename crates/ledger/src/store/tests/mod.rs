//! What the store promises: nothing acknowledged is lost, nothing is seen too early, and whatever
//! happens to the file is either survived or said.

mod bench;
mod faults;
mod service;
mod simulation;
mod survival;

use std::path::Path;
use std::sync::{Arc, Mutex, RwLock, mpsc};

use money::{Amount, Asset, Clock, Party, Timestamp};
use tokio::sync::broadcast;

use super::journal::{self, Head};
use super::shelf::Shelf;
use super::writer::Writer;
use super::{Evidence, LedgerError, Write};
use crate::{
    Account, Class, Kind, Limit, Operation, Outcome, Reference, State, Transfer, TransferId,
};

/// A writer on the file at `path` without its thread, so that a test decides when it works.
fn writer(path: &Path, clock: Arc<dyn Clock>) -> Result<Writer, LedgerError> {
    let connection = journal::open(path)?;
    let (mut state, mut head) = (State::new(), Head::default());
    journal::replay(&connection, &mut state, &mut head, journal::EVERYTHING)?;
    let mut shelf = Shelf::default();
    journal::fill(&connection, &mut shelf)?;
    Ok(Writer {
        jobs: mpsc::channel().1,
        connection: Arc::new(Mutex::new(connection)),
        state: Arc::new(RwLock::new(state)),
        head: Arc::new(Mutex::new(head)),
        shelf: Arc::new(RwLock::new(shelf)),
        clock,
        committed: broadcast::channel(1).0,
        in_doubt: false,
        log: 0,
    })
}

const ADA: Party = Party::new([0xad; 20]);

fn capital() -> Account {
    Account::new(ADA, "capital", Asset::MUSD, Class::Equity, Limit::None)
}

fn wallet() -> Account {
    Account::new(ADA, "wallet", Asset::MUSD, Class::Asset, Limit::CreditsMustNotExceedDebits)
}

fn open_accounts() -> Write {
    let accounts = vec![Operation::Open(capital()), Operation::Open(wallet())];
    Write::operation(Operation::Linked(accounts))
}

/// The n-th payment into the wallet, of one minor unit, under a reference of its own.
fn income(n: u64) -> Transfer {
    Transfer {
        id: TransferId::derive("test/income", &[&n.to_be_bytes()]),
        debit: wallet().id,
        credit: capital().id,
        amount: Amount::from_minor(Asset::MUSD, 1),
        kind: Kind::Intermediate,
        counterparty: None,
        reference: act(n),
        digest: [0; 32],
        hold_until: None,
    }
}

fn held(n: u64, until: Timestamp) -> Transfer {
    Transfer { hold_until: Some(until), ..income(n) }
}

fn act(n: u64) -> Reference {
    Reference::derive("test/act", &[&n.to_be_bytes()])
}

fn note(n: u64, stage: &str, body: impl Into<Vec<u8>>) -> Evidence {
    let media_type = "text/plain".to_owned();
    Evidence { reference: act(n), stage: stage.to_owned(), media_type, body: body.into() }
}

fn transfer(n: u64) -> Write {
    Write::operation(Operation::Transfer(income(n)))
}

#[track_caller]
fn applied(outcome: Result<Outcome, LedgerError>) {
    assert_eq!(outcome, Ok(Outcome::Applied));
}
