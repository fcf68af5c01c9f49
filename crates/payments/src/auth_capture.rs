//! The scheme `auth-capture`: the payer's money goes into an escrow before the work, and is captured
//! after it, or goes back.
//!
//! Source: `specs/schemes/auth-capture/scheme_auth_capture_evm.md` and `@x402/evm` 2.27, which has
//! the client's side alone. Where they differ the SDK is followed: the contracts are v1.1, whose fees
//! are amounts; `extra.paymentFlow` says when the money moves, and `autoCapture` of the
//! specification is written beside it and read where a flow is not said. The codes are the
//! specification's; where it has none, those that the SDK has for all schemes.
//!
//! A payload has the signature and a salt. All other terms are in what was accepted, and their hash
//! is the number that the payer signed: [`read`] puts them together again.

pub mod lifecycle;

use std::time::Duration;

use alloy_primitives::aliases::{U48, U120};
use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use ledger::Reference;
use money::Timestamp;
use protocol::addresses::AUTH_CAPTURE_ESCROW;
use protocol::escrow::{PaymentInfo, bound_salt};
use serde_json::{Map, Value, json};
use settlement::Token;
use settlement::escrow::{Collector, SignedEscrow};
use thiserror::Error;

use crate::exact::{self, MAX_SIGNATURE};
use crate::offer::PaymentFlow;
use crate::permit;
use crate::wire::PaymentRequirements;

/// The scheme's name on the wire.
pub const SCHEME: &str = "auth-capture";

/// The members of `extra` that a quote has anew each time: Unix seconds.
pub(crate) const CAPTURE_DEADLINE: &str = "captureDeadline";
/// See [`CAPTURE_DEADLINE`].
pub(crate) const REFUND_DEADLINE: &str = "refundDeadline";

/// How a seller is paid through an escrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EscrowTerms {
    /// When the money moves: into escrow before the work ([`PaymentFlow::Escrow`], the usual), or to
    /// the seller at once, before the work or after it.
    pub flow: PaymentFlow,
    /// Who alone moves it (`captureAuthorizer`): an address of the facilitator that the gate asks,
    /// as its `/supported` tells.
    pub operator: Address,
    /// Whose signature has the operator capture and void (`receiverAuthorizer`); needed where the
    /// operator is elsewhere, and then a key of [`crate::GateChannels::keys`]. Zero for nobody's.
    pub receiver_authorizer: Address,
    /// Who gets the operator's fees (`feeRecipient`); zero for whom the operator names.
    pub fee_recipient: Address,
    /// The least fee of a capture, in hundredths of a percent of it.
    pub min_fee_bps: u16,
    /// The greatest fee of a capture, in hundredths of a percent of it.
    pub max_fee_bps: u16,
    /// How long after the quote it can be captured; from then on the payer can take it back.
    pub capture_within: Duration,
    /// How long after the quote it can be refunded; at least as long.
    pub refund_within: Duration,
    /// Whether it is signed to Permit2 instead of the token (EIP-3009).
    pub by_permit: bool,
}

impl EscrowTerms {
    /// Terms without fees: an hour to capture, a week to refund, signed to the token.
    pub fn new(operator: Address) -> EscrowTerms {
        EscrowTerms {
            flow: PaymentFlow::Escrow,
            operator,
            receiver_authorizer: Address::ZERO,
            fee_recipient: Address::ZERO,
            min_fee_bps: 0,
            max_fee_bps: 0,
            capture_within: Duration::from_secs(60 * 60),
            refund_within: Duration::from_secs(7 * 24 * 60 * 60),
            by_permit: false,
        }
    }

    /// What stays the same in each quote.
    pub(crate) fn write(&self, extra: &mut Map<String, Value>) {
        extra.insert("captureAuthorizer".into(), self.operator.to_string().into());
        if !self.receiver_authorizer.is_zero() {
            let authorizer = self.receiver_authorizer.to_string();
            extra.insert("receiverAuthorizer".into(), authorizer.into());
        }
        extra.insert("feeRecipient".into(), self.fee_recipient.to_string().into());
        extra.insert("minFeeBps".into(), self.min_fee_bps.into());
        extra.insert("maxFeeBps".into(), self.max_fee_bps.into());
        extra.insert("autoCapture".into(), (self.flow != PaymentFlow::Escrow).into());
        if self.flow == PaymentFlow::Escrow {
            extra.insert("captureMode".into(), "sync".into());
        }
    }

    /// What a quote made at `now` says besides.
    pub(crate) fn stamp(&self, extra: &mut Map<String, Value>, now: Timestamp) {
        let capture = now.plus(self.capture_within).as_secs();
        let refund = now.plus(self.refund_within.max(self.capture_within)).as_secs();
        extra.insert(CAPTURE_DEADLINE.into(), capture.into());
        extra.insert(REFUND_DEADLINE.into(), refund.into());
    }
}

/// Why a payment into escrow is no good. [`Invalid::code`] is what travels; `Display` is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Invalid {
    /// Not a payload of this scheme.
    #[error("the payload is not a signed order of the scheme `auth-capture`")]
    Format,
    /// Another scheme.
    #[error("the payment is not of the scheme `auth-capture`")]
    Scheme,
    /// Accepted and required network differ.
    #[error("the payment is for another network than is asked")]
    NetworkMismatch,
    /// No network of this kind, or not this one.
    #[error("the payment is for a network that is not settled here")]
    Network,
    /// Terms are missing, or are none.
    #[error("the terms of the escrow are incomplete, or not spoken here")]
    Extra,
    /// Neither EIP-3009 nor Permit2.
    #[error("the money can be taken by EIP-3009 or Permit2, and by nothing else")]
    Method,
    /// Signed for one method, asked for the other.
    #[error("the payment is not signed for the method that is asked")]
    MethodMismatch,
    /// Nothing could be captured any more.
    #[error("the time to capture is over, or about to be")]
    CaptureDeadline,
    /// The three times are not in their order.
    #[error("the times to pay, to capture and to refund are not in this order")]
    DeadlineOrder,
    /// Too late.
    #[error("the payment has expired, or is about to")]
    Expired,
    /// Too early.
    #[error("the payment is not valid yet")]
    NotYet,
    /// Made out to another contract than the collector.
    #[error("the order is made out to another contract than the escrow's collector")]
    CollectorMismatch,
    /// In another token.
    #[error("the payment is in another token than is asked")]
    TokenMismatch,
    /// The wallet would be made by a contract that may not make one here.
    #[error(
        "the payer's wallet does not exist yet, and this facilitator does not let that contract make it; make the wallet first"
    )]
    FactoryNotAllowed,
    /// Not signed by the payer.
    #[error("the signature is not the payer's")]
    Signature,
    /// Not the amount that is asked.
    #[error("the payment is not for the amount that is asked")]
    Amount,
    /// More than 120 bits.
    #[error("the amount is more than an escrow can count")]
    AmountOverflow,
    /// The number is not that of these terms.
    #[error("the order's number is not that of the terms, so other terms were signed")]
    Nonce,
    /// We are not who may.
    #[error("the payment names another operator than this facilitator")]
    Operator,
    /// The payer has less.
    #[error("the payer's balance is smaller than the payment")]
    Balance,
    /// Permit2 may not take it.
    #[error("the payer has not approved Permit2 for this token; approve it once")]
    Allowance,
    /// Collected before.
    #[error("this payment was authorized or charged before")]
    AlreadyCollected,
    /// The collector brought something else.
    #[error("the collector did not bring what was asked for")]
    CollectionFailed,
    /// The contract does not take this collector for that.
    #[error("this collector does not serve for that")]
    Collector,
    /// A fee of more than the whole.
    #[error("a fee of more than the whole is asked")]
    FeeOverflow,
    /// Least above greatest.
    #[error("the least fee is above the greatest")]
    FeeRange,
    /// Not between least and greatest.
    #[error("the fee is not between what the payer signed")]
    FeeOutOfRange,
    /// A fee for nobody.
    #[error("a fee is to go to nobody")]
    NoFeeReceiver,
    /// A fee for somebody else.
    #[error("the fee is to go to somebody else than the payer signed")]
    FeeReceiver,
    /// More than lies in escrow.
    #[error("more is to be captured than lies in escrow")]
    Insufficient,
    /// Nothing lies in escrow.
    #[error("nothing lies in escrow for this payment")]
    NothingAuthorized,
    /// The time to refund is over.
    #[error("the time to refund is over")]
    RefundDeadline,
    /// More than was captured.
    #[error("more is to be refunded than was captured")]
    RefundTooLarge,
    /// A stranger's word on what to do with a payment is not the one that the payer agreed to.
    #[error("the seller's side did not sign this, or the payer did not agree to who signs for it")]
    Authorizer,
    /// The chain would refuse it for another reason.
    #[error("the chain would refuse the payment")]
    Simulation,
    /// A check before the settlement said no.
    #[error("the payment was no good when it was to be settled")]
    Verification,
    /// The chain did refuse it.
    #[error("the chain refused the payment")]
    Reverted,
    /// It was sent and is not mined yet.
    #[error("the payment was sent and is not mined yet")]
    Pending,
    /// The chain could not be asked.
    #[error("the chain could not be asked; try again")]
    ChainUnreachable,
}

impl Invalid {
    /// All reasons, in the order in which they are checked.
    pub const ALL: [Invalid; 39] = [
        Invalid::Format,
        Invalid::Scheme,
        Invalid::NetworkMismatch,
        Invalid::Network,
        Invalid::Extra,
        Invalid::Method,
        Invalid::MethodMismatch,
        Invalid::CaptureDeadline,
        Invalid::DeadlineOrder,
        Invalid::Expired,
        Invalid::NotYet,
        Invalid::CollectorMismatch,
        Invalid::TokenMismatch,
        Invalid::FactoryNotAllowed,
        Invalid::Signature,
        Invalid::Amount,
        Invalid::AmountOverflow,
        Invalid::Nonce,
        Invalid::Operator,
        Invalid::Balance,
        Invalid::Allowance,
        Invalid::AlreadyCollected,
        Invalid::CollectionFailed,
        Invalid::Collector,
        Invalid::FeeOverflow,
        Invalid::FeeRange,
        Invalid::FeeOutOfRange,
        Invalid::NoFeeReceiver,
        Invalid::FeeReceiver,
        Invalid::Insufficient,
        Invalid::NothingAuthorized,
        Invalid::RefundDeadline,
        Invalid::RefundTooLarge,
        Invalid::Authorizer,
        Invalid::Simulation,
        Invalid::Verification,
        Invalid::Reverted,
        Invalid::Pending,
        Invalid::ChainUnreachable,
    ];

    /// The specification's string.
    pub const fn code(self) -> &'static str {
        match self {
            Invalid::Format => "invalid_payload_format",
            Invalid::Scheme => "unsupported_scheme",
            Invalid::NetworkMismatch => "network_mismatch",
            Invalid::Network => "invalid_network",
            Invalid::Extra => "invalid_auth_capture_extra",
            Invalid::Method => "unsupported_asset_transfer_method",
            Invalid::MethodMismatch => "payload_method_mismatch",
            Invalid::CaptureDeadline => "capture_deadline_expired",
            Invalid::DeadlineOrder => "invalid_deadline_ordering",
            Invalid::Expired => "authorization_expired",
            Invalid::NotYet => "authorization_not_yet_valid",
            Invalid::CollectorMismatch => "token_collector_mismatch",
            Invalid::TokenMismatch => "token_mismatch",
            Invalid::FactoryNotAllowed => "eip6492_factory_not_allowed",
            Invalid::Signature => "invalid_auth_capture_signature",
            Invalid::Amount => "amount_mismatch",
            Invalid::AmountOverflow => "amount_overflow",
            Invalid::Nonce => "nonce_mismatch",
            Invalid::Operator => "invalid_capture_authorizer",
            Invalid::Balance => "insufficient_balance",
            Invalid::Allowance => permit::ALLOWANCE_REQUIRED,
            Invalid::AlreadyCollected => "payment_already_collected",
            Invalid::CollectionFailed => "token_collection_failed",
            Invalid::Collector => "invalid_collector",
            Invalid::FeeOverflow => "invalid_fee_bps",
            Invalid::FeeRange => "invalid_fee_bps_range",
            Invalid::FeeOutOfRange => "fee_bps_out_of_range",
            Invalid::NoFeeReceiver => "zero_fee_receiver",
            Invalid::FeeReceiver => "invalid_fee_receiver",
            Invalid::Insufficient => "insufficient_authorization",
            Invalid::NothingAuthorized => "zero_authorization",
            Invalid::RefundDeadline => "refund_deadline_expired",
            Invalid::RefundTooLarge => "refund_exceeds_capture",
            Invalid::Authorizer => "invalid_authorizer_signature",
            Invalid::Simulation => "simulation_failed",
            Invalid::Verification => "verification_failed",
            Invalid::Reverted => "transaction_reverted",
            Invalid::Pending => "settlement_pending",
            Invalid::ChainUnreachable => "unexpected_settle_error",
        }
    }

    /// Whether the chain may have moved the money all the same, so that it must be asked until it
    /// is clear.
    pub const fn is_open(self) -> bool {
        matches!(self, Invalid::Pending | Invalid::ChainUnreachable | Invalid::AlreadyCollected)
    }

    /// What a revert of the escrow says, if it says something that the vocabulary knows.
    pub fn of_revert(data: &[u8]) -> Option<Invalid> {
        use alloy_sol_types::SolError as _;
        use protocol::bindings::escrow::AuthCaptureEscrow as E;

        let selector: [u8; 4] = data.get(..4)?.try_into().ok()?;
        Some(match selector {
            E::AfterPreApprovalExpiry::SELECTOR => Invalid::Expired,
            E::InvalidExpiries::SELECTOR => Invalid::DeadlineOrder,
            E::ExceedsMaxAmount::SELECTOR | E::ZeroAmount::SELECTOR => Invalid::Amount,
            E::AmountOverflow::SELECTOR => Invalid::AmountOverflow,
            E::PaymentAlreadyCollected::SELECTOR => Invalid::AlreadyCollected,
            E::TokenCollectionFailed::SELECTOR => Invalid::CollectionFailed,
            E::InvalidCollectorForOperation::SELECTOR => Invalid::Collector,
            E::InvalidSender::SELECTOR => Invalid::Operator,
            E::FeeBpsOverflow::SELECTOR => Invalid::FeeOverflow,
            E::InvalidFeeBpsRange::SELECTOR => Invalid::FeeRange,
            E::FeeAmountOutOfRange::SELECTOR => Invalid::FeeOutOfRange,
            E::ZeroFeeReceiver::SELECTOR => Invalid::NoFeeReceiver,
            E::InvalidFeeReceiver::SELECTOR => Invalid::FeeReceiver,
            E::AfterAuthorizationExpiry::SELECTOR => Invalid::CaptureDeadline,
            E::InsufficientAuthorization::SELECTOR => Invalid::Insufficient,
            E::ZeroAuthorization::SELECTOR => Invalid::NothingAuthorized,
            E::AfterRefundExpiry::SELECTOR => Invalid::RefundDeadline,
            E::RefundExceedsCapture::SELECTOR => Invalid::RefundTooLarge,
            _ => return None,
        })
    }
}

/// A payload and its terms, put together: nothing is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscrowOrder {
    /// The payment that these terms name, and its signature.
    pub signed: SignedEscrow,
    /// To whom the order is made out, as the payload says.
    pub collector: Address,
    /// The order's number, as the payload says.
    pub nonce: B256,
    /// The order's token, where the payload says one (Permit2).
    pub token: Option<Address>,
    /// The first Unix second at which it is good, where the payload says one (EIP-3009).
    pub valid_after: U256,
    /// What the salt was made of, where the terms bind it.
    pub salt_nonce: Option<U256>,
}

impl EscrowOrder {
    /// An order that says what its payment asks, on the chain with this id.
    pub fn new(signed: SignedEscrow, salt_nonce: Option<U256>, chain_id: u64) -> EscrowOrder {
        let collector = signed.by.address();
        let nonce = signed.nonce(chain_id);
        let token = (signed.by == Collector::Permit).then_some(signed.payment.token);
        EscrowOrder { signed, collector, nonce, token, valid_after: U256::ZERO, salt_nonce }
    }
}

/// The terms that `extra` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) operator: Address,
    pub(crate) fee_recipient: Address,
    pub(crate) min_fee_bps: u16,
    pub(crate) max_fee_bps: u16,
    pub(crate) capture_deadline: u64,
    pub(crate) refund_deadline: u64,
    /// Who signs for the seller's side; zero for nobody.
    pub(crate) receiver_authorizer: Address,
    /// The contract that the operator asks; zero for none.
    pub(crate) policy: Address,
    pub(crate) flow: PaymentFlow,
}

impl Extra {
    /// Reads the terms.
    ///
    /// # Errors
    /// [`Invalid::Extra`].
    pub(crate) fn read(terms: &PaymentRequirements) -> Result<Extra, Invalid> {
        let extra = terms.extra.as_ref().ok_or(Invalid::Extra)?;
        let text = |key| extra.get(key).and_then(Value::as_str);
        let address =
            |key| text(key).and_then(|text: &str| exact::address(text).ok()).ok_or(Invalid::Extra);
        // Absent is nobody, as in the SDK; what is no address is refused.
        let or_nobody = |key| match extra.get(key) {
            None | Some(Value::Null) => Ok(Address::ZERO),
            Some(_) => address(key),
        };
        let number = |key, most: u64| {
            extra.get(key).and_then(Value::as_u64).filter(|n| *n <= most).ok_or(Invalid::Extra)
        };
        const MAX_SECONDS: u64 = (1 << 48) - 1;
        if text("name").is_none() || text("version").is_none() {
            return Err(Invalid::Extra);
        }
        if extra.contains_key("authCaptureEscrow")
            && address("authCaptureEscrow")? != AUTH_CAPTURE_ESCROW
        {
            return Err(Invalid::Extra); // v1.0 counts fees otherwise.
        }
        let bps = |key| number(key, u64::from(u16::MAX)).map(|n| n as u16);
        Ok(Extra {
            operator: address("captureAuthorizer")?,
            fee_recipient: address("feeRecipient")?,
            min_fee_bps: bps("minFeeBps")?,
            max_fee_bps: bps("maxFeeBps")?,
            capture_deadline: number(CAPTURE_DEADLINE, MAX_SECONDS)?,
            refund_deadline: number(REFUND_DEADLINE, MAX_SECONDS)?,
            receiver_authorizer: or_nobody("receiverAuthorizer")?,
            policy: or_nobody("policy")?,
            flow: PaymentFlow::of(terms).ok_or(Invalid::Extra)?,
        })
    }

    /// Whether the salt commits to who else has a say.
    pub(crate) fn binds_salt(&self) -> bool {
        !self.receiver_authorizer.is_zero() || !self.policy.is_zero()
    }

    /// The payment of these terms.
    pub(crate) fn payment(
        &self,
        terms: &PaymentRequirements,
        payer: Address,
        amount: U120,
        expiry: U48,
        salt: U256,
    ) -> Result<PaymentInfo, Invalid> {
        Ok(PaymentInfo {
            operator: self.operator,
            payer,
            receiver: exact::address(&terms.pay_to).map_err(|_| Invalid::Format)?,
            token: exact::address(&terms.asset).map_err(|_| Invalid::Format)?,
            maxAmount: amount,
            preApprovalExpiry: expiry,
            authorizationExpiry: U48::from(self.capture_deadline),
            refundExpiry: U48::from(self.refund_deadline),
            minFeeBps: self.min_fee_bps,
            maxFeeBps: self.max_fee_bps,
            feeReceiver: self.fee_recipient,
            salt,
        })
    }
}

/// By which hand terms want the money taken.
///
/// # Errors
/// [`Invalid::Method`].
pub(crate) fn method(terms: &PaymentRequirements) -> Result<Collector, Invalid> {
    match terms.extra.as_ref().and_then(|e| e.get(permit::METHOD)) {
        None | Some(Value::Null) => Ok(Collector::Authorization),
        Some(Value::String(said)) if said == "eip3009" => Ok(Collector::Authorization),
        Some(Value::String(said)) if said == permit::METHOD_PERMIT2 => Ok(Collector::Permit),
        Some(_) => Err(Invalid::Method),
    }
}

/// Reads a payload with the terms that it was made for. It is read, not believed.
///
/// # Errors
/// [`Invalid::Format`], [`Invalid::AmountOverflow`], [`Invalid::Extra`], [`Invalid::Method`],
/// [`Invalid::MethodMismatch`], [`Invalid::Nonce`] where the terms bind the salt and it is another.
pub fn read(payload: &Value, terms: &PaymentRequirements) -> Result<EscrowOrder, Invalid> {
    let wrong = |_| Invalid::Format;
    let text = |of: &Value, key: &str| -> Result<String, Invalid> {
        of.get(key).and_then(Value::as_str).map(str::to_string).ok_or(Invalid::Format)
    };
    if payload.get("type").is_some() {
        return Err(Invalid::Format); // A word on a payment that was collected before.
    }
    let signature = text(payload, "signature")?;
    if signature.len() > 2 + 2 * MAX_SIGNATURE || !signature.starts_with("0x") {
        return Err(Invalid::Format);
    }
    let signature = signature.parse::<Bytes>().map_err(|_| Invalid::Format)?;
    let salt = word(&text(payload, "salt")?)?;
    let salt_nonce = match payload.get("saltNonce") {
        None | Some(Value::Null) => None,
        Some(_) => Some(word(&text(payload, "saltNonce")?)?),
    };
    let (by, order) = match (payload.get("authorization"), payload.get("permit2Authorization")) {
        (Some(order @ Value::Object(_)), None) => (Collector::Authorization, order),
        (None, Some(order @ Value::Object(_))) => (Collector::Permit, order),
        _ => return Err(Invalid::Format),
    };
    let payer = exact::address(&text(order, "from")?).map_err(wrong)?;
    let number = |of: &Value, key: &str| exact::number(&text(of, key)?).map_err(wrong);
    let (collector, token, value, expiry, nonce, valid_after) = match by {
        Collector::Authorization => (
            exact::address(&text(order, "to")?).map_err(wrong)?,
            None,
            number(order, "value")?,
            number(order, "validBefore")?,
            text(order, "nonce")?.parse::<B256>().map_err(|_| Invalid::Format)?,
            number(order, "validAfter")?,
        ),
        Collector::Permit => {
            let permitted = order.get("permitted").ok_or(Invalid::Format)?;
            (
                exact::address(&text(order, "spender")?).map_err(wrong)?,
                Some(exact::address(&text(permitted, "token")?).map_err(wrong)?),
                number(permitted, "amount")?,
                number(order, "deadline")?,
                B256::from(number(order, "nonce")?),
                U256::ZERO,
            )
        }
    };
    let extra = Extra::read(terms)?;
    if method(terms)? != by {
        return Err(Invalid::MethodMismatch);
    }
    let expiry = u64::try_from(expiry).ok().and_then(|e| U48::try_from(e).ok());
    let expiry = expiry.ok_or(Invalid::DeadlineOrder)?;
    let amount = bits120(value).ok_or(Invalid::AmountOverflow)?;
    // Terms that bind no salt leave no room for a second number beside it: who carries a payment
    // could put one there, and what is bound to a request would read as not bound.
    let salt_nonce = salt_nonce.filter(|_| extra.binds_salt());
    if !salt_is_bound(salt, salt_nonce, &extra) {
        return Err(Invalid::Nonce);
    }
    let payment = extra.payment(terms, payer, amount, expiry, salt)?;
    let signed = SignedEscrow { payment, by, signature };
    Ok(EscrowOrder { signed, collector, nonce, token, valid_after, salt_nonce })
}

/// An amount in the 120 bits of the contract; `None` if it has more.
pub(crate) fn bits120(amount: U256) -> Option<U120> {
    u128::try_from(amount).ok().and_then(|amount| U120::try_from(amount).ok())
}

/// Who pays, as far as a payload tells: for answers that refuse it.
pub(crate) fn payer(payload: &Value) -> Option<Address> {
    let order = payload.get("authorization").or_else(|| payload.get("permit2Authorization"))?;
    exact::address(order.get("from")?.as_str()?).ok()
}

/// 32 bytes in hexadecimal; shorter ones are filled up from the left, as the SDK does.
fn word(text: &str) -> Result<U256, Invalid> {
    let digits = text.strip_prefix("0x").ok_or(Invalid::Format)?;
    if digits.is_empty() || digits.len() > 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Invalid::Format);
    }
    U256::from_str_radix(digits, 16).map_err(|_| Invalid::Format)
}

/// Writes the payload of a payment.
pub fn write(order: &EscrowOrder) -> Value {
    let EscrowOrder { signed, collector, nonce, token, valid_after, salt_nonce } = order;
    let payment = &signed.payment;
    let (payer, expiry) = (payment.payer.to_string(), payment.preApprovalExpiry.to_string());
    let mut payload = match signed.by {
        Collector::Authorization => json!({
            "authorization": {
                "from": payer,
                "to": collector.to_string(),
                "value": payment.maxAmount.to_string(),
                "validAfter": valid_after.to_string(),
                "validBefore": expiry,
                "nonce": nonce.to_string(),
            },
        }),
        Collector::Permit => json!({
            "permit2Authorization": {
                "from": payer,
                "permitted": {
                    "token": token.unwrap_or(payment.token).to_string(),
                    "amount": payment.maxAmount.to_string(),
                },
                "spender": collector.to_string(),
                "nonce": U256::from_be_bytes(nonce.0).to_string(),
                "deadline": expiry,
            },
        }),
    };
    payload["signature"] = signed.signature.to_string().into();
    payload["salt"] = B256::from(payment.salt).to_string().into();
    if let Some(nonce) = salt_nonce {
        payload["saltNonce"] = B256::from(*nonce).to_string().into();
    }
    payload
}

/// Whether a bound salt is what it should be, where the terms bind it.
fn salt_is_bound(salt: U256, salt_nonce: Option<U256>, extra: &Extra) -> bool {
    let bound = |nonce| bound_salt(extra.receiver_authorizer, extra.policy, nonce);
    !extra.binds_salt() || salt_nonce.map(bound) == Some(salt)
}

/// Whether 65 bytes are the payer's own signature, as token and Permit2 judge: low s, v 27 or 28.
pub fn signed_by_payer(order: &SignedEscrow, token: &Token) -> bool {
    signed_by(order.payment.payer, &order.signature, order.signing_hash(token))
}

pub(crate) fn signed_by(signer: Address, bytes: &[u8], hash: B256) -> bool {
    if bytes.len() != 65 || !matches!(bytes[64], 27 | 28) {
        return false;
    }
    let Ok(signature) = Signature::from_raw(bytes) else { return false };
    if signature.normalize_s().is_some() {
        return false;
    }
    alloy_consensus::crypto::secp256k1::recover_signer(&signature, hash)
        .is_ok_and(|found| found == signer)
}

/// The payment's name in both books: the contract's own name for it, on this chain.
pub fn reference(order: &SignedEscrow, chain_id: u64) -> Reference {
    reference_of(order.hash(chain_id), chain_id)
}

/// As [`reference()`], from what the chain's events tell.
pub fn reference_of(payment: B256, chain_id: u64) -> Reference {
    Reference::derive("x402/auth-capture", &[&chain_id.to_be_bytes(), payment.as_slice()])
}

/// The last moment at which it can be collected.
pub fn ends_at(order: &SignedEscrow) -> Timestamp {
    Timestamp::from_secs(order.collected_before())
}
