//! Payments into x402's escrow: scheme `auth-capture`.
//!
//! | payload | does |
//! |---|---|
//! | a payer's order, flow `escrow` | `authorize`: all of it into escrow |
//! | a payer's order, any other flow | `charge`: the asked amount to the seller at once |
//! | `type: capture`, `void` | what it says, for sellers of this process or with the signature of whom the payer named |
//! | `type: refund` | what it says, for sellers of this process: the operator pays it |
//!
//! For payments to sellers of this process ([`EmbeddedFacilitator::with_payees`]) nothing is done at
//! a stranger's word.
//!
//! The checks are in the specification's order, and a settlement makes them again. What it then
//! refuses is `verification_failed`, with the reason in words.

use alloy_primitives::{Address, B256, Bytes, U256};
use money::Timestamp;
use serde_json::{Map, json};
use settlement::escrow::{Act, Collector, Fee, PaymentInfo, SignedEscrow};
use settlement::{SettlementError, WrappedSignature};

use super::{Asker, EmbeddedFacilitator, UNSURE};
use crate::auth_capture::lifecycle::Lifecycle;
use crate::auth_capture::{self, EscrowOrder, Extra, Invalid, SCHEME};
use crate::escrow::EscrowError;
use crate::exact::{self, EXPIRY_MARGIN_SECONDS};
use crate::offer::PaymentFlow;
use crate::wire::{self, PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse};

/// A payment whose form, terms and signature are good.
struct Checked {
    order: SignedEscrow,
    flow: PaymentFlow,
}

impl Checked {
    /// What brings its money in, if `amount` of it is asked for.
    fn act(&self, amount: U256) -> Act {
        let (by, signature) = (self.order.by, self.order.signature.clone());
        match self.flow {
            PaymentFlow::Escrow => Act::Authorize { amount, by, signature },
            PaymentFlow::Authorization | PaymentFlow::Upfront => {
                let fee = Fee::least(&self.order.payment, amount);
                Act::Charge { amount, by, signature, fee }
            }
        }
    }
}

/// Why something was not done, and by which transaction it may be yet.
type Undone = (Invalid, Option<B256>);

impl EmbeddedFacilitator {
    /// Whether a payment would be taken now, or what is said of one be done.
    pub(super) async fn verify_escrow(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> VerifyResponse {
        let (payer, checked) = if Lifecycle::is_one(&payment.payload) {
            let asker = Asker::Stranger;
            let read = self.check_lifecycle(payment, requirements, asker);
            let payer = read.as_ref().ok().map(|l| l.payment.payer);
            let tried = match read {
                Ok(told) => self.try_act(&told.payment, &told.act).await,
                Err(reason) => Err(reason),
            };
            (payer, tried)
        } else {
            let payer = auth_capture::payer(&payment.payload);
            let tried = match self.check_escrow(payment, requirements, false).await {
                Ok(checked) => {
                    let act = checked.act(checked.order.most());
                    let tried = self.try_act(&checked.order.payment, &act).await;
                    match tried {
                        Err(reason) => Err(self.diagnose_escrow(&checked.order, reason).await),
                        Ok(()) => Ok(()),
                    }
                }
                Err(reason) => Err(reason),
            };
            (payer, tried)
        };
        let reason = checked.err();
        VerifyResponse {
            is_valid: reason.is_none(),
            invalid_reason: reason.map(|r| match r {
                Invalid::ChainUnreachable => UNSURE.to_string(),
                reason => reason.code().to_string(),
            }),
            invalid_message: reason.map(|r| r.to_string()),
            payer: payer.map(|p| p.to_string()),
            extra: None,
        }
    }

    /// Takes a payment, or does what is said of one.
    pub(super) async fn settle_escrow(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        asker: Asker,
    ) -> SettleResponse {
        let response =
            SettleResponse { network: requirements.network.clone(), ..SettleResponse::default() };
        let failed =
            |(reason, transaction): Undone, before: Option<Invalid>, payer: Option<Address>| {
                let words = match before {
                    Some(cause) => format!("{}: {cause}", cause.code()),
                    None => reason.to_string(),
                };
                SettleResponse {
                    error_reason: Some(reason.code().into()),
                    error_message: Some(words),
                    payer: payer.map(|p| p.to_string()),
                    transaction: transaction.map(|t| t.to_string()).unwrap_or_default(),
                    ..response.clone()
                }
            };
        let (name, act, amount, told) = if Lifecycle::is_one(&payment.payload) {
            match self.check_lifecycle(payment, requirements, asker) {
                Ok(told) => {
                    let (name, amount) = match &told.act {
                        Act::Capture { amount, .. } => ("captured", Some(*amount)),
                        Act::Refund { amount } => ("refunded", Some(*amount)),
                        _ => ("voided", told.expected.map(|(capturable, _)| capturable)),
                    };
                    (name, told.act.clone(), amount, (told.payment, told.expected))
                }
                Err(reason) => return failed((Invalid::Verification, None), Some(reason), None),
            }
        } else {
            let payer = auth_capture::payer(&payment.payload);
            let checked = match self.check_escrow(payment, requirements, true).await {
                Ok(checked) if self.is_closed(asker, &checked.order.payment) => {
                    let cause = Some(Invalid::Authorizer);
                    return failed((Invalid::Verification, None), cause, payer);
                }
                Ok(checked) => checked,
                Err(reason @ (Invalid::ChainUnreachable | Invalid::Pending)) => {
                    return failed((reason, None), None, payer);
                }
                Err(reason) => return failed((Invalid::Verification, None), Some(reason), payer),
            };
            let asked = requirements.amount.parse::<U256>().unwrap_or_default();
            let (name, amount) = match checked.flow {
                PaymentFlow::Escrow => ("authorized", checked.order.most()),
                _ => ("charged", asked),
            };
            (name, checked.act(amount), Some(amount), (checked.order.payment, None))
        };
        let (info, expected) = told;
        let payer = Some(info.payer);
        match self.escrow.act(&info, &act, expected).await {
            Ok(receipt) => {
                let hash = protocol::escrow::payment_hash(&info, self.chain.token().chain_id);
                let extra = json!({ "paymentInfoHash": hash.to_string(), "state": name });
                let done = SettleResponse {
                    success: true,
                    payer: payer.map(|p| p.to_string()),
                    transaction: receipt.transaction.to_string(),
                    amount: amount.map(|a| a.to_string()),
                    extra: extra.as_object().cloned().or_else(|| Some(Map::new())),
                    ..response
                };
                self.list_escrow(payment, requirements, (&info, &act), &done);
                done
            }
            Err(EscrowError::Refused { reason, transaction }) => {
                failed((reason, transaction), None, payer)
            }
            Err(EscrowError::Moved { .. } | EscrowError::TooMuch { .. }) => {
                failed((Invalid::Insufficient, None), None, payer)
            }
            Err(EscrowError::Busy) => failed((Invalid::Pending, None), None, payer),
            Err(EscrowError::Chain(SettlementError::Pending { transaction })) => {
                failed((Invalid::Pending, Some(transaction)), None, payer)
            }
            Err(EscrowError::Chain(error)) => {
                tracing::warn!(%error, "an act in the escrow failed");
                failed((Invalid::ChainUnreachable, None), None, payer)
            }
        }
    }

    /// Tells the catalogue what was done in the escrow: money that lies there may go back, so it
    /// counts when it is captured; a charge counts at once.
    fn list_escrow(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        (info, act): (&PaymentInfo, &Act),
        response: &SettleResponse,
    ) {
        let Some(catalogue) = &self.catalogue else { return };
        let name = protocol::escrow::payment_hash(info, self.chain.token().chain_id);
        match act {
            Act::Authorize { .. } => catalogue.awaits(name, payment, requirements),
            Act::Charge { .. } => catalogue.count(payment, requirements, response),
            Act::Capture { amount, .. } => {
                let amount = amount.saturating_to::<u128>();
                let (payer, payee) = (info.payer.into(), info.receiver.into());
                catalogue.earned(name, payer, payee, |counted| counted.saturating_add(amount));
            }
            Act::Void | Act::Reclaim | Act::Refund { .. } => {}
        }
    }

    /// Everything but the simulation, in the specification's order. A charge may be for less than
    /// was signed once it is settled.
    async fn check_escrow(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        settling: bool,
    ) -> Result<Checked, Invalid> {
        let read = auth_capture::read(&payment.payload, requirements);
        if read.as_ref().err() == Some(&Invalid::Format) {
            return Err(Invalid::Format);
        }
        self.check_place(payment, requirements)?;
        let mut order = read?;
        let extra = Extra::read(requirements)?;
        if !extra.policy.is_zero() {
            return Err(Invalid::Extra); // No policy is asked here.
        }
        check_times(&order, self.clock.now())?;
        if order.collector != order.signed.by.address() {
            return Err(Invalid::CollectorMismatch);
        }
        let token = self.chain.token();
        let asked_token = exact::address(&requirements.asset).ok();
        if order.token.is_some_and(|t| Some(t) != asked_token) || asked_token != Some(token.address)
        {
            return Err(Invalid::TokenMismatch);
        }
        // Only what was checked is sent.
        order.signed.signature = self.check_escrow_signature(&order).await?;
        let signed = &order.signed;
        let asked = requirements.amount.parse::<U256>().map_err(|_| Invalid::Amount)?;
        let less = settling && extra.flow != PaymentFlow::Escrow && asked < signed.most();
        if asked.is_zero() || (asked != signed.most() && !less) {
            return Err(Invalid::Amount);
        }
        if order.nonce != signed.nonce(token.chain_id) {
            return Err(Invalid::Nonce);
        }
        if !self.escrow.operates(&signed.payment) {
            return Err(Invalid::Operator);
        }
        Ok(Checked { flow: extra.flow, order: order.signed })
    }

    fn check_place(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> Result<(), Invalid> {
        if payment.accepted.scheme != SCHEME || requirements.scheme != SCHEME {
            return Err(Invalid::Scheme);
        }
        if payment.accepted.network != requirements.network {
            return Err(Invalid::NetworkMismatch);
        }
        if requirements.network != wire::network(self.chain.token().chain_id) {
            return Err(Invalid::Network);
        }
        Ok(())
    }

    /// As token and Permit2 will judge: the key of an account without code, EIP-1271 of one with
    /// code. A wallet that does not exist yet (EIP-6492) is made by the collector when the payment
    /// is tried, by makers that are allowed here: whoever pays for that decides. Of a wallet that
    /// exists the collector gets its own signature, and nothing to call.
    async fn check_escrow_signature(&self, order: &EscrowOrder) -> Result<Bytes, Invalid> {
        // The collector signs for a time without beginning.
        if !order.valid_after.is_zero() {
            return Err(Invalid::Signature);
        }
        let (signed, token) = (&order.signed, self.chain.token());
        let payer = signed.payment.payer;
        // What is said to be signed, so that a number of other terms is told as such.
        let hash = told_hash(order, token);
        let unreachable = |_| Invalid::ChainUnreachable;
        let is_contract = self.chain.is_contract(payer).await.map_err(unreachable)?;
        let wrapped = WrappedSignature::read(&signed.signature);
        // The collector may read what we cannot, and call what it says.
        if wrapped.is_none() && WrappedSignature::is_said_to_be_one(&signed.signature) {
            return Err(Invalid::Signature);
        }
        if !is_contract && let Some(wrapped) = &wrapped {
            let allowed = self.factories.contains(&wrapped.factory);
            let whole = signed.signature.clone();
            return if allowed { Ok(whole) } else { Err(Invalid::FactoryNotAllowed) };
        }
        let inner = wrapped.map_or_else(|| signed.signature.clone(), |w| w.inner);
        if WrappedSignature::is_said_to_be_one(&inner) {
            return Err(Invalid::Signature); // Wrapped twice: the same again, one layer deeper.
        }
        let good = match is_contract {
            true => {
                let accepts = self.chain.contract_accepts(payer, hash, inner.clone()).await;
                accepts.map_err(unreachable)?
            }
            false => auth_capture::signed_by(payer, &inner, hash),
        };
        if good { Ok(inner) } else { Err(Invalid::Signature) }
    }

    async fn try_act(&self, payment: &PaymentInfo, act: &Act) -> Result<(), Invalid> {
        match self.chain.try_in_escrow(payment, act).await {
            Ok(()) => Ok(()),
            Err(SettlementError::Reverted { data, .. }) => {
                Err(Invalid::of_revert(&data).unwrap_or(Invalid::Simulation))
            }
            Err(SettlementError::Refused { .. }) => Err(Invalid::Simulation),
            Err(_) => Err(Invalid::ChainUnreachable),
        }
    }

    /// What stands behind a refusal that tells nothing.
    async fn diagnose_escrow(&self, order: &SignedEscrow, said: Invalid) -> Invalid {
        if !matches!(said, Invalid::Simulation | Invalid::CollectionFailed) {
            return said;
        }
        let why = async {
            let (token, payer) = (order.payment.token, order.payment.payer);
            if self.chain.balance_of(token, payer).await? < order.most() {
                return Ok(Invalid::Balance);
            }
            if order.by == Collector::Permit
                && self.chain.allowed_to_permit2(token, payer).await? < order.most()
            {
                return Ok(Invalid::Allowance);
            }
            Ok::<_, SettlementError>(said)
        };
        why.await.unwrap_or(Invalid::ChainUnreachable)
    }

    /// A word on a payment: from a seller of this process it is believed, from others it is signed
    /// by whom the payer named.
    fn check_lifecycle(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        asker: Asker,
    ) -> Result<Lifecycle, Invalid> {
        let told = Lifecycle::read(&payment.payload)?;
        self.check_place(payment, requirements)?;
        if !self.escrow.operates(&told.payment) {
            return Err(Invalid::Operator);
        }
        let named = requirements.extra.as_ref().and_then(|e| e.get("receiverAuthorizer")?.as_str());
        let named = named.and_then(|n| exact::address(n).ok()).unwrap_or_default();
        let chain_id = self.chain.token().chain_id;
        // A refund comes out of the operator's own pocket, at its own will alone.
        let may = match (asker, &told.act) {
            (Asker::Here, _) => true,
            (Asker::Stranger, Act::Refund { .. }) => false,
            (Asker::Stranger, _) => {
                !self.is_closed(asker, &told.payment) && told.is_authorized(named, chain_id)
            }
        };
        if may { Ok(told) } else { Err(Invalid::Authorizer) }
    }

    /// Whether somebody has no say in a payment, whatever is signed: strangers in those of sellers
    /// of this process.
    fn is_closed(&self, asker: Asker, payment: &PaymentInfo) -> bool {
        asker == Asker::Stranger && self.payees.contains(&payment.receiver)
    }
}

/// Deadlines and time window, with the margin in which a transaction is mined.
fn check_times(order: &EscrowOrder, now: Timestamp) -> Result<(), Invalid> {
    let soon = now.as_secs() + EXPIRY_MARGIN_SECONDS;
    let signed = &order.signed;
    if signed.refunded_before() < signed.captured_before() {
        return Err(Invalid::DeadlineOrder);
    }
    if signed.captured_before() <= soon {
        return Err(Invalid::CaptureDeadline);
    }
    if signed.collected_before() > signed.captured_before() {
        return Err(Invalid::DeadlineOrder);
    }
    if signed.collected_before() <= soon {
        return Err(Invalid::Expired);
    }
    if order.valid_after > U256::from(now.as_secs()) {
        return Err(Invalid::NotYet);
    }
    Ok(())
}

/// What a payload says to be signed: with its own number and collector, which may be wrong.
fn told_hash(order: &EscrowOrder, token: &settlement::Token) -> B256 {
    use alloy_sol_types::SolStruct as _;
    use protocol::escrow::{authorization_order, permit_order};

    let payment = &order.signed.payment;
    match order.signed.by {
        Collector::Authorization => {
            let mut told = authorization_order(payment, token.chain_id);
            told.nonce = order.nonce;
            let domain =
                protocol::dollar_domain(&token.name, &token.version, token.chain_id, token.address);
            told.eip712_signing_hash(&domain)
        }
        Collector::Permit => {
            let mut told = permit_order(payment, token.chain_id);
            told.nonce = order.nonce.into();
            told.eip712_signing_hash(&protocol::permit2::permit2_domain(token.chain_id))
        }
    }
}
