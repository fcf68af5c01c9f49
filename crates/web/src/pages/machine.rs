//! `/m/{name}`, a machine's sign: what it sells, how often and how well it has worked, and how to buy.

use maud::{Markup, html};

use super::frame::{Live, Place, frame};
use super::market::record;
use super::square::card;
use crate::digits::{NAME, SENTENCE, TITLE, count, moment, money, plain};
use crate::view::{MachineView, OfferView, SkillView};

/// The page.
pub fn page(machine: &MachineView) -> Markup {
    let shown = plain(&machine.name, TITLE);
    let main = html! {
        h1.unseen { (shown) }
        section.machines #machine data-live aria-label="The machine" {
            h2.unseen { "What it is and sells" }
            ul.cards { (card(machine)) }
            @if let Some(since) = machine.up_since { p.uptime { "Up without a break since " (moment(since)) " UTC" } }
            @if !machine.skills.is_empty() {
                h2.skills-head { "Skills" }
                ul.skills { @for skill in &machine.skills { (skilled(skill)) } }
            }
        }
        @for offer in &machine.offers { (how_to_buy(offer)) }
    };
    let live = if machine.skills.is_empty() { Live::Still } else { Live::Jobs };
    frame(&shown, Place::Elsewhere, live, main)
}

/// One skill with its record, in the words of checks and not of its owner.
fn skilled(skill: &SkillView) -> Markup {
    html! {
        li {
            p.skill { strong { (plain(&skill.service, NAME)) } @if !skill.model.is_empty() { " " code { (plain(&skill.model, TITLE)) } } }
            p.asked { "asks " (money(skill.price)) }
            (record(&skill.record))
            p.of { (count(skill.completed, "job", "jobs")) " passed and paid, " (money(skill.earned)) " earned" @if !skill.takes.is_empty() { ", half of them within " (plain(&skill.takes, NAME)) } }
        }
    }
}

fn how_to_buy(offer: &OfferView) -> Markup {
    let url = plain(&offer.url, SENTENCE);
    html! {
        section.quiet-square.how {
            h2 { "How to buy" }
            p.lead { (plain(&offer.about, SENTENCE)) }
            div.tries {
                div {
                    p { "From a terminal, under the shopper's mandate:" }
                    pre tabindex="0" { code { "machina pay --data @photo.jpg \\\n  " (url) } }
                }
                div {
                    p { "From a program, with any x402 client. This shows the quote:" }
                    pre tabindex="0" { code { "curl -i -X " (plain(&offer.method, 10)) " \\\n  " (url) } }
                }
            }
        }
    }
}
