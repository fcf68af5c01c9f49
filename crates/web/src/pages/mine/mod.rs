//! The pages on which this home's own person acts, under `/mine`.
//!
//! This crate draws them and no more: who may see them, and what their forms do, is the affair of
//! whoever serves them, with [`crate::shield`] around. They are not for everyone on this computer:
//! without the sign-in there is only [`enter`].

mod enter;
mod work;

pub use enter::enter;
use maud::{Markup, html};
pub use work::{Act, AskView, AskedFile, Retry, WorkView, asked, waiting, work};

use super::frame::{Live, Place, frame};

/// Something that waits for the person, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errand {
    /// What it is called: `Purchases that ask you`.
    pub title: &'static str,
    /// What is done there, in a sentence.
    pub about: &'static str,
    /// Its page.
    pub path: &'static str,
    /// How many wait.
    pub waiting: u64,
}

/// `/mine`: what there is to do.
pub fn index(errands: &[Errand]) -> Markup {
    let main = html! {
        header.head { h1 { "Yours" } p { "What only you decide" } }
        ul.errands {
            @for errand in errands {
                li {
                    h2 { a href=(errand.path) { (errand.title) } }
                    p { (errand.about) }
                    @match errand.waiting {
                        0 => { p.of { "Nothing waits." } }
                        1 => { p.held.state { "1 waits for you" } }
                        many => { p.held.state { (many) " wait for you" } }
                    }
                }
            }
        }
    };
    frame("Yours", Place::Mine, Live::Still, main)
}
