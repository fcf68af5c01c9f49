//! Jobs of many items that are each given one label: pictures that are named, files that are told apart.
//!
//! Two checks need such work, for they judge by labels and not by bytes: `gold`, whose client hides items
//! with known answers among the others, and `peer`, whose raters label the same items. The brief names the
//! items alone, so that nobody who works can tell a hidden test by it; what belongs to which of the client's
//! files stands in a [`Note`] that the brief names by its digest, which gives nobody a right to it: written without
//! `0x` it is no name by which a worker could pass it on to a job of its own and read it there. Whom the job names
//! as examiner finds the key to the hidden tests in it.
//!
//! The answer is a JSON list of numbers, one for each item, in order; [`UNKNOWN`] where an item cannot be
//! read. What a number means is the service's to say: the class of ImageNet, or the kind's place among all
//! kinds by name.

use market::{Digest, GoldKey, MAX_CHOICES};
use serde::{Deserialize, Serialize};

use crate::order::MAX_INPUTS;

/// The most items of one job, hidden ones included.
pub const MOST_ITEMS: usize = 2 * MAX_INPUTS;
/// The label of what cannot be read: a broken picture, or nobody handed it in.
pub const UNKNOWN: u16 = MAX_CHOICES - 1;
/// The most bytes of a brief or a note.
const MOST_BYTES: usize = 64 << 10;

/// The brief of a labelling job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    /// What is to be labelled, by the digests of its bytes, which the client has handed in.
    pub items: Vec<Digest>,
    /// The client's note, by its digest in hex, without `0x`.
    #[serde(with = "bare")]
    pub note: Option<Digest>,
}

/// A digest that names nothing for [`market::desk::Desk::may_use`], which looks for it as it is usually written.
mod bare {
    use market::Digest;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    pub fn serialize<S: Serializer>(note: &Option<Digest>, to: S) -> Result<S::Ok, S::Error> {
        let digits = note.map(|note| note.to_string().trim_start_matches("0x").to_owned());
        digits.serialize(to)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Option<Digest>, D::Error> {
        let digits = Option::<String>::deserialize(from)?;
        let digest = |digits: String| format!("0x{digits}").parse().map_err(D::Error::custom);
        digits.map(digest).transpose()
    }
}

/// What the client knows of its items, and tells nobody but the examiner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Note {
    /// The client's words.
    pub words: String,
    /// For each item the client's file, or nothing if it was mixed in.
    pub names: Vec<Option<String>>,
    /// Where the hidden tests are, and what is right; under `gold` alone.
    pub key: Option<GoldKey>,
}

fn bounded<T>(bytes: &[u8], items: impl Fn(&T) -> usize) -> Option<T>
where
    T: for<'a> Deserialize<'a>,
{
    let read = (bytes.len() <= MOST_BYTES).then(|| serde_json::from_slice::<T>(bytes).ok())??;
    (1..=MOST_ITEMS).contains(&items(&read)).then_some(read)
}

impl Batch {
    /// Canonical JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and lists in a derived struct: serialising it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a brief; `None` if it is none, or has too many items.
    pub fn from_json(bytes: &[u8]) -> Option<Batch> {
        bounded(bytes, |batch: &Batch| batch.items.len())
    }
}

impl Note {
    /// JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // As for a brief.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a note; `None` if it is none.
    pub fn from_json(bytes: &[u8]) -> Option<Note> {
        bounded(bytes, |note: &Note| note.names.len())
    }
}

/// Reads an answer; `None` if it is no list of labels.
pub fn labels(bytes: &[u8]) -> Option<Vec<u16>> {
    bounded(bytes, |labels: &Vec<u16>| labels.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn briefs_and_answers_are_bounded_and_an_answer_is_its_report_s_document() {
        let items = |n: usize| Batch { items: vec![Digest::of(b"a"); n], note: None };
        assert_eq!(Batch::from_json(&items(MOST_ITEMS).to_json()), Some(items(MOST_ITEMS)));
        assert_eq!(Batch::from_json(&items(MOST_ITEMS + 1).to_json()), None);
        assert_eq!(Batch::from_json(&items(0).to_json()), None);
        assert_eq!(Batch::from_json(b"\xff\xd8\xff"), None);
        // A worker may hire for what its brief names, and read it there: never the key to hidden tests.
        let note = Digest::of(b"key");
        let brief = Batch { note: Some(note), ..items(1) };
        let written = String::from_utf8(brief.to_json()).unwrap_or_default();
        assert!(
            !written.contains(&note.to_string()) && written.contains(&Digest::of(b"a").to_string())
        );
        assert_eq!(Batch::from_json(written.as_bytes()), Some(brief));
        let report = market::Report::Labels(vec![281, UNKNOWN]);
        assert_eq!(labels(&report.document().unwrap_or_default()), Some(vec![281, UNKNOWN]));
        assert_eq!(labels(b"[70000]"), None);
    }
}
