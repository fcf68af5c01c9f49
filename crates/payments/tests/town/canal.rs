//! Channels for the tests: what a payer and a seller sign, as any client would.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_signer::SignerSync as _;
use alloy_sol_types::SolStruct as _;
use mandates::Key;
use payments::channel::voucher::{Domain, deposit_nonce};
use payments::channel::wire::{
    ChannelConfig, Claim, ClaimedVoucher, Deposit, DepositAuthorization, Payload, Units, Voucher,
};
use payments::channel::{self, Terms};
use payments::wire::{PaymentPayload, PaymentRequirements};
use payments::{Way, facilitator};
use protocol::EMBEDDED_CHAIN_ID;
use settlement::channels::AUTHORIZATION_COLLECTOR;

use super::{Town, seller, shop};

/// Seconds that withdrawals wait in tests: the least.
pub const DELAY: u64 = 900;

pub fn domain() -> Domain {
    Domain::new(EMBEDDED_CHAIN_ID)
}

pub fn sign(key: &Key, hash: B256) -> Bytes {
    key.transaction_signer().sign_hash_sync(&hash).unwrap().as_bytes().to_vec().into()
}

/// The `salt`th channel from a payer to the shop.
pub fn config(
    town: &Town,
    payer: Address,
    receiver_authorizer: Address,
    salt: u8,
) -> ChannelConfig {
    ChannelConfig {
        payer,
        payer_authorizer: payer,
        receiver: seller().into(),
        receiver_authorizer,
        token: town.token().address,
        withdraw_delay: DELAY,
        salt: B256::repeat_byte(salt),
    }
}

/// What the shop asks of channels.
pub fn terms(town: &Town, receiver_authorizer: Address) -> PaymentRequirements {
    let mut offer = shop::offer(town.token(), "http://localhost/work");
    offer.ways =
        vec![Way::Channel(Terms { receiver_authorizer, withdraw_delay: DELAY, by_permit: false })];
    offer.requirements().remove(0)
}

pub fn voucher(key: &Key, config: &ChannelConfig, most: u128) -> Voucher {
    let channel_id = domain().channel_id(config);
    let signature = sign(key, domain().voucher_hash(channel_id, most));
    Voucher { channel_id, max_claimable_amount: Units(most), signature }
}

/// A payer's EIP-3009 order to put money into a channel; the same salt is the same order.
pub fn deposit(
    town: &Town,
    payer: &Key,
    config: &ChannelConfig,
    amount: u128,
    salt: u64,
) -> Deposit {
    use money::Clock as _;
    let now = town.clock.now().as_secs();
    let (valid_after, valid_before) = (U256::from(now - 600), U256::from(now + 60));
    let order = protocol::ReceiveWithAuthorization {
        from: config.payer,
        to: AUTHORIZATION_COLLECTOR,
        value: U256::from(amount),
        validAfter: valid_after,
        validBefore: valid_before,
        nonce: deposit_nonce(domain().channel_id(config), U256::from(salt)),
    };
    let hash = order.eip712_signing_hash(&protocol::embedded_dollar_domain(EMBEDDED_CHAIN_ID));
    let authorization = DepositAuthorization::Erc3009 {
        valid_after,
        valid_before,
        salt: U256::from(salt),
        signature: sign(payer, hash),
    };
    Deposit { amount: Units(amount), authorization }
}

/// A row that claims `total` under a voucher for `most`.
pub fn claim(key: &Key, config: &ChannelConfig, most: u128, total: u128) -> Claim {
    Claim {
        voucher: ClaimedVoucher { channel: *config, max_claimable_amount: Units(most) },
        signature: voucher(key, config, most).signature,
        total_claimed: Units(total),
    }
}

pub fn wrap(payload: &Payload, terms: &PaymentRequirements) -> PaymentPayload {
    PaymentPayload {
        x402_version: 2,
        resource: None,
        accepted: terms.clone(),
        payload: serde_json::to_value(payload).unwrap(),
        extensions: None,
    }
}

/// A facilitator that signs for receivers with this key.
pub fn facilitator(town: &Town, authorizer: &Key) -> facilitator::EmbeddedFacilitator {
    facilitator::EmbeddedFacilitator::new(town.chain.clone(), town.clock.clone())
        .with_receiver_authorizer(authorizer.transaction_signer())
}

/// What lies in all channels.
pub async fn in_channels(town: &Town) -> i128 {
    town.owns(settlement::channels::CONTRACT.into()).await
}

/// The scheme, for tests that name it.
pub const SCHEME: &str = channel::SCHEME;
