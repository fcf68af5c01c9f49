//! The sample photographs: six pictures that are free to use and to show.

use std::path::PathBuf;

use crate::LabourError;
use crate::cache::Cache;
use crate::fetch::{FetchProgress, fetch};
use crate::manifest::manifest;

/// One sample photograph in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photograph {
    /// The file, verified.
    pub path: PathBuf,
    /// Its name, e.g. `coffee.png`.
    pub name: String,
    /// What it shows, for people.
    pub title: String,
    /// Who made it. Show it wherever the picture is shown.
    pub credit: String,
    /// Its licence.
    pub licence: String,
}

/// The sample photographs, fetched if they are not here, in a fixed order.
///
/// # Errors
/// As [`fetch`].
pub fn sample_photographs(
    cache: &Cache,
    progress: &dyn Fn(FetchProgress<'_>),
) -> Result<Vec<Photograph>, LabourError> {
    let fetched = fetch(cache, manifest("sample-photographs")?, progress)?;
    let photographs = fetched.files().iter().map(|(path, file)| Photograph {
        path: path.clone(),
        name: file.name.clone(),
        title: file.title.clone().unwrap_or_else(|| file.name.clone()),
        credit: file.credit.clone().unwrap_or_default(),
        licence: file.licence.clone().unwrap_or_default(),
    });
    Ok(photographs.collect())
}
