//! A signed order to move money once: what the ways of signing one have in common.
//!
//! Gate, buyer and bookkeeper follow an order without asking how it was signed: who pays whom, at
//! most how much, until when, under which name it stands in both books, and what the chain says
//! became of it.

use alloy_primitives::{Address, B256, U256};
use ledger::Reference;
use money::Timestamp;
use serde_json::Value;
use settlement::{
    AuthorizationState, OrderName, PermitState, Settlement, SettlementError, SignedAuthorization,
    SignedPermit, Token,
};

use crate::exact::{self, Invalid};
use crate::permit;
use crate::wire::PaymentRequirements;

/// An order that its payer signed, and that the chain carries out at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// By the token itself (EIP-3009): exactly the amount that was signed.
    Authorization(SignedAuthorization),
    /// Through Permit2, by one of x402's proxies: exactly the amount, or up to it.
    Permit(SignedPermit),
}

impl Order {
    /// Reads the payload of a payment. It is read, not believed: nothing is verified here.
    ///
    /// # Errors
    /// [`Invalid::Payload`].
    pub fn read(payload: &Value) -> Result<Order, Invalid> {
        match permit::is_permit(payload) {
            true => permit::read(payload).map(Order::Permit),
            false => exact::read(payload).map(Order::Authorization),
        }
    }

    /// The payload of a payment, as this crate writes it: one order, one text.
    pub fn payload(&self) -> Value {
        match self {
            Order::Authorization(order) => exact::write(order),
            Order::Permit(order) => permit::write(order),
        }
    }

    /// Who pays.
    pub fn payer(&self) -> Address {
        match self {
            Order::Authorization(order) => order.from,
            Order::Permit(order) => order.payer,
        }
    }

    /// Who is paid.
    pub fn payee(&self) -> Address {
        match self {
            Order::Authorization(order) => order.to,
            Order::Permit(order) => order.payee(),
        }
    }

    /// The number that makes it usable once; in a payment that is bound, made from the request.
    pub fn nonce(&self) -> B256 {
        match self {
            Order::Authorization(order) => order.nonce,
            Order::Permit(order) => order.nonce().into(),
        }
    }

    /// The most that it can move, in minor units.
    pub fn most(&self) -> U256 {
        match self {
            Order::Authorization(order) => order.value,
            Order::Permit(order) => order.most(),
        }
    }

    /// Whether less than the most may be moved by it, as the work turns out to cost.
    pub fn is_metered(&self) -> bool {
        match self {
            Order::Authorization(_) => false,
            Order::Permit(order) => order.facilitator().is_some(),
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
        }
    }

    /// The last moment at which it can be used.
    pub fn ends_at(&self) -> Timestamp {
        match self {
            Order::Authorization(order) => exact::ends_at(order),
            Order::Permit(order) => permit::ends_at(order),
        }
    }

    /// Its name in both books: the chain guarantees that it is used once.
    pub fn reference(&self, token: &Token) -> Reference {
        match self {
            Order::Authorization(order) => exact::reference(order, token),
            Order::Permit(order) => permit::reference(order, token.chain_id),
        }
    }

    /// What its payer's signature is over (EIP-712).
    pub fn signing_hash(&self, token: &Token) -> B256 {
        match self {
            Order::Authorization(order) => exact::signing_hash(order, token),
            Order::Permit(order) => order.signing_hash(token.chain_id),
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
            Order::Permit(order) => {
                known(chain.permit_state(order).await?).ok_or_else(|| SettlementError::Unreadable {
                    what: "what became of a payment through Permit2",
                    cause: "its number is spent, and no call of the proxy tells for what".into(),
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
                let state = known(chain.permit_state(order).await?);
                Ok(state.unwrap_or(AuthorizationState::Unused))
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

fn known(state: PermitState) -> Option<AuthorizationState> {
    match state {
        PermitState::Unused => Some(AuthorizationState::Unused),
        PermitState::Used { transaction, block, to, value } => {
            Some(AuthorizationState::Used { transaction, block, to, value })
        }
        PermitState::Cancelled => Some(AuthorizationState::Cancelled),
        PermitState::Elsewhere => None,
    }
}
