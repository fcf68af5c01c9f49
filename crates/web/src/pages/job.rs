//! `/jobs/{id}`, a job: what was asked, the tree it belongs to, who bid and who won and why, the work, its
//! check with the evidence, and where the money went.

use maud::{Markup, html};

use super::frame::{Live, Place, frame};
use super::is_job;
use super::jobs::{price, stage};
use super::market::record;
use crate::digits::{
    NAME, SENTENCE, TITLE, bar, count, ends, grouped, moment, money, name, percent, permille, plain,
};
use crate::view::{
    BidView, CheckView, InputView, JobLineView, JobStageView, JobView, LabourView, MoneyView,
    MoneyWay, PanelView, RoundView, SeatView,
};

/// Rows shown of bids, seats, files, movements, each.
const ROWS: usize = 64;
/// Longest text of an answer, in characters.
const TEXT: usize = 2_000;

/// The page.
pub fn page(job: &JobView) -> Markup {
    let line = &job.line;
    let first = job.tree.first().map_or(line.id.as_str(), |first| first.id.as_str());
    let main = html! {
        article.trail #job data-live {
            header.head.trail-head {
                p.crumb { a href="/market" { "Market" } " / " a href="/jobs" { "Jobs" } @if line.depth > 0 && is_job(first) { " / " a href={ "/jobs/" (first) } { "the job that hired it" } } }
                h1 { bdi { (plain(&line.title, SENTENCE)) } }
                p.sum { (price(line)) " " (stage(line.stage)) " " span.when { (moment(line.at)) " UTC" } }
            }
            div.trail-body {
                (exhibit(job))
                div.job-parts {
                    (answer(job))
                    @if job.tree.len() > 1 { (tree(job)) }
                    (round(&job.round, line.stage))
                    (work(job.work.as_ref(), line.stage))
                    (check(&job.check, line.stage))
                    (moneys(job))
                    (evidence(job))
                }
            }
        }
    };
    let over = job.tree.iter().chain([line]).all(|line| is_over(line.stage));
    let live = if over || !is_job(first) { Live::Still } else { Live::Job { id: first } };
    frame(&plain(&line.title, TITLE), Place::Market, live, main)
}

fn is_over(stage: JobStageView) -> bool {
    matches!(stage, JobStageView::Completed | JobStageView::Rejected | JobStageView::Expired)
}

/// What the job is about.
fn exhibit(job: &JobView) -> Markup {
    let pictured = job.line.pictured && is_job(&job.line.id);
    html! {
        @if pictured || !job.inputs.is_empty() {
            aside.exhibit aria-label="What it is about" {
                @if pictured {
                    img src={ "/jobs/" (job.line.id) "/picture" } alt="The picture that was sent" decoding="async";
                }
                ul.inputs { @for input in job.inputs.iter().take(ROWS) { (file(input)) } }
            }
        }
    }
}

fn file(input: &InputView) -> Markup {
    html! {
        li { bdi { (plain(&input.name, TITLE)) } " " span.of { (plain(&input.media_type, NAME)) ", " (grouped(&input.bytes.to_string())) " bytes" } }
    }
}

fn answer(job: &JobView) -> Markup {
    let Some(work) = &job.work else { return html! {} };
    html! {
        @if work.text.is_some() || !work.answers.is_empty() {
            section.part aria-labelledby="answer-head" {
                h2 #answer-head { "Answer" }
                @if let Some(text) = &work.text { p.answer-text { (plain(text, TEXT)) } }
                @if !work.answers.is_empty() {
                    ol.answers {
                        @for answer in work.answers.iter().take(ROWS) {
                            li {
                                span.label { bdi { (plain(&answer.label, TITLE)) } }
                                span.sure { (percent(answer.probability_ppm)) }
                                (bar(permille(i128::from(answer.probability_ppm), 1_000_000)))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tree(job: &JobView) -> Markup {
    html! {
        section.part aria-labelledby="tree-head" {
            h2 #tree-head { "Tree" }
            ol.tree { @for line in &job.tree { (branch(line, line.id == job.line.id)) } }
        }
    }
}

fn branch(line: &JobLineView, here: bool) -> Markup {
    html! {
        li class={ "depth-" (line.depth.min(7)) } {
            span.branch {
                @if here { strong aria-current="page" { (plain(&line.title, TITLE)) } }
                @else { a href={ "/jobs/" (plain(&line.id, 32)) } { bdi { (plain(&line.title, TITLE)) } } }
                span.of { @if let Some(worker) = &line.worker { (name(worker)) } @else { "nobody yet" } }
            }
            span.branch-price { (price(line)) " " (stage(line.stage)) }
        }
    }
}

fn round(round: &RoundView, at: JobStageView) -> Markup {
    html! {
        section.part aria-labelledby="round-head" {
            h2 #round-head { "Bids" }
            p.says { (plain(&round.pricing, SENTENCE)) }
            @if round.bids.is_empty() {
                p.quiet-note { @if at == JobStageView::Bidding { "Bids are coming in." } @else { "There was no round." } }
            } @else {
                ol.bids { @for bid in round.bids.iter().take(ROWS) { (told(bid)) } }
            }
            @if !round.why.is_empty() { p.reason { (plain(&round.why, SENTENCE)) } }
        }
    }
}

fn told(bid: &BidView) -> Markup {
    html! {
        li class=[bid.hired.then_some("hired")] {
            p.bidder { (name(&bid.machine)) @if bid.hired { " " span.state.settled { "hired" } } }
            p.asked { @match bid.price { Some(price) => { (money(price)) } None => { "sealed" } } }
            (record(&bid.record))
            @if let Some(drawn) = bid.drawn {
                p.of { "drawn quality " (percent(drawn.quality_ppm)) ", score " (money(drawn.score)) }
            }
        }
    }
}

fn work(work: Option<&LabourView>, at: JobStageView) -> Markup {
    html! {
        section.part aria-labelledby="work-head" {
            h2 #work-head { "Work" }
            @match work {
                None => p.quiet-note { @if is_over(at) { "Nobody worked." } @else { "Nobody is hired yet." } },
                Some(work) => dl.facts {
                    div { dt { "Worker" } dd { (name(&work.worker)) } }
                    @if !work.model.is_empty() { div { dt { "Model" } dd { code { (plain(&work.model, TITLE)) } } } }
                    div { dt { "At stake" } dd { (money(work.stake)) } }
                    div { dt { "Answer" } dd {
                        @match &work.answer_digest { Some(digest) => { (ends(digest)) } None => { "not known yet" } }
                    } }
                },
            }
        }
    }
}

fn check(check: &CheckView, at: JobStageView) -> Markup {
    html! {
        section.part aria-labelledby="check-head" {
            h2 #check-head { "Check" }
            p.says { strong { (plain(&check.name, NAME)) } " " (plain(&check.about, SENTENCE)) }
            p.verdict {
                @match check.verdict {
                    Some(true) => span.state.settled { "The work passed" },
                    Some(false) => span.state.failed { "The work failed" },
                    None if is_over(at) => "There was no verdict.",
                    None => span.state.held { "No verdict yet" },
                }
                " " span.of { @if is_over(at) { "cost " } @else { "costs at most " } (money(check.cost)) }
            }
            @for panel in check.panels.iter().take(ROWS) { (panel_of(panel)) }
        }
    }
}

fn panel_of(panel: &PanelView) -> Markup {
    html! {
        h3.panel-head { @if panel.is_jury { "Jury" } @else { "Panel" } " of " (count(panel.seats.len() as u64, "checker", "checkers")) }
        ul.rules { @for seat in panel.seats.iter().take(ROWS) { (seated(seat)) } }
        @if let Some(entropy) = &panel.entropy { p.of { "drawn with " (ends(entropy)) } }
    }
}

fn seated(seat: &SeatView) -> Markup {
    let class = match seat.agreed {
        Some(true) => "kept",
        Some(false) => "broken",
        None => "waiting",
    };
    html! {
        li class=(class) {
            span.rule {
                (name(&seat.checker)) " "
                @match &seat.said { Some(said) => { "found " (ends(said)) } None => { "has not said yet" } }
            }
            @match seat.agreed {
                Some(true) => span.left { "agrees with the verdict" },
                Some(false) => span.left { "against the verdict" },
                None => {}
            }
        }
    }
}

fn moneys(job: &JobView) -> Markup {
    html! {
        section.part aria-labelledby="money-head" {
            h2 #money-head { "Money" }
            ul.moneys { @for movement in job.money.iter().take(ROWS) { (moved(movement)) } }
            @if let Some(mandate) = job.mandate {
                p.of { "The mandate leaves " (money(mandate.left)) " of " (money(mandate.limit)) "." }
            }
        }
    }
}

fn moved(movement: &MoneyView) -> Markup {
    let (class, says) = match movement.way {
        MoneyWay::In => ("in", "set aside by"),
        MoneyWay::Out => ("out", "paid to"),
        MoneyWay::Back => ("back", "back to"),
        MoneyWay::Held => ("held", "lies with"),
    };
    html! {
        li class={ "way-" (class) } {
            span.what { (plain(&movement.what, TITLE)) " " span.of { (says) " " (name(&movement.who)) } }
            (money(movement.amount))
        }
    }
}

/// The digests that bind all of it, and the times after which it is over whoever is silent.
fn evidence(job: &JobView) -> Markup {
    html! {
        section.part aria-labelledby="evidence-head" {
            h2 #evidence-head { "Evidence" }
            dl.facts {
                div { dt { "Job" } dd { (ends(&job.line.id)) } }
                div { dt { "Brief" } dd { (ends(&job.brief)) } }
                @if let Some(entropy) = &job.round.entropy { div { dt { "Round cleared with" } dd { (ends(entropy)) } } }
                @if let Some(deadline) = job.deadline { div { dt { "This stage ends by itself" } dd { (moment(deadline)) } } }
                div { dt { "All of it ends by" } dd { (moment(job.ends_by)) } }
            }
        }
    }
}
