//! `machina economy`: the national accounts, on the terminal or as a document, and what a reader
//! knows better about a trade.

use std::io::{IsTerminal as _, Write as _};

use super::print;
use crate::access::Access;
use crate::assembly::publication::Form;
use crate::cli::{Arguments, Economy, EconomyCommand, EconomyReportOptions, Retype};
use crate::failure::Failure;

pub async fn run(arguments: &Arguments, economy: &Economy) -> Result<(), Failure> {
    match &economy.what {
        None => {
            let access = Access::find(arguments).await?;
            let report = access.economy().await;
            access.close().await;
            let report = report?;
            print(arguments.json, &report, || report.text())
        }
        Some(EconomyCommand::Report(options)) => report(arguments, options).await,
        Some(EconomyCommand::Retype(options)) => retype(arguments, options).await,
    }
}

async fn retype(arguments: &Arguments, options: &Retype) -> Result<(), Failure> {
    let access = Access::find(arguments).await?;
    let report = access.retype(options).await;
    access.close().await;
    let report = report?;
    print(arguments.json, &report, || report.text())
}

async fn report(arguments: &Arguments, options: &EconomyReportOptions) -> Result<(), Failure> {
    let form = match options {
        options if options.csv => Form::Csv,
        options if options.html => Form::Html,
        options if options.pdf => Form::Pdf,
        _ => Form::Json,
    };
    if arguments.json && form != Form::Json {
        return Err(Failure::misuse("a report has one form: leave `--json` or the other out"));
    }
    if form == Form::Pdf && options.output.is_none() && std::io::stdout().is_terminal() {
        return Err(Failure::misuse("a terminal cannot show a PDF")
            .hint("name a file: `machina economy report --pdf --output report.pdf`"));
    }
    let access = Access::find(arguments).await?;
    let published = access.publish(form).await;
    access.close().await;
    let bytes = published?.bytes()?;
    match &options.output {
        Some(file) => std::fs::write(file, &bytes).map_err(|error| {
            Failure::new(format!("the report cannot be written to {}: {error}", file.display()))
        }),
        None => match std::io::stdout().lock().write_all(&bytes) {
            // A reader that has seen enough is no failure.
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::new(error))
            }
            _ => Ok(()),
        },
    }
}
