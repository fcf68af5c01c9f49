//! Plays every market against the scripted cheats and prints the tables of `docs/checks.md`.
//!
//! `checks [JOBS [MACHINES [SEED]]]`; without arguments the full plan.

use market::simulation::{Plan, all, table};

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| {
        text.parse::<usize>().unwrap_or_else(|_| {
            eprintln!("`{text}` is no number; usage: checks [JOBS [MACHINES [SEED]]]");
            std::process::exit(2);
        })
    });
    let full = Plan::FULL;
    let plan = Plan {
        jobs: numbers.next().unwrap_or(full.jobs),
        machines: numbers.next().unwrap_or(full.machines).max(40),
        seed: numbers.next().map_or(full.seed, |seed| seed as u64),
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let begun = std::time::Instant::now();
    let figures = all(plan, threads.min(4));
    print!("{}", table::all(plan, &figures));
    eprintln!("{} markets in {:.1} s", figures.len(), begun.elapsed().as_secs_f64());
}
