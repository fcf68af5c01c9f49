//! The national accounts of a period in one asset, kept up to date flow by flow.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::time::Duration;

use ledger::Kind;
use money::{Amount, Asset, Party, Timestamp};
use serde::Serialize;

use crate::expenditure::Expenditure;
use crate::flow::{Gate, counted};
use crate::income::Income;
use crate::production::Production;
use crate::reading::{Act, act_between, is_purchase};
use crate::registry::Sides;
use crate::{Counted, EconomyError, Flow, Ratio, Reading, Registry, Sector};

/// The accounts of one asset over whatever flows were added. All amounts are in that asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accounts {
    /// What everything here is counted in.
    pub asset: Asset,
    /// First and last flow with a resident on either side, if there was one.
    pub period: Option<Period>,

    /// GDP by production: Σ value added + taxes − subsidies.
    pub gdp_production: Amount,
    /// GDP by expenditure: C + G + I + X − M.
    pub gdp_expenditure: Amount,
    /// GDP by income: wages + operating surplus + taxes − subsidies.
    pub gdp_income: Amount,

    /// Output of all units at basic prices.
    pub output: Amount,
    /// What all units used up in production.
    pub intermediate_consumption: Amount,
    /// Output less intermediate consumption.
    pub value_added: Amount,

    /// C: consumption of persons.
    pub final_household: Amount,
    /// G: collective consumption, net of what governments sold.
    pub final_collective: Amount,
    /// I: gross fixed capital formation.
    pub capital_formation: Amount,
    /// X: sold to the rest of the world.
    pub exports: Amount,
    /// M: bought from the rest of the world.
    pub imports: Amount,

    /// Human labour, paid by residents.
    pub wages: Amount,
    /// Operating surplus and mixed income of all owners.
    pub operating_surplus: Amount,
    /// Taxes on products.
    pub taxes: Amount,
    /// Subsidies on products.
    pub subsidies: Amount,

    /// Gross payments for goods and services, those within one owner included: what a count of
    /// transactions would call the size of the economy.
    pub turnover: Amount,
    /// The part of turnover that stayed within one beneficial owner, and so counts for nothing.
    pub within_owner: Amount,
    /// Gross payments of every kind that touch the economy; memos are none.
    pub payments: Amount,
    /// The money there is, as handed in.
    pub money_stock: Amount,
    /// Turnover / value added: how often a unit of value changes hands on its way to its use.
    pub turnover_to_value_added: Ratio,
    /// V_T = payments / money stock, over the period of the flows (not per year).
    pub velocity_transactions: Ratio,
    /// V_Y = GDP / money stock, over the period of the flows (not per year).
    pub velocity_income: Ratio,
    /// V_T per year: V_T × [`YEAR`] / period. It reads `n/a` where the period is shorter than
    /// [`SHORTEST_PERIOD`].
    pub velocity_transactions_per_year: Ratio,
    /// V_Y per year, likewise.
    pub velocity_income_per_year: Ratio,
    /// Whether figures per year extrapolate from less than [`SHORT_PERIOD`], so that a busy week
    /// may pass for a busy year.
    pub short_period: bool,

    /// Purchases between different owners.
    pub trades: u64,
    /// Flows that counted as something else than they declared: see [`Reading::restated`].
    pub restated: u64,

    /// The five sectors and, last, units without one; they add up to the totals.
    pub sectors: Vec<SectorAccounts>,
    /// Each unit, in the order of registration; they add up to the totals.
    pub units: Vec<UnitAccounts>,
    /// Each beneficial owner of units; their surplus adds up to the total.
    pub owners: Vec<OwnerAccounts>,
}

/// The mean year of the Gregorian calendar: 365.2425 days.
pub const YEAR: Duration = Duration::from_secs(31_556_952);

/// Below this nothing is said per year: a day has hours that are not like the others.
pub const SHORTEST_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

/// Below this what is said per year is marked as extrapolated: a month has weeks of every kind.
pub const SHORT_PERIOD: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// First and last payment of a set of accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Period {
    /// Time of the earliest.
    pub first: Timestamp,
    /// Time of the latest.
    pub last: Timestamp,
}

impl Period {
    /// From the first to the last.
    pub fn length(&self) -> Duration {
        self.last.since(self.first)
    }

    /// A ratio over this period as one over a year; of nothing where the period is shorter than
    /// [`SHORTEST_PERIOD`].
    fn per_year(&self, ratio: Ratio) -> Ratio {
        let millis = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        if self.length() < SHORTEST_PERIOD {
            return Ratio { numerator: ratio.numerator, denominator: 0 };
        }
        ratio.scaled(millis(YEAR), millis(self.length()))
    }
}

/// What one sector added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SectorAccounts {
    /// Which; none for units without a sector.
    pub sector: Option<Sector>,
    /// How many units it has.
    pub units: u64,
    /// At basic prices.
    pub output: Amount,
    /// Bought and used up.
    pub intermediate_consumption: Amount,
    /// Output less intermediate consumption.
    pub value_added: Amount,
}

/// What one unit added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitAccounts {
    /// Which.
    pub party: Party,
    /// At basic prices.
    pub output: Amount,
    /// Bought and used up.
    pub intermediate_consumption: Amount,
    /// Output less intermediate consumption.
    pub value_added: Amount,
}

/// What one beneficial owner's units earned together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnerAccounts {
    /// The owner; it may be foreign.
    pub party: Party,
    /// Operating surplus, or mixed income where the owner sold its own services.
    pub operating_surplus: Amount,
}

impl Accounts {
    /// The accounts of these flows.
    ///
    /// # Errors
    /// [`EconomyError::MoneyStock`], or the first flow that is refused, as by
    /// [`AccountsBuilder::add`].
    pub fn compile<'a>(
        registry: &Registry,
        asset: Asset,
        money_stock: Amount,
        flows: impl IntoIterator<Item = &'a Flow>,
    ) -> Result<Accounts, EconomyError> {
        let mut builder = AccountsBuilder::new(registry, asset);
        for flow in flows {
            builder.add(flow)?;
        }
        builder.accounts(money_stock)
    }

    /// One set of accounts for each asset that has a money stock, in the order of the stocks.
    ///
    /// # Errors
    /// As [`Accounts::compile`], and [`EconomyError::MoneyStockTwice`]; a flow in an asset without
    /// a stock is [`EconomyError::MoneyStockUnknown`], for nothing is left out in silence.
    pub fn compile_each<'a>(
        registry: &Registry,
        money_stocks: &[Amount],
        flows: impl IntoIterator<Item = &'a Flow>,
    ) -> Result<Vec<Accounts>, EconomyError> {
        let mut builders: BTreeMap<Asset, AccountsBuilder<&Registry>> = BTreeMap::new();
        for stock in money_stocks {
            let asset = stock.asset();
            if builders.insert(asset, AccountsBuilder::new(registry, asset)).is_some() {
                return Err(EconomyError::MoneyStockTwice { asset });
            }
        }
        for flow in flows {
            let (asset, reference) = (flow.amount.asset(), flow.reference);
            let builder = builders
                .get_mut(&asset)
                .ok_or(EconomyError::MoneyStockUnknown { reference, asset })?;
            builder.add(flow)?;
        }
        money_stocks.iter().map(|stock| builders[&stock.asset()].accounts(*stock)).collect()
    }
}

/// Accounts that grow by a flow at a time.
///
/// The registry is lent or owned (`&Registry`, `Arc<Registry>`, `Registry`) and stays as it is: a
/// new unit, or a machine sold, asks for a new builder over the journal, so that all flows are
/// read by one and the same boundary.
#[derive(Debug, Clone)]
pub struct AccountsBuilder<R> {
    registry: R,
    gate: Gate,
    period: Option<Period>,
    production: Production,
    expenditure: Expenditure,
    income: Income,
    turnover: i128,
    within_owner: i128,
    payments: i128,
    trades: u64,
    restated: u64,
}

impl<R: Borrow<Registry>> AccountsBuilder<R> {
    /// Accounts in which nothing has happened yet.
    pub fn new(registry: R, asset: Asset) -> AccountsBuilder<R> {
        let (units, owners) = (registry.borrow().len(), registry.borrow().owners().len());
        AccountsBuilder {
            registry,
            gate: Gate::new(asset),
            period: None,
            production: Production::new(units),
            expenditure: Expenditure::default(),
            income: Income::new(owners),
            turnover: 0,
            within_owner: 0,
            payments: 0,
            trades: 0,
            restated: 0,
        }
    }

    /// The units by which flows are read.
    pub fn registry(&self) -> &Registry {
        self.registry.borrow()
    }

    /// Adds one flow, in constant time, and says how it counted.
    ///
    /// # Errors
    /// In this order: [`EconomyError::WrongAsset`], [`EconomyError::NotPositive`],
    /// [`EconomyError::TooLarge`]. The accounts are then as they were.
    pub fn add(&mut self, flow: &Flow) -> Result<Reading, EconomyError> {
        let amount = self.gate.admit(flow)?;
        let registry = self.registry.borrow();
        let sides = registry.sides(flow);
        let act = act_between(registry, flow, flow.kind, sides);
        self.note_time(flow.at, sides);
        Ok(self.post(flow.kind, act, amount))
    }

    /// Counts the flow against what one set of accounts takes, and returns its minor units.
    pub(crate) fn admit(&mut self, flow: &Flow) -> Result<i128, EconomyError> {
        self.gate.admit(flow)
    }

    /// What the accounts are counted in.
    pub fn asset(&self) -> Asset {
        self.gate.asset()
    }

    /// The minor units of a flow that was let in before.
    pub(crate) fn was_admitted(&self, flow: &Flow) -> Result<i128, EconomyError> {
        self.gate.was_admitted(flow)
    }

    /// Stretches the period to a flow of a resident. It does not depend on what the flow counts
    /// as, so an override leaves it as it is.
    pub(crate) fn note_time(&mut self, at: Timestamp, sides: Sides) {
        if sides.payer.is_some() || sides.payee.is_some() {
            let period = self.period.get_or_insert(Period { first: at, last: at });
            period.first = period.first.min(at);
            period.last = period.last.max(at);
        }
    }

    /// Posts a flow's amount to every fold; with the sign turned, takes it back.
    pub(crate) fn post(&mut self, kind: Kind, act: Act, amount: i128) -> Reading {
        let registry = self.registry.borrow();
        let reading = Reading::of(kind, act);

        self.production.post(act, amount);
        self.expenditure.post(act, amount);
        self.income.post(registry, act, amount);

        if reading.restated {
            self.restated = counted(self.restated, amount);
        }
        match act {
            Act::Neutral(Counted::Memo | Counted::Outside) => return reading,
            Act::Neutral(Counted::WithinOwner) if is_purchase(kind) => {
                self.turnover += amount;
                self.within_owner += amount;
            }
            Act::Sale { .. } => {
                self.turnover += amount;
                self.trades = counted(self.trades, amount);
            }
            Act::Neutral(_) | Act::Labour { .. } | Act::Tax { .. } | Act::Subsidy { .. } => {}
        }
        self.payments += amount;
        reading
    }

    /// Counts a flow that was added before as another kind: a reader's override. Who overrides, and
    /// why, is an entry of the journal and none of this crate's knowledge. Returns how it counts
    /// now. The accounts are then those of a flow that had been of this kind from the start.
    ///
    /// # Errors
    /// [`EconomyError::WrongAsset`], [`EconomyError::NotPositive`], and
    /// [`EconomyError::NotCounted`] if less than this was ever added: the caller's mistake, of which
    /// only this much shows here. The accounts are then as they were.
    pub fn retype(&mut self, flow: &Flow, kind: Kind) -> Result<Reading, EconomyError> {
        let amount = self.gate.was_admitted(flow)?;
        let registry = self.registry.borrow();
        let sides = registry.sides(flow);
        let before = act_between(registry, flow, flow.kind, sides);
        let after = act_between(registry, flow, kind, sides);
        self.post(flow.kind, before, -amount);
        Ok(self.post(kind, after, amount))
    }

    /// GDP by expenditure as of now, in constant time; [`AccountsBuilder::accounts`] compares it
    /// with the other two.
    pub fn gdp_so_far(&self) -> Amount {
        Amount::from_minor(self.gate.asset(), self.expenditure.gdp())
    }

    /// First and last flow with a resident on either side.
    pub fn period(&self) -> Option<Period> {
        self.period
    }

    /// The accounts as of now: one pass over units and owners.
    ///
    /// # Errors
    /// [`EconomyError::MoneyStock`]; [`EconomyError::Discrepancy`] never, unless this crate has a
    /// defect.
    pub fn accounts(&self, money_stock: Amount) -> Result<Accounts, EconomyError> {
        let asset = self.gate.asset();
        if money_stock.asset() != asset || money_stock.is_negative() {
            return Err(EconomyError::MoneyStock { stock: money_stock, expected: asset });
        }
        let amount = |minor| Amount::from_minor(asset, minor);
        let gdp = self.gdp()?;
        let (sectors, units) = (self.sectors(), self.units());
        let of_units = |figure: fn(&UnitAccounts) -> i128| units.iter().map(figure).sum::<i128>();
        let value_added = of_units(|unit| unit.value_added.minor());
        let stock = money_stock.minor();
        let velocity = |numerator| Ratio { numerator, denominator: stock };
        let none = Ratio { numerator: 0, denominator: 0 };
        let per_year = |ratio| self.period.map_or(none, |period: Period| period.per_year(ratio));
        Ok(Accounts {
            asset,
            period: self.period,
            gdp_production: amount(self.production.gdp()),
            gdp_expenditure: amount(self.expenditure.gdp()),
            gdp_income: amount(self.income.gdp()),
            output: amount(of_units(|unit| unit.output.minor())),
            intermediate_consumption: amount(of_units(|unit| {
                unit.intermediate_consumption.minor()
            })),
            value_added: amount(value_added),
            final_household: amount(self.expenditure.household),
            final_collective: amount(self.expenditure.collective),
            capital_formation: amount(self.expenditure.capital),
            exports: amount(self.expenditure.exports),
            imports: amount(self.expenditure.imports),
            wages: amount(self.income.wages()),
            operating_surplus: amount(self.income.surplus()),
            taxes: amount(self.income.taxes()),
            subsidies: amount(self.income.subsidies()),
            turnover: amount(self.turnover),
            within_owner: amount(self.within_owner),
            payments: amount(self.payments),
            money_stock,
            turnover_to_value_added: Ratio { numerator: self.turnover, denominator: value_added },
            velocity_transactions: velocity(self.payments),
            velocity_income: velocity(gdp),
            velocity_transactions_per_year: per_year(velocity(self.payments)),
            velocity_income_per_year: per_year(velocity(gdp)),
            short_period: self.period.is_none_or(|period| period.length() < SHORT_PERIOD),
            trades: self.trades,
            restated: self.restated,
            sectors,
            units,
            owners: self.owners(),
        })
    }

    /// GDP, if the three folds agree on it.
    fn gdp(&self) -> Result<i128, EconomyError> {
        let (production, expenditure, income) =
            (self.production.gdp(), self.expenditure.gdp(), self.income.gdp());
        if production == expenditure && expenditure == income {
            return Ok(production);
        }
        let amount = |minor| Amount::from_minor(self.gate.asset(), minor);
        Err(EconomyError::Discrepancy {
            production: amount(production),
            expenditure: amount(expenditure),
            income: amount(income),
        })
    }

    fn units(&self) -> Vec<UnitAccounts> {
        let amount = |minor| Amount::from_minor(self.gate.asset(), minor);
        let accounts = self.registry().units().zip(self.production.units());
        accounts
            .map(|(unit, account)| UnitAccounts {
                party: unit.party,
                output: amount(account.output()),
                intermediate_consumption: amount(account.intermediate),
                value_added: amount(account.value_added()),
            })
            .collect()
    }

    fn sectors(&self) -> Vec<SectorAccounts> {
        #[derive(Clone, Copy, Default)]
        struct Sum {
            units: u64,
            output: i128,
            intermediate: i128,
        }
        let rows = || Sector::ALL.into_iter().map(Some).chain([None]);
        let mut sums: BTreeMap<Option<Sector>, Sum> =
            rows().map(|sector| (sector, Sum::default())).collect();
        for (unit, account) in self.registry().units().zip(self.production.units()) {
            let sum = sums.entry(unit.sector).or_default();
            sum.units += 1;
            sum.output += account.output();
            sum.intermediate += account.intermediate;
        }
        let amount = |minor| Amount::from_minor(self.gate.asset(), minor);
        rows()
            .map(|sector| {
                let sum = sums[&sector];
                SectorAccounts {
                    sector,
                    units: sum.units,
                    output: amount(sum.output),
                    intermediate_consumption: amount(sum.intermediate),
                    value_added: amount(sum.output - sum.intermediate),
                }
            })
            .collect()
    }

    fn owners(&self) -> Vec<OwnerAccounts> {
        let surplus = self.registry().owners().iter().zip(self.income.surplus_by_owner());
        surplus
            .map(|(party, surplus)| OwnerAccounts {
                party: *party,
                operating_surplus: Amount::from_minor(self.gate.asset(), *surplus),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unit;

    #[test]
    fn measures_that_differ_are_refused_not_plugged() {
        let mut registry = Registry::new();
        registry.insert(Unit::household(Party::new([1; 20]), "Ada")).unwrap();
        let mut builder = AccountsBuilder::new(registry, Asset::MUSD);
        builder.expenditure.household = 1; // one minor unit that nobody produced
        let stock = Amount::zero(Asset::MUSD);
        assert_eq!(
            builder.accounts(stock),
            Err(EconomyError::Discrepancy {
                production: stock,
                expenditure: Amount::from_minor(Asset::MUSD, 1),
                income: stock,
            })
        );
    }
}
