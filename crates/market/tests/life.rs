//! Jobs from their opening to each of their endings, with every unit of their money.

mod town;

use market::*;
use town::*;

/// What parties gained since a moment: free money and stakes together.
fn gained(town: &Town, before: &Town, n: u8) -> i128 {
    let all = |town: &Town| town.free(n) + town.pooled(n);
    all(town) - all(before)
}

fn checkers(town: &Town, before: &Town) -> i128 {
    CHECKERS.map(|n| gained(town, before, n)).sum()
}

#[track_caller]
fn ends(town: &mut Town, before: &Town, n: u128, stage: Stage, money: [i128; 4]) {
    town.check();
    assert_eq!(town.stage(n), stage);
    let [client, worker, checking, treasury] = money;
    assert_eq!(client + worker + checking + treasury, 0, "the test itself adds up");
    assert_eq!(gained(town, before, CLIENT), client, "client");
    assert_eq!(gained(town, before, WORKER), worker, "worker");
    assert_eq!(checkers(town, before), checking, "checkers");
    assert_eq!(gained(town, before, TREASURY), treasury, "treasury");
}

#[test]
fn exact_work_that_passes_is_paid_and_the_rest_comes_back() {
    let mut town = Town::new();
    let before = town.clone();
    town.hire(terms(1));
    assert_eq!(town.free(CLIENT), 98_000);
    assert_eq!(town.free(WORKER), 99_500);
    town.deliver(1, WORKER, answer(1));
    town.judge(1, Some((WORKER, answer(1))), &[Some(answer(1))]);
    // Price 1,000 with a fee of one per cent, and one executor's 50.
    ends(&mut town, &before, 1, Stage::Completed, [-1_050, 990, 50, 10]);
    assert_eq!(town.market.record(party(WORKER), SKILL).passed, 10);
}

#[test]
fn exact_work_that_fails_costs_the_worker_and_not_the_client() {
    let mut town = Town::new();
    let before = town.clone();
    town.hire(terms(1));
    town.deliver(1, WORKER, answer(2));
    town.judge(1, Some((WORKER, answer(2))), &[Some(answer(1))]);
    // The stake of 500 pays the executor; what is left is nobody's reward.
    ends(&mut town, &before, 1, Stage::Rejected, [0, -500, 50, 450]);
    assert_eq!(town.market.record(party(WORKER), SKILL).failed, 10);
}

#[test]
fn a_worker_that_never_opens_what_it_sealed_fails() {
    let mut town = Town::new();
    let before = town.clone();
    town.hire(terms(1));
    town.deliver(1, WORKER, answer(2));
    town.judge(1, None, &[Some(answer(1))]);
    town.pass(100);
    ends(&mut town, &before, 1, Stage::Rejected, [0, -500, 50, 450]);
}

#[test]
fn a_worker_that_dies_loses_a_tenth_of_its_stake_and_the_client_nothing() {
    let mut town = Town::new();
    let before = town.clone();
    town.hire(terms(1));
    town.pass(10_000);
    ends(&mut town, &before, 1, Stage::Expired, [0, -50, 0, 50]);
    assert_eq!(town.market.busy(offer(u128::from(WORKER))), 0);
}

#[test]
fn silent_checkers_are_replaced_once_and_nobody_who_takes_part_gains_by_it() {
    let mut town = Town::new();
    let before = town.clone();
    town.hire(terms(1));
    town.deliver(1, WORKER, answer(1));
    town.judge(1, None, &[None]);
    assert_eq!(town.stage(1), Stage::Drawing);
    town.judge(1, None, &[None]);
    // Each lost its deposit of five fees to the treasury.
    ends(&mut town, &before, 1, Stage::Expired, [0, 0, -500, 500]);
}

#[test]
fn a_ring_s_words_cost_it_the_fees_and_the_checkers_on_all_that_they_stand_on() {
    // Client and worker are one: both sides of the price are its own.
    let (mut town, before) = (Town::new(), Town::new());
    for n in 1..=8 {
        town.hire(terms(n));
        town.deliver(n, WORKER, answer(1));
        town.judge(n, Some((WORKER, answer(1))), &[Some(answer(1))]);
        assert_eq!(town.stage(n), Stage::Completed);
    }
    let mut words = reputation::words::Words::default();
    words.read(town.market.receipts(), town.market.rules());
    let said = i128::from(words.count(party(WORKER), SKILL));
    let lost = -gained(&town, &before, CLIENT) - gained(&town, &before, WORKER);
    assert_eq!((said, lost), (8, 8 * (10 + 50)));
    let word = words.word(town.market.receipts(), party(WORKER), SKILL, 8).unwrap();
    assert_eq!((word.worth.checked, word.worth.value()), (1_000, 10_000));
    // Never less than the market's fee on the evidence that each needs.
    assert!(lost >= said * town.market.rules().fee(town.market.rules().evidence_unit));
    // Where nobody has checked there is nothing to say.
    let mut town = Town::new();
    town.hire(Terms { audit: 1, ..terms(1) });
    town.deliver(1, WORKER, answer(1));
    town.pass(1_000);
    let mut none = reputation::words::Words::default();
    none.read(town.market.receipts(), town.market.rules());
    assert_eq!(none.all().count(), 0);
}

#[test]
fn without_entropy_everybody_has_its_money_back() {
    let mut town = Town::new();
    let before = town.clone();
    town.hire(terms(1));
    town.deliver(1, WORKER, answer(1));
    town.pass(1_000);
    ends(&mut town, &before, 1, Stage::Expired, [0, 0, 0, 0]);
}

#[test]
fn work_that_the_lot_passes_over_is_opened_paid_and_shows_nothing() {
    let mut town = Town::new();
    let before = town.clone();
    town.hire(Terms { audit: 1, ..terms(1) });
    town.hire(Terms { audit: 1, ..terms(2) });
    for n in [1, 2] {
        town.deliver(n, WORKER, answer(1));
        town.done(Operation::Draw { job: job(n), entropy: digest(1) });
        assert!(town.seats(n).is_empty());
    }
    let (by, report) = (party(WORKER), answer(1));
    town.done(Operation::RevealReport { job: job(1), by, report, salt: salt() });
    assert_eq!(town.stage(1), Stage::Completed);
    assert!(town.market.receipts().is_empty());
    // Who keeps it closed has delivered nothing.
    town.pass(100);
    ends(&mut town, &before, 2, Stage::Rejected, [-1_000, 490, 0, 510]);
}

#[test]
fn redundant_work_is_decided_by_the_vote_and_the_outvoted_checker_pays() {
    let mut town = Town::new();
    let before = town.clone();
    town.hire(Terms { check: Check::Redundant { peers: 2 }, ..terms(1) });
    town.deliver(1, WORKER, answer(1));
    town.judge(1, Some((WORKER, answer(1))), &[Some(answer(1)), Some(answer(9))]);
    ends(&mut town, &before, 1, Stage::Completed, [-1_050, 990, 0, 60]);
}

#[test]
fn who_copies_a_sealed_report_cannot_open_it() {
    let mut town = Town::new();
    town.hire(Terms { check: Check::Redundant { peers: 2 }, ..terms(1) });
    town.deliver(1, WORKER, answer(1));
    town.done(Operation::Draw { job: job(1), entropy: digest(8) });
    let seats = town.seats(1);
    let commitment = answer(1).commitment(job(1), seats[0], &salt());
    for by in &seats {
        town.done(Operation::CommitReport { job: job(1), by: *by, commitment });
    }
    let open = |by| Operation::RevealReport { job: job(1), by, report: answer(1), salt: salt() };
    town.done(open(seats[0]));
    assert_eq!(town.refused(open(seats[1])), Refusal::CommitmentBroken { party: seats[1] });
}

#[test]
fn hidden_tests_decide_and_a_silent_examiner_pays() {
    let key = gold_key();
    let gold = |n| Terms {
        check: Check::Gold { examiner: party(10), key: key.commitment(), pass_mark: 600_000 },
        appeals: 1,
        ..terms(n)
    };
    let mut right = vec![0; 12];
    (right[4], right[8]) = (1, 2);
    for (labels, stage, money) in [
        (right.clone(), Stage::Completed, [-1_050, 990, 50, 10]),
        (vec![0; 12], Stage::Rejected, [0, -500, 50, 450]),
    ] {
        let mut town = Town::new();
        let before = town.clone();
        town.hire(gold(1));
        town.deliver(1, WORKER, Report::Labels(labels));
        let lie = GoldKey { answers: vec![(0, 9)], salt: digest(5) };
        let by = party(10);
        let refusal = town.refused(Operation::Examine { job: job(1), by, key: lie });
        assert_eq!(refusal, Refusal::CommitmentBroken { party: by });
        town.done(Operation::Examine { job: job(1), by, key: key.clone() });
        assert_eq!(town.stage(1), Stage::Appealable);
        town.pass(100);
        ends(&mut town, &before, 1, stage, money);
    }
    let mut town = Town::new();
    let before = town.clone();
    town.hire(gold(1));
    town.deliver(1, WORKER, Report::Labels(right));
    town.pass(100);
    ends(&mut town, &before, 1, Stage::Completed, [-1_000, 990, -250, 260]);
    assert!(town.market.receipts().is_empty(), "nothing was checked, so nothing is shown");
}

#[test]
fn an_examiner_in_the_clients_pay_is_overruled_by_jurors() {
    let key = GoldKey { answers: vec![(0, 9)], salt: digest(5) };
    let check = Check::Gold { examiner: party(10), key: key.commitment(), pass_mark: 1 };
    let mut town = Town::new();
    let before = town.clone();
    town.hire(Terms { check, appeals: 1, ..terms(1) });
    town.deliver(1, WORKER, Report::Labels(vec![0; 12]));
    town.done(Operation::Examine { job: job(1), by: party(10), key });
    town.done(Operation::Appeal { job: job(1), by: party(WORKER) });
    town.judge(1, None, &[const { Some(Report::Vote(true)) }; 3]);
    // The examiner pays the jurors.
    ends(&mut town, &before, 1, Stage::Completed, [-1_000, 990, 0, 10]);
}

#[test]
fn labels_that_agree_beyond_chance_pass_and_constants_do_not() {
    let truth: Vec<u16> = (0..12).map(|n| n % 3).collect();
    let labels = |labels: &[u16]| Some(Report::Labels(labels.to_vec()));
    for (delivered, stage) in [(truth.clone(), Stage::Completed), (vec![0; 12], Stage::Rejected)] {
        let mut town = Town::new();
        town.hire(Terms { check: Check::Peer { raters: 2, pass_mark: 300_000 }, ..terms(1) });
        town.deliver(1, WORKER, Report::Labels(delivered.clone()));
        let worker = Some((WORKER, Report::Labels(delivered.clone())));
        town.judge(1, worker, &[labels(&truth), labels(&truth)]);
        assert_eq!(town.stage(1), stage);
        town.check();
        // Labels are forgotten, and still known when they come again.
        let ended = town.market.job(job(1)).unwrap();
        assert!(!format!("{ended:?}").contains("Labels"));
        let (by, report) = (party(WORKER), Report::Labels(delivered));
        let again = Operation::RevealReport { job: job(1), by, report, salt: salt() };
        assert_eq!(town.act(&again), Outcome::Exists);
    }
}

#[test]
fn silence_pays_optimistic_work_and_shows_nothing() {
    let mut town = Town::new();
    let before = town.clone();
    let check = Check::Optimistic { window_ms: 1_000, executors: 1 };
    town.hire(Terms { check, ..terms(1) });
    town.deliver(1, WORKER, answer(1));
    town.pass(999);
    assert_eq!(town.stage(1), Stage::Challengeable);
    town.pass(1);
    ends(&mut town, &before, 1, Stage::Completed, [-1_000, 990, 0, 10]);
    assert!(town.market.receipts().is_empty());
}

#[test]
fn a_challenger_who_is_right_earns_and_one_who_is_wrong_pays() {
    let check = Check::Optimistic { window_ms: 1_000, executors: 1 };
    for (found, stage, challenger, worker) in [
        // The stake of 500 pays the executor's 50 back; half of the rest is the reward.
        (answer(7), Stage::Rejected, 225, -500),
        // The bond of 100 pays the executor; the worker gets the rest for waiting.
        (answer(1), Stage::Completed, -100, 1_040),
    ] {
        let mut town = Town::new();
        let before = town.clone();
        town.hire(Terms { check, ..terms(1) });
        town.deliver(1, WORKER, answer(1));
        town.done(Operation::Challenge { job: job(1), by: party(RIVAL) });
        town.judge(1, None, &[Some(found)]);
        town.check();
        assert_eq!(town.stage(1), stage);
        assert_eq!(gained(&town, &before, RIVAL), challenger);
        assert_eq!(gained(&town, &before, WORKER), worker);
    }
}

#[test]
fn a_challenge_that_finds_no_panel_lets_the_silence_stand() {
    let check = Check::Optimistic { window_ms: 1_000, executors: 1 };
    let mut town = Town::new();
    let before = town.clone();
    town.hire(Terms { check, ..terms(1) });
    town.deliver(1, WORKER, answer(1));
    town.done(Operation::Challenge { job: job(1), by: party(CLIENT) });
    // Everybody leaves the pool, or stays in it with less than a deposit of 250.
    for n in CHECKERS.skip(10) {
        town.done(Operation::Leave { party: party(n) });
    }
    for n in CHECKERS.take(10) {
        town.done(Operation::Enlist { party: party(n), stake: musd(249) });
    }
    let draw = Operation::Draw { job: job(1), entropy: digest(1) };
    assert_eq!(town.refused(draw), Refusal::PoolTooSmall { has: 0, needs: 1 });
    town.pass(200);
    ends(&mut town, &before, 1, Stage::Completed, [-1_000, 990, 0, 10]);
    assert!(town.market.receipts().is_empty());
    // Nor is anything hired, or challenged, that these could not judge.
    town.done(Operation::Open(Box::new(Terms { check, ..terms(2) })));
    let fund = town.refused(Operation::Fund { job: job(2) });
    assert_eq!(fund, Refusal::PoolTooSmall { has: 0, needs: 1 });
}

#[test]
fn who_says_what_it_checks_is_drawn_for_nothing_else() {
    let mut town = Town::new();
    let qualify = |n, skills: Option<&[Skill]>| Operation::Qualify {
        party: party(n),
        skills: skills.map(|skills| skills.iter().copied().collect()),
    };
    let other = Skill::from_u128(77);
    // All but four check other work; nobody else is ever drawn for this.
    let able: Vec<u8> = CHECKERS.take(4).collect();
    for n in CHECKERS.skip(4) {
        town.done(qualify(n, Some(&[other])));
        assert_eq!(town.act(&qualify(n, Some(&[other]))), Outcome::Exists);
    }
    assert_eq!((town.market.checkers_of(SKILL), town.market.checkers_of(other)), (4, 20));
    let executors = |n, executors| Terms { check: Check::Exact { executors }, ..terms(n) };
    for n in 1..=20 {
        town.hire(executors(n, 1));
        town.deliver(n, WORKER, answer(1));
        town.judge(n, Some((WORKER, answer(1))), &[Some(answer(1))]);
        assert!(able.iter().any(|able| town.seats(n) == [party(*able)]), "{:?}", town.seats(n));
        assert_eq!(town.stage(n), Stage::Completed);
    }
    // Client and worker may be two of the four: three seats could stay empty, which is told before any money moves.
    town.done(Operation::Open(Box::new(executors(21, 3))));
    let before = town.free(CLIENT);
    let nobody = Refusal::NobodyChecks { has: 2, needs: 3 };
    assert_eq!(town.refused(Operation::Fund { job: job(21) }), nobody);
    assert_eq!(town.free(CLIENT), before);
    assert!(nobody.can_retry(), "checkers may come");
    // They come: the same can be hired for.
    for n in [14, 15] {
        town.done(qualify(n, Some(&[SKILL, other])));
    }
    town.done(Operation::Fund { job: job(21) });
    // Who changed its mind while the job was under way is not drawn; the panel waits for others.
    town.deliver(21, WORKER, answer(1));
    for n in [13, 14, 15] {
        town.done(qualify(n, Some(&[])));
    }
    for n in [10, 11] {
        town.done(Operation::Leave { party: party(n) });
    }
    let draw = Operation::Draw { job: job(21), entropy: digest(9) };
    assert_eq!(town.refused(draw.clone()), Refusal::NobodyChecks { has: 1, needs: 3 });
    // Who leaves and comes again checks anything, as at first.
    for n in [14, 15] {
        town.done(Operation::Leave { party: party(n) });
        town.done(Operation::Enlist { party: party(n), stake: musd(10_000) });
        assert_eq!(town.market.checked_by(party(n)), None);
    }
    town.done(draw);
    let mut seats = town.seats(21);
    seats.sort_unstable();
    assert_eq!(seats, [party(12), party(14), party(15)]);
    town.check();
    // What is said is bounded, and by checkers alone.
    let many = (0..=MAX_CHECKED_SKILLS as u128).map(Skill::from_u128).collect::<Vec<_>>();
    assert_eq!(town.refused(qualify(14, Some(&many))), Refusal::TooManySkills);
    town.done(qualify(14, Some(&many[1..])));
    let stranger = Refusal::NotEnlisted { party: party(WORKER) };
    assert_eq!(town.refused(qualify(WORKER, None)), stranger);
    let mut again = State::new(rules()).unwrap();
    for (at, operation) in &town.journal {
        let _ = again.apply(*at, operation, &mut Vec::new());
    }
    assert_eq!(again.digest(), town.market.digest(), "a journal gives it again");
}

#[test]
fn an_appeal_that_turns_the_verdict_is_paid_by_those_who_were_wrong() {
    let mut town = Town::new();
    let before = town.clone();
    let appeals = Terms { check: Check::Juror { jurors: 3 }, appeals: 1, ..terms(1) };
    town.hire(appeals);
    town.deliver(1, WORKER, answer(1));
    let vote = |pass| Some(Report::Vote(pass));
    town.judge(1, None, &[vote(false), vote(false), vote(true)]);
    assert_eq!(town.stage(1), Stage::Appealable);
    let by_client = Operation::Appeal { job: job(1), by: party(CLIENT) };
    assert_eq!(town.refused(by_client), Refusal::NothingToAppeal { party: party(CLIENT) });
    town.done(Operation::Appeal { job: job(1), by: party(WORKER) });
    let first = town.seats(1);
    town.judge(1, None, &[const { Some(Report::Vote(true)) }; 7]);
    assert!(town.seats(1).iter().all(|seat| !first.contains(seat)), "nobody sits twice");
    // Seven jurors of the appeal cost 350; two were wrong before, and pay 175 each. The client
    // pays the one who was right.
    ends(&mut town, &before, 1, Stage::Completed, [-1_050, 990, 50, 10]);
}

#[test]
fn a_client_who_disputes_for_nothing_pays_for_it() {
    let mut town = Town::new();
    let before = town.clone();
    town.hire(Terms { appeals: 1, ..terms(1) });
    town.deliver(1, WORKER, answer(1));
    town.judge(1, Some((WORKER, answer(1))), &[Some(answer(1))]);
    town.done(Operation::Appeal { job: job(1), by: party(CLIENT) });
    town.judge(1, None, &[const { Some(Report::Vote(true)) }; 3]);
    // The bond of 300: half for three jurors, half for the worker who had to wait.
    ends(&mut town, &before, 1, Stage::Completed, [-1_350, 1_140, 200, 10]);
}

#[test]
fn a_sealed_round_is_won_by_score_and_paid_the_second() {
    let mut town = Town::new();
    let pricing = Pricing::Auction { committed: true, bond: musd(20) };
    town.hire(Terms { pricing, ..terms(1) });
    let seal = |n: u8, price| Operation::Commit {
        job: job(1),
        offer: offer(u128::from(n)),
        commitment: bid_commitment(job(1), party(n), musd(price), &salt()),
    };
    let open = |n: u8, price| Operation::Reveal {
        job: job(1),
        offer: offer(u128::from(n)),
        price: musd(price),
        salt: salt(),
    };
    town.done(seal(WORKER, 700));
    town.done(seal(RIVAL, 900));
    assert_eq!(town.act(&seal(RIVAL, 900)), Outcome::Exists);
    assert!(matches!(town.refused(open(WORKER, 700)), Refusal::WrongStage { .. }));
    town.pass(100);
    assert!(matches!(town.refused(seal(RIVAL, 600)), Refusal::BidExists { .. }));
    assert!(matches!(town.refused(open(WORKER, 1)), Refusal::CommitmentBroken { .. }));
    town.done(open(WORKER, 700));
    town.done(open(RIVAL, 900));
    town.pass(100);
    town.done(Operation::Clear { job: job(1), entropy: digest(3) });
    town.check();
    let hired = town.market.job(job(1)).unwrap();
    assert_eq!(hired.stage, Stage::Working);
    let asked = if hired.worker == Some(party(WORKER)) { 700 } else { 900 };
    assert!(hired.price >= asked && hired.price <= hired.most_price());
    assert_eq!(town.free(WORKER) + town.free(RIVAL), 200_000 - 500, "bonds are back");
}

#[test]
fn who_seals_a_bid_and_keeps_it_closed_loses_its_bond() {
    let mut town = Town::new();
    let before = town.clone();
    let pricing = Pricing::Auction { committed: true, bond: musd(20) };
    town.hire(Terms { pricing, ..terms(1) });
    let offer = offer(u128::from(WORKER));
    town.done(Operation::Commit { job: job(1), offer, commitment: digest(1) });
    town.pass(200);
    ends(&mut town, &before, 1, Stage::Expired, [0, -20, 0, 20]);
}

#[test]
fn a_bid_can_be_taken_back_while_bids_come_in() {
    let mut town = Town::new();
    town.hire(Terms { pricing: Pricing::Quotes, ..terms(1) });
    let offer = offer(u128::from(WORKER));
    town.done(Operation::Bid { job: job(1), offer, price: musd(900) });
    town.done(Operation::Unbid { job: job(1), offer });
    let accept = Operation::Accept { job: job(1), offer, by: party(CLIENT) };
    assert_eq!(town.refused(accept), Refusal::BidNotFound { offer });
    let rival = OfferId::from_u128(u128::from(RIVAL));
    town.done(Operation::Bid { job: job(1), offer: rival, price: musd(800) });
    town.done(Operation::Accept { job: job(1), offer: rival, by: party(CLIENT) });
    assert_eq!(town.market.job(job(1)).unwrap().price, 800);
}

/// A foreman's job for 1,000 with a stake of 900, and one that it hires the rival for.
fn tree(town: &mut Town, budget: i128) -> Outcome {
    town.hire(Terms { stake: musd(900), ..terms(1) });
    let child = Terms {
        client: party(WORKER),
        parent: Some(job(1)),
        budget: musd(budget),
        checker_fee: musd(10),
        stake: musd(0),
        pricing: Pricing::Quotes,
        deliver_by: at(5_000),
        ..terms(2)
    };
    town.done(Operation::Open(Box::new(child)));
    town.act(&Operation::Fund { job: job(2) })
}

fn hire_rival(town: &mut Town, n: u128, price: i128) {
    let offer = OfferId::from_u128(u128::from(RIVAL));
    town.done(Operation::Bid { job: job(n), offer, price: musd(price) });
    town.done(Operation::Accept { job: job(n), offer, by: party(WORKER) });
}

#[test]
fn a_foreman_hires_from_its_price_and_keeps_the_margin() {
    let mut town = Town::new();
    let before = town.clone();
    assert_eq!(tree(&mut town, 600), Outcome::Applied);
    hire_rival(&mut town, 2, 400);
    assert_eq!(town.market.provenance(job(2)).len(), 2);
    let early =
        Operation::Submit { job: job(1), by: party(WORKER), delivery: Delivery::Sealed(digest(1)) };
    assert_eq!(town.refused(early), Refusal::ChildrenOpen { job: job(1), open: 1 });
    town.deliver(2, RIVAL, answer(1));
    town.judge(2, Some((RIVAL, answer(1))), &[Some(answer(1))]);
    assert_eq!(town.stage(2), Stage::Completed);
    assert_eq!(town.market.job(job(1)).unwrap().spent, 410);
    town.deliver(1, WORKER, answer(3));
    town.judge(1, Some((WORKER, answer(3))), &[Some(answer(3))]);
    assert_eq!(gained(&town, &before, RIVAL), 396);
    ends_with_rival(&mut town, &before, Stage::Completed, [-1_050, 580, 60, 14]);
}

#[track_caller]
fn ends_with_rival(town: &mut Town, before: &Town, stage: Stage, money: [i128; 4]) {
    let rival = gained(town, before, RIVAL);
    let [client, worker, checking, treasury] = money;
    assert_eq!(client + worker + checking + treasury + rival, 0, "it adds up");
    town.check();
    assert_eq!(town.stage(1), stage);
    assert_eq!(gained(town, before, CLIENT), client, "client");
    assert_eq!(gained(town, before, WORKER), worker, "worker");
    assert_eq!(checkers(town, before), checking, "checkers");
    assert_eq!(gained(town, before, TREASURY), treasury, "treasury");
}

#[test]
fn if_the_foreman_fails_it_answers_for_what_it_spent() {
    let mut town = Town::new();
    let before = town.clone();
    assert_eq!(tree(&mut town, 600), Outcome::Applied);
    hire_rival(&mut town, 2, 400);
    town.deliver(2, RIVAL, answer(1));
    town.judge(2, Some((RIVAL, answer(1))), &[Some(answer(1))]);
    town.pass(10_000);
    // The rival's work passed, so it keeps its pay; the client has all of its money back.
    // The foreman bears what it hired for, 410, and a tenth of its whole stake.
    assert_eq!(gained(&town, &before, RIVAL), 396);
    ends_with_rival(&mut town, &before, Stage::Expired, [0, -500, 10, 94]);
}

#[test]
fn a_failed_branch_is_refunded_into_the_budget_and_hired_again() {
    let mut town = Town::new();
    assert_eq!(tree(&mut town, 600), Outcome::Applied);
    hire_rival(&mut town, 2, 400);
    town.done(Operation::Abandon { job: job(2), by: party(RIVAL) });
    let parent = town.market.job(job(1)).unwrap();
    assert_eq!((parent.spent, parent.allotted, parent.escrow), (0, 0, 2_000));
    assert_eq!(parent.stake, 900, "what came back need not be answered for");
    let again = Terms { id: job(3), ..(*town.market.job(job(2)).unwrap().terms).clone() };
    town.hire(again);
    hire_rival(&mut town, 3, 500);
    town.check();
}

#[test]
fn no_branch_takes_more_than_the_price_or_the_foremans_money() {
    let mut town = Town::new();
    let Outcome::Refused(refusal) = tree(&mut town, 991) else { panic!("it was funded") };
    assert_eq!(refusal, Refusal::ParentBudgetExceeded { asked: musd(991), left: musd(990) });
    let mut town = Town::new();
    let (id, party, amount) = (MoveId::from_u128(900), party(WORKER), musd(98_500));
    town.done(Operation::Withdraw { id, party, amount });
    let Outcome::Refused(refusal) = tree(&mut town, 601) else { panic!("it was funded") };
    assert_eq!(refusal, Refusal::LiabilityNotCovered { available: musd(600), needs: musd(601) });
}

#[test]
fn two_clients_race_for_one_worker_and_one_of_them_wins() {
    let mut town = Town::new();
    town.done(Operation::Publish(agreeing(50, WORKER, 1_000, 1)));
    let pricing = Pricing::Posted { offer: offer(50) };
    town.hire(Terms { pricing: pricing.clone(), ..terms(1) });
    town.done(Operation::Open(Box::new(Terms { client: party(RIVAL), pricing, ..terms(2) })));
    let refusal = town.refused(Operation::Fund { job: job(2) });
    assert_eq!(refusal, Refusal::OfferBusy { offer: offer(50), capacity: 1 });
    assert!(refusal.can_retry());
    town.deliver(1, WORKER, answer(1));
    town.done(Operation::Fund { job: job(2) });
    town.check();
}
