//! Escrowed payments on a chain (x402's `auth-capture`): authorize, capture, void, reclaim, refund,
//! charge, and what became of each.
//!
//! All payments of a chain are in one contract at [`CONTRACT`], each named by the hash of its terms
//! ([`PaymentInfo`]). What can be done with one is an [`Act`]: [`Settlement::try_in_escrow`] tries it,
//! [`Settlement::do_in_escrow`] sends it from the address that alone may: the payment's operator,
//! and for [`Act::Reclaim`] its payer. [`Settlement::escrow_history`] tells what became of a payment
//! from the contract's own events; nothing is concluded from what was sent.
//!
//! Amounts are minor units of the payment's token, in 120 bits as the contract counts them.

use std::time::Duration;

use alloy_eips::BlockId;
use alloy_network::TransactionBuilder as _;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::{Filter, Log, TransactionRequest};
use alloy_sol_types::{SolCall as _, SolError as _, SolEvent, SolStruct as _, sol};
use protocol::addresses::{
    AUTH_CAPTURE_ESCROW, ERC3009_PAYMENT_COLLECTOR, OPERATOR_REFUND_COLLECTOR,
    PERMIT2_PAYMENT_COLLECTOR,
};
use protocol::bindings::escrow::AuthCaptureEscrow as Contract;
use protocol::dollar_domain;
use protocol::escrow::{authorization_order, payment_hash, payment_nonce, permit_order};
use protocol::permit2::permit2_domain;

pub use protocol::escrow::PaymentInfo;

use crate::endpoint::failure;
use crate::error::SettlementError;
use crate::search::backwards;
use crate::sender::Receipt;
use crate::token::{PAYMENT_GAS, Settlement, Token};

/// The contract that holds all escrowed payments; the same address on every chain.
pub const CONTRACT: Address = AUTH_CAPTURE_ESCROW;

/// The most gas that one act may take: a payment, and the operator's store with its first one.
pub const ESCROW_GAS: u64 = 2 * PAYMENT_GAS;

/// The most gas where the payer's wallet may have to be made first (EIP-6492).
const WITH_WALLET_GAS: u64 = ESCROW_GAS + crate::wallet::WALLET_GAS;

/// How long before its end a payment may have been collected and still be found. A gate takes no
/// payment that is good for more than its timeout and a day.
const SEARCHED_BEFORE_END: Duration = Duration::from_secs(3 * 24 * 60 * 60);

sol! {
    interface Movable {
        function approve(address spender, uint256 value) external returns (bool);
        function transfer(address to, uint256 value) external returns (bool);
    }
}

/// By whose hand a payer's money comes into the escrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Collector {
    /// The token's own, by EIP-3009 `ReceiveWithAuthorization`.
    Authorization,
    /// Permit2's, by `PermitTransferFrom`.
    Permit,
}

impl Collector {
    /// Its contract: the payee of the order to the token, or the spender of that to Permit2.
    pub const fn address(self) -> Address {
        match self {
            Collector::Authorization => ERC3009_PAYMENT_COLLECTOR,
            Collector::Permit => PERMIT2_PAYMENT_COLLECTOR,
        }
    }
}

/// A payer's signed leave to take a payment into escrow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEscrow {
    /// All terms. The signature is over their hash, so none can be changed.
    pub payment: PaymentInfo,
    /// How the money is taken.
    pub by: Collector,
    /// 65 bytes of a key, what a contract wallet (EIP-1271) accepts, or either wrapped (EIP-6492).
    pub signature: Bytes,
}

impl SignedEscrow {
    /// The payment's name on the chain with this id.
    pub fn hash(&self, chain_id: u64) -> B256 {
        payment_hash(&self.payment, chain_id)
    }

    /// The payer's one-time number: the name of the payment before its payer was known.
    pub fn nonce(&self, chain_id: u64) -> B256 {
        payment_nonce(&self.payment, chain_id)
    }

    /// The most that it can take, in minor units.
    pub fn most(&self) -> U256 {
        U256::from(self.payment.maxAmount)
    }

    /// The Unix second from which on nothing can be taken by it any more.
    pub fn collected_before(&self) -> u64 {
        self.payment.preApprovalExpiry.to()
    }

    /// The Unix second from which on nothing can be captured, and the payer can take it back.
    pub fn captured_before(&self) -> u64 {
        self.payment.authorizationExpiry.to()
    }

    /// The Unix second from which on nothing can be refunded.
    pub fn refunded_before(&self) -> u64 {
        self.payment.refundExpiry.to()
    }

    /// What the payer's signature is over (EIP-712), for a payment in this token.
    pub fn signing_hash(&self, token: &Token) -> B256 {
        match self.by {
            Collector::Authorization => {
                let domain =
                    dollar_domain(&token.name, &token.version, token.chain_id, token.address);
                authorization_order(&self.payment, token.chain_id).eip712_signing_hash(&domain)
            }
            Collector::Permit => permit_order(&self.payment, token.chain_id)
                .eip712_signing_hash(&permit2_domain(token.chain_id)),
        }
    }
}

/// What the operator takes of a capture, in minor units of which the captured amount is the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fee {
    /// How much.
    pub amount: U256,
    /// For whom.
    pub receiver: Address,
}

impl Fee {
    /// The least that a payment's terms allow on a capture of this amount, rounded down as the
    /// contract does: `amount × minFeeBps / 10,000`, for the receiver that the payer signed.
    pub fn least(payment: &PaymentInfo, amount: U256) -> Fee {
        let bps = U256::from(payment.minFeeBps);
        // An amount has 120 bits and a rate 16, so nothing overflows.
        Fee { amount: amount * bps / U256::from(10_000), receiver: payment.feeReceiver }
    }
}

/// Something to do with a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Takes `amount` from the payer into escrow.
    Authorize {
        /// Minor units, at most what was signed.
        amount: U256,
        /// By whose hand.
        by: Collector,
        /// The payer's.
        signature: Bytes,
    },
    /// Takes `amount` from the payer and hands it to the receiver at once, less the fee.
    Charge {
        /// Minor units, at most what was signed.
        amount: U256,
        /// By whose hand.
        by: Collector,
        /// The payer's.
        signature: Bytes,
        /// The operator's.
        fee: Fee,
    },
    /// Hands `amount` of what is in escrow to the receiver, less the fee.
    Capture {
        /// Minor units.
        amount: U256,
        /// The operator's.
        fee: Fee,
    },
    /// Gives the payer all that is not captured.
    Void,
    /// The payer takes all that is not captured, once the time to capture is over.
    Reclaim,
    /// Gives the payer `amount` of what was captured, out of the operator's own pocket.
    Refund {
        /// Minor units.
        amount: U256,
    },
}

impl Act {
    /// Who alone may do it.
    pub fn sender(&self, payment: &PaymentInfo) -> Address {
        match self {
            Act::Reclaim => payment.payer,
            _ => payment.operator,
        }
    }

    fn call(&self, payment: &PaymentInfo) -> Bytes {
        let info = payment.clone();
        match self {
            Act::Authorize { amount, by, signature } => Contract::authorizeCall {
                paymentInfo: info,
                amount: *amount,
                tokenCollector: by.address(),
                collectorData: signature.clone(),
            }
            .abi_encode(),
            Act::Charge { amount, by, signature, fee } => Contract::chargeCall {
                paymentInfo: info,
                amount: *amount,
                tokenCollector: by.address(),
                collectorData: signature.clone(),
                feeAmount: fee.amount,
                feeReceiver: fee.receiver,
            }
            .abi_encode(),
            Act::Capture { amount, fee } => Contract::captureCall {
                paymentInfo: info,
                amount: *amount,
                feeAmount: fee.amount,
                feeReceiver: fee.receiver,
            }
            .abi_encode(),
            Act::Void => Contract::voidCall { paymentInfo: info }.abi_encode(),
            Act::Reclaim => Contract::reclaimCall { paymentInfo: info }.abi_encode(),
            Act::Refund { amount } => Contract::refundCall {
                paymentInfo: info,
                amount: *amount,
                tokenCollector: OPERATOR_REFUND_COLLECTOR,
                collectorData: Bytes::new(),
            }
            .abi_encode(),
        }
        .into()
    }

    fn most_gas(&self) -> u64 {
        match self {
            Act::Authorize { signature, .. } | Act::Charge { signature, .. }
                if crate::wallet::WrappedSignature::read(signature).is_some() =>
            {
                WITH_WALLET_GAS
            }
            _ => ESCROW_GAS,
        }
    }
}

/// How far a payment is, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EscrowState {
    /// Its money was taken from the payer; that happens once.
    pub collected: bool,
    /// In escrow.
    pub capturable: U256,
    /// Captured, and not refunded.
    pub refundable: U256,
}

/// Something that happened to a payment, in a mined block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EscrowEvent {
    /// Which payment.
    pub payment: B256,
    /// What.
    pub what: Happened,
    /// By which transaction.
    pub transaction: B256,
    /// In which block.
    pub block: u64,
    /// The event's index in the block: with the transaction it names the event.
    pub log_index: u64,
}

/// See [`EscrowEvent`]. Amounts are minor units; a fee is a part of its amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// Money came from the payer into escrow.
    Authorized {
        /// How much.
        amount: U256,
    },
    /// Money went from the payer to the receiver.
    Charged {
        /// How much, with the fee.
        amount: U256,
        /// What the operator took of it.
        fee: U256,
    },
    /// Money went from escrow to the receiver.
    Captured {
        /// How much, with the fee.
        amount: U256,
        /// What the operator took of it.
        fee: U256,
    },
    /// Money went from escrow back to the payer, by the operator's will.
    Voided {
        /// How much.
        amount: U256,
    },
    /// Money went from escrow back to the payer, by its own will.
    Reclaimed {
        /// How much.
        amount: U256,
    },
    /// Captured money was given back to the payer.
    Refunded {
        /// How much.
        amount: U256,
    },
}

/// What became of a payment, all of it, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EscrowHistory {
    /// What happened, the oldest first; nothing if it was never collected.
    pub events: Vec<EscrowEvent>,
    /// It was never collected, and its number is spent: it can never be.
    pub cancelled: bool,
}

impl EscrowHistory {
    fn sum(&self, part: impl Fn(&Happened) -> Option<U256>) -> U256 {
        // Each is below 2¹²⁰, and a block has far fewer than 2¹³⁶ events.
        self.events.iter().filter_map(|e| part(&e.what)).fold(U256::ZERO, U256::saturating_add)
    }

    /// The event that took the money from the payer, if one did.
    pub fn collected(&self) -> Option<&EscrowEvent> {
        self.events
            .iter()
            .find(|e| matches!(e.what, Happened::Authorized { .. } | Happened::Charged { .. }))
    }

    /// The last event that brought the receiver money.
    pub fn capture(&self) -> Option<&EscrowEvent> {
        self.events
            .iter()
            .rev()
            .find(|e| matches!(e.what, Happened::Captured { .. } | Happened::Charged { .. }))
    }

    /// Taken from the payer.
    pub fn taken(&self) -> U256 {
        self.sum(|what| match what {
            Happened::Authorized { amount } | Happened::Charged { amount, .. } => Some(*amount),
            _ => None,
        })
    }

    /// Handed over, fees included.
    pub fn captured(&self) -> U256 {
        self.sum(|what| match what {
            Happened::Captured { amount, .. } | Happened::Charged { amount, .. } => Some(*amount),
            _ => None,
        })
    }

    /// What operators took of what was handed over.
    pub fn fees(&self) -> U256 {
        self.sum(|what| match what {
            Happened::Captured { fee, .. } | Happened::Charged { fee, .. } => Some(*fee),
            _ => None,
        })
    }

    /// Gone back from escrow to the payer, voided or reclaimed.
    pub fn returned(&self) -> U256 {
        self.sum(|what| match what {
            Happened::Voided { amount } | Happened::Reclaimed { amount } => Some(*amount),
            _ => None,
        })
    }

    /// Given back to the payer after it was captured.
    pub fn refunded(&self) -> U256 {
        self.sum(|what| match what {
            Happened::Refunded { amount } => Some(*amount),
            _ => None,
        })
    }

    /// Still in escrow.
    pub fn capturable(&self) -> U256 {
        self.taken().saturating_sub(self.captured()).saturating_sub(self.returned())
    }
}

impl Settlement {
    /// Tries an act from the address that alone may do it, without sending it.
    ///
    /// # Errors
    /// [`SettlementError::Reverted`] with what the contract says if it would fail; else as every
    /// reading.
    pub async fn try_in_escrow(
        &self,
        payment: &PaymentInfo,
        act: &Act,
    ) -> Result<(), SettlementError> {
        let request = TransactionRequest::default()
            .with_from(act.sender(payment))
            .with_to(CONTRACT)
            .with_gas_limit(act.most_gas())
            .with_input(act.call(payment));
        let tried = self.provider.call(request).await;
        tried.map(drop).map_err(|e| named(failure(&self.endpoint, "a simulated payment", e)))
    }

    /// Sends an act from the address that alone may do it, and waits until it is mined. Before a
    /// refund it lets the collector of refunds move as much of the operator's money, if it may not
    /// yet: that contract moves it only when the operator itself asks the escrow. Refunds of one
    /// operator are the caller's to make one after the other.
    ///
    /// # Errors
    /// [`SettlementError::NoSuchSender`] if that address is none of ours; else as
    /// [`crate::Sender::send`]. After [`SettlementError::Pending`] ask
    /// [`Settlement::escrow_history`].
    pub async fn do_in_escrow(
        &self,
        payment: &PaymentInfo,
        act: &Act,
    ) -> Result<Receipt, SettlementError> {
        let sender = act.sender(payment);
        if let Act::Refund { amount } = act {
            let allowed = self.token_allowance(sender, OPERATOR_REFUND_COLLECTOR).await?;
            if allowed < *amount && payment.token == self.token().address {
                let (spender, value) = (OPERATOR_REFUND_COLLECTOR, *amount);
                let call = Movable::approveCall { spender, value }.abi_encode().into();
                self.send_from(sender, payment.token, call, PAYMENT_GAS).await?;
            }
        }
        let call = act.call(payment);
        self.send_from(sender, CONTRACT, call, act.most_gas()).await.map_err(named)
    }

    /// The payer takes back what nobody captured in time. A chain that makes blocks only for
    /// transactions tries it as of its newest block, which may be older than the deadline; then a
    /// transfer of nothing to the payer itself makes a block of now, and it is tried once more.
    ///
    /// # Errors
    /// As [`Settlement::do_in_escrow`].
    pub async fn reclaim(&self, payment: &PaymentInfo) -> Result<Receipt, SettlementError> {
        match self.do_in_escrow(payment, &Act::Reclaim).await {
            Err(SettlementError::Reverted { data, transaction: None, .. })
                if data.starts_with(&Contract::BeforeAuthorizationExpiry::SELECTOR) =>
            {
                let call = Movable::transferCall { to: payment.payer, value: U256::ZERO };
                let call = call.abi_encode().into();
                self.send_from(payment.payer, self.token().address, call, PAYMENT_GAS).await?;
                self.do_in_escrow(payment, &Act::Reclaim).await
            }
            other => other,
        }
    }

    /// Whether an account has sent transactions that the node knows and no block has yet.
    ///
    /// # Errors
    /// As every reading.
    pub async fn has_under_way(&self, sender: Address) -> Result<bool, SettlementError> {
        let count = |block| self.provider.get_transaction_count(sender).block_id(block);
        let failed = |e| failure(&self.endpoint, "an account's transactions", e);
        let mined = count(BlockId::latest()).await.map_err(failed)?;
        Ok(count(BlockId::pending()).await.map_err(failed)? > mined)
    }

    /// How far a payment is now, as the contract itself has it.
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Unreadable`] also where the chain has no escrow.
    pub async fn escrow_state(&self, payment: B256) -> Result<EscrowState, SettlementError> {
        let call = Contract::paymentStateCall { paymentInfoHash: payment };
        let state = self.read(CONTRACT, call).await?;
        Ok(EscrowState {
            collected: state.hasCollectedPayment,
            capturable: U256::from(state.capturableAmount),
            refundable: U256::from(state.refundableAmount),
        })
    }

    /// Whether the payer's number for a payment is spent: it was collected, or can never be.
    ///
    /// # Errors
    /// As every reading.
    pub async fn escrow_number_spent(&self, order: &SignedEscrow) -> Result<bool, SettlementError> {
        let nonce = order.nonce(self.token().chain_id);
        match order.by {
            Collector::Authorization => self.authorization_used(order.payment.payer, nonce).await,
            Collector::Permit => self.permit_used(order.payment.payer, nonce.into()).await,
        }
    }

    /// What became of a payment: all its events, from the newest block back to the one that
    /// collected it.
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Pending`] while something happened to it in a block
    /// above [`Settlement::safe_head`], which may vanish; [`SettlementError::Unreadable`] if it was
    /// collected and the chain shows no event of that.
    pub async fn escrow_history(
        &self,
        order: &SignedEscrow,
    ) -> Result<EscrowHistory, SettlementError> {
        let name = order.hash(self.token().chain_id);
        if !self.escrow_state(name).await?.collected {
            // In this order: a number that is spent by collecting is so in the same block.
            let spent = self.escrow_number_spent(order).await?;
            if !spent {
                return Ok(EscrowHistory::default());
            }
            if !self.escrow_state(name).await?.collected {
                return Ok(EscrowHistory { events: Vec::new(), cancelled: true });
            }
        }
        let earliest = order.collected_before().saturating_sub(SEARCHED_BEFORE_END.as_secs());
        let filter = Filter::new().address(CONTRACT).topic1(name);
        // Asked after it was seen to be collected, so that is in a block up to this one.
        let newest = self.block_number().await?;
        let safe = if self.confirmations > 0 { self.safe_head().await? } else { newest };
        let mut events = Vec::new();
        for (first, last) in backwards(0, newest) {
            let mut found = self.events_of(&filter, first, last).await?;
            found.append(&mut events);
            events = found;
            let history = EscrowHistory { events, cancelled: false };
            if history.collected().is_some() {
                return match history.events.iter().find(|e| e.block > safe) {
                    Some(event) => Err(SettlementError::Pending { transaction: event.transaction }),
                    None => Ok(history),
                };
            }
            events = history.events;
            if self.time_of(first).await? < earliest {
                break;
            }
        }
        Err(unreadable("collected, yet no event tells by what".into()))
    }

    /// What happened to any payment in blocks `from..=to`, in order.
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Refused`] if a node finds one block too many.
    pub async fn escrow_events(
        &self,
        from: u64,
        to: u64,
    ) -> Result<Vec<EscrowEvent>, SettlementError> {
        self.events_of(&Filter::new().address(CONTRACT), from, to).await
    }

    /// In fewer blocks at once where a node finds that too many blocks or events.
    async fn events_of(
        &self,
        filter: &Filter,
        from: u64,
        to: u64,
    ) -> Result<Vec<EscrowEvent>, SettlementError> {
        let mut events = Vec::new();
        let (mut first, mut last) = (from, to);
        while first <= to {
            match self.events_within(filter, first, last).await {
                Ok(found) => {
                    events.extend(found);
                    let width = last - first;
                    first = last + 1;
                    last = to.min(first.saturating_add(width));
                }
                Err(SettlementError::Refused { .. }) if first < last => {
                    last = first + (last - first) / 2;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(events)
    }

    async fn events_within(
        &self,
        filter: &Filter,
        from: u64,
        to: u64,
    ) -> Result<Vec<EscrowEvent>, SettlementError> {
        let range = filter.clone().from_block(from).to_block(to).event_signature(vec![
            Contract::PaymentAuthorized::SIGNATURE_HASH,
            Contract::PaymentCharged::SIGNATURE_HASH,
            Contract::PaymentCaptured::SIGNATURE_HASH,
            Contract::PaymentVoided::SIGNATURE_HASH,
            Contract::PaymentReclaimed::SIGNATURE_HASH,
            Contract::PaymentRefunded::SIGNATURE_HASH,
        ]);
        let logs = self.provider.get_logs(&range).await;
        let mut logs = logs.map_err(|e| failure(&self.endpoint, "the escrow's events", e))?;
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        logs.iter().map(event).collect()
    }

    async fn time_of(&self, block: u64) -> Result<u64, SettlementError> {
        let found = self.provider.get_block(BlockId::number(block)).await;
        let found = found.map_err(|e| failure(&self.endpoint, "a block", e))?;
        found
            .map(|b| b.header.timestamp)
            .ok_or_else(|| unreadable("the node does not have a block that it counts".into()))
    }
}

fn event(log: &Log) -> Result<EscrowEvent, SettlementError> {
    fn read<E: SolEvent>(log: &Log) -> Result<E, SettlementError> {
        E::decode_log_validate(&log.inner).map(|l| l.data).map_err(|e| unreadable(e.to_string()))
    }
    let (payment, what) = match log.topic0() {
        Some(&Contract::PaymentAuthorized::SIGNATURE_HASH) => {
            let it = read::<Contract::PaymentAuthorized>(log)?;
            (it.paymentInfoHash, Happened::Authorized { amount: it.amount })
        }
        Some(&Contract::PaymentCharged::SIGNATURE_HASH) => {
            let it = read::<Contract::PaymentCharged>(log)?;
            (it.paymentInfoHash, Happened::Charged { amount: it.amount, fee: it.feeAmount })
        }
        Some(&Contract::PaymentCaptured::SIGNATURE_HASH) => {
            let it = read::<Contract::PaymentCaptured>(log)?;
            (it.paymentInfoHash, Happened::Captured { amount: it.amount, fee: it.feeAmount })
        }
        Some(&Contract::PaymentVoided::SIGNATURE_HASH) => {
            let it = read::<Contract::PaymentVoided>(log)?;
            (it.paymentInfoHash, Happened::Voided { amount: it.amount })
        }
        Some(&Contract::PaymentReclaimed::SIGNATURE_HASH) => {
            let it = read::<Contract::PaymentReclaimed>(log)?;
            (it.paymentInfoHash, Happened::Reclaimed { amount: it.amount })
        }
        Some(&Contract::PaymentRefunded::SIGNATURE_HASH) => {
            let it = read::<Contract::PaymentRefunded>(log)?;
            (it.paymentInfoHash, Happened::Refunded { amount: it.amount })
        }
        other => return Err(unreadable(format!("an event {other:?} that nobody asked for"))),
    };
    let missing = || unreadable("an event is not in a block".into());
    Ok(EscrowEvent {
        payment,
        what,
        transaction: log.transaction_hash.ok_or_else(missing)?,
        block: log.block_number.ok_or_else(missing)?,
        log_index: log.log_index.ok_or_else(missing)?,
    })
}

/// The contract's own name for why it reverted, where it has one.
fn named(error: SettlementError) -> SettlementError {
    error.named_by(Contract::AuthCaptureEscrowErrors::name_by_selector)
}

fn unreadable(cause: String) -> SettlementError {
    SettlementError::Unreadable { what: "the escrow", cause }
}
