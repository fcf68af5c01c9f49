//! Power failures, by the ten thousand.
//!
//! Each history runs the real store on a real file through random groups of writes, under a clock
//! that jumps and steps back. Then the power fails during a group. What the disk could hold at
//! that moment is put together from the files before and after:
//!
//! - *cut*: the log up to some byte, and what stood there before;
//! - *torn*: some of the log's 512-byte sectors, in no order, after a log's new header, which
//!   SQLite syncs before anything else of a log that starts over;
//! - *garbled*: the log up to some byte, and noise after it;
//! - *checkpoint*: all of the log, and some of the pages that a checkpoint was moving;
//! - *after*: everything, when the group had been acknowledged.
//!
//! The books are opened on that and compared with the slow model: they hold all acknowledged
//! groups, and the one in flight as a whole or not at all. Then the history goes on.
//!
//! The seed is printed first. `LEDGER_SIMULATION_SEED=N` replays one history;
//! `LEDGER_SIMULATION_HISTORIES=N` sets how many.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use money::{Clock, ManualClock, Timestamp};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rusqlite::config::DbConfig;

use super::super::evidence::Evidence;
use super::super::journal;
use super::super::writer::Writer;
use super::super::{StoredEvidence, Write};
use super::writer;
use crate::tests::model::{Draw, Model, account};
use crate::{Operation, Outcome, Reason, Reference, Refusal};

const HISTORIES: u64 = 10_000;
const SECTOR: usize = 512;
/// The log's own header, before its first frame (SQLite, "WAL-mode File Format", section 2.1).
const LOG_HEADER: usize = 32;

/// The books as they should be: the slow model, and the evidence.
#[derive(Clone, PartialEq, Eq)]
struct Expected {
    books: Model,
    evidence: BTreeMap<(Reference, String), StoredEvidence>,
}

impl Expected {
    /// Predicts a group's outcomes. Without anything for the journal, time stands still.
    fn commit(&mut self, clock: Timestamp, writes: &[Write]) -> Vec<Outcome> {
        let before = self.books.now;
        let mut rows = self.books.expire(clock.max(before));
        let at = self.books.now;
        let mut outcomes = Vec::new();
        for write in writes {
            let outcome = self.write(at, write);
            rows += usize::from(outcome == Outcome::Applied && write.operation.is_some());
            outcomes.push(outcome);
        }
        if rows == 0 {
            self.books.now = before;
        }
        outcomes
    }

    fn write(&mut self, at: Timestamp, write: &Write) -> Outcome {
        let mut books = self.books.clone();
        let mut outcome = match &write.operation {
            Some(operation) => books.perform(operation),
            None => Outcome::Applied,
        };
        if let Outcome::Refused(_) = outcome {
            return outcome;
        }
        let new: Vec<&Evidence> = write
            .evidence
            .iter()
            .filter(|e| !self.evidence.contains_key(&(e.reference, e.stage.clone())))
            .collect();
        let different = write.evidence.iter().find(|e| {
            let stored = self.evidence.get(&(e.reference, e.stage.clone()));
            stored.is_some_and(|stored| stored.evidence != **e)
        });
        match (different, &outcome) {
            (Some(e), Outcome::Applied) => {
                let (reference, stage) = (e.reference, e.stage.clone());
                let reason = Reason::EvidenceDiffers { reference, stage };
                return Outcome::Refused(Refusal { index: 0, reason });
            }
            _ if write.operation.is_none() && new.is_empty() => outcome = Outcome::Exists,
            _ => {}
        }
        for e in new {
            let stored = StoredEvidence { evidence: e.clone(), at };
            self.evidence.insert((e.reference, e.stage.clone()), stored);
        }
        self.books = books;
        outcome
    }

    fn matches(&self, store: &Writer) -> Result<(), String> {
        self.books.matches(&store.state.read().unwrap())?;
        let connection = store.connection.lock().unwrap();
        let shelf = store.shelf.read().unwrap();
        let mut stored = BTreeMap::new();
        for act in 1..=4 {
            let act = Reference::new([act; 32]);
            for found in journal::evidence_in(&connection, act, &shelf.rows_of(act)).unwrap() {
                let key = (found.evidence.reference, found.evidence.stage.clone());
                stored.insert(key, found);
            }
        }
        match stored == self.evidence {
            true => Ok(()),
            false => Err("the evidence differs".to_owned()),
        }
    }
}

fn draw_write(rng: &mut ChaCha8Rng) -> Write {
    let operation = rng.random_bool(0.9).then(|| {
        let mut bytes = std::iter::repeat_with(|| rng.random::<u8>());
        Draw(&mut bytes).operation()
    });
    let pieces = if operation.is_some() { rng.random_range(0..=1) } else { 1 };
    let evidence = (0..pieces).map(|_| Evidence {
        reference: Reference::new([rng.random_range(1..=4); 32]),
        stage: format!("stage {}", rng.random_range(0..6)),
        media_type: "application/octet-stream".to_owned(),
        // Mostly the same document again; sometimes one of several pages.
        body: match rng.random_range(0..8) {
            0 => vec![rng.random(); rng.random_range(0..20_000)],
            _ => vec![1; 40],
        },
    });
    let evidence = evidence.collect();
    Write { operation, evidence }
}

/// The two files that a power failure leaves behind. The index beside them is rebuilt.
#[derive(Clone, PartialEq, Eq)]
struct Disk {
    database: Vec<u8>,
    log: Vec<u8>,
}

fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

impl Disk {
    fn read(path: &Path) -> Disk {
        Disk {
            database: fs::read(path).unwrap(),
            log: fs::read(log_path(path)).unwrap_or_default(),
        }
    }

    fn write(&self, path: &Path) {
        fs::write(path, &self.database).unwrap();
        fs::write(log_path(path), &self.log).unwrap();
    }
}

/// What the disk may hold when the power fails between `old` and `new`, and whether the group
/// was acknowledged by then.
fn power_failure(rng: &mut ChaCha8Rng, old: &Disk, new: &Disk) -> (Disk, bool) {
    // Where the log changed at all; before that there is nothing in flight.
    let start = old.log.iter().zip(&new.log).take_while(|(a, b)| a == b).count();
    let cut = rng.random_range(start..=new.log.len());
    let in_flight = |log| (Disk { database: old.database.clone(), log }, false);
    match rng.random_range(0..5) {
        0 => {
            let mut log = new.log[..cut].to_vec();
            log.extend(old.log.get(cut..).unwrap_or_default());
            in_flight(log)
        }
        1 => {
            if new.log.len() < LOG_HEADER {
                return in_flight(old.log.clone());
            }
            let mut log = old.log.clone();
            log.resize(log.len().max(new.log.len()), 0);
            for at in (0..new.log.len()).step_by(SECTOR) {
                let sector = at..new.log.len().min(at + SECTOR);
                if rng.random_bool(0.7) {
                    log[sector.clone()].copy_from_slice(&new.log[sector]);
                }
            }
            log[..LOG_HEADER].copy_from_slice(&new.log[..LOG_HEADER]);
            in_flight(log)
        }
        2 => {
            let mut log = new.log[..cut].to_vec();
            log.extend(std::iter::repeat_with(|| rng.random::<u8>()).take(new.log.len() - cut));
            in_flight(log)
        }
        3 => {
            // Pages move only after the log is safe, so the group is complete.
            let mut database = old.database.clone();
            if new.database.len() > database.len() {
                let grown = rng.random_range(database.len()..=new.database.len());
                database.resize(grown, 0);
            }
            for at in (0..database.len()).step_by(SECTOR) {
                let sector = at..database.len().min(at + SECTOR).min(new.database.len());
                if rng.random_bool(0.5) {
                    database[sector.clone()].copy_from_slice(&new.database[sector]);
                }
            }
            (Disk { database, log: new.log.clone() }, true)
        }
        _ => (new.clone(), true),
    }
}

/// Opens the books so that closing them does not tidy up, as a failing machine would not.
fn open(path: &Path, clock: &Arc<ManualClock>, pages: u32) -> Writer {
    let store = writer(path, clock.clone()).expect("the books open after a power failure");
    {
        let connection = store.connection.lock().unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        connection.pragma_update_and_check(None, "wal_autocheckpoint", pages, |_| Ok(())).unwrap();
    }
    store
}

/// What happened in a history, for the reader of the output.
#[derive(Default, Debug)]
struct Tally {
    groups: u64,
    applied: u64,
    failures: u64,
    rolled_back: u64,
    survived: u64,
}

fn run_history(seed: u64, home: &Path, fresh: &Disk, tally: &mut Tally) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1)));
    let mut path = home.join("0.sqlite");
    fresh.write(&path);
    let mut expected = Expected { books: Model::default(), evidence: BTreeMap::new() };
    // Few pages between checkpoints, so that the log starts over often.
    let pages = *[1, 4, 16, 1000].get(rng.random_range(0..4)).unwrap();
    let mut store = open(&path, &clock, pages);
    let opening: Vec<Write> = (0..8).map(|n| Operation::Open(account(n)).into()).collect();
    let mut groups = vec![opening];
    for failure in 1..=rng.random_range(1..=3) {
        groups.extend((0..rng.random_range(1..8)).map(|_| {
            (0..rng.random_range(1..6)).map(|_| draw_write(&mut rng)).collect::<Vec<_>>()
        }));
        let last = groups.len() - 1;
        let (mut old, mut before) = (None, None);
        for (index, group) in groups.drain(..).enumerate() {
            let jump = rng.random_range(0..12);
            let step_back = rng.random_bool(0.1);
            let now = clock.now().as_millis();
            clock.set(Timestamp::from_millis(if step_back { now / 2 } else { now + jump }));
            if index == last {
                old = Some(Disk::read(&path));
                before = Some(expected.clone());
            }
            let predicted = expected.commit(clock.now(), &group);
            let writes: Vec<&Write> = group.iter().collect();
            let outcomes = store.commit(&writes).unwrap();
            assert_eq!(outcomes, predicted, "group {index} before failure {failure}");
            tally.groups += 1;
            tally.applied += outcomes.iter().filter(|o| **o == Outcome::Applied).count() as u64;
        }
        let (old, before) = (old.unwrap(), before.unwrap());
        let (disk, acknowledged) = power_failure(&mut rng, &old, &Disk::read(&path));
        drop(store);
        path = home.join(format!("{failure}.sqlite"));
        disk.write(&path);
        store = open(&path, &clock, pages);
        tally.failures += 1;
        let whole = expected.matches(&store);
        if whole.is_err() && !acknowledged {
            if let Err(difference) = before.matches(&store) {
                panic!("the group in flight is there in part: {difference}");
            }
            expected = before;
            tally.rolled_back += 1;
        } else if let Err(difference) = whole {
            panic!("acknowledged writes are missing: {difference}");
        } else {
            tally.survived += 1;
        }
    }
}

#[test]
fn whatever_is_left_by_a_power_failure_holds_all_that_was_acknowledged() {
    let setting = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().expect(name));
    let (first, histories) = match setting("LEDGER_SIMULATION_SEED") {
        Some(seed) => (seed, 1),
        None => {
            let drawn = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
            (drawn, setting("LEDGER_SIMULATION_HISTORIES").unwrap_or(HISTORIES))
        }
    };
    println!("LEDGER_SIMULATION_SEED={first} and the {histories} from there");
    // Memory does for a disk: it is the simulation that decides what is lost.
    let memory = Path::new("/dev/shm");
    let home = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let home = home.or_else(|_| tempfile::tempdir()).unwrap();
    let template = home.path().join("fresh.sqlite");
    drop(writer(&template, Arc::new(ManualClock::default())).unwrap());
    let fresh = Disk::read(&template);
    let mut tally = Tally::default();
    for seed in (0..histories).map(|n| first.wrapping_add(n)) {
        let run = std::panic::AssertUnwindSafe(|| {
            run_history(seed, home.path(), &fresh, &mut tally);
        });
        if let Err(panic) = std::panic::catch_unwind(run) {
            println!("failed; replay with LEDGER_SIMULATION_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
    println!("{tally:?}");
    if histories >= 1_000 {
        // A simulation in which nothing ever fails has stopped testing.
        assert!(tally.rolled_back > histories / 10 && tally.survived > histories / 10);
    }
}

/// The canary: a log that loses what was acknowledged must be noticed.
#[test]
#[should_panic(expected = "acknowledged writes are missing")]
fn a_disk_that_lies_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.sqlite");
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1)));
    let mut store = open(&path, &clock, 1000);
    let mut expected = Expected { books: Model::default(), evidence: BTreeMap::new() };
    let old = Disk::read(&path);
    let group: Vec<Write> = vec![Operation::Open(account(0)).into()];
    let predicted = expected.commit(clock.now(), &group);
    assert_eq!(store.commit(&[&group[0]]).unwrap(), predicted);
    drop(store);
    let lying = home.path().join("lying.sqlite");
    old.write(&lying);
    let store = open(&lying, &clock, 1000);
    if let Err(difference) = expected.matches(&store) {
        panic!("acknowledged writes are missing: {difference}");
    }
}
