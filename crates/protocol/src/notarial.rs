//! What a seller signs beside payments: its offers and its receipts (EIP-712).
//!
//! Source: `specs/extensions/extension-offer-and-receipt.md` of the x402 Foundation, sections 3.2,
//! 4.3 and 5.3: both domains have version `1` and chain id 1 whatever chain is paid on, and no
//! contract. So nothing that is signed here can be mistaken for an order to move money.

use alloy_primitives::U256;
use alloy_sol_types::{Eip712Domain, sol};

sol! {
    /// The terms that a seller commits to.
    #[derive(Debug, PartialEq, Eq)]
    struct Offer {
        /// The version of this payload, 1.
        uint256 version;
        /// What is for sale.
        string resourceUrl;
        /// The payment scheme.
        string scheme;
        /// A CAIP-2 chain.
        string network;
        /// The token's address.
        string asset;
        /// Who is paid.
        string payTo;
        /// Minor units, as a decimal string.
        string amount;
        /// Unix seconds; 0 for no end.
        uint256 validUntil;
    }

    /// That a payment was made and the work delivered.
    #[derive(Debug, PartialEq, Eq)]
    struct Receipt {
        /// The version of this payload, 1.
        uint256 version;
        /// A CAIP-2 chain.
        string network;
        /// What was bought.
        string resourceUrl;
        /// Who paid.
        string payer;
        /// Unix seconds.
        uint256 issuedAt;
        /// The transaction that paid; empty if it is not told.
        string transaction;
    }
}

/// The domain of [`Offer`].
pub fn offer_domain() -> Eip712Domain {
    domain("x402 offer")
}

/// The domain of [`Receipt`].
pub fn receipt_domain() -> Eip712Domain {
    domain("x402 receipt")
}

fn domain(name: &'static str) -> Eip712Domain {
    Eip712Domain::new(Some(name.into()), Some("1".into()), Some(U256::ONE), None, None)
}
