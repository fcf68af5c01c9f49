//! A small town for the tests: a real chain, a mint, books, a shop behind a gate on loopback, and
//! people with money. Only faults are made up: at the facilitator's seam, and by crashing.
#![allow(dead_code)] // each test file uses its part

pub mod boutique;
pub mod canal;
pub mod dice;
pub mod escrow;
pub mod faulty;
pub mod meddler;
pub mod permits;
pub mod shop;
pub mod vouchers;
pub mod wallet;
pub mod wire;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256, bytes};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolStruct as _;
use base64::Engine as _;
use chain::{Config, Genesis, GenesisAccount, Node};
use ledger::{Kind, Ledger};
use mandates::books::Line;
use mandates::{Key, Mandate, Mandates, Purpose, SignedMandate};
use money::{Amount, Asset, Clock as _, ManualClock, Party, Timestamp};
use payments::buyer::Parts;
use payments::wire::{PaymentPayload, PaymentRequirements};
use payments::{
    Bookkeeper, Buyer, BuyerLimits, EmbeddedFacilitator, Facilitator, GateParts, exact,
};
use protocol::EMBEDDED_CHAIN_ID;
use protocol::addresses::MACHINA_DOLLAR;
use serde_json::{Value, json};
use settlement::{Endpoint, LocalNode, SenderLimits, Settlement, SignedAuthorization, Token};

pub use shop::PRICE;

pub const START: Timestamp = Timestamp::from_secs(1_795_000_000);
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub fn musd(minor: i128) -> Amount {
    Amount::from_minor(Asset::MUSD, minor)
}

/// The `number`th person's key.
pub fn person(number: u8) -> Key {
    Key::from_secret(&[number; 32]).unwrap()
}

pub fn owner() -> Key {
    person(0x0e)
}

pub fn seller() -> Party {
    person(0x5e).party()
}

/// A contract wallet that takes any signature for its own (EIP-1271).
pub const AGREEABLE_WALLET: Address = Address::repeat_byte(0xa1);
/// One that takes none.
pub const REFUSING_WALLET: Address = Address::repeat_byte(0xa2);

/// One that uses up all gas that it is given.
pub const GREEDY_WALLET: Address = Address::repeat_byte(0xa3);

struct InProcess(Node);

impl LocalNode for InProcess {
    fn request(&self, request: Value) -> Pin<Box<dyn Future<Output = Value> + Send>> {
        let node = self.0.clone();
        Box::pin(async move { node.request(request).await })
    }
}

pub struct Town {
    pub clock: Arc<ManualClock>,
    pub node: Node,
    /// The facilitator's way to the chain.
    pub chain: Settlement,
    pub mint: Settlement,
    pub ledger: Ledger,
    pub mandates: Mandates,
    pub books: PathBuf,
    folder: Arc<tempfile::TempDir>,
    numbers: Arc<AtomicU64>,
}

impl Town {
    pub async fn begin() -> Town {
        Town::found(false).await
    }

    /// As [`Town::begin`], with a chain that writes to the disk as in the product.
    pub async fn durable() -> Town {
        Town::found(true).await
    }

    async fn found(durable: bool) -> Town {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let clock = Arc::new(ManualClock::at(START));
        let (minter, sender) = (minter(), sender());
        let directory = durable.then(|| folder.path().join("chain"));
        let node = node(&minter, &clock, directory);
        let chain = connect(&node, sender, SenderLimits::default()).await;
        let mint = connect(&node, minter, SenderLimits::default()).await;
        let books = folder.path().join("books");
        let (ledger, mandates) = open_books(&books, &clock);
        mandates.open_book(seller(), Asset::MUSD).await.unwrap();
        let numbers = Arc::new(AtomicU64::new(1));
        Town { clock, node, chain, mint, ledger, mandates, books, folder, numbers }
    }

    pub fn token(&self) -> &Token {
        self.chain.token()
    }

    /// The power fails: nothing is written to the old books any more, and they are opened again.
    pub async fn crash(self) -> Town {
        let Town { clock, node, chain, mint, ledger, mandates, books, folder, numbers } = self;
        drop(mandates);
        ledger.close().await.unwrap();
        let (ledger, mandates) = open_books(&books, &clock);
        Town { clock, node, chain, mint, ledger, mandates, books, folder, numbers }
    }

    pub fn facilitator(&self) -> Arc<EmbeddedFacilitator> {
        Arc::new(EmbeddedFacilitator::new(self.chain.clone(), self.clock.clone()))
    }

    /// What a gate over this town's books and chain is made of.
    pub fn gate_parts(&self, facilitator: Arc<dyn Facilitator>) -> GateParts {
        GateParts::new(
            self.ledger.clone(),
            facilitator,
            self.chain.clone(),
            self.clock.clone(),
            Arc::new(|_| Kind::Intermediate),
        )
    }

    pub async fn give(&self, party: Party, amount: Amount) {
        self.mint.mint(party, amount).await.unwrap();
    }

    pub async fn owns(&self, party: Party) -> i128 {
        self.chain.balance(party).await.unwrap().minor()
    }

    pub async fn block(&self) -> u64 {
        self.chain.block_number().await.unwrap()
    }

    pub fn digest(&self) -> [u8; 32] {
        self.ledger.read(|s| s.digest())
    }

    /// What stands on a line of a book for good, and what is held on it, both signs alike.
    pub fn line(&self, party: Party, line: Line) -> (i128, i128) {
        self.ledger.read(|s| {
            s.balance(&line.of(party, Asset::MUSD))
                .map_or((0, 0), |b| (b.settled().minor(), b.debits_pending + b.credits_pending))
        })
    }

    /// A machine with this wallet, both on the chain and in its book, and a wide mandate.
    pub async fn buyer(&self, number: u8, wallet: Amount) -> Buyer {
        self.buyer_with(number, wallet, musd(1_000_000_000), BuyerLimits::default()).await
    }

    pub async fn buyer_with(
        &self,
        number: u8,
        wallet: Amount,
        allowed: Amount,
        limits: BuyerLimits,
    ) -> Buyer {
        let key = person(number);
        self.mandates.open_book(key.party(), Asset::MUSD).await.unwrap();
        if wallet.is_positive() {
            self.give(key.party(), wallet).await;
            self.bookkeeper(&[key.party()]).reconcile(false).await.unwrap();
        }
        if allowed.is_positive() {
            let mandate = Mandate {
                machine: key.party(),
                owner: owner().party(),
                per_payment: allowed,
                daily: allowed,
                lifetime: allowed,
                expires_at: START.plus(DAY * 3650),
                purpose: Purpose::Production,
                serial: u64::from(number),
                unasked: None,
            };
            self.mandates.grant(SignedMandate::sign(mandate, &owner()).unwrap()).await.unwrap();
        }
        self.same_buyer(number, limits)
    }

    /// A buyer whose books, wallet and mandate are there already.
    pub fn same_buyer(&self, number: u8, limits: BuyerLimits) -> Buyer {
        let numbers = self.numbers.clone();
        Buyer::new(Parts {
            key: person(number),
            mandates: self.mandates.clone(),
            ledger: self.ledger.clone(),
            chain: self.chain.clone(),
            clock: self.clock.clone(),
            entropy: Arc::new(move || {
                U256::from(numbers.fetch_add(1, Ordering::SeqCst)).to_be_bytes()
            }),
            http: http(),
            limits,
        })
    }

    pub fn bookkeeper(&self, parties: &[Party]) -> Bookkeeper {
        Bookkeeper::new(
            self.ledger.clone(),
            self.mandates.clone(),
            self.chain.clone(),
            self.clock.clone(),
            parties.to_vec(),
            0,
        )
    }

    /// An order to pay the shop's price, unsigned.
    pub fn order(&self, payer: &Key, number: u64) -> SignedAuthorization {
        let now = self.clock.now().as_secs();
        SignedAuthorization {
            from: payer.address(),
            to: seller().into(),
            value: U256::from(PRICE),
            valid_after: U256::from(now - 600),
            valid_before: U256::from(now + 60),
            nonce: U256::from(number).into(),
            signature: Bytes::new(),
        }
    }

    pub fn sign(&self, payer: &Key, order: SignedAuthorization) -> SignedAuthorization {
        sign_for(payer, order, self.token())
    }

    /// The `number`th payment of a stranger for the shop's price.
    pub fn payment(&self, payer: &Key, number: u64) -> PaymentPayload {
        let order = self.sign(payer, self.order(payer, number));
        self.wrap(&order)
    }

    pub fn wrap(&self, order: &SignedAuthorization) -> PaymentPayload {
        PaymentPayload {
            x402_version: 2,
            resource: None,
            accepted: self.terms(),
            payload: exact::write(order),
            extensions: None,
        }
    }

    pub fn terms(&self) -> PaymentRequirements {
        shop::offer(self.token(), "http://localhost/work").requirements().remove(0)
    }

    /// Books and chain agree, nothing hangs, and debits are credits.
    pub async fn is_whole(&self, parties: &[Party]) {
        let reconciled = self.bookkeeper(parties).reconcile(true).await.unwrap();
        assert_eq!(reconciled.breaks, [], "books and chain differ");
        for totals in self.ledger.read(|s| s.totals().to_vec()) {
            assert_eq!(totals.debits_posted, totals.credits_posted);
            assert_eq!(totals.debits_pending, totals.credits_pending);
        }
    }
}

fn open_books(path: &Path, clock: &Arc<ManualClock>) -> (Ledger, Mandates) {
    let ledger = Ledger::open(path, clock.clone()).unwrap();
    let mandates = Mandates::open(ledger.clone(), &[]).unwrap();
    (ledger, mandates)
}

fn node(minter: &PrivateKeySigner, clock: &Arc<ManualClock>, directory: Option<PathBuf>) -> Node {
    // Returns EIP-1271's magic value; reverts; goes round for ever.
    let wallets = [
        (AGREEABLE_WALLET, bytes!("631626ba7e60e01b60005260206000f3")),
        (REFUSING_WALLET, bytes!("60006000fd")),
        (GREEDY_WALLET, bytes!("5b600056")),
    ]
    .map(|(address, code)| GenesisAccount { address, code, nonce: 1, ..Default::default() });
    let alloc = protocol::genesis(minter.address(), &[])
        .unwrap()
        .into_iter()
        .map(|a| GenesisAccount {
            address: a.address,
            balance: a.balance,
            nonce: a.nonce,
            code: a.code,
            storage: a.storage,
        })
        .chain(wallets)
        .collect();
    let genesis = Genesis {
        chain_id: EMBEDDED_CHAIN_ID,
        timestamp: START.as_secs(),
        gas_limit: 300_000_000,
        alloc,
    };
    let clock = clock.clone();
    let config = Config::in_memory(genesis, Arc::new(move || clock.now().as_secs()));
    Node::open(Config { directory, ..config }).unwrap()
}

/// Another node of the same beginning, which knows nothing of what came since.
pub fn another_node(clock: &Arc<ManualClock>) -> Node {
    node(&minter(), clock, None)
}

/// The key of the facilitator's transactions.
pub fn sender() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x12)).unwrap()
}

/// The key that makes play money.
pub fn minter() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x11)).unwrap()
}

async fn connect(node: &Node, key: PrivateKeySigner, limits: SenderLimits) -> Settlement {
    connect_by(Arc::new(InProcess(node.clone())), key, limits).await
}

/// As all connect, by a way of the test's own.
pub async fn connect_by(
    way: Arc<dyn LocalNode>,
    key: PrivateKeySigner,
    limits: SenderLimits,
) -> Settlement {
    let endpoint = Endpoint::Local(way);
    Settlement::connect(endpoint, Some(EMBEDDED_CHAIN_ID), MACHINA_DOLLAR, key, limits)
        .await
        .unwrap()
}

pub fn sign_for(payer: &Key, order: SignedAuthorization, token: &Token) -> SignedAuthorization {
    let hash = exact::signing_hash(&order, token);
    let signature = payer.transaction_signer().sign_hash_sync(&hash).unwrap();
    SignedAuthorization { signature: signature.as_bytes().to_vec().into(), ..order }
}

/// The payer takes back a payment that was not used yet.
pub async fn cancel(town: &Town, payer: &Key, nonce: B256) {
    let token = town.token();
    let domain =
        protocol::dollar_domain(&token.name, &token.version, token.chain_id, token.address);
    let cancel = protocol::CancelAuthorization { authorizer: payer.address(), nonce };
    let hash = cancel.eip712_signing_hash(&domain);
    let signature = payer.transaction_signer().sign_hash_sync(&hash).unwrap();
    let call = protocol::bindings::CancelBySignature {
        authorizer: payer.address(),
        nonce,
        signature: signature.as_bytes().to_vec().into(),
    };
    transact(town, payer, token.address, alloy_sol_types::SolCall::abi_encode(&call).into()).await;
}

/// A person moves money by hand, past all books.
pub async fn transfer(town: &Town, from: &Key, to: Party, minor: u64) {
    let call = protocol::MachinaDollar::transferCall { to: to.into(), value: U256::from(minor) };
    let data = alloy_sol_types::SolCall::abi_encode(&call).into();
    transact(town, from, town.token().address, data).await;
}

/// A transaction of a person's own.
pub async fn transact(town: &Town, from: &Key, to: Address, data: Bytes) {
    use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
    use alloy_primitives::TxKind;

    let count = json!([from.address(), "latest"]);
    let nonce = rpc(town, "eth_getTransactionCount", count).await;
    let transaction = TxEip1559 {
        chain_id: EMBEDDED_CHAIN_ID,
        nonce: u64::from_str_radix(&nonce.as_str().unwrap()[2..], 16).unwrap(),
        gas_limit: 1_000_000,
        to: TxKind::Call(to),
        input: data,
        ..Default::default()
    };
    let signature =
        from.transaction_signer().sign_hash_sync(&transaction.signature_hash()).unwrap();
    let raw = alloy_consensus::TxEnvelope::from(transaction.into_signed(signature));
    let raw: Bytes = alloy_eips::Encodable2718::encoded_2718(&raw as &TxEnvelope).into();
    let receipt = rpc(town, "eth_sendRawTransactionSync", json!([raw])).await;
    assert_eq!(receipt["status"], "0x1");
}

pub async fn rpc(town: &Town, method: &str, params: Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = town.node.request(request).await;
    assert!(answer.get("error").is_none(), "{answer}");
    answer["result"].clone()
}

pub fn http() -> reqwest::Client {
    // The program chooses at its start; whoever comes first chooses for all tests.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub fn base64(text: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}
