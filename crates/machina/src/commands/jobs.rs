//! `machina jobs`: the labour market's jobs.

use crate::access::Access;
use crate::cli::{Arguments, Jobs};
use crate::failure::Failure;
use crate::report::JobReport;

pub async fn run(arguments: &Arguments, jobs: &Jobs) -> Result<(), Failure> {
    let access = Access::find(arguments).await?;
    let found = match &jobs.job {
        Some(job) => access.job(job, 0).await.map(|job| vec![job]),
        None => access.jobs(jobs.latest).await,
    };
    access.close().await;
    let found = found?;
    match (&jobs.job, found.first()) {
        (Some(_), Some(job)) => super::print(arguments.json, job, || job.text()),
        _ => super::print(arguments.json, &found, || JobReport::list(&found)),
    }
}
