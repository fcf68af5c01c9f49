//! The file-kind machine: a file's bytes in, what kind of file it is out.
//!
//! Magika (Y. Fratantonio and others, *Magika: AI-Powered Content-Type Detection*, ICSE 2025) looks at
//! the first and the last 1024 bytes after white space and gives a probability to each of 214 kinds;
//! how its bytes are chosen and when it is believed follows the settings that come with the weights,
//! and its own client's rules in its usual mode: below a kind's threshold the answer is `txt` or
//! `unknown`; fewer than 8 bytes are never shown to the network. About 3 ms and a fixed 40 MB.
//!
//! The same bytes in give the same bytes out: one thread, a batch of one, whole parts per million. One
//! file is looked at at a time; callers wait their turn, so whoever serves strangers bounds the queue
//! in front.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::LabourError;
use crate::cache::{Cache, read_genuine};
use crate::fetch::{FetchProgress, Fetched, fetch, unwatched};
use crate::manifest::manifest;
use crate::meter::{Measured, Meter};
use crate::runtime::{Network, pins};
use crate::worker::{Pins, Work, Worker, WorkerInfo};

/// The most bytes of a file: 8 MiB.
pub const MAX_BYTES: usize = 8 << 20;

/// The settings that come with the weights (`config.min.json`); what is not named is not used.
#[derive(Deserialize)]
struct Settings {
    beg_size: usize,
    mid_size: usize,
    end_size: usize,
    use_inputs_at_offsets: bool,
    medium_confidence_threshold: f32,
    min_file_size_for_dl: usize,
    padding_token: i32,
    block_size: usize,
    target_labels_space: Vec<String>,
    thresholds: HashMap<String, f32>,
    overwrite_map: HashMap<String, String>,
}

/// What is known of a kind (`content_types_kb.min.json`).
#[derive(Clone, Deserialize)]
struct Known {
    mime_type: Option<String>,
    group: Option<String>,
    description: Option<String>,
    #[serde(default)]
    is_text: bool,
}

/// What the machine answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileKind {
    /// The model, with the head of its weights' sha256.
    pub model: String,
    /// The kind's short name, e.g. `python`.
    pub kind: String,
    /// What it is, in words.
    pub description: String,
    /// Its media type.
    pub media_type: String,
    /// What it belongs to, e.g. `code` or `image`.
    pub group: String,
    /// Whether such files are text.
    pub is_text: bool,
    /// How sure the network was of what it saw, parts per million; a million where a rule decided.
    pub score_ppm: u32,
}

impl FileKind {
    /// Canonical JSON: fixed key order, no space, integers only.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers in a derived struct: serialising it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A kind that a file can be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its short name, e.g. `python`.
    pub name: String,
    /// What it is, in words.
    pub description: String,
    /// Its media type.
    pub media_type: String,
}

/// All kinds, by name: an answer's kind has its number in this order. Fetched if they are not here.
///
/// # Errors
/// As [`fetch`]; [`LabourError::Labels`].
pub fn kinds(cache: &Cache) -> Result<Vec<Kind>, LabourError> {
    let model = fetch(cache, manifest("magika")?, &unwatched)?;
    let kinds: BTreeMap<String, Known> = read_json(&model, 2)?;
    let kind = |(name, known): (String, Known)| Kind {
        description: known.description.unwrap_or_else(|| name.clone()),
        media_type: known.mime_type.unwrap_or_else(|| OCTETS.to_owned()),
        name,
    };
    Ok(kinds.into_iter().map(kind).collect())
}

/// The media type of what has none of its own.
const OCTETS: &str = "application/octet-stream";

/// A machine that tells kinds of file apart. Share it behind an `Arc`.
pub struct FileKindWorker {
    info: WorkerInfo,
    pins: Pins,
    meter: Meter,
    settings: Settings,
    kinds: HashMap<String, Known>,
    network: Mutex<Network>,
}

impl FileKindWorker {
    /// Loads the machine, fetching in silence what is not in the cache. Blocks.
    ///
    /// # Errors
    /// As [`FileKindWorker::load_with`].
    pub fn load(cache: &Cache) -> Result<Self, LabourError> {
        Self::load_with(cache, &unwatched)
    }

    /// Loads the machine and tells how fetching goes. Blocks.
    ///
    /// # Errors
    /// Whatever [`fetch`] meets; [`LabourError::Labels`] or [`LabourError::Runtime`] if what was
    /// fetched cannot be used.
    pub fn load_with(
        cache: &Cache,
        progress: &dyn Fn(FetchProgress<'_>),
    ) -> Result<Self, LabourError> {
        let model = fetch(cache, manifest("magika")?, progress)?;
        let runtime = fetch(cache, manifest("onnxruntime")?, progress)?;
        let settings: Settings = read_json(&model, 1)?;
        let kinds: HashMap<String, Known> = read_json(&model, 2)?;
        let served = settings.mid_size == 0
            && !settings.use_inputs_at_offsets
            && settings.min_file_size_for_dl >= 1
            && settings.min_file_size_for_dl <= settings.beg_size
            && settings.beg_size.max(settings.end_size) < settings.block_size;
        if !served {
            return Err(wrong("these settings are of another kind of network".into()));
        }
        let network = Network::load(runtime.path(), &model.read()?)?;
        let pinned = model.manifest();
        let info = WorkerInfo {
            name: "file/kind",
            summary: pinned.summary.clone(),
            model: format!("{}@{}", pinned.name, &model.files()[0].1.sha256[..8]),
            licence: pinned.licence.clone(),
            takes: vec!["application/octet-stream"],
            gives: "application/json",
            max_bytes: MAX_BYTES,
        };
        let pins = pins(&model, &runtime);
        let (meter, network) = (Meter::new("file"), Mutex::new(network));
        Ok(FileKindWorker { info, pins, meter, settings, kinds, network })
    }

    /// Says what kind of file this is.
    ///
    /// # Errors
    /// [`LabourError::FileTooHeavy`], an input error.
    pub fn kind(&self, file: &[u8]) -> Result<FileKind, LabourError> {
        if file.len() > MAX_BYTES {
            return Err(LabourError::FileTooHeavy { bytes: file.len(), limit: MAX_BYTES });
        }
        if file.is_empty() {
            return Ok(self.answer("empty", 1.0));
        }
        let Some(features) = self.settings.features(file) else {
            let few = &file[..file.len().min(self.settings.block_size)];
            let kind = if std::str::from_utf8(few).is_ok() { "txt" } else { "unknown" };
            return Ok(self.answer(kind, 1.0));
        };
        let mut network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Instant::now();
        let scores = network.run_numbers(&[1, features.len()], &features)?;
        self.meter.add(1, started.elapsed());
        drop(network);
        let labels = &self.settings.target_labels_space;
        let mut best: Option<(usize, f32)> = None;
        for (index, &score) in scores.iter().enumerate().take(labels.len()) {
            if score.is_finite() && best.is_none_or(|(_, most)| score > most) {
                best = Some((index, score));
            }
        }
        let (Some((index, score)), true) = (best, scores.len() == labels.len()) else {
            return Err(LabourError::Runtime {
                doing: "give a usable answer",
                message: format!("{} scores for {} kinds", scores.len(), labels.len()),
            });
        };
        let seen = labels[index].as_str();
        let threshold = self.settings.thresholds.get(seen).copied();
        let believed = score >= threshold.unwrap_or(self.settings.medium_confidence_threshold);
        let kind = self.settings.overwrite_map.get(seen).map_or(seen, String::as_str);
        let text = self.kinds.get(kind).is_some_and(|known| known.is_text);
        let generic = if text { "txt" } else { "unknown" };
        Ok(self.answer(if believed { kind } else { generic }, score))
    }

    fn answer(&self, kind: &str, score: f32) -> FileKind {
        let known = self.kinds.get(kind).cloned();
        let Known { mime_type, group, description, is_text } = known.unwrap_or(Known {
            mime_type: None,
            group: None,
            description: None,
            is_text: false,
        });
        FileKind {
            model: self.info.model.clone(),
            kind: kind.to_owned(),
            description: description.unwrap_or_else(|| kind.to_owned()),
            media_type: mime_type.unwrap_or_else(|| OCTETS.to_owned()),
            group: group.unwrap_or_else(|| "unknown".to_owned()),
            is_text,
            // Not negative and at most a million.
            score_ppm: (f64::from(score.clamp(0.0, 1.0)) * 1e6).round() as u32,
        }
    }
}

impl Settings {
    /// The numbers that the network sees; none if the file says too little.
    fn features(&self, file: &[u8]) -> Option<Vec<i32>> {
        let block = file.len().min(self.block_size);
        let head = &file[..block];
        let head = &head[head.iter().take_while(|b| is_space(**b)).count()..];
        if head.len() < self.min_file_size_for_dl {
            return None;
        }
        let tail = &file[file.len() - block..];
        let tail = &tail[..tail.len() - tail.iter().rev().take_while(|b| is_space(**b)).count()];
        let head = &head[..head.len().min(self.beg_size)];
        let tail = &tail[tail.len().saturating_sub(self.end_size)..];
        let padding = |n: usize| std::iter::repeat_n(self.padding_token, n);
        let mut numbers: Vec<i32> = head.iter().copied().map(i32::from).collect();
        numbers.extend(padding(self.beg_size - head.len()));
        numbers.extend(padding(self.end_size - tail.len()));
        numbers.extend(tail.iter().copied().map(i32::from));
        Some(numbers)
    }
}

/// White space as Python's `bytes.strip` has it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 0x09..=0x0d)
}

fn read_json<T: serde::de::DeserializeOwned>(
    model: &Fetched<'_>,
    index: usize,
) -> Result<T, LabourError> {
    let file = model.files().get(index).ok_or_else(|| wrong("a file is not pinned".into()))?;
    let bytes = read_genuine(&file.0, file.1)?;
    serde_json::from_slice(&bytes).map_err(|e| wrong(format!("{}: {e}", file.1.name)))
}

fn wrong(reason: String) -> LabourError {
    LabourError::Labels { reason }
}

impl Worker for FileKindWorker {
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
        let bytes = self.kind(input)?.to_json();
        Ok(Work { media_type: self.info.gives, bytes })
    }
}
