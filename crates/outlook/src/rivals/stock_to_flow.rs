//! Stock-to-flow: scarcity as a law of price. Here to be beaten.

use super::regression::Line;
use super::{Rival, Silence};
use crate::facts::{Past, Series};
use crate::predictive::Predictive;

/// Blocks between halvings of the subsidy, and blocks in a year of ten minutes each.
const ERA_BLOCKS: f64 = 210_000.0;
const BLOCKS_A_YEAR: f64 = 52_560.0;
/// Bitcoins for a block of the first era.
const FIRST_SUBSIDY: f64 = 50.0;
/// After so many halvings nothing is left to pay.
const LAST_ERA: i32 = 32;

pub struct StockToFlow;

impl Rival for StockToFlow {
    fn name(&self) -> &'static str {
        "stock-to-flow"
    }

    fn about(&self) -> &'static str {
        "ln C = a + b ln(stock / yearly flow) + e (PlanB 2019: 14.6 + 3.3 ln SF). SF is a function of time alone, so tests of cointegration prove nothing; since 2019 its 80 % bands held 7 to 30 %"
    }

    fn project(&self, past: &Past, years: f64) -> Result<Predictive, Silence> {
        let supply = past.track(Series::BitcoinSupply);
        let pairs: Vec<(f64, f64)> = past
            .target()
            .points()
            .iter()
            .filter_map(|(quarter, ln)| Some((ln_ratio(height(supply.at(*quarter)?.exp())), *ln)))
            .collect();
        let line = Line::fit(&pairs)?;
        let newest = past
            .facts(Series::BitcoinSupply)
            .last()
            .ok_or_else(|| Silence("bitcoin's supply was not known".to_string()))?;
        let age = past.origin().years_since(newest.date).max(0.0);
        let then = ln_ratio(height(newest.value) + (years + age) * BLOCKS_A_YEAR);
        Ok(Predictive::normal(line.at(then), line.residual + line.variance_at(then)))
    }
}

/// The block at which so many bitcoins exist.
fn height(supply: f64) -> f64 {
    let (mut left, mut height, mut subsidy) = (supply, 0.0, FIRST_SUBSIDY);
    for _ in 0..LAST_ERA {
        let era = subsidy * ERA_BLOCKS;
        if left <= era {
            return height + left / subsidy;
        }
        left -= era;
        height += ERA_BLOCKS;
        subsidy /= 2.0;
    }
    height
}

/// ln of stock over yearly flow at a block.
fn ln_ratio(height: f64) -> f64 {
    let era = (height / ERA_BLOCKS).floor().min(f64::from(LAST_ERA));
    let whole = FIRST_SUBSIDY * ERA_BLOCKS * 2.0 * (1.0 - 0.5f64.powf(era));
    let subsidy = FIRST_SUBSIDY * 0.5f64.powf(era);
    let stock = whole + (height - era * ERA_BLOCKS) * subsidy;
    (stock.max(1.0) / (subsidy * BLOCKS_A_YEAR)).ln()
}

#[cfg(test)]
mod tests {
    use super::{height, ln_ratio};

    #[test]
    fn blocks_follow_from_supply_and_scarcity_from_blocks() {
        // 10.5 million at the first halving, 15.75 at the second, 18.375 at the third (May 2020).
        assert!((height(10_500_000.0) - 210_000.0).abs() < 1e-6);
        assert!((height(15_750_000.0) - 420_000.0).abs() < 1e-6);
        assert!((height(18_375_000.0) - 630_000.0).abs() < 1e-6);
        // Before the third halving 18.4 million over 657,000 a year: 28; after it 56.
        assert!((ln_ratio(629_999.0).exp() - 27.97).abs() < 0.05);
        assert!((ln_ratio(630_001.0).exp() - 55.94).abs() < 0.1);
        assert!(height(21_000_000.0).is_finite() && ln_ratio(1e9).is_finite());
    }
}
