//! The meaning machine: a text in, a vector out; texts that mean alike get vectors that are near.
//!
//! all-MiniLM-L6-v2 (Sentence-Transformers): the text is cut into word pieces, the network gives each
//! piece a row, the mean of the rows is brought to length one. It was trained on English, on texts of up
//! to 128 tokens; it reads 512, and a longer text is refused rather than cut in silence.
//!
//! **Same bytes in company as alone.** Each text is computed by itself, on a lane of one thread; the
//! answer is rounded to millionths ([`Embedding::millionths`]), and whatever is made of it (JSON,
//! floats, likeness) is made of those integers. Many texts use all lanes ([`MeaningWorker::embed_all`]).
//!
//! About 0.4 s to load, then the words' table (47 MB) and [`LANES`] × 43 MB.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use tokenizers::Tokenizer;

use crate::LabourError;
use crate::cache::{Cache, read_genuine};
use crate::fetch::{FetchProgress, fetch, unwatched};
use crate::lanes::Lanes;
use crate::manifest::manifest;
use crate::meter::{Measured, Meter};
use crate::minilm::{PLACES, Table, WIDTH, Weights, build};
use crate::runtime::{Network, pins};
use crate::tensor::Tensor;
use crate::worker::{Pins, Work, Worker, WorkerInfo};

/// Numbers in a vector.
pub const DIMENSIONS: usize = WIDTH;
/// The most tokens of a text, with the two marks around it.
pub const MAX_TOKENS: usize = PLACES;
/// The most bytes of a text.
pub const MAX_BYTES: usize = 32 << 10;
/// Texts computed at the same time.
pub const LANES: usize = 2;

const MILLION: f64 = 1e6;

/// What a text means, as far as the machine can tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Embedding {
    /// The model, with the head of its weights' sha256.
    pub model: String,
    /// Tokens of the text, with the two marks around it.
    pub tokens: usize,
    /// The vector: [`DIMENSIONS`] numbers in millionths, rounded half away from zero. Its length is one
    /// but for that rounding.
    pub millionths: Vec<i32>,
}

impl Embedding {
    /// Canonical JSON: fixed key order, no space, integers only.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers in a derived struct: serialising it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The vector as fractions, each the nearest to so many millionths.
    pub fn decimals(&self) -> Vec<f64> {
        self.millionths.iter().map(|&m| f64::from(m) / MILLION).collect()
    }

    /// The same in single precision.
    pub fn floats(&self) -> Vec<f32> {
        self.decimals().into_iter().map(|v| v as f32).collect()
    }

    /// How alike two texts are: the cosine between their vectors, −1 to 1. Nothing to do with each
    /// other is about 0.
    pub fn likeness(&self, other: &Embedding) -> f64 {
        let dot = |a: &[i32], b: &[i32]| -> f64 {
            // At most 384 · 10¹²: exact in whole numbers.
            a.iter().zip(b).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum::<i64>() as f64
        };
        let (a, b) = (&self.millionths, &other.millionths);
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
    }
}

/// A machine that tells what texts mean. Share it behind an `Arc`.
pub struct MeaningWorker {
    info: WorkerInfo,
    pins: Pins,
    meter: Meter,
    tokenizer: Tokenizer,
    table: Table,
    lanes: Lanes,
}

impl MeaningWorker {
    /// Loads the machine, fetching in silence what is not in the cache. Blocks.
    ///
    /// # Errors
    /// As [`MeaningWorker::load_with`].
    pub fn load(cache: &Cache) -> Result<Self, LabourError> {
        Self::load_with(cache, &unwatched)
    }

    /// Loads the machine and tells how fetching goes. Blocks.
    ///
    /// # Errors
    /// Whatever [`fetch`] meets; [`LabourError::BrokenModel`], [`LabourError::MissingWeight`] or
    /// [`LabourError::Runtime`] if what was fetched cannot be used.
    pub fn load_with(
        cache: &Cache,
        progress: &dyn Fn(FetchProgress<'_>),
    ) -> Result<Self, LabourError> {
        let model = fetch(cache, manifest("minilm-l6")?, progress)?;
        let runtime = fetch(cache, manifest("onnxruntime")?, progress)?;
        let [(_, weights), (words, pinned_words)] = model.files() else {
            return Err(broken(&model.manifest().name, "it has not two files"));
        };
        let tokenizer = tokenizer(&read_genuine(words, pinned_words)?, &pinned_words.name)?;
        let (table, graph) = {
            let file = model.read()?;
            let weights = Weights::read(&file, &weights.name)?;
            (Table::of(&weights)?, build(&weights)?)
        };
        let lanes = Lanes::new(LANES, || Network::load_for_any_length(runtime.path(), &graph))?;

        let pinned = model.manifest();
        let info = WorkerInfo {
            name: "meaning/embed",
            summary: pinned.summary.clone(),
            model: format!("{}@{}", pinned.name, &weights.sha256[..8]),
            licence: pinned.licence.clone(),
            takes: vec!["text/plain"],
            gives: "application/json",
            max_bytes: MAX_BYTES,
        };
        let (pins, meter) = (pins(&model, &runtime), Meter::new("token"));
        Ok(MeaningWorker { info, pins, meter, tokenizer, table, lanes })
    }

    /// Says what a text means.
    ///
    /// # Errors
    /// [`LabourError::BadText`] for no text or too many bytes, [`LabourError::TextTooLong`] for more
    /// than [`MAX_TOKENS`]; both input errors.
    pub fn embed(&self, text: &str) -> Result<Embedding, LabourError> {
        let rows = self.rows(text)?;
        let tokens = rows.shape[0];
        let sum = self.lanes.with(|network| {
            let started = Instant::now();
            let sum = network.run(&rows);
            self.meter.add(tokens, started.elapsed());
            sum
        })?;
        let millionths = of_length_one(&sum).ok_or_else(|| unusable("no vector has a length"))?;
        Ok(Embedding { model: self.info.model.clone(), tokens, millionths })
    }

    /// The same for many texts, on all lanes: the answers in the texts' order, each as if alone.
    ///
    /// # Errors
    /// As [`MeaningWorker::embed`], of the first text that is at fault; others may have been computed.
    pub fn embed_all(
        &self,
        texts: &[impl AsRef<str> + Sync],
    ) -> Result<Vec<Embedding>, LabourError> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done: Mutex<Vec<(usize, Result<Embedding, LabourError>)>> = Mutex::default();
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(text) = texts.get(at) else { break };
                let answer = self.embed(text.as_ref());
                failed.fetch_or(answer.is_err(), Ordering::Relaxed);
                done.lock().unwrap_or_else(PoisonError::into_inner).push((at, answer));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.lanes.count().min(texts.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, answer)| answer).collect()
    }

    /// The rows that the network is given for a text: tokens×[`DIMENSIONS`]. For measurements.
    ///
    /// # Errors
    /// As [`MeaningWorker::embed`].
    pub fn rows(&self, text: &str) -> Result<Tensor, LabourError> {
        let tokens = self.tokens(text)?;
        self.table.rows(&tokens).ok_or_else(|| unusable("a token has no row"))
    }

    /// The network alone: rows in, their mean out, not yet of length one. For measurements.
    ///
    /// # Errors
    /// [`LabourError::Runtime`] if the rows are not [`DIMENSIONS`] long.
    pub fn infer(&self, rows: &Tensor) -> Result<Vec<f32>, LabourError> {
        self.lanes.with(|network| network.run(rows))
    }

    /// How many tokens a text has, with the two marks around it; looks at words only.
    ///
    /// # Errors
    /// As [`MeaningWorker::embed`].
    pub fn count(&self, text: &str) -> Result<usize, LabourError> {
        Ok(self.tokens(text)?.len())
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, LabourError> {
        let bad = |reason: String| Err(LabourError::BadText { reason });
        if text.trim().is_empty() {
            return bad("it is empty; send some words".into());
        }
        if text.len() > MAX_BYTES {
            return bad(format!("it has {} bytes; send at most {MAX_BYTES}", text.len()));
        }
        let words = self.tokenizer.encode_fast(text, true);
        let words = words.map_err(|e| LabourError::BadText { reason: e.to_string() })?;
        let tokens = words.get_ids().to_vec();
        if tokens.len() > MAX_TOKENS {
            return Err(LabourError::TextTooLong { tokens: tokens.len(), limit: MAX_TOKENS });
        }
        Ok(tokens)
    }
}

impl Worker for MeaningWorker {
    fn describe(&self) -> &WorkerInfo {
        &self.info
    }

    fn pins(&self) -> &Pins {
        &self.pins
    }

    fn measured(&self) -> Measured {
        self.meter.measured()
    }

    fn work(&self, input: &[u8]) -> Result<Work, LabourError> {
        let text = std::str::from_utf8(input).map_err(|e| LabourError::BadText {
            reason: format!("it is not UTF-8 from byte {} on", e.valid_up_to()),
        })?;
        let bytes = self.embed(text)?.to_json();
        Ok(Work { media_type: self.info.gives, bytes })
    }
}

/// The network as an ONNX file: what a lane runs, and what a peer can be measured with.
///
/// # Errors
/// [`LabourError::BrokenModel`] or [`LabourError::MissingWeight`].
pub fn network_file(weights: &[u8], name: &str) -> Result<Vec<u8>, LabourError> {
    build(&Weights::read(weights, name)?)
}

/// Reads the tokenizer that comes with the weights. What it would cut off or fill up is left alone.
fn tokenizer(json: &[u8], name: &str) -> Result<Tokenizer, LabourError> {
    let mut tokenizer = Tokenizer::from_bytes(json).map_err(|e| broken(name, &e.to_string()))?;
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|e| broken(name, &e.to_string()))?;
    Ok(tokenizer)
}

/// A vector of length one in millionths, along `sum`. None if that has no length, or is no number.
fn of_length_one(sum: &[f32]) -> Option<Vec<i32>> {
    let length = sum.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    if sum.len() != DIMENSIONS || !length.is_finite() || length <= 0.0 {
        return None;
    }
    // At most a million, for no number is longer than the whole.
    Some(sum.iter().map(|v| (f64::from(*v) / length * MILLION).round() as i32).collect())
}

fn broken(file: &str, reason: &str) -> LabourError {
    LabourError::BrokenModel { file: file.to_owned(), reason: reason.to_owned() }
}

fn unusable(message: &str) -> LabourError {
    LabourError::Runtime { doing: "give a usable answer", message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn along(first: f32, second: f32) -> Embedding {
        let mut sum = vec![0.0; DIMENSIONS];
        (sum[0], sum[1]) = (first, second);
        Embedding { model: "m".into(), tokens: 3, millionths: of_length_one(&sum).unwrap() }
    }

    #[test]
    fn likeness_is_the_cosine() {
        let (east, north, between) = (along(2.0, 0.0), along(0.0, 5.0), along(1.0, 1.0));
        assert_eq!(east.millionths[..2], [1_000_000, 0]);
        assert_eq!(between.millionths[..2], [707_107, 707_107]);
        assert!((east.likeness(&east) - 1.0).abs() < 1e-12);
        assert!(east.likeness(&north).abs() < 1e-12);
        assert!((east.likeness(&between) - 0.5_f64.sqrt()).abs() < 1e-6);
        assert!((east.likeness(&along(-1.0, 0.0)) + 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_length_is_no_vector() {
        assert_eq!(of_length_one(&[0.0; DIMENSIONS]), None);
        assert_eq!(of_length_one(&[f32::NAN; DIMENSIONS]), None);
        assert_eq!(of_length_one(&[f32::MAX, 1.0]), None);
    }
}
