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
//! its failure is stored as the answer. If the process dies, [`Gate::recover`] resolves what is
//! left by asking the chain.
//!
//! Bounds: headers by [`wire::MAX_HEADER`], bodies by [`Offer::max_body`], answers, waits and the
//! number of pieces of work at once by [`GateLimits`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use ledger::{Evidence, Kind, Ledger, Operation, Outcome, Reference, Status, Write};
use mandates::books::{self, Entry, Line};
use money::{Clock, Party};
use serde::{Deserialize, Serialize};
use serde_json::json;
use settlement::{AuthorizationState, Settlement, SignedAuthorization};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, watch};
use tower::{Layer, Service, ServiceExt as _};

use crate::exact::{self, Invalid};
use crate::facilitator::Facilitator;
use crate::offer::Offer;
use crate::wire::{self, PaymentPayload, SettleResponse};

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

/// What bounds a gate.
#[derive(Debug, Clone, Copy)]
pub struct GateLimits {
    /// How long a request's body may take to arrive.
    pub body_wait: Duration,
    /// How long one piece of work may take.
    pub work_wait: Duration,
    /// How long to ask the chain what became of an unclear settlement before the answer is
    /// withheld as pending.
    pub settle_wait: Duration,
    /// The largest answer that is sold, in bytes.
    pub max_answer: usize,
    /// How many payments may be in work at once; more are refused with 503 before they are held.
    pub in_flight: usize,
    /// How long after a payment's end its hold stays, for the chain to be asked.
    pub grace: Duration,
}

impl Default for GateLimits {
    fn default() -> GateLimits {
        GateLimits {
            body_wait: Duration::from_secs(30),
            work_wait: Duration::from_secs(50),
            settle_wait: Duration::from_secs(30),
            max_answer: 8 * 1024 * 1024,
            in_flight: 256,
            grace: Duration::from_secs(24 * 60 * 60),
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
    /// Payments that are in somebody's hands now; one request at a time decides about each.
    flights: Arc<Mutex<HashMap<Reference, Flight>>>,
    places: Arc<Semaphore>,
}

/// A payment in work.
#[derive(Clone)]
struct Flight {
    digest: [u8; 32],
    payload: serde_json::Value,
    told: watch::Receiver<Option<Stored>>,
}

/// The right to decide about a payment; given back when dropped, however that comes about.
struct Seat {
    flights: Arc<Mutex<HashMap<Reference, Flight>>>,
    reference: Reference,
    tell: watch::Sender<Option<Stored>>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.flights.lock().expect("nothing panics under this lock").remove(&self.reference);
    }
}

/// A request, as far as a payment is bound to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Asked {
    offer: String,
    method: String,
    target: String,
    media_type: Option<String>,
    /// SHA-256 over method, target, media type and body, in hexadecimal.
    digest: String,
    bytes: usize,
}

/// The head of a stored answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct AnswerHead {
    status: u16,
    headers: Vec<(String, String)>,
}

/// An answer that can be given again.
#[derive(Debug, Clone)]
struct Stored {
    head: AnswerHead,
    body: Bytes,
    settlement: Option<SettleResponse>,
}

/// A payment that has passed all checks and is about to be held.
struct Paid {
    payment: PaymentPayload,
    authorization: SignedAuthorization,
    reference: Reference,
    digest: [u8; 32],
    asked: Asked,
    input: Bytes,
}

impl Gate {
    /// A gate that keeps its holds in `ledger`, settles through `facilitator`, and asks `chain`
    /// when a settlement's outcome is unclear.
    pub fn new(
        ledger: Ledger,
        facilitator: Arc<dyn Facilitator>,
        chain: Settlement,
        clock: Arc<dyn Clock>,
        classify: Classify,
        limits: GateLimits,
    ) -> Arc<Gate> {
        Arc::new(Gate {
            ledger,
            facilitator,
            chain,
            clock,
            classify,
            limits,
            flights: Arc::default(),
            places: Arc::new(Semaphore::new(limits.in_flight)),
        })
    }

    /// Puts an offer's price before a service.
    pub fn layer(self: &Arc<Self>, offer: Offer) -> GateLayer {
        GateLayer { gate: self.clone(), offer: Arc::new(offer) }
    }

    async fn serve<S>(
        self: Arc<Self>,
        offer: Arc<Offer>,
        request: Request<Body>,
        work: S,
    ) -> Response
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let (parts, body) = request.into_parts();
        let payment = match wire::decode::<PaymentPayload>(&parts.headers, wire::PAYMENT_SIGNATURE)
        {
            Ok(Some(payment)) => payment,
            Ok(None) => return quote(&offer, None),
            Err(error) => {
                return refuse(StatusCode::BAD_REQUEST, "invalid_payload", &error.to_string());
            }
        };
        if let Some(difference) = offer.difference(&payment.accepted) {
            return quote(&offer, Some(format!("No matching payment requirements: {difference}")));
        }
        let authorization = match exact::read(&payment.payload) {
            Ok(authorization) => authorization,
            Err(reason) => {
                return refuse(StatusCode::BAD_REQUEST, reason.code(), &reason.to_string());
            }
        };
        let input = match self.read_body(&offer, body).await {
            Ok(input) => input,
            Err(response) => return *response,
        };

        let digest = request_digest(&parts, &input);
        let media_type = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .map(str::to_string);
        let asked = Asked {
            offer: offer.name.clone(),
            method: parts.method.to_string(),
            target: parts.uri.path_and_query().map(|p| p.to_string()).unwrap_or_default(),
            media_type,
            digest: alloy_primitives::hex::encode(digest),
            bytes: input.len(),
        };
        let reference = exact::reference(&authorization, &offer.token);
        let paid = Paid { payment, authorization, reference, digest, asked, input };

        let seat = match self.take_seat(&paid) {
            Ok(seat) => seat,
            Err(flight) => return self.join(flight, &paid).await,
        };
        if self.is_known(reference) {
            return self.again(&offer, &paid).await;
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return busy("all hands are busy; try again in a moment");
        };
        let verdict = match self.facilitator.verify(&paid.payment, &offer.requirements()).await {
            Ok(verdict) => verdict,
            Err(error) => {
                tracing::warn!(%error, "a payment could not be verified");
                return busy(
                    "the payment could not be verified just now; the same payment may be tried again",
                );
            }
        };
        if !verdict.is_valid {
            let reason = verdict.invalid_reason.unwrap_or_else(|| "invalid_payload".into());
            return quote(&offer, Some(reason));
        }
        match self.hold(&offer, &paid).await {
            Ok(Outcome::Applied) => {}
            // Another process over the same books was faster.
            Ok(Outcome::Exists) => return self.again(&offer, &paid).await,
            Ok(Outcome::Refused(_)) if self.is_known(reference) => {
                return self.again(&offer, &paid).await;
            }
            Ok(Outcome::Refused(refusal)) => {
                tracing::error!(%reference, reason = %refusal.reason, "a sale could not be held");
                return refuse(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "unexpected_verify_error",
                    "the books refused the hold; nothing was charged",
                );
            }
            Err(error) => {
                tracing::error!(%reference, %error, "a sale could not be held");
                return busy("the books cannot be written just now; nothing was charged");
            }
        }

        let mut told = seat.tell.subscribe();
        let gate = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let request =
                Request::from_parts(without_payment(parts), Body::from(paid.input.clone()));
            let stored = gate.work_and_settle(&offer, &paid, request, work).await;
            // Nobody may be listening any more; the answer is stored for who asks again.
            let _ = seat.tell.send(stored);
        });
        self.wait_for(&mut told).await
    }

    fn take_seat(&self, paid: &Paid) -> Result<Seat, Flight> {
        let mut flights = self.flights.lock().expect("nothing panics under this lock");
        if let Some(flight) = flights.get(&paid.reference) {
            return Err(flight.clone());
        }
        let (tell, told) = watch::channel(None);
        let payload = paid.payment.payload.clone();
        flights.insert(paid.reference, Flight { digest: paid.digest, payload, told });
        Ok(Seat { flights: self.flights.clone(), reference: paid.reference, tell })
    }

    /// The same payment, while the first request with it is in work.
    async fn join(&self, mut flight: Flight, paid: &Paid) -> Response {
        if flight.digest != paid.digest || flight.payload != paid.payment.payload {
            return conflict();
        }
        self.wait_for(&mut flight.told).await
    }

    async fn read_body(&self, offer: &Offer, body: Body) -> Result<Bytes, Box<Response>> {
        let read = Limited::new(body, offer.max_body).collect();
        match tokio::time::timeout(self.limits.body_wait, read).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                Err(Box::new(refuse(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "request_too_large",
                    &format!("the request's body is larger than {} bytes", offer.max_body),
                )))
            }
            Ok(Err(_)) => Err(Box::new(refuse(
                StatusCode::BAD_REQUEST,
                "request_incomplete",
                "the request's body did not arrive whole",
            ))),
            Err(_) => Err(Box::new(refuse(
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "the request's body took too long",
            ))),
        }
    }

    fn is_known(&self, reference: Reference) -> bool {
        self.ledger.read(|state| state.transfer(&books::sale_id(reference)).is_some())
    }

    async fn hold(&self, offer: &Offer, paid: &Paid) -> Result<Outcome, ledger::LedgerError> {
        let payer = Party::from(paid.authorization.from);
        let entry = Entry {
            id: books::sale_id(paid.reference),
            book: offer.payee,
            debit: Line::Cash,
            credit: Line::Sales,
            amount: offer.price,
            kind: (self.classify)(payer),
            counterparty: payer,
            reference: paid.reference,
            digest: paid.digest,
            hold_until: Some(exact::ends_at(&paid.authorization).plus(self.limits.grace)),
        };
        let reference = paid.reference;
        let evidence = vec![
            document(reference, stage::QUOTE, &offer.quote(None)),
            document(reference, stage::PAYMENT, &paid.payment),
            document(reference, stage::REQUEST, &paid.asked),
            Evidence {
                reference,
                stage: stage::INPUT.into(),
                media_type: paid
                    .asked
                    .media_type
                    .clone()
                    .unwrap_or_else(|| "application/octet-stream".into()),
                body: paid.input.to_vec(),
            },
        ];
        self.ledger.submit(Write { operation: Some(entry.transfer()), evidence }).await
    }

    async fn work_and_settle<S>(
        &self,
        offer: &Offer,
        paid: &Paid,
        request: Request<Body>,
        work: S,
    ) -> Option<Stored>
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let (head, body) = self.work(request, work).await;
        let done = head.status < 400;
        let evidence = vec![
            document(paid.reference, stage::ANSWER, &head),
            Evidence {
                reference: paid.reference,
                stage: stage::OUTPUT.into(),
                media_type: head.media_type(),
                body: body.to_vec(),
            },
        ];
        if !done {
            // Nothing was delivered, so nothing is charged; the failure is the stored answer.
            self.resolve(Operation::Void { hold: books::sale_id(paid.reference) }, evidence)
                .await?;
            return Some(Stored { head, body, settlement: None });
        }
        // The answer is durable before money moves: a crash in between loses neither.
        if let Err(error) = self.ledger.submit(Write { operation: None, evidence }).await {
            tracing::error!(reference = %paid.reference, %error, "an answer could not be kept; nothing is charged");
            self.resolve(Operation::Void { hold: books::sale_id(paid.reference) }, Vec::new())
                .await;
            return None;
        }
        let settlement =
            self.settle(offer.payee, &paid.payment, &paid.authorization, paid.reference).await?;
        Some(Stored { head, body, settlement: Some(settlement) })
    }

    /// Runs the work; a panic, an error or a wait that is too long is a failed answer.
    async fn work<S>(&self, request: Request<Body>, work: S) -> (AnswerHead, Bytes)
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let max_answer = self.limits.max_answer;
        let run = tokio::spawn(async move {
            let response = work.oneshot(request).await.map_err(|e| e.to_string())?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, max_answer)
                .collect()
                .await
                .map_err(|_| format!("its answer is larger than {max_answer} bytes or broke off"))?
                .to_bytes();
            Ok::<_, String>((AnswerHead::of(parts.status, &parts.headers), body))
        });
        let abort = run.abort_handle();
        let failure = match tokio::time::timeout(self.limits.work_wait, run).await {
            Ok(Ok(Ok(answer))) => return answer,
            Ok(Ok(Err(cause))) => cause,
            Ok(Err(_)) => "the machine broke down".to_string(),
            Err(_) => {
                abort.abort();
                format!("it took longer than {} s", self.limits.work_wait.as_secs())
            }
        };
        tracing::error!(%failure, "a piece of work failed");
        let body = json!({ "error": "work_failed", "message": format!("the work failed and nothing was charged: {failure}") });
        let head = AnswerHead {
            status: StatusCode::BAD_GATEWAY.as_u16(),
            headers: vec![("content-type".into(), "application/json".into())],
        };
        (head, Bytes::from(body.to_string()))
    }

    /// Settles a held, delivered payment, and resolves its hold by what the chain says.
    ///
    /// `None`: the outcome is still open, and the hold stays.
    async fn settle(
        &self,
        payee: Party,
        payment: &PaymentPayload,
        authorization: &SignedAuthorization,
        reference: Reference,
    ) -> Option<SettleResponse> {
        let answer = self.facilitator.settle(payment, &payment.accepted).await;
        let response = match answer {
            Ok(response) if response.success => response,
            unclear => self.ask_chain(payee, payment, authorization, unclear.ok()).await?,
        };
        let hold = books::sale_id(reference);
        let operation = if response.success {
            Operation::Post { hold, amount: None }
        } else {
            Operation::Void { hold }
        };
        self.resolve(operation, vec![document(reference, stage::SETTLEMENT, &response)]).await?;
        Some(response)
    }

    /// What the chain says of a settlement that did not report success, asked until it is clear
    /// or the wait runs out.
    async fn ask_chain(
        &self,
        payee: Party,
        payment: &PaymentPayload,
        authorization: &SignedAuthorization,
        reported: Option<SettleResponse>,
    ) -> Option<SettleResponse> {
        let failed = |reason: Invalid| SettleResponse {
            success: false,
            error_reason: Some(reason.code().into()),
            error_message: Some(reason.to_string()),
            payer: Some(authorization.from.to_string()),
            transaction: String::new(),
            network: payment.accepted.network.clone(),
            amount: None,
        };
        // What the facilitator refused before sending can no longer move money by its hand.
        let open = match &reported {
            None => true,
            Some(response) => Invalid::ALL
                .iter()
                .filter(|r| r.is_open())
                .any(|r| response.error_reason.as_deref() == Some(r.code())),
        };
        let deadline = tokio::time::Instant::now() + self.limits.settle_wait;
        let mut pause = Duration::from_millis(20);
        loop {
            let state = self.chain.authorization(authorization.from, authorization.nonce, 0).await;
            match state {
                Ok(AuthorizationState::Used { transaction, to, value, .. })
                    if Party::from(to) == payee && value == authorization.value =>
                {
                    return Some(SettleResponse {
                        success: true,
                        error_reason: None,
                        error_message: None,
                        payer: Some(authorization.from.to_string()),
                        transaction: transaction.to_string(),
                        network: payment.accepted.network.clone(),
                        amount: Some(payment.accepted.amount.clone()),
                    });
                }
                Ok(AuthorizationState::Used { .. } | AuthorizationState::Cancelled) => {
                    return Some(failed(Invalid::NonceUsed));
                }
                Ok(AuthorizationState::Unused) if !open => {
                    return Some(reported.unwrap_or_else(|| failed(Invalid::Transaction)));
                }
                // A mined transaction that failed leaves it unused for ever, if nobody resends.
                Ok(AuthorizationState::Unused)
                    if self.clock.now()
                        > exact::ends_at(authorization).plus(Duration::from_secs(60)) =>
                {
                    return Some(failed(Invalid::ValidBefore));
                }
                Ok(AuthorizationState::Unused) | Err(_) => {}
            }
            if tokio::time::Instant::now() + pause > deadline {
                return None;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// `None` if the books could not be written: the hold stays, and recovery resolves it.
    async fn resolve(&self, operation: Operation, evidence: Vec<Evidence>) -> Option<()> {
        match self.ledger.submit(Write { operation: Some(operation), evidence }).await {
            Ok(Outcome::Applied | Outcome::Exists) => Some(()),
            Ok(Outcome::Refused(refusal)) => {
                tracing::error!(reason = %refusal.reason, "a hold could not be resolved");
                None
            }
            Err(error) => {
                tracing::error!(%error, "a hold could not be resolved");
                None
            }
        }
    }

    /// The same payment again, after the first request with it has ended.
    async fn again(&self, offer: &Offer, paid: &Paid) -> Response {
        let record = self.ledger.read(|state| {
            state
                .transfer(&books::sale_id(paid.reference))
                .map(|r| (r.transfer.digest, r.status.clone()))
        });
        let Some((digest, status)) = record else {
            return busy("the payment is being recorded; try again in a moment");
        };
        let kept = match self.kept(paid.reference) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(%error, "a stored answer could not be read");
                return busy("the stored answer cannot be read just now");
            }
        };
        // A payment's number is public once it is settled; only who holds the signed payment and
        // the request may have the answer.
        let same = kept.payment.as_ref().is_some_and(|p| p.payload == paid.payment.payload);
        if digest != paid.digest || !same {
            return conflict();
        }
        let stored = match (status, kept.stored) {
            (Status::Held, Some(mut stored)) => {
                // Delivered, and not known to be settled: the process was interrupted.
                let settled = self
                    .settle(offer.payee, &paid.payment, &paid.authorization, paid.reference)
                    .await;
                match settled {
                    Some(settlement) => {
                        stored.settlement = Some(settlement);
                        Some(stored)
                    }
                    None => None,
                }
            }
            (Status::Held, None) => None,
            (_, stored) => stored,
        };
        match stored {
            Some(stored) => stored.response(),
            None => pending(),
        }
    }

    async fn wait_for(&self, told: &mut watch::Receiver<Option<Stored>>) -> Response {
        let wait = self.limits.work_wait + self.limits.settle_wait;
        let changed = tokio::time::timeout(wait, told.wait_for(Option::is_some)).await;
        match changed {
            Ok(Ok(stored)) => stored.as_ref().map_or_else(pending, Stored::response),
            _ => pending(),
        }
    }

    fn kept(&self, reference: Reference) -> Result<Kept, ledger::LedgerError> {
        let documents = self.ledger.evidence(reference)?;
        let find = |stage: &str| documents.iter().find(|d| d.evidence.stage == stage);
        let parsed = |stage: &str| find(stage).map(|d| d.evidence.body.as_slice());
        let head: Option<AnswerHead> =
            parsed(stage::ANSWER).and_then(|b| serde_json::from_slice(b).ok());
        let settlement = parsed(stage::SETTLEMENT).and_then(|b| serde_json::from_slice(b).ok());
        let body = find(stage::OUTPUT).map(|d| Bytes::from(d.evidence.body.clone()));
        Ok(Kept {
            payment: parsed(stage::PAYMENT).and_then(|b| serde_json::from_slice(b).ok()),
            stored: head.zip(body).map(|(head, body)| Stored { head, body, settlement }),
        })
    }

    /// Resolves the sales that were left held, by a crash or by a chain that did not answer:
    /// delivered ones are settled, the others let go. Payments in work are left alone. Returns
    /// how many it resolved and how many stay open.
    pub async fn recover(&self, payee: Party) -> (usize, usize) {
        let held: Vec<Reference> = self.ledger.read(|state| {
            let sales = Line::Sales.of(payee, self.chain.token().asset);
            state
                .holds()
                .filter(|e| e.transfer.credit == sales)
                .map(|e| e.transfer.reference)
                .collect()
        });
        let mut resolved = 0;
        let all = held.len();
        for reference in held {
            resolved += usize::from(self.recover_one(payee, reference).await);
        }
        (resolved, all - resolved)
    }

    async fn recover_one(&self, payee: Party, reference: Reference) -> bool {
        let Ok(kept) = self.kept(reference) else { return false };
        let Some(payment) = kept.payment else { return false };
        let Ok(authorization) = exact::read(&payment.payload) else { return false };
        let digest = self
            .ledger
            .read(|state| state.transfer(&books::sale_id(reference)).map(|r| r.transfer.digest));
        let seat = {
            let mut flights = self.flights.lock().expect("nothing panics under this lock");
            if flights.contains_key(&reference) {
                return false;
            }
            let (tell, told) = watch::channel(None);
            let payload = payment.payload.clone();
            flights.insert(reference, Flight { digest: digest.unwrap_or_default(), payload, told });
            Seat { flights: self.flights.clone(), reference, tell }
        };
        let settled = match kept.stored {
            Some(stored) => {
                let settlement = self.settle(payee, &payment, &authorization, reference).await;
                let known = settlement.is_some();
                let _ =
                    seat.tell.send(settlement.map(|s| Stored { settlement: Some(s), ..stored }));
                known
            }
            // The work never ended, and money moves only after it: the payer keeps the money.
            None => self
                .resolve(Operation::Void { hold: books::sale_id(reference) }, Vec::new())
                .await
                .is_some(),
        };
        settled
    }
}

/// What the journal keeps of a payment.
struct Kept {
    payment: Option<PaymentPayload>,
    stored: Option<Stored>,
}

impl AnswerHead {
    fn of(status: StatusCode, headers: &HeaderMap) -> AnswerHead {
        // What describes the content is kept; what describes the connection is made anew.
        const KEPT: [header::HeaderName; 5] = [
            header::CONTENT_TYPE,
            header::CONTENT_LANGUAGE,
            header::CONTENT_DISPOSITION,
            header::CONTENT_ENCODING,
            header::LINK,
        ];
        let headers = KEPT
            .iter()
            .filter_map(|name| {
                Some((name.to_string(), headers.get(name)?.to_str().ok()?.to_string()))
            })
            .collect();
        AnswerHead { status: status.as_u16(), headers }
    }

    fn media_type(&self) -> String {
        self.headers
            .iter()
            .find(|(name, _)| name == "content-type")
            .map_or_else(|| "application/octet-stream".to_string(), |(_, value)| value.clone())
    }
}

impl Stored {
    /// The answer, the first time and every time. A settlement that failed withholds the work.
    fn response(&self) -> Response {
        if let Some(settlement) = self.settlement.as_ref().filter(|s| !s.success) {
            let reason = settlement.error_reason.clone().unwrap_or_default();
            let message = settlement.error_message.clone().unwrap_or_default();
            let mut response = refuse(
                StatusCode::PAYMENT_REQUIRED,
                &reason,
                &format!("the payment could not be settled: {message}"),
            );
            response.headers_mut().insert(wire::PAYMENT_RESPONSE, wire::encode(settlement));
            return response;
        }
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = StatusCode::from_u16(self.head.status).unwrap_or(StatusCode::OK);
        for (name, value) in &self.head.headers {
            if let (Ok(name), Ok(value)) =
                (header::HeaderName::try_from(name.as_str()), HeaderValue::from_str(value))
            {
                response.headers_mut().insert(name, value);
            }
        }
        if let Some(settlement) = &self.settlement {
            response.headers_mut().insert(wire::PAYMENT_RESPONSE, wire::encode(settlement));
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        expose(response.headers_mut());
        response
    }
}

/// What a payment is bound to: SHA-256 over the length-prefixed method, target, media type and
/// body.
fn request_digest(parts: &http::request::Parts, body: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let media_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let target = parts.uri.path_and_query().map_or("", |p| p.as_str());
    for part in
        [parts.method.as_str().as_bytes(), target.as_bytes(), media_type.unwrap_or(b""), body]
    {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The service behind the gate is not handed the payment: it could be logged or forwarded.
fn without_payment(mut parts: http::request::Parts) -> http::request::Parts {
    parts.headers.remove(wire::PAYMENT_SIGNATURE);
    parts
}

fn document<T: Serialize>(reference: Reference, stage: &str, value: &T) -> Evidence {
    Evidence {
        reference,
        stage: stage.into(),
        media_type: "application/json".into(),
        body: serde_json::to_vec(value).expect("documents are plain data"),
    }
}

/// 402 with the quote, in the header for programs and in the body for people.
fn quote(offer: &Offer, error: Option<String>) -> Response {
    let quote = offer.quote(error);
    let body = json!({
        "error": quote.error.clone().unwrap_or_else(|| "Payment required".into()),
        "message": format!("`{}` costs {}; pay by x402 (see the header PAYMENT-REQUIRED)", offer.name, offer.price),
        "quote": quote,
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::PAYMENT_REQUIRED;
    let headers = response.headers_mut();
    headers.insert(wire::PAYMENT_REQUIRED, wire::encode(&quote));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    expose(headers);
    response
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "error": code, "message": message });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    expose(headers);
    response
}

fn conflict() -> Response {
    refuse(
        StatusCode::CONFLICT,
        "payment_already_used",
        "this payment was made for another request; sign a new one for this request",
    )
}

fn busy(message: &str) -> Response {
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The money's fate is open: the answer is withheld, the same payment may be asked again.
fn pending() -> Response {
    let mut response = refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        Invalid::Pending.code(),
        "the payment is not settled yet; send the same payment again, do not sign a new one",
    );
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Lets a page on another origin read the protocol's headers.
fn expose(headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("PAYMENT-REQUIRED, PAYMENT-RESPONSE"),
    );
}

/// Makes [`GateService`]s; from [`Gate::layer`].
#[derive(Clone)]
pub struct GateLayer {
    gate: Arc<Gate>,
    offer: Arc<Offer>,
}

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> GateService<S> {
        GateService { gate: self.gate.clone(), offer: self.offer.clone(), inner }
    }
}

/// A service behind its price.
#[derive(Clone)]
pub struct GateService<S> {
    gate: Arc<Gate>,
    offer: Arc<Offer>,
    inner: S,
}

impl<S, B> Service<Request<B>> for GateService<S>
where
    S: Service<Request<Body>, Response = Response> + Clone + Send + 'static,
    S::Error: std::fmt::Display + Send,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
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
        Box::pin(async move { Ok(gate.serve(offer, request, inner).await) })
    }
}
