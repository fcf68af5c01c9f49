//! Where a chain is reached: in this process, or over HTTP.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use alloy_json_rpc::{RequestPacket, ResponsePacket, RpcError};
use alloy_network::Ethereum;
use alloy_provider::{Provider, ProviderBuilder, RootProvider};
use alloy_rpc_client::RpcClient;
use alloy_transport::{TransportError, TransportErrorKind, TransportFut};
use tower::Service;

use crate::error::SettlementError;

/// How long one request to a node may take before it counts as unanswered.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A node in this process: it answers JSON-RPC 2.0 requests, single or batched.
///
/// The program hands the embedded chain in through this trait, so that this crate knows no node.
pub trait LocalNode: Send + Sync + 'static {
    /// Answers one request, as the node's HTTP endpoint would.
    fn request(
        &self,
        request: serde_json::Value,
    ) -> Pin<Box<dyn Future<Output = serde_json::Value> + Send>>;
}

/// Where the chain is.
#[derive(Clone)]
pub enum Endpoint {
    /// In this process.
    Local(Arc<dyn LocalNode>),
    /// A node's JSON-RPC over HTTP or HTTPS.
    Http(reqwest::Url),
}

impl Endpoint {
    /// Reads the address of a node.
    ///
    /// # Errors
    /// [`SettlementError::Unreachable`] if the text is no `http` or `https` URL.
    pub fn parse(text: &str) -> Result<Endpoint, SettlementError> {
        let unreachable =
            |cause: String| SettlementError::Unreachable { endpoint: text.to_string(), cause };
        let url = reqwest::Url::parse(text).map_err(|e| unreachable(e.to_string()))?;
        match url.scheme() {
            "http" | "https" => Ok(Endpoint::Http(url)),
            other => Err(unreachable(format!("`{other}` is not spoken here; use http or https"))),
        }
    }

    /// Whether the chain lives in this process.
    pub fn is_local(&self) -> bool {
        matches!(self, Endpoint::Local(_))
    }

    pub(crate) fn provider(&self) -> Result<RootProvider<Ethereum>, SettlementError> {
        let client = match self {
            Endpoint::Local(node) => RpcClient::new(LocalTransport(node.clone()), true),
            Endpoint::Http(url) => {
                // Two crates in the house speak TLS; whoever comes first chooses for both.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = reqwest::Client::builder()
                    .timeout(REQUEST_TIMEOUT)
                    .no_proxy()
                    // A node that moved is told to us by its owner, not by itself.
                    .redirect(reqwest::redirect::Policy::none())
                    .build()
                    .map_err(|e| SettlementError::Unreachable {
                        endpoint: self.to_string(),
                        cause: e.to_string(),
                    })?;
                let local = url.host_str().is_some_and(|h| h == "localhost" || h == "127.0.0.1");
                RpcClient::new(alloy_transport_http::Http::with_client(client, url.clone()), local)
            }
        };
        Ok(ProviderBuilder::new()
            .disable_recommended_fillers()
            .connect_client(client)
            .root()
            .clone())
    }
}

impl fmt::Display for Endpoint {
    /// Host and port only: an RPC URL's path often is a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Local(_) => f.write_str("this process"),
            Endpoint::Http(url) => {
                write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or("?"))?;
                url.port().map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Carries alloy's requests to a node in this process.
#[derive(Clone)]
struct LocalTransport(Arc<dyn LocalNode>);

impl Service<RequestPacket> for LocalTransport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, packet: RequestPacket) -> TransportFut<'static> {
        let node = self.0.clone();
        Box::pin(async move {
            let request = serde_json::to_value(&packet).map_err(TransportError::ser_err)?;
            let answer = tokio::time::timeout(REQUEST_TIMEOUT, node.request(request)).await;
            let silent = || TransportErrorKind::custom_str("it said nothing for too long");
            let answer = answer.map_err(|_| silent())?;
            serde_json::from_value(answer.clone())
                .map_err(|e| TransportError::deser_err(e, answer.to_string()))
        })
    }
}

/// Turns a transport's failure into ours, naming what was asked.
pub(crate) fn failure(
    endpoint: &Endpoint,
    what: &'static str,
    error: RpcError<TransportErrorKind>,
) -> SettlementError {
    match error {
        RpcError::ErrorResp(payload) => {
            let data = payload
                .data
                .as_ref()
                .and_then(|raw| serde_json::from_str::<alloy_primitives::Bytes>(raw.get()).ok())
                .unwrap_or_default();
            // Code 3 is a revert; some nodes answer a revert with -32000 and the data.
            if payload.code == 3 || (!data.is_empty() && payload.message.contains("revert")) {
                return SettlementError::Reverted {
                    reason: alloy_sol_types::decode_revert_reason(&data)
                        .unwrap_or_else(|| payload.message.to_string()),
                    data,
                    transaction: None,
                };
            }
            SettlementError::Refused {
                what,
                code: payload.code,
                message: payload.message.to_string(),
            }
        }
        RpcError::Transport(e) => SettlementError::Unreachable {
            endpoint: endpoint.to_string(),
            // reqwest names the whole URL; a key may be in it.
            cause: redact(endpoint, &root_cause(&e)),
        },
        other => SettlementError::Unreadable { what, cause: redact(endpoint, &other.to_string()) },
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn redact(endpoint: &Endpoint, text: &str) -> String {
    let shown: String = text.chars().take(300).collect();
    match endpoint {
        Endpoint::Http(url) => shown.replace(url.as_str(), &endpoint.to_string()),
        Endpoint::Local(_) => shown,
    }
}
