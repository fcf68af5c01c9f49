//! The house keeps its own rules: floors, map and papers are tested, not hoped for.
//!
//! `ARCHITECTURE.md` is the source: its map says which crate is on which floor. Everything is read
//! as text, so that this needs nothing but the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest source file, in lines.
const LONGEST_FILE: usize = 900;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn named(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The files below a folder whose names end so, without what was built or installed.
fn files(folder: &Path, ends: &str) -> Vec<PathBuf> {
    const MADE: [&str; 7] = ["target", "node_modules", ".git", ".venv", ".out", "out", "cache"];
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_string();
        if path.is_dir() {
            if !MADE.contains(&name.as_str()) {
                found.extend(files(&path, ends));
            }
        } else if name.ends_with(ends) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Each crate of the map, with its floor: the rows `| 4 | payments | … |`.
fn map() -> BTreeMap<String, u32> {
    let map: BTreeMap<_, _> = text(&root().join("ARCHITECTURE.md"))
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
            let floor = cells.next()?.parse().ok()?;
            let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            Some((name.to_string(), floor))
        })
        .collect();
    assert!(!map.is_empty(), "ARCHITECTURE.md has no rows `| floor | `crate` | … |`");
    map
}

fn crates() -> BTreeSet<String> {
    fs::read_dir(root().join("crates"))
        .expect("crates/")
        .map(|entry| {
            entry.expect("a readable folder").file_name().into_string().expect("plain names")
        })
        .collect()
}

/// What a crate's manifest asks for, in any of its tables of dependencies.
fn dependencies(name: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text(&root().join("crates").join(name).join("Cargo.toml")).lines() {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies");
            found.extend(table.split_once("dependencies.").map(|(_, key)| key.to_string()));
        } else if inside {
            let key: String =
                line.chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            found.extend(Some(key).filter(|key| !key.is_empty()));
        }
    }
    assert!(!found.is_empty() || name == "money", "no dependency of {name} was found");
    found
}

/// The papers of the house, that people read.
fn papers() -> Vec<PathBuf> {
    let mut papers = files(&root(), ".md");
    papers.retain(|path| !named(path).starts_with("crates/"));
    assert!(papers.len() > 5, "only {} papers were found", papers.len());
    papers
}

/// What stands between backticks on one line, outside of blocks of code.
fn quoted(paper: &str) -> Vec<String> {
    let mut code = false;
    let mut found = Vec::new();
    for line in paper.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_string));
        }
    }
    found
}

/// Whether a line of source holds this word, whole.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == word)
}

#[test]
fn every_crate_is_on_the_map_and_the_map_names_no_other() {
    let mapped: BTreeSet<_> = map().into_keys().collect();
    assert_eq!(mapped, crates());
}

#[test]
fn a_crate_imports_only_from_lower_floors() {
    let map = map();
    for (name, floor) in &map {
        for needed in dependencies(name) {
            if let Some(below) = map.get(&needed) {
                assert!(
                    below < floor,
                    "{name} (floor {floor}) imports {needed} (floor {below}); state a trait, and let \
                     machina hand the implementation in"
                );
            }
        }
    }
}

#[test]
fn every_path_that_a_paper_names_exists() {
    let top: BTreeSet<String> = fs::read_dir(root())
        .expect("the repository")
        .map(|e| e.expect("a readable folder").file_name().to_string_lossy().into_owned())
        .collect();
    let mut looked_at = 0;
    for paper in papers() {
        let here = paper.parent().expect("a file is in a folder");
        for word in quoted(&text(&paper)) {
            let path = word.split("::").next().unwrap_or_default();
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            let first = path.split('/').next().unwrap_or_default();
            let ours = path.contains('/') && top.contains(first) && first != "target";
            if plain && ours {
                looked_at += 1;
                let found = root().join(path).exists() || here.join(path).exists();
                assert!(found, "{} names {path}, which is not there", named(&paper));
            }
        }
    }
    assert!(looked_at > 20, "only {looked_at} paths were looked at");
}

#[test]
fn every_test_that_a_paper_names_is_in_its_file() {
    let mut looked_at = 0;
    for paper in papers() {
        for word in quoted(&text(&paper)) {
            let Some((path, name)) = word.split_once("::").filter(|(path, _)| path.contains('/'))
            else {
                continue;
            };
            looked_at += 1;
            let source = text(&root().join(path));
            let there = [format!("fn {name}("), format!("function {name}(")]
                .iter()
                .any(|declared| source.contains(declared.as_str()));
            assert!(there, "{} names {word}, and there is no such test", named(&paper));
        }
    }
    assert!(looked_at > 10, "only {looked_at} tests were looked at");
}

#[test]
fn every_function_that_the_map_names_exists() {
    let sources: Vec<(String, String)> =
        files(&root().join("crates"), ".rs").iter().map(|path| (named(path), text(path))).collect();
    let mut looked_at = 0;
    for word in quoted(&text(&root().join("ARCHITECTURE.md"))) {
        let Some((owner, item)) = word.split_once("::").filter(|(path, _)| !path.contains('/'))
        else {
            continue;
        };
        let item = item.trim_end_matches("()");
        if !item.chars().all(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        looked_at += 1;
        let kinds = ["fn", "struct", "enum", "trait", "mod", "const", "type"];
        let found = sources.iter().any(|(path, source)| {
            let owned = path.starts_with(&format!("crates/{owner}/"))
                || path.ends_with(&format!("/{owner}.rs"))
                || source.lines().any(|line| {
                    (line.starts_with("impl") || line.contains("trait ")) && has_word(line, owner)
                });
            owned
                && source.lines().any(|line| {
                    has_word(line, item) && kinds.iter().any(|kind| has_word(line, kind))
                })
        });
        assert!(found, "ARCHITECTURE.md names {word}, and there is no such thing");
    }
    assert!(looked_at > 10, "only {looked_at} names were looked at");
}

#[test]
fn every_link_between_papers_leads_somewhere() {
    for paper in papers() {
        let here = paper.parent().expect("a file is in a folder");
        for link in text(&paper).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !link.contains("://") {
                assert!(here.join(path).exists(), "{} links to {path}", named(&paper));
            }
        }
    }
}

#[test]
fn every_make_target_that_a_paper_names_is_in_the_makefile() {
    let makefile = text(&root().join("Makefile"));
    for paper in papers() {
        for word in quoted(&text(&paper)) {
            let Some(target) = word.strip_prefix("make ") else { continue };
            let there = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
            assert!(there, "{} names `{word}`", named(&paper));
        }
    }
}

#[test]
fn every_decision_is_in_the_index() {
    let folder = root().join("docs/decisions");
    let index = text(&root().join("docs/README.md"));
    for decision in files(&folder, ".md") {
        let name = decision.file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(index.contains(&format!("(decisions/{name})")), "docs/README.md lacks {name}");
    }
}

#[test]
fn no_source_file_is_too_long_to_have_one_subject() {
    for path in files(&root().join("crates"), ".rs") {
        let lines = text(&path).lines().count();
        assert!(
            lines <= LONGEST_FILE,
            "{} has {lines} lines; {LONGEST_FILE} is the most",
            named(&path)
        );
    }
}

#[test]
fn no_test_is_switched_off() {
    // Written apart, so that this file does not find itself.
    let marks = [concat!("#[ig", "nore"), concat!("FIX", "ME")];
    for path in files(&root().join("crates"), ".rs") {
        let source = text(&path);
        for mark in marks {
            assert!(!source.contains(mark), "{} contains {mark}", named(&path));
        }
    }
}
