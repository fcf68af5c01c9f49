//! The kinds of work that a foreman knows how to use.

use market::Skill;
use serde::{Deserialize, Serialize};

/// A kind of work that is for sale by name. One file, one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Service {
    /// What a photograph shows: a JPEG, PNG or WebP file in, labels with probabilities out.
    #[serde(rename = "vision/classify")]
    Classify,
    /// What kind of file it is: any bytes in, its media type out.
    #[serde(rename = "file/kind")]
    FileKind,
    /// What is written on a photographed page: a picture in, lines out.
    #[serde(rename = "text/read")]
    Read,
    /// A text by a language machine: a chat in, an answer out.
    #[serde(rename = "language/chat")]
    Write,
    /// What a text means: a text in, a vector out; near where texts mean alike.
    #[serde(rename = "meaning/embed")]
    Mean,
    /// What each of many photographs shows, a label each: [`crate::labelling`].
    #[serde(rename = "vision/label")]
    LabelPictures,
    /// What kind each of many files is of, a label each.
    #[serde(rename = "file/label")]
    LabelFiles,
    /// What a person answers: a question with files in, a text out.
    #[serde(rename = "human/answer")]
    Answer,
    /// All of it: what a foreman sells.
    #[serde(rename = "foreman/compose")]
    Compose,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 9] = [
        Service::Classify,
        Service::FileKind,
        Service::Read,
        Service::Write,
        Service::Mean,
        Service::LabelPictures,
        Service::LabelFiles,
        Service::Answer,
        Service::Compose,
    ];

    /// What a foreman hires for.
    pub const HIRED: [Service; 4] =
        [Service::Classify, Service::FileKind, Service::Read, Service::Write];

    /// The same work for many files in one job, a label each, where there is such work.
    pub fn of_many(self) -> Option<Service> {
        match self {
            Service::Classify => Some(Service::LabelPictures),
            Service::FileKind => Some(Service::LabelFiles),
            _ => None,
        }
    }

    /// The work that is done for each item of a job of many.
    pub fn of_one(self) -> Option<Service> {
        Service::ALL.into_iter().find(|service| service.of_many() == Some(self))
    }

    /// Its name on the market: what its [`Skill`] is derived from.
    pub fn name(self) -> &'static str {
        match self {
            Service::Classify => "vision/classify",
            Service::FileKind => "file/kind",
            Service::Read => "text/read",
            Service::Write => "language/chat",
            Service::Mean => "meaning/embed",
            Service::LabelPictures => "vision/label",
            Service::LabelFiles => "file/label",
            Service::Answer => "human/answer",
            Service::Compose => "foreman/compose",
        }
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Service::Classify => "saying what a photograph shows",
            Service::FileKind => "telling what kind of file it is",
            Service::Read => "reading a photographed page",
            Service::Write => "writing a paragraph",
            Service::Mean => "telling what a text means",
            Service::LabelPictures => "naming what photographs show",
            Service::LabelFiles => "telling files apart",
            Service::Answer => "an answer by a person",
            Service::Compose => "planning, hiring and putting together",
        }
    }

    /// What it is good for, in the words in which people ask for it: what a search by meaning compares with.
    pub fn about(self) -> &'static str {
        match self {
            Service::Classify => {
                "recognise what a photograph or picture shows: objects, animals, scenes; image classification"
            }
            Service::FileKind => {
                "tell what kind of file it is, its format or media type; sort and identify files"
            }
            Service::Read => {
                "read the text that is written on a photographed page or scan; optical character recognition"
            }
            Service::Write => {
                "write a text: answer in a chat, summarise, describe in a paragraph; language model"
            }
            Service::Mean => {
                "tell what a text means: an embedding, a vector for search and comparison"
            }
            Service::LabelPictures => {
                "name what many photographs show, a label each, in one job; label images"
            }
            Service::LabelFiles => "tell the kinds of many files apart, a label each, in one job",
            Service::Answer => {
                "ask a human being: judgement, opinion, advice or a question that a person answers"
            }
            Service::Compose => {
                "several files at once: plan the work, hire machines for it, check it and put the answers together"
            }
        }
    }

    /// Its name as the market knows it.
    pub fn skill(self) -> Skill {
        Skill::derive(&[self.name().as_bytes()])
    }

    /// The service of this skill.
    pub fn of(skill: Skill) -> Option<Service> {
        Service::ALL.into_iter().find(|service| service.skill() == skill)
    }

    /// The most bytes of one input: what the workers of this program take.
    pub fn max_bytes(self) -> u64 {
        match self {
            // The same as `labour::picture::MAX_BYTES` and `labour::file_kind::MAX_BYTES`, which are on
            // another floor; a test of `machina` compares.
            Service::Classify | Service::Read | Service::FileKind => 8 << 20,
            Service::Write | Service::LabelPictures | Service::LabelFiles => 64 << 10,
            Service::Mean => 32 << 10,
            Service::Answer | Service::Compose => 1 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_by_its_skill_and_written_by_its_name() {
        for service in Service::ALL {
            assert_eq!(Service::of(service.skill()), Some(service));
            assert!(service.of_many().is_none_or(|many| many.of_one() == Some(service)));
            assert_eq!(serde_json::to_value(service).ok(), Some(service.name().into()));
        }
        assert_eq!(Service::of(Skill::derive(&[b"else"])), None);
    }
}
