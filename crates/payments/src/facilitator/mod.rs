//! The facilitator: checks a signed payment and carries it to the chain.
//!
//! [`Facilitator`] is what a gate needs of one; [`EmbeddedFacilitator`] settles by itself, one
//! file a kind of payment, and is also served to others by [`router`], under `/verify`, `/settle`,
//! `/supported` and `/health`; [`RemoteFacilitator`] asks somebody else's over HTTP.
//!
//! The checks are made in the order of the reference, so that the first reason is the same. A
//! payment that is no good is an answer (HTTP 200), not an error.

mod authorization;
mod channel;
mod remote;
mod serve;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use alloy_primitives::B256;
use alloy_signer_local::PrivateKeySigner;
use futures_util::future::BoxFuture;
use ledger::Reference;
use money::Clock;
use serde_json::{Map, json};
use settlement::Settlement;
use thiserror::Error;

pub use remote::RemoteFacilitator;
pub use serve::router;

use crate::channel::{ChannelInvalid, Domain, SCHEME as CHANNELS};
use crate::exact::{self, Invalid};
use crate::wire::{
    self, PaymentPayload, PaymentRequirements, SettleResponse, Supported, SupportedKind,
    VerifyResponse,
};

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
    reason == UNSURE
        || reason == Invalid::ChainUnreachable.code()
        || reason == ChannelInvalid::ReadFailed.code()
}

/// A facilitator that settles on the chain itself, in one token.
pub struct EmbeddedFacilitator {
    chain: Settlement,
    clock: Arc<dyn Clock>,
    /// Payments that are being settled now: the same one twice at once is refused the second time.
    settling: Mutex<HashSet<Reference>>,
    /// What is signed for channels of this chain.
    channels: Domain,
    /// Signs claims and refunds for sellers who let it.
    authorizer: Option<PrivateKeySigner>,
    /// Transactions in channels of which it was not known whether they are mined.
    open: Mutex<HashMap<Reference, B256>>,
}

/// Who asks for a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// A seller in this process.
    Here,
    /// Anybody who reaches the served facilitator.
    Stranger,
}

impl EmbeddedFacilitator {
    /// A facilitator on this chain, for its token.
    pub fn new(chain: Settlement, clock: Arc<dyn Clock>) -> EmbeddedFacilitator {
        let channels = Domain::new(chain.token().chain_id);
        EmbeddedFacilitator {
            chain,
            clock,
            settling: Mutex::default(),
            channels,
            authorizer: None,
            open: Mutex::default(),
        }
    }

    /// With a key that signs claims and refunds for channels that name it as their receiver
    /// authorizer. `/supported` announces it, and with it that channels are settled here.
    ///
    /// Claims are signed for anybody: they only bring a receiver what a payer signed. Refunds are
    /// signed for sellers in this process alone: anybody else could have a channel's money sent
    /// back before its vouchers are claimed, so a stranger brings the seller's own signature.
    pub fn with_receiver_authorizer(self, signer: PrivateKeySigner) -> EmbeddedFacilitator {
        EmbeddedFacilitator { authorizer: Some(signer), ..self }
    }

    /// What it settles.
    pub fn supported(&self) -> Supported {
        let mut signers = Map::new();
        signers.insert("eip155:*".into(), json!([self.chain.sender().to_string()]));
        let kind = |scheme: &str, extra| SupportedKind {
            x402_version: wire::VERSION,
            scheme: scheme.into(),
            network: wire::network(self.chain.token().chain_id),
            extra,
        };
        let mut kinds = vec![kind(exact::SCHEME, None)];
        if let Some(authorizer) = &self.authorizer {
            let mut extra = Map::new();
            extra.insert("receiverAuthorizer".into(), json!(authorizer.address().to_string()));
            kinds.push(kind(CHANNELS, Some(extra)));
        }
        Supported { kinds, extensions: Vec::new(), signers }
    }

    async fn settle_for(
        &self,
        asker: Asker,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> SettleResponse {
        match requirements.scheme.as_str() {
            CHANNELS => self.settle_channel(payment, requirements, asker).await,
            _ => self.settle_authorization(payment, requirements).await,
        }
    }

    /// Puts a payment on the list of those being settled; `None` if it is there.
    fn begin_settling(&self, payment: Reference) -> Option<Settling<'_>> {
        let first = self.settling.lock().expect("nothing panics under this lock").insert(payment);
        first.then(|| Settling { list: &self.settling, payment })
    }
}

/// Takes a payment off the list of those being settled, however its settlement ends.
struct Settling<'a> {
    list: &'a Mutex<HashSet<Reference>>,
    payment: Reference,
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
            Ok(match requirements.scheme.as_str() {
                CHANNELS => self.verify_channel(payment, requirements).await,
                _ => self.verify_authorization(payment, requirements).await,
            })
        })
    }

    fn settle<'a>(
        &'a self,
        payment: &'a PaymentPayload,
        requirements: &'a PaymentRequirements,
    ) -> BoxFuture<'a, Result<SettleResponse, FacilitatorError>> {
        Box::pin(async move { Ok(self.settle_for(Asker::Here, payment, requirements).await) })
    }

    fn proves_success(&self) -> bool {
        true
    }
}
