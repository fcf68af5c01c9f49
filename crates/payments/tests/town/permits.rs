//! Orders through Permit2, and payers who approve it.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_signer::SignerSync as _;
use alloy_sol_types::{SolCall as _, SolStruct as _};
use mandates::Key;
use money::Clock as _;
use payments::wire::{PaymentPayload, PaymentRequirements};
use payments::{Offer, Way, permit, sponsoring};
use protocol::addresses::{PERMIT2, X402_EXACT_PERMIT2_PROXY, X402_UPTO_PERMIT2_PROXY};
use protocol::permit2::{
    ExactOrder, ExactWitness, Permit, TokenPermissions, UptoOrder, UptoWitness,
};
use protocol::{EMBEDDED_CHAIN_ID, MachinaDollar};
use serde_json::{Map, Value, json};
use settlement::{PermitOrder, SignedPermit};

use super::{PRICE, Town, seller, transact};

/// Adds the two ways through Permit2 to an offer, after the token's own.
pub fn by_permit(town: &Town) -> impl Fn(&mut Offer) + use<> {
    let facilitator = town.chain.sender();
    move |offer: &mut Offer| {
        offer.ways = vec![Way::Authorization, Way::Permit, Way::UpTo { facilitator }];
        offer.extensions = sponsoring::declaration();
    }
}

/// As [`by_permit`], and no other way.
pub fn only(way: Way) -> impl Fn(&mut Offer) {
    move |offer: &mut Offer| {
        offer.ways = vec![way.clone()];
        offer.extensions = sponsoring::declaration();
    }
}

/// What the shop asks for a payment through Permit2.
pub fn terms(town: &Town, metered: bool) -> PaymentRequirements {
    let mut offer = super::shop::offer(town.token(), "http://localhost/work");
    by_permit(town)(&mut offer);
    offer.requirements().remove(if metered { 2 } else { 1 })
}

/// An order through Permit2 to pay the shop's price (`upto`: at most that), unsigned.
pub fn order(town: &Town, payer: &Key, number: u64, metered: bool) -> SignedPermit {
    let now = town.clock.now().as_secs();
    let permitted = TokenPermissions { token: town.token().address, amount: U256::from(PRICE) };
    let (nonce, deadline) = (U256::from(number), U256::from(now + 60));
    let (to, valid_after) = (Address::from(seller()), U256::from(now - 600));
    let order = if metered {
        PermitOrder::Upto(UptoOrder {
            permitted,
            spender: X402_UPTO_PERMIT2_PROXY,
            nonce,
            deadline,
            witness: UptoWitness { to, facilitator: town.chain.sender(), validAfter: valid_after },
        })
    } else {
        PermitOrder::Exact(ExactOrder {
            permitted,
            spender: X402_EXACT_PERMIT2_PROXY,
            nonce,
            deadline,
            witness: ExactWitness { to, validAfter: valid_after },
        })
    };
    SignedPermit { payer: payer.address(), order, signature: Bytes::new() }
}

pub fn sign(payer: &Key, order: SignedPermit) -> SignedPermit {
    let hash = order.signing_hash(EMBEDDED_CHAIN_ID);
    let signature = payer.transaction_signer().sign_hash_sync(&hash).unwrap();
    SignedPermit { signature: signature.as_bytes().to_vec().into(), ..order }
}

pub fn wrap(town: &Town, order: &SignedPermit) -> PaymentPayload {
    PaymentPayload {
        x402_version: 2,
        resource: None,
        accepted: terms(town, order.facilitator().is_some()),
        payload: permit::write(order),
        extensions: None,
    }
}

/// The `number`th payment of a stranger through Permit2.
pub fn payment(town: &Town, payer: &Key, number: u64, metered: bool) -> PaymentPayload {
    wrap(town, &sign(payer, order(town, payer, number, metered)))
}

/// The payer lets Permit2 take that much.
pub async fn approve(town: &Town, payer: &Key, value: U256) {
    let call = MachinaDollar::approveCall { spender: PERMIT2, value };
    transact(town, payer, town.token().address, call.abi_encode().into()).await;
}

/// The payer's approval of Permit2 by signature, for what an order permits.
pub fn approval(town: &Town, payer: &Key, order: &SignedPermit, nonce: u64) -> Map<String, Value> {
    let token = town.token();
    let domain =
        protocol::dollar_domain(&token.name, &token.version, token.chain_id, token.address);
    let approval = Permit {
        owner: payer.address(),
        spender: PERMIT2,
        value: order.most(),
        nonce: U256::from(nonce),
        deadline: order.deadline(),
    };
    let hash = approval.eip712_signing_hash(&domain);
    let signature = payer.transaction_signer().sign_hash_sync(&hash).unwrap();
    let signature: Bytes = signature.as_bytes().to_vec().into();
    sponsoring::write(&approval, order.token(), &signature)
}

/// A transaction that approves Permit2, signed and not sent.
pub fn approving_transaction(payer: &Key, to: Address, input: Bytes, nonce: u64) -> Bytes {
    let transaction = TxEip1559 {
        chain_id: EMBEDDED_CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        to: TxKind::Call(to),
        input,
        ..Default::default()
    };
    let signature =
        payer.transaction_signer().sign_hash_sync(&transaction.signature_hash()).unwrap();
    let envelope = TxEnvelope::from(transaction.into_signed(signature));
    alloy_eips::Encodable2718::encoded_2718(&envelope).into()
}

/// The extension with an approving transaction.
pub fn with_transaction(town: &Town, payer: &Key, raw: &Bytes) -> Map<String, Value> {
    let info = json!({
        "from": payer.address(),
        "asset": town.token().address,
        "spender": PERMIT2,
        "amount": U256::MAX.to_string(),
        "signedTransaction": raw,
        "version": "1",
    });
    Map::from_iter([(sponsoring::BY_TRANSACTION.to_string(), json!({ "info": info }))])
}

/// A good approving transaction.
pub fn approve_call() -> Bytes {
    MachinaDollar::approveCall { spender: PERMIT2, value: U256::MAX }.abi_encode().into()
}
