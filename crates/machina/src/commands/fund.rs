//! `machina fund ADDRESS AMOUNT`: play dollars, on the embedded chain only.

use super::print;
use crate::access::Access;
use crate::cli::{Arguments, Fund};
use crate::failure::Failure;

pub async fn run(arguments: &Arguments, fund: &Fund) -> Result<(), Failure> {
    let access = Access::find(arguments).await?;
    let report = access.fund(&fund.address, &fund.amount).await;
    access.close().await;
    let report = report?;
    print(arguments.json, &report, || {
        format!(
            "gave {} of play money to {}, who has {} now\n  transaction {}\n",
            report.amount, report.to, report.balance, report.transaction
        )
    })
}
