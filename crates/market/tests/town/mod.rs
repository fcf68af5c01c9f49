//! A small market for tests: a few parties with money, and a player that does what comes to mind.
#![allow(dead_code)]

use market::*;
use std::collections::BTreeMap;

pub const SKILL: Skill = Skill::from_u128(1);

pub fn musd(minor: i128) -> Amount {
    Amount::from_minor(Asset::MUSD, minor)
}

pub fn party(n: u8) -> Party {
    Party::new([n; 20])
}

pub fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + ms)
}

pub const TREASURY: u8 = 200;
pub const CLIENT: u8 = 1;
pub const WORKER: u8 = 2;
pub const RIVAL: u8 = 3;
/// Checkers are parties 10 to 29.
pub const CHECKERS: std::ops::Range<u8> = 10..30;

pub fn rules() -> Rules {
    Rules {
        bid_ms: 100,
        reveal_ms: 100,
        entropy_ms: 100,
        report_ms: 100,
        appeal_ms: 100,
        least_check_ms: 100,
        least_pool_stake: 100,
        evidence_unit: 100,
        ..Rules::standard(Asset::MUSD, party(TREASURY))
    }
}

pub fn job(n: u128) -> JobId {
    JobId::from_u128(n)
}

pub fn offer(n: u128) -> OfferId {
    OfferId::from_u128(n)
}

pub fn digest(n: u8) -> Digest {
    Digest::new([n; 32])
}

pub fn answer(n: u8) -> Report {
    Report::Digest(digest(n))
}

pub fn salt() -> Digest {
    digest(77)
}

/// A job for 1,000 with room for its check: posted price, exact, one executor.
pub fn terms(n: u128) -> Terms {
    Terms {
        id: job(n),
        client: party(CLIENT),
        parent: None,
        skill: SKILL,
        brief: digest(1),
        budget: musd(2_000),
        worth: musd(5_000),
        quality: 0,
        pricing: Pricing::Posted { offer: offer(u128::from(WORKER)) },
        check: Check::Exact { executors: 1 },
        audit: 1_000_000,
        checker_fee: musd(50),
        appeals: 0,
        stake: musd(500),
        deliver_by: at(10_000),
        check_ms: 100,
    }
}

/// An offer that agrees to all terms, for whatever is asked in its skill.
pub fn agreeing(id: u128, worker: u8, price: i128, capacity: u32) -> Offer {
    Offer {
        capacity,
        most_stake: musd(1_000_000),
        least_ms: 0,
        checks: [
            CheckKind::Exact,
            CheckKind::Gold,
            CheckKind::Redundant,
            CheckKind::Peer,
            CheckKind::Optimistic,
            CheckKind::Juror,
        ]
        .into(),
        most_mark: MILLION,
        ..Offer::standard(offer(id), party(worker), SKILL, musd(price))
    }
}

/// A market with its journal, and a copy of everybody's money that only effects have moved.
#[derive(Clone)]
pub struct Town {
    pub market: State,
    pub journal: Vec<(Timestamp, Operation)>,
    pub effects: Vec<Effect>,
    pub wallets: BTreeMap<Party, i128>,
    pub pots: BTreeMap<(Option<JobId>, Pot, Party), i128>,
    pub now: u64,
}

impl Town {
    /// Everybody has 100,000; workers offer for 1,000; checkers have 10,000 in the pool.
    pub fn new() -> Town {
        let mut town = Town {
            market: State::new(rules()).unwrap(),
            journal: Vec::new(),
            effects: Vec::new(),
            wallets: BTreeMap::new(),
            pots: BTreeMap::new(),
            now: 0,
        };
        for n in [CLIENT, WORKER, RIVAL].into_iter().chain(CHECKERS) {
            let id = MoveId::from_u128(u128::from(n));
            town.done(Operation::Deposit { id, party: party(n), amount: musd(100_000) });
        }
        for n in CHECKERS {
            town.done(Operation::Enlist { party: party(n), stake: musd(10_000) });
        }
        for n in [WORKER, RIVAL] {
            town.done(Operation::Publish(agreeing(u128::from(n), n, 1_000, 100)));
        }
        town
    }

    pub fn act(&mut self, operation: &Operation) -> Outcome {
        let before = self.effects.len();
        let outcome = self.market.apply(at(self.now), operation, &mut self.effects);
        for n in before..self.effects.len() {
            self.mirror(self.effects[n]);
        }
        if outcome == Outcome::Applied {
            match operation {
                Operation::Deposit { party, amount, .. } => {
                    *self.wallets.entry(*party).or_default() += amount.minor();
                }
                Operation::Withdraw { party, amount, .. } => {
                    *self.wallets.entry(*party).or_default() -= amount.minor();
                }
                _ => {}
            }
        }
        if outcome == Outcome::Applied || self.effects.len() > before {
            let kept =
                if outcome == Outcome::Applied { operation.clone() } else { Operation::Tick };
            self.journal.push((at(self.now), kept));
        }
        outcome
    }

    /// What an edge does with an effect.
    fn mirror(&mut self, effect: Effect) {
        let minor = effect.amount.minor();
        assert!(minor > 0, "an effect moves something: {effect:?}");
        let job = if effect.pot == Pot::Pool { None } else { effect.job };
        // A job has one escrow and one stake; pools and bonds have owners.
        let owner = match effect.pot {
            Pot::Escrow | Pot::Stake => party(0),
            Pot::Bid | Pot::Bond | Pot::Pool => effect.owner,
        };
        let pot = (job, effect.pot, owner);
        let parent = |town: &Town| {
            let child = town.market.job(effect.job.unwrap()).unwrap();
            (child.terms.parent, Pot::Escrow, party(0))
        };
        match effect.movement {
            Movement::Hold => {
                *self.wallets.entry(effect.owner).or_default() -= minor;
                *self.pots.entry(pot).or_default() += minor;
            }
            Movement::Release | Movement::Refund | Movement::Pay | Movement::Slash => {
                *self.pots.entry(pot).or_default() -= minor;
                *self.wallets.entry(effect.to).or_default() += minor;
            }
            Movement::Allot => {
                *self.pots.entry(parent(self)).or_default() -= minor;
                *self.pots.entry(pot).or_default() += minor;
            }
            Movement::Restore => {
                *self.pots.entry(pot).or_default() -= minor;
                *self.pots.entry((job, Pot::Escrow, party(0))).or_default() += minor;
            }
            Movement::Return => {
                *self.pots.entry(pot).or_default() -= minor;
                *self.pots.entry(parent(self)).or_default() += minor;
            }
        }
        assert!(self.pots.values().all(|sum| *sum >= 0), "a pot gave more than it had: {effect:?}");
    }

    #[track_caller]
    pub fn done(&mut self, operation: Operation) {
        let outcome = self.act(&operation);
        assert_eq!(outcome, Outcome::Applied, "{operation:?}");
    }

    #[track_caller]
    pub fn refused(&mut self, operation: Operation) -> Refusal {
        match self.act(&operation) {
            Outcome::Refused(refusal) => refusal,
            outcome => panic!("{outcome:?}: {operation:?}"),
        }
    }

    pub fn pass(&mut self, ms: u64) {
        self.now += ms;
        let _ = self.act(&Operation::Tick);
    }

    pub fn free(&self, n: u8) -> i128 {
        self.market.holding(party(n)).free.minor()
    }

    pub fn pooled(&self, n: u8) -> i128 {
        self.market.holding(party(n)).stake.minor()
    }

    pub fn stage(&self, n: u128) -> Stage {
        self.market.job(job(n)).unwrap().stage
    }

    /// Opened and funded.
    pub fn hire(&mut self, terms: Terms) {
        let job = terms.id;
        self.done(Operation::Open(Box::new(terms)));
        self.done(Operation::Fund { job });
    }

    pub fn deliver(&mut self, n: u128, by: u8, report: Report) {
        let check = self.market.job(job(n)).unwrap().terms.check;
        let delivery = if check.is_sealed() {
            Delivery::Sealed(report.commitment(job(n), party(by), &salt()))
        } else {
            Delivery::Open(report)
        };
        self.done(Operation::Submit { job: job(n), by: party(by), delivery });
    }

    pub fn seats(&self, n: u128) -> Vec<Party> {
        let job = self.market.job(job(n)).unwrap();
        job.panel().unwrap().seats.iter().map(|seat| seat.checker).collect()
    }

    /// A panel is drawn; its seats tell these reports, in order, or nothing. The worker opens this.
    pub fn judge(&mut self, n: u128, worker: Option<(u8, Report)>, reports: &[Option<Report>]) {
        let entropy = digest(self.market.job(job(n)).unwrap().panels.len() as u8 + 100);
        self.done(Operation::Draw { job: job(n), entropy });
        let seats = self.seats(n);
        assert_eq!(seats.len(), reports.len());
        for (by, report) in seats.iter().zip(reports) {
            if let Some(report) = report {
                let commitment = report.commitment(job(n), *by, &salt());
                self.done(Operation::CommitReport { job: job(n), by: *by, commitment });
            }
        }
        if reports.iter().any(Option::is_none) {
            self.pass(100);
        }
        if self.stage(n) != Stage::Reporting {
            return;
        }
        for (by, report) in seats.iter().zip(reports) {
            if let Some(report) = report {
                let report = report.clone();
                self.done(Operation::RevealReport { job: job(n), by: *by, report, salt: salt() });
            }
        }
        if let Some((by, report)) = worker {
            let by = party(by);
            self.done(Operation::RevealReport { job: job(n), by, report, salt: salt() });
        }
    }

    /// What must hold at every moment.
    pub fn check(&self) {
        assert_eq!(self.market.deposited(), self.market.counted(), "money was made or lost");
        for (party, sum) in &self.wallets {
            assert_eq!(
                self.market.holding(*party).free.minor(),
                *sum,
                "effects differ for {party}"
            );
        }
        for ((job, pot, owner), sum) in &self.pots {
            match job.and_then(|job| self.market.job(job)) {
                Some(job) if job.stage.is_final() => {
                    assert_eq!(*sum, 0, "{pot:?} of {} is stuck", job.terms.id);
                }
                Some(job) if *pot == Pot::Escrow => assert_eq!(*sum, job.escrow),
                Some(job) if *pot == Pot::Stake => assert_eq!(*sum, job.stake),
                Some(_) => {}
                None => assert_eq!(*sum, self.market.holding(*owner).stake.minor()),
            }
        }
        for job in self.market.jobs() {
            let over = self.market.now() >= job.ends_by;
            assert!(
                !over || job.stage.is_final() || job.stage == Stage::Open,
                "job {} is at {:?} beyond its end",
                job.terms.id,
                job.stage
            );
        }
        let named = |is: fn(&Job) -> bool| -> Vec<JobId> {
            self.market.jobs().filter(|job| is(job)).map(|job| job.terms.id).collect()
        };
        let waits = |job: &Job| matches!(job.stage, Stage::Choosing | Stage::Drawing);
        let waiting: Vec<JobId> = self.market.waiting().map(|job| job.terms.id).collect();
        assert_eq!(waiting, named(waits), "entropy would come for others");
        let under_way: Vec<JobId> = self.market.under_way().map(|job| job.terms.id).collect();
        assert_eq!(under_way, named(|job| job.deadline.is_some()));
        let unfunded: usize = (0..=u8::MAX).map(|n| self.market.unfunded(party(n))).sum();
        assert_eq!(unfunded, named(|job| job.stage == Stage::Open).len());
    }

    /// One act of somebody: mostly what the stage of some job asks for, sometimes nonsense.
    pub fn idea(&self, draws: &mut Draws) -> Operation {
        let n = |draws: &mut Draws, below: u128| draws.below(below);
        let byte = |draws: &mut Draws, below: u128| u8::try_from(draws.below(below)).unwrap();
        let someone = |draws: &mut Draws| match draws.below(5) {
            0 => party(CLIENT),
            1 => party(WORKER),
            2 => party(RIVAL),
            _ => party(10 + byte(draws, 20)),
        };
        let count = self.market.jobs().len() as u128;
        match draws.below(20) {
            0 => {
                let (id, party) = (MoveId::from_u128(n(draws, 60)), someone(draws));
                return Operation::Deposit { id, party, amount: musd(n(draws, 5_000) as i128) };
            }
            1 => {
                let (id, party) = (MoveId::from_u128(1_000 + n(draws, 60)), someone(draws));
                return Operation::Withdraw { id, party, amount: musd(n(draws, 9_000) as i128) };
            }
            2 if draws.below(4) == 0 => {
                let party = someone(draws);
                return Operation::Enlist { party, stake: musd(n(draws, 12_000) as i128) };
            }
            3 if draws.below(8) == 1 => {
                let skills = (0..n(draws, 3)).map(Skill::from_u128).collect();
                let skills = (draws.below(3) > 0).then_some(skills);
                return Operation::Qualify { party: someone(draws), skills };
            }
            3 if draws.below(8) == 0 => return Operation::Leave { party: someone(draws) },
            4 => return Operation::Open(Box::new(self.any_terms(draws, count))),
            6 if draws.below(10) == 0 => {
                let id = n(draws, 6);
                let worker = byte(draws, 4);
                let skill = Skill::from_u128(n(draws, 2));
                let price = n(draws, 1_500) as i128;
                let capacity = u32::from(byte(draws, 5));
                return Operation::Publish(Offer {
                    skill,
                    ..agreeing(id, worker, price, capacity)
                });
            }
            _ => {}
        }
        if count == 0 {
            return Operation::Open(Box::new(self.any_terms(draws, count)));
        }
        // Mostly something that is under way, and there the newest or the oldest.
        let going: Vec<&Job> = self.market.jobs().filter(|job| !job.stage.is_final()).collect();
        let any = self.market.jobs().nth(n(draws, count) as usize).unwrap();
        let chosen = match draws.below(12) {
            0 => any,
            1..=4 => going.last().copied().unwrap_or(any),
            5..=8 => going.first().copied().unwrap_or(any),
            _ if going.is_empty() => any,
            _ => going[n(draws, going.len() as u128) as usize],
        };
        let job = chosen.terms.id;
        let client = chosen.terms.client;
        let worker = chosen.worker.unwrap_or(party(WORKER));
        let offer = offer(u128::from(2 + byte(draws, 2)));
        let price = musd(1 + n(draws, 1_500) as i128);
        let bidder = self.market.offer(offer).map_or(party(WORKER), |(offer, _)| offer.worker);
        let report = |draws: &mut Draws| match draws.below(6) {
            0 => Report::Vote(draws.below(2) == 0),
            1 => Report::Labels((0..12).map(|_| draws.below(3) as u16).collect()),
            _ => match (chosen.panel().is_some_and(|p| p.is_jury), chosen.terms.check) {
                (true, _) => Report::Vote(draws.below(3) > 0),
                (_, Check::Gold { .. } | Check::Peer { .. }) => {
                    Report::Labels((0..12).map(|n| (n % 3) as u16).collect())
                }
                _ => answer(draws.below(2) as u8),
            },
        };
        // A sealed bid's price follows from its job, so that it can be opened later.
        let sealed_price = musd(1 + (job.as_u128() * 37 % 900) as i128);
        let entropy = digest(byte(draws, 200));
        let stray = draws.below(8) == 0;
        let stage = if stray { Stage::Open } else { chosen.stage };
        match stage {
            Stage::Open if !stray => match draws.below(4) {
                0 => Operation::Cancel { job, by: client },
                _ => Operation::Fund { job },
            },
            Stage::Bidding => match draws.below(8) {
                0 => Operation::Unbid { job, offer },
                1 => Operation::Cancel { job, by: client },
                2 => Operation::Accept { job, offer, by: client },
                3 => Operation::Bid { job, offer, price },
                _ if !matches!(chosen.terms.pricing, Pricing::Auction { committed: true, .. }) => {
                    Operation::Bid { job, offer, price }
                }
                _ => Operation::Commit {
                    job,
                    offer,
                    commitment: bid_commitment(job, bidder, sealed_price, &salt()),
                },
            },
            Stage::Revealing => Operation::Reveal { job, offer, price: sealed_price, salt: salt() },
            Stage::Choosing => Operation::Clear { job, entropy },
            Stage::Working => match draws.below(8) {
                0 => Operation::Abandon { job, by: worker },
                1 => Operation::Open(Box::new(Terms {
                    parent: Some(job),
                    client: worker,
                    budget: musd(200 + n(draws, 300) as i128),
                    checker_fee: musd(10),
                    stake: musd(100),
                    pricing: Pricing::Quotes,
                    check: Check::Exact { executors: 1 },
                    appeals: 0,
                    deliver_by: at(self.now + 100 + n(draws, 500) as u64),
                    ..self.any_terms(draws, count)
                })),
                _ => {
                    let delivery = if chosen.terms.check.is_sealed() {
                        Delivery::Sealed(worked(chosen).commitment(job, worker, &salt()))
                    } else {
                        Delivery::Open(report(draws))
                    };
                    Operation::Submit { job, by: worker, delivery }
                }
            },
            Stage::Drawing => Operation::Draw { job, entropy },
            Stage::Checking => {
                let seats = &chosen.panel().unwrap().seats;
                let seat = &seats[n(draws, seats.len() as u128) as usize];
                // What it says follows from who it is, so that it can be opened later.
                let said = said_by(chosen, seat.checker);
                let commitment = said.commitment(job, seat.checker, &salt());
                Operation::CommitReport { job, by: seat.checker, commitment }
            }
            Stage::Reporting if chosen.panel().is_some_and(|panel| panel.seats.is_empty()) => {
                Operation::RevealReport { job, by: worker, report: worked(chosen), salt: salt() }
            }
            Stage::Reporting => {
                let seats = &chosen.panel().unwrap().seats;
                let seat = &seats[n(draws, seats.len() as u128) as usize];
                match (chosen.terms.check, draws.below(3)) {
                    (Check::Gold { examiner, .. }, _) if chosen.examined.is_none() => {
                        Operation::Examine { job, by: examiner, key: gold_key() }
                    }
                    (_, 0) => {
                        let report = worked(chosen);
                        Operation::RevealReport { job, by: worker, report, salt: salt() }
                    }
                    _ => Operation::RevealReport {
                        job,
                        by: seat.checker,
                        report: said_by(chosen, seat.checker),
                        salt: salt(),
                    },
                }
            }
            Stage::Challengeable => {
                if draws.below(3) == 0 {
                    Operation::Challenge { job, by: someone(draws) }
                } else {
                    Operation::Tick
                }
            }
            Stage::Appealable => match draws.below(3) {
                0 => Operation::Appeal { job, by: client },
                1 => Operation::Appeal { job, by: worker },
                _ => Operation::Tick,
            },
            _ => match draws.below(6) {
                0 => Operation::Submit { job, by: worker, delivery: Delivery::Open(report(draws)) },
                1 => {
                    Operation::RevealReport { job, by: worker, report: report(draws), salt: salt() }
                }
                2 => Operation::Clear { job, entropy },
                3 => Operation::Bid { job, offer, price: musd(n(draws, 10) as i128 - 5) },
                4 => Operation::Retire { offer: self::offer(n(draws, 6)), by: bidder },
                _ => Operation::Fund { job },
            },
        }
    }

    fn any_terms(&self, draws: &mut Draws, count: u128) -> Terms {
        let check = match draws.below(7) {
            0 | 1 => Check::Exact { executors: 1 + 2 * draws.below(2) as u8 },
            2 => Check::Gold {
                examiner: party(10 + draws.below(20) as u8),
                key: gold_key().commitment(),
                pass_mark: 500_000,
            },
            3 => Check::Redundant { peers: 2 },
            4 => Check::Peer { raters: 2, pass_mark: 100_000 },
            5 => Check::Optimistic { window_ms: 150, executors: 1 },
            _ => Check::Juror { jurors: 3 },
        };
        let pricing = match draws.below(4) {
            0 => Pricing::Quotes,
            1 => Pricing::Auction { committed: true, bond: musd(20) },
            2 => Pricing::Auction { committed: false, bond: musd(0) },
            _ => Pricing::Posted { offer: offer(2 + draws.below(2)) },
        };
        let fewest = u8::from(matches!(check, Check::Gold { .. }));
        Terms {
            id: job(1 + draws.below(count + 2)),
            check,
            pricing,
            appeals: (draws.below(3) as u8).max(fewest),
            audit: if draws.below(4) == 0 { 500_000 } else { 1_000_000 },
            budget: musd(1_500 + draws.below(1_000) as i128),
            stake: musd(if draws.below(3) == 0 { 1_200 } else { 300 }),
            deliver_by: at(self.now + 400 + draws.below(4_000) as u64),
            check_ms: 100,
            ..terms(0)
        }
    }
}

/// What a worker seals: mostly right.
pub fn worked(job: &Job) -> Report {
    let is_right = !job.terms.id.as_u128().is_multiple_of(5);
    match job.terms.check {
        Check::Gold { .. } | Check::Peer { .. } => {
            Report::Labels((0..12).map(|item| if is_right { item % 3 } else { 1 }).collect())
        }
        _ => answer(u8::from(!is_right)),
    }
}

/// What a seat says: true to its party's number, so that it can be said twice alike.
pub fn said_by(job: &Job, checker: Party) -> Report {
    // Every third job's checkers are of another mind than its worker.
    let n = checker.as_bytes()[0];
    let dissent = job.terms.id.as_u128().is_multiple_of(3);
    match (job.panel().is_some_and(|panel| panel.is_jury), job.terms.check) {
        (true, _) => Report::Vote(!dissent && !n.is_multiple_of(3)),
        (_, Check::Peer { .. }) => {
            Report::Labels((0..12).map(|item| (item + u16::from(n) / 25) % 3).collect())
        }
        _ => answer(u8::from(dissent || n.is_multiple_of(4))),
    }
}

pub fn gold_key() -> GoldKey {
    GoldKey { answers: vec![(0, 0), (4, 1), (8, 2)], salt: digest(5) }
}
