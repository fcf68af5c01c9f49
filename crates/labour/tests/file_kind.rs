//! The machine as it really is, beside the answers that its authors' own client (magika 1.0.3 on PyPI)
//! gave for the files in `tests/kinds`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use labour::file_kind::MAX_BYTES;
use labour::{Cache, FileKindWorker, Worker};

#[derive(serde::Deserialize)]
struct Answer {
    kind: String,
    score_ppm: u32,
}

fn worker() -> &'static FileKindWorker {
    static WORKER: OnceLock<FileKindWorker> = OnceLock::new();
    WORKER.get_or_init(|| {
        let cache = Cache::from_env().expect("a folder to cache in");
        FileKindWorker::load(&cache).expect("the machine loads")
    })
}

#[test]
fn each_file_is_of_the_kind_that_the_authors_client_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kinds");
    let answers = std::fs::read(folder.join("answers.json")).unwrap();
    let answers: BTreeMap<String, Answer> = serde_json::from_slice(&answers).unwrap();
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, answers.len() + 1, "every file has an answer");
    for (name, expected) in answers {
        let found = worker().kind(&std::fs::read(folder.join(&name)).unwrap()).unwrap();
        assert_eq!(found.kind, expected.kind, "{name}");
        let apart = found.score_ppm.abs_diff(expected.score_ppm);
        assert!(apart <= 200, "{name}: {} and {}", found.score_ppm, expected.score_ppm);
    }
}

#[test]
fn the_answer_is_canonical_json_and_the_same_again() {
    let file = b"#!/bin/sh\nset -eu\nfor file in *.txt; do\n  echo \"$file\"\ndone\n";
    let json = worker().work(file).unwrap().bytes;
    assert_eq!(json, worker().work(file).unwrap().bytes);
    let json = String::from_utf8(json).unwrap();
    assert!(json.starts_with(r#"{"model":"magika@"#), "{json}");
    assert!(json.contains(r#""kind":"shell","description":"Shell script","media_type":"text/x-shellscript","group":"code","is_text":true,"#), "{json}");
}

#[test]
fn what_says_nothing_is_not_shown_to_the_network() {
    for (file, kind) in [(&b""[..], "empty"), (b"      \n\t  \n", "txt"), (b"\xff\x00", "unknown")]
    {
        let found = worker().kind(file).unwrap();
        assert_eq!((found.kind.as_str(), found.score_ppm), (kind, 1_000_000));
    }
}

#[test]
fn a_file_that_is_too_heavy_is_the_customers_fault_and_the_heaviest_is_not() {
    let error = worker().kind(&vec![0; MAX_BYTES + 1]).unwrap_err();
    assert!(error.is_input_error(), "{error}");
    worker().kind(&vec![b' '; MAX_BYTES]).unwrap();
    worker().kind(&vec![7; MAX_BYTES]).unwrap();
}

#[test]
fn it_says_what_its_bytes_depend_on_and_what_it_took() {
    worker().kind(b"hello there, this is a text").unwrap();
    let (pins, took) = (worker().pins(), worker().measured());
    assert_eq!((pins.threads, pins.batch.as_str()), (1, "1"));
    assert!(pins.engine.starts_with("onnxruntime 1."), "{pins:?}");
    assert!(took.units >= 1 && took.unit == "file");
}
