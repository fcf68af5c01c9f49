//! Everything that can be wrong with a question, a driver or a series.

use thiserror::Error;

/// Why the outlook refuses a question. Nothing was computed; asking the same again gets the same.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum OutlookError {
    /// The horizon is not after the year of the facts, or is beyond what the model speaks of.
    #[error("the horizon {year} is not between {first} and {last}")]
    Horizon {
        /// The year that was asked for.
        year: i32,
        /// The first year that can be projected.
        first: i32,
        /// The last.
        last: i32,
    },
    /// Too few or too many draws.
    #[error("{draws} draws are too {}: between {least} and {most}", if draws < least { "few" } else { "many" })]
    Draws {
        /// How many were asked for.
        draws: u32,
        /// The fewest.
        least: u32,
        /// The most.
        most: u32,
    },
    /// There is no such driver.
    #[error("there is no driver `{name}`; the drivers are {known}")]
    UnknownDriver {
        /// What was named.
        name: String,
        /// What there is.
        known: String,
    },
    /// There is no such quantity.
    #[error("there is no quantity `{name}`; the quantities are {known}")]
    UnknownQuantity {
        /// What was named.
        name: String,
        /// What there is.
        known: String,
    },
    /// There is no such model.
    #[error("there is no model `{name}`; the models are {known}")]
    UnknownModel {
        /// What was named.
        name: String,
        /// What there is.
        known: String,
    },
    /// There is no such scenario.
    #[error("there is no scenario `{name}`; the scenarios are {known}")]
    UnknownScenario {
        /// What was named.
        name: String,
        /// What there is.
        known: String,
    },
    /// A driver was given a value that it cannot have.
    #[error("{driver} = {value} is out of range: it lies between {least} and {most}")]
    DriverRange {
        /// Which driver.
        driver: &'static str,
        /// The value that was given, as written.
        value: String,
        /// The least.
        least: String,
        /// The most.
        most: String,
    },
    /// One driver was given two values.
    #[error("{driver} was given twice")]
    DriverTwice {
        /// Which driver.
        driver: &'static str,
    },
    /// Text that should be a number is none.
    #[error("`{text}` is no number; write 0.35, 35%, 17e12, 17T or 300B")]
    Number {
        /// What was written.
        text: String,
    },
    /// Text that should be a date is none.
    #[error("`{text}` is no date; write 2034-12-31")]
    Date {
        /// What was written.
        text: String,
    },
    /// A question could not be read.
    #[error("`{text}` is no question; write {form}")]
    Question {
        /// What was written.
        text: String,
        /// How such questions look.
        form: &'static str,
    },
    /// A target must be above zero, for the answer lies in logarithms.
    #[error("{value} is no target for {quantity}: it must be above zero and finite")]
    Target {
        /// Of which quantity.
        quantity: &'static str,
        /// What was asked for.
        value: f64,
    },
    /// A row of a table of facts is wrong.
    #[error("line {line} of the facts: {why}")]
    Facts {
        /// Which line, from one.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The table of facts has no crypto market, from which the rivals start.
    #[error("the table of facts has no crypto market")]
    NoMarket,
    /// A record's text is not what this program writes.
    #[error("line {line} of the record: {why}")]
    Record {
        /// Which line, from one.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A record's text does not have the hash under which it is kept.
    #[error("the record's text has the hash {found}, and is kept as {expected}: it was changed")]
    RecordHash {
        /// The name under which it is kept.
        expected: String,
        /// The hash of what is there.
        found: String,
    },
}
