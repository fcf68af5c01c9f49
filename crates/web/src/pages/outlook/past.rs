//! The back-test: how well each model would have foreseen what came, and what is not used therefore.

use maud::{Markup, html};
use outlook::backtest::{Backtest, HORIZONS, POOL, Row, Scores};
use outlook::number;
use outlook::rivals::{BENCHMARK, RIVALS};

use crate::digits::plain;
use crate::forecasts::Past;

/// The longest reason, characters.
const REASON: usize = 200;

/// The back-test of both targets.
pub fn past(past: &Past) -> Markup {
    html! {
        p {
            "At each quarter's end every model fits on what was known that day, and foresees 1, 3 and 5 years. CRPS is of natural logarithms: lower is better. In brackets how much of the time the central 80 % held what came. Forecasts overlap, so that many are worth few."
        }
        (summary(&past.crypto_cap, "what all crypto was worth"))
        (unused(&past.crypto_cap))
        details.twin #bitcoin {
            summary { "The same of bitcoin, which has a longer past" }
            (summary(&past.bitcoin_cap, "what bitcoin was worth"))
            (unused(&past.bitcoin_cap))
        }
        details.twin #scores {
            summary { "All scores of all crypto: skill, coverage with Wilson's interval, Diebold and Mariano's test, PIT" }
            @for years in HORIZONS { (scores(&past.crypto_cap, years)) }
        }
        p.quiet-note {
            "Machine GDP cannot be tested: nobody measured it before 2022. The table is of one vintage; revisions since are in it. The same by one command: "
            code { "machina outlook backtest" } "."
        }
    }
}

fn scored(test: &Backtest, name: &str, years: u8) -> Option<Scores> {
    test.row(name, years).and_then(|row| row.result.clone().ok())
}

/// Every model at the three horizons.
fn summary(test: &Backtest, what: &str) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label={ "Back-test of " (what) } {
            table.figures {
                caption { (what) ", from " (test.origins.0) " to " (test.origins.1) }
                thead { tr {
                    th scope="col" { "model" }
                    @for years in HORIZONS {
                        th.number scope="col" {
                            (years) " y"
                            @if let Some(s) = scored(test, BENCHMARK, years) {
                                span.means { (s.count) " forecasts, worth " (format!("{:.1}", s.effective)) }
                            }
                        }
                    }
                    th scope="col" { "used" }
                } }
                tbody {
                    @for rival in RIVALS {
                        tr.used[rival.is_benchmark() || used(test, rival.name())] {
                            th scope="row" { span title=(plain(rival.about(), REASON)) { (rival.name()) } }
                            @for years in HORIZONS { (cell(test, rival.name(), years)) }
                            td.said {
                                @if rival.is_benchmark() { "yes, a benchmark" }
                                @else if used(test, rival.name()) { "yes, it lowers CRPS" }
                                @else { span.of { "no" } }
                            }
                        }
                    }
                    tr {
                        th scope="row" { "pool" }
                        @for years in HORIZONS { (cell(test, POOL, years)) }
                        td { span.of { "of all, weighted by past score" } }
                    }
                }
            }
        }
    }
}

fn cell(test: &Backtest, name: &str, years: u8) -> Markup {
    html! {
        td.number {
            @match scored(test, name, years) {
                Some(s) => { (format!("{:.2}", s.crps)) " " span.of { "(" (number::probability(s.coverage[1].share())) ")" } }
                None => { "–" }
            }
        }
    }
}

/// Whether a driver lowers CRPS at every horizon that was scored.
fn used(test: &Backtest, name: &str) -> bool {
    test.fails(name).is_none() && HORIZONS.iter().any(|years| scored(test, name, *years).is_some())
}

/// Which are not used, and why, in sentences.
fn unused(test: &Backtest) -> Markup {
    let silent = |name: &str| {
        HORIZONS.iter().find_map(|years| test.row(name, *years)?.result.as_ref().err().cloned())
    };
    html! {
        p.unused-head { "Not used by default:" }
        ul.unused {
            @for rival in RIVALS.iter().filter(|r| !r.is_benchmark() && !used(test, r.name())) {
                li {
                    strong { (rival.name()) }
                    @match test.fails(rival.name()) {
                        Some(fails) => {
                            ": raises CRPS by " (format!("{:.2}", fails.difference)) " at " (fails.years) " y against " (BENCHMARK)
                            ", which knows no driver."
                        }
                        None => { ": not scored, since " (plain(&silent(rival.name()).unwrap_or_default(), REASON)) "." }
                    }
                }
            }
        }
    }
}

/// All scores at one horizon.
fn scores(test: &Backtest, years: u8) -> Markup {
    let rows: Vec<(&Row, &Scores)> = test
        .rows
        .iter()
        .filter(|row| row.years == years)
        .filter_map(|row| Some((row, row.result.as_ref().ok()?)))
        .collect();
    html! {
        div.scroll tabindex="0" role="region" aria-label={ "All scores, " (years) " years ahead" } {
            table.figures {
                caption { (years) @if years == 1 { " year ahead" } @else { " years ahead" } }
                thead { tr {
                    th scope="col" { "model" }
                    @for head in ["CRPS", "skill", "pinball", "80 % score", "in 50 %", "in 80 %", "in 95 %", "bias", "DM p"] {
                        th.number scope="col" { (head) }
                    }
                    th scope="col" { "PIT" }
                } }
                tbody {
                    @for (row, s) in rows {
                        tr {
                            th scope="row" { (row.name) }
                            td.number { (format!("{:.2}", s.crps)) }
                            td.number { (format!("{:+.2}", s.skill)) }
                            td.number { (format!("{:.3}", s.pinball)) }
                            td.number { (format!("{:.2}", s.interval)) }
                            @for w in &s.coverage {
                                td.number {
                                    (number::probability(w.share())) " "
                                    span.of { "(" (number::probability(w.low)) "–" (number::probability(w.high)) ")" }
                                }
                            }
                            td.number { (format!("{:+.2}", s.bias)) }
                            td.number { @match s.against_benchmark { Some(t) => { (number::probability(t.p_value)) } None => { "–" } } }
                            td { (histogram(&s.pit)) }
                        }
                    }
                }
            }
        }
    }
}

/// How often what came fell into each tenth of what was foreseen; level if the spread was right.
fn histogram(pit: &[u32; 10]) -> Markup {
    let most = pit.iter().copied().max().unwrap_or(0).max(1);
    let says: Vec<String> = pit.iter().map(u32::to_string).collect();
    html! {
        svg.pit viewBox="0 0 60 16" role="img" aria-label={ "in each tenth: " (says.join(", ")) } {
            @for (place, count) in pit.iter().enumerate() {
                @let height = count * 15 / most;
                rect x=(place * 6) width="5" y=(16 - height) height=(height) {}
            }
        }
    }
}
