//! `/mine/work`: jobs that ask for a person, and `/mine/work/{job}`, one of them with the form that suits its
//! stage: take it, answer it, say whether it is as asked, or decide between the two who disagree.

use maud::{Markup, PreEscaped, html};
use money::{Amount, Timestamp};

use super::super::frame::{Live, Place, frame};
use super::super::is_job;
use crate::digits::{NAME, SENTENCE, TITLE, bare, grouped, moment, money, name, plain};
use crate::pages::jobs::{sign, word};
use crate::view::JobStageView;

/// Longest question shown, in characters; the longest answer has five times as many.
const QUESTION: usize = 2_000;
const ANSWER: usize = 5 * QUESTION;
/// Jobs shown in each list.
const LISTED: usize = 50;

/// All that asks for this home's people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkView {
    /// Who works: a name.
    pub worker: String,
    /// What the worker earned so far.
    pub earned: Amount,
    /// Jobs that anybody may still take.
    pub open: Vec<AskView>,
    /// Jobs in the worker's hands, or delivered and not over.
    pub in_hand: Vec<AskView>,
    /// Work for this home's own orders on which its client may say something.
    pub to_accept: Vec<AskView>,
    /// Work over which client and worker disagree, and a juror of this home was drawn.
    pub to_decide: Vec<AskView>,
    /// The latest that are over.
    pub over: Vec<AskView>,
}

/// A job for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskView {
    /// Its name: 32 hexadecimal digits.
    pub id: String,
    /// What is asked, in its client's words.
    pub words: String,
    /// Who asks.
    pub client: String,
    /// Who answers, once somebody does.
    pub worker: Option<String>,
    /// What it pays, less the market's fee: agreed, or the most that the budget leaves.
    pub pays: Amount,
    /// The most that may be asked for it.
    pub most: Amount,
    /// How far it has come.
    pub stage: JobStageView,
    /// When what it waits for must have come.
    pub until: Option<Timestamp>,
    /// Files that it is about.
    pub files: Vec<AskedFile>,
    /// What was answered, where that may be seen.
    pub answer: Option<String>,
    /// What this home's people may do now, most pressing first.
    pub acts: Vec<Act>,
}

/// A file that a person is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedFile {
    /// What its client calls it.
    pub name: String,
    /// What it is, as its client says.
    pub media_type: String,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// Whether it is a picture that can be shown.
    pub is_picture: bool,
}

/// What a person may do with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Offer to do it.
    Take,
    /// Answer it, or give it back.
    Answer,
    /// Say as its client whether it is as asked; the second only until objections are too late.
    Say {
        /// Whether it can still be objected to.
        may_object: bool,
    },
    /// Decide as the juror's owner.
    Decide,
}

/// What went wrong with a form, and what was typed in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retry {
    /// Why it was not done.
    pub why: String,
    /// What was typed.
    pub typed: String,
}

/// The list.
pub fn work(view: &WorkView) -> Markup {
    let main = html! {
        header.head {
            h1 { "Work for people" }
            p { "You work as " (name(&view.worker)) }
        }
        dl.measures.market-figures #work-figures data-live {
            div { dt { "Open" } dd { (view.open.len()) } }
            div { dt { "In your hands" } dd { (view.in_hand.len()) } }
            div { dt { "Earned" } dd { (bare(view.earned)) } }
        }
        div.job-parts #work data-live {
            @if !view.to_decide.is_empty() { (section("decide", "They disagree: who is right?", &view.to_decide)) }
            @if !view.to_accept.is_empty() { (section("accept", "Answers to what you asked", &view.to_accept)) }
            @if !view.in_hand.is_empty() { (section("hand", "In your hands", &view.in_hand)) }
            section.part aria-labelledby="open-head" {
                h2 #open-head { "Asks for a person" }
                @if view.open.is_empty() {
                    p.quiet-note { "Nobody asks for a person now. Ask somebody yourself:" }
                    pre tabindex="0" { code { "machina hire \"which of these is the better cover?\" \\\n  a.jpg b.jpg --human --budget 0.05" } }
                } @else { (list(&view.open)) }
            }
            @if !view.over.is_empty() { (section("over", "Over", &view.over)) }
        }
    };
    frame("Work for people", Place::Mine, Live::Jobs, main)
}

fn section(id: &str, title: &str, jobs: &[AskView]) -> Markup {
    html! {
        section.part aria-labelledby={ (id) "-head" } {
            h2 id={ (id) "-head" } { (title) }
            (list(jobs))
        }
    }
}

fn list(jobs: &[AskView]) -> Markup {
    html! {
        ol.feed.long { @for job in jobs.iter().take(LISTED) { (row(job)) } }
        @if jobs.len() > LISTED { p.of { "and " (jobs.len() - LISTED) " more" } }
    }
}

fn row(job: &AskView) -> Markup {
    let picture = job.files.iter().position(|file| file.is_picture);
    html! {
        li.trade {
            @match picture.filter(|_| is_job(&job.id)) {
                Some(place) => img.thumb src={ "/mine/work/" (job.id) "/files/" (place) } width="56" height="56" alt="" loading="lazy" decoding="async";,
                None => span class={ "thumb blank " (sign(job.stage)) } aria-hidden="true" {},
            }
            div.what {
                a href={ "/mine/work/" (plain(&job.id, 32)) } { bdi { (plain(&one_line(&job.words), TITLE)) } }
                p.who { (name(&job.client)) @match &job.worker { Some(worker) => { " asked " (name(worker)) } None => { " asks" } } }
                @if let Some(until) = job.until { p.when { (ends(job)) " " (moment(until)) } }
            }
            div.price { (money(job.pays)) (stage(job)) }
        }
    }
}

/// Line breaks are control characters to a page: here each is a space.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn stage(job: &AskView) -> Markup {
    html! { span class={ "state " (sign(job.stage)) } {
        @match job.stage {
            JobStageView::Bidding => "open",
            JobStageView::Checking => "answered",
            JobStageView::Rejected => "not as asked",
            other => (word(other)),
        }
    } }
}

fn ends(job: &AskView) -> &'static str {
    match job.stage {
        JobStageView::Open | JobStageView::Bidding | JobStageView::Working => "answer by",
        _ => "decided by",
    }
}

/// One job; `form` is the word of every form, `retry` what went wrong with the last.
pub fn asked(job: &AskView, form: &str, retry: Option<&Retry>) -> Markup {
    let main = html! {
        article.trail {
            header.head.trail-head {
                p.crumb { a href="/mine" { "Yours" } " / " a href="/mine/work" { "Work for people" } }
                h1 { "What " (name(&job.client)) " asks" }
                p.sum #ask-sum data-live { (money(job.pays)) " " (stage(job)) @if let Some(until) = job.until { " " span.when { (ends(job)) " " (moment(until)) " UTC" } } }
            }
            div.job-parts {
                section.part aria-labelledby="question-head" {
                    h2 #question-head { "The question" }
                    p.answer-text { (lines(&job.words, QUESTION)) }
                    (files(job))
                }
                div #ask-answer data-live {
                    @if let Some(answer) = &job.answer {
                        section.part aria-labelledby="answer-head" {
                            h2 #answer-head { "The answer" @if let Some(worker) = &job.worker { " of " (name(worker)) } }
                            p.answer-text { (lines(answer, ANSWER)) }
                        }
                    }
                }
                // Outside of what is read again: what somebody types stays.
                @if let Some(retry) = retry { p.failed role="alert" { (plain(&retry.why, SENTENCE)) } }
                @for act in &job.acts { (act_form(*act, job, form, retry)) }
                p.more { a href={ "/jobs/" (plain(&job.id, 32)) } { "Its bids, check and money" } }
            }
        }
    };
    frame("A question for a person", Place::Mine, Live::Jobs, main)
}

/// Text with its own line breaks, each escaped.
fn lines(text: &str, longest: usize) -> Markup {
    let mut left = longest;
    html! {
        @for (place, line) in text.lines().enumerate() {
            @if place > 0 && left > 0 { (PreEscaped("<br>")) }
            @let shown = plain(line, left);
            ({ left = left.saturating_sub(line.chars().count()); shown })
        }
    }
}

fn files(job: &AskView) -> Markup {
    let address = |place: usize| format!("/mine/work/{}/files/{place}", plain(&job.id, 32));
    html! {
        @if !job.files.is_empty() && is_job(&job.id) {
            ul.asked-files {
                @for (place, file) in job.files.iter().enumerate() {
                    li {
                        @if file.is_picture {
                            img src=(address(place)) alt={ "The picture " (plain(&file.name, TITLE)) } loading="lazy" decoding="async";
                        }
                        p { a href=(address(place)) { bdi { (plain(&file.name, TITLE)) } } " " span.of { (plain(&file.media_type, NAME)) ", " (grouped(&file.bytes.to_string())) " bytes" } }
                    }
                }
            }
        }
    }
}

fn act_form(act: Act, job: &AskView, form: &str, retry: Option<&Retry>) -> Markup {
    let typed = retry.map_or("", |retry| retry.typed.as_str());
    let to = |act: &str| format!("/mine/work/{}/{act}", plain(&job.id, 32));
    let hidden = html! { input type="hidden" name="form" value=(form); };
    html! {
        @match act {
            Act::Take => section.part aria-labelledby="take-head" {
                h2 #take-head { "Take it" }
                form.decide method="post" action=(to("take")) {
                    (hidden)
                    label for="price" { "Your price, in dollars" }
                    input #price name="price" inputmode="decimal" maxlength="40" autocomplete="off" value=(if typed.is_empty() { job.most.number() } else { typed.to_owned() });
                    button type="submit" { "Take it" }
                    p.of { "Its client takes the best offer. The market's fee of one per cent is taken off; what is left comes to your own address." }
                }
            },
            Act::Answer => section.part aria-labelledby="do-head" {
                h2 #do-head { "Your answer" }
                form.decide method="post" action=(to("answer")) {
                    (hidden)
                    label.unseen for="answer" { "Your answer" }
                    textarea #answer name="answer" rows="8" maxlength=(ANSWER) required { (typed) }
                    button type="submit" { "Hand it in" }
                }
                form.decide method="post" action=(to("leave")) {
                    (hidden)
                    button.no type="submit" { "Give the job back" }
                    p.of { "Nobody is paid then, and " (name(&job.client)) " has the money back." }
                }
            },
            Act::Say { may_object } => section.part aria-labelledby="say-head" {
                h2 #say-head { "Is it what you asked for?" }
                form.decide method="post" action=(to("say")) {
                    (hidden)
                    button type="submit" name="says" value="accepted" { "Yes: pay it" }
                    @if may_object { button.no type="submit" name="says" value="objected" { "No: object" } }
                    p.of { "Without a word it counts as accepted. If you object, a juror drawn by lot looks at both." }
                }
            },
            Act::Decide => section.part aria-labelledby="judge-head" {
                h2 #judge-head { "You are the juror" }
                form.decide method="post" action=(to("decide")) {
                    (hidden)
                    button type="submit" name="says" value="upheld" { "It is as asked: pay it" }
                    button.no type="submit" name="says" value="dismissed" { "It is not: money back" }
                    p.of { (name(&job.client)) " objects. If you say nothing in time, the work is paid." }
                }
            },
        }
    }
}

/// How many wait for somebody of this home to act.
pub fn waiting(view: &WorkView) -> u64 {
    (view.open.len() + view.to_accept.len() + view.to_decide.len()) as u64
        + view.in_hand.iter().filter(|job| job.stage == JobStageView::Working).count() as u64
}
