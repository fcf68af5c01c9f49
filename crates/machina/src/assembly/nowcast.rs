//! What this economy measures of the outlook's drivers, to put in the place of opinions.

use std::time::Duration;

use economy::{Accounts, Sector};
use outlook::Driver;

use super::Assembly;
use crate::failure::Failure;
use crate::report::{MeasuredFigure, MeasuredReport};

/// A yearly velocity is not read off less than this.
const SHORTEST_PERIOD: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// A year of 365.25 days.
const YEAR: Duration = Duration::from_secs(31_557_600);

/// What the accounts measure, as far as it means what the outlook means by it: κ, V and τ.
///
/// These are ratios, and so fractions; no amount is made of them.
pub fn measured(accounts: &Accounts) -> MeasuredReport {
    let figure = |driver: Driver, value: Result<f64, String>, means: &str| MeasuredFigure {
        driver: driver.name().to_string(),
        means: means.to_string(),
        value: value.as_ref().ok().copied(),
        lacks: value.err(),
    };
    MeasuredReport {
        figures: vec![
            figure(Driver::Turnover, turnover(accounts), "gross payments over value added"),
            figure(
                Driver::Velocity,
                velocity(accounts),
                "payments over money supply, brought to a year",
            ),
            figure(
                Driver::Take,
                take(accounts),
                "what the sectors network and protocol sold, over gross payments",
            ),
        ],
    }
}

fn turnover(accounts: &Accounts) -> Result<f64, String> {
    // To two decimals, as the accounts show it.
    match accounts.turnover_to_value_added.hundredths() {
        Some(hundredths) if hundredths >= 100 => Ok(hundredths as f64 / 100.0),
        _ => Err(format!(
            "this economy has no ratio of payments to value added yet: it is {}",
            accounts.turnover_to_value_added
        )),
    }
}

fn velocity(accounts: &Accounts) -> Result<f64, String> {
    let span = accounts.period.map_or(Duration::ZERO, |period| period.last.since(period.first));
    if span < SHORTEST_PERIOD {
        return Err(format!(
            "this economy's accounts span {} days; a yearly velocity is not read off less than {}",
            span.as_secs() / 86_400,
            SHORTEST_PERIOD.as_secs() / 86_400
        ));
    }
    match accounts.velocity_transactions.hundredths() {
        Some(hundredths) if hundredths > 0 => {
            Ok(hundredths as f64 / 100.0 * YEAR.as_secs_f64() / span.as_secs_f64())
        }
        _ => Err(format!(
            "this economy has no velocity yet: it is {}",
            accounts.velocity_transactions
        )),
    }
}

fn take(accounts: &Accounts) -> Result<f64, String> {
    let networks = accounts
        .sectors
        .iter()
        .filter(|line| matches!(line.sector, Some(Sector::Network | Sector::Protocol)))
        .map(|line| line.output.minor())
        .sum::<i128>();
    let paid = accounts.turnover.minor();
    if networks <= 0 || paid <= 0 {
        return Err(
            "this economy's networks and protocols have sold nothing: gas is free on its chain"
                .to_string(),
        );
    }
    // In millionths, which no reader tells apart.
    let millionths = networks.saturating_mul(1_000_000) / paid;
    Ok(millionths as f64 / 1e6)
}

impl Assembly {
    /// What this economy measures, after counting all that was booked.
    ///
    /// # Errors
    /// As [`Assembly::economy_now`].
    pub async fn measured(&self) -> Result<MeasuredReport, Failure> {
        self.economy_now().await?;
        let supply = self.facts.lock().expect("nothing panics under this lock").supply;
        let measure = self.measure.lock().expect("nothing panics under this lock");
        Ok(measured(&measure.accounts(supply)?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use economy::{AccountsBuilder, Registry};
    use money::{Amount, Asset};
    use outlook::Driver;

    use super::measured;

    #[test]
    fn what_an_economy_without_trades_does_not_measure_is_said_and_not_made_up() {
        let accounts = AccountsBuilder::new(Arc::new(Registry::new()), Asset::MUSD)
            .accounts(Amount::zero(Asset::MUSD))
            .expect("nothing balances");
        let report = measured(&accounts);
        assert_eq!(report.figures.len(), 3);
        for driver in [Driver::Turnover, Driver::Velocity, Driver::Take] {
            let failure = report.value(driver).expect_err("there is nothing to measure");
            assert!(failure.message.starts_with("this economy"), "{}", failure.message);
        }
        assert!(report.value(Driver::Share).is_err(), "no economy measures that");
    }
}
