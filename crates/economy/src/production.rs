//! GDP by production: what each unit added to what it bought.
//!
//! For a unit *i*, in minor units of one asset:
//!
//! - output O_i = its sales − taxes on products it paid + subsidies on products it got, that is, at
//!   basic prices; of services for the own household and for all, which have no price, the wages
//!   they cost (SNA 2008, chapter 6: basic prices, paid domestic staff, non-market output);
//! - value added VA_i = O_i − IC_i, where IC_i is what it bought and used up (chapter 6);
//! - GDP = Σ VA_i + taxes − subsidies (chapter 16).
//!
//! A government's purchases are booked as collective consumption at once, not through its output:
//! both would rise by the same amount, and value added by none.

use crate::reading::{Act, LabourOutput, Producer, Use};
use crate::registry::Place;

/// One unit's account of production, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnitProduction {
    /// What it sold, or provided at cost, before taxes and subsidies.
    pub sales: i128,
    /// What it bought and used up.
    pub intermediate: i128,
    /// Taxes on products that it paid.
    pub taxes: i128,
    /// Subsidies on products that it got.
    pub subsidies: i128,
}

impl UnitProduction {
    /// Output at basic prices.
    pub const fn output(&self) -> i128 {
        self.sales - self.taxes + self.subsidies
    }

    /// Value added at basic prices.
    pub const fn value_added(&self) -> i128 {
        self.output() - self.intermediate
    }
}

/// The fold.
#[derive(Debug, Clone)]
pub struct Production {
    units: Vec<UnitProduction>,
}

impl Production {
    pub(crate) fn new(units: usize) -> Production {
        Production { units: vec![UnitProduction::default(); units] }
    }

    pub(crate) fn post(&mut self, act: Act, amount: i128) {
        match act {
            Act::Sale { seller, buyer } => {
                if let Some(Producer::Market(seller)) = seller {
                    self.unit(seller).sales += amount;
                }
                if let Use::Intermediate(buyer) = buyer {
                    self.unit(buyer).intermediate += amount;
                }
            }
            Act::Labour { employer, output } => match output {
                LabourOutput::Sold => {}
                LabourOutput::Domestic | LabourOutput::Collective => {
                    self.unit(employer).sales += amount;
                }
            },
            Act::Tax { payer } => self.unit(payer).taxes += amount,
            Act::Subsidy { payee } => self.unit(payee).subsidies += amount,
            Act::Neutral(_) => {}
        }
    }

    /// The accounts of all units, in the order of their registration.
    pub fn units(&self) -> &[UnitProduction] {
        &self.units
    }

    /// Σ VA + taxes − subsidies.
    pub fn gdp(&self) -> i128 {
        self.units.iter().map(|unit| unit.value_added() + unit.taxes - unit.subsidies).sum()
    }

    fn unit(&mut self, place: Place) -> &mut UnitProduction {
        &mut self.units[place.index()]
    }
}
