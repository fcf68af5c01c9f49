//! `/outlook`: what may be, how likely both claims are, what they hang on, and how it is held to account.

mod asked;
mod controls;
mod past;
mod record;
mod tables;

use std::sync::Arc;

use maud::{Markup, PreEscaped, html};
use outlook::chart::Fan;
use outlook::{CLAIMS, Frequency, Part, Quantity, Report, number};

use super::frame::{Live, Place, frame};
use crate::digits::{SENTENCE, grouped, plain};
use crate::forecasts::{DRAWS, PAST, SEED};
use crate::view::OutlookView;

pub use asked::{Asked, LONGEST};

/// What the page shows.
pub struct Page {
    /// What was asked.
    pub asked: Asked,
    /// What the economy knows.
    pub view: OutlookView,
    /// The answer.
    pub report: Arc<Report>,
}

/// The page. Call it on a thread that may wait: the back-test is computed when it is first shown.
pub fn page(page: &Page) -> Markup {
    let Page { asked, view, report } = page;
    let main = html! {
        header.head {
            h1 { "The outlook" }
            p { (grouped(&DRAWS.to_string())) " draws, seed " (SEED) }
        }
        p.lead {
            "Nobody knows what machines will add to the world's GDP, or what crypto will be worth. Here is what follows from drivers that you can move, beside every rival model, and how well each would have foreseen the past."
        }
        div #refused data-live { (refused(asked)) }
        form #ask action="/outlook" method="get" { input type="hidden" name="form" value="1"; }
        (claims(report))
        div.bench {
            section.accounts #fans aria-labelledby="fans-head" {
                h2 #fans-head { "Year by year" }
                div #charts data-live { (charts(report)) }
            }
            section.accounts #drivers aria-labelledby="drivers-head" {
                h2 #drivers-head { "Move the drivers" }
                p.of { "Tick a driver to hold it at a value; all others stay uncertain." }
                p.now #now data-live { (now(report)) }
                (controls::controls(asked, &view.measured))
            }
        }
        section.accounts #models aria-labelledby="models-head" {
            h2 #models-head { "Every model" }
            div #views data-live { (tables::models(&report.projection, &report.comparison)) }
            div #published data-live { (tables::published(&report.machine_gdp)) }
        }
        section.accounts #parts aria-labelledby="parts-head" {
            h2 #parts-head { "Where the uncertainty comes from" }
            p { "Shares of the variance of the logarithm (Sobol): alone, what would vanish if the driver became known; in all, what would stay if all others did." }
            div.halves #tornado data-live {
                (tables::tornado("Of what machines add to GDP", &report.machine_gdp_parts))
                (tables::tornado("Of what all crypto is worth", &report.crypto_cap_parts))
            }
        }
        section.accounts #scenarios aria-labelledby="scenarios-head" {
            h2 #scenarios-head { "Scenarios" }
            p { "The source's three reasons for crypto to grow, in the model's terms." }
            div #lines data-live { (tables::scenarios(report, asked)) }
        }
        section.accounts #needs aria-labelledby="needs-head" {
            h2 #needs-head { "What must be true" }
            (target(asked))
            div #needed data-live {
                @match &report.must_be_true {
                    Some(target) => { (tables::needed(target)) }
                    None => { p.quiet-note { "Name a figure and a year, and see what it takes." } }
                }
            }
        }
        section.accounts #past aria-labelledby="past-head" {
            h2 #past-head { "Back-test" }
            (past::past(&PAST))
        }
        section.accounts #record aria-labelledby="record-head" {
            h2 #record-head { "The record" }
            @match &view.record {
                Ok(texts) => { (record::record(texts, &PAST.facts, view.today)) }
                Err(why) => { p.vouch.bad role="alert" { "The record is not shown: " (plain(why, SENTENCE)) } }
            }
        }
        (sources())
    };
    frame("The outlook", Place::Outlook, Live::Asking, main)
}

/// What of the question made no sense.
fn refused(asked: &Asked) -> Markup {
    html! {
        @if !asked.troubles.is_empty() {
            div.vouch.bad role="alert" {
                "That was not asked, since it makes no sense; below is the answer without it."
                ul { @for trouble in &asked.troubles { li { (trouble) } } }
            }
        }
    }
}

/// A probability with its sampling error.
fn chance(frequency: Frequency) -> Markup {
    html! {
        @match frequency.share() {
            Some(p) => { (number::chance(p)) }
            None => { "no draw has it" }
        }
    }
}

/// Two standard deviations of sampling, in points.
fn sampling(frequency: Frequency) -> Markup {
    let points = frequency.error().map_or(0.0, |error| 200.0 * error);
    html! { span.of { "± " (format!("{points:.1}")) " points of sampling" } }
}

/// Both claims, side by side.
fn claims(report: &Report) -> Markup {
    let (p, c) = (&report.projection, &report.comparison);
    html! {
        section #claims aria-labelledby="claims-head" {
            h2.unseen #claims-head { "The two claims" }
            div.halves.two-claims #both data-live {
                div.note.claim {
                    h3 { "Machines add 2 to 4 trillion dollars to world GDP" }
                    p.grand { (chance(p.machine_gdp_claim)) }
                    p { "by the structural model, at the end of " (report.projection.year) "; " (sampling(p.machine_gdp_claim)) }
                    dl.purse {
                        @if let Some(last) = p.fan.last() { div { dt { "half of all draws below" } dd { (number::dollars(last.machine_gdp[4])) } } }
                        div { dt { "2 or more" } dd { (chance(p.machine_gdp_at_least)) } }
                        @if let (Some(least), Some(within)) = (p.machine_gdp_at_least.share(), p.machine_gdp_claim.share()) {
                            div { dt { "more than 4" } dd { (number::chance((least - within).max(0.0))) } }
                        }
                        div { dt { "other models" } dd { span.of { "silent: none speaks of it" } } }
                    }
                }
                div.note.claim {
                    h3 { "Crypto is worth 17 trillion dollars, ten times 1.7" }
                    p.grand { (chance(p.crypto_cap_claim)) }
                    p { "by the structural model, at the end of " (report.projection.year) "; " (sampling(p.crypto_cap_claim)) }
                    dl.purse {
                        @if let Some(last) = p.fan.last() { div { dt { "half of all draws below" } dd { (number::dollars(last.crypto_cap[4])) } } }
                        @if let Some(pooled) = c.pool.probability {
                            div { dt { "the pool" } dd { (number::chance(pooled)) } }
                        }
                        @if let Some((least, most)) = spread(report) {
                            div { dt { "all models" } dd { (number::chance(least)) " to " (number::chance(most)) } }
                        }
                        div { dt { "where machines add 2 to 4" } dd { (chance(p.crypto_given_machine_gdp)) } }
                        div { dt { "with 30 % of gold's worth" } dd { (chance(p.crypto_given_share)) } }
                    }
                }
            }
            div #words data-live {
                @if !report.given.is_empty() {
                    p.given { "With " @for given in &report.given { code { (given) } " " } a href="/outlook" { "take all back" } }
                }
                p.lead { (words(report)) }
            }
            p.quiet-note { (CLAIMS[0].source) ". No equation and no band, either: the horizon is yours to choose." }
        }
    }
}

/// The least and the greatest probability that any model gives.
fn spread(report: &Report) -> Option<(f64, f64)> {
    let all = report.comparison.views.iter().filter_map(|view| view.probability);
    let least = all.clone().reduce(f64::min)?;
    Some((least, all.reduce(f64::max)?))
}

/// What the figures say, in a few sentences.
fn words(report: &Report) -> String {
    let first = |parts: &[Part], most: usize| {
        let names: Vec<&str> = parts
            .iter()
            .filter(|part| part.total.value >= 0.01)
            .take(most)
            .map(|part| part.driver.name())
            .collect();
        if names.is_empty() { "nothing that is uncertain".into() } else { names.join(", ") }
    };
    let mut text = format!(
        "What machines add hangs on {}; what crypto is worth hangs on {}.",
        first(&report.machine_gdp_parts, 2),
        first(&report.crypto_cap_parts, 3)
    );
    let p = &report.projection;
    if let (Some(plain), Some(given)) =
        (p.crypto_cap_claim.share(), p.crypto_given_machine_gdp.share())
    {
        text.push_str(if (plain - given).abs() < 0.03 {
            " The two claims hardly depend on each other."
        } else {
            " The two claims depend on each other."
        });
    }
    text
}

/// The headline in one line, beside the sliders.
fn now(report: &Report) -> Markup {
    let p = &report.projection;
    html! {
        span { "2 to 4T from machines: " strong { (chance(p.machine_gdp_claim)) } } " "
        span { "17T in crypto: " strong { (chance(p.crypto_cap_claim)) } }
    }
}

fn charts(report: &Report) -> Markup {
    let years = &report.projection.fan;
    let machines = Fan::of_machine_gdp(years);
    let crypto = Fan::of_crypto_cap(years, &PAST.facts);
    html! {
        (fan("machines", &machines, "No history: nobody has measured it."))
        (fan("crypto", &crypto, "The thin line is what was."))
    }
}

/// A chart with its twin.
fn fan(id: &str, fan: &Fan, note: &str) -> Markup {
    let svg = fan.svg();
    html! {
        figure.fan-chart id=(id) {
            figcaption { strong { (fan.title) } " " span.of { "half of all draws in the dark band, nine in ten in the light one. " (note) } }
            @if svg.is_empty() {
                p.chart-empty { "There is nothing above zero to draw." }
            } @else {
                // Made by our own crate, which escapes what it writes.
                (PreEscaped(svg))
            }
            details.twin id={ (id) "-table" } {
                summary { "The same as a table" }
                div.scroll.tall tabindex="0" role="region" aria-label=(fan.title) {
                    table.figures {
                        thead { tr {
                            th scope="col" { "end of" }
                            @for level in ["5 %", "25 %", "half below", "75 %", "95 %"] { th.number scope="col" { (level) } }
                        } }
                        tbody {
                            @for (year, q) in fan.drawn() {
                                tr { th scope="row" { (year) } @for value in q { td.number { (number::dollars(value)) } } }
                            }
                        }
                    }
                    @if !fan.history.is_empty() { (history(fan)) }
                }
            }
        }
    }
}

fn history(fan: &Fan) -> Markup {
    html! {
        table.figures {
            caption { "What was, at quarters' ends" }
            thead { tr { th scope="col" { "year" } th.number scope="col" { "worth" } } }
            tbody {
                @for (at, value) in fan.history.iter().rev() {
                    tr { th scope="row" { (format!("{at:.2}")) } td.number { (number::dollars(*value)) } }
                }
            }
        }
    }
}

/// The fields of a target.
fn target(asked: &Asked) -> Markup {
    let asked_for = asked.question.target;
    let quantity = asked_for.map_or(Quantity::CryptoCap, |target| target.quantity);
    let value = asked_for.map_or("17T".to_string(), |target| number::round_dollars(target.value));
    let year = asked_for.map_or(asked.question.horizon, |target| target.horizon).year();
    // A value that nobody asked for is a suggestion, and not sent.
    html! {
        div.asks {
            p {
                label for="quantity" { "For" }
                select #quantity form="ask" name="quantity" {
                    @for known in Quantity::ALL {
                        option value=(known.name()) selected[known == quantity] { (tables::called(known)) }
                    }
                }
            }
            p {
                label for="value" { "to reach" }
                input #value type="text" form="ask" name="value" size="6" placeholder="17T"
                    value=[asked_for.map(|_| value)] autocomplete="off";
            }
            p {
                label for="year" { "by the end of" }
                input #year type="number" form="ask" name="year" inputmode="numeric"
                    min=(outlook::model::START + 1) max=(outlook::model::LAST) value=(year);
            }
            p.send { button type="submit" form="ask" formaction="/outlook#needs" { "What must be true?" } }
        }
    }
}

/// Where the facts are from, and on which terms.
fn sources() -> Markup {
    html! {
            section.accounts #sources aria-labelledby="sources-head" {
                h2 #sources-head { "Sources" }
                details.twin #sources-table {
                    summary { "Where the facts of the past are from, and on which terms they are restated" }
                    div.scroll.tall tabindex="0" role="region" aria-label="Sources of facts" {
                        table.figures {
                            thead { tr { th scope="col" { "source" } th scope="col" { "terms" } th scope="col" { "read on" } } }
                            tbody {
                                @for source in PAST.facts.sources() {
                                    tr { td { (source.title) } td { (source.terms) } td { (source.retrieved) } }
                                }
                            }
                        }
                    }
                }
    p.quiet-note { "Distributions of drivers are opinions, each with its source beside its slider. Every equation with its source: " code { "docs/outlook.md" } ". The same with a million draws: " code { "machina outlook --draws 1000000" } "." }
            }
        }
}
