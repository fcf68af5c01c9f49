//! What all workers have in common: they say what they do, and do it.

use serde::Serialize;

use crate::LabourError;
use crate::meter::Measured;

/// What a worker says about itself, to people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkerInfo {
    /// Short name, as in the path of its offer: `vision/classify`.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: String,
    /// The model, with the head of its weights' sha256: what an answer can be checked against.
    pub model: String,
    /// Licence of the model.
    pub licence: String,
    /// Media types it takes.
    pub takes: Vec<&'static str>,
    /// Media type it gives.
    pub gives: &'static str,
    /// The most bytes it takes.
    pub max_bytes: usize,
}

/// What must be the same for the same bytes: whoever checks an answer by doing the work again pins
/// all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pins {
    /// sha256 of the weights' file, hex.
    pub weights: String,
    /// What runs the network, with its release.
    pub engine: String,
    /// The processor's instructions that it uses.
    pub instructions: String,
    /// Threads that compute one answer.
    pub threads: usize,
    /// How many inputs are computed together.
    pub batch: String,
}

/// A piece of finished work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Media type of `bytes`.
    pub media_type: &'static str,
    /// The answer. Canonical: the same input gives the same bytes.
    pub bytes: Vec<u8>,
}

/// Someone who does one kind of work. Blocks its caller while working; how many work at once is the
/// worker's own affair, and bounded.
pub trait Worker: Send + Sync {
    /// What it does.
    fn describe(&self) -> &WorkerInfo;

    /// What an answer's bytes depend on.
    fn pins(&self) -> &Pins;

    /// What the work has taken so far.
    fn measured(&self) -> Measured;

    /// Does the work for one input.
    ///
    /// # Errors
    /// [`LabourError::is_input_error`] tells whether the input or the worker is at fault.
    fn work(&self, input: &[u8]) -> Result<Work, LabourError>;
}
