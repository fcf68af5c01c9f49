//! Contract wallets pay in every scheme, by signatures that they check themselves (EIP-1271), and in
//! those that can make a wallet first (EIP-6492) also before they exist.

use crate::town;

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, U256};
use payments::wire::{PaymentPayload, PaymentRequirements};
use payments::{EmbeddedFacilitator, EscrowTerms, Facilitator as _, GateLimits, Way};
use protocol::EMBEDDED_CHAIN_ID;
use protocol::addresses::CREATE2_DEPLOYER;
use settlement::PermitOrder;
use town::shop::Shop;
use town::wallet::SmartWallet;
use town::{PRICE, Town, escrow, permits, seller};

/// What no wallet here has, in minor units.
const MORE_THAN_IT_HAS: u64 = 2_000_000;

/// In how many ways a wallet can pay once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Authorization,
    Permit,
    Upto,
    Escrow,
    EscrowByPermit,
}

const KINDS: [Kind; 5] =
    [Kind::Authorization, Kind::Permit, Kind::Upto, Kind::Escrow, Kind::EscrowByPermit];

impl Kind {
    /// What is said where the wallet's word is not the signature.
    fn bad_signature(self) -> &'static str {
        match self {
            Kind::Authorization => "invalid_exact_evm_signature",
            Kind::Permit | Kind::Upto => "invalid_permit2_signature",
            Kind::Escrow | Kind::EscrowByPermit => "invalid_auth_capture_signature",
        }
    }

    fn terms(self, town: &Town) -> EscrowTerms {
        EscrowTerms { by_permit: self == Kind::EscrowByPermit, ..escrow::terms(town) }
    }

    /// The wallet's payment with whatever `sign` makes of what is to be signed.
    fn payment(
        self,
        town: &Town,
        wallet: &SmartWallet,
        number: u64,
        sign: impl Fn(B256) -> Bytes,
    ) -> PaymentPayload {
        match self {
            Kind::Authorization => {
                let mut order = town.order(&wallet.owner, number);
                order.from = wallet.address;
                order.signature = sign(payments::exact::signing_hash(&order, town.token()));
                town.wrap(&order)
            }
            Kind::Permit | Kind::Upto => {
                let metered = self == Kind::Upto;
                let mut order = permits::order(town, &wallet.owner, number, metered);
                order.payer = wallet.address;
                order.signature = sign(order.signing_hash(EMBEDDED_CHAIN_ID));
                permits::wrap(town, &order)
            }
            Kind::Escrow | Kind::EscrowByPermit => {
                let terms = self.terms(town);
                let mut order = escrow::order(town, wallet.address.into(), number, terms);
                order.signature = sign(order.signing_hash(town.token()));
                escrow::wrap(escrow::asked(town, terms), order)
            }
        }
    }

    /// A shop that is paid in this way alone, through this facilitator.
    async fn shop(self, town: &Town, facilitator: Arc<EmbeddedFacilitator>) -> Shop {
        let way = match self {
            Kind::Authorization => Way::Authorization,
            Kind::Permit => Way::Permit,
            Kind::Upto => Way::UpTo { facilitator: town.chain.sender() },
            Kind::Escrow | Kind::EscrowByPermit => Way::Escrow(self.terms(town)),
        };
        town.shop_of(facilitator, GateLimits::default(), permits::only(way)).await
    }
}

fn asked(payment: &PaymentPayload) -> PaymentRequirements {
    payment.accepted.clone()
}

#[tokio::test]
async fn a_wallet_that_exists_pays_by_its_own_word_in_every_way() {
    let town = Town::begin().await;
    let wallet = SmartWallet::made(&town, 0x41).await;
    let facilitator = town.facilitator();
    for (number, kind) in (1..).zip(KINDS) {
        let shop = kind.shop(&town, facilitator.clone()).await;
        let before = (town.owns(wallet.address.into()).await, town.owns(seller()).await);
        // The wallet is handed the payment's own hash: its owner's signature of another is none.
        let digest = town.digest();
        let other = kind.payment(&town, &wallet, number, |hash| wallet.sign(!hash));
        let answer = shop.pay(&other, "hello").await;
        assert_eq!(answer.code(), kind.bad_signature(), "{kind:?}: {}", answer.text);
        // And nobody else's key signs for it.
        let stranger = town::person(0x42).transaction_signer();
        let theirs = kind.payment(&town, &wallet, number, |hash| {
            protocol::sign_hash(&stranger, hash).as_bytes().to_vec().into()
        });
        assert_eq!(shop.pay(&theirs, "hello").await.code(), kind.bad_signature(), "{kind:?}");
        assert_eq!(town.digest(), digest, "{kind:?}: what is refused leaves no trace");
        assert_eq!(shop.work.count(), 0);

        let good = kind.payment(&town, &wallet, number, |hash| wallet.sign(hash));
        let answer = shop.pay(&good, "hello").await;
        assert_eq!(answer.status, 200, "{kind:?}: {}", answer.text);
        let after = (town.owns(wallet.address.into()).await, town.owns(seller()).await);
        let price = i128::from(PRICE);
        assert_eq!((before.0 - after.0, after.1 - before.1), (price, price), "{kind:?}");
        assert_eq!(shop.pay(&good, "hello").await, answer, "{kind:?}: once, and stored");
        assert_eq!(shop.work.count(), 1, "{kind:?}");
    }
    town.is_whole(&[seller()]).await;
}

#[tokio::test]
async fn a_wallet_is_made_by_its_first_payment_in_every_way_if_its_maker_is_allowed() {
    let town = Town::begin().await;
    let open = Arc::new(
        EmbeddedFacilitator::new(town.chain.clone(), town.clock.clone())
            .with_factories(vec![CREATE2_DEPLOYER]),
    );
    let closed = town.facilitator();
    for (number, kind) in (0x51_u8..).zip(KINDS) {
        let wallet = SmartWallet::foretold(&town, number).await;
        let first = kind.payment(&town, &wallet, 1, |hash| wallet.sign_wrapped(hash));
        // By default nobody makes anything.
        let verdict = closed.verify(&first, &asked(&first)).await.unwrap();
        let said = verdict.invalid_reason.as_deref();
        assert_eq!(said, Some("eip6492_factory_not_allowed"), "{kind:?}");
        // A wallet that would not sign this is not made for it.
        let block = town.block().await;
        let other = kind.payment(&town, &wallet, 1, |hash| wallet.sign_wrapped(!hash));
        assert!(!open.verify(&other, &asked(&other)).await.unwrap().is_valid, "{kind:?}");
        let settled = open.settle(&other, &asked(&other)).await.unwrap();
        assert!(!settled.success && settled.transaction.is_empty(), "{kind:?}: {settled:?}");
        assert_eq!(town.block().await, block, "{kind:?}: nothing is sent for it");

        let verdict = open.verify(&first, &asked(&first)).await.unwrap();
        assert!(verdict.is_valid, "{kind:?}: {verdict:?}");
        assert!(!wallet.exists(&town).await, "{kind:?}: trying makes nothing");
        let shop = kind.shop(&town, open.clone()).await;
        let before = town.owns(seller()).await;
        let answer = shop.pay(&first, "hello").await;
        assert_eq!(answer.status, 200, "{kind:?}: {}", answer.text);
        assert!(wallet.exists(&town).await, "{kind:?}");
        assert_eq!(town.owns(seller()).await - before, i128::from(PRICE), "{kind:?}");
        // It exists now: a wrapped signature is still good, and needs no maker that is allowed.
        let second = kind.payment(&town, &wallet, 2, |hash| wallet.sign_wrapped(hash));
        let shop = kind.shop(&town, closed.clone()).await;
        let answer = shop.pay(&second, "hello").await;
        assert_eq!(answer.status, 200, "{kind:?}: {}", answer.text);
        assert_eq!(town.owns(seller()).await - before, 2 * i128::from(PRICE), "{kind:?}");
    }
    town.is_whole(&[seller()]).await;
}

/// What is said of a wallet that would be there and could not pay, and at what cost: none.
#[tokio::test]
async fn no_wallet_is_made_for_a_payment_that_would_fail() {
    let town = Town::begin().await;
    let open = EmbeddedFacilitator::new(town.chain.clone(), town.clock.clone())
        .with_factories(vec![CREATE2_DEPLOYER]);
    let poor = SmartWallet::foretold(&town, 0x61).await;
    for metered in [false, true] {
        let block = town.block().await;
        let mut order = permits::order(&town, &poor.owner, 1, metered);
        order.payer = poor.address;
        match &mut order.order {
            PermitOrder::Exact(order) => order.permitted.amount = U256::from(MORE_THAN_IT_HAS),
            PermitOrder::Upto(order) => order.permitted.amount = U256::from(MORE_THAN_IT_HAS),
        }
        order.signature = poor.sign_wrapped(order.signing_hash(EMBEDDED_CHAIN_ID));
        let mut payment = permits::wrap(&town, &order);
        payment.accepted.amount = MORE_THAN_IT_HAS.to_string();
        let asked = asked(&payment);
        let verdict = open.verify(&payment, &asked).await.unwrap();
        assert_eq!(verdict.invalid_reason.as_deref(), Some("permit2_insufficient_balance"));
        let settled = open.settle(&payment, &asked).await.unwrap();
        assert_eq!(settled.error_reason.as_deref(), Some("permit2_insufficient_balance"));
        assert_eq!(town.block().await, block, "nothing is sent for it");
        assert!(!poor.exists(&town).await);
    }
}
