//! A job, from its terms to its end.

use std::sync::Arc;

use money::{Party, Timestamp};

use crate::id::{Digest, OfferId};
use crate::operation::Stage;
use crate::terms::{Check, Delivery, Report, Terms};

/// A job and all that has become of it. Amounts are minor units of the market's asset.
#[derive(Debug, Clone)]
pub struct Job {
    /// What was agreed; it never changes, and is shared.
    pub terms: Arc<Terms>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where it stands.
    pub stage: Stage,
    /// When the stage ends by itself; nothing ends an open job or one that has ended.
    pub deadline: Option<Timestamp>,
    /// When it has ended, come what may.
    pub ends_by: Timestamp,
    /// How many jobs stand above it.
    pub depth: u8,
    /// How many it has hired, ever.
    pub children: u32,
    /// How many of them have not ended.
    pub open_children: u32,
    /// The bids of its round, in the order in which they came.
    pub bids: Vec<Bid>,
    /// The entropy that cleared its round.
    pub cleared_with: Option<Digest>,
    /// Who works.
    pub worker: Option<Party>,
    /// By which offer.
    pub offer: Option<OfferId>,
    /// For how much, if it passes.
    pub price: i128,
    /// What was delivered; when the job has ended, of labels only their digest.
    pub delivery: Option<Delivery>,
    /// A sealed delivery, opened.
    pub opened: Option<Report>,
    /// The examiner's finding: how many hidden tests were right, and of how many.
    pub examined: Option<(u32, u32)>,
    /// Its panels, in order: the check's own, its replacement if it was silent, those of appeals.
    pub panels: Vec<Panel>,
    /// Bonds of challengers and appellants.
    pub bonds: Vec<Bond>,
    /// How many appeals there were.
    pub appeals: u8,
    /// The verdict as it stands: whether the work passed.
    pub verdict: Option<bool>,
    /// What is in escrow now.
    pub escrow: i128,
    /// What the worker has at stake now: what the terms ask, and as much again as was given to children
    /// and did not come back.
    pub stake: i128,
    /// What came back at its end, to its client or into its parent's escrow.
    pub refunded: i128,
    /// What its children took for good.
    pub spent: i128,
    /// What open children have in their escrow, or have spent of it.
    pub allotted: i128,
    /// Whether it was ever funded.
    pub(crate) funded: bool,
    /// Place of the offer.
    pub(crate) offer_at: usize,
    /// Place of the parent.
    pub(crate) parent_at: Option<usize>,
}

/// One bid.
#[derive(Debug, Clone)]
pub struct Bid {
    /// By which offer.
    pub offer: OfferId,
    /// Who.
    pub worker: Party,
    /// How far it has come.
    pub state: BidState,
    /// What the bidder has at stake in it.
    pub bond: i128,
    /// The quality that was drawn for it when its round was cleared, in millionths.
    pub drawn: Option<u32>,
    pub(crate) offer_at: usize,
}

/// How far a bid has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BidState {
    /// Sealed.
    Sealed(Digest),
    /// Told: for this many minor units.
    Told(i128),
    /// Taken back.
    TakenBack,
    /// Never opened.
    Unopened,
}

/// Those who judge one job once.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Jurors, in an appeal or under [`Check::Juror`]; else they do what the check says.
    pub is_jury: bool,
    /// How many seats were asked for.
    pub size: u8,
    /// Who sits, once it is drawn.
    pub seats: Vec<Seat>,
    /// The entropy that drew it.
    pub drawn_with: Option<Digest>,
    /// The bond that pays it; else the escrow does.
    pub(crate) bond: Option<usize>,
    /// Whether a silent panel was here before.
    pub(crate) is_second: bool,
    /// What it found, if it found something.
    pub verdict: Option<bool>,
}

/// One checker on one panel.
#[derive(Debug, Clone)]
pub struct Seat {
    /// Who.
    pub checker: Party,
    /// Its sealed report.
    pub commitment: Option<Digest>,
    /// Its report, opened; when the job has ended, of labels only their digest.
    pub report: Option<Report>,
    /// Whether it was right if the work passes, and if it fails.
    pub agrees: [bool; 2],
    /// What of its stake is locked for it.
    pub(crate) deposit: i128,
    pub(crate) checker_at: usize,
}

/// Money that says a verdict is wrong.
#[derive(Debug, Clone)]
pub struct Bond {
    /// Whose.
    pub party: Party,
    /// How much.
    pub amount: i128,
    /// Against which verdict; silence has none, so a challenge is against a pass.
    pub against: bool,
    /// Whether it is an appeal; else a challenge.
    pub is_appeal: bool,
}

impl Job {
    /// What the budget leaves for the work: all but what the check can cost its client.
    pub fn most_price(&self) -> i128 {
        self.terms.budget.minor() - self.check_reserve()
    }

    /// What the check can cost the client: under an optimistic check the loser of a challenge
    /// pays, so nothing.
    pub(crate) fn check_reserve(&self) -> i128 {
        match self.terms.check {
            Check::Optimistic { .. } => 0,
            check => check.most_fees() * self.terms.checker_fee.minor(),
        }
    }

    /// Whether its budget was ever set aside.
    pub fn was_funded(&self) -> bool {
        self.funded
    }

    /// What was delivered, if it may be seen.
    pub fn answer(&self) -> Option<&Report> {
        match &self.delivery {
            Some(Delivery::Open(report)) => Some(report),
            Some(Delivery::Sealed(_)) | None => self.opened.as_ref(),
        }
    }

    /// The panel that is at work, or that was last.
    pub fn panel(&self) -> Option<&Panel> {
        self.panels.last()
    }
}
