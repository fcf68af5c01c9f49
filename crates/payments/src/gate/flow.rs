//! Flows in which money moves before the work (`extra.paymentFlow`).
//!
//! | flow | before the work | the work is done | the work fails |
//! |---|---|---|---|
//! | `authorization` | check and hold | settle | nothing moves |
//! | `escrow` | check, hold, into escrow | capture the charge, void the rest | void all |
//! | `upfront` | check, hold, settle and post | – | the buyer is told that it has paid for nothing |
//!
//! After a crash the chain is asked how far the payment came. What lies in escrow for work whose
//! answer is kept is captured, and for any other given back; what was paid upfront is booked, and
//! its work is not begun again. A transaction that this process had sent when it died may still be
//! mined on a chain that is not its own: then the chain tells at the next look.

use std::time::Duration;

use alloy_primitives::{Address, U256};
use axum::body::Body;
use axum::response::Response;
use http::Request;
use ledger::{Evidence, Reference, Write};
use money::Amount;
use settlement::AuthorizationState;
use settlement::escrow::{Act, EscrowHistory, EscrowState, Fee, Happened, SignedEscrow};
use tokio::time::Instant;
use tower::Service;

use super::reply::{Reply, Stored, Streamed};
use super::settling::{CLOCK_SKEW, Due};
use super::{Gate, LONGEST_BEYOND, Paid, stage};
use crate::auth_capture::Invalid;
use crate::auth_capture::lifecycle::Lifecycle;
use crate::documents;
use crate::exact::EXPIRY_MARGIN_SECONDS;
use crate::facilitator;
use crate::offer::Offer;
use crate::wire::{PaymentPayload, SettleResponse};

/// How often something is tried in an escrow at one sitting: capture, void, and once more each.
const MOST_ACTS: usize = 4;

/// What is to be done about a payment in escrow.
enum Next {
    /// Nothing: this became of it, and so much reached the seller.
    Done(Box<SettleResponse>, Amount),
    /// This.
    Do(Act),
    /// It is not clear yet.
    Wait,
}

impl Gate {
    /// What is owed for a payment that is held.
    pub(super) fn due<'a>(&self, offer: &'a Offer, paid: &'a Paid, charge: Amount) -> Due<'a> {
        Due {
            reference: paid.reference,
            resource: &offer.url,
            payee: offer.payee,
            payment: &paid.payment,
            order: &paid.order,
            requirements: &paid.requirements,
            charge,
            patience: self.limits.settle_wait,
        }
    }

    /// Whether an escrow's times leave room for the work, and end.
    pub(super) fn check_deadlines(&self, offer: &Offer, paid: &Paid) -> Result<(), Invalid> {
        let Some(signed) = paid.order.escrow() else { return Ok(()) };
        let terms = offer.escrow_terms(&paid.requirements).ok_or(Invalid::Extra)?;
        let now = self.clock.now();
        let latest = |within: Duration| now.plus(within + LONGEST_BEYOND).as_secs();
        // Half of what was asked for is taken too, as with a payment's own time.
        if signed.captured_before() < now.plus(terms.capture_within / 2).as_secs() {
            return Err(Invalid::CaptureDeadline);
        }
        let longest = terms.refund_within.max(terms.capture_within);
        if signed.captured_before() > latest(terms.capture_within)
            || signed.refunded_before() > latest(longest)
        {
            return Err(Invalid::DeadlineOrder);
        }
        Ok(())
    }

    /// Has a held payment taken into escrow; else what the buyer is answered.
    pub(super) async fn take_into_escrow(
        &self,
        offer: &Offer,
        paid: &Paid,
    ) -> Result<(), Box<Reply>> {
        let due = self.due(offer, paid, offer.price);
        let Some(signed) = paid.order.escrow() else { return Ok(()) };
        let settling = self.facilitator.settle(due.payment, due.requirements);
        let reported = match tokio::time::timeout(self.limits.settle_wait, settling).await {
            Ok(Ok(response)) if response.success && self.facilitator.proves_success() => {
                return Ok(());
            }
            Ok(Ok(response)) => Some(response),
            Ok(Err(error)) => {
                tracing::warn!(%error, "an authorization got no answer; the chain is asked");
                None
            }
            Err(_) => None,
        };
        let open = reported.as_ref().is_none_or(|response| {
            response.success || response.error_reason.as_deref().is_some_and(facilitator::is_open)
        });
        let deadline = Instant::now() + due.patience;
        let mut pause = Duration::from_millis(20);
        let failed = loop {
            match self.chain.escrow_history(signed).await {
                // Flow and amount are not signed: who was faster with this payment may have had
                // less of it taken, and that starts no work.
                Ok(history) if history.collected().is_some() => {
                    if still_worth(&history, offer.price) {
                        return Ok(());
                    }
                    let nothing = self.due(offer, paid, Amount::zero(offer.price.asset()));
                    if self.finish_escrow(&nothing).await.is_none() {
                        // The hold stays, and recovery gives back what lies there.
                        return Err(Box::new(Reply::pending()));
                    }
                    break escrow_failed(&due, Invalid::Insufficient);
                }
                Ok(history) if history.cancelled => break escrow_failed(&due, Invalid::Nonce),
                Ok(_) if self.clock.now() > paid.order.ends_at().plus(CLOCK_SKEW) => {
                    break escrow_failed(&due, Invalid::Expired);
                }
                Ok(_) if !open => {
                    break reported.unwrap_or_else(|| escrow_failed(&due, Invalid::Reverted));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the chain cannot tell of an authorization"),
            }
            if Instant::now() + pause > deadline {
                // The hold stays, and recovery gives back what comes into escrow after all.
                return Err(Box::new(Reply::pending()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        };
        Err(Box::new(self.unpaid(paid.reference, failed).await))
    }

    /// A payment whose money could not be had: no work was begun, and the hold goes.
    async fn unpaid(&self, reference: Reference, failed: SettleResponse) -> Reply {
        let stored = Stored {
            settlement: Some(failed),
            ..Stored::failure("its payment could not be settled")
        };
        let kept = documents::json(reference, stage::SETTLEMENT, &stored.settlement);
        if let Err(error) = self.ledger.submit(Write::evidence(vec![kept])).await {
            tracing::error!(%reference, %error, "a failed settlement could not be kept");
        }
        match self.let_go(reference, &stored).await {
            Some(()) => stored.reply(),
            None => Reply::busy("the books cannot be written just now; nothing was charged"),
        }
    }

    /// Work that came to nothing, whose failure is the stored answer. What lies in escrow for it
    /// goes back.
    pub(super) async fn nothing_delivered(
        &self,
        offer: &Offer,
        paid: &Paid,
        mut failure: Stored,
    ) -> Reply {
        let due = self.due(offer, paid, Amount::zero(offer.price.asset()));
        if !due.is_in_escrow() {
            return self.failed(paid.reference, &failure).await;
        }
        // After a crash nothing is charged either.
        failure.head.charge = Some(due.charge);
        self.keep_answer(paid.reference, &failure).await;
        match self.settle(&due).await {
            Some(settlement) => Stored { settlement: Some(settlement), ..failure }.reply(),
            // It stays held, and recovery gives it back.
            None => failure.reply(),
        }
    }

    async fn keep_answer(&self, reference: Reference, stored: &Stored) -> bool {
        let evidence: Vec<Evidence> = vec![
            documents::json(reference, stage::ANSWER, &stored.head),
            documents::body(reference, stage::OUTPUT, stored.head.media_type(), &stored.body),
        ];
        let kept = self.ledger.submit(Write::evidence(evidence)).await;
        let kept = kept.is_ok_and(|outcome| outcome.holds());
        if !kept {
            tracing::error!(%reference, "an answer could not be kept");
        }
        kept
    }

    /// The flow `upfront`: the price is settled and posted, and then the work is done.
    pub(super) async fn settle_and_work<S>(
        &self,
        offer: &Offer,
        paid: &Paid,
        request: Request<Body>,
        work: S,
    ) -> Reply
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let reference = paid.reference;
        let settlement = match self.settle(&self.due(offer, paid, offer.price)).await {
            Some(settled) if settled.success => settled,
            Some(failed) => {
                let failure = Stored::failure("its payment could not be settled");
                self.keep_answer(reference, &failure).await;
                return Stored { settlement: Some(failed), ..failure }.reply();
            }
            None => return Reply::pending(),
        };
        let deadline = Instant::now() + self.limits.work_wait;
        let stored = match self.begin_work(request, work, deadline).await {
            Ok(response) => self.finish_work(response, deadline).await,
            Err(failure) => failure,
        };
        let mut stored = stored.after_payment();
        stored.head.charge = Some(offer.price);
        self.keep_answer(reference, &stored).await;
        Stored { settlement: Some(settlement), ..stored }.reply()
    }

    /// What was left of a payment whose money may have moved before its work was done.
    pub(super) async fn recover_begun(
        &self,
        mut due: Due<'_>,
        stored: Option<Stored>,
    ) -> Option<()> {
        if due.is_in_escrow() {
            // An answer that was passed on is charged for what was counted, or for all.
            let delivered = stored
                .as_ref()
                .filter(|s| s.is_delivery() && s.head.streamed != Some(Streamed::Begun));
            due.charge = match delivered {
                Some(stored) => stored.head.charge.unwrap_or(due.charge),
                None => Amount::zero(due.charge.asset()),
            };
            if stored.is_none() {
                let mut failure = Stored::failure("it was interrupted");
                failure.head.charge = Some(due.charge);
                self.keep_answer(due.reference, &failure).await.then_some(())?;
            }
            return self.settle(&due).await.map(drop);
        }
        match due.order.received(&self.chain).await.ok()? {
            AuthorizationState::Used { .. } => self.settle(&due).await.map(drop),
            AuthorizationState::Unused
                if self.clock.now() <= due.order.ends_at().plus(CLOCK_SKEW) =>
            {
                None
            }
            AuthorizationState::Unused | AuthorizationState::Cancelled => {
                self.let_go(due.reference, &Stored::failure("it was interrupted")).await
            }
        }
    }

    /// Captures what is charged and voids the rest, as far as the chain does not show it to be
    /// done. Tells what became of it, and what reached the seller; `None` while that is not clear.
    pub(super) async fn finish_escrow(&self, due: &Due<'_>) -> Option<(SettleResponse, Amount)> {
        let signed = due.order.escrow()?;
        let deadline = Instant::now() + due.patience;
        let mut pause = Duration::from_millis(20);
        let mut acts = 0;
        loop {
            match self.chain.escrow_history(signed).await {
                Ok(history) => match self.next_in_escrow(due, signed, &history, acts) {
                    Next::Done(response, moved) => return Some((*response, moved)),
                    Next::Do(act) if acts < MOST_ACTS => {
                        acts += 1;
                        if self.act_in_escrow(due, signed, &history, act).await {
                            continue;
                        }
                    }
                    Next::Do(_) | Next::Wait => {}
                },
                Err(error) => tracing::warn!(%error, "the chain cannot tell of an escrow"),
            }
            if Instant::now() + pause > deadline {
                return None;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    fn next_in_escrow(
        &self,
        due: &Due<'_>,
        signed: &SignedEscrow,
        history: &EscrowHistory,
        acts: usize,
    ) -> Next {
        let asset = due.charge.asset();
        let nothing = Amount::zero(asset);
        let now = self.clock.now();
        let failed = |reason| Next::Done(Box::new(escrow_failed(due, reason)), nothing);
        if history.collected().is_none() {
            return match history.cancelled {
                true => failed(Invalid::Nonce),
                false if now > due.order.ends_at().plus(CLOCK_SKEW) => failed(Invalid::Expired),
                false => Next::Wait,
            };
        }
        let rest = history.capturable();
        let charge = U256::try_from(due.charge.minor()).unwrap_or_default();
        // A part may have been captured by somebody else, who must not get the answer for it.
        let missing = charge.saturating_sub(history.captured());
        if !missing.is_zero() {
            let too_late = now.as_secs() + EXPIRY_MARGIN_SECONDS >= signed.captured_before();
            if rest >= missing && !too_late {
                let fee = Fee::least(&signed.payment, missing);
                return Next::Do(Act::Capture { amount: missing, fee });
            }
            if !rest.is_zero() {
                return Next::Do(Act::Void);
            }
            return failed(match history.events.last().map(|e| e.what) {
                Some(Happened::Reclaimed { .. }) => Invalid::CaptureDeadline,
                _ if !history.captured().is_zero() => Invalid::Insufficient,
                _ => Invalid::NothingAuthorized,
            });
        }
        if let Some(capture) = history.capture() {
            // Given back as far as that goes now; the payer can take it itself later.
            if !rest.is_zero() && acts < MOST_ACTS {
                return Next::Do(Act::Void);
            }
            let gross = history.captured();
            let net = i128::try_from(gross.saturating_sub(history.fees())).unwrap_or_default();
            let mut response = due.settled(capture.transaction.to_string(), gross.to_string());
            response.extra = Some(told(signed, history, self.chain.token().chain_id));
            return Next::Done(Box::new(response), Amount::from_minor(asset, net));
        }
        if !rest.is_zero() {
            return Next::Do(Act::Void);
        }
        let last = history.events.last();
        let transaction = last.map(|e| e.transaction.to_string()).unwrap_or_default();
        let mut response = due.settled(transaction, "0".into());
        response.extra = Some(told(signed, history, self.chain.token().chain_id));
        Next::Done(Box::new(response), nothing)
    }

    /// What is said to the operator, signed by the seller's key where the terms name one of ours.
    fn worded(&self, due: &Due<'_>, word: Lifecycle) -> Lifecycle {
        let extra = due.requirements.extra.as_ref();
        let named = extra.and_then(|extra| extra.get("receiverAuthorizer")?.as_str());
        let named = named.and_then(|text| text.parse::<Address>().ok());
        let Some(key) = self.keys.iter().find(|key| Some(key.address()) == named) else {
            return word;
        };
        word.authorized(&due.payment.payload, self.chain.token().chain_id, |hash| {
            protocol::sign_hash(&key.transaction_signer(), hash).as_bytes().to_vec().into()
        })
    }

    /// Has the operator do something; `true` if it says to have done it.
    async fn act_in_escrow(
        &self,
        due: &Due<'_>,
        signed: &SignedEscrow,
        history: &EscrowHistory,
        act: Act,
    ) -> bool {
        let state = EscrowState {
            collected: true,
            capturable: history.capturable(),
            refundable: history.captured().saturating_sub(history.refunded()),
        };
        let word = self.worded(due, Lifecycle::new(signed.payment.clone(), act, &state));
        let payment = PaymentPayload {
            x402_version: crate::wire::VERSION,
            resource: None,
            accepted: due.requirements.clone(),
            payload: word.write(),
            extensions: None,
        };
        let settling = self.facilitator.settle(&payment, due.requirements);
        match tokio::time::timeout(self.limits.settle_wait, settling).await {
            Ok(Ok(response)) if response.success => true,
            Ok(Ok(response)) => {
                let reason = response.error_message.or(response.error_reason);
                tracing::warn!(reference = %due.reference, ?reason, "an escrow was not moved");
                false
            }
            Ok(Err(error)) => {
                tracing::warn!(reference = %due.reference, %error, "an escrow was perhaps not moved");
                false
            }
            Err(_) => false,
        }
    }
}

/// Whether what lies in escrow, and what the seller has of it already, is a price.
fn still_worth(history: &EscrowHistory, price: Amount) -> bool {
    let there = history.captured().saturating_add(history.capturable());
    U256::try_from(price.minor()).is_ok_and(|price| there >= price)
}

/// What a receipt tells of an escrowed payment besides.
fn told(
    signed: &SignedEscrow,
    history: &EscrowHistory,
    chain_id: u64,
) -> serde_json::Map<String, serde_json::Value> {
    let authorized = history.collected().map(|e| e.transaction.to_string());
    let told = serde_json::json!({
        "paymentInfoHash": signed.hash(chain_id).to_string(),
        "authorizeTransaction": authorized,
        "capturedAmount": history.captured().to_string(),
        "returnedAmount": history.returned().to_string(),
        "refundDeadline": signed.refunded_before(),
    });
    told.as_object().cloned().unwrap_or_default()
}

fn escrow_failed(due: &Due<'_>, reason: Invalid) -> SettleResponse {
    SettleResponse {
        error_reason: Some(reason.code().into()),
        error_message: Some(reason.to_string()),
        ..due.failed(crate::exact::Invalid::Transaction)
    }
}
