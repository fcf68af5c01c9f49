//! Bringing one transaction to the chain: handing it to the node, and looking what became of it.
//!
//! A node's answer to a broadcast is a rumour: it may come twice, late, or not at all, and the
//! transaction may be dropped after it was taken. Only a receipt counts, and only once enough
//! blocks stand on it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy_eips::BlockNumberOrTag;
use alloy_json_rpc::{ErrorPayload, RpcError};
use alloy_network::Ethereum;
use alloy_provider::{Provider as _, RootProvider};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_transport::TransportErrorKind;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Sender;
use super::voyage::Voyage;
use crate::error::SettlementError;

/// The pauses between two looks for a receipt: they grow by half, from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// How long to look for our own receipt when the node calls a nonce spent that was never sent: a
/// broadcast that travelled twice is answered so too. Nodes behind one address lag that much.
const SPENT_LOOK: Duration = Duration::from_millis(500);

/// What became of a transaction.
pub(super) enum Delivery {
    /// It is mined, and counts.
    Mined(Box<TransactionReceipt>),
    /// It may still be mined, or vanish.
    Open,
    /// Its nonce is spent by a transaction that is not ours. Ours was never sent.
    NonceSpent,
    /// The node holds another transaction of that nonce and does not take ours in its place.
    NonceOccupied,
    /// The node did not take it, and never had it.
    Refused(SettlementError),
}

/// What the node says to a broadcast.
pub(super) enum Answer {
    /// It is mined already (EIP-7966).
    Receipt(Box<TransactionReceipt>),
    /// It has it; or nothing was heard, and it may have it.
    Taken,
    /// Its nonce is below the account's.
    NonceTooLow,
    /// Another one of the same nonce offers as much, or nearly.
    NotReplaced,
    Refused(SettlementError),
}

/// What a round of looking brought.
enum Looked {
    Mined(Box<TransactionReceipt>),
    /// It was mined, and its block is gone.
    Vanished,
    Nothing,
}

/// Where a transaction stands on the chain.
pub(super) enum Standing {
    /// Mined, and as deep as is asked.
    Final(Box<TransactionReceipt>),
    /// Mined, and its block may still go.
    Mined(Box<TransactionReceipt>),
    Absent,
    /// The node did not tell.
    Unknown,
}

impl Sender {
    /// Sends every version that it takes, until one counts or the deadline comes.
    pub(super) async fn deliver(&self, voyage: &mut Voyage, deadline: Instant) -> Delivery {
        loop {
            let turn = deadline.min(Instant::now() + self.limits.resend_after);
            match self.hand_over(voyage, turn).await {
                Answer::Receipt(receipt) if self.confirmations == 0 => {
                    voyage.landed = Some(receipt.transaction_hash);
                    return Delivery::Mined(receipt);
                }
                Answer::Receipt(_) | Answer::Taken => voyage.departed = true,
                Answer::NonceTooLow if !voyage.departed => {
                    let turn = turn.min(Instant::now() + SPENT_LOOK);
                    match self.look(voyage, turn, deadline).await {
                        Looked::Mined(receipt) => return Delivery::Mined(receipt),
                        Looked::Nothing if voyage.landed.is_none() => return Delivery::NonceSpent,
                        Looked::Nothing => return Delivery::Open,
                        // It was ours after all, and its block is gone.
                        Looked::Vanished => {
                            (voyage.departed, voyage.landed) = (true, None);
                            continue;
                        }
                    }
                }
                Answer::NotReplaced if !voyage.departed => return Delivery::NonceOccupied,
                Answer::Refused(error) if !voyage.departed => return Delivery::Refused(error),
                // One of the versions sent before is mined, or in the pool; or so another
                // program's. What is refused now may have been taken then: the receipt tells.
                Answer::NonceTooLow | Answer::NotReplaced => {}
                Answer::Refused(error) => {
                    tracing::debug!(nonce = voyage.nonce(), %error, "a repeated broadcast failed");
                }
            }
            match self.look(voyage, turn, deadline).await {
                Looked::Mined(receipt) => return Delivery::Mined(receipt),
                _ if Instant::now() >= deadline => return Delivery::Open,
                Looked::Vanished => {
                    tracing::warn!(
                        nonce = voyage.nonce(), transaction = %voyage.watched(),
                        "a transaction's block is gone; it is sent again"
                    );
                    voyage.landed = None;
                }
                Looked::Nothing => self.unstick(voyage, deadline).await,
            }
        }
    }

    /// Gives the newest version to the node, and hears its answer until `turn`.
    async fn hand_over(&self, voyage: &Voyage, turn: Instant) -> Answer {
        if self.synchronous.load(Ordering::Relaxed) {
            let sent = self.provider.send_raw_transaction_sync(&voyage.newest().raw);
            match timeout_at(turn, sent).await {
                Ok(Ok(receipt)) => return Answer::Receipt(Box::new(receipt)),
                Ok(Err(RpcError::ErrorResp(payload))) if payload.code == -32601 => {
                    self.synchronous.store(false, Ordering::Relaxed);
                }
                // EIP-7966: code 4 says that the node has it and its own wait ran out.
                Ok(Err(RpcError::ErrorResp(payload))) if payload.code != 4 => {
                    match self.reading(payload) {
                        Answer::Refused(_) if voyage.raises() > 0 => {}
                        answer => return answer,
                    }
                }
                Ok(Err(_)) | Err(_) => return Answer::Taken,
            }
        }
        self.broadcast_any(voyage, turn).await
    }

    /// Gives the newest version to the node that it takes: a raise may be more than the sender
    /// owns, and the version before it may have been dropped.
    pub(super) async fn broadcast_any(&self, voyage: &Voyage, turn: Instant) -> Answer {
        let mut versions = voyage.versions();
        let newest = versions.next().expect("a voyage begins with a version");
        let mut answer = self.broadcast(&newest.raw, turn).await;
        for older in versions {
            if !matches!(answer, Answer::Refused(_)) {
                break;
            }
            answer = self.broadcast(&older.raw, turn).await;
        }
        answer
    }

    /// Gives bytes to the node without waiting for a block.
    pub(super) async fn broadcast(&self, raw: &[u8], turn: Instant) -> Answer {
        match timeout_at(turn, self.provider.send_raw_transaction(raw)).await {
            Ok(Err(RpcError::ErrorResp(payload))) => self.reading(payload),
            // Taken; or the connection broke, and the node may or may not have it.
            Ok(Ok(_) | Err(_)) | Err(_) => Answer::Taken,
        }
    }

    /// Reads a node's refusal. Nodes have no code for these, only words; geth, reth, anvil and
    /// ours agree on them.
    fn reading(&self, payload: ErrorPayload) -> Answer {
        let says = |words: &str| payload.message.contains(words);
        if says("already known") || says("already imported") {
            Answer::Taken
        } else if says("nonce too low") {
            Answer::NonceTooLow
        } else if says("replacement") && says("underpriced") {
            Answer::NotReplaced
        } else {
            Answer::Refused(self.failure("a transaction", RpcError::ErrorResp(payload)))
        }
    }

    /// Waits until `turn` for one of the versions to be mined, and until `deadline` for it to
    /// count.
    async fn look(&self, voyage: &mut Voyage, turn: Instant, deadline: Instant) -> Looked {
        let mut pause = PAUSES.0;
        loop {
            let until = if voyage.landed.is_some() { deadline } else { turn };
            match self.standing(voyage, until).await {
                Standing::Final(receipt) => {
                    voyage.landed = Some(receipt.transaction_hash);
                    return Looked::Mined(receipt);
                }
                Standing::Mined(receipt) => voyage.landed = Some(receipt.transaction_hash),
                Standing::Absent if voyage.landed.is_some() => return Looked::Vanished,
                Standing::Absent | Standing::Unknown => {}
            }
            let now = Instant::now();
            let until = if voyage.landed.is_some() { deadline } else { turn };
            if now >= until {
                return Looked::Nothing;
            }
            sleep_until(until.min(now + pause)).await;
            pause = (pause * 3 / 2).min(PAUSES.1);
        }
    }

    /// Where the versions of a nonce stand.
    pub(super) async fn standing(&self, voyage: &Voyage, until: Instant) -> Standing {
        let mut heard_all = true;
        for hash in voyage.hashes() {
            let asked = || self.provider.get_transaction_receipt(hash);
            match timeout_at(until, asked()).await {
                Ok(Ok(Some(receipt))) if self.confirmations == 0 => {
                    return Standing::Final(Box::new(receipt));
                }
                Ok(Ok(Some(receipt))) => {
                    let head = settled_head(&self.provider, self.confirmations);
                    let Ok(Ok(head)) = timeout_at(until, head).await else {
                        return Standing::Mined(Box::new(receipt));
                    };
                    if receipt.block_number.is_none_or(|block| block > head) {
                        return Standing::Mined(Box::new(receipt));
                    }
                    // Asked again after the head: what is still there is under it.
                    return match timeout_at(until, asked()).await {
                        Ok(Ok(Some(again))) if again.block_hash == receipt.block_hash => {
                            Standing::Final(Box::new(again))
                        }
                        Ok(Ok(None)) => Standing::Absent,
                        _ => Standing::Mined(Box::new(receipt)),
                    };
                }
                Ok(Ok(None)) => {}
                Ok(Err(_)) | Err(_) => heard_all = false,
            }
        }
        if heard_all { Standing::Absent } else { Standing::Unknown }
    }
}

/// The newest block that counts: `confirmations` below the head, or the newest one that the node
/// calls final, whichever is higher.
pub(crate) async fn settled_head(
    provider: &RootProvider<Ethereum>,
    confirmations: u64,
) -> Result<u64, RpcError<TransportErrorKind>> {
    let head = provider.get_block_number().await?;
    if confirmations == 0 {
        return Ok(head);
    }
    // A node that knows no such tag calls nothing final.
    let asked = provider.get_block_by_number(BlockNumberOrTag::Finalized).await;
    let final_block = asked.ok().flatten().map_or(0, |block| block.header.number);
    Ok(head.saturating_sub(confirmations).max(final_block.min(head)))
}
