//! The seam to llama.cpp: its library loaded once a process, a network and its memory as values.
//!
//! All that is unsafe about it is in this folder, behind types that cannot be misused: a token is in
//! the vocabulary, a sequence has a seat, a batch is no larger than the context was made for. Weights
//! that llama.cpp itself chokes on can still end the process (it asserts), so `--model` is for files
//! that their owner trusts, like any program.
//!
//! What makes answers the same, whoever else is being served: flash attention, whose sum runs over
//! the cells that are seen and nothing else, and a memory of its own for each sequence. With both, a
//! sequence's logits are the same bits alone and in company (`tests/language.rs` holds it to that).

mod ffi;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ffi::{Api, Batch, FLASH_ATTENTION, LOG_ERROR, PoolParams, c_path, failed};

use crate::LabourError;

/// A token's number.
pub(crate) type Token = i32;

/// How long idle threads look for work before they sleep, in llama.cpp's steps (0 to 100; its own
/// default is 50): about as long as choosing the next tokens takes.
const POLL: u32 = 1;

/// The library is loaded once a process, and stays: of two caches, the first used wins, and both
/// hold the same pinned bytes.
static LIBRARY: Mutex<Option<Arc<Api>>> = Mutex::new(None);

/// What the library last complained of, for errors.
static COMPLAINT: Mutex<String> = Mutex::new(String::new());

/// llama.cpp, ready to use.
#[derive(Clone)]
pub(crate) struct Library(Arc<Api>);

impl Library {
    /// Loads the library, unless it is loaded.
    pub(crate) fn load(files: &[PathBuf]) -> Result<Self, LabourError> {
        let mut slot = LIBRARY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(api) = &*slot {
            return Ok(Library(api.clone()));
        }
        let api = Arc::new(Api::load(files)?);
        // SAFETY: `hear` has the type of a log function, and lives as long as the process.
        #[allow(unsafe_code)]
        unsafe {
            (api.log_set)(hear, std::ptr::null_mut());
        }
        *slot = Some(api.clone());
        Ok(Library(api))
    }

    /// Its release, e.g. `llama.cpp 0.4.0`.
    pub(crate) fn release() -> String {
        format!("llama.cpp {}", ffi::RELEASE)
    }

    /// The kind of processor whose instructions it uses, e.g. `icelake`.
    pub(crate) fn variant(&self) -> &str {
        &self.0.variant
    }
}

/// Keeps what llama.cpp complains of, and nothing of what it chatters.
#[allow(unsafe_code)]
unsafe extern "C" fn hear(level: c_int, text: *const c_char, _: *mut c_void) {
    if level != LOG_ERROR || text.is_null() {
        return;
    }
    // SAFETY: not null; llama.cpp hands a string that ends in NUL and lives during the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let mut complaint = COMPLAINT.lock().unwrap_or_else(PoisonError::into_inner);
    *complaint = text.trim().chars().take(300).collect();
}

fn complaint() -> String {
    let complaint = COMPLAINT.lock().unwrap_or_else(PoisonError::into_inner);
    if complaint.is_empty() { "(it did not say why)".into() } else { complaint.clone() }
}

/// A network's weights and vocabulary, in memory.
pub(crate) struct Model {
    library: Library,
    model: *mut c_void,
    vocab: *const c_void,
}

// SAFETY: a loaded model is only read; llama.cpp shares it between contexts and threads itself.
#[allow(unsafe_code)]
unsafe impl Send for Model {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Model {}

#[allow(unsafe_code)] // Each block calls one function of the headers, with values that are as it wants them.
impl Model {
    /// Reads a GGUF file, which is mapped into memory.
    pub(crate) fn load(library: &Library, file: &Path) -> Result<Self, LabourError> {
        let path = c_path(file)?;
        // SAFETY: the defaults with a field changed; a path that ends in NUL.
        let model = unsafe {
            let mut params = (library.0.model_defaults)();
            params.n_gpu_layers = 0;
            params.check_tensors = true;
            (library.0.model_load)(path.as_ptr(), params)
        };
        if model.is_null() {
            let message = format!("{}: {}", file.display(), complaint());
            return Err(failed("read the weights", message));
        }
        // SAFETY: a live model.
        let vocab = unsafe { (library.0.model_vocab)(model) };
        let model = Model { library: library.clone(), model, vocab };
        // SAFETY: a live model.
        let (encoder, recurrent) = unsafe {
            let api = &model.library.0;
            let recurrent =
                (api.model_is_recurrent)(model.model) || (api.model_is_hybrid)(model.model);
            ((api.model_has_encoder)(model.model), recurrent)
        };
        if encoder || recurrent {
            let message = "it is no decoder with attention only, which alone is served here".into();
            return Err(failed("serve this network", message));
        }
        Ok(model)
    }

    /// The most tokens that it was trained to look back on.
    pub(crate) fn trained_context(&self) -> u32 {
        // SAFETY: a live model.
        let context = unsafe { (self.library.0.model_context)(self.model) };
        u32::try_from(context).unwrap_or(0)
    }

    /// How many tokens there are; all numbers below are tokens.
    pub(crate) fn vocabulary(&self) -> usize {
        // SAFETY: a live model's vocabulary.
        usize::try_from(unsafe { (self.library.0.vocab_tokens)(self.vocab) }).unwrap_or(0)
    }

    /// Its chat template in Jinja, if it has one.
    pub(crate) fn template(&self) -> Option<String> {
        // SAFETY: a live model; NULL names the usual template; the string lives as long as the model.
        unsafe {
            let text = (self.library.0.model_template)(self.model, std::ptr::null());
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }

    /// Whether an answer ends with this token.
    pub(crate) fn ends(&self, token: Token) -> bool {
        // SAFETY: a token of this vocabulary.
        self.knows(token) && unsafe { (self.library.0.vocab_is_end)(self.vocab, token) }
    }

    /// The texts that stand for the network's own marks, such as the start of a turn.
    pub(crate) fn marks(&self) -> Vec<String> {
        let tokens = 0..self.vocabulary() as Token;
        // SAFETY: tokens of this vocabulary.
        tokens
            .filter(|token| unsafe { (self.library.0.vocab_is_control)(self.vocab, *token) })
            .filter_map(|token| self.text(token))
            .filter(|text| !text.is_empty())
            .collect()
    }

    /// The marks for the beginning and the end of a text, if there are.
    pub(crate) fn bounds(&self) -> (Option<String>, Option<String>) {
        // SAFETY: a live model's vocabulary.
        let (begin, end) = unsafe {
            ((self.library.0.vocab_begin)(self.vocab), (self.library.0.vocab_end)(self.vocab))
        };
        (self.text(begin), self.text(end))
    }

    /// Whether every text begins with the beginning's mark.
    pub(crate) fn adds_begin(&self) -> bool {
        // SAFETY: a live model's vocabulary.
        unsafe { (self.library.0.vocab_adds_begin)(self.vocab) }
    }

    fn knows(&self, token: Token) -> bool {
        usize::try_from(token).is_ok_and(|token| token < self.vocabulary())
    }

    fn text(&self, token: Token) -> Option<String> {
        if !self.knows(token) {
            return None;
        }
        // SAFETY: a token of this vocabulary; its text ends in NUL and lives as long as the model.
        unsafe {
            let text = (self.library.0.vocab_text)(self.vocab, token);
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }

    /// Takes a text apart. `marks` says whether marks in it are read as such, or as plain words.
    pub(crate) fn tokens(
        &self,
        text: &str,
        begin: bool,
        marks: bool,
    ) -> Result<Vec<Token>, LabourError> {
        let length = i32::try_from(text.len())
            .map_err(|_| failed("take a text apart", "it is too long".into()))?;
        // A token is at least a byte; and there may be a mark at each end.
        let mut tokens: Vec<Token> = vec![0; text.len() + 2];
        // SAFETY: text and buffer with their lengths.
        let count = unsafe {
            let room = tokens.len() as i32;
            let text = text.as_ptr().cast();
            (self.library.0.tokenize)(
                self.vocab,
                text,
                length,
                tokens.as_mut_ptr(),
                room,
                begin,
                marks,
            )
        };
        match usize::try_from(count) {
            Ok(count) if count <= tokens.len() => {
                tokens.truncate(count);
                Ok(tokens)
            }
            _ => Err(failed("take a text apart", format!("{count} tokens"))),
        }
    }

    /// Appends what a token says; the network's own marks say nothing.
    pub(crate) fn say(&self, token: Token, to: &mut Vec<u8>) {
        if !self.knows(token) {
            return;
        }
        let mut room = 64;
        for _ in 0..2 {
            let mut piece = vec![0_u8; room];
            // SAFETY: a token of this vocabulary, a buffer with its length.
            let length = unsafe {
                let buffer = piece.as_mut_ptr().cast();
                (self.library.0.piece)(self.vocab, token, buffer, room as i32, 0, false)
            };
            match usize::try_from(length) {
                Ok(length) => return to.extend_from_slice(&piece[..length.min(room)]),
                Err(_) => room = length.unsigned_abs() as usize,
            }
        }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: loaded by `load`, freed once; contexts hold their model by `Arc`.
        #[allow(unsafe_code)]
        unsafe {
            (self.library.0.model_free)(self.model);
        }
    }
}

/// One token to be computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The token.
    pub(crate) token: Token,
    /// Its place in its sequence, from 0.
    pub(crate) at: usize,
    /// Its sequence.
    pub(crate) seat: usize,
    /// Whether the logits of what follows are wanted.
    pub(crate) wanted: bool,
}

/// A network's memory of several sequences, and the threads that compute.
pub(crate) struct Context {
    model: Arc<Model>,
    context: *mut c_void,
    pool: *mut c_void,
    seats: usize,
    most: usize,
    threads: usize,
    /// How many steps the latest batch had.
    latest: usize,
}

// SAFETY: nothing of a context belongs to a thread; it is used by one at a time (`&mut self`).
#[allow(unsafe_code)]
unsafe impl Send for Context {}

#[allow(unsafe_code)] // As for `Model`.
impl Context {
    /// Makes a memory for `seats` sequences of `length` tokens each, with batches of at most `most`.
    pub(crate) fn new(
        model: &Arc<Model>,
        seats: usize,
        length: usize,
        most: usize,
        threads: usize,
    ) -> Result<Self, LabourError> {
        let too_large = || failed("make a memory", format!("{seats} sequences of {length} tokens"));
        let cells = seats.checked_mul(length).and_then(|cells| u32::try_from(cells).ok());
        let number = |n: usize| i32::try_from(n).map_err(|_| too_large());
        let api = &model.library.0;
        // SAFETY: the defaults with fields changed, a live model.
        let (context, pool) = unsafe {
            let mut params = (api.context_defaults)();
            params.n_ctx = cells.ok_or_else(too_large)?;
            params.n_seq_max = number(seats)?.unsigned_abs();
            params.n_batch = number(most)?.unsigned_abs();
            params.n_ubatch = params.n_batch;
            params.n_threads = number(threads)?;
            params.n_threads_batch = params.n_threads;
            params.flash_attn_type = FLASH_ATTENTION;
            params.kv_unified = false;
            let context = (api.context_new)(model.model, params);
            if context.is_null() {
                return Err(failed("make a memory", complaint()));
            }
            let mut pool = std::mem::zeroed::<PoolParams>();
            (api.pool_defaults)(&mut pool, params.n_threads);
            pool.poll = POLL;
            let pool = (api.pool_new)(&mut pool);
            if !pool.is_null() {
                (api.attach_pool)(context, pool, pool);
            }
            (context, pool)
        };
        Ok(Context { model: model.clone(), context, pool, seats, most, threads, latest: 0 })
    }

    /// Tokens that each sequence may have.
    pub(crate) fn length(&self) -> usize {
        // SAFETY: a live context.
        unsafe { (self.model.library.0.context_per_sequence)(self.context) as usize }
    }

    /// Lets so many threads compute from now on; no more than the context was made with.
    pub(crate) fn set_threads(&mut self, threads: usize) {
        let threads = threads.clamp(1, self.threads) as i32;
        // SAFETY: a live context.
        unsafe { (self.model.library.0.set_threads)(self.context, threads, threads) };
    }

    /// Forgets a sequence's tokens from place `from` on.
    pub(crate) fn forget(&mut self, seat: usize, from: usize) {
        // SAFETY: a live context's memory; -1 means to the end. Forgetting the tail of a sequence
        // always succeeds where attention is all there is.
        unsafe {
            let memory = (self.model.library.0.memory)(self.context);
            (self.model.library.0.memory_remove)(memory, seat as i32, from as i32, -1);
        }
    }

    /// Computes a batch.
    pub(crate) fn compute(&mut self, steps: &[Step]) -> Result<(), LabourError> {
        let length = self.length();
        let fits = |s: &Step| s.seat < self.seats && s.at < length && self.model.knows(s.token);
        if steps.is_empty() || steps.len() > self.most || !steps.iter().all(fits) {
            return Err(failed("compute", format!("a batch of {} that does not fit", steps.len())));
        }
        let mut tokens: Vec<i32> = steps.iter().map(|s| s.token).collect();
        let mut places: Vec<i32> = steps.iter().map(|s| s.at as i32).collect();
        let mut counts = vec![1_i32; steps.len()];
        let mut seats: Vec<i32> = steps.iter().map(|s| s.seat as i32).collect();
        let mut each: Vec<*mut i32> = seats.iter_mut().map(|seat| &raw mut *seat).collect();
        let mut wanted: Vec<i8> = steps.iter().map(|s| i8::from(s.wanted)).collect();
        let batch = Batch {
            n_tokens: steps.len() as i32,
            token: tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: places.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: each.as_mut_ptr(),
            logits: wanted.as_mut_ptr(),
        };
        self.latest = 0;
        // SAFETY: arrays of `n_tokens` entries that outlive the call, all within bounds, as checked.
        let code = unsafe { (self.model.library.0.decode)(self.context, batch) };
        if code != 0 {
            return Err(failed("compute", format!("code {code}: {}", complaint())));
        }
        self.latest = steps.len();
        Ok(())
    }

    /// The logits after step `index` of the latest batch, one a token of the vocabulary.
    pub(crate) fn logits(&self, index: usize) -> Result<&[f32], LabourError> {
        let none = || failed("give logits", format!("there are none for step {index}"));
        if index >= self.latest {
            return Err(none());
        }
        // SAFETY: an index within the latest batch; NULL if none were wanted there. The row is as
        // long as the vocabulary, and stays until the next batch, which needs `&mut self`.
        unsafe {
            let row = (self.model.library.0.logits)(self.context, index as i32);
            if row.is_null() {
                return Err(none());
            }
            Ok(std::slice::from_raw_parts(row, self.model.vocabulary()))
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once; the pool after the context that uses it.
        #[allow(unsafe_code)]
        unsafe {
            (self.model.library.0.context_free)(self.context);
            if !self.pool.is_null() {
                (self.model.library.0.pool_free)(self.pool);
            }
        }
    }
}
