//! A shop that says more than a price: MPP, signed receipts, sign-in, a listing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post;
use money::Party;
use payments::extensions::{Declared, Doorman, Identifier, Listing, SignIn};
use payments::facilitator::{self, Catalogue};
use payments::{EmbeddedFacilitator, Extras, Facilitator, Gate, GateParts, Mpp};
use serde_json::json;
use tokio::sync::Semaphore;

use super::shop::{Shop, Work, handler, offer};
use super::{DAY, Town, person};

/// Different bytes at each call, the same in each run.
pub fn entropy() -> Arc<dyn Fn() -> [u8; 32] + Send + Sync> {
    let count = AtomicU64::new(0);
    Arc::new(move || {
        let mut bytes = [0x5a; 32];
        bytes[..8].copy_from_slice(&count.fetch_add(1, Ordering::SeqCst).to_le_bytes());
        bytes
    })
}

/// All that a gate can have beside x402's core.
pub fn extras() -> Extras {
    Extras {
        mpp: Some(Mpp::new([7; 32], entropy())),
        notaries: vec![Arc::new(person(0x5e))],
        doorman: Some(Arc::new(Doorman::new(entropy()))),
    }
}

/// All that an offer can say.
pub fn declared() -> Declared {
    Declared {
        identifier: Some(Identifier { required: false }),
        binding: None,
        sign_in: Some(SignIn { within: DAY }),
        listing: Some(Listing {
            service_name: Some("Town".into()),
            tags: vec!["work".into(), "odd jobs".into()],
            body: Some(("text", "sweep the yard".into())),
            output: Some(json!({ "did": "sweep the yard" })),
            ..Listing::default()
        }),
    }
}

impl Town {
    pub async fn boutique(&self) -> Shop {
        self.boutique_with(self.facilitator(), extras(), declared()).await
    }

    pub async fn boutique_with(
        &self,
        facilitator: Arc<dyn Facilitator>,
        extras: Extras,
        declared: Declared,
    ) -> Shop {
        let gate = Gate::new(GateParts { extras, ..self.gate_parts(facilitator) });
        let work = Arc::new(Work {
            begun: AtomicUsize::new(0),
            jobs: Mutex::new(HashMap::new()),
            began: Semaphore::new(0),
            may_end: Semaphore::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/work", listener.local_addr().unwrap());
        let mut offer = offer(self.token(), &url);
        offer.declared = declared;
        let router = Router::new()
            .route("/work", post(handler))
            .route("/other", post(handler))
            .layer(gate.layer(offer))
            .with_state(work.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Shop { gate, work, url, server }
    }

    /// A catalogue in which nobody is related.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        Arc::new(Catalogue::in_memory(self.clock.clone(), Arc::new(|_, _| false)))
    }

    /// A facilitator that lists, and its address.
    pub async fn listing(&self, catalogue: Arc<Catalogue>) -> (Arc<EmbeddedFacilitator>, String) {
        let facilitator = EmbeddedFacilitator::new(self.chain.clone(), self.clock.clone());
        let facilitator = Arc::new(facilitator.listing(catalogue));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = facilitator::router(facilitator.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (facilitator, url)
    }
}

/// Somebody with money, who has no book here.
pub async fn guest(town: &Town, number: u8) -> mandates::Key {
    let key = person(number);
    town.give(Party::from(key.address()), super::musd(1_000_000)).await;
    key
}
