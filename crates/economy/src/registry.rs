//! The boundary of the economy: its units, and who owns whom.
//!
//! A party in the registry is a resident unit; every other party is the rest of the world.
//! Ownership is looked through to the beneficial owner when a unit is registered, so that each
//! later look-up is one hash access. A chain of owners is registered from the top down: an owner
//! that has an owner itself must come before what it owns. (An owner without one may come later or
//! never; in the latter case it is foreign.) This keeps every answer that was given true, and makes
//! a cycle impossible to write down.

use std::collections::{HashMap, HashSet};
use std::fmt;

use foldhash::fast::RandomState;
use money::Party;
use serde::{Deserialize, Serialize};

use crate::{EconomyError, Flow};

/// The most units that one registry holds.
pub const MAX_UNITS: usize = 1_000_000;

/// The longest name of a unit, in characters.
pub const MAX_NAME: usize = 64;

/// The five fields of a machine economy by which its accounts report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sector {
    /// Who connects machines with each other and with work: markets, discovery, messaging.
    Network,
    /// Who runs the rules: chains, tokens, escrow, lending and exchange contracts.
    Protocol,
    /// Who provides what machines run on: compute, storage, hosting, model serving, data.
    Infrastructure,
    /// Who does the work that is bought in the end: classification, writing, agents of all trades.
    Application,
    /// Who makes new models, data and knowledge.
    Research,
}

impl Sector {
    /// All sectors, in the order in which accounts list them.
    pub const ALL: [Sector; 5] = [
        Sector::Network,
        Sector::Protocol,
        Sector::Infrastructure,
        Sector::Application,
        Sector::Research,
    ];

    /// The sector's name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Sector::Network => "network",
            Sector::Protocol => "protocol",
            Sector::Infrastructure => "infrastructure",
            Sector::Application => "application",
            Sector::Research => "research",
        }
    }
}

impl fmt::Display for Sector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a unit is, which decides how its payments count (SNA 2008, chapter 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Institution {
    /// A person, who consumes, works for wages and owns machines. A person who buys as a business
    /// is registered as a firm.
    Household,
    /// A machine: it produces, and may shop on behalf of its owner. All it earns is its owner's.
    Machine {
        /// Who answers for it and has its profit.
        owner: Party,
    },
    /// A business: it produces, and never consumes.
    Firm {
        /// Who controls it, if one party does.
        owner: Option<Party>,
    },
    /// A unit that taxes, subsidises, and provides for all at no price or a token one: a state, or
    /// the treasury of a community that binds its members.
    Government,
}

impl Institution {
    /// The owner that the unit itself names, if any.
    pub const fn owner(&self) -> Option<Party> {
        match self {
            Institution::Machine { owner } => Some(*owner),
            Institution::Firm { owner } => *owner,
            Institution::Household | Institution::Government => None,
        }
    }

    /// The institution's name, as in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Institution::Household => "household",
            Institution::Machine { .. } => "machine",
            Institution::Firm { .. } => "firm",
            Institution::Government => "government",
        }
    }
}

/// A resident of the economy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its address.
    pub party: Party,
    /// What people call it: 1 to [`MAX_NAME`] characters, none of them a control character. It is
    /// what its owner wrote, so a page must escape it.
    pub name: String,
    /// What it is.
    pub institution: Institution,
    /// In which sector it produces; none for those who only consume.
    pub sector: Option<Sector>,
}

impl Unit {
    /// A person.
    pub fn household(party: Party, name: impl Into<String>) -> Unit {
        Unit { party, name: name.into(), institution: Institution::Household, sector: None }
    }

    /// A machine, its owner and its sector.
    pub fn machine(party: Party, name: impl Into<String>, owner: Party, sector: Sector) -> Unit {
        let institution = Institution::Machine { owner };
        Unit { party, name: name.into(), institution, sector: Some(sector) }
    }

    /// A firm that no single party controls, and its sector.
    pub fn firm(party: Party, name: impl Into<String>, sector: Sector) -> Unit {
        let institution = Institution::Firm { owner: None };
        Unit { party, name: name.into(), institution, sector: Some(sector) }
    }

    /// A government or a community's treasury.
    pub fn government(party: Party, name: impl Into<String>) -> Unit {
        Unit { party, name: name.into(), institution: Institution::Government, sector: None }
    }
}

/// A unit's place in its registry: an index into the folds' tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

/// Both sides of a payment, looked up once for all folds; none is the rest of the world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides {
    pub(crate) payer: Option<Place>,
    pub(crate) payee: Option<Place>,
}

/// A unit with what was found by looking through its owners.
#[derive(Debug, Clone)]
struct Resident {
    unit: Unit,
    /// The end of the chain of owners; the unit itself if it has none.
    beneficial: Party,
    /// The first party up the chain that is no machine: on whose behalf a machine shops.
    principal: Party,
}

/// What each flow asks of a resident, apart from the rest so that the whole of a large economy's
/// stays near the processor.
#[derive(Debug, Clone, Copy)]
struct Traits {
    institution: InstitutionKind,
    sector: Option<Sector>,
    /// Whether the unit acts for itself.
    own_principal: bool,
    /// Index of the beneficial owner among `Registry::owners`.
    owner: u32,
}

/// [`Institution`] without its owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstitutionKind {
    Household,
    Machine,
    Firm,
    Government,
}

impl InstitutionKind {
    const fn of(institution: &Institution) -> InstitutionKind {
        match institution {
            Institution::Household => InstitutionKind::Household,
            Institution::Machine { .. } => InstitutionKind::Machine,
            Institution::Firm { .. } => InstitutionKind::Firm,
            Institution::Government => InstitutionKind::Government,
        }
    }
}

/// The units of an economy and who owns them. Cheap look-ups; insert-only.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    residents: Vec<Resident>,
    /// Of the residents, in the same order.
    traits: Vec<Traits>,
    places: HashMap<Party, u32, RandomState>,
    /// Beneficial owners, in the order in which they were first seen.
    owners: Vec<Party>,
    owner_index: HashMap<Party, u32, RandomState>,
    /// Parties named as an owner before they were registered themselves.
    named: HashSet<Party>,
}

impl Registry {
    /// An economy without units: everyone is the rest of the world.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// Registers a unit.
    ///
    /// # Errors
    /// In this order: [`EconomyError::AlreadyRegistered`], [`EconomyError::Name`],
    /// [`EconomyError::RegistryFull`], [`EconomyError::OwnershipCycle`],
    /// [`EconomyError::OwnerAfterOwned`]. The registry is then as it was.
    pub fn insert(&mut self, unit: Unit) -> Result<(), EconomyError> {
        let party = unit.party;
        if let Some(known) = self.unit(party) {
            return Err(EconomyError::AlreadyRegistered { party, name: known.name.clone() });
        }
        if !(1..=MAX_NAME).contains(&unit.name.chars().count())
            || unit.name.chars().any(char::is_control)
        {
            return Err(EconomyError::Name { party });
        }
        if self.residents.len() >= MAX_UNITS {
            return Err(EconomyError::RegistryFull { party });
        }
        let beneficial = match unit.institution.owner() {
            None => party,
            Some(owner) => {
                let beneficial = self.beneficial_owner(owner);
                if beneficial == party {
                    return Err(EconomyError::OwnershipCycle { party, owner });
                }
                if self.named.contains(&party) {
                    return Err(EconomyError::OwnerAfterOwned { party });
                }
                if self.place(owner).is_none() {
                    self.named.insert(owner);
                }
                beneficial
            }
        };
        let principal = match unit.institution {
            Institution::Machine { owner } => self.principal(owner),
            Institution::Household | Institution::Firm { .. } | Institution::Government => party,
        };
        let owner = self.index_owner(beneficial);
        self.places.insert(party, index_of(self.residents.len()));
        self.traits.push(Traits {
            institution: InstitutionKind::of(&unit.institution),
            sector: unit.sector,
            own_principal: principal == party,
            owner,
        });
        self.residents.push(Resident { unit, beneficial, principal });
        Ok(())
    }

    /// The unit at this address, if it is a resident.
    pub fn unit(&self, party: Party) -> Option<&Unit> {
        self.place(party).map(|place| &self.residents[place.index()].unit)
    }

    /// All units, in the order of their registration.
    pub fn units(&self) -> impl ExactSizeIterator<Item = &Unit> {
        self.residents.iter().map(|resident| &resident.unit)
    }

    /// How many units there are.
    pub fn len(&self) -> usize {
        self.residents.len()
    }

    /// Whether everyone is the rest of the world.
    pub fn is_empty(&self) -> bool {
        self.residents.is_empty()
    }

    /// Who owns this party in the end: the last in its chain of owners, or the party itself.
    pub fn beneficial_owner(&self, party: Party) -> Party {
        self.place(party).map_or(party, |place| self.residents[place.index()].beneficial)
    }

    /// On whose behalf this party acts: for a machine the first up its chain of owners that is no
    /// machine, else the party itself. The principal of a resident machine may be foreign.
    pub fn principal(&self, party: Party) -> Party {
        self.place(party).map_or(party, |place| self.residents[place.index()].principal)
    }

    /// Whether a payment between the two stays with one beneficial owner.
    pub fn same_owner(&self, one: Party, other: Party) -> bool {
        self.beneficial_owner(one) == self.beneficial_owner(other)
    }

    /// Who pays and who is paid, as far as they are residents.
    #[inline]
    pub(crate) fn sides(&self, flow: &Flow) -> Sides {
        Sides { payer: self.place(flow.payer), payee: self.place(flow.payee) }
    }

    /// [`Registry::same_owner`] of a payment whose sides are known.
    #[inline]
    pub(crate) fn within_owner(&self, flow: &Flow, sides: Sides) -> bool {
        let owner = |place: Place| self.traits[place.index()].owner;
        match (sides.payer, sides.payee) {
            (Some(payer), Some(payee)) => owner(payer) == owner(payee),
            (Some(payer), None) => self.owners[owner(payer) as usize] == flow.payee,
            (None, Some(payee)) => self.owners[owner(payee) as usize] == flow.payer,
            (None, None) => flow.payer == flow.payee,
        }
    }

    /// What the party is on whose behalf a resident acts; none if that party is foreign.
    pub(crate) fn principal_institution(&self, place: Place) -> Option<InstitutionKind> {
        if self.traits[place.index()].own_principal {
            return Some(self.institution(place));
        }
        let principal = self.residents[place.index()].principal;
        self.place(principal).map(|place| self.institution(place))
    }

    #[inline]
    pub(crate) fn place(&self, party: Party) -> Option<Place> {
        self.places.get(&party).copied().map(Place)
    }

    #[inline]
    pub(crate) fn institution(&self, place: Place) -> InstitutionKind {
        self.traits[place.index()].institution
    }

    #[inline]
    pub(crate) fn sector(&self, place: Place) -> Option<Sector> {
        self.traits[place.index()].sector
    }

    /// The unit of this index in the order of registration.
    pub(crate) fn party_at(&self, index: usize) -> Party {
        self.residents[index].unit.party
    }

    /// Index of the unit's beneficial owner in [`Registry::owners`].
    #[inline]
    pub(crate) fn owner_of(&self, place: Place) -> usize {
        self.traits[place.index()].owner as usize
    }

    pub(crate) fn owners(&self) -> &[Party] {
        &self.owners
    }

    fn index_owner(&mut self, owner: Party) -> u32 {
        let next = index_of(self.owners.len());
        let index = *self.owner_index.entry(owner).or_insert(next);
        if index == next {
            self.owners.push(owner);
        }
        index
    }
}

/// Lengths here are bounded by [`MAX_UNITS`] (an owner is indexed only with a unit of its own).
fn index_of(length: usize) -> u32 {
    u32::try_from(length).expect("a registry holds at most a million units")
}
