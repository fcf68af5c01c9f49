//! `machina hire`: machines bid, one works, others check, and what is not needed comes back.

use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::access::{Access, Client};
use crate::cli::{Arguments, Hire};
use crate::failure::Failure;
use crate::home::{self, Home};
use crate::report::{HireFile, HireOrder, JobReport};
use crate::say::{self, Progress};

/// The largest file, in bytes: what machines here take.
const MAX_FILE: u64 = 8 << 20;
/// The most bytes of all files together.
const MAX_TOTAL: u64 = 20 << 20;
/// How long one look for news of the job waits, in milliseconds.
const LOOK_MS: u64 = 5_000;
/// How often it is looked for the money that comes back, after the job has ended.
const RETURN_LOOKS: u32 = 60;

pub async fn run(arguments: &Arguments, hire: &Hire) -> Result<(), Failure> {
    let order = order(hire)?;
    if hire.human {
        return ask_a_person(arguments, hire, order).await;
    }
    let home = Home::find(arguments.home.clone())?;
    // If the economy runs already, the work is done there, and its pages show it live.
    if let Some(client) = Client::of(&home)? {
        return go(arguments, hire, &Access::Running(client), order).await;
    }
    let open = super::up::start(arguments).await?;
    let result = go(arguments, hire, &Access::Here(open.assembly().clone()), order).await;
    open.close().await;
    result
}

/// Asks a person, and waits for nobody: people answer when they can.
async fn ask_a_person(arguments: &Arguments, hire: &Hire, order: HireOrder) -> Result<(), Failure> {
    let Some(client) = Client::of(&Home::find(arguments.home.clone())?)? else {
        return Err(Failure::new("people answer while an economy runs, and none does here")
            .hint("start it with `machina up`, and ask again"));
    };
    let access = Access::Running(client);
    let plan = access.plan_hire(&order).await?;
    if hire.plan {
        return super::print(arguments.json, &plan, || plan.text());
    }
    if !arguments.json {
        super::say(&format!("{}\n{}", say::strong(&hire.words), plan.text()))?;
    }
    let started = access.hire(order).await?;
    super::print(arguments.json, &started, || started.text())
}

async fn go(
    arguments: &Arguments,
    hire: &Hire,
    access: &Access,
    order: HireOrder,
) -> Result<(), Failure> {
    let plan = {
        let _progress = Progress::start("machines come to the market");
        access.plan_hire(&order).await?
    };
    if hire.plan {
        return super::print(arguments.json, &plan, || plan.text());
    }
    if !arguments.json {
        super::say(&format!("{}\n{}", say::strong(&hire.words), plan.text()))?;
    }
    let report = {
        let progress = Progress::start("paying in");
        let started = access.hire(order).await?;
        follow(access, &started.job, &progress).await?
    };
    super::print(arguments.json, &report, || format!("\n{}", report.text()))?;
    match report.stage.as_str() {
        "paid" => Ok(()),
        stage => Err(Failure::new(format!(
            "the work was not done ({stage}); {} came back",
            report.back.unwrap_or(report.budget)
        ))
        .hint(format!("`machina jobs {}` shows what happened", report.id))),
    }
}

/// Waits until the job, or the last round that was held for it, has ended and its money is back.
async fn follow(access: &Access, job: &str, progress: &Progress) -> Result<JobReport, Failure> {
    let mut job = job.to_owned();
    // A round that hired nobody is followed by another, so often as the program allows.
    'rounds: loop {
        let mut report = access.job(&job, 0).await?;
        while !report.over {
            progress.now(&report.progress());
            report = access.job(&job, LOOK_MS).await?;
        }
        let is_back = |report: &JobReport| {
            report.returned.is_some() || report.back.is_none_or(|back| back.is_zero())
        };
        progress.now("what is left comes back");
        for _ in 0..RETURN_LOOKS {
            if let Some(next) = report.next_round {
                progress.now("nobody was hired by the draw: the same money asks again");
                job = next;
                continue 'rounds;
            }
            if is_back(&report) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            report = access.job(&job, 0).await?;
        }
        return Ok(report);
    }
}

/// The order that the command line describes.
///
/// # Errors
/// Which file cannot be read, or what is too large.
fn order(hire: &Hire) -> Result<HireOrder, Failure> {
    if hire.files.is_empty() && !hire.human {
        return Err(Failure::misuse(
            "no file was given: name the pictures or files that it is about",
        )
        .hint("machina hire \"what is in these pictures?\" *.jpg --budget 0.05"));
    }
    if hire.files.len() > foreman::MAX_INPUTS {
        return Err(Failure::misuse(format!(
            "{} files are more than the {} of one order",
            hire.files.len(),
            foreman::MAX_INPUTS
        ))
        .hint("hire for some of them first"));
    }
    let mut files = Vec::new();
    let mut total = 0;
    for path in &hire.files {
        let (name, body) = read(path)?;
        total += body.len() as u64;
        if total > MAX_TOTAL {
            return Err(Failure::misuse(format!(
                "the files have more than {} MB together",
                MAX_TOTAL >> 20
            ))
            .hint("hire for some of them first"));
        }
        let media_type = super::pay::media_type(&body, Some(&name)).to_string();
        files.push(HireFile { name, media_type, body: STANDARD.encode(body) });
    }
    Ok(HireOrder {
        words: hire.words.clone(),
        files,
        budget: hire.budget.clone(),
        check: hire.check.clone(),
        confidence_ppm: hire.confidence.as_deref().map_or(Ok(0), share)?,
        name: home::entropy().iter().map(|byte| format!("{byte:02x}")).collect(),
        person_within_ms: if hire.human { Some(span(&hire.within)?) } else { None },
    })
}

fn read(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let shown = path.display();
    let file = std::fs::File::open(path)
        .map_err(|e| Failure::misuse(format!("the file {shown} cannot be read: {e}")))?;
    let mut body = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut body)
        .map_err(|e| Failure::misuse(format!("the file {shown} cannot be read: {e}")))?;
    if body.len() as u64 > MAX_FILE {
        return Err(Failure::misuse(format!(
            "the file {shown} is larger than {} MB",
            MAX_FILE >> 20
        ))
        .hint("make it smaller: machines look at pictures of a few hundred pixels a side"));
    }
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    Ok((name, body))
}

/// A span of time in milliseconds: `90s`, `30m`, `8h`, `2d`.
pub fn span(text: &str) -> Result<u64, Failure> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => 0,
    };
    let count = digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    let span = count.and_then(|count| count.checked_mul(unit));
    span.filter(|ms| (foreman::person::LEAST_MS..=foreman::person::MOST_MS).contains(ms))
        .ok_or_else(|| {
            let short: String = text.chars().take(40).collect();
            Failure::misuse(format!("`{short}` is no time that a person can be given"))
                .hint("write 90s, 30m, 8h or 2d: from ten seconds to 30 days")
        })
}

/// A share of one, in millionths: `0.99`, `99%`. No float: digits that do not fit are an error.
pub fn share(text: &str) -> Result<u32, Failure> {
    let wrong = || {
        Failure::misuse(format!(
            "`{}` is no share: write 0.99 or 99%",
            text.chars().take(40).collect::<String>()
        ))
    };
    let (digits, places) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent.trim(), 4),
        None => (text.trim(), 6),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || fraction.len() > places || !are_digits(whole) || !are_digits(fraction) {
        return Err(wrong());
    }
    let ppm: u32 = format!("{whole}{fraction:0<places$}").parse().map_err(|_| wrong())?;
    if ppm <= 1_000_000 { Ok(ppm) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_given_ten_seconds_to_thirty_days() {
        for (text, ms) in [("10s", 10_000), ("30m", 1_800_000), ("30d", 2_592_000_000)] {
            assert_eq!(span(text).ok(), Some(ms), "{text}");
        }
        for text in
            ["", "s", "9s", "31d", "-1d", "+1d", "1.5h", "1w", "10", "1é", "99999999999999999999d"]
        {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_read_to_the_millionth_and_nothing_else_is() {
        for (text, ppm) in [
            ("0.99", 990_000),
            ("1", 1_000_000),
            ("0.950001", 950_001),
            ("99%", 990_000),
            ("99.5 %", 995_000),
            ("0", 0),
        ] {
            assert_eq!(share(text).ok(), Some(ppm), "{text}");
        }
        for text in
            ["", ".", "1.1", "101%", "-1", "0.9999999", "NaN", "1e-1", "0,9", "9999999999999"]
        {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
