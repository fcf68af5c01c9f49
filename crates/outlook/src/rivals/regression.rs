//! Ordinary least squares with one regressor.

use super::Silence;

/// The fewest points that are fitted.
const FEWEST_POINTS: usize = 12;

/// `y = intercept + slope · x + e`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    pub intercept: f64,
    pub slope: f64,
    /// Variance of e.
    pub residual: f64,
    /// Variance of the slope.
    pub slope_variance: f64,
    mean_x: f64,
    count: f64,
}

impl Line {
    /// Fits `(x, y)` by ordinary least squares.
    ///
    /// # Errors
    /// [`Silence`] if there are too few points, or all have one x.
    pub fn fit(points: &[(f64, f64)]) -> Result<Line, Silence> {
        check(points.len())?;
        let n = points.len() as f64;
        let mean_x = points.iter().map(|p| p.0).sum::<f64>() / n;
        let mean_y = points.iter().map(|p| p.1).sum::<f64>() / n;
        let xx: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
        let xy: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
        if xx <= 1e-12 {
            return Err(Silence("the regressor does not vary".to_string()));
        }
        let slope = xy / xx;
        let intercept = mean_y - slope * mean_x;
        let residual =
            points.iter().map(|p| (p.1 - intercept - slope * p.0).powi(2)).sum::<f64>() / (n - 2.0);
        Ok(Line { intercept, slope, residual, slope_variance: residual / xx, mean_x, count: n })
    }

    /// Fits `(x, y)` through the origin.
    ///
    /// # Errors
    /// [`Silence`] if there are too few points, or each x is zero.
    pub fn through_origin(points: &[(f64, f64)]) -> Result<Line, Silence> {
        check(points.len())?;
        let n = points.len() as f64;
        let xx: f64 = points.iter().map(|p| p.0 * p.0).sum();
        if xx <= 1e-12 {
            return Err(Silence("the regressor does not vary".to_string()));
        }
        let slope = points.iter().map(|p| p.0 * p.1).sum::<f64>() / xx;
        let residual = points.iter().map(|p| (p.1 - slope * p.0).powi(2)).sum::<f64>() / (n - 1.0);
        let slope_variance = residual / xx;
        Ok(Line { intercept: 0.0, slope, residual, slope_variance, mean_x: 0.0, count: n })
    }

    /// The line at x.
    pub fn at(&self, x: f64) -> f64 {
        self.intercept + self.slope * x
    }

    /// How uncertain the line itself is at x.
    pub fn variance_at(&self, x: f64) -> f64 {
        self.residual / self.count + self.slope_variance * (x - self.mean_x).powi(2)
    }
}

fn check(points: usize) -> Result<(), Silence> {
    if points < FEWEST_POINTS {
        return Err(Silence(format!(
            "{points} quarters are too few to fit a line: at least {FEWEST_POINTS}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn longley_s_line_and_its_errors_are_those_of_the_textbook() {
        // Anscombe's first set (1973): intercept 3.0001, slope 0.5001, residual standard error 1.237, standard error
        // of the slope 0.1179; with one more point on the mean, that changes none of the sums.
        let mut points = vec![
            (10.0, 8.04),
            (8.0, 6.95),
            (13.0, 7.58),
            (9.0, 8.81),
            (11.0, 8.33),
            (14.0, 9.96),
            (6.0, 7.24),
            (4.0, 4.26),
            (12.0, 10.84),
            (7.0, 4.82),
            (5.0, 5.68),
        ];
        assert!(Line::fit(&points).is_err(), "eleven are too few here");
        let mean = points.iter().map(|p| p.1).sum::<f64>() / 11.0;
        points.push((9.0, mean));
        let line = Line::fit(&points).expect("a line");
        assert!((line.slope - 0.5001).abs() < 1e-4);
        assert!((line.intercept - 3.0001).abs() < 1e-3);
        // 1.2366² · 9 / 10, for one degree of freedom more.
        assert!((line.residual - 1.2366f64.powi(2) * 0.9).abs() < 1e-3, "{}", line.residual);
        assert!((line.slope_variance - line.residual / 110.0).abs() < 1e-12);
    }

    #[test]
    fn a_regressor_that_stands_still_is_refused() {
        assert!(Line::fit(&[(1.0, 2.0); 20]).is_err());
        assert!(Line::through_origin(&[(0.0, 2.0); 20]).is_err());
    }
}
