//! A population played through the market itself, one job after the other.

use std::collections::{BTreeSet, HashMap};

use super::population::{Character, ITEMS, JUDGEMENT, Machine, Task, check, deliver, machines};
use super::{Figures, Plan};
use crate::checks::choose::Kind;
use crate::entropy::Draws;
use crate::terms::{Check, Delivery, GoldKey, Offer, Pricing, Report, Terms};
use crate::{
    Amount, Asset, Digest, Effect, JobId, MILLION, MoveId, OfferId, Operation, Outcome, Party,
    Rules, Skill, Stage, State, Timestamp,
};

/// How many machines bid for one job.
pub const BIDDERS: usize = 6;
/// What right work is worth to a client, in minor units: three cents a job, where doing it costs
/// 0.60 to 1.00.
pub const WORTH: i128 = 30_000;
/// The most that is paid for the work.
const RESERVE: i128 = 20_000;
/// What executors, peers and raters get: the work's usual cost and a fifth.
const WORK_FEE: i128 = 9_600;
/// What jurors and examiners get.
const LOOK_FEE: i128 = 2_400;
/// How many of the items are hidden tests.
const TESTS: usize = 10;
/// What everybody brings.
const PURSE: i128 = 1 << 50;
/// How many watchers look for wrong work under an optimistic check, and at which share each, in
/// millionths.
const WATCHERS: usize = 10;
const LOOKING: u32 = 100_000;
/// One job of so many is bought by the Sybil ring from itself.
const SELF_DEAL_EVERY: usize = 40;
/// One client of so many disputes whatever passes.
const DISPUTER_EVERY: usize = 10;
const CLIENTS: usize = 100;
/// What the worker puts at stake: by c/q − w a tenth of it would do where nine of ten cheats are
/// caught; it also has to pay for a challenge's executors.
const STAKE: i128 = 60_000;

const SKILL: Skill = Skill::from_u128(1);

fn money(minor: i128) -> Amount {
    Amount::from_minor(Asset::MUSD, minor)
}

fn address(kind: u8, n: usize) -> Party {
    let mut bytes = [0; 20];
    bytes[0] = kind;
    bytes[12..].copy_from_slice(&(n as u64).to_be_bytes());
    Party::new(bytes)
}

/// Who bids for a job: newcomers only in the second half.
pub fn bidders(machines: &[Machine], late: bool, draws: &mut Draws) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(BIDDERS);
    while chosen.len() < BIDDERS {
        let at = usize::try_from(draws.below(machines.len() as u128)).expect("one of them");
        if !chosen.contains(&at) && (late || !machines[at].is_newcomer) {
            chosen.push(at);
        }
    }
    chosen
}

/// What is at work in one market.
struct Town {
    market: State,
    effects: Vec<Effect>,
    now: u64,
    draws: Draws,
    machines: Vec<Machine>,
    places: HashMap<Party, usize>,
    /// What checking cost machines, beside their jobs.
    efforts: Vec<i128>,
    kind: Kind,
    audit: u32,
}

/// How one job went.
struct Played {
    worker: usize,
    is_right: bool,
    stage: Stage,
    price: i128,
    rounds: u64,
    checking: i128,
    /// What checkers really did, in minor units.
    effort: i128,
}

impl Town {
    fn new(kind: Kind, audit: u32, plan: Plan) -> Town {
        let mut draws = Draws::seeded(plan.seed);
        let machines = machines(plan.machines, &mut draws);
        let rules = Rules {
            evidence_unit: 10_000,
            // Nothing fades: all happens within simulated days.
            decay_ms: crate::MAX_DURATION_MS,
            ..Rules::standard(Asset::MUSD, address(9, 0))
        };
        let places = machines.iter().enumerate().map(|(at, m)| (m.party, at)).collect();
        let mut town = Town {
            market: State::new(rules).expect("the rules are within bounds"),
            effects: Vec::new(),
            now: 1_000_000_000_000,
            draws,
            efforts: vec![0; machines.len()],
            machines,
            places,
            kind,
            audit,
        };
        let clients = (0..CLIENTS).map(|n| address(1, n));
        let watchers = (0..WATCHERS).map(|n| address(2, n));
        let others = [address(3, 0), address(4, 0)];
        let machines: Vec<Machine> = town.machines.clone();
        let all = machines.iter().map(|m| m.party).chain(clients).chain(watchers).chain(others);
        for party in all.collect::<Vec<_>>() {
            let id = MoveId::derive(&[party.as_bytes()]);
            town.must(&Operation::Deposit { id, party, amount: money(PURSE) });
        }
        for (n, machine) in machines.iter().enumerate() {
            // The Sybil ring's many identities have no more stake than one machine in ten.
            let stake = if machine.character == Character::Sybil { 100_000 } else { 1_000_000 };
            town.must(&Operation::Enlist { party: machine.party, stake: money(stake) });
            town.must(&Operation::Publish(Offer {
                capacity: 1_000,
                most_stake: money(STAKE),
                checks: BTreeSet::from([kind]),
                ..Offer::standard(
                    OfferId::from_u128(n as u128),
                    machine.party,
                    SKILL,
                    money(machine.cost),
                )
            }));
        }
        town.must(&Operation::Enlist { party: address(3, 0), stake: money(1 << 40) });
        town
    }

    fn apply(&mut self, operation: &Operation) -> Outcome {
        self.effects.clear();
        self.market.apply(Timestamp::from_millis(self.now), operation, &mut self.effects)
    }

    fn must(&mut self, operation: &Operation) {
        let outcome = self.apply(operation);
        assert_eq!(outcome, Outcome::Applied, "{operation:?}");
    }

    /// Until the stage ends by itself.
    fn wait(&mut self, job: JobId) {
        if let Some(due) = self.market.job(job).and_then(|job| job.deadline) {
            self.now = self.now.max(due.as_millis());
        }
        let _ = self.apply(&Operation::Tick);
    }

    fn check_of(&self, key: &GoldKey) -> (Check, i128) {
        match self.kind {
            Kind::Exact => (Check::Exact { executors: 3 }, WORK_FEE),
            Kind::Gold => {
                let examiner = address(3, 0);
                (Check::Gold { examiner, key: key.commitment(), pass_mark: 700_000 }, LOOK_FEE)
            }
            Kind::Redundant => (Check::Redundant { peers: 2 }, WORK_FEE),
            Kind::Peer => (Check::Peer { raters: 2, pass_mark: 200_000 }, WORK_FEE),
            Kind::Optimistic => (Check::Optimistic { window_ms: 60_000, executors: 3 }, WORK_FEE),
            Kind::Juror => (Check::Juror { jurors: 3 }, LOOK_FEE),
        }
    }

    fn is_labels(&self) -> bool {
        matches!(self.kind, Kind::Gold | Kind::Peer)
    }

    fn entropy(&mut self) -> Digest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.draws.next_u64().to_be_bytes());
        Digest::new(bytes)
    }

    /// One job, from its opening to its end. `None` if nobody was hired.
    fn play(
        &mut self,
        n: usize,
        client: Party,
        disputes: bool,
        offers: Offers<'_>,
    ) -> Option<Played> {
        let job = JobId::from_u128(n as u128);
        let task = Task::new(&mut self.draws);
        let key = self.gold_key(&task);
        let (check, checker_fee) = self.check_of(&key);
        let reserve = match check {
            Check::Optimistic { .. } => 0,
            check => check.most_fees() * checker_fee,
        };
        let pricing = match offers {
            Offers::Round(_) => Pricing::Auction { committed: false, bond: money(0) },
            Offers::Own(at) => Pricing::Posted { offer: OfferId::from_u128(at as u128) },
        };
        self.must(&Operation::Open(Box::new(Terms {
            id: job,
            client,
            parent: None,
            skill: SKILL,
            brief: Digest::of(&n.to_be_bytes()),
            budget: money(RESERVE + reserve),
            worth: money(WORTH),
            quality: 0,
            pricing,
            check,
            audit: self.audit,
            checker_fee: money(checker_fee),
            appeals: 1,
            stake: money(STAKE),
            deliver_by: Timestamp::from_millis(self.now + 3_600_000),
            check_ms: 30_000,
        })));
        self.must(&Operation::Fund { job });
        if let Offers::Round(chosen) = offers {
            for at in chosen {
                // The truth is the best bid; who does not work has little cost to tell.
                let price = money(self.machines[*at].effort());
                let offer = OfferId::from_u128(*at as u128);
                self.must(&Operation::Bid { job, offer, price });
            }
            self.wait(job);
            let entropy = self.entropy();
            self.must(&Operation::Clear { job, entropy });
        }
        let worker = self.places[&self.market.job(job)?.worker?];
        let machine = self.machines[worker];
        let report = deliver(&machine, &task, self.is_labels(), &mut self.draws);
        let is_right = task.is_right(&report);
        let salt = self.entropy();
        let delivery = if check.is_sealed() {
            Delivery::Sealed(report.commitment(job, machine.party, &salt))
        } else {
            Delivery::Open(report.clone())
        };
        self.must(&Operation::Submit { job, by: machine.party, delivery });
        let mut rounds = 0;
        let mut effort = 0;
        let mut reports: Vec<Option<Report>> = Vec::new();
        loop {
            let stage = self.market.job(job)?.stage;
            if stage.is_final() {
                break;
            }
            rounds += 1;
            match stage {
                Stage::Drawing => {
                    let entropy = self.entropy();
                    if !self.apply(&Operation::Draw { job, entropy }).holds() {
                        self.wait(job);
                    }
                }
                Stage::Checking => {
                    reports = self.seal(job, &machine, &report, &task, &salt, &mut effort);
                }
                Stage::Reporting if self.kind == Kind::Gold && reports.is_empty() => {
                    effort += LOOK_FEE;
                    self.must(&Operation::Examine { job, by: address(3, 0), key: key.clone() });
                }
                Stage::Reporting => self.reveal(job, &machine, &report, &salt, &reports),
                Stage::Challengeable => {
                    if !self.challenge(job, is_right, client, disputes, &mut effort) {
                        self.wait(job);
                    }
                }
                Stage::Appealable => self.appeal(job, &machine, is_right, client, disputes),
                _ => self.wait(job),
            }
        }
        let ended = self.market.job(job)?;
        let (stage, price) = (ended.stage, ended.price);
        let paid = ended.panels.iter().filter(|panel| panel.bond.is_none());
        let seats = paid.flat_map(|panel| &panel.seats);
        let told = seats.filter(|seat| seat.report.is_some()).count();
        let mut checking = i128::try_from(told).expect("few seats") * checker_fee;
        if self.kind == Kind::Gold {
            // Work on hidden tests is paid, and is no use to the client.
            checking += price * TESTS as i128 / ITEMS as i128;
        }
        Some(Played { worker, is_right, stage, price, rounds, checking, effort })
    }

    fn gold_key(&mut self, task: &Task) -> GoldKey {
        if self.kind != Kind::Gold {
            return GoldKey { answers: vec![(0, 0)], salt: Digest::default() };
        }
        let mut items: Vec<u32> = (0..ITEMS as u32).collect();
        for at in 0..TESTS {
            let other =
                at + usize::try_from(self.draws.below((ITEMS - at) as u128)).expect("an item");
            items.swap(at, other);
        }
        items.truncate(TESTS);
        items.sort_unstable();
        let answers = items.into_iter().map(|item| (item, task.labels[item as usize])).collect();
        GoldKey { answers, salt: self.entropy() }
    }

    /// Each seat seals what it says. A copier seals what the first has sealed.
    fn seal(
        &mut self,
        job: JobId,
        worker: &Machine,
        delivered: &Report,
        task: &Task,
        salt: &Digest,
        effort: &mut i128,
    ) -> Vec<Option<Report>> {
        let Some(panel) = self.market.job(job).and_then(|job| job.panel()) else {
            return Vec::new();
        };
        let (is_jury, seats) = (panel.is_jury, panel.seats.clone());
        let mut reports = Vec::with_capacity(seats.len());
        let mut first = None;
        for seat in &seats {
            let (at, report) = match self.places.get(&seat.checker) {
                Some(at) => {
                    let machine = self.machines[*at];
                    let said = check(&machine, worker, delivered, task, is_jury, &mut self.draws);
                    (Some(*at), said)
                }
                // The examiner's purse sits in the pool too, and judges honestly.
                None if is_jury => {
                    let right = task.is_right(delivered) == self.draws.chance(JUDGEMENT);
                    (None, Some(Report::Vote(right)))
                }
                None => {
                    let found = task.found(950_000, self.is_labels(), &mut self.draws);
                    (None, Some(found))
                }
            };
            let cost = match at {
                Some(at) if is_jury => self.machines[at].effort() / 5,
                Some(at) => self.machines[at].effort(),
                None => LOOK_FEE,
            };
            *effort += cost;
            if let Some(at) = at {
                self.efforts[at] += cost;
            }
            let commitment = match &report {
                Some(report) => report.commitment(job, seat.checker, salt),
                None => first.unwrap_or_default(),
            };
            first = first.or(Some(commitment));
            let by = seat.checker;
            self.must(&Operation::CommitReport { job, by, commitment });
            reports.push(report);
        }
        reports
    }

    fn reveal(
        &mut self,
        job: JobId,
        worker: &Machine,
        delivered: &Report,
        salt: &Digest,
        reports: &[Option<Report>],
    ) {
        let Some(panel) = self.market.job(job).and_then(|job| job.panel()) else { return };
        let (is_jury, seats) = (panel.is_jury, panel.seats.clone());
        let is_opened = self.market.job(job).is_some_and(|job| job.answer().is_some());
        if !is_opened && !is_jury {
            let (by, report) = (worker.party, delivered.clone());
            self.must(&Operation::RevealReport { job, by, report, salt: *salt });
        }
        for (seat, report) in seats.iter().zip(reports) {
            let by = seat.checker;
            // A copier hands in the first report that was opened: it is not what it sealed.
            let (report, copied) = match report {
                Some(report) => (report.clone(), false),
                None => (reports.iter().flatten().next().unwrap_or(delivered).clone(), true),
            };
            let outcome = self.apply(&Operation::RevealReport { job, by, report, salt: *salt });
            assert!(outcome.holds() != copied, "copies cannot be opened: {outcome:?}");
        }
        if self.market.job(job).is_some_and(|job| job.stage == Stage::Reporting) {
            self.wait(job);
        }
    }

    /// Whether somebody challenged: a disputing client always, watchers if they look and see it.
    fn challenge(
        &mut self,
        job: JobId,
        is_right: bool,
        client: Party,
        disputes: bool,
        effort: &mut i128,
    ) -> bool {
        if disputes {
            return self.apply(&Operation::Challenge { job, by: client }).holds();
        }
        for n in 0..WATCHERS {
            if self.draws.chance(LOOKING) {
                *effort += WORK_FEE;
                // A watcher does the work, and is itself right in 19 of 20. It challenges what differs.
                let differs = if self.draws.chance(950_000) { !is_right } else { true };
                if differs {
                    return self.apply(&Operation::Challenge { job, by: address(2, n) }).holds();
                }
            }
        }
        false
    }

    /// Who lost appeals if it thinks it is right, and who disputes everything always.
    fn appeal(
        &mut self,
        job: JobId,
        worker: &Machine,
        is_right: bool,
        client: Party,
        disputes: bool,
    ) {
        let passed = self.market.job(job).and_then(|job| job.verdict) == Some(true);
        let by = match passed {
            true if disputes => Some(client),
            false if worker.character.works() && is_right => Some(worker.party),
            _ => None,
        };
        let appealed = by.is_some_and(|by| self.apply(&Operation::Appeal { job, by }).holds());
        if !appealed {
            self.wait(job);
        }
    }
}

/// Who may work.
enum Offers<'a> {
    /// These bid.
    Round(&'a [usize]),
    /// This one is hired at its own price.
    Own(usize),
}

/// Plays `plan` with this check for all jobs, of which a share `audit` is looked at, in millionths.
pub fn play(kind: Kind, audit: u32, plan: Plan) -> Figures {
    let mut town = Town::new(kind, audit, plan);
    let mut figures = Figures::default();
    let mut earned = vec![0i128; town.machines.len()];
    let sybils: Vec<usize> = (0..town.machines.len())
        .filter(|at| town.machines[*at].character == Character::Sybil)
        .collect();
    let owner = address(4, 0);
    for n in 0..plan.jobs {
        town.now += 1_000;
        let late = n * 2 >= plan.jobs;
        if n % SELF_DEAL_EVERY == 1 && !sybils.is_empty() {
            // In its own job a Sybil works: it wants to be seen to be good.
            let at = sybils[(n / SELF_DEAL_EVERY) % sybils.len()];
            let before = ring_money(&town, &sybils, owner);
            town.machines[at].character = Character::Honest;
            let played = town.play(n, owner, false, Offers::Own(at));
            town.machines[at].character = Character::Sybil;
            figures.self_deals += 1;
            if played.is_some() {
                figures.self_dealing_cost += before - ring_money(&town, &sybils, owner);
                figures.seen.entry(Character::Sybil).or_default().net -= town.machines[at].cost;
            }
            continue;
        }
        let client = n % CLIENTS;
        let disputes = client.is_multiple_of(DISPUTER_EVERY);
        let chosen = bidders(&town.machines, late, &mut town.draws);
        let played = town.play(n, address(1, client), disputes, Offers::Round(&chosen));
        let Some(played) = played else {
            figures.unhired += 1;
            continue;
        };
        let machine = town.machines[played.worker];
        let is_paid = played.stage == Stage::Completed;
        let seen = figures.seen.entry(machine.character).or_default();
        seen.hired += 1;
        seen.net -= machine.effort();
        if played.is_right {
            figures.false_alarms.count(!is_paid);
            if disputes {
                figures.disputed_alarms.count(!is_paid);
            }
        } else {
            seen.caught.count(!is_paid);
            figures.caught.count(!is_paid);
        }
        if is_paid {
            earned[played.worker] += played.price;
            figures.paid += played.price;
            if played.is_right {
                figures.welfare += WORTH;
            } else {
                figures.paid_for_wrong += played.price;
                if !machine.character.works() {
                    figures.fraud += played.price;
                }
            }
        }
        figures.delivered += 1;
        figures.rounds += played.rounds;
        figures.checking += played.checking;
        figures.welfare -= machine.effort() + played.effort;
        figures.count_fairness(&town.machines, &chosen, played.worker, late);
    }
    for (at, machine) in town.machines.iter().enumerate() {
        let holding = town.market.holding(machine.party);
        let gained = holding.free.minor() + holding.stake.minor() - PURSE;
        figures.seen.entry(machine.character).or_default().net += gained - town.efforts[at];
    }
    let spent = PURSE - town.market.holding(owner).free.minor();
    figures.seen.entry(Character::Sybil).or_default().net -= spent;
    figures.count_population(&town.machines, &earned);
    assert_eq!(town.market.deposited(), town.market.counted(), "money was made or lost");
    figures
}

fn ring_money(town: &Town, sybils: &[usize], owner: Party) -> i128 {
    let of = |party| {
        let holding = town.market.holding(party);
        holding.free.minor() + holding.stake.minor()
    };
    of(owner) + sybils.iter().map(|at| of(town.machines[*at].party)).sum::<i128>()
}

const _: () = assert!(STAKE >= 2 * 3 * WORK_FEE && TESTS <= ITEMS && MILLION > 0);
