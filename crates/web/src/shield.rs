//! What every answer carries, and the dress of those that tell of trouble.
//!
//! The policy lets a page load from its own host only, and nothing at all inline: a name that
//! slipped through the escaping would still be text. It is set here, after the handlers, so that
//! no handler can forget it; an answer that already has a stricter policy (a picture) keeps it.

use axum::extract::Request;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::pages::trouble::Trouble;

/// The policy of pages. `data:` pictures and inline styles are not used, and so not allowed.
pub const POLICY: &str = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The policy of pictures, which strangers sent: no script, no plug-in, no origin, if someone
/// should open one by itself.
pub const PICTURE_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

const ALWAYS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    ),
];

/// Dresses trouble for whoever asked, and sets the headers.
pub async fn shield(request: Request, next: Next) -> Response {
    let reads_pages = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let mut response = next.run(request).await;
    if let Some(trouble) = response.extensions_mut().remove::<Trouble>() {
        response = trouble.dressed(reads_pages);
    }
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    headers.entry(header::VARY).or_insert(HeaderValue::from_static("accept"));
    response
}
