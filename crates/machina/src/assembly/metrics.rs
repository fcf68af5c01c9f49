//! `/metrics`: what a collector reads, as OpenMetrics text.
//!
//! | metric | what it counts |
//! |---|---|
//! | `machina_payments_verified_total{scheme,outcome}` | payments to sellers here that a facilitator looked at: `valid`, `refused`, `unknown` |
//! | `machina_payments_settled_total{scheme,outcome}` | those that it carried: `settled`, `pending`, `refused`, `unknown` |
//! | `machina_settlement_seconds{scheme}` | how long that took |
//! | `machina_vouchers_total` | vouchers that were charged, since the books began |
//! | `machina_holds_open` | money set aside: holds that are neither posted nor let go |
//! | `machina_journal_entries` | entries of the journal |
//! | `machina_chain_height` | the chain's newest block, as last read |
//! | `machina_books_equal` | 1 if the books were equal to the chain at the last look, else 0 |
//!
//! The first three begin anew with the process; all else is read from books and chain, which know it
//! for good. No label comes from outside: a scheme is the seller's own, an outcome one of four words.
//! Nothing is told of who bought what from whom.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;
use http::{StatusCode, header};
use ledger::{AccountId, Ledger};
use payments::wire::{PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse};
use payments::{Facilitator, FacilitatorError};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::Assembly;

/// The media type of OpenMetrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long the chain may take to tell its height; a collector asks again.
const CHAIN_WAIT: Duration = Duration::from_secs(2);

/// What a facilitator made of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Verdict {
    scheme: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Scheme(String);

impl EncodeLabelSet for Verdict {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), std::fmt::Error> {
        [("scheme", self.scheme.as_str()), ("outcome", self.outcome)].encode(encoder)
    }
}

impl EncodeLabelSet for Scheme {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), std::fmt::Error> {
        [("scheme", self.0.as_str())].encode(encoder)
    }
}

type Timing = Family<Scheme, Histogram, fn() -> Histogram>;

/// From 2 milliseconds to a minute, doubled.
fn timing() -> Histogram {
    Histogram::new(exponential_buckets(0.002, 2.0, 16))
}

/// What is counted, and where it is read.
pub struct Metrics {
    registry: Registry,
    verified: Family<Verdict, Counter>,
    settled: Family<Verdict, Counter>,
    seconds: Timing,
    vouchers: Counter,
    holds: Gauge,
    entries: Gauge,
    height: Gauge,
    equal: Gauge,
    /// How many entries of each account of sales were looked at for vouchers.
    seen: Mutex<Vec<Sales>>,
}

/// One seller's sales, as far as they were counted.
struct Sales {
    account: AccountId,
    /// What a payment at once is debited to; all else was paid from a channel or an escrow.
    by_other: [AccountId; 2],
    seen: usize,
}

impl Metrics {
    /// Metrics of these sellers' books: each one's account of sales, its cash and its escrow.
    pub fn new(sellers: impl IntoIterator<Item = [AccountId; 3]>) -> Arc<Metrics> {
        let mut registry = Registry::with_prefix("machina");
        let (verified, settled) = <(Family<_, _>, Family<_, _>)>::default();
        let seconds: Timing = Family::new_with_constructor(timing);
        let vouchers = Counter::default();
        let [holds, entries, height, equal] = std::array::from_fn(|_| Gauge::default());
        registry.register(
            "payments_verified",
            "Payments to sellers here that a facilitator looked at",
            Family::clone(&verified),
        );
        registry.register(
            "payments_settled",
            "Payments to sellers here that a facilitator was to carry",
            Family::clone(&settled),
        );
        registry.register(
            "settlement_seconds",
            "How long a facilitator took to carry a payment",
            seconds.clone(),
        );
        registry.register("vouchers", "Vouchers that were charged", vouchers.clone());
        registry.register("holds_open", "Holds of money neither posted nor let go", holds.clone());
        registry.register("journal_entries", "Entries of the journal", entries.clone());
        registry.register("chain_height", "The chain's newest block", height.clone());
        registry.register(
            "books_equal",
            "Whether the books were equal to the chain at the last look",
            equal.clone(),
        );
        let sales = |[account, cash, escrow]: [AccountId; 3]| Sales {
            account,
            by_other: [cash, escrow],
            seen: 0,
        };
        Arc::new(Metrics {
            registry,
            verified,
            settled,
            seconds,
            vouchers,
            holds,
            entries,
            height,
            equal,
            seen: Mutex::new(sellers.into_iter().map(sales).collect()),
        })
    }

    /// The same facilitator, counted.
    pub fn counting(self: &Arc<Self>, facilitator: Arc<dyn Facilitator>) -> Arc<dyn Facilitator> {
        Arc::new(Counting { facilitator, metrics: self.clone() })
    }

    /// Reads what the books have, and only what is new of their sales.
    fn look(&self, ledger: &Ledger) {
        let count = |counted: usize| i64::try_from(counted).unwrap_or(i64::MAX);
        let mut seen = self.seen.lock().expect("nothing panics under this lock");
        ledger.read(|state| {
            // The sliding day of a mandate is made of holds, too; those set no money aside.
            let of_money = |id: &AccountId| {
                state.account(id).is_some_and(|account| !account.name.starts_with("mandate/"))
            };
            let holds = state.holds().filter(|hold| of_money(&hold.transfer.debit));
            self.holds.set(count(holds.count()));
            self.entries.set(count(state.entries().len()));
            for sales in seen.iter_mut() {
                let entries = state.entries_of(sales.account);
                let length = entries.len();
                let fresh = entries.rev().take(length.saturating_sub(sales.seen));
                let vouchers = fresh.filter(|entry| {
                    let entry = &entry.transfer;
                    entry.credit == sales.account && !sales.by_other.contains(&entry.debit)
                });
                self.vouchers.inc_by(vouchers.count() as u64);
                sales.seen = length;
            }
        });
    }
}

/// A facilitator whose answers are counted.
struct Counting {
    facilitator: Arc<dyn Facilitator>,
    metrics: Arc<Metrics>,
}

impl Facilitator for Counting {
    fn verify<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>> {
        Box::pin(async move {
            let told = self.facilitator.verify(payment, requirements).await;
            let outcome = match &told {
                Ok(verdict) if verdict.is_valid => "valid",
                Ok(_) => "refused",
                Err(_) => "unknown",
            };
            let scheme = requirements.scheme.clone();
            self.metrics.verified.get_or_create(&Verdict { scheme, outcome }).inc();
            told
        })
    }

    fn settle<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        Box::pin(async move {
            let begun = Instant::now();
            let told = self.facilitator.settle(payment, requirements).await;
            let took = begun.elapsed().as_secs_f64();
            let outcome = match &told {
                Ok(answer) if answer.success => "settled",
                Ok(answer) if answer.error_reason.as_deref() == Some("settlement_pending") => {
                    "pending"
                }
                Ok(_) => "refused",
                Err(_) => "unknown",
            };
            let scheme = requirements.scheme.clone();
            self.metrics.seconds.get_or_create(&Scheme(scheme.clone())).observe(took);
            self.metrics.settled.get_or_create(&Verdict { scheme, outcome }).inc();
            told
        })
    }

    fn proves_success(&self) -> bool {
        self.facilitator.proves_success()
    }
}

/// Answers a collector.
pub async fn serve(State(assembly): State<Arc<Assembly>>) -> Response {
    let metrics = &assembly.metrics;
    metrics.look(&assembly.ledger);
    let height = tokio::time::timeout(CHAIN_WAIT, assembly.chain.block_number()).await;
    if let Ok(Ok(height)) = height {
        metrics.height.set(i64::try_from(height).unwrap_or(i64::MAX));
    }
    let equal = {
        let facts = assembly.facts.lock().expect("nothing panics under this lock");
        facts.agree.state == "equal"
    };
    metrics.equal.set(i64::from(equal));
    let mut text = String::new();
    match encode(&mut text, &metrics.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
