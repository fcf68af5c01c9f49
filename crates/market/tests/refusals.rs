//! Each refusal by name, and which comes first when several hold.

mod town;

use market::checks::peer::MAX_RATERS;
use market::*;
use town::*;

fn bad_terms(change: impl Fn(&mut Terms)) -> Operation {
    let mut terms = terms(1);
    change(&mut terms);
    Operation::Open(Box::new(terms))
}

#[track_caller]
fn refused(town: &mut Town, operation: Operation, refusal: Refusal) {
    let before = town.market.digest();
    assert_eq!(town.refused(operation), refusal);
    assert_eq!(town.market.digest(), before, "a refused operation leaves no trace");
}

#[test]
fn amounts_are_checked_before_anything_else() {
    let mut town = Town::new();
    let nothing = |amount| Operation::Deposit {
        id: MoveId::from_u128(u128::from(CLIENT)),
        party: party(CLIENT),
        amount,
    };
    for minor in [0, -1, i128::MIN] {
        let amount = musd(minor);
        refused(&mut town, nothing(amount), Refusal::AmountMustBePositive { amount });
    }
    for minor in [MAX_MINOR + 1, i128::MAX] {
        let amount = musd(minor);
        refused(&mut town, nothing(amount), Refusal::AmountTooLarge { amount });
    }
    // All that may be is here already.
    let amount = musd(MAX_MINOR);
    let id = MoveId::from_u128(999);
    let most = Operation::Deposit { id, party: party(1), amount };
    refused(&mut town, most, Refusal::AmountTooLarge { amount });
    let usdc = Amount::from_minor(Asset::USDC, 1);
    let other = Refusal::AssetMustBeTheMarkets { asset: Asset::USDC, market: Asset::MUSD };
    refused(&mut town, nothing(usdc), other);
    let taken = Refusal::ExistsWithDifferent {
        what: "deposit or withdrawal".into(),
        id: MoveId::from_u128(1).to_string(),
    };
    refused(&mut town, nothing(musd(1)), taken);
    assert_eq!(town.act(&nothing(musd(100_000))), Outcome::Exists);
}

#[test]
fn terms_are_checked_in_this_order() {
    let mut town = Town::new();
    let problem = |problem| Refusal::TermsInvalid { problem };
    type Change = fn(&mut Terms);
    let cases: [(Change, Refusal); 9] = [
        (|t| t.budget = musd(0), Refusal::AmountMustBePositive { amount: musd(0) }),
        (|t| t.deliver_by = at(0), problem(TermsProblem::DeliverBy)),
        (|t| t.check_ms = 0, problem(TermsProblem::CheckTime)),
        (|t| t.audit = 0, problem(TermsProblem::Share)),
        (|t| t.check = Check::Exact { executors: 2 }, problem(TermsProblem::Seats)),
        (|t| t.appeals = 4, problem(TermsProblem::Appeals)),
        (|t| t.budget = musd(100), problem(TermsProblem::Budget)),
        (
            |t| {
                t.check = Check::Optimistic { window_ms: 1, executors: 3 };
                t.stake = musd(301);
            },
            problem(TermsProblem::Stake),
        ),
        (
            |t| {
                t.check =
                    Check::Gold { examiner: party(CLIENT), key: digest(0), pass_mark: 500_000 };
            },
            problem(TermsProblem::Examiner),
        ),
    ];
    for (at, (change, refusal)) in cases.iter().enumerate() {
        refused(&mut town, bad_terms(change), refusal.clone());
        // Together with any earlier fault, the earlier one is named, where both can be.
        for (earlier, first) in cases[..at].iter().filter(|_| at < 6) {
            let both = bad_terms(|terms| {
                change(terms);
                earlier(terms);
            });
            refused(&mut town, both, first.clone());
        }
    }
    let far = bad_terms(|terms| terms.deliver_by = at(MAX_DURATION_MS + 1));
    refused(&mut town, far, problem(TermsProblem::DeliverBy));
    let hasty = bad_terms(|terms| terms.check_ms = 99);
    refused(&mut town, hasty, problem(TermsProblem::CheckTime));
    let even = bad_terms(|terms| terms.check = Check::Redundant { peers: 3 });
    refused(&mut town, even, problem(TermsProblem::Seats));
    let none = bad_terms(|terms| terms.check = Check::Juror { jurors: 0 });
    refused(&mut town, none, problem(TermsProblem::Seats));
    let raters = MAX_RATERS + 1;
    let crowd = bad_terms(|terms| terms.check = Check::Peer { raters, pass_mark: 1 });
    refused(&mut town, crowd, problem(TermsProblem::Seats));
    let many = bad_terms(|terms| terms.check = Check::Juror { jurors: 255 });
    refused(&mut town, many, problem(TermsProblem::Seats));
}

#[test]
fn what_is_not_there_or_not_yours_cannot_be_used() {
    let mut town = Town::new();
    let nowhere = Refusal::JobNotFound { job: job(9) };
    refused(&mut town, Operation::Fund { job: job(9) }, nowhere);
    let retire = |n, by| Operation::Retire { offer: offer(n), by: party(by) };
    refused(&mut town, retire(99, 1), Refusal::OfferNotFound { offer: offer(99) });
    let theirs = Refusal::NotYours { by: party(CLIENT), owner: party(WORKER) };
    refused(&mut town, retire(2, CLIENT), theirs);
    let orphan = bad_terms(|terms| terms.parent = Some(job(9)));
    refused(&mut town, orphan, Refusal::ParentNotFound { parent: job(9) });
    let leave = Operation::Leave { party: party(CLIENT) };
    refused(&mut town, leave, Refusal::NotEnlisted { party: party(CLIENT) });

    let dust = Operation::Enlist { party: party(CLIENT), stake: musd(99) };
    refused(&mut town, dust, Refusal::PoolStakeTooSmall { least: musd(100) });

    town.done(Operation::Open(Box::new(terms(1))));
    let other = bad_terms(|terms| terms.budget = musd(3_000));
    let taken = Refusal::ExistsWithDifferent { what: "job".into(), id: job(1).to_string() };
    refused(&mut town, other, taken);
    let cancel = Operation::Cancel { job: job(1), by: party(RIVAL) };
    let theirs = Refusal::NotYours { by: party(RIVAL), owner: party(CLIENT) };
    refused(&mut town, cancel, theirs);
}

#[test]
fn offers_are_bounded_and_serve_their_skill_alone() {
    let mut town = Town::new();
    let publish = |n: u128, capacity| {
        let skill = Skill::from_u128(2);
        Operation::Publish(Offer { skill, ..agreeing(n, WORKER, 10, capacity) })
    };
    refused(&mut town, publish(1_000, 0), Refusal::CapacityMissing);
    for n in 0..u128::from(MAX_OFFERS) - 1 {
        town.done(publish(1_000 + n, 1));
    }
    refused(&mut town, publish(5_000, 1), Refusal::TooManyOffers { party: party(WORKER) });
    let hire = |n: u128| Terms { pricing: Pricing::Posted { offer: offer(n) }, ..terms(n) };
    town.done(Operation::Open(Box::new(hire(1_000))));
    let other = Refusal::OfferOfOtherSkill { offer: offer(1_000) };
    refused(&mut town, Operation::Fund { job: job(1_000) }, other);
    town.done(Operation::Retire { offer: offer(1_000), by: party(WORKER) });
    town.done(publish(5_000, 1));
    let retired = Refusal::OfferRetired { offer: offer(1_000) };
    refused(&mut town, Operation::Fund { job: job(1_000) }, retired);
}

#[test]
fn a_posted_price_hires_only_on_terms_that_its_worker_agreed_to() {
    let mut town = Town::new();
    let limited = Offer {
        most_stake: musd(500),
        least_ms: 5_000,
        checks: [CheckKind::Exact, CheckKind::Peer].into(),
        most_mark: 300_000,
        ..agreeing(50, WORKER, 1_000, 1)
    };
    town.done(Operation::Publish(limited));
    let pricing = Pricing::Posted { offer: offer(50) };
    let agreed = Terms { pricing, deliver_by: at(5_000), ..terms(1) };
    type Change = fn(&mut Terms);
    let cases: [(Change, OfferLimit); 4] = [
        (|t| t.stake = musd(501), OfferLimit::Stake { most: musd(500) }),
        (|t| t.deliver_by = at(4_999), OfferLimit::Time { least_ms: 5_000 }),
        (|t| t.check = Check::Juror { jurors: 1 }, OfferLimit::Check { check: CheckKind::Juror }),
        (
            |t| t.check = Check::Peer { raters: 2, pass_mark: 300_001 },
            OfferLimit::Mark { most: 300_000 },
        ),
    ];
    for (n, (change, limit)) in cases.into_iter().enumerate() {
        let id = job(2 + n as u128);
        let mut asked = Terms { id, ..agreed.clone() };
        change(&mut asked);
        town.done(Operation::Open(Box::new(asked)));
        let refusal = Refusal::OfferDoesNotAgree { offer: offer(50), limit };
        refused(&mut town, Operation::Fund { job: id }, refusal);
    }
    town.hire(agreed);
    let unheard = bad_terms(|terms| {
        terms.id = job(9);
        terms.check = Check::Gold { examiner: party(10), key: digest(0), pass_mark: 500_000 };
    });
    let problem = TermsProblem::AppealMissing;
    refused(&mut town, unheard, Refusal::TermsInvalid { problem });
}

#[test]
fn funding_is_checked_in_this_order() {
    let mut town = Town::new();
    // Its client is its worker, its price is too high, and nobody could pay.
    let faulty = Terms {
        client: party(WORKER),
        budget: musd(1_050),
        stake: musd(200_000),
        check: Check::Juror { jurors: 19 },
        checker_fee: musd(1),
        ..terms(1)
    };
    town.done(Operation::Open(Box::new(faulty.clone())));
    let fund = |n| Operation::Fund { job: job(n) };
    refused(&mut town, fund(1), Refusal::PoolTooSmall { has: 18, needs: 19 });
    let few = Terms { id: job(2), check: Check::Juror { jurors: 17 }, ..faulty.clone() };
    let few = Terms { budget: musd(1_030), ..few };
    town.done(Operation::Open(Box::new(few.clone())));
    refused(&mut town, fund(2), Refusal::SelfDealing { party: party(WORKER) });
    let clean = Terms { id: job(3), client: party(CLIENT), ..few };
    town.done(Operation::Open(Box::new(clean.clone())));
    let dear = Refusal::PriceAboveReserve { price: musd(1_000), most: musd(996) };
    refused(&mut town, fund(3), dear);
    let dear = Terms { id: job(4), budget: musd(200_000), ..clean };
    town.done(Operation::Open(Box::new(dear.clone())));
    let poor = |n, asked| Refusal::Unfunded {
        party: party(n),
        available: musd(100_000),
        asked: musd(asked),
    };
    refused(&mut town, fund(4), poor(WORKER, 200_000));
    let staked = Terms { id: job(5), stake: musd(1), ..dear };
    town.done(Operation::Open(Box::new(staked)));
    refused(&mut town, fund(5), poor(CLIENT, 200_000));
}

#[test]
fn bids_that_are_replayed_changed_dear_unfunded_or_too_many_are_refused() {
    let mut town = Town::new();
    town.hire(Terms {
        pricing: Pricing::Auction { committed: false, bond: musd(0) },
        stake: musd(99_000),
        ..terms(1)
    });
    let bid = |n: u128, price| Operation::Bid { job: job(1), offer: offer(n), price: musd(price) };
    town.done(bid(2, 700));
    assert_eq!(town.act(&bid(2, 700)), Outcome::Exists);
    refused(&mut town, bid(2, 600), Refusal::BidExists { offer: offer(2) });
    refused(
        &mut town,
        bid(3, 1_901),
        Refusal::PriceAboveReserve { price: musd(1_901), most: musd(1_900) },
    );
    let huge = musd(i128::MAX);
    refused(&mut town, bid(3, i128::MAX), Refusal::AmountTooLarge { amount: huge });
    let id = MoveId::from_u128(500);
    town.done(Operation::Withdraw { id, party: party(RIVAL), amount: musd(2_000) });
    let poor =
        Refusal::Unfunded { party: party(RIVAL), available: musd(98_000), asked: musd(99_000) };
    refused(&mut town, bid(3, 800), poor);
    let commit = Operation::Commit { job: job(1), offer: offer(3), commitment: digest(1) };
    refused(&mut town, commit, Refusal::WrongStage { job: job(1), stage: Stage::Bidding });
    let unbid = Operation::Unbid { job: job(1), offer: offer(3) };
    refused(&mut town, unbid, Refusal::BidNotFound { offer: offer(3) });
    town.done(Operation::Unbid { job: job(1), offer: offer(2) });
    refused(&mut town, bid(2, 700), Refusal::BidIsOver { offer: offer(2) });
    // Nor by another offer: what was taken back was this worker's one draw.
    town.done(Operation::Publish(agreeing(60, WORKER, 1, 1)));
    refused(&mut town, bid(60, 700), Refusal::BidExists { offer: offer(60) });
    for n in 0..=MAX_BIDS as u128 {
        let worker = party(100 + n as u8);
        let (id, amount) = (MoveId::from_u128(600 + n), musd(99_000));
        town.done(Operation::Deposit { id, party: worker, amount });
        town.done(Operation::Publish(agreeing(1_000 + n, 100 + n as u8, 1, 1)));
        if n < MAX_BIDS as u128 {
            town.done(bid(1_000 + n, 700));
        }
    }
    // Another offer of a worker that has bid is no second draw.
    town.done(Operation::Publish(agreeing(2_000, 100, 1, 1)));
    refused(&mut town, bid(2_000, 600), Refusal::BidExists { offer: offer(2_000) });
    refused(&mut town, bid(1_000 + MAX_BIDS as u128, 700), Refusal::RoundFull);
    town.pass(100);
    let late = Refusal::WrongStage { job: job(1), stage: Stage::Choosing };
    refused(&mut town, bid(1_000 + MAX_BIDS as u128, 700), late);
}

#[test]
fn only_a_foreman_at_work_hires_within_bounds() {
    let mut town = Town::new();
    town.hire(Terms { stake: musd(900), ..terms(1) });
    let child = Terms {
        client: party(WORKER),
        parent: Some(job(1)),
        budget: musd(200),
        pricing: Pricing::Quotes,
        checker_fee: musd(1),
        deliver_by: at(5_000),
        ..terms(2)
    };
    let open = |change: fn(&mut Terms)| {
        let mut child = child.clone();
        change(&mut child);
        Operation::Open(Box::new(child))
    };
    let stranger =
        Refusal::NotTheForeman { client: party(RIVAL), parent: job(1), foreman: party(WORKER) };
    refused(&mut town, open(|terms| terms.client = party(RIVAL)), stranger);
    let long = Refusal::OutlivesParent { ends_by: at(10_000), deliver_by: at(10_000) };
    refused(&mut town, open(|terms| terms.deliver_by = at(9_400)), long);
    for n in 0..u128::from(MAX_CHILDREN) {
        let mut child = child.clone();
        child.id = job(100 + n);
        town.done(Operation::Open(Box::new(child)));
    }
    refused(&mut town, open(|_| {}), Refusal::TooManyChildren { parent: job(1) });
    town.deliver(1, WORKER, answer(1));
    refused(&mut town, open(|_| {}), Refusal::ParentNotWorking { parent: job(1) });
    let late = Operation::Fund { job: job(100) };
    refused(&mut town, late, Refusal::ParentNotWorking { parent: job(1) });
}

#[test]
fn jobs_hire_jobs_only_so_deep() {
    let mut town = Town::new();
    // Each job's budget is less than what the one above it leaves, and the two take turns.
    let deep = |n: u128, client: u8| Terms {
        client: party(client),
        parent: (n > 1).then(|| job(n - 1)),
        budget: musd(2_000 - 200 * n as i128),
        pricing: Pricing::Quotes,
        stake: musd(2_000),
        checker_fee: musd(0),
        deliver_by: at(50_000 - 5_000 * n as u64),
        ..terms(n)
    };
    let turn = |n: u128| if n % 2 == 1 { (RIVAL, WORKER) } else { (WORKER, RIVAL) };
    for n in 1..=u128::from(MAX_DEPTH) + 1 {
        let (client, worker) = turn(n);
        let terms = deep(n, client);
        let price = terms.budget;
        town.hire(terms);
        let offer = offer(u128::from(worker));
        town.done(Operation::Bid { job: job(n), offer, price });
        town.done(Operation::Accept { job: job(n), offer, by: party(client) });
        assert_eq!(u128::from(town.market.job(job(n)).unwrap().depth), n - 1);
    }
    let n = u128::from(MAX_DEPTH) + 2;
    let too_deep = Operation::Open(Box::new(deep(n, turn(n).0)));
    refused(&mut town, too_deep, Refusal::TooDeep);
    town.check();
}

#[test]
fn panels_take_reports_from_their_seats_in_their_form_and_time() {
    let mut town = Town::new();
    town.hire(terms(1));
    let plain =
        Operation::Submit { job: job(1), by: party(WORKER), delivery: Delivery::Open(answer(1)) };
    refused(&mut town, plain, Refusal::ReportOfWrongForm);
    let theirs =
        Operation::Submit { job: job(1), by: party(RIVAL), delivery: Delivery::Sealed(digest(1)) };
    let owner = Refusal::NotYours { by: party(RIVAL), owner: party(WORKER) };
    refused(&mut town, theirs, owner);
    town.deliver(1, WORKER, answer(1));
    town.done(Operation::Draw { job: job(1), entropy: digest(1) });
    assert_eq!(town.act(&Operation::Draw { job: job(1), entropy: digest(1) }), Outcome::Exists);
    let again = Operation::Draw { job: job(1), entropy: digest(2) };
    refused(&mut town, again, Refusal::WrongStage { job: job(1), stage: Stage::Checking });
    let seat = town.seats(1)[0];
    let seal = |by, report: Report| Operation::CommitReport {
        job: job(1),
        by,
        commitment: report.commitment(job(1), by, &salt()),
    };
    let outsider = party(CLIENT);
    refused(&mut town, seal(outsider, answer(1)), Refusal::NotSeated { party: outsider });
    let open = |by, report| Operation::RevealReport { job: job(1), by, report, salt: salt() };
    let early = Refusal::WrongStage { job: job(1), stage: Stage::Checking };
    refused(&mut town, open(seat, answer(1)), early);
    town.done(seal(seat, answer(1)));
    let locked = Refusal::StakeLocked { party: seat, locked: musd(250) };
    refused(&mut town, Operation::Leave { party: seat }, locked);
    refused(&mut town, open(seat, Report::Vote(true)), Refusal::ReportOfWrongForm);
    refused(&mut town, open(seat, answer(2)), Refusal::CommitmentBroken { party: seat });
    refused(&mut town, open(outsider, answer(2)), Refusal::NotSeated { party: outsider });
    let late = Operation::Challenge { job: job(1), by: outsider };
    refused(&mut town, late, Refusal::WrongStage { job: job(1), stage: Stage::Reporting });

    town.hire(Terms { check: Check::Redundant { peers: 2 }, ..terms(2) });
    town.deliver(2, WORKER, answer(1));
    town.done(Operation::Draw { job: job(2), entropy: digest(1) });
    let by = town.seats(2)[0];
    let seal = |n| Operation::CommitReport { job: job(2), by, commitment: digest(n) };
    town.done(seal(1));
    refused(&mut town, seal(2), Refusal::AlreadyCommitted { party: by });
}

#[test]
fn every_refusal_says_what_it_is_about() {
    // People read these: none is only its name.
    let amount = musd(5);
    for (refusal, text) in [
        (
            Refusal::Unfunded { party: party(1), available: amount, asked: musd(7) },
            "0x0101010101010101010101010101010101010101 has 0.000005 MUSD free, and needs 0.000007 MUSD",
        ),
        (
            Refusal::WrongStage { job: job(1), stage: Stage::Drawing },
            "job 00000000000000000000000000000001 is at Drawing, where this cannot be done",
        ),
        (
            Refusal::TermsInvalid { problem: TermsProblem::Appeals },
            "the job cannot be: there are at most 3 appeals",
        ),
    ] {
        assert_eq!(refusal.to_string(), text);
    }
}
