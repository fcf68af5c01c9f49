//! Where each document stands in the file: found in memory, not by an index on the disk.
//!
//! An act's name is a hash, so an index on disk takes each new document at another of its pages,
//! and a group of a hundred writes a hundred pages for some kilobytes. In memory it costs about 80
//! bytes a document, and documents are only ever added at the end of the file.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::evidence::Evidence;
use crate::id::Reference;

/// All documents of a file, by act and stage. Their rows are numbered from 1 without gaps.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    places: Vec<Place>,
    /// The newest row of each act; each row knows the one before.
    newest: HashMap<Reference, u64, RandomState>,
    /// Stages are few and come often, so each is kept once.
    stages: HashMap<Box<str>, u32, RandomState>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    /// The act's row before this one; 0 if this is its first.
    previous: u64,
    stage: u32,
}

impl Shelf {
    /// How many documents there are, which is the newest one's row.
    pub(super) fn len(&self) -> u64 {
        self.places.len() as u64
    }

    /// Notes the next document.
    pub(super) fn add(&mut self, reference: Reference, stage: &str) {
        let stage = match self.stages.get(stage) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.stages.len()).expect("documents are fewer");
                self.stages.insert(stage.into(), number);
                number
            }
        };
        let row = self.len() + 1;
        let previous = self.newest.insert(reference, row).unwrap_or(0);
        self.places.push(Place { previous, stage });
    }

    /// The row of the document that an act has for this document's stage.
    pub(super) fn find(&self, evidence: &Evidence) -> Option<u64> {
        self.row_of(evidence.reference, &evidence.stage)
    }

    /// The row of the document that an act has for a stage.
    pub(super) fn row_of(&self, reference: Reference, stage: &str) -> Option<u64> {
        let stage = *self.stages.get(stage)?;
        self.newest_first(reference).find(|row| self.place(*row).stage == stage)
    }

    /// The rows of an act's documents, in the order in which they were stored.
    pub(super) fn rows_of(&self, reference: Reference) -> Vec<u64> {
        let mut rows: Vec<u64> = self.newest_first(reference).collect();
        rows.reverse();
        rows
    }

    fn newest_first(&self, reference: Reference) -> impl Iterator<Item = u64> {
        std::iter::successors(self.newest.get(&reference).copied(), |row| {
            Some(self.place(*row).previous).filter(|previous| *previous > 0)
        })
    }

    fn place(&self, row: u64) -> Place {
        let at = usize::try_from(row - 1).expect("it is in memory");
        self.places[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(act: u8, stage: &str) -> Evidence {
        Evidence {
            reference: Reference::new([act; 32]),
            stage: stage.into(),
            media_type: "text/plain".into(),
            body: Vec::new(),
        }
    }

    #[test]
    fn each_document_is_found_by_its_act_and_stage() {
        let mut shelf = Shelf::default();
        assert_eq!(shelf.find(&piece(1, "quote")), None);
        for (act, stage) in [(1, "quote"), (2, "quote"), (1, "payment"), (1, "answer")] {
            assert_eq!(shelf.find(&piece(act, stage)), None);
            shelf.add(Reference::new([act; 32]), stage);
        }
        assert_eq!(shelf.len(), 4);
        assert_eq!(shelf.find(&piece(1, "quote")), Some(1));
        assert_eq!(shelf.find(&piece(1, "answer")), Some(4));
        assert_eq!(shelf.find(&piece(2, "answer")), None);
        assert_eq!(shelf.row_of(Reference::new([1; 32]), "payment"), Some(3));
        assert_eq!(shelf.row_of(Reference::new([2; 32]), "payment"), None);
        assert_eq!(shelf.rows_of(Reference::new([1; 32])), [1, 3, 4]);
        assert_eq!(shelf.rows_of(Reference::new([3; 32])), [0; 0]);
    }
}
