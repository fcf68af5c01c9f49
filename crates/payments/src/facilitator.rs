//! The facilitator: checks a signed payment and carries it to the chain.
//!
//! [`Facilitator`] is what a gate needs of one; [`EmbeddedFacilitator`] settles by itself and is
//! also served to others by [`router`], under `/verify`, `/settle`, `/supported` and `/health`;
//! [`RemoteFacilitator`] asks somebody else's over HTTP.
//!
//! The checks are made in the order of the reference, so that the first reason is the same. A
//! payment that is no good is an answer (HTTP 200), not an error.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::StatusCode;
use money::Clock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use settlement::{Settlement, SettlementError, SignedAuthorization};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::exact::{self, Invalid};
use crate::wire::{
    self, FacilitatorRequest, PaymentPayload, PaymentRequirements, SettleResponse, Supported,
    SupportedKind, VerifyResponse,
};

/// The largest request that a facilitator reads, in bytes. A payment is far smaller; but who sends
/// a megabyte of nonsense loses the answer if the connection ends while it still writes.
const MAX_REQUEST: usize = 1_200_000;
/// The largest answer of another facilitator that is read, in bytes.
const MAX_ANSWER: usize = 128 * 1024;

/// How many requests a served facilitator works on at once.
const MAX_AT_ONCE: usize = 256;

/// No answer was had from the facilitator. For a settlement, that says nothing of the money.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the facilitator at {endpoint} gave no usable answer: {cause}")]
pub struct FacilitatorError {
    /// Whom we asked.
    pub endpoint: String,
    /// What happened.
    pub cause: String,
}

/// What a gate needs of a facilitator.
pub trait Facilitator: Send + Sync + 'static {
    /// Whether the payment would settle now.
    fn verify<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>>;

    /// Moves the money.
    fn settle<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>>;

    /// Whether a reported success is a transaction that this process itself saw mined. Of any
    /// other a gate believes nothing before the chain confirms it.
    fn proves_success(&self) -> bool {
        false
    }
}

/// What `/verify` says when the chain could not be asked.
const UNSURE: &str = "unexpected_verify_error";

/// Whether a reason for refusing says only that it is not known, so that the same may be tried
/// again.
pub(crate) fn is_unsure(reason: &str) -> bool {
    reason == UNSURE || reason == Invalid::ChainUnreachable.code()
}

/// A facilitator that settles on the chain itself, in one token.
pub struct EmbeddedFacilitator {
    chain: Settlement,
    clock: Arc<dyn Clock>,
    /// Payments that are being settled now: the same one twice at once is refused the second time.
    settling: Mutex<HashSet<(Address, B256)>>,
}

impl EmbeddedFacilitator {
    /// A facilitator on this chain, for its token.
    pub fn new(chain: Settlement, clock: Arc<dyn Clock>) -> EmbeddedFacilitator {
        EmbeddedFacilitator { chain, clock, settling: Mutex::default() }
    }

    /// What it settles.
    pub fn supported(&self) -> Supported {
        let mut signers = Map::new();
        signers.insert("eip155:*".into(), json!([self.chain.sender().to_string()]));
        Supported {
            kinds: vec![SupportedKind {
                x402_version: wire::VERSION,
                scheme: exact::SCHEME.into(),
                network: wire::network(self.chain.token().chain_id),
            }],
            extensions: Vec::new(),
            signers,
        }
    }

    /// Everything that can be said without moving money, in the order of the reference; all but
    /// the simulation, which a settlement makes for itself when it asks for the gas.
    async fn check(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> (Option<Address>, Result<SignedAuthorization, Invalid>) {
        let read = exact::read(&payment.payload);
        let payer = read.as_ref().ok().map(|a| a.from);
        let checked = async {
            let authorization = match self.check_form(payment, requirements, read) {
                Err(Invalid::Asset) => return Err(self.no_such_asset(requirements).await),
                checked => checked?,
            };
            self.check_signature(&authorization).await?;
            self.check_terms(&authorization, requirements)?;
            Ok(authorization)
        };
        (payer, checked.await)
    }

    fn check_form(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        read: Result<SignedAuthorization, Invalid>,
    ) -> Result<SignedAuthorization, Invalid> {
        let token = self.chain.token();
        if payment.accepted.scheme != exact::SCHEME || requirements.scheme != exact::SCHEME {
            return Err(Invalid::Scheme);
        }
        let extra =
            |key| requirements.extra.as_ref().and_then(|e| e.get(key)).and_then(Value::as_str);
        let (Some(name), Some(version)) = (extra("name"), extra("version")) else {
            return Err(Invalid::MissingDomain);
        };
        if payment.accepted.network != requirements.network
            || requirements.network != wire::network(token.chain_id)
        {
            return Err(Invalid::Network);
        }
        if requirements.asset.parse::<Address>().ok() != Some(token.address) {
            return Err(Invalid::Asset);
        }
        if name != token.name {
            return Err(Invalid::TokenName);
        }
        if version != token.version {
            return Err(Invalid::TokenVersion);
        }
        read
    }

    /// Whether another token is meant, or none at all.
    async fn no_such_asset(&self, requirements: &PaymentRequirements) -> Invalid {
        let Ok(asset) = requirements.asset.parse::<Address>() else { return Invalid::Asset };
        match self.chain.is_contract(asset).await {
            Ok(true) => Invalid::Asset,
            Ok(false) => Invalid::AssetMissing,
            Err(_) => Invalid::ChainUnreachable,
        }
    }

    /// As the token will judge: the key of an account without code, EIP-1271 of one with code.
    async fn check_signature(&self, authorization: &SignedAuthorization) -> Result<(), Invalid> {
        let token = self.chain.token();
        let is_contract = self
            .chain
            .is_contract(authorization.from)
            .await
            .map_err(|_| Invalid::ChainUnreachable)?;
        let good = if is_contract {
            let hash = exact::signing_hash(authorization, token);
            self.chain
                .contract_accepts(authorization.from, hash, authorization.signature.clone())
                .await
                .map_err(|_| Invalid::ChainUnreachable)?
        } else {
            exact::signed_by_payer(authorization, token)
        };
        if good { Ok(()) } else { Err(Invalid::Signature) }
    }

    fn check_terms(
        &self,
        authorization: &SignedAuthorization,
        requirements: &PaymentRequirements,
    ) -> Result<(), Invalid> {
        if requirements.pay_to.parse::<Address>().ok() != Some(authorization.to) {
            return Err(Invalid::Recipient);
        }
        exact::check_window(authorization, self.clock.now())?;
        let price = requirements.amount.parse::<U256>().ok();
        if price.is_none_or(|p| p.is_zero()) || price != Some(authorization.value) {
            return Err(Invalid::Value);
        }
        Ok(())
    }

    async fn check_chain(&self, authorization: &SignedAuthorization) -> Result<(), Invalid> {
        match self.chain.simulate(authorization).await {
            Ok(()) => Ok(()),
            // It reverts, or wants more gas than a payment may have.
            Err(SettlementError::Reverted { .. } | SettlementError::Refused { .. }) => {
                Err(self.diagnose(authorization).await)
            }
            Err(_) => Err(Invalid::ChainUnreachable),
        }
    }

    /// Why the token would refuse.
    async fn diagnose(&self, authorization: &SignedAuthorization) -> Invalid {
        match self.chain.authorization_used(authorization.from, authorization.nonce).await {
            Ok(true) => return Invalid::NonceUsed,
            Ok(false) => {}
            Err(_) => return Invalid::ChainUnreachable,
        }
        match self.chain.balance(authorization.from.into()).await {
            Ok(balance)
                if U256::try_from(balance.minor()).is_ok_and(|b| b < authorization.value) =>
            {
                Invalid::InsufficientBalance
            }
            _ => Invalid::Simulation,
        }
    }

    async fn settle_checked(
        &self,
        authorization: &SignedAuthorization,
    ) -> Result<B256, (Invalid, Option<B256>)> {
        match self.chain.transfer_with_authorization(authorization).await {
            Ok(receipt) => Ok(receipt.transaction),
            // Nothing was sent: it would revert, or the node does not take it.
            Err(
                SettlementError::Reverted { transaction: None, .. }
                | SettlementError::Refused { .. },
            ) => Err((self.diagnose(authorization).await, None)),
            Err(SettlementError::Reverted { transaction, .. }) => {
                Err((Invalid::Transaction, transaction))
            }
            Err(SettlementError::Pending { transaction }) => {
                Err((Invalid::Pending, Some(transaction)))
            }
            Err(error) => {
                tracing::warn!(%error, "a settlement failed");
                Err((Invalid::ChainUnreachable, None))
            }
        }
    }
}

/// Takes a payment off the list of those being settled, however its settlement ends.
struct Settling<'a> {
    list: &'a Mutex<HashSet<(Address, B256)>>,
    payment: (Address, B256),
}

impl Drop for Settling<'_> {
    fn drop(&mut self) {
        self.list.lock().expect("nothing panics under this lock").remove(&self.payment);
    }
}

impl Facilitator for EmbeddedFacilitator {
    fn verify<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>> {
        Box::pin(async move {
            let (payer, checked) = self.check(payment, requirements).await;
            let reason = match checked {
                Ok(authorization) => self.check_chain(&authorization).await.err(),
                Err(reason) => Some(reason),
            };
            Ok(VerifyResponse {
                is_valid: reason.is_none(),
                invalid_reason: reason.map(|r| match r {
                    Invalid::ChainUnreachable => UNSURE.to_string(),
                    reason => reason.code().to_string(),
                }),
                invalid_message: reason.map(|r| r.to_string()),
                payer: payer.map(|p| p.to_string()),
            })
        })
    }

    fn settle<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        Box::pin(async move {
            let (payer, checked) = self.check(payment, requirements).await;
            let settled = match checked {
                Err(reason) => Err((reason, None)),
                Ok(authorization) => {
                    let name = (authorization.from, authorization.nonce);
                    let first =
                        self.settling.lock().expect("nothing panics under this lock").insert(name);
                    if first {
                        let _listed = Settling { list: &self.settling, payment: name };
                        self.settle_checked(&authorization).await
                    } else {
                        Err((Invalid::NonceUsed, None))
                    }
                }
            };
            let (reason, transaction) = match settled {
                Ok(transaction) => (None, Some(transaction)),
                Err((reason, transaction)) => (Some(reason), transaction),
            };
            Ok(SettleResponse {
                success: reason.is_none(),
                error_reason: reason.map(|r| r.code().to_string()),
                error_message: reason.map(|r| r.to_string()),
                payer: payer.map(|p| p.to_string()),
                transaction: transaction.map(|t| t.to_string()).unwrap_or_default(),
                network: requirements.network.clone(),
                amount: reason.is_none().then(|| requirements.amount.clone()),
            })
        })
    }

    fn proves_success(&self) -> bool {
        true
    }
}

/// What the routes share.
#[derive(Clone)]
struct Served {
    facilitator: Arc<EmbeddedFacilitator>,
    places: Arc<Semaphore>,
}

/// Serves a facilitator to others. At most 256 requests are checked or settled at once; more are
/// refused with 503. Requests that cannot be read get a JSON error with a 4xx status.
pub fn router(facilitator: Arc<EmbeddedFacilitator>) -> Router {
    Router::new()
        .route("/verify", post(verify))
        .route("/settle", post(settle))
        .route("/supported", get(supported))
        .route("/health", get(health))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(Served { facilitator, places: Arc::new(Semaphore::new(MAX_AT_ONCE)) })
}

/// A request that is not answered in the protocol's terms.
type Unreadable = (StatusCode, Json<Value>);

fn unreadable(status: StatusCode, code: &str, message: &str) -> Unreadable {
    (status, Json(json!({ "error": code, "message": message })))
}

impl Served {
    /// The request and a place to work on it.
    fn admit(
        self,
        request: Result<Json<FacilitatorRequest>, JsonRejection>,
    ) -> Result<(Arc<EmbeddedFacilitator>, FacilitatorRequest, OwnedSemaphorePermit), Unreadable>
    {
        let Json(request) =
            request.map_err(|r| unreadable(r.status(), "invalid_request", &r.body_text()))?;
        for version in [request.x402_version, request.payment_payload.x402_version] {
            if version != wire::VERSION {
                let message = wire::WireError::Version(version).to_string();
                return Err(unreadable(StatusCode::BAD_REQUEST, "invalid_x402_version", &message));
            }
        }
        let place = self.places.try_acquire_owned().map_err(|_| {
            let message = "too many payments at once; try again in a moment";
            unreadable(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        })?;
        Ok((self.facilitator, request, place))
    }
}

async fn verify(
    State(served): State<Served>,
    request: Result<Json<FacilitatorRequest>, JsonRejection>,
) -> Result<Json<VerifyResponse>, Unreadable> {
    let (facilitator, request, _place) = served.admit(request)?;
    let answer = facilitator.verify(&request.payment_payload, &request.payment_requirements).await;
    Ok(Json(answer.expect("the embedded facilitator always answers")))
}

async fn settle(
    State(served): State<Served>,
    request: Result<Json<FacilitatorRequest>, JsonRejection>,
) -> Result<Json<SettleResponse>, Unreadable> {
    let (facilitator, request, place) = served.admit(request)?;
    // The seller may hang up; the settlement goes on, and the chain tells its end.
    let task = tokio::spawn(async move {
        let _place = place;
        facilitator.settle(&request.payment_payload, &request.payment_requirements).await
    });
    let answer = task.await.map_err(|_| {
        let message = "the settlement broke off; ask the chain what became of it";
        unreadable(StatusCode::INTERNAL_SERVER_ERROR, Invalid::ChainUnreachable.code(), message)
    })?;
    Ok(Json(answer.expect("the embedded facilitator always answers")))
}

async fn supported(State(served): State<Served>) -> Json<Supported> {
    Json(served.facilitator.supported())
}

async fn health(State(served): State<Served>) -> (StatusCode, Json<Value>) {
    match served.facilitator.chain.block_number().await {
        Ok(block) => (StatusCode::OK, Json(json!({ "status": "ok", "block": block }))),
        Err(error) => {
            let body = json!({ "status": "unavailable", "error": error.to_string() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body))
        }
    }
}

/// Somebody else's facilitator, over HTTP.
pub struct RemoteFacilitator {
    base: reqwest::Url,
    http: reqwest::Client,
}

impl RemoteFacilitator {
    /// A facilitator at this address, asked with a bound on each answer.
    pub fn new(base: reqwest::Url, http: reqwest::Client) -> RemoteFacilitator {
        RemoteFacilitator { base, http }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> Result<T, FacilitatorError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Request<'a> {
            x402_version: u32,
            payment_payload: &'a PaymentPayload,
            payment_requirements: &'a PaymentRequirements,
        }
        let wrong = |cause: String| FacilitatorError {
            endpoint: self.base.host_str().unwrap_or("?").to_string(),
            cause,
        };
        let url = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let body = Request {
            x402_version: wire::VERSION,
            payment_payload: payment,
            payment_requirements: requirements,
        };
        let answer = self
            .http
            .post(url)
            .json(&body)
            .timeout(Duration::from_secs(60))
            .send()
            .await
            .map_err(|e| wrong(e.without_url().to_string()))?;
        let status = answer.status();
        let mut bytes = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|e| wrong(e.without_url().to_string()))?);
            if bytes.len() > MAX_ANSWER {
                return Err(wrong("its answer is too long".into()));
            }
        }
        serde_json::from_slice(&bytes).map_err(|e| wrong(format!("status {status}: {e}")))
    }
}

impl Facilitator for RemoteFacilitator {
    fn verify<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<VerifyResponse, FacilitatorError>> {
        Box::pin(self.ask("verify", payment, requirements))
    }

    fn settle<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        Box::pin(self.ask("settle", payment, requirements))
    }
}
