//! A real chain in this process for the tests, and a way to it that can be made to fail.
#![allow(dead_code)] // each test file uses its part

pub mod mempool;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolStruct as _;
use chain::{Config, Genesis, GenesisAccount, Node};
use money::{Amount, Asset, Party};
use protocol::addresses::MACHINA_DOLLAR;
use protocol::{EMBEDDED_CHAIN_ID, TransferWithAuthorization};
use serde_json::{Value, json};
use settlement::{Endpoint, LocalNode, SenderLimits, SendingKeys, Settlement, SignedAuthorization};

use mempool::{Admission, Mempool};

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

/// Keys that have ether for gas, beginning with the minter's. Gas is free here unless a test
/// charges for it ([`Wire::charge`]).
pub fn rich_keys(count: u8) -> SendingKeys {
    SendingKeys::pool(minter(), (1..count).map(|more| key(0x11 + more)))
}

/// A node in memory whose blocks are dated by `clock`. The minter and seven keys after it own an
/// ether each.
pub fn node(clock: Arc<AtomicU64>) -> Node {
    let ether = U256::from(10).pow(U256::from(18));
    let holders: Vec<_> = (0x11..0x19).map(|number| (key(number).address(), ether)).collect();
    let alloc = protocol::genesis(minter().address(), &holders)
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
    /// It travels twice, and the second answer comes back.
    Twice,
    /// It travels late by so many milliseconds.
    Late(u64),
}

/// What a test makes of a request: a fault, or nothing.
pub type Script = Box<dyn FnMut(&str) -> Option<Fault> + Send>;

/// A node in this process, with faults for the next requests of some method.
pub struct Wire {
    node: Mutex<Node>,
    faults: Mutex<Vec<(&'static str, Fault)>>,
    script: Mutex<Option<Script>>,
    /// Transactions that wait for a better offer; the node is asked nothing of them.
    mempool: Mutex<Option<Mempool>>,
    /// What the chain asks for gas, in wei per gas: base fee and tip. The node itself asks nothing.
    fees: Mutex<Option<(u64, u64)>>,
    /// The newest block that is called final. The node itself calls all so.
    final_block: Mutex<Option<u64>>,
    /// How many transactions of any account are said to be sent, mined or not.
    sent: Mutex<Option<u64>>,
    /// Which function, by its selector, every contract is said not to have when it is asked.
    lacking: Mutex<Option<[u8; 4]>>,
    /// How many requests went through, by all methods.
    pub requests: AtomicUsize,
}

impl Wire {
    pub fn to(node: Node) -> Arc<Wire> {
        Arc::new(Wire {
            node: Mutex::new(node),
            faults: Mutex::default(),
            script: Mutex::default(),
            mempool: Mutex::default(),
            fees: Mutex::default(),
            final_block: Mutex::default(),
            sent: Mutex::default(),
            lacking: Mutex::default(),
            requests: AtomicUsize::new(0),
        })
    }

    /// The next request whose method begins with `method` meets this fault.
    pub fn break_next(&self, method: &'static str, fault: Fault) {
        self.faults.lock().unwrap().push((method, fault));
    }

    /// Every request from now on goes by this script; `None` ends it.
    pub fn follow(&self, script: Option<Script>) {
        *self.script.lock().unwrap() = script;
    }

    /// From now on another node answers: what that one does not know never happened.
    pub fn reorganise(&self, node: Node) {
        *self.node.lock().unwrap() = node;
    }

    /// From now on no block above this one is called final.
    pub fn call_final(&self, block: u64) {
        *self.final_block.lock().unwrap() = Some(block);
    }

    /// From now on every account is said to have sent so many transactions; `None` ends it.
    pub fn claim_sent(&self, count: Option<u64>) {
        *self.sent.lock().unwrap() = count;
    }

    /// From now on contracts that are asked for this function revert; `None` ends it. Transactions
    /// find it.
    pub fn hide(&self, selector: Option<[u8; 4]>) {
        *self.lacking.lock().unwrap() = selector;
    }

    /// From now on the chain is said to ask this base fee and tip.
    pub fn charge(&self, base_fee: u64, tip: u64) {
        *self.fees.lock().unwrap() = Some((base_fee, tip));
    }

    /// From now on a pool of transactions stands before the node; else use what stands there.
    pub fn with_mempool<T>(&self, least_tip: u128, act: impl FnOnce(&mut Mempool) -> T) -> T {
        let mut mempool = self.mempool.lock().unwrap();
        act(mempool.get_or_insert_with(|| Mempool::asking(least_tip)))
    }

    fn fault(&self, method: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        if let Some(place) = faults.iter().position(|(start, _)| method.starts_with(start)) {
            return Some(faults.remove(place).1);
        }
        self.script.lock().unwrap().as_mut().and_then(|script| script(method))
    }

    /// What is answered without asking the node, or the request as the node is to hear it.
    fn scripted(&self, request: &mut Value) -> Option<Value> {
        let method = request["method"].as_str().unwrap_or_default();
        match method {
            "eth_feeHistory" => {
                let (base_fee, tip) = (*self.fees.lock().unwrap())?;
                let history = json!({
                    "oldestBlock": "0x0",
                    "baseFeePerGas": vec![format!("{base_fee:#x}"); 2],
                    "gasUsedRatio": [0.5],
                    "reward": [[format!("{tip:#x}")]],
                });
                Some(result(request, history))
            }
            "eth_getTransactionCount" if request["params"][1] == "pending" => {
                let count = (*self.sent.lock().unwrap())?;
                Some(result(request, json!(format!("{count:#x}"))))
            }
            "eth_call" => {
                let hidden = hex::encode_prefixed((*self.lacking.lock().unwrap())?);
                let asked = &request["params"][0];
                let input = asked["input"].as_str().or(asked["data"].as_str())?;
                input.starts_with(&hidden).then(|| refusal(request, 3, "execution reverted"))
            }
            "eth_getBlockByNumber" if request["params"][0] == "finalized" => {
                let final_block = (*self.final_block.lock().unwrap())?;
                request["params"][0] = json!(format!("{final_block:#x}"));
                None
            }
            method if method.starts_with("eth_sendRawTransaction") => {
                let mut mempool = self.mempool.lock().unwrap();
                let mempool = mempool.as_mut()?;
                if method == "eth_sendRawTransactionSync" {
                    return Some(refusal(request, -32601, "no such method"));
                }
                let raw = serde_json::from_value(request["params"][0].clone()).unwrap();
                match mempool.admit(&raw) {
                    Admission::Pass => None,
                    Admission::Held(hash) => Some(result(request, json!(hash))),
                    Admission::Refused(words) => Some(refusal(request, -32000, words)),
                }
            }
            _ => None,
        }
    }
}

fn result(request: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })
}

fn refusal(request: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": request["id"], "error": { "code": code, "message": message } })
}

impl LocalNode for Wire {
    fn request(&self, mut request: Value) -> Pin<Box<dyn Future<Output = Value> + Send>> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let fault = self.fault(request["method"].as_str().unwrap_or_default());
        let node = self.node.lock().unwrap().clone();
        if !matches!(fault, Some(Fault::Refuse(..) | Fault::Swallow))
            && let Some(answer) = self.scripted(&mut request)
        {
            return Box::pin(async move { answer });
        }
        Box::pin(async move {
            match fault {
                None => node.request(request).await,
                Some(Fault::Refuse(code, message)) => refusal(&request, code, message),
                Some(Fault::Swallow) => std::future::pending().await,
                Some(Fault::Mute) => {
                    node.request(request).await;
                    std::future::pending().await
                }
                Some(Fault::Garble) => {
                    node.request(request).await;
                    json!({ "nonsense": true })
                }
                Some(Fault::Twice) => {
                    node.request(request.clone()).await;
                    node.request(request).await
                }
                Some(Fault::Late(milliseconds)) => {
                    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
                    node.request(request).await
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
        Town::of(minter(), limits).await
    }

    /// A town whose settlement sends from these keys.
    pub async fn of(senders: impl Into<SendingKeys>, limits: SenderLimits) -> Town {
        let clock = Arc::new(AtomicU64::new(NOW));
        let node = node(clock.clone());
        let wire = Wire::to(node.clone());
        let settlement = Settlement::connect(
            Endpoint::Local(wire.clone()),
            Some(EMBEDDED_CHAIN_ID),
            MACHINA_DOLLAR,
            senders,
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

    /// Limits under which a transaction is sent again soon, and waited for long: what a test sees
    /// does not depend on how fast the machine is.
    pub fn eager() -> SenderLimits {
        SenderLimits { resend_after: Duration::from_millis(30), ..SenderLimits::default() }
    }

    /// How many transactions of an account are mined.
    pub async fn nonce(&self, address: Address) -> u64 {
        self.count(address, "latest").await
    }

    /// The same, with those that are ready to be mined: equal if none waits.
    pub async fn count(&self, address: Address, block: &str) -> u64 {
        let answer = self.rpc("eth_getTransactionCount", json!([address, block])).await;
        u64::from_str_radix(&answer.as_str().unwrap()[2..], 16).unwrap()
    }

    /// How many transactions of anyone are mined, failed ones among them.
    pub async fn transactions(&self) -> u64 {
        let number =
            |answer: Value| u64::from_str_radix(&answer.as_str().unwrap()[2..], 16).unwrap();
        let head = number(self.rpc("eth_blockNumber", json!([])).await);
        let mut count = 0;
        for block in 0..=head {
            let block = json!([format!("{block:#x}")]);
            count += number(self.rpc("eth_getBlockTransactionCountByNumber", block).await);
        }
        count
    }

    /// Nothing waits on any key: every nonce that was used is mined.
    pub async fn assert_no_gap(&self) {
        let pool = self.rpc("txpool_status", json!([])).await;
        assert_eq!(pool, json!({ "pending": "0x0", "queued": "0x0" }));
        for sender in self.settlement.senders() {
            assert_eq!(self.nonce(sender).await, self.count(sender, "pending").await);
        }
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
        let nonce = self.nonce(signer.address()).await;
        let raw = signed(signer, nonce, to, data);
        self.rpc("eth_sendRawTransactionSync", json!([raw])).await
    }

    /// Seals so many more blocks.
    pub async fn pass_blocks(&self, blocks: usize) {
        for _ in 0..blocks {
            self.transact(&key(0x77), Address::repeat_byte(1), Bytes::new()).await;
        }
    }
}

/// The bytes of a transaction past the sender under test.
pub fn signed(signer: &PrivateKeySigner, nonce: u64, to: Address, data: Bytes) -> Bytes {
    let transaction = TxEip1559 {
        chain_id: EMBEDDED_CHAIN_ID,
        nonce,
        gas_limit: 5_000_000,
        to: TxKind::Call(to),
        input: data,
        ..Default::default()
    };
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
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
