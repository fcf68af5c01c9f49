//! The machines' models: whether they are here, and each loaded when it is first needed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use labour::language::Settings;
use labour::{Cache, LabourError, LanguageWorker, MeaningWorker, manifest, status, unwatched};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::refusal::Refusal;

/// The manifest of the language machine's model, and its name here unless its owner brought another.
pub const LANGUAGE: &str = "smollm2-135m";
/// The manifest of the meaning machine's model, and its name here.
pub const MEANING: &str = "minilm-l6";

type Load<W> = Box<dyn Fn(&Cache) -> Result<W, LabourError> + Send + Sync>;

/// A machine that is loaded when it is first needed.
pub struct Lazy<W> {
    id: String,
    /// The manifests that must be in the cache.
    needs: &'static [&'static str],
    /// A file of the owner's, instead of the first of them.
    file: Option<PathBuf>,
    load: Arc<Load<W>>,
    worker: OnceCell<Arc<W>>,
}

/// The language machine, with the model that its owner brings, or its own.
pub fn language(file: Option<PathBuf>) -> Lazy<LanguageWorker> {
    let own = file.clone();
    let load: Load<LanguageWorker> = Box::new(move |cache| {
        let settings = Settings { context: super::CHAT_TOKENS, ..Settings::default() };
        match &own {
            None => LanguageWorker::load_with(cache, settings, &unwatched),
            Some(file) => LanguageWorker::load_file(cache, file, settings, &unwatched),
        }
    });
    let id = file.as_ref().and_then(|file| file.file_stem());
    let id = id.map_or_else(|| LANGUAGE.to_string(), |stem| stem.to_string_lossy().into_owned());
    let needs: &[&str] = if file.is_some() { &["llama.cpp"] } else { &[LANGUAGE, "llama.cpp"] };
    Lazy { id, needs, file, load: Arc::new(load), worker: OnceCell::new() }
}

/// The meaning machine.
pub fn meaning() -> Lazy<MeaningWorker> {
    let load: Load<MeaningWorker> = Box::new(MeaningWorker::load);
    let (needs, worker) = (&[MEANING, "onnxruntime"], OnceCell::new());
    Lazy { id: MEANING.to_string(), needs, file: None, load: Arc::new(load), worker }
}

impl<W: Send + Sync + 'static> Lazy<W> {
    /// What the model is called in requests.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether a request means this one.
    pub fn is_called(&self, name: &str) -> bool {
        name == self.id
    }

    /// Whether everything that it needs is on this machine. Looks at names and sizes only.
    pub fn is_here(&self) -> bool {
        if self.worker.initialized() {
            return true;
        }
        let Ok(cache) = Cache::from_env() else { return false };
        let cached = |name: &&str| {
            manifest(name).and_then(|it| status(&cache, it)).is_ok_and(|status| status.cached)
        };
        self.needs.iter().all(cached) && self.file.as_ref().is_none_or(|file| file.is_file())
    }

    /// What `/v1/models` says of it, if it is here.
    pub fn entry(&self) -> Option<Value> {
        self.is_here().then(|| {
            json!({ "id": self.id, "object": "model", "created": self.since(), "owned_by": "machina" })
        })
    }

    /// Since when its model is here, in seconds of Unix time; 0 if the system does not tell.
    fn since(&self) -> u64 {
        let own = self.file.clone();
        let file = own.or_else(|| {
            let cache = Cache::from_env().ok()?;
            let status = status(&cache, manifest(self.needs.first()?).ok()?).ok()?;
            status.files.into_iter().next().map(|file| file.path)
        });
        let changed = file.and_then(|file| file.metadata().ok()?.modified().ok());
        let since = changed.and_then(|moment| moment.duration_since(UNIX_EPOCH).ok());
        since.map_or(0, |since| since.as_secs())
    }

    /// The machine; the first who asks loads it, and others wait for that.
    pub async fn get(&self) -> Result<Arc<W>, Refusal> {
        let loaded = self.worker.get_or_try_init(|| async {
            let load = self.load.clone();
            let loading = tokio::task::spawn_blocking(move || load(&Cache::from_env()?));
            match loading.await {
                Ok(Ok(worker)) => Ok(Arc::new(worker)),
                Ok(Err(error)) => {
                    tracing::error!(model = self.id, %error, "a machine could not be loaded");
                    Err(Refusal::broken("the machine could not be loaded"))
                }
                Err(_) => Err(Refusal::broken("the machine broke down while it was loaded")),
            }
        });
        loaded.await.cloned()
    }
}
