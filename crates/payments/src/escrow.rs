//! The operator of escrowed payments: takes them in, and says what becomes of them.
//!
//! [`EscrowAgent`] is what a labour market pays jobs with, and what the facilitator uses itself. Each
//! of its doors may be knocked at again and again: what the chain shows to be done is not done
//! again, and after an outcome that is not clear nothing further is sent for that payment until the
//! chain has told.
//!
//! ```text
//! authorize ─▶ in escrow ─▶ capture(total) ─▶ the receiver's ─▶ refund(total) ─▶ the payer's
//!                  └──────▶ void, or after the deadline reclaim by the payer ──────┘
//! ```
//!
//! Within the terms that the payer signed the operator decides, so an agent belongs to whoever is
//! trusted to judge, and releases a payment on the word of its check alone (invariant 7).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256, U256};
use money::Amount;
use protocol::escrow::payment_hash;
use settlement::escrow::{Act, EscrowHistory, EscrowState, Fee, PaymentInfo, SignedEscrow};
use settlement::{Receipt, Settlement, SettlementError};
use thiserror::Error;

use crate::auth_capture::Invalid;

/// Why something was not done with a payment.
#[derive(Debug, Error)]
pub enum EscrowError {
    /// The chain would not, or did not, do it.
    #[error("the escrow refused: {reason}")]
    Refused {
        /// Why.
        reason: Invalid,
        /// The transaction that failed, if it got that far.
        transaction: Option<B256>,
    },
    /// The payment is not in the state that was told. Look again.
    #[error("the payment has moved on meanwhile: {} is in escrow, {} is captured", found.capturable, found.refundable)]
    Moved {
        /// How far it is.
        found: EscrowState,
    },
    /// More was asked for than the payment has.
    #[error("{asked} minor units were asked for, and the payment has {most}")]
    TooMuch {
        /// What was asked for.
        asked: U256,
        /// What there is.
        most: U256,
    },
    /// The operator sent transactions before this program began, and they are not mined yet. Ask
    /// again: one of them may be what is asked for.
    #[error("the operator's transactions of before are not mined yet")]
    Busy,
    /// The chain did not answer, or the outcome is not known yet. Ask again.
    #[error(transparent)]
    Chain(#[from] SettlementError),
}

/// What an agent knows of a payment that is in somebody's hands.
#[derive(Default)]
struct Desk {
    /// A transaction of which it was not known whether it is mined.
    open: Option<B256>,
}

type Desks = Arc<Mutex<HashMap<B256, Arc<tokio::sync::Mutex<Desk>>>>>;

/// Whoever may move escrowed payments: those whose operator is one of a chain's sending keys.
///
/// Cheap to clone; clones share what they know of transactions under way. A key belongs to one agent.
#[derive(Clone)]
pub struct EscrowAgent {
    chain: Settlement,
    desks: Desks,
    /// Operators of whose transactions none is under way that this agent did not send.
    known: Arc<Mutex<HashSet<Address>>>,
    /// One refund at a time: each is let through for its own amount, and not for another's.
    refunding: Arc<tokio::sync::Mutex<()>>,
}

impl EscrowAgent {
    /// An agent that sends by this chain's keys.
    pub fn new(chain: Settlement) -> EscrowAgent {
        let (desks, known, refunding) = (Desks::default(), Arc::default(), Arc::default());
        EscrowAgent { chain, desks, known, refunding }
    }

    /// Who to name as `captureAuthorizer`.
    pub fn operator(&self) -> Address {
        self.chain.sender()
    }

    /// Whether it may move a payment.
    pub fn operates(&self, payment: &PaymentInfo) -> bool {
        self.chain.senders().contains(&payment.operator)
    }

    /// What became of a payment.
    ///
    /// # Errors
    /// [`EscrowError::Chain`].
    pub async fn history(&self, order: &SignedEscrow) -> Result<EscrowHistory, EscrowError> {
        Ok(self.chain.escrow_history(order).await?)
    }

    /// Takes all that was signed into escrow, unless that was done before. Signature and terms are
    /// the caller's to check, or [`crate::EmbeddedFacilitator`]'s; a wrong one is refused by the
    /// chain without a transaction.
    ///
    /// # Errors
    /// [`EscrowError`].
    pub async fn authorize(&self, order: &SignedEscrow) -> Result<EscrowHistory, EscrowError> {
        let (amount, by) = (order.most(), order.by);
        let act = Act::Authorize { amount, by, signature: order.signature.clone() };
        self.once(order, act, |history| history.collected().is_some()).await
    }

    /// Takes `amount` of what was signed and hands it over at once, for the least fee, unless the
    /// payment was collected before.
    ///
    /// # Errors
    /// [`EscrowError`].
    pub async fn charge(
        &self,
        order: &SignedEscrow,
        amount: Amount,
    ) -> Result<EscrowHistory, EscrowError> {
        let amount = minor(amount, order.most())?;
        let (by, signature) = (order.by, order.signature.clone());
        let fee = Fee::least(&order.payment, amount);
        let act = Act::Charge { amount, by, signature, fee };
        self.once(order, act, |history| history.collected().is_some()).await
    }

    /// Hands over as much that `total` is captured in all, for the least fee: what was captured
    /// before counts, so the same total asked for twice is captured once.
    ///
    /// # Errors
    /// [`EscrowError`]; [`EscrowError::TooMuch`] if less lies in escrow.
    pub async fn capture(
        &self,
        order: &SignedEscrow,
        total: Amount,
    ) -> Result<EscrowHistory, EscrowError> {
        let history = self.history(order).await?;
        let most = history.captured() + history.capturable();
        let total = minor(total, most)?;
        let Some(amount) = total.checked_sub(history.captured()).filter(|a| !a.is_zero()) else {
            return Ok(history);
        };
        let act = Act::Capture { amount, fee: Fee::least(&order.payment, amount) };
        self.from(order, act, &history).await
    }

    /// Gives the payer all that is in escrow; nothing if nothing is.
    ///
    /// # Errors
    /// [`EscrowError`].
    pub async fn void(&self, order: &SignedEscrow) -> Result<EscrowHistory, EscrowError> {
        let history = self.history(order).await?;
        if history.capturable().is_zero() {
            return Ok(history);
        }
        self.from(order, Act::Void, &history).await
    }

    /// Gives back as much that `total` of what was captured is refunded in all, out of the
    /// operator's own pocket.
    ///
    /// # Errors
    /// [`EscrowError`]; [`EscrowError::TooMuch`] if less was captured.
    pub async fn refund(
        &self,
        order: &SignedEscrow,
        total: Amount,
    ) -> Result<EscrowHistory, EscrowError> {
        let history = self.history(order).await?;
        let total = minor(total, history.captured())?;
        let Some(amount) = total.checked_sub(history.refunded()).filter(|a| !a.is_zero()) else {
            return Ok(history);
        };
        self.from(order, Act::Refund { amount }, &history).await
    }

    async fn once(
        &self,
        order: &SignedEscrow,
        act: Act,
        done: impl Fn(&EscrowHistory) -> bool,
    ) -> Result<EscrowHistory, EscrowError> {
        let history = self.history(order).await?;
        if done(&history) {
            return Ok(history);
        }
        match self.act(&order.payment, &act, None).await {
            Ok(_) => self.history(order).await,
            // Somebody was faster: it is done.
            Err(EscrowError::Refused { reason: Invalid::AlreadyCollected, .. }) => {
                self.history(order).await
            }
            Err(error) => Err(error),
        }
    }

    async fn from(
        &self,
        order: &SignedEscrow,
        act: Act,
        history: &EscrowHistory,
    ) -> Result<EscrowHistory, EscrowError> {
        let refundable = history.captured().saturating_sub(history.refunded());
        let expected = Some((history.capturable(), refundable));
        self.act(&order.payment, &act, expected).await?;
        self.history(order).await
    }

    /// Does one thing with a payment, once; with `expected`, only if that much is in escrow, and
    /// that much captured and not refunded. One act a payment at a time. What was begun goes on
    /// to its end when nobody waits for it any more, and the next act on that payment waits.
    ///
    /// # Errors
    /// [`EscrowError`].
    pub async fn act(
        &self,
        payment: &PaymentInfo,
        act: &Act,
        expected: Option<(U256, U256)>,
    ) -> Result<Receipt, EscrowError> {
        let name = payment_hash(payment, self.chain.token().chain_id);
        let desk = {
            let mut desks = self.desks.lock().expect("nothing panics under this lock");
            // Those that nobody is at, and where nothing is open.
            desks.retain(|_, desk| {
                Arc::strong_count(desk) > 1 || desk.try_lock().is_ok_and(|d| d.open.is_some())
            });
            desks.entry(name).or_default().clone()
        };
        let desk = desk.lock_owned().await;
        let (agent, payment, act) = (self.clone(), payment.clone(), act.clone());
        let doing = async move { agent.act_at(desk, name, &payment, &act, expected).await };
        match tokio::spawn(doing).await {
            Ok(done) => done,
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            // The program ends.
            Err(_) => Err(EscrowError::Busy),
        }
    }

    async fn act_at(
        &self,
        mut desk: tokio::sync::OwnedMutexGuard<Desk>,
        name: B256,
        payment: &PaymentInfo,
        act: &Act,
        expected: Option<(U256, U256)>,
    ) -> Result<Receipt, EscrowError> {
        let _refund = match act {
            Act::Refund { .. } => Some(self.refunding.lock().await),
            _ => None,
        };
        if let Some(transaction) = desk.open {
            match self.chain.receipt(transaction).await {
                Ok(None) => return Err(SettlementError::Pending { transaction }.into()),
                Ok(Some(_)) | Err(SettlementError::Reverted { .. }) => desk.open = None,
                Err(error) => return Err(error.into()),
            }
        }
        // A capture of part that was sent before a crash could be mined beside its repetition.
        if matches!(act, Act::Capture { .. } | Act::Refund { .. }) {
            self.know(payment.operator).await?;
        }
        if let Some(expected) = expected {
            let found = self.chain.escrow_state(name).await?;
            if (found.capturable, found.refundable) != expected {
                return Err(EscrowError::Moved { found });
            }
        }
        match self.chain.do_in_escrow(payment, act).await {
            Ok(receipt) => Ok(receipt),
            Err(SettlementError::Reverted { data, transaction: None, .. }) => {
                let reason = Invalid::of_revert(&data).unwrap_or(Invalid::Simulation);
                Err(EscrowError::Refused { reason, transaction: None })
            }
            Err(SettlementError::Reverted { transaction, .. }) => {
                Err(EscrowError::Refused { reason: Invalid::Reverted, transaction })
            }
            Err(SettlementError::Refused { .. }) => {
                Err(EscrowError::Refused { reason: Invalid::Simulation, transaction: None })
            }
            Err(SettlementError::NoSuchSender { .. }) => {
                Err(EscrowError::Refused { reason: Invalid::Operator, transaction: None })
            }
            Err(SettlementError::Pending { transaction }) => {
                desk.open = Some(transaction);
                Err(SettlementError::Pending { transaction }.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl EscrowAgent {
    /// Makes sure, once after a start, that nothing of an operator's is under way from before.
    async fn know(&self, operator: Address) -> Result<(), EscrowError> {
        let is_known =
            || self.known.lock().expect("nothing panics under this lock").contains(&operator);
        if is_known() {
            return Ok(());
        }
        if self.chain.has_under_way(operator).await? {
            return Err(EscrowError::Busy);
        }
        self.known.lock().expect("nothing panics under this lock").insert(operator);
        Ok(())
    }
}

/// An amount as the chain counts it, if it is not above what there is.
fn minor(amount: Amount, most: U256) -> Result<U256, EscrowError> {
    let asked = U256::try_from(amount.minor()).unwrap_or(U256::MAX);
    if asked > most { Err(EscrowError::TooMuch { asked, most }) } else { Ok(asked) }
}
