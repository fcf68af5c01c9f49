//! x402's extensions, one file each: what a seller says beside the price, and what that changes.
//!
//! | extension | seller | buyer |
//! |---|---|---|
//! | [`identifier`] `payment-identifier` | answers a purchase of the same name from the store | names its purchases |
//! | [`receipt`] `offer-receipt` | signs its offers and receipts | checks and keeps the receipt |
//! | [`binding`] `request-binding` | refuses a payment that is bound to another request | binds its payments |
//! | [`sign_in`] `sign-in-with-x` | gives what was bought to who proves to be its buyer | – |
//! | [`listing`] `bazaar` | describes its offer | echoes it, so that facilitators list what is paid for |
//!
//! An [`crate::Offer`] declares ([`Declared`]); what needs a secret or a key belongs to the gate
//! ([`Extras`]). Without either, nothing of this is said or done.

pub mod binding;
pub mod identifier;
pub mod listing;
pub mod receipt;
mod schema;
mod seal;
pub mod sign_in;

use std::fmt;
use std::sync::Arc;

use ledger::Reference;
use money::Party;
use serde_json::{Map, Value, json};

use crate::mpp::Mpp;
use crate::offer::Offer;
use crate::wire::PaymentRequired;

pub use binding::Binding;
pub use identifier::Identifier;
pub use listing::Listing;
pub use receipt::Notary;
pub use seal::Seal;
pub use sign_in::{Doorman, SignIn};

pub(crate) use schema::conforms;

/// The dialect of JSON Schema that extensions are described in.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The most that a buyer echoes of one of a quote's extensions, in bytes of JSON.
const MAX_ECHO: usize = 8 * 1024;

/// What an offer says by extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// Buyers may, or must, name their purchases.
    pub identifier: Option<Identifier>,
    /// Payments may, or must, be bound to their request.
    pub binding: Option<Binding>,
    /// Who has bought may come back for it.
    pub sign_in: Option<SignIn>,
    /// How it wants to be found.
    pub listing: Option<Listing>,
}

impl Declared {
    /// The extensions of an offer's quote that are the same in each; `None` if there are none.
    pub(crate) fn quote(&self, offer: &Offer) -> Option<Map<String, Value>> {
        let mut said = Map::new();
        if let Some(identifier) = &self.identifier {
            said.insert(identifier::NAME.into(), identifier.declaration());
        }
        if let Some(binding) = &self.binding {
            said.insert(binding::NAME.into(), binding.declaration());
        }
        if let Some(listing) = &self.listing {
            said.insert(listing::NAME.into(), listing.declaration(offer));
        }
        Some(said).filter(|said| !said.is_empty())
    }

    pub(crate) fn service_name(&self) -> Option<String> {
        self.listing.as_ref().and_then(|l| l.service_name.clone())
    }

    pub(crate) fn tags(&self) -> Option<Vec<String>> {
        self.listing.as_ref().map(|l| l.tags.clone()).filter(|tags| !tags.is_empty())
    }
}

/// What a gate needs for what is more than x402's core. By default nothing, and nothing is done.
#[derive(Clone, Default)]
pub struct Extras {
    /// Speaks MPP on the same 402.
    pub mpp: Option<Mpp>,
    /// Sign offers and receipts, each for the party whose address it has.
    pub notaries: Vec<Arc<dyn Notary>>,
    /// Knows who comes back.
    pub doorman: Option<Arc<Doorman>>,
}

impl Extras {
    /// Who signs for this seller.
    pub(crate) fn notary_of(&self, payee: Party) -> Option<&dyn Notary> {
        self.notaries.iter().map(AsRef::as_ref).find(|n| Party::from(n.address()) == payee)
    }
}

impl fmt::Debug for Extras {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extras")
            .field("mpp", &self.mpp.is_some())
            .field("notaries", &self.notaries.len())
            .field("doorman", &self.doorman.is_some())
            .finish()
    }
}

/// What a buyer says back of a quote's extensions, with its own name for the purchase where one is
/// asked for. The name tells nothing that the payment does not.
pub(crate) fn echo(quote: &PaymentRequired, purchase: Reference) -> Option<Map<String, Value>> {
    let theirs = quote.extensions.as_ref()?;
    let mut said = echo_listing(quote).unwrap_or_default();
    if let Some(asked) = theirs.get(identifier::NAME).filter(|v| fits(v))
        && let Some(named) = identifier::named(asked, &format!("pay_{purchase}"))
    {
        said.insert(identifier::NAME.into(), named);
    }
    Some(said).filter(|said| !said.is_empty())
}

/// What a buyer says back of how an offer wants to be found.
pub(crate) fn echo_listing(quote: &PaymentRequired) -> Option<Map<String, Value>> {
    let listing = quote.extensions.as_ref()?.get(listing::NAME).filter(|v| fits(v))?;
    Some(Map::from_iter([(listing::NAME.to_string(), listing.clone())]))
}

/// Whether an extension is small enough to be said back.
fn fits(extension: &Value) -> bool {
    extension.to_string().len() <= MAX_ECHO
}

/// Two lists of extensions as one; of a name in both the second counts. `None` if both are empty.
pub(crate) fn with(
    some: Option<Map<String, Value>>,
    more: Option<Map<String, Value>>,
) -> Option<Map<String, Value>> {
    let mut all = some.unwrap_or_default();
    all.extend(more.unwrap_or_default());
    Some(all).filter(|all| !all.is_empty())
}

/// An extension's description: its content, and the schema of that.
fn declaration(info: Value, schema: Value) -> Value {
    json!({ "info": info, "schema": schema })
}
