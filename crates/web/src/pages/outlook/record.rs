//! The record: every projection and claim that was entered, and what became of it, misses too.

use maud::{Markup, html};
use outlook::record::{Entry, Foreseen, Verdict, judge};
use outlook::{Date, Facts, number};

use crate::digits::{SENTENCE, ends, grouped, plain};
use crate::view::RecordedView;

/// Most entries shown: the newest, and always the first four.
const SHOWN: usize = 500;

/// The record as it stands on a day.
pub fn record(texts: &[RecordedView], facts: &Facts, today: Date) -> Markup {
    let left_out = texts.len().saturating_sub(SHOWN);
    html! {
        div.scroll.tall tabindex="0" role="region" aria-label="The record" {
            table.figures.record {
                thead { tr {
                    th scope="col" { "entered" }
                    th scope="col" { "due" }
                    th scope="col" { "what was said" }
                    th scope="col" { "what became of it" }
                    th scope="col" { "hash" }
                    th scope="col" { "on the chain" }
                } }
                tbody { @for text in texts.iter().take(SHOWN) { (line(text, facts, today)) } }
            }
        }
        @if left_out > 0 { p.quiet-note { (left_out) " more are not shown here: " code { "machina outlook record" } " lists them all." } }
        p.quiet-note {
            "An entry is text that is named by its SHA-256; who has put that on the chain before the outcome cannot change the text after it. The source gave no dates: 2030 and 2034 are assumed here. Enter your own: "
            code { "machina outlook record --commit" } "."
        }
    }
}

fn line(text: &RecordedView, facts: &Facts, today: Date) -> Markup {
    let entry = Entry::read(&text.hash, &text.text);
    html! {
        tr {
            @match &entry {
                Ok(entry) => {
                    td.day { (entry.made) }
                    td.day { "end of " (entry.year) }
                    td { (said(entry)) }
                    td { (became(&judge(entry, facts, today))) }
                }
                Err(why) => {
                    td { "–" }
                    td { "–" }
                    td { span.bad { "not as it was entered" } }
                    td { (plain(&why.to_string(), SENTENCE)) }
                }
            }
            td.day { (ends(&text.hash)) }
            td {
                @match &text.inscribed {
                    Some(found) => {
                        "since block " (grouped(&found.block.to_string())) " "
                        span.of { (ends(&found.transaction)) }
                    }
                    None => { span.of { "no" } }
                }
            }
        }
    }
}

fn said(entry: &Entry) -> Markup {
    html! {
        @match &entry.foreseen {
            Foreseen::Claim { words, .. } => { (plain(words, SENTENCE)) }
            Foreseen::Projection { given, quantiles, draws, .. } => {
                "A projection"
                @if !given.is_empty() { " with " (plain(&given.join(", "), SENTENCE)) }
                ", " (grouped(&draws.to_string())) " draws: "
                @for (place, (quantity, q)) in quantiles.iter().enumerate() {
                    @if place > 0 { ", " }
                    (super::tables::called(*quantity)) " " (number::dollars(q[4]))
                    span.of { " (" (number::dollars(q[1])) " to " (number::dollars(q[7])) ")" }
                }
            }
        }
    }
}

fn became(verdict: &Verdict) -> Markup {
    html! {
        @match verdict {
            Verdict::Open { due } => { span.open { "open until " (due) } }
            Verdict::Unmeasured { why } => { span.open { "not scored: " (plain(why, SENTENCE)) } }
            Verdict::Scored { observed, score, held: true } => {
                span.good { "held" } ": " (number::dollars(*observed)) " came, score " (format!("{score:.2}"))
            }
            Verdict::Scored { observed, score, held: false } => {
                span.bad { "missed" } ": " (number::dollars(*observed)) " came, off by " (format!("{score:.2}")) " in logarithms"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use outlook::record::Entry;
    use outlook::{Date, Facts};

    use super::record;
    use crate::view::RecordedView;

    fn kept(entry: &Entry) -> RecordedView {
        RecordedView { hash: entry.hash(), text: entry.text(), inscribed: None }
    }

    #[test]
    fn every_entry_is_shown_also_misses_and_what_was_changed() {
        let facts = Facts::bundled();
        let mut missed = Entry::first().remove(1);
        missed.year = 2025;
        let mut changed = kept(&missed);
        changed.text = changed.text.replacen("year 2025", "year 2026", 1);
        let texts = [kept(&missed), changed];
        let page = record(&texts, &facts, Date::parse("2026-11-23").expect("a date")).into_string();
        assert!(page.contains("missed") && page.contains("off by"), "{page}");
        assert!(page.contains("not as it was entered") && page.contains("was changed"), "{page}");
        assert_eq!(page.matches("<tr").count(), 3);
    }
}
