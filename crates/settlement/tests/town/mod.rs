//! A real chain in this process for the tests, and a way to it that can be made to fail.
#![allow(dead_code)] // each test file uses its part

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolStruct as _;
use chain::{Config, Genesis, GenesisAccount, Node};
use money::{Amount, Asset, Party};
use protocol::addresses::MACHINA_DOLLAR;
use protocol::{EMBEDDED_CHAIN_ID, TransferWithAuthorization};
use serde_json::{Value, json};
use settlement::{Endpoint, LocalNode, SenderLimits, Settlement, SignedAuthorization};

/// When the chain's clock starts, in seconds since the Unix epoch.
pub const NOW: u64 = 1_795_000_000;

pub fn musd(minor: i128) -> Amount {
    Amount::from_minor(Asset::MUSD, minor)
}

pub fn key(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(number)).unwrap()
}

/// The key that mints and sends.
pub fn minter() -> PrivateKeySigner {
    key(0x11)
}

pub fn party(signer: &PrivateKeySigner) -> Party {
    signer.address().into()
}

/// A node in memory whose blocks are dated by `clock`.
pub fn node(clock: Arc<AtomicU64>) -> Node {
    let alloc = protocol::genesis(minter().address(), &[])
        .unwrap()
        .into_iter()
        .map(|a| GenesisAccount {
            address: a.address,
            balance: a.balance,
            nonce: a.nonce,
            code: a.code,
            storage: a.storage,
        })
        .collect();
    let genesis =
        Genesis { chain_id: EMBEDDED_CHAIN_ID, timestamp: NOW, gas_limit: 300_000_000, alloc };
    let now = Arc::new(move || clock.load(Ordering::SeqCst));
    Node::open(Config::in_memory(genesis, now)).unwrap()
}

/// What a fault does to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The node never sees it, and answers with this error.
    Refuse(i64, &'static str),
    /// The node never sees it, and nothing comes back.
    Swallow,
    /// The node does it, and nothing comes back.
    Mute,
    /// The node does it, and the answer cannot be read.
    Garble,
}

/// A node in this process, with faults for the next requests of some method.
pub struct Wire {
    node: Node,
    faults: Mutex<Vec<(&'static str, Fault)>>,
    /// How many requests went through, by all methods.
    pub requests: AtomicUsize,
}

impl Wire {
    pub fn to(node: Node) -> Arc<Wire> {
        Arc::new(Wire { node, faults: Mutex::default(), requests: AtomicUsize::new(0) })
    }

    /// The next request whose method begins with `method` meets this fault.
    pub fn break_next(&self, method: &'static str, fault: Fault) {
        self.faults.lock().unwrap().push((method, fault));
    }

    fn fault(&self, method: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let place = faults.iter().position(|(start, _)| method.starts_with(start))?;
        Some(faults.remove(place).1)
    }
}

impl LocalNode for Wire {
    fn request(&self, request: Value) -> Pin<Box<dyn Future<Output = Value> + Send>> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let fault = self.fault(request["method"].as_str().unwrap_or_default());
        let node = self.node.clone();
        Box::pin(async move {
            let id = request["id"].clone();
            match fault {
                None => node.request(request).await,
                Some(Fault::Refuse(code, message)) => json!({
                    "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message }
                }),
                Some(Fault::Swallow) => std::future::pending().await,
                Some(Fault::Mute) => {
                    node.request(request).await;
                    std::future::pending().await
                }
                Some(Fault::Garble) => {
                    node.request(request).await;
                    json!({ "nonsense": true })
                }
            }
        })
    }
}

pub struct Town {
    pub clock: Arc<AtomicU64>,
    pub node: Node,
    pub wire: Arc<Wire>,
    pub settlement: Settlement,
}

impl Town {
    pub async fn begin() -> Town {
        Town::with(SenderLimits::default()).await
    }

    pub async fn with(limits: SenderLimits) -> Town {
        let clock = Arc::new(AtomicU64::new(NOW));
        let node = node(clock.clone());
        let wire = Wire::to(node.clone());
        let settlement = Settlement::connect(
            Endpoint::Local(wire.clone()),
            Some(EMBEDDED_CHAIN_ID),
            MACHINA_DOLLAR,
            minter(),
            limits,
        )
        .await
        .unwrap();
        Town { clock, node, wire, settlement }
    }

    /// A limit that a test can wait out.
    pub fn hasty() -> SenderLimits {
        SenderLimits { wait: Duration::from_millis(400), ..SenderLimits::default() }
    }

    pub async fn nonce(&self, address: Address) -> u64 {
        let answer = self.rpc("eth_getTransactionCount", json!([address, "latest"])).await;
        u64::from_str_radix(&answer.as_str().unwrap()[2..], 16).unwrap()
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Value {
        let answer = self
            .node
            .request(json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }))
            .await;
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    /// A transaction past the sender under test, with the receipt.
    pub async fn transact(&self, signer: &PrivateKeySigner, to: Address, data: Bytes) -> Value {
        let transaction = TxEip1559 {
            chain_id: EMBEDDED_CHAIN_ID,
            nonce: self.nonce(signer.address()).await,
            gas_limit: 5_000_000,
            to: TxKind::Call(to),
            input: data,
            ..Default::default()
        };
        let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
        let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        self.rpc("eth_sendRawTransactionSync", json!([Bytes::from(raw)])).await
    }
}

/// A good order of `payer`, valid for an hour.
pub fn authorize(
    payer: &PrivateKeySigner,
    to: Address,
    value: u64,
    nonce: u64,
) -> SignedAuthorization {
    let order = TransferWithAuthorization {
        from: payer.address(),
        to,
        value: U256::from(value),
        validAfter: U256::ZERO,
        validBefore: U256::from(NOW + 3_600),
        nonce: U256::from(nonce).into(),
    };
    let hash = order.eip712_signing_hash(&protocol::embedded_dollar_domain(EMBEDDED_CHAIN_ID));
    SignedAuthorization {
        from: order.from,
        to,
        value: order.value,
        valid_after: order.validAfter,
        valid_before: order.validBefore,
        nonce: order.nonce,
        signature: payer.sign_hash_sync(&hash).unwrap().as_bytes().to_vec().into(),
    }
}
