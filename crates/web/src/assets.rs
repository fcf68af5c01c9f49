//! Style, script and mark, compiled into the program and named by their content.
//!
//! The name holds the first twelve hexadecimal digits of the content's SHA-256, so a browser may
//! keep an asset for a year and never has an old one.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::pages::trouble::Trouble;

/// One asset.
pub struct Asset {
    /// Where it is served.
    pub path: String,
    media_type: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(stem: &str, ending: &str, media_type: &'static str, content: &'static str) -> Asset {
        let digest = Sha256::digest(content.as_bytes());
        let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Asset { path: format!("/assets/{stem}.{short}.{ending}"), media_type, content }
    }
}

impl Asset {
    /// What is in it.
    pub fn content(&self) -> &'static str {
        self.content
    }
}

/// The one style sheet.
pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("machina", "css", "text/css; charset=utf-8", include_str!("../assets/machina.css"))
});

/// The script of live pages.
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("live", "js", "text/javascript; charset=utf-8", include_str!("../assets/live.js"))
});

/// The script of the outlook's form.
pub static ASK: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("ask", "js", "text/javascript; charset=utf-8", include_str!("../assets/ask.js"))
});

/// The mark, for a browser's tab.
pub static MARK: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("mark", "svg", "image/svg+xml", include_str!("../assets/mark.svg"))
});

/// `GET /assets/{name}`.
pub async fn asset(Path(name): Path<String>) -> Response {
    let wanted = format!("/assets/{name}");
    match [&*STYLE, &*SCRIPT, &*ASK, &*MARK].into_iter().find(|asset| asset.path == wanted) {
        Some(asset) => (
            [
                (header::CONTENT_TYPE, asset.media_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.content,
        )
            .into_response(),
        None => Trouble::NoSuchPage.into_response(),
    }
}
