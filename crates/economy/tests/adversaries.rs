//! People who want GDP to look larger than it is, and what they can do.

mod random;

use economy::{
    Accounts, Counted, Flow, Institution, Kind, Network, Reference, Registry, Sector, Span, Unit,
};
use money::{Amount, Timestamp};
use proptest::prelude::*;
use random::{MUSD, PARTIES, flows, party, registries};

fn gdp(registry: &Registry, flows: &[Flow]) -> i128 {
    Accounts::compile(registry, MUSD, Amount::zero(MUSD), flows)
        .expect("every flow counts")
        .gdp_production
        .minor()
}

fn is_enterprise(registry: &Registry, n: u8) -> bool {
    registry.unit(party(n)).is_some_and(|unit| {
        matches!(unit.institution, Institution::Machine { .. } | Institution::Firm { .. })
    })
}

fn flow(payer: u8, payee: u8, minor: i128, kind: Kind) -> Flow {
    Flow {
        payer: party(payer),
        payee: party(payee),
        amount: Amount::from_minor(MUSD, minor),
        kind,
        at: Timestamp::from_millis(5),
        reference: Reference::derive("adversary", &[&[payer, payee], &minor.to_be_bytes()]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// A ring of any owners' machines and firms hires each other, round and round, as deep as they like.
    #[test]
    fn a_ring_of_owners_that_hire_each_other_adds_nothing(
        registry in registries(), honest in flows(),
        ring in prop::collection::vec(0..PARTIES, 2..9), rounds in 1..5usize, minor in 1..1_000_000i128
    ) {
        let ring: Vec<u8> = ring.into_iter().filter(|n| is_enterprise(&registry, *n)).collect();
        let mut flows = honest.clone();
        for _ in 0..rounds {
            for (index, payer) in ring.iter().enumerate() {
                let payee = ring[(index + 1) % ring.len()];
                flows.push(flow(*payer, payee, minor, Kind::Intermediate));
            }
        }
        prop_assert_eq!(gdp(&registry, &honest), gdp(&registry, &flows));
    }

    /// A seller pays its customers back (rebates, incentives, airdrops, liquidity mining): whatever
    /// it calls that, what was bought stays what it was, and the gift adds nothing.
    #[test]
    fn gifts_subsidies_and_airdrops_add_nothing(
        registry in registries(), honest in flows(), gifts in flows(),
        called in prop::sample::select(&[Kind::Transfer, Kind::Financial, Kind::Interest, Kind::Subsidy][..])
    ) {
        let mut flows = honest.clone();
        flows.extend(gifts.into_iter().map(|gift| Flow { kind: called, ..gift }));
        prop_assert_eq!(gdp(&registry, &honest), gdp(&registry, &flows));
    }

    /// An owner pays itself in every way there is, through any of its units.
    #[test]
    fn one_owner_alone_adds_nothing_whatever_it_declares(
        registry in registries(), honest in flows(), own in flows()
    ) {
        let own: Vec<Flow> =
            own.into_iter().filter(|flow| registry.same_owner(flow.payer, flow.payee)).collect();
        let mut flows = honest.clone();
        flows.extend(own.iter().copied());
        prop_assert_eq!(gdp(&registry, &honest), gdp(&registry, &flows));
    }

    /// Two people who buy from each other do add to GDP, for nobody can tell it from honest trade.
    /// But what they add is no more than they really pay, and what comes back is shown.
    #[test]
    fn what_two_colluders_add_is_shown_as_paid_to_and_fro(
        there in 1..1_000_000i128, back in 1..1_000_000i128, times in 1..20usize
    ) {
        let mut registry = Registry::new();
        registry.insert(Unit::household(party(1), "Ada")).unwrap();
        registry.insert(Unit::household(party(2), "Grace")).unwrap();
        let mut flows = Vec::new();
        for _ in 0..times {
            flows.push(flow(1, 2, there, Kind::FinalHousehold));
            flows.push(flow(2, 1, back, Kind::FinalHousehold));
        }
        let (from, to) = (Timestamp::from_millis(0), Timestamp::from_millis(10));
        let mut network =
            Network::new(&registry, MUSD, Span { from, to, width_ms: 10 }).unwrap();
        for flow in &flows {
            network.add(flow).unwrap();
        }
        let turns = times as i128;
        prop_assert_eq!(gdp(&registry, &flows), turns * (there + back));
        prop_assert_eq!(network.reciprocal().minor(), 2 * turns * there.min(back));
    }

    /// Whoever is not of this economy can make nothing here look produced, except by paying for it.
    #[test]
    fn strangers_move_gdp_by_what_they_buy_and_by_nothing_else(
        registry in registries(), honest in flows(), more in flows()
    ) {
        let strangers: Vec<Flow> = more
            .into_iter()
            .filter(|flow| registry.unit(flow.payer).is_none())
            .collect();
        let sold: i128 = strangers
            .iter()
            .filter(|flow| registry.read(flow).unwrap().counted == Counted::Export)
            .filter(|flow| {
                let seller = registry.unit(flow.payee).map(|unit| unit.institution);
                seller != Some(Institution::Government)
            })
            .map(|flow| flow.amount.minor())
            .sum();
        let mut flows = honest.clone();
        flows.extend(strangers.iter().copied());
        prop_assert_eq!(gdp(&registry, &flows) - gdp(&registry, &honest), sold);
    }
}

/// Ada's shopper is paid by a stranger to buy from Ada's other machine, so that the owner would seem
/// two: the books of the registry know better.
#[test]
fn a_detour_over_ones_own_machines_is_still_one_owner() {
    let mut registry = Registry::new();
    for unit in [
        Unit::household(party(1), "Ada"),
        Unit::machine(party(2), "shopper", party(1), Sector::Application),
        Unit::machine(party(3), "vision", party(2), Sector::Application),
    ] {
        registry.insert(unit).unwrap();
    }
    let detour = [
        flow(99, 2, 500, Kind::Transfer),
        flow(2, 3, 500, Kind::FinalHousehold),
        flow(3, 1, 500, Kind::Wage),
        flow(1, 99, 500, Kind::Transfer),
    ];
    assert_eq!(gdp(&registry, &detour), 0);
}

/// A payment cannot be without a kind, or of one that nobody knows: there is no such value, and a
/// journal that says otherwise is refused where it is read.
#[test]
fn an_entry_without_a_kind_cannot_be_said() {
    for word in ["", "none", "Intermediate", "final household", "\u{0}"] {
        let refused = word.parse::<Kind>().unwrap_err().to_string();
        assert!(refused.contains("it is one of: intermediate, final_household"), "{refused}");
    }
}
