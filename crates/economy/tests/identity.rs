//! Invariant 8 over random economies: three folds, one GDP; self-dealing does not move it; a new
//! entry and a recomputation agree; a plain model agrees with all of them.

use std::collections::BTreeSet;

mod random;

use economy::{
    Accounts, AccountsBuilder, Counted, Flow, Institution, Kind, Purpose, Reference, Registry,
    Series, Span,
};
use money::{Amount, Timestamp};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use random::{MUSD, PARTIES, flows, party, registries};

fn compile(registry: &Registry, flows: &[Flow]) -> Accounts {
    Accounts::compile(registry, MUSD, Amount::from_minor(MUSD, 1_000), flows)
        .expect("every typed payment counts somehow")
}

/// GDP by the bluntest definition there is: what residents sold and provided, less what they used
/// up to do so. One pass, one number, from public readings alone.
fn model_gdp(registry: &Registry, flows: &[Flow]) -> i128 {
    let is_government = |party| {
        registry.unit(party).is_some_and(|unit| unit.institution == Institution::Government)
    };
    let is_enterprise = |party| {
        registry.unit(party).is_some_and(|unit| {
            matches!(unit.institution, Institution::Machine { .. } | Institution::Firm { .. })
        })
    };
    let mut gdp = 0;
    for flow in flows {
        let reading = registry.read(flow).expect("amounts are positive");
        let amount = flow.amount.minor();
        match reading.counted {
            Counted::Intermediate
            | Counted::FinalHousehold
            | Counted::FinalCollective
            | Counted::CapitalFormation
            | Counted::Export => {
                if !reading.import && !is_government(flow.payee) {
                    gdp += amount;
                }
                if reading.counted == Counted::Intermediate {
                    gdp -= amount;
                }
            }
            Counted::Wage if !is_enterprise(flow.payer) => gdp += amount,
            _ => {}
        }
    }
    gdp
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_three_measures_are_equal_to_the_unit(registry in registries(), flows in flows()) {
        let accounts = compile(&registry, &flows);
        prop_assert_eq!(accounts.gdp_production, accounts.gdp_expenditure);
        prop_assert_eq!(accounts.gdp_production, accounts.gdp_income);
        prop_assert_eq!(accounts.gdp_production.minor(), model_gdp(&registry, &flows));
    }

    #[test]
    fn the_tables_add_up_to_the_headlines(registry in registries(), flows in flows()) {
        let a = compile(&registry, &flows);
        let minor = |amount: Amount| amount.minor();
        prop_assert_eq!(
            minor(a.gdp_production), minor(a.value_added) + minor(a.taxes) - minor(a.subsidies)
        );
        prop_assert_eq!(minor(a.value_added), minor(a.output) - minor(a.intermediate_consumption));
        prop_assert_eq!(
            minor(a.gdp_expenditure),
            minor(a.final_household) + minor(a.final_collective) + minor(a.capital_formation)
                + minor(a.exports) - minor(a.imports)
        );
        prop_assert_eq!(
            minor(a.gdp_income),
            minor(a.wages) + minor(a.operating_surplus) + minor(a.taxes) - minor(a.subsidies)
        );
        let units: i128 = a.units.iter().map(|unit| minor(unit.value_added)).sum();
        let sectors: i128 = a.sectors.iter().map(|sector| minor(sector.value_added)).sum();
        let owners: i128 = a.owners.iter().map(|owner| minor(owner.operating_surplus)).sum();
        prop_assert_eq!(units, minor(a.value_added));
        prop_assert_eq!(sectors, minor(a.value_added));
        prop_assert_eq!(owners, minor(a.operating_surplus));
        prop_assert!(minor(a.within_owner) <= minor(a.turnover));
        prop_assert!(minor(a.turnover) <= flows.iter().map(|flow| minor(flow.amount)).sum());
    }

    /// An adversary adds any payments at all among the units of one owner, and to itself.
    #[test]
    fn self_dealing_moves_no_figure_of_gdp(
        registry in registries(), honest in flows(), adversary in flows()
    ) {
        let mut washed = honest.clone();
        washed.extend(adversary.into_iter().map(|mut flow| {
            if !registry.same_owner(flow.payer, flow.payee) {
                flow.payee = flow.payer;
            }
            flow
        }));
        let (plain, washed) = (compile(&registry, &honest), compile(&registry, &washed));
        prop_assert_eq!(plain.gdp_production, washed.gdp_production);
        prop_assert_eq!(plain.final_household, washed.final_household);
        prop_assert_eq!(plain.operating_surplus, washed.operating_surplus);
        prop_assert_eq!(plain.wages, washed.wages);
        prop_assert_eq!(plain.units, washed.units);
        prop_assert_eq!(plain.trades, washed.trades);
    }

    /// Two owners, or twenty, pass the same money around as subcontracts: it comes back, or it
    /// stays with the last; GDP does not see it.
    #[test]
    fn circular_subcontracting_and_subsidies_move_no_gdp(
        registry in registries(), honest in flows(), loops in flows()
    ) {
        let enterprise = |party| registry.unit(party).is_some_and(|unit| {
            matches!(unit.institution, Institution::Machine { .. } | Institution::Firm { .. })
        });
        let mut more = honest.clone();
        for mut flow in loops {
            flow.kind = match flow.kind {
                Kind::Subsidy | Kind::Tax | Kind::Transfer | Kind::Financial => flow.kind,
                _ => Kind::Intermediate,
            };
            if flow.kind != Kind::Intermediate || enterprise(flow.payer) && enterprise(flow.payee) {
                more.push(flow);
            }
        }
        prop_assert_eq!(
            compile(&registry, &honest).gdp_income, compile(&registry, &more).gdp_income
        );
    }

    #[test]
    fn growing_by_a_flow_and_recomputing_agree(registry in registries(), flows in flows()) {
        let stock = Amount::from_minor(MUSD, 1_000);
        let mut builder = AccountsBuilder::new(&registry, MUSD);
        for (index, flow) in flows.iter().enumerate() {
            let reading = builder.add(flow).expect("every typed payment counts somehow");
            prop_assert_eq!(reading, registry.read(flow).expect("amounts are positive"));
            if index % 16 == 0 {
                let now = builder.accounts(stock).expect("the measures agree");
                prop_assert_eq!(now, compile(&registry, &flows[..=index]));
            }
        }
        let mut reversed = flows.clone();
        reversed.reverse();
        prop_assert_eq!(compile(&registry, &flows), compile(&registry, &reversed));
    }

    #[test]
    fn buckets_add_up_to_the_accounts_of_their_span(
        registry in registries(), flows in flows(),
        from in 0..500u64, length in 1..600u64, width_ms in 1..700u64
    ) {
        let (start, end) = (Timestamp::from_millis(from), Timestamp::from_millis(from + length));
        let span = Span { from: start, to: end, width_ms };
        let buckets = Series::compile(&registry, MUSD, span, &flows).expect("the span is sound");
        let within: Vec<Flow> =
            flows.into_iter().filter(|flow| start <= flow.at && flow.at < end).collect();
        let accounts = compile(&registry, &within);
        let gdp: i128 = buckets.iter().map(|bucket| bucket.gdp.minor()).sum();
        let turnover: i128 = buckets.iter().map(|bucket| bucket.turnover.minor()).sum();
        let trades: u64 = buckets.iter().map(|bucket| bucket.trades).sum();
        prop_assert_eq!(gdp, accounts.gdp_expenditure.minor());
        prop_assert_eq!(turnover, accounts.turnover.minor());
        prop_assert_eq!(trades, accounts.trades);
        prop_assert_eq!(buckets[0].from, start);
        prop_assert_eq!(buckets[buckets.len() - 1].to, end);
        prop_assert!(buckets.windows(2).all(|pair| pair[0].to == pair[1].from));
    }

    #[test]
    fn a_purchase_typed_by_its_mandate_is_never_restated(
        registry in registries(), payer in 0..PARTIES, payee in 0..PARTIES, household in any::<bool>()
    ) {
        let purpose = if household { Purpose::Household } else { Purpose::Production };
        let flow = Flow {
            payer: party(payer),
            payee: party(payee),
            amount: Amount::from_minor(MUSD, 1),
            kind: registry.kind_of_purchase(party(payer), party(payee), purpose),
            at: Timestamp::from_millis(0),
            reference: Reference::derive("identity", &[]),
        };
        let reading = registry.read(&flow).expect("amounts are positive");
        prop_assert!(!reading.restated, "{:?}", reading);
    }

    #[test]
    fn owners_are_found_and_never_go_in_circles(registry in registries()) {
        for unit in registry.units() {
            let mut end = unit.party;
            let mut steps = 0;
            while let Some(owner) = registry.unit(end).and_then(|unit| unit.institution.owner()) {
                end = owner;
                steps += 1;
                prop_assert!(steps <= registry.len(), "a cycle");
            }
            prop_assert_eq!(registry.beneficial_owner(unit.party), end);
        }
    }
}

/// Tests the tests: economies drawn here reach every way in which a payment can count.
#[test]
fn random_economies_leave_no_rule_out() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    let (mut imports, mut restated, mut chains) = (0, 0, 0);
    for _ in 0..200 {
        let registry = registries().new_tree(&mut runner).expect("a registry").current();
        for flow in flows().new_tree(&mut runner).expect("flows").current() {
            let reading = registry.read(&flow).expect("amounts are positive");
            seen.insert(reading.counted);
            imports += usize::from(reading.import);
            restated += usize::from(reading.restated);
        }
        chains += registry
            .units()
            .filter_map(|unit| unit.institution.owner())
            .filter(|owner| registry.beneficial_owner(*owner) != *owner)
            .count();
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
    assert!(imports > 100 && restated > 100 && chains > 100, "{imports} {restated} {chains}");
}
