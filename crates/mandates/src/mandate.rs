//! The document: what an owner allows a machine, under the owner's signature.

use std::fmt;

use alloy_primitives::{Address, B256, Signature, U256};
use alloy_sol_types::{Eip712Domain, SolStruct as _, eip712_domain, sol};
use ledger::{Kind, Reference};
use money::{Amount, Party, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::MandateError;
use crate::key::Key;

/// For whom the machine buys; it decides what a purchase is to the national accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// For a person's own use: final consumption.
    Household,
    /// For what the machine itself sells: used up in production.
    Production,
}

impl Purpose {
    /// The kind of a purchase for this purpose (SNA 2025 §6.224, §9.39: who uses it decides).
    pub const fn kind(self) -> Kind {
        match self {
            Purpose::Household => Kind::FinalHousehold,
            Purpose::Production => Kind::Intermediate,
        }
    }
}

/// What an owner allows a machine to spend of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mandate {
    /// Who may spend.
    pub machine: Party,
    /// Who allows it, and alone can.
    pub owner: Party,
    /// The most for one payment.
    pub per_payment: Amount,
    /// The most in any 24 hours: a sliding window, not a calendar day.
    pub daily: Amount,
    /// The most in all.
    pub lifetime: Amount,
    /// From then on nothing new is allowed.
    pub expires_at: Timestamp,
    /// For whom the machine buys.
    pub purpose: Purpose,
    /// Tells apart two mandates of the same content.
    pub serial: u64,
    /// How much of it goes without asking the owner; all of it if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unasked: Option<Unasked>,
}

/// What a machine may spend without asking its owner. What is more waits for the owner's word, each
/// purchase by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unasked {
    /// The most for one payment; nothing: each one is asked for.
    pub per_payment: Amount,
    /// The most in any 24 hours; what the owner accepted does not count.
    pub daily: Amount,
}

/// A mandate's name: the first 16 hexadecimal digits of its EIP-712 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MandateId([u8; 8]);

impl fmt::Display for MandateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

mod typed {
    use super::sol;

    sol! {
        /// [`super::Mandate`] as its owner's wallet shows and signs it.
        struct Mandate {
            address machine;
            address owner;
            string asset;
            uint256 perPayment;
            uint256 daily;
            uint256 lifetime;
            uint256 expiresAt;
            string purpose;
            uint256 serial;
        }
    }
}

mod typed_asking {
    use super::sol;

    sol! {
        /// [`super::Mandate`] with [`super::Unasked`]: other members, so another type to a wallet.
        /// A mandate without it keeps the name and the signature that it always had.
        struct Mandate {
            address machine;
            address owner;
            string asset;
            uint256 perPayment;
            uint256 daily;
            uint256 lifetime;
            uint256 unaskedPerPayment;
            uint256 unaskedDaily;
            uint256 expiresAt;
            string purpose;
            uint256 serial;
        }
    }
}

pub(crate) const DOMAIN: Eip712Domain = eip712_domain! { name: "Machina Mandate", version: "1", };

impl Mandate {
    /// Checks that the mandate can be meant.
    ///
    /// # Errors
    /// [`MandateError::OwnOwner`], or [`MandateError::Invalid`] with the reason.
    pub fn check(&self) -> Result<(), MandateError> {
        let invalid = |cause: &str| {
            Err(MandateError::Invalid { machine: self.machine, cause: cause.to_string() })
        };
        if self.machine == self.owner {
            return Err(MandateError::OwnOwner { machine: self.machine });
        }
        let asset = self.per_payment.asset();
        if self.daily.asset() != asset || self.lifetime.asset() != asset {
            return invalid("its limits are in different assets");
        }
        if ![self.per_payment, self.daily, self.lifetime].iter().all(Amount::is_positive) {
            return invalid("each limit must be more than nothing");
        }
        let Some(Unasked { per_payment, daily }) = self.unasked else { return Ok(()) };
        if per_payment.asset() != asset || daily.asset() != asset {
            return invalid("what goes without asking is in another asset");
        }
        if per_payment.is_negative() || daily.is_negative() {
            return invalid("what goes without asking cannot be less than nothing");
        }
        if per_payment.minor() > self.per_payment.minor() || daily.minor() > self.daily.minor() {
            return invalid("more would go without asking than is allowed at all");
        }
        Ok(())
    }

    /// What the owner signs (EIP-712).
    pub fn signing_hash(&self) -> B256 {
        let minor = |amount: Amount| {
            U256::try_from(amount.minor()).unwrap_or_default() // checked to be positive by `check`
        };
        let (machine, owner) = (self.machine.into(), self.owner.into());
        let asset = format!("{:?}", self.per_payment.asset());
        let (per_payment, daily, lifetime) =
            (minor(self.per_payment), minor(self.daily), minor(self.lifetime));
        let expires = U256::from(self.expires_at.as_millis());
        let serial = U256::from(self.serial);
        let purpose = match self.purpose {
            Purpose::Household => "household",
            Purpose::Production => "production",
        }
        .to_string();
        match self.unasked {
            None => typed::Mandate {
                machine,
                owner,
                asset,
                perPayment: per_payment,
                daily,
                lifetime,
                expiresAt: expires,
                purpose,
                serial,
            }
            .eip712_signing_hash(&DOMAIN),
            Some(unasked) => typed_asking::Mandate {
                machine,
                owner,
                asset,
                perPayment: per_payment,
                daily,
                lifetime,
                unaskedPerPayment: minor(unasked.per_payment),
                unaskedDaily: minor(unasked.daily),
                expiresAt: expires,
                purpose,
                serial,
            }
            .eip712_signing_hash(&DOMAIN),
        }
    }

    /// The mandate's name.
    pub fn id(&self) -> MandateId {
        let hash = self.signing_hash();
        MandateId(hash[..8].try_into().expect("a hash has more than 8 bytes"))
    }

    /// What ties the mandate's entries and its document together in the journal.
    pub fn reference(&self) -> Reference {
        Reference::derive("mandate", &[self.signing_hash().as_slice()])
    }
}

/// A mandate with its owner's signature. It can be built only by signing or by checking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignedMandate {
    mandate: Mandate,
    signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    mandate: Mandate,
    signature: String,
}

impl SignedMandate {
    /// The owner signs.
    ///
    /// # Errors
    /// As [`Mandate::check`]; [`MandateError::NotSignedByOwner`] if the key is not the owner's.
    pub fn sign(mandate: Mandate, owner: &Key) -> Result<SignedMandate, MandateError> {
        let signature = format!(
            "0x{}",
            alloy_primitives::hex::encode(owner.sign_hash(mandate.signing_hash()).as_bytes())
        );
        SignedMandate::checked(mandate, signature)
    }

    /// Reads a signed mandate from JSON and checks the signature.
    ///
    /// # Errors
    /// [`MandateError::Invalid`] for text that is no mandate; else as [`SignedMandate::sign`].
    pub fn from_json(json: &[u8]) -> Result<SignedMandate, MandateError> {
        let unchecked: Unchecked = serde_json::from_slice(json).map_err(|e| {
            MandateError::Invalid { machine: Address::ZERO.into(), cause: e.to_string() }
        })?;
        SignedMandate::checked(unchecked.mandate, unchecked.signature)
    }

    fn checked(mandate: Mandate, signature: String) -> Result<SignedMandate, MandateError> {
        mandate.check()?;
        let refused =
            MandateError::NotSignedByOwner { machine: mandate.machine, owner: mandate.owner };
        let signer = signature
            .parse::<Signature>()
            .ok()
            .filter(|s| s.normalize_s().is_none()) // high-s: the same signature in another dress
            .and_then(|s| s.recover_address_from_prehash(&mandate.signing_hash()).ok());
        if signer != Some(mandate.owner.into()) {
            return Err(refused);
        }
        Ok(SignedMandate { mandate, signature })
    }

    /// What was signed.
    pub fn mandate(&self) -> &Mandate {
        &self.mandate
    }

    /// The document, as it is kept in the journal.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a mandate is plain data")
    }
}
