//! Files that are not what they should be, and disks that are full.

use std::path::PathBuf;
use std::sync::Arc;

use money::{ManualClock, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{act, applied, note, open_accounts, transfer, writer};
use crate::{Ledger, LedgerError, Outcome, Write};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_secs(1_000)))
}

/// A closed ledger with a few entries.
fn small_ledger() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.sqlite");
    let ledger = Ledger::open(&path, clock()).unwrap();
    applied(ledger.submit_blocking(open_accounts()));
    for n in 0..5 {
        applied(ledger.submit_blocking(transfer(n)));
    }
    (home, path)
}

fn tamper(path: &PathBuf, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("DROP TRIGGER journal_keeps; DROP TRIGGER journal_stays;").unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn a_full_disk_refuses_the_batch_and_loses_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.sqlite");
    let mut store = writer(&path, clock()).unwrap();
    store.commit(&[&open_accounts(), &transfer(1)]).unwrap();
    let limit = |store: &super::Writer, pages: i64| {
        let connection = store.connection.lock().unwrap();
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    };
    limit(&store, 1); // SQLite takes the present size where that is more.
    let before = store.state.read().unwrap().digest();
    let large = transfer(2).with(note(2, "work", vec![7; 100_000]));
    for _ in 0..3 {
        assert_eq!(store.commit(&[&large, &transfer(3)]), Err(LedgerError::Full));
        assert_eq!(store.state.read().unwrap().digest(), before);
    }
    // What is known is still answered, since that needs no space.
    assert_eq!(store.commit(&[&transfer(1)]), Ok(vec![Outcome::Exists]));
    limit(&store, 1 << 20);
    let outcomes = store.commit(&[&large, &transfer(3)]).unwrap();
    assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied]);
    drop(store);
    let ledger = Ledger::open(&path, clock()).unwrap();
    assert_eq!(ledger.read(|state| state.entries().len()), 3);
    assert_eq!(ledger.evidence(act(2)).unwrap()[0].evidence.body.len(), 100_000);
}

#[test]
fn all_who_wait_hear_of_a_full_disk_and_service_goes_on() {
    let ledger = Ledger::in_memory(clock());
    applied(ledger.submit_blocking(open_accounts()));
    let limit = |pages: i64| {
        let connection = ledger.shared.reader.lock().unwrap();
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    };
    limit(1);
    let large = || Write::evidence(vec![note(1, "work", vec![7; 100_000])]);
    assert_eq!(ledger.submit_blocking(large()), Err(LedgerError::Full));
    assert!(LedgerError::Full.can_retry());
    limit(1 << 20);
    applied(ledger.submit_blocking(large()));
    applied(ledger.submit_blocking(transfer(1)));
    ledger.verify().unwrap();
}

#[test]
fn after_a_failure_the_file_is_believed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.sqlite");
    let mut store = writer(&path, clock()).unwrap();
    store.commit(&[&open_accounts()]).unwrap();
    // As if a commit had reported failure and yet been stored.
    let mut other = writer(&path, clock()).unwrap();
    other.commit(&[&transfer(1)]).unwrap();
    store.in_doubt = true;
    let outcomes = store.commit(&[&transfer(1), &transfer(2)]).unwrap();
    assert_eq!(outcomes, [Outcome::Exists, Outcome::Applied]);
}

#[test]
fn a_file_of_something_else_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("notes.txt");
    std::fs::write(&path, "Dear diary, ".repeat(200)).unwrap();
    assert_eq!(Ledger::open(&path, clock()).err(), Some(LedgerError::NotALedger { path }));
    let path = home.path().join("other.sqlite");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert_eq!(Ledger::open(&path, clock()).err(), Some(LedgerError::NotALedger { path }));
}

#[test]
fn a_file_of_a_later_version_is_refused() {
    let (_home, path) = small_ledger();
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    let error = Ledger::open(&path, clock()).err();
    assert_eq!(error, Some(LedgerError::Newer { path, found: 3, known: 2 }));
}

#[test]
fn a_file_of_the_first_version_keeps_its_documents() {
    let (_home, path) = small_ledger();
    let connection = Connection::open(&path).unwrap();
    let old = "DROP TABLE evidence;
        CREATE TABLE evidence (
            row INTEGER PRIMARY KEY, reference BLOB NOT NULL, stage TEXT NOT NULL,
            at INTEGER NOT NULL, media_type TEXT NOT NULL, body BLOB NOT NULL,
            UNIQUE (reference, stage)
        ) STRICT;
        CREATE TRIGGER evidence_keeps BEFORE UPDATE ON evidence
            BEGIN SELECT RAISE(ABORT, 'the evidence is only ever added to'); END;
        CREATE TRIGGER evidence_stays BEFORE DELETE ON evidence
            BEGIN SELECT RAISE(ABORT, 'the evidence is only ever added to'); END;
        PRAGMA user_version = 1;";
    connection.execute_batch(old).unwrap();
    let sql = "INSERT INTO evidence (reference, stage, at, media_type, body) \
               VALUES (?1, ?2, 7, 'text/plain', ?3)";
    for (n, stage) in [(1, "quote"), (2, "quote"), (1, "answer")] {
        let act = act(n);
        let values = rusqlite::params![act.as_bytes(), stage, stage.as_bytes()];
        connection.execute(sql, values).unwrap();
    }
    drop(connection);
    for _ in 0..2 {
        let ledger = Ledger::open(&path, clock()).unwrap();
        let stages: Vec<String> =
            ledger.evidence(act(1)).unwrap().into_iter().map(|d| d.evidence.stage).collect();
        assert_eq!(stages, ["quote", "answer"]);
        assert_eq!(ledger.evidence(act(2)).unwrap()[0].evidence.body, b"quote");
        let again = Write::evidence(vec![note(1, "quote", "quote")]);
        assert_eq!(ledger.submit_blocking(again), Ok(Outcome::Exists));
        ledger.verify().unwrap();
    }
    let connection = Connection::open(&path).unwrap();
    for sql in ["UPDATE evidence SET at = 0", "DELETE FROM evidence"] {
        let error = connection.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("only ever added"), "{error}");
    }
}

#[test]
fn a_document_that_is_missing_is_noticed() {
    let (_home, path) = small_ledger();
    let ledger = Ledger::open(&path, clock()).unwrap();
    for stage in ["quote", "payment", "answer"] {
        applied(ledger.submit_blocking(Write::evidence(vec![note(1, stage, stage)])));
    }
    drop(ledger);
    let tampering = "DROP TRIGGER evidence_stays; DELETE FROM evidence WHERE row = 2;";
    Connection::open(&path).unwrap().execute_batch(tampering).unwrap();
    let error = Ledger::open(&path, clock()).err().unwrap();
    assert!(matches!(error, LedgerError::Corrupt { row: 3, .. }), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("nowhere").join("books.sqlite");
    let error = Ledger::open(&path, clock()).err().unwrap();
    assert!(matches!(&error, LedgerError::Open { .. }), "{error}");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[test]
fn rows_are_only_ever_added() {
    let (_home, path) = small_ledger();
    let connection = Connection::open(&path).unwrap();
    for sql in ["UPDATE journal SET at = 0", "DELETE FROM journal"] {
        let error = connection.execute(sql, []).unwrap_err().to_string();
        assert!(error.contains("only ever added"), "{error}");
    }
}

#[test]
fn a_journal_that_was_changed_is_refused_at_the_first_wrong_row() {
    for (sql, wrong) in [
        ("UPDATE journal SET at = at + 1 WHERE row = 3", 3),
        ("UPDATE journal SET entry = zeroblob(9) WHERE row = 2", 2),
        ("UPDATE journal SET chain = zeroblob(32) WHERE row = 6", 6),
        ("DELETE FROM journal WHERE row = 4", 5),
        ("UPDATE journal SET entry = (SELECT entry FROM journal WHERE row = 2) WHERE row = 3", 3),
        ("UPDATE journal SET chain = 'text' WHERE row = 1", 0),
    ] {
        let (_home, path) = small_ledger();
        if wrong == 0 {
            // The schema is strict: such a change cannot even be made.
            let connection = Connection::open(&path).unwrap();
            connection.execute_batch("DROP TRIGGER journal_keeps").unwrap();
            assert!(connection.execute_batch(sql).is_err());
            continue;
        }
        tamper(&path, sql);
        match Ledger::open(&path, clock()).err() {
            Some(LedgerError::Corrupt { row, .. }) => assert_eq!(row, wrong, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn books_that_have_left_their_journal_are_noticed() {
    let (_home, path) = small_ledger();
    let ledger = Ledger::open(&path, clock()).unwrap();
    ledger.verify().unwrap();
    let operation = transfer(99).operation.unwrap();
    let at = Timestamp::from_secs(1_000);
    let outcome = ledger.shared.state.write().unwrap().apply(at, &operation);
    assert_eq!(outcome, Outcome::Applied);
    assert_eq!(ledger.verify(), Err(LedgerError::Diverged));
}
