//! A purchase that the mandate lets go only with its owner's word: the request, and what the owner is
//! told of it.
//!
//! Nothing is held or signed while it waits. Whoever wanted the purchase tries the same again: while
//! the owner has not decided it waits on, then it is made, once. The request is for the method, the
//! address, the media type and the body, for whom the quote names as payee, and for at most its price;
//! a quote that changes is another purchase.
//!
//! What needs a word is not paid from a channel: a deposit is not one purchase.

use ledger::Evidence;
use mandates::{ApprovalState, MandateError, Spend, approval_stage};
use money::Amount;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{BuyError, Buyer, Purchase, shown};
use crate::documents;
use crate::wire::{PaymentRequired, PaymentRequirements};

/// The most of an address and of each text that an owner is shown, in characters.
const LONGEST_SHOWN: usize = 2_000;

/// What an owner is told of a purchase that waits: kept with its request, and never public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// The request's method.
    pub method: String,
    /// Where, with its query and without user and password.
    pub url: String,
    /// The body's media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// How long the body is.
    pub bytes: usize,
    /// The body's SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// How the body begins, if it is text; or what is said to an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<String>,
    /// What the seller says that it sells. Nobody has checked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub described: Option<String>,
    /// The scheme by which it was to be paid.
    pub scheme: String,
}

impl Wanted {
    fn of(purchase: &Purchase, quote: &PaymentRequired, terms: &PaymentRequirements) -> Wanted {
        // What is cut says so, or what follows would look like nothing.
        let cut = |text: &str| match text.char_indices().nth(LONGEST_SHOWN) {
            Some((end, _)) => format!("{}… (cut)", &text[..end]),
            None => text.to_owned(),
        };
        let mut url = purchase.url.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        // A text that was cut in the middle of a character is text all the same.
        let head = &purchase.body[..purchase.body.len().min(4 * LONGEST_SHOWN)];
        let begins = match std::str::from_utf8(head) {
            Ok(text) => Some(text),
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&head[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        Wanted {
            method: purchase.verb().to_string(),
            url: cut(url.as_str()),
            media_type: purchase.media_type.as_deref().map(cut),
            bytes: purchase.body.len(),
            sha256: alloy_primitives::hex::encode(Sha256::digest(&purchase.body)),
            begins: purchase
                .agent
                .as_ref()
                .and_then(|agent| agent.words.as_deref())
                .or(begins.filter(|text| !text.is_empty()))
                .map(cut),
            described: quote.resource.description.as_deref().map(cut),
            scheme: cut(&terms.scheme),
        }
    }
}

/// What a purchase is, so that a word for one is no word for another.
pub(super) fn digest(purchase: &Purchase) -> [u8; 32] {
    let mut parts = vec![
        purchase.method.as_str().as_bytes(),
        purchase.url.as_str().as_bytes(),
        purchase.media_type.as_deref().unwrap_or_default().as_bytes(),
        &purchase.body[..],
    ];
    // Which task an agent makes of it is not what is bought.
    let agent = purchase.agent.as_ref();
    parts.extend(
        agent
            .into_iter()
            .flat_map(|agent| [&b"a2a"[..], agent.words.as_deref().unwrap_or_default().as_bytes()]),
    );
    documents::digest(&parts)
}

impl Buyer {
    /// Asks the owner, or says how the request that stands for it is.
    pub(super) async fn ask_owner(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        terms: &PaymentRequirements,
        spend: &Spend,
    ) -> BuyError {
        // A word is for the whole address, so all of it must be seen.
        if purchase.url.as_str().chars().count() > LONGEST_SHOWN {
            return BuyError::NoWayToPay {
                url: shown(&purchase.url).chars().take(200).chain(['…']).collect(),
                cause: format!(
                    "the mandate lets it go only with its owner's word, who is not asked about an address of more than {LONGEST_SHOWN} characters"
                ),
            };
        }
        let wanted = Wanted::of(purchase, quote, terms);
        let explain = |request| -> Vec<Evidence> {
            vec![documents::json(request, approval_stage::REQUEST, &wanted)]
        };
        let asked =
            self.mandates.ask(spend, self.limits.decide_within, self.clock.now(), explain).await;
        match asked {
            Ok(approval) => match approval.state {
                ApprovalState::Refused { .. } => MandateError::Declined(Box::new(approval)),
                _ => MandateError::WaitsForApproval(Box::new(approval)),
            },
            Err(error) => error,
        }
        .into()
    }

    /// Why a purchase that needs a word is not paid from a channel.
    pub(super) fn asks_first(&self, purchase: &Purchase, amount: Amount) -> BuyError {
        BuyError::NoWayToPay {
            url: shown(&purchase.url),
            cause: format!(
                "the mandate lets {amount} go only with its owner's word for that purchase, and a channel is for many; pay it at once, without a scheme or by `exact`"
            ),
        }
    }
}
