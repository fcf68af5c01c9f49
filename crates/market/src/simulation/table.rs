//! The tables of `docs/checks.md`, as Markdown.

use super::population::Character;
use super::{Figures, Market, Plan, Share};
use crate::reputation::beta::wilson;

/// 95 % of a normal distribution lie within so many standard deviations.
const Z: f64 = 1.96;

fn percent(share: Share) -> String {
    if share.of == 0 {
        return "–".to_owned();
    }
    let of = wilson(share.hits, share.of, Z);
    format!("{:.1} % ({:.1}–{:.1})", of.mean * 100.0, of.low * 100.0, of.high * 100.0)
}

fn part(of: i128, whole: i128) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    format!("{:.1} %", of as f64 / whole as f64 * 100.0)
}

fn cents(minor: i128) -> String {
    format!("{:.2}", minor as f64 / 10_000.0)
}

fn rows(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule: Vec<String> = head.iter().map(|_| "---".to_owned()).collect();
    let mut out = line(&head) + &line(&rule);
    rows.iter().for_each(|row| out += &line(row));
    out
}

fn is_checked(market: Market) -> bool {
    matches!(market, Market::Checked(_) | Market::Audited)
}

/// All tables.
pub fn all(plan: Plan, figures: &[(Market, Figures)]) -> String {
    format!(
        "{} machines, {} jobs in each market, seed {}. Shares with their 95 % intervals (Wilson).\n\n\
         {}\n{}\n{}\n{}",
        plan.machines,
        plan.jobs,
        plan.seed,
        checks(figures),
        caught(figures),
        earnings(figures),
        fairness(figures)
    )
}

/// What each check catches and costs.
pub fn checks(figures: &[(Market, Figures)]) -> String {
    let head = [
        "market",
        "wrong work not paid",
        "right work not paid",
        "the same, disputed by its client",
        "checking, of what was paid",
        "rounds after delivery",
    ];
    rows(
        &head,
        figures
            .iter()
            .map(|(market, f)| {
                vec![
                    market.name().to_owned(),
                    percent(f.caught),
                    percent(f.false_alarms),
                    percent(f.disputed_alarms),
                    part(f.checking, f.paid),
                    format!("{:.1}", f.rounds as f64 / f.delivered.max(1) as f64),
                ]
            })
            .collect(),
    )
}

/// How often each cheat is caught.
pub fn caught(figures: &[(Market, Figures)]) -> String {
    let checked: Vec<_> = figures.iter().filter(|(market, _)| is_checked(*market)).collect();
    let mut head = vec!["wrong work not paid, by who delivered it"];
    head.extend(checked.iter().map(|(market, _)| market.name()));
    rows(
        &head,
        Character::ALL
            .iter()
            .map(|character| {
                let cells = checked.iter().map(|(_, f)| {
                    percent(f.seen.get(character).copied().unwrap_or_default().caught)
                });
                std::iter::once(character.name().to_owned()).chain(cells).collect()
            })
            .collect(),
    )
}

/// What each character has gained, a machine.
pub fn earnings(figures: &[(Market, Figures)]) -> String {
    let mut head = vec!["gained a machine, cents"];
    head.extend(figures.iter().map(|(market, _)| market.name()));
    let mut lines: Vec<Vec<String>> = Character::ALL
        .iter()
        .map(|character| {
            let cells = figures.iter().map(|(_, f)| {
                let seen = f.seen.get(character).copied().unwrap_or_default();
                cents(seen.net / i128::from(seen.machines.max(1)))
            });
            std::iter::once(character.name().to_owned()).chain(cells).collect()
        })
        .collect();
    let cost = figures.iter().map(|(market, f)| match market {
        Market::Checked(_) | Market::Audited => {
            cents(f.self_dealing_cost / i128::from(f.self_deals.max(1)))
        }
        Market::Unchecked | Market::FirstCome => "–".to_owned(),
    });
    lines.push(
        std::iter::once("one job that the Sybil ring bought from itself cost it".to_owned())
            .chain(cost)
            .collect(),
    );
    rows(&head, lines)
}

/// Welfare and fairness.
pub fn fairness(figures: &[(Market, Figures)]) -> String {
    let head = [
        "market",
        "welfare, of what was possible",
        "paid for wrong work",
        "paid to cheats for it",
        "first proposal's advantage",
        "newcomers: jobs / bids",
        "Gini among honest",
    ];
    rows(
        &head,
        figures
            .iter()
            .map(|(market, f)| {
                let lot = f.first_by_lot as f64 / 1e6;
                vec![
                    market.name().to_owned(),
                    part(f.welfare, f.possible_welfare),
                    part(f.paid_for_wrong, f.paid),
                    part(f.fraud, f.paid),
                    format!("{:.2} ×", f.first.hits as f64 / lot.max(1.0)),
                    format!(
                        "{:.1} % / {:.1} %",
                        f.newcomers.fraction() * 100.0,
                        f.newcomers_bids.fraction() * 100.0
                    ),
                    format!("{:.2}", f64::from(f.gini) / 1e6),
                ]
            })
            .collect(),
    )
}
