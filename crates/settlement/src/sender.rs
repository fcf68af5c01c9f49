//! Sending transactions from one key, many at a time.
//!
//! The chain orders a key's transactions by nonce: two with the same nonce collide, and one that
//! is missing blocks all that follow. So nonces are handed out here, under one lock, and each one
//! is either used, given back, or filled with an empty transaction; callers never see them.
//!
//! Order: estimate (which simulates, so what would revert is never sent) → take a nonce → sign →
//! broadcast → wait → broadcast again. Every wait is bounded by [`SenderLimits::wait`].
//!
//! What is not mined after [`SenderLimits::resend_after`] is sent again, since the node may have
//! dropped it. The lowest nonce in flight, on which all others wait, is signed anew with higher
//! fees, a bounded number of times; whichever version is mined is the transaction. If the node
//! counts less than that nonce, a block of ours was forgotten or another program's transaction was
//! dropped: what is missing is sent again, or filled with an empty transaction.
//!
//! From the nonce on, the work is a task of its own: a caller who gives up leaves no gap behind. A
//! transaction whose fate is open at the end is kept, and its bytes are sent again before the next
//! one and by [`Sender::tend`], because the node may never have had it and would then wait for it
//! for ever.
//!
//! **Reorganisations.** A receipt counts once [`SenderLimits::confirmations`] blocks stand on its
//! block; until then, a transaction whose block vanished is sent again. One whose block vanishes
//! after it counted was reported as mined and is not followed any more. Its bytes are still sent
//! again when a later transaction of the same key finds it missing; whether it came back, the
//! chain alone tells ([`crate::Settlement::authorization`], [`crate::Settlement::movements`]).

mod delivery;
mod nonces;
mod voyage;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use alloy_consensus::TxEip1559;
use alloy_eips::eip1559::Eip1559Estimation;
use alloy_json_rpc::RpcError;
use alloy_network::{Ethereum, TransactionBuilder as _};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use alloy_provider::utils::{Eip1559Estimator, eip1559_default_estimator};
use alloy_provider::{Provider as _, RootProvider};
use alloy_rpc_types_eth::{TransactionReceipt, TransactionRequest};
use alloy_signer_local::PrivateKeySigner;
use alloy_transport::TransportErrorKind;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::endpoint::{Endpoint, failure};
use crate::error::SettlementError;
pub(crate) use delivery::settled_head;
use delivery::{Answer, Delivery, Standing};
use nonces::{MAX_OPEN, Nonces};
use voyage::{Voyage, sign};

/// The longest that one question may take that is asked while others wait for its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many missing nonces are mended at once; more are mended the next time.
const MENDED_AT_ONCE: usize = 64;

/// What bounds a sender.
#[derive(Debug, Clone, Copy)]
pub struct SenderLimits {
    /// How long to wait for a receipt that counts before the outcome is
    /// [`SettlementError::Pending`].
    pub wait: Duration,
    /// How many times to take a fresh nonce when the node says that ours is spent.
    pub nonce_retries: u32,
    /// How long to wait for a receipt before the transaction is sent again, with higher fees where
    /// gas costs something.
    pub resend_after: Duration,
    /// How many times the fees of one transaction are raised; after that it is sent again as it is.
    pub raises: usize,
    /// The most that is offered for gas, in wei per gas, tip included. While the chain asks for
    /// more, nothing is sent ([`SettlementError::GasTooDear`]), and no raise passes it.
    pub most_fee_per_gas: u128,
    /// How many blocks must stand on a transaction's block before it counts as mined; a block that
    /// the node calls `finalized` needs none. Too few, and a reorganisation takes back what was
    /// reported as paid. `None` chooses: [`PUBLIC_CONFIRMATIONS`] over HTTP, none where the chain
    /// lives in this process, or is a test node on chain 1337 or 31337: such seal a block only when
    /// there is something to seal, so that no block would ever come to confirm the last one.
    pub confirmations: Option<u64>,
}

/// How many blocks confirm a payment on a chain that is not ours, if nothing else is said: its
/// block and one more. Proof-of-stake Ethereum and its layers rarely take back even one.
pub const PUBLIC_CONFIRMATIONS: u64 = 1;

impl Default for SenderLimits {
    /// 30 seconds (two slots of a public chain and a margin), sent again after each 10, raised 3
    /// times, up to 500 gwei a gas (a quarter ether for a payment of [`crate::PAYMENT_GAS`]);
    /// 3 nonces; confirmations as the chain needs them.
    fn default() -> SenderLimits {
        SenderLimits {
            wait: Duration::from_secs(30),
            nonce_retries: 3,
            resend_after: Duration::from_secs(10),
            raises: 3,
            most_fee_per_gas: 500_000_000_000,
            confirmations: None,
        }
    }
}

impl SenderLimits {
    /// How many confirmations a chain needs under these limits.
    pub(crate) fn confirmations_on(&self, endpoint: &Endpoint, chain_id: u64) -> u64 {
        let chosen = if seals_on_demand(endpoint, chain_id) { 0 } else { PUBLIC_CONFIRMATIONS };
        self.confirmations.unwrap_or(chosen)
    }
}

/// Whether a chain is known to make blocks only when there is something to seal: one in this
/// process, or a test node.
pub(crate) fn seals_on_demand(endpoint: &Endpoint, chain_id: u64) -> bool {
    endpoint.is_local() || matches!(chain_id, 1337 | 31337)
}

/// A mined, successful transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its hash.
    pub transaction: B256,
    /// The block that holds it.
    pub block: u64,
    /// How much gas it took.
    pub gas_used: u64,
}

/// One key that sends transactions; share it, do not make two of the same key.
pub struct Sender {
    endpoint: Endpoint,
    provider: RootProvider<Ethereum>,
    signer: PrivateKeySigner,
    chain_id: u64,
    limits: SenderLimits,
    confirmations: u64,
    nonces: Mutex<Nonces>,
    /// Held by whoever looks after the open ones or mends a gap; nobody waits for it.
    care: Mutex<()>,
    /// How many sends are in the works.
    busy: AtomicUsize,
    /// How many transactions are of open fate: whatever is sent now waits behind them.
    open: AtomicUsize,
    /// Cleared once the node says that it cannot answer with the receipt at once (EIP-7966).
    synchronous: AtomicBool,
}

/// Counts one send among those in the works, for as long as it lives.
pub(crate) struct Busy(Arc<Sender>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Sender {
    pub(crate) fn new(
        endpoint: Endpoint,
        provider: RootProvider<Ethereum>,
        signer: PrivateKeySigner,
        chain_id: u64,
        limits: SenderLimits,
    ) -> Sender {
        let synchronous = AtomicBool::new(endpoint.is_local());
        let confirmations = limits.confirmations_on(&endpoint, chain_id);
        Sender {
            endpoint,
            provider,
            signer,
            chain_id,
            limits,
            confirmations,
            nonces: Mutex::default(),
            care: Mutex::default(),
            busy: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            synchronous,
        }
    }

    /// The address that sends, and that needs the gas.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// How many sends are in the works.
    pub(crate) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    /// Whether something sent earlier is of open fate, and holds up what comes after it.
    pub(crate) fn is_stuck(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }

    /// Counts a send before it begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Sends a call to a contract that may take at most `most_gas`, and waits until it is mined.
    ///
    /// # Errors
    /// [`SettlementError::Reverted`] before anything is sent if the simulation reverts, or after
    /// if the mined transaction did; [`SettlementError::GasTooDear`] and
    /// [`SettlementError::Refused`] if nothing was sent; [`SettlementError::Pending`] if it was
    /// sent and the wait ran out.
    pub async fn send(
        self: &Arc<Self>,
        to: Address,
        data: Bytes,
        most_gas: u64,
    ) -> Result<Receipt, SettlementError> {
        self.begin().send(to, data, most_gas).await
    }

    /// The key's signature of a hash.
    pub(crate) fn sign_hash(&self, hash: B256) -> Signature {
        protocol::sign_hash(&self.signer, hash)
    }

    /// Looks after the transactions whose fate is open: those that are mined are forgotten, the
    /// others are sent again, with higher fees while raises are left. Does nothing while another
    /// call is at it, and stops where the node falls silent.
    pub async fn tend(&self) {
        let Ok(_care) = self.care.try_lock() else { return };
        let open = self.nonces.lock().await.open();
        for mut voyage in open {
            let until = self.patience();
            match self.standing(&voyage, until).await {
                Standing::Final(receipt) => {
                    voyage.landed = Some(receipt.transaction_hash);
                    self.done(voyage).await;
                    continue;
                }
                Standing::Mined(_) => continue,
                Standing::Unknown => return,
                Standing::Absent => {}
            }
            self.raise(&mut voyage, until).await;
            // Kept before it is sent: whoever called may give up in between.
            self.keep_open(voyage.clone()).await;
            match self.broadcast_any(&voyage, until).await {
                // Its nonce is used: by itself a moment ago, or by another program's.
                Answer::NonceTooLow => match self.standing(&voyage, until).await {
                    Standing::Mined(_) | Standing::Unknown => {}
                    Standing::Final(_) | Standing::Absent => self.done(voyage).await,
                },
                Answer::Receipt(_) | Answer::Taken | Answer::NotReplaced => {}
                Answer::Refused(error) => {
                    tracing::warn!(nonce = voyage.nonce(), %error, "a transaction cannot be sent again");
                }
            }
        }
        self.mend().await;
    }

    /// All hashes that travelled under the same nonce as this one, while that is remembered.
    pub(crate) async fn siblings(&self, transaction: B256) -> Vec<B256> {
        self.nonces.lock().await.siblings(transaction)
    }

    /// Takes one transaction to the chain, with as many nonces as that needs.
    async fn carry(&self, draft: TxEip1559, deadline: Instant) -> Result<Receipt, SettlementError> {
        if self.is_stuck() {
            let _ = timeout_at(deadline, self.tend()).await;
        }
        if self.nonces.lock().await.open_count() >= MAX_OPEN {
            return Err(self.refused(format!(
                "{MAX_OPEN} transactions that {} sent earlier are not mined yet",
                self.address()
            )));
        }
        let mut attempt = 0;
        loop {
            let nonce = self.take_nonce(deadline).await?;
            let mut voyage = Voyage::begin(TxEip1559 { nonce, ..draft.clone() }, &self.signer);
            match self.deliver(&mut voyage, deadline).await {
                Delivery::Mined(receipt) => {
                    self.done(voyage).await;
                    return outcome(&receipt);
                }
                Delivery::Open => {
                    let transaction = voyage.watched();
                    self.keep_open(voyage).await;
                    return Err(SettlementError::Pending { transaction });
                }
                Delivery::NonceSpent | Delivery::NonceOccupied => {
                    self.pass_over(nonce, deadline).await;
                    if attempt == self.limits.nonce_retries {
                        return Err(self.refused("another program spends this key's nonces".into()));
                    }
                    attempt += 1;
                }
                Delivery::Refused(error) => {
                    self.give_back(nonce, &draft).await;
                    return Err(error);
                }
            }
        }
    }

    async fn take_nonce(&self, deadline: Instant) -> Result<u64, SettlementError> {
        // Whoever has the lock may be waiting for the node.
        let Ok(mut nonces) = timeout_at(deadline, self.nonces.lock()).await else {
            return Err(self.silent("the sender's nonce"));
        };
        if !nonces.know_the_next() {
            let count = self.provider.get_transaction_count(self.address()).pending();
            let count = self.ask("the sender's nonce", deadline, count.into_future()).await?;
            nonces.learn(count);
        }
        Ok(nonces.take().expect("the chain was asked"))
    }

    /// Another's transaction has this nonce: go on with the first that the chain does not count.
    async fn pass_over(&self, nonce: u64, deadline: Instant) {
        let count = self.provider.get_transaction_count(self.address()).pending();
        let count = self.ask("the sender's nonce", deadline, count.into_future()).await;
        let mut nonces = self.nonces.lock().await;
        nonces.lost(nonce);
        nonces.learn(count.unwrap_or(0).max(nonce + 1));
    }

    /// A nonce that the node would not take: reuse it, or fill the gap if later ones wait on it.
    async fn give_back(&self, nonce: u64, draft: &TxEip1559) {
        let mut nonces = self.nonces.lock().await;
        if nonces.give_back(nonce) {
            return;
        }
        // The lock is held meanwhile, so that nobody is handed the nonce that is being filled.
        if !self.fill(nonce, draft, self.patience()).await {
            nonces.free(nonce);
        }
    }

    /// Uses up a nonce with an empty transaction to ourselves, at the fees of `draft`. Whether it
    /// was handed over; if the node drops it, [`Sender::mend`] finds it missing.
    async fn fill(&self, nonce: u64, draft: &TxEip1559, until: Instant) -> bool {
        let filler = TxEip1559 {
            nonce,
            gas_limit: 21_000,
            to: TxKind::Call(self.address()),
            input: Bytes::new(),
            ..draft.clone()
        };
        match self.broadcast(&sign(filler, &self.signer).raw, until).await {
            Answer::Receipt(_) | Answer::Taken | Answer::NonceTooLow | Answer::NotReplaced => true,
            Answer::Refused(error) => {
                tracing::warn!(nonce, %error, "a nonce gap could not be filled; it will be tried again");
                false
            }
        }
    }

    /// A transaction that was not mined in its turn: makes way for it.
    async fn unstick(&self, voyage: &mut Voyage, deadline: Instant) {
        if self.is_stuck() {
            let _ = timeout_at(deadline, self.tend()).await;
        } else if let Ok(_care) = self.care.try_lock() {
            let _ = timeout_at(deadline, self.mend()).await;
        }
        self.raise(voyage, deadline.min(self.patience())).await;
    }

    /// Raises the fees of a transaction, if it is the one on which the others wait.
    async fn raise(&self, voyage: &mut Voyage, until: Instant) {
        let lowest = self.nonces.lock().await.lowest();
        if lowest != Some(voyage.nonce())
            || voyage.raises() >= self.limits.raises
            || voyage.draft().max_fee_per_gas == 0
        {
            return;
        }
        let market = self.provider.estimate_eip1559_fees_with(Eip1559Estimator::new(fees));
        let market = timeout_at(until, market).await.ok().and_then(Result::ok);
        if voyage.raise(market, self.limits.most_fee_per_gas, &self.signer) {
            tracing::info!(
                nonce = voyage.nonce(), transaction = %voyage.newest().hash,
                fee = voyage.draft().max_fee_per_gas, "a stuck transaction is sent with higher fees"
            );
        }
    }

    /// Sends again what the chain misses below the lowest nonce in flight. The caller holds `care`.
    async fn mend(&self) {
        let mut tried = None;
        for _ in 0..MENDED_AT_ONCE {
            let until = self.patience();
            // Held meanwhile, so that nobody is handed a nonce that is being filled.
            let mut nonces = self.nonces.lock().await;
            let count = self.provider.get_transaction_count(self.address()).pending();
            let Ok(Ok(missing)) = timeout_at(until, count.into_future()).await else { return };
            let mended = nonces.lowest().is_none_or(|lowest| missing >= lowest);
            if mended || tried.replace(missing) == Some(missing) {
                return; // Or the node drops it again and again: later, then.
            }
            tracing::warn!(nonce = missing, sender = %self.address(), "the chain misses a transaction");
            let sent = match nonces.mined_bytes(missing) {
                Some(bytes) => !matches!(self.broadcast(bytes, until).await, Answer::Refused(_)),
                None => {
                    let fees = self.fees(until).await;
                    let Ok(fees) = fees else { return };
                    self.fill(missing, &self.draft(fees), until).await
                }
            };
            if !sent {
                return;
            }
            nonces.filled(missing);
        }
    }

    async fn done(&self, voyage: Voyage) {
        let mut nonces = self.nonces.lock().await;
        nonces.done(voyage);
        self.open.store(nonces.open_count(), Ordering::Relaxed);
    }

    async fn keep_open(&self, voyage: Voyage) {
        let mut nonces = self.nonces.lock().await;
        nonces.keep_open(voyage);
        self.open.store(nonces.open_count(), Ordering::Relaxed);
    }

    /// Until when to hear an answer for which others wait.
    fn patience(&self) -> Instant {
        Instant::now() + self.limits.resend_after.min(PATIENCE)
    }

    /// What a transaction of this key says before its nonce, receiver and call are known.
    fn draft(&self, fees: Eip1559Estimation) -> TxEip1559 {
        TxEip1559 {
            chain_id: self.chain_id,
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            ..Default::default()
        }
    }

    /// What to offer for gas now, within the limit.
    async fn fees(&self, deadline: Instant) -> Result<Eip1559Estimation, SettlementError> {
        let fees = self.provider.estimate_eip1559_fees_with(Eip1559Estimator::new(fees));
        let fees = self.ask("the present fees", deadline, fees).await?;
        within(fees, self.limits.most_fee_per_gas)
    }

    /// Asks the node, until the deadline.
    async fn ask<T>(
        &self,
        what: &'static str,
        deadline: Instant,
        question: impl Future<Output = Result<T, RpcError<TransportErrorKind>>>,
    ) -> Result<T, SettlementError> {
        match timeout_at(deadline, question).await {
            Ok(answer) => answer.map_err(|e| self.failure(what, e)),
            Err(_) => Err(self.silent(what)),
        }
    }

    fn silent(&self, what: &str) -> SettlementError {
        SettlementError::Unreachable {
            endpoint: self.endpoint.to_string(),
            cause: format!("it did not tell {what} in time"),
        }
    }

    fn failure(&self, what: &'static str, error: RpcError<TransportErrorKind>) -> SettlementError {
        failure(&self.endpoint, what, error)
    }

    fn refused(&self, message: String) -> SettlementError {
        SettlementError::Refused { what: "a transaction", code: -32000, message }
    }
}

impl Busy {
    /// [`Sender::send`], counted since [`Sender::begin`].
    pub(crate) async fn send(
        self,
        to: Address,
        data: Bytes,
        most_gas: u64,
    ) -> Result<Receipt, SettlementError> {
        let sender = self.0.clone();
        let deadline = Instant::now() + sender.limits.wait;
        let request = TransactionRequest::default()
            .with_from(sender.address())
            .with_to(to)
            .with_gas_limit(most_gas)
            .with_input(data.clone());
        let estimate = sender.provider.estimate_gas(request);
        let gas = sender.ask("a gas estimate", deadline, estimate.into_future()).await?;
        // The state may move between the estimate and the block: a fifth of headroom.
        let gas_limit = gas.saturating_add(gas / 5).min(most_gas);
        self.send_with(to, data, gas_limit, deadline).await
    }

    /// As [`Busy::send`], without trying it first: what would revert is sent all the same.
    pub(crate) async fn send_untried(
        self,
        to: Address,
        data: Bytes,
        gas_limit: u64,
    ) -> Result<Receipt, SettlementError> {
        let deadline = Instant::now() + self.0.limits.wait;
        self.send_with(to, data, gas_limit, deadline).await
    }

    async fn send_with(
        self,
        to: Address,
        data: Bytes,
        gas_limit: u64,
        deadline: Instant,
    ) -> Result<Receipt, SettlementError> {
        let sender = self.0.clone();
        let fees = sender.fees(deadline).await?;
        let draft = TxEip1559 {
            gas_limit,
            to: TxKind::Call(to),
            value: U256::ZERO,
            input: data,
            ..sender.draft(fees)
        };
        let endpoint = sender.endpoint.to_string();
        // The count goes along: the caller may give up, and the key is busy all the same.
        let carried = tokio::spawn(async move {
            let result = sender.carry(draft, deadline).await;
            drop(self);
            result
        });
        carried.await.unwrap_or_else(|error| {
            Err(SettlementError::Unreachable {
                endpoint,
                cause: format!("sending was stopped in the middle ({error})"),
            })
        })
    }
}

/// What to offer for gas, after what was paid lately: nothing where nothing is asked, since a
/// sender may own no ether there; else twice the base fee and the usual tip.
fn fees(base_fee: u128, tips: &[Vec<u128>]) -> Eip1559Estimation {
    if base_fee == 0 && tips.iter().flatten().all(|tip| *tip == 0) {
        return Eip1559Estimation { max_fee_per_gas: 0, max_priority_fee_per_gas: 0 };
    }
    let tip = eip1559_default_estimator(base_fee, tips).max_priority_fee_per_gas;
    Eip1559Estimation {
        max_fee_per_gas: base_fee.saturating_mul(2).saturating_add(tip),
        max_priority_fee_per_gas: tip,
    }
}

/// Cuts an offer of [`fees`] to the limit, or refuses it if the next block costs more already.
fn within(offer: Eip1559Estimation, most: u128) -> Result<Eip1559Estimation, SettlementError> {
    let tip = offer.max_priority_fee_per_gas;
    let asked = (offer.max_fee_per_gas - tip) / 2 + tip;
    if asked > most {
        return Err(SettlementError::GasTooDear { asked, most });
    }
    Ok(Eip1559Estimation {
        max_fee_per_gas: offer.max_fee_per_gas.min(most),
        max_priority_fee_per_gas: tip,
    })
}

pub(crate) fn outcome(receipt: &TransactionReceipt) -> Result<Receipt, SettlementError> {
    if !receipt.status() {
        return Err(SettlementError::Reverted {
            reason: "the mined transaction failed".into(),
            data: Bytes::new(),
            transaction: Some(receipt.transaction_hash),
        });
    }
    Ok(Receipt {
        transaction: receipt.transaction_hash,
        block: receipt.block_number.unwrap_or_default(),
        gas_used: receipt.gas_used,
    })
}
