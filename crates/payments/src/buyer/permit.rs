//! The buyer's way through Permit2: what it takes, and the approval that goes along.

use alloy_primitives::{Address, B256, Signature, U256};
use alloy_sol_types::Eip712Domain;
use mandates::{Held, MandateError};
use protocol::addresses::{X402_EXACT_PERMIT2_PROXY, X402_UPTO_PERMIT2_PROXY};
use protocol::permit2::{
    ExactOrder, ExactWitness, Permit, TokenPermissions, UptoOrder, UptoWitness,
};
use serde_json::{Map, Value};
use settlement::escrow::Collector;
use settlement::{PermitOrder, SignedPermit};

use super::{BuyError, Buyer};
use crate::auth_capture;
use crate::offer::PaymentFlow;
use crate::permit;
use crate::sponsoring;
use crate::wire::{PaymentRequired, PaymentRequirements};

/// How a payment is signed. The order of preference at the same price: what moves exactly the
/// price and needs no approval comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    /// An order to the token itself (EIP-3009).
    Token,
    /// An order to x402's proxy, for exactly the price.
    Permit,
    /// An order to x402's proxy, for up to the price.
    UpTo {
        /// Who settles it.
        facilitator: Address,
    },
    /// An order into x402's escrow, from where the price or less is captured.
    Escrow {
        /// Through Permit2, not to the token.
        by_permit: bool,
    },
}

impl By {
    /// How terms want to be signed.
    pub(crate) fn of(terms: &PaymentRequirements) -> Result<By, String> {
        if PaymentFlow::of(terms).is_none() {
            return Err("it moves the money at a moment that its scheme does not know".into());
        }
        if terms.scheme == auth_capture::SCHEME {
            let by = auth_capture::method(terms).map_err(|reason| reason.to_string())?;
            return Ok(By::Escrow { by_permit: by == Collector::Permit });
        }
        let extra = |key: &str| terms.extra.as_ref().and_then(|e| e.get(key)?.as_str());
        match (terms.scheme.as_str(), extra(permit::METHOD)) {
            (crate::exact::SCHEME, None | Some("eip3009")) => Ok(By::Token),
            (crate::exact::SCHEME, Some(permit::METHOD_PERMIT2)) => Ok(By::Permit),
            (permit::UPTO, None | Some(permit::METHOD_PERMIT2)) => {
                let facilitator = extra(permit::FACILITATOR).and_then(|f| f.parse().ok());
                match facilitator.filter(|f: &Address| !f.is_zero()) {
                    Some(facilitator) => Ok(By::UpTo { facilitator }),
                    None => Err("it does not say who settles a payment of scheme `upto`".into()),
                }
            }
            (scheme, method) => {
                let said: String = method.unwrap_or(scheme).chars().take(80).collect();
                Err(format!("the scheme `{said}` is not spoken here"))
            }
        }
    }
}

/// What Permit2 needs before it can take a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Approval {
    /// Nothing: it is approved, or not asked.
    There,
    /// An approval by signature, sent along.
    Along,
}

impl Buyer {
    /// Whether Permit2 may take that much from us, or could by an approval that the seller's
    /// facilitator carries.
    pub(super) async fn approval(
        &self,
        quote: &PaymentRequired,
        terms: &PaymentRequirements,
        by: By,
        amount: U256,
    ) -> Result<Approval, String> {
        match by {
            By::Token | By::Escrow { by_permit: false } => Ok(Approval::There),
            By::Permit | By::UpTo { .. } => self.permit2_approval(quote, terms, amount, true).await,
            // The escrow's collector takes no approvals along.
            By::Escrow { by_permit: true } => {
                self.permit2_approval(quote, terms, amount, false).await
            }
        }
    }

    /// As [`Buyer::approval`], of what goes through Permit2; `may_travel` if an approval may go
    /// along.
    pub(crate) async fn permit2_approval(
        &self,
        quote: &PaymentRequired,
        terms: &PaymentRequirements,
        amount: U256,
        may_travel: bool,
    ) -> Result<Approval, String> {
        let token = self.chain.token().address;
        let us = self.key.address();
        let allowed = self.chain.allowed_to_permit2(token, us).await;
        if allowed.map_err(|e| format!("the chain cannot tell whether Permit2 is approved: {e}"))?
            >= amount
        {
            return Ok(Approval::There);
        }
        let carried =
            quote.extensions.as_ref().is_some_and(|e| e.contains_key(sponsoring::BY_SIGNATURE));
        let tells = |key: &str| terms.extra.as_ref().is_some_and(|e| e.contains_key(key));
        if !may_travel || !carried || !tells("name") || !tells("version") {
            return Err(format!(
                "this machine has not approved Permit2 for {}, and the seller does not carry an approval; approve {} once for it",
                self.chain.token().asset,
                protocol::addresses::PERMIT2
            ));
        }
        match self.chain.approval_nonce(us).await {
            Ok(_) => Ok(Approval::Along),
            Err(error) => {
                Err(format!("the token takes no approvals by signature (EIP-2612): {error}"))
            }
        }
    }

    /// The order to sign, for at most `amount` minor units.
    pub(super) fn permit(
        &self,
        by: By,
        payee: Address,
        amount: U256,
        nonce: B256,
        from: u64,
        ends: u64,
    ) -> Option<SignedPermit> {
        let permitted = TokenPermissions { token: self.chain.token().address, amount };
        let nonce = nonce.into();
        let deadline = U256::from(ends);
        let valid_after = U256::from(from);
        let order = match by {
            By::Token | By::Escrow { .. } => return None,
            By::Permit => PermitOrder::Exact(ExactOrder {
                permitted,
                spender: X402_EXACT_PERMIT2_PROXY,
                nonce,
                deadline,
                witness: ExactWitness { to: payee, validAfter: valid_after },
            }),
            By::UpTo { facilitator } => PermitOrder::Upto(UptoOrder {
                permitted,
                spender: X402_UPTO_PERMIT2_PROXY,
                nonce,
                deadline,
                witness: UptoWitness { to: payee, facilitator, validAfter: valid_after },
            }),
        };
        Some(SignedPermit { payer: self.key.address(), order, signature: Default::default() })
    }

    /// Signs a held order through Permit2.
    pub(super) fn sign_permit(
        &self,
        permit: &mut SignedPermit,
        held: &Held,
    ) -> Result<(), BuyError> {
        let chain_id = self.chain.token().chain_id;
        let signature = match &permit.order {
            PermitOrder::Exact(order) => self.key.sign_exact_permit(held, order, chain_id)?,
            PermitOrder::Upto(order) => self.key.sign_upto_permit(held, order, chain_id)?,
        };
        permit.signature = signature.as_bytes().to_vec().into();
        Ok(())
    }

    /// The extensions with the approval that what is held needs: what the quote declared, and what
    /// `sign` makes of an approval of `value` minor units until `deadline`, in Unix seconds.
    pub(crate) async fn approval_along(
        &self,
        quote: &PaymentRequired,
        value: U256,
        deadline: U256,
        sign: impl FnOnce(&Permit, &Eip712Domain) -> Result<Signature, MandateError>,
    ) -> Result<Map<String, Value>, BuyError> {
        let token = self.chain.token();
        let owner = self.key.address();
        let nonce =
            self.chain.approval_nonce(owner).await.map_err(|error| BuyError::NoWayToPay {
                url: quote.resource.url.chars().take(200).collect(),
                cause: format!("the chain does not tell the number of the next approval: {error}"),
            })?;
        let spender = protocol::addresses::PERMIT2;
        let approval = Permit { owner, spender, value, nonce, deadline };
        let domain =
            protocol::dollar_domain(&token.name, &token.version, token.chain_id, token.address);
        let signature = sign(&approval, &domain)?.as_bytes().to_vec().into();
        let mut extensions = sponsoring::write(&approval, token.address, &signature);
        // What the seller said of the extension is echoed and added to, never replaced.
        let declared = quote
            .extensions
            .as_ref()
            .and_then(|e| e.get(sponsoring::BY_SIGNATURE)?.get("info")?.as_object());
        if let Some(info) = extensions
            .get_mut(sponsoring::BY_SIGNATURE)
            .and_then(|e| e.get_mut("info")?.as_object_mut())
        {
            for (key, value) in declared.into_iter().flatten().take(16) {
                info.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        Ok(extensions)
    }
}
