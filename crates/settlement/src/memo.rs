//! A digest on the chain: proof that a text existed before a block.
//!
//! It is the data of a transaction without value from the first sending key to itself. No contract takes
//! part, so it works on every chain; whoever has the text can hash it, and find the transaction.

use alloy_consensus::Transaction as _;
use alloy_primitives::B256;
use alloy_provider::Provider as _;

use crate::endpoint::failure;
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
    /// The digest that a transaction put on the chain, and in which block; none if there is no such
    /// transaction, if it is not mined, or if its data are no digest. Whoever sent it: that it is there
    /// is the proof.
    ///
    /// # Errors
    /// As every reading.
    pub async fn inscription(
        &self,
        transaction: B256,
    ) -> Result<Option<(B256, u64)>, SettlementError> {
        let found = self
            .provider
            .get_transaction_by_hash(transaction)
            .await
            .map_err(|e| failure(&self.endpoint, "a transaction", e))?;
        Ok(found.and_then(|found| {
            let digest = B256::try_from(found.input().as_ref()).ok()?;
            Some((digest, found.block_number?))
        }))
    }
}
