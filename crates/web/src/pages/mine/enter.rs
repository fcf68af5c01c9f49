//! `/mine/enter`: who this home's person is.

use maud::{Markup, html};

use super::super::frame::{Live, Place, frame};

/// The page that asks for the key; `wrong` if one was given that is not it.
pub fn enter(wrong: bool) -> Markup {
    let main = html! {
        section.enter {
            h1 { "Is this economy yours?" }
            @if wrong {
                p.failed.state role="alert" { "That is not the key. It is another one after each start of the economy." }
            }
            p { "These pages are for its person alone. This command, in a terminal of the same user, prints a link that opens them:" }
            pre tabindex="0" { code { "machina approvals" } }
            form method="post" action="/mine/enter" {
                label for="key" { "Or the key at the end of that link:" }
                input #key name="key" type="password" autocomplete="off" required maxlength="100";
                button type="submit" { "Open" }
            }
        }
    };
    frame("Yours", Place::Mine, Live::Still, main)
}
