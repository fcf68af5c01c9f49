//! Payments through Permit2 on a real EVM: what Rust signs and calls is what the contracts accept,
//! and what stock clients sign.

mod evm;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, b256, hex, keccak256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, SolError, SolEvent, SolStruct};
use evm::{Evm, NOW, key, sign};
use protocol::addresses::{
    MACHINA_DOLLAR, PERMIT2, X402_EXACT_PERMIT2_PROXY, X402_UPTO_PERMIT2_PROXY,
};
use protocol::bindings::permit2::{ExactPermit2Proxy, Permit2, UptoPermit2Proxy};
use protocol::genesis::genesis_on;
use protocol::permit2::{
    ExactOrder, ExactWitness, Permit, SignedApproval, TokenPermissions, UptoOrder, UptoWitness,
    nonce_place, permit2_domain, settle_exact, settle_exact_with_approval, settle_upto,
    settle_upto_with_approval,
};
use protocol::{EMBEDDED_CHAIN_ID, MachinaDollar, embedded_dollar_domain, genesis};

const MINTER: Address = address!("0x00000000000000000000000000000000000a11ce");
const FACILITATOR: Address = address!("0x0000000000000000000000000000000000000b0b");
const SELLER: Address = address!("0x0000000000000000000000000000000000005e11");

/// A chain on which the payer has a million minor units.
fn town(payer: &PrivateKeySigner) -> Evm {
    let mut evm = Evm::with(&genesis(MINTER, &[]).unwrap(), EMBEDDED_CHAIN_ID);
    let mint = MachinaDollar::mintCall { to: payer.address(), value: U256::from(1_000_000) };
    evm.call(MINTER, MACHINA_DOLLAR, mint).unwrap();
    evm
}

fn approve(evm: &mut Evm, payer: &PrivateKeySigner) {
    let call = MachinaDollar::approveCall { spender: PERMIT2, value: U256::MAX };
    evm.call(payer.address(), MACHINA_DOLLAR, call).unwrap();
}

fn balance(evm: &mut Evm, account: Address) -> u64 {
    let call = MachinaDollar::balanceOfCall { account };
    evm.call(FACILITATOR, MACHINA_DOLLAR, call).unwrap().to()
}

fn permitted() -> TokenPermissions {
    TokenPermissions { token: MACHINA_DOLLAR, amount: U256::from(400_000) }
}

fn nonce() -> U256 {
    (U256::from(7) << 200) + U256::from(5)
}

fn exact_order() -> ExactOrder {
    ExactOrder {
        permitted: permitted(),
        spender: X402_EXACT_PERMIT2_PROXY,
        nonce: nonce(),
        deadline: U256::from(NOW + 60),
        witness: ExactWitness { to: SELLER, validAfter: U256::from(NOW - 1) },
    }
}

fn upto_order() -> UptoOrder {
    UptoOrder {
        permitted: permitted(),
        spender: X402_UPTO_PERMIT2_PROXY,
        nonce: nonce(),
        deadline: U256::from(NOW + 60),
        witness: UptoWitness {
            to: SELLER,
            facilitator: FACILITATOR,
            validAfter: U256::from(NOW - 1),
        },
    }
}

fn signature<T: SolStruct>(payer: &PrivateKeySigner, order: &T) -> Bytes {
    sign(payer, order, &permit2_domain(EMBEDDED_CHAIN_ID)).1
}

/// The payer's first approval of Permit2, by signature.
fn approval(payer: &PrivateKeySigner) -> SignedApproval {
    let (value, deadline) = (permitted().amount, U256::from(NOW + 60));
    let permit =
        Permit { owner: payer.address(), spender: PERMIT2, value, nonce: U256::ZERO, deadline };
    let ((v, r, s), _) = sign(payer, &permit, &embedded_dollar_domain(EMBEDDED_CHAIN_ID));
    SignedApproval { value, deadline, v, r, s }
}

/// Sends a call that must go through, and gives the last event's first topic: the proxy's own.
fn settled(evm: &mut Evm, from: Address, proxy: Address, call: Vec<u8>) -> B256 {
    let (_, logs) = evm.send(from, TxKind::Call(proxy), call.into()).0.unwrap();
    let last = logs.last().unwrap();
    assert_eq!(last.address, proxy);
    last.topics()[0]
}

fn refusal(evm: &mut Evm, from: Address, proxy: Address, call: Vec<u8>) -> Bytes {
    evm.send(from, TxKind::Call(proxy), call.into()).0.unwrap_err()
}

/// Wherever and on whatever chain they are deployed: their constructors set nothing.
#[test]
fn genesis_is_byte_for_byte_what_the_constructors_make() {
    for chain_id in [EMBEDDED_CHAIN_ID, 1, 8453] {
        let accounts = genesis_on(chain_id, MINTER, &[]).unwrap();
        let mut evm = Evm::with(&accounts, chain_id);
        for (at, init_code) in [
            (PERMIT2, &Permit2::BYTECODE),
            (X402_EXACT_PERMIT2_PROXY, &ExactPermit2Proxy::BYTECODE),
            (X402_UPTO_PERMIT2_PROXY, &UptoPermit2Proxy::BYTECODE),
        ] {
            let made = accounts.iter().find(|account| account.address == at).unwrap();
            let deployed = evm.deploy(FACILITATOR, init_code.clone());
            assert_eq!(evm.code(deployed), made.code);
            assert_eq!(evm.storage(deployed), made.storage);
            assert_eq!((made.nonce, made.balance), (1, U256::ZERO));
        }
    }
}

#[test]
fn the_domain_is_right_on_every_chain() {
    // Computed with viem 2's hashDomain; that of chain 1 is also what the public contract answers.
    let published = [
        (402_402, b256!("0x7154c4bc15faaa43c235f0e2f025ba02976f795cab3508950cf66066fe21bef0")),
        (1, b256!("0x866a5aba21966af95d6c7ab78eb2b2fc913915c28be3b9aa07cc04ff903e3f28")),
        (8453, b256!("0x3b6f35e4fce979ef8eac3bcdc8c3fc38fe7911bb0c69c8fe72bf1fd1a17e6f07")),
    ];
    let accounts = genesis(MINTER, &[]).unwrap();
    for (chain_id, separator) in published {
        assert_eq!(permit2_domain(chain_id).separator(), separator);
        let mut evm = Evm::with(&accounts, chain_id);
        let told = evm.call(FACILITATOR, PERMIT2, Permit2::DOMAIN_SEPARATORCall {}).unwrap();
        assert_eq!(told, separator);
    }
}

/// Types, hashes and signatures computed with viem 2 from the types in `@x402/evm` 2.27.
#[test]
fn a_payer_signs_what_stock_clients_sign() {
    assert_eq!(
        ExactOrder::eip712_encode_type(),
        "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,\
         uint256 deadline,Witness witness)TokenPermissions(address token,uint256 amount)\
         Witness(address to,uint256 validAfter)"
    );
    assert_eq!(
        UptoOrder::eip712_encode_type(),
        "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,\
         uint256 deadline,Witness witness)TokenPermissions(address token,uint256 amount)\
         Witness(address to,address facilitator,uint256 validAfter)"
    );
    let (exact, upto, domain) = (exact_order(), upto_order(), permit2_domain(EMBEDDED_CHAIN_ID));
    assert_eq!(
        exact.eip712_type_hash(),
        b256!("0xebc156cd23678a74c94df13d772ef5478420637f0c94bd10d509e1dc98f521c7")
    );
    assert_eq!(
        exact.eip712_signing_hash(&domain),
        b256!("0xe33bde9c55fcaa7b1f137aff6a98e64d088ddabd57446960239d634d9ee37ea8")
    );
    assert_eq!(
        upto.eip712_type_hash(),
        b256!("0x51dff6974ad4388c499e7fcfe838d2bd767162553a144098ce20ea661d70c2ee")
    );
    assert_eq!(
        upto.eip712_signing_hash(&domain),
        b256!("0xa319e8f23f2b885c0756758163b638fe7da870ae64e8dd94b45e6078c4426635")
    );
    assert_eq!(
        signature(&key(1), &exact)[..],
        hex!(
            "10ae5984d51ce32949ff6d57362e3c79b178df783955ff0e5719c5ba92720666"
            "1c5f2a2215d9ea6fc0872f3890bbd43ad7a7ba192890e2382814263a0a1f631f1b"
        )
    );
    assert_eq!(
        signature(&key(1), &upto)[..],
        hex!(
            "629d0a0345cb816b045a1d27a77b8be0a7a3b5b94d0d0e004e9f4fad6059ab6f"
            "6b9915a2671ec6b7e149f061c3ed7f1983eb15a0a0159894a2dd5ebf4c3d91871b"
        )
    );
    // EIP-2612 lists it.
    assert_eq!(
        keccak256(Permit::eip712_encode_type().as_bytes()),
        b256!("0x6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9")
    );
}

#[test]
fn the_proxies_name_permit2_and_the_witness_that_rust_signs() {
    let mut evm = Evm::with(&genesis(MINTER, &[]).unwrap(), EMBEDDED_CHAIN_ID);
    let (exact, upto) = (X402_EXACT_PERMIT2_PROXY, X402_UPTO_PERMIT2_PROXY);
    let told = evm.call(FACILITATOR, exact, ExactPermit2Proxy::PERMIT2Call {}).unwrap();
    assert_eq!(told, PERMIT2);
    let told = evm.call(FACILITATOR, upto, UptoPermit2Proxy::PERMIT2Call {}).unwrap();
    assert_eq!(told, PERMIT2);
    let told = evm.call(FACILITATOR, exact, ExactPermit2Proxy::WITNESS_TYPEHASHCall {}).unwrap();
    assert_eq!(told, exact_order().witness.eip712_type_hash());
    let told = evm.call(FACILITATOR, upto, UptoPermit2Proxy::WITNESS_TYPEHASHCall {}).unwrap();
    assert_eq!(told, upto_order().witness.eip712_type_hash());
}

#[test]
fn an_exact_order_pays_once_whoever_carries_it() {
    let payer = key(1);
    let mut evm = town(&payer);
    approve(&mut evm, &payer);
    let order = exact_order();
    let call = settle_exact(&order, payer.address(), signature(&payer, &order)).abi_encode();
    let topic = settled(&mut evm, SELLER, X402_EXACT_PERMIT2_PROXY, call.clone());
    assert_eq!(topic, ExactPermit2Proxy::Settled::SIGNATURE_HASH);
    assert_eq!(balance(&mut evm, SELLER), 400_000);
    assert_eq!(balance(&mut evm, payer.address()), 600_000);

    let (word, bit) = nonce_place(order.nonce);
    let bitmap = Permit2::nonceBitmapCall { owner: payer.address(), word };
    assert_eq!(evm.call(FACILITATOR, PERMIT2, bitmap).unwrap(), bit);
    let again = refusal(&mut evm, FACILITATOR, X402_EXACT_PERMIT2_PROXY, call);
    assert_eq!(again, Permit2::InvalidNonce {}.abi_encode());
    assert_eq!(balance(&mut evm, SELLER), 400_000);
}

#[test]
fn an_order_that_the_payer_did_not_sign_so_moves_nothing() {
    let payer = key(1);
    let mut evm = town(&payer);
    approve(&mut evm, &payer);
    let order = exact_order();
    let signed = signature(&payer, &order);
    let mut elsewhere = order;
    elsewhere.witness.to = FACILITATOR;
    let mut more = order;
    more.permitted.amount += U256::ONE;
    let other_chain = sign(&payer, &order, &permit2_domain(1)).1;
    for (order, signature) in [
        (elsewhere, signed.clone()),
        (more, signed),
        (order, other_chain),
        (order, signature(&key(2), &order)),
    ] {
        let call = settle_exact(&order, payer.address(), signature).abi_encode();
        let told = refusal(&mut evm, FACILITATOR, X402_EXACT_PERMIT2_PROXY, call);
        assert_eq!(told, Permit2::InvalidSigner {}.abi_encode());
    }
    assert_eq!(balance(&mut evm, payer.address()), 1_000_000);
}

#[test]
fn an_approval_by_signature_spares_the_payer_its_transaction() {
    let payer = key(1);
    let order = exact_order();
    let signed = signature(&payer, &order);

    let mut evm = town(&payer);
    let bare = settle_exact(&order, payer.address(), signed.clone()).abi_encode();
    let told = refusal(&mut evm, FACILITATOR, X402_EXACT_PERMIT2_PROXY, bare);
    assert_eq!(alloy_sol_types::Revert::abi_decode(&told).unwrap().reason, "TRANSFER_FROM_FAILED");

    let approval = approval(&payer);
    let call = settle_exact_with_approval(&approval, &order, payer.address(), signed);
    let topic = settled(&mut evm, FACILITATOR, X402_EXACT_PERMIT2_PROXY, call.abi_encode());
    assert_eq!(topic, ExactPermit2Proxy::SettledWithPermit::SIGNATURE_HASH);
    assert_eq!(balance(&mut evm, SELLER), 400_000);

    let order = upto_order();
    let mut evm = town(&payer);
    let signed = signature(&payer, &order);
    let amount = U256::from(150_000);
    let call = settle_upto_with_approval(&approval, &order, amount, payer.address(), signed);
    let topic = settled(&mut evm, FACILITATOR, X402_UPTO_PERMIT2_PROXY, call.abi_encode());
    assert_eq!(topic, UptoPermit2Proxy::SettledWithPermit::SIGNATURE_HASH);
    assert_eq!(balance(&mut evm, SELLER), 150_000);
}

#[test]
fn an_upto_order_pays_what_the_signed_facilitator_says_and_no_more_than_permitted() {
    let payer = key(1);
    let order = upto_order();
    let signed = signature(&payer, &order);
    let call = |amount: u64| {
        settle_upto(&order, U256::from(amount), payer.address(), signed.clone()).abi_encode()
    };
    let mut evm = town(&payer);
    approve(&mut evm, &payer);
    for (from, amount, reason) in [
        (SELLER, 1, UptoPermit2Proxy::UnauthorizedFacilitator {}.abi_encode()),
        (FACILITATOR, 400_001, UptoPermit2Proxy::AmountExceedsPermitted {}.abi_encode()),
        (FACILITATOR, 0, UptoPermit2Proxy::InvalidAmount {}.abi_encode()),
    ] {
        let told = refusal(&mut evm, from, X402_UPTO_PERMIT2_PROXY, call(amount));
        assert_eq!(told, reason);
    }
    let topic = settled(&mut evm, FACILITATOR, X402_UPTO_PERMIT2_PROXY, call(1858));
    assert_eq!(topic, UptoPermit2Proxy::Settled::SIGNATURE_HASH);
    assert_eq!(balance(&mut evm, SELLER), 1858);
    let told = refusal(&mut evm, FACILITATOR, X402_UPTO_PERMIT2_PROXY, call(1));
    assert_eq!(told, Permit2::InvalidNonce {}.abi_encode());
}
