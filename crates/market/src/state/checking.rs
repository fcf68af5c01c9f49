//! Deliveries, panels, and verdicts.

use std::time::Duration;

use money::{Party, Timestamp};

use super::hiring::too_few;
use super::{Decision, State, Step};
use crate::checks::{Tally, exact, gold, juror, peer, redundant};
use crate::entropy::Draws;
use crate::id::{Digest, JobId};
use crate::job::{Bond, Panel, Seat};
use crate::operation::{Pot, Refusal, Stage};
use crate::terms::{Check, Delivery, GoldKey, Report};

impl State {
    pub(super) fn submit(&mut self, job: JobId, by: Party, delivery: &Delivery) -> Decision {
        let at = self.job_at(job)?;
        let slot = &self.jobs[at];
        let Some(worker) = slot.worker else {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        };
        if worker != by {
            return Err(Refusal::NotYours { by, owner: worker });
        }
        let is_same = match (&slot.delivery, delivery) {
            (Some(Delivery::Open(kept)), Delivery::Open(report)) => report.is_kept(kept),
            (kept, _) => kept.as_ref() == Some(delivery),
        };
        if is_same {
            return Ok(Step::Existed);
        }
        if slot.stage != Stage::Working {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        }
        if slot.open_children > 0 {
            return Err(Refusal::ChildrenOpen { job, open: slot.open_children });
        }
        let check = slot.terms.check;
        let suits = match delivery {
            Delivery::Sealed(_) => check.is_sealed(),
            Delivery::Open(report) => {
                !check.is_sealed() && report.suits(&check) && report.is_bounded()
            }
        };
        if !suits {
            return Err(Refusal::ReportOfWrongForm);
        }

        self.jobs[at].delivery = Some(delivery.clone());
        let offer_at = self.jobs[at].offer_at;
        self.offers[offer_at].busy -= 1;
        let now = self.now;
        match check {
            Check::Gold { .. } => {
                let until = now.plus(Duration::from_millis(self.rules.report_ms));
                self.enter(at, Stage::Reporting, until);
            }
            Check::Optimistic { window_ms, .. } => {
                let until = now.plus(Duration::from_millis(window_ms));
                self.enter(at, Stage::Challengeable, until);
            }
            Check::Juror { jurors } => self.call_panel(at, true, jurors, None, false, now),
            Check::Exact { .. } | Check::Redundant { .. } | Check::Peer { .. } => {
                self.call_panel(at, false, check.seats(), None, false, now);
            }
        }
        Ok(Step::Done)
    }

    pub(super) fn abandon(&mut self, job: JobId, by: Party) -> Decision {
        let at = self.job_at(job)?;
        let slot = &self.jobs[at];
        match slot.worker {
            Some(worker) if worker != by => return Err(Refusal::NotYours { by, owner: worker }),
            Some(_) if slot.stage == Stage::Expired && slot.delivery.is_none() => {
                return Ok(Step::Existed);
            }
            Some(_) if slot.stage == Stage::Working => {}
            Some(_) | None => return Err(Refusal::WrongStage { job, stage: slot.stage }),
        }
        if slot.open_children > 0 {
            return Err(Refusal::ChildrenOpen { job, open: slot.open_children });
        }
        self.end_absent(at);
        Ok(Step::Done)
    }

    /// A panel is wanted: entropy must come.
    fn call_panel(
        &mut self,
        at: usize,
        is_jury: bool,
        size: u8,
        bond: Option<usize>,
        is_second: bool,
        from: Timestamp,
    ) {
        let seats = Vec::new();
        let panel =
            Panel { is_jury, size, seats, drawn_with: None, bond, is_second, verdict: None };
        self.jobs[at].panels.push(panel);
        let until = from.plus(Duration::from_millis(self.rules.entropy_ms));
        self.enter(at, Stage::Drawing, until);
    }

    /// Whether this party has its part in the job already, and so no seat.
    fn is_involved(&self, at: usize, party: Party) -> bool {
        let slot = &self.jobs[at];
        party == slot.terms.client
            || Some(party) == slot.worker
            || slot.bonds.iter().any(|bond| bond.party == party)
            || slot.panels.iter().flat_map(|panel| &panel.seats).any(|seat| seat.checker == party)
    }

    /// Whether a panel of this size could be drawn beside those who have a part already.
    fn pool_has(&self, at: usize, size: u8) -> Result<(), Refusal> {
        let needs = u32::from(size);
        let least = self.deposit_for(&self.jobs[at].terms).max(1);
        self.none_or_too_few(at, needs, least)
    }

    fn none_or_too_few(&self, at: usize, needs: u32, least: i128) -> Result<(), Refusal> {
        let has = self.pool.able(needs, least, |place| !self.may_sit(at, place));
        if has >= needs {
            return Ok(());
        }
        let is_involved = |place: usize| self.is_involved(at, self.holders[place].party);
        Err(too_few(has, self.pool.able(needs, least, is_involved), needs))
    }

    /// Whether whoever is at this place of the pool could be drawn for a job: it has no part in it, and says that it
    /// can check such work.
    fn may_sit(&self, at: usize, place: usize) -> bool {
        let skill = self.jobs[at].terms.skill;
        self.can_check(place, skill) && !self.is_involved(at, self.holders[place].party)
    }

    pub(super) fn draw(&mut self, job: JobId, entropy: Digest) -> Decision {
        let at = self.job_at(job)?;
        let slot = &self.jobs[at];
        if slot.panels.last().is_some_and(|panel| panel.drawn_with == Some(entropy)) {
            return Ok(Step::Existed);
        }
        if slot.stage != Stage::Drawing {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        }
        let size = slot.panels.last().map_or(0, |panel| panel.size);
        let act = format!("machina/market/panel/{}/1", slot.panels.len());
        let deposit = self.deposit_for(&slot.terms);
        let mut draws = Draws::new(&entropy, &act, job);
        let is_first = slot.panels.len() == 1 && slot.bonds.is_empty();
        if is_first && !draws.chance(slot.terms.audit) {
            self.leave_unaudited(at, entropy);
            return Ok(Step::Done);
        }
        let mut pool = std::mem::take(&mut self.pool);
        let drawn = pool.draw(
            usize::from(size),
            deposit.max(1),
            |place| !self.may_sit(at, place),
            &mut draws,
        );
        self.pool = pool;
        let Some(drawn) = drawn else {
            let needs = u32::from(size);
            // Drawing and counting go by the same rule.
            let refused = self.none_or_too_few(at, needs, deposit.max(1));
            return Err(refused.expect_err("nobody was drawn"));
        };
        let mut seats = Vec::with_capacity(drawn.len());
        for checker_at in drawn {
            self.lock(checker_at, deposit);
            let checker = self.holders[checker_at].party;
            let (commitment, report) = (None, None);
            seats.push(Seat {
                checker,
                commitment,
                report,
                agrees: [true; 2],
                deposit,
                checker_at,
            });
        }
        let panel = self.jobs[at].panels.last_mut().expect("a panel is wanted");
        panel.seats = seats;
        panel.drawn_with = Some(entropy);
        let check_ms = self.jobs[at].terms.check_ms;
        self.enter(at, Stage::Checking, self.now.plus(Duration::from_millis(check_ms)));
        Ok(Step::Done)
    }

    /// The lot says that this work is not looked at. What was sealed must still be opened: the
    /// client gets what it paid for, and the worker is bound to it.
    fn leave_unaudited(&mut self, at: usize, entropy: Digest) {
        let panel = self.jobs[at].panels.last_mut().expect("a panel is wanted");
        panel.size = 0;
        panel.drawn_with = Some(entropy);
        if self.jobs[at].answer().is_some() {
            self.end_unchallenged(at);
        } else {
            let until = self.now.plus(Duration::from_millis(self.rules.report_ms));
            self.enter(at, Stage::Reporting, until);
        }
    }

    pub(super) fn commit_report(&mut self, job: JobId, by: Party, commitment: Digest) -> Decision {
        let at = self.job_at(job)?;
        let stage = self.jobs[at].stage;
        let panel = self.jobs[at].panels.last_mut();
        let seat = panel.and_then(|p| p.seats.iter_mut().find(|seat| seat.checker == by));
        if seat.as_ref().is_some_and(|seat| seat.commitment == Some(commitment)) {
            return Ok(Step::Existed);
        }
        if stage != Stage::Checking {
            return Err(Refusal::WrongStage { job, stage });
        }
        let seat = seat.ok_or(Refusal::NotSeated { party: by })?;
        if seat.commitment.is_some() {
            return Err(Refusal::AlreadyCommitted { party: by });
        }
        seat.commitment = Some(commitment);
        let all = self.jobs[at]
            .panels
            .last()
            .is_some_and(|panel| panel.seats.iter().all(|seat| seat.commitment.is_some()));
        if all {
            let until = self.now.plus(Duration::from_millis(self.rules.report_ms));
            self.enter(at, Stage::Reporting, until);
        }
        Ok(Step::Done)
    }

    /// The time for reports is over: with most of them they are opened.
    pub(super) fn reports_are_in(&mut self, at: usize, due: Timestamp) {
        let panel = self.jobs[at].panels.last().expect("a panel is at work");
        let sealed = panel.seats.iter().filter(|seat| seat.commitment.is_some()).count();
        if sealed * 2 > usize::from(panel.size) {
            let until = due.plus(Duration::from_millis(self.rules.report_ms));
            self.enter(at, Stage::Reporting, until);
        } else {
            self.panel_was_silent(at, due);
        }
    }

    pub(super) fn reveal_report(
        &mut self,
        job: JobId,
        by: Party,
        report: &Report,
        salt: &Digest,
    ) -> Decision {
        let at = self.job_at(job)?;
        let slot = &self.jobs[at];
        let is_worker = slot.worker == Some(by);
        let panel = slot.panels.last();
        let seat = panel.and_then(|p| p.seats.iter().position(|seat| seat.checker == by));
        let told = match (is_worker, seat) {
            (true, _) => slot.opened.as_ref(),
            (false, Some(seat)) => panel.and_then(|panel| panel.seats[seat].report.as_ref()),
            (false, None) => None,
        };
        if told.is_some_and(|told| report.is_kept(told)) {
            return Ok(Step::Existed);
        }
        let is_gold = matches!(slot.terms.check, Check::Gold { .. });
        let is_examiners = is_gold && panel.is_some_and(|panel| !panel.is_jury);
        if slot.stage != Stage::Reporting || is_examiners {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        }
        let is_jury = panel.is_some_and(|panel| panel.is_jury);
        let suits = match report {
            Report::Vote(_) => is_jury && !is_worker,
            Report::Digest(_) | Report::Labels(_) => {
                (!is_jury || is_worker) && report.suits(&slot.terms.check)
            }
        };
        if !suits || !report.is_bounded() {
            return Err(Refusal::ReportOfWrongForm);
        }
        let sealed = match (is_worker, seat) {
            (true, _) => match (&slot.delivery, &slot.opened) {
                (Some(Delivery::Sealed(sealed)), None) => Some(*sealed),
                _ => None,
            },
            (false, Some(seat)) => panel
                .map(|panel| &panel.seats[seat])
                .filter(|seat| seat.report.is_none())
                .and_then(|seat| seat.commitment),
            (false, None) => None,
        };
        let Some(sealed) = sealed else { return Err(Refusal::NotSeated { party: by }) };
        if report.commitment(job, by, salt) != sealed {
            return Err(Refusal::CommitmentBroken { party: by });
        }

        let slot = &mut self.jobs[at];
        match seat {
            _ if is_worker => slot.opened = Some(report.clone()),
            Some(seat) => {
                let panel = slot.panels.last_mut().expect("the seat is on a panel");
                panel.seats[seat].report = Some(report.clone());
            }
            None => unreachable!("who neither works nor sits has sealed nothing"),
        }
        let panel = slot.panels.last().expect("a panel is at work");
        let worker_told = is_jury || slot.answer().is_some();
        let all_told = panel.seats.iter().all(|s| s.commitment.is_none() || s.report.is_some());
        if worker_told && all_told {
            let from = self.now;
            self.tally(at, from);
        }
        Ok(Step::Done)
    }

    /// The time for opening reports is over.
    pub(super) fn reports_are_open(&mut self, at: usize, due: Timestamp) {
        let panel = self.jobs[at].panels.last().expect("a panel is at work");
        if matches!(self.jobs[at].terms.check, Check::Gold { .. }) && !panel.is_jury {
            self.end_unexamined(at);
        } else {
            self.tally(at, due);
        }
    }

    /// Compares what was told.
    fn tally(&mut self, at: usize, from: Timestamp) {
        let slot = &self.jobs[at];
        let panel = slot.panels.last().expect("a panel is at work");
        if panel.size == 0 {
            return match slot.answer() {
                Some(_) => self.end_unchallenged(at),
                None => self.find(at, false, from),
            };
        }
        let told: Vec<(usize, &Report, usize)> = panel
            .seats
            .iter()
            .enumerate()
            .filter_map(|(at, seat)| Some((at, seat.report.as_ref()?, seat.checker_at)))
            .collect();
        if told.len() * 2 <= usize::from(panel.size) {
            return self.panel_was_silent(at, from);
        }
        let tally = match (panel.is_jury, slot.answer()) {
            (true, _) => {
                let votes: Vec<bool> =
                    told.iter().map(|(_, report, _)| **report == Report::Vote(true)).collect();
                juror::tally(&votes)
            }
            // What the worker sealed it did not open: it fails, and nobody else was wrong.
            (false, None) => Tally { verdict: Some(false), agrees: vec![[true; 2]; told.len()] },
            (false, Some(answer)) => self.compare(at, answer, &told),
        };
        let seats: Vec<usize> = told.iter().map(|(seat, ..)| *seat).collect();
        let Some(verdict) = tally.verdict else {
            return self.panel_was_silent(at, from);
        };
        let panel = self.jobs[at].panels.last_mut().expect("a panel is at work");
        panel.verdict = Some(verdict);
        for (seat, agrees) in seats.into_iter().zip(tally.agrees) {
            panel.seats[seat].agrees = agrees;
        }
        self.slash_silent(at);
        self.find(at, verdict, from);
    }

    fn compare(&self, at: usize, answer: &Report, told: &[(usize, &Report, usize)]) -> Tally {
        let slot = &self.jobs[at];
        let reports: Vec<&Report> = told.iter().map(|(_, report, _)| *report).collect();
        match slot.terms.check {
            Check::Exact { .. } | Check::Optimistic { .. } => exact::tally(answer, &reports),
            Check::Redundant { .. } => {
                let skill = slot.terms.skill;
                let weight = |place: usize| redundant::weight(self.counts(place, skill).mean());
                let peers: Vec<(&Report, u64)> =
                    told.iter().map(|(_, report, place)| (*report, weight(*place))).collect();
                let worker_at = self.offers[slot.offer_at].worker_at;
                redundant::tally((answer, weight(worker_at)), &peers)
            }
            Check::Peer { pass_mark, .. } => {
                let labels = |report: &'_ Report| match report {
                    Report::Labels(labels) => labels.clone(),
                    Report::Digest(_) | Report::Vote(_) => Vec::new(),
                };
                let raters: Vec<Vec<u16>> = reports.iter().map(|report| labels(report)).collect();
                let raters: Vec<&[u16]> = raters.iter().map(Vec::as_slice).collect();
                peer::tally(&labels(answer), &raters, pass_mark)
            }
            Check::Gold { .. } | Check::Juror { .. } => {
                unreachable!("hidden tests are examined, and jurors vote")
            }
        }
    }

    /// There is a verdict. It is final, or may be appealed against.
    fn find(&mut self, at: usize, verdict: bool, from: Timestamp) {
        let slot = &mut self.jobs[at];
        slot.verdict = Some(verdict);
        if slot.appeals < slot.terms.appeals {
            let until = from.plus(Duration::from_millis(self.rules.appeal_ms));
            self.enter(at, Stage::Appealable, until);
        } else {
            self.end_judged(at);
        }
    }

    /// A panel came to no verdict. Once it is replaced; then the verdict before it stands, and
    /// where there is none the job ends without, or, under an optimistic check whose challenge found
    /// no panel, as if nobody had challenged.
    pub(super) fn panel_was_silent(&mut self, at: usize, due: Timestamp) {
        let slot = &self.jobs[at];
        let panel = slot.panels.last().expect("a panel was called");
        let (is_jury, size, bond, again) =
            (panel.is_jury, panel.size, panel.bond, !panel.is_second);
        let is_hopeless = !again && slot.verdict.is_none();
        // A challenge for which no panel was found has shown nothing.
        let is_challenge = matches!(slot.terms.check, Check::Optimistic { .. });
        let is_unfounded = is_challenge && slot.panels.iter().any(|panel| panel.seats.is_empty());
        self.slash_silent(at);
        if again {
            self.call_panel(at, is_jury, size, bond, true, due);
        } else if is_hopeless && is_unfounded {
            self.end_unheard(at);
        } else if is_hopeless {
            self.end_undecided(at);
        } else {
            self.end_judged(at);
        }
    }

    /// Takes the deposits of those on the last panel who told nothing. The treasury has them, and
    /// nobody who takes part: whoever earned by others' silence would see to it that they are silent.
    pub(super) fn slash_silent(&mut self, at: usize) {
        let treasury = self.rules.treasury;
        let panel = self.jobs[at].panels.len() - 1;
        for seat in 0..self.jobs[at].panels[panel].seats.len() {
            let slot = &mut self.jobs[at].panels[panel].seats[seat];
            if slot.report.is_some() {
                continue;
            }
            let (deposit, place) = (std::mem::take(&mut slot.deposit), slot.checker_at);
            self.lock(place, -deposit);
            self.slash_checker(at, place, treasury, deposit);
        }
    }

    pub(super) fn examine(&mut self, job: JobId, by: Party, key: &GoldKey) -> Decision {
        let at = self.job_at(job)?;
        let slot = &self.jobs[at];
        let Check::Gold { examiner, key: commitment, pass_mark } = slot.terms.check else {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        };
        if examiner != by {
            return Err(Refusal::NotYours { by, owner: examiner });
        }
        let is_same = key.commitment() == commitment;
        if is_same && slot.examined.is_some() {
            return Ok(Step::Existed);
        }
        if slot.stage != Stage::Reporting || slot.examined.is_some() {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        }
        if !is_same {
            return Err(Refusal::CommitmentBroken { party: by });
        }
        if !key.is_bounded() {
            return Err(Refusal::ReportOfWrongForm);
        }
        let Some(Report::Labels(labels)) = slot.answer() else {
            return Err(Refusal::ReportOfWrongForm);
        };
        let found = gold::score(labels, key);
        let verdict = gold::passes(found, pass_mark);
        let slot = &mut self.jobs[at];
        slot.examined = Some(found);
        let panel = &mut slot.panels[0];
        panel.verdict = Some(verdict);
        panel.seats[0].report = Some(Report::Vote(verdict));
        panel.seats[0].agrees = [!verdict, verdict];
        let from = self.now;
        self.find(at, verdict, from);
        Ok(Step::Done)
    }

    pub(super) fn challenge(&mut self, job: JobId, by: Party) -> Decision {
        let at = self.job_at(job)?;
        let slot = &self.jobs[at];
        if slot.bonds.iter().any(|bond| bond.party == by && !bond.is_appeal) {
            return Ok(Step::Existed);
        }
        if slot.stage != Stage::Challengeable {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        }
        let size = slot.terms.check.seats();
        let amount = self.bond_for(at, size);
        self.pool_has(at, size)?;
        if slot.worker == Some(by) {
            return Err(Refusal::SelfDealing { party: by });
        }
        self.afford(by, amount)?;
        let bond = self.bind(at, Bond { party: by, amount, against: true, is_appeal: false });
        let from = self.now;
        self.call_panel(at, false, size, Some(bond), false, from);
        Ok(Step::Done)
    }

    pub(super) fn appeal(&mut self, job: JobId, by: Party) -> Decision {
        let at = self.job_at(job)?;
        let slot = &self.jobs[at];
        let (Stage::Appealable, Some(verdict)) = (slot.stage, slot.verdict) else {
            let last = slot.bonds.last();
            let is_same = last.is_some_and(|bond| bond.is_appeal && bond.party == by);
            if is_same && !slot.stage.is_final() {
                return Ok(Step::Existed);
            }
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        };
        let size = juror::next_panel(slot.panels.last().map_or(1, |panel| panel.size));
        let amount = self.bond_for(at, size);
        self.pool_has(at, size)?;
        let loser = if verdict { Some(slot.terms.client) } else { slot.worker };
        if loser != Some(by) {
            return Err(Refusal::NothingToAppeal { party: by });
        }
        self.afford(by, amount)?;
        let bond = self.bind(at, Bond { party: by, amount, against: verdict, is_appeal: true });
        self.jobs[at].appeals += 1;
        let from = self.now;
        self.call_panel(at, true, size, Some(bond), false, from);
        Ok(Step::Done)
    }

    /// What the panel of this size can cost, which whoever calls it puts down.
    fn bond_for(&self, at: usize, size: u8) -> i128 {
        juror::bond(size, self.jobs[at].terms.checker_fee.minor())
    }

    fn bind(&mut self, at: usize, bond: Bond) -> usize {
        self.hold(Some(at), Pot::Bond, bond.party, bond.amount);
        self.jobs[at].bonds.push(bond);
        self.jobs[at].bonds.len() - 1
    }
}
