//! Who uses whose product, who works and who hires whom: worked examples, and what must hold of
//! every economy.

mod random;

use std::time::Duration;

use economy::{
    Accounts, AccountsBuilder, EconomyError, Effort, EmploymentBuilder, Flow, Group, Grouping,
    InputOutput, Institution, Kind, MAX_GROUPS, Network, Reference, Registry, Sector, Span, Unit,
};
use money::{Amount, Timestamp};
use proptest::prelude::*;
use random::{KINDS, MUSD, flows, party, registries};

fn flow(payer: u8, payee: u8, amount: i128, kind: Kind) -> Flow {
    Flow {
        payer: party(payer),
        payee: party(payee),
        amount: Amount::from_minor(MUSD, amount),
        kind,
        at: Timestamp::from_millis(1_000),
        reference: Reference::derive("structure", &[&[payer, payee], &amount.to_be_bytes()]),
    }
}

fn registry(units: impl IntoIterator<Item = Unit>) -> Registry {
    let mut registry = Registry::new();
    for unit in units {
        registry.insert(unit).expect("units of these examples are sound");
    }
    registry
}

fn minor(amounts: &[Amount]) -> Vec<i128> {
    amounts.iter().map(Amount::minor).collect()
}

fn accounts(registry: &Registry, flows: &[Flow]) -> Accounts {
    Accounts::compile(registry, MUSD, Amount::zero(MUSD), flows).expect("every flow counts")
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.000_5 * expected.abs().max(1.0), "{found} {expected}");
}

/// Miller and Blair, *Input–Output Analysis*, 2nd edition, §2.3: two sectors, their table, their
/// inverse, and what they must make for another final use.
#[test]
fn the_textbooks_two_sectors_have_the_textbooks_inverse() {
    let (buyer, first, second) = (1, 2, 3);
    let registry = registry([
        Unit::household(party(buyer), "everyone"),
        Unit::firm(party(first), "first", Sector::Infrastructure),
        Unit::firm(party(second), "second", Sector::Application),
        // Firms of their own, so that what a sector uses of itself is a payment between owners.
        Unit::firm(party(4), "first's other half", Sector::Infrastructure),
        Unit::firm(party(5), "second's other half", Sector::Application),
    ]);
    let flows = [
        flow(4, first, 150, Kind::Intermediate),
        flow(second, first, 500, Kind::Intermediate),
        flow(buyer, first, 350, Kind::FinalHousehold),
        flow(first, second, 200, Kind::Intermediate),
        flow(5, second, 100, Kind::Intermediate),
        flow(buyer, second, 1_700, Kind::FinalHousehold),
    ];
    let table = InputOutput::compile(&registry, MUSD, Grouping::Sectors, &flows).unwrap();
    let at = |sector| table.groups.iter().position(|g| *g == Group::Sector(sector)).unwrap();
    let (i, j) = (at(Sector::Infrastructure), at(Sector::Application));
    assert_eq!((table.output[i].minor(), table.output[j].minor()), (1_000, 2_000));
    assert_eq!((table.value_added[i].minor(), table.value_added[j].minor()), (650, 1_400));
    assert_eq!(table.gdp, accounts(&registry, &flows).gdp_income);

    let leontief = table.leontief().unwrap();
    near(leontief.coefficients[i][j], 0.25);
    for (row, column, expected) in [(i, i, 1.2541), (i, j, 0.3300), (j, i, 0.2640), (j, j, 1.1221)]
    {
        near(leontief.inverse[row][column], expected);
    }
    near(leontief.output_multipliers[i], 1.5181);
    near(leontief.value_added_multipliers[i], 1.0); // nothing is imported
    let mut wanted = vec![0.0; table.groups.len()];
    (wanted[i], wanted[j]) = (600.0, 1_500.0);
    let made = leontief.output_for(&wanted);
    near(made[i], 1_247.5);
    near(made[j], 1_841.6);
    // The larger root of λ² − 0.2 λ − 0.0425.
    near(leontief.spectral_radius, 0.1 + 0.0525f64.sqrt());
}

/// v'(I − A)⁻¹ f is GDP: every unit of final use is somebody's value added, or an import.
#[test]
fn the_inverse_leads_from_final_use_back_to_gdp() {
    let registry = registry([
        Unit::household(party(1), "everyone"),
        Unit::firm(party(2), "hosting", Sector::Infrastructure),
        Unit::firm(party(3), "vision", Sector::Application),
        Unit::firm(party(4), "answers", Sector::Network),
    ]);
    let abroad = 99;
    let flows = [
        flow(3, 2, 40, Kind::Intermediate),
        flow(4, 2, 10, Kind::Intermediate),
        flow(4, 3, 90, Kind::Intermediate),
        flow(2, 4, 5, Kind::Intermediate),
        flow(2, abroad, 20, Kind::Intermediate),
        flow(1, 4, 200, Kind::FinalHousehold),
        flow(1, 3, 30, Kind::FinalHousehold),
        flow(abroad, 2, 60, Kind::FinalHousehold),
    ];
    let table = InputOutput::compile(&registry, MUSD, Grouping::Units, &flows).unwrap();
    assert_eq!(table.gdp, accounts(&registry, &flows).gdp_expenditure);
    let leontief = table.leontief().unwrap();
    let final_use: Vec<f64> = (0..table.groups.len())
        .map(|row| (table.final_household[row].minor() + table.exports[row].minor()) as f64)
        .collect();
    let pairs = final_use.iter().zip(&leontief.value_added_multipliers);
    near(pairs.map(|(used, added)| used * added).sum(), table.gdp.minor() as f64);
    for (made, output) in leontief.output_for(&final_use).iter().zip(&table.output) {
        near(*made, output.minor() as f64);
    }
}

#[test]
fn groups_that_use_up_all_they_make_have_no_inverse() {
    let registry = registry([
        Unit::firm(party(1), "snake", Sector::Network),
        Unit::firm(party(2), "tail", Sector::Research),
    ]);
    let circle = [flow(1, 2, 100, Kind::Intermediate), flow(2, 1, 100, Kind::Intermediate)];
    let table = InputOutput::compile(&registry, MUSD, Grouping::Units, &circle).unwrap();
    assert_eq!(table.gdp.minor(), 0);
    assert_eq!(table.leontief(), Err(EconomyError::Unproductive));
}

#[test]
fn a_table_has_no_more_rows_than_people_read() {
    let firm = |n: usize| {
        let mut address = [0; 20];
        address[..8].copy_from_slice(&(n as u64).to_be_bytes());
        Unit::firm(money::Party::new(address), n.to_string(), Sector::Network)
    };
    let registry = registry((0..=MAX_GROUPS).map(firm));
    let refused = InputOutput::new(&registry, MUSD, Grouping::Units).unwrap_err();
    assert_eq!(refused, EconomyError::TooManyGroups { count: MAX_GROUPS + 1 });
    assert!(InputOutput::new(&registry, MUSD, Grouping::Sectors).is_ok());
}

#[test]
fn who_works_and_who_gets_what_they_earn() {
    let (ada, grace, vision, language, firm) = (1, 2, 3, 4, 5);
    let abroad = 99;
    let registry = registry([
        Unit::household(party(ada), "Ada"),
        Unit::household(party(grace), "Grace"),
        Unit::machine(party(vision), "vision", party(grace), Sector::Application),
        Unit::machine(party(language), "language", party(abroad), Sector::Application),
        Unit::firm(party(firm), "hosting", Sector::Infrastructure),
        Unit::machine(party(6), "idle", party(grace), Sector::Research),
    ]);
    let flows = [
        flow(ada, vision, 100, Kind::FinalHousehold),
        flow(vision, language, 30, Kind::Intermediate),
        flow(vision, firm, 20, Kind::Intermediate),
        flow(firm, ada, 5, Kind::Wage),
        flow(grace, ada, 7, Kind::FinalHousehold), // Ada plays the violin
    ];
    let mut builder = EmploymentBuilder::new(&registry, MUSD);
    for flow in &flows {
        builder.add(flow).unwrap();
    }
    let effort = Effort {
        busy: Some(Duration::from_secs(1_800)),
        capacity: Some(Duration::from_secs(7_200)),
        value_added_before: None,
        vacancies: Some(6),
    };
    let labour = builder.employment(accounts(&registry, &flows).wages, effort);
    assert_eq!((labour.machines, labour.at_work, labour.people_at_work), (3, 2, 1));
    assert_eq!(labour.to_people_for_work.minor(), 5 + 7);
    assert_eq!(labour.to_resident_owners.minor(), 50);
    assert_eq!(labour.to_foreign_owners.minor(), 30);
    assert_eq!(labour.kept_by_firms.minor(), 15);
    assert_eq!(labour.utilisation.to_string(), "0.25", "two machines, half an hour of two hours");
    assert_eq!(labour.vacancy_rate.to_string(), "0.75");
    assert_eq!(labour.value_added_per_machine_hour.to_string(), "160.00", "80 in half an hour");
    assert_eq!(labour.output_of_machines.parts, 2, "the idle one has no share");
    let before = Some(Amount::from_minor(MUSD, 60));
    let since = builder.employment(
        accounts(&registry, &flows).wages,
        Effort { value_added_before: before, ..effort },
    );
    assert_eq!(since.value_added_per_machine_hour.to_string(), "40.00", "20 in half an hour");
    let unmeasured = builder.employment(Amount::zero(MUSD), Effort::default());
    assert_eq!(unmeasured.utilisation.to_string(), "n/a");
    assert_eq!(unmeasured.vacancy_rate.to_string(), "n/a");
}

#[test]
fn who_hires_whom_and_who_stays() {
    let registry = registry([
        Unit::household(party(1), "Ada"),
        Unit::household(party(2), "Grace"),
        Unit::machine(party(3), "vision", party(2), Sector::Application),
    ]);
    let at = |flow: Flow, second| Flow { at: Timestamp::from_secs(second), ..flow };
    let span =
        Span { from: Timestamp::from_secs(0), to: Timestamp::from_secs(30), width_ms: 10_000 };
    let mut network = Network::new(&registry, MUSD, span).unwrap();
    for flow in [
        at(flow(1, 3, 10, Kind::FinalHousehold), 1),
        at(flow(1, 3, 15, Kind::FinalHousehold), 2),
        at(flow(2, 1, 40, Kind::FinalHousehold), 12),
        at(flow(2, 3, 1_000, Kind::FinalHousehold), 13), // Grace's own machine
        at(flow(1, 2, 9, Kind::Transfer), 14),           // a gift
        at(flow(99, 3, 1, Kind::FinalHousehold), 40),    // after the span: a pair all the same
    ] {
        network.add(&flow).unwrap();
    }
    let hired: Vec<(i128, u64)> =
        network.hirings().iter().map(|hiring| (hiring.amount.minor(), hiring.payments)).collect();
    assert_eq!(hired, [(40, 1), (25, 2), (1, 1)]);
    let counts: Vec<(u64, u64, u64)> = network
        .activity()
        .iter()
        .map(|stretch| (stretch.active, stretch.new, stretch.stayed))
        .collect();
    assert_eq!(counts, [(2, 2, 0), (2, 1, 1), (0, 0, 0)]);
    assert_eq!(network.activity()[1].retention.to_string(), "0.50");
    assert_eq!(network.beyond().1, 0);
}

#[test]
fn two_owners_who_buy_from_each_other_are_shown() {
    let registry = registry([
        Unit::household(party(1), "Ada"),
        Unit::household(party(2), "Grace"),
        Unit::household(party(3), "Joan"),
    ]);
    let span =
        Span { from: Timestamp::from_secs(0), to: Timestamp::from_secs(10), width_ms: 1_000 };
    let mut network = Network::new(&registry, MUSD, span).unwrap();
    for flow in [
        flow(1, 2, 70, Kind::FinalHousehold),
        flow(2, 1, 60, Kind::FinalHousehold),
        flow(2, 3, 50, Kind::FinalHousehold),
    ] {
        network.add(&flow).unwrap();
    }
    assert_eq!(network.reciprocal().minor(), 120);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_table_is_the_accounts_in_every_grouping(registry in registries(), flows in flows()) {
        let accounts = accounts(&registry, &flows);
        for grouping in [Grouping::Sectors, Grouping::Units] {
            let table = InputOutput::compile(&registry, MUSD, grouping, &flows).unwrap();
            prop_assert_eq!(table.gdp, accounts.gdp_production);
            let used: i128 = table.intermediate.iter().flatten().map(Amount::minor).sum();
            let imported: i128 = minor(&table.imports).iter().sum();
            prop_assert_eq!(used + imported, accounts.intermediate_consumption.minor());
            prop_assert_eq!(
                imported + table.imports_for_final_use.minor(), accounts.imports.minor()
            );
            let exports: i128 = minor(&table.exports).iter().sum();
            prop_assert_eq!(exports, accounts.exports.minor());
            for (row, made) in table.output.iter().enumerate() {
                let sold: i128 = minor(&table.intermediate[row]).iter().sum::<i128>()
                    + table.final_household[row].minor()
                    + table.final_collective[row].minor()
                    + table.capital_formation[row].minor()
                    + table.exports[row].minor();
                prop_assert_eq!(made.minor(), sold);
            }
        }
    }

    #[test]
    fn all_income_is_somebodys(registry in registries(), flows in flows()) {
        let accounts = accounts(&registry, &flows);
        let mut builder = EmploymentBuilder::new(&registry, MUSD);
        for flow in &flows {
            builder.add(flow).unwrap();
        }
        let labour = builder.employment(accounts.wages, Effort::default());
        let income = labour.to_people_for_work.minor()
            + labour.to_resident_owners.minor()
            + labour.to_foreign_owners.minor()
            + labour.kept_by_firms.minor();
        prop_assert_eq!(income, accounts.wages.minor() + accounts.operating_surplus.minor());
        prop_assert!(labour.at_work <= labour.machines);
        if let Some(gini) = labour.output_of_machines.gini.hundredths() {
            prop_assert!((0..=100).contains(&gini));
        }
    }

    /// What one owner does with itself changes no table, no employment and no network.
    #[test]
    fn self_dealing_changes_no_structure(
        registry in registries(), honest in flows(), adversary in flows()
    ) {
        let mut washed = honest.clone();
        washed.extend(adversary.into_iter().map(|mut flow| {
            if !registry.same_owner(flow.payer, flow.payee) {
                flow.payee = flow.payer;
            }
            flow
        }));
        let span = Span {
            from: Timestamp::from_millis(0), to: Timestamp::from_millis(1_000), width_ms: 100,
        };
        let structure = |flows: &[Flow]| {
            let table = InputOutput::compile(&registry, MUSD, Grouping::Units, flows).unwrap();
            let mut labour = EmploymentBuilder::new(&registry, MUSD);
            let mut network = Network::new(&registry, MUSD, span).unwrap();
            for flow in flows {
                labour.add(flow).unwrap();
                network.add(flow).unwrap();
            }
            let labour = labour.employment(Amount::zero(MUSD), Effort::default());
            (table, labour, network.hirings(), network.activity(), network.reciprocal())
        };
        prop_assert_eq!(structure(&honest), structure(&washed));
    }

    /// A reader's override gives what the accounts would be, had the payment been typed so.
    #[test]
    fn retyping_a_flow_is_as_if_it_had_been_so(
        registry in registries(), mut flows in flows(),
        index in any::<prop::sample::Index>(), kind in prop::sample::select(&KINDS[..])
    ) {
        prop_assume!(!flows.is_empty());
        let mut builder = AccountsBuilder::new(&registry, MUSD);
        for flow in &flows {
            builder.add(flow).unwrap();
        }
        let index = index.index(flows.len());
        let reading = builder.retype(&flows[index], kind).unwrap();
        flows[index].kind = kind;
        prop_assert_eq!(reading, registry.read(&flows[index]).unwrap());
        let retyped = builder.accounts(Amount::zero(MUSD)).unwrap();
        prop_assert_eq!(retyped, accounts(&registry, &flows));
    }
}

#[test]
fn what_was_never_counted_cannot_be_retyped() {
    let registry = registry([Unit {
        party: party(1),
        name: "Ada".into(),
        institution: Institution::Household,
        sector: None,
    }]);
    let mut builder = AccountsBuilder::new(&registry, MUSD);
    let refused = builder.retype(&flow(1, 2, 5, Kind::FinalHousehold), Kind::Transfer);
    assert!(matches!(refused, Err(EconomyError::NotCounted { .. })));
}
