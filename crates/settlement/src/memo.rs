//! A digest on the chain: proof that a text existed before a block.
//!
//! It is the data of a transaction without value from the first sending key to itself. No contract takes
//! part, so it works on every chain; whoever has the text can hash it, and find the transaction.

use alloy_primitives::B256;

use crate::error::SettlementError;
use crate::sender::Receipt;
use crate::token::Settlement;

/// The most gas of such a transaction: 21,000, and 16 for each of 32 bytes, or 40 by EIP-7623.
const MEMO_GAS: u64 = 30_000;

impl Settlement {
    /// Puts a digest on the chain, and waits until that is mined.
    ///
    /// # Errors
    /// As [`crate::Sender::send`]. The same digest twice is two transactions; the first is what counts.
    pub async fn inscribe(&self, digest: B256) -> Result<Receipt, SettlementError> {
        let own = self.sender();
        self.send_from(own, own, digest.to_vec().into(), MEMO_GAS).await
    }
}
