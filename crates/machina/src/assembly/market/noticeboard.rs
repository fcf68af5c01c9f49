//! Which jobs wait for whom, told as it happens: what a worker or a checker outside would otherwise
//! have to look for again and again.
//!
//! *Numbers.* Each notice has a number greater than all before it, across restarts too: a run begins
//! at its clock's microseconds. Who says which number it has heard last is told what came since. A
//! number that is not this run's, or older than what is kept ([`KEPT`]), is answered with all that
//! waits now, so nothing is missed however long somebody was away.
//!
//! *Bounds.* [`KEPT`] notices, [`LISTENERS`] who wait at once and [`EACH`] of one party. Nothing is
//! kept for who listens but a number that it keeps itself, so a slow reader holds up nobody. Of each
//! job under way it is remembered what was told last: a bid or a sealed report by one is no news for
//! the others, and a quote for its client alone.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use ::market::{Bid, BidState, Check, Delivery, Job, JobId, Party, Pricing, Skill, Stage};
use ::money::Timestamp;
use tokio::sync::Notify;

/// How many notices are kept for those who come back.
pub const KEPT: usize = 1 << 16;
/// How many wait at once.
pub const LISTENERS: usize = 1_024;
/// How many of them may be of one party.
pub const EACH: usize = 4;

/// For whom a job waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// For this party.
    Party(Party),
    /// For whoever offers such work.
    Offering(Skill),
}

/// What a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    /// A bid or a quote, of whoever offers such work.
    Bid,
    /// A sealed bid opened, by its bidder.
    Reveal,
    /// One of the quotes taken, by the client.
    Accept,
    /// The work, by who was hired.
    Work,
    /// The work done again, or looked at, and what was found sealed, by who was drawn.
    Check,
    /// What was sealed opened, by a checker or the worker; a key, by the examiner.
    Open,
    /// A challenge, if the client finds something wrong.
    Challenge,
    /// An appeal, if who lost disagrees.
    Appeal,
    /// Nothing more: it has ended. Told once.
    Ended,
}

impl Asks {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Asks::Bid => "bid",
            Asks::Reveal => "reveal",
            Asks::Accept => "accept",
            Asks::Work => "work",
            Asks::Check => "check",
            Asks::Open => "open",
            Asks::Challenge => "challenge",
            Asks::Appeal => "appeal",
            Asks::Ended => "ended",
        }
    }

    /// Whether who is asked needs the brief.
    pub fn needs_brief(self) -> bool {
        matches!(self, Asks::Bid | Asks::Work | Asks::Check)
    }
}

/// For whom a job waits now, and for what.
pub fn waits(job: &Job) -> Vec<(Whom, Asks)> {
    let client = Whom::Party(job.terms.client);
    let worker = job.worker.map(Whom::Party);
    let panel = job.panel();
    let seats = || panel.into_iter().flat_map(|panel| &panel.seats);
    match job.stage {
        Stage::Open | Stage::Drawing | Stage::Choosing => Vec::new(),
        Stage::Bidding => {
            let mut asked = vec![(Whom::Offering(job.terms.skill), Asks::Bid)];
            // A quote is taken while others may still come in, or never.
            if quotes(job) > 0 {
                asked.push((client, Asks::Accept));
            }
            asked
        }
        Stage::Revealing => {
            let sealed = job.bids.iter().filter(|bid| matches!(bid.state, BidState::Sealed(_)));
            sealed.map(|bid| (Whom::Party(bid.worker), Asks::Reveal)).collect()
        }
        Stage::Working => worker.into_iter().map(|worker| (worker, Asks::Work)).collect(),
        Stage::Checking => {
            let silent = seats().filter(|seat| seat.commitment.is_none());
            silent.map(|seat| (Whom::Party(seat.checker), Asks::Check)).collect()
        }
        Stage::Reporting => {
            let closed = seats().filter(|seat| seat.report.is_none());
            let mut asked: Vec<_> =
                closed.map(|seat| (Whom::Party(seat.checker), Asks::Open)).collect();
            if matches!(job.delivery, Some(Delivery::Sealed(_))) && job.opened.is_none() {
                asked.extend(worker.map(|worker| (worker, Asks::Open)));
            }
            if let Check::Gold { examiner, .. } = job.terms.check
                && panel.is_none_or(|panel| !panel.is_jury)
                && !asked.contains(&(Whom::Party(examiner), Asks::Open))
            {
                asked.push((Whom::Party(examiner), Asks::Open));
            }
            asked
        }
        Stage::Challengeable => vec![(client, Asks::Challenge)],
        Stage::Appealable => {
            let loser = if job.verdict == Some(true) { Some(client) } else { worker };
            loser.into_iter().map(|loser| (loser, Asks::Appeal)).collect()
        }
        Stage::Completed | Stage::Rejected | Stage::Expired => {
            worker.into_iter().chain([client]).map(|whom| (whom, Asks::Ended)).collect()
        }
    }
}

/// How many quotes a client may take now.
fn quotes(job: &Job) -> usize {
    let stands = |bid: &&Bid| matches!(bid.state, BidState::Told(_));
    match (&job.terms.pricing, job.stage) {
        (Pricing::Quotes, Stage::Bidding) => job.bids.iter().filter(stands).count(),
        _ => 0,
    }
}

/// How far a job was when it was told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    stage: Stage,
    panels: usize,
    seats: usize,
    quotes: usize,
}

impl Told {
    fn of(job: &Job) -> Told {
        let seats = job.panel().map_or(0, |panel| panel.seats.len());
        Told { stage: job.stage, panels: job.panels.len(), seats, quotes: quotes(job) }
    }

    /// Whether it is news for somebody who was told of the job before, when it was as far as `before`.
    fn is_news(self, before: Option<Told>, asks: Asks) -> bool {
        let Some(before) = before else { return true };
        let but_for_quotes = Told { quotes: before.quotes, ..self };
        but_for_quotes != before || (asks == Asks::Accept && self.quotes > before.quotes)
    }
}

/// What changed about a job, as the board needs it.
pub struct Changed {
    job: JobId,
    told: Told,
    waits: Vec<(Whom, Asks)>,
}

impl Changed {
    /// A job as it is now.
    pub fn of(job: &Job) -> Changed {
        Changed { job: job.terms.id, told: Told::of(job), waits: waits(job) }
    }
}

/// One job that waits for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// Its number.
    pub number: u64,
    /// Which job.
    pub job: JobId,
    /// For whom it waits.
    pub whom: Whom,
    /// For what.
    pub asks: Asks,
}

/// Who listens: a party, and the kinds of work that it offers.
#[derive(Debug, Clone)]
pub struct Listener {
    /// The party.
    pub party: Party,
    /// What it offers.
    pub skills: BTreeSet<Skill>,
}

impl Listener {
    /// Whether a notice is for it.
    pub fn is_meant(&self, whom: Whom) -> bool {
        match whom {
            Whom::Party(party) => party == self.party,
            Whom::Offering(skill) => self.skills.contains(&skill),
        }
    }
}

/// What is there for a listener.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// What came since, and the number up to which that is all of it.
    Since(Vec<Notice>, u64),
    /// The number says nothing here: look at all that waits, and go on from this one.
    Anew(u64),
}

/// Who waits, beside its party.
struct Waiter {
    skills: BTreeSet<Skill>,
    bell: Arc<Notify>,
}

struct Inside {
    /// The number of the newest notice.
    last: u64,
    /// The least number from which nothing is missing here.
    floor: u64,
    notices: VecDeque<Notice>,
    told: HashMap<JobId, Told>,
    waiting: HashMap<Party, Vec<Waiter>>,
    count: usize,
    closed: bool,
}

/// The board.
pub struct Board(Mutex<Inside>);

impl Board {
    /// A board of a run that begins now.
    pub fn new(now: Timestamp) -> Board {
        let first = now.as_millis().saturating_mul(1_000);
        Board(Mutex::new(Inside {
            last: first,
            floor: first,
            notices: VecDeque::new(),
            told: HashMap::new(),
            waiting: HashMap::new(),
            count: 0,
            closed: false,
        }))
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().expect("nothing panics under this lock")
    }

    /// Tells of jobs that changed, and wakes those who are meant.
    pub fn tell(&self, changed: Vec<Changed>) {
        let mut inside = self.inside();
        for Changed { job, told, waits } in changed {
            let before = match told.stage.is_final() {
                true => inside.told.remove(&job),
                false => inside.told.insert(job, told),
            };
            for (whom, asks) in waits {
                if !told.is_news(before, asks) {
                    continue;
                }
                inside.last += 1;
                let number = inside.last;
                inside.notices.push_back(Notice { number, job, whom, asks });
                inside.wake(whom);
            }
        }
        while inside.notices.len() > KEPT {
            if let Some(notice) = inside.notices.pop_front() {
                inside.floor = notice.number;
            }
        }
    }

    /// Some changes were missed: everybody looks at all that waits.
    pub fn forget(&self) {
        let mut inside = self.inside();
        inside.last += 1;
        inside.floor = inside.last;
        inside.notices.clear();
        inside.told.clear();
        inside.wake_all();
    }

    /// The economy closes: nobody waits any longer.
    pub fn close(&self) {
        let mut inside = self.inside();
        inside.closed = true;
        inside.wake_all();
    }

    /// What is there for a listener that has heard everything up to `after`.
    pub fn heard(&self, listener: &Listener, after: Option<u64>) -> Heard {
        let inside = self.inside();
        match after {
            Some(after) if (inside.floor..=inside.last).contains(&after) => {
                let first = inside.notices.partition_point(|notice| notice.number <= after);
                let new = inside.notices.range(first..);
                let meant = new.filter(|notice| listener.is_meant(notice.whom)).copied();
                Heard::Since(meant.collect(), inside.last)
            }
            _ => Heard::Anew(inside.last),
        }
    }

    /// A place to wait for more than is heard up to `after`; `None` if too many wait already. What
    /// came meanwhile wakes it at once.
    pub fn wait(&self, listener: &Listener, after: u64) -> Option<Place<'_>> {
        let mut inside = self.inside();
        let of_party = inside.waiting.get(&listener.party).map_or(0, Vec::len);
        if inside.count >= LISTENERS || of_party >= EACH {
            return None;
        }
        let bell = Arc::new(Notify::new());
        if inside.last > after || inside.floor > after || inside.closed {
            bell.notify_one();
        }
        inside.count += 1;
        let waiter = Waiter { skills: listener.skills.clone(), bell: Arc::clone(&bell) };
        inside.waiting.entry(listener.party).or_default().push(waiter);
        Some(Place { board: self, party: listener.party, bell })
    }

    /// Whether the economy closes.
    pub fn is_closed(&self) -> bool {
        self.inside().closed
    }
}

impl Inside {
    fn wake(&self, whom: Whom) {
        match whom {
            Whom::Party(party) => {
                for waiter in self.waiting.get(&party).into_iter().flatten() {
                    waiter.bell.notify_one();
                }
            }
            Whom::Offering(skill) => {
                let offering =
                    self.waiting.values().flatten().filter(|it| it.skills.contains(&skill));
                offering.for_each(|waiter| waiter.bell.notify_one());
            }
        }
    }

    fn wake_all(&self) {
        for waiter in self.waiting.values().flatten() {
            waiter.bell.notify_one();
        }
    }
}

/// A place among those who wait; given up when it is dropped.
pub struct Place<'a> {
    board: &'a Board,
    party: Party,
    bell: Arc<Notify>,
}

impl Place<'_> {
    /// Waits until there may be something new.
    pub async fn woken(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut inside = self.board.inside();
        inside.count -= 1;
        if let Some(of_party) = inside.waiting.get_mut(&self.party) {
            of_party.retain(|waiter| !Arc::ptr_eq(&waiter.bell, &self.bell));
            if of_party.is_empty() {
                inside.waiting.remove(&self.party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Skill = Skill::from_u128(1);

    fn listener(n: u8) -> Listener {
        Listener { party: Party::new([n; 20]), skills: [WORK].into() }
    }

    fn changed(job: u128, stage: Stage, waits: Vec<(Whom, Asks)>) -> Changed {
        let told = Told { stage, panels: 0, seats: 0, quotes: 0 };
        Changed { job: JobId::from_u128(job), told, waits }
    }

    fn for_party(n: u8, asks: Asks) -> Vec<(Whom, Asks)> {
        vec![(Whom::Party(Party::new([n; 20])), asks)]
    }

    fn since(heard: Heard) -> (Vec<Notice>, u64) {
        match heard {
            Heard::Since(notices, last) => (notices, last),
            Heard::Anew(_) => panic!("the number is this run's"),
        }
    }

    #[test]
    fn who_comes_back_hears_what_it_missed_once_and_nothing_that_is_anothers() {
        let board = Board::new(Timestamp::from_secs(1));
        let Heard::Anew(start) = board.heard(&listener(1), None) else { panic!("no number yet") };
        board.tell(vec![
            changed(1, Stage::Bidding, vec![(Whom::Offering(WORK), Asks::Bid)]),
            changed(2, Stage::Working, for_party(1, Asks::Work)),
            changed(3, Stage::Working, for_party(2, Asks::Work)),
        ]);
        // A bid came in: no news.
        board.tell(vec![changed(1, Stage::Bidding, vec![(Whom::Offering(WORK), Asks::Bid)])]);
        let (notices, last) = since(board.heard(&listener(1), Some(start)));
        let told: Vec<_> = notices.iter().map(|it| (it.job.as_u128(), it.asks)).collect();
        assert_eq!(told, [(1, Asks::Bid), (2, Asks::Work)]);
        assert_eq!(since(board.heard(&listener(1), Some(last))), (Vec::new(), last));
        assert_eq!(since(board.heard(&listener(1), Some(notices[0].number))).0, notices[1..]);
        let other = Listener { skills: BTreeSet::new(), ..listener(3) };
        assert_eq!(since(board.heard(&other, Some(start))).0, []);
    }

    #[test]
    fn each_quote_is_news_for_the_client_and_for_nobody_else() {
        let board = Board::new(Timestamp::from_secs(1));
        let Heard::Anew(start) = board.heard(&listener(1), None) else { panic!("no number yet") };
        // One quote, a second, one taken back, and the second again.
        for quotes in [0, 1, 2, 1, 2] {
            let mut waits = vec![(Whom::Offering(WORK), Asks::Bid)];
            waits.extend(for_party(2, Asks::Accept).into_iter().filter(|_| quotes > 0));
            let told = Told { stage: Stage::Bidding, panels: 0, seats: 0, quotes };
            board.tell(vec![Changed { job: JobId::from_u128(1), told, waits }]);
        }
        let heard = |n| {
            let (notices, _) = since(board.heard(&listener(n), Some(start)));
            notices.into_iter().map(|it| it.asks).collect::<Vec<_>>()
        };
        assert_eq!(heard(1), [Asks::Bid]);
        assert_eq!(heard(2), [Asks::Bid, Asks::Accept, Asks::Accept, Asks::Accept]);
    }

    #[test]
    fn a_number_of_another_run_or_too_old_is_told_to_look_at_all() {
        let board = Board::new(Timestamp::from_secs(10));
        let Heard::Anew(start) = board.heard(&listener(1), None) else { panic!("no number yet") };
        for stranger in [0, start - 1, start + 1, u64::MAX] {
            assert_eq!(board.heard(&listener(1), Some(stranger)), Heard::Anew(start));
        }
        let many = KEPT as u128 + 1;
        board.tell(
            (0..many).map(|n| changed(n, Stage::Working, for_party(1, Asks::Work))).collect(),
        );
        assert!(matches!(board.heard(&listener(1), Some(start)), Heard::Anew(_)));
        assert_eq!(since(board.heard(&listener(1), Some(start + 1))).0.len(), KEPT);
        board.forget();
        let last = start + KEPT as u64 + 1;
        assert_eq!(board.heard(&listener(1), Some(last)), Heard::Anew(last + 1));
        // The next run begins later than this one ended.
        let next = Board::new(Timestamp::from_secs(11));
        assert!(matches!(next.heard(&listener(1), Some(last)), Heard::Anew(_)));
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_what_is_meant_for_it_and_leaves_its_place() {
        let board = Board::new(Timestamp::from_secs(1));
        let Heard::Anew(start) = board.heard(&listener(1), None) else { panic!("no number yet") };
        let places: Vec<_> =
            (0..EACH).map(|_| board.wait(&listener(1), start).expect("room")).collect();
        assert!(board.wait(&listener(1), start).is_none(), "a party has so many places");
        let other = board.wait(&listener(2), start).expect("others have theirs");
        board.tell(vec![changed(2, Stage::Working, for_party(1, Asks::Work))]);
        for place in &places {
            place.woken().await;
        }
        let is_woken = tokio::time::timeout(std::time::Duration::ZERO, other.woken()).await;
        assert!(is_woken.is_err(), "it was not meant");
        drop((places, other));
        let left = || {
            let inside = board.inside();
            (inside.count, inside.waiting.len())
        };
        assert_eq!(left(), (0, 0));
        // What came between looking and waiting is not slept through.
        board.wait(&listener(1), start).expect("room").woken().await;
        board.close();
        board.wait(&listener(2), start + 1).expect("room").woken().await;
        assert!(board.is_closed());
    }
}
