//! The few structures and functions of llama.cpp that are used here, as its C headers declare them.
//!
//! Source: `include/llama.h`, `ggml/include/{ggml,ggml-backend,ggml-cpu}.h` of release v0.4.0, which
//! is the release that `models/llama.cpp.toml` pins. llama.cpp keeps no binary interface between
//! releases: whoever raises the pin compares these with the new headers. [`Api::check`] refuses a
//! library whose default settings do not come out as the headers say, which is what a shifted field
//! looks like.

use std::ffi::{c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use libloading::Library;

use crate::LabourError;

/// The release whose headers are written down here.
pub(super) const RELEASE: &str = "0.4.0";

/// `struct llama_model_params`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ModelParams {
    pub devices: *mut c_void,
    pub tensor_buft_overrides: *const c_void,
    pub n_gpu_layers: i32,
    pub split_mode: c_int,
    pub load_mode: c_int,
    pub lazy_mode: c_int,
    pub main_gpu: i32,
    pub tensor_split: *const f32,
    pub progress_callback: *const c_void,
    pub progress_callback_user_data: *mut c_void,
    pub kv_overrides: *const c_void,
    pub vocab_only: bool,
    pub check_tensors: bool,
    pub use_extra_bufts: bool,
    pub no_host: bool,
    pub no_alloc: bool,
    pub load_mtp: bool,
}

/// `struct llama_context_params`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ContextParams {
    pub n_ctx: u32,
    pub n_batch: u32,
    pub n_ubatch: u32,
    pub n_seq_max: u32,
    pub n_rs_seq: u32,
    pub n_outputs_max: u32,
    pub n_outputs_max_per_seq: u32,
    pub n_threads: i32,
    pub n_threads_batch: i32,
    pub ctx_type: c_int,
    pub rope_scaling_type: c_int,
    pub pooling_type: c_int,
    pub attention_type: c_int,
    pub flash_attn_type: c_int,
    pub rope_freq_base: f32,
    pub rope_freq_scale: f32,
    pub yarn_ext_factor: f32,
    pub yarn_attn_factor: f32,
    pub yarn_beta_fast: f32,
    pub yarn_beta_slow: f32,
    pub yarn_orig_ctx: u32,
    pub defrag_thold: f32,
    pub cb_eval: *const c_void,
    pub cb_eval_user_data: *mut c_void,
    pub type_k: c_int,
    pub type_v: c_int,
    pub abort_callback: *const c_void,
    pub abort_callback_data: *mut c_void,
    pub embeddings: bool,
    pub offload_kqv: bool,
    pub no_perf: bool,
    pub op_offload: bool,
    pub swa_full: bool,
    pub kv_unified: bool,
    pub samplers: *mut c_void,
    pub n_samplers: usize,
    pub ctx_other: *mut c_void,
}

/// `struct llama_batch`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Batch {
    pub n_tokens: i32,
    pub token: *mut i32,
    pub embd: *mut f32,
    pub pos: *mut i32,
    pub n_seq_id: *mut i32,
    pub seq_id: *mut *mut i32,
    pub logits: *mut i8,
}

/// `struct ggml_threadpool_params`; `GGML_MAX_N_THREADS` is 512.
#[repr(C)]
pub(super) struct PoolParams {
    pub cpumask: [bool; 512],
    pub n_threads: c_int,
    pub prio: c_int,
    pub poll: u32,
    pub strict_cpu: bool,
    pub paused: bool,
}

/// `LLAMA_FLASH_ATTN_TYPE_ENABLED`.
pub(super) const FLASH_ATTENTION: c_int = 1;
/// `GGML_LOG_LEVEL_ERROR`.
pub(super) const LOG_ERROR: c_int = 4;

pub(super) type Log = unsafe extern "C" fn(c_int, *const c_char, *mut c_void);

/// Which of the libraries a function is in, by its place in [`Api`].
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)] // They stand in a table of functions, as prefixes.
enum In {
    llama,
    ggml,
    cpu,
}

/// Declares [`Api`]: a field, the C function's name, and its type.
macro_rules! api {
    ($( $library:ident. $field:ident: $symbol:literal = fn($($argument:ty),*) $(-> $result:ty)?; )*) => {
        /// The functions, and the libraries that hold them.
        pub(super) struct Api {
            $( pub $field: unsafe extern "C" fn($($argument),*) $(-> $result)?, )*
            /// The processor variant that was chosen, e.g. `icelake`.
            pub variant: String,
            _libraries: [Library; 3],
        }

        impl Api {
            fn resolve(libraries: [Library; 3], variant: String) -> Result<Self, LabourError> {
                $(
                    // SAFETY: the symbol has this type in the headers of the pinned release.
                    #[allow(unsafe_code)]
                    let $field = unsafe {
                        *libraries[In::$library as usize].get::<unsafe extern "C" fn($($argument),*) $(-> $result)?>($symbol)
                            .map_err(|e| failed("find its functions", e.to_string()))?
                    };
                )*
                Ok(Api { $($field,)* variant, _libraries: libraries })
            }
        }
    };
}

api! {
    llama.version: b"llama_version" = fn() -> *const c_char;
    llama.log_set: b"llama_log_set" = fn(Log, *mut c_void);
    llama.model_defaults: b"llama_model_default_params" = fn() -> ModelParams;
    llama.context_defaults: b"llama_context_default_params" = fn() -> ContextParams;
    llama.model_load: b"llama_model_load_from_file" = fn(*const c_char, ModelParams) -> *mut c_void;
    llama.model_free: b"llama_model_free" = fn(*mut c_void);
    llama.model_vocab: b"llama_model_get_vocab" = fn(*const c_void) -> *const c_void;
    llama.model_context: b"llama_model_n_ctx_train" = fn(*const c_void) -> i32;
    llama.model_has_encoder: b"llama_model_has_encoder" = fn(*const c_void) -> bool;
    llama.model_is_recurrent: b"llama_model_is_recurrent" = fn(*const c_void) -> bool;
    llama.model_is_hybrid: b"llama_model_is_hybrid" = fn(*const c_void) -> bool;
    llama.model_template: b"llama_model_chat_template" = fn(*const c_void, *const c_char) -> *const c_char;
    llama.vocab_tokens: b"llama_vocab_n_tokens" = fn(*const c_void) -> i32;
    llama.vocab_is_end: b"llama_vocab_is_eog" = fn(*const c_void, i32) -> bool;
    llama.vocab_is_control: b"llama_vocab_is_control" = fn(*const c_void, i32) -> bool;
    llama.vocab_text: b"llama_vocab_get_text" = fn(*const c_void, i32) -> *const c_char;
    llama.vocab_begin: b"llama_vocab_bos" = fn(*const c_void) -> i32;
    llama.vocab_end: b"llama_vocab_eos" = fn(*const c_void) -> i32;
    llama.vocab_adds_begin: b"llama_vocab_get_add_bos" = fn(*const c_void) -> bool;
    llama.tokenize: b"llama_tokenize" = fn(*const c_void, *const c_char, i32, *mut i32, i32, bool, bool) -> i32;
    llama.piece: b"llama_token_to_piece" = fn(*const c_void, i32, *mut c_char, i32, i32, bool) -> i32;
    llama.context_new: b"llama_init_from_model" = fn(*mut c_void, ContextParams) -> *mut c_void;
    llama.context_free: b"llama_free" = fn(*mut c_void);
    llama.context_per_sequence: b"llama_n_ctx_seq" = fn(*const c_void) -> u32;
    llama.attach_pool: b"llama_attach_threadpool" = fn(*mut c_void, *mut c_void, *mut c_void);
    llama.set_threads: b"llama_set_n_threads" = fn(*mut c_void, i32, i32);
    llama.memory: b"llama_get_memory" = fn(*const c_void) -> *mut c_void;
    llama.memory_remove: b"llama_memory_seq_rm" = fn(*mut c_void, i32, i32, i32) -> bool;
    llama.decode: b"llama_decode" = fn(*mut c_void, Batch) -> i32;
    llama.logits: b"llama_get_logits_ith" = fn(*mut c_void, i32) -> *const f32;
    ggml.backend_load: b"ggml_backend_load" = fn(*const c_char) -> *mut c_void;
    ggml.pool_defaults: b"ggml_threadpool_params_init" = fn(*mut PoolParams, c_int);
    cpu.pool_new: b"ggml_threadpool_new" = fn(*mut PoolParams) -> *mut c_void;
    cpu.pool_free: b"ggml_threadpool_free" = fn(*mut c_void);
}

impl Api {
    /// Loads the pinned libraries: llama.cpp's own, and of those for kinds of processor the one that
    /// says it serves this one best.
    pub(super) fn load(files: &[PathBuf]) -> Result<Self, LabourError> {
        let named = |head: &str| {
            let found = files.iter().find(|path| file_name(path).starts_with(head));
            found.ok_or_else(|| failed("find its libraries", format!("{head} is not pinned")))
        };
        let llama = open(named("libllama.")?)?;
        let ggml = open(named("libggml.")?)?;
        let mut best: Option<(c_int, &PathBuf, Library)> = None;
        for path in files.iter().filter(|path| file_name(path).starts_with("libggml-cpu-")) {
            let library = open(path)?;
            // SAFETY: `int ggml_backend_score(void)` in `ggml-backend-impl.h`; it asks the processor.
            #[allow(unsafe_code)]
            let score = unsafe {
                library.get::<unsafe extern "C" fn() -> c_int>(b"ggml_backend_score").map(|f| f())
            };
            let score = score.unwrap_or(0);
            if score > best.as_ref().map_or(0, |(best, ..)| *best) {
                best = Some((score, path, library));
            }
        }
        let (_, path, cpu) = best
            .ok_or_else(|| failed("serve this processor", "none of its builds is for it".into()))?;
        let variant = file_name(path).trim_start_matches("libggml-cpu-").trim_end_matches(".so");
        let variant = variant.to_owned();
        let api = Self::resolve([llama, ggml, cpu], variant)?;
        api.check()?;
        let path = c_path(path)?;
        // SAFETY: a path that ends in NUL. The library registers itself, once a process.
        #[allow(unsafe_code)]
        let registered = unsafe { (api.backend_load)(path.as_ptr()) };
        if registered.is_null() {
            return Err(failed("use its library for this processor", api.variant.clone()));
        }
        Ok(api)
    }

    /// Whether the structures above have the library's shape.
    fn check(&self) -> Result<(), LabourError> {
        // SAFETY: no arguments; the version is a static string; the structures are plain values.
        #[allow(unsafe_code)]
        let (version, model, context) = unsafe {
            let version = std::ffi::CStr::from_ptr((self.version)());
            (version.to_string_lossy(), (self.model_defaults)(), (self.context_defaults)())
        };
        let model = model.devices.is_null()
            && model.n_gpu_layers == -1
            && model.split_mode == 1
            && model.kv_overrides.is_null()
            && model.use_extra_bufts
            && !model.load_mtp;
        let shape = (context.n_ctx, context.n_batch, context.n_ubatch, context.n_seq_max);
        let context = shape == (512, 2048, 512, 1)
            && context.n_outputs_max_per_seq == 1
            && context.flash_attn_type == -1
            && context.yarn_ext_factor == -1.0
            && context.defrag_thold == -1.0
            && (context.type_k, context.type_v) == (1, 1)
            && context.swa_full
            && !context.kv_unified
            && context.n_samplers == 0;
        if !version.starts_with(RELEASE) || !model || !context {
            let message = format!("it is {version}, and not as {RELEASE} should be");
            return Err(failed("be recognised", message));
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<Library, LabourError> {
    // SAFETY: the file was compared with its pinned sha256; its initialisers are llama.cpp's.
    #[allow(unsafe_code)]
    let library = unsafe { Library::new(path) };
    library.map_err(|e| failed("load its library", format!("{}: {e}", path.display())))
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("")
}

/// A path as C wants it.
pub(super) fn c_path(path: &Path) -> Result<std::ffi::CString, LabourError> {
    std::ffi::CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| failed("use a path with a NUL in it", path.display().to_string()))
}

pub(super) fn failed(doing: &'static str, message: String) -> LabourError {
    LabourError::Language { doing, message }
}
