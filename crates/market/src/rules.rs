//! What holds for all jobs of one market, and the bounds of everything.

use money::{Asset, Party};
use serde::{Deserialize, Serialize};

/// The most minor units of one amount, and of all deposits together: 2⁹⁶. Scores multiply by a
/// million (2²⁰) and sums have 2⁷ times as much room, so nothing here can overflow 127 bits.
pub const MAX_MINOR: i128 = 1 << 96;

/// One, in millionths: qualities, confidences and shares are counted so.
pub const MILLION: u32 = 1_000_000;

/// The most skills that one checker says it can check.
pub const MAX_CHECKED_SKILLS: usize = 256;

/// The most bids in one round that stand.
pub const MAX_BIDS: usize = 64;

/// The most bids in one round, those that were taken back included.
pub const MAX_BIDS_EVER: usize = 4 * MAX_BIDS;

/// The most jobs that one job may hire, over its whole life.
pub const MAX_CHILDREN: u32 = 64;

/// How many jobs may stand above one another: a job that nobody's job hired has depth 0.
pub const MAX_DEPTH: u8 = 7;

/// The most offers of one party that are not retired.
pub const MAX_OFFERS: u32 = 256;

/// The most seats of one panel.
pub const MAX_SEATS: u8 = 63;

/// The most appeals in one job. Panels more than double, so three appeals against three jurors
/// end with 31.
pub const MAX_APPEALS: u8 = 3;

/// The most labels in one report.
pub const MAX_LABELS: usize = 4_096;

/// How many labels one item may be given at most, whatever they mean: room for the 1,000 classes of
/// ImageNet and for every kind of file that is told apart.
pub const MAX_CHOICES: u16 = 1_024;

/// The longest that a job may take from its opening to its delivery, in milliseconds: 90 days.
pub const MAX_DURATION_MS: u64 = 90 * 86_400_000;

/// What holds for all jobs of one market. It never changes within one [`State`](crate::State): a
/// market under other rules is another market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// In what everything is paid.
    pub asset: Asset,
    /// Who gets fees and what is slashed beyond damages. It runs the market, feeds hidden tests
    /// and must own no worker: nobody who judges earns by judging harshly.
    pub treasury: Party,
    /// The market's part of each price that is paid, in basis points, rounded up: many small jobs
    /// never pay less than one large one. This is what faking a reputation costs at the least.
    pub fee_bps: u16,
    /// How long bids come in, in milliseconds.
    pub bid_ms: u64,
    /// How long sealed bids are opened, in milliseconds.
    pub reveal_ms: u64,
    /// How long the entropy that clears a round, or draws a panel, may take to come, in milliseconds.
    pub entropy_ms: u64,
    /// How long sealed reports are opened, and an examiner may take, in milliseconds.
    pub report_ms: u64,
    /// How long a verdict may be appealed against, in milliseconds.
    pub appeal_ms: u64,
    /// The least time that a job may give its checkers, in milliseconds. A client that gave them
    /// less could time every one of them out.
    pub least_check_ms: u64,
    /// How many checker's fees one seat puts at stake: all are lost by silence, and one or more by
    /// a report that the final verdict contradicts. Five cover the next panel when a panel of three
    /// is overturned: two of its three were wrong, and 2 · 5 ≥ 7.
    pub deposit_fees: u8,
    /// The least that a checker puts in the pool, in minor units: what it costs to be one more identity
    /// there.
    pub least_pool_stake: i128,
    /// What a worker that promised and did not deliver loses of its stake, in basis points.
    pub absence_bps: u16,
    /// How much paid work counts as one piece of evidence of quality, in minor units.
    pub evidence_unit: i128,
    /// How often old evidence loses an eighth of its weight, in milliseconds.
    pub decay_ms: u64,
}

impl Rules {
    /// Rules for play money and machines that answer in seconds: a fee of one per cent, rounds of
    /// 100 milliseconds, a second at least for checkers, a minute for reports, evidence by the
    /// hundredth of a dollar, which loses an eighth of its weight each week.
    pub fn standard(asset: Asset, treasury: Party) -> Rules {
        Rules {
            asset,
            treasury,
            fee_bps: 100,
            bid_ms: 100,
            reveal_ms: 100,
            entropy_ms: 5_000,
            report_ms: 60_000,
            appeal_ms: 60_000,
            least_check_ms: 1_000,
            deposit_fees: 5,
            least_pool_stake: asset.unit() / 100,
            absence_bps: 1_000,
            evidence_unit: asset.unit() / 100,
            decay_ms: 7 * 86_400_000,
        }
    }

    /// The market's part of `price`, rounded up.
    pub fn fee(&self, price: i128) -> i128 {
        (price * i128::from(self.fee_bps) + 9_999) / 10_000
    }

    /// How long one panel may take at most, when its checkers have `check_ms` for their work and one
    /// silent panel is replaced.
    pub(crate) fn panel_ms(&self, check_ms: u64) -> u64 {
        2 * (self.entropy_ms + check_ms + self.report_ms)
    }

    /// Whether every field is within its bounds.
    ///
    /// # Errors
    /// Which is not, and what it must be.
    pub fn validate(&self) -> Result<(), &'static str> {
        let spans = [
            self.bid_ms,
            self.reveal_ms,
            self.entropy_ms,
            self.report_ms,
            self.appeal_ms,
            self.least_check_ms,
            self.decay_ms,
        ];
        if spans.iter().any(|span| *span == 0 || *span > MAX_DURATION_MS) {
            return Err("each span of time must be 1 millisecond to 90 days");
        }
        if self.fee_bps > 10_000 || self.absence_bps > 10_000 {
            return Err("fee and absence are parts of a whole: at most 10,000 basis points");
        }
        if self.deposit_fees == 0 {
            return Err("a seat without a deposit may be silent for nothing: at least 1 fee");
        }
        if self.least_pool_stake <= 0 || self.least_pool_stake > MAX_MINOR {
            return Err("the least stake in the pool must be more than nothing");
        }
        if self.evidence_unit <= 0 || self.evidence_unit > MAX_MINOR {
            return Err("the unit of evidence must be more than nothing");
        }
        Ok(())
    }
}
