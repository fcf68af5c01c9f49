//! What is done with a payment after it came into escrow, on the wire: capture, void, refund.
//!
//! A seller says it to the operator as the payload of a settlement. Sellers elsewhere sign it, with
//! the key that the payer's salt names (`receiverAuthorizer`): so whoever reaches a facilitator can
//! neither take a payer's money for a seller, nor send a seller's back. What it says of the payment's
//! state must be so, or nothing is done: the same word twice does it once.
//!
//! Form and typed data are those of `@x402/evm` (`auth-capture/types.ts`, `constants.ts`, v1.1).

use alloy_primitives::aliases::U48;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{Eip712Domain, SolStruct as _, sol};
use protocol::addresses::OPERATOR_REFUND_COLLECTOR;
use protocol::escrow::{PaymentInfo, bound_salt, payment_hash};
use serde_json::{Value, json};
use settlement::escrow::{Act, EscrowState, Fee};

use super::{Invalid, bits120, signed_by, word};
use crate::exact::{self, MAX_SIGNATURE};

sol! {
    struct Capture {
        bytes32 paymentInfoHash;
        uint256 amount;
        uint256 feeAmount;
        address feeReceiver;
        uint256 expectedCapturableAmount;
        uint256 expectedRefundableAmount;
    }
    struct Void {
        bytes32 paymentInfoHash;
    }
    struct Refund {
        bytes32 paymentInfoHash;
        uint256 amount;
        address tokenCollector;
        uint256 expectedCapturableAmount;
        uint256 expectedRefundableAmount;
    }
}

/// What is to be done with a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifecycle {
    /// Which payment.
    pub payment: PaymentInfo,
    /// What: [`Act::Capture`], [`Act::Void`] or [`Act::Refund`].
    pub act: Act,
    /// How far the payment must be, or nothing is done: in escrow, and captured but not refunded.
    pub expected: Option<(U256, U256)>,
    /// What the salt was made of.
    pub salt_nonce: Option<U256>,
    /// Of the seller's side; needed from strangers.
    pub signature: Option<Bytes>,
}

impl Lifecycle {
    /// Something to do while a payment is in this state.
    pub fn new(payment: PaymentInfo, act: Act, state: &EscrowState) -> Lifecycle {
        let expected = Some((state.capturable, state.refundable));
        Lifecycle { payment, act, expected, salt_nonce: None, signature: None }
    }

    /// Whether a payload says such a thing.
    pub fn is_one(payload: &Value) -> bool {
        payload.get("type").is_some()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`Invalid::Format`].
    pub fn read(payload: &Value) -> Result<Lifecycle, Invalid> {
        let text = |of: &Value, key: &str| -> Result<String, Invalid> {
            of.get(key).and_then(Value::as_str).map(str::to_string).ok_or(Invalid::Format)
        };
        let number = |key: &str| exact::number(&text(payload, key)?).map_err(|_| Invalid::Format);
        let address =
            |of: &Value, key: &str| exact::address(&text(of, key)?).map_err(|_| Invalid::Format);
        let payment = read_payment(payload.get("paymentInfo").ok_or(Invalid::Format)?)?;
        let expected = match payload.get("expectedCapturableAmount") {
            None => None,
            Some(_) => {
                Some((number("expectedCapturableAmount")?, number("expectedRefundableAmount")?))
            }
        };
        let act = match text(payload, "type")?.as_str() {
            "capture" => {
                // Two words at once: to void the rest is said by a payload of its own here.
                if payload.get("voidAuthorizerSignature").is_some_and(|v| !v.is_null()) {
                    return Err(Invalid::Format);
                }
                let fee = Fee {
                    amount: number("feeAmount")?,
                    receiver: address(payload, "feeReceiver")?,
                };
                Act::Capture { amount: number("amount")?, fee }
            }
            "void" => Act::Void,
            "refund" => Act::Refund { amount: number("amount")? },
            _ => return Err(Invalid::Format),
        };
        if expected.is_none() && act != Act::Void {
            return Err(Invalid::Format);
        }
        let salt_nonce = match payload.get("saltNonce") {
            None | Some(Value::Null) => None,
            Some(_) => Some(word(&text(payload, "saltNonce")?)?),
        };
        let signature = match payload.get("authorizerSignature") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.len() <= 2 + 2 * MAX_SIGNATURE => {
                Some(text.parse().map_err(|_| Invalid::Format)?)
            }
            Some(_) => return Err(Invalid::Format),
        };
        Ok(Lifecycle { payment, act, expected, salt_nonce, signature })
    }

    /// Writes a payload.
    pub fn write(&self) -> Value {
        let mut payload = match &self.act {
            Act::Capture { amount, fee } => json!({
                "type": "capture",
                "amount": amount.to_string(),
                "feeAmount": fee.amount.to_string(),
                "feeReceiver": fee.receiver.to_string(),
            }),
            Act::Refund { amount } => json!({ "type": "refund", "amount": amount.to_string() }),
            // The others are no words of a seller's.
            _ => json!({ "type": "void" }),
        };
        payload["paymentInfo"] = write_payment(&self.payment);
        if let Some((capturable, refundable)) = self.expected {
            payload["expectedCapturableAmount"] = capturable.to_string().into();
            payload["expectedRefundableAmount"] = refundable.to_string().into();
        }
        if let Some(nonce) = self.salt_nonce {
            payload["saltNonce"] = B256::from(nonce).to_string().into();
        }
        if let Some(signature) = &self.signature {
            payload["authorizerSignature"] = signature.to_string().into();
        }
        payload
    }

    /// What the seller's side signs (EIP-712, in the domain of the payment's operator).
    pub fn signing_hash(&self, chain_id: u64) -> B256 {
        let domain = Eip712Domain::new(
            Some("x402 Auth Capture Operator".into()),
            Some("1".into()),
            Some(U256::from(chain_id)),
            Some(self.payment.operator),
            None,
        );
        let hash = payment_hash(&self.payment, chain_id);
        let (capturable, refundable) = self.expected.unwrap_or_default();
        match &self.act {
            Act::Capture { amount, fee } => Capture {
                paymentInfoHash: hash,
                amount: *amount,
                feeAmount: fee.amount,
                feeReceiver: fee.receiver,
                expectedCapturableAmount: capturable,
                expectedRefundableAmount: refundable,
            }
            .eip712_signing_hash(&domain),
            Act::Refund { amount } => Refund {
                paymentInfoHash: hash,
                amount: *amount,
                tokenCollector: OPERATOR_REFUND_COLLECTOR,
                expectedCapturableAmount: capturable,
                expectedRefundableAmount: refundable,
            }
            .eip712_signing_hash(&domain),
            _ => Void { paymentInfoHash: hash }.eip712_signing_hash(&domain),
        }
    }

    /// The same with the word of the seller's side, for an operator who does not know the seller:
    /// `payload` is the payment, in which the payer tells what its salt was made of.
    pub(crate) fn authorized(
        mut self,
        payload: &Value,
        chain_id: u64,
        sign: impl FnOnce(B256) -> Bytes,
    ) -> Lifecycle {
        let nonce = payload.get("saltNonce").and_then(Value::as_str);
        self.salt_nonce = nonce.and_then(|text| word(text).ok());
        self.signature = Some(sign(self.signing_hash(chain_id)));
        self
    }

    /// Whether a key signed it whom the payer named when it signed the payment. A policy, which the
    /// operator would have to ask, is named by none that is taken here.
    pub fn is_authorized(&self, authorizer: Address, chain_id: u64) -> bool {
        let (Some(nonce), Some(signature)) = (self.salt_nonce, &self.signature) else {
            return false;
        };
        !authorizer.is_zero()
            && bound_salt(authorizer, Address::ZERO, nonce) == self.payment.salt
            && signed_by(authorizer, signature, self.signing_hash(chain_id))
    }
}

fn read_payment(value: &Value) -> Result<PaymentInfo, Invalid> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).ok_or(Invalid::Format);
    let address = |key| exact::address(text(key)?).map_err(|_| Invalid::Format);
    let seconds = |key: &str| {
        let seconds = value.get(key).and_then(Value::as_u64).ok_or(Invalid::Format)?;
        U48::try_from(seconds).map_err(|_| Invalid::Format)
    };
    let bps = |key: &str| {
        let bps = value.get(key).and_then(Value::as_u64).ok_or(Invalid::Format)?;
        u16::try_from(bps).map_err(|_| Invalid::Format)
    };
    let amount = exact::number(text("maxAmount")?).map_err(|_| Invalid::Format)?;
    Ok(PaymentInfo {
        operator: address("operator")?,
        payer: address("payer")?,
        receiver: address("receiver")?,
        token: address("token")?,
        maxAmount: bits120(amount).ok_or(Invalid::Format)?,
        preApprovalExpiry: seconds("preApprovalExpiry")?,
        authorizationExpiry: seconds("authorizationExpiry")?,
        refundExpiry: seconds("refundExpiry")?,
        minFeeBps: bps("minFeeBps")?,
        maxFeeBps: bps("maxFeeBps")?,
        feeReceiver: address("feeReceiver")?,
        salt: word(text("salt")?)?,
    })
}

fn write_payment(payment: &PaymentInfo) -> Value {
    json!({
        "operator": payment.operator.to_string(),
        "payer": payment.payer.to_string(),
        "receiver": payment.receiver.to_string(),
        "token": payment.token.to_string(),
        "maxAmount": payment.maxAmount.to_string(),
        "preApprovalExpiry": payment.preApprovalExpiry.to::<u64>(),
        "authorizationExpiry": payment.authorizationExpiry.to::<u64>(),
        "refundExpiry": payment.refundExpiry.to::<u64>(),
        "minFeeBps": payment.minFeeBps,
        "maxFeeBps": payment.maxFeeBps,
        "feeReceiver": payment.feeReceiver.to_string(),
        "salt": B256::from(payment.salt).to_string(),
    })
}
