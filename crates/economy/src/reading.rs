//! How one payment counts: the rule book of the accounts.
//!
//! A payment carries the kind that was declared at its source. The rules here read it together
//! with who pays and who is paid (SNA 2008 with the 2025 revision; sources in `docs/accounts.md`).
//! Where kind and institutions contradict each other, and the system of national accounts says what
//! such a payment is, it is *restated*: counted as that, and marked so. No declaration, however
//! wrong or hostile, can stop the accounts or break their identity; at worst it is restated.
//!
//! Rules, first match wins:
//!
//! 1. A memo is no payment.
//! 2. Neither side resident: outside.
//! 3. Transfer, financial, interest: not production. (The service inside interest, FISIM, is not
//!    yet measured.)
//! 4. Both sides of one beneficial owner: within an owner, whatever its kind.
//! 5. Tax: from a resident machine or firm to a resident government. Any other is a transfer.
//! 6. Subsidy: from a resident government to a resident machine or firm. Any other (liquidity
//!    mining, an app's incentives) is a transfer.
//! 7. Wage: to a person, or to someone abroad. A "wage" to a machine, a firm or a government buys
//!    its services. A wage from abroad is income, not production here.
//! 8. Purchases, by who buys: [`Counted::Export`] from abroad; final kinds by the buyer's
//!    principal, so that a shopping machine buys for its owner; else by the paying unit itself.
//!    Persons only consume, firms never do, governments only provide for all.

use std::fmt;

use ledger::Kind;
use money::Party;
use serde::{Deserialize, Serialize};

use crate::registry::{InstitutionKind, Place, Sides};
use crate::{EconomyError, Flow, Institution, Registry};

/// For what a buyer buys, as its mandate declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// For the person, or whoever stands behind the machine, to use.
    Household,
    /// To be used up in the buyer's own production.
    Production,
}

/// What a payment counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Used up in production by a resident machine or firm.
    Intermediate,
    /// Consumed by resident persons (C).
    FinalHousehold,
    /// Bought by a government, on behalf of all (G).
    FinalCollective,
    /// Used in production for more than a year (I).
    CapitalFormation,
    /// Bought from abroad (X).
    Export,
    /// Human labour, paid by a resident.
    Wage,
    /// Tax on products, paid by a resident producer.
    Tax,
    /// Subsidy on products, received by a resident producer.
    Subsidy,
    /// A transfer, interest, an exchange of financial assets, or income from abroad: a payment,
    /// but not for anything produced here.
    NotProduction,
    /// Between two parties of one beneficial owner.
    WithinOwner,
    /// Neither side is resident.
    Outside,
    /// Not a payment at all.
    Memo,
}

impl Counted {
    /// All of them, in the order of their declaration.
    pub const ALL: [Counted; 12] = [
        Counted::Intermediate,
        Counted::FinalHousehold,
        Counted::FinalCollective,
        Counted::CapitalFormation,
        Counted::Export,
        Counted::Wage,
        Counted::Tax,
        Counted::Subsidy,
        Counted::NotProduction,
        Counted::WithinOwner,
        Counted::Outside,
        Counted::Memo,
    ];

    /// Its place in [`Counted::ALL`].
    #[inline]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// Whether it is a final use: what GDP by expenditure adds up.
    #[inline]
    pub const fn is_final_use(self) -> bool {
        match self {
            Counted::FinalHousehold
            | Counted::FinalCollective
            | Counted::CapitalFormation
            | Counted::Export => true,
            Counted::Intermediate
            | Counted::Wage
            | Counted::Tax
            | Counted::Subsidy
            | Counted::NotProduction
            | Counted::WithinOwner
            | Counted::Outside
            | Counted::Memo => false,
        }
    }

    /// What a person reads beside a payment.
    pub const fn as_str(self) -> &'static str {
        match self {
            Counted::Intermediate => "intermediate consumption",
            Counted::FinalHousehold => "household consumption",
            Counted::FinalCollective => "collective consumption",
            Counted::CapitalFormation => "capital formation",
            Counted::Export => "export",
            Counted::Wage => "wage",
            Counted::Tax => "tax on products",
            Counted::Subsidy => "subsidy on products",
            Counted::NotProduction => "not production",
            Counted::WithinOwner => "within one owner",
            Counted::Outside => "outside the economy",
            Counted::Memo => "memo",
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one payment counts, and whether that is what it said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// The kind it was declared with.
    pub declared: Kind,
    /// What it counts as.
    pub counted: Counted,
    /// Whether what was bought came from abroad (M).
    pub import: bool,
    /// Whether it counts as something else than it was declared, by the rules above. Looking
    /// through to the boundary or the owner is no restatement.
    pub restated: bool,
}

/// A payment as the folds see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Goods or services for money. No seller: it came from abroad.
    Sale { seller: Option<Producer>, buyer: Use },
    /// Human labour for money.
    Labour { employer: Place, output: LabourOutput },
    /// From this producer to a government.
    Tax { payer: Place },
    /// From a government to this producer.
    Subsidy { payee: Place },
    /// Moves no measure of GDP.
    Neutral(Counted),
}

/// A resident seller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Producer {
    /// Sells at market prices: a person, a machine, a firm.
    Market(Place),
    /// A government; what it sells was valued at its cost already.
    Government(Place),
}

/// What becomes of what was sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Intermediate(Place),
    Household,
    Collective,
    Capital,
    Export,
}

/// What the employer's product is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LabourOutput {
    /// It is sold; the wage is a share of it.
    Sold,
    /// Services at home for the household that employs: output is the wage, and consumed there.
    Domestic,
    /// Services for all, at no price: output is the wage, and consumed collectively.
    Collective,
}

impl Registry {
    /// How this flow counts, and why that may differ from what it declares.
    ///
    /// # Errors
    /// [`EconomyError::NotPositive`]. (The asset does not matter here.)
    pub fn read(&self, flow: &Flow) -> Result<Reading, EconomyError> {
        if !flow.amount.is_positive() {
            let Flow { reference, amount, .. } = *flow;
            return Err(EconomyError::NotPositive { reference, amount });
        }
        Ok(Reading::of(flow.kind, act(self, flow)))
    }

    /// The kind to declare for a purchase, from who buys from whom and for what. A payment
    /// declared so is never restated.
    ///
    /// A machine that buys from a person for its production pays a wage.
    pub fn kind_of_purchase(&self, payer: Party, payee: Party, purpose: Purpose) -> Kind {
        let institution = |party| self.unit(party).map(|unit| unit.institution);
        let buyer = match purpose {
            Purpose::Household => institution(self.principal(payer)),
            Purpose::Production => institution(payer),
        };
        match (purpose, buyer) {
            (_, Some(Institution::Household)) => Kind::FinalHousehold,
            (_, Some(Institution::Government)) => Kind::FinalCollective,
            (Purpose::Household, Some(Institution::Firm { .. })) => Kind::Intermediate,
            (Purpose::Household, Some(Institution::Machine { .. }) | None) => Kind::FinalHousehold,
            (Purpose::Production, Some(Institution::Machine { .. } | Institution::Firm { .. })) => {
                match institution(payee) {
                    Some(Institution::Household) => Kind::Wage,
                    _ => Kind::Intermediate,
                }
            }
            (Purpose::Production, None) => Kind::Intermediate,
        }
    }
}

impl Reading {
    #[inline]
    pub(crate) fn of(declared: Kind, act: Act) -> Reading {
        let (counted, import) = match act {
            Act::Sale { seller, buyer } => (buyer.counted(), seller.is_none()),
            Act::Labour { .. } => (Counted::Wage, false),
            Act::Tax { .. } => (Counted::Tax, false),
            Act::Subsidy { .. } => (Counted::Subsidy, false),
            Act::Neutral(counted) => (counted, false),
        };
        Reading { declared, counted, import, restated: is_restated(declared, counted) }
    }
}

impl Use {
    const fn counted(self) -> Counted {
        match self {
            Use::Intermediate(_) => Counted::Intermediate,
            Use::Household => Counted::FinalHousehold,
            Use::Collective => Counted::FinalCollective,
            Use::Capital => Counted::CapitalFormation,
            Use::Export => Counted::Export,
        }
    }
}

/// Whether `kind` buys goods or services.
#[inline]
pub(crate) const fn is_purchase(kind: Kind) -> bool {
    match kind {
        Kind::Intermediate
        | Kind::FinalHousehold
        | Kind::FinalCollective
        | Kind::CapitalFormation => true,
        Kind::Wage
        | Kind::Tax
        | Kind::Subsidy
        | Kind::Interest
        | Kind::Transfer
        | Kind::Financial
        | Kind::Memo => false,
    }
}

#[inline]
const fn is_restated(declared: Kind, counted: Counted) -> bool {
    match counted {
        Counted::Intermediate => !matches!(declared, Kind::Intermediate),
        Counted::FinalHousehold => !matches!(declared, Kind::FinalHousehold),
        Counted::FinalCollective => !matches!(declared, Kind::FinalCollective),
        Counted::CapitalFormation => !matches!(declared, Kind::CapitalFormation),
        Counted::Export => !is_purchase(declared),
        Counted::NotProduction => matches!(declared, Kind::Tax | Kind::Subsidy),
        Counted::Wage
        | Counted::Tax
        | Counted::Subsidy
        | Counted::WithinOwner
        | Counted::Outside
        | Counted::Memo => false,
    }
}

/// The rules of the module's head, in their order.
pub(crate) fn act(registry: &Registry, flow: &Flow) -> Act {
    act_between(registry, flow, flow.kind, registry.sides(flow))
}

/// The same of this kind, declared or not, where the sides are known already.
pub(crate) fn act_between(registry: &Registry, flow: &Flow, kind: Kind, sides: Sides) -> Act {
    if kind == Kind::Memo {
        return Act::Neutral(Counted::Memo);
    }
    let Sides { payer, payee } = sides;
    if payer.is_none() && payee.is_none() {
        return Act::Neutral(Counted::Outside);
    }
    if matches!(kind, Kind::Transfer | Kind::Financial | Kind::Interest) {
        return Act::Neutral(Counted::NotProduction);
    }
    if registry.within_owner(flow, sides) {
        return Act::Neutral(Counted::WithinOwner);
    }
    match kind {
        Kind::Tax => match (enterprise(registry, payer), government(registry, payee)) {
            (Some(payer), true) => Act::Tax { payer },
            _ => Act::Neutral(Counted::NotProduction),
        },
        Kind::Subsidy => match (government(registry, payer), enterprise(registry, payee)) {
            (true, Some(payee)) => Act::Subsidy { payee },
            _ => Act::Neutral(Counted::NotProduction),
        },
        Kind::Wage => wage(registry, payer, payee),
        Kind::FinalHousehold | Kind::FinalCollective => match payer {
            None => sale(registry, payee, Use::Export),
            Some(place) => final_purchase(registry, place, payee),
        },
        Kind::Intermediate => sale(registry, payee, own_use(registry, payer)),
        Kind::CapitalFormation => sale(registry, payee, capital_use(registry, payer)),
        Kind::Transfer | Kind::Financial | Kind::Interest | Kind::Memo => {
            unreachable!("decided above")
        }
    }
}

fn wage(registry: &Registry, payer: Option<Place>, payee: Option<Place>) -> Act {
    let to_person =
        payee.is_none_or(|place| matches!(registry.institution(place), InstitutionKind::Household));
    if !to_person {
        return sale(registry, payee, own_use(registry, payer));
    }
    let Some(employer) = payer else {
        return Act::Neutral(Counted::NotProduction);
    };
    let output = match registry.institution(employer) {
        InstitutionKind::Machine | InstitutionKind::Firm => LabourOutput::Sold,
        InstitutionKind::Household => LabourOutput::Domestic,
        InstitutionKind::Government => LabourOutput::Collective,
    };
    Act::Labour { employer, output }
}

/// What the paying unit itself uses up.
fn own_use(registry: &Registry, payer: Option<Place>) -> Use {
    let Some(place) = payer else { return Use::Export };
    match registry.institution(place) {
        InstitutionKind::Household => Use::Household,
        InstitutionKind::Machine | InstitutionKind::Firm => Use::Intermediate(place),
        InstitutionKind::Government => Use::Collective,
    }
}

/// What the paying unit itself keeps. A person's durable goods are consumption.
fn capital_use(registry: &Registry, payer: Option<Place>) -> Use {
    let Some(place) = payer else { return Use::Export };
    match registry.institution(place) {
        InstitutionKind::Household => Use::Household,
        InstitutionKind::Machine | InstitutionKind::Firm | InstitutionKind::Government => {
            Use::Capital
        }
    }
}

/// What is consumed by whoever stands behind the resident `payer`.
fn final_purchase(registry: &Registry, place: Place, payee: Option<Place>) -> Act {
    let buyer = match registry.principal_institution(place) {
        Some(InstitutionKind::Household) => Use::Household,
        Some(InstitutionKind::Government) => Use::Collective,
        Some(InstitutionKind::Firm | InstitutionKind::Machine) => Use::Intermediate(place),
        // A resident machine that shops for someone abroad.
        None => Use::Export,
    };
    sale(registry, payee, buyer)
}

fn sale(registry: &Registry, payee: Option<Place>, buyer: Use) -> Act {
    let seller = payee.map(|place| match registry.institution(place) {
        InstitutionKind::Government => Producer::Government(place),
        InstitutionKind::Household | InstitutionKind::Machine | InstitutionKind::Firm => {
            Producer::Market(place)
        }
    });
    if seller.is_none() && buyer == Use::Export {
        return Act::Neutral(Counted::Outside);
    }
    Act::Sale { seller, buyer }
}

fn enterprise(registry: &Registry, place: Option<Place>) -> Option<Place> {
    place.filter(|place| {
        matches!(registry.institution(*place), InstitutionKind::Machine | InstitutionKind::Firm)
    })
}

fn government(registry: &Registry, place: Option<Place>) -> bool {
    place.is_some_and(|place| matches!(registry.institution(place), InstitutionKind::Government))
}
