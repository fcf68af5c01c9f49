//! `machina info`: all that a client needs to trade here.

use super::print;
use crate::access::Access;
use crate::cli::Arguments;
use crate::failure::Failure;

pub async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let access = Access::find(arguments).await?;
    let info = access.info().await;
    access.close().await;
    let info = info?;
    print(arguments.json, &info, || info.text())
}
