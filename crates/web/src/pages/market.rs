//! `/market`: what machines offer, found by words, with the reasons for its order; and jobs as they go.

use maud::{Markup, html};

use super::frame::{Live, Place, frame};
use super::jobs::row;
use super::square::path;
use crate::digits::{NAME, SENTENCE, TITLE, bare, count, grouped, money, name, percent, plain};
use crate::engraving::seal;
use crate::view::{
    Economy, MarketFiguresView, MarketOfferView, MarketQuestion, MarketView, RecordView,
};

/// Offers on a page of the market.
pub const PAGE_OFFERS: usize = 20;
/// Longest search, in characters.
const WORDS: usize = 200;
/// Reasons shown of one offer.
const REASONS: usize = 4;

/// What the page shows.
pub struct Page {
    question: MarketQuestion,
    market: MarketView,
}

impl Page {
    /// Reads the market; `None` if there is none.
    pub fn of(economy: &dyn Economy, words: &str, skip: usize) -> Option<Page> {
        let words = plain(words, WORDS).trim().to_owned();
        let question = MarketQuestion { words, skip };
        let mut market = economy.market(&question)?;
        market.offers.truncate(PAGE_OFFERS);
        Some(Page { question, market })
    }
}

/// The page.
pub fn page(page: &Page) -> Markup {
    let Page { question, market } = page;
    let main = html! {
        header.head { h1 { "The market" } p { "Machines compete for work, and are paid when it is checked." } }
        (figures(&market.figures))
        div.halves {
            section aria-labelledby="offers-head" {
                header.head {
                    h2 #offers-head { "Offers" }
                    p { (count(market.found, "offer", "offers")) @if !question.words.is_empty() { @if market.by_meaning { " for what you mean" } @else { " for these words" } } }
                }
                (search(question))
                div #offers data-live { (offers(page)) }
                (pager(page))
            }
            section aria-labelledby="jobs-head" {
                header.head { h2 #jobs-head { "Jobs" } }
                div #jobs data-live {
                    @if market.jobs.is_empty() { (quiet()) }
                    @else { ol.feed.long { @for job in &market.jobs { (row(job)) } } }
                }
                p.more { a href="/jobs" { "All jobs" } }
            }
        }
    };
    frame("The market", Place::Market, Live::Jobs, main)
}

fn figures(figures: &MarketFiguresView) -> Markup {
    html! {
        dl.measures.market-figures #market-figures data-live {
            div { dt { "Paid for work that passed" } dd { (bare(figures.paid)) " " span.of { "in " (count(figures.completed, "job", "jobs")) } } }
            div { dt { "Under way" } dd { (grouped(&figures.under_way.to_string())) } }
            div { dt { "In escrow" } dd { (bare(figures.escrow)) } }
            div { dt { "Failed their check" } dd { (grouped(&figures.rejected.to_string())) } }
            div { dt { "Given back" } dd { (grouped(&figures.expired.to_string())) } }
            div { dt { "Checkers" } dd { (grouped(&figures.checkers.to_string())) " " span.of { "stake " (bare(figures.staked)) } } }
        }
    }
}

fn search(question: &MarketQuestion) -> Markup {
    html! {
        form.search role="search" action="/market" method="get" {
            label.unseen for="q" { "Search the offers" }
            input #q type="search" name="q" value=(question.words) maxlength=(WORDS) placeholder="what a photograph shows";
            button type="submit" { "Search" }
        }
    }
}

fn offers(page: &Page) -> Markup {
    html! {
        @if page.market.offers.is_empty() {
            p.quiet-note {
                @if page.question.words.is_empty() { "Nobody offers work yet." }
                @else { "No offer was found for these words. " a href="/market" { "All offers" } }
            }
        } @else {
            ol.offers { @for offer in &page.market.offers { (listed(offer)) } }
        }
    }
}

fn listed(offer: &MarketOfferView) -> Markup {
    html! {
        li.card {
            (seal(&offer.address))
            div.title {
                h3 { a href=[path(&offer.machine)] { (name(&offer.machine)) } }
                p { (plain(&offer.title, TITLE)) " " code { (plain(&offer.service, NAME)) } }
            }
            span.cost { (money(offer.price)) }
            div.about {
                @if !offer.model.is_empty() { p.model { code { (plain(&offer.model, TITLE)) } } }
                (record(&offer.record))
                @if !offer.reasons.is_empty() {
                    ul.reasons { @for reason in offer.reasons.iter().take(REASONS) { li { (plain(reason, SENTENCE)) } } }
                }
                p.of { (grouped(&offer.busy.to_string())) " of " (count(u64::from(offer.capacity), "place", "places")) " taken" }
            }
        }
    }
}

/// A record as a bar from its lower to its upper bound, with its expected value; said in words too.
pub fn record(record: &RecordView) -> Markup {
    let thousandth = |ppm: u32| ppm.min(1_000_000) / 1_000;
    let (low, mean, high) =
        (thousandth(record.low_ppm), thousandth(record.mean_ppm), thousandth(record.high_ppm));
    html! {
        div.record {
            p {
                @if record.passed + record.failed == 0 {
                    "No record yet: new here"
                } @else {
                    "Passes at least " strong { (percent(record.low_ppm)) } " "
                    span.of { "expected " (percent(record.mean_ppm)) ", of " (count(u64::from(record.passed + record.failed), "piece", "pieces")) " of evidence" }
                }
            }
            svg.interval viewBox="0 0 1000 12" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                rect.rest y="4" width="1000" height="4" {}
                rect.full x=(low) y="2" width=(high.saturating_sub(low).max(4)) height="8" {}
                rect.mean x=(mean.saturating_sub(3)) width="6" height="12" {}
            }
        }
    }
}

fn pager(page: &Page) -> Markup {
    let Page { question, market } = page;
    let next = question.skip.saturating_add(market.offers.len());
    let words = encoded(&question.words);
    html! {
        nav.pager aria-label="More offers" {
            @if question.skip > 0 { a href={ "/market?q=" (words) } { "Best offers" } }
            @if (next as u64) < market.found && !market.offers.is_empty() {
                a rel="next" href={ "/market?q=" (words) "&skip=" (next) } { "More offers" }
            }
        }
    }
}

/// A search as part of an address.
fn encoded(words: &str) -> String {
    words.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

fn quiet() -> Markup {
    html! {
        p.quiet-note { "Nobody has hired anybody yet. Try it with pictures of your own:" }
        pre tabindex="0" { code { "machina hire \"what is in these pictures?\" \\\n  *.jpg --budget 0.05" } }
    }
}
