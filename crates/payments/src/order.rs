//! A signed order to move money once: what the ways of signing one have in common.
//!
//! Gate, buyer and bookkeeper follow an order without asking how it was signed: who pays whom, at
//! most how much, until when, under which name it stands in both books, and what the chain says
//! became of it.

use alloy_primitives::{Address, U256};
use ledger::Reference;
use money::Timestamp;
use serde_json::Value;
use settlement::{AuthorizationState, Settlement, SettlementError, SignedAuthorization, Token};

use crate::exact::{self, Invalid};

/// An order that its payer signed, and that the chain carries out at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// By the token itself (EIP-3009): exactly the amount that was signed.
    Authorization(SignedAuthorization),
}

impl Order {
    /// Reads the payload of a payment. It is read, not believed: nothing is verified here.
    ///
    /// # Errors
    /// [`Invalid::Payload`].
    pub fn read(payload: &Value) -> Result<Order, Invalid> {
        exact::read(payload).map(Order::Authorization)
    }

    /// The payload of a payment, as this crate writes it: one order, one text.
    pub fn payload(&self) -> Value {
        match self {
            Order::Authorization(order) => exact::write(order),
        }
    }

    /// Who pays.
    pub fn payer(&self) -> Address {
        match self {
            Order::Authorization(order) => order.from,
        }
    }

    /// Who is paid.
    pub fn payee(&self) -> Address {
        match self {
            Order::Authorization(order) => order.to,
        }
    }

    /// The most that it can move, in minor units.
    pub fn most(&self) -> U256 {
        match self {
            Order::Authorization(order) => order.value,
        }
    }

    /// Whether less than the most may be moved by it, as the work turns out to cost.
    pub fn is_metered(&self) -> bool {
        match self {
            Order::Authorization(_) => false,
        }
    }

    /// The last moment at which it can be used.
    pub fn ends_at(&self) -> Timestamp {
        match self {
            Order::Authorization(order) => exact::ends_at(order),
        }
    }

    /// Its name in both books: the chain guarantees that it is used once.
    pub fn reference(&self, token: &Token) -> Reference {
        match self {
            Order::Authorization(order) => exact::reference(order, token),
        }
    }

    /// What became of it. Its transaction is searched from the newest block back.
    ///
    /// # Errors
    /// As every reading of the chain.
    pub async fn state(&self, chain: &Settlement) -> Result<AuthorizationState, SettlementError> {
        match self {
            Order::Authorization(order) => chain.authorization(order.from, order.nonce, 0).await,
        }
    }
}
