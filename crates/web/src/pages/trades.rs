//! `/trades`: every trade, newest first, fifty a page; and the row that the square's stream uses.

use maud::{Markup, html};

use super::frame::{Live, Place, frame};
use super::is_reference;
use crate::digits::{NAME, TITLE, count, ends, moment, money, name, percent, plain, time_of_day};
use crate::view::{Economy, TradeState, TradeView};

/// Trades on a page of `/trades`.
pub const PAGE_TRADES: usize = 50;

/// What the page shows.
pub struct Page {
    before: Option<u64>,
    trades: Vec<TradeView>,
    /// The place to begin the next page at, if there is one.
    older: Option<u64>,
}

impl Page {
    /// Reads the page that begins below `before`.
    pub fn of(economy: &dyn Economy, before: Option<u64>) -> Page {
        // One more than is shown tells whether there is a next page.
        let mut trades = economy.trades(before, PAGE_TRADES + 1);
        let more = trades.len() > PAGE_TRADES;
        trades.truncate(PAGE_TRADES);
        let older = if more { trades.last().map(|trade| trade.sequence) } else { None };
        Page { before, trades, older }
    }
}

/// The page.
pub fn page(page: &Page) -> Markup {
    let main = html! {
        header.head {
            h1 { "Trades" }
            @if let (Some(newest), Some(oldest)) = (page.trades.first(), page.trades.last()) {
                p { (count(page.trades.len() as u64, "trade", "trades")) ", "
                    (moment(newest.at)) " back to " (moment(oldest.at)) }
            }
        }
        @if page.trades.is_empty() {
            p.quiet-note { "No trade is older than this." }
        } @else {
            ol.feed.long { @for trade in &page.trades { (row(trade)) } }
        }
        nav.pager aria-label="More trades" {
            @if page.before.is_some() { a href="/trades" { "Newest trades" } }
            @if let Some(older) = page.older { a rel="next" href={ "/trades?before=" (older) } { "Older trades" } }
        }
    };
    frame("Trades", Place::Trades, Live::Still, main)
}

/// A trade in a row: what came of it, who bought it from whom, the price. The whole row opens the
/// why-trail.
pub fn row(trade: &TradeView) -> Markup {
    let id = plain(&trade.id, 66);
    html! {
        li.trade id={ "t-" (id) } data-sequence=(trade.sequence) data-say=(said(trade)) {
            (thumbnail(trade))
            div.what {
                a href={ "/trades/" (id) } {
                    @match &trade.answer {
                        Some(answer) => { bdi { (plain(&answer.label, TITLE)) } }
                        None => { bdi { (plain(&trade.what, TITLE)) } }
                    }
                }
                @if let Some(answer) = &trade.answer { " " span.sure { (percent(answer.probability_ppm)) } }
                p.who { (name(&trade.buyer)) " bought " bdi { (plain(&trade.what, TITLE)) } " from " (name(&trade.seller)) }
                p.when {
                    (time_of_day(trade.at)) " "
                    @if let Some(hash) = &trade.transaction { span.tx { "tx " (ends(hash)) } }
                }
            }
            div.price { (money(trade.price)) (state(trade.state)) }
        }
    }
}

fn thumbnail(trade: &TradeView) -> Markup {
    html! {
        @if trade.pictured && is_reference(&trade.id) {
            img.thumb src={ "/pictures/" (trade.id) } width="56" height="56" alt="" loading="lazy" decoding="async";
        } @else {
            span class={ "thumb blank " (sign(trade.state)) } aria-hidden="true" {}
        }
    }
}

/// A trade's state as a sign, a word and a colour.
pub fn state(state: TradeState) -> Markup {
    let says = sign(state);
    html! { span class={ "state " (says) } { (says) } }
}

/// The word for a state, which is also the class that gives its sign and colour.
fn sign(state: TradeState) -> &'static str {
    match state {
        TradeState::Held => "held",
        TradeState::Settled => "settled",
        TradeState::Failed => "failed",
    }
}

/// What a screen reader says when the trade arrives.
fn said(trade: &TradeView) -> String {
    let (buyer, seller) = (plain(&trade.buyer, NAME), plain(&trade.seller, NAME));
    let price = trade.price;
    let what = plain(&trade.what, TITLE);
    match trade.state {
        TradeState::Held => format!("{buyer} set aside {price} to buy {what} from {seller}"),
        TradeState::Settled => format!("{buyer} paid {seller} {price} for {what}"),
        TradeState::Failed => format!("{buyer} did not buy {what} from {seller}"),
    }
}
