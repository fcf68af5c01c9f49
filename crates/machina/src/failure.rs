//! What a person is told when something did not work, and what a script can tell from it.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::report::WaitingReport;

/// Why a command did not do what was asked.
///
/// Exit codes: 1 it was refused or failed, 2 it was misused (as `clap` itself does).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// What happened, to what.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the call itself was wrong.
    #[serde(default)]
    pub misuse: bool,
    /// What waits for the owner's word, or was refused by the owner, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Box<WaitingReport>>,
}

impl Failure {
    /// Something was refused or failed.
    pub fn new(message: impl ToString) -> Failure {
        Failure { message: message.to_string(), hint: None, misuse: false, approval: None }
    }

    /// The call was wrong.
    pub fn misuse(message: impl ToString) -> Failure {
        Failure { misuse: true, ..Failure::new(message) }
    }

    /// The same, with what to do.
    pub fn hint(mut self, hint: impl ToString) -> Failure {
        self.hint = Some(hint.to_string());
        self
    }

    /// On standard error for people; as JSON on standard output for programs.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!({ "error": self }));
            return;
        }
        eprintln!("{} {}", crate::say::bad("error:"), self.message);
        if let Some(hint) = &self.hint {
            eprintln!("{} {hint}", crate::say::dim("hint:"));
        }
    }

    /// 1 refused, 2 misused.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.misuse { 2 } else { 1 })
    }
}

/// A question to the outlook that makes no sense is misuse; a record that was changed is not.
impl From<outlook::OutlookError> for Failure {
    fn from(error: outlook::OutlookError) -> Failure {
        use outlook::OutlookError as E;
        match error {
            E::Facts { .. } | E::NoMarket | E::Record { .. } | E::RecordHash { .. } => {
                Failure::new(error)
            }
            E::UnknownDriver { .. } | E::DriverRange { .. } => {
                Failure::misuse(error).hint("`machina outlook --drivers` tells what each is")
            }
            E::Horizon { .. }
            | E::Draws { .. }
            | E::UnknownQuantity { .. }
            | E::UnknownModel { .. }
            | E::UnknownScenario { .. }
            | E::DriverTwice { .. }
            | E::Number { .. }
            | E::Date { .. }
            | E::Question { .. }
            | E::Target { .. } => Failure::misuse(error),
        }
    }
}

/// What waits for the owner says what to do about it, to people and to programs.
impl From<mandates::MandateError> for Failure {
    fn from(error: mandates::MandateError) -> Failure {
        use mandates::MandateError as E;
        let failure = Failure::new(&error);
        match error {
            E::WaitsForApproval(approval) => {
                let id = approval.id();
                Failure { approval: Some(Box::new(WaitingReport::of(&approval))), ..failure }.hint(
                    format!("the owner decides on the page /mine/approvals, or by `machina approvals --accept {id}`; then repeat the same request"),
                )
            }
            E::Declined(approval) => {
                Failure { approval: Some(Box::new(WaitingReport::of(&approval))), ..failure }
            }
            E::TooManyWaiting { .. } => failure.hint("`machina approvals` lists what waits"),
            _ => failure,
        }
    }
}

impl From<payments::BuyError> for Failure {
    fn from(error: payments::BuyError) -> Failure {
        match error {
            payments::BuyError::Mandate(error) => error.into(),
            error => Failure::new(error),
        }
    }
}

/// Errors of the floors below speak for themselves.
macro_rules! speaks_for_itself {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure::new(error)
            }
        })+
    };
}

speaks_for_itself!(
    chain::ChainError,
    economy::EconomyError,
    labour::LabourError,
    ledger::LedgerError,
    money::AmountError,
    money::PartyError,
    payments::ReconcileError,
    protocol::ProtocolError,
    settlement::SettlementError,
);
