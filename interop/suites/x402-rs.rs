//! The crates of x402-rs, both ways round: `x402-reqwest` buys from our gate and from a stall, and
//! `x402-axum` sells through our facilitator, to `x402-reqwest` and to `machina pay`.

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::post;
use machina_interop::{Answer, ECONOMY, Stall, Wire, claim, done, filler, plain, serve};
use reqwest_middleware::ClientWithMiddleware;
use serde_json::json;
use url::Url;
use x402_axum::X402Middleware;
use x402_chain_eip155::chain::{AssetTransferMethod, Eip155ChainReference, Eip155TokenDeployment};
use x402_chain_eip155::{V2Eip155Exact, V2Eip155ExactClient, V2Eip155Upto, V2Eip155UptoClient};
use x402_reqwest::{ReqwestWithPayments, ReqwestWithPaymentsBuild, X402Client};

/// What the x402-axum server asks for.
const PRICE: u64 = 2_500;
/// What the stall asks for a kilobyte, and the most for one request.
const PER_KILOBYTE: u64 = 1_000;
const MOST: u64 = 20_000;

/// A client that pays by `exact` and `upto`, and what it sent.
fn buyer(key: &PrivateKeySigner) -> (ClientWithMiddleware, Wire) {
    let wire = Wire::default();
    let client = X402Client::new()
        .register(V2Eip155ExactClient::new(key.clone()))
        .register(V2Eip155UptoClient::new(key.clone()).with_provider(ECONOMY.rpc()));
    (plain().with_payments(client).builder().with(wire.clone()).build(), wire)
}

async fn photograph(client: &ClientWithMiddleware, name: &str) -> Answer {
    let picture = ECONOMY.photograph(name);
    let request = client.post(ECONOMY.counter()).header("content-type", "image/png").body(picture);
    Answer::of(request.send().await.expect("an answer")).await
}

#[tokio::main]
async fn main() {
    buying().await;
    selling().await;
    done();
}

async fn buying() {
    let key = ECONOMY.funded().await;
    let payer = key.address();
    let (client, wire) = buyer(&key);

    let first = claim("exact by EIP-3009: one piece of work, paid once, at the price", async {
        let answer = ECONOMY.changes(1, payer, photograph(&client, "chelsea.png")).await.good();
        assert!(String::from_utf8_lossy(&answer.body).contains("cat"));
        assert!(ECONOMY.succeeded(&answer.settlement()["transaction"]).await);
        answer.body
    })
    .await;

    claim("the same payment again: the stored answer, byte for byte, and no work", async {
        let picture = ECONOMY.photograph("chelsea.png");
        let request = plain().post(ECONOMY.counter()).header("content-type", "image/png");
        let request = request.header("payment-signature", wire.last()).body(picture);
        let again = ECONOMY.changes(0, payer, async {
            Answer::of(request.send().await.expect("an answer")).await
        });
        assert_eq!(Some(again.await.good().body), first);
    })
    .await;

    claim("an empty wallet: 402 that says so, and nothing happens", async {
        let poor = PrivateKeySigner::random();
        let answer =
            ECONOMY.changes(0, poor.address(), photograph(&buyer(&poor).0, "chelsea.png")).await;
        assert_eq!(answer.status, 402);
        assert_eq!(answer.quote()["error"], "invalid_exact_evm_insufficient_balance");
    })
    .await;

    claim("twenty at once over one client: each paid once", async {
        let all =
            futures_util::future::join_all((0..20).map(|_| photograph(&client, "coffee.png")));
        for answer in ECONOMY.changes(20, payer, all).await {
            answer.good();
        }
    })
    .await;

    let service = serve(|_| filler()).await;
    let words = ["--price", "0.001", "--per", "kB", "--most", "0.02", "--name", "filler-x402-rs"];
    let Stall { url, payee, .. } = &ECONOMY.stall(service.as_str(), &words).await;
    for (bytes, kilobytes) in [(2_600, 3), (1_000, 1), (50_000, MOST / PER_KILOBYTE)] {
        let charge = kilobytes * PER_KILOBYTE;
        claim(
            &format!(
                "upto, the approval travels along: {bytes} bytes cost {charge} of at most {MOST}"
            ),
            async {
                let asked = client.get(format!("{url}/text?bytes={bytes}"));
                let buying = async { Answer::of(asked.send().await.expect("an answer")).await };
                let answer = ECONOMY.moves(charge, payer, *payee, buying).await.good();
                assert_eq!(answer.body.len(), bytes);
                assert_eq!(answer.settlement()["amount"], charge.to_string());
            },
        )
        .await;
    }
}

/// The dollar, as x402-rs names a token.
fn dollar() -> Eip155TokenDeployment {
    Eip155TokenDeployment {
        chain_reference: Eip155ChainReference::new(ECONOMY.chain_id()),
        address: ECONOMY.told("/token/address").parse().expect("an address"),
        decimals: 6,
        transfer_method: AssetTransferMethod::Eip3009 {
            name: ECONOMY.told("/token/name").into(),
            version: ECONOMY.told("/token/version").into(),
        },
    }
}

/// A shop of x402-axum: `/shout` at a price, `/broken` fails, `/upto` charges all of its most.
fn shop(origin: Url, payee: Address) -> Router {
    let middleware = X402Middleware::new(ECONOMY.told("/facilitatorUrl")).with_base_url(origin);
    let exact =
        || middleware.with_price_tag(V2Eip155Exact::price_tag(payee, dollar().amount(PRICE)));
    let upto = middleware.with_price_tag(V2Eip155Upto::price_tag(payee, dollar().amount(PRICE)));
    Router::new()
        .route(
            "/shout",
            post(|body: String| async move { format!("{}!", body.to_uppercase()) }).layer(exact()),
        )
        .route(
            "/broken",
            post(|_: Request| async { StatusCode::INTERNAL_SERVER_ERROR }).layer(exact()),
        )
        .route("/upto", post(|| async { "done" }).layer(upto))
}

async fn selling() {
    let payee = PrivateKeySigner::random().address();
    let origin = serve(|origin| shop(origin, payee)).await;
    let at = |path: &str| origin.join(path).expect("a path").to_string();
    let key = ECONOMY.funded().await;
    let payer = key.address();
    let (client, wire) = buyer(&key);
    let ask = |path: &'static str, body: &'static str| {
        let request = client.post(at(path)).body(body);
        async { Answer::of(request.send().await.expect("an answer")).await }
    };
    let buy = |path: &'static str, body: &'static str| {
        let asked = ask(path, body);
        async { asked.await.good() }
    };

    claim("x402-reqwest buys of x402-axum, settled by our facilitator", async {
        let answer = ECONOMY.moves(PRICE, payer, payee, buy("/shout", "hello")).await;
        assert_eq!(answer.body, b"HELLO!");
        assert!(ECONOMY.succeeded(&answer.settlement()["transaction"]).await);
    })
    .await;

    claim(
        "the same payment again: its server is told that it was used, and is not paid twice",
        async {
            let request =
                plain().post(at("/shout")).header("payment-signature", wire.last()).body("hello");
            let buying = async { Answer::of(request.send().await.expect("an answer")).await };
            let answer = ECONOMY.moves(0, payer, payee, buying).await;
            assert_eq!(answer.status, 402, "{}", String::from_utf8_lossy(&answer.body));
        },
    )
    .await;

    claim("work that fails is not settled", async {
        let answer = ECONOMY.moves(0, payer, payee, ask("/broken", "")).await;
        assert_eq!(answer.status, 500);
    })
    .await;

    claim(
        "upto: x402-axum names our facilitator to the payer, and charges what was signed for",
        async {
            let poor = ECONOMY.funded().await;
            let wire = Wire::default();
            let scheme = V2Eip155UptoClient::new(poor.clone()).with_provider(ECONOMY.rpc());
            let client = plain()
                .with_payments(X402Client::new().register(scheme))
                .builder()
                .with(wire.clone())
                .build();
            // Its quote has no extension by which an approval could travel along.
            ECONOMY.approve_permit2(&poor).await;
            let request = client.post(at("/upto"));
            let buying = async { Answer::of(request.send().await.expect("an answer")).await };
            ECONOMY.moves(PRICE, poor.address(), payee, buying).await.good();
        },
    )
    .await;

    claim("twenty at once: all served, each settled once", async {
        let all = futures_util::future::join_all((0..20).map(|_| buy("/shout", "again")));
        let answers = ECONOMY.moves(20 * PRICE, payer, payee, all).await;
        assert!(answers.into_iter().all(|answer| answer.body == b"AGAIN!"));
    })
    .await;

    let shopper = ECONOMY.party("shopper");
    claim("`machina pay` buys of x402-axum, under its mandate", async {
        let url = at("/shout");
        let report = ECONOMY
            .moves(PRICE, shopper, payee, ECONOMY.machina(&["pay", &url, "--data", "hello"]))
            .await;
        assert_eq!(
            (report["status"].clone(), machina_interop::minor(&report["paid"]["amount"])),
            (json!(200), PRICE)
        );
    })
    .await;
}
