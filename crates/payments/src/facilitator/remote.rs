//! Somebody else's facilitator, asked over HTTP.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Facilitator, FacilitatorError};
use crate::wire::{
    self, PaymentPayload, PaymentRequirements, SettleResponse, Supported, VerifyResponse,
};

/// The largest answer of another facilitator that is read, in bytes.
const MAX_ANSWER: usize = 128 * 1024;
/// How long it may take to check or settle a payment.
const SETTLING: Duration = Duration::from_secs(60);
/// How long it may take to tell what it settles.
const LOOK: Duration = Duration::from_secs(10);

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

    /// What it settles, by its own word (`/supported`).
    ///
    /// # Errors
    /// If it does not answer within ten seconds, or not so that it can be understood.
    pub async fn supported(&self) -> Result<Supported, FacilitatorError> {
        let url = format!("{}/supported", self.base.as_str().trim_end_matches('/'));
        self.read(self.http.get(url).timeout(LOOK)).await
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
        let url = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let body = Request {
            x402_version: wire::VERSION,
            payment_payload: payment,
            payment_requirements: requirements,
        };
        self.read(self.http.post(url).json(&body).timeout(SETTLING)).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, FacilitatorError> {
        let wrong = |cause: String| FacilitatorError {
            endpoint: self.base.host_str().unwrap_or("?").to_string(),
            cause,
        };
        let answer = request.send().await.map_err(|e| wrong(e.without_url().to_string()))?;
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
