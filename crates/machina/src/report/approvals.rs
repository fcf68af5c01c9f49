//! What waits for an owner's word, as commands and pages tell it.

use mandates::Approval;
use money::{Amount, Party, Timestamp};
use payments::buyer::Wanted;
use serde::{Deserialize, Serialize};

use super::Table;
use crate::say;

/// A purchase that waits, or waited, for its owner's word.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalReport {
    /// What people call it.
    pub id: String,
    /// Its name in the journal.
    pub reference: String,
    /// `waiting`, `accepted`, `used`, `refused` or `expired`.
    pub state: String,
    /// Who wants to buy.
    pub machine: String,
    /// Who decides.
    pub owner: String,
    /// Who is paid.
    pub payee: Party,
    /// What the payee is called here.
    pub payee_name: String,
    /// The most that it may cost.
    pub amount: Amount,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Until when it may be decided.
    pub decide_by: Timestamp,
    /// Until when it may be used, once it is accepted.
    pub use_by: Timestamp,
    /// The payment that used it; its page is `/trades/PAYMENT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
    /// What is to be bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Wanted>,
}

/// What a caller is told whose purchase waits, beside the words.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingReport {
    /// What people call the request.
    pub id: String,
    /// `waiting` or `refused`.
    pub state: String,
    /// Who is paid.
    pub payee: Party,
    /// The most that it may cost.
    pub amount: Amount,
    /// Until when it may be decided; after a refusal, from when on it can be asked for again.
    pub decide_by: Timestamp,
}

impl WaitingReport {
    /// Of a request.
    pub fn of(approval: &Approval) -> WaitingReport {
        WaitingReport {
            id: approval.id(),
            state: approval.state.as_str().into(),
            payee: approval.payee,
            amount: approval.amount,
            decide_by: approval.decide_by,
        }
    }
}

/// What an owner says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecisionOrder {
    /// The request, by its name or the first digits of it.
    pub id: String,
    /// Yes or no.
    pub accept: bool,
    /// Why, if it is no.
    #[serde(default)]
    pub why: String,
}

impl ApprovalReport {
    /// The request as a person reads it.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}  {}  at most {} to {}\n",
            say::strong(&self.id),
            self.state,
            self.amount,
            self.payee_name
        );
        if let Some(wanted) = &self.wanted {
            text += &format!("  {} {}\n", wanted.method, say::plain(&wanted.url));
            if wanted.bytes > 0 {
                let kind = say::plain(wanted.media_type.as_deref().unwrap_or("bytes"));
                text +=
                    &format!("  with {} bytes ({kind}), sha256 {}\n", wanted.bytes, wanted.sha256);
            }
            if let Some(begins) = &wanted.begins {
                let shown: String = begins.chars().take(280).collect();
                let cut = if shown.len() < begins.len() { "…" } else { "" };
                text += &format!("  which begin: {}{cut}\n", say::plain(&shown));
            }
        }
        match self.state.as_str() {
            "waiting" => text += &format!("  decide until {}\n", self.decide_by),
            "accepted" => text += &format!("  may be bought until {}\n", self.use_by),
            _ => {}
        }
        text
    }

    /// Several, in a table.
    pub fn table(all: &[ApprovalReport]) -> String {
        let mut table = Table::new(&[false, false, true, false, false]);
        for one in all {
            let url = one.wanted.as_ref().map_or(String::new(), |wanted| say::plain(&wanted.url));
            let row = [&one.id, &one.state, &one.amount.to_string(), &one.payee_name, &url];
            table.row(row.map(ToString::to_string));
        }
        table.text()
    }
}
