//! Worked examples whose answers are known from outside this crate.

use economy::{
    Accounts, AccountsBuilder, Counted, EconomyError, Flow, Institution, Kind, Purpose, Reference,
    Registry, Sector, Series, Span, Unit,
};
use money::{Amount, Asset, Party, Timestamp};

const MUSD: Asset = Asset::MUSD;

fn party(n: u8) -> Party {
    Party::new([n; 20])
}

fn musd(units: i128) -> Amount {
    Amount::from_minor(MUSD, units)
}

fn flow(payer: u8, payee: u8, amount: i128, kind: Kind) -> Flow {
    Flow {
        payer: party(payer),
        payee: party(payee),
        amount: musd(amount),
        kind,
        at: Timestamp::from_millis(1_000),
        reference: Reference::derive("textbook", &[&[payer, payee], &amount.to_be_bytes()]),
    }
}

fn registry(units: impl IntoIterator<Item = Unit>) -> Registry {
    let mut registry = Registry::new();
    for unit in units {
        registry.insert(unit).expect("units of these examples are sound");
    }
    registry
}

fn accounts(registry: &Registry, flows: &[Flow]) -> Accounts {
    Accounts::compile(registry, MUSD, musd(1_000), flows)
        .expect("flows of these examples are sound")
}

fn assert_gdp(accounts: &Accounts, expected: i128) {
    assert_eq!(accounts.gdp_production, musd(expected), "by production");
    assert_eq!(accounts.gdp_expenditure, musd(expected), "by expenditure");
    assert_eq!(accounts.gdp_income, musd(expected), "by income");
}

const EATER: u8 = 1;
const WORKER: u8 = 2;
const FARMER: u8 = 3;
const MILLER: u8 = 4;
const BAKER: u8 = 5;
const STATE: u8 = 6;
const ABROAD: u8 = 99;

fn village() -> Registry {
    registry([
        Unit::household(party(EATER), "eater"),
        Unit::household(party(WORKER), "worker"),
        Unit::firm(party(FARMER), "farmer", Sector::Infrastructure),
        Unit::firm(party(MILLER), "miller", Sector::Protocol),
        Unit::firm(party(BAKER), "baker", Sector::Application),
        Unit::government(party(STATE), "state"),
    ])
}

/// The farmer sells wheat for 100, the miller flour for 150, the baker bread for 230.
fn bread() -> Vec<Flow> {
    vec![
        flow(MILLER, FARMER, 100, Kind::Intermediate),
        flow(BAKER, MILLER, 150, Kind::Intermediate),
        flow(EATER, BAKER, 230, Kind::FinalHousehold),
    ]
}

#[test]
fn farmer_miller_baker_make_bread_worth_230() {
    let mut flows = bread();
    flows.push(flow(BAKER, WORKER, 60, Kind::Wage));
    let accounts = accounts(&village(), &flows);
    assert_gdp(&accounts, 230);
    assert_eq!(accounts.final_household, musd(230));
    assert_eq!(accounts.output, musd(480));
    assert_eq!(accounts.intermediate_consumption, musd(250));
    assert_eq!(accounts.value_added, musd(230));
    assert_eq!((accounts.wages, accounts.operating_surplus), (musd(60), musd(170)));
    assert_eq!((accounts.turnover, accounts.payments), (musd(480), musd(540)));
    assert_eq!(accounts.turnover_to_value_added.to_string(), "2.09");
    assert_eq!(accounts.velocity_transactions.to_string(), "0.54");
    assert_eq!(accounts.velocity_income.to_string(), "0.23");
    assert_eq!((accounts.trades, accounts.restated), (3, 0));

    let added: Vec<i128> = accounts.units.iter().map(|unit| unit.value_added.minor()).collect();
    assert_eq!(added, [0, 0, 100, 50, 80, 0]);
    let sectors: Vec<_> =
        accounts.sectors.iter().map(|row| (row.sector, row.value_added.minor())).collect();
    assert_eq!(
        sectors,
        [
            (Some(Sector::Network), 0),
            (Some(Sector::Protocol), 50),
            (Some(Sector::Infrastructure), 100),
            (Some(Sector::Application), 80),
            (Some(Sector::Research), 0),
            (None, 0),
        ]
    );
    let surplus: Vec<i128> =
        accounts.owners.iter().map(|owner| owner.operating_surplus.minor()).collect();
    assert_eq!(surplus, [0, 0, 100, 50, 20, 0]);
}

#[test]
fn imported_flour_is_no_production_here_and_exported_bread_is() {
    let accounts = accounts(
        &village(),
        &[
            flow(BAKER, ABROAD, 150, Kind::Intermediate),
            flow(EATER, ABROAD, 40, Kind::FinalHousehold),
            flow(EATER, BAKER, 200, Kind::FinalHousehold),
            flow(ABROAD, BAKER, 30, Kind::FinalHousehold),
        ],
    );
    assert_gdp(&accounts, 80);
    assert_eq!((accounts.exports, accounts.imports), (musd(30), musd(190)));
    assert_eq!(accounts.final_household, musd(240));
}

#[test]
fn taxes_and_subsidies_divide_gdp_and_do_not_change_it() {
    let mut flows = bread();
    flows.push(flow(BAKER, STATE, 20, Kind::Tax));
    flows.push(flow(STATE, FARMER, 5, Kind::Subsidy));
    let accounts = accounts(&village(), &flows);
    assert_gdp(&accounts, 230);
    assert_eq!((accounts.taxes, accounts.subsidies), (musd(20), musd(5)));
    assert_eq!(accounts.value_added, musd(215), "at basic prices: 230 - 20 + 5");
    assert_eq!(accounts.operating_surplus, musd(215));
}

#[test]
fn a_government_provides_at_cost_and_its_fees_are_part_of_that_cost() {
    // Costs of 100 (wages 70, supplies 30); a fee of 30 pays for a part, the rest is for all.
    let accounts = accounts(
        &village(),
        &[
            flow(STATE, WORKER, 70, Kind::Wage),
            flow(STATE, FARMER, 30, Kind::Intermediate),
            flow(EATER, STATE, 30, Kind::FinalHousehold),
        ],
    );
    assert_gdp(&accounts, 100);
    assert_eq!((accounts.final_collective, accounts.final_household), (musd(70), musd(30)));
}

#[test]
fn household_staff_produce_what_they_are_paid() {
    let accounts = accounts(&village(), &[flow(EATER, WORKER, 25, Kind::Wage)]);
    assert_gdp(&accounts, 25);
    assert_eq!((accounts.wages, accounts.final_household), (musd(25), musd(25)));
}

#[test]
fn capital_formation_is_gdp_and_interest_transfers_and_swaps_are_not() {
    let accounts = accounts(
        &village(),
        &[
            flow(MILLER, BAKER, 500, Kind::CapitalFormation),
            flow(MILLER, EATER, 7, Kind::Interest),
            flow(STATE, EATER, 8, Kind::Transfer),
            flow(EATER, MILLER, 9_000, Kind::Financial),
            flow(EATER, MILLER, 9_000, Kind::Memo),
        ],
    );
    assert_gdp(&accounts, 500);
    assert_eq!(accounts.capital_formation, musd(500));
    assert_eq!(accounts.payments, musd(9_515), "memos are no payments");
}

#[test]
fn subcontracting_inflates_turnover_and_leaves_gdp_alone() {
    const DEPTH: u8 = 20;
    let owners = (0..=DEPTH).map(|n| Unit::household(party(100 + n), format!("owner {n}")));
    let machines = (0..=DEPTH).map(|n| {
        Unit::machine(party(10 + n), format!("machine {n}"), party(100 + n), Sector::Application)
    });
    let registry = registry(owners.chain(machines).chain([Unit::household(party(1), "buyer")]));
    let mut flows = vec![flow(1, 10, 1_000, Kind::FinalHousehold)];
    for depth in 0..=DEPTH {
        let accounts = accounts(&registry, &flows);
        assert_gdp(&accounts, 1_000);
        assert_eq!(accounts.turnover, musd(1_000 * (i128::from(depth) + 1)));
        assert_eq!(accounts.turnover_to_value_added.to_string(), format!("{}.00", depth + 1));
        flows.push(flow(10 + depth, 11 + depth, 1_000, Kind::Intermediate));
    }
}

#[test]
fn machines_that_hire_each_other_in_a_circle_produce_nothing() {
    let registry = registry([
        Unit::machine(party(11), "a", party(1), Sector::Network),
        Unit::machine(party(12), "b", party(2), Sector::Network),
        Unit::machine(party(13), "c", party(3), Sector::Network),
    ]);
    let circle = [
        flow(11, 12, 900, Kind::Intermediate),
        flow(12, 13, 900, Kind::Intermediate),
        flow(13, 11, 900, Kind::Intermediate),
    ];
    let accounts = accounts(&registry, &circle);
    assert_gdp(&accounts, 0);
    assert_eq!(accounts.turnover, musd(2_700));
    assert_eq!(accounts.turnover_to_value_added.to_string(), "n/a");
}

/// Ada owns a firm, which owns a machine, which owns another: all one pocket.
fn holding() -> Registry {
    let firm = Institution::Firm { owner: Some(party(1)) };
    registry([
        Unit::household(party(1), "Ada"),
        Unit {
            party: party(2),
            name: "holding".into(),
            institution: firm,
            sector: Some(Sector::Network),
        },
        Unit::machine(party(3), "chief", party(2), Sector::Network),
        Unit::machine(party(4), "hand", party(3), Sector::Application),
        Unit::machine(party(5), "shopper", party(1), Sector::Application),
        Unit::household(party(6), "Grace"),
        Unit::machine(party(7), "vision", party(6), Sector::Application),
    ])
}

#[test]
fn wash_trades_within_one_owner_count_for_nothing() {
    let registry = holding();
    let mut washed = Vec::new();
    for payer in 1..=5 {
        for payee in 1..=5 {
            for kind in [Kind::Intermediate, Kind::FinalHousehold, Kind::CapitalFormation] {
                washed.push(flow(payer, payee, 1_000_000, kind));
            }
            washed.push(flow(payer, payee, 1_000_000, Kind::Wage));
        }
    }
    let washed_only = accounts(&registry, &washed);
    assert_gdp(&washed_only, 0);
    assert_eq!(washed_only.within_owner, musd(75_000_000));
    assert_eq!(washed_only.turnover, musd(75_000_000));
    assert_eq!(washed_only.trades, 0);

    washed.push(flow(5, 7, 3, Kind::FinalHousehold));
    assert_gdp(&accounts(&registry, &washed), 3);
}

#[test]
fn a_shopping_machine_buys_for_whoever_stands_behind_it() {
    let registry = holding();
    let counted = |payer, kind| registry.read(&flow(payer, 7, 5, kind)).unwrap();
    let own = counted(5, Kind::FinalHousehold);
    assert_eq!((own.counted, own.restated), (Counted::FinalHousehold, false));
    let firms = counted(4, Kind::FinalHousehold);
    assert_eq!((firms.counted, firms.restated), (Counted::Intermediate, true));

    let mut foreign = Registry::new();
    foreign.insert(Unit::machine(party(20), "tourist", party(21), Sector::Network)).unwrap();
    foreign.insert(Unit::machine(party(22), "vision", party(23), Sector::Network)).unwrap();
    let visit = foreign.read(&flow(20, 22, 5, Kind::FinalHousehold)).unwrap();
    assert_eq!(visit.counted, Counted::Export);
    let elsewhere = foreign.read(&flow(20, ABROAD, 5, Kind::FinalHousehold)).unwrap();
    assert_eq!(elsewhere.counted, Counted::Outside);
}

#[test]
fn what_contradicts_itself_is_restated_and_says_so() {
    let village = village();
    let cases = [
        // payer, payee, declared, counted
        (EATER, BAKER, Kind::Intermediate, Counted::FinalHousehold),
        (EATER, BAKER, Kind::CapitalFormation, Counted::FinalHousehold),
        (EATER, BAKER, Kind::FinalCollective, Counted::FinalHousehold),
        (BAKER, MILLER, Kind::FinalHousehold, Counted::Intermediate),
        (BAKER, MILLER, Kind::FinalCollective, Counted::Intermediate),
        (STATE, MILLER, Kind::Intermediate, Counted::FinalCollective),
        (STATE, MILLER, Kind::FinalHousehold, Counted::FinalCollective),
        (BAKER, MILLER, Kind::Wage, Counted::Intermediate),
        (EATER, MILLER, Kind::Wage, Counted::FinalHousehold),
        (STATE, MILLER, Kind::Wage, Counted::FinalCollective),
        (ABROAD, MILLER, Kind::Wage, Counted::Export),
        (EATER, STATE, Kind::Tax, Counted::NotProduction),
        (BAKER, MILLER, Kind::Tax, Counted::NotProduction),
        (BAKER, ABROAD, Kind::Tax, Counted::NotProduction),
        (BAKER, MILLER, Kind::Subsidy, Counted::NotProduction),
        (STATE, EATER, Kind::Subsidy, Counted::NotProduction),
    ];
    for (payer, payee, declared, counted) in cases {
        let reading = village.read(&flow(payer, payee, 1, declared)).unwrap();
        assert_eq!(reading.counted, counted, "{payer} pays {payee}, {declared:?}");
        assert!(reading.restated, "{payer} pays {payee}, {declared:?}");
    }
    let plain = [
        (EATER, BAKER, Kind::FinalHousehold, Counted::FinalHousehold, false),
        (BAKER, ABROAD, Kind::Intermediate, Counted::Intermediate, true),
        (ABROAD, BAKER, Kind::Intermediate, Counted::Export, false),
        (ABROAD, WORKER, Kind::Wage, Counted::NotProduction, false),
        (BAKER, ABROAD, Kind::Wage, Counted::Wage, false),
        (ABROAD, 98, Kind::Intermediate, Counted::Outside, false),
        (ABROAD, STATE, Kind::Intermediate, Counted::Export, false),
    ];
    for (payer, payee, declared, counted, import) in plain {
        let reading = village.read(&flow(payer, payee, 1, declared)).unwrap();
        assert_eq!((reading.counted, reading.import, reading.restated), (counted, import, false));
    }
}

#[test]
fn a_mandates_purpose_decides_the_kind_of_a_purchase() {
    let registry = holding();
    let kind =
        |payer, payee, purpose| registry.kind_of_purchase(party(payer), party(payee), purpose);
    assert_eq!(kind(5, 7, Purpose::Household), Kind::FinalHousehold);
    assert_eq!(kind(5, 7, Purpose::Production), Kind::Intermediate);
    assert_eq!(kind(7, 1, Purpose::Production), Kind::Wage);
    assert_eq!(kind(1, 7, Purpose::Production), Kind::FinalHousehold);
    assert_eq!(kind(4, 7, Purpose::Household), Kind::Intermediate);
    assert_eq!(kind(ABROAD, 7, Purpose::Production), Kind::Intermediate);
}

#[test]
fn impossible_ownership_is_refused_and_changes_nothing() {
    let mut registry = Registry::new();
    let machine = |n: u8, owner: u8| Unit::machine(party(n), "m", party(owner), Sector::Network);
    let cycle = |n: u8, owner: u8| {
        Err(EconomyError::OwnershipCycle { party: party(n), owner: party(owner) })
    };
    assert_eq!(registry.insert(machine(1, 1)), cycle(1, 1));
    registry.insert(machine(1, 2)).unwrap();
    registry.insert(machine(3, 1)).unwrap();
    assert_eq!(registry.insert(machine(2, 3)), cycle(2, 3));
    assert_eq!(
        registry.insert(machine(2, 9)),
        Err(EconomyError::OwnerAfterOwned { party: party(2) })
    );
    assert!(matches!(registry.insert(machine(3, 4)), Err(EconomyError::AlreadyRegistered { .. })));
    for name in ["", "a\nb", &"x".repeat(65)] {
        let unit = Unit::household(party(5), name);
        assert_eq!(registry.insert(unit), Err(EconomyError::Name { party: party(5) }));
    }
    assert_eq!(registry.len(), 2);
    assert_eq!(registry.beneficial_owner(party(3)), party(2));

    registry.insert(Unit::household(party(2), "late, and nobody's machine")).unwrap();
    assert_eq!(registry.beneficial_owner(party(3)), party(2));
    assert!(registry.same_owner(party(1), party(3)));
}

#[test]
fn refused_flows_leave_the_accounts_as_they_were() {
    let village = village();
    let mut builder = AccountsBuilder::new(&village, MUSD);
    for flow in bread() {
        builder.add(&flow).unwrap();
    }
    let before = builder.accounts(musd(1)).unwrap();

    let mut foreign = flow(EATER, BAKER, 1, Kind::FinalHousehold);
    foreign.amount = Amount::from_minor(Asset::USDC, 1);
    let (reference, found) = (foreign.reference, Asset::USDC);
    assert_eq!(
        builder.add(&foreign),
        Err(EconomyError::WrongAsset { reference, found, expected: MUSD })
    );
    for amount in [0, -1, i128::MIN] {
        let flow = flow(EATER, BAKER, amount, Kind::FinalHousehold);
        assert!(matches!(builder.add(&flow), Err(EconomyError::NotPositive { .. })));
        assert!(matches!(village.read(&flow), Err(EconomyError::NotPositive { .. })));
    }
    let vast = flow(EATER, BAKER, economy::MAX_GROSS, Kind::FinalHousehold);
    assert!(matches!(builder.add(&vast), Err(EconomyError::TooLarge { .. })));
    let vast = flow(EATER, BAKER, i128::MAX, Kind::FinalHousehold);
    assert!(matches!(builder.add(&vast), Err(EconomyError::TooLarge { .. })));

    assert_eq!(builder.accounts(musd(1)).unwrap(), before);
    assert!(matches!(builder.accounts(musd(-1)), Err(EconomyError::MoneyStock { .. })));
    let usdc = Amount::zero(Asset::USDC);
    assert!(matches!(builder.accounts(usdc), Err(EconomyError::MoneyStock { .. })));
}

#[test]
fn the_largest_economy_still_adds_up() {
    let village = village();
    let half = economy::MAX_GROSS / 2;
    let flows = [
        flow(EATER, STATE, half, Kind::FinalHousehold),
        flow(BAKER, ABROAD, half, Kind::Intermediate),
    ];
    let accounts = accounts(&village, &flows);
    assert_gdp(&accounts, -half);
    assert_eq!(accounts.turnover, musd(economy::MAX_GROSS));
}

#[test]
fn each_asset_has_accounts_of_its_own() {
    let village = village();
    let mut flows = bread();
    for flow in &mut flows {
        flow.amount = Amount::from_minor(Asset::USDC, flow.amount.minor() * 10);
    }
    flows.extend(bread());
    let stocks = [musd(1), Amount::zero(Asset::USDC)];
    let each = Accounts::compile_each(&village, &stocks, &flows).unwrap();
    assert_gdp(&each[0], 230);
    assert_eq!(each[1].gdp_income, Amount::from_minor(Asset::USDC, 2_300));
    assert_eq!(each[1].velocity_income.to_string(), "n/a");
    assert!(matches!(
        Accounts::compile_each(&village, &stocks[..1], &flows),
        Err(EconomyError::MoneyStockUnknown { .. })
    ));
    assert_eq!(
        Accounts::compile_each(&village, &[musd(1), musd(2)], &flows),
        Err(EconomyError::MoneyStockTwice { asset: MUSD })
    );
}

#[test]
fn buckets_tile_the_span_and_hold_what_falls_into_them() {
    let village = village();
    let at = |ms, mut flow: Flow| {
        flow.at = Timestamp::from_millis(ms);
        flow
    };
    let bread = bread();
    let flows = [at(99, bread[2]), at(100, bread[0]), at(149, bread[1]), at(345, bread[2])];
    let (from, to) = (Timestamp::from_millis(100), Timestamp::from_millis(350));
    let span = Span { from, to, width_ms: 100 };
    let buckets = Series::compile(&village, MUSD, span, &flows).unwrap();
    let rows: Vec<_> = buckets
        .iter()
        .map(|b| {
            (b.from.as_millis(), b.to.as_millis(), b.gdp.minor(), b.turnover.minor(), b.trades)
        })
        .collect();
    assert_eq!(rows, [(100, 200, 0, 250, 2), (200, 300, 0, 0, 0), (300, 350, 230, 230, 1)]);

    let refused = |span| Series::compile(&village, MUSD, span, &flows);
    assert!(matches!(refused(Span { width_ms: 0, ..span }), Err(EconomyError::EmptySpan { .. })));
    assert!(matches!(refused(Span { to: from, ..span }), Err(EconomyError::EmptySpan { .. })));
    let ever =
        Span { from: Timestamp::from_millis(0), to: Timestamp::from_millis(u64::MAX), width_ms: 1 };
    assert_eq!(refused(ever), Err(EconomyError::TooManyBuckets { count: u64::MAX }));
}

#[test]
fn accounts_in_json_have_no_floats_and_every_figure_as_a_string() {
    fn walk(value: &serde_json::Value) {
        match value {
            serde_json::Value::Number(number) => assert!(number.is_u64(), "{number}"),
            serde_json::Value::Array(items) => items.iter().for_each(walk),
            serde_json::Value::Object(fields) => fields.values().for_each(walk),
            _ => {}
        }
    }
    let json = serde_json::to_value(accounts(&village(), &bread())).unwrap();
    walk(&json);
    assert_eq!(json["gdp_income"], serde_json::json!({"asset": "MUSD/6", "minor": "230"}));
    assert_eq!(
        json["velocity_income"],
        serde_json::json!({"numerator": "230", "denominator": "1000", "text": "0.23"})
    );
}
