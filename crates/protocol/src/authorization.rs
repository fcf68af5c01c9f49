//! What a payer signs to move dollars: the typed structs of EIP-3009 under an EIP-712 domain.
//!
//! A signer hashes `order.eip712_signing_hash(&domain)` ([`alloy_sol_types::SolStruct`]) and signs
//! that. The domain binds the order to one token on one chain, so a signature for one is worthless
//! on another.

use alloy_primitives::{Address, U256};
use alloy_sol_types::{Eip712Domain, sol};

use crate::addresses::MACHINA_DOLLAR;

/// The dollar's full name, which is also the name of its EIP-712 domain.
pub const DOLLAR_NAME: &str = "Machina Dollar";
/// The dollar's ticker.
pub const DOLLAR_SYMBOL: &str = "MUSD";
/// The version of the dollar's EIP-712 domain; its contract answers it to `version()`.
pub const DOLLAR_VERSION: &str = "1";
/// Digits after the point: a minor unit is a millionth of a dollar.
pub const DOLLAR_DECIMALS: u8 = 6;

sol! {
    /// The payer's order to move `value` to `to`; anyone may carry it to the chain (EIP-3009).
    #[derive(Debug, PartialEq, Eq)]
    struct TransferWithAuthorization {
        /// The payer, who signs.
        address from;
        /// The payee.
        address to;
        /// Minor units.
        uint256 value;
        /// Unix seconds; good only in blocks later than this.
        uint256 validAfter;
        /// Unix seconds; good only in blocks earlier than this.
        uint256 validBefore;
        /// Chosen by the payer at random; an order is good once.
        bytes32 nonce;
    }

    /// As [`TransferWithAuthorization`], but only the payee may carry it to the chain (EIP-3009).
    #[derive(Debug, PartialEq, Eq)]
    struct ReceiveWithAuthorization {
        /// The payer, who signs.
        address from;
        /// The payee, and the only one who may send the transaction's call.
        address to;
        /// Minor units.
        uint256 value;
        /// Unix seconds; good only in blocks later than this.
        uint256 validAfter;
        /// Unix seconds; good only in blocks earlier than this.
        uint256 validBefore;
        /// Chosen by the payer at random; an order is good once.
        bytes32 nonce;
    }

    /// Takes back the unused order that has this nonce (EIP-3009).
    #[derive(Debug, PartialEq, Eq)]
    struct CancelAuthorization {
        /// Whose order it is, who signs.
        address authorizer;
        /// The order's nonce.
        bytes32 nonce;
    }
}

/// The EIP-712 domain of a token: its name and version, as the token itself tells them, on the
/// chain with this id, at the address `token`.
pub fn dollar_domain(name: &str, version: &str, chain_id: u64, token: Address) -> Eip712Domain {
    Eip712Domain::new(
        Some(name.to_owned().into()),
        Some(version.to_owned().into()),
        Some(U256::from(chain_id)),
        Some(token),
        None,
    )
}

/// The domain of the Machina Dollar that genesis puts on the embedded chain with this id.
pub fn embedded_dollar_domain(chain_id: u64) -> Eip712Domain {
    dollar_domain(DOLLAR_NAME, DOLLAR_VERSION, chain_id, MACHINA_DOLLAR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;
    use alloy_sol_types::SolStruct;

    #[test]
    fn the_type_hashes_are_those_of_eip_3009() {
        // EIP-3009 lists them as constants of its reference code.
        let zero = (Address::ZERO, U256::ZERO);
        let transfer = TransferWithAuthorization {
            from: zero.0,
            to: zero.0,
            value: zero.1,
            validAfter: zero.1,
            validBefore: zero.1,
            nonce: Default::default(),
        };
        let receive = ReceiveWithAuthorization {
            from: zero.0,
            to: zero.0,
            value: zero.1,
            validAfter: zero.1,
            validBefore: zero.1,
            nonce: Default::default(),
        };
        let cancel = CancelAuthorization { authorizer: zero.0, nonce: Default::default() };
        assert_eq!(
            transfer.eip712_type_hash(),
            b256!("0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267")
        );
        assert_eq!(
            receive.eip712_type_hash(),
            b256!("0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8")
        );
        assert_eq!(
            cancel.eip712_type_hash(),
            b256!("0x158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429")
        );
    }
}
