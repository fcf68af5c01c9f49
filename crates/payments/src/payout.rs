//! What a market pays out of the money that it keeps for others.
//!
//! The way of a payout: it is held in the books, signed by the market's own key (EIP-3009), carried
//! to the chain, and posted when the chain shows it. The signed order's number follows from the
//! withdrawal's name, so whatever is interrupted is simply done again: the chain makes it once.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, U256, keccak256};
use mandates::{Key, MandateError, Mandates, Payout};
use money::{Amount, Clock, Party};
use settlement::{AuthorizationState, Settlement, SettlementError, SignedAuthorization};
use thiserror::Error;

use crate::exact;

/// How long a signed payout is valid; another one is signed for the same if it ends unused.
const VALIDITY: Duration = Duration::from_secs(15 * 60);
/// How much earlier than now it is valid: the chain's clock may be behind ours.
const EARLIER: Duration = Duration::from_secs(10 * 60);
/// How long its hold stays; it should outlast any time that this home may be shut.
const HELD_FOR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Why a payout is not made yet. It stays held, and doing the same again is always safe.
#[derive(Debug, Error)]
pub enum PayoutError {
    /// The chain did not answer, or the outcome is open.
    #[error(transparent)]
    Chain(#[from] SettlementError),
    /// The books do not take it.
    #[error(transparent)]
    Books(#[from] MandateError),
    /// The chain says that the order was cancelled, which only the market's key can do.
    #[error(
        "the payout of {amount} to {to} was cancelled on the chain: somebody else has the market's key"
    )]
    Cancelled {
        /// Who should have been paid.
        to: Party,
        /// How much.
        amount: Amount,
    },
}

/// A payout that the chain shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaidOut {
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
}

/// Pays what a market's parties take back.
pub struct Cashier {
    key: Key,
    mandates: Mandates,
    chain: Settlement,
    clock: Arc<dyn Clock>,
}

impl Cashier {
    /// A cashier of the market with this key.
    pub fn new(key: Key, mandates: Mandates, chain: Settlement, clock: Arc<dyn Clock>) -> Cashier {
        Cashier { key, mandates, chain, clock }
    }

    /// The payout of this name: what it is called in books and on the chain. `booked` says whether
    /// the receiver has a book here.
    pub fn payout(&self, name: &[u8], to: Party, amount: Amount, booked: bool) -> Payout {
        let number = keccak256([b"machina/market/payout/1".as_slice(), name].concat());
        Payout {
            market: self.key.party(),
            to,
            amount,
            number,
            reference: exact::reference_of(self.key.address(), number, self.chain.token()),
            booked,
            until: self.clock.now().plus(HELD_FOR),
        }
    }

    /// Pays, or finds that it was paid.
    ///
    /// # Errors
    /// [`PayoutError`]; it is still to be paid then.
    pub async fn pay(&self, payout: Payout) -> Result<PaidOut, PayoutError> {
        let held = self.mandates.hold_payout(payout).await?;
        let payout = held.payout();
        let state = match self.look(payout).await? {
            AuthorizationState::Unused => {
                let now = self.clock.now();
                let earlier = now.as_secs().saturating_sub(EARLIER.as_secs());
                let mut order = SignedAuthorization {
                    from: self.key.address(),
                    to: payout.to.into(),
                    value: U256::try_from(payout.amount.minor()).expect("a payout is positive"),
                    valid_after: U256::from(earlier),
                    valid_before: U256::from(now.plus(VALIDITY).as_secs()),
                    nonce: payout.number,
                    signature: Default::default(),
                };
                let token = self.chain.token();
                let (name, version) = (&token.name, &token.version);
                let domain = protocol::dollar_domain(name, version, token.chain_id, token.address);
                let signature = self.key.sign_payout(&held, &exact::order(&order), &domain)?;
                order.signature = signature.as_bytes().to_vec().into();
                self.chain.transfer_with_authorization(&order).await?;
                self.look(payout).await?
            }
            state => state,
        };
        match state {
            AuthorizationState::Used { transaction, block, .. } => {
                self.mandates.settle_payout(&held).await?;
                Ok(PaidOut { transaction, block })
            }
            AuthorizationState::Cancelled => {
                Err(PayoutError::Cancelled { to: payout.to, amount: payout.amount })
            }
            AuthorizationState::Unused => Err(PayoutError::Chain(SettlementError::Unreadable {
                what: "a payout",
                cause: "it was mined, and the chain does not show it".into(),
            })),
        }
    }

    async fn look(&self, payout: &Payout) -> Result<AuthorizationState, SettlementError> {
        self.chain.authorization(self.key.address(), payout.number, 0).await
    }
}
