//! `machina reputation`: what checks have shown of who works, and what of it is on the chain.

use crate::access::Access;
use crate::cli::{Arguments, Reputation};
use crate::failure::Failure;
use crate::report::ReputationReport;

pub async fn run(arguments: &Arguments, reputation: &Reputation) -> Result<(), Failure> {
    let access = Access::find(arguments).await?;
    let found = access.reputation(reputation.party.as_deref()).await;
    access.close().await;
    let found = found?;
    super::print(arguments.json, &found, || ReputationReport::list(&found))?;
    // What was written for good and does not fit what it stands on is no success.
    let differs = found.iter().flat_map(|report| &report.skills).any(|s| !s.differences.is_empty());
    match differs {
        true => Err(Failure::new("what is on the chain is not what the receipts say")),
        false => Ok(()),
    }
}
