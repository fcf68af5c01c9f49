//! Channels live on a real EVM, from genesis: what this crate names and hashes is what they accept.

mod evm;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolConstructor, SolError, SolEvent};
use evm::{Evm, NOW, key, sign};
use protocol::addresses::{
    BATCH_SETTLEMENT, ERC3009_DEPOSIT_COLLECTOR, MACHINA_DOLLAR, PERMIT2, PERMIT2_DEPOSIT_COLLECTOR,
};
use protocol::bindings::x402BatchSettlement::{self, VoucherClaim};
use protocol::bindings::{ERC3009DepositCollector, Permit2DepositCollector};
use protocol::channels::{
    ChannelConfig, ClaimBatch, ClaimEntry, DepositPermit, DepositWitness,
    MAX_WITHDRAW_DELAY_SECONDS, MIN_WITHDRAW_DELAY_SECONDS, Refund, TokenPermissions, Voucher,
    allowance_permit_data, channel_domain, channel_id, deposit_nonce, erc3009_collector_data,
    permit2_collector_data,
};
use protocol::genesis::genesis_on;
use protocol::permit2::{Permit, permit2_domain};
use protocol::{
    EMBEDDED_CHAIN_ID, GenesisAccount, MachinaDollar, ReceiveWithAuthorization,
    embedded_dollar_domain, genesis,
};

const MINTER: Address = address!("0x00000000000000000000000000000000000a11ce");
const ANYONE: Address = address!("0x0000000000000000000000000000000000000b0b");
const SELLER: Address = address!("0x0000000000000000000000000000000000005e11");

/// A chain on which `payer` has 1,000,000 minor units, and a channel of the payer's.
struct Scene {
    evm: Evm,
    payer: PrivateKeySigner,
    voucher_key: PrivateKeySigner,
    authorizer: PrivateKeySigner,
    channel: ChannelConfig,
    id: B256,
}

fn scene(chain_id: u64) -> Scene {
    let (payer, voucher_key, authorizer) = (key(1), key(2), key(3));
    let mut evm = Evm::with(&genesis(MINTER, &[]).unwrap(), chain_id);
    let mint = MachinaDollar::mintCall { to: payer.address(), value: U256::from(1_000_000) };
    evm.call(MINTER, MACHINA_DOLLAR, mint).unwrap();
    let channel = ChannelConfig {
        payer: payer.address(),
        payerAuthorizer: voucher_key.address(),
        receiver: SELLER,
        receiverAuthorizer: authorizer.address(),
        token: MACHINA_DOLLAR,
        withdrawDelay: MIN_WITHDRAW_DELAY_SECONDS.to_string().parse().unwrap(),
        salt: B256::ZERO,
    };
    let id = channel_id(&channel, chain_id);
    Scene { evm, payer, voucher_key, authorizer, channel, id }
}

impl Scene {
    fn deposit(&mut self, amount: u64) {
        let salt = U256::from(amount);
        let order = ReceiveWithAuthorization {
            from: self.payer.address(),
            to: ERC3009_DEPOSIT_COLLECTOR,
            value: U256::from(amount),
            validAfter: U256::ZERO,
            validBefore: U256::from(NOW + 60),
            nonce: deposit_nonce(self.id, salt),
        };
        let domain = embedded_dollar_domain(self.evm.chain_id);
        let (_, signature) = sign(&self.payer, &order, &domain);
        let call = x402BatchSettlement::depositCall {
            config: self.channel.clone(),
            amount: amount.into(),
            collector: ERC3009_DEPOSIT_COLLECTOR,
            collectorData: erc3009_collector_data(
                order.validAfter,
                order.validBefore,
                salt,
                signature,
            ),
        };
        self.evm.call(ANYONE, BATCH_SETTLEMENT, call).unwrap();
    }

    /// A claim of `total` under a voucher for as much, signed by both sides.
    fn claim(&self, total: u128) -> x402BatchSettlement::claimWithSignatureCall {
        let domain = channel_domain(self.evm.chain_id);
        let voucher = Voucher { channelId: self.id, maxClaimableAmount: total };
        let (_, signature) = sign(&self.voucher_key, &voucher, &domain);
        let entry =
            ClaimEntry { channelId: self.id, maxClaimableAmount: total, totalClaimed: total };
        let (_, authorizer_signature) =
            sign(&self.authorizer, &ClaimBatch { claims: vec![entry] }, &domain);
        let channel = self.channel.clone();
        x402BatchSettlement::claimWithSignatureCall {
            voucherClaims: vec![VoucherClaim {
                voucher: x402BatchSettlement::Voucher { channel, maxClaimableAmount: total },
                signature,
                totalClaimed: total,
            }],
            authorizerSignature: authorizer_signature,
        }
    }

    fn refund(&self, amount: u128, nonce: u64) -> x402BatchSettlement::refundWithSignatureCall {
        let refund = Refund { channelId: self.id, nonce: U256::from(nonce), amount };
        let (_, signature) = sign(&self.authorizer, &refund, &channel_domain(self.evm.chain_id));
        x402BatchSettlement::refundWithSignatureCall {
            config: self.channel.clone(),
            amount,
            nonce: refund.nonce,
            receiverAuthorizerSignature: signature,
        }
    }

    /// What the channel holds, and what of it is claimed.
    fn state(&mut self) -> (u128, u128) {
        let call = x402BatchSettlement::channelsCall { channelId: self.id };
        let state = self.evm.call(ANYONE, BATCH_SETTLEMENT, call).unwrap();
        (state.balance, state.totalClaimed)
    }

    fn balance(&mut self, account: Address) -> u64 {
        let call = MachinaDollar::balanceOfCall { account };
        self.evm.call(ANYONE, MACHINA_DOLLAR, call).unwrap().to()
    }
}

/// Each constructor is put at its contract's address and called there, and compared byte for byte.
#[test]
fn genesis_is_what_the_constructors_make() {
    let erc3009 = ERC3009DepositCollector::constructorCall { settlement: BATCH_SETTLEMENT };
    let permit2 =
        Permit2DepositCollector::constructorCall { settlement: BATCH_SETTLEMENT, permit2: PERMIT2 };
    let constructors = [
        (BATCH_SETTLEMENT, x402BatchSettlement::BYTECODE.to_vec()),
        (
            ERC3009_DEPOSIT_COLLECTOR,
            [&ERC3009DepositCollector::BYTECODE[..], &erc3009.abi_encode()].concat(),
        ),
        (
            PERMIT2_DEPOSIT_COLLECTOR,
            [&Permit2DepositCollector::BYTECODE[..], &permit2.abi_encode()].concat(),
        ),
    ];
    for chain_id in [EMBEDDED_CHAIN_ID, 1, 8453] {
        let accounts = genesis_on(chain_id, MINTER, &[]).unwrap();
        for (address, constructor) in constructors.clone() {
            let blank = GenesisAccount {
                address,
                balance: U256::ZERO,
                nonce: 1,
                code: constructor.into(),
                storage: Vec::new(),
            };
            let mut evm = Evm::with(&[blank], chain_id);
            let (answer, _) = evm.send(ANYONE, TxKind::Call(address), Bytes::new());
            let made = accounts.iter().find(|account| account.address == address).unwrap();
            assert_eq!(answer.unwrap().0, made.code, "{address} on chain {chain_id}");
            assert_eq!(evm.storage(address), made.storage);
        }
    }
}

#[test]
fn a_channel_is_named_as_the_contract_names_it_on_any_chain() {
    for chain_id in [EMBEDDED_CHAIN_ID, 31337] {
        // Beyond the first chain the genesis was made for another, and the contract follows.
        let mut scene = scene(chain_id);
        let call = x402BatchSettlement::getChannelIdCall { config: scene.channel.clone() };
        let id = scene.evm.call(ANYONE, BATCH_SETTLEMENT, call).unwrap();
        assert_eq!(id, scene.id);
        let told = scene
            .evm
            .call(ANYONE, BATCH_SETTLEMENT, x402BatchSettlement::eip712DomainCall {})
            .unwrap();
        let domain = channel_domain(chain_id);
        assert_eq!(Some(told.name.as_str()), domain.name.as_deref());
        assert_eq!(Some(told.version.as_str()), domain.version.as_deref());
        assert_eq!(Some(told.chainId), domain.chain_id);
        assert_eq!(Some(told.verifyingContract), domain.verifying_contract);
    }
}

#[test]
fn the_contracts_bounds_are_this_crates() {
    let mut evm = scene(EMBEDDED_CHAIN_ID).evm;
    let shortest = x402BatchSettlement::MIN_WITHDRAW_DELAYCall {};
    let shortest = evm.call(ANYONE, BATCH_SETTLEMENT, shortest).unwrap();
    assert_eq!(shortest.to_string(), MIN_WITHDRAW_DELAY_SECONDS.to_string());
    let longest = x402BatchSettlement::MAX_WITHDRAW_DELAYCall {};
    let longest = evm.call(ANYONE, BATCH_SETTLEMENT, longest).unwrap();
    assert_eq!(longest.to_string(), MAX_WITHDRAW_DELAY_SECONDS.to_string());
}

#[test]
fn deposit_claim_settle_and_refund_move_what_was_signed_and_no_more() {
    let mut scene = scene(EMBEDDED_CHAIN_ID);
    let payer = scene.payer.address();
    scene.deposit(100_000);
    assert_eq!(scene.state(), (100_000, 0));
    assert_eq!(scene.balance(payer), 900_000);

    let claim = scene.claim(30_000);
    for _ in 0..2 {
        // The second time it changes nothing.
        scene.evm.call(ANYONE, BATCH_SETTLEMENT, claim.clone()).unwrap();
        assert_eq!(scene.state(), (100_000, 30_000));
    }
    assert_eq!(scene.balance(SELLER), 0);

    let settle = x402BatchSettlement::settleCall { receiver: SELLER, token: MACHINA_DOLLAR };
    let call = settle.abi_encode().into();
    let (answer, _) = scene.evm.send(ANYONE, TxKind::Call(BATCH_SETTLEMENT), call);
    let (_, logs) = answer.unwrap();
    let settled = x402BatchSettlement::Settled::decode_log(logs.last().unwrap()).unwrap();
    assert_eq!((settled.receiver, settled.amount), (SELLER, 30_000));
    assert_eq!(scene.balance(SELLER), 30_000);

    let refund = scene.refund(70_000, 0);
    scene.evm.call(ANYONE, BATCH_SETTLEMENT, refund.clone()).unwrap();
    assert_eq!(scene.balance(payer), 970_000);
    assert_eq!(scene.balance(BATCH_SETTLEMENT), 0);
    let again = scene.evm.call(ANYONE, BATCH_SETTLEMENT, refund).unwrap_err();
    assert_eq!(again, x402BatchSettlement::InvalidRefundNonce {}.abi_encode());
}

/// A payer without gas: it approves Permit2 by one signature and deposits by another.
#[test]
fn a_deposit_by_permit2_needs_nothing_but_signatures() {
    let mut scene = scene(EMBEDDED_CHAIN_ID);
    let (payer, amount) = (scene.payer.address(), U256::from(100_000));
    let deadline = U256::from(NOW + 60);
    let approval =
        Permit { owner: payer, spender: PERMIT2, value: amount, nonce: U256::ZERO, deadline };
    let (parts, _) = sign(&scene.payer, &approval, &embedded_dollar_domain(EMBEDDED_CHAIN_ID));
    let permit = DepositPermit {
        permitted: TokenPermissions { token: MACHINA_DOLLAR, amount },
        spender: PERMIT2_DEPOSIT_COLLECTOR,
        nonce: U256::from(9),
        deadline,
        witness: DepositWitness { channelId: scene.id },
    };
    let (_, signature) = sign(&scene.payer, &permit, &permit2_domain(EMBEDDED_CHAIN_ID));
    let allowance = allowance_permit_data(amount, deadline, parts);
    let mut call = x402BatchSettlement::depositCall {
        config: scene.channel.clone(),
        amount: 100_000,
        collector: PERMIT2_DEPOSIT_COLLECTOR,
        collectorData: permit2_collector_data(permit.nonce, deadline, signature, allowance),
    };
    call.config.salt = B256::repeat_byte(1);
    scene.evm.call(ANYONE, BATCH_SETTLEMENT, call.clone()).unwrap_err();
    call.config.salt = scene.channel.salt;
    scene.evm.call(ANYONE, BATCH_SETTLEMENT, call).unwrap();
    assert_eq!(scene.state(), (100_000, 0));
    assert_eq!(scene.balance(payer), 900_000);
}

#[test]
fn a_claim_signed_for_another_chain_moves_nothing() {
    let mut here = scene(EMBEDDED_CHAIN_ID);
    here.deposit(100_000);
    let mut there = scene(31337);
    there.deposit(100_000);
    let refusal = there.evm.call(ANYONE, BATCH_SETTLEMENT, here.claim(1)).unwrap_err();
    assert_eq!(refusal, x402BatchSettlement::InvalidSignature {}.abi_encode());
    let good = there.claim(1);
    there.evm.call(ANYONE, BATCH_SETTLEMENT, good).unwrap();
}

#[test]
fn the_payer_gets_the_unclaimed_rest_alone_after_the_delay() {
    let mut scene = scene(EMBEDDED_CHAIN_ID);
    let payer = scene.payer.address();
    scene.deposit(100_000);
    let config = scene.channel.clone();
    let ask = x402BatchSettlement::initiateWithdrawCall { config: config.clone(), amount: 100_000 };
    scene.evm.call(payer, BATCH_SETTLEMENT, ask).unwrap();
    let claim = scene.claim(30_000);
    scene.evm.call(ANYONE, BATCH_SETTLEMENT, claim).unwrap();

    let take = x402BatchSettlement::finalizeWithdrawCall { config };
    scene.evm.now = NOW + MIN_WITHDRAW_DELAY_SECONDS - 1;
    let early = scene.evm.call(payer, BATCH_SETTLEMENT, take.clone()).unwrap_err();
    assert_eq!(early, x402BatchSettlement::WithdrawDelayNotElapsed {}.abi_encode());
    scene.evm.now += 1;
    scene.evm.call(payer, BATCH_SETTLEMENT, take).unwrap();
    assert_eq!(scene.balance(payer), 970_000);
    assert_eq!(scene.state(), (30_000, 30_000));
}

/// Stock facilitators send these with the fewest gas that they ever allow: 120,000 to settle and
/// 300,000 to deposit (`@x402/evm` 2.27.0). The figures here are of a first call, with cold storage.
#[test]
fn each_step_costs_less_gas_than_stock_facilitators_allow() {
    let mut scene = scene(EMBEDDED_CHAIN_ID);
    scene.evm.gas_limit = 300_000;
    scene.deposit(100_000);
    let claim = scene.claim(30_000);
    scene.evm.call(ANYONE, BATCH_SETTLEMENT, claim).unwrap();
    scene.evm.gas_limit = 120_000;
    let settle = x402BatchSettlement::settleCall { receiver: SELLER, token: MACHINA_DOLLAR };
    scene.evm.call(ANYONE, BATCH_SETTLEMENT, settle).unwrap();
    assert_eq!(scene.balance(SELLER), 30_000);
}
