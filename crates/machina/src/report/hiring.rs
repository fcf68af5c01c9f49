//! What `hire` and `jobs` tell.

use std::fmt::Write as _;

use money::{Amount, Party, Timestamp};
use serde::{Deserialize, Serialize};

use super::Table;
use crate::say;

/// What is asked of the market, as it travels between a command and a running economy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HireOrder {
    /// The person's words.
    pub words: String,
    /// Files, in order.
    pub files: Vec<HireFile>,
    /// The most that it may cost, in whole dollars, checks included.
    pub budget: String,
    /// The check, by name; without it the cheapest that is sure enough.
    #[serde(default)]
    pub check: Option<String>,
    /// How sure the check must be, in millionths; 0 if nobody said.
    pub confidence_ppm: u32,
    /// What the job is named after: the same order under the same name is one job.
    pub name: String,
    /// A person is asked, who has so many milliseconds; without it machines are.
    #[serde(default)]
    pub person_within_ms: Option<u64>,
}

/// Offers that were looked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OffersFound {
    /// By what: `meaning`, `words`, or `everything`.
    pub by: String,
    /// How many in all.
    pub found: u64,
    /// One page of them, best first.
    pub offers: Vec<OfferFound>,
}

/// An offer that was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferFound {
    /// Its name.
    pub offer: String,
    /// The kind of work, by name.
    pub skill: String,
    /// What that is, in words.
    pub about: String,
    /// Who works.
    pub worker: String,
    /// Its address.
    pub address: Party,
    /// What it works with, if it is told.
    pub model: Option<String>,
    /// What it asks where no round decides.
    pub price: Amount,
    /// How many jobs it has in hand.
    pub busy: u32,
    /// How many it takes at a time.
    pub capacity: u32,
    /// Pieces of evidence for its work.
    pub passed: u32,
    /// Pieces of evidence against it.
    pub failed: u32,
    /// How well it suits what was looked for, in millionths.
    pub suits_ppm: u32,
    /// What orders the list, in millionths.
    pub score_ppm: u32,
    /// The median time from an order to its end, in milliseconds.
    pub takes_ms: Option<u64>,
    /// Why it stands where it stands.
    pub reasons: Vec<String>,
}

/// A file of an order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HireFile {
    /// What it is called.
    pub name: String,
    /// Its media type, by its own bytes.
    pub media_type: String,
    /// Its bytes, in base64.
    pub body: String,
}

/// What would be done for an order, and for how much. Nothing is spent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HirePlan {
    /// What is done, kind by kind.
    pub works: Vec<PlannedWork>,
    /// Whether a foreman plans, hires and puts together.
    pub foreman: bool,
    /// The check by name, with its size: `exact with 1 executor`.
    pub check: String,
    /// How sure its verdict is, in millionths; 0 if nobody can tell.
    pub confidence_ppm: u32,
    /// What the check of all of it costs if all goes well.
    pub check_cost: Amount,
    /// Other checks that are as sure as was asked, and what each costs: they are dearer.
    #[serde(default)]
    pub others: Vec<String>,
    /// How many items are hidden among the files, whose answers are known or which must differ from them.
    #[serde(default)]
    pub hidden: u32,
    /// The most that it may cost.
    pub budget: Amount,
    /// The least budget that would do.
    pub least: Amount,
    /// What the mandate leaves in all, and for one payment; none without a mandate.
    pub mandate_left: Option<Amount>,
}

/// Equal pieces of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedWork {
    /// The kind, by name.
    pub service: String,
    /// In words.
    pub title: String,
    /// How many.
    pub count: u64,
    /// What the cheapest offer asks.
    pub from: Option<Amount>,
}

/// A job that was opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HireStarted {
    /// Its name.
    pub job: String,
    /// What was planned.
    pub plan: HirePlan,
    /// Its page.
    #[serde(default)]
    pub url: String,
}

impl HireStarted {
    /// What a person is told who has asked another.
    pub fn text(&self) -> String {
        let id = &self.job;
        format!(
            "{}\n  {}\n  a person takes it under \"Yours\" of these pages (`machina up` prints the link)\n  \
             machina jobs {id}            shows it, and its answer\n  \
             machina jobs {id} --accept   says that it is as asked; without a word it counts as accepted\n",
            say::strong("A person is asked."),
            say::dim(&self.url),
        )
    }
}

/// A job and its tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobReport {
    /// Its name; its page is `/jobs/ID`.
    pub id: String,
    /// What was asked.
    pub title: String,
    /// The kind of work.
    pub service: String,
    /// Who pays.
    pub client: String,
    /// When it was opened.
    pub at: Timestamp,
    /// How far it has come: `bidding`, `at work`, `checking`, `paid`, `failed its check`, `given back`.
    pub stage: String,
    /// Whether it is over, and all that it hired.
    pub over: bool,
    /// The most that it might cost.
    pub budget: Amount,
    /// What the work costs if it passes.
    pub price: Option<Amount>,
    /// Who works.
    pub worker: Option<String>,
    /// The check.
    pub check: JobCheck,
    /// The answer for people, when it is there.
    pub text: Option<String>,
    /// The same where it says more than file by file: a paragraph, an index, a page.
    #[serde(default)]
    pub prose: Option<String>,
    /// The answer file by file, or the one answer of a single piece of work.
    pub items: Vec<JobItem>,
    /// This job and those that it hired, in order and by depth.
    pub tree: Vec<JobBranch>,
    /// Where its money went.
    pub money: Vec<JobMoney>,
    /// What it cost its client in the end, when it is over.
    pub spent: Option<Amount>,
    /// What came back, when it is over.
    pub back: Option<Amount>,
    /// By which transaction that was paid out again.
    pub returned: Option<String>,
    /// The job of the next round, where this one hired nobody although there were bids: its money went there.
    #[serde(default)]
    pub next_round: Option<String>,
    /// How many rounds for the same order were held before this one.
    #[serde(default)]
    pub round: u8,
    /// What the client's mandate leaves, if it has one here.
    pub mandate_left: Option<Amount>,
    /// Its page.
    pub url: String,
}

/// How a job is judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobCheck {
    /// By name.
    pub name: String,
    /// What it does.
    pub about: String,
    /// What it cost, or may cost at most.
    pub cost: Amount,
    /// Whether the work passed; none without a verdict.
    pub passed: Option<bool>,
}

/// One file's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobItem {
    /// The file, or the job's title.
    pub name: String,
    /// The answer in a few words.
    pub gist: String,
    /// How sure the worker is, in millionths, where it says so.
    pub probability_ppm: Option<u32>,
}

/// A job of a tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobBranch {
    /// Its name.
    pub id: String,
    /// How deep it stands.
    pub depth: u8,
    /// What is asked.
    pub title: String,
    /// Who works.
    pub worker: Option<String>,
    /// For how much.
    pub price: Option<Amount>,
    /// How far it has come.
    pub stage: String,
    /// Who bid.
    pub bids: Vec<JobBid>,
    /// Why the one was hired.
    pub why: String,
}

/// A bid.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobBid {
    /// Who.
    pub machine: String,
    /// For how much; none while it is sealed.
    pub price: Option<Amount>,
    /// Its chance to pass, at least, by its record, in millionths.
    pub record_low_ppm: u32,
    /// The quality drawn for it from its record, in millionths.
    pub drawn_ppm: Option<u32>,
    /// Its score.
    pub score: Option<Amount>,
    /// Whether it was hired.
    pub hired: bool,
}

/// A movement of a job's money.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobMoney {
    /// What for.
    pub what: String,
    /// `in`, `out`, `back` or `held`.
    pub way: String,
    /// Who has it.
    pub who: String,
    /// How much.
    pub amount: Amount,
}

fn percent(ppm: u32) -> String {
    let tenths = (u64::from(ppm) + 500) / 1_000;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

impl HirePlan {
    /// The plan as a person reads it, before anything is spent.
    pub fn text(&self) -> String {
        let mut table = Table::new(&[false, false]);
        for work in &self.works {
            let from = work.from.map_or_else(String::new, |price| format!("from {price} each"));
            table.row([format!("{} × {}", work.count, work.title), from]);
        }
        let mut text = table.text();
        if self.foreman {
            text.push_str("  a foreman plans, hires and puts the answers together\n");
        }
        let sure = match self.confidence_ppm {
            0 => String::new(),
            ppm => format!(", sure to {}", percent(ppm)),
        };
        let _ = writeln!(text, "  checked: {}{sure}, for {} in all", self.check, self.check_cost);
        if self.hidden > 0 {
            let hidden = self.hidden;
            let _ = writeln!(
                text,
                "  {hidden} more are mixed in whose answers are known, and paid for as yours"
            );
        }
        if !self.others.is_empty() {
            let others = self.others.join(", ");
            let _ = writeln!(text, "  it is the cheapest that is so sure; as sure: {others}");
        }
        let left = self
            .mandate_left
            .map_or_else(String::new, |left| format!("; the mandate leaves {left}"));
        let _ =
            writeln!(text, "  at most {} is spent, and {} would do{left}", self.budget, self.least);
        text
    }
}

impl JobReport {
    /// What a person sees while it goes on.
    pub fn progress(&self) -> String {
        match self.round {
            0 => self.progress_of_round(),
            before => format!("round {}: {}", before + 1, self.progress_of_round()),
        }
    }

    fn progress_of_round(&self) -> String {
        let hired: Vec<&JobBranch> = self.tree.iter().filter(|b| b.depth > 0).collect();
        let count = |stage: &str| hired.iter().filter(|b| b.stage == stage).count();
        if hired.is_empty() {
            return self.stage.clone();
        }
        let parts: Vec<String> = ["bidding", "at work", "checking", "paid", "given back"]
            .into_iter()
            .map(|stage| (stage, count(stage)))
            .filter(|(_, count)| *count > 0)
            .map(|(stage, count)| format!("{count} {stage}"))
            .collect();
        format!("{}: {}", self.stage, parts.join(", "))
    }

    /// The job as a person reads it.
    pub fn text(&self) -> String {
        let state = match self.stage.as_str() {
            "paid" => say::good("paid"),
            "failed its check" | "given back" => say::bad(&self.stage),
            other => say::dim(other),
        };
        let mut text = format!("{}  {state}\n", say::strong(&self.title));
        text.push_str(&self.answer());
        text.push_str(&self.rounds());
        text.push_str(&self.bids());
        text.push_str(&self.moneys());
        let _ = writeln!(text, "  {}", say::dim(&self.url));
        text
    }

    /// What became of the rounds before and after this one.
    fn rounds(&self) -> String {
        let mut text = String::new();
        if self.round > 0 {
            let _ = writeln!(
                text,
                "  round {}: by the draw of unknown quality nobody was hired before, and the same money asked again",
                self.round + 1
            );
        }
        if let Some(next) = &self.next_round {
            let _ = writeln!(
                text,
                "  nobody was hired in this round; its money went to the next: machina jobs {next}"
            );
        }
        text
    }

    fn answer(&self) -> String {
        let mut text = String::new();
        if !self.items.is_empty() {
            let mut table = Table::new(&[false, false, true]);
            for item in &self.items {
                let sure = item.probability_ppm.map(percent).unwrap_or_default();
                table.row([item.name.clone(), item.gist.clone(), sure]);
            }
            text.push_str(&table.text());
        }
        let alone = self.text.as_ref().filter(|_| self.items.is_empty());
        for line in self.prose.as_ref().or(alone).iter().flat_map(|answer| answer.lines()) {
            let _ = writeln!(text, "  {line}");
        }
        text
    }

    fn bids(&self) -> String {
        let mut text = format!("{}\n", say::strong("Who worked, of whom, and why"));
        let mut table = Table::new(&[false, false, true, false, false]);
        for branch in &self.tree {
            let indent = "  ".repeat(usize::from(branch.depth));
            table.row([
                format!("{indent}{}", branch.title),
                branch.worker.clone().unwrap_or_else(|| "nobody".into()),
                branch.price.map(|p| p.to_string()).unwrap_or_default(),
                branch.stage.clone(),
                branch.told(),
            ]);
        }
        text.push_str(&table.text());
        if let Some(branch) = self.tree.iter().rev().find(|b| !b.why.is_empty()) {
            let _ = writeln!(text, "  {}", say::dim(&branch.why));
        }
        let passed = match self.check.passed {
            Some(true) => say::good("passed"),
            Some(false) => say::bad("failed"),
            None => say::dim("no verdict"),
        };
        let _ = writeln!(text, "  check: {}, {}: {passed}", self.check.name, self.check.about);
        text
    }

    fn moneys(&self) -> String {
        let mut text = format!("{}\n", say::strong("Money"));
        let mut table = Table::new(&[false, true, false]);
        for movement in &self.money {
            let way = match movement.way.as_str() {
                "in" => "set aside by",
                "out" => "paid to",
                "back" => "back to",
                _ => "lies with",
            };
            table.row([
                movement.what.clone(),
                movement.amount.to_string(),
                format!("{way} {}", movement.who),
            ]);
        }
        text.push_str(&table.text());
        if let (Some(spent), Some(back)) = (self.spent, self.back) {
            let _ = writeln!(
                text,
                "  it cost {} of {}, and {} came back unspent",
                say::strong(&spent.to_string()),
                self.budget,
                say::strong(&back.to_string())
            );
        }
        if let Some(transaction) = &self.returned {
            let _ = writeln!(text, "  {}", say::dim(&format!("by transaction {transaction}")));
        }
        if let Some(left) = self.mandate_left {
            let _ = writeln!(text, "  the mandate leaves {left}");
        }
        text
    }

    /// Many jobs, a line each.
    pub fn list(jobs: &[JobReport]) -> String {
        if jobs.is_empty() {
            return "no jobs: `machina hire \"what is in these pictures?\" *.jpg --budget 0.05` opens one\n"
                .into();
        }
        let mut table = Table::new(&[false, false, false, true, false, false]);
        table.row(["job", "when", "asked", "price", "worker", ""]);
        for job in jobs {
            table.row([
                job.id.clone(),
                job.at.to_string(),
                job.title.clone(),
                job.price.unwrap_or(job.budget).to_string(),
                job.worker.clone().unwrap_or_default(),
                job.stage.clone(),
            ]);
        }
        table.text()
    }
}

impl JobBranch {
    /// Its bids in a few words: who asked how much, and by which quality it was scored.
    fn told(&self) -> String {
        let bids: Vec<String> = self
            .bids
            .iter()
            .map(|bid| {
                let price = bid.price.map_or_else(|| "sealed".into(), |price| price.number());
                let drawn =
                    bid.drawn_ppm.map_or_else(String::new, |q| format!(" × {}", percent(q)));
                let mark = if bid.hired { "*" } else { "" };
                format!("{}{mark} {price}{drawn}", bid.machine)
            })
            .collect();
        say::dim(&bids.join(", "))
    }
}
