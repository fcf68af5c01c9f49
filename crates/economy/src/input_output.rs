//! Who uses whose product: the input–output table, and what follows from it.
//!
//! Rows sell, columns buy (Leontief 1936; Miller and Blair, *Input–Output Analysis*, 2nd edition,
//! chapter 2). For groups *i*, *j*, in minor units of one asset:
//!
//! - *z_ij* is what *j* bought from *i* and used up, *f_i* what *i* sold for final use;
//! - *x_i = Σ_j z_ij + f_i* is its output at purchasers' prices;
//! - *v_j = x_j − Σ_i z_ij − m_j* is its value added, taxes less subsidies included, where *m_j* is
//!   what it bought abroad and used up. *Σ v = GDP*, to the unit.
//!
//! The table is a fold over the same readings as the accounts, and does not look at them. What is
//! derived by division (coefficients, inverse, multipliers) is a statistic and no amount, and has
//! fractions: see [`Leontief`].

use std::borrow::Borrow;
use std::fmt;

use money::{Amount, Asset};
use serde::Serialize;

use crate::flow::Gate;
use crate::reading::{Act, LabourOutput, Producer, Use, act};
use crate::registry::{InstitutionKind, Place};
use crate::{EconomyError, Flow, Leontief, Registry, Sector};

/// The most rows of one table: past that a table is no longer read by people, and its inverse
/// would take more than a second.
pub const MAX_GROUPS: usize = 400;

/// By what the rows and columns of a table stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grouping {
    /// The five sectors, governments, and everyone else: seven rows.
    Sectors,
    /// Each unit by itself, in the order of registration; at most [`MAX_GROUPS`].
    Units,
}

/// One row, and the column of the same place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Machines and firms of a sector.
    Sector(Sector),
    /// Whoever taxes and provides for all.
    Government,
    /// Persons who sell or employ, and units without a sector.
    Other,
    /// One unit, by its name.
    Unit(String),
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Group::Sector(sector) => f.pad(sector.as_str()),
            Group::Government => f.pad("government"),
            Group::Other => f.pad("other"),
            Group::Unit(name) => f.pad(name),
        }
    }
}

/// What was bought for good, by use; in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct FinalUse {
    household: i128,
    collective: i128,
    capital: i128,
    exports: i128,
}

impl FinalUse {
    const fn sum(&self) -> i128 {
        self.household + self.collective + self.capital + self.exports
    }
}

/// The table as it grows by a flow at a time.
#[derive(Debug, Clone)]
pub struct InputOutput<R> {
    registry: R,
    gate: Gate,
    grouping: Grouping,
    groups: usize,
    /// By row, then column.
    between: Vec<i128>,
    finals: Vec<FinalUse>,
    imports: Vec<i128>,
    imported_finals: FinalUse,
}

/// The finished table. All amounts are in its asset; vectors go by the order of `groups`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputOutputTable {
    /// What everything here is counted in.
    pub asset: Asset,
    /// Rows and columns.
    pub groups: Vec<Group>,
    /// `intermediate[i][j]`: what `j` bought from `i` and used up.
    pub intermediate: Vec<Vec<Amount>>,
    /// What each row sold to persons (C).
    pub final_household: Vec<Amount>,
    /// What each row provided for all (G): less what a government sold of it.
    pub final_collective: Vec<Amount>,
    /// What each row sold for capital formation (I).
    pub capital_formation: Vec<Amount>,
    /// What each row sold abroad (X).
    pub exports: Vec<Amount>,
    /// Output of each row at purchasers' prices: all of the above.
    pub output: Vec<Amount>,
    /// What each column bought abroad and used up.
    pub imports: Vec<Amount>,
    /// What was bought abroad for final use. It is in no row, for nobody here made it.
    pub imports_for_final_use: Amount,
    /// Output less all that was used up, taxes less subsidies included; the sum is GDP.
    pub value_added: Vec<Amount>,
    /// Σ value added.
    pub gdp: Amount,
}

impl InputOutput<&Registry> {
    /// The table of these flows.
    ///
    /// # Errors
    /// As [`InputOutput::new`] and [`InputOutput::add`].
    pub fn compile<'a>(
        registry: &Registry,
        asset: Asset,
        grouping: Grouping,
        flows: impl IntoIterator<Item = &'a Flow>,
    ) -> Result<InputOutputTable, EconomyError> {
        let mut table = InputOutput::new(registry, asset, grouping)?;
        for flow in flows {
            table.add(flow)?;
        }
        Ok(table.table())
    }
}

impl<R: Borrow<Registry>> InputOutput<R> {
    /// A table in which nobody has bought anything.
    ///
    /// # Errors
    /// [`EconomyError::TooManyGroups`].
    pub fn new(
        registry: R,
        asset: Asset,
        grouping: Grouping,
    ) -> Result<InputOutput<R>, EconomyError> {
        let groups = match grouping {
            Grouping::Sectors => Sector::ALL.len() + 2,
            Grouping::Units => registry.borrow().len(),
        };
        if groups > MAX_GROUPS {
            return Err(EconomyError::TooManyGroups { count: groups });
        }
        Ok(InputOutput {
            registry,
            gate: Gate::new(asset),
            grouping,
            groups,
            between: vec![0; groups * groups],
            finals: vec![FinalUse::default(); groups],
            imports: vec![0; groups],
            imported_finals: FinalUse::default(),
        })
    }

    /// Adds one flow, in constant time.
    ///
    /// # Errors
    /// As [`AccountsBuilder::add`](crate::AccountsBuilder::add). The table is then as it was.
    pub fn add(&mut self, flow: &Flow) -> Result<(), EconomyError> {
        let amount = self.gate.admit(flow)?;
        let act = act(self.registry.borrow(), flow);
        self.post(act, amount);
        Ok(())
    }

    /// Posts an amount; with the sign turned, takes it back.
    pub(crate) fn post(&mut self, act: Act, amount: i128) {
        match act {
            Act::Sale { seller, buyer } => self.sale(seller, buyer, amount),
            Act::Labour { employer, output } => {
                let row = self.group_of(employer);
                match output {
                    LabourOutput::Sold => {}
                    LabourOutput::Domestic => self.finals[row].household += amount,
                    LabourOutput::Collective => self.finals[row].collective += amount,
                }
            }
            // Paid out of value added, in which they are.
            Act::Tax { .. } | Act::Subsidy { .. } | Act::Neutral(_) => {}
        }
    }

    fn sale(&mut self, seller: Option<Producer>, buyer: Use, amount: i128) {
        let row = seller.map(|seller| match seller {
            Producer::Market(place) => self.group_of(place),
            Producer::Government(place) => {
                // Its output was valued at cost, as consumed by all: what it sells of that is not.
                let row = self.group_of(place);
                self.finals[row].collective -= amount;
                row
            }
        });
        if let Use::Intermediate(place) = buyer {
            let column = self.group_of(place);
            match row {
                Some(row) => self.between[row * self.groups + column] += amount,
                None => self.imports[column] += amount,
            }
            return;
        }
        let finals = match row {
            Some(row) => &mut self.finals[row],
            None => &mut self.imported_finals,
        };
        match buyer {
            Use::Household => finals.household += amount,
            Use::Collective => finals.collective += amount,
            Use::Capital => finals.capital += amount,
            Use::Export => finals.exports += amount,
            Use::Intermediate(_) => unreachable!("returned above"),
        }
    }

    /// The table as of now.
    pub fn table(&self) -> InputOutputTable {
        let amount = |minor| Amount::from_minor(self.gate.asset(), minor);
        let amounts = |figures: &mut dyn Iterator<Item = i128>| -> Vec<Amount> {
            figures.map(amount).collect()
        };
        let rows = || self.between.chunks(self.groups.max(1));
        let output: Vec<i128> = rows()
            .zip(&self.finals)
            .map(|(row, finals)| row.iter().sum::<i128>() + finals.sum())
            .collect();
        let used = |column: usize| rows().map(|row| row[column]).sum::<i128>();
        let value_added: Vec<i128> = output
            .iter()
            .enumerate()
            .map(|(column, made)| made - used(column) - self.imports[column])
            .collect();
        InputOutputTable {
            asset: self.gate.asset(),
            groups: self.labels(),
            intermediate: rows().map(|row| amounts(&mut row.iter().copied())).collect(),
            final_household: amounts(&mut self.finals.iter().map(|f| f.household)),
            final_collective: amounts(&mut self.finals.iter().map(|f| f.collective)),
            capital_formation: amounts(&mut self.finals.iter().map(|f| f.capital)),
            exports: amounts(&mut self.finals.iter().map(|f| f.exports)),
            output: amounts(&mut output.iter().copied()),
            imports: amounts(&mut self.imports.iter().copied()),
            imports_for_final_use: amount(self.imported_finals.sum()),
            gdp: amount(value_added.iter().sum()),
            value_added: amounts(&mut value_added.into_iter()),
        }
    }

    fn labels(&self) -> Vec<Group> {
        match self.grouping {
            Grouping::Sectors => Sector::ALL
                .into_iter()
                .map(Group::Sector)
                .chain([Group::Government, Group::Other])
                .collect(),
            Grouping::Units => {
                self.registry.borrow().units().map(|unit| Group::Unit(unit.name.clone())).collect()
            }
        }
    }

    fn group_of(&self, place: Place) -> usize {
        match self.grouping {
            Grouping::Units => place.index(),
            Grouping::Sectors => {
                let registry = self.registry.borrow();
                let sector = registry.sector(place);
                match (registry.institution(place), sector) {
                    (InstitutionKind::Government, _) => Sector::ALL.len(),
                    (_, Some(sector)) => Sector::ALL
                        .iter()
                        .position(|one| *one == sector)
                        .expect("ALL has every sector"),
                    (_, None) => Sector::ALL.len() + 1,
                }
            }
        }
    }
}

impl InputOutputTable {
    /// What the table says about one unit more of final use.
    ///
    /// # Errors
    /// [`EconomyError::Unproductive`] if the groups use up all that they make, or more.
    pub fn leontief(&self) -> Result<Leontief, EconomyError> {
        let minor = |amounts: &[Amount]| amounts.iter().map(Amount::minor).collect::<Vec<i128>>();
        let between: Vec<Vec<i128>> = self.intermediate.iter().map(|row| minor(row)).collect();
        Leontief::of(&between, &minor(&self.output), &minor(&self.value_added))
    }
}
