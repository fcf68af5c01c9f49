//! `/mine/work`: where this home's people take jobs that ask for a person, say whether answers are as they
//! asked, and decide as the owners of jurors. Read here, written by [`Market`].

use std::sync::Arc;

use ::market::desk::{DeskError, Document};
use ::market::{Job, JobId, Pricing, Stage};
use ::money::Amount;
use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use foreman::person::{self, is_for_a_person};
use http::{HeaderMap, StatusCode, header};
use mandates::books::Line;
use serde::Deserialize;
use web::mine::{Act, AskView, AskedFile, Retry, WorkView};

use super::market::Market;
use super::person::Person;
use super::{Assembly, hall};
use crate::failure::Failure;

/// Where the list is.
pub const PATH: &str = "/mine/work";
/// The most jobs that are looked through, newest first: those under way, and those that are over.
const LOOKED_AT: usize = 500;
/// The most jobs that are over and shown.
const OVER: usize = 12;

/// The routes, to be put behind the sign-in.
pub fn routes() -> Router<Arc<Assembly>> {
    Router::new()
        .route(PATH, get(list))
        .route("/mine/work/{job}", get(show))
        .route("/mine/work/{job}/files/{place}", get(file))
        .route("/mine/work/{job}/{act}", post(act))
}

impl Market {
    /// All that asks for this home's people.
    ///
    /// # Errors
    /// If the desk cannot be read.
    pub fn work(
        &self,
        name: impl Fn(money::Party) -> String,
        earned: Amount,
    ) -> Result<WorkView, DeskError> {
        let jobs: Vec<Job> = self.desk().read(|state| {
            let open = state.under_way().rev().filter(|job| is_for_a_person(job)).take(LOOKED_AT);
            let over = state.jobs().rev().take(LOOKED_AT);
            let over = over.filter(|job| is_for_a_person(job) && job.stage.is_final());
            open.chain(over).cloned().collect()
        });
        let me = self.person().party();
        let mut view = WorkView {
            worker: name(me),
            earned,
            open: Vec::new(),
            in_hand: Vec::new(),
            to_accept: Vec::new(),
            to_decide: Vec::new(),
            over: Vec::new(),
        };
        for job in &jobs {
            let is_ours = job.worker == Some(me) || self.asks_here(job);
            let list = match job.stage {
                Stage::Open => continue,
                Stage::Bidding if is_open_here(job) => &mut view.open,
                stage if stage.is_final() && is_ours && view.over.len() < OVER => &mut view.over,
                _ if self.is_mine_to_decide(job)? => &mut view.to_decide,
                _ if self.may_say(job)?.is_some() => &mut view.to_accept,
                stage if !stage.is_final() && job.worker == Some(me) => &mut view.in_hand,
                _ => continue,
            };
            list.push(self.asked(job, &name)?);
        }
        Ok(view)
    }

    /// A job for a person, as its page shows it.
    ///
    /// # Errors
    /// If the desk cannot be read.
    pub fn asked(
        &self,
        job: &Job,
        name: impl Fn(money::Party) -> String,
    ) -> Result<AskView, DeskError> {
        let (id, asset) = (job.terms.id, job.terms.budget.asset());
        let question = self.question(id)?;
        let (words, inputs) = match question {
            Some(order) => (order.words, order.inputs),
            None => ("a question that cannot be read".to_owned(), Vec::new()),
        };
        let most = job.most_price();
        let agreed = job.worker.map_or(most, |_| job.price);
        let fee = self.desk().read(|state| state.rules().fee(agreed));
        let (mine, ours) = (job.worker == Some(self.person().party()), self.asks_here(job));
        let is_seen = mine || ours || self.juror_of(job).is_some();
        let files = inputs.into_iter().map(|input| AskedFile {
            is_picture: is_picture(&input.media_type),
            name: input.name,
            media_type: input.media_type,
            bytes: input.bytes,
        });
        Ok(AskView {
            id: id.to_string(),
            words,
            client: name(job.terms.client),
            worker: job.worker.map(&name),
            pays: Amount::from_minor(asset, agreed - fee),
            most: Amount::from_minor(asset, most),
            stage: hall::stage(job.stage),
            until: job.deadline.filter(|_| !job.stage.is_final()),
            files: files.collect(),
            answer: if is_seen { self.read_answer(id)? } else { None },
            acts: self.acts(job)?,
        })
    }

    fn acts(&self, job: &Job) -> Result<Vec<Act>, DeskError> {
        let me = self.person().party();
        let is_open = job.stage == Stage::Bidding && is_open_here(job);
        let mut acts = Vec::new();
        if is_open && !job.bids.iter().any(|bid| bid.worker == me) {
            acts.push(Act::Take);
        }
        if job.stage == Stage::Working && job.worker == Some(me) {
            acts.push(Act::Answer);
        }
        if self.is_mine_to_decide(job)? {
            acts.push(Act::Decide);
        }
        acts.extend(self.may_say(job)?.map(|may_object| Act::Say { may_object }));
        Ok(acts)
    }

    /// Whether somebody of this home asked for the work.
    fn asks_here(&self, job: &Job) -> bool {
        self.lives_here(job.terms.client)
    }

    /// Whether its client, who lives here, may say something of a job, and may still object.
    fn may_say(&self, job: &Job) -> Result<Option<bool>, DeskError> {
        let is_judged = matches!(job.stage, Stage::Drawing | Stage::Checking);
        if !is_judged || !self.asks_here(job) {
            return Ok(None);
        }
        let heard = self.heard(job)?;
        let in_time = person::word_until(job).is_none_or(|until| self.now() < until);
        Ok((!heard.accepted).then_some(in_time && !heard.objected))
    }

    fn is_mine_to_decide(&self, job: &Job) -> Result<bool, DeskError> {
        Ok(self.juror_of(job).is_some() && self.is_disputed(job)?)
    }
}

/// Whether this home's person may quote for a job on these terms.
fn is_open_here(job: &Job) -> bool {
    job.terms.pricing == Pricing::Quotes && person::is_for_jurors(&job.terms)
}

/// What a browser shows as a picture.
fn is_picture(media_type: &str) -> bool {
    matches!(media_type, "image/jpeg" | "image/png" | "image/webp")
}

impl Assembly {
    /// All that asks for this home's people.
    ///
    /// # Errors
    /// If the desk cannot be read.
    pub fn work(&self) -> Result<WorkView, Failure> {
        let asset = self.chain.token().asset;
        let sales = Line::Sales.of(self.market().person().party(), asset);
        let earned = self.ledger.read(|state| state.balance(&sales).map(|b| b.settled()));
        let earned = earned.unwrap_or(Amount::zero(asset));
        self.market().work(|party| self.cast.name(party), earned).map_err(Failure::new)
    }

    fn asked(&self, id: JobId) -> Result<Option<AskView>, Failure> {
        let Some(job) = self.market().desk().job(id).filter(is_for_a_person) else {
            return Ok(None);
        };
        self.market().asked(&job, |party| self.cast.name(party)).map(Some).map_err(Failure::new)
    }
}

/// Reads on a thread that may wait.
async fn read<T: Send + 'static>(
    assembly: &Arc<Assembly>,
    look: impl FnOnce(&Assembly) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Response> {
    let assembly = assembly.clone();
    let looked = tokio::task::spawn_blocking(move || look(&assembly)).await;
    looked.map_err(Failure::new).and_then(|found| found).map_err(|failure| {
        tracing::error!(error = failure.message, "a page of work cannot be shown");
        web::broken()
    })
}

async fn list(State(assembly): State<Arc<Assembly>>) -> Result<Response, Response> {
    // Who comes to work offers it; the machines that judge it come, too.
    if let Err(failure) = assembly.market().wake().await {
        tracing::warn!(error = failure.message, "the market's machines cannot work");
    }
    if let Err(failure) = assembly.market().person_comes().await {
        tracing::warn!(error = failure.message, "a person's offer does not stand");
    }
    let view = read(&assembly, Assembly::work).await?;
    Ok(web::mine::work(&view).into_response())
}

fn job_name(text: &str) -> Result<JobId, Response> {
    text.parse().map_err(|_| web::no_such_job())
}

async fn show(
    State(assembly): State<Arc<Assembly>>,
    Extension(person): Extension<Arc<Person>>,
    Path(job): Path<String>,
) -> Result<Response, Response> {
    let id = job_name(&job)?;
    let view = read(&assembly, move |assembly| assembly.asked(id)).await?;
    let view = view.ok_or_else(web::no_such_job)?;
    Ok(web::mine::asked(&view, person.form(), None).into_response())
}

async fn file(
    State(assembly): State<Arc<Assembly>>,
    Path((job, place)): Path<(String, usize)>,
) -> Result<Response, Response> {
    let id = job_name(&job)?;
    let find =
        move |assembly: &Assembly| assembly.market().named_file(id, place).map_err(Failure::new);
    let (input, Document { body, .. }) =
        read(&assembly, find).await?.ok_or_else(web::no_such_job)?;
    // A stranger's bytes: a picture is shown by itself, anything else is only handed over.
    let shown = match is_picture(&input.media_type) {
        true => [
            (header::CONTENT_TYPE, input.media_type),
            (header::CONTENT_SECURITY_POLICY, web::PICTURE_POLICY.into()),
            (header::CONTENT_DISPOSITION, "inline".into()),
        ],
        false => [
            (header::CONTENT_TYPE, "application/octet-stream".into()),
            (header::CONTENT_SECURITY_POLICY, web::PICTURE_POLICY.into()),
            (header::CONTENT_DISPOSITION, "attachment".into()),
        ],
    };
    Ok((shown, body).into_response())
}

/// What a form says; which field matters depends on the act.
#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default)]
    form: String,
    #[serde(default)]
    price: String,
    #[serde(default)]
    answer: String,
    #[serde(default)]
    says: String,
}

async fn act(
    State(assembly): State<Arc<Assembly>>,
    Extension(person): Extension<Arc<Person>>,
    Path((job, act)): Path<(String, String)>,
    headers: HeaderMap,
    Form(said): Form<Said>,
) -> Result<Response, Response> {
    let id = job_name(&job)?;
    let done = if person.meant(&headers, &said.form) {
        let (assembly, price, answer, says) =
            (assembly.clone(), said.price.clone(), said.answer.clone(), said.says);
        // What has begun is brought to its end, whoever hangs up.
        let acting =
            tokio::spawn(async move { do_it(&assembly, id, &act, &price, &answer, &says).await });
        acting.await.unwrap_or_else(|error| Err(Failure::new(error)))
    } else {
        Err(Failure::new("this form is of another start of the economy: send it again"))
    };
    let Err(failure) = done else {
        return Ok(Redirect::to(&format!("{PATH}/{id}")).into_response());
    };
    let view = read(&assembly, move |assembly| assembly.asked(id)).await?;
    let view = view.ok_or_else(web::no_such_job)?;
    let hint = failure.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
    let typed = if said.answer.is_empty() { said.price } else { said.answer };
    let retry = Retry { why: format!("{}{hint}", failure.message), typed };
    let page = web::mine::asked(&view, person.form(), Some(&retry));
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}

async fn do_it(
    assembly: &Assembly,
    id: JobId,
    act: &str,
    price: &str,
    answer: &str,
    says: &str,
) -> Result<(), Failure> {
    let market = assembly.market();
    match (act, says) {
        ("take", _) => {
            let price = super::positive(assembly.chain.token().asset, price.trim())?;
            market.offer_to_answer(id, Some(price)).await
        }
        ("answer", _) => market.answer_job(id, answer).await,
        ("leave", _) => market.give_job_back(id).await,
        ("say", "accepted") => market.client_says(id, true).await,
        ("say", "objected") => market.client_says(id, false).await,
        ("decide", "upheld") => market.juror_says(id, true).await,
        ("decide", "dismissed") => market.juror_says(id, false).await,
        _ => Err(Failure::misuse("nothing of the kind can be done with a job")),
    }
}
