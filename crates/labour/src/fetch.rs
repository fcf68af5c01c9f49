//! Fetching: from a manifest to verified files in the cache.
//!
//! `python3 -m pip download` brings a wheel, `npm pack` a tarball, by exact name and version, through
//! whatever index, proxy and certificates the person's pip or npm is set up with. Only the files that
//! the manifest names are taken out of the archive. Nothing of the package is installed or run.
//!
//! Order: look (all genuine → done) · lock · look again · download into `.staging` · extract, hash
//! while writing, compare, fsync · rename into place · clear `.staging` · unlock. So a crash leaves
//! scratch that the next fetch clears, and never a half-written or unverified file in place; two
//! processes fetch once.
//!
//! Bounds: a file may have no more bytes than pinned, a download no longer silence than
//! [`PATIENCE`], a tarball no more unpacked than [`UNPACKED_BYTES`], pip's or npm's own words 2 kB in
//! an error.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::LabourError;
use crate::cache::{Cache, hex, is_genuine, read_genuine};
use crate::manifest::{Manifest, PinnedFile, Registry, Source};

/// How long a download may stand still before it is given up.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// How often a download is looked at, for progress.
const GLANCE: Duration = Duration::from_millis(100);

/// The most that a tarball may unpack to, so that a hostile one ends.
pub const UNPACKED_BYTES: u64 = 1 << 30;

/// How much of pip's or npm's output goes into an error.
const SAID_BYTES: usize = 2048;

/// What a person who waits may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchProgress<'a> {
    /// Another process fetches the same thing; this one waits for it.
    Waiting {
        /// The manifest's name.
        name: &'a str,
    },
    /// A wheel is on its way.
    Downloading {
        /// The package.
        package: &'a str,
        /// Its version.
        version: &'a str,
        /// Bytes that have arrived, as far as can be seen from outside pip.
        bytes: u64,
        /// Bytes to come in all.
        of: u64,
    },
    /// A file is in the cache and is what the manifest pins.
    Verified {
        /// The file's name.
        file: &'a str,
        /// Its size.
        bytes: u64,
    },
    /// All files of the manifest are there.
    Ready {
        /// The manifest's name.
        name: &'a str,
        /// Whether nothing had to be downloaded.
        was_cached: bool,
    },
}

/// A [`fetch`] or [`crate::VisionWorker::load_with`] that need not be watched passes this.
pub fn unwatched(_: FetchProgress<'_>) {}

/// The verified files of one manifest.
#[derive(Clone, Debug)]
pub struct Fetched<'m> {
    manifest: &'m Manifest,
    files: Vec<(PathBuf, &'m PinnedFile)>,
}

impl<'m> Fetched<'m> {
    /// The manifest.
    pub fn manifest(&self) -> &'m Manifest {
        self.manifest
    }

    /// Path and pin of each file, in the manifest's order. Never empty.
    pub fn files(&self) -> &[(PathBuf, &'m PinnedFile)] {
        &self.files
    }

    /// The manifest's first file: the only one of a model, its labels or a runtime.
    pub fn path(&self) -> &Path {
        &self.files[0].0
    }

    /// The first file's bytes, checked once more as they are read.
    ///
    /// # Errors
    /// [`LabourError::Io`], or [`LabourError::ChecksumMismatch`] if it was changed meanwhile.
    pub fn read(&self) -> Result<Vec<u8>, LabourError> {
        let (path, pinned) = &self.files[0];
        read_genuine(path, pinned)
    }
}

/// Brings all of a manifest's files into the cache, unless they are there, and checks each one.
///
/// A file that is there but not genuine is replaced. Blocks: seconds if something is downloaded,
/// tens of milliseconds if not.
///
/// # Errors
/// Python or pip missing, no network, nothing for this computer, a file that is not what is pinned,
/// a full or read-only disk; each says what to do.
pub fn fetch<'m>(
    cache: &Cache,
    manifest: &'m Manifest,
    progress: &dyn Fn(FetchProgress<'_>),
) -> Result<Fetched<'m>, LabourError> {
    let sources = manifest.sources_here()?;
    let mut was_cached = missing(cache, manifest, &sources)?.is_empty();
    if !was_cached {
        let folder = cache.folder(manifest);
        fs::create_dir_all(&folder).map_err(|e| LabourError::io("create", &folder, e))?;
        let _lock = lock(&folder, &manifest.name, progress)?;
        let missing = missing(cache, manifest, &sources)?;
        was_cached = missing.is_empty();
        for source in missing {
            fetch_source(cache, manifest, source, &folder.join(".staging"), progress)?;
        }
    }
    let mut files = Vec::new();
    for source in sources {
        for file in &source.files {
            progress(FetchProgress::Verified { file: &file.name, bytes: file.bytes });
            files.push((cache.place(manifest, source, file), file));
        }
    }
    progress(FetchProgress::Ready { name: &manifest.name, was_cached });
    Ok(Fetched { manifest, files })
}

/// The sources of which at least one file is not here, or not genuine.
fn missing<'s>(
    cache: &Cache,
    manifest: &Manifest,
    sources: &[&'s Source],
) -> Result<Vec<&'s Source>, LabourError> {
    let mut missing = Vec::new();
    for source in sources {
        for file in &source.files {
            if !is_genuine(&cache.place(manifest, source, file), file)? {
                missing.push(*source);
                break;
            }
        }
    }
    Ok(missing)
}

/// Takes the manifest's lock; it is released when the file closes, also by a crash.
fn lock(
    folder: &Path,
    name: &str,
    progress: &dyn Fn(FetchProgress<'_>),
) -> Result<File, LabourError> {
    let path = folder.join(".lock");
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    let file = open.map_err(|e| LabourError::io("open", &path, e))?;
    if file.try_lock().is_err() {
        progress(FetchProgress::Waiting { name });
        file.lock().map_err(|e| LabourError::io("lock", &path, e))?;
    }
    Ok(file)
}

/// Downloads one wheel and puts its files in place. The lock is held.
fn fetch_source(
    cache: &Cache,
    manifest: &Manifest,
    source: &Source,
    staging: &Path,
    progress: &dyn Fn(FetchProgress<'_>),
) -> Result<(), LabourError> {
    clear(staging)?;
    fs::create_dir_all(staging).map_err(|e| LabourError::io("create", staging, e))?;
    let outcome = download(cache, source, staging, progress).and_then(|archive| {
        let place = |file: &PinnedFile| cache.place(manifest, source, file);
        match source.registry {
            Registry::Pypi => extract_wheel(&archive, source, staging, &place),
            Registry::Npm => extract_tarball(&archive, source, staging, &place),
        }
    });
    // Scratch must not outlive a failure, but must not hide it either.
    let cleared = clear(staging);
    outcome.and(cleared)
}

/// Removes a folder with all that is in it; one that is not there is fine.
fn clear(folder: &Path) -> Result<(), LabourError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(LabourError::io("remove", folder, e))
        }
        _ => Ok(()),
    }
}

/// Runs pip or npm until the archive lies in `staging`, and returns its path.
fn download(
    cache: &Cache,
    source: &Source,
    staging: &Path,
    progress: &dyn Fn(FetchProgress<'_>),
) -> Result<PathBuf, LabourError> {
    let wheels = staging.join("wheels");
    let scratch = staging.join("tmp");
    for folder in [&wheels, &scratch] {
        fs::create_dir_all(folder).map_err(|e| LabourError::io("create", folder, e))?;
    }
    let said = staging.join("pip.log");
    let log = File::create(&said).map_err(|e| LabourError::io("create", &said, e))?;
    let also = log.try_clone().map_err(|e| LabourError::io("open", &said, e))?;

    let (program, mut command) = match source.registry {
        Registry::Pypi => (cache.python(), pip(cache, source, &wheels, &scratch)),
        Registry::Npm => (cache.npm(), npm(cache, source, &wheels, &scratch)),
    };
    command.stdin(Stdio::null()).stdout(also).stderr(log);

    let program = program.to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|e| match source.registry {
        Registry::Pypi => LabourError::PythonMissing {
            program: program.clone(),
            package: source.package.clone(),
            source: e,
        },
        Registry::Npm => LabourError::NpmMissing {
            program: program.clone(),
            package: source.package.clone(),
            source: e,
        },
    })?;
    let status = watch(&mut child, source, staging, progress)?;
    if !status.success() {
        let package = source.package.clone();
        if source.registry == Registry::Pypi && !has_pip(cache) {
            return Err(LabourError::PipMissing { program, package });
        }
        let said = last_words(&said);
        return Err(LabourError::DownloadFailed { package, version: source.version.clone(), said });
    }
    let wanted = match source.registry {
        Registry::Pypi => "whl",
        Registry::Npm => "tgz",
    };
    let archive = fs::read_dir(&wheels)
        .map_err(|e| LabourError::io("list", &wheels, e))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .find(|path| path.extension().is_some_and(|e| e == wanted));
    archive.ok_or_else(|| LabourError::DownloadFailed {
        package: source.package.clone(),
        version: source.version.clone(),
        said: "(it ended well, but left no archive)".into(),
    })
}

/// pip, told to download and do nothing else.
fn pip(cache: &Cache, source: &Source, to: &Path, scratch: &Path) -> Command {
    let mut command = Command::new(cache.python());
    command.args(["-m", "pip", "download", "--quiet", "--no-input", "--no-cache-dir"]);
    command.args(["--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]);
    if let Some(tags) = &source.tags {
        command.args(["--python-version", &tags.python, "--abi", &tags.abi]);
        command.args(["--implementation", &tags.implementation]);
        for platform in &tags.platforms {
            command.args(["--platform", platform]);
        }
    }
    command.arg("--dest").arg(to);
    command.arg(format!("{}=={}", source.package, source.version));
    // pip writes what arrives into the temporary folder: there it can be counted, and cleared.
    command.env("TMPDIR", scratch).env("PIP_REQUIRE_VIRTUALENV", "0");
    command
}

/// npm, told to download and do nothing else: no script of any package runs, and its cache is ours.
fn npm(cache: &Cache, source: &Source, to: &Path, scratch: &Path) -> Command {
    let mut command = Command::new(cache.npm());
    command.args(["pack", "--silent", "--ignore-scripts", "--no-audit", "--no-update-notifier"]);
    command.arg("--pack-destination").arg(to);
    command.arg("--cache").arg(scratch.join("npm"));
    command.arg(format!("{}@{}", source.package, source.version));
    // What arrives goes through npm's cache: there it can be counted, and cleared. Settings of a
    // project that happens to be the current folder are not ours.
    command.env("TMPDIR", scratch).current_dir(scratch);
    command
}

/// Waits for pip or npm, reporting what has arrived; stops it if nothing arrives for [`PATIENCE`].
fn watch(
    child: &mut Child,
    source: &Source,
    staging: &Path,
    progress: &dyn Fn(FetchProgress<'_>),
) -> Result<ExitStatus, LabourError> {
    let Source { package, version, wheel_bytes: of, .. } = source;
    let mut seen = 0;
    let mut since = Instant::now();
    progress(FetchProgress::Downloading { package, version, bytes: 0, of: *of });
    loop {
        let ended = child
            .try_wait()
            .map_err(|e| LabourError::io("wait for the download in", staging, e))?;
        if let Some(status) = ended {
            if status.success() {
                progress(FetchProgress::Downloading { package, version, bytes: *of, of: *of });
            }
            return Ok(status);
        }
        let bytes = bytes_under(staging, 9).min(*of);
        if bytes > seen {
            (seen, since) = (bytes, Instant::now());
            progress(FetchProgress::Downloading { package, version, bytes, of: *of });
        } else if since.elapsed() > PATIENCE {
            // It may have ended just now; either way it is gone afterwards.
            let _ = child.kill();
            let _ = child.wait();
            return Err(LabourError::DownloadStalled {
                package: package.clone(),
                version: version.clone(),
                seconds: PATIENCE.as_secs(),
            });
        }
        std::thread::sleep(GLANCE);
    }
}

/// Bytes of all files in a folder, `depth` folders deep. What cannot be seen counts nothing: it is
/// a progress bar's figure.
fn bytes_under(folder: &Path, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() && depth > 0 => bytes_under(&entry.path(), depth - 1),
        Ok(meta) if meta.is_file() => meta.len(),
        _ => 0,
    };
    entries.flatten().map(size).sum()
}

/// Whether the interpreter has pip at all: asked only to explain a failure.
fn has_pip(cache: &Cache) -> bool {
    let mut command = Command::new(cache.python());
    command.args(["-m", "pip", "--version"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The end of what pip or npm said, on one line.
fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let tail = &text[text.len().saturating_sub(SAID_BYTES)..];
    let tail = String::from_utf8_lossy(tail);
    let lines: Vec<&str> = tail.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    if lines.is_empty() { "(nothing)".into() } else { lines.join(" | ") }
}

/// Takes the files out of a wheel, which is a zip file.
fn extract_wheel(
    wheel: &Path,
    source: &Source,
    staging: &Path,
    place: &dyn Fn(&PinnedFile) -> PathBuf,
) -> Result<(), LabourError> {
    let opened = File::open(wheel).map_err(|e| LabourError::io("open", wheel, e))?;
    for file in &source.files {
        let broken = |reason: String| broken(source, &file.path, reason);
        let opened = opened.try_clone().map_err(|e| LabourError::io("open", wheel, e))?;
        let mut archive = zip::ZipArchive::new(opened).map_err(|e| broken(e.to_string()))?;
        let mut entry = archive.by_name(&file.path).map_err(|e| broken(e.to_string()))?;
        store(&mut entry, source, file, staging, &place(file))?;
    }
    Ok(())
}

/// Takes the files out of npm's tarball, in the order they come in it.
fn extract_tarball(
    tarball: &Path,
    source: &Source,
    staging: &Path,
    place: &dyn Fn(&PinnedFile) -> PathBuf,
) -> Result<(), LabourError> {
    let opened = File::open(tarball).map_err(|e| LabourError::io("open", tarball, e))?;
    let unpacked = flate2::read::GzDecoder::new(opened).take(UNPACKED_BYTES);
    let mut archive = tar::Archive::new(unpacked);
    let mut wanted: Vec<&PinnedFile> = source.files.iter().collect();
    let first = source.files.first().map_or("", |file| &file.path);
    let entries = archive.entries().map_err(|e| broken(source, first, e.to_string()))?;
    for entry in entries {
        let mut entry = entry.map_err(|e| broken(source, first, e.to_string()))?;
        let path = entry.path_bytes().into_owned();
        if let Some(at) = wanted.iter().position(|file| file.path.as_bytes() == path) {
            let file = wanted.swap_remove(at);
            store(&mut entry, source, file, staging, &place(file))?;
        }
    }
    match wanted.first() {
        Some(file) => Err(broken(source, &file.path, "there is no such file".into())),
        None => Ok(()),
    }
}

fn broken(source: &Source, path: &str, reason: String) -> LabourError {
    LabourError::WheelBroken { package: source.package.clone(), path: path.to_owned(), reason }
}

/// Puts one file in place: hash while writing, compare, fsync, rename.
fn store(
    entry: &mut dyn Read,
    source: &Source,
    file: &PinnedFile,
    staging: &Path,
    place: &Path,
) -> Result<(), LabourError> {
    // One byte more than pinned is enough to know that it is not the file; the rest stays packed.
    let mut entry = entry.take(file.bytes + 1);

    let draft = staging.join(&file.name);
    let mut out = File::create(&draft).map_err(|e| LabourError::io("create", &draft, e))?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 18];
    loop {
        let n = match entry.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(broken(source, &file.path, e.to_string())),
        };
        hash.update(&chunk[..n]);
        out.write_all(&chunk[..n]).map_err(|e| LabourError::io("write", &draft, e))?;
    }
    let found = hex(&hash.finalize());
    if found != file.sha256 {
        return Err(LabourError::ChecksumMismatch {
            package: source.package.clone(),
            file: file.path.clone(),
            expected: file.sha256.clone(),
            found,
        });
    }
    out.sync_all().map_err(|e| LabourError::io("write", &draft, e))?;
    let folder = place.parent().unwrap_or(staging);
    fs::create_dir_all(folder).map_err(|e| LabourError::io("create", folder, e))?;
    fs::rename(&draft, place).map_err(|e| LabourError::io("move into place", place, e))
}
