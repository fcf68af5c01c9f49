//! The tools for the labour market: find offers, hire machines or a person, see the job and its answer, say
//! what one thinks of it, take it back, and take out what is left. The shopper hires, under its mandate.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{MAX_BODY, MAX_TEXT, bounded, read, told, tool};
use crate::access::Access;
use crate::commands::{hire, pay::media_type};
use crate::failure::Failure;
use crate::home;
use crate::report::{HireFile, HireOrder, JobReport};

/// The most bytes of all files of one order together.
const MAX_FILES: usize = 11 << 20;
/// How long a person has, if the agent does not say.
const WITHIN: &str = "1d";
/// The longest that one call waits for a job.
const LONGEST_WAIT: Duration = Duration::from_secs(50);
/// How long one look for news of it waits, in milliseconds.
const LOOK_MS: u64 = 5_000;

/// The names of these tools.
pub const NAMES: [&str; 6] = ["offers", "hire", "job", "judge", "cancel", "withdraw"];

/// A call that makes sense.
pub enum Call {
    Offers(Offers),
    Hire(Box<HireOrder>),
    Job(Look),
    Judge(Judge),
    Cancel(Named),
    Withdraw(Withdraw),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offers {
    #[serde(default)]
    query: String,
    #[serde(default)]
    skip: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hire {
    words: String,
    #[serde(default)]
    files: Vec<File>,
    budget: String,
    check: Option<String>,
    confidence: Option<String>,
    #[serde(default)]
    human: bool,
    within: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    text: Option<String>,
    body_base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    job: String,
    #[serde(default)]
    wait_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    job: String,
    accepts: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    job: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdraw {
    amount: Option<String>,
}

impl Call {
    /// Reads a call of one of these tools; `None` if it is another's.
    ///
    /// # Errors
    /// Which argument is wrong, and how it should be.
    pub fn read(name: &str, arguments: &Value) -> Option<Result<Call, Failure>> {
        let arguments = || arguments.clone();
        Some(match name {
            "offers" => read(name, arguments()).and_then(|search: Offers| {
                bounded("query", Some(&search.query), MAX_TEXT)?;
                Ok(Call::Offers(search))
            }),
            "hire" => read(name, arguments())
                .and_then(|hire: Hire| hire.order().map(|order| Call::Hire(Box::new(order)))),
            "job" => read(name, arguments()).map(Call::Job),
            "judge" => read(name, arguments()).map(Call::Judge),
            "cancel" => read(name, arguments()).map(Call::Cancel),
            "withdraw" => read(name, arguments()).and_then(|take: Withdraw| {
                bounded("amount", take.amount.as_deref(), MAX_TEXT)?;
                Ok(Call::Withdraw(take))
            }),
            _ => return None,
        })
    }

    /// Does it.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn act(self, access: &Access) -> Result<CallToolResult, Failure> {
        // In an economy that sleeps nobody works, and its doors are closed.
        if matches!(access, Access::Here(_)) && !matches!(self, Call::Job(_)) {
            return Err(Failure::new(
                "the market of this home is closed: its economy does not run",
            )
            .hint("its owner starts it with `machina up`"));
        }
        match self {
            Call::Offers(search) => access.find_offers(&search.query, search.skip).await.map(told),
            Call::Hire(order) => access.hire(*order).await.map(told),
            Call::Job(look) => look.act(access).await.map(told),
            Call::Judge(judge) => access.say_of_job(&judge.job, judge.accepts).await.map(told),
            Call::Cancel(named) => access.cancel_job(&named.job).await.map(told),
            Call::Withdraw(take) => access.withdraw(take.amount.as_deref()).await.map(told),
        }
    }
}

impl Look {
    async fn act(self, access: &Access) -> Result<JobReport, Failure> {
        let wait = Duration::from_secs(self.wait_seconds).min(LONGEST_WAIT);
        let ends = tokio::time::Instant::now() + wait;
        let mut named = self.job;
        loop {
            let left = ends.saturating_duration_since(tokio::time::Instant::now());
            let look = u64::try_from(left.as_millis()).unwrap_or(0).min(LOOK_MS);
            let job = access.job(&named, look).await?;
            match &job.next_round {
                // Nobody was hired in that round: the answer comes from the next.
                Some(next) => named.clone_from(next),
                None if job.over || left.is_zero() => return Ok(job),
                None => {}
            }
        }
    }
}

impl Hire {
    fn order(self) -> Result<HireOrder, Failure> {
        bounded("words", Some(&self.words), foreman::MAX_WORDS)?;
        bounded("budget", Some(&self.budget), MAX_TEXT)?;
        bounded("check", self.check.as_deref(), MAX_TEXT)?;
        bounded("name", self.name.as_deref(), MAX_TEXT)?;
        if self.files.len() > foreman::MAX_INPUTS {
            return Err(Failure::misuse(format!(
                "{} files are more than the {} of one order",
                self.files.len(),
                foreman::MAX_INPUTS
            )));
        }
        let within = match (self.human, self.within.as_deref()) {
            (false, Some(_)) => {
                return Err(Failure::misuse("`within` is for people: say `human`, too"));
            }
            (false, None) => None,
            (true, within) => Some(hire::span(within.unwrap_or(WITHIN))?),
        };
        let files: Vec<HireFile> =
            self.files.into_iter().map(File::read).collect::<Result<_, _>>()?;
        if files.iter().map(|file| file.body.len()).sum::<usize>() > MAX_FILES {
            return Err(Failure::misuse("the files are more than 8 MiB together"));
        }
        let entropy = || home::entropy().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(HireOrder {
            words: self.words,
            files,
            budget: self.budget,
            check: self.check,
            confidence_ppm: self.confidence.as_deref().map_or(Ok(0), hire::share)?,
            name: self.name.map_or_else(entropy, |name| format!("mcp/{name}")),
            person_within_ms: within,
        })
    }
}

impl File {
    fn read(self) -> Result<HireFile, Failure> {
        bounded("name", Some(&self.name), MAX_TEXT)?;
        let body = match (self.text, self.body_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => STANDARD.decode(text.trim_ascii()).map_err(|_| {
                Failure::misuse("`body_base64` is not base64")
                    .hint("base64 is with padding and without line breaks")
            })?,
            _ => {
                return Err(Failure::misuse("a file has one body")
                    .hint("give either `text` or `body_base64` (bytes)"));
            }
        };
        if body.len() > MAX_BODY {
            return Err(Failure::misuse(format!("a file is larger than {MAX_BODY} bytes")));
        }
        let media_type = media_type(&body, Some(&self.name)).to_string();
        Ok(HireFile { name: self.name, media_type, body: STANDARD.encode(body) })
    }
}

/// These tools, as an agent is told of them.
pub fn tools() -> Vec<Tool> {
    let text = |said: &str| json!({ "type": "string", "description": said });
    let flag = |said: &str| json!({ "type": "boolean", "description": said });
    let whole = |said: &str| json!({ "type": "integer", "minimum": 0, "description": said });
    let writes = || ToolAnnotations::new().read_only(false);
    let job = text("The job's name, as `hire` told it.");
    let file = json!({
        "type": "object",
        "properties": {
            "name": text("What the file is called."),
            "text": text("Its content, as text."),
            "body_base64": text("Its content, as bytes in base64."),
        },
        "required": ["name"],
        "additionalProperties": false,
    });
    vec![
        tool(
            "offers",
            "Who works for hire at the labour market, best first: by what you mean, their record, price and time, with the reasons.",
            json!({
                "query": text("What you need done, in your words; without it, all offers."),
                "skip": whole("How many of the first are left out: the next page."),
            }),
            &[],
        )
        .with_annotations(ToolAnnotations::new().read_only(true)),
        tool(
            "hire",
            "Hires for a piece of work: rivals bid, one works, others check, and what is not needed of the budget comes back. The budget is set aside within the mandate. Answers the job's name at once; `job` tells its answer.",
            json!({
                "words": text("What is to be done."),
                "files": { "type": "array", "items": file, "description": "What it is about; machines need one at least." },
                "budget": text("The most that it may cost, checks included, in dollars: \"0.05\"."),
                "check": text("exact, redundant, juror, optimistic, gold or peer; without it the cheapest that is sure enough."),
                "confidence": text("How sure the check must be: \"0.99\"; without it 0.95, or what the check by its name reaches."),
                "human": flag("Ask a person instead of machines; files may be left out."),
                "within": text("How long a person has: 90s, 30m, 8h or 2d; a day if not said."),
                "name": text("A name of your own: the same name again is the same job, and hires once."),
            }),
            &["words", "budget"],
        )
        .with_annotations(writes().idempotent(false)),
        tool(
            "job",
            "A job with its bids, why somebody was hired, its check, its money, and its answer when it is there.",
            json!({
                "job": job,
                "wait_seconds": whole("How long to wait for its end, 50 at the most."),
            }),
            &["job"],
        )
        .with_annotations(ToolAnnotations::new().read_only(true)),
        tool(
            "judge",
            "Says whether a person's answer is as asked: if so it is paid at once, if not a juror decides.",
            json!({ "job": job, "accepts": flag("Whether it is as asked.") }),
            &["job", "accepts"],
        )
        .with_annotations(writes().idempotent(true)),
        tool(
            "cancel",
            "Takes a job back before anybody is hired; its budget comes back.",
            json!({ "job": job }),
            &["job"],
        )
        .with_annotations(writes().idempotent(true)),
        tool(
            "withdraw",
            "Takes the wallet's free money out of the market: so much, or all of it. What a job leaves comes out by itself.",
            json!({ "amount": text("How much, in dollars; all that is free if not said.") }),
            &[],
        )
        .with_annotations(writes().idempotent(false)),
    ]
}
