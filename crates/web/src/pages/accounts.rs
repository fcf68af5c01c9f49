//! `/economy`: what the economy produces, for whom, out of what, and who gets it.

use maud::{Markup, html};
use money::Amount;

use super::frame::{Live, Place, frame};
use super::is_reference;
use crate::assets::STYLE;
use crate::digits::{NAME, SENTENCE, bar, bare, count, moment, money, name, permille, plain};
use crate::sankey::sankey;
use crate::view::{
    AccountsView, Economy, LineView, MeasureView, OverrideView, ProducerView, TableView, ValueView,
};

/// Parties in the table of producers.
const PARTIES: usize = 100;
/// Characters of a trade's reference, and of a reason.
const SHORT: usize = 12;
const REASON: usize = 500;
/// Steps of the heat map.
const HEAT: u16 = 5;

/// What the page shows.
pub struct Page {
    since: u64,
    accounts: Result<AccountsView, String>,
}

impl Page {
    /// Reads the accounts.
    pub fn of(economy: &dyn Economy) -> Page {
        // The place in the stream first: what is settled meanwhile is then told by it.
        let since = economy.trades(None, 1).first().map_or(0, |trade| trade.sequence);
        Page { since, accounts: economy.accounts() }
    }
}

/// The page.
pub fn page(page: &Page) -> Markup {
    let main = match &page.accounts {
        Ok(accounts) => shown(accounts, true),
        Err(reason) => html! {
            h1 { "The economy" }
            p.vouch.bad role="alert" { "The accounts are not shown: " (plain(reason, SENTENCE)) }
        },
    };
    frame("The economy", Place::Economy, Live::Feed { since: page.since }, main)
}

/// The page of these accounts as one file that needs no other: for keeping, mailing, printing.
pub fn document(accounts: &AccountsView) -> String {
    // Its sums cannot be opened: the trades stay behind.
    let mut accounts = accounts.clone();
    let AccountsView { production, expenditure, income, sectors, parties, .. } = &mut accounts;
    for line in production.iter_mut().chain(expenditure).chain(income) {
        line.trades = None;
    }
    for producer in sectors.iter_mut().chain(parties) {
        producer.trades = None;
    }
    (accounts.table.trades, accounts.table.used) = (Vec::new(), Vec::new());
    for hiring in &mut accounts.hirings {
        hiring.trades = None;
    }
    let AccountsView { labour, money, capital, prices, network, .. } = &mut accounts;
    for measure in [labour, money, capital, prices, network].into_iter().flatten() {
        measure.trades = None;
    }
    let links = false;
    html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "The economy · Machina" }
                // Our own sheet, and nothing in it ends a style element.
                style { (maud::PreEscaped(STYLE.content())) }
            }
            body { main { div.wide { (shown(&accounts, links)) } } }
        }
    }
    .into_string()
}

/// The accounts; with `links`, what can be opened leads there.
fn shown(accounts: &AccountsView, links: bool) -> Markup {
    html! {
        header.head {
            h1 { "The economy" }
            @if let Some((first, last)) = accounts.period {
                p { "from " (moment(first)) " to " (moment(last)) " UTC" }
            }
        }
        p.lead {
            "What people and machines produced here, counted from the journal to the last unit."
            @if opens(accounts) { " Each sum opens into the trades under it." }
            @if accounts.overridden > 0 {
                " " (count(accounts.overridden, "trade counts", "trades count")) " otherwise than declared"
                @if links { ": " a href="#overrides" { "why" } }
                "."
            }
        }
        section.accounts #ways data-live aria-labelledby="ways-head" {
            h2 #ways-head { "GDP, three ways" }
            p.grand {
                @if links { a href="/economy/gdp" { (money(accounts.gdp)) } } @else { (money(accounts.gdp)) }
            }
            div.thirds {
                (account("By production", "who made it", &accounts.production, accounts.gdp))
                (account("By expenditure", "what it was bought for", &accounts.expenditure, accounts.gdp))
                (account("By income", "who got it", &accounts.income, accounts.gdp))
            }
        }
        section.accounts #flows data-live aria-labelledby="flows-head" {
            h2 #flows-head { "Who pays whom" }
            (sankey(&accounts.hirings, accounts.other_hirings))
        }
        section.accounts #producers data-live aria-labelledby="producers-head" {
            h2 #producers-head { "Who produces" }
            (producers("Sectors", &accounts.sectors))
            (producers("Parties", &accounts.parties))
        }
        section.accounts #inputs data-live aria-labelledby="inputs-head" {
            h2 #inputs-head { "Who uses whose product" }
            p { "Rows sell, columns buy and use up. What is left of a column's output after its inputs is its value added; the sum of those is GDP." }
            (heat(&accounts.table))
        }
        section.accounts #measures data-live aria-labelledby="measures-head" {
            h2 #measures-head { "Labour, money, prices, network" }
            div.thirds {
                (measures("Labour", &accounts.labour))
                (measures("Money", &accounts.money))
                (measures("Network", &accounts.network))
                (measures("Prices", &accounts.prices))
                (measures("Capital", &accounts.capital))
            }
        }
        @if !accounts.overrides.is_empty() {
            section.accounts #overrides data-live aria-labelledby="overrides-head" {
                h2 #overrides-head { "Counted otherwise than declared" }
                p { "What somebody who reads these accounts knew better, and why. Each decision is an entry of the journal and moved no money; another one takes it back." }
                (overrides(&accounts.overrides, links))
            }
        }
        p.quiet-note { "How each figure is defined, and its source: " code { "docs/accounts.md" } ". The same as data: " code { "machina economy report --json" } "." }
    }
}

fn opens(accounts: &AccountsView) -> bool {
    accounts.expenditure.iter().any(|line| line.trades.is_some())
}

/// What leads to the trades of a figure, if it has any.
fn opened(figure: Option<&str>, shown: Markup) -> Markup {
    match figure {
        Some(figure) => html! { a href={ "/economy/" (figure) } { (shown) } },
        None => shown,
    }
}

fn account(title: &str, asks: &str, lines: &[LineView], gdp: Amount) -> Markup {
    html! {
        div.account {
            h3 { (title) }
            p.of { (asks) }
            dl {
                @for line in lines {
                    div {
                        dt title=(line.means) {
                            (opened(line.trades, html! { (line.name) }))
                            @if !line.symbol.is_empty() { " " span.of { (line.symbol) } }
                            @if line.overrides > 0 {
                                " " span.of { "(" (count(line.overrides, "override", "overrides")) ")" }
                            }
                        }
                        dd { (bare(line.amount)) }
                    }
                }
                div.sum { dt { "GDP" } dd { (bare(gdp)) } }
            }
        }
    }
}

fn producers(title: &str, rows: &[ProducerView]) -> Markup {
    let most = rows.iter().map(|row| row.value_added.minor()).max().unwrap_or(0);
    html! {
        div.scroll tabindex="0" role="region" aria-label=(title) {
            table.figures {
                caption { (title) }
                thead { tr {
                    th scope="col" { "" }
                    th.number scope="col" { "output" }
                    th.number scope="col" { "used up" }
                    th.number scope="col" { "value added" }
                    td {}
                } }
                tbody {
                    @for row in rows.iter().take(PARTIES) {
                        tr {
                            th scope="row" {
                                (opened(row.trades.as_deref(), name(&row.name)))
                                " " span.of { (plain(&row.about, NAME)) }
                            }
                            td.number { (bare(row.output)) }
                            td.number { (bare(row.intermediate)) }
                            td.number { (bare(row.value_added)) }
                            td.share aria-hidden="true" { (bar(permille(row.value_added.minor(), most))) }
                        }
                    }
                }
            }
            @if rows.len() > PARTIES { p.quiet-note { "The " (PARTIES) " largest of " (rows.len()) "." } }
        }
    }
}

/// The input–output table, its cells shaded by how much of the column's output they are.
fn heat(table: &TableView) -> Markup {
    let shade = |part: Amount, column: usize| {
        let share = table.output.get(column).map_or(0, |made| permille(part.minor(), made.minor()));
        // The lightest step is for anything at all.
        if part.is_zero() { 0 } else { 1 + share.saturating_sub(1) * (HEAT - 1) / 1000 }
    };
    let of_group = |at: usize| table.trades.get(at).and_then(Option::as_deref);
    let of_cell = |row: usize, column: usize| table.used.get(row)?.get(column)?.as_deref();
    html! {
        div.scroll tabindex="0" role="region" aria-label="Input–output table" {
            table.figures.heat {
                thead { tr {
                    th scope="col" { "sells ↓ buys →" }
                    @for (column, group) in table.groups.iter().enumerate() {
                        th.number scope="col" { (opened(of_group(column), name(group))) }
                    }
                    th.number scope="col" { "final use" }
                    th.number scope="col" { "output" }
                } }
                tbody {
                    @for (row, group) in table.groups.iter().enumerate() {
                        tr {
                            th scope="row" { (opened(of_group(row), name(group))) }
                            @for (column, used) in table.intermediate[row].iter().enumerate() {
                                td class={ "number heat-" (shade(*used, column)) } {
                                    (opened(of_cell(row, column), bare(*used)))
                                }
                            }
                            td.number { (bare(table.final_use[row])) }
                            td.number { (bare(table.output[row])) }
                        }
                    }
                    (foot("imports", &table.imports))
                    (foot("value added", &table.value_added))
                    @if !table.multipliers.is_empty() {
                        tr { th scope="row" { "multiplier" }
                            @for multiplier in &table.multipliers { td.number { (plain(multiplier, NAME)) } }
                            td {} td {}
                        }
                    }
                }
            }
        }
        @if table.multipliers.is_empty() {
            p.quiet-note { "No multipliers: nothing is left over for final use." }
        } @else {
            p.quiet-note { "A multiplier is what all together make so that one unit of that column's product can be used for good." }
        }
    }
}

fn foot(says: &str, amounts: &[Amount]) -> Markup {
    html! {
        tr { th scope="row" { (says) }
            @for amount in amounts { td.number { (bare(*amount)) } }
            td {} td {}
        }
    }
}

fn overrides(rows: &[OverrideView], links: bool) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Overrides" {
            table.figures {
                thead { tr {
                    th scope="col" { "trade" }
                    th.number scope="col" { "amount" }
                    th scope="col" { "was" }
                    th scope="col" { "counts as" }
                    th scope="col" { "why" }
                    th scope="col" { "by" }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" {
                                @if links && is_reference(&row.trade) {
                                    a href={ "/trades/" (row.trade) } { (plain(&row.trade, SHORT)) }
                                } @else { (plain(&row.trade, SHORT)) }
                            }
                            td.number { (bare(row.amount)) }
                            td { (plain(&row.from, NAME)) }
                            td { (plain(&row.to, NAME)) }
                            td { (plain(&row.reason, REASON)) }
                            td { (name(&row.by)) " " span.of { (moment(row.at)) } }
                        }
                    }
                }
            }
        }
    }
}

fn measures(title: &str, measures: &[MeasureView]) -> Markup {
    html! {
        div.account {
            h3 { (title) }
            dl {
                @for measure in measures {
                    div {
                        dt {
                            (opened(measure.trades, html! { (measure.name) }))
                            span.means { (measure.means) }
                        }
                        dd {
                            @match &measure.value {
                                ValueView::Amount(amount) => { (bare(*amount)) }
                                ValueView::Text(text) => { (plain(text, NAME)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
