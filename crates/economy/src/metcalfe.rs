//! Metcalfe's question: does value grow with the square of those who trade?
//!
//! *ln value = a + b ln users*, by ordinary least squares, in levels and in differences. Two series
//! that both grow fit each other in levels whatever they have to do with each other (Granger and
//! Newbold 1974, "Spurious regressions in econometrics"): for Bitcoin 2010–2019 the levels give
//! *b* = 1.76 with R² 0.94, and the differences *b* = 0.70 with R² 0.31. So both are given, and the
//! differences are the ones to believe.
#![allow(clippy::float_arithmetic)] // a regression, shown to people; no money is computed here

use serde::Serialize;

use crate::Activity;

/// Below so many usable points a slope is not worth printing.
pub const FEWEST_POINTS: usize = 8;

/// A straight line through logarithms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Line {
    /// The exponent: 2 is Metcalfe's law, 1 no network effect.
    pub slope: f64,
    /// Standard error of the slope, as if residuals were independent.
    pub standard_error: f64,
    /// Share of the variance that the line explains.
    pub r_squared: f64,
    /// Points that it goes through.
    pub points: usize,
}

/// The fit in levels and in differences; either is absent where there is too little to fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Metcalfe {
    /// ln turnover on ln active parties. Mostly common trend: see the module's caution.
    pub levels: Option<Line>,
    /// Change of the one on change of the other, between adjoining stretches.
    pub differences: Option<Line>,
}

/// The fit of turnover on active parties. Stretches in which nothing happened have no logarithm
/// and are left out, and so is each difference to one of them.
pub fn metcalfe(activity: &[Activity]) -> Metcalfe {
    let logarithms: Vec<Option<(f64, f64)>> = activity
        .iter()
        .map(|stretch| {
            let turnover = stretch.turnover.minor();
            (stretch.active > 0 && turnover > 0)
                .then(|| ((stretch.active as f64).ln(), (turnover as f64).ln()))
        })
        .collect();
    let levels: Vec<(f64, f64)> = logarithms.iter().flatten().copied().collect();
    let differences: Vec<(f64, f64)> = logarithms
        .windows(2)
        .filter_map(|pair| match pair {
            [Some((x0, y0)), Some((x1, y1))] => Some((x1 - x0, y1 - y0)),
            _ => None,
        })
        .collect();
    Metcalfe { levels: line(&levels), differences: line(&differences) }
}

fn line(points: &[(f64, f64)]) -> Option<Line> {
    let n = points.len();
    if n < FEWEST_POINTS {
        return None;
    }
    let count = n as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let sum = |term: &dyn Fn(f64, f64) -> f64| {
        points.iter().map(|(x, y)| term(x - mean_x, y - mean_y)).sum::<f64>()
    };
    let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
    // Where nobody came or went there is nothing to explain by.
    if xx <= f64::EPSILON * count || yy <= f64::EPSILON * count {
        return None;
    }
    let slope = xy / xx;
    let unexplained = (yy - slope * xy).max(0.0);
    Some(Line {
        slope,
        standard_error: (unexplained / (count - 2.0) / xx).sqrt(),
        r_squared: 1.0 - unexplained / yy,
        points: n,
    })
}

#[cfg(test)]
mod tests {
    use money::{Amount, Asset, Timestamp};

    use super::*;
    use crate::Ratio;

    fn stretch(active: u64, turnover: i128) -> Activity {
        Activity {
            from: Timestamp::from_millis(0),
            active,
            new: 0,
            stayed: 0,
            retention: Ratio { numerator: 0, denominator: 0 },
            turnover: Amount::from_minor(Asset::MUSD, turnover),
        }
    }

    #[test]
    fn a_square_law_is_found_in_levels_and_in_differences() {
        let square: Vec<Activity> = (1..=20).map(|n| stretch(n, 7 * i128::from(n * n))).collect();
        let fit = metcalfe(&square);
        for line in [fit.levels, fit.differences].map(|line| line.expect("20 points")) {
            assert!((line.slope - 2.0).abs() < 1e-9, "{line:?}");
            assert!(line.r_squared > 0.999_999 && line.standard_error < 1e-6, "{line:?}");
        }
    }

    #[test]
    fn two_trends_that_have_nothing_to_do_with_each_other_fit_in_levels_alone() {
        // Users and value both double each stretch, but each change has a wobble of its own.
        let wobble = [11, 9, 12, 8, 10, 13, 9, 8, 12, 11, 8, 13, 10, 9, 12, 11];
        let both: Vec<Activity> = (0u32..16)
            .map(|t| {
                let users = (100u64 << t) * wobble[t as usize] / 10;
                let turnover = (1_000i128 << t) * i128::from(wobble[(t as usize * 7 + 3) % 16]);
                stretch(users, turnover)
            })
            .collect();
        let fit = metcalfe(&both);
        let (levels, differences) = (fit.levels.unwrap(), fit.differences.unwrap());
        assert!(levels.r_squared > 0.98, "{levels:?}");
        assert!(differences.r_squared < 0.3, "{differences:?}");
    }

    #[test]
    fn too_little_or_no_change_is_not_fitted() {
        assert_eq!(metcalfe(&[]).levels, None);
        let few: Vec<Activity> = (1..8).map(|n| stretch(n, 5)).collect();
        assert_eq!(metcalfe(&few).levels, None);
        let still = vec![stretch(5, 5); 50];
        assert_eq!(metcalfe(&still), Metcalfe { levels: None, differences: None });
        let idle = vec![stretch(0, 0); 50];
        assert_eq!(metcalfe(&idle).differences, None, "nothing has no logarithm");
    }
}
