//! What the workers do in a second: one JSON line a figure.
//!
//! `cargo run --release -p labour --example bench_labour -- [FOLDER [PART…]]`
//!
//! Parts are `language`, `vision`, `meaning`, `reading` and `file_kind`; all, if none is named.
//!
//! Ratios are of one run, and what is compared takes turns in it, so a busy machine hurts both. With a
//! folder, leaves there what `bench_labour_peer.py` needs to measure onnxruntime's own Python binding on
//! the same networks with the same inputs.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use labour::language::{ChatAnswer, Settings};
use labour::picture::{decode, prepare};
use labour::vision::LANES;
use labour::{
    Cache, ChatRequest, FileKindWorker, LanguageWorker, MeaningWorker, ReadingWorker, VisionWorker,
    Worker, fetch, manifest, sample_photographs, unwatched,
};
use serde_json::json;

/// Tokens of each answer.
const TOKENS: usize = 64;
/// Chats at once.
const CHATS: usize = 8;
/// Turns that one chat and the library alone take, on each number of threads.
const TURNS: usize = 3;
/// Turns that eight chats in turn, at once, and the library alone take.
const TURNS_OF_MANY: usize = 3;
/// A word of one token, and how many of them are a long text to read.
const LONG_WORD: &str = " rain";
const LONG: usize = 512;
/// Photographs, or texts, of each measurement.
const PIECES: usize = 120;

fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::from_env()?;
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map(PathBuf::from);
    let parts: Vec<String> = arguments.collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|named| named == part);
    if let Some(folder) = &folder {
        std::fs::create_dir_all(folder)?;
    }
    if wanted("language") {
        language(&cache)?;
    }
    if wanted("vision") {
        vision(&cache, folder.as_deref())?;
    }
    if wanted("meaning") {
        meaning(&cache, folder.as_deref())?;
    }
    if wanted("reading") {
        reading(&cache)?;
    }
    if wanted("file_kind") {
        file_kind(&cache)?;
    }
    Ok(())
}

fn figure(name: &str, value: f64, unit: &str) {
    let value = (value * 1e3).round() / 1e3;
    println!("{}", json!({ "name": name, "value": value, "unit": unit }));
}

fn keep(folder: &Path, name: &str, numbers: &[f32]) -> Result<(), Box<dyn Error>> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
    Ok(std::fs::write(folder.join(name), bytes)?)
}

fn language(cache: &Cache) -> Result<(), Box<dyn Error>> {
    let settings = Settings::default();
    let started = Instant::now();
    let worker = LanguageWorker::load_with(cache, settings, &unwatched)?;
    figure("language.load", started.elapsed().as_secs_f64() * 1e3, "ms");
    let ask = |number: usize| ChatRequest {
        max_tokens: Some(TOKENS),
        ..ChatRequest::ask(format!("Tell me a long story about {number} machines and a cat."))
    };
    worker.chat(ask(0))?;

    // The best of some turns: what a chat takes where nobody else wants the processor. Both sides have as
    // many tries: the library alone is tried on each number of threads, and the machine as often.
    let tokens_of = |answer: &ChatAnswer| answer.usage.completion_tokens;
    let (mut ours, mut bare) = (f64::MAX, f64::MAX);
    for _ in 0..TURNS {
        for threads in 1..=settings.threads {
            // Shorter than what a seat remembers, so each turn reads it anew.
            let started = Instant::now();
            let spoken = tokens_of(&worker.chat(ask(0))?);
            ours = ours.min(started.elapsed().as_secs_f64() / spoken as f64);
            let took = worker.bare(&ask(0), 1, TOKENS, threads)?;
            bare = bare.min(took.as_secs_f64() / TOKENS as f64);
        }
    }
    figure("language.one", 1.0 / ours, "tokens/s");
    figure("language.one_bare", 1.0 / bare, "tokens/s");

    // Eight in turn, eight at once, and what the library alone makes of eight: also in turns.
    let (mut in_turn, mut at_once, mut bare, mut reading) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    let mut prompt = 0;
    for _ in 0..TURNS_OF_MANY {
        let started = Instant::now();
        let alone: Vec<ChatAnswer> =
            (0..CHATS).map(|number| worker.chat(ask(number))).collect::<Result<_, _>>()?;
        let tokens: usize = alone.iter().map(tokens_of).sum();
        in_turn = in_turn.max(tokens as f64 / started.elapsed().as_secs_f64());

        let started = Instant::now();
        let together: Vec<_> = std::thread::scope(|scope| {
            let chat = |number| {
                let (worker, ask) = (&worker, &ask);
                scope.spawn(move || worker.chat(ask(number)))
            };
            let chats: Vec<_> = (0..CHATS).map(chat).collect();
            chats.into_iter().map(|chat| chat.join()).collect()
        });
        at_once = at_once.max(tokens as f64 / started.elapsed().as_secs_f64());
        for (answer, expected) in together.into_iter().zip(&alone) {
            let answer = answer.map_err(|_| "a chat broke down")??;
            assert_eq!(&answer, expected, "in company as alone");
        }
        prompt = alone.iter().map(|answer| answer.usage.prompt_tokens).max().unwrap_or(0);

        let long = ChatRequest::ask(LONG_WORD.repeat(LONG));
        for threads in 1..=settings.threads {
            let took = worker.bare(&ask(0), CHATS, TOKENS, threads)?;
            bare = bare.max((CHATS * TOKENS) as f64 / took.as_secs_f64());
            let took = worker.bare(&long, 1, 1, threads)?;
            reading = reading.max(LONG as f64 / took.as_secs_f64());
        }
    }
    figure("language.in_turn", in_turn, "tokens/s");
    figure("language.at_once", at_once, "tokens/s");
    figure("language.at_once_bare", bare, "tokens/s");
    // Reading is the library at its fastest: all tokens of a text at once. Were every token of eight chats,
    // those read and those spoken, computed so fast, it would come to this many spoken.
    figure("language.reading_bare", reading, "tokens/s");
    let allowed = reading * TOKENS as f64 / (TOKENS + prompt) as f64;
    figure("language.at_once_allowed", allowed, "tokens/s");
    Ok(())
}

/// How many of [`PIECES`] are done in a second by so many callers.
fn rate(callers: usize, work: impl Fn() + Sync) -> f64 {
    let left = AtomicUsize::new(PIECES);
    let take = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                while take().is_ok() {
                    work();
                }
            });
        }
    });
    PIECES as f64 / started.elapsed().as_secs_f64()
}

fn vision(cache: &Cache, folder: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let worker = VisionWorker::load(cache)?;
    let photographs = sample_photographs(cache, &unwatched)?;
    let china = photographs.iter().find(|p| p.name == "china.jpg").ok_or("no china")?;
    let china = std::fs::read(&china.path)?;
    let tensor = prepare(&decode(&china)?);
    if let Some(folder) = folder {
        let weights = fetch(cache, manifest("efficientnet-lite0")?, &unwatched)?;
        let network = labour::vision::network_file(&weights.read()?, &weights.files()[0].1.name)?;
        std::fs::write(folder.join("vision.onnx"), network)?;
        keep(folder, "vision.f32", &tensor.data)?;
    }
    let network = || drop(worker.infer(&tensor));
    let answer = || drop(worker.classify(&china, 5));
    rate(LANES, network);
    figure("vision.network_one", rate(1, network), "1/s");
    figure("vision.network_many", rate(2 * LANES, network), "1/s");
    figure("vision.one_caller", rate(1, answer), "1/s");
    figure("vision.many_callers", rate(2 * LANES, answer), "1/s");
    Ok(())
}

fn meaning(cache: &Cache, folder: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let worker = MeaningWorker::load(cache)?;
    let text = "What is in these pictures, and who would want to buy such a thing from a machine?";
    let rows = worker.rows(text)?;
    if let Some(folder) = folder {
        let weights = fetch(cache, manifest("minilm-l6")?, &unwatched)?;
        let network = labour::meaning::network_file(&weights.read()?, &weights.files()[0].1.name)?;
        std::fs::write(folder.join("meaning.onnx"), network)?;
        keep(folder, "meaning.f32", &rows.data)?;
        keep(folder, "meaning.answer.f32", &worker.infer(&rows)?)?;
    }
    figure("meaning.tokens", rows.shape[0] as f64, "tokens");
    let network = || drop(worker.infer(&rows));
    rate(1, network);
    figure("meaning.network", rate(1, network), "1/s");
    let texts = vec![text; PIECES];
    let started = Instant::now();
    worker.embed_all(&texts)?;
    figure("meaning.many", PIECES as f64 / started.elapsed().as_secs_f64(), "1/s");
    Ok(())
}

fn reading(cache: &Cache) -> Result<(), Box<dyn Error>> {
    let worker = ReadingWorker::load(cache)?;
    let page = fetch(cache, manifest("sample-page")?, &unwatched)?.read()?;
    let mut least = f64::MAX;
    for _ in 0..4 {
        let started = Instant::now();
        worker.read(&page)?;
        least = least.min(started.elapsed().as_secs_f64() * 1e3);
    }
    figure("reading.page", least, "ms");
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
