//! GDP by expenditure: what was bought for good, by use.
//!
//! GDP = C + G + I + X − M (SNA 2008, chapter 16). Imports are taken off whatever they were bought for,
//! production included, for no use is entered net of them. G is what a government provides, at its
//! cost, less what it sold of it (chapters 6 and 9); it is negative if a government sells for more
//! than its cost, which says that it ought to be registered as a firm.

use crate::reading::{Act, LabourOutput, Producer, Use};

/// The fold. All fields in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expenditure {
    /// C: consumed by persons.
    pub household: i128,
    /// G: consumed by all.
    pub collective: i128,
    /// I: gross fixed capital formation. Inventories are not measured.
    pub capital: i128,
    /// X: sold abroad.
    pub exports: i128,
    /// M: bought abroad, for any use.
    pub imports: i128,
}

impl Expenditure {
    #[inline]
    pub(crate) fn post(&mut self, act: Act, amount: i128) {
        match act {
            Act::Sale { seller, buyer } => {
                match buyer {
                    Use::Household => self.household += amount,
                    Use::Collective => self.collective += amount,
                    Use::Capital => self.capital += amount,
                    Use::Export => self.exports += amount,
                    Use::Intermediate(_) => {}
                }
                match seller {
                    None => self.imports += amount,
                    Some(Producer::Government(_)) => self.collective -= amount,
                    Some(Producer::Market(_)) => {}
                }
            }
            Act::Labour { output, .. } => match output {
                LabourOutput::Sold => {}
                LabourOutput::Domestic => self.household += amount,
                LabourOutput::Collective => self.collective += amount,
            },
            Act::Tax { .. } | Act::Subsidy { .. } | Act::Neutral(_) => {}
        }
    }

    /// C + G + I + X − M.
    pub const fn gdp(&self) -> i128 {
        self.household + self.collective + self.capital + self.exports - self.imports
    }
}
