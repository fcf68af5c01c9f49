//! `/mine/approvals`: purchases that wait for the person's word, and what became of others.

use maud::{Markup, html};

use super::super::frame::{Live, Place, frame};
use super::super::is_reference;
use crate::digits::{NAME, SENTENCE, ends, grouped, moment, money, name, plain};
use crate::view::{ApprovalStateView, ApprovalView};

/// The page; `form` is the word that its forms carry, `trouble` what went wrong with the last one.
pub fn approvals(all: &[ApprovalView], form: &str, trouble: Option<&str>) -> Markup {
    let (waiting, decided): (Vec<_>, Vec<_>) =
        all.iter().partition(|one| one.state == ApprovalStateView::Waiting);
    let main = html! {
        header.head {
            h1 { "Purchases that ask you" }
            p { "Your machine's mandate lets these go only with your word. Each yes is for that one purchase, once." }
        }
        @if let Some(trouble) = trouble { p.failed.state.trouble-line role="alert" { (plain(trouble, SENTENCE)) } }
        @if waiting.is_empty() {
            p.quiet-note { "Nothing waits. A mandate that asks is granted by " code { "machina grant 5 --ask-above 0.05" } "." }
        } @else {
            ul.approvals { @for one in &waiting { (card(one, form)) } }
        }
        @if !decided.is_empty() {
            h2 { "Decided" }
            ul.approvals.decided { @for one in &decided { (line(one)) } }
        }
        p { a href="/mine/approvals" { "Look again" } }
    };
    frame("Purchases that ask you", Place::Mine, Live::Still, main)
}

fn card(one: &ApprovalView, form: &str) -> Markup {
    html! {
        li.approval #{ "a" (plain(&one.id, NAME)) } {
            p.ask { (name(&one.machine)) " wants to pay " (name(&one.payee_name)) " at most " strong { (money(one.amount)) } }
            p.to { code { (plain(&one.method, 10)) " " (plain(&one.url, 2_000)) } }
            @if one.bytes > 0 {
                p.of {
                    "It sends " (grouped(&one.bytes.to_string())) " bytes"
                    @if let Some(kind) = &one.media_type { " of " (plain(kind, NAME)) }
                    ", sha256 " code { (plain(&one.sha256, 64)) }
                    @if one.begins.is_some() { ", which begin:" } @else { "." }
                }
                @if let Some(begins) = &one.begins { pre tabindex="0" { code { (plain(begins, SENTENCE)) } } }
            }
            @if let Some(described) = &one.described {
                p.of { "The seller says, and nobody has checked it: " q { (plain(described, SENTENCE)) } }
            }
            p.of { "To " (ends(&one.payee.to_string())) " · asked " (moment(one.asked_at)) " UTC · decide until " (moment(one.decide_by)) " UTC" }
            form.decide method="post" action="/mine/approvals" {
                input type="hidden" name="form" value=(form);
                input type="hidden" name="id" value=(one.reference);
                button type="submit" name="decision" value="accept" { "Pay at most " (money(one.amount)) ", once" }
                button.no type="submit" name="decision" value="refuse" { "Refuse" }
            }
        }
    }
}

fn line(one: &ApprovalView) -> Markup {
    let (sign, word) = match one.state {
        ApprovalStateView::Waiting => ("held", "waits"),
        ApprovalStateView::Accepted => ("held", "accepted, not bought yet"),
        ApprovalStateView::Used => ("settled", "accepted and bought"),
        ApprovalStateView::Refused => ("failed", "refused"),
        ApprovalStateView::Expired => ("failed", "its time is over"),
    };
    html! {
        li.approval {
            p {
                span class={ "state " (sign) } { (word) } " "
                (money(one.amount)) " to " (name(&one.payee_name)) " · " (moment(one.asked_at)) " UTC"
            }
            p.of { code { (plain(&one.method, 10)) " " (plain(&one.url, 300)) } }
            @if let Some(trade) = one.trade.as_deref().filter(|trade| is_reference(trade)) {
                p { a href={ "/trades/" (trade) } { "The trade" } }
            }
        }
    }
}
