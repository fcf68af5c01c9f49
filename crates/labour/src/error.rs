//! What can go wrong with labour: one enum, a variant a fact.
//!
//! Two families, told apart by [`LabourError::is_input_error`]: the customer's input is bad (answer
//! them, nothing is broken, trying again with the same bytes cannot help), or the machine is not fit
//! to work (tell its owner).

use std::path::{Path, PathBuf};

use crate::pickle::PickleError;

/// A refusal or a failure of this crate. Its text says what happened, to what, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabourError {
    // ---- the customer's input --------------------------------------------------------------
    /// No byte was sent where a picture was expected.
    #[error("the picture is empty; send a JPEG, PNG or WebP file as the body")]
    NoPicture,
    /// The file is larger than a machine reads.
    #[error("the picture has {bytes} bytes, at most {limit} are read; send a smaller file")]
    PictureTooHeavy {
        /// Bytes received.
        bytes: usize,
        /// Bytes accepted, [`crate::picture::MAX_BYTES`].
        limit: usize,
    },
    /// The picture's header announces more pixels, or more memory, than a machine unpacks. Nothing
    /// was allocated for them.
    #[error(
        "the picture says it is {width} × {height}; at most 8192 a side, 40 megapixels and \
         256 MiB unpacked are accepted; send a smaller picture"
    )]
    PictureTooLarge {
        /// Announced width, pixels.
        width: u32,
        /// Announced height, pixels.
        height: u32,
    },
    /// The bytes are a picture of a kind that no machine here reads, e.g. a GIF.
    #[error("this is {format}, which is not read here; send a JPEG, PNG or WebP file")]
    UnsupportedPicture {
        /// The format recognised, as people call it.
        format: &'static str,
    },
    /// The bytes do not form a picture: not one at all, cut short, or damaged.
    #[error("not a readable picture: {reason}; send a complete JPEG, PNG or WebP file")]
    NotAPicture {
        /// What the decoder stumbled over.
        reason: String,
    },
    /// More, or fewer, answers were asked for than the network can give.
    #[error("{asked} answers were asked for; ask for 1 to {limit}")]
    AnswersOutOfRange {
        /// The number asked for.
        asked: usize,
        /// The most that can be given.
        limit: usize,
    },

    /// A file with more bytes than are looked at.
    #[error("the file has {bytes} bytes, at most {limit} are accepted; send a smaller file")]
    FileTooHeavy {
        /// Bytes received.
        bytes: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// A text that cannot be read: none at all, not UTF-8, or too many bytes.
    #[error("the text cannot be read: {reason}")]
    BadText {
        /// What is wrong, and what is accepted.
        reason: String,
    },
    /// A text of more tokens than the network reads. Nothing of it is left out in silence.
    #[error("the text has {tokens} tokens, at most {limit} are read; send it in parts")]
    TextTooLong {
        /// Tokens of the text, with the marks around it.
        tokens: usize,
        /// Tokens accepted.
        limit: usize,
    },
    /// A chat request that is not well formed, or out of bounds.
    #[error("the chat cannot be answered: {reason}")]
    BadChat {
        /// What is wrong, and what is accepted.
        reason: String,
    },
    /// A chat that leaves no room for an answer.
    #[error("the chat has {tokens} tokens, at most {limit} are read; send a shorter one")]
    ChatTooLong {
        /// Tokens of the chat.
        tokens: usize,
        /// Tokens accepted.
        limit: usize,
    },

    // ---- the machine is busy ---------------------------------------------------------------
    /// As many wait as may wait. Trying again later helps.
    #[error("the machine is busy: {waiting} are being served or wait; try again in a moment")]
    Busy {
        /// How many are served and wait.
        waiting: usize,
    },

    // ---- the work is done elsewhere ----------------------------------------------------------
    /// An endpoint outside of this program did not do the work, or not within its bounds.
    #[error("the endpoint did not do the work: {reason}")]
    Endpoint {
        /// What went wrong.
        reason: String,
    },

    // ---- fetching models -------------------------------------------------------------------
    /// There is neither a home folder nor a variable that says where to cache.
    #[error("no folder to keep models in: set MACHINA_CACHE, XDG_CACHE_HOME or HOME")]
    NoCacheFolder,
    /// The Python interpreter could not be started.
    #[error(
        "cannot start `{program}` to fetch {package}: {source}; install Python 3 with pip, or set \
         MACHINA_PYTHON to an interpreter"
    )]
    PythonMissing {
        /// The interpreter tried.
        program: String,
        /// The package wanted.
        package: String,
        /// Why it did not start.
        source: std::io::Error,
    },
    /// Python runs, but has no pip.
    #[error(
        "`{program}` has no pip, which fetches {package}; install it (Debian: apt install \
         python3-pip; elsewhere: {program} -m ensurepip)"
    )]
    PipMissing {
        /// The interpreter tried.
        program: String,
        /// The package wanted.
        package: String,
    },
    /// npm could not be started.
    #[error(
        "cannot start `{program}` to fetch {package}: {source}; install Node.js with npm from \
         https://nodejs.org, or set MACHINA_NPM to npm's path"
    )]
    NpmMissing {
        /// The program tried.
        program: String,
        /// The package wanted.
        package: String,
        /// Why it did not start.
        source: std::io::Error,
    },
    /// pip or npm ended without the package: no network, no such version on the index, a full disk.
    #[error(
        "{package} {version} could not be fetched; check the network, the index settings of pip \
         (PIP_INDEX_URL) or npm, and the room on the disk, then try again; the last words were: {said}"
    )]
    DownloadFailed {
        /// The package wanted.
        package: String,
        /// The version wanted.
        version: String,
        /// The last lines pip or npm wrote, at most 2 kB.
        said: String,
    },
    /// pip or npm was stopped because nothing arrived for too long.
    #[error(
        "fetching {package} {version} stalled: nothing arrived for {seconds} s; check the network, \
         then try again"
    )]
    DownloadStalled {
        /// The package wanted.
        package: String,
        /// The version wanted.
        version: String,
        /// The patience, seconds.
        seconds: u64,
    },
    /// What was brought is not an archive that holds the file.
    #[error("the archive of {package} does not hold a readable {path}: {reason}; try again")]
    WheelBroken {
        /// The package.
        package: String,
        /// The file looked for inside the archive.
        path: String,
        /// What was wrong.
        reason: String,
    },
    /// A file fetched is not the one that the manifest pins. It was thrown away.
    #[error(
        "{file} of {package} has sha256 {found}, the manifest says {expected}; it was thrown away \
         and will not be used; if it happens again, the package index serves something else"
    )]
    ChecksumMismatch {
        /// The package.
        package: String,
        /// The file inside the wheel.
        file: String,
        /// The digest pinned, hex.
        expected: String,
        /// The digest found, hex.
        found: String,
    },
    /// No file of this manifest is made for this kind of computer.
    #[error("{manifest} has no build for {host}; it runs on {known}")]
    UnsupportedHost {
        /// The manifest's name.
        manifest: String,
        /// This computer, e.g. `linux-riscv64`.
        host: String,
        /// The computers served.
        known: String,
    },
    /// A manifest is not well formed.
    #[error("manifest {name} cannot be read: {reason}")]
    Manifest {
        /// The manifest's name, or its place among the built-in ones.
        name: String,
        /// What was wrong.
        reason: String,
    },
    /// The disk has no room left.
    #[error("the disk is full, writing {path}; make room, or set MACHINA_CACHE to another disk")]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was being done, e.g. `create`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },

    // ---- running models --------------------------------------------------------------------
    /// The weights file is not what it should be.
    #[error("the weights {file} cannot be read: {source}")]
    Weights {
        /// The file's name.
        file: String,
        /// The fault and its place.
        source: PickleError,
    },
    /// A file that belongs to a network cannot be made sense of, though it is the one that is pinned.
    #[error("{file} cannot be used: {reason}")]
    BrokenModel {
        /// The file's name.
        file: String,
        /// What was wrong.
        reason: String,
    },
    /// The weights file lacks a tensor of the network, or it has another shape.
    #[error("the weights lack {name} with shape {shape:?}")]
    MissingWeight {
        /// The tensor's name.
        name: String,
        /// The shape that the network needs.
        shape: Vec<usize>,
    },
    /// The class names are not one for each output of the network.
    #[error("the class names cannot be used: {reason}")]
    Labels {
        /// What was wrong.
        reason: String,
    },
    /// llama.cpp refused, or its weights are not fit for it.
    #[error("llama.cpp could not {doing}: {message}")]
    Language {
        /// What was being done, e.g. `read the weights`.
        doing: &'static str,
        /// What was wrong.
        message: String,
    },
    /// The runtime library refused.
    #[error("onnxruntime could not {doing}: {message}")]
    Runtime {
        /// What was being done, e.g. `load the library`.
        doing: &'static str,
        /// The runtime's own words.
        message: String,
    },
}

impl LabourError {
    /// Whether the customer's input is at fault. If not, the machine is, and its owner must act.
    pub fn is_input_error(&self) -> bool {
        use LabourError::*;
        match self {
            NoPicture
            | PictureTooHeavy { .. }
            | PictureTooLarge { .. }
            | UnsupportedPicture { .. }
            | NotAPicture { .. }
            | AnswersOutOfRange { .. }
            | FileTooHeavy { .. }
            | BadText { .. }
            | TextTooLong { .. }
            | BadChat { .. }
            | ChatTooLong { .. } => true,
            Busy { .. } | Endpoint { .. } => false,
            NoCacheFolder
            | PythonMissing { .. }
            | PipMissing { .. }
            | NpmMissing { .. }
            | DownloadFailed { .. }
            | DownloadStalled { .. }
            | WheelBroken { .. }
            | ChecksumMismatch { .. }
            | UnsupportedHost { .. }
            | Manifest { .. }
            | DiskFull { .. }
            | Io { .. }
            | Weights { .. }
            | BrokenModel { .. }
            | MissingWeight { .. }
            | Labels { .. }
            | Language { .. }
            | Runtime { .. } => false,
        }
    }

    /// Whether nothing is wrong, and the same request may be served a moment later.
    pub fn is_busy(&self) -> bool {
        matches!(self, LabourError::Busy { .. })
    }

    /// A failure of the file system; a full disk gets its own variant.
    pub(crate) fn io(doing: &'static str, path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                LabourError::DiskFull { path }
            }
            _ => LabourError::Io { doing, path, source },
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_full_disk_is_called_a_full_disk() {
        let full = Path::new("/dev/full");
        let mut file = std::fs::File::options().write(true).open(full).unwrap();
        let error = LabourError::io("write", full, file.write_all(b"x").unwrap_err());
        assert!(matches!(error, LabourError::DiskFull { .. }), "{error}");
        assert!(error.to_string().contains("make room"), "{error}");
        assert!(!error.is_input_error());
    }
}
