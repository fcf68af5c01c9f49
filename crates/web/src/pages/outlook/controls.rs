//! The form: a slider for each driver, with its unit, range and source. It works without script; a driver
//! counts when it is ticked.

use maud::{Markup, html};
use outlook::{Describe, Driver, Scenario, Unit};

use super::asked::{Asked, written};
use crate::digits::{SENTENCE, plain};
use crate::view::MeasuredView;

/// The drivers as the page groups them.
const GROUPS: [(&str, &[Driver]); 4] = [
    (
        "What machines add",
        &[
            Driver::Exposure,
            Driver::Adoption,
            Driver::Saving,
            Driver::Deepening,
            Driver::Speed,
            Driver::Growth,
        ],
    ),
    (
        "How it is paid",
        &[
            Driver::Settled,
            Driver::Turnover,
            Driver::Velocity,
            Driver::Holdings,
            Driver::Take,
            Driver::Multiple,
        ],
    ),
    ("What is stored", &[Driver::Debasement, Driver::Flight, Driver::Gold, Driver::Share]),
    ("The rest of the market", &[Driver::Legacy, Driver::Sentiment]),
];

/// What a slider spans, and its step: where answers change. A driver's whole range may be typed into the
/// address.
const fn span(driver: Driver) -> (f64, f64, f64) {
    match driver {
        Driver::Exposure | Driver::Adoption | Driver::Saving | Driver::Settled => (0.0, 1.0, 0.01),
        Driver::Share => (0.01, 1.0, 0.01),
        Driver::Deepening => (0.5, 3.0, 0.05),
        Driver::Speed => (0.05, 2.0, 0.05),
        Driver::Growth => (-0.02, 0.10, 0.005),
        Driver::Turnover => (1.0, 10.0, 0.1),
        Driver::Velocity => (1.0, 100.0, 1.0),
        Driver::Take => (0.0, 0.05, 0.001),
        Driver::Multiple => (1.0, 200.0, 1.0),
        Driver::Holdings | Driver::Legacy => (0.05e12, 10.0e12, 0.05e12),
        Driver::Debasement => (-0.05, 0.20, 0.005),
        Driver::Flight => (-0.05, 0.10, 0.005),
        Driver::Gold | Driver::Sentiment => (-3.0, 3.0, 0.1),
    }
}

/// The fields. They belong to the form `ask`, wherever they stand.
pub fn controls(asked: &Asked, measured: &[MeasuredView]) -> Markup {
    html! {
        div.asks {
            p {
                label for="horizon" { "to the end of" }
                input #horizon type="number" form="ask" name="horizon" inputmode="numeric"
                    min=(outlook::model::START + 1) max=(outlook::model::LAST)
                    value=(asked.question.horizon.year());
            }
            p {
                label for="scenario" { "scenario" }
                select #scenario form="ask" name="scenario" {
                    @for scenario in Scenario::ALL {
                        option value=(scenario.name()) selected[scenario == asked.question.scenario] {
                            (scenario.name().replace('-', " ")) ": " (scenario.words())
                        }
                    }
                }
            }
        }
        @for (index, (title, drivers)) in GROUPS.iter().enumerate() {
            // The first group is open, and those in which something is held.
            @let held = drivers.iter().any(|driver| asked.question.held(*driver).is_some());
            details.drivers open[index == 0 || held] {
                summary { h3 { (title) } }
                @for driver in *drivers { (slider(asked, *driver, measured)) }
            }
        }
        p.send {
            button type="submit" form="ask" { "Ask" }
            a href="/outlook" { "As the sources have it" }
        }
    }
}

fn slider(asked: &Asked, driver: Driver, measured: &[MeasuredView]) -> Markup {
    let d = driver.describe();
    let is_measured = asked.measured.contains(&driver);
    let held = asked.question.held(driver).filter(|_| !is_measured);
    let median = asked.question.drivers().of(driver).median();
    let value = held.unwrap_or(median);
    let (least, most, step) = span(driver);
    // A value typed into the address may lie beyond; the slider then reaches to it.
    let (least, most) = (least.min(value), most.max(value));
    let id = format!("at-{}", d.name);
    let says = format!("says-{}", d.name);
    html! {
        div.driver {
            label.held {
                input type="checkbox" form="ask" name="hold" value=(d.name) checked[held.is_some()];
                strong { (d.name) } " "
                span.of { (d.meaning) }
            }
            output #(says) for=(id) data-held[held.is_some()] { (d.show(value)) }
            input #(id) type="range" form="ask" name=(d.name) aria-label={ (d.name) ", " (unit(d)) }
                min=(written(least)) max=(written(most)) step=(written(step)) value=(written(value))
                aria-valuetext=(d.show(value)) data-unit=(unit_word(d.unit));
            p.range { span { (d.show(least)) } span { (d.show(most)) } }
            details.source {
                summary { (d.shape()) }
                p { (d.why) ". It lies between " (d.show(d.range.0)) " and " (d.show(d.range.1)) "; what the slider does not reach, the address takes: " code { "?" (d.name) "=" (written(d.range.1)) } "." }
            }
            @if let Some(figure) = measured.iter().find(|figure| figure.driver == driver) {
                (measure(figure, d, is_measured))
            }
        }
    }
}

/// A driver that this economy measures can be taken from its accounts.
fn measure(figure: &MeasuredView, d: &Describe, taken: bool) -> Markup {
    html! {
        @match &figure.value {
            Ok(value) => {
                label.held.measured {
                    input type="checkbox" form="ask" name="measured" value=(d.name) checked[taken];
                    "as this economy measures it: " strong { (d.show(*value)) } " "
                    span.of { (plain(&figure.means, SENTENCE)) }
                }
            }
            Err(why) => { p.measured.of { "Not measured here: " (plain(why, SENTENCE)) "." } }
        }
    }
}

fn unit(d: &Describe) -> &'static str {
    match d.unit {
        Unit::Share => "a share",
        Unit::Dollars => "US dollars",
        Unit::Number => "a number",
    }
}

fn unit_word(unit: Unit) -> &'static str {
    match unit {
        Unit::Share => "share",
        Unit::Dollars => "dollars",
        Unit::Number => "number",
    }
}

#[cfg(test)]
mod tests {
    use outlook::{Driver, Drivers};

    use super::{GROUPS, span};

    #[test]
    fn every_driver_has_one_slider_within_its_range_that_reaches_its_median() {
        let shown: Vec<Driver> = GROUPS.iter().flat_map(|group| group.1).copied().collect();
        let mut sorted = shown.clone();
        sorted.sort();
        assert_eq!(sorted, Driver::ALL);
        for driver in shown {
            let (least, most, step) = span(driver);
            let (lowest, highest) = driver.describe().range;
            assert!(lowest <= least && most <= highest && step > 0.0, "{driver}");
            assert!((least..=most).contains(&Drivers::prior().of(driver).median()), "{driver}");
            let steps = (most - least) / step;
            assert!((20.0..=200.0).contains(&steps), "{driver}: {steps} steps");
        }
    }
}
