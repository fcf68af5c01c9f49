//! The claims that the outlook is about.
//!
//! Block Media, 31 May 2024, on Lex Sokolin's talk at Consensus 2024 (reprint: 10xmedia.co.kr, coin-news/63222):
//! machines add 2 to 4 trillion dollars to GDP, and crypto goes from about 1.7 to 17 trillion. No date, no
//! equation, no band. So the horizon is for whoever asks; the record enters both with 2030 and 2034, as
//! assumptions of ours.

use serde::Serialize;

use crate::model::{Outcome, Quantity};

/// A claim about a quantity at a year's end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Claim {
    /// A name for it.
    pub name: &'static str,
    /// About what.
    pub quantity: Quantity,
    /// The least that the claim says, USD.
    pub low: f64,
    /// The most that it says, USD; none if it says *at least*.
    pub high: Option<f64>,
    /// The claim in words.
    pub words: &'static str,
    /// Who said it, when and where.
    pub source: &'static str,
}

/// Who said it.
const TALK: &str =
    "L. Sokolin, Consensus 2024, reported by Block Media on 2024-05-31; no date was given";

/// The two claims.
pub const CLAIMS: [Claim; 2] = [
    Claim {
        name: "machine-gdp",
        quantity: Quantity::MachineGdp,
        low: 2e12,
        high: Some(4e12),
        words: "machines add 2 to 4 trillion dollars to world GDP",
        source: TALK,
    },
    Claim {
        name: "crypto-cap",
        quantity: Quantity::CryptoCap,
        low: 17e12,
        high: None,
        words: "crypto is worth 17 trillion dollars, ten times 1.7",
        source: TALK,
    },
];

/// The horizons with which the claims are entered in the record; the source gave none.
pub const ASSUMED_HORIZONS: [i32; 2] = [2030, 2034];

impl Claim {
    /// Whether an outcome is as it says.
    #[must_use]
    pub fn holds(&self, outcome: &Outcome) -> bool {
        self.contains(self.quantity.of(outcome))
    }

    /// Whether a figure is as it says, USD.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        value >= self.low && self.high.is_none_or(|high| value <= high)
    }
}

/// What others published about machine GDP, to hold beside the projection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Anchor {
    /// Who.
    pub who: &'static str,
    /// The least, USD a year.
    pub low: f64,
    /// The most, USD a year.
    pub high: f64,
    /// What kind of figure that is.
    pub kind: &'static str,
    /// Of which year's end, if it is what the claim speaks of: value added. None for another quantity.
    pub year: Option<i32>,
}

/// Published figures of the same thing, or of its neighbours, brought to 2034 where they are shares of GDP.
pub const ANCHORS: [Anchor; 4] = [
    Anchor {
        who: "Acemoglu 2024, NBER w32487",
        low: 0.96e12,
        high: 1.7e12,
        kind: "0.66 % of TFP, to 0.93-1.16 % of GDP with investment, in ten years",
        year: Some(2034),
    },
    Anchor {
        who: "McKinsey 2023",
        low: 2.6e12,
        high: 4.4e12,
        kind: "gross benefit of 63 uses, which is no GDP",
        year: None,
    },
    Anchor {
        who: "Goldman Sachs 2023",
        low: 7.4e12,
        high: 7.4e12,
        kind: "+7 % of world GDP over ten years",
        year: Some(2034),
    },
    Anchor {
        who: "PwC 2017",
        low: 15.7e12,
        high: 15.7e12,
        kind: "general equilibrium, 14 % of GDP by 2030, consumption included",
        year: Some(2030),
    },
];
