//! Who pays whom, as ribbons as wide as the money: SVG made here, and the same figures as a table.
//!
//! Payers stand on the left, those they paid on the right; one who does both stands on both sides.
//! Positions are whole drawing units computed from integer amounts, so the same figures give the
//! same bytes.

use std::collections::BTreeMap;

use maud::{Markup, html};
use money::Amount;

use crate::digits::{NAME, bare, count, name, permille, plain};
use crate::view::HiringView;

/// Ribbons that are drawn; the rest is in the table.
const RIBBONS: usize = 24;
/// Rows of the table.
const ROWS: usize = 50;
const WIDTH: i128 = 1000;
/// Height for all ribbons together: so much for each, and at most this; and the gap between parties.
const ROOM_EACH: i128 = 120;
const ROOM: i128 = 360;
const GAP: i128 = 18;
/// Width of a party's bar, and where the ribbons begin and end.
const BAR: i128 = 10;

/// One ribbon, in drawing units.
#[derive(Debug, PartialEq, Eq)]
struct Ribbon {
    left: i128,
    right: i128,
    thick: i128,
    ink: usize,
}

/// A party's bar on one side.
#[derive(Debug, PartialEq, Eq)]
struct Post {
    name: String,
    top: i128,
    tall: i128,
}

/// The drawing and its table.
pub fn sankey(hirings: &[HiringView], others: Amount) -> Markup {
    if hirings.is_empty() {
        return html! { p.chart-empty { "Nobody has paid anybody for work yet." } };
    }
    let drawn = &hirings[..hirings.len().min(RIBBONS)];
    let (ribbons, payers, payees) = layout(drawn);
    let height = [&payers, &payees]
        .into_iter()
        .filter_map(|posts| posts.last())
        .map(|post| post.top + post.tall)
        .max()
        .unwrap_or(0);
    let middle = WIDTH / 2;
    html! {
        figure.chart.sankey {
            figcaption { "Who pays whom, in " (hirings[0].amount.asset().code()) }
            svg viewBox={ "-4 -4 " (WIDTH + 8) " " (height + 8) } role="img" aria-labelledby="sankey-says" {
                title id="sankey-says" {
                    (count(drawn.len() as u64, "stream", "streams"))
                    " of money from payers on the left to those they paid on the right, as wide as the sum. The same figures are in the table below."
                }
                @for ribbon in &ribbons {
                    path class={ "ribbon ink-" (ribbon.ink % 4) } d={
                        "M" (BAR) " " (ribbon.left)
                        "C" (middle) " " (ribbon.left) " " (middle) " " (ribbon.right) " " (WIDTH - BAR) " " (ribbon.right)
                        "v" (ribbon.thick)
                        "C" (middle) " " (ribbon.right + ribbon.thick) " " (middle) " " (ribbon.left + ribbon.thick) " " (BAR) " " (ribbon.left + ribbon.thick) "Z"
                    } {}
                }
                @for post in &payers { (bar(post, 0, BAR + 8, "start")) }
                @for post in &payees { (bar(post, WIDTH - BAR, WIDTH - BAR - 8, "end")) }
            }
            (table(hirings, others))
        }
    }
}

fn bar(post: &Post, x: i128, says_x: i128, anchor: &str) -> Markup {
    html! {
        rect.post x=(x) y=(post.top) width=(BAR) height=(post.tall) {}
        text x=(says_x) y=(post.top + post.tall / 2) dominant-baseline="central" text-anchor=(anchor) { (post.name) }
    }
}

/// Where everything stands. Each party's bar is as tall as its ribbons together.
fn layout(hirings: &[HiringView]) -> (Vec<Ribbon>, Vec<Post>, Vec<Post>) {
    let sum = hirings.iter().fold(0i128, |sum, hiring| sum.saturating_add(hiring.amount.minor()));
    let room = (ROOM_EACH * hirings.len() as i128).min(ROOM);
    // At least one unit, so that nobody who was paid is invisible.
    let thick = |amount: Amount| (i128::from(permille(amount.minor(), sum)) * room / 1000).max(1);
    let (payers, left_of) = posts(hirings, |hiring| &hiring.payer, &thick);
    let (payees, right_of) = posts(hirings, |hiring| &hiring.payee, &thick);
    let mut used_left = vec![0; payers.len()];
    let mut used_right = vec![0; payees.len()];
    let ribbons = hirings
        .iter()
        .map(|hiring| {
            let (from, to) = (left_of[&hiring.payer], right_of[&hiring.payee]);
            let thick = thick(hiring.amount);
            let ribbon = Ribbon {
                left: payers[from].top + used_left[from],
                right: payees[to].top + used_right[to],
                thick,
                ink: from,
            };
            used_left[from] += thick;
            used_right[to] += thick;
            ribbon
        })
        .collect();
    (ribbons, payers, payees)
}

/// The bars of one side in the order of their first ribbon, and the place of each name.
fn posts<'a>(
    hirings: &'a [HiringView],
    side: impl Fn(&'a HiringView) -> &'a String,
    thick: &impl Fn(Amount) -> i128,
) -> (Vec<Post>, BTreeMap<&'a String, usize>) {
    let mut places: BTreeMap<&String, usize> = BTreeMap::new();
    let mut posts: Vec<Post> = Vec::new();
    for hiring in hirings {
        let place = *places.entry(side(hiring)).or_insert_with(|| {
            posts.push(Post { name: plain(side(hiring), NAME / 2), top: 0, tall: 0 });
            posts.len() - 1
        });
        posts[place].tall += thick(hiring.amount);
    }
    let mut top = 0;
    for post in &mut posts {
        post.top = top;
        top += post.tall + GAP;
    }
    (posts, places)
}

fn table(hirings: &[HiringView], others: Amount) -> Markup {
    html! {
        details.twin id="hirings" {
            summary { "The same as a table" }
            div.scroll tabindex="0" role="region" aria-label="Who pays whom" {
                table {
                    thead { tr { th scope="col" { "payer" } th scope="col" { "paid" } th.number scope="col" { "amount" } th.number scope="col" { "payments" } } }
                    tbody {
                        @for hiring in hirings.iter().take(ROWS) {
                            tr {
                                td { (name(&hiring.payer)) }
                                td { (name(&hiring.payee)) }
                                td.number {
                                    @match &hiring.trades {
                                        Some(figure) => { a href={ "/economy/" (figure) } { (bare(hiring.amount)) } }
                                        None => { (bare(hiring.amount)) }
                                    }
                                }
                                td.number { (hiring.payments) }
                            }
                        }
                    }
                }
                @if !others.is_zero() { p.note { "All other pairs together: " (bare(others)) "." } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use money::Asset;

    fn hiring(payer: &str, payee: &str, minor: i128) -> HiringView {
        let amount = Amount::from_minor(Asset::MUSD, minor);
        let (payer, payee) = (payer.into(), payee.into());
        HiringView { payer, payee, amount, payments: 1, trades: None }
    }

    #[test]
    fn ribbons_fill_the_bars_they_join() {
        let hirings = [hiring("a", "x", 50), hiring("a", "y", 25), hiring("b", "x", 25)];
        let (ribbons, payers, payees) = layout(&hirings);
        assert_eq!((payers[0].tall, payers[1].tall), (270, 90));
        assert_eq!((payees[0].tall, payees[1].tall), (270, 90));
        assert_eq!(payers[1].top, 270 + GAP);
        let starts: Vec<(i128, i128)> = ribbons.iter().map(|r| (r.left, r.right)).collect();
        assert_eq!(starts, [(0, 0), (180, 270 + GAP), (270 + GAP, 180)]);
    }

    #[test]
    fn the_smallest_is_seen_and_the_largest_fits() {
        let hirings = [hiring("a", "x", i128::MAX), hiring("b", "y", 1)];
        let (ribbons, ..) = layout(&hirings);
        assert_eq!(ribbons[1].thick, 1);
        assert!(ribbons[0].thick <= ROOM);
    }

    #[test]
    fn an_economy_without_hirings_says_so() {
        let zero = Amount::zero(Asset::MUSD);
        assert!(sankey(&[], zero).into_string().contains("Nobody has paid"));
    }
}
