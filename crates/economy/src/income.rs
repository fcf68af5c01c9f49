//! GDP by income: who got what production yielded.
//!
//! GDP = wages + operating surplus and mixed income + taxes − subsidies (SNA 2008, chapter 16). The
//! surplus is kept as a running profit and loss of each *beneficial owner*, one signed number
//! each, not as a residual of the production account: what an owner's units sold, less what they
//! used up, less wages, less taxes, plus subsidies. A person's own sales are mixed income, and part
//! of it. Wages are those paid by residents, to whomever: GDP is domestic.

use crate::Registry;
use crate::reading::{Act, LabourOutput, Producer, Use};
use crate::registry::Place;

/// The fold. All figures in minor units.
#[derive(Debug, Clone)]
pub struct Income {
    wages: i128,
    taxes: i128,
    subsidies: i128,
    /// By index of the owner in the registry.
    surplus: Vec<i128>,
}

impl Income {
    pub(crate) fn new(owners: usize) -> Income {
        Income { wages: 0, taxes: 0, subsidies: 0, surplus: vec![0; owners] }
    }

    pub(crate) fn post(&mut self, registry: &Registry, act: Act, amount: i128) {
        let mut earn = |place: Place, change: i128| {
            self.surplus[registry.owner_of(place)] += change;
        };
        match act {
            Act::Sale { seller, buyer } => {
                if let Some(Producer::Market(seller)) = seller {
                    earn(seller, amount);
                }
                if let Use::Intermediate(buyer) = buyer {
                    earn(buyer, -amount);
                }
            }
            Act::Labour { employer, output } => {
                if output == LabourOutput::Sold {
                    earn(employer, -amount);
                }
                self.wages += amount;
            }
            Act::Tax { payer } => {
                earn(payer, -amount);
                self.taxes += amount;
            }
            Act::Subsidy { payee } => {
                earn(payee, amount);
                self.subsidies += amount;
            }
            Act::Neutral(_) => {}
        }
    }

    /// Compensation of human labour.
    pub const fn wages(&self) -> i128 {
        self.wages
    }

    /// Taxes on products.
    pub const fn taxes(&self) -> i128 {
        self.taxes
    }

    /// Subsidies on products.
    pub const fn subsidies(&self) -> i128 {
        self.subsidies
    }

    /// Operating surplus and mixed income of all owners together.
    pub fn surplus(&self) -> i128 {
        self.surplus.iter().sum()
    }

    /// The same by owner, in the registry's order of owners.
    pub(crate) fn surplus_by_owner(&self) -> &[i128] {
        &self.surplus
    }

    /// Wages + surplus + taxes − subsidies.
    pub fn gdp(&self) -> i128 {
        self.wages + self.surplus() + self.taxes - self.subsidies
    }
}
