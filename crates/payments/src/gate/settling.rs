//! What becomes of a held payment: it is settled or let go by what the chain says, now, when it
//! is asked again, or after a crash.

use std::time::Duration;

use alloy_primitives::U256;
use bytes::Bytes;
use ledger::{
    Evidence, LedgerError, Operation, Outcome, Reason, Reference, Refusal, Status, Write,
};
use mandates::books::{self, Line};
use money::{Amount, Party};
use settlement::AuthorizationState;
use settlement::escrow::Fee;

use super::reply::{AnswerHead, Reply, Stored, Streamed};
use super::{Gate, Paid, stage};
use crate::documents;
use crate::exact::Invalid;
use crate::extensions::receipt;
use crate::facilitator;
use crate::offer::{self, Offer, PaymentFlow};
use crate::order::Order;
use crate::wire::{PaymentPayload, PaymentRequired, PaymentRequirements, SettleResponse};

/// How much later than its end a payment counts as dead: the chain's clock may be behind ours.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// A payment that is held, and what settles it.
pub(super) struct Due<'a> {
    pub(super) reference: Reference,
    /// What was bought, as its receipt names it.
    pub(super) resource: &'a str,
    pub(super) payee: Party,
    pub(super) payment: &'a PaymentPayload,
    pub(super) order: &'a Order,
    /// What this seller asks; never what the buyer claims to have accepted.
    pub(super) requirements: &'a PaymentRequirements,
    /// What the answer costs: the price, or less where the payment is for up to the price.
    pub(super) charge: Amount,
    /// How long to ask the chain about an outcome that is not clear; at least once.
    pub(super) patience: Duration,
}

impl Due<'_> {
    /// Whether its money lies in an escrow until the work is done.
    pub(super) fn is_in_escrow(&self) -> bool {
        PaymentFlow::of(self.requirements) == Some(PaymentFlow::Escrow)
    }

    pub(super) fn failed(&self, reason: Invalid) -> SettleResponse {
        SettleResponse {
            success: false,
            error_reason: Some(reason.code().into()),
            error_message: Some(reason.to_string()),
            payer: Some(self.order.payer().to_string()),
            network: self.requirements.network.clone(),
            ..SettleResponse::default()
        }
    }

    pub(super) fn settled(&self, transaction: String, amount: String) -> SettleResponse {
        SettleResponse {
            success: true,
            payer: Some(self.order.payer().to_string()),
            transaction,
            network: self.requirements.network.clone(),
            amount: Some(amount),
            ..SettleResponse::default()
        }
    }

    /// What the facilitator is asked to move.
    fn asked(&self) -> PaymentRequirements {
        PaymentRequirements { amount: self.charge.minor().to_string(), ..self.requirements.clone() }
    }

    /// What moved by a settlement that succeeded.
    fn moved(&self, response: &SettleResponse) -> Amount {
        let told = response.amount.as_deref().and_then(|a| a.parse::<i128>().ok());
        let minor = told.unwrap_or(self.charge.minor());
        // What an operator takes of a charge does not reach the seller.
        let fee = self.order.escrow().map_or(0, |signed| {
            let fee = Fee::least(&signed.payment, U256::from(minor.unsigned_abs()));
            i128::try_from(fee.amount).unwrap_or_default()
        });
        Amount::from_minor(self.charge.asset(), minor - fee)
    }

    /// What the chain's word comes to, if it is one.
    fn said(&self, state: &AuthorizationState) -> Option<SettleResponse> {
        match state {
            AuthorizationState::Used { transaction, to, value, .. }
                if Party::from(*to) == self.payee
                    && U256::try_from(self.charge.minor()).is_ok_and(|charge| *value >= charge)
                    && *value <= self.order.most() =>
            {
                Some(self.settled(transaction.to_string(), value.to_string()))
            }
            AuthorizationState::Used { .. } | AuthorizationState::Cancelled => {
                Some(self.failed(Invalid::NonceUsed))
            }
            AuthorizationState::Unused => None,
        }
    }
}

/// What the journal keeps of a payment.
struct Kept {
    payment: Option<PaymentPayload>,
    requirements: Option<PaymentRequirements>,
    /// The address of what was bought; empty if it is not known.
    resource: String,
    stored: Option<Stored>,
}

impl Gate {
    /// Settles a held, delivered payment, and resolves its hold by what the chain says.
    ///
    /// `None`: the outcome is still open, and the hold stays.
    pub(super) async fn settle(&self, due: &Due<'_>) -> Option<SettleResponse> {
        let (mut response, in_escrow) = match due.charge.is_zero() {
            _ if due.is_in_escrow() => {
                let (response, moved) = self.finish_escrow(due).await?;
                (response, Some(moved))
            }
            // What costs nothing needs no transaction: the signed payment ends unused.
            true => (due.settled(String::new(), "0".into()), None),
            false => (self.carry(due).await?, None),
        };
        if let Some(notary) = self.extras.notary_of(due.payee) {
            receipt::attest(notary, &mut response, due.resource, self.clock.now());
        }
        let hold = books::sale_id(due.reference);
        let moved = match in_escrow {
            Some(moved) => moved,
            None => self.charged(due).await.unwrap_or_else(|| due.moved(&response)),
        };
        let operation = if response.success && moved.is_positive() {
            Operation::Post { hold, amount: Some(moved) }
        } else {
            Operation::Void { hold }
        };
        let evidence = vec![documents::json(due.reference, stage::SETTLEMENT, &response)];
        match self.resolve(operation, evidence.clone()).await {
            Ok(Outcome::Applied) => Some(response),
            // Somebody resolved it meanwhile; what was kept then stands.
            Ok(Outcome::Exists) => {
                let kept = self.kept(due.reference).ok().and_then(|k| k.stored?.settlement);
                Some(kept.unwrap_or(response))
            }
            // The hold is gone and the chain is right: the bookkeeper books it late.
            Ok(Outcome::Refused(Refusal {
                reason: Reason::HoldExpired { .. } | Reason::HoldAlreadyVoided { .. },
                ..
            })) => {
                let _ = self.ledger.submit(Write::evidence(evidence)).await;
                Some(response)
            }
            Ok(Outcome::Refused(_)) | Err(_) => None,
        }
    }

    /// What reached the seller by a charge through the escrow, as its events tell; `None` of
    /// another order, and while they cannot be read. Then it is less the least fee, which is what
    /// our own facilitator takes.
    async fn charged(&self, due: &Due<'_>) -> Option<Amount> {
        let history = self.chain.escrow_history(due.order.escrow()?).await.ok()?;
        history.capture()?;
        let net = history.captured().saturating_sub(history.fees());
        Some(Amount::from_minor(due.charge.asset(), i128::try_from(net).ok()?))
    }

    /// Has the money moved; `None` if it is not clear whether it did.
    async fn carry(&self, due: &Due<'_>) -> Option<SettleResponse> {
        let asked = due.asked();
        let settling = self.facilitator.settle(due.payment, &asked);
        // One that never answers must not keep a place for ever.
        match tokio::time::timeout(self.limits.settle_wait, settling).await {
            Ok(Ok(response)) if response.success && self.facilitator.proves_success() => {
                Some(response)
            }
            Ok(Ok(unproven)) => self.ask_chain(due, Some(unproven)).await,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a settlement got no answer; the chain is asked");
                self.ask_chain(due, None).await
            }
            Err(_) => {
                tracing::warn!("a settlement got no answer in time; the chain is asked");
                self.ask_chain(due, None).await
            }
        }
    }

    /// What the chain says of a settlement that is not proven, asked until it is clear or the
    /// wait runs out.
    async fn ask_chain(
        &self,
        due: &Due<'_>,
        reported: Option<SettleResponse>,
    ) -> Option<SettleResponse> {
        // What the facilitator refused before sending can no longer move money by its hand.
        let open = match &reported {
            None => true,
            Some(response) => {
                response.success
                    || response.error_reason.as_deref().is_some_and(facilitator::is_open)
            }
        };
        let dead_at = due.order.ends_at().plus(CLOCK_SKEW);
        let deadline = tokio::time::Instant::now() + due.patience;
        let mut pause = Duration::from_millis(20);
        loop {
            match due.order.received(&self.chain).await {
                Ok(state) => match due.said(&state) {
                    Some(response) => return Some(response),
                    None if !open => {
                        return Some(reported.unwrap_or_else(|| due.failed(Invalid::Transaction)));
                    }
                    // A mined transaction that failed leaves it unused for ever, if nobody resends.
                    None if self.clock.now() > dead_at => {
                        return Some(due.failed(Invalid::ValidBefore));
                    }
                    None => {}
                },
                Err(error) => tracing::warn!(%error, "the chain cannot tell of a settlement"),
            }
            if tokio::time::Instant::now() + pause > deadline {
                return None;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// Writes to the books, and says in the log what they refuse.
    pub(super) async fn resolve(
        &self,
        operation: Operation,
        evidence: Vec<Evidence>,
    ) -> Result<Outcome, LedgerError> {
        let result = self.ledger.submit(Write { operation: Some(operation), evidence }).await;
        match &result {
            Ok(Outcome::Applied | Outcome::Exists) => {}
            Ok(Outcome::Refused(refusal)) => {
                tracing::error!(reason = %refusal.reason, "a hold could not be resolved");
            }
            Err(error) => tracing::error!(%error, "a hold could not be resolved"),
        }
        result
    }

    /// Lets a payment go whose work came to nothing, and keeps that as its answer. `None` if the
    /// books could not be written: the hold stays, and recovery resolves it.
    pub(super) async fn let_go(&self, reference: Reference, failure: &Stored) -> Option<()> {
        let hold = books::sale_id(reference);
        let evidence = vec![
            documents::json(reference, stage::ANSWER, &failure.head),
            documents::body(reference, stage::OUTPUT, failure.head.media_type(), &failure.body),
        ];
        let outcome = self.resolve(Operation::Void { hold }, evidence).await;
        outcome.is_ok_and(|o| o.holds()).then_some(())
    }

    /// The same payment again, after the first request with it has ended.
    pub(super) async fn again(&self, offer: &Offer, paid: &Paid) -> Reply {
        let record = self.ledger.read(|state| {
            let record = state.transfer(&books::sale_id(paid.reference))?;
            Some((record.transfer.digest, record.transfer.amount, record.status))
        });
        let Some((digest, held, status)) = record else {
            return Reply::busy("the payment is being recorded; try again in a moment");
        };
        if digest != paid.digest {
            return Reply::conflict();
        }
        let kept = match self.kept(paid.reference) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(%error, "a stored answer could not be read");
                return Reply::busy("the stored answer cannot be read just now");
            }
        };
        // A payment's number is public once it is settled; only who holds the signed payment and
        // the request may have the answer.
        let signed = kept.payment.as_ref().and_then(|p| {
            let terms = kept.requirements.as_ref().unwrap_or(&p.accepted);
            Order::read(&p.payload, terms).ok()
        });
        if signed.as_ref() != Some(&paid.order) {
            return Reply::conflict();
        }
        let Some(stored) = kept.stored else {
            return match status {
                Status::Held => Reply::pending(), // In work, or interrupted and not yet recovered.
                Status::Posted { .. } => {
                    Stored::failure("it was interrupted").after_payment().reply()
                }
                Status::Voided { .. } | Status::Expired { .. } => {
                    Stored::failure("it was interrupted").reply()
                }
            };
        };
        let due = Due {
            reference: paid.reference,
            resource: &offer.url,
            payee: offer.payee,
            payment: &paid.payment,
            order: &paid.order,
            requirements: kept.requirements.as_ref().unwrap_or(&paid.requirements),
            charge: stored.head.charge.unwrap_or(held),
            patience: self.limits.settle_wait,
        };
        match status {
            Status::Posted { .. } => stored.reply(),
            Status::Voided { .. } | Status::Expired { .. } if !stored.is_delivery() => {
                stored.reply()
            }
            // Delivered, and it cost nothing.
            Status::Voided { .. } | Status::Expired { .. } if due.charge.is_zero() => {
                let free = due.settled(String::new(), "0".into());
                Stored { settlement: Some(free), ..stored }.reply()
            }
            // Interrupted before its first byte: recovery resolves it by what the chain says.
            Status::Held if stored.head.streamed == Some(Streamed::Begun) => Reply::pending(),
            // Delivered, and not known to be settled: the process was interrupted.
            Status::Held => match self.settle(&due).await {
                Some(settlement) => Stored { settlement: Some(settlement), ..stored }.reply(),
                None => Reply::pending(),
            },
            // Delivered, and let go as unpaid: if it was paid after all, the answer is due.
            Status::Voided { .. } | Status::Expired { .. } => {
                let said = match paid.order.received(&self.chain).await {
                    Ok(state) => due.said(&state),
                    Err(_) => return Reply::pending(),
                };
                let settlement = said
                    .filter(|s| s.success)
                    .or_else(|| stored.settlement.clone())
                    .unwrap_or_else(|| due.failed(Invalid::ValidBefore));
                Stored { settlement: Some(settlement), ..stored }.reply()
            }
        }
    }

    /// The payment that was held first under a reference, and what was asked for it.
    pub(super) fn first_payment(
        &self,
        reference: Reference,
    ) -> Option<(PaymentPayload, PaymentRequirements)> {
        let kept = self.kept(reference).ok()?;
        let payment = kept.payment?;
        let requirements = kept.requirements.unwrap_or_else(|| payment.accepted.clone());
        Some((payment, requirements))
    }

    /// The stored answer of a sale that is paid.
    pub(super) fn kept_answer(&self, reference: Reference) -> Option<Reply> {
        Some(self.kept(reference).ok()?.stored?.reply())
    }

    fn kept(&self, reference: Reference) -> Result<Kept, LedgerError> {
        let documents = self.ledger.evidence(reference)?;
        let find = |stage: &str| documents.iter().find(|d| d.evidence.stage == stage);
        let text = |stage: &str| find(stage).map(|d| d.evidence.body.as_slice());
        let head: Option<AnswerHead> =
            text(stage::ANSWER).and_then(|b| serde_json::from_slice(b).ok());
        let settlement = text(stage::SETTLEMENT).and_then(|b| serde_json::from_slice(b).ok());
        let body = find(stage::OUTPUT).map(|d| Bytes::from(d.evidence.body.clone()));
        let quote: Option<PaymentRequired> =
            text(stage::QUOTE).and_then(|b| serde_json::from_slice(b).ok());
        let payment: Option<PaymentPayload> =
            text(stage::PAYMENT).and_then(|b| serde_json::from_slice(b).ok());
        let resource = quote.as_ref().map(|q| q.resource.url.clone()).unwrap_or_default();
        let requirements = quote.zip(payment.as_ref()).and_then(|(quote, payment)| {
            let mut ways = quote.accepts.into_iter();
            let way = ways.find(|way| offer::difference(way, &payment.accepted).is_none());
            way.map(|way| offer::with_times_of(way, &payment.accepted))
        });
        Ok(Kept {
            payment,
            requirements,
            resource,
            stored: head.and_then(|head| {
                // What passed through as it came may not have been kept.
                let body = body.or_else(|| head.streamed.map(|_| Bytes::new()))?;
                Some(Stored { head, body, settlement })
            }),
        })
    }

    /// Resolves the sales that were left held, by a crash or by a chain that did not answer:
    /// delivered ones are settled, the others let go. Payments in work are left alone. Returns
    /// how many it resolved and how many stay open.
    ///
    /// The payee's channels come back into memory, as the books have them.
    pub async fn recover(&self, payee: Party) -> (usize, usize) {
        self.recover_channels(payee).await;
        let held: Vec<(Reference, Amount)> = self.ledger.read(|state| {
            let asset = self.chain.token().asset;
            let (cash, sales) = (Line::Cash.of(payee, asset), Line::Sales.of(payee, asset));
            state
                .holds()
                .filter(|e| e.transfer.debit == cash && e.transfer.credit == sales)
                .map(|e| (e.transfer.reference, e.transfer.amount))
                .collect()
        });
        let all = held.len();
        let mut resolved = 0;
        for (reference, price) in held {
            resolved += usize::from(self.recover_one(payee, reference, price).await.is_some());
        }
        (resolved, all - resolved)
    }

    async fn recover_channels(&self, payee: Party) {
        let Some(till) = &self.till else { return };
        if let Err(error) = till.recall(payee) {
            tracing::error!(%error, "the books cannot tell of channels");
        }
        if let Err(error) = till.release_abandoned(payee).await {
            tracing::error!(%error, "abandoned vouchers could not be let go");
        }
        if let Err(error) = till.resolve_refunds(payee).await {
            tracing::warn!(?error, "interrupted refunds could not be resolved");
        }
    }

    async fn recover_one(&self, payee: Party, reference: Reference, price: Amount) -> Option<()> {
        // Looked at first: whoever is in work now has noted it before the hold was made.
        let _seat = self.seats.take_for_recovery(reference)?;
        let kept = self.kept(reference).ok()?;
        let terms = kept.requirements.as_ref().or(kept.payment.as_ref().map(|p| &p.accepted));
        let flow = terms.and_then(PaymentFlow::of).unwrap_or_default();
        let (payment, stored) = match (kept.payment, kept.stored, flow) {
            (payment, Some(stored), PaymentFlow::Authorization) if stored.is_delivery() => {
                (payment?, stored)
            }
            (_, Some(stored), PaymentFlow::Authorization) => {
                return self.let_go(reference, &stored).await;
            }
            // The work never ended, and money moves only after it: the payer keeps the money.
            (_, None, PaymentFlow::Authorization) => {
                return self.let_go(reference, &Stored::failure("it was interrupted")).await;
            }
            // Money may have moved before the work.
            (payment, stored, _) => {
                let payment = payment?;
                let terms = kept.requirements.as_ref().unwrap_or(&payment.accepted);
                let order = Order::read(&payment.payload, terms).ok()?;
                let due = Due {
                    reference,
                    resource: &kept.resource,
                    payee,
                    payment: &payment,
                    order: &order,
                    requirements: terms,
                    charge: price,
                    patience: Duration::ZERO,
                };
                return self.recover_begun(due, stored).await;
            }
        };
        let terms = kept.requirements.as_ref().unwrap_or(&payment.accepted);
        let order = Order::read(&payment.payload, terms).ok()?;
        let begun = stored.head.streamed == Some(Streamed::Begun);
        let due = Due {
            reference,
            resource: &kept.resource,
            payee,
            payment: &payment,
            order: &order,
            requirements: terms,
            charge: stored.head.charge.unwrap_or(price),
            // One look: others wait, and there will be another round.
            patience: Duration::ZERO,
        };
        if begun {
            // Not a byte of it has passed. It is not sent again, but it may have been sent.
            match order.state(&self.chain).await.ok()? {
                AuthorizationState::Used { .. } => {}
                AuthorizationState::Unused
                    if self.clock.now() <= order.ends_at().plus(CLOCK_SKEW) =>
                {
                    return None;
                }
                AuthorizationState::Unused | AuthorizationState::Cancelled => {
                    let failed = due.failed(Invalid::ValidBefore);
                    let evidence = vec![documents::json(reference, stage::SETTLEMENT, &failed)];
                    let void = Operation::Void { hold: books::sale_id(reference) };
                    let outcome = self.resolve(void, evidence).await;
                    return outcome.is_ok_and(|o| o.holds()).then_some(());
                }
            }
        }
        self.settle(&due).await.map(drop)
    }
}
