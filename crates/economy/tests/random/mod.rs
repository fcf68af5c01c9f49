//! Random economies: units that own each other, and payments of every kind between anyone.

use economy::{Flow, Institution, Kind, Reference, Registry, Sector, Unit};
use money::{Amount, Asset, Party, Timestamp};
use proptest::prelude::*;

pub const MUSD: Asset = Asset::MUSD;

/// Addresses 0..RESIDENTS may be units; those up to `PARTIES` are the rest of the world.
pub const RESIDENTS: u8 = 14;
pub const PARTIES: u8 = 18;

pub const KINDS: [Kind; 11] = [
    Kind::Intermediate,
    Kind::FinalHousehold,
    Kind::FinalCollective,
    Kind::CapitalFormation,
    Kind::Wage,
    Kind::Tax,
    Kind::Subsidy,
    Kind::Interest,
    Kind::Transfer,
    Kind::Financial,
    Kind::Memo,
];

pub fn party(n: u8) -> Party {
    Party::new([n; 20])
}

/// Units in random institutions and sectors; owners may be anyone, abroad included, but half of
/// them are among those registered before, so that chains of owners are common. Whoever cannot be
/// registered so (a cycle, an owner after what it owns) stays abroad.
pub fn registries() -> impl Strategy<Value = Registry> {
    let owner = (0..PARTIES, any::<bool>());
    let unit = (0..4u8, owner, any::<bool>(), prop::option::of(0..5usize));
    prop::collection::vec(unit, usize::from(RESIDENTS)).prop_map(|units| {
        let mut registry = Registry::new();
        for (n, (institution, (owner, known), owned, sector)) in (0..).zip(units) {
            let owner = party(if known && n > 0 { owner % n } else { owner });
            let institution = match institution {
                0 => Institution::Household,
                1 => Institution::Machine { owner },
                2 => Institution::Firm { owner: owned.then_some(owner) },
                _ => Institution::Government,
            };
            let sector = sector.map(|index| Sector::ALL[index]);
            let _refused =
                registry.insert(Unit { party: party(n), name: n.to_string(), institution, sector });
        }
        registry
    })
}

pub fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let amount = prop_oneof![1..10i128, 1..1_000_000_000_000_000_000i128];
    let flow = (0..PARTIES, 0..PARTIES, amount, prop::sample::select(&KINDS[..]), 0..1_000u64);
    prop::collection::vec(flow, 0..120).prop_map(|flows| {
        let number = |(index, (payer, payee, minor, kind, at)): (u64, _)| Flow {
            payer: party(payer),
            payee: party(payee),
            amount: Amount::from_minor(MUSD, minor),
            kind,
            at: Timestamp::from_millis(at),
            reference: Reference::derive("identity", &[&index.to_be_bytes()]),
        };
        (0..).zip(flows).map(number).collect()
    })
}
