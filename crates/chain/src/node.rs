//! The node: what opens, answers and closes.

use crate::{
    admission,
    block::Block,
    error::ChainError,
    genesis::Genesis,
    history::History,
    log::BlockLog,
    pool::{Pool, PoolLimits, Standing},
    refusal::Refusal,
    rpc::{self, Filters},
    sealer,
    state::State,
    transaction::Transaction,
};
use alloy_primitives::{Address, B256};
use serde_json::Value;
use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};
use tokio::sync::{Semaphore, broadcast, watch};

/// The clock of a node: seconds since the Unix epoch.
pub type Seconds = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a node may be asked for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What the pool may hold.
    pub pool: PoolLimits,
    /// Gas of one `eth_call` or `eth_estimateGas`.
    pub call_gas: u64,
    /// Blocks that one `eth_getLogs` may look through.
    pub log_blocks: u64,
    /// Logs that one `eth_getLogs` may return.
    pub log_results: usize,
    /// Requests in one batch.
    pub batch: usize,
    /// Bytes that the answers of one batch may take together, roughly; the rest of the batch is
    /// refused.
    pub batch_answer_bytes: usize,
    /// Bytes of one HTTP request body.
    pub body_bytes: usize,
    /// Filters that may be open at once.
    pub filters: usize,
    /// Seconds after which an unused filter is closed.
    pub filter_seconds: u64,
    /// Milliseconds that `eth_sendRawTransactionSync` may wait.
    pub sync_wait_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pool: PoolLimits::default(),
            call_gas: 50_000_000,
            log_blocks: 100_000,
            log_results: 10_000,
            batch: 1_000,
            batch_answer_bytes: 32 << 20,
            body_bytes: 5 << 20,
            filters: 1_000,
            filter_seconds: 300,
            sync_wait_ms: 30_000,
        }
    }
}

/// How a node is opened.
#[derive(Clone)]
pub struct Config {
    /// Where the block log lives. `None` keeps the chain in memory only, for tests.
    pub directory: Option<PathBuf>,
    /// How the chain begins. It must be the same at every opening of one directory.
    pub genesis: Genesis,
    /// The clock that dates blocks.
    pub now: Seconds,
    /// What the node may be asked for at most.
    pub limits: Limits,
}

impl Config {
    /// A chain in memory with the usual limits.
    pub fn in_memory(genesis: Genesis, now: Seconds) -> Self {
        Self { directory: None, genesis, now, limits: Limits::default() }
    }

    /// The same, but durable, in `directory`.
    #[must_use]
    pub fn in_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("directory", &self.directory)
            .field("genesis", &self.genesis)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A block was sealed: it is on the disk, and its receipts can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSealed {
    /// The block's number.
    pub number: u64,
    /// The block's hash.
    pub hash: B256,
    /// The hashes of its transactions, in order.
    pub transactions: Vec<B256>,
}

/// What the RPC methods and the sealer share.
pub(crate) struct Shared {
    pub(crate) chain_id: u64,
    pub(crate) gas_limit: u64,
    pub(crate) now: Seconds,
    pub(crate) limits: Limits,
    pub(crate) history: History,
    /// Lock order: pool before history.
    pool: Mutex<Pool>,
    /// Told when something is ready or the node closes.
    pub(crate) wake: Condvar,
    closed: AtomicBool,
    pub(crate) sealed: broadcast::Sender<BlockSealed>,
    /// Told after every turn of the sealer, whether or not it sealed.
    pub(crate) turns: watch::Sender<()>,
    pub(crate) filters: Mutex<Filters>,
    /// How many calls may execute at once.
    pub(crate) calls: Semaphore,
}

impl Shared {
    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// What the newest state says of an account.
    pub(crate) fn standing(&self, address: Address) -> Standing {
        standing(self.history.read().state(), address)
    }

    /// Checks a raw transaction and pools it. The signature is recovered on this thread.
    pub(crate) fn submit(&self, raw: &[u8]) -> Result<B256, Refusal> {
        let transaction = Transaction::recover(raw)?;
        admission::check_form(&transaction, self.chain_id, self.gas_limit)?;
        let (hash, now) = (transaction.hash(), (self.now)());
        let mut pool = self.pool();
        // Under the lock, so that a closing sealer has either seen this transaction or refuses it.
        if self.is_closed() {
            return Err(Refusal::Closed);
        }
        // The state is read under the pool's lock, so it is never behind what the pool was told.
        let state = self.history.read().state().clone();
        admission::check_sender(&transaction, &state)?;
        let standing = standing(&state, transaction.sender);
        pool.admit(Arc::new(transaction), standing, now)?;
        if pool.has_ready() {
            self.wake.notify_all();
        }
        Ok(hash)
    }

    fn close(&self) {
        let _pool = self.pool();
        self.closed.store(true, Ordering::Release);
        self.wake.notify_all();
    }
}

fn standing(state: &State, address: Address) -> Standing {
    let account = state.account(address);
    Standing {
        nonce: account.map_or(0, |account| account.nonce),
        balance: account.map_or_else(Default::default, |account| account.balance),
    }
}

/// The sealer's thread, and the duty to end it.
struct Sealer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Sealer {
    /// Seals what is ready, ends the thread, and releases the directory. Waits for it.
    fn stop(&self) {
        self.shared.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the sealer ended by a panic");
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An Ethereum node in this process. Clones are handles to the same node; it closes with the last,
/// which then waits for the block that is being sealed: prefer [`Node::close`] in async code.
///
/// A transaction that was acknowledged but not yet sealed is lost if the power fails, as on every
/// chain: only a receipt is proof. A block, once anyone can see it, is on the disk.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
    sealer: Arc<Sealer>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("chain_id", &self.chain_id())
            .field("block_number", &self.block_number())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the chain, replaying its log, and starts to seal. Blocks while it replays, about as
    /// long as executing every transaction again (some 60,000 a second on a small machine).
    ///
    /// # Errors
    ///
    /// Any [`ChainError`]. None of them changes the log; a torn tail is no error, but moved aside.
    pub fn open(config: Config) -> Result<Self, ChainError> {
        let Config { directory, genesis, now, limits } = config;
        if genesis.gas_limit < 21_000 {
            let reason = format!("a gas limit of {} holds no transaction", genesis.gas_limit);
            return Err(ChainError::Genesis { reason });
        }
        let state = State::from_genesis(&genesis);
        let header = genesis.header(&state);
        let first = Block {
            hash: header.hash_slow(),
            header,
            transactions: Vec::new(),
            outcomes: Vec::new(),
        };
        let log = directory
            .map(|directory| BlockLog::open(&directory, genesis.chain_id, first.hash))
            .transpose()?;
        let history = History::begin(first, state);
        Self::start(genesis.chain_id, genesis.gas_limit, now, limits, history, log)
    }

    pub(crate) fn start(
        chain_id: u64,
        gas_limit: u64,
        now: Seconds,
        limits: Limits,
        history: History,
        mut log: Option<BlockLog>,
    ) -> Result<Self, ChainError> {
        if let Some(log) = &mut log {
            sealer::replay(chain_id, &history, log)?;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            chain_id,
            gas_limit,
            now,
            limits,
            history,
            pool: Mutex::new(Pool::new(limits.pool)),
            wake: Condvar::new(),
            closed: AtomicBool::new(false),
            sealed: broadcast::Sender::new(1_024),
            turns: watch::Sender::new(()),
            filters: Mutex::default(),
            calls: Semaphore::new(2 * cores),
        });
        let thread = std::thread::Builder::new().name("sealer".into()).spawn({
            let shared = shared.clone();
            move || {
                // Whatever ends the sealer, nothing more may be acknowledged.
                struct Ended<'a>(&'a Shared);
                impl Drop for Ended<'_> {
                    fn drop(&mut self) {
                        self.0.close();
                    }
                }
                let _ended = Ended(&shared);
                sealer::run(&shared, log);
            }
        });
        let thread = Mutex::new(Some(thread.map_err(ChainError::Thread)?));
        Ok(Self { sealer: Arc::new(Sealer { shared: shared.clone(), thread }), shared })
    }

    /// Answers a JSON-RPC 2.0 request, single or batch, as the HTTP server would. Notifications,
    /// and batches of nothing else, get no answer: [`Value::Null`].
    ///
    /// Must be called within a Tokio runtime; long computations leave the caller's thread.
    pub async fn request(&self, request: Value) -> Value {
        rpc::answer(&self.shared, request).await.unwrap_or(Value::Null)
    }

    /// The HTTP server: `POST /`, with CORS for any origin (nothing here is secret, and wallets in
    /// browsers must reach it). Serve it where you like.
    pub fn router(&self) -> axum::Router {
        rpc::router(self.clone())
    }

    /// The chain id (EIP-155).
    pub fn chain_id(&self) -> u64 {
        self.shared.chain_id
    }

    /// The number of the newest block.
    pub fn block_number(&self) -> u64 {
        self.shared.history.read().head().number()
    }

    /// Every block sealed from now on. A subscriber that falls 1,024 blocks behind is told how
    /// many it missed.
    pub fn subscribe_blocks(&self) -> broadcast::Receiver<BlockSealed> {
        self.shared.sealed.subscribe()
    }

    /// Seals what is ready and stops; afterwards the directory can be opened again. Other handles
    /// can still read, but send no more.
    pub async fn close(self) {
        let sealer = self.sealer.clone();
        if tokio::task::spawn_blocking(move || sealer.stop()).await.is_err() {
            tracing::error!("closing the chain failed by a panic");
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{executor::BlockHashes, log::Medium};
    use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
    use alloy_eips::Encodable2718;
    use alloy_network::TxSignerSync;
    use alloy_primitives::{Bytes, TxKind, U256, hex};
    use alloy_signer_local::PrivateKeySigner;
    use std::{
        io::{self, Read, Seek, SeekFrom, Write},
        sync::mpsc,
    };

    /// Stores the caller's nonce-like input word under its own value, and clears the slot before:
    /// `sstore(input, input); sstore(input - 3, 0)`.
    const SHIFTING: [u8; 17] = hex!("600035 80 80 55 6003 9003 6000 9055 00 00 00");

    fn genesis() -> Genesis {
        Genesis {
            chain_id: 1,
            timestamp: 0,
            gas_limit: 30_000_000,
            alloc: vec![crate::GenesisAccount {
                address: Address::repeat_byte(0xaa),
                code: Bytes::from_static(&SHIFTING),
                ..crate::GenesisAccount::default()
            }],
        }
    }

    fn raw(nonce: u64, to: TxKind, input: Bytes) -> Bytes {
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(1)).expect("a key");
        let mut transaction =
            TxEip1559 { chain_id: 1, nonce, gas_limit: 500_000, to, input, ..TxEip1559::default() };
        let signature = signer.sign_transaction_sync(&mut transaction).expect("signs");
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
    }

    async fn next_block(blocks: &mut broadcast::Receiver<BlockSealed>) -> u64 {
        blocks.recv().await.expect("a block").number
    }

    #[tokio::test]
    async fn the_incremental_state_root_equals_a_full_rebuild_after_every_block() {
        let node = Node::open(Config::in_memory(genesis(), Arc::new(|| 1))).expect("opens");
        let mut blocks = node.subscribe_blocks();
        for nonce in 0..60 {
            let transaction = if nonce % 10 == 9 {
                // A contract that is created, and one that destroys itself as it is created.
                raw(
                    nonce,
                    TxKind::Create,
                    if nonce < 30 { hex!("600160005500").into() } else { hex!("33ff").into() },
                )
            } else {
                let input = U256::from(3 + nonce % 7).to_be_bytes::<32>().to_vec().into();
                raw(nonce, TxKind::Call(Address::repeat_byte(0xaa)), input)
            };
            node.shared.submit(&transaction).expect("takes");
            let number = next_block(&mut blocks).await;
            let chain = node.shared.history.read();
            let header = &chain.block(number).expect("sealed").header;
            assert_eq!(header.state_root, chain.state().rebuilt_root(), "block {number}");
        }
        let (head, hash) = (node.block_number(), node.shared.history.read().head().hash);
        assert_eq!(node.shared.history.block_hash(head), hash);
    }

    /// The real file, on a disk that is full at times.
    struct FullDisk {
        file: Box<dyn Medium>,
        full: Arc<AtomicBool>,
        refusals: mpsc::Sender<()>,
    }

    impl Read for FullDisk {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.file.read(buffer)
        }
    }

    impl Seek for FullDisk {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.file.seek(to)
        }
    }

    impl Write for FullDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.full.load(Ordering::SeqCst) {
                return self.file.write(bytes);
            }
            // Some bytes still fit.
            if bytes.len() > 20 {
                return self.file.write(&bytes[..20]);
            }
            let _ = self.refusals.send(());
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    impl Medium for FullDisk {
        fn set_len(&mut self, length: u64) -> io::Result<()> {
            // Not even that works, so that the next append must do it.
            if self.full.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.file.set_len(length)
        }

        fn sync(&mut self) -> io::Result<()> {
            self.file.sync()
        }
    }

    fn open_on(
        directory: &std::path::Path,
        disk: Option<(Arc<AtomicBool>, mpsc::Sender<()>)>,
    ) -> Node {
        let genesis = genesis();
        let state = State::from_genesis(&genesis);
        let header = genesis.header(&state);
        let hash = header.hash_slow();
        let first = Block { header, hash, transactions: Vec::new(), outcomes: Vec::new() };
        let mut log = BlockLog::open(directory, 1, hash).expect("opens");
        if let Some((full, refusals)) = disk {
            log = log.on(|file| Box::new(FullDisk { file, full, refusals }));
        }
        let history = History::begin(first, state);
        Node::start(1, genesis.gas_limit, Arc::new(|| 1), Limits::default(), history, Some(log))
            .expect("starts")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_disk_delays_blocks_and_loses_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let full = Arc::new(AtomicBool::new(true));
        let (sender, refusals) = mpsc::channel();
        let node = open_on(directory.path(), Some((full.clone(), sender)));
        let mut blocks = node.subscribe_blocks();
        let to = TxKind::Call(Address::repeat_byte(0xbb));
        let hash = node.shared.submit(&raw(0, to, Bytes::new())).expect("takes");
        let refusals = tokio::task::spawn_blocking(move || {
            refusals.recv().expect("the disk refuses");
            refusals
        });
        let refusals = refusals.await.expect("waits");
        // Nothing is seen, the transaction still waits, and questions are answered.
        assert_eq!(node.block_number(), 0);
        assert!(node.shared.pool().get(hash).is_some());
        node.shared.submit(&raw(1, to, Bytes::new())).expect("takes more");
        full.store(false, Ordering::SeqCst);
        let mut sealed = next_block(&mut blocks).await;
        while node.shared.pool().has_ready() {
            sealed = next_block(&mut blocks).await;
        }
        drop(refusals);
        node.close().await;

        let again = open_on(directory.path(), None);
        assert_eq!(again.block_number(), sealed);
        assert!(again.shared.history.read().place(hash).is_some());
    }
}
