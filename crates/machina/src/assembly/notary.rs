//! Digests of projections on the chain, before what they foresee can be known.

use alloy_primitives::B256;

use super::Assembly;
use crate::failure::Failure;
use crate::report::InscribedReport;

impl Assembly {
    /// Puts a digest on the chain.
    ///
    /// # Errors
    /// If it is no digest of 32 bytes in hex, or the chain does not take it.
    pub async fn inscribe(&self, digest: &str) -> Result<InscribedReport, Failure> {
        let plain = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let bytes: B256 = Some(digest)
            .filter(|_| plain)
            .and_then(|digest| digest.parse().ok())
            .ok_or_else(|| Failure::misuse("a digest is 64 hexadecimal digits"))?;
        let receipt = self.chain.inscribe(bytes).await?;
        Ok(InscribedReport {
            digest: digest.to_string(),
            transaction: receipt.transaction.to_string(),
            block: receipt.block,
        })
    }
}
