//! The fan chart: in the terminal, and as SVG with its twin in text for those who do not see it.
//!
//! Both draw the same [`Fan`] on a logarithmic axis. They are pure: data in, text out. The SVG names what
//! it draws by classes and leaves colours and sizes of type to the page's style sheet.

use std::fmt::Write as _;

use crate::Date;
use crate::claim::{CLAIMS, Claim};
use crate::facts::{Facts, Series};
use crate::number;
use crate::projection::{FanYear, Quantiles};

/// The market's history is drawn from the end of this year on.
const HISTORY_FROM: i32 = 2017;

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Fan {
    /// What it shows, for the heading.
    pub title: String,
    /// What was, by year: years and USD above zero, ascending.
    pub history: Vec<(f64, f64)>,
    /// What may be: the end of each year, and quantiles at [`crate::LEVELS`], USD.
    pub years: Vec<(i32, Quantiles)>,
    /// A claim to hold it against.
    pub claim: Option<Level>,
}

/// A level, or a band, that somebody claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// What is written beside it.
    pub name: String,
    /// The least, USD above zero.
    pub low: f64,
    /// The most, if the claim says one.
    pub high: Option<f64>,
}

/// The least and the greatest value of an axis, as powers of ten.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
}

/// Places of the 5, 25, 50, 75 and 95 % quantiles among [`crate::LEVELS`].
const SHOWN: [usize; 5] = [1, 3, 4, 5, 7];

impl Fan {
    /// A fan of one column of a projection's years.
    #[must_use]
    pub fn new(title: &str, years: &[FanYear], column: impl Fn(&FanYear) -> Quantiles) -> Fan {
        Fan {
            title: title.to_string(),
            history: Vec::new(),
            years: years.iter().map(|year| (year.year, column(year))).collect(),
            claim: None,
        }
    }

    /// What machines add to GDP, against the claim. There is no history: nobody has measured it.
    #[must_use]
    pub fn of_machine_gdp(years: &[FanYear]) -> Fan {
        let mut fan =
            Fan::new("What machines add to world GDP in a year, USD", years, |y| y.machine_gdp);
        fan.claim = Some(Level::of(&CLAIMS[0]));
        fan
    }

    /// What the crypto market is worth, after what it was worth, against the claim.
    #[must_use]
    pub fn of_crypto_cap(years: &[FanYear], facts: &Facts) -> Fan {
        let mut fan = Fan::new("What all crypto is worth, USD", years, |y| y.crypto_cap);
        let past = facts.series(Series::CryptoCap).iter();
        fan.history = past
            .filter(|fact| fact.date.year() >= HISTORY_FROM)
            .map(|fact| (moment(fact.date), fact.value))
            .collect();
        fan.claim = Some(Level::of(&CLAIMS[1]));
        fan
    }

    /// The quantiles that are drawn, 5, 25, 50, 75 and 95 %, of each year's end: the rows of its twin.
    pub fn drawn(&self) -> impl Iterator<Item = (i32, [f64; 5])> + '_ {
        self.years.iter().map(|(year, q)| (*year, SHOWN.map(|i| q[i])))
    }

    fn axis(&self) -> Option<Axis> {
        let fan = self.years.iter().flat_map(|(_, q)| [q[SHOWN[0]], q[SHOWN[4]]]);
        let claimed = self.claim.iter().flat_map(|l| [l.low, l.high.unwrap_or(l.low)]);
        let all = self.history.iter().map(|h| h.1).chain(fan).chain(claimed);
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
            let share = axis.share(value);
            let from_top = (1.0 - share) * (rows - 1) as f64;
            from_top.round().clamp(0.0, (rows - 1) as f64) as usize
        };
        let mut grid = vec![vec![' '; columns]; rows];
        for level in self.claim.iter().flat_map(|l| [Some(l.low), l.high]).flatten() {
            grid[row_of(level)].fill('╌');
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
        // The end of a year is written as that year.
        let start = format!("{}", (first - 1e-3).floor());
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

    /// The chart as SVG, for a page: it scales, prints, and says what it shows. Empty if there is nothing to
    /// draw. Each year's band has its quantiles as a title, which are those of [`Fan::drawn`].
    #[must_use]
    pub fn svg(&self) -> String {
        let (Some(axis), Some((last, _))) = (self.axis(), self.years.last()) else {
            return String::new();
        };
        let first = self.history.first().map_or_else(|| f64::from(self.years[0].0) + 1.0, |h| h.0);
        let end = f64::from(*last) + 1.0;
        let x = |at: f64| LEFT + (at - first) / (end - first).max(1e-9) * (PLOT_WIDTH - LEFT);
        let y = |value: f64| TOP + (1.0 - axis.share(value)) * (BOTTOM - TOP);
        let mut svg = format!(
            "<svg class=\"fan\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}. {}\">",
            escaped(&self.title),
            escaped(&self.summary()),
        );
        for value in axis.ticks() {
            let at = y(value);
            let _ = write!(
                svg,
                "<path class=\"tick\" d=\"M{LEFT} {at:.1}H{PLOT_WIDTH}\"/>\
                 <text class=\"value\" x=\"0\" y=\"{:.1}\">{}</text>",
                at + 5.0,
                number::round_dollars(value)
            );
        }
        for year in year_ticks(first, end) {
            let at = x(f64::from(year) + 1.0);
            let _ = write!(
                svg,
                "<text class=\"year\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{year}</text>",
                HEIGHT - 4.0
            );
        }
        let start: Vec<(f64, [f64; 5])> =
            self.history.last().map(|h| (h.0, [h.1; 5])).into_iter().collect();
        let points: Vec<(f64, [f64; 5])> = start
            .into_iter()
            .chain(self.drawn().map(|(year, q)| (f64::from(year) + 1.0, q)))
            .collect();
        for (low, high, class) in [(0, 4, "outer"), (1, 3, "inner")] {
            let upper = points.iter().map(|p| (p.0, p.1[high]));
            let lower = points.iter().rev().map(|p| (p.0, p.1[low]));
            let path: Vec<String> =
                upper.chain(lower).map(|(at, v)| format!("{:.1},{:.1}", x(at), y(v))).collect();
            let _ = write!(svg, "<polygon class=\"{class}\" points=\"{}\"/>", path.join(" "));
        }
        let mut polyline = |class: &str, line: Vec<(f64, f64)>| {
            let path: Vec<String> =
                line.into_iter().map(|(at, v)| format!("{:.1},{:.1}", x(at), y(v))).collect();
            let _ = write!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", path.join(" "));
        };
        polyline("middle", points.iter().map(|p| (p.0, p.1[2])).collect());
        if !self.history.is_empty() {
            polyline("history", self.history.clone());
        }
        if let Some(level) = &self.claim {
            let (low, high) = (y(level.low), level.high.map_or(0.0, y));
            if level.high.is_some() {
                let _ = write!(
                    svg,
                    "<rect class=\"claim\" x=\"{LEFT}\" y=\"{high:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\
                     <path class=\"claim\" d=\"M{LEFT} {high:.1}H{PLOT_WIDTH}\"/>",
                    PLOT_WIDTH - LEFT,
                    low - high
                );
            }
            let top = if level.high.is_some() { high } else { low };
            let _ = write!(
                svg,
                "<path class=\"claim\" d=\"M{LEFT} {low:.1}H{PLOT_WIDTH}\"/>\
                 <text class=\"claim\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT + 12.0,
                top - 6.0,
                escaped(&level.name)
            );
        }
        svg.push_str(&self.ends(&y));
        // Over all of it, a column for each year that says its figures to whoever points at it.
        let mut from = points.first().map_or(0.0, |p| x(p.0));
        for (year, q) in self.drawn() {
            let to = x(f64::from(year) + 1.0);
            let _ = write!(
                svg,
                "<rect class=\"told\" x=\"{from:.1}\" y=\"0\" width=\"{:.1}\" height=\"{BOTTOM}\"><title>{}</title></rect>",
                (to - from).max(0.0),
                told(year, q)
            );
            from = to;
        }
        svg.push_str("</svg>");
        svg
    }

    /// The last year's 5, 50 and 95 %, written beside it; those that would cover the median are left out.
    fn ends(&self, y: &impl Fn(f64) -> f64) -> String {
        const ROOM: f64 = 26.0;
        let Some((_, [low, _, middle, _, high])) = self.drawn().last() else {
            return String::new();
        };
        let at = y(middle);
        let shown = |value: &f64| *value == middle || (y(*value) - at).abs() >= ROOM;
        let mut text = String::new();
        for value in [low, middle, high].iter().filter(|value| shown(value)) {
            let class = if *value == middle { "end half" } else { "end" };
            let _ = write!(
                text,
                "<text class=\"{class}\" x=\"{}\" y=\"{:.1}\">{}</text>",
                PLOT_WIDTH + 8.0,
                y(*value) + 5.0,
                number::dollars(*value)
            );
        }
        text
    }

    /// What the chart shows, in a sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let Some((year, q)) = self.years.last() else { return String::new() };
        let [low, _, middle, _, high] = SHOWN.map(|i| number::dollars(q[i]));
        format!("At the end of {year}: half below {middle}; nine in ten between {low} and {high}.")
    }
}

/// Drawing units. The plot begins after the axis' figures, and ends before the last ones, which stand
/// beside it.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const PLOT_WIDTH: f64 = 550.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 384.0;

impl Level {
    fn of(claim: &Claim) -> Level {
        let least = number::round_dollars(claim.low);
        let name = match claim.high {
            Some(high) => format!("claimed: {least} to {}", number::round_dollars(high)),
            None => format!("claimed: {least}"),
        };
        Level { name, low: claim.low, high: claim.high }
    }
}

impl Axis {
    /// How far up a value lies, from 0 to 1; what lies beyond, and what has no logarithm, at the edge.
    fn share(&self, value: f64) -> f64 {
        let share = (value.log10() - self.low) / (self.high - self.low);
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// Round values on it: 1, 2 and 5 times powers of ten, or powers alone where those would be many.
    fn ticks(&self) -> Vec<f64> {
        const MOST: usize = 8;
        let within = |steps: &[f64]| -> Vec<f64> {
            let powers = self.low.floor() as i32..=self.high.ceil() as i32;
            powers
                .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
                .filter(|value| (self.low..=self.high).contains(&value.log10()))
                .collect()
        };
        let ladders: [&[f64]; 4] =
            [&[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
        ladders
            .into_iter()
            .map(within)
            .find(|ticks| ticks.len() <= MOST)
            .unwrap_or_else(|| within(&[1.0]).into_iter().step_by(3).collect())
    }
}

/// Years to write below the plot: at most six, even steps back from the last.
fn year_ticks(first: f64, end: f64) -> impl Iterator<Item = i32> {
    let last = end as i32 - 1;
    let step = ((end - first) / 5.5).ceil().max(1.0) as i32;
    (0..6).map(move |n| last - n * step).filter(move |year| f64::from(*year) + 1.0 >= first - 1e-9)
}

/// One year's figures, as they are told to whoever points at them.
fn told(year: i32, q: [f64; 5]) -> String {
    let [a, b, c, d, e] = q.map(number::dollars);
    format!("end of {year}: 5 % {a}, 25 % {b}, half {c}, 75 % {d}, 95 % {e}")
}

/// A day as a number of years.
fn moment(date: Date) -> f64 {
    let start = Date::new(date.year(), 1, 1).map_or(0.0, |start| date.years_since(start));
    f64::from(date.year()) + start
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
    use super::{Axis, BOTTOM, Fan, Level, PLOT_WIDTH, TOP, bar, year_ticks};
    use crate::facts::Facts;

    fn fan() -> Fan {
        let q = |f: f64| [1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0].map(|v| v * f * 1e12);
        Fan {
            title: "a <test>".to_string(),
            history: vec![(2024.0, 5e12), (2026.5, 8e12)],
            years: vec![(2027, q(0.9)), (2028, q(1.0))],
            claim: Some(Level { name: "17T <claimed>".to_string(), low: 17e12, high: None }),
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
        let empty = Fan { title: String::new(), history: vec![], years: vec![], claim: None };
        assert_eq!((empty.text(60, 16), empty.svg()), (String::new(), String::new()));
        let mut odd = fan();
        odd.history = vec![];
        odd.claim = None;
        odd.years.truncate(1);
        assert!(!odd.text(0, 0).is_empty() && !odd.svg().contains("NaN"));
    }

    /// The points of the polyline of this class.
    fn points(svg: &str, class: &str) -> Vec<(f64, f64)> {
        let start = format!("<polyline class=\"{class}\" points=\"");
        let rest = svg.split_once(&start).expect("it is drawn").1;
        let text = rest.split_once('"').expect("it ends").0;
        let point = |pair: &str| {
            let (x, y) = pair.split_once(',').expect("a pair");
            (x.parse().expect("a number"), y.parse().expect("a number"))
        };
        text.split(' ').map(point).collect()
    }

    #[test]
    fn what_is_drawn_lies_where_the_axis_says_and_is_what_the_twin_says() {
        let fan = fan();
        let svg = fan.svg();
        let axis = fan.axis().expect("there are values");
        let drawn = points(&svg, "middle");
        // The line starts from what was; then a point a year.
        let expected: Vec<f64> = std::iter::once(8e12).chain(fan.drawn().map(|d| d.1[2])).collect();
        assert_eq!(drawn.len(), expected.len());
        for ((x, y), value) in drawn.iter().zip(&expected) {
            let up = (BOTTOM - y) / (BOTTOM - TOP);
            let read = 10f64.powf(axis.low + up * (axis.high - axis.low));
            assert!((read / value - 1.0).abs() < 0.01, "{value} is drawn as {read}");
            assert!((0.0..=PLOT_WIDTH).contains(x));
        }
        assert_eq!(drawn.last().map(|p| p.0), Some(PLOT_WIDTH));
        assert_eq!(points(&svg, "history").len(), 2);
    }

    #[test]
    fn a_value_without_a_logarithm_stays_on_the_drawing() {
        let mut odd = fan();
        odd.years[0].1 = [0.0; 9];
        let svg = odd.svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf") && !odd.text(60, 16).is_empty());
        odd.years[1].1 = [0.0; 9];
        odd.history.clear();
        odd.claim = None;
        assert_eq!(odd.svg(), "", "there is nothing above zero to draw");
    }

    #[test]
    fn axes_have_few_round_ticks_and_years() {
        for (low, high) in [(11.2, 13.4), (12.0, 12.05), (-3.0, 14.0), (8.0, 26.0)] {
            let ticks = Axis { low, high }.ticks();
            assert!(ticks.len() <= 8, "{low} to {high}: {ticks:?}");
            assert!(ticks.windows(2).all(|w| w[0] < w[1]));
        }
        for (first, end) in [(2017.2, 2035.0), (2028.0, 2028.0), (2028.0, 2051.0)] {
            let years: Vec<i32> = year_ticks(first, end).collect();
            assert!(years.len() <= 6 && years.first() == Some(&(end as i32 - 1)), "{years:?}");
        }
    }

    #[test]
    fn the_market_has_a_history_and_machine_gdp_has_none() {
        let facts = Facts::bundled();
        let market = Fan::of_crypto_cap(&[], &facts);
        assert!(market.history.len() > 20 && market.history.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(Fan::of_machine_gdp(&[]).history.is_empty());
        assert_eq!(market.claim.map(|c| c.name), Some("claimed: 17T".to_string()));
    }

    #[test]
    fn the_picture_names_what_it_shows_and_escapes_it() {
        let svg = fan().svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
        assert!(svg.contains("aria-label=\"a &lt;test&gt;. At the end of 2028: half below 8.00T"));
        assert!(
            svg.contains("17T &lt;claimed&gt;") && !svg.contains("NaN") && !svg.contains("inf")
        );
        assert_eq!(svg.matches("<title>end of 20").count(), 2);
        assert_eq!(bar(0.5, 10).chars().count(), 5);
        assert_eq!(bar(7.0, 10).chars().count(), 10);
    }
}
