//! Payments from a channel at the gate: a voucher for each request, and no word to the chain.
//!
//! The way of a voucher:
//!
//! | step | what is durable after it |
//! |---|---|
//! | read; the channel's name and the voucher's signature | nothing |
//! | is it known? then the stored answer | nothing |
//! | terms, total, what the chain said last | nothing |
//! | the **hold**: a place in the channel's tab, and room for it in the books | nothing |
//! | work, in a task of its own | – |
//! | the charge (unearned ← sales, or owed where a market keeps it), with voucher and answer in one document | the sale, for good |
//! | the answer, with the channel's new state | – |
//!
//! The hold is in memory alone: a voucher is one write, not two (decision 13). A crash between hold
//! and charge leaves nothing, so nothing was charged and nobody was answered.
//!
//! A failed piece of work gives the hold back, and the same voucher may come again, with the same
//! request or another. The same voucher with the request that it was charged for gets the stored answer.
//! With another request its total no longer follows, and that is answered with what the channel's
//! state is and the proof of it, as the specification's corrective 402. That proof is a voucher, and
//! a stored answer is what somebody paid for, so both are told only to who has signed the request's
//! own voucher. A client that lost its state signs its guess of the total, and is corrected.
//!
//! Deposits and refunds are in `channel_money`; both go to the facilitator, and what they did is
//! read from the chain.

use alloy_primitives::{B256, Bytes as SignatureBytes};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, StatusCode};
use ledger::{Operation, Outcome, Status, Transfer, Write};
use mandates::books::{self, Line};
use money::{Amount, Party, Timestamp};
use serde::{Deserialize, Serialize};
use tower::Service;

use super::binding;
pub(crate) use super::channel_money::is_open;
use super::channel_payload::{Drawn, Want};
use super::errand::{self, Carried, Errand};
use super::reply::{AnswerHead, Reply, Stored};
use super::{Asked, Gate, answer_of, asked, charge, request_digest, without_payment};
use crate::channel::tab::Place;
use crate::channel::till::{self, NotHere, Sale, Shared, Till};
use crate::channel::voucher::KnownKey;
use crate::channel::wire::{ChannelConfig, ChannelState, Units};
use crate::channel::{ChannelInvalid, LANES, Terms, wire as channel_wire};
use crate::documents;
use crate::facilitator;
use crate::offer::Offer;
use crate::wire::{self, PaymentPayload, PaymentRequirements};

/// The longest text of an answer that is kept within the voucher's own document, in bytes.
const SHORT: usize = 4 * 1024;

/// A payload with the request that it pays for.
pub(super) struct Draw {
    pub(super) drawn: Drawn,
    pub(super) digest: [u8; 32],
    pub(super) request: Asked,
    pub(super) input: Bytes,
}

impl Draw {
    pub(super) fn amount(&self) -> u128 {
        self.drawn.voucher.max_claimable_amount.0
    }

    fn is_ahead(&self) -> bool {
        matches!(self.drawn.want, Want::Work { ahead: true })
    }
}

/// What a deposit did before its voucher was charged.
#[derive(Debug, Clone)]
pub(super) struct Deposited {
    pub(super) transaction: B256,
    pub(super) amount: u128,
}

/// The settlement of a channel's payment, as buyers get it. It is written the same way each time,
/// so that a stored answer is the same to the byte.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    pub(super) success: bool,
    pub(super) payer: String,
    pub(super) transaction: String,
    pub(super) network: String,
    pub(super) amount: String,
    pub(super) extra: ReceiptExtra,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReceiptExtra {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) charged_amount: Option<Units>,
    pub(super) channel_state: ChannelState,
}

/// All that is kept of a charged voucher.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    signed_max_claimable: Units,
    signature: SignatureBytes,
    /// What was charged in the channel before our books began.
    base: Units,
    receipt: Receipt,
    request: Asked,
    answer: AnswerHead,
    /// The answer's body, if it is a short text; else it is a document of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

impl Gate {
    /// Serves a request that is paid from a channel.
    pub(super) async fn serve_channel<S>(
        self: std::sync::Arc<Self>,
        offer: std::sync::Arc<Offer>,
        terms: Terms,
        drawn: Drawn,
        parts: http::request::Parts,
        body: Body,
        work: S,
    ) -> Reply
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let input = match self.read_body(&offer, body).await {
            Ok(input) => input,
            Err(refusal) => return *refusal,
        };
        let digest = request_digest(&offer, &parts, &input);
        let request = asked(&offer, &parts, digest, input.len());
        let draw = Draw { drawn, digest, request, input };
        let Some(till) = &self.till else { return Reply::no_channels() };
        let voucher = &draw.drawn.voucher;
        // What is wanted is part of the errand: a deposit is not answered by a voucher's waiting.
        let want: u8 = match draw.drawn.want {
            Want::Work { .. } => 0,
            Want::Deposit { .. } => 1,
            Want::Refund { .. } => 2,
        };
        let errand = Errand {
            reference: till.reference(voucher.channel_id, voucher.max_claimable_amount.0),
            digest: documents::digest(&[&voucher.signature, &draw.digest, &[want]]),
        };
        let wait = self.limits.work_wait + self.limits.settle_wait;
        let seat = match self.seats.take(errand) {
            Err(told) => return errand::heard(told, wait).await,
            Ok(seat) => seat,
        };
        let gate = self.clone();
        let deciding = Carried::new(async move {
            let reply = gate.decide_channel(&offer, &terms, draw, parts, work).await;
            seat.end(&reply);
            reply
        });
        match tokio::time::timeout(wait, deciding).await {
            Ok(Some(reply)) => reply,
            _ => Reply::pending(),
        }
    }

    async fn decide_channel<S>(
        &self,
        offer: &Offer,
        terms: &Terms,
        draw: Draw,
        parts: http::request::Parts,
        work: S,
    ) -> Reply
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let Some(till) = &self.till else { return Reply::no_channels() };
        let Ok(_place) = self.places.try_acquire() else {
            return Reply::busy("all hands are busy; try again in a moment");
        };
        // Before all else: whoever could not sign this voucher learns nothing of the channel.
        let (mut found, key) = match self.authenticate(till, offer, &draw) {
            Ok(authentic) => authentic,
            Err(reply) => return *reply,
        };
        if let Some(channel) = found.take() {
            found = match self.end_doubt(till, offer, channel).await {
                Ok(channel) => channel,
                Err(reply) => return *reply,
            };
        }
        let is_work = !matches!(draw.drawn.want, Want::Refund { .. });
        let config = &draw.drawn.config;
        // What is owed to a payer it asks for by the signature of its own key, so that one must sign.
        if is_work && offer.income == Line::Owed && config.payer != config.payer_authorizer {
            return Reply::payer_has_no_key();
        }
        if is_work
            && let Drawn { config, voucher, binding, .. } = &draw.drawn
            && let Err(refusal) = binding::check_voucher(
                offer,
                &parts,
                config,
                voucher,
                binding.as_ref(),
                &draw.input,
            )
        {
            return *refusal;
        }
        let mut deposited = None;
        match &draw.drawn.want {
            Want::Refund { amount, payment, asked } => {
                // What is rare is boxed, here and below, so that the common way's future stays small.
                let refunding = self.refund(till, offer, terms, &draw, *amount, payment, asked);
                return Box::pin(refunding).await;
            }
            Want::Deposit { deposit, payment, asked } => {
                if let Some(answer) = self.known(till, offer, &draw) {
                    return answer;
                }
                let depositing = self.deposit(till, offer, terms, &draw, deposit, payment, asked);
                match Box::pin(depositing).await {
                    Ok(done) => deposited = Some(done),
                    Err(reply) => return *reply,
                }
            }
            Want::Work { .. } => {}
        }
        if let Err(reply) = self.look_back(till, offer, &draw).await {
            return *reply;
        }
        let (channel, place) = match self.judge(till, offer, terms, &draw, found).await {
            Ok(judged) => judged,
            Err(reply) => return *reply,
        };
        channel.lock().expect("nothing panics under this lock").signer = Some(key);
        let reference = till.reference(draw.drawn.voucher.channel_id, draw.amount());
        // From here on the place is this request's alone, and so is the next attempt's number.
        let newest = self.ledger.read(|state| Sale::newest(state, reference));
        let sale = Sale { reference, attempt: newest.map_or(0, |sale| sale.attempt + 1) };
        let held = Held { channel: &channel, place, sale, stands: Stands::Working };
        if let Err(reply) = self.make_room(till, offer, &draw, &held).await {
            return *reply;
        }
        self.sell(offer, &draw, held, deposited.as_ref(), parts, work).await
    }

    /// Whether the payload names its channel rightly and the channel's key has signed the voucher.
    /// Tells the channel, if it is in memory, and the key.
    fn authenticate(
        &self,
        till: &Till,
        offer: &Offer,
        draw: &Draw,
    ) -> Result<(Option<Shared>, KnownKey), Box<Reply>> {
        let (config, voucher) = (&draw.drawn.config, &draw.drawn.voucher);
        let found = till.find(voucher.channel_id);
        let known = found.as_ref().map(|channel| {
            let channel = channel.lock().expect("nothing panics under this lock");
            (channel.config == *config, channel.signer)
        });
        // What is in memory under this name has it from its configuration.
        if !known.is_some_and(|(same, _)| same)
            && till.domain.channel_id(config) != voucher.channel_id
        {
            return Err(Box::new(invalid(offer, ChannelInvalid::ChannelIdMismatch)));
        }
        if config.payer_authorizer.is_zero() {
            return Err(Box::new(Reply::keyless(offer)));
        }
        let hash = till.domain.voucher_hash(voucher.channel_id, voucher.max_claimable_amount.0);
        let signer = known.and_then(|(same, signer)| signer.filter(|_| same));
        let signature = &voucher.signature;
        let key = match signer {
            Some(key) => key.has_signed(hash, signature).then_some(key),
            None => KnownKey::of(hash, signature, config.payer_authorizer),
        };
        let refuse = || Box::new(invalid(offer, ChannelInvalid::VoucherSignature));
        Ok((found, key.ok_or_else(refuse)?))
    }

    /// Reads a channel anew if a write of it failed and nobody knows how: before its vouchers are
    /// looked up, since one of them may have been charged all the same. `None` if it has to be
    /// found again.
    async fn end_doubt(
        &self,
        till: &Till,
        offer: &Offer,
        channel: Shared,
    ) -> Result<Option<Shared>, Box<Reply>> {
        let busy = || Box::new(invalid(offer, ChannelInvalid::Busy));
        let (id, config) = {
            let known = channel.lock().expect("nothing panics under this lock");
            if known.gone {
                return Ok(None);
            }
            if !known.doubtful {
                drop(known);
                return Ok(Some(channel));
            }
            if !known.tab.is_quiet() {
                return Err(busy());
            }
            (known.id, known.config)
        };
        // It changes nothing. But a write that ends well is written after all that is durable was
        // read: from here on the books have the failed one, or it is lost for good.
        if let Err(error) = Box::pin(till.remember(id, &config)).await {
            tracing::error!(%error, "it is still not known whether a voucher was charged");
            return Err(Box::new(Reply::busy(BOOKS)));
        }
        let mut known = channel.lock().expect("nothing panics under this lock");
        // Nobody takes a place in a channel in doubt.
        if !known.tab.is_quiet() {
            return Err(busy());
        }
        known.gone = true;
        drop(known);
        till.forget(id);
        Ok(None)
    }

    /// The stored answer, if this voucher was charged for this very request.
    fn known(&self, till: &Till, offer: &Offer, draw: &Draw) -> Option<Reply> {
        let reference = till.reference(draw.drawn.voucher.channel_id, draw.amount());
        let income = offer.income.of(offer.payee, offer.price.asset());
        let attempt = self.ledger.read(|state| {
            state.transfer(&books::sale_id(reference))?;
            let attempts = state.by_reference(reference);
            let attempts = attempts.into_iter().filter(|entry| entry.transfer.credit == income);
            attempts.enumerate().find_map(|(attempt, entry)| {
                (entry.transfer.digest == draw.digest && entry.posted().is_some())
                    .then_some(attempt)
            })
        })?;
        let sale = Sale { reference, attempt: u32::try_from(attempt).ok()? };
        Some(self.sold_before(sale))
    }

    /// Answers a voucher that was charged before: for this request, or so that none may follow.
    async fn look_back(&self, till: &Till, offer: &Offer, draw: &Draw) -> Result<(), Box<Reply>> {
        let reference = till.reference(draw.drawn.voucher.channel_id, draw.amount());
        let newest = self.ledger.read(|state| {
            let sale = Sale::newest(state, reference)?;
            Some((sale, state.transfer(&sale.id())?.status))
        });
        let Some((newest, status)) = newest else { return Ok(()) };
        if let Some(answer) = self.known(till, offer, draw) {
            return Err(Box::new(answer));
        }
        match status {
            // Of a version whose holds were in the books, left by a process that ended: nothing was
            // charged.
            Status::Held => {
                let void = Write::operation(Operation::Void { hold: newest.id() });
                if let Err(error) = self.ledger.submit(void).await {
                    tracing::error!(%error, "an abandoned hold could not be let go");
                    return Err(Box::new(Reply::busy(BOOKS)));
                }
                Ok(())
            }
            Status::Posted { .. } if draw.is_ahead() => {
                Err(Box::new(self.correct(till, offer, draw)))
            }
            Status::Posted { .. } | Status::Voided { .. } | Status::Expired { .. } => Ok(()),
        }
    }

    /// Judges a signed voucher and takes its place in the channel's tab. What is refused leaves no trace.
    async fn judge(
        &self,
        till: &Till,
        offer: &Offer,
        terms: &Terms,
        draw: &Draw,
        mut found: Option<Shared>,
    ) -> Result<(Shared, Place), Box<Reply>> {
        let refuse = |reason| Box::new(invalid(offer, reason));
        let (config, voucher) = (&draw.drawn.config, &draw.drawn.voucher);
        let (amount, price) = (draw.amount(), offer.price.minor().unsigned_abs());
        // Twice at most: a channel may leave the till between two looks.
        for _ in 0..3 {
            let channel = match found.take().or_else(|| till.find(voucher.channel_id)) {
                Some(channel) => channel,
                None => {
                    // All that can be said here, before the chain is asked.
                    self.check_channel(offer, terms, config).map_err(refuse)?;
                    Box::pin(self.enter(till, offer, draw)).await?
                }
            };
            let fresh = {
                let known = channel.lock().expect("nothing panics under this lock");
                if known.gone {
                    continue;
                }
                if known.config != *config {
                    return Err(refuse(ChannelInvalid::ChannelIdMismatch));
                }
                if !draw.is_ahead() && known.tab.charged().checked_add(price) != Some(amount) {
                    return Err(Box::new(correction(till, offer, &known)));
                }
                till.is_fresh(&known)
            };
            self.check_channel(offer, terms, config).map_err(refuse)?;
            if !fresh && let Err(error) = Box::pin(till.refresh(&channel)).await {
                tracing::warn!(%error, "the chain cannot tell of a channel");
                return Err(Box::new(Reply::busy(UNSURE)));
            }
            let mut known = channel.lock().expect("nothing panics under this lock");
            if known.gone {
                continue;
            }
            if known.doubtful {
                // Since we looked: whoever comes next reads it anew.
                return Err(refuse(ChannelInvalid::Busy));
            }
            let taken = match draw.is_ahead() {
                false => known.tab.take_next(amount, price),
                true => known.tab.take_ahead(amount, price, LANES),
            };
            let place = match taken {
                Ok(place) => place,
                Err(ChannelInvalid::CumulativeMismatch) => {
                    return Err(Box::new(correction(till, offer, &known)));
                }
                Err(reason) => return Err(refuse(reason)),
            };
            if let Err(reason) = known.mirror.covers(amount) {
                known.tab.release(place);
                return Err(match known.mirror.waits_for(amount) {
                    true => Box::new(Reply::busy(UNCOUNTED)),
                    false => refuse(reason),
                });
            }
            known.used_at = self.clock.now();
            drop(known);
            return Ok((channel, place));
        }
        Err(refuse(ChannelInvalid::Busy))
    }

    /// A channel that is not in memory, found on the chain and in the books.
    pub(super) async fn enter(
        &self,
        till: &Till,
        offer: &Offer,
        draw: &Draw,
    ) -> Result<Shared, Box<Reply>> {
        let id = draw.drawn.voucher.channel_id;
        till.enter(id, &draw.drawn.config, draw.amount())
            .await
            .map_err(|why| Box::new(not_here(offer, why)))
    }

    pub(super) fn check_channel(
        &self,
        offer: &Offer,
        terms: &Terms,
        config: &ChannelConfig,
    ) -> Result<(), ChannelInvalid> {
        till::check_terms(config, offer.payee, offer.token.address, terms)
    }

    /// Asks the facilitator about a payload.
    pub(super) async fn verify_channel(
        &self,
        offer: &Offer,
        payment: &PaymentPayload,
        asked: &PaymentRequirements,
    ) -> Result<(), Box<Reply>> {
        let verifying = self.facilitator.verify(payment, asked);
        match tokio::time::timeout(self.limits.settle_wait, verifying).await {
            Ok(Ok(verdict)) if verdict.is_valid => Ok(()),
            Ok(Ok(verdict)) => {
                let reason = verdict.invalid_reason.unwrap_or_else(|| "invalid_payload".into());
                let unsure =
                    facilitator::is_unsure(&reason) || reason == ChannelInvalid::ReadFailed.code();
                Err(Box::new(match unsure {
                    true => Reply::busy(UNSURE),
                    false => Reply::quote(offer, Some(reason)),
                }))
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a channel's payment could not be verified");
                Err(Box::new(Reply::busy(UNSURE)))
            }
            Err(_) => Err(Box::new(Reply::busy(UNSURE))),
        }
    }

    /// What the channel's state is, with its proof: the total of a voucher did not follow.
    fn correct(&self, till: &Till, offer: &Offer, draw: &Draw) -> Reply {
        match till.find(draw.drawn.voucher.channel_id) {
            Some(channel) => {
                correction(till, offer, &channel.lock().expect("nothing panics under this lock"))
            }
            None => invalid(offer, ChannelInvalid::CumulativeMismatch),
        }
    }

    /// Works, and writes the charge.
    async fn sell<S>(
        &self,
        offer: &Offer,
        draw: &Draw,
        held: Held<'_>,
        deposited: Option<&Deposited>,
        parts: http::request::Parts,
        work: S,
    ) -> Reply
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let request = Request::from_parts(without_payment(parts), Body::from(draw.input.clone()));
        let stored = self.work_here(request, work).await;
        let charge = match stored.is_delivery() {
            true => charge::charged(&offer.name, offer.price, stored.head.charge),
            false => Amount::zero(offer.price.asset()),
        };
        let charge = charge.minor().unsigned_abs();
        if charge == 0 {
            // What was put in stays in the channel, and its payer is told so.
            let receipt = (stored.is_delivery() || deposited.is_some())
                .then(|| held.receipt(offer, 0, None, deposited));
            return with_receipt(stored.reply(), receipt.as_ref());
        }
        self.charge(offer, draw, held, charge, stored, deposited).await
    }

    /// Runs the work in this task, which is the request's own: a voucher is too small for a second
    /// one. A panic, an error or a wait that is too long is a failed answer.
    async fn work_here<S>(&self, request: Request<Body>, work: S) -> Stored
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let most = self.limits.max_answer.min(documents::MAX_BODY);
        let run = std::panic::AssertUnwindSafe(answer_of(request, work, most)).catch_unwind();
        let failure = match tokio::time::timeout(self.limits.work_wait, run).await {
            Ok(Ok(Ok(stored))) => return stored,
            Ok(Ok(Err(cause))) => cause,
            Ok(Err(_)) => "the machine broke down".to_string(),
            Err(_) => format!("it took longer than {:?}", self.limits.work_wait),
        };
        tracing::error!(%failure, "a piece of work failed");
        Stored::failure(&failure)
    }

    /// Sees to it that the books have room for what the voucher may charge. The chain may say that
    /// there is more than they know of: then they are brought up to it, once.
    async fn make_room(
        &self,
        till: &Till,
        offer: &Offer,
        draw: &Draw,
        held: &Held<'_>,
    ) -> Result<(), Box<Reply>> {
        if till.has_room(held.channel) {
            return Ok(());
        }
        let (id, config) = (draw.drawn.voucher.channel_id, &draw.drawn.config);
        if let Err(why) = Box::pin(till.catch_up(id, config)).await {
            return Err(Box::new(not_here(offer, why)));
        }
        match till.has_room(held.channel) {
            true => Ok(()),
            false => Err(Box::new(invalid(offer, ChannelInvalid::ExceedsBalance))),
        }
    }

    /// Books the charge, with the voucher and the answer that it paid for, in one write.
    async fn charge(
        &self,
        offer: &Offer,
        draw: &Draw,
        mut held: Held<'_>,
        charge: u128,
        stored: Stored,
        deposited: Option<&Deposited>,
    ) -> Reply {
        let voucher = &draw.drawn.voucher;
        let Ok(minor) = i128::try_from(charge) else { return Reply::busy(BOOKS) };
        let (total, base, lines) = {
            let mut channel = held.lock();
            (channel.tab.write(held.place, charge), channel.tab.base(), channel.lines)
        };
        held.stands = Stands::Writing(charge);
        let receipt = held.receipt(offer, charge, Some(total), deposited);
        let short = (stored.body.len() <= SHORT).then(|| str::from_utf8(&stored.body).ok());
        let output = short.flatten().map(str::to_string);
        let mut evidence = Vec::with_capacity(2);
        if output.is_none() {
            let stage = held.sale.stage(till::stage::OUTPUT);
            let media_type = stored.head.media_type();
            evidence.push(documents::body(held.sale.reference, &stage, media_type, &stored.body));
        }
        let kept = Kept {
            signed_max_claimable: voucher.max_claimable_amount,
            signature: voucher.signature.clone(),
            base: Units(base),
            receipt,
            request: draw.request.clone(),
            answer: stored.head,
            output,
        };
        let stage = held.sale.stage(till::stage::VOUCHER);
        evidence.push(documents::json(held.sale.reference, &stage, &kept));
        let payer = Party::from(draw.drawn.config.payer);
        let entry = Operation::Transfer(Transfer {
            id: held.sale.id(),
            debit: lines.unearned,
            credit: lines.income(offer.income),
            amount: Amount::from_minor(offer.price.asset(), minor),
            kind: self.kind_of_income(offer, payer),
            counterparty: Some(payer),
            reference: held.sale.reference,
            digest: draw.digest,
            hold_until: None,
        });
        match self.ledger.submit(Write { operation: Some(entry), evidence }).await {
            Ok(Outcome::Applied | Outcome::Exists) => {
                held.written(charge, voucher.signature.clone(), self.clock.now());
                let Kept { receipt, answer, .. } = kept;
                let stored = Stored { head: answer, body: stored.body, settlement: None };
                with_receipt(stored.reply(), Some(&receipt))
            }
            Ok(Outcome::Refused(refusal)) => {
                // The books have something else than we thought.
                tracing::error!(reason = %refusal.reason, "a voucher could not be charged");
                Reply::busy("the charge could not be booked; nothing was charged")
            }
            Err(error) => {
                tracing::error!(%error, "nobody knows whether a voucher was charged");
                Reply::pending()
            }
        }
    }

    /// The stored answer to a voucher that was charged for this request.
    fn sold_before(&self, sale: Sale) -> Reply {
        let documents = match self.ledger.evidence(sale.reference) {
            Ok(documents) => documents,
            Err(error) => {
                tracing::error!(%error, "a stored answer could not be read");
                return Reply::busy("the stored answer cannot be read just now");
            }
        };
        let find = |stage: &str| {
            let stage = sale.stage(stage);
            documents.iter().find(|d| d.evidence.stage == stage).map(|d| &d.evidence.body)
        };
        let kept: Option<Kept> =
            find(till::stage::VOUCHER).and_then(|body| serde_json::from_slice(body).ok());
        let Some(kept) = kept else {
            return Reply::busy("the stored answer cannot be read just now");
        };
        let body = match kept.output {
            Some(text) => Bytes::from(text),
            None => Bytes::from(find(till::stage::OUTPUT).cloned().unwrap_or_default()),
        };
        let stored = Stored { head: kept.answer, body, settlement: None };
        with_receipt(stored.reply(), Some(&kept.receipt))
    }
}

/// A voucher's place, while it is sold. Dropped before its charge is written it gives the place back,
/// also where something panics: else the channel would be busy for ever.
struct Held<'a> {
    channel: &'a Shared,
    place: Place,
    sale: Sale,
    stands: Stands,
}

/// How far the sale of a held voucher is.
#[derive(Clone, Copy)]
enum Stands {
    /// Nothing is charged.
    Working,
    /// So much is being charged.
    Writing(u128),
    /// It is charged: the place is used up.
    Written,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // A lock that somebody broke is broken for all; here a panic would end the process.
        let Ok(mut channel) = self.channel.lock() else { return };
        match self.stands {
            Stands::Working => channel.tab.release(self.place),
            Stands::Writing(charge) => {
                channel.tab.unwrite(self.place, charge);
                // It may be charged all the same: whoever comes next reads the channel anew.
                channel.doubtful = true;
            }
            Stands::Written => {}
        }
    }
}

impl Held<'_> {
    fn lock(&self) -> std::sync::MutexGuard<'_, till::Channel> {
        self.channel.lock().expect("nothing panics under this lock")
    }

    /// The charge is durable.
    fn written(&mut self, charge: u128, signature: SignatureBytes, now: Timestamp) {
        let mut channel = self.channel.lock().expect("nothing panics under this lock");
        channel.tab.written(self.place, charge, signature);
        if channel.unclaimed_since.is_none() {
            channel.unclaimed_since = Some(now);
        }
        drop(channel);
        self.stands = Stands::Written;
    }

    fn receipt(
        &self,
        offer: &Offer,
        charge: u128,
        total: Option<u128>,
        deposited: Option<&Deposited>,
    ) -> Receipt {
        let channel = self.lock();
        let total = total.unwrap_or_else(|| channel.tab.charged());
        Receipt {
            success: true,
            // Without the checksum of its letters, which is a hash more.
            payer: alloy_primitives::hex::encode_prefixed(channel.config.payer),
            transaction: deposited.map(|d| d.transaction.to_string()).unwrap_or_default(),
            network: wire::network(offer.token.chain_id),
            amount: deposited.map(|d| d.amount.to_string()).unwrap_or_default(),
            extra: ReceiptExtra {
                charged_amount: Some(Units(charge)),
                channel_state: channel.state(total),
            },
        }
    }
}

pub(super) const BOOKS: &str = "the books cannot be written just now; nothing was charged";
pub(super) const UNSURE: &str =
    "the channel could not be verified just now; the same payment may be tried again";
/// A deposit whose block may still vanish buys nothing.
const UNCOUNTED: &str = "the channel's deposit does not count yet: its block may still vanish; send the same payment again";

/// A refusal, with the quote.
pub(super) fn invalid(offer: &Offer, reason: ChannelInvalid) -> Reply {
    Reply::quote(offer, Some(reason.code().into()))
}

pub(super) fn not_here(offer: &Offer, why: NotHere) -> Reply {
    match why {
        NotHere::Invalid(reason) => invalid(offer, reason),
        NotHere::Uncounted => Reply::busy(UNCOUNTED),
        NotHere::Full => Reply::busy("no more channels can be open here at once; try again later"),
        NotHere::Chain(error) => {
            tracing::warn!(%error, "the chain cannot tell of a channel");
            Reply::busy(UNSURE)
        }
        NotHere::Books(error) => {
            tracing::error!(%error, "the books cannot tell of a channel");
            Reply::busy(BOOKS)
        }
    }
}

/// The corrective 402: what was charged, and the voucher that proves it.
pub(super) fn correction(till: &Till, offer: &Offer, channel: &till::Channel) -> Reply {
    let reason = ChannelInvalid::CumulativeMismatch;
    let state = channel.state(channel.tab.charged());
    // As its buyer can check it: a known key's signature was taken whatever its v.
    let proof = channel.tab.newest().map(|proof| channel_wire::VoucherState {
        signed_max_claimable: Some(Units(proof.amount)),
        signature: Some(channel.signature_of(&till.domain, proof)),
    });
    Reply::corrective(offer, reason.code(), &state, proof.as_ref())
}

pub(super) fn with_receipt(reply: Reply, receipt: Option<&Receipt>) -> Reply {
    match receipt {
        Some(receipt) => reply.with(wire::PAYMENT_RESPONSE, wire::encode(receipt)),
        None => reply,
    }
}

/// A payload as a facilitator is handed it.
pub(crate) fn payment_of(
    asked: &PaymentRequirements,
    payload: &channel_wire::Payload,
) -> PaymentPayload {
    PaymentPayload {
        x402_version: wire::VERSION,
        resource: None,
        accepted: asked.clone(),
        payload: serde_json::to_value(payload).expect("plain data"),
        extensions: None,
    }
}

impl Reply {
    /// The channel names no key that signs its vouchers.
    ///
    /// The contract then asks the payer's wallet itself (EIP-1271), and asks it when the seller
    /// claims, long after the work is done. A wallet's word is no promise: it may say yes at the
    /// sale and no at the claim. A wallet that is a contract opens its channels with a key of its
    /// own as `payerAuthorizer`, whose vouchers hold for good.
    fn keyless(offer: &Offer) -> Reply {
        let code = ChannelInvalid::VoucherSignature.code();
        let message = "the channel names no key as its `payerAuthorizer`, so its vouchers could \
                       not be claimed for sure; open a channel that names the key that signs them";
        let quote = offer.quote(Some(code.into()));
        Reply::refuse(StatusCode::PAYMENT_REQUIRED, code, message)
            .with(wire::PAYMENT_REQUIRED, wire::encode(&quote))
    }

    /// The offer names channels and this gate has none: a mistake of who wired it.
    pub(super) fn no_channels() -> Reply {
        tracing::error!("an offer is to be paid from channels, and its gate has no till");
        Reply::refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "unexpected_verify_error",
            "channels are not set up here; nothing was charged",
        )
    }
}
