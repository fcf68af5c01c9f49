//! The frame around every page: head, masthead, main, foot.

use maud::{DOCTYPE, Markup, html};

use crate::assets::{ASK, MARK, SCRIPT, STYLE};
use crate::engraving::band;

/// The places in the navigation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `/`.
    Square,
    /// `/trades` and what is below it.
    Trades,
    /// The labour market, its jobs, and each of them.
    Market,
    /// The economy and what its figures are made of.
    Economy,
    /// `/outlook`.
    Outlook,
    /// `/mine` and what is below it.
    Mine,
    /// None of them.
    Elsewhere,
}

/// What a page listens for.
#[derive(Clone, Copy)]
pub enum Live<'a> {
    /// Nothing: it is as it is.
    Still,
    /// Nothing; but its form is answered without a reload.
    Asking,
    /// Every trade after this sequence.
    Feed {
        /// The sequence of the newest trade shown; 0 if none is.
        since: u64,
    },
    /// News of any job; trades do not matter to it.
    Jobs,
    /// News of the tree of jobs that begins with this one.
    Job {
        /// The first job's name.
        id: &'a str,
    },
    /// News of this one trade.
    Trade {
        /// Its reference.
        id: &'a str,
        /// Its sequence.
        sequence: u64,
    },
}

/// The page, whole.
pub fn frame(title: &str, place: Place, live: Live<'_>, main: Markup) -> Markup {
    let (since, trade, jobs) = match live {
        Live::Still | Live::Asking => (None, None, None),
        Live::Feed { since } => (Some(since.to_string()), None, None),
        // The page is read again when its stream opens, so no place in it is needed.
        Live::Jobs => (Some(String::new()), None, Some("all")),
        Live::Job { id } => (Some(String::new()), None, Some(id)),
        // Its own news must come even if the trade changed before the page was opened.
        Live::Trade { id, sequence } => {
            (Some(sequence.saturating_sub(1).to_string()), Some(id), None)
        }
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="theme-color" content="#eef2ed" media="(prefers-color-scheme: light)";
                meta name="theme-color" content="#0c1411" media="(prefers-color-scheme: dark)";
                title { (title) " · Machina" }
                link rel="icon" type="image/svg+xml" href=(MARK.path);
                link rel="stylesheet" href=(STYLE.path);
                @if since.is_some() { script src=(SCRIPT.path) defer {} }
                @if matches!(live, Live::Asking) { script src=(ASK.path) defer {} }
            }
            body data-since=[since.as_deref()] data-trade=[trade] data-jobs=[jobs] {
                a.skip href="#main" { "Skip to the content" }
                header.masthead {
                    div.wide {
                        a.wordmark href="/" { (mark()) span { "Machina" } }
                        nav aria-label="Pages" {
                            (link("/", "Square", place == Place::Square))
                            (link("/trades", "Trades", place == Place::Trades))
                            (link("/market", "Market", place == Place::Market))
                            (link("/economy", "Economy", place == Place::Economy))
                            (link("/outlook", "Outlook", place == Place::Outlook))
                            (link("/mine", "Yours", place == Place::Mine))
                        }
                        @if since.is_some() {
                            p #lamp data-state="wait" hidden { span.glow aria-hidden="true" {} span #lamp-says { "Connecting" } }
                        }
                    }
                    (band())
                }
                main #main tabindex="-1" { div.wide { (main) } }
                p #said .unseen role="status" {}
                footer.foot {
                    div.wide {
                        p { strong { "MUSD is play money." } " It lives on this machine's own chain and nobody will redeem it. Any other asset is as real as its chain." }
                        p { "All times are UTC." }
                    }
                }
            }
        }
    }
}

fn link(path: &str, says: &str, here: bool) -> Markup {
    html! { a href=(path) aria-current=[here.then_some("page")] { (says) } }
}

/// The mark: two machines' orbits, and what passes between them.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="-50 -50 100 100" aria-hidden="true" focusable="false" {
            @for turn in [0, 36, 72, 108, 144] {
                ellipse rx="46" ry="17" transform={ "rotate(" (turn) ")" } {}
            }
        }
    }
}
