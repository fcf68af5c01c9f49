//! The back-test: how well each rival would have foreseen what came.
//!
//! **Rolling origins**: at each quarter's end after a burn-in, every rival fits on what was known that day
//! ([`crate::Facts::known_on`]) and projects 1, 3 and 5 years ahead; what came is scored. The vintage is
//! frozen: one table, of one date, whose revisions nobody can undo.
//!
//! **What few data allow**: forecasts h quarters ahead from n successive origins overlap. They are worth about
//! n/h independent ones, told as `effective`; intervals of coverage use that number, and Diebold and
//! Mariano's test counts autocovariances up to lag h.
//!
//! **The pool** is scored as it would have been made: at each origin its weights come only from forecasts
//! that had come due by then ([`weights`]).
//!
//! **The rule**: a rival that is no benchmark is used only if its mean CRPS is lower than that of the random
//! walk with shrunk drift ([`BENCHMARK`]) on the same origins, at every horizon that was scored
//! ([`Backtest::fails`]). At one horizon alone that would be a low bar: five years ahead all forecasts
//! together are worth about one.

use serde::Serialize;

use crate::facts::{Facts, Series};
use crate::predictive::Predictive;
use crate::rivals::{BENCHMARK, RIVALS};
use crate::score::{DieboldMariano, Wilson, interval_score, pinball, pit_histogram};
use crate::{Date, Quarter};

/// Horizons, years.
pub const HORIZONS: [u8; 3] = [1, 3, 5];
/// Central intervals whose coverage is counted.
pub const COVERAGES: [f64; 3] = [0.50, 0.80, 0.95];
/// Levels of the mean pinball loss.
const PINBALL_LEVELS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// Fewer scored origins than this are not told as a score.
pub const FEWEST_ORIGINS: usize = 8;
/// The least weight in a pool.
pub const FLOOR: f64 = 0.03;
/// With so many independent forecasts, scores decide half of a pool's weights.
pub const HALF_TRUST: f64 = 5.0;
/// The name of the pool among the rows.
pub const POOL: &str = "pool";
/// The naive forecast that skill is told against.
const NAIVE: &str = "random-walk";

/// The back-test of one target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backtest {
    /// Name of the target's series.
    pub target: &'static str,
    /// The first origin and the last, as text.
    pub origins: (String, String),
    /// Quarters between them whose figure lacks: no forecast starts or ends there.
    pub gaps: Vec<String>,
    /// A row for each rival, and for the pool, at each horizon.
    pub rows: Vec<Row>,
}

/// How one rival did at one horizon.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Which rival, or [`POOL`].
    pub name: &'static str,
    /// Whether it is one of the naive.
    pub benchmark: bool,
    /// How far ahead, years.
    pub years: u8,
    /// Its scores, or why there are none; in JSON as `scores` or `why`.
    #[serde(flatten, serialize_with = "scores_or_why")]
    pub result: Result<Scores, String>,
}

fn scores_or_why<S: serde::Serializer>(
    result: &Result<Scores, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap as _;
    let mut map = serializer.serialize_map(Some(1))?;
    match result {
        Ok(scores) => map.serialize_entry("scores", scores)?,
        Err(why) => map.serialize_entry("why", why)?,
    }
    map.end()
}

/// Scores of natural logarithms.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Forecasts that were scored.
    pub count: usize,
    /// How many independent ones they are worth, at most: count over quarters ahead.
    pub effective: f64,
    /// Mean continuous ranked probability score; lower is better.
    pub crps: f64,
    /// 1 − CRPS / CRPS of the random walk, on the same origins.
    pub skill: f64,
    /// Mean pinball loss over nine levels.
    pub pinball: f64,
    /// Mean interval score of the central 80 %.
    pub interval: f64,
    /// Coverage of the central 50, 80 and 95 %.
    pub coverage: [Wilson; 3],
    /// Probability integral transforms in ten bins.
    pub pit: [u32; 10],
    /// Median error: above zero if it foresaw too little.
    pub bias: f64,
    /// Test against the random walk with shrunk drift; none where there are too few.
    pub against_benchmark: Option<DieboldMariano>,
    /// Difference of mean CRPS to that benchmark on the same origins: below zero is better.
    pub difference: f64,
}

impl Scores {
    /// Whether it lowers CRPS against the benchmark.
    #[must_use]
    pub fn lowers_crps(&self) -> bool {
        self.difference < 0.0
    }
}

/// One forecast that came due.
#[derive(Debug, Clone)]
struct Due {
    predictive: Predictive,
    crps: f64,
}

/// Quarters before the first origin.
#[must_use]
pub fn burn_in(target: Series) -> usize {
    // Five years of bitcoin's long past; four of the market's shorter one.
    if target == Series::BitcoinCap { 20 } else { 16 }
}

/// Runs the back-test of one target over the whole table.
#[must_use]
pub fn run(facts: &Facts, target: Series) -> Backtest {
    let end = facts.latest(target).map_or_else(|| quarter_end(2000), |fact| fact.date);
    let quarters: Vec<Quarter> =
        facts.known_on(end, target).target().points().iter().map(|p| p.0).collect();
    let first = quarters.get(burn_in(target)).or(quarters.last()).copied();
    let (Some(first), Some(last)) = (first, quarters.last().copied()) else {
        return Backtest {
            target: target.name(),
            origins: (String::new(), String::new()),
            gaps: Vec::new(),
            rows: Vec::new(),
        };
    };
    let span = || (0..=last.since(first)).map(|n| first.plus(n));
    let gaps = span().filter(|q| !quarters.contains(q)).map(|q| q.to_string()).collect();
    let origins: Vec<Quarter> = span().filter(|q| quarters.contains(q)).collect();
    let mut rows = Vec::new();
    for years in HORIZONS {
        rows.extend(horizon_rows(facts, target, &origins, years));
    }
    Backtest { target: target.name(), origins: (first.to_string(), last.to_string()), gaps, rows }
}

fn quarter_end(year: i32) -> Date {
    Date::year_end(year).expect("a year")
}

/// The rows of one horizon.
fn horizon_rows(facts: &Facts, target: Series, origins: &[Quarter], years: u8) -> Vec<Row> {
    let steps = i32::from(years) * 4;
    // What came, for each origin whose target quarter is in the table.
    let due: Vec<(Quarter, f64)> = origins
        .iter()
        .filter_map(|origin| Some((*origin, facts.at(target, origin.plus(steps))?.ln())))
        .collect();
    let mut silences: Vec<Option<String>> = vec![None; RIVALS.len()];
    // By rival, then by origin.
    let mut all: Vec<Vec<Option<Due>>> = vec![Vec::new(); RIVALS.len()];
    for (origin, observed) in &due {
        let past = facts.known_on(origin.end(), target);
        for (index, rival) in RIVALS.iter().enumerate() {
            all[index].push(match rival.project(&past, f64::from(years)) {
                Ok(predictive) => {
                    let crps = predictive.crps(*observed);
                    Some(Due { predictive, crps })
                }
                Err(silence) => {
                    silences[index] = Some(silence.0);
                    None
                }
            });
        }
    }
    let pool = pooled(&due, &all, steps);
    let column = |name: &str| {
        RIVALS.iter().position(|r| r.name() == name).map(|i| &all[i]).expect("it is listed")
    };
    let (naive, benchmark) = (column(NAIVE), column(BENCHMARK));
    let mut rows: Vec<Row> = RIVALS
        .iter()
        .zip(&all)
        .zip(silences)
        .map(|((rival, dues), silence)| Row {
            name: rival.name(),
            benchmark: rival.is_benchmark(),
            years,
            result: scores(&due, dues, naive, benchmark, steps)
                .ok_or_else(|| silence.unwrap_or_else(|| too_few(dues.iter().flatten().count()))),
        })
        .collect();
    rows.push(Row {
        name: POOL,
        benchmark: false,
        years,
        result: scores(&due, &pool, naive, benchmark, steps)
            .ok_or_else(|| too_few(pool.iter().flatten().count())),
    });
    rows
}

fn too_few(count: usize) -> String {
    format!("{count} forecasts came due: too few to score, at least {FEWEST_ORIGINS}")
}

/// The pool at each origin, with weights from what had come due by then.
fn pooled(due: &[(Quarter, f64)], all: &[Vec<Option<Due>>], steps: i32) -> Vec<Option<Due>> {
    (0..due.len())
        .map(|now| {
            let (origin, observed) = due[now];
            let matured: Vec<usize> =
                (0..now).filter(|then| due[*then].0.plus(steps) <= origin).collect();
            let known: Vec<(Option<f64>, &Predictive)> = all
                .iter()
                .filter_map(|dues| {
                    let predictive = &dues[now].as_ref()?.predictive;
                    let past: Vec<f64> =
                        matured.iter().filter_map(|t| Some(dues[*t].as_ref()?.crps)).collect();
                    let mean =
                        (past.len() >= 4).then(|| past.iter().sum::<f64>() / past.len() as f64);
                    Some((mean, predictive))
                })
                .collect();
            if known.is_empty() {
                return None;
            }
            let effective = matured.len() as f64 / f64::from(steps);
            let weights = weights(&known.iter().map(|k| k.0).collect::<Vec<_>>(), effective);
            let parts = weights.into_iter().zip(known).map(|(w, k)| (w, k.1.clone())).collect();
            let predictive = Predictive::Pool(parts);
            let crps = predictive.crps(observed);
            Some(Due { predictive, crps })
        })
        .collect()
}

/// Weights of a pool from mean CRPS over so many independent forecasts.
///
/// All weigh the same where nothing is known; scores decide as far as there is evidence. With `n` models and
/// λ = effective / (effective + [`HALF_TRUST`]), each has a base of `(1 − λ)/n`, or [`FLOOR`] if that is more,
/// and the rest goes by 1/CRPS². Who has no score has the base.
#[must_use]
pub fn weights(scores: &[Option<f64>], effective: f64) -> Vec<f64> {
    let merit = |score: &Option<f64>| score.map_or(0.0, |score| 1.0 / score.max(1e-6).powi(2));
    let sum: f64 = scores.iter().map(merit).sum();
    let n = scores.len() as f64;
    if sum <= 0.0 {
        return vec![1.0 / n; scores.len()];
    }
    let trust = effective.max(0.0) / (effective.max(0.0) + HALF_TRUST);
    let base = ((1.0 - trust) / n).max(FLOOR).min(1.0 / n);
    scores.iter().map(|s| base + (1.0 - n * base) * merit(s) / sum).collect()
}

/// None if too few came due.
fn scores(
    due: &[(Quarter, f64)],
    dues: &[Option<Due>],
    naive: &[Option<Due>],
    benchmark: &[Option<Due>],
    steps: i32,
) -> Option<Scores> {
    let scored: Vec<(f64, &Due)> =
        due.iter().zip(dues).filter_map(|(d, due)| Some((d.1, due.as_ref()?))).collect();
    if scored.len() < FEWEST_ORIGINS {
        return None;
    }
    let count = scored.len();
    let n = count as f64;
    let mean = |of: &dyn Fn(f64, &Predictive) -> f64| {
        scored.iter().map(|(y, due)| of(*y, &due.predictive)).sum::<f64>() / n
    };
    let central = |p: &Predictive, coverage: f64| {
        (p.quantile(0.5 - coverage / 2.0), p.quantile(0.5 + coverage / 2.0))
    };
    let crps = scored.iter().map(|s| s.1.crps).sum::<f64>() / n;
    let pairs = |other: &[Option<Due>]| -> Vec<(f64, f64)> {
        dues.iter()
            .zip(other)
            .filter_map(|(a, b)| Some((a.as_ref()?.crps, b.as_ref()?.crps)))
            .collect()
    };
    let to_naive = pairs(naive);
    let skill =
        1.0 - to_naive.iter().map(|p| p.0).sum::<f64>() / to_naive.iter().map(|p| p.1).sum::<f64>();
    let differences: Vec<f64> = pairs(benchmark).iter().map(|p| p.0 - p.1).collect();
    let difference = differences.iter().sum::<f64>() / differences.len().max(1) as f64;
    let steps_count = usize::try_from(steps).expect("above zero");
    let effective = n / f64::from(steps);
    let pits: Vec<f64> = scored.iter().map(|(y, due)| due.predictive.cdf(*y)).collect();
    let mut errors: Vec<f64> =
        scored.iter().map(|(y, due)| y - due.predictive.quantile(0.5)).collect();
    errors.sort_by(f64::total_cmp);
    Some(Scores {
        count,
        effective,
        crps,
        skill,
        pinball: mean(&|y, p| {
            let losses = PINBALL_LEVELS.map(|level| pinball(level, p.quantile(level), y));
            losses.iter().sum::<f64>() / losses.len() as f64
        }),
        interval: mean(&|y, p| {
            let (low, high) = central(p, 0.8);
            interval_score(low, high, 0.8, y)
        }),
        coverage: COVERAGES.map(|coverage| {
            let inside = scored.iter().filter(|(y, due)| {
                let (low, high) = central(&due.predictive, coverage);
                (low..=high).contains(y)
            });
            let count = |n: usize| u32::try_from(n).expect("few");
            Wilson::new(count(inside.count()), count(scored.len()), effective)
        }),
        pit: pit_histogram(&pits),
        bias: errors[errors.len() / 2],
        against_benchmark: DieboldMariano::test(&differences, steps_count),
        difference,
    })
}

impl Backtest {
    /// A rival's row at a horizon.
    #[must_use]
    pub fn row(&self, name: &str, years: u8) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name && row.years == years)
    }

    /// The horizon at which a rival fails the rule by most; none if it passes, or was nowhere scored.
    #[must_use]
    pub fn fails(&self, name: &str) -> Option<Fails> {
        let scored = self.rows.iter().filter(|row| row.name == name && !row.benchmark);
        scored
            .filter_map(|row| {
                let s = row.result.as_ref().ok().filter(|s| !s.lowers_crps())?;
                Some(Fails { years: row.years, difference: s.difference })
            })
            .max_by(|a, b| a.difference.total_cmp(&b.difference))
    }
}

/// Where a rival does not lower CRPS.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fails {
    /// How far ahead, years.
    pub years: u8,
    /// By how much its mean CRPS is higher than the benchmark's there.
    pub difference: f64,
}

/// The back-tested horizon nearest to so many years.
#[must_use]
pub fn nearest_horizon(years: f64) -> u8 {
    let far = |h: &u8| (f64::from(*h) - years).abs();
    HORIZONS.into_iter().min_by(|a, b| far(a).total_cmp(&far(b))).expect("there are three")
}

#[cfg(test)]
mod tests {
    use super::{FEWEST_ORIGINS, FLOOR, HORIZONS, POOL, run, weights};
    use crate::facts::{Facts, Series};
    use crate::rivals::{BENCHMARK, RIVALS};

    #[test]
    fn every_rival_has_a_row_at_every_horizon_a_score_or_a_reason() {
        let facts = Facts::bundled();
        for target in [Series::BitcoinCap, Series::CryptoCap] {
            let test = run(&facts, target);
            assert_eq!(test.rows.len(), (RIVALS.len() + 1) * HORIZONS.len());
            for row in &test.rows {
                match &row.result {
                    Ok(s) => {
                        assert!(s.count >= FEWEST_ORIGINS && s.crps > 0.0 && s.crps.is_finite());
                        assert!(s.effective <= s.count as f64 / 4.0);
                        assert_eq!(s.pit.iter().sum::<u32>() as usize, s.count);
                        // Pinball over all levels is half of CRPS; nine levels come near.
                        assert!((2.0 * s.pinball / s.crps - 1.0).abs() < 0.25, "{}", row.name);
                    }
                    Err(why) => assert!(why.len() > 10, "{}", row.name),
                }
            }
            let same = test.row(BENCHMARK, 1).and_then(|r| r.result.as_ref().ok());
            assert!(same.is_some_and(|s| s.difference == 0.0 && !s.lowers_crps()));
            assert!(test.row(POOL, 1).is_some_and(|r| r.result.is_ok()));
        }
    }

    #[test]
    fn too_little_data_is_said_and_not_scored() {
        let rows =
            "series,date,value,source\ncrypto_cap,2024-03-31,1,a\ncrypto_cap,2024-06-30,2,a\n";
        let facts = Facts::parse(rows, "head\na\tA\tfree\t2026-11-22\t1\n").expect("facts");
        let test = run(&facts, Series::CryptoCap);
        assert!(test.rows.iter().all(|row| row.result.is_err()));
        assert!(run(&facts, Series::BitcoinCap).rows.is_empty());
    }

    #[test]
    fn weights_sum_to_one_follow_scores_and_keep_a_floor() {
        let scores = [Some(0.4), Some(0.8), Some(8.0), None];
        let w = weights(&scores, 1e9);
        assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(w[0] > w[1] && w[1] > w[2] && w[2] > w[3]);
        assert!((w[3] - FLOOR).abs() < 1e-12);
        // One independent forecast says little: 5/6 of the weights are equal.
        let few = weights(&scores, 1.0);
        assert!((few.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((few[3] - 5.0 / 6.0 / 4.0).abs() < 1e-12 && few[0] < w[0] && few[0] > few[1]);
        assert_eq!(weights(&scores, 0.0), vec![0.25; 4]);
        assert_eq!(weights(&[None, None], 9.0), vec![0.5, 0.5]);
    }
}
