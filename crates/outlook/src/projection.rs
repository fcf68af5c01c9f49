//! A projection: quantiles by year, what the claims come to, and what goes with what.

use serde::Serialize;

use crate::claim::CLAIMS;
use crate::driver::{Driver, Drivers};
use crate::model::{Horizon, Outcome, Quantity, Year};
use crate::simulation::{Plan, draw, simulate};

/// The probabilities whose quantiles are told: of the fan, the table, and the record.
pub const LEVELS: [f64; 9] = [0.025, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.975];
/// Years before the horizon are drawn from the first so many draws; the horizon from all.
pub const FAN_DRAWS: u32 = 50_000;

/// Quantiles at [`LEVELS`], in the quantity's unit, ascending.
pub type Quantiles = [f64; LEVELS.len()];

/// One year of the fan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FanYear {
    /// At the end of which year.
    pub year: i32,
    /// What machines add to GDP, USD.
    pub machine_gdp: Quantiles,
    /// What the crypto market is worth, USD.
    pub crypto_cap: Quantiles,
}

/// A probability from so many draws.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Frequency {
    /// How many draws were as asked.
    pub hits: u64,
    /// Of how many.
    pub of: u64,
}

/// What the model says of one horizon.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Projection {
    /// At the end of which year.
    pub year: i32,
    /// How many draws.
    pub draws: u32,
    /// What the random numbers grew from.
    pub seed: u64,
    /// Each year up to the horizon, the horizon last.
    pub fan: Vec<FanYear>,
    /// Medians of the market's parts at the horizon, USD.
    pub medians: Medians,
    /// Whether machines add 2 to 4 trillion.
    pub machine_gdp_claim: Frequency,
    /// Whether they add at least 2.
    pub machine_gdp_at_least: Frequency,
    /// Whether crypto is worth at least 17 trillion.
    pub crypto_cap_claim: Frequency,
    /// The same, where machines add 2 to 4 trillion.
    pub crypto_given_machine_gdp: Frequency,
    /// The same, where machines add more than 4 trillion.
    pub crypto_given_more: Frequency,
    /// The same, where the store of value has more than 30 % of gold's worth.
    pub crypto_given_share: Frequency,
    /// Logarithms of the market's worth, ascending: a predictive distribution to hold beside others.
    #[serde(skip)]
    pub crypto_logs: Vec<f64>,
}

/// Medians of the market's parts, USD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Medians {
    /// B.
    pub store_of_value: f64,
    /// S.
    pub stablecoins: f64,
    /// N.
    pub networks: f64,
    /// L.
    pub legacy: f64,
}

impl Frequency {
    fn count<'a>(all: impl Iterator<Item = &'a Outcome>, test: impl Fn(&Outcome) -> bool) -> Self {
        all.fold(Frequency { hits: 0, of: 0 }, |sum, outcome| Frequency {
            hits: sum.hits + u64::from(test(outcome)),
            of: sum.of + 1,
        })
    }

    /// The share of draws; none if there were none.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        (self.of > 0).then(|| self.hits as f64 / self.of as f64)
    }

    /// The sampling error of that share: one standard deviation, √(p(1−p)/n).
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        self.share().map(|p| (p * (1.0 - p) / self.of as f64).sqrt())
    }
}

/// Draws the model for every year up to a horizon.
#[must_use]
pub fn project(drivers: &Drivers, horizon: Horizon, plan: Plan) -> Projection {
    // All years before the horizon from the same draws, each of which is a way through them.
    let years: Vec<(i32, Year)> = horizon
        .way()
        .filter(|year| *year != horizon)
        .map(|year| (year.year(), Year::new(year)))
        .collect();
    let ways = draw(drivers, plan.at_most(FAN_DRAWS), |values| {
        let outcomes = years.iter().map(|(_, year)| year.outcome(values));
        outcomes.map(|o| [o.machine_gdp, o.crypto_cap]).collect::<Box<[_]>>()
    });
    let mut fan: Vec<FanYear> = years
        .iter()
        .enumerate()
        .map(|(place, (year, _))| FanYear {
            year: *year,
            machine_gdp: quantiles(ways.iter().map(|way| way[place][0]).collect()),
            crypto_cap: quantiles(ways.iter().map(|way| way[place][1]).collect()),
        })
        .collect();
    let outcomes: Vec<Outcome> = simulate(drivers, horizon, plan, |_, o| *o);
    let column = |quantity: Quantity| outcomes.iter().map(|o| quantity.of(o)).collect::<Vec<_>>();
    // Sorting a million takes as long as drawing them; two columns at once.
    let (crypto, machine_gdp) = std::thread::scope(|scope| {
        let crypto = scope.spawn(|| sorted(column(Quantity::CryptoCap)));
        let machine_gdp = quantiles(column(Quantity::MachineGdp));
        (crypto.join().expect("sorting does not panic"), machine_gdp)
    });
    fan.push(FanYear {
        year: horizon.year(),
        machine_gdp,
        crypto_cap: LEVELS.map(|level| quantile_of_sorted(&crypto, level)),
    });
    let medians = Medians {
        store_of_value: median(column(Quantity::StoreOfValue)),
        stablecoins: median(column(Quantity::Stablecoins)),
        networks: median(column(Quantity::Networks)),
        legacy: median(outcomes.iter().map(|o| o.legacy).collect()),
    };
    let [gdp, cap] = CLAIMS;
    let all = || outcomes.iter();
    let cap_holds = |o: &Outcome| cap.holds(o);
    let high = gdp.high.unwrap_or(f64::INFINITY);
    Projection {
        year: horizon.year(),
        draws: plan.draws(),
        seed: plan.seed,
        fan,
        medians,
        machine_gdp_claim: Frequency::count(all(), |o| gdp.holds(o)),
        machine_gdp_at_least: Frequency::count(all(), |o| o.machine_gdp >= gdp.low),
        crypto_cap_claim: Frequency::count(all(), cap_holds),
        crypto_given_machine_gdp: Frequency::count(all().filter(|o| gdp.holds(o)), cap_holds),
        crypto_given_more: Frequency::count(all().filter(|o| o.machine_gdp > high), cap_holds),
        crypto_given_share: Frequency::count(all().filter(|o| o.share > 0.30), cap_holds),
        crypto_logs: crypto.into_iter().map(f64::ln).collect(),
    }
}

/// The share of the variance of ranks that each driver has in common with a quantity: Spearman's ρ².
/// Says what goes together, whatever the shape; drivers that are fixed have none.
#[must_use]
pub fn rank_r2(
    drivers: &Drivers,
    horizon: Horizon,
    plan: Plan,
    quantity: Quantity,
) -> Vec<(Driver, f64)> {
    let rows = simulate(drivers, horizon, plan, |v, o| (*v, quantity.of(o)));
    let target = ranks(&rows.iter().map(|row| row.1).collect::<Vec<_>>());
    Driver::ALL
        .into_iter()
        .filter(|driver| !drivers.of(*driver).is_fixed())
        .map(|driver| {
            let column: Vec<f64> = rows.iter().map(|row| row.0[driver.index()]).collect();
            (driver, correlation(&ranks(&column), &target).powi(2))
        })
        .collect()
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    for (rank, index) in order.into_iter().enumerate() {
        ranks[index] = rank as f64;
    }
    ranks
}

/// Pearson's correlation of two columns of one length.
pub(crate) fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - mean_a) * (y - mean_b);
        aa += (x - mean_a).powi(2);
        bb += (y - mean_b).powi(2);
    }
    ab / (aa * bb).sqrt()
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}

fn quantiles(values: Vec<f64>) -> Quantiles {
    let values = sorted(values);
    LEVELS.map(|level| quantile_of_sorted(&values, level))
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Hyndman and Fan's type 7: linear between order statistics.
pub(crate) fn quantile_of_sorted(sorted: &[f64], level: f64) -> f64 {
    let at = level * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}
