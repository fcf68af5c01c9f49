//! What a gate says and understands beyond x402's core, put around the way of a payment.
//!
//! An MPP credential is turned into a payment of x402 before the gate sees it, and the answer back
//! into MPP's terms; who signs in gets what was bought; a quote gets what differs from answer to
//! answer. The way in between is the same for all.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body::{Frame, SizeHint};
use ledger::{Evidence, Reference, Status};
use mandates::books::{self, Line};
use money::Party;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tower::Service;

use super::channel_payload::Echoes;
use super::reply::Reply;
use super::{Gate, Paid, request_digest};
use crate::exact;
use crate::extensions::{identifier, receipt, sign_in};
use crate::mpp::{self, Credential, Problem, Target};
use crate::offer::Offer;
use crate::order::Order;
use crate::wire::{self, PaymentPayload, PaymentRequired};

/// How many of a seller's newest sales are looked through for one who signs in.
const MOST_SALES: usize = 100_000;

impl Gate {
    /// Answers a request, whatever it speaks.
    pub(super) async fn attend<S>(
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
        let comes_back = offer.declared.sign_in.is_some()
            && self.extras.doorman.is_some()
            && request.headers().contains_key(sign_in::HEADER)
            && !request.headers().contains_key(wire::PAYMENT_SIGNATURE);
        let target = Target::of(&request);
        // Who pays by x402 has no use for a challenge, and its body is not digested for one.
        let speaks_x402 = request.headers().contains_key(wire::PAYMENT_SIGNATURE)
            && !request.headers().contains_key(header::AUTHORIZATION);
        if comes_back {
            let (parts, body) = request.into_parts();
            let reply = Box::pin(self.welcome_back(&offer, &parts, body)).await;
            self.dress(&offer, reply)
        } else if self.extras.mpp.is_some() && !speaks_x402 {
            let attending = self.clone().attend_mpp(&offer, echoes, &target, request, work);
            let (reply, body) = Box::pin(attending).await;
            self.challenge(&offer, &target, body, self.dress(&offer, reply))
        } else {
            let reply = self.clone().serve(offer.clone(), echoes, request, work).await;
            self.dress(&offer, reply)
        }
    }

    /// Puts what differs from answer to answer into a quote.
    fn dress(&self, offer: &Offer, reply: Reply) -> Reply {
        let reply = reply.at(offer, self.clock.now());
        reply.with_extensions(offer, |quote| self.said_now(offer, quote))
    }

    /// Puts a challenge of MPP into an answer that asks for a payment.
    fn challenge(
        &self,
        offer: &Offer,
        target: &Target,
        body: Option<[u8; 32]>,
        reply: Reply,
    ) -> Reply {
        if reply.status() != StatusCode::PAYMENT_REQUIRED {
            return reply;
        }
        let now = self.clock.now();
        let challenge =
            self.extras.mpp.as_ref().and_then(|mpp| mpp.challenge(offer, target, body, now));
        match challenge {
            Some(challenge) => reply.with(header::WWW_AUTHENTICATE, challenge),
            None => reply,
        }
    }

    fn said_now(&self, offer: &Offer, quote: &PaymentRequired) -> Map<String, Value> {
        let now = self.clock.now();
        let mut said = Map::new();
        if let Some(notary) = self.extras.notary_of(offer.payee)
            && let Some(signed) = receipt::offers(notary, quote, now.plus(offer.timeout))
        {
            said.insert(receipt::NAME.into(), signed);
        }
        if offer.declared.sign_in.is_some()
            && let Some(doorman) = &self.extras.doorman
            && let Some(challenge) = doorman.challenge(offer, now)
        {
            said.insert(sign_in::NAME.into(), challenge);
        }
        said
    }

    /// A request that may be paid by MPP. Also tells the digest of the request's body, if it has
    /// one and it was read whole.
    async fn attend_mpp<S>(
        self: Arc<Self>,
        offer: &Arc<Offer>,
        echoes: Arc<Echoes>,
        target: &Target,
        request: Request<Body>,
        work: S,
    ) -> (Reply, Option<[u8; 32]>)
    where
        S: Service<Request<Body>, Response = Response> + Send + 'static,
        S::Error: std::fmt::Display + Send,
        S::Future: Send + 'static,
    {
        let (mut parts, body) = request.into_parts();
        let seen = Arc::new(Seen::default());
        let credential = match self.credential(offer, target, &parts.headers) {
            Ok(credential) => credential,
            Err(problem) => {
                let body = Body::new(Watched::new(body, None, seen.clone()));
                let reply = self.after_body(offer, body, refuse(&problem)).await;
                return (reply, seen.digest());
            }
        };
        if let Some(credential) = &credential {
            let payment = credential.payment(offer).map(|payment| wire::encode(&payment));
            let Some(payment) = payment else {
                let problem = Problem::verification("this offer is not paid by EIP-3009");
                return (refuse(&problem), None);
            };
            remove_credential(&mut parts.headers);
            parts.headers.insert(wire::PAYMENT_SIGNATURE, payment);
            parts.extensions.insert(mpp::ByCredential);
        }
        let body = Body::new(Watched::new(body, credential.clone(), seen.clone()));
        let reply =
            self.clone().serve(offer.clone(), echoes, Request::from_parts(parts, body), work).await;
        let reply = match &credential {
            None => reply,
            Some(_) if seen.is_other() => refuse(&Problem::of_body()),
            Some(credential) => self.in_mpp(offer, credential, reply),
        };
        (reply, seen.digest())
    }

    /// The credential of a request, if it has one, and it is good as far as can be seen before the
    /// body.
    fn credential(
        &self,
        offer: &Offer,
        target: &Target,
        headers: &HeaderMap,
    ) -> Result<Option<Credential>, Problem> {
        let Some(mpp) = &self.extras.mpp else { return Ok(None) };
        let Some(credential) = Credential::read(headers)? else { return Ok(None) };
        if headers.contains_key(wire::PAYMENT_SIGNATURE) {
            return Err(Problem::verification("there are two payments; send one"));
        }
        match mpp.check(&credential, offer, target, self.clock.now()) {
            Ok(()) => Ok(Some(credential)),
            // What was bought is given again also after its challenge's time, and after the secret
            // has changed: the books know the payment.
            Err(_) if self.is_known(exact::reference(credential.order(), &offer.token)) => {
                Ok(Some(credential))
            }
            Err(problem) => Err(problem),
        }
    }

    /// An answer in MPP's terms.
    fn in_mpp(&self, offer: &Offer, credential: &Credential, reply: Reply) -> Reply {
        if reply.status().is_success() {
            let Some(settled) = reply.settlement().filter(|s| s.success) else { return reply };
            let reference = exact::reference(credential.order(), &offer.token);
            let posted = self.ledger.read(|state| {
                state.transfer(&books::sale_id(reference)).and_then(|r| Some(r.posted()?.0))
            });
            let at = posted.unwrap_or_else(|| self.clock.now());
            let receipt = credential.receipt(&settled.transaction, at);
            return reply
                .with(mpp::PAYMENT_RECEIPT, receipt)
                .with(header::CACHE_CONTROL, HeaderValue::from_static("no-store, private"));
        }
        let (code, message) = reply.refusal();
        match Problem::of_refusal(reply.status(), &code, &format!("{code}: {message}")) {
            Some(problem) => reply
                .with_status(StatusCode::PAYMENT_REQUIRED)
                .with_document("application/problem+json", &problem.document()),
            None => reply,
        }
    }

    /// Who signs in gets what was bought by the same request, and starts no work.
    async fn welcome_back(&self, offer: &Offer, parts: &http::request::Parts, body: Body) -> Reply {
        let (Some(doorman), Some(allowed)) = (&self.extras.doorman, offer.declared.sign_in) else {
            return self.after_body(offer, body, Reply::quote(offer, None)).await;
        };
        let now = self.clock.now();
        let proof = match sign_in::read(&parts.headers) {
            Ok(Some(proof)) => proof,
            Ok(None) => return self.after_body(offer, body, Reply::quote(offer, None)).await,
            Err(error) => {
                let message = error.to_string();
                let reply = Reply::refuse(StatusCode::BAD_REQUEST, "invalid_siwx_header", &message);
                return self.after_body(offer, body, reply).await;
            }
        };
        // Not let in, one may still pay: the refusal comes with the quote.
        let refuse = |(code, _): sign_in::Refusal| Reply::quote(offer, Some(code.to_string()));
        let claim = match doorman.check(proof, offer, now) {
            Ok(claim) => claim,
            Err(refusal) => return self.after_body(offer, body, refuse(refusal)).await,
        };
        let input = match self.read_body(offer, body).await {
            Ok(input) => input,
            Err(refusal) => return *refusal,
        };
        let signed = match claim.is_keys_own() {
            true => true,
            false => match self.chain.is_contract(claim.address).await {
                Ok(false) => false,
                Ok(true) => {
                    let signature = claim.signature.clone();
                    match self.chain.contract_accepts(claim.address, claim.hash, signature).await {
                        Ok(signed) => signed,
                        Err(_) => return Reply::busy("the chain cannot be asked; try again"),
                    }
                }
                Err(_) => return Reply::busy("the chain cannot be asked; try again"),
            },
        };
        if !signed {
            return refuse(("invalid_siwx_signature", ""));
        }
        if let Err(refusal) = doorman.admit(&claim, now) {
            return refuse(refusal);
        }
        let digest = request_digest(offer, parts, &input);
        let since = now
            .as_millis()
            .saturating_sub(u64::try_from(allowed.within.as_millis()).unwrap_or(u64::MAX));
        match self.bought_before(offer, claim.address.into(), &digest, since) {
            None => Reply::quote(offer, Some("siwx_not_bought_before".into())),
            Some(reference) => match self.kept_answer(reference) {
                Some(reply) => reply,
                None => Reply::busy("the stored answer cannot be read just now"),
            },
        }
    }

    /// The newest sale of this request to this payer that was paid since then, in milliseconds.
    fn bought_before(
        &self,
        offer: &Offer,
        payer: Party,
        digest: &[u8; 32],
        since: u64,
    ) -> Option<Reference> {
        let sales = Line::Sales.of(offer.payee, offer.token.asset);
        self.ledger.read(|state| {
            state
                .entries_of(sales)
                .rev()
                .take(MOST_SALES)
                // Sales stand in the order in which they were held, and are paid after that.
                .find(|record| {
                    record.transfer.counterparty == Some(payer)
                        && record.transfer.digest == *digest
                        && matches!(record.status, Status::Posted { at, .. } if at.as_millis() >= since)
                })
                .map(|record| record.transfer.reference)
        })
    }

    /// The answer to an earlier payment with the same name, or a refusal; `None` if the name is new
    /// or there is none. The payment at hand was found good before, so its payer is who signed it.
    pub(super) async fn named_before(&self, offer: &Offer, paid: &Paid) -> Option<Reply> {
        let name = paid.name(offer)?;
        let busy = || Some(Reply::busy("the books cannot be read just now; nothing was charged"));
        let known = match identifier::find(&self.ledger, name) {
            Ok(known) => known?,
            Err(error) => {
                tracing::error!(%error, "a purchase's name could not be looked up");
                return busy();
            }
        };
        if known.payment == paid.reference {
            return None;
        }
        if known.purchase != identifier::purchase(&paid.requirements, &paid.digest) {
            return Some(Reply::refuse(
                StatusCode::CONFLICT,
                "payment_identifier_conflict",
                "this payment identifier names another purchase; nothing was charged now",
            ));
        }
        let Some((payment, requirements)) = self.first_payment(known.payment) else {
            return busy();
        };
        let Ok(order) = Order::read(&payment.payload, &requirements) else { return busy() };
        let first = Paid {
            payment,
            requirements,
            order,
            reference: known.payment,
            digest: paid.digest,
            asked: paid.asked.clone(),
            input: Bytes::new(),
        };
        Some(self.again(offer, &first).await)
    }
}

impl Paid {
    /// The reference of the purchase's name, if it has one and the offer asks for names.
    fn name(&self, offer: &Offer) -> Option<Reference> {
        let declared = offer.declared.identifier.as_ref()?;
        let id = declared.read(self.payment.extensions.as_ref()).ok()??;
        Some(identifier::reference(offer.payee, self.order.payer(), id))
    }

    /// What makes the purchase's name known, together with the hold.
    pub(super) fn naming(&self, offer: &Offer) -> Option<Evidence> {
        let purchase = identifier::purchase(&self.requirements, &self.digest);
        Some(identifier::document(self.name(offer)?, self.reference, purchase))
    }
}

/// Refuses a payment whose name is none, or is missing where one is required.
pub(super) fn check_name(offer: &Offer, payment: &PaymentPayload) -> Result<(), Box<Reply>> {
    let Some(declared) = &offer.declared.identifier else { return Ok(()) };
    match declared.read(payment.extensions.as_ref()) {
        Ok(_) => Ok(()),
        Err(message) => Err(Box::new(Reply::refuse(
            StatusCode::BAD_REQUEST,
            "invalid_payment_identifier",
            message,
        ))),
    }
}

/// 402 with a problem's document.
fn refuse(problem: &Problem) -> Reply {
    Reply::refuse(StatusCode::PAYMENT_REQUIRED, "", "")
        .with_document("application/problem+json", &problem.document())
}

/// Takes the credential away, and leaves what others are to see.
fn remove_credential(headers: &mut HeaderMap) {
    let others: Vec<HeaderValue> = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter(|value| !mpp::is_credential(value))
        .cloned()
        .collect();
    headers.remove(header::AUTHORIZATION);
    for value in others {
        headers.append(header::AUTHORIZATION, value);
    }
}

impl Target {
    fn of(request: &Request<Body>) -> Target {
        Target {
            method: request.method().to_string(),
            path: request.uri().path_and_query().map(|p| p.to_string()).unwrap_or_default(),
        }
    }
}

/// What was seen of a request's body: its digest, whether it is empty, and whether the challenge
/// was for another one. Set once, when its end was seen.
#[derive(Default)]
struct Seen(OnceLock<([u8; 32], bool, bool)>);

impl Seen {
    /// The digest of a body that is not empty.
    fn digest(&self) -> Option<[u8; 32]> {
        self.0.get().filter(|(_, empty, _)| !empty).map(|(digest, ..)| *digest)
    }

    fn is_other(&self) -> bool {
        self.0.get().is_some_and(|(.., other)| *other)
    }
}

/// A body that is digested while it passes, and breaks off at its end if it is not the one that
/// was to be paid for: so the gate never has it whole.
struct Watched {
    body: Body,
    hasher: Sha256,
    empty: bool,
    credential: Option<Credential>,
    seen: Arc<Seen>,
}

impl Watched {
    fn new(body: Body, credential: Option<Credential>, seen: Arc<Seen>) -> Watched {
        Watched { body, hasher: Sha256::new(), empty: true, credential, seen }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.empty &= data.is_empty();
                    let data = data.clone();
                    self.hasher.update(&data);
                }
            }
            Poll::Ready(None) => {
                let digest: [u8; 32] = self.hasher.clone().finalize().into();
                let other =
                    self.credential.as_ref().is_some_and(|c| !c.is_for_body(&digest, self.empty));
                let first = self.seen.0.set((digest, self.empty, other)).is_ok();
                if other && first {
                    let error = axum::Error::new("the challenge was given for another body");
                    return Poll::Ready(Some(Err(error)));
                }
            }
            Poll::Pending | Poll::Ready(Some(Err(_))) => {}
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
