//! `machina economy`: the national accounts.

use super::print;
use crate::access::Access;
use crate::cli::Arguments;
use crate::failure::Failure;

pub async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let access = Access::find(arguments).await?;
    let report = access.economy().await;
    access.close().await;
    let report = report?;
    print(arguments.json, &report, || report.text())
}
