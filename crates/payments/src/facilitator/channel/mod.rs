//! Payment channels at the facilitator: buyers' deposits, vouchers and refunds are checked, and what
//! moves money in channels is carried to the chain.
//!
//! The order of the checks is the reference SDK's (`@x402/evm` 2.27), with three differences. Only
//! our token is served, because another one's contract could do anything at our cost. A voucher that
//! the contract would not take is not taken (see [`crate::channel::voucher::signed_by`]). And our
//! own receiver authorizer signs no refund for strangers: see
//! [`EmbeddedFacilitator::with_receiver_authorizer`].

mod acts;
mod deposit;

use alloy_primitives::{Address, B256, Bytes, U256};
use ledger::Reference;
use serde_json::{Map, Value};
use settlement::SettlementError;
use settlement::channels::{Act, ChannelState};

use super::{Asker, EmbeddedFacilitator};
use crate::channel::voucher::{Domain, signed_by};
use crate::channel::wire::{self as channel_wire, ChannelConfig, Payload, WITHDRAW_DELAY};
use crate::channel::{self, ChannelInvalid};
use crate::exact;
use crate::wire::{self, PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse};

/// How many transactions of open fate are remembered, so that the same request again asks what
/// became of them. Beyond it the chain's own refusal of the second is the answer.
const MAX_OPEN: usize = 1_024;

/// A payload that is no good.
struct Refusal {
    reason: ChannelInvalid,
    /// More than the reason says, for people.
    detail: Option<String>,
    /// The transaction that failed or is open.
    transaction: Option<B256>,
}

impl From<ChannelInvalid> for Refusal {
    fn from(reason: ChannelInvalid) -> Refusal {
        Refusal { reason, detail: None, transaction: None }
    }
}

impl Refusal {
    fn message(&self) -> String {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", self.reason),
            None => self.reason.to_string(),
        }
    }

    /// The chain was asked something and did not tell.
    fn unread(error: SettlementError) -> Refusal {
        let detail = Some(error.to_string());
        Refusal { reason: ChannelInvalid::ReadFailed, detail, transaction: None }
    }
}

/// What was done.
struct Done {
    transaction: B256,
    /// What moved; empty for a claim, which moves nothing.
    amount: Option<String>,
    /// The channel afterwards.
    state: Option<channel_wire::ChannelState>,
}

/// A mined transaction.
struct Mined {
    transaction: B256,
    block: u64,
}

impl EmbeddedFacilitator {
    /// Whether a buyer's payload would be accepted now.
    pub(super) async fn verify_channel(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> VerifyResponse {
        let read = self.read_payload(payment, requirements);
        let payer = read.as_ref().ok().and_then(payer_of);
        let checked = match read {
            Err(refusal) => Err(refusal),
            Ok(Payload::Deposit { channel_config, voucher, deposit }) => {
                self.verify_deposit(payment, requirements, &channel_config, &voucher, &deposit)
                    .await
            }
            Ok(Payload::Voucher { channel_config, voucher, .. }) => {
                self.verify_voucher(requirements, &channel_config, &voucher, false).await
            }
            Ok(Payload::Refund { channel_config, voucher, .. }) => {
                self.verify_voucher(requirements, &channel_config, &voucher, true).await
            }
            Ok(Payload::Claim { .. } | Payload::Settle { .. }) => {
                Err(ChannelInvalid::PayloadType.into())
            }
        };
        let (state, refusal) = match checked {
            Ok((id, state)) => (Some(written(id, &state)), None),
            Err(refusal) => (None, Some(refusal)),
        };
        VerifyResponse {
            is_valid: refusal.is_none(),
            invalid_reason: refusal.as_ref().map(|r| r.reason.code().to_string()),
            invalid_message: refusal.as_ref().map(Refusal::message),
            payer: payer.map(|p| p.to_string()),
            extra: state.map(|state| members(&state)),
        }
    }

    /// Carries a deposit, claim, payout or refund to the chain.
    pub(super) async fn settle_channel(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        asker: Asker,
    ) -> SettleResponse {
        let read = self.read_payload(payment, requirements);
        let payer = read.as_ref().ok().and_then(payer_of);
        let done = match read {
            Err(refusal) => Err(refusal),
            Ok(Payload::Deposit { channel_config, voucher, deposit }) => {
                self.settle_deposit(payment, requirements, &channel_config, &voucher, &deposit)
                    .await
            }
            // A voucher alone moves nothing.
            Ok(Payload::Voucher { .. }) => Err(ChannelInvalid::PayloadType.into()),
            Ok(Payload::Claim { claims, claim_authorizer_signature }) => {
                self.claim(&claims, claim_authorizer_signature).await
            }
            Ok(Payload::Settle { receiver, token }) => self.pay_out(receiver, token).await,
            Ok(refund @ Payload::Refund { .. }) => self.refund(refund, asker).await,
        };
        let (done, refusal) = match done {
            Ok(done) => (Some(done), None),
            Err(refusal) => (None, Some(refusal)),
        };
        let transaction = match (&done, &refusal) {
            (Some(done), _) => Some(done.transaction),
            (None, refusal) => refusal.as_ref().and_then(|r| r.transaction),
        };
        let (amount, state) = done.map_or((None, None), |done| (done.amount, done.state));
        SettleResponse {
            success: refusal.is_none(),
            error_reason: refusal.as_ref().map(|r| r.reason.code().to_string()),
            error_message: refusal.as_ref().map(Refusal::message),
            payer: payer.map(|p| p.to_string()),
            transaction: transaction.map(|t| t.to_string()).unwrap_or_default(),
            network: requirements.network.clone(),
            amount,
            extra: state.map(|state| {
                let state = Value::Object(members(&state));
                Map::from_iter([("channelState".to_string(), state)])
            }),
            ..SettleResponse::default()
        }
    }

    /// The payload, if it is of the scheme and of this chain.
    fn read_payload(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> Result<Payload, Refusal> {
        if payment.accepted.scheme != channel::SCHEME || requirements.scheme != channel::SCHEME {
            return Err(ChannelInvalid::Scheme.into());
        }
        if payment.accepted.network != requirements.network
            || requirements.network != wire::network(self.chain.token().chain_id)
        {
            return Err(ChannelInvalid::Network.into());
        }
        read(&payment.payload)
    }

    /// Whether the channel is what it says, and what the seller asks.
    fn check_config(
        &self,
        config: &ChannelConfig,
        id: B256,
        requirements: &PaymentRequirements,
    ) -> Result<(), ChannelInvalid> {
        if self.channels.channel_id(config) != id {
            return Err(ChannelInvalid::ChannelIdMismatch);
        }
        if requirements.pay_to.parse::<Address>().ok() != Some(config.receiver) {
            return Err(ChannelInvalid::Receiver);
        }
        let extra = |key| requirements.extra.as_ref().and_then(|e| e.get(key));
        let authorizer = extra("receiverAuthorizer")
            .and_then(Value::as_str)
            .and_then(|text| text.parse::<Address>().ok());
        if config.receiver_authorizer.is_zero() || authorizer != Some(config.receiver_authorizer) {
            return Err(ChannelInvalid::ReceiverAuthorizer);
        }
        if requirements.asset.parse::<Address>().ok() != Some(config.token) {
            return Err(ChannelInvalid::Token);
        }
        self.check_token(config.token)?;
        if extra("withdrawDelay").is_some_and(|d| d.as_u64() != Some(config.withdraw_delay)) {
            return Err(ChannelInvalid::WithdrawDelay);
        }
        if !WITHDRAW_DELAY.contains(&config.withdraw_delay) {
            return Err(ChannelInvalid::WithdrawDelayRange);
        }
        Ok(())
    }

    fn check_token(&self, token: Address) -> Result<(), ChannelInvalid> {
        if token == self.chain.token().address { Ok(()) } else { Err(ChannelInvalid::Token) }
    }

    /// Whether the voucher is good, and what the chain has of its channel.
    async fn verify_voucher(
        &self,
        requirements: &PaymentRequirements,
        config: &ChannelConfig,
        voucher: &channel_wire::Voucher,
        is_refund: bool,
    ) -> Result<(B256, ChannelState), Refusal> {
        let id = voucher.channel_id;
        self.check_config(config, id, requirements)?;
        self.check_voucher_signature(config, voucher).await?;
        let state = self.chain.channel(id).await.map_err(Refusal::unread)?;
        let most = voucher.max_claimable_amount.0;
        if state.balance == 0 {
            return Err(ChannelInvalid::ChannelNotFound.into());
        }
        if most > state.balance {
            return Err(ChannelInvalid::ExceedsBalance.into());
        }
        // A refund's voucher charges nothing, so it may be for what was claimed already.
        if most < state.total_claimed || (most == state.total_claimed && !is_refund) {
            return Err(ChannelInvalid::BelowClaimed.into());
        }
        Ok((id, state))
    }

    async fn check_voucher_signature(
        &self,
        config: &ChannelConfig,
        voucher: &channel_wire::Voucher,
    ) -> Result<(), Refusal> {
        let amount = voucher.max_claimable_amount.0;
        let hash = self.channels.voucher_hash(voucher.channel_id, amount);
        let good = if config.payer_authorizer.is_zero() {
            self.signed_by_account(config.payer, hash, &voucher.signature).await?
        } else {
            signed_by(hash, &voucher.signature, config.payer_authorizer)
        };
        if good { Ok(()) } else { Err(ChannelInvalid::VoucherSignature.into()) }
    }

    /// As a contract judges: the key of an account without code, EIP-1271 of one with code.
    async fn signed_by_account(
        &self,
        account: Address,
        hash: B256,
        signature: &Bytes,
    ) -> Result<bool, Refusal> {
        if signature.len() > exact::MAX_SIGNATURE {
            return Ok(false);
        }
        if !self.chain.is_contract(account).await.map_err(Refusal::unread)? {
            return Ok(signed_by(hash, signature, account));
        }
        self.chain.contract_accepts(account, hash, signature.clone()).await.map_err(Refusal::unread)
    }

    /// Sends an act once: the same one again while it is under way, or while its transaction's fate
    /// is open, sends no other.
    async fn carry(
        &self,
        name: Reference,
        act: &Act,
        simulation: ChannelInvalid,
        failure: ChannelInvalid,
    ) -> Result<Mined, Refusal> {
        match self.chain.do_in_channels(act).await {
            Ok(receipt) => Ok(Mined { transaction: receipt.transaction, block: receipt.block }),
            Err(SettlementError::Pending { transaction }) => {
                let mut open = self.open.lock().expect("nothing panics under this lock");
                if open.len() < MAX_OPEN {
                    open.insert(name, transaction);
                }
                let reason = ChannelInvalid::Pending;
                Err(Refusal { reason, detail: None, transaction: Some(transaction) })
            }
            Err(error) => Err(refused(error, simulation, failure)),
        }
    }

    /// What became of the transaction that an earlier request for the same left open, if one did.
    async fn resume(
        &self,
        name: Reference,
        failure: ChannelInvalid,
    ) -> Result<Option<Mined>, Refusal> {
        let known = self.open.lock().expect("nothing panics under this lock").get(&name).copied();
        let Some(transaction) = known else { return Ok(None) };
        let settled = match self.chain.receipt(transaction).await {
            // It is done once its block counts.
            Ok(Some(receipt)) if self.chain.safe_head().await.is_ok_and(|b| receipt.block <= b) => {
                Ok(Some(Mined { transaction, block: receipt.block }))
            }
            Ok(_) | Err(SettlementError::Unreachable { .. }) => {
                let reason = ChannelInvalid::Pending;
                return Err(Refusal { reason, detail: None, transaction: Some(transaction) });
            }
            Err(error) => Err(refused(error, failure, failure)),
        };
        self.open.lock().expect("nothing panics under this lock").remove(&name);
        settled
    }

    /// The signature of our own receiver authorizer for channels that name it.
    fn authorize(
        &self,
        authorizers: impl IntoIterator<Item = Address>,
        hash: B256,
    ) -> Result<Bytes, ChannelInvalid> {
        let signer = self.authorizer.as_ref().ok_or(ChannelInvalid::AuthorizerMissing)?;
        if authorizers.into_iter().any(|authorizer| authorizer != signer.address()) {
            return Err(ChannelInvalid::AuthorizerAddress);
        }
        let signature = protocol::sign_hash(signer, hash);
        Ok(Bytes::from(signature.as_bytes()))
    }

    /// The names of the channels of this facilitator's chain.
    pub fn channels(&self) -> &Domain {
        &self.channels
    }
}

/// Reads a payload. What is malformed is told as near as the vocabulary allows.
fn read(payload: &Value) -> Result<Payload, Refusal> {
    let cause = match serde_json::from_value::<Payload>(payload.clone()) {
        Ok(payload) => return Ok(payload),
        Err(cause) => cause,
    };
    let at = |path| payload.pointer(path);
    let id = at("/voucher/channelId").and_then(Value::as_str);
    let reason = if id.is_some_and(|id| !id.starts_with("0x") || id.parse::<B256>().is_err()) {
        ChannelInvalid::ChannelId
    } else if at("/type").and_then(Value::as_str) == Some("refund") {
        ChannelInvalid::RefundPayload
    } else if at("/deposit/authorization").and_then(Value::as_object).is_some_and(Map::is_empty) {
        ChannelInvalid::Erc3009Required
    } else {
        ChannelInvalid::PayloadType
    };
    Err(Refusal { reason, detail: Some(cause.to_string()), transaction: None })
}

fn payer_of(payload: &Payload) -> Option<Address> {
    match payload {
        Payload::Deposit { channel_config, .. }
        | Payload::Voucher { channel_config, .. }
        | Payload::Refund { channel_config, .. } => Some(channel_config.payer),
        Payload::Claim { .. } | Payload::Settle { .. } => None,
    }
}

/// Why the chain did not do it.
fn refused(error: SettlementError, simulation: ChannelInvalid, failure: ChannelInvalid) -> Refusal {
    let (reason, transaction) = match &error {
        // Nothing was sent: it would revert, or the node does not take it.
        SettlementError::Reverted { transaction: None, .. } | SettlementError::Refused { .. } => {
            (simulation, None)
        }
        SettlementError::Reverted { transaction, .. } => (failure, *transaction),
        _ => {
            tracing::warn!(%error, "a settlement in channels failed");
            (ChannelInvalid::ReadFailed, None)
        }
    };
    Refusal { reason, detail: Some(error.to_string()), transaction }
}

/// What the chain has of a channel, as it travels.
fn written(id: B256, state: &ChannelState) -> channel_wire::ChannelState {
    channel_wire::ChannelState {
        channel_id: id,
        balance: channel_wire::Units(state.balance),
        total_claimed: channel_wire::Units(state.total_claimed),
        withdraw_requested_at: state.withdrawal.map_or(0, |w| w.begun_at),
        refund_nonce: state.refund_nonce.to_string(),
        charged_cumulative_amount: None,
    }
}

fn members(state: &channel_wire::ChannelState) -> Map<String, Value> {
    match serde_json::to_value(state) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

/// A decimal number and nothing else: no sign, no `0x`, no exponent.
fn decimal(text: &str) -> Option<U256> {
    if text.is_empty() || text.len() > 78 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    U256::from_str_radix(text, 10).ok()
}
