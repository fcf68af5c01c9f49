//! The machines of `/v1` as other agents hire them, over A2A: the same work at the same price, one task a
//! request.
//!
//! Words of a message are the question, or the text whose meaning is asked. Who wants more sends the same
//! request as at `/v1`, as a part with data (or as a file), and need not name the model. The artifact is the
//! answer in OpenAI's form, always whole: a task's own stream tells how far it is, not single words.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::Request;
use payments::extensions::Declared;
use payments::{Gate, Offer};
use serde_json::{Value, json};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, service_fn};

use super::super::a2a::{self, IsHere, Reads};
use super::super::agents::Agents;
use super::refusal::Refusal;
use super::{CHAT_PATH, EMBEDDINGS_PATH, Endpoints};
use crate::home;

/// What the machine that speaks is called among agents.
const LANGUAGE: &str = "language";
/// What the machine that tells meanings is called. `meaning` is one of the labour market, with its own price.
const EMBEDDINGS: &str = "embeddings";

impl Endpoints {
    /// Lets both machines take tasks of other agents, whenever their models are here.
    pub fn host(self: &Arc<Self>, gate: &Arc<Gate>, agents: &Agents) {
        let spoken = {
            let endpoints = self.clone();
            service_fn(move |request: Request<Body>| {
                let endpoints = endpoints.clone();
                async move {
                    let answer = match endpoints.begin_chat(request).await {
                        Ok((chat, _)) => endpoints.whole_chat(chat).await,
                        Err(refusal) => Err(refusal),
                    };
                    Ok::<Response, Infallible>(answer.unwrap_or_else(Refusal::into_response))
                }
            })
        };
        let does = skill(
            LANGUAGE,
            "Answers a chat",
            &self.chat_offer,
            CHAT_PATH,
            Reads::Request {
                form: json!({
                    "model": self.language.id(),
                    "messages": [{ "role": "user", "content": "" }],
                }),
                words_at: "/messages/0/content",
            },
        );
        let talk = self.talk(&self.chat_offer, LANGUAGE);
        let paid = BoxCloneSyncService::new(gate.layer(talk.clone()).layer(spoken));
        let endpoints = self.clone();
        let is_here: IsHere = Arc::new(move || endpoints.language.is_here());
        self.open(agents, does, a2a::Sale { offer: talk, paid, is_here: Some(is_here) });

        let told = {
            let endpoints = self.clone();
            service_fn(move |request: Request<Body>| {
                let endpoints = endpoints.clone();
                async move {
                    let answer = endpoints.embeddings(request).await;
                    Ok::<Response, Infallible>(answer.unwrap_or_else(Refusal::into_response))
                }
            })
        };
        let does = skill(
            EMBEDDINGS,
            "Tells what texts mean, as vectors",
            &self.meaning_offer,
            EMBEDDINGS_PATH,
            Reads::Request {
                form: json!({ "model": self.meaning.id(), "input": Value::Null }),
                words_at: "/input",
            },
        );
        let talk = self.talk(&self.meaning_offer, EMBEDDINGS);
        let paid = BoxCloneSyncService::new(gate.layer(talk.clone()).layer(told));
        let endpoints = self.clone();
        let is_here: IsHere = Arc::new(move || endpoints.meaning.is_here());
        self.open(agents, does, a2a::Sale { offer: talk, paid, is_here: Some(is_here) });
    }

    fn open(&self, agents: &Agents, skill: a2a::Skill, sale: a2a::Sale) {
        let name = skill.machine.clone();
        let (base, clock) = (self.base.clone(), self.clock.clone());
        let agent = a2a::Agent::seller(base, skill, sale, clock, home::entropy);
        agents.host(&name, agent, Router::new());
    }

    /// What a machine sells at `/v1`, to agents: its quote names where they talk to it.
    fn talk(&self, offer: &Offer, machine: &str) -> Offer {
        let mut talk = offer.clone();
        talk.url = format!("{}{}", self.base, a2a::path(machine));
        talk.streams = false;
        // What is declared of a web address is not so of a task.
        let declared = talk.declared.clone();
        talk.declared = Declared { listing: None, binding: None, ..declared };
        talk
    }
}

fn skill(machine: &str, title: &str, offer: &Offer, target: &str, reads: Reads) -> a2a::Skill {
    let listing = offer.declared.listing.as_ref();
    a2a::Skill {
        machine: machine.into(),
        id: offer.name.clone(),
        title: title.into(),
        tags: listing.map(|listing| listing.tags.clone()).unwrap_or_default(),
        takes: ["text/plain", "application/json"].map(String::from).to_vec(),
        gives: vec!["application/json".into()],
        page: "/v1/models".into(),
        target: target.into(),
        reads,
    }
}
