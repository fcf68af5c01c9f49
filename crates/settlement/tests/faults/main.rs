//! What goes wrong between a sender and its chain: keys that stick, transactions that are dropped,
//! doubled or underpriced, blocks that vanish, and all of it at once.

mod pool;
mod reorganising;
mod storm;
mod stuck;
#[path = "../town/mod.rs"]
mod town;
