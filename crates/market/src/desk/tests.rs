//! The desk: what it answers stays, time passes by itself, and nobody reads what is not theirs.

use std::sync::Arc;
use std::time::Duration;

use money::{Amount, Asset, ManualClock, Party, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::id::{MoveId, OfferId};
use crate::operation::Refusal;
use crate::terms::{Check, Delivery, Pricing, Report, Terms};

const SKILL: Skill = Skill::from_u128(1);
const TREASURY: u8 = 200;
const CLIENT: u8 = 1;
const WORKER: u8 = 2;
const STRANGER: u8 = 3;
const CHECKERS: std::ops::Range<u8> = 10..14;

fn party(n: u8) -> Party {
    Party::new([n; 20])
}

fn musd(minor: i128) -> Amount {
    Amount::from_minor(Asset::MUSD, minor)
}

fn settings() -> Settings {
    Settings { rules: Rules::standard(Asset::MUSD, party(TREASURY)), books: true }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_secs(1_000)))
}

fn terms(n: u128, brief: Digest) -> Terms {
    Terms {
        id: JobId::from_u128(n),
        client: party(CLIENT),
        parent: None,
        skill: SKILL,
        brief,
        budget: musd(100),
        worth: musd(300),
        quality: 0,
        pricing: Pricing::Posted { offer: OfferId::from_u128(1) },
        check: Check::Exact { executors: 1 },
        audit: 1_000_000,
        checker_fee: musd(5),
        appeals: 0,
        stake: musd(10),
        deliver_by: Timestamp::from_secs(1_060),
        check_ms: 5_000,
    }
}

fn people() -> Vec<Operation> {
    let deposit = |n: u8| Operation::Deposit {
        id: MoveId::from_u128(n.into()),
        party: party(n),
        amount: musd(100_000),
    };
    let mut operations: Vec<_> =
        [CLIENT, WORKER].into_iter().chain(CHECKERS).map(deposit).collect();
    let enlist = |n| Operation::Enlist { party: party(n), stake: musd(50_000) };
    operations.extend(CHECKERS.map(enlist));
    let offer = Offer::standard(OfferId::from_u128(1), party(WORKER), SKILL, musd(80));
    operations.push(Operation::Publish(Offer { capacity: 9, ..offer }));
    operations
}

fn hired(n: u128, brief: Digest) -> [Operation; 2] {
    let job = JobId::from_u128(n);
    [Operation::Open(Box::new(terms(n, brief))), Operation::Fund { job }]
}

async fn done(desk: &Desk, operations: impl IntoIterator<Item = Operation>) {
    for outcome in desk.submit_all(operations.into_iter().collect()).await.unwrap() {
        assert_eq!(outcome, Outcome::Applied);
    }
}

fn document(author: u8, body: &[u8]) -> Document {
    Document { author: party(author), media_type: "text/plain".into(), body: body.to_vec() }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart_byte_for_byte() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("market.sqlite");
    let clock = clock();
    let desk = Desk::open(&path, settings(), clock.clone()).unwrap();
    done(&desk, people()).await;
    let brief = desk.keep(document(CLIENT, b"what is this?")).await.unwrap();
    done(&desk, hired(1, brief)).await;
    let asked_twice = desk.submit(Operation::Fund { job: JobId::from_u128(1) }).await.unwrap();
    assert_eq!(asked_twice, Outcome::Exists);
    let refused = desk.submit(Operation::Fund { job: JobId::from_u128(9) }).await.unwrap();
    assert!(matches!(refused, Outcome::Refused(Refusal::JobNotFound { .. })));
    let before = desk.verify().unwrap();
    let others = Desk::open(&path, settings(), clock.clone());
    assert!(matches!(others, Err(DeskError::InUse { .. })));
    desk.close().await.unwrap();

    // Its rules are its own, whatever a later program would make.
    let other = Settings { rules: Rules { fee_bps: 9, ..settings().rules }, books: true };
    let desk = Desk::open(&path, other, clock).unwrap();
    assert_eq!(desk.verify().unwrap(), before);
    assert_eq!(desk.read(|state| state.rules().fee_bps), 100);
    assert_eq!(desk.document(brief).unwrap(), Some(document(CLIENT, b"what is this?")));
    assert_eq!(desk.job(JobId::from_u128(1)).map(|job| job.stage), Some(Stage::Working));
}

#[tokio::test]
async fn a_file_that_was_changed_is_not_believed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("market.sqlite");
    let desk = Desk::open(&path, settings(), clock()).unwrap();
    done(&desk, people()).await;
    desk.close().await.unwrap();
    let file = Connection::open(&path).unwrap();
    let change = "UPDATE journal SET at = at + 1";
    assert!(file.execute(change, []).is_err(), "the journal is only ever added to");
    file.execute_batch(&format!("DROP TRIGGER journal_keeps; {change};")).unwrap();
    drop(file);
    let opened = Desk::open(&path, settings(), clock());
    assert!(matches!(opened, Err(DeskError::Corrupt { row: 1, .. })), "its hash does not fit");
    std::fs::write(folder.path().join("other"), b"this is a text and no database at all").unwrap();
    let other = Desk::open(&folder.path().join("other"), settings(), clock());
    assert!(matches!(other, Err(DeskError::NotAMarket { .. })));
}

#[tokio::test]
async fn a_worker_that_dies_is_ended_by_the_clock_alone() {
    let clock = clock();
    let desk = Desk::in_memory(settings(), clock.clone()).unwrap();
    done(&desk, people()).await;
    done(&desk, hired(1, Digest::default())).await;
    let mut changes = desk.subscribe();
    clock.advance(Duration::from_secs(61));
    let change = tokio::time::timeout(Duration::from_secs(20), changes.recv()).await;
    let change = change.expect("time passes by itself").unwrap();
    assert_eq!(change.jobs, [JobId::from_u128(1)]);
    assert_eq!(change.operations, [Operation::Tick]);
    let job = desk.job(JobId::from_u128(1)).unwrap();
    assert_eq!(job.stage, Stage::Expired);
    assert_eq!(desk.holding(party(CLIENT)).free, musd(100_000));
    desk.verify().unwrap();
}

#[tokio::test]
async fn what_is_delivered_late_is_not_taken_and_its_client_has_its_money_back() {
    let clock = clock();
    let desk = Desk::in_memory(settings(), clock.clone()).unwrap();
    done(&desk, people()).await;
    let (by, before) = (party(WORKER), desk.holding(party(WORKER)));
    let answer = Report::Digest(desk.keep(document(WORKER, b"a cat")).await.unwrap());
    let sealed =
        |n| Delivery::Sealed(answer.commitment(JobId::from_u128(n), by, &Digest::of(b"s")));
    // At the last moment it is taken, and from `deliver_by` on it is late, by however little.
    for (n, ms, is_taken) in [(1, 59_999, true), (2, 60_000, false), (3, 3_600_000, false)] {
        let job = JobId::from_u128(n);
        let deliver_by = clock.now().plus(Duration::from_secs(60));
        let asked = Terms { deliver_by, ..terms(n, Digest::default()) };
        done(&desk, [Operation::Open(Box::new(asked)), Operation::Fund { job }]).await;
        clock.advance(Duration::from_millis(ms));
        let outcome =
            desk.submit(Operation::Submit { job, by, delivery: sealed(n) }).await.unwrap();
        if is_taken {
            assert_eq!(outcome, Outcome::Applied);
            // Nobody draws its checkers; it ends, and what was staked comes back.
            clock.advance(Duration::from_secs(3_600));
            done(&desk, [Operation::Tick]).await;
        } else {
            let stage = Stage::Expired;
            assert_eq!(outcome, Outcome::Refused(Refusal::WrongStage { job, stage }));
        }
        assert_eq!(desk.job(job).unwrap().stage, Stage::Expired);
        assert_eq!(desk.holding(party(CLIENT)).free, musd(100_000));
        assert_eq!(desk.read(State::counted), desk.read(State::deposited));
    }
    assert!(
        desk.holding(by).free.minor() < before.free.minor(),
        "who did not deliver lost its stake"
    );
    desk.verify().unwrap();
}

#[tokio::test]
async fn a_checker_that_never_answers_is_replaced_once_and_the_client_has_its_money_back() {
    let clock = clock();
    let desk = Desk::in_memory(settings(), clock.clone()).unwrap();
    done(&desk, people()).await;
    done(&desk, hired(1, Digest::default())).await;
    let job = JobId::from_u128(1);
    let delivery = Delivery::Sealed(Digest::of(b"sealed"));
    done(&desk, [Operation::Submit { job, by: party(WORKER), delivery }]).await;
    let mut changes = desk.subscribe();
    for round in 1..=2u8 {
        done(&desk, [Operation::Draw { job, entropy: Digest::new([round; 32]) }]).await;
        assert_eq!(desk.job(job).unwrap().stage, Stage::Checking);
        clock.advance(Duration::from_secs(6));
        let was_silent = |state: &State| state.job(job).is_some_and(|j| j.stage != Stage::Checking);
        while !desk.read(was_silent) {
            changes.recv().await.unwrap();
        }
    }
    assert_eq!(desk.job(job).unwrap().stage, Stage::Expired);
    assert_eq!(desk.holding(party(CLIENT)).free, musd(100_000));
    assert_eq!(desk.read(State::counted), desk.read(State::deposited));
}

#[tokio::test]
async fn briefs_and_answers_are_read_by_those_who_may() {
    let clock = clock();
    let desk = Desk::in_memory(settings(), clock).unwrap();
    done(&desk, people()).await;
    let brief = desk.keep(document(CLIENT, b"what is this?")).await.unwrap();
    done(&desk, hired(1, brief)).await;
    let job = JobId::from_u128(1);
    let reads = |n: u8| desk.brief(job, party(n)).unwrap().is_some();
    assert!(reads(CLIENT) && reads(WORKER) && !reads(STRANGER) && !CHECKERS.clone().any(reads));
    let answer = desk.keep(document(WORKER, b"a cat")).await.unwrap();
    let (report, salt) = (Report::Digest(answer), Digest::of(b"salt"));
    let sealed = |n: u8| report.commitment(job, party(n), &salt);
    let delivery = Delivery::Sealed(sealed(WORKER));
    done(&desk, [Operation::Submit { job, by: party(WORKER), delivery }]).await;
    done(&desk, [Operation::Draw { job, entropy: Digest::of(b"later") }]).await;
    let seat = desk.job(job).unwrap().panel().unwrap().seats[0].checker;
    let n = CHECKERS.clone().find(|n| party(*n) == seat).unwrap();
    assert!(reads(n), "who checks must know what was to be done");
    let commit = Operation::CommitReport { job, by: seat, commitment: sealed(n) };
    let reveal =
        |n: u8| Operation::RevealReport { job, by: party(n), report: report.clone(), salt };
    done(&desk, [commit, reveal(WORKER)]).await;
    let told = |n: u8| desk.answer(job, party(n)).unwrap().is_some();
    assert!(told(WORKER) && !told(CLIENT) && !told(n), "there is no verdict yet");
    done(&desk, [reveal(n)]).await;
    assert_eq!(desk.job(job).unwrap().stage, Stage::Completed);
    assert!(told(CLIENT) && !told(n) && !told(STRANGER));
}

#[tokio::test]
async fn a_client_reads_what_jurors_judge_before_they_do() {
    let desk = Desk::in_memory(settings(), clock()).unwrap();
    done(&desk, people()).await;
    let (job, by) = (JobId::from_u128(1), party(WORKER));
    let jury = Terms { check: Check::Juror { jurors: 1 }, ..terms(1, Digest::default()) };
    done(&desk, [Operation::Open(Box::new(jury)), Operation::Fund { job }]).await;
    let answer = desk.keep(document(WORKER, b"a cat")).await.unwrap();
    let told = |n: u8| desk.answer(job, party(n)).unwrap().is_some();
    assert!(!told(CLIENT), "nothing was delivered");
    let delivery = Delivery::Open(Report::Digest(answer));
    done(&desk, [Operation::Submit { job, by, delivery }]).await;
    done(&desk, [Operation::Draw { job, entropy: Digest::of(b"later") }]).await;
    assert_eq!(desk.job(job).unwrap().stage, Stage::Checking);
    assert!(told(CLIENT) && !told(STRANGER), "who is to say a word has read it");
}

#[tokio::test]
async fn who_names_a_digest_reads_only_bytes_that_it_had_and_so_does_who_it_hires() {
    let desk = Desk::in_memory(settings(), clock()).unwrap();
    done(&desk, people()).await;
    let secret = desk.keep(document(WORKER, b"nobody's business")).await.unwrap();
    done(&desk, hired(1, secret)).await;
    let (job, work) = (JobId::from_u128(1), party(WORKER));
    let reads = |n| desk.brief(JobId::from_u128(n), party(CLIENT)).unwrap().is_some();
    assert!(!reads(1) && desk.brief(job, work).unwrap().is_none());
    // Who works on it may neither deliver what it never had.
    let known = desk.keep(document(CLIENT, b"known to the client alone")).await.unwrap();
    let delivery = Delivery::Open(Report::Digest(known));
    let check = Check::Optimistic { window_ms: 1_000, executors: 1 };
    let optimistic = Terms { check, stake: musd(60), ..terms(2, known) };
    let id = JobId::from_u128(2);
    let open = [Operation::Open(Box::new(optimistic)), Operation::Fund { job: id }];
    done(&desk, open).await;
    let submit = Operation::Submit { job: id, by: work, delivery };
    let refused = desk.submit(submit.clone()).await.unwrap();
    assert_eq!(refused, Outcome::Refused(Refusal::NotHandedIn { by: work, document: known }));
    assert!(reads(2) && desk.job(id).unwrap().delivery.is_none());
    desk.keep(document(WORKER, b"known to the client alone")).await.unwrap();
    done(&desk, [submit]).await;
    assert!(desk.answer(id, work).unwrap().is_some());
    // A foreman passes on what its client's brief names, and nothing else of its client's.
    let named = desk.keep(document(CLIENT, b"a picture")).await.unwrap();
    let order = desk.keep(document(CLIENT, format!("look at {named}").as_bytes())).await.unwrap();
    let above = Terms { deliver_by: Timestamp::from_secs(9_000), ..terms(3, order) };
    let fund = Operation::Fund { job: above.id };
    done(&desk, [Operation::Open(Box::new(above)), fund]).await;
    let other = desk.keep(document(CLIENT, b"another picture")).await.unwrap();
    for (n, brief, may) in [(4, named, true), (5, other, false)] {
        let parent = Some(JobId::from_u128(3));
        let child = Terms { client: work, parent, ..terms(n, brief) };
        done(&desk, [Operation::Open(Box::new(child))]).await;
        assert_eq!(desk.brief(JobId::from_u128(n), work).unwrap().is_some(), may, "{n}");
    }
    // With the bytes themselves anybody may.
    desk.keep(document(CLIENT, b"nobody's business")).await.unwrap();
    assert!(reads(1));
}

#[tokio::test]
async fn what_is_opened_must_have_been_handed_in_by_its_worker_and_labels_as_their_list() {
    let desk = Desk::in_memory(settings(), clock()).unwrap();
    done(&desk, people()).await;
    let work = party(WORKER);
    let of_another = desk.keep(document(CLIENT, b"a cat")).await.unwrap();
    let salt = Digest::of(b"salt");
    let labels = Report::Labels(vec![1, 2]);
    let redundant = Check::Redundant { peers: 2 };
    for (n, check, report, body) in [
        (1, Check::Exact { executors: 1 }, Report::Digest(of_another), b"a cat".as_slice()),
        (2, redundant, labels, b"[1,2]"),
    ] {
        let job = JobId::from_u128(n);
        let asked = Terms { check, ..terms(n, Digest::default()) };
        done(&desk, [Operation::Open(Box::new(asked)), Operation::Fund { job }]).await;
        let sealed = Delivery::Sealed(report.commitment(job, work, &salt));
        done(&desk, [Operation::Submit { job, by: work, delivery: sealed }]).await;
        done(&desk, [Operation::Draw { job, entropy: Digest::of(b"later") }]).await;
        let seats = desk.job(job).unwrap().panel().unwrap().seats.clone();
        for seat in &seats {
            let (by, commitment) = (seat.checker, report.commitment(job, seat.checker, &salt));
            done(&desk, [Operation::CommitReport { job, by, commitment }]).await;
        }
        let reveal = |by| Operation::RevealReport { job, by, report: report.clone(), salt };
        let document = report.digest().unwrap();
        let refused = desk.submit(reveal(work)).await.unwrap();
        assert_eq!(refused, Outcome::Refused(Refusal::NotHandedIn { by: work, document }), "{n}");
        // Whoever checks hands nothing in.
        for seat in &seats {
            done(&desk, [reveal(seat.checker)]).await;
        }
        desk.keep(self::document(WORKER, body)).await.unwrap();
        done(&desk, [reveal(work)]).await;
        assert_eq!(desk.job(job).unwrap().stage, Stage::Completed);
        assert!(desk.answer(job, party(CLIENT)).unwrap().is_some());
    }
    desk.verify().unwrap();
}

/// A market's file with one job, brought to what an older program wrote; and its state's digest.
async fn written_as(older: &str) -> (TempDir, std::path::PathBuf, [u8; 32]) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("market.sqlite");
    let desk = Desk::open(&path, settings(), clock()).unwrap();
    done(&desk, people()).await;
    let brief = desk.keep(document(CLIENT, b"what is this?")).await.unwrap();
    done(&desk, hired(1, brief)).await;
    let digest = desk.read(State::digest);
    desk.close().await.unwrap();
    Connection::open(&path).unwrap().execute_batch(older).unwrap();
    (folder, path, digest)
}

#[tokio::test]
async fn a_market_of_the_first_version_knows_its_authors_as_holders() {
    let (_folder, path, _) = written_as("DROP TABLE holder; PRAGMA user_version = 1;").await;
    let desk = Desk::open(&path, settings(), clock()).unwrap();
    assert!(desk.brief(JobId::from_u128(1), party(CLIENT)).unwrap().is_some());
    desk.verify().unwrap();
}

#[tokio::test]
async fn a_file_of_before_checkers_had_skills_gives_the_same_market_and_takes_new_words() {
    let (_folder, path, before) = written_as("PRAGMA user_version = 2;").await;
    let desk = Desk::open(&path, settings(), clock()).unwrap();
    assert_eq!(desk.read(State::digest), before);
    assert!(desk.brief(JobId::from_u128(1), party(CLIENT)).unwrap().is_some());
    let checker = desk.read(|state| {
        let everybody = (0..=255).map(party);
        everybody.into_iter().find(|party| state.holding(*party).stake.is_positive())
    });
    let checker = checker.expect("somebody is in the pool");
    let skills = Some([Skill::from_u128(7)].into());
    done(&desk, [Operation::Qualify { party: checker, skills: skills.clone() }]).await;
    let told = desk.read(State::digest);
    assert_ne!(told, before);
    desk.close().await.unwrap();
    let desk = Desk::open(&path, settings(), clock()).unwrap();
    assert_eq!(desk.read(State::digest), told);
    assert_eq!(desk.read(|state| state.checked_by(checker).cloned()), skills);
    desk.verify().unwrap();
}

#[tokio::test]
async fn documents_are_bounded_and_kept_once() {
    let desk = Desk::in_memory(settings(), clock()).unwrap();
    let long = vec![0; MAX_DOCUMENT + 1];
    let refused = desk.keep(document(CLIENT, &long)).await;
    assert_eq!(refused, Err(DeskError::DocumentTooLarge { bytes: MAX_DOCUMENT + 1 }));
    for media_type in ["", "text/\nplain", &"x".repeat(129)] {
        let odd = Document { media_type: media_type.into(), ..document(CLIENT, b"x") };
        assert_eq!(desk.keep(odd).await, Err(DeskError::MediaType));
    }
    done(&desk, people()).await;
    let first = desk.keep(document(CLIENT, b"the same")).await.unwrap();
    assert_eq!(desk.keep(document(WORKER, b"the same")).await, Ok(first));
    assert_eq!(desk.document(first).unwrap().unwrap().author, party(CLIENT));
    let many = vec![Operation::Tick; MAX_BATCH + 1];
    let refused = desk.submit_all(many).await;
    assert_eq!(refused, Err(DeskError::BatchTooLarge { operations: MAX_BATCH + 1 }));
}

#[tokio::test]
async fn room_for_documents_grows_with_money_and_who_works_has_some() {
    let desk = Desk::in_memory(settings(), clock()).unwrap();
    done(&desk, people()).await;
    let full = Some(DeskError::DocumentsFull { party: party(STRANGER) });
    let keep = |n: u8| desk.keep(document(STRANGER, &vec![n; MAX_DOCUMENT]));
    let pay = |id, minor| {
        let (id, party) = (MoveId::from_u128(id), party(STRANGER));
        done(&desk, [Operation::Deposit { id, party, amount: musd(minor) }])
    };
    assert_eq!(keep(1).await.err(), full.clone(), "who has nothing keeps nothing");
    pay(50, 1).await;
    keep(1).await.unwrap();
    assert_eq!(keep(2).await.err(), full.clone());
    keep(1).await.unwrap();
    pay(51, 10_000).await;
    for n in 2..=8 {
        keep(n).await.unwrap();
    }
    assert_eq!(keep(9).await.err(), full);
    // Who works in a job has room for what it delivers, though all its money is out.
    done(&desk, hired(1, Digest::default())).await;
    let (id, amount) = (MoveId::from_u128(52), desk.holding(party(WORKER)).free);
    done(&desk, [Operation::Withdraw { id, party: party(WORKER), amount }]).await;
    desk.keep(document(WORKER, &vec![0; MAX_DOCUMENT])).await.unwrap();
    desk.keep(document(WORKER, &vec![1; MAX_DOCUMENT])).await.unwrap();
}

#[tokio::test]
async fn what_moved_is_told_until_it_is_booked_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("market.sqlite");
    let clock = clock();
    let desk = Desk::open(&path, settings(), clock.clone()).unwrap();
    done(&desk, people()).await;
    done(&desk, hired(1, Digest::default())).await;
    let told = desk.unbooked(0, 100);
    let last = told.last().unwrap().row;
    assert!(told.iter().any(|moved| !moved.effects.is_empty()));
    desk.note_booked(last - 1).await.unwrap();
    assert_eq!(desk.unbooked(0, 100), told[told.len() - 1..]);
    desk.close().await.unwrap();
    let desk = Desk::open(&path, settings(), clock.clone()).unwrap();
    assert_eq!(desk.unbooked(0, 100), told[told.len() - 1..]);
    desk.note_booked(last).await.unwrap();
    let (id, amount) = (MoveId::from_u128(99), musd(7));
    done(&desk, [Operation::Withdraw { id, party: party(CLIENT), amount }]).await;
    let withdrawn = &desk.unbooked(last, 100)[0].withdrawn;
    assert_eq!(*withdrawn, [Withdrawn { id, party: party(CLIENT), amount }]);
    desk.note_booked(last + 1).await.unwrap();
    done(&desk, [Operation::Abandon { job: JobId::from_u128(1), by: party(WORKER) }]).await;
    let ended = &desk.unbooked(0, 100)[0].ended;
    assert_eq!((ended[0].job, ended[0].stage), (JobId::from_u128(1), Stage::Expired));
    desk.close().await.unwrap();
    let desk = Desk::open(&path, settings(), clock).unwrap();
    assert_eq!(desk.unbooked(0, 100)[0].ended.len(), 1);
}
