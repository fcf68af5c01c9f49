//! `/mine`: the pages on which this home's own person acts, and the sign-in before them.
//!
//! Everybody who reaches the port may read the other pages; what decides over money is for who can
//! read the home. Commands show that by the word in `running.json`; a browser shows a **key** that
//! follows from it (`machina up` and `machina approvals` print the link), and gets a cookie. Both are
//! others after each start of the economy.
//!
//! | what a stranger may try | what stands against it |
//! |---|---|
//! | guess the key | 256 bits, compared without an early end |
//! | read the cookie in a page, or in a service behind a stall | `HttpOnly`, and its path is [`ROOT`]: no other path of this port, and so no stall's service, gets it from a browser |
//! | have the person's browser send a form (another site, another port) | `SameSite=Strict`; a hidden word in each form ([`Person::form`]); `Sec-Fetch-Site` where the browser says it |
//! | draw the page inside another | the frame policy of every page |
//!
//! What remains: a page served under the same host and port with scripts of its own, that is, by a
//! service that this home sells at a stall, could act as the person's browser. And browsers send
//! cookies to a host name whatever the port: another program's server under the same name, on any port,
//! gets this one with each request below [`ROOT`] that the browser is led to make there, and may then ask
//! for a page here, read the form's word in it, and decide (`SECURITY.md`).

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Form, Query, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::api::is_token;
use super::{Assembly, approvals};

/// Below which path all private pages are.
pub const ROOT: &str = "/mine";
/// The largest form, in bytes.
const LARGEST_FORM: usize = 128 * 1024;

/// How this home's person shows who it is.
#[derive(Clone)]
pub struct Person {
    key: String,
    session: String,
    form: String,
    cookie: String,
}

impl Person {
    /// Of the economy that lets commands in by this word, at this port.
    pub fn of(token: &str, port: u16) -> Person {
        let derived = |purpose: &str| {
            let text = format!("machina/person/{purpose}/{token}");
            hex::encode(Sha256::digest(text.as_bytes()))
        };
        Person {
            key: derived("key"),
            session: derived("session"),
            form: derived("form"),
            // Browsers keep cookies by host, whatever the port.
            cookie: format!("machina-{port}"),
        }
    }

    /// The link that opens the private pages.
    pub fn link(&self, base: &str) -> String {
        format!("{base}{ROOT}/enter?key={}", self.key)
    }

    /// The word that each form on a private page has in a hidden field named `form`.
    pub fn form(&self) -> &str {
        &self.form
    }

    /// Whether a form was meant: it has the word, and no other site's page sent it.
    pub fn meant(&self, headers: &HeaderMap, form: &str) -> bool {
        let from = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        is_token(form, &self.form) && matches!(from, None | Some(b"same-origin" | b"none"))
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, value)| name == self.cookie && is_token(value, &self.session))
    }

    fn welcome(&self) -> Response {
        let Person { cookie, session, .. } = self;
        let said = format!("{cookie}={session}; Path={ROOT}; HttpOnly; SameSite=Strict");
        let mut response = Redirect::to(ROOT).into_response();
        match HeaderValue::from_str(&said) {
            Ok(value) => response.headers_mut().insert(header::SET_COOKIE, value),
            Err(_) => None,
        };
        response
    }
}

/// The private pages of an economy that lets commands in by `token`.
pub fn router(assembly: &Arc<Assembly>, token: &str) -> Router {
    let person = Arc::new(Person::of(token, assembly.place.port));
    let pages = Router::new()
        .route(ROOT, get(index))
        .route(approvals::PATH, get(approvals::page).post(approvals::decided))
        .merge(super::work::routes())
        .layer(from_fn_with_state(person.clone(), signed_in))
        .layer(Extension(person.clone()))
        .with_state(assembly.clone());
    Router::new()
        .route(&format!("{ROOT}/enter"), get(enter).post(enter_by_form))
        .with_state(person)
        .merge(pages)
        .layer(DefaultBodyLimit::max(LARGEST_FORM))
        .layer(from_fn(kept_nowhere))
        .layer(from_fn(web::shield))
}

/// Lets the person through, and asks all others for the key.
async fn signed_in(State(person): State<Arc<Person>>, request: Request, next: Next) -> Response {
    match person.is_known(request.headers()) {
        true => next.run(request).await,
        false => (StatusCode::UNAUTHORIZED, web::mine::enter(false)).into_response(),
    }
}

async fn kept_nowhere(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[derive(Deserialize)]
struct Shown {
    key: Option<String>,
}

async fn enter(State(person): State<Arc<Person>>, Query(shown): Query<Shown>) -> Response {
    match shown.key {
        None => web::mine::enter(false).into_response(),
        Some(key) => let_in(&person, &key),
    }
}

async fn enter_by_form(State(person): State<Arc<Person>>, Form(shown): Form<Shown>) -> Response {
    let_in(&person, shown.key.as_deref().unwrap_or("").trim())
}

fn let_in(person: &Person, key: &str) -> Response {
    match is_token(key, &person.key) {
        true => person.welcome(),
        false => (StatusCode::UNAUTHORIZED, web::mine::enter(true)).into_response(),
    }
}

async fn index(State(assembly): State<Arc<Assembly>>) -> Response {
    // Counting reads the disk.
    let errands = tokio::task::spawn_blocking(move || assembly.errands()).await;
    web::mine::index(&errands.unwrap_or_default()).into_response()
}

impl Assembly {
    /// What waits for the person.
    fn errands(&self) -> Vec<web::mine::Errand> {
        let waiting = self.work().map_or(0, |work| web::mine::waiting(&work));
        let work = web::mine::Errand {
            title: "Work for people",
            about: "Jobs that ask for a person, answers to what you asked, and disputes over them.",
            path: super::work::PATH,
            waiting,
        };
        vec![self.approvals_errand(), work]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_its_own_cookie_lets_in() {
        let (person, other) = (Person::of("word", 4020), Person::of("another word", 4020));
        let cookie = |p: &Person| [("cookie", format!("a=b; {}={}", p.cookie, p.session))];
        assert!(person.is_known(&headers(&cookie(&person))));
        assert!(!person.is_known(&headers(&cookie(&other))), "of an earlier start");
        assert!(!person.is_known(&headers(&cookie(&Person::of("word", 4021)))), "of another port");
        assert!(!person.is_known(&headers(&[("cookie", format!("machina-4020={}", person.key))])));
        assert!(!person.is_known(&HeaderMap::new()));
        let set = person.welcome().headers()[header::SET_COOKIE].to_str().unwrap().to_string();
        assert!(set.ends_with("; Path=/mine; HttpOnly; SameSite=Strict"), "{set}");
    }

    #[test]
    fn a_form_from_elsewhere_is_not_meant() {
        let person = Person::of("word", 4020);
        let form = person.form().to_string();
        let from = |site: &str| headers(&[("sec-fetch-site", site.to_string())]);
        assert!(
            person.meant(&from("same-origin"), &form) && person.meant(&HeaderMap::new(), &form)
        );
        for site in ["cross-site", "same-site", ""] {
            assert!(!person.meant(&from(site), &form), "{site}");
        }
        assert!(
            !person.meant(&from("same-origin"), "") && !person.meant(&from("none"), &person.key)
        );
    }
}
