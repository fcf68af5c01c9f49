//! Where fetched files lie, and whether they are what they should be.
//!
//! ```text
//! <root>/models/<manifest>/<package>-<version>/<file>
//! <root>/models/<manifest>/.lock         held while one process fetches
//! <root>/models/<manifest>/.staging/     scratch of the process that holds the lock
//! ```
//!
//! The cache lies outside the repository and is shared by every home of Machina. A file in it is
//! never trusted: each reader checks size and sha256 first (18 MB take about 15 ms where the
//! processor has SHA instructions, 70 ms where not).

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::LabourError;
use crate::manifest::{Manifest, PinnedFile, Source};

/// The folder that models are kept in, and the Python that fetches them.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
    python: OsString,
    npm: OsString,
}

impl Cache {
    /// `MACHINA_CACHE`, else `$XDG_CACHE_HOME/machina`, else `~/.cache/machina`; Python from
    /// `MACHINA_PYTHON`, else `python3`; npm from `MACHINA_NPM`, else `npm`. Creates nothing.
    ///
    /// # Errors
    /// [`LabourError::NoCacheFolder`] if none of the variables, nor `HOME`, is set.
    pub fn from_env() -> Result<Self, LabourError> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, LabourError> {
        let set = |name| get(name).filter(|value| !value.is_empty());
        let root = if let Some(root) = set("MACHINA_CACHE") {
            PathBuf::from(root)
        } else if let Some(caches) = set("XDG_CACHE_HOME") {
            Path::new(&caches).join("machina")
        } else if let Some(home) = set("HOME") {
            Path::new(&home).join(".cache").join("machina")
        } else {
            return Err(LabourError::NoCacheFolder);
        };
        let cache = Self::at(root);
        let cache = match set("MACHINA_PYTHON") {
            Some(python) => cache.with_python(python),
            None => cache,
        };
        Ok(match set("MACHINA_NPM") {
            Some(npm) => cache.with_npm(npm),
            None => cache,
        })
    }

    /// A cache in this folder, which need not exist yet, fetching with `python3` and `npm`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Cache { root: root.into(), python: "python3".into(), npm: "npm".into() }
    }

    /// The same cache, fetching with this interpreter.
    pub fn with_python(mut self, python: impl Into<OsString>) -> Self {
        self.python = python.into();
        self
    }

    /// The same cache, fetching from npm with this program.
    pub fn with_npm(mut self, npm: impl Into<OsString>) -> Self {
        self.npm = npm.into();
        self
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The interpreter that runs pip.
    pub(crate) fn python(&self) -> &OsString {
        &self.python
    }

    /// The program that fetches from npm.
    pub(crate) fn npm(&self) -> &OsString {
        &self.npm
    }

    /// The folder of one manifest.
    pub(crate) fn folder(&self, manifest: &Manifest) -> PathBuf {
        self.root.join("models").join(&manifest.name)
    }

    /// The place of one file.
    pub(crate) fn place(&self, manifest: &Manifest, source: &Source, file: &PinnedFile) -> PathBuf {
        // `@scope/name` becomes one folder's name.
        let package = source.package.trim_start_matches('@').replace('/', "+");
        let release = format!("{package}-{}", source.version);
        self.folder(manifest).join(release).join(&file.name)
    }
}

/// Whether a manifest's files are here, as `machina models` shows it.
#[derive(Clone, Debug)]
pub struct Status<'m> {
    /// The manifest: name, title, licence, credits.
    pub manifest: &'m Manifest,
    /// Each file that this computer needs, in the manifest's order.
    pub files: Vec<FileStatus>,
    /// Whether all of them are here.
    pub cached: bool,
    /// The folder they lie in, or will.
    pub folder: PathBuf,
}

impl Status<'_> {
    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }
}

/// One file of a [`Status`].
#[derive(Clone, Debug)]
pub struct FileStatus {
    /// Package it comes from.
    pub package: String,
    /// Version of the package.
    pub version: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its pinned sha256, hex.
    pub sha256: String,
    /// Where it lies, or will.
    pub path: PathBuf,
    /// Whether a file of the right size lies there. Its digest is checked when it is used.
    pub cached: bool,
}

/// What is here of a manifest. Looks at sizes only, so it is quick; reads nothing, changes nothing.
///
/// # Errors
/// [`LabourError::UnsupportedHost`] if nothing of it is for this computer.
pub fn status<'m>(cache: &Cache, manifest: &'m Manifest) -> Result<Status<'m>, LabourError> {
    let mut files = Vec::new();
    for source in manifest.sources_here()? {
        for file in &source.files {
            let path = cache.place(manifest, source, file);
            let cached = path.metadata().is_ok_and(|m| m.is_file() && m.len() == file.bytes);
            files.push(FileStatus {
                package: source.package.clone(),
                version: source.version.clone(),
                bytes: file.bytes,
                sha256: file.sha256.clone(),
                path,
                cached,
            });
        }
    }
    let cached = files.iter().all(|f| f.cached);
    Ok(Status { manifest, files, cached, folder: cache.folder(manifest) })
}

/// Whether the file at `path` has exactly the pinned size and digest. A missing file has not.
pub(crate) fn is_genuine(path: &Path, pinned: &PinnedFile) -> Result<bool, LabourError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(LabourError::io("open", path, e)),
    };
    let meta = file.metadata().map_err(|e| LabourError::io("look at", path, e))?;
    if !meta.is_file() || meta.len() != pinned.bytes {
        return Ok(false);
    }
    Ok(digest_of(&mut file, path)? == pinned.sha256)
}

/// The sha256 of a file, hex.
pub(crate) fn digest(path: &Path) -> Result<String, LabourError> {
    let mut file = File::open(path).map_err(|e| LabourError::io("open", path, e))?;
    digest_of(&mut file, path)
}

fn digest_of(file: &mut File, path: &Path) -> Result<String, LabourError> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(n) => hash.update(&chunk[..n]),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(LabourError::io("read", path, e)),
        }
    }
}

/// Reads a whole file and checks the very bytes returned against the manifest.
pub(crate) fn read_genuine(path: &Path, pinned: &PinnedFile) -> Result<Vec<u8>, LabourError> {
    let file = File::open(path).map_err(|e| LabourError::io("open", path, e))?;
    let mut bytes = Vec::with_capacity(usize::try_from(pinned.bytes).unwrap_or(0));
    file.take(pinned.bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| LabourError::io("read", path, e))?;
    let found = hex(&Sha256::digest(&bytes));
    if found != pinned.sha256 {
        return Err(LabourError::ChecksumMismatch {
            package: "the cache".into(),
            file: path.display().to_string(),
            expected: pinned.sha256.clone(),
            found,
        });
    }
    Ok(bytes)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
    digits.map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(variables: &[(&str, &str)]) -> Result<PathBuf, LabourError> {
        let get = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        };
        Cache::from_variables(get).map(|cache| cache.root)
    }

    #[test]
    fn the_nearest_variable_decides() {
        let home = ("HOME", "/home/ada");
        let xdg = ("XDG_CACHE_HOME", "/caches");
        let own = ("MACHINA_CACHE", "/models");
        assert_eq!(root(&[home, xdg, own]).unwrap(), Path::new("/models"));
        assert_eq!(root(&[home, xdg]).unwrap(), Path::new("/caches/machina"));
        assert_eq!(root(&[home]).unwrap(), Path::new("/home/ada/.cache/machina"));
        assert_eq!(
            root(&[home, ("MACHINA_CACHE", "")]).unwrap(),
            Path::new("/home/ada/.cache/machina")
        );
    }

    #[test]
    fn without_any_variable_it_says_which_to_set() {
        let error = root(&[]).unwrap_err();
        assert!(error.to_string().contains("MACHINA_CACHE"), "{error}");
    }

    #[test]
    fn hex_is_lower_case() {
        assert_eq!(hex(&[0x00, 0x9f, 0xab]), "009fab");
    }
}
