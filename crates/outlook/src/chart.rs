//! The fan chart: in the terminal, and as SVG with its twin in text for those who do not see it.
//!
//! Both draw the same [`Fan`] on a logarithmic axis. They are pure: data in, text out.

use std::fmt::Write as _;

use crate::number;
use crate::projection::{FanYear, LEVELS, Quantiles};

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Fan {
    /// What it shows, for the heading.
    pub title: String,
    /// What was, by year: years and USD above zero, ascending.
    pub history: Vec<(f64, f64)>,
    /// What may be: the end of each year, and quantiles at [`LEVELS`], USD above zero.
    pub years: Vec<(i32, Quantiles)>,
    /// A level to hold it against, with its name.
    pub line: Option<(String, f64)>,
}

/// The least and the greatest value of an axis, as powers of ten.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
}

/// Places of the 5, 25, 50, 75 and 95 % quantiles among [`LEVELS`].
const SHOWN: [usize; 5] = [1, 3, 4, 5, 7];

impl Fan {
    /// A fan of one column of a projection's years.
    #[must_use]
    pub fn new(title: &str, years: &[FanYear], column: impl Fn(&FanYear) -> Quantiles) -> Fan {
        Fan {
            title: title.to_string(),
            history: Vec::new(),
            years: years.iter().map(|year| (year.year, column(year))).collect(),
            line: None,
        }
    }

    fn axis(&self) -> Option<Axis> {
        let fan = self.years.iter().flat_map(|(_, q)| [q[SHOWN[0]], q[SHOWN[4]]]);
        let all = self.history.iter().map(|h| h.1).chain(fan).chain(self.line.iter().map(|l| l.1));
        let (low, high) = all
            .filter(|v| v.is_finite() && *v > 0.0)
            .fold((f64::INFINITY, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
        (low.is_finite() && high > 0.0).then(|| {
            let (low, high) = (low.log10(), high.log10());
            let room = ((high - low) * 0.04).max(0.02);
            Axis { low: low - room, high: high + room }
        })
    }

    /// The chart in so many columns and rows of characters; empty if there is nothing to draw.
    ///
    /// Bands are told apart by their characters, not by colour: `░` 5 to 95 %, `▒` 25 to 75 %, `█` the median,
    /// `•` what was.
    #[must_use]
    pub fn text(&self, columns: usize, rows: usize) -> String {
        let (Some(axis), Some((last, _))) = (self.axis(), self.years.last()) else {
            return String::new();
        };
        let (columns, rows) = (columns.clamp(20, 200), rows.clamp(6, 60));
        let first = self.history.first().map_or_else(|| f64::from(self.years[0].0) + 1.0, |h| h.0);
        let end = f64::from(*last) + 1.0;
        let span = (end - first).max(1e-9);
        let row_of = |value: f64| {
            let share = (value.log10() - axis.low) / (axis.high - axis.low);
            let from_top = (1.0 - share) * (rows - 1) as f64;
            from_top.round().clamp(0.0, (rows - 1) as f64) as usize
        };
        let mut grid = vec![vec![' '; columns]; rows];
        if let Some((_, level)) = &self.line {
            grid[row_of(*level)].fill('╌');
        }
        for (column, at) in
            (0..columns).map(|c| (c, first + span * (c as f64 + 0.5) / columns as f64))
        {
            if let Some(bands) = self.at(at) {
                let [low, mid_low, middle, mid_high, high] = bands.map(row_of);
                for (row, line) in grid.iter_mut().enumerate() {
                    if (high..=low).contains(&row) {
                        let inner = (mid_high..=mid_low).contains(&row);
                        line[column] = if inner { '▒' } else { '░' };
                    }
                }
                grid[middle][column] = '█';
            }
        }
        for (at, value) in &self.history {
            let column = ((at - first) / span * columns as f64) as usize;
            grid[row_of(*value)][column.min(columns - 1)] = '•';
        }
        let mut text = format!("{}\n", self.title);
        for (row, line) in grid.iter().enumerate() {
            let share = 1.0 - row as f64 / (rows - 1) as f64;
            let value = 10f64.powf(axis.low + share * (axis.high - axis.low));
            let label = if row % 3 == 0 { number::dollars(value) } else { String::new() };
            let line: String = line.iter().collect();
            let _ = writeln!(text, "{label:>7} ┤{}", line.trim_end());
        }
        let start = format!("{}", first.floor());
        let gap = columns.saturating_sub(start.chars().count() + 4);
        let _ = writeln!(text, "        └{}", "─".repeat(columns));
        let _ = writeln!(text, "         {start}{}{last}", " ".repeat(gap));
        text
    }

    /// The shown quantiles at a moment, between years along straight lines of the logarithm; none before
    /// the fan begins.
    fn at(&self, moment: f64) -> Option<[f64; 5]> {
        // A year's quantiles are of its end.
        let end = |year: i32| f64::from(year) + 1.0;
        let start = self.history.last();
        let next = self.years.iter().position(|y| end(y.0) >= moment - 1e-9)?;
        let after = &self.years[next];
        let (from, before) = match (next.checked_sub(1).map(|i| &self.years[i]), start) {
            (Some(before), _) => (end(before.0), SHOWN.map(|i| before.1[i])),
            (None, Some((at, value))) if moment >= *at => (*at, [*value; 5]),
            (None, Some(_)) => return None,
            (None, None) => (end(after.0), SHOWN.map(|i| after.1[i])),
        };
        let width = end(after.0) - from;
        let share = if width > 0.0 { ((moment - from) / width).clamp(0.0, 1.0) } else { 1.0 };
        Some(std::array::from_fn(|i| {
            let (a, b) = (before[i].ln(), after.1[SHOWN[i]].ln());
            (a + share * (b - a)).exp()
        }))
    }

    /// The chart as SVG, for a page: it scales, prints, follows the page's colour, and names what it shows.
    #[must_use]
    pub fn svg(&self) -> String {
        let (Some(axis), Some((last, _))) = (self.axis(), self.years.last()) else {
            return String::new();
        };
        const WIDTH: f64 = 640.0;
        const HEIGHT: f64 = 320.0;
        const LEFT: f64 = 56.0;
        const FOOT: f64 = 24.0;
        let first = self.history.first().map_or_else(|| f64::from(self.years[0].0) + 1.0, |h| h.0);
        let end = f64::from(*last) + 1.0;
        let x = |at: f64| LEFT + (at - first) / (end - first).max(1e-9) * (WIDTH - LEFT - 8.0);
        let y = |value: f64| {
            let share = (value.log10() - axis.low) / (axis.high - axis.low);
            8.0 + (1.0 - share) * (HEIGHT - FOOT - 8.0)
        };
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\" \
             fill=\"none\" stroke=\"currentColor\" font-size=\"11\"><title>{}</title><desc>{}</desc>",
            escaped(&self.title),
            escaped(&self.summary()),
        );
        let start: Vec<(f64, [f64; 5])> =
            self.history.last().map(|h| (h.0, [h.1; 5])).into_iter().collect();
        let points: Vec<(f64, [f64; 5])> = start
            .into_iter()
            .chain(self.years.iter().map(|q| (f64::from(q.0) + 1.0, SHOWN.map(|i| q.1[i]))))
            .collect();
        for (low, high, opacity) in [(0, 4, 0.15), (1, 3, 0.25)] {
            let upper = points.iter().map(|p| (p.0, p.1[high]));
            let lower = points.iter().rev().map(|p| (p.0, p.1[low]));
            let path: Vec<String> =
                upper.chain(lower).map(|(at, v)| format!("{:.1},{:.1}", x(at), y(v))).collect();
            let _ = write!(
                svg,
                "<polygon points=\"{}\" fill=\"currentColor\" stroke=\"none\" opacity=\"{opacity}\"/>",
                path.join(" ")
            );
        }
        let mut polyline = |line: Vec<(f64, f64)>, width: f64| {
            let path: Vec<String> =
                line.into_iter().map(|(at, v)| format!("{:.1},{:.1}", x(at), y(v))).collect();
            let _ =
                write!(svg, "<polyline points=\"{}\" stroke-width=\"{width}\"/>", path.join(" "));
        };
        polyline(points.iter().map(|p| (p.0, p.1[2])).collect(), 2.0);
        polyline(self.history.clone(), 1.5);
        if let Some((name, level)) = &self.line {
            let at = y(*level);
            let _ = write!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke-dasharray=\"4 4\"/>\
                 <text x=\"{}\" y=\"{:.1}\" fill=\"currentColor\" stroke=\"none\">{}</text>",
                LEFT + 4.0,
                at - 4.0,
                escaped(name)
            );
        }
        for step in 0..=4 {
            let value = 10f64.powf(axis.low + f64::from(step) / 4.0 * (axis.high - axis.low));
            let _ = write!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"currentColor\" stroke=\"none\">{}</text>",
                LEFT - 6.0,
                y(value) + 4.0,
                number::dollars(value)
            );
        }
        let _ = write!(
            svg,
            "<text x=\"{LEFT}\" y=\"{0}\" fill=\"currentColor\" stroke=\"none\">{1}</text>\
             <text x=\"{WIDTH}\" y=\"{0}\" text-anchor=\"end\" fill=\"currentColor\" stroke=\"none\">{last}</text></svg>",
            HEIGHT - 6.0,
            first.floor()
        );
        svg
    }

    /// What the chart shows, in a sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let Some((year, q)) = self.years.last() else { return String::new() };
        let [low, _, middle, _, high] = SHOWN.map(|i| number::dollars(q[i]));
        format!("At the end of {year}: half below {middle}; nine in ten between {low} and {high}.")
    }

    /// The table beside the chart: a row a year, its quantiles at [`LEVELS`].
    #[must_use]
    pub fn table(&self) -> Vec<(i32, [String; LEVELS.len()])> {
        self.years.iter().map(|(year, q)| (*year, q.map(number::dollars))).collect()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A bar for a share between zero and one.
#[must_use]
pub fn bar(share: f64, columns: usize) -> String {
    let filled = (share.clamp(0.0, 1.0) * columns as f64).round() as usize;
    "█".repeat(filled)
}

#[cfg(test)]
mod tests {
    use super::{Fan, bar};

    fn fan() -> Fan {
        let q = |f: f64| [1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0].map(|v| v * f * 1e12);
        Fan {
            title: "a <test>".to_string(),
            history: vec![(2024.0, 5e12), (2026.5, 8e12)],
            years: vec![(2027, q(0.9)), (2028, q(1.0))],
            line: Some(("17T".to_string(), 17e12)),
        }
    }

    #[test]
    fn the_chart_has_its_size_and_every_band() {
        let text = fan().text(60, 16);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 16 + 3);
        assert!(lines.iter().all(|line| line.chars().count() <= 60 + 9), "{text}");
        for mark in ['░', '▒', '█', '•', '╌'] {
            assert!(text.contains(mark), "{mark}\n{text}");
        }
        assert!(text.ends_with("2028\n"));
    }

    #[test]
    fn nothing_to_draw_draws_nothing_and_odd_values_do_not_break_it() {
        let empty = Fan { title: String::new(), history: vec![], years: vec![], line: None };
        assert_eq!((empty.text(60, 16), empty.svg()), (String::new(), String::new()));
        let mut odd = fan();
        odd.history = vec![];
        odd.line = None;
        odd.years.truncate(1);
        assert!(!odd.text(0, 0).is_empty() && !odd.svg().contains("NaN"));
    }

    #[test]
    fn the_picture_names_what_it_shows_and_escapes_it() {
        let svg = fan().svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
        assert!(svg.contains("<title>a &lt;test&gt;</title>") && svg.contains("half below 8.00T"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(fan().table().len(), 2);
        assert_eq!(bar(0.5, 10).chars().count(), 5);
        assert_eq!(bar(7.0, 10).chars().count(), 10);
    }
}
