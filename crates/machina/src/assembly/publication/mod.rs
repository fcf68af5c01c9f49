//! The economy's accounts as a document: for programs, for statisticians, for paper.

mod pdf;
mod sdmx;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use economy::{Accounts, Capitalisation, Employment, InputOutputTable, Locked, RealGdp};
use money::{Amount, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use web::AccountsView;

use super::Assembly;
use crate::failure::Failure;
use crate::report::OverrideReport;

/// In which form the accounts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Everything, for programs.
    Json,
    /// SDMX-CSV, for statisticians' tools.
    Csv,
    /// The economy's page in one file.
    Html,
    /// The same tables for paper.
    Pdf,
}

impl Form {
    /// Its name in an address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Form::Json => "json",
            Form::Csv => "csv",
            Form::Html => "html",
            Form::Pdf => "pdf",
        }
    }
}

/// A document, as it travels between a command and a running economy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Publication {
    /// The document, in base64.
    body: String,
}

impl Publication {
    fn of(bytes: &[u8]) -> Publication {
        Publication { body: STANDARD.encode(bytes) }
    }

    /// The document.
    ///
    /// # Errors
    /// If it was damaged on its way.
    pub fn bytes(&self) -> Result<Vec<u8>, Failure> {
        STANDARD
            .decode(&self.body)
            .map_err(|_| Failure::new("the running economy sent a report that cannot be read"))
    }
}

/// All that a report is made of.
pub struct Contents {
    pub accounts: Accounts,
    pub table: InputOutputTable,
    pub employment: Employment,
    /// None until something was sold whose class and quantity are known.
    pub real_gdp: Option<RealGdp>,
    pub locked: Locked,
    /// What all assets of this home are worth.
    pub capitalisation: Capitalisation,
    /// None where nobody here knows what the issuer holds.
    pub circulating: Option<Amount>,
    /// What readers typed anew, newest first.
    pub overrides: Vec<OverrideReport>,
    pub view: AccountsView,
    pub made_at: Timestamp,
}

impl Assembly {
    /// The accounts as a document, after looking at the chain and counting what was booked.
    ///
    /// # Errors
    /// As [`Assembly::economy_now`].
    pub async fn publish(&self, form: Form) -> Result<Publication, Failure> {
        self.compare(false).await?;
        self.square.catch_up()?;
        publish(&self.square.contents(self.clock.now())?, form)
    }
}

/// The document in this form.
///
/// # Errors
/// If it cannot be written, which would be a defect of this program.
pub fn publish(contents: &Contents, form: Form) -> Result<Publication, Failure> {
    let bytes = match form {
        Form::Json => {
            let document = json!({
                "madeAt": contents.made_at,
                "accounts": contents.accounts,
                "inputOutput": contents.table,
                "leontief": contents.table.leontief().ok(),
                "employment": contents.employment,
                "realGdp": contents.real_gdp,
                "locked": contents.locked,
                "marketCapitalisation": contents.capitalisation,
                "circulating": contents.circulating,
                "overridden": contents.view.overridden,
                "overrides": contents.overrides,
            });
            let mut text = serde_json::to_string_pretty(&document).map_err(Failure::new)?;
            text.push('\n');
            text.into_bytes()
        }
        Form::Csv => sdmx::csv(contents)?,
        Form::Html => web::economy_document(&contents.view).into_bytes(),
        Form::Pdf => pdf::pdf(&contents.view, contents.made_at),
    };
    Ok(Publication::of(&bytes))
}
