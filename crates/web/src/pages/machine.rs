//! `/m/{name}`, a machine's sign: what it sells, how often it has worked, and how to buy.

use maud::{Markup, html};

use super::frame::{Live, Place, frame};
use super::square::card;
use crate::digits::{SENTENCE, TITLE, plain};
use crate::view::{MachineView, OfferView};

/// The page.
pub fn page(machine: &MachineView) -> Markup {
    let shown = plain(&machine.name, TITLE);
    let main = html! {
        h1.unseen { (shown) }
        section.machines aria-label="The machine" {
            ul.cards { (card(machine)) }
        }
        @for offer in &machine.offers { (how_to_buy(offer)) }
    };
    frame(&shown, Place::Elsewhere, Live::Still, main)
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
