//! All figures at once: what grows entry by entry, with whatever is typed anew in between, is what the
//! single folds compute from the same flows, and every sum is the sum of the entries under it.

mod random;

use std::collections::BTreeMap;

use economy::{
    Accounts, Activity, Compilation, Counted, EconomyError, Effort, Employment, EmploymentBuilder,
    Entry, Figure, Flow, Grouping, Hiring, InputOutput, InputOutputTable, Kind, Network,
    REFERENCE_QUALITY, Reference, Registry, Sector, Series, Span, Task, Unit,
};
use money::{Amount, Timestamp};
use proptest::prelude::*;
use random::{KINDS, MUSD, PARTIES, flows, party, registries};

const DAY: u64 = 24 * 60 * 60 * 1_000;

fn task(class: &str) -> Option<Task<'_>> {
    Some(Task { class, quantity: 2, quality: REFERENCE_QUALITY })
}

/// Everything that can be read, in one value to compare.
#[derive(Debug, PartialEq)]
struct Figures {
    accounts: Accounts,
    table: InputOutputTable,
    labour: Employment,
    hirings: Vec<Hiring>,
    reciprocal: i128,
    paid: i128,
    directions: u64,
    activity: Vec<Activity>,
    gdp_by_day: Vec<(u64, i128)>,
}

fn stock() -> Amount {
    Amount::from_minor(MUSD, 1_000)
}

fn figures(compilation: &Compilation<&Registry>) -> Figures {
    let accounts = compilation.accounts(stock()).expect("the measures agree");
    let network = compilation.network();
    Figures {
        table: compilation.table(),
        labour: compilation.employment(accounts.wages, Effort::default()),
        hirings: network.map(Network::hirings).unwrap_or_default(),
        reciprocal: network.map_or(0, |network| network.reciprocal().minor()),
        paid: network.map_or(0, |network| network.paid().minor()),
        directions: network.map_or(0, Network::directions),
        activity: network.map(Network::activity).unwrap_or_default(),
        gdp_by_day: compilation.days().map(|day| (day.from.as_millis(), day.gdp.minor())).collect(),
        accounts,
    }
}

/// The same from the single folds, each over all flows.
fn one_by_one(registry: &Registry, flows: &[Flow]) -> Figures {
    let accounts = Accounts::compile(registry, MUSD, stock(), flows).expect("every flow counts");
    let mut labour = EmploymentBuilder::new(registry, MUSD);
    let day = flows.first().map_or(0, |flow| flow.at.as_millis() / DAY * DAY);
    let (from, to) = (Timestamp::from_millis(day), Timestamp::from_millis(day + 10_000 * DAY));
    let span = Span { from, to, width_ms: DAY };
    let mut network = Network::new(registry, MUSD, span).expect("the span is sound");
    for flow in flows {
        labour.add(flow).expect("every flow counts");
        network.add(flow).expect("every flow counts");
    }
    let last = flows.iter().map(|flow| flow.at).max();
    let hirings = network.hirings();
    let series = Series::compile(registry, MUSD, span, flows).expect("the span is sound");
    Figures {
        table: InputOutput::compile(registry, MUSD, Grouping::Units, flows).expect("few units"),
        labour: labour.employment(accounts.wages, Effort::default()),
        reciprocal: reciprocal(&hirings),
        paid: hirings.iter().map(|hiring| hiring.amount.minor()).sum(),
        directions: hirings.len() as u64,
        hirings,
        activity: if flows.is_empty() { Vec::new() } else { network.activity() },
        gdp_by_day: series
            .iter()
            .take_while(|day| Some(day.from) <= last)
            .map(|day| (day.from.as_millis(), day.gdp.minor()))
            .collect(),
        accounts,
    }
}

/// By its definition, pair by pair.
fn reciprocal(hirings: &[Hiring]) -> i128 {
    let paid = |payer, payee| {
        let found = hirings.iter().find(|one| (one.payer, one.payee) == (payer, payee));
        found.map_or(0, |hiring| hiring.amount.minor())
    };
    hirings.iter().map(|one| one.amount.minor().min(paid(one.payee, one.payer))).sum()
}

/// Activity from nothing but who traded when.
fn activity_by_hand(registry: &Registry, flows: &[Flow]) -> Vec<(u64, u64, u64)> {
    let Some(first) = flows.first() else { return Vec::new() };
    let from = first.at.as_millis() / DAY;
    let mut days: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for flow in flows.iter().filter(|flow| flow.at.as_millis() / DAY >= from) {
        let counted = registry.read(flow).expect("amounts are positive").counted;
        let is_work =
            counted.is_final_use() || matches!(counted, Counted::Intermediate | Counted::Wage);
        if is_work {
            let day = days.entry(flow.at.as_millis() / DAY - from).or_default();
            day.extend([flow.payer, flow.payee]);
        }
    }
    let mut seen = Vec::new();
    let mut before: Vec<_> = Vec::new();
    (0..10_000)
        .map(|day| {
            let mut active = days.remove(&day).unwrap_or_default();
            active.sort_unstable();
            active.dedup();
            let new = active.iter().filter(|party| !seen.contains(*party)).count() as u64;
            let stayed = active.iter().filter(|party| before.contains(*party)).count() as u64;
            seen.extend(active.iter().copied());
            before = active;
            (before.len() as u64, new, stayed)
        })
        .collect()
}

fn compiled<'r>(registry: &'r Registry, flows: &[Flow]) -> Compilation<&'r Registry> {
    let mut compilation = Compilation::new(registry, MUSD, usize::MAX).expect("few units");
    for (place, flow) in (0..).zip(flows) {
        let reading = compilation.add(Entry { place, flow, task: task("look") });
        assert_eq!(reading.expect("every flow counts"), registry.read(flow).expect("positive"));
    }
    compilation
}

/// Days apart, so that who stays and who is new matters.
fn over_days(mut flows: Vec<Flow>) -> Vec<Flow> {
    for flow in &mut flows {
        flow.at = Timestamp::from_millis((20 + flow.at.as_millis() % 7) * DAY + 5);
    }
    flows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn all_figures_at_once_are_those_of_the_single_folds(
        registry in registries(), flows in flows()
    ) {
        let flows = over_days(flows);
        let compilation = compiled(&registry, &flows);
        let found = figures(&compilation);
        if let Some(network) = compilation.network() {
            let first: Vec<_> = found.hirings.iter().take(5).map(|one| one.amount).collect();
            let largest: Vec<_> = network.largest(5).iter().map(|one| one.amount).collect();
            prop_assert_eq!(largest, first);
        }
        let by_hand = activity_by_hand(&registry, &flows);
        let counts: Vec<_> =
            found.activity.iter().map(|day| (day.active, day.new, day.stayed)).collect();
        prop_assert_eq!(counts, by_hand);
        let entries: Vec<Entry<'_>> =
            (0..).zip(&flows).map(|(place, flow)| Entry { place, flow, task: None }).collect();
        let mut at_once = Compilation::new(&registry, MUSD, usize::MAX).expect("few units");
        at_once.add_all(&entries).expect("every flow counts");
        prop_assert_eq!(&figures(&at_once), &found);
        prop_assert_eq!(found, one_by_one(&registry, &flows));
        prop_assert_eq!(
            compilation.gdp_so_far(), compilation.accounts(stock()).unwrap().gdp_production
        );
    }

    /// However readers type entries anew and take it back: the figures are those of the kinds in
    /// force, as if they had been declared so.
    #[test]
    fn after_any_overrides_the_figures_are_those_of_the_kinds_in_force(
        registry in registries(), flows in flows(),
        overrides in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(&KINDS[..])), 0..40
        )
    ) {
        prop_assume!(!flows.is_empty());
        let flows = over_days(flows);
        let mut compilation = compiled(&registry, &flows);
        let mut in_force = flows.clone();
        for (index, kind) in &overrides {
            let place = index.index(flows.len());
            let entry = Entry { place: place as u64, flow: &flows[place], task: task("look") };
            let reading = compilation.retype(entry, *kind).unwrap();
            in_force[place].kind = *kind;
            prop_assert_eq!(reading, registry.read(&in_force[place]).unwrap());
            prop_assert_eq!(compilation.kind_in_force(entry), *kind);
        }
        let found = figures(&compilation);
        let first: Vec<_> = found.hirings.iter().take(5).map(|one| one.amount).collect();
        let network = compilation.network().expect("there are entries");
        let largest: Vec<_> = network.largest(5).iter().map(|one| one.amount).collect();
        prop_assert_eq!(largest, first, "after sums have shrunk, too");
        prop_assert_eq!(found, one_by_one(&registry, &in_force));
        let differ = flows.iter().zip(&in_force).filter(|(was, is)| was.kind != is.kind).count();
        prop_assert_eq!(compilation.overridden(), differ as u64);
        let by_figure: u64 = Counted::ALL
            .into_iter()
            .map(|counted| compilation.overridden_in(Figure::Counted(counted)))
            .sum();
        prop_assert_eq!(by_figure, differ as u64, "each is under one figure");
        prop_assert_eq!(compilation.real_gdp(), compiled(&registry, &in_force).real_gdp());
    }

    #[test]
    fn every_figure_is_the_sum_of_the_entries_under_it(registry in registries(), flows in flows()) {
        let compilation = compiled(&registry, &flows);
        let readings: Vec<_> = flows.iter().map(|flow| registry.read(flow).unwrap()).collect();
        let mut listed = 0;
        for counted in Counted::ALL {
            let under = compilation.under(Figure::Counted(counted), None, usize::MAX);
            let sum: i128 = under.places.iter().map(|at| flows[*at as usize].amount.minor()).sum();
            prop_assert_eq!(under.sum, Some(sum));
            prop_assert_eq!(under.count, under.places.len() as u64);
            prop_assert!(under.places.iter().all(|at| readings[*at as usize].counted == counted));
            prop_assert!(under.places.is_sorted_by(|one, next| one > next));
            listed += under.count;
        }
        prop_assert_eq!(listed, flows.len() as u64, "each entry is under one figure");
        let imports = compilation.under(Figure::Imports, None, usize::MAX);
        prop_assert_eq!(
            imports.sum, Some(compilation.accounts(stock()).unwrap().imports.minor())
        );
        for one in (0..PARTIES).map(party) {
            let theirs = compilation.under(Figure::Party(one), None, usize::MAX);
            let is_theirs = |flow: &&Flow| flow.payer == one || flow.payee == one;
            let expected =
                if registry.unit(one).is_some() { flows.iter().filter(is_theirs).count() } else { 0 };
            prop_assert_eq!(theirs.count, expected as u64);
        }
    }
}

/// Which entries are under a figure of several lists, by its definition, and their sum.
fn by_definition(registry: &Registry, flows: &[Flow], figure: Figure) -> (Vec<u64>, Option<i128>) {
    let is_sale = |counted: Counted| counted.is_final_use() || counted == Counted::Intermediate;
    let is_purchase = |kind| {
        use Kind::{CapitalFormation, FinalCollective, FinalHousehold, Intermediate};
        matches!(kind, Intermediate | FinalHousehold | FinalCollective | CapitalFormation)
    };
    let sector = |one| registry.unit(one).map(|unit| unit.sector);
    let has_sum = !matches!(figure, Figure::Surplus | Figure::Sector(_) | Figure::Used { .. });
    let (mut places, mut sum) = (Vec::new(), 0);
    for (place, flow) in (0..).zip(flows) {
        let reading = registry.read(flow).expect("amounts are positive");
        let (counted, minor) = (reading.counted, flow.amount.minor());
        let (is_in, part) = match figure {
            Figure::Gdp => {
                let used = if counted.is_final_use() { minor } else { 0 };
                let bought = if reading.import { minor } else { 0 };
                (used > 0 || bought > 0, used - bought)
            }
            Figure::Output => (is_sale(counted) && !reading.import, minor),
            Figure::Turnover => {
                let within = counted == Counted::WithinOwner && is_purchase(flow.kind);
                (is_sale(counted) || within, minor)
            }
            Figure::Payments => (!matches!(counted, Counted::Memo | Counted::Outside), minor),
            Figure::Surplus => {
                use Counted::{Subsidy, Tax, Wage};
                (is_sale(counted) || matches!(counted, Wage | Tax | Subsidy), minor)
            }
            Figure::Sector(wanted) => {
                ([flow.payer, flow.payee].iter().any(|one| sector(*one) == Some(wanted)), minor)
            }
            Figure::Hiring { payer, payee } => {
                let is_theirs = (flow.payer, flow.payee) == (payer, payee);
                (is_theirs && (is_sale(counted) || counted == Counted::Wage), minor)
            }
            Figure::Used { payer, payee } => {
                let is_theirs = (flow.payer, flow.payee) == (payer, payee);
                (is_theirs && counted == Counted::Intermediate, minor)
            }
            Figure::Counted(_) | Figure::Imports | Figure::Party(_) => unreachable!("one list"),
        };
        if is_in {
            places.push(place);
            sum += part;
        }
    }
    places.reverse();
    (places, has_sum.then_some(sum))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_figure_of_several_lists_opens_into_the_entries_of_its_definition(
        registry in registries(), flows in flows(), before in 0..120u64, limit in 0..9usize
    ) {
        let compilation = compiled(&registry, &flows);
        let accounts = compilation.accounts(stock()).expect("the measures agree");
        let sectors = Sector::ALL.map(Some).into_iter().chain([None]).map(Figure::Sector);
        let residents: Vec<_> =
            (0..PARTIES).map(party).filter(|one| registry.unit(*one).is_some()).collect();
        let pairs = residents.iter().flat_map(|payer| {
            residents.iter().flat_map(|payee| {
                let (payer, payee) = (*payer, *payee);
                [Figure::Hiring { payer, payee }, Figure::Used { payer, payee }]
            })
        });
        let sums =
            [Figure::Gdp, Figure::Output, Figure::Turnover, Figure::Payments, Figure::Surplus];
        for figure in sums.into_iter().chain(sectors).chain(pairs) {
            let (places, sum) = by_definition(&registry, &flows, figure);
            let under = compilation.under(figure, None, usize::MAX);
            prop_assert_eq!(&under.places, &places, "{:?}", figure);
            prop_assert_eq!(under.count, places.len() as u64, "{:?}", figure);
            match figure {
                // Nothing was ever paid between them: there is no sum to tell.
                Figure::Hiring { .. } if places.is_empty() => prop_assert_eq!(under.sum, None),
                _ => prop_assert_eq!(under.sum, sum, "{:?}", figure),
            }
            let page = compilation.under(figure, Some(before), limit);
            let expected: Vec<u64> =
                places.iter().copied().filter(|place| *place < before).take(limit).collect();
            prop_assert_eq!(page.places, expected, "{:?}", figure);
        }
        let sum = |figure| compilation.under(figure, None, 0).sum;
        prop_assert_eq!(sum(Figure::Turnover), Some(accounts.turnover.minor()));
        prop_assert_eq!(sum(Figure::Payments), Some(accounts.payments.minor()));
    }
}

/// Far more pairs than are kept in order.
#[test]
fn the_largest_of_many_pairs_are_the_first_of_all() {
    let mut registry = Registry::new();
    for n in 0..40 {
        registry.insert(Unit::household(party(n), n.to_string())).expect("a unit");
    }
    let mut compilation = Compilation::new(&registry, MUSD, 8).unwrap();
    for place in 0..6_000u64 {
        let (payer, payee) = (place * 7 % 40, place * 11 % 39);
        let flow = Flow {
            payer: party(u8::try_from(payer).unwrap()),
            payee: party(u8::try_from(payee).unwrap()),
            ..purchase(0, 1 + i128::from(place * place * 31 % 1_009))
        };
        compilation.add(Entry { place, flow: &flow, task: None }).unwrap();
    }
    let network = compilation.network().unwrap();
    let all: Vec<_> = network.hirings().iter().map(|one| one.amount).collect();
    assert!(all.len() > 1_000, "{}", all.len());
    for most in [1, 200, 256, 257, 1_000] {
        let largest: Vec<_> = network.largest(most).iter().map(|one| one.amount).collect();
        assert_eq!(largest, all[..most], "{most}");
    }
}

/// Two threads, or one entry at a time: the same figures.
#[test]
fn many_at_once_are_one_after_the_other() {
    let registry = shop();
    // More than one thread hands to the other at once.
    let flows: Vec<Flow> = (0..3_000).map(|n| purchase(n % 9, 1 + i128::from(n))).collect();
    let entries: Vec<Entry<'_>> =
        (0..).zip(&flows).map(|(place, flow)| Entry { place, flow, task: task("look") }).collect();
    let one_by_one = compiled(&registry, &flows);
    let mut at_once = Compilation::new(&registry, MUSD, usize::MAX).unwrap();
    for part in entries.chunks(1_300) {
        at_once.add_all(part).unwrap();
    }
    assert_eq!(figures(&at_once), figures(&one_by_one));
    assert_eq!(at_once.real_gdp(), one_by_one.real_gdp());
    let page = |all: &Compilation<&Registry>| all.under(Figure::Party(party(4)), Some(700), 50);
    assert_eq!(page(&at_once), page(&one_by_one));

    // One that is refused ends it: what is before it counts, and nothing after.
    let nothing = Flow { amount: Amount::zero(MUSD), ..flows[0] };
    let mut some = Compilation::new(&registry, MUSD, usize::MAX).unwrap();
    let refused = Entry { place: 2, flow: &nothing, task: None };
    let part = [entries[0], entries[1], refused, entries[3]];
    assert!(matches!(some.add_all(&part), Err(EconomyError::NotPositive { .. })));
    assert_eq!(figures(&some), figures(&compiled(&registry, &flows[..2])));
}

fn shop() -> Registry {
    let mut registry = Registry::new();
    for unit in [
        Unit::household(party(1), "Ada"),
        Unit::household(party(2), "Grace"),
        Unit::machine(party(3), "shopper", party(1), Sector::Application),
        Unit::machine(party(4), "vision", party(2), Sector::Application),
    ] {
        registry.insert(unit).expect("units of this example are sound");
    }
    registry
}

fn purchase(at_day: u64, minor: i128) -> Flow {
    Flow {
        payer: party(3),
        payee: party(4),
        amount: Amount::from_minor(MUSD, minor),
        kind: Kind::FinalHousehold,
        at: Timestamp::from_millis(at_day * DAY),
        reference: Reference::derive("compilation", &[&at_day.to_be_bytes()]),
    }
}

#[test]
fn half_the_price_for_the_same_work_halves_the_deflator_and_not_the_product() {
    let registry = shop();
    let mut compilation = Compilation::new(&registry, MUSD, 8).unwrap();
    for place in 0..10u64 {
        let flow = purchase(place / 5, if place < 5 { 100 } else { 50 });
        compilation.add(Entry { place, flow: &flow, task: task("look") }).unwrap();
    }
    let real = compilation.real_gdp().unwrap().expect("what was sold is known");
    assert_eq!(compilation.gdp_so_far().minor(), 750);
    assert!((real.periods[1].prices.deflator - 0.5).abs() < 1e-9);
    assert!((real.real - 1_000.0).abs() < 1e-6, "{}", real.real);
    assert_eq!(real.covered.to_string(), "1.00");
}

#[test]
fn a_place_that_was_never_counted_is_not_retyped_and_nothing_changes() {
    let registry = shop();
    let mut compilation = Compilation::new(&registry, MUSD, 8).unwrap();
    let flow = purchase(0, 100);
    compilation.add(Entry { place: 7, flow: &flow, task: None }).unwrap();
    let before = figures(&compilation);
    let elsewhere = Entry { place: 8, flow: &flow, task: None };
    let refused = compilation.retype(elsewhere, Kind::Transfer);
    assert_eq!(refused, Err(EconomyError::NoSuchEntry { place: 8 }));
    let too_far = Entry { place: 1 << 32, flow: &flow, task: None };
    assert!(matches!(compilation.add(too_far), Err(EconomyError::TooManyEntries { .. })));
    assert_eq!(figures(&compilation), before);
}

#[test]
fn what_is_said_per_year_waits_for_a_day_and_warns_for_a_month() {
    let registry = shop();
    let accounts = |last_day: u64| {
        let flows = [purchase(0, 600), purchase(last_day, 400)];
        Accounts::compile(&registry, MUSD, Amount::from_minor(MUSD, 500), &flows).unwrap()
    };
    let hours = accounts(0);
    assert_eq!(hours.velocity_income_per_year.to_string(), "n/a");
    assert!(hours.short_period);
    let week = accounts(7);
    assert_eq!(week.velocity_income.to_string(), "2.00");
    assert_eq!(week.velocity_income_per_year.to_string(), "104.36", "2 × 365.2425 / 7");
    assert!(week.short_period);
    let quarter = accounts(91);
    assert_eq!(quarter.velocity_transactions_per_year.to_string(), "8.03");
    assert!(!quarter.short_period);
}
