//! `machina models`: what machines here work with, where it comes from, and whether it is here.

use labour::{Cache, FetchProgress};
use serde::Serialize;

use super::print;
use crate::cli::{Arguments, Models};
use crate::failure::Failure;
use crate::report::Table;
use crate::say::Progress;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    name: String,
    summary: String,
    licence: String,
    files: Vec<File>,
    cached: bool,
}

#[derive(Serialize)]
struct File {
    package: String,
    version: String,
    bytes: u64,
    sha256: String,
    path: String,
    cached: bool,
}

pub async fn run(arguments: &Arguments, models: &Models) -> Result<(), Failure> {
    let fetch = models.fetch;
    let found = tokio::task::spawn_blocking(move || look(fetch)).await.map_err(Failure::new)??;
    print(arguments.json, &found, || text(&found))
}

fn look(fetch: bool) -> Result<Vec<Model>, Failure> {
    let cache = Cache::from_env()?;
    let mut models = Vec::new();
    for manifest in labour::manifests() {
        if fetch {
            let progress = Progress::start("looking");
            labour::fetch(&cache, manifest, &|p: FetchProgress<'_>| progress.fetching(p))?;
        }
        let status = labour::status(&cache, manifest)?;
        models.push(Model {
            name: manifest.name.clone(),
            summary: manifest.summary.clone(),
            licence: manifest.licence.clone(),
            cached: status.cached,
            files: status
                .files
                .into_iter()
                .map(|f| File {
                    package: f.package,
                    version: f.version,
                    bytes: f.bytes,
                    sha256: f.sha256,
                    path: f.path.display().to_string(),
                    cached: f.cached,
                })
                .collect(),
        });
    }
    Ok(models)
}

fn text(models: &[Model]) -> String {
    let mut table = Table::new(&[false, false, true, false, false]);
    for model in models {
        let bytes: u64 = model.files.iter().map(|f| f.bytes).sum();
        let mut packages: Vec<String> =
            model.files.iter().map(|f| format!("{} {}", f.package, f.version)).collect();
        packages.dedup();
        table.row([
            model.name.clone(),
            packages.join(", "),
            format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
            model.licence.clone(),
            if model.cached { "here" } else { "not here; `machina models --fetch`" }.to_string(),
        ]);
    }
    table.text()
}
