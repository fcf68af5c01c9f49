//! The genesis runs on a real EVM as the contracts do that their constructors made.

mod evm;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, b256, keccak256};
use alloy_sol_types::{SolCall, SolError, SolEvent};
use evm::{Evm, NOW, key, sign};
use protocol::addresses::{CREATE2_DEPLOYER, MACHINA_DOLLAR, MULTICALL3};
use protocol::authorization::{DOLLAR_DECIMALS, DOLLAR_NAME, DOLLAR_SYMBOL, DOLLAR_VERSION};
use protocol::bindings::{
    CancelByKey, CancelBySignature, ReceiveByKey, ReceiveBySignature, TransferByKey,
    TransferBySignature,
};
use protocol::create2::{CREATE2_DEPLOYER_CODE, create2_address, create2_call};
use protocol::genesis::{dollar_init_code, genesis_on};
use protocol::{
    CancelAuthorization, EMBEDDED_CHAIN_ID, GenesisAccount, MachinaDollar, Multicall3,
    ProtocolError, ReceiveWithAuthorization, TransferWithAuthorization, dollar_domain,
    embedded_dollar_domain, genesis,
};

const MINTER: Address = address!("0x00000000000000000000000000000000000a11ce");
const ANYONE: Address = address!("0x0000000000000000000000000000000000000b0b");
const SELLER: Address = address!("0x0000000000000000000000000000000000005e11");

fn embedded() -> Evm {
    Evm::with(&genesis(MINTER, &[]).unwrap(), EMBEDDED_CHAIN_ID)
}

fn account(accounts: &[GenesisAccount], address: Address) -> &GenesisAccount {
    accounts.iter().find(|account| account.address == address).unwrap()
}

fn order(from: Address, value: u64) -> TransferWithAuthorization {
    TransferWithAuthorization {
        from,
        to: SELLER,
        value: U256::from(value),
        validAfter: U256::ZERO,
        validBefore: U256::from(NOW + 60),
        nonce: B256::repeat_byte(7),
    }
}

fn by_key(order: &TransferWithAuthorization, (v, r, s): (u8, B256, B256)) -> TransferByKey {
    let TransferWithAuthorization { from, to, value, validAfter, validBefore, nonce } = *order;
    TransferByKey { from, to, value, validAfter, validBefore, nonce, v, r, s }
}

fn by_signature(order: &TransferWithAuthorization, signature: Bytes) -> TransferBySignature {
    let TransferWithAuthorization { from, to, value, validAfter, validBefore, nonce } = *order;
    TransferBySignature { from, to, value, validAfter, validBefore, nonce, signature }
}

fn balance(evm: &mut Evm, token: Address, of: Address) -> u64 {
    let balance = evm.call(ANYONE, token, MachinaDollar::balanceOfCall { account: of }).unwrap();
    balance.to()
}

fn mint(evm: &mut Evm, token: Address, to: Address, value: u64) {
    let call = MachinaDollar::mintCall { to, value: U256::from(value) };
    evm.call(MINTER, token, call).unwrap();
}

/// The constructor itself is put at the dollar's address and called there. What it returns is the
/// code that a deployment would install; what it stores is what a deployment would store.
#[test]
fn genesis_is_byte_for_byte_what_the_constructor_makes() {
    for chain_id in [EMBEDDED_CHAIN_ID, 1, 8453] {
        let accounts = genesis_on(chain_id, MINTER, &[]).unwrap();
        let dollar = account(&accounts, MACHINA_DOLLAR);
        let constructor = GenesisAccount {
            address: MACHINA_DOLLAR,
            balance: U256::ZERO,
            nonce: 1,
            code: dollar_init_code(MINTER).unwrap(),
            storage: Vec::new(),
        };
        let mut evm = Evm::with(&[constructor], chain_id);
        let (answer, _) = evm.send(ANYONE, TxKind::Call(MACHINA_DOLLAR), Bytes::new());
        assert_eq!(answer.unwrap().0, dollar.code);
        assert_eq!(evm.storage(MACHINA_DOLLAR), dollar.storage);
    }
}

#[test]
fn multicall_needs_nothing_of_its_constructor() {
    let accounts = genesis(MINTER, &[]).unwrap();
    let mut evm = embedded();
    let deployed = evm.deploy(ANYONE, Multicall3::BYTECODE.clone());
    assert_eq!(evm.code(deployed), account(&accounts, MULTICALL3).code);
}

#[test]
fn the_dollar_tells_its_name_version_and_domain() {
    let mut evm = embedded();
    let elsewhere = evm.deploy(ANYONE, dollar_init_code(MINTER).unwrap());
    for token in [MACHINA_DOLLAR, elsewhere] {
        assert_eq!(evm.call(ANYONE, token, MachinaDollar::nameCall {}).unwrap(), DOLLAR_NAME);
        assert_eq!(evm.call(ANYONE, token, MachinaDollar::symbolCall {}).unwrap(), DOLLAR_SYMBOL);
        assert_eq!(evm.call(ANYONE, token, MachinaDollar::versionCall {}).unwrap(), DOLLAR_VERSION);
        let decimals = evm.call(ANYONE, token, MachinaDollar::decimalsCall {}).unwrap();
        assert_eq!(decimals, DOLLAR_DECIMALS);
        assert_eq!(evm.call(ANYONE, token, MachinaDollar::minterCall {}).unwrap(), MINTER);
        let supply = evm.call(ANYONE, token, MachinaDollar::totalSupplyCall {}).unwrap();
        assert_eq!(supply, U256::ZERO);

        let domain = dollar_domain(DOLLAR_NAME, DOLLAR_VERSION, EMBEDDED_CHAIN_ID, token);
        let separator = evm.call(ANYONE, token, MachinaDollar::DOMAIN_SEPARATORCall {}).unwrap();
        assert_eq!(separator, domain.separator());
        let told = evm.call(ANYONE, token, MachinaDollar::eip712DomainCall {}).unwrap();
        assert_eq!(told.fields.0, [0x0f]);
        assert_eq!((told.name.as_str(), told.version.as_str()), (DOLLAR_NAME, DOLLAR_VERSION));
        assert_eq!(told.chainId, U256::from(EMBEDDED_CHAIN_ID));
        assert_eq!(told.verifyingContract, token);
    }
}

#[test]
fn the_domain_follows_the_chain_id_even_if_the_genesis_was_made_for_another() {
    let mut evm = Evm::with(&genesis(MINTER, &[]).unwrap(), 31337);
    let separator =
        evm.call(ANYONE, MACHINA_DOLLAR, MachinaDollar::DOMAIN_SEPARATORCall {}).unwrap();
    assert_eq!(separator, embedded_dollar_domain(31337).separator());
}

#[test]
fn only_the_minter_mints() {
    let mut evm = embedded();
    let call = MachinaDollar::mintCall { to: SELLER, value: U256::from(5) };
    let refusal = evm.call(ANYONE, MACHINA_DOLLAR, call).unwrap_err();
    assert_eq!(refusal, MachinaDollar::MinterOnly { caller: ANYONE }.abi_encode());
    mint(&mut evm, MACHINA_DOLLAR, SELLER, 5);
    assert_eq!(balance(&mut evm, MACHINA_DOLLAR, SELLER), 5);
}

#[test]
fn a_signed_order_moves_dollars_once_in_either_form() {
    let payer = key(1);
    let domain = embedded_dollar_domain(EMBEDDED_CHAIN_ID);
    let order = order(payer.address(), 400_000);
    let (parts, signature) = sign(&payer, &order, &domain);
    let calls = [by_key(&order, parts).abi_encode(), by_signature(&order, signature).abi_encode()];
    for call in &calls {
        let mut evm = embedded();
        mint(&mut evm, MACHINA_DOLLAR, payer.address(), 1_000_000);

        let (answer, _) = evm.send(ANYONE, TxKind::Call(MACHINA_DOLLAR), call.clone().into());
        let (_, logs) = answer.unwrap();
        let used = MachinaDollar::AuthorizationUsed::decode_log(&logs[0]).unwrap();
        assert_eq!((used.authorizer, used.nonce), (payer.address(), order.nonce));
        let moved = MachinaDollar::Transfer::decode_log(&logs[1]).unwrap();
        assert_eq!((moved.from, moved.to, moved.value), (payer.address(), SELLER, order.value));
        assert_eq!(balance(&mut evm, MACHINA_DOLLAR, payer.address()), 600_000);
        assert_eq!(balance(&mut evm, MACHINA_DOLLAR, SELLER), 400_000);

        let state = MachinaDollar::authorizationStateCall {
            authorizer: payer.address(),
            nonce: order.nonce,
        };
        assert!(evm.call(ANYONE, MACHINA_DOLLAR, state).unwrap());
        let used = MachinaDollar::ERC3009UsedAuthorization {
            authorizer: payer.address(),
            nonce: order.nonce,
        };
        for again in &calls {
            let (answer, _) = evm.send(ANYONE, TxKind::Call(MACHINA_DOLLAR), again.clone().into());
            assert_eq!(answer.unwrap_err(), used.abi_encode());
        }
        assert_eq!(balance(&mut evm, MACHINA_DOLLAR, SELLER), 400_000);
    }
}

#[test]
fn an_order_signed_for_another_chain_token_name_or_version_moves_nothing() {
    let payer = key(1);
    let order = order(payer.address(), 1);
    let mut evm = embedded();
    mint(&mut evm, MACHINA_DOLLAR, payer.address(), 1);
    let right = (DOLLAR_NAME, DOLLAR_VERSION, EMBEDDED_CHAIN_ID, MACHINA_DOLLAR);
    for (name, version, chain_id, token) in [
        ("USD Coin", right.1, right.2, right.3),
        (right.0, "2", right.2, right.3),
        (right.0, right.1, 1, right.3),
        (right.0, right.1, right.2, MULTICALL3),
    ] {
        let domain = dollar_domain(name, version, chain_id, token);
        let (parts, signature) = sign(&payer, &order, &domain);
        let refusal = evm.call(ANYONE, MACHINA_DOLLAR, by_key(&order, parts)).unwrap_err();
        assert_eq!(refusal, MachinaDollar::ERC3009InvalidSignature {}.abi_encode());
        let refusal =
            evm.call(ANYONE, MACHINA_DOLLAR, by_signature(&order, signature)).unwrap_err();
        assert_eq!(refusal, MachinaDollar::ERC3009InvalidSignature {}.abi_encode());
    }
    assert_eq!(balance(&mut evm, MACHINA_DOLLAR, payer.address()), 1);
}

#[test]
fn only_the_payee_carries_a_receive_order_in_either_form() {
    let payer = key(2);
    let domain = embedded_dollar_domain(EMBEDDED_CHAIN_ID);
    for bytes_form in [false, true] {
        let mut evm = embedded();
        mint(&mut evm, MACHINA_DOLLAR, payer.address(), 10);
        let order = ReceiveWithAuthorization {
            from: payer.address(),
            to: SELLER,
            value: U256::from(10),
            validAfter: U256::ZERO,
            validBefore: U256::from(NOW + 60),
            nonce: B256::ZERO,
        };
        let ((v, r, s), signature) = sign(&payer, &order, &domain);
        let ReceiveWithAuthorization { from, to, value, validAfter, validBefore, nonce } = order;
        let call = if bytes_form {
            ReceiveBySignature { from, to, value, validAfter, validBefore, nonce, signature }
                .abi_encode()
        } else {
            ReceiveByKey { from, to, value, validAfter, validBefore, nonce, v, r, s }.abi_encode()
        };
        let (answer, _) = evm.send(ANYONE, TxKind::Call(MACHINA_DOLLAR), call.clone().into());
        let refusal = MachinaDollar::ERC20InvalidReceiver { receiver: SELLER }.abi_encode();
        assert_eq!(answer.unwrap_err(), refusal);
        evm.send(SELLER, TxKind::Call(MACHINA_DOLLAR), call.into()).0.unwrap();
        assert_eq!(balance(&mut evm, MACHINA_DOLLAR, SELLER), 10);
    }
}

#[test]
fn a_cancelled_order_moves_nothing_in_either_form() {
    let payer = key(3);
    let domain = embedded_dollar_domain(EMBEDDED_CHAIN_ID);
    for bytes_form in [false, true] {
        let mut evm = embedded();
        mint(&mut evm, MACHINA_DOLLAR, payer.address(), 10);
        let order = order(payer.address(), 10);
        let (authorizer, nonce) = (payer.address(), order.nonce);
        let cancel = CancelAuthorization { authorizer, nonce };
        let ((v, r, s), signature) = sign(&payer, &cancel, &domain);
        if bytes_form {
            let call = CancelBySignature { authorizer, nonce, signature };
            evm.call(ANYONE, MACHINA_DOLLAR, call).unwrap();
        } else {
            let call = CancelByKey { authorizer, nonce, v, r, s };
            evm.call(ANYONE, MACHINA_DOLLAR, call).unwrap();
        }
        let (parts, _) = sign(&payer, &order, &domain);
        let refusal = evm.call(ANYONE, MACHINA_DOLLAR, by_key(&order, parts)).unwrap_err();
        let used = MachinaDollar::ERC3009UsedAuthorization { authorizer, nonce };
        assert_eq!(refusal, used.abi_encode());
    }
}

#[test]
fn create2_puts_a_contract_at_the_address_foretold() {
    // The code's hash, as chains that carry the proxy report it (EXTCODEHASH).
    assert_eq!(
        keccak256(CREATE2_DEPLOYER_CODE),
        b256!("0x2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989")
    );
    let mut evm = embedded();
    let init_code = dollar_init_code(MINTER).unwrap();
    for salt in [B256::ZERO, B256::repeat_byte(9)] {
        let foretold = create2_address(salt, &init_code);
        let call = create2_call(salt, &init_code);
        let (answer, _) = evm.send(ANYONE, TxKind::Call(CREATE2_DEPLOYER), call.clone());
        assert_eq!(answer.unwrap().0, foretold.to_vec());
        assert_eq!(evm.call(ANYONE, foretold, MachinaDollar::minterCall {}).unwrap(), MINTER);

        let (again, _) = evm.send(ANYONE, TxKind::Call(CREATE2_DEPLOYER), call);
        assert!(again.is_err(), "an address is taken once");
    }
}

#[test]
fn multicall_reads_many_balances_in_one_call() {
    let mut evm = embedded();
    let holders: Vec<Address> = (1..=20u8).map(|seed| key(seed).address()).collect();
    for (holder, value) in holders.iter().zip(1..) {
        mint(&mut evm, MACHINA_DOLLAR, *holder, value);
    }
    let calls = holders
        .iter()
        .map(|&account| Multicall3::Call3 {
            target: MACHINA_DOLLAR,
            allowFailure: false,
            callData: MachinaDollar::balanceOfCall { account }.abi_encode().into(),
        })
        .collect();
    let results = evm.call(ANYONE, MULTICALL3, Multicall3::aggregate3Call { calls }).unwrap();
    let told: Vec<U256> = results
        .iter()
        .map(|result| MachinaDollar::balanceOfCall::abi_decode_returns(&result.returnData).unwrap())
        .collect();
    assert_eq!(told, (1..=20).map(U256::from).collect::<Vec<_>>());
}

#[test]
fn holders_get_their_gas_and_nothing_else() {
    let (rich, poor) = (key(1).address(), key(2).address());
    let gas = [(rich, U256::from(7)), (poor, U256::ZERO), (rich, U256::from(5))];
    let accounts = genesis(MINTER, &gas).unwrap();
    let plain = accounts.iter().filter(|account| account.code.is_empty());
    assert_eq!(plain.count(), 1, "all but one holder are contracts");
    let holder = account(&accounts, rich);
    assert_eq!((holder.balance, holder.nonce), (U256::from(12), 0));
    assert!(holder.code.is_empty() && holder.storage.is_empty());
    assert!(accounts.is_sorted_by_key(|account| account.address));
    for contract in [MACHINA_DOLLAR, CREATE2_DEPLOYER, MULTICALL3] {
        assert_eq!(account(&accounts, contract).nonce, 1);
    }
}

#[test]
fn a_genesis_that_cannot_be_is_refused() {
    assert_eq!(genesis(Address::ZERO, &[]), Err(ProtocolError::MinterMissing));
    assert_eq!(dollar_init_code(Address::ZERO), Err(ProtocolError::MinterMissing));
    let at_contract = [(MULTICALL3, U256::ONE)];
    assert_eq!(
        genesis(MINTER, &at_contract),
        Err(ProtocolError::HolderIsContract { holder: MULTICALL3 })
    );
    let too_much = [(ANYONE, U256::MAX), (ANYONE, U256::ONE)];
    assert_eq!(genesis(MINTER, &too_much), Err(ProtocolError::BalanceTooLarge { holder: ANYONE }));
}
