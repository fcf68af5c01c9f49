//! A signed order to move money once: what the ways of signing one have in common.
//!
//! Gate, buyer and bookkeeper follow an order without asking how it was signed: who pays whom, at
//! most how much, until when, under which name it stands in both books, and what the chain says
//! became of it.

use alloy_primitives::{Address, B256, U256};
use ledger::Reference;
use money::Timestamp;
use serde_json::Value;
use settlement::escrow::{CONTRACT, SignedEscrow};
use settlement::{
    AuthorizationState, OrderName, PermitState, Settlement, SettlementError, SignedAuthorization,
    SignedPermit, Token,
};
use thiserror::Error;

use crate::auth_capture::{self, EscrowOrder};
use crate::exact;
use crate::permit;
use crate::wire::PaymentRequirements;

/// An order that its payer signed, and that the chain carries out at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// By the token itself (EIP-3009): exactly the amount that was signed.
    Authorization(SignedAuthorization),
    /// Through Permit2, by one of x402's proxies: exactly the amount, or up to it.
    Permit(SignedPermit),
    /// Into x402's escrow, where what becomes of it is its operator's to say, within its terms.
    Escrow(Box<EscrowOrder>),
}

/// A payload that is no order of the scheme that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Unreadable {
    /// The scheme's own code for it.
    pub code: &'static str,
    message: String,
}

impl Order {
    /// Whether its payer signed with a key of its own, to the token itself; what a contract accepts as
    /// a wallet's signature (EIP-1271) is none.
    pub fn is_by_key(&self, token: &Token) -> bool {
        match self {
            Order::Authorization(order) => exact::signed_by_payer(order, token),
            Order::Permit(_) | Order::Escrow(_) => false,
        }
    }

    /// Reads the payload of a payment under the terms that were accepted: in some schemes they are
    /// a part of what was signed. It is read, not believed: nothing is verified here.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(payload: &Value, terms: &PaymentRequirements) -> Result<Order, Unreadable> {
        let wrong = |reason: exact::Invalid| Unreadable {
            code: reason.code(),
            message: reason.to_string(),
        };
        if terms.scheme == auth_capture::SCHEME {
            let read = auth_capture::read(payload, terms);
            return read
                .map(|order| Order::Escrow(Box::new(order)))
                .map_err(|reason| Unreadable { code: reason.code(), message: reason.to_string() });
        }
        match permit::is_permit(payload) {
            true => permit::read(payload).map(Order::Permit).map_err(wrong),
            false => exact::read(payload).map(Order::Authorization).map_err(wrong),
        }
    }

    /// The escrowed payment, if it is one.
    pub fn escrow(&self) -> Option<&SignedEscrow> {
        match self {
            Order::Escrow(order) => Some(&order.signed),
            Order::Authorization(_) | Order::Permit(_) => None,
        }
    }

    /// The payload of a payment, as this crate writes it: one order, one text.
    pub fn payload(&self) -> Value {
        match self {
            Order::Authorization(order) => exact::write(order),
            Order::Permit(order) => permit::write(order),
            Order::Escrow(order) => auth_capture::write(order),
        }
    }

    /// Who pays.
    pub fn payer(&self) -> Address {
        match self {
            Order::Authorization(order) => order.from,
            Order::Permit(order) => order.payer,
            Order::Escrow(order) => order.signed.payment.payer,
        }
    }

    /// Who is paid.
    pub fn payee(&self) -> Address {
        match self {
            Order::Authorization(order) => order.to,
            Order::Permit(order) => order.payee(),
            Order::Escrow(order) => order.signed.payment.receiver,
        }
    }

    /// The number that makes it usable once; in a payment that is bound, made from the request.
    pub fn nonce(&self) -> B256 {
        match self {
            Order::Authorization(order) => order.nonce,
            Order::Permit(order) => order.nonce().into(),
            // The payer's own part of the salt, from which its terms may derive the rest.
            Order::Escrow(order) => order.salt_nonce.unwrap_or(order.signed.payment.salt).into(),
        }
    }

    /// The most that it can move, in minor units.
    pub fn most(&self) -> U256 {
        match self {
            Order::Authorization(order) => order.value,
            Order::Permit(order) => order.most(),
            Order::Escrow(order) => order.signed.most(),
        }
    }

    /// Whether less than the most may be moved by it, as the work turns out to cost.
    pub fn is_metered(&self) -> bool {
        match self {
            Order::Authorization(_) => false,
            Order::Permit(order) => order.facilitator().is_some(),
            Order::Escrow(_) => true,
        }
    }

    /// Whether it is signed in the way that is asked.
    pub fn is_of(&self, asked: &PaymentRequirements) -> bool {
        let by_permit = asked
            .extra
            .as_ref()
            .is_some_and(|e| e.get(permit::METHOD).is_some_and(|m| m == permit::METHOD_PERMIT2));
        match self {
            Order::Authorization(_) => asked.scheme == exact::SCHEME && !by_permit,
            Order::Permit(order) if order.facilitator().is_some() => asked.scheme == permit::UPTO,
            Order::Permit(_) => asked.scheme == exact::SCHEME && by_permit,
            Order::Escrow(_) => asked.scheme == auth_capture::SCHEME,
        }
    }

    /// The last moment at which it can be used.
    pub fn ends_at(&self) -> Timestamp {
        match self {
            Order::Authorization(order) => exact::ends_at(order),
            Order::Permit(order) => permit::ends_at(order),
            Order::Escrow(order) => auth_capture::ends_at(&order.signed),
        }
    }

    /// The last moment at which its payee can still get money by it.
    pub fn settled_before(&self) -> Timestamp {
        match self.escrow() {
            Some(signed) => Timestamp::from_secs(signed.captured_before()),
            None => self.ends_at(),
        }
    }

    /// Its name in both books: the chain guarantees that it is used once.
    pub fn reference(&self, token: &Token) -> Reference {
        match self {
            Order::Authorization(order) => exact::reference(order, token),
            Order::Permit(order) => permit::reference(order, token.chain_id),
            Order::Escrow(order) => auth_capture::reference(&order.signed, token.chain_id),
        }
    }

    /// What its payer's signature is over (EIP-712).
    pub fn signing_hash(&self, token: &Token) -> B256 {
        match self {
            Order::Authorization(order) => exact::signing_hash(order, token),
            Order::Permit(order) => order.signing_hash(token.chain_id),
            Order::Escrow(order) => order.signed.signing_hash(token),
        }
    }

    /// What became of it, as its payer must take it: what may have been used is never told as
    /// unused or cancelled. Its transaction is searched from the newest block back.
    ///
    /// # Errors
    /// As every reading of the chain; [`SettlementError::Unreadable`] if it is spent and the chain
    /// does not show for what.
    pub async fn state(&self, chain: &Settlement) -> Result<AuthorizationState, SettlementError> {
        match self {
            Order::Authorization(order) => chain.authorization(order.from, order.nonce, 0).await,
            Order::Permit(order) => known(chain.permit_state(order).await?),
            Order::Escrow(order) => {
                let history = chain.escrow_history(&order.signed).await?;
                Ok(match history.collected() {
                    Some(taken) => AuthorizationState::Used {
                        transaction: taken.transaction,
                        block: taken.block,
                        to: CONTRACT,
                        value: history.taken(),
                    },
                    None if history.cancelled => AuthorizationState::Cancelled,
                    None => AuthorizationState::Unused,
                })
            }
        }
    }

    /// What became of it, as its payee must take it: what cannot be seen to have come has not.
    ///
    /// # Errors
    /// As every reading of the chain.
    pub async fn received(
        &self,
        chain: &Settlement,
    ) -> Result<AuthorizationState, SettlementError> {
        match self {
            Order::Authorization(_) => self.state(chain).await,
            Order::Permit(order) => {
                let state = seen(chain.permit_state(order).await?);
                Ok(state.unwrap_or(AuthorizationState::Unused))
            }
            Order::Escrow(order) => {
                let history = chain.escrow_history(&order.signed).await?;
                Ok(match history.capture() {
                    Some(capture) => AuthorizationState::Used {
                        transaction: capture.transaction,
                        block: capture.block,
                        to: order.signed.payment.receiver,
                        value: history.captured(),
                    },
                    None if history.cancelled => AuthorizationState::Cancelled,
                    // All of it went back: nothing can be captured any more.
                    None if history.collected().is_some() && history.capturable().is_zero() => {
                        AuthorizationState::Cancelled
                    }
                    None => AuthorizationState::Unused,
                })
            }
        }
    }
}

/// The name in both books of what the chain says was ordered.
pub fn reference_of(name: OrderName, token: &Token) -> Reference {
    match name {
        OrderName::Authorization { payer, nonce } => {
            exact::reference_of(payer.into(), nonce, token)
        }
        OrderName::Permit { payer, nonce } => {
            permit::reference_of(payer.into(), nonce, token.chain_id)
        }
    }
}

/// What became of a permit, as its payer must take it.
pub(crate) fn known(state: PermitState) -> Result<AuthorizationState, SettlementError> {
    seen(state).ok_or_else(|| SettlementError::Unreadable {
        what: "what became of a payment through Permit2",
        cause: "its number is spent, and no call that can be read tells for what".into(),
    })
}

fn seen(state: PermitState) -> Option<AuthorizationState> {
    match state {
        PermitState::Unused => Some(AuthorizationState::Unused),
        PermitState::Used { transaction, block, to, value } => {
            Some(AuthorizationState::Used { transaction, block, to, value })
        }
        PermitState::Cancelled => Some(AuthorizationState::Cancelled),
        PermitState::Elsewhere => None,
    }
}
