//! The ledger as its users see it.

use std::sync::Arc;
use std::time::Duration;

use money::{ManualClock, Timestamp};

use super::super::writer::LOG;
use super::{act, applied, held, income, note, open_accounts, transfer, wallet, writer};
use crate::{
    Evidence, Ledger, LedgerError, MAX_BATCH, MAX_EVIDENCE_BODY, Operation, Outcome, Reason,
    Reference, Refusal, Status, Write,
};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_secs(1_000)))
}

fn refused(outcome: Result<Outcome, LedgerError>) -> Reason {
    match outcome {
        Ok(Outcome::Refused(Refusal { index: 0, reason })) => reason,
        other => panic!("refused expected, not {other:?}"),
    }
}

#[tokio::test]
async fn books_are_the_same_after_closing_and_opening() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.sqlite");
    let ledger = Ledger::open(&path, clock()).unwrap();
    applied(ledger.submit(open_accounts()).await);
    let batch = (0..100).map(|n| transfer(n).with(note(n, "receipt", format!("no. {n}"))));
    let outcomes = ledger.submit_all(batch.collect()).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    let before = ledger.verify().unwrap();
    assert_eq!(before.rows, 101);
    ledger.close().await.unwrap();

    let ledger = Ledger::open(&path, clock()).unwrap();
    assert_eq!(ledger.verify().unwrap(), before);
    let balance = ledger.read(|state| state.balance(&wallet().id)).unwrap();
    assert_eq!(balance.available().minor(), 100);
    let all = ledger.evidence(act(7)).unwrap();
    for one in &all {
        let alone = ledger.document(act(7), &one.evidence.stage).unwrap();
        assert_eq!(alone.as_ref(), Some(one), "one document alone is the same document");
    }
    assert_eq!(ledger.document(act(7), "never").unwrap(), None);
    assert_eq!(ledger.document(act(250), "quote").unwrap(), None);
    let stored = ledger.evidence(act(7)).unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].evidence, note(7, "receipt", "no. 7"));
    assert_eq!(stored[0].at, Timestamp::from_secs(1_000));
}

#[tokio::test]
async fn many_tasks_share_commits_and_each_gets_its_own_answer() {
    let ledger = Ledger::in_memory(clock());
    applied(ledger.submit(open_accounts()).await);
    let tasks: Vec<_> = (0..500u64)
        .map(|n| {
            let ledger = ledger.clone();
            // Each payment is tried twice, by different tasks.
            tokio::spawn(async move { ledger.submit(transfer(n / 2)).await.unwrap() })
        })
        .collect();
    let mut applied = 0;
    for task in tasks {
        match task.await.unwrap() {
            Outcome::Applied => applied += 1,
            outcome => assert_eq!(outcome, Outcome::Exists),
        }
    }
    assert_eq!(applied, 250);
    assert_eq!(ledger.read(|state| state.entries().len()), 250);
    ledger.verify().unwrap();
}

#[test]
fn a_thread_may_wait_within_a_runtime_and_without() {
    let ledger = Ledger::in_memory(clock());
    applied(ledger.submit_blocking(open_accounts()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { applied(ledger.submit_blocking(transfer(1))) });
    let outcomes = ledger.submit_all_blocking(vec![transfer(1), transfer(2)]);
    assert_eq!(outcomes, Ok(vec![Outcome::Exists, Outcome::Applied]));
}

#[test]
fn books_in_use_are_refused_and_free_again_after_closing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.sqlite");
    let first = Ledger::open(&path, clock()).unwrap();
    let second = Ledger::open(&path, clock()).err();
    assert_eq!(second, Some(LedgerError::InUse { path: path.clone() }));
    applied(first.submit_blocking(open_accounts()));
    drop(first);
    Ledger::open(&path, clock()).unwrap();
}

#[tokio::test]
async fn closed_books_say_so_through_every_clone() {
    let ledger = Ledger::in_memory(clock());
    let other = ledger.clone();
    ledger.close().await.unwrap();
    assert_eq!(other.submit(open_accounts()).await, Err(LedgerError::Closed));
    assert_eq!(other.read(|state| state.accounts().len()), 0);
}

#[test]
fn evidence_is_kept_once_and_never_replaced() {
    let ledger = Ledger::in_memory(clock());
    applied(ledger.submit_blocking(open_accounts()));
    applied(ledger.submit_blocking(transfer(1).with(note(1, "quote", "a"))));
    let bodies = |ledger: &Ledger| -> Vec<_> {
        let stored = ledger.evidence(act(1)).unwrap().into_iter();
        stored.map(|s| (s.evidence.stage, String::from_utf8(s.evidence.body).unwrap())).collect()
    };
    // Repeated: what was stored stands, and what is new is added.
    let again = transfer(1).with(note(1, "quote", "b")).with(note(1, "receipt", "c"));
    assert_eq!(ledger.submit_blocking(again), Ok(Outcome::Exists));
    let kept = vec![("quote".to_owned(), "a".to_owned()), ("receipt".to_owned(), "c".to_owned())];
    assert_eq!(bodies(&ledger), kept);
    // Evidence alone: the same is known, other is refused, and so is what comes with it.
    let alone = |evidence| ledger.submit_blocking(Write::evidence(evidence));
    assert_eq!(alone(vec![note(1, "quote", "a")]), Ok(Outcome::Exists));
    let differs = Reason::EvidenceDiffers { reference: act(1), stage: "quote".to_owned() };
    assert_eq!(refused(alone(vec![note(1, "work", "w"), note(1, "quote", "b")])), differs);
    // With a new operation: neither happens.
    let new = transfer(2).with(note(1, "quote", "b"));
    assert_eq!(refused(ledger.submit_blocking(new)), differs);
    assert_eq!(ledger.read(|state| state.entries().len()), 1);
    assert_eq!(bodies(&ledger), kept);
}

#[test]
fn of_two_in_one_batch_the_first_stands() {
    let ledger = Ledger::in_memory(clock());
    applied(ledger.submit_blocking(open_accounts()));
    let batch = vec![
        transfer(1).with(note(1, "answer", "first")),
        transfer(1).with(note(1, "answer", "second")),
        transfer(2).with(note(1, "answer", "third")),
        Write::evidence(vec![note(1, "answer", "first")]),
    ];
    let outcomes = ledger.submit_all_blocking(batch).unwrap();
    assert_eq!(outcomes[..2], [Outcome::Applied, Outcome::Exists]);
    assert!(!outcomes[2].holds());
    assert_eq!(outcomes[3], Outcome::Exists);
    assert_eq!(ledger.evidence(act(1)).unwrap()[0].evidence.body, b"first");
}

#[test]
fn evidence_of_a_refused_operation_is_not_kept() {
    let ledger = Ledger::in_memory(clock());
    let write = transfer(1).with(note(1, "quote", "a"));
    assert!(matches!(refused(ledger.submit_blocking(write)), Reason::AccountNotFound { .. }));
    assert_eq!(ledger.evidence(act(1)), Ok(vec![]));
}

#[test]
fn evidence_out_of_bounds_is_refused_with_what_would_be_right() {
    let ledger = Ledger::in_memory(clock());
    let good = || note(1, "quote", "a");
    let bad = [
        Evidence { reference: Reference::NONE, ..good() },
        Evidence { stage: String::new(), ..good() },
        Evidence { stage: "x".repeat(33), ..good() },
        Evidence { media_type: "text/\0".to_owned(), ..good() },
        Evidence { body: vec![0; MAX_EVIDENCE_BODY + 1], ..good() },
    ];
    for evidence in bad {
        let reason = refused(ledger.submit_blocking(Write::evidence(vec![evidence])));
        assert!(matches!(reason, Reason::EvidenceInvalid { .. }), "{reason}");
    }
    let twice = Write::evidence(vec![good(), good()]);
    assert!(matches!(refused(ledger.submit_blocking(twice)), Reason::EvidenceInvalid { .. }));
    let many = Write::evidence((0..65).map(|n| note(n, "quote", "a")).collect());
    assert!(matches!(refused(ledger.submit_blocking(many)), Reason::EvidenceInvalid { .. }));
    let largest = Evidence { body: vec![0; MAX_EVIDENCE_BODY], ..good() };
    applied(ledger.submit_blocking(Write::evidence(vec![largest])));
}

#[test]
fn a_batch_beyond_the_bound_is_refused_whole_and_the_largest_is_taken() {
    let ledger = Ledger::in_memory(clock());
    let batch = |length: u64| (0..length).map(transfer).collect::<Vec<_>>();
    let most = MAX_BATCH as u64;
    assert_eq!(
        ledger.submit_all_blocking(batch(most + 1)),
        Err(LedgerError::BatchTooLarge { writes: MAX_BATCH + 1, bytes: 0 })
    );
    applied(ledger.submit_blocking(open_accounts()));
    let outcomes = ledger.submit_all_blocking(batch(most)).unwrap();
    assert!(outcomes.iter().all(Outcome::holds));
    assert_eq!(ledger.submit_all_blocking(vec![]), Ok(vec![]));
}

#[tokio::test]
async fn a_listener_hears_of_each_commit_and_which_acts_it_touched() {
    let clock = clock();
    let ledger = Ledger::in_memory(clock.clone());
    let mut commits = ledger.subscribe();
    applied(ledger.submit(open_accounts()).await);
    let heard = commits.recv().await.unwrap();
    assert_eq!((heard.entries, heard.references.len()), (0..0, 0));

    let until = clock.now_plus(60);
    applied(ledger.submit(Operation::Transfer(held(1, until)).into()).await);
    let heard = commits.recv().await.unwrap();
    assert_eq!((heard.entries, &heard.references[..]), (0..1, &[act(1)][..]));

    let post = Operation::Post { hold: income(1).id, amount: None };
    applied(ledger.submit(Write::operation(post).with(note(2, "quote", "a"))).await);
    let heard = commits.recv().await.unwrap();
    let mut both = [act(1), act(2)];
    both.sort();
    assert_eq!((heard.entries, &heard.references[..]), (1..1, &both[..]));

    // What changes nothing is not announced.
    assert_eq!(ledger.submit(transfer(1)).await.map(|o| o.holds()), Ok(false));
    assert!(commits.try_recv().is_err());
}

#[tokio::test]
async fn a_hold_expires_by_itself_and_durably() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.sqlite");
    let clock = clock();
    let ledger = Ledger::open(&path, clock.clone()).unwrap();
    applied(ledger.submit(open_accounts()).await);
    let until = clock.now_plus(60);
    applied(ledger.submit(Operation::Transfer(held(1, until)).into()).await);
    let mut commits = ledger.subscribe();
    clock.set(until);
    // Nobody submits anything: the writer notices.
    let heard = commits.recv().await.unwrap();
    assert_eq!(&heard.references[..], &[act(1)]);
    let status = |ledger: &Ledger| ledger.read(|s| s.transfer(&income(1).id).unwrap().status);
    assert_eq!(status(&ledger), Status::Expired { at: until });
    ledger.verify().unwrap();
    ledger.close().await.unwrap();
    let ledger = Ledger::open(&path, clock).unwrap();
    assert_eq!(status(&ledger), Status::Expired { at: until });
}

trait NowPlus {
    fn now_plus(&self, seconds: u64) -> Timestamp;
}

impl NowPlus for ManualClock {
    fn now_plus(&self, seconds: u64) -> Timestamp {
        money::Clock::now(self).plus(Duration::from_secs(seconds))
    }
}

#[test]
fn the_log_is_moved_into_the_file_after_a_group_was_answered_and_not_within_it() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("books.sqlite");
    let size = || std::fs::metadata(&path).unwrap().len();
    let mut store = writer(&path, clock()).unwrap();
    store.commit(&[&open_accounts(), &transfer(1)]).unwrap();
    let before = size();
    store.move_log();
    assert_eq!(size(), before, "a small log stays where it is");

    store.commit(&[&transfer(2).with(note(2, "work", vec![7; LOG]))]).unwrap();
    assert_eq!(size(), before, "a commit writes the log alone");
    store.move_log();
    assert!(size() >= before + LOG as u64, "it was moved: {before} and then {}", size());
    store.commit(&[&transfer(3)]).unwrap();
    drop(store);
    let ledger = Ledger::open(&path, clock()).unwrap();
    assert_eq!(ledger.read(|state| state.entries().len()), 3);
    assert_eq!(ledger.evidence(act(2)).unwrap()[0].evidence.body.len(), LOG);
}
