//! Offers, jobs, and rounds: until somebody works.

use std::sync::Arc;
use std::time::Duration;

use money::{Amount, Party, Timestamp};

use super::{Decision, OfferSlot, State, Step};
use crate::entropy::Draws;
use crate::id::{Digest, JobId, OfferId};
use crate::job::{Bid, BidState, Job, Panel, Seat};
use crate::operation::{Movement, Pot, Refusal, Stage, TermsProblem};
use crate::price::second_score::{self, Bidder, Demand};
use crate::price::thompson;
use crate::rules::{MAX_BIDS, MAX_BIDS_EVER, MAX_CHILDREN, MAX_DEPTH, MAX_OFFERS};
use crate::terms::{Check, Offer, Pricing, Terms, bid_commitment};

impl State {
    pub(super) fn publish(&mut self, offer: &Offer) -> Decision {
        self.positive(offer.price)?;
        self.at_least_zero(offer.most_stake)?;
        if let Some(&at) = self.offer_index.get(&offer.id) {
            if self.offers[at].offer == *offer {
                return Ok(Step::Existed);
            }
            let (what, id) = ("offer".to_owned(), offer.id.to_string());
            return Err(Refusal::ExistsWithDifferent { what, id });
        }
        if offer.capacity == 0 {
            return Err(Refusal::CapacityMissing);
        }
        let place = self.holder_index.get(&offer.worker);
        if place.is_some_and(|place| self.holders[*place].offers >= MAX_OFFERS) {
            return Err(Refusal::TooManyOffers { party: offer.worker });
        }
        let worker_at = self.place(offer.worker);
        self.holders[worker_at].offers += 1;
        self.offer_index.insert(offer.id, self.offers.len());
        self.offers.push(OfferSlot { offer: offer.clone(), worker_at, retired: false, busy: 0 });
        Ok(Step::Done)
    }

    pub(super) fn retire(&mut self, offer: OfferId, by: Party) -> Decision {
        let at = self.offer_at(offer)?;
        let slot = &mut self.offers[at];
        if slot.offer.worker != by {
            return Err(Refusal::NotYours { by, owner: slot.offer.worker });
        }
        if slot.retired {
            return Ok(Step::Existed);
        }
        slot.retired = true;
        let worker_at = slot.worker_at;
        self.holders[worker_at].offers -= 1;
        Ok(Step::Done)
    }

    pub(super) fn open(&mut self, terms: &Terms) -> Decision {
        if let Some(&at) = self.job_index.get(&terms.id) {
            if *self.jobs[at].terms == *terms {
                return Ok(Step::Existed);
            }
            let (what, id) = ("job".to_owned(), terms.id.to_string());
            return Err(Refusal::ExistsWithDifferent { what, id });
        }
        self.examine_terms(terms)?;
        let ends_by = self.ends_by(terms);
        let mut depth = 0;
        let mut parent_at = None;
        if let Some(parent) = terms.parent {
            let at = self.parent_at(parent)?;
            self.foreman_may_hire(at, terms, ends_by)?;
            depth = self.jobs[at].depth + 1;
            self.jobs[at].children += 1;
            parent_at = Some(at);
        }
        self.job_index.insert(terms.id, self.jobs.len());
        self.unfunded.insert((terms.client, self.jobs.len()));
        self.jobs.push(Job {
            terms: Arc::new(terms.clone()),
            opened_at: self.now,
            ended_at: None,
            stage: Stage::Open,
            deadline: None,
            ends_by,
            depth,
            children: 0,
            open_children: 0,
            bids: Vec::new(),
            cleared_with: None,
            worker: None,
            offer: None,
            price: 0,
            delivery: None,
            opened: None,
            examined: None,
            panels: Vec::new(),
            bonds: Vec::new(),
            appeals: 0,
            verdict: None,
            escrow: 0,
            stake: 0,
            refunded: 0,
            spent: 0,
            allotted: 0,
            funded: false,
            offer_at: usize::MAX,
            parent_at,
        });
        Ok(Step::Done)
    }

    fn parent_at(&self, parent: JobId) -> Result<usize, Refusal> {
        self.job_index.get(&parent).copied().ok_or(Refusal::ParentNotFound { parent })
    }

    fn foreman_may_hire(
        &self,
        parent_at: usize,
        terms: &Terms,
        ends_by: Timestamp,
    ) -> Result<(), Refusal> {
        let above = &self.jobs[parent_at];
        let parent = above.terms.id;
        let Some(foreman) = above.worker.filter(|_| above.stage == Stage::Working) else {
            return Err(Refusal::ParentNotWorking { parent });
        };
        if terms.client != foreman {
            return Err(Refusal::NotTheForeman { client: terms.client, parent, foreman });
        }
        if above.depth >= MAX_DEPTH {
            return Err(Refusal::TooDeep);
        }
        if above.children >= MAX_CHILDREN {
            return Err(Refusal::TooManyChildren { parent });
        }
        let deliver_by = above.terms.deliver_by;
        if ends_by >= deliver_by {
            return Err(Refusal::OutlivesParent { ends_by, deliver_by });
        }
        Ok(())
    }

    pub(super) fn fund(&mut self, job: JobId) -> Decision {
        let at = self.job_at(job)?;
        let slot = &self.jobs[at];
        if slot.funded {
            return Ok(Step::Existed);
        }
        let terms = Arc::clone(&slot.terms);
        let offer_at = match terms.pricing {
            Pricing::Posted { offer } => Some(self.offer_at(offer)?),
            Pricing::Quotes | Pricing::Auction { .. } => None,
        };
        if let Some(at) = offer_at {
            self.offer_serves(at, &terms)?;
            // Its worker is not asked, so what it agreed to must cover this.
            let told = &self.offers[at].offer;
            if let Some(limit) = told.limit_of(&terms, self.now) {
                return Err(Refusal::OfferDoesNotAgree { offer: told.id, limit });
            }
        }
        let earliest = self.now.plus(Duration::from_millis(self.round_ms(&terms)));
        if terms.deliver_by <= earliest {
            return Err(Refusal::TermsInvalid { problem: TermsProblem::DeliverBy });
        }
        if let Some(parent) = slot.parent_at {
            self.parent_is_at_work(parent)?;
        }
        if slot.stage != Stage::Open {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        }
        let budget = terms.budget.minor();
        if let Some(parent) = slot.parent_at {
            self.parent_affords(parent, budget)?;
        }
        let examiner = self.panel_can_be_drawn(&terms)?;
        if let Some(offer_at) = offer_at {
            let OfferSlot { offer, busy, .. } = &self.offers[offer_at];
            if *busy >= offer.capacity {
                return Err(Refusal::OfferBusy { offer: offer.id, capacity: offer.capacity });
            }
            let price = offer.price.minor();
            let worker = offer.worker;
            self.may_work(worker, &terms)?;
            self.within_reserve(at, price)?;
            self.afford(worker, terms.stake.minor())?;
        }
        if slot.parent_at.is_none() {
            self.afford(terms.client, budget)?;
        }

        // Decided: from here on everything happens.
        match slot.parent_at {
            None => self.hold(Some(at), Pot::Escrow, terms.client, budget),
            Some(parent) => {
                self.jobs[parent].escrow -= budget;
                self.jobs[parent].allotted += budget;
                self.jobs[parent].open_children += 1;
                let client = terms.client;
                self.tell(Movement::Allot, Some(at), Pot::Escrow, client, client, budget);
                self.jobs[parent].stake += budget;
                self.hold(Some(parent), Pot::Stake, client, budget);
            }
        }
        self.jobs[at].escrow = budget;
        self.jobs[at].funded = true;
        if let Some(checker_at) = examiner {
            let deposit = self.deposit_for(&terms);
            self.lock(checker_at, deposit);
            let checker = self.holders[checker_at].party;
            let seat = Seat {
                checker,
                commitment: None,
                report: None,
                agrees: [true; 2],
                deposit,
                checker_at,
            };
            self.jobs[at].panels.push(Panel {
                is_jury: false,
                size: 1,
                seats: vec![seat],
                drawn_with: None,
                bond: None,
                is_second: false,
                verdict: None,
            });
        }
        match (offer_at, &terms.pricing) {
            (Some(offer_at), _) => {
                let price = self.offers[offer_at].offer.price.minor();
                self.hire(at, offer_at, price);
            }
            (None, Pricing::Auction { .. }) => {
                let until = self.now.plus(Duration::from_millis(self.rules.bid_ms));
                self.enter(at, Stage::Bidding, until);
            }
            (None, _) => self.enter(at, Stage::Bidding, terms.deliver_by),
        }
        Ok(Step::Done)
    }

    fn parent_is_at_work(&self, parent: usize) -> Result<(), Refusal> {
        let above = &self.jobs[parent];
        match above.stage {
            Stage::Working => Ok(()),
            _ => Err(Refusal::ParentNotWorking { parent: above.terms.id }),
        }
    }

    /// A child is paid out of its parent's price, and the foreman answers for it with as much money of
    /// its own, beside the stake that deters it: so the parent's client gets its money back whole if
    /// the parent fails, and a foreman that hired itself has lost its stake all the same.
    fn parent_affords(&self, parent: usize, budget: i128) -> Result<(), Refusal> {
        let above = &self.jobs[parent];
        let left = above.price - self.rules.fee(above.price) - above.spent - above.allotted;
        if budget > left {
            let (asked, left) = (self.amount(budget), self.amount(left));
            return Err(Refusal::ParentBudgetExceeded { asked, left });
        }
        let foreman = above.worker.expect("somebody is at work on it");
        let available = self.free(foreman);
        if available < budget {
            let (available, needs) = (self.amount(available), self.amount(budget));
            return Err(Refusal::LiabilityNotCovered { available, needs });
        }
        Ok(())
    }

    /// Whether enough checkers are there; for hidden tests, where their examiner is.
    fn panel_can_be_drawn(&self, terms: &Terms) -> Result<Option<usize>, Refusal> {
        if let Check::Gold { examiner, .. } = terms.check {
            let place = self.holder_index.get(&examiner).copied();
            let able = place.filter(|at| {
                let weight = self.pool.weight(*at);
                weight > 0 && weight >= self.deposit_for(terms)
            });
            return match able {
                Some(at) => Ok(Some(at)),
                None => Err(Refusal::PoolTooSmall { has: 0, needs: 1 }),
            };
        }
        // Client and worker may be in the pool, and take no seats.
        let needs = u32::from(terms.check.seats());
        let least = self.deposit_for(terms).max(1);
        let skilled = self.pool.able(needs + 2, least, |place| !self.can_check(place, terms.skill));
        let outsiders = skilled.saturating_sub(2);
        if outsiders < needs {
            let any = self.pool.able(needs + 2, least, |_| false).saturating_sub(2);
            return Err(too_few(outsiders, any, needs));
        }
        Ok(None)
    }

    /// What one seat puts at stake.
    pub(super) fn deposit_for(&self, terms: &Terms) -> i128 {
        terms.checker_fee.minor() * i128::from(self.rules.deposit_fees)
    }

    fn offer_serves(&self, offer_at: usize, terms: &Terms) -> Result<(), Refusal> {
        let OfferSlot { offer, retired, .. } = &self.offers[offer_at];
        if *retired {
            return Err(Refusal::OfferRetired { offer: offer.id });
        }
        if offer.skill != terms.skill {
            return Err(Refusal::OfferOfOtherSkill { offer: offer.id });
        }
        Ok(())
    }

    /// Nobody is client and worker, or worker and examiner.
    fn may_work(&self, worker: Party, terms: &Terms) -> Result<(), Refusal> {
        let examines = matches!(terms.check, Check::Gold { examiner, .. } if examiner == worker);
        if worker == terms.client || examines {
            return Err(Refusal::SelfDealing { party: worker });
        }
        Ok(())
    }

    fn within_reserve(&self, job_at: usize, price: i128) -> Result<(), Refusal> {
        let most = self.jobs[job_at].most_price();
        if price > most {
            let (price, most) = (self.amount(price), self.amount(most));
            return Err(Refusal::PriceAboveReserve { price, most });
        }
        Ok(())
    }

    pub(super) fn cancel(&mut self, job: JobId, by: Party) -> Decision {
        let at = self.job_at(job)?;
        let slot = &self.jobs[at];
        if slot.terms.client != by {
            return Err(Refusal::NotYours { by, owner: slot.terms.client });
        }
        match slot.stage {
            Stage::Open | Stage::Bidding => {
                self.end_unhired(at);
                Ok(Step::Done)
            }
            Stage::Expired if slot.worker.is_none() => Ok(Step::Existed),
            stage => Err(Refusal::WrongStage { job, stage }),
        }
    }

    /// The bid of this offer, by place.
    fn bid_of(&self, job_at: usize, offer: OfferId) -> Option<usize> {
        self.jobs[job_at].bids.iter().position(|bid| bid.offer == offer)
    }

    /// What every new bid must satisfy.
    fn may_bid(&self, job_at: usize, offer_at: usize, bond: i128) -> Result<(), Refusal> {
        let slot = &self.jobs[job_at];
        if slot.stage != Stage::Bidding {
            return Err(Refusal::WrongStage { job: slot.terms.id, stage: slot.stage });
        }
        let OfferSlot { offer, busy, .. } = &self.offers[offer_at];
        if *busy >= offer.capacity {
            return Err(Refusal::OfferBusy { offer: offer.id, capacity: offer.capacity });
        }
        self.may_work(offer.worker, &slot.terms)?;
        // One bid a worker, even if it took that back: each bid is a draw of quality, and several
        // offers would be several.
        if slot.bids.iter().any(|bid| bid.worker == offer.worker) {
            return Err(Refusal::BidExists { offer: offer.id });
        }
        // Who went away holds no place, but is remembered, and not without end.
        let live = slot.bids.iter().filter(|bid| bid.state != BidState::TakenBack).count();
        if live >= MAX_BIDS || slot.bids.len() >= MAX_BIDS_EVER {
            return Err(Refusal::RoundFull);
        }
        self.afford(offer.worker, slot.terms.stake.minor().max(bond))
    }

    pub(super) fn bid(&mut self, job: JobId, offer: OfferId, price: Amount) -> Decision {
        let minor = self.positive(price)?;
        let offer_at = self.offer_at(offer)?;
        let job_at = self.job_at(job)?;
        let slot = &self.jobs[job_at];
        match slot.terms.pricing {
            Pricing::Quotes | Pricing::Auction { committed: false, .. } => {}
            Pricing::Posted { .. } | Pricing::Auction { committed: true, .. } => {
                return Err(Refusal::WrongStage { job, stage: slot.stage });
            }
        }
        if let Some(bid) = self.bid_of(job_at, offer) {
            return match slot.bids[bid].state {
                BidState::Told(told) if told == minor => Ok(Step::Existed),
                BidState::Told(_) | BidState::Sealed(_) => Err(Refusal::BidExists { offer }),
                BidState::TakenBack | BidState::Unopened => Err(Refusal::BidIsOver { offer }),
            };
        }
        self.offer_serves(offer_at, &slot.terms)?;
        self.may_bid(job_at, offer_at, 0)?;
        self.within_reserve(job_at, minor)?;
        let worker = self.offers[offer_at].offer.worker;
        let state = BidState::Told(minor);
        self.jobs[job_at].bids.push(Bid { offer, worker, state, bond: 0, drawn: None, offer_at });
        Ok(Step::Done)
    }

    pub(super) fn commit(&mut self, job: JobId, offer: OfferId, commitment: Digest) -> Decision {
        let offer_at = self.offer_at(offer)?;
        let job_at = self.job_at(job)?;
        let slot = &self.jobs[job_at];
        let Pricing::Auction { committed: true, bond } = slot.terms.pricing else {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        };
        if let Some(bid) = self.bid_of(job_at, offer) {
            return match slot.bids[bid].state {
                BidState::Sealed(sealed) if sealed == commitment => Ok(Step::Existed),
                BidState::Sealed(_) => Err(Refusal::BidExists { offer }),
                BidState::Told(_) | BidState::TakenBack | BidState::Unopened => {
                    Err(Refusal::BidIsOver { offer })
                }
            };
        }
        self.offer_serves(offer_at, &slot.terms)?;
        let bond = bond.minor();
        self.may_bid(job_at, offer_at, bond)?;
        let worker = self.offers[offer_at].offer.worker;
        self.hold(Some(job_at), Pot::Bid, worker, bond);
        let state = BidState::Sealed(commitment);
        self.jobs[job_at].bids.push(Bid { offer, worker, state, bond, drawn: None, offer_at });
        Ok(Step::Done)
    }

    pub(super) fn reveal(
        &mut self,
        job: JobId,
        offer: OfferId,
        price: Amount,
        salt: &Digest,
    ) -> Decision {
        let minor = self.positive(price)?;
        let job_at = self.job_at(job)?;
        let slot = &self.jobs[job_at];
        let bid = self.bid_of(job_at, offer);
        let Some(bid) = bid else {
            return Err(match slot.stage {
                Stage::Bidding | Stage::Revealing => Refusal::BidNotFound { offer },
                stage => Refusal::WrongStage { job, stage },
            });
        };
        let commitment = match slot.bids[bid].state {
            BidState::Told(told) if told == minor => return Ok(Step::Existed),
            BidState::Told(_) | BidState::TakenBack | BidState::Unopened => {
                return Err(Refusal::BidIsOver { offer });
            }
            BidState::Sealed(commitment) => commitment,
        };
        if slot.stage != Stage::Revealing {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        }
        self.within_reserve(job_at, minor)?;
        let worker = slot.bids[bid].worker;
        if bid_commitment(job, worker, price, salt) != commitment {
            return Err(Refusal::CommitmentBroken { party: worker });
        }
        self.jobs[job_at].bids[bid].state = BidState::Told(minor);
        Ok(Step::Done)
    }

    pub(super) fn unbid(&mut self, job: JobId, offer: OfferId) -> Decision {
        let job_at = self.job_at(job)?;
        let slot = &self.jobs[job_at];
        let bid = self.bid_of(job_at, offer);
        if let Some(bid) = bid.filter(|bid| slot.bids[*bid].state == BidState::TakenBack) {
            debug_assert_eq!(slot.bids[bid].bond, 0);
            return Ok(Step::Existed);
        }
        if slot.stage != Stage::Bidding {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        }
        let bid = bid.ok_or(Refusal::BidNotFound { offer })?;
        self.jobs[job_at].bids[bid].state = BidState::TakenBack;
        self.release_bid(job_at, bid);
        Ok(Step::Done)
    }

    fn release_bid(&mut self, job_at: usize, bid: usize) {
        let slot = &mut self.jobs[job_at].bids[bid];
        let bond = std::mem::take(&mut slot.bond);
        let worker = slot.worker;
        self.give(Movement::Release, Some(job_at), Pot::Bid, worker, worker, bond);
    }

    /// All bonds go back to those who still have one.
    pub(super) fn release_bids(&mut self, job_at: usize) {
        for bid in 0..self.jobs[job_at].bids.len() {
            if self.jobs[job_at].bids[bid].bond > 0 {
                self.release_bid(job_at, bid);
            }
        }
    }

    /// The time for bids is over.
    pub(super) fn bids_are_in(&mut self, job_at: usize, due: Timestamp) {
        let slot = &self.jobs[job_at];
        let any = slot.bids.iter().any(|bid| bid.state != BidState::TakenBack);
        match slot.terms.pricing {
            Pricing::Auction { committed, .. } if any => {
                let (stage, span) = if committed {
                    (Stage::Revealing, self.rules.reveal_ms)
                } else {
                    (Stage::Choosing, self.rules.entropy_ms)
                };
                self.enter(job_at, stage, due.plus(Duration::from_millis(span)));
            }
            _ => self.end_unhired(job_at),
        }
    }

    /// The time for opening bids is over: who sealed one and kept it closed loses its bond.
    pub(super) fn bids_are_open(&mut self, job_at: usize, due: Timestamp) {
        let treasury = self.rules.treasury;
        for bid in 0..self.jobs[job_at].bids.len() {
            let slot = &mut self.jobs[job_at].bids[bid];
            if let BidState::Sealed(_) = slot.state {
                slot.state = BidState::Unopened;
                let (bond, worker) = (std::mem::take(&mut slot.bond), slot.worker);
                self.give(Movement::Slash, Some(job_at), Pot::Bid, worker, treasury, bond);
            }
        }
        let slot = &self.jobs[job_at];
        if slot.bids.iter().any(|bid| matches!(bid.state, BidState::Told(_))) {
            let span = Duration::from_millis(self.rules.entropy_ms);
            self.enter(job_at, Stage::Choosing, due.plus(span));
        } else {
            self.end_unhired(job_at);
        }
    }

    pub(super) fn accept(&mut self, job: JobId, offer: OfferId, by: Party) -> Decision {
        let job_at = self.job_at(job)?;
        let slot = &self.jobs[job_at];
        if slot.terms.client != by {
            return Err(Refusal::NotYours { by, owner: slot.terms.client });
        }
        if slot.offer == Some(offer) && slot.terms.pricing == Pricing::Quotes {
            return Ok(Step::Existed);
        }
        if slot.stage != Stage::Bidding || slot.terms.pricing != Pricing::Quotes {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        }
        let bid = self.bid_of(job_at, offer).map(|bid| &slot.bids[bid]);
        let Some((offer_at, price)) = bid.and_then(|bid| match bid.state {
            BidState::Told(price) => Some((bid.offer_at, price)),
            BidState::Sealed(_) | BidState::TakenBack | BidState::Unopened => None,
        }) else {
            return Err(Refusal::BidNotFound { offer });
        };
        let OfferSlot { offer: told, busy, .. } = &self.offers[offer_at];
        if *busy >= told.capacity {
            return Err(Refusal::OfferBusy { offer, capacity: told.capacity });
        }
        self.afford(told.worker, slot.terms.stake.minor())?;
        self.hire(job_at, offer_at, price);
        Ok(Step::Done)
    }

    pub(super) fn clear(&mut self, job: JobId, entropy: Digest) -> Decision {
        let job_at = self.job_at(job)?;
        let slot = &self.jobs[job_at];
        if slot.cleared_with == Some(entropy) {
            return Ok(Step::Existed);
        }
        if slot.stage != Stage::Choosing {
            return Err(Refusal::WrongStage { job, stage: slot.stage });
        }
        let demand = Demand {
            reserve: slot.most_price(),
            worth: slot.terms.worth.minor(),
            quality: slot.terms.quality,
        };
        let (stake, skill) = (slot.terms.stake.minor(), slot.terms.skill);
        let mut draws = Draws::new(&entropy, "machina/market/clear/1", job);
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut bidders = Vec::with_capacity(slot.bids.len());
        let mut places = Vec::with_capacity(slot.bids.len());
        for (place, bid) in slot.bids.iter().enumerate() {
            let BidState::Told(price) = bid.state else { continue };
            let OfferSlot { offer, worker_at, busy, .. } = &self.offers[bid.offer_at];
            // Who has meanwhile too much work or too little money cannot be hired.
            if *busy >= offer.capacity || self.holders[*worker_at].free + bid.bond < stake {
                continue;
            }
            let counts = self.counts(*worker_at, skill);
            let quality = thompson::draw(counts, &mut draws, &mut scratch);
            bidders.push(Bidder { price, quality });
            places.push((place, bid.offer_at));
        }
        self.scratch = scratch;
        let award = second_score::clear(&bidders, &demand, &mut draws);
        for ((place, _), bidder) in places.iter().zip(&bidders) {
            self.jobs[job_at].bids[*place].drawn = Some(bidder.quality);
        }
        self.jobs[job_at].cleared_with = Some(entropy);
        self.release_bids(job_at);
        match award {
            Some(award) => self.hire(job_at, places[award.bid].1, award.price),
            None => self.end_unhired(job_at),
        }
        Ok(Step::Done)
    }

    /// The worker's stake is set aside, and it may begin.
    fn hire(&mut self, job_at: usize, offer_at: usize, price: i128) {
        let worker = self.offers[offer_at].offer.worker;
        self.offers[offer_at].busy += 1;
        let stake = self.jobs[job_at].terms.stake.minor();
        self.hold(Some(job_at), Pot::Stake, worker, stake);
        let slot = &mut self.jobs[job_at];
        slot.worker = Some(worker);
        slot.offer = Some(self.offers[offer_at].offer.id);
        slot.offer_at = offer_at;
        slot.price = price;
        slot.stake = stake;
        let until = slot.terms.deliver_by;
        self.enter(job_at, Stage::Working, until);
    }
}

/// Why no panel of so many could be drawn: `skilled` say that they can check such work, and of `any` skill there
/// would be so many.
pub(super) fn too_few(skilled: u32, any: u32, needs: u32) -> Refusal {
    match any >= needs {
        true => Refusal::NobodyChecks { has: skilled, needs },
        false => Refusal::PoolTooSmall { has: any, needs },
    }
}
