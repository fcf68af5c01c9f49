//! The benchmark, small, so that it does not rot.

#[path = "../../../examples/bench_ledger/workload.rs"]
mod workload;

use std::sync::Arc;

use money::{Amount, Asset, ManualClock, Party, Timestamp};

use crate::{
    Account, AccountId, Class, Kind, Ledger, Limit, Operation, Outcome, Reference, State, Transfer,
    TransferId,
};

#[test]
fn the_benchmark_computes_the_same_books_in_memory_and_on_disk() {
    let count = 500;
    let at = Timestamp::from_millis(1);
    let mut state = State::new();
    for operation in workload::accounts().chain(workload::transfers(count)) {
        assert_eq!(state.apply(at, &operation), Outcome::Applied);
    }
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.sqlite");
    let ledger = Ledger::open(&path, Arc::new(ManualClock::at(at))).unwrap();
    let writes = workload::accounts().chain(workload::transfers(count)).map(Into::into);
    let outcomes = ledger.submit_all_blocking(writes.collect()).unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    assert_eq!(ledger.verify().unwrap().digest, state.digest());
}
