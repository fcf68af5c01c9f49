//! What the model says beside its charts: every model on the claims, what the uncertainty comes from,
//! scenarios, and what must be true.

use maud::{Markup, html};
use outlook::{
    Comparison, MachineGdp, MustBeTrue, Part, Projection, Quantity, Report, STRUCTURAL, Scenario,
    Standing, View, number,
};

use super::asked::Asked;
use crate::digits::{bar, plain};

/// Parts below this share of variance are not shown.
const SMALLEST_PART: f64 = 0.01;
/// The longest text of a model or of a reason, characters.
const ABOUT: usize = 400;

/// A share between zero and one, in thousandths, for a bar.
fn thousandths(share: f64) -> u16 {
    // In range by the clamp, and a whole number by the rounding.
    (share.clamp(0.0, 1.0) * 1000.0).round() as u16
}

/// Every model on both claims.
pub fn models(projection: &Projection, c: &Comparison) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Every model on both claims" {
            table.figures.models {
                thead { tr {
                    th scope="col" { "model" }
                    th.number scope="col" { "17T in crypto" }
                    td {}
                    th.number scope="col" { "2 to 4T by machines" }
                    th.number scope="col" { "10 %" }
                    th.number scope="col" { "half below" }
                    th.number scope="col" { "90 %" }
                    th.number scope="col" { "weight" }
                    th.number scope="col" { "CRPS, " (c.scored_years) " y" }
                } }
                tbody {
                    (model(&c.pool, None))
                    @for view in &c.views {
                        (model(view, projection.machine_gdp_claim.share().filter(|_| view.name == STRUCTURAL)))
                    }
                }
            }
        }
        p.quiet-note {
            "Crypto at the end of " (c.year) ", from " (number::dollars(c.start.1)) " on " (c.start.0)
            ". The rivals speak of crypto alone. A model that does not lower CRPS against a random walk with shrunk drift is not in the pool. Their disagreement is the uncertainty: look at the column, not at the pool."
        }
    }
}

fn model(view: &View, machines: Option<f64>) -> Markup {
    let quantiles = view.quantiles.map(|q| q.map(number::dollars));
    let used = matches!(view.standing, Standing::Used { .. });
    html! {
        tr.used[used] {
            th scope="row" { span title=(plain(view.about, ABOUT)) { (view.name) } }
            td.number { @match view.probability { Some(p) => { (number::chance(p)) } None => { span.of { "silent" } } } }
            td.share aria-hidden="true" { @if let Some(p) = view.probability { (bar(thousandths(p))) } }
            td.number { @match machines { Some(p) => { (number::chance(p)) } None => { span.of { "silent" } } } }
            @for place in 0..3 {
                td.number { @match &quantiles { Some(q) => { (q[place]) } None => { "–" } } }
            }
            td.number {
                @match &view.standing {
                    Standing::Used { weight } => { (number::chance(*weight)) }
                    Standing::NotUsed { years, difference } => {
                        span.of title={ "raises CRPS by " (format!("{difference:.2}")) " there" } { "fails at " (years) " y" }
                    }
                    Standing::Silent { why } => { span.of title=(plain(why, ABOUT)) { "no score" } }
                }
            }
            td.number { @match view.crps { Some(crps) => { (format!("{crps:.2}")) } None => { "–" } } }
        }
    }
}

/// The claim about machine GDP beside what others published.
pub fn published(all: &MachineGdp) -> Markup {
    let chance = |p: Option<f64>| match p {
        Some(p) => html! { (number::chance(p)) },
        None => html! { span.of { "silent" } },
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Machine GDP by model" {
            table.figures.models {
                caption { "Machine GDP at the end of " (all.year) ", by model" }
                thead { tr {
                    th scope="col" { "model" }
                    th.number scope="col" { "2 to 4T" }
                    th.number scope="col" { "2T or more" }
                    th.number scope="col" { "half below" }
                    th.number scope="col" { "weight" }
                    th scope="col" { "rests on" }
                } }
                tbody {
                    @for view in std::iter::once(&all.pool).chain(&all.views) {
                        tr.used[view.weight.is_some()] {
                            th scope="row" { (view.name) }
                            td.number { (chance(view.claim)) }
                            td.number { (chance(view.at_least)) }
                            td.number { @match view.median { Some(m) => { (number::round_dollars(m)) } None => { "–" } } }
                            td.number { @match view.weight { Some(w) => { (number::chance(w)) } None => { span.of { "no GDP" } } } }
                            td.said { span.of { (view.about) } }
                        }
                    }
                }
            }
        }
        p.quiet-note {
            "Published ranges are read as their central 80 %, single figures with the spread of the structural model, both moved to this year as that model moves. Nobody has measured the world's machine GDP yet: no forecast of it was ever scored, so the weights are equal."
        }
    }
}

/// Which driver the uncertainty of a quantity comes from.
pub fn tornado(title: &str, parts: &[Part]) -> Markup {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let shown: Vec<&Part> = parts.iter().filter(|p| p.total.value >= SMALLEST_PART).collect();
    html! {
        div.scroll tabindex="0" role="region" aria-label=(title) {
            table.figures.tornado {
                caption { (title) }
                thead { tr {
                    th scope="col" { "driver" }
                    td {}
                    th.number scope="col" { "alone" }
                    th.number scope="col" { "in all" }
                } }
                tbody {
                    @for part in &shown {
                        tr {
                            th scope="row" { (part.driver.name()) }
                            td.share aria-hidden="true" { (bar(thousandths(part.total.value))) }
                            td.number { (percent(part.first.value.max(0.0))) }
                            td.number title={ "± " (format!("{:.1}", part.total.error * 100.0)) " points" } { (percent(part.total.value)) }
                        }
                    }
                }
            }
            @if shown.is_empty() { p.quiet-note { "Nothing is uncertain: all drivers that it hangs on are held." } }
        }
    }
}

/// The three reasons that the source gives, and what each comes to.
pub fn scenarios(report: &Report, asked: &Asked) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Scenarios" {
            table.figures {
                thead { tr {
                    th scope="col" { "scenario" }
                    th.number scope="col" { "17T or more" }
                    td {}
                    th.number scope="col" { "half below" }
                    th scope="col" { "what it moves" }
                } }
                tbody {
                    @for (scenario, line) in Scenario::ALL.into_iter().zip(&report.scenarios) {
                        tr.used[scenario == report.scenario] {
                            th scope="row" {
                                a href={ (asked.path_in(scenario)) "#scenarios" } { (line.name.replace('-', " ")) }
                            }
                            td.number { (number::chance(line.crypto_cap_claim)) }
                            td.share aria-hidden="true" { (bar(thousandths(line.crypto_cap_claim))) }
                            td.number { (number::dollars(line.crypto_cap_median)) }
                            td.said { (line.words) }
                        }
                    }
                }
            }
        }
    }
}

/// A quantity as people call it.
pub fn called(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::MachineGdp => "what machines add to GDP",
        Quantity::CryptoCap => "what all crypto is worth",
        Quantity::StoreOfValue => "the store of value in it",
        Quantity::Stablecoins => "stablecoins",
        Quantity::Networks => "networks on which machines pay",
    }
}

/// What must be true for a target.
pub fn needed(target: &MustBeTrue) -> Markup {
    let answer = &target.answer;
    html! {
        p {
            "For " strong { (called(target.quantity)) " to reach " (number::round_dollars(target.value)) " by the end of " (target.year) }
            ", where all drivers at their medians give " (number::dollars(answer.at_medians)) ":"
        }
        div.halves {
            (together(target))
            (alone(target))
        }
    }
}

fn together(target: &MustBeTrue) -> Markup {
    html! {
        div {
            h3 { "Together, the likeliest way" }
            @match &target.answer.together {
                Some(way) => {
                    p.of { (format!("{:.1}", way.distance)) " standard deviations from the medians: a chance of about " (number::chance(way.probability)) "." }
                    div.scroll tabindex="0" role="region" aria-label="The likeliest way" {
                        table.figures {
                            thead { tr {
                                th scope="col" { "driver" }
                                th.number scope="col" { "median" }
                                th.number scope="col" { "goes to" }
                                th.number scope="col" { "of all draws below" }
                            } }
                            tbody {
                                @for m in &way.moves {
                                    @let d = m.driver.describe();
                                    tr {
                                        th scope="row" { (d.name) }
                                        td.number { (d.show(m.from)) }
                                        td.number { (d.show(m.to)) }
                                        td.number { (number::chance(m.level)) }
                                    }
                                }
                            }
                        }
                    }
                }
                None => { p { "Nothing within six standard deviations of the medians gets there." } }
            }
        }
    }
}

fn alone(target: &MustBeTrue) -> Markup {
    html! {
        div {
            h3 { "Or one alone, all others at their medians" }
            div.scroll tabindex="0" role="region" aria-label="One driver alone" {
                table.figures {
                    thead { tr {
                        th scope="col" { "driver" }
                        th.number scope="col" { "median" }
                        th.number scope="col" { "needed" }
                        th.number scope="col" { "chance of that or beyond" }
                    } }
                    tbody {
                        @for one in &target.answer.alone {
                            @let d = one.driver.describe();
                            tr {
                                th scope="row" { (d.name) }
                                td.number { (d.show(one.median)) }
                                @match (one.needed, one.probability) {
                                    (Some(value), Some(p)) => {
                                        td.number { (d.show(value)) }
                                        td.number { (number::chance(p)) }
                                    }
                                    (Some(value), None) => {
                                        td.number { (d.show(value)) }
                                        td.number { span.of { "it is fixed" } }
                                    }
                                    (None, _) => {
                                        td.number { span.of { "cannot" } }
                                        td.number { span.of { (number::dollars(one.best)) " at best" } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
