//! Models, and the workers that run them.
//!
//! This crate knows what a machine is made of and how it works. It knows nothing of money, offers,
//! buyers or HTTP: bytes go in, bytes come out, and [`LabourError`] tells whose fault it was if they
//! do not.
//!
//! Start at [`VisionWorker`]: `load` it from a [`Cache`], `classify` a photograph. Everything below
//! is on the way there:
//!
//! ```text
//! models/*.toml ─ manifest ─▶ fetch ─▶ cache          pinned, fetched, verified
//!                                        │
//!                     weights ─ pickle ─▶ efficientnet ─ onnx ─▶ runtime     the network
//!                                                                   │
//! photograph ─ picture::decode ─ picture::prepare ────────────────▶ vision ─▶ answer
//! ```
//!
//! The others are its siblings, each a [`Worker`] and a manifest: [`FileKindWorker`] tells kinds of
//! file apart, [`LanguageWorker`] answers chats (on llama.cpp, which is loaded like onnxruntime),
//! [`ReadingWorker`] reads a page, [`MeaningWorker`] turns texts into vectors that are near where the texts mean alike, and
//! [`efficientnet::Variant`] names rivals in seeing.

#![deny(unsafe_code)]

pub mod cache;
pub mod efficientnet;
pub mod error;
pub mod fetch;
pub mod file_kind;
mod lanes;
pub mod language;
mod llama;
pub mod manifest;
pub mod meaning;
mod meter;
mod minilm;
mod onnx;
pub mod photographs;
pub mod pickle;
pub mod picture;
pub mod reading;
pub mod runtime;
pub mod tensor;
mod text_lines;
pub mod vision;
pub mod worker;

pub use cache::{Cache, FileStatus, Status, status};
pub use error::LabourError;
pub use fetch::{FetchProgress, Fetched, fetch, unwatched};
pub use file_kind::{FileKind, FileKindWorker};
pub use language::{ChatRequest, LanguageWorker};
pub use manifest::{Manifest, manifest, manifests};
pub use meaning::{Embedding, MeaningWorker};
pub use meter::Measured;
pub use photographs::{Photograph, sample_photographs};
pub use reading::{Page, ReadingWorker, TextLine};
pub use tensor::Tensor;
pub use vision::{Classification, Guess, PictureInfo, VisionWorker};
pub use worker::{Pins, Work, Worker, WorkerInfo};
