//! `/economy/{figure}`: the trades of which one figure is the sum, fifty a page.

use maud::{Markup, html};

use super::frame::{Live, Place, frame};
use super::trades::{PAGE_TRADES, row};
use crate::digits::{NAME, SENTENCE, TITLE, count, money, plain};
use crate::view::{CountedView, Economy};

/// What the page shows.
pub struct Page {
    figure: String,
    before: Option<u64>,
    counted: CountedView,
    older: Option<u64>,
}

impl Page {
    /// Reads one page of the figure's trades; none if there is no such figure.
    pub fn of(economy: &dyn Economy, figure: String, before: Option<u64>) -> Option<Page> {
        let mut counted = economy.counted(&figure, before, PAGE_TRADES + 1)?;
        let more = counted.trades.len() > PAGE_TRADES;
        counted.trades.truncate(PAGE_TRADES);
        let older = if more { counted.trades.last().map(|trade| trade.sequence) } else { None };
        Some(Page { figure, before, counted, older })
    }
}

/// The page.
pub fn page(page: &Page) -> Markup {
    let counted = &page.counted;
    let title = plain(&counted.title, TITLE);
    // A figure of this name was found, so it has no character that could bend the path.
    let path = format!("/economy/{}", plain(&page.figure, NAME));
    let main = html! {
        header.head {
            h1 { (title) }
            p { (count(counted.count, "trade", "trades")) @if let Some(sum) = counted.sum { ", together " (money(sum)) } }
        }
        p.lead {
            (plain(&counted.means, SENTENCE))
            @if counted.overrides > 0 {
                " " (count(counted.overrides, "of them is", "of them are")) " here because a reader typed them anew: "
                a href="/economy#overrides" { "why" } "."
            }
        }
        @if counted.trades.is_empty() {
            p.quiet-note { "No trade is in this figure." }
        } @else {
            ol.feed.long { @for trade in &counted.trades { (row(trade)) } }
        }
        nav.pager aria-label="More trades" {
            a href="/economy" { "The economy" }
            @if page.before.is_some() { a href=(path) { "Newest of these" } }
            @if let Some(older) = page.older { a rel="next" href={ (path) "?before=" (older) } { "Older ones" } }
        }
    };
    frame(&title, Place::Economy, Live::Still, main)
}
