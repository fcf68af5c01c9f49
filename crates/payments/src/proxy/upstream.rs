//! The service behind a stall: one base address, asked over HTTP.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::TryStreamExt as _;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use serde_json::json;
use thiserror::Error;

use crate::wire;

/// What describes a connection and not a message (RFC 9110, 7.6.1), and what is ours.
const NOT_PASSED: [HeaderName; 13] = [
    // What is counted as it passes must not be compressed.
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static(wire::PAYMENT_SIGNATURE),
    HeaderName::from_static(wire::PAYMENT_RESPONSE),
];

/// Why an address is no service's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpstreamError {
    /// Not an address of the web.
    #[error("`{0}` is no web address; write it whole, as in http://localhost:11434")]
    NoAddress(String),
    /// It has parts that a base address cannot have.
    #[error("`{0}` has a query or a fragment; the requests bring their own")]
    NotABase(String),
    /// A header that cannot be sent.
    #[error("`{0}` is no header; write it as `Name: value`")]
    Header(String),
}

/// A service, and how it is asked.
#[derive(Debug, Clone)]
pub struct Upstream {
    base: reqwest::Url,
    http: reqwest::Client,
    /// Sent with every request, in place of the buyer's: for example the service's own key.
    headers: HeaderMap,
    /// How long the head of an answer may take to come.
    patience: Duration,
}

impl Upstream {
    /// A service at this address; requests' paths are added to its own.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub fn new(
        base: &str,
        http: reqwest::Client,
        patience: Duration,
    ) -> Result<Upstream, UpstreamError> {
        let said = || base.chars().take(120).collect::<String>();
        let url = reqwest::Url::parse(base)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.host().is_some())
            .ok_or_else(|| UpstreamError::NoAddress(said()))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(UpstreamError::NotABase(said()));
        }
        Ok(Upstream { base: url, http, headers: HeaderMap::new(), patience })
    }

    /// Sends a header with every request, in place of what a buyer sends under its name. Its value
    /// is not shown in logs.
    ///
    /// # Errors
    /// [`UpstreamError::Header`], which does not repeat the value.
    pub fn with_header(mut self, line: &str) -> Result<Upstream, UpstreamError> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let wrong = || UpstreamError::Header(name.chars().take(60).collect());
        let header: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        if value.is_empty() || NOT_PASSED.contains(&header) {
            return Err(wrong());
        }
        value.set_sensitive(true);
        self.headers.insert(header, value);
        Ok(self)
    }

    /// Where it is, without secrets.
    pub fn shown(&self) -> String {
        let mut shown = self.base.clone();
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.to_string()
    }

    /// Sends a request on, and the answer back, both as streams. A service that does not answer is
    /// an answer too: 502, or 504 if it took too long.
    pub async fn forward(&self, request: Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        let Some(url) = self.url_of(&parts.uri) else {
            let said = "a path with `.` or `..` in it is not passed on";
            return say(StatusCode::BAD_REQUEST, "path_refused", said);
        };
        let mut headers = passed(&parts.headers);
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        let has_body = parts.headers.contains_key(header::CONTENT_LENGTH)
            || parts.headers.contains_key(header::TRANSFER_ENCODING)
            || !matches!(parts.method, http::Method::GET | http::Method::HEAD);
        let mut asked = self.http.request(parts.method, url).headers(headers);
        if has_body {
            asked = asked.body(reqwest::Body::wrap_stream(body.into_data_stream()));
        }
        match tokio::time::timeout(self.patience, asked.send()).await {
            Err(_) => {
                tracing::warn!(upstream = self.shown(), "the service takes too long");
                let said = format!("the service took longer than {:?}", self.patience);
                say(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", &said)
            }
            Ok(Err(error)) => {
                // What it says of the address is for the seller, not for buyers.
                tracing::warn!(upstream = self.shown(), error = %error.without_url(), "the service does not answer");
                say(StatusCode::BAD_GATEWAY, "upstream_unreachable", "the service does not answer")
            }
            Ok(Ok(answer)) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = answer.status();
                *response.headers_mut() = passed(answer.headers());
                let stream = answer.bytes_stream().map_err(reqwest::Error::without_url);
                *response.body_mut() = Body::from_stream(stream);
                response
            }
        }
    }

    /// The service's address for a request; `None` if the path would climb out of it.
    fn url_of(&self, uri: &http::Uri) -> Option<reqwest::Url> {
        let climbs = uri.path().split('/').any(|part| {
            let plain = part.to_ascii_lowercase().replace("%2e", ".");
            plain == "." || plain == ".."
        });
        if climbs || uri.path().contains('\\') {
            return None;
        }
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), uri.path()));
        url.set_query(uri.query());
        Some(url)
    }
}

/// The headers that go on: not those of the connection, nor those that it names.
fn passed(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    headers
        .iter()
        .filter(|(name, _)| !NOT_PASSED.contains(name) && !named.iter().any(|n| n == name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// An answer of the stall's own.
pub(super) fn say(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "error": code, "message": message }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream(base: &str) -> Result<Upstream, UpstreamError> {
        Upstream::new(base, reqwest::Client::new(), Duration::from_secs(1))
    }

    fn set_up() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }

    #[test]
    fn an_address_is_a_base_of_the_web() {
        set_up();
        for bad in ["", "localhost:1", "ftp://x/", "file:///etc/passwd", "http://x/?a=1"] {
            assert!(upstream(bad).is_err(), "{bad}");
        }
        assert_eq!(upstream("http://u:p@x/a").unwrap().shown(), "http://x/a");
    }

    #[test]
    fn a_path_is_added_and_cannot_climb_out() {
        set_up();
        let service = upstream("http://x/base/").unwrap();
        let url = |uri: &str| service.url_of(&uri.parse().unwrap()).map(|u| u.to_string());
        assert_eq!(url("/a/b?c=d").as_deref(), Some("http://x/base/a/b?c=d"));
        assert_eq!(url("/").as_deref(), Some("http://x/base/"));
        assert_eq!(url("//evil.example/a").as_deref(), Some("http://x/base//evil.example/a"));
        for climbing in ["/../secret", "/a/%2e%2E/b", "/.%2e/", "/a/.", "/a/.."] {
            assert_eq!(url(climbing), None, "{climbing}");
        }
    }

    #[test]
    fn what_is_the_connections_or_ours_is_not_passed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "1"),
            ("payment-signature", "secret"),
            ("host", "a"),
            ("accept", "text/event-stream"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let passed = passed(&headers);
        assert_eq!(passed.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn a_header_of_the_services_is_checked_and_not_repeated() {
        set_up();
        let service = upstream("http://x").unwrap();
        let good = service.clone().with_header("Authorization: Bearer abc").unwrap();
        assert!(good.headers["authorization"].is_sensitive());
        for bad in ["Authorization", "A b: c", "X: a\nb", "Host: y", "X:"] {
            let said = service.clone().with_header(bad).unwrap_err().to_string();
            assert!(!said.contains("a\nb"), "{said}");
        }
    }
}
