//! Measures the ledger: `bench_ledger [COUNT]`, COUNT transfers of each kind (200000 if not said).
//!
//! Prints one JSON object a line: `{"name","value","unit"}`. The last lines hash what was
//! computed, so that a change which computes something else shows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::{
    Account, AccountId, Class, Kind, Ledger, Limit, Operation, Outcome, Reference, State, Transfer,
    TransferId, Write,
};
use money::{Amount, Asset, ManualClock, Party, Timestamp};

mod workload;

const AT: Timestamp = Timestamp::from_millis(1);
/// How many writes are submitted together.
const BATCH: usize = 4_096;
/// How many tasks submit single writes at the same time.
const TASKS: u64 = 256;
/// How often the books in memory are measured.
const ROUNDS: u32 = 5;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(200_000), |n| n.parse())?;
    let operations: Vec<Operation> = workload::transfers(count).collect();
    let in_memory = in_memory(&operations);
    let home = std::env::temp_dir().join(format!("bench-ledger-{}", std::process::id()));
    std::fs::create_dir_all(&home)?;
    let durable = durable(&home, operations);
    std::fs::remove_dir_all(&home)?;
    let durable = durable?;
    report("state_digest_in_memory", &hex(&in_memory), "sha256");
    report("state_digest_durable", &hex(&durable), "sha256");
    if in_memory != durable {
        return Err("the books differ between memory and disk".into());
    }
    Ok(())
}

/// The best of some rounds: neighbours on the machine can only make it slower.
fn in_memory(operations: &[Operation]) -> [u8; 32] {
    let rounds = (0..ROUNDS).map(|_| {
        let mut state = State::new();
        for operation in workload::accounts() {
            assert_eq!(state.apply(AT, &operation), Outcome::Applied);
        }
        let start = Instant::now();
        for operation in operations {
            assert_eq!(state.apply(AT, operation), Outcome::Applied);
        }
        (start.elapsed(), state.digest())
    });
    let (best, digest) = rounds.min().expect("there is a round");
    per_second("ledger_in_memory_transfers", operations.len(), best);
    digest
}

fn durable(home: &std::path::Path, operations: Vec<Operation>) -> Result<[u8; 32], Failure> {
    let path = home.join("batched.sqlite");
    let clock = || Arc::new(ManualClock::at(AT));
    let ledger = Ledger::open(&path, clock())?;
    let count = operations.len();
    all_applied(&ledger, workload::accounts().map(Write::operation).collect())?;
    let batches: Vec<Vec<Write>> = operations
        .chunks(BATCH)
        .map(|chunk| chunk.iter().cloned().map(Write::operation).collect())
        .collect();
    let start = Instant::now();
    for batch in batches {
        all_applied(&ledger, batch)?;
    }
    per_second("ledger_durable_transfers_in_batches", count, start.elapsed());
    let digest = ledger.verify()?.digest;
    drop(ledger);
    let start = Instant::now();
    drop(Ledger::open(&path, clock())?);
    per_second("ledger_replayed_transfers", count, start.elapsed());

    let ledger = Ledger::open(&home.join("single.sqlite"), clock())?;
    all_applied(&ledger, workload::accounts().map(Write::operation).collect())?;
    let singles = count.min(50_000) as u64;
    let operations = Arc::new(operations);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    let start = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (ledger, operations) = (ledger.clone(), Arc::clone(&operations));
                tokio::spawn(async move {
                    for n in (task..singles).step_by(TASKS as usize) {
                        let operation = operations[n as usize].clone();
                        let outcome = ledger.submit(Write::operation(operation)).await;
                        assert_eq!(outcome, Ok(Outcome::Applied));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await?;
        }
        Ok::<(), tokio::task::JoinError>(())
    })?;
    per_second("ledger_durable_transfers_by_256_tasks", singles as usize, start.elapsed());
    Ok(digest)
}

fn all_applied(ledger: &Ledger, writes: Vec<Write>) -> Result<(), Failure> {
    let outcomes = ledger.submit_all_blocking(writes)?;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    Ok(())
}

fn per_second(name: &str, count: usize, time: Duration) {
    let rate = count as u128 * 1_000_000_000 / time.as_nanos().max(1);
    println!(r#"{{"name":"{name}","value":{rate},"unit":"1/s"}}"#);
}

fn report(name: &str, value: &str, unit: &str) {
    println!(r#"{{"name":"{name}","value":"{value}","unit":"{unit}"}}"#);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
