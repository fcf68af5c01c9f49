//! Labour: which machines work, how much, and who gets what they earn.
//!
//! A machine is **at work** in a period if it sold at least once to another owner. Its **busy time**
//! (machine-hours) and the open jobs (vacancies) are not in the journal; whoever knows them hands
//! them in, and without them the figures that need them read `n/a`. Definitions follow the
//! resolution of the 19th International Conference of Labour Statisticians as far as it carries:
//! work for pay, job vacancies; a machine does not look for work, so there is no unemployment of
//! machines, only idleness.
//!
//! Machines own nothing here: what a machine earns is its owner's ([`Institution::Machine`]). The
//! shares of income therefore name owners, and say where they live.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::time::Duration;

use money::{Amount, Asset, Party};
use serde::Serialize;

use crate::flow::{Gate, counted};
use crate::inequality::{Spread, spread};
use crate::reading::{Act, LabourOutput, Producer, Use, act_between};
use crate::registry::{Place, Sides};
use crate::{EconomyError, Flow, Institution, Ratio, Registry};

/// What the journal does not know about work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Effort {
    /// How long machines were busy, all together. None if nobody measured it.
    pub busy: Option<Duration>,
    /// How long those machines could have been busy meanwhile: the time for which `busy` was
    /// measured, times how much they can do at once.
    pub capacity: Option<Duration>,
    /// What machines had added before `busy` was measured; none if it was from the first flow on.
    pub value_added_before: Option<Amount>,
    /// Jobs that nobody has taken.
    pub vacancies: Option<u64>,
}

/// Labour in one asset's accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Employment {
    /// Machines in the registry.
    pub machines: u64,
    /// Machines that sold at least once to another owner.
    pub at_work: u64,
    /// Persons who were paid for work at least once.
    pub people_at_work: u64,
    /// Machine-milliseconds of work, as handed in.
    pub busy_ms: Option<u64>,
    /// Busy time / the time that the measured machines could have been busy.
    pub utilisation: Ratio,
    /// Jobs that nobody has taken, as handed in.
    pub vacancies: Option<u64>,
    /// Vacancies / (vacancies + machines at work): the rate of the Beveridge curve.
    pub vacancy_rate: Ratio,
    /// What machines added, over all flows.
    pub value_added_by_machines: Amount,
    /// Minor units of value added by machines for an hour of machine work, over the time for which
    /// that was measured.
    pub value_added_per_machine_hour: Ratio,

    /// Wages and what persons earned by selling their own work (mixed income).
    pub to_people_for_work: Amount,
    /// Surplus of machines and firms whose beneficial owner is a resident person.
    pub to_resident_owners: Amount,
    /// Surplus of machines and firms whose beneficial owner lives abroad.
    pub to_foreign_owners: Amount,
    /// Surplus of firms that no party owns and of governments' machines and firms: nobody's income.
    pub kept_by_firms: Amount,
    /// The same four as shares of their sum: work, resident owners, foreign owners, firms.
    pub shares: [Ratio; 4],

    /// How evenly output is spread over machines at work.
    pub output_of_machines: Spread,
    /// How evenly income from ownership is spread over owners.
    pub income_of_owners: Spread,
}

/// Labour as it grows by a flow at a time.
#[derive(Debug, Clone)]
pub struct EmploymentBuilder<R> {
    registry: R,
    gate: Gate,
    units: Vec<UnitWork>,
}

#[derive(Debug, Clone, Copy, Default)]
struct UnitWork {
    /// Times it was paid for goods, services or labour by another owner.
    sold: u64,
    output: i128,
    value_added: i128,
    /// Wages received.
    earned: i128,
    /// What stays of its sales after purchases, wages, taxes and subsidies.
    surplus: i128,
}

impl<R: Borrow<Registry>> EmploymentBuilder<R> {
    /// Nobody has worked yet.
    pub fn new(registry: R, asset: Asset) -> EmploymentBuilder<R> {
        let units = vec![UnitWork::default(); registry.borrow().len()];
        EmploymentBuilder { registry, gate: Gate::new(asset), units }
    }

    /// Adds one flow, in constant time.
    ///
    /// # Errors
    /// As [`AccountsBuilder::add`](crate::AccountsBuilder::add). Nothing has changed then.
    pub fn add(&mut self, flow: &Flow) -> Result<(), EconomyError> {
        let amount = self.gate.admit(flow)?;
        let registry = self.registry.borrow();
        let sides = registry.sides(flow);
        let act = act_between(registry, flow, flow.kind, sides);
        self.post(sides, act, amount);
        Ok(())
    }

    /// Posts an amount; with the sign turned, takes it back.
    pub(crate) fn post(&mut self, sides: Sides, act: Act, amount: i128) {
        match act {
            Act::Sale { seller, buyer } => {
                if let Some(Producer::Market(seller)) = seller {
                    let unit = self.unit(seller);
                    unit.sold = counted(unit.sold, amount);
                    unit.output += amount;
                    unit.value_added += amount;
                    unit.surplus += amount;
                }
                if let Use::Intermediate(buyer) = buyer {
                    let unit = self.unit(buyer);
                    unit.value_added -= amount;
                    unit.surplus -= amount;
                }
            }
            Act::Labour { employer, output } => {
                if output == LabourOutput::Sold {
                    self.unit(employer).surplus -= amount;
                }
                if let Some(worker) = sides.payee {
                    let unit = self.unit(worker);
                    unit.sold = counted(unit.sold, amount);
                    unit.earned += amount;
                }
            }
            Act::Tax { payer } => self.tax(payer, -amount),
            Act::Subsidy { payee } => self.tax(payee, amount),
            Act::Neutral(_) => {}
        }
    }

    fn tax(&mut self, place: Place, amount: i128) {
        let unit = self.unit(place);
        unit.output += amount;
        unit.value_added += amount;
        unit.surplus += amount;
    }

    fn unit(&mut self, place: Place) -> &mut UnitWork {
        &mut self.units[place.index()]
    }

    /// Labour as of now; `wages` are those of the accounts over the same flows, which include what
    /// workers abroad got.
    pub fn employment(&self, wages: Amount, effort: Effort) -> Employment {
        let registry = self.registry.borrow();
        let amount = |minor| Amount::from_minor(self.gate.asset(), minor);
        let (mut machines, mut at_work, mut people_at_work) = (0u64, 0u64, 0u64);
        let (mut people, mut residents, mut abroad, mut firms) = (wages.minor(), 0, 0, 0);
        let mut machines_value_added = 0;
        let mut outputs = Vec::new();
        let mut by_owner: BTreeMap<Party, i128> = BTreeMap::new();
        for (unit, work) in registry.units().zip(&self.units) {
            let worked = work.sold > 0;
            match unit.institution {
                Institution::Household => {
                    people_at_work += u64::from(worked);
                    people += work.surplus;
                    continue;
                }
                Institution::Government => continue,
                Institution::Machine { .. } => {
                    machines += 1;
                    at_work += u64::from(worked);
                    machines_value_added += work.value_added;
                    if worked {
                        outputs.push(work.output);
                    }
                }
                Institution::Firm { .. } => {}
            }
            let owner = registry.beneficial_owner(unit.party);
            match registry.unit(owner).map(|unit| unit.institution) {
                Some(Institution::Household) => residents += work.surplus,
                None => abroad += work.surplus,
                Some(Institution::Firm { .. } | Institution::Government) => firms += work.surplus,
                Some(Institution::Machine { .. }) => {
                    unreachable!("a machine has an owner, so it is at no chain's end")
                }
            }
            if owner != unit.party {
                *by_owner.entry(owner).or_default() += work.surplus;
            }
        }
        let income = people + residents + abroad + firms;
        let busy_ms = effort.busy.map(millis);
        let before = effort.value_added_before.map_or(0, |amount| amount.minor());
        let added = machines_value_added - before;
        let hours =
            |ms: u64| Ratio { numerator: added, denominator: i128::from(ms) }.scaled(3_600_000, 1);
        let none = Ratio { numerator: 0, denominator: 0 };
        Employment {
            machines,
            at_work,
            people_at_work,
            busy_ms,
            utilisation: match (busy_ms, effort.capacity) {
                (Some(busy), Some(capacity)) => {
                    Ratio { numerator: i128::from(busy), denominator: i128::from(millis(capacity)) }
                }
                _ => none,
            },
            vacancies: effort.vacancies,
            vacancy_rate: effort.vacancies.map_or(none, |vacancies| Ratio {
                numerator: i128::from(vacancies),
                denominator: i128::from(vacancies) + i128::from(at_work),
            }),
            value_added_by_machines: amount(machines_value_added),
            value_added_per_machine_hour: busy_ms.map_or(none, hours),
            to_people_for_work: amount(people),
            to_resident_owners: amount(residents),
            to_foreign_owners: amount(abroad),
            kept_by_firms: amount(firms),
            shares: [people, residents, abroad, firms]
                .map(|part| Ratio { numerator: part, denominator: income }),
            output_of_machines: spread(outputs),
            income_of_owners: spread(by_owner.into_values()),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
