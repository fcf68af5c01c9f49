//! Who brings to the chain what is paid here, and in which ways that lets offers be paid.
//!
//! Our own facilitator does, with the home's keys, unless one elsewhere was named. Of that one it is
//! not known from which address it sends, nor is it an escrow's operator here: so what is sold by it
//! is paid at once or from a channel. It is believed in nothing that the chain does not show.

use std::sync::Arc;

use alloy_primitives::Address;
use payments::channel::Terms;
use payments::facilitator::RemoteFacilitator;
use payments::{EmbeddedFacilitator, EscrowTerms, Facilitator, Way};

use super::WITHDRAW_DELAY;
use crate::cli::Place;
use crate::failure::Failure;

/// Who settles what is sold here.
pub struct Carrier {
    facilitator: Arc<dyn Facilitator>,
    /// The address that it sends from, where that is known.
    sender: Option<Address>,
}

impl Carrier {
    /// The facilitator that was named, or our own, which sends from `sender`.
    ///
    /// # Errors
    /// If the one that was named is no web address, or could not reach this chain.
    pub fn of(
        place: &Place,
        own: Arc<EmbeddedFacilitator>,
        sender: Address,
        http: reqwest::Client,
    ) -> Result<Carrier, Failure> {
        let Some(url) = &place.facilitator else {
            return Ok(Carrier { facilitator: own, sender: Some(sender) });
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
        Ok(Carrier { facilitator, sender: None })
    }

    /// Who is asked to verify and to settle.
    pub fn facilitator(&self) -> Arc<dyn Facilitator> {
        self.facilitator.clone()
    }

    /// How a fixed price is paid: at once by the token, at once by Permit2, from a channel, or
    /// through an escrow.
    pub fn fixed_price(&self, seller: &mandates::Key) -> Vec<Way> {
        let mut ways = vec![Way::Authorization, Way::Permit, Way::Channel(channel_terms(seller))];
        ways.extend(self.sender.map(|operator| Way::Escrow(EscrowTerms::new(operator))));
        ways
    }

    /// How a price by use is paid: up to the most, from a channel, or through an escrow.
    pub fn by_use(&self, seller: &mandates::Key) -> Vec<Way> {
        let mut ways = vec![Way::Channel(channel_terms(seller))];
        if let Some(sender) = self.sender {
            ways.insert(0, Way::UpTo { facilitator: sender });
            ways.push(Way::Escrow(EscrowTerms::new(sender)));
        }
        ways
    }
}

/// A seller's channels: its own key claims, and a buyer who leaves waits a day for that.
pub fn channel_terms(seller: &mandates::Key) -> Terms {
    Terms {
        receiver_authorizer: seller.address(),
        withdraw_delay: WITHDRAW_DELAY.as_secs(),
        by_permit: false,
    }
}
