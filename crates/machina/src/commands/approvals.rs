//! `machina approvals`: what waits for the owner's word, and the word.

use super::print;
use crate::access::Access;
use crate::cli::{Approvals, Arguments};
use crate::failure::Failure;
use crate::report::{ApprovalReport, DecisionOrder};
use crate::say;

pub async fn run(arguments: &Arguments, asked: &Approvals) -> Result<(), Failure> {
    let decision = match (&asked.accept, &asked.refuse) {
        (Some(id), _) => Some((id, true)),
        (None, Some(id)) => Some((id, false)),
        (None, None) => None,
    };
    let access = Access::find(arguments).await?;
    let Some((id, accept)) = decision else {
        let (all, link) = (access.approvals().await, access.person_link());
        access.close().await;
        let all = all?;
        return print(arguments.json, &all, || list(&all, link.as_deref()));
    };
    let order = DecisionOrder { id: id.clone(), accept, why: asked.why.clone() };
    let decided = access.decide(order).await;
    access.close().await;
    let decided = decided?;
    print(arguments.json, &decided, || {
        let next = match accept {
            true => "whoever wanted it may now repeat the same request, once",
            false => "the same purchase is not asked for again before the request's end",
        };
        format!("{}{}\n", decided.text(), say::dim(next))
    })
}

fn list(all: &[ApprovalReport], link: Option<&str>) -> String {
    let (waiting, decided): (Vec<_>, Vec<_>) =
        all.iter().cloned().partition(|one| one.state == "waiting");
    let mut text = String::new();
    if waiting.is_empty() {
        text += "nothing waits for the owner's word\n";
    }
    for one in &waiting {
        text += &one.text();
    }
    if !decided.is_empty() {
        text += &format!("{}\n{}", say::strong("Decided"), ApprovalReport::table(&decided));
    }
    if let Some(link) = link {
        text += &format!("in a browser: {link}\n");
    }
    text
}
