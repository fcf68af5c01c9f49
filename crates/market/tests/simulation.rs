//! What the tables of `docs/checks.md` say, in a small market: who cheats is caught and earns less, and
//! the same seed gives the same figures.

use market::checks::choose::Kind;
use market::simulation::population::Character;
use market::simulation::{Figures, Market, Plan, all, play, table};
use sha2::{Digest as _, Sha256};

fn net(figures: &Figures, character: Character) -> i128 {
    let seen = figures.seen[&character];
    seen.net / i128::from(seen.machines)
}

fn of(all: &[(Market, Figures)], market: Market) -> &Figures {
    &all.iter().find(|(found, _)| *found == market).expect("every market was played").1
}

#[test]
fn checks_catch_cheats_that_unchecked_markets_pay() {
    let figures = all(Plan::SMALL, 2);
    let checked: Vec<_> =
        figures.iter().filter(|(market, _)| matches!(market, Market::Checked(_))).collect();
    assert_eq!(checked.len(), 6);
    for (market, seen) in &checked {
        let name = market.name();
        assert!(seen.caught.fraction() > 0.5, "{name} catches {:?}", seen.caught);
        assert!(seen.false_alarms.fraction() < 0.2, "{name}: {:?}", seen.false_alarms);
        // Nobody is hired for being first.
        let lot = seen.first_by_lot as f64 / 1e6;
        let advantage = seen.first.hits as f64 / lot;
        assert!((0.75..1.3).contains(&advantage), "{name}: first proposals win {advantage} ×");
        assert!(seen.newcomers.hits > 0, "{name}: newcomers get work");
        assert!(seen.fraud * 2 < of(&figures, Market::Unchecked).fraud.max(1), "{name}");
    }
    // Hidden tests cost little and leave the most; a lot of one in five still halves the fraud.
    let unchecked = of(&figures, Market::Unchecked);
    assert!(of(&figures, Market::Checked(Kind::Gold)).welfare > unchecked.welfare);
    assert!(of(&figures, Market::Audited).fraud * 2 < unchecked.fraud);
    let first = of(&figures, Market::FirstCome);
    assert!(first.first.hits as f64 > 4.0 * first.first_by_lot as f64 / 1e6);
}

#[test]
fn cheating_earns_less_than_working_under_every_check_that_was_named() {
    for kind in [Kind::Exact, Kind::Gold, Kind::Redundant, Kind::Juror] {
        let figures = play(Market::Checked(kind), Plan::SMALL);
        let honest = net(&figures, Character::Honest);
        for cheat in Character::ALL.into_iter().filter(|c| !c.works()) {
            let earned = net(&figures, cheat);
            assert!(earned < honest, "{}: {} {earned}, honest {honest}", kind.name(), cheat.name());
        }
    }
}

#[test]
fn a_ring_that_pays_itself_loses_by_it_and_its_fake_record_does_not_earn_that_back() {
    for kind in [Kind::Exact, Kind::Gold, Kind::Redundant, Kind::Juror] {
        let figures = play(Market::Checked(kind), Plan::SMALL);
        let per_deal = figures.self_dealing_cost / i128::from(figures.self_deals);
        assert!(per_deal > 0, "{}: a faked job costs {per_deal}", kind.name());
        let sybil = figures.seen[&Character::Sybil];
        assert!(sybil.net < 0, "{}: the ring ends with {}", kind.name(), sybil.net);
    }
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_seed_others() {
    let plan = Plan { jobs: 400, ..Plan::SMALL };
    let market = Market::Checked(Kind::Redundant);
    let (first, again) = (play(market, plan), play(market, plan));
    assert_eq!(first, again);
    assert_ne!(first, play(market, Plan { seed: 5, ..plan }));
    let tables = table::all(plan, &[(market, first)]);
    assert!(tables.contains("| redundant |") && tables.contains("evaluator in the provider's pay"));
}

/// The tables of a page: heads and the names of their rows, which do not depend on any figure.
fn shape(page: &str) -> Vec<&str> {
    let lines: Vec<&str> = page.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let is_head = lines.get(at + 1).is_some_and(|next| next.starts_with("| ---"));
        match line.strip_prefix("| ") {
            Some(_) if line.starts_with("| ---") => {}
            Some(_) if is_head => found.push(*line),
            Some(row) => found.push(row.split(" | ").next().unwrap_or(row)),
            None => {}
        }
    }
    found
}

#[test]
fn the_page_of_checks_has_the_tables_of_this_market() {
    let page = include_str!("../../../docs/checks.md");
    let plan = Plan { jobs: 400, ..Plan::SMALL };
    let tables = table::all(plan, &all(plan, 2));
    // The full tables take minutes. These are played by the same rules, so where their digest is the
    // page's, the page's figures still are what `make checks` prints.
    let digest: String = Sha256::digest(&tables).iter().map(|b| format!("{b:02x}")).collect();
    assert!(
        page.contains(&digest),
        "the market plays otherwise than when docs/checks.md was written: run `make checks`, write its tables \
         there, and this digest: {digest}"
    );
    let (_, seen) = page.split_once("## What was seen").expect("the page has that part");
    let (seen, _) = seen.split_once("## The formulas").expect("and what comes after it");
    assert_eq!(shape(seen), shape(&tables));
}
