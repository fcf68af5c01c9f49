//! `machina jobs`: the labour market's jobs.

use crate::access::Access;
use crate::cli::{Arguments, Jobs};
use crate::failure::Failure;
use crate::report::JobReport;

pub async fn run(arguments: &Arguments, jobs: &Jobs) -> Result<(), Failure> {
    let access = Access::find(arguments).await?;
    let found = match &jobs.job {
        Some(job) => said(&access, jobs, job).await.map(|job| vec![job]),
        None => access.jobs(jobs.latest).await,
    };
    access.close().await;
    let found = found?;
    match (&jobs.job, found.first()) {
        (Some(_), Some(job)) => super::print(arguments.json, job, || job.text()),
        _ => super::print(arguments.json, &found, || JobReport::list(&found)),
    }
}

/// A job, after what is to be said of it.
async fn said(access: &Access, jobs: &Jobs, job: &str) -> Result<JobReport, Failure> {
    match (jobs.accept, jobs.object, jobs.cancel) {
        (true, _, _) => access.say_of_job(job, true).await,
        (_, true, _) => access.say_of_job(job, false).await,
        (_, _, true) => access.cancel_job(job).await,
        (false, false, false) => access.job(job, 0).await,
    }
}
