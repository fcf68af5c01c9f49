//! The file: SQLite, its schema, and the hash-chained journal in it.
//!
//! *Format.* Table `journal` has one row for each applied operation, numbered from 1 without gaps:
//! its moment in milliseconds, its bytes (`encoding`), and `chain`, the SHA-256 of the previous
//! row's chain, the moment and the bytes. Refused operations leave no row. Table `evidence` has
//! one row for each act and stage, numbered likewise, and an index from which the [`Shelf`] is
//! read at the start. Rows are only ever added, at the end; triggers refuse anything else.
//!
//! *Versions.* In version 1 the documents had an index by act and stage on the disk; a file of it
//! is brought to version 2 when it is opened.
//!
//! *Durability.* Write-ahead log with `synchronous=FULL`: a commit returns after its sync, which is
//! `fdatasync` on Linux if it was built within this repository (`.cargo/config.toml`), and otherwise
//! `fsync`; on Apple's systems that leaves what the drive still caches to a power failure. The log is moved into the file between two groups, by the writer.

use std::path::Path;

use money::Timestamp;
use rusqlite::{Connection, ErrorCode, Row, params};
use sha2::{Digest, Sha256};

use super::error::LedgerError;
use super::evidence::{Evidence, StoredEvidence};
use super::shelf::Shelf;
use crate::encoding::{self, Entry};
use crate::id::Reference;
use crate::operation::{Operation, Outcome};
use crate::state::State;

/// Marks the file as a ledger: "MaLe" in ASCII.
const APPLICATION_ID: i64 = 0x4d61_4c65;
/// The schema that is written, and the latest that is read.
const SCHEMA_VERSION: i64 = 2;

const JOURNAL_SCHEMA: &str = "
    CREATE TABLE journal (
        row INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        entry BLOB NOT NULL,
        chain BLOB NOT NULL
    ) STRICT;
    CREATE TRIGGER journal_keeps BEFORE UPDATE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is only ever added to'); END;
    CREATE TRIGGER journal_stays BEFORE DELETE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is only ever added to'); END;
";

/// The index holds what the shelf is made of, in the order of the rows: a new entry goes to its
/// end, and reading it does not touch the bodies.
const EVIDENCE_SCHEMA: &str = "
    CREATE TABLE evidence (
        row INTEGER PRIMARY KEY,
        reference BLOB NOT NULL,
        stage TEXT NOT NULL,
        at INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX evidence_places ON evidence (row, reference, stage);
    CREATE TRIGGER evidence_keeps BEFORE UPDATE ON evidence
        BEGIN SELECT RAISE(ABORT, 'evidence is only ever added to'); END;
    CREATE TRIGGER evidence_stays BEFORE DELETE ON evidence
        BEGIN SELECT RAISE(ABORT, 'evidence is only ever added to'); END;
";

/// Version 1 had `UNIQUE (reference, stage)`, whose index cannot be dropped alone.
const FROM_VERSION_1: [&str; 2] = [
    "DROP TRIGGER evidence_keeps;
     DROP TRIGGER evidence_stays;
     ALTER TABLE evidence RENAME TO evidence_1;",
    "INSERT INTO evidence (row, reference, stage, at, media_type, body)
         SELECT row, reference, stage, at, media_type, body FROM evidence_1 ORDER BY row;
     DROP TABLE evidence_1;",
];

/// Where the journal ends: the last row's number, and the hash over all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    pub(super) row: u64,
    pub(super) chain: [u8; 32],
}

impl Head {
    fn next(self, at: Timestamp, entry: &[u8]) -> Head {
        let mut hash = Sha256::new();
        hash.update(self.chain);
        hash.update(at.as_millis().to_be_bytes());
        hash.update(entry);
        Head { row: self.row + 1, chain: hash.finalize().into() }
    }
}

/// Opens the file for writing and creates what is missing in it.
pub(super) fn open(path: &Path) -> Result<Connection, LedgerError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => LedgerError::NotALedger { path: path.to_owned() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            LedgerError::InUse { path: path.to_owned() }
        }
        Some(ErrorCode::DiskFull) => LedgerError::Full,
        _ => LedgerError::Open { path: path.to_owned(), cause: error.to_string() },
    };
    let connection = Connection::open(path).map_err(failed)?;
    prepare(&connection, path, failed)?;
    Ok(connection)
}

/// Opens books that live as long as the connection.
pub(super) fn open_in_memory() -> Connection {
    let path = Path::new(":memory:");
    let connection = Connection::open_in_memory().expect("SQLite opens a database in memory");
    let failed = |error: rusqlite::Error| LedgerError::from(error);
    prepare(&connection, path, failed).expect("SQLite sets up a database in memory");
    connection
}

/// Opens a second connection, which can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, LedgerError> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

fn prepare(
    connection: &Connection,
    path: &Path,
    failed: impl Fn(rusqlite::Error) -> LedgerError,
) -> Result<(), LedgerError> {
    let number = |pragma: &str| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(&failed)
    };
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(&failed)?;
    let fresh = application == 0 && version == 0 && tables == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(LedgerError::NotALedger { path: path.to_owned() });
    }
    if version > SCHEMA_VERSION {
        return Err(LedgerError::Newer {
            path: path.to_owned(),
            found: version,
            known: SCHEMA_VERSION,
        });
    }
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
        .map_err(&failed)?;
    connection.set_prepared_statement_cache_capacity(16);
    let steps: &[&str] = match (fresh, version) {
        (true, _) => &[JOURNAL_SCHEMA, EVIDENCE_SCHEMA],
        (false, 1) => &[FROM_VERSION_1[0], EVIDENCE_SCHEMA, FROM_VERSION_1[1]],
        (false, _) => return Ok(()),
    };
    let transaction = connection.unchecked_transaction().map_err(&failed)?;
    steps
        .iter()
        .try_for_each(|step| transaction.execute_batch(step))
        .and_then(|()| transaction.pragma_update(None, "application_id", APPLICATION_ID))
        .and_then(|()| transaction.pragma_update(None, "user_version", SCHEMA_VERSION))
        .and_then(|()| transaction.commit())
        .map_err(&failed)
}

/// Every row there is.
pub(super) const EVERYTHING: u64 = i64::MAX.cast_unsigned();

/// Applies every row after `head` up to row `last` to `state`, and moves `head` along, so that
/// the two stay together even if a row cannot be read.
pub(super) fn replay(
    connection: &Connection,
    state: &mut State,
    head: &mut Head,
    last: u64,
) -> Result<(), LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT row, at, entry, chain FROM journal WHERE row > ?1 AND row <= ?2 ORDER BY row",
    )?;
    let mut rows = statement.query(params![to_sql(head.row), to_sql(last)])?;
    while let Some(row) = rows.next()? {
        *head = replay_row(row, state, *head)?;
    }
    Ok(())
}

fn replay_row(row: &Row<'_>, state: &mut State, head: Head) -> Result<Head, LedgerError> {
    let number = from_sql(row.get(0)?);
    let corrupt = |problem: &str| LedgerError::Corrupt { row: number, problem: problem.to_owned() };
    let at = Timestamp::from_millis(from_sql(row.get(1)?));
    let bytes = row.get_ref(2)?.as_blob().map_err(|_| corrupt("its entry is no blob"))?;
    let chain = row.get_ref(3)?.as_blob().map_err(|_| corrupt("its hash is no blob"))?;
    let next = head.next(at, bytes);
    if number != next.row {
        return Err(corrupt("rows before it are missing"));
    }
    if chain != next.chain {
        return Err(corrupt("its hash does not fit"));
    }
    if at < state.now() {
        return Err(corrupt("it is earlier than the row before"));
    }
    match encoding::decode(bytes).map_err(corrupt)? {
        Entry::Tick => {
            state.expire(at);
        }
        Entry::Operation(operation) => match state.apply(at, &operation) {
            Outcome::Applied => {}
            Outcome::Exists => return Err(corrupt("it happened before")),
            Outcome::Refused(refusal) => return Err(corrupt(&refusal.to_string())),
        },
    }
    Ok(next)
}

/// Adds rows to the journal within the caller's transaction.
pub(super) fn append<'a>(
    connection: &Connection,
    mut head: Head,
    at: Timestamp,
    tick: bool,
    operations: impl Iterator<Item = &'a Operation>,
) -> Result<Head, LedgerError> {
    let mut insert = connection
        .prepare_cached("INSERT INTO journal (row, at, entry, chain) VALUES (?1, ?2, ?3, ?4)")?;
    let tick = tick.then(encoding::encode_tick);
    for entry in tick.into_iter().chain(operations.map(encoding::encode)) {
        head = head.next(at, &entry);
        insert.execute(params![to_sql(head.row), to_sql(at.as_millis()), entry, head.chain])?;
    }
    Ok(head)
}

/// What the store has for an act and a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Same,
    Different,
}

/// Puts the documents that a shelf lacks onto it.
pub(super) fn fill(connection: &Connection, shelf: &mut Shelf) -> Result<(), LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT row, reference, stage FROM evidence INDEXED BY evidence_places \
         WHERE row > ?1 ORDER BY row",
    )?;
    let mut rows = statement.query(params![to_sql(shelf.len())])?;
    while let Some(row) = rows.next()? {
        let number = from_sql(row.get(0)?);
        let corrupt = |problem: &str| {
            let problem = format!("as a document: {problem}");
            LedgerError::Corrupt { row: number, problem }
        };
        if number != shelf.len() + 1 {
            return Err(corrupt("documents before it are missing"));
        }
        let reference = row.get_ref(1)?.as_blob().ok().and_then(|blob| blob.try_into().ok());
        let reference = reference.ok_or_else(|| corrupt("its act has no name of 32 bytes"))?;
        let stage = row.get_ref(2)?.as_str().map_err(|_| corrupt("its stage is no text"))?;
        shelf.add(Reference::new(reference), stage);
    }
    Ok(())
}

/// Compares a piece of evidence with what is stored.
pub(super) fn find_evidence(
    connection: &Connection,
    shelf: &Shelf,
    evidence: &Evidence,
) -> Result<Found, LedgerError> {
    let Some(row) = shelf.find(evidence) else { return Ok(Found::Nothing) };
    let same = connection
        .prepare_cached("SELECT media_type = ?2 AND body = ?3 FROM evidence WHERE row = ?1")?
        .query_row(params![to_sql(row), evidence.media_type, evidence.body], |row| row.get(0))?;
    Ok(if same { Found::Same } else { Found::Different })
}

/// Adds a piece of evidence as this row, within the caller's transaction.
pub(super) fn add_evidence(
    connection: &Connection,
    row: u64,
    at: Timestamp,
    evidence: &Evidence,
) -> Result<(), LedgerError> {
    connection
        .prepare_cached(
            "INSERT INTO evidence (row, reference, stage, at, media_type, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            to_sql(row),
            evidence.reference.as_bytes(),
            evidence.stage,
            to_sql(at.as_millis()),
            evidence.media_type,
            evidence.body
        ])?;
    Ok(())
}

/// The documents in these rows, in the same order; all are of one act.
pub(super) fn evidence_in(
    connection: &Connection,
    reference: Reference,
    rows: &[u64],
) -> Result<Vec<StoredEvidence>, LedgerError> {
    let mut statement = connection
        .prepare_cached("SELECT stage, media_type, body, at FROM evidence WHERE row = ?1")?;
    let read = |row: &u64| {
        statement.query_row(params![to_sql(*row)], |row| {
            Ok(StoredEvidence {
                evidence: Evidence {
                    reference,
                    stage: row.get(0)?,
                    media_type: row.get(1)?,
                    body: row.get(2)?,
                },
                at: Timestamp::from_millis(from_sql(row.get(3)?)),
            })
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// SQLite's integers are signed; the bits are kept, and the order too below 2^63.
fn to_sql(number: u64) -> i64 {
    number.cast_signed()
}

fn from_sql(number: i64) -> u64 {
    number.cast_unsigned()
}
