//! `machina outlook --drivers`: what each driver is, and from where.

use outlook::Driver;
use serde::Serialize;

use super::print;
use crate::cli::Arguments;
use crate::failure::Failure;
use crate::report::Table;
use crate::say;

/// One driver.
#[derive(Debug, Serialize)]
struct DriverLine {
    name: &'static str,
    meaning: &'static str,
    distribution: String,
    median: f64,
    least: f64,
    most: f64,
    why: &'static str,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let lines: Vec<DriverLine> = Driver::ALL
        .into_iter()
        .map(|driver| {
            let d = driver.describe();
            let (least, most) = d.range;
            DriverLine {
                name: d.name,
                meaning: d.meaning,
                distribution: d.shape(),
                median: d.prior.median(),
                least,
                most,
                why: d.why,
            }
        })
        .collect();
    print(arguments.json, &lines, || {
        let mut table = Table::new(&[false, false, false]);
        for line in &lines {
            table.row([line.name, line.meaning, &line.distribution]);
            table.row(["", &say::dim(line.why), ""]);
        }
        format!("{}\n{}", say::strong("The drivers"), table.text())
    })
}
