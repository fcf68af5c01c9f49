//! Channels at the facilitator, on the real contract: the way of the money to the unit, each reason
//! to refuse, and requests that come twice, at once, from strangers, or meet a chain that fails.

mod events;
mod unlucky;

use crate::town;

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall as _, SolStruct as _, SolValue as _};
use mandates::Key;
use payments::channel::ChannelInvalid;
use payments::channel::wire::{
    ChannelConfig, ChannelState, Claim, Deposit, DepositAuthorization, DepositWitness, Payload,
    Permitted, Units, Voucher,
};
use payments::wire::{
    FacilitatorRequest, PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse,
};
use payments::{EmbeddedFacilitator, Facilitator as _, facilitator};
use serde_json::{Value, json};
use settlement::SenderLimits;
use settlement::channels::{Act, Happened, MAX_CLAIMS, PERMIT_COLLECTOR};
use town::{Town, canal, musd, person, seller};

const WALLET: u128 = 1_000_000;

/// A town with a payer, and a facilitator that signs for receivers.
struct Scene {
    town: Town,
    payer: Key,
    /// Who signs for the shop: in half the tests the facilitator.
    authorizer: Key,
    facilitator: Arc<EmbeddedFacilitator>,
}

impl Scene {
    async fn begin() -> Scene {
        let town = Town::begin().await;
        let payer = person(0x21);
        town.give(payer.party(), musd(WALLET as i128)).await;
        let authorizer = person(0x7a);
        let facilitator = Arc::new(canal::facilitator(&town, &authorizer));
        Scene { town, payer, authorizer, facilitator }
    }

    fn config(&self, salt: u8) -> ChannelConfig {
        canal::config(&self.town, self.payer.address(), self.authorizer.address(), salt)
    }

    fn terms(&self) -> PaymentRequirements {
        canal::terms(&self.town, self.authorizer.address())
    }

    fn voucher(&self, salt: u8, most: u128) -> Voucher {
        canal::voucher(&self.payer, &self.config(salt), most)
    }

    fn pay(&self, salt: u8, most: u128) -> Payload {
        let (channel_config, voucher) = (self.config(salt), self.voucher(salt, most));
        from(json!({ "type": "voucher", "channelConfig": channel_config, "voucher": voucher }))
    }

    fn deposit(&self, salt: u8, amount: u128, number: u64, most: u128) -> Payload {
        let channel_config = self.config(salt);
        let deposit = canal::deposit(&self.town, &self.payer, &channel_config, amount, number);
        Payload::Deposit { channel_config, voucher: self.voucher(salt, most), deposit }
    }

    fn row(&self, salt: u8, most: u128, total: u128) -> Claim {
        canal::claim(&self.payer, &self.config(salt), most, total)
    }

    /// A refund as the seller completes it; `signed` by the seller's own authorizer or not.
    async fn refund(&self, salt: u8, amount: u128, claims: Vec<Claim>, signed: bool) -> Payload {
        let id = canal::domain().channel_id(&self.config(salt));
        let state = self.town.chain.channel(id).await.unwrap();
        let refund = canal::domain().refund_hash(id, state.refund_nonce, amount);
        let claim = canal::domain().claims_hash(&claims);
        Payload::Refund {
            channel_config: self.config(salt),
            voucher: self.voucher(salt, state.total_claimed),
            amount: Some(Units(amount)),
            refund_nonce: Some(state.refund_nonce.to_string()),
            claim_authorizer_signature: (signed && !claims.is_empty())
                .then(|| canal::sign(&self.authorizer, claim)),
            claims,
            refund_authorizer_signature: signed.then(|| canal::sign(&self.authorizer, refund)),
        }
    }

    async fn verify(&self, payload: &Payload) -> VerifyResponse {
        let terms = self.terms();
        self.facilitator.verify(&canal::wrap(payload, &terms), &terms).await.unwrap()
    }

    async fn settle(&self, payload: &Payload) -> SettleResponse {
        settle_by(&self.facilitator, payload, &self.terms()).await
    }

    async fn settled(&self, payload: &Payload) -> SettleResponse {
        let answer = self.settle(payload).await;
        assert!(answer.success, "{answer:?}");
        assert_eq!(answer.transaction.len(), 66);
        assert_eq!(answer.network, "eip155:402402");
        answer
    }

    /// What payer, contract and seller own.
    async fn money(&self) -> (i128, i128, i128) {
        let payer = self.town.owns(self.payer.party()).await;
        (payer, canal::in_channels(&self.town).await, self.town.owns(seller()).await)
    }

    fn pay_out(&self) -> Payload {
        Payload::Settle { receiver: seller().into(), token: self.town.token().address }
    }
}

async fn settle_by(
    facilitator: &EmbeddedFacilitator,
    payload: &Payload,
    terms: &PaymentRequirements,
) -> SettleResponse {
    facilitator.settle(&canal::wrap(payload, terms), terms).await.unwrap()
}

fn from(payload: Value) -> Payload {
    serde_json::from_value(payload).unwrap()
}

fn claim(claims: Vec<Claim>, signature: Option<Bytes>) -> Payload {
    Payload::Claim { claims, claim_authorizer_signature: signature }
}

/// (balance, claimed, refund nonce) of what an answer says.
fn told(answer: &SettleResponse) -> (u128, u128, String) {
    let state = answer.extra.as_ref().unwrap()["channelState"].clone();
    let state: ChannelState = serde_json::from_value(state).unwrap();
    (state.balance.0, state.total_claimed.0, state.refund_nonce)
}

#[tokio::test]
async fn money_goes_through_a_channel_to_the_unit_whoever_authorizes() {
    for by_seller in [false, true] {
        let mut scene = Scene::begin().await;
        if by_seller {
            scene.facilitator = scene.town.facilitator();
        }
        let signed = |claims: &[Claim]| {
            by_seller.then(|| canal::sign(&scene.authorizer, canal::domain().claims_hash(claims)))
        };
        // In: a deposit with the first voucher, and a top-up.
        let deposit = scene.deposit(1, 100_000, 1, 10_000);
        let verdict = scene.verify(&deposit).await;
        assert!(verdict.is_valid, "{verdict:?}");
        assert_eq!(verdict.extra.as_ref().unwrap()["balance"], "0");
        let answer = scene.settled(&deposit).await;
        assert_eq!(answer.amount.as_deref(), Some("100000"));
        assert_eq!(answer.payer, Some(scene.payer.address().to_string()));
        assert_eq!(told(&answer), (100_000, 0, "0".into()));
        assert_eq!(told(&scene.settled(&scene.deposit(1, 50_001, 2, 20_000)).await).0, 150_001);
        assert_eq!(scene.money().await, (849_999, 150_001, 0));
        // A voucher moves nothing; what the chain has of the channel comes with the verdict.
        let verdict = scene.verify(&scene.pay(1, 150_001)).await;
        let id = canal::domain().channel_id(&scene.config(1));
        assert_eq!(
            Value::Object(verdict.extra.unwrap()),
            json!({
                "channelId": id, "balance": "150001", "totalClaimed": "0",
                "withdrawRequestedAt": 0, "refundNonce": "0"
            })
        );
        // Claims count, a payout moves: what was charged, not what was promised.
        let rows = vec![scene.row(1, 30_000, 20_000)];
        let claimed = claim(rows.clone(), signed(&rows));
        let answer = scene.settled(&claimed).await;
        assert_eq!((answer.amount.as_deref(), answer.extra), (Some(""), None));
        assert_eq!(scene.money().await, (849_999, 150_001, 0));
        let answer = scene.settled(&scene.pay_out()).await;
        assert_eq!(answer.amount.as_deref(), Some("20000"));
        assert_eq!(scene.money().await, (849_999, 130_001, 20_000));
        // Back: a part, then the rest after a last claim, of which no more is left than was asked.
        let answer = scene.settled(&scene.refund(1, 1_000, vec![], by_seller).await).await;
        assert_eq!(answer.amount.as_deref(), Some("1000"));
        assert_eq!(told(&answer), (149_001, 20_000, "1".into()));
        let last = vec![scene.row(1, 30_000, 30_000)];
        let answer = scene.settled(&scene.refund(1, 9_999_999, last, by_seller).await).await;
        assert_eq!(answer.amount.as_deref(), Some("119001"));
        assert_eq!(told(&answer), (30_000, 30_000, "2".into()));
        assert_eq!(scene.settled(&scene.pay_out()).await.amount.as_deref(), Some("10000"));
        assert_eq!(scene.money().await, (970_000, 0, 30_000));
    }
}

#[tokio::test]
async fn many_channels_are_read_in_their_order_and_claimed_at_once() {
    let scene = Scene::begin().await;
    for salt in 1..=3 {
        let (amount, number) = (u128::from(salt) * 1_000, u64::from(salt));
        scene.settled(&scene.deposit(salt, amount, number, 1)).await;
    }
    let rows: Vec<_> = (1..=3).map(|salt| scene.row(salt, 900, u128::from(salt))).collect();
    scene.settled(&claim(rows, None)).await;
    let ids: Vec<_> =
        (0..250).map(|salt| canal::domain().channel_id(&scene.config(salt))).collect();
    let states = scene.town.chain.channels(&ids).await.unwrap();
    for (salt, state) in (0u128..).zip(&states) {
        let expected = if (1..=3).contains(&salt) { (salt * 1_000, salt) } else { (0, 0) };
        assert_eq!((state.balance, state.total_claimed), expected, "channel {salt}");
    }
    assert_eq!(states.len(), 250);
    let token = scene.town.token().address;
    let totals = scene.town.chain.receiver_totals(seller().into(), token).await.unwrap();
    assert_eq!((totals.claimed, totals.paid_out, totals.due()), (6, 0, 6));
}

/// A request that a case may spoil before it is signed, and after.
struct Draft<'a> {
    scene: &'a Scene,
    config: ChannelConfig,
    terms: PaymentRequirements,
    accepted: Option<PaymentRequirements>,
    most: u128,
    amount: u128,
    /// Signs the voucher.
    voucher_by: Key,
    /// Signs the order.
    order_by: Key,
    spoil_order: fn(&mut Deposit),
    /// What replaces what, in the payload.
    patches: Vec<(&'static str, Value)>,
    extensions: Option<Value>,
    only_voucher: bool,
}

impl<'a> Draft<'a> {
    fn of(scene: &'a Scene) -> Draft<'a> {
        Draft {
            scene,
            config: scene.config(1),
            terms: scene.terms(),
            accepted: None,
            most: 10_000,
            amount: 100_000,
            voucher_by: person(0x21),
            order_by: person(0x21),
            spoil_order: |_| {},
            patches: Vec::new(),
            extensions: None,
            only_voucher: false,
        }
    }

    fn patch(&mut self, at: &'static str, value: Value) {
        self.patches.push((at, value));
    }

    fn extra(&mut self, key: &str, value: Value) {
        self.terms.extra.as_mut().unwrap().insert(key.into(), value);
    }

    fn build(self) -> (PaymentPayload, PaymentRequirements) {
        let voucher = canal::voucher(&self.voucher_by, &self.config, self.most);
        let mut deposit =
            canal::deposit(&self.scene.town, &self.order_by, &self.config, self.amount, 77);
        (self.spoil_order)(&mut deposit);
        let mut payload = json!({
            "type": if self.only_voucher { "voucher" } else { "deposit" },
            "channelConfig": self.config, "voucher": voucher, "deposit": deposit,
        });
        for (at, value) in self.patches {
            *payload.pointer_mut(at).unwrap() = value;
        }
        let payment = PaymentPayload {
            x402_version: 2,
            resource: None,
            accepted: self.accepted.unwrap_or_else(|| self.terms.clone()),
            payload,
            extensions: self.extensions.map(|e| serde_json::from_value(e).unwrap()),
        };
        (payment, self.terms)
    }
}

/// An order by Permit2 in place of the EIP-3009 one, unsigned: its signature is judged after all
/// else that it says.
fn by_permit(deposit: &mut Deposit) {
    deposit.authorization = DepositAuthorization::Permit2 {
        from: person(0x21).address(),
        permitted: Permitted {
            token: protocol::addresses::MACHINA_DOLLAR,
            amount: U256::from(deposit.amount.0),
        },
        spender: PERMIT_COLLECTOR,
        nonce: U256::from(5),
        deadline: U256::from(town::START.as_secs() + 60),
        witness: DepositWitness { channel_id: B256::repeat_byte(9) },
        signature: vec![1; 65].into(),
    };
}

fn window(deposit: &mut Deposit, from: i64, to: i64) {
    let DepositAuthorization::Erc3009 { valid_after, valid_before, .. } =
        &mut deposit.authorization
    else {
        unreachable!("the draft's order is by EIP-3009");
    };
    let at = |offset: i64| U256::from(town::START.as_secs().checked_add_signed(offset).unwrap());
    (*valid_after, *valid_before) = (at(from), at(to));
}

/// The order's signature as a wallet's that is yet to be deployed (EIP-6492).
fn wrap_signature(signature: &Bytes) -> Bytes {
    let factory = Address::repeat_byte(0xfa);
    let body = (factory, Bytes::from(vec![1]), signature.clone()).abi_encode_params();
    [body, [0x64, 0x92].repeat(16)].concat().into()
}

#[tokio::test]
async fn each_reason_to_refuse_a_buyer_has_its_word_in_the_references_order() {
    use ChannelInvalid as No;
    let scene = Scene::begin().await;
    type Spoil = fn(&mut Draft<'_>);
    let cases: Vec<(No, Spoil)> = vec![
        (No::Scheme, |d| d.accepted = Some(d.scene.town.terms())),
        (No::Network, |d| {
            let other = PaymentRequirements { network: "eip155:1".into(), ..d.terms.clone() };
            d.accepted = Some(other);
        }),
        (No::Network, |d| d.terms.network = "eip155:1".into()),
        (No::PayloadType, |d| d.patch("/type", json!("gift"))),
        (No::PayloadType, |d| d.patch("/deposit/amount", json!("-1"))),
        (No::PayloadType, |d| d.patch("/deposit/amount", json!("3".repeat(40)))),
        (No::PayloadType, |d| d.patch("/voucher", json!(null))),
        (No::ChannelId, |d| d.patch("/voucher/channelId", json!("0x12"))),
        (No::RefundPayload, |d| {
            d.patch("/type", json!("refund"));
            d.patch("/voucher/maxClaimableAmount", json!(7));
        }),
        (No::ChannelIdMismatch, |d| d.patch("/channelConfig/withdrawDelay", json!(901))),
        (No::ChannelIdMismatch, |d| {
            d.patch("/voucher/channelId", json!(B256::repeat_byte(1)));
        }),
        (No::Receiver, |d| d.config.receiver = d.scene.payer.address()),
        (No::Receiver, |d| d.terms.pay_to = "nobody".into()),
        (No::ReceiverAuthorizer, |d| d.config.receiver_authorizer = d.scene.payer.address()),
        (No::ReceiverAuthorizer, |d| {
            d.config.receiver_authorizer = Address::ZERO;
            d.extra("receiverAuthorizer", json!(Address::ZERO));
        }),
        (No::ReceiverAuthorizer, |d| d.terms.extra = None),
        (No::Token, |d| d.config.token = d.scene.payer.address()),
        // Both mean another token, which is not ours to call.
        (No::Token, |d| {
            d.config.token = town::AGREEABLE_WALLET;
            d.terms.asset = town::AGREEABLE_WALLET.to_string();
        }),
        (No::WithdrawDelay, |d| d.config.withdraw_delay = 901),
        (No::WithdrawDelayRange, |d| {
            d.config.withdraw_delay = 899;
            d.extra("withdrawDelay", json!(899));
        }),
        (No::WithdrawDelayRange, |d| {
            d.config.withdraw_delay = u64::MAX;
            d.terms.extra.as_mut().unwrap().remove("withdrawDelay");
        }),
        (No::PayloadType, |d| d.extra("assetTransferMethod", json!("permit2"))),
        (No::Erc3009Required, |d| d.patch("/deposit/authorization", json!({}))),
        (No::Erc3009Required, |d| {
            d.spoil_order = by_permit;
            d.extra("assetTransferMethod", json!("eip3009"));
        }),
        (No::MissingDomain, |d| d.extra("version", json!(""))),
        (No::ValidBefore, |d| d.spoil_order = |order| window(order, -600, 5)),
        (No::ValidAfter, |d| d.spoil_order = |order| window(order, 1, 60)),
        (No::FactoryNotAllowed, |d| {
            d.spoil_order = |order| {
                if let DepositAuthorization::Erc3009 { signature, .. } = &mut order.authorization {
                    *signature = wrap_signature(signature);
                }
            };
        }),
        (No::ReceiveSignature, |d| d.order_by = person(0x22)),
        (No::ReceiveSignature, |d| d.patch("/deposit/amount", json!("100001"))),
        (No::ReceiveSignature, |d| {
            let long = format!("0x{}", "11".repeat(9_000));
            d.patch("/deposit/authorization/erc3009Authorization/signature", json!(long));
        }),
        (No::Permit2Signature, |d| {
            d.spoil_order = |order| {
                by_permit(order);
                if let DepositAuthorization::Permit2 { from, .. } = &mut order.authorization {
                    *from = Address::repeat_byte(1);
                }
            }
        }),
        (No::Permit2Spender, |d| {
            d.spoil_order = |order| {
                by_permit(order);
                if let DepositAuthorization::Permit2 { spender, .. } = &mut order.authorization {
                    *spender = Address::repeat_byte(1);
                }
            }
        }),
        (No::Token, |d| {
            d.spoil_order = |order| {
                by_permit(order);
                if let DepositAuthorization::Permit2 { permitted, .. } = &mut order.authorization {
                    permitted.token = Address::repeat_byte(1);
                }
            }
        }),
        (No::Permit2Amount, |d| {
            d.spoil_order = |order| {
                by_permit(order);
                order.amount = Units(99_999);
            }
        }),
        (No::ChannelIdMismatch, |d| d.spoil_order = by_permit),
        (No::VoucherSignature, |d| d.voucher_by = person(0x22)),
        (No::VoucherSignature, |d| d.patch("/voucher/maxClaimableAmount", json!("9999"))),
        (No::VoucherSignature, |d| d.patch("/voucher/signature", json!("0x"))),
        (No::InsufficientBalance, |d| d.amount = WALLET + 1),
        (No::ExceedsBalance, |d| d.most = 100_001),
        (No::BelowClaimed, |d| d.most = 0),
        (No::ChannelNotFound, |d| d.only_voucher = true),
    ];
    let before = scene.money().await;
    for (reason, spoil) in cases {
        let mut draft = Draft::of(&scene);
        spoil(&mut draft);
        let voucher_alone = draft.only_voucher;
        let (payment, terms) = draft.build();
        let verdict = scene.facilitator.verify(&payment, &terms).await.unwrap();
        assert_eq!(verdict.invalid_reason.as_deref(), Some(reason.code()), "{verdict:?}");
        assert!(!verdict.is_valid && verdict.extra.is_none());
        let answer = scene.facilitator.settle(&payment, &terms).await.unwrap();
        let expected = if voucher_alone { No::PayloadType } else { reason };
        assert_eq!(answer.error_reason.as_deref(), Some(expected.code()), "{answer:?}");
        assert!(!answer.success && answer.transaction.is_empty());
    }
    assert_eq!(scene.money().await, before);
}

/// An order by Permit2 that is good, but that Permit2 may not move the money: the payer's EIP-2612
/// permit for that may come along.
fn permit(draft: &mut Draft<'_>, approval: Option<Value>) {
    draft.spoil_order = by_good_permit;
    draft.extensions = approval.map(|info| json!({ "eip2612GasSponsoring": { "info": info } }));
}

fn by_good_permit(deposit: &mut Deposit) {
    by_permit(deposit);
    let DepositAuthorization::Permit2 {
        permitted,
        spender,
        nonce,
        deadline,
        witness,
        signature,
        ..
    } = &mut deposit.authorization
    else {
        unreachable!("it was just made");
    };
    // The only channel of the draft, by its own authorizer.
    witness.channel_id = draft_channel();
    let order = protocol::channels::DepositPermit {
        permitted: protocol::channels::TokenPermissions {
            token: permitted.token,
            amount: permitted.amount,
        },
        spender: *spender,
        nonce: *nonce,
        deadline: *deadline,
        witness: protocol::channels::DepositWitness { channelId: witness.channel_id },
    };
    let domain = protocol::permit2::permit2_domain(protocol::EMBEDDED_CHAIN_ID);
    *signature = canal::sign(&person(0x21), order.eip712_signing_hash(&domain));
}

fn draft_channel() -> B256 {
    let (payer, authorizer) = (person(0x21).address(), person(0x7a).address());
    canal::domain().channel_id(&ChannelConfig {
        payer,
        payer_authorizer: payer,
        receiver: seller().into(),
        receiver_authorizer: authorizer,
        token: protocol::addresses::MACHINA_DOLLAR,
        withdraw_delay: canal::DELAY,
        salt: B256::repeat_byte(1),
    })
}

/// The payer's approval of Permit2 for the draft's deposit, as a client fills it in.
fn approval(change: impl FnOnce(&mut Value)) -> Option<Value> {
    let mut info = json!({
        "from": person(0x21).address(), "asset": protocol::addresses::MACHINA_DOLLAR,
        "spender": protocol::addresses::PERMIT2, "amount": "100000", "nonce": "0",
        "deadline": (town::START.as_secs() + 60).to_string(),
        "signature": format!("0x{}1b", "11".repeat(64)), "version": "1",
    });
    change(&mut info);
    Some(info)
}

#[tokio::test]
async fn each_reason_to_refuse_a_permit2_deposit_has_its_word() {
    use ChannelInvalid as No;
    let scene = Scene::begin().await;
    assert_eq!(draft_channel(), canal::domain().channel_id(&scene.config(1)));
    type Spoil = fn(&mut Draft<'_>);
    let cases: [(No, Spoil); 11] = [
        (No::Permit2Deadline, |d| {
            permit(d, None);
            let soon = (town::START.as_secs() + 5).to_string();
            d.patch("/deposit/authorization/permit2Authorization/deadline", json!(soon));
        }),
        (No::Permit2Signature, |d| {
            permit(d, None);
            d.patch("/deposit/authorization/permit2Authorization/nonce", json!("6"));
        }),
        (No::Permit2Allowance, |d| permit(d, None)),
        (No::PermitFormat, |d| permit(d, approval(|i| i["signature"] = json!("0x11")))),
        (No::PermitFormat, |d| permit(d, approval(|i| i["amount"] = json!("-1")))),
        (No::PermitOwner, |d| permit(d, approval(|i| i["from"] = json!(Address::ZERO)))),
        (No::PermitAsset, |d| permit(d, approval(|i| i["asset"] = json!(Address::ZERO)))),
        (No::PermitSpender, |d| permit(d, approval(|i| i["spender"] = json!(Address::ZERO)))),
        (No::PermitDeadline, |d| permit(d, approval(|i| i["deadline"] = json!("7")))),
        (No::PermitAmount, |d| permit(d, approval(|i| i["amount"] = json!("100001")))),
        (No::ApprovalUnavailable, |d| {
            permit(d, None);
            let info = json!({ "signedTransaction": "0x02" });
            d.extensions = Some(json!({ "erc20ApprovalGasSponsoring": { "info": info } }));
        }),
    ];
    let before = scene.money().await;
    for (reason, spoil) in cases {
        let mut draft = Draft::of(&scene);
        spoil(&mut draft);
        let (payment, terms) = draft.build();
        let verdict = scene.facilitator.verify(&payment, &terms).await.unwrap();
        assert_eq!(verdict.invalid_reason.as_deref(), Some(reason.code()), "{verdict:?}");
        let answer = scene.facilitator.settle(&payment, &terms).await.unwrap();
        assert_eq!(answer.error_reason.as_deref(), Some(reason.code()), "{answer:?}");
    }
    assert_eq!(scene.money().await, before);
}

#[tokio::test]
async fn a_deposit_by_permit2_moves_once_with_an_approval_before_or_beside_it() {
    use protocol::addresses::{MACHINA_DOLLAR, PERMIT2};
    for approved_before in [true, false] {
        let scene = Scene::begin().await;
        let mut draft = Draft::of(&scene);
        if approved_before {
            let call = protocol::MachinaDollar::approveCall { spender: PERMIT2, value: U256::MAX };
            let data = call.abi_encode().into();
            town::transact(&scene.town, &scene.payer, MACHINA_DOLLAR, data).await;
            permit(&mut draft, None);
        } else {
            let order = protocol::permit2::Permit {
                owner: scene.payer.address(),
                spender: PERMIT2,
                value: U256::from(100_000),
                nonce: U256::ZERO,
                deadline: U256::from(town::START.as_secs() + 60),
            };
            let domain = protocol::embedded_dollar_domain(protocol::EMBEDDED_CHAIN_ID);
            let signature = canal::sign(&scene.payer, order.eip712_signing_hash(&domain));
            permit(&mut draft, approval(|info| info["signature"] = json!(signature)));
        }
        let (payment, terms) = draft.build();
        let verdict = scene.facilitator.verify(&payment, &terms).await.unwrap();
        assert!(verdict.is_valid, "{verdict:?}");
        let answer = scene.facilitator.settle(&payment, &terms).await.unwrap();
        assert!(answer.success, "{answer:?}");
        assert_eq!(told(&answer), (100_000, 0, "0".into()));
        assert_eq!(scene.money().await, (900_000, 100_000, 0));
        let again = scene.facilitator.settle(&payment, &terms).await.unwrap();
        assert_eq!(again.error_reason.as_deref(), Some(ChannelInvalid::DepositSimulation.code()));
        assert_eq!(scene.money().await, (900_000, 100_000, 0));
    }
}

#[tokio::test]
async fn a_voucher_is_held_to_what_the_chain_has_of_its_channel() {
    use ChannelInvalid as No;
    let scene = Scene::begin().await;
    scene.settled(&scene.deposit(1, 100_000, 1, 10_000)).await;
    scene.settled(&claim(vec![scene.row(1, 10_000, 10_000)], None)).await;
    let refund = |most| match scene.pay(1, most) {
        Payload::Voucher { channel_config, voucher, .. } => {
            from(json!({ "type": "refund", "channelConfig": channel_config, "voucher": voucher }))
        }
        _ => unreachable!("it pays by a voucher"),
    };
    for (payload, refusal) in [
        (scene.pay(1, 10_001), None),
        (scene.pay(1, 100_000), None),
        (scene.pay(1, 100_001), Some(No::ExceedsBalance)),
        (scene.pay(1, 10_000), Some(No::BelowClaimed)),
        (refund(10_000), None),
        (refund(9_999), Some(No::BelowClaimed)),
        (refund(100_001), Some(No::ExceedsBalance)),
        (scene.deposit(1, 5, 2, 10_000), Some(No::BelowClaimed)),
        (scene.deposit(1, 5, 2, 100_005), None),
        (scene.deposit(1, 5, 2, 100_006), Some(No::ExceedsBalance)),
        (scene.pay(2, 1), Some(No::ChannelNotFound)),
        (scene.pay_out(), Some(No::PayloadType)),
        (claim(vec![], None), Some(No::PayloadType)),
    ] {
        let verdict = scene.verify(&payload).await;
        let code = refusal.map(No::code);
        assert_eq!(verdict.invalid_reason.as_deref(), code, "{payload:?}");
        assert_eq!(verdict.is_valid, refusal.is_none());
    }
}

#[tokio::test]
async fn each_reason_to_refuse_a_seller_has_its_word() {
    use ChannelInvalid as No;
    let scene = Scene::begin().await;
    scene.settled(&scene.deposit(1, 100_000, 1, 10_000)).await;
    let other = person(0x7b);
    let foreign = ChannelConfig { token: Address::repeat_byte(1), ..scene.config(1) };
    let row = || scene.row(1, 10_000, 1);
    let others_row = {
        let config = ChannelConfig { receiver_authorizer: other.address(), ..scene.config(1) };
        canal::claim(&scene.payer, &config, 10_000, 1)
    };
    let foreign_row = canal::claim(&scene.payer, &foreign, 10_000, 1);
    let wrong = || Some(canal::sign(&other, canal::domain().claims_hash(&[row()])));
    let refund = |signed| scene.refund(1, 500, vec![], signed);
    let changed = |payload: Payload, at: &str, to: Value| {
        let mut value = serde_json::to_value(&payload).unwrap();
        value[at] = to;
        from(value)
    };
    let token = scene.town.token().address;
    let cases = [
        (No::AuthorizerAddress, claim(vec![row(), others_row.clone()], None)),
        (No::Token, claim(vec![foreign_row], None)),
        (No::ClaimSimulation, claim(vec![], None)),
        (No::ClaimSimulation, claim(vec![row(); MAX_CLAIMS + 1], None)),
        (No::ClaimSimulation, claim(vec![row()], wrong())),
        (No::ClaimSimulation, claim(vec![scene.row(1, 10_000, 10_001)], None)),
        (No::ClaimSimulation, claim(vec![scene.row(1, 200_000, 100_001)], None)),
        (No::ClaimSimulation, claim(vec![scene.row(2, 1, 1)], None)),
        (No::Token, Payload::Settle { receiver: seller().into(), token: seller().into() }),
        (No::NothingToSettle, scene.pay_out()),
        (No::NothingToSettle, Payload::Settle { receiver: Address::ZERO, token }),
        (No::PayloadType, changed(refund(true).await, "amount", Value::Null)),
        (No::PayloadType, changed(refund(true).await, "refundNonce", Value::Null)),
        (No::RefundPayload, changed(refund(true).await, "refundNonce", json!("first"))),
        (No::Token, changed(refund(true).await, "channelConfig", json!(foreign))),
        (No::RefundNoBalance, scene.refund(2, 500, vec![], true).await),
        (
            No::RefundNoBalance,
            scene.refund(1, 500, vec![scene.row(1, 100_000, 100_000)], true).await,
        ),
        (No::AuthorizerAddress, {
            let config = ChannelConfig { receiver_authorizer: other.address(), ..scene.config(1) };
            // There must be something to refund, or that is the reason.
            let deposit = canal::deposit(&scene.town, &scene.payer, &config, 100, 9);
            let voucher = canal::voucher(&scene.payer, &config, 1);
            let terms = canal::terms(&scene.town, other.address());
            let opening = Payload::Deposit { channel_config: config, voucher, deposit };
            assert!(settle_by(&scene.facilitator, &opening, &terms).await.success);
            changed(refund(false).await, "channelConfig", json!(config))
        }),
        (No::AuthorizerAddress, scene.refund(1, 500, vec![others_row], false).await),
        (No::RefundSimulation, changed(refund(true).await, "refundNonce", json!("1"))),
        (No::RefundSimulation, changed(refund(true).await, "amount", json!("501"))),
        (No::RefundSimulation, scene.refund(1, 0, vec![], true).await),
        (No::PayloadType, scene.pay(1, 1)),
    ];
    let before = scene.money().await;
    for (reason, payload) in cases {
        let answer = scene.settle(&payload).await;
        assert_eq!(answer.error_reason.as_deref(), Some(reason.code()), "{payload:?} {answer:?}");
        assert!(!answer.success && answer.transaction.is_empty());
    }
    // One that signs for nobody.
    let plain = scene.town.facilitator();
    for payload in [claim(vec![row()], None), refund(false).await] {
        let answer = settle_by(&plain, &payload, &scene.terms()).await;
        assert_eq!(answer.error_reason.as_deref(), Some(No::AuthorizerMissing.code()));
    }
    assert_eq!(scene.money().await, before);
    // The contract's own name for the reason is told.
    let answer = scene.settle(&claim(vec![scene.row(1, 10_000, 10_001)], None)).await;
    assert!(answer.error_message.as_ref().unwrap().contains("ClaimExceedsCeiling"), "{answer:?}");
}

#[tokio::test]
async fn a_wallet_with_code_signs_orders_and_vouchers_by_its_own_rules() {
    let scene = Scene::begin().await;
    let authorizer = scene.authorizer.address();
    for (wallet, refusal) in [
        (town::AGREEABLE_WALLET, None),
        (town::REFUSING_WALLET, Some(ChannelInvalid::ReceiveSignature)),
        (town::GREEDY_WALLET, Some(ChannelInvalid::ReceiveSignature)),
    ] {
        scene.town.give(wallet.into(), musd(100_000)).await;
        let config = ChannelConfig {
            payer_authorizer: Address::ZERO,
            ..canal::config(&scene.town, wallet, authorizer, 1)
        };
        let mut deposit = canal::deposit(&scene.town, &scene.payer, &config, 50_000, 3);
        if let DepositAuthorization::Erc3009 { signature, .. } = &mut deposit.authorization {
            // A wallet that is there already is asked for what is inside the wrapping.
            *signature = wrap_signature(&vec![1, 2, 3].into());
        }
        let mut voucher = canal::voucher(&scene.payer, &config, 20_000);
        voucher.signature = vec![7].into();
        let payload = Payload::Deposit { channel_config: config, voucher, deposit };
        let answer = scene.settle(&payload).await;
        assert_eq!(answer.error_reason.as_deref(), refusal.map(ChannelInvalid::code), "{answer:?}");
        let mut row = canal::claim(&scene.payer, &config, 20_000, 20_000);
        row.signature = vec![7].into();
        let claimed = scene.settle(&claim(vec![row], None)).await;
        assert_eq!(claimed.success, refusal.is_none());
    }
    // With a key as authorizer, the key alone signs vouchers, whatever the wallet would take.
    let config = canal::config(&scene.town, town::AGREEABLE_WALLET, authorizer, 2);
    let config = ChannelConfig { payer_authorizer: scene.payer.address(), ..config };
    let mut payload = json!({
        "type": "voucher", "channelConfig": config,
        "voucher": canal::voucher(&scene.payer, &config, 1),
    });
    let verdict = scene.verify(&from(payload.clone())).await;
    assert_eq!(verdict.invalid_reason.as_deref(), Some(ChannelInvalid::ChannelNotFound.code()));
    payload["voucher"]["signature"] = json!("0x07");
    let verdict = scene.verify(&from(payload)).await;
    assert_eq!(verdict.invalid_reason.as_deref(), Some(ChannelInvalid::VoucherSignature.code()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_many_times_at_once_is_done_once() {
    let scene = Arc::new(Scene::begin().await);
    let at_once = async |payload: Payload, second: ChannelInvalid| {
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let (scene, payload) = (scene.clone(), payload.clone());
                tokio::spawn(async move { scene.settle(&payload).await })
            })
            .collect();
        let mut done = 0;
        for task in tasks {
            let answer = task.await.unwrap();
            done += usize::from(answer.success);
            if !answer.success {
                let reason = answer.error_reason.unwrap();
                let open = ChannelInvalid::Pending.code();
                assert!(reason == second.code() || reason == open, "{reason}");
            }
        }
        let late = scene.settle(&payload).await;
        assert_eq!(late.error_reason.as_deref(), Some(second.code()));
        done
    };
    let deposit = scene.deposit(1, 100_000, 1, 10_000);
    assert_eq!(at_once(deposit, ChannelInvalid::DepositSimulation).await, 1);
    assert_eq!(scene.money().await, (900_000, 100_000, 0));
    for _ in 0..2 {
        // A claim may come again: it changes nothing.
        scene.settled(&claim(vec![scene.row(1, 10_000, 10_000)], None)).await;
    }
    assert_eq!(at_once(scene.pay_out(), ChannelInvalid::NothingToSettle).await, 1);
    assert_eq!(scene.money().await, (900_000, 90_000, 10_000));
    let refund = scene.refund(1, 1_000, vec![], true).await;
    assert_eq!(at_once(refund, ChannelInvalid::RefundSimulation).await, 1);
    assert_eq!(scene.money().await, (901_000, 89_000, 10_000));
}

#[tokio::test]
async fn an_order_that_was_taken_back_is_refused_before_it_costs_anything() {
    let scene = Scene::begin().await;
    let id = canal::domain().channel_id(&scene.config(1));
    let nonce = payments::channel::voucher::deposit_nonce(id, U256::from(1));
    town::cancel(&scene.town, &scene.payer, nonce).await;
    let deposit = scene.deposit(1, 100_000, 1, 10_000);
    let code = Some(ChannelInvalid::DepositSimulation.code());
    assert_eq!(scene.verify(&deposit).await.invalid_reason.as_deref(), code);
    let block = scene.town.block().await;
    assert_eq!(scene.settle(&deposit).await.error_reason.as_deref(), code);
    assert_eq!((scene.town.block().await, scene.money().await.1), (block, 0));
}

#[tokio::test]
async fn strangers_get_claims_signed_and_bring_the_word_for_refunds_themselves() {
    let scene = Scene::begin().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = facilitator::router(scene.facilitator.clone());
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let http = town::http();
    let supported: Value =
        http.get(format!("{url}/supported")).send().await.unwrap().json().await.unwrap();
    let kinds = supported["kinds"].as_array().unwrap();
    assert_eq!(
        *kinds.iter().find(|kind| kind["scheme"] == canal::SCHEME).unwrap(),
        json!({
            "x402Version": 2, "scheme": canal::SCHEME, "network": "eip155:402402",
            "extra": { "receiverAuthorizer": scene.authorizer.address().to_string() }
        })
    );
    let ask = async |payload: &Payload| -> SettleResponse {
        let terms = scene.terms();
        let request = FacilitatorRequest {
            x402_version: 2,
            payment_payload: canal::wrap(payload, &terms),
            payment_requirements: terms,
        };
        let answer = http.post(format!("{url}/settle")).json(&request).send().await.unwrap();
        answer.json().await.unwrap()
    };
    assert!(ask(&scene.deposit(1, 100_000, 1, 10_000)).await.success);
    let theft = ask(&scene.refund(1, 100_000, vec![], false).await).await;
    assert_eq!(theft.error_reason.as_deref(), Some(ChannelInvalid::AuthorizerMissing.code()));
    assert!(ask(&claim(vec![scene.row(1, 10_000, 10_000)], None)).await.success);
    assert!(ask(&scene.refund(1, 100_000, vec![], true).await).await.success);
    assert!(ask(&scene.pay_out()).await.success);
    assert_eq!(scene.money().await, (990_000, 0, 10_000));
    server.abort();
}

#[tokio::test]
async fn the_addresses_are_those_of_the_genesis() {
    use protocol::addresses;
    use settlement::channels;
    assert_eq!(channels::CONTRACT, addresses::BATCH_SETTLEMENT);
    assert_eq!(channels::AUTHORIZATION_COLLECTOR, addresses::ERC3009_DEPOSIT_COLLECTOR);
    assert_eq!(channels::PERMIT_COLLECTOR, addresses::PERMIT2_DEPOSIT_COLLECTOR);
    let scene = Scene::begin().await;
    let (config, chain) = (scene.config(1), &scene.town.chain);
    let too_long = settlement::channels::Config { withdraw_delay: 1 << 40, ..config.into() };
    let signature = Bytes::new();
    let refund =
        Act::Refund { config: too_long, amount: 1, nonce: U256::ZERO, signature, claims: None };
    assert!(chain.try_in_channels(&refund).await.is_err());
}
