//! What waits for an owner's word: shown to whoever can read the home, and decided with the owner's
//! key. The machine's own key signs no acceptance, and no page or tool of an agent leads here.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Extension, Form};
use http::{HeaderMap, StatusCode};
use mandates::{Acceptance, Approval, ApprovalState, approval_stage};
use payments::buyer::Wanted;
use serde::Deserialize;
use web::mine::Errand;
use web::{ApprovalStateView, ApprovalView};

use super::Assembly;
use super::person::Person;
use crate::failure::Failure;
use crate::report::{ApprovalReport, DecisionOrder};

/// The page.
pub const PATH: &str = "/mine/approvals";
/// How many decided requests are shown with those that wait.
const MOST_SHOWN: usize = 100;
/// The longest reason of a refusal, in characters.
const LONGEST_REASON: usize = 300;

impl Assembly {
    /// The requests of the shopper under the mandate in force: those that wait first, then the newest.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub fn approvals(&self) -> Result<Vec<ApprovalReport>, Failure> {
        let mut all = self.mandates.approvals(self.cast.shopper.party(), self.clock.now())?;
        all.sort_by_key(|one| one.state != ApprovalState::Waiting);
        all.truncate(MOST_SHOWN);
        all.iter().map(|one| self.request(one)).collect()
    }

    /// The same off the threads that serve: it reads the disk.
    ///
    /// # Errors
    /// As [`Assembly::approvals`].
    pub async fn approvals_read(self: &Arc<Self>) -> Result<Vec<ApprovalReport>, Failure> {
        let assembly = self.clone();
        let reading = tokio::task::spawn_blocking(move || assembly.approvals());
        reading.await.map_err(Failure::new)?
    }

    /// How many requests wait.
    fn waiting(&self) -> u64 {
        let all = self.mandates.approvals(self.cast.shopper.party(), self.clock.now());
        let waits = |one: &&Approval| one.state == ApprovalState::Waiting;
        all.map_or(0, |all| all.iter().filter(waits).count() as u64)
    }

    /// The line of these requests among what waits for the person.
    pub fn approvals_errand(&self) -> Errand {
        Errand {
            title: "Purchases that ask you",
            about: "What your machine wants to buy above what its mandate lets go unasked.",
            path: PATH,
            waiting: self.waiting(),
        }
    }

    /// The owner accepts a request or refuses it.
    ///
    /// # Errors
    /// If there is no such request, or it was decided before, or its time is over.
    pub async fn decide(&self, order: DecisionOrder) -> Result<ApprovalReport, Failure> {
        let (machine, owner) = (self.cast.shopper.party(), &self.cast.ada);
        let hint = "`machina approvals` lists them";
        let now = self.clock.now();
        let found = self
            .mandates
            .approval(machine, &order.id, now)
            .map_err(|error| Failure::new(error).hint(hint))?;
        let decided = match order.accept {
            true => {
                // It says what it accepts, so a word for one request is none for another.
                let word = Acceptance::sign(&found, owner)?;
                self.mandates.accept(machine, word, now).await?
            }
            false => {
                let why: String =
                    order.why.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect();
                self.mandates.refuse(machine, found.reference, &why, now).await?
            }
        };
        self.request(&decided)
    }

    fn request(&self, one: &Approval) -> Result<ApprovalReport, Failure> {
        let document = self.ledger.document(one.reference, approval_stage::REQUEST)?;
        let wanted: Option<Wanted> =
            document.and_then(|kept| serde_json::from_slice(&kept.evidence.body).ok());
        let payment = match one.state {
            ApprovalState::Used { by } => Some(by.to_string()),
            _ => None,
        };
        Ok(ApprovalReport {
            id: one.id(),
            reference: one.reference.to_string(),
            state: one.state.as_str().into(),
            machine: self.cast.name(one.machine),
            owner: self.cast.name(one.owner),
            payee: one.payee,
            payee_name: self.cast.name(one.payee),
            amount: one.amount,
            asked_at: one.asked_at,
            decide_by: one.decide_by,
            use_by: one.use_by,
            payment,
            wanted,
        })
    }
}

/// `GET`: what waits, and what was decided.
pub async fn page(
    State(assembly): State<Arc<Assembly>>,
    Extension(person): Extension<Arc<Person>>,
) -> Response {
    shown(&assembly, &person, None).await
}

/// What the form on the page says.
#[derive(Deserialize)]
pub struct Decision {
    form: String,
    id: String,
    decision: String,
}

/// `POST`: the person decides, and sees the page again.
pub async fn decided(
    State(assembly): State<Arc<Assembly>>,
    Extension(person): Extension<Arc<Person>>,
    headers: HeaderMap,
    Form(said): Form<Decision>,
) -> Response {
    if !person.meant(&headers, &said.form) {
        let failure = Failure::new(
            "The form came from elsewhere, or from before the last start; nothing was decided.",
        );
        return shown(&assembly, &person, Some(failure)).await;
    }
    let accept = match said.decision.as_str() {
        "accept" => true,
        "refuse" => false,
        _ => return shown(&assembly, &person, Some(Failure::misuse("Say yes or no."))).await,
    };
    match assembly.decide(DecisionOrder { id: said.id, accept, why: String::new() }).await {
        Ok(_) => Redirect::to(PATH).into_response(),
        Err(failure) => shown(&assembly, &person, Some(failure)).await,
    }
}

async fn shown(assembly: &Arc<Assembly>, person: &Person, trouble: Option<Failure>) -> Response {
    let (reports, trouble) = match assembly.approvals_read().await {
        Ok(reports) => (reports, trouble),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    let status = match trouble {
        None => StatusCode::OK,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let views: Vec<ApprovalView> = reports.into_iter().map(view).collect();
    let trouble = trouble.map(|failure| failure.message);
    (status, web::mine::approvals(&views, person.form(), trouble.as_deref())).into_response()
}

fn view(report: ApprovalReport) -> ApprovalView {
    let state = match report.state.as_str() {
        "waiting" => ApprovalStateView::Waiting,
        "accepted" => ApprovalStateView::Accepted,
        "used" => ApprovalStateView::Used,
        "refused" => ApprovalStateView::Refused,
        _ => ApprovalStateView::Expired,
    };
    let wanted = report.wanted;
    let of = |get: fn(&Wanted) -> Option<String>| wanted.as_ref().and_then(get);
    ApprovalView {
        id: report.id,
        reference: report.reference,
        state,
        machine: report.machine,
        payee: report.payee,
        payee_name: report.payee_name,
        amount: report.amount,
        asked_at: report.asked_at,
        decide_by: report.decide_by,
        use_by: report.use_by,
        trade: report.payment,
        method: of(|wanted| Some(wanted.method.clone())).unwrap_or_default(),
        url: of(|wanted| Some(wanted.url.clone())).unwrap_or_default(),
        media_type: of(|wanted| wanted.media_type.clone()),
        bytes: wanted.as_ref().map_or(0, |wanted| wanted.bytes as u64),
        sha256: of(|wanted| Some(wanted.sha256.clone())).unwrap_or_default(),
        begins: of(|wanted| wanted.begins.clone()),
        described: of(|wanted| wanted.described.clone()),
    }
}
