//! Where lines of text stand: from a map of what looks like text to boxes.
//!
//! The network marks the cores of lines (M. Liao and others, *Real-time Scene Text Detection with
//! Differentiable Binarization*, AAAI 2020, §3.4–3.5). What is above [`LIKELY`] is text; connected
//! pixels are one core; the smallest rectangle around a core, at whatever angle, is grown by
//! `area · 1.6 / perimeter` on each side, since cores were taught to be that much smaller than lines.
//! Weak and tiny ones are dropped.
//!
//! Square roots are the only function beyond arithmetic, so the same map gives the same boxes on every
//! machine. Cost: the map's pixels, and the pixels within the rectangles.

/// Probability above which a pixel is text.
const LIKELY: f32 = 0.3;
/// Mean probability that a rectangle must have.
const SURE: f64 = 0.5;
/// How much rectangles are grown.
const GROWTH: f64 = 1.6;
/// The shortest side of a core's rectangle, pixels of the map.
const LEAST_CORE: f64 = 3.0;
/// The shortest side of a line's rectangle.
const LEAST_LINE: f64 = 5.0;

/// A place on the map, pixels to the right and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// A rectangle at any angle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slanted {
    pub(crate) centre: Point,
    /// Along the line, length one, to the right.
    pub(crate) along: Point,
    /// Length in that direction.
    pub(crate) length: f64,
    /// Extent across it.
    pub(crate) height: f64,
}

impl Slanted {
    /// Across the line, length one, downward.
    fn across(&self) -> Point {
        Point { x: -self.along.y, y: self.along.x }
    }

    /// Corners: left upper, right upper, right lower, left lower, as the line runs.
    pub(crate) fn corners(&self) -> [Point; 4] {
        let (u, v) = (self.along, self.across());
        [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)].map(|(a, b)| Point {
            x: self.centre.x + a * self.length * u.x + b * self.height * v.x,
            y: self.centre.y + a * self.length * u.y + b * self.height * v.y,
        })
    }

    fn shorter(&self) -> f64 {
        self.length.min(self.height)
    }

    fn grown(&self) -> Slanted {
        let by = self.length * self.height * GROWTH / (2.0 * (self.length + self.height));
        Slanted { length: self.length + 2.0 * by, height: self.height + 2.0 * by, ..*self }
    }

    /// The mean of the map over it, looked at a pixel apart.
    fn mean(&self, map: &Map<'_>) -> f64 {
        let (u, v) = (self.along, self.across());
        let (columns, rows) = (self.length as usize + 1, self.height as usize + 1);
        let (mut sum, mut count) = (0.0, 0_u32);
        for row in 0..rows {
            for column in 0..columns {
                let a = (column as f64 + 0.5) / columns as f64 * self.length - self.length / 2.0;
                let b = (row as f64 + 0.5) / rows as f64 * self.height - self.height / 2.0;
                let x = (self.centre.x + a * u.x + b * v.x).round();
                let y = (self.centre.y + a * u.y + b * v.y).round();
                if x >= 0.0 && y >= 0.0 && x < map.width as f64 && y < map.height as f64 {
                    sum += f64::from(map.values[y as usize * map.width + x as usize]);
                    count += 1;
                }
            }
        }
        if count == 0 { 0.0 } else { sum / f64::from(count) }
    }
}

/// Probabilities that pixels are text, row by row.
pub(crate) struct Map<'v> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) values: &'v [f32],
}

impl Map<'_> {
    /// The lines' rectangles, in the order in which they are read: rows from above, each from the left.
    pub(crate) fn lines(&self) -> Vec<Slanted> {
        let mut lines: Vec<Slanted> = self
            .cores()
            .iter()
            .filter_map(|core| smallest_around(core))
            .filter(|core| core.shorter() >= LEAST_CORE && core.mean(self) >= SURE)
            .map(|core| core.grown())
            .filter(|line| line.shorter() >= LEAST_LINE)
            .collect();
        in_reading_order(&mut lines);
        lines
    }

    /// For each core, the first and the last pixel of each of its rows.
    fn cores(&self) -> Vec<Vec<Point>> {
        let (width, height) = (self.width, self.height);
        let text = |x: usize, y: usize| self.values[y * width + x] > LIKELY;
        // A pixel also counts where its left, upper or left upper neighbour is text: this closes gaps of one.
        let mut marked = vec![false; width * height];
        for y in 0..height {
            for x in 0..width {
                let (left, up) = (x.saturating_sub(1), y.saturating_sub(1));
                marked[y * width + x] =
                    text(x, y) || text(left, y) || text(x, up) || text(left, up);
            }
        }
        let mut cores = Vec::new();
        let mut reached = Vec::new();
        for start in 0..width * height {
            if !std::mem::take(&mut marked[start]) {
                continue;
            }
            reached.push(start);
            let mut ends: std::collections::BTreeMap<usize, (usize, usize)> = Default::default();
            while let Some(at) = reached.pop() {
                let (x, y) = (at % width, at / width);
                let row = ends.entry(y).or_insert((x, x));
                *row = (row.0.min(x), row.1.max(x));
                for near_y in y.saturating_sub(1)..=(y + 1).min(height - 1) {
                    for near_x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                        if std::mem::take(&mut marked[near_y * width + near_x]) {
                            reached.push(near_y * width + near_x);
                        }
                    }
                }
            }
            let point = |x: usize, y: usize| Point { x: x as f64, y: y as f64 };
            cores.push(ends.iter().flat_map(|(&y, &(a, b))| [point(a, y), point(b, y)]).collect());
        }
        cores
    }
}

/// The convex hull, counter-clockwise as seen with y upward (A. M. Andrew, *Another efficient algorithm
/// for convex hulls in two dimensions*, 1979). Points come sorted by row.
fn hull(points: &[Point]) -> Vec<Point> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    sorted.dedup();
    let turn = |a: Point, b: Point, c: Point| (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
    let half = |points: &mut dyn Iterator<Item = Point>| {
        let mut half: Vec<Point> = Vec::new();
        for point in points {
            while let [.., a, b] = half[..]
                && turn(a, b, point) <= 0.0
            {
                half.pop();
            }
            half.push(point);
        }
        half.pop();
        half
    };
    let mut whole = half(&mut sorted.iter().copied());
    whole.extend(half(&mut sorted.iter().rev().copied()));
    whole
}

/// The rectangle of least area around the points: one of its sides lies along the hull (H. Freeman and
/// R. Shapira, 1975). None if they all lie on one line.
fn smallest_around(points: &[Point]) -> Option<Slanted> {
    let hull = hull(points);
    let mut best: Option<(f64, Slanted)> = None;
    for (index, a) in hull.iter().enumerate() {
        let b = hull[(index + 1) % hull.len()];
        let (x, y) = (b.x - a.x, b.y - a.y);
        let long = (x * x + y * y).sqrt();
        if long <= 0.0 {
            continue;
        }
        // Of the two directions of a rectangle, the one that runs more to the right than down.
        let (x, y) = (x / long, y / long);
        let (x, y) = if x.abs() >= y.abs() { (x, y) } else { (-y, x) };
        let along = if x < 0.0 { Point { x: -x, y: -y } } else { Point { x, y } };
        let span = |axis: Point| {
            let places = hull.iter().map(|p| p.x * axis.x + p.y * axis.y);
            places.fold((f64::MAX, f64::MIN), |(least, most), at| (least.min(at), most.max(at)))
        };
        let across = Point { x: -along.y, y: along.x };
        let ((left, right), (top, bottom)) = (span(along), span(across));
        let (u, v) = ((left + right) / 2.0, (top + bottom) / 2.0);
        let centre = Point { x: u * along.x + v * across.x, y: u * along.y + v * across.y };
        let found = Slanted { centre, along, length: right - left, height: bottom - top };
        let area = found.length * found.height;
        if best.is_none_or(|(least, _)| area < least) {
            best = Some((area, found));
        }
    }
    best.map(|(_, found)| found)
}

/// Rows from above; in a row, whose middles differ by less than half a line's height, from the left.
fn in_reading_order(lines: &mut Vec<Slanted>) {
    lines.sort_by(|a, b| a.centre.y.total_cmp(&b.centre.y).then(a.centre.x.total_cmp(&b.centre.x)));
    let mut rows: Vec<Vec<Slanted>> = Vec::new();
    for line in lines.drain(..) {
        match rows.last_mut() {
            Some(row) if line.centre.y - row[0].centre.y < line.height.min(row[0].height) / 2.0 => {
                row.push(line);
            }
            _ => rows.push(vec![line]),
        }
    }
    for mut row in rows {
        row.sort_by(|a, b| a.centre.x.total_cmp(&b.centre.x));
        lines.extend(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: usize, height: usize, text: impl Fn(usize, usize) -> bool) -> Vec<f32> {
        let value = |at: usize| if text(at % width, at / width) { 0.9 } else { 0.0 };
        (0..width * height).map(value).collect()
    }

    #[test]
    fn a_bar_is_one_line_and_grows_by_its_share() {
        let values = map(100, 40, |x, y| (20..=69).contains(&x) && (10..=18).contains(&y));
        let lines = Map { width: 100, height: 40, values: &values }.lines();
        // Closing gaps adds a pixel to the right and below: 20 to 70 and 10 to 19.
        let by = 50.0 * 9.0 * 1.6 / (2.0 * 59.0);
        assert_eq!(lines.len(), 1);
        let [left_upper, _, right_lower, _] = lines[0].corners();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(left_upper.x, 20.0 - by) && near(left_upper.y, 10.0 - by), "{lines:?}");
        assert!(near(right_lower.x, 70.0 + by) && near(right_lower.y, 19.0 + by), "{lines:?}");
    }

    #[test]
    fn a_slanted_bar_gets_a_slanted_box() {
        // Down by one for three to the right.
        let values = map(200, 120, |x, y| {
            let (x, y) = (x as f64 - 100.0, y as f64 - 60.0);
            (x + y / 3.0).abs() < 60.0 && (y - x / 3.0).abs() < 8.0
        });
        let lines = Map { width: 200, height: 120, values: &values }.lines();
        assert_eq!(lines.len(), 1);
        let slope = lines[0].along.y / lines[0].along.x;
        assert!((slope - 1.0 / 3.0).abs() < 0.05, "{slope}");
        assert!(lines[0].length > 3.0 * lines[0].height);
    }

    #[test]
    fn lines_come_in_reading_order() {
        let bars = [(110, 10), (10, 13), (10, 60), (110, 58)];
        let values = map(200, 100, |x, y| {
            bars.iter()
                .any(|&(left, top)| (left..left + 60).contains(&x) && (top..top + 10).contains(&y))
        });
        let lines = Map { width: 200, height: 100, values: &values }.lines();
        let places: Vec<(bool, bool)> =
            lines.iter().map(|l| (l.centre.y < 40.0, l.centre.x < 100.0)).collect();
        assert_eq!(places, [(true, true), (true, false), (false, true), (false, false)]);
    }

    #[test]
    fn specks_and_what_is_weak_are_no_lines() {
        let speck = map(50, 50, |x, y| x == 20 && y == 20);
        assert!(Map { width: 50, height: 50, values: &speck }.lines().is_empty());
        let weak: Vec<f32> =
            map(50, 50, |x, y| x > 10 && y > 10).iter().map(|v| v / 0.9 * 0.4).collect();
        assert!(Map { width: 50, height: 50, values: &weak }.lines().is_empty());
        let nothing = vec![0.0; 2_500];
        assert!(Map { width: 50, height: 50, values: &nothing }.lines().is_empty());
        let all = vec![f32::NAN; 2_500];
        assert!(Map { width: 50, height: 50, values: &all }.lines().is_empty());
    }
}
