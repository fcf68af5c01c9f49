//! A facilitator that fails on purpose, around a real one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use payments::wire::{PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse};
use payments::{EmbeddedFacilitator, Facilitator, FacilitatorError};
use tokio::sync::Semaphore;

/// What goes wrong in one settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It fails before it did anything.
    FailsBefore,
    /// It settles, and its answer is lost.
    LostAnswer,
    /// It settles, and answers with a reason that nobody knows.
    Garbage,
    /// It settles, and says that it did not.
    SaysNo,
    /// It does not settle, and says that it did.
    SaysYes,
    /// It does nothing, for ever.
    HangsBefore,
    /// It settles, and never answers.
    HangsAfter,
}

pub struct Faulty {
    real: Arc<EmbeddedFacilitator>,
    faults: Mutex<VecDeque<Fault>>,
    /// A permit for each settlement that has come to its fault.
    pub reached: Semaphore,
}

impl Faulty {
    /// One fault after the other, and then none.
    pub fn new(real: Arc<EmbeddedFacilitator>, faults: &[Fault]) -> Arc<Faulty> {
        let faults = Mutex::new(faults.iter().copied().collect());
        Arc::new(Faulty { real, faults, reached: Semaphore::new(0) })
    }

    pub async fn is_reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }
}

fn error(cause: &str) -> FacilitatorError {
    FacilitatorError { endpoint: "faulty".into(), cause: cause.into() }
}

impl Facilitator for Faulty {
    fn verify<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>> {
        self.real.verify(payment, requirements)
    }

    fn settle<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        Box::pin(async move {
            let settles =
                !matches!(fault, Fault::FailsBefore | Fault::SaysYes | Fault::HangsBefore);
            let real = match settles {
                true => Some(self.real.settle(payment, requirements).await?),
                false => None,
            };
            self.reached.add_permits(1);
            let no = |reason: &str| SettleResponse {
                error_reason: Some(reason.into()),
                network: requirements.network.clone(),
                ..SettleResponse::default()
            };
            match fault {
                Fault::None => Ok(real.expect("it settled")),
                Fault::FailsBefore => Err(error("connection refused")),
                Fault::LostAnswer => Err(error("timed out")),
                Fault::Garbage => Ok(no("the_cat_sat_on_it")),
                Fault::SaysNo => Ok(no("invalid_exact_evm_insufficient_balance")),
                Fault::SaysYes => Ok(SettleResponse {
                    success: true,
                    error_reason: None,
                    transaction: format!("0x{}", "ab".repeat(32)),
                    ..no("")
                }),
                Fault::HangsBefore | Fault::HangsAfter => std::future::pending().await,
            }
        })
    }
}
