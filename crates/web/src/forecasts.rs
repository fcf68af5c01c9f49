//! Answers to questions about the future: computed at most two at a time, and kept.
//!
//! An answer depends on its question alone, so that the page of one reader is the page of the next. Each
//! costs some tenths of a second on two processors; so [`AT_ONCE`] are computed at a time, who must wait
//! longer than [`PATIENCE`] is asked to come back, and the newest [`KEPT`] are kept. The back-test is the
//! same for all questions, and is computed once.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use outlook::backtest::{self, Backtest};
use outlook::{Facts, Plan, Question, Report, Series, answer};
use tokio::sync::Semaphore;

use crate::pages::trouble::Trouble;

/// How often the model is drawn for a page: a probability of one half is then within 0.7 points, two
/// standard deviations.
pub const DRAWS: u32 = 20_000;
/// What the random numbers grow from: the same question has the same answer.
pub const SEED: u64 = 1;
/// Most answers computed at one time.
pub const AT_ONCE: usize = 2;
/// Most answers kept.
const KEPT: usize = 64;
/// How long a question waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// Threads for one answer.
const THREADS: NonZeroUsize = NonZeroUsize::new(2).expect("two is not zero");

/// The table of facts, and how well each model would have foreseen it.
pub struct Past {
    /// The table.
    pub facts: Facts,
    /// What all crypto was worth.
    pub crypto_cap: Backtest,
    /// What bitcoin was worth.
    pub bitcoin_cap: Backtest,
}

/// The past, computed when it is first asked for. Read it on a thread that may wait.
pub static PAST: LazyLock<Past> = LazyLock::new(|| {
    let facts = Facts::bundled();
    let crypto_cap = backtest::run(&facts, Series::CryptoCap);
    let bitcoin_cap = backtest::run(&facts, Series::BitcoinCap);
    Past { facts, crypto_cap, bitcoin_cap }
});

/// The answers that were given, the newest last.
type Kept = Mutex<VecDeque<(Question, Arc<Report>)>>;

/// The answers that were given, and the places for those being computed.
pub struct Forecasts {
    kept: Arc<Kept>,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Forecasts {
    /// None yet.
    pub fn new() -> Forecasts {
        Forecasts {
            kept: Arc::default(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            patience: PATIENCE,
        }
    }

    /// The answer to a question. Who hangs up meanwhile does not end the work: so it keeps its place
    /// until it is done, and is kept.
    ///
    /// # Errors
    /// [`Trouble::Thinking`] if its turn does not come; [`Trouble::Broken`] if the outlook fails.
    pub async fn answer(&self, question: Question) -> Result<Arc<Report>, Trouble> {
        if let Some(report) = self.known(&question) {
            return Ok(report);
        }
        let place = tokio::time::timeout(self.patience, self.places.clone().acquire_owned())
            .await
            .map_err(|_| Trouble::Thinking)?
            .map_err(|_| Trouble::Broken)?;
        // Somebody may have asked the same meanwhile.
        if let Some(report) = self.known(&question) {
            return Ok(report);
        }
        let kept = self.kept.clone();
        let computed = tokio::task::spawn_blocking(move || {
            let _place = place;
            let plan = Plan::new(DRAWS, SEED, THREADS)?;
            let mut report = answer(&question, plan, &PAST.facts, &PAST.crypto_cap)?;
            // Half of what it holds, and only of use to who compares.
            report.projection.crypto_logs = Vec::new();
            let report = Arc::new(report);
            keep(&kept, question, &report);
            Ok::<_, outlook::OutlookError>(report)
        });
        computed.await.map_err(broken)?.map_err(broken)
    }

    fn known(&self, question: &Question) -> Option<Arc<Report>> {
        let kept = self.kept.lock().ok()?;
        kept.iter().find(|known| known.0 == *question).map(|known| Arc::clone(&known.1))
    }
}

fn keep(kept: &Kept, question: Question, report: &Arc<Report>) {
    // What is not kept is computed again: a lock that somebody broke costs time alone.
    let Ok(mut kept) = kept.lock() else { return };
    kept.push_back((question, Arc::clone(report)));
    if kept.len() > KEPT {
        kept.pop_front();
    }
}

fn broken(failure: impl std::fmt::Display) -> Trouble {
    tracing::error!(%failure, "the outlook could not answer");
    Trouble::Broken
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use outlook::{Driver, Horizon, Question};

    use super::{AT_ONCE, Forecasts, KEPT, keep};
    use crate::pages::trouble::Trouble;

    fn question(adoption: f64) -> Question {
        let mut question = Question::new(Horizon::new(2028).expect("a year"));
        question.hold(Driver::Adoption, adoption).expect("in range");
        question
    }

    #[tokio::test]
    async fn the_same_question_is_computed_once_and_a_full_house_asks_to_come_back() {
        let forecasts = Forecasts { patience: Duration::ZERO, ..Forecasts::new() };
        let one = forecasts.answer(question(0.5)).await.expect("an answer");
        let again = forecasts.answer(question(0.5)).await.expect("an answer");
        assert!(Arc::ptr_eq(&one, &again), "it was kept");
        let places = u32::try_from(AT_ONCE).expect("few");
        let taken = forecasts.places.acquire_many(places).await.expect("they are free");
        let refused = forecasts.answer(question(0.6)).await;
        assert!(matches!(refused, Err(Trouble::Thinking)), "nobody waits for ever");
        assert!(forecasts.answer(question(0.5)).await.is_ok(), "what is known needs no place");
        drop(taken);
        assert!(forecasts.answer(question(0.6)).await.is_ok());
    }

    #[tokio::test]
    async fn who_hangs_up_frees_no_place_before_the_work_is_done() {
        let forecasts = Forecasts::new();
        let hung_up = tokio::time::timeout(Duration::ZERO, forecasts.answer(question(0.5))).await;
        assert!(hung_up.is_err(), "nothing is answered at once");
        let is_at_work = forecasts.places.available_permits() < AT_ONCE;
        assert!(is_at_work || forecasts.known(&question(0.5)).is_some());
        // Its place is free again when its answer is kept.
        let places = u32::try_from(AT_ONCE).expect("few");
        drop(forecasts.places.acquire_many(places).await.expect("they get free"));
        assert!(forecasts.known(&question(0.5)).is_some());
    }

    #[tokio::test]
    async fn the_oldest_answers_make_room() {
        let forecasts = Forecasts::new();
        let report = forecasts.answer(question(0.5)).await.expect("an answer");
        for n in 0..2 * KEPT {
            keep(&forecasts.kept, question(0.001 * n as f64), &report);
        }
        assert_eq!(forecasts.kept.lock().expect("nothing panics under this lock").len(), KEPT);
        assert!(forecasts.known(&question(0.5)).is_none());
        assert!(forecasts.known(&question(0.001 * (2 * KEPT - 1) as f64)).is_some());
    }
}
