//! x402: paying for a request over HTTP, from the quote to the entry in both books.
//!
//! A seller puts a [`Gate`] before any service. A [`Buyer`] reads the quote, asks its mandate,
//! holds the money, signs and pays. A [`Facilitator`] checks and settles on a chain. Between them
//! is only the protocol ([`wire`], x402 v2), so each of the three can be somebody else's. What is
//! signed is an [`Order`]: to the token itself ([`exact`]), through Permit2 ([`permit`]), or into an
//! escrow ([`auth_capture`]), for the price or for up to the price.
//!
//! What it never does (invariants 2 and 3): start work without a hold, start it twice for one
//! payment, or guess whether money moved. The ledger's holds are the arbiter: a payment's
//! [`ledger::Reference`] names its hold, a second hold of that name is the same payment, and one
//! with another digest is another request, which is refused.
//!
//! Start at [`gate`] for the seller's way of a payment and at [`buyer`] for the other side;
//! [`reconcile`] is what happens when either was interrupted.

#![deny(clippy::float_arithmetic)]

pub mod a2a;
pub mod auth_capture;
pub mod buyer;
pub mod channel;
mod documents;
mod envelope;
pub mod escrow;
pub mod exact;
pub mod extensions;
pub mod facilitator;
pub mod gate;
pub mod mcp;
pub mod mpp;
pub mod offer;
pub mod order;
pub mod payout;
pub mod permit;
pub mod proxy;
pub mod reconcile;
pub mod sponsoring;
pub mod wire;

pub use auth_capture::EscrowTerms;
pub use buyer::{
    AgentNews, AgentRequest, Bought, BuyError, Buyer, BuyerLimits, FoundAgent, Paid, Purchase,
    Watch,
};
pub use escrow::EscrowAgent;
pub use extensions::Extras;
pub use facilitator::{EmbeddedFacilitator, Facilitator, FacilitatorError, RemoteFacilitator};
pub use gate::{Charge, Gate, GateChannels, GateLayer, GateLimits, GateParts};
pub use mpp::Mpp;
pub use offer::{Offer, PaymentFlow, Way};
pub use order::Order;
pub use reconcile::{Bookkeeper, Break, ReconcileError, Reconciled, opening_block};
