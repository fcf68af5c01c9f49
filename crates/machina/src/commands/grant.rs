//! `machina grant AMOUNT`: Ada allows her shopper to spend.

use super::print;
use crate::access::Access;
use crate::cli::{Arguments, Grant};
use crate::failure::Failure;

pub async fn run(arguments: &Arguments, grant: &Grant) -> Result<(), Failure> {
    let access = Access::find(arguments).await?;
    let report = access.grant(grant).await;
    access.close().await;
    let report = report?;
    print(arguments.json, &report, || {
        format!(
            "{} allows the shopper {} in all, {} a day and {} a payment, until {}\n",
            report.owner, report.lifetime, report.daily, report.per_payment, report.expires_at
        )
    })
}
