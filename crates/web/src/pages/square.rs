//! `/`, the square: the economy in figures, its machines, and the stream of trades.

use maud::{Markup, html};

use super::frame::{Live, Place, frame};
use super::trades::row;
use crate::chart::chart;
use crate::digits::{
    NAME, SENTENCE, TITLE, bar, bare, count, grouped, money, name, permille, plain,
};
use crate::engraving::{medallion, seal};
use crate::view::{
    BooksView, Economy, FiguresView, MachineStatus, MachineView, OfferView, TradeView,
};

/// Trades in the square's stream.
pub const SQUARE_TRADES: usize = 10;
/// Machines shown on the square.
pub const SQUARE_MACHINES: usize = 48;
/// Offers shown of one machine.
const OFFERS: usize = 6;

/// What the page shows.
pub struct Square {
    figures: FiguresView,
    machines: Vec<MachineView>,
    trades: Vec<TradeView>,
}

impl Square {
    /// Reads the square.
    pub fn of(economy: &dyn Economy) -> Square {
        // Trades first: a trade that comes meanwhile is then told by the stream, at worst twice.
        let trades = economy.trades(None, SQUARE_TRADES);
        Square { trades, figures: economy.figures(), machines: economy.machines() }
    }
}

/// The page.
pub fn page(square: &Square) -> Markup {
    let main = html! {
        h1.unseen { "The square" }
        @if square.trades.is_empty() { (quiet()) }
        (figures(&square.figures))
        div.halves {
            (stream(square))
            (machines(&square.machines))
        }
    };
    let since = square.trades.first().map_or(0, |trade| trade.sequence);
    frame("The square", Place::Square, Live::Feed { since }, main)
}

fn figures(figures: &FiguresView) -> Markup {
    let share = permille(figures.value_added.minor(), figures.turnover.minor());
    html! {
        section.note #figures data-live aria-labelledby="figures-head" {
            (medallion())
            div.gdp {
                h2 #figures-head { "Machine GDP" }
                p.grand { (money(figures.production)) }
                dl.ways {
                    div { dt { "produced" } dd { (bare(figures.production)) } }
                    div { dt { "spent" } dd { (bare(figures.expenditure)) } }
                    div { dt { "earned" } dd { (bare(figures.income)) } }
                }
                (three_ways(figures))
                (books(&figures.books))
            }
            (chart(&figures.series))
            dl.measures {
                div.with-bar {
                    dt { "Value added, of turnover" }
                    dd { (bare(figures.value_added)) " " span.of { "of " (bare(figures.turnover)) } }
                    (bar(share))
                }
                div { dt { "Money supply" } dd { (bare(figures.supply)) } }
                div { dt { "Velocity" } dd {
                    @match &figures.velocity { Some(velocity) => { (plain(velocity, NAME)) } None => { "none yet" } }
                } }
                div { dt { "Trades settled" } dd { (grouped(&figures.trades.to_string())) } }
                div { dt { "Machines at work" } dd { (grouped(&figures.machines_at_work.to_string())) } }
                div { dt { "Set aside" } dd {
                    (bare(figures.held)) " " span.of { "in " (count(figures.holds_open, "hold", "holds")) }
                } }
            }
        }
    }
}

/// Whether GDP is the same three ways (invariant 8), said rather than assumed.
fn three_ways(figures: &FiguresView) -> Markup {
    let equal = figures.production == figures.expenditure && figures.expenditure == figures.income;
    html! {
        @if equal { p.vouch.good { "Three ways of counting, one sum" } }
        @else { p.vouch.bad { "The three ways of counting differ: the accounts are wrong" } }
    }
}

fn books(books: &BooksView) -> Markup {
    match books {
        BooksView::Equal { block } => html! {
            p.vouch.good { "Books equal the chain at block " (grouped(&block.to_string())) }
        },
        BooksView::Differ { block, by } => html! {
            p.vouch.bad role="alert" {
                "Books and chain differ by " (money(*by)) " at block " (grouped(&block.to_string()))
            }
        },
        BooksView::Unknown { reason } => html! {
            p.vouch.open { "Books not compared with the chain: " (plain(reason, SENTENCE)) }
        },
    }
}

fn stream(square: &Square) -> Markup {
    html! {
        section.stream aria-labelledby="stream-head" {
            header.head {
                h2 #stream-head { "Trades" }
                button #pause type="button" aria-pressed="false" hidden { "Pause" }
            }
            ol.feed #feed data-most=(SQUARE_TRADES) aria-labelledby="stream-head" {
                @for trade in &square.trades { (row(trade)) }
            }
            p.more { a href="/trades" { "All trades" } }
        }
    }
}

/// The square before the first trade: what to do, ahead of a page of zeros.
fn quiet() -> Markup {
    html! {
        section.quiet-square #quiet aria-labelledby="quiet-head" {
            h2 #quiet-head { "The square is quiet" }
            p.lead { "Nobody has traded yet. The first trade appears here by itself." }
            div.tries {
                div {
                    p { "Let a shopper machine buy the classification of a few photographs:" }
                    pre tabindex="0" { code { "machina demo" } }
                }
                div {
                    p { "Or send a picture of your own, and pay for it:" }
                    pre tabindex="0" { code { "machina pay --data @photo.jpg \\\n  http://localhost:4020/m/vision/classify" } }
                }
            }
        }
    }
}

fn machines(machines: &[MachineView]) -> Markup {
    html! {
        section.machines #machines data-live aria-labelledby="machines-head" {
            header.head {
                h2 #machines-head { "Machines" }
                @if machines.len() > SQUARE_MACHINES {
                    p { (SQUARE_MACHINES) " of " (grouped(&machines.len().to_string())) }
                }
            }
            @if machines.is_empty() {
                p.quiet-note { "No machine has come to the square yet. " code { "machina demo" } " brings two." }
            }
            ul.cards {
                @for machine in machines.iter().take(SQUARE_MACHINES) { (card(machine)) }
            }
        }
    }
}

/// A machine, as the square and its own page show it.
pub fn card(machine: &MachineView) -> Markup {
    let (status, says) = match machine.status {
        MachineStatus::Working => ("working", "at work"),
        MachineStatus::Ready => ("ready", "ready"),
        MachineStatus::Stopped => ("stopped", "stopped"),
    };
    html! {
        li.card {
            (seal(&machine.address))
            div.title {
                h3 { a href=[path(&machine.name)] { (name(&machine.name)) } }
                p { "owned by " (name(&machine.owner)) " " code title=(machine.address) { (machine.address.short()) } }
            }
            span class={ "status " (status) } { (says) }
            @if machine.offers.is_empty() {
                p.sells { "Buys only; sells nothing." }
            } @else {
                ul.sells {
                    @for offer in machine.offers.iter().take(OFFERS) { (sells(offer)) }
                    @if machine.offers.len() > OFFERS {
                        li.rest { "and " (machine.offers.len() - OFFERS) " more" }
                    }
                }
            }
            dl.purse {
                div { dt { "Balance" } dd { (money(machine.balance)) } }
                @if !machine.offers.is_empty() || machine.sold > 0 {
                    div { dt { "Earned" } dd { (money(machine.earned)) span.of { "in " (count(machine.sold, "sale", "sales")) } } }
                }
                @if machine.bought > 0 || machine.mandate.is_some() {
                    div { dt { "Spent" } dd { (money(machine.spent)) span.of { "in " (count(machine.bought, "purchase", "purchases")) } } }
                }
                @if let Some(mandate) = machine.mandate {
                    div.with-bar {
                        dt { "Mandate left" }
                        dd { (money(mandate.left)) span.of { "of " (mandate.limit) } }
                        (bar(permille(mandate.left.minor(), mandate.limit.minor())))
                    }
                }
            }
        }
    }
}

/// Where a machine's own page is; `None` for a name without end. Names are strangers' text: what is
/// no letter, digit, `-` or `_` is written as `%XX`.
pub fn path(name: &str) -> Option<String> {
    const LONGEST: usize = 64;
    (name.len() <= LONGEST).then(|| {
        name.bytes().fold(String::from("/m/"), |mut path, byte| {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
            path
        })
    })
}

fn sells(offer: &OfferView) -> Markup {
    html! {
        li {
            span.offer { bdi { (plain(&offer.title, TITLE)) } }
            span.cost { (money(offer.price)) }
            code.call { (plain(&offer.method, 10)) " " (plain(&offer.url, SENTENCE)) }
        }
    }
}
