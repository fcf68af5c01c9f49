//! Files sorted by kind, with an index of what they say.

use std::collections::{BTreeMap, BTreeSet};

use crate::answer::{Answer, Item};
use crate::quoted::{NAME, quoted};

/// The most words of an index.
const MOST_WORDS: usize = 24;
/// The fewest letters of a word that says something.
const LEAST_LETTERS: usize = 4;
/// Words of four letters and more that stand in every text.
const COMMON: [&str; 40] = [
    "about", "after", "also", "been", "before", "being", "between", "both", "could", "does",
    "each", "every", "from", "have", "here", "into", "just", "like", "made", "more", "most",
    "much", "must", "only", "other", "over", "same", "some", "such", "than", "that", "their",
    "them", "then", "there", "these", "they", "this", "when", "with",
];

/// The files by kind, what they say, and which words stand in which of them, as one text.
pub fn sorted(items: &[Item]) -> String {
    let mut kinds: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut said: Vec<String> = Vec::new();
    let mut words: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for item in items {
        match &item.answer {
            Answer::Kind { description, .. } => {
                kinds.entry(description).or_default().push(quoted(&item.name, NAME));
            }
            Answer::Lines { lines } => {
                said.push(item.sentence());
                for word in lines.iter().flat_map(|line| said_words(line)) {
                    words.entry(word).or_default().insert(&item.name);
                }
            }
            _ => said.push(item.sentence()),
        }
    }
    let mut parts: Vec<String> =
        kinds.into_iter().map(|(kind, names)| format!("{kind}: {}.", names.join(", "))).collect();
    parts.extend(said);
    if !words.is_empty() {
        parts.push(format!("Index: {}.", index(words).join("; ")));
    }
    parts.join(" ")
}

/// The words that say something, small letters.
fn said_words(line: &str) -> impl Iterator<Item = String> {
    let words = line.split(|letter: char| !letter.is_alphabetic());
    words
        .filter(|word| word.chars().count() >= LEAST_LETTERS)
        .map(str::to_lowercase)
        .filter(|word| !COMMON.contains(&word.as_str()))
}

/// Where each word stands. Of too many, the words that stand in the most files, then the longest.
fn index(words: BTreeMap<String, BTreeSet<&str>>) -> Vec<String> {
    let mut words: Vec<(String, BTreeSet<&str>)> = words.into_iter().collect();
    words.sort_by_key(|(word, files)| {
        (std::cmp::Reverse((files.len(), word.chars().count())), word.clone())
    });
    words.truncate(MOST_WORDS);
    words.sort();
    let entry = |(word, files): (String, BTreeSet<&str>)| {
        let files: Vec<String> = files.into_iter().map(|name| quoted(name, NAME)).collect();
        format!("{word} in {}", files.join(", "))
    };
    words.into_iter().map(entry).collect()
}
