//! What workers answer, read as data, and what a foreman delivers.

use market::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::quoted::{self, ESSAY, LABEL, NAME, PARAGRAPH};
use crate::service::Service;

/// The most bytes of one worker's answer that are looked at.
pub const MAX_ANSWER: usize = 1 << 20;
/// The most labels or lines kept of one answer.
const MOST: usize = 5;
/// The most lines kept of a page.
const MOST_LINES: usize = 40;

/// What one worker answered, as far as it has the form that its service has. Whatever else is in it
/// is left out; nothing in it is obeyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Answer {
    /// What a photograph shows, likeliest first.
    Labels {
        /// The labels.
        labels: Vec<Label>,
    },
    /// What kind of file it is.
    #[serde(rename_all = "camelCase")]
    Kind {
        /// In words.
        description: String,
        /// As media type.
        media_type: String,
    },
    /// What is written on a page.
    Lines {
        /// Line by line.
        lines: Vec<String>,
    },
    /// The one label that it was given.
    Named {
        /// The label.
        label: String,
    },
    /// What a language machine wrote.
    Text {
        /// All of it, on one line.
        text: String,
    },
    /// Nothing that has the form of the service.
    Unreadable,
}

/// What is delivered for work that its brief makes impossible: why, as canonical JSON. Whoever does such
/// work again finds the same bytes.
pub fn refused(why: impl std::fmt::Display) -> Vec<u8> {
    serde_json::json!({ "refused": why.to_string() }).to_string().into_bytes()
}

/// Why work is refused whose brief is not at the market's desk.
pub const NO_BRIEF: &str = "nobody handed in the brief";

/// One label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Label {
    /// The label.
    pub label: String,
    /// Its probability, parts per million.
    pub probability_ppm: u32,
}

/// One file's part of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The file's name.
    pub name: String,
    /// Its bytes' digest.
    pub digest: Digest,
    /// What was done with it.
    pub service: Service,
    /// What came of it.
    pub answer: Answer,
}

/// What a foreman delivers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Composite {
    /// The answer for a person.
    pub text: String,
    /// Whether a language machine wrote it; else it is put together from the items.
    pub written: bool,
    /// File by file.
    pub items: Vec<Item>,
}

impl Answer {
    /// Reads a worker's bytes. Never fails: what has not the service's form is [`Answer::Unreadable`].
    pub fn read(service: Service, bytes: &[u8]) -> Answer {
        if bytes.len() > MAX_ANSWER {
            return Answer::Unreadable;
        }
        if service == Service::Answer {
            return by_person(bytes).unwrap_or(Answer::Unreadable);
        }
        serde_json::from_slice::<Value>(bytes)
            .ok()
            .and_then(|value| match service {
                Service::Classify => labels(&value),
                Service::FileKind => kind(&value),
                Service::Read => lines(&value),
                Service::Write => text(&value),
                Service::Mean => vector(&value),
                Service::LabelPictures
                | Service::LabelFiles
                | Service::Answer
                | Service::Compose => None,
            })
            .unwrap_or(Answer::Unreadable)
    }

    /// What a text says by itself, line by line.
    pub(crate) fn lines_of(text: &[u8]) -> Answer {
        let Ok(text) = std::str::from_utf8(text) else { return Answer::Unreadable };
        let lines = text.lines().map(|line| quoted::plain(line, LABEL));
        let said = lines.filter(|line| !line.is_empty()).take(MOST_LINES);
        Answer::Lines { lines: said.collect() }
    }

    /// The answer in a few words, without its file.
    pub fn gist(&self) -> String {
        match self {
            Answer::Labels { labels } => match labels.as_slice() {
                [] => "nothing that could be named".into(),
                [first] => first.label.clone(),
                [first, second, ..] if second.probability_ppm * 2 > first.probability_ppm => {
                    format!("{} or {}", first.label, second.label)
                }
                [first, ..] => first.label.clone(),
            },
            Answer::Kind { description, .. } => description.clone(),
            Answer::Lines { lines } => {
                lines.first().cloned().unwrap_or_else(|| "no writing that could be read".into())
            }
            Answer::Named { label } => label.clone(),
            Answer::Text { text } => text.clone(),
            Answer::Unreadable => "an answer that cannot be read".into(),
        }
    }
}

fn labels(value: &Value) -> Option<Answer> {
    let mut labels = Vec::new();
    for label in value.get("labels")?.as_array()?.iter().take(MOST) {
        let name = quoted::plain(label.get("label")?.as_str()?, LABEL);
        let ppm = label.get("probability_ppm")?.as_u64()?.min(1_000_000);
        labels.push(Label { label: name, probability_ppm: u32::try_from(ppm).ok()? });
    }
    Some(Answer::Labels { labels })
}

fn kind(value: &Value) -> Option<Answer> {
    let of = |key: &str| Some(quoted::plain(value.get(key)?.as_str()?, LABEL));
    Some(Answer::Kind { description: of("description")?, media_type: of("media_type")? })
}

/// Lines are strings, or objects with a `text`, as readers that give places do.
fn lines(value: &Value) -> Option<Answer> {
    let found = value.get("lines")?.as_array()?;
    let line = |line: &Value| {
        let text = line.as_str().or_else(|| line.get("text")?.as_str())?;
        Some(quoted::plain(text, LABEL))
    };
    Some(Answer::Lines { lines: found.iter().take(MOST_LINES).filter_map(line).collect() })
}

/// A vector is for programs: people are told how long it is.
fn vector(value: &Value) -> Option<Answer> {
    let numbers = value.get("millionths")?.as_array()?.len();
    Some(Answer::Text { text: format!("a vector of {numbers} numbers") })
}

/// What a person wrote: plain text, and not nothing.
fn by_person(bytes: &[u8]) -> Option<Answer> {
    let text = quoted::plain(std::str::from_utf8(bytes).ok()?, ESSAY);
    (!text.is_empty()).then_some(Answer::Text { text })
}

/// The answer of a chat, in our form or in OpenAI's.
fn text(value: &Value) -> Option<Answer> {
    let text = value
        .get("text")
        .or_else(|| value.get("content"))
        .or_else(|| value.pointer("/message/content"))
        .or_else(|| value.pointer("/choices/0/message/content"))?
        .as_str()?;
    Some(Answer::Text { text: quoted::plain(text, PARAGRAPH) })
}

impl Item {
    /// The item as one sentence.
    pub fn sentence(&self) -> String {
        let name = quoted::quoted(&self.name, NAME);
        match &self.answer {
            Answer::Labels { labels } => match labels.first() {
                Some(first) => {
                    let percent = (u64::from(first.probability_ppm) + 5_000) / 10_000;
                    format!("{name} shows {} ({percent} %).", self.answer.gist())
                }
                None => format!("{name} shows nothing that could be named."),
            },
            Answer::Kind { description, media_type } => {
                format!("{name} is {description} ({media_type}).")
            }
            Answer::Lines { lines } if lines.is_empty() => {
                format!("{name} has no writing that could be read.")
            }
            Answer::Lines { lines } => {
                format!("{name} reads: {}.", quoted::quoted(&lines.join(" / "), PARAGRAPH))
            }
            Answer::Named { label } => format!("{name} is named {label}."),
            Answer::Text { text } => format!("{name}: {}.", quoted::quoted(text, PARAGRAPH)),
            Answer::Unreadable => format!("{name} got an answer that cannot be read."),
        }
    }
}

impl Composite {
    /// Canonical JSON: fixed key order, no space, whole numbers.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, whole numbers and lists in derived structs: serialising them cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what a foreman delivered.
    pub fn from_json(bytes: &[u8]) -> Option<Composite> {
        if bytes.len() > MAX_ANSWER { None } else { serde_json::from_slice(bytes).ok() }
    }
}
