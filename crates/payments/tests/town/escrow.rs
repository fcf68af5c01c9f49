//! Escrowed payments for the tests: what a shop asks, and what a payer signs, as any client would.

use alloy_primitives::U256;
use alloy_primitives::aliases::{U48, U120};
use alloy_signer::SignerSync as _;
use mandates::Key;
use money::{Clock as _, Party};
use payments::auth_capture::{self, EscrowOrder};
use payments::wire::{PaymentPayload, PaymentRequirements};
use payments::{EscrowTerms, Offer, Way};
use protocol::EMBEDDED_CHAIN_ID;
use protocol::escrow::PaymentInfo;
use settlement::escrow::{Collector, SignedEscrow};

use super::{PRICE, Town, seller, shop};

pub const HOUR: u64 = 60 * 60;

pub fn terms(town: &Town) -> EscrowTerms {
    EscrowTerms::new(town.chain.sender())
}

/// An offer that is paid by these terms and in no other way.
pub fn only(terms: EscrowTerms) -> impl Fn(&mut Offer) {
    move |offer: &mut Offer| offer.ways = vec![Way::Escrow(terms)]
}

/// What the shop asks for under these terms, with the times of now.
pub fn asked(town: &Town, terms: EscrowTerms) -> PaymentRequirements {
    let mut offer = shop::offer(town.token(), "http://localhost/work");
    only(terms)(&mut offer);
    let mut asked = offer.requirements().remove(0);
    let now = town.clock.now();
    let extra = asked.extra.as_mut().unwrap();
    extra.insert("captureDeadline".into(), now.plus(terms.capture_within).as_secs().into());
    extra.insert("refundDeadline".into(), now.plus(terms.refund_within).as_secs().into());
    asked
}

/// The `number`th payment of the shop's price under these terms, unsigned.
pub fn order(town: &Town, payer: Party, number: u64, terms: EscrowTerms) -> SignedEscrow {
    let now = town.clock.now();
    let seconds = |at: u64| U48::from(at);
    SignedEscrow {
        payment: PaymentInfo {
            operator: terms.operator,
            payer: payer.into(),
            receiver: seller().into(),
            token: town.token().address,
            maxAmount: U120::from(PRICE),
            preApprovalExpiry: seconds(now.as_secs() + 60),
            authorizationExpiry: seconds(now.plus(terms.capture_within).as_secs()),
            refundExpiry: seconds(now.plus(terms.refund_within).as_secs()),
            minFeeBps: terms.min_fee_bps,
            maxFeeBps: terms.max_fee_bps,
            feeReceiver: terms.fee_recipient,
            salt: U256::from(number),
        },
        by: if terms.by_permit { Collector::Permit } else { Collector::Authorization },
        signature: Default::default(),
    }
}

pub fn sign(town: &Town, payer: &Key, order: SignedEscrow) -> SignedEscrow {
    let hash = order.signing_hash(town.token());
    let signature = payer.transaction_signer().sign_hash_sync(&hash).unwrap();
    SignedEscrow { signature: signature.as_bytes().to_vec().into(), ..order }
}

pub fn wrap(accepted: PaymentRequirements, signed: SignedEscrow) -> PaymentPayload {
    let order = EscrowOrder::new(signed, None, EMBEDDED_CHAIN_ID);
    PaymentPayload {
        x402_version: 2,
        resource: None,
        accepted,
        payload: auth_capture::write(&order),
        extensions: None,
    }
}

/// The `number`th payment of a stranger under these terms.
pub fn payment(town: &Town, payer: &Key, number: u64, terms: EscrowTerms) -> PaymentPayload {
    let signed = sign(town, payer, order(town, payer.party(), number, terms));
    wrap(asked(town, terms), signed)
}

/// What lies in escrow on the chain, all payments together.
pub async fn in_escrow(town: &Town, terms: EscrowTerms) -> i128 {
    use alloy_sol_types::SolCall as _;
    use protocol::bindings::escrow::AuthCaptureEscrow;

    let call = AuthCaptureEscrow::getTokenStoreCall { operator: terms.operator }.abi_encode();
    let call = alloy_primitives::hex::encode_prefixed(call);
    let request =
        serde_json::json!([{ "to": settlement::escrow::CONTRACT, "data": call }, "latest"]);
    let store = super::rpc(town, "eth_call", request).await;
    let store: alloy_primitives::Address = store.as_str().unwrap()[26..].parse().unwrap();
    town.owns(store.into()).await
}
