//! `payment-identifier`: a buyer's own name for a purchase.
//!
//! Source: `specs/extensions/payment_identifier.md`. A gate without it already answers the same
//! *payment* from the store; a buyer that lost it, and signs another one for the same purchase,
//! would pay twice. With a name it does not:
//!
//! | name | request and terms | answer |
//! |---|---|---|
//! | new | – | as always |
//! | known | the same | the stored answer; the second payment is not used |
//! | known | another | 409 |
//! | none, and one is required, or one that is none | – | 400 |
//!
//! A name belongs to its payer and this seller: the second payment must be good and signed by who
//! signed the first, so nobody reads or blocks another's purchases by guessing names. It is written
//! in the same instant as the hold, as a document of the name's own reference, of which the journal
//! takes one only. So of two payments of one name at once one is held, and it is known as long as
//! the journal is; there are never more names than held payments.

use alloy_primitives::Address;
use ledger::{Evidence, LedgerError, Reference};
use money::Party;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{DIALECT, declaration};
use crate::documents;
use crate::wire::PaymentRequirements;

/// The extension's name.
pub const NAME: &str = "payment-identifier";
/// The document that a name's reference has: [`Named`].
pub(crate) const STAGE: &str = "seller/named";

const LENGTHS: std::ops::RangeInclusive<usize> = 16..=128;

/// That buyers may name their purchases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Identifier {
    /// Whether they must.
    pub required: bool,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    /// The payment that was held first.
    pub(crate) payment: Reference,
    /// Digest of the terms and the request.
    pub(crate) purchase: String,
}

impl Identifier {
    pub(super) fn declaration(&self) -> Value {
        let schema = json!({
            "$schema": DIALECT,
            "type": "object",
            "properties": {
                "required": { "type": "boolean" },
                "id": {
                    "type": "string",
                    "minLength": LENGTHS.start(),
                    "maxLength": LENGTHS.end(),
                    "pattern": "^[a-zA-Z0-9_-]+$",
                },
            },
            "required": ["required"],
        });
        declaration(json!({ "required": self.required }), schema)
    }

    /// The name in a payment's extensions, if it has one.
    ///
    /// # Errors
    /// What is wrong, in words: there is none and one is required, or it is none.
    pub(crate) fn read<'a>(
        &self,
        extensions: Option<&'a Map<String, Value>>,
    ) -> Result<Option<&'a str>, &'static str> {
        const NONE: &str =
            "this offer asks for a name of the purchase in the extension `payment-identifier`";
        const BAD: &str =
            "a payment identifier has 16 to 128 letters, digits, hyphens and underscores";
        let said = extensions.and_then(|e| e.get(NAME));
        match said.and_then(|said| said.get("info")).and_then(|info| info.get("id")) {
            None | Some(Value::Null) if self.required => Err(NONE),
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(id)) if is_name(id) => Ok(Some(id)),
            Some(_) => Err(BAD),
        }
    }
}

fn is_name(id: &str) -> bool {
    LENGTHS.contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// What was declared, echoed with a name; `None` if it is no declaration.
pub(crate) fn named(declared: &Value, id: &str) -> Option<Value> {
    let mut echoed = declared.clone();
    echoed.get_mut("info")?.as_object_mut()?.insert("id".into(), Value::from(id));
    Some(echoed)
}

/// The reference of a buyer's name at a seller.
pub(crate) fn reference(payee: Party, payer: Address, id: &str) -> Reference {
    Reference::derive(
        "x402/payment-identifier",
        &[payee.as_bytes(), payer.as_slice(), id.as_bytes()],
    )
}

/// What a name is bound to: the terms, and the request by its digest.
pub(crate) fn purchase(terms: &PaymentRequirements, request: &[u8; 32]) -> String {
    let text = |text: &str| text.to_ascii_lowercase().into_bytes();
    let parts = [
        text(&terms.scheme),
        text(&terms.network),
        text(&terms.asset),
        text(&terms.amount),
        text(&terms.pay_to),
        request.to_vec(),
    ];
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    alloy_primitives::hex::encode(documents::digest(&parts))
}

/// The document that makes a name known.
pub(crate) fn document(name: Reference, payment: Reference, purchase: String) -> Evidence {
    documents::json(name, STAGE, &Named { payment, purchase })
}

/// What a name stands for; `None` if it is new.
pub(crate) fn find(ledger: &ledger::Ledger, name: Reference) -> Result<Option<Named>, LedgerError> {
    let documents = ledger.evidence(name)?;
    let named = documents.iter().find(|d| d.evidence.stage == STAGE);
    Ok(named.and_then(|d| serde_json::from_slice(&d.evidence.body).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(id: Value) -> Map<String, Value> {
        let value = json!({ NAME: { "info": { "required": false, "id": id } } });
        value.as_object().unwrap().clone()
    }

    #[test]
    fn names_are_of_16_to_128_plain_characters() {
        let free = Identifier { required: false };
        for good in ["a".repeat(16), "Z".repeat(128), "pay_7d5d747be160-e28".into()] {
            assert_eq!(free.read(Some(&said(json!(good)))), Ok(Some(good.as_str())));
        }
        for bad in ["a".repeat(15), "a".repeat(129), "with a space in it".into(), "ä".repeat(16)] {
            assert!(free.read(Some(&said(json!(bad)))).is_err(), "{bad}");
        }
        assert!(free.read(Some(&said(json!(1)))).is_err());
        assert_eq!(free.read(None), Ok(None));
        assert!(Identifier { required: true }.read(None).is_err());
        assert!(Identifier { required: true }.read(Some(&said(Value::Null))).is_err());
    }

    #[test]
    fn a_name_is_its_payers_at_this_seller() {
        let (shop, ada) = (Party::new([1; 20]), Address::repeat_byte(2));
        let name = reference(shop, ada, "0123456789abcdef");
        assert_ne!(name, reference(Party::new([3; 20]), ada, "0123456789abcdef"));
        assert_ne!(name, reference(shop, Address::repeat_byte(3), "0123456789abcdef"));
    }
}
