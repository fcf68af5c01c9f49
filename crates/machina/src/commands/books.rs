//! `machina books [PARTY]`: what a party owns, earned and spent.

use super::print;
use crate::access::Access;
use crate::cli::{Arguments, Books};
use crate::failure::Failure;

pub async fn run(arguments: &Arguments, wanted: &Books) -> Result<(), Failure> {
    let access = Access::find(arguments).await?;
    let entries = if wanted.party.is_some() || arguments.json { wanted.entries } else { 0 };
    let books = access.books(wanted.party.as_deref(), entries).await;
    access.close().await;
    let books = books?;
    print(arguments.json, &books, || {
        let each = books.iter().map(|b| format!("{}{}", b.text(), b.entries_text()));
        each.collect::<Vec<_>>().join("\n")
    })
}
