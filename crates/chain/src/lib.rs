//! The embedded Ethereum node: state, executor, store, rpc
