//! The seam to onnxruntime: its library loaded once a process, a network as a value.
//!
//! Everything that must be the same for the same answer is fixed here: one thread within an
//! operation and none across, a batch of one, deterministic kernels. The same library on the same
//! kind of processor gives the same bits; another instruction set may differ in the last ones.
//! Telemetry is off, and the pinned library has none.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

use crate::LabourError;
use crate::fetch::Fetched;
use crate::tensor::Tensor;
use crate::worker::Pins;

/// Threads that compute one answer.
pub const THREADS: usize = 1;

/// The one environment a process may have. Its library stays loaded: of two caches, the first used
/// wins, and both hold the same pinned bytes.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

fn environment(library: &Path) -> Result<Environment, LabourError> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*slot {
        return Ok(environment.clone());
    }
    let builder = ort::init_from(library).map_err(|e| LabourError::Runtime {
        doing: "load its library",
        message: format!("{}: {e}", library.display()),
    })?;
    let builder = builder.with_name("machina").with_telemetry(false);
    let environment = builder.build().map_err(|e| failed("start", &e))?;
    *slot = Some(environment.clone());
    Ok(environment)
}

fn failed(doing: &'static str, error: &dyn std::error::Error) -> LabourError {
    LabourError::Runtime { doing, message: error.to_string() }
}

/// The pins of a network that is run here.
pub(crate) fn pins(weights: &Fetched<'_>, runtime: &Fetched<'_>) -> Pins {
    let source = runtime.manifest().sources_here().map(|sources| sources[0].version.clone());
    Pins {
        weights: weights.files()[0].1.sha256.clone(),
        engine: format!("onnxruntime {}", source.unwrap_or_default()),
        instructions: instructions().to_owned(),
        threads: THREADS,
        batch: "1".into(),
    }
}

/// The widest of the processor's instructions that onnxruntime's kernels are chosen by.
pub(crate) fn instructions() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512vnni") {
            return "avx512-vnni";
        }
        if std::arch::is_x86_feature_detected!("avx512f") {
            return "avx512";
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    std::env::consts::ARCH
}

/// A network with one input and one output, ready to run. One caller at a time.
pub(crate) struct Network {
    session: Session,
}

impl Network {
    /// Makes a network of an ONNX model.
    pub(crate) fn load(library: &Path, model: &[u8]) -> Result<Self, LabourError> {
        Self::load_planning(library, model, true)
    }

    /// Makes a network whose input may be of any length: no plan of memory is kept for each.
    pub(crate) fn load_for_any_length(library: &Path, model: &[u8]) -> Result<Self, LabourError> {
        Self::load_planning(library, model, false)
    }

    fn load_planning(library: &Path, model: &[u8], plan: bool) -> Result<Self, LabourError> {
        let environment = environment(library)?;
        let session = (|| -> ort::Result<Session> {
            Session::builder(&environment)?
                .with_intra_threads(THREADS)?
                .with_inter_threads(1)?
                .with_parallel_execution(false)?
                .with_deterministic_compute(true)?
                .with_memory_pattern(plan)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .commit_from_memory(model)
        })();
        Ok(Network { session: session.map_err(|e| failed("take the network", &e))? })
    }

    /// Runs a network whose input is whole numbers, once.
    pub(crate) fn run_numbers(
        &mut self,
        shape: &[usize],
        numbers: &[i32],
    ) -> Result<Vec<f32>, LabourError> {
        let run = |e: ort::Error| failed("run the network", &e);
        let input = TensorRef::from_array_view((shape, numbers)).map_err(run)?;
        let outputs = self.session.run(ort::inputs![input]).map_err(run)?;
        let (_, values) = outputs[0].try_extract_tensor::<f32>().map_err(run)?;
        Ok(values.to_vec())
    }

    /// Runs the network once.
    pub(crate) fn run(&mut self, input: &Tensor) -> Result<Vec<f32>, LabourError> {
        Ok(self.run_shaped(input)?.data)
    }

    /// Runs a network once whose answer's shape depends on the input's.
    pub(crate) fn run_shaped(&mut self, input: &Tensor) -> Result<Tensor, LabourError> {
        let run = |e: ort::Error| failed("run the network", &e);
        let shape = input.shape.as_slice();
        let input = TensorRef::from_array_view((shape, input.data.as_slice())).map_err(run)?;
        let outputs = self.session.run(ort::inputs![input]).map_err(run)?;
        let (shape, values) = outputs[0].try_extract_tensor::<f32>().map_err(run)?;
        let shape = shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
        Ok(Tensor { shape, data: values.to_vec() })
    }

    /// What its maker wrote into the model under this key.
    pub(crate) fn note(&self, key: &str) -> Option<String> {
        self.session.metadata().ok()?.custom(key)
    }
}
