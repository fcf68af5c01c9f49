//! Jobs under escrow, and their judges: each step once, and everyone's money where it belongs.

mod town;

use std::sync::atomic::Ordering;

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use alloy_sol_types::SolCall as _;
use protocol::MachinaDollar;
use protocol::addresses::{AGENTIC_COMMERCE, MACHINA_DOLLAR};
use protocol::jobs::{ACCEPT, Check, REJECT, Rule, SEAT_PRICE, validation_request};
use serde_json::json;
use settlement::jobs::{Done, JobStatus, JobStep, JobTerms, Judging};
use settlement::{Endpoint, SenderLimits, SendingKeys, Settlement, SettlementError};
use town::{Fault, NOW, Town, key, musd, party};

const BUDGET: u64 = 10_000;
/// A thousandth of a seat's price: from there on records count.
const FEE: u64 = 5_000;

const CLIENT: u8 = 0x31;
const PROVIDER: u8 = 0x32;
const EVALUATOR: u8 = 0x33;
const ANYONE: u8 = 0x34;

fn address(number: u8) -> Address {
    key(number).address()
}

async fn process(town: &Town, limits: SenderLimits) -> Settlement {
    let others = [PROVIDER, EVALUATOR, ANYONE].map(key);
    let endpoint = Endpoint::Local(town.wire.clone());
    let keys = SendingKeys::pool(key(CLIENT), others);
    Settlement::connect(endpoint, None, MACHINA_DOLLAR, keys, limits).await.unwrap()
}

fn rule(check: Check) -> Rule {
    Rule {
        check: check as u8,
        panel: 1,
        appeals: 0,
        auditBps: 2_000,
        challengeTime: 60,
        commitTime: 600,
        revealTime: 600,
        appealTime: 60,
        fee: FEE.into(),
        bond: 0,
        lotSecret: B256::ZERO,
        criteria: B256::ZERO,
        clientAgentId: U256::ZERO,
    }
}

fn terms(rule: Option<Rule>, provider_agent: u64) -> JobTerms {
    JobTerms {
        client: address(CLIENT),
        provider: address(PROVIDER),
        provider_agent,
        evaluator: address(EVALUATOR),
        expires: NOW + 20_000,
        description: "job 6f1c of Ada's: what is in these pictures?".into(),
        budget: U256::from(BUDGET),
        rule,
    }
}

/// A town in which the client has money, and an evaluator a seat.
async fn market() -> (Town, Settlement) {
    let town = Town::begin().await;
    let chain = process(&town, SenderLimits::default()).await;
    town.settlement.mint(party(&key(CLIENT)), musd(100_000)).await.unwrap();
    town.settlement.mint(party(&key(EVALUATOR)), musd(SEAT_PRICE.into())).await.unwrap();
    let evaluator = address(EVALUATOR);
    let agent = chain.register_agent(evaluator, "http://e/agent.json").await.unwrap();
    let price = U256::from(SEAT_PRICE);
    assert_eq!(chain.stake(evaluator, price).await.unwrap(), price);
    assert_eq!(chain.stake(evaluator, price).await.unwrap(), U256::ZERO, "it is there");
    assert!(chain.take_seat(evaluator, agent, 0).await.unwrap());
    assert!(!chain.take_seat(evaluator, agent, 0).await.unwrap(), "it has one");
    assert_eq!(chain.seats().await.unwrap(), 1);
    (town, chain)
}

async fn has(chain: &Settlement, number: u8) -> i128 {
    chain.balance(party(&key(number))).await.unwrap().minor()
}

fn now(done: Done) {
    assert!(matches!(done, Done::Now(_)), "{done:?}");
}

#[tokio::test]
async fn a_job_that_nobody_challenges_is_paid_in_three_steps_each_taken_once() {
    let (town, chain) = market().await;
    let terms = terms(Some(rule(Check::Optimistic)), 0);
    let from = chain.block_number().await.unwrap();
    let job = chain.open_job(&terms, from).await.unwrap();
    assert_eq!(has(&chain, CLIENT).await, 90_000);
    assert_eq!(chain.open_job(&terms, from).await.unwrap(), job, "the same job");
    assert_eq!(chain.job_count().await.unwrap(), 1);
    let found = chain.job(job).await.unwrap().unwrap();
    assert_eq!((found.status, found.budget), (JobStatus::Funded, U256::from(BUDGET)));

    let step = JobStep::Submit { deliverable: B256::repeat_byte(7) };
    now(chain.do_with_job(address(PROVIDER), job, &step).await.unwrap());
    assert_eq!(chain.do_with_job(address(PROVIDER), job, &step).await.unwrap(), Done::Before);
    let other = JobStep::Submit { deliverable: B256::repeat_byte(8) };
    let refused = chain.do_with_job(address(PROVIDER), job, &other).await;
    assert!(
        matches!(&refused, Err(SettlementError::Reverted { reason, transaction: None, .. }) if reason == "WrongStatus"),
        "{refused:?}"
    );
    let early = chain.judge(address(ANYONE), job, &Judging::Finish).await;
    assert!(matches!(early, Err(SettlementError::Reverted { .. })), "{early:?}");
    town.clock.fetch_add(61, Ordering::SeqCst);
    now(chain.judge(address(ANYONE), job, &Judging::Finish).await.unwrap());
    let again = chain.judge(address(ANYONE), job, &Judging::Finish).await.unwrap();
    assert_eq!(again, Done::Before);
    assert_eq!(has(&chain, PROVIDER).await, i128::from(BUDGET));
    assert_eq!(chain.job(job).await.unwrap().unwrap().status, JobStatus::Completed);
    // Silence is no check: nothing is published of it.
    let silent = chain.judge(address(ANYONE), job, &Judging::Publish).await;
    assert!(
        matches!(&silent, Err(SettlementError::Reverted { reason, .. }) if reason == "NothingToPublish"),
        "{silent:?}"
    );
}

#[tokio::test]
async fn a_drawn_evaluator_decides_and_the_registries_tell() {
    for (answer, mark, paid) in [(ACCEPT, 100, BUDGET), (REJECT, 0, 0)] {
        let (town, chain) = market().await;
        let provider = address(PROVIDER);
        let agent = chain.register_agent(provider, "http://p/agent.json").await.unwrap();
        chain.stake(address(CLIENT), U256::from(FEE)).await.unwrap();
        let terms = terms(Some(rule(Check::Juror)), agent);
        let job = chain.open_job(&terms, chain.block_number().await.unwrap()).await.unwrap();
        let deliverable = B256::repeat_byte(7);
        let request = validation_request(protocol::EMBEDDED_CHAIN_ID, job_number(job), deliverable);
        let evaluators = protocol::addresses::EVALUATORS;
        chain.request_validation(provider, agent, evaluators, "", request).await.unwrap();
        now(chain.do_with_job(provider, job, &JobStep::Submit { deliverable }).await.unwrap());
        let draw = Judging::Draw { secret: B256::ZERO };
        now(chain.judge(address(ANYONE), job, &draw).await.unwrap());
        assert_eq!(chain.judge(address(ANYONE), job, &draw).await.unwrap(), Done::Before);
        let case = chain.case(job).await.unwrap().unwrap();
        assert_eq!(case.panel, [address(EVALUATOR)]);

        let decide = Judging::Decide { answer };
        let stranger = chain.judge(address(ANYONE), job, &decide).await;
        assert!(
            matches!(&stranger, Err(SettlementError::Reverted { reason, .. }) if reason == "NotOnPanel"),
            "{stranger:?}"
        );
        now(chain.judge(address(EVALUATOR), job, &decide).await.unwrap());
        assert_eq!(chain.judge(address(EVALUATOR), job, &decide).await.unwrap(), Done::Before);
        town.clock.fetch_add(120, Ordering::SeqCst);
        now(chain.judge(address(ANYONE), job, &Judging::Finish).await.unwrap());
        let again = chain.judge(address(ANYONE), job, &Judging::Publish).await.unwrap();
        assert_eq!(again, Done::Before, "the verdict was published when it was carried out");

        assert_eq!(has(&chain, PROVIDER).await, i128::from(paid));
        let back = BUDGET - paid;
        assert_eq!(has(&chain, CLIENT).await, i128::from(100_000 - FEE - BUDGET + back));
        let case = chain.case(job).await.unwrap().unwrap();
        assert_eq!((case.decided, case.accepted, case.judged), (true, answer == ACCEPT, true));
        let said = chain.feedback_summary(agent, vec![evaluators], "juror", "erc8183");
        assert_eq!((said.await.unwrap().count, mark), (1, mark));
        let found = chain.validation(request).await.unwrap().unwrap();
        assert_eq!((found.mark, found.tag.as_str(), found.hash), (mark, "juror", deliverable));
        assert_eq!(chain.balance(AGENTIC_COMMERCE.into()).await.unwrap().minor(), 0);
    }
}

/// Issue 4: one job on a chain takes at most five transactions. All of anyone's are counted, those
/// that failed among them.
#[tokio::test]
async fn a_job_takes_three_transactions_and_five_if_an_evaluator_decides_it() {
    let deliverable = B256::repeat_byte(7);
    let (town, chain) = market().await;
    let before = town.transactions().await;
    let from = chain.block_number().await.unwrap();
    let job = chain.open_job(&terms(Some(rule(Check::Optimistic)), 0), from).await.unwrap();
    let allowed = chain.token_allowance(address(CLIENT), AGENTIC_COMMERCE).await.unwrap();
    assert_eq!(allowed, U256::ZERO, "no more was allowed than the budget");
    let submit = JobStep::Submit { deliverable };
    now(chain.do_with_job(address(PROVIDER), job, &submit).await.unwrap());
    town.clock.fetch_add(61, Ordering::SeqCst);
    now(chain.judge(address(ANYONE), job, &Judging::Finish).await.unwrap());
    assert_eq!(has(&chain, PROVIDER).await, i128::from(BUDGET));
    assert_eq!(town.transactions().await - before, 3);

    // If nobody may appeal it ends with the decision, else when the time for it is over.
    for appeals in [0, 1] {
        let (town, chain) = market().await;
        let provider = address(PROVIDER);
        let agent = chain.register_agent(provider, "http://p/agent.json").await.unwrap();
        // What evaluators get is paid in beforehand, for as many jobs as one likes.
        let before = town.transactions().await;
        chain.stake(address(CLIENT), U256::from(FEE)).await.unwrap();
        assert_eq!(town.transactions().await - before, 1);

        let before = town.transactions().await;
        let terms = terms(Some(Rule { appeals, ..rule(Check::Juror) }), agent);
        let job = chain.open_job(&terms, chain.block_number().await.unwrap()).await.unwrap();
        now(chain.do_with_job(provider, job, &submit).await.unwrap());
        let draw = Judging::Draw { secret: B256::ZERO };
        now(chain.judge(address(ANYONE), job, &draw).await.unwrap());
        let decide = Judging::Decide { answer: ACCEPT };
        now(chain.judge(address(EVALUATOR), job, &decide).await.unwrap());
        // Nobody wrote down that all answers are open, so the time for them counts in full.
        town.clock.fetch_add(u64::from(appeals) * (600 + 600 + 60), Ordering::SeqCst);
        now(chain.judge(address(ANYONE), job, &Judging::Finish).await.unwrap());
        assert_eq!(has(&chain, PROVIDER).await, i128::from(BUDGET));
        let judges = vec![protocol::addresses::EVALUATORS];
        let said = chain.feedback_summary(agent, judges, "juror", "erc8183").await.unwrap();
        assert_eq!(said.count, 1, "it is published");
        assert_eq!(town.transactions().await - before, 5, "{appeals} appeals");
    }
}

#[tokio::test]
async fn a_token_without_signed_approvals_is_approved_by_a_transaction() {
    let lacks = [
        MachinaDollar::DOMAIN_SEPARATORCall::SELECTOR,
        MachinaDollar::noncesCall::SELECTOR,
        MachinaDollar::permitCall::SELECTOR,
    ];
    for selector in lacks {
        let (town, chain) = market().await;
        town.wire.hide(Some(selector));
        let before = town.transactions().await;
        let from = chain.block_number().await.unwrap();
        let job = chain.open_job(&terms(None, 0), from).await.unwrap();
        assert_eq!(town.transactions().await - before, 2);
        assert_eq!(chain.job(job).await.unwrap().unwrap().status, JobStatus::Funded);
        chain.stake(address(CLIENT), U256::from(FEE)).await.unwrap();
        assert_eq!(town.transactions().await - before, 4);
        assert_eq!(has(&chain, CLIENT).await, i128::from(100_000 - BUDGET - FEE));
    }
}

/// A vote that is opened too early must not be seen by those who have not sealed theirs: it is tried
/// as of a newer block and not sent.
#[tokio::test]
async fn what_is_to_stay_secret_is_not_sent_before_its_time() {
    let (town, chain) = market().await;
    chain.stake(address(CLIENT), U256::from(FEE)).await.unwrap();
    let secret = B256::repeat_byte(0x5e);
    let rule = Rule { lotSecret: keccak256(secret), ..rule(Check::Juror) };
    let from = chain.block_number().await.unwrap();
    let job = chain.open_job(&terms(Some(rule), 0), from).await.unwrap();
    let first = chain.block_number().await.unwrap() + 1;
    let draw = Judging::Draw { secret };
    let early = chain.judge(address(ANYONE), job, &draw).await;
    assert!(matches!(early, Err(SettlementError::Reverted { .. })), "{early:?}");
    let submit = JobStep::Submit { deliverable: B256::repeat_byte(7) };
    now(chain.do_with_job(address(PROVIDER), job, &submit).await.unwrap());
    let submitted = chain.block_number().await.unwrap();
    now(chain.judge(address(ANYONE), job, &draw).await.unwrap());
    let reveal = Judging::Reveal { answer: ACCEPT, salt: secret };
    let early = chain.judge(address(EVALUATOR), job, &reveal).await;
    assert!(matches!(early, Err(SettlementError::Reverted { .. })), "{early:?}");
    let told = async |blocks: std::ops::RangeInclusive<u64>| {
        let mut found = 0;
        for block in blocks {
            let block =
                town.rpc("eth_getBlockByNumber", json!([format!("{block:#x}"), true])).await;
            found += block.to_string().matches(&hex::encode(secret)).count();
        }
        found
    };
    assert_eq!(told(first..=submitted).await, 0, "not before the lot is fixed");
    let last = chain.block_number().await.unwrap();
    assert_eq!(told(submitted + 1..=last).await, 1, "the draw alone, no vote");
}

fn job_number(job: u64) -> U256 {
    U256::from(job)
}

#[tokio::test]
async fn whatever_is_lost_on_the_way_there_is_one_job_and_one_budget() {
    for fault in [Fault::Swallow, Fault::Mute, Fault::Garble] {
        let (town, chain) = market().await;
        let terms = terms(None, 0);
        let from = chain.block_number().await.unwrap();
        let hasty = process(&town, Town::hasty()).await;
        town.wire.follow(Some(Box::new(move |method| match method {
            "eth_sendRawTransaction" | "eth_sendRawTransactionSync" => Some(fault),
            "eth_getTransactionReceipt" => Some(Fault::Swallow),
            _ => None,
        })));
        let mut tries = 0;
        // The first try may have come to nothing at all.
        while tries < 2 && chain.job_count().await.unwrap() == 0 {
            assert!(hasty.open_job(&terms, from).await.is_err(), "{fault:?}");
            tries += 1;
        }
        town.wire.follow(None);
        let next = process(&town, SenderLimits::default()).await;
        let job = next.open_job(&terms, from).await.unwrap();
        assert_eq!((next.job_count().await.unwrap(), job), (1, 1), "{fault:?}");
        assert_eq!(has(&next, CLIENT).await, 90_000, "{fault:?}");
    }
}

#[tokio::test]
async fn an_evaluator_of_ones_own_pays_or_gives_back_once() {
    let (_town, chain) = market().await;
    let reason = B256::repeat_byte(1);
    for (number, step, end, provider) in [
        (1, JobStep::Complete { reason }, JobStatus::Completed, BUDGET),
        (2, JobStep::Reject { reason }, JobStatus::Rejected, BUDGET),
    ] {
        let terms = JobTerms { description: format!("job {number}"), ..terms(None, 0) };
        let job = chain.open_job(&terms, chain.block_number().await.unwrap()).await.unwrap();
        let submit = JobStep::Submit { deliverable: B256::repeat_byte(7) };
        now(chain.do_with_job(address(PROVIDER), job, &submit).await.unwrap());
        let stranger = chain.do_with_job(address(ANYONE), job, &step).await;
        assert!(
            matches!(&stranger, Err(SettlementError::Reverted { reason, .. }) if reason == "Unauthorized"),
            "{stranger:?}"
        );
        now(chain.do_with_job(address(EVALUATOR), job, &step).await.unwrap());
        let again = chain.do_with_job(address(EVALUATOR), job, &step).await.unwrap();
        assert_eq!(again, Done::Before);
        assert_eq!(chain.job(job).await.unwrap().unwrap().status, end);
        assert_eq!(has(&chain, PROVIDER).await, i128::from(provider));
        assert!(chain.case(job).await.unwrap().is_none(), "nobody judges by lot");
    }
    assert_eq!(has(&chain, CLIENT).await, 90_000);
}

#[tokio::test]
async fn who_never_works_is_not_paid_and_the_client_has_its_money_back() {
    let (town, chain) = market().await;
    let terms = terms(Some(rule(Check::Optimistic)), 0);
    let job = chain.open_job(&terms, chain.block_number().await.unwrap()).await.unwrap();
    let early = chain.do_with_job(address(ANYONE), job, &JobStep::Refund).await;
    assert!(matches!(early, Err(SettlementError::Reverted { .. })), "{early:?}");
    town.clock.fetch_add(20_001, Ordering::SeqCst);
    now(chain.do_with_job(address(ANYONE), job, &JobStep::Refund).await.unwrap());
    let again = chain.do_with_job(address(ANYONE), job, &JobStep::Refund).await.unwrap();
    assert_eq!(again, Done::Before);
    assert_eq!(has(&chain, CLIENT).await, 100_000);
    assert!(chain.job(99).await.unwrap().is_none());
}
