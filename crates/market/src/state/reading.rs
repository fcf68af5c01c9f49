//! Looking at the market. Nothing here changes it.

use std::collections::BTreeSet;

use money::{Amount, Party, Timestamp};

use super::State;
use crate::id::{JobId, MoveId, OfferId, Skill, hash};
use crate::job::Job;
use crate::operation::Operation;
use crate::reputation::{Counts, Receipt};
use crate::rules::Rules;
use crate::terms::Offer;

/// What the market keeps of a party's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// What it may spend.
    pub free: Amount,
    /// What it has in the pool of checkers.
    pub stake: Amount,
    /// What of that is behind seats.
    pub locked: Amount,
}

impl State {
    /// What holds for all jobs.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The latest moment seen.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When the next stage ends by itself: whoever keeps the clock hands in a
    /// [`Tick`](crate::Operation::Tick) then.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        // What was overtaken is still in the heap, and at worst costs a tick.
        self.timers.peek().map(|std::cmp::Reverse((due, _))| *due)
    }

    /// From whom an operation must come; `None` of those that only who runs the market may hand in,
    /// and of those about jobs and offers that do not exist.
    pub fn actor(&self, operation: &Operation) -> Option<Party> {
        let client = |job: &JobId| self.job(*job).map(|job| job.terms.client);
        let bidder = |offer: &OfferId| self.offer(*offer).map(|(offer, _)| offer.worker);
        match operation {
            Operation::Tick
            | Operation::Deposit { .. }
            | Operation::Clear { .. }
            | Operation::Draw { .. } => None,
            Operation::Withdraw { party, .. }
            | Operation::Enlist { party, .. }
            | Operation::Qualify { party, .. }
            | Operation::Leave { party } => Some(*party),
            Operation::Publish(offer) => Some(offer.worker),
            Operation::Open(terms) => Some(terms.client),
            Operation::Fund { job } => client(job),
            Operation::Bid { offer, .. }
            | Operation::Commit { offer, .. }
            | Operation::Reveal { offer, .. }
            | Operation::Unbid { offer, .. } => bidder(offer),
            Operation::Retire { by, .. }
            | Operation::Cancel { by, .. }
            | Operation::Accept { by, .. }
            | Operation::Submit { by, .. }
            | Operation::Abandon { by, .. }
            | Operation::CommitReport { by, .. }
            | Operation::RevealReport { by, .. }
            | Operation::Examine { by, .. }
            | Operation::Challenge { by, .. }
            | Operation::Appeal { by, .. } => Some(*by),
        }
    }

    /// The job, if it was opened.
    pub fn job(&self, job: JobId) -> Option<&Job> {
        self.job_index.get(&job).map(|at| &self.jobs[*at])
    }

    /// All jobs, in the order in which they were opened.
    pub fn jobs(&self) -> impl DoubleEndedIterator<Item = &Job> + ExactSizeIterator {
        self.jobs.iter()
    }

    /// Jobs that have money and have not ended, in the order in which they were opened. Each holds
    /// somebody's money, so unlike jobs as such they cannot be made for nothing.
    pub fn under_way(&self) -> impl DoubleEndedIterator<Item = &Job> + ExactSizeIterator {
        self.under_way.iter().map(|at| &self.jobs[*at])
    }

    /// Jobs that wait for a round's or a panel's entropy ([`Stage::Choosing`](crate::Stage::Choosing),
    /// [`Stage::Drawing`](crate::Stage::Drawing)), in the order in which they were opened.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = &Job> {
        self.waiting.iter().map(|at| &self.jobs[*at])
    }

    /// How many jobs a party has described that have no money yet and were not taken back.
    pub fn unfunded(&self, client: Party) -> usize {
        self.unfunded.range((client, 0)..=(client, usize::MAX)).count()
    }

    /// The jobs that the last operation brought to another stage, those included that ended because
    /// time passed; a job may stand here more than once.
    pub fn changed(&self) -> impl Iterator<Item = &Job> {
        self.changed.iter().map(|at| &self.jobs[*at])
    }

    /// The jobs that the last operation ended, each once, in the order of their ends.
    pub fn ended(&self) -> impl Iterator<Item = &Job> {
        self.ended.iter().map(|at| &self.jobs[*at])
    }

    /// Where a job comes from: itself, the job that hired it, and so on to the one that a client
    /// outside opened. Empty if there is no such job.
    pub fn provenance(&self, job: JobId) -> Vec<&Job> {
        let first = self.job_index.get(&job).copied();
        std::iter::successors(first, |at| self.jobs[*at].parent_at)
            .map(|at| &self.jobs[at])
            .collect()
    }

    /// The offer, and whether it still stands.
    pub fn offer(&self, offer: OfferId) -> Option<(&Offer, bool)> {
        self.offer_index.get(&offer).map(|at| (&self.offers[*at].offer, !self.offers[*at].retired))
    }

    /// All offers that stand, in the order in which they were published.
    pub fn offers(&self) -> impl DoubleEndedIterator<Item = &Offer> {
        self.offers.iter().filter(|slot| !slot.retired).map(|slot| &slot.offer)
    }

    /// How many jobs are under way by an offer.
    pub fn busy(&self, offer: OfferId) -> u32 {
        self.offer_index.get(&offer).map_or(0, |at| self.offers[*at].busy)
    }

    /// What a party has here.
    pub fn holding(&self, party: Party) -> Holding {
        let (free, (stake, locked)) = (self.free(party), self.staked(party));
        Holding { free: self.amount(free), stake: self.amount(stake), locked: self.amount(locked) }
    }

    /// The withdrawal of this name: whose it was, and how much.
    pub fn withdrawal(&self, id: MoveId) -> Option<(Party, Amount)> {
        let &(place, minor) = self.moves.get(&id).filter(|(_, minor)| *minor < 0)?;
        Some((self.holders[place].party, self.amount(-minor)))
    }

    /// The deposit of this name: whose it is, and how much.
    pub fn deposit_of(&self, id: MoveId) -> Option<(Party, Amount)> {
        let &(place, minor) = self.moves.get(&id).filter(|(_, minor)| *minor > 0)?;
        Some((self.holders[place].party, self.amount(minor)))
    }

    /// What of a party's money is in the market or was spent there: what it has free and in the pool, or
    /// what it paid in and did not take out again if that is more.
    pub fn committed(&self, party: Party) -> Amount {
        let minor = self.holder_index.get(&party).map_or(0, |place| {
            let holder = &self.holders[*place];
            holder.paid_in.max(holder.free + holder.stake)
        });
        self.amount(minor)
    }

    /// Whether a party works in a job that is under way.
    pub fn works(&self, party: Party) -> bool {
        self.under_way().any(|job| job.worker == Some(party))
    }

    /// Whether something of a party's is in the market now: money, a stake, or a job under way that it
    /// ordered or works in.
    pub fn takes_part(&self, party: Party) -> bool {
        let has_some = self.free(party) > 0 || self.staked(party).0 > 0;
        let is_in = |job: &Job| job.terms.client == party || job.worker == Some(party);
        has_some || self.under_way().any(is_in)
    }

    /// How many checkers could be drawn.
    pub fn checkers(&self) -> u32 {
        self.pool.members()
    }

    /// How many checkers could be drawn who say that they can check work of this kind, or any. Takes time
    /// linear in the pool.
    pub fn checkers_of(&self, skill: Skill) -> u32 {
        self.pool.able(u32::MAX, 1, |place| !self.can_check(place, skill))
    }

    /// Which work a checker says it can check; `None` if it never said: any.
    pub fn checked_by(&self, party: Party) -> Option<&BTreeSet<Skill>> {
        self.qualified.get(self.holder_index.get(&party)?)
    }

    /// What is known of a party's work of this kind, as of now.
    pub fn record(&self, party: Party, skill: Skill) -> Counts {
        self.holder_index.get(&party).map_or(Counts::default(), |place| self.counts(*place, skill))
    }

    pub(super) fn counts(&self, place: usize, skill: Skill) -> Counts {
        self.records
            .get(&(place, skill))
            .map_or(Counts::default(), |record| record.counts(self.now, &self.rules))
    }

    /// What all checks have found, in order. Whoever has them can compute every record again
    /// ([`reputation::replay`](crate::reputation::replay)).
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// All that was deposited and not withdrawn.
    pub fn deposited(&self) -> Amount {
        self.amount(self.deposited)
    }

    /// All that lies here, added up: equal to [`deposited`](Self::deposited), always. Takes time
    /// linear in parties and jobs.
    pub fn counted(&self) -> Amount {
        let held: i128 = self.holders.iter().map(|holder| holder.free + holder.stake).sum();
        let bound: i128 = self
            .jobs
            .iter()
            .filter(|job| !job.stage.is_final())
            .map(|job| {
                let bids: i128 = job.bids.iter().map(|bid| bid.bond).sum();
                let bonds: i128 = job.bonds.iter().map(|bond| bond.amount).sum();
                job.escrow + job.stake + bids + bonds
            })
            .sum();
        self.amount(held + bound)
    }

    /// Keccak-256 over all that the market knows, in order. Equal digests mean equal markets. Time as
    /// such is no part of it: only what it has done.
    pub fn digest(&self) -> [u8; 32] {
        // The debug form of our own types names every field and is the same on each machine:
        // they hold whole numbers, texts and lists, and sets and maps in order.
        let mut parts = vec![format!("{:?}", self.rules)];
        parts.extend(self.holders.iter().map(|holder| format!("{holder:?}")));
        parts.extend(self.offers.iter().map(|offer| format!("{offer:?}")));
        parts.extend(self.jobs.iter().map(|job| format!("{job:?}")));
        parts.extend(self.receipts.iter().map(|receipt| format!("{receipt:?}")));
        parts.extend(self.moves.iter().map(|entry| format!("{entry:?}")));
        parts.extend(self.records.iter().map(|entry| format!("{entry:?}")));
        // Where nobody says so, the digest is as it was before anybody could.
        parts.extend(self.qualified.iter().map(|entry| format!("{entry:?}")));
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        hash("machina/market/state/1", &parts)
    }
}
