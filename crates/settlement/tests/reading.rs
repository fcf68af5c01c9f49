//! What the chain tells: who it is, what moved, and by which authorization.

mod town;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall as _;
use protocol::addresses::{MACHINA_DOLLAR, MULTICALL3};
use protocol::bindings::{CancelBySignature, TransferBySignature};
use protocol::{CancelAuthorization, EMBEDDED_CHAIN_ID, MachinaDollar, Multicall3};
use settlement::{
    AuthorizationState, Endpoint, OrderName, SenderLimits, Settlement, SettlementError,
    SignedAuthorization,
};
use town::{Town, authorize, key, minter, musd, party};

async fn connect(
    endpoint: Endpoint,
    chain: u64,
    token: Address,
) -> Result<Settlement, SettlementError> {
    Settlement::connect(endpoint, Some(chain), token, minter(), SenderLimits::default()).await
}

fn carry(order: &SignedAuthorization) -> Bytes {
    TransferBySignature {
        from: order.from,
        to: order.to,
        value: order.value,
        validAfter: order.valid_after,
        validBefore: order.valid_before,
        nonce: order.nonce,
        signature: order.signature.clone(),
    }
    .abi_encode()
    .into()
}

#[tokio::test]
async fn the_token_tells_its_own_domain() {
    let town = Town::begin().await;
    let token = town.settlement.token();
    assert_eq!(
        (token.name.as_str(), token.version.as_str(), token.asset, token.chain_id, token.address),
        ("Machina Dollar", "1", money::Asset::MUSD, EMBEDDED_CHAIN_ID, MACHINA_DOLLAR)
    );
    assert!(town.settlement.supply().await.unwrap().is_zero());
}

#[tokio::test]
async fn another_chain_or_no_token_is_refused_at_the_door() {
    let town = Town::begin().await;
    let here = || Endpoint::Local(town.wire.clone());
    let error = connect(here(), 1, MACHINA_DOLLAR).await.err().unwrap();
    assert_eq!(error, SettlementError::WrongChain { expected: 1, found: EMBEDDED_CHAIN_ID });
    let nowhere = Address::repeat_byte(0x77);
    let error = connect(here(), EMBEDDED_CHAIN_ID, nowhere).await.err().unwrap();
    assert!(
        matches!(&error, SettlementError::NoToken { token, cause, .. }
        if *token == nowhere && cause.contains("no contract")),
        "{error}"
    );
    // A contract that is no token.
    let error = connect(here(), EMBEDDED_CHAIN_ID, MULTICALL3).await.err().unwrap();
    assert!(
        matches!(&error, SettlementError::NoToken { cause, .. } if cause.contains("decimals()")),
        "{error}"
    );
}

#[tokio::test]
async fn an_endpoint_that_nobody_serves_is_unreachable() {
    let free = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let endpoint = Endpoint::parse(&format!("http://user:secret@{free}/v2/api-key")).unwrap();
    let begun = Instant::now();
    let error = connect(endpoint, EMBEDDED_CHAIN_ID, MACHINA_DOLLAR).await.err().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(matches!(error, SettlementError::Unreachable { .. }), "{error}");
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.contains(&free.to_string()), "{text}");
        assert!(!text.contains("secret") && !text.contains("api-key"), "{text}");
    }
    for text in ["", "localhost", "ftp://x/", "ws://127.0.0.1:1", "http://"] {
        assert!(Endpoint::parse(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn an_endpoint_that_takes_the_call_and_says_nothing_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    // The kernel takes the connection, and nobody ever answers.
    let limits = SenderLimits { wait: Duration::from_millis(100), ..SenderLimits::default() };
    let error =
        Settlement::connect(endpoint, None, MACHINA_DOLLAR, minter(), limits).await.err().unwrap();
    assert!(matches!(error, SettlementError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_answers_nonsense_is_an_error_not_a_panic() {
    let app = axum::Router::new().fallback(|| async { "<html>hello</html>" });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let error = connect(endpoint, EMBEDDED_CHAIN_ID, MACHINA_DOLLAR).await.err().unwrap();
    assert!(
        matches!(error, SettlementError::Unreadable { .. } | SettlementError::Unreachable { .. }),
        "{error}"
    );
    server.abort();
}

#[tokio::test]
async fn a_node_over_http_is_the_same_as_one_in_the_process() {
    let town = Town::begin().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, town.node.router()).into_future());
    let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
    assert!(!endpoint.is_local());
    let far = connect(endpoint, EMBEDDED_CHAIN_ID, MACHINA_DOLLAR).await.unwrap();
    assert_eq!(far.token(), town.settlement.token());
    let payer = key(0x33);
    let receipt = far.mint(party(&payer), musd(100)).await.unwrap();
    assert_eq!(receipt.block, 1);
    let order = authorize(&payer, Address::repeat_byte(9), 40, 1);
    let receipt = far.transfer_with_authorization(&order).await.unwrap();
    for settlement in [&far, &town.settlement] {
        assert_eq!(settlement.balance(party(&payer)).await.unwrap(), musd(60));
        assert_eq!(settlement.block_number().await.unwrap(), 2);
        let state = settlement.authorization(order.from, order.nonce, 0).await.unwrap();
        assert!(
            matches!(state, AuthorizationState::Used { transaction, .. } if transaction == receipt.transaction)
        );
        assert_eq!(settlement.movements(&[party(&payer)], 0, 2).await.unwrap().len(), 2);
        assert!(matches!(
            settlement.simulate(&order).await,
            Err(SettlementError::Reverted { transaction: None, .. })
        ));
    }
    server.abort();
}

#[tokio::test]
async fn minting_takes_amounts_of_this_token_only() {
    let town = Town::begin().await;
    let payee = party(&key(2));
    for wrong in [musd(0), musd(-5), money::Amount::from_minor(money::Asset::USDC, 5)] {
        let error = town.settlement.mint(payee, wrong).await.unwrap_err();
        assert!(matches!(error, SettlementError::NotMintable { .. }), "{error}");
    }
    town.settlement.mint(payee, musd(5)).await.unwrap();
    assert_eq!(town.settlement.supply().await.unwrap(), musd(5));
    // Who is not the minter reverts, and sends nothing.
    let other = Settlement::connect(
        Endpoint::Local(town.wire.clone()),
        None,
        MACHINA_DOLLAR,
        key(0x44),
        SenderLimits::default(),
    )
    .await
    .unwrap();
    assert!(matches!(
        other.mint(payee, musd(5)).await,
        Err(SettlementError::Reverted { transaction: None, .. })
    ));
    assert_eq!(town.node.block_number(), 1);
}

#[tokio::test]
async fn what_is_too_large_to_count_is_said_and_not_wrapped() {
    let town = Town::begin().await;
    let most = U256::from(i128::MAX);
    assert_eq!(town.settlement.amount(most).unwrap().minor(), i128::MAX);
    let error = town.settlement.amount(most + U256::from(1)).unwrap_err();
    assert!(matches!(error, SettlementError::TooLarge { .. }), "{error}");
    let rich = key(0x22);
    let call = MachinaDollar::mintCall { to: rich.address(), value: U256::MAX };
    town.transact(&minter(), MACHINA_DOLLAR, call.abi_encode().into()).await;
    assert!(matches!(
        town.settlement.balance(party(&rich)).await,
        Err(SettlementError::TooLarge { value: U256::MAX, .. })
    ));
    assert!(matches!(town.settlement.supply().await, Err(SettlementError::TooLarge { .. })));
}

#[tokio::test]
async fn each_movement_knows_its_own_authorization_even_in_one_transaction() {
    let town = Town::begin().await;
    let (ada, bob, shop, lane) =
        (key(0x31), key(0x32), Address::repeat_byte(0x51), Address::repeat_byte(0x52));
    for payer in [&ada, &bob] {
        town.settlement.mint(party(payer), musd(1_000)).await.unwrap();
    }
    // Multicall3 may spend Ada's money, so that a plain transfer shares the transaction.
    let approve = MachinaDollar::approveCall { spender: MULTICALL3, value: U256::from(500) };
    town.transact(&ada, MACHINA_DOLLAR, approve.abi_encode().into()).await;
    let orders = [
        authorize(&ada, shop, 10, 1),
        authorize(&ada, shop, 10, 2),
        authorize(&bob, shop, 20, 1),
        authorize(&ada, lane, 30, 3),
    ];
    let plain =
        MachinaDollar::transferFromCall { from: ada.address(), to: shop, value: U256::from(5) };
    let mut calls: Vec<Bytes> = orders.iter().map(carry).collect();
    calls.push(plain.abi_encode().into());
    let calls = calls
        .into_iter()
        .map(|data| Multicall3::Call3 {
            target: MACHINA_DOLLAR,
            allowFailure: false,
            callData: data,
        })
        .collect();
    let receipt = town
        .transact(&key(0x66), MULTICALL3, Multicall3::aggregate3Call { calls }.abi_encode().into())
        .await;
    assert_eq!(receipt["status"], "0x1");

    for order in &orders {
        let state = town.settlement.authorization(order.from, order.nonce, 0).await.unwrap();
        let AuthorizationState::Used { to, value, transaction, .. } = state else {
            panic!("{state:?}")
        };
        assert_eq!((to, value), (order.to, order.value));
        assert_eq!(receipt["transactionHash"], transaction.to_string());
    }
    let newest = town.settlement.block_number().await.unwrap();
    let parties = [party(&ada), shop.into()];
    let moved = town.settlement.movements(&parties, 0, newest).await.unwrap();
    let by_order: BTreeMap<(Address, B256), i128> = moved
        .iter()
        .filter_map(|m| {
            let OrderName::Authorization { payer, nonce } = m.order? else { return None };
            Some(((payer.into(), nonce), m.amount.minor()))
        })
        .collect();
    assert_eq!(by_order.len(), 4);
    for order in &orders {
        assert_eq!(by_order[&(order.from, order.nonce)], i128::try_from(order.value).unwrap());
    }
    // One mint to Ada, and the plain transfer, which no authorization explains.
    let unexplained: Vec<i128> =
        moved.iter().filter(|m| m.order.is_none()).map(|m| m.amount.minor()).collect();
    assert_eq!(unexplained, [1_000, 5]);
    assert!(moved.is_sorted_by_key(|m| (m.block, m.log_index)));
    assert_eq!(moved[0].from, None, "a mint comes from nobody");
    assert!(town.settlement.movements(&[], 0, newest).await.unwrap().is_empty());
    assert!(
        town.settlement
            .movements(&parties, newest + 1, newest + 1)
            .await
            .is_ok_and(|m| m.is_empty())
    );
}

#[tokio::test]
async fn a_cancelled_authorization_is_told_from_a_used_one() {
    use alloy_signer::SignerSync as _;
    use alloy_sol_types::SolStruct as _;

    let town = Town::begin().await;
    let payer = key(0x31);
    town.settlement.mint(party(&payer), musd(1_000)).await.unwrap();
    let order = authorize(&payer, Address::repeat_byte(9), 10, 1);
    let cancel = CancelAuthorization { authorizer: payer.address(), nonce: order.nonce };
    let hash = cancel.eip712_signing_hash(&protocol::embedded_dollar_domain(EMBEDDED_CHAIN_ID));
    let signature = payer.sign_hash_sync(&hash).unwrap().as_bytes().to_vec().into();
    let call = CancelBySignature { authorizer: payer.address(), nonce: order.nonce, signature };
    let receipt = town.transact(&key(0x66), MACHINA_DOLLAR, call.abi_encode().into()).await;
    assert_eq!(receipt["status"], "0x1");
    let state = town.settlement.authorization(order.from, order.nonce, 0).await.unwrap();
    assert_eq!(state, AuthorizationState::Cancelled);
    assert!(town.settlement.transfer_with_authorization(&order).await.is_err());
}

#[tokio::test]
async fn an_authorization_is_found_behind_thousands_of_blocks() {
    let town = Town::begin().await;
    let payer = key(0x31);
    town.settlement.mint(party(&payer), musd(1_000)).await.unwrap();
    let order = authorize(&payer, Address::repeat_byte(9), 10, 1);
    let receipt = town.settlement.transfer_with_authorization(&order).await.unwrap();
    let idle = key(0x66);
    for _ in 0..1_100 {
        town.transact(&idle, Address::repeat_byte(1), Bytes::new()).await;
    }
    assert!(town.settlement.block_number().await.unwrap() > 1_100);
    for from_block in [0, 1, receipt.block] {
        let state =
            town.settlement.authorization(order.from, order.nonce, from_block).await.unwrap();
        assert!(matches!(state, AuthorizationState::Used { block, .. } if block == receipt.block));
    }
    // Not where it is not: the search is bounded and says so.
    assert!(matches!(
        town.settlement.authorization(order.from, order.nonce, receipt.block + 1).await,
        Err(SettlementError::Unreadable { .. })
    ));
}
