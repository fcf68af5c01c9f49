//! What the gate does for one paid request, and who waits for it.
//!
//! Of many equal requests at once, one decides: it takes the [`Seat`], and the others are told what
//! came of it. Across processes, and between requests that differ, the ledger's hold is the arbiter.
//!
//! Who has paid may leave, and what was begun for the money goes on: in a task of its own from the
//! beginning, or [`Carried`] by the request's own task as long as that lives.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use ledger::Reference;
use tokio::sync::watch;

use super::reply::Reply;

/// What one seat is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Errand {
    pub(super) reference: Reference,
    /// Digest of the signed payment and the request. Whoever knows a payment's number and not the
    /// payment gets a seat of their own, and keeps nobody from theirs. Zero for recovery.
    pub(super) digest: [u8; 32],
}

/// How the others learn what came of an errand.
pub(super) type Told = watch::Receiver<Option<Reply>>;

/// The errands that are in somebody's hands now. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<Errand, Told>>>);

impl Seats {
    /// The right to decide, or, if somebody has it, how to learn what they decided.
    pub(super) fn take(&self, errand: Errand) -> Result<Seat, Told> {
        let mut taken = self.0.lock().expect("nothing panics under this lock");
        if let Some(told) = taken.get(&errand) {
            return Err(told.clone());
        }
        let (tell, told) = watch::channel(None);
        taken.insert(errand, told);
        Ok(Seat { seats: self.clone(), errand, tell, given_back: false })
    }

    /// A seat for recovery, if nobody has the payment in hand.
    pub(super) fn take_for_recovery(&self, reference: Reference) -> Option<Seat> {
        if self.with(reference) > 0 {
            return None;
        }
        let seat = self.take(Errand { reference, digest: [0; 32] }).ok()?;
        // Somebody may have come between the two looks.
        (self.with(reference) == 1).then_some(seat)
    }

    fn with(&self, reference: Reference) -> usize {
        let taken = self.0.lock().expect("nothing panics under this lock");
        taken.keys().filter(|errand| errand.reference == reference).count()
    }
}

/// The right to decide about an errand; given back when dropped, however that comes about.
pub(super) struct Seat {
    seats: Seats,
    errand: Errand,
    tell: watch::Sender<Option<Reply>>,
    given_back: bool,
}

impl Seat {
    /// How somebody else learns what will be decided.
    pub(super) fn told(&self) -> Told {
        self.tell.subscribe()
    }

    /// Tells all who wait, now or later. Nobody may be listening any more: what was decided is
    /// stored for who asks again.
    pub(super) fn tell(&self, reply: Reply) {
        self.tell.send_replace(Some(reply));
    }

    /// Gives the seat back, and tells those who wait, if anybody does: mostly nobody, and then the
    /// answer is not copied. Who comes later finds what was stored.
    pub(super) fn end(mut self, reply: &Reply) {
        self.give_back();
        // Without the seat nobody can begin to wait any more.
        if self.tell.receiver_count() > 0 {
            self.tell(reply.clone());
        }
    }

    /// Once: another may have a seat for the same errand afterwards.
    fn give_back(&mut self) {
        if !std::mem::replace(&mut self.given_back, true) {
            self.seats.0.lock().expect("nothing panics under this lock").remove(&self.errand);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What somebody else decided, if it comes in time.
pub(super) async fn heard(mut told: Told, wait: Duration) -> Reply {
    match tokio::time::timeout(wait, told.wait_for(Option::is_some)).await {
        Ok(Ok(reply)) => reply.clone().unwrap_or_else(Reply::pending),
        _ => Reply::pending(),
    }
}

/// Something that its caller drives, and that goes on in a task of its own if the caller leaves:
/// once begun it ends, as if it had been spawned, for less than spawning costs. Tells `None` if it
/// panicked.
pub(super) struct Carried<T>(Option<Pin<Box<dyn Future<Output = Option<T>> + Send>>>)
where
    T: Send + 'static;

impl<T: Send + 'static> Carried<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Carried<T> {
        let caught = AssertUnwindSafe(future).catch_unwind().map(Result::ok);
        Carried(Some(Box::pin(caught)))
    }
}

impl<T: Send + 'static> Future for Carried<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(future) = &mut self.0 else { return Poll::Ready(None) };
        let polled = future.as_mut().poll(context);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Carried<T> {
    fn drop(&mut self) {
        // Without a runtime nothing is left that could go on.
        if let Some(future) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_and_a_seat_that_was_given_back_is_given_back_once() {
        let (seats, errand) =
            (Seats::default(), Errand { reference: Reference::new([1; 32]), digest: [2; 32] });
        let seat = seats.take(errand).expect("nobody has it");
        let told = seats.take(errand).err().expect("somebody has it");
        let reply = Reply::busy("for the test");
        seat.end(&reply);
        let heard = heard(told, Duration::from_secs(5)).await;
        assert_eq!((heard.status(), heard.refusal()), (reply.status(), reply.refusal()));

        let mut first = seats.take(errand).expect("it was given back");
        first.give_back();
        let _second = seats.take(errand).expect("it was given back");
        drop(first);
        assert!(seats.take(errand).is_err(), "the second seat is still taken");
    }

    #[tokio::test]
    async fn what_is_carried_ends_whether_its_caller_waits_or_leaves() {
        assert_eq!(Carried::new(async { 7 }).await, Some(7));

        let (begin, begun) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let mut carried = Carried::new(async move {
            begun.await.expect("it is let go on");
            end.send(7).expect("somebody waits");
        });
        assert!((&mut carried).now_or_never().is_none(), "it waits, and was begun");
        drop(carried);
        begin.send(()).expect("it lives on");
        assert_eq!(ended.await, Ok(7));
    }

    #[tokio::test]
    async fn a_panic_is_told_and_goes_no_further() {
        let broken: Carried<()> = Carried::new(async { panic!("the machine broke down") });
        assert_eq!(broken.await, None);
    }
}
