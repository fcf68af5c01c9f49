//! The gate: a price before any HTTP service, and exactly one piece of work for each payment.
//!
//! The way of a paid request:
//!
//! | step | what is durable after it |
//! |---|---|
//! | no payment → 402 with the quote | nothing |
//! | read, match with the offer, verify | nothing; what is refused leaves no trace |
//! | **hold**, named by the payment, bound to the request's digest | the hold and the signed payment |
//! | work, in a task of its own, so that a buyer who hangs up stops nothing | – |
//! | keep the answer | the answer |
//! | settle; if that is not clear, ask the chain | – |
//! | post or void the hold | the entry and the receipt |
//!
//! The same payment again finds its hold: it waits for the running work, or gets the stored
//! answer. With another request it is refused with 409. A failed piece of work costs nothing, and
//! its failure is stored as the answer. Where a payment is for *up to* the price, the price is
//! held and what the answer's [`Charge`] says is settled. If the process dies, [`Gate::recover`]
//! resolves what is left by asking the chain.
//!
//! A flow of its own moves money before the work (`extra.paymentFlow`; the module `flow`): into an
//! escrow, from where it is captured or goes back, or at once.
//!
//! Payments from channels (scheme `batch-settlement`) have their own way, in the module `channel`: a voucher
//! is judged, held and charged without a word to the chain, and claimed later with many others.
//!
//! Everything from the body on runs in a task of its own: a buyer who hangs up between any two
//! steps changes nothing.
//!
//! Bounds: headers by [`wire::MAX_HEADER`], bodies by [`Offer::max_body`], answers, waits, and the
//! numbers of bodies and of pieces of work at once by [`GateLimits`].

mod binding;
pub(crate) mod channel;
mod channel_money;
mod channel_payload;
mod charge;
mod dressing;
mod errand;
mod flow;
mod reply;
mod settling;
mod stream;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use ledger::{Kind, Ledger, LedgerError, Outcome, Reference, Write};
use mandates::Key;
use mandates::books::{self, Entry, Line};
use money::{Clock, Party};
use serde::{Deserialize, Serialize};
use settlement::Settlement;
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt as _};

use crate::channel::till::{Till, TillLimits};
use crate::channel::{Collect, Collected};
use crate::documents;
use crate::exact::Invalid;
use crate::extensions::Extras;
use crate::facilitator::{self, Facilitator};
use crate::offer::{Offer, PaymentFlow};
use crate::order::Order;
use crate::wire::{self, PaymentPayload, PaymentRequirements};
use channel_payload::Echoes;
pub use charge::Charge;
use errand::{Errand, Seat, Seats};
pub(crate) use reply::Refused;
use reply::{AnswerHead, Reply, Stored};

/// The documents that a gate keeps with a payment's reference.
pub mod stage {
    /// What was asked: [`crate::wire::PaymentRequired`].
    pub const QUOTE: &str = "seller/quote";
    /// What was signed: [`crate::wire::PaymentPayload`].
    pub const PAYMENT: &str = "seller/payment";
    /// What was to be done, in short.
    pub const REQUEST: &str = "seller/request";
    /// The request's body.
    pub const INPUT: &str = "seller/input";
    /// Status and headers of the answer.
    pub const ANSWER: &str = "seller/answer";
    /// The answer's body.
    pub const OUTPUT: &str = "seller/output";
    /// What became of the money: [`crate::wire::SettleResponse`].
    pub const SETTLEMENT: &str = "seller/settlement";
}

/// How many deposits are searched for on the chain at once: what is searched is as old as its payer
/// says, and a search must not keep sales waiting.
const SEARCHES: usize = 8;

/// How much longer than the quote's timeout a payment may be valid.
const LONGEST_BEYOND: Duration = Duration::from_secs(24 * 60 * 60);

/// What bounds a gate.
#[derive(Debug, Clone, Copy)]
pub struct GateLimits {
    /// How long a request's body may take to arrive.
    pub body_wait: Duration,
    /// How long one piece of work may take.
    pub work_wait: Duration,
    /// How long a facilitator may take to answer, and then how long to ask the chain what became
    /// of an unclear settlement, before the answer is withheld as pending.
    pub settle_wait: Duration,
    /// The largest answer that is sold, in bytes.
    pub max_answer: usize,
    /// How long an answer that streams may take, all in all; one that is charged by use no longer
    /// than its payment is valid. Between two pieces it may take [`GateLimits::work_wait`].
    pub stream_wait: Duration,
    /// How many bodies of paid requests may be arriving at once; more are refused with 503.
    pub reading: usize,
    /// How many payments may be in work at once; more are refused with 503 before they are held.
    pub in_flight: usize,
    /// How long after a payment's end its hold stays, for the chain to be asked. It should outlast
    /// any time that this home may be shut.
    pub grace: Duration,
}

impl Default for GateLimits {
    fn default() -> GateLimits {
        GateLimits {
            body_wait: Duration::from_secs(30),
            work_wait: Duration::from_secs(50),
            settle_wait: Duration::from_secs(30),
            max_answer: 8 * 1024 * 1024,
            stream_wait: Duration::from_secs(15 * 60),
            reading: 256,
            in_flight: 256,
            grace: Duration::from_secs(366 * 24 * 60 * 60),
        }
    }
}

/// What a sale is to the national accounts, by who buys.
pub type Classify = Arc<dyn Fn(Party) -> Kind + Send + Sync>;

/// A seller's gate: share one between all offers of a home.
pub struct Gate {
    ledger: Ledger,
    facilitator: Arc<dyn Facilitator>,
    chain: Settlement,
    clock: Arc<dyn Clock>,
    classify: Classify,
    limits: GateLimits,
    extras: Extras,
    /// Those of sellers here, by which they say what is theirs to say.
    keys: Vec<Key>,
    /// The channels in which sellers of this home are paid, if they are.
    till: Option<Till>,
    seats: Seats,
    readers: Arc<Semaphore>,
    places: Arc<Semaphore>,
    searches: Semaphore,
}

/// A request, as far as a payment is bound to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Asked {
    offer: String,
    method: String,
    target: String,
    media_type: Option<String>,
    /// SHA-256 over offer, method, target, media type and body, in hexadecimal.
    digest: String,
    bytes: usize,
}

/// A request with a payment that can be read.
struct Paid {
    payment: PaymentPayload,
    /// What this seller asks for it; never what the buyer claims to have accepted.
    requirements: PaymentRequirements,
    order: Order,
    reference: Reference,
    digest: [u8; 32],
    asked: Asked,
    input: Bytes,
}

/// What a gate is made of. [`GateParts::new`] has what each needs; the rest is set where it is
/// wanted: `GateParts { limits, ..GateParts::new(…) }`.
#[derive(Clone)]
pub struct GateParts {
    /// Where holds, entries and answers are kept.
    pub ledger: Ledger,
    /// Who checks payments and carries them to the chain.
    pub facilitator: Arc<dyn Facilitator>,
    /// Who is asked when a settlement's outcome is unclear.
    pub chain: Settlement,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What a sale is to the national accounts.
    pub classify: Classify,
    /// What bounds it.
    pub limits: GateLimits,
    /// What is more than x402's core.
    pub extras: Extras,
    /// How its offers are paid from channels; without it none can be.
    pub channels: Option<GateChannels>,
}

/// How a gate is paid from channels.
#[derive(Clone, Default)]
pub struct GateChannels {
    /// The keys with which sellers themselves authorize claims and refunds, and what an operator
    /// elsewhere does with their escrowed payments; where an offer's terms name another, the
    /// facilitator signs.
    pub keys: Vec<Key>,
    /// When is claimed, and how much is kept in memory.
    pub limits: TillLimits,
}

impl GateParts {
    /// The parts that each gate needs; limits as by default, no extras, no channels.
    pub fn new(
        ledger: Ledger,
        facilitator: Arc<dyn Facilitator>,
        chain: Settlement,
        clock: Arc<dyn Clock>,
        classify: Classify,
    ) -> GateParts {
        GateParts {
            ledger,
            facilitator,
            chain,
            clock,
            classify,
            limits: GateLimits::default(),
            extras: Extras::default(),
            channels: None,
        }
    }
}

impl Gate {
    /// A gate of these parts. If it takes payments from channels, call [`Gate::recover`] for each
    /// payee after a start.
    pub fn new(parts: GateParts) -> Arc<Gate> {
        let GateParts { ledger, facilitator, chain, clock, classify, limits, extras, channels } =
            parts;
        let keys = channels.as_ref().map(|channels| channels.keys.clone()).unwrap_or_default();
        let till = channels.map(|channels| {
            let GateChannels { keys, limits } = channels;
            Till::new(ledger.clone(), chain.clone(), clock.clone(), keys, limits)
        });
        Arc::new(Gate {
            ledger,
            facilitator,
            chain,
            clock,
            classify,
            limits,
            extras,
            keys,
            till,
            seats: Seats::default(),
            readers: Arc::new(Semaphore::new(limits.reading)),
            places: Arc::new(Semaphore::new(limits.in_flight)),
            searches: Semaphore::new(SEARCHES),
        })
    }

    /// Claims what was charged in channels, and has it paid out. A running seller calls this every
    /// few seconds for what is due, and once for all before it shuts down.
    pub async fn collect(&self, what: Collect) -> Collected {
        match &self.till {
            Some(till) => till.collect(&*self.facilitator, what).await,
            None => Collected::default(),
        }
    }

    /// Puts an offer's price before a service.
    pub fn layer(self: &Arc<Self>, offer: Offer) -> GateLayer {
        GateLayer { gate: self.clone(), offer: Arc::new(offer), echoes: Arc::default() }
    }

    async fn serve<S>(
        self: Arc<Self>,
        offer: Arc<Offer>,
        echoes: Arc<Echoes>,
        request: Request<Body>,
        work: S,
    ) -> Reply
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let terms = offer.channel_terms();
        if let Some(terms) = terms
            && let Some(drawn) = channel_payload::quick(&parts.headers, &offer, &echoes)
        {
            return self.serve_channel(offer, terms, drawn, parts, body, work).await;
        }
        // Apart, so that the future of a voucher, of which there are most, stays small.
        Box::pin(self.serve_paid(offer, parts, body, work)).await
    }

    /// Serves what is no plain voucher, or not paid at all.
    async fn serve_paid<S>(
        self: Arc<Self>,
        offer: Arc<Offer>,
        parts: http::request::Parts,
        body: Body,
        work: S,
    ) -> Reply
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let terms = offer.channel_terms();
        let payment = match wire::decode::<PaymentPayload>(&parts.headers, wire::PAYMENT_SIGNATURE)
        {
            Ok(Some(payment)) => payment,
            Ok(None) => {
                let reply = Reply::quote(&offer, None);
                return self.after_body(&offer, body, reply).await;
            }
            Err(error) => {
                let message = error.to_string();
                let reply = Reply::refuse(StatusCode::BAD_REQUEST, "invalid_payload", &message);
                return self.after_body(&offer, body, reply).await;
            }
        };
        let requirements = match offer.accepts(&payment.accepted) {
            Ok(requirements) => requirements,
            Err(difference) => {
                let error = format!("No matching payment requirements: {difference}");
                let reply = Reply::quote(&offer, Some(error));
                return self.after_body(&offer, body, reply).await;
            }
        };
        if let Some(terms) = terms
            && requirements.scheme == crate::channel::SCHEME
        {
            return match channel_payload::read(payment, requirements) {
                Ok(drawn) => self.serve_channel(offer, terms, drawn, parts, body, work).await,
                Err(reason) => {
                    let reply = channel::invalid(&offer, reason);
                    self.after_body(&offer, body, reply).await
                }
            };
        }
        let order = match Order::read(&payment.payload, &requirements) {
            Ok(order) if order.is_of(&requirements) => order,
            Ok(_) => {
                let message = "the payment is not signed in the way that it says to have accepted";
                let code = "unsupported_payload_type";
                let reply = Reply::refuse(StatusCode::BAD_REQUEST, code, message);
                return self.after_body(&offer, body, reply).await;
            }
            Err(reason) => {
                let message = reason.to_string();
                let reply = Reply::refuse(StatusCode::BAD_REQUEST, reason.code, &message);
                return self.after_body(&offer, body, reply).await;
            }
        };
        if let Err(refusal) = dressing::check_name(&offer, &payment) {
            return self.after_body(&offer, body, *refusal).await;
        }
        let input = match self.read_body(&offer, body).await {
            Ok(input) => input,
            Err(refusal) => return *refusal,
        };
        if let Err(refusal) =
            binding::check_order(&offer, &parts, &payment, &requirements, &order, &input)
        {
            return *refusal;
        }
        let paid = Paid::new(&offer, &parts, payment, requirements, order, input);
        let told = match self.seats.take(paid.errand()) {
            Err(told) => told,
            Ok(seat) => {
                let told = seat.told();
                let gate = self.clone();
                tokio::spawn(async move {
                    let reply = gate.decide(&offer, paid, parts, work, &seat).await;
                    seat.tell(reply);
                });
                told
            }
        };
        errand::heard(told, self.limits.work_wait + self.limits.settle_wait).await
    }

    /// Gives an answer after the request's body has passed, unread and unkept.
    ///
    /// Clients send the body with their first, unpaid request, and many of them lose an answer
    /// that comes, with the connection closed, while they still write. A body beyond the offer's
    /// bound, or one that does not come along, is not waited for.
    async fn after_body(&self, offer: &Offer, body: Body, reply: Reply) -> Reply {
        let Ok(_reading) = self.readers.try_acquire() else { return reply };
        let pass = async {
            let mut body = Limited::new(body, offer.max_body.min(documents::MAX_BODY));
            while let Some(Ok(_)) = body.frame().await {}
        };
        let _ = tokio::time::timeout(self.limits.body_wait, pass).await;
        reply
    }

    async fn read_body(&self, offer: &Offer, body: Body) -> Result<Bytes, Box<Reply>> {
        let refuse = |status, code, message: &str| Box::new(Reply::refuse(status, code, message));
        let Ok(_reading) = self.readers.try_acquire() else {
            return Err(Box::new(Reply::busy("too many requests are arriving; try again")));
        };
        let most = offer.max_body.min(documents::MAX_BODY);
        let read = Limited::new(body, most).collect();
        match tokio::time::timeout(self.limits.body_wait, read).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                &format!("the request's body is larger than {most} bytes"),
            )),
            Ok(Err(_)) => Err(refuse(
                StatusCode::BAD_REQUEST,
                "request_incomplete",
                "the request's body did not arrive whole",
            )),
            Err(_) => Err(refuse(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "the request's body took too long",
            )),
        }
    }

    /// All that happens to a paid request, from the first look into the books to the last entry.
    async fn decide<S>(
        &self,
        offer: &Offer,
        paid: Paid,
        parts: http::request::Parts,
        work: S,
        seat: &Seat,
    ) -> Reply
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        if self.is_known(paid.reference) {
            return self.again(offer, &paid).await;
        }
        let Ok(_place) = self.places.try_acquire() else {
            return Reply::busy("all hands are busy; try again in a moment");
        };
        if let Err(refusal) = self.verify(offer, &paid).await {
            return *refusal;
        }
        if let Some(reply) = self.named_before(offer, &paid).await {
            return reply;
        }
        match self.hold(offer, &paid).await {
            Ok(Outcome::Applied) => {}
            // Another request with this payment was faster.
            Ok(Outcome::Exists) => return self.again(offer, &paid).await,
            Ok(Outcome::Refused(_)) if self.is_known(paid.reference) => {
                return self.again(offer, &paid).await;
            }
            Ok(Outcome::Refused(refusal)) => {
                // Another payment of the same name was faster.
                if let Some(reply) = self.named_before(offer, &paid).await {
                    return reply;
                }
                tracing::error!(reference = %paid.reference, reason = %refusal.reason, "a sale could not be held");
                return Reply::refuse(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "unexpected_verify_error",
                    "the books refused the hold; nothing was charged",
                );
            }
            Err(error) => {
                tracing::error!(reference = %paid.reference, %error, "a sale could not be held");
                return Reply::busy("the books cannot be written just now; nothing was charged");
            }
        }
        let flow = PaymentFlow::of(&paid.requirements).unwrap_or_default();
        if offer.streams
            && paid.order.is_metered()
            && flow == PaymentFlow::Authorization
            && !self.is_covered(offer, &paid).await
        {
            let failure = Stored::failure("its payer's balance is promised to other payments");
            return self.failed(paid.reference, &failure).await;
        }
        let request = Request::from_parts(without_payment(parts), Body::from(paid.input.clone()));
        match flow {
            PaymentFlow::Authorization => {}
            PaymentFlow::Upfront => return self.settle_and_work(offer, &paid, request, work).await,
            PaymentFlow::Escrow => {
                if let Err(reply) = self.take_into_escrow(offer, &paid).await {
                    return *reply;
                }
            }
        }
        self.work_and_settle(offer, &paid, request, work, seat).await
    }

    /// Whether a payer owns what all its open payments to this seller may take. An answer that is
    /// passed on before it is settled must not be one of many that one balance was shown for; the
    /// holds are in the ledger's order, so of two at once the later sees both.
    async fn is_covered(&self, offer: &Offer, paid: &Paid) -> bool {
        let payer = Party::from(paid.order.payer());
        let cash = Line::Cash.of(offer.payee, offer.price.asset());
        let open: i128 = self.ledger.read(|state| {
            let holds = state
                .holds()
                .filter(|h| h.transfer.debit == cash && h.transfer.counterparty == Some(payer));
            holds.map(|h| h.transfer.amount.minor()).sum()
        });
        self.chain.balance(payer).await.is_ok_and(|owned| owned.minor() >= open)
    }

    /// Nothing that is refused here leaves a trace.
    async fn verify(&self, offer: &Offer, paid: &Paid) -> Result<(), Box<Reply>> {
        // Work and settlement must fit into what is left of the payment's time; half of what was
        // asked for is taken too, since clocks differ and networks are slow.
        let needed = self.clock.now().plus(offer.timeout / 2);
        if paid.order.ends_at() < needed {
            let reason = Invalid::ValidBefore.code().to_string();
            return Err(Box::new(Reply::quote(offer, Some(reason))));
        }
        // A payment that never ends could never be let go. Clients sign for the quote's timeout.
        let latest = self.clock.now().plus(offer.timeout + LONGEST_BEYOND);
        if paid.order.ends_at() > latest {
            let reason = Invalid::ValidBefore.code().to_string();
            return Err(Box::new(Reply::quote(offer, Some(reason))));
        }
        if let Err(reason) = self.check_deadlines(offer, paid) {
            return Err(Box::new(Reply::quote(offer, Some(reason.code().into()))));
        }
        let unsure =
            "the payment could not be verified just now; the same payment may be tried again";
        let is_owed = offer.income == Line::Owed;
        let verifying = self.facilitator.verify(&paid.payment, &paid.requirements);
        match tokio::time::timeout(self.limits.settle_wait, verifying).await {
            // What is owed to a payer it asks for by its signature: a wallet that is a contract could
            // pay in, and never take out.
            Ok(Ok(verdict))
                if verdict.is_valid && is_owed && !paid.order.is_by_key(&offer.token) =>
            {
                Err(Box::new(Reply::payer_has_no_key()))
            }
            Ok(Ok(verdict)) if verdict.is_valid => Ok(()),
            Ok(Ok(verdict)) => {
                let reason = verdict.invalid_reason.unwrap_or_else(|| "invalid_payload".into());
                Err(Box::new(if facilitator::is_unsure(&reason) {
                    Reply::busy(unsure)
                } else {
                    Reply::quote(offer, Some(reason))
                }))
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a payment could not be verified");
                Err(Box::new(Reply::busy(unsure)))
            }
            Err(_) => {
                tracing::warn!("a payment could not be verified in time");
                Err(Box::new(Reply::busy(unsure)))
            }
        }
    }

    fn is_known(&self, reference: Reference) -> bool {
        self.ledger.read(|state| state.transfer(&books::sale_id(reference)).is_some())
    }

    /// What a payment is to the national accounts: a deposit at a market is no sale.
    fn kind_of_income(&self, offer: &Offer, payer: Party) -> Kind {
        match offer.income {
            Line::Sales => (self.classify)(payer),
            _ => Kind::Financial,
        }
    }

    async fn hold(&self, offer: &Offer, paid: &Paid) -> Result<Outcome, LedgerError> {
        let payer = Party::from(paid.order.payer());
        let entry = Entry {
            id: books::sale_id(paid.reference),
            book: offer.payee,
            debit: Line::Cash,
            credit: offer.income,
            amount: offer.price,
            kind: self.kind_of_income(offer, payer),
            counterparty: payer,
            reference: paid.reference,
            digest: paid.digest,
            hold_until: Some(paid.order.ends_at().plus(self.limits.grace)),
        };
        let reference = paid.reference;
        let media_type = paid.asked.media_type.as_deref();
        let mut evidence = vec![
            documents::json(reference, stage::QUOTE, &offer.quote(None)),
            documents::json(reference, stage::PAYMENT, &paid.payment),
            documents::json(reference, stage::REQUEST, &paid.asked),
            documents::body(reference, stage::INPUT, media_type, &paid.input),
        ];
        evidence.extend(paid.naming(offer));
        self.ledger.submit(Write { operation: Some(entry.transfer()), evidence }).await
    }

    async fn work_and_settle<S>(
        &self,
        offer: &Offer,
        paid: &Paid,
        request: Request<Body>,
        work: S,
        seat: &Seat,
    ) -> Reply
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let reference = paid.reference;
        let deadline = tokio::time::Instant::now() + self.limits.work_wait;
        let most = self.limits.max_answer.min(documents::MAX_BODY);
        let mut stored = match self.begin_work(request, work, deadline).await {
            Ok(response)
                if offer.streams
                    && response.status().as_u16() < 400
                    && stream::passes(&response, most) =>
            {
                return self.stream_and_settle(offer, paid, response, seat).await;
            }
            Ok(response) => self.finish_work(response, deadline).await,
            Err(failure) => failure,
        };
        if !stored.is_delivery() {
            // Nothing was delivered, so nothing is charged; the failure is the stored answer.
            return self.nothing_delivered(offer, paid, stored).await;
        }
        let charge = match paid.order.is_metered() {
            true => charge::charged(&offer.name, offer.price, stored.head.charge),
            false => offer.price,
        };
        // Kept with the answer: after a crash the same is charged.
        stored.head.charge = Some(charge);
        // The answer is durable before money moves: a crash in between loses neither.
        let evidence = vec![
            documents::json(reference, stage::ANSWER, &stored.head),
            documents::body(reference, stage::OUTPUT, stored.head.media_type(), &stored.body),
        ];
        match self.ledger.submit(Write::evidence(evidence)).await {
            Ok(outcome) if outcome.holds() => {}
            other => {
                tracing::error!(%reference, ?other, "an answer could not be kept; nothing is charged");
                let failure = Stored::failure("it could not be kept");
                return self.nothing_delivered(offer, paid, failure).await;
            }
        }
        let due = self.due(offer, paid, charge);
        match self.settle(&due).await {
            Some(settlement) => Stored { settlement: Some(settlement), ..stored }.reply(),
            None => Reply::pending(),
        }
    }

    async fn failed(&self, reference: Reference, failure: &Stored) -> Reply {
        match self.let_go(reference, failure).await {
            Some(()) => failure.reply(),
            None => Reply::busy("the books cannot be written just now; nothing was charged"),
        }
    }

    /// Has the work begun, until the head of its answer is there. A panic, an error or a wait that
    /// is too long is a failed answer.
    async fn begin_work<S>(
        &self,
        request: Request<Body>,
        work: S,
        deadline: tokio::time::Instant,
    ) -> Result<Response, Stored>
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let run = async move { work.oneshot(request).await.map_err(|e| e.to_string()) };
        self.guard(run, deadline).await
    }

    /// Takes an answer in whole.
    async fn finish_work(&self, response: Response, deadline: tokio::time::Instant) -> Stored {
        let most = self.limits.max_answer.min(documents::MAX_BODY);
        self.guard(read_answer(response, most), deadline).await.unwrap_or_else(|failure| failure)
    }

    /// Runs a part of the work in a task of its own, so that its panics and its time are bounded.
    async fn guard<T: Send + 'static>(
        &self,
        part: impl Future<Output = Result<T, String>> + Send + 'static,
        deadline: tokio::time::Instant,
    ) -> Result<T, Stored> {
        let run = tokio::spawn(part);
        let abort = run.abort_handle();
        let failure = match tokio::time::timeout_at(deadline, run).await {
            Ok(Ok(Ok(done))) => return Ok(done),
            Ok(Ok(Err(cause))) => cause,
            Ok(Err(_)) => "the machine broke down".to_string(),
            Err(_) => {
                abort.abort();
                format!("it took longer than {:?}", self.limits.work_wait)
            }
        };
        tracing::error!(%failure, "a piece of work failed");
        Err(Stored::failure(&failure))
    }
}

/// Has the work done, and reads its answer of at most so many bytes.
///
/// # Errors
/// Why there is none, for the log and the buyer.
async fn answer_of<S>(request: Request<Body>, work: S, most: usize) -> Result<Stored, String>
where
    S: Service<Request<Body>, Response = Response>,
    S::Error: std::fmt::Display,
{
    let response = work.oneshot(request).await.map_err(|e| e.to_string())?;
    read_answer(response, most).await
}

/// Takes an answer in whole.
async fn read_answer(response: Response, most: usize) -> Result<Stored, String> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, most)
        .collect()
        .await
        .map_err(|_| format!("its answer is larger than {most} bytes or broke off"))?
        .to_bytes();
    let mut head = AnswerHead::of(parts.status, &parts.headers);
    head.charge = parts.extensions.get::<Charge>().map(Charge::amount);
    Ok(Stored { head, body, settlement: None })
}

impl Paid {
    fn new(
        offer: &Offer,
        parts: &http::request::Parts,
        payment: PaymentPayload,
        requirements: PaymentRequirements,
        order: Order,
        input: Bytes,
    ) -> Paid {
        let digest = request_digest(offer, parts, &input);
        let asked = asked(offer, parts, digest, input.len());
        let reference = order.reference(&offer.token);
        Paid { payment, requirements, order, reference, digest, asked, input }
    }

    fn errand(&self) -> Errand {
        // As it is written here: the same payment in another order of its members is the same.
        let payload = self.order.payload().to_string();
        let digest = documents::digest(&[payload.as_bytes(), &self.digest]);
        Errand { reference: self.reference, digest }
    }
}

/// A request, in short.
fn asked(offer: &Offer, parts: &http::request::Parts, digest: [u8; 32], bytes: usize) -> Asked {
    let media_type = parts.headers.get(header::CONTENT_TYPE);
    Asked {
        offer: offer.name.clone(),
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map(|p| p.to_string()).unwrap_or_default(),
        media_type: media_type.and_then(|v| v.to_str().ok()).map(str::to_string),
        digest: alloy_primitives::hex::encode(digest),
        bytes,
    }
}

/// What a payment is bound to.
fn request_digest(offer: &Offer, parts: &http::request::Parts, body: &[u8]) -> [u8; 32] {
    let media_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    documents::digest(&[
        offer.name.as_bytes(),
        parts.method.as_str().as_bytes(),
        parts.uri.path_and_query().map_or("", |p| p.as_str()).as_bytes(),
        media_type.unwrap_or(b""),
        body,
    ])
}

/// The service behind the gate is not handed the payment: it could be logged or forwarded.
fn without_payment(mut parts: http::request::Parts) -> http::request::Parts {
    parts.headers.remove(wire::PAYMENT_SIGNATURE);
    parts
}

/// Makes [`GateService`]s; from [`Gate::layer`].
#[derive(Clone)]
pub struct GateLayer {
    gate: Arc<Gate>,
    offer: Arc<Offer>,
    echoes: Arc<Echoes>,
}

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> GateService<S> {
        let GateLayer { gate, offer, echoes } = self.clone();
        GateService { gate, offer, echoes, inner }
    }
}

/// A service behind its price.
#[derive(Clone)]
pub struct GateService<S> {
    gate: Arc<Gate>,
    offer: Arc<Offer>,
    echoes: Arc<Echoes>,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for GateService<S>
where
    S: Service<Request<Body>, Response = http::Response<R>> + Clone + Send + 'static,
    S::Error: std::fmt::Display + Send,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<'static, Result<Response, std::convert::Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::convert::Infallible>> {
        // The inner service is made ready when its work begins, not while a buyer thinks.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (gate, offer, inner) = (self.gate.clone(), self.offer.clone(), self.inner.clone());
        let request = request.map(Body::new);
        let inner = inner.map_response(|response: http::Response<R>| response.map(Body::new));
        let echoes = self.echoes.clone();
        Box::pin(async move { Ok(gate.attend(offer, echoes, request, inner).await.into()) })
    }
}
