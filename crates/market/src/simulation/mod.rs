//! Whole markets against scripted cheats: what each check catches, what it costs, and who earns.
//!
//! [`played`] plays a population through [`State`](crate::State) itself: each bid, commitment, report
//! and appeal is an operation, with real commitments, so that what is measured is the market and not a
//! model of it. [`baseline`] is what the same population does in a market without checks, and in one
//! where the first proposal wins. [`table`] writes the tables of `docs/checks.md`. The same
//! [`Plan`] gives the same figures on each machine.

pub mod baseline;
pub mod played;
pub mod population;
pub mod table;

use std::collections::BTreeMap;

use crate::checks::choose::Kind;
use population::Character;

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many machines.
    pub machines: usize,
    /// How many jobs.
    pub jobs: usize,
    /// Where all numbers come from.
    pub seed: u64,
}

impl Plan {
    /// The one in `docs/checks.md`.
    pub const FULL: Plan = Plan { machines: 1_000, jobs: 100_000, seed: 4 };
    /// The one that the tests run.
    pub const SMALL: Plan = Plan { machines: 200, jobs: 1_500, seed: 4 };
}

/// In which market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Market {
    /// Ours, with one check for all jobs.
    Checked(Kind),
    /// Ours, with re-execution of one job in five.
    Audited,
    /// The lowest price wins, and whatever is delivered is paid.
    Unchecked,
    /// The first proposal wins, and whatever is delivered is paid.
    FirstCome,
}

impl Market {
    /// All of them, in the order of the tables.
    pub const ALL: [Market; 9] = [
        Market::Checked(Kind::Exact),
        Market::Checked(Kind::Gold),
        Market::Checked(Kind::Redundant),
        Market::Checked(Kind::Peer),
        Market::Checked(Kind::Optimistic),
        Market::Checked(Kind::Juror),
        Market::Audited,
        Market::Unchecked,
        Market::FirstCome,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Market::Checked(kind) => kind.name(),
            Market::Audited => "exact, one in five",
            Market::Unchecked => "no check, lowest price",
            Market::FirstCome => "no check, first come",
        }
    }
}

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Of those looked at, how many it was true of.
    pub hits: u64,
    /// How many were looked at.
    pub of: u64,
}

impl Share {
    /// Looks at one more.
    pub fn count(&mut self, hit: bool) {
        self.of += 1;
        self.hits += u64::from(hit);
    }

    /// As a fraction; 0 of nothing.
    pub fn fraction(&self) -> f64 {
        if self.of == 0 { 0.0 } else { self.hits as f64 / self.of as f64 }
    }
}

/// What was seen of one kind of character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// How many machines are so.
    pub machines: u64,
    /// How many jobs they were hired for.
    pub hired: u64,
    /// Of the wrong work that they delivered, what was not paid.
    pub caught: Share,
    /// What they have more than they brought, less what their work cost them, in minor units.
    pub net: i128,
}

/// What was seen in one market.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// By character.
    pub seen: BTreeMap<Character, Seen>,
    /// Of all wrong work, what was not paid.
    pub caught: Share,
    /// Of all right work, what was not paid.
    pub false_alarms: Share,
    /// The same, for clients who dispute whatever passes.
    pub disputed_alarms: Share,
    /// How many jobs found nobody.
    pub unhired: u64,
    /// Rounds of messages from delivery to the end, in all.
    pub rounds: u64,
    /// How many jobs were delivered.
    pub delivered: u64,
    /// What was paid for work, in minor units.
    pub paid: i128,
    /// What of that was paid for wrong work.
    pub paid_for_wrong: i128,
    /// What of that went to cheats.
    pub fraud: i128,
    /// What checks cost clients: fees, and hidden items. Who loses an appeal pays for it, not here.
    pub checking: i128,
    /// What right work was worth to those who got it, less what all work and checking really cost.
    pub welfare: i128,
    /// What it would be if each job were done rightly by the cheapest honest bidder, unchecked.
    pub possible_welfare: i128,
    /// How many jobs went to the bidder whose proposal was first, and how many would by lot.
    pub first: Share,
    /// The sum of 1 / bidders over hired jobs, in millionths: the jobs that the first would get by lot.
    pub first_by_lot: u64,
    /// Of the second half's jobs, those that honest newcomers got.
    pub newcomers: Share,
    /// The honest newcomers' part of all bids in the second half.
    pub newcomers_bids: Share,
    /// The Gini coefficient of what honest machines earned, in millionths.
    pub gini: u32,
    /// What self-dealing cost the Sybil ring in fees that did not come back, in minor units.
    pub self_dealing_cost: i128,
    /// How many jobs it bought from itself.
    pub self_deals: u64,
}

/// The Gini coefficient of amounts that are not negative, in millionths (C. Gini, 1912):
/// Σ(2i − n − 1)·xᵢ / (n·Σx) over ascending xᵢ, i from 1.
pub fn gini(mut amounts: Vec<i128>) -> u32 {
    amounts.sort_unstable();
    let n = i128::try_from(amounts.len()).expect("few enough to count");
    let total: i128 = amounts.iter().sum();
    if total <= 0 {
        return 0;
    }
    let weighted: i128 = amounts.iter().zip(1i128..).map(|(x, i)| (2 * i - n - 1) * x).sum();
    u32::try_from((weighted * 1_000_000 / (n * total)).max(0)).unwrap_or(1_000_000)
}

/// Plays every market, on as many threads as there are `threads`.
pub fn all(plan: Plan, threads: usize) -> Vec<(Market, Figures)> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(market) = Market::ALL.get(at) else { return };
                    let figures = play(*market, plan);
                    done.lock().expect("no thread panics while it writes").push((*market, figures));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("all threads have ended");
    done.sort_by_key(|(market, _)| *market);
    done
}

/// Plays one market.
pub fn play(market: Market, plan: Plan) -> Figures {
    match market {
        Market::Checked(kind) => played::play(kind, crate::MILLION, plan),
        Market::Audited => played::play(Kind::Exact, crate::MILLION / 5, plan),
        Market::Unchecked => baseline::play(false, plan),
        Market::FirstCome => baseline::play(true, plan),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gini_coefficient_is_nothing_for_equals_and_near_one_for_one_who_has_all() {
        assert_eq!(gini(vec![5; 10]), 0);
        assert_eq!(gini(vec![0, 0, 0, 8]), 750_000);
        assert_eq!(gini(vec![1, 3]), 250_000);
        assert_eq!(gini(Vec::new()), 0);
    }
}
