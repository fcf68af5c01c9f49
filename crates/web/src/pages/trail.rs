//! `/trades/{id}`, the why-trail: how one trade came about, stage by stage, with what each left.

use maud::{Markup, html};
use money::Timestamp;

use super::frame::{Live, Place, frame};
use super::is_reference;
use super::trades::state;
use crate::digits::{
    NAME, SENTENCE, TITLE, bar, ends, grouped, later, moment, money, name, percent, permille,
    plain, time_of_day,
};
use crate::view::{
    AnswerView, DecisionView, EntryStatus, EntryView, HoldView, QuoteView, RuleView, SignatureView,
    Stage, TradeState, TradeView, TrailView, TransactionView, WorkView,
};

/// Answers, rules and entries shown of one trade, each.
const ROWS: usize = 20;

/// The page.
pub fn page(trail: &TrailView) -> Markup {
    let trade = &trail.trade;
    let main = html! {
        article.trail #trail data-live {
            header.head.trail-head {
                p.crumb { a href="/trades" { "Trades" } " / No. " (grouped(&trade.sequence.to_string())) }
                h1 { (headline(trade)) }
                p.sum { (money(trade.price)) " " (state(trade.state)) " " span.when { (moment(trade.at)) " UTC" } }
            }
            div.trail-body {
                (exhibit(trail))
                (stages(trail))
            }
        }
    };
    let live = match trade.state {
        TradeState::Held => Live::Trade { id: &trade.id, sequence: trade.sequence },
        TradeState::Settled | TradeState::Failed => Live::Still,
    };
    let title = format!("Trade {}", trade.sequence);
    frame(&title, Place::Trades, live, main)
}

fn headline(trade: &TradeView) -> Markup {
    let (buyer, seller) = (name(&trade.buyer), name(&trade.seller));
    let what = html! { bdi { (plain(&trade.what, TITLE)) } };
    match trade.state {
        TradeState::Settled => html! { (buyer) " paid " (seller) " for " (what) },
        TradeState::Held => html! { (buyer) " is buying " (what) " from " (seller) },
        TradeState::Failed => html! { (buyer) " did not buy " (what) " from " (seller) },
    }
}

/// What the trade was about: the photograph, and what the worker saw in it.
fn exhibit(trail: &TrailView) -> Markup {
    let answers = match &trail.work {
        Stage::Done { fact, .. } => fact.answers.as_slice(),
        Stage::NotYet | Stage::Missing { .. } => &[],
    };
    let pictured = trail.trade.pictured && is_reference(&trail.trade.id);
    html! {
        @if pictured || !answers.is_empty() {
            aside.exhibit aria-label="What was seen" {
                @if pictured {
                    img src={ "/pictures/" (trail.trade.id) } alt=(described(answers)) decoding="async";
                }
                @if !answers.is_empty() {
                    ol.answers { @for answer in answers.iter().take(ROWS) { (seen(answer)) } }
                }
            }
        }
    }
}

fn described(answers: &[AnswerView]) -> String {
    match answers.first() {
        Some(best) => format!(
            "The photograph; most likely {}, {}",
            plain(&best.label, TITLE),
            percent(best.probability_ppm)
        ),
        None => "The photograph that was sent".to_owned(),
    }
}

fn seen(answer: &AnswerView) -> Markup {
    html! {
        li {
            span.label { bdi { (plain(&answer.label, TITLE)) } }
            span.sure { (percent(answer.probability_ppm)) }
            (bar(permille(i128::from(answer.probability_ppm), 1_000_000)))
        }
    }
}

fn stages(trail: &TrailView) -> Markup {
    let mut clock = Clock { last: None };
    html! {
        ol.stages {
            (stage(&mut clock, "Quote", "The seller named its price", &trail.quote, quote))
            (stage(&mut clock, "Mandate", "The owner's rules were asked", &trail.decision, decision))
            (stage(&mut clock, "Hold", "Money was set aside, before any work", &trail.hold, hold))
            (stage(&mut clock, "Signature", "The buyer signed this one payment", &trail.signature, signature))
            (stage(&mut clock, "Work", "The seller's machine worked", &trail.work, work))
            (stage(&mut clock, "Transaction", "The chain moved the money", &trail.transaction, transaction))
            (stage(&mut clock, "Entries", "Both books remember", &trail.entries, |rows| entries(rows)))
        }
    }
}

/// The time of the stage before, to tell how long each took.
struct Clock {
    last: Option<Timestamp>,
}

impl Clock {
    fn took(&mut self, at: Timestamp) -> String {
        self.last.replace(at).map(|last| later(at, last)).unwrap_or_default()
    }
}

fn stage<T>(
    clock: &mut Clock,
    title: &str,
    says: &str,
    stage: &Stage<T>,
    body: impl Fn(&T) -> Markup,
) -> Markup {
    match stage {
        Stage::Done { at, fact } => {
            let took = clock.took(*at);
            html! {
                li.stage.done {
                    header {
                        h2 { (title) }
                        p.says { (says) }
                        p.when { (time_of_day(*at)) @if !took.is_empty() { " " span.took { (took) } } }
                    }
                    (body(fact))
                }
            }
        }
        Stage::NotYet => html! {
            li.stage.not-yet { header { h2 { (title) } p.says { "Not yet" } } }
        },
        Stage::Missing { reason } => html! {
            li.stage.missing {
                header { h2 { (title) } p.says { "Did not happen" } }
                p.reason { (plain(reason, SENTENCE)) }
            }
        },
    }
}

fn quote(quote: &QuoteView) -> Markup {
    html! {
        dl.facts {
            div { dt { "Price" } dd { (money(quote.price)) } }
            div { dt { "To" } dd { (ends(&quote.pay_to.to_string())) } }
            div { dt { "Scheme" } dd { (plain(&quote.scheme, NAME)) " on " (plain(&quote.network, NAME)) } }
            div.line { dt { "For" } dd { code { (plain(&quote.resource, SENTENCE)) } } }
        }
    }
}

fn decision(decision: &DecisionView) -> Markup {
    html! {
        p.verdict { @if decision.allowed { "Allowed: every rule was kept." } @else { "Refused." } }
        ul.rules { @for rule in decision.rules.iter().take(ROWS) { (kept(rule)) } }
    }
}

fn kept(rule: &RuleView) -> Markup {
    html! {
        li class=(if rule.kept { "kept" } else { "broken" }) {
            span.unseen { @if rule.kept { "Kept: " } @else { "Broken: " } }
            span.rule { (plain(&rule.rule, SENTENCE)) }
            @if let Some(left) = rule.left { span.left { (money(left)) " left" } }
        }
    }
}

fn hold(hold: &HoldView) -> Markup {
    html! {
        dl.facts {
            div { dt { "Amount" } dd { (money(hold.amount)) } }
            div { dt { "Account" } dd { (plain(&hold.account, TITLE)) } }
            div { dt { "Until" } dd { (moment(hold.expires)) } }
        }
    }
}

fn signature(signature: &SignatureView) -> Markup {
    html! {
        dl.facts {
            div { dt { "Payer" } dd { (ends(&signature.payer.to_string())) } }
            div { dt { "Nonce" } dd { (ends(&signature.nonce)) } }
            div { dt { "Signature" } dd { (ends(&signature.signature)) } }
            div.line { dt { "Valid" } dd { (moment(signature.valid_after)) " to " (moment(signature.valid_before)) } }
        }
    }
}

fn work(work: &WorkView) -> Markup {
    html! {
        dl.facts {
            div { dt { "Worker" } dd { (plain(&work.worker, TITLE)) } }
            div { dt { "Sent" } dd { (ends(&work.input_digest)) } }
            div { dt { "Answer" } dd { (ends(&work.output_digest)) } }
        }
    }
}

fn transaction(transaction: &TransactionView) -> Markup {
    html! {
        dl.facts {
            div { dt { "Result" } dd { @if transaction.succeeded { "succeeded" } @else { "reverted" } } }
            div { dt { "Block" } dd { (grouped(&transaction.block.to_string())) } }
            div { dt { "Gas" } dd { (grouped(&transaction.gas.to_string())) } }
            div.line { dt { "Hash" } dd { code { (plain(&transaction.hash, SENTENCE)) } } }
        }
    }
}

fn entries(entries: &[EntryView]) -> Markup {
    html! {
        ul.entries { @for entry in entries.iter().take(ROWS) { (entry_row(entry)) } }
        @if entries.len() > ROWS { p.reason { "and " (entries.len() - ROWS) " more" } }
    }
}

fn entry_row(entry: &EntryView) -> Markup {
    let (class, status) = match entry.status {
        EntryStatus::Pending => ("held", "pending"),
        EntryStatus::Posted => ("settled", "posted"),
        EntryStatus::Voided => ("failed", "voided"),
        EntryStatus::Expired => ("failed", "expired"),
    };
    html! {
        li {
            p.book { (name(&entry.book)) "’s book" }
            p.posting {
                span { span.side { "debit" } " " bdi { (plain(&entry.debit, TITLE)) } }
                span { span.side { "credit" } " " bdi { (plain(&entry.credit, TITLE)) } }
            }
            p.amount { (money(entry.amount)) }
            p.kind { (plain(&entry.kind, NAME)) " " span class={ "state " (class) } { (status) } " " span.when { (time_of_day(entry.at)) } }
        }
    }
}
