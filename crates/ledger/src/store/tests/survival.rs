//! A process that is killed in the middle of writing (invariant 6).

use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use money::SystemClock;

use super::{act, note, open_accounts, transfer};
use crate::{Ledger, Outcome, TransferId};

/// Set for the child process only: where to write.
const CHILD: &str = "LEDGER_SURVIVAL_CHILD";
const ROUNDS: u64 = 5;
const BATCH: u64 = 7;

fn id(n: u64) -> TransferId {
    super::income(n).id
}

/// Does nothing in an ordinary test run; as a child it writes until it is killed.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let ledger = Ledger::open(&PathBuf::from(path), Arc::new(SystemClock)).unwrap();
    assert!(ledger.submit_blocking(open_accounts()).unwrap().holds());
    let mut next = ledger.read(|state| state.entries().len() as u64);
    loop {
        let batch = (next..next + BATCH).map(|n| transfer(n).with(note(n, "work", vec![1; 600])));
        let outcomes = ledger.submit_all_blocking(batch.collect()).unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
        next += BATCH;
        writeln!(std::io::stdout(), "acknowledged {next}").unwrap();
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.sqlite");
    let mut reached = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::survival::child_writes_until_it_is_killed"])
            .arg("--nocapture")
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let goal = reached + 40 * (round + 1);
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut killed = false;
        for line in output.lines() {
            // The test harness talks too; and the last line may be torn off.
            let Some(n) = line.unwrap().strip_prefix("acknowledged ").and_then(|n| n.parse().ok())
            else {
                continue;
            };
            reached = reached.max(n);
            if reached >= goal && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();
        assert!(killed, "the child stopped by itself at {reached}");

        let ledger = Ledger::open(&path, Arc::new(SystemClock)).unwrap();
        ledger.verify().unwrap();
        let entries = ledger.read(|state| state.entries().len() as u64);
        assert!(entries >= reached, "{reached} were acknowledged, {entries} are there");
        assert_eq!(entries % BATCH, 0, "a batch is there as a whole or not at all");
        for n in 0..entries {
            assert!(ledger.read(|state| state.transfer(&id(n)).is_some()));
            assert_eq!(ledger.evidence(act(n)).unwrap().len(), 1);
        }
        reached = entries;
    }
}
