//! Somebody else's facilitator, asked over HTTP.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Facilitator, FacilitatorError};
use crate::wire::{self, PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse};

/// The largest answer of another facilitator that is read, in bytes.
const MAX_ANSWER: usize = 128 * 1024;

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
