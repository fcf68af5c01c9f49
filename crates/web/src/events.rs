//! `/events`: trades as they happen, as server-sent events.
//!
//! Each event is named `trade`, has the trade's sequence as its id, and carries the same row of
//! HTML that the square shows. A reader that comes back says where it stopped, by `Last-Event-ID`
//! (browsers do) or `?since=N` (a page says which trade it showed last), and first gets what it
//! missed, oldest first. A reader that missed more than [`RESUME_TRADES`], or was too slow for the
//! channel, gets an event `stale` instead: read the page again.
//!
//! An event named `job` says that something changed in a tree of jobs, by the name of its first job;
//! it has no id, and its page is read again. None is kept for readers that come back: pages of jobs
//! are read again when their stream opens.
//!
//! Bounds: [`LISTENERS`] readers at once; beyond that 503 with `Retry-After`. A reader takes an
//! event when it can: nothing is kept for it but its place. A comment every fifteen seconds keeps
//! the connection open through proxies, and finds readers that are gone.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::pages::trades::row;
use crate::pages::trouble::Trouble;
use crate::routes::ask;
use crate::view::{Economy, TradeState, TradeView};

/// Most readers of the stream at one time.
pub const LISTENERS: usize = 256;
/// Most missed trades that a returning reader is told one by one.
pub const RESUME_TRADES: usize = 200;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a browser waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);

/// The places for readers.
pub type Seats = Arc<Semaphore>;

/// Where a reader stopped, if it says so: the header wins, since a browser that reconnects repeats
/// the query of its first request. A value that is no number is as good as none.
pub fn stopped_at(headers: &HeaderMap, since: Option<u64>) -> Option<u64> {
    headers
        .get(HeaderName::from_static("last-event-id"))
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().parse().ok())
        .or(since)
}

/// Opens the stream for one reader.
///
/// # Errors
/// [`Trouble::Busy`] when every seat is taken; [`Trouble::Broken`] when the economy cannot answer.
pub async fn events(
    economy: Arc<dyn Economy>,
    seats: Seats,
    stopped_at: Option<u64>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Trouble> {
    let seat = seats.try_acquire_owned().map_err(|_| Trouble::Busy)?;
    // Subscribed before looking back, so that no trade falls between the two.
    let mut reader = Reader {
        receiver: economy.subscribe(),
        jobs: economy.subscribe_jobs(),
        economy,
        waiting: VecDeque::from([Notice::Hello]),
        told: HashMap::new(),
        last: 0,
        _seat: seat,
    };
    match stopped_at {
        Some(sequence) => {
            reader.last = sequence;
            reader.look_back().await?;
        }
        None => reader.last = reader.newest().await?,
    }
    let stream = stream::unfold(reader, |mut reader| async {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here")))
}

/// What a reader is about to be told.
enum Notice {
    /// The stream is open.
    Hello,
    /// A trade began or changed.
    Trade(Box<TradeView>),
    /// A job changed in the tree that begins with this one.
    Job(String),
    /// Too much was missed.
    Stale,
}

struct Reader {
    economy: Arc<dyn Economy>,
    receiver: Receiver<TradeView>,
    jobs: Option<Receiver<String>>,
    /// To be told before anything new.
    waiting: VecDeque<Notice>,
    /// Trades told from the past, which the channel may hold too; at most [`RESUME_TRADES`].
    told: HashMap<u64, TradeState>,
    /// The highest sequence told.
    last: u64,
    _seat: OwnedSemaphorePermit,
}

impl Reader {
    /// The next event; `None` when the economy closed its channel.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(notice) = self.waiting.pop_front() {
                return Some(self.write(notice));
            }
            let heard = tokio::select! {
                trade = self.receiver.recv() => trade,
                job = next_job(&mut self.jobs) => {
                    match job {
                        Ok(tree) => self.waiting.push_back(Notice::Job(tree)),
                        Err(RecvError::Lagged(_)) => self.waiting.push_back(Notice::Stale),
                        Err(RecvError::Closed) => return None,
                    }
                    continue;
                }
            };
            match heard {
                Ok(trade) => {
                    if self.told.remove(&trade.sequence) != Some(trade.state) {
                        self.waiting.push_back(Notice::Trade(Box::new(trade)));
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    // What changed about trades already told is lost: the page must be read again.
                    self.waiting.push_back(Notice::Stale);
                    self.look_back().await.ok()?;
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    fn write(&mut self, notice: Notice) -> Event {
        match notice {
            Notice::Hello => Event::default().retry(RETRY).comment("welcome"),
            Notice::Stale => {
                Event::default().event("stale").id(self.last.to_string()).data("stale")
            }
            Notice::Job(tree) => Event::default().event("job").data(tree),
            Notice::Trade(trade) => {
                self.last = self.last.max(trade.sequence);
                Event::default()
                    .event("trade")
                    .id(self.last.to_string())
                    .data(row(&trade).into_string())
            }
        }
    }

    /// Queues the trades after `self.last`, oldest first, or word that there are too many.
    async fn look_back(&mut self) -> Result<(), Trouble> {
        let last = self.last;
        let mut missed = ask(&self.economy, move |economy| {
            let mut newest = economy.trades(None, RESUME_TRADES + 1);
            newest.retain(|trade| trade.sequence > last);
            newest
        })
        .await?;
        self.told.clear();
        if missed.len() > RESUME_TRADES {
            self.last = missed.first().map_or(last, |trade| trade.sequence);
            self.waiting.push_back(Notice::Stale);
            return Ok(());
        }
        missed.reverse();
        self.told = missed.iter().map(|trade| (trade.sequence, trade.state)).collect();
        self.waiting.extend(missed.into_iter().map(Box::new).map(Notice::Trade));
        Ok(())
    }

    async fn newest(&self) -> Result<u64, Trouble> {
        ask(&self.economy, |economy| economy.trades(None, 1))
            .await
            .map(|trades| trades.first().map_or(0, |trade| trade.sequence))
    }
}

/// The next tree of jobs that changed; never, where there is no market.
async fn next_job(jobs: &mut Option<Receiver<String>>) -> Result<String, RecvError> {
    match jobs {
        Some(jobs) => jobs.recv().await,
        None => std::future::pending().await,
    }
}
