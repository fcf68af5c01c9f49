//! When something cannot be shown: one page for each reason, saying what to do.

use axum::Extension;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::frame::{Live, Place, frame};

/// Why there is nothing to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No page has this address.
    NoSuchPage,
    /// No trade has this reference.
    NoSuchTrade,
    /// No job has this name.
    NoSuchJob,
    /// No machine has this name.
    NoSuchMachine,
    /// The trade has no picture that may be shown, or there is no such trade.
    NoSuchPicture,
    /// The place in the list of trades is no number.
    BadPlace,
    /// The page cannot be used with this HTTP method.
    NotAllowed,
    /// Every seat at the live stream is taken. Retrying helps.
    Busy,
    /// As many questions about the future are being computed as may be. Retrying helps.
    Thinking,
    /// The question is longer than any that makes sense.
    LongQuestion,
    /// The economy could not answer.
    Broken,
}

/// That there is no such job, for pages that are served elsewhere within [`shield`](crate::shield).
pub fn no_such_job() -> Response {
    Trouble::NoSuchJob.into_response()
}

/// That the economy could not answer, likewise.
pub fn broken() -> Response {
    Trouble::Broken.into_response()
}

impl Trouble {
    /// The status, what happened, and what to do.
    fn told(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Trouble::NoSuchPage => (
                StatusCode::NOT_FOUND,
                "There is no such page",
                "The address may be mistyped. Everything there is begins at the square.",
            ),
            Trouble::NoSuchTrade => (
                StatusCode::NOT_FOUND,
                "There is no such trade",
                "A reference is 0x and up to 64 hexadecimal digits. This economy's books hold no \
                 trade under the one asked for; it may belong to another economy.",
            ),
            Trouble::NoSuchJob => (
                StatusCode::NOT_FOUND,
                "There is no such job",
                "A job's name has 32 hexadecimal digits. This market knows none under the one asked \
                 for; the market's page lists those it knows.",
            ),
            Trouble::NoSuchMachine => (
                StatusCode::NOT_FOUND,
                "There is no such machine",
                "The square lists every machine of this economy and what it sells.",
            ),
            Trouble::NoSuchPicture => (
                StatusCode::NOT_FOUND,
                "There is no such picture",
                "The trade had none, or none that may be shown: only JPEG, PNG and WebP are.",
            ),
            Trouble::BadPlace => (
                StatusCode::BAD_REQUEST,
                "That place cannot be understood",
                "A place in the trades is a whole number, such as 120. Begin with the newest.",
            ),
            Trouble::NotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "These pages can only be read",
                "Use GET. Machines are paid at their own addresses, which the square lists.",
            ),
            Trouble::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many are watching",
                "Every seat at the live stream is taken. The page itself works; the stream will \
                 be tried again.",
            ),
            Trouble::Thinking => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many are asking",
                "The outlook computes two answers at a time, and others came first. Ask again in a \
                 moment; what was answered once is answered at once.",
            ),
            Trouble::LongQuestion => (
                StatusCode::URI_TOO_LONG,
                "That question is too long",
                "A question to the outlook has at most 4,096 characters: a horizon, a scenario, a \
                 value for each driver, a target.",
            ),
            Trouble::Broken => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The economy could not answer",
                "Nothing was changed. Try again; if it stays, the program's log says why.",
            ),
        }
    }

    /// The whole answer: a page for a browser, two lines for anything else.
    pub fn dressed(self, reads_pages: bool) -> Response {
        let (status, happened, hint) = self.told();
        let mut response = if reads_pages {
            (status, self.page(status, happened, hint)).into_response()
        } else {
            (status, format!("{happened}.\n{hint}\n")).into_response()
        };
        let headers = response.headers_mut();
        match self {
            Trouble::Thinking => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            Trouble::Busy => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
            }
            Trouble::NotAllowed => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            _ => {}
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn page(self, status: StatusCode, happened: &str, hint: &str) -> Markup {
        let main = html! {
            section.trouble {
                p.serial { (status.as_u16()) }
                h1 { (happened) }
                p { (hint) }
                p.ways {
                    a href="/" { "The square" }
                    a href="/trades" { "All trades" }
                }
            }
        };
        frame(happened, Place::Elsewhere, Live::Still, main)
    }
}

impl IntoResponse for Trouble {
    /// The bare status, with the trouble beside it: how it is told depends on who asked, which
    /// [`crate::shield`] knows.
    fn into_response(self) -> Response {
        (self.told().0, Extension(self)).into_response()
    }
}
