//! Money put into a channel: how its order is signed, held and kept, and what became of it.
//!
//! | the quote says (`extra.assetTransferMethod`) | what is signed | approval |
//! |---|---|---|
//! | nothing, or `eip3009` | an order to the token itself | none needed |
//! | `permit2` | an order through Permit2, with the channel as its witness | there, or by signature along (EIP-2612) |
//!
//! A seller that offers both at one price gets the first. Where Permit2 is not approved and the
//! seller carries no approval, nothing is signed, and the purchase is paid in another way.
//!
//! An approval is for exactly the deposit, since the collector takes no other, and its number is
//! the token's next: so deposits that bring one take turns with all other payments that do.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolStruct as _;
use ledger::Evidence;
use mandates::{DepositSpend, HeldDeposit, HeldVoucher, MandateError, Spend, VoucherSpend};
use money::{Amount, Timestamp};
use protocol::ReceiveWithAuthorization;
use protocol::addresses::{ERC3009_DEPOSIT_COLLECTOR, PERMIT2_DEPOSIT_COLLECTOR};
use protocol::channels::{DepositPermit, TokenPermissions};
use protocol::permit2::permit2_domain;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use settlement::{AuthorizationState, Settlement, SettlementError};
use tokio::sync::OwnedMutexGuard;

use super::paying::units;
use super::{Buyer, InHand, Offered};
use crate::buyer::{Answer, Approval, BuyError, Purchase, shown, stage};
use crate::channel::voucher::deposit_nonce;
use crate::channel::wire::{
    Deposit, DepositAuthorization, DepositWitness, Payload, Permitted, Units,
};
use crate::documents;
use crate::wire::{PaymentRequired, PaymentRequirements};
use crate::{exact, order, permit};

/// The voucher that went with a deposit, kept with the deposit's reference: [`VoucherSpend`].
pub(crate) const FIRST_VOUCHER: &str = "channel/first-voucher";

/// How a deposit is signed. The order of preference at the same price: what needs no approval comes
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DepositMethod {
    /// An order to the token itself (EIP-3009).
    Token,
    /// An order through Permit2.
    Permit,
}

impl DepositMethod {
    /// How terms want deposits to be signed. Where nothing is said it is EIP-3009, as the reference
    /// SDK has it.
    pub(crate) fn of(terms: &PaymentRequirements) -> Result<DepositMethod, String> {
        match terms.extra.as_ref().and_then(|extra| extra.get(permit::METHOD)) {
            None | Some(Value::Null) => Ok(DepositMethod::Token),
            Some(Value::String(method)) if method == "eip3009" => Ok(DepositMethod::Token),
            Some(Value::String(method)) if method == permit::METHOD_PERMIT2 => {
                Ok(DepositMethod::Permit)
            }
            Some(_) => Err("it takes deposits in a way that is not spoken here".into()),
        }
    }
}

/// A deposit that is signed. The same one goes with every voucher of the purchase.
pub(super) struct SignedDeposit {
    pub(super) held: HeldDeposit,
    pub(super) wire: Deposit,
    pub(super) order: DepositOrder,
    /// The approval of Permit2 that goes along, as extensions of the payment.
    pub(super) approval: Option<Map<String, Value>>,
    /// Kept until the deposit's fate is known, or given up: approvals are numbered.
    pub(super) _turn: Option<OwnedMutexGuard<()>>,
}

/// What the chain shows of a deposit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// It is in the channel, and booked.
    Booked,
    /// It is in the channel by a block that may still vanish: it does not count yet.
    Unconfirmed,
    /// Nothing.
    Unknown,
}

/// What names a deposit's order on the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DepositOrder {
    by: OrderedBy,
    /// The last moment at which it can be used.
    pub(crate) ends_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderedBy {
    /// The nonce that the token keeps.
    Authorization(B256),
    /// The number that Permit2 keeps, and what it may move.
    Permit { nonce: U256, amount: U256, deadline: U256 },
}

impl DepositOrder {
    /// The payer and the deposit in a kept payload, if there is one.
    pub(crate) fn read(payload: &Value) -> Option<(Address, DepositOrder)> {
        let payload = Payload::deserialize(payload).ok()?;
        let Payload::Deposit { channel_config, voucher, deposit } = payload else { return None };
        Some((channel_config.payer, DepositOrder::of(voucher.channel_id, &deposit)))
    }

    /// What names a deposit into a channel.
    pub(crate) fn of(channel: B256, deposit: &Deposit) -> DepositOrder {
        let (by, ends) = match &deposit.authorization {
            DepositAuthorization::Erc3009 { valid_before, salt, .. } => {
                (OrderedBy::Authorization(deposit_nonce(channel, *salt)), *valid_before)
            }
            DepositAuthorization::Permit2 { nonce, deadline, .. } => {
                let amount = U256::from(deposit.amount.0);
                (OrderedBy::Permit { nonce: *nonce, amount, deadline: *deadline }, *deadline)
            }
        };
        DepositOrder { by, ends_at: Timestamp::from_secs(ends.saturating_to()) }
    }

    /// Whether its number is spent, for whatever: nothing is searched.
    ///
    /// # Errors
    /// As every reading of the chain.
    pub(crate) async fn is_spent(
        &self,
        chain: &Settlement,
        payer: Address,
    ) -> Result<bool, SettlementError> {
        match self.by {
            OrderedBy::Authorization(nonce) => chain.authorization_used(payer, nonce).await,
            OrderedBy::Permit { nonce, .. } => chain.permit_used(payer, nonce).await,
        }
    }

    /// What became of it.
    ///
    /// # Errors
    /// As every reading of the chain; [`SettlementError::Pending`] while it stands in a block that
    /// may vanish, [`SettlementError::Unreadable`] if it is spent and the chain does not show for
    /// what.
    pub(crate) async fn state(
        &self,
        chain: &Settlement,
        payer: Address,
    ) -> Result<AuthorizationState, SettlementError> {
        match self.by {
            OrderedBy::Authorization(nonce) => chain.authorization(payer, nonce, 0).await,
            OrderedBy::Permit { nonce, amount, deadline } => {
                order::known(chain.deposit_permit_state(payer, nonce, amount, deadline).await?)
            }
        }
    }
}

impl Buyer {
    /// Whether a deposit could be made where one is needed, before anything is signed.
    pub(super) async fn may_deposit(
        &self,
        purchase: &Purchase,
        quote: &PaymentRequired,
        offered: &Offered,
        channel: &InHand,
    ) -> Result<(), BuyError> {
        let available = self.book_of(channel.id)?.available();
        if offered.by == DepositMethod::Token || available.minor() >= offered.amount.minor() {
            return Ok(());
        }
        let amount = U256::from(units(self.deposit_amount(offered, available)?));
        let approval = self.permit2_approval(quote, &offered.terms, amount, true).await;
        approval
            .map(drop)
            .map_err(|cause| BuyError::NoWayToPay { url: shown(&purchase.url), cause })
    }

    /// Sets aside what is put in, and signs for it.
    pub(super) async fn hold_deposit(
        &self,
        quote: &PaymentRequired,
        offered: &Offered,
        channel: &InHand,
        voucher: VoucherSpend,
        decision: &Value,
        mut evidence: Vec<Evidence>,
    ) -> Result<SignedDeposit, BuyError> {
        let amount = self.deposit_amount(offered, self.book_of(channel.id)?.available())?;
        let value = U256::from(units(amount));
        // One at a time from the look at the approval to its use: what one brings, another spends.
        let (turn, approval) = match offered.by {
            DepositMethod::Token => (None, Approval::There),
            DepositMethod::Permit => {
                let turn = self.approving.clone().lock_owned().await;
                let approval = self.permit2_approval(quote, &offered.terms, value, true).await;
                let no_way = |cause| BuyError::Channel { channel: channel.id, cause };
                (Some(turn), approval.map_err(no_way)?)
            }
        };
        let now = self.clock.now();
        let validity = Duration::from_secs(offered.terms.max_timeout_seconds)
            .min(self.limits.longest_validity);
        let ends_at = Timestamp::from_secs(now.as_secs() + validity.as_secs());
        let token = self.chain.token();
        let unsigned = match offered.by {
            DepositMethod::Token => self.to_the_token(channel.id, value, ends_at),
            DepositMethod::Permit => self.through_permit2(channel.id, value, ends_at),
        };
        let reference = match &unsigned {
            Unsigned::Authorization { order, .. } => {
                exact::reference_of(order.from, order.nonce, token)
            }
            Unsigned::Permit(order) => {
                permit::reference_of(self.key.address(), order.nonce, token.chain_id)
            }
        };
        let domain =
            protocol::dollar_domain(&token.name, &token.version, token.chain_id, token.address);
        let hash = match &unsigned {
            Unsigned::Authorization { order, .. } => order.eip712_signing_hash(&domain),
            Unsigned::Permit(order) => order.eip712_signing_hash(&permit2_domain(token.chain_id)),
        };
        evidence.push(documents::json(reference, stage::DECISION, decision));
        evidence.push(documents::json(reference, FIRST_VOUCHER, &voucher));
        let deposit = DepositSpend {
            spend: Spend {
                machine: self.party(),
                payee: offered.payee,
                amount,
                reference,
                digest: voucher.digest,
                order: hash,
                until: ends_at.plus(self.limits.grace),
            },
            voucher,
        };
        let held = self.mandates.hold_deposit(deposit, now, evidence).await?;
        let signed = async {
            let authorization = match &unsigned {
                Unsigned::Authorization { order, salt } => DepositAuthorization::Erc3009 {
                    valid_after: order.validAfter,
                    valid_before: order.validBefore,
                    salt: *salt,
                    signature: self
                        .key
                        .sign_deposit(&held, order, *salt, &domain)?
                        .as_bytes()
                        .to_vec()
                        .into(),
                },
                Unsigned::Permit(order) => DepositAuthorization::Permit2 {
                    from: self.key.address(),
                    permitted: Permitted {
                        token: order.permitted.token,
                        amount: order.permitted.amount,
                    },
                    spender: order.spender,
                    nonce: order.nonce,
                    deadline: order.deadline,
                    witness: DepositWitness { channel_id: order.witness.channelId },
                    signature: self
                        .key
                        .sign_deposit_permit(&held, order, token.chain_id)?
                        .as_bytes()
                        .to_vec()
                        .into(),
                },
            };
            let along = match approval {
                Approval::There => None,
                Approval::Along => {
                    let sign = |approval: &_, domain: &_| {
                        self.key.sign_deposit_approval(&held, approval, domain)
                    };
                    let deadline = U256::from(ends_at.as_secs());
                    Some(self.approval_along(quote, value, deadline, sign).await?)
                }
            };
            Ok::<_, BuyError>((authorization, along))
        };
        let (authorization, approval) = match signed.await {
            Ok(signed) => signed,
            Err(error) => {
                // It never left, so the hold can go at once.
                self.mandates.release(reference, Vec::new()).await?;
                return Err(error);
            }
        };
        let wire = Deposit { amount: Units(units(amount)), authorization };
        let order = DepositOrder::of(channel.id, &wire);
        Ok(SignedDeposit { held, wire, order, approval, _turn: turn })
    }

    fn to_the_token(&self, channel: B256, value: U256, ends_at: Timestamp) -> Unsigned {
        let salt = U256::from_be_bytes((self.entropy)());
        let order = ReceiveWithAuthorization {
            from: self.key.address(),
            to: ERC3009_DEPOSIT_COLLECTOR,
            value,
            // At once, as stock clients have it: a chain that rests is far behind our clock.
            validAfter: U256::ZERO,
            validBefore: U256::from(ends_at.as_secs()),
            nonce: deposit_nonce(channel, salt),
        };
        Unsigned::Authorization { order, salt }
    }

    fn through_permit2(&self, channel: B256, amount: U256, ends_at: Timestamp) -> Unsigned {
        Unsigned::Permit(DepositPermit {
            permitted: TokenPermissions { token: self.chain.token().address, amount },
            spender: PERMIT2_DEPOSIT_COLLECTOR,
            // Of 256 random bits, as each of this payer's numbers for Permit2.
            nonce: U256::from_be_bytes((self.entropy)()),
            deadline: U256::from(ends_at.as_secs()),
            witness: protocol::channels::DepositWitness { channelId: channel },
        })
    }

    /// How much is put in: for some purchases, within mandate and wallet.
    fn deposit_amount(&self, offered: &Offered, available: Amount) -> Result<Amount, BuyError> {
        let price = offered.amount.minor();
        let policy = i128::from(self.limits.channels.deposit_prices.max(1));
        let hint = offered
            .terms
            .extra
            .as_ref()
            .and_then(|extra| extra.get("minDeposit"))
            .and_then(Value::as_str)
            .filter(|text| text.len() <= 38 && text.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|text| text.parse::<i128>().ok())
            .filter(|hint| *hint >= price && *hint <= price.saturating_mul(policy * 4));
        let needed = price - available.minor().max(0);
        let wanted = price.saturating_mul(policy).max(hint.unwrap_or(0)).max(needed);
        let room = self.room().ok_or(MandateError::NoMandate { machine: self.party() })?;
        let amount = Amount::from_minor(offered.amount.asset(), wanted.min(room).max(needed));
        // More than there is room for is refused by the mandate, with its own words.
        Ok(amount)
    }

    /// Learns from the chain what became of a deposit, and books it if it counts.
    pub(super) async fn follow_deposit(
        &self,
        deposit: &SignedDeposit,
        voucher: &HeldVoucher,
        answer: &Result<Answer, BuyError>,
    ) -> Result<Made, BuyError> {
        let looks = if answer.as_ref().is_ok_and(|a| a.status.is_success()) { 6 } else { 1 };
        let mut pause = Duration::from_millis(50);
        let reference = deposit.held.spend().reference;
        let mut made = Made::Unknown;
        for look in 1..=looks {
            let state = deposit.order.state(&self.chain, self.key.address()).await;
            match state {
                Ok(AuthorizationState::Used { .. }) => {
                    let voucher = Some(voucher.spend());
                    self.mandates.settle_deposit(reference, voucher, Vec::new()).await?;
                    return Ok(Made::Booked);
                }
                Err(SettlementError::Pending { .. }) => made = Made::Unconfirmed,
                Ok(_) | Err(_) => {}
            }
            if look < looks {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        Ok(made)
    }
}

/// An order for a deposit, before it is signed.
enum Unsigned {
    /// To the token; the salt that, with the channel's name, makes its nonce.
    Authorization { order: ReceiveWithAuthorization, salt: U256 },
    /// Through Permit2.
    Permit(DepositPermit),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_quote_says_how_deposits_are_signed_and_silence_is_eip3009() {
        let of = |method: Value| {
            let terms = json!({
                "scheme": "batch-settlement", "network": "eip155:1", "amount": "1", "asset": "0x",
                "payTo": "0x", "maxTimeoutSeconds": 60, "extra": { "assetTransferMethod": method },
            });
            DepositMethod::of(&serde_json::from_value(terms).unwrap())
        };
        assert_eq!(of(Value::Null), Ok(DepositMethod::Token));
        assert_eq!(of(json!("eip3009")), Ok(DepositMethod::Token));
        assert_eq!(of(json!("permit2")), Ok(DepositMethod::Permit));
        for other in [json!("eip7702"), json!(7), json!({}), json!("")] {
            assert!(of(other.clone()).is_err(), "{other}");
        }
        assert!(DepositMethod::Token < DepositMethod::Permit);
    }
}
