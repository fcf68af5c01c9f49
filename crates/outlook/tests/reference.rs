//! The published quantiles of the parsimonious model, reproduced.
//!
//! The reference was computed from 200,000 draws and told with two digits. So each figure here is held to
//! within half a unit of its last digit, and three times the sampling error of 200,000 draws beside that.
//! Where the reference leaves a spread or a path open, `outlook::Driver` and `outlook::model` say what was
//! chosen and which of these figures pinned it; those that pinned it are marked. The others were not used.

use std::num::NonZeroUsize;

use outlook::{
    Driver, Drivers, Frequency, Horizon, LEVELS, Plan, Projection, Quantity, project, rank_r2,
};

const DRAWS: u32 = 400_000;

fn horizon() -> Horizon {
    Horizon::new(2034).expect("a year")
}

fn plan() -> Plan {
    Plan::new(DRAWS, 2034, NonZeroUsize::new(2).expect("two")).expect("a plan")
}

fn projection(drivers: &Drivers) -> Projection {
    project(drivers, horizon(), plan())
}

fn level(projection: &Projection, quantity: Quantity, level: f64) -> f64 {
    let last = projection.fan.last().expect("the horizon");
    let values = if quantity == Quantity::MachineGdp { last.machine_gdp } else { last.crypto_cap };
    values[LEVELS.iter().position(|l| *l == level).expect("a level that is told")] / 1e12
}

fn share(frequency: Frequency) -> f64 {
    frequency.share().expect("it was drawn")
}

/// Within a relative margin.
fn near(what: &str, found: f64, published: f64, margin: f64) {
    let off = (found / published - 1.0).abs();
    assert!(off <= margin, "{what}: {found:.4}, published {published}");
}

/// Within an absolute margin.
fn at(what: &str, found: f64, published: f64, margin: f64) {
    assert!((found - published).abs() <= margin, "{what}: {found:.4}, published {published}");
}

#[test]
fn machine_gdp_of_2034_has_the_published_quantiles() {
    let p = projection(&Drivers::prior());
    // Half a unit of the last digit is 4.2 % of 1.2 and 0.6 % of 8.5; sampling adds about 0.5 %.
    for (l, published, margin) in [
        (0.05, 1.2, 0.05),
        (0.25, 2.3, 0.03),
        (0.50, 3.4, 0.02),
        (0.75, 5.0, 0.015),
        (0.95, 8.5, 0.015),
    ] {
        near(&format!("dY at {l}"), level(&p, Quantity::MachineGdp, l), published, margin);
    }
    at("P(2-4T)", share(p.machine_gdp_claim), 0.41, 0.009);
    at("P(2T or more)", share(p.machine_gdp_at_least), 0.81, 0.009);
}

#[test]
fn the_crypto_market_of_2034_has_the_published_quantiles_and_parts() {
    let p = projection(&Drivers::prior());
    // These five and the median store of value pinned G in 2026, the half-life of θ, the spreads of K and L, and
    // that mood has mean one: five choices, eleven figures.
    for (l, published, margin) in [
        (0.05, 2.5, 0.03),
        (0.25, 4.2, 0.03),
        (0.50, 6.4, 0.02),
        (0.75, 9.9, 0.02),
        (0.95, 21.0, 0.03),
    ] {
        near(&format!("C at {l}"), level(&p, Quantity::CryptoCap, l), published, margin);
    }
    at("P(17T or more)", share(p.crypto_cap_claim), 0.08, 0.007);
    near("store of value", p.medians.store_of_value / 1e12, 3.5, 0.03);
    near("stablecoins", p.medians.stablecoins / 1e12, 1.1, 0.05);
    near("legacy", p.medians.legacy / 1e12, 0.9, 0.01);
    // Not used for pinning.
    near("networks", p.medians.networks / 1e12, 0.34, 0.02);
    at("P(17T | 2-4T)", share(p.crypto_given_machine_gdp), 0.08, 0.008);
    at("P(17T | more than 4T)", share(p.crypto_given_more), 0.09, 0.008);
    at("P(17T | share above 30 %)", share(p.crypto_given_share), 0.57, 0.03);
}

#[test]
fn more_debasement_helps_as_little_as_published() {
    for (more, published) in [(0.03, 0.12), (0.06, 0.18)] {
        let drift = outlook::Distribution::Normal { mean: 0.05 + more, deviation: 0.03 };
        let drivers = Drivers::prior().spread(Driver::Debasement, drift);
        at(
            &format!("P(17T) with {more}"),
            share(projection(&drivers).crypto_cap_claim),
            published,
            0.01,
        );
    }
}

#[test]
fn ranks_of_the_drivers_go_with_the_market_as_published() {
    let all = rank_r2(&Drivers::prior(), horizon(), plan().at_most(200_000), Quantity::CryptoCap);
    let of = |driver| all.iter().find(|r| r.0 == driver).expect("it is free").1;
    at("share", of(Driver::Share), 0.31, 0.015);
    at("gold", of(Driver::Gold) + of(Driver::Debasement), 0.16, 0.015);
    at("holdings", of(Driver::Holdings), 0.05, 0.01);
    at("legacy", of(Driver::Legacy), 0.04, 0.01);
    at("settled", of(Driver::Settled), 0.006, 0.004);
    let machine: f64 = [Driver::Exposure, Driver::Adoption, Driver::Saving, Driver::Deepening]
        .map(of)
        .iter()
        .sum();
    at("machine GDP", machine, 0.006, 0.004);
}

#[test]
fn the_two_claims_hardly_depend_on_each_other() {
    let p = projection(&Drivers::prior());
    let given = share(p.crypto_given_machine_gdp);
    assert!((given - share(p.crypto_cap_claim)).abs() < 0.02);
    assert!(share(p.crypto_given_share) > 5.0 * share(p.crypto_cap_claim));
}
