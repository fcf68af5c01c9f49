//! The chart of GDP over time: SVG made here, and the same figures as a table.
//!
//! Positions are whole drawing units computed from integer amounts, so the same figures give the
//! same bytes. The drawing stretches to its place; its strokes do not.

use maud::{Markup, html};
use money::{Amount, Timestamp};

use crate::digits::{bare, grouped, moment, time_of_day};
use crate::view::PointView;

/// Most points drawn; older ones are left out.
pub const POINTS: usize = 240;
/// Most rows of the table; it tells the newest.
const ROWS: usize = 24;
const WIDTH: i128 = 1200;
const HEIGHT: i128 = 300;
/// Room above the highest and below the lowest value, for the stroke.
const MARGIN: i128 = 8;

/// The chart with its table. With fewer than two points there is no line to draw, and it says so.
pub fn chart(series: &[PointView]) -> Markup {
    let series = &series[series.len().saturating_sub(POINTS)..];
    let (Some(first), Some(last)) = (series.first(), series.last()) else { return nothing() };
    if series.len() < 2 || first.at >= last.at {
        return nothing();
    }
    let low = series.iter().map(|point| point.gdp.minor()).min().unwrap_or(0).min(0);
    let high = series.iter().map(|point| point.gdp.minor()).max().unwrap_or(0).max(low + 1);
    let place = Place { start: first.at, end: last.at, low, high };
    let line = place.steps(series);
    let (end_x, end_y) = place.of(last);
    let ground = place.y(0);
    let asset = last.gdp.asset();
    html! {
        figure.chart {
            figcaption { "GDP so far, in " (asset.code()) }
            div.plot {
                p.top aria-hidden="true" { (bare(Amount::from_minor(asset, high))) }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none"
                    role="img" aria-labelledby="chart-says" {
                    title id="chart-says" {
                        "GDP from " (first.gdp) " at " (first.at) " to " (last.gdp) " at " (last.at)
                        ". The same figures are in the table below."
                    }
                    @for quarter in 1..4 {
                        line.grid x1="0" x2=(WIDTH) y1=(quarter * HEIGHT / 4) y2=(quarter * HEIGHT / 4) {}
                    }
                    path.area d={ (line) "V" (ground) "H0Z" } {}
                    line.ground x1="0" x2=(WIDTH) y1=(ground) y2=(ground) {}
                    path.line d=(line) {}
                    path.dot d={ "M" (end_x) " " (end_y) "h0" } {}
                }
            }
            p.axis aria-hidden="true" {
                span { (time_of_day(first.at)) }
                span { (time_of_day(last.at)) " UTC" }
            }
            (table(series))
        }
    }
}

fn nothing() -> Markup {
    html! { p.chart-empty { "The curve of GDP begins with the second trade." } }
}

/// Where a point of the series lies on the drawing.
struct Place {
    start: Timestamp,
    end: Timestamp,
    low: i128,
    high: i128,
}

impl Place {
    fn of(&self, point: &PointView) -> (i128, i128) {
        (self.x(point.at), self.y(point.gdp.minor()))
    }

    fn x(&self, at: Timestamp) -> i128 {
        let span = self.end.since(self.start).as_millis().max(1);
        let along = at.since(self.start).as_millis().min(span);
        // Both are below 2⁶⁴, and so the product fits.
        i128::try_from(along).unwrap_or(0) * WIDTH / i128::try_from(span).unwrap_or(1)
    }

    fn y(&self, value: i128) -> i128 {
        let room = HEIGHT - 2 * MARGIN;
        let span = self.high.saturating_sub(self.low).max(1);
        let above = value.saturating_sub(self.low).clamp(0, span);
        let up = match above.checked_mul(room) {
            Some(product) => product / span,
            None => above / (span / room),
        };
        HEIGHT - MARGIN - up.min(room)
    }

    /// GDP holds its value until the next trade, so the line goes in steps.
    fn steps(&self, series: &[PointView]) -> String {
        let mut path = String::new();
        for (index, point) in series.iter().enumerate() {
            let (x, y) = self.of(point);
            let step = if index == 0 { format!("M{x} {y}") } else { format!("H{x}V{y}") };
            path.push_str(&step);
        }
        path
    }
}

fn table(series: &[PointView]) -> Markup {
    let newest: Vec<_> = series.iter().rev().take(ROWS).collect();
    html! {
        details.twin id="series" {
            summary { "The same as a table" }
            div.scroll tabindex="0" role="region" aria-label="GDP over time" {
                table {
                    thead { tr { th scope="col" { "time (UTC)" } th.number scope="col" { "GDP" } th.number scope="col" { "trades" } } }
                    tbody {
                        @for point in &newest {
                            tr {
                                td { (moment(point.at)) }
                                td.number { (bare(point.gdp)) }
                                td.number { (grouped(&point.trades.to_string())) }
                            }
                        }
                    }
                }
                @if series.len() > newest.len() {
                    p.note { "The newest " (newest.len()) " of " (series.len()) " points." }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use money::Asset;

    fn point(second: u64, minor: i128) -> PointView {
        PointView {
            at: Timestamp::from_secs(second),
            gdp: Amount::from_minor(Asset::MUSD, minor),
            trades: second,
        }
    }

    #[test]
    fn the_line_goes_in_steps_from_edge_to_edge() {
        let markup = chart(&[point(10, 0), point(15, 1_000), point(20, 2_000)]).into_string();
        assert!(markup.contains("M0 292H600V150H1200V8"), "{markup}");
    }

    #[test]
    fn extreme_values_stay_on_the_drawing() {
        let place = Place {
            start: Timestamp::from_millis(0),
            end: Timestamp::from_millis(u64::MAX),
            low: i128::MIN,
            high: i128::MAX,
        };
        for value in [i128::MIN, -1, 0, 1, i128::MAX] {
            assert!((MARGIN..=HEIGHT - MARGIN).contains(&place.y(value)), "{value}");
        }
        assert_eq!(place.x(Timestamp::from_millis(u64::MAX)), WIDTH);
    }

    #[test]
    fn one_point_is_no_line_and_says_so() {
        assert!(chart(&[point(1, 5)]).into_string().contains("second trade"));
        assert!(chart(&[]).into_string().contains("second trade"));
        assert!(chart(&[point(1, 5), point(1, 6)]).into_string().contains("second trade"));
    }

    #[test]
    fn only_the_newest_points_are_drawn() {
        let series: Vec<_> = (0..1_000).map(|n| point(n, i128::from(n))).collect();
        let markup = chart(&series).into_string();
        assert!(markup.contains("The newest 24 of 240 points."));
        assert!(markup.len() < 12_000);
    }
}
