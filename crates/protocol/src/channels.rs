//! Payment channels of x402's scheme `batch-settlement`: how a channel is named, what is signed in
//! it, and what its contracts begin with.
//!
//! A payer deposits once ([`deposit_nonce`], [`DepositPermit`]), signs a [`Voucher`] with a growing
//! total for each purchase, and the seller's side signs a [`ClaimBatch`] or a [`Refund`]. All are
//! hashed as `order.eip712_signing_hash(&channel_domain(chain_id))` ([`SolStruct`]), except for the
//! deposit's permit, which is Permit2's ([`crate::permit2::permit2_domain`]).
//!
//! Types, domain and encodings are those of the scheme's specification
//! (`specs/schemes/batch-settlement/scheme_batch_settlement_evm.md` of
//! github.com/x402-foundation/x402) and of its SDK, `@x402/evm`. The tests compare hashes with
//! values that the SDK computed.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, SolValue, sol};

use crate::ProtocolError;
use crate::addresses::{
    BATCH_SETTLEMENT, ERC3009_DEPOSIT_COLLECTOR, PERMIT2, PERMIT2_DEPOSIT_COLLECTOR,
};
use crate::artifact::{Artifact, eip712_immutables};
use crate::genesis::{GenesisAccount, contract};

/// What a channel is: payer, payerAuthorizer (whose key signs vouchers; zero if the payer itself
/// does), receiver, receiverAuthorizer (who signs claims and refunds), token, withdrawDelay in
/// seconds, salt. It is the contract's own struct and also EIP-712's type.
pub use crate::bindings::x402BatchSettlement::ChannelConfig;

/// The name of the channels' EIP-712 domain.
pub const CHANNELS_NAME: &str = "x402 Batch Settlement";
/// The version of the channels' EIP-712 domain.
pub const CHANNELS_VERSION: &str = "1";
/// The shortest delay of a withdrawal, in seconds: 15 minutes.
pub const MIN_WITHDRAW_DELAY_SECONDS: u64 = 15 * 60;
/// The longest delay of a withdrawal, in seconds: 30 days.
pub const MAX_WITHDRAW_DELAY_SECONDS: u64 = 30 * 24 * 60 * 60;

const SETTLEMENT_ARTIFACT: &str =
    include_str!("../../../contracts/artifacts/x402BatchSettlement.json");
const ERC3009_COLLECTOR_ARTIFACT: &str =
    include_str!("../../../contracts/artifacts/ERC3009DepositCollector.json");
const PERMIT2_COLLECTOR_ARTIFACT: &str =
    include_str!("../../../contracts/artifacts/Permit2DepositCollector.json");

sol! {
    /// The payer's word: of this channel, up to this much in total may be claimed.
    #[derive(Debug, PartialEq, Eq)]
    struct Voucher {
        /// The channel, by [`channel_id`].
        bytes32 channelId;
        /// Minor units, of all purchases in the channel together.
        uint128 maxClaimableAmount;
    }

    /// The seller's word: this much of what is unclaimed goes back to the payer.
    #[derive(Debug, PartialEq, Eq)]
    struct Refund {
        /// The channel, by [`channel_id`].
        bytes32 channelId;
        /// What the contract answers to `refundNonce` before this refund.
        uint256 nonce;
        /// Minor units; the contract gives less if less is unclaimed.
        uint128 amount;
    }

    /// One channel of a [`ClaimBatch`].
    #[derive(Debug, PartialEq, Eq)]
    struct ClaimEntry {
        /// The channel, by [`channel_id`].
        bytes32 channelId;
        /// As in the payer's [`Voucher`], which goes with it.
        uint128 maxClaimableAmount;
        /// The channel's claims in total afterwards, in minor units.
        uint128 totalClaimed;
    }

    /// The seller's word: these totals are to be claimed, in this order, whoever carries them.
    #[derive(Debug, PartialEq, Eq)]
    struct ClaimBatch {
        /// The channels, which must have one `receiverAuthorizer`, who signs.
        ClaimEntry[] claims;
    }

    /// What a Permit2 signature may move at most.
    #[derive(Debug, PartialEq, Eq)]
    struct TokenPermissions {
        /// The ERC-20.
        address token;
        /// Minor units.
        uint256 amount;
    }

    /// Binds a Permit2 signature to a channel.
    #[derive(Debug, PartialEq, Eq)]
    struct DepositWitness {
        /// The channel, by [`channel_id`].
        bytes32 channelId;
    }

    /// The payer's word to Permit2: the spender may move this into the channel.
    #[derive(Debug, PartialEq, Eq)]
    struct PermitWitnessTransferFrom {
        /// The token, and exactly the deposit's amount.
        TokenPermissions permitted;
        /// The collector, [`PERMIT2_DEPOSIT_COLLECTOR`].
        address spender;
        /// Chosen by the payer; good once.
        uint256 nonce;
        /// The last second in which it is good, Unix.
        uint256 deadline;
        /// The channel.
        DepositWitness witness;
    }
}

sol! {
    /// The payer's word to the gate, and not to the contract: the voucher for this total in this
    /// channel pays for one request and no other.
    #[derive(Debug, PartialEq, Eq)]
    struct RequestBinding {
        /// The channel, by [`channel_id`].
        bytes32 channelId;
        /// As in the [`Voucher`] that goes with it.
        uint128 maxClaimableAmount;
        /// The request's digest.
        bytes32 request;
    }
}

/// The domain of a [`RequestBinding`] on the chain with this id. It has a name of its own, so that
/// no contract takes what is signed here for something else.
pub fn binding_domain(chain_id: u64) -> Eip712Domain {
    Eip712Domain::new(
        Some("x402 Request Binding".into()),
        Some("1".into()),
        Some(U256::from(chain_id)),
        Some(BATCH_SETTLEMENT),
        None,
    )
}

/// A deposit by Permit2, as the payer signs it under
/// [`crate::permit2::permit2_domain`].
pub type DepositPermit = PermitWitnessTransferFrom;

/// The domain of vouchers, refunds, claims and channel names on the chain with this id.
pub fn channel_domain(chain_id: u64) -> Eip712Domain {
    Eip712Domain::new(
        Some(CHANNELS_NAME.into()),
        Some(CHANNELS_VERSION.into()),
        Some(U256::from(chain_id)),
        Some(BATCH_SETTLEMENT),
        None,
    )
}

/// The name of the channel on the chain with this id, as `getChannelId` answers it.
pub fn channel_id(config: &ChannelConfig, chain_id: u64) -> B256 {
    config.eip712_signing_hash(&channel_domain(chain_id))
}

/// The nonce of the EIP-3009 order that deposits into a channel. The order goes to
/// [`ERC3009_DEPOSIT_COLLECTOR`]; `salt`, chosen by the payer, tells its deposits apart.
pub fn deposit_nonce(channel_id: B256, salt: U256) -> B256 {
    keccak256((channel_id, salt).abi_encode())
}

/// What [`ERC3009_DEPOSIT_COLLECTOR`] asks for: the order's window in Unix seconds, the salt of its
/// [`deposit_nonce`], and the payer's signature.
pub fn erc3009_collector_data(
    valid_after: U256,
    valid_before: U256,
    salt: U256,
    signature: Bytes,
) -> Bytes {
    (valid_after, valid_before, salt, signature).abi_encode_params().into()
}

/// What [`PERMIT2_DEPOSIT_COLLECTOR`] asks for: nonce and deadline of the [`DepositPermit`], the
/// payer's signature, and [`allowance_permit_data`], or nothing if Permit2 is approved already.
pub fn permit2_collector_data(
    nonce: U256,
    deadline: U256,
    signature: Bytes,
    allowance_permit: Bytes,
) -> Bytes {
    (nonce, deadline, signature, allowance_permit).abi_encode_params().into()
}

/// An EIP-2612 permit by which the payer approves Permit2 for exactly the deposit's `value`, good
/// until `deadline` in Unix seconds, with its signature as (v, r, s).
pub fn allowance_permit_data(value: U256, deadline: U256, (v, r, s): (u8, B256, B256)) -> Bytes {
    (value, deadline, U256::from(v), r, s).abi_encode_params().into()
}

/// The settlement contract and its two collectors, as their constructors leave them on the chain
/// with this id.
pub(crate) fn accounts(chain_id: u64) -> Result<[GenesisAccount; 3], ProtocolError> {
    let settlement = Artifact::read("x402BatchSettlement", SETTLEMENT_ARTIFACT)?
        .runtime_code(&eip712_immutables(&channel_domain(chain_id)))?;
    let serves = ("x402BatchSettlement", BATCH_SETTLEMENT.into_word());
    let erc3009 = Artifact::read("ERC3009DepositCollector", ERC3009_COLLECTOR_ARTIFACT)?
        .runtime_code(&[serves])?;
    let permit2 = Artifact::read("Permit2DepositCollector", PERMIT2_COLLECTOR_ARTIFACT)?
        .runtime_code(&[serves, ("PERMIT2", PERMIT2.into_word())])?;
    let account = |address: Address, code| contract(address, code, Vec::new());
    Ok([
        account(BATCH_SETTLEMENT, settlement),
        account(ERC3009_DEPOSIT_COLLECTOR, erc3009),
        account(PERMIT2_DEPOSIT_COLLECTOR, permit2),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EMBEDDED_CHAIN_ID;
    use crate::addresses::MACHINA_DOLLAR;
    use crate::permit2::permit2_domain;
    use alloy_primitives::b256;

    /// Every expected value in these tests was computed by `@x402/evm` 2.27.0 and viem.
    const ID: B256 = b256!("0x28b0c6556cb9cb3072069bc7ca32951646a56e3c676c730bd8dc954aa685ed70");

    fn config() -> ChannelConfig {
        ChannelConfig {
            payer: Address::repeat_byte(0x11),
            payerAuthorizer: Address::repeat_byte(0x22),
            receiver: Address::repeat_byte(0x33),
            receiverAuthorizer: Address::repeat_byte(0x44),
            token: MACHINA_DOLLAR,
            withdrawDelay: "900".parse().unwrap(),
            salt: B256::repeat_byte(0x55),
        }
    }

    #[test]
    fn a_channels_name_is_the_sdks() {
        assert_eq!(channel_id(&config(), EMBEDDED_CHAIN_ID), ID);
        assert_eq!(
            channel_id(&config(), 8453),
            b256!("0xf626d01d869fc38c0b4125d0b813d3099650ba5b550224a2c8cd6ff7d0d608e4")
        );
    }

    #[test]
    fn the_type_hashes_are_the_sdks() {
        assert_eq!(
            config().eip712_type_hash(),
            b256!("0x1c9a06ceab9b0ebbd3301dc56c9111bb6d9af421356dc9ccb3b7084c755db308")
        );
        let entry = ClaimEntry { channelId: ID, maxClaimableAmount: 0, totalClaimed: 0 };
        assert_eq!(
            entry.eip712_type_hash(),
            b256!("0x30b9a0367528fca13c3e8ec6134c3113f1887ebe7a1ad61de0955aac288b0cf5")
        );
        assert_eq!(
            ClaimBatch { claims: Vec::new() }.eip712_type_hash(),
            b256!("0x42bd57c010b870c2e96203c66341f28a6a19b4d56a74533a8eb5f706b9fd6d57")
        );
        assert_eq!(
            DepositWitness { channelId: ID }.eip712_type_hash(),
            b256!("0xba0000097e86dabe64178afe31109221193339a6861598f2133fcbdc92c84479")
        );
    }

    #[test]
    fn what_is_signed_hashes_as_the_sdk_does() {
        let domain = channel_domain(EMBEDDED_CHAIN_ID);
        let voucher = Voucher { channelId: ID, maxClaimableAmount: 5000 };
        assert_eq!(
            voucher.eip712_signing_hash(&domain),
            b256!("0x6e2948cd20b07687199dba674fe1160a921145cf4c644e204e5211b308fd76e7")
        );
        let refund = Refund { channelId: ID, nonce: U256::from(3), amount: 1500 };
        assert_eq!(
            refund.eip712_signing_hash(&domain),
            b256!("0x2ba73bf0c3fe6c4882a9193b56085e5d8402c8b106e0e9f39bd21fa92e0dc805")
        );
        let entry = |channel_id, most, total| ClaimEntry {
            channelId: channel_id,
            maxClaimableAmount: most,
            totalClaimed: total,
        };
        let claims = vec![entry(ID, 5000, 4000), entry(B256::repeat_byte(0x66), 7, 7)];
        assert_eq!(
            ClaimBatch { claims }.eip712_signing_hash(&domain),
            b256!("0xf7a62b425b4a1967da42839881292c966e5cbe14c65a53836487ff976d628274")
        );
        let permit = DepositPermit {
            permitted: TokenPermissions { token: MACHINA_DOLLAR, amount: U256::from(100_000) },
            spender: PERMIT2_DEPOSIT_COLLECTOR,
            nonce: U256::from(9),
            deadline: U256::from(1_770_000_000),
            witness: DepositWitness { channelId: ID },
        };
        assert_eq!(
            permit.eip712_signing_hash(&permit2_domain(EMBEDDED_CHAIN_ID)),
            b256!("0xb8cec57c525ac84bb3175c720754b7c9a1979e260e0f232ac69e015a3deb4818")
        );
    }

    #[test]
    fn what_collectors_ask_for_is_encoded_as_the_sdk_does() {
        let salt = U256::from_be_bytes([0x77; 32]);
        let until = U256::from(1_770_000_000);
        let signature = Bytes::from([0x88; 65]);
        assert_eq!(
            deposit_nonce(ID, salt),
            b256!("0x71d240296a3dde8e5723a29efc0772305c696d0424781b690f663f7a0ae0594d")
        );
        assert_eq!(
            keccak256(erc3009_collector_data(U256::ZERO, until, salt, signature.clone())),
            b256!("0x15b5f81290b899cc0a1cfa296a62122de888302f397b7fc8d58eb7844fa83d57")
        );
        let nonce = U256::from(9);
        assert_eq!(
            keccak256(permit2_collector_data(nonce, until, signature.clone(), Bytes::new())),
            b256!("0xf71f28febc57aab9423e1b12e8f9e07d4ac2913714fd8c5a7c9cb3d9c1828ff6")
        );
        let parts = (28, B256::repeat_byte(0x99), B256::repeat_byte(0xaa));
        let allowance = allowance_permit_data(U256::from(100_000), until, parts);
        assert_eq!(
            keccak256(permit2_collector_data(nonce, until, signature, allowance)),
            b256!("0x83e9a052d0ab1eeec21796012bcd9094370aa925431f01da3b0a480d05aac7d1")
        );
    }
}
