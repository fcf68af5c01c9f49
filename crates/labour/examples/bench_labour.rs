//! What the workers do in a second: one JSON line a figure.
//!
//! `cargo run --release -p labour --example bench_labour`
//!
//! Ratios are of one run: eight chats at once beside the same eight in turn; photographs by as many
//! callers as there are lanes, and twice as many, beside one caller; so a busy machine hurts both.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use labour::language::Settings;
use labour::vision::LANES;
use labour::{
    Cache, ChatRequest, FileKindWorker, LanguageWorker, VisionWorker, Worker, sample_photographs,
    unwatched,
};
use serde_json::json;

/// Tokens of each answer.
const TOKENS: usize = 64;
/// Chats at once.
const CHATS: usize = 8;
/// Photographs of each measurement.
const PHOTOGRAPHS: usize = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::from_env()?;
    language(&cache)?;
    vision(&cache)?;
    file_kind(&cache)
}

fn figure(name: &str, value: f64, unit: &str) {
    let value = (value * 1e3).round() / 1e3;
    println!("{}", json!({ "name": name, "value": value, "unit": unit }));
}

fn language(cache: &Cache) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let worker = LanguageWorker::load_with(cache, Settings::default(), &unwatched)?;
    figure("language.load", started.elapsed().as_secs_f64() * 1e3, "ms");
    let ask = |number: usize| ChatRequest {
        max_tokens: Some(TOKENS),
        ..ChatRequest::ask(format!("Tell me a long story about {number} machines and a cat."))
    };
    worker.chat(ask(0))?;

    let started = Instant::now();
    let mut tokens = 0;
    let mut alone = Vec::new();
    for number in 0..CHATS {
        let answer = worker.chat(ask(number))?;
        tokens += answer.usage.completion_tokens;
        alone.push(answer);
    }
    let in_turn = tokens as f64 / started.elapsed().as_secs_f64();
    figure("language.in_turn", in_turn, "tokens/s");

    let started = Instant::now();
    let together: Vec<_> = std::thread::scope(|scope| {
        let chats: Vec<_> = (0..CHATS)
            .map(|number| {
                scope.spawn({
                    let (w, a) = (&worker, &ask);
                    move || w.chat(a(number))
                })
            })
            .collect();
        chats.into_iter().map(|chat| chat.join()).collect()
    });
    let at_once = tokens as f64 / started.elapsed().as_secs_f64();
    for (answer, expected) in together.into_iter().zip(&alone) {
        let answer = answer.map_err(|_| "a chat broke down")??;
        assert_eq!(&answer, expected, "in company as alone");
    }
    figure("language.at_once", at_once, "tokens/s");
    figure("language.at_once_by_in_turn", at_once / in_turn, "times");
    Ok(())
}

fn vision(cache: &Cache) -> Result<(), Box<dyn Error>> {
    let worker = VisionWorker::load(cache)?;
    let photographs = sample_photographs(cache, &unwatched)?;
    let china = photographs.iter().find(|p| p.name == "china.jpg").ok_or("no china")?;
    let china = std::fs::read(&china.path)?;
    let by = |callers: usize| {
        let left = AtomicUsize::new(PHOTOGRAPHS);
        let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..callers {
                scope.spawn(|| {
                    while take().is_ok() {
                        drop(worker.classify(&china, 5))
                    }
                });
            }
        });
        PHOTOGRAPHS as f64 / started.elapsed().as_secs_f64()
    };
    by(LANES);
    let (one, many) = (by(1), by(2 * LANES));
    figure("vision.one_caller", one, "photographs/s");
    figure("vision.many_callers", many, "photographs/s");
    figure("vision.many_by_one", many / one, "times");
    Ok(())
}

fn file_kind(cache: &Cache) -> Result<(), Box<dyn Error>> {
    let worker = FileKindWorker::load(cache)?;
    let file = include_bytes!("bench_labour.rs");
    for _ in 0..100 {
        worker.kind(file)?;
    }
    let took = worker.measured();
    figure("file_kind", took.busy_micros as f64 / took.units as f64 / 1e3, "ms");
    Ok(())
}
