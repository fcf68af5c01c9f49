//! A person's work before a juror: who is heard, until when, and what silence means; and what a client who
//! asks a person is told before anything is spent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use foreman::hiring::{Attached, HireProblem, Hiring};
use foreman::person::{self, Heard, Word};
use foreman::{Input, OrderProblem, Service};
use market::desk::{Desk, Document, Settings};
use market::{
    Amount, Asset, Delivery, Digest, Job, JobId, MoveId, Offer, OfferId, Operation, Party, Report,
    Rules, Stage,
};
use money::{Clock, ManualClock, Timestamp};

const CLIENT: Party = Party::new([1; 20]);
const WORKER: Party = Party::new([2; 20]);
const BUDGET: i128 = 30_000;

fn musd(minor: i128) -> Amount {
    Amount::from_minor(Asset::MUSD, minor)
}

struct Town {
    desk: Desk,
    clock: Arc<ManualClock>,
    hiring: Hiring,
}

impl Town {
    async fn new() -> Town {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_000)));
        let rules = Rules::standard(Asset::MUSD, Party::new([200; 20]));
        let desk =
            Desk::in_memory(Settings { rules, books: false }, clock.clone()).expect("a desk");
        let deposit = |party: Party| Operation::Deposit {
            id: MoveId::derive(&[party.as_bytes()]),
            party,
            amount: musd(1_000_000),
        };
        let mut operations = vec![deposit(CLIENT)];
        for checker in (20..25).map(|n| Party::new([n; 20])) {
            operations.push(deposit(checker));
            operations.push(Operation::Enlist { party: checker, stake: musd(500_000) });
        }
        let offer =
            Offer::standard(OfferId::from_u128(1), WORKER, Service::Answer.skill(), musd(10_000));
        operations.push(Operation::Publish(offer));
        let town = Town {
            hiring: Hiring::new(desk.clone(), CLIENT, clock.clone(), Arc::new(BTreeSet::new())),
            desk,
            clock,
        };
        town.submit(operations).await;
        town
    }

    async fn submit(&self, operations: Vec<Operation>) {
        for outcome in self.desk.submit_all(operations).await.expect("the desk is open") {
            assert!(outcome.holds(), "{outcome:?}");
        }
    }

    /// A question for a person, opened and funded; its worker has nothing in the market.
    async fn asked(&self, within_ms: u64) -> JobId {
        let asked = self.hiring.ask("Which?", Vec::new(), musd(BUDGET), within_ms, b"one");
        self.hiring.open_asked(asked.expect("it can be asked"), Vec::new()).await.expect("opened")
    }

    /// The same, answered, before a panel.
    async fn judged(&self, within_ms: u64) -> Job {
        let (job, offer) = (self.asked(within_ms).await, OfferId::from_u128(1));
        let body = b"This one.".to_vec();
        let report = Report::Digest(Digest::of(&body));
        self.submit(vec![
            Operation::Bid { job, offer, price: musd(10_000) },
            Operation::Accept { job, offer, by: CLIENT },
        ])
        .await;
        // Who works hands in what it has done, whatever its money.
        let media_type = "text/plain".into();
        self.desk.keep(Document { author: WORKER, media_type, body }).await.expect("kept");
        self.submit(vec![
            Operation::Submit { job, by: WORKER, delivery: Delivery::Open(report) },
            Operation::Draw { job, entropy: Digest::of(b"a later block") },
        ])
        .await;
        let job = self.desk.job(job).expect("it was opened");
        assert_eq!(job.stage, Stage::Checking);
        job
    }
}

const ANSWERED: Heard = Heard { answered: true, accepted: false, objected: false, judged: None };

#[tokio::test]
async fn silence_accepts_an_objection_waits_for_the_juror_and_nobody_waits_for_ever() {
    let town = Town::new().await;
    let job = town.judged(60_000).await;
    let begun = town.clock.now();
    assert_eq!(job.terms.check_ms, 8 * 60_000);
    let at = |ms: u64| begun.plus(Duration::from_millis(ms));
    assert_eq!(person::word_until(&job), Some(at(60_000)));
    let disputed = Heard { objected: true, ..ANSWERED };
    for (heard, ms, vote) in [
        (ANSWERED, 0, None),
        (ANSWERED, 59_999, None),
        (ANSWERED, 60_000, Some(true)),
        (Heard { accepted: true, ..ANSWERED }, 0, Some(true)),
        // Nothing was handed in that can be read: the digest alone is no answer.
        (Heard { answered: false, accepted: true, ..ANSWERED }, 0, Some(false)),
        (disputed, 60_000, None),
        (disputed, 455_999, None),
        (disputed, 456_000, Some(true)),
        (Heard { judged: Some(false), ..disputed }, 1, Some(false)),
        (Heard { judged: Some(true), ..disputed }, 1, Some(true)),
        (Heard { accepted: true, judged: Some(false), ..disputed }, 1, Some(true)),
        // A verdict that nobody asked for is none.
        (Heard { judged: Some(false), ..ANSWERED }, 1, None),
    ] {
        assert_eq!(person::vote(&job, heard, at(ms)), vote, "{heard:?} after {ms} ms");
    }
}

#[tokio::test]
async fn only_who_handed_a_word_in_has_said_it_and_of_that_job_alone() {
    let town = Town::new().await;
    let job = JobId::from_u128(0xAB);
    assert_eq!(
        Word::Accepted.document(job),
        br#"{"job":"000000000000000000000000000000ab","says":"accepted"}"#
    );
    let said = |word, by| person::said(&town.desk, job, word, by).expect("the desk is open");
    let (media_type, body) = ("application/json".to_owned(), Word::Accepted.document(job));
    town.desk.keep(Document { author: CLIENT, media_type, body }).await.expect("kept");
    assert!(said(Word::Accepted, CLIENT));
    assert!(!said(Word::Accepted, WORKER), "another's word is not the worker's");
    assert!(!said(Word::Objected, CLIENT));
    assert!(
        !person::said(&town.desk, JobId::from_u128(0xAC), Word::Accepted, CLIENT).expect("open")
    );
}

#[tokio::test]
async fn a_question_that_nobody_takes_waits_for_its_time_and_comes_back_whole() {
    let town = Town::new().await;
    let hiring = tokio::spawn(town.hiring.clone().run());
    let job = town.asked(86_400_000).await;
    // Machines that say nothing for ten seconds are taken back; a person may come within the day.
    town.clock.advance(Duration::from_secs(3_600));
    town.submit(vec![Operation::Bid { job, offer: OfferId::from_u128(1), price: musd(9_000) }])
        .await;
    let mut changes = town.desk.subscribe();
    while town.desk.job(job).is_some_and(|job| job.stage == Stage::Bidding) {
        let change = tokio::time::timeout(Duration::from_secs(20), changes.recv()).await;
        change.expect("its quote is taken").expect("the desk is open");
    }
    assert_eq!(town.desk.job(job).and_then(|job| job.worker), Some(WORKER));
    // Who took it and says nothing loses it when its time is over, and the client loses nothing.
    town.clock.advance(Duration::from_secs(86_400));
    town.submit(vec![Operation::Tick]).await;
    assert_eq!(town.desk.job(job).map(|job| job.stage), Some(Stage::Expired));
    assert_eq!(town.desk.holding(CLIENT).free, musd(1_000_000));
    hiring.abort();
}

#[tokio::test]
async fn what_cannot_be_asked_of_a_person_says_why() {
    let town = Town::new().await;
    let ask = |words: &str, inputs: Vec<Input>, budget| {
        town.hiring.ask(words, inputs, musd(budget), 60_000, b"x").err()
    };
    let input = Input {
        name: "a".into(),
        media_type: "image/png".into(),
        bytes: 1,
        digest: Digest::of(b"a"),
    };
    assert_eq!(ask(" \n", Vec::new(), BUDGET), Some(OrderProblem::NoWords.into()));
    let long = "x".repeat(foreman::MAX_WORDS + 1);
    assert_eq!(ask(&long, Vec::new(), BUDGET), Some(OrderProblem::TooManyWords.into()));
    let many = vec![input; foreman::MAX_INPUTS + 1];
    let given = many.len();
    assert_eq!(ask("x", many, BUDGET), Some(OrderProblem::TooManyInputs { given }.into()));
    assert!(matches!(
        ask("x", Vec::new(), 1_999),
        Some(HireProblem::TooLittle { least, .. }) if least == musd(2_000)
    ));
    assert_eq!(ask("x", Vec::new(), 2_000), None);
    // A file that the order does not name is kept all the same, and is nobody's brief.
    let asked = town.hiring.ask("x", Vec::new(), musd(BUDGET), 1, b"y").expect("it can be asked");
    let within = asked.terms.deliver_by.since(town.clock.now());
    assert_eq!(within, Duration::from_millis(person::LEAST_MS));
    let file = Attached { media_type: "image/png".into(), body: b"a".to_vec() };
    let job = town.hiring.open_asked(asked, vec![file]).await.expect("opened");
    assert!(town.desk.asked(job).expect("open").is_some());
}
