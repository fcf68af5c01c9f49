//! What `reputation` tells.

use std::fmt::Write as _;

use money::{Amount, Party, Timestamp};
use serde::{Deserialize, Serialize};

use super::Table;
use crate::say;

/// What checks have shown of a party.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReputationReport {
    /// What it is called here.
    pub name: String,
    /// Its address.
    pub party: Party,
    /// Its share, in millionths, of the trust that flows along paid, checked work from those whom this
    /// home trusts, its shopper and its checkers (EigenTrust); none where nobody has worked yet.
    pub trust_ppm: Option<u32>,
    /// Skill by skill.
    pub skills: Vec<SkillStanding>,
}

/// What checks have shown of a party's work of one kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillStanding {
    /// The skill, by name if it has one.
    pub skill: String,
    /// As of when: evidence fades.
    pub at: Timestamp,
    /// Pieces of evidence for it, as the market counts them.
    pub passed: u32,
    /// And against.
    pub failed: u32,
    /// The expected chance that the next work passes, in millionths.
    pub mean_ppm: u32,
    /// What that is at least, with 95 % confidence on both sides together, in millionths.
    pub low_ppm: u32,
    /// And at most.
    pub high_ppm: u32,
    /// How many of its jobs were checked.
    pub jobs: u64,
    /// How many jobs of others it did again to check them.
    pub checks: u64,
    /// What was paid for its checked jobs, or would have been if they had passed.
    pub checked: Amount,
    /// Pieces of evidence for it, computed anew from the receipts.
    pub computed_passed: u32,
    /// And against.
    pub computed_failed: u32,
    /// Its agent in the registry (ERC-8004), if it has one there.
    pub agent: Option<u64>,
    /// How many words the market has said of it on the chain.
    pub words: u64,
    /// How many it has to say by now.
    pub words_due: u64,
    /// On how many of its jobs those on the chain stand.
    pub jobs_in_words: u64,
    /// What does not fit together, in words; empty if all does.
    pub differences: Vec<String>,
}

impl ReputationReport {
    /// As a person reads them.
    pub fn list(reports: &[ReputationReport]) -> String {
        if reports.is_empty() {
            return "no work was checked yet: `machina hire \"what is in these pictures?\" *.jpg` has some done\n"
                .into();
        }
        let mut table =
            Table::new(&[false, false, true, true, true, true, false, true, true, false]);
        let head = [
            "machine",
            "skill",
            "jobs",
            "checks",
            "passed",
            "failed",
            "next passes",
            "trust",
            "words",
            "",
        ];
        table.row(head);
        let mut differences = Vec::new();
        for report in reports {
            for skill in &report.skills {
                let percent = |ppm: u32| format!("{:.0}", f64::from(ppm) / 10_000.0);
                let agrees = match (skill.differences.is_empty(), skill.agent) {
                    (false, _) => "differs",
                    (true, None) => "not registered",
                    (true, Some(_)) if skill.words < skill.words_due => "words to come",
                    (true, Some(_)) => "as on the chain",
                };
                table.row([
                    report.name.clone(),
                    skill.skill.clone(),
                    skill.jobs.to_string(),
                    skill.checks.to_string(),
                    skill.passed.to_string(),
                    skill.failed.to_string(),
                    format!(
                        "{} % ({} to {})",
                        percent(skill.mean_ppm),
                        percent(skill.low_ppm),
                        percent(skill.high_ppm)
                    ),
                    report.trust_ppm.map_or_else(String::new, |ppm| format!("{} %", percent(ppm))),
                    skill.words.to_string(),
                    agrees.into(),
                ]);
                let named = |said: &String| format!("{}, {}: {said}", report.name, skill.skill);
                differences.extend(skill.differences.iter().map(named));
            }
        }
        let mut text = table.text();
        for difference in differences {
            let _ = writeln!(text, "  {}", say::bad(&difference));
        }
        let told = "evidence is counted by money, a cent of checked work a piece; a word on the chain stands on one at least; trust is what flows from this home's shopper and checkers along paid work";
        let _ = writeln!(text, "  {}", say::dim(told));
        text
    }
}
