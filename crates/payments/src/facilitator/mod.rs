//! The facilitator: checks a signed payment and carries it to the chain.
//!
//! [`Facilitator`] is what a gate needs of one; [`EmbeddedFacilitator`] settles by itself, one
//! file a kind of payment, and is also served to others by [`router`], under `/verify`, `/settle`,
//! `/supported` and `/health`; [`RemoteFacilitator`] asks somebody else's over HTTP.
//!
//! The checks are made in the order of the reference, so that the first reason is the same. A
//! payment that is no good is an answer (HTTP 200), not an error.

mod auth_capture;
mod authorization;
mod by_permit;
mod channel;
pub mod discovery;
mod remote;
mod serve;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use alloy_primitives::{Address, B256};
use alloy_signer_local::PrivateKeySigner;
use futures_util::future::BoxFuture;
use ledger::Reference;
use money::Clock;
use serde_json::{Map, json};
use settlement::Settlement;
use thiserror::Error;

pub use discovery::Catalogue;
pub use remote::RemoteFacilitator;
pub use serve::router;

use crate::auth_capture::{Invalid as EscrowInvalid, SCHEME as ESCROW};
use crate::channel::{ChannelInvalid, Domain, SCHEME as CHANNELS};
use crate::escrow::EscrowAgent;
use crate::exact::{self, Invalid};
use crate::extensions::listing;
use crate::permit;
use crate::sponsoring;
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

/// Whether a reason for not settling leaves open that the money moved all the same.
pub(crate) fn is_open(reason: &str) -> bool {
    let by_token = Invalid::ALL.iter().filter(|r| r.is_open()).any(|r| r.code() == reason);
    let by_permit = permit::Invalid::ALL.iter().filter(|r| r.is_open());
    by_token
        || by_permit.into_iter().any(|r| r.code(false) == reason)
        || EscrowInvalid::ALL.iter().any(|r| r.is_open() && r.code() == reason)
}

/// Which of the two kinds of payment it is: `exact` goes by its payload, as in the reference.
fn is_by_permit(payment: &PaymentPayload, requirements: &PaymentRequirements) -> bool {
    requirements.scheme == permit::UPTO || permit::is_permit(&payment.payload)
}

/// A facilitator that settles on the chain itself, in one token.
pub struct EmbeddedFacilitator {
    chain: Settlement,
    clock: Arc<dyn Clock>,
    /// Who may be asked to make a payer's wallet.
    factories: Vec<Address>,
    /// Sellers of this process, for whose escrowed payments no stranger has a say.
    payees: Vec<Address>,
    /// Payments that are being settled now: the same one twice at once is refused the second time.
    settling: Mutex<HashSet<Reference>>,
    /// What can be bought, if that is listed here.
    catalogue: Option<Arc<Catalogue>>,
    /// What is signed for channels of this chain.
    channels: Domain,
    /// Signs claims and refunds for sellers who let it.
    authorizer: Option<PrivateKeySigner>,
    /// Moves what lies in escrow.
    escrow: EscrowAgent,
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
            escrow: EscrowAgent::new(chain.clone()),
            chain,
            clock,
            factories: Vec::new(),
            payees: Vec::new(),
            settling: Mutex::default(),
            channels,
            authorizer: None,
            open: Mutex::default(),
            catalogue: None,
        }
    }

    /// The same facilitator, which lists what was paid for through it.
    pub fn listing(self, catalogue: Arc<Catalogue>) -> EmbeddedFacilitator {
        EmbeddedFacilitator { catalogue: Some(catalogue), ..self }
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

    /// Who moves what lies in escrow here; in this process, by the same hand.
    pub fn escrow_agent(&self) -> EscrowAgent {
        self.escrow.clone()
    }

    /// What it settles.
    pub fn supported(&self) -> Supported {
        let mut signers = Map::new();
        let senders: Vec<_> = self.chain.senders().iter().map(Address::to_string).collect();
        signers.insert("eip155:*".into(), json!(senders));
        let kind = |scheme: &str, extra| SupportedKind {
            x402_version: wire::VERSION,
            scheme: scheme.into(),
            network: wire::network(self.chain.token().chain_id),
            extra,
        };
        let mut settles = Map::new();
        settles.insert(permit::FACILITATOR.into(), json!(self.chain.sender().to_string()));
        let mut operates = Map::new();
        operates.insert("captureAuthorizer".into(), json!(self.escrow.operator().to_string()));
        let mut kinds = vec![
            kind(exact::SCHEME, None),
            kind(permit::UPTO, Some(settles)),
            kind(ESCROW, Some(operates)),
        ];
        if let Some(authorizer) = &self.authorizer {
            let mut extra = Map::new();
            extra.insert("receiverAuthorizer".into(), json!(authorizer.address().to_string()));
            kinds.push(kind(CHANNELS, Some(extra)));
        }
        let mut extensions =
            vec![sponsoring::BY_SIGNATURE.to_string(), sponsoring::BY_TRANSACTION.to_string()];
        extensions.extend(self.catalogue.iter().map(|_| listing::NAME.to_string()));
        Supported { kinds, extensions, signers }
    }

    async fn settle_for(
        &self,
        asker: Asker,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> SettleResponse {
        let response = match requirements.scheme.as_str() {
            CHANNELS => self.settle_channel(payment, requirements, asker).await,
            ESCROW => self.settle_escrow(payment, requirements, asker).await,
            _ if is_by_permit(payment, requirements) => {
                self.settle_permit(payment, requirements).await
            }
            _ => self.settle_authorization(payment, requirements).await,
        };
        // What lies in a channel or an escrow is counted there, when it is earned.
        if requirements.scheme != CHANNELS
            && requirements.scheme != ESCROW
            && let Some(catalogue) = &self.catalogue
        {
            catalogue.count(payment, requirements, &response);
        }
        response
    }

    /// Lets these contracts make the wallets of payers whose wallet does not exist yet (EIP-6492).
    /// Others are refused: whoever pays for the transaction decides what it may call.
    #[must_use]
    pub fn with_factories(self, factories: Vec<Address>) -> EmbeddedFacilitator {
        EmbeddedFacilitator { factories, ..self }
    }

    /// Names the sellers of this process. Their escrowed payments are taken in, captured and given
    /// back at their own gate's word alone: a payer chooses whom its salt names, so that signature
    /// proves nothing of the seller, and flow and amount are in no signature.
    #[must_use]
    pub fn with_payees(self, payees: Vec<Address>) -> EmbeddedFacilitator {
        EmbeddedFacilitator { payees, ..self }
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
                ESCROW => self.verify_escrow(payment, requirements).await,
                _ if is_by_permit(payment, requirements) => {
                    self.verify_permit(payment, requirements).await
                }
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
