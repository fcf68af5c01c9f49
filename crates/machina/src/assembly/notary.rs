//! Digests of projections on the chain, before what they foresee can be known; and the record of a home,
//! each entry with where its digest is.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use alloy_primitives::B256;
use economy::Accounts;
use outlook::record::Entry;
use outlook::{Date, Driver};
use settlement::Settlement;
use tokio::time::Instant;
use web::{InscribedView, MeasuredView, OutlookView, RecordedView};

use super::Assembly;
use super::nowcast::measured;
use crate::failure::Failure;
use crate::home::Home;
use crate::report::InscribedReport;

impl Assembly {
    /// Puts a digest on the chain, unless one of these transactions has put it on this chain already.
    ///
    /// # Errors
    /// If it is no digest of 32 bytes in hex, or the chain does not take it.
    pub async fn inscribe(
        &self,
        digest: &str,
        unless: &[String],
    ) -> Result<InscribedReport, Failure> {
        let plain = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        let bytes: B256 = Some(digest)
            .filter(|_| plain)
            .and_then(|digest| digest.parse().ok())
            .ok_or_else(|| Failure::misuse("a digest is 64 hexadecimal digits"))?;
        for transaction in unless.iter().take(MOST_NOTES) {
            let Ok(named) = transaction.parse() else { continue };
            let found = self.chain.inscription(named).await?;
            if let Some((_, block)) = found.filter(|(found, _)| *found == bytes) {
                let (digest, transaction) = (digest.to_string(), transaction.clone());
                return Ok(InscribedReport { digest, transaction, block });
            }
        }
        let receipt = self.chain.inscribe(bytes).await?;
        Ok(InscribedReport {
            digest: digest.to_string(),
            transaction: receipt.transaction.to_string(),
            block: receipt.block,
        })
    }
}

/// How many notes of one digest are looked up before it is put on the chain anew.
const MOST_NOTES: usize = 64;
/// How long a note that the chain does not confirm is not asked for again.
const MISSED_FOR: Duration = Duration::from_secs(30);

/// The record of a home, with where its hashes are on the chain.
pub struct Archive {
    home: Home,
    /// Notes that the chain has confirmed, by hash: they do not change.
    confirmed: Mutex<HashMap<String, InscribedView>>,
    /// When the chain did not confirm a note, by its transaction: a reader is not one question more
    /// to the chain for each of them.
    missed: Mutex<HashMap<B256, Instant>>,
}

impl Archive {
    /// Of a home.
    pub fn new(home: Home) -> Archive {
        Archive { home, confirmed: Mutex::default(), missed: Mutex::default() }
    }

    /// All that the page of the outlook asks of this economy.
    pub async fn view(
        &self,
        accounts: Option<&Accounts>,
        chain: &Settlement,
        today: Date,
    ) -> OutlookView {
        let figures = accounts.map(measured).unwrap_or_default().figures.into_iter();
        let measured = figures
            .filter_map(|figure| {
                Some(MeasuredView {
                    driver: Driver::named(&figure.driver).ok()?,
                    means: figure.means,
                    value: figure
                        .value
                        .ok_or_else(|| figure.lacks.unwrap_or_else(|| "not measured".into())),
                })
            })
            .collect();
        let record = match self.home.outlook_texts() {
            Ok(kept) => {
                let first: Vec<(String, String)> =
                    Entry::first().iter().map(|entry| (entry.hash(), entry.text())).collect();
                // The claims' texts are kept from their commitment on.
                let kept: Vec<_> = kept.into_iter().filter(|one| !first.contains(one)).collect();
                let mut record = Vec::new();
                for (hash, text) in first.into_iter().chain(kept) {
                    let inscribed = self.inscribed(&hash, chain).await;
                    record.push(RecordedView { hash, text, inscribed });
                }
                Ok(record)
            }
            Err(failure) => Err(failure.message),
        };
        OutlookView { today, measured, record }
    }

    /// Where a hash is on the chain, if a note says where to look and the chain confirms it.
    async fn inscribed(&self, hash: &str, chain: &Settlement) -> Option<InscribedView> {
        let known = || self.confirmed.lock().expect("nothing panics under this lock");
        if let Some(found) = known().get(hash) {
            return Some(found.clone());
        }
        let digest: B256 = hash.parse().ok()?;
        for (transaction, _) in self.home.outlook_notes(hash) {
            let Ok(named) = transaction.parse() else { continue };
            if self.is_missed(named) {
                continue;
            }
            // A chain that does not answer confirms nothing; a later reader asks again.
            if let Ok(Some((found, block))) = chain.inscription(named).await
                && found == digest
            {
                let found = InscribedView { transaction, block };
                known().insert(hash.to_string(), found.clone());
                return Some(found);
            }
            self.miss(named);
        }
        None
    }

    fn is_missed(&self, transaction: B256) -> bool {
        let missed = self.missed.lock().expect("nothing panics under this lock");
        missed.get(&transaction).is_some_and(|at| at.elapsed() < MISSED_FOR)
    }

    fn miss(&self, transaction: B256) {
        let mut missed = self.missed.lock().expect("nothing panics under this lock");
        missed.retain(|_, at| at.elapsed() < MISSED_FOR);
        missed.insert(transaction, Instant::now());
    }
}
