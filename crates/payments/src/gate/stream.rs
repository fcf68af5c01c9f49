//! Answers that pass through as they come: long texts, events, files.
//!
//! An answer that is sold whole is kept and settled before anybody has it. One that streams cannot
//! be, so the two risks are shared by the way of paying:
//!
//! | way | settled | what a break costs |
//! |---|---|---|
//! | exactly the price | after the service's head, before the first byte | the buyer may lose the rest |
//! | up to the price | at the end, for what has passed | the seller may lose what has passed |
//!
//! A service that fails before its head costs nothing either way. While an answer passes, a copy is
//! kept up to [`GateLimits::max_answer`](super::GateLimits), so that the same payment gets it again.
//! The settlement of a metered answer comes as the trailer `payment-response`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderName, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use ledger::{Evidence, Write};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::charge::{self, Charge};
use super::reply::{AnswerHead, Reply, Stored, Streamed};
use super::settling::Due;
use super::{Gate, Paid, Seat, stage};
use crate::documents;
use crate::offer::Offer;
use crate::wire;

/// How many pieces of a body wait for a slow buyer before the service has to wait, too.
const PIECES: usize = 16;

/// How long a buyer may take for a piece; one that reads slower gets the answer by asking again.
const SLOWEST_READER: Duration = Duration::from_secs(10);

/// How much earlier than a payment's end a metered answer is cut: it still has to be settled.
const SETTLING_TIME: Duration = Duration::from_secs(15);

/// Whether an answer is passed on as it comes: it says so by its media type, or does not tell how
/// long it is, or is longer than answers that are kept.
pub(super) fn passes(response: &Response, most: usize) -> bool {
    let headers = response.headers();
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let events = text(header::CONTENT_TYPE).is_some_and(|t| {
        ["text/event-stream", "application/x-ndjson"].iter().any(|e| t.starts_with(e))
    });
    let length = text(header::CONTENT_LENGTH).and_then(|l| l.parse::<u64>().ok());
    events || length.is_none_or(|length| length > most as u64)
}

/// How a body ended.
struct Passed {
    /// All of it, if it ended well and was not too long to be kept.
    whole: Option<Bytes>,
    /// Why it did not end well.
    broken: Option<&'static str>,
}

impl Gate {
    /// Passes an answer on and settles it. `seat` is told at once, so that the buyer has its head.
    pub(super) async fn stream_and_settle(
        &self,
        offer: &Offer,
        paid: &Paid,
        response: Response,
        seat: &Seat,
    ) -> Reply {
        let reference = paid.reference;
        let metered = paid.order.is_metered();
        let (parts, body) = response.into_parts();
        let head = AnswerHead::of(parts.status, &parts.headers);
        let mut due = Due {
            resource: &offer.url,
            reference,
            payee: offer.payee,
            payment: &paid.payment,
            order: &paid.order,
            requirements: &paid.requirements,
            charge: offer.price,
            patience: self.limits.settle_wait,
        };
        let mut settlement = None;
        if !metered {
            // Known to have begun: after a crash the chain says whether it was paid.
            let mut begun = head.clone();
            begun.streamed = Some(Streamed::Begun);
            if !self.keep(vec![documents::json(reference, stage::ANSWER, &begun)]).await {
                return self.failed(reference, &Stored::failure("it could not be kept")).await;
            }
            match self.settle(&due).await {
                Some(settled) if settled.success => settlement = Some(settled),
                Some(failed) => {
                    let stored = Stored { head, body: Bytes::new(), settlement: Some(failed) };
                    return stored.reply();
                }
                None => {
                    // It may be paid yet: then the answer is due, to whoever asks again.
                    let (nobody, _) = mpsc::channel(1);
                    let until = Instant::now() + self.limits.stream_wait;
                    if let Some(whole) = self.pass(body, &nobody, until).await.whole {
                        let kept =
                            documents::body(reference, stage::OUTPUT, head.media_type(), &whole);
                        self.keep(vec![kept]).await;
                    }
                    return Reply::pending();
                }
            }
        }
        let (to_buyer, from_service) = mpsc::channel(PIECES);
        let passing = Stored { head: head.clone(), body: Bytes::new(), settlement };
        seat.tell(passing.reply().streaming(body_of(from_service)));
        let settlement = passing.settlement;

        let longest = Instant::now() + self.limits.stream_wait;
        let until = if metered {
            // The clock is handed in; how long is left is counted from now.
            let left = paid.order.settled_before().since(self.clock.now());
            longest.min(Instant::now() + left.saturating_sub(SETTLING_TIME))
        } else {
            longest
        };
        let passed = self.pass(body, &to_buyer, until).await;
        if let Some(cause) = passed.broken {
            tracing::warn!(%reference, cause, "a streamed answer did not end well");
        }
        let charged = match metered {
            true => {
                let count = parts.extensions.get::<Charge>().map(Charge::amount);
                charge::charged(&offer.name, offer.price, count)
            }
            false => offer.price,
        };
        let mut evidence = Vec::new();
        if let Some(whole) = &passed.whole {
            evidence.push(documents::body(reference, stage::OUTPUT, head.media_type(), whole));
        }
        let mut head = head;
        (head.streamed, head.charge) = (Some(Streamed::Ended), Some(charged));
        let stored = Stored { head, body: passed.whole.unwrap_or_default(), settlement };
        if !metered {
            // It is paid; if the copy cannot be kept, a repeated request says so.
            self.keep(evidence).await;
            return stored.reply();
        }
        evidence.push(documents::json(reference, stage::ANSWER, &stored.head));
        if !self.keep(evidence).await {
            tracing::error!(%reference, "a streamed answer could not be kept; it is charged all the same");
        }
        due.charge = charged;
        match self.settle(&due).await {
            Some(settlement) => {
                let mut trailers = HeaderMap::new();
                trailers.insert(wire::PAYMENT_RESPONSE, wire::encode(&settlement));
                let _ = to_buyer.send(Ok(Frame::trailers(trailers))).await;
                Stored { settlement: Some(settlement), ..stored }.reply()
            }
            None => Reply::pending(),
        }
    }

    async fn keep(&self, evidence: Vec<Evidence>) -> bool {
        if evidence.is_empty() {
            return true;
        }
        self.ledger.submit(Write::evidence(evidence)).await.is_ok_and(|outcome| outcome.holds())
    }

    /// Passes a body on, piece by piece, until it ends, breaks, or takes too long. If the buyer
    /// leaves, or stops reading, the body is still read to its end, to be kept and counted: what is
    /// told only at the end must not be free for who hangs up before it.
    async fn pass(
        &self,
        mut body: Body,
        to_buyer: &mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>,
        until: Instant,
    ) -> Passed {
        let most = self.limits.max_answer.min(documents::MAX_BODY);
        let mut copy = Some(BytesMut::new());
        let mut listening = true;
        let broken = loop {
            let idle = Instant::now() + self.limits.work_wait;
            let frame = match tokio::time::timeout_at(until.min(idle), body.frame()).await {
                Err(_) => break Some("it took too long"),
                Ok(None) => break None,
                Ok(Some(Err(_))) => break Some("the service broke off"),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(piece) = frame.into_data() else { continue }; // The service's own trailers.
            copy = copy.filter(|copy| copy.len() + piece.len() <= most).map(|mut copy| {
                copy.extend_from_slice(&piece);
                copy
            });
            if listening {
                let sending = to_buyer.send(Ok(Frame::data(piece)));
                let patience = until.min(Instant::now() + SLOWEST_READER);
                listening = matches!(tokio::time::timeout_at(patience, sending).await, Ok(Ok(())));
            }
        };
        if broken.is_some() && listening {
            // The buyer must not take a part for the whole.
            let cut = std::io::Error::other("the answer broke off");
            let _ = tokio::time::timeout_at(until, to_buyer.send(Err(cut))).await;
        }
        Passed { whole: copy.filter(|_| broken.is_none()).map(BytesMut::freeze), broken }
    }
}

type Pieces = mpsc::Receiver<Result<Frame<Bytes>, std::io::Error>>;

fn body_of(pieces: Pieces) -> Body {
    Body::new(StreamBody::new(stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    })))
}

/// A body that one of those who wait for a reply may take.
#[derive(Debug, Clone)]
pub(super) struct Once(Arc<Mutex<Option<Body>>>);

impl Once {
    pub(super) fn new(body: Body) -> Once {
        Once(Arc::new(Mutex::new(Some(body))))
    }

    pub(super) fn take(&self) -> Option<Body> {
        self.0.lock().expect("nothing panics under this lock").take()
    }
}
