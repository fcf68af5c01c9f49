//! The buyer's way into an escrow and out of it: what it takes, what became of its money, and taking
//! back what nobody captured in time.

use alloy_primitives::aliases::U48;
use alloy_primitives::{B256, U256};
use ledger::{Evidence, Reference, Status};
use mandates::books::Line;
use mandates::{EscrowStep, Held, Stepped};
use money::{Amount, Timestamp};
use protocol::escrow::bound_salt;
use settlement::escrow::{Collector, EscrowEvent, Happened, SignedEscrow};
use settlement::{SenderLimits, Settlement, SettlementError};

use super::answer::blame;
use super::{Answer, Bought, BuyError, Buyer, Choice, Paid, Purchase, SHORTEST_VALIDITY, shown};
use crate::auth_capture::{self, EscrowOrder, Extra};
use crate::offer::PaymentFlow;
use crate::order::Order;
use crate::reconcile::escrow_of;
use crate::wire::PaymentRequirements;

/// How long after a capture's deadline a payment is taken back: the chain's clock may be behind.
const RECLAIM_AFTER: u64 = 30;

/// How much a flow asks of a buyer's trust: nothing, the money for a while, the money.
pub(super) fn trust(terms: &PaymentRequirements) -> u8 {
    match PaymentFlow::of(terms) {
        Some(PaymentFlow::Authorization) => 0,
        Some(PaymentFlow::Escrow) => 1,
        Some(PaymentFlow::Upfront) | None => 2,
    }
}

/// What events say of a payment, as the payer's book takes it.
///
/// # Errors
/// As [`Settlement::amount`].
pub(crate) fn steps<'a>(
    chain: &Settlement,
    events: impl IntoIterator<Item = &'a EscrowEvent>,
) -> Result<Vec<EscrowStep>, SettlementError> {
    let step = |event: &EscrowEvent| {
        let (what, amount) = match event.what {
            Happened::Authorized { amount } => (Stepped::Authorized, amount),
            Happened::Charged { amount, .. } => (Stepped::Charged, amount),
            Happened::Captured { amount, .. } => (Stepped::Captured, amount),
            Happened::Voided { amount } | Happened::Reclaimed { amount } => {
                (Stepped::Returned, amount)
            }
            Happened::Refunded { amount } => (Stepped::Refunded, amount),
        };
        Ok(EscrowStep {
            what,
            amount: chain.amount(amount)?,
            transaction: event.transaction.0,
            log_index: event.log_index,
        })
    };
    events.into_iter().map(step).collect()
}

impl Buyer {
    /// Whether this buyer lets its money lie under these terms.
    pub(super) fn acceptable_escrow(&self, terms: &PaymentRequirements) -> Result<(), String> {
        let extra = Extra::read(terms).map_err(|reason| reason.to_string())?;
        let now = self.clock.now();
        if extra.operator.is_zero() {
            return Err("it names nobody who moves what lies in escrow".into());
        }
        if extra.capture_deadline < now.plus(SHORTEST_VALIDITY).as_secs() {
            return Err("the time to capture what lies in escrow is over, or about to be".into());
        }
        if extra.refund_deadline < extra.capture_deadline {
            return Err("the time to refund ends before the time to capture".into());
        }
        let longest = self.limits.longest_escrow;
        if extra.capture_deadline > now.plus(longest).as_secs() {
            return Err(format!(
                "it would keep the money in escrow until {}, longer than the {} days that this machine lets it lie",
                Timestamp::from_secs(extra.capture_deadline),
                longest.as_secs() / (24 * 60 * 60)
            ));
        }
        Ok(())
    }

    /// The order to sign.
    pub(super) fn order_into_escrow(
        &self,
        choice: &Choice,
        nonce: B256,
        ends: u64,
    ) -> Result<Order, BuyError> {
        let unusable = |cause: String| BuyError::NoWayToPay {
            url: choice.terms.pay_to.chars().take(80).collect(),
            cause,
        };
        let spoken = |reason: auth_capture::Invalid| unusable(reason.to_string());
        let terms = &choice.terms;
        let extra = Extra::read(terms).map_err(spoken)?;
        let by = auth_capture::method(terms).map_err(spoken)?;
        // Nothing is taken any more once nothing could be captured.
        let expiry = U48::try_from(ends.min(extra.capture_deadline))
            .map_err(|_| unusable("its time is out of all bounds".into()))?;
        let value = U256::try_from(choice.amount.minor()).unwrap_or_default();
        let amount = auth_capture::bits120(value)
            .ok_or_else(|| spoken(auth_capture::Invalid::AmountOverflow))?;
        let random: U256 = nonce.into();
        let (salt, salt_nonce) = match extra.binds_salt() {
            false => (random, None),
            true => (bound_salt(extra.receiver_authorizer, extra.policy, random), Some(random)),
        };
        let payer = self.key.address();
        let payment = extra.payment(terms, payer, amount, expiry, salt).map_err(spoken)?;
        let signed = SignedEscrow { payment, by, signature: Default::default() };
        let chain_id = self.chain.token().chain_id;
        Ok(Order::Escrow(Box::new(EscrowOrder::new(signed, salt_nonce, chain_id))))
    }

    /// Signs a held order into escrow.
    pub(super) fn sign_escrow(
        &self,
        signed: &mut SignedEscrow,
        held: &Held,
    ) -> Result<(), BuyError> {
        let token = self.chain.token();
        let signature = match signed.by {
            Collector::Authorization => {
                let (name, version) = (&token.name, &token.version);
                let domain = protocol::dollar_domain(name, version, token.chain_id, token.address);
                self.key.sign_escrow(held, &signed.payment, &domain, token.chain_id)?
            }
            Collector::Permit => {
                self.key.sign_escrow_permit(held, &signed.payment, token.chain_id)?
            }
        };
        signed.signature = signature.as_bytes().to_vec().into();
        Ok(())
    }

    /// The money is in escrow, or was: books what became of it, and tells.
    pub(super) async fn conclude_escrow(
        &self,
        purchase: &Purchase,
        answer: Result<Answer, BuyError>,
        order: &Order,
        held: &Held,
        evidence: Vec<Evidence>,
    ) -> Result<Bought, BuyError> {
        let spend = held.spend();
        let (url, reference, amount) = (shown(&purchase.url), spend.reference, spend.amount);
        let until = Timestamp::from_secs(order.escrow().map_or(0, SignedEscrow::captured_before));
        let open = || BuyError::Open { url: url.clone(), amount, until, reference };
        let Some(signed) = order.escrow() else { return Err(open()) };
        let history = match self.chain.escrow_history(signed).await {
            Ok(history) => history,
            Err(_) => return Err(open()),
        };
        let steps = steps(&self.chain, &history.events).map_err(|_| open())?;
        // What is paid for is delivered, whatever our books say; they are mended later.
        let booked = self.mandates.settle_escrow(spend.machine, reference, &steps, evidence).await;
        if let Err(error) = booked {
            tracing::error!(%reference, %error, "an escrowed purchase could not be booked yet");
        }
        let minor =
            |value: U256| self.chain.amount(value).unwrap_or_else(|_| Amount::zero(amount.asset()));
        let (captured, rest) = (minor(history.captured()), minor(history.capturable()));
        // What was captured, or is still set aside for it.
        let moved = match history.capture().or(history.collected()) {
            Some(event) if captured.is_positive() => Some((captured, event.transaction)),
            Some(event) if rest.is_positive() => Some((rest, event.transaction)),
            _ => None,
        };
        match answer {
            Ok(answer) if answer.status.is_success() => {
                let left = self.mandates.left(spend.machine).unwrap_or_else(|| held.left().clone());
                let paid = moved.map(|(amount, transaction)| Paid {
                    reference,
                    amount,
                    payee: spend.payee,
                    transaction: Some(transaction),
                    left,
                });
                let Answer { status, headers, body, .. } = answer;
                Ok(Bought { status, headers, body, paid })
            }
            answer => {
                let (status, cause) = blame(&answer);
                match moved {
                    Some((amount, transaction)) if captured.is_positive() => {
                        Err(BuyError::PaidNotDelivered {
                            url,
                            status,
                            cause,
                            amount,
                            transaction,
                            reference,
                        })
                    }
                    Some((amount, _)) => {
                        let rest = format!(
                            "{amount} lies in escrow; what is not captured by {until} comes back"
                        );
                        Err(BuyError::NotCaptured { url, status, cause, rest, reference })
                    }
                    None => {
                        let rest = format!("the {amount} that lay in escrow came back");
                        Err(BuyError::NotCaptured { url, status, cause, rest, reference })
                    }
                }
            }
        }
    }

    /// Takes back what lies in escrow though the time to capture it is over. Returns the payments
    /// that it took back; the bookkeeper books them. Call it every now and then: it costs nothing
    /// where nothing is due.
    ///
    /// # Errors
    /// [`BuyError::Chain`], [`BuyError::Store`]; what was taken back before stays so.
    pub async fn reclaim(&self, limits: SenderLimits) -> Result<Vec<Reference>, BuyError> {
        let now = self.clock.now().as_secs();
        let (party, asset) = (self.party(), self.chain.token().asset);
        let escrow = Line::Escrow.of(party, asset);
        // An asset: nothing lies there, most of the time.
        let any = self.ledger.read(|s| s.balance(&escrow).is_some_and(|b| b.settled().minor() > 0));
        if !any {
            return Ok(Vec::new());
        }
        let paid: Vec<Reference> = self.ledger.read(|state| {
            let entries = state.entries_of(escrow).filter(|r| r.transfer.debit == escrow);
            entries.map(|r| r.transfer.reference).collect()
        });
        let mut taken = Vec::new();
        for reference in paid {
            let Some(book) = self.mandates.escrow(party, reference) else { continue };
            if book.status == Status::Held || !book.in_escrow.is_positive() {
                continue;
            }
            let Some(signed) = escrow_of(&self.ledger, reference)? else { continue };
            if now < signed.captured_before().saturating_add(RECLAIM_AFTER) {
                continue;
            }
            let name = signed.hash(self.chain.token().chain_id);
            if self.chain.escrow_state(name).await?.capturable.is_zero() {
                continue; // It went on or back, and is to be booked.
            }
            let ours = self.chain.sending_by(self.key.transaction_signer(), limits);
            match ours.reclaim(&signed.payment).await {
                Ok(_) => taken.push(reference),
                // Its operator was faster, or the chain's clock is behind.
                Err(SettlementError::Reverted { reason, .. }) => {
                    tracing::info!(%reference, reason, "what lies in escrow cannot be taken back yet");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(taken)
    }
}
