//! Sending transactions from one key, many at a time.
//!
//! The chain orders a key's transactions by nonce: two with the same nonce collide, and one that
//! is missing blocks all that follow. So nonces are handed out here, under one lock, and each one
//! is either used, given back, or filled with an empty transaction; callers never see them.
//!
//! Order: estimate (which simulates, so what would revert is never sent) → take a nonce → sign →
//! broadcast → wait. Every wait is bounded by [`SenderLimits::wait`].
//!
//! From the nonce on, the work is a task of its own: a caller who gives up leaves no gap behind. A
//! transaction whose fate is open is kept, and the same bytes are sent again before the next one,
//! because the node may never have had it and would then wait for it for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy_consensus::transaction::SignerRecoverable as _;
use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::Encodable2718 as _;
use alloy_eips::eip1559::Eip1559Estimation;
use alloy_json_rpc::RpcError;
use alloy_network::{Ethereum, TransactionBuilder as _};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_provider::utils::{Eip1559Estimator, eip1559_default_estimator};
use alloy_provider::{Provider as _, RootProvider};
use alloy_rpc_types_eth::{TransactionReceipt, TransactionRequest};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use crate::endpoint::{Endpoint, failure};
use crate::error::SettlementError;

/// How many transactions of open fate are kept; beyond that, nothing more is sent.
const MAX_OPEN: usize = 256;

/// How long an empty transaction that fills a gap may take to be handed over.
const FILLER_WAIT: Duration = Duration::from_secs(5);

/// What bounds a sender.
#[derive(Debug, Clone, Copy)]
pub struct SenderLimits {
    /// How long to wait for a receipt before the outcome is [`SettlementError::Pending`].
    pub wait: Duration,
    /// How many times to take a fresh nonce when the node says that ours is spent.
    pub nonce_retries: u32,
}

impl Default for SenderLimits {
    /// 30 seconds (two slots of a public chain and a margin), 3 retries.
    fn default() -> SenderLimits {
        SenderLimits { wait: Duration::from_secs(30), nonce_retries: 3 }
    }
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

#[derive(Default)]
struct Nonces {
    /// The next never-used nonce; unknown until the chain was asked.
    next: Option<u64>,
    /// Handed out and not known to be mined.
    in_flight: BTreeSet<u64>,
    /// Handed out, never broadcast, and to be used before `next`.
    returned: BTreeSet<u64>,
    /// Sent, and not known to be mined when the wait ran out.
    open: BTreeMap<u64, Signed>,
}

/// A transaction as it travels.
#[derive(Clone)]
struct Signed {
    raw: Vec<u8>,
    hash: B256,
}

/// One key that sends transactions; share it, do not make two of the same key.
pub struct Sender {
    endpoint: Endpoint,
    provider: RootProvider<Ethereum>,
    signer: PrivateKeySigner,
    chain_id: u64,
    limits: SenderLimits,
    nonces: Mutex<Nonces>,
    /// Cleared once the node says that it cannot answer with the receipt at once (EIP-7966).
    synchronous: AtomicBool,
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
        Sender {
            endpoint,
            provider,
            signer,
            chain_id,
            limits,
            nonces: Mutex::default(),
            synchronous,
        }
    }

    /// The address that sends, and that needs the gas.
    pub fn address(&self) -> Address {
        self.signer.address()
    }

    /// Sends a call to a contract that may take at most `most_gas`, and waits until it is mined.
    ///
    /// # Errors
    /// [`SettlementError::Reverted`] before anything is sent if the simulation reverts, or after
    /// if the mined transaction did; [`SettlementError::Refused`] if the node did not take it;
    /// [`SettlementError::Pending`] if it was sent and the wait ran out.
    pub async fn send(
        self: &Arc<Self>,
        to: Address,
        data: Bytes,
        most_gas: u64,
    ) -> Result<Receipt, SettlementError> {
        let deadline = Instant::now() + self.limits.wait;
        let request = TransactionRequest::default()
            .with_from(self.address())
            .with_to(to)
            .with_gas_limit(most_gas)
            .with_input(data.clone());
        let estimate = self.provider.estimate_gas(request);
        let gas = self.ask("a gas estimate", deadline, estimate.into_future()).await?;
        let fees = self.provider.estimate_eip1559_fees_with(Eip1559Estimator::new(fees));
        let fees = self.ask("the present fees", deadline, fees).await?;
        let draft = TxEip1559 {
            chain_id: self.chain_id,
            nonce: 0,
            // The state may move between the estimate and the block: a fifth of headroom.
            gas_limit: gas.saturating_add(gas / 5).min(most_gas),
            max_fee_per_gas: fees.max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas,
            to: TxKind::Call(to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: data,
        };
        let sender = self.clone();
        let carried = tokio::spawn(async move { sender.carry(draft, deadline).await });
        carried.await.unwrap_or_else(|error| {
            Err(SettlementError::Unreachable {
                endpoint: self.endpoint.to_string(),
                cause: format!("sending was stopped in the middle ({error})"),
            })
        })
    }

    /// Takes one transaction to the chain, with as many nonces as that needs.
    async fn carry(&self, draft: TxEip1559, deadline: Instant) -> Result<Receipt, SettlementError> {
        self.revive(deadline).await?;
        let mut attempt = 0;
        loop {
            let nonce = self.take_nonce(deadline).await?;
            let signed = self.sign(TxEip1559 { nonce, ..draft.clone() });
            match self.broadcast_and_wait(&signed, deadline).await {
                Sent::Mined(result) => {
                    self.nonces.lock().await.in_flight.remove(&nonce);
                    return result;
                }
                Sent::Unknown => {
                    let transaction = signed.hash;
                    self.nonces.lock().await.open.insert(nonce, signed);
                    return Err(SettlementError::Pending { transaction });
                }
                Sent::NonceSpent if attempt < self.limits.nonce_retries => {
                    attempt += 1;
                    self.forget_nonces(nonce).await;
                }
                Sent::NonceSpent => {
                    self.forget_nonces(nonce).await;
                    return Err(SettlementError::Refused {
                        what: "a transaction",
                        code: -32000,
                        message: "another program spends this key's nonces".into(),
                    });
                }
                Sent::Refused(error) => {
                    self.give_back(nonce, &draft).await;
                    return Err(error);
                }
            }
        }
    }

    /// Looks after the transactions whose fate was open: those that are mined are forgotten, the
    /// others are sent again as they are.
    async fn revive(&self, deadline: Instant) -> Result<(), SettlementError> {
        let open = self.nonces.lock().await.open.clone();
        for (nonce, signed) in &open {
            let receipt = self.provider.get_transaction_receipt(signed.hash);
            let mined = matches!(timeout_at(deadline, receipt).await, Ok(Ok(Some(_))));
            let gone = mined
                || {
                    let sent = self.provider.send_raw_transaction(&signed.raw);
                    // Its nonce was used: by itself a moment ago, or by another program's.
                    matches!(
                        timeout_at(deadline, sent).await,
                        Ok(Err(RpcError::ErrorResp(payload))) if payload.message.contains("nonce too low")
                    )
                };
            if gone {
                let mut nonces = self.nonces.lock().await;
                if nonces.open.remove(nonce).is_some() {
                    nonces.in_flight.remove(nonce);
                }
            }
        }
        if self.nonces.lock().await.open.len() >= MAX_OPEN {
            return Err(SettlementError::Refused {
                what: "a transaction",
                code: -32000,
                message: format!("{MAX_OPEN} transactions sent earlier are not mined yet"),
            });
        }
        Ok(())
    }

    /// Asks the node, until the deadline.
    async fn ask<T>(
        &self,
        what: &'static str,
        deadline: Instant,
        question: impl Future<Output = Result<T, RpcError<alloy_transport::TransportErrorKind>>>,
    ) -> Result<T, SettlementError> {
        match timeout_at(deadline, question).await {
            Ok(answer) => answer.map_err(|e| self.failure(what, e)),
            Err(_) => Err(SettlementError::Unreachable {
                endpoint: self.endpoint.to_string(),
                cause: format!("it did not tell {what} in time"),
            }),
        }
    }

    async fn take_nonce(&self, deadline: Instant) -> Result<u64, SettlementError> {
        let mut nonces = self.nonces.lock().await;
        let nonce = match nonces.returned.pop_first() {
            Some(returned) => returned,
            None => {
                let next = match nonces.next {
                    Some(next) => next,
                    None => {
                        let count = self.provider.get_transaction_count(self.address()).pending();
                        self.ask("the sender's nonce", deadline, count.into_future()).await?
                    }
                };
                nonces.next = Some(next + 1);
                next
            }
        };
        assert!(nonces.in_flight.insert(nonce), "nonce {nonce} was handed out twice");
        Ok(nonce)
    }

    /// The chain is ahead of us: ask it again before the next transaction.
    async fn forget_nonces(&self, spent: u64) {
        let mut nonces = self.nonces.lock().await;
        nonces.in_flight.remove(&spent);
        if nonces.in_flight.is_empty() {
            nonces.next = None;
            nonces.returned.clear();
        }
    }

    /// A nonce that the node would not take: reuse it, or fill the gap if later ones wait on it.
    async fn give_back(&self, nonce: u64, draft: &TxEip1559) {
        let mut nonces = self.nonces.lock().await;
        nonces.in_flight.remove(&nonce);
        let blocks_others = nonces.in_flight.range(nonce..).next().is_some();
        if !blocks_others {
            nonces.returned.insert(nonce);
            return;
        }
        let filler = TxEip1559 {
            nonce,
            gas_limit: 21_000,
            to: TxKind::Call(self.address()),
            input: Bytes::new(),
            ..draft.clone()
        };
        let deadline = Instant::now() + FILLER_WAIT;
        let signed = self.sign(filler);
        let sent = self.provider.send_raw_transaction(&signed.raw);
        if let Err(error) = self.ask("a filler", deadline, sent).await {
            tracing::warn!(nonce, %error, "a nonce gap could not be filled; it will be tried again");
            nonces.returned.insert(nonce);
        }
    }

    fn sign(&self, transaction: TxEip1559) -> Signed {
        let signature = self
            .signer
            .sign_hash_sync(&transaction.signature_hash())
            .expect("a local key signs any hash");
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        debug_assert_eq!(envelope.recover_signer().ok(), Some(self.address()));
        Signed { raw: envelope.encoded_2718(), hash: *envelope.tx_hash() }
    }

    async fn broadcast_and_wait(&self, signed: &Signed, deadline: Instant) -> Sent {
        if self.synchronous.load(Ordering::Relaxed) {
            let sent = self.provider.send_raw_transaction_sync(&signed.raw);
            match timeout_at(deadline, sent).await {
                Ok(Ok(receipt)) => return Sent::Mined(outcome(&receipt)),
                Ok(Err(RpcError::ErrorResp(payload))) if payload.code == -32601 => {
                    self.synchronous.store(false, Ordering::Relaxed);
                }
                // EIP-7966: code 4 says that the node has it and its own wait ran out.
                Ok(Err(RpcError::ErrorResp(payload))) if payload.code != 4 => {
                    return self.refusal(signed, payload, deadline).await;
                }
                Ok(Err(_)) => return self.wait(signed.hash, deadline).await,
                Err(_) => return Sent::Unknown,
            }
        }
        let sent = self.provider.send_raw_transaction(&signed.raw);
        match timeout_at(deadline, sent).await {
            Ok(Err(RpcError::ErrorResp(payload))) => self.refusal(signed, payload, deadline).await,
            // Taken; or the connection broke, and the node may or may not have it.
            Ok(Ok(_) | Err(_)) => self.wait(signed.hash, deadline).await,
            Err(_) => Sent::Unknown,
        }
    }

    async fn refusal(
        &self,
        signed: &Signed,
        payload: alloy_json_rpc::ErrorPayload,
        deadline: Instant,
    ) -> Sent {
        if already_known(&payload.message) {
            return self.wait(signed.hash, deadline).await;
        }
        if payload.message.contains("nonce too low") {
            return Sent::NonceSpent;
        }
        Sent::Refused(self.failure("a transaction", RpcError::ErrorResp(payload)))
    }

    async fn wait(&self, hash: B256, deadline: Instant) -> Sent {
        let mut pause = Duration::from_millis(5);
        loop {
            let receipt = self.provider.get_transaction_receipt(hash);
            if let Ok(Ok(Some(receipt))) = timeout_at(deadline, receipt).await {
                return Sent::Mined(outcome(&receipt));
            }
            if Instant::now() + pause >= deadline {
                return Sent::Unknown;
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_millis(500));
        }
    }

    fn failure(
        &self,
        what: &'static str,
        error: RpcError<alloy_transport::TransportErrorKind>,
    ) -> SettlementError {
        failure(&self.endpoint, what, error)
    }
}

/// What to offer for gas, after what was paid lately: nothing where nothing is asked, since a
/// sender may own no ether there; else twice the base fee and the usual tip.
fn fees(base_fee: u128, tips: &[Vec<u128>]) -> Eip1559Estimation {
    if base_fee == 0 && tips.iter().flatten().all(|tip| *tip == 0) {
        return Eip1559Estimation { max_fee_per_gas: 0, max_priority_fee_per_gas: 0 };
    }
    eip1559_default_estimator(base_fee, tips)
}

/// What became of a broadcast.
enum Sent {
    Mined(Result<Receipt, SettlementError>),
    Unknown,
    NonceSpent,
    Refused(SettlementError),
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

/// Nodes have no code for it, only words; geth, reth, anvil and ours agree on these.
fn already_known(message: &str) -> bool {
    message.contains("already known") || message.contains("already imported")
}
