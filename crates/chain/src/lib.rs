//! The embedded Ethereum node: state, executor, store, RPC.
//!
//! A durable, single-sequencer chain in one process, that speaks Ethereum's JSON-RPC: stock tools
//! (viem, ethers, cast, alloy) use it unchanged, in process or over HTTP. This crate knows Ethereum
//! and nothing else; contracts, accounts and money come in as genesis, time as a function.
//!
//! Start at [`Node`]. A transaction's way:
//!
//! 1. [`Node::request`] or the HTTP [`Node::router`] parses it (`rpc`);
//! 2. its signature is recovered and its form checked on the caller's thread (`transaction`,
//!    `admission`);
//! 3. it waits in the `pool`, by sender and nonce;
//! 4. the `sealer` takes everything that is ready, at once, and runs it on revm (`executor`)
//!    against the `state`, a persistent Merkle-Patricia `trie`;
//! 5. the block goes to the durable `log`, is synced, and only then published (`history`).
//!
//! At start the log is replayed by the same executor. What to know before building on it:
//!
//! - *Gas may be free.* The base fee is zero in every block, and zero fees are accepted, since
//!   machines hold no ether. Tips mean what EIP-1559 says. Ceilings in the pool bound spam.
//! - *No block time.* A block is sealed as soon as something is ready; several may share a second.
//! - *Sealed is final.* There are no forks: `latest`, `safe` and `finalized` are one block.
//!   `pending` reads as `latest`, except in `eth_getTransactionCount`.
//! - *States* of the last 128 blocks can be read; blocks, receipts and logs of all.
//! - *Rules* are Osaka's, without blobs, withdrawals and other things of a consensus layer.

mod admission;
mod block;
mod error;
mod executor;
mod genesis;
mod history;
mod log;
mod node;
mod pool;
mod refusal;
mod rpc;
mod sealer;
mod state;
mod transaction;
mod trie;

pub use error::ChainError;
pub use genesis::{Genesis, GenesisAccount};
pub use node::{BlockSealed, Config, Limits, Node, Seconds};
pub use pool::PoolLimits;
