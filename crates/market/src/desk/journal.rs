//! The market's file: a journal that is only ever added to, the rules that it was made under, and
//! documents by their digest.
//!
//! *Format.* A row is a moment and a JSON list of the operations that were applied then, chained to
//! the row before by SHA-256. Refused operations leave no row; where time itself ended something,
//! the list begins with a tick.
//!
//! *Durability.* Write-ahead log with `synchronous=FULL`: a commit returns after its fsync.

use std::collections::BTreeMap;
use std::path::Path;

use money::{Party, Timestamp};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::error::DeskError;
use super::{Document, Moved};
use crate::id::Digest;
use crate::operation::{Operation, Outcome};
use crate::rules::Rules;
use crate::state::State;

/// Marks the file as a market: "MaMk" in ASCII.
const APPLICATION_ID: i64 = 0x4d61_4d6b;
/// The schema that is written, and the latest that is read.
///
/// | version | since it |
/// |---|---|
/// | 1 | operations and documents |
/// | 2 | who has had a document's bytes |
/// | 3 | [`Operation::Qualify`] may stand in the journal, which who knows only version 2 cannot replay |
const SCHEMA_VERSION: i64 = 3;
/// The longest row, in bytes; what a group has beyond it goes into the next row.
const MAX_ROW: usize = 4 << 20;

const SCHEMA: &str = "
    CREATE TABLE journal (
        row INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        operations BLOB NOT NULL,
        chain BLOB NOT NULL
    ) STRICT;
    CREATE TRIGGER journal_keeps BEFORE UPDATE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is only ever added to'); END;
    CREATE TRIGGER journal_stays BEFORE DELETE ON journal
        BEGIN SELECT RAISE(ABORT, 'the journal is only ever added to'); END;
    CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE document (
        digest BLOB PRIMARY KEY,
        at INTEGER NOT NULL,
        author BLOB NOT NULL,
        media_type TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE TRIGGER document_keeps BEFORE UPDATE ON document
        BEGIN SELECT RAISE(ABORT, 'a document never changes'); END;
";

/// Who has had a document's bytes. Since version 2; before, only who handed them in first was known.
const HOLDERS: &str = "
    CREATE TABLE holder (
        digest BLOB NOT NULL,
        party BLOB NOT NULL,
        PRIMARY KEY (digest, party)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO holder (digest, party) SELECT digest, author FROM document;
";

/// Where the journal ends: the last row's number, and the hash over all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    pub(super) row: u64,
    pub(super) chain: [u8; 32],
}

impl Head {
    fn next(self, at: Timestamp, operations: &[u8]) -> Head {
        let mut hash = Sha256::new();
        hash.update(self.chain);
        hash.update(at.as_millis().to_be_bytes());
        hash.update(operations);
        Head { row: self.row + 1, chain: hash.finalize().into() }
    }
}

/// Opens the file for writing and creates what is missing in it.
pub(super) fn open(path: &Path) -> Result<Connection, DeskError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => DeskError::NotAMarket { path: path.to_owned() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            DeskError::InUse { path: path.to_owned() }
        }
        Some(ErrorCode::DiskFull) => DeskError::Full,
        _ => DeskError::Open { path: path.to_owned(), cause: error.to_string() },
    };
    let connection = Connection::open(path).map_err(failed)?;
    prepare(&connection, path, failed)?;
    Ok(connection)
}

/// Opens a market that lives as long as the connection.
pub(super) fn open_in_memory() -> Connection {
    let connection = Connection::open_in_memory().expect("SQLite opens a database in memory");
    prepare(&connection, Path::new(":memory:"), DeskError::from)
        .expect("SQLite sets up a database in memory");
    connection
}

/// Opens a second connection, which can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, DeskError> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    Ok(connection)
}

fn prepare(
    connection: &Connection,
    path: &Path,
    failed: impl Fn(rusqlite::Error) -> DeskError,
) -> Result<(), DeskError> {
    let number = |pragma: &str| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(&failed)
    };
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(&failed)?;
    let fresh = application == 0 && version == 0 && tables == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(DeskError::NotAMarket { path: path.to_owned() });
    }
    if version > SCHEMA_VERSION {
        let (path, known) = (path.to_owned(), SCHEMA_VERSION);
        return Err(DeskError::Newer { path, found: version, known });
    }
    connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .and_then(|()| connection.pragma_update(None, "synchronous", "FULL"))
        .map_err(&failed)?;
    if !fresh && version == SCHEMA_VERSION {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction().map_err(&failed)?;
    transaction
        .execute_batch(if fresh { SCHEMA } else { "" })
        .and_then(|()| transaction.execute_batch(if version < 2 { HOLDERS } else { "" }))
        .and_then(|()| transaction.pragma_update(None, "application_id", APPLICATION_ID))
        .and_then(|()| transaction.pragma_update(None, "user_version", SCHEMA_VERSION))
        .and_then(|()| transaction.commit())
        .map_err(&failed)
}

/// The rules that this market was made under; those handed in if it is made now.
pub(super) fn rules(connection: &Connection, new: Rules) -> Result<Rules, DeskError> {
    let kept: Option<Vec<u8>> = connection
        .query_row("SELECT value FROM setting WHERE name = 'rules'", [], |row| row.get(0))
        .optional()?;
    if let Some(kept) = kept {
        let problem = |error: serde_json::Error| format!("its rules cannot be read: {error}");
        return serde_json::from_slice(&kept)
            .map_err(|error| DeskError::Corrupt { row: 0, problem: problem(error) });
    }
    new.validate().map_err(DeskError::Rules)?;
    let value = serde_json::to_vec(&new).expect("rules are plain numbers and names");
    connection.execute("INSERT INTO setting (name, value) VALUES ('rules', ?1)", params![value])?;
    Ok(new)
}

/// Up to which row everything was entered into books elsewhere.
pub(super) fn booked(connection: &Connection) -> Result<u64, DeskError> {
    let kept: Option<Vec<u8>> = connection
        .query_row("SELECT value FROM setting WHERE name = 'booked'", [], |row| row.get(0))
        .optional()?;
    Ok(kept.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes))
}

/// Notes that everything up to this row was entered into books elsewhere.
pub(super) fn note_booked(connection: &Connection, row: u64) -> Result<(), DeskError> {
    connection
        .prepare_cached(
            "INSERT INTO setting (name, value) VALUES ('booked', ?1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute(params![row.to_be_bytes()])?;
    Ok(())
}

/// Every row there is.
pub(super) const EVERYTHING: u64 = i64::MAX.cast_unsigned();

/// Applies every row after `head` up to row `last` to `state`, and moves `head` along. What each
/// row moved and ended is told to `watch`.
pub(super) fn replay(
    connection: &Connection,
    state: &mut State,
    head: &mut Head,
    last: u64,
    mut watch: impl FnMut(Moved),
) -> Result<(), DeskError> {
    let mut statement = connection.prepare_cached(
        "SELECT row, at, operations, chain FROM journal WHERE row > ?1 AND row <= ?2 ORDER BY row",
    )?;
    let mut rows = statement.query(params![to_sql(head.row), to_sql(last)])?;
    while let Some(row) = rows.next()? {
        let number = from_sql(row.get(0)?);
        let corrupt = |problem: String| DeskError::Corrupt { row: number, problem };
        let at = Timestamp::from_millis(from_sql(row.get(1)?));
        let bytes =
            row.get_ref(2)?.as_blob().map_err(|_| corrupt("its operations are no blob".into()))?;
        let chain = row.get_ref(3)?.as_blob().map_err(|_| corrupt("its hash is no blob".into()))?;
        let next = head.next(at, bytes);
        if number != next.row {
            return Err(corrupt("rows before it are missing".into()));
        }
        if chain != next.chain {
            return Err(corrupt("its hash does not fit".into()));
        }
        if at < state.now() {
            return Err(corrupt("it is earlier than the row before".into()));
        }
        let operations: Vec<Operation> = serde_json::from_slice(bytes)
            .map_err(|error| corrupt(format!("its operations cannot be read: {error}")))?;
        let mut moved = Moved { row: number, at, ..Moved::default() };
        for operation in &operations {
            match state.apply(at, operation, &mut moved.effects) {
                Outcome::Applied => moved.note(state, operation),
                Outcome::Exists => return Err(corrupt("it happened before".into())),
                Outcome::Refused(refusal) => return Err(corrupt(refusal.to_string())),
            }
        }
        *head = next;
        watch(moved);
    }
    Ok(())
}

/// Adds what was applied at one moment, within the caller's transaction. Returns the new head, and
/// how many operations each of the new rows has.
pub(super) fn append<'a>(
    connection: &Connection,
    mut head: Head,
    at: Timestamp,
    operations: impl Iterator<Item = &'a Operation>,
) -> Result<(Head, Vec<usize>), DeskError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO journal (row, at, operations, chain) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let mut sizes = Vec::new();
    let mut text = Vec::new();
    let mut count = 0;
    let mut flush = |text: &mut Vec<u8>, count: &mut usize| -> Result<(), DeskError> {
        text.push(b']');
        head = head.next(at, text);
        insert.execute(params![to_sql(head.row), to_sql(at.as_millis()), &*text, head.chain])?;
        sizes.push(std::mem::take(count));
        text.clear();
        Ok(())
    };
    for operation in operations {
        text.push(if count == 0 { b'[' } else { b',' });
        serde_json::to_writer(&mut text, operation).expect("operations are plain data");
        count += 1;
        if text.len() >= MAX_ROW {
            flush(&mut text, &mut count)?;
        }
    }
    if count > 0 {
        flush(&mut text, &mut count)?;
    }
    Ok((head, sizes))
}

/// How many bytes of documents each party has here; what several hold counts for each.
pub(super) fn kept(connection: &Connection) -> Result<BTreeMap<Party, u64>, DeskError> {
    let mut statement = connection.prepare(
        "SELECT party, sum(length(body)) FROM holder JOIN document USING (digest) GROUP BY party",
    )?;
    let rows =
        statement.query_map([], |row| Ok((Party::new(row.get(0)?), from_sql(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many bytes all documents have.
pub(super) fn stored(connection: &Connection) -> Result<u64, DeskError> {
    let bytes = "SELECT coalesce(sum(length(body)), 0) FROM document";
    Ok(from_sql(connection.query_row(bytes, [], |row| row.get(0))?))
}

/// Keeps a document, once, and notes that its author has it: whether the bytes were new, and whether
/// they were to the author.
pub(super) fn keep(
    connection: &Connection,
    at: Timestamp,
    digest: Digest,
    document: &Document,
) -> Result<(bool, bool), DeskError> {
    let holders = connection
        .prepare_cached("INSERT OR IGNORE INTO holder (digest, party) VALUES (?1, ?2)")?
        .execute(params![digest.as_bytes(), document.author.as_bytes()])?;
    let rows = connection
        .prepare_cached(
            "INSERT OR IGNORE INTO document (digest, at, author, media_type, body) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            digest.as_bytes(),
            to_sql(at.as_millis()),
            document.author.as_bytes(),
            document.media_type,
            document.body
        ])?;
    Ok((rows > 0, holders > 0))
}

/// Whether a party has handed in the bytes of this digest.
pub(super) fn holds(
    connection: &Connection,
    digest: Digest,
    party: Party,
) -> Result<bool, DeskError> {
    let found = connection
        .prepare_cached("SELECT 1 FROM holder WHERE digest = ?1 AND party = ?2")?
        .exists(params![digest.as_bytes(), party.as_bytes()])?;
    Ok(found)
}

/// The document with this digest.
pub(super) fn find(connection: &Connection, digest: Digest) -> Result<Option<Document>, DeskError> {
    let found = connection
        .prepare_cached("SELECT author, media_type, body FROM document WHERE digest = ?1")?
        .query_row(params![digest.as_bytes()], |row| {
            Ok(Document {
                author: Party::new(row.get(0)?),
                media_type: row.get(1)?,
                body: row.get(2)?,
            })
        })
        .optional()?;
    Ok(found)
}

/// How many bytes the document with this digest has; it is not read.
pub(super) fn length(connection: &Connection, digest: Digest) -> Result<Option<u64>, DeskError> {
    let found = connection
        .prepare_cached("SELECT length(body) FROM document WHERE digest = ?1")?
        .query_row(params![digest.as_bytes()], |row| Ok(from_sql(row.get(0)?)))
        .optional()?;
    Ok(found)
}

/// SQLite's integers are signed; the bits are kept, and the order too below 2^63.
fn to_sql(number: u64) -> i64 {
    number.cast_signed()
}

fn from_sql(number: i64) -> u64 {
    number.cast_unsigned()
}
