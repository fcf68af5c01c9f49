//! The escrow lives on a real EVM, from genesis: what a stock client signs, it accepts.

mod evm;

use alloy_primitives::aliases::{U48, U120};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, address, bytes};
use alloy_sol_types::{SolConstructor, SolError};
use evm::{Evm, NOW, key, sign};
use protocol::addresses::{
    AUTH_CAPTURE_ESCROW, ERC3009_PAYMENT_COLLECTOR, MACHINA_DOLLAR, MULTICALL3,
    OPERATOR_REFUND_COLLECTOR, PERMIT2, PERMIT2_PAYMENT_COLLECTOR,
};
use protocol::bindings::escrow::{
    AuthCaptureEscrow, ERC3009PaymentCollector, OperatorRefundCollector, Permit2PaymentCollector,
};
use protocol::escrow::{
    PaymentInfo, PaymentPermit, TokenPermissions, bound_salt, payment_hash, payment_nonce,
    token_store_implementation,
};
use protocol::permit2::permit2_domain;
use protocol::{EMBEDDED_CHAIN_ID, GenesisAccount, MachinaDollar, genesis};

const MINTER: Address = address!("0x00000000000000000000000000000000000a11ce");
const ANYONE: Address = address!("0x0000000000000000000000000000000000000b0b");
const OPERATOR: Address = Address::repeat_byte(0x44);
const SELLER: Address = Address::repeat_byte(0x33);
const FEES: Address = Address::repeat_byte(0x55);

/// A chain on which the payer, whose key is 1, has 1,000,000 minor units.
fn embedded() -> Evm {
    let mut evm = Evm::with(&genesis(MINTER, &[]).unwrap(), EMBEDDED_CHAIN_ID);
    let mint = MachinaDollar::mintCall { to: key(1).address(), value: U256::from(1_000_000) };
    evm.call(MINTER, MACHINA_DOLLAR, mint).unwrap();
    evm
}

/// What the client of `@x402/evm` 2.27.0 was asked for, with the key 1, at [`NOW`], and with every
/// random byte 0x77.
fn payment() -> PaymentInfo {
    PaymentInfo {
        operator: OPERATOR,
        payer: key(1).address(),
        receiver: SELLER,
        token: MACHINA_DOLLAR,
        maxAmount: U120::from(1_000_000),
        preApprovalExpiry: U48::from(NOW + 60),
        authorizationExpiry: U48::from(NOW + 86_400),
        refundExpiry: U48::from(NOW + 864_000),
        minFeeBps: 10,
        maxFeeBps: 250,
        feeReceiver: FEES,
        salt: U256::from_be_bytes([0x77; 32]),
    }
}

/// The payload's `signature` as that client made it, by EIP-3009.
const STOCK_ORDER: Bytes = bytes!(
    "b64acd587ecbebbd45ad02c9dd4dcf182b31ad7e5165465a39b5055c464d3f57"
    "788a12b0a44c17f0a226ea55051c760ce3d7e646a4bac1ad734d8e4086549b4e1b"
);

/// The same by Permit2, where the seller named a receiverAuthorizer, so that the salt is bound.
const STOCK_PERMIT: Bytes = bytes!(
    "4716e267adf4cd8e6eedba6edf97132ef42ada3601b4a2701f51054568c381bf"
    "06cda791ce46f69d8396d975a81fc8046a2ba1fc5687a5a7aeadbffd20ef41d41c"
);

fn authorize(amount: u64) -> AuthCaptureEscrow::authorizeCall {
    AuthCaptureEscrow::authorizeCall {
        paymentInfo: payment(),
        amount: U256::from(amount),
        tokenCollector: ERC3009_PAYMENT_COLLECTOR,
        collectorData: STOCK_ORDER,
    }
}

fn capture(amount: u64, fee: u64) -> AuthCaptureEscrow::captureCall {
    AuthCaptureEscrow::captureCall {
        paymentInfo: payment(),
        amount: U256::from(amount),
        feeAmount: U256::from(fee),
        feeReceiver: FEES,
    }
}

fn balance(evm: &mut Evm, account: Address) -> u64 {
    evm.call(ANYONE, MACHINA_DOLLAR, MachinaDollar::balanceOfCall { account }).unwrap().to()
}

/// Each constructor is put at its contract's address and called there, and compared byte for byte.
#[test]
fn genesis_is_what_the_constructors_make() {
    let with = |code: &[u8], arguments: Vec<u8>| [code, &arguments].concat();
    let escrow = AUTH_CAPTURE_ESCROW;
    let by_erc3009 =
        ERC3009PaymentCollector::constructorCall { escrow, multicall3_: MULTICALL3 }.abi_encode();
    let by_permit2 = Permit2PaymentCollector::constructorCall {
        escrow,
        permit2_: PERMIT2,
        multicall3_: MULTICALL3,
    }
    .abi_encode();
    let of_operator = OperatorRefundCollector::constructorCall { escrow }.abi_encode();
    let constructors = [
        (AUTH_CAPTURE_ESCROW, AuthCaptureEscrow::BYTECODE.to_vec()),
        (ERC3009_PAYMENT_COLLECTOR, with(&ERC3009PaymentCollector::BYTECODE, by_erc3009)),
        (PERMIT2_PAYMENT_COLLECTOR, with(&Permit2PaymentCollector::BYTECODE, by_permit2)),
        (OPERATOR_REFUND_COLLECTOR, with(&OperatorRefundCollector::BYTECODE, of_operator)),
    ];
    let accounts = genesis(MINTER, &[]).unwrap();
    let made = |address| accounts.iter().find(|account| account.address == address).unwrap();
    for (address, constructor) in constructors {
        let blank = GenesisAccount {
            address,
            balance: U256::ZERO,
            nonce: 1,
            code: constructor.into(),
            storage: Vec::new(),
        };
        let mut evm = Evm::with(&[blank], EMBEDDED_CHAIN_ID);
        let (answer, _) = evm.send(ANYONE, TxKind::Call(address), Bytes::new());
        assert_eq!(answer.unwrap().0, made(address).code, "{address}");
        assert_eq!(evm.storage(address), made(address).storage);
        assert_eq!(evm.nonce(address), made(address).nonce);
        if address == AUTH_CAPTURE_ESCROW {
            let store = token_store_implementation();
            assert_eq!(evm.code(store), made(store).code);
            assert_eq!(evm.nonce(store), made(store).nonce);
        }
    }
}

#[test]
fn a_payment_is_named_as_the_contract_names_it() {
    for chain_id in [EMBEDDED_CHAIN_ID, 31337] {
        let mut evm = Evm::with(&genesis(MINTER, &[]).unwrap(), chain_id);
        let call = AuthCaptureEscrow::getHashCall { paymentInfo: payment() };
        let hash = evm.call(ANYONE, AUTH_CAPTURE_ESCROW, call).unwrap();
        assert_eq!(hash, payment_hash(&payment(), chain_id));
    }
}

#[test]
fn a_stock_clients_order_is_authorized_captured_voided_and_refunded() {
    let mut evm = embedded();
    let payer = payment().payer;
    evm.call(OPERATOR, AUTH_CAPTURE_ESCROW, authorize(800_000)).unwrap();
    assert_eq!(balance(&mut evm, payer), 200_000);
    evm.call(OPERATOR, AUTH_CAPTURE_ESCROW, capture(500_000, 12_500)).unwrap();
    assert_eq!(balance(&mut evm, SELLER), 487_500);
    assert_eq!(balance(&mut evm, FEES), 12_500);

    let void = AuthCaptureEscrow::voidCall { paymentInfo: payment() };
    evm.call(OPERATOR, AUTH_CAPTURE_ESCROW, void).unwrap();
    assert_eq!(balance(&mut evm, payer), 500_000);

    let mint = MachinaDollar::mintCall { to: OPERATOR, value: U256::from(500_000) };
    evm.call(MINTER, MACHINA_DOLLAR, mint).unwrap();
    let spender = OPERATOR_REFUND_COLLECTOR;
    let approve = MachinaDollar::approveCall { spender, value: U256::MAX };
    evm.call(OPERATOR, MACHINA_DOLLAR, approve).unwrap();
    let refund = AuthCaptureEscrow::refundCall {
        paymentInfo: payment(),
        amount: U256::from(500_000),
        tokenCollector: OPERATOR_REFUND_COLLECTOR,
        collectorData: Bytes::new(),
    };
    evm.call(OPERATOR, AUTH_CAPTURE_ESCROW, refund.clone()).unwrap();
    assert_eq!(balance(&mut evm, payer), 1_000_000);
    let again = evm.call(OPERATOR, AUTH_CAPTURE_ESCROW, refund).unwrap_err();
    let (refund, captured) = (U256::from(500_000), U256::ZERO);
    assert_eq!(again, AuthCaptureEscrow::RefundExceedsCapture { refund, captured }.abi_encode());
}

#[test]
fn a_stock_clients_order_moves_nothing_under_other_terms() {
    let mut evm = embedded();
    let mut call = authorize(800_000);
    call.paymentInfo.receiver = ANYONE;
    let refusal = evm.call(OPERATOR, AUTH_CAPTURE_ESCROW, call).unwrap_err();
    assert_eq!(refusal, MachinaDollar::ERC3009InvalidSignature {}.abi_encode());
    let refusal = evm.call(ANYONE, AUTH_CAPTURE_ESCROW, authorize(800_000)).unwrap_err();
    let invalid = AuthCaptureEscrow::InvalidSender { sender: ANYONE, expected: OPERATOR };
    assert_eq!(refusal, invalid.abi_encode());
    assert_eq!(balance(&mut evm, payment().payer), 1_000_000);
}

#[test]
fn the_payer_reclaims_alone_from_the_deadline_on() {
    let mut evm = embedded();
    let payer = payment().payer;
    evm.call(OPERATOR, AUTH_CAPTURE_ESCROW, authorize(800_000)).unwrap();
    let reclaim = AuthCaptureEscrow::reclaimCall { paymentInfo: payment() };
    evm.now = NOW + 86_399;
    assert!(evm.call(payer, AUTH_CAPTURE_ESCROW, reclaim.clone()).is_err());
    evm.now += 1;
    assert!(evm.call(OPERATOR, AUTH_CAPTURE_ESCROW, capture(1, 0)).is_err());
    evm.call(payer, AUTH_CAPTURE_ESCROW, reclaim).unwrap();
    assert_eq!(balance(&mut evm, payer), 1_000_000);
}

#[test]
fn a_stock_clients_permit_is_charged() {
    let mut evm = embedded();
    let salt = bound_salt(Address::repeat_byte(0x66), Address::ZERO, payment().salt);
    let payment = PaymentInfo { salt, ..payment() };
    let approve = MachinaDollar::approveCall { spender: PERMIT2, value: U256::MAX };
    evm.call(payment.payer, MACHINA_DOLLAR, approve).unwrap();

    // What this crate hashes for the payer is what the stock client signed.
    let permit = PaymentPermit {
        permitted: TokenPermissions { token: MACHINA_DOLLAR, amount: U256::from(1_000_000) },
        spender: PERMIT2_PAYMENT_COLLECTOR,
        nonce: payment_nonce(&payment, EMBEDDED_CHAIN_ID).into(),
        deadline: U256::from(NOW + 60),
    };
    let (_, signature) = sign(&key(1), &permit, &permit2_domain(EMBEDDED_CHAIN_ID));
    assert_eq!(signature, STOCK_PERMIT);

    let charge = AuthCaptureEscrow::chargeCall {
        paymentInfo: payment.clone(),
        amount: U256::from(700_000),
        tokenCollector: PERMIT2_PAYMENT_COLLECTOR,
        collectorData: STOCK_PERMIT,
        feeAmount: U256::from(700),
        feeReceiver: FEES,
    };
    evm.call(OPERATOR, AUTH_CAPTURE_ESCROW, charge).unwrap();
    assert_eq!(balance(&mut evm, payment.payer), 300_000);
    assert_eq!(balance(&mut evm, SELLER), 699_300);
    let payment_hash: B256 = payment_hash(&payment, EMBEDDED_CHAIN_ID);
    let state = AuthCaptureEscrow::paymentStateCall { paymentInfoHash: payment_hash };
    let state = evm.call(ANYONE, AUTH_CAPTURE_ESCROW, state).unwrap();
    assert!(state.hasCollectedPayment);
    assert_eq!(state.refundableAmount, U120::from(700_000));
}
