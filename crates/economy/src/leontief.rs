//! The Leontief inverse: what all groups must make so that one unit more can be used for good.
//!
//! With *A_ij = z_ij / x_j*, what *j* uses of *i* for a unit of its own output, output that serves the
//! final use *f* is *x = (I − A)⁻¹ f*, and GDP is *v'(I − A)⁻¹ f* with *v_j* value added for a unit
//! of output (Miller and Blair, *Input–Output Analysis*, 2nd edition, §2.2 and §6.2). The inverse
//! exists with no negative entry if and only if the spectral radius of *A* is below one (Hawkins
//! and Simon 1949).
//!
//! These are ratios between amounts, so they have fractions; no amount is ever made from them.
#![allow(clippy::float_arithmetic)] // ratios, shown to people; no money is computed here

use serde::Serialize;

use crate::EconomyError;

/// Rounds of the power iteration; enough for the dominant root of matrices of at most
/// [`MAX_GROUPS`](crate::MAX_GROUPS) rows to settle to six digits in all but contrived ones, in
/// which the pivots decide.
const ROUNDS: usize = 1_000;

/// A pivot below this is none: with coefficients of order one, it has no digit of its own left.
const SMALLEST_PIVOT: f64 = 1e-12;

/// Coefficients, inverse and multipliers, in the order of the table's groups.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Leontief {
    /// *A*: `coefficients[i][j]`, of `i` in a unit of `j`. A group that made nothing uses nothing.
    pub coefficients: Vec<Vec<f64>>,
    /// *(I − A)⁻¹*: `inverse[i][j]`, what `i` makes, all rounds together, for a unit of `j`'s final use.
    pub inverse: Vec<Vec<f64>>,
    /// Output of all groups for a unit of final use of each: the inverse's column sums, at least 1.
    pub output_multipliers: Vec<f64>,
    /// Value added at home for a unit of final use of each: at most 1, the rest is imports.
    pub value_added_multipliers: Vec<f64>,
    /// The dominant root of *A*: the share of output that goes into making output. Below 1.
    pub spectral_radius: f64,
}

impl Leontief {
    /// From what groups used of each other, what they made, and their value added.
    pub(crate) fn of(
        between: &[Vec<i128>],
        output: &[i128],
        value_added: &[i128],
    ) -> Result<Leontief, EconomyError> {
        let share = |part: i128, whole: i128| {
            if whole > 0 { part as f64 / whole as f64 } else { 0.0 }
        };
        let coefficients: Vec<Vec<f64>> = between
            .iter()
            .map(|row| row.iter().zip(output).map(|(part, whole)| share(*part, *whole)).collect())
            .collect();
        let spectral_radius = spectral_radius(&coefficients);
        let inverse = if spectral_radius < 1.0 { inverse(&coefficients) } else { None };
        // Rounding may let a singular matrix pass; a negative entry gives it away.
        let inverse = inverse
            .filter(|rows| rows.iter().flatten().all(|entry| *entry >= -1e-9))
            .ok_or(EconomyError::Unproductive)?;
        let per_output: Vec<f64> =
            value_added.iter().zip(output).map(|(part, whole)| share(*part, *whole)).collect();
        let columns = 0..output.len();
        let output_multipliers =
            columns.clone().map(|j| inverse.iter().map(|row| row[j]).sum()).collect();
        let value_added_multipliers = columns
            .map(|j| inverse.iter().zip(&per_output).map(|(row, v)| row[j] * v).sum())
            .collect();
        Ok(Leontief {
            coefficients,
            inverse,
            output_multipliers,
            value_added_multipliers,
            spectral_radius,
        })
    }

    /// What each group makes, all rounds together, for this final use of each: *(I − A)⁻¹ f*.
    ///
    /// # Panics
    /// If `final_use` has another length than the table.
    pub fn output_for(&self, final_use: &[f64]) -> Vec<f64> {
        assert_eq!(final_use.len(), self.inverse.len(), "one figure for each group");
        let dot = |row: &Vec<f64>| row.iter().zip(final_use).map(|(a, b)| a * b).sum();
        self.inverse.iter().map(dot).collect()
    }
}

/// The dominant root of a matrix without negative entries, by power iteration on *(I + A)/2*, which
/// has the same dominant vector and no root of equal size that it could swing between.
fn spectral_radius(matrix: &[Vec<f64>]) -> f64 {
    let n = matrix.len();
    if n == 0 {
        return 0.0;
    }
    let mut vector = vec![1.0 / n as f64; n];
    let mut growth = 0.0;
    for _ in 0..ROUNDS {
        let next: Vec<f64> = matrix
            .iter()
            .zip(&vector)
            .map(|(row, own)| {
                let used: f64 = row.iter().zip(&vector).map(|(a, b)| a * b).sum();
                f64::midpoint(*own, used)
            })
            .collect();
        let size: f64 = next.iter().sum();
        if size <= 0.0 {
            return 0.0;
        }
        let settled = (size - growth).abs() < 1e-12;
        growth = size;
        vector = next.into_iter().map(|entry| entry / size).collect();
        if settled {
            break;
        }
    }
    // The start has every direction in it, so growth is that of the dominant one: (1 + ρ)/2.
    (2.0 * growth - 1.0).max(0.0)
}

/// *(I − A)⁻¹* by Gauss and Jordan with row pivots; none if there is none.
fn inverse(coefficients: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let n = coefficients.len();
    // The left half becomes the identity, and what that takes makes the right half the inverse.
    let mut rows: Vec<Vec<f64>> = coefficients
        .iter()
        .enumerate()
        .map(|(i, row)| {
            let identity = |j: usize| f64::from(u8::from(i == j));
            let left = row.iter().enumerate().map(|(j, a)| identity(j) - a);
            left.chain((0..n).map(identity)).collect()
        })
        .collect();
    for column in 0..n {
        let largest =
            (column..n).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        if rows[largest][column].abs() < SMALLEST_PIVOT {
            return None;
        }
        rows.swap(column, largest);
        let pivot = rows[column][column];
        for entry in &mut rows[column] {
            *entry /= pivot;
        }
        let pivot_row = rows[column].clone();
        for (index, row) in rows.iter_mut().enumerate() {
            let factor = row[column];
            if index != column && factor != 0.0 {
                for (entry, above) in row.iter_mut().zip(&pivot_row) {
                    *entry -= factor * above;
                }
            }
        }
    }
    Some(rows.into_iter().map(|row| row[n..].to_vec()).collect())
}
