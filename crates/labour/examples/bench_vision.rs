//! How long the vision machine takes: one JSON line a figure, medians, milliseconds;
//! of the network also the least, which tells more on a machine that others use.
//!
//! `cargo run --release -p labour --example bench_vision -- [FOLDER]`
//!
//! With a folder, leaves there what `bench_vision_peer.py` needs to measure onnxruntime's own Python
//! binding on the same network with the same input: `network.onnx` and `input.f32`.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use labour::picture::{decode, prepare};
use labour::runtime::THREADS;
use labour::vision::network_file;
use labour::{Cache, VisionWorker, fetch, manifest, sample_photographs, unwatched};
use serde_json::json;

const ROUNDS: usize = 101;

fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::from_env()?;
    let photographs = sample_photographs(&cache, &unwatched)?;
    let coffee = photographs.iter().find(|p| p.name == "coffee.png").ok_or("no coffee")?;
    let china = photographs.iter().find(|p| p.name == "china.jpg").ok_or("no china")?;
    let (png, jpeg) = (std::fs::read(&coffee.path)?, std::fs::read(&china.path)?);
    let picture = decode(&jpeg)?;
    let tensor = prepare(&picture);

    if let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) {
        std::fs::create_dir_all(&folder)?;
        let weights = fetch(&cache, manifest("efficientnet-lite0")?, &unwatched)?;
        let network = network_file(&weights.read()?, &weights.files()[0].1.name)?;
        std::fs::write(folder.join("network.onnx"), network)?;
        let input: Vec<u8> = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
        std::fs::write(folder.join("input.f32"), input)?;
    }

    let started = Instant::now();
    let worker = VisionWorker::load(&cache)?;
    figure("vision.load", started.elapsed().as_secs_f64() * 1e3, "ms");
    figure("vision.threads", THREADS as f64, "threads");

    let mut logits = Vec::new();
    let network = times(|| logits = worker.infer(&tensor).unwrap_or_default());
    figure("vision.network", network[ROUNDS / 2], "ms");
    figure("vision.network.least", network[0], "ms");
    figure("vision.network.best_class", best(&logits) as f64, "class");
    figure("vision.decode.jpeg_640x427", median(|| drop(decode(&jpeg))), "ms");
    figure("vision.decode.png_600x400", median(|| drop(decode(&png))), "ms");
    figure("vision.resize.640x427", median(|| drop(prepare(&picture))), "ms");
    figure("vision.classify.jpeg_640x427", median(|| drop(worker.classify(&jpeg, 5))), "ms");
    Ok(())
}

fn figure(name: &str, value: f64, unit: &str) {
    let value = (value * 1e3).round() / 1e3;
    println!("{}", json!({ "name": name, "value": value, "unit": unit }));
}

/// The class with the highest logit: shows that the work was done.
fn best(logits: &[f32]) -> usize {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.map_or(usize::MAX, |(class, _)| class)
}

/// Median of [`times`].
fn median(run: impl FnMut()) -> f64 {
    times(run)[ROUNDS / 2]
}

/// [`ROUNDS`] runs after ten to warm up: milliseconds, in rising order.
fn times(mut run: impl FnMut()) -> Vec<f64> {
    (0..10).for_each(|_| run());
    let time = |_| {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64() * 1e3
    };
    let mut times: Vec<f64> = (0..ROUNDS).map(time).collect();
    times.sort_by(f64::total_cmp);
    times
}
