//! `/jobs`: the jobs that nobody's job hired, newest first; and the row that other pages use.

use maud::{Markup, html};

use super::frame::{Live, Place, frame};
use super::is_job;
use crate::digits::{NAME, TITLE, count, grouped, money, name, plain, time_of_day};
use crate::view::{Economy, JobLineView, JobStageView, OpenRoundView};

/// Jobs on a page of `/jobs`.
pub const PAGE_JOBS: usize = 50;

/// What the page shows.
pub struct Page {
    skip: usize,
    jobs: Vec<JobLineView>,
    more: bool,
}

impl Page {
    /// Reads the page that begins after so many jobs.
    pub fn of(economy: &dyn Economy, skip: usize) -> Page {
        let mut jobs = economy.jobs(skip, PAGE_JOBS + 1);
        let more = jobs.len() > PAGE_JOBS;
        jobs.truncate(PAGE_JOBS);
        Page { skip, jobs, more }
    }
}

/// The page.
pub fn page(page: &Page) -> Markup {
    let main = html! {
        header.head {
            h1 { "Jobs" }
            @if !page.jobs.is_empty() { p { (count(page.jobs.len() as u64, "job", "jobs")) } }
        }
        div #jobs data-live {
            @if page.jobs.is_empty() {
                p.quiet-note { "No job is older than this." }
            } @else {
                ol.feed.long { @for job in &page.jobs { (row(job)) } }
            }
        }
        nav.pager aria-label="More jobs" {
            a href="/market" { "The market" }
            @if page.skip > 0 { a href="/jobs" { "Newest jobs" } }
            @if page.more { a rel="next" href={ "/jobs?skip=" (page.skip + PAGE_JOBS) } { "Older jobs" } }
        }
    };
    // Older pages would move under their reader.
    let live = if page.skip == 0 { Live::Jobs } else { Live::Still };
    frame("Jobs", Place::Market, live, main)
}

/// A job in a row: what was asked, by whom, of whom, for how much. The whole row opens the job.
pub fn row(job: &JobLineView) -> Markup {
    html! {
        li.trade {
            @if job.pictured && is_job(&job.id) {
                img.thumb src={ "/jobs/" (job.id) "/picture" } width="56" height="56" alt="" loading="lazy" decoding="async";
            } @else {
                span class={ "thumb blank " (sign(job.stage)) } aria-hidden="true" {}
            }
            div.what {
                a href={ "/jobs/" (plain(&job.id, 32)) } { bdi { (plain(&job.title, TITLE)) } }
                p.who { (who(job)) }
                p.when {
                    (time_of_day(job.at)) " · " (plain(&job.service, NAME))
                    @if job.children > 0 { " · hired " (grouped(&job.children.to_string())) }
                }
                @if let Some(round) = &job.round { (open_round(round)) }
            }
            div.price { (price(job)) (stage(job.stage)) }
        }
    }
}

/// A round as it goes: how many have bid, what of that can be seen, and how long there is.
fn open_round(round: &OpenRoundView) -> Markup {
    html! {
        p.when.round {
            @match (round.bids, round.sealed) {
                (0, _) => { "no bid yet" }
                (bids, 0) => { (count(bids.into(), "open bid", "open bids")) }
                (bids, sealed) if bids == sealed => { (count(bids.into(), "sealed bid", "sealed bids")) }
                (bids, sealed) => { (count(bids.into(), "bid", "bids")) ", " (grouped(&sealed.to_string())) " sealed" }
            }
            " · until " (time_of_day(round.closes))
            @if !round.left.is_empty() { ", " (plain(&round.left, NAME)) " left" }
        }
    }
}

fn who(job: &JobLineView) -> Markup {
    html! {
        (name(&job.client))
        @match &job.worker {
            Some(worker) => { " hired " (name(worker)) }
            None if job.stage == JobStageView::Expired => { " hired nobody" }
            None => { " asks" }
        }
    }
}

/// What is agreed, or else the most that it may be.
pub fn price(job: &JobLineView) -> Markup {
    match job.price {
        Some(price) => money(price),
        None => html! { span.of { "up to " (money(job.budget)) } },
    }
}

/// A job's stage as a sign, a word and a colour.
pub fn stage(stage: JobStageView) -> Markup {
    html! { span class={ "state " (sign(stage)) } { (word(stage)) } }
}

/// The word for a stage.
pub fn word(stage: JobStageView) -> &'static str {
    match stage {
        JobStageView::Open => "open",
        JobStageView::Bidding => "bidding",
        JobStageView::Working => "at work",
        JobStageView::Checking => "checking",
        JobStageView::Completed => "paid",
        JobStageView::Rejected => "failed its check",
        JobStageView::Expired => "given back",
    }
}

/// The class that gives a stage its sign and colour.
pub fn sign(stage: JobStageView) -> &'static str {
    match stage {
        JobStageView::Open
        | JobStageView::Bidding
        | JobStageView::Working
        | JobStageView::Checking => "held",
        JobStageView::Completed => "settled",
        JobStageView::Rejected | JobStageView::Expired => "failed",
    }
}
