//! Who brings to the chain what is paid here, and in which ways that lets offers be paid.
//!
//! Our own facilitator does, with the home's keys, unless one elsewhere was named. Of that one it is
//! asked at the start what it settles on this chain: payments up to a most need to know from which
//! address it sends, escrowed ones who their operator is, which then does what is signed by the seller.
//! What it does not list, or not so that it can be understood, is not offered. It is believed in
//! nothing that the chain does not show.

use std::sync::Arc;

use alloy_primitives::Address;
use payments::channel::Terms;
use payments::facilitator::RemoteFacilitator;
use payments::wire::{self, Supported};
use payments::{EmbeddedFacilitator, EscrowTerms, Facilitator, Way};

use super::WITHDRAW_DELAY;
use crate::cli::Place;
use crate::failure::Failure;

/// Who settles what is sold here.
pub struct Carrier {
    facilitator: Arc<dyn Facilitator>,
    /// The address that it settles payments up to a most from, where that is known.
    sender: Option<Address>,
    /// The operator of escrowed payments, where that is known.
    operator: Option<Address>,
    /// Whether the operator is elsewhere, and does only what the seller has signed.
    by_signature: bool,
}

impl Carrier {
    /// The facilitator that was named, or our own, which sends from `sender`; on the chain of this id.
    ///
    /// # Errors
    /// If the one that was named is no web address, or could not reach this chain.
    pub async fn of(
        place: &Place,
        own: Arc<EmbeddedFacilitator>,
        sender: Address,
        chain_id: u64,
        http: reqwest::Client,
    ) -> Result<Carrier, Failure> {
        let Some(url) = &place.facilitator else {
            let (sender, operator) = (Some(sender), Some(sender));
            return Ok(Carrier { facilitator: own, sender, operator, by_signature: false });
        };
        if place.rpc.is_none() {
            return Err(Failure::misuse(
                "`--facilitator` goes with `--rpc`: nobody elsewhere settles on the embedded chain",
            ));
        }
        let base = reqwest::Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| Failure::misuse(format!("`{url}` is no facilitator's web address")))?;
        let facilitator = Arc::new(RemoteFacilitator::new(base, http));
        let told = facilitator.supported().await;
        if let Err(error) = &told {
            tracing::warn!(%error, "what is sold here is offered by `exact` and from channels only");
        }
        let named =
            |scheme, member| told.as_ref().ok().and_then(|s| named(s, chain_id, scheme, member));
        let sender = named("upto", "facilitatorAddress");
        let operator = named("auth-capture", "captureAuthorizer");
        Ok(Carrier { facilitator, sender, operator, by_signature: true })
    }

    /// Who is asked to verify and to settle.
    pub fn facilitator(&self) -> Arc<dyn Facilitator> {
        self.facilitator.clone()
    }

    /// How a fixed price is paid: at once by the token, at once by Permit2, from a channel, or
    /// through an escrow.
    pub fn fixed_price(&self, seller: &mandates::Key) -> Vec<Way> {
        let mut ways = vec![Way::Authorization, Way::Permit, Way::Channel(channel_terms(seller))];
        ways.extend(self.escrow(seller));
        ways
    }

    /// How a price by use is paid: up to the most, from a channel, or through an escrow.
    pub fn by_use(&self, seller: &mandates::Key) -> Vec<Way> {
        let upto = self.sender.map(|facilitator| Way::UpTo { facilitator });
        let mut ways: Vec<Way> = upto.into_iter().collect();
        ways.push(Way::Channel(channel_terms(seller)));
        ways.extend(self.escrow(seller));
        ways
    }

    fn escrow(&self, seller: &mandates::Key) -> Option<Way> {
        let mut terms = EscrowTerms::new(self.operator?);
        if self.by_signature {
            terms.receiver_authorizer = seller.address();
        }
        Some(Way::Escrow(terms))
    }
}

/// The address that a facilitator tells for a scheme on this chain.
fn named(told: &Supported, chain_id: u64, scheme: &str, member: &str) -> Option<Address> {
    let network = wire::network(chain_id);
    told.kinds
        .iter()
        .filter(|kind| {
            kind.x402_version == wire::VERSION && kind.scheme == scheme && kind.network == network
        })
        .find_map(|kind| kind.extra.as_ref()?.get(member)?.as_str()?.parse::<Address>().ok())
        .filter(|address| !address.is_zero())
}

/// A seller's channels: its own key claims, and a buyer who leaves waits a day for that.
pub fn channel_terms(seller: &mandates::Key) -> Terms {
    Terms {
        receiver_authorizer: seller.address(),
        withdraw_delay: WITHDRAW_DELAY.as_secs(),
        by_permit: false,
    }
}
