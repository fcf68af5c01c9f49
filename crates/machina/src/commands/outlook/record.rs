//! `machina outlook record`: what was projected and claimed, and what became of it.

use std::fmt::Write as _;

use outlook::record::{Entry, Foreseen, Verdict, judge};
use outlook::{Facts, number, project};
use serde::Serialize;

use super::{plan, print, read, today};
use crate::access::Access;
use crate::cli::{Arguments, OutlookQuestion, Record};
use crate::failure::Failure;
use crate::home::Home;
use crate::report::{InscribedReport, Table};
use crate::say;

/// The record, or what was entered.
#[derive(Debug, Serialize)]
struct RecordReport {
    /// What was entered now.
    #[serde(skip_serializing_if = "Option::is_none")]
    entered: Option<Entered>,
    /// Every entry, the source's claims first.
    entries: Vec<Line>,
}

/// What was entered now.
#[derive(Debug, Serialize)]
struct Entered {
    hash: String,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_chain: Option<InscribedReport>,
}

/// One entry and what became of it.
#[derive(Debug, Serialize)]
struct Line {
    hash: String,
    /// None if the text cannot be read, or was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<Entry>,
    /// What became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<String>,
    /// Where its hash was put on a chain: transaction and block, as noted then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    noted: Vec<(String, u64)>,
}

pub async fn run(
    arguments: &Arguments,
    question: &OutlookQuestion,
    wanted: &Record,
) -> Result<(), Failure> {
    let home = Home::find(arguments.home.clone())?;
    let entered = if wanted.keep || wanted.commit {
        Some(enter(arguments, question, wanted, &home).await?)
    } else {
        None
    };
    let facts = Facts::bundled();
    let line = |hash: String, entry: Entry| {
        let verdict = Some(judge(&entry, &facts, today()));
        let noted = home.outlook_notes(&hash);
        Line { hash, entry: Some(entry), verdict, broken: None, noted }
    };
    let mut entries: Vec<Line> =
        Entry::first().into_iter().map(|entry| line(entry.hash(), entry)).collect();
    let first: Vec<String> = entries.iter().map(|line| line.hash.clone()).collect();
    for (name, text) in home.outlook_texts()? {
        // A claim's text is kept from its commitment on; one that was changed since is shown beside it.
        let is_claim = first.contains(&name) && Entry::read(&name, &text).is_ok();
        if is_claim {
            continue;
        }
        entries.push(match Entry::read(&name, &text) {
            Ok(entry) => line(name, entry),
            Err(error) => {
                let (broken, noted) = (Some(error.to_string()), home.outlook_notes(&name));
                Line { hash: name, entry: None, verdict: None, broken, noted }
            }
        });
    }
    let report = RecordReport { entered, entries };
    print(arguments.json, &report, || text(&report))
}

async fn enter(
    arguments: &Arguments,
    question: &OutlookQuestion,
    wanted: &Record,
    home: &Home,
) -> Result<Entered, Failure> {
    let asked = read(arguments, question).await?;
    let projection = project(&asked.drivers(), asked.horizon, plan(question)?);
    let entry = Entry::of(today(), &projection, asked.given());
    // Kept first: a hash on the chain without its text would prove nothing.
    let file = home.keep_outlook(&entry.hash(), &entry.text())?;
    let on_chain = if wanted.commit {
        let access = Access::find(arguments).await?;
        let report = commit(&access, home, &entry).await;
        access.close().await;
        Some(report?)
    } else {
        None
    };
    Ok(Entered { hash: entry.hash(), file: file.display().to_string(), on_chain })
}

/// Puts the hash of an entry on the chain, and before it those of the source's claims if they are not
/// there yet: they are the first entries, so they are held to the same proof, and their texts are kept.
async fn commit(access: &Access, home: &Home, entry: &Entry) -> Result<InscribedReport, Failure> {
    for claim in Entry::first() {
        let hash = claim.hash();
        home.keep_outlook(&hash, &claim.text())?;
        // What was noted may be on another chain than this one.
        let noted = home.outlook_notes(&hash).into_iter().map(|(transaction, _)| transaction);
        let noted: Vec<String> = noted.collect();
        let report = access.inscribe(&hash, &noted).await?;
        if !noted.contains(&report.transaction) {
            home.note_outlook(&hash, &report.transaction, report.block)?;
        }
    }
    let report = access.inscribe(&entry.hash(), &[]).await?;
    home.note_outlook(&entry.hash(), &report.transaction, report.block)?;
    Ok(report)
}

fn text(report: &RecordReport) -> String {
    let mut text = String::new();
    if let Some(entered) = &report.entered {
        let _ = writeln!(text, "entered {}\n  kept in {}", entered.hash, entered.file);
        if let Some(chain) = &entered.on_chain {
            let _ = writeln!(
                text,
                "  its hash is on the chain since block {}, transaction {}",
                chain.block, chain.transaction
            );
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{}", say::strong("The record"));
    let mut table = Table::new(&[false, false, false, false, false]);
    table.row(["entered", "due", "what", "became of it", "on the chain"]);
    for line in &report.entries {
        let short: String = line.hash.chars().take(8).collect();
        let noted = line.noted.first().map_or("no".to_string(), |note| format!("block {}", note.1));
        let (Some(entry), Some(verdict)) = (&line.entry, &line.verdict) else {
            let why = line.broken.clone().unwrap_or_default();
            table.row([short, String::new(), say::bad("not as it was entered"), why, noted]);
            continue;
        };
        table.row([
            entry.made.to_string(),
            format!("end of {}", entry.year),
            what(entry, &short),
            became(verdict),
            noted,
        ]);
    }
    text.push_str(&table.text());
    text.push_str("  The source gave no dates: 2030 and 2034 are assumed here.\n");
    text
}

fn what(entry: &Entry, short: &str) -> String {
    match &entry.foreseen {
        Foreseen::Claim { quantity, low, high, .. } => {
            let high =
                high.map_or(" or more".to_string(), |h| format!(" to {}", number::dollars(h)));
            format!("claim {short}: {} {}{high}", quantity.name(), number::dollars(*low))
        }
        Foreseen::Projection { given, quantiles, .. } => {
            let medians: Vec<String> = quantiles
                .iter()
                .map(|(q, v)| format!("{} {}", q.name(), number::dollars(v[v.len() / 2])))
                .collect();
            let given =
                if given.is_empty() { String::new() } else { format!(" with {}", given.join(" ")) };
            format!("projection {short}: medians {}{given}", medians.join(", "))
        }
    }
}

fn became(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Open { .. } => "open".to_string(),
        Verdict::Unmeasured { why } => format!("not scored: {why}"),
        Verdict::Scored { observed, score, held: true } => {
            format!("held: {} came, score {score:.2}", number::dollars(*observed))
        }
        Verdict::Scored { observed, score, held: false } => {
            format!("missed: {} came, off by {score:.2} in logarithms", number::dollars(*observed))
        }
    }
}
