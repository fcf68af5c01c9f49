//! `/v1`: the language and the meaning machine, as clients of OpenAI's API speak to them.
//!
//! | route | |
//! |---|---|
//! | `GET /v1/models`, `GET /v1/models/{id}` | free: what is here |
//! | `POST /v1/chat/completions` | behind the gate; whole as JSON, or by `stream` as events |
//! | `POST /v1/embeddings` | behind the gate; `float` or `base64` |
//!
//! Source of the forms: OpenAI's API reference (*Chat*, *Embeddings*, *Models*), and what its clients
//! for Node and Python read. Whoever has not paid gets the gate's 402 with the quote, as everywhere;
//! errors are in OpenAI's form ([`refusal`]).
//!
//! **What is charged.** The price of the quote is the most that one request may cost. Where it can be
//! paid up to that (scheme `upto`, vouchers, escrow), the tokens are counted and charged, of the
//! question and of the answer; by scheme `exact`, which moves what was signed, it is the price.
//!
//! Both take tasks of other agents, too, over A2A at `/m/language/a2a` and `/m/embeddings/a2a` ([`agents`]),
//! at the same price.
//!
//! A machine is loaded when it is first asked, and only if its model is in the cache: nothing is
//! fetched here, and the economy starts without it. What is not here is not for sale.

mod agents;
mod answer;
mod models;
mod refusal;
mod request;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use labour::{LanguageWorker, MeaningWorker, Worker as _};
use money::{Amount, Clock, Party};
use payments::extensions::{Binding, Declared, Identifier, Listing};
use payments::{Charge, Gate, Offer, Way};
use serde_json::{Map, json};
use settlement::Token;
use tokio::sync::{Semaphore, mpsc};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::failure::Failure;
use crate::home;
use crate::report::OfferInfo;
use answer::{Chat, Head, Telling};
use models::Lazy;
use refusal::Refusal;
use request::{ChatCompletion, Embeddings};

/// What a thousand tokens of a chat cost, in whole dollars.
const CHAT_PER_THOUSAND: &str = "0.001";
/// What a thousand tokens cost of which the meaning is asked.
const MEANING_PER_THOUSAND: &str = "0.0001";
/// The most tokens of a chat with its answer.
const CHAT_TOKENS: usize = 2_048;
/// Where chats are sold, and where meanings are.
const CHAT_PATH: &str = "/v1/chat/completions";
const EMBEDDINGS_PATH: &str = "/v1/embeddings";
/// The largest request, in bytes: many texts, or a chat in which each character is escaped.
const MAX_BODY: usize = 2 << 20;

/// The price of tokens.
#[derive(Clone, Copy, Debug)]
struct Tariff {
    per_thousand: Amount,
    /// The most that one request may cost.
    most: Amount,
}

impl Tariff {
    /// # Errors
    /// If the asset cannot say so little, or it comes to nothing.
    fn new(asset: money::Asset, per_thousand: &str, most_tokens: usize) -> Result<Tariff, Failure> {
        let per_thousand = Amount::parse(asset, per_thousand)?;
        let most = Amount::zero(asset);
        let tariff = Tariff { per_thousand, most };
        let most = tariff.of(most_tokens as u64);
        if !most.is_positive() {
            return Err(Failure::new("a price that comes to nothing"));
        }
        Ok(Tariff { per_thousand, most })
    }

    /// What so many tokens cost, rounded up to whole minor units.
    fn of(&self, tokens: u64) -> Amount {
        let thousandths = self.per_thousand.minor().saturating_mul(i128::from(tokens));
        // Neither is negative, so this rounds up.
        Amount::from_minor(self.per_thousand.asset(), thousandths.saturating_add(999) / 1_000)
    }

    /// The same, and never more than was quoted.
    fn charge(&self, tokens: u64) -> Amount {
        let asked = self.of(tokens);
        if asked.minor() > self.most.minor() { self.most } else { asked }
    }
}

/// What the endpoints are made of.
pub struct Parts {
    /// Where the economy is, without a slash at the end.
    pub base: String,
    /// Who is paid.
    pub payee: Party,
    /// In what.
    pub token: Token,
    /// The ways to pay, those by use first.
    pub ways: Vec<Way>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// A GGUF file of the owner's, for the language machine to speak with.
    pub model: Option<std::path::PathBuf>,
}

/// The endpoints, or none where the asset cannot say prices so small; the log tells.
pub fn open(parts: Parts) -> Option<Arc<Endpoints>> {
    let opened = Endpoints::new(parts);
    opened.inspect_err(|why| tracing::warn!(why = why.message, "nothing is sold at /v1")).ok()
}

/// The machines behind `/v1`, and what they sell.
pub struct Endpoints {
    language: Lazy<LanguageWorker>,
    meaning: Lazy<MeaningWorker>,
    /// Requests for meanings that are computed at the same time; the lanes are shared by them.
    meanings: Arc<Semaphore>,
    chat_tariff: Tariff,
    meaning_tariff: Tariff,
    chat_offer: Offer,
    meaning_offer: Offer,
    clock: Arc<dyn Clock>,
    base: String,
}

impl Endpoints {
    /// Prepares the endpoints; loads nothing.
    ///
    /// # Errors
    /// If the asset cannot say prices so small.
    fn new(parts: Parts) -> Result<Arc<Endpoints>, Failure> {
        let asset = parts.token.asset;
        let chat_tariff = Tariff::new(asset, CHAT_PER_THOUSAND, CHAT_TOKENS)?;
        let meaning_tariff = Tariff::new(asset, MEANING_PER_THOUSAND, request::MAX_TOKENS)?;
        let offer = |name: &str, path: &str, tariff: Tariff, about: &str, listing: Listing| {
            let mut offer = Offer::new(
                name,
                http::Method::POST,
                format!("{}{path}", parts.base),
                tariff.most,
                parts.payee,
                parts.token.clone(),
            );
            offer.description = format!(
                "{about} OpenAI's API. {} per 1,000 tokens, at most {}; scheme exact pays the most.",
                tariff.per_thousand, tariff.most
            );
            offer.max_body = MAX_BODY;
            offer.ways = parts.ways.clone();
            offer.extensions = payments::sponsoring::declaration();
            offer.declared = Declared {
                identifier: Some(Identifier { required: false }),
                binding: Some(Binding { required: false }),
                sign_in: None,
                listing: Some(listing),
            };
            offer
        };
        let listing = |tags: &[&str], body: serde_json::Value, output: serde_json::Value| Listing {
            service_name: Some("Machina".into()),
            tags: tags.iter().map(|tag| tag.to_string()).collect(),
            body: Some(("json", body)),
            query: Map::new(),
            output: Some(output),
        };
        let mut chat_offer = offer(
            "language/chat",
            CHAT_PATH,
            chat_tariff,
            "Answers a chat.",
            listing(
                &["language", "chat", "openai"],
                json!({ "model": models::LANGUAGE, "messages": [{ "role": "user", "content": "What is the capital of France?" }] }),
                json!({ "choices": [{ "message": { "role": "assistant", "content": "The capital of France is Paris." } }] }),
            ),
        );
        chat_offer.streams = true;
        let meaning_offer = offer(
            "meaning/embed",
            EMBEDDINGS_PATH,
            meaning_tariff,
            "Turns texts into vectors that are near where the texts mean alike.",
            listing(
                &["meaning", "embeddings", "openai"],
                json!({ "model": models::MEANING, "input": ["a cat", "a kitten"] }),
                json!({ "data": [{ "index": 0, "embedding": [0.06, 0.04] }] }),
            ),
        );
        Ok(Arc::new(Endpoints {
            language: models::language(parts.model),
            meaning: models::meaning(),
            meanings: Arc::new(Semaphore::new(labour::meaning::LANES)),
            chat_tariff,
            meaning_tariff,
            chat_offer,
            meaning_offer,
            clock: parts.clock,
            base: parts.base,
        }))
    }

    /// What is for sale, as a client is told: the machines whose models are here.
    pub fn told(&self) -> Vec<OfferInfo> {
        let chat = self.language.is_here().then_some(&self.chat_offer);
        let meaning = self.meaning.is_here().then_some(&self.meaning_offer);
        let told = |offer: &Offer| OfferInfo {
            name: offer.name.clone(),
            description: offer.description.clone(),
            method: offer.method.to_string(),
            url: offer.url.clone(),
            price: offer.price,
            payee: offer.payee,
            takes: vec!["application/json".into()],
        };
        chat.into_iter().chain(meaning).map(told).collect()
    }

    /// The meaning machine, if its model is here; the first who asks loads it.
    pub async fn reader(&self) -> Option<Arc<labour::MeaningWorker>> {
        if self.meaning.is_here() { self.meaning.get().await.ok() } else { None }
    }

    /// The doors.
    pub fn router(self: &Arc<Self>, gate: &Arc<Gate>) -> Router {
        let chat = {
            let endpoints = self.clone();
            let work = service_fn(move |request: Request<Body>| {
                let endpoints = endpoints.clone();
                async move {
                    let answer = endpoints.chat(request).await;
                    Ok::<_, Infallible>(answer.unwrap_or_else(Refusal::into_response))
                }
            });
            gate.layer(self.chat_offer.clone()).layer(work)
        };
        let embeddings = {
            let endpoints = self.clone();
            let work = service_fn(move |request: Request<Body>| {
                let endpoints = endpoints.clone();
                async move {
                    let answer = endpoints.embeddings(request).await;
                    Ok::<_, Infallible>(answer.unwrap_or_else(Refusal::into_response))
                }
            });
            gate.layer(self.meaning_offer.clone()).layer(work)
        };
        // What is not here is not for sale: nobody is asked to pay for it.
        let (for_chat, for_meaning) = (self.clone(), self.clone());
        let chat = move |request: Request<Body>| async move {
            if !for_chat.language.is_here() {
                return Refusal::not_here(models::LANGUAGE).into_response();
            }
            chat.oneshot(request).await.unwrap_or_else(|never| match never {})
        };
        let embeddings = move |request: Request<Body>| async move {
            if !for_meaning.meaning.is_here() {
                return Refusal::not_here(models::MEANING).into_response();
            }
            embeddings.oneshot(request).await.unwrap_or_else(|never| match never {})
        };
        Router::new()
            .route("/v1/models", get(list))
            .route("/v1/models/{id}", get(one))
            .with_state(self.clone())
            // By GET nothing is sold; clients ask so for the quote, and for a channel's money back.
            .route(CHAT_PATH, any(chat))
            .route(EMBEDDINGS_PATH, any(embeddings))
            .route("/v1/{*path}", any(nothing))
    }

    /// A chat that is paid for, told as the request wishes.
    async fn chat(&self, request: Request<Body>) -> Result<Response, Refusal> {
        let (chat, telling) = self.begin_chat(request).await?;
        match telling {
            Telling::Whole => self.whole_chat(chat).await,
            Telling::Stream { with_usage } => {
                let (count, mut response) = chat.stream(with_usage);
                let tariff = self.chat_tariff;
                response.extensions_mut().insert(Charge::at_end(move || match count.tokens() {
                    Ok(tokens) => tariff.charge(tokens),
                    // Cut off before it told: what is not told must not be free.
                    Err(answer::Untold::Cut) => tariff.most,
                    Err(answer::Untold::Broken) => tariff.charge(0),
                }));
                Ok(response)
            }
        }
    }

    /// Begins a chat, and says how it is to be told.
    async fn begin_chat(&self, request: Request<Body>) -> Result<(Chat, Telling), Refusal> {
        let asked = ChatCompletion::read(&body_of(request).await?)?;
        if !self.language.is_called(&asked.model) {
            return Err(Refusal::no_such_model(&asked.model));
        }
        let worker = self.language.get().await?;
        // Not bounded, and yet: no chat has more events than tokens fit into a seat.
        let (sender, events) = mpsc::unbounded_channel();
        let (seat, chat) = (worker.clone(), asked.chat);
        let started = tokio::task::spawn_blocking(move || {
            seat.start_chat(chat, move |event| sender.send(event).is_ok())
        });
        started.await.map_err(|_| Refusal::broken("the language machine broke down"))??;
        let head = Head::new(&self.language, worker.describe(), &home::entropy(), self.clock.now());
        Ok((Chat { head, events }, asked.telling))
    }

    /// Waits for all of a chat, and charges its tokens.
    async fn whole_chat(&self, chat: Chat) -> Result<Response, Refusal> {
        let (usage, mut response) = chat.whole().await?;
        let charge = self.chat_tariff.charge(answer::tokens(&usage));
        response.extensions_mut().insert(Charge::of(charge));
        Ok(response)
    }

    /// Meanings that are paid for.
    async fn embeddings(&self, request: Request<Body>) -> Result<Response, Refusal> {
        let asked = Embeddings::read(&body_of(request).await?)?;
        if !self.meaning.is_called(&asked.model) {
            return Err(Refusal::no_such_model(&asked.model));
        }
        let worker = self.meaning.get().await?;
        let closing = |_| Refusal::broken("the meaning machine is closing");
        let turn = self.meanings.clone().acquire_owned().await.map_err(closing)?;
        let texts = asked.texts;
        let work = tokio::task::spawn_blocking(move || {
            // Until the work is done, whoever hangs up.
            let _turn = turn;
            let mut tokens = 0_usize;
            for text in &texts {
                tokens = tokens.saturating_add(worker.count(text)?);
            }
            if tokens > request::MAX_TOKENS {
                return Err(Refusal::too_many_tokens(tokens, request::MAX_TOKENS));
            }
            Ok(worker.embed_all(&texts)?)
        });
        let meanings =
            work.await.map_err(|_| Refusal::broken("the meaning machine broke down"))??;
        let (tokens, mut response) =
            answer::embeddings(self.meaning.id(), &meanings, asked.encoding);
        response.extensions_mut().insert(Charge::of(self.meaning_tariff.charge(tokens)));
        Ok(response)
    }
}

/// The body of a request that is paid for: the gate has read and bounded it.
async fn body_of(request: Request<Body>) -> Result<bytes::Bytes, Refusal> {
    if request.method() != http::Method::POST {
        return Err(Refusal::by_post());
    }
    let body = request.into_body().collect().await;
    body.map(|body| body.to_bytes())
        .map_err(|_| Refusal::bad(None, "the body did not arrive whole"))
}

async fn list(State(endpoints): State<Arc<Endpoints>>) -> Response {
    let here = [endpoints.language.entry(), endpoints.meaning.entry()];
    let data: Vec<_> = here.into_iter().flatten().collect();
    json_of(StatusCode::OK, &json!({ "object": "list", "data": data }))
}

async fn one(State(endpoints): State<Arc<Endpoints>>, Path(id): Path<String>) -> Response {
    let entry = if endpoints.language.is_called(&id) {
        endpoints.language.entry()
    } else if endpoints.meaning.is_called(&id) {
        endpoints.meaning.entry()
    } else {
        None
    };
    match entry {
        Some(entry) => json_of(StatusCode::OK, &entry),
        None => Refusal::no_such_model(&id).into_response(),
    }
}

async fn nothing() -> Response {
    Refusal::no_such_route().into_response()
}

fn json_of(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use money::Asset;

    #[test]
    fn tokens_cost_their_share_of_a_thousand_rounded_up_and_never_more_than_quoted() {
        let tariff = Tariff::new(Asset::MUSD, "0.0001", 8_192).unwrap();
        assert_eq!(tariff.most.minor(), 820);
        for (tokens, minor) in [(0, 0), (1, 1), (10, 1), (11, 2), (8_192, 820), (u64::MAX, 820)] {
            assert_eq!(tariff.charge(tokens).minor(), minor, "{tokens} tokens");
        }
        let cents = Asset::try_new("EURX", 2).unwrap();
        assert!(Tariff::new(cents, "0.0001", 8_192).is_err());
    }
}
