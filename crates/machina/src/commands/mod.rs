//! One file, one command.

mod approvals;
mod books;
mod channels;
mod demo;
mod economy;
mod fund;
mod grant;
mod hire;
mod info;
mod jobs;
mod mcp;
mod models;
mod outlook;
mod pay;
mod reputation;
mod sell;
mod up;

use serde::Serialize;

use crate::cli::{Arguments, Command};
use crate::failure::Failure;

/// Does what was asked.
///
/// # Errors
/// Why it was not done.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Up(_) => up::run(&arguments).await,
        Command::Demo => demo::run(&arguments).await,
        Command::Pay(pay) => pay::run(&arguments, pay).await,
        Command::Hire(hire) => hire::run(&arguments, hire).await,
        Command::Jobs(jobs) => jobs::run(&arguments, jobs).await,
        Command::Reputation(reputation) => reputation::run(&arguments, reputation).await,
        Command::Channels(channels) => channels::run(&arguments, channels).await,
        Command::Sell(sell) => sell::run(&arguments, sell).await,
        Command::Books(books) => books::run(&arguments, books).await,
        Command::Mcp => mcp::run(&arguments).await,
        Command::Economy(economy) => economy::run(&arguments, economy).await,
        Command::Outlook(outlook) => outlook::run(&arguments, outlook).await,
        Command::Models(models) => models::run(&arguments, models).await,
        Command::Info => info::run(&arguments).await,
        Command::Fund(fund) => fund::run(&arguments, fund).await,
        Command::Approvals(approvals) => approvals::run(&arguments, approvals).await,
        Command::Grant(grant) => grant::run(&arguments, grant).await,
    }
}

/// Prints a report: JSON for programs, else its text for people.
fn print<T: Serialize>(
    json: bool,
    report: &T,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let out = if json {
        let mut out = serde_json::to_string_pretty(report).map_err(Failure::new)?;
        out.push('\n');
        out
    } else {
        text()
    };
    say(&out)
}

/// Writes text to standard output. A reader that has seen enough is no failure.
fn say(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|e| Failure::new(format!("the output could not be written: {e}"))),
    }
}
